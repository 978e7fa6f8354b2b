//! What is remembered of clients: one fixed table of atomics, shared by all workers.
//!
//! Per identity (the holder of a credential, or a /32 of IPv4, a /64 of IPv6): the held-page budget (GCRA, one word), the decayed
//! demand on origins, that of the heaviest look among it, and the number of open connections; per look of
//! an identity its demand and its part of the held pages that an address has beyond that budget
//! ([`crate::held_gate`]). 40 bytes each, allocated once from `limits.max_clients`: 5 MiB at the default
//! of 2^17. It never grows.
//!
//! A **look** (JA4, HTTP/2 preface, order of fields) tells clients of one address apart, and it is free:
//! whoever attacks can have a new one for every request. Hence it says what a client asked for alone, and
//! the address answers for all but its heaviest look. A reader beside one attacker is not taken for it;
//! an attacker who changes looks has the demand of the address, as if there were none; with two in turn
//! it has half. See `docs/decisions/0008-who-waits-behind-whom.md`.
//!
//! Set-associative, eight ways. The set and a 32-bit tag come from a keyed SipHash of the identity
//! with an injected seed, so that nobody outside can aim at a set, and the address itself is not
//! kept. A newcomer is taken for one of the eight in its set with probability 2^-28.
//!
//! Eviction, when a set is full: a record without open connections before one with, then the one
//! with the least use (demand plus held pages owed), then the one not seen for longest. Hence ten
//! million sources with one request each push out each other and not the heavy ones. What is
//! forgotten fails open: a full budget, no connections; but the demand of an identity goes on to count in
//! [`Hashed`] queues, or an attacker with more addresses than there is room for would always look new.
//!
//! Beside it: connections by prefix, who broke protocols ([`crate::offenders`]) who passes no test
//! ([`crate::unsolved`]) and what was passed with ([`crate::used`]).
//!
//! Races between workers lose or double at most single counts of the record at hand, always
//! towards admitting. No operation waits for another worker.
//!
//! It does **not** decide anything, and it knows no time but the one it is given.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use seawall_model::{ClientAddr, Fingerprint, Identity, Instant, Limits, Misbehaviour, PerSecond};
use siphasher::sip::SipHasher13;

use crate::decay::{Decayed, ONE};
use crate::hashed::Hashed;
use crate::held_gate::{HeldBudget, LOOKS};
use crate::offenders::{Bar, Offenders};
use crate::places::place;
use crate::prefix_counts::PrefixCounts;
use crate::unsolved::Unsolved;
use crate::used::Used;

/// One unit of cost in what [`Limiters::demand`] returns.
pub const DEMAND_ONE: u32 = ONE;

/// The process-wide memory of clients. Shared by reference; see the module documentation for its
/// bounds and eviction.
#[derive(Debug)]
pub struct Limiters {
    sets: Box<[Set]>,
    seed: [u64; 2],
    hashed: Hashed,
    evictions: AtomicU64,
    untracked: AtomicU64,
    prefixes: PrefixCounts,
    offenders: Offenders,
    unsolved: Unsolved,
    used: Used,
}

/// What tells clients of one address apart, as far as anything does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look(u64);

/// By what the tests of a client are counted. See [`Limiters::tested`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested(u64);

/// A second of quiet for each page asked for beyond the budget would lock readers out for hours.
const MAX_PRESSED: Duration = Duration::from_secs(10);

impl Limiters {
    /// Allocates room for `limits.max_clients` identities, rounded up to a multiple of eight and
    /// at least eight. `seed` must be random and secret.
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Self {
        let sets = limits.max_clients.div_ceil(WAYS).clamp(1, MAX_SETS);
        let hashed = Hashed::new((sets * WAYS / 32).max(64), seed);
        let sets = core::iter::repeat_with(Set::default).take(sets).collect();
        Self {
            sets,
            seed,
            hashed,
            evictions: AtomicU64::new(0),
            untracked: AtomicU64::new(0),
            prefixes: PrefixCounts::new(seed),
            offenders: Offenders::new(limits.max_offenders, seed),
            unsolved: Unsolved::new(seed),
            used: Used::new(seed),
        }
    }

