//! Whether a response may be stored, and what is kept of its head (RFC 9111 §3).

use http::{HeaderMap, HeaderValue, header};
use seawall_model::{CookieClass, Method, WallTime};

use crate::cache_control::{RequestDirectives, ResponseDirectives, Scope, Source, delta_seconds};
use crate::freshness::{
    Freshness, StaleRule, expires_lifetime_s, heuristic_lifetime_s, initial_age_s,
};
use crate::head::{FilledUnder, Invalidation, StoredHead, strip_hop_by_hop};
use crate::policy::{RequestMeta, SitePolicy};
use crate::range::ContentRange;
use crate::vary::VaryKey;

/// Why a response is not stored. A closed vocabulary for logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoStore {
    /// The method's answers are not stored.
    Method,
    /// The status is not final, is about this request only (416, 429), or needs more than it came
    /// with (304, or 206 without a range).
    Status,
    /// The request carries a cookie that marks personal pages.
    PersonalCookie,
    /// The request carries an unknown cookie, and the response gives no lifetime of its own.
    ForeignCookie,
    /// The request carries Authorization, and the response does not allow sharing (RFC 9111 §3.5).
    Authorization,
    /// The request says `no-store`.
    RequestNoStore,
    /// The response sets a cookie.
    SetCookie,
    /// The response says `no-store`.
    Forbidden,
    /// The response says `private`.
    Private,
    /// The response says `must-understand`, and its status is unknown here (RFC 9111 §5.2.2.3).
    NotUnderstood,
    /// `Vary: *`, or too much or unreadable variance.
    Vary,
    /// No lifetime, and none may be guessed.
    NoFreshness,
    /// It would never be fresh, and there is nothing to validate it with.
    NeverFresh,
    /// The body is longer than the site allows.
    TooLarge,
}

impl NoStore {
    /// A label for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::PersonalCookie => "personal_cookie",
            Self::ForeignCookie => "foreign_cookie",
            Self::Authorization => "authorization",
            Self::RequestNoStore => "request_no_store",
            Self::SetCookie => "set_cookie",
            Self::Forbidden => "no_store",
            Self::Private => "private",
            Self::NotUnderstood => "not_understood",
            Self::Vary => "vary",
            Self::NoFreshness => "no_freshness",
            Self::NeverFresh => "never_fresh",
            Self::TooLarge => "too_large",
        }
    }
}

/// Decides whether a shared cache stores the response to a GET (RFC 9111 §3) and makes what is
/// stored of its head.
///
/// `headers` are those that came from the origin, before anything is removed; `request` is the
/// client's. A 206 is storable if the range is single and its complete length known; the caller
/// must check that the body has [`ContentRange::body_len`] bytes.
///
/// # Errors
/// Why it is not stored; the response is still good for this one client.
pub fn storable(
    policy: &SitePolicy,
    request: &RequestMeta<'_>,
    status: u16,
    headers: &HeaderMap,
    request_time: WallTime,
    response_time: WallTime,
) -> Result<StoredHead, NoStore> {
    if request.method != Method::Get {
        return Err(NoStore::Method);
    }
    request_allows(request)?;
    let times = (request_time, response_time);
    make_head(policy, request, status, headers, times)
}

/// What the request alone says against storing its answer.
pub(super) fn request_allows(request: &RequestMeta<'_>) -> Result<(), NoStore> {
    if request.cookies == CookieClass::Personal {
        return Err(NoStore::PersonalCookie);
    }
    if RequestDirectives::from_request(request.fields).no_store {
        return Err(NoStore::RequestNoStore);
    }
    Ok(())
}

fn make_head(
    policy: &SitePolicy,
    request: &RequestMeta<'_>,
    status: u16,
    headers: &HeaderMap,
    times: (WallTime, WallTime),
) -> Result<StoredHead, NoStore> {
    let partial = match status {
        206 => Some(content_range(headers)?),
        _ => None,
    };
    let assessed = assess(policy, request, status, headers, times)?;
    let vary = VaryKey::new(request, headers).ok_or(NoStore::Vary)?;
    let (request_time, response_time) = times;
    Ok(StoredHead {
        status,
        headers: kept_fields(headers, &assessed.directives, response_time),
        request_time,
        response_time,
        vary,
        freshness: assessed.freshness,
        filled_under: assessed.filled_under,
        partial,
        invalidation: Invalidation::Never,
    })
}

