//! The head of an HTTP/2 request, checked beyond what the library checks.

use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue};
use http::{HeaderMap, Uri};
use seawall_cache::MapFields;
use seawall_model::{BodyLength, HttpVersion, Method, Misbehaviour};

use crate::serve::Ask;

/// A request head, checked and owned.
pub(super) struct Incoming {
    method: http::Method,
    authority: String,
    host: String,
    path: Bytes,
    query: Option<Bytes>,
    pub(super) headers: HeaderMap,
    head_bytes: usize,
    field_count: usize,
    body: BodyLength,
    preface: Option<u64>,
}

impl Incoming {
    /// Checks a request. An error makes it malformed (RFC 9113 §8.1.1).
    pub(super) fn new(
        head: http::request::Parts,
        content: &RecvStream,
        preface: Option<u64>,
    ) -> Result<Self, Misbehaviour> {
        let mut headers = head.headers;
        check_values(&headers)?;
        let authority = authority(&head.uri, &headers)?;
        let parsed: http::uri::Authority = authority.parse().map_err(|_| Misbehaviour::Host)?;
        let host = parsed.host().trim_end_matches('.').to_ascii_lowercase();
        let (path, query) = target(&head.uri, &head.method)?;
        let fields: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let head_bytes = fields + path.len() + query.as_ref().map_or(0, Bytes::len) + host.len();
        let length = content_length(&headers)?;
        let body = if content.is_end_stream() {
            BodyLength::None
        } else {
            length.map_or(BodyLength::Unknown, BodyLength::Known)
        };
        let field_count = headers.len();
        join_cookies(&mut headers);
        let method = head.method;
        Ok(Self {
            method,
            authority,
            host,
            path,
            query,
            headers,
            head_bytes,
            field_count,
            body,
            preface,
        })
    }

    pub(super) fn ask<'a>(&'a self, fields: &'a MapFields<'a>) -> Ask<'a> {
        let query = self.query.as_deref();
        Ask {
            method: Method::from_bytes(self.method.as_str().as_bytes()),
            method_token: self.method.as_str().as_bytes(),
            host: &self.host,
            authority: self.authority.as_bytes(),
            path: &self.path,
            query,
            version: HttpVersion::Http2,
            fields,
            field_order: None,
            http2_preface: self.preface,
            head_bytes: self.head_bytes,
            field_count: self.field_count,
            target_bytes: self.path.len() + query.map_or(0, |query| query.len() + 1),
            body: self.body,
            upgrade: false,
        }
    }

    /// RFC 9110 §10.1.1: the client waits for a go-ahead before it sends the content.
    pub(super) fn expects_continue(&self) -> bool {
        let expect = self.headers.get(EXPECT);
        expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    }
}

/// RFC 9113 §8.2.1: a value neither begins nor ends with white space; the library lets it pass.
fn check_values(headers: &HeaderMap) -> Result<(), Misbehaviour> {
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let padded = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        is_space(bytes.first()) || is_space(bytes.last())
    };
    if headers.values().any(padded) { Err(Misbehaviour::FieldLine) } else { Ok(()) }
}

/// RFC 9113 §8.3.1: Host and :authority must not disagree, there is one Host, and no userinfo.
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<String, Misbehaviour> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::to_str).transpose().map_err(|_| Misbehaviour::Host)?;
    if hosts.next().is_some() {
        return Err(Misbehaviour::HostMismatch);
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), Some(host)) if !host.eq_ignore_ascii_case(authority.as_str()) => {
            return Err(Misbehaviour::HostMismatch);
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(host)) => host,
        (None, None) => return Err(Misbehaviour::Host),
    };
    if authority.contains('@') { Err(Misbehaviour::Host) } else { Ok(authority.to_owned()) }
}

/// RFC 9113 §8.3.1: the path begins with a slash, or is `*` in OPTIONS. CONNECT has none (§8.5).
fn target(uri: &Uri, method: &http::Method) -> Result<(Bytes, Option<Bytes>), Misbehaviour> {
    let Some(target) = uri.path_and_query() else { return Ok((Bytes::new(), None)) };
    let path = target.path();
    let is_asterisk = path == "*" && method == http::Method::OPTIONS;
    if !path.starts_with('/') && !is_asterisk && method != http::Method::CONNECT {
        return Err(Misbehaviour::RequestLine);
    }
    let query = target.query().map(|query| Bytes::copy_from_slice(query.as_bytes()));
    Ok((Bytes::copy_from_slice(path.as_bytes()), query))
}

/// RFC 9110 §8.6: a length that is repeated with another value makes the message invalid. The
/// library compares the content with the first.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Misbehaviour> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    if lengths.any(|other| other != first) || !first.as_bytes().iter().all(u8::is_ascii_digit) {
        return Err(Misbehaviour::ContentLength);
    }
    let length = first.to_str().ok().and_then(|length| length.parse().ok());
    length.map(Some).ok_or(Misbehaviour::ContentLength)
}

/// RFC 9113 §8.2.3: crumbs of a cookie are put together before the request goes to HTTP/1.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut whole = BytesMut::from(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(crumb.as_bytes());
    }
    if let Ok(whole) = HeaderValue::from_maybe_shared(whole.freeze()) {
        headers.insert(COOKIE, whole);
    }
}
