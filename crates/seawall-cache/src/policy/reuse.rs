//! Whether a stored response answers a request (RFC 9111 §4). It does not choose among variants.

use seawall_model::{CookieClass, Fields, Method, WallTime};

use crate::cache_control::RequestDirectives;
use crate::cache_status::Forward;
use crate::freshness::StaleRule;
use crate::head::{FilledUnder, StoredHead};
use crate::policy::RequestMeta;

/// What a stored response that matches key and selecting fields is good for now.
///
/// `age_s` is the value for Age; `ttl_s` the seconds of freshness left, negative once stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// Answer with it. `ttl_s` is negative only if the client accepted that (`max-stale`).
    Fresh {
        /// Seconds, for Age.
        age_s: u64,
        /// Seconds of freshness left.
        ttl_s: i64,
    },
    /// Answer with it, and validate it meanwhile (RFC 5861 §3).
    StaleWhileRevalidate {
        /// Seconds, for Age.
        age_s: u64,
        /// Seconds of freshness left, not positive.
        ttl_s: i64,
    },
    /// Ask the origin first, with [`validators`](crate::validators) if there are any.
    Validate {
        /// Whether it may be served after all if the origin fails or is too busy. Always so when
        /// it is still fresh and only the client wished for validation (`forward` is
        /// [`Forward::Request`]): such wishes are advice (RFC 9111 §5.2.1).
        stale_if_error: bool,
        /// Seconds, for Age.
        age_s: u64,
        /// Seconds of freshness left.
        ttl_s: i64,
        /// Why, for Cache-Status.
        forward: Forward,
    },
    /// Answer 504: the client wants nothing from the origin (RFC 9111 §5.2.1.7).
    OnlyIfCachedMiss,
    /// Act as if it were not stored: it is not for this request.
    Unusable,
}

/// Decides whether a stored response answers a request (RFC 9111 §4, without key, Vary and Range).
///
/// Costs one pass over Cache-Control or Pragma of the request; no allocation.
pub fn reuse(head: &StoredHead, request: &RequestMeta<'_>, now: WallTime) -> Reuse {
    if !is_for(head, request) {
        return Reuse::Unusable;
    }
    let client = RequestDirectives::from_request(request.fields);
    let state = State::new(head, now);
    let (age_s, ttl_s) = (state.age_s, state.ttl_s());
    let fresh = state.remaining_ns > 0 && !head.freshness.no_cache && !state.is_invalid;
    let wished = wishes_validation(head, &client, &state, now);
    if fresh && !wished {
        return Reuse::Fresh { age_s, ttl_s };
    }
    // RFC 9111 §4.4: what is invalid is not used without validation, whoever would take it.
    if !fresh && !client.no_cache && !head.freshness.no_cache && !state.is_invalid {
        let stale_s = state.stale_s();
        let accepted = client.max_stale.is_some_and(|limit| stale_s <= limit);
        if accepted && head.freshness.stale == StaleRule::Allowed {
            return Reuse::Fresh { age_s, ttl_s };
        }
        if head.freshness.stale != StaleRule::Forbidden
            && state.stale_within(head.freshness.stale_while_revalidate_s)
        {
            return Reuse::StaleWhileRevalidate { age_s, ttl_s };
        }
    }
    if client.only_if_cached {
        return Reuse::OnlyIfCachedMiss;
    }
    Reuse::Validate {
        stale_if_error: fresh || stands_in(head, &client, &state),
        age_s,
        ttl_s,
        forward: if fresh { Forward::Request } else { Forward::Stale },
    }
}

/// Whether a stored response may stand in for an error (a 5xx as [`is_error_status`] says, or no
/// answer at all): it is fresh, or within its stale-if-error window (RFC 5861 §4).
pub fn may_serve_stale_on_error(
    head: &StoredHead,
    request: &RequestMeta<'_>,
    now: WallTime,
) -> bool {
    let client = RequestDirectives::from_request(request.fields);
    is_for(head, request) && stands_in(head, &client, &State::new(head, now))
}

