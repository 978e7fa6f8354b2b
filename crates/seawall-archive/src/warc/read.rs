//! Reading one record.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use seawall_seal::Digest;

use crate::capture::Capture;
use crate::dates;
use crate::error::{ArchiveError, Damage};
use crate::warc::write::SAME_PAYLOAD;
use crate::warc::{MAX_HTTP_HEAD, MAX_WARC_HEAD, Record, Revisit, http, tail};

/// Reads the record that is the one gzip member in `bytes` (or lies there as it is, as in a `.warc`), and
/// checks every digest of SHA-256 that it carries. Of the content at most `max` bytes, and about as much
/// memory.
///
/// # Errors
/// [`ArchiveError::Damaged`] if anything is not as it was written; [`ArchiveError::TooLarge`];
/// [`ArchiveError::Unsupported`] for codings of other programs.
pub fn read_member(bytes: &[u8], max: usize) -> Result<Record, ArchiveError> {
    parse(&inflated(bytes, max)?, max, Check::Digests)
}

/// As [`read_member`], for bytes whose own digest was found right just before: for readers who wait.
///
/// # Errors
/// As [`read_member`], but for the digests.
pub fn read_checked_member(bytes: &[u8], max: usize) -> Result<Record, ArchiveError> {
    parse(&inflated(bytes, max)?, max, Check::Nothing)
}

/// Whether the digests that a record carries are worth their time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Digests,
    Nothing,
}

/// The most bytes that a record with a content of `max` bytes may have.
pub(super) fn max_record(max: usize) -> usize {
    max.saturating_add(MAX_WARC_HEAD + MAX_HTTP_HEAD + 4)
}

fn inflated(bytes: &[u8], max: usize) -> Result<Bytes, ArchiveError> {
    let limit = max_record(max);
    if bytes.starts_with(b"WARC/") {
        let is_small = bytes.len() <= limit;
        return is_small
            .then(|| Bytes::copy_from_slice(bytes))
            .ok_or(ArchiveError::TooLarge { max });
    }
    let mut decoder = GzDecoder::new(bytes);
    // Deflate makes at most 1,032 bytes of one: a lie about the size costs no more than the truth.
    let told = bytes.last_chunk().map_or(0, |&size| u32::from_le_bytes(size));
    let told = usize::try_from(told).unwrap_or(limit);
    let room = told.min(limit).min(bytes.len().saturating_mul(1_032));
    let mut record = Vec::with_capacity(room);
    fill(&mut decoder, &mut record, limit, max)?;
    if !decoder.into_inner().is_empty() {
        return Err(Damage::Trailing.into());
    }
    Ok(Bytes::from(record))
}

/// Reads `from` to its end.
pub(super) fn fill(
    from: &mut impl Read,
    record: &mut Vec<u8>,
    limit: usize,
    max: usize,
) -> Result<(), ArchiveError> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    match from.take(most).read_to_end(record) {
        Ok(_) if record.len() > limit => Err(ArchiveError::TooLarge { max }),
        Ok(_) => Ok(()),
        Err(error) => Err(told(error)),
    }
}

/// What an error of reading a gzip member means.
pub(super) fn told(error: std::io::Error) -> ArchiveError {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Damage::Truncated.into(),
        // What flate2 says of bytes that are no gzip.
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Damage::Gzip.into(),
        _ => ArchiveError::Io { what: "read the archive", source: error },
    }
}

/// The named fields at the beginning of a record, and where the block begins.
pub(super) struct WarcHead {
    fields: Vec<(String, String)>,
    /// Bytes of the head with its blank line.
    pub(super) length: usize,
    /// Bytes of the block.
    pub(super) block: usize,
}

impl WarcHead {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The digest of this name, if it is one of SHA-256.
    fn digest(&self, name: &str) -> Option<Digest> {
        let (algorithm, value) = self.field(name)?.split_once(':')?;
        let is_ours =
            algorithm.eq_ignore_ascii_case("sha256") || algorithm.eq_ignore_ascii_case("sha-256");
        is_ours.then(|| Digest::parse(value).or_else(|| from_base32(value)))?
    }

    fn url(&self, name: &str) -> Option<&str> {
        // WARC 1.0 could be read as asking for these, and some programs write them.
        let url = self.field(name)?;
        Some(url.strip_prefix('<').and_then(|url| url.strip_suffix('>')).unwrap_or(url))
    }
}

