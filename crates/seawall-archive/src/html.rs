//! Pages: their links, title and language, in one pass.
//!
//! Separate because this is the form with the most places for a link. What is read is what a browser
//! without script would load or offer, and the attributes that scripts for late loading use; forms are
//! not followed, `nofollow` is (it speaks to search engines, not to the owner). `noscript` is read as a
//! page of its own, because the tokenizer treats it as text.

use std::cell::RefCell;

use encoding_rs::Encoding;
use lol_html::html_content::{Element, TextChunk};
use lol_html::{
    AsciiCompatibleEncoding, HandlerResult, HtmlRewriter, MemorySettings, Settings, element, text,
};

use crate::capture::Capture;
use crate::entity::decode;
use crate::links::{
    Found, LinkKind, LinkSource, MAX_LINKS, MAX_TITLE_CHARS, Reading, is_shortlink,
    kind_of_relation,
};
use crate::normal::Base;
use crate::style;

/// Pages are read this far. A longer one is a list that a program made; what it lists is found elsewhere
/// too.
const MAX_HTML_BYTES: usize = 4 << 20;

/// For open elements and for a tag that is not closed.
const MAX_MEMORY_BYTES: usize = 2 << 20;

/// Text in `style` and `noscript` elements, all together.
const MAX_INNER_BYTES: usize = 1 << 20;

/// Reads a page into `found` and `reading`. Links that stand after a `base` and before it are alike.
pub(crate) fn read(capture: &Capture, base: Base, found: &mut Found, reading: &mut Reading) {
    let body = &capture.body[..capture.body.len().min(MAX_HTML_BYTES)];
    let Some(encoding) = AsciiCompatibleEncoding::new(encoding_of(capture)) else {
        // UTF-16 and its like: read as what it would be in UTF-8.
        let (text, _, _) = encoding_of(capture).decode(body);
        let pass = scan(text.as_bytes(), AsciiCompatibleEncoding::utf_8());
        return pass.finish(base, found, reading);
    };
    scan(body, encoding).finish(base, found, reading);
}

/// The encoding of a page as browsers find it (WHATWG HTML §13.2.3.2): byte order mark, then the field,
/// then `meta` within the first 1,024 bytes, else UTF-8.
pub(crate) fn encoding_of(capture: &Capture) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(&capture.body) {
        return encoding;
    }
    let field = capture.field("content-type").unwrap_or_default();
    let label =
        charset_in(field).or_else(|| charset_in(&capture.body[..capture.body.len().min(1_024)]));
    label.and_then(Encoding::for_label).unwrap_or(encoding_rs::UTF_8)
}

/// What follows the first `charset=`, with or without quotes.
pub(crate) fn charset_in(bytes: &[u8]) -> Option<&[u8]> {
    let word = b"charset";
    let at = bytes.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word))?;
    let rest = bytes[at + word.len()..].trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"\"").or(rest.strip_prefix(b"'")).unwrap_or(rest);
    let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(byte);
    let end = rest.iter().position(|byte| !is_label(byte)).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// The first language tag of a value, if it looks like one.
pub(crate) fn language(value: &str) -> Option<String> {
    let tag = value.split(',').next().unwrap_or_default().trim_ascii();
    let plain = tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    ((2..=35).contains(&tag.len()) && plain).then(|| tag.replace('_', "-"))
}

/// What one pass collects before the base of the page is certain.
#[derive(Default)]
struct Pass {
    references: Vec<(String, Option<LinkKind>)>,
    base: Option<String>,
    /// The first: a page has one.
    shortlink: Option<String>,
    title: Option<String>,
    title_is_whole: bool,
    lang: Option<String>,
    /// The text of the element that is open, and of those that were.
    inner: String,
    styles: String,
    hidden: String,
}

impl Pass {
    fn finish(self, base: Base, found: &mut Found, reading: &mut Reading) {
        let base = match &self.base {
            Some(href) => base.moved(href),
            None => base,
        };
        self.add_to(&base, found);
        // Once: what `noscript` holds cannot hold another.
        if !self.hidden.is_empty() {
            scan(self.hidden.as_bytes(), AsciiCompatibleEncoding::utf_8()).add_to(&base, found);
        }
        let title = self.title.map(|title| folded(&decode(&title)));
        reading.title = title.filter(|title| !title.is_empty());
        reading.lang = self.lang.or_else(|| reading.lang.take());
    }