/// Whether a stored response may be served because the origin cannot be reached at all. RFC 9111
/// §4.2.4 allows it for anything that does not forbid it; here for a day past its lifetime.
pub fn may_serve_stale_when_disconnected(
    head: &StoredHead,
    request: &RequestMeta<'_>,
    now: WallTime,
) -> bool {
    let state = State::new(head, now);
    let allowed = head.freshness.stale == StaleRule::Allowed && !head.freshness.no_cache;
    may_serve_stale_on_error(head, request, now)
        || (is_for(head, request) && allowed && state.stale_within(MAX_DISCONNECTED_S))
}

/// The statuses that RFC 5861 §4 calls errors.
pub const fn is_error_status(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Whether a request without any stored answer is to be answered 504 (RFC 9111 §5.2.1.7).
pub fn only_if_cached(fields: &dyn Fields) -> bool {
    RequestDirectives::from_request(fields).only_if_cached
}

/// A day: as long as `default_stale_if_error` is by default.
const MAX_DISCONNECTED_S: u64 = 86_400;

/// A response that came this recently satisfies any wish for a newer one. Without it a client could
/// have the origin work on every request for a page in hand.
const RELOAD_FLOOR_S: u64 = 1;

/// Whether the response is for this request at all.
fn is_for(head: &StoredHead, request: &RequestMeta<'_>) -> bool {
    if !matches!(request.method, Method::Get | Method::Head) {
        return false;
    }
    match head.filled_under {
        // Nobody said that the page is the same for everybody.
        FilledUnder::DefaultTtl => !request.is_attributable(),
        FilledUnder::Explicit | FilledUnder::Heuristic => request.cookies != CookieClass::Personal,
    }
}

/// Whether the client asks for something newer than what is stored (RFC 9111 §5.2.1).
fn wishes_validation(
    head: &StoredHead,
    client: &RequestDirectives,
    state: &State,
    now: WallTime,
) -> bool {
    if now.saturating_since(head.response_time).as_secs() < RELOAD_FLOOR_S {
        return false;
    }
    // RFC 8246 §2: a plain reload (`max-age=0`) does not concern what never changes.
    let too_old =
        client.max_age.is_some_and(|limit| state.age_s > limit) && !head.freshness.immutable;
    let soon_stale = client.min_fresh.is_some_and(|margin| state.ttl_s() < signed(margin));
    client.no_cache || too_old || soon_stale
}

fn stands_in(head: &StoredHead, client: &RequestDirectives, state: &State) -> bool {
    let freshness = &head.freshness;
    if freshness.no_cache {
        return false;
    }
    // What a client accepts counts only where the origin left it open.
    let window_s = match freshness.stale {
        StaleRule::Forbidden => 0,
        StaleRule::OnlyGranted => freshness.stale_if_error_s,
        StaleRule::Allowed => freshness.stale_if_error_s.max(client.stale_if_error.unwrap_or(0)),
    };
    // An invalid one is used as if its lifetime were over.
    let fresh = state.remaining_ns > 0 && !state.is_invalid;
    fresh || state.stale_within(window_s)
}

/// Age and what is left of the lifetime, at one moment.
struct State {
    age_s: u64,
    remaining_ns: i128,
    is_invalid: bool,
}

impl State {
    fn new(head: &StoredHead, now: WallTime) -> Self {
        Self {
            age_s: head.freshness.age_s(head.response_time, now),
            remaining_ns: head.freshness.remaining_ns(head.response_time, now),
            is_invalid: head.is_invalid(now),
        }
    }

    fn ttl_s(&self) -> i64 {
        i64::try_from(self.remaining_ns.div_euclid(1_000_000_000)).unwrap_or(i64::MAX)
    }

    fn stale_s(&self) -> u64 {
        u64::try_from((-self.remaining_ns).max(0) / 1_000_000_000).unwrap_or(u64::MAX)
    }

    fn stale_within(&self, window_s: u64) -> bool {
        window_s > 0 && -self.remaining_ns < i128::from(window_s) * 1_000_000_000
    }
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
