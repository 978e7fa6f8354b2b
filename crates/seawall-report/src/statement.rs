//! The lines of a record that are no entries: what was sealed, the seal, its signature, and what stands for a line that
//! was removed.
//!
//! Separate because they are the ones that vouch for all others: each has exactly one spelling, and a line is taken for
//! one only if it is, to the letter, what would be written. Keys in another order, a space or a second key with the same
//! name make it something else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seawall_seal::{Digest, SIGNATURE_BYTES, Signature};
use serde::{Deserialize, Serialize};

use crate::Moment;

/// Where each entry begins.
pub(crate) const ENTRY: &[u8] = b"{\"entry\":\"";
/// Where a line of digests begins.
pub(crate) const DIGESTS: &[u8] = b"{\"digests\":[";
/// Where a seal begins.
pub(crate) const SEAL: &[u8] = b"{\"seal\":{";
/// Where a signature begins.
pub(crate) const SIGNATURE: &[u8] = b"{\"signature\":\"";
/// Where stands that a line was removed.
pub(crate) const REMOVED: &[u8] = b"{\"removed\":{";

/// What a signature is put under: one segment, and its place in one record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    /// From 1.
    pub(crate) segment: u64,
    /// The number of its first line in the record, from 1.
    pub(crate) first_line: u64,
    /// How many entries it has: the digests stand in the line behind them.
    pub(crate) lines: u64,
    /// SHA-256 of the line of digests.
    pub(crate) digests: String,
    /// SHA-256 of the seal before; 64 zeros in the first segment.
    pub(crate) previous: String,
    /// SHA-256 of line 1 of the record: no segment of another record of the same key can stand here.
    pub(crate) record: String,
    /// When it was sealed.
    pub(crate) at: Moment,
    /// Name of the key.
    pub(crate) key: String,
    /// Whether the incident's `end` was written: no second comes after it.
    pub(crate) is_closed: bool,
}

#[derive(Deserialize, Serialize)]
struct SealLine {
    seal: Seal,
}

impl Seal {
    /// Its line, without a line break.
    pub(crate) fn line(&self) -> String {
        json(&SealLine { seal: self.clone() })
    }

    /// The seal that `line` is to the letter.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let SealLine { seal } = serde_json::from_slice(line).ok()?;
        (seal.line().as_bytes() == line).then_some(seal)
    }
}

/// The line of digests, without a line break.
pub(crate) fn digests_line(digests: &[Digest]) -> String {
    let mut line = String::with_capacity(16 + digests.len() * DIGEST_CHARS);
    line.push_str("{\"digests\":[");
    for (index, digest) in digests.iter().enumerate() {
        line.push_str(if index == 0 { "\"" } else { ",\"" });
        line.push_str(&digest.to_string());
        line.push('"');
    }
    line.push_str("]}");
    line
}

/// The digests that `line` is to the letter.
pub(crate) fn parse_digests(line: &[u8]) -> Option<Vec<Digest>> {
    let inner = line.strip_prefix(DIGESTS)?.strip_suffix(b"]}")?;
    // One comma less than digests.
    let mut digests = Vec::with_capacity(inner.len() / DIGEST_CHARS + 1);
    for quoted in inner.split(|byte| *byte == b',') {
        let text = quoted.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        digests.push(lower_case_digest(std::str::from_utf8(text).ok()?)?);
    }
    Some(digests)
}

/// What stands under a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    /// Ed25519 over the bytes of the seal's line, without its line break.
    pub(crate) signature: Signature,
    /// SHA-256 of the seal's line. Proves nothing; tells whether the seal or the signature was altered.
    pub(crate) of: Digest,
}

#[derive(Serialize, Deserialize)]
struct SignatureLine {
    signature: String,
    of: String,
}

impl Signed {
    /// Its line, without a line break.
    pub(crate) fn line(&self) -> String {
        json(&SignatureLine { signature: STANDARD.encode(self.signature), of: self.of.to_string() })
    }

    /// The signature that `line` is to the letter.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let read: SignatureLine = serde_json::from_slice(line).ok()?;
        let bytes = STANDARD.decode(&read.signature).ok()?;
        let signature: [u8; SIGNATURE_BYTES] = bytes.try_into().ok()?;
        let signed = Self { signature, of: Digest::parse(&read.of)? };
        (signed.line().as_bytes() == line).then_some(signed)
    }
}

