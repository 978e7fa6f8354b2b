//! Which requests a stored response answers (RFC 9111 §4.1).
//!
//! The selecting fields are normalised when a response is stored; a lookup normalises the
//! request's fields while comparing, byte by byte, without allocating. Only changes with no effect
//! on meaning are undone: white space around commas and semicolons, several lines for one list,
//! case where a field's own definition ignores it. Order is kept: origins do look at it.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use seawall_model::CookieClass;

use crate::cache_control::ResponseDirectives;
use crate::cookies::is_own_cookie;
use crate::head::StoredHead;
use crate::policy::RequestMeta;

/// One selecting field of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: HeaderName,
    /// Normalised; `None`: the request did not have it.
    value: Option<Box<[u8]>>,
    /// Whether the field's definition ignores case.
    fold: bool,
    /// Whether nothing in the value is quoted, so that `fold` holds for all of it.
    unquoted: bool,
}

impl Entry {
    fn new(name: HeaderName, value: Option<Box<[u8]>>) -> Self {
        let fold = ignores_case(&name);
        let unquoted = value.as_ref().is_none_or(|value| !value.contains(&b'"'));
        Self { name, value, fold, unquoted }
    }

    fn matches(&self, request: &RequestMeta<'_>) -> bool {
        let stored = self.value.as_deref();
        if !is_seen(&self.name, request) {
            return stored.is_none();
        }
        let (mut lines, mut same) = (0, false);
        request.fields.each(self.name.as_str(), &mut |line| {
            lines += 1;
            same = lines == 1 && stored.is_some_and(|stored| self.is_normal(line, stored));
        });
        match (lines, stored) {
            (0, stored) => stored.is_none(),
            (_, None) => false,
            // Most often the value is in its normal form, and one comparison is enough.
            (1, Some(_)) if same => true,
            (_, Some(stored)) => self.matches_normalised(stored, request),
        }
    }

    /// Whether `line` is the stored value itself: normalising it would change nothing but case.
    fn is_normal(&self, line: &[u8], stored: &[u8]) -> bool {
        if self.fold && self.unquoted { line.eq_ignore_ascii_case(stored) } else { line == stored }
    }

    fn matches_normalised(&self, stored: &[u8], request: &RequestMeta<'_>) -> bool {
        let (mut rest, mut equal) = (stored, true);
        each_byte(&self.name, request, |byte| match rest.split_first() {
            Some((&expected, after)) if equal && expected == byte => rest = after,
            _ => equal = false,
        });
        equal && rest.is_empty()
    }
}

/// The selecting fields of the request that a response answered, normalised. Empty: any request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaryKey {
    entries: Box<[Entry]>,
}

impl VaryKey {
    /// The key of a response to `request`; `None` for `Vary: *`, which nothing matches, and for
    /// more than [`MAX_SELECTING_FIELDS`].
    ///
    /// Accept-Encoding is left out when the store can make every coding itself.
    pub fn new(request: &RequestMeta<'_>, headers: &HeaderMap) -> Option<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for line in headers.get_all(header::VARY) {
            for name in line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                // `*` is no field name either: what cannot be compared matches nothing.
                if name == b"*" {
                    return None;
                }
                let name = HeaderName::from_bytes(name).ok()?;
                if entries.iter().any(|seen| seen.name == name) || is_our_own(&name, headers) {
                    continue;
                }
                if entries.len() == MAX_SELECTING_FIELDS {
                    return None;
                }
                let value = normalised(&name, request);
                entries.push(Entry::new(name, value));
            }
        }
        Some(Self { entries: entries.into() })
    }

    /// Whether `request` would have selected the same response. No allocation.
    pub fn matches(&self, request: &RequestMeta<'_>) -> bool {
        self.entries.iter().all(|entry| entry.matches(request))
    }

    /// The selecting fields, for encoding.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&HeaderName, Option<&[u8]>)> {
        self.entries.iter().map(|entry| (&entry.name, entry.value.as_deref()))
    }

    pub(crate) fn from_entries(entries: Vec<(HeaderName, Option<Box<[u8]>>)>) -> Self {
        Self { entries: entries.into_iter().map(|(name, value)| Entry::new(name, value)).collect() }
    }
}

/// More selecting fields than any sane origin names; beyond it nothing is stored.
pub const MAX_SELECTING_FIELDS: usize = 16;

/// Whether `request` selects the stored response (RFC 9111 §4.1). No allocation.
pub fn vary_matches(head: &StoredHead, request: &RequestMeta<'_>) -> bool {
    head.vary.matches(request)
}

