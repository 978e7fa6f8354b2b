//! Walking a file of records that may be damaged or cut off.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;
use flate2::bufread::GzDecoder;
use seawall_seal::{Digest, Hasher};

use crate::error::{ArchiveError, Damage};
use crate::warc::read::{Check, fill, max_record, parse, told, warc_head};
use crate::warc::write::{SKIP_FIELD, SKIP_LENGTHS};
use crate::warc::{MAX_WARC_HEAD, Record};

/// One place in a file, and what is there.
#[derive(Debug)]
pub struct Found {
    /// Where it begins, from the beginning of the file.
    pub offset: u64,
    /// How many bytes it takes.
    pub length: u64,
    /// The digest of these bytes.
    pub digest: Digest,
    /// The record; or what is wrong here, in which case `length` is how far the walker got past it.
    pub record: Result<Record, ArchiveError>,
}

/// The records between two places of a file, in their order: of a `.warc.gz`, or of a `.warc`.
///
/// A damaged record is told and skipped, by the length that our own carry. Without one, or where the
/// file ends in the middle of a record, the walk ends with it: what follows cannot be told from what
/// somebody put into the content of a record. [`Members::searching`] goes on nevertheless.
///
/// Memory: one record, with at most `max` bytes of content, and 64 KiB.
#[derive(Debug)]
pub struct Members<R> {
    from: Window<R>,
    max: usize,
    is_searching: bool,
    /// Bytes that were read, or became of what was read, for nothing.
    wasted: u64,
    /// Whether the end of what is being read was found, whatever it is.
    is_whole: bool,
    is_done: bool,
}

/// How many bytes may be read for nothing while searching. A file that was made to waste time stops here;
/// one with damage does not come near it.
const MAX_WASTED: u64 = 1 << 30;

impl<R: Read + Seek> Members<R> {
    /// Walks the bytes of `file` from `start` up to `end`, or to the end of the file; contents up to `max`
    /// bytes.
    pub fn new(file: R, start: u64, end: u64, max: usize) -> Self {
        let inner = BufReader::with_capacity(64 * 1024, file);
        let from = Window { inner, at: start, end: end.max(start), hasher: None, is_placed: false };
        Self { from, max, is_searching: false, wasted: 0, is_whole: false, is_done: false }
    }

    /// Goes on behind damage of unknown length, by searching for the next beginning of a record.
    ///
    /// Only for files of other programs that somebody vouches for: what it finds there may be part of
    /// the content of a damaged record, and so have been made by whoever made that content.
    #[must_use]
    pub fn searching(mut self) -> Self {
        self.is_searching = true;
        self
    }

    fn step(&mut self) -> Result<Option<Found>, ArchiveError> {
        if !self.from.is_placed {
            self.from.end_with_file()?;
        }
        let offset = self.from.at;
        if offset >= self.from.end {
            return Ok(None);
        }
        self.from.seek(offset)?;
        self.from.hasher = Some(Hasher::new());
        self.is_whole = false;
        let read = match self.from.fill_buf().map_err(ArchiveError::io("read the archive"))?.first()
        {
            Some(0x1f) => self.member(),
            Some(b'W') => self.plain(),
            Some(_) => Err(Damage::Gzip.into()),
            None => Err(Damage::Truncated.into()),
        };
        let reached = self.from.at;
        if let Err(error @ ArchiveError::Io { .. }) = read {
            return Err(error);
        }
        if self.is_whole {
            let digest = self.from.hasher.take().unwrap_or_default().finish();
            return Ok(Some(Found { offset, length: reached - offset, digest, record: read }));
        }
        self.wasted = self.wasted.saturating_add(reached - offset);
        let next = self.next_after(offset)?;
        self.is_done = next >= self.from.end;
        self.from.seek(offset)?;
        let digest = self.from.digest_up_to(next)?;
        Ok(Some(Found { offset, length: next - offset, digest, record: read }))
    }

    /// Reads one gzip member.
    fn member(&mut self) -> Result<Record, ArchiveError> {
        let mut record = Vec::new();
        let mut decoder = GzDecoder::new(&mut self.from);
        // The first few bytes tell whether the rest is worth reading.
        let mut begin = [0; 5];
        decoder.read_exact(&mut begin).map_err(told)?;
        if &begin != b"WARC/" {
            return Err(Damage::WarcHead.into());
        }
        record.extend_from_slice(&begin);
        let filled = fill(&mut decoder, &mut record, max_record(self.max), self.max);
        if filled.is_err() {
            self.wasted =
                self.wasted.saturating_add(u64::try_from(record.len()).unwrap_or(u64::MAX));
        }
        filled?;
        // Its checksum was right.
        self.is_whole = true;
        parse(&Bytes::from(record), self.max, Check::Digests)
    }

    /// Reads one record that is not compressed, and the line breaks behind it.
    fn plain(&mut self) -> Result<Record, ArchiveError> {
        let broken = ArchiveError::io("read the archive");
        let mut record = Vec::new();
        while !record.ends_with(b"\r\n\r\n") {
            let room = MAX_WARC_HEAD.saturating_sub(record.len());
            let room = u64::try_from(room).unwrap_or(0);
            let got = (&mut self.from).take(room).read_until(b'\n', &mut record);
            if got.map_err(ArchiveError::io("read the archive"))? == 0 {
                return Err(if room == 0 { Damage::WarcHead } else { Damage::Truncated }.into());
            }
        }
        let head = warc_head(&record)?;
        let length = u64::try_from(head.block).unwrap_or(u64::MAX);
        let is_small = head.block <= max_record(self.max);
        if is_small {
            (&mut self.from).take(length).read_to_end(&mut record).map_err(broken)?;
        } else {
            let end = self.from.at.saturating_add(length).min(self.from.end);
            self.from.digest_up_to(end)?;
        }
        self.is_whole = !is_small || record.len() == head.length + head.block;
        for _ in 0..4 {
            let next = self.from.fill_buf().map_err(ArchiveError::io("read the archive"))?.first();
            let Some(b'\r' | b'\n') = next else { break };
            self.from.consume(1);
        }
        if !is_small {
            return Err(ArchiveError::TooLarge { max: self.max });
        }
        parse(&Bytes::from(record), self.max, Check::Digests)
    }

