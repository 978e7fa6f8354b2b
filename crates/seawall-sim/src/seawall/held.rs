//! What is held of the site: a simple cache by page, with what the real one knows of made-up URLs.
//!
//! Which query parameters change nothing and which paths are probably made up is found out by the code
//! of `seawall-cache` itself; only the store is simpler. It holds every page that may be held, for as
//! long as the origin said and stale ever after.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use seawall_cache::{
    Asking, Credence, Key, Learner, LearnerConfig, MapFields, Misses, Probe, QueryRules,
    RequestMeta, Scheme, SitePolicy, StoredHead, Verdict, storable,
};
use seawall_model::{CookieClass, Held, Instant, Limits, Method, WallTime};

use crate::random::Random;
use crate::request::Target;
use crate::site::{PageId, Site};
use crate::world::START;

/// The cache before the site.
pub(super) struct Pages {
    site: Arc<Site>,
    learner: Learner,
    rules: QueryRules,
    misses: Misses,
    /// Until when each page is fresh, if it was ever stored.
    fresh_until: Vec<Option<Instant>>,
    by_url: BTreeMap<(String, Option<String>), PageId>,
    wall: WallTime,
    wall_at: Instant,
}

/// Where a request stands in the cache.
pub(super) struct Placed {
    /// The page it is answered with, if the shield knows that it is one.
    pub(super) page: Option<PageId>,
    /// Its URL, where it is not simply that of a page.
    pub(super) made: Option<MadeUrl>,
    pub(super) held: Held,
    /// Whether a parameter that nobody vouches for is part of it.
    pub(super) is_odd: bool,
}

/// A URL that the site does not lead to.
#[derive(Clone)]
pub(super) struct MadeUrl {
    pub(super) key: Key,
    pub(super) probe: Option<Probe>,
    /// What the origin answers with.
    pub(super) like: Option<PageId>,
}

pub(super) const HOST: &str = "example.org";

impl Pages {
    pub(super) fn new(site: Arc<Site>, limits: &Limits, seed: [u64; 2]) -> Self {
        let config = LearnerConfig {
            max_records: limits.max_query_records,
            max_pages: limits.max_query_pages,
            max_names: limits.max_query_names,
            seed,
        };
        let pages = site.pages.iter().zip(0..);
        let by_url = pages
            .filter(|(page, _)| page.method == Method::Get)
            .map(|(page, id)| ((page.path.clone(), page.query.clone()), id))
            .collect();
        let held = Self {
            learner: Learner::new(config),
            rules: QueryRules::default(),
            misses: Misses::new(limits.max_known_paths, limits.made_up, seed),
            fresh_until: warm(&site, seed[0]),
            by_url,
            site,
            wall: WallTime::default(),
            wall_at: Instant::default(),
        };
        held.show_links();
        held
    }

    /// The front page leads to all that there is, as those of papers do by a few steps.
    fn show_links(&self) {
        let key = Key::new(Scheme::Https, HOST, b"/", None);
        let Some(head) = head_of(WallTime::from_unix_secs(1), 200) else { return };
        let gets = self.site.pages.iter().filter(|page| page.method == Method::Get);
        let links: Vec<String> = gets
            .map(|page| match &page.query {
                Some(query) => format!("<a href=\"{}?{query}\">x</a>", page.path),
                None => format!("<a href=\"{}\">x</a>", page.path),
            })
            .collect();
        for some in links.chunks(200) {
            self.misses.sent(&key, &head, some.concat().as_bytes());
        }
    }

    pub(super) fn set_wall(&mut self, now: Instant, wall: WallTime) {
        (self.wall_at, self.wall) = (now, wall);
    }

    fn wall(&self, now: Instant) -> WallTime {
        self.wall + now.saturating_since(self.wall_at)
    }

