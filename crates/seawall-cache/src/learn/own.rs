//! The names of query parameters that a site uses itself, read from what it sends.
//!
//! A parameter that appears in a link, a form or a script of the site means something there, even
//! where an experiment with nonsense values says otherwise. That one sign is cheap and strong, so
//! such a name is never left out of a key. One pass over the first 512 KiB of a page; no parser: a
//! name too many only costs a chance to save work.

use std::collections::VecDeque;

use hashbrown::HashSet;

use super::rules::{BARE, canonical};
use crate::flight::KeyedState;

/// How much of a body is read.
pub(super) const MAX_SCANNED_BYTES: usize = 512 * 1024;
/// Longer names are none that people write.
const MAX_NAME_BYTES: usize = 64;

/// Calls `tell` with the canonical form of every name that looks like a query parameter: in
/// `?name=`, `&name=` (also as an entity or escaped in script), `name="..."` of a form's field, and
/// `("name")`, as scripts ask for one. A page link without a name (`?about`) tells the empty name.
pub(super) fn each_name(body: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let body = &body[..body.len().min(MAX_SCANNED_BYTES)];
    for (at, &byte) in body.iter().enumerate() {
        let rest = &body[at + 1..];
        match byte {
            b'?' => in_url(&body[..at], rest, tell),
            b'&' => named(rest, tell),
            b';' if ends_with_any(&body[..at], &[b"&amp", b"&#038", b"&#38", b"&#x26"]) => {
                named(rest, tell);
            }
            b'6' if body[..at].ends_with(b"\\u002") => named(rest, tell),
            b'=' if is_name_attribute(&body[..at]) => attribute(rest, tell),
            b'(' => first_argument(rest, tell),
            _ => {}
        }
    }
}

fn run(rest: &[u8]) -> &[u8] {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.%+[]~:@!$*,/".contains(&byte);
    let end = rest.iter().take(MAX_NAME_BYTES + 1).position(|&byte| !is_in(byte));
    &rest[..end.unwrap_or(0)]
}

fn named(rest: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let name = run(rest);
    if !name.is_empty() && rest.get(name.len()) == Some(&b'=') {
        tell(&canonical(name));
    }
}

fn in_url(before: &[u8], rest: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let name = run(rest);
    let follows = rest.get(name.len());
    if name.is_empty() {
        return;
    }
    if follows == Some(&b'=') {
        return tell(&canonical(name));
    }
    // A version behind the name of a file (`style.css?3.1`) says nothing about pages.
    let is_link =
        before.last().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"/\"'".contains(byte));
    let ends = follows.is_some_and(|byte| b"\"'&#<> \\".contains(byte));
    if is_link && ends && !ends_with_any(before, &STATIC) {
        tell(BARE);
    }
}

const STATIC: [&[u8]; 15] = [
    b".css", b".js", b".mjs", b".png", b".jpg", b".jpeg", b".gif", b".svg", b".webp", b".avif",
    b".ico", b".woff", b".woff2", b".ttf", b".eot",
];

fn ends_with_any(before: &[u8], ends: &[&[u8]]) -> bool {
    ends.iter().any(|end| before.ends_with(end))
}

fn is_name_attribute(before: &[u8]) -> bool {
    let Some(rest) = before.trim_ascii_end().len().checked_sub(4) else { return false };
    before[rest..].trim_ascii_end().eq_ignore_ascii_case(b"name")
        && rest.checked_sub(1).is_some_and(|at| before[at].is_ascii_whitespace())
}

fn attribute(rest: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let start = rest.iter().take(4).position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    let rest = &rest[start..];
    let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
    let name = run(rest);
    if !name.is_empty() {
        tell(&canonical(name));
    }
}

fn first_argument(rest: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let Some((&quote, rest)) = rest.split_first() else { return };
    if !matches!(quote, b'"' | b'\'') {
        return;
    }
    let name = run(rest);
    if !name.is_empty() && rest.get(name.len()) == Some(&quote) {
        tell(&canonical(name));
    }
}

