//! What is refused, how it is said, and that the origin hears nothing of it.

use seawall_edge::config::{Config, Route};
use seawall_model::{Method, PerSecond, Prefix};

use crate::client::get;
use crate::origin::Origin;
use crate::shield::Shield;

const FRESH: &str = "Cache-Control: max-age=600\r\n";

fn loopback() -> Vec<Prefix> {
    vec!["127.0.0.0/8".parse().expect("a prefix")]
}

#[test]
fn a_denied_source_is_closed_without_an_answer() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| config.deny = loopback());
    let mut client = shield.client();
    client.send_anyway(get("/", ""));
    assert_eq!(client.rest().0, b"");
    assert_eq!(origin.count(), 0);
}

#[test]
fn an_allowed_source_is_never_denied() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| {
        config.deny = loopback();
        config.allow = loopback();
    });
    shield.client().get("/", "").assert_status(200);
}

fn three_at_once(config: &mut Config) {
    config.limits.held_rate = PerSecond(0.01);
    config.limits.held_burst = 3;
}

#[test]
fn held_pages_beyond_the_burst_are_refused() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, three_at_once);
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_cache("fwd=");
    for _ in 0..3 {
        client.get("/", "").assert_status(200).assert_cache("hit");
    }
    let refused = client.get("/", "");
    refused.assert_status(429);
    assert!(refused.text().contains("SW-106"), "{}", refused.text());
    let after: u64 = refused.field("retry-after").and_then(|s| s.parse().ok()).expect("seconds");
    assert!((1..=100).contains(&after), "{after}");
    // On a fresh connection too.
    shield.client().get("/", "").assert_status(429);
    // What is not held is another budget's business.
    client.get("/other", "").assert_status(200);
}

/// A shield whose budget for `/` is spent, and which lets nobody read `/closed`.
fn spent(origin: &Origin, adjust: impl FnOnce(&mut Config)) -> Shield {
    let shield = Shield::with(origin, |config| {
        three_at_once(config);
        config.sites[0].routes = vec![Route {
            path: "/closed".to_owned(),
            allow_sources: Some(Vec::new()),
            ..Route::default()
        }];
        adjust(config);
    });
    let mut client = shield.client();
    for status in [200, 200, 200, 200, 429] {
        client.get("/", "").assert_status(status);
    }
    shield
}

#[test]
fn who_is_beyond_a_budget_keeps_the_connection_and_who_is_shut_out_does_not() {
    let origin = Origin::page(FRESH, "hello");
    let shield = spent(&origin, |_| {});
    let mut client = shield.client();
    for _ in 0..3 {
        let refused = client.get("/", "");
        refused.assert_status(429);
        assert_eq!(refused.field("connection"), None, "{}", refused.head);
    }
    client.get("/other", "").assert_status(200);
    // Who wants no more is answered before a task exists.
    for (path, fields, status) in [("/", "Connection: close\r\n", 429), ("/closed", "", 403)] {
        let mut client = shield.client();
        let refused = client.get(path, fields);
        refused.assert_status(status);
        assert_eq!(refused.field("connection").as_deref(), Some("close"), "{}", refused.head);
        client.assert_over();
    }
}

#[test]
fn nobody_keeps_a_connection_that_begins_with_a_refusal_while_there_are_many() {
    let origin = Origin::page(FRESH, "hello");
    let shield = spent(&origin, |config| {
        config.limits.max_connections = 10;
        config.limits.shed_above_percent = 10;
    });
    let mut client = shield.client();
    client.get("/", "").assert_status(429);
    client.assert_over();
}

#[test]
fn the_same_refusal_is_put_for_each_as_he_can_use_it_however_often_it_is_told() {
    const PAGE: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let origin = Origin::page(FRESH, "hello");
    let shield = spent(&origin, |_| {});
    let mut client = shield.client();
    for _ in 0..2 {
        for (fields, kind, start) in [
            (PAGE, "text/html; charset=utf-8", "<!DOCTYPE html>"),
            ("Accept: application/json\r\n", "application/problem+json", "{\"title\":"),
            ("", "text/plain; charset=utf-8", "Too many pages"),
        ] {
            let got = client.get("/", fields);
            got.assert_status(429);
            assert_eq!(got.field("content-type").as_deref(), Some(kind));
            assert_eq!(got.field("cache-control").as_deref(), Some("no-store"));
            assert_eq!(got.field("cache-status").as_deref(), Some("seawall"));
            assert!(got.field("retry-after").is_some(), "{}", got.head);
            assert!(
                got.text().starts_with(start) && got.text().contains("SW-106"),
                "{}",
                got.text()
            );
            client.send(format!("HEAD / HTTP/1.1\r\nHost: example.org\r\n{fields}\r\n"));
            let head = client.read("HEAD");
            head.assert_status(429);
            assert_eq!(head.field("content-length"), got.field("content-length"));
        }
    }
}

