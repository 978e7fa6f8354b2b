//! Addresses of clients and prefixes of networks.
//!
//! An address is a personal datum: what prints or stores one goes through here.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// The address of a client, after trusted proxies: a personal datum.
///
/// `Debug` prints only the prefix, so that a stray log line cannot leak a reader
/// (principle 7). The full value is reached through [`ClientAddr::ip`], which reviewers grep for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientAddr(IpAddr);

impl ClientAddr {
    /// Wraps an address. An IPv4-mapped IPv6 address becomes the IPv4 address it stands for, so
    /// that one client has one identity on a dual-stack listener.
    pub fn new(ip: IpAddr) -> Self {
        Self(ip.to_canonical())
    }

    /// The full address.
    pub const fn ip(self) -> IpAddr {
        self.0
    }

    /// The address with everything below /24 (IPv4) or /48 (IPv6) set to zero: the only form that
    /// is written to disk in peace.
    pub fn truncated(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00)),
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !((1u128 << 80) - 1))),
        }
    }

    /// What counts as one client in limits: the /32 of an IPv4 address, the /64 of an IPv6 one,
    /// because a single subscriber commands a whole /64 (RFC 6177).
    pub const fn identity(self) -> u128 {
        match self.0 {
            IpAddr::V4(ip) => ip.to_bits() as u128 | (1 << 127),
            IpAddr::V6(ip) => ip.to_bits() >> 64,
        }
    }
}

impl fmt::Debug for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = if self.0.is_ipv4() { 24 } else { 48 };
        write!(f, "{}/{len}", self.truncated())
    }
}

/// An address prefix in CIDR notation; host bits are always zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    network: IpAddr,
    len: u8,
}

/// The text is not an address or a CIDR prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPrefix;

impl fmt::Display for InvalidPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address or a CIDR prefix such as `192.0.2.0/24` or `2001:db8::/32`")
    }
}

impl core::error::Error for InvalidPrefix {}

impl Prefix {
    /// The prefix of `len` bits that holds `ip`.
    ///
    /// # Errors
    /// [`InvalidPrefix`] if `len` exceeds 32 (IPv4) or 128 (IPv6).
    pub fn new(ip: IpAddr, len: u8) -> Result<Self, InvalidPrefix> {
        let network = match ip {
            IpAddr::V4(ip) if len <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() & mask))
            }
            IpAddr::V6(ip) if len <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
            }
            _ => return Err(InvalidPrefix),
        };
        Ok(Self { network, len })
    }

    /// The network address.
    pub const fn network(self) -> IpAddr {
        self.network
    }

    /// The prefix length in bits.
    pub const fn bits(self) -> u8 {
        self.len
    }

    /// Whether `ip` lies in this prefix. IPv4-mapped IPv6 addresses count as IPv4.
    pub fn contains(self, ip: IpAddr) -> bool {
        Self::new(ip.to_canonical(), self.len).is_ok_and(|p| p.network == self.network)
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let (ip, len) = match text.split_once('/') {
            Some((ip, len)) => (ip, Some(len.parse::<u8>().map_err(|_| InvalidPrefix)?)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| InvalidPrefix)?;
        Self::new(ip, len.unwrap_or(if ip.is_ipv4() { 32 } else { 128 }))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[track_caller]
    fn check_debug(ip: &str, want: &str) {
        let addr = ClientAddr::new(ip.parse().expect("test address"));
        assert_eq!(format!("{addr:?}"), want);
    }

    #[test]
    fn debug_never_prints_a_full_address() {
        check_debug("192.0.2.77", "192.0.2.0/24");
        check_debug("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48");
        check_debug("::ffff:192.0.2.77", "192.0.2.0/24");
    }

    #[test]
    fn one_slash_64_is_one_client() {
        let a = ClientAddr::new("2001:db8::1".parse().expect("test address"));
        let b = ClientAddr::new("2001:db8::ffff:1".parse().expect("test address"));
        let c = ClientAddr::new("2001:db8:0:1::1".parse().expect("test address"));
        assert_eq!(a.identity(), b.identity());
        assert_ne!(a.identity(), c.identity());
    }

    #[test]
    fn prefix_holds_what_it_covers_and_nothing_else() {
        let p: Prefix = "10.1.2.3/8".parse().expect("valid prefix");
        assert_eq!(format!("{p}"), "10.0.0.0/8");
        assert!(p.contains("10.255.0.1".parse().expect("test address")));
        assert!(p.contains("::ffff:10.0.0.1".parse().expect("test address")));
        assert!(!p.contains("11.0.0.1".parse().expect("test address")));
        let all: Prefix = "0.0.0.0/0".parse().expect("valid prefix");
        assert!(all.contains("203.0.113.1".parse().expect("test address")));
        assert!(!all.contains("::1".parse().expect("test address")));
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a/8", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Prefix>(), Err(InvalidPrefix), "{bad}");
        }
    }
}
