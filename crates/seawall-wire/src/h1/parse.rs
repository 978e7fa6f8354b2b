//! The request head parser (RFC 9112 §2-§6).
//!
//! Separate from the head it fills, so that every refusal stands in one file. It deliberately
//! repairs nothing: no line folding, no bare LF, no whitespace but where the grammar has it. What
//! it accepts, every careful parser reads in the same way.

use seawall_model::{HttpVersion, Method, Misbehaviour};

use crate::bytes::{TOKEN, fold, run, trim};
use crate::h1::field::{Line, parse_line};
use crate::h1::head::{Authority, FieldSpan, HeadLimits, Parse, Refusal, RequestHead, Span, Stage};
use crate::h1::target::{parse_authority, parse_target, scan_target};

/// Reads the request head at the start of `buf` into `out`.
///
/// O(bytes); allocates only while the head's own storage grows, so not at all once a connection
/// has sent a request. While the result is `Partial`, call again with the same bytes and more;
/// whole lines are not read again. Bytes after the head (content, pipelined requests) are left
/// alone. The result does not depend on how the bytes were split.
///
/// # Errors
/// A [`Refusal`] if the bytes break the protocol, can be read in two ways, or exceed a limit.
/// Answer with its status and close the connection.
pub fn parse_request(
    buf: &[u8],
    limits: &HeadLimits,
    out: &mut RequestHead,
) -> Result<Parse, Refusal> {
    // A buffer shorter than what was already read can only be that of another connection.
    if out.stage == Stage::Done || buf.len() < out.line_start as usize {
        out.reset();
    }
    let max = limits.max_head_bytes.min(u32::MAX as usize);
    let window = buf.get(..max).unwrap_or(buf);
    let result = advance(window, limits, out);
    match result {
        Ok(Parse::Partial) if window.len() < max => return result,
        Ok(Parse::Partial) => {
            out.stage = Stage::Done;
            return Err(Refusal::with(Misbehaviour::HeadTooLarge, 431));
        }
        Ok(Parse::Complete) | Err(_) => out.stage = Stage::Done,
    }
    result
}

fn advance(buf: &[u8], limits: &HeadLimits, out: &mut RequestHead) -> Result<Parse, Refusal> {
    if out.stage == Stage::RequestLine {
        match request_line(buf, limits, out)? {
            Some(next) => out.line_start = next as u32,
            None => return Ok(Parse::Partial),
        }
        out.stage = Stage::Fields;
    }
    loop {
        match parse_line(buf, out.line_start as usize)? {
            Line::Partial => return Ok(Parse::Partial),
            Line::Empty(next) => {
                out.head_bytes = next as u32;
                finish(buf, out)?;
                return Ok(Parse::Complete);
            }
            Line::Field(field, next) => {
                if out.fields.len() >= limits.max_fields {
                    return Err(Refusal::with(Misbehaviour::HeadTooLarge, 431));
                }
                take_field(buf, field, out)?;
                out.line_start = next as u32;
            }
        }
    }
}

/// Reads the request line; gives the offset of the first field line, or `None` if it is not whole.
fn request_line(
    buf: &[u8],
    limits: &HeadLimits,
    out: &mut RequestHead,
) -> Result<Option<usize>, Refusal> {
    const BAD: Refusal = Refusal::bad(Misbehaviour::RequestLine);
    // RFC 9112 §2.2: an empty line before the request is to be ignored. One is; more are a probe.
    let start = match buf {
        [b'\r', b'\n', ..] => 2,
        [b'\r'] => return Ok(None),
        [b'\r' | b'\n', ..] => return Err(Refusal::bad(Misbehaviour::LineEnd)),
        _ => 0,
    };
    let rest = buf.get(start..).unwrap_or(&[]);
    let method_len = run(rest.get(..=MAX_METHOD_BYTES).unwrap_or(rest), TOKEN);
    if method_len > MAX_METHOD_BYTES {
        return Err(Refusal::with(Misbehaviour::RequestLine, 501));
    }
    match rest.get(method_len) {
        Some(b' ') if method_len > 0 => {}
        Some(_) => return Err(BAD),
        None => return Ok(None),
    }
    out.method_token = Span::between(start, start + method_len);
    out.seen.method = Method::from_bytes(out.method_token.of(buf));

    let target_start = start + method_len + 1;
    let Some(target_end) = scan_target(buf, target_start, limits.max_target_bytes)? else {
        return Ok(None);
    };
    out.target = Span::between(target_start, target_end.whole);
    parse_target(buf, &target_end, out)?;

    let target_end = target_end.whole;
    let rest = buf.get(target_end + 1..).unwrap_or(&[]);
    let Some(version) = rest.first_chunk::<8>() else {
        return Ok(None);
    };
    out.is_http10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Refusal::with(Misbehaviour::Version, 505));
        }
        _ => return Err(BAD),
    };
    match (rest.get(8), rest.get(9)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(target_end + 1 + 8 + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        (Some(b'\r' | b'\n'), _) => Err(Refusal::bad(Misbehaviour::LineEnd)),
        (Some(_), _) => Err(BAD),
    }
}