/// Reads the named fields.
///
/// # Errors
/// [`Damage::WarcHead`]; [`Damage::Truncated`] if there is no end of it in what may be one.
pub(super) fn warc_head(record: &[u8]) -> Result<WarcHead, Damage> {
    let window = &record[..record.len().min(MAX_WARC_HEAD)];
    if !window.starts_with(b"WARC/") {
        return Err(Damage::WarcHead);
    }
    let end = memchr::memmem::find(window, b"\r\n\r\n");
    let end =
        end.ok_or(if record.len() < MAX_WARC_HEAD { Damage::Truncated } else { Damage::WarcHead })?;
    let text = std::str::from_utf8(&window[..end]).map_err(|_| Damage::WarcHead)?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.split("\r\n").skip(1) {
        if line.starts_with([' ', '\t']) {
            // WARC 1.1 §4: a line that begins with a blank goes on with the value before it.
            let (_, value) = fields.last_mut().ok_or(Damage::WarcHead)?;
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Damage::WarcHead)?;
        fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut head = WarcHead { fields, length: end + 4, block: 0 };
    let length = head.field("content-length").ok_or(Damage::WarcHead)?;
    let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    head.block = length.parse().ok().filter(|_| is_number).ok_or(Damage::WarcHead)?;
    Ok(head)
}

/// Reads a whole record.
///
/// # Errors
/// As [`read_member`].
pub(super) fn parse(record: &Bytes, max: usize, check: Check) -> Result<Record, ArchiveError> {
    let head = warc_head(record)?;
    let end = head.length.checked_add(head.block).ok_or(Damage::WarcHead)?;
    if record.len() < end {
        return Err(Damage::Truncated.into());
    }
    // WARC 1.1 §4: two line breaks end a record. Some programs write fewer.
    if !record[end..].iter().all(|byte| matches!(byte, b'\r' | b'\n')) || record.len() > end + 4 {
        return Err(Damage::Trailing.into());
    }
    let block = record.slice(head.length..end);
    let is_checked = check == Check::Digests;
    if is_checked && head.digest("warc-block-digest").is_some_and(|want| Digest::of(&block) != want)
    {
        return Err(Damage::Digest.into());
    }
    let kind = head.field("warc-type").ok_or(Damage::WarcHead)?.to_ascii_lowercase();
    match kind.as_str() {
        "warcinfo" => Ok(Record::Info),
        "response" if is_http(&head) => response(&head, &block, max, check),
        "revisit" if is_http(&head) => revisit(&head, &block),
        _ => Ok(Record::Other),
    }
}

fn is_http(head: &WarcHead) -> bool {
    let is_message = head.field("content-type").is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/http")
    });
    let is_web = head.url("warc-target-uri").is_some_and(|url| {
        let scheme = url.split(':').next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
    });
    is_message && is_web && head.field("warc-segment-number").is_none()
}

fn response(
    head: &WarcHead,
    block: &Bytes,
    max: usize,
    check: Check,
) -> Result<Record, ArchiveError> {
    let (url, captured) = target(head)?;
    let (status, fields, body) = http::read_message(block, max)?;
    if let (Some(want), Check::Digests) = (head.digest("warc-payload-digest"), check) {
        // The content, or (WARC 1.1 §5.9 leaves it open, and programs differ) what was on the wire.
        let raw = || {
            http::read_head(block).is_ok_and(|found| Digest::of(&tail(block, found.length)) == want)
        };
        if Digest::of(&body) != want && !raw() {
            return Err(Damage::Digest.into());
        }
    }
    Ok(Record::Response(Capture { url, captured, status, fields, body }))
}

fn revisit(head: &WarcHead, block: &[u8]) -> Result<Record, ArchiveError> {
    let profile = head.field("warc-profile").unwrap_or_default();
    let is_same_payload =
        profile == SAME_PAYLOAD || profile.ends_with("/revisit/identical-payload-digest");
    let of_url = head.url("warc-refers-to-target-uri");
    let of_captured = head.field("warc-refers-to-date").and_then(dates::parse);
    let (true, Some(of_url), Some(of_captured)) = (is_same_payload, of_url, of_captured) else {
        // Not modified since, or of something that it does not name: nothing can be shown for it.
        return Ok(Record::Other);
    };
    if block.is_empty() {
        return Ok(Record::Other);
    }
    let of_url = of_url.to_owned();
    let (url, captured) = target(head)?;
    let http::Head { status, mut fields, .. } = http::read_head(block)?;
    http::without_hops(&mut fields);
    fields.retain(|(name, _)| name != "content-encoding");
    let capture = Capture { url, captured, status, fields, body: Bytes::new() };
    let payload = head.digest("warc-payload-digest");
    Ok(Record::Revisit(Revisit { head: capture, of_url, of_captured, payload }))
}

fn target(head: &WarcHead) -> Result<(String, seawall_model::WallTime), Damage> {
    let url = head.url("warc-target-uri").ok_or(Damage::WarcHead)?;
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Damage::WarcHead);
    }
    let captured = head.field("warc-date").and_then(dates::parse).ok_or(Damage::WarcHead)?;
    Ok((url.to_owned(), captured))
}

/// RFC 4648 §6, which other programs write digests in.
fn from_base32(text: &str) -> Option<Digest> {
    let text = text.trim_end_matches('=').as_bytes();
    if text.len() != 52 {
        return None;
    }
    let (mut bytes, mut filled) = ([0; 32], 0);
    let (mut bits, mut held) = (0_u16, 0);
    for byte in text {
        let value = match byte.to_ascii_uppercase() {
            letter @ b'A'..=b'Z' => letter - b'A',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = bits << 5 | u16::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            *bytes.get_mut(filled)? = u8::try_from(bits >> held & 0xff).ok()?;
            filled += 1;
            bits &= (1 << held) - 1;
        }
    }
    (filled == 32 && bits == 0).then_some(Digest(bytes))
}

#[cfg(test)]
mod tests {
    use seawall_seal::Digest;

    use super::from_base32;

    #[test]
    fn digests_in_base32_are_read() {
        // printf '' | sha256sum | xxd -r -p | base32
        let empty = "4OYMIQUY7QOBJGX36TEJS35ZEQT24QPEMSNZGTFESWMRW6CSXBKQ====";
        assert_eq!(from_base32(empty), Some(Digest::of(b"")));
        assert_eq!(from_base32(&empty.to_lowercase()), Some(Digest::of(b"")));
        for wrong in
            ["", "4OYM", &empty[1..], &empty.replace('4', "1"), &empty.replace("BKQ=", "BKR=")]
        {
            assert_eq!(from_base32(wrong), None, "{wrong}");
        }
    }
}
