//! How streams and connections end.

use crate::client::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, frame, head, reset};
use crate::site::{Event, Shield};

#[test]
fn a_reset_while_the_origin_works_cancels_that_work() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/wait", &[])));
    client.send(&frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(shield.request().2, b"abc");
    client.send(&reset(1));
    assert_eq!(shield.event(), Event::Cancelled);
    assert_eq!(client.get(3, "/page").status(), "200", "the connection goes on");
}

#[test]
fn a_client_that_vanishes_cancels_its_work() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("DELETE", "/wait", &[])));
    shield.request();
    drop(client);
    assert_eq!(shield.event(), Event::Cancelled);
}

#[test]
fn a_reset_in_the_middle_of_content_asks_the_origin_for_nothing() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.send(&frame(DATA, 0, 1, b"abc"));
    client.send(&reset(1));
    assert_eq!(client.get(3, "/page").status(), "200");
    assert_eq!(shield.request().0, "GET /page HTTP/1.1");
}

#[test]
fn a_client_that_has_said_its_last_word_still_gets_its_answer() {
    let shield = Shield::start();
    let mut client = shield.client();
    // RFC 9113 §6.8: streams that were opened before are completed.
    let goaway = frame(GOAWAY, 0, 0, &[0; 8]);
    client.ask(1, "GET", "/page", &[]);
    client.send(&goaway);
    assert_eq!(client.reply(1).body, b"hello");
    assert!(client.until(|_| false).is_none(), "and then the connection ends");
}

#[test]
fn an_idle_connection_ends_with_goaway() {
    let shield = Shield::with(|limits| limits.idle_timeout = std::time::Duration::from_millis(300));
    let mut client = shield.client();
    client.get(1, "/page");
    let goaway = client.until(|frame| frame.kind == GOAWAY).expect("a goodbye");
    assert_eq!(goaway.code(), 0);
    assert!(client.until(|_| false).is_none(), "the connection ends without our answer");
}

#[test]
fn a_drain_finishes_what_is_under_way_and_tells_what_is_not() {
    let mut shield = Shield::start();
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.round_trip();
    let server = shield.server.take().expect("runs");
    let stopping = std::thread::spawn(move || server.stop());
    // Any frame gives the connection a turn.
    let goaway = loop {
        client.send(&frame(PING, 0, 0, &[1; 8]));
        let told = client.until(|f| matches!(f.kind, GOAWAY | PING)).expect("goes on");
        if told.kind == GOAWAY {
            break told;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    };
    assert_eq!(goaway.code(), 0);
    let ours = client.until(|frame| frame.kind == PING && frame.flags == 0).expect("a PING");
    client.send(&frame(PING, crate::client::ACK, 0, &ours.payload));
    let last = client.until(|frame| frame.kind == GOAWAY).expect("the second GOAWAY");
    assert_eq!(last.payload[..4], [0, 0, 0, 1], "stream 1 is the last that counts");
    client.send(&frame(DATA, END_STREAM, 1, b"abc"));
    assert_eq!(client.reply(1).status(), "200");
    assert!(client.until(|_| false).is_none(), "then the connection ends");
    stopping.join().expect("stops");
}
