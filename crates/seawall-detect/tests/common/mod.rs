//! Observations for tests: ordinary ones, each differing from the others where the test says so.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_detect::Window;
use seawall_model::{
    Attribute, Attributes, Cause, ClientAddr, Instant, Observation, Referrer, RequestKind,
    Standing, Test, Work,
};

pub(crate) const SEED: [u64; 2] = [0x5ea, 0xa11];

/// Numbers that look like keyed hashes: SplitMix64.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A value of an attribute: never 0.
    pub(crate) fn value(&mut self) -> u32 {
        self.next() as u32 | 1
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// The keyed hash of something numbered.
pub(crate) fn hashed(number: u64) -> u64 {
    Random(number.wrapping_mul(0xd6e8_feb8_6659_fd93)).next()
}

pub(crate) fn v4(address: u32) -> ClientAddr {
    ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(address)))
}

pub(crate) fn v6(upper: u64) -> ClientAddr {
    ClientAddr::new(IpAddr::V6(Ipv6Addr::from_bits(u128::from(upper) << 64 | 1)))
}

/// A page read by `client`, with all attributes known and the same for all clients but the prefix.
pub(crate) fn page_of(client: ClientAddr) -> Observation {
    let mut attributes = Attributes::default();
    for attribute in Attribute::ALL {
        attributes.set(attribute, 1_000 + attribute.index() as u32);
    }
    let prefix = match client.truncated() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    };
    attributes.set(Attribute::Prefix, hashed(prefix) as u32 | 1);
    Observation {
        at: Instant::from_nanos(1),
        client,
        port: 0,
        is_tor: false,
        is_late: false,
        identity: hashed(client.identity() as u64),
        standing: Standing::Anonymous,
        attributes,
        kind: RequestKind::Page,
        target: 77,
        referrer: Referrer::None,
        returned_cookie: false,
        is_recognised: false,
        is_cacheable: true,
        status: 200,
        cause: Cause::Default,
        work: Work::Held,
        met: None,
        test: Test::None,
    }
}

/// A request that differs from all others in every attribute.
pub(crate) fn new_in_all(random: &mut Random) -> Observation {
    let mut observation = page_of(v4(random.next() as u32));
    for attribute in Attribute::ALL {
        observation.attributes.set(attribute, random.value());
    }
    observation.target = random.next() as u32;
    observation.at = Instant::from_nanos(random.next() >> 1);
    observation
}

pub(crate) fn filled<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Window {
    let mut window = Window::new(SEED);
    for observation in observations {
        let _ = window.observe(observation);
    }
    window
}
