//! Content framing (RFC 9112 §6 and §7.1): where the content is, and where it ends.
//!
//! Separate from the head so that it can be fuzzed alone. It deliberately does not copy content:
//! it points into the caller's buffer.

use alloc::boxed::Box;
use alloc::vec::Vec;

use seawall_model::Misbehaviour;

use crate::bytes::control;
use crate::h1::field::{Line, parse_line};
use crate::h1::head::{BodyFraming, Refusal};

/// Finds the content of one message in the bytes that follow its head.
#[derive(Debug)]
pub struct BodyDecoder {
    phase: Phase,
    /// Bytes spent on chunk extensions so far.
    extension_bytes: usize,
    trailers: Vec<Trailer>,
}

/// A trailer field: name as spelled, value without surrounding whitespace.
pub type Trailer = (Box<[u8]>, Box<[u8]>);

/// What [`BodyDecoder::decode`] found at the start of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// Nothing was consumed; call again with the same bytes and more. Never asks for more than
    /// 12 KiB in one piece, so a buffer of 16 KiB cannot get stuck.
    NeedMore,
    /// Content lies in `buf[skip..skip + len]`, `len > 0`. Consume `skip + len` bytes.
    Data {
        /// Framing bytes before the content.
        skip: usize,
        /// Bytes of content.
        len: usize,
    },
    /// The message ends after `consumed` bytes.
    End {
        /// Framing bytes to consume.
        consumed: usize,
    },
}

impl BodyDecoder {
    /// A decoder for content framed in this way.
    pub const fn new(framing: BodyFraming) -> Self {
        let phase = match framing {
            BodyFraming::None => Phase::Done,
            BodyFraming::Length(bytes) => Phase::Length(bytes),
            BodyFraming::Chunked => Phase::ChunkSize { after_chunk: false },
        };
        Self { phase, extension_bytes: 0, trailers: Vec::new() }
    }

    /// Reads on at `buf`, which begins where the last step's bytes ended. O(framing bytes);
    /// allocates only for trailers. After the end it stays at `End { consumed: 0 }`.
    ///
    /// # Errors
    /// [`Misbehaviour::Chunk`] if a chunk is malformed, [`Misbehaviour::LineEnd`] for a bare CR or
    /// LF, and the refusals of field lines for trailers. Close the connection: content already
    /// handed on is incomplete.
    pub fn decode(&mut self, buf: &[u8]) -> Result<BodyStep, Refusal> {
        match self.phase {
            Phase::Done => Ok(BodyStep::End { consumed: 0 }),
            Phase::Length(0) => Ok(self.end(0)),
            Phase::Length(left) => {
                let (step, left) = data(buf, 0, left);
                self.phase = Phase::Length(left);
                Ok(step)
            }
            Phase::ChunkData(left) => {
                let (step, left) = data(buf, 0, left);
                self.phase = after_data(left);
                Ok(step)
            }
            Phase::ChunkSize { after_chunk } => self.chunk(buf, after_chunk),
        }
    }

