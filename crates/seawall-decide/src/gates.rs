//! The gates that are functions: accept, hello, request, route.
//!
//! Order of the rules; the first that speaks decides, and its [`Cause`] names it.
//!
//! | # | gate | rule | answer |
//! |---|---|---|---|
//! | 1 | all | allow list: rules 2-7, 13, 16 and 17 do not apply and nothing is counted | `allow_list` |
//! | 2 | accept, hello | deny list | close |
//! | 3 | accept | this identity broke protocols beyond `limits.max_offences` | close |
//! | 3a | hello | fingerprint on the operator's list | close |
//! | 4 | accept | all connections at `limits.max_connections` | close |
//! | 5 | accept | connections of this identity at `limits.max_connections_of_one` | close |
//! | 6 | accept | connections of its prefix at `limits.max_connections_of_prefix` | close |
//! | 7 | request | deny list (clients behind a proxy are first known here) | 403 |
//! | 8 | request | no site answers to the host | 421 |
//! | 9 | request | method not taken by the site: 501 if it is no standard method | 405, 501 |
//! | 10 | request | target beyond `limits.max_target_bytes` | 414 |
//! | 11 | request | head beyond `limits.max_head_bytes` | 431 |
//! | 12 | request | field lines beyond `limits.max_fields` | 431 |
//! | 13 | request | route takes only other sources | 403 |
//! | 14 | request | route does not take the method | 405, 501 |
//! | 15 | request | content beyond the route's or site's limit | 413 |
//! | 16 | request | held page, and the identity beyond `limits.held_rate` | 429 |
//! | 16a | held | refused by 16, and more than one reader is known at the address, or it is a Tor exit: again, with the budget of as many | admit |
//! | 17 | route | the origin would have to work, and the route's budget is spent | 429 |
//! | 18 | mitigation | held: refused by 16, and on [`Rung::Block`](seawall_model::Rung::Block): the refusal counts against the budget, too | 429 |
//! | 19 | mitigation | on [`Rung::Block`](seawall_model::Rung::Block), without a pass | 429 |
//! | 20 | mitigation | on [`Rung::Challenge`](seawall_model::Rung::Challenge), without a pass, 20 tests left open within a minute | 429 |
//! | 21 | mitigation | on [`Rung::Challenge`](seawall_model::Rung::Challenge), without a pass, a page that a person waits for | the cheap test |
//! | 22 | mitigation | on [`Rung::Demote`](seawall_model::Rung::Demote) without a pass, on [`Rung::Block`] with one, and what cannot be tested | admit, behind all others |
//! | 23 | all | otherwise | admit |
//!
//! Rules 8-12, 14 and 15 are about the message and hold for everyone, allow-listed or not: there is
//! nothing to serve. A page in hand is refused by 16 alone, and by 7 and 13, where the operator
//! said that this client may not have it; a signature alone refuses none (detection.md, amendment 1). The rest refuse messages that no held page answers.
//!
//! Rules 18-22 are in [`mitigation_gate`](crate::mitigation_gate), and never touch who is signed in, an aged reader, a verified
//! crawler or the allow list ([`Exempt`](crate::Exempt)).
//!
//! Rule 16a is [`held_gate`](crate::held_gate): a gate of its own because it needs to know who reads where, which
//! who is within its budget need not pay for.
//!
//! Rule 17 is a gate of its own because it needs more to be known (whose network it is) and because it
//! never stands between a reader and a page in hand.
//!
//! Rules 3, 5 and 6 do not apply to trusted proxies, whose connections carry many clients. Where an unnamed
//! CDN is suspected, the caller sets the refusals of rules 6 and 16 aside.
//! Rules 13-15 look at the path as sent and as an origin would read it (decoded, dot segments
//! resolved); both readings must pass.

use core::time::Duration;

use seawall_model::{
    BodyLength, Cause, ClientAddr, Decision, Facts, Fingerprint, Held, HttpVersion, Instant,
    Limits, Method, Misbehaviour, Refusal,
};

use crate::budget::{OriginBudget, Whence};
use crate::limiters::Limiters;
use crate::offenders::Bar;
use crate::path::{Normalised, is_ambiguous};
use crate::table::{MethodSet, RouteTerms, Site, Table};

