//! What a stored response that is no longer fresh is asked about, and by whom.
//!
//! Nothing waits for a lifetime to pass: the origin says `Age`, and its responses come stale.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use crate::origin::{Asked, Origin, ok, respond, say};
use crate::shield::{Shield, until};

const STALE: &str = "ETag: \"a\"\r\nAge: 100\r\nCache-Control: max-age=1";

/// Answers 304 to the tag, the first two bytes to a range, and `0123456789` else.
fn answer(asked: &Asked, first: &str, later: &str) -> Vec<u8> {
    let fields = format!("{}\r\n", if asked.before == 0 { first } else { later });
    if asked.field("if-none-match").is_some() {
        return format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n").into_bytes();
    }
    if asked.field("range").is_some() {
        let range = format!("{fields}Content-Range: bytes 0-1/10\r\n");
        return respond("206 Partial Content", &range, "01");
    }
    ok(&fields, "0123456789")
}

#[test]
fn a_range_of_a_stale_page_is_cut_from_the_validated_page() {
    let fresh = "ETag: \"a\"\r\nCache-Control: max-age=60";
    let origin = Origin::answering(|asked| answer(asked, STALE, fresh));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    let part = client.get("/", "Range: bytes=2-4\r\n");
    part.assert_status(206).assert_body("234").assert_cache("fwd=stale; fwd-status=304");
    assert_eq!(part.field("content-range").as_deref(), Some("bytes 2-4/10"));
    let asked = &origin.asked()[1];
    assert_eq!(asked.field("if-none-match").as_deref(), Some("\"a\""));
    assert_eq!(asked.field("range"), None);
    client.get("/", "").assert_body("0123456789").assert_cache("hit");
}

#[test]
fn a_range_does_not_take_the_page_from_the_others() {
    // Without a validator the range goes to the origin as it is.
    let stale = "Age: 100\r\nCache-Control: max-age=1, stale-if-error=3600";
    let origin = Origin::answering(move |asked| match asked.before {
        2.. => respond("503 Service Unavailable", "", "down"),
        _ => answer(asked, stale, stale),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    let part = client.get("/", "Range: bytes=0-1\r\n");
    part.assert_status(206).assert_body("01").assert_cache("fwd=stale");
    client.get("/", "").assert_status(200).assert_body("0123456789").assert_cache("hit");
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_page_that_a_head_found_stale_is_fetched_whole() {
    let stale = "ETag: \"a\"\r\nAge: 100\r\nCache-Control: max-age=1, stale-while-revalidate=3600";
    let new = "ETag: \"b\"\r\nCache-Control: max-age=60\r\n";
    let origin = Origin::answering(move |asked| match asked.before {
        0 => answer(asked, stale, stale),
        _ => ok(new, if asked.line().starts_with("HEAD") { "" } else { "new" }),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    client.send("HEAD / HTTP/1.1\r\nHost: example.org\r\n\r\n").read("HEAD").assert_cache("hit");
    until("the origin is asked for the page", || client.get("/", "").text() == "new");
    let lines: Vec<String> = origin.asked().iter().map(|asked| asked.line().to_owned()).collect();
    assert_eq!(lines, ["GET / HTTP/1.1"; 2]);
}

#[test]
fn a_page_that_was_posted_to_is_asked_for_anew_and_stands_in_if_that_fails() {
    let origin =
        Origin::answering(|asked| match (asked.line().starts_with("POST"), asked.before) {
            (true, _) => {
                respond("303 See Other", "Location: /list\r\nCache-Control: no-store\r\n", "")
            }
            (_, 4) => respond("503 Service Unavailable", "", "down"),
            (_, before) => {
                ok("Cache-Control: max-age=600, stale-if-error=600\r\n", before.to_string())
            }
        });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/page", "").assert_body("0");
    client.get("/list", "").assert_body("1");
    client.get("/list", "").assert_body("1").assert_cache("hit");
    client.send("POST /page HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n");
    client.read("POST").assert_status(303);
    client.get("/page", "").assert_body("3").assert_cache("fwd=stale; stored");
    // The origin is out of order: what was held is better than nothing.
    client.get("/list", "").assert_status(200).assert_body("1").assert_cache("hit");
    client.get("/list", "").assert_body("5").assert_cache("fwd=stale; stored");
    client.get("/list", "").assert_body("5").assert_cache("hit");
}

#[test]
fn one_connection_to_the_origin_serves_validation_after_validation() {
    let ports = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&ports);
    let origin = Origin::run(move |asked, stream| {
        let port = stream.peer_addr().expect("connected").port();
        seen.lock().expect("no panic").insert(port);
        say(stream, answer(asked, STALE, STALE))
    });
    let shield = Shield::with(&origin, |config| config.workers = 1);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    for _ in 0..5 {
        client.get("/", "").assert_status(200).assert_cache("fwd=stale; fwd-status=304");
    }
    assert_eq!(origin.count(), 6);
    assert_eq!(ports.lock().expect("no panic").len(), 1);
}
