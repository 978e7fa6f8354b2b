//! The one spelling of a URL under which the archive keeps it.
//!
//! Separate because what a page links to, what a reader asks for and what a package lists must meet.
//! References are resolved as browsers do (the URL Standard), then spelled as the cache spells its keys
//! (RFC 3986 §6.2.2.1 and §6.2.2.2). It does **not** order parameters, drop queries or follow anything.

use url::Url;

/// The longest URL that is kept, in bytes. What is longer is made by programs and not linked by people.
pub const MAX_URL_BYTES: usize = 2_048;

/// References longer than this are not even parsed: a `data:` URL may hold a whole image.
const MAX_REFERENCE_BYTES: usize = 4 * MAX_URL_BYTES;

/// The normal form of `reference`, seen from the page `base` (or absolute without one): an `http` or
/// `https` URL with its host in lower case (in Punycode), no default port, no fragment, escapes in upper
/// case and only where they are needed. Printable ASCII, at most [`MAX_URL_BYTES`] long.
///
/// `None` for other schemes, for what is no URL or too long, and for URLs with user information: those
/// are somebody's login.
pub fn normal_url(base: Option<&str>, reference: &str) -> Option<String> {
    match base {
        Some(base) => Base::new(base)?.resolve(reference),
        None if reference.len() > MAX_REFERENCE_BYTES => None,
        None => spell(Url::parse(reference).ok()?),
    }
}

/// What references of one page are resolved against.
#[derive(Clone)]
pub(crate) struct Base(Url);

impl Base {
    pub(crate) fn new(url: &str) -> Option<Self> {
        Url::parse(url).ok().filter(|url| !url.cannot_be_a_base()).map(Self)
    }

    /// The base of a page that names another one in `<base href>`.
    pub(crate) fn moved(self, href: &str) -> Self {
        if href.len() > MAX_REFERENCE_BYTES {
            return self;
        }
        match self.0.join(href) {
            Ok(url) if !url.cannot_be_a_base() => Self(url),
            _ => self,
        }
    }

    pub(crate) fn resolve(&self, reference: &str) -> Option<String> {
        if reference.len() > MAX_REFERENCE_BYTES {
            return None;
        }
        spell(self.0.join(reference).ok()?)
    }
}

fn spell(mut url: Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_fragment(None);
    let path_at = url[..url::Position::BeforePath].len();
    let text = url.as_str();
    let (origin, target) = text.split_at(path_at);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(origin);
    normalise(path, &mut out);
    if let Some(query) = query {
        out.push('?');
        normalise(query, &mut out);
    }
    (out.len() <= MAX_URL_BYTES && out.bytes().all(|byte| byte.is_ascii_graphic())).then_some(out)
}

/// RFC 3986 §6.2.2.1 (hex digits in upper case) and §6.2.2.2 (unreserved characters decoded). What holds a
/// broken escape is kept as it is, lest two URLs become one; the cache's key does the same.
fn normalise(raw: &str, out: &mut String) {
    let bytes = raw.as_bytes();
    let mut percents = bytes.iter().enumerate().filter(|&(_, &byte)| byte == b'%');
    if !percents.all(|(at, _)| escape_at(bytes, at).is_some()) {
        out.push_str(raw);
        return;
    }
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(byte) = escape_at(from.as_bytes(), 0) else { break };
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&from[..3].to_ascii_uppercase());
        }
        rest = &from[3..];
    }
    out.push_str(rest);
}

/// The byte that the escape beginning here stands for, if one does.
pub(crate) fn escape_at(raw: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low, ..] = raw.get(at..)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MAX_URL_BYTES, normal_url};

    #[track_caller]
    fn check(reference: &str, want: Option<&str>) {
        let base = "https://example.org/a/b?c#d";
        assert_eq!(normal_url(Some(base), reference).as_deref(), want, "{reference}");
    }

    #[test]
    fn references_are_resolved_as_browsers_do_and_spelled_in_one_way() {
        check("", Some("https://example.org/a/b?c"));
        check("#top", Some("https://example.org/a/b?c"));
        check("?", Some("https://example.org/a/b?"));
        check("c", Some("https://example.org/a/c"));
        check("../c", Some("https://example.org/c"));
        check("./../../../c/.", Some("https://example.org/c/"));
        check("/x y", Some("https://example.org/x%20y"));
        check("//EXAMPLE.net", Some("https://example.net/"));
        check("HTTP://Example.org:80/#x", Some("http://example.org/"));
        check("https://example.org:8443/", Some("https://example.org:8443/"));
        check("  \n/a\tb ", Some("https://example.org/ab"));
        check("\\x", Some("https://example.org/x"));
        check("/%7euser/%e4%2f", Some("https://example.org/~user/%E4%2F"));
        check("/%41?%41=%26", Some("https://example.org/A?A=%26"));
        check("/100%?a=%2", Some("https://example.org/100%?a=%2"));
        check("/%zz%41?%41", Some("https://example.org/%zz%41?A"));
        check("/стаття", Some("https://example.org/%D1%81%D1%82%D0%B0%D1%82%D1%82%D1%8F"));
        check("https://bücher.example/", Some("https://xn--bcher-kva.example/"));
        check("http://[::1]:8080/", Some("http://[::1]:8080/"));
    }

    #[test]
    fn what_is_no_page_of_the_web_has_no_normal_form() {
        for reference in [
            "javascript:alert(1)",
            "mailto:a@example.org",
            "data:text/html,x",
            "tel:112",
            "ftp://example.org/",
            "about:blank",
            "https://user:secret@example.org/",
            "https://user@example.org/",
            "https://",
            "https://exa mple.org/",
            "http://[::1",
        ] {
            check(reference, None);
        }
        assert_eq!(normal_url(None, "/relative"), None);
        assert_eq!(normal_url(Some("nonsense"), "/relative"), None);
        assert_eq!(normal_url(Some("mailto:a@example.org"), "x"), None);
        let long = format!("https://example.org/{}", "a".repeat(MAX_URL_BYTES - 20));
        assert_eq!(long.len(), MAX_URL_BYTES);
        assert_eq!(normal_url(None, &long).as_ref(), Some(&long));
        assert_eq!(normal_url(None, &format!("{long}a")), None);
        check(&"a/../".repeat(4_000), None);
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own_normal_form(
            reference in "(https?:)?/{0,3}[a-zA-Z0-9%/?#.:@~é&=\\\\ -]{0,60}",
        ) {
            if let Some(url) = normal_url(Some("https://example.org/x/"), &reference) {
                prop_assert!(url.len() <= MAX_URL_BYTES);
                prop_assert!(url.bytes().all(|byte| byte.is_ascii_graphic()) && !url.contains('#'));
                prop_assert_eq!(normal_url(None, &url), Some(url.clone()));
            }
        }

        #[test]
        fn anything_has_a_normal_form_or_none(base in ".{0,40}", reference in ".{0,200}") {
            let _ = normal_url(Some(&base), &reference);
            let _ = normal_url(None, &reference);
        }
    }
}
