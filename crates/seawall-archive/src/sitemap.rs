//! Lists of URLs: sitemaps and their indexes, RSS, Atom, JSON Feed, `robots.txt`, lists of lines.
//!
//! Separate because these say what no page says: when something changed, and which is newest. XML is
//! read as a stream of tags with a text: no entity is expanded but the five of XML and numbers, nothing
//! is fetched, depth costs nothing.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesPI, BytesStart, Event};

use crate::capture::Capture;
use crate::entity::decode;
use crate::links::{Found, LinkKind, LinkSource, MAX_LISTED, Order};
use crate::moments::moment;
use crate::normal::Base;
use crate::style::Flow;

/// What a sitemap may be (sitemaps.org): 50 MB, before compression.
const MAX_LIST_BYTES: u64 = 52_428_800;

/// As many of a list are called newest.
const MAX_NEWEST: usize = 50;

/// Reads a list into `found`.
pub(crate) fn read(capture: &Capture, base: &Base, found: &mut Found) {
    let mut unpacked = Vec::new();
    let body: &[u8] = if capture.body.starts_with(&[0x1f, 0x8b]) {
        // What was unpacked before an error counts.
        let _ =
            MultiGzDecoder::new(&capture.body[..]).take(MAX_LIST_BYTES).read_to_end(&mut unpacked);
        &unpacked
    } else {
        &capture.body
            [..capture.body.len().min(usize::try_from(MAX_LIST_BYTES).unwrap_or(usize::MAX))]
    };
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match body.trim_ascii_start().first() {
        Some(b'<') => xml(body, base, found),
        Some(b'{') => json(body, base, found),
        _ => lines(body, base, found),
    }
}

/// One `url`, `sitemap`, `item` or `entry`.
#[derive(Default)]
struct Entry {
    location: Option<String>,
    kind: Option<LinkKind>,
    /// What stands in for a missing location: the permanent identifier of an RSS item.
    identifier: Option<String>,
    modified: Option<String>,
    /// Images, enclosures and the same in other languages.
    others: Vec<(String, Option<LinkKind>)>,
}

/// More of one entry are not taken; sitemaps.org's image extension allows 1,000, pages name theirs too.
const MAX_OTHERS: usize = 64;

/// A longer text is neither a URL nor a date.
const MAX_TEXT_BYTES: usize = 8_192;

struct Lists<'a> {
    base: &'a Base,
    found: &'a mut Found,
    source: LinkSource,
    entry: Option<Entry>,
    /// The text of the element that is open.
    text: String,
    /// Where the newest may begin among the links.
    first: usize,
}

fn xml(body: &[u8], base: &Base, found: &mut Found) {
    let text = String::from_utf8_lossy(body);
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    // Feeds that are not well-formed are common, and every link that can be read counts.
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    let first = found.len();
    let mut lists =
        Lists { base, found, source: LinkSource::Page, entry: None, text: String::new(), first };
    while lists.found.flow() == Flow::More {
        match reader.read_event() {
            Ok(Event::Start(start)) => lists.open(&start),
            Ok(Event::Empty(start)) => {
                lists.open(&start);
                lists.close(&start.local_name().into_inner().to_ascii_lowercase(), prefix(&start));
            }
            Ok(Event::End(end)) => {
                let (local, prefix) = end.name().decompose();
                let prefix = prefix.map_or("", |prefix| prefix.into_inner()).to_ascii_lowercase();
                lists.close(&local.into_inner().to_ascii_lowercase(), prefix);
            }
            Ok(Event::Text(text)) => lists.take(&text),
            Ok(Event::CData(text)) => lists.take(&text),
            Ok(Event::PI(instruction)) => lists.style(&instruction),
            Ok(Event::GeneralRef(name)) => lists.take(&decode(&format!("&{};", &*name))),
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    lists.finish();
}

fn prefix(start: &BytesStart<'_>) -> String {
    let (_, prefix) = start.name().decompose();
    prefix.map_or("", |prefix| prefix.into_inner()).to_ascii_lowercase()
}

impl Lists<'_> {
    fn open(&mut self, start: &BytesStart<'_>) {
        self.text.clear();
        let local = start.local_name().into_inner().to_ascii_lowercase();
        match local.as_str() {
            "urlset" | "sitemapindex" => {
                self.source = LinkSource::Sitemap;
                self.found.raise_to(MAX_LISTED);
            }
            "rss" | "rdf" | "feed" => self.source = LinkSource::Feed,
            "url" | "item" | "entry" if self.source != LinkSource::Page => {
                self.entry = Some(Entry::default());
            }
            "sitemap" if self.source == LinkSource::Sitemap => {
                self.entry = Some(Entry { kind: Some(LinkKind::Sitemap), ..Entry::default() });
            }
            "link" => self.link(start),
            "enclosure" => {
                if let Some(url) = attribute(start.attributes(), "url") {
                    self.other(url, Some(LinkKind::Resource));
                }
            }
            "guid"
                if attribute(start.attributes(), "ispermalink")
                    .is_some_and(|said| said == "false") =>
            {
                if let Some(entry) = &mut self.entry {
                    // Taken, so that the text that follows is not.
                    entry.identifier = Some(String::new());
                }
            }
            _ => {}
        }
    }

    /// Atom's `link`, and the one that sitemaps and RSS borrow.
    fn link(&mut self, start: &BytesStart<'_>) {
        let Some(href) = attribute(start.attributes(), "href") else { return };
        match (
            attribute(start.attributes(), "rel").as_deref().unwrap_or("alternate"),
            &mut self.entry,
        ) {
            // The page in other languages: the sitemap names them all for each of them.
            ("alternate", _) if self.source == LinkSource::Sitemap => self.other(href, None),
            ("alternate", Some(entry)) => entry.location = entry.location.take().or(Some(href)),
            ("enclosure", _) => self.other(href, Some(LinkKind::Resource)),
            ("alternate", None) => self.found.add(self.base, &href, None, LinkSource::Page),
            // RFC 5005: the pages of a long feed.
            ("next" | "prev-archive" | "self", None) => {
                self.found.add(self.base, &href, Some(LinkKind::Feed), LinkSource::Page);
            }
            _ => {}
        }
    }

    /// What makes a page of the list in a browser ("Associating Style Sheets with XML documents 1.0" §3).
    fn style(&mut self, instruction: &BytesPI<'_>) {
        let href = attribute(instruction.attributes(), "href");
        if let Some(href) = href.filter(|_| instruction.target() == "xml-stylesheet") {
            self.found.add(self.base, &href, Some(LinkKind::Resource), LinkSource::Page);
        }
    }

    fn other(&mut self, reference: String, kind: Option<LinkKind>) {
        if let Some(entry) = &mut self.entry
            && entry.others.len() < MAX_OTHERS
        {
            entry.others.push((reference, kind));
        }
    }

    fn take(&mut self, text: &str) {
        if self.text.len() + text.len() <= MAX_TEXT_BYTES {
            self.text.push_str(text);
        }
    }

    fn close(&mut self, local: &str, prefix: String) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim_ascii();
        let Some(entry) = &mut self.entry else {
            // The `link` of an RSS channel is the site.
            if local == "link" && self.source == LinkSource::Feed && !text.is_empty() {
                self.found.add(self.base, text, None, LinkSource::Page);
            }
            return;
        };
        let said = || Some(text.to_owned()).filter(|text| !text.is_empty());
        match local {
            "loc" if prefix == "image" => self.other(text.to_owned(), Some(LinkKind::Resource)),
            "loc" if !matches!(prefix.as_str(), "video" | "news") => {
                entry.location = entry.location.take().or(said());
            }
            "link" if prefix.is_empty() => entry.location = entry.location.take().or(said()),
            "guid" => entry.identifier = entry.identifier.take().or(said()),
            "lastmod" | "updated" | "pubdate" | "date" => {
                entry.modified = said().or(entry.modified.take());
            }
            "published" => entry.modified = entry.modified.take().or(said()),
            "url" | "sitemap" | "item" | "entry" => self.end_entry(),
            _ => {}
        }
    }

    fn end_entry(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let modified = entry.modified.as_deref().and_then(moment);
        if let Some(location) =
            entry.location.or(entry.identifier).filter(|location| !location.is_empty())
        {
            self.found.add_dated(self.base, &location, entry.kind, self.source, modified);
        }
        for (reference, kind) in entry.others {
            self.found.add(self.base, &reference, kind, LinkSource::Page);
        }
    }

    fn finish(mut self) {
        // A list that breaks off in the middle of an entry.
        self.end_entry();
        let order =
            if self.source == LinkSource::Feed { Order::NewestFirst } else { Order::Nothing };
        self.found.mark_newest(self.first, MAX_NEWEST, order);
    }
}