fn content_range(headers: &HeaderMap) -> Result<ContentRange, NoStore> {
    let value = headers.get(header::CONTENT_RANGE).ok_or(NoStore::Status)?;
    ContentRange::parse(value.as_bytes()).ok_or(NoStore::Status)
}

/// The fields that are stored (RFC 9111 §3.1): none of the connection's, none that the response
/// asks to leave out, no Age (it is computed), and a Date (RFC 9110 §6.6.1).
pub(super) fn kept_fields(
    headers: &HeaderMap,
    directives: &ResponseDirectives,
    response_time: WallTime,
) -> HeaderMap {
    let mut kept = headers.clone();
    strip_hop_by_hop(&mut kept);
    for scope in [&directives.no_cache, &directives.private] {
        if let Scope::Fields(names) = scope {
            for name in names {
                kept.remove(name);
            }
        }
    }
    kept.remove(header::AGE);
    kept.remove(header::SET_COOKIE);
    if !kept.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::from_str(&http_date(response_time))
    {
        kept.insert(header::DATE, date);
    }
    kept
}

fn http_date(time: WallTime) -> String {
    let since = std::time::Duration::from_secs(time.unix_secs().min(MAX_DATE_SECS));
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

/// 9999-12-31T23:59:59Z, the last second an IMF-fixdate can say.
const MAX_DATE_SECS: u64 = 253_402_300_799;

pub(super) struct Assessed {
    pub(super) freshness: Freshness,
    pub(super) filled_under: FilledUnder,
    pub(super) directives: ResponseDirectives,
}

/// What a response says for and against being stored by a shared cache (RFC 9111 §3).
pub(super) fn assess(
    policy: &SitePolicy,
    request: &RequestMeta<'_>,
    status: u16,
    headers: &HeaderMap,
    (request_time, response_time): (WallTime, WallTime),
) -> Result<Assessed, NoStore> {
    // RFC 9111 §3: final, and a 304 is never a response of its own.
    if !(200..600).contains(&status) || status == 304 || is_about_the_request(status) {
        return Err(NoStore::Status);
    }
    if headers.contains_key(header::SET_COOKIE) {
        return Err(NoStore::SetCookie);
    }
    let (directives, source) = ResponseDirectives::from_response(headers);
    permitted(&directives, request, status)?;
    if length(headers).is_some_and(|length| length > policy.max_object_bytes) {
        return Err(NoStore::TooLarge);
    }
    let initial_age_s = initial_age_s(headers, request_time, response_time);
    let lifetime = lifetime(policy, request, status, headers, (&directives, source), response_time);
    let (filled_under, lifetime_s) = lifetime?;
    let freshness = match filled_under {
        FilledUnder::DefaultTtl => Freshness {
            // Our own lifetime counts from arrival: a slow origin must not eat it up.
            lifetime_s: lifetime_s.saturating_add(initial_age_s),
            initial_age_s,
            stale_while_revalidate_s: policy.default_stale_while_revalidate.as_secs(),
            stale_if_error_s: policy.default_stale_if_error.as_secs(),
            stale: StaleRule::Allowed,
            no_cache: false,
            immutable: false,
        },
        FilledUnder::Explicit | FilledUnder::Heuristic => Freshness {
            lifetime_s,
            initial_age_s,
            stale_while_revalidate_s: directives.stale_while_revalidate.unwrap_or(0),
            stale_if_error_s: directives.stale_if_error.unwrap_or(0),
            stale: stale_rule(&directives),
            no_cache: directives.no_cache.is_whole(),
            immutable: directives.immutable,
        },
    };
    worth_keeping(&freshness, headers)?;
    Ok(Assessed { freshness, filled_under, directives })
}

fn permitted(
    directives: &ResponseDirectives,
    request: &RequestMeta<'_>,
    status: u16,
) -> Result<(), NoStore> {
    // RFC 9111 §5.2.2.3: a cache that understands the status ignores the no-store beside it.
    if directives.must_understand {
        if !is_understood(status) {
            return Err(NoStore::NotUnderstood);
        }
    } else if directives.no_store {
        return Err(NoStore::Forbidden);
    }
    if directives.private.is_whole() {
        return Err(NoStore::Private);
    }
    // RFC 9111 §3.5.
    let shared = directives.public || directives.must_revalidate || directives.s_maxage.is_some();
    if request.fields.has("authorization") && !shared {
        return Err(NoStore::Authorization);
    }
    Ok(())
}

/// Which lifetime applies and how long it is (RFC 9111 §4.2.1, §4.2.2).
fn lifetime(
    policy: &SitePolicy,
    request: &RequestMeta<'_>,
    status: u16,
    headers: &HeaderMap,
    (directives, source): (&ResponseDirectives, Source),
    response_time: WallTime,
) -> Result<(FilledUnder, u64), NoStore> {
    let expires = match source {
        // RFC 9213 §2.2: the targeted field replaces Expires too.
        Source::Targeted => None,
        Source::CacheControl | Source::None => expires_lifetime_s(headers, response_time),
    };
    let explicit = directives.s_maxage.or(directives.max_age).or(expires);
    if let Some(lifetime_s) = explicit.filter(|&lifetime_s| lifetime_s > 0) {
        return Ok((FilledUnder::Explicit, lifetime_s));
    }
    // From here on nobody promised that the response is the same for everybody.
    if request.cookies != CookieClass::None {
        return Err(NoStore::ForeignCookie);
    }
    if explicit.is_some() {
        return Ok((FilledUnder::Explicit, 0));
    }
    let pragma = headers.contains_key(header::PRAGMA);
    let silent = source == Source::None && !pragma;
    let default = match status {
        200 | 301 => policy.default_ttl,
        404 | 410 => policy.negative_ttl,
        _ => None,
    };
    if silent && let Some(ttl) = default.filter(|ttl| ttl.as_secs() > 0) {
        return Ok((FilledUnder::DefaultTtl, ttl.as_secs()));
    }
    // RFC 9111 §4.2.2: only where the status allows it, or the response says `public`.
    let guessable = is_heuristically_cacheable(status) || directives.public;
    if guessable
        && !pragma
        && !directives.no_cache.is_whole()
        && let Some(lifetime_s) = heuristic_lifetime_s(headers, response_time)
    {
        return Ok((FilledUnder::Heuristic, lifetime_s));
    }
    // Kept for validation on every use, if there is anything to validate with.
    if guessable && has_validator(headers) {
        return Ok((FilledUnder::Explicit, 0));
    }
    Err(NoStore::NoFreshness)
}

fn stale_rule(directives: &ResponseDirectives) -> StaleRule {
    if directives.must_revalidate || directives.proxy_revalidate {
        StaleRule::Forbidden
    } else if directives.s_maxage.is_some() {
        StaleRule::OnlyGranted
    } else {
        StaleRule::Allowed
    }
}

fn worth_keeping(freshness: &Freshness, headers: &HeaderMap) -> Result<(), NoStore> {
    let windows = freshness.stale_while_revalidate_s.max(freshness.stale_if_error_s);
    let usable_s = match freshness.stale {
        StaleRule::Forbidden => freshness.lifetime_s,
        StaleRule::Allowed | StaleRule::OnlyGranted => freshness.lifetime_s.saturating_add(windows),
    };
    let ever = !freshness.no_cache && usable_s > freshness.initial_age_s;
    if ever || has_validator(headers) { Ok(()) } else { Err(NoStore::NeverFresh) }
}

fn has_validator(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ETAG) || headers.contains_key(header::LAST_MODIFIED)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    delta_seconds_free(headers.get(header::CONTENT_LENGTH)?.as_bytes())
}

/// A decimal number; Content-Length is not bounded by what delta-seconds are.
fn delta_seconds_free(text: &[u8]) -> Option<u64> {
    delta_seconds(text)?;
    std::str::from_utf8(text).ok()?.parse().ok().or(Some(u64::MAX))
}

/// RFC 9110 §15.1.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Statuses that answer this request's fields, length or rate and say nothing about the resource.
/// Stored, one odd request would take the page from everybody. RFC 6585 forbids to store 428, 429,
/// 431 and 511; the others are never meant for another request.
fn is_about_the_request(status: u16) -> bool {
    matches!(status, 407 | 408 | 411..=413 | 415..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 511)
}

/// The final statuses of RFC 9110 §15, all of whose caching requirements are met here, as far as
/// they are stored at all.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=303 | 305 | 307 | 308 | 400..=417 | 422 | 451 | 500..=505)
}