    /// Bytes held, all of them since construction.
    pub fn bytes(&self) -> usize {
        let beside = self.hashed.bytes()
            + self.prefixes.bytes()
            + self.offenders.bytes()
            + self.unsolved.bytes()
            + self.used.bytes();
        size_of::<Self>() + size_of_val(&*self.sets) + beside
    }

    /// Of these, what remembers tests that were set and passed.
    pub fn bytes_of_tests(&self) -> usize {
        self.unsolved.bytes() + self.used.bytes()
    }

    /// Records forgotten to make room for others, for metrics.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Of these, identities whose demand goes on to count by hash, for metrics.
    pub fn hashed(&self) -> u64 {
        self.hashed.added()
    }

    /// Lookups that found no room because other workers were replacing a whole set at that
    /// moment, for metrics. They were treated as clients never seen before.
    pub fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }

    /// Bars spoken against repeat offenders, for metrics.
    pub fn barred(&self) -> u64 {
        self.offenders.barred()
    }

    /// Offenders forgotten to make room for others, for metrics.
    pub fn offenders_forgotten(&self) -> u64 {
        self.offenders.forgotten()
    }

    /// Whether `client` may not connect at `now`, for what it did. O(1), no allocation.
    pub(crate) fn is_barred(&self, now: Instant, client: ClientAddr) -> bool {
        self.offenders.is_barred(now, client.into())
    }

    /// Notes what `client` did; whether that bars it from now on. O(1), no allocation.
    pub(crate) fn offended(
        &self,
        now: Instant,
        client: ClientAddr,
        kind: Misbehaviour,
        bar: Bar,
    ) -> bool {
        self.offenders.add(now, client.into(), kind, bar)
    }

    /// Connections that the /24 or /48 of `client` has open. O(1), no allocation.
    pub fn open_of_prefix(&self, client: ClientAddr) -> u32 {
        self.prefixes.open(client)
    }

    /// Counts an opened connection; returns how many this identity has open now, this one
    /// included. O(1), no allocation.
    pub fn connection_opened(&self, now: Instant, client: ClientAddr) -> u32 {
        self.prefixes.opened(client);
        let Some(record) = self.touch(now, self.place(client.into(), None)) else { return 1 };
        let before = record.set.open[record.way].fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// Counts a closed connection. Every call matches one of [`Self::connection_opened`].
    pub fn connection_closed(&self, now: Instant, client: ClientAddr) {
        self.prefixes.closed(client);
        let Some(record) = self.find(self.place(client.into(), None)) else { return };
        record.see(now);
        // Saturating: the record may have been forgotten and made anew since the connection opened.
        let _ = record.set.open[record.way].fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |open| open.checked_sub(1),
        );
    }

    /// Connections this identity has open. O(1), no allocation.
    pub fn open_connections(&self, client: ClientAddr) -> u32 {
        let found = self.find(self.place(client.into(), None));
        found.map_or(0, |record| record.set.open[record.way].load(Ordering::Relaxed))
    }

    /// The demand of this identity on origins, with a half-life of 30 s, in units of
    /// 1/[`DEMAND_ONE`]; saturates. For comparing identities. O(1), no allocation.
    pub fn demand(&self, now: Instant, who: impl Into<Identity>) -> u32 {
        let place = self.place(who.into(), None);
        let exact = self.find(place).map_or(0, |record| record.demand().at(now));
        exact.max(self.hashed.demand(now, place.key()))
    }

    /// What a client looks like; `None` if nothing is known of it, as behind a trusted proxy.
    pub fn look(&self, fingerprint: &Fingerprint) -> Option<Look> {
        if *fingerprint == Fingerprint::default() {
            return None;
        }
        let mut bytes = [0; 53];
        bytes[..36].copy_from_slice(&fingerprint.ja4.map_or([0; 36], |ja4| *ja4.as_bytes()));
        let parts = [fingerprint.http2_preface, fingerprint.field_order];
        for (room, part) in bytes[36..].chunks_exact_mut(8).zip(parts) {
            room.copy_from_slice(&part.unwrap_or(0).to_le_bytes());
        }
        let [key0, key1] = self.seed;
        Some(Look(SipHasher13::new_with_keys(key1, key0).hash(&bytes)))
    }

    /// Notes a request that makes an origin work by `cost`, and returns the demand by which whoever asks
    /// is ranked, in units of 1/[`DEMAND_ONE`]: its own by `look`, which an eighth of the `people` known to read
    /// there may share, and no less than what its address asked for with other looks than the heaviest,
    /// shared by all of them. O(1), no allocation.
    pub fn ask(
        &self,
        now: Instant,
        who: impl Into<Identity>,
        look: Option<Look>,
        people: u32,
        cost: u32,
    ) -> u32 {
        let who = who.into();
        self.note_demand(now, who, cost);
        let whole = self.demand(now, who);
        // A credential is exact.
        let Some(look) = look.filter(|_| !who.is_holder()) else { return whole };
        let Some(record) = self.touch(now, self.place(who, Some(look))) else { return whole };
        let own = record.add(&record.set.demand, now, cost);
        let others = self
            .find(self.place(who, None))
            .map_or(whole, |address| whole.saturating_sub(address.heaviest(now, own)));
        (own / (people / LOOKS).max(1)).max(others / people.max(1))
    }

    /// Adds demand, in units of 1/[`DEMAND_ONE`]; an ordinary request costs [`DEMAND_ONE`].
    /// Attempts count, refused ones too: asking again must not help.
    pub fn note_demand(&self, now: Instant, who: impl Into<Identity>, cost: u32) {
        let Some(record) = self.touch(now, self.place(who.into(), None)) else { return };
        record.add(&record.set.demand, now, cost);
    }

    /// Takes one held page from the budget of this identity; refused with the time to wait.
    pub(crate) fn take_held(
        &self,
        now: Instant,
        who: impl Into<Identity>,
        budget: HeldBudget,
    ) -> Result<(), Duration> {
        match self.touch(now, self.place(who.into(), None)) {
            Some(record) => record.take_held(now, budget),
            None => Ok(()),
        }
    }

    /// Takes one held page from what people behind one address have together, once that of its identity is
    /// spent: from the budget of its look and from that of all of them. Whether there was one in both.
    pub(crate) fn take_shared(
        &self,
        now: Instant,
        who: Identity,
        look: Option<Look>,
        (of_look, of_all): (HeldBudget, HeldBudget),
    ) -> bool {
        let Some(all) = self.touch(now, self.place(who, Some(ALL_LOOKS))) else { return true };
        if !all.may_take(now, of_all) {
            return false;
        }
        let own = look.and_then(|look| self.touch(now, self.place(who, Some(look))));
        if own.is_some_and(|own| own.take_held(now, of_look).is_err()) {
            return false;
        }
        all.take_held(now, of_all).is_ok()
    }

    /// Makes a refused page count, too, so that who is blocked has to be quiet before it is served again;
    /// at most [`MAX_PRESSED`] of it. It counts for the look as well, so that others behind the address,
    /// who have budgets by look, need not be quiet with it.
    pub(crate) fn press_held(
        &self,
        now: Instant,
        who: Identity,
        look: Option<Look>,
        budget: HeldBudget,
    ) {
        let press = |look| {
            if let Some(record) = self.touch(now, self.place(who, look)) {
                record.press_held(now + MAX_PRESSED, budget);
            }
        };
        press(None);
        if look.is_some() && !who.is_holder() {
            press(look);
        }
    }

    /// Takes one piece of origin work from what a pass is good for: 60 at once and one a second. Whether
    /// there was one: beyond, the pass is as good as none. O(1), no allocation.
    pub fn take_pass(&self, now: Instant, number: u64) -> bool {
        let budget = HeldBudget::new(PerSecond(1.0), 60);
        self.take_held(now, Identity::of_holder(number), budget).is_ok()
    }

    /// Notes that a ticket or pass was used, by its text. Whether for the first time within an hour, as far as
    /// that is remembered. O(1), no allocation.
    pub fn is_first_use(&self, now: Instant, text: &[u8]) -> bool {
        self.used.is_first(now, text)
    }

    /// By what the tests of a client are counted: its identity, and where more people share that, its
    /// look as well.
    pub fn tested(&self, who: impl Into<Identity>, look: Option<Look>, people: u32) -> Tested {
        Tested(self.place(who.into(), look.filter(|_| people > 1)).key())
    }

    /// Notes a test that was set. How many are open within the last minute. O(1), no allocation.
    pub fn test_set(&self, now: Instant, who: Tested) -> u32 {
        self.unsolved.set(now, who.0)
    }

    /// Notes a test that was passed. O(1), no allocation.
    pub fn test_passed(&self, now: Instant, who: Tested) {
        self.unsolved.passed(now, who.0);
    }

    /// How many tests were left open within the last minute. O(1), no allocation.
    pub fn tests_open(&self, now: Instant, who: Tested) -> u32 {
        self.unsolved.open(now, who.0)
    }

    /// Clients with open tests forgotten to make room for others, for metrics.
    pub fn tests_forgotten(&self) -> u64 {
        self.unsolved.forgotten()
    }

    /// The record at `place`, if there is one.
    fn find(&self, place: Place) -> Option<Record<'_>> {
        let set = &self.sets[place.set];
        set.way_of(place.tag).map(|way| Record { set, way })
    }

    /// The record at `place`, made if need be, marked as seen. `None` if there is no room because
    /// every way of the set is being replaced right now.
    fn touch(&self, now: Instant, place: Place) -> Option<Record<'_>> {
        let set = &self.sets[place.set];
        // A second attempt, because another worker may have taken the chosen way.
        let way = set.way_of(place.tag).or_else(|| {
            (0..2).find_map(|_| set.way_of(place.tag).or_else(|| self.insert(now, place)))
        });
        let Some(way) = way else {
            self.untracked.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let record = Record { set, way };
        record.see(now);
        Some(record)
    }

    fn place(&self, who: Identity, look: Option<Look>) -> Place {
        let [key0, key1] = self.seed;
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&who.as_u128().to_le_bytes());
        bytes[16..].copy_from_slice(&look.map_or(0, |look| look.0).to_le_bytes());
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&bytes);
        // The other half of the hash, so that the tag is independent of the set. Looks have the highest
        // bit: their demand is part of their address's, so it is let go with them.
        let tag = hash as u32 & !LOOK | if look.is_some() { LOOK } else { 0 };
        Place { set: place(hash, self.sets.len()), tag: tag.max(FIRST_TAG) }
    }

    fn insert(&self, now: Instant, place: Place) -> Option<usize> {
        let (set, tag) = (&self.sets[place.set], place.tag);
        let (way, old) = set.victim(now)?;
        set.tags[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        let demand = Decayed::from_bits(set.demand[way].load(Ordering::Relaxed)).at(now);
        if old != EMPTY && old & LOOK == 0 && demand > 0 {
            self.hashed.add(now, Place { tag: old, ..place }.key(), demand);
        }
        set.heaviest[way].store(0, Ordering::Relaxed);
        set.held[way].store(0, Ordering::Relaxed);
        set.demand[way].store(0, Ordering::Relaxed);
        set.open[way].store(0, Ordering::Relaxed);
        // Sequentially consistent with the look around below, so that of two workers inserting
        // the same tag at least one sees the other.
        set.tags[way].store(tag, Ordering::SeqCst);
        if old != EMPTY {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        let twin =
            (0..WAYS).find(|&other| other != way && set.tags[other].load(Ordering::SeqCst) == tag);
        let Some(twin) = twin else { return Some(way) };
        // Lookups go upwards, so the lower of the two stays.
        let (stays, goes) = (way.min(twin), way.max(twin));
        let _ = set.tags[goes].compare_exchange(tag, EMPTY, Ordering::SeqCst, Ordering::Relaxed);
        Some(stays)
    }
}

/// Where the record of an identity or of a look is, if there is one.
#[derive(Clone, Copy)]
struct Place {
    set: usize,
    tag: u32,
}

impl Place {
    /// What is known of whoever has its record here, and all that is left of one who had.
    const fn key(self) -> u64 {
        (self.set as u64) << 32 | self.tag as u64
    }
}

/// Eight records of 40 bytes (36 used), field by field: finding a record touches one cache line,
/// and each kind of update one more.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU32; WAYS],
    /// Last use, in [`SEEN_NANOS`].
    seen: [AtomicU32; WAYS],
    /// GCRA: when the next held page is due, nanoseconds.
    held: [AtomicU64; WAYS],
    /// [`Decayed`] bits.
    demand: [AtomicU64; WAYS],
    /// The same, of the heaviest look of an address. All demands decay alike, so the heaviest stays it.
    heaviest: [AtomicU64; WAYS],
    open: [AtomicU32; WAYS],
}

