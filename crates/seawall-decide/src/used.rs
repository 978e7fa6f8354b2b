//! Which tickets and passes of the cheap test were used, lately.
//!
//! A ticket in an address opens one page and not a thousand, and a pass counts as passed once and is carried
//! after that. Nothing is kept of a test that nobody passed.
//!
//! A fixed table of atomics, 8 bytes each: 32 bits of a keyed hash, and the second of the first use.
//! Set-associative, eight ways. When a set is full the one used first is forgotten: it fails open, and what a
//! forgotten one is good for is bounded by its number all the same
//! ([`Limiters::take_pass`](crate::Limiters::take_pass)). A race between workers lets one ticket through
//! twice.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use seawall_model::Instant;
use siphasher::sip::SipHasher13;

use crate::places::place;
use crate::ticket::PASS_LIFE;

/// The table.
#[derive(Debug)]
pub(crate) struct Used {
    sets: Box<[Set]>,
    seed: [u64; 2],
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

impl Used {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        let sets = core::iter::repeat_with(Set::default).take(SETS).collect();
        Self { sets, seed }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// Notes a use; whether it is the first within an hour. O(1), no allocation.
    pub(crate) fn is_first(&self, now: Instant, text: &[u8]) -> bool {
        let [key0, key1] = self.seed;
        // Another key than that of the clients' table.
        let hash = SipHasher13::new_with_keys(key1, key0).hash(text);
        let set = &self.sets[place(hash, self.sets.len())];
        let tag = hash & u64::from(u32::MAX);
        let now_s = 1 + now.as_nanos() / 1_000_000_000;
        let is_known = |word: u64| {
            word & u64::from(u32::MAX) == tag
                && word != EMPTY
                && now_s.saturating_sub(word >> 32) < PASS_LIFE.as_secs()
        };
        if set.0.iter().any(|word| is_known(word.load(Ordering::Relaxed))) {
            return false;
        }
        let oldest = set.0.iter().min_by_key(|word| word.load(Ordering::Relaxed) >> 32);
        if let Some(word) = oldest {
            word.store(now_s << 32 | tag, Ordering::Relaxed);
        }
        true
    }
}

const WAYS: usize = 8;
/// 16,384 uses, 128 KiB: as many as 27 readers a second without cookies leave within the ten minutes in which
/// a ticket is good.
const SETS: usize = 2_048;
const EMPTY: u64 = 0;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    #[test]
    fn each_is_first_once_within_an_hour() {
        let used = Used::new([1, 2]);
        assert!(used.is_first(at(0), b"one"));
        assert!(used.is_first(at(0), b"two"));
        for secs in [0, 1, 3_599] {
            assert!(!used.is_first(at(secs), b"one"), "{secs}");
        }
        assert!(used.is_first(at(3_600), b"one"));
    }

    #[test]
    fn a_million_uses_take_no_more_room_and_forget_the_first_ones() {
        let used = Used::new([1, 2]);
        let before = used.bytes();
        assert!(used.is_first(at(0), b"one"));
        for number in 0..1_000_000_u64 {
            used.is_first(at(1), &number.to_le_bytes());
        }
        assert_eq!(used.bytes(), before);
        assert!(used.is_first(at(2), b"one"), "it fails open");
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let place = |seed, key: u64| {
            place(SipHasher13::new_with_keys(2, seed).hash(&key.to_le_bytes()), 1_024) as u64
        };
        crate::adversary::check_spread(|key| place(1, key), |key| place(3, key));
    }
}
