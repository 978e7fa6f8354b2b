//! From a request to what it looks like: fifteen keyed hashes, and their words.
//!
//! The only place where a value of an [`Attribute`] is made, so that production, replay and simulator agree
//! and a baseline stays good over restarts, as long as the seed does. That a field is absent is a value;
//! that nothing can be known of it is [`UNKNOWN`]: behind a trusted proxy what belongs to the proxy,
//! in a log what it does not tell ([`Known`]).
//!
//! It deliberately does **not** judge: which values are ordinary is for `seawall-detect`. Words never
//! hold a value of a cookie or a query.
//!
//! *Source:* detection.md §2.3. The hash of field orders is our own; of JA4 only JA4 itself.

mod agent;
mod room;
mod shape;
mod words;

use core::net::IpAddr;

use siphasher::sip::SipHasher13;

use seawall_model::{
    Attribute, AttributeValue, Attributes, ClientAddr, CookieClass, Country, Facts, Fields,
    Standing, UNKNOWN,
};

use self::agent::{Agent, Transport};
use self::room::Room;
pub use self::words::{AttributeWords, MAX_WORDS_BYTES};

/// Where an address is registered, as far as lists say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkClass {
    /// The number of the network's owner.
    pub asn: Option<u32>,
    /// Its country.
    pub country: Option<Country>,
    /// Whether the address is a Tor exit.
    pub is_tor: bool,
}

/// Which attributes a source of requests can tell at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known(u16);

impl Known {
    /// A request as it came.
    pub const ALL: Self = Self((1 << Attribute::COUNT) - 1);
    /// Nothing yet; see [`Self::with`].
    pub const NONE: Self = Self(0);

    /// This and `attribute`.
    #[must_use]
    pub const fn with(self, attribute: Attribute) -> Self {
        Self(self.0 | 1 << attribute.index())
    }

    /// Whether `attribute` can be told.
    pub const fn has(self, attribute: Attribute) -> bool {
        self.0 >> attribute.index() & 1 == 1
    }
}

/// Makes attributes of requests. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Attributer {
    seed: [u64; 2],
    /// Values of what has few, made once: see [`Self::of_code`].
    codes: [[AttributeValue; CODES]; CODED.len()],
    /// Values of what is absent.
    absent: [AttributeValue; Attribute::COUNT],
}

impl Attributer {
    /// `seed` must be random and secret, and kept as long as what was learned by it.
    pub fn new(seed: [u64; 2]) -> Self {
        let mut all =
            Self { seed, codes: [[0; CODES]; CODED.len()], absent: [0; Attribute::COUNT] };
        for (row, attribute) in CODED.into_iter().enumerate() {
            for code in 0..CODES {
                all.codes[row][code] = all.hash(attribute, &[code as u8]);
            }
        }
        for attribute in Attribute::ALL {
            let domain = ABSENT + attribute.index() as u64;
            all.absent[attribute.index()] = all.keyed(domain, &[]);
        }
        all
    }

    /// What a request looks like. O(length of what is read of it, 1 KiB at most); no allocation.
    pub fn of(&self, facts: &Facts<'_>, fields: &dyn Fields, network: NetworkClass) -> Attributes {
        self.of_known(facts, fields, network, Known::ALL)
    }

