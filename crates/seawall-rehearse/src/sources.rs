//! Who sends from where: distinct 127.x addresses, with readers and attackers in the same /16s.
//!
//! Linux lets anybody bind any address of 127.0.0.0/8. Everything is derived from the seed, so the
//! sample site can tell readers from attackers by address alone, and no request carries a mark that
//! a shield could key on.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use crate::caps::MAX_SOURCES;
use crate::rng::Rng;

/// Who an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cohort {
    /// A reader of any kind, or the crawler.
    Reader,
    /// A bot of the flood.
    Attacker,
    /// Nobody of this rehearsal, for example the shield itself.
    Other,
}

/// All source addresses of a run.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Households with a browser.
    pub browsers: Vec<Ipv4Addr>,
    /// Feed readers.
    pub feeds: Vec<Ipv4Addr>,
    /// Exits shared by all Tor-like readers.
    pub tor_exits: Vec<Ipv4Addr>,
    /// A search engine's crawler.
    pub crawlers: Vec<Ipv4Addr>,
    /// Bots of the flood.
    pub bots: Vec<Ipv4Addr>,
    cohorts: HashMap<Ipv4Addr, Cohort>,
}

impl Sources {
    /// The addresses of run `seed`. Always the same for the same seed.
    pub fn new(seed: u64) -> Self {
        let mut addresses = scatter(seed);
        let mut take = |count: usize| addresses.split_off(addresses.len() - count);
        let browsers = take(BROWSERS);
        let feeds = take(FEEDS);
        let tor_exits = take(TOR_EXITS);
        let crawlers = take(CRAWLERS);
        let bots = take(BOTS);
        let readers = browsers.iter().chain(&feeds).chain(&tor_exits).chain(&crawlers);
        let cohorts = readers
            .map(|address| (*address, Cohort::Reader))
            .chain(bots.iter().map(|address| (*address, Cohort::Attacker)))
            .collect();
        Self { browsers, feeds, tor_exits, crawlers, bots, cohorts }
    }

    /// Up to `count` bots out of no more than `prefixes` /24s.
    pub fn bots_in(&self, count: usize, prefixes: usize) -> Vec<Ipv4Addr> {
        let prefix = |bot: &Ipv4Addr| u32::from(*bot) >> 8;
        let mut met = HashSet::new();
        let (mut firsts, mut others) = (Vec::new(), Vec::new());
        for bot in &self.bots {
            if met.len() < prefixes && met.insert(prefix(bot)) {
                firsts.push(*bot);
            } else {
                others.push(*bot);
            }
        }
        others.retain(|bot| met.contains(&prefix(bot)));
        firsts.extend(others);
        firsts.truncate(count);
        firsts
    }

    /// Who `address` belongs to. O(1).
    pub fn cohort_of(&self, address: Ipv4Addr) -> Cohort {
        self.cohorts.get(&address).copied().unwrap_or(Cohort::Other)
    }
}

/// Distinct addresses in a few /16s, in random order.
fn scatter(seed: u64) -> Vec<Ipv4Addr> {
    let mut rng = Rng::stream(seed, "sources");
    // 127.0/16 and 127.1/16 are left to what people use by hand.
    let mut second: Vec<u8> = (16..=250).collect();
    rng.shuffle(&mut second);
    second.truncate(PREFIXES);
    let mut seen = HashMap::with_capacity(TOTAL);
    let mut addresses = Vec::with_capacity(TOTAL);
    while addresses.len() < TOTAL {
        let address =
            Ipv4Addr::new(127, rng.pick(&second), rng.below(256) as u8, 1 + rng.below(254) as u8);
        if seen.insert(address, ()).is_none() {
            addresses.push(address);
        }
    }
    addresses
}

/// /16s that readers and attackers share.
const PREFIXES: usize = 12;
const BROWSERS: usize = 400;
const FEEDS: usize = 40;
/// Few on purpose: hundreds of readers behind one exit look like one busy machine.
const TOR_EXITS: usize = 4;
/// Search engines crawl from several addresses.
const CRAWLERS: usize = 4;
const BOTS: usize = 3_000;
const TOTAL: usize = BROWSERS + FEEDS + TOR_EXITS + CRAWLERS + BOTS;
const _: () = assert!(TOTAL <= MAX_SOURCES);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use super::{Cohort, Sources, TOTAL};

    fn prefixes(addresses: &[Ipv4Addr]) -> HashSet<u8> {
        addresses.iter().map(|address| address.octets()[1]).collect()
    }

    #[test]
    fn sources_repeat_with_the_seed() {
        assert_eq!(Sources::new(3).bots, Sources::new(3).bots);
        assert_ne!(Sources::new(3).bots, Sources::new(4).bots);
    }

    #[test]
    fn every_source_is_loopback_and_belongs_to_one_cohort() {
        let sources = Sources::new(1);
        let readers: Vec<_> =
            [&sources.browsers, &sources.feeds, &sources.tor_exits, &sources.crawlers]
                .into_iter()
                .flatten()
                .collect();
        let all: HashSet<_> = readers.iter().copied().chain(&sources.bots).collect();
        assert_eq!(all.len(), TOTAL);
        assert!(all.iter().all(|address| address.is_loopback()));
        assert!(readers.iter().all(|address| sources.cohort_of(**address) == Cohort::Reader));
        assert!(sources.bots.iter().all(|bot| sources.cohort_of(*bot) == Cohort::Attacker));
        assert_eq!(sources.cohort_of(Ipv4Addr::LOCALHOST), Cohort::Other);
    }

    #[test]
    fn a_crowd_of_bots_comes_from_as_many_prefixes_as_wanted() {
        for seed in 0..5 {
            let bots = Sources::new(seed).bots_in(2_000, 1_600);
            let prefixes: HashSet<_> = bots.iter().map(|bot| u32::from(*bot) >> 8).collect();
            assert_eq!((bots.len(), prefixes.len()), (2_000, 1_600));
        }
    }

    #[test]
    fn readers_and_attackers_share_their_prefixes() {
        let sources = Sources::new(1);
        assert_eq!(prefixes(&sources.browsers), prefixes(&sources.bots));
    }
}
