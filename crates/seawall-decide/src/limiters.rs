//! What is remembered of clients: one fixed table of atomics, shared by all workers.
//!
//! Per identity (the holder of a credential, or a /32 of IPv4, a /64 of IPv6): the held-page budget (GCRA, one word), the decayed
//! demand on origins, that of the heaviest look among it, the number of open connections, and how many full
//! handshakes it had lately ([`crate::handshake_gate`]); per look of
//! an identity its demand and its part of the held pages that an address has beyond that budget
//! ([`crate::held_gate`]). 40 bytes each, allocated once from `limits.max_clients`: 5 MiB at the default
//! of 2^17. It never grows.
//!
//! A **look** (JA4, HTTP/2 preface, order of fields) tells clients of one address apart, and it is free:
//! whoever attacks can have a new one for every request. Hence it says what a client asked for alone, and
//! the address answers for all but its heaviest look. A reader beside one attacker is not taken for it;
//! an attacker who changes looks has the demand of the address, as if there were none; with two in turn
//! it has half. Where many read, what a connection asked for tells its holder apart as well
//! ([`ConnectionDemand`]). See `docs/decisions/0008-who-waits-behind-whom.md`.
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

use crate::connection::ConnectionDemand;
use crate::decay::{self, Decayed, ONE};
use crate::handshakes::Shakes;
use crate::hashed::Hashed;
use crate::held_gate::HeldBudget;
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

    /// Whether this address had more full handshakes lately than one person needs. O(1), no allocation.
    pub(crate) fn shook_often(&self, now: Instant, client: ClientAddr) -> bool {
        self.find(self.place(client.into(), None)).is_some_and(|record| {
            let bits = record.set.shakes[record.way].load(Ordering::Relaxed);
            Shakes::from_bits(bits).is_often(tick(now))
        })
    }

    /// Notes a full handshake of this address. O(1), no allocation.
    pub(crate) fn note_shake(&self, now: Instant, client: ClientAddr) {
        let Some(record) = self.touch(now, self.place(client.into(), None)) else { return };
        let word = &record.set.shakes[record.way];
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some(Shakes::from_bits(bits).plus_one(tick(now)).to_bits())
        });
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
    /// is ranked, in units of 1/[`DEMAND_ONE`]: its own by `look`, which a third of the `people` known to read
    /// there may share, and no less than what its address asked for with other looks than the heaviest,
    /// shared by all of them.
    ///
    /// Where many read, and where that is less: what was asked over its `connection`, and no less than what
    /// the address asked for, shared by twice as many as are known. O(1), no allocation.
    pub fn ask(
        &self,
        now: Instant,
        who: impl Into<Identity>,
        (look, connection): (Option<Look>, Option<&ConnectionDemand>),
        people: u32,
        cost: u32,
    ) -> u32 {
        let who = who.into();
        self.note_demand(now, who, cost);
        let whole = self.demand(now, who);
        let over_connection = connection.map(|connection| connection.add(now, cost));
        // A credential is exact.
        let Some(look) = look.filter(|_| !who.is_holder()) else { return whole };
        let Some(record) = self.touch(now, self.place(who, Some(look))) else { return whole };
        let own = record.add(&record.set.demand, now, cost);
        let others = self
            .find(self.place(who, None))
            .map_or(whole, |address| whole.saturating_sub(address.heaviest(now, own)));
        let by_look = (own / (people / WEARERS).max(1)).max(others / people.max(1));
        let Some((over_it, is_new)) = over_connection.filter(|_| people >= MANY_READERS) else {
            return by_look;
        };
        let sharers = people.saturating_mul(PEOPLE_TO_A_READER);
        let least = over_it.max(whole / sharers);
        // A new connection for each request is as free as a new look: those that are new answer for each other.
        let new =
            if is_new { self.touch(now, self.place(who, Some(NEW_CONNECTIONS))) } else { None };
        let new = new.map_or(0, |record| record.add(&record.set.demand, now, cost));
        by_look.min(least.max(new / (people / WEARERS)))
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
        set.shakes[way].store(0, Ordering::Relaxed);
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

/// Eight records of 40 bytes, field by field: finding a record touches one cache line,
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
    /// [`Shakes`] bits.
    shakes: [AtomicU32; WAYS],
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
        let tick = tick(now);
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
        decay::add(&demands[self.way], now, cost)
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

fn tick(now: Instant) -> u32 {
    u32::try_from(now.as_nanos() / SEEN_NANOS).unwrap_or(u32::MAX)
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
/// The same: what is asked for first over each connection.
const NEW_CONNECTIONS: Look = Look(1);
/// One in so many people wears the look that most have: the newest of the commonest browser.
const WEARERS: u32 = 3;
/// Where so many readers are known a connection answers for itself; where fewer are, one client could have more
/// of them than there are people.
const MANY_READERS: u32 = 2 * WEARERS;
/// People who read at an address, to each who is known to: who has a credential of some age is at most every
/// second.
const PEOPLE_TO_A_READER: u32 = 2;
/// 67 ms: the tick wraps after nine years.
pub(crate) const SEEN_NANOS: u64 = 1 << 26;

#[cfg(test)]
mod tests;
