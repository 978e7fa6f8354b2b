//! Range requests answered from a stored response (RFC 9110 §14, RFC 9111 §3.3, §4.3.2).
//!
//! It plans which bytes to send; it does **not** send them, nor write the headers of a 206.

use http::header;
use seawall_model::{Method, WallTime};

use crate::conditional::{is_strong, opaque_tag};
use crate::freshness::parse_http_date;
use crate::head::StoredHead;
use crate::policy::RequestMeta;

/// Which bytes of a representation a 206 carries: `bytes start-end/complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Position of the first byte.
    pub start: u64,
    /// Position of the last byte, inclusive.
    pub end: u64,
    /// Length of the whole representation.
    pub complete: u64,
}

impl ContentRange {
    /// Reads a Content-Range value (RFC 9110 §14.4). `None` unless it is a satisfied byte range with
    /// a known complete length that contains it.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, rest) = value.trim_ascii().split_at_checked(6)?;
        unit.eq_ignore_ascii_case(b"bytes ").then_some(())?;
        let dash = rest.iter().position(|&byte| byte == b'-')?;
        let slash = rest.iter().position(|&byte| byte == b'/')?;
        let start = position(&rest[..dash])?;
        let end = position(rest.get(dash + 1..slash)?)?;
        let complete = position(&rest[slash + 1..])?;
        (start <= end && end < complete).then_some(Self { start, end, complete })
    }

    /// How many bytes a body of this range has. A 206 with another length is broken.
    pub fn body_len(&self) -> u64 {
        self.end - self.start + 1
    }
}

/// A range of bytes in the complete representation; both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Position of the first byte.
    pub start: u64,
    /// Position of the last byte, at least `start`.
    pub end: u64,
}

impl ByteRange {
    /// Number of bytes.
    pub fn byte_len(&self) -> u64 {
        self.end - self.start + 1
    }
}

/// How to answer a request as far as ranges go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangePlan {
    /// Send everything, with the stored status.
    Full,
    /// Send 206 with one range.
    One(ByteRange),
    /// Send 206 `multipart/byteranges` with these parts, in the order asked for.
    Many(Vec<ByteRange>),
    /// Send 416 with `Content-Range: bytes */total`.
    Unsatisfiable,
    /// The store holds a part of the representation, and not the part that is asked for: a miss.
    NotHeld,
}

/// More ranges than a viewer of documents asks for; a longer list gets the whole (RFC 9110 §14.2).
const MAX_RANGES: usize = 8;

/// Plans the answer to a request for a stored response of `total_len` bytes: the length of the
/// complete representation, or for a partial response whatever its Content-Range says it is.
///
/// Ranges count in the bytes of the representation as it is sent, so a body that the store has
/// re-coded must be planned with that coding's length, or not offered in ranges at all. For a
/// partial head the positions are those of the complete representation; subtract
/// `head.partial.start` to index into the stored bytes. Allocates only for several ranges.
pub fn ranges(request: &RequestMeta<'_>, head: &StoredHead, total_len: u64) -> RangePlan {
    let plan = plan(request, head, head.partial.map_or(total_len, |partial| partial.complete));
    let Some(held) = head.partial else { return plan };
    let within = |range: &ByteRange| held.start <= range.start && range.end <= held.end;
    match &plan {
        RangePlan::One(range) if within(range) => plan,
        RangePlan::Many(ranges) if ranges.iter().all(within) => plan,
        _ => RangePlan::NotHeld,
    }
}

fn plan(request: &RequestMeta<'_>, head: &StoredHead, total_len: u64) -> RangePlan {
    // RFC 9110 §14.2: only GET defines Range; and only a 200 has a whole to take parts of.
    if request.method != Method::Get || !matches!(head.status, 200 | 206) {
        return RangePlan::Full;
    }
    let Some(value) = request.fields.first("range") else { return RangePlan::Full };
    if !if_range_holds(request, head) {
        return RangePlan::Full;
    }
    let Some(specs) = strip_unit(value) else { return RangePlan::Full };
    let mut several = 0;
    request.fields.each("range", &mut |_| several += 1);
    if several > 1 {
        return RangePlan::Full;
    }
    match parse_specs(specs, total_len) {
        Some(found) if found.is_empty() => RangePlan::Unsatisfiable,
        Some(found) => match found[..] {
            [only] => RangePlan::One(only),
            _ if worthwhile(&found, total_len) => RangePlan::Many(found),
            _ => RangePlan::Full,
        },
        None => RangePlan::Full,
    }
}

fn strip_unit(value: &[u8]) -> Option<&[u8]> {
    let (unit, rest) = value.trim_ascii().split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(rest)
}

/// The satisfiable ranges; `None` if the list is malformed or too long, which means: ignore it.
fn parse_specs(specs: &[u8], total_len: u64) -> Option<Vec<ByteRange>> {
    let mut found = Vec::new();
    let mut count = 0;
    for spec in specs.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if spec.is_empty() {
            continue; // RFC 9110 §5.6.1: empty list members are skipped
        }
        count += 1;
        if count > MAX_RANGES {
            return None;
        }
        let dash = spec.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        let range = if first.is_empty() {
            let suffix = position(last)?.min(total_len);
            (suffix > 0).then(|| ByteRange { start: total_len - suffix, end: total_len - 1 })
        } else {
            let start = position(first)?;
            let end = if last.is_empty() { u64::MAX } else { position(last)? };
            if end < start {
                return None; // RFC 9110 §14.1.1: such a spec is invalid
            }
            (start < total_len).then(|| ByteRange { start, end: end.min(total_len - 1) })
        };
        found.extend(range);
    }
    (count > 0).then_some(found)
}

/// RFC 9110 §14.2: more than two overlapping ranges, or more bytes than the whole, are an attack or
/// a mistake; the whole is cheaper.
fn worthwhile(ranges: &[ByteRange], total_len: u64) -> bool {
    let sum = ranges.iter().fold(0u64, |sum, range| sum.saturating_add(range.byte_len()));
    let overlapping = ranges.iter().enumerate().any(|(at, one)| {
        ranges[at + 1..].iter().any(|other| one.start <= other.end && other.start <= one.end)
    });
    sum < total_len && !overlapping
}

fn position(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter()
        .try_fold(0u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// RFC 9110 §13.1.5: the range counts only if the validator matches strongly.
fn if_range_holds(request: &RequestMeta<'_>, head: &StoredHead) -> bool {
    let Some(value) = request.fields.first("if-range") else { return true };
    let value = value.trim_ascii();
    let tag_like = value.first() == Some(&b'"') || value.starts_with(b"W/");
    if tag_like {
        let stored = head.headers.get(header::ETAG).map(|tag| tag.as_bytes().trim_ascii());
        return stored.is_some_and(|stored| {
            is_strong(stored) && is_strong(value) && opaque_tag(stored) == opaque_tag(value)
        });
    }
    let Some(modified) = head.headers.get(header::LAST_MODIFIED) else { return false };
    let date = |text: &[u8]| parse_http_date(text, head.response_time);
    let strong = |modified: WallTime| {
        // RFC 9110 §8.8.2.2: a date is strong if it lies at least a second before Date. A minute
        // also covers clocks that disagree.
        let dated = head.headers.get(header::DATE).and_then(|text| date(text.as_bytes()));
        dated.is_some_and(|dated| dated.unix_secs() >= modified.unix_secs().saturating_add(60))
    };
    match (date(modified.as_bytes()), date(value)) {
        (Some(modified), Some(asked)) => modified == asked && strong(modified),
        _ => false,
    }
}
