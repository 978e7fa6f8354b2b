//! What a request is for, by its method, its address and what the client says of itself: a page, a feed, a part of
//! a page. And in which form whoever asks can be told no.
//!
//! The one place where this is said, so that the data plane, replay and the simulator mean the same by a page:
//! who is tested depends on it, and what detection learns of how readers behave. A source that
//! tells few fields, such as a log, has requests with few fields.
//!
//! It deliberately does **not** look at what is held, at who asks, or at what the origin says a page is.

use seawall_model::{BodyLength, Facts, Fields, Method, RequestKind};

use crate::mitigation_gate::Testable;

/// What of a request says what it is for.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    /// With which method.
    pub method: Method,
    /// The path, as sent.
    pub path: &'a [u8],
    /// The query, without `?`.
    pub query: Option<&'a [u8]>,
    /// The fields.
    pub fields: &'a dyn Fields,
    /// Whether it brings content, or wants another protocol than HTTP.
    pub is_exchange: bool,
}

/// In which form a refusal is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A page: somebody looks at it.
    Page,
    /// RFC 9457 problem details: a script or an app asked.
    Problem,
    /// A line of text: feed readers, whose users see it, and tools.
    Text,
}

impl<'a> Wish<'a> {
    /// Of a request of which facts were found, and which does not want another protocol.
    pub fn of(facts: &Facts<'a>, fields: &'a dyn Fields) -> Self {
        let is_exchange = facts.body != BodyLength::None;
        let &Facts { method, path, query, .. } = facts;
        Self { method, path, query, fields, is_exchange }
    }

    /// What is wanted. O(length of the path and of `Accept`), no allocation.
    pub fn kind(&self) -> RequestKind {
        // A page that nobody could be tested on would hide from both: it is none.
        if !matches!(self.method, Method::Get | Method::Head) || self.is_exchange {
            return RequestKind::Other;
        }
        if self.is_feed() {
            return RequestKind::Feed;
        }
        if self.is_part() {
            return RequestKind::Subresource;
        }
        if self.form() == Form::Problem || self.is_for_programs() {
            RequestKind::Other
        } else {
            RequestKind::Page
        }
    }

    /// Whether a person waits for it, or somebody who is told what a person would be told. Also where only a part of it
    /// is wanted: RFC 9110 §14.2 lets a server ignore `Range`, and who follows the redirect asks for the same part.
    pub fn testable(&self) -> Testable {
        if self.kind() == RequestKind::Page { Testable::Page } else { Testable::No }
    }

    /// In which form the client can use a refusal. A program never gets a page, whatever it says it accepts.
    pub fn form(&self) -> Form {
        let fields = self.fields;
        let accepts = MediaTypes::of(fields.first("accept"));
        if accepts.feed || self.has_feed_address() {
            return Form::Text;
        }
        // Fetch Metadata: browsers say `navigate` for what a person will look at, and scripts cannot.
        let mode = fields.first("sec-fetch-mode");
        let is_script = accepts.json
            || mode.is_some_and(|mode| !mode.eq_ignore_ascii_case(b"navigate"))
            || fields.has("x-requested-with")
            || MediaTypes::of(fields.first("content-type")).json;
        match accepts.page {
            true if !is_script => Form::Page,
            _ if is_script || !self.method.is_safe() => Form::Problem,
            _ => Form::Text,
        }
    }

    /// Whether somebody or something merely wants to read: a page, a feed or a file, and no script's or app's
    /// request.
    pub fn is_reading(&self) -> bool {
        self.method.is_safe() && self.form() != Form::Problem
    }

    /// Whether a feed is asked for, or a feed reader asks.
    fn is_feed(&self) -> bool {
        self.has_feed_address() || MediaTypes::of(self.fields.first("accept")).feed
    }

    /// The addresses under which WordPress, generators of static sites and others publish feeds.
    fn has_feed_address(&self) -> bool {
        const ENDS: [&[u8]; 7] =
            [b"/feed", b"/rss", b"/atom", b"/rss2", b".rss", b".atom", b".rdf"];
        let path = self.path.strip_suffix(b"/").unwrap_or(self.path);
        ENDS.iter().any(|end| path.ends_with(end))
            || is_feed_file(path)
            || self.query.is_some_and(|query| {
                query.split(|&byte| byte == b'&').any(|pair| pair.starts_with(b"feed="))
            })
    }

    /// Whether a page loads it: its browser says so, or it ends as such files do.
    fn is_part(&self) -> bool {
        let part = |what: &[u8]| matches!(what, b"style" | b"script" | b"image" | b"font");
        self.fields.first("sec-fetch-dest").is_some_and(part) || is_file(self.path)
    }

