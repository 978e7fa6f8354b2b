//! The form of a line. A changed name here is a changed interface (golden test, changelog).

use std::io::Write as _;
use std::net::IpAddr;

use seawall_model::{Date, WallTime};

use super::record::Decoded;

/// Appends `,"name":value`, the name and its quotes being one literal.
macro_rules! field {
    ($out:ident, $name:literal, number: $value:expr) => {{
        $out.extend_from_slice(concat!(",\"", $name, "\":").as_bytes());
        number($out, $value);
    }};
    ($out:ident, $name:literal, text: $value:expr) => {
        field!($out, $name, quoted: |out| escape(out, $value))
    };
    ($out:ident, $name:literal, quoted: |$o:ident| $write:expr) => {{
        $out.extend_from_slice(concat!(",\"", $name, "\":\"").as_bytes());
        let $o: &mut Vec<u8> = $out;
        $write;
        $o.push(b'"');
    }};
}

/// Writes lines; remembers the text of the last second, which most lines share.
#[derive(Debug, Default)]
pub(super) struct Lines {
    second: Option<u64>,
    date_time: Vec<u8>,
}

impl Lines {
    /// Appends one record as a line. With its share of the write about 1 us of the log thread.
    pub(super) fn record(&mut self, out: &mut Vec<u8>, record: &Decoded<'_>) {
        self.open(out, record.at);
        field!(out, "client.address", quoted: |out| address(out, record.client));
        field!(out, "http.request.method", text: record.method.as_str().as_bytes());
        field!(out, "server.address", text: record.host);
        field!(out, "url.path", text: record.path);
        if let Some(query) = record.query {
            field!(out, "url.query", text: query);
        }
        field!(out, "http.response.status_code", number: u64::from(record.status));
        field!(out, "network.protocol.version", text: record.version.as_str().as_bytes());
        if let Some(agent) = record.user_agent {
            field!(out, "user_agent.original", text: agent);
        }
        if let Some(ja4) = record.ja4 {
            field!(out, "seawall.tls.client.ja4", text: ja4);
        }
        field!(out, "seawall.decision", text: if record.refused { b"refuse" } else { b"admit" });
        field!(out, "seawall.cause", text: record.cause.as_str().as_bytes());
        if let Some(cache) = record.cache {
            field!(out, "seawall.cache", text: cache.as_str().as_bytes());
        }
        if record.mitigation != 0 {
            field!(out, "security_rule.uuid", quoted: |out| number(out, record.mitigation.into()));
        }
        field!(out, "seawall.duration_us", number: record.duration_us);
        field!(out, "http.response.body.size", number: record.bytes_sent);
        field!(out, "seawall.request.id", text: record.request_id);
        if record.cut {
            out.extend_from_slice(b",\"seawall.truncated\":true");
        }
        out.extend_from_slice(b"}\n");
    }

    /// Appends the line that stands for records which got none.
    pub(super) fn summary(&mut self, out: &mut Vec<u8>, at: WallTime, refusals: u64, dropped: u64) {
        self.open(out, at);
        field!(out, "seawall.log.refusals_unlogged", number: refusals);
        field!(out, "seawall.log.records_dropped", number: dropped);
        out.extend_from_slice(b"}\n");
    }

    /// The brace and the time: RFC 3339 in UTC with milliseconds.
    fn open(&mut self, out: &mut Vec<u8>, at: WallTime) {
        let secs = at.unix_secs();
        if self.second != Some(secs) {
            self.second = Some(secs);
            self.date_time.clear();
            // Days of a wall time fit: it ends in 2554.
            let date = Date::from_days(u32::try_from(secs / 86_400).unwrap_or(u32::MAX));
            let (year, month, day) = (date.year(), date.month(), date.day());
            let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
            write!(
                self.date_time,
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}."
            )
            .expect("writing to a Vec cannot fail");
        }
        let millis = at.unix_nanos() / 1_000_000 % 1_000;
        let digit = |n: u64| b'0' + (n % 10) as u8;
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(&self.date_time);
        out.extend_from_slice(&[
            digit(millis / 100),
            digit(millis / 10),
            digit(millis),
            b'Z',
            b'"',
        ]);
    }
}

/// Bytes that one line may take at most: every byte of text as `\u00xx`, and the names.
pub(super) const MAX_LINE_BYTES: usize = 6 * super::record::MAX_RECORD_BYTES + 1024;

/// JSON string content (RFC 8259 §7) from bytes a stranger chose. Bytes that are no UTF-8 become
/// U+FFFD. Control characters, C1 and the bidirectional ones included, are escaped, so that
/// printing the log cannot drive a terminal.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if text.iter().all(|&b| IS_PLAIN[usize::from(b)]) {
        return out.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        chunk.valid().chars().for_each(|c| escape_char(out, c));
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn escape_char(out: &mut Vec<u8>, c: char) {
    let mut utf8 = [0; 4];
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\0'..='\x1f'
        | '\x7f'..='\u{9f}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => {
            write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a Vec cannot fail");
        }
        c => out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()),
    }
}

/// Bytes that stand for themselves in a JSON string and on a terminal.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

/// Decimal digits, several times faster than through `fmt`.
fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return out.extend_from_slice(&digits[start..]);
        }
    }
}

fn address(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                number(out, u64::from(octet));
            }
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("writing to a Vec cannot fail"),
    }
}
