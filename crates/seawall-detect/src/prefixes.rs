//! How many requests came from every prefix: Count-Min with conservative update.
//!
//! Fixed levels, /32, /24 and /16 of IPv4, /64, /56, /48 and /32 of IPv6, and the owner of the
//! network: with so few, a full hierarchy would answer nothing more. Counts are never below the
//! truth, and rarely above it. It deliberately does **not** keep addresses: who asks has to know one.
//!
//! Only lines of the cache that were written are merged and cleared: a quiet window costs nothing.
//!
//! Error: at most e/65,536 of what was counted in all levels, with probability 1 − e⁻². *Sources:*
//! Cormode and Muthukrishnan (2005); Estan and Varghese (2002) for the conservative update.

use alloc::boxed::Box;
use alloc::vec;
use core::net::IpAddr;

use seawall_model::{AttributeValue, ClientAddr, UNKNOWN};

use crate::keys::Keys;

/// Requests by prefix. 513 KiB.
#[derive(Clone, Debug)]
pub struct PrefixCounts {
    keys: Keys,
    lines: Box<[Line]>,
    /// One bit for each line that was written.
    written: Box<[u64]>,
}

/// How much of an address counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// One client: /32 of IPv4, /64 of IPv6.
    Client,
    /// /56 of IPv6: a household that has several networks. Of IPv4 the same as [`Self::Block`].
    Site,
    /// /24 of IPv4, /48 of IPv6.
    Block,
    /// /16 of IPv4, /32 of IPv6.
    Wide,
}

impl Level {
    /// Narrowest first.
    pub const ALL: [Self; 4] = [Self::Client, Self::Site, Self::Block, Self::Wide];

    /// Bits of an address that count.
    pub const fn bits(self, is_v4: bool) -> u8 {
        match (self, is_v4) {
            (Self::Client, true) => 32,
            (Self::Site | Self::Block, true) => 24,
            (Self::Wide, true) => 16,
            (Self::Client, false) => 64,
            (Self::Site, false) => 56,
            (Self::Block, false) => 48,
            (Self::Wide, false) => 32,
        }
    }
}

/// One line of the cache: sixteen counters.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; COUNTERS]);

impl PrefixCounts {
    /// Nothing counted.
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            lines: vec![Line([0; COUNTERS]); LINES].into_boxed_slice(),
            written: vec![0; LINES / 64].into_boxed_slice(),
        }
    }

    /// Counts one request of `client` on every level, and of the owner of its network if that is
    /// known. Returns the keyed hash of its /24 or /48. O(1), no allocation.
    #[inline]
    pub(crate) fn observe(&mut self, client: ClientAddr, owner: AttributeValue) -> u64 {
        let (bits, is_v4) = upper(client);
        let block = self.hash(bits, is_v4, Level::Block);
        self.add(self.hash(bits, is_v4, Level::Client));
        if !is_v4 {
            self.add(self.hash(bits, is_v4, Level::Site));
        }
        self.add(block);
        self.add(self.hash(bits, is_v4, Level::Wide));
        if owner != UNKNOWN {
            self.add(self.keys.mix_well(u64::from(owner)));
        }
        block
    }

    /// How many requests came from the prefix of `client` on `level`: never too few.
    pub fn estimate(&self, client: ClientAddr, level: Level) -> u64 {
        let (bits, is_v4) = upper(client);
        self.read(self.hash(bits, is_v4, level))
    }

    /// How many came from the network with this value of [`seawall_model::Attribute::Network`]: never
    /// too few. 0 if it is unknown.
    pub fn of_owner(&self, owner: AttributeValue) -> u64 {
        if owner == UNKNOWN { 0 } else { self.read(self.keys.mix_well(u64::from(owner))) }
    }

    /// Adds what `other` counted under the same seed. Still never too few.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (number, word) in other.written.iter().enumerate() {
            self.written[number] |= word;
            for line in lines_of(number, *word) {
                let theirs = &other.lines[line].0;
                for (mine, theirs) in self.lines[line].0.iter_mut().zip(theirs) {
                    *mine = mine.saturating_add(*theirs);
                }
            }
        }
    }

    /// Forgets all. O(lines written).
    pub(crate) fn clear(&mut self) {
        for (number, word) in self.written.iter_mut().enumerate() {
            for line in lines_of(number, core::mem::take(word)) {
                self.lines[line] = Line([0; COUNTERS]);
            }
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.lines) + size_of_val(&*self.written)
    }

    #[inline]
    fn hash(&self, bits: u64, is_v4: bool, level: Level) -> u64 {
        let kept = level.bits(is_v4);
        // Both families begin at the highest bit here, so a /32 of one must not meet a /32 of the other.
        let kind = u64::from(kept) << 1 | u64::from(is_v4);
        self.keys.hash(bits & (u64::MAX << (64 - u32::from(kept))), kind)
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        let places = places(hash);
        let counts = places.map(|(line, counter)| self.lines[line].0[counter]);
        let least = counts[0].min(counts[1]);
        for ((line, counter), count) in places.into_iter().zip(counts) {
            if count == least {
                self.lines[line].0[counter] = least.saturating_add(1);
                self.written[line / 64] |= 1 << (line % 64);
            }
        }
    }

    fn read(&self, hash: u64) -> u64 {
        let counts = places(hash).map(|(line, counter)| self.lines[line].0[counter]);
        u64::from(counts[0].min(counts[1]))
    }
}

