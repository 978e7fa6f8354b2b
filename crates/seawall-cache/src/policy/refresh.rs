use http::{HeaderMap, HeaderName, HeaderValue, header};
use seawall_model::{CookieClass, WallTime};

use crate::conditional::{is_strong, opaque_tag};
use crate::head::{StoredHead, strip_hop_by_hop};
use crate::policy::storable::{assess, request_allows};
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
        Ok(updated) if request_allows(request).is_ok() => Refreshed::Updated(updated),
        Ok(updated) => Refreshed::AnswerOnly(updated),
        Err(updated) => Refreshed::Drop(updated),
    }
}

/// What the answer to a HEAD means for a stored response to GET.
#[derive(Clone, Debug, PartialEq)]
pub enum HeadUpdate {
    /// Replace the stored head by this one.
    Refresh(StoredHead),
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
        Ok(updated) => HeadUpdate::Refresh(updated),
        Err(_) => HeadUpdate::Invalidate,
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

/// The stored head with the new fields in it; `Err` with the same if it may not be kept.
fn updated(
    policy: &SitePolicy,
    head: &StoredHead,
    request: &RequestMeta<'_>,
    headers: &HeaderMap,
    times: (WallTime, WallTime),
) -> Result<StoredHead, StoredHead> {
    let mut fresh = headers.clone();
    strip_hop_by_hop(&mut fresh);
    for name in &NOT_UPDATED {
        fresh.remove(name);
    }
    let mut merged = head.headers.clone();
    // A 304 without Date is dated by us (RFC 9110 §6.6.1); the old Date would make it old.
    merged.remove(header::DATE);
    for name in fresh.keys() {
        merged.remove(name);
    }
    let mut current = None;
    for (name, value) in fresh {
        current = name.or(current);
        if let Some(name) = &current {
            merged.append(name.clone(), value);
        }
    }
    let mut with_age = merged.clone();
    if let Some(age) = headers.get(header::AGE) {
        with_age.insert(header::AGE, age.clone());
    }
    let (request_time, response_time) = times;
    if !merged.contains_key(header::DATE) {
        let date = httpdate_value(response_time);
        merged.extend(date.map(|date| (header::DATE, date)));
    }
    let mut result = StoredHead { headers: merged, request_time, response_time, ..head.clone() };
    let revaried = headers.contains_key(header::VARY)
        && headers.get_all(header::VARY).iter().ne(head.headers.get_all(header::VARY));
    if revaried {
        match VaryKey::new(request, &result.headers) {
            Some(vary) => result.vary = vary,
            None => return Err(result),
        }
    }
    // Only what the response says counts here; what the request says, the caller looks at.
    let anonymous =
        RequestMeta { method: request.method, fields: &NoFields, cookies: CookieClass::None };
    match assess(policy, &anonymous, head.status, &with_age, times) {
        Ok(assessed) => {
            result.freshness = assessed.freshness;
            result.filled_under = assessed.filled_under;
            Ok(result)
        }
        Err(_) => Err(result),
    }
}

fn httpdate_value(time: WallTime) -> Option<HeaderValue> {
    HeaderValue::from_str(&super::storable::http_date(time)).ok()
}

/// RFC 9111 §3.2: the length never; the coding and range because what is stored depends on them.
/// Age is computed. A cookie is for one person and does not enter the cache.
static NOT_UPDATED: [HeaderName; 5] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::AGE,
    header::SET_COOKIE,
];

struct NoFields;

impl seawall_model::Fields for NoFields {
    fn each(&self, _name: &str, _visit: &mut dyn FnMut(&[u8])) {}

    fn first(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}
