//! Routes as wired: what a lane and a budget do to floods of forms, searches and streams.
//!
//! The attacks are A18 to A20 of `detection.md`, as small as they can be told from readers.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use seawall_decide::{RouteBudget, RouteLane};
use seawall_edge::config::{Config, Route};
use seawall_model::Cause;

use crate::client::{Response, get};
use crate::origin::{Origin, ok, say};
use crate::shield::{Shield, until};

const NOT_KEPT: &str = "Cache-Control: no-store\r\n";
const PROGRAM: &str = "Accept: */*\r\n";
const PERSON: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";

fn route(path: &str) -> Route {
    Route { path: path.to_owned(), ..Route::default() }
}

/// Three an hour, so that no test is so slow that it earns a fourth.
const THREE: Option<RouteBudget> = Some(RouteBudget { count: 3, per: Duration::from_secs(3_600) });

fn post(path: &str, fields: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n{fields}\r\na=1")
}

fn send(shield: &Shield, request: &str) -> Response {
    let mut client = shield.client();
    client.send(request);
    client.read("GET")
}

/// Clients behind a proxy, so that there are many of them.
fn behind_proxy(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a prefix")];
}

fn from(client: &str, fields: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n{fields}")
}

fn refused(shield: &Shield, cause: Cause) -> u64 {
    let cause = cause.as_str();
    shield.metric(&format!("seawall_http_requests_total{{decision=\"refuse\",cause=\"{cause}\"}}"))
}

/// An origin that answers `/slow` when told to, and everything else at once.
fn slow() -> (Origin, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| {
        if asked.path().starts_with("/slow") {
            let _ = wait.lock().expect("no panic").recv();
        }
        say(stream, ok(NOT_KEPT, "done"))
    });
    (origin, release)
}

fn waiting(shield: &Shield, class: &str, count: u64) -> bool {
    shield.admin("GET", "/status").contains(&format!("\"{class}\":{count}"))
}

