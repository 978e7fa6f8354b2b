//! The sample site: "The Tidewater Post", a small newspaper of three hundred articles.
//!
//! Everything it says follows from its seed, so that a reader in another process can work out the
//! exact bytes that belong under an address and notice a wrong one. Its pages say nothing about
//! caching, as WordPress does; its assets carry validators. What it can bear is in [`Capacity`]:
//! about a hundred pages a second, like a small server with a handful of PHP workers.
//!
//! It deliberately has no state, no cookies and no clock.
//!
//! Read next: [`Site::resource`], [`Origin`].

mod assets;
mod capacity;
mod pages;
mod server;
mod text;

use std::hash::Hasher as _;
use std::sync::Arc;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

pub use crate::site::capacity::{Busy, Capacity, Cost, Model};
pub use crate::site::server::Origin;
pub(crate) use crate::site::server::cost_of;
pub use crate::site::text::Article;

/// The host name that readers ask for.
pub const HOST: &str = "tidewater-post.example";

/// Where the site proves that it belongs to this run (see [`LoopbackAddr`](crate::LoopbackAddr)).
pub const REHEARSAL_PATH: &str = "/.well-known/seawall/rehearsal";

/// Where letters are sent in.
pub(crate) const UPLOADS: &str = "/letters/new";
/// Server-sent events without end, numbered.
pub(crate) const TICKER: &str = "/ticker";
/// A connection that says back what it is told, once it is no HTTP any more.
pub(crate) const CHAT: &str = "/chat";

/// A file much larger than any page. No page links to it.
const DOWNLOAD: &str = "/downloads/tide-tables.bin";
const DOWNLOAD_BYTES: usize = 20_000_000;

/// Where the pages stand that no cache may keep.
const LETTERS: &str = "/letters/";

/// The whole content of the site. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Site {
    content: Arc<Content>,
}

#[derive(Debug)]
struct Content {
    articles: Vec<Article>,
    old_stories: Vec<Article>,
    assets: Vec<Asset>,
}

#[derive(Debug)]
struct Asset {
    path: String,
    content_type: &'static str,
    body: Bytes,
    etag: String,
}

/// What stands under one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// 200 or 404.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The exact bytes.
    pub body: Bytes,
    /// The validator, on assets and feed.
    pub etag: Option<String>,
    /// `Cache-Control`, where the site says anything.
    pub cache_control: Option<&'static str>,
    /// What it costs the origin.
    pub cost: Cost,
}

impl Site {
    /// Writes the whole newspaper of `seed`.
    pub fn new(seed: u64) -> Self {
        let articles = text::write_articles(seed);
        let old_stories = text::write_old_stories(seed);
        let mut assets: Vec<Asset> = assets::all(seed)
            .into_iter()
            .map(|(path, content_type, body)| Asset::new(path, content_type, body))
            .collect();
        assets.push(Asset::new(
            "/feed.xml".into(),
            "application/rss+xml; charset=utf-8",
            pages::feed(&articles),
        ));
        assets.push(Asset::new(
            "/sitemap.xml".into(),
            "application/xml; charset=utf-8",
            pages::sitemap(articles.iter().chain(&old_stories)),
        ));
        Self { content: Arc::new(Content { articles, old_stories, assets }) }
    }

    /// What stands under `target` (path and query). As in WordPress an unknown query changes
    /// nothing about the page and costs the whole page again.
    pub fn resource(&self, target: &str) -> Resource {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if let Some(asset) = self.content.assets.iter().find(|asset| asset.path == path) {
            return asset.resource();
        }
        let articles = &self.content.articles;
        if path == "/search" {
            let words = query.strip_prefix("q=").unwrap_or_default();
            let mut found = Resource::page(pages::search(articles, words));
            found.cost = Cost::Search;
            // Results are made for one question and not worth keeping.
            found.cache_control = Some("no-store");
            return found;
        }
        if let Some(number) = path.strip_prefix(LETTERS).and_then(|number| number.parse().ok()) {
            let mut letters = Resource::page(pages::letters(articles, number));
            // Who reads them sees what came in a moment ago.
            letters.cache_control = Some("no-store");
            return letters;
        }
        if path == "/" {
            return Resource::page(pages::front(articles));
        }
        if path == DOWNLOAD {
            return Resource::download();
        }
        if path == "/about/" {
            return Resource::page(pages::about());
        }
        if let Some(section) = text::SECTIONS.iter().find(|section| section_path(section) == path) {
            return Resource::page(pages::section(articles, section));
        }
        if let Some(at) = articles.iter().position(|article| article.path == path) {
            return Resource::page(pages::article(articles, at));
        }
        let old = &self.content.old_stories;
        if path == text::OLD_ROOT {
            return Resource::page(pages::files(old));
        }
        if let Some(at) = old.iter().position(|story| story.path == path) {
            return Resource::page(pages::article(old, at));
        }
        Resource { status: 404, ..Resource::page(pages::not_found()) }
    }

