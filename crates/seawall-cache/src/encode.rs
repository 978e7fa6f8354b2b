//! Content codings: what a reader accepts, and turning bytes into gzip or brotli and back.
//!
//! Separate from [`crate::Entry`] because it is pure: bytes in, bytes out, no shared state. It does
//! **not** decide what is worth compressing when (the store's packer does) and knows no
//! other codings: `deflate` is ambiguous in the wild, and zstd is accepted by no reader that does
//! not also take brotli or gzip.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, header};

/// A content coding the store can keep and serve (RFC 9110 §8.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// No coding.
    Identity,
    /// `gzip` (RFC 1952).
    Gzip,
    /// `br` (RFC 7932).
    Brotli,
}

impl Encoding {
    /// Every coding, in the order of [`Encoding::index`].
    pub const ALL: [Self; 3] = [Self::Identity, Self::Gzip, Self::Brotli];

    /// The value for `Content-Encoding`; `None` for identity, which is never spelled out.
    pub const fn token(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }

    /// A dense number, 0 to 2, for tables and files.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The coding with this [`Encoding::index`].
    pub(crate) fn from_index(index: u8) -> Option<Self> {
        Self::ALL.get(usize::from(index)).copied()
    }
}

/// Whether the reader asked for the whole or for a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The whole representation.
    Whole,
    /// A range of it: answered from the identity form where that is acceptable, because ranges of
    /// bytes that we compressed would not survive a restart of the compressor (RFC 9110 §14).
    Range,
}

/// How much a reader likes each coding: thousandths, 0 is "not acceptable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acceptable([u16; 3]);

impl Acceptable {
    /// Parses the value of `Accept-Encoding` (RFC 9110 §12.5.3). O(bytes), no allocation.
    ///
    /// Without the field anything is acceptable, but identity is the only form that a client which
    /// never mentioned a coding is sure to understand.
    pub(crate) fn parse(value: Option<&[u8]>) -> Self {
        match value {
            None | Some(b"" | b"identity") => Self([1000, 0, 0]),
            // What current browsers send; a comparison of lengths and bytes each.
            Some(b"gzip, deflate, br, zstd" | b"gzip, deflate, br" | b"br, gzip, deflate") => {
                Self([1, 1000, 1000])
            }
            Some(b"gzip, deflate" | b"gzip") => Self([1, 1000, 0]),
            Some(other) => Self::parse_list(other),
        }
    }

    fn parse_list(value: &[u8]) -> Self {
        let mut named: [Option<u16>; 3] = [None; 3];
        let mut star = None;
        for member in value.split(|&b| b == b',') {
            let mut parts = member.split(|&b| b == b';');
            let coding = parts.next().unwrap_or_default().trim_ascii();
            let mut q = 1000;
            for parameter in parts {
                let parameter = parameter.trim_ascii();
                if let [b'q' | b'Q', b'=', digits @ ..] = parameter {
                    // An unreadable weight: the member is ignored, as if it were not acceptable.
                    q = parse_q(digits).unwrap_or(0);
                }
            }
            if coding == b"*" {
                star = Some(q);
            } else if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
            {
                named[Encoding::Gzip.index()] = Some(q);
            } else if coding.eq_ignore_ascii_case(b"br") {
                named[Encoding::Brotli.index()] = Some(q);
            } else if coding.eq_ignore_ascii_case(b"identity") {
                named[Encoding::Identity.index()] = Some(q);
            }
        }
        let other = |index: usize| named[index].or(star).unwrap_or(0);
        // RFC 9110 §12.5.3 rule 2: identity is acceptable unless excluded by name or by `*;q=0`;
        // when nobody named it, it ranks below whatever was named.
        let identity = match (named[0], star) {
            (Some(q), _) => q,
            (None, Some(0)) => 0,
            (None, _) => 1,
        };
        Self([identity, other(Encoding::Gzip.index()), other(Encoding::Brotli.index())])
    }

    /// The weight of `encoding`, 0 to 1000; 0 is "not acceptable".
    pub(crate) fn weight(self, encoding: Encoding) -> u16 {
        self.0[encoding.index()]
    }
}

