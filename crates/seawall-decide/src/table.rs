//! What the operator decided, compiled once and read by every worker.
//!
//! Immutable: a reload compiles a new table and swaps it. It holds rules, never state; what is
//! remembered of clients is in [`crate::Limiters`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use seawall_model::{ClientAddr, Limits, Method, Prefix};

use crate::budget::RouteBudget;
use crate::held_gate::HeldBudget;
use crate::ja4_rules::{Ja4Rule, Ja4Rules};
use crate::path::{Normalised, Pattern, is_ambiguous};
use crate::prefix_set::PrefixSet;

/// What a [`Table`] is compiled from. Parsed and checked by the caller.
#[derive(Clone, Debug, Default)]
pub struct TableSource {
    /// Sources always admitted and never counted.
    pub allow: Vec<Prefix>,
    /// Sources refused at accept.
    pub deny: Vec<Prefix>,
    /// Fingerprints of TLS clients refused at their hello.
    pub deny_ja4: Vec<Ja4Rule>,
    /// Peers whose connections carry many clients: the bound on connections of one identity does
    /// not apply to them (`detection.md`, amendment 8).
    pub trusted_proxies: Vec<Prefix>,
    /// Tor exits; they have a share of their own before the origin.
    pub tor_exits: Vec<Prefix>,
    /// Crawlers whose addresses are published; mitigations do not touch them.
    pub crawlers: Vec<Prefix>,
    /// Rules per site; the position is the index that [`crate::decide`] is given.
    pub sites: Vec<SiteRules>,
    /// All bounds.
    pub limits: Limits,
}

/// The rules of one site.
#[derive(Clone, Debug, Default)]
pub struct SiteRules {
    /// Methods the site takes; empty: all but CONNECT and TRACE.
    pub methods: Vec<Method>,
    /// Path rules, first match wins.
    pub routes: Vec<RouteRule>,
}

/// What a path may do.
#[derive(Clone, Debug, Default)]
pub struct RouteRule {
    /// An exact path, or a prefix when it ends in `*`.
    pub path: String,
    /// Only these sources; `None`: all; empty: nobody.
    pub allow_sources: Option<Vec<Prefix>>,
    /// Only these methods; empty: those of the site.
    pub methods: Vec<Method>,
    /// Largest content here in bytes; `None`: `limits.max_body_bytes`.
    pub max_body_bytes: Option<u64>,
    /// How the origin works for it.
    pub lane: RouteLane,
    /// How often one client may ask for it; `None`: as often as it likes.
    pub budget: Option<RouteBudget>,
}

/// How an origin works for what a route covers. Of two readings of a path the later one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteLane {
    /// By who asks.
    #[default]
    Normal,
    /// At once, in the lane of WebSockets and event streams: long polling, which would hold permits
    /// for the time that it waits.
    Stream,
    /// By who asks, in the quarter of the limit that expensive work may fill.
    Costly,
    /// Spare capacity only.
    Background,
}

/// What the routes say of the work for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTerms {
    /// How the origin works for it.
    pub lane: RouteLane,
    /// What it counts against: the route, by a number of its own, and how often.
    pub budget: Option<(u64, RouteBudget)>,
    /// How many readers stand at least behind the address that asks; 0 counts as 1.
    pub people: u32,
}

/// The compiled rules.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) allow: PrefixSet,
    pub(crate) deny_ja4: Ja4Rules,
    pub(crate) deny: PrefixSet,
    pub(crate) trusted_proxies: PrefixSet,
    tor_exits: PrefixSet,
    crawlers: PrefixSet,
    pub(crate) sites: Box<[Site]>,
    /// Whether any route has a lane or a budget, so that sites without pay nothing for them.
    has_terms: bool,
    pub(crate) limits: Limits,
    pub(crate) held: HeldBudget,
}

#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) methods: MethodSet,
    pub(crate) routes: Box<[Route]>,
}

#[derive(Clone, Debug)]
pub(crate) struct Route {
    pattern: Pattern,
    pub(crate) sources: Option<PrefixSet>,
    pub(crate) methods: MethodSet,
    pub(crate) max_body_bytes: Option<u64>,
    lane: RouteLane,
    budget: Option<RouteBudget>,
}

