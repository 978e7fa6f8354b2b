//! Whatever the origin does wrong, nobody takes it for a page, and nothing of it is stored.

use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use crate::client::get;
use crate::origin::{Asked, Origin, Then, nobody, ok, respond, say};
use crate::shield::{Shield, until};

#[test]
fn a_dead_origin_is_said_with_a_code() {
    let (_grave, address) = nobody();
    let shield = Shield::at(address, |_| {});
    let mut client = shield.client();
    for _ in 0..2 {
        let got = client.get("/", "");
        got.assert_status(502);
        assert!(got.text().contains("SW-302"), "{}", got.text());
        assert!(got.field("retry-after").is_some(), "{}", got.head);
        assert_eq!(got.field("cache-control").as_deref(), Some("no-store"));
    }
}

/// Answers with `broken` and closes, every time. The reader must never see a whole 200, now or
/// from the cache.
#[track_caller]
fn check_broken(broken: &'static str) {
    let origin = Origin::run(move |_, stream| {
        say(stream, broken);
        Then::Close
    });
    let shield = Shield::before(&origin);
    for round in 1..=2 {
        let mut client = shield.client();
        client.send(get("/page", ""));
        if let Ok(got) = client.try_read("GET") {
            assert_eq!(got.status, 502, "{}\n{}", got.head, got.text());
        }
        assert_eq!(origin.count(), round, "what is broken is not held");
    }
    assert_eq!(shield.metric("seawall_cache_entries"), 0);
}

macro_rules! broken {
    ($($name:ident: $answer:expr;)*) => {
        $(#[test]
        fn $name() {
            check_broken($answer);
        })*
    };
}

broken! {
    no_answer_is_no_page: "";
    half_a_head_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Le";
    garbage_is_no_page: "\0\u{1}\u{2}hello\r\n\r\n";
    another_protocol_is_no_page: "SSH-2.0-OpenSSH_9.9\r\n";
    a_short_body_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 100\r\n\r\nshort";
    an_unfinished_chunk_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel";
    missing_last_chunk_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    missing_end_of_trailers_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n";
    a_bad_chunk_size_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n0\r\n\r\n";
    two_lengths_are_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello";
    a_length_that_is_no_number_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: five\r\n\r\nhello";
    a_folded_field_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nX-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello";
    space_before_the_colon_is_no_page: "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length : 5\r\n\r\nhello";
    a_status_out_of_range_is_no_page: "HTTP/1.1 2000 OK\r\nCache-Control: max-age=600\r\nContent-Length: 5\r\n\r\nhello";
}

#[test]
fn a_head_without_end_is_no_page() {
    let origin = Origin::run(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\n");
        while say(stream, format!("X-Filler: {}\r\n", "x".repeat(1_000))) == Then::Keep {}
        Then::Close
    });
    let shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(502);
}

#[test]
fn bytes_after_an_answer_are_not_the_next_answer() {
    let planted = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\nevil";
    let origin = Origin::answering(move |asked| {
        let mut answer = ok("Cache-Control: no-store\r\n", asked.path());
        if asked.path() == "/split" {
            answer.extend_from_slice(planted.as_bytes());
        }
        answer
    });
    // One worker, so that both requests would use the same connection.
    let shield = Shield::with(&origin, |config| config.workers = 1);
    let mut client = shield.client();
    for _ in 0..5 {
        client.get("/split", "").assert_status(200).assert_body("/split");
        client.get("/next", "").assert_status(200).assert_body("/next");
    }
}

/// Runs a script that can block until the test ends, in place of being slow.
fn stuck(first: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> (Origin, Sender<()>) {
    let (release, wait) = channel();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| {
        first(asked, stream);
        let _ = wait.lock().expect("no panic").recv();
        Then::Close
    });
    (origin, release)
}

#[test]
fn an_origin_that_takes_too_long_is_said_so() {
    let (origin, _release) = stuck(|_, _| {});
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.header_timeout = Duration::from_millis(200);
    });
    shield.client().get("/", "").assert_status(504);
}

#[test]
fn a_body_that_stops_is_broken_off() {
    let (origin, _release) = stuck(|_, stream| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.idle_timeout = Duration::from_millis(200);
    });
    let mut client = shield.client();
    client.send(get("/", ""));
    assert!(client.try_read("GET").is_err(), "five of ten bytes are no page");
    assert_eq!(shield.metric("seawall_cache_entries"), 0);
}

#[test]
fn a_kept_connection_that_the_origin_closed_is_replaced() {
    let origin = Origin::run(|_, stream| {
        say(stream, ok("Cache-Control: no-store\r\n", "hello"));
        Then::Close
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for _ in 0..20 {
        client.get("/", "").assert_status(200).assert_body("hello");
    }
    assert_eq!(origin.count(), 20);
}

#[test]
fn a_request_with_content_is_sent_once_at_most() {
    let origin = Origin::run(|asked, stream| {
        if asked.line().starts_with("GET") {
            return say(stream, ok("Cache-Control: no-store\r\n", "hello"));
        }
        Then::Close
    });
    let shield = Shield::with(&origin, |config| config.workers = 1);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    client.send("POST /buy HTTP/1.1\r\nHost: example.org\r\nContent-Length: 3\r\n\r\none");
    client.read("POST").assert_status(502);
    let sent = origin.asked().iter().filter(|asked| asked.path() == "/buy").count();
    assert_eq!(sent, 1);
}

/// Stale when it comes, and usable after an error.
const STALE: &str = "Cache-Control: max-age=1, stale-if-error=600\r\nAge: 100\r\n";

#[test]
fn a_stored_page_stands_in_for_a_dead_origin() {
    let mut origin = Origin::page(STALE, "hello");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_body("hello");
    client.get("/", "").assert_status(200).assert_cache("fwd=");
    origin.die();
    client.get("/", "").assert_status(200).assert_body("hello").assert_cache("hit");
    client.get("/other", "").assert_status(502);
}

#[test]
fn a_stored_page_stands_in_for_an_error() {
    let origin = Origin::answering(|asked| match asked.before {
        0 => ok(STALE, "hello"),
        1 => respond("503 Service Unavailable", "", "busy"),
        2 => Vec::from("nonsense\r\n\r\n"),
        _ => respond("404 Not Found", "Cache-Control: no-store\r\n", "gone"),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for _ in 0..3 {
        client.get("/", "").assert_status(200).assert_body("hello");
    }
    // A 404 is an answer, not an error.
    client.get("/", "").assert_status(404).assert_body("gone");
    assert_eq!(origin.count(), 4);
}

#[test]
fn a_stale_page_is_served_while_it_is_fetched_once() {
    let origin = Origin::answering(|asked| match asked.before {
        0 => ok("Cache-Control: max-age=1, stale-while-revalidate=600\r\nAge: 100\r\n", "old"),
        _ => ok("Cache-Control: max-age=600\r\n", "new"),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_body("old");
    client.get("/", "").assert_status(200).assert_body("old").assert_cache("hit");
    until("the page is new", || {
        let got = client.get("/", "");
        got.assert_status(200).assert_cache("hit");
        got.text() == "new"
    });
    assert_eq!(origin.count(), 2);
}
