//! Where a page leads on its own site: the paths of its links, forms, pictures, styles and scripts.
//!
//! Separate because it reads what a site sends, as a browser would click it. One pass over the first
//! 512 KiB for attributes of open tags and the places of a sitemap or feed: what stands in text, in a value,
//! a comment or a script may be a stranger's. A link too many or too few costs little: whoever asks uses
//! this to tell paths that are there from made-up ones, and is told better by the next answer.

use std::borrow::Cow;

use crate::key::Key;

/// How much of a page is read.
const MAX_SCANNED_BYTES: usize = 512 * 1024;
/// How many links of one page are looked at. Long lists have some hundred.
const MAX_LINKS: usize = 2_048;
/// Longer references are none that people write.
const MAX_REFERENCE_BYTES: usize = 1_024;

/// Calls `tell` with each link in the page at `base` that leads to the same host.
pub(crate) fn each(base: &Key, body: &[u8], tell: &mut dyn FnMut(&Key)) {
    let mut left = MAX_LINKS;
    let mut found = |reference: &[u8]| {
        if let Some(key) = resolve(base, reference) {
            tell(&key);
        }
        left -= 1;
        (left > 0).then_some(())
    };
    let mut page = Page { rest: &body[..body.len().min(MAX_SCANNED_BYTES)] };
    while page.tag(&mut found).is_some() {}
}

/// What of a page is not read yet. Where it ends within something, that is left out, as browsers do.
struct Page<'a> {
    rest: &'a [u8],
}

impl<'a> Page<'a> {
    /// Reads as far as behind the next open tag, and what belongs to it. `None` at the end.
    fn tag(&mut self, found: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
        self.until(|byte| byte == b'<')?;
        self.skip(1);
        if self.rest.starts_with(b"!--") {
            // The dashes of `<!-->` are those of its end too.
            self.skip(1);
            return self.behind(b"-->");
        }
        if !self.rest.first()?.is_ascii_alphabetic() {
            return Some(());
        }
        let name = self.until(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))?;
        while let Some((attribute, value)) = self.attribute()? {
            references(attribute, value, found)?;
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("loc") || is("link") {
            let text = self.rest.split(|&byte| byte == b'<').next().unwrap_or_default();
            let text = text.trim_ascii();
            if !text.is_empty() && text.len() < self.rest.len() {
                found(text)?;
            }
        }
        // They may hold what looks like tags.
        match name.to_ascii_lowercase().as_slice() {
            b"script" => self.behind(b"</script"),
            b"style" => self.behind(b"</style"),
            _ => Some(()),
        }
    }

    /// The next attribute of the tag, `Some(None)` behind its end.
    fn attribute(&mut self) -> Option<Option<(&'a [u8], &'a [u8])>> {
        self.until(|byte| !byte.is_ascii_whitespace() && byte != b'/')?;
        if self.rest.first() == Some(&b'>') {
            self.skip(1);
            return Some(None);
        }
        let first = self.rest;
        self.skip(1);
        let name = self.until(|byte| byte.is_ascii_whitespace() || b"/>=".contains(&byte))?;
        let name = &first[..=name.len()];
        self.until(|byte| !byte.is_ascii_whitespace())?;
        if self.rest.first() != Some(&b'=') {
            return Some(Some((name, b"")));
        }
        self.skip(1);
        self.until(|byte| !byte.is_ascii_whitespace())?;
        let value = match *self.rest.first()? {
            quote @ (b'"' | b'\'') => {
                self.skip(1);
                let value = self.until(|byte| byte == quote)?;
                self.skip(1);
                value
            }
            _ => self.until(|byte| byte.is_ascii_whitespace() || byte == b'>')?,
        };
        Some(Some((name, value.trim_ascii())))
    }

