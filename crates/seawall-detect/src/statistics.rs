//! How sure one may be: an upper bound on a share, and how likely chance alone is.
//!
//! Separate because a licence to refuse rests on these few figures, so that they are held against
//! published tables and exact values on their own. All functions are total: whatever is put in, the
//! answer is a number, and where nothing can be known it is the cautious one.
//!
//! *Source:* Clopper and Pearson (Biometrika 1934) for the bound; Numerical Recipes, 3rd ed., §6.4, for
//! the incomplete beta function; Abramowitz and Stegun 7.1.14 for the tail of the normal distribution.

use libm::{erfc, exp, expm1, fabs, fmax, fmin, lgamma, log, log1p, sqrt};

/// The confidence of every bound on collateral.
pub(crate) const CONFIDENCE: f64 = 0.95;

/// One-sided quantile of the normal distribution that goes with [`CONFIDENCE`].
const QUANTILE: f64 = 1.644_853_626_951_472_2;

/// ln √π.
const LN_SQRT_PI: f64 = 0.572_364_942_924_700_1;

/// Upper end of the one-sided Clopper-Pearson interval: with `confidence`, no more than this share has
/// the property that `hits` of `trials` had. 1 where nothing was tried.
///
/// A few microseconds for up to 10,000 trials.
pub(crate) fn clopper_pearson_upper(hits: u32, trials: u32, confidence: f64) -> f64 {
    if hits >= trials || confidence.is_nan() || confidence >= 1.0 {
        return 1.0;
    }
    if confidence <= 0.0 {
        return 0.0;
    }
    let n = f64::from(trials);
    if hits == 0 {
        return -expm1(log1p(-confidence) / n);
    }
    let (a, b) = (f64::from(hits) + 1.0, n - f64::from(hits));
    let beta = Beta::new(a, b);
    // The distribution function rises with the share: Newton's steps, kept inside a shrinking bracket.
    let (mut low, mut high) = (f64::from(hits) / n, 1.0);
    let mut share = fmin(fmax(wilson_upper(hits, trials), low), 1.0 - f64::EPSILON);
    for _ in 0..MAX_STEPS {
        let error = beta.below(share) - confidence;
        if error > 0.0 {
            high = share;
        } else {
            low = share;
        }
        let next = share - error / beta.density(share);
        let next = if next > low && next < high { next } else { f64::midpoint(low, high) };
        let is_settled = fabs(next - share) <= 1e-13 * next;
        share = next;
        if is_settled {
            break;
        }
    }
    share
}

/// Upper end of the one-sided Wilson interval at [`CONFIDENCE`]: cheaper than Clopper-Pearson and not a
/// guarantee, so it orders and never licenses. 1 where nothing was tried.
pub(crate) fn wilson_upper(hits: u32, trials: u32) -> f64 {
    if trials == 0 {
        return 1.0;
    }
    let n = f64::from(trials);
    let share = f64::from(hits.min(trials)) / n;
    let square = QUANTILE * QUANTILE;
    let middle = share + square / (2.0 * n);
    let spread = QUANTILE * sqrt(share * (1.0 - share) / n + square / (4.0 * n * n));
    fmin((middle + spread) / (1.0 + square / n), 1.0)
}

/// Natural logarithm of the probability that a share is as different as `hits_now` of `rows_now` from
/// `hits_before` of `rows_before` by chance alone (G-test, one degree of freedom); 0, which is
/// certainty, where it is not greater now or one side is empty.
///
/// In logarithms throughout: a flood's probability is far below the smallest number above 0.
pub(crate) fn g_test_ln_p(hits_now: u32, rows_now: u32, hits_before: u32, rows_before: u32) -> f64 {
    let (now, before) = (hits_now.min(rows_now), hits_before.min(rows_before));
    let is_greater =
        u64::from(now) * u64::from(rows_before) > u64::from(before) * u64::from(rows_now);
    if rows_now == 0 || rows_before == 0 || !is_greater {
        return 0.0;
    }
    let (n, m) = (f64::from(rows_now), f64::from(rows_before));
    let share = (f64::from(now) + f64::from(before)) / (n + m);
    let cells = [
        (f64::from(now), n * share),
        (f64::from(rows_now - now), n * (1.0 - share)),
        (f64::from(before), m * share),
        (f64::from(rows_before - before), m * (1.0 - share)),
    ];
    let g: f64 = cells
        .iter()
        .filter(|(observed, expected)| *observed > 0.0 && *expected > 0.0)
        .map(|(observed, expected)| 2.0 * observed * log(observed / expected))
        .sum();
    // The square of a normal variable: P(χ² > g) = erfc(√(g/2)).
    fmin(ln_erfc(sqrt(fmax(g, 0.0) / 2.0)), 0.0)
}

/// `ln_p` after `tried` attempts to find something (Bonferroni), at most 0.
pub(crate) fn bonferroni(ln_p: f64, tried: u64) -> f64 {
    fmin(ln_p + log(fmax(tried as f64, 1.0)), 0.0)
}

/// Natural logarithm of the complementary error function, for `x` of any size from 0.
fn ln_erfc(x: f64) -> f64 {
    if x < 4.0 {
        return log(erfc(x));
    }
    // A&S 7.1.14: √π·exp(x²)·erfc(x) = 1/(x + ½/(x + 1/(x + 3⁄2/(x + …)))). From x = 4 on, 40 levels
    // are exact to the last place.
    let fraction = (1..=40).rev().fold(x, |rest, level| x + f64::from(level) / 2.0 / rest);
    -x * x - LN_SQRT_PI - log(fraction)
}

/// A beta distribution.
struct Beta {
    a: f64,
    b: f64,
    /// ln of the beta function.
    ln_beta: f64,
}

impl Beta {
    fn new(a: f64, b: f64) -> Self {
        Self { a, b, ln_beta: lgamma(a) + lgamma(b) - lgamma(a + b) }
    }

    /// The regularised incomplete beta function: how much of the distribution is below `x`.
    fn below(&self, x: f64) -> f64 {
        let front = exp(self.a * log(x) + self.b * log1p(-x) - self.ln_beta);
        // The fraction converges fast on this side of the mean; the other side by symmetry.
        if x < (self.a + 1.0) / (self.a + self.b + 2.0) {
            front * fraction(self.a, self.b, x) / self.a
        } else {
            1.0 - front * fraction(self.b, self.a, 1.0 - x) / self.b
        }
    }

    fn density(&self, x: f64) -> f64 {
        exp((self.a - 1.0) * log(x) + (self.b - 1.0) * log1p(-x) - self.ln_beta)
    }
}

/// The continued fraction of the incomplete beta function by Lentz's method (Numerical Recipes 6.4.5).
/// Takes about √max(a, b) levels.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    let not_zero = |value: f64| if fabs(value) < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for level in 1..=MAX_LEVELS {
        let m = f64::from(level);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        result *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        result *= d * c;
        if fabs(d * c - 1.0) < 1e-15 {
            break;
        }
    }
    result
}

/// Stands for 0 in a denominator.
const TINY: f64 = 1e-300;

/// Levels of the fraction at most: enough for 2³² trials, and an end whatever happens.
const MAX_LEVELS: u32 = 200_000;

/// Steps towards the bound at most: bisection alone needs 53.
const MAX_STEPS: u32 = 100;

#[cfg(test)]
mod tests;