    /// The same for a source that tells only `known` ones, such as a log.
    pub fn of_known(
        &self,
        facts: &Facts<'_>,
        fields: &dyn Fields,
        network: NetworkClass,
        known: Known,
    ) -> Attributes {
        let mut attributes = Attributes::default();
        let mut set = |attribute: Attribute, value: &dyn Fn() -> AttributeValue| {
            if known.has(attribute) {
                attributes.set(attribute, value());
            }
        };
        set(Attribute::Ja4, &|| self.ja4(facts));
        set(Attribute::Http2Preface, &|| {
            self.of_word(facts, Attribute::Http2Preface, facts.fingerprint.http2_preface)
        });
        set(Attribute::FieldOrder, &|| {
            self.of_word(facts, Attribute::FieldOrder, facts.fingerprint.field_order)
        });
        set(Attribute::FieldCount, &|| {
            self.of_code(Attribute::FieldCount, bucket(facts.field_count).0 as u8)
        });
        let text = fields.first("user-agent");
        set(Attribute::UserAgent, &|| self.of_text(Attribute::UserAgent, text));
        if known.has(Attribute::UserAgentFamily) || known.has(Attribute::Consistency) {
            let agent = Agent::read(text);
            set(Attribute::UserAgentFamily, &|| self.family(&agent));
            set(Attribute::Consistency, &|| {
                self.of_code(Attribute::Consistency, agent.consistency(fields, transport(facts)))
            });
        }
        set(Attribute::AcceptLanguage, &|| {
            self.of_text(Attribute::AcceptLanguage, fields.first("accept-language"))
        });
        set(Attribute::Accept, &|| self.accept(fields));
        set(Attribute::Cookie, &|| {
            self.of_code(Attribute::Cookie, CookieKind::of(facts, fields) as u8)
        });
        set(Attribute::Method, &|| self.method(facts));
        set(Attribute::Path, &|| self.hash(Attribute::Path, shape::path(facts.path).bytes()));
        set(Attribute::Query, &|| match present(facts.query) {
            Some(query) => self.hash(Attribute::Query, shape::query(query).bytes()),
            None => self.absent(Attribute::Query),
        });
        set(Attribute::Network, &|| self.network(network));
        set(Attribute::Prefix, &|| {
            self.hash(Attribute::Prefix, &prefix_bits(facts.client).to_le_bytes())
        });
        attributes
    }

    fn ja4(&self, facts: &Facts<'_>) -> AttributeValue {
        match facts.fingerprint.ja4 {
            _ if facts.via_proxy => UNKNOWN,
            Some(ja4) => self.hash(Attribute::Ja4, ja4.as_bytes()),
            None => self.absent(Attribute::Ja4),
        }
    }

    /// Of what is a hash already, made without our key.
    fn of_word(
        &self,
        facts: &Facts<'_>,
        attribute: Attribute,
        word: Option<u64>,
    ) -> AttributeValue {
        match word {
            _ if facts.via_proxy => UNKNOWN,
            Some(word) => self.hash(attribute, &word.to_le_bytes()),
            None => self.absent(attribute),
        }
    }

    fn family(&self, agent: &Agent<'_>) -> AttributeValue {
        let mut room = Room::<32>::new();
        room.push(agent.family as u8);
        // Four bytes, so that no digit of a version is taken for a letter of a name.
        room.extend(&agent.major.to_le_bytes());
        agent.name.iter().for_each(|byte| room.push(byte.to_ascii_lowercase()));
        self.hash(Attribute::UserAgentFamily, room.bytes())
    }

    fn accept(&self, fields: &dyn Fields) -> AttributeValue {
        let mut room = Room::<200>::new();
        for name in ["accept", "accept-encoding"] {
            match fields.first(name) {
                Some(value) => room.extend(&value[..value.len().min(MAX_ACCEPT)]),
                None => room.push(1),
            }
            // No field value holds it (RFC 9110 §5.5).
            room.push(0);
        }
        self.hash(Attribute::Accept, room.bytes())
    }

    /// Behind a proxy the version is the proxy's.
    fn method(&self, facts: &Facts<'_>) -> AttributeValue {
        let version = if facts.via_proxy { 0 } else { 1 + facts.version as u8 };
        self.of_code(Attribute::Method, facts.method as u8 * 4 + version)
    }

    fn network(&self, network: NetworkClass) -> AttributeValue {
        let NetworkClass { asn, country, is_tor } = network;
        if is_tor {
            return self.of_code(Attribute::Network, 0);
        }
        if asn.is_none() && country.is_none() {
            return UNKNOWN;
        }
        let mut bytes = [1; 7];
        bytes[1..5].copy_from_slice(&asn.unwrap_or(0).to_le_bytes());
        let country = country.map_or(u16::MAX, |country| country.index() as u16);
        bytes[5..].copy_from_slice(&country.to_le_bytes());
        self.hash(Attribute::Network, &bytes)
    }

