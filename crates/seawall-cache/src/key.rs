//! The name under which a response is stored: scheme, host, path and query.
//!
//! Separate because key and purge must agree on what "the same URL" is. Normalises only what RFC
//! 3986 §6.2.2 calls equivalent under every scheme (case of hex digits, percent-encoding of
//! unreserved characters). It does **not** touch dot segments, order parameters or drop queries:
//! an origin may tell those apart. The method is not part of it; only GET responses are stored.

use std::fmt::Write as _;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128, SipHasher13};

/// The scheme a reader used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the schemes")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The secret of one process that keeps clients from choosing which hash buckets they fill.
#[derive(Clone, Copy)]
pub struct HashSeed(pub [u8; 16]);

/// A normalised URL. Cheap to compare; one allocation to make.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// `scheme://host/path?query`, normalised bytes.
    text: Box<[u8]>,
    /// Where the path starts.
    path_at: u32,
}

impl Key {
    /// The key of a request.
    ///
    /// `host` may carry a port; it is lower-cased. `path` is the raw path of the request target,
    /// `query` what follows the first `?`. An empty query differs from none (RFC 3986 §6.2.3).
    pub fn new(scheme: Scheme, host: &str, path: &[u8], query: Option<&[u8]>) -> Self {
        let query_len = query.map_or(0, |query| query.len() + 1);
        // Exact unless there are escapes, so that the vector becomes the box without moving.
        let origin_len = scheme.as_str().len() + 3 + host.len();
        let mut text = Vec::with_capacity(origin_len + path.len().max(1) + query_len);
        text.extend_from_slice(scheme.as_str().as_bytes());
        text.extend_from_slice(b"://");
        text.extend_from_slice(host.as_bytes());
        text.make_ascii_lowercase();
        let path_at = u32::try_from(text.len()).unwrap_or(u32::MAX);
        // RFC 3986 §6.2.3: an empty path is equivalent to `/` for http and https.
        if path.is_empty() {
            text.push(b'/');
        }
        normalise(path, &mut text);
        if let Some(query) = query {
            text.push(b'?');
            normalise(query, &mut text);
        }
        Self { text: text.into_boxed_slice(), path_at }
    }

    /// The key of an absolute `http://` or `https://` URL, as an operator types it for a purge.
    ///
    /// A fragment is dropped, a default port is dropped, and characters outside ASCII are
    /// percent-encoded as browsers do. `None` for anything that is not such a URL.
    pub fn from_url(url: &str) -> Option<Self> {
        let (scheme, rest) = split_scheme(url.as_bytes())?;
        let rest = rest.split(|&byte| byte == b'#').next().unwrap_or_default();
        let authority_len =
            rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(authority_len);
        let host = host_without_default_port(scheme, std::str::from_utf8(authority).ok()?)?;
        let (path, query) = split_query(target);
        let query = query.map(encode_non_ascii);
        Some(Self::new(scheme, host, &encode_non_ascii(path), query.as_deref()))
    }

