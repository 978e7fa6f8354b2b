//! The mix of requests, whatever their number: how the values of fourteen attributes are distributed,
//! now or over the last minutes, and how far two mixes are apart.
//!
//! - **Signal**: Jensen-Shannon divergence in bits, 0 (the same) to 1 (nothing in common), less what
//!   chance alone would make of so few requests, so that it is about 0 in peace for a site with 5
//!   requests a second as for one with 5,000.
//! - **Cold start**: `None` until something is known on both sides; a young memory counts as the small
//!   sample that it is.
//! - **Cells**: values with a share of 0.5 % of what is ordinary have one of their own, as have those
//!   that are frequent now; the rest is one cell. Rare values come and go, and must not count each.
//! - **Blind**: a flood that has the ordinary mix in every single attribute; what is in the attributes
//!   together, which the miner looks at.
//!
//! It deliberately does **not** say what is too far. *Sources:* Lin (1991); Ting (2018) for the
//! merging of what is frequent; detection.md §3.

use alloc::boxed::Box;
use alloc::vec;

use seawall_model::{Attribute, AttributeValue};

use crate::keys::Keys;
use crate::top::{BUCKETS, Pool, Top, WAYS, bucket_of};
use crate::window::Window;

/// Distributions of the values of [`Composition::ATTRIBUTES`]. 57 KiB.
#[derive(Clone, Debug)]
pub struct Composition {
    keys: Keys,
    buckets: Box<[Bucket]>,
    /// Windows taken in: so that chance falls differently each time.
    turn: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    values: [AttributeValue; WAYS],
    weights: [f32; WAYS],
}

impl Composition {
    /// All but [`Attribute::Prefix`]: where clients are is no mix of behaviours.
    pub const ATTRIBUTES: &[Attribute] = Attribute::ALL.split_at(Attribute::COUNT - 1).0;

    /// Nothing seen. `seed` as for the windows that it will take in.
    pub fn new(seed: [u64; 2]) -> Self {
        let buckets = vec![Bucket::default(); Self::ATTRIBUTES.len() * BUCKETS].into_boxed_slice();
        Self { keys: Keys::new(seed), buckets, turn: 0 }
    }

    /// Adds what `window` counted. No allocation.
    pub fn add(&mut self, window: &Window) {
        self.turn += 1;
        for (index, attribute) in Self::ATTRIBUTES.iter().enumerate() {
            self.add_top(window.top_counts(), *attribute, index);
        }
    }

