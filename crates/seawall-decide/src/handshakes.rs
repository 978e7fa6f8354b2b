//! How much of a core TLS handshakes may take, and whose go first.
//!
//! Two budgets of processor time (GCRA, ITU-T I.371): one for clients of whom nothing is known, and a
//! larger one for all, so that a part is always left for those who have something to show. That is
//! a network in which credentialed readers were seen, or a session ticket. A ticket is a claim until the
//! handshake has proved it: until then it is charged like a stranger's hello, to its address and to
//! what all claims together may cost, and given back with the proof. Who claims in vain is a stranger.
//! A network's privilege is bounded as well, so that one bad neighbour does not spend it for all.
//! Among strangers a network has a sixteenth while more than half of their burst is spent, so that one
//! network does not shut out those of all others; before, it may have all there is.
//!
//! Beyond the same half those strangers come first who had few handshakes lately. An address (a /64)
//! that had eight full ones at once, and then more than one in five seconds, is behind them: it gets what
//! they leave, and all there is while half of the burst is not spent. No browser needs that many, and
//! ten thousand bots that open a connection for each request do. Not so an address that many share: a Tor
//! exit, one where several readers are known, what seems to be a CDN. Only handshakes that were let in
//! count, so that trying again harms nobody.
//!
//! One for each worker, because a worker's thread is what is scarce. Memory is fixed: 32 KiB; how many
//! handshakes an address had stands in the table that all workers share ([`Limiters`]). It measures nothing
//! itself; the time spent is an argument.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use seawall_model::{ClientAddr, Instant, Limits};
use siphasher::sip128::SipHasher13;

use crate::budget::{OriginBudget, Whence};
use crate::limiters::{Limiters, SEEN_NANOS};
use crate::table::Table;

/// The budgets of one worker.
#[derive(Debug)]
pub struct HandshakeBudget {
    /// Handshakes of everybody.
    all: Debt,
    /// Those of strangers, and of claims that are not proved.
    strangers: Debt,
    /// Claims that are not proved.
    claims: Debt,
    /// What networks and claimants owe.
    owed: Owed,
    /// What networks of strangers owe. Apart, so that a flood of them makes nobody forgotten there.
    crowds: Owed,
    shares: Shares,
}

/// A ClientHello, as far as the budget asks.
#[derive(Clone, Copy, Debug)]
pub struct Hello {
    /// Who sent it.
    pub client: ClientAddr,
    /// It brings a session ticket. A claim.
    pub offers_ticket: bool,
}

/// Decides whether there is time for a handshake; `None`: close the connection, before any cryptography.
///
/// `seems_shared` is asked last: whether the address seems to stand for many for another reason than those
/// that are known here. O(1), no allocation.
pub fn handshake_gate(
    (table, limiters, budgets): (&Table, &Limiters, &OriginBudget),
    handshakes: &mut HandshakeBudget,
    now: Instant,
    Hello { client, offers_ticket }: Hello,
    seems_shared: impl FnOnce() -> bool,
) -> Option<HandshakeTurn> {
    let is_one = || {
        !table.is_tor_exit(client.ip())
            && budgets.people(Whence { client, asn: None }) == 1
            && !seems_shared()
    };
    let shown = Shown {
        known_network: budgets.knows_network(client),
        ticket: offers_ticket,
        came_often: limiters.shook_often(now, client) && is_one(),
    };
    let turn = handshakes.admit(now, client, shown)?;
    if turn.on == On::Nothing {
        limiters.note_shake(now, client);
    }
    Some(turn)
}

/// What speaks for a client, or against it, when its hello comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    /// Credentialed readers were seen in its network.
    known_network: bool,
    /// It brings a session ticket. A claim.
    ticket: bool,
    /// It had more full handshakes lately than one person needs.
    came_often: bool,
}

/// A handshake that was let through; what it costs is charged to it.
#[derive(Debug)]
pub struct HandshakeTurn {
    on: On,
    client: ClientAddr,
    spent: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Nothing,
    Network,
    Ticket,
}

impl HandshakeBudget {
    /// Budgets that owe nothing. `seed` must be random and secret.
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Self {
        Self {
            all: Debt::default(),
            strangers: Debt::default(),
            claims: Debt::default(),
            owed: Owed::new(seed),
            crowds: Owed::new(seed),
            shares: Shares::of(limits),
        }
    }

