//! Who reads: cohorts by share, network and manners, and the readers drawn from them.
//!
//! Shares, round trips and losses are those of detection.md §8. It does **not** say what readers do
//! ([`crate::readers`]) or what attackers are ([`crate::attacks`]).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use seawall_model::{ClientAddr, Identity, Standing};

use crate::looks::{self, Look};
use crate::random::Random;
use crate::request::{SimNetwork, Visitor};

/// Readers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cohort {
    /// At home, an address each.
    Home,
    /// Behind three addresses that carriers share out.
    Cgnat,
    /// On the phone: long ways, some loss.
    Mobile,
    /// Through Tor: forty exits, half without scripts.
    Tor,
    /// Through a VPN.
    Vpn,
    /// Feed readers and crawlers.
    Feeds,
    /// Those who write the paper.
    Editors,
}

/// What is true of all readers of a cohort.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Which cohort.
    pub cohort: Cohort,
    /// Its name in tables.
    pub name: &'static str,
    /// Its share of readers.
    pub share: f64,
    /// Milliseconds there and back.
    pub rtt_ms: f64,
    /// The part of packets that is lost.
    pub loss: f64,
    /// The part that runs no scripts.
    pub without_scripts: f64,
    /// The part with a credential from before.
    pub aged: f64,
    /// After how many seconds a page counts as failed.
    pub patience_s: f64,
}

/// By [`Cohort`].
pub const COHORTS: [Manners; 7] = [
    of(Cohort::Home, "home", 0.70, (30.0, 0.0005), (0.077, 0.5), 4.0),
    of(Cohort::Cgnat, "cgnat", 0.10, (45.0, 0.001), (0.077, 0.5), 4.0),
    of(Cohort::Mobile, "mobile", 0.08, (400.0, 0.01), (0.077, 0.5), 4.0),
    of(Cohort::Tor, "tor", 0.05, (700.0, 0.002), (0.5, 0.1), 10.0),
    of(Cohort::Vpn, "vpn", 0.04, (80.0, 0.001), (0.077, 0.3), 4.0),
    of(Cohort::Feeds, "feeds", 0.03, (60.0, 0.0005), (1.0, 0.0), 4.0),
    of(Cohort::Editors, "editors", 0.0, (30.0, 0.0005), (0.0, 0.0), 4.0),
];

const fn of(
    cohort: Cohort,
    name: &'static str,
    share: f64,
    (rtt_ms, loss): (f64, f64),
    (without_scripts, aged): (f64, f64),
    patience_s: f64,
) -> Manners {
    Manners { cohort, name, share, rtt_ms, loss, without_scripts, aged, patience_s }
}

impl Cohort {
    /// What is true of its readers.
    pub const fn manners(self) -> &'static Manners {
        &COHORTS[self as usize]
    }

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        self.manners().name
    }
}

/// One reader.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    /// To which cohort it belongs.
    pub cohort: Cohort,
    /// Who it is for a shield.
    pub visitor: Visitor,
    /// What it looks like.
    pub look: Arc<Look>,
    /// Whether it runs scripts.
    pub has_scripts: bool,
    /// The `Cookie` field it sends.
    pub cookie: Option<String>,
    /// What it keeps of a cheap test.
    pub pass: Option<String>,
}

/// Operators of networks that readers are in: number, country, share of readers.
const CARRIERS: [(u32, [u8; 2], f64); 8] = [
    (9_299, *b"PH", 30.0),
    (4_775, *b"PH", 14.0),
    (7_922, *b"US", 18.0),
    (3_320, *b"DE", 9.0),
    (3_215, *b"FR", 8.0),
    (2_856, *b"GB", 9.0),
    (3_352, *b"ES", 7.0),
    (4_713, *b"JP", 5.0),
];

/// How many Tor exits there are.
pub(crate) const TOR_EXITS: u32 = 40;
/// How many addresses carriers share out among the readers behind them.
pub(crate) const SHARED_ADDRESSES: u32 = 3;

/// All Tor exits: the operator's list of them.
pub(crate) fn tor_exit(number: u32) -> ClientAddr {
    v4(0xb9dc_6500 + (number % TOR_EXITS) * 7)
}

/// One of the addresses that many readers share.
pub(crate) fn shared_address(number: u32) -> ClientAddr {
    v4(0x7040_0000 + (number % SHARED_ADDRESSES) * 0x1_0101)
}

/// The network of such an address.
pub(crate) fn shared_network(number: u32) -> SimNetwork {
    carrier(number as usize % SHARED_ADDRESSES as usize)
}

/// An address at home: one in three over IPv6.
pub(crate) fn home_address(random: &mut Random) -> (ClientAddr, SimNetwork) {
    let at = looks::weighted(random, CARRIERS.iter().map(|carrier| carrier.2));
    let bits = random.bits();
    let client = if random.unit() < 0.33 {
        let network = 0x2001_0e00 + at as u128 * 0x1_0000;
        let subscriber = u128::from(bits as u32 & 0x00ff_ffff) << 72;
        ClientAddr::new(IpAddr::V6(Ipv6Addr::from_bits(network << 96 | subscriber | 1)))
    } else {
        v4((24 + at as u32) << 24 | bits as u32 & 0x00ff_ffff)
    };
    (client, carrier(at))
}

