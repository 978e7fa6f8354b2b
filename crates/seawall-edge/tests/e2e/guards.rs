//! Who may connect: repeat offenders, prefixes, and what is told of them.

use seawall_edge::config::Config;
use serde_json::Value;

use crate::client::{Client, get};
use crate::origin::Origin;
use crate::shield::{Shield, until};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

fn behind_proxy(config: &mut Config) {
    config.listen[0].proxy_protocol = true;
    config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a prefix")];
    config.limits.max_offences = 3;
}

/// A connection that the proxy says is of `client`.
fn from(shield: &Shield, client: &str) -> Client {
    let mut connection = shield.client();
    connection.send_anyway(format!("PROXY TCP4 {client} 127.0.0.1 5000 80\r\n"));
    connection
}

/// Whether a request on a new connection of `client` is answered.
fn is_served(shield: &Shield, client: &str) -> bool {
    let mut connection = from(shield, client);
    connection.send_anyway(get("/", ""));
    connection.try_read("GET").is_ok_and(|answer| answer.status == 200)
}

fn offend(shield: &Shield, client: &str) {
    let mut connection = from(shield, client);
    connection.send_anyway("GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n");
    connection.read("GET").assert_status(400);
}

fn events(shield: &Shield) -> Vec<Value> {
    let status: Value = serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
    status["events"].as_array().expect("a list").clone()
}

#[test]
fn a_repeat_offender_loses_the_way_in_and_nobody_else_does() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, behind_proxy);
    let mut open = from(&shield, "192.0.2.7");
    open.get("/", "").assert_status(200);
    // Two points each, and three are too many. They are halved in 30 s, which is time enough.
    offend(&shield, "192.0.2.7");
    assert!(is_served(&shield, "192.0.2.7"), "once is not often");
    offend(&shield, "192.0.2.7");
    assert!(!is_served(&shield, "192.0.2.7"));
    assert!(is_served(&shield, "192.0.2.8"), "its neighbour is somebody else");
    open.get("/", "").assert_status(200);
    assert_eq!(
        shield.metric("seawall_connections_refused_total{cause=\"repeat_offender\"}"),
        1,
        "counted by its cause"
    );
    assert_eq!(shield.metric("seawall_offenders_barred_total"), 1);
}

#[test]
fn an_offence_is_an_event_with_a_name() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, behind_proxy);
    (0..2).for_each(|_| offend(&shield, "192.0.2.7"));
    let events = events(&shield);
    let [barred, .., offence] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&barred["event"], &barred["code"]), (&"barred".into(), &"SW-206".into()));
    assert_eq!((&offence["event"], &offence["code"]), (&"field_line".into(), &"SW-201".into()));
    assert_eq!(offence["client"], "192.0.2.0/24", "no more of the address than that");
    assert_eq!(
        shield.metric("seawall_wire_misbehaviour_total{kind=\"field_line\"}"),
        2,
        "each is counted, told or not"
    );
}

#[test]
fn what_comes_through_a_trusted_proxy_bars_nobody() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| {
        behind_proxy(config);
        config.listen[0].proxy_protocol = false;
    });
    for _ in 0..10 {
        let mut connection = shield.client();
        connection.send_anyway("GET / HTTP/1.1\r\nHost: a\r\nno colon here\r\n\r\n");
        connection.read("GET").assert_status(400);
    }
    shield.client().get("/", "").assert_status(200);
    assert_eq!(shield.metric("seawall_offenders_barred_total"), 0);
}

#[test]
fn a_prefix_has_so_many_connections_and_no_more() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| config.limits.max_connections_of_prefix = 2);
    let (mut one, mut two, mut three) = (shield.client(), shield.client(), shield.client());
    one.get("/", "").assert_status(200);
    two.get("/", "").assert_status(200);
    three.send_anyway(get("/", ""));
    assert_eq!(three.rest().0, b"");
    let refused = "seawall_connections_refused_total{cause=\"too_many_connections_of_prefix\"}";
    assert_eq!(shield.metric(refused), 1);
    drop((two, three));
    until("there is room again", || {
        let mut next = shield.client();
        next.send_anyway(get("/", ""));
        next.try_read("GET").is_ok()
    });
}

#[test]
fn connections_of_a_trusted_proxy_fill_no_prefix() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| {
        config.limits.max_connections_of_prefix = 1;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a prefix")];
    });
    let mut open: Vec<Client> = (0..4).map(|_| shield.client()).collect();
    for client in &mut open {
        client.get("/", "").assert_status(200);
    }
}