impl Table {
    /// Compiles rules. Cannot fail: whatever is representable has a meaning.
    pub fn compile(source: TableSource) -> Self {
        let mut routes = source.sites.iter().flat_map(|site| &site.routes);
        let has_terms =
            routes.any(|route| route.lane != RouteLane::Normal || route.budget.is_some());
        Self {
            allow: PrefixSet::new(&source.allow),
            deny: PrefixSet::new(&source.deny),
            deny_ja4: Ja4Rules::new(&source.deny_ja4),
            trusted_proxies: PrefixSet::new(&source.trusted_proxies),
            tor_exits: PrefixSet::new(&source.tor_exits),
            crawlers: PrefixSet::new(&source.crawlers),
            sites: source.sites.into_iter().map(Site::compile).collect(),
            has_terms,
            held: HeldBudget::new(source.limits.held_rate, source.limits.held_burst),
            limits: source.limits,
        }
    }

    /// All bounds.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether forwarded addresses from this peer are believed. O(log n), no allocation.
    pub fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.contains(peer)
    }

    /// Whether no offence counts against this client: the operator vouches for it, or many stand
    /// behind it.
    pub(crate) fn is_exempt(&self, client: ClientAddr) -> bool {
        self.allow.contains(client.ip()) || self.is_trusted_proxy(client.ip())
    }

    /// Whether this is a Tor exit, by the operator's list. O(log n), no allocation.
    pub fn is_tor_exit(&self, client: IpAddr) -> bool {
        self.tor_exits.contains(client)
    }

    /// Whether this is a crawler, by the operator's list. O(log n), no allocation.
    pub fn is_crawler(&self, client: IpAddr) -> bool {
        self.crawlers.contains(client)
    }

    /// The methods taken at `path`, for the `Allow` field that every 405 carries
    /// (RFC 9110 §15.5.6). Empty for an unknown site. Extension methods are not listed.
    pub fn allowed_methods(
        &self,
        site: Option<usize>,
        path: &[u8],
    ) -> impl Iterator<Item = Method> + use<> {
        let methods = site.and_then(|index| self.sites.get(index)).map(|site| {
            let route = site.route(path).map_or(MethodSet::ALL, |route| route.methods);
            site.methods.and(route)
        });
        Method::ALL.into_iter().filter(move |&method| {
            method != Method::Extension && methods.is_some_and(|set| set.has(method))
        })
    }

    /// The largest content that `path` takes, in bytes; for content whose length is not known
    /// beforehand, so that the reader of the body can stop there.
    pub fn max_body_bytes(&self, site: Option<usize>, path: &[u8]) -> u64 {
        let route = site.and_then(|index| self.sites.get(index)).and_then(|site| site.route(path));
        route.and_then(|route| route.max_body_bytes).unwrap_or(self.limits.max_body_bytes)
    }

    /// Whether every source may read `path` with GET: no route for it, as sent or as an origin would read
    /// it, is for some sources or other methods only. O(routes), no allocation.
    pub fn is_for_everybody(&self, site: usize, path: &[u8]) -> bool {
        let Some(rules) = self.sites.get(site) else { return false };
        let is_open = |path: &[u8]| {
            let route = rules.route(path);
            rules.methods.has(Method::Get)
                && route.is_none_or(|it| it.sources.is_none() && it.methods.has(Method::Get))
        };
        let mut room = Normalised::new();
        is_open(path) && (!is_ambiguous(path) || room.fill(path).is_some_and(is_open))
    }

    /// What the routes of a site say of the work for `path`, as sent and as an origin would read it:
    /// the tighter lane of the two, and the budget of the latter if it has one. O(routes), no
    /// allocation.
    pub fn route_terms(&self, site: usize, path: &[u8]) -> RouteTerms {
        if !self.has_terms {
            return RouteTerms::default();
        }
        let Some(rules) = self.sites.get(site) else { return RouteTerms::default() };
        let sent = rules.terms(site, path);
        if is_ambiguous(path) { sent.and(normalised_terms(rules, site, path)) } else { sent }
    }
}

