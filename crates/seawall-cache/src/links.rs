//! Where a page leads on its own site: the paths of its links, pictures, styles and scripts.
//!
//! Separate because it reads what a site sends, as a browser would click it. No parser: one pass over the
//! first 512 KiB for `href`, `src` and the places of a sitemap or feed. A link too many or too few costs
//! little: whoever asks uses this to tell paths that are there from made-up ones, and is told better by the
//! next answer.

use std::borrow::Cow;

use crate::key::Key;

/// How much of a page is read.
const MAX_SCANNED_BYTES: usize = 512 * 1024;
/// How many links of one page are looked at. Long lists have some hundred.
const MAX_LINKS: usize = 2_048;
/// Longer references are none that people write.
const MAX_REFERENCE_BYTES: usize = 1_024;

/// Calls `tell` with the path of each link in the page at `base` that leads to the same host, normalised as
/// in a [`Key`].
pub(crate) fn each_path(base: &Key, body: &[u8], tell: &mut dyn FnMut(&[u8])) {
    let body = &body[..body.len().min(MAX_SCANNED_BYTES)];
    let mut seen = 0;
    for (at, &byte) in body.iter().enumerate() {
        let rest = &body[at + 1..];
        let reference = match byte {
            b'=' if is_link_attribute(&body[..at]) => value(rest),
            b'>' if opens_location(&body[..at]) => until(rest, |byte| byte == b'<'),
            _ => continue,
        };
        if let Some(key) = reference.and_then(|reference| resolve(base, reference)) {
            tell(key.path());
        }
        seen += 1;
        if seen == MAX_LINKS {
            return;
        }
    }
}

/// Whether an attribute of that kind ends here; `data-src` is one as well.
fn is_link_attribute(before: &[u8]) -> bool {
    let before = before.trim_ascii_end();
    ends_with(before, b"href") || ends_with(before, b"src")
}

/// `<loc>` of a sitemap and `<link>` of a feed.
fn opens_location(before: &[u8]) -> bool {
    ends_with(before, b"<loc") || ends_with(before, b"<link")
}

fn ends_with(before: &[u8], end: &[u8]) -> bool {
    let from = before.len().checked_sub(end.len());
    from.is_some_and(|from| before[from..].eq_ignore_ascii_case(end))
}

/// The value of an attribute.
fn value(rest: &[u8]) -> Option<&[u8]> {
    let start = rest.iter().take(4).position(|byte| !byte.is_ascii_whitespace())?;
    let rest = &rest[start..];
    match *rest.first()? {
        quote @ (b'"' | b'\'') => until(&rest[1..], |byte| byte == quote),
        _ => until(rest, |byte| byte.is_ascii_whitespace() || byte == b'>'),
    }
}

fn until(rest: &[u8], is_end: impl Fn(u8) -> bool) -> Option<&[u8]> {
    let end = rest.iter().take(MAX_REFERENCE_BYTES).position(|&byte| is_end(byte))?;
    Some(rest[..end].trim_ascii())
}

fn resolve(base: &Key, reference: &[u8]) -> Option<Key> {
    let end = reference.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let reference = &reference[..end.unwrap_or(reference.len())];
    // Entities in a path are rare, and spaces are a mistake that browsers mend in ways of their own.
    if reference.is_empty() || reference.iter().any(|byte| matches!(byte, b'&' | b' ' | b'\\')) {
        return None;
    }
    // Of the two schemes a site links to either.
    let bare = [&b"https:"[..], b"http:"]
        .into_iter()
        .find_map(|scheme| reference.strip_prefix(scheme))
        .filter(|rest| rest.starts_with(b"//"));
    base.same_origin(&encoded(bare.unwrap_or(reference)))
}

/// Characters outside ASCII as browsers send them.
fn encoded(reference: &[u8]) -> Cow<'_, [u8]> {
    if reference.is_ascii() {
        return Cow::Borrowed(reference);
    }
    let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value)];
    let encode = |&byte: &u8| match byte {
        0..=0x7f => vec![byte],
        _ => vec![b'%', digit(byte >> 4), digit(byte & 15)],
    };
    Cow::Owned(reference.iter().flat_map(encode).collect())
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINKS, each_path};
    use crate::key::{Key, Scheme};

    fn paths(body: &str) -> Vec<String> {
        let base = Key::new(Scheme::Https, "example.org:8443", b"/news/today/", Some(b"a=1"));
        let mut paths = Vec::new();
        each_path(&base, body.as_bytes(), &mut |path| {
            paths.push(String::from_utf8_lossy(path).into_owned());
        });
        paths
    }

    #[test]
    fn links_to_the_same_site_are_found_as_a_browser_would_ask_for_them() {
        let cases: [(&str, &[&str]); 16] = [
            ("<a href=\"/story-7/\">", &["/story-7/"]),
            ("<a class=x HREF = '/a/b.html#part'>", &["/a/b.html"]),
            ("<a href=/plain>", &["/plain"]),
            ("<img src='../x.png?v=3'>", &["/news/x.png"]),
            ("<img data-src=\"y.png\">", &["/news/today/y.png"]),
            ("<a href=\"https://example.org:8443/z\">", &["/z"]),
            ("<a href=\"http://EXAMPLE.org:8443/z\">", &["/z"]),
            ("<script src=\"//example.org:8443/s.js\">", &["/s.js"]),
            ("<a href=\"//elsewhere.org/z\">", &[]),
            ("<a href=\"mailto:a@example.org\"><a href=\"javascript:f()\">", &[]),
            ("<a href=\"\"><a href=\"#top\"><a href=\"?page=2\">", &[]),
            ("<a href=\"/новости/\">", &["/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8/"]),
            ("<a href=\"/%7euser\">", &["/~user"]),
            ("<loc> https://example.org:8443/one </loc><link>/two</link>", &["/one", "/two"]),
            ("<a href=\"/never ends", &[]),
            ("href= /x and src=", &["/x"]),
        ];
        for (body, want) in cases {
            assert_eq!(paths(body), want, "{body}");
        }
    }

    #[test]
    fn a_page_of_nothing_but_links_tells_a_bounded_number() {
        assert_eq!(paths(&"<a href=/x>".repeat(10_000)).len(), MAX_LINKS);
        assert!(paths(&"href=".repeat(100_000)).is_empty());
    }
}
