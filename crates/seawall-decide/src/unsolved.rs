//! Who was given tests and passed none, lately.
//!
//! Clients that go on asking without ever passing what every browser passes are no readers, whatever they look
//! like (Kill-Bots): from 20 open tests within a minute on a client is refused for its own behaviour, with no
//! signature and no baseline needed. Addresses that many people share are counted by look, so that
//! one attacker does not answer for all.
//!
//! A fixed table of atomics, 16 bytes each: four steps of 15 s, so that nothing older than a minute
//! counts. Set-associative, eight ways, placed by a keyed hash with a tag of 64 bits. When a set is full the
//! one with the fewest open tests is forgotten: it fails open, and ten million sources with one test
//! each push out each other. Races between workers lose single tests.
//!
//! *Source:* S. Kandula et al., Botz-4-Sale (NSDI 2005); detection.md §5.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use seawall_model::Instant;
use siphasher::sip128::SipHasher13;

use crate::places::place;

/// The table.
#[derive(Debug)]
pub(crate) struct Unsolved {
    sets: Box<[Set]>,
    seed: [u64; 2],
    forgotten: AtomicU64,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    /// [`Steps`] bits.
    open: [AtomicU64; WAYS],
}

/// Tests left open in this step of time and the three before it.
#[derive(Clone, Copy)]
struct Steps {
    /// Number of this step.
    now: u32,
    /// This one first.
    open: [u8; 4],
}

impl Steps {
    fn from_bits(bits: u64, now: u32) -> Self {
        let then = (bits >> 32) as u32;
        let open = (bits as u32).to_le_bytes();
        let passed = now.saturating_sub(then) as usize;
        let mut moved = [0; 4];
        if passed < moved.len() {
            moved[passed..].copy_from_slice(&open[..open.len() - passed]);
        }
        Self { now: now.max(then), open: moved }
    }

    const fn to_bits(self) -> u64 {
        (self.now as u64) << 32 | u32::from_le_bytes(self.open) as u64
    }

    fn sum(self) -> u32 {
        self.open.iter().map(|open| u32::from(*open)).sum()
    }

    const fn set(mut self) -> Self {
        self.open[0] = self.open[0].saturating_add(1);
        self
    }

    /// The newest are closed first.
    fn passed(mut self, mut tests: u8) -> Self {
        for open in &mut self.open {
            let closed = tests.min(*open);
            *open -= closed;
            tests -= closed;
        }
        self
    }
}

impl Unsolved {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        let sets = core::iter::repeat_with(Set::default).take(SETS).collect();
        Self { sets, seed, forgotten: AtomicU64::new(0) }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Clients with open tests forgotten to make room for others.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    /// How many tests `key` left open within the last minute. O(1), no allocation.
    pub(crate) fn open(&self, now: Instant, key: u64) -> u32 {
        let (set, tag) = self.place(key);
        let bits = set.way_of(tag).map(|way| set.open[way].load(Ordering::Relaxed));
        bits.map_or(0, |bits| Steps::from_bits(bits, step(now)).sum())
    }

    /// Notes a test that was set. How many are open then. O(1), no allocation.
    pub(crate) fn set(&self, now: Instant, key: u64) -> u32 {
        let (set, tag) = self.place(key);
        let Some(way) = set.way_of(tag).or_else(|| self.insert(now, set, tag)) else { return 1 };
        update(&set.open[way], now, Steps::set)
    }

    /// Notes a test that was passed: it is not open, nor is one that the same reader opened beside it, by
    /// loading again or giving up. O(1), no allocation.
    pub(crate) fn passed(&self, now: Instant, key: u64) {
        let (set, tag) = self.place(key);
        if let Some(way) = set.way_of(tag) {
            update(&set.open[way], now, |steps| steps.passed(2));
        }
    }

