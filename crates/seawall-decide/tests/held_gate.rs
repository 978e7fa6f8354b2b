//! What people behind one address may have of pages in hand, and what one of them may not take from
//! the others.

mod common;

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::{prop_assert, proptest};
use seawall_decide::{
    CROWD, Limiters, OriginBudget, SiteRules, Table, TableSource, Testable, Trial, Whence, decide,
    held_gate, mitigation_gate,
};
use seawall_model::{
    Cause, ClientAddr, Decision, Facts, Fingerprint, Held, Identity, Instant, Limits, Met,
    MitigationId, PerSecond, Rung, Test,
};

const HERE: &str = "203.0.113.7";
const TOR: &str = "198.51.100.1";
const RATE: u64 = 10;
const BURST: u64 = 20;

struct World {
    table: Table,
    limiters: Limiters,
    budgets: OriginBudget,
}

impl World {
    /// A site that has been read by `known` readers with a credential from before, all behind [`HERE`].
    fn known_to(known: u64) -> Self {
        let limits = Limits {
            held_rate: PerSecond(RATE as f64),
            held_burst: BURST as u32,
            max_clients: 1 << 12,
            ..Limits::default()
        };
        let limiters = Limiters::new(&limits, [1, 2]);
        let budgets = OriginBudget::new(&limits, [1, 2]);
        let sites = vec![SiteRules { methods: Vec::new(), routes: Vec::new() }];
        let tor_exits = vec![TOR.parse().expect("a prefix")];
        let source = TableSource { tor_exits, sites, limits, ..TableSource::default() };
        let from = Whence { client: client(HERE), asn: None };
        (1..=known).for_each(|one| budgets.saw_reader(20_000, Identity::of_holder(one), from));
        Self { table: Table::compile(source), limiters, budgets }
    }

    fn ask(&self, ms: u64, facts: &Facts<'_>) -> Decision {
        let decided = decide(&self.table, &self.limiters, at_ms(ms), Some(0), facts);
        let gate = (&self.table, &self.limiters, &self.budgets);
        held_gate(gate, at_ms(ms), decided, facts)
    }

    fn is_served(&self, ms: u64, facts: &Facts<'_>) -> bool {
        matches!(self.ask(ms, facts), Decision::Admit(Cause::Default))
    }

    /// The same, having met a measure that blocks.
    fn is_served_though_blocked(&self, ms: u64, facts: &Facts<'_>) -> bool {
        let met = Met { id: MitigationId(1), rung: Rung::Block, is_control: false };
        let tested = self.limiters.tested(facts.identity, None, 1);
        let trial = Trial { testable: Testable::Page, test: Test::None, tested, max_open: None };
        let gate = (&self.table, &self.limiters);
        let decided = self.ask(ms, facts);
        let judged = mitigation_gate(gate, at_ms(ms), decided, Some(met), trial, facts);
        matches!(judged, Decision::Admit(_))
    }

    /// How many pages who asks a thousand times a second gets from `from_s` to `until_s`, with a look of
    /// `look` for each.
    fn flood(&self, ip: &str, (from_s, until_s): (u64, u64), look: impl Fn(u64) -> u64) -> u64 {
        let asked = from_s * 1_000..until_s * 1_000;
        asked.filter(|&ms| self.is_served(ms, &facts(ip, look(ms)))).count() as u64
    }

    fn people(&self) -> u64 {
        u64::from(self.budgets.people(Whence { client: client(HERE), asn: None }))
    }
}

fn client(ip: &str) -> ClientAddr {
    ClientAddr::new(ip.parse::<IpAddr>().expect("test address"))
}

/// A page in hand, for somebody with this look.
fn facts(ip: &str, look: u64) -> Facts<'static> {
    let fingerprint = Fingerprint { field_order: Some(look), ..Fingerprint::default() };
    Facts { fingerprint, held: Held::Fresh, ..common::facts(client(ip)) }
}

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

/// At most what so many identities have from the start to `until_s`.
const fn most(identities: u64, until_s: u64) -> u64 {
    identities * (BURST + RATE * until_s)
}