    fn add_to(&self, base: &Base, found: &mut Found) {
        for (reference, kind) in &self.references {
            found.add(base, reference, *kind, LinkSource::Page);
        }
        style::references(&self.styles, &mut |reference| {
            found.add(base, reference, Some(LinkKind::Resource), LinkSource::Page);
            found.flow()
        });
        if let Some(reference) = &self.shortlink {
            found.add(base, reference, Some(LinkKind::Page), LinkSource::Shortlink);
        }
    }

    fn push(&mut self, reference: &str, kind: Option<LinkKind>) {
        let reference = reference.trim_ascii();
        if !reference.is_empty() {
            self.references.push((decode(reference).into_owned(), kind));
        }
    }

    fn attribute(&mut self, element: &Element<'_, '_>, name: &str, kind: Option<LinkKind>) {
        if let Some(value) = element.get_attribute(name) {
            self.push(&value, kind);
        }
    }

    fn resources(&mut self, element: &Element<'_, '_>, names: &[&str]) {
        for name in names {
            self.attribute(element, name, Some(LinkKind::Resource));
        }
    }

    fn source_set(&mut self, element: &Element<'_, '_>, name: &str) {
        let Some(value) = element.get_attribute(name) else { return };
        for candidate in candidates(&decode(&value)) {
            self.references.push((candidate.to_owned(), Some(LinkKind::Resource)));
        }
    }

    fn styles(&mut self, css: &str) {
        if self.styles.len() + css.len() < MAX_INNER_BYTES {
            self.styles.push_str(css);
            // An end of what is not closed: quotes end with the line.
            self.styles.push_str("\n;}");
        }
    }

    fn element(&mut self, element: &Element<'_, '_>) {
        match element.tag_name().as_str() {
            "html" => {
                let lang =
                    element.get_attribute("lang").or_else(|| element.get_attribute("xml:lang"));
                self.lang = self.lang.take().or_else(|| lang.and_then(|lang| language(&lang)));
            }
            "base" => {
                self.base = self.base.take().or_else(|| element.get_attribute("href").map(trimmed));
            }
            "a" | "area" => {
                self.attribute(element, "href", None);
                self.attribute(element, "xlink:href", None);
            }
            "link" => self.link(element),
            "meta" => self.meta(element),
            "img" | "source" => {
                self.resources(element, &["src", "data-src", "data-lazy-src", "data-original"]);
                for name in ["srcset", "data-srcset", "data-lazy-srcset"] {
                    self.source_set(element, name);
                }
            }
            "iframe" | "frame" => {
                self.attribute(element, "src", None);
                self.attribute(element, "data-src", None);
            }
            "video" | "audio" | "track" | "embed" | "script" | "input" => {
                self.resources(element, &["src", "poster"]);
            }
            "object" => self.resources(element, &["data"]),
            "image" | "use" => self.resources(element, &["href", "xlink:href"]),
            _ => {}
        }
        self.resources(element, &["background"]);
        if let Some(css) = element.get_attribute("style") {
            self.styles(&decode(&css));
        }
    }

    fn link(&mut self, element: &Element<'_, '_>) {
        let Some(relation) = element.get_attribute("rel") else { return };
        let media_type = element.get_attribute("type");
        if let Some(kind) = kind_of_relation(&relation, media_type.as_deref()) {
            self.attribute(element, "href", kind);
            self.source_set(element, "imagesrcset");
        } else if is_shortlink(&relation) && self.shortlink.is_none() {
            self.shortlink = element.get_attribute("href").map(trimmed);
        }
    }

    fn meta(&mut self, element: &Element<'_, '_>) {
        let Some(content) = element.get_attribute("content") else { return };
        let is = |name: &str, values: &[&str]| {
            let value = element.get_attribute(name).unwrap_or_default();
            values.iter().any(|wanted| value.eq_ignore_ascii_case(wanted))
        };
        if is("http-equiv", &["refresh"]) {
            if let Some(target) = refresh_target(&decode(&content)) {
                self.push(target, None);
            }
        } else if is("property", &["og:image", "og:image:url"]) || is("name", &["twitter:image"]) {
            self.push(&content, Some(LinkKind::Resource));
        }
    }

