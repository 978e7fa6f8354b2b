//! One request of a log, from whichever form it is written in.

use std::net::{IpAddr, Ipv6Addr};

use seawall_model::{ClientAddr, HttpVersion, Method, WallTime};
use seawall_wire::access_line::parse_access_line;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::times;

/// What a log tells of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogRequest {
    pub(super) at: WallTime,
    /// Whether the time is finer than a second.
    pub(super) is_fine: bool,
    pub(super) client: ClientAddr,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) version: Option<HttpVersion>,
    pub(super) status: u16,
    pub(super) duration_ms: Option<u32>,
    /// `None`: the log does not tell. Empty: the client did not.
    pub(super) referrer: Option<String>,
    /// Likewise.
    pub(super) user_agent: Option<String>,
    /// Likewise.
    pub(super) accept_language: Option<String>,
    pub(super) ja4: Option<String>,
    /// Whether a cache had it, where the log tells.
    pub(super) was_held: Option<bool>,
}

/// Reads one line. `None` if it is none of a known form.
pub(super) fn read(line: &[u8]) -> Option<LogRequest> {
    if line.first() == Some(&b'{') { of_json(line) } else { of_text(line) }
}

fn of_text(line: &[u8]) -> Option<LogRequest> {
    let line = parse_access_line(line)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(LogRequest {
        at: line.at,
        is_fine: false,
        client: client(&text(line.client)),
        method: Method::from_bytes(line.method),
        target: text(line.target),
        version: line.version,
        status: line.status,
        duration_ms: None,
        referrer: line.referrer.map(text),
        user_agent: line.user_agent.map(text),
        accept_language: None,
        ja4: None,
        was_held: None,
    })
}

/// Our own log, Caddy's, and what people commonly configure for nginx, HAProxy and others.
fn of_json(line: &[u8]) -> Option<LogRequest> {
    let all: Value = serde_json::from_slice(line).ok()?;
    // Caddy nests the request.
    let find = |names: &[&str]| {
        names.iter().find_map(|name| {
            all.get(name).or_else(|| all.get("request")?.get(name)).filter(|value| !value.is_null())
        })
    };
    let text = |names: &[&str]| match find(names)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let header = |name: &str| {
        let headers = all.get("request")?.get("headers")?;
        Some(headers.get(name).and_then(|lines| lines.get(0)?.as_str()).unwrap_or("").to_owned())
    };
    let (at, is_fine) = time(find(TIMES)?)?;
    // nginx people log `$request` as one: `GET / HTTP/1.1`.
    let whole = all.get("request").and_then(Value::as_str).unwrap_or_default();
    let mut words = whole.split(' ');
    let (first, second, third) = (words.next(), words.next(), words.next());
    let target = match (text(&["url.path"]), text(&["url.query"])) {
        (Some(path), Some(query)) => format!("{path}?{query}"),
        (Some(path), None) => path,
        (None, _) => text(TARGETS).or(second.map(str::to_owned))?,
    };
    let method = text(METHODS).or(first.filter(|word| !word.is_empty()).map(str::to_owned))?;
    let protocol = text(&["network.protocol.version", "proto", "server_protocol", "protocol"]);
    Some(LogRequest {
        at,
        is_fine,
        client: client(&text(CLIENTS)?),
        method: Method::from_bytes(method.as_bytes()),
        target,
        version: protocol.as_deref().or(third).and_then(version),
        status: text(STATUSES)?.parse().ok()?,
        duration_ms: duration(&all),
        referrer: text(&["http_referer", "referer", "referrer"]).or_else(|| header("Referer")),
        user_agent: text(AGENTS).or_else(|| header("User-Agent")),
        accept_language: header("Accept-Language"),
        ja4: text(&["seawall.tls.client.ja4", "ja4"]),
        was_held: text(&["seawall.cache"]).map(|cache| HELD.contains(&cache.as_str())),
    })
}