    fn of_text(&self, attribute: Attribute, text: Option<&[u8]>) -> AttributeValue {
        match text {
            Some(text) => self.hash(attribute, &text[..text.len().min(MAX_TEXT)]),
            None => self.absent(attribute),
        }
    }

    /// Of an attribute with few values. One that is not [`CODED`] is hashed.
    fn of_code(&self, attribute: Attribute, code: u8) -> AttributeValue {
        let row = CODED.iter().position(|coded| *coded == attribute);
        let value = row.and_then(|row| self.codes[row].get(code as usize));
        value.copied().unwrap_or_else(|| self.hash(attribute, &[code]))
    }

    fn absent(&self, attribute: Attribute) -> AttributeValue {
        self.absent[attribute.index()]
    }

    fn hash(&self, attribute: Attribute, bytes: &[u8]) -> AttributeValue {
        self.keyed(attribute.index() as u64, bytes)
    }

    /// Each attribute has a key of its own, so that equal bytes of two are not equal values.
    fn keyed(&self, domain: u64, bytes: &[u8]) -> AttributeValue {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1 ^ domain).hash(bytes);
        ((hash >> 32) as u32).max(UNKNOWN + 1)
    }
}

fn transport(facts: &Facts<'_>) -> Transport {
    match facts.fingerprint.ja4 {
        _ if facts.via_proxy => Transport::Unknown,
        Some(_) => Transport::Tls,
        None => Transport::Plain,
    }
}

/// The /24 or /48, with a mark that tells the two kinds apart.
fn prefix_bits(client: ClientAddr) -> u128 {
    match client.truncated() {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) | 1 << 127,
        // The lower 80 bits are zero.
        IpAddr::V6(ip) => ip.to_bits() >> 64,
    }
}

fn present(query: Option<&[u8]>) -> Option<&[u8]> {
    query.filter(|query| !query.is_empty())
}

/// How many field lines: the bucket, and its bounds.
fn bucket(count: usize) -> (usize, usize, usize) {
    const UPPER: [usize; 7] = [3, 6, 9, 12, 16, 24, usize::MAX];
    let bucket = UPPER.partition_point(|upper| *upper < count);
    let lower = if bucket == 0 { 0 } else { UPPER[bucket - 1] + 1 };
    (bucket, lower, UPPER[bucket.min(UPPER.len() - 1)])
}

/// Which kind of cookie a request carries, and whose: what was checked before what is claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum CookieKind {
    None,
    /// Of those that change nothing, as of statistics.
    Harmless,
    Foreign,
    /// One that marks personal pages, and that nobody vouches for.
    Claimed,
    Reader,
    AgedReader,
    SignedIn,
}

impl CookieKind {
    fn of(facts: &Facts<'_>, fields: &dyn Fields) -> Self {
        match (facts.standing, facts.cookies) {
            (Standing::SignedIn, _) => Self::SignedIn,
            (Standing::AgedReader, _) => Self::AgedReader,
            _ if facts.identity.is_holder() => Self::Reader,
            (Standing::Anonymous, CookieClass::None) if fields.has("cookie") => Self::Harmless,
            (Standing::Anonymous, CookieClass::None) => Self::None,
            (Standing::Anonymous, CookieClass::Foreign) => Self::Foreign,
            (Standing::Anonymous, CookieClass::Personal) => Self::Claimed,
        }
    }
}

/// What user agents and languages of readers have, twice over.
const MAX_TEXT: usize = 256;
const MAX_ACCEPT: usize = 96;
/// Attributes with few values, and more than any of them has.
const CODED: [Attribute; 4] =
    [Attribute::FieldCount, Attribute::Consistency, Attribute::Cookie, Attribute::Method];
const CODES: usize = 40;
/// Above the indices of attributes.
const ABSENT: u64 = 32;

#[cfg(test)]
pub(crate) mod tests;
