//! What requests of the browsers of the world look like: the ordinary mix until there is one of this
//! site (detection.md §3, cold start), and readers who are made up.
//!
//! Separate from the [`Attributer`] because it is about the world, which changes, and not about
//! requests; here and not with whoever watches, so that the simulator begins as production does.
//!
//! Shares by public counts of browsers (November 2026, rounded to whole requests of five hundred). TLS,
//! HTTP/2 and the order of fields are left unknown: they change with every release, and a prior that
//! is wrong about them would call every browser of next year an anomaly. So is the version of HTTP, which
//! a listener without TLS decides for everybody.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use seawall_model::{
    Attribute, Attributes, BodyLength, ClientAddr, CookieClass, Facts, Fields, Fingerprint, Held,
    HttpVersion, Identity, Method, Standing, UNKNOWN,
};

use crate::attributes::{Attributer, Known, NetworkClass};
use crate::mitigations::Mitigations;

/// A kind of client that sites have.
struct Browser {
    /// Requests of five hundred.
    share: usize,
    user_agent: &'static str,
    accept: &'static str,
    accept_language: &'static str,
    /// Whether it sends fetch metadata.
    sends_metadata: bool,
}

/// What five hundred requests or so look like, in the proportion in which they come. Allocates.
pub fn prior(attributer: &Attributer) -> Vec<Attributes> {
    let known = Known::NONE
        .with(Attribute::UserAgentFamily)
        .with(Attribute::Accept)
        .with(Attribute::AcceptLanguage)
        .with(Attribute::Consistency);
    let of = |browser: &Browser| {
        let facts = reading(ClientAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), b"/");
        attributer.of_known(&facts, browser, NetworkClass::default(), known)
    };
    BROWSERS.iter().flat_map(|browser| core::iter::repeat_n(of(browser), browser.share)).collect()
}

/// What synthetic readers look like in a `round`: a made-up request of each, with another address each
/// time, and one of a neighbour for each of `mitigations` that names a prefix or a network: an ordinary browser there, because
/// who lives next to an attacker is kept out by such a measure and by no other. Each asks for a page that is not
/// in hand, as an anonymous stranger, which is the worst case. No allocation.
///
/// Whoever comes through Tor wears Tor Browser, so that reader is the neighbour of those there.
pub fn synthetic_readers<'a>(
    attributer: &'a Attributer,
    mitigations: &'a Mitigations,
    round: u64,
) -> impl Iterator<Item = Attributes> + 'a {
    let of = move |reader: &Reader| reader.attributes(attributer, round);
    let through_tor = of(&THROUGH_TOR).value(Attribute::Network);
    let neighbours = mitigations.neighbours(of(&NEIGHBOUR));
    READERS
        .iter()
        .map(of)
        .chain(neighbours.filter(move |one| one.value(Attribute::Network) != through_tor))
}

struct Reader {
    browser: usize,
    is_tor: bool,
    path: &'static [u8],
}

impl Reader {
    fn attributes(&self, attributer: &Attributer, round: u64) -> Attributes {
        let facts = reading(for_documentation(round), self.path);
        let network = NetworkClass { is_tor: self.is_tor, ..NetworkClass::default() };
        let mut attributes = attributer.of(&facts, &BROWSERS[self.browser], network);
        // Not its own: each release has others, and a made-up one would match nothing.
        for attribute in [Attribute::Ja4, Attribute::Http2Preface, Attribute::FieldOrder] {
            attributes.set(attribute, UNKNOWN);
        }
        attributes
    }
}

const READERS: [Reader; 5] = [
    NEIGHBOUR,
    Reader { browser: 4, is_tor: false, path: b"/about/" },
    THROUGH_TOR,
    Reader { browser: FEED_READER, is_tor: false, path: b"/feed/" },
    Reader { browser: CRAWLER, is_tor: false, path: b"/2026/11/a-story/" },
];
/// An ordinary browser: as it is, and in the place of those whom a measure means.
const NEIGHBOUR: Reader = Reader { browser: 1, is_tor: false, path: b"/2026/11/a-story/" };
/// Tor Browser through an exit.
const THROUGH_TOR: Reader =
    Reader { browser: TOR_BROWSER, is_tor: true, path: b"/2026/11/a-story/" };

/// Addresses for documentation (RFC 5737, RFC 3849).
fn for_documentation(round: u64) -> ClientAddr {
    let low = (round % 254) as u8 + 1;
    ClientAddr::new(if round.is_multiple_of(2) {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, low))
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, u16::from(low), 0, 0, 0, 0, 1))
    })
}

/// A request for a page by somebody of whom nothing is known.
pub fn reading(client: ClientAddr, path: &[u8]) -> Facts<'_> {
    Facts {
        client,
        identity: Identity::from(client),
        standing: Standing::Anonymous,
        via_proxy: false,
        fingerprint: Fingerprint::default(),
        version: HttpVersion::Http2,
        method: Method::Get,
        host: "",
        path,
        query: None,
        target_bytes: path.len(),
        head_bytes: 600,
        field_count: 14,
        body: BodyLength::None,
        cookies: CookieClass::None,
        held: Held::No,
    }
}

impl Fields for Browser {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.first(name) {
            visit(value);
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let text = match name {
            "user-agent" => self.user_agent,
            "accept" => self.accept,
            "accept-encoding" if self.sends_metadata => "gzip, deflate, br, zstd",
            "accept-encoding" => "gzip, deflate",
            "accept-language" => self.accept_language,
            "sec-fetch-site" if self.sends_metadata => "none",
            "sec-fetch-mode" if self.sends_metadata => "navigate",
            "sec-fetch-dest" if self.sends_metadata => "document",
            "sec-fetch-user" if self.sends_metadata => "?1",
            _ => "",
        };
        (!text.is_empty()).then_some(text.as_bytes())
    }
}

