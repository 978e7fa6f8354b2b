//! The JA4 TLS client fingerprint, `t…` (TLS over TCP) only.
//!
//! *Source:* FoxIO JA4, `technical_details/JA4.md` (BSD-3-Clause). The rest of the JA4+ family is
//! under another licence and is deliberately absent.

use alloc::vec::Vec;

use seawall_model::Ja4;
use sha2::{Digest, Sha256};

/// What the fingerprint is made of, without GREASE values.
pub(crate) struct Ja4Parts<'a> {
    /// The highest supported version.
    pub(crate) version: u16,
    pub(crate) has_sni: bool,
    pub(crate) alpn_first: Option<&'a [u8]>,
    /// In any order.
    pub(crate) ciphers: Vec<u16>,
    /// In any order, with SNI and ALPN.
    pub(crate) extensions: Vec<u16>,
    /// As on the wire: two bytes each.
    pub(crate) signature_algorithms: &'a [u8],
}

impl Ja4Parts<'_> {
    /// Puts the parts together. Sorts the lists in place.
    pub(crate) fn fingerprint(mut self) -> Ja4 {
        let mut text = [b'_'; 36];
        let (head, hashes) = text.split_at_mut(10);
        let [ciphers_tens, ciphers_ones] = two_digits(self.ciphers.len());
        let [extensions_tens, extensions_ones] = two_digits(self.extensions.len());
        let [version_first, version_last] = version(self.version);
        let [alpn_first, alpn_last] = alpn(self.alpn_first.unwrap_or(&[]));
        head.copy_from_slice(&[
            b't',
            version_first,
            version_last,
            if self.has_sni { b'd' } else { b'i' },
            ciphers_tens,
            ciphers_ones,
            extensions_tens,
            extensions_ones,
            alpn_first,
            alpn_last,
        ]);

        self.ciphers.sort_unstable();
        self.extensions.retain(|&kind| kind != SNI && kind != ALPN);
        self.extensions.sort_unstable();
        let algorithms = self
            .signature_algorithms
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| u16::from_be_bytes(*pair))
            .filter(|&algorithm| !is_grease(algorithm));
        // `_` and twelve digits, twice.
        if let Some((ciphers, extensions)) = hashes.split_at_mut_checked(13) {
            hash_into(ciphers, &self.ciphers, core::iter::empty());
            hash_into(extensions, &self.extensions, algorithms);
        }
        Ja4::new(text)
    }
}

/// Whether a code point is one of the sixteen GREASE values `0x?A?A` (RFC 8701 §2).
pub(crate) const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

const SNI: u16 = 0;
const ALPN: u16 = 16;

fn two_digits(count: usize) -> [u8; 2] {
    let count = count.min(99) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

fn version(version: u16) -> [u8; 2] {
    match version {
        0x0304 => *b"13",
        0x0303 => *b"12",
        0x0302 => *b"11",
        0x0301 => *b"10",
        0x0300 => *b"s3",
        0x0002 => *b"s2",
        _ => *b"00",
    }
}

/// First and last character of the first protocol name.
///
/// For a name that begins or ends in ASCII other than letters and digits the specification asks
/// for the outer digits of its hexadecimal form. For 8-bit bytes it asks for the same, but the
/// reference implementation and its published vectors have `9` for each such byte; fingerprints
/// are only of use if they equal what others publish, so we follow the vectors.
fn alpn(name: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return *b"00";
    };
    let has_form = |byte: u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    if has_form(first) && has_form(last) {
        return [first, last].map(|byte| if byte.is_ascii() { byte } else { b'9' });
    }
    [hex_digit(first >> 4), hex_digit(last & 15)]
}

/// Writes the first twelve hexadecimal digits of the SHA-256 of `sorted[_unsorted]` behind the
/// first byte of `out`; zeros if `sorted` is empty.
fn hash_into(out: &mut [u8], sorted: &[u16], unsorted: impl Iterator<Item = u16>) {
    let Some(digits) = out.get_mut(1..) else {
        return;
    };
    if sorted.is_empty() {
        digits.fill(b'0');
        return;
    }
    let mut hash = Sha256::new();
    let mut separator: &[u8] = b"";
    for &value in sorted {
        hash.update(separator);
        hash.update(hex(value));
        separator = b",";
    }
    separator = b"_";
    for value in unsorted {
        hash.update(separator);
        hash.update(hex(value));
        separator = b",";
    }
    let hash = hash.finalize();
    for (pair, byte) in digits.chunks_exact_mut(2).zip(hash) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
}

fn hex(value: u16) -> [u8; 4] {
    let [a, b] = value.to_be_bytes();
    [hex_digit(a >> 4), hex_digit(a & 15), hex_digit(b >> 4), hex_digit(b & 15)]
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + (nibble - 10) }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{Ja4Parts, alpn, is_grease};

    #[test]
    fn the_example_of_the_specification_comes_out() {
        let parts = Ja4Parts {
            version: 0x0304,
            has_sni: true,
            alpn_first: Some(b"h2"),
            ciphers: vec![
                0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            signature_algorithms: &[4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1],
        };
        assert_eq!(parts.fingerprint().as_str(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn nothing_hashes_to_zeros_and_counts_stop_at_99() {
        let parts = |count: usize| Ja4Parts {
            version: 0x0bad,
            has_sni: false,
            alpn_first: None,
            ciphers: vec![1; count],
            extensions: vec![],
            signature_algorithms: &[],
        };
        assert_eq!(parts(0).fingerprint().as_str(), "t00i000000_000000000000_000000000000");
        assert!(parts(1000).fingerprint().as_str().starts_with("t00i990000_"));
    }

    #[test]
    fn alpn_shows_as_two_characters() {
        let cases: [(&[u8], &[u8; 2]); 9] = [
            (b"", b"00"),
            (b"h2", b"h2"),
            (b"http/1.1", b"h1"),
            (b"x", b"xx"),
            (b"-", b"2d"),
            (b"h-", b"6d"),
            (b"\x20a", b"21"),
            (b"\xba\xad", b"99"),
            (b"x\xad", b"x9"),
        ];
        for (name, want) in cases {
            assert_eq!(&alpn(name), want, "{name:?}");
        }
    }

    #[test]
    fn grease_is_sixteen_values() {
        assert_eq!((0..=u16::MAX).filter(|&value| is_grease(value)).count(), 16);
        assert!(is_grease(0xfafa) && !is_grease(0x0a1a) && !is_grease(0x0a0b));
    }
}
