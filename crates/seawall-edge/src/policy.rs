//! The published policy: what the workers read for each request, swapped whole on reload.
//!
//! Made from a [`Config`] in one function, so that a reload is all or nothing (rule 16). Holds no
//! per-request state; origins that survive a reload keep their gate.

use std::collections::HashMap;
use std::sync::Arc;

use seawall_cache::{Learned, Learner, LearnerConfig, Misses};
use seawall_decide::{OriginGateConfig, RouteRule, SiteRules, Table, TableSource};
use seawall_model::Prefix;

use crate::addresses::Listed;
use crate::admin::AddressList;
use crate::archive::SiteCopy;
use crate::clock;
use crate::config::{Config, OriginTarget, Site};
use crate::learned;
use crate::origin::Gate;

/// Everything a worker needs to know about what is served and for whom.
pub(crate) struct Policy {
    /// Rises with each reload, so that workers notice that their pools are old.
    pub(crate) generation: u64,
    pub(crate) config: Config,
    pub(crate) table: Table,
    pub(crate) gates: Vec<Arc<Gate>>,
    /// What each site does with query parameters, in the order of the sites.
    pub(crate) learners: Vec<Arc<Learner>>,
    /// Which paths of each site are probably made up, in the order of the sites.
    pub(crate) misses: Vec<Arc<Misses>>,
    /// The always-online copy of each site that has one, in the order of the sites. Opened at the start:
    /// a site that a reload brings has none until the next.
    pub(crate) copies: Vec<Option<Arc<SiteCopy>>>,
    /// Addresses that the operator listed by hand; compiled into the table.
    listed: Arc<[Listed]>,
    /// Keys the hashing of what clients send.
    seed: [u64; 2],
    /// That of the learners, which is kept over restarts.
    learning_seed: [u64; 2],
    hosts: Hosts,
}

#[derive(Default)]
struct Hosts {
    exact: HashMap<String, usize>,
    // `*.example.org` is kept as `example.org`: any one label in front of it.
    wildcard: HashMap<String, usize>,
    any: Option<usize>,
}

impl Policy {
    /// Compiles `config` for a process that starts.
    pub(crate) fn first(
        config: Config,
        seed: [u64; 2],
        kept: &Learned,
        copies: Vec<Option<Arc<SiteCopy>>>,
        listed: Arc<[Listed]>,
    ) -> Self {
        Self { copies, ..Self::new(config, None, seed, kept) }.listing(listed)
    }

    /// The same with other addresses that the operator listed by hand. Connections to origins stay.
    pub(crate) fn with_lists(before: &Self, listed: Arc<[Listed]>) -> Self {
        let generation = before.generation;
        Self { generation, ..Self::after(before.config.clone(), before) }.listing(listed)
    }

    fn listing(mut self, listed: Arc<[Listed]>) -> Self {
        self.table = table(&self.config, &listed);
        self.listed = listed;
        self
    }

    /// Compiles `config` for a reload. Gates of origins that `before` had as well are carried over,
    /// with the requests they hold, and what was learned about sites that stay.
    pub(crate) fn after(config: Config, before: &Self) -> Self {
        Self::new(config, Some(before), before.seed, &Learned::new(before.learning_seed))
    }

    fn new(config: Config, before: Option<&Self>, seed: [u64; 2], kept: &Learned) -> Self {
        let listed = before.map_or_else(|| Arc::from([]), |old| Arc::clone(&old.listed));
        let table = table(&config, &listed);
        let gates = gates(&config, before, seed);
        let learners = learners(&config, before, kept);
        let learning_seed = kept.seed();
        let misses = misses(&config, before, seed);
        let mut hosts = Hosts::default();
        for (index, site) in config.sites.iter().enumerate() {
            for host in &site.hosts {
                match host.strip_prefix("*.") {
                    _ if host == "*" => hosts.any = Some(index),
                    Some(parent) => drop(hosts.wildcard.insert(parent.to_owned(), index)),
                    None => drop(hosts.exact.insert(host.clone(), index)),
                }
            }
        }
        let copies = copies(&config, before);
        let generation = before.map_or(0, |policy| policy.generation + 1);
        Self {
            generation,
            config,
            table,
            gates,
            learners,
            misses,
            copies,
            listed,
            seed,
            learning_seed,
            hosts,
        }
    }

    /// The site that answers to `host` (lower case, no port).
    pub(crate) fn site(&self, host: &str) -> Option<usize> {
        if !self.hosts.exact.is_empty()
            && let Some(site) = self.hosts.exact.get(host)
        {
            return Some(*site);
        }
        if !self.hosts.wildcard.is_empty()
            && let Some((_, parent)) = host.split_once('.')
            && let Some(site) = self.hosts.wildcard.get(parent)
        {
            return Some(*site);
        }
        self.hosts.any
    }

    /// The site of before that has the same hosts and the same origin.
    fn same_site(&self, site: &Site) -> Option<usize> {
        let is_same =
            |other: &Site| other.hosts == site.hosts && other.origin.target == site.origin.target;
        self.config.sites.iter().position(is_same)
    }