#[test]
fn readers_behind_a_carriers_address_have_the_budget_of_as_many_as_are_known_there() {
    let world = World::known_to(30);
    // Two hundred newcomers who load half a page a second each, ten times what one identity may.
    let refused = (0..6_000).filter(|n| !world.is_served(n * 10, &facts(HERE, n % 7))).count();
    assert_eq!(refused, 0);
}

#[test]
fn where_nobody_else_is_known_to_read_one_identity_has_one_budget() {
    for known in [0, 1] {
        let world = World::known_to(known);
        let got = world.flood(HERE, (0, 20), |_| 1);
        assert!((BURST..=most(1, 20)).contains(&got), "{known} known: {got}");
    }
}

#[test]
fn a_reader_beside_a_flood_gets_its_pages() {
    let world = World::known_to(30);
    let flood = world.flood(HERE, (0, 60), |_| 1);
    assert!(flood <= most(1 + world.people().div_ceil(8), 60), "the flood does not: {flood}");
    for second in 60..120 {
        world.flood(HERE, (second, second + 1), |_| 1);
        assert!(world.is_served(1_000 * (second + 1) - 1, &facts(HERE, 2)), "in second {second}");
    }
}

#[test]
fn a_tor_exit_is_a_crowd_of_whom_nobody_need_be_known() {
    let world = World::known_to(0);
    let crowd = u64::from(CROWD);
    let one = world.flood(TOR, (0, 60), |_| 1);
    assert!((most(crowd / 8, 50)..=most(1 + crowd / 8, 60)).contains(&one), "{one} of one look");
    let refused = (0..3_000).filter(|n| !world.is_served(60_000 + n, &facts(TOR, 2))).count();
    assert!(refused < 3_000 - 80 * 3, "others of it: {refused} refused");
}

#[test]
fn the_holder_of_a_credential_is_measured_alone_and_not_by_its_address() {
    let world = World::known_to(30);
    let holder = Facts { identity: Identity::of_holder(7), ..facts(HERE, 1) };
    let got = (0..20_000).filter(|&ms| world.is_served(ms, &holder)).count() as u64;
    assert!((BURST..=most(1, 20)).contains(&got), "{got}");
    world.flood(HERE, (20, 60), |ms| ms);
    let newcomer = (0..100).filter(|_| world.is_served(60_000, &facts(HERE, 9))).count();
    assert!(newcomer < 5, "all of the address is spent: {newcomer}");
    assert!(world.is_served(60_000, &holder));
}

#[test]
fn who_is_blocked_and_floods_has_to_be_quiet_and_its_neighbours_have_not() {
    let world = World::known_to(4);
    let flood = facts(HERE, 1);
    let served = |from_ms: u64, until_ms| {
        (from_ms..until_ms).filter(|&ms| world.is_served_though_blocked(ms, &flood)).count()
    };
    served(0, 10_000);
    assert_eq!(served(10_000, 30_000), 0, "it never is");
    for ms in 30_000..60_000 {
        world.is_served_though_blocked(ms, &flood);
        assert!(ms % 500 > 0 || world.is_served(ms, &facts(HERE, 2)), "a neighbour at {ms} ms");
    }
}

proptest! {
    /// Whatever it looks like, and however many know the site from there.
    #[test]
    fn a_flood_from_one_address_is_bounded(known in 0u64..400, looks in 1u64..2_000, secs in 1u64..5) {
        let world = World::known_to(known);
        let got = world.flood(HERE, (0, secs), |ms| 1 + ms % looks);
        let people = world.people().min(u64::from(CROWD));
        let of_all = if people < 2 { 0 } else { people };
        let bound = most(1 + of_all, secs);
        prop_assert!(got <= bound, "{got} of {bound} with {looks} looks and {people} known");
        if looks == 1 && people >= 2 {
            prop_assert!(got <= most(1 + people.div_ceil(8), secs), "{got} of one look");
        }
    }
}
