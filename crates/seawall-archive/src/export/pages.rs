//! Pages and style sheets whose links lead to files beside them.
//!
//! Links to what is not in the folder lead to the site itself, forms too. All text becomes UTF-8 with a mark
//! at its beginning, because a folder has no `Content-Type` to say otherwise.

use std::cell::RefCell;

use encoding_rs::Encoding;
use lol_html::html_content::{ContentType, Element, TextChunk};
use lol_html::{HtmlRewriter, MemorySettings, Settings, element, text};

use crate::capture::Capture;
use crate::entity::decode;
use crate::html::encoding_of;
use crate::normal::Base;
use crate::style;

/// Says where a URL in normal form lies, as a link in the file that is written.
pub(super) type Find<'a> = &'a dyn Fn(&str) -> Option<String>;

const MARK: &str = "\u{feff}";
/// For open elements and one tag.
const MAX_MEMORY_BYTES: usize = 16 << 20;

/// A style sheet. One whose charset is none comes as it was.
pub(super) fn style_sheet(capture: &Capture, find: Find<'_>) -> Vec<u8> {
    let encoding = match Encoding::for_bom(&capture.body) {
        Some((encoding, _)) => encoding,
        None => encoding_of(capture),
    };
    let (css, _, _) = encoding.decode(&capture.body);
    let Some(base) = Base::new(&capture.url) else { return capture.body.to_vec() };
    let css = style::rewritten(&css, &mut |reference| moved(&base, find, reference));
    let mark = if css.is_ascii() { "" } else { MARK };
    format!("{mark}{css}").into_bytes()
}

/// A page.
pub(super) fn page(capture: &Capture, find: Find<'_>) -> Vec<u8> {
    let (html, _, _) = encoding_of(capture).decode(&capture.body);
    let Some(base) = Base::new(&capture.url) else { return capture.body.to_vec() };
    let pass = Pass { base: RefCell::new(base), find };
    // More open elements than fit is no page that a browser shows well: its text stays as it is.
    let rewritten = pass.rewritten(&html);
    format!("{MARK}{}", rewritten.as_deref().unwrap_or(&html)).into_bytes()
}

struct Pass<'a> {
    base: RefCell<Base>,
    find: Find<'a>,
}

impl Pass<'_> {
    fn rewritten(&self, html: &str) -> Option<String> {
        let (style, hidden) = (RefCell::new(String::new()), RefCell::new(String::new()));
        let settings = Settings::new()
            .append_element_content_handler(element!("*", |element| {
                self.element(element);
                Ok(())
            }))
            .append_element_content_handler(text!("style", |chunk| {
                whole(chunk, &style, |css| {
                    style::rewritten(css, &mut |reference| self.moved(reference))
                });
                Ok(())
            }))
            .append_element_content_handler(text!("noscript", |chunk| {
                // It comes as text, and cannot hold another.
                whole(chunk, &hidden, |inner| {
                    self.rewritten(inner).unwrap_or_else(|| inner.to_owned())
                });
                Ok(())
            }))
            .with_strict(false)
            .with_memory_settings(
                MemorySettings::new().with_max_allowed_memory_usage(MAX_MEMORY_BYTES),
            );
        let mut out = Vec::with_capacity(html.len());
        let mut rewriter = HtmlRewriter::new(settings, |bytes: &[u8]| out.extend_from_slice(bytes));
        rewriter.write(html.as_bytes()).ok()?;
        rewriter.end().ok()?;
        String::from_utf8(out).ok()
    }

    fn moved(&self, reference: &str) -> Option<String> {
        moved(&self.base.borrow(), self.find, reference)
    }

    fn element(&self, element: &mut Element<'_, '_>) {
        match element.tag_name().as_str() {
            "base" => {
                if let Some(href) = element.get_attribute("href") {
                    let moved = self.base.borrow().clone().moved(&decode(href.trim_ascii()));
                    *self.base.borrow_mut() = moved;
                }
                // Every link says by itself where it leads.
                element.remove_attribute("href");
                return;
            }
            "meta" => return self.meta(element),
            _ => {}
        }
        for name in LINKS {
            if let Some(value) = element.get_attribute(name)
                && let Some(other) = self.moved(decode(value.trim_ascii()).as_ref())
            {
                set(element, name, &other);
                // It names a digest of what was there before, and asks a server who may read it.
                element.remove_attribute("integrity");
                element.remove_attribute("crossorigin");
            }
        }
        for name in SETS {
            if let Some(value) = element.get_attribute(name) {
                let other = self.set_of_sources(&decode(&value));
                set(element, name, &other);
            }
        }
        if let Some(css) = element.get_attribute("style").filter(|css| css.contains('(')) {
            let css = style::rewritten(&decode(&css), &mut |reference| self.moved(reference));
            set(element, "style", &css);
        }
    }

    fn meta(&self, element: &mut Element<'_, '_>) {
        let kind = element.get_attribute("http-equiv").unwrap_or_default().to_ascii_lowercase();
        match kind.as_str() {
            // Files have no host that a policy could name.
            "content-security-policy" => element.remove(),
            "refresh" => {
                let content = element.get_attribute("content").unwrap_or_default();
                let content = decode(&content).into_owned();
                if let Some((wait, target)) = content.split_once([';', ','])
                    && let Some((_, target)) = target.split_once('=')
                    && let Some(other) = self.moved(target.trim().trim_matches(['"', '\'']))
                {
                    set(element, "content", &format!("{};url={other}", wait.trim()));
                }
            }
            _ => {}
        }
    }

    /// A `srcset`: each candidate in its place, with its width or density.
    fn set_of_sources(&self, value: &str) -> String {
        let mut out = String::with_capacity(value.len());
        let mut rest = value;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
            if rest.is_empty() {
                return out;
            }
            let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
            let (url, after) = rest.split_at(end);
            let bare = url.trim_end_matches(',');
            let (size, next) = match bare.len() < url.len() {
                true => ("", after),
                false => after.split_once(',').unwrap_or((after, "")),
            };
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&self.moved(bare).unwrap_or_else(|| bare.to_owned()));
            if !size.trim().is_empty() {
                out.push(' ');
                out.push_str(size.trim());
            }
            rest = next;
        }
    }
}