    fn place(&self, key: u64) -> (&Set, u64) {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&key.to_le_bytes());
        (&self.sets[place(hash.h1, self.sets.len())], hash.h2.max(FIRST_TAG))
    }

    /// Takes the place of whoever has the fewest open. `None` if another worker is faster at it.
    fn insert(&self, now: Instant, set: &Set, tag: u64) -> Option<usize> {
        let open =
            |way: usize| Steps::from_bits(set.open[way].load(Ordering::Relaxed), step(now)).sum();
        let ways = set.tags.iter().map(|word| word.load(Ordering::Acquire)).enumerate();
        let (way, old) = ways
            .filter(|&(_, tag)| tag != BUSY)
            .min_by_key(|&(way, tag)| if tag == EMPTY { 0 } else { 1 + open(way) })?;
        set.tags[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        self.forgotten.fetch_add(u64::from(old != EMPTY && open(way) > 0), Ordering::Relaxed);
        set.open[way].store(0, Ordering::Relaxed);
        set.tags[way].store(tag, Ordering::Release);
        Some(way)
    }
}

impl Set {
    fn way_of(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|word| word.load(Ordering::Acquire) == tag)
    }
}

fn update(word: &AtomicU64, now: Instant, change: impl Fn(Steps) -> Steps) -> u32 {
    let mut after = 0;
    let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
        let steps = change(Steps::from_bits(bits, step(now)));
        after = steps.sum();
        Some(steps.to_bits())
    });
    after
}

fn step(now: Instant) -> u32 {
    u32::try_from(now.as_nanos() / STEP.as_nanos() as u64).unwrap_or(u32::MAX)
}

const STEP: Duration = Duration::from_secs(15);
const WAYS: usize = 8;
/// 16,384 clients, 256 KiB: as many as an attack of 800 new ones a second leaves within 20 s of each.
const SETS: usize = 2_048;
const EMPTY: u64 = 0;
const BUSY: u64 = 1;
const FIRST_TAG: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    #[test]
    fn open_tests_count_for_a_minute_at_most() {
        let unsolved = Unsolved::new([1, 2]);
        for open in 1..=20 {
            assert_eq!(unsolved.set(at(7), 5), open);
        }
        assert_eq!(unsolved.open(at(44), 5), 20);
        assert_eq!(unsolved.open(at(67), 5), 0);
        assert_eq!(unsolved.open(at(7), 6), 0, "another client");
        for _ in 0..2_000 {
            unsolved.set(at(70), 5);
        }
        assert_eq!(unsolved.open(at(70), 5), 255, "it saturates");
    }

    #[test]
    fn what_was_passed_is_not_open() {
        let unsolved = Unsolved::new([1, 2]);
        for secs in [0, 16, 31] {
            unsolved.set(at(secs), 5);
        }
        unsolved.passed(at(32), 5);
        assert_eq!(unsolved.open(at(32), 5), 1);
        unsolved.passed(at(32), 5);
        unsolved.passed(at(32), 5);
        unsolved.passed(at(32), 77);
        assert_eq!(unsolved.open(at(32), 5), 0);
    }

    #[test]
    fn ten_million_sources_push_out_each_other_and_not_the_stubborn() {
        let unsolved = Unsolved::new([1, 2]);
        let before = unsolved.bytes();
        for _ in 0..20 {
            unsolved.set(at(0), u64::MAX);
        }
        for key in 0..1_000_000 {
            unsolved.set(at(1), key);
        }
        assert_eq!(unsolved.open(at(1), u64::MAX), 20);
        assert!(unsolved.forgotten() > 900_000);
        assert_eq!(unsolved.bytes(), before);
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let place = |seed, key: u64| {
            let [key0, key1] = [seed, 2];
            let hash = SipHasher13::new_with_keys(key0, key1).hash(&key.to_le_bytes());
            place(hash.h1, 1_024) as u64
        };
        crate::adversary::check_spread(|key| place(1, key), |key| place(3, key));
    }
}
