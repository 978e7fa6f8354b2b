//! GCRA buckets by the million: 16 bytes each, one fixed table of atomics, shared by all workers.
//!
//! A bucket is the moment at which its debt is paid (ITU-T I.371, "theoretical arrival time"). One
//! that owes nothing is a full budget, so forgetting it loses nothing: a newcomer takes the place
//! of the bucket that owes least. Ten million sources with one request each hence push out each
//! other, not the ones that owe most. A debt that is forgotten fails open and is counted.
//!
//! Set-associative, eight ways. Set and tag come from a keyed 128-bit SipHash, so nobody outside
//! can aim at a set. Races between workers lose single charges, always towards admitting.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use seawall_model::Instant;

use crate::places::place;
use siphasher::sip128::SipHasher13;

/// How fast a bucket is filled and how far it may be overdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time that one unit of cost takes to be paid back.
    pub(super) nanos_per_unit: u64,
    /// A bucket in debt by more than this admits nothing.
    pub(super) tolerance: Duration,
    /// No debt grows beyond this: nobody is locked out for longer, however dear a request was.
    pub(super) most: Duration,
}

impl Rate {
    /// `units` per second, at least one an hour; so much debt that `tolerance` pays it back.
    pub(super) fn new(units: f64, tolerance: Duration) -> Self {
        // `max` turns NaN into 0; dividing by 0 gives infinity; the cast to an integer saturates.
        let nanos_per_unit = ((1e9 / units.max(0.0)) as u64).min(3_600_000_000_000);
        Self { nanos_per_unit, tolerance, most: MOST_DEBT }
    }

    /// `count` units at once, and as many again in every `per`. A count of 0 is 1.
    pub(super) fn of(count: u64, per: Duration) -> Self {
        let per = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX);
        let nanos_per_unit = per / count.max(1);
        let tolerance = Duration::from_nanos(per.saturating_sub(nanos_per_unit));
        Self { nanos_per_unit, tolerance, most: Duration::from_nanos(per) }
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Buckets {
    sets: Box<[Set]>,
    seed: [u64; 2],
    forgotten: AtomicU64,
}

/// Two cache lines: the tags, and what their buckets owe.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set {
    tags: [AtomicU64; WAYS],
    /// When the debt is paid, nanoseconds.
    due: [AtomicU64; WAYS],
}

impl Buckets {
    /// Room for `buckets`, rounded up to a multiple of eight and at least eight.
    pub(super) fn new(buckets: usize, seed: [u64; 2]) -> Self {
        let sets = buckets.div_ceil(WAYS).clamp(1, MAX_SETS);
        let sets = core::iter::repeat_with(Set::default).take(sets).collect();
        Self { sets, seed, forgotten: AtomicU64::new(0) }
    }

    /// Bytes held, all of them since construction.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Debts forgotten to make room for others.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// Whether the bucket of `key` still admits; else how long until it does. O(1), no allocation.
    pub(super) fn check(&self, now: Instant, key: Key, rate: Rate) -> Result<(), Duration> {
        let (set, tag) = self.place(key);
        let Some(way) = set.way_of(tag) else { return Ok(()) };
        let due = Instant::from_nanos(set.due[way].load(Ordering::Relaxed));
        let wait = due.saturating_since(now).saturating_sub(rate.tolerance);
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    /// Adds `units` to the debt of `key`. O(1), no allocation.
    pub(super) fn charge(&self, now: Instant, key: Key, rate: Rate, units: u32) {
        let (set, tag) = self.place(key);
        let Some(way) = set.way_of(tag).or_else(|| self.insert(now, set, tag)) else { return };
        let cost = rate.nanos_per_unit.saturating_mul(u64::from(units));
        let most = u64::try_from(rate.most.as_nanos()).unwrap_or(u64::MAX);
        let most = now.as_nanos().saturating_add(most);
        let _ = set.due[way].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |due| {
            Some(due.max(now.as_nanos()).saturating_add(cost).min(most))
        });
    }

    fn place(&self, key: Key) -> (&Set, u64) {
        let (index, tag) = key.place(self.seed, self.sets.len());
        (&self.sets[index], tag)
    }

    /// Takes the place of whoever owes least. `None` if another worker is faster at it.
    fn insert(&self, now: Instant, set: &Set, tag: u64) -> Option<usize> {
        let ways = set.tags.iter().map(|word| word.load(Ordering::Acquire)).enumerate();
        let (way, old) = ways.filter(|&(_, tag)| tag != BUSY).min_by_key(|&(way, tag)| {
            if tag == EMPTY { 0 } else { set.due[way].load(Ordering::Relaxed).saturating_add(1) }
        })?;
        set.tags[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        if set.due[way].swap(0, Ordering::Relaxed) > now.as_nanos() {
            self.forgotten.fetch_add(1, Ordering::Relaxed);
        }
        set.tags[way].store(tag, Ordering::Release);
        Some(way)
    }
}

/// Whose bucket: what counts as one at some level, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) level: u8,
    pub(super) who: u128,
    /// What the budget is for: 0, or the number of a route.
    pub(super) of: u64,
}

impl Key {
    /// Its set among `sets`, and its tag there.
    pub(super) fn place(self, [key0, key1]: [u64; 2], sets: usize) -> (usize, u64) {
        let mut bytes = [self.level; 25];
        bytes[..16].copy_from_slice(&self.who.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.of.to_le_bytes());
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&bytes);
        (place(hash.h1, sets), hash.h2.max(FIRST_TAG))
    }
}