impl Set {
    fn way_of(&self, tag: u32) -> Option<usize> {
        self.tags.iter().position(|word| word.load(Ordering::Acquire) == tag)
    }

    /// The way to replace, and the tag it has.
    fn victim(&self, now: Instant) -> Option<(usize, u32)> {
        let ways = self.tags.iter().map(|word| word.load(Ordering::Acquire)).enumerate();
        ways.filter(|&(_, tag)| tag != BUSY).min_by_key(|&(way, tag)| {
            if tag == EMPTY {
                return (false, 0, 0);
            }
            let connected = self.open[way].load(Ordering::Relaxed) > 0;
            let seen = self.seen[way].load(Ordering::Relaxed);
            // An empty way goes first, also before an idle record.
            (connected, 1 + self.use_of(way, now), seen)
        })
    }

    /// Demand plus held pages owed, on one scale: at the default rate a held page is owed for
    /// 20 ms, which is about [`DEMAND_ONE`] times 2^12 ns.
    fn use_of(&self, way: usize, now: Instant) -> u64 {
        let demand = Decayed::from_bits(self.demand[way].load(Ordering::Relaxed)).at(now);
        let owed = self.held[way].load(Ordering::Relaxed).saturating_sub(now.as_nanos());
        u64::from(demand) + (owed >> 12)
    }
}