    /// Whether the message has ended.
    pub const fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Length(0))
    }

    /// The trailer fields, once; names as spelled. Fields that must not be sent as trailers
    /// (RFC 9110 §6.5.1: framing, routing, authentication, content description) are left out.
    pub fn take_trailers(&mut self) -> Vec<Trailer> {
        core::mem::take(&mut self.trailers)
    }

    fn end(&mut self, consumed: usize) -> BodyStep {
        self.phase = Phase::Done;
        BodyStep::End { consumed }
    }

    /// The end of the last chunk, if there was one, and the next chunk's size line.
    fn chunk(&mut self, buf: &[u8], after_chunk: bool) -> Result<BodyStep, Refusal> {
        let mut at = 0;
        if after_chunk {
            match buf {
                [b'\r', b'\n', ..] => at = 2,
                [] | [b'\r'] => return Ok(BodyStep::NeedMore),
                [b'\r' | b'\n', ..] => return Err(Refusal::bad(Misbehaviour::LineEnd)),
                _ => return Err(BAD),
            }
        }
        let line = buf.get(at..).unwrap_or(&[]);
        let Some((size, extension_bytes, line_len)) = chunk_line(line)? else {
            return Ok(BodyStep::NeedMore);
        };
        if self.extension_bytes + extension_bytes > MAX_EXTENSION_BYTES_IN_ALL {
            return Err(BAD);
        }
        at += line_len;
        if size == 0 {
            let Some(consumed) = self.trailer_section(buf, at)? else {
                return Ok(BodyStep::NeedMore);
            };
            return Ok(self.end(consumed));
        }
        let (step, left) = data(buf, at, size);
        if step != BodyStep::NeedMore {
            self.extension_bytes += extension_bytes;
            self.phase = after_data(left);
        }
        Ok(step)
    }

    /// RFC 9112 §7.1.2. Gives the end of the message.
    fn trailer_section(&mut self, buf: &[u8], start: usize) -> Result<Option<usize>, Refusal> {
        let window = buf.get(..start + MAX_TRAILER_BYTES).unwrap_or(buf);
        let mut at = start;
        let mut count = 0;
        self.trailers.clear();
        loop {
            match parse_line(window, at)? {
                Line::Empty(next) => return Ok(Some(next)),
                Line::Partial if window.len() - start < MAX_TRAILER_BYTES => return Ok(None),
                Line::Partial => return Err(TRAILERS_TOO_LARGE),
                Line::Field(field, next) => {
                    count += 1;
                    if count > MAX_TRAILERS {
                        return Err(TRAILERS_TOO_LARGE);
                    }
                    let (name, value) = (field.name.of(window), field.value.of(window));
                    if is_allowed_trailer(name) {
                        self.trailers.push((name.into(), value.into()));
                    }
                    at = next;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many bytes are left.
    Length(u64),
    /// Before a chunk-size line, and before the CRLF of the previous chunk if there was one.
    ChunkSize {
        after_chunk: bool,
    },
    /// In a chunk; so many bytes (at least one) are left.
    ChunkData(u64),
    Done,
}

const BAD: Refusal = Refusal::bad(Misbehaviour::Chunk);
const TRAILERS_TOO_LARGE: Refusal = Refusal::with(Misbehaviour::HeadTooLarge, 431);

/// `left` bytes of content from `buf[skip]` on: the step, and what is left after it.
fn data(buf: &[u8], skip: usize, left: u64) -> (BodyStep, u64) {
    let there = buf.len().saturating_sub(skip);
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(there);
    if len == 0 {
        return (BodyStep::NeedMore, left);
    }
    (BodyStep::Data { skip, len }, left - len as u64)
}

const fn after_data(left: u64) -> Phase {
    if left == 0 { Phase::ChunkSize { after_chunk: true } } else { Phase::ChunkData(left) }
}

/// Reads `chunk-size [chunk-ext] CRLF` (RFC 9112 §7.1): size, bytes of extension, bytes of line.
/// `None` if the line is not whole.
fn chunk_line(line: &[u8]) -> Result<Option<(u64, usize, usize)>, Refusal> {
    let mut size = 0u64;
    let mut digits = 0;
    for &byte in line {
        let Some(digit) = (byte as char).to_digit(16) else {
            break;
        };
        digits += 1;
        // Leading zeros count: sixteen digits hold every size, and more have overflowed parsers.
        if digits > 16 {
            return Err(BAD);
        }
        size = size << 4 | u64::from(digit);
    }
    let rest = line.get(digits..).unwrap_or(&[]);
    let extension_bytes = match rest.first() {
        None => return Ok(None),
        Some(_) if digits == 0 => return Err(BAD),
        Some(b'\r' | b'\n') => 0,
        // RFC 9112 §7.1.1: unrecognised extensions are ignored, so all are; §7.1.1 also asks for a
        // bound. No whitespace before `;`: it was in old grammars only, and parsers differ.
        Some(b';') => {
            let window = rest.get(..=MAX_EXTENSION_BYTES).unwrap_or(rest);
            let len = control(window);
            if len > MAX_EXTENSION_BYTES {
                return Err(BAD);
            }
            len
        }
        Some(_) => return Err(BAD),
    };
    match (rest.get(extension_bytes), rest.get(extension_bytes + 1)) {
        (Some(b'\r'), Some(b'\n')) => {
            Ok(Some((size, extension_bytes, digits + extension_bytes + 2)))
        }
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(Refusal::bad(Misbehaviour::LineEnd)),
        (Some(_), _) => Err(BAD),
    }
}

/// RFC 9110 §6.5.1: whoever merges trailers into the head must not be talked into something.
fn is_allowed_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 47] = [
        "accept-ranges",
        "age",
        "authorization",
        "cache-control",
        "cdn-cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "etag",
        "expect",
        "expires",
        "forwarded",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "last-modified",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "vary",
        "via",
        "warning",
        "www-authenticate",
        "x-real-ip",
    ];
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let is_forwarding =
        name.get(..11).is_some_and(|head| head.eq_ignore_ascii_case(b"x-forwarded"));
    // CGI-like servers read `_` as `-`, so such a name could stand for any of these.
    !is_forwarding && !name.contains(&b'_') && !FORBIDDEN.iter().any(|known| is(known))
}

/// Bytes of one chunk's extension. Nothing in use has any.
const MAX_EXTENSION_BYTES: usize = 256;
/// Bytes of all extensions of a message: one byte of content behind each long extension would
/// otherwise cost a reader hundreds of bytes per byte (CVE-2023-39326).
const MAX_EXTENSION_BYTES_IN_ALL: usize = 16 * 1024;
/// Bytes of a trailer section. It must be whole before it is read.
const MAX_TRAILER_BYTES: usize = 8 * 1024;
/// Field lines in a trailer section.
const MAX_TRAILERS: usize = 32;