#[test]
fn a18_a_flood_of_logins_ends_at_the_budget_of_its_route_and_its_network() {
    let origin = Origin::answering(|_| ok(NOT_KEPT, "wrong password"));
    let shield = Shield::with(&origin, |config| {
        behind_proxy(config);
        config.sites[0].routes = vec![Route { budget: THREE, ..route("/wp-login.php*") }];
    });
    let ask =
        |client: &str, path: &str, fields: &str| send(&shield, &post(path, &from(client, fields)));
    let spellings = ["/wp-login.php", "//wp-login.php", "/wp%2Dlogin.php", "/wp-login.php/x?a=b"];
    for path in &spellings[..3] {
        ask("192.0.2.1", path, PROGRAM).assert_status(200);
    }
    for path in spellings {
        let answer = ask("192.0.2.1", path, PROGRAM);
        answer.assert_status(429);
        assert_eq!(answer.field("content-type").as_deref(), Some("application/problem+json"));
        assert!(answer.text().contains("\"code\":\"SW-110\""), "{}", answer.text());
        let after: u64 = answer.field("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
        assert!((1_000..=1_200).contains(&after), "{after}: a third of an hour");
    }
    let person = ask("192.0.2.1", "/wp-login.php", PERSON);
    person.assert_status(429);
    assert!(person.text().contains("Wait 20 minutes, go back"), "{}", person.text());
    // The whole network has the budget of eight.
    for neighbour in 2..=40 {
        ask(&format!("192.0.2.{neighbour}"), "/wp-login.php", PROGRAM);
    }
    assert_eq!(origin.count(), 8 * 3);
    assert_eq!(refused(&shield, Cause::RouteBudget), 4 + 1 + 39 - 21);
    // Elsewhere, and others, notice nothing.
    ask("192.0.2.1", "/wp-comments-post.php", PROGRAM).assert_status(200);
    ask("203.0.113.1", "/wp-login.php", PROGRAM).assert_status(200);
}

/// Three a day.
fn three_a_day() -> Vec<Route> {
    let budget = RouteBudget { count: 3, per: Duration::from_secs(86_400) };
    vec![Route { budget: Some(budget), ..route("/wp-login.php*") }]
}

/// How many of 200 logins pass.
fn logins(shield: &Shield, fields: &str) -> usize {
    let login = post("/wp-login.php", fields);
    (0..200).filter(|_| send(shield, &login).status == 200).count()
}

#[test]
fn a_tor_exit_has_the_route_budget_of_many() {
    let origin = Origin::answering(|_| ok(NOT_KEPT, "wrong password"));
    let shield = Shield::with(&origin, |config| {
        behind_proxy(config);
        config.tor_exits = vec!["198.51.100.1".parse().expect("a prefix")];
        config.sites[0].routes = three_a_day();
    });
    assert_eq!(logins(&shield, &from("198.51.100.1", PROGRAM)), 64 * 3);
    assert_eq!(logins(&shield, &from("203.0.113.1", PROGRAM)), 3);
}

#[test]
fn what_seems_to_be_a_cdn_has_the_route_budget_of_many_and_connections_without_bound() {
    let origin = Origin::answering(|_| ok(NOT_KEPT, "wrong password"));
    let shield = Shield::with(&origin, |config| {
        config.limits.max_connections_of_prefix = 1;
        config.sites[0].routes = three_a_day();
    });
    let via = "Via: 1.1 balancer\r\n";
    let mut first = shield.client();
    let refused = "seawall_connections_refused_total{cause=\"too_many_connections_of_prefix\"}";
    // One request in 5 ms is looked at, and the first verdict falls after 200.
    until("a second connection is let in", || {
        for _ in 0..50 {
            first.get("/", via).assert_status(200);
        }
        let mut second = shield.client();
        second.send_anyway(get("/", via));
        second.try_read("GET").is_ok()
    });
    let before = shield.metric(refused);
    assert!(before > 0, "the bound held until then");
    assert_eq!(logins(&shield, via), 64 * 3);
    assert_eq!(shield.metric(refused), before);
}

#[test]
fn a_page_in_hand_is_outside_of_any_budget_of_a_route() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::with(&origin, |config| {
        config.sites[0].routes = vec![Route { budget: THREE, ..route("/*") }];
    });
    let mut client = shield.client();
    for _ in 0..20 {
        client.get("/", "").assert_status(200);
    }
    client.get("/2", "").assert_status(200);
    client.get("/3", "").assert_status(200);
    client.get("/4", "").assert_status(429);
    client.get("/", "").assert_status(200).assert_cache("hit");
}

#[test]
fn an_allowed_source_has_no_budget_of_a_route() {
    let origin = Origin::page(NOT_KEPT, "hello");
    let shield = Shield::with(&origin, |config| {
        config.allow = vec!["127.0.0.0/8".parse().expect("a prefix")];
        config.sites[0].routes = vec![Route { budget: THREE, ..route("/*") }];
    });
    let mut client = shield.client();
    for _ in 0..10 {
        client.get("/", "").assert_status(200);
    }
}

#[test]
fn a18_a_flood_of_searches_leaves_three_quarters_of_the_origin_to_others() {
    let (origin, release) = slow();
    let shield = Shield::with(&origin, |config| {
        let limits = &mut config.sites[0].origin;
        (limits.min_concurrency, limits.max_concurrency) = (4, 4);
        config.sites[0].routes = vec![Route { lane: RouteLane::Costly, ..route("/slow/search*") }];
    });
    let mut flood: Vec<_> = (0..8).map(|_| shield.client()).collect();
    for (number, client) in flood.iter_mut().enumerate() {
        client.send(post(&format!("/slow/search?{number}"), PROGRAM));
    }
    until("all but one wait", || waiting(&shield, "anonymous", 7));
    for page in 0..20 {
        shield.client().get(&format!("/{page}"), "").assert_status(200);
    }
    assert_eq!(origin.count(), 21, "one search at work");
    drop(release);
    for client in &mut flood {
        client.read("POST").assert_status(200);
    }
}

