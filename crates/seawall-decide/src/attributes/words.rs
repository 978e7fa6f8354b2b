//! What a value of an attribute is in words, for the few requests of a sample.
//!
//! Each text stands for itself in a list joined by AND: `path template /search`, `Firefox 128`, `no cookie`.
//! It is printable ASCII, at most [`MAX_WORDS_BYTES`], and has no value of a cookie or a query in it,
//! and of paths and keys only what looks like a word: who wrote an address into one need not find it in
//! a report.

use core::fmt::{self, Write as _};

use seawall_model::{Attribute, Facts, Fields, Method};

use super::agent::{Agent, Family};
use super::room::Room;
use super::shape::{self, MORE_MARK, RANDOM_MARK, Value};
use super::{Attributer, CookieKind, NetworkClass, bucket, present, transport};
use crate::template::{DIGITS_MARK, ID_MARK};

/// Longest text of a value.
pub const MAX_WORDS_BYTES: usize = 96;

/// The text of a value.
#[derive(Clone, Copy)]
pub struct AttributeWords(Room<MAX_WORDS_BYTES>);

impl AttributeWords {
    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.0.bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for AttributeWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for AttributeWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Attributer {
    /// What the value of `attribute` is in words. For requests in a sample: some hundred nanoseconds; no
    /// allocation.
    pub fn words(
        &self,
        attribute: Attribute,
        facts: &Facts<'_>,
        fields: &dyn Fields,
        network: NetworkClass,
    ) -> AttributeWords {
        let mut text = Long::new();
        // What is written is cut by the room, and never fails.
        let _ = write(&mut text, attribute, facts, fields, network);
        let mut words = Room::new();
        words.extend(text.bytes());
        words.close(text.bytes().len() > MAX_WORDS_BYTES);
        AttributeWords(words)
    }
}

/// Longer than what is kept, to know whether something was cut.
type Long = Room<{ 2 * MAX_WORDS_BYTES }>;

fn write(
    text: &mut Long,
    attribute: Attribute,
    facts: &Facts<'_>,
    fields: &dyn Fields,
    network: NetworkClass,
) -> fmt::Result {
    match attribute {
        Attribute::Ja4 => match facts.fingerprint.ja4 {
            Some(ja4) => write!(text, "JA4 {ja4}"),
            None => text.write_str("no TLS"),
        },
        Attribute::Http2Preface => match facts.fingerprint.http2_preface {
            Some(preface) => write!(text, "HTTP/2 preface {:08x}", preface as u32),
            None => text.write_str("no HTTP/2"),
        },
        Attribute::FieldOrder => {
            write!(text, "field order {:08x}", facts.fingerprint.field_order.unwrap_or(0) as u32)
        }
        Attribute::FieldCount => match bucket(facts.field_count) {
            (_, lower, usize::MAX) => write!(text, "{lower} fields or more"),
            (_, lower, upper) => write!(text, "{lower} to {upper} fields"),
        },
        Attribute::UserAgentFamily => write_family(text, fields),
        Attribute::UserAgent => write_field(text, "user agent", fields, "user-agent"),
        Attribute::AcceptLanguage => write_field(text, "languages", fields, "accept-language"),
        Attribute::Accept => {
            write_field(text, "accepts", fields, "accept")?;
            write_field(text, " in", fields, "accept-encoding")
        }
        Attribute::Consistency => {
            let agent = Agent::read(fields.first("user-agent"));
            write!(text, "consistency {} of 3", agent.consistency(fields, transport(facts)))
        }
        Attribute::Cookie => text.write_str(match CookieKind::of(facts, fields) {
            CookieKind::None => "no cookie",
            CookieKind::Harmless => "harmless cookies",
            CookieKind::Foreign => "a cookie of the site",
            CookieKind::Claimed => "a login cookie that nobody vouches for",
            CookieKind::Reader => "a reader's credential",
            CookieKind::AgedReader => "an aged reader's credential",
            CookieKind::SignedIn => "signed in",
        }),
        Attribute::Method => write_method(text, facts),
        Attribute::Path => {
            text.write_str("path template ")?;
            write_shape(text, shape::path(facts.path).bytes(), b"/.")
        }
        Attribute::Query => write_query(text, facts),
        Attribute::Network => write_network(text, network),
        Attribute::Prefix => write!(text, "addresses {:?}", facts.client),
    }
}

fn write_family(text: &mut Long, fields: &dyn Fields) -> fmt::Result {
    let agent = Agent::read(fields.first("user-agent"));
    let name = match agent.family {
        Family::Nothing => return text.write_str("no user agent"),
        Family::Firefox => "Firefox",
        Family::Chrome => "Chrome",
        Family::Edge => "Edge",
        Family::Opera => "Opera",
        Family::Samsung => "Samsung Internet",
        Family::Safari => "Safari",
        Family::Bot | Family::Program => {
            core::str::from_utf8(agent.name).unwrap_or("unreadable user agent")
        }
    };
    text.write_str(if name.is_empty() { "unnamed user agent" } else { name })?;
    if agent.major > 0 { write!(text, " {}", agent.major) } else { Ok(()) }
}

fn write_field(text: &mut Long, what: &str, fields: &dyn Fields, name: &str) -> fmt::Result {
    text.write_str(what)?;
    match fields.first(name) {
        None => text.write_str(" not sent"),
        Some(b"") => text.write_str(" empty"),
        Some(value) => {
            text.push(b' ');
            value.iter().for_each(|&byte| push_printable(text, byte));
            Ok(())
        }
    }
}

fn write_method(text: &mut Long, facts: &Facts<'_>) -> fmt::Result {
    let method =
        if facts.method == Method::Extension { "other method" } else { facts.method.as_str() };
    text.write_str(method)?;
    if facts.via_proxy { Ok(()) } else { write!(text, " over HTTP/{}", facts.version.as_str()) }
}

fn write_network(text: &mut Long, network: NetworkClass) -> fmt::Result {
    match (network.is_tor, network.asn, network.country) {
        (true, ..) => text.write_str("Tor"),
        (_, Some(asn), Some(country)) => write!(text, "network AS{asn} in {}", country.as_str()),
        (_, Some(asn), None) => write!(text, "network AS{asn}"),
        (_, None, Some(country)) => write!(text, "networks in {}", country.as_str()),
        (_, None, None) => text.write_str("unknown network"),
    }
}

fn write_query(text: &mut Long, facts: &Facts<'_>) -> fmt::Result {
    let Some(query) = present(facts.query) else { return text.write_str("no query") };
    let shape = shape::query(query);
    // What has no `=` may be a secret by itself. In the shape it is a key without a value.
    let has_bare =
        query.split(|&byte| byte == b'&').any(|pair| !pair.is_empty() && !pair.contains(&b'='));
    // The first byte is how varied the values are.
    let (variety, keys) = shape.bytes().split_first().unwrap_or((&b'0', &[]));
    text.write_str("query keys ")?;
    let (keys, has_more) = match keys {
        [MORE_MARK, keys @ ..] => (keys, true),
        keys => (keys, false),
    };
    for (place, pair) in keys.split(|&byte| byte == b'&').skip(1).enumerate() {
        if place > 0 {
            text.write_str(", ")?;
        }
        let (key, class) = match pair {
            [key @ .., b'=', class] => (key, Value::words(*class)),
            key => (key, None),
        };
        if has_bare && pair.ends_with(&[b'=', Value::Empty as u8]) {
            text.write_str("{other}")?;
        } else {
            write_shape(text, key, b"[].")?;
        }
        if let Some(class) = class {
            write!(text, " ({class})")?;
        }
    }
    if has_more {
        text.write_str(", more")?;
    }
    text.write_str(if *variety == b'2' { ", varied" } else { "" })
}

/// Marks become `{n}`, `{id}` and `{random}`; a part with anything but letters, `-`, `_`, `%` and `also` becomes
/// `{other}`.
fn write_shape(text: &mut Long, shape: &[u8], also: &[u8]) -> fmt::Result {
    let is_part_end = |byte: &u8| *byte == b'/';
    for (place, part) in shape.split(is_part_end).enumerate() {
        if place > 0 {
            text.push(b'/');
        }
        let is_mark = |byte: u8| matches!(byte, DIGITS_MARK | ID_MARK | RANDOM_MARK | MORE_MARK);
        let is_plain = |byte: u8| {
            byte.is_ascii_alphanumeric() || b"-_%".contains(&byte) || also.contains(&byte)
        };
        // `%40` is an at, and looks like any other encoded mark by now. Letters of other scripts begin
        // with %C to %E (UTF-8), and may be said.
        let has_mark = part.windows(2).any(|two| two == [b'%', DIGITS_MARK]);
        let has_letters =
            part.windows(2).any(|two| two[0] == b'%' && matches!(two[1], b'c'..=b'e'));
        let may_be_address = has_mark && !has_letters;
        if may_be_address || !part.iter().all(|&byte| is_plain(byte) || is_mark(byte)) {
            text.write_str("{other}")?;
            continue;
        }
        for &byte in part {
            match byte {
                DIGITS_MARK => text.write_str("{n}")?,
                ID_MARK => text.write_str("{id}")?,
                RANDOM_MARK => text.write_str("{random}")?,
                MORE_MARK => text.write_str("...")?,
                byte => text.push(byte),
            }
        }
    }
    Ok(())
}

fn push_printable(text: &mut Long, byte: u8) {
    text.push(if matches!(byte, b' '..=b'~') { byte } else { b'?' });
}
