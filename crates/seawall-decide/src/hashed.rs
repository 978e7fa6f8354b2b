//! What clients asked for whose exact record had to make room: by hash, many to a place.
//!
//! Forgetting them would be worth an attacker's while: who comes from so many addresses that the table
//! is full would look new each time, and go before readers who are remembered. Here they share: what is
//! pushed out counts for whoever hashes to the same place, until it has decayed.
//!
//! Nobody stays in one boat for long. Two rows of places take turns: each is emptied and hashed by a new
//! salt every four minutes, two minutes apart, both are written, and the older one is read. So it holds
//! what was noted in the last two minutes at least, four half-lives, and re-salting loses no more than a
//! sixteenth of a demand.
//!
//! Fixed size, atomics, no allocation after the start; empty and unread until something is pushed out.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use seawall_model::Instant;
use siphasher::sip::SipHasher13;

use crate::decay::{self, Decayed};
use crate::places::place;

/// The places.
#[derive(Debug)]
pub(crate) struct Hashed {
    rows: [Row; 2],
    seed: [u64; 2],
    added: AtomicU64,
}

#[derive(Debug)]
struct Row {
    /// How often it was emptied; part of the salt.
    turn: AtomicU32,
    /// [`Decayed`] bits.
    places: Box<[AtomicU64]>,
}

impl Hashed {
    pub(crate) fn new(places: usize, seed: [u64; 2]) -> Self {
        let row = || Row {
            turn: AtomicU32::new(0),
            places: core::iter::repeat_with(AtomicU64::default).take(places.max(1)).collect(),
        };
        Self { rows: [row(), row()], seed, added: AtomicU64::new(0) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| size_of_val(&*row.places)).sum()
    }

    /// How many were put here.
    pub(crate) fn added(&self) -> u64 {
        self.added.load(Ordering::Relaxed)
    }

    /// Takes over the `demand` of whoever `key` stands for. O(1), and O(places) every two minutes.
    pub(crate) fn add(&self, now: Instant, key: u64, demand: u32) {
        self.added.fetch_add(1, Ordering::Relaxed);
        for row in 0..self.rows.len() {
            decay::add(self.place(now, row, key), now, demand);
        }
    }

    /// What is shared by those who hash as `key` does. O(1).
    pub(crate) fn demand(&self, now: Instant, key: u64) -> u32 {
        if self.added() == 0 {
            return 0;
        }
        let older = usize::from(age(now, 1) > age(now, 0));
        Decayed::from_bits(self.place(now, older, key).load(Ordering::Relaxed)).at(now)
    }

    fn place(&self, now: Instant, row: usize, key: u64) -> &AtomicU64 {
        let turn = self.rows[row].turn(turn(now, row));
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.to_le_bytes());
        bytes[8..12].copy_from_slice(&turn.to_le_bytes());
        bytes[12] = u8::from(row == 1);
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&bytes);
        let places = &self.rows[row].places;
        &places[place(hash, places.len())]
    }
}

impl Row {
    /// Empties the row when its turn is over; the turn it is in. Never goes back: workers read the clock
    /// before they get here.
    fn turn(&self, due: u32) -> u32 {
        let turn = self.turn.load(Ordering::Acquire);
        if due <= turn {
            return turn;
        }
        if self.turn.compare_exchange(turn, due, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.places.iter().for_each(|place| place.store(0, Ordering::Relaxed));
        }
        due
    }
}

const fn shifted(now: Instant, row: usize) -> u64 {
    now.as_nanos().saturating_add(if row == 0 { 0 } else { LIFE_NANOS / 2 })
}

fn turn(now: Instant, row: usize) -> u32 {
    u32::try_from(shifted(now, row) / LIFE_NANOS).unwrap_or(u32::MAX)
}

const fn age(now: Instant, row: usize) -> u64 {
    shifted(now, row) % LIFE_NANOS
}

const LIFE_NANOS: u64 = 240_000_000_000;

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::decay::ONE;

    fn secs(secs: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(secs)
    }

    #[test]
    fn what_was_put_here_is_never_counted_for_less() {
        let hashed = Hashed::new(64, [1, 2]);
        for key in 0..1_000 {
            hashed.add(secs(0), key, ONE * 10);
        }
        for key in 0..1_000 {
            assert!(hashed.demand(secs(0), key) >= ONE * 10, "{key}");
        }
        assert_eq!(hashed.added(), 1_000);
    }

    #[test]
    fn re_salting_keeps_the_demand() {
        let hashed = Hashed::new(64, [1, 2]);
        for at in 0..1_200 {
            hashed.add(secs(at), 7, ONE);
            // Once a second for ever is 43 at a half-life of 30 s; after two minutes 15/16 of that.
            if at > 120 {
                assert!(hashed.demand(secs(at), 7) > 40 * ONE, "at {at} s");
            }
        }
    }

    #[test]
    fn nobody_shares_a_place_with_a_heavy_one_for_long() {
        let hashed = Hashed::new(64, [1, 2]);
        let mut shares = 0;
        for turn in 0..200u64 {
            let now = secs(turn * 240 + 200);
            hashed.add(now, 7, 1_000 * ONE);
            shares += u32::from(hashed.demand(now, 8) > 0);
        }
        assert!((1..12).contains(&shares), "{shares} of 200 turns, of 64 places");
    }

    #[test]
    fn a_step_back_of_the_clock_empties_nothing() {
        let hashed = Hashed::new(64, [1, 2]);
        hashed.add(secs(241), 7, ONE);
        assert_eq!(hashed.demand(secs(239), 7), ONE);
        assert_eq!(hashed.demand(secs(241), 7), ONE);
    }

    #[test]
    fn who_shares_depends_on_the_seed() {
        let shares = |seed: u64| {
            let hashed = Hashed::new(64, [seed, 2]);
            hashed.add(secs(0), 0, ONE);
            (1..1_000u64)
                .filter(|&key| hashed.demand(secs(0), key) > 0)
                .collect::<std::vec::Vec<_>>()
        };
        assert_ne!(shares(1), shares(2));
    }
}
