//! Stamps of the time (RFC 3161): what an authority is asked, and whether its answer is about what was asked.
//!
//! An authority signs that a digest existed at a time; the digest is that of a seal, so that all up to there existed. It
//! learns nothing else. This writes the question and reads of the answer that it was granted, for which digest and when;
//! whether the authority's signature is good is for `openssl ts -verify`, with the certificates that one trusts. It does
//! **not** speak to anybody. An answer comes from strangers: every length in it is checked.

use seawall_seal::Digest;

use crate::Moment;

/// Why an answer is no stamp of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StampError {
    /// Not a TimeStampResp in DER.
    #[error("the answer is no time stamp")]
    Malformed,
    /// The authority's answer (RFC 3161 §2.4.2: 2 is rejection).
    #[error("the authority did not stamp it: status {0}")]
    Refused(u8),
    /// It is of something else, or answers another question.
    #[error("the stamp is of something else")]
    Other,
}

/// A TimeStampReq (RFC 3161 §2.4.1) for a SHA-256 digest, in DER. `nonce` should be random: an old answer to another
/// question has another.
pub fn stamp_request(digest: Digest, nonce: u64) -> Vec<u8> {
    let imprint = [&SHA256_IDENTIFIER[..], &element(OCTETS, &digest.0)].concat();
    let body = [
        element(INTEGER, &[1]),
        element(SEQUENCE, &imprint),
        element(INTEGER, &unsigned(nonce)),
        // The authority's certificate shall be in the answer: it has to be checked in ten years.
        element(BOOLEAN, &[0xff]),
    ];
    element(SEQUENCE, &body.concat())
}

/// Reads a TimeStampResp: when the authority says that `digest` existed. Its signature is **not** checked.
///
/// # Errors
/// [`StampError`].
pub fn read_stamp(
    response: &[u8],
    digest: Digest,
    nonce: Option<u64>,
) -> Result<Moment, StampError> {
    let (mut answer, rest) = Der(response).inner(SEQUENCE)?;
    if !rest.0.is_empty() {
        return Err(StampError::Malformed);
    }
    let status = answer.take(SEQUENCE)?.take(INTEGER)?;
    // RFC 3161 §2.4.2: granted, or granted with modifications.
    match status.0 {
        [0 | 1] => {}
        [status] => return Err(StampError::Refused(*status)),
        _ => return Err(StampError::Malformed),
    }
    let mut info = token(answer)?;
    let (_version, _policy) = (info.take(INTEGER)?, info.take(OBJECT)?);
    let mut imprint = info.take(SEQUENCE)?;
    let algorithm = imprint.take(SEQUENCE)?.take(OBJECT)?;
    if algorithm.0 != SHA256 || imprint.take(OCTETS)?.0 != digest.0 {
        return Err(StampError::Other);
    }
    let _serial = info.take(INTEGER)?;
    let at = time(info.take(TIME)?.0).ok_or(StampError::Malformed)?;
    if let Some(nonce) = nonce {
        // Accuracy and ordering may come before it, and a name behind it.
        while !info.0.is_empty() && info.0[0] != INTEGER {
            info.take(info.0[0])?;
        }
        let found = info.take(INTEGER).map_err(|_| StampError::Other)?;
        if found.0 != unsigned(nonce) {
            return Err(StampError::Other);
        }
    }
    Ok(at)
}

/// The TSTInfo within a ContentInfo of SignedData (RFC 5652 §3, §5.1).
fn token(mut answer: Der<'_>) -> Result<Der<'_>, StampError> {
    let mut content = answer.take(SEQUENCE)?;
    if content.take(OBJECT)?.0 != SIGNED_DATA {
        return Err(StampError::Malformed);
    }
    let mut signed = content.take(EXPLICIT)?.take(SEQUENCE)?;
    let (_version, _algorithms) = (signed.take(INTEGER)?, signed.take(SET)?);
    let mut encapsulated = signed.take(SEQUENCE)?;
    if encapsulated.take(OBJECT)?.0 != TST_INFO {
        return Err(StampError::Malformed);
    }
    encapsulated.take(EXPLICIT)?.take(OCTETS)?.take(SEQUENCE)
}

/// `20261122T100800Z` without the `T`, with or without a part of a second (RFC 3161 §2.4.2).
fn time(bytes: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || part.is_empty() || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let ms: String = part.chars().chain("00".chars()).take(3).collect();
    let part = |from: usize, to: usize| &whole[from..to];
    Moment::parse(&format!(
        "{}-{}-{}T{}:{}:{}.{ms}Z",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(8, 10),
        part(10, 12),
        part(12, 14)
    ))
}

/// Elements in DER (X.690), one behind the other.
#[derive(Clone, Copy, Debug)]
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// What is in the first element, which must have this tag; the others stay.
    fn take(&mut self, tag: u8) -> Result<Der<'a>, StampError> {
        let (inner, rest) = self.inner(tag)?;
        *self = rest;
        Ok(inner)
    }

    fn inner(self, tag: u8) -> Result<(Der<'a>, Der<'a>), StampError> {
        let (found, length, rest) = match *self.0 {
            [found, length @ 0..=0x7f, ref rest @ ..] => (found, usize::from(length), rest),
            [found, 0x81, length, ref rest @ ..] => (found, usize::from(length), rest),
            [found, 0x82, high, low, ref rest @ ..] => {
                (found, usize::from(high) << 8 | usize::from(low), rest)
            }
            _ => return Err(StampError::Malformed),
        };
        let (inner, rest) = rest.split_at_checked(length).ok_or(StampError::Malformed)?;
        if found == tag { Ok((Der(inner), Der(rest))) } else { Err(StampError::Malformed) }
    }
}