/// An address of a machine for rent, in one of `owners` networks.
pub(crate) fn hosting_address(number: u32, owners: u32) -> (ClientAddr, SimNetwork) {
    let owner = number % owners.max(1);
    let country = [*b"NL", *b"US", *b"RU", *b"DE", *b"SG", *b"VN"][owner as usize % 6];
    // 200 of a /24, spread over the owner's /12.
    let place = number / owners.max(1);
    let host = (place / 200 % 4_096) << 8 | (place % 200 + 10);
    let client = v4((128 + owner % 40) << 24 | (owner / 40) << 20 | host);
    (client, SimNetwork { asn: 60_000 + owner, country, is_tor: false })
}

/// An IPv4 address.
pub(crate) fn v4(bits: u32) -> ClientAddr {
    ClientAddr::new(IpAddr::V4(Ipv4Addr::from_bits(bits)))
}

fn carrier(at: usize) -> SimNetwork {
    let (asn, country, _) = CARRIERS[at];
    SimNetwork { asn, country, is_tor: false }
}

/// The network that Tor exits are in.
pub(crate) fn tor_network(number: u32) -> SimNetwork {
    SimNetwork { asn: 208_323 + number % 5, country: *b"DE", is_tor: true }
}

/// A cohort by its share.
pub(crate) fn draw_cohort(random: &mut Random) -> Cohort {
    COHORTS[looks::weighted(random, COHORTS.iter().map(|manners| manners.share))].cohort
}

/// A new reader of `cohort`; `number` is nobody else's.
pub(crate) fn draw_reader(random: &mut Random, cohort: Cohort, number: u64) -> Reader {
    let low = number as u32;
    let (client, network) = match cohort {
        Cohort::Home | Cohort::Editors => home_address(random),
        Cohort::Cgnat => (shared_address(low), shared_network(low)),
        // Carriers of phones share addresses too, but among fewer.
        Cohort::Mobile => {
            (v4(0x6440_0000 + random.below(96) as u32 * 11), carrier(low as usize % 2))
        }
        Cohort::Tor => (tor_exit(random.below(TOR_EXITS as usize) as u32), tor_network(low)),
        Cohort::Vpn => {
            let place = random.below(60) as u32;
            let network = SimNetwork { asn: 50_000 + place % 5, country: *b"SE", is_tor: false };
            (v4(0xb973_0000 + place * 17), network)
        }
        Cohort::Feeds => hosting_address(900_000 + low % 64, 7),
    };
    let manners = cohort.manners();
    let is_aged = random.unit() < manners.aged;
    let has_scripts = random.unit() >= manners.without_scripts;
    let (standing, identity) = match cohort {
        Cohort::Editors => (Standing::SignedIn, Identity::of_holder(number | 1 << 62)),
        _ if is_aged => (Standing::AgedReader, Identity::of_holder(number)),
        _ => (Standing::Anonymous, Identity::from(client)),
    };
    let look = match cohort {
        Cohort::Tor => looks::tor_browser(),
        Cohort::Feeds if low.is_multiple_of(4) => looks::crawler(low as usize / 4 % 3),
        Cohort::Feeds => looks::feed_reader(low as usize),
        _ => looks::browser(random),
    };
    // Two thirds of those who run scripts carry the cookie of a counter.
    let has_counter = has_scripts && cohort != Cohort::Tor && random.unit() < 0.66;
    let counter = has_counter.then(|| format!("_ga=GA1.1.{number}.1700000000"));
    let cookie = match (standing, counter) {
        (Standing::Anonymous, counter) => counter,
        (_, Some(counter)) => Some(format!("{counter}; __Host-seawall=r{number}")),
        (_, None) => Some(format!("__Host-seawall=r{number}")),
    };
    let is_verified = cohort == Cohort::Feeds && low.is_multiple_of(4);
    let visitor = Visitor { client, network, identity, standing, is_verified };
    Reader { cohort, visitor, look: Arc::new(look), has_scripts, cookie, pass: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_come_by_the_shares_of_their_cohorts() {
        let mut random = Random::new(5);
        let readers: Vec<Reader> = (0..20_000)
            .map(|number| {
                let cohort = draw_cohort(&mut random);
                draw_reader(&mut random, cohort, number)
            })
            .collect();
        let share = |is: &dyn Fn(&Reader) -> bool| {
            readers.iter().filter(|reader| is(reader)).count() as f64 / readers.len() as f64
        };
        for manners in &COHORTS {
            let got = share(&|reader| reader.cohort == manners.cohort);
            assert!((got - manners.share).abs() < 0.015, "{}: {got}", manners.name);
        }
        let silent = share(&|reader| !reader.has_scripts);
        assert!((0.09..0.14).contains(&silent), "{silent} run no scripts");
    }

    #[test]
    fn addresses_of_machines_for_rent_are_their_own() {
        let mut all: Vec<_> = (0..30_000).map(|number| hosting_address(number, 37).0).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 30_000);
    }
}
