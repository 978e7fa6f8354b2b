//! Content framing: every chunk rule, and nothing between message and message lost.

use seawall_model::Misbehaviour::{self, Chunk, FieldLine, HeadTooLarge, LineEnd, ObsFold};
use seawall_wire::http1::{BodyDecoder, BodyFraming, BodyStep, Refusal, Trailer};

/// What came of a message: its content, its trailers, and how many bytes belong to it.
#[derive(Debug, PartialEq)]
struct Message {
    content: Vec<u8>,
    trailers: Vec<Trailer>,
    bytes: usize,
}

/// Decodes `raw` as it would come in reads of `step` bytes. `None` if the message is unfinished.
fn decode(framing: BodyFraming, raw: &[u8], step: usize) -> Result<Option<Message>, Refusal> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut at, mut there) = (0, 0);
    let mut content = Vec::new();
    loop {
        match decoder.decode(&raw[at..there])? {
            BodyStep::NeedMore if there == raw.len() => return Ok(None),
            BodyStep::NeedMore => there = raw.len().min(there + step),
            BodyStep::Data { skip, len } => {
                assert!(len > 0 && at + skip + len <= there);
                content.extend_from_slice(&raw[at + skip..at + skip + len]);
                at += skip + len;
            }
            BodyStep::End { consumed } => {
                assert!(decoder.is_done());
                assert_eq!(decoder.decode(&raw[at..]), Ok(BodyStep::End { consumed: 0 }));
                let trailers = decoder.take_trailers();
                return Ok(Some(Message { content, trailers, bytes: at + consumed }));
            }
        }
    }
}

#[track_caller]
fn decode_every_way(framing: BodyFraming, raw: &[u8]) -> Result<Option<Message>, Refusal> {
    let want = decode(framing, raw, raw.len().max(1));
    for step in 1..raw.len() {
        assert_eq!(decode(framing, raw, step), want, "in reads of {step}: {}", raw.escape_ascii());
    }
    want
}

#[track_caller]
fn check(framing: BodyFraming, raw: &str, content: &str, rest: &str) {
    let message = decode_every_way(framing, raw.as_bytes()).expect("accepted").expect("whole");
    assert_eq!(message.content, content.as_bytes(), "{}", raw.escape_debug());
    assert_eq!(&raw[message.bytes..], rest, "{}", raw.escape_debug());
}

#[test]
fn content_is_found_and_the_next_message_left_alone() {
    use BodyFraming::{Chunked, Length, None};
    check(None, "GET /", "", "GET /");
    check(Length(0), "GET /", "", "GET /");
    check(Length(3), "abcGET /", "abc", "GET /");
    check(Chunked, "0\r\n\r\nGET /", "", "GET /");
    check(Chunked, "3\r\nabc\r\n0\r\n\r\nGET /", "abc", "GET /");
    check(Chunked, "3\r\na\r\n\r\n1\r\nb\r\n0\r\n\r\n", "a\r\nb", "");
    check(
        Chunked,
        "A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n",
        "01234567890123456789",
        "",
    );
    check(Chunked, "1;a\r\nx\r\n1;a=\"b;c\";d\r\ny\r\n0;last\r\n\r\n", "xy", "");
    check(Chunked, "0000000000000001\r\nx\r\n0\r\n\r\n", "x", "");
    check(Chunked, "0\r\nA: b\r\n\r\nGET /", "", "GET /");
}

#[test]
fn unfinished_content_waits() {
    let raw = b"3;x\r\nabc\r\n0\r\nA: b\r\n\r\n";
    for len in 0..raw.len() {
        assert_eq!(decode_every_way(BodyFraming::Chunked, &raw[..len]), Ok(None), "{len}");
    }
    assert_eq!(decode_every_way(BodyFraming::Length(4), b"abc"), Ok(None));
}