    /// Where to go on after what begins at `offset` and is damaged.
    fn next_after(&mut self, offset: u64) -> Result<u64, ArchiveError> {
        let end = self.from.end;
        let mut header = [0; SKIP_LENGTHS + 4];
        if self.from.peek(offset, &mut header)?
            && header[..4] == [0x1f, 0x8b, 8, 4]
            && header[10..16] == SKIP_FIELD
        {
            let length = header.last_chunk().map_or(0, |&length| u32::from_le_bytes(length));
            let next = offset + u64::from(length);
            let mut magic = [0; 3];
            let mut goes_on = || -> Result<bool, ArchiveError> {
                Ok(next == end || self.from.peek(next, &mut magic)? && magic == MAGIC)
            };
            if length > 20 && goes_on()? {
                return Ok(next);
            }
        }
        if !self.is_searching || self.wasted > MAX_WASTED {
            return Ok(end);
        }
        self.from.seek(offset + 1)?;
        self.from.hasher = None;
        self.from.find_magic()
    }
}

impl<R: Read + Seek> Iterator for Members<R> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if self.is_done {
            return None;
        }
        match self.step() {
            Ok(found) => found,
            Err(error) => {
                self.is_done = true;
                let (offset, digest) = (self.from.at, Digest::of(b""));
                Some(Found { offset, length: 0, digest, record: Err(error) })
            }
        }
    }
}

/// What a gzip member of this method begins with (RFC 1952 §2.3).
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// A part of a file that knows where it is, and hashes what it gives away.
#[derive(Debug)]
struct Window<R> {
    inner: BufReader<R>,
    at: u64,
    end: u64,
    hasher: Option<Hasher>,
    is_placed: bool,
}

impl<R: Read + Seek> Window<R> {
    fn end_with_file(&mut self) -> Result<(), ArchiveError> {
        let end =
            self.inner.seek(SeekFrom::End(0)).map_err(ArchiveError::io("read the archive"))?;
        self.end = self.end.min(end);
        Ok(())
    }

    fn seek(&mut self, to: u64) -> Result<(), ArchiveError> {
        if self.is_placed && self.at == to {
            return Ok(());
        }
        self.inner.seek(SeekFrom::Start(to)).map_err(ArchiveError::io("read the archive"))?;
        self.at = to;
        self.is_placed = true;
        Ok(())
    }

    /// Reads at `offset`; whether there was enough.
    fn peek(&mut self, offset: u64, into: &mut [u8]) -> Result<bool, ArchiveError> {
        self.hasher = None;
        self.seek(offset)?;
        match self.read_exact(into) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(source) => Err(ArchiveError::Io { what: "read the archive", source }),
        }
    }

    /// The digest from here up to `end`, and goes there.
    fn digest_up_to(&mut self, end: u64) -> Result<Digest, ArchiveError> {
        let mut hasher = self.hasher.take().unwrap_or_default();
        while self.at < end {
            let left = usize::try_from(end - self.at).unwrap_or(usize::MAX);
            let bytes = self.fill_buf().map_err(ArchiveError::io("read the archive"))?;
            if bytes.is_empty() {
                break;
            }
            let length = bytes.len().min(left);
            hasher.update(&bytes[..length]);
            self.consume(length);
        }
        let digest = hasher.clone().finish();
        self.hasher = Some(hasher);
        Ok(digest)
    }

    /// The place of the next [`MAGIC`] from here on, or the end.
    fn find_magic(&mut self) -> Result<u64, ArchiveError> {
        loop {
            let at = self.at;
            let bytes = self.fill_buf().map_err(ArchiveError::io("read the archive"))?;
            if bytes.is_empty() {
                return Ok(self.end);
            }
            match memchr::memchr(MAGIC[0], bytes) {
                None => {
                    let length = bytes.len();
                    self.consume(length);
                }
                Some(found) => {
                    let place = at + u64::try_from(found).unwrap_or(0);
                    // It may lie over the end of the buffer; then a seek is the simple way.
                    let is_magic = match bytes.get(found..found + 3) {
                        Some(bytes) => bytes == MAGIC,
                        None => {
                            let mut magic = [0; 3];
                            self.peek(place, &mut magic)? && magic == MAGIC
                        }
                    };
                    if is_magic {
                        return Ok(place);
                    }
                    self.skip_to(place + 1)?;
                }
            }
        }
    }

    /// Goes to `to`, within the buffer if it is there.
    fn skip_to(&mut self, to: u64) -> Result<(), ArchiveError> {
        let ahead = usize::try_from(to.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if to >= self.at && ahead <= self.inner.buffer().len() {
            self.consume(ahead);
            return Ok(());
        }
        self.seek(to)
    }
}

impl<R: Read> Read for Window<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.fill_buf()?;
        let length = bytes.len().min(into.len());
        into[..length].copy_from_slice(&bytes[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Window<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(&[]);
        }
        let bytes = self.inner.fill_buf()?;
        Ok(&bytes[..bytes.len().min(left)])
    }

    fn consume(&mut self, length: usize) {
        let buffered = self.inner.buffer();
        let length = length.min(buffered.len());
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffered[..length]);
        }
        self.inner.consume(length);
        self.at += u64::try_from(length).unwrap_or(0);
    }
}
