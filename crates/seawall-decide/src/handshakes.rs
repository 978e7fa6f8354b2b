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
//! One for each worker, because a worker's thread is what is scarce. Memory is fixed: 32 KiB. It
//! measures nothing itself; the time spent is an argument.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use seawall_model::{ClientAddr, Instant, Limits};
use siphasher::sip128::SipHasher13;

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

/// What a client has to show with its hello.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Credentialed readers were seen in its network.
    pub known_network: bool,
    /// It brings a session ticket. A claim.
    pub ticket: bool,
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

    /// Whether there is time for another handshake; `None`: close the connection, before any
    /// cryptography. O(1), no allocation.
    pub fn admit(
        &mut self,
        now: Instant,
        client: ClientAddr,
        shown: Shown,
    ) -> Option<HandshakeTurn> {
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
        } else if self.strangers.admits(now, shares.strangers)
            && (self.strangers.admits(now, shares.ease)
                || self.crowds.debt(network(client)).admits(now, shares.crowd))
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
    /// Strangers', up to where nobody asks for their networks.
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
const WAYS: usize = 4;
const SETS: usize = 256;
/// However dear a handshake was: nobody is kept out for longer than this.
const MAX_DEBT_NANOS: u64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    const COST: Duration = Duration::from_millis(1);
    const STRANGER: Shown = Shown { known_network: false, ticket: false };
    const KNOWN: Shown = Shown { known_network: true, ticket: false };
    const CLAIMANT: Shown = Shown { known_network: false, ticket: true };

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
}
