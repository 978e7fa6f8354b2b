//! The TLS ClientHello (RFC 8446 §4.1.2), read before the TLS library sees it.
//!
//! Separate from the library because a fingerprint needs what libraries do not hand out: the order
//! and number of extensions. It deliberately does **not** judge the hello: whatever has the outer
//! layout of one is accepted, unreadable extension contents count as absent, and the library
//! decides about the handshake.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::vec::Vec;

use seawall_model::{Ja4, Misbehaviour};
use thiserror::Error;

use crate::bytes::{HOST, run};
use crate::ja4::{Ja4Parts, is_grease};

/// What a client says first.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientHello {
    /// The server name (RFC 6066 §3): lower case, without final dot, DNS characters only. `None` if
    /// there is none or it is invalid.
    pub sni: Option<Box<str>>,
    /// The first protocol of ALPN (RFC 7301).
    pub alpn_first: Option<Box<[u8]>>,
    /// Whether ALPN holds `h2`.
    pub offers_http2: bool,
    /// Whether ALPN holds `http/1.1`.
    pub offers_http11: bool,
    /// Whether TLS 1.3 is among the supported versions.
    pub offers_tls13: bool,
    /// Whether the client brings a session to resume: a TLS 1.2 ticket (RFC 5077) or a TLS 1.3
    /// pre-shared key (RFC 8446 §4.2.11). A claim, not checked.
    pub offers_resumption: bool,
    /// The fingerprint.
    pub ja4: Ja4,
    /// Bytes of the handshake message, without record headers.
    pub message_bytes: usize,
}

/// Why there is no hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// More bytes are needed.
    #[error("the hello is not whole yet")]
    Incomplete,
    /// These bytes begin no acceptable hello. Close the connection.
    #[error("refused: {}", .0.as_str())]
    Refused(Misbehaviour),
}

/// Reads the hello at the start of `records`, a stream of TLS records. The message may be spread
/// over several records (RFC 8446 §5.1). At most `max` bytes of message are read.
///
/// O(bytes, and the sorting of cipher suites and extensions); allocates what the result holds and
/// two short lists. Call again with the same bytes and more while the result is `Incomplete`.
///
/// # Errors
/// [`HelloError::Incomplete`]; [`HelloError::Refused`] with [`Misbehaviour::TlsGarbage`] or
/// [`Misbehaviour::TlsHelloTooLarge`].
pub fn parse(records: &[u8], max: usize) -> Result<ClientHello, HelloError> {
    let message = message(records, max)?;
    let body = message.get(HANDSHAKE_HEADER_BYTES..).unwrap_or(&[]);
    read(body, message.len()).ok_or(GARBAGE)
}

const GARBAGE: HelloError = HelloError::Refused(Misbehaviour::TlsGarbage);
const TOO_LARGE: HelloError = HelloError::Refused(Misbehaviour::TlsHelloTooLarge);
const RECORD_HEADER_BYTES: usize = 5;
const HANDSHAKE_HEADER_BYTES: usize = 4;
/// RFC 8446 §5.1.
const MAX_RECORD_BYTES: usize = 1 << 14;
/// Records a hello may be spread over. Libraries cut at 16 KiB, some privacy tools at the server
/// name; one byte per record is a probe.
const MAX_RECORDS: usize = 64;

/// The handshake message: borrowed if it lies in one record.
fn message(records: &[u8], max: usize) -> Result<Cow<'_, [u8]>, HelloError> {
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = records;
    for count in 0..MAX_RECORDS {
        let fragment = record(rest)?;
        if count == 0 {
            joined = Cow::Borrowed(fragment.there);
        } else {
            joined.to_mut().extend_from_slice(fragment.there);
        }
        let needed = message_bytes(&joined)?;
        if needed.is_some_and(|needed| needed > max) {
            return Err(TOO_LARGE);
        }
        if let Some(whole) = needed.filter(|&needed| needed <= joined.len()) {
            return Ok(match joined {
                Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(..whole).unwrap_or(bytes)),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(whole);
                    Cow::Owned(bytes)
                }
            });
        }
        rest = fragment.rest.ok_or(HelloError::Incomplete)?;
    }
    Err(GARBAGE)
}

struct Fragment<'a> {
    /// What has come of the fragment.
    there: &'a [u8],
    /// What follows the record; `None` if the record is not whole.
    rest: Option<&'a [u8]>,
}

/// Reads one record header: handshake type, version 3.x, and a sane length. Each byte is judged as
/// soon as it is there, so that garbage is refused at once.
fn record(bytes: &[u8]) -> Result<Fragment<'_>, HelloError> {
    let (header, body) = match bytes {
        [22, 3, version, _, _, ..] if *version <= 4 => bytes.split_at(RECORD_HEADER_BYTES),
        [] | [22] | [22, 3] => return Err(HelloError::Incomplete),
        [22, 3, version] | [22, 3, version, _] if *version <= 4 => {
            return Err(HelloError::Incomplete);
        }
        _ => return Err(GARBAGE),
    };
    let len = header.last_chunk::<2>().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
    if len == 0 || len > MAX_RECORD_BYTES {
        return Err(GARBAGE);
    }
    Ok(match body.split_at_checked(len) {
        Some((there, rest)) => Fragment { there, rest: Some(rest) },
        None => Fragment { there: body, rest: None },
    })
}

