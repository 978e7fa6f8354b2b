//! How it began: requests of each of the last 128 seconds.

/// Requests by second.
#[derive(Clone, Debug)]
pub(crate) struct Onset {
    per_s: [f32; SECONDS],
    /// Whole seconds so far.
    seconds: usize,
    sum: f64,
    passed_s: f64,
}

const SECONDS: usize = 128;
/// Below twice the ordinary there is no beginning to speak of.
const MIN_TIMES: f64 = 2.0;

impl Onset {
    pub(crate) const fn new() -> Self {
        Self { per_s: [0.0; SECONDS], seconds: 0, sum: 0.0, passed_s: 0.0 }
    }

    /// Takes in what came in `seconds`.
    pub(crate) fn take(&mut self, requests: f64, seconds: f64) {
        self.sum += requests;
        self.passed_s += seconds;
        if self.passed_s < 0.99 {
            return;
        }
        self.per_s[self.seconds % SECONDS] = (self.sum / self.passed_s) as f32;
        self.seconds += 1;
        (self.sum, self.passed_s) = (0.0, 0.0);
    }

    /// Seconds that it took from a tenth of what came on top of what was `expected` to eight tenths. `None` if
    /// there was none, or it is not seen where it began.
    pub(crate) fn seconds(&self, expected: f64) -> Option<f64> {
        let known = self.seconds.min(SECONDS);
        let most = (0..known).map(|ago| self.ago(ago)).fold(0.0, f64::max) - expected;
        if most < (MIN_TIMES - 1.0) * expected || most < 10.0 {
            return None;
        }
        let high = |ago: &usize| self.ago(*ago) >= expected + 0.8 * most;
        let low = |ago: &usize| self.ago(*ago) <= expected + 0.1 * most;
        // The first second that was high, and before it the last that was low.
        let first_high = (0..known).rev().find(high)?;
        let last_low = (first_high..known).find(low)?;
        Some((last_low - first_high) as f64)
    }

    fn ago(&self, seconds: usize) -> f64 {
        f64::from(self.per_s[(self.seconds + SECONDS - 1 - seconds) % SECONDS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(quiet: usize, rates: impl Iterator<Item = f64>) -> Option<f64> {
        let mut onset = Onset::new();
        (0..quiet * 4).for_each(|_| onset.take(5.0, 0.25));
        rates.for_each(|per_s| (0..4).for_each(|_| onset.take(per_s / 4.0, 0.25)));
        onset.seconds(20.0)
    }

    #[test]
    fn a_step_takes_a_second_and_a_crowd_a_minute() {
        assert_eq!(after(30, (0..10).map(|_| 500.0)), Some(1.0));
        let crowd = after(30, (0..60).map(|second| 20.0 + 380.0 * f64::from(second) / 60.0));
        assert!(crowd.is_some_and(|seconds| seconds > 30.0), "{crowd:?}");
    }

    #[test]
    fn where_nothing_began_or_nobody_saw_it_nothing_is_said() {
        assert_eq!(after(60, core::iter::empty()), None);
        assert_eq!(after(0, (0..200).map(|_| 500.0)), None);
    }
}
