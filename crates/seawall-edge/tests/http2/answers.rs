//! Responses as HTTP/2 wants them (RFC 9113 §8).

use crate::client::{Client, DATA, END_HEADERS, END_STREAM, HEADERS, Reply, frame, head};
use crate::hpack::encode;
use crate::site::Shield;

const FORBIDDEN: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "x-hop"];

/// RFC 9113 §8.2: lower case, nothing about a connection, one length that is true.
#[track_caller]
fn check_head(reply: &Reply) {
    for (name, _) in reply.head.iter().chain(reply.interim.iter().flatten()) {
        assert_eq!(*name, name.to_lowercase());
        assert!(!FORBIDDEN.contains(&name.as_str()), "{name} in {reply:?}");
    }
    assert_eq!(reply.head.iter().filter(|(name, _)| name == ":status").count(), 1);
    assert!(reply.head.iter().filter(|(name, _)| name == "content-length").count() <= 1);
    assert_eq!(reply.head.iter().filter(|(name, _)| name == "date").count(), 1, "{reply:?}");
}

#[test]
fn a_miss_and_a_hit_give_the_same_page_with_length_status_and_age() {
    let shield = Shield::start();
    let mut client = shield.client();
    let miss = client.get(1, "/page");
    check_head(&miss);
    assert_eq!((miss.status(), &miss.body[..]), ("200", &b"hello"[..]));
    assert_eq!(miss.field("content-length"), Some("5"));
    assert!(miss.field("cache-status").expect("told").contains("fwd=uri-miss"), "{miss:?}");

    let hit = client.get(3, "/page");
    check_head(&hit);
    assert_eq!((hit.status(), &hit.body[..]), ("200", &b"hello"[..]));
    assert_eq!(hit.field("content-length"), Some("5"));
    assert!(hit.field("cache-status").expect("told").contains("hit"), "{hit:?}");
    assert!(hit.field("age").is_some_and(|age| age.parse::<u64>().is_ok()), "{hit:?}");
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.get(1, "/page");
    for (stream, path) in [(3, "/page"), (5, "/other")] {
        client.ask(stream, "HEAD", path, &[]);
        let reply = client.reply(stream);
        check_head(&reply);
        assert_eq!((reply.status(), reply.body.len()), ("200", 0), "{path}");
        assert!(reply.field("content-length").is_some_and(|len| len != "0"), "{path}: {reply:?}");
    }
}

#[test]
fn a_response_without_content_ends_with_its_head() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.ask(1, "GET", "/empty", &[]);
    let frame = client.until(|frame| frame.kind == HEADERS).expect("a head");
    assert!(frame.ends_stream());
}

#[test]
fn fields_of_the_origins_connection_stay_there() {
    let shield = Shield::start();
    let mut client = shield.client();
    let reply = client.get(1, "/hop");
    check_head(&reply);
    assert_eq!(reply.body, b"hop");
}

#[test]
fn an_interim_response_comes_first_and_clean() {
    let shield = Shield::start();
    let mut client = shield.client();
    let reply = client.get(1, "/early");
    check_head(&reply);
    assert_eq!(reply.interim.len(), 1, "{reply:?}");
    assert_eq!(reply.interim[0][0], (":status".to_owned(), "103".to_owned()));
    assert!(reply.interim[0].contains(&("link".to_owned(), "</a.css>".to_owned())));
    assert_eq!((reply.status(), &reply.body[..]), ("200", &b"late"[..]));
}

#[test]
fn trailers_are_passed_on() {
    let shield = Shield::start();
    let mut client = shield.client();
    let reply = client.get(1, "/trailers");
    check_head(&reply);
    assert_eq!(reply.body, b"abc");
    assert_eq!(reply.trailers, Some(vec![("x-sum".to_owned(), "42".to_owned())]));
}

#[test]
fn a_page_that_breaks_off_is_reset_and_never_looks_complete() {
    let shield = Shield::start();
    let mut client = shield.client();
    let reply = client.get(1, "/broken");
    assert_eq!(reply.reset, Some(2), "INTERNAL_ERROR: {reply:?}");
    client.round_trip();
}

#[test]
fn crumbs_of_a_cookie_reach_the_origin_as_one() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.ask(1, "GET", "/mine", &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
    client.reply(1);
    let (_, fields, _) = shield.request();
    let cookies: Vec<_> = fields.iter().filter(|field| field.starts_with("cookie:")).collect();
    assert_eq!(cookies, ["cookie: a=1; b=2; c=3"]);
}

#[test]
fn a_client_that_waits_for_the_go_ahead_gets_it() {
    let shield = Shield::start();
    let mut client = shield.client();
    let block = head("POST", "/form", &[("expect", "100-continue"), ("content-length", "2")]);
    client.send(&frame(HEADERS, END_HEADERS, 1, &block));
    let go = client.until(|frame| frame.kind == HEADERS).expect("a go-ahead");
    assert_eq!(crate::hpack::decode(&go.payload), [(":status".to_owned(), "100".to_owned())]);
    client.send(&frame(DATA, END_STREAM, 1, b"hi"));
    assert_eq!(client.reply(1).status(), "200");
    let (_, fields, content) = shield.request();
    assert_eq!(content, b"hi");
    assert!(!fields.iter().any(|field| field.starts_with("expect:")), "{fields:?}");
}

#[test]
fn the_trailers_of_a_request_end_it() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.send(&frame(DATA, 0, 1, b"hi"));
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &encode(&[("x-sum", "1")])));
    assert_eq!(client.reply(1).status(), "200");
}

#[test]
fn a_request_answered_before_its_content_is_stopped_without_an_error() {
    let shield = Shield::start();
    let mut client: Client = shield.client();
    // Refused by method, so nobody wants the content.
    let fields = [(":method", "CONNECT"), (":authority", "localhost:443")];
    client.send(&frame(HEADERS, END_HEADERS, 1, &encode(&fields)));
    let reply = client.reply(1);
    assert!(reply.status().starts_with(['4', '5']), "{reply:?}");
    // RFC 9113 §8.1: NO_ERROR says that the response counts.
    let stop = client.until(|frame| frame.kind == crate::client::RST_STREAM).expect("a stop");
    assert_eq!(stop.code(), 0);
    client.round_trip();
}
