//! Cache-Control in both directions, and CDN-Cache-Control (RFC 9111 §5.2, RFC 9213).
//!
//! Total over any bytes: what cannot be read makes a response less reusable, never more. It does
//! **not** decide anything; `policy` does.

use http::{HeaderMap, HeaderName};
use seawall_model::Fields;

/// The field-name argument of `no-cache` and `private` (RFC 9111 §5.2.2.4, §5.2.2.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The directive is not there.
    #[default]
    Absent,
    /// It names these fields only.
    Fields(Vec<HeaderName>),
    /// It covers the whole response.
    Whole,
}

impl Scope {
    /// Whether the directive covers the whole response.
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    fn widen(&mut self, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Whole, _) | (_, Self::Whole) => Self::Whole,
            (Self::Absent, other) => other,
            (ours, Self::Absent) => ours,
            (Self::Fields(mut ours), Self::Fields(theirs)) => {
                ours.extend(theirs);
                Self::Fields(ours)
            }
        };
    }
}

/// The directives of a response that a shared cache acts on. Durations in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseDirectives {
    /// `no-store` (RFC 9111 §5.2.2.5).
    pub no_store: bool,
    /// `no-cache` (§5.2.2.4).
    pub no_cache: Scope,
    /// `private` (§5.2.2.7).
    pub private: Scope,
    /// `public` (§5.2.2.9).
    pub public: bool,
    /// `must-revalidate` (§5.2.2.2).
    pub must_revalidate: bool,
    /// `proxy-revalidate` (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// `must-understand` (§5.2.2.3).
    pub must_understand: bool,
    /// `no-transform` (§5.2.2.6).
    pub no_transform: bool,
    /// `immutable` (RFC 8246).
    pub immutable: bool,
    /// `max-age` (§5.2.2.1); an unreadable value is 0, hence stale (§4.2.1).
    pub max_age: Option<u64>,
    /// `s-maxage` (§5.2.2.10); an unreadable value is 0.
    pub s_maxage: Option<u64>,
    /// `stale-while-revalidate` (RFC 5861 §3); an unreadable one grants nothing.
    pub stale_while_revalidate: Option<u64>,
    /// `stale-if-error` (RFC 5861 §4); an unreadable one grants nothing.
    pub stale_if_error: Option<u64>,
}

/// Which field spoke for a shared cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// CDN-Cache-Control: Cache-Control and Expires do not count (RFC 9213 §2.2).
    Targeted,
    /// Cache-Control.
    CacheControl,
    /// Neither is there.
    None,
}

impl ResponseDirectives {
    /// Reads the directives that govern a shared cache, and says where they came from.
    pub fn from_response(headers: &HeaderMap) -> (Self, Source) {
        if let Some(directives) = targeted(headers) {
            return (directives, Source::Targeted);
        }
        let mut directives = Self::default();
        let mut source = Source::None;
        for line in headers.get_all(http::header::CACHE_CONTROL) {
            source = Source::CacheControl;
            each_directive(line.as_bytes(), &mut |directive| directives.apply(&directive));
        }
        (directives, source)
    }

    fn apply(&mut self, directive: &Directive<'_>) {
        // RFC 9111 §4.2.1: of two different values of a directive, the first is used.
        let lifetime = |seen: &mut Option<u64>| {
            seen.get_or_insert_with(|| directive.seconds().unwrap_or(0));
        };
        let grant = |seen: &mut Option<u64>| *seen = seen.or_else(|| directive.seconds());
        match directive.known() {
            Known::NoStore => self.no_store = true,
            Known::NoCache => self.no_cache.widen(directive.scope()),
            Known::Private => self.private.widen(directive.scope()),
            Known::Public => self.public = true,
            Known::MustRevalidate => self.must_revalidate = true,
            Known::ProxyRevalidate => self.proxy_revalidate = true,
            Known::MustUnderstand => self.must_understand = true,
            Known::NoTransform => self.no_transform = true,
            Known::Immutable => self.immutable = true,
            Known::MaxAge => lifetime(&mut self.max_age),
            Known::SMaxAge => lifetime(&mut self.s_maxage),
            Known::StaleWhileRevalidate => grant(&mut self.stale_while_revalidate),
            Known::StaleIfError => grant(&mut self.stale_if_error),
            Known::Other => {}
        }
    }
}

