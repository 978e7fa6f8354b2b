//! What a sample of requests, and what became of tests, tell about crowd or attack.

use alloc::vec::Vec;

use seawall_model::{Observation, Referrer, RequestKind};

use crate::crowd::{Referrers, Sign, Targets};

/// Cheap tests that were set and passed in a tick. Active ones (of those who are asked), and not what
/// readers carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeCounts {
    /// Tests that were set, and to which there was time to answer.
    pub set: u64,
    /// Of them: passed.
    pub passed: u64,
}

/// Tests of the last seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tests {
    set: f64,
    passed: f64,
}

/// Over so many seconds tests are forgotten.
const TESTS_S: f64 = 15.0;

impl Tests {
    pub(crate) fn take(&mut self, probes: ProbeCounts, seconds: f64) {
        let kept = libm::exp(-seconds / TESTS_S);
        self.set = self.set * kept + probes.set as f64;
        self.passed = self.passed * kept + probes.passed as f64;
    }

    /// Which part was passed.
    pub(crate) fn sign(&self) -> Sign {
        Sign::of((self.passed / self.set.max(1.0)).min(1.0), self.set)
    }
}

/// Which part of `rows` can be shared, and of how many.
pub(crate) fn cacheable(rows: &[Observation]) -> (f64, f64) {
    let some = rows.iter().filter(|row| row.is_cacheable).count() as f64;
    (some / rows.len().max(1) as f64, rows.len() as f64)
}

/// What is asked for, of pages and what is none: not what pages load.
pub(crate) fn targets(rows: &[Observation]) -> Targets {
    let asked = || rows.iter().filter(|row| row.kind != RequestKind::Subresource);
    let counts = counts_of(asked().map(|row| row.target));
    let all = counts.iter().sum::<usize>() as f64;
    let of = |count: usize| counts.iter().take(count).sum::<usize>() as f64 / all.max(1.0);
    let shared = asked().filter(|row| row.is_cacheable).count() as f64;
    Targets {
        first: of(1),
        five: of(5),
        different: counts.len() as f64 / all.max(1.0),
        is_cacheable: shared > 0.5 * all,
        sure: Sign::of(0.0, all / 4.0).sure,
    }
}

/// Where those who ask for pages say that they come from: only who enters, not who goes on.
pub(crate) fn referrers(rows: &[Observation]) -> Referrers {
    let entered =
        || rows.iter().filter(|row| row.kind == RequestKind::Page && row.referrer != Referrer::Own);
    let others = || {
        entered().filter_map(|row| match row.referrer {
            Referrer::Other(host) => Some(host),
            Referrer::None | Referrer::Own => None,
        })
    };
    let counts = counts_of(others());
    let (all, other) = (entered().count() as f64, counts.iter().sum::<usize>() as f64);
    Referrers {
        other: other / all.max(1.0),
        three: counts.iter().take(3).sum::<usize>() as f64 / other.max(1.0),
        sure: Sign::of(0.0, all / 4.0).sure,
    }
}

/// How often each value comes, most frequent first.
fn counts_of(values: impl Iterator<Item = u32>) -> Vec<usize> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    let mut counts: Vec<usize> = values.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    counts
}

/// What `mixed` is without its ordinary part: `ordinary`, of which there is `1 - excess`.
pub(crate) fn without_ordinary(mixed: f64, ordinary: f64, excess: f64) -> f64 {
    ((mixed - (1.0 - excess) * ordinary) / excess.max(1e-3)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ordinary_is_taken_out_of_what_is_mixed() {
        // Half of them ordinary, of whom 80 % do, and none of the others.
        assert!(without_ordinary(0.4, 0.8, 0.5) < 1e-9);
        assert!((without_ordinary(0.9, 0.8, 0.5) - 1.0).abs() < 1e-9);
        assert!((without_ordinary(0.3, 0.9, 1.0) - 0.3).abs() < 1e-9);
        assert!((0.0..=1.0).contains(&without_ordinary(0.3, 0.9, 0.0)));
    }

    #[test]
    fn tests_are_forgotten() {
        let mut tests = Tests::default();
        tests.take(ProbeCounts { set: 100, passed: 90 }, 0.25);
        assert!(tests.sign().value > 0.89 && tests.sign().sure > 0.9);
        (0..1_000).for_each(|_| tests.take(ProbeCounts::default(), 0.25));
        assert!(tests.sign().sure < 0.01);
    }

    #[test]
    fn values_are_counted_most_frequent_first() {
        assert_eq!(counts_of([3, 1, 3, 2, 3, 1].into_iter()), [3, 2, 1]);
        assert!(counts_of(core::iter::empty()).is_empty());
    }
}