    /// Adds what `other` saw under the same seed, each request `times` over. No allocation.
    pub fn add_composition(&mut self, other: &Self, times: f32) {
        self.turn += 1;
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            let entries = theirs.entries().map(|(value, weight)| (value, weight * times));
            mine.take(entries, &self.keys, self.turn);
        }
    }

    /// Adds one value with a weight: what was kept of another.
    pub(crate) fn put(&mut self, attribute: Attribute, value: AttributeValue, weight: f32) {
        if attribute == Attribute::Prefix {
            return;
        }
        let place = attribute.index() * BUCKETS + bucket_of(&self.keys, value);
        self.turn += 1;
        self.buckets[place].take([(value, weight)].into_iter(), &self.keys, self.turn);
    }

    /// Multiplies all weights with `factor`, 0 to 1: exponential forgetting.
    pub fn decay(&mut self, factor: f32) {
        for bucket in &mut self.buckets {
            for weight in &mut bucket.weights {
                *weight *= factor;
                // Far below one request, and before numbers become slow for being tiny.
                if *weight < LEAST_WEIGHT {
                    *weight = 0.0;
                }
            }
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.buckets.fill(Bucket::default());
        self.turn = 0;
    }

    /// Requests in which something was known of `attribute`, after forgetting.
    pub fn weight(&self, attribute: Attribute) -> f64 {
        self.each(attribute).map(|(_, weight)| weight).sum()
    }

    /// Which part of the requests had `value`, 0 to 1, estimated without bias.
    pub fn share(&self, attribute: Attribute, value: AttributeValue) -> f64 {
        let all = self.weight(attribute);
        if all > 0.0 { self.weight_of(attribute, value) / all } else { 0.0 }
    }

    /// Values of `attribute` and their weights, in no order.
    pub fn each(&self, attribute: Attribute) -> impl Iterator<Item = (AttributeValue, f64)> + '_ {
        self.of(attribute)
            .iter()
            .flat_map(Bucket::entries)
            .filter_map(|(value, weight)| (weight > 0.0).then_some((value, f64::from(weight))))
    }

    /// How far the mix of `attribute` here is from the `ordinary` one, in bits: at most 1, and around
    /// 0 if only chance makes a difference. `None` if nothing is known of it here or there.
    ///
    /// `per_client` is how many requests come from one client, 1 or more: those are alike, and count as
    /// one. O(places), no allocation.
    pub fn divergence(
        &self,
        ordinary: &Self,
        attribute: Attribute,
        per_client: f64,
    ) -> Option<f64> {
        let drawn =
            Drawn::new(self.weight(attribute), ordinary.weight(attribute), per_client.max(1.0))?;
        let mut sum = Cells::default();
        for (value, weight) in ordinary.each(attribute) {
            let (p, q) = drawn.shares(self.weight_of(attribute, value), weight);
            if drawn.has_own_cell(p, q) {
                sum.add(p, q, &drawn);
            }
        }
        for (value, weight) in self.each(attribute) {
            let (p, q) = drawn.shares(weight, ordinary.weight_of(attribute, value));
            if q <= 0.0 && drawn.has_own_cell(p, q) {
                sum.add(p, q, &drawn);
            }
        }
        Some(sum.divergence(&drawn))
    }

    /// What is here beyond `times` the `ordinary` mix: the mix of the excess. What is rarer than it
    /// should be counts nothing.
    pub fn beyond(&self, ordinary: &Self, times: f64) -> Self {
        let mut excess = self.clone();
        for attribute in Self::ATTRIBUTES {
            let first = attribute.index() * BUCKETS;
            for bucket in &mut excess.buckets[first..first + BUCKETS] {
                for (value, weight) in bucket.values.iter().zip(&mut bucket.weights) {
                    let expected = times * ordinary.weight_of(*attribute, *value);
                    *weight = (f64::from(*weight) - expected).max(0.0) as f32;
                }
            }
        }
        excess
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    fn add_top(&mut self, top: &Top, attribute: Attribute, index: usize) {
        let mine = &mut self.buckets[index * BUCKETS..][..BUCKETS];
        for (bucket, counted) in mine.iter_mut().zip(top.buckets_of(attribute)) {
            if counted.iter().any(|(_, count)| *count > 0) {
                let entries = counted.into_iter().map(|(value, count)| (value, count as f32));
                bucket.take(entries, &self.keys, self.turn);
            }
        }
    }

    fn weight_of(&self, attribute: Attribute, value: AttributeValue) -> f64 {
        let bucket = &self.of(attribute)[bucket_of(&self.keys, value)];
        bucket.entries().find(|(held, _)| *held == value).map_or(0.0, |(_, weight)| weight.into())
    }

    fn of(&self, attribute: Attribute) -> &[Bucket] {
        debug_assert!(attribute != Attribute::Prefix, "prefixes are no part of a composition");
        self.buckets.get(attribute.index() * BUCKETS..).map_or(&[], |rest| &rest[..BUCKETS])
    }
}

impl Bucket {
    fn entries(&self) -> impl Iterator<Item = (AttributeValue, f32)> + '_ {
        self.values.into_iter().zip(self.weights)
    }

    /// Adds up to four values.
    fn take(
        &mut self,
        entries: impl Iterator<Item = (AttributeValue, f32)>,
        keys: &Keys,
        turn: u64,
    ) {
        let mut pool = Pool::default();
        for (value, weight) in self.entries().chain(entries) {
            pool.add(value, f64::from(weight));
        }
        pool.reduce(keys, turn);
        *self = Self::default();
        for (way, (value, weight)) in pool.entries().enumerate() {
            (self.values[way], self.weights[way]) = (value, weight as f32);
        }
    }
}

/// How much was drawn of two distributions that are compared.
struct Drawn {
    now: f64,
    ordinary: f64,
    per_client: f64,
    /// Both as one number: chance differs between samples of n and m as against the truth with
    /// 1 / (1/n + 1/m).
    effective: f64,
}

impl Drawn {
    fn new(now: f64, ordinary: f64, per_client: f64) -> Option<Self> {
        let effective = 1.0 / (1.0 / now + 1.0 / ordinary) / per_client;
        (now > 0.0 && ordinary > 0.0).then_some(Self { now, ordinary, per_client, effective })
    }

    fn shares(&self, now: f64, ordinary: f64) -> (f64, f64) {
        (now / self.now, ordinary / self.ordinary)
    }

    /// By what is ordinary, which chance of now cannot touch, or by so many clients now that chance
    /// did not make them.
    fn has_own_cell(&self, p: f64, q: f64) -> bool {
        q >= OWN_SHARE
            || (p >= 2.0 * OWN_SHARE && p * self.now / self.per_client >= FREQUENT_CLIENTS)
    }
}

/// Sums over cells.
#[derive(Default)]
struct Cells {
    p: f64,
    q: f64,
    bits: f64,
    by_chance: f64,
}

impl Cells {
    fn add(&mut self, p: f64, q: f64, drawn: &Drawn) {
        self.p += p;
        self.q += q;
        self.bits += cell_bits(p, q);
        // The last cell follows from the others: hence 1 − q, as the variance of a binomial.
        self.by_chance += chance_bits(drawn.effective * q) * (1.0 - q) / drawn.effective;
    }