    fn text(&mut self, chunk: &TextChunk<'_>) {
        if self.inner.len() + chunk.as_str().len() < MAX_INNER_BYTES {
            self.inner.push_str(chunk.as_str());
        }
    }
}

fn trimmed(href: String) -> String {
    decode(href.trim_ascii()).into_owned()
}

/// Reads as far as the bounds allow. What was found before a page breaks them counts.
fn scan(body: &[u8], encoding: AsciiCompatibleEncoding) -> Pass {
    let pass = RefCell::new(Pass::default());
    let settings = Settings::new()
        .append_element_content_handler(element!(READ, |element| {
            let mut pass = pass.borrow_mut();
            pass.element(element);
            enough(&pass)
        }))
        .append_element_content_handler(text!("title", |chunk| {
            let mut pass = pass.borrow_mut();
            let Pass { title, title_is_whole, .. } = &mut *pass;
            let so_far = title.get_or_insert_default();
            // A character that takes more than eight bytes in HTML is a reference with many zeros.
            if !*title_is_whole && so_far.len() < 8 * MAX_TITLE_CHARS {
                so_far.push_str(chunk.as_str());
            }
            *title_is_whole |= chunk.last_in_text_node();
            Ok(())
        }))
        .append_element_content_handler(text!("style", |chunk| {
            let mut pass = pass.borrow_mut();
            pass.text(chunk);
            if chunk.last_in_text_node() {
                let css = std::mem::take(&mut pass.inner);
                pass.styles(&css);
            }
            Ok(())
        }))
        .append_element_content_handler(text!("noscript", |chunk| {
            let mut pass = pass.borrow_mut();
            if pass.hidden.len() + chunk.as_str().len() < MAX_INNER_BYTES {
                pass.hidden.push_str(chunk.as_str());
            }
            Ok(())
        }))
        .with_encoding(encoding)
        .with_strict(false)
        .with_memory_settings(
            MemorySettings::new().with_max_allowed_memory_usage(MAX_MEMORY_BYTES),
        );
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    // An error is a bound that was reached, and the rewriter must not be used after one.
    match rewriter.write(body) {
        Ok(()) => drop(rewriter.end()),
        Err(_) => drop(rewriter),
    }
    pass.into_inner()
}

/// What may hold a link.
const READ: &str = "html, base, a, area, link, meta, img, source, iframe, frame, video, audio, track, embed, script, \
                    input, object, image, use, [style], [background]";

fn enough(pass: &Pass) -> HandlerResult {
    if pass.references.len() < 10 * MAX_LINKS {
        Ok(())
    } else {
        Err("as many references as are read".into())
    }
}

/// The URLs of a `srcset` (WHATWG HTML §4.8.4.2.2), which may hold commas themselves.
fn candidates(value: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = value;
    while found.len() < MAX_CANDIDATES {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            break;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        let bare = url.trim_end_matches(',');
        found.push(bare);
        rest = if bare.len() < url.len() {
            after
        } else {
            after.split_once(',').map_or("", |(_, next)| next)
        };
    }
    found
}

/// More widths of one picture than any program makes.
const MAX_CANDIDATES: usize = 64;

/// `5; url=/next` (WHATWG HTML §4.2.5.3).
fn refresh_target(content: &str) -> Option<&str> {
    let (_, rest) = content.split_once([';', ','])?;
    let rest = rest.trim_ascii();
    let is_named = rest.get(..3).is_some_and(|word| word.eq_ignore_ascii_case("url"));
    let target = match rest.get(3..).filter(|_| is_named).map(str::trim_ascii_start) {
        Some(after) => after.strip_prefix('=').map_or(rest, str::trim_ascii),
        None => rest,
    };
    Some(target.trim_matches(['"', '\'']))
}

/// White space folded to single blanks, cut at [`MAX_TITLE_CHARS`].
fn folded(text: &str) -> String {
    let mut out = String::new();
    for word in
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
    {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    match out.char_indices().nth(MAX_TITLE_CHARS) {
        Some((at, _)) => out[..at].trim_end().to_owned(),
        None => out,
    }
}