#[test]
fn a19_xmlrpc_is_closed_and_a_flood_of_ajax_queues_and_is_told_in_its_own_words() {
    let (origin, release) = slow();
    let shield = Shield::with(&origin, |config| {
        let limits = &mut config.sites[0].origin;
        (limits.min_concurrency, limits.max_concurrency) = (4, 4);
        // Of which costly work has a quarter.
        config.limits.max_origin_queue = 12;
        config.sites[0].routes = vec![
            Route { allow_sources: Some(Vec::new()), ..route("/xmlrpc.php*") },
            Route { lane: RouteLane::Costly, ..route("/slow/admin-ajax.php*") },
        ];
    });
    let multicall = format!(
        "POST /xmlrpc.php/x HTTP/1.1\r\nHost: example.org\r\nContent-Type: text/xml\r\n\
         Content-Length: 5000\r\n\r\n{}",
        "<methodName>system.multicall</methodName>".repeat(100)
    );
    let mut caller = shield.client();
    caller.send_anyway(multicall);
    caller.read("POST").assert_status(403);
    let ajax = post("/slow/admin-ajax.php", "X-Requested-With: XMLHttpRequest\r\n");
    let mut flood: Vec<_> = (0..4).map(|_| shield.client()).collect();
    for client in &mut flood {
        client.send(&ajax);
    }
    until("three wait and one works", || waiting(&shield, "anonymous", 3));
    let told = send(&shield, &ajax);
    told.assert_status(429);
    assert_eq!(told.field("content-type").as_deref(), Some("application/problem+json"));
    assert!(told.text().contains("\"code\":\"SW-301\""), "{}", told.text());
    shield.client().get("/page", "").assert_status(200);
    drop(release);
    for client in &mut flood {
        client.read("POST").assert_status(200);
    }
    assert_eq!(origin.count(), 5, "four calls and a page");
}

#[test]
fn what_nobody_waits_for_goes_after_whoever_came_later() {
    let (origin, release) = slow();
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.sites[0].routes =
            vec![Route { lane: RouteLane::Background, ..route("/wp-cron.php*") }];
    });
    let (mut one, mut cron, mut reader) = (shield.client(), shield.client(), shield.client());
    one.send(get("/slow", ""));
    until("it works", || origin.count() == 1);
    cron.send(get("/wp-cron.php?doing_wp_cron", ""));
    until("the clock waits", || waiting(&shield, "background", 1));
    reader.send(get("/page", ""));
    until("a reader waits", || waiting(&shield, "anonymous", 1));
    drop(release);
    one.read("GET").assert_status(200);
    reader.read("GET").assert_status(200);
    cron.read("GET").assert_status(200);
    let order: Vec<String> = origin.asked().iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(order, ["/slow", "/page", "/wp-cron.php?doing_wp_cron"]);
}

#[test]
fn a20_polls_that_are_held_take_places_of_their_own_and_one_client_few_of_them() {
    let (origin, release) = slow();
    let shield = Shield::with(&origin, |config| {
        behind_proxy(config);
        let limits = &mut config.sites[0].origin;
        // Five places for streams: one kept for known readers, two for each client.
        (limits.min_concurrency, limits.max_concurrency) = (20, 20);
        config.sites[0].routes = vec![Route { lane: RouteLane::Stream, ..route("/slow/poll*") }];
    });
    let poll = |client: &str| {
        let mut connection = shield.client();
        connection.send(get("/slow/poll", &from(client, PROGRAM)));
        connection
    };
    let streams =
        |count: u64| shield.admin("GET", "/status").contains(&format!("\"streams\":{count},"));
    let mut held = [poll("192.0.2.1"), poll("192.0.2.1")];
    until("both are held", || streams(2));
    poll("192.0.2.1").read("GET").assert_status(503);
    let mut other = poll("192.0.2.2");
    until("another client has a place", || streams(3));
    for _ in 0..30 {
        shield.client().get("/page", "").assert_status(200);
    }
    drop(release);
    other.read("GET").assert_status(200);
    for client in &mut held {
        client.read("GET").assert_status(200);
    }
    until("all places are free", || streams(0));
    assert_eq!(shield.metric("seawall_origin_streams_refused_total"), 1);
}
