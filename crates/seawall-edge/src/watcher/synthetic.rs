//! Synthetic readers: a few made-up requests each second through the same filters as everybody's.
//!
//! They never reach the origin and are never counted as traffic. Each asks for a page that is not in
//! hand, as an anonymous stranger, which is the worst case; a mitigation that keeps one of them from
//! reading is taken back by the ladder within seconds.
//!
//! Being tested is being served: who cannot follow a test, a feed reader or a crawler, waits in turn
//! instead. It does **not** have the fingerprints of real browsers: a signature of one of those is bounded
//! by the ordinary clients of the baseline alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_control::Probe;
use seawall_decide::{Exempt, NetworkClass};
use seawall_model::{Attribute, ClientAddr, Instant, Rung};

use super::prior::{BROWSERS, CRAWLER, FEED_READER, TOR_BROWSER, reading};
use crate::shared::Shared;

/// Who asks, in turn.
#[derive(Debug, Default)]
pub(super) struct Synthetic {
    round: u64,
}

struct Reader {
    browser: usize,
    is_tor: bool,
    path: &'static [u8],
}

const READERS: [Reader; 5] = [
    Reader { browser: 1, is_tor: false, path: b"/2026/11/a-story/" },
    Reader { browser: 4, is_tor: false, path: b"/about/" },
    Reader { browser: TOR_BROWSER, is_tor: true, path: b"/2026/11/a-story/" },
    Reader { browser: FEED_READER, is_tor: false, path: b"/feed/" },
    Reader { browser: CRAWLER, is_tor: false, path: b"/2026/11/a-story/" },
];

impl Synthetic {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One request of each.
    pub(super) fn probe(&mut self, shared: &Shared, now: Instant) -> Vec<Probe> {
        self.round += 1;
        READERS.iter().map(|reader| self.of(shared, now, reader)).collect()
    }

    fn of(&self, shared: &Shared, now: Instant, reader: &Reader) -> Probe {
        let detection = &shared.detection;
        let client = self.client();
        let facts = reading(client, reader.path);
        let browser = &BROWSERS[reader.browser];
        let network = NetworkClass { is_tor: reader.is_tor, ..NetworkClass::default() };
        let mut attributes = detection.attributer().of(&facts, browser, network);
        // Not its own: each release has others, and a made-up one would match nothing.
        for attribute in [Attribute::Ja4, Attribute::Http2Preface, Attribute::FieldOrder] {
            attributes.set(attribute, seawall_model::UNKNOWN);
        }
        let met = detection.meet(now, &attributes, self.round, Exempt::No);
        let is_served = met.is_none_or(|met| met.rung < Rung::Block);
        Probe { is_served, met: met.map(|met| met.id) }
    }

    /// Addresses for documentation (RFC 5737, RFC 3849), another one each time.
    fn client(&self) -> ClientAddr {
        let low = (self.round % 254) as u8 + 1;
        ClientAddr::new(if self.round.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, low))
        } else {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, u16::from(low), 0, 0, 0, 0, 1))
        })
    }
}