/// Notes a field line, and what it says if it concerns framing or the connection.
#[inline]
fn take_field(buf: &[u8], field: FieldSpan, out: &mut RequestHead) -> Result<(), Refusal> {
    let name = field.name.of(buf);
    out.field_order = fold(out.field_order, name);
    out.fields.push(field);
    // By length first: most fields are none of ours.
    match name.len() {
        4 | 6 | 7 | 10 | 14 | 17 => take_known_field(buf, name, field.value, out),
        _ => Ok(()),
    }
}

fn take_known_field(
    buf: &[u8],
    name: &[u8],
    span: Span,
    out: &mut RequestHead,
) -> Result<(), Refusal> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    let value = span.of(buf);
    match name.len() {
        4 if is("host") => take_host(buf, span, out)?,
        6 if is("expect") => {
            out.seen.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
        7 if is("upgrade") => out.seen.upgrade = true,
        10 if is("connection") && value == b"keep-alive" => out.seen.keep_alive = true,
        10 if is("connection") => {
            for option in value.split(|&b| b == b',').map(trim) {
                out.seen.close |= option.eq_ignore_ascii_case(b"close");
                out.seen.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                out.seen.connection_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        14 if is("content-length") => {
            // RFC 9110 §8.6 lets a recipient take repeated equal values; nothing honest sends
            // them, and parsers differ in which one they take.
            let length = content_length(value).filter(|_| out.seen.content_length.is_none());
            let refusal = Refusal::bad(Misbehaviour::ContentLength);
            out.seen.content_length = Some(length.ok_or(refusal)?);
        }
        17 if is("transfer-encoding") => take_transfer_encoding(value, out)?,
        // CGI-like servers fold `_` and `-` together, so these two are framing to them.
        14 if is("content_length") => return Err(Refusal::bad(Misbehaviour::ContentLength)),
        17 if is("transfer_encoding") => {
            return Err(Refusal::bad(Misbehaviour::TransferEncoding));
        }
        _ => {}
    }
    Ok(())
}

/// RFC 9112 §3.2: exactly one valid Host.
fn take_host(buf: &[u8], value: Span, out: &mut RequestHead) -> Result<(), Refusal> {
    let refusal = Refusal::bad(Misbehaviour::Host);
    if out.seen.host {
        return Err(refusal);
    }
    out.seen.host = true;
    out.host = parse_authority(buf, value).ok_or(refusal)?;
    Ok(())
}

/// `1*DIGIT` (RFC 9110 §8.6) that fits: no sign, no list, no hexadecimal, no overflow. At most 19
/// digits, beyond which leading zeros or overflow would be left to interpretation.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0u64, |sum, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// RFC 9112 §6.1 and §7: a single, final `chunked` is the only coding we frame by.
fn take_transfer_encoding(value: &[u8], out: &mut RequestHead) -> Result<(), Refusal> {
    let refusal = Refusal::bad(Misbehaviour::TransferEncoding);
    if out.is_http10 || out.seen.is_chunked {
        return Err(refusal);
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        out.seen.is_chunked = true;
        return Ok(());
    }
    // A list of well-formed codings that ends in one `chunked`, or does not hold it, is understood
    // but not implemented (RFC 9112 §6.1: 501). All else is malformed.
    let mut codings = value.split(|&b| b == b',').map(trim);
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let is_token = |coding: &[u8]| !coding.is_empty() && run(coding, TOKEN) == coding.len();
    let last_is_token = codings.next_back().is_some_and(is_token);
    if last_is_token && codings.all(|coding| is_token(coding) && !is_chunked(coding)) {
        return Err(Refusal::with(Misbehaviour::TransferEncoding, 501));
    }
    Err(refusal)
}

/// What only the whole head can tell.
fn finish(buf: &[u8], out: &mut RequestHead) -> Result<(), Refusal> {
    // RFC 9112 §6.1: "might indicate an attempt to perform request smuggling".
    if out.seen.is_chunked && out.seen.content_length.is_some() {
        return Err(Refusal::bad(Misbehaviour::BothLengths));
    }
    if !out.seen.host && out.version() == HttpVersion::Http11 {
        return Err(Refusal::bad(Misbehaviour::Host));
    }
    if let Some(target) = out.target_authority {
        if !out.seen.host {
            out.host = target;
        } else if !same_authority(buf, target, out.host) {
            return Err(Refusal::bad(Misbehaviour::HostMismatch));
        }
    }
    if out.host.has_upper_case {
        let host = core::str::from_utf8(out.host.host.of(buf)).unwrap_or("");
        out.host_lowered.push_str(host);
        out.host_lowered.make_ascii_lowercase();
    }
    Ok(())
}

/// RFC 9112 §3.2.2 lets the target win over Host. We refuse instead: the origin may differ. An
/// omitted port is the scheme's own (RFC 9110 §4.2.3).
fn same_authority(buf: &[u8], target: Authority, host: Authority) -> bool {
    let port = |authority: Authority| authority.port.or(target.default_port);
    target.host.of(buf).eq_ignore_ascii_case(host.host.of(buf)) && port(target) == port(host)
}

/// Longest method token read. The longest registered one (`UPDATEREDIRECTREF`) has 17 bytes.
const MAX_METHOD_BYTES: usize = 32;