    /// What programs fetch from fixed places is no page.
    fn is_for_programs(&self) -> bool {
        [&b"/.well-known/"[..], b"/.seawall/", b"/robots.txt"]
            .iter()
            .any(|start| self.path.starts_with(start))
    }
}

/// What the media types of a field are of (RFC 9110 §8.3.1, §12.5.1), whatever their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MediaTypes {
    page: bool,
    feed: bool,
    json: bool,
}

impl MediaTypes {
    fn of(value: Option<&[u8]>) -> Self {
        let mut types = Self::default();
        for one in value.unwrap_or_default().split(|&byte| byte == b',') {
            let name = one.split(|&byte| byte == b';').next().unwrap_or(one).trim_ascii();
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            // Names are told apart by their length first, so most comparisons are of two numbers.
            types.page |= is(b"text/html");
            let feed = is(b"application/rss+xml")
                || is(b"application/atom+xml")
                || is(b"application/feed+json");
            types.feed |= feed;
            types.json |= !feed && (is(b"application/json") || has_suffix(name, b"+json"));
        }
        types
    }
}

/// RFC 6839 §3.1: whatever ends so is JSON, as what servers of social networks ask each other for
/// (`application/activity+json`, `application/ld+json`).
fn has_suffix(name: &[u8], suffix: &[u8]) -> bool {
    let end = name.len().checked_sub(suffix.len()).map(|at| &name[at..]);
    end.is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// `feed.xml`, `rss-2.xml`, `atom.xml`, and `index.xml` as Hugo has it. A site map is none.
fn is_feed_file(path: &[u8]) -> bool {
    let Some(stem) = path.strip_suffix(b".xml") else { return false };
    let name = stem.rsplit(|&byte| byte == b'/').next().unwrap_or(stem);
    let has = |word: &[u8]| name.windows(word.len()).any(|some| some == word);
    name == b"index" || has(b"feed") || has(b"rss") || has(b"atom")
}

/// Whether a path ends as the files do that pages load. What somebody opens by itself is none, a
/// document or an archive.
fn is_file(path: &[u8]) -> bool {
    const ENDS: [&[u8]; 24] = [
        b"css",
        b"js",
        b"mjs",
        b"map",
        b"json",
        b"png",
        b"jpg",
        b"jpeg",
        b"gif",
        b"webp",
        b"avif",
        b"svg",
        b"ico",
        b"bmp",
        b"woff",
        b"woff2",
        b"ttf",
        b"otf",
        b"eot",
        b"mp3",
        b"mp4",
        b"webm",
        b"ogg",
        b"webmanifest",
    ];
    let end = path.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    end.len() < path.len() && ENDS.iter().any(|known| end.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(&'static [(&'static str, &'static str)]);

    impl Fields for Named {
        fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
            self.0.iter().filter(|(one, _)| *one == name).for_each(|(_, it)| visit(it.as_bytes()));
        }

        fn first(&self, name: &str) -> Option<&[u8]> {
            self.0.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_bytes())
        }
    }

    type Sent = &'static [(&'static str, &'static str)];

    const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    const NAVIGATION: Sent =
        &[HTML, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    const OF_A_PAGE: Sent =
        &[("accept", "*/*"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")];
    const OF_A_TOOL: Sent = &[("user-agent", "curl/8.5.0"), ("accept", "*/*")];
    const NOTHING: Sent = &[];

    fn with(method: Method, target: &'static str, fields: &Named, then: impl FnOnce(Wish<'_>)) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        then(Wish { method, path: path.as_bytes(), query, fields, is_exchange: false });
    }

    #[track_caller]
    fn check(target: &'static str, sent: Sent, want: RequestKind) {
        let mut got = None;
        with(Method::Get, target, &Named(sent), |wish| got = Some(wish.kind()));
        assert_eq!(got, Some(want), "{target} {sent:?}");
    }

    #[test]
    fn a_page_is_a_page_whoever_asks_for_it() {
        for sent in [NAVIGATION, OF_A_TOOL, NOTHING, &[HTML]] {
            for target in
                ["/", "/2026/02/a-story/", "/?s=word", "/search?q=a.css", "/report.pdf", "/a.xml"]
            {
                check(target, sent, RequestKind::Page);
            }
        }
    }

    #[test]
    fn what_a_page_loads_is_told_by_its_browser_or_by_its_end() {
        for target in ["/a.css", "/A.JS", "/media/1-a.jpg", "/film/0.mp4", "/serif.woff2"] {
            for sent in [OF_A_PAGE, OF_A_TOOL, NOTHING] {
                check(target, sent, RequestKind::Subresource);
            }
        }
        check("/image?id=7", &[("sec-fetch-dest", "image")], RequestKind::Subresource);
        check("/css", NOTHING, RequestKind::Page);
    }

    #[test]
    fn feeds_are_told_by_their_address_and_by_their_readers() {
        let addresses = [
            "/feed/",
            "/feed",
            "/forum/feed/",
            "/feed/atom/",
            "/blog.rss",
            "/news.rdf",
            "/index.xml",
            "/blog/feed.xml",
            "/rss-2.xml",
            "/?feed=rss2",
        ];
        for target in addresses {
            for sent in [NAVIGATION, OF_A_TOOL, NOTHING] {
                check(target, sent, RequestKind::Feed);
            }
        }
        check("/news", &[("accept", "application/rss+xml, */*;q=0.1")], RequestKind::Feed);
        check("/news", &[("accept", "application/feed+json, text/html;q=0.1")], RequestKind::Feed);
        check("/sitemap.xml", NOTHING, RequestKind::Page);
    }

    #[test]
    fn what_scripts_and_programs_ask_for_is_something_else() {
        check("/api/comments/7", OF_A_PAGE, RequestKind::Other);
        check("/api/comments/7", &[("accept", "application/json")], RequestKind::Other);
        // How Mastodon asks for a post, and others of its kind.
        const POST: &str = "application/activity+json, application/ld+json; \
                            profile=\"https://www.w3.org/ns/activitystreams\", text/html;q=0.1";
        check("/@somebody/7", &[("accept", POST)], RequestKind::Other);
        check("/more", &[HTML, ("x-requested-with", "XMLHttpRequest")], RequestKind::Other);
        for target in ["/robots.txt", "/.well-known/acme-challenge/x", "/.seawall/pass"] {
            check(target, NAVIGATION, RequestKind::Other);
        }
        for method in [Method::Post, Method::Options, Method::Put] {
            with(method, "/", &Named(NAVIGATION), |wish| {
                assert_eq!(wish.kind(), RequestKind::Other);
            });
        }
    }

    #[test]
    fn what_is_no_test_is_no_page_so_that_nothing_escapes_both() {
        let of = |method, target, sent, is_exchange| {
            let mut got = None;
            with(method, target, &Named(sent), |wish| {
                let wish = Wish { is_exchange, ..wish };
                got = Some((wish.testable(), wish.kind()));
            });
            got.expect("it was asked")
        };
        let (get, page) = (Method::Get, (Testable::Page, RequestKind::Page));
        let other = (Testable::No, RequestKind::Other);
        for sent in [NAVIGATION, OF_A_TOOL, NOTHING] {
            assert_eq!(of(get, "/?s=word", sent, false), page);
            assert_eq!(of(get, "/?s=word", sent, true), other, "content, or another protocol");
            assert_eq!(of(get, "/feed/", sent, false), (Testable::No, RequestKind::Feed));
            assert_eq!(of(get, "/feed/", sent, true), other);
            assert_eq!(of(get, "/robots.txt", sent, false), other);
            assert_eq!(of(Method::Post, "/comment", sent, false), other);
        }
        assert_eq!(of(get, "/", &[HTML, ("range", "bytes=0-")], false), page);
        assert_eq!(of(get, "/", &[("range", "bytes=7-")], false), page);
        assert_eq!(of(get, "/api/comments/7", OF_A_PAGE, false), other);
    }

    #[test]
    fn media_types_are_read_whole_and_in_any_case() {
        let [page, feed, json] = [(true, false, false), (false, true, false), (false, false, true)];
        for (value, (page, feed, json)) in [
            ("text/html", page),
            ("TEXT/HTML;level=1", page),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", page),
            ("application/json; charset=utf-8", json),
            ("*/*, application/problem+json", json),
            ("application/activity+json", json),
            ("application/LD+JSON; profile=\"https://www.w3.org/ns/activitystreams\"", json),
            ("application/vnd.api+json", json),
            ("application/feed+json", feed),
            ("application/atom+xml , */*;q=0.1", feed),
            ("application/rss+xml;q=1", feed),
            ("application/json, text/html", (true, false, true)),
            ("application/jsonp, text/htmlx, json, +jso", (false, false, false)),
            ("*/*", (false, false, false)),
            ("", (false, false, false)),
            (",;,;;=", (false, false, false)),
        ] {
            let want = MediaTypes { page, feed, json };
            assert_eq!(MediaTypes::of(Some(value.as_bytes())), want, "{value}");
        }
        assert_eq!(MediaTypes::of(None), MediaTypes::default());
    }
}
