//! The site that is read and attacked: its pages, what they cost and what may be held of them.
//!
//! A newspaper with a forum and a search, as detection.md §8 has its readers: about 85 % of what a page
//! view asks for may be held. Separate because readers, attacks and shields all speak of the same pages.

use std::ops::Range;
use std::time::Duration;

use seawall_model::{Method, RequestKind};

use crate::random::Random;

/// A page by its place in [`Site::pages`].
pub type PageId = u32;

/// One URL that is there.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path.
    pub path: String,
    /// The query, if there is one.
    pub query: Option<String>,
    /// What it is.
    pub kind: RequestKind,
    /// With which method it is asked for.
    pub method: Method,
    /// How long it may be held; `None`: each reader gets another one.
    pub lifetime: Option<Duration>,
    /// What it costs the origin, in ordinary pages.
    pub cost: f64,
    /// Whether the answer has no end.
    pub is_stream: bool,
}

/// All pages. The ranges are places in [`Self::pages`].
#[derive(Clone, Debug)]
pub struct Site {
    /// All of them.
    pub pages: Vec<Page>,
    /// The front page, sections and stories.
    pub reading: Range<PageId>,
    /// Of these the stories.
    pub stories: Range<PageId>,
    /// Styles, scripts and fonts without which a page cannot be read.
    pub critical: Range<PageId>,
    /// Images and the like.
    pub images: Range<PageId>,
    /// Pages of the forum, made anew for everybody.
    pub forum: Range<PageId>,
    /// Results of the ordinary search.
    pub search: Range<PageId>,
    /// Results of the search through the whole archive, fifty times as dear.
    pub deep_search: Range<PageId>,
    /// What scripts ask for.
    pub api: Range<PageId>,
    /// Feeds.
    pub feeds: Range<PageId>,
    /// Forms that are sent.
    pub forms: Range<PageId>,
    /// `xmlrpc.php` and `admin-ajax.php`.
    pub programs: Range<PageId>,
    /// Event streams.
    pub streams: Range<PageId>,
    /// Films.
    pub films: Range<PageId>,
    /// Where editors send files.
    pub upload: PageId,
}

/// The front page.
pub(crate) const HOME: PageId = 0;

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// The site, always the same.
    pub fn new() -> Self {
        let mut made = Maker { pages: Vec::new() };
        let front = made.add(1, minutes(1), 1.5, |_| "/".to_owned());
        let sections = made.add(24, minutes(2), 1.2, |n| format!("/section/{}/", WORDS[n % 24]));
        let stories = made.add(400, minutes(30), 1.0, |n| {
            let (day, title) = (1 + n % 28, WORDS[(n * 7) % WORDS.len()]);
            format!("/2026/02/{day:02}/{title}-and-{}-{n}/", WORDS[(n * 3 + 1) % WORDS.len()])
        });
        let part = RequestKind::Subresource;
        let critical = made.of(part, 3, hours(24), 0.02, |n| {
            ["/assets/style.css", "/assets/main.js", "/assets/serif.woff2"][n].to_owned()
        });
        let images = made.of(part, 800, hours(24), 0.03, |n| {
            format!("/media/2026/{n:04}-{}.jpg", WORDS[n % 32])
        });
        let forum = made.add(200, None, 1.0, |n| format!("/forum/thread/{}/", 4_000 + n * 13));
        let search = made.add(WORDS.len(), None, 2.0, |_| "/".to_owned());
        let deep_search = made.add(WORDS.len(), None, 50.0, |_| "/archive/search".to_owned());
        for (at, word) in WORDS.iter().enumerate() {
            made.pages[search.start as usize + at].query = Some(format!("s={word}"));
            made.pages[deep_search.start as usize + at].query = Some(format!("q={word}"));
        }
        let api = made.of(RequestKind::Other, 40, None, 0.2, |n| format!("/api/comments/{n}"));
        let feeds = made.of(RequestKind::Feed, 3, minutes(5), 1.0, |n| {
            ["/feed/", "/feed/atom/", "/forum/feed/"][n].to_owned()
        });
        let forms = made.of(RequestKind::Other, 3, None, 2.0, |n| {
            ["/comment", "/contact", "/search"][n].to_owned()
        });
        let programs = made.of(RequestKind::Other, 2, None, 20.0, |n| {
            ["/xmlrpc.php", "/wp-admin/admin-ajax.php"][n].to_owned()
        });
        let streams = made.of(RequestKind::Other, 2, None, 0.2, |n| format!("/live/{n}/events"));
        let films =
            made.of(RequestKind::Subresource, 8, hours(24), 0.5, |n| format!("/film/{n}.mp4"));
        let upload = made.of(RequestKind::Other, 1, None, 5.0, |_| "/editor/upload".to_owned());
        for page in forms.clone().chain(programs.clone()).chain(upload.clone()) {
            made.pages[page as usize].method = Method::Post;
        }
        for page in streams.clone() {
            made.pages[page as usize].is_stream = true;
        }
        Self {
            reading: front.start..stories.end,
            stories: stories.clone(),
            critical,
            images,
            forum,
            search,
            deep_search,
            api,
            feeds,
            forms,
            programs,
            streams,
            films,
            upload: upload.start,
            pages: {
                debug_assert_eq!(sections.end, stories.start);
                made.pages
            },
        }
    }

    /// The page at `id`.
    pub fn page(&self, id: PageId) -> &Page {
        &self.pages[id as usize]
    }

    /// A page of `range`, all alike.
    pub fn any(&self, random: &mut Random, range: &Range<PageId>) -> PageId {
        range.start + random.below(range.len()) as PageId
    }

    /// A page to read as readers choose them: the front page often, new stories more than old ones
    /// (Zipf with exponent 1, cut off at what there is).
    pub fn popular(&self, random: &mut Random) -> PageId {
        let rank = libm::pow(self.reading.len() as f64 + 1.0, random.unit()).floor() as usize;
        self.reading.start + rank.clamp(1, self.reading.len()) as PageId - 1
    }
}