#[test]
fn an_allowed_source_has_no_budget() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| {
        three_at_once(config);
        config.allow = loopback();
    });
    let mut client = shield.client();
    for _ in 0..10 {
        client.get("/", "").assert_status(200);
    }
}

#[test]
fn methods_that_are_not_taken_are_refused() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| {
        config.sites[0].methods = vec![Method::Get, Method::Head];
    });
    for (method, status) in [("POST", 405), ("DELETE", 405), ("TRACE", 405), ("BREW", 501)] {
        let mut client = shield.client();
        client.send(format!("{method} / HTTP/1.1\r\nHost: example.org\r\n\r\n"));
        let got = client.read(method);
        got.assert_status(status);
        if status == 405 {
            assert_eq!(got.field("allow").as_deref(), Some("GET, HEAD"), "{method}");
        }
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn no_site_takes_connect_or_trace() {
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    for request in [
        "TRACE / HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
    ] {
        let mut client = shield.client();
        client.send(request);
        let got = client.read("GET");
        assert!(matches!(got.status, 400 | 405), "{}", got.head);
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn heads_beyond_the_bounds_are_refused() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| {
        config.limits.max_head_bytes = 4 * 1024;
        config.limits.max_target_bytes = 1_024;
        config.limits.max_fields = 20;
    });
    let long_path = get(&format!("/{}", "a".repeat(1_100)), "");
    let long_head = get("/", &format!("X-Long: {}\r\n", "a".repeat(5_000)));
    let many = get("/", &"X-A: b\r\n".repeat(21));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(100_000));
    let endless_path = format!("GET /{}", "a".repeat(100_000));
    for (request, status) in
        [(long_path, 414), (long_head, 431), (many, 431), (endless, 431), (endless_path, 414)]
    {
        let mut client = shield.client();
        client.send_anyway(request);
        client.read("GET").assert_status(status);
        client.assert_over();
    }
    shield.client().get(&format!("/{}", "a".repeat(1_000)), "").assert_status(200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_closed_route_is_closed_in_every_spelling() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| {
        config.sites[0].routes = vec![Route {
            path: "/xmlrpc.php".to_owned(),
            allow_sources: Some(Vec::new()),
            ..Route::default()
        }];
    });
    for path in
        ["/xmlrpc.php", "//xmlrpc.php", "/%78mlrpc.php", "/a/../xmlrpc.php", "/./xmlrpc.php?a=b"]
    {
        let refused = shield.client().get(path, "");
        assert_eq!(refused.status, 403, "{path}: {}", refused.head);
    }
    shield.client().get("/index.php", "").assert_status(200);
    assert_eq!(origin.only().path(), "/index.php");
}

#[test]
fn one_source_has_so_many_connections_and_no_more() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| config.limits.max_connections_of_one = 2);
    let (mut one, mut two, mut three) = (shield.client(), shield.client(), shield.client());
    one.get("/", "").assert_status(200);
    two.get("/", "").assert_status(200);
    three.send_anyway(get("/", ""));
    assert_eq!(three.rest().0, b"");
    one.get("/", "").assert_status(200);
}

#[test]
fn a_reader_who_wants_html_gets_a_page_without_script() {
    let origin = Origin::page(FRESH, "");
    let shield = Shield::with(&origin, |config| config.sites[0].hosts = vec!["a".to_owned()]);
    let got = shield.client().get("/", "Accept: text/html\r\n");
    got.assert_status(421);
    assert!(got.text().starts_with("<!DOCTYPE html>") && !got.text().contains("<script"));
    assert_eq!(got.field("content-type").as_deref(), Some("text/html; charset=utf-8"));
}
