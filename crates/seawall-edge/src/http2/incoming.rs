//! The head of an HTTP/2 request, checked beyond what the library checks.

use std::rc::Rc;

use bytes::BytesMut;
use h2::RecvStream;
use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Uri};
use seawall_cache::MapFields;
use seawall_model::{BodyLength, Http2Limits, HttpVersion, Method, Misbehaviour};

use crate::cheap_test;
use crate::serve::Ask;

/// A request head, checked and owned. What the library has parsed stays where it is.
pub(super) struct Incoming {
    method: http::Method,
    target: Option<PathAndQuery>,
    authority: Authority,
    /// The host where it is not written as keys have it: lower case, no final dot.
    respelt: Option<String>,
    pub(super) headers: Rc<HeaderMap>,
    head_bytes: usize,
    field_count: usize,
    body: BodyLength,
    preface: Option<u64>,
}

/// What [`Http2Limits::NAME_BYTES`] is for a name, for each further value of it.
const REPEATED_BYTES: usize = 80;

impl Incoming {
    /// Checks a request. An error makes it malformed (RFC 9113 §8.1.1).
    pub(super) fn new(
        head: http::request::Parts,
        content: &RecvStream,
        preface: Option<u64>,
    ) -> Result<Self, Misbehaviour> {
        let http::request::Parts { method, uri, mut headers, .. } = head;
        check_values(&headers)?;
        check_target(&uri, &method)?;
        let authority = authority(&uri, &headers)?;
        let host = authority.host();
        let is_plain = !host.ends_with('.') && !host.bytes().any(|byte| byte.is_ascii_uppercase());
        let respelt = (!is_plain).then(|| host.trim_end_matches('.').to_ascii_lowercase());
        let fields: usize =
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let target = uri.into_parts().path_and_query;
        let head_bytes = fields + target_bytes(target.as_ref()) + host.len();
        let length = content_length(&headers)?;
        let body = if content.is_end_stream() {
            BodyLength::None
        } else {
            length.map_or(BodyLength::Unknown, BodyLength::Known)
        };
        let field_count = headers.len();
        join_cookies(&mut headers);
        Ok(Self {
            method,
            target,
            authority,
            respelt,
            headers: Rc::new(headers),
            head_bytes,
            field_count,
            body,
            preface,
        })
    }

    pub(super) fn ask<'a>(&'a self, fields: &'a MapFields<'a>) -> Ask<'a> {
        let query = self.target.as_ref().and_then(PathAndQuery::query).map(str::as_bytes);
        let (query, ticket) = cheap_test::split(query);
        Ask {
            method: Method::from_bytes(self.method.as_str().as_bytes()),
            method_token: self.method.as_str().as_bytes(),
            host: self.respelt.as_deref().unwrap_or_else(|| self.authority.host()),
            authority: self.authority.as_str().as_bytes(),
            path: path(self.target.as_ref()).as_bytes(),
            query,
            ticket,
            version: HttpVersion::Http2,
            fields,
            field_order: None,
            http2_preface: self.preface,
            head_bytes: self.head_bytes,
            field_count: self.field_count,
            target_bytes: target_bytes(self.target.as_ref())
                .saturating_sub(cheap_test::ticket_bytes(ticket)),
            body: self.body,
            upgrade: false,
        }
    }

    /// What it takes in memory once it is [settled](Self::settle).
    pub(super) fn held_bytes(&self) -> usize {
        let names = self.headers.keys_len();
        let repeated = self.headers.len() - names;
        self.head_bytes + names * Http2Limits::NAME_BYTES + repeated * REPEATED_BYTES
    }

    /// Gives it room of its own, and no more than it needs. As the library hands it out, each value
    /// holds the whole frame that it came in, and the map has room to grow.
    pub(super) fn settle(&mut self) {
        // A copy has no room to grow.
        let mut headers = HeaderMap::clone(&self.headers);
        let target = self.target.as_ref().map_or("", PathAndQuery::as_str);
        let authority = self.authority.as_str();
        let values: usize = headers.values().map(HeaderValue::len).sum();
        let mut room = BytesMut::with_capacity(values + target.len() + authority.len());
        room.extend_from_slice(authority.as_bytes());
        room.extend_from_slice(target.as_bytes());
        headers.values().for_each(|value| room.extend_from_slice(value.as_bytes()));
        let mut room = room.freeze();
        // What was valid is valid still: nothing is left as it was.
        if let Ok(own) = Authority::from_maybe_shared(room.split_to(authority.len())) {
            self.authority = own;
        }
        if let Some(target) = &mut self.target
            && let Ok(own) = PathAndQuery::from_maybe_shared(room.split_to(target.as_str().len()))
        {
            *target = own;
        }
        for value in headers.values_mut() {
            if let Ok(own) = HeaderValue::from_maybe_shared(room.split_to(value.len())) {
                *value = own;
            }
        }
        self.headers = Rc::new(headers);
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
fn authority(uri: &Uri, headers: &HeaderMap) -> Result<Authority, Misbehaviour> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::to_str).transpose().map_err(|_| Misbehaviour::Host)?;
    if hosts.next().is_some() {
        return Err(Misbehaviour::HostMismatch);
    }
    let authority = match (uri.authority(), host) {
        (Some(authority), Some(host)) if !host.eq_ignore_ascii_case(authority.as_str()) => {
            return Err(Misbehaviour::HostMismatch);
        }
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => host.parse().map_err(|_| Misbehaviour::Host)?,
        (None, None) => return Err(Misbehaviour::Host),
    };
    if authority.as_str().contains('@') { Err(Misbehaviour::Host) } else { Ok(authority) }
}

/// RFC 9113 §8.3.1: the path begins with a slash, or is `*` in OPTIONS. CONNECT has none (§8.5).
fn check_target(uri: &Uri, method: &http::Method) -> Result<(), Misbehaviour> {
    let path = path(uri.path_and_query());
    let is_asterisk = path == "*" && method == http::Method::OPTIONS;
    if path.starts_with('/') || is_asterisk || method == http::Method::CONNECT {
        Ok(())
    } else {
        Err(Misbehaviour::RequestLine)
    }
}

/// The path as it was sent; empty where there was none.
fn path(target: Option<&PathAndQuery>) -> &str {
    target.map_or("", PathAndQuery::path)
}

fn target_bytes(target: Option<&PathAndQuery>) -> usize {
    target.map_or(0, |target| target.as_str().len())
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