    /// The articles, newest first.
    pub fn articles(&self) -> &[Article] {
        &self.content.articles
    }

    /// All pages that readers come for, without search.
    pub fn page_paths(&self) -> Vec<String> {
        let mut paths = vec!["/".to_owned(), "/about/".to_owned()];
        paths.extend(text::SECTIONS.iter().map(|section| section_path(section)));
        paths.extend(self.content.articles.iter().map(|article| article.path.clone()));
        paths
    }

    /// Old stories, each linked and in the sitemap. No reader comes for them, nor a search engine's crawler,
    /// as long as the origin is there: no cache holds them.
    pub fn unread_paths(&self) -> Vec<String> {
        self.content.old_stories.iter().map(|story| story.path.clone()).collect()
    }

    /// Pages that no cache may keep, each with letters about one story. As dear as any page.
    pub fn live_paths(&self) -> Vec<String> {
        (0..self.content.articles.len()).map(|number| format!("{LETTERS}{number}")).collect()
    }

    /// What a browser needs besides the page at `path` to show it: three to five addresses.
    pub fn subresources(&self, path: &str) -> Vec<String> {
        let mut needed =
            vec![assets::STYLE.to_owned(), assets::SCRIPT.to_owned(), assets::LOGO.to_owned()];
        let articles = &self.content.articles;
        if path == "/" {
            needed.extend(articles.iter().take(2).map(|article| article.picture.clone()));
        } else if let Some(article) =
            articles.iter().chain(&self.content.old_stories).find(|article| article.path == path)
        {
            needed.push(article.picture.clone());
        }
        needed.dedup();
        needed
    }
}

impl Asset {
    fn new(path: String, content_type: &'static str, body: String) -> Self {
        let mut hash = SipHasher13::new();
        hash.write(body.as_bytes());
        let etag = format!("\"{:016x}\"", hash.finish());
        Self { path, content_type, body: Bytes::from(body), etag }
    }

    fn resource(&self) -> Resource {
        Resource {
            status: 200,
            content_type: self.content_type,
            body: self.body.clone(),
            etag: Some(self.etag.clone()),
            cache_control: None,
            cost: Cost::Static,
        }
    }
}

impl Resource {
    fn download() -> Self {
        Self {
            status: 200,
            content_type: "application/octet-stream",
            body: Bytes::from(vec![b'~'; DOWNLOAD_BYTES]),
            etag: None,
            cache_control: Some("public, max-age=3600"),
            cost: Cost::Static,
        }
    }

    fn page(body: String) -> Self {
        Self {
            status: 200,
            content_type: "text/html; charset=utf-8",
            body: Bytes::from(body),
            etag: None,
            cache_control: None,
            cost: Cost::Page,
        }
    }
}