/// `0`, `1`, `0.5`, `0.125`, `1.000`: thousandths. RFC 9110 §12.4.2.
fn parse_q(digits: &[u8]) -> Option<u16> {
    let (whole, fraction) = match digits {
        [whole, b'.', fraction @ ..] => (whole, fraction),
        [whole] => (whole, &[][..]),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut thousandths = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (digit, scale) in fraction.iter().zip([100, 10, 1]) {
        thousandths += u16::from(digit - b'0') * scale;
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// Whether content with these fields is worth storing compressed: text, and fonts and programs
/// that are not compressed already.
pub(crate) fn is_compressible(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let value = value.as_bytes();
    let end = value.iter().position(|&b| b == b';').unwrap_or(value.len());
    let media_type = value[..end].trim_ascii();
    let Some(slash) = media_type.iter().position(|&b| b == b'/') else { return false };
    let (kind, subtype) = (&media_type[..slash], &media_type[slash + 1..]);
    if kind.eq_ignore_ascii_case(b"text") {
        // An event stream must not be held back by a compressor; it never ends either.
        return !subtype.eq_ignore_ascii_case(b"event-stream");
    }
    if ends_with(subtype, b"+xml") || ends_with(subtype, b"+json") {
        return true;
    }
    COMPRESSIBLE.iter().any(|known| media_type.eq_ignore_ascii_case(known))
}

fn ends_with(subtype: &[u8], suffix: &[u8]) -> bool {
    subtype.len() > suffix.len()
        && subtype[subtype.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
}

const COMPRESSIBLE: [&[u8]; 14] = [
    b"application/json",
    b"application/javascript",
    b"application/x-javascript",
    b"application/ecmascript",
    b"application/xml",
    b"application/wasm",
    b"application/vnd.ms-fontobject",
    b"application/x-font-ttf",
    b"application/manifest",
    b"font/ttf",
    b"font/otf",
    b"font/collection",
    b"image/bmp",
    b"image/x-icon",
];

/// Whether the response forbids us to change its coding (RFC 9111 §5.2.2.6).
pub(crate) fn is_no_transform(headers: &HeaderMap) -> bool {
    headers.get_all(header::CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .split(|&b| b == b',')
            .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

/// The one coding the origin applied, as far as we know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OriginCoding {
    /// None or one that we can undo.
    Known(Encoding),
    /// Several, or one that we cannot undo: served as it is.
    Opaque,
}

/// Reads `Content-Encoding` (RFC 9110 §8.4).
pub(crate) fn origin_coding(headers: &HeaderMap) -> OriginCoding {
    let mut found = OriginCoding::Known(Encoding::Identity);
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for token in value.as_bytes().split(|&b| b == b',') {
            let token = token.trim_ascii();
            if token.is_empty() || token.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            if found != OriginCoding::Known(Encoding::Identity) {
                return OriginCoding::Opaque;
            }
            found = if token.eq_ignore_ascii_case(b"gzip") || token.eq_ignore_ascii_case(b"x-gzip")
            {
                OriginCoding::Known(Encoding::Gzip)
            } else if token.eq_ignore_ascii_case(b"br") {
                OriginCoding::Known(Encoding::Brotli)
            } else {
                OriginCoding::Opaque
            };
        }
    }
    found
}

/// Compresses `body`; `None` for identity and when the result would not be at least an eighth
/// smaller, which is the point where the reader's cost of decoding stops paying.
pub(crate) fn compress(encoding: Encoding, body: &[u8]) -> Option<Bytes> {
    let packed = match encoding {
        Encoding::Identity => return None,
        Encoding::Gzip => {
            let mut encoder =
                GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::new(GZIP_LEVEL));
            encoder.write_all(body).ok()?;
            encoder.finish().ok()?
        }
        Encoding::Brotli => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                size_hint: body.len(),
                ..Default::default()
            };
            let mut packed = Vec::with_capacity(body.len() / 3);
            brotli::BrotliCompress(&mut &body[..], &mut packed, &params).ok()?;
            packed
        }
    };
    (packed.len() <= body.len() - body.len() / 8).then(|| shared(packed))
}

/// Undoes `encoding`; `None` when the bytes are damaged or decode to more than `max_bytes`.
pub(crate) fn decompress(encoding: Encoding, packed: &Bytes, max_bytes: u64) -> Option<Bytes> {
    let mut plain = Vec::new();
    match encoding {
        Encoding::Identity => return Some(packed.clone()),
        Encoding::Gzip => {
            MultiGzDecoder::new(&packed[..]).take(max_bytes + 1).read_to_end(&mut plain).ok()?;
        }
        Encoding::Brotli => {
            brotli::Decompressor::new(&packed[..], 16 * 1024)
                .take(max_bytes + 1)
                .read_to_end(&mut plain)
                .ok()?;
        }
    }
    (plain.len() as u64 <= max_bytes).then(|| shared(plain))
}

/// Bytes whose clones never allocate: `Bytes::from(Vec)` allocates its counter at the first clone,
/// which would be on the hot path.
pub(crate) fn shared(mut bytes: Vec<u8>) -> Bytes {
    bytes.shrink_to_fit();
    let bytes = Bytes::from(bytes);
    drop(bytes.clone());
    bytes
}

/// Level 5: the first with lazy matching; on HTML the levels above add a few per cent of size for
/// several times the work.
const GZIP_LEVEL: u32 = 5;
/// Quality 5: the first with context modelling; 10 and 11 are for files packed once per release.
const BROTLI_QUALITY: i32 = 5;

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{
        Acceptable, Encoding, OriginCoding, compress, decompress, is_compressible, is_no_transform,
        origin_coding,
    };

    #[test]
    fn accept_encoding_weighs_each_coding() {
        let cases: [(Option<&str>, [u16; 3]); 22] = [
            (None, [1000, 0, 0]),
            (Some(""), [1000, 0, 0]),
            (Some("identity"), [1000, 0, 0]),
            (Some("gzip"), [1, 1000, 0]),
            (Some("GZIP"), [1, 1000, 0]),
            (Some("x-gzip"), [1, 1000, 0]),
            (Some("gzip, deflate"), [1, 1000, 0]),
            (Some("gzip, deflate, br"), [1, 1000, 1000]),
            (Some("gzip, deflate, br, zstd"), [1, 1000, 1000]),
            (Some("gzip,deflate,br"), [1, 1000, 1000]),
            (Some("br;q=1.0, gzip;q=0.8, *;q=0.1"), [1, 800, 1000]),
            (Some("gzip;q=0"), [1, 0, 0]),
            (Some("gzip;q=0, *"), [1, 0, 1000]),
            (Some("*"), [1, 1000, 1000]),
            (Some("*;q=0"), [0, 0, 0]),
            (Some("identity;q=0"), [0, 0, 0]),
            (Some("identity;q=0, gzip"), [0, 1000, 0]),
            (Some("identity, *;q=0"), [1000, 0, 0]),
            (Some("identity;q=0.5, gzip;q=0.25"), [500, 250, 0]),
            (Some(" gzip ; q=0.125 , br ; Q=1"), [1, 125, 1000]),
            (Some("gzip;q=2, br;q=0.1234"), [1, 0, 0]),
            (Some("compress, zstd, gzipx"), [1, 0, 0]),
        ];
        for (value, expected) in cases {
            assert_eq!(
                Acceptable::parse(value.map(str::as_bytes)),
                Acceptable(expected),
                "{value:?}"
            );
        }
    }

    #[test]
    fn text_and_raw_fonts_are_compressible_and_media_is_not() {
        let cases = [
            ("text/html; charset=UTF-8", true),
            ("TEXT/CSS", true),
            ("application/rss+xml", true),
            ("application/ld+json", true),
            ("image/svg+xml", true),
            ("application/javascript", true),
            ("font/ttf", true),
            ("application/wasm", true),
            ("font/woff2", false),
            ("image/jpeg", false),
            ("video/mp4", false),
            ("text/event-stream", false),
            ("application/octet-stream", false),
            ("nonsense", false),
        ];
        for (value, expected) in cases {
            let mut headers = http::HeaderMap::new();
            headers.insert("content-type", HeaderValue::from_static(value));
            assert_eq!(is_compressible(&headers), expected, "{value}");
        }
    }

    #[test]
    fn origin_codings_are_recognised() {
        let cases: [(&[&'static str], OriginCoding); 6] = [
            (&[], OriginCoding::Known(Encoding::Identity)),
            (&["identity"], OriginCoding::Known(Encoding::Identity)),
            (&["gzip"], OriginCoding::Known(Encoding::Gzip)),
            (&["BR"], OriginCoding::Known(Encoding::Brotli)),
            (&["gzip, br"], OriginCoding::Opaque),
            (&["zstd"], OriginCoding::Opaque),
        ];
        for (values, expected) in cases {
            let mut headers = http::HeaderMap::new();
            for value in values {
                headers.append("content-encoding", HeaderValue::from_static(value));
            }
            assert_eq!(origin_coding(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn no_transform_is_found_in_any_line() {
        let mut headers = http::HeaderMap::new();
        headers.append("cache-control", HeaderValue::from_static("max-age=5"));
        assert!(!is_no_transform(&headers));
        headers.append("cache-control", HeaderValue::from_static("public, No-Transform"));
        assert!(is_no_transform(&headers));
    }

    #[test]
    fn decoding_stops_at_its_bound() {
        let body = vec![b'a'; 100_000];
        for encoding in [Encoding::Gzip, Encoding::Brotli] {
            let packed = compress(encoding, &body).expect("a run of one letter compresses");
            assert_eq!(decompress(encoding, &packed, 100_000).expect("fits").len(), 100_000);
            assert_eq!(decompress(encoding, &packed, 99_999), None);
            let cut = packed.slice(..packed.len() / 2);
            assert_eq!(decompress(encoding, &cut, 100_000), None, "{encoding:?} cut short");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_compression(words in proptest::collection::vec(0u8..20, 64..4096), salt in any::<u8>()) {
            let body: Vec<u8> = words.iter().map(|w| w.wrapping_add(salt)).collect();
            for encoding in [Encoding::Gzip, Encoding::Brotli] {
                if let Some(packed) = compress(encoding, &body) {
                    prop_assert_eq!(&decompress(encoding, &packed, 1 << 20).expect("decodes")[..], &body[..]);
                }
            }
        }

        #[test]
        fn any_accept_encoding_is_read_without_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            Acceptable::parse(Some(&value));
        }
    }
}