/// An address, or for a log with names a made-up one for each.
fn client(text: &str) -> ClientAddr {
    let text = text.trim_matches(['[', ']']);
    let address = text.parse().unwrap_or_else(|_| {
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; 16];
        // fd00::/8: no address of anybody (RFC 4193). Names differ in the /64, as clients do.
        bytes[..8].copy_from_slice(&digest[..8]);
        bytes[0] = 0xfd;
        IpAddr::V6(Ipv6Addr::from(bytes))
    });
    ClientAddr::new(address)
}

/// RFC 3339, seconds or milliseconds since 1970; whether it is finer than a second.
fn time(value: &Value) -> Option<(WallTime, bool)> {
    if let Some(number) = value.as_f64() {
        return seconds(number);
    }
    let text = value.as_str()?;
    if let Ok(number) = text.parse() {
        return seconds(number);
    }
    // Only a fraction of a second has a point in it, and it may be `.000`.
    Some((times::moment(text)?, text.contains('.')))
}

fn seconds(number: f64) -> Option<(WallTime, bool)> {
    // Later than the year 5000 in seconds: milliseconds.
    let seconds = if number > 1e11 { number / 1e3 } else { number };
    if !(0.0..1e11).contains(&seconds) {
        return None;
    }
    // Below 2^63.
    let nanos = std::time::Duration::from_secs_f64(seconds).as_nanos();
    let at = WallTime::from_unix_nanos(u64::try_from(nanos).ok()?);
    Some((at, number.fract() != 0.0 || number > 1e11))
}

fn version(text: &str) -> Option<HttpVersion> {
    match text.trim_start_matches("HTTP/") {
        "1.0" => Some(HttpVersion::Http10),
        "1.1" => Some(HttpVersion::Http11),
        "2" | "2.0" => Some(HttpVersion::Http2),
        _ => None,
    }
}

/// Milliseconds that the request took.
fn duration(all: &Value) -> Option<u32> {
    let number = |name: &str| match all.get(name)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let ms = number("seawall.duration_us")
        .map(|us| us / 1e3)
        .or_else(|| number("request_time").map(|seconds| seconds * 1e3))
        .or_else(|| number("duration").map(|seconds| seconds * 1e3))
        .filter(|ms| (0.0..4e9).contains(ms))?;
    // In range by the line before.
    let ms = ms.ceil() as u32;
    Some(ms)
}