/// Attributes that hold one address. `cite` and its like are for machines.
const LINKS: [&str; 12] = [
    "href",
    "src",
    "poster",
    "data",
    "action",
    "formaction",
    "background",
    "xlink:href",
    "data-src",
    "data-lazy-src",
    "data-original",
    "manifest",
];
/// Attributes that hold several.
const SETS: [&str; 4] = ["srcset", "imagesrcset", "data-srcset", "data-lazy-srcset"];

/// Another spelling of a reference: a file in the folder, or else the whole address. `None` for what needs
/// none: places on the same page, mail, scripts.
fn moved(base: &Base, find: Find<'_>, reference: &str) -> Option<String> {
    let reference = reference.trim();
    if reference.is_empty() || reference.starts_with('#') {
        return None;
    }
    let url = base.resolve(reference)?;
    let fragment = reference.split_once('#').map(|(_, fragment)| fragment);
    let mut other = find(&url).unwrap_or(url);
    if let Some(fragment) = fragment {
        other.push('#');
        other.push_str(fragment);
    }
    Some(other.replace('\\', "%5C").replace('"', "%22").replace(['\n', '\r', '\t'], ""))
}

fn set(element: &mut Element<'_, '_>, name: &str, value: &str) {
    // The rewriter writes quotes as references, and nothing else. A name of its own is always accepted.
    let _ = element.set_attribute(name, &value.replace('&', "&amp;"));
}

/// Gathers the text of an element and writes it anew at its end.
fn whole(chunk: &mut TextChunk<'_>, gathered: &RefCell<String>, write: impl Fn(&str) -> String) {
    gathered.borrow_mut().push_str(chunk.as_str());
    if chunk.last_in_text_node() {
        let text = std::mem::take(&mut *gathered.borrow_mut());
        chunk.replace(&write(&text), ContentType::Html);
    } else {
        chunk.remove();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use seawall_model::WallTime;

    use super::{page, style_sheet};
    use crate::capture::Capture;

    fn capture(kind: &str, body: &[u8]) -> Capture {
        Capture {
            url: "https://example.org/news/".to_owned(),
            captured: WallTime::from_unix_secs(1),
            status: 200,
            fields: vec![("content-type".to_owned(), kind.as_bytes().to_vec())],
            body: Bytes::copy_from_slice(body),
        }
    }

    fn find(url: &str) -> Option<String> {
        let path = url.strip_prefix("https://example.org/")?;
        path.starts_with("held").then(|| format!("../{path}.file"))
    }

    #[track_caller]
    fn check(html: &str, want: &str) {
        let got = page(&capture("text/html", html.as_bytes()), &find);
        assert_eq!(String::from_utf8_lossy(&got), format!("\u{feff}{want}"), "{html}");
    }

    #[test]
    fn links_lead_to_files_or_to_the_site() {
        for (html, want) in [
            ("<a href=/held#top>x</a>", "<a href=\"../held.file#top\">x</a>"),
            (
                "<a href=\"../other?a=1&amp;b\">x</a>",
                "<a href=\"https://example.org/other?a=1&amp;b\">x</a>",
            ),
            ("<a href='#here'>x</a>", "<a href='#here'>x</a>"),
            ("<a href=\"mailto:a@b\">x</a>", "<a href=\"mailto:a@b\">x</a>"),
            ("<form action=/send>", "<form action=\"https://example.org/send\">"),
            (
                "<img srcset=\"/held1 1x, /held2, /no 3x\">",
                "<img srcset=\"../held1.file 1x, ../held2.file, https://example.org/no 3x\">",
            ),
            (
                "<link rel=stylesheet href=/held integrity=sha256-x crossorigin>",
                "<link rel=stylesheet href=\"../held.file\">",
            ),
            (
                "<p style=\"background:url(/held)\">",
                "<p style=\"background:url(&quot;../held.file&quot;)\">",
            ),
            ("<style>a{b:url(/held)}</style>", "<style>a{b:url(\"../held.file\")}</style>"),
            (
                "<noscript><img src=/held></noscript>",
                "<noscript><img src=\"../held.file\"></noscript>",
            ),
            (
                "<meta http-equiv=refresh content='0; url=/held'>",
                "<meta http-equiv=refresh content=\"0;url=../held.file\">",
            ),
            ("<meta http-equiv=Content-Security-Policy content=x>", ""),
            ("<base href=/><a href=held>x</a>", "<base><a href=\"../held.file\">x</a>"),
        ] {
            check(html, want);
        }
    }

    #[test]
    fn text_becomes_utf_8() {
        let page = page(&capture("text/html; charset=windows-1251", b"<p>\xcf\xf0\xe8"), &find);
        assert_eq!(String::from_utf8_lossy(&page), "\u{feff}<p>При");
        let css = style_sheet(&capture("text/css", "a{b:url(/held)}/*é*/".as_bytes()), &find);
        assert_eq!(String::from_utf8_lossy(&css), "\u{feff}a{b:url(\"../held.file\")}/*é*/");
    }
}