/// The directives of a request. They are advice (RFC 9111 §5.2.1). Durations in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestDirectives {
    /// `no-cache`, or `Pragma: no-cache` without any Cache-Control (§5.2.1.4, §5.4).
    pub no_cache: bool,
    /// `no-store` (§5.2.1.5).
    pub no_store: bool,
    /// `only-if-cached` (§5.2.1.7).
    pub only_if_cached: bool,
    /// `max-age` (§5.2.1.1).
    pub max_age: Option<u64>,
    /// `min-fresh` (§5.2.1.3).
    pub min_fresh: Option<u64>,
    /// `max-stale` (§5.2.1.2); without a value any staleness is accepted.
    pub max_stale: Option<u64>,
    /// `stale-if-error` (RFC 5861 §4).
    pub stale_if_error: Option<u64>,
}

impl RequestDirectives {
    /// Reads Cache-Control and Pragma of a request. No allocation.
    pub fn from_request(fields: &dyn Fields) -> Self {
        let mut directives = Self::default();
        let mut seen = false;
        fields.each("cache-control", &mut |line| {
            seen = true;
            each_directive(line, &mut |directive| directives.apply(&directive));
        });
        if !seen {
            // RFC 9111 §5.4: Pragma counts only for clients too old for Cache-Control.
            fields.each("pragma", &mut |line| {
                each_directive(line, &mut |directive| {
                    directives.no_cache |= directive.name.eq_ignore_ascii_case(b"no-cache");
                });
            });
        }
        directives
    }

    fn apply(&mut self, directive: &Directive<'_>) {
        let name = directive.name;
        if name.eq_ignore_ascii_case(b"no-cache") {
            self.no_cache = true;
        } else if name.eq_ignore_ascii_case(b"no-store") {
            self.no_store = true;
        } else if name.eq_ignore_ascii_case(b"only-if-cached") {
            self.only_if_cached = true;
        } else if name.eq_ignore_ascii_case(b"max-age") {
            self.max_age = self.max_age.or_else(|| directive.seconds());
        } else if name.eq_ignore_ascii_case(b"min-fresh") {
            self.min_fresh = self.min_fresh.or_else(|| directive.seconds());
        } else if name.eq_ignore_ascii_case(b"max-stale") {
            let any = directive.value.is_none().then_some(u64::MAX);
            self.max_stale = self.max_stale.or(any).or_else(|| directive.seconds());
        } else if name.eq_ignore_ascii_case(b"stale-if-error") {
            self.stale_if_error = self.stale_if_error.or_else(|| directive.seconds());
        }
    }
}

/// One member of a directive list, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Directive<'a> {
    /// The name, trimmed, in any case.
    pub name: &'a [u8],
    /// What follows `=`, without quotes; escapes are left in.
    pub value: Option<&'a [u8]>,
    /// Whether there was white space around `=`, which the grammar forbids.
    pub spaced: bool,
}

impl<'a> Directive<'a> {
    /// The value as delta-seconds (RFC 9111 §1.2.2): digits only, saturating; `None` if unreadable.
    pub fn seconds(&self) -> Option<u64> {
        if self.spaced { None } else { delta_seconds(self.value?) }
    }

    /// The field names in the value. A value that is not a list of field names covers everything:
    /// RFC 9111 §5.2.2.4 lets a cache read the qualified form as the unqualified.
    fn scope(&self) -> Scope {
        let Some(value) = self.value else { return Scope::Whole };
        let mut names = Vec::new();
        for name in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            match HeaderName::from_bytes(name) {
                Ok(name) => names.push(name),
                Err(_) if name.is_empty() => {}
                Err(_) => return Scope::Whole,
            }
        }
        if names.is_empty() { Scope::Whole } else { Scope::Fields(names) }
    }

    fn known(&self) -> Known {
        let table = NAMES.iter().find(|(name, _)| self.name.eq_ignore_ascii_case(name));
        table.map_or(Known::Other, |&(_, known)| known)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    NoStore,
    NoCache,
    Private,
    Public,
    MustRevalidate,
    ProxyRevalidate,
    MustUnderstand,
    NoTransform,
    Immutable,
    MaxAge,
    SMaxAge,
    StaleWhileRevalidate,
    StaleIfError,
    Other,
}

