//! What one client, and those around it, may cost the origin: GCRA in units of its work.
//!
//! A unit is a millisecond of the origin's work, as estimated for the request. A holder of a
//! credential has one bucket. Anybody else pays at every level above: the address (/32 or /64), then
//! /24, or /56 and /48, then its owner (the autonomous system; where no list names it, the /32 of an
//! IPv6 address stands in). Each level has the budget of as many people as are known to read there, at
//! least that of a few.
//!
//! It does **not** refuse by itself: a budget that is spent only says who waits longer, and who is
//! told to come back when there is somebody to wait for. The budget of a route, in requests, is asked
//! by [`crate::route_gate`], which does refuse.
//!
//! Memory is fixed at the start: 16 bytes for each of `limits.max_budgets` and
//! `limits.max_route_budgets` buckets, and 40 for each of 16,384 prefixes of known readers. The two
//! tables are two, so that a flood of logins does not push out what others owe.

mod buckets;
mod readers;

use core::net::IpAddr;
use core::time::Duration;

use seawall_model::{ClientAddr, Identity, Instant, Limits, PerSecond, Standing};

use self::buckets::{Buckets, Key, Rate};
use self::readers::Readers;
use crate::origin_gate::WorkClass;
use crate::turn::Turn;

/// The process-wide budgets. Shared by reference; operations are O(1), without allocation or lock.
#[derive(Debug)]
pub struct OriginBudget {
    buckets: Buckets,
    routes: Buckets,
    readers: Readers,
    anonymous: PerSecond,
    reader: PerSecond,
    burst: Duration,
}

/// The levels above a request and the people each stands for at least.
struct Levels {
    keys: [(Key, u32); MAX_LEVELS],
    used: usize,
}

impl OriginBudget {
    /// Allocates everything. `seed` must be random and secret.
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Self {
        Self {
            buckets: Buckets::new(limits.max_budgets, seed),
            routes: Buckets::new(limits.max_route_budgets, seed),
            readers: Readers::new(READER_PREFIXES, seed),
            anonymous: limits.origin_budget,
            reader: limits.reader_budget,
            burst: limits.origin_budget_burst,
        }
    }

    /// Bytes held, all of them since construction.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.buckets.bytes() + self.routes.bytes() + self.readers.bytes()
    }

    /// Debts forgotten to make room for others, for metrics.
    pub fn forgotten(&self) -> u64 {
        self.buckets.forgotten()
    }

    /// Budgets of routes forgotten to make room for others, for metrics.
    pub fn forgotten_of_routes(&self) -> u64 {
        self.routes.forgotten()
    }

    /// Takes `cost_ms` of the origin's work from the budgets of a request. One request may overdraw
    /// a budget that is not spent, however dear it is.
    ///
    /// # Errors
    /// How long until the budget that is spent most admits again; nothing is charged then.
    pub fn take(
        &self,
        now: Instant,
        who: Identity,
        from: Whence,
        standing: Standing,
        cost_ms: u32,
    ) -> Result<(), Duration> {
        let levels = self.levels(who, from, standing);
        let rates = levels.keys.map(|(key, people)| (key, self.rate(standing, people)));
        let rates = &rates[..levels.used];
        let waits =
            rates.iter().filter_map(|&(key, rate)| self.buckets.check(now, key, rate).err());
        if let Some(longest) = waits.max() {
            return Err(longest);
        }
        for &(key, rate) in rates {
            self.buckets.charge(now, key, rate, cost_ms);
        }
        Ok(())
    }

    /// Takes one request from the budgets that a route has for whoever asks. Only a standing has one
    /// of its own: a credential from a minute ago costs nothing, so its holder counts with the address.
    /// The owner is not asked: a budget that a few dozen machines can spend must not lock a whole
    /// operator out. `people` stand at least behind the address and each network of it.
    ///
    /// # Errors
    /// How long until the budget that is spent most admits again; nothing is charged then.
    pub(crate) fn take_route(
        &self,
        now: Instant,
        who: Identity,
        from: Whence,
        standing: Standing,
        ((route, budget), people): ((u64, RouteBudget), u32),
    ) -> Result<(), Duration> {
        let levels = if standing == Standing::Anonymous {
            self.levels_of_network(from.client, people)
        } else {
            self.levels(who, from, standing)
        };
        let rate = |(key, people): (Key, u32)| {
            let count = u64::from(budget.count).saturating_mul(u64::from(people));
            (Key { of: route, ..key }, Rate::of(count, budget.per))
        };
        let rates = levels.keys.map(rate);
        let rates = &rates[..levels.used];
        let waits = rates.iter().filter_map(|&(key, rate)| self.routes.check(now, key, rate).err());
        if let Some(longest) = waits.max() {
            return Err(longest);
        }
        for &(key, rate) in rates {
            self.routes.charge(now, key, rate, 1);
        }
        Ok(())
    }

    /// Remembers that a reader with a credential of some age reads from here. `day` counts from the
    /// epoch.
    pub fn saw_reader(&self, day: u32, reader: Identity, from: Whence) {
        let levels = prefixes(from);
        for (key, _) in &levels.keys[..levels.used] {
            self.readers.saw(day, *key, reader.as_u128());
        }
    }

    /// How many people are known to read at this very address, at least 1.
    pub fn people(&self, from: Whence) -> u32 {
        self.readers.estimate(prefixes(from).keys[0].0).max(1)
    }

    /// Whether any reader with a credential of some age was seen at this very address.
    pub fn has_readers(&self, from: Whence) -> bool {
        self.readers.estimate(prefixes(from).keys[0].0) > 0
    }

    /// Whether readers with a credential of some age were seen in the network of `client`: at its
    /// address or in its /24, its /64 or in the /56 and /48 around it.
    pub fn knows_network(&self, client: ClientAddr) -> bool {
        let levels = prefixes(Whence { client, asn: None });
        levels.keys[..near(client)].iter().any(|(key, _)| self.readers.estimate(*key) > 0)
    }

    fn rate(&self, standing: Standing, people: u32) -> Rate {
        let one = if standing == Standing::Anonymous { self.anonymous } else { self.reader };
        Rate::new(one.0 * f64::from(people), self.burst)
    }

    fn levels(&self, who: Identity, from: Whence, standing: Standing) -> Levels {
        if standing != Standing::Anonymous || who.is_holder() {
            // An account of its own: what its neighbours do is not held against it.
            let mut keys = [(NOBODY, 1); MAX_LEVELS];
            keys[0] = (Key { level: HOLDER, who: who.as_u128(), of: 0 }, 1);
            return Levels { keys, used: 1 };
        }
        self.levels_of_address(from)
    }

    fn levels_of_address(&self, from: Whence) -> Levels {
        let mut levels = prefixes(from);
        for (key, people) in &mut levels.keys[..levels.used] {
            *people = (*people).max(self.readers.estimate(*key));
        }
        levels
    }

    /// The same without the owner, each for `least` people at least.
    fn levels_of_network(&self, client: ClientAddr, least: u32) -> Levels {
        let mut levels = self.levels_of_address(Whence { client, asn: None });
        levels.used = near(client);
        for (_, people) in &mut levels.keys[..levels.used] {
            *people = (*people).max(least);
        }
        levels
    }
}

