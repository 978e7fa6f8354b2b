//! Properties of the parsers in `seawall-wire`: total, and the same however the bytes are split.
//!
//! The first bytes of an input choose how it is split; the rest is what a peer sends.

use std::net::{IpAddr, Ipv4Addr};

use seawall_model::{Fields, Http2Limits};
use seawall_wire::access_line::parse_access_line;
use seawall_wire::client_hello::{self, HelloError};
use seawall_wire::forwarded::{self, Syntax};
use seawall_wire::http1::{
    BodyDecoder, BodyFraming, BodyStep, HeadLimits, Parse, Refusal, RequestHead, RequestView,
    Trailer, parse_request,
};
use seawall_wire::http2::FrameObserver;
use seawall_wire::proxy_header::{self, ProxyParse};

/// What is read of a line stands in it, and an ending that is left aside changes nothing.
pub fn access_line(data: &[u8]) {
    let Some(line) = parse_access_line(data) else { return };
    let parts = [line.client, line.method, line.target];
    for part in parts.into_iter().chain(line.referrer).chain(line.user_agent) {
        assert!(part.len() <= data.len());
        assert!(part.is_empty() || data.windows(part.len()).any(|window| window == part));
    }
    if line.user_agent.is_some() {
        let longer = [data, b" \"-\" 1"].concat();
        assert_eq!(parse_access_line(&longer), Some(line));
    }
}

/// A refusal of a part is the refusal of the whole; a hello is one however it is cut.
pub fn client_hello(data: &[u8]) {
    let whole = client_hello::parse(data, 16 * 1024);
    for len in cuts(data) {
        let early = client_hello::parse(&data[..len], 16 * 1024);
        assert!(early == Err(HelloError::Incomplete) || early == whole);
    }
    if let Ok(hello) = whole {
        assert!(hello.ja4.as_str().starts_with('t'));
        assert!(hello.message_bytes <= data.len());
        assert!(hello.sni.is_none_or(|sni| sni.is_ascii() && !sni.is_empty()));
    }
}

/// Any cut gives the same result, and what was accepted reads the same when written out plainly.
pub fn http1_head(data: &[u8]) {
    let limits = HeadLimits { max_head_bytes: 2048, max_fields: 16, max_target_bytes: 256 };
    let mut head = RequestHead::new();
    let whole = parse_request(data, &limits, &mut head);
    let mut reused = RequestHead::new();
    for len in cuts(data) {
        reused.reset();
        let early = parse_request(&data[..len], &limits, &mut reused);
        if early == Ok(Parse::Partial) {
            assert_eq!(parse_request(data, &limits, &mut reused), whole, "cut at {len}");
        } else {
            assert_eq!(early, whole, "cut at {len}");
        }
    }
    let view = head.view(data);
    let _ = (view.method_token(), view.authority(), view.fields().count());
    if whole != Ok(Parse::Complete) {
        return;
    }
    assert!(head.head_bytes() <= data.len());
    let plain = written_plainly(view);
    let mut again = RequestHead::new();
    let limits = HeadLimits { max_head_bytes: 8192, ..limits };
    assert_eq!(parse_request(&plain, &limits, &mut again), Ok(Parse::Complete));
    assert_eq!(again.head_bytes(), plain.len());
    let second = again.view(&plain);
    assert!(second.fields().eq(view.fields()));
    assert_eq!((second.host(), second.path()), (view.host(), view.path()));
    assert_eq!((second.query(), second.target()), (view.query(), view.target()));
    assert_eq!(again.framing(), head.framing());
    assert_eq!(again.keep_alive(), head.keep_alive());
    assert_eq!(again.field_order(), head.field_order());
    if head.framing() == BodyFraming::Chunked {
        assert!(!view.has("content-length"));
    }
}

