//! A set of rows, one bit each: conjunctions are intersections.
//!
//! Counting is by the words themselves, which every processor can; what is enumerated by the ten thousand
//! is counted by rows instead (`mine::conjunctions`).

use alloc::vec;
use alloc::vec::Vec;

/// Which of a fixed number of rows.
#[derive(Clone, Debug)]
pub(crate) struct Bitset {
    words: Vec<u64>,
}

impl Bitset {
    /// Room for `rows`, none of them in it.
    pub(crate) fn new(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(64)] }
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Puts every one of the first `rows` in, and no other.
    pub(crate) fn fill(&mut self, rows: usize) {
        for (place, word) in self.words.iter_mut().enumerate() {
            let inside = rows.saturating_sub(place * 64).min(64) as u32;
            *word = u64::MAX.checked_shr(64 - inside).unwrap_or(0);
        }
    }

    /// Puts `row` in. Rows beyond the room are left out.
    pub(crate) fn insert(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / 64) {
            *word |= 1 << (row % 64);
        }
    }

    /// How many rows are in it.
    pub(crate) fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Becomes the same as `other`.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.words.copy_from_slice(&other.words);
    }

    /// Keeps what `other` has, too.
    pub(crate) fn intersect(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= theirs;
        }
    }

    /// Takes out what `other` has.
    pub(crate) fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine &= !theirs;
        }
    }

    /// How many rows are in every one of `sets`.
    pub(crate) fn shared_by_all(sets: &[&Self]) -> u32 {
        let Some((first, others)) = sets.split_first() else { return 0 };
        let words = first.words.iter().enumerate();
        words
            .map(|(place, word)| others.iter().fold(*word, |word, set| word & set.words[place]))
            .map(u64::count_ones)
            .sum()
    }

    /// How many rows this and `other` share.
    pub(crate) fn shared(&self, other: &Self) -> u32 {
        self.words.iter().zip(&other.words).map(|(a, b)| (a & b).count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use std::collections::BTreeSet;
    use std::vec::Vec;

    use super::Bitset;

    fn of(rows: &[u8]) -> (Bitset, BTreeSet<u8>) {
        let mut bits = Bitset::new(256);
        rows.iter().for_each(|row| bits.insert(usize::from(*row)));
        (bits, rows.iter().copied().collect())
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            a in proptest::collection::vec(any::<u8>(), 0..300),
            b in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let ((mut bits, set), (other, others)) = (of(&a), of(&b));
            let both: Vec<u8> = set.intersection(&others).copied().collect();
            assert_eq!(bits.shared(&other) as usize, both.len());
            assert_eq!(Bitset::shared_by_all(&[&bits, &other, &bits]) as usize, both.len());
            let mut copy = Bitset::new(256);
            copy.copy_from(&bits);
            copy.intersect(&other);
            assert_eq!(copy.shared(&copy) as usize, both.len());
            bits.subtract(&other);
            assert_eq!(bits.shared(&other), 0);
            assert_eq!(bits.shared(&bits) as usize, set.len() - both.len());
        }
    }

    #[test]
    fn a_row_beyond_the_room_is_left_out() {
        let mut bits = Bitset::new(100);
        bits.insert(1_000);
        assert_eq!(bits.shared(&bits), 0);
        bits.fill(70);
        assert_eq!(bits.shared(&bits), 70);
        bits.fill(1_000);
        assert_eq!(bits.shared(&bits), 128);
    }
}
