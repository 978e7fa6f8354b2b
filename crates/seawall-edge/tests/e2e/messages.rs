//! Readers get what the origin sent, byte by byte, in every form HTTP/1 has for it.

use crate::client::{Client, End, get};
use crate::origin::{Origin, Then, ok, say};
use crate::shield::{Shield, content};

const FRESH: &str = "Cache-Control: max-age=600\r\nETag: \"one\"\r\nContent-Type: text/plain\r\n";

/// A server whose cache holds `body` at `/page`.
fn holding(body: &[u8]) -> (Origin, Shield) {
    let origin = Origin::page(FRESH, body);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/page", "").assert_status(200).assert_cache("fwd=uri-miss; stored");
    (origin, shield)
}

#[test]
fn a_page_is_the_same_from_the_origin_and_from_the_cache() {
    for len in [0, 1, 1_000, 20 * 1024, 300_000] {
        let page = content(len);
        let origin = Origin::page(FRESH, &page);
        let shield = Shield::before(&origin);
        let mut client = shield.client();
        let miss = client.get("/page", "");
        miss.assert_status(200).assert_cache("fwd=uri-miss; stored");
        let hit = client.get("/page", "");
        hit.assert_status(200).assert_cache("hit");
        assert!(miss.body == page && hit.body == page, "{len} bytes");
        assert_eq!(hit.field("content-type").as_deref(), Some("text/plain"));
        assert_eq!(hit.field("etag").as_deref(), Some("\"one\""));
        assert!(hit.field("age").is_some() && hit.field("date").is_some(), "{}", hit.head);
        assert_eq!(origin.count(), 1);
    }
}

#[test]
fn head_has_the_fields_of_get_and_no_content() {
    let (origin, shield) = holding(b"hello");
    let mut client = shield.client();
    client.send("HEAD /page HTTP/1.1\r\nHost: example.org\r\n\r\n");
    let held = client.read("HEAD");
    held.assert_status(200).assert_cache("hit");
    assert_eq!(held.field("content-length").as_deref(), Some("5"));
    // The next answer begins where the head ended.
    client.get("/page", "").assert_status(200).assert_body("hello");
    assert_eq!(origin.count(), 1);
}

