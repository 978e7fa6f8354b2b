//! One field line, in a head or a trailer section (RFC 9112 §5).

use seawall_model::Misbehaviour;

use crate::bytes::{TOKEN, control, run};
use crate::h1::head::{FieldSpan, Refusal, Span};

/// What stands at a line start.
pub(crate) enum Line {
    /// A field; the next line begins at the offset.
    Field(FieldSpan, usize),
    /// The empty line; content begins at the offset.
    Empty(usize),
    /// The line is not whole yet.
    Partial,
}

/// Reads the line that begins at `start`. O(line), no allocation.
///
/// The verdict on a line depends only on bytes up to the first offence, so a line that comes in
/// pieces is refused for the same reason as one that comes whole.
#[inline]
pub(crate) fn parse_line(buf: &[u8], start: usize) -> Result<Line, Refusal> {
    let line = buf.get(start..).unwrap_or(&[]);
    let name_len = run(line, TOKEN);
    match line.get(name_len) {
        Some(b':') if name_len > 0 => {}
        Some(&byte) => return other_line(line, start, name_len, byte),
        None => return Ok(Line::Partial),
    }
    let mut value_start = start + name_len + 1;
    while let Some(b' ' | b'\t') = buf.get(value_start) {
        value_start += 1;
    }
    let mut value_end = value_start + control(buf.get(value_start..).unwrap_or(&[]));
    let next = match (buf.get(value_end), buf.get(value_end + 1)) {
        (Some(b'\r'), Some(b'\n')) => value_end + 2,
        (None, _) | (Some(b'\r'), None) => return Ok(Line::Partial),
        // RFC 9112 §2.2: a bare CR is invalid; a bare LF is a line end to some and not to others.
        (Some(b'\r' | b'\n'), _) => return Err(Refusal::bad(Misbehaviour::LineEnd)),
        // RFC 9110 §5.5: NUL and the other controls are invalid.
        (Some(_), _) => return Err(Refusal::bad(Misbehaviour::FieldLine)),
    };
    while value_end > value_start && matches!(buf.get(value_end - 1), Some(b' ' | b'\t')) {
        value_end -= 1;
    }
    let name = Span::between(start, start + name_len);
    Ok(Line::Field(FieldSpan { name, value: Span::between(value_start, value_end) }, next))
}

/// A line that does not begin with `name:`.
#[cold]
fn other_line(line: &[u8], start: usize, name_len: usize, byte: u8) -> Result<Line, Refusal> {
    let misbehaviour = match (name_len, byte) {
        (0, b'\r') => match line.get(1) {
            None => return Ok(Line::Partial),
            Some(b'\n') => return Ok(Line::Empty(start + 2)),
            Some(_) => Misbehaviour::LineEnd,
        },
        (0, b'\n') => Misbehaviour::LineEnd,
        // RFC 9112 §5.2. On the first line it is the whitespace of §2.2, as dangerous.
        (0, b' ' | b'\t') => Misbehaviour::ObsFold,
        // Includes space before the colon, RFC 9112 §5.1.
        _ => Misbehaviour::FieldLine,
    };
    Err(Refusal::bad(misbehaviour))
}
