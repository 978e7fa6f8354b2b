//! Which network operator (autonomous system) an address belongs to, and in which country it is
//! registered, by lists that whoever runs this keeps.
//!
//! Ranges in two sorted arrays: 12 bytes for each of IPv4, 48 of IPv6. It does not know names.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

use seawall_model::{Country, Prefix};

use crate::prefix_set::PrefixSet;

/// A range of addresses with one owner, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedRange {
    /// The first address.
    pub first: IpAddr,
    /// The last, of the same family and not before `first`; else the range is left out.
    pub last: IpAddr,
    /// The number of the autonomous system (RFC 6793).
    pub asn: u32,
}

/// An immutable table of owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    v4: Box<[(u32, u32, u32)]>,
    v6: Box<[(u128, u128, u32)]>,
}

impl Owners {
    /// Compiles ranges in any order. Where ranges overlap, an address belongs to the one that
    /// begins last, as with longer prefixes. O(n log n).
    pub fn new(ranges: &[OwnedRange]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match (range.first, range.last) {
                (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
                    v4.push((first.to_bits(), last.to_bits(), range.asn));
                }
                (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
                    v6.push((first.to_bits(), last.to_bits(), range.asn));
                }
                _ => {}
            }
        }
        v4.sort_unstable();
        v6.sort_unstable();
        Self { v4: v4.into_boxed_slice(), v6: v6.into_boxed_slice() }
    }

    /// The owner of `ip`. O(log n), no allocation.
    pub fn owner(&self, ip: IpAddr) -> Option<u32> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => find(&self.v4, ip.to_bits()),
            IpAddr::V6(ip) => find(&self.v6, ip.to_bits()),
        }
    }

    /// Ranges known.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether no range is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A range of addresses registered in one country, first and last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisteredRange {
    /// The first address.
    pub first: IpAddr,
    /// The last, as in [`OwnedRange`].
    pub last: IpAddr,
    /// The country.
    pub country: Country,
}

/// An immutable table of countries, as large as one of owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Countries(Owners);

impl Countries {
    /// Compiles ranges in any order, as [`Owners::new`] does.
    pub fn new(ranges: &[RegisteredRange]) -> Self {
        let number = |range: &RegisteredRange| OwnedRange {
            first: range.first,
            last: range.last,
            asn: u32::try_from(range.country.index()).unwrap_or(u32::MAX),
        };
        Self(Owners::new(&ranges.iter().map(number).collect::<Vec<_>>()))
    }

    /// Where `ip` is registered. O(log n), no allocation.
    pub fn country(&self, ip: IpAddr) -> Option<Country> {
        Country::from_index(usize::try_from(self.0.owner(ip)?).ok()?)
    }

    /// Ranges known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no range is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who rents out machines: networks, and whole autonomous systems. For reports; nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosting {
    networks: PrefixSet,
    owners: Box<[u32]>,
    entries: usize,
}

impl Hosting {
    /// Compiles entries in any order, nested or repeated. O(n log n).
    pub fn new(networks: &[Prefix], owners: &[u32]) -> Self {
        let mut sorted = owners.to_vec();
        sorted.sort_unstable();
        Self {
            networks: PrefixSet::new(networks),
            owners: sorted.into_boxed_slice(),
            entries: networks.len() + owners.len(),
        }
    }

    /// Whether `ip`, which belongs to `owner`, lies in such a network. O(log n), no allocation.
    pub fn holds(&self, ip: IpAddr, owner: Option<u32>) -> bool {
        self.networks.contains(ip)
            || owner.is_some_and(|owner| self.owners.binary_search(&owner).is_ok())
    }

    /// Entries of the list.
    pub const fn len(&self) -> usize {
        self.entries
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// How many ranges that begin before an address are looked at: as deep as lists nest.
const MAX_NESTING: usize = 8;

fn find<T: Copy + Ord>(ranges: &[(T, T, u32)], ip: T) -> Option<u32> {
    let after = ranges.partition_point(|range| range.0 <= ip);
    let near = ranges[..after].iter().rev().take(MAX_NESTING);
    near.into_iter().find(|range| ip <= range.1).map(|range| range.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("test address")
    }

    fn range(first: &str, last: &str, asn: u32) -> OwnedRange {
        OwnedRange { first: ip(first), last: ip(last), asn }
    }

    #[test]
    fn hosting_is_told_by_network_and_by_owner() {
        let network = |text: &str| text.parse().expect("test network");
        let hosting = Hosting::new(&[network("192.0.2.0/27")], &[64_501, 64_500]);
        for (address, owner, want) in [
            ("192.0.2.31", None, true),
            ("192.0.2.32", None, false),
            ("192.0.2.32", Some(64_500), true),
            ("2001:db8::1", Some(64_501), true),
            ("2001:db8::1", Some(64_502), false),
        ] {
            assert_eq!(hosting.holds(ip(address), owner), want, "{address} of {owner:?}");
        }
        assert_eq!(hosting.len(), 3);
        assert!(Hosting::default().is_empty() && !Hosting::default().holds(ip("192.0.2.1"), None));
    }

    #[test]
    fn an_address_belongs_to_the_narrowest_range_that_holds_it() {
        let owners = Owners::new(&[
            range("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 3),
            range("192.0.2.0", "192.0.2.255", 1),
            range("192.0.2.128", "192.0.2.191", 2),
            range("198.51.100.9", "198.51.100.1", 9),
            range("198.51.100.1", "2001:db8::1", 9),
        ]);
        assert_eq!(owners.len(), 3, "what is no range is left out");
        for (address, want) in [
            ("192.0.1.255", None),
            ("192.0.2.0", Some(1)),
            ("192.0.2.128", Some(2)),
            ("192.0.2.192", Some(1)),
            ("192.0.3.0", None),
            ("::ffff:192.0.2.191", Some(2)),
            ("2001:db8::7", Some(3)),
            ("2001:db9::", None),
        ] {
            assert_eq!(owners.owner(ip(address)), want, "{address}");
        }
    }

    #[test]
    fn an_address_is_registered_where_its_narrowest_range_is() {
        let range = |first: &str, last: &str, code: &str| RegisteredRange {
            first: ip(first),
            last: ip(last),
            country: Country::new(code).expect("a code"),
        };
        let countries = Countries::new(&[
            range("192.0.2.0", "192.0.2.255", "DE"),
            range("192.0.2.128", "192.0.2.191", "BR"),
            range("2001:db8::", "2001:db8::ffff", "ZZ"),
        ]);
        assert_eq!(countries.len(), 3);
        for (address, want) in
            [("192.0.2.1", "DE"), ("192.0.2.130", "BR"), ("2001:db8::1", "ZZ"), ("192.0.3.1", "")]
        {
            let found = countries.country(ip(address));
            assert_eq!(found.as_ref().map_or("", Country::as_str), want, "{address}");
        }
    }
}