    /// Takes other limits; what is owed stays.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.shares = Shares::of(limits);
    }

    fn admit(&mut self, now: Instant, client: ClientAddr, shown: Shown) -> Option<HandshakeTurn> {
        let shares = self.shares;
        if !self.all.admits(now, shares.all) {
            return None;
        }
        let has_ticket = shown.ticket
            && self.claims.admits(now, shares.claims)
            && self.owed.debt(client.identity()).admits(now, CLAIM);
        let on = if has_ticket {
            // In advance: many may be on their way at once.
            self.owed.debt(client.identity()).charge(now, CLAIM, CLAIM_COST);
            On::Ticket
        } else if shown.known_network && self.owed.debt(network(client)).admits(now, shares.network)
        {
            On::Network
        } else if self.strangers.admits(now, shares.ease)
            || !shown.came_often
                && self.strangers.admits(now, shares.strangers)
                && self.crowds.debt(network(client)).admits(now, shares.crowd)
        {
            On::Nothing
        } else {
            return None;
        };
        Some(HandshakeTurn { on, client, spent: Duration::ZERO })
    }

    /// Charges processor time to a handshake. Called for each step of it.
    pub fn charge(&mut self, now: Instant, turn: &mut HandshakeTurn, cpu: Duration) {
        let shares = self.shares;
        turn.spent += cpu;
        self.all.charge(now, shares.all, cpu);
        match turn.on {
            On::Nothing => {
                if !self.strangers.admits(now, shares.ease) {
                    self.crowds.debt(network(turn.client)).charge(now, shares.crowd, cpu);
                }
                self.strangers.charge(now, shares.strangers, cpu);
            }
            On::Network => self.owed.debt(network(turn.client)).charge(now, shares.network, cpu),
            On::Ticket => {
                self.strangers.charge(now, shares.strangers, cpu);
                self.claims.charge(now, shares.claims, cpu);
            }
        }
    }

    /// The handshake resumed a session: what was charged to a mere claim is given back.
    pub fn proved(&mut self, turn: &HandshakeTurn) {
        if turn.on == On::Ticket {
            let shares = self.shares;
            self.strangers.give_back(shares.strangers, turn.spent);
            self.claims.give_back(shares.claims, turn.spent);
            self.owed.debt(turn.client.identity()).give_back(CLAIM, CLAIM_COST);
        }
    }
}

/// The rates, as limits say them.
#[derive(Clone, Copy, Debug)]
struct Shares {
    all: Rate,
    strangers: Rate,
    claims: Rate,
    network: Rate,
    /// Strangers', up to where nobody asks for their networks, nor how often they came.
    ease: Rate,
    /// What a network of strangers has beyond that.
    crowd: Rate,
}

impl Shares {
    fn of(limits: &Limits) -> Self {
        let burst = limits.handshake_burst;
        let rate = |percent: u32, burst| Rate { percent, burst };
        let strangers = limits.handshake_share_percent;
        let all = limits.known_handshake_share_percent.max(strangers);
        Self {
            // Half as much again, so that strangers' burst leaves one for the others.
            all: rate(all, burst * 3 / 2),
            strangers: rate(strangers, burst),
            // A tenth of what is there for all: enough for a crowd with tickets on the way to their
            // proof, too little for those who forge them.
            claims: rate(all.div_ceil(10), burst / 10),
            // Four bad networks at once do not spend what is kept for known ones.
            network: rate(all.saturating_sub(strangers).div_ceil(4), burst / 4),
            ease: rate(strangers, burst / 2),
            crowd: rate(strangers.div_ceil(16), burst / 16),
        }
    }
}

/// A share of one core, and how much of it may be spent at once.
#[derive(Clone, Copy, Debug)]
struct Rate {
    percent: u32,
    burst: Duration,
}

impl Rate {
    /// How long it takes to earn `cpu`.
    fn earns_in(self, cpu: Duration) -> u64 {
        let nanos = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        match self.percent {
            0 if nanos > 0 => MAX_DEBT_NANOS,
            0 => 0,
            percent => nanos.saturating_mul(100) / u64::from(percent),
        }
    }
}

/// When what is owed is paid, nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Debt(u64);

impl Debt {
    fn admits(self, now: Instant, rate: Rate) -> bool {
        self.0.saturating_sub(now.as_nanos()) <= rate.earns_in(rate.burst)
    }

    fn charge(&mut self, now: Instant, rate: Rate, cpu: Duration) {
        let now = now.as_nanos();
        let due = self.0.max(now).saturating_add(rate.earns_in(cpu));
        self.0 = due.min(now.saturating_add(MAX_DEBT_NANOS));
    }

