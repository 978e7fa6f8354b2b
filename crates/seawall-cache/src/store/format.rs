//! The file of one entry on disk.
//!
//! Separate so that the layout has one place and is tested without a disk. Total: any bytes are
//! either a sound file or [`Damaged`]. It does **not** open files.
//!
//! Layout, numbers little-endian:
//!
//! | at | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `SWCACHE\n` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | length of the header that follows at 32 |
//! | 16 | 16 | checksum of bytes 0 to 16 and of the header |
//! | 32 | 8 | serial: later versions have larger ones |
//! | 40 | 8 | length of the body |
//! | 48 | 16 | checksum of the body |
//! | 64 | 8 | length of the content as the origin sent it |
//! | 72 | 1 | the origin's coding: 0 identity, 1 gzip, 2 brotli, 255 another |
//! | 73 | 24 | lengths in the body of the identity, gzip and brotli form; 2^64-1: not there |
//! | 97 | 4 | length of the key, then the key |
//! | | 4 | length of the head, then the head ([`StoredHead::encode`]) |
//! | | | body: the forms in the order above |
//!
//! The checksum is SipHash-1-3-128 under a fixed key: it finds damage, not forgery; who can write
//! into the folder can serve what he likes.

use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::Arc;

use crate::encode::{self, Encoding, OriginCoding};
use crate::entry::{Entry, Forms, Ledger, MAX_SMALL_BYTES};
use crate::head::StoredHead;
use crate::key::Key;

/// These bytes are not a sound file of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The header of a file, checked.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) serial: u64,
    pub(crate) key: Key,
    pub(crate) head: StoredHead,
    origin: OriginCoding,
    origin_len: u64,
    form_lens: [u64; 3],
    body_len: u64,
    body_sum: u128,
    header_len: usize,
}

impl Header {
    /// How many bytes the whole file must have.
    pub(crate) fn file_len(&self) -> u64 {
        (PREFIX + self.header_len) as u64 + self.body_len
    }
}

/// How many bytes prefix and header take, according to the first 32 of a file.
pub(crate) fn header_end(bytes: &[u8]) -> Result<usize, Damaged> {
    let prefix = bytes.get(..PREFIX).ok_or(Damaged)?;
    let version = u32_at(prefix, 8)?;
    let len = u32_at(prefix, 12)? as usize;
    let is_ours = prefix[..8] == MAGIC && version == VERSION && len <= MAX_HEADER_BYTES;
    if is_ours { Ok(PREFIX + len) } else { Err(Damaged) }
}

/// Reads and checks prefix and header; `bytes` may go on.
pub(crate) fn read_header(bytes: &[u8]) -> Result<Header, Damaged> {
    let end = header_end(bytes)?;
    let header = bytes.get(PREFIX..end).ok_or(Damaged)?;
    if sum(&[&bytes[..16], header]) != u128_at(bytes, 16)? {
        return Err(Damaged);
    }
    let mut form_lens = [0; 3];
    for (index, len) in form_lens.iter_mut().enumerate() {
        *len = u64_at(header, 41 + 8 * index)?;
    }
    let key_len = u32_at(header, 65)? as usize;
    let (key, rest) = header[69..].split_at_checked(key_len).ok_or(Damaged)?;
    let head_len = u32_at(rest, 0)? as usize;
    let head = rest[4..].get(..head_len).ok_or(Damaged)?;
    let present = form_lens.iter().filter(|&&len| len != ABSENT);
    let total = present.clone().try_fold(0u64, |total, &len| total.checked_add(len));
    let body_len = u64_at(header, 8)?;
    if rest.len() != 4 + head_len || total != Some(body_len) || present.count() == 0 {
        return Err(Damaged);
    }
    let origin = match header[40] {
        255 => OriginCoding::Opaque,
        index => OriginCoding::Known(Encoding::from_index(index).ok_or(Damaged)?),
    };
    Ok(Header {
        serial: u64_at(header, 0)?,
        key: Key::from_bytes(key).ok_or(Damaged)?,
        head: StoredHead::decode(head).ok_or(Damaged)?,
        origin,
        origin_len: u64_at(header, 32)?,
        form_lens,
        body_len,
        body_sum: u128_at(header, 16)?,
        header_len: end - PREFIX,
    })
}

