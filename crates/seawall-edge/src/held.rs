//! Answers from stored responses: whole, 304, ranges.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use seawall_cache::{
    ByteRange, CacheStatus, Entry, Precondition, RangePlan, Representation, RequestMeta, Wants,
    is_sent_with_304, precondition, ranges,
};
use seawall_model::{Cause, Method};

use crate::answer::{Answer, AnswerBody, AnswerHead, Note};
use crate::metrics::CacheOutcome;
use crate::serve::{self, Ask};

/// How a stored response came to be the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served {
    pub(crate) age_s: u64,
    pub(crate) cache: CacheStatus,
    pub(crate) note: Note,
}

impl Served {
    /// Straight from the store.
    pub(crate) fn hit(age_s: u64, ttl_s: i64, cause: Cause) -> Self {
        let outcome = if ttl_s > 0 { CacheOutcome::Hit } else { CacheOutcome::Stale };
        Self { age_s, cache: CacheStatus::Hit { ttl_s }, note: serve::note(cause, outcome) }
    }
}

/// Answers a request from a stored response that may be used. `None` if only a part is stored, and
/// not the part that is asked for.
pub(crate) fn answer(
    entry: &Arc<Entry>,
    ask: &Ask<'_>,
    request: &RequestMeta<'_>,
    served: Served,
) -> Option<Answer> {
    let Served { age_s, cache, note } = served;
    let wants_range = ask.method == Method::Get && ask.fields.has("range");
    let wants =
        if wants_range || entry.head.partial.is_some() { Wants::Range } else { Wants::Whole };
    let representation = entry.choose(ask.fields.first("accept-encoding"), wants);
    if precondition(&entry.head, request) == Precondition::NotModified {
        let mut headers: HeaderMap = representation
            .headers()
            .iter()
            .filter(|(name, _)| is_sent_with_304(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        put_age(&mut headers, age_s);
        let status = StatusCode::NOT_MODIFIED;
        return Some(serve::built(status, headers, AnswerBody::None, &cache, note));
    }
    let partial = entry.head.partial.as_ref();
    if partial.is_some() || (wants_range && representation.allows_ranges()) {
        let total = partial.map_or(representation.body.len() as u64, |part| part.complete);
        let plan = ranges(request, &entry.head, total);
        if plan == RangePlan::NotHeld {
            return None;
        }
        if let Some((status, mut headers, body)) = ranged(&representation, &plan, total) {
            put_age(&mut headers, age_s);
            let body =
                if ask.method == Method::Head { AnswerBody::None } else { AnswerBody::Whole(body) };
            return Some(serve::built(status, headers, body, &cache, note));
        }
        if partial.is_some() {
            return None;
        }
    }
    let body = if ask.method == Method::Head {
        AnswerBody::None
    } else {
        AnswerBody::Whole(representation.body.clone())
    };
    let status = representation.status();
    let cache_status = serve::cache_text(&cache);
    let head = AnswerHead::Held { representation, age_s, cache_status };
    Some(Answer { status, head, body, note })
}

fn ranged(
    representation: &Representation,
    plan: &RangePlan,
    total: u64,
) -> Option<(StatusCode, HeaderMap, Bytes)> {
    let mut headers = representation.headers().clone();
    headers.remove(CONTENT_LENGTH);
    let offset = representation.entry().head.partial.as_ref().map_or(0, |part| part.start);
    match plan {
        RangePlan::Full | RangePlan::NotHeld => None,
        RangePlan::Unsatisfiable => {
            headers.remove(CONTENT_TYPE);
            headers.insert(CONTENT_RANGE, text(&format!("bytes */{total}")));
            Some((StatusCode::RANGE_NOT_SATISFIABLE, headers, Bytes::new()))
        }
        RangePlan::One(range) => {
            let body = slice(&representation.body, range, offset)?;
            headers.insert(CONTENT_RANGE, text(&content_range(range, total)));
            Some((StatusCode::PARTIAL_CONTENT, headers, body))
        }
        RangePlan::Many(parts) => {
            let body = multipart(representation, parts, offset, total)?;
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static(concat!(
                    "multipart/byteranges; boundary=",
                    "seawall-part"
                )),
            );
            Some((StatusCode::PARTIAL_CONTENT, headers, body))
        }
    }
}

/// RFC 9110 §14.6. The boundary need not be unguessable: a recipient counts by Content-Range.
fn multipart(
    representation: &Representation,
    parts: &[ByteRange],
    offset: u64,
    total: u64,
) -> Option<Bytes> {
    let kind = representation.headers().get(CONTENT_TYPE);
    let mut body = BytesMut::new();
    for range in parts {
        body.put_slice(b"--seawall-part\r\n");
        if let Some(kind) = kind {
            body.put_slice(b"content-type: ");
            body.put_slice(kind.as_bytes());
            body.put_slice(b"\r\n");
        }
        body.put_slice(b"content-range: ");
        body.put_slice(content_range(range, total).as_bytes());
        body.put_slice(b"\r\n\r\n");
        body.put_slice(&slice(&representation.body, range, offset)?);
        body.put_slice(b"\r\n");
    }
    body.put_slice(b"--seawall-part--\r\n");
    Some(body.freeze())
}

fn slice(body: &Bytes, range: &ByteRange, offset: u64) -> Option<Bytes> {
    let start = usize::try_from(range.start.checked_sub(offset)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(offset)?).ok()?.checked_add(1)?;
    (start <= end && end <= body.len()).then(|| body.slice(start..end))
}

fn content_range(range: &ByteRange, total: u64) -> String {
    format!("bytes {}-{}/{total}", range.start, range.end)
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("digits and punctuation make a valid field value")
}

fn put_age(headers: &mut HeaderMap, age_s: u64) {
    headers.insert(HeaderName::from_static("age"), HeaderValue::from(age_s));
}
