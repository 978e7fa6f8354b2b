//! What reaches the origin, and who waits: the gate as wired.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_decide::{Countries, RegisteredRange};
use seawall_edge::config::List;
use seawall_model::{Country, PerSecond};

use crate::client::get;
use crate::origin::{Origin, ok, say};
use crate::shield::{Shield, until};

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: \
     chunked\r\n\r\n6\r\ndata:\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const UPGRADE: &str = "Connection: upgrade\r\nUpgrade: websocket\r\n";

#[test]
fn who_reads_held_pages_waits_as_one_who_has_asked_nothing_of_the_origin() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| match asked.path() {
        "/stale" => say(stream, ok("Cache-Control: max-age=0, stale-while-revalidate=999\r\n", "")),
        path => {
            if path == "/held" {
                let _ = wait.lock().expect("no panic").recv();
            }
            say(stream, ok("Cache-Control: no-store\r\n", "done"))
        }
    });
    let shield = Shield::with(&origin, |config| config.sites[0].origin.max_concurrency = 1);
    let [mut reader, mut asker, mut holder] = [21, 22, 23].map(|last| shield.client_from(last));
    // Served from what is held; behind its back the origin is asked, if it is not being asked now.
    until("it was made new often", || {
        reader.get("/stale", "").assert_status(200);
        origin.count() >= 40
    });
    until("nothing is at work", || shield.admin("GET", "/status").contains("\"in_flight\":0"));
    for page in 0..6 {
        asker.get(&format!("/{page}"), "").assert_status(200);
    }
    holder.send(get("/held", ""));
    until("the origin is asked", || origin.asked().iter().any(|asked| asked.path() == "/held"));
    asker.send(get("/asker", ""));
    until("one waits", || shield.admin("GET", "/status").contains("\"anonymous\":1"));
    reader.send(get("/reader", ""));
    until("two wait", || shield.admin("GET", "/status").contains("\"anonymous\":2"));
    drop(release);
    for client in [&mut holder, &mut asker, &mut reader] {
        client.read("GET").assert_status(200);
    }
    let order: Vec<String> = origin.asked().iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(order[order.len() - 2..], ["/reader", "/asker"]);
}

/// An origin that answers `/held` when the sender is dropped.
fn held() -> (Origin, Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| {
        if asked.path() == "/held" {
            let _ = wait.lock().expect("no panic").recv();
        }
        say(stream, ok("Cache-Control: no-store\r\n", "done"))
    });
    (origin, release)
}

#[test]
fn a_stream_leaves_the_limit_and_its_own_lane_is_bounded() {
    for (path, answer, fields) in [("/events", EVENTS, ""), ("/socket", SWITCH, UPGRADE)] {
        let origin = Origin::run(move |asked, stream| match asked.path() {
            "/page" => say(stream, ok("Cache-Control: no-store\r\n", "a page")),
            _ => say(stream, answer),
        });
        // One request at work and one stream, a quarter of it rounded up.
        let shield = Shield::with(&origin, |config| {
            config.sites[0].origin.max_concurrency = 1;
            // The stream never ends: the stop must not wait for it.
            config.limits.drain_timeout = Duration::from_millis(10);
        });
        let (mut one, mut two, mut reader) = (shield.client(), shield.client(), shield.client());
        one.send(get(path, fields));
        until("it streams", || shield.admin("GET", "/status").contains("\"streams\":1"));
        reader.get("/page", "").assert_status(200).assert_body("a page");
        two.get(path, fields).assert_status(503);
        reader.get("/page", "").assert_status(200);
        assert_eq!(shield.metric("seawall_origin_streams"), 1, "{path}");
        assert_eq!(shield.metric("seawall_origin_streams_refused_total"), 1, "{path}");
    }
}