const TIMES: &[&str] = &["timestamp", "ts", "time", "time_iso8601", "@timestamp", "msec"];
const CLIENTS: &[&str] = &["client.address", "client_ip", "remote_ip", "remote_addr", "clientip"];
const METHODS: &[&str] = &["http.request.method", "method", "request_method"];
const TARGETS: &[&str] = &["uri", "request_uri", "path", "url"];
const STATUSES: &[&str] = &["http.response.status_code", "status", "status_code"];
const AGENTS: &[&str] = &["user_agent.original", "http_user_agent", "user_agent", "agent"];
/// Outcomes of our own cache for which nobody had to work.
const HELD: [&str; 3] = ["hit", "stale", "archive"];

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &str) -> LogRequest {
        read(line.as_bytes()).unwrap_or_else(|| panic!("not read: {line}"))
    }

    #[test]
    fn four_kinds_of_logs_say_the_same() {
        let at = WallTime::from_unix_nanos(1_767_225_600_250_000_000);
        let ours = json(
            r#"{"timestamp":"2026-01-01T00:00:00.250Z","client.address":"192.0.2.0","http.request.method":"GET","server.address":"example.org","url.path":"/a","url.query":"b=1","http.response.status_code":200,"network.protocol.version":"2","user_agent.original":"ua","seawall.tls.client.ja4":"t13d","seawall.cache":"hit","seawall.duration_us":1500}"#,
        );
        assert_eq!((ours.at, ours.is_fine), (at, true));
        assert_eq!((ours.target.as_str(), ours.status), ("/a?b=1", 200));
        assert_eq!((ours.duration_ms, ours.was_held), (Some(2), Some(true)));
        assert_eq!((ours.user_agent.as_deref(), ours.ja4.as_deref()), (Some("ua"), Some("t13d")));
        assert_eq!(ours.version, Some(HttpVersion::Http2));

        let caddy = json(
            r#"{"level":"info","ts":1767225600.25,"logger":"http.log.access","request":{"remote_ip":"192.0.2.0","proto":"HTTP/2.0","method":"GET","host":"example.org","uri":"/a?b=1","headers":{"User-Agent":["ua"]}},"duration":0.0015,"status":200}"#,
        );
        assert_eq!((caddy.at, caddy.client), (at, ours.client));
        assert_eq!((caddy.target.as_str(), caddy.version), ("/a?b=1", Some(HttpVersion::Http2)));
        assert_eq!((caddy.duration_ms, caddy.referrer.as_deref()), (Some(2), Some("")));

        let nginx = json(
            r#"{"time":"2026-01-01T01:00:00+01:00","remote_addr":"192.0.2.0","request":"GET /a?b=1 HTTP/2.0","status":"200","request_time":"0.0015","http_user_agent":"ua"}"#,
        );
        assert_eq!((nginx.at, nginx.is_fine), (WallTime::from_unix_secs(1_767_225_600), false));
        assert_eq!((nginx.target.as_str(), nginx.version), ("/a?b=1", Some(HttpVersion::Http2)));
        assert_eq!((nginx.referrer, nginx.duration_ms), (None, Some(2)));

        let text = json(
            r#"192.0.2.0 - - [01/Jan/2026:00:00:00 +0000] "GET /a?b=1 HTTP/2.0" 200 5 "-" "ua""#,
        );
        assert_eq!((text.at, text.client), (nginx.at, ours.client));
        assert_eq!((text.referrer.as_deref(), text.user_agent.as_deref()), (Some(""), Some("ua")));
    }

    #[test]
    fn times_are_read_with_what_they_say_of_how_fine_they_are() {
        let read = |text: &str| time(&Value::from(text)).map(|(at, fine)| (at.unix_nanos(), fine));
        let base = 1_767_225_600_000_000_000;
        for (text, want) in [
            ("2026-01-01T00:00:00Z", Some((base, false))),
            ("2026-01-01 01:00:00.000+0100", Some((base, true))),
            ("2026-01-01 00:00:00.25", Some((base + 250_000_000, true))),
            ("1767225600", Some((base, false))),
            ("1767225600.25", Some((base + 250_000_000, true))),
            ("1767225600250", Some((base + 250_000_000, true))),
            // A day is no time of a request.
            ("2026-01-01", None),
            ("2026-01-01T99:00:00Z", None),
            ("2026-01-01T00:00:00+zz:00", None),
            ("now", None),
        ] {
            assert_eq!(read(text), want, "{text}");
        }
    }

    #[test]
    fn clients_with_names_are_told_apart() {
        let of = |name: &str| client(name);
        assert_eq!(of("www.example.org"), of("www.example.org"));
        assert_ne!(of("www.example.org"), of("ftp.example.org"));
        assert_ne!(of("www.example.org").identity(), of("ftp.example.org").identity());
        assert_eq!(of("[2001:db8::1]"), of("2001:db8::1"));
    }

    #[test]
    fn what_is_no_request_is_none() {
        for line in [
            "",
            "{",
            "{}",
            r#"{"timestamp":"2026-01-01T00:00:00Z","seawall.log.refusals_unlogged":5}"#,
            r#"{"ts":-1,"remote_ip":"192.0.2.1","method":"GET","uri":"/","status":200}"#,
            r#"{"ts":"2026-13-01T00:00:00Z","remote_ip":"192.0.2.1","method":"GET","uri":"/","status":200}"#,
            r#"{"ts":"2026-01-01T00:00:0é","remote_ip":"192.0.2.1","method":"GET","uri":"/","status":200}"#,
            r#"{"ts":1e300,"remote_ip":"192.0.2.1","method":"GET","uri":"/","status":200}"#,
            "#Fields: date time",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }
}
