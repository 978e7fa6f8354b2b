//! How a peer may break a protocol: events, not errors of ours.

use crate::Cause;

/// How a peer broke a protocol. A closed vocabulary: these are events, not our errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Misbehaviour {
    /// Bytes that are no TLS record or ClientHello where one was due.
    TlsGarbage,
    /// A ClientHello beyond the size limit.
    TlsHelloTooLarge,
    /// An HTTP/1 request line that does not parse.
    RequestLine,
    /// An unknown or unsupported protocol version.
    Version,
    /// A field line that does not parse (no colon, space before it, invalid name or value bytes).
    FieldLine,
    /// A folded field line (obs-fold).
    ObsFold,
    /// A bare CR or a bare LF as line end.
    LineEnd,
    /// Content-Length that is repeated with different values, no number, or too large.
    ContentLength,
    /// Transfer-Encoding other than a single final `chunked`, or in HTTP/1.0.
    TransferEncoding,
    /// Both Content-Length and Transfer-Encoding.
    BothLengths,
    /// A chunk size or chunk end that does not parse.
    Chunk,
    /// No Host, several Hosts, or an invalid one.
    Host,
    /// The absolute-form target names another host than Host does.
    HostMismatch,
    /// Too many field lines, or a head over the limit.
    HeadTooLarge,
    /// The peer left before its message was complete.
    Truncated,
    /// A wrong HTTP/2 preface or frame layout.
    Http2Frame,
    /// More resets by the client than the limit.
    Http2Resets,
    /// More resets that it made us send than the limit.
    Http2ProvokedResets,
    /// More header continuation than the limit.
    Http2Continuation,
    /// More SETTINGS frames than the limit.
    Http2Settings,
    /// More PING frames than the limit.
    Http2Pings,
    /// More PRIORITY frames than the limit.
    Http2Priorities,
    /// More empty DATA frames than the limit.
    Http2EmptyData,
    /// More WINDOW_UPDATE frames than the limit.
    Http2WindowUpdates,
    /// More frames of other types than the limit.
    Http2OtherFrames,
    /// More request heads held than the limit on their bytes.
    Http2HeldBytes,
    /// The client neither takes what it asked for nor sends what it announced.
    Http2Stalled,
    /// A request head that did not come in time.
    SlowHead,
    /// Content that did not come at the minimum rate.
    SlowContent,
    /// An answer that was not taken at the minimum rate.
    SlowReader,
    /// A TLS handshake that did not come to its end in time.
    SlowHandshake,
    /// A malformed PROXY protocol header.
    ProxyHeader,
    /// A PROXY protocol header from a peer that is not trusted.
    ProxyUntrusted,
}

impl Misbehaviour {
    /// Every kind, for metrics and documentation.
    pub const ALL: [Self; 33] = [
        Self::TlsGarbage,
        Self::TlsHelloTooLarge,
        Self::RequestLine,
        Self::Version,
        Self::FieldLine,
        Self::ObsFold,
        Self::LineEnd,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::BothLengths,
        Self::Chunk,
        Self::Host,
        Self::HostMismatch,
        Self::HeadTooLarge,
        Self::Truncated,
        Self::Http2Frame,
        Self::Http2Resets,
        Self::Http2ProvokedResets,
        Self::Http2Continuation,
        Self::Http2Settings,
        Self::Http2Pings,
        Self::Http2Priorities,
        Self::Http2EmptyData,
        Self::Http2WindowUpdates,
        Self::Http2OtherFrames,
        Self::Http2HeldBytes,
        Self::Http2Stalled,
        Self::SlowHead,
        Self::SlowContent,
        Self::SlowReader,
        Self::SlowHandshake,
        Self::ProxyHeader,
        Self::ProxyUntrusted,
    ];

    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TlsGarbage => "tls_garbage",
            Self::TlsHelloTooLarge => "tls_hello_too_large",
            Self::RequestLine => "request_line",
            Self::Version => "version",
            Self::FieldLine => "field_line",
            Self::ObsFold => "obs_fold",
            Self::LineEnd => "line_end",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
            Self::BothLengths => "both_lengths",
            Self::Chunk => "chunk",
            Self::Host => "host",
            Self::HostMismatch => "host_mismatch",
            Self::HeadTooLarge => "head_too_large",
            Self::Truncated => "truncated",
            Self::Http2Frame => "http2_frame",
            Self::Http2Resets => "http2_resets",
            Self::Http2ProvokedResets => "http2_provoked_resets",
            Self::Http2Continuation => "http2_continuation",
            Self::Http2Settings => "http2_settings",
            Self::Http2Pings => "http2_pings",
            Self::Http2Priorities => "http2_priorities",
            Self::Http2EmptyData => "http2_empty_data",
            Self::Http2WindowUpdates => "http2_window_updates",
            Self::Http2OtherFrames => "http2_other_frames",
            Self::Http2HeldBytes => "http2_held_bytes",
            Self::Http2Stalled => "http2_stalled",
            Self::SlowHead => "slow_head",
            Self::SlowContent => "slow_content",
            Self::SlowReader => "slow_reader",
            Self::SlowHandshake => "slow_handshake",
            Self::ProxyHeader => "proxy_header",
            Self::ProxyUntrusted => "proxy_untrusted",
        }
    }

    /// The cause that its connection is closed for.
    pub const fn cause(self) -> Cause {
        match self {
            Self::HeadTooLarge => Cause::HeadTooLarge,
            Self::Truncated
            | Self::Http2Stalled
            | Self::SlowHead
            | Self::SlowContent
            | Self::SlowReader
            | Self::SlowHandshake => Cause::ClientTimeout,
            Self::TlsHelloTooLarge
            | Self::Http2Resets
            | Self::Http2ProvokedResets
            | Self::Http2Continuation
            | Self::Http2Settings
            | Self::Http2Pings
            | Self::Http2Priorities
            | Self::Http2EmptyData
            | Self::Http2WindowUpdates
            | Self::Http2OtherFrames
            | Self::Http2HeldBytes => Cause::ProtocolFlood,
            _ => Cause::Malformed,
        }
    }

    /// Position in [`Misbehaviour::ALL`], for counter arrays.
    pub const fn index(self) -> usize {
        self as usize
    }
}
