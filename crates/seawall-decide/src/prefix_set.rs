//! A set of address prefixes, compiled for lookup.
//!
//! Prefixes become disjoint ranges in two sorted arrays, so that a lookup is one binary search and
//! nested or repeated prefixes cost nothing. It does not remember which prefix matched.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use seawall_model::Prefix;

/// An immutable set of addresses given as prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSet {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl PrefixSet {
    /// Compiles prefixes in any order, nested or repeated. O(n log n).
    ///
    /// An IPv6 prefix inside `::ffff:0:0/96` stands for the IPv4 prefix it maps, because client
    /// addresses are canonical (RFC 4291 §2.5.5.2).
    pub fn new(prefixes: &[Prefix]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for prefix in prefixes {
            match prefix.network() {
                IpAddr::V4(ip) => v4.push(range_v4(ip.to_bits(), prefix.bits())),
                IpAddr::V6(ip) => match (ip.to_ipv4_mapped(), prefix.bits().checked_sub(96)) {
                    (Some(ip), Some(bits)) => v4.push(range_v4(ip.to_bits(), bits)),
                    _ => v6.push(range_v6(ip, prefix.bits())),
                },
            }
        }
        Self { v4: merge(v4), v6: merge(v6) }
    }

    /// Whether `ip` lies in any of the prefixes. O(log n), no allocation.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip.to_canonical() {
            IpAddr::V4(ip) => lies_in(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => lies_in(&self.v6, ip.to_bits()),
        }
    }

    /// Whether no address lies in it.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn range_v4(network: u32, bits: u8) -> (u32, u32) {
    (network, network | u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0))
}

fn range_v6(network: Ipv6Addr, bits: u8) -> (u128, u128) {
    let first = network.to_bits();
    (first, first | u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0))
}

/// Sorts and joins ranges. Prefixes nest or are disjoint, so only containment has to be joined.
fn merge<T: Copy + Ord>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(previous) if first <= previous.1 => previous.1 = previous.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into_boxed_slice()
}

fn lies_in<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let after = ranges.partition_point(|range| range.0 <= value);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| value <= range.1)
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{IpAddr, Ipv6Addr, Prefix, PrefixSet, Vec};

    #[track_caller]
    fn check(prefixes: &[&str], inside: &[&str], outside: &[&str]) {
        let prefixes: Vec<Prefix> =
            prefixes.iter().map(|text| text.parse().expect("valid prefix")).collect();
        let set = PrefixSet::new(&prefixes);
        for ip in inside {
            assert!(set.contains(ip.parse().expect("address")), "{ip} in {prefixes:?}");
        }
        for ip in outside {
            assert!(!set.contains(ip.parse().expect("address")), "{ip} not in {prefixes:?}");
        }
    }

    #[test]
    fn an_empty_set_holds_nothing() {
        check(&[], &[], &["0.0.0.0", "255.255.255.255", "::", "::1"]);
    }

    #[test]
    fn edges_of_prefixes_are_inside_and_their_neighbours_are_not() {
        check(
            &["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7"],
            &["10.0.0.0", "10.255.255.255", "192.0.2.7"],
            &["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "::a00:0"],
        );
        check(
            &["2001:db8::/32", "::1"],
            &["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "::1"],
            &["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "::", "::2"],
        );
        check(&["0.0.0.0/0"], &["0.0.0.0", "255.255.255.255", "::ffff:1.2.3.4"], &["::", "::1"]);
        check(&["::/0"], &["::", "ffff::"], &["1.2.3.4"]);
    }

    #[test]
    fn a_mapped_prefix_stands_for_its_ipv4_prefix() {
        check(&["::ffff:10.0.0.0/104"], &["10.1.2.3"], &["11.0.0.0"]);
    }

    /// Addresses from a small world, so that prefixes and addresses meet often.
    fn ip() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            (0u32..64, any::<bool>()).prop_map(|(low, high)| {
                IpAddr::V4(Ipv4Addr::from_bits(low | if high { 0xffff_ff00 } else { 0 }))
            }),
            any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            (0u128..64, 0u32..4).prop_map(|(low, shift)| {
                IpAddr::V6(Ipv6Addr::from_bits((low << (shift * 40)) | (0x2001 << 112)))
            }),
        ]
    }

    proptest! {
        #[test]
        fn lookup_agrees_with_a_linear_scan(
            prefixes in proptest::collection::vec((ip(), 0u8..=128), 0..40),
            asked in proptest::collection::vec(ip(), 1..40),
        ) {
            let prefixes: Vec<Prefix> = prefixes
                .into_iter()
                .map(|(ip, bits)| {
                    let bits = if ip.is_ipv4() { bits % 33 } else { bits };
                    Prefix::new(ip, bits).expect("bits are in range")
                })
                .collect();
            let set = PrefixSet::new(&prefixes);
            let edges = prefixes.iter().map(|prefix| prefix.network());
            for ip in asked.into_iter().chain(edges) {
                let scan = prefixes.iter().any(|prefix| prefix.contains(ip));
                assert_eq!(set.contains(ip), scan, "{ip} in {prefixes:?}");
            }
        }
    }
}