/// What stands in the place of a line that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// Its number, from 1.
    pub(crate) line: u64,
    /// SHA-256 of what stood there.
    pub(crate) sha256: Digest,
}

#[derive(Serialize, Deserialize)]
struct RemovedLine {
    removed: RemovedWhat,
}

#[derive(Serialize, Deserialize)]
struct RemovedWhat {
    line: u64,
    sha256: String,
}

impl Tombstone {
    /// Its line, without a line break.
    pub(crate) fn line(&self) -> String {
        let removed = RemovedWhat { line: self.line, sha256: self.sha256.to_string() };
        json(&RemovedLine { removed })
    }

    /// What `line` is to the letter.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let RemovedLine { removed } = serde_json::from_slice(line).ok()?;
        let tombstone = Self { line: removed.line, sha256: Digest::parse(&removed.sha256)? };
        (tombstone.line().as_bytes() == line).then_some(tombstone)
    }
}

/// Bytes of one digest in its line: digits, quotation marks, a comma.
const DIGEST_CHARS: usize = 67;

fn lower_case_digest(text: &str) -> Option<Digest> {
    let is_lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_lower { Digest::parse(text) } else { None }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("structures of strings and numbers are always JSON")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seal() -> Seal {
        Seal {
            segment: 2,
            first_line: 7,
            lines: 3,
            digests: Digest::of(b"d").to_string(),
            previous: Digest::of(b"p").to_string(),
            record: Digest::of(b"r").to_string(),
            at: Moment::from_unix_ms(1),
            key: "0123456789abcdef".to_owned(),
            is_closed: false,
        }
    }

    /// What is no statement any more.
    fn altered(line: &str) -> Vec<String> {
        vec![
            format!("\u{feff}{line}"),
            format!("{line} "),
            format!("{line}\r"),
            line.replacen(':', ": ", 1),
            line.replace("}", ",\"x\":1}"),
            format!("{},{}", line.trim_end_matches('}'), &line[1..]),
            line.replace('a', "A"),
            line.replace('a', "\\u0061"),
            line[..line.len() - 1].to_owned(),
        ]
    }

    #[test]
    fn a_statement_has_one_spelling() {
        let digests = [Digest::of(b"a"), Digest::of(b"b")];
        let line = digests_line(&digests);
        assert_eq!(parse_digests(line.as_bytes()), Some(digests.to_vec()));
        for wrong in altered(&line) {
            assert_eq!(parse_digests(wrong.as_bytes()), None, "{wrong}");
        }
        let line = seal().line();
        assert!(line.as_bytes().starts_with(SEAL), "{line}");
        assert_eq!(Seal::parse(line.as_bytes()), Some(seal()));
        for wrong in altered(&line).into_iter().filter(|wrong| !wrong.contains('A')) {
            assert_eq!(Seal::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let signed = Signed { signature: [0xfb; 64], of: Digest::of(b"seal") };
        let line = signed.line();
        assert!(line.as_bytes().starts_with(SIGNATURE), "{line}");
        assert_eq!(Signed::parse(line.as_bytes()), Some(signed));
        for wrong in altered(&line) {
            assert_eq!(Signed::parse(wrong.as_bytes()), None, "{wrong}");
        }
        let tombstone = Tombstone { line: 17, sha256: Digest::of(b"gone") };
        let line = tombstone.line();
        assert!(line.as_bytes().starts_with(REMOVED), "{line}");
        assert_eq!(Tombstone::parse(line.as_bytes()), Some(tombstone));
        for wrong in altered(&line) {
            assert_eq!(Tombstone::parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_list_without_a_digest_is_no_list() {
        assert_eq!(parse_digests(b"{\"digests\":[]}"), None);
        assert_eq!(parse_digests(b"{\"digests\":[\"\"]}"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_to_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(parse_digests(&bytes), None);
            prop_assert_eq!(Seal::parse(&bytes), None);
            prop_assert_eq!(Signed::parse(&bytes), None);
            prop_assert_eq!(Tombstone::parse(&bytes), None);
        }
    }
}
