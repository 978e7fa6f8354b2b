//! What is remembered of clients: one fixed table of atomics, shared by all workers.
//!
//! Per identity (a /32 of IPv4, a /64 of IPv6): the held-page budget (GCRA, one word), the decayed
//! demand on origins, and the number of open connections. 32 bytes each, allocated once from
//! `limits.max_clients`: 4 MiB at the default of 2^17. It never grows.
//!
//! Set-associative, eight ways. The set and a 64-bit tag come from a keyed SipHash of the identity
//! with an injected seed, so that nobody outside can aim at a set, and the address itself is not
//! kept. Two identities share a record with probability 2^-64 per pair.
//!
//! Eviction, when a set is full: a record without open connections before one with, then the one
//! with the least use (demand plus held pages owed), then the one not seen for longest. Hence ten
//! million sources with one request each push out each other and not the heavy ones. What is
//! forgotten fails open: a full budget, no demand, no connections.
//!
//! Races between workers lose or double at most single counts of the record at hand, always
//! towards admitting. No operation waits for another worker.
//!
//! It does **not** decide anything, and it knows no time but the one it is given.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use core::time::Duration;

use seawall_model::{ClientAddr, Instant, Limits, PerSecond};
use siphasher::sip::SipHasher13;

use crate::decay::{Decayed, ONE};

/// One unit of cost in what [`Limiters::demand`] returns.
pub const DEMAND_ONE: u32 = ONE;

/// The process-wide memory of clients. Shared by reference; see the module documentation for its
/// bounds and eviction.
#[derive(Debug)]
pub struct Limiters {
    sets: Box<[Set]>,
    seed: [u64; 2],
    evictions: AtomicU64,
    untracked: AtomicU64,
}

impl Limiters {
    /// Allocates room for `limits.max_clients` identities, rounded up to a multiple of eight and
    /// at least eight. `seed` must be random and secret.
    pub fn new(limits: &Limits, seed: [u64; 2]) -> Self {
        let sets = limits.max_clients.div_ceil(WAYS).clamp(1, MAX_SETS);
        let sets = core::iter::repeat_with(Set::default).take(sets).collect();
        Self { sets, seed, evictions: AtomicU64::new(0), untracked: AtomicU64::new(0) }
    }

