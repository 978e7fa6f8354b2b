//! The parsed request head: spans into the caller's buffer, and what framing needs to know.
//!
//! Separate from the parser so that the first screen is the API. It holds no bytes of the request
//! (but for a host that had to be lower-cased), so one head is reused for all requests of a
//! connection without allocating.

use alloc::string::String;
use alloc::vec::Vec;

use seawall_model::{BodyLength, HttpVersion, Method, Misbehaviour};

use crate::h1::view::RequestView;

/// Bounds on a request head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes up to and including the empty line. 431 beyond.
    pub max_head_bytes: usize,
    /// Field lines. 431 beyond.
    pub max_fields: usize,
    /// Bytes of the request target. 414 beyond.
    pub max_target_bytes: usize,
}

/// Whether the head is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parse {
    /// The head is whole; [`RequestHead::head_bytes`] says where it ends.
    Complete,
    /// More bytes are needed: call again with the same buffer, grown.
    Partial,
}

/// Why bytes were refused and what to answer. The connection cannot be used afterwards: where the
/// next message begins is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was wrong.
    pub misbehaviour: Misbehaviour,
    /// The HTTP status to answer with: 400, 414, 431, 501 or 505.
    pub status: u16,
}

impl Refusal {
    /// The refusal of something malformed.
    pub(crate) const fn bad(misbehaviour: Misbehaviour) -> Self {
        Self { misbehaviour, status: 400 }
    }

    /// A refusal with a status of its own.
    pub(crate) const fn with(misbehaviour: Misbehaviour, status: u16) -> Self {
        Self { misbehaviour, status }
    }
}

/// How the content after a head is delimited (RFC 9112 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is none.
    #[default]
    None,
    /// That many bytes follow (possibly zero).
    Length(u64),
    /// Chunks follow (RFC 9112 §7.1).
    Chunked,
}

impl BodyFraming {
    /// The same, in the vocabulary of `Facts`.
    pub const fn body_length(self) -> BodyLength {
        match self {
            Self::None => BodyLength::None,
            Self::Length(bytes) => BodyLength::Known(bytes),
            Self::Chunked => BodyLength::Unknown,
        }
    }
}

/// A request head: spans (32-bit offsets) into the buffer it was parsed from.
///
/// Made once per connection and handed to [`parse_request`](crate::http1::parse_request) for each
/// request; after the first few requests nothing is allocated. What the accessors say holds after
/// `Complete` and until the next call; after `Partial` or a refusal they are safe to call (a log
/// line may want the target) but describe whatever was read so far.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    pub(crate) stage: Stage,
    /// Where the first line not yet understood begins.
    pub(crate) line_start: u32,
    pub(crate) head_bytes: u32,
    pub(crate) method_token: Span,
    pub(crate) target: Span,
    pub(crate) form: TargetForm,
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    pub(crate) host: Authority,
    /// The host in lower case, if it was not so on the wire; else empty.
    pub(crate) host_lowered: String,
    pub(crate) target_authority: Option<Authority>,
    pub(crate) is_http10: bool,
    pub(crate) seen: Seen,
    pub(crate) field_order: u64,
    pub(crate) fields: Vec<FieldSpan>,
}

impl RequestHead {
    /// A head with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets a head that was only partly read, so that this value can serve another connection.
    /// Not needed between the requests of one connection. Keeps its memory.
    pub fn reset(&mut self) {
        let mut fields = core::mem::take(&mut self.fields);
        let mut host_lowered = core::mem::take(&mut self.host_lowered);
        fields.clear();
        host_lowered.clear();
        *self = Self { fields, host_lowered, ..Self::default() };
    }

    /// Length of the head in bytes, with a leading empty line if there was one: what to consume.
    pub const fn head_bytes(&self) -> usize {
        self.head_bytes as usize
    }

    /// The protocol version: 1.0 or 1.1.
    pub const fn version(&self) -> HttpVersion {
        if self.is_http10 { HttpVersion::Http10 } else { HttpVersion::Http11 }
    }