#[test]
fn malformed_chunks_are_refused() {
    let long_extension = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(256));
    let many_extensions =
        format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(250)).repeat(70));
    let many_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(33));
    let large_trailers = format!("0\r\nA: {}\r\n\r\n", "b".repeat(9000));
    let cases: [(&str, Misbehaviour); 38] = [
        ("\r\n", Chunk),
        ("x\r\n", Chunk),
        ("0x1\r\nx\r\n", Chunk),
        ("+1\r\nx\r\n", Chunk),
        ("-1\r\nx\r\n", Chunk),
        (" 1\r\nx\r\n", Chunk),
        ("1 \r\nx\r\n", Chunk),
        ("1 ;a\r\nx\r\n", Chunk),
        ("\t1\r\nx\r\n", Chunk),
        ("1\t\r\nx\r\n", Chunk),
        ("1,1\r\nx\r\n", Chunk),
        ("1_0\r\nx\r\n", Chunk),
        ("1.0\r\nx\r\n", Chunk),
        ("1h\r\nx\r\n", Chunk),
        (";a\r\nx\r\n", Chunk),
        ("1\0\r\nx\r\n", Chunk),
        ("1;\0\r\nx\r\n", Chunk),
        ("1;a\x7f\r\nx\r\n", Chunk),
        ("10000000000000000\r\n", Chunk),
        ("00000000000000001\r\nx\r\n", Chunk),
        ("1\nx\r\n", LineEnd),
        ("1\rx\r\n", LineEnd),
        ("1\r\r\nx\r\n", LineEnd),
        ("1;a\nx\r\n", LineEnd),
        ("1;a\rb\r\nx\r\n", LineEnd),
        ("1\r\nx\n0\r\n\r\n", LineEnd),
        ("1\r\nx\r0\r\n\r\n", LineEnd),
        ("1\r\nxy\r\n0\r\n\r\n", Chunk),
        ("1\r\nx0\r\n\r\n", Chunk),
        ("1\r\nx\r\n\r\n0\r\n\r\n", Chunk),
        ("0\n\n", LineEnd),
        ("0\r\n\n", LineEnd),
        ("0\r\nA : b\r\n\r\n", FieldLine),
        ("0\r\nA: b\r\n c\r\n\r\n", ObsFold),
        (&long_extension, Chunk),
        (&many_extensions, Chunk),
        (&many_trailers, HeadTooLarge),
        (&large_trailers, HeadTooLarge),
    ];
    for (raw, want) in cases {
        let got = if raw.len() < 1000 {
            decode_every_way(BodyFraming::Chunked, raw.as_bytes())
        } else {
            decode(BodyFraming::Chunked, raw.as_bytes(), 1 << 20)
        };
        assert_eq!(got.map_err(|r| r.misbehaviour), Err(want), "{}", raw.escape_debug());
    }
}

#[test]
fn trailers_come_through_but_for_those_that_must_not() {
    let raw = b"0\r\nDigest: x\r\nContent-Length: 5\r\ntransfer-encoding: chunked\r\nHost: b\r\n\
                Cookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.1\r\n\
                Forwarded: for=192.0.2.1\r\nX-Sum:  \xfc \r\n\r\n";
    let message = decode_every_way(BodyFraming::Chunked, raw).expect("accepted").expect("whole");
    let names: Vec<_> = message.trailers.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
    assert_eq!(names, [(&b"Digest"[..], &b"x"[..]), (b"X-Sum", b"\xfc")]);
}

#[test]
fn sizes_up_to_64_bits_are_counted_not_reserved() {
    let mut decoder = BodyDecoder::new(BodyFraming::Chunked);
    let step = decoder.decode(b"ffffffffffffffff\r\nabc");
    assert_eq!(step, Ok(BodyStep::Data { skip: 18, len: 3 }));
    assert!(!decoder.is_done());
    let mut decoder = BodyDecoder::new(BodyFraming::Length(u64::MAX));
    assert_eq!(decoder.decode(b"abc"), Ok(BodyStep::Data { skip: 0, len: 3 }));
}
