//! What RFC 9113 forbids, by table: each row is bytes and what they must lead to.

use crate::client::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING,
    PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, head, settings,
    window_update,
};
use crate::hpack::encode;
use crate::site::{NO_TABLE, Shield};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// The connection must end with one of these codes.
#[track_caller]
fn check_ends(what: &str, client: &mut Client, bytes: &[u8], codes: &[u32]) {
    client.send(bytes);
    let code = client.goodbye();
    assert!(code.is_some_and(|code| codes.contains(&code)), "{what}: {code:?}, not of {codes:?}");
}

/// The stream must end with this code. A server may end the connection instead (RFC 9113 §5.4.2),
/// as the library does for what it cannot turn into a request at all.
#[track_caller]
fn check_resets(what: &str, shield: &Shield, bytes: &[u8], code: u32) {
    let mut client = shield.client();
    client.send(bytes);
    let end = client.until(|frame| matches!(frame.kind, GOAWAY | RST_STREAM | HEADERS));
    let end = end.unwrap_or_else(|| panic!("{what}: closed without a word"));
    assert!(matches!(end.kind, RST_STREAM | GOAWAY), "{what}: {end:?}");
    assert_eq!(end.code(), code, "{what}");
    if end.kind == RST_STREAM {
        assert_eq!(end.stream, 1, "{what}");
        client.round_trip();
    }
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", "/page", &[]))
}

/// Opens stream 1 and leaves it open.
fn open() -> Vec<u8> {
    frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[]))
}