    fn until(&mut self, is_end: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|&byte| is_end(byte))?;
        let (read, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(read)
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Goes on behind `end`, which is in lower case.
    fn behind(&mut self, end: &[u8]) -> Option<()> {
        let at = self.rest.windows(end.len()).position(|part| part.eq_ignore_ascii_case(end))?;
        self.skip(at + end.len());
        Some(())
    }
}

/// Calls `found` with what an attribute leads to; `data-src` and its like are links as well.
fn references(name: &[u8], value: &[u8], found: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
    if ends_with(name, b"srcset") {
        return each_candidate(value, found);
    }
    let is_link = ends_with(name, b"href")
        || ends_with(name, b"src")
        || [&b"poster"[..], b"action", b"formaction"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
    if is_link { found(value) } else { Some(()) }
}

/// WHATWG HTML, "parse a srcset attribute": a URL has no white space and ends in no comma, and what follows
/// it, up to the next comma, says for which screens it is.
fn each_candidate(set: &[u8], found: &mut dyn FnMut(&[u8]) -> Option<()>) -> Option<()> {
    let mut rest = set;
    loop {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let Some(start) = rest.iter().position(|byte| !is_between(byte)) else { return Some(()) };
        rest = &rest[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        let (url, screens) = rest.split_at(end);
        let bare = url.iter().rposition(|&byte| byte != b',').map_or(0, |last| last + 1);
        found(&url[..bare])?;
        rest = screens;
        if bare == url.len() {
            let comma = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
            rest = &rest[comma..];
        }
    }
}

fn ends_with(name: &[u8], end: &[u8]) -> bool {
    let from = name.len().checked_sub(end.len());
    from.is_some_and(|from| name[from..].eq_ignore_ascii_case(end))
}

fn resolve(base: &Key, reference: &[u8]) -> Option<Key> {
    if reference.len() > MAX_REFERENCE_BYTES {
        return None;
    }
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
    use super::{MAX_LINKS, each};
    use crate::key::{Key, Scheme};

    fn paths(body: &str) -> Vec<String> {
        let base = Key::new(Scheme::Https, "example.org:8443", b"/news/today/", None);
        let mut paths = Vec::new();
        each(&base, body.as_bytes(), &mut |key| {
            assert_eq!((key.host(), key.query()), (base.host(), None));
            paths.push(String::from_utf8_lossy(key.path()).into_owned());
        });
        paths
    }

    #[test]
    fn links_to_the_same_site_are_found_as_a_browser_would_ask_for_them() {
        let cases: [(&str, &[&str]); 22] = [
            ("<a href=\"/story-7/\">", &["/story-7/"]),
            ("<a class=x HREF = '/a/b.html#part'>", &["/a/b.html"]),
            ("<a href=/plain>", &["/plain"]),
            ("<a hidden title='a > b'href=/x/y/ id=z><b/><i/ href=/z>", &["/x/y/", "/z"]),
            ("<img src='../x.png?v=3'>", &["/news/x.png"]),
            ("<img data-src=\"y.png\">", &["/news/today/y.png"]),
            (
                "<img srcset='/a.png, /b,c.png 2x,/d.png 3x , ,' >",
                &["/a.png", "/b,c.png", "/d.png"],
            ),
            ("<video poster=/p.jpg><form action='/search?a'>", &["/p.jpg", "/search"]),
            ("<a href=\"https://example.org:8443/z\">", &["/z"]),
            ("<a href=\"http://EXAMPLE.org:8443/z\">", &["/z"]),
            ("<script src=\"//example.org:8443/s.js\"></script>", &["/s.js"]),
            ("<a href=\"//elsewhere.org/z\">", &[]),
            ("<a href=\"mailto:a@example.org\"><a href=\"javascript:f()\">", &[]),
            ("<a href=\"\"><a href=\"#top\"><a href=\"?page=2\">", &[]),
            ("<a href=\"/новости/\">", &["/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8/"]),
            ("<a href=\"/%7euser\">", &["/~user"]),
            ("<loc> https://example.org:8443/one </loc><link>/two</link>", &["/one", "/two"]),
            ("<link href='/atom'/><link></link><![CDATA[<p><a href=/feed>]]>", &["/atom", "/feed"]),
            ("<!-- old --><!--><a href=/new>", &["/new"]),
            ("<script>'<a '</SCRIPT><style>b{}</style><a href=/new>", &["/new"]),
            ("<a href=\"/never ends", &[]),
            ("<loc>/never ends", &[]),
        ];
        for (body, want) in cases {
            assert_eq!(paths(body), want, "{body}");
        }
    }

    #[test]
    fn what_a_stranger_may_have_written_is_no_link() {
        for body in [
            "<p>Nothing found for href=/a1 href='/a2' src=\"/a3\" &lt;a href=/a4&gt;</p>",
            "<input value=\"href=/a1 href=/a2 > <a href=/a3>\">",
            "<input value='<a href=/a1>' data-x= \"<a href=/a2>\">",
            "<script>say('<a href=/a1>')</script>",
            "<style>/* <a href=/a1> */</style>",
            "<!-- <a href=/a1> -- > <a href=/a2> -->",
            "a < b href=/a1 > </p href=/a2>",
            "{\"href\": \"/a1\", \"text\": \"href=/a2\"}",
        ] {
            assert!(paths(body).is_empty(), "{body}: {:?}", paths(body));
        }
    }

    #[test]
    fn a_page_of_nothing_but_links_tells_a_bounded_number() {
        assert_eq!(paths(&"<a href=/x>".repeat(10_000)).len(), MAX_LINKS);
        assert_eq!(paths(&format!("<a srcset='{}'>", "/x 1x,".repeat(10_000))).len(), MAX_LINKS);
        for odd in ["href=", "<", "<a ", "<a =", "<!--", "<loc>", "<script>", "<a href='", "<a\"'"]
        {
            assert!(paths(&odd.repeat(100_000)).is_empty(), "{odd}");
        }
        assert!(paths(&format!("<a href=/{}>", "x".repeat(2_000))).is_empty());
    }
}
