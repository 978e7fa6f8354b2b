//! Records for tests of this crate.

use seawall_seal::SigningKey;

use crate::{
    Address, Addresses, Begin, Chain, End, Entry, Gap, Moment, Note, Removed, Row, Second,
    Timestamp,
};

/// A key that is the same in every run.
pub(crate) fn key(number: u8) -> SigningKey {
    // RFC 8410 §7: PKCS #8, version 1, Ed25519, 32 bytes.
    let mut der = vec![
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    der.extend([number; 32]);
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    SigningKey::from_pem(&pem).expect("it is a key")
}

pub(crate) fn at(ms: u64) -> Moment {
    Moment::from_unix_ms(1_794_000_000_000 + ms)
}

pub(crate) fn second(number: u64) -> Entry {
    let state = "attack".to_owned();
    Entry::Second(Box::new(Second { at: at(number * 1_000), state, ..Second::default() }))
}

pub(crate) fn row(number: u64) -> Entry {
    let prefix = "192.0.2.0/24".to_owned();
    Entry::Row(Box::new(Row { at: at(number), p: 0.5, prefix, ..Row::default() }))
}

pub(crate) fn note(text: &str) -> Entry {
    Entry::Note(Note { text: text.to_owned(), ..Note::default() })
}

pub(crate) fn addresses(remove_at: Moment) -> Entry {
    let last = remove_at.unix_ms() % 251;
    let address = Address { address: format!("203.0.113.{last}"), ..Address::default() };
    let salt = format!("{:032x}", u128::from(remove_at.unix_ms()).pow(3));
    let (count, age) = (1, None);
    Entry::Addresses(Box::new(Addresses { salt, addresses: vec![address], age, count, remove_at }))
}

pub(crate) fn removed(lines: &[u64]) -> Entry {
    Entry::Removed(Removed { at: at(9), lines: lines.to_vec(), why: "retention".to_owned() })
}

pub(crate) fn gap() -> Entry {
    Entry::Gap(Gap { from: at(1), why: "killed".to_owned(), ..Gap::default() })
}

pub(crate) fn stamp() -> Entry {
    Entry::Timestamp(Timestamp { segment: 1, ..Timestamp::default() })
}

pub(crate) fn end() -> Entry {
    Entry::End(Box::<End>::default())
}

/// Writes a record: one segment for each list of entries.
pub(crate) fn record(key: &SigningKey, incident: &str, segments: &[Vec<Entry>]) -> Vec<u8> {
    let begin = Begin { incident: incident.to_owned(), ..Begin::default() };
    let (mut chain, mut bytes) = Chain::begin(&begin, key).expect("it is short");
    for entries in segments {
        for entry in entries {
            bytes.extend(chain.append(entry).expect("it may stand there"));
        }
        bytes.extend(chain.seal(key, at(chain.lines())).expect("it is not empty"));
    }
    bytes
}

/// A closed record of three segments and one that follows its end.
pub(crate) fn small(key: &SigningKey, incident: &str) -> Vec<u8> {
    let segments = [
        vec![second(1), row(2)],
        vec![gap(), addresses(at(1)), second(3)],
        vec![end()],
        vec![note("it was claimed")],
    ];
    record(key, incident, &segments)
}

/// The lines of a record, with their breaks.
pub(crate) fn lines(record: &[u8]) -> Vec<Vec<u8>> {
    record.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}
