//! HTTP messages in records: our own as they were captured, those of others as they were on the wire.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::capture::{Capture, Field};
use crate::error::{ArchiveError, Damage};
use crate::warc::{MAX_HTTP_HEAD, tail};

/// The head of a response as HTTP/1.1, which is what every reader of archives knows.
pub(super) fn head_of(capture: &Capture) -> Vec<u8> {
    let status = capture.status.clamp(100, 999);
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
    for (name, value) in &capture.fields {
        if name.is_empty() || !name.bytes().all(is_token) {
            continue;
        }
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend(value.iter().map(|&byte| if is_break(byte) { b' ' } else { byte }));
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Status, fields with names in lower case, and where the content begins.
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) fields: Vec<Field>,
    pub(super) length: usize,
}

/// Reads the head of a response.
///
/// # Errors
/// [`Damage::HttpHead`].
pub(super) fn read_head(block: &[u8]) -> Result<Head, ArchiveError> {
    let mut lines = Lines { rest: block, at: 0 };
    let first = lines.next().ok_or(Damage::HttpHead)?;
    let mut words = first.splitn(3, |&byte| byte == b' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default();
    let digits = |byte: &u8| byte.is_ascii_digit();
    if !version.starts_with(b"HTTP/") || status.len() != 3 || !status.iter().all(digits) {
        return Err(Damage::HttpHead.into());
    }
    let status = status.iter().fold(0, |sum, byte| sum * 10 + u16::from(byte - b'0'));
    if status < 100 {
        return Err(Damage::HttpHead.into());
    }
    let mut fields: Vec<Field> = Vec::new();
    loop {
        let line = lines.next().ok_or(Damage::HttpHead)?;
        if line.is_empty() {
            return Ok(Head { status, fields, length: lines.at });
        }
        if lines.at > MAX_HTTP_HEAD {
            return Err(Damage::HttpHead.into());
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // Lines that are no field, folded ones among them, were on the wire and are left out.
        if !name.is_empty() && name.iter().copied().all(is_token) {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            fields.push((name, value.to_vec()));
        }
    }
}

/// The content without its codings, and the fields as they are true then. What has none passes as it is.
///
/// # Errors
/// [`Damage::Coding`]; [`ArchiveError::TooLarge`] for more than `max` bytes;
/// [`ArchiveError::Unsupported`] for a coding nobody here knows.
pub(super) fn without_codings(
    fields: &mut Vec<Field>,
    content: Bytes,
    max: usize,
) -> Result<Bytes, ArchiveError> {
    let mut body = content;
    let transfer = codings(fields, "transfer-encoding");
    let coded = codings(fields, "content-encoding");
    for coding in transfer.iter().rev().chain(coded.iter().rev()) {
        body = match coding.as_str() {
            "identity" => body,
            "chunked" => match unchunked(&body) {
                Some(plain) => Bytes::from(plain),
                // Some programs undo it and leave the field.
                None => body,
            },
            "gzip" | "x-gzip" => match body.starts_with(&[0x1f, 0x8b]) {
                true => bounded(MultiGzDecoder::new(&body[..]), max)?,
                false => body,
            },
            // RFC 9110 §8.4.1.2: with the frame of zlib; some send it bare.
            "deflate" if body.first().is_some_and(|byte| byte & 0x0f == 8) => {
                bounded(ZlibDecoder::new(&body[..]), max)?
            }
            "deflate" => bounded(DeflateDecoder::new(&body[..]), max)?,
            "br" => bounded(brotli::Decompressor::new(&body[..], 4096), max)?,
            _ => return Err(ArchiveError::Unsupported("a content coding in it")),
        };
    }
    if body.len() > max {
        return Err(ArchiveError::TooLarge { max });
    }
    if !transfer.is_empty() || !coded.is_empty() {
        fields.retain(|(name, _)| name != "transfer-encoding" && name != "content-encoding");
    }
    without_hops(fields);
    tell_length(fields, body.len());
    Ok(body)
}

/// Without the fields of the connection (RFC 9110 §7.6.1).
pub(super) fn without_hops(fields: &mut Vec<Field>) {
    let named = codings(fields, "connection");
    fields.retain(|(name, _)| !HOPS.contains(&name.as_str()) && !named.contains(name));
}

const HOPS: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A length that was sent is made true; one that was not is not made up.
fn tell_length(fields: &mut Vec<Field>, length: usize) {
    let Some(at) = fields.iter().position(|(name, _)| name == "content-length") else { return };
    fields[at].1 = length.to_string().into_bytes();
    let mut index = 0;
    fields.retain(|(name, _)| {
        index += 1;
        index <= at + 1 || name != "content-length"
    });
}

/// The members of a list, in lower case.
fn codings(fields: &[Field], name: &str) -> Vec<String> {
    let values = fields.iter().filter(|(found, _)| found == name);
    let members = values.flat_map(|(_, value)| value.split(|&byte| byte == b','));
    let text = |member: &[u8]| String::from_utf8_lossy(member.trim_ascii()).to_ascii_lowercase();
    members.map(text).filter(|member| !member.is_empty()).take(16).collect()
}

fn bounded(decoder: impl Read, max: usize) -> Result<Bytes, ArchiveError> {
    let mut plain = Vec::new();
    // One byte more than is allowed tells the two apart.
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut plain).map_err(|_| Damage::Coding)?;
    if plain.len() > max {
        return Err(ArchiveError::TooLarge { max });
    }
    Ok(Bytes::from(plain))
}

/// RFC 9112 §7.1. `None` if it is not chunked, or not to its end.
fn unchunked(mut coded: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    loop {
        let end = coded.iter().take(1024).position(|&byte| byte == b'\n')?;
        let line = coded[..end].split(|&byte| byte == b';').next()?.trim_ascii();
        let size = std::str::from_utf8(line).ok()?;
        let size = usize::from_str_radix(size, 16).ok().filter(|_| !size.starts_with('+'))?;
        coded = &coded[end + 1..];
        if size == 0 {
            return Some(plain);
        }
        plain.extend_from_slice(coded.get(..size)?);
        coded = &coded[size..];
        coded = coded.strip_prefix(b"\r\n").or_else(|| coded.strip_prefix(b"\n"))?;
    }
}

/// Lines of a head without their ends.
struct Lines<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let window = &self.rest[..self.rest.len().min(MAX_HTTP_HEAD)];
        let end = memchr::memchr(b'\n', window)?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        self.at += end + 1;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Nobody reads them, but a reader of archives may want one.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        403 => "Forbidden",
        404 => "Not Found",
        410 => "Gone",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

/// A whole response: head and content.
///
/// # Errors
/// As [`read_head`] and [`without_codings`].
pub(super) fn read_message(
    block: &Bytes,
    max: usize,
) -> Result<(u16, Vec<Field>, Bytes), ArchiveError> {
    let Head { status, mut fields, length } = read_head(block)?;
    let body = without_codings(&mut fields, tail(block, length), max)?;
    Ok((status, fields, body))
}