#[test]
fn head_of_an_unheld_page_asks_the_origin_for_its_head() {
    let origin = Origin::answering(|asked| {
        let length = if asked.line().starts_with("HEAD") { "" } else { "hello" };
        format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{length}").into_bytes()
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("HEAD /page HTTP/1.1\r\nHost: example.org\r\n\r\n");
    let head = client.read("HEAD");
    head.assert_status(200);
    assert_eq!(head.field("content-length").as_deref(), Some("5"));
    client.get("/page", "").assert_status(200).assert_body("hello");
}

#[test]
fn ranges_of_a_held_page_are_cut_exactly() {
    let (origin, shield) = holding(b"0123456789");
    let mut client = shield.client();
    let cases: [(&str, u16, &str, &str); 7] = [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-3", 206, "789", "bytes 7-9/10"),
        ("bytes=0-999", 206, "0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, "", "bytes */10"),
        ("pages=1-2", 200, "0123456789", ""),
        ("bytes=4-2", 200, "0123456789", ""),
    ];
    for (range, status, body, content_range) in cases {
        let got = client.get("/page", &format!("Range: {range}\r\n"));
        got.assert_status(status);
        if status != 416 {
            got.assert_body(body);
        }
        assert_eq!(got.field("content-range").unwrap_or_default(), content_range, "{range}");
    }
    assert_eq!(origin.count(), 1, "ranges come from the held page");
}

#[test]
fn several_ranges_come_as_parts() {
    let (_origin, shield) = holding(b"0123456789");
    let got = shield.client().get("/page", "Range: bytes=0-1,8-9\r\n");
    got.assert_status(206);
    let kind = got.field("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    let text = got.text();
    let parts: Vec<&str> = text.split(&format!("--{}", boundary.trim_matches('"'))).collect();
    assert_eq!(parts.len(), 4, "{text}");
    for (part, range, body) in
        [(parts[1], "bytes 0-1/10", "\r\n\r\n01\r\n"), (parts[2], "bytes 8-9/10", "\r\n\r\n89\r\n")]
    {
        assert!(part.contains(range) && part.ends_with(body), "{text}");
    }
    assert_eq!(parts[3].trim_end(), "--");
}

#[test]
fn if_range_decides_between_part_and_whole() {
    let (_origin, shield) = holding(b"0123456789");
    let mut client = shield.client();
    for (tag, status, body) in [("\"one\"", 206, "0"), ("\"two\"", 200, "0123456789")] {
        let got = client.get("/page", &format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n"));
        got.assert_status(status).assert_body(body);
    }
}

#[test]
fn a_reader_who_has_the_page_gets_304() {
    let (origin, shield) = holding(b"hello");
    let mut client = shield.client();
    let got = client.get("/page", "If-None-Match: \"zero\", \"one\"\r\n");
    got.assert_status(304);
    assert_eq!(got.field("etag").as_deref(), Some("\"one\""));
    client.get("/page", "If-None-Match: \"zero\"\r\n").assert_status(200).assert_body("hello");
    assert_eq!(origin.count(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = Origin::answering(|asked| ok(FRESH, format!("page {}", asked.path())));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    // Some held, some not, so that answers of both kinds follow each other.
    client.get("/1", "");
    client.get("/3", "");
    let all: String = ["/1", "/2", "/3", "/4", "/1"].map(|path| get(path, "")).concat();
    client.send(all);
    for path in ["/1", "/2", "/3", "/4", "/1"] {
        client.read("GET").assert_status(200).assert_body(format!("page {path}"));
    }
}

#[test]
fn a_request_may_come_one_byte_at_a_time() {
    let (_origin, shield) = holding(b"hello");
    let mut client = shield.client();
    for byte in get("/page", "").as_bytes() {
        client.send([*byte]);
    }
    client.read("GET").assert_status(200).assert_body("hello").assert_cache("hit");
}

#[test]
fn http_1_0_gets_what_it_understands() {
    // Without a length the end of the connection is the end of the page.
    let origin = Origin::always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    );
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n");
    let got = client.read("GET");
    got.assert_status(200).assert_body("hello");
    assert_eq!(got.field("transfer-encoding"), None);
}

#[test]
fn http_1_0_is_kept_only_when_asked() {
    let (_origin, shield) = holding(b"hello");
    let mut client = shield.client();
    for _ in 0..2 {
        client.send("GET /page HTTP/1.0\r\nHost: example.org\r\nConnection: keep-alive\r\n\r\n");
        let got = client.read("GET");
        assert_eq!(got.field("connection").as_deref(), Some("keep-alive"));
        got.assert_body("hello");
    }
    client.send("GET /page HTTP/1.0\r\nHost: example.org\r\n\r\n");
    client.read("GET").assert_body("hello");
    client.assert_over();
}

#[test]
fn connection_close_is_honoured() {
    let (_origin, shield) = holding(b"hello");
    let mut client = shield.client();
    let got = client.get("/page", "Connection: close\r\n");
    assert_eq!(got.field("connection").as_deref(), Some("close"));
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
}

#[test]
fn a_reader_who_half_closes_gets_the_answer() {
    let origin = Origin::page("", "hello");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send(get("/", "")).finish();
    client.read("GET").assert_status(200).assert_body("hello");
    client.assert_over();
}

#[test]
fn chunks_and_trailers_of_the_origin_arrive() {
    let origin = Origin::always(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\
         Cache-Control: no-store\r\n\r\n\
         3;note=x\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 19\r\n\r\n",
    );
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    let got = client.get("/", "TE: trailers\r\n");
    got.assert_status(200).assert_body("abc0123456789abcdef");
    assert_eq!(got.trailers.to_ascii_lowercase(), "x-sum: 19\r\n");
    // The framing is intact: the connection goes on.
    client.get("/", "").assert_status(200).assert_body("abc0123456789abcdef");
}

#[test]
fn a_page_without_length_is_stored_whole() {
    for framing in ["Transfer-Encoding: chunked", "Connection: close"] {
        let chunked = framing.starts_with('T');
        let origin = Origin::run(move |_, stream| {
            let body = if chunked { "5\r\nhello\r\n0\r\n\r\n" } else { "hello" };
            let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\nCache-Control: max-age=60\r\n\r\n");
            say(stream, head + body);
            if chunked { Then::Keep } else { Then::Close }
        });
        let shield = Shield::before(&origin);
        let mut client = shield.client();
        client.get("/", "").assert_status(200).assert_body("hello");
        let hit = client.get("/", "");
        hit.assert_status(200).assert_body("hello").assert_cache("hit");
        assert_eq!(hit.field("content-length").as_deref(), Some("5"));
    }
}

#[test]
fn early_hints_are_passed_on() {
    let origin = Origin::always(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: no-store\r\n\r\nhello",
    );
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send(get("/", ""));
    let hints = client.read("GET");
    hints.assert_status(103);
    assert_eq!(hints.field("link").as_deref(), Some("</a.css>; rel=preload"));
    client.read("GET").assert_status(200).assert_body("hello");
    // RFC 9110 section 15.2: not to a client of HTTP/1.0.
    client.send("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n");
    client.read("GET").assert_status(200).assert_body("hello");
}

/// Answers an upgrade and echoes what comes after it, once.
fn echo() -> Origin {
    use std::io::Read;
    Origin::run(|asked, stream| {
        if asked.field("upgrade").is_none() {
            return say(stream, ok("", "no upgrade"));
        }
        say(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nhi",
        );
        let mut buffer = [0; 1024];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 {
                break;
            }
            say(stream, &buffer[..read]);
        }
        Then::Close
    })
}

const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\n\
                       Upgrade: echo\r\nSec-WebSocket-Key: abc\r\n\r\n";

#[test]
fn an_upgraded_connection_carries_bytes_both_ways() {
    let origin = echo();
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    // What follows the head at once belongs to the new protocol.
    client.send(format!("{UPGRADE}early"));
    let got = client.read("GET");
    got.assert_status(101);
    assert_eq!(got.field("upgrade").as_deref(), Some("echo"));
    assert_eq!(got.field("connection").map(|v| v.to_lowercase()).as_deref(), Some("upgrade"));
    assert_eq!(take(&mut client, 7), "hiearly");
    for word in ["one", "GET / HTTP/1.1\r\n\r\n", "three"] {
        client.send(word);
        assert_eq!(take(&mut client, word.len()), word);
    }
    client.finish();
    assert_eq!(client.rest().0, b"");
    let asked = origin.only();
    assert_eq!(asked.field("upgrade").as_deref(), Some("echo"));
    assert_eq!(asked.field("sec-websocket-key").as_deref(), Some("abc"));
}

fn take(client: &mut Client, len: usize) -> String {
    String::from_utf8(client.take(len).expect("echoed")).expect("text")
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let origin = Origin::page("", "no");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send(UPGRADE);
    client.read("GET").assert_status(200).assert_body("no");
    client.get("/", "").assert_status(200).assert_body("no");
}