/// A way of a set that held the wanted tag a moment ago.
struct Record<'a> {
    set: &'a Set,
    way: usize,
}

impl Record<'_> {
    fn see(&self, now: Instant) {
        let seen = &self.set.seen[self.way];
        let tick = u32::try_from(now.as_nanos() / SEEN_NANOS).unwrap_or(u32::MAX);
        // Written only when it changes, so that busy records do not travel between cores for it.
        if seen.load(Ordering::Relaxed) != tick {
            seen.store(tick, Ordering::Relaxed);
        }
    }

    /// GCRA (ITU-T I.371): the word holds the theoretical arrival time of the next page.
    fn take_held(&self, now: Instant, budget: HeldBudget) -> Result<(), Duration> {
        let held = &self.set.held[self.way];
        let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            budget.after(Instant::from_nanos(due), now).ok().map(Instant::as_nanos)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(due) => budget.after(Instant::from_nanos(due), now).map(drop),
        }
    }

    fn may_take(&self, now: Instant, budget: HeldBudget) -> bool {
        let due = Instant::from_nanos(self.set.held[self.way].load(Ordering::Relaxed));
        budget.after(due, now).is_ok()
    }

    fn press_held(&self, most: Instant, budget: HeldBudget) {
        let held = &self.set.held[self.way];
        let _ = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            Some(budget.pressed(Instant::from_nanos(due), most).as_nanos())
        });
    }

    /// Adds to a demand of this record; what it is then.
    fn add(&self, demands: &[AtomicU64; WAYS], now: Instant, cost: u32) -> u32 {
        let mut after = 0;
        let _ = demands[self.way].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let demand = Decayed::from_bits(bits).plus(now, cost);
            after = demand.at(now);
            Some(demand.to_bits())
        });
        after
    }

    /// The demand of the heaviest look, of which one has `own`.
    fn heaviest(&self, now: Instant, own: u32) -> u32 {
        let word = &self.set.heaviest[self.way];
        let known = Decayed::from_bits(word.load(Ordering::Relaxed)).at(now);
        if own > known {
            word.store(Decayed::default().plus(now, own).to_bits(), Ordering::Relaxed);
        }
        known.max(own)
    }

    fn demand(&self) -> Decayed {
        Decayed::from_bits(self.set.demand[self.way].load(Ordering::Relaxed))
    }
}