/// Where who is in `class` and has spent its budget stands; `None`: it is told to come back. Who was known before
/// loses its rank and nothing else: it waits with those of whom nothing is known, by its demand. Anybody else
/// waits behind them, unless others have to be refused; who has a turn of its own ([`crate::Turn`]) even then.
pub const fn class_beyond_budget(
    class: WorkClass,
    is_shedding: bool,
    turn: Turn,
) -> Option<WorkClass> {
    match class {
        WorkClass::SignedIn | WorkClass::AgedReader => Some(WorkClass::Anonymous),
        _ if is_shedding && !turn.is_shown() => None,
        _ => Some(WorkClass::Demoted),
    }
}

/// How often one client may ask for what a route covers: `count` at once, and as many again in every
/// `per`. What others of its address, /24, /56 or /48 ask for counts as in [`OriginBudget`]; that of
/// others of its owner does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteBudget {
    /// Requests; 0 counts as 1.
    pub count: u32,
    /// In so long a time.
    pub per: Duration,
}

/// Where a request comes from, as budgets see it.
#[derive(Clone, Copy, Debug)]
pub struct Whence {
    /// The client's address.
    pub client: ClientAddr,
    /// Who its network belongs to, if that is known.
    pub asn: Option<u32>,
}

/// The levels of an address, nearest first.
fn prefixes(from: Whence) -> Levels {
    let prefix = |len: u32, people| match from.client.ip() {
        // Levels of the two families never meet.
        IpAddr::V4(ip) => (
            Key { level: V4 | len as u8, who: u128::from(ip.to_bits() >> (32 - len)), of: 0 },
            people,
        ),
        IpAddr::V6(ip) => {
            (Key { level: len as u8, who: ip.to_bits() >> (128 - len), of: 0 }, people)
        }
    };
    let nobody = (NOBODY, 1);
    let owner = from.asn.map(|asn| (Key { level: OWNER, who: u128::from(asn), of: 0 }, 64));
    let (keys, used) = match from.client.ip() {
        IpAddr::V4(_) => {
            let used = 2 + usize::from(owner.is_some());
            ([prefix(32, 1), prefix(24, 8), owner.unwrap_or(nobody), nobody], used)
        }
        IpAddr::V6(_) => {
            let owner = owner.unwrap_or_else(|| prefix(32, 64));
            ([prefix(64, 1), prefix(56, 4), prefix(48, 8), owner], 4)
        }
    };
    Levels { keys, used }
}