struct Maker {
    pages: Vec<Page>,
}

impl Maker {
    fn add(
        &mut self,
        count: usize,
        lifetime: Option<Duration>,
        cost: f64,
        path: impl Fn(usize) -> String,
    ) -> Range<PageId> {
        self.of(RequestKind::Page, count, lifetime, cost, path)
    }

    fn of(
        &mut self,
        kind: RequestKind,
        count: usize,
        lifetime: Option<Duration>,
        cost: f64,
        path: impl Fn(usize) -> String,
    ) -> Range<PageId> {
        let first = self.pages.len() as PageId;
        self.pages.extend((0..count).map(|n| Page {
            path: path(n),
            query: None,
            kind,
            method: Method::Get,
            lifetime,
            cost,
            is_stream: false,
        }));
        first..self.pages.len() as PageId
    }
}

const fn minutes(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * count))
}

const fn hours(count: u64) -> Option<Duration> {
    minutes(60 * count)
}

/// What titles are made of and people search for.
pub(crate) const WORDS: [&str; 32] = [
    "harvest", "election", "harbour", "strike", "river", "court", "teachers", "bridge", "drought",
    "market", "prison", "fishers", "council", "border", "school", "hospital", "wages", "forest",
    "press", "police", "energy", "women", "housing", "railway", "budget", "museum", "farmers",
    "storm", "treaty", "music", "water", "archive",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pages_have_one_url() {
        let site = Site::new();
        let mut urls: Vec<_> =
            site.pages.iter().map(|page| (&page.path, &page.query, page.method)).collect();
        let all = urls.len();
        urls.sort_by_key(|(path, query, _)| (path.as_str(), query.as_deref()));
        urls.dedup();
        assert_eq!(urls.len(), all);
    }

    #[test]
    fn the_front_page_is_read_most_and_every_page_sometimes() {
        let (site, mut random) = (Site::new(), Random::new(1));
        let mut read = vec![0u32; site.reading.len()];
        (0..200_000).for_each(|_| read[site.popular(&mut random) as usize] += 1);
        assert_eq!(read.iter().max(), Some(&read[HOME as usize]));
        assert!(read.iter().all(|count| *count > 10), "{:?}", read.iter().min());
    }
}