/// Decides on a new connection by its peer alone, before anything is read.
///
/// `open_connections` are those open in all, this one not counted. The caller reports admitted
/// connections by [`Limiters::connection_opened`] and [`Limiters::connection_closed`], except
/// those admitted as [`Cause::AllowList`] and those of trusted proxies. A refusal has status 0: close without an answer.
/// O(log prefixes); no allocation.
pub fn accept_gate(
    table: &Table,
    limiters: &Limiters,
    now: Instant,
    client: ClientAddr,
    open_connections: usize,
) -> Decision {
    if table.allow.contains(client.ip()) {
        return Decision::Admit(Cause::AllowList);
    }
    if table.deny.contains(client.ip()) {
        return close(Cause::DenyList);
    }
    if let refused @ Decision::Refuse(..) = bar_gate(table, limiters, now, client) {
        return refused;
    }
    if open_connections >= table.limits.max_connections {
        return close(Cause::TooManyConnections);
    }
    let is_full = |open: u32, most: usize| usize::try_from(open).is_ok_and(|open| open >= most);
    let limits = &table.limits;
    let cause = if is_full(limiters.open_connections(client), limits.max_connections_of_one) {
        Cause::TooManyConnectionsOfOne
    } else if is_full(limiters.open_of_prefix(client), limits.max_connections_of_prefix) {
        Cause::TooManyConnectionsOfPrefix
    } else {
        return Decision::Admit(Cause::Default);
    };
    if table.is_trusted_proxy(client.ip()) { Decision::Admit(Cause::Default) } else { close(cause) }
}

/// Rule 3 alone: for a client whom a PROXY header names after accept.
pub fn bar_gate(table: &Table, limiters: &Limiters, now: Instant, client: ClientAddr) -> Decision {
    if limiters.is_barred(now, client) && !table.is_exempt(client) {
        return close(Cause::RepeatOffender);
    }
    Decision::Admit(Cause::Default)
}

/// Notes that a connection of `client` was closed for what it did; whether the client gets no more
/// of them for `limits.bar_time` from now on.
///
/// `people` are those known to read at its address, at least 1: who shares one is measured by as
/// many, so that one of them does not lock out the others. O(1); no allocation.
pub fn note_misbehaviour(
    table: &Table,
    limiters: &Limiters,
    now: Instant,
    client: ClientAddr,
    kind: Misbehaviour,
    people: u32,
) -> bool {
    if table.is_exempt(client) {
        return false;
    }
    let people = if table.is_tor_exit(client.ip()) { people.max(CROWD) } else { people };
    let Limits { max_offences, bar_time, .. } = table.limits;
    let bar = Bar { points: max_offences.saturating_mul(people.max(1)), time: bar_time };
    limiters.offended(now, client, kind, bar)
}

/// As many readers as stand at least behind an address that is known to serve many: a Tor exit, or what
/// seems to be a CDN. What an owner of networks is, for origin budgets.
pub const CROWD: u32 = 64;

/// Decides on a handshake, before any asymmetric cryptography.
///
/// The deny list is asked again, because a PROXY header may have named another client than the
/// peer, and the table may have changed since accept. Then rule 3a on the fingerprint, which behind a
/// trusted proxy is the proxy's own and is not looked at. A refusal has status 0. O(log prefixes); no allocation.
pub fn hello_gate(
    table: &Table,
    _limiters: &Limiters,
    _now: Instant,
    client: ClientAddr,
    fingerprint: &Fingerprint,
) -> Decision {
    if table.allow.contains(client.ip()) {
        return Decision::Admit(Cause::AllowList);
    }
    if table.deny.contains(client.ip()) {
        return close(Cause::DenyList);
    }
    let is_denied = |ja4| table.deny_ja4.contains(ja4);
    if fingerprint.ja4.is_some_and(is_denied) && !table.is_trusted_proxy(client.ip()) {
        return close(Cause::DenyFingerprint);
    }
    Decision::Admit(Cause::Default)
}

/// Decides on a request.
///
/// `site` is the position of the site that answers to `facts.host` in
/// [`TableSource::sites`](crate::TableSource::sites); `None`: there is none. A 405 needs an
/// `Allow` field, from [`Table::allowed_methods`]. Content of unknown length is admitted; the
/// reader of the body stops at [`Table::max_body_bytes`].
/// O(log prefixes + routes); no allocation, lock, wait or log line.
pub fn decide(
    table: &Table,
    limiters: &Limiters,
    now: Instant,
    site: Option<usize>,
    facts: &Facts<'_>,
) -> Decision {
    let allowed = table.allow.contains(facts.client.ip());
    if !allowed && table.deny.contains(facts.client.ip()) {
        // Behind a proxy the connection belongs to other clients too.
        let close = !facts.via_proxy;
        let refusal = Refusal { status: 403, retry_after: None, close };
        return Decision::Refuse(refusal, Cause::DenyList);
    }
    let Some(site) = site.and_then(|index| table.sites.get(index)) else {
        return refuse(421, Cause::UnknownHost, facts);
    };
    if let Some(refused) = check_message(table, site, facts) {
        return refused;
    }
    if let Some(refused) = check_routes(table, site, allowed, facts) {
        return refused;
    }
    if allowed {
        return Decision::Admit(Cause::AllowList);
    }
    if facts.held != Held::No
        && let Err(wait) = limiters.take_held(now, facts.identity, table.held)
    {
        let refusal = Refusal { retry_after: Some(whole_secs(wait)), ..refusal(429, facts) };
        return Decision::Refuse(refusal, Cause::HeldBudget);
    }
    Decision::Admit(Cause::Default)
}

