//! The small languages inside configuration values: durations, sizes, rates, addresses, hosts.
//!
//! Pure functions from text to typed values. Separate from the file walker so that the command
//! line can use them too, and so that they can be property-tested. They deliberately do **not**
//! know keys, lines or defaults: they say only what is wrong with the text itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use seawall_decide::{InvalidJa4Rule, Ja4Rule, RouteBudget, RouteLane};
use seawall_edge::config::{OriginTarget, TimestampAuthority};
use seawall_model::{Method, Prefix};
use seawall_seal::Recipient;

/// Why a text is not the value it should be; completes the sentence "`x` is …".
pub(crate) type Complaint = String;

/// Reads a duration: a whole number followed by `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// A complaint when the number or the unit is missing, unknown or too large.
pub(crate) fn duration(text: &str) -> Result<Duration, Complaint> {
    let (number, unit) = split_unit(text)?;
    let number: u64 = whole(number)?;
    let millis = match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "" => return Err("a number without a unit".to_owned()),
        _ => return Err(format!("a number with the unknown unit `{unit}`")),
    };
    millis
        .and_then(|factor| number.checked_mul(factor))
        // A hundred years: nothing here lasts longer, and clocks can still be added to it.
        .filter(|millis| *millis <= 100 * 366 * 86_400_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "longer than a hundred years".to_owned())
}

/// Writes a duration in the form that [`duration`] reads.
pub(crate) fn write_duration(value: Duration) -> String {
    let millis = value.as_millis();
    for (unit, factor) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if millis > 0 && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}

/// Reads a size: a whole number followed by `B`, `KB`, `MB`, `GB`, `TB` (powers of 1,000) or
/// `KiB`, `MiB`, `GiB`, `TiB` (powers of 1,024).
///
/// # Errors
/// A complaint when the number or the unit is missing, unknown or too large.
pub(crate) fn size(text: &str) -> Result<u64, Complaint> {
    let (number, unit) = split_unit(text)?;
    let number: u64 = whole(number)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "" => return Err("a number without a unit".to_owned()),
        _ => return Err(format!("a number with the unknown unit `{unit}`")),
    };
    number.checked_mul(factor).ok_or_else(|| "more than any machine holds".to_owned())
}

/// Writes a size in the form that [`size`] reads.
pub(crate) fn write_size(bytes: u64) -> String {
    for (unit, shift) in [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Reads a rate of events: `50/s`, `10/min` or `1000/h`, as events per second.
///
/// # Errors
/// A complaint when the form is another one.
pub(crate) fn rate(text: &str) -> Result<f64, Complaint> {
    let Some((number, unit)) = text.split_once('/') else {
        return Err("no rate: the `/s` is missing".to_owned());
    };
    let number: u64 = whole(number.trim())?;
    let seconds = match unit.trim() {
        "s" | "sec" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        other => return Err(format!("a rate per unknown unit `{other}`")),
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate beyond 2^53 is not meant exactly")]
    Ok(number as f64 / seconds)
}

/// Reads the budget of a route: as a rate, but `10/min` is ten in any minute and may come at once.
///
/// # Errors
/// A complaint when the form is another one, or the number 0 or beyond a million.
pub(crate) fn route_budget(text: &str) -> Result<RouteBudget, Complaint> {
    rate(text)?;
    let Some((number, unit)) = text.split_once('/') else {
        return Err("no rate: the `/s` is missing".to_owned());
    };
    let count = u32::try_from(whole(number.trim())?).unwrap_or(u32::MAX);
    if !(1..=1_000_000).contains(&count) {
        return Err(
            "not between 1 and 1000000; for nobody at all write `allow_sources = []`".to_owned()
        );
    }
    let per = match unit.trim() {
        "s" | "sec" => 1,
        "m" | "min" => 60,
        _ => 3_600,
    };
    Ok(RouteBudget { count, per: Duration::from_secs(per) })
}

/// Reads the lane of a route.
///
/// # Errors
/// A complaint when it is another word.
pub(crate) fn lane(text: &str) -> Result<RouteLane, Complaint> {
    match text {
        "normal" => Ok(RouteLane::Normal),
        "costly" => Ok(RouteLane::Costly),
        "background" => Ok(RouteLane::Background),
        "stream" => Ok(RouteLane::Stream),
        _ => Err("not `normal`, `costly`, `background` or `stream`".to_owned()),
    }
}

/// Reads a speed of bytes: `100Mbit/s` (powers of 1,000, divided by 8) or a size per second such
/// as `12MiB/s`, as bytes per second.
///
/// # Errors
/// A complaint when the form is another one.
pub(crate) fn speed(text: &str) -> Result<u64, Complaint> {
    let Some(amount) = text.strip_suffix("/s") else {
        return Err("no speed: the `/s` is missing".to_owned());
    };
    let amount = amount.trim();
    let Some(bits) = amount.strip_suffix("bit") else {
        return size(amount);
    };
    let (number, unit) = split_unit(bits).unwrap_or((bits, ""));
    let number: u64 = whole(number)?;
    let factor: u64 = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return Err(format!("a number with the unknown unit `{unit}bit`")),
    };
    number
        .checked_mul(factor)
        .map(|bits| bits / 8)
        .ok_or_else(|| "more than any link carries".to_owned())
}

/// Reads an address with a port: `0.0.0.0:443` or `[::]:443`.
///
/// # Errors
/// A complaint that names the usual slips: no port, a name instead of an address, brackets.
pub(crate) fn socket_address(text: &str) -> Result<SocketAddr, Complaint> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err("an address without a port".to_owned());
    }
    if let Some((host, port)) = text.rsplit_once(':') {
        if port.parse::<u32>().is_ok_and(|port| port > 65_535) {
            return Err("an address with a port above 65535".to_owned());
        }
        if host.parse::<std::net::Ipv6Addr>().is_ok() {
            return Err("an IPv6 address without its brackets".to_owned());
        }
        if !host.is_empty() && port.parse::<u16>().is_ok() {
            return Err("a name, not an address".to_owned());
        }
    }
    Err("not an address with a port".to_owned())
}