/// Names by keyed hash, in two generations: when the younger is full the older is forgotten. What
/// the site still uses comes back with the next page that is stored.
#[derive(Debug)]
pub(super) struct OwnNames {
    young: HashSet<u64, KeyedState>,
    old: HashSet<u64, KeyedState>,
    /// Of names that mattered once, in the order of finding out.
    pinned: VecDeque<u64>,
    max: usize,
    changes: u64,
}

impl OwnNames {
    pub(super) fn new(max: usize, seed: [u64; 2]) -> Self {
        let empty = || HashSet::with_hasher(KeyedState(seed));
        Self { young: empty(), old: empty(), pinned: VecDeque::new(), max, changes: 0 }
    }

    pub(super) fn add(&mut self, name: u64) {
        if self.young.contains(&name) {
            return;
        }
        if self.young.len() >= (self.max / 2).max(1) {
            std::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
        self.young.insert(name);
        self.changes += u64::from(!self.old.contains(&name));
    }

    /// Rises with every name that was not known.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// All names, the older ones first, and those that mattered.
    pub(super) fn all(&self) -> (Vec<u64>, Vec<u64>) {
        let names = self.old.iter().chain(&self.young).copied().collect();
        (names, self.pinned.iter().copied().collect())
    }

    /// A name that was proven to matter: kept apart, so that no flood of words pushes it out.
    pub(super) fn pin(&mut self, name: u64) {
        if self.pinned.contains(&name) {
            return;
        }
        if self.pinned.len() >= MAX_PINNED {
            self.pinned.pop_front();
        }
        self.pinned.push_back(name);
    }

    pub(super) fn contains(&self, name: u64) -> bool {
        self.young.contains(&name) || self.old.contains(&name) || self.pinned.contains(&name)
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Each costs whoever wants to fill it two answers of the origin.
const MAX_PINNED: usize = 256;

#[cfg(test)]
mod tests {
    use super::{OwnNames, each_name};

    fn names(body: &str) -> Vec<String> {
        let mut found = Vec::new();
        each_name(body.as_bytes(), &mut |name| {
            found.push(String::from_utf8_lossy(name).into_owned());
        });
        found
    }

    #[test]
    fn names_in_links_forms_and_scripts_are_found() {
        let cases: [(&str, &[&str]); 14] = [
            ("<a href=\"/?lang=fr\">", &["lang"]),
            ("<a href='/list?a=1&b=2&amp;cc=3&#038;dd=4'>", &["a", "b", "cc", "dd"]),
            ("<a href=\"?Page[]=2\">", &["page"]),
            ("{\"u\":\"\\/x?one=1\\u0026two=2\"}", &["one", "two"]),
            ("<input type=text name=\"s\">", &["s"]),
            ("<input name=q>", &["q"]),
            ("<select  NAME = 'sort'>", &["sort"]),
            ("p.get('lang')", &["lang"]),
            ("getParameterByName(\"ref\", x)", &["ref"]),
            ("<a href=\"/wiki?FrontPage\">", &[""]),
            ("<a href=\"/index.php?/news/5\">", &[""]),
            ("<link href=\"style.css?3.1\">", &[]),
            ("<p>Really? Yes; no=1</p>", &[]),
            ("<p>why?</p> filename=\"x\"", &[]),
        ];
        for (body, want) in cases {
            assert_eq!(names(body), want, "{body}");
        }
    }

    #[test]
    fn the_set_of_names_is_bounded_and_keeps_what_comes_again_and_what_mattered() {
        let mut own = OwnNames::new(100, [1, 2]);
        own.pin(7);
        for name in 1_000..100_000 {
            own.add(1);
            own.add(name);
            assert!(own.contains(1) && own.contains(7) && own.contains(name));
            assert!(own.len() <= 101);
        }
        for name in 0..100_000 {
            own.pin(name);
        }
        assert_eq!(own.pinned.len(), super::MAX_PINNED);
    }
}
