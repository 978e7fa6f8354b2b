//! What readers send arrives whole, once, and only if there is room for it.

use crate::origin::{Origin, ok};
use crate::shield::{Shield, content};

fn with_length(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Chunks of uneven sizes, one with an extension, and a trailer.
fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut request =
        b"POST /form HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for (number, chunk) in body.chunks(7_001).enumerate() {
        let extension = if number == 1 { ";a=b" } else { "" };
        request.extend(format!("{:X}{extension}\r\n", chunk.len()).into_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\nX-Sum: 1\r\n\r\n");
    request
}

fn receiver() -> Origin {
    Origin::answering(|asked| ok("", format!("got {}", asked.body.len())))
}

#[test]
fn content_arrives_byte_by_byte() {
    type Form = fn(&[u8]) -> Vec<u8>;
    for form in [with_length as Form, in_chunks] {
        // In memory, and through the spool's file.
        for len in [1, 100 * 1024, 3 << 20] {
            let origin = receiver();
            let shield = Shield::before(&origin);
            let sent = content(len);
            let mut client = shield.client();
            client.send(form(&sent));
            client.read("POST").assert_status(200).assert_body(format!("got {len}"));
            assert!(origin.only().body == sent, "{len} bytes are the same");
            // And the framing is intact for what follows.
            client.get("/next", "").assert_status(200).assert_body("got 0");
        }
    }
}

#[test]
fn no_content_is_not_taken_for_some() {
    let origin = receiver();
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("POST /a HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n");
    client.read("POST").assert_status(200).assert_body("got 0");
    client.send("POST /b HTTP/1.1\r\nHost: example.org\r\n\r\n");
    client.read("POST").assert_status(200).assert_body("got 0");
    client.send(
        "POST /c HTTP/1.1\r\nHost: example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    client.read("POST").assert_status(200).assert_body("got 0");
    assert_eq!(origin.count(), 3);
}

#[test]
fn a_client_that_asks_is_told_to_go_on() {
    let origin = receiver();
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send(
        "POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    client.read("POST").assert_status(100);
    client.send("hello");
    client.read("POST").assert_status(200).assert_body("got 5");
    let asked = origin.only();
    assert_eq!((asked.body.as_slice(), asked.field("expect")), (b"hello".as_slice(), None));
}

#[test]
fn too_much_is_refused_before_it_is_read() {
    let origin = receiver();
    let shield = Shield::with(&origin, |config| config.limits.max_body_bytes = 1_000);
    let mut client = shield.client();
    client.send(
        "POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1001\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    let refused = client.read("POST");
    refused.assert_status(413);
    assert_eq!(refused.field("connection").as_deref(), Some("close"));
    client.assert_over();
    // At the bound it passes.
    let mut client = shield.client();
    client.send(with_length(&content(1_000)));
    client.read("POST").assert_status(200).assert_body("got 1000");
    assert_eq!(origin.count(), 1);
}

#[test]
fn too_much_in_chunks_is_refused_at_the_bound() {
    let origin = receiver();
    let shield = Shield::with(&origin, |config| config.limits.max_body_bytes = 1_000);
    let mut client = shield.client();
    client.send_anyway(in_chunks(&content(9_000)));
    client.read("POST").assert_status(413);
    client.assert_over();
    shield.client().get("/marker", "").assert_status(200);
    assert_eq!(origin.only().path(), "/marker");
}

#[test]
fn an_upload_that_breaks_off_never_reaches_the_origin() {
    let origin = receiver();
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client
        .send("POST /form HTTP/1.1\r\nHost: example.org\r\nContent-Length: 10\r\n\r\nhel")
        .finish();
    client.rest();
    shield.client().get("/marker", "").assert_status(200);
    assert_eq!(origin.only().path(), "/marker");
}
