//! What a captured response links to, and what it says of itself.
//!
//! Separate because a crawl follows links in half a dozen forms, and everything in them was written by
//! somebody: what comes out is bounded however large, deep or broken the page is, and each URL is in its
//! normal form. It does **not** know which URLs belong to the site: that is [`crate::Scope`].
//!
//! Read next: `html`, `style`, `sitemap` for the forms.

use std::collections::BTreeSet;

use seawall_model::WallTime;

use crate::capture::Capture;
use crate::normal::Base;
use crate::{html, sitemap, style};

/// One link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// In its normal form ([`crate::normal_url`]).
    pub url: String,
    /// What is probably there.
    pub kind: LinkKind,
    /// Where it stood.
    pub source: LinkSource,
    /// When it last changed, as a sitemap or feed says.
    pub modified: Option<WallTime>,
    /// Whether it is one of the newest of its feed or sitemap: what readers come for.
    pub is_newest: bool,
}

/// What a link leads to, as far as its place and its name tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// A page for people.
    Page,
    /// RSS, Atom or JSON Feed.
    Feed,
    /// What pages load or offer: styles, scripts, fonts, images, sound, documents.
    Resource,
    /// A list of URLs for crawlers, or `robots.txt`, which names them.
    Sitemap,
}

impl LinkKind {
    /// A word for lists and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Feed => "feed",
            Self::Resource => "resource",
            Self::Sitemap => "sitemap",
        }
    }

    /// What the path of a normal URL promises; a page where it promises nothing.
    pub fn of_url(url: &str) -> Self {
        let path = url.split('?').next().unwrap_or_default();
        let path = path.splitn(4, '/').nth(3).unwrap_or_default().to_ascii_lowercase();
        let path = path.trim_end_matches('/');
        let name = path.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        if path == "robots.txt" || (name.contains("sitemap") && matches!(extension, "xml" | "gz")) {
            Self::Sitemap
        } else if matches!(name, "feed" | "rss" | "atom") || matches!(extension, "rss" | "atom") {
            Self::Feed
        } else if RESOURCES.contains(&extension) {
            Self::Resource
        } else {
            Self::Page
        }
    }
}

/// Where a link stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkSource {
    /// In a page, a style sheet or a `Link` field.
    Page,
    /// In `Location`: what is there is what was asked for here.
    Redirect,
    /// Where a page names a short link to itself: readers were sent it.
    Shortlink,
    /// An entry of a feed.
    Feed,
    /// An entry of a sitemap.
    Sitemap,
}

/// What was read in one response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Without repetitions, in the order in which they stood (those of a feed or sitemap: newest first).
    pub links: Vec<Link>,
    /// The title of a page, its white space folded, at most [`MAX_TITLE_CHARS`] characters.
    pub title: Option<String>,
    /// The language of a page: a BCP 47 tag, not checked against any registry.
    pub lang: Option<String>,
}

/// More links of one response are not taken; a sitemap may hold 50,000 (sitemaps.org, "Sitemap file limits").
pub const MAX_LINKS: usize = 10_000;
pub(crate) const MAX_LISTED: usize = 50_000;

/// A longer title is cut.
pub const MAX_TITLE_CHARS: usize = 200;

/// The links of a response. See [`read`].
pub fn links(capture: &Capture) -> Vec<Link> {
    read(capture).links
}

