//! Under which key a request with query parameters is looked up, and what its answer teaches.
//!
//! The glue between a request and the site's [`Learner`], which decides; see there for what keeps a
//! reader from another page than the one asked for.

use seawall_cache::{Entry, Key, LearnStats, Lookup, Probe, RequestMeta, Reuse, Verdict, reuse};
use seawall_model::CookieClass;

use crate::clock;
use crate::metrics::Sample;
use crate::policy::Policy;
use crate::serve::Times;
use crate::worker::{ClientConn, PolicyRef};

/// Where a request stands in the cache.
pub(crate) struct Placed {
    /// Its key, which may lack parameters that change nothing. Then the origin is asked by it too:
    /// what a stranger adds to a URL must not get into a page that others are served.
    pub(crate) key: Key,
    /// What its answer is evidence for.
    pub(crate) probe: Option<Probe>,
    pub(crate) oddity: Oddity,
    pub(crate) held: Lookup,
}

/// What there is in a URL that nobody vouches for, so that it is probably made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    /// No parameter of that kind.
    Nothing,
    /// Some, which are known to change nothing and are no part of the key.
    LeftOut,
    /// Some, of which that is not known, or which are to show whether it still holds.
    Kept,
}

/// Looks a request up, by its URL or, where that is known to be the same page, by a shorter one.
pub(crate) fn place(
    ctx: &ClientConn,
    policy: &PolicyRef,
    site: usize,
    key: Key,
    request: &RequestMeta<'_>,
    times: Times,
) -> Placed {
    let store = &ctx.worker.shared.store;
    let learner = &policy.learners[site];
    let rules = &policy.config.sites[site].cache.query;
    let verdict = learner.judge(times.mono, rules, &key);
    let held = store.lookup(&key, request);
    let oddity = Oddity::of(&verdict);
    // A site may look at a parameter only for those it knows.
    let is_stranger = request.cookies == CookieClass::None && !request.fields.has("authorization");
    let probe = match verdict {
        Verdict::Watch(probe) if is_stranger => Some(probe),
        Verdict::Ignore(probe) if is_stranger => {
            let may_ask_whole = || {
                policy.misses[site].has_room(times.mono)
                    && learner.may_ask_whole(times.mono, &probe)
            };
            if !is_fresh(&held, request, times) && !may_ask_whole() {
                ctx.worker.metrics.query_ignored();
                let held = store.lookup(&probe.bare, request);
                let oddity = Oddity::LeftOut;
                return Placed { key: probe.bare, probe: None, oddity, held };
            }
            Some(probe)
        }
        _ => None,
    };
    Placed { key, probe, oddity, held }
}

/// The same for a request that is not looked up.
pub(crate) fn oddity(policy: &Policy, site: usize, key: &Key, times: Times) -> Oddity {
    let rules = &policy.config.sites[site].cache.query;
    Oddity::of(&policy.learners[site].judge(times.mono, rules, key))
}

impl Oddity {
    const fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Whole => Self::Nothing,
            Verdict::Unclear | Verdict::Watch(_) | Verdict::Ignore(_) => Self::Kept,
        }
    }
}

fn is_fresh(held: &Lookup, request: &RequestMeta<'_>, times: Times) -> bool {
    let Lookup::Hit(entry) = held else { return false };
    matches!(reuse(&entry.head, request, times.wall), Reuse::Fresh { .. })
}

/// The key of a request without the parameters that the operator leaves out.
pub(crate) fn shortened(policy: &Policy, site: usize, key: Key) -> Key {
    let Some(query) = key.query() else { return key };
    let rules = &policy.config.sites[site].cache.query;
    match rules.shorten(query) {
        Some(kept) if kept.len() == query.len() => key,
        kept => key.with_query(kept.as_deref()),
    }
}

/// Takes note of a response that was stored.
pub(crate) fn stored(
    policy: &Policy,
    site: usize,
    probe: Option<&Probe>,
    entry: &Entry,
    body: &[u8],
) {
    let now = (clock::now(), clock::wall());
    policy.learners[site].stored(now, &entry.key, probe, &entry.head, body);
    policy.misses[site].sent(&entry.key, &entry.head, body);
}

/// Figures of all sites together.
pub(crate) fn samples(policy: &Policy) -> [Sample; 5] {
    let sites: Vec<LearnStats> = policy.learners.iter().map(|learner| learner.stats()).collect();
    let sum = |pick: fn(&LearnStats) -> u64| sites.iter().map(pick).sum::<u64>() as f64;
    [
        Sample::gauge(
            "seawall_query_records",
            "Query parameters under watch, over all sites.",
            sum(|site| site.records),
        ),
        Sample::counter(
            "seawall_query_learned_total",
            "Times that query parameters turned out to change nothing.",
            sum(|site| site.learned),
        ),
        Sample::counter(
            "seawall_query_unlearned_total",
            "Times that an answer put that in doubt.",
            sum(|site| site.unlearned),
        ),
        Sample::counter(
            "seawall_query_significant_total",
            "Times that query parameters turned out to change something.",
            sum(|site| site.pinned),
        ),
        Sample::counter(
            "seawall_query_forgotten_total",
            "Query parameters forgotten to make room for others.",
            sum(|site| site.evicted),
        ),
    ]
}
