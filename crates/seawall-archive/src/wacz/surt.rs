//! Keys by which programs that show archives look up a URL: the host backwards, and what does not tell
//! pages apart left out. `https://www.Example.org/A/?b=2&a=1` is `org,example)/a?a=1&b=2`.
//!
//! *Source:* the Python package `surt` in its standard form, which `cdxj-indexer` and `pywb` use. Two
//! pages can have one key; a line of an index says which it means.

/// The key of an absolute `http` or `https` URL. O(length).
pub(super) fn surt(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split('#').next().unwrap_or_default();
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, query),
        None => (rest, ""),
    };
    let slash = before.find('/').unwrap_or(before.len());
    let (authority, path) = before.split_at(slash);
    let mut key = host_key(scheme, authority);
    key.push(')');
    let path = path_key(path.as_bytes());
    key.push_str(&String::from_utf8_lossy(&path));
    let query = query_key(query.as_bytes());
    if !query.is_empty() {
        key.push('?');
        key.push_str(&String::from_utf8_lossy(&query));
    }
    key
}

fn host_key(scheme: &str, authority: &str) -> String {
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.trim_start_matches(':')),
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let host = unescaped(host.as_bytes());
    let host = String::from_utf8_lossy(&escaped(&host)).to_ascii_lowercase().replace("..", ".");
    let host = host.trim_matches('.');
    // `www.`, `www2.` and the like tell no sites apart.
    let digits =
        host.strip_prefix("www").map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    let host = digits.and_then(|rest| rest.strip_prefix('.')).unwrap_or(host);
    let mut key = host.split('.').rev().collect::<Vec<_>>().join(",");
    let default = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    if !port.is_empty() && port != default {
        key.push(':');
        key.push_str(port);
    }
    key
}

fn path_key(path: &[u8]) -> Vec<u8> {
    let path = unescaped(path);
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/').skip(1) {
        match part {
            b"." => {}
            b".." if !kept.is_empty() => {
                kept.pop();
            }
            _ => kept.push(part),
        }
    }
    let mut key = vec![b'/'];
    if let Some((last, folders)) = kept.split_last() {
        for folder in folders.iter().filter(|folder| !folder.is_empty()) {
            key.extend_from_slice(folder);
            key.push(b'/');
        }
        key.extend_from_slice(last);
    }
    let mut key = without_path_session(escaped(&key).to_ascii_lowercase());
    if key.len() > 1 && key.ends_with(b"/") {
        key.pop();
    }
    key
}

fn query_key(query: &[u8]) -> Vec<u8> {
    let mut query = escaped(&unescaped(query));
    for session in [
        |rest: &[u8]| value_of(rest, b"jsessionid=", 32, u8::is_ascii_alphanumeric),
        |rest: &[u8]| value_of(rest, b"phpsessid=", 32, u8::is_ascii_alphanumeric),
        |rest: &[u8]| value_of(rest, b"sid=", 32, u8::is_ascii_alphanumeric),
        asp_session,
        cold_fusion_session,
    ] {
        query = without_session(query, session);
    }
    query.make_ascii_lowercase();
    let mut pairs: Vec<(&[u8], Option<&[u8]>)> = query
        .split(|&byte| byte == b'&')
        .map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], Some(&pair[at + 1..])),
            None => (pair, None),
        })
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<Vec<u8>> = pairs
        .into_iter()
        .map(|(name, value)| match value {
            Some(value) => [name, b"=", value].concat(),
            None => name.to_vec(),
        })
        .collect();
    pairs.join(&b'&')
}

/// Leaves out the last place where `session` finds one that ends its parameter.
fn without_session(query: Vec<u8>, session: fn(&[u8]) -> Option<usize>) -> Vec<u8> {
    for at in (0..query.len()).rev() {
        let Some(length) = session(&query[at..]) else { continue };
        match query[at + length..].split_first() {
            None => return query[..at].to_vec(),
            Some((b'&', rest)) => return [&query[..at], rest].concat(),
            Some(_) => {}
        }
    }
    query
}

fn value_of(rest: &[u8], name: &[u8], length: usize, is_good: fn(&u8) -> bool) -> Option<usize> {
    let begin = rest.get(..name.len())?;
    let value = rest.get(name.len()..name.len() + length)?;
    (begin.eq_ignore_ascii_case(name) && value.iter().all(is_good)).then_some(name.len() + length)
}

fn asp_session(rest: &[u8]) -> Option<usize> {
    let name = value_of(rest, b"aspsessionid", 8, u8::is_ascii_alphabetic)?;
    Some(name + value_of(rest.get(name..)?, b"=", 24, u8::is_ascii_alphabetic)?)
}

fn cold_fusion_session(rest: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, name) in [b"cfid=".as_slice(), b"cftoken="].into_iter().enumerate() {
        if index == 1 {
            rest[length..].strip_prefix(b"&")?;
            length += 1;
        }
        length += value_of(&rest[length..], name, 0, u8::is_ascii)?;
        let value = rest[length..].iter().take_while(|&&byte| byte != b'&').count();
        length += (value > 0).then_some(value)?;
    }
    Some(length)
}

