//! How many known readers are behind an address or a prefix: a small HyperLogLog for each.
//!
//! A carrier's address or a Tor exit serves hundreds of people; its budget grows with those who
//! showed a credential there, so that it is not punished for its size (`detection.md`, amendment 6).
//! Counted by day: what counts is the greater of today and the last day before, so that a night
//! does not take away what the day has shown.
//!
//! 32 registers of 5 bits in 24 bytes (standard error 1.04/sqrt(32), 18 %). A fixed table; when a
//! set is full, the record of the oldest day leaves, then the one with the fewest readers. Races
//! lose single readers, never invent any.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use siphasher::sip128::SipHasher13;

use super::buckets::Key;

/// The table.
#[derive(Debug)]
pub(super) struct Readers {
    sets: Box<[[Record; WAYS]]>,
    seed: [u64; 2],
}

#[derive(Debug, Default)]
struct Record {
    tag: AtomicU64,
    registers: [AtomicU64; 3],
    /// The day that the registers count.
    day: AtomicU32,
    /// Readers of the last day before that.
    before: AtomicU32,
}

impl Readers {
    /// Room for `records`, rounded up to a multiple of eight and at least eight.
    pub(super) fn new(records: usize, seed: [u64; 2]) -> Self {
        let sets = records.div_ceil(WAYS).clamp(1, MAX_SETS);
        let sets = core::iter::repeat_with(Default::default).take(sets).collect();
        Self { sets, seed }
    }

    /// Bytes held, all of them since construction.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Counts `reader` at `key` on `day` (days since the epoch). O(1), no allocation.
    pub(super) fn saw(&self, day: u32, key: Key, reader: u128) {
        let (set, tag) = self.place(key);
        let record = match set.iter().find(|record| record.tag.load(Ordering::Acquire) == tag) {
            Some(record) => record,
            None => Self::replace(set, tag),
        };
        record.turn_to(day);
        let [key0, key1] = self.seed;
        // Another key than that of the table, so that the two hashes are independent.
        let hash = SipHasher13::new_with_keys(key1, key0).hash(&reader.to_le_bytes());
        record.add(hash.h1);
    }

    /// About how many readers `key` has; 0 if it is not known.
    pub(super) fn estimate(&self, key: Key) -> u32 {
        let (set, tag) = self.place(key);
        let found = set.iter().find(|record| record.tag.load(Ordering::Acquire) == tag);
        found.map_or(0, Record::readers)
    }

    fn place(&self, key: Key) -> (&[Record; WAYS], u64) {
        let (index, tag) = key.place(self.seed, self.sets.len());
        (&self.sets[index], tag)
    }

    fn replace(set: &[Record; WAYS], tag: u64) -> &Record {
        let mut victim = &set[0];
        let worth = |record: &Record| match record.tag.load(Ordering::Acquire) {
            0 => (0, 0),
            _ => (1 + record.day.load(Ordering::Relaxed), record.readers()),
        };
        for record in set {
            if worth(record) < worth(victim) {
                victim = record;
            }
        }
        victim.tag.store(0, Ordering::Release);
        victim.registers.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        victim.before.store(0, Ordering::Relaxed);
        victim.day.store(0, Ordering::Relaxed);
        victim.tag.store(tag, Ordering::Release);
        victim
    }
}

impl Record {
    fn turn_to(&self, day: u32) {
        let counted = self.day.load(Ordering::Relaxed);
        // A clock that went back goes on counting the later day.
        if day <= counted && counted != 0 {
            return;
        }
        if self.day.compare_exchange(counted, day, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.before.store(estimate(&self.load()), Ordering::Relaxed);
            self.registers.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
    }

    fn add(&self, hash: u64) {
        let register = (hash & 31) as usize;
        let rank = ((hash >> 5) | 1 << 58).trailing_zeros().min(30) + 1;
        let (word, shift) = (register / PER_WORD, BITS * (register % PER_WORD));
        let _ =
            self.registers[word].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |registers| {
                let old = registers >> shift & MASK;
                let rank = u64::from(rank);
                (rank > old).then(|| registers & !(MASK << shift) | rank << shift)
            });
    }