fn attribute(mut attributes: Attributes<'_>, name: &str) -> Option<String> {
    // They would be compared with each other, all with all.
    attributes.with_checks(false);
    let found = attributes
        .flatten()
        .take(MAX_ATTRIBUTES)
        .find(|found| found.key.local_name().into_inner().eq_ignore_ascii_case(name))?;
    Some(decode(&found.value).trim_ascii().to_owned())
}

/// What these lists use has a handful.
const MAX_ATTRIBUTES: usize = 32;

/// JSON Feed 1.1: the pages of its items, in their order.
fn json(body: &[u8], base: &Base, found: &mut Found) {
    let Ok(feed) = serde_json::from_slice::<Feed>(body) else { return };
    let first = found.len();
    for item in feed.items {
        let modified = item.date_modified.or(item.date_published);
        if let Some(url) = item.url {
            found.add_dated(
                base,
                &url,
                None,
                LinkSource::Feed,
                modified.as_deref().and_then(moment),
            );
        }
        for url in
            item.image.into_iter().chain(item.attachments.into_iter().map(|attached| attached.url))
        {
            found.add(base, &url, Some(LinkKind::Resource), LinkSource::Page);
        }
    }
    found.mark_newest(first, MAX_NEWEST, Order::NewestFirst);
    for (url, kind) in [(feed.home_page_url, None), (feed.next_url, Some(LinkKind::Feed))] {
        if let Some(url) = url {
            found.add(base, &url, kind, LinkSource::Page);
        }
    }
}

#[derive(serde::Deserialize)]
struct Feed {
    #[serde(default)]
    items: Vec<Item>,
    home_page_url: Option<String>,
    next_url: Option<String>,
}

#[derive(serde::Deserialize)]
struct Item {
    url: Option<String>,
    image: Option<String>,
    date_modified: Option<String>,
    date_published: Option<String>,
    #[serde(default)]
    attachments: Vec<Attachment>,
}

#[derive(serde::Deserialize)]
struct Attachment {
    url: String,
}

/// `robots.txt`, of which only `Sitemap:` counts here, or a sitemap of one URL a line.
fn lines(body: &[u8], base: &Base, found: &mut Found) {
    for line in body.split(|&byte| matches!(byte, b'\n' | b'\r')) {
        if found.flow() == Flow::Enough {
            return;
        }
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let line = line.trim_ascii();
        match line.split_once(':') {
            Some((name, url)) if name.trim_ascii().eq_ignore_ascii_case("sitemap") => {
                found.add(base, url.trim_ascii(), Some(LinkKind::Sitemap), LinkSource::Page);
            }
            Some(("http" | "https", _)) => found.add(base, line, None, LinkSource::Sitemap),
            _ => {}
        }
    }
}
