//! How many different ones: HyperLogLog, 2 KiB for a window and 24 bytes for a prefix.
//!
//! Registers hold the longest run of leading zeros seen, so the order and the number of repetitions
//! do not matter and merging is a maximum. The estimate is Ertl's, which needs no tables and no
//! switch between small and large numbers. It deliberately does **not** remember who.
//!
//! *Sources:* Flajolet et al., "HyperLogLog" (2007); Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (arXiv:1702.01284), algorithm 6.

/// Counts different values with a relative standard error of 2.3 %. 2 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distinct {
    registers: [u8; Self::REGISTERS],
}

impl Distinct {
    const BITS: u32 = 11;
    const REGISTERS: usize = 1 << Self::BITS;

    /// Relative standard error: 1.04 / √2048.
    pub const RELATIVE_ERROR: f64 = 0.023;

    /// None seen.
    pub const fn new() -> Self {
        Self { registers: [0; Self::REGISTERS] }
    }

    /// Adds one, by a hash all of whose bits are good and that nobody outside can choose. O(1).
    #[inline]
    pub fn insert(&mut self, hash: u64) {
        let register = &mut self.registers[(hash >> (64 - Self::BITS)) as usize];
        *register = (*register).max(rank(hash, Self::BITS));
    }

    /// Adds all that `other` saw under the same seed.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = (*mine).max(*theirs);
        }
    }

    /// How many there were.
    pub fn estimate(&self) -> f64 {
        estimate(self.registers.iter().copied(), Self::BITS)
    }

    /// How many there were here or in `other`. No allocation.
    pub fn union_estimate(&self, other: &Self) -> f64 {
        let both = self.registers.iter().zip(&other.registers).map(|(a, b)| *a.max(b));
        estimate(both, Self::BITS)
    }

    /// How many there were that `other` did not see: never less than none.
    pub fn beyond(&self, other: &Self) -> f64 {
        (self.union_estimate(other) - other.estimate()).max(0.0)
    }

    /// Forgets all.
    pub const fn clear(&mut self) {
        self.registers = [0; Self::REGISTERS];
    }

    /// Whether none was seen.
    pub fn is_empty(&self) -> bool {
        self.registers.iter().all(|register| *register == 0)
    }
}

impl Default for Distinct {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts different values with a relative standard error of 18 %, in 24 bytes: 32 registers of six
/// bits (amendment 6 of the design). Enough to tell one from ten from a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FewDistinct {
    // Bit b of the register r is bit r of word b: all 32 registers are compared at once.
    planes: [u32; 6],
}

impl FewDistinct {
    const BITS: u32 = 5;

    /// Relative standard error: 1.04 / √32.
    pub const RELATIVE_ERROR: f64 = 0.184;

    /// Adds one, by a hash all of whose bits are good and that nobody outside can choose. O(1).
    #[inline]
    pub fn insert(&mut self, hash: u64) {
        let place = (hash >> (64 - Self::BITS)) as u32;
        let rank = rank(hash, Self::BITS);
        if rank > self.register(place) {
            self.set(place, rank);
        }
    }

    /// Adds all that `other` saw under the same seed.
    pub fn merge(&mut self, other: &Self) {
        for place in 0..u32::BITS {
            let theirs = other.register(place);
            if theirs > self.register(place) {
                self.set(place, theirs);
            }
        }
    }

    /// How many there were.
    pub fn estimate(&self) -> f64 {
        estimate((0..u32::BITS).map(|place| self.register(place)), Self::BITS)
    }

    #[inline]
    fn register(&self, place: u32) -> u8 {
        let bit = |plane: usize| (((self.planes[plane] >> place) & 1) as u8) << plane;
        bit(0) | bit(1) | bit(2) | bit(3) | bit(4) | bit(5)
    }

    #[inline]
    fn set(&mut self, place: u32, rank: u8) {
        for (plane, word) in self.planes.iter_mut().enumerate() {
            *word = (*word & !(1 << place)) | (u32::from(rank >> plane & 1) << place);
        }
    }
}

/// The place of the first one bit after the `bits` that choose the register, from 1.
#[inline]
const fn rank(hash: u64, bits: u32) -> u8 {
    // The bit set below ends the run where the hash ends.
    (((hash << bits) | (1 << (bits - 1))).leading_zeros() + 1) as u8
}