    fn load(&self) -> [u64; 3] {
        [0, 1, 2].map(|word| self.registers[word].load(Ordering::Relaxed))
    }

    fn readers(&self) -> u32 {
        estimate(&self.load()).max(self.before.load(Ordering::Relaxed))
    }
}

/// Flajolet et al., "HyperLogLog" (2007), with linear counting for few.
fn estimate(words: &[u64; 3]) -> u32 {
    let (mut sum, mut empty) = (0.0, 0usize);
    for register in 0..REGISTERS {
        let rank = words[register / PER_WORD] >> (BITS * (register % PER_WORD)) & MASK;
        sum += 1.0 / (1u64 << rank) as f64;
        empty += usize::from(rank == 0);
    }
    let raw = 0.697 * (REGISTERS * REGISTERS) as f64 / sum;
    if empty > 0 && raw <= 2.5 * REGISTERS as f64 {
        return LINEAR[REGISTERS - empty];
    }
    raw as u32
}

/// 32 ln(32/empty), rounded, by the number of registers that are not empty.
const LINEAR: [u32; REGISTERS] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 17, 18, 20, 22, 24, 26, 29, 31, 34, 37, 41, 44, 49,
    54, 59, 67, 76, 89, 111,
];
const REGISTERS: usize = 32;
const BITS: usize = 5;
const PER_WORD: usize = 12;
const MASK: u64 = 31;
const WAYS: usize = 8;
const MAX_SETS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Key = Key { level: 1, who: 42, of: 0 };

    #[test]
    fn the_table_of_small_counts_is_what_the_formula_gives() {
        for (used, &count) in LINEAR.iter().enumerate() {
            let exact = 32.0 * (32.0 / (32 - used) as f64).ln();
            assert_eq!(count, exact.round() as u32, "{used} used");
        }
    }

    #[test]
    fn counts_are_right_within_the_error_of_32_registers() {
        for people in [1u32, 2, 10, 40, 100, 300, 1_000, 10_000] {
            let mut total = 0.0;
            for seed in 0..40 {
                let readers = Readers::new(8, [seed, 99]);
                for reader in 0..people {
                    readers.saw(20_000, HERE, u128::from(reader));
                    readers.saw(20_000, HERE, u128::from(reader));
                }
                total += f64::from(readers.estimate(HERE));
            }
            let mean = total / 40.0;
            let off = (mean - f64::from(people)).abs() / f64::from(people);
            assert!(off < 0.12, "{people} readers: {mean} on average");
        }
    }

    #[test]
    fn a_night_keeps_what_the_day_has_shown_and_two_nights_do_not() {
        let readers = Readers::new(64, [1, 2]);
        (0..100).for_each(|reader| readers.saw(20_000, HERE, reader));
        let by_day = readers.estimate(HERE);
        assert!((60..150).contains(&by_day), "{by_day}");
        readers.saw(20_001, HERE, 1);
        assert_eq!(readers.estimate(HERE), by_day);
        readers.saw(20_000, HERE, 2);
        assert_eq!(readers.estimate(HERE), by_day, "a clock that went back changes nothing");
        readers.saw(20_002, HERE, 1);
        assert!(readers.estimate(HERE) <= 3);
    }

    #[test]
    fn prefixes_with_few_readers_make_room_for_new_ones() {
        let readers = Readers::new(8, [1, 2]);
        (0..100).for_each(|reader| readers.saw(20_000, HERE, reader));
        for prefix in 100..10_000 {
            readers.saw(20_000, Key { level: 1, who: prefix, of: 0 }, 1);
        }
        assert!(readers.estimate(HERE) > 50);
        assert_eq!(readers.estimate(Key { level: 2, who: 42, of: 0 }), 0, "another level");
    }
}