    /// The method, as far as policy distinguishes. The exact token: [`RequestView::method_token`].
    pub const fn method(&self) -> Method {
        self.seen.method
    }

    /// How the content is delimited. Hand it to [`BodyDecoder`](crate::http1::BodyDecoder).
    pub const fn framing(&self) -> BodyFraming {
        match (self.seen.is_chunked, self.seen.content_length) {
            (true, _) => BodyFraming::Chunked,
            (false, Some(bytes)) => BodyFraming::Length(bytes),
            (false, None) => BodyFraming::None,
        }
    }

    /// Whether the client wants the connection kept (RFC 9112 §9.3).
    pub const fn keep_alive(&self) -> bool {
        !self.seen.close && (!self.is_http10 || self.seen.keep_alive)
    }

    /// Whether the client waits for 100 (Continue) before it sends content (RFC 9110 §10.1.1; never
    /// in HTTP/1.0).
    pub const fn expects_continue(&self) -> bool {
        self.seen.expects_continue && !self.is_http10
    }

    /// Whether another protocol is asked for: `Connection: upgrade` and an Upgrade field, both
    /// (RFC 9110 §7.8; never in HTTP/1.0).
    pub const fn upgrade(&self) -> bool {
        self.seen.connection_upgrade && self.seen.upgrade && !self.is_http10
    }

    /// Hash over the field names in order, with their spelling. Stable across processes, so that
    /// machines can compare it; an attacker can forge any value, as with every fingerprint.
    pub const fn field_order(&self) -> u64 {
        self.field_order
    }

    /// Number of field lines.
    pub const fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// Length of the request target in bytes.
    pub const fn target_bytes(&self) -> usize {
        self.target.len as usize
    }

    /// The port named with the host, if any.
    pub const fn port(&self) -> Option<u16> {
        self.host.port
    }

    /// This head together with the bytes it was parsed from. With any other buffer the result is
    /// wrong, but still safe.
    pub const fn view<'a>(&'a self, buf: &'a [u8]) -> RequestView<'a> {
        RequestView::new(self, buf)
    }
}

/// How far the parser has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    RequestLine,
    Fields,
    /// Complete or refused: the next call begins anew.
    Done,
}

/// A part of the buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Span {
    /// The span `start..end`. Offsets fit: the parser looks at no more than `u32::MAX` bytes.
    #[inline]
    pub(crate) const fn between(start: usize, end: usize) -> Self {
        Self { start: start as u32, len: end.saturating_sub(start) as u32 }
    }

    /// These bytes of `buf`; nothing if `buf` is another buffer.
    #[inline]
    pub(crate) fn of(self, buf: &[u8]) -> &[u8] {
        let start = self.start as usize;
        start.checked_add(self.len as usize).and_then(|end| buf.get(start..end)).unwrap_or(&[])
    }
}

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldSpan {
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// The form of the request target (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TargetForm {
    #[default]
    Origin,
    /// With a path of its own.
    Absolute,
    /// Without a path: stands for `/`, or for `*` with OPTIONS and no query.
    AbsoluteBare,
    Authority,
    Asterisk,
}

/// A host and perhaps a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authority {
    /// As sent: host and port.
    pub(crate) whole: Span,
    /// The host without port and without a final dot.
    pub(crate) host: Span,
    pub(crate) port: Option<u16>,
    pub(crate) has_upper_case: bool,
    /// The port that its scheme implies; only in an absolute-form target.
    pub(crate) default_port: Option<u16>,
}

/// What the fields say about framing and the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) host: bool,
    pub(crate) content_length: Option<u64>,
    pub(crate) is_chunked: bool,
    pub(crate) close: bool,
    pub(crate) keep_alive: bool,
    pub(crate) connection_upgrade: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            method: Method::Extension,
            host: false,
            content_length: None,
            is_chunked: false,
            close: false,
            keep_alive: false,
            connection_upgrade: false,
            upgrade: false,
            expects_continue: false,
        }
    }
}
