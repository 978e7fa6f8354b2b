//! Conditional requests: those a client sends and those the cache makes (RFC 9110 §13, RFC 9111
//! §4.3).
//!
//! If-Match and If-Unmodified-Since are not evaluated here: they are for the origin alone (RFC 9111
//! §4.3.2). Forward a request that carries them if it must be exact; ignoring them is allowed (RFC
//! 9110 §13.1.1).

use http::{HeaderName, HeaderValue, header};
use seawall_model::Method;

use crate::freshness::{date_of, parse_http_date};
use crate::head::StoredHead;
use crate::policy::RequestMeta;

/// What a client's preconditions mean for a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Send it.
    Proceed,
    /// Send 304: the client has it.
    NotModified,
}

/// Evaluates If-None-Match or If-Modified-Since against a stored response that may be used.
///
/// Entity tags are compared weakly (RFC 9110 §13.1.2), so a tag weakened because the store re-coded
/// the body still matches. No allocation.
pub fn precondition(head: &StoredHead, request: &RequestMeta<'_>) -> Precondition {
    // RFC 9110 §13.2.1: conditions count only where the answer would be a success.
    let evaluated = matches!(request.method, Method::Get | Method::Head) && head.status == 200;
    if !evaluated {
        return Precondition::Proceed;
    }
    // RFC 9110 §13.2.2: If-Modified-Since does not count beside If-None-Match.
    let holds = if request.fields.has("if-none-match") {
        none_match_hits(head, request)
    } else {
        request.fields.first("if-modified-since").is_some_and(|since| unmodified_since(head, since))
    };
    if holds { Precondition::NotModified } else { Precondition::Proceed }
}

fn none_match_hits(head: &StoredHead, request: &RequestMeta<'_>) -> bool {
    let stored = head.headers.get(header::ETAG).map(|tag| opaque_tag(tag.as_bytes().trim_ascii()));
    let mut hit = false;
    request.fields.each("if-none-match", &mut |line| {
        each_tag(line, &mut |tag| {
            hit |= tag == b"*" || stored.is_some_and(|stored| stored == opaque_tag(tag));
        });
    });
    hit
}

/// RFC 9111 §4.3.2: without Last-Modified the Date stands in, then the time of receipt.
fn unmodified_since(head: &StoredHead, since: &[u8]) -> bool {
    let Some(since) = parse_http_date(since, head.response_time) else { return false };
    let modified = head
        .headers
        .get(header::LAST_MODIFIED)
        .and_then(|text| parse_http_date(text.as_bytes(), head.response_time))
        .or_else(|| date_of(&head.headers, head.response_time))
        .unwrap_or(head.response_time);
    modified.unix_secs() <= since.unix_secs()
}

/// Calls `visit` for each member of an If-None-Match line. Quoted commas do not separate.
fn each_tag<'a>(line: &'a [u8], visit: &mut dyn FnMut(&'a [u8])) {
    let mut rest = line;
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest
            .iter()
            .position(|&byte| {
                quoted ^= byte == b'"';
                byte == b',' && !quoted
            })
            .unwrap_or(rest.len());
        let tag = rest[..end].trim_ascii();
        if !tag.is_empty() {
            visit(tag);
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// The tag without its weakness mark: what weak comparison compares (RFC 9110 §8.8.3.2).
pub(crate) fn opaque_tag(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether the tag is a strong validator.
pub(crate) fn is_strong(tag: &[u8]) -> bool {
    tag.first() == Some(&b'"')
}

/// The conditions to add to a request that validates a stored response (RFC 9111 §4.3.1). Replace
/// whatever conditions the client sent, and send no Range with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// The value of If-None-Match: the stored ETag as it is.
    pub if_none_match: Option<HeaderValue>,
    /// The value of If-Modified-Since: the stored Last-Modified as it is.
    pub if_modified_since: Option<HeaderValue>,
}

impl Validators {
    /// Whether there is nothing to validate with: fetch anew.
    pub fn is_empty(&self) -> bool {
        self.if_none_match.is_none() && self.if_modified_since.is_none()
    }
}

/// The validators of a stored response.
pub fn validators(head: &StoredHead) -> Validators {
    // A 304 to conditions on a part says nothing about the part's bytes beyond the tag; only whole
    // responses are validated.
    if head.partial.is_some() {
        return Validators::default();
    }
    Validators {
        if_none_match: head.headers.get(header::ETAG).cloned(),
        if_modified_since: head.headers.get(header::LAST_MODIFIED).cloned(),
    }
}

/// Whether a stored field belongs into a 304: everything but what describes the content that is
/// not sent (RFC 9110 §15.4.5).
pub fn is_sent_with_304(name: &HeaderName) -> bool {
    ![
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::CONTENT_RANGE,
        header::CONTENT_LANGUAGE,
        header::TRAILER,
    ]
    .contains(name)
}
