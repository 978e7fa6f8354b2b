//! What the data-driven tests share: messages as lists, dates relative to one fixed moment.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_cache::{
    MapFields, NoStore, RequestMeta, Reuse, SitePolicy, StoredHead, classify_cookies, reuse,
    storable, vary_matches,
};
use seawall_model::{Method, WallTime};

/// 2026-01-01T00:00:00Z: every response arrives here, and its request left in the same second.
pub(crate) const NOW: u64 = 1_767_225_600;

/// Field lines. A value `@+5` or `@-3600` is the HTTP-date so many seconds from [`NOW`].
pub(crate) type List<'a> = &'a [(&'a str, &'a str)];

pub(crate) fn at(seconds: i64) -> WallTime {
    WallTime::from_unix_secs(NOW.saturating_add_signed(seconds))
}

pub(crate) fn http_date(seconds: i64) -> String {
    let secs = NOW.saturating_add_signed(seconds);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(secs))
}

pub(crate) fn headers(list: List<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in list {
        let value = match value.strip_prefix('@') {
            Some(offset) => http_date(offset.parse().expect("an offset in seconds")),
            None => (*value).to_owned(),
        };
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a legal field name");
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a legal value"));
    }
    map
}

/// A site that leaves everything to the origin.
pub(crate) fn silent() -> SitePolicy {
    SitePolicy { default_ttl: None, negative_ttl: None, ..SitePolicy::default() }
}

pub(crate) fn with_request<R>(
    method: &str,
    fields: List<'_>,
    run: impl FnOnce(&RequestMeta<'_>) -> R,
) -> R {
    let map = headers(fields);
    let fields = MapFields(&map);
    let cookies = classify_cookies(&SitePolicy::default(), &fields);
    run(&RequestMeta { method: Method::from_bytes(method.as_bytes()), fields: &fields, cookies })
}

/// Stores the response to a GET with these fields, arriving at [`NOW`].
pub(crate) fn store_for(
    policy: &SitePolicy,
    request: List<'_>,
    status: u16,
    response: List<'_>,
) -> Result<StoredHead, NoStore> {
    with_request("GET", request, |request| {
        storable(policy, request, status, &headers(response), at(0), at(0))
    })
}

/// Stores a 200 to a plain GET, under a policy without `default_ttl`.
pub(crate) fn store(response: List<'_>) -> Result<StoredHead, NoStore> {
    store_for(&silent(), &[], 200, response)
}

/// What becomes of a response when the same request comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It is answered from the store.
    Fresh,
    /// It is answered from the store, which is refreshed meanwhile.
    WhileRevalidate,
    /// The origin is asked first; an error may be covered up.
    ValidateOrStale,
    /// The origin is asked first.
    Validate,
    /// It is answered 504.
    Refused,
    /// The origin is asked as if nothing were stored.
    Miss,
}

/// What `head` is good for, `after_s` seconds after it came.
pub(crate) fn then(head: &StoredHead, request: List<'_>, after_s: i64) -> Then {
    with_request("GET", request, |request| {
        if !vary_matches(head, request) {
            return Then::Miss;
        }
        match reuse(head, request, at(after_s)) {
            Reuse::Fresh { .. } => Then::Fresh,
            Reuse::StaleWhileRevalidate { .. } => Then::WhileRevalidate,
            Reuse::Validate { stale_if_error: true, .. } => Then::ValidateOrStale,
            Reuse::Validate { .. } => Then::Validate,
            Reuse::OnlyIfCachedMiss => Then::Refused,
            Reuse::Unusable => Then::Miss,
        }
    })
}