/// Content and end do not depend on how the bytes come.
pub fn http1_body(data: &[u8]) {
    let [kind, step, data @ ..] = data else {
        return;
    };
    let framing = match kind % 4 {
        0 => BodyFraming::Length(u64::from(kind / 4)),
        _ => BodyFraming::Chunked,
    };
    let whole = decode(framing, data, data.len().max(1));
    assert_eq!(decode(framing, data, usize::from(*step).max(1)), whole);
}

/// Counts, verdict and preface do not depend on how the bytes come.
pub fn http2_frames(data: &[u8]) {
    let [step, data @ ..] = data else {
        return;
    };
    let limits = Http2Limits { max_resets: 3, max_pings: 8, ..Default::default() };
    let mut whole = FrameObserver::new(limits);
    whole.received(data);
    let mut pieces = FrameObserver::new(limits);
    for piece in data.chunks(usize::from(*step).max(1)) {
        pieces.received(piece);
    }
    assert_eq!(pieces.misbehaviour(), whole.misbehaviour());
    assert_eq!(pieces.received_counts(), whole.received_counts());
    assert_eq!(pieces.preface(), whole.preface());
    if let Some(preface) = whole.preface() {
        assert!(preface.to_string().len() < 1024);
    }
    whole.sent(data);
}

/// A refusal of a part is the refusal of the whole.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy_header::parse(data);
    for len in cuts(data) {
        let early = proxy_header::parse(&data[..len]);
        assert!(early == Ok(ProxyParse::Partial) || early == whole);
    }
    if let Ok(ProxyParse::Complete { consumed, source, destination }) = whole {
        assert!(consumed <= data.len());
        assert_eq!(source.is_some(), destination.is_some());
    }
}

/// The walk gives an address that is the peer's or stands in the field.
pub fn forwarded(data: &[u8]) {
    for syntax in [Syntax::Forwarded, Syntax::XForwardedFor] {
        assert!(forwarded::nodes(syntax, data).count() <= forwarded::MAX_NODES);
    }
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for name in ["forwarded", "x-forwarded-for"] {
        let fields = OneField { name, value: data };
        assert_eq!(forwarded::client_address(peer, &fields, &|_| false), peer);
        let client = forwarded::client_address(peer, &fields, &|ip| ip == peer);
        assert_eq!(client, client.to_canonical());
    }
}

struct OneField<'a> {
    name: &'static str,
    value: &'a [u8],
}

impl Fields for OneField<'_> {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if name == self.name {
            visit(self.value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        (name == self.name).then_some(self.value)
    }
}

/// Some places to cut at: all in short inputs, about fifty in long ones.
fn cuts(data: &[u8]) -> impl Iterator<Item = usize> {
    (0..data.len()).step_by(data.len() / 50 + 1)
}

fn written_plainly(view: RequestView<'_>) -> Vec<u8> {
    let version = view.head().version().as_str();
    let mut plain = [view.method_token(), b" ", view.target(), b" HTTP/"].concat();
    plain.extend_from_slice(version.as_bytes());
    plain.extend_from_slice(b"\r\n");
    for (name, value) in view.fields() {
        plain.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    plain.extend_from_slice(b"\r\n");
    plain
}

/// Content, trailers and length of a message; `None` if it is unfinished.
type Message = Option<(Vec<u8>, Vec<Trailer>, usize)>;

fn decode(framing: BodyFraming, raw: &[u8], step: usize) -> Result<Message, Refusal> {
    let mut decoder = BodyDecoder::new(framing);
    let (mut at, mut there) = (0, 0);
    let mut content = Vec::new();
    loop {
        match decoder.decode(&raw[at..there])? {
            BodyStep::NeedMore if there == raw.len() => return Ok(None),
            BodyStep::NeedMore => there = raw.len().min(there + step),
            BodyStep::Data { skip, len } => {
                assert!(len > 0);
                content.extend_from_slice(&raw[at + skip..at + skip + len]);
                at += skip + len;
            }
            BodyStep::End { consumed } => {
                assert!(decoder.is_done());
                return Ok(Some((content, decoder.take_trailers(), at + consumed)));
            }
        }
    }
}