/// The address of a section.
fn section_path(section: &str) -> String {
    format!("/section/{}/", section.to_lowercase())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Cost, Site};

    #[test]
    fn the_same_seed_writes_the_same_bytes() {
        let (one, same, other) = (Site::new(1), Site::new(1), Site::new(2));
        for path in one.page_paths() {
            assert_eq!(one.resource(&path), same.resource(&path), "{path}");
        }
        assert_ne!(one.resource("/").body, other.resource("/").body);
    }

    #[test]
    fn every_page_stands_and_has_the_size_of_a_news_page() {
        let site = Site::new(1);
        let paths = site.page_paths();
        assert!(paths.len() > 300, "{}", paths.len());
        assert_eq!(paths.iter().collect::<HashSet<_>>().len(), paths.len(), "addresses repeat");
        for path in &paths {
            let page = site.resource(path);
            assert_eq!((page.status, page.cost), (200, Cost::Page), "{path}");
            assert!(page.cache_control.is_none() && page.etag.is_none(), "{path}");
            let about = path == "/about/";
            assert!(
                about || (8_000..40_000).contains(&page.body.len()),
                "{path}: {}",
                page.body.len()
            );
        }
    }

    #[test]
    fn everything_a_page_needs_is_linked_from_it_and_stands() {
        let site = Site::new(5);
        for path in site.page_paths() {
            let page = site.resource(&path);
            let html = std::str::from_utf8(&page.body).expect("pages are UTF-8");
            let needed = site.subresources(&path);
            assert!((3..=5).contains(&needed.len()), "{path}: {needed:?}");
            for asset in needed {
                let resource = site.resource(&asset);
                assert_eq!((resource.status, resource.cost), (200, Cost::Static), "{asset}");
                assert!(resource.etag.is_some(), "{asset}");
                assert!(html.contains(&asset), "{path} does not mention {asset}");
            }
        }
    }

    #[test]
    fn every_link_of_every_page_leads_somewhere() {
        let site = Site::new(1);
        let mut links = HashSet::new();
        for path in site.page_paths() {
            let page = site.resource(&path);
            let html = String::from_utf8(page.body.to_vec()).expect("pages are UTF-8");
            links.extend(
                html.split("href=\"/")
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next().map(|link| format!("/{link}"))),
            );
        }
        for link in links {
            assert_eq!(site.resource(&link).status, 200, "{link}");
        }
    }

    #[test]
    fn old_stories_stand_are_linked_and_are_nothing_that_readers_come_for() {
        let site = Site::new(1);
        let read: HashSet<_> = site.page_paths().into_iter().collect();
        let text = |path| String::from_utf8(site.resource(path).body.to_vec()).expect("UTF-8");
        let (files, sitemap) = (text("/files/"), text("/sitemap.xml"));
        assert!(text("/").contains("href=\"/files/\""));
        let unread = site.unread_paths();
        assert_eq!(unread.iter().collect::<HashSet<_>>().len(), 60, "addresses repeat");
        for path in unread {
            assert!(!read.contains(&path), "{path}");
            assert!(files.contains(&format!("href=\"{path}\"")), "{path}");
            assert!(sitemap.contains(&format!("{path}</loc>")), "{path}");
            let page = site.resource(&path);
            assert_eq!((page.status, page.cost), (200, Cost::Page), "{path}");
            let html = std::str::from_utf8(&page.body).expect("pages are UTF-8");
            let needed = site.subresources(&path);
            assert_eq!(needed.len(), 4, "{path}");
            assert!(needed.iter().all(|asset| html.contains(asset)), "{path}");
        }
    }

    #[test]
    fn unknown_queries_cost_a_whole_page_and_change_nothing() {
        let site = Site::new(1);
        let (plain, busted) = (site.resource("/"), site.resource("/?v=81723"));
        assert_eq!(plain, busted);
        assert_eq!(busted.cost, Cost::Page);
    }

    #[test]
    fn the_download_is_large_and_may_be_kept() {
        let download = Site::new(1).resource("/downloads/tide-tables.bin");
        assert_eq!((download.status, download.body.len()), (200, 20_000_000));
        assert!(download.cache_control.is_some_and(|said| said.contains("max-age")));
    }

    #[test]
    fn letters_cost_a_page_each_time_and_forbid_storing() {
        let site = Site::new(1);
        for path in site.live_paths() {
            let page = site.resource(&path);
            assert_eq!((page.status, page.cost), (200, Cost::Page), "{path}");
            assert_eq!(page.cache_control, Some("no-store"), "{path}");
        }
        assert_ne!(site.resource("/letters/1").body, site.resource("/letters/2").body);
    }

    #[test]
    fn searches_find_escape_and_forbid_storing() {
        let site = Site::new(1);
        let found = site.resource("/search?q=%3Cscript%3E");
        let html = std::str::from_utf8(&found.body).expect("UTF-8");
        assert!(!html.contains("<script>"), "the question is not escaped");
        assert_eq!((found.cost, found.cache_control), (Cost::Search, Some("no-store")));
        assert_eq!(site.resource("/nowhere").status, 404);
    }
}