/// ASP.NET keeps sessions in the path: `/(S(24 characters))/page.aspx`, before that `/(24)/page.aspx`.
fn without_path_session(path: Vec<u8>) -> Vec<u8> {
    [named_sessions as fn(&[u8]) -> Option<usize>, bare_session].into_iter().fold(
        path,
        |path, session| {
            for at in (0..path.len()).rev() {
                if path[at] != b'/' {
                    continue;
                }
                let Some(length) = session(&path[at + 1..]) else { continue };
                let page = &path[at + 1 + length..];
                let name = memchr::memmem::rfind(page, b".aspx");
                let is_page = name.is_some_and(|name| name > 0)
                    && memchr::memmem::find_iter(page, b".aspx")
                        .any(|at| at > 0 && !page[..at].contains(&b'?'));
                if is_page {
                    return [&path[..=at], page].concat();
                }
            }
            path
        },
    )
}

fn named_sessions(rest: &[u8]) -> Option<usize> {
    let mut length = rest.strip_prefix(b"(").map(|_| 1)?;
    let mut count = 0;
    while rest.get(length).is_some_and(u8::is_ascii_alphabetic) {
        length += 1 + value_of(rest.get(length + 1..)?, b"(", 24, u8::is_ascii_alphanumeric)?;
        rest.get(length..)?.strip_prefix(b")")?;
        length += 1;
        count += 1;
    }
    rest.get(length..)?.strip_prefix(b")/")?;
    (count > 0).then_some(length + 2)
}

fn bare_session(rest: &[u8]) -> Option<usize> {
    let length = value_of(rest, b"(", 24, u8::is_ascii_alphanumeric)?;
    rest[length..].strip_prefix(b")/").map(|_| length + 2)
}

/// Percent-encoding undone until there is none; at most [`MAX_ROUNDS`] times.
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..MAX_ROUNDS {
        let plain = unescaped_once(&bytes);
        if plain.len() == bytes.len() {
            break;
        }
        bytes = plain;
    }
    bytes
}

/// Nobody escapes more often; a URL made to cost time could ask for as many rounds as it has bytes.
const MAX_ROUNDS: usize = 32;

fn unescaped_once(bytes: &[u8]) -> Vec<u8> {
    let digit = |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high << 4 | low).unwrap_or(b'%'));
                at += 3;
            }
            (byte, _, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

/// What is not printable is escaped, and `#` and `%`.
fn escaped(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'%') {
            text.push(byte);
        } else {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::surt;

    #[test]
    fn keys_are_those_of_other_programs() {
        // Each from `surt.surt()` of the Python package surt 0.3.1.
        for (url, want) in [
            ("https://example.org", "org,example)/"),
            ("https://example.org/", "org,example)/"),
            ("http://www.Example.org:80/A/?b=2&a=1", "org,example)/a?a=1&b=2"),
            ("https://www2.example.org:8443/a//b/../c/", "org,example:8443)/a/c"),
            ("https://example.org/?", "org,example)/"),
            ("https://example.org/%41%2541?%62=%26", "org,example)/aa?&b="),
            ("https://example.org/a b%0a%23", "org,example)/a%20b%0a%23"),
            ("https://example.org/\u{e9}?\u{e9}", "org,example)/%c3%a9?%c3%a9"),
            ("https://127.0.0.1/a", "1,0,0,127)/a"),
            ("https://example.org/?b&a=&a&=", "org,example)/?=&a&a=&b"),
            (
                "https://example.org/a?x=1&PHPSESSID=0123456789abcdef0123456789abcdef&y=2",
                "org,example)/a?x=1&y=2",
            ),
            (
                "https://example.org/(a(4hqa0555fwsecu455xqckv45)S(4hqa0555fwsecu455xqckv45)f(4hqa0555fwsecu455xqckv45))/mileg.aspx?page=sessionschedules",
                "org,example)/mileg.aspx?page=sessionschedules",
            ),
            (
                "https://example.org/(4hqa0555fwsecu455xqckv45)/mileg.aspx",
                "org,example)/mileg.aspx",
            ),
            (
                "https://example.org/?cfid=1169580&cftoken=48630702&dtstamp=22",
                "org,example)/?dtstamp=22",
            ),
            (
                "https://example.org/?ASPSESSIONIDAABBCCDD=abcdefghijklmnopqrstuvwx&a",
                "org,example)/?a",
            ),
        ] {
            assert_eq!(surt(url), want, "{url}");
        }
    }

    proptest! {
        #[test]
        fn any_url_has_a_key_of_one_word(rest in ".{0,80}") {
            let key = surt(&format!("https://example.org/{rest}"));
            prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()), "{}", key);
        }
    }
}
