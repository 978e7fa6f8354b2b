//! A small deterministic generator, so that a seed means the same run everywhere.
//!
//! SplitMix64 (Steele, Lea, Flood 2014): one addition and a mixer. Not for secrets.

/// A stream of numbers that depends on its seed and label alone.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream `label` of `seed`. Streams with different labels are independent, so that adding
    /// a kind of reader does not change what the others do.
    pub fn stream(seed: u64, label: &str) -> Self {
        // FNV-1a over the label spreads it over 64 bits before it meets the seed.
        let label = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut rng = Self { state: seed ^ label };
        rng.draw();
        rng
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 for a `bound` of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.draw()) * (bound as u128);
        (wide >> 64) as usize
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rng;

    #[test]
    fn streams_repeat_and_differ_by_label() {
        let take = |seed, label| {
            let mut rng = Rng::stream(seed, label);
            [rng.draw(), rng.draw(), rng.draw()]
        };
        assert_eq!(take(1, "a"), take(1, "a"));
        assert_ne!(take(1, "a"), take(1, "b"));
        assert_ne!(take(1, "a"), take(2, "a"));
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut rng = Rng::stream(7, "bounds");
        for bound in 0..200 {
            let drawn = rng.below(bound);
            assert!(drawn < bound.max(1), "{drawn} of {bound}");
            let unit = rng.unit();
            assert!((0.0..1.0).contains(&unit));
        }
    }
}