    /// Looks a request up.
    pub(super) fn place(&self, now: Instant, target: Target<'_>, is_personal: bool) -> Placed {
        match target {
            Target::Page(page) => {
                let held = if is_personal { Held::No } else { self.held(now, page) };
                Placed { page: Some(page), made: None, held, is_odd: false }
            }
            Target::MadeUp { path, query, like } => {
                let key = Key::new(Scheme::Https, HOST, path.as_bytes(), query.map(str::as_bytes));
                let probe = match self.learner.judge(now, &self.rules, &key) {
                    Verdict::Watch(probe) => Some(probe),
                    Verdict::Ignore(probe) => {
                        let asks_whole =
                            self.misses.has_room(now) && self.learner.may_ask_whole(now, &probe);
                        if !asks_whole {
                            return self.place_bare(now, &probe.bare, like);
                        }
                        Some(probe)
                    }
                    Verdict::Whole | Verdict::Unclear => None,
                };
                let is_odd = query.is_some();
                let made = Some(MadeUrl { key, probe, like });
                Placed { page: None, made, held: Held::No, is_odd }
            }
        }
    }

    /// A URL whose parameters change nothing.
    fn place_bare(&self, now: Instant, bare: &Key, like: Option<PageId>) -> Placed {
        let path = String::from_utf8_lossy(bare.path()).into_owned();
        let query = bare.query().map(|query| String::from_utf8_lossy(query).into_owned());
        match self.by_url.get(&(path, query)) {
            Some(&page) => {
                let held = self.held(now, page);
                Placed { page: Some(page), made: None, held, is_odd: false }
            }
            None => {
                let made = Some(MadeUrl { key: bare.clone(), probe: None, like });
                Placed { page: None, made, held: Held::No, is_odd: false }
            }
        }
    }

    fn held(&self, now: Instant, page: PageId) -> Held {
        match self.fresh_until[page as usize] {
            Some(until) if until > now => Held::Fresh,
            Some(_) => Held::Stale,
            None => Held::No,
        }
    }

    pub(super) fn asking<'a>(
        &'a self,
        page: Option<PageId>,
        made: Option<&'a MadeUrl>,
    ) -> Asking<'a> {
        match (page, made) {
            (_, Some(made)) => Asking::from(&made.key),
            (Some(page), None) => {
                let page = self.site.page(page);
                let has_query = page.query.is_some();
                Asking { host: HOST, path: page.path.as_bytes(), has_query }
            }
            (None, None) => Asking { host: HOST, path: b"/", has_query: false },
        }
    }

    pub(super) const fn misses(&self) -> &Misses {
        &self.misses
    }

    /// Whether a URL of which nothing is held is probably made up.
    pub(super) fn is_guess(&self, now: Instant, placed: &Placed) -> bool {
        placed.is_odd
            || self.misses.judge(now, self.asking(placed.page, placed.made.as_ref()))
                == Credence::Doubtful
    }

    /// The origin answered; the status.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        page: Option<PageId>,
        made: Option<&MadeUrl>,
        is_shared: bool,
    ) -> u16 {
        let like = page.or_else(|| made.and_then(|made| made.like));
        let status = if like.is_some() { 200 } else { 404 };
        let wall = self.wall(now);
        self.misses.answered(now, self.asking(page, made), status);
        if !is_shared {
            return status;
        }
        let Some(head) = head_of(wall, status) else { return status };
        if let (Some(page), None) = (page, made) {
            let Some(lifetime) = self.site.page(page).lifetime else { return status };
            self.fresh_until[page as usize] = Some(now + lifetime);
            if page == crate::site::HOME {
                let key = Key::new(Scheme::Https, HOST, b"/", None);
                self.learner.stored((now, wall), &key, None, &head, &body(page));
            }
        } else if let (Some(made), Some(like)) = (made, like) {
            let body = body(like);
            self.learner.stored((now, wall), &made.key, made.probe.as_ref(), &head, &body);
        }
        status
    }
}

/// The site did not begin today: what may be held is, and ends at a time of its own.
fn warm(site: &Site, seed: u64) -> Vec<Option<Instant>> {
    let mut random = Random::new(seed);
    let pages = site.pages.iter();
    pages
        .map(|page| page.lifetime.map(|lifetime| START + lifetime.mul_f64(random.unit())))
        .collect()
}

fn body(page: PageId) -> Vec<u8> {
    format!("<h1>page {page}</h1>").into_bytes()
}

fn head_of(wall: WallTime, status: u16) -> Option<StoredHead> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    let none = HeaderMap::new();
    let fields = MapFields(&none);
    let meta = RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
    storable(&SitePolicy::default(), &meta, status, &headers, wall, wall).ok()
}
