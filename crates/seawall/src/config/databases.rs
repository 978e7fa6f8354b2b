//! Lists of networks as MaxMind databases (`.mmdb`), the form in which most of them are given out.
//!
//! Read whole into the same tables as the text forms, so that a request is answered by one look-up
//! whatever the file was. Records are understood as GeoLite2, DB-IP and IPinfo write them.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, Reader, WithinOptions};
use seawall_decide::{OwnedRange, RegisteredRange};
use seawall_model::{Country, Prefix};
use serde::Deserialize;

use crate::config::lists::{MAX_BYTES, ends_of};

/// Why a database gives no list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is larger than any such list.
    #[error("is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// It is no database, or a damaged one.
    #[error("is no MaxMind database, or a damaged one: {0}")]
    Malformed(#[from] MaxMindDbError),
    /// What it says takes far more room than it does: no list of networks, but a trap.
    #[error("stands for more networks than any such list has")]
    TooMany,
    /// It has other things in it.
    #[error("is a database of something else: none of its networks has what is wanted")]
    OfSomethingElse,
}

/// Whether a file is one by its name.
pub(crate) fn is_database(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mmdb"))
}

/// What a database has, and how many of its records could not be understood.
#[derive(Debug)]
pub(crate) struct Listed<R> {
    pub(crate) ranges: Vec<R>,
    pub(crate) strange: u64,
}

/// Ranges that are read at most: all that the internet is split into, several times.
const MAX_RANGES: usize = 8 << 20;
/// Networks that are met for each node of the tree at most: in a tree it is one, but for parts that
/// stand in several places. Without this a kilobyte of nodes, both sides of each leading to the next,
/// stands for all addresses one by one.
const MAX_PER_NODE: usize = 16;

/// The countries in a database.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) fn countries(file: &Path) -> Result<Listed<RegisteredRange>, DatabaseError> {
    ranges(file, MAX_RANGES, |(first, last), record: Registered| {
        let code = match (record.country_code, record.country) {
            (Some(code), _) | (None, Some(Named::Text(code))) => code,
            (None, Some(Named::Record { iso_code })) => iso_code?,
            (None, None) => return None,
        };
        Some(RegisteredRange { first, last, country: Country::new(&code)? })
    })
}

/// The owners in a database.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) fn owners(file: &Path) -> Result<Listed<OwnedRange>, DatabaseError> {
    ranges(file, MAX_RANGES, |(first, last), record: Owned| {
        let written = || match record.asn.as_ref()? {
            Number::Plain(number) => Some(*number),
            Number::Text(text) => text.trim_start_matches("AS").parse().ok(),
        };
        // 0 is how lists say that nobody announces a range (RFC 7607).
        let asn = record.autonomous_system_number.or_else(written).filter(|asn| *asn != 0)?;
        Some(OwnedRange { first, last, asn })
    })
}

#[derive(Deserialize)]
struct Registered {
    /// IPinfo Lite, where `country` is the name in English.
    country_code: Option<String>,
    country: Option<Named>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Record { iso_code: Option<String> },
}

#[derive(Deserialize)]
struct Owned {
    autonomous_system_number: Option<u32>,
    asn: Option<Number>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u32),
    Text(String),
}

/// Where databases repeat what they say of IPv4: mapped addresses, Teredo and 6to4.
fn stands_for_ipv4(network: Prefix) -> bool {
    let IpAddr::V6(ip) = network.network() else { return false };
    let ip = ip.to_bits();
    let ends = [(0xffff_u128, 32), (0x2001_0000, 96), (0x2002, 112)];
    ends.iter().any(|(prefix, shift)| ip >> shift == *prefix)
}