const NAMES: [(&[u8], Known); 13] = [
    (b"no-store", Known::NoStore),
    (b"no-cache", Known::NoCache),
    (b"private", Known::Private),
    (b"public", Known::Public),
    (b"must-revalidate", Known::MustRevalidate),
    (b"proxy-revalidate", Known::ProxyRevalidate),
    (b"must-understand", Known::MustUnderstand),
    (b"no-transform", Known::NoTransform),
    (b"immutable", Known::Immutable),
    (b"max-age", Known::MaxAge),
    (b"s-maxage", Known::SMaxAge),
    (b"stale-while-revalidate", Known::StaleWhileRevalidate),
    (b"stale-if-error", Known::StaleIfError),
];

/// Calls `visit` for each directive in one field line. Total, O(length), no allocation.
///
/// A quoted string hides commas and directives inside it; a quote that never closes hides nothing,
/// so that `x="a, no-store` still forbids storing.
pub fn each_directive<'a>(line: &'a [u8], visit: &mut dyn FnMut(Directive<'a>)) {
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| matches!(byte, b',' | b'=')).unwrap_or(rest.len());
        let raw_name = &rest[..end];
        let name = raw_name.trim_ascii();
        if rest.get(end) != Some(&b'=') {
            if !name.is_empty() {
                visit(Directive { name, value: None, spaced: false });
            }
            rest = rest.get(end + 1..).unwrap_or_default();
            continue;
        }
        let raw_value = &rest[end + 1..];
        let padding = raw_value.len() - raw_value.trim_ascii_start().len();
        let (value, used) = value(&raw_value[padding..]);
        let spaced = padding > 0 || raw_name.last().is_some_and(u8::is_ascii_whitespace);
        visit(Directive { name, value: Some(value), spaced });
        rest = raw_value.get(padding + used + 1..).unwrap_or_default();
    }
}

/// A token or quoted string at the start of `text`, and how many bytes it takes up to the comma.
fn value(text: &[u8]) -> (&[u8], usize) {
    let comma = |from: usize| {
        text[from..].iter().position(|&byte| byte == b',').map_or(text.len(), |at| from + at)
    };
    if text.first() == Some(&b'"')
        && let Some(close) = closing_quote(text)
    {
        let end = comma(close + 1);
        // Anything between the closing quote and the comma spoils the value.
        let spoiled = !text[close + 1..end].trim_ascii().is_empty();
        return if spoiled { (&text[..end], end) } else { (&text[1..close], end) };
    }
    let end = comma(0);
    (text[..end].trim_ascii_end(), end)
}

/// The index of the quote that closes the string opened at 0 (RFC 9110 §5.6.4).
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    None
}

/// RFC 9111 §1.2.2: digits only; more than fits is "for ever".
pub fn delta_seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = text
        .iter()
        .fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(seconds.min(MAX_DELTA_SECONDS))
}

