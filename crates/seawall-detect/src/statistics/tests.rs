//! Bounds and probabilities against exact arithmetic, and against their own definitions.

use proptest::prelude::{any, proptest};

use super::*;

#[test]
fn bounds_are_those_of_the_exact_binomial_sum() {
    // By summing the binomial distribution with 40 digits and bisection.
    for (hits, trials, expected) in [
        (0, 1, 0.95),
        (0, 10, 0.258_865_550_893_052),
        (1, 10, 0.394_163_302_436_505),
        (5, 10, 0.777_558_898_991_871),
        (9, 10, 0.994_883_803_108_176),
        (7, 100, 0.127_458_015_582_97),
        (0, 3000, 0.000_998_079_011_996_587),
        (2, 3000, 0.002_097_095_855_532_43),
        (0, 8192, 0.000_365_623_118_370_061),
        (1, 8192, 0.000_578_952_715_867_323),
        (3, 8192, 0.000_946_216_691_741_998),
        (4, 8192, 0.001_117_021_499_392_82),
        (15, 8192, 0.002_818_080_310_160_91),
        (81, 8192, 0.011_882_729_728_412_7),
        (4096, 8192, 0.509_146_610_120_797),
        (8191, 8192, 0.999_993_738_631_127),
        (100, 1_000_000, 0.000_118_078_205_369_137),
    ] {
        let bound = clopper_pearson_upper(hits, trials, CONFIDENCE);
        assert!(fabs(bound - expected) < 1e-10 * expected, "{hits} of {trials}: {bound}");
    }
}

#[test]
fn chance_is_judged_as_by_exact_arithmetic() {
    for (table, expected) in [
        ((2, 10, 1, 10), -0.639_067_426_086_871),
        ((301, 4096, 600, 8192), -0.039_810_487_699_069_1),
        ((20, 4096, 0, 8192), -24.144_422_116_511_8),
        ((123, 4096, 3, 8192), -126.370_641_775_323),
        ((3000, 4096, 2, 8192), -4_439.037_828_496_22),
        ((4096, 4096, 0, 8192), -7_826.540_843_792_77),
    ] {
        let (now, rows_now, before, rows_before) = table;
        let ln_p = g_test_ln_p(now, rows_now, before, rows_before);
        assert!(fabs(ln_p - expected) < 1e-9 * fmax(fabs(expected), 1.0), "{table:?}: {ln_p}");
    }
}

#[test]
fn the_far_tail_is_no_cliff() {
    for (x, expected) in [
        (0.5, -0.735_011_129_837_084_4),
        (3.9, -17.173_871_216_435_4),
        (4.0, -17.987_778_312_103),
        (4.1, -18.821_154_183_082_6),
        (10.0, -102.879_889_024_845),
        (30.0, -903.974_117_110_644),
        (1_000.0, -1_000_007.480_120_722),
    ] {
        assert!(fabs(ln_erfc(x) - expected) < 1e-12 * fabs(expected), "{x}: {}", ln_erfc(x));
    }
}

#[test]
fn what_is_not_more_than_before_is_chance() {
    for table in [(0, 0, 0, 0), (5, 10, 50, 100), (4, 10, 50, 100), (5, 10, 0, 0), (0, 0, 5, 10)] {
        let (now, rows_now, before, rows_before) = table;
        assert_eq!(g_test_ln_p(now, rows_now, before, rows_before), 0.0, "{table:?}");
    }
}

#[test]
fn many_attempts_make_a_find_less_of_one() {
    assert_eq!(bonferroni(-30.0, 0), -30.0);
    assert!(fabs(bonferroni(-30.0, 1_000) - -23.092_244_721) < 1e-8);
    assert_eq!(bonferroni(-3.0, u64::MAX), 0.0);
}

#[test]
fn impossible_questions_get_the_cautious_answer() {
    assert_eq!(clopper_pearson_upper(0, 0, CONFIDENCE), 1.0);
    assert_eq!(clopper_pearson_upper(9, 3, CONFIDENCE), 1.0);
    assert_eq!(clopper_pearson_upper(1, 3, f64::NAN), 1.0);
    assert_eq!(clopper_pearson_upper(1, 3, 2.0), 1.0);
    assert_eq!(clopper_pearson_upper(1, 3, -1.0), 0.0);
    assert_eq!(wilson_upper(3, 0), 1.0);
}

proptest! {
    #[test]
    fn no_more_than_five_per_cent_are_beyond_the_bound(hits in 0u32..200, more in 1u32..9_000) {
        // The definition, by the sum that the bound inverts.
        let trials = hits + more;
        let bound = clopper_pearson_upper(hits, trials, CONFIDENCE);
        let (n, odds) = (f64::from(trials), bound / (1.0 - bound));
        let mut ln_term = n * log1p(-bound);
        let mut sum = exp(ln_term);
        for k in 0..hits {
            ln_term += log((n - f64::from(k)) / f64::from(k + 1) * odds);
            sum += exp(ln_term);
        }
        assert!(fabs(sum - (1.0 - CONFIDENCE)) < 1e-8, "{hits} of {trials}: {sum}");
    }

    #[test]
    fn any_figures_have_an_answer(
        a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), d in any::<u32>(),
    ) {
        let ln_p = g_test_ln_p(a, b, c, d);
        assert!(ln_p <= 0.0 && ln_p.is_finite(), "{ln_p}");
        assert!((0.0..=1.0).contains(&wilson_upper(a, b)));
        let bound = clopper_pearson_upper(a % 5_000, b % 10_000, CONFIDENCE);
        let share = f64::from(a % 5_000) / f64::from(b % 10_000);
        assert!(bound > 0.0 && bound <= 1.0 && (bound >= share || bound == 1.0));
    }

    #[test]
    fn a_stronger_contrast_is_never_more_likely_by_chance(now in 0u32..4_096, before in 0u32..8_192) {
        let ln_p = |now, before| g_test_ln_p(now, 4_096, before, 8_192);
        assert!(ln_p(now + 1, before) <= ln_p(now, before));
        assert!(ln_p(now, before + 1) >= ln_p(now, before));
    }
}

#[test]
fn four_thousand_million_trials_have_a_bound() {
    let bound = clopper_pearson_upper(2_000_000_000, u32::MAX, CONFIDENCE);
    assert!(bound > 0.465 && bound < 0.466, "{bound}");
    assert!(clopper_pearson_upper(u32::MAX - 1, u32::MAX, CONFIDENCE) <= 1.0);
}