#[test]
fn frames_that_break_the_connection() {
    let shield = Shield::start();
    let block = head("GET", "/page", &[]);
    let (first, rest) = block.split_at(5);
    let begun = frame(HEADERS, END_STREAM, 1, first);
    let after = |before: &[u8], bytes: &[u8]| [before, bytes].concat();
    let size: &[u32] = &[FRAME_SIZE_ERROR, PROTOCOL_ERROR];
    let protocol: &[u32] = &[PROTOCOL_ERROR];
    let rows: Vec<(&str, Vec<u8>, &[u32])> = vec![
        ("§4.2 DATA over the frame size", after(&open(), &frame(DATA, 0, 1, &[0; 16_385])), size),
        ("§4.2 HEADERS over the frame size", frame(HEADERS, 5, 1, &[0; 16_385]), size),
        // The library says PROTOCOL_ERROR here and for the window in SETTINGS, against the RFC.
        (
            "§4.3 a block that is no HPACK",
            frame(HEADERS, 5, 1, &[0x80]),
            &[COMPRESSION_ERROR, PROTOCOL_ERROR],
        ),
        ("§5.1 DATA on an idle stream", frame(DATA, 0, 1, b"x"), protocol),
        ("§5.1 RST_STREAM on an idle stream", crate::client::reset(1), protocol),
        ("§5.1 WINDOW_UPDATE on an idle stream", window_update(1, 1), protocol),
        ("§5.1.1 an even stream", get(2), protocol),
        (
            "§5.1.1 stream ids that go down",
            after(&get(5), &get(3)),
            &[PROTOCOL_ERROR, STREAM_CLOSED],
        ),
        ("§6.1 DATA on stream 0", frame(DATA, 0, 0, b"x"), protocol),
        ("§6.1 padding over the frame", after(&open(), &frame(DATA, PADDED, 1, &[9, 0])), protocol),
        ("§6.2 HEADERS on stream 0", frame(HEADERS, 5, 0, &block), protocol),
        ("§6.2 padding over the block", frame(HEADERS, 5 | PADDED, 1, &[200, 0, 0]), protocol),
        ("§6.3 PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), protocol),
        ("§6.4 RST_STREAM on stream 0", crate::client::reset(0), protocol),
        ("§6.4 a short RST_STREAM", after(&open(), &frame(RST_STREAM, 0, 1, &[0; 3])), size),
        ("§6.5 SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), protocol),
        ("§6.5 SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, &[0; 5]), size),
        ("§6.5 an acknowledgement with content", frame(SETTINGS, ACK, 0, &[0; 6]), size),
        ("§6.5.2 ENABLE_PUSH of 2", settings(&[(2, 2)]), protocol),
        (
            "§6.5.2 window over 2^31-1",
            settings(&[(4, 1 << 31)]),
            &[FLOW_CONTROL_ERROR, PROTOCOL_ERROR],
        ),
        ("§6.5.2 frame size under 16,384", settings(&[(5, 16_383)]), protocol),
        ("§6.5.2 frame size over 2^24-1", settings(&[(5, 1 << 24)]), protocol),
        ("§6.6 PUSH_PROMISE from a client", frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2]), protocol),
        ("§6.7 PING on a stream", frame(PING, 0, 1, &[0; 8]), protocol),
        ("§6.7 PING of 7 bytes", frame(PING, 0, 0, &[0; 7]), size),
        ("§6.8 GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), protocol),
        ("§6.9 WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), size),
        ("§6.9 a window of 0 for the connection", window_update(0, 0), protocol),
        ("§6.9.1 overflow of the connection's window", window_update(0, i32::MAX as u32), &[3]),
        ("§6.10 CONTINUATION alone", frame(CONTINUATION, 4, 1, rest), protocol),
        ("§6.10 PING in a block", after(&begun, &frame(PING, 0, 0, &[0; 8])), protocol),
        ("§6.10 an unknown frame in a block", after(&begun, &frame(0xbb, 0, 0, &[])), protocol),
        ("§6.10 another stream's CONTINUATION", after(&begun, &frame(9, 4, 3, rest)), protocol),
        ("§6.10 DATA in a block", after(&begun, &frame(DATA, 0, 1, b"x")), protocol),
    ];
    for (what, bytes, codes) in rows {
        check_ends(what, &mut shield.client(), &bytes, codes);
    }
}

#[test]
fn a_connection_begins_with_the_preface_and_settings() {
    let shield = Shield::start();
    let rows: [(&str, Vec<u8>); 3] = [
        ("§3.4 another preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()),
        ("§3.4 no SETTINGS", [PREFACE, &get(1)].concat()),
        ("§3.4 HTTP/1", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in rows {
        let mut client = shield.silent();
        client.send(&bytes);
        while let Some(frame) = client.frame() {
            assert!(matches!(frame.kind, SETTINGS | WINDOW_UPDATE | GOAWAY), "{what}: {frame:?}");
        }
    }
}

#[test]
fn heads_that_break_their_stream() {
    let shield = Shield::start();
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("§8.2 a name in upper case", &[("X-A", "1")]),
        ("§8.2.1 a space in a name", &[("x a", "1")]),
        ("§8.2.1 a colon in a name", &[("x:a", "1")]),
        ("§8.2.1 an empty name", &[("", "1")]),
        ("§8.2.1 a line feed in a value", &[("x-a", "1\nx-b: 2")]),
        ("§8.2.1 a carriage return in a value", &[("x-a", "1\r2")]),
        ("§8.2.1 NUL in a value", &[("x-a", "1\u{0}2")]),
        ("§8.2.1 a space before a value", &[("x-a", " 1")]),
        ("§8.2.1 a tab after a value", &[("x-a", "1\t")]),
        ("§8.2.2 Connection", &[("connection", "x-a")]),
        ("§8.2.2 Keep-Alive", &[("keep-alive", "timeout=5")]),
        ("§8.2.2 Proxy-Connection", &[("proxy-connection", "keep-alive")]),
        ("§8.2.2 Transfer-Encoding", &[("transfer-encoding", "chunked")]),
        ("§8.2.2 Upgrade", &[("upgrade", "websocket")]),
        ("§8.2.2 TE of another kind", &[("te", "gzip")]),
        ("§8.3 an unknown pseudo-header", &[(":unknown", "1")]),
        ("§8.3 a pseudo-header of responses", &[(":status", "200")]),
        ("§8.3 a pseudo-header after a field", &[("x-a", "1"), (":path", "/b")]),
        ("§8.3.1 two paths", &[(":path", "/b")]),
        ("§8.3.1 two methods", &[(":method", "GET")]),
        ("§8.3.1 two authorities", &[(":authority", "localhost")]),
        ("§8.3.1 Host for another site", &[("host", "example.org")]),
        ("§8.3.1 two Hosts", &[("host", "localhost"), ("host", "localhost")]),
        ("§8.5 :protocol without CONNECT", &[(":protocol", "websocket")]),
        ("RFC 9110 §8.6 two lengths", &[("content-length", "0"), ("content-length", "7")]),
        ("RFC 9110 §8.6 a length with a sign", &[("content-length", "+0")]),
        ("RFC 9110 §8.6 a list of lengths", &[("content-length", "0, 0")]),
        ("§8.1.1 a length that is not true", &[("content-length", "7")]),
    ];
    for (what, more) in rows {
        let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head("GET", "/", more));
        check_resets(what, &shield, &bytes, PROTOCOL_ERROR);
    }
    assert_eq!(shield.client().get(1, "/page").status(), "200");
    assert_eq!(shield.request().0, "GET /page HTTP/1.1", "nothing of the rest was passed on");
}

#[test]
fn pseudo_headers_that_break_their_stream() {
    let shield = Shield::start();
    let (m, s, a) = ((":method", "GET"), (":scheme", "https"), (":authority", "localhost"));
    let p = (":path", "/");
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("§8.3.1 no method", &[s, a, p]),
        ("§8.3.1 no scheme", &[m, a, p]),
        ("§8.3.1 no path", &[m, s, a]),
        ("§8.3.1 an empty path", &[m, s, a, (":path", "")]),
        ("§8.3.1 a path without a slash", &[m, s, a, (":path", "page")]),
        ("§8.3.1 an asterisk in GET", &[m, s, a, (":path", "*")]),
        ("§8.3.1 a path with a space", &[m, s, a, (":path", "/a b")]),
        ("§8.3.1 no authority and no Host", &[m, s, p]),
        ("§8.3.1 an empty authority", &[m, s, (":authority", ""), p]),
        ("§8.3.1 userinfo", &[m, s, (":authority", "me@localhost"), p]),
        ("§8.3.1 a method that is no token", &[(":method", "G T"), s, a, p]),
        ("§8.5 CONNECT with a path", &[(":method", "CONNECT"), a, p]),
        ("§8.5 CONNECT with a scheme", &[(":method", "CONNECT"), s, a]),
    ];
    for (what, fields) in rows {
        let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &encode(fields));
        check_resets(what, &shield, &bytes, PROTOCOL_ERROR);
    }
}

#[test]
fn content_that_breaks_its_stream() {
    let shield = Shield::start();
    let promised = |length: &str, content: &[u8]| {
        let block = head("POST", "/form", &[("content-length", length)]);
        let data = frame(DATA, END_STREAM, 1, content);
        [frame(HEADERS, END_HEADERS, 1, &block), data].concat()
    };
    let then = |bytes: &[u8]| [&open()[..], bytes].concat();
    let trailers = frame(HEADERS, END_HEADERS, 1, &encode(&[("x-sum", "1")]));
    let rows = [
        ("§8.1.1 less than promised", promised("3", b"ab"), PROTOCOL_ERROR),
        ("§8.1.1 more than promised", promised("1", b"ab"), PROTOCOL_ERROR),
        ("§6.9 a window of 0", then(&window_update(1, 0)), PROTOCOL_ERROR),
        ("§6.9.1 overflow", then(&window_update(1, i32::MAX as u32)), FLOW_CONTROL_ERROR),
        ("§8.1 trailers that do not end it", then(&trailers), PROTOCOL_ERROR),
    ];
    for (what, bytes, code) in rows {
        check_resets(what, &shield, &bytes, code);
    }
}

#[test]
fn what_must_be_ignored_is_ignored() {
    let shield = Shield::start();
    let rows = [
        ("§4.1 an unknown frame", frame(0xbb, 0xff, 0, b"x")),
        ("§4.1 the reserved bit", frame(PING, 0, 1 << 31, &[0; 8])),
        ("§5.1 PRIORITY on an idle stream", frame(PRIORITY, 0, 99, &[0, 0, 0, 0, 1])),
        ("§6.5.2 an unknown setting", settings(&[(0xbbbb, 7)])),
        ("§6.7 unknown flags", frame(PING, 0x16, 0, &[0; 8])),
    ];
    let mut client = shield.client();
    for (at, (what, bytes)) in rows.into_iter().enumerate() {
        client.send(&bytes);
        let reply = client.get(at as u32 * 2 + 1, "/page");
        assert_eq!(reply.status(), "200", "{what}");
    }
}

#[test]
fn a_block_in_pieces_is_one_block() {
    let shield = Shield::start();
    let mut client = shield.client_with(&[NO_TABLE]);
    let block = head("GET", "/page", &[("x-long", &"y".repeat(200))]);
    let mut bytes = frame(HEADERS, END_STREAM, 1, &block[..50]);
    bytes.extend(frame(CONTINUATION, 0, 1, &[]));
    bytes.extend(frame(CONTINUATION, 0, 1, &block[50..60]));
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &block[60..]));
    for byte in bytes {
        client.send(&[byte]);
    }
    assert_eq!(client.reply(1).body, b"hello");
}