/// Reads a response by its media type: HTML, CSS, sitemaps (also in gzip), RSS, Atom, JSON Feed,
/// `robots.txt`, and for all of them the `Link` and `Location` fields. Total; at most [`MAX_LINKS`] links (of a sitemap
/// 50,000); O(n log n) in what is read, of which there is a limit for each form.
pub fn read(capture: &Capture) -> Reading {
    let mut reading = Reading::default();
    let Some(base) = Base::new(&capture.url) else { return reading };
    let mut found = Found::new(MAX_LINKS);
    for (name, value) in &capture.fields {
        let Ok(value) = std::str::from_utf8(value) else { continue };
        match name.as_str() {
            "location" => found.add(&base, value, None, LinkSource::Redirect),
            "link" => link_field(value, &base, &mut found),
            "content-language" => reading.lang = html::language(value),
            _ => {}
        }
    }
    match Form::of(capture) {
        Form::Html => html::read(capture, base, &mut found, &mut reading),
        Form::Style => {
            let body = &capture.body[..capture.body.len().min(MAX_STYLE_BYTES)];
            style::references(&String::from_utf8_lossy(body), &mut |reference| {
                found.add(&base, reference, Some(LinkKind::Resource), LinkSource::Page);
                found.flow()
            });
        }
        Form::List => sitemap::read(capture, &base, &mut found),
        Form::Other => {}
    }
    reading.links = found.links;
    reading
}

const MAX_STYLE_BYTES: usize = 4 << 20;

enum Form {
    Html,
    Style,
    List,
    Other,
}

impl Form {
    fn of(capture: &Capture) -> Self {
        let path = LinkKind::of_url(&capture.url);
        match capture.media_type().as_str() {
            "text/html" | "application/xhtml+xml" => Self::Html,
            "text/css" => Self::Style,
            "application/xml"
            | "text/xml"
            | "application/rss+xml"
            | "application/atom+xml"
            | "application/rdf+xml"
            | "application/feed+json" => Self::List,
            // Sitemaps in gzip, those that are a list of lines, and `robots.txt`.
            "text/plain"
            | "application/gzip"
            | "application/x-gzip"
            | "application/octet-stream"
                if path == LinkKind::Sitemap || capture.url.ends_with("sitemap.txt") =>
            {
                Self::List
            }
            "application/json" if path == LinkKind::Feed || capture.url.ends_with("feed.json") => {
                Self::List
            }
            _ => Self::Other,
        }
    }
}

/// The links found so far.
pub(crate) struct Found {
    links: Vec<Link>,
    urls: BTreeSet<String>,
    max: usize,
    /// References that were looked at, useful or not: a page may repeat one for ever.
    looked_at: usize,
}

/// As many references as a page may hold for each link that is taken of it.
const MAX_LOOKED_AT: usize = 10;

impl Found {
    pub(crate) fn new(max: usize) -> Self {
        Self { links: Vec::new(), urls: BTreeSet::new(), max, looked_at: 0 }
    }

    /// What is read is a sitemap.
    pub(crate) fn raise_to(&mut self, max: usize) {
        self.max = self.max.max(max);
    }

    pub(crate) fn flow(&self) -> style::Flow {
        let full = self.links.len() >= self.max || self.looked_at >= self.max * MAX_LOOKED_AT;
        if full { style::Flow::Enough } else { style::Flow::More }
    }

    /// Adds a reference; without a kind its name tells it.
    pub(crate) fn add(
        &mut self,
        base: &Base,
        reference: &str,
        kind: Option<LinkKind>,
        source: LinkSource,
    ) {
        self.add_dated(base, reference, kind, source, None);
    }

    pub(crate) fn add_dated(
        &mut self,
        base: &Base,
        reference: &str,
        kind: Option<LinkKind>,
        source: LinkSource,
        modified: Option<WallTime>,
    ) {
        if self.flow() == style::Flow::Enough {
            return;
        }
        self.looked_at += 1;
        let Some(url) = base.resolve(reference) else { return };
        if self.urls.contains(&url) {
            return;
        }
        let kind = kind.unwrap_or_else(|| LinkKind::of_url(&url));
        self.urls.insert(url.clone());
        self.links.push(Link { url, kind, source, modified, is_newest: false });
    }

    /// Puts the newest of what came since `first` in front and marks `count` of them: those with the latest
    /// dates, or the first of a list without dates if `in_order`.
    pub(crate) fn mark_newest(&mut self, first: usize, count: usize, order: Order) {
        let listed = &mut self.links[first..];
        listed.sort_by_key(|link| std::cmp::Reverse(link.modified));
        let entries = listed.iter_mut().filter(|link| link.source != LinkSource::Page);
        for link in entries.take(count) {
            link.is_newest = order == Order::NewestFirst || link.modified.is_some();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }
}

/// What the order of a list says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    Nothing,
}