    fn give_back(&mut self, rate: Rate, cpu: Duration) {
        self.0 = self.0.saturating_sub(rate.earns_in(cpu));
    }
}

/// Debts by network and by claimant: four ways; who owes least makes room.
#[derive(Debug)]
struct Owed {
    ways: Box<[Way; WAYS * SETS]>,
    seed: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default)]
struct Way {
    tag: u64,
    debt: Debt,
}

impl Owed {
    fn new(seed: [u64; 2]) -> Self {
        Self { ways: Box::new([Way::default(); WAYS * SETS]), seed }
    }

    fn debt(&mut self, who: u128) -> &mut Debt {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&who.to_le_bytes());
        let (set, tag) = (hash.h1 as usize % SETS, hash.h2);
        let ways = &mut self.ways[set * WAYS..(set + 1) * WAYS];
        let known = ways.iter().position(|way| way.tag == tag);
        let at = known.unwrap_or_else(|| {
            let least = (0..WAYS).min_by_key(|&at| ways[at].debt.0).unwrap_or(0);
            ways[least] = Way { tag, debt: Debt::default() };
            least
        });
        &mut ways[at].debt
    }
}

/// How many full handshakes an address had lately: GCRA, when the next one is due, in ticks of
/// [`SEEN_NANOS`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shakes(u32);

impl Shakes {
    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u32 {
        self.0
    }

    /// Whether another one now would be too soon.
    pub(crate) const fn is_often(self, now_tick: u32) -> bool {
        self.0.saturating_sub(now_tick) > (SHAKES - 1) * SHAKE_TICKS
    }

    /// With one more, now.
    pub(crate) fn plus_one(self, now_tick: u32) -> Self {
        let due = self.0.max(now_tick).saturating_add(SHAKE_TICKS);
        Self(due.min(now_tick.saturating_add(MOST_SHAKES * SHAKE_TICKS)))
    }
}

/// The /24 or /48, told apart from every identity.
fn network(client: ClientAddr) -> u128 {
    match client.truncated() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) | 1 << 125,
        IpAddr::V6(ip) => ip.to_bits() >> 64 | 1 << 124,
    }
}