/// The upper 64 bits of an address, and whether it is an IPv4 one, which begins there as well.
#[inline]
const fn upper(client: ClientAddr) -> (u64, bool) {
    match client.ip() {
        IpAddr::V4(ip) => ((ip.to_bits() as u64) << 32, true),
        IpAddr::V6(ip) => ((ip.to_bits() >> 64) as u64, false),
    }
}

/// One place in each row: line, and counter in it.
#[inline]
const fn places(hash: u64) -> [(usize, usize); ROWS] {
    let first = hash as usize % WIDTH;
    let second = WIDTH + (hash >> 32) as usize % WIDTH;
    [(first / COUNTERS, first % COUNTERS), (second / COUNTERS, second % COUNTERS)]
}

/// The lines whose bits are set in the word `number`.
fn lines_of(number: usize, mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < u64::BITS).then_some(number * 64 + bit as usize)
    })
}

const ROWS: usize = 2;

/// Counters in a row (detection.md §1).
const WIDTH: usize = 65_536;

const COUNTERS: usize = 16;

const LINES: usize = ROWS * WIDTH / COUNTERS;

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::collections::HashMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn v4(address: u32) -> ClientAddr {
        ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(address)))
    }

    fn v6(upper: u64) -> ClientAddr {
        ClientAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(upper) << 64 | 9)))
    }

    fn counted(seed: u64, clients: &[(ClientAddr, u32)]) -> PrefixCounts {
        let mut counts = PrefixCounts::new(Keys::new([seed, 4]));
        for (client, owner) in clients {
            counts.observe(*client, *owner);
        }
        counts
    }

    fn truth(clients: &[(ClientAddr, u32)], client: ClientAddr, level: Level) -> u64 {
        let cut = |client| {
            let (bits, is_v4) = upper(client);
            (bits >> (64 - u32::from(level.bits(is_v4))), is_v4)
        };
        clients.iter().filter(|(other, _)| cut(*other) == cut(client)).count() as u64
    }

    fn clients() -> impl Strategy<Value = Vec<(ClientAddr, u32)>> {
        // Close together, so that prefixes are shared, and both families with the same leading bits.
        let address = prop_oneof![
            (0u32..1 << 18).prop_map(|low| v4(0x2001_0000 | low)),
            (0u64..1 << 36).prop_map(|low| v6(0x2001_0db8_0000_0000 | low)),
        ];
        prop::collection::vec((address, 0u32..9), 1..200)
    }

    proptest! {
        // Each case takes and looks through a megabyte.
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn a_count_is_never_too_small_also_when_merged(
            seed: u64, one in clients(), other in clients(),
        ) {
            let mut merged = counted(seed, &one);
            merged.merge(&counted(seed, &other));
            let all = [one, other].concat();
            for (client, owner) in &all {
                for level in Level::ALL {
                    prop_assert!(merged.estimate(*client, level) >= truth(&all, *client, level));
                }
                let of_owner = all.iter().filter(|(_, other)| other == owner).count() as u64;
                let want = if *owner == UNKNOWN { 0 } else { of_owner };
                prop_assert!(merged.of_owner(*owner) >= want);
            }
            merged.clear();
            prop_assert!(merged.lines.iter().all(|line| line.0 == [0; COUNTERS]));
        }
    }

    #[test]
    fn few_counts_are_far_too_large() {
        // 30,000 addresses of one window, each once: 90,000 counts with those of /24 and /16.
        let clients: Vec<_> =
            (0..30_000u32).map(|n| (v4(n.wrapping_mul(0x9e37_79b1)), UNKNOWN)).collect();
        let counts = counted(1, &clients);
        let bound = (core::f64::consts::E * 90_000.0 / WIDTH as f64) as u64 + 1;
        let beyond = clients
            .iter()
            .filter(|(client, _)| counts.estimate(*client, Level::Client) > 1 + bound)
            .count();
        // e⁻² of them may be; conservative update makes it far fewer.
        assert!(beyond < 30, "{beyond}");
    }

    #[test]
    fn addresses_that_meet_under_one_seed_do_not_under_another() {
        let place = |seed: u64, address: u32| {
            let counts = Keys::new([seed, 4]);
            let kind = 32 << 1 | 1;
            places(counts.hash(u64::from(address) << 32, kind))[0]
        };
        let mut by_place: HashMap<_, Vec<u32>> = HashMap::new();
        for address in 0..100_000u32 {
            by_place.entry(place(1, address)).or_default().push(address);
        }
        let chosen = by_place.into_values().max_by_key(Vec::len).expect("some");
        assert!(chosen.len() > 6, "{}", chosen.len());
        let mut elsewhere: Vec<_> = chosen.iter().map(|address| place(2, *address)).collect();
        elsewhere.sort_unstable();
        elsewhere.dedup();
        assert!(elsewhere.len() + 1 >= chosen.len());
    }

    #[test]
    fn families_never_share_a_count() {
        let mut counts = PrefixCounts::new(Keys::new([1, 4]));
        counts.observe(v4(0x2001_0db8), UNKNOWN);
        assert_eq!(counts.estimate(v6(0x2001_0db8_0000_0000), Level::Wide), 0);
    }
}