/// Reads a CIDR prefix or a single address.
///
/// # Errors
/// A complaint when it is neither, or when bits after the prefix are set: `10.0.0.7/8` is more
/// often a slip for `/32` than a wish for ten million addresses.
pub(crate) fn prefix(text: &str) -> Result<Prefix, Complaint> {
    let prefix: Prefix = text.parse().map_err(|_| "not an address or a CIDR prefix".to_owned())?;
    let address = text.split('/').next().and_then(|ip| ip.parse::<IpAddr>().ok());
    if address != Some(prefix.network()) {
        return Err(format!("a prefix with bits set beyond its length; the network is `{prefix}`"));
    }
    Ok(prefix)
}

/// Reads a rule on fingerprints of TLS clients.
///
/// # Errors
/// A complaint when no fingerprint could match it, or most would.
pub(crate) fn ja4(text: &str) -> Result<Ja4Rule, Complaint> {
    text.parse().map_err(|error: InvalidJa4Rule| error.to_string())
}

/// Reads a public key of age.
///
/// # Errors
/// A complaint when it is none, or has a slip in it.
pub(crate) fn recipient(text: &str) -> Result<Recipient, Complaint> {
    Recipient::parse(text)
        .map_err(|_| "not a public key of age, or one with a slip in it".to_owned())
}

/// Reads a site's host: a name in lower case, `*`, or `*.` and a name.
///
/// # Errors
/// A complaint that names the usual slips: a URL, a port, a path, letters beyond ASCII.
pub(crate) fn host(text: &str) -> Result<String, Complaint> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    if text.contains("://") {
        return Err("a URL, not a host name".to_owned());
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains('*') {
        return Err("a pattern with `*` elsewhere than as its whole first label".to_owned());
    }
    if let Some(inside) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inside.parse::<std::net::Ipv6Addr>() {
            Ok(ip) => Ok(format!("[{ip}]")),
            Err(_) => Err("not an IPv6 address in brackets".to_owned()),
        };
    }
    if name.contains('/') {
        return Err("a host name with a path".to_owned());
    }
    if name.contains(':') {
        return Err("a host name with a port".to_owned());
    }
    if !name.is_ascii() {
        return Err("a host name with letters beyond ASCII".to_owned());
    }
    if !is_host_name(name) {
        return Err("not a host name".to_owned());
    }
    Ok(text.trim_end_matches('.').to_ascii_lowercase())
}