/// Decides on a request that [`decide`] admitted: rule 17. `terms` are those of
/// [`Table::route_terms`]. O(1), no allocation.
pub fn route_gate(
    budgets: &OriginBudget,
    now: Instant,
    terms: RouteTerms,
    from: Whence,
    facts: &Facts<'_>,
) -> Decision {
    let Some(budget) = terms.budget.filter(|_| facts.held == Held::No) else {
        return Decision::Admit(Cause::Default);
    };
    match budgets.take_route(now, facts.identity, from, facts.standing, (budget, terms.people)) {
        Ok(()) => Decision::Admit(Cause::Default),
        Err(wait) => {
            let refusal = Refusal { retry_after: Some(whole_secs(wait)), ..refusal(429, facts) };
            Decision::Refuse(refusal, Cause::RouteBudget)
        }
    }
}

/// Rules 9-12.
fn check_message(table: &Table, site: &Site, facts: &Facts<'_>) -> Option<Decision> {
    if !site.methods.has(facts.method) {
        return Some(refuse_method(facts));
    }
    let limits = &table.limits;
    if facts.target_bytes > limits.max_target_bytes {
        return Some(refuse(414, Cause::TargetTooLong, facts));
    }
    if facts.head_bytes > limits.max_head_bytes || facts.field_count > limits.max_fields {
        return Some(refuse(431, Cause::HeadTooLarge, facts));
    }
    None
}

/// Rules 13-15, on both readings of the path.
fn check_routes(table: &Table, site: &Site, allowed: bool, facts: &Facts<'_>) -> Option<Decision> {
    let refused = check_route(table, site, allowed, facts, facts.path);
    if refused.is_some() || site.routes.is_empty() || !is_ambiguous(facts.path) {
        return refused;
    }
    check_normalised_route(table, site, allowed, facts)
}

/// Out of line: the room for the path is 8 KiB of stack that most requests never touch.
#[inline(never)]
fn check_normalised_route(
    table: &Table,
    site: &Site,
    allowed: bool,
    facts: &Facts<'_>,
) -> Option<Decision> {
    let mut room = Normalised::new();
    match room.fill(facts.path) {
        Some(path) => check_route(table, site, allowed, facts, path),
        // Only where `limits.max_target_bytes` was raised: what cannot be read is not let by.
        None => Some(refuse(414, Cause::TargetTooLong, facts)),
    }
}

fn check_route(
    table: &Table,
    site: &Site,
    allowed: bool,
    facts: &Facts<'_>,
    path: &[u8],
) -> Option<Decision> {
    let route = site.route(path);
    let sources = route.and_then(|route| route.sources.as_ref());
    if !allowed && sources.is_some_and(|sources| !sources.contains(facts.client.ip())) {
        return Some(refuse(403, Cause::RouteSource, facts));
    }
    if !route.map_or(MethodSet::ALL, |route| route.methods).has(facts.method) {
        return Some(refuse_method(facts));
    }
    let limit = route.and_then(|route| route.max_body_bytes).unwrap_or(table.limits.max_body_bytes);
    if matches!(facts.body, BodyLength::Known(bytes) if bytes > limit) {
        return Some(refuse(413, Cause::BodyTooLarge, facts));
    }
    None
}

/// RFC 9110 §9.1: 501 for a method that is not recognised, 405 for one that is but is not taken.
const fn refuse_method(facts: &Facts<'_>) -> Decision {
    let status = if matches!(facts.method, Method::Extension) { 501 } else { 405 };
    refuse(status, Cause::MethodNotAllowed, facts)
}

const fn refuse(status: u16, cause: Cause, facts: &Facts<'_>) -> Decision {
    Decision::Refuse(refusal(status, facts), cause)
}

/// A refusal reads no content. On HTTP/1 the connection ends then, because the content stands
/// where the next request would (RFC 9112 §9.3); on HTTP/2 the stream alone ends.
pub(crate) const fn refusal(status: u16, facts: &Facts<'_>) -> Refusal {
    let close = !matches!(facts.version, HttpVersion::Http2)
        && !matches!(facts.body, BodyLength::None | BodyLength::Known(0));
    Refusal { status, retry_after: None, close }
}

const fn close(cause: Cause) -> Decision {
    Decision::Refuse(Refusal { status: 0, retry_after: None, close: true }, cause)
}

/// `Retry-After` counts in seconds (RFC 9110 §10.2.3): rounded up, so that coming back then works.
fn whole_secs(wait: Duration) -> Duration {
    let up = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(up).max(1))
}