    /// The keyed 128-bit hash for tables and file names. About 30 ns for a usual URL.
    pub fn hash128(&self, seed: &HashSeed) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&seed.0);
        hasher.write(&self.text);
        hasher.finish128().as_u128()
    }

    /// The normalised bytes, for storing beside an entry: `scheme://host/path?query`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// The key that [`Key::as_bytes`] came from; `None` if these are not the bytes of a key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (scheme, rest) = split_scheme(bytes)?;
        let path_at = rest.iter().position(|&byte| byte == b'/')?;
        let host = std::str::from_utf8(&rest[..path_at]).ok()?;
        let (path, query) = split_query(&rest[path_at..]);
        let key = Self::new(scheme, host, path, query);
        (*key.text == *bytes).then_some(key)
    }

    /// The URL for people: bytes outside printable ASCII are percent-encoded.
    pub fn url(&self) -> String {
        let mut url = String::with_capacity(self.text.len());
        for &byte in &self.text {
            if byte.is_ascii_graphic() {
                url.push(char::from(byte));
            } else {
                let _ = write!(url, "%{byte:02X}");
            }
        }
        url
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        if self.text.starts_with(b"https:") { Scheme::Https } else { Scheme::Http }
    }

    /// The host as given, lower case, with its port if there was one.
    pub fn host(&self) -> &str {
        let start = self.scheme().as_str().len() + 3;
        std::str::from_utf8(&self.text[start..self.path_at as usize]).unwrap_or_default()
    }

    /// The normalised path, without query.
    pub fn path(&self) -> &[u8] {
        split_query(&self.text[self.path_at as usize..]).0
    }

    /// The normalised query, without its `?`; `None` if there is none.
    pub fn query(&self) -> Option<&[u8]> {
        split_query(&self.text[self.path_at as usize..]).1
    }

    /// The same URL with another query.
    #[must_use]
    pub fn with_query(&self, query: Option<&[u8]>) -> Self {
        Self::new(self.scheme(), self.host(), self.path(), query)
    }

    /// The same URL without its port: a site is the same on every port it is served on.
    pub fn without_port(&self) -> Self {
        let host = self.host();
        let bare = match host.rsplit_once(':') {
            // Not the end of an IPv6 literal.
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let (path, query) = split_query(&self.text[self.path_at as usize..]);
        Self::new(self.scheme(), bare, path, query)
    }

    /// The key a `Location` or `Content-Location` value points to, seen from this one; `None`
    /// unless it has the same origin (RFC 9111 §4.4, RFC 3986 §5.2).
    pub fn same_origin(&self, reference: &[u8]) -> Option<Self> {
        let reference = reference.split(|&byte| byte == b'#').next().unwrap_or_default();
        let (scheme, host) = (self.scheme(), self.host());
        let after_authority = |scheme: Scheme, rest: &[u8]| -> Option<Self> {
            let end = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            let authority = std::str::from_utf8(&rest[..end]).ok()?;
            let theirs = host_without_default_port(scheme, authority)?;
            let ours = host_without_default_port(self.scheme(), host)?;
            if scheme != self.scheme() || !theirs.eq_ignore_ascii_case(ours) {
                return None;
            }
            let (path, query) = split_query(&rest[end..]);
            Some(Self::new(scheme, host, path, query))
        };
        if let Some((scheme, rest)) = split_scheme(reference) {
            return after_authority(scheme, rest);
        }
        if let Some(rest) = reference.strip_prefix(b"//") {
            return after_authority(scheme, rest);
        }
        if has_scheme(reference) {
            return None;
        }
        let (path, query) = split_query(reference);
        match (path.first(), query) {
            (None, None) => Some(self.clone()),
            (None, Some(query)) => Some(Self::new(scheme, host, self.path(), Some(query))),
            (Some(b'/'), _) => Some(Self::new(scheme, host, &remove_dot_segments(path), query)),
            (Some(_), _) => {
                // RFC 3986 §5.2.3: everything up to the last `/` of the base, then the reference.
                let base = self.path();
                let keep = base.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
                let merged = [&base[..keep], path].concat();
                Some(Self::new(scheme, host, &remove_dot_segments(&merged), query))
            }
        }
    }
}

fn split_scheme(url: &[u8]) -> Option<(Scheme, &[u8])> {
    let strip = |prefix: &[u8]| {
        let (head, rest) = url.split_at_checked(prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then_some(rest)
    };
    strip(b"http://")
        .map(|rest| (Scheme::Http, rest))
        .or_else(|| strip(b"https://").map(|rest| (Scheme::Https, rest)))
}

/// Whether a reference starts with a scheme of its own (RFC 3986 §4.1, §3.1).
fn has_scheme(reference: &[u8]) -> bool {
    let end = reference
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'+' | b'-' | b'.'));
    end.is_some_and(|end| end > 0 && reference[end] == b':')
}

fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// The authority without user information and without a default port; `None` if it is empty.
fn host_without_default_port(scheme: Scheme, authority: &str) -> Option<&str> {
    let host = authority.rsplit('@').next().unwrap_or_default();
    let default = match scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let host = host.strip_suffix(default).or(host.strip_suffix(':')).unwrap_or(host);
    (!host.is_empty()).then_some(host)
}

/// RFC 3986 §6.2.2.1 (hex digits in upper case) and §6.2.2.2 (unreserved characters decoded). What
/// holds a broken escape is no URL and is kept as it is, lest two of those become one.
fn normalise(raw: &[u8], out: &mut Vec<u8>) {
    if !raw.contains(&b'%') || !escapes_are_whole(raw) {
        out.extend_from_slice(raw);
        return;
    }
    let mut at = 0;
    while let Some(&byte) = raw.get(at) {
        if let Some((high, low)) = escape_at(raw, at) {
            let decoded = high << 4 | low;
            if decoded.is_ascii_alphanumeric() || matches!(decoded, b'-' | b'.' | b'_' | b'~') {
                out.push(decoded);
            } else {
                out.extend_from_slice(&[b'%', HEX[usize::from(high)], HEX[usize::from(low)]]);
            }
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
}

fn escapes_are_whole(raw: &[u8]) -> bool {
    let mut percents = raw.iter().enumerate().filter(|&(_, &byte)| byte == b'%');
    percents.all(|(at, _)| escape_at(raw, at).is_some())
}

/// The two digits of the escape that starts here, if one does.
fn escape_at(raw: &[u8], at: usize) -> Option<(u8, u8)> {
    match raw[at..] {
        [b'%', high, low, ..] => hex(high).zip(hex(low)),
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn encode_non_ascii(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    for &byte in raw {
        if byte.is_ascii() && byte != b' ' {
            out.push(byte);
        } else {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]);
        }
    }
    out
}

/// RFC 3986 §5.2.4, for references in Location only: the path of a key is never rewritten.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                if last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend(kept.join(&b'/'));
    out
}
