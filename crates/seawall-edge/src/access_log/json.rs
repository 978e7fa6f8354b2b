//! The form of a line. A changed name here is a changed interface (golden test, changelog).

use std::io::Write as _;

use seawall_model::WallTime;

use super::record::Decoded;

/// Appends one record as a line.
pub(super) fn line(out: &mut Vec<u8>, record: &Decoded<'_>) {
    let mut o = Object::open(out, record.at);
    o.plain("client.address", &record.client);
    o.text("http.request.method", record.method.as_str().as_bytes());
    o.text("server.address", record.host);
    o.text("url.path", record.path);
    if let Some(query) = record.query {
        o.text("url.query", query);
    }
    o.number("http.response.status_code", u64::from(record.status));
    o.text("network.protocol.version", record.version.as_str().as_bytes());
    if let Some(agent) = record.user_agent {
        o.text("user_agent.original", agent);
    }
    if let Some(ja4) = record.ja4 {
        o.text("seawall.tls.client.ja4", ja4);
    }
    o.text("seawall.decision", if record.refused { b"refuse" } else { b"admit" });
    o.text("seawall.cause", record.cause.as_str().as_bytes());
    if let Some(cache) = record.cache {
        o.text("seawall.cache", cache.as_str().as_bytes());
    }
    o.number("seawall.duration_us", record.duration_us);
    o.number("http.response.body.size", record.bytes_sent);
    o.text("seawall.request.id", record.request_id);
    if record.cut {
        o.raw("seawall.truncated", b"true");
    }
    o.close();
}

/// Appends the line that stands for records which got none.
pub(super) fn summary(out: &mut Vec<u8>, at: WallTime, refusals: u64, dropped: u64) {
    let mut o = Object::open(out, at);
    o.number("seawall.log.refusals_unlogged", refusals);
    o.number("seawall.log.records_dropped", dropped);
    o.close();
}

/// Bytes that one line may take at most: every byte of text as `\u00xx`, and the names.
pub(super) const MAX_LINE_BYTES: usize = 6 * super::record::MAX_RECORD_BYTES + 1024;

struct Object<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Object<'o> {
    fn open(out: &'o mut Vec<u8>, at: WallTime) -> Self {
        out.extend_from_slice(b"{\"timestamp\":\"");
        rfc3339(out, at);
        out.push(b'"');
        Self { out }
    }

    fn name(&mut self, name: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn raw(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        write!(self.out, "{value}").expect("writing to a Vec cannot fail");
    }

    fn plain(&mut self, name: &str, value: &dyn std::fmt::Display) {
        self.name(name);
        write!(self.out, "\"{value}\"").expect("writing to a Vec cannot fail");
    }

    fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        escape(self.out, value);
        self.out.push(b'"');
    }

    fn close(self) {
        self.out.extend_from_slice(b"}\n");
    }
}

/// JSON string content (RFC 8259 §7) from bytes a stranger chose. Bytes that are no UTF-8 become
/// U+FFFD. Control characters, C1 and the bidirectional ones included, are escaped, so that
/// printing the log cannot drive a terminal.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        let valid = chunk.valid();
        if valid.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\') {
            out.extend_from_slice(valid.as_bytes());
        } else {
            valid.chars().for_each(|c| escape_char(out, c));
        }
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

/// RFC 3339 in UTC with milliseconds.
fn rfc3339(out: &mut Vec<u8>, at: WallTime) {
    let secs = at.unix_secs();
    let millis = at.unix_nanos() / 1_000_000 % 1_000;
    let (year, month, day) = civil(secs / 86_400);
    let (hour, minute, second) = (secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
        .expect("writing to a Vec cannot fail");
}

/// The civil date of a day since 1970-01-01. *Source:* Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`, for days that are not negative.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    (year, month, day)
}