fn ranges<T: for<'de> Deserialize<'de>, R>(
    file: &Path,
    most: usize,
    range: impl Fn((IpAddr, IpAddr), T) -> Option<R>,
) -> Result<Listed<R>, DatabaseError> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DatabaseError::TooLarge);
    }
    let reader = Reader::from_source(bytes)?;
    let nodes = usize::try_from(reader.metadata().node_count).unwrap_or(usize::MAX);
    let most_met = nodes.saturating_mul(MAX_PER_NODE);
    let mut listed = Listed { ranges: Vec::new(), strange: 0 };
    let mut strange = None;
    // All are met, also those without data, so that going through nothing but them has an end.
    let all = WithinOptions::default().include_networks_without_data().include_aliased_networks();
    for (met, found) in reader.networks(all)?.enumerate() {
        if met > most_met || listed.ranges.len() > most {
            return Err(DatabaseError::TooMany);
        }
        let found = found?;
        if !found.has_data() {
            continue;
        }
        let network = found.network()?;
        let Ok(prefix) = Prefix::new(network.ip(), network.prefix()) else { continue };
        if stands_for_ipv4(prefix) {
            continue;
        }
        match found.decode::<T>() {
            Ok(record) => {
                let range = record.and_then(|record| range(ends_of(prefix), record));
                listed.ranges.extend(range);
            }
            Err(error) => {
                listed.strange += 1;
                strange = Some(error);
            }
        }
    }
    if listed.ranges.len() > most {
        return Err(DatabaseError::TooMany);
    }
    match (listed.ranges.is_empty(), strange) {
        (true, Some(error)) => Err(error.into()),
        (true, None) => Err(DatabaseError::OfSomethingElse),
        (false, _) => Ok(listed),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::PathBuf;

    use seawall_decide::{Countries, Owners};

    use super::{DatabaseError, Registered, countries, owners, ranges};

    /// A value of the format's data section (MaxMind DB specification 2.0).
    enum Value {
        Text(&'static str),
        Short(u16),
        Number(u32),
        Long(u64),
        Map(Vec<(&'static str, Value)>),
        List(Vec<Value>),
    }

    fn put(out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Text(text) => {
                out.push(2 << 5 | text.len() as u8);
                out.extend_from_slice(text.as_bytes());
            }
            Value::Short(number) => {
                out.push(5 << 5 | 2);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Long(number) => {
                // An extended type: 9 - 7.
                out.extend_from_slice(&[8, 2]);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Number(number) => {
                out.push(6 << 5 | 4);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Value::Map(pairs) => {
                out.push(7 << 5 | pairs.len() as u8);
                for (name, value) in pairs {
                    put(out, &Value::Text(name));
                    put(out, value);
                }
            }
            Value::List(items) => {
                // An extended type: 11 - 7.
                out.extend_from_slice(&[items.len() as u8, 4]);
                items.iter().for_each(|item| put(out, item));
            }
        }
    }

    /// How the tree is written.
    #[derive(Clone, Copy)]
    struct Form {
        version: u16,
        record_bits: u16,
    }

    const FORMS: [Form; 4] = [
        Form { version: 4, record_bits: 24 },
        Form { version: 6, record_bits: 24 },
        Form { version: 6, record_bits: 28 },
        Form { version: 6, record_bits: 32 },
    ];

    impl Form {
        /// The bits of a network from the left, and how many count. IPv4 is `::/96` of a tree of IPv6.
        fn bits(self, network: &str) -> (u128, u32) {
            let (address, bits) = network.split_once('/').expect("a network");
            let bits = bits.parse::<u32>().expect("bits");
            match (address.parse().expect("an address"), self.version) {
                (IpAddr::V4(ip), 4) => (u128::from(ip.to_bits()) << 96, bits),
                (IpAddr::V4(ip), _) => (u128::from(ip.to_bits()), 96 + bits),
                (IpAddr::V6(ip), _) => (ip.to_bits(), bits),
            }
        }

        fn put(self, out: &mut Vec<u8>, [left, right]: [usize; 2]) {
            let (left, right) = ((left as u32).to_be_bytes(), (right as u32).to_be_bytes());
            match self.record_bits {
                24 => out.extend([&left[1..], &right[1..]].concat()),
                28 => out.extend([&left[1..], &[left[0] << 4 | right[0]], &right[1..]].concat()),
                _ => out.extend([left, right].concat()),
            }
        }
    }

    fn database(name: &str, form: Form, networks: Vec<(&str, Value)>) -> PathBuf {
        let mut nodes: Vec<[Option<usize>; 2]> = vec![[None; 2]];
        let (mut data, mut leaves) = (Vec::new(), Vec::new());
        for (network, record) in networks {
            let ((address, bits), mut at) = (form.bits(network), 0);
            for bit in 0..bits {
                let side = (address >> (127 - bit) & 1) as usize;
                if bit + 1 == bits {
                    leaves.push((at, side, data.len()));
                } else {
                    at = match nodes[at][side] {
                        Some(next) => next,
                        None => {
                            nodes.push([None; 2]);
                            nodes[at][side] = Some(nodes.len() - 1);
                            nodes.len() - 1
                        }
                    };
                }
            }
            put(&mut data, &record);
        }
        let count = nodes.len();
        let mut records = vec![[count; 2]; count];
        for (node, sides) in nodes.iter().enumerate() {
            for (side, next) in sides.iter().enumerate() {
                records[node][side] = next.unwrap_or(count);
            }
        }
        for (node, side, offset) in leaves {
            records[node][side] = count + 16 + offset;
        }
        written(name, form, &records, &data)
    }

    /// A database of these nodes and this data.
    fn written(name: &str, form: Form, records: &[[usize; 2]], data: &[u8]) -> PathBuf {
        let mut file: Vec<u8> = Vec::new();
        records.iter().for_each(|sides| form.put(&mut file, *sides));
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let about = Value::Map(vec![
            ("node_count", Value::Number(records.len() as u32)),
            ("record_size", Value::Short(form.record_bits)),
            ("ip_version", Value::Short(form.version)),
            ("binary_format_major_version", Value::Short(2)),
            ("binary_format_minor_version", Value::Short(0)),
            ("build_epoch", Value::Long(1)),
            ("database_type", Value::Text("Test")),
            ("languages", Value::List(Vec::new())),
            ("description", Value::Map(Vec::new())),
        ]);
        put(&mut file, &about);
        let path = std::env::temp_dir().join(format!("seawall-{}-{name}.mmdb", std::process::id()));
        std::fs::write(&path, file).expect("the temporary folder is writable");
        path
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn countries_are_read_as_geolite_and_ipinfo_write_them() {
        for (at, form) in FORMS.into_iter().enumerate() {
            let code = |code| Value::Map(vec![("iso_code", Value::Text(code))]);
            let lite =
                vec![("country", Value::Text("Austria")), ("country_code", Value::Text("AT"))];
            let mut networks = vec![
                ("192.0.2.0/24", Value::Map(vec![("country", code("DE"))])),
                ("198.51.100.0/25", Value::Map(vec![("country", Value::Text("UA"))])),
                ("198.51.100.128/25", Value::Map(lite)),
                ("203.0.113.0/24", Value::Map(vec![("city", Value::Text("nowhere"))])),
            ];
            if form.version == 6 {
                networks.push(("2001:db8::/32", Value::Map(vec![("country", code("FR"))])));
            }
            let file = database(&format!("countries-{at}"), form, networks);
            let countries = Countries::new(&countries(&file).expect("a database").ranges);
            let of = |text| countries.country(ip(text)).map(|country| country.as_str().to_owned());
            assert_eq!(of("192.0.2.200").as_deref(), Some("DE"), "{at}");
            assert_eq!(of("198.51.100.1").as_deref(), Some("UA"), "{at}");
            assert_eq!(of("198.51.100.200").as_deref(), Some("AT"), "{at}");
            assert_eq!(of("198.51.101.1"), None, "{at}");
            assert_eq!(of("203.0.113.1"), None, "{at}");
            let of_ipv6 = (form.version == 6).then_some("FR");
            assert_eq!(of("2001:db8:ffff::1").as_deref(), of_ipv6, "{at}");
            assert_eq!(of("2001:db9::1"), None, "{at}");
            std::fs::remove_file(file).expect("removed");
        }
    }

    #[test]
    fn owners_are_read_as_geolite_and_ipinfo_write_them() {
        let of = |name, value| Value::Map(vec![(name, value)]);
        let networks = vec![
            ("192.0.2.0/24", of("autonomous_system_number", Value::Number(64_496))),
            ("198.51.100.0/24", of("asn", Value::Text("AS64497"))),
            ("203.0.113.0/24", of("asn", Value::Number(64_498))),
        ];
        let file = database("owners", FORMS[2], networks);
        let owners = Owners::new(&owners(&file).expect("a database").ranges);
        assert_eq!(owners.owner(ip("192.0.2.1")), Some(64_496));
        assert_eq!(owners.owner(ip("198.51.100.1")), Some(64_497));
        assert_eq!(owners.owner(ip("203.0.113.1")), Some(64_498));
        assert_eq!(owners.owner(ip("203.0.114.1")), None);
        assert!(matches!(countries(&file), Err(DatabaseError::OfSomethingElse)));
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn a_record_of_another_kind_costs_itself_and_no_other() {
        let of = |value| Value::Map(vec![("asn", value)]);
        let networks = || {
            vec![
                ("192.0.2.0/24", of(Value::List(Vec::new()))),
                ("198.51.100.0/24", of(Value::Text("AS64497"))),
            ]
        };
        let file = database("strange", FORMS[2], networks());
        let listed = owners(&file).expect("a database");
        assert_eq!((listed.ranges.len(), listed.strange), (1, 1));
        let file = database("strange", FORMS[2], networks().drain(..1).collect());
        assert!(matches!(owners(&file), Err(DatabaseError::Malformed(_))));
        std::fs::remove_file(file).expect("removed");
    }

    /// Both sides of each node lead to the next, and those of the last to this.
    fn doubling(name: &str, form: Form, end: usize, data: &[u8]) -> PathBuf {
        let depth = if form.version == 4 { 32 } else { 128 };
        let mut nodes: Vec<[usize; 2]> = (1..=depth).map(|next| [next; 2]).collect();
        nodes[depth - 1] = [end; 2];
        written(name, form, &nodes, data)
    }

    #[test]
    fn a_kilobyte_that_stands_for_all_addresses_is_refused() {
        let mut data = Vec::new();
        put(&mut data, &Value::Map(vec![("country", Value::Text("DE"))]));
        for form in FORMS {
            let depth = if form.version == 4 { 32 } else { 128 };
            for end in [depth, depth + 16] {
                let file = doubling("doubling", form, end, &data);
                assert!(std::fs::metadata(&file).expect("there").len() < 2_048);
                assert!(matches!(countries(&file), Err(DatabaseError::TooMany)), "to {end}");
                std::fs::remove_file(file).expect("removed");
            }
        }
    }

    /// Both sides of the nodes above IPv4 lead to the next: it stands there 2^96 times.
    #[test]
    fn a_kilobyte_that_repeats_ipv4_without_end_is_refused() {
        let mut nodes: Vec<[usize; 2]> = (1..=96).map(|next| [next; 2]).collect();
        nodes.push([97, 97]);
        let file = written("repeating", FORMS[1], &nodes, &[]);
        assert!(matches!(countries(&file), Err(DatabaseError::TooMany)));
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn more_ranges_than_there_may_be_are_refused() {
        let of = |code| Value::Map(vec![("country", Value::Text(code))]);
        let networks = vec![("192.0.2.0/24", of("DE")), ("203.0.113.0/24", of("UA"))];
        let file = database("many", FORMS[2], networks);
        let read = |most| ranges(&file, most, |_, _: Registered| Some(()));
        assert_eq!(read(2).expect("fits").ranges.len(), 2);
        assert!(matches!(read(1), Err(DatabaseError::TooMany)));
        std::fs::remove_file(&file).expect("removed");
    }

    /// As MaxMind writes them: `2002::/16` (6to4) is the subtree of IPv4 once more.
    #[test]
    fn what_stands_for_ipv4_in_ipv6_is_read_once() {
        let mut data = Vec::new();
        put(&mut data, &Value::Map(vec![("country", Value::Text("DE"))]));
        // Nodes 0 to 95 lead to IPv4, which is node 96. What comes after the third bit of 2002::/16
        // leads there too: 97 to 109.
        let alias = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
        let count = 97 + alias.len();
        let mut nodes: Vec<[usize; 2]> = (1..=96).map(|next| [next, count]).collect();
        nodes[2][1] = 97;
        nodes.push([count + 16, count]);
        for (at, side) in alias.into_iter().enumerate() {
            let next = 98 + at;
            let mut node = [count; 2];
            node[side] = if next == count { 96 } else { next };
            nodes.push(node);
        }
        let file = written("alias", FORMS[2], &nodes, &data);
        let listed = countries(&file).expect("a database");
        assert_eq!(listed.ranges.len(), 1);
        assert_eq!(
            (listed.ranges[0].first, listed.ranges[0].last),
            (ip("0.0.0.0"), ip("127.255.255.255"))
        );
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn a_damaged_database_is_said_and_never_a_panic() {
        let file = database(
            "damaged",
            FORMS[0],
            vec![("192.0.2.0/24", Value::Map(vec![("country", Value::Text("DE"))]))],
        );
        let whole = std::fs::read(&file).expect("there");
        for at in 0..whole.len() {
            for damaged in [
                &whole[..at],
                &{
                    let mut flipped = whole.clone();
                    flipped[at] ^= 0x55;
                    flipped
                }[..],
            ] {
                std::fs::write(&file, damaged).expect("written");
                let _ = (countries(&file), owners(&file));
            }
        }
        std::fs::write(&file, b"not a database at all").expect("written");
        assert!(matches!(countries(&file), Err(DatabaseError::Malformed(_))));
        std::fs::remove_file(&file).expect("removed");
        assert!(matches!(countries(&file), Err(DatabaseError::Unreadable(_))));
    }
}