const WAYS: usize = 8;
/// 2^31 sets would be 512 GiB: a typing error is not an allocation.
const MAX_SETS: usize = 1 << 24;
const EMPTY: u32 = 0;
/// A way that a worker is replacing.
const BUSY: u32 = 1;
const FIRST_TAG: u32 = 2;
/// Marks the tag of a look.
const LOOK: u32 = 1 << 31;
/// In the place of a look: what all of them behind an address share.
const ALL_LOOKS: Look = Look(0);
/// 67 ms: the tick wraps after nine years.
const SEEN_NANOS: u64 = 1 << 26;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::proptest;

    use crate::adversary::check_spread;

    use super::{
        ClientAddr, DEMAND_ONE, Duration, HeldBudget, Instant, Limiters, Limits, Look, PerSecond,
    };

    fn limiters(max_clients: usize) -> Limiters {
        Limiters::new(&Limits { max_clients, ..Limits::default() }, [7, 11])
    }

    fn client(number: u32) -> ClientAddr {
        ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(ms)
    }

    #[test]
    fn memory_is_what_the_limit_says_and_never_grows() {
        for (clients, records) in [(0, 8), (1, 8), (9, 16), (1 << 17, 1 << 17)] {
            let limiters = limiters(clients);
            let bytes = limiters.bytes();
            let hashed = (records / 32).max(64) * 16;
            let tests = (256 + 128) * 1024;
            let beside = hashed + 128 * 1024 + 24 * Limits::default().max_offenders + tests;
            let own = bytes - size_of::<Limiters>() - beside;
            assert_eq!(own, records * 40, "{clients} clients");
            for number in 0..1_000 {
                limiters.note_demand(at_ms(0), client(number), DEMAND_ONE);
            }
            assert_eq!(limiters.bytes(), bytes);
        }
    }

    #[test]
    fn open_connections_are_counted_per_identity() {
        let limiters = limiters(64);
        let a = ClientAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1)));
        let same_64 = ClientAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 9, 9, 9, 9)));
        assert_eq!(limiters.connection_opened(at_ms(0), a), 1);
        assert_eq!(limiters.connection_opened(at_ms(0), same_64), 2);
        assert_eq!(limiters.connection_opened(at_ms(0), client(1)), 1);
        limiters.connection_closed(at_ms(1), a);
        assert_eq!(limiters.open_connections(same_64), 1);
        for _ in 0..3 {
            limiters.connection_closed(at_ms(1), a);
        }
        assert_eq!(limiters.open_connections(a), 0, "one close too many does not wrap");
    }

    #[test]
    fn demand_halves_in_thirty_seconds() {
        let limiters = limiters(64);
        limiters.note_demand(at_ms(0), client(1), 10 * DEMAND_ONE);
        assert_eq!(limiters.demand(at_ms(0), client(1)), 10 * DEMAND_ONE);
        assert_eq!(limiters.demand(at_ms(30_000), client(1)), 5 * DEMAND_ONE);
        assert_eq!(limiters.demand(at_ms(0), client(2)), 0);
    }

    /// What a client of this address asked for that many times a second for two minutes, and is then
    /// ranked by; `look` gives it one for each request.
    fn asked(limiters: &Limiters, who: ClientAddr, per_s: u64, look: impl Fn(u64) -> u64) -> u32 {
        let times = (0..120 * per_s).map(|n| (n * 1_000 / per_s, Look(look(n))));
        times.fold(0, |_, (ms, look)| {
            limiters.ask(at_ms(ms), who, Some(look), 1, DEMAND_ONE) / DEMAND_ONE
        })
    }

    #[test]
    fn a_reader_beside_an_attacker_is_ranked_by_what_is_asked_for_with_its_look() {
        let limiters = limiters(1 << 12);
        assert!(asked(&limiters, client(1), 50, |_| 7) > 2_000);
        let reader = limiters.ask(at_ms(120_000), client(1), Some(Look(8)), 1, DEMAND_ONE);
        assert!(reader < 3 * DEMAND_ONE, "{}", reader / DEMAND_ONE);
        let bare = limiters.ask(at_ms(120_000), client(1), None, 1, DEMAND_ONE);
        assert!(bare > 2_000 * DEMAND_ONE, "without a look there is only the address");
        let again = limiters.ask(at_ms(120_000), client(1), Some(Look(7)), 1, DEMAND_ONE);
        assert!(again > 2_000 * DEMAND_ONE, "the attacker is still the attacker");
    }

    #[test]
    fn changing_looks_wins_at_most_a_half() {
        let fixed = asked(&limiters(1 << 14), client(1), 50, |_| 7);
        for looks in [1, 2, 3, 10, 100, u64::MAX] {
            let got = asked(&limiters(1 << 14), client(1), 50, |n| 1 + n % looks);
            assert!(got * 100 >= fixed * 48, "{looks} looks: {got}, with one {fixed}");
        }
    }

    #[test]
    fn an_address_with_known_readers_answers_for_each_of_them() {
        let limiters = limiters(1 << 12);
        for reader in 0..300 {
            limiters.ask(at_ms(0), client(1), Some(Look(reader)), 1, DEMAND_ONE);
        }
        let alone = limiters.ask(at_ms(0), client(1), Some(Look(999)), 1, DEMAND_ONE);
        let among = limiters.ask(at_ms(0), client(1), Some(Look(998)), 100, DEMAND_ONE);
        assert_eq!((alone / DEMAND_ONE, among / DEMAND_ONE), (300, 3));
    }

    #[test]
    fn who_was_pushed_out_of_a_full_table_does_not_look_new() {
        let limiters = limiters(64);
        for round in 0..20 {
            for number in 0..4_096 {
                limiters.note_demand(at_ms(round * 1_000), client(number), DEMAND_ONE);
            }
        }
        assert!(limiters.hashed() > 70_000, "{}", limiters.hashed());
        for number in 0..4_096 {
            // Twenty, decayed for twenty seconds at most.
            assert!(limiters.demand(at_ms(20_000), client(number)) > 12 * DEMAND_ONE, "{number}");
        }
    }

    #[test]
    fn a_flood_of_looks_pushes_out_looks_and_is_remembered_by_its_address() {
        let limiters = limiters(256);
        for reader in 0..100 {
            limiters.note_demand(at_ms(0), client(1_000 + reader), 3 * DEMAND_ONE);
        }
        for look in 0..50_000 {
            limiters.ask(at_ms(1), client(1), Some(Look(look)), 1, DEMAND_ONE);
        }
        let known = (0..100)
            .filter(|&reader| limiters.demand(at_ms(1), client(1_000 + reader)) > 2 * DEMAND_ONE);
        assert_eq!((known.count(), limiters.hashed()), (100, 0));
        assert!(limiters.demand(at_ms(1), client(1)) > 49_000 * DEMAND_ONE);
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let table =
            |seed| Limiters::new(&Limits { max_clients: 1 << 13, ..Limits::default() }, [seed, 2]);
        let (known, ours) = (table(1), table(3));
        let of_client = |table: &Limiters, key: u64| {
            table.place(client(u32::try_from(key).expect("few")).into(), None).set as u64
        };
        check_spread(|key| of_client(&known, key), |key| of_client(&ours, key));
        let of_look =
            |table: &Limiters, key| table.place(client(1).into(), Some(Look(key))).set as u64;
        check_spread(|key| of_look(&known, key), |key| of_look(&ours, key));
    }

    #[test]
    fn passers_by_push_out_each_other_and_not_the_heavy_or_the_connected() {
        let limiters = limiters(256);
        let (heavy, connected, greedy) = (client(1), client(2), client(3));
        let budget = HeldBudget::new(PerSecond(50.0), 500);
        limiters.note_demand(at_ms(0), heavy, 1_000 * DEMAND_ONE);
        limiters.connection_opened(at_ms(0), connected);
        while limiters.take_held(at_ms(0), greedy, budget).is_ok() {}
        for number in 0..100_000 {
            limiters.note_demand(at_ms(1), client(0x0a00_0000 + number), DEMAND_ONE);
        }
        assert!(limiters.evictions() > 90_000);
        assert!(limiters.demand(at_ms(1), heavy) > 990 * DEMAND_ONE);
        assert_eq!(limiters.open_connections(connected), 1);
        limiters.take_held(at_ms(1), greedy, budget).expect_err("the budget is still spent");
    }

    #[test]
    fn a_full_set_of_connected_records_still_takes_newcomers() {
        let limiters = limiters(8);
        for number in 0..9 {
            assert_eq!(limiters.connection_opened(at_ms(number), client(number as u32)), 1);
        }
        assert_eq!(limiters.open_connections(client(0)), 0, "the one not seen for longest left");
        assert_eq!(limiters.open_connections(client(8)), 1);
        assert_eq!(limiters.evictions(), 1);
    }

    #[test]
    fn absurd_rates_are_no_limit_or_the_tightest_one() {
        let limiters = limiters(64);
        let mut who = 0;
        let mut check = |rate, burst, want: usize| {
            who += 1;
            let budget = HeldBudget::new(PerSecond(rate), burst);
            let taken =
                (0..100).filter(|_| limiters.take_held(at_ms(5), client(who), budget).is_ok());
            assert_eq!(taken.count(), want, "{rate}/s burst {burst}");
        };
        check(f64::INFINITY, 1, 100);
        check(f64::NAN, 1, 1);
        check(0.0, 7, 7);
        check(-1.0, 7, 7);
        check(1.0, 0, 1);
        check(50.0, 20, 20);
    }

    #[test]
    fn workers_at_once_lose_no_count_while_there_is_room() {
        let limiters = limiters(1 << 12);
        let limiters = &limiters;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for round in 0..200 {
                        for number in 0..64 {
                            limiters.connection_opened(at_ms(round), client(number));
                        }
                    }
                });
            }
        });
        let counts: Vec<u32> =
            (0..64).map(|number| limiters.open_connections(client(number))).collect();
        // Two workers that make the same record at the same moment may lose a few of the first.
        assert!(counts.iter().all(|&count| (790..=800).contains(&count)), "{counts:?}");
    }

    proptest! {
        #[test]
        fn held_pages_stay_within_rate_and_burst(
            gaps in proptest::collection::vec(0u64..60, 1..300),
            rate in 1u32..100,
            burst in 1u32..50,
        ) {
            let limiters = limiters(8);
            let budget = HeldBudget::new(PerSecond(f64::from(rate)), burst);
            let mut now = 0;
            let mut taken: Vec<u64> = Vec::new();
            for gap in gaps {
                now += gap;
                match limiters.take_held(at_ms(now), client(1), budget) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        // Coming back when told to must work; a moment earlier must not.
                        let probe = self::limiters(8);
                        for &ms in &taken {
                            probe.take_held(at_ms(ms), client(1), budget).expect("same history");
                        }
                        let early = wait.saturating_sub(Duration::from_nanos(1));
                        assert!(probe.take_held(at_ms(now) + early, client(1), budget).is_err());
                        assert!(probe.take_held(at_ms(now) + wait, client(1), budget).is_ok());
                    }
                }
            }
            for (index, &from) in taken.iter().enumerate() {
                for (count, &to) in taken[index..].iter().enumerate() {
                    let most = f64::from(burst) + (to - from) as f64 * f64::from(rate) / 1e3;
                    assert!((count + 1) as f64 <= most + 1e-6, "{from}..{to}: {}", count + 1);
                }
            }
        }
    }
}