/// Length of the handshake message with its header; `None` while that is unknown.
fn message_bytes(message: &[u8]) -> Result<Option<usize>, HelloError> {
    match message {
        [1, a, b, c, ..] => {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            Ok(Some(HANDSHAKE_HEADER_BYTES + len))
        }
        [] | [1, ..] => Ok(None),
        _ => Err(GARBAGE),
    }
}

/// Reads the message body. `None` if its outer layout is wrong.
fn read(body: &[u8], message_bytes: usize) -> Option<ClientHello> {
    let mut body = Reader(body);
    let legacy_version = body.u16()?;
    body.take(32)?;
    let session_id = body.vector_u8()?;
    let ciphers = body.vector_u16()?;
    let compression = body.vector_u8()?;
    if session_id.len() > 32 || ciphers.len() % 2 != 0 || compression.is_empty() {
        return None;
    }
    // RFC 5246 §7.4.1.2: the extensions may be missing altogether.
    let extensions = if body.0.is_empty() { &[] } else { body.vector_u16()? };
    if !body.0.is_empty() {
        return None;
    }

    let mut seen = Seen::default();
    let mut types = Vec::new();
    let mut extensions = Reader(extensions);
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.vector_u16()?;
        if !is_grease(kind) {
            types.push(kind);
        }
        seen.take_extension(kind, content);
    }
    let ciphers = u16s(ciphers).filter(|&cipher| !is_grease(cipher)).collect();
    let ja4 = Ja4Parts {
        version: seen.version.unwrap_or(legacy_version),
        has_sni: seen.has_sni,
        alpn_first: seen.alpn.clone().next(),
        ciphers,
        extensions: types,
        signature_algorithms: seen.signature_algorithms,
    }
    .fingerprint();
    Some(ClientHello {
        sni: seen.sni.and_then(server_name),
        alpn_first: seen.alpn.clone().next().map(Box::from),
        offers_http2: seen.alpn.clone().any(|name| name == b"h2"),
        offers_http11: seen.alpn.clone().any(|name| name == b"http/1.1"),
        offers_tls13: seen.offers_tls13,
        offers_resumption: seen.offers_resumption,
        ja4,
        message_bytes,
    })
}

/// What the extensions say. Contents that do not parse leave things as they are.
#[derive(Default)]
struct Seen<'a> {
    has_sni: bool,
    sni: Option<&'a [u8]>,
    alpn: ProtocolNames<'a>,
    version: Option<u16>,
    offers_tls13: bool,
    offers_resumption: bool,
    signature_algorithms: &'a [u8],
}

impl<'a> Seen<'a> {
    /// Types: IANA "TLS ExtensionType Values".
    fn take_extension(&mut self, kind: u16, content: &'a [u8]) {
        let mut content = Reader(content);
        match kind {
            0 => {
                self.has_sni = true;
                self.sni = host_name(content);
            }
            13 => self.signature_algorithms = content.vector_u16().unwrap_or(&[]),
            16 => self.alpn = ProtocolNames(Reader(content.vector_u16().unwrap_or(&[]))),
            35 => self.offers_resumption |= !content.0.is_empty(),
            41 => self.offers_resumption = true,
            43 => {
                let versions = content.vector_u8().unwrap_or(&[]);
                self.version = u16s(versions).filter(|&version| !is_grease(version)).max();
                self.offers_tls13 = u16s(versions).any(|version| version == 0x0304);
            }
            _ => {}
        }
    }
}

/// The first `host_name` entry of a server name list (RFC 6066 §3).
fn host_name(mut content: Reader<'_>) -> Option<&[u8]> {
    let mut list = Reader(content.vector_u16()?);
    while !list.0.is_empty() {
        let kind = list.u8()?;
        let name = list.vector_u16()?;
        if kind == 0 {
            return Some(name);
        }
    }
    None
}

fn server_name(name: &[u8]) -> Option<Box<str>> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_valid = !name.is_empty()
        && name.len() <= 253
        && run(name, HOST) == name.len()
        && name.split(|&b| b == b'.').all(|label| !label.is_empty());
    if !is_valid {
        return None;
    }
    let mut name: Box<str> = core::str::from_utf8(name).ok()?.into();
    name.make_ascii_lowercase();
    Some(name)
}

/// The protocol names of ALPN (RFC 7301 §3.1). Ends where the list does not parse.
#[derive(Clone, Default)]
struct ProtocolNames<'a>(Reader<'a>);

impl<'a> Iterator for ProtocolNames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.vector_u8()
    }
}

fn u16s(bytes: &[u8]) -> impl Iterator<Item = u16> + '_ {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair))
}

/// Reads from the front of a slice; `None` at its end.
#[derive(Clone, Default)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn vector_u8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(usize::from(len))
    }

    fn vector_u16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }
}
