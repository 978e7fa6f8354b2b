//! What a 304, or the answer to a HEAD, means for what is stored (RFC 9111 §4.3.4, §4.3.5).

use http::{HeaderMap, HeaderName, header};
use seawall_model::{CookieClass, WallTime};

use crate::cache_control::ResponseDirectives;
use crate::conditional::{is_strong, opaque_tag};
use crate::head::{Invalidation, StoredHead, strip_hop_by_hop};
use crate::policy::storable::{assess, kept_fields, request_allows};
use crate::policy::{RequestMeta, SitePolicy};
use crate::vary::VaryKey;

/// What a 304 to a validation means for the stored response.
#[derive(Clone, Debug, PartialEq)]
pub enum Refreshed {
    /// Replace the stored head by this one and answer with it.
    Updated(StoredHead),
    /// Answer with this one, once; what is stored stays as it was. The request, not the response,
    /// is why (`no-store`, a cookie).
    AnswerOnly(StoredHead),
    /// Answer with this one, once, and drop what is stored: it may not be kept any longer.
    Drop(StoredHead),
    /// The 304 is about another representation: ask again without conditions (RFC 9111 §4.3.4).
    Mismatch,
}

/// Freshens a stored response with a 304 (RFC 9111 §4.3.4, §3.2).
///
/// `request` is the client's request that led to the validation; for one made by ourselves a
/// request without fields. `headers` are those of the 304 as they came.
pub fn refresh(
    policy: &SitePolicy,
    head: &StoredHead,
    request: &RequestMeta<'_>,
    headers: &HeaderMap,
    request_time: WallTime,
    response_time: WallTime,
) -> Refreshed {
    if !is_about(&head.headers, headers) {
        return Refreshed::Mismatch;
    }
    match updated(policy, head, request, headers, (request_time, response_time)) {
        (updated, Keep::No) => Refreshed::Drop(updated),
        (updated, Keep::Yes) if is_for_all(request) => Refreshed::Updated(updated),
        (updated, Keep::Yes) => Refreshed::AnswerOnly(updated),
    }
}

/// Whether what the origin said to this request may be told to others: a 304 to somebody's
/// Authorization or cookie may carry fields made for that person (RFC 9111 §3.5).
fn is_for_all(request: &RequestMeta<'_>) -> bool {
    request_allows(request).is_ok()
        && request.cookies == CookieClass::None
        && !request.fields.has("authorization")
}

/// What the answer to a HEAD means for a stored response to GET.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadUpdate {
    /// Replace the stored head by this one.
    Refresh(Box<StoredHead>),
    /// The representation has changed: drop what is stored.
    Invalidate,
    /// It says nothing about what is stored.
    Ignore,
}

/// Freshens or invalidates a stored response by the answer to a HEAD (RFC 9111 §4.3.5).
pub fn head_response_updates(
    policy: &SitePolicy,
    head: &StoredHead,
    request: &RequestMeta<'_>,
    status: u16,
    headers: &HeaderMap,
    request_time: WallTime,
    response_time: WallTime,
) -> HeadUpdate {
    let comparable = status == 200
        && head.status == 200
        && request.cookies == CookieClass::None
        && request_allows(request).is_ok()
        // Another coding has another length and tag, and is no other content.
        && headers.get(header::CONTENT_ENCODING) == head.headers.get(header::CONTENT_ENCODING)
        && !headers.contains_key(header::SET_COOKIE);
    if !comparable {
        return HeadUpdate::Ignore;
    }
    let changed = [header::ETAG, header::LAST_MODIFIED, header::CONTENT_LENGTH]
        .iter()
        .any(|name| headers.get(name).is_some_and(|new| head.headers.get(name) != Some(new)));
    if changed {
        return HeadUpdate::Invalidate;
    }
    match updated(policy, head, request, headers, (request_time, response_time)) {
        (updated, Keep::Yes) => HeadUpdate::Refresh(Box::new(updated)),
        (_, Keep::No) => HeadUpdate::Invalidate,
    }
}

/// RFC 9111 §4.3.4. A 304 without any validator answers the only condition there was.
fn is_about(stored: &HeaderMap, new: &HeaderMap) -> bool {
    let trimmed = |headers: &HeaderMap, name: &HeaderName| {
        headers.get(name).map(|value| value.as_bytes().trim_ascii().to_vec())
    };
    if let Some(new_tag) = trimmed(new, &header::ETAG) {
        let Some(old_tag) = trimmed(stored, &header::ETAG) else { return true };
        let both_strong = is_strong(&new_tag) && is_strong(&old_tag);
        return if both_strong {
            new_tag == old_tag
        } else {
            opaque_tag(&new_tag) == opaque_tag(&old_tag)
        };
    }
    match (trimmed(new, &header::LAST_MODIFIED), trimmed(stored, &header::LAST_MODIFIED)) {
        (Some(new), Some(old)) => new == old,
        _ => true,
    }
}

/// Whether the response, with its new fields, may stay in the store.
enum Keep {
    Yes,
    No,
}

/// The stored head with the new fields in it.
fn updated(
    policy: &SitePolicy,
    head: &StoredHead,
    request: &RequestMeta<'_>,
    headers: &HeaderMap,
    times: (WallTime, WallTime),
) -> (StoredHead, Keep) {
    let merged = merge(&head.headers, headers);
    // Only what the response says counts here; what the request says, the caller looks at.
    let anonymous =
        RequestMeta { method: request.method, fields: &NoFields, cookies: CookieClass::None };
    let assessed = assess(policy, &anonymous, head.status, &merged, times);
    let revaried = headers.contains_key(header::VARY)
        && headers.get_all(header::VARY).iter().ne(head.headers.get_all(header::VARY));
    let vary = if revaried { VaryKey::new(request, &merged) } else { Some(head.vary.clone()) };
    let keep = if assessed.is_ok() && vary.is_some() { Keep::Yes } else { Keep::No };
    let directives = ResponseDirectives::from_response(&merged).0;
    let (request_time, response_time) = times;
    let (freshness, filled_under) = assessed
        .map_or((head.freshness, head.filled_under), |new| (new.freshness, new.filled_under));
    let result = StoredHead {
        status: head.status,
        headers: kept_fields(&merged, &directives, response_time),
        request_time,
        response_time,
        vary: vary.unwrap_or_default(),
        freshness,
        filled_under,
        partial: head.partial,
        invalidation: Invalidation::Never,
    };
    (result, keep)
}

/// The stored fields with every field of the 304 in place of its namesake (RFC 9111 §3.2).
fn merge(stored: &HeaderMap, headers: &HeaderMap) -> HeaderMap {
    let mut new = headers.clone();
    strip_hop_by_hop(&mut new);
    for name in &NOT_UPDATED {
        new.remove(name);
    }
    let mut merged = stored.clone();
    // A 304 without Date is dated on receipt (RFC 9110 §6.6.1); the old Date would make it old.
    merged.remove(header::DATE);
    for name in new.keys() {
        merged.remove(name);
    }
    for (name, value) in &new {
        merged.append(name, value.clone());
    }
    merged
}

/// RFC 9111 §3.2: the length never; the coding and range because what is stored depends on them.
/// A cookie is for one person and does not enter the cache.
static NOT_UPDATED: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::SET_COOKIE];

struct NoFields;

impl seawall_model::Fields for NoFields {
    fn each(&self, _name: &str, _visit: &mut dyn FnMut(&[u8])) {}

    fn first(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}