    /// Whether forwarded addresses from `peer` are believed.
    pub(crate) fn trusts(&self, peer: std::net::IpAddr) -> bool {
        self.table.is_trusted_proxy(peer)
    }
}

/// The rules, with what the operator listed by hand beside what the configuration lists.
fn table(config: &Config, listed: &[Listed]) -> Table {
    let with = |list: AddressList, prefixes: &[Prefix]| {
        let listed = listed.iter().filter(|entry| entry.list == list).map(|entry| entry.prefix);
        prefixes.iter().copied().chain(listed).collect()
    };
    Table::compile(TableSource {
        allow: with(AddressList::Allow, &config.allow),
        deny: with(AddressList::Block, &config.deny),
        trusted_proxies: config.trusted_proxies.clone(),
        deny_ja4: config.deny_ja4.clone(),
        tor_exits: config.tor_exits.clone(),
        crawlers: config.crawlers.clone(),
        sites: config.sites.iter().map(site_rules).collect(),
        limits: config.limits.clone(),
    })
}

fn site_rules(site: &Site) -> SiteRules {
    let rule = |route: &crate::config::Route| RouteRule {
        path: route.path.clone(),
        allow_sources: route.allow_sources.clone(),
        methods: route.methods.clone(),
        max_body_bytes: route.max_body_bytes,
        lane: route.lane,
        budget: route.budget,
    };
    SiteRules { methods: site.methods.clone(), routes: site.routes.iter().map(rule).collect() }
}

/// One gate per origin, in the order of the sites: sites on one origin share what it can bear, within
/// the least bounds any of them states. The gate of an origin that stays is kept.
fn gates(config: &Config, before: Option<&Policy>, seed: [u64; 2]) -> Vec<Arc<Gate>> {
    let mut gates: Vec<Arc<Gate>> = Vec::with_capacity(config.sites.len());
    for (index, site) in config.sites.iter().enumerate() {
        let target = &site.origin.target;
        let is_same = |other: &Site| other.origin.target == *target;
        if let Some(twin) = config.sites[..index].iter().position(is_same) {
            gates.push(Arc::clone(&gates[twin]));
            continue;
        }
        let sharing = || config.sites.iter().filter(|other| is_same(other));
        let settings = OriginGateConfig {
            min_concurrency: sharing().map(|s| s.origin.min_concurrency).min().unwrap_or(1),
            max_concurrency: sharing().map(|s| s.origin.max_concurrency).min().unwrap_or(1),
            max_templates: config.limits.max_templates,
            max_queue: config.limits.max_origin_queue,
            queue_timeout: config.limits.origin_queue_timeout,
            background_share: BACKGROUND_SHARE,
        };
        let kept = before.and_then(|old| {
            let index = old.config.sites.iter().position(is_same)?;
            Some(Arc::clone(&old.gates[index]))
        });
        gates.push(match kept {
            Some(gate) => {
                gate.reconfigure(settings);
                gate
            }
            None => Gate::new(settings, seed),
        });
    }
    gates
}

/// What was learned stays with a site whose hosts and origin stay, over a reload and a restart.
fn learners(config: &Config, before: Option<&Policy>, kept: &Learned) -> Vec<Arc<Learner>> {
    let limits = &config.limits;
    let settings = LearnerConfig {
        max_records: limits.max_query_records,
        max_pages: limits.max_query_pages,
        max_names: limits.max_query_names,
        seed: kept.seed(),
    };
    let now = (clock::now(), clock::wall());
    let of = |site: &Site| {
        let same = before.and_then(|old| Some((old, old.same_site(site)?)));
        let same = same.map(|(old, index)| &old.learners[index]);
        let same = same.filter(|learner| *learner.config() == settings);
        let restored = || Arc::new(learned::learner(kept, site, settings, now));
        same.map_or_else(restored, Arc::clone)
    };
    config.sites.iter().map(of).collect()
}

/// The same for paths.
fn misses(config: &Config, before: Option<&Policy>, seed: [u64; 2]) -> Vec<Arc<Misses>> {
    let of = |site: &Site| {
        let kept = before.and_then(|old| Some(&old.misses[old.same_site(site)?]));
        let limits = &config.limits;
        let new = || Arc::new(Misses::new(limits.max_known_paths, limits.made_up, seed));
        kept.map_or_else(new, Arc::clone)
    };
    config.sites.iter().map(of).collect()
}

/// The copy of a site stays with it over a reload.
fn copies(config: &Config, before: Option<&Policy>) -> Vec<Option<Arc<SiteCopy>>> {
    let of = |site: &Site| before.and_then(|old| old.copies[old.same_site(site)?].clone());
    config.sites.iter().map(of).collect()
}

/// The part of an origin's limit that background work (revalidation) may take while readers use
/// the rest; when readers wait it gets nothing.
const BACKGROUND_SHARE: f32 = 0.5;

impl OriginTarget {
    /// The authority to send as Host when the client's is not preserved.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Http { host, port } => authority(host, *port, 80),
            Self::Https { host, port } => authority(host, *port, 443),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn authority(host: &str, port: u16, default: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == default { host } else { format!("{host}:{port}") }
}
