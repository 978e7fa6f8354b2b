//! The operator's door of a running server.

use crate::origin::{Origin, ok};
use crate::shield::Shield;

/// Three held pages; which are still held after `purge`.
fn held_after(purge: &str) -> (String, Vec<bool>) {
    let origin = Origin::answering(|asked| {
        let tag = if asked.path() == "/b" { "news" } else { "other" };
        ok(&format!("Cache-Control: max-age=600\r\nSurrogate-Key: {tag}\r\n"), asked.path())
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    let pages = ["/a", "/b", "/a?x=1"];
    for page in pages {
        client.get(page, "").assert_status(200);
        client.get(page, "").assert_cache("hit");
    }
    let said = shield.admin("POST", purge);
    let held = pages.map(|page| {
        let status = client.get(page, "").field("cache-status").expect("said");
        status.contains("; hit")
    });
    (said, held.to_vec())
}

#[test]
fn a_purge_drops_what_it_names_and_no_more() {
    let cases = [
        ("/purge?url=http%3A%2F%2Fexample.org%2Fa", 1, [false, true, true]),
        ("/purge?url=http%3A%2F%2Fexample.org%2Fnone", 0, [true, true, true]),
        ("/purge?tag=news", 1, [true, false, true]),
        ("/purge?all=1", 3, [false, false, false]),
    ];
    for (purge, dropped, held) in cases {
        let (said, still) = held_after(purge);
        assert!(said.contains(&dropped.to_string()), "{purge}: {said}");
        assert_eq!(still, held, "{purge}");
    }
}

#[test]
fn a_page_stored_under_its_port_is_purged_by_its_url() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::before(&origin);
    let port = shield.addresses()[0].port();
    let mut client = shield.client();
    let mut is_hit = || {
        client.send(format!("GET /a HTTP/1.1\r\nHost: example.org:{port}\r\n\r\n"));
        let got = client.read("GET");
        got.assert_status(200);
        got.field("cache-status").expect("said").contains("; hit")
    };
    assert!(!is_hit() && is_hit());
    shield.admin("POST", &format!("/purge?url=http%3A%2F%2Fexample.org%3A{port}%2Fa"));
    assert!(!is_hit());
}

#[test]
fn status_has_the_keys_that_others_parse() {
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(200);
    let status: serde_json::Value =
        serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
    assert!(status["version"].is_string() && status["uptime_s"].is_u64(), "{status}");
    assert_eq!(status["state"], "normal");
    assert!(status["requests_per_s"].is_number());
    assert_eq!(status["origin"]["limit"], 8);
    assert_eq!(status["origin"]["in_flight"], 0);
    assert_eq!(status["origin"]["queued"], 0);
    assert_eq!(status["origin"]["healthy"], true);
    assert!(status["mitigations"].is_array() && status["memory_bytes"].as_u64() > Some(0));
}

#[test]
fn a_failing_origin_shows_in_the_status() {
    let mut origin = Origin::page("Cache-Control: no-store\r\n", "");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    let healthy = || {
        let status: serde_json::Value =
            serde_json::from_str(&shield.admin("GET", "/status")).expect("JSON");
        status["origin"]["healthy"].as_bool().expect("a truth")
    };
    client.get("/", "").assert_status(200);
    assert!(healthy());
    origin.die();
    client.get("/", "").assert_status(502);
    assert!(!healthy());
}

#[test]
fn metrics_count_what_happened() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for _ in 0..3 {
        client.get("/", "").assert_status(200);
    }
    assert_eq!(shield.metric("seawall_cache_entries"), 1);
    assert_eq!(shield.metric("seawall_connections_open"), 1);
    let text = shield.admin("GET", "/metrics");
    let hits = text
        .lines()
        .find(|line| line.starts_with("seawall_cache_answers_total") && line.contains("\"hit\""));
    assert!(hits.is_some_and(|line| line.ends_with(" 2")), "{hits:?}\n{text}");
    // Nothing a client sends becomes a label.
    assert!(!text.contains("example.org") && !text.contains("127.0.0.1"));
}
