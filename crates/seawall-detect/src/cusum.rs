//! One-sided cumulative sums of residuals: how a small change that lasts is told from a large one that is chance.
//!
//! Signal: residuals in units of their own spread. Trip: the sum of what exceeds the allowance passes the
//! bar. Recovery: the sum is cut a quarter above the bar, so that the end of a long attack is noticed as
//! soon as that of a short one; and a residual that is ordinary halves what is past its bar: what comes after the end of
//! an attack has to be as much again to be an alarm. Blind spot: what stays below the allowance.
//!
//! *Source:* Page 1954; the residual of counts is the variance-stabilised one of Anscombe 1948
//! (detection.md §3).

/// How sensitive a sum is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// Residual that is ordinary (k).
    pub(crate) allowance: f64,
    /// Sum that is an alarm (h).
    pub(crate) decision: f64,
    /// What one step adds at most, in parts of the bar: so that one window alone, with the page of a hundred
    /// images that it may hold, is no alarm.
    pub(crate) max_step: f64,
}

/// A cumulative sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cusum {
    sum: f64,
    excess: f64,
}

/// Above the bar a sum grows no further than to this multiple of it.
const CEILING: f64 = 1.25;
impl Cusum {
    /// Adds a residual, and with it how much more there was than expected, in the channel's own unit.
    pub(crate) fn step(&mut self, residual: f64, excess: f64, bar: &Bar) {
        let step = (residual - bar.allowance).min(bar.max_step * bar.decision);
        if step <= 0.0 && self.is_alarmed(bar) {
            self.sum = bar.decision / 2.0;
            return;
        }
        self.sum = (self.sum + step).clamp(0.0, CEILING * bar.decision);
        self.excess = if self.sum > 0.0 { self.excess + excess } else { 0.0 };
    }

    /// Whether the sum is past its bar.
    pub(crate) fn is_alarmed(&self, bar: &Bar) -> bool {
        self.sum > bar.decision
    }

    /// Whether it is past half of it: too high to learn from what is there.
    pub(crate) fn is_rising(&self, bar: &Bar) -> bool {
        self.sum > bar.decision / 2.0
    }

    /// How much more than expected there was since the sum last left zero.
    pub(crate) const fn excess(&self) -> f64 {
        self.excess
    }
}

/// The residual of a count: 2(√(x+⅜) − √(μ+⅜)), of variance 1 if arrivals were independent.
pub(crate) fn anscombe(count: f64, expected: f64) -> f64 {
    2.0 * (libm::sqrt(count.max(0.0) + 0.375) - libm::sqrt(expected.max(0.0) + 0.375))
}

/// How much more residuals spread than those of independent arrivals, and how long one drags others
/// along, learned: requests come in pages, pages in visits, and visits by the time of day.
///
/// What matters to a sum is the spread of many residuals together, which is wider than that of one if neighbours are
/// alike: by √((1+r)/(1−r)) where r is what they have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    mean_square: f64,
    mean_product: f64,
    steps: f64,
    last: f64,
}

/// Before anything is known: pages of about six requests.
const PRIOR: f64 = 6.0;
/// How many steps the prior is worth.
const PRIOR_STEPS: f64 = 20.0;
/// Seconds over which a spread is learned, so that a night's quiet does not forget the day's.
const MEMORY_S: f64 = 3.0 * 3_600.0;
/// Neighbours are never taken to have more in common than this: it widens threefold.
const MAX_COMMON: f64 = 0.8;

impl Default for Spread {
    fn default() -> Self {
        Self { mean_square: PRIOR, mean_product: 0.0, steps: PRIOR_STEPS, last: 0.0 }
    }
}

impl Spread {
    /// The standard deviation of one residual, never below that of independent arrivals.
    pub(crate) fn of_one(&self) -> f64 {
        libm::sqrt(self.mean_square.max(1.0))
    }

    /// The standard deviation that one has as part of a sum of many.
    pub(crate) fn of_many(&self) -> f64 {
        let common = (self.mean_product / self.mean_square.max(1.0)).clamp(0.0, MAX_COMMON);
        self.of_one() * libm::sqrt((1.0 + common) / (1.0 - common))
    }

    /// The standard deviation of what one shares with the next: of what drags on.
    pub(crate) fn of_drift(&self) -> f64 {
        libm::sqrt(self.mean_product.max(0.0))
    }