    /// With the cell of all the rest, and without what chance makes.
    fn divergence(mut self, drawn: &Drawn) -> f64 {
        let (p, q) = ((1.0 - self.p).max(0.0), (1.0 - self.q).max(0.0));
        self.add(p, q, drawn);
        self.bits - self.by_chance
    }
}

/// What one cell adds to the divergence of two distributions, in bits.
fn cell_bits(p: f64, q: f64) -> f64 {
    let part =
        |share: f64| if share > 0.0 { share * libm::log2(2.0 * share / (p + q)) } else { 0.0 };
    0.5 * (part(p) + part(q))
}

/// What a cell is expected to add, times the number drawn, if `expected` draws fall into it on
/// average: the mean of `cell_bits(x, expected)` over x with a Poisson distribution. Because a cell's
/// part is proportional to its numbers, one function of one number is enough. Below the table every
/// draw is the only one of its cell; above, it is the limit of a χ² with one degree of freedom.
fn chance_bits(expected: f64) -> f64 {
    let place = 2.0 * (libm::log2(expected) - CHANCE_FROM);
    if place.is_nan() || place < 0.0 {
        return expected.max(0.0);
    }
    let below = place as usize;
    match CHANCE.get(below..below + 2) {
        Some(pair) => pair[0] + (pair[1] - pair[0]) * (place - below as f64),
        None => 1.0 / (8.0 * core::f64::consts::LN_2),
    }
}

/// A value with this share of what is ordinary has a cell of its own.
const OWN_SHARE: f64 = 0.005;

/// A value of so many clients now has a cell of its own: of a value as rare as all in the last cell,
/// chance makes eight of a few hundred less than once in a million.
const FREQUENT_CLIENTS: f64 = 8.0;

const LEAST_WEIGHT: f32 = 1e-6;

/// The binary logarithm of where [`CHANCE`] begins.
const CHANCE_FROM: f64 = -10.0;