/// Whether a `rel` is that of a short link to this very page.
pub(crate) fn is_shortlink(relation: &str) -> bool {
    relation.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("shortlink"))
}

/// What a `rel` leads to; `None` for what is not to be fetched.
pub(crate) fn kind_of_relation(
    relation: &str,
    media_type: Option<&str>,
) -> Option<Option<LinkKind>> {
    let relation = relation.to_ascii_lowercase();
    let media_type = media_type.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    let is_feed = matches!(
        media_type.as_str(),
        "application/rss+xml"
            | "application/atom+xml"
            | "application/feed+json"
            | "application/rdf+xml"
    );
    relation.split_ascii_whitespace().find_map(|word| match word {
        "stylesheet"
        | "icon"
        | "apple-touch-icon"
        | "apple-touch-icon-precomposed"
        | "mask-icon"
        | "manifest"
        | "preload"
        | "modulepreload"
        | "image_src" => Some(Some(LinkKind::Resource)),
        "sitemap" => Some(Some(LinkKind::Sitemap)),
        // Behind other types there are interfaces for programs (oEmbed, REST), one for each page.
        "alternate" if is_feed => Some(Some(LinkKind::Feed)),
        "alternate" if media_type.is_empty() || media_type.starts_with("text/html") => Some(None),
        "canonical" | "next" | "prev" | "previous" | "first" | "last" | "start" | "up" | "home"
        | "contents" | "index" | "help" | "license" | "amphtml" | "archives" | "author" => {
            Some(None)
        }
        _ => None,
    })
}

/// RFC 8288: `<reference>; rel="name"; type="media/type", ...`.
fn link_field(value: &str, base: &Base, found: &mut Found) {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let Some((reference, after)) = after.split_once('>') else { return };
        let end = after.find(",").map_or(after.len(), |comma| {
            // A comma in a quoted parameter does not end the link; the next `<` does.
            after[comma..].find('<').map_or(after.len(), |next| comma + next)
        });
        let (parameters, next) = after.split_at(end);
        let (mut relation, mut media_type) = (None, None);
        for parameter in parameters.split(';').take(MAX_PARAMETERS) {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let value = value.trim_matches([' ', '\t', '"', ',']);
            match name.trim_ascii().to_ascii_lowercase().as_str() {
                "rel" => relation = relation.or(Some(value)),
                "type" => media_type = Some(value),
                _ => {}
            }
        }
        if let Some(kind) = relation.and_then(|relation| kind_of_relation(relation, media_type)) {
            found.add(base, reference, kind, LinkSource::Page);
        } else if relation.is_some_and(is_shortlink) {
            found.add(base, reference, Some(LinkKind::Page), LinkSource::Shortlink);
        }
        rest = next;
    }
}

const MAX_PARAMETERS: usize = 16;

const RESOURCES: [&str; 56] = [
    "css",
    "js",
    "mjs",
    "map",
    "json",
    "webmanifest",
    "wasm",
    "woff",
    "woff2",
    "ttf",
    "otf",
    "eot",
    "png",
    "jpg",
    "jpeg",
    "gif",
    "webp",
    "avif",
    "svg",
    "ico",
    "bmp",
    "tif",
    "tiff",
    "mp3",
    "m4a",
    "ogg",
    "oga",
    "opus",
    "wav",
    "flac",
    "mp4",
    "m4v",
    "webm",
    "ogv",
    "mov",
    "avi",
    "mkv",
    "vtt",
    "srt",
    "pdf",
    "epub",
    "doc",
    "docx",
    "odt",
    "xls",
    "xlsx",
    "ods",
    "ppt",
    "pptx",
    "odp",
    "csv",
    "zip",
    "gz",
    "tar",
    "7z",
    "ics",
];
