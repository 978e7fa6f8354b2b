//! The request target and the authority (RFC 9112 §3.2, RFC 3986 §3.2).
//!
//! Separate because Host, absolute-form and CONNECT share one idea of a valid authority.

use core::net::Ipv6Addr;

use seawall_model::{Method, Misbehaviour};

use crate::bytes::{HOST, HOST_LOWER, PATH, QUERY, run};
use crate::h1::head::{Authority, Refusal, RequestHead, Span, TargetForm};

const BAD: Refusal = Refusal::bad(Misbehaviour::RequestLine);

/// Where a target and its parts end.
pub(crate) struct TargetEnd {
    /// Offset of `?`, or of the end if there is none.
    pub(crate) path: usize,
    /// Offset of the space that follows.
    pub(crate) whole: usize,
}

/// Finds the space that ends the target which begins at `start`; `None` if it has not come yet.
#[inline]
pub(crate) fn scan_target(
    buf: &[u8],
    start: usize,
    max_bytes: usize,
) -> Result<Option<TargetEnd>, Refusal> {
    let rest = buf.get(start..).unwrap_or(&[]);
    let rest = rest.get(..=max_bytes).unwrap_or(rest);
    let path_len = run(rest, PATH);
    let mut len = path_len;
    if rest.get(len) == Some(&b'?') {
        len += run(rest.get(len..).unwrap_or(&[]), QUERY);
    }
    match rest.get(len) {
        _ if len > max_bytes => Err(Refusal::with(Misbehaviour::RequestLine, 414)),
        Some(b' ') if len > 0 => Ok(Some(TargetEnd { path: start + path_len, whole: start + len })),
        // Covers controls, `#`, 8-bit bytes and the missing version of HTTP/0.9.
        Some(_) => Err(BAD),
        None => Ok(None),
    }
}

/// Tells the form of `out.target` and takes it apart.
#[inline]
pub(crate) fn parse_target(
    buf: &[u8],
    end: &TargetEnd,
    out: &mut RequestHead,
) -> Result<(), Refusal> {
    let span = out.target;
    let target = span.of(buf);
    let start = span.start as usize;
    match (out.seen.method, target) {
        // RFC 9112 §3.2.3: only CONNECT has authority-form, and it has no other.
        (Method::Connect, _) => {
            let authority = parse_authority(buf, span).filter(|a| a.port.is_some()).ok_or(BAD)?;
            out.target_authority = Some(authority);
            out.form = TargetForm::Authority;
            Ok(())
        }
        (_, [b'/', ..]) => {
            out.form = TargetForm::Origin;
            split_query(start, end, out);
            Ok(())
        }
        (Method::Options, b"*") => {
            out.form = TargetForm::Asterisk;
            out.path = span;
            Ok(())
        }
        _ => absolute_form(buf, start, end, out),
    }
}

/// RFC 9112 §3.2.2. Only the two schemes we serve; no userinfo (RFC 9110 §4.2.4).
fn absolute_form(
    buf: &[u8],
    start: usize,
    end: &TargetEnd,
    out: &mut RequestHead,
) -> Result<(), Refusal> {
    let target = out.target.of(buf);
    let has_scheme = |scheme: &[u8]| {
        target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    let (scheme_len, default_port) = if has_scheme(b"http://") {
        (7, 80)
    } else if has_scheme(b"https://") {
        (8, 443)
    } else {
        return Err(BAD);
    };
    let rest = target.get(scheme_len..).unwrap_or(&[]);
    let authority_len = rest.iter().position(|&b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let path_start = start + scheme_len + authority_len;
    let mut authority =
        parse_authority(buf, Span::between(start + scheme_len, path_start)).ok_or(BAD)?;
    authority.default_port = Some(default_port);
    out.target_authority = Some(authority);
    let has_path = rest.get(authority_len) == Some(&b'/');
    out.form = if has_path { TargetForm::Absolute } else { TargetForm::AbsoluteBare };
    split_query(path_start, end, out);
    Ok(())
}

fn split_query(start: usize, end: &TargetEnd, out: &mut RequestHead) {
    out.path = Span::between(start, end.path);
    out.query = (end.path < end.whole).then(|| Span::between(end.path + 1, end.whole));
}

/// `host [":" port]`: a registered name of DNS characters, an IPv4 address, or an IPv6 address in
/// brackets. Refuses userinfo, percent-encoding, empty labels, an empty host and an empty port.
pub(crate) fn parse_authority(buf: &[u8], span: Span) -> Option<Authority> {
    let bytes = span.of(buf);
    let start = span.start as usize;
    let has_upper_case;
    let (host_len, port_at) = if bytes.first() == Some(&b'[') {
        let literal = bytes.get(1..)?;
        let literal = literal.get(..literal.iter().position(|&b| b == b']')?)?;
        core::str::from_utf8(literal).ok()?.parse::<Ipv6Addr>().ok()?;
        has_upper_case = literal.iter().any(u8::is_ascii_uppercase);
        (literal.len() + 2, literal.len() + 2)
    } else {
        let len = run(bytes, HOST);
        let name = bytes.get(..len)?;
        has_upper_case = run(name, HOST_LOWER) < len;
        if name.starts_with(b".") || name.windows(2).any(|pair| pair == b"..") {
            return None;
        }
        // RFC 1034 §3.1: the final dot is the root's, the same name without it.
        (len - usize::from(name.ends_with(b".")), len)
    };
    let port = match bytes.get(port_at..)? {
        [] => None,
        [b':', digits @ ..] => Some(parse_port(digits)?),
        _ => return None,
    };
    if host_len == 0 || host_len > MAX_HOST_BYTES {
        return None;
    }
    let host = Span::between(start, start + host_len);
    Some(Authority { whole: span, host, port, has_upper_case, default_port: None })
}

/// A port between 1 and 65535, in at most five digits.
pub(crate) fn parse_port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let port = digits.iter().try_fold(0u32, |sum, &digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0'))
    })?;
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// Longest DNS name in text form (RFC 1035 §2.3.4).
const MAX_HOST_BYTES: usize = 253;