/// One element. What is asked is shorter than 128 bytes.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    debug_assert!(content.len() < 0x80, "the short form of a length");
    [&[tag, content.len() as u8], content].concat()
}

/// A number without leading zeros, and with one where it would be taken for negative (X.690 §8.3).
fn unsigned(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    let mut digits = bytes[first..].to_vec();
    if digits[0] >= 0x80 {
        digits.insert(0, 0);
    }
    digits
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Context-specific, constructed, 0.
const EXPLICIT: u8 = 0xa0;

/// 2.16.840.1.101.3.4.2.1
const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
/// The same as an AlgorithmIdentifier with NULL for parameters.
const SHA256_IDENTIFIER: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00];
/// 1.2.840.113549.1.7.2
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 1.2.840.113549.1.9.16.1.4
const TST_INFO: [u8; 11] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What an authority answers, without its signature.
    fn answer(status: u8, digest: Digest, at: &str, nonce: u64) -> Vec<u8> {
        fn long(tag: u8, content: &[u8]) -> Vec<u8> {
            let length = content.len() as u16;
            [&[tag, 0x82, (length >> 8) as u8, length as u8], content].concat()
        }
        let imprint = [&SHA256_IDENTIFIER[..], &element(OCTETS, &digest.0)].concat();
        let info = [
            element(INTEGER, &[1]),
            element(OBJECT, &[0x2a, 3]),
            element(SEQUENCE, &imprint),
            element(INTEGER, &[7]),
            element(TIME, at.as_bytes()),
            element(SEQUENCE, &element(INTEGER, &[1])),
            element(INTEGER, &unsigned(nonce)),
        ];
        let info = long(SEQUENCE, &info.concat());
        let inside = long(EXPLICIT, &long(OCTETS, &info));
        let signed = [
            element(INTEGER, &[3]),
            element(SET, &[]),
            long(SEQUENCE, &[element(OBJECT, &TST_INFO), inside].concat()),
        ];
        let signed = long(EXPLICIT, &long(SEQUENCE, &signed.concat()));
        let token = long(SEQUENCE, &[element(OBJECT, &SIGNED_DATA), signed].concat());
        let status = element(SEQUENCE, &element(INTEGER, &[status]));
        long(SEQUENCE, &[status, token].concat())
    }

    #[test]
    fn an_answer_is_a_stamp_of_what_was_asked_or_of_nothing() {
        let digest = Digest::of(b"seal");
        let read = |answer: &[u8]| read_stamp(answer, digest, Some(0xff00));
        let granted = answer(0, digest, "20261122100800.25Z", 0xff00);
        let at = Moment::parse("2026-11-22T10:08:00.250Z").expect("a moment");
        assert_eq!(read(&granted), Ok(at));
        assert_eq!(read_stamp(&granted, digest, None), Ok(at));
        let refused = answer(2, digest, "20261122100800Z", 0xff00);
        assert_eq!(read(&refused), Err(StampError::Refused(2)));
        let other = answer(0, Digest::of(b"other"), "20261122100800Z", 0xff00);
        assert_eq!(read(&other), Err(StampError::Other));
        let old = answer(0, digest, "20261122100800Z", 0xff01);
        assert_eq!(read(&old), Err(StampError::Other));
        for at in ["20261322100800Z", "20261122100800", "202611221008Z", "20261122100800.Z"] {
            assert_eq!(read(&answer(0, digest, at, 0xff00)), Err(StampError::Malformed), "{at}");
        }
    }

    #[test]
    fn numbers_are_never_negative() {
        assert_eq!(unsigned(0), [0]);
        assert_eq!(unsigned(0x7f), [0x7f]);
        assert_eq!(unsigned(0x80), [0, 0x80]);
        assert_eq!(unsigned(u64::MAX), [&[0][..], &[0xff; 8]].concat());
    }

    proptest! {
        #[test]
        fn no_answer_is_too_odd_to_be_read(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            by in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let digest = Digest::of(b"seal");
            prop_assert!(read_stamp(&bytes, digest, None).is_err());
            let mut granted = answer(0, digest, "20261122100800Z", 1);
            prop_assert!(read_stamp(&granted[..cut.index(granted.len())], digest, None).is_err());
            let at = at.index(granted.len());
            granted[at] ^= by;
            let _ = read_stamp(&granted, digest, Some(1));
        }
    }
}
