//! What may be known about a request when it is decided on. Borrowed, never stored.

use crate::{ClientAddr, Fingerprint, Identity, Standing};

/// The request method, as far as policy distinguishes (RFC 9110 §9, RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the standards' own")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Extension,
}

impl Method {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Delete,
        Self::Connect,
        Self::Options,
        Self::Trace,
        Self::Patch,
        Self::Extension,
    ];

    /// Classifies a method token; methods are case-sensitive (RFC 9110 §9.1).
    pub fn from_bytes(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Extension,
        }
    }

    /// Safe methods ask for nothing to change (RFC 9110 §9.2.1).
    pub const fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Idempotent methods may be repeated (RFC 9110 §9.2.2).
    pub const fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }

    /// A name for logs and metric labels: a closed set.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Extension => "_OTHER",
        }
    }
}

/// The protocol version a request arrived in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the standards' own")]
pub enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Http10, Self::Http11, Self::Http2];

    /// The OpenTelemetry `network.protocol.version` value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// What is known of a request's content before it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// This many bytes.
    Known(u64),
    /// Chunked, or an HTTP/2 stream without Content-Length.
    Unknown,
}

/// What the cache and the archive hold for this request. Looked up before the decision, because a
/// page in hand is never challenged (principle 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A fresh response.
    Fresh,
    /// A stale response that may be served while it is revalidated.
    Stale,
    /// Only the archive has it.
    Archived,
    /// The origin would have to work.
    No,
}

/// What the request's cookies say, by name only: a claim, not a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CookieClass {
    /// No cookie, or only harmless ones.
    None,
    /// A cookie nobody classified.
    Foreign,
    /// A cookie that marks personal pages (login, protected post, comment author, shop).
    Personal,
}

/// Which send queue a response belongs to (egress fairness, attack A22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Pages, styles, scripts, feeds, and anything small.
    Page,
    /// Objects over 256 KiB.
    Bulk,
}

/// Everything `decide()` may know about one request. Borrowed from the connection; never stored.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Who asks, after trusted proxies.
    pub client: ClientAddr,
    /// Whose budgets it counts against: the client's, or the holder's of its credential.
    pub identity: Identity,
    /// What speaks for it.
    pub standing: Standing,
    /// Whether the peer is a trusted proxy; connection penalties never apply to those.
    pub via_proxy: bool,
    /// What the client looks like.
    pub fingerprint: Fingerprint,
    /// The protocol version.
    pub version: HttpVersion,
    /// The method.
    pub method: Method,
    /// The host asked for, lower case, without port.
    pub host: &'a str,
    /// The path, starting with `/` (or `*`), without query.
    pub path: &'a [u8],
    /// The query without `?`; `None` if there is no `?`.
    pub query: Option<&'a [u8]>,
    /// Length of the request target in bytes.
    pub target_bytes: usize,
    /// Length of the whole head in bytes (HTTP/2: decoded names and values).
    pub head_bytes: usize,
    /// Number of field lines.
    pub field_count: usize,
    /// What is known of the content.
    pub body: BodyLength,
    /// What the cookies say.
    pub cookies: CookieClass,
    /// Whether the answer is in hand.
    pub held: Held,
}

#[cfg(test)]
mod tests {
    use super::{HttpVersion, Method};

    /// What is kept by its discriminant is found again by it.
    #[test]
    fn all_stand_at_their_discriminants() {
        for (place, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, place);
            assert_eq!(Method::from_bytes(method.as_str().as_bytes()), method);
        }
        for (place, version) in HttpVersion::ALL.into_iter().enumerate() {
            assert_eq!(version as usize, place);
        }
    }
}
