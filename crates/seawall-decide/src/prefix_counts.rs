//! How many connections a prefix has open: counters without names.
//!
//! Two rows of counters, placed by two halves of a keyed hash of the /24 or /48; the smaller of a
//! prefix's two is its count. What is added is taken away again from the same place, so nothing is
//! ever forgotten or drifts, and whatever is asked of it, it takes 128 KiB. A count can be too high
//! where two prefixes share a counter in both rows, which nobody can aim at: by as much as one of
//! 16,384 counters holds of all connections on average. It is compared with a quarter of them.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::sync::atomic::{AtomicU32, Ordering};

use seawall_model::ClientAddr;
use siphasher::sip128::SipHasher13;

/// The counters.
#[derive(Debug)]
pub(crate) struct PrefixCounts {
    rows: [Box<[AtomicU32]>; 2],
    seed: [u64; 2],
}

impl PrefixCounts {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        let row = || core::iter::repeat_with(AtomicU32::default).take(COUNTERS).collect();
        Self { rows: [row(), row()], seed }
    }

    /// Bytes held, all of them since construction.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.iter().map(|row| size_of_val(&**row)).sum()
    }

    /// Counts an opened connection. O(1), no allocation.
    pub(crate) fn opened(&self, client: ClientAddr) {
        self.counters(client).into_iter().for_each(|counter| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Counts a closed one; every call matches one of [`Self::opened`].
    pub(crate) fn closed(&self, client: ClientAddr) {
        self.counters(client).into_iter().for_each(|counter| {
            counter.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Connections that the prefix of `client` has open.
    pub(crate) fn open(&self, client: ClientAddr) -> u32 {
        let [one, other] = self.counters(client).map(|counter| counter.load(Ordering::Relaxed));
        one.min(other)
    }

    fn counters(&self, client: ClientAddr) -> [&AtomicU32; 2] {
        let prefix = match client.truncated() {
            // Marked: the two families never meet.
            IpAddr::V4(ip) => u128::from(ip.to_bits()) | 1 << 64,
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&prefix.to_le_bytes());
        let [row0, row1] = &self.rows;
        let at = |word: u64| word as usize % COUNTERS;
        [&row0[at(hash.h1)], &row1[at(hash.h2)]]
    }
}

const COUNTERS: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn v4(number: u32) -> ClientAddr {
        ClientAddr::new(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn a_slash_24_and_a_slash_48_are_counted_as_one() {
        let counts = PrefixCounts::new([1, 2]);
        (0..200).for_each(|host| counts.opened(v4(0xc000_0200 + host)));
        let v6 =
            |low: u128| ClientAddr::new(Ipv6Addr::from_bits(0x2001_0db8_0001 << 80 | low).into());
        (0..50).for_each(|host| counts.opened(v6(host << 64)));
        assert_eq!(counts.open(v4(0xc000_02ff)), 200);
        assert_eq!(counts.open(v6(7)), 50);
        assert_eq!(counts.open(v4(0xc000_0300)), 0);
        (0..200).for_each(|host| counts.closed(v4(0xc000_0200 + host)));
        assert_eq!(counts.open(v4(0xc000_02ff)), 0);
    }

    #[test]
    fn ten_thousand_prefixes_do_not_make_one_look_large() {
        let counts = PrefixCounts::new([3, 4]);
        let bytes = counts.bytes();
        (0..10_000).for_each(|prefix| counts.opened(v4(prefix << 8)));
        let most = (20_000..30_000).map(|prefix| counts.open(v4(prefix << 8))).max();
        assert!(most.is_some_and(|most| most <= 4), "{most:?}");
        assert_eq!(counts.bytes(), bytes);
        assert_eq!(bytes, 128 * 1024);
    }
}