/// [`chance_bits`] by its definition, at 2^−10, 2^−9.5, … 2^10.
const CHANCE: [f64; 41] = [
    0.00097, 0.00137, 0.00193, 0.00272, 0.00383, 0.00539, 0.00756, 0.01057, 0.01472, 0.02041,
    0.02813, 0.03847, 0.05205, 0.06952, 0.09130, 0.11738, 0.14699, 0.17817, 0.20764, 0.23111,
    0.24439, 0.24528, 0.23537, 0.22006, 0.20572, 0.19589, 0.19022, 0.18693, 0.18485, 0.18346,
    0.18252, 0.18186, 0.18141, 0.18109, 0.18087, 0.18071, 0.18060, 0.18052, 0.18047, 0.18043,
    0.18040,
];

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use seawall_model::Attributes;

    use super::*;

    const JA4: Attribute = Attribute::Ja4;
    const SEED: [u64; 2] = [3, 6];

    /// A mix of `count` values of JA4, the share of each following from its number.
    fn mix(seed: u64, count: u64, value: impl Fn(u64) -> u32) -> Composition {
        let keys = Keys::new(SEED);
        let draws = Keys::new([seed, 7]);
        let mut top = Top::new(keys);
        for n in 0..count {
            let mut attributes = Attributes::default();
            attributes.set(JA4, value(draws.mix_well(n)));
            top.observe(&attributes, draws.mix_well(!n));
        }
        let mut composition = Composition::new(SEED);
        composition.add_top(&top, JA4, JA4.index());
        composition
    }

    /// Ordinary browsers: thirty values with shares as of Zipf's law, and a tail of rare ones.
    fn browsers(random: u64) -> u32 {
        let share = (random >> 40) as f64 / 16_777_216.0;
        if share < 0.07 {
            return 10_000 + (random as u32 & 0xffff);
        }
        let rank = libm::exp((share - 0.07) / 0.93 * libm::log(30.0));
        1 + rank as u32
    }

    fn divergences(count: u64, value: fn(u64) -> u32) -> Vec<f64> {
        let ordinary = mix(0, 40_000, browsers);
        (1..=60)
            .map(|seed| {
                mix(seed, count, value).divergence(&ordinary, JA4, 1.0).expect("both are known")
            })
            .collect()
    }

    fn mean(of: &[f64]) -> f64 {
        of.iter().sum::<f64>() / of.len() as f64
    }

    #[test]
    fn the_same_mix_is_no_divergence_however_few_requests_there_are() {
        for count in [3, 10, 50, 200, 2_000] {
            let got = divergences(count, browsers);
            // Without taking off the part of chance: 0.85 bits of 3, and 0.13 of 50.
            let tolerance = 0.003 + 0.12 / count as f64;
            assert!(mean(&got).abs() < tolerance, "{count}: {}", mean(&got));
        }
    }

    #[test]
    fn a_foreign_half_shows_in_fifty_requests_as_in_two_thousand() {
        fn flooded(random: u64) -> u32 {
            if random & 1 == 0 { 999 } else { browsers(random) }
        }
        let (few, many) = (divergences(50, flooded), divergences(2_000, flooded));
        assert!(mean(&many) > 0.2, "{}", mean(&many));
        assert!((mean(&few) - mean(&many)).abs() < 0.05, "{} {}", mean(&few), mean(&many));
        let worst = few.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = divergences(50, browsers).into_iter().fold(0.0, f64::max);
        assert!(worst > highest, "every flood of {worst} is beyond every peace of {highest}");
    }

    #[test]
    fn values_made_up_for_each_request_show_too() {
        fn made_up(random: u64) -> u32 {
            if random & 1 == 0 { random as u32 | 1 << 31 } else { browsers(random) }
        }
        assert!(mean(&divergences(500, made_up)) > 0.1);
    }

    #[test]
    fn nothing_in_common_is_one_bit_and_nothing_known_is_none() {
        let ordinary = mix(0, 5_000, browsers);
        let other = mix(1, 5_000, |_| 999);
        let bits = other.divergence(&ordinary, JA4, 1.0).expect("both are known");
        assert!((bits - 1.0).abs() < 0.01, "{bits}");
        assert_eq!(other.divergence(&ordinary, Attribute::Path, 1.0), None);
        assert_eq!(Composition::new(SEED).divergence(&ordinary, JA4, 1.0), None);
    }

    #[test]
    fn many_requests_of_few_clients_count_as_few() {
        // Ten clients, each with a browser of its own that is rare otherwise, and ten requests.
        let ordinary = mix(0, 40_000, browsers);
        let got: Vec<_> = (1..=60)
            .map(|seed| {
                let clients = mix(seed, 10, browsers);
                let mut now = Composition::new(SEED);
                now.add_composition(&clients, 10.0);
                let as_clients = now.divergence(&ordinary, JA4, 10.0).expect("both are known");
                let as_requests = now.divergence(&ordinary, JA4, 1.0).expect("both are known");
                assert!(as_clients < as_requests);
                as_clients
            })
            .collect();
        assert!(mean(&got).abs() < 0.03, "{}", mean(&got));
    }

    #[test]
    fn what_is_beyond_the_ordinary_is_the_excess_alone() {
        let ordinary = mix(0, 4_000, browsers);
        let mut now = ordinary.clone();
        now.add_composition(&mix(1, 1_000, |_| 999), 1.0);
        let excess = now.beyond(&ordinary, 1.0);
        assert!((excess.weight(JA4) - 1_000.0).abs() < 20.0, "{}", excess.weight(JA4));
        assert!(excess.share(JA4, 999) > 0.98);
    }

    #[test]
    fn forgetting_halves_weights_and_keeps_shares() {
        let mut composition = mix(0, 5_000, browsers);
        let before = composition.share(JA4, 2);
        for _ in 0..10 {
            composition.decay(0.5);
        }
        assert!((composition.weight(JA4) - 5_000.0 / 1_024.0).abs() < 0.1);
        assert!((composition.share(JA4, 2) - before).abs() < 0.02);
        for _ in 0..30 {
            composition.decay(0.5);
        }
        assert_eq!(composition.weight(JA4), 0.0);
    }

    #[test]
    fn a_long_memory_keeps_true_shares_under_a_flood_of_single_values() {
        let mut memory = Composition::new(SEED);
        for turn in 0..60 {
            memory.decay(0.99);
            let window =
                mix(turn, 400, |random| if random % 10 == 0 { 2 } else { random as u32 | 1 << 31 });
            memory.add_composition(&window, 1.0);
        }
        let share = memory.share(JA4, 2);
        assert!((share - 0.1).abs() < 0.02, "{share}");
    }

    #[test]
    fn what_chance_makes_of_a_cell_is_what_the_table_says() {
        for expected in [0.000_1, 0.01, 0.3, 1.0, 1.4, 5.0, 40.0, 900.0, 5_000.0] {
            let (mut sum, mut ln_factorial) = (0.0, 0.0);
            for x in 0..8_000 {
                let x = f64::from(x);
                ln_factorial += if x > 0.0 { libm::log(x) } else { 0.0 };
                let probability = libm::exp(x * libm::log(expected) - expected - ln_factorial);
                sum += probability * cell_bits(x, expected);
            }
            let got = chance_bits(expected);
            assert!((got / sum - 1.0).abs() < 0.02, "{expected}: {got}, not {sum}");
        }
        assert_eq!(chance_bits(0.0), 0.0);
    }
}