/// Whether variance by this field is met by the store itself, which keeps one coding and serves
/// any. Not if the coding is unknown or the origin forbids to change it (RFC 9111 §5.2.2.6).
fn is_our_own(name: &HeaderName, headers: &HeaderMap) -> bool {
    if *name != header::ACCEPT_ENCODING {
        return false;
    }
    let coding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let known = coding.is_none_or(|coding| {
        [&b"gzip"[..], b"x-gzip", b"br", b"identity"]
            .iter()
            .any(|known| coding.trim_ascii().eq_ignore_ascii_case(known))
    });
    known && !ResponseDirectives::from_response(headers).0.no_transform
}

fn normalised(name: &HeaderName, request: &RequestMeta<'_>) -> Option<Box<[u8]>> {
    let mut value = Vec::new();
    each_byte(name, request, |byte| value.push(byte)).then(|| value.into())
}

/// Harmless cookies are not sent to the origin, so they cannot have selected anything.
fn is_seen(name: &HeaderName, request: &RequestMeta<'_>) -> bool {
    *name != header::COOKIE || request.cookies != CookieClass::None
}

fn ignores_case(name: &HeaderName) -> bool {
    [header::ACCEPT_LANGUAGE, header::ACCEPT_ENCODING, header::ACCEPT].contains(name)
}

/// Feeds the normalised value of a request's field to `visit`; false if the field is not there.
fn each_byte(name: &HeaderName, request: &RequestMeta<'_>, mut visit: impl FnMut(u8)) -> bool {
    if !is_seen(name, request) {
        return false;
    }
    let mut present = false;
    let mut list =
        List { fold: ignores_case(name), quoted: false, escaped: false, pending: Pending::None };
    if *name == header::COOKIE {
        return each_cookie_byte(request, &mut list, &mut visit);
    }
    request.fields.each(name.as_str(), &mut |line| {
        if present {
            // RFC 9110 §5.3: several lines are one list.
            list.end_of_line();
        }
        present = true;
        for &byte in line.trim_ascii() {
            list.byte(byte, &mut visit);
        }
    });
    present
}

/// The same for cookies, of which Seawall's own is not sent on and so selects nothing.
fn each_cookie_byte(
    request: &RequestMeta<'_>,
    list: &mut List,
    visit: &mut impl FnMut(u8),
) -> bool {
    let mut present = false;
    request.fields.each(header::COOKIE.as_str(), &mut |line| {
        let line = line.trim_ascii();
        let mut of_others = line.split(|&byte| byte == b';').filter(|pair| !is_own_cookie(pair));
        let Some(first) = of_others.next() else { return };
        if present {
            list.end_of_line();
        }
        present = true;
        first.trim_ascii_start().iter().for_each(|byte| list.byte(*byte, visit));
        for pair in of_others {
            list.byte(b';', visit);
            pair.iter().for_each(|byte| list.byte(*byte, visit));
        }
    });
    present
}

/// White space and separators seen but not yet passed on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pending {
    /// Nothing.
    None,
    /// White space that counts if another ordinary byte follows.
    Space,
    /// A separator was passed on, or nothing was yet: white space here counts for nothing.
    Separated,
    /// A comma between two lines, passed on if anything follows.
    Line,
}

struct List {
    fold: bool,
    quoted: bool,
    escaped: bool,
    pending: Pending,
}

impl List {
    fn byte(&mut self, byte: u8, visit: &mut impl FnMut(u8)) {
        if self.quoted {
            self.quoted = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            visit(byte);
            return;
        }
        match byte {
            b' ' | b'\t' => {
                if self.pending == Pending::None {
                    self.pending = Pending::Space;
                }
            }
            b',' | b';' => {
                self.line(visit);
                self.pending = Pending::Separated;
                visit(byte);
            }
            _ => {
                self.line(visit);
                if self.pending == Pending::Space {
                    visit(b' ');
                }
                self.pending = Pending::None;
                self.quoted = byte == b'"';
                visit(if self.fold { byte.to_ascii_lowercase() } else { byte });
            }
        }
    }

    fn line(&mut self, visit: &mut impl FnMut(u8)) {
        if self.pending == Pending::Line {
            self.pending = Pending::Separated;
            visit(b',');
        }
    }

    fn end_of_line(&mut self) {
        (self.quoted, self.escaped) = (false, false);
        self.pending = Pending::Line;
    }
}