const CHROME_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";
const PLAIN_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The first is a browser as most have it; [`FEED_READER`] and [`CRAWLER`] say where others are.
const BROWSERS: [Browser; 9] = [
    Browser {
        share: 150,
        user_agent: "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
        accept: CHROME_ACCEPT,
        accept_language: "en-US,en;q=0.9",
        sends_metadata: true,
    },
    Browser {
        share: 120,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        accept: CHROME_ACCEPT,
        accept_language: "en-US,en;q=0.9",
        sends_metadata: true,
    },
    Browser {
        share: 80,
        user_agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
        accept: PLAIN_ACCEPT,
        accept_language: "en-US,en;q=0.9",
        sends_metadata: true,
    },
    Browser {
        share: 40,
        user_agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
        accept: PLAIN_ACCEPT,
        accept_language: "en-GB,en;q=0.9",
        sends_metadata: true,
    },
    Browser {
        share: 40,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
        accept: PLAIN_ACCEPT,
        accept_language: "en-US,en;q=0.5",
        sends_metadata: true,
    },
    Browser {
        share: 30,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
        accept: CHROME_ACCEPT,
        accept_language: "en-US,en;q=0.9",
        sends_metadata: true,
    },
    // Tor Browser.
    Browser {
        share: 10,
        user_agent: "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0",
        accept: PLAIN_ACCEPT,
        accept_language: "en-US,en;q=0.5",
        sends_metadata: true,
    },
    Browser {
        share: 15,
        user_agent: "NetNewsWire (RSS Reader; https://netnewswire.com/)",
        accept: "application/feed+json, application/rss+xml, application/atom+xml;q=0.9, */*;q=0.1",
        accept_language: "",
        sends_metadata: false,
    },
    Browser {
        share: 15,
        user_agent: "Mozilla/5.0 (compatible; archive.org_bot +http://archive.org/details/archive.org_bot)",
        accept: PLAIN_ACCEPT,
        accept_language: "",
        sends_metadata: false,
    },
];

/// Places in [`BROWSERS`].
const TOR_BROWSER: usize = 6;
const FEED_READER: usize = 7;
const CRAWLER: usize = 8;

#[cfg(test)]
mod tests {
    use seawall_model::{Instant, Mitigation, MitigationId, Rung, Signature, Term};

    use super::*;

    #[test]
    fn the_prior_is_five_hundred_requests_of_several_kinds() {
        let all = prior(&Attributer::new([1, 2]));
        assert_eq!(all.len(), 500);
        let mut families: Vec<_> =
            all.iter().map(|attributes| attributes.value(Attribute::UserAgentFamily)).collect();
        families.sort_unstable();
        families.dedup();
        assert!(families.len() >= 6, "{}", families.len());
        assert!(all.iter().all(|attributes| attributes.value(Attribute::Ja4) == 0));
    }

    #[test]
    fn the_named_places_are_those_clients() {
        assert!(BROWSERS[TOR_BROWSER].user_agent.ends_with("Firefox/140.0"));
        assert!(BROWSERS[FEED_READER].user_agent.contains("RSS"));
        assert!(BROWSERS[CRAWLER].user_agent.contains("bot"));
    }
    #[test]
    fn synthetic_readers_are_of_several_kinds_and_come_from_elsewhere_each_time() {
        let attributer = Attributer::new([1, 2]);
        let nothing = Mitigations::none();
        let round = |number| synthetic_readers(&attributer, &nothing, number).collect::<Vec<_>>();
        let (first, next) = (round(1), round(2));
        assert_eq!(first.len(), 5);
        for (one, other) in first.iter().zip(&next) {
            assert_ne!(one.value(Attribute::Prefix), other.value(Attribute::Prefix));
            assert_eq!(one.value(Attribute::UserAgent), other.value(Attribute::UserAgent));
            assert_eq!(one.value(Attribute::Ja4), UNKNOWN);
        }
        let mut agents: Vec<_> = first.iter().map(|one| one.value(Attribute::UserAgent)).collect();
        agents.sort_unstable();
        agents.dedup();
        assert_eq!(agents.len(), 5);
    }

    #[test]
    fn somebody_lives_next_to_whom_a_measure_means() {
        let attributer = Attributer::new([1, 2]);
        let blocks = |attribute, value| {
            let signature = Signature::new(&[Term { attribute, value }]).expect("one term");
            let (id, expires_at) = (MitigationId(1), Instant::from_nanos(1));
            let block = Mitigation { id, signature, rung: Rung::Block, expires_at };
            let stands = Mitigations::new(&[block], [1, 2]);
            let all: Vec<_> = synthetic_readers(&attributer, &stands, 1).collect();
            all[READERS.len()..].to_vec()
        };
        let ordinary = NEIGHBOUR.attributes(&attributer, 1);
        for attribute in [Attribute::Prefix, Attribute::Network] {
            let mut neighbour = ordinary;
            neighbour.set(attribute, 77);
            assert_eq!(blocks(attribute, 77), [neighbour], "{attribute:?}");
        }
        assert_eq!(blocks(Attribute::Path, 77), [], "it says nothing of where they are");
        let tor = THROUGH_TOR.attributes(&attributer, 1).value(Attribute::Network);
        assert_eq!(blocks(Attribute::Network, tor), [], "one reads through Tor already");
    }
}