impl Set {
    fn way_of(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|word| word.load(Ordering::Acquire) == tag)
    }
}

const WAYS: usize = 8;
/// 2^24 sets are 2 GiB: a typing error is not an allocation.
const MAX_SETS: usize = 1 << 24;
const EMPTY: u64 = 0;
/// A way that a worker is replacing.
const BUSY: u64 = 1;
const FIRST_TAG: u64 = 2;
const MOST_DEBT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::*;
    use crate::adversary::check_spread;

    const TEN_PER_SECOND: Rate =
        Rate { nanos_per_unit: 100_000_000, tolerance: Duration::from_secs(1), most: MOST_DEBT };

    fn key(who: u128) -> Key {
        Key { level: 0, who, of: 0 }
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_millis(ms)
    }

    fn take(buckets: &Buckets, ms: u64, who: u128, units: u32) -> Result<(), Duration> {
        buckets.check(at_ms(ms), key(who), TEN_PER_SECOND)?;
        buckets.charge(at_ms(ms), key(who), TEN_PER_SECOND, units);
        Ok(())
    }

    #[test]
    fn a_bucket_takes_16_bytes_and_the_table_never_grows() {
        assert_eq!(size_of::<Set>(), WAYS * 16);
        let buckets = Buckets::new(1 << 10, [1, 2]);
        for who in 0..100_000 {
            buckets.charge(at_ms(0), key(who), TEN_PER_SECOND, 1);
        }
        assert_eq!(buckets.bytes(), 1 << 14);
    }

    #[test]
    fn a_dear_request_passes_once_and_is_paid_back() {
        let buckets = Buckets::new(64, [1, 2]);
        assert_eq!(take(&buckets, 0, 1, 50), Ok(()), "five seconds of budget at once");
        assert_eq!(take(&buckets, 0, 1, 1), Err(Duration::from_secs(4)));
        assert_eq!(take(&buckets, 0, 2, 1), Ok(()), "another one's bucket");
        assert_eq!(take(&buckets, 4_000, 1, 1), Ok(()));
    }

    #[test]
    fn no_debt_lasts_longer_than_a_minute() {
        let buckets = Buckets::new(64, [1, 2]);
        assert_eq!(take(&buckets, 0, 1, u32::MAX), Ok(()));
        assert_eq!(take(&buckets, 59_000, 1, 1), Ok(()), "a minute less the tolerance");
    }

    #[test]
    fn passers_by_push_out_each_other_and_not_those_who_owe() {
        let buckets = Buckets::new(256, [1, 2]);
        assert_eq!(take(&buckets, 0, 1, 300), Ok(()));
        for who in 10..100_000 {
            assert_eq!(take(&buckets, 1, who, 1), Ok(()));
        }
        assert!(take(&buckets, 1, 1, 1).is_err(), "the debt is remembered");
        assert!(buckets.forgotten() > 90_000, "and the others' are counted as forgotten");
    }

    #[test]
    fn who_owes_nothing_is_forgotten_without_loss() {
        let buckets = Buckets::new(8, [1, 2]);
        for who in 0..1_000u32 {
            assert_eq!(take(&buckets, u64::from(who) * 1_000, u128::from(who), 1), Ok(()));
        }
        assert_eq!(buckets.forgotten(), 0);
    }

    #[test]
    fn a_count_in_a_time_passes_at_once_and_comes_back_one_by_one() {
        let buckets = Buckets::new(64, [1, 2]);
        let ten_a_minute = Rate::of(10, Duration::from_secs(60));
        let take = |ms| {
            buckets.check(at_ms(ms), key(1), ten_a_minute)?;
            buckets.charge(at_ms(ms), key(1), ten_a_minute, 1);
            Ok::<(), Duration>(())
        };
        assert_eq!((0..100).filter(|_| take(0).is_ok()).count(), 10);
        assert_eq!(take(0), Err(Duration::from_secs(6)));
        assert_eq!(take(6_000), Ok(()));
        assert_eq!((0..100).filter(|_| take(66_000).is_ok()).count(), 10);
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        // The table of known readers places its keys in the same way.
        for (level, of) in [(0, 0), (0x81, 0), (0x80, 7)] {
            let place = |seed, who: u64| {
                Key { level, who: u128::from(who), of }.place([seed, 2], 1 << 10).0 as u64
            };
            check_spread(|who| place(1, who), |who| place(3, who));
        }
    }

    #[test]
    fn absurd_rates_are_no_limit_or_the_tightest_one() {
        for (units, want) in [
            (f64::INFINITY, 0),
            (f64::NAN, 3_600_000_000_000),
            (0.0, 3_600_000_000_000),
            (-1.0, 3_600_000_000_000),
            (1e3, 1_000_000),
        ] {
            assert_eq!(Rate::new(units, Duration::ZERO).nanos_per_unit, want, "{units}");
        }
    }

    proptest! {
        #[test]
        fn what_is_admitted_stays_within_rate_and_tolerance(
            asks in proptest::collection::vec((0u64..200, 1u32..8), 1..300),
        ) {
            let buckets = Buckets::new(8, [3, 4]);
            let (mut now, mut admitted) = (0, 0u64);
            for (gap, units) in asks {
                now += gap;
                if take(&buckets, now, 1, units).is_ok() {
                    admitted += u64::from(units);
                }
                // Ten units a second, ten at once, and the last request may overdraw by its cost.
                assert!(admitted <= 10 + now / 100 + 8, "{admitted} units by {now} ms");
            }
        }
    }
}