/// Reads an origin: `http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/PATH`.
///
/// # Errors
/// A complaint that names what is wrong.
pub(crate) fn origin(text: &str) -> Result<OriginTarget, Complaint> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if !path.starts_with('/') || path.len() < 2 {
            return Err("a unix socket without an absolute path".to_owned());
        }
        // unix(7): sun_path holds 108 bytes with its terminating zero.
        if path.len() > 107 {
            return Err("a unix socket path of more than 107 bytes".to_owned());
        }
        return Ok(OriginTarget::Unix(PathBuf::from(path)));
    }
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some((scheme, _)) => return Err(format!("a URL with the unknown scheme `{scheme}`")),
        None => return Err("a URL without a scheme".to_owned()),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        // The value is not repeated here: what stands before `@` may be a password.
        return Err("a URL with a user name".to_owned());
    }
    if authority.contains(['/', '?', '#']) {
        return Err("a URL with a path; an origin is a server, and paths pass unchanged".to_owned());
    }
    let (host, port) = split_authority(authority)?;
    let port = match port {
        None if tls => 443,
        None => 80,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("a URL with the port `{port}`")),
        },
    };
    Ok(if tls { OriginTarget::Https { host, port } } else { OriginTarget::Http { host, port } })
}

/// Reads the address of an authority for stamps of the time: `http://HOST[:PORT][/PATH]` or with `https`.
///
/// # Errors
/// A complaint that names what is wrong.
pub(crate) fn timestamp_authority(text: &str) -> Result<TimestampAuthority, Complaint> {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find(['/', '?', '#']).map_or(text.len(), |at| begin + at);
    let (server, path) = text.split_at(end);
    let target = origin(server)?;
    if matches!(target, OriginTarget::Unix(_)) {
        return Err("a unix socket".to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
    if !path.bytes().all(is_plain) {
        return Err("a URL with a fragment, or with characters that have to be escaped".to_owned());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Ok(TimestampAuthority { url: text.to_owned(), target, path })
}

/// Reads a method's name as RFC 9110 §9 writes it.
///
/// # Errors
/// A complaint for lower case, unknown methods, and the two that no site is served.
pub(crate) fn method(text: &str) -> Result<Method, Complaint> {
    match Method::from_bytes(text.as_bytes()) {
        Method::Extension
            if Method::from_bytes(text.to_ascii_uppercase().as_bytes()) != Method::Extension =>
        {
            Err("a method in lower case; methods are case-sensitive".to_owned())
        }
        Method::Extension => Err("not a method that rules can name".to_owned()),
        // RFC 9110 §9.3.6 and §9.3.8: a tunnel and an echo, neither of use behind a shield.
        Method::Connect | Method::Trace => Err("a method that is never passed on".to_owned()),
        method => Ok(method),
    }
}

/// Reads a route's path: absolute, and `*` only at its end.
///
/// # Errors
/// A complaint that names what is wrong.
pub(crate) fn path(text: &str) -> Result<String, Complaint> {
    let fixed = text.strip_suffix('*').unwrap_or(text);
    if !text.starts_with('/') {
        Err("a path that does not begin with `/`".to_owned())
    } else if fixed.contains('*') {
        Err("a path with `*` elsewhere than at its end".to_owned())
    } else if text.contains(['?', '#']) {
        Err("a path with a query; routes see the path alone".to_owned())
    } else if text.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        Err("a path with spaces or control characters".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Reads a cookie name, in which `*` stands for any run of characters.
///
/// # Errors
/// A complaint when it cannot be a cookie's name (RFC 6265 §4.1.1), or is a bare `*`.
pub(crate) fn cookie(text: &str) -> Result<String, Complaint> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.bytes().all(|byte| byte == b'*') {
        Err("a pattern that every cookie matches".to_owned())
    } else if text.contains('=') {
        Err("a cookie with a value; only names are compared".to_owned())
    } else if !text.bytes().all(token) {
        Err("not a cookie name".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// Reads the name of a query parameter, in which `*` stands for any run of characters. Names are
/// compared as the most lenient origins read them, so the case and what follows a `[` do not count.
///
/// # Errors
/// A complaint when it cannot be such a name.
pub(crate) fn query_name(text: &str) -> Result<String, Complaint> {
    if text.contains('=') {
        Err("a parameter with a value; only names are compared".to_owned())
    } else if text.is_empty() || text.bytes().any(|byte| b"&?#;[].% +".contains(&byte)) {
        Err("not a parameter's name: letters, digits, `_`, `-` and `*`".to_owned())
    } else {
        Ok(text.to_ascii_lowercase())
    }
}

/// The known word closest to `word`, if one is close enough to be what was meant.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (edit_distance(&lower, candidate), candidate))
        // A third of the word may be wrong: two slips in `orgin_limts`, none in `tls`.
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn split_unit(text: &str) -> Result<(&str, &str), Complaint> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if number.is_empty() {
        return Err(if text.starts_with('-') {
            "negative".to_owned()
        } else {
            "not a number with a unit".to_owned()
        });
    }
    if unit.starts_with(['.', ',']) {
        return Err("not a whole number".to_owned());
    }
    Ok((number, unit.trim_start()))
}

fn whole(number: &str) -> Result<u64, Complaint> {
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a whole number".to_owned());
    }
    number.parse().map_err(|_| "too large".to_owned())
}

/// RFC 1123 §2.1 with the underscore that is seen in practice.
fn is_host_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn split_authority(authority: &str) -> Result<(String, Option<&str>), Complaint> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (ip, after) =
            rest.split_once(']').ok_or_else(|| "a URL with an unclosed `[`".to_owned())?;
        if ip.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("a URL whose brackets hold no IPv6 address".to_owned());
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((ip.to_owned(), Some(port))),
            None if after.is_empty() => Ok((ip.to_owned(), None)),
            None => Err("a URL with text after the `]`".to_owned()),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if host.is_empty() {
        return Err("a URL without a host".to_owned());
    }
    if port.is_some_and(|port| port.contains(':')) {
        return Err("a URL whose IPv6 address lacks its brackets".to_owned());
    }
    if !is_host_name(host) {
        return Err(format!("a URL with the impossible host `{host}`"));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// Levenshtein's distance, over bytes: keys are ASCII.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::{any, proptest};

    use super::*;

    #[track_caller]
    fn check<T: Debug + PartialEq>(
        read: impl Fn(&str) -> Result<T, Complaint>,
        good: &[(&str, T)],
        bad: &[&str],
    ) {
        for (text, want) in good {
            assert_eq!(read(text).as_ref(), Ok(want), "{text}");
        }
        for text in bad {
            assert!(read(text).is_err(), "{text} was taken for {:?}", read(text));
        }
    }

    #[test]
    fn durations_need_a_number_and_a_unit() {
        check(
            duration,
            &[
                ("200ms", Duration::from_millis(200)),
                ("30s", Duration::from_secs(30)),
                ("5m", Duration::from_secs(300)),
                ("24h", Duration::from_secs(86_400)),
                ("30d", Duration::from_secs(30 * 86_400)),
                ("0s", Duration::ZERO),
                ("10 s", Duration::from_secs(10)),
            ],
            &[
                "",
                "s",
                "30",
                "1.5h",
                "-1s",
                "30sec",
                "1h30m",
                "99999999999999999999s",
                "40000d",
                "٣s",
            ],
        );
    }

    #[test]
    fn sizes_know_both_thousands() {
        check(
            size,
            &[("64MiB", 64 << 20), ("1GB", 1_000_000_000), ("0B", 0), ("10GiB", 10 << 30)],
            &["", "64", "64M", "64Mb", "1.5GiB", "-1B", "99999999TiB", "MiB"],
        );
    }

    #[test]
    fn rates_are_per_second_minute_or_hour() {
        check(
            rate,
            &[("50/s", 50.0), ("30/min", 0.5), ("7200/h", 2.0)],
            &["50", "50/d", "/s", "-1/s", "a/s", "1.5/s"],
        );
    }

    #[test]
    fn speeds_are_bits_or_bytes() {
        check(
            speed,
            &[
                ("100Mbit/s", 12_500_000),
                ("1Gbit/s", 125_000_000),
                ("800bit/s", 100),
                ("2MiB/s", 2 << 20),
            ],
            &["100Mbit", "100", "100Mbps", "100/s", "100Xbit/s", "18446744073709551615Gbit/s"],
        );
    }

    #[test]
    fn addresses_need_a_port() {
        check(
            |text| socket_address(text).map(|address| address.to_string()),
            &[("0.0.0.0:80", "0.0.0.0:80".to_owned()), ("[::]:443", "[::]:443".to_owned())],
            &[
                "",
                "0.0.0.0",
                ":80",
                "80",
                "localhost:80",
                "::1:80",
                "[::1]",
                "1.2.3.4:70000",
                "*:80",
            ],
        );
    }

    #[test]
    fn prefixes_with_stray_bits_are_questioned() {
        check(
            |text| prefix(text).map(|prefix| prefix.to_string()),
            &[("10.0.0.0/8", "10.0.0.0/8".to_owned()), ("::1", "::1/128".to_owned())],
            &["10.0.0.7/8", "10.0.0.0/33", "example.org", "", "2001:db8::1/32"],
        );
    }

    #[test]
    fn hosts_are_names_or_patterns_of_one_label() {
        check(
            host,
            &[
                ("Example.ORG", "example.org".to_owned()),
                ("*", "*".to_owned()),
                ("*.example.org", "*.example.org".to_owned()),
                ("127.0.0.1", "127.0.0.1".to_owned()),
                ("[::1]", "[::1]".to_owned()),
                ("example.org.", "example.org".to_owned()),
            ],
            &[
                "",
                "https://example.org",
                "example.org:443",
                "example.org/blog",
                "bücher.example",
                "*.*.example.org",
                "www*.example.org",
                "exa mple.org",
                "-a.org",
                "a..b",
                "*.",
            ],
        );
    }

    #[test]
    fn an_authority_is_a_server_and_a_path() {
        let read = |text| timestamp_authority(text).map(|it| (it.target, it.path));
        let https = |port| OriginTarget::Https { host: "tsa.example.org".to_owned(), port };
        for (text, target, path) in [
            ("https://tsa.example.org/tsr", https(443), "/tsr"),
            ("https://tsa.example.org:8443", https(8443), "/"),
            ("https://tsa.example.org?kind=2", https(443), "/?kind=2"),
            (
                "http://127.0.0.1:81/a/b?c=d",
                OriginTarget::Http { host: "127.0.0.1".to_owned(), port: 81 },
                "/a/b?c=d",
            ),
        ] {
            assert_eq!(read(text), Ok((target, path.to_owned())), "{text}");
        }
        for (text, words) in [
            ("tsa.example.org/tsr", "without a scheme"),
            ("ftp://tsa.example.org", "unknown scheme"),
            ("unix:/run/tsa.sock", "unix socket"),
            ("https://user:secret@tsa.example.org/", "user name"),
            ("https://tsa.example.org/a b", "escaped"),
            ("https://tsa.example.org/#a", "fragment"),
            ("https:///tsr", ""),
            ("", "without a scheme"),
        ] {
            let complaint = read(text).expect_err(text);
            assert!(complaint.contains(words), "{text}: {complaint}");
        }
    }

    #[test]
    fn origins_are_servers_not_pages() {
        let http = |host: &str, port| OriginTarget::Http { host: host.to_owned(), port };
        let https = |host: &str, port| OriginTarget::Https { host: host.to_owned(), port };
        check(
            origin,
            &[
                ("http://127.0.0.1:8080", http("127.0.0.1", 8080)),
                ("http://localhost", http("localhost", 80)),
                ("http://localhost/", http("localhost", 80)),
                ("https://Origin.example.org", https("origin.example.org", 443)),
                ("http://[::1]:8080", http("::1", 8080)),
                ("unix:/run/x.sock", OriginTarget::Unix("/run/x.sock".into())),
            ],
            &[
                "",
                "localhost:8080",
                "ftp://x",
                "http://",
                "http://x:0",
                "http://x:70000",
                "unix:x.sock",
                "http://x/path",
                "http://user:secret@x",
                "http://x:80:80",
                "http://[::1",
                "http://::1:80",
                "http://a b",
                "HTTP:/x",
                "unix:",
            ],
        );
    }

    #[test]
    fn a_complaint_about_an_origin_never_repeats_a_password() {
        let complaint = origin("http://user:secret@x").expect_err("user names are refused");
        assert!(!complaint.contains("secret"));
    }

    #[test]
    fn methods_paths_and_cookies_are_checked() {
        check(
            method,
            &[("GET", Method::Get), ("PATCH", Method::Patch)],
            &["get", "TRACE", "CONNECT", "X", ""],
        );
        check(
            path,
            &[("/", "/".to_owned()), ("/wp-admin/*", "/wp-admin/*".to_owned())],
            &["", "x", "/a*b", "/a?b", "/a b"],
        );
        check(
            cookie,
            &[("PHPSESSID", "PHPSESSID".to_owned()), ("_ga*", "_ga*".to_owned())],
            &["", "*", "**", "a=b", "a b", "a;b"],
        );
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        let keys = ["origin", "hosts", "cache", "origin_limits"];
        assert_eq!(closest("orgin", keys), Some("origin"));
        assert_eq!(closest("host", keys), Some("hosts"));
        assert_eq!(closest("origin-limits", keys), Some("origin_limits"));
        assert_eq!(closest("colour", keys), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(text in any::<String>()) {
            let _ = (duration(&text), size(&text), rate(&text), speed(&text), socket_address(&text));
            let _ = (prefix(&text), host(&text), origin(&text), method(&text), path(&text), cookie(&text));
        }

        #[test]
        fn durations_and_sizes_are_written_as_they_are_read(n in 0u64..1 << 40) {
            assert_eq!(duration(&write_duration(Duration::from_millis(n))), Ok(Duration::from_millis(n)));
            assert_eq!(size(&write_size(n)), Ok(n));
        }
    }
}
