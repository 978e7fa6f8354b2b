//! Lines of access logs in the Common and Combined Log Format, as Apache, nginx and others write them.
//!
//! `host ident user [time] "request" status bytes "referer" "user agent"`, with or without the last two,
//! with or without a virtual host before it; what follows is left aside. What clients sent is quoted,
//! and in it Apache writes `\"` and `\x16`, nginx `\x22`: both are left as written, because detection
//! only compares. Lines in JSON are a library's work and are not read here.
//!
//! *Source:* Apache httpd, `mod_log_config`; nginx, `ngx_http_log_module` ("combined").

use core::net::IpAddr;

use seawall_model::{Date, HttpVersion, WallTime};

/// One request as a log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessLine<'a> {
    /// Who asked: mostly an address, sometimes a name.
    pub client: &'a [u8],
    /// When, to the second.
    pub at: WallTime,
    /// The method; empty if the request could not be read.
    pub method: &'a [u8],
    /// The target; empty if the request could not be read.
    pub target: &'a [u8],
    /// The version, if it is a known one.
    pub version: Option<HttpVersion>,
    /// The status.
    pub status: u16,
    /// Bytes of content sent, where the log says so.
    pub bytes: Option<u64>,
    /// Where the client said it came from: `None` if the log does not tell, empty if the client did not.
    pub referrer: Option<&'a [u8]>,
    /// What the client said it is, likewise.
    pub user_agent: Option<&'a [u8]>,
}

impl AccessLine<'_> {
    /// The client's address, unless the log has names.
    pub fn address(&self) -> Option<IpAddr> {
        core::str::from_utf8(self.client).ok()?.parse().ok()
    }
}

/// Reads one line, without its end. `None` if it is none of this form. O(length); no allocation.
pub fn parse_access_line(line: &[u8]) -> Option<AccessLine<'_>> {
    let (before, rest) = split(line, b'[')?;
    let (time, rest) = split(rest, b']')?;
    let client = client(before)?;
    let (request, rest) = quoted(rest)?;
    let (status, rest) = word(rest);
    let (bytes, rest) = word(rest);
    let status = number(status).and_then(|status| u16::try_from(status).ok())?;
    let referrer = quoted(rest);
    let user_agent = referrer.and_then(|(_, rest)| quoted(rest));
    let (method, target, version) = request_line(request);
    let said = |text| if text == b"-" { &b""[..] } else { text };
    Some(AccessLine {
        client,
        at: time_of(time)?,
        method,
        target,
        version,
        status,
        bytes: number(bytes),
        // One quoted word alone is something else.
        referrer: user_agent.and(referrer).map(|(text, _)| said(text)),
        user_agent: user_agent.map(|(text, _)| said(text)),
    })
}

/// `client - user`, or the same after `virtual.host:port`. A user may contain blanks.
fn client(before: &[u8]) -> Option<&[u8]> {
    let (first, rest) = word(before);
    let (second, _) = word(rest);
    let is_address =
        |text: &[u8]| core::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    let client = if !is_address(first) && is_address(second) { second } else { first };
    (!client.is_empty()).then_some(client)
}

/// `GET /path HTTP/1.1`. What is no request line has neither method nor target.
fn request_line(request: &[u8]) -> (&[u8], &[u8], Option<HttpVersion>) {
    let (method, rest) = word(request);
    let version = |text: &[u8]| match text {
        b"HTTP/1.0" => Some(HttpVersion::Http10),
        b"HTTP/1.1" => Some(HttpVersion::Http11),
        b"HTTP/2.0" | b"HTTP/2" => Some(HttpVersion::Http2),
        _ => None,
    };
    let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_uppercase);
    if !is_method || rest.is_empty() {
        return (b"", b"", None);
    }
    // A target with a blank in it is wrong, but was answered.
    match rest.iter().rposition(|byte| *byte == b' ') {
        Some(end) if rest[end + 1..].starts_with(b"HTTP/") => {
            (method, rest[..end].trim_ascii(), version(&rest[end + 1..]))
        }
        _ => (method, rest.trim_ascii(), None),
    }
}

/// `17/May/2015:10:05:03 +0000`.
fn time_of(text: &[u8]) -> Option<WallTime> {
    let (day, rest) = split(text, b'/')?;
    let (month, rest) = split(rest, b'/')?;
    let (year, rest) = split(rest, b':')?;
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let month = u32::try_from(month + 1).ok()?;
    let year = number(year).and_then(|year| i64::try_from(year).ok())?;
    let date = Date::new(year, month, u32::try_from(number(day)?).ok()?)?;
    let (clock, zone) = word(rest);
    let [hour, minute, second] = clock_of(clock)?;
    let seconds = date.days() * 86_400 + hour * 3_600 + minute * 60 + second - zone_of(zone)?;
    u64::try_from(seconds).ok().map(WallTime::from_unix_secs)
}

fn clock_of(text: &[u8]) -> Option<[i64; 3]> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *text else { return None };
    let pair = |tens: u8, ones: u8, below: u64| {
        number(&[tens, ones]).filter(|it| *it < below).and_then(|it| i64::try_from(it).ok())
    };
    // 60: a leap second.
    Some([pair(h1, h2, 24)?, pair(m1, m2, 60)?, pair(s1, s2, 61)?])
}

