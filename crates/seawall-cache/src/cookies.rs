//! What a request's cookies say about it, by name only.
//!
//! Separate because the answer is needed before any lookup, on every request: one pass over the
//! Cookie lines, no allocation. It does **not** look at values: a cookie is a claim, and a claim
//! buys nothing but the origin's own answer.

use std::fmt;

use seawall_model::{CookieClass, Fields};

use crate::policy::SitePolicy;

/// A list of cookie-name patterns in which `*` stands for any run of bytes.
///
/// Names are compared case-sensitively, as browsers send them (RFC 6265 §5.3). Most names are ruled
/// out by their first byte; the rest costs O(patterns × name length). Nothing is allocated.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CookiePatterns {
    patterns: Box<[Pattern]>,
    /// Which first bytes any pattern can match: one bit for each.
    first_bytes: [u64; 4],
}

#[derive(Clone, PartialEq, Eq)]
struct Pattern {
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Without a star.
    Exact,
    /// One star, at the end.
    Prefix,
    /// Stars elsewhere.
    Glob,
}

impl CookiePatterns {
    /// A list from patterns as written in the configuration.
    pub fn new<I, S>(patterns: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let patterns: Box<[Pattern]> =
            patterns.into_iter().map(|text| Pattern::new(text.into().into())).collect();
        let mut first_bytes = [0u64; 4];
        for pattern in &patterns {
            match pattern.text.bytes().next() {
                Some(b'*') => first_bytes = [u64::MAX; 4],
                Some(byte) => first_bytes[usize::from(byte >> 6)] |= 1 << (byte & 63),
                // Matches the empty name alone, which has no first byte.
                None => {}
            }
        }
        Self { patterns, first_bytes }
    }

    /// Whether any pattern matches the whole of `name`.
    pub fn matches(&self, name: &[u8]) -> bool {
        let possible = name
            .first()
            .is_none_or(|byte| self.first_bytes[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0);
        possible && self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    /// The patterns as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|pattern| &*pattern.text)
    }
}

impl Pattern {
    fn new(text: Box<str>) -> Self {
        let kind = match text.find('*') {
            None => Kind::Exact,
            Some(at) if at + 1 == text.len() => Kind::Prefix,
            Some(_) => Kind::Glob,
        };
        Self { text, kind }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match self.kind {
            Kind::Exact => name == text,
            Kind::Prefix => name.starts_with(&text[..text.len() - 1]),
            Kind::Glob => glob(text, name),
        }
    }
}

impl fmt::Debug for CookiePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Seawall's own cookie, the reader credential. Like the others it ends at Seawall. It is not sent on, selects
/// nothing and makes no page personal. The prefix keeps it off plain HTTP and off other hosts
/// (RFC 6265bis §4.1.3.2).
pub const OWN_COOKIE: &str = "__Host-seawall";
/// The same for the pass of the cheap test.
pub const PASS_COOKIE: &str = "__Host-seawall-pass";
/// And over plain HTTP, where browsers take no cookie with that prefix.
pub const PLAIN_PASS_COOKIE: &str = "seawall-pass";

/// A Cookie line without Seawall's own; `None` if there is none in it.
pub fn without_own_cookie(line: &[u8]) -> Option<Vec<u8>> {
    if !line.split(|&byte| byte == b';').any(is_own_cookie) {
        return None;
    }
    let mut rest = Vec::with_capacity(line.len());
    for pair in line.split(|&byte| byte == b';').filter(|pair| !is_own_cookie(pair)) {
        if !rest.is_empty() {
            rest.extend_from_slice(b"; ");
        }
        rest.extend_from_slice(pair.trim_ascii());
    }
    Some(rest)
}

/// Whether one pair of a Cookie line is Seawall's own.
pub(crate) fn is_own_cookie(pair: &[u8]) -> bool {
    let pair = pair.trim_ascii_start();
    // Of one letter each: what is none of them is told so by its first byte.
    [OWN_COOKIE, PASS_COOKIE, PLAIN_PASS_COOKIE].iter().any(|name| {
        pair.strip_prefix(name.as_bytes())
            .is_some_and(|rest| matches!(rest.trim_ascii_start().first(), None | Some(b'=')))
    })
}

/// Classifies the Cookie lines of a request under a site's policy.
///
/// One bypass cookie makes the request [`CookieClass::Personal`]; otherwise one cookie outside the
/// harmless list, or anything that is not a `name=value` pair, makes it [`CookieClass::Foreign`].
/// Seawall's own does not count.
/// Costs O(cookies × patterns); no allocation.
pub fn classify_cookies(policy: &SitePolicy, fields: &dyn Fields) -> CookieClass {
    let mut class = CookieClass::None;
    fields.each("cookie", &mut |line| {
        for pair in line.split(|&byte| byte == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() || class == CookieClass::Personal || is_own_cookie(pair) {
                continue;
            }
            // RFC 6265 §5.4 joins pairs with `; `; a pair without `=` has a name nobody can know.
            let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let name = pair[..end].trim_ascii_end();
            if policy.bypass_cookies.matches(name) {
                class = CookieClass::Personal;
            } else if end == pair.len() || !policy.harmless_cookies.matches(name) {
                class = CookieClass::Foreign;
            }
        }
    });
    class
}

/// Matches with one remembered star: linear in practice, quadratic at worst, never recursive.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(&byte) if byte == name[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                at = after;
                from = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::{CookiePatterns, without_own_cookie};

    #[test]
    fn our_own_cookie_is_taken_out_and_no_other() {
        let check = |line: &str, expected: Option<&str>| {
            let rest = without_own_cookie(line.as_bytes());
            assert_eq!(rest.as_deref(), expected.map(str::as_bytes), "{line}");
        };
        check("__Host-seawall=x", Some(""));
        check("a=1; __Host-seawall=x; b=2", Some("a=1; b=2"));
        check("a=1;__Host-seawall=x;__Host-seawall=y", Some("a=1"));
        check("__Host-seawall", Some(""));
        check(" __Host-seawall =x;a", Some("a"));
        check("a=1; b=2", None);
        check("a=1; __Host-seawall-pass=x; seawall-pass=y; b=2", Some("a=1; b=2"));
        check("seawall-pass", Some(""));
        check("seawall-passes=x; __Secure-seawall-pass=y", None);
        check("a=__Host-seawall=x", None);
        check("__Host-seawall2=x; x__Host-seawall=y; __host-seawall=z", None);
        check("", None);
    }

    #[test]
    fn star_matches_any_run_anywhere() {
        let check = |pattern: &str, name: &str, expected: bool| {
            let patterns = CookiePatterns::new([pattern]);
            assert_eq!(patterns.matches(name.as_bytes()), expected, "{pattern} on {name}");
        };
        check("PHPSESSID", "PHPSESSID", true);
        check("PHPSESSID", "phpsessid", false);
        check("PHPSESSID", "PHPSESSIDX", false);
        check("wordpress_logged_in_*", "wordpress_logged_in_", true);
        check("wordpress_logged_in_*", "wordpress_logged_in_0a1b", true);
        check("wordpress_logged_in_*", "wordpress_logged_i", false);
        check("*_session", "shop_session", true);
        check("*_session", "shop_session_id", false);
        check("a*b*c", "aXXbYYc", true);
        check("a*b*c", "aXXbYY", false);
        check("*", "", true);
        check("", "", true);
        check("", "x", false);
        check("**x", "x", true);
    }
}
