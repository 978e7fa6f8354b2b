//! Which values are frequent: unbiased Space-Saving, 512 places for each attribute.
//!
//! A value that has no place takes the smallest one of its bucket with the probability that makes the
//! expected count of every value the true one: 1 in the new count. So the sum over all values is
//! exact, a frequent value stays, and a flood of values that each come once cannot push it out.
//! Buckets of four places bound the work; a keyed hash chooses the bucket. It deliberately does
//! **not** know what values mean.
//!
//! Error: with n requests in a bucket, what a value has is at most n/4 above the truth, and with a
//! keyed hash n is about 1/128 of all. *Sources:* Ting, "Data sketches for disaggregated subset sum
//! and frequent item estimation" (SIGMOD 2018); detection.md §1.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use seawall_model::{Attribute, AttributeValue, Attributes, UNKNOWN};

use crate::keys::{Keys, fold};

/// Frequent values of all attributes. 60 KiB.
#[derive(Clone, Debug)]
pub(crate) struct Top {
    keys: Keys,
    buckets: Box<[Bucket]>,
    /// Values that had to give way to another one.
    displaced: u64,
}

/// Four places. Half a line of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(32))]
struct Bucket {
    values: [AttributeValue; WAYS],
    counts: [u32; WAYS],
}

/// Where a value was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// The place among those of its attribute, below [`Top::PLACES`].
    pub(crate) place: usize,
    /// Whether it was the value's own before, became its own now, or stays another's.
    pub(crate) outcome: Outcome,
}

/// What became of a place when a value was counted there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was the value's already.
    Held,
    /// It is the value's now.
    Taken,
    /// It stays another value's, with one more.
    Lost,
}

impl Top {
    /// Places for each attribute.
    pub(crate) const PLACES: usize = BUCKETS * WAYS;

    /// Empty.
    pub(crate) fn new(keys: Keys) -> Self {
        let buckets = vec![Bucket::default(); Attribute::COUNT * BUCKETS].into_boxed_slice();
        Self { keys, buckets, displaced: 0 }
    }

    /// Counts every known value of one request. `random` has 64 fresh bits; each attribute uses
    /// others of them, and what one attribute does needs no independence of what another does.
    /// O(1), no allocation. Returns what became of the value of [`Attribute::Prefix`].
    #[inline]
    pub(crate) fn observe(&mut self, attributes: &Attributes, random: u64) -> Option<Counted> {
        let mut last = None;
        for (index, buckets) in self.buckets.chunks_exact_mut(BUCKETS).enumerate() {
            let value = attributes.value(Attribute::ALL[index]);
            if value == UNKNOWN {
                last = None;
                continue;
            }
            let number = bucket_of(&self.keys, value);
            let turned = random.rotate_left(4 * index as u32) as u32;
            let (way, outcome) = buckets[number].add(value, turned, &mut self.displaced);
            last = Some(Counted { place: number * WAYS + way, outcome });
        }
        // The last attribute is the prefix.
        last
    }

    /// What `value` has; 0 if it has no place.
    pub(crate) fn count(&self, attribute: Attribute, value: AttributeValue) -> u64 {
        if value == UNKNOWN {
            return 0;
        }
        let bucket = &self.of(attribute)[bucket_of(&self.keys, value)];
        bucket.entries().find(|(held, _)| *held == value).map_or(0, |(_, count)| u64::from(count))
    }

    /// Every value of `attribute` that has a place, in no order.
    pub(crate) fn each(
        &self,
        attribute: Attribute,
    ) -> impl Iterator<Item = (AttributeValue, u64)> + '_ {
        self.of(attribute)
            .iter()
            .flat_map(Bucket::entries)
            .filter(|(_, count)| *count > 0)
            .map(|(value, count)| (value, u64::from(count)))
    }

    /// The buckets of `attribute`: four values each, with their counts.
    pub(crate) fn buckets_of(
        &self,
        attribute: Attribute,
    ) -> impl Iterator<Item = [(AttributeValue, u32); WAYS]> + '_ {
        self.of(attribute)
            .iter()
            .map(|bucket| core::array::from_fn(|way| (bucket.values[way], bucket.counts[way])))
    }

    /// As [`Self::each`], most frequent first, equal ones by value.
    pub(crate) fn ranked(&self, attribute: Attribute) -> Vec<(AttributeValue, u64)> {
        let mut ranked: Vec<_> = self.each(attribute).collect();
        ranked.sort_unstable_by_key(|(value, count)| (core::cmp::Reverse(*count), *value));
        ranked
    }

    /// The value at `place` among those of `attribute`, [`UNKNOWN`] if it is free.
    pub(crate) fn value_at(&self, attribute: Attribute, place: usize) -> AttributeValue {
        self.of(attribute)[place / WAYS].values[place % WAYS]
    }

    /// Where `value` has its place, if it has one.
    pub(crate) fn place_of(&self, attribute: Attribute, value: AttributeValue) -> Option<usize> {
        let number = bucket_of(&self.keys, value);
        let held = &self.of(attribute)[number].values;
        let way = held.iter().position(|held| *held == value && value != UNKNOWN)?;
        Some(number * WAYS + way)
    }

    /// Values that had to give way.
    pub(crate) const fn displaced(&self) -> u64 {
        self.displaced
    }

    /// Adds what `other` counted under the same seed; in whatever order, the result is the same.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.displaced += other.displaced;
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            if theirs.counts != [0; WAYS] {
                self.displaced += mine.merge(theirs, &self.keys);
            }
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.buckets.fill(Bucket::default());
        self.displaced = 0;
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn of(&self, attribute: Attribute) -> &[Bucket] {
        &self.buckets[attribute.index() * BUCKETS..][..BUCKETS]
    }
}

