//! Who a request counts against, and what is known to speak for it. Neither says how it is found
//! out: that is for those who see addresses and credentials.

use core::fmt;

use crate::ClientAddr;

/// What counts as one client in budgets and queues: the holder of a credential, else the /32 of an
/// IPv4 address or the /64 of an IPv6 one. Exact, so that no two of them share a fate by accident.
///
/// `Debug` prints neither: an identity of an address is a personal datum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity(u128);

impl Identity {
    /// The holder of a credential, by the number that it has today.
    pub const fn of_holder(number: u64) -> Self {
        // Addresses of IPv6 take the lower 64 bits, those of IPv4 the highest one as a mark.
        Self(number as u128 | (1 << 126))
    }

    /// The number to hash, compare and queue by.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// Whether a credential made it, and not an address.
    pub const fn is_holder(self) -> bool {
        self.0 >> 126 == 1
    }
}

impl From<ClientAddr> for Identity {
    fn from(client: ClientAddr) -> Self {
        Self(client.identity())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_holder() { "Identity(holder)" } else { "Identity(address)" })
    }
}

/// What is known to speak for a request, best first. A fact that was checked, never a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The origin gave it the login cookie that it carries, or the operator gave it a pass.
    SignedIn,
    /// A reader credential of at least a day.
    AgedReader,
    /// Nothing, or nothing old enough.
    #[default]
    Anonymous,
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn of(ip: &str) -> Identity {
        ClientAddr::new(ip.parse().expect("test address")).into()
    }

    #[test]
    fn holders_and_addresses_never_meet() {
        for number in [0, 1, u64::MAX, 0xc000_0201] {
            let holder = Identity::of_holder(number);
            assert!(holder.is_holder());
            for ip in ["::", "::1", "192.0.2.1", "0.0.0.0", "255.255.255.255", "ffff::"] {
                assert!(!of(ip).is_holder(), "{ip}");
                assert_ne!(of(ip), holder, "{ip}");
            }
        }
    }

    #[test]
    fn debug_prints_no_number() {
        assert_eq!(format!("{:?}", Identity::of_holder(7)), "Identity(holder)");
        assert_eq!(format!("{:?}", of("192.0.2.7")), "Identity(address)");
    }
}