/// Claims of one address that are not proved: eight at once, then one in five seconds.
const CLAIM: Rate = Rate { percent: 20, burst: Duration::from_secs(7) };
const CLAIM_COST: Duration = Duration::from_secs(1);
/// Full handshakes that one person may need at once: a browser without HTTP/2 opens six connections.
const SHAKES: u32 = 8;
/// Until one more may be needed: five seconds.
const SHAKE_TICKS: u32 = (5_000_000_000 / SEEN_NANOS) as u32;
/// However many there were: after twenty seconds of quiet an address is a stranger as others are.
const MOST_SHAKES: u32 = SHAKES + 3;
const WAYS: usize = 4;
const SETS: usize = 256;
/// However dear a handshake was: nobody is kept out for longer than this.
const MAX_DEBT_NANOS: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::net::Ipv4Addr;

    use seawall_model::{Identity, Prefix};

    use crate::table::TableSource;

    use super::*;

    const COST: Duration = Duration::from_millis(1);
    const STRANGER: Shown = Shown { known_network: false, ticket: false, came_often: false };
    const KNOWN: Shown = Shown { known_network: true, ..STRANGER };
    const CLAIMANT: Shown = Shown { ticket: true, ..STRANGER };

    fn budget() -> HandshakeBudget {
        HandshakeBudget::new(&Limits::default(), [1, 2])
    }

    /// An address; the first of the two numbers is its /24.
    fn client(network: u32, host: u32) -> ClientAddr {
        ClientAddr::new(Ipv4Addr::from_bits(network << 8 | host).into())
    }

    fn at_us(us: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_micros(us)
    }

    /// Whether one is let through; it is charged, and proves its ticket if it can.
    fn shake(
        budget: &mut HandshakeBudget,
        us: u64,
        client: ClientAddr,
        shown: Shown,
        is_good: bool,
    ) -> bool {
        let Some(mut turn) = budget.admit(at_us(us), client, shown) else { return false };
        budget.charge(at_us(us), &mut turn, COST);
        if is_good {
            budget.proved(&turn);
        }
        true
    }

    /// Handshakes let through in ten seconds, of 10,000 asked for every second.
    fn in_ten_seconds(mut ask: impl FnMut(u64) -> bool) -> usize {
        (0..100_000u64).filter(|turn| ask(turn * 100)).count()
    }

    #[test]
    fn strangers_get_half_of_a_core_and_the_burst() {
        let mut budget = budget();
        let got = in_ten_seconds(|us| {
            shake(&mut budget, us, client(us as u32 / 100, 1), STRANGER, false)
        });
        // Half of ten seconds and half a second at once, in handshakes of a millisecond.
        assert!((5_490..=5_510).contains(&got), "{got}");
    }

    #[test]
    fn known_networks_are_served_while_strangers_flood() {
        let mut budget = budget();
        let (mut known, mut strangers) = (0, 0);
        for us in (0..10_000_000u64).step_by(100) {
            let stranger = client(us as u32 / 100, 1);
            strangers += u32::from(shake(&mut budget, us, stranger, STRANGER, false));
            if us % 10_000 == 0 {
                let reader = client(0xc0_0000 + us as u32 / 10_000 % 50, 7);
                known += u32::from(shake(&mut budget, us, reader, KNOWN, false));
            }
        }
        assert_eq!(known, 1_000, "every one of a hundred a second");
        assert!((5_400..=5_510).contains(&strangers), "{strangers}");
    }

    #[test]
    fn a_network_does_not_spend_what_is_kept_for_the_others() {
        let mut budget = budget();
        let got = in_ten_seconds(|us| {
            // Strangers take what is theirs, and one known network asks for all it can get.
            shake(&mut budget, us, client(us as u32 / 100, 1), STRANGER, false);
            shake(&mut budget, us, client(0xc0_0000, us as u32 / 100 % 250), KNOWN, false)
        });
        assert!(got < 2_500, "seven percent, the burst, and some of the strangers': {got}");
        assert!(shake(&mut budget, 10_000_000, client(0xc0_0001, 1), KNOWN, false));
    }

    #[test]
    fn tickets_that_are_good_cost_strangers_nothing() {
        let mut budget = budget();
        let got = in_ten_seconds(|us| {
            shake(&mut budget, us, client(us as u32 / 100, 1), STRANGER, false);
            us % 10_000 == 0 && shake(&mut budget, us, client(9, us as u32 % 250), CLAIMANT, true)
        });
        assert_eq!(got, 1_000);
    }

    #[test]
    fn forged_tickets_lose_their_privilege_and_take_nothing_from_the_known() {
        let mut budget = budget();
        let one = client(1, 1);
        let mut networks = 2..;
        let mut spend = || {
            networks.next().is_some_and(|at| shake(&mut budget, 0, client(at, 2), STRANGER, false))
        };
        while spend() {}
        let passed = (0..100).filter(|_| shake(&mut budget, 0, one, CLAIMANT, false)).count();
        assert_eq!(passed, 8, "then it is a stranger, and those have had theirs");
        let forged = in_ten_seconds(|us| {
            shake(&mut budget, us, client(us as u32 / 100, 3), CLAIMANT, false)
        });
        assert!(forged < 6_500, "no more than strangers and a tenth: {forged}");
        assert!(shake(&mut budget, 10_000_000, client(0xc0_0000, 1), KNOWN, false));
    }

    #[test]
    fn one_network_of_strangers_does_not_shut_out_the_others() {
        let mut budget = budget();
        let (mut others, mut flood) = (0, 0);
        for us in (0..10_000_000u64).step_by(100) {
            flood += u32::from(shake(&mut budget, us, client(1, us as u32 % 250), STRANGER, false));
            if us % 5_000 == 0 {
                let other = client(0xc0_0000 + us as u32 / 5_000, 7);
                others += u32::from(shake(&mut budget, us, other, STRANGER, false));
            }
        }
        assert_eq!(others, 2_000, "every one of two hundred a second");
        assert!((3_000..3_510).contains(&flood), "what they leave: {flood}");
    }

    #[test]
    fn a_network_that_is_alone_has_all_that_strangers_have() {
        let mut budget = budget();
        let got = in_ten_seconds(|us| {
            shake(&mut budget, us, client(1, us as u32 / 100 % 250), STRANGER, false)
        });
        // Half of ten seconds and half of the burst, with its own part.
        assert!((5_240..=5_290).contains(&got), "{got}");
    }

    #[test]
    fn no_debt_lasts_longer_than_a_minute() {
        let limits = Limits {
            handshake_share_percent: 0,
            handshake_burst: Duration::ZERO,
            ..Limits::default()
        };
        let mut budget = HandshakeBudget::new(&limits, [1, 2]);
        let mut ask = |us| shake(&mut budget, us, client(1, 1), STRANGER, false);
        assert!(ask(0) && !ask(1) && !ask(59_000_000) && ask(61_000_000));
    }

    /// The gate with all that it asks, for one worker.
    struct Gate {
        table: Table,
        limiters: Limiters,
        budgets: OriginBudget,
        handshakes: HandshakeBudget,
    }

    impl Gate {
        fn new() -> Self {
            let (limits, seed) = (Limits::default(), [1, 2]);
            let tor_exit = Prefix::new(tor_exit().ip(), 32).expect("a prefix");
            let table = TableSource { tor_exits: vec![tor_exit], ..TableSource::default() };
            Self {
                table: Table::compile(table),
                limiters: Limiters::new(&limits, seed),
                budgets: OriginBudget::new(&limits, seed),
                handshakes: HandshakeBudget::new(&limits, seed),
            }
        }

        fn shake(&mut self, us: u64, client: ClientAddr) -> bool {
            let (hello, by) = (
                Hello { client, offers_ticket: false },
                (&self.table, &self.limiters, &self.budgets),
            );
            let cdn = || client == cdn();
            let turn = handshake_gate(by, &mut self.handshakes, at_us(us), hello, cdn);
            turn.is_some_and(|mut turn| {
                self.handshakes.charge(at_us(us), &mut turn, COST);
                true
            })
        }

        fn knows(&self, client: ClientAddr, readers: u64) {
            for reader in 0..readers {
                let from = Whence { client, asn: None };
                self.budgets.saw_reader(20_000, Identity::of_holder(reader), from);
            }
        }

        /// Lets strangers, each new, spend three quarters of their burst.
        fn press(&mut self, us: u64) {
            for number in 0..375 {
                self.shake(us, client(0x80_0000 + number, 1));
            }
        }
    }

    fn tor_exit() -> ClientAddr {
        client(0x10_0000, 1)
    }

    fn cdn() -> ClientAddr {
        client(0x10_0001, 1)
    }

    #[test]
    fn bots_that_come_again_and_again_wait_behind_strangers() {
        let mut gate = Gate::new();
        let (mut strangers, mut bots) = (0, 0);
        for turn in 0..40_000u32 {
            let us = u64::from(turn) * 500;
            // Ten times a second each of 200, from 100 networks: four times what all strangers have.
            let bot = gate.shake(us, client(turn % 100, turn / 100 % 2));
            let is_stranger_due = turn % 40 == 0;
            let stranger = is_stranger_due && gate.shake(us, client(0xc0_0000 + turn / 40, 7));
            // In the first seconds they are no more known than strangers are.
            if us >= 10_000_000 {
                (bots, strangers) = (bots + u32::from(bot), strangers + u32::from(stranger));
            }
        }
        assert_eq!(strangers, 500, "every one of fifty a second");
        assert!((4_400..4_600).contains(&bots), "what they leave: {bots}");
    }

    #[test]
    fn who_comes_again_and_again_has_all_that_nobody_else_wants() {
        let mut gate = Gate::new();
        let got = in_ten_seconds(|us| gate.shake(us, client(1, 1)));
        assert!((5_240..=5_260).contains(&got), "half of ten seconds and of the burst: {got}");
    }

    #[test]
    fn addresses_that_many_share_are_not_put_behind() {
        // Beside what its network has, if anybody is known there.
        for (who, readers, want) in
            [(client(1, 1), 0, 0), (tor_exit(), 0, 32), (cdn(), 0, 32), (client(1, 1), 2, 126 + 32)]
        {
            let mut gate = Gate::new();
            (0..20).for_each(|_| assert!(gate.shake(0, who), "there is room"));
            gate.knows(who, readers);
            gate.press(1);
            let got = (0..1_000).filter(|_| gate.shake(2, who)).count();
            assert_eq!(got, want, "with {readers} readers known");
        }
    }

    #[test]
    fn a_browser_with_six_connections_is_no_bot() {
        let mut gate = Gate::new();
        for us in [0, 60_000_000] {
            gate.press(us);
            assert_eq!((0..20).filter(|_| gate.shake(us + 1, client(1, 1))).count(), 8);
        }
    }

    #[test]
    fn however_often_it_came_an_address_is_a_stranger_again_after_twenty_seconds() {
        let mut gate = Gate::new();
        let who = client(1, 1);
        // For an hour, while nobody else comes.
        (0..3_600).for_each(|s| assert!(gate.shake(s * 1_000_000, who)));
        for (s, want) in [(3_610, false), (3_621, true)] {
            gate.press(s * 1_000_000);
            assert_eq!(gate.shake(s * 1_000_000, who), want, "at {s} s");
        }
    }
}