/// How many levels are the client's own networks, without their owner.
fn near(client: ClientAddr) -> usize {
    if client.ip().is_ipv4() { 2 } else { 3 }
}

const MAX_LEVELS: usize = 4;
const NOBODY: Key = Key { level: 0, who: 0, of: 0 };
/// Marks: prefix lengths are at most 64.
const HOLDER: u8 = 0x80;
const OWNER: u8 = 0x81;
const V4: u8 = 0x40 | 0x80;
const READER_PREFIXES: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    const PAGE_MS: u32 = 20;

    #[test]
    fn who_is_known_loses_its_rank_beyond_its_budget_and_is_not_refused_for_it() {
        use WorkClass as C;
        for is_shedding in [false, true] {
            let beyond = |class| class_beyond_budget(class, is_shedding, Turn::Due(2));
            assert_eq!(beyond(C::SignedIn), Some(C::Anonymous));
            assert_eq!(beyond(C::AgedReader), Some(C::Anonymous));
            for class in [C::Passed, C::Anonymous, C::Demoted] {
                assert_eq!(beyond(class), (!is_shedding).then_some(C::Demoted), "{class:?}");
                let in_turn = class_beyond_budget(class, is_shedding, Turn::Shown(7));
                assert_eq!(in_turn, Some(C::Demoted), "{class:?}");
            }
        }
    }

    fn budget() -> OriginBudget {
        OriginBudget::new(&Limits { max_budgets: 1 << 14, ..Limits::default() }, [5, 6])
    }

    fn ip(text: &str) -> ClientAddr {
        ClientAddr::new(text.parse().expect("test address"))
    }

    fn from(client: ClientAddr) -> Whence {
        Whence { client, asn: None }
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(ms)
    }

    /// How many pages out of `asked` pass, over ten seconds from each of `clients` in turn.
    fn pages(budget: &OriginBudget, clients: &[ClientAddr], asked: u32) -> u32 {
        (0..asked)
            .filter(|&turn| {
                let client = clients[turn as usize % clients.len()];
                let now = at_ms(u64::from(turn) * 10_000 / u64::from(asked));
                let who = client.into();
                budget.take(now, who, from(client), Standing::Anonymous, PAGE_MS).is_ok()
            })
            .count() as u32
    }

    fn addresses(text: &str, count: u16) -> Vec<ClientAddr> {
        (0..count).map(|n| ip(&text.replace('#', &n.to_string()))).collect()
    }

    #[test]
    fn one_address_gets_its_rate_and_its_burst() {
        // 100 ms a second for 10 s and 4 s at once are 1,400 ms: 70 pages of 20 ms.
        let got = pages(&budget(), &[ip("192.0.2.1")], 5_000);
        assert!((70..=72).contains(&got), "{got}");
    }

    #[test]
    fn a_prefix_full_of_addresses_gets_the_budget_of_eight() {
        let got = pages(&budget(), &addresses("192.0.2.#", 250), 50_000);
        assert!((560..=580).contains(&got), "{got}");
    }

    #[test]
    fn walking_through_the_64s_of_an_allocation_ends_at_its_budget() {
        let walk: Vec<ClientAddr> =
            (0..4_000u32).map(|n| ip(&format!("2001:db8:{:x}:{:x}::1", n / 8, n % 8))).collect();
        let got = pages(&budget(), &walk, 40_000);
        assert!((64 * 70..=64 * 70 + 64).contains(&got), "{got}");
    }

    #[test]
    fn a_holder_has_a_bucket_of_its_own_beside_a_spent_address() {
        let budget = budget();
        let client = ip("192.0.2.1");
        let holder = Identity::of_holder(7);
        let now = at_ms(0);
        while budget.take(now, client.into(), from(client), Standing::Anonymous, PAGE_MS).is_ok() {}
        let pages = (0..1_000).filter(|_| {
            budget.take(now, holder, from(client), Standing::AgedReader, PAGE_MS).is_ok()
        });
        // 400 ms a second and 4 s at once.
        assert_eq!(pages.count(), 81);
    }

    #[test]
    fn an_address_with_known_readers_behind_it_gets_their_budget() {
        let budget = budget();
        let carrier = ip("198.51.100.1");
        (0..100).for_each(|n| budget.saw_reader(20_000, Identity::of_holder(n), from(carrier)));
        let got = pages(&budget, &[carrier], 50_000);
        assert!((60 * 70..150 * 70).contains(&got), "{got} pages, for about a hundred readers");
        let stranger = pages(&budget, &[ip("203.0.113.1")], 5_000);
        assert!(stranger <= 72, "{stranger}");
    }

    #[test]
    fn an_owner_has_the_budget_of_64_over_all_of_its_networks() {
        let budget = budget();
        let got = (0..200_000u32).filter(|n| {
            let client = ip(&format!("10.{}.{}.1", n % 4_000 / 250, n % 250));
            let from = Whence { client, asn: Some(64_496) };
            budget.take(at_ms(0), client.into(), from, Standing::Anonymous, PAGE_MS).is_ok()
        });
        // Four seconds of 64 times 100 ms, in pages of 20 ms.
        assert_eq!(got.count(), 4 * 64 * 5 + 1);
        let stranger = Whence { client: ip("203.0.113.1"), asn: Some(64_497) };
        let who = stranger.client.into();
        assert!(budget.take(at_ms(0), who, stranger, Standing::Anonymous, PAGE_MS).is_ok());
    }

    const LOGIN: (u64, RouteBudget) = (1, RouteBudget { count: 10, per: Duration::from_secs(60) });

    /// How many of `asked` logins pass at once.
    fn logins(budget: &OriginBudget, from: Whence, standing: Standing, who: Identity) -> usize {
        let take = || budget.take_route(at_ms(0), who, from, standing, (LOGIN, 1)).is_ok();
        (0..1_000).filter(|_| take()).count()
    }

    #[test]
    fn a_route_has_a_budget_for_each_client_and_one_for_its_network() {
        let budget = budget();
        let passed =
            |client: ClientAddr| logins(&budget, from(client), Standing::Anonymous, client.into());
        assert_eq!(passed(ip("192.0.2.1")), 10);
        let network: usize = addresses("192.0.2.#", 250).into_iter().map(passed).sum();
        assert_eq!(network, 70, "eight addresses' worth in a /24");
        assert_eq!(passed(ip("203.0.113.1")), 10, "another network");
        assert!(pages(&budget, &[ip("192.0.2.1")], 100) >= 70, "origin work is another budget");
    }

    #[test]
    fn no_number_of_bots_spends_a_budget_of_a_route_for_a_whole_owner() {
        let budget = budget();
        let asn = Some(64_496);
        let passes = |client: ClientAddr| {
            logins(&budget, Whence { client, asn }, Standing::Anonymous, client.into())
        };
        for network in 0..250 {
            assert_eq!(passes(ip(&format!("10.0.{network}.1"))), 10, "10.0.{network}.1");
            let in_a_48 = ip(&format!("2001:db8:{network:x}::1"));
            assert_eq!(passes(in_a_48), 10, "{in_a_48:?}");
        }
        let of_a_48: usize =
            (0..250).map(|n| passes(ip(&format!("2001:db8:ffff:{n:x}00::1")))).sum();
        assert_eq!(of_a_48, 80, "eight addresses' worth in a /48");
    }

    #[test]
    fn who_serves_a_crowd_has_its_budget_of_a_route_and_so_has_its_network() {
        let budget = budget();
        let passed = |client: ClientAddr| {
            let take = || {
                let of = (LOGIN, 64);
                budget.take_route(at_ms(0), client.into(), from(client), Standing::Anonymous, of)
            };
            (0..1_000).filter(|_| take().is_ok()).count()
        };
        for exit in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(passed(ip(exit)), 640, "{exit}");
        }
        assert_eq!(passed(ip("192.0.2.2")), 0, "the crowd of a /24 is one");
    }

    #[test]
    fn another_route_has_another_budget() {
        let (budget, client) = (budget(), ip("192.0.2.1"));
        let take = |route| {
            let of = ((route, LOGIN.1), 1);
            budget.take_route(at_ms(0), client.into(), from(client), Standing::Anonymous, of)
        };
        while take(1).is_ok() {}
        assert!(take(2).is_ok());
    }

    #[test]
    fn a_fresh_credential_buys_no_further_logins_and_a_standing_does() {
        let budget = budget();
        let here = from(ip("192.0.2.1"));
        let farmed = (0..100)
            .map(|number| logins(&budget, here, Standing::Anonymous, Identity::of_holder(number)));
        assert_eq!(farmed.sum::<usize>(), 10);
        assert_eq!(logins(&budget, here, Standing::AgedReader, Identity::of_holder(7)), 10);
    }

    #[test]
    fn a_refusal_says_when_and_charges_nothing() {
        let budget = budget();
        let client = ip("192.0.2.1");
        let take =
            |ms| budget.take(at_ms(ms), client.into(), from(client), Standing::Anonymous, PAGE_MS);
        while take(0).is_ok() {}
        let wait = take(0).expect_err("spent");
        assert!((0..1_000).all(|_| take(0).is_err()));
        assert_eq!(take(0).expect_err("spent"), wait, "asking again makes it no worse");
        assert!(take(u64::try_from(wait.as_millis()).expect("short") + 1).is_ok());
    }
}
