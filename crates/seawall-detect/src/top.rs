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
    /// By attribute.
    buckets: Box<[[Bucket; BUCKETS]; Attribute::COUNT]>,
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
        let buckets = vec![[Bucket::default(); BUCKETS]; Attribute::COUNT].into_boxed_slice();
        let buckets = buckets.try_into().expect("as many as there are attributes");
        Self { keys, buckets, displaced: 0 }
    }

    /// Counts every known value of one request. `random` has 64 fresh bits; each attribute uses
    /// others of them, and what one attribute does needs no independence of what another does.
    /// O(1), no allocation. Returns what became of the value of [`Attribute::Prefix`].
    #[inline]
    pub(crate) fn observe(&mut self, attributes: &Attributes, random: u64) -> Option<Counted> {
        let mut last = None;
        let mut displaced = 0;
        for (attribute, buckets) in Attribute::ALL.into_iter().zip(self.buckets.iter_mut()) {
            let value = attributes.value(attribute);
            if value == UNKNOWN {
                last = None;
                continue;
            }
            let number = bucket_of(&self.keys, value);
            let turned = random.rotate_left(4 * attribute.index() as u32) as u32;
            let (way, outcome) = buckets[number].add(value, turned, &mut displaced);
            last = Some(Counted { place: number * WAYS + way, outcome });
        }
        self.displaced += displaced;
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
        let mine = self.buckets.as_flattened_mut().iter_mut();
        for (mine, theirs) in mine.zip(other.buckets.as_flattened()) {
            if theirs.counts != [0; WAYS] {
                self.displaced += mine.merge(theirs, &self.keys);
            }
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.buckets.as_flattened_mut().fill(Bucket::default());
        self.displaced = 0;
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn of(&self, attribute: Attribute) -> &[Bucket; BUCKETS] {
        &self.buckets[attribute.index()]
    }
}

impl Bucket {
    /// Counts `value`. `random` decides whether it takes the place of the smallest. Written without
    /// branches that a flood could make unpredictable: a wrong guess costs more than all the rest.
    #[inline]
    fn add(&mut self, value: AttributeValue, random: u32, displaced: &mut u64) -> (usize, Outcome) {
        let is_held = |way: usize| u32::from(self.values[way] == value) << way;
        let held = is_held(0) | is_held(1) | is_held(2) | is_held(3);
        if held != 0 {
            let way = held.trailing_zeros() as usize % WAYS;
            self.counts[way] = self.counts[way].saturating_add(1);
            return (way, Outcome::Held);
        }
        let ranked = |way: usize| u64::from(self.counts[way]) << 2 | way as u64;
        let smallest = ranked(0).min(ranked(1)).min(ranked(2).min(ranked(3)));
        let (way, before) = (smallest as usize % WAYS, (smallest >> 2) as u32);
        let count = before.saturating_add(1);
        self.counts[way] = count;
        // True once in `count`: with a free place always.
        let is_taken = u64::from(random) * u64::from(count) <= u64::from(u32::MAX);
        self.values[way] = if is_taken { value } else { self.values[way] };
        *displaced += u64::from(is_taken & (before > 0));
        (way, if is_taken { Outcome::Taken } else { Outcome::Lost })
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

/// Which bucket of its attribute `value` belongs to.
#[inline]
pub(crate) const fn bucket_of(keys: &Keys, value: AttributeValue) -> usize {
    keys.scatter(value, BUCKETS.trailing_zeros())
}

/// Places in a bucket.
pub(crate) const WAYS: usize = 4;

/// Buckets for each attribute.
pub(crate) const BUCKETS: usize = 128;

const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const PATH: Attribute = Attribute::Path;

    fn with_path(value: u32) -> Attributes {
        let mut attributes = Attributes::default();
        attributes.set(PATH, value);
        attributes
    }

    /// Counts `values` of one attribute under `seed`.
    fn counted(seed: u64, values: impl IntoIterator<Item = u32>) -> Top {
        let keys = Keys::new([seed, 1]);
        let mut top = Top::new(keys);
        for (turn, value) in values.into_iter().enumerate() {
            top.observe(&with_path(value), keys.mix_well(turn as u64));
        }
        top
    }

    fn total(top: &Top) -> u64 {
        top.each(PATH).map(|(_, count)| count).sum()
    }

    /// Values that look like hashes, each once.
    fn flood(seed: u64, count: u64) -> impl Iterator<Item = u32> {
        (0..count).map(move |n| Keys::new([seed, 2]).mix_well(n) as u32 | 1)
    }

    fn mean(of: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
        let n = of.clone().count() as f64;
        let mean = of.clone().sum::<f64>() / n;
        let variance = of.map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        (mean, libm::sqrt(variance / n))
    }

    proptest! {
        #[test]
        fn no_value_has_more_than_the_truth_and_a_quarter_of_its_bucket(
            seed: u64,
            values in prop::collection::vec(1u32..3_000, 0..3_000),
        ) {
            let top = counted(seed, values.iter().copied());
            prop_assert_eq!(total(&top), values.len() as u64);
            let mut truth: HashMap<u32, u64> = HashMap::new();
            values.iter().for_each(|value| *truth.entry(*value).or_default() += 1);
            for bucket in top.buckets_of(PATH) {
                let all: u64 = bucket.iter().map(|(_, count)| u64::from(*count)).sum();
                for (value, count) in bucket.into_iter().filter(|(_, count)| *count > 0) {
                    prop_assert!(u64::from(count) <= truth[&value] + all / WAYS as u64);
                }
            }
        }

        #[test]
        fn merging_counts_everything_in_whatever_order(
            seed: u64,
            one in prop::collection::vec(1u32..2_000, 0..2_000),
            other in prop::collection::vec(1u32..2_000, 0..2_000),
        ) {
            let (a, b) = (counted(seed, one.clone()), counted(seed, other.clone()));
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.merge(&b);
            ba.merge(&a);
            prop_assert_eq!(ab.ranked(PATH), ba.ranked(PATH));
            prop_assert_eq!(total(&ab), (one.len() + other.len()) as u64);
        }
    }

    #[test]
    fn with_room_for_all_every_count_is_exact() {
        let values = || (1..=40).flat_map(|value| core::iter::repeat_n(value, value as usize));
        let mut top = counted(7, values());
        for _ in 0..2 {
            top.merge(&counted(7, values()));
        }
        assert_eq!(top.displaced(), 0);
        assert!(
            top.ranked(PATH)
                .into_iter()
                .eq((1..=40).rev().map(|value| (value, u64::from(3 * value))))
        );
    }

    #[test]
    fn a_rare_value_has_the_true_count_on_average_over_seeds() {
        // Five requests for one value, early in a flood that displaces nearly everything.
        let estimates = (0..400).map(|seed| {
            let values = flood(seed, 100).chain([2; 5]).chain(flood(!seed, 1_500));
            counted(seed, values).count(PATH, 2) as f64
        });
        let estimates: Vec<f64> = estimates.collect();
        assert!(estimates.contains(&0.0), "it is displaced at times");
        let (mean, error) = mean(estimates.iter().copied());
        assert!((mean - 5.0).abs() < 4.0 * error, "{mean} ± {error}");
    }

    #[test]
    fn a_merged_count_is_true_on_average_over_seeds() {
        let estimates: Vec<f64> = (0..400)
            .map(|seed| {
                let mut top = counted(seed, flood(seed, 700).chain([2; 4]));
                top.merge(&counted(seed, flood(!seed, 700).chain([2; 3])));
                top.count(PATH, 2) as f64
            })
            .collect();
        let (mean, error) = mean(estimates.iter().copied());
        assert!((mean - 7.0).abs() < 4.0 * error, "{mean} ± {error}");
    }

    #[test]
    fn a_flood_of_single_values_does_not_hide_a_frequent_one() {
        for seed in 0..20 {
            let values = flood(seed, 6_000)
                .enumerate()
                .map(|(n, value)| if n % 33 == 0 { 2 } else { value });
            let got = counted(seed, values).count(PATH, 2);
            assert!((182..=300).contains(&got), "seed {seed}: {got} of 182");
        }
    }

    #[test]
    fn values_that_share_a_bucket_under_one_seed_do_not_under_another() {
        let (known, other) = (Keys::new([1, 1]), Keys::new([2, 1]));
        let chosen: Vec<u32> =
            flood(5, 100_000).filter(|value| bucket_of(&known, *value) == 0).take(300).collect();
        assert_eq!(chosen.len(), 300);
        let mut load = [0; BUCKETS];
        chosen.iter().for_each(|value| load[bucket_of(&other, *value)] += 1);
        // 2.3 on average.
        assert!(load.iter().all(|load| *load <= 16), "{load:?}");
        assert!(load.iter().filter(|load| **load > 0).count() > 90);
        assert_eq!(counted(1, chosen.iter().copied()).each(PATH).count(), WAYS);
        assert!(counted(2, chosen.iter().copied()).each(PATH).count() > 200);
    }

    #[test]
    fn counters_stop_at_their_end() {
        let mut bucket = Bucket { values: [1, 2, 3, 4], counts: [u32::MAX; WAYS] };
        assert_eq!(bucket.add(1, 0, &mut 0), (0, Outcome::Held));
        assert_eq!(bucket.counts[0], u32::MAX);
        let mut other = bucket;
        other.merge(&bucket, &Keys::new([0, 0]));
        assert_eq!(other.counts[0], u32::MAX);
    }
}
