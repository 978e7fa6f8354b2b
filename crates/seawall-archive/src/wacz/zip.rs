//! The ZIP structure of our packages (APPNOTE.TXT 6.3.10): of all that ZIP allows one form, in which no
//! byte is free.
//!
//! Written by hand because [`crate::verify_package`] compares it byte by byte, today's with those of ten years
//! ago; what a library writes changes with the library. Packages of others are read with one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// What a package may have at most: sizes and places are 32 bits wide without ZIP64.
pub(crate) const MAX_BYTES: u64 = 0xffff_0000;

/// A file of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
}

impl Part {
    pub(crate) const DATA: Self = Self { name: "archive/data.warc.gz" };
    /// Its lines are CDXJ. Of the names that WACZ allows, this one is known to wabac.js (the viewer in
    /// ReplayWeb.page), to pywb and to browsertrix; `.cdxj` is not to pywb, `.cdx.gz` not to wabac.js.
    pub(crate) const INDEX: Self = Self { name: "indexes/index.cdx" };
    pub(crate) const PAGES: Self = Self { name: "pages/pages.jsonl" };
    pub(crate) const RECORDS: Self = Self { name: "signature/records.sha256" };
    pub(crate) const KEY: Self = Self { name: "signature/key.pem" };
    pub(crate) const MANIFEST: Self = Self { name: "datapackage.json" };
    pub(crate) const DIGEST: Self = Self { name: "datapackage-digest.json" };
    pub(crate) const SUMS: Self = Self { name: "signature/SHA256SUMS" };
    pub(crate) const SIGNATURE: Self = Self { name: "signature/ed25519" };

    /// All, in their order.
    pub(crate) const ALL: [Self; 9] = [
        Self::DATA,
        Self::INDEX,
        Self::PAGES,
        Self::RECORDS,
        Self::KEY,
        Self::MANIFEST,
        Self::DIGEST,
        Self::SUMS,
        Self::SIGNATURE,
    ];

    /// The name without its folder.
    pub(crate) fn short_name(self) -> &'static str {
        self.name.rsplit('/').next().unwrap_or(self.name)
    }
}

/// Where a file is in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Where its header begins.
    pub(crate) header: u64,
    /// Bytes of its content.
    pub(crate) size: u64,
    /// CRC-32 of its content.
    pub(crate) crc: u32,
}

impl Layout {
    /// Where its content begins.
    pub(crate) fn content(&self, part: Part) -> u64 {
        self.header + LOCAL_BYTES + length(part.name)
    }

    /// The header before the content (APPNOTE §4.3.7).
    pub(crate) fn local_header(&self, part: Part) -> Vec<u8> {
        let mut bytes = b"PK\x03\x04".to_vec();
        self.shared(part, &mut bytes);
        bytes.extend_from_slice(part.name.as_bytes());
        bytes
    }

    /// What both headers say: version, flags, method, time, checksum, sizes, length of name and extra.
    fn shared(&self, part: Part, bytes: &mut Vec<u8>) {
        short(bytes, VERSION);
        short(bytes, 0);
        short(bytes, STORED);
        short(bytes, 0);
        short(bytes, FIRST_DAY);
        long(bytes, u64::from(self.crc));
        long(bytes, self.size);
        long(bytes, self.size);
        short(bytes, length(part.name));
        short(bytes, 0);
    }
}

/// The directory and the end, for files that end at `at` (APPNOTE §4.3.12 and §4.3.16).
pub(crate) fn directory(parts: &[(Part, Layout)], at: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (part, layout) in parts {
        bytes.extend_from_slice(b"PK\x01\x02");
        short(&mut bytes, MADE_BY);
        layout.shared(*part, &mut bytes);
        // No comment, on the first disk, nothing said of text.
        bytes.extend_from_slice(&[0; 6]);
        long(&mut bytes, READABLE << 16);
        long(&mut bytes, layout.header);
        bytes.extend_from_slice(part.name.as_bytes());
    }
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let count = u64::try_from(parts.len()).unwrap_or(u64::MAX);
    bytes.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    short(&mut bytes, count);
    short(&mut bytes, count);
    long(&mut bytes, size);
    long(&mut bytes, at);
    short(&mut bytes, 0);
    bytes
}

/// Where the nine files are, if every byte between them is what this module writes.
///
/// # Errors
/// What the system says; `Ok(Err(..))` with what is wrong.
pub(crate) fn read_layout(file: &File) -> io::Result<Result<[Layout; 9], &'static str>> {
    let bytes = file.metadata()?.len();
    // The directory has always the same length.
    let empty = Layout { header: 0, size: 0, crc: 0 };
    let all = Part::ALL.map(|part| (part, empty));
    let mut end = vec![0; directory(&all, 0).len()];
    let Some(at) = bytes.checked_sub(u64::try_from(end.len()).unwrap_or(u64::MAX)) else {
        return Ok(Err("it is too short for a package"));
    };
    file.read_exact_at(&mut end, at)?;
    let (mut layouts, mut header, mut place) = ([empty; 9], 0, 0);
    for (layout, part) in layouts.iter_mut().zip(Part::ALL) {
        let four =
            |at: usize| end[at..at + 4].first_chunk().map_or(0, |&four| u32::from_le_bytes(four));
        *layout = Layout { header, crc: four(place + 16), size: u64::from(four(place + 24)) };
        header = layout.content(part) + layout.size;
        place += DIRECTORY_BYTES + part.name.len();
    }
    let mut parts = all;
    parts.iter_mut().zip(layouts).for_each(|(part, layout)| part.1 = layout);
    if header != at || end != directory(&parts, at) {
        return Ok(Err("its ZIP directory is cut off, or not as Seawall writes it"));
    }
    for (part, layout) in parts {
        let want = layout.local_header(part);
        let mut there = vec![0; want.len()];
        file.read_exact_at(&mut there, layout.header)?;
        if there != want {
            return Ok(Err("a ZIP header in it is not as Seawall writes it"));
        }
    }
    Ok(Ok(layouts))
}

/// Bytes of a local header without the name.
const LOCAL_BYTES: u64 = 30;

/// Bytes of an entry of the directory without the name.
const DIRECTORY_BYTES: usize = 46;

/// 2.0: files in folders.
const VERSION: u64 = 20;

/// By a Unix program, of whose attributes [`READABLE`] are.
const MADE_BY: u64 = 3 << 8 | VERSION;

/// An ordinary file that its owner may write and all may read.
const READABLE: u64 = 0o100_644;

const STORED: u64 = 0;

/// 1980-01-01. When a package was made is said in it; a time for each file says nothing more.
const FIRST_DAY: u64 = 1 << 5 | 1;

fn length(name: &str) -> u64 {
    u64::try_from(name.len()).unwrap_or(u64::MAX)
}

fn short(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes()[..2]);
}

fn long(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes()[..4]);
}