/// 2^31 seconds, 68 years: RFC 9111 §1.2.2 lets a cache take this for anything larger.
pub const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// CDN-Cache-Control, if it is there, is a valid dictionary and says anything (RFC 9213 §2.2).
fn targeted(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut members: Vec<(&[u8], Item<'_>)> = Vec::new();
    for line in headers.get_all("cdn-cache-control") {
        dictionary(line.as_bytes(), &mut members)?;
    }
    let mut directives = ResponseDirectives::default();
    for (name, item) in &members {
        let value = match item {
            Item::True => None,
            // RFC 9213 §2.1: a false directive is one that is not there.
            Item::False => continue,
            Item::Integer(digits) => Some(*digits),
            Item::Other(raw) => Some(*raw),
        };
        let directive = Directive { name, value, spaced: false };
        let known = directive.known();
        let lifetime = matches!(
            known,
            Known::MaxAge | Known::SMaxAge | Known::StaleWhileRevalidate | Known::StaleIfError
        );
        // A lifetime that is not an integer makes the field one that cannot be relied on.
        if lifetime && !matches!(item, Item::Integer(_)) {
            return None;
        }
        directives.apply(&directive);
    }
    (!members.is_empty()).then_some(directives)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Item<'a> {
    True,
    False,
    Integer(&'a [u8]),
    Other(&'a [u8]),
}

/// Parses one line of an RFC 8941 §4.2.2 dictionary into `members`; the last of equal keys wins.
/// `None` on any syntax error.
fn dictionary<'a>(line: &'a [u8], members: &mut Vec<(&'a [u8], Item<'a>)>) -> Option<()> {
    let mut rest = trim_sp(line);
    while !rest.is_empty() {
        let name;
        (name, rest) = sf_key(rest)?;
        let mut item = Item::True;
        if let Some(after) = rest.strip_prefix(b"=") {
            (item, rest) = sf_item_or_list(after)?;
        }
        rest = sf_parameters(rest)?;
        members.retain(|(seen, _)| *seen != name);
        if members.len() >= MAX_MEMBERS {
            return None;
        }
        members.push((name, item));
        rest = trim_ows(rest);
        if rest.is_empty() {
            return Some(());
        }
        rest = trim_ows(rest.strip_prefix(b",")?);
        if rest.is_empty() {
            return None; // RFC 8941 §4.2.2: a trailing comma is an error
        }
    }
    Some(())
}

/// Far more directives than exist; bounds the quadratic search for equal keys.
const MAX_MEMBERS: usize = 64;

fn trim_sp(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| byte != b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|&byte| byte != b' ').map_or(start, |at| at + 1);
    &text[start..end]
}

fn trim_ows(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(text.len());
    &text[start..]
}

/// RFC 8941 §4.2.3.3: lower-case letters only.
fn sf_key(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if !matches!(text.first()?, b'a'..=b'z' | b'*') {
        return None;
    }
    let legal = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*');
    Some(text.split_at(text.iter().position(|byte| !legal(byte)).unwrap_or(text.len())))
}

fn sf_item_or_list(text: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"(") else { return sf_bare_item(text) };
    loop {
        rest = &rest[rest.iter().position(|&byte| byte != b' ').unwrap_or(rest.len())..];
        if let Some(after) = rest.strip_prefix(b")") {
            return Some((Item::Other(&text[..text.len() - after.len()]), after));
        }
        rest = sf_parameters(sf_bare_item(rest)?.1)?;
        if !matches!(rest.first()?, b' ' | b')') {
            return None;
        }
    }
}

fn sf_parameters(mut text: &[u8]) -> Option<&[u8]> {
    while let Some(after) = text.strip_prefix(b";") {
        let start = after.iter().position(|&byte| byte != b' ').unwrap_or(after.len());
        text = sf_key(&after[start..])?.1;
        if let Some(after) = text.strip_prefix(b"=") {
            text = sf_bare_item(after)?.1;
        }
    }
    Some(text)
}

fn sf_bare_item(text: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let run = |legal: fn(&u8) -> bool| text.iter().position(|b| !legal(b)).unwrap_or(text.len());
    match text.first()? {
        b'?' => match text.get(1)? {
            b'1' => Some((Item::True, &text[2..])),
            b'0' => Some((Item::False, &text[2..])),
            _ => None,
        },
        b'-' | b'0'..=b'9' => sf_number(text),
        b'"' => {
            let close = closing_quote(text)?;
            let legal = text[1..close].iter().all(|byte| matches!(byte, b' '..=b'~'));
            legal.then_some((Item::Other(&text[1..close]), &text[close + 1..]))
        }
        b':' => {
            let close = text[1..].iter().position(|&byte| byte == b':')? + 1;
            let legal = text[1..close]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
            legal.then_some((Item::Other(&text[..=close]), &text[close + 1..]))
        }
        byte if byte.is_ascii_alphabetic() || *byte == b'*' => {
            let end =
                run(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(byte));
            Some((Item::Other(&text[..end]), &text[end..]))
        }
        _ => None,
    }
}

/// RFC 8941 §4.2.4: up to 15 digits, or a decimal of up to 12 and 3.
fn sf_number(text: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let sign = usize::from(text.first() == Some(&b'-'));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = sign + digits;
    if digits == 0 {
        return None;
    }
    if text.get(end) == Some(&b'.') {
        let fraction = text[end + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = end + 1 + fraction;
        return (digits <= 12 && (1..=3).contains(&fraction))
            .then_some((Item::Other(&text[..end]), &text[end..]));
    }
    (digits <= 15).then_some((Item::Integer(&text[..end]), &text[end..]))
}
