//! The mix of requests, whatever their number: how the values of fourteen attributes are distributed,
//! now or over the last minutes, and how far two mixes are apart.
//!
//! - **Signal**: Jensen-Shannon divergence in bits, 0 (the same) to 1 (nothing in common), with what
//!   chance alone would make of so few requests taken off, so that it is about 0 in peace for a site
//!   with 5 requests a second as for one with 5,000.
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

    /// The mean of [`Self::divergence`] over the attributes that both know. `None` if there is none.
    pub fn mean_divergence(&self, ordinary: &Self, per_client: f64) -> Option<f64> {
        let known = Self::ATTRIBUTES
            .iter()
            .filter_map(|attribute| self.divergence(ordinary, *attribute, per_client));
        let (sum, count) = known.fold((0.0, 0), |(sum, count), bits| (sum + bits, count + 1));
        (count > 0).then(|| sum / f64::from(count))
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
        let by_chance = self.by_chance.min(0.999);
        (self.bits - by_chance) / (1.0 - by_chance)
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

const LEAST_WEIGHT: f32 = 1e-3;

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