/// Seconds east of Greenwich; none is Greenwich.
fn zone_of(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.trim_ascii() {
        [] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let value = i64::try_from(number(digits).filter(|_| digits.len() == 4)?).ok()?;
    Some(sign * (value / 100 * 3_600 + value % 100 * 60))
}

/// What stands before the first `end`, and what after it.
fn split(text: &[u8], end: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == end)?;
    Some((&text[..at], &text[at + 1..]))
}

/// The first word, and what follows it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    (&text[..end], &text[end..])
}

/// What stands in the quotes that come next. An escaped quote ends nothing.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start().strip_prefix(b"\"")?;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return Some((&text[..at], &text[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMBINED: &str = r#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png?b=1 HTTP/1.1" 200 203023 "http://example.org/" "Mozilla/5.0 (X11)""#;

    fn parse(line: &str) -> AccessLine<'_> {
        parse_access_line(line.as_bytes()).unwrap_or_else(|| panic!("no line: {line}"))
    }

    #[test]
    fn a_combined_line_is_read_whole() {
        let line = parse(COMBINED);
        assert_eq!(line.address(), Some("83.149.9.216".parse().expect("an address")));
        assert_eq!(line.at, WallTime::from_unix_secs(1_431_857_103));
        assert_eq!((line.method, line.target), (&b"GET"[..], &b"/a.png?b=1"[..]));
        assert_eq!(line.version, Some(HttpVersion::Http11));
        assert_eq!((line.status, line.bytes), (200, Some(203_023)));
        assert_eq!(line.referrer, Some(&b"http://example.org/"[..]));
        assert_eq!(line.user_agent, Some(&b"Mozilla/5.0 (X11)"[..]));
    }

    #[test]
    fn what_the_log_does_not_tell_differs_from_what_the_client_did_not() {
        let line = parse(r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 304 -"#);
        assert_eq!((line.bytes, line.referrer, line.user_agent), (None, None, None));
        let line = parse(r#"::1 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.0" 200 5 "-" "-""#);
        assert_eq!((line.referrer, line.user_agent), (Some(&b""[..]), Some(&b""[..])));
    }

    #[test]
    fn other_forms_of_the_same_are_read() {
        for (line, client, target, agent) in [
            (
                r#"example.org:443 192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET /v HTTP/2.0" 200 1 "-" "a""#,
                "192.0.2.1",
                "/v",
                "a",
            ),
            (
                r#"192.0.2.1 - some one [01/Jan/2026:00:00:00 +0000] "POST /p HTTP/1.1" 200 1 "-" "a \"b\" c" "-" 0.12"#,
                "192.0.2.1",
                "/p",
                r#"a \"b\" c"#,
            ),
            (
                r#"proxy.example.net - - [01/Jan/2026:00:00:00 +0000] "GET /with blank HTTP/1.0" 200 1 "-" "a\\""#,
                "proxy.example.net",
                "/with blank",
                r"a\\",
            ),
            (
                r#"192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "\x16\x03\x01" 400 150 "-" "-""#,
                "192.0.2.1",
                "",
                "",
            ),
        ] {
            let read = parse(line);
            assert_eq!(read.client, client.as_bytes(), "{line}");
            assert_eq!(read.target, target.as_bytes(), "{line}");
            assert_eq!(read.user_agent, Some(agent.as_bytes()), "{line}");
        }
    }

    #[test]
    fn times_are_those_of_greenwich() {
        for (text, expected) in [
            ("01/Jan/1970:00:00:00 +0000", Some(0)),
            ("25/Oct/2015:04:11:25 +0100", Some(1_445_742_685)),
            ("25/Oct/2015:00:11:25 -0330", Some(1_445_744_485)),
            ("29/Feb/2024:23:59:60 +0000", Some(1_709_251_200)),
            ("01/Jan/1970:00:00:00 +0100", None),
            ("30/Feb/2024:00:00:00 +0000", None),
            ("01/Foo/2024:00:00:00 +0000", None),
            ("01/Jan/2024:24:00:00 +0000", None),
            ("01/Jan/2024:00:00 +0000", None),
            ("01/Jan/2024:00:00:00 UTC", None),
        ] {
            let read = time_of(text.as_bytes());
            assert_eq!(read, expected.map(WallTime::from_unix_secs), "{text}");
        }
    }

    #[test]
    fn what_is_no_such_line_is_none() {
        for line in [
            "",
            "GET / HTTP/1.1",
            "[]",
            "192.0.2.1 - - [01/Jan/2026:00:00:00 +0000]",
            r#"192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1"#,
            r#"192.0.2.1 - - [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" many 1"#,
            r#"192.0.2.1 - - [yesterday] "GET / HTTP/1.1" 200 1"#,
            r#" [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1"#,
        ] {
            assert_eq!(parse_access_line(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_not(line in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_access_line(&line);
        }

        #[test]
        fn a_good_line_with_a_changed_byte_is_read_or_not(at in 0..COMBINED.len(), byte: u8) {
            let mut line = COMBINED.as_bytes().to_vec();
            line[at] = byte;
            let _ = parse_access_line(&line);
        }
    }
}