/// Ertl's estimate from 2^`bits` registers.
fn estimate(registers: impl Iterator<Item = u8>, bits: u32) -> f64 {
    let mut histogram = [0u32; 66];
    registers.for_each(|register| histogram[usize::from(register)] += 1);
    let m = f64::from(1u32 << bits);
    let longest = (64 - bits) as usize;
    let mut z = m * tau(1.0 - f64::from(histogram[longest + 1]) / m);
    for count in histogram[1..=longest].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    // α∞ = 1 / (2 ln 2). All registers empty make z infinite and the estimate 0.
    m * m / (2.0 * core::f64::consts::LN_2) / z
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z <= before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = libm::sqrt(x);
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z >= before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::keys::Keys;

    use super::*;

    fn hashes(seed: u64, count: u64) -> impl Iterator<Item = u64> {
        let keys = Keys::new([seed, 3]);
        (0..count).map(move |n| keys.mix_well(n))
    }

    fn of(hashes: impl IntoIterator<Item = u64>) -> Distinct {
        let mut distinct = Distinct::new();
        hashes.into_iter().for_each(|hash| distinct.insert(hash));
        distinct
    }

    fn few(hashes: impl IntoIterator<Item = u64>) -> FewDistinct {
        let mut distinct = FewDistinct::default();
        hashes.into_iter().for_each(|hash| distinct.insert(hash));
        distinct
    }

    #[test]
    fn estimates_are_within_three_standard_errors() {
        for count in [1, 10, 100, 1_000, 3_000, 10_000, 100_000] {
            for seed in 0..5 {
                let estimate = of(hashes(seed, count)).estimate();
                let error = (estimate / count as f64 - 1.0).abs();
                assert!(
                    error < 3.0 * Distinct::RELATIVE_ERROR,
                    "seed {seed}: {estimate} of {count}"
                );
            }
        }
    }

    #[test]
    fn estimates_are_right_on_average_and_as_scattered_as_they_say() {
        for count in [20, 500, 5_000] {
            let (mut sum, mut squares) = (0.0, 0.0);
            for seed in 0..300 {
                let error = few(hashes(seed, count)).estimate() / count as f64 - 1.0;
                sum += error / 300.0;
                squares += error * error / 300.0;
            }
            assert!(sum.abs() < 0.05, "{count}: off by {sum}");
            assert!(libm::sqrt(squares) < 1.15 * FewDistinct::RELATIVE_ERROR, "{count}: {squares}");
        }
    }

    #[test]
    fn nothing_is_estimated_of_nothing() {
        assert_eq!(Distinct::new().estimate(), 0.0);
        assert_eq!(FewDistinct::default().estimate(), 0.0);
        assert!(Distinct::new().is_empty() && !of([1]).is_empty());
    }

    #[test]
    fn the_longest_run_has_a_register_value() {
        let longest = of([0]);
        assert_eq!(longest.registers[0], 54);
        assert!(longest.estimate() > 0.0);
        assert!(few([0]).estimate() > 0.0);
        assert!(of((0..2_048).map(|register| register << 53)).estimate() > 1e15);
    }

    #[test]
    fn what_is_new_is_what_the_union_has_more() {
        let before = of(hashes(1, 5_000));
        let after = of(hashes(1, 6_000).skip(4_000));
        let new = after.beyond(&before);
        assert!((new - 1_000.0).abs() < 3.0 * 0.023 * 6_000.0, "{new}");
        assert_eq!(before.beyond(&before), 0.0);
    }

    proptest! {
        #[test]
        fn merging_is_the_union_in_any_order(
            one in prop::collection::vec(any::<u64>(), 0..300),
            other in prop::collection::vec(any::<u64>(), 0..300),
        ) {
            let all = one.iter().chain(&other).copied();
            let (mut ab, mut ba) = (of(one.clone()), of(other.clone()));
            prop_assert_eq!(ab.union_estimate(&ba), of(all.clone()).estimate());
            ab.merge(&of(other.clone()));
            ba.merge(&of(one.clone()));
            prop_assert_eq!(&ab, &ba);
            prop_assert_eq!(&ab, &of(all.clone()));
            let mut merged = few(one.clone());
            merged.merge(&few(other.clone()));
            prop_assert_eq!(merged, few(all));
        }

        #[test]
        fn packed_registers_are_kept_apart(
            writes in prop::collection::vec((0u32..32, 0u8..60), 0..200),
        ) {
            let (mut packed, mut plain) = (FewDistinct::default(), [0; 32]);
            for (place, rank) in writes {
                packed.set(place, rank);
                plain[place as usize] = rank;
            }
            for place in 0..32 {
                prop_assert_eq!(packed.register(place), plain[place as usize]);
            }
        }
    }

    #[test]
    fn a_few_stay_small() {
        assert_eq!(size_of::<FewDistinct>(), 24);
        assert_eq!(size_of::<Distinct>(), 2_048);
    }
}