impl Bucket {
    /// Counts `value`. `random` decides whether it takes the place of the smallest.
    #[inline]
    fn add(&mut self, value: AttributeValue, random: u32, displaced: &mut u64) -> (usize, Outcome) {
        let mut smallest = 0;
        for way in 0..WAYS {
            if self.values[way] == value {
                self.counts[way] = self.counts[way].saturating_add(1);
                return (way, Outcome::Held);
            }
            if self.counts[way] < self.counts[smallest] {
                smallest = way;
            }
        }
        let was_free = self.counts[smallest] == 0;
        let count = self.counts[smallest].saturating_add(1);
        self.counts[smallest] = count;
        // True once in `count`: with a free place always.
        if u64::from(random) * u64::from(count) > u64::from(u32::MAX) {
            return (smallest, Outcome::Lost);
        }
        self.values[smallest] = value;
        *displaced += u64::from(!was_free);
        (smallest, Outcome::Taken)
    }

    fn entries(&self) -> impl Iterator<Item = (AttributeValue, u32)> + '_ {
        self.values.into_iter().zip(self.counts)
    }

    /// Adds `other`; returns how many values gave way.
    fn merge(&mut self, other: &Self, keys: &Keys) -> u64 {
        let mut pool = Pool::default();
        for (value, count) in self.entries().chain(other.entries()) {
            pool.add(value, f64::from(count));
        }
        let displaced = pool.reduce(keys, 0);
        *self = Self::default();
        for (way, (value, weight)) in pool.entries().enumerate() {
            self.values[way] = value;
            // Sums of two counts: whole, and beyond 2^32 they stay there.
            self.counts[way] = weight as u32;
        }
        displaced
    }
}

/// Entries of two buckets on their way into one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pool {
    entries: [(AttributeValue, f64); 2 * WAYS],
    len: usize,
}

impl Pool {
    /// Adds `weight` to what `value` has. At most eight different values.
    pub(crate) fn add(&mut self, value: AttributeValue, weight: f64) {
        if weight <= 0.0 {
            return;
        }
        let held = &mut self.entries[..self.len];
        if let Some((_, sum)) = held.iter_mut().find(|(held, _)| *held == value) {
            *sum += weight;
        } else if self.len < self.entries.len() {
            self.entries[self.len] = (value, weight);
            self.len += 1;
        } else {
            debug_assert!(false, "two buckets have at most eight values");
        }
    }

    /// Joins the two smallest until four are left: the sum goes to either, with a probability as its
    /// part of it, so that expected weights stay what they were. What is drawn depends only on the
    /// seed, `turn` and what is joined: the order of merging does not matter. Returns how many gave way.
    pub(crate) fn reduce(&mut self, keys: &Keys, turn: u64) -> u64 {
        let mut displaced = 0;
        while self.len > WAYS {
            let held = &mut self.entries[..self.len];
            held.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
            let (small, large) = (held[self.len - 1], held[self.len - 2]);
            let both = small.1 + large.1;
            let pair = u64::from(small.0) << 32 | u64::from(large.0);
            let drawn = keys.mix_well(fold(pair, both.to_bits() | 1) ^ turn);
            let stays =
                if (drawn >> 11) as f64 / TWO_TO_53 * both < small.1 { small } else { large };
            held[self.len - 2] = (stays.0, both);
            self.len -= 1;
            displaced += 1;
        }
        displaced
    }

    /// What is left.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (AttributeValue, f64)> + '_ {
        self.entries[..self.len].iter().copied()
    }
}

/// Which bucket of its attribute `value` belongs to. Multiply-shift with secret numbers.
#[inline]
pub(crate) const fn bucket_of(keys: &Keys, value: AttributeValue) -> usize {
    (keys.mix(value as u64) >> (64 - BUCKETS.trailing_zeros())) as usize
}

/// Places in a bucket.
pub(crate) const WAYS: usize = 4;

/// Buckets for each attribute.
pub(crate) const BUCKETS: usize = 128;

const TWO_TO_53: f64 = 9_007_199_254_740_992.0;
