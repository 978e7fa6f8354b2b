//! Exponential decay in integers, so that replays agree to the bit on every machine.
//!
//! Half-life 30 s (`detection.md`, amendment 3). Time is counted in ticks of 1/512 half-life, so
//! that whole half-lives are a shift and the rest is at most nine multiplications. Values are
//! fixed-point with twelve binary places in 32 bits.

use core::sync::atomic::{AtomicU64, Ordering};

use seawall_model::Instant;

/// One unit of value in fixed point.
pub(crate) const ONE: u32 = 1 << 12;

const HALF_LIFE_NANOS: u64 = 30_000_000_000;
const TICKS_PER_HALF_LIFE: u32 = 512;
const NANOS_PER_TICK: u64 = HALF_LIFE_NANOS / TICKS_PER_HALF_LIFE as u64;

/// `FACTORS[k]` is 2^(-2^k / 512) with 32 binary places.
const FACTORS: [u64; 9] = factors();

/// A decaying value with the tick it was last brought up to date, packed for one atomic word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decayed {
    /// Fixed point, see [`ONE`].
    value: u32,
    /// Ticks since the start of time; wraps after eight years.
    tick: u32,
}

impl Decayed {
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self { value: bits as u32, tick: (bits >> 32) as u32 }
    }

    pub(crate) const fn to_bits(self) -> u64 {
        ((self.tick as u64) << 32) | self.value as u64
    }

    /// The value at `now`, in fixed point. A `now` before the last update changes nothing: workers
    /// read the clock before they get here, so small steps back are normal.
    pub(crate) fn at(self, now: Instant) -> u32 {
        let passed = tick_of(now).saturating_sub(self.tick);
        let halvings = passed / TICKS_PER_HALF_LIFE;
        if halvings >= 32 {
            return 0;
        }
        let mut value = u64::from(self.value >> halvings);
        let rest = passed % TICKS_PER_HALF_LIFE;
        for (bit, factor) in FACTORS.iter().enumerate() {
            if rest & (1 << bit) != 0 {
                // Rounded to nearest: rounding down at every tick would forget small values early.
                value = (value * factor + (1 << 31)) >> 32;
            }
        }
        u32::try_from(value).unwrap_or(u32::MAX)
    }

    /// The value with `more`, in fixed point, added at `now`; saturates.
    pub(crate) fn plus(self, now: Instant, more: u32) -> Self {
        let value = self.at(now).saturating_add(more);
        Self { value, tick: tick_of(now).max(self.tick) }
    }
}

/// Adds `more`, in fixed point, to the [`Decayed`] in `word`; what it is then. Workers at once lose nothing.
pub(crate) fn add(word: &AtomicU64, now: Instant, more: u32) -> u32 {
    let mut after = 0;
    let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
        let sum = Decayed::from_bits(bits).plus(now, more);
        after = sum.value;
        Some(sum.to_bits())
    });
    after
}

fn tick_of(now: Instant) -> u32 {
    // Eight years of uptime fit.
    u32::try_from(now.as_nanos() / NANOS_PER_TICK).unwrap_or(u32::MAX)
}

const fn factors() -> [u64; 9] {
    // 2^-1, 2^(-1/2), 2^(-1/4)... by repeated square roots, with 64 binary places.
    let mut factors = [0; 9];
    let mut root: u128 = 1 << 63;
    let mut bit = 9;
    while bit > 0 {
        bit -= 1;
        root = (root << 64).isqrt();
        factors[bit] = (root >> 32) as u64;
    }
    factors
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use proptest::prelude::proptest;

    use super::{Decayed, Instant, ONE};

    fn secs(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    #[test]
    fn value_halves_every_thirty_seconds() {
        let value = Decayed::default().plus(secs(5), 100 * ONE);
        for (at, want) in [(5, 100), (35, 50), (65, 25), (0, 100), (5 + 30 * 40, 0)] {
            assert_eq!(value.at(secs(at)), want * ONE, "at {at} s");
        }
        let mid = value.at(secs(20));
        assert!(mid.abs_diff(289_631) < 200, "2^-0.5 of 100 units: {mid}");
    }

    #[test]
    fn sum_saturates() {
        let value = Decayed::default().plus(secs(0), u32::MAX).plus(secs(0), u32::MAX);
        assert_eq!(value.at(secs(0)), u32::MAX);
    }

    proptest! {
        #[test]
        fn bits_survive_packing(bits: u64) {
            assert_eq!(Decayed::from_bits(bits).to_bits(), bits);
        }

        #[test]
        fn value_never_grows_by_waiting(units in 0u32..1_000_000 / 4, a in 0u64..200_000, b in 0u64..200_000) {
            let at = |ms| Instant::from_nanos(0) + Duration::from_millis(ms);
            let value = Decayed::default().plus(at(0), units * ONE);
            assert!(value.at(at(a.max(b))) <= value.at(at(a.min(b))));
        }

        #[test]
        fn decay_in_steps_agrees_with_decay_at_once(
            units in 1u32..10_000,
            steps in proptest::collection::vec(1u64..5_000, 1..60),
        ) {
            let start = Decayed::default().plus(Instant::from_nanos(0), units * ONE);
            let mut stepped = start;
            let mut now = Instant::from_nanos(0);
            for ms in &steps {
                now = now + Duration::from_millis(*ms);
                stepped = stepped.plus(now, 0);
            }
            let slack = u32::try_from(steps.len()).expect("few steps") * 5;
            assert!(stepped.at(now).abs_diff(start.at(now)) <= slack);
        }
    }
}