#[test]
fn an_event_stream_is_not_gathered_for_others() {
    let origin = Origin::run(move |_, stream| say(stream, EVENTS));
    let shield = Shield::with(&origin, |config| {
        config.limits.drain_timeout = Duration::from_millis(10);
    });
    // Whoever comes second must neither wait for the first one's end nor get its events from a store.
    let mut readers = [shield.client(), shield.client()];
    for reader in &mut readers {
        reader.send(get("/events", "Accept: text/event-stream\r\n"));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(reader.take(1).expect("the head comes"));
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 200") && !head.contains("stored"), "{head}");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_status_says_who_waits_and_the_metrics_who_went() {
    let (origin, release) = held();
    let shield = Shield::with(&origin, |config| config.sites[0].origin.max_concurrency = 1);
    let (mut one, mut two) = (shield.client(), shield.client());
    one.send(get("/held", ""));
    until("the origin is asked", || origin.count() == 1);
    two.send(get("/waits", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"anonymous\":1"));
    let status: serde_json::Value =
        serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
    assert_eq!(status["origin"]["limit"], 1);
    assert_eq!(status["origin"]["in_flight"], 1);
    assert!(status["origin"]["oldest_wait_ms"].is_u64());
    drop(release);
    one.read("GET").assert_status(200);
    two.read("GET").assert_status(200);
    assert_eq!(shield.metric("seawall_origin_granted_total{class=\"anonymous\"}"), 2);
    assert_eq!(shield.metric("seawall_origin_refused_total{class=\"anonymous\"}"), 0);
}

#[test]
fn an_origin_that_fails_under_load_gets_less_to_do() {
    // Each page fails and is another kind of page, so that none is known for always failing.
    let origin = Origin::answering(|_| {
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    assert_eq!(shield.metric("seawall_origin_limit_requests"), 8);
    let mut letters =
        ('a'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("/{a}{b}"))).cycle();
    until("the limit has fallen", || {
        let path = letters.next().expect("it repeats");
        client.get(&path, "").assert_status(503);
        shield.metric("seawall_origin_limit_requests") <= 4
    });
}

#[test]
fn whoever_had_more_than_its_budget_waits_behind_others_and_is_served_by_an_idle_origin() {
    let (origin, release) = held();
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.origin_budget = PerSecond(1.0);
        config.limits.origin_budget_burst = Duration::from_millis(100);
    });
    let (mut one, mut two) = (shield.client(), shield.client());
    for page in 0..10 {
        one.get(&format!("/{page}"), "").assert_status(200);
    }
    one.send(get("/held", ""));
    until("the origin is asked", || origin.count() == 11);
    two.send(get("/waits", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"demoted\":1"));
    drop(release);
    one.read("GET").assert_status(200);
    two.read("GET").assert_status(200);
}

#[test]
fn a_reader_beside_an_attacker_goes_first_by_the_order_of_its_fields() {
    let (origin, release) = held();
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        // Neither is over its budget: what counts here is the order within a class.
        config.limits.origin_budget = PerSecond(1e6);
    });
    const TOOL: &str = "Accept: */*\r\nUser-Agent: tool\r\n";
    const BROWSER: &str = "User-Agent: browser\r\nAccept: */*\r\n";
    let mut tool = shield.client();
    for page in 0..50 {
        tool.get(&format!("/{page}"), TOOL).assert_status(200);
    }
    let (mut one, mut reader) = (shield.client(), shield.client());
    one.send(get("/held", BROWSER));
    until("the origin is asked", || origin.count() == 51);
    tool.send(get("/tool", TOOL));
    until("the tool waits", || shield.admin("GET", "/status").contains("\"anonymous\":1"));
    reader.send(get("/reader", BROWSER));
    until("both wait", || shield.admin("GET", "/status").contains("\"anonymous\":2"));
    drop(release);
    for client in [&mut one, &mut reader, &mut tool] {
        client.read("GET").assert_status(200);
    }
    let order: Vec<String> =
        origin.asked().iter().skip(51).map(|asked| asked.path().to_owned()).collect();
    assert_eq!(order, ["/reader", "/tool"]);
}

#[test]
fn the_status_says_what_lists_there_are_and_where_the_work_comes_from() {
    let origin = Origin::answering(|_| ok("Cache-Control: no-store\r\n", "a page"));
    let country = |first: &str, last: &str, code: &str| RegisteredRange {
        first: first.parse().expect("an address"),
        last: last.parse().expect("an address"),
        country: Country::new(code).expect("a code"),
    };
    let shield = Shield::with(&origin, |config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a prefix")];
        let ranges =
            [country("192.0.2.0", "192.0.2.255", "UA"), country("2001:db8::", "2001:db8::f", "DE")];
        config.countries = Arc::new(Countries::new(&ranges));
        config.lists = vec![List { name: "country_db", entries: 2, written: None }];
    });
    let mut client = shield.client();
    for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "203.0.113.1"] {
        client.get("/", &format!("X-Forwarded-For: {from}\r\n")).assert_status(200);
    }
    let status: serde_json::Value =
        serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
    let work = status["work_by_country"].as_array().expect("a list");
    assert_eq!((&work[0]["country"], work.len()), (&"UA".into(), 3), "{status}");
    assert!((58..=60).contains(&work[0]["percent"].as_u64().expect("a number")), "{status}");
    assert_eq!(status["lists"][0]["entries"], 2);
}

#[test]
fn whoever_asks_for_the_status_first_is_told_the_rate() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "a page");
    let shield = Shield::before(&origin);
    // What answers has counted once by then.
    shield.admin("GET", "/metrics");
    let mut client = shield.client();
    for _ in 0..50 {
        client.get("/", "").assert_status(200);
    }
    let status: serde_json::Value =
        serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
    assert!(status["requests_per_s"].as_f64().expect("a number") > 0.0, "{status}");
}
