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
    /// It has other things in it.
    #[error("is a database of something else: none of its networks has what is wanted")]
    OfSomethingElse,
}

/// Whether a file is one by its name.
pub(crate) fn is_database(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mmdb"))
}

/// The countries in a database.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) fn countries(file: &Path) -> Result<Vec<RegisteredRange>, DatabaseError> {
    ranges(file, |(first, last), record: Registered| {
        let code = match record.country? {
            Named::Code(code) => code,
            Named::Record { iso_code } => iso_code?,
        };
        Some(RegisteredRange { first, last, country: Country::new(&code)? })
    })
}

/// The owners in a database.
///
/// # Errors
/// [`DatabaseError`].
pub(crate) fn owners(file: &Path) -> Result<Vec<OwnedRange>, DatabaseError> {
    ranges(file, |(first, last), record: Owned| {
        let written = || record.asn.as_ref()?.trim_start_matches("AS").parse().ok();
        // 0 is how lists say that nobody announces a range (RFC 7607).
        let asn = record.autonomous_system_number.or_else(written).filter(|asn| *asn != 0)?;
        Some(OwnedRange { first, last, asn })
    })
}

#[derive(Deserialize)]
struct Registered {
    country: Option<Named>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Named {
    Code(String),
    Record { iso_code: Option<String> },
}

#[derive(Deserialize)]
struct Owned {
    autonomous_system_number: Option<u32>,
    asn: Option<String>,
}

fn ranges<T: for<'de> Deserialize<'de>, R>(
    file: &Path,
    range: impl Fn((IpAddr, IpAddr), T) -> Option<R>,
) -> Result<Vec<R>, DatabaseError> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DatabaseError::TooLarge);
    }
    let reader = Reader::from_source(bytes)?;
    let mut ranges = Vec::new();
    for found in reader.networks(WithinOptions::default())? {
        let found = found?;
        let network = found.network()?;
        let Ok(prefix) = Prefix::new(network.ip(), network.prefix()) else { continue };
        let record: Option<T> = found.decode()?;
        ranges.extend(record.and_then(|record| range(ends_of(prefix), record)));
    }
    if ranges.is_empty() {
        return Err(DatabaseError::OfSomethingElse);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::path::PathBuf;

    use seawall_decide::{Countries, Owners};

    use super::{DatabaseError, countries, owners};

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

    /// A database of networks of IPv4, with records of 24 bits.
    fn database(name: &str, networks: Vec<(&str, Value)>) -> PathBuf {
        let mut nodes: Vec<[Option<usize>; 2]> = vec![[None; 2]];
        let (mut data, mut leaves) = (Vec::new(), Vec::new());
        for (network, record) in networks {
            let (address, bits) = network.split_once('/').expect("a network");
            let address: std::net::Ipv4Addr = address.parse().expect("an address");
            let (bits, mut at) = (bits.parse::<u32>().expect("bits"), 0);
            for bit in 0..bits {
                let side = (address.to_bits() >> (31 - bit) & 1) as usize;
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
        let mut file: Vec<u8> = Vec::new();
        for record in records.iter().flatten() {
            file.extend_from_slice(&(*record as u32).to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; 16]);
        file.extend_from_slice(&data);
        file.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let about = Value::Map(vec![
            ("node_count", Value::Number(count as u32)),
            ("record_size", Value::Short(24)),
            ("ip_version", Value::Short(4)),
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
        let code = |code| Value::Map(vec![("iso_code", Value::Text(code))]);
        let file = database(
            "countries",
            vec![
                ("192.0.2.0/24", Value::Map(vec![("country", code("DE"))])),
                ("198.51.100.0/25", Value::Map(vec![("country", Value::Text("UA"))])),
                ("203.0.113.0/24", Value::Map(vec![("city", Value::Text("nowhere"))])),
            ],
        );
        let countries = Countries::new(&countries(&file).expect("a database"));
        let of = |text| countries.country(ip(text)).map(|country| country.as_str().to_owned());
        assert_eq!(of("192.0.2.200").as_deref(), Some("DE"));
        assert_eq!(of("198.51.100.1").as_deref(), Some("UA"));
        assert_eq!(of("198.51.100.200"), None);
        assert_eq!(of("203.0.113.1"), None);
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn owners_are_read_as_geolite_and_ipinfo_write_them() {
        let file = database(
            "owners",
            vec![
                (
                    "192.0.2.0/24",
                    Value::Map(vec![("autonomous_system_number", Value::Number(64_496))]),
                ),
                ("198.51.100.0/24", Value::Map(vec![("asn", Value::Text("AS64497"))])),
            ],
        );
        let owners = Owners::new(&owners(&file).expect("a database"));
        assert_eq!(owners.owner(ip("192.0.2.1")), Some(64_496));
        assert_eq!(owners.owner(ip("198.51.100.1")), Some(64_497));
        assert_eq!(owners.owner(ip("203.0.113.1")), None);
        assert!(matches!(countries(&file), Err(DatabaseError::OfSomethingElse)));
        std::fs::remove_file(file).expect("removed");
    }

    #[test]
    fn a_damaged_database_is_said_and_never_a_panic() {
        let file = database(
            "damaged",
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