/// Reads and checks a whole file.
pub(crate) fn read_forms(
    header: &Header,
    file: &Bytes,
    ledger: Arc<Ledger>,
) -> Result<Forms, Damaged> {
    if file.len() as u64 != header.file_len() {
        return Err(Damaged);
    }
    let body = file.slice(PREFIX + header.header_len..);
    if sum(&[&body]) != header.body_sum {
        return Err(Damaged);
    }
    let mut forms = Forms::empty(header.origin, header.origin_len, ledger);
    let mut at = 0;
    for encoding in Encoding::ALL {
        let len = header.form_lens[encoding.index()];
        if len == ABSENT {
            continue;
        }
        let end = at + len as usize;
        forms = forms.with(encoding, body.slice(at..end));
        at = end;
    }
    // Small pages lie on disk in their compressed forms only; in memory identity stays at hand.
    let is_small = header.origin == OriginCoding::Known(Encoding::Identity)
        && header.origin_len <= MAX_SMALL_BYTES as u64;
    if is_small && forms.identity_at_hand().is_none() {
        let (encoding, packed) = forms.any_packed().ok_or(Damaged)?;
        let plain = encode::decompress(encoding, &packed, header.origin_len).ok_or(Damaged)?;
        forms = forms.with(Encoding::Identity, plain);
    }
    Ok(forms)
}

/// An entry as the parts of a file.
pub(crate) struct FileParts {
    start: Vec<u8>,
    forms: [Option<Bytes>; 3],
}

impl FileParts {
    pub(crate) fn of(entry: &Entry) -> Self {
        let forms = entry.forms();
        let mut parts: [Option<Bytes>; 3] =
            [None, forms.packed(Encoding::Gzip).cloned(), forms.packed(Encoding::Brotli).cloned()];
        if parts.iter().all(Option::is_none) {
            parts[0] = forms.identity_at_hand();
        }
        let bodies: Vec<&[u8]> = parts.iter().flatten().map(|part| &part[..]).collect();
        let mut header = Vec::with_capacity(1024);
        header.extend_from_slice(&entry.serial.to_le_bytes());
        let body_len: usize = bodies.iter().map(|body| body.len()).sum();
        header.extend_from_slice(&(body_len as u64).to_le_bytes());
        header.extend_from_slice(&sum(&bodies).to_le_bytes());
        header.extend_from_slice(&forms.origin_len().to_le_bytes());
        header.push(match forms.origin() {
            OriginCoding::Known(encoding) => encoding.index() as u8,
            OriginCoding::Opaque => 255,
        });
        for part in &parts {
            let len = part.as_ref().map_or(ABSENT, |part| part.len() as u64);
            header.extend_from_slice(&len.to_le_bytes());
        }
        let key = entry.key.as_bytes();
        header.extend_from_slice(&(key.len() as u32).to_le_bytes());
        header.extend_from_slice(key);
        let mut head = Vec::with_capacity(1024);
        entry.head.encode(&mut head);
        header.extend_from_slice(&(head.len() as u32).to_le_bytes());
        header.extend_from_slice(&head);

        let mut start = Vec::with_capacity(PREFIX + header.len());
        start.extend_from_slice(&MAGIC);
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(&(header.len() as u32).to_le_bytes());
        let header_sum = sum(&[&start, &header]);
        start.extend_from_slice(&header_sum.to_le_bytes());
        start.extend_from_slice(&header);
        Self { start, forms: parts }
    }

    pub(crate) fn len(&self) -> u64 {
        self.slices().iter().map(|part| part.len() as u64).sum()
    }

    pub(crate) fn slices(&self) -> Vec<&[u8]> {
        let forms = self.forms.iter().flatten().map(|form| &form[..]);
        std::iter::once(&self.start[..]).chain(forms).collect()
    }

    /// Whether a reader of the file would take its header.
    pub(crate) fn is_readable(&self) -> bool {
        self.start.len() <= PREFIX + MAX_HEADER_BYTES && self.slices().len() > 1
    }
}

fn sum(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x5365_6177_616c_6c20, 0x6361_6368_6566_696c);
    for part in parts {
        hasher.write(part);
    }
    hasher.finish128().as_u128()
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Damaged> {
    let slice = bytes.get(at..at + N).ok_or(Damaged)?;
    slice.try_into().map_err(|_| Damaged)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Damaged> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Damaged> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

fn u128_at(bytes: &[u8], at: usize) -> Result<u128, Damaged> {
    array_at(bytes, at).map(u128::from_le_bytes)
}

/// Bytes before the header.
pub(crate) const PREFIX: usize = 32;
const MAGIC: [u8; 8] = *b"SWCACHE\n";
const VERSION: u32 = 1;
const ABSENT: u64 = u64::MAX;
/// Key and head; response heads are bounded at 32 KiB or so, requests' targets at 8 KiB.
const MAX_HEADER_BYTES: usize = 1024 * 1024;