    /// Learns a residual of a step of `seconds`. What is beyond four deviations counts as four.
    pub(crate) fn learn(&mut self, residual: f64, seconds: f64) {
        let bound = 4.0 * self.of_one();
        let residual = residual.clamp(-bound, bound);
        self.steps += 1.0;
        let gain = (seconds / MEMORY_S).max(1.0 / self.steps).min(0.05);
        self.mean_square += gain * (residual * residual - self.mean_square);
        self.mean_product += gain * (residual * self.last - self.mean_product);
        self.last = residual;
    }

    /// The three numbers that are kept of it.
    pub(crate) const fn parts(&self) -> [f64; 3] {
        [self.mean_square, self.mean_product, self.steps]
    }

    /// From these; `None` if they are none that it could have.
    pub(crate) fn from_parts([mean_square, mean_product, steps]: [f64; 3]) -> Option<Self> {
        let is_sound = (0.0..1e12).contains(&mean_square)
            && (-1e12..1e12).contains(&mean_product)
            && (PRIOR_STEPS..1e12).contains(&steps);
        is_sound.then_some(Self { mean_square, mean_product, steps, last: 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BAR: Bar = Bar { allowance: 1.0, decision: 10.0, max_step: 0.55 };

    #[test]
    fn an_alarm_ends_with_the_first_ordinary_residual_and_has_to_be_earned_again() {
        let mut cusum = Cusum::default();
        (0..100).for_each(|_| cusum.step(50.0, 1.0, &BAR));
        assert!(cusum.is_alarmed(&BAR));
        cusum.step(0.9, 0.0, &BAR);
        assert!(!cusum.is_alarmed(&BAR));
        cusum.step(3.0, 1.0, &BAR);
        assert!(!cusum.is_alarmed(&BAR), "one a little high is no alarm again");
    }

    #[test]
    fn one_window_however_full_is_no_alarm_and_two_are() {
        let mut cusum = Cusum::default();
        cusum.step(1e9, 1.0, &BAR);
        assert!(!cusum.is_alarmed(&BAR) && cusum.is_rising(&BAR));
        cusum.step(1e9, 1.0, &BAR);
        assert!(cusum.is_alarmed(&BAR));
        assert!((cusum.excess() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_end_of_a_long_attack_is_noticed_as_soon_as_that_of_a_short_one() {
        let steps_after = |steps: usize| {
            let mut cusum = Cusum::default();
            (0..steps).for_each(|_| cusum.step(50.0, 1.0, &BAR));
            (0..)
                .take_while(|_| {
                    cusum.step(0.0, 0.0, &BAR);
                    cusum.is_alarmed(&BAR)
                })
                .count()
        };
        assert!(steps_after(3) <= steps_after(1_000_000));
        assert!(steps_after(1_000_000) <= 3);
    }

    #[test]
    fn residuals_within_the_allowance_never_add_up() {
        let mut cusum = Cusum::default();
        (0..100_000).for_each(|_| cusum.step(1.0, 1.0, &BAR));
        assert!(!cusum.is_rising(&BAR) && cusum.excess() < 1e-9);
    }

    #[test]
    fn an_outlier_does_not_widen_what_is_ordinary() {
        let mut spread = Spread::default();
        (0..2_000).for_each(|step| spread.learn(if step % 2 == 0 { 2.0 } else { -2.0 }, 0.25));
        let before = spread.of_one();
        assert!((before - 2.0).abs() < 0.1, "{before}");
        spread.learn(1e12, 0.25);
        assert!(spread.of_one() < 1.01 * before);
    }

    #[test]
    fn what_neighbours_have_in_common_widens_their_sum() {
        let mut alone = Spread::default();
        let mut alike = Spread::default();
        for step in 0..10_000 {
            let sign = |run: i32| if step / run % 2 == 0 { 3.0 } else { -3.0 };
            alone.learn(sign(1), 0.25);
            alike.learn(sign(8), 0.25);
        }
        assert!((alone.of_many() - alone.of_one()).abs() < 0.1);
        assert!(alike.of_many() > 2.0 * alike.of_one(), "{alike:?}");
        assert!(alike.of_many() <= 3.01 * alike.of_one());
    }

    #[test]
    fn a_spread_is_never_below_that_of_independent_arrivals() {
        let mut spread = Spread::default();
        (0..100_000).for_each(|_| spread.learn(0.0, 16.0));
        assert!((spread.of_one() - 1.0).abs() < 1e-9);
    }
}