/// Out of line: the room for the path is 8 KiB of stack that most requests never touch.
#[inline(never)]
fn normalised_terms(rules: &Site, site: usize, path: &[u8]) -> RouteTerms {
    let mut room = Normalised::new();
    // What is too long to be read was refused.
    room.fill(path).map_or_else(RouteTerms::default, |path| rules.terms(site, path))
}

impl RouteTerms {
    fn and(self, read: Self) -> Self {
        Self { lane: self.lane.max(read.lane), budget: read.budget.or(self.budget), ..self }
    }
}

impl Site {
    fn compile(rules: SiteRules) -> Self {
        let methods = if rules.methods.is_empty() {
            MethodSet::ALL.without(Method::Connect).without(Method::Trace)
        } else {
            MethodSet::of(&rules.methods)
        };
        Self { methods, routes: rules.routes.into_iter().map(Route::compile).collect() }
    }

    /// The first rule for this path. O(routes).
    pub(crate) fn route(&self, path: &[u8]) -> Option<&Route> {
        self.routes.iter().find(|route| route.pattern.matches(path))
    }

    fn terms(&self, site: usize, path: &[u8]) -> RouteTerms {
        let Some(at) = self.routes.iter().position(|route| route.pattern.matches(path)) else {
            return RouteTerms::default();
        };
        let route = &self.routes[at];
        // Places are stable until a reload; after one whoever owed may owe elsewhere for a minute.
        let number = (site as u64) << 32 | (at as u64 + 1);
        let budget = route.budget.map(|budget| (number, budget));
        RouteTerms { lane: route.lane, budget, ..RouteTerms::default() }
    }
}

impl Route {
    fn compile(rule: RouteRule) -> Self {
        Self {
            pattern: Pattern::new(rule.path),
            sources: rule.allow_sources.map(|prefixes| PrefixSet::new(&prefixes)),
            methods: if rule.methods.is_empty() {
                MethodSet::ALL
            } else {
                MethodSet::of(&rule.methods)
            },
            max_body_bytes: rule.max_body_bytes,
            lane: rule.lane,
            budget: rule.budget,
        }
    }
}

/// A set of methods as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MethodSet(u16);

impl MethodSet {
    pub(crate) const ALL: Self = Self(u16::MAX);

    fn of(methods: &[Method]) -> Self {
        Self(methods.iter().fold(0, |bits, &method| bits | bit(method)))
    }

    const fn without(self, method: Method) -> Self {
        Self(self.0 & !bit(method))
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn has(self, method: Method) -> bool {
        self.0 & bit(method) != 0
    }
}

const fn bit(method: Method) -> u16 {
    1 << method as u16
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{Limits, Method, RouteRule, SiteRules, Table, TableSource};

    fn table() -> Table {
        Table::compile(TableSource {
            sites: vec![
                SiteRules::default(),
                SiteRules {
                    methods: vec![Method::Get, Method::Head, Method::Post],
                    routes: vec![
                        RouteRule {
                            path: "/upload*".to_string(),
                            methods: vec![Method::Post, Method::Put],
                            max_body_bytes: Some(5),
                            ..RouteRule::default()
                        },
                        RouteRule { path: "*".to_string(), ..RouteRule::default() },
                    ],
                },
            ],
            ..TableSource::default()
        })
    }

    #[track_caller]
    fn check(site: Option<usize>, path: &str, want: &[Method], max_body_bytes: u64) {
        let table = table();
        let methods: Vec<Method> = table.allowed_methods(site, path.as_bytes()).collect();
        assert_eq!(methods, want);
        assert_eq!(table.max_body_bytes(site, path.as_bytes()), max_body_bytes);
    }

    #[test]
    fn methods_and_body_limit_come_from_site_and_route() {
        let limit = Limits::default().max_body_bytes;
        let but_connect_and_trace = [
            Method::Get,
            Method::Head,
            Method::Post,
            Method::Put,
            Method::Delete,
            Method::Options,
            Method::Patch,
        ];
        check(Some(0), "/", &but_connect_and_trace, limit);
        check(Some(1), "/", &[Method::Get, Method::Head, Method::Post], limit);
        check(Some(1), "/upload/x", &[Method::Post], 5);
        check(Some(2), "/", &[], limit);
        check(None, "/", &[], limit);
    }
}