    /// Bytes held, all of them since construction.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.sets)
    }

    /// Records forgotten to make room for others, for metrics.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Lookups that found no room because other workers were replacing a whole set at that
    /// moment, for metrics. They were treated as clients never seen before.
    pub fn untracked(&self) -> u64 {
        self.untracked.load(Ordering::Relaxed)
    }

    /// Counts an opened connection; returns how many this identity has open now, this one
    /// included. O(1), no allocation.
    pub fn connection_opened(&self, now: Instant, client: ClientAddr) -> u32 {
        let Some(record) = self.touch(now, client) else { return 1 };
        let before = record.set.open[record.way].fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// Counts a closed connection. Every call matches one of [`Self::connection_opened`].
    pub fn connection_closed(&self, now: Instant, client: ClientAddr) {
        let Some(record) = self.find(client) else { return };
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
        self.find(client).map_or(0, |record| record.set.open[record.way].load(Ordering::Relaxed))
    }

    /// The demand of this identity on origins, with a half-life of 30 s, in units of
    /// 1/[`DEMAND_ONE`]; saturates. For comparing identities. O(1), no allocation.
    pub fn demand(&self, now: Instant, client: ClientAddr) -> u32 {
        self.find(client).map_or(0, |record| record.demand().at(now))
    }

    /// Adds `cost` units of demand. Attempts count, refused ones too: asking again must not help.
    pub fn note_demand(&self, now: Instant, client: ClientAddr, cost: u32) {
        let Some(record) = self.touch(now, client) else { return };
        let word = &record.set.demand[record.way];
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some(Decayed::from_bits(bits).plus(now, cost).to_bits())
        });
    }

    /// Takes one held page from the budget of this identity; refused with the time to wait.
    ///
    /// GCRA (ITU-T I.371): the word holds the theoretical arrival time of the next page.
    pub(crate) fn take_held(
        &self,
        now: Instant,
        client: ClientAddr,
        budget: HeldBudget,
    ) -> Result<(), Duration> {
        let Some(record) = self.touch(now, client) else { return Ok(()) };
        let now = now.as_nanos();
        let taken =
            record.set.held[record.way].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
                let due = due.max(now);
                (due - now <= budget.tolerance_nanos)
                    .then(|| due.saturating_add(budget.interval_nanos))
            });
        match taken {
            Ok(_) => Ok(()),
            Err(due) => {
                let early = due.saturating_sub(now).saturating_sub(budget.tolerance_nanos);
                Err(Duration::from_nanos(early))
            }
        }
    }

    /// The record of `client`, if there is one.
    fn find(&self, client: ClientAddr) -> Option<Record<'_>> {
        let (set, tag) = self.place(client);
        set.way_of(tag).map(|way| Record { set, way })
    }

    /// The record of `client`, made if need be, marked as seen. `None` if there is no room because
    /// every way of the set is being replaced right now.
    fn touch(&self, now: Instant, client: ClientAddr) -> Option<Record<'_>> {
        let (set, tag) = self.place(client);
        // A second attempt, because another worker may have taken the chosen way.
        let way = set.way_of(tag).or_else(|| {
            (0..2).find_map(|_| set.way_of(tag).or_else(|| self.insert(now, set, tag)))
        });
        let Some(way) = way else {
            self.untracked.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let record = Record { set, way };
        record.see(now);
        Some(record)
    }

    fn place(&self, client: ClientAddr) -> (&Set, u64) {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&client.identity().to_le_bytes());
        // Multiply and shift instead of a division: the number of sets fits in 32 bits.
        let index = ((hash >> 32) * self.sets.len() as u64) >> 32;
        let index = usize::try_from(index).unwrap_or(0);
        (&self.sets[index], hash.max(FIRST_TAG))
    }

    fn insert(&self, now: Instant, set: &Set, tag: u64) -> Option<usize> {
        let (way, old) = set.victim(now)?;
        set.tags[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed).ok()?;
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

/// The held-page budget as GCRA counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldBudget {
    /// Between pages at the steady rate.
    interval_nanos: u64,
    /// How far the next page may be ahead of its time.
    tolerance_nanos: u64,
}

impl HeldBudget {
    /// A rate of zero or less lets the burst through once an hour at most; an infinite or absurd
    /// one is no limit.
    pub(crate) fn new(rate: PerSecond, burst: u32) -> Self {
        // Float to integer saturates; of NaN it is zero, which is no limit: fail open.
        let interval_nanos = ((1e9 / rate.0.max(0.0)) as u64).min(3_600_000_000_000);
        let tolerance_nanos = interval_nanos.saturating_mul(u64::from(burst.saturating_sub(1)));
        Self { interval_nanos, tolerance_nanos }
    }
}

/// Eight records of 32 bytes, field by field: a lookup reads one cache line, and each kind of
/// update touches one or two more.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    /// GCRA: when the next held page is due, nanoseconds.
    held: [AtomicU64; WAYS],
    /// [`Decayed`] bits.
    demand: [AtomicU64; WAYS],
    open: [AtomicU32; WAYS],
    /// Last use, in [`SEEN_NANOS`].
    seen: [AtomicU32; WAYS],
}

impl Set {
    fn way_of(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|word| word.load(Ordering::Acquire) == tag)
    }

    /// The way to replace, and the tag it has.
    fn victim(&self, now: Instant) -> Option<(usize, u64)> {
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

    fn demand(&self) -> Decayed {
        Decayed::from_bits(self.set.demand[self.way].load(Ordering::Relaxed))
    }
}

const WAYS: usize = 8;
/// 2^31 sets would be 512 GiB: a typing error is not an allocation.
const MAX_SETS: usize = 1 << 24;
const EMPTY: u64 = 0;
/// A way that a worker is replacing.
const BUSY: u64 = 1;
const FIRST_TAG: u64 = 2;
/// 67 ms: the tick wraps after nine years.
const SEEN_NANOS: u64 = 1 << 26;
