//! Where lines come from: files as they lie under /var/log, packed or not, and standard input.
//!
//! Packed ones are known by their first bytes and not by their names. A line is at most
//! [`MAX_LINE_BYTES`] long; of a longer one nothing is kept but that it was there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;
use seawall_report::LogFile;
use seawall_seal::Hasher;

use crate::pieces::Pieces;

/// Longer lines are no lines of a log.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// One log, line by line.
pub(super) struct Source {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Bytes of the file read so far, packed as they are.
    pub(super) read: Arc<AtomicU64>,
    /// Bytes of the file; `None` for standard input.
    pub(super) size: Option<u64>,
}

/// What [`Source::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// One that is too long.
    TooLong,
    /// No more.
    End,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::of(None, Box::new(io::stdin().lock()));
        }
        let file = File::open(path)?;
        Self::of(Some(file.metadata()?.len()), Box::new(file))
    }

    /// Opens a file of which it has to be known what was read: no more of it than what is there now, and what that is.
    pub(super) fn fixed(path: &Path) -> io::Result<(Self, LogFile)> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            let why = "it is no file that could be read again";
            return Err(io::Error::new(io::ErrorKind::NotSeekable, why));
        }
        let (mut hasher, mut bytes, mut pieces) = (Hasher::new(), 0, Pieces::of(&mut file));
        while let Some(piece) = pieces.next()? {
            bytes += piece.len() as u64;
            hasher.update(piece);
        }
        file.rewind()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = LogFile { name, bytes, sha256: hasher.finish().to_string() };
        Ok((Self::of(Some(bytes), Box::new(Fixed { file, left: bytes }))?, log))
    }

    fn of(size: Option<u64>, input: Box<dyn Read>) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { input, read: Arc::clone(&read) };
        let reader = unpacked(BufReader::with_capacity(BUFFER_BYTES, counted))?;
        Ok(Self { reader, line: Vec::new(), read, size })
    }

    /// The next line.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        self.line.clear();
        let mut limited = (&mut self.reader).take(MAX_LINE_BYTES as u64 + 1);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(Next::End);
        }
        if self.line.len() > MAX_LINE_BYTES && !self.line.ends_with(b"\n") {
            self.skip()?;
            return Ok(Next::TooLong);
        }
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        Ok(Next::Line(line.strip_suffix(b"\r").unwrap_or(line)))
    }

    /// Reads up to the end of the line, keeping nothing.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let there = self.reader.fill_buf()?;
            if there.is_empty() {
                return Ok(());
            }
            let end = there.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(there.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// So much of a file, all of which has to be there.
struct Fixed {
    file: File,
    left: u64,
}

impl Read for Fixed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.file).take(self.left).read(into)?;
        self.left -= count as u64;
        if count == 0 && self.left > 0 && !into.is_empty() {
            return Err(io::Error::other("it was cut while it was read"));
        }
        Ok(count)
    }
}

/// Looks at the first bytes, and unpacks what is packed.
fn unpacked(mut input: BufReader<Counted>) -> io::Result<Box<dyn BufRead>> {
    let first = input.fill_buf()?;
    let is = |magic: &[u8]| first.starts_with(magic);
    if is(GZIP) {
        return Ok(buffered(MultiGzDecoder::new(input)));
    }
    if is(XZ) {
        return Ok(buffered(XzReader::new(input, true)));
    }
    if is(ZSTD) {
        return Ok(buffered(Frames { input: Some(input), frame: None }));
    }
    Ok(Box::new(input))
}

fn buffered(input: impl Read + 'static) -> Box<dyn BufRead> {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, input))
}

/// The frames of a zstd file one after the other, as `zstd` and logrotate's `cat` make them
/// (RFC 8878 §3).
struct Frames {
    input: Option<BufReader<Counted>>,
    frame: Option<Box<Frame>>,
}

type Frame = StreamingDecoder<BufReader<Counted>, ruzstd::decoding::FrameDecoder>;

impl Read for Frames {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(into)?;
                if count > 0 || into.is_empty() {
                    return Ok(count);
                }
                self.input = self.frame.take().map(|frame| frame.into_inner());
            }
            let Some(mut input) = self.input.take() else { return Ok(0) };
            if input.fill_buf()?.is_empty() {
                self.input = Some(input);
                return Ok(0);
            }
            let frame = StreamingDecoder::new(input).map_err(io::Error::other)?;
            self.frame = Some(Box::new(frame));
        }
    }
}

/// Counts what is read, for progress.
struct Counted {
    input: Box<dyn Read>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

const BUFFER_BYTES: usize = 128 * 1024;
const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn lines(content: &[u8]) -> Vec<String> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(content).expect("written");
        let mut source = Source::open(file.path()).expect("opened");
        let mut all = Vec::new();
        loop {
            match source.next().expect("read") {
                Next::Line(line) => all.push(String::from_utf8_lossy(line).into_owned()),
                Next::TooLong => all.push("TOO LONG".to_owned()),
                Next::End => break,
            }
        }
        assert_eq!(source.read.load(Ordering::Relaxed), content.len() as u64);
        all
    }

    #[test]
    fn a_line_is_the_same_however_it_ends_and_whatever_packed_it() {
        let gzip = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text).expect("packed");
            packer.finish().expect("packed")
        };
        // printf 'one\ntwo\nthree' | xz -9e | xxd -i, and zstd --no-check of the same.
        let xz: &[u8] = include_bytes!("testdata/three.xz");
        let zst: &[u8] = include_bytes!("testdata/three.zst");
        let expected = ["one", "two", "three"];
        assert_eq!(lines(b"one\ntwo\nthree"), expected);
        assert_eq!(lines(b"one\r\ntwo\r\nthree\r\n"), expected);
        assert_eq!(lines(&[gzip(b"one\n"), gzip(b"two\nthree")].concat()), expected);
        assert_eq!(lines(xz), expected);
        assert_eq!(lines(zst), expected);
        let twice = [zst, zst].concat();
        assert_eq!(lines(&twice), ["one", "two", "threeone", "two", "three"]);
        assert_eq!(lines(b""), Vec::<String>::new());
    }

    #[test]
    fn a_line_without_end_costs_no_memory() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let content = [b"one\n", &long[..], b"\ntwo\n", &long[..]].concat();
        assert_eq!(lines(&content), ["one", "TOO LONG", "two", "TOO LONG"]);
        let fits = vec![b'x'; MAX_LINE_BYTES];
        assert_eq!(lines(&[&fits[..], b"\nend"].concat())[0].len(), MAX_LINE_BYTES);
    }

    #[test]
    fn a_damaged_file_says_so() {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        let xz: &[u8] = include_bytes!("testdata/three.xz");
        file.write_all(&xz[..xz.len() / 2]).expect("written");
        let mut source = Source::open(file.path()).expect("opened");
        let mut outcome = Ok(());
        for _ in 0..10 {
            match source.next() {
                Ok(Next::End) => break,
                Ok(_) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        outcome.expect_err("half a file is no file");
    }
}
