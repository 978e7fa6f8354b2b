//! How many rows have which one, two or three of 64 things: a table of all 43,744 answers.
//!
//! Counted by rows, not by intersections: a row has one value of an attribute, so it is in at most 469
//! conjunctions of 14, and rows that look the same, as those of a flood do, are counted together.
//! Intersecting bitsets for all of them costs 8 million words whatever the traffic, and processors of
//! our baseline have no instruction to count a word's bits. Rows can be taken out again, which is what
//! a greedy cover needs.

use alloc::vec;
use alloc::vec::Vec;

/// How many things there may be.
pub(crate) const MAX_THINGS: usize = 64;

const PAIRS: usize = MAX_THINGS * (MAX_THINGS - 1) / 2;
const TRIPLES: usize = PAIRS * (MAX_THINGS - 2) / 3;

/// How many conjunctions there are.
const ALL: usize = MAX_THINGS + PAIRS + TRIPLES;

/// Counts of rows, at most 65,535 of them.
#[derive(Clone, Debug)]
pub(crate) struct Conjunctions {
    /// Of each conjunction; behind them as many places as there are things, so that [`Self::line`] needs no end.
    counts: Vec<u16>,
}

impl Conjunctions {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; ALL + MAX_THINGS] }
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
    }

    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.counts.copy_from_slice(&other.counts);
    }

    /// Adds `rows` rows that have the things of `mask`; those of `alone` are counted by themselves only.
    pub(crate) fn add(&mut self, mask: u64, alone: u64, rows: u16) {
        self.each(mask, alone, |count| *count = count.wrapping_add(rows));
    }

    /// Takes out rows that were added.
    pub(crate) fn remove(&mut self, mask: u64, alone: u64, rows: u16) {
        self.each(mask, alone, |count| *count = count.wrapping_sub(rows));
    }

    /// Rows that have all things of `mask`, which are one to three.
    pub(crate) fn count(&self, mask: u64) -> u16 {
        place(mask).and_then(|place| self.counts.get(place)).copied().unwrap_or_default()
    }

    /// Calls `found` with the mask of each conjunction of the first `things` and its count, where that is
    /// at least `least`.
    pub(crate) fn at_least(&self, least: u16, things: usize, mut found: impl FnMut(u64, u16)) {
        let things = things.min(MAX_THINGS);
        let mut report = |mask, count| {
            if count >= least {
                found(mask, count);
            }
        };
        for (k, count) in self.counts.iter().enumerate().take(things) {
            report(1 << k, *count);
        }
        for k in 0..things {
            let mut places = self.counts[MAX_THINGS + pairs_below(k)..].iter();
            for (i, count) in places.by_ref().take(k).enumerate() {
                report(1 << k | 1 << i, *count);
            }
            let mut places = self.counts[MAX_THINGS + PAIRS + triples_below(k)..].iter();
            for j in 0..k {
                for (i, count) in places.by_ref().take(j).enumerate() {
                    report(1 << k | 1 << j | 1 << i, *count);
                }
            }
        }
    }

    fn each(&mut self, mask: u64, alone: u64, change: impl Fn(&mut u16)) {
        let mut rest = mask & alone;
        while rest != 0 {
            change(&mut self.counts[rest.trailing_zeros() as usize]);
            rest &= rest - 1;
        }
        // Where the pairs of each thing begin is worked out once, and not for each that is higher.
        let (mut things, mut below, mut len) = ([0u8; MAX_THINGS], [0u16; MAX_THINGS], 0);
        let mut rest = mask & !alone;
        while rest != 0 {
            let k = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            change(&mut self.counts[k]);
            let lower = &things[..len];
            let pairs = self.line(MAX_THINGS + pairs_below(k));
            lower.iter().for_each(|i| change(&mut pairs[usize::from(*i) % MAX_THINGS]));
            let triples = MAX_THINGS + PAIRS + triples_below(k);
            for place in 1..len {
                let triples = self.line(triples + usize::from(below[place % MAX_THINGS]));
                lower[..place]
                    .iter()
                    .for_each(|i| change(&mut triples[usize::from(*i) % MAX_THINGS]));
            }
            (things[len], below[len]) = (k as u8, pairs_below(k) as u16);
            len += 1;
        }
    }

    /// The counts from `start`, at most [`ALL`], by the lowest thing. Of a fixed size, which costs no look at where it ends
    /// with each of the millions of counts of a round; beyond the things that are lower stands what is not meant.
    fn line(&mut self, start: usize) -> &mut [u16; MAX_THINGS] {
        let line = self.counts[start..].first_chunk_mut();
        line.expect("as many places follow the last conjunction as there are things")
    }
}

/// Where the count of a conjunction stands.
fn place(mask: u64) -> Option<usize> {
    let mut rest = mask;
    let mut next = || {
        let thing = rest.trailing_zeros() as usize;
        rest &= rest.wrapping_sub(1);
        thing
    };
    match mask.count_ones() {
        1 => Some(next()),
        2 => {
            let (i, j) = (next(), next());
            Some(MAX_THINGS + pairs_below(j) + i)
        }
        3 => {
            let (i, j, k) = (next(), next(), next());
            Some(MAX_THINGS + PAIRS + triples_below(k) + pairs_below(j) + i)
        }
        _ => None,
    }
}

/// Pairs of things below `k`; those of `k` with a lower one follow.
const fn pairs_below(k: usize) -> usize {
    k * k.saturating_sub(1) / 2
}

/// Triples of things below `k`; those of `k` with two lower ones follow.
const fn triples_below(k: usize) -> usize {
    k * k.saturating_sub(1) * k.saturating_sub(2) / 6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use std::vec::Vec;

    use super::{ALL, Conjunctions, MAX_THINGS, place};

    proptest! {
        #[test]
        fn counts_are_those_of_looking_at_every_row(
            rows in proptest::collection::vec((any::<u64>(), any::<u64>(), 1u16..9), 1..40),
            taken in 0usize..40,
            alone in any::<u64>(),
        ) {
            // Thinned, so that there are rows with few things, too.
            let rows: Vec<_> = rows.iter().map(|(a, b, times)| (a & b & (a >> 7), *times)).collect();
            let mut table = Conjunctions::new();
            rows.iter().for_each(|(mask, times)| table.add(*mask, alone, *times));
            let taken = taken.min(rows.len());
            rows[..taken].iter().for_each(|(mask, times)| table.remove(*mask, alone, *times));
            let mut seen = 0;
            table.at_least(1, MAX_THINGS, |mask, count| {
                let naive: u16 = rows[taken..]
                    .iter()
                    .filter(|(row, _)| row & mask == mask)
                    .map(|(_, times)| times)
                    .sum();
                assert_eq!(count, naive, "{mask:b}");
                assert_eq!(count, table.count(mask));
                assert!(mask.count_ones() == 1 || mask & alone == 0);
                seen += 1;
            });
            let any_left = rows[taken..].iter().any(|(mask, _)| *mask != 0);
            assert_eq!(seen > 0, any_left);
        }
    }

    #[test]
    fn every_conjunction_has_a_place_of_its_own() {
        let table = Conjunctions::new();
        let mut places = Vec::new();
        table.at_least(0, MAX_THINGS, |mask, _| places.push(place(mask).expect("one to three")));
        assert_eq!((places.len(), table.counts.len()), (ALL, ALL + MAX_THINGS));
        places.sort_unstable();
        assert!(places.iter().copied().eq(0..ALL));
        assert_eq!((place(0), place(0b1111)), (None, None));
    }
}
