//! What readers want, and when: a pure function of the seed.
//!
//! An open loop: visits come when they come, whether or not earlier ones were served, as on the web.
//! Which pages: the front page most, then sections, then articles by a Zipf law, newest first.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::measure::Kind;
use crate::rng::Rng;
use crate::site::Site;
use crate::sources::Sources;

/// One reader wants one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When, from the start of the run.
    pub at: Duration,
    /// What kind of reader.
    pub kind: Kind,
    /// From where.
    pub source: Ipv4Addr,
    /// The page: path and query.
    pub page: String,
    /// What else it needs, in order.
    pub subresources: Vec<String>,
    /// What it shows of who it is: a whole `Cookie` field value.
    pub credential: Option<String>,
}

/// All visits of a run, in order. `stream` tells runs of one seed apart by name: both sides of a
/// comparison use the same.
pub fn reader_schedule(seed: u64, site: &Site, sources: &Sources, run: Duration) -> Vec<Visit> {
    let mut visits = Vec::new();
    let pages = Pages::of(site);
    for (kind, per_second) in MIX {
        let mut rng = Rng::stream(seed, stream_of(kind));
        let mut at = Duration::ZERO;
        loop {
            // Poisson arrivals: exponential gaps.
            at += Duration::from_secs_f64(-(1.0 - rng.unit()).ln() / per_second);
            if at >= run {
                break;
            }
            visits.push(draw_visit(&mut rng, kind, at, &pages, sources));
        }
    }
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// The same readers, of whom every fourth with a browser wants an old story that nobody has wanted before,
/// as long as there are any: what is answered then was not fetched for a reader.
pub fn origin_dead_schedule(
    seed: u64,
    site: &Site,
    sources: &Sources,
    run: Duration,
) -> Vec<Visit> {
    let mut visits = reader_schedule(seed, site, sources, run);
    let browsers = visits.iter_mut().filter(|visit| visit.kind == Kind::Browser);
    for (visit, page) in browsers.step_by(4).zip(site.unread_paths()) {
        let subresources = site.subresources(&page);
        *visit = Visit { kind: Kind::Unread, page, subresources, ..visit.clone() };
    }
    visits
}

/// The visits of readers who browse for a minute each: 50 come a minute, half of them with one of
/// `credentials`, and all read a page and then a live one about every five seconds. The first came a
/// minute before the run, so that it begins with as many as it ends with.
pub fn browsing_schedule(
    seed: u64,
    site: &Site,
    sources: &Sources,
    run: Duration,
    credentials: &[String],
) -> Vec<Visit> {
    let mut rng = Rng::stream(seed, "browsing");
    let (pages, live) = (Pages::of(site), site.live_paths());
    let mut visits = Vec::new();
    let (mut number, mut came_s) = (0, -PAGES_OF_A_READER * THINKS_S);
    while came_s < run.as_secs_f64() {
        // Each comes from elsewhere; every second one has been here before.
        let source = sources.browsers[number % sources.browsers.len()];
        let known = (number % 2 == 0).then(|| number / 2 % credentials.len().max(1));
        let credential = known.and_then(|known| credentials.get(known)).cloned();
        let kind = if credential.is_some() { Kind::LiveAged } else { Kind::LiveNew };
        let mut at_s = came_s;
        for _ in 0..PAGES_OF_A_READER as u32 {
            let (page, subresources) = pages.draw(&mut rng);
            let letters = live[rng.below(live.len())].clone();
            let reads_s = 1.0 + rng.unit();
            for (at_s, kind, page, subresources) in [
                (at_s, Kind::Browser, page, subresources),
                (at_s + reads_s, kind, letters, Vec::new()),
            ] {
                if (0.0..run.as_secs_f64()).contains(&at_s) {
                    let (at, credential) = (Duration::from_secs_f64(at_s), credential.clone());
                    visits.push(Visit { at, kind, source, page, subresources, credential });
                }
            }
            at_s += THINKS_S * (0.4 + 1.2 * rng.unit());
        }
        number += 1;
        came_s += -(1.0 - rng.unit()).ln() * 60.0 / READERS_PER_MINUTE;
    }
    visits.sort_by_key(|visit| visit.at);
    visits
}

/// A crawler that reads the pages of the sitemap once, evenly over `quiet`, so that what the flood
/// meets is a site that has been read before. Ten seconds are enough for all of them; in less it
/// gets as far as a polite crawler does.
pub fn warm_up_schedule(site: &Site, sources: &Sources, quiet: Duration) -> Vec<Visit> {
    let paths = site.page_paths();
    // The last pages need a moment to be made before the flood begins.
    let end = quiet.mul_f64(0.8);
    let step = (end / paths.len() as u32).max(CRAWL_STEP);
    let mut met = HashSet::new();
    paths
        .into_iter()
        .enumerate()
        .map(|(number, page)| Visit {
            at: step * number as u32,
            kind: Kind::Crawler,
            source: sources.crawlers[number % sources.crawlers.len()],
            // A crawler that renders fetches style and pictures when it first meets them.
            subresources: site
                .subresources(&page)
                .into_iter()
                .filter(|asset| met.insert(asset.clone()))
                .collect(),
            credential: None,
            page,
        })
        .take_while(|visit| visit.at < end)
        .collect()
}

/// All pages with what they need, front page first, then the other lists, then articles.
struct Pages {
    all: Vec<(String, Vec<String>)>,
    lists: usize,
    plain: Vec<String>,
}

impl Pages {
    fn of(site: &Site) -> Self {
        let all: Vec<_> = site
            .page_paths()
            .into_iter()
            .map(|path| {
                let needed = site.subresources(&path);
                (path, needed)
            })
            .collect();
        let lists = all.len() - site.articles().len();
        Self { all, lists, plain: site.subresources("/search") }
    }

    fn draw(&self, rng: &mut Rng) -> (String, Vec<String>) {
        let share = rng.unit();
        if share < 0.25 {
            return self.all[0].clone();
        }
        if share < 0.35 {
            return self.all[rng.below(self.lists)].clone();
        }
        // Zipf with exponent 1: the rank is distributed as n^u.
        let articles = &self.all[self.lists..];
        let rank = (articles.len() as f64).powf(rng.unit()) as usize;
        articles[rank.clamp(1, articles.len()) - 1].clone()
    }
}

fn draw_visit(rng: &mut Rng, kind: Kind, at: Duration, pages: &Pages, sources: &Sources) -> Visit {
    let source = match kind {
        Kind::Tor => rng.pick(&sources.tor_exits),
        Kind::Feed => rng.pick(&sources.feeds),
        _ => rng.pick(&sources.browsers),
    };
    let (page, subresources) = match kind {
        Kind::Feed => ("/feed.xml".to_owned(), Vec::new()),
        Kind::Search => {
            let question = format!("/search?q={}+{}", rng.pick(&QUESTIONS), rng.pick(&QUESTIONS));
            (question, pages.plain.clone())
        }
        _ => pages.draw(rng),
    };
    Visit { at, kind, source, page, subresources, credential: None }
}

fn stream_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Browser | Kind::Unread => "browser",
        Kind::Feed => "feed",
        Kind::Tor => "tor",
        Kind::Search => "search",
        Kind::Crawler => "crawler",
        Kind::LiveAged | Kind::LiveNew => "live",
    }
}

/// At most 40 pages a second: with the readers that is two thirds of what the origin bears.
const CRAWL_STEP: Duration = Duration::from_millis(25);

const READERS_PER_MINUTE: f64 = 50.0;
const PAGES_OF_A_READER: f64 = 12.0;
const THINKS_S: f64 = 5.0;

/// Visits a second of each kind. Together they keep the origin about a third busy in peace, so that
/// what fails under the flood fails because of it.
const MIX: [(Kind, f64); 4] =
    [(Kind::Browser, 18.0), (Kind::Feed, 3.0), (Kind::Tor, 3.0), (Kind::Search, 1.5)];

const QUESTIONS: [&str; 24] = [
    "ferry",
    "herring",
    "library",
    "flood",
    "council",
    "harbour",
    "lighthouse",
    "quota",
    "diesel",
    "school",
    "roof",
    "bridge",
    "moorings",
    "festival",
    "siren",
    "drain",
    "minutes",
    "invoices",
    "oyster",
    "archive",
    "bus",
    "lamp",
    "wind",
    "tide",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::{MIX, browsing_schedule, origin_dead_schedule, reader_schedule, warm_up_schedule};
    use crate::measure::Kind;
    use crate::site::Site;
    use crate::sources::Sources;

    const RUN: Duration = Duration::from_secs(60);

    #[test]
    fn the_same_seed_wants_the_same_pages_at_the_same_time() {
        let (site, sources) = (Site::new(9), Sources::new(9));
        let one = reader_schedule(9, &site, &sources, RUN);
        assert_eq!(one, reader_schedule(9, &site, &sources, RUN));
        assert_ne!(one, reader_schedule(10, &site, &sources, RUN));
    }

    #[test]
    fn browsing_readers_want_as_much_at_the_begin_as_at_the_end_and_half_are_known() {
        let (site, sources) = (Site::new(9), Sources::new(9));
        let credentials: Vec<String> = (0..150).map(|number| format!("c={number}")).collect();
        let visits = browsing_schedule(9, &site, &sources, RUN * 10, &credentials);
        let (first, second) = visits.iter().partition::<Vec<_>, _>(|visit| visit.at < RUN * 5);
        let share = first.len() as f64 / second.len() as f64;
        assert!((0.8..1.25).contains(&share), "{share}");
        let count = |kind| visits.iter().filter(|visit| visit.kind == kind).count();
        let (aged, new) = (count(Kind::LiveAged), count(Kind::LiveNew));
        // Who comes or leaves in the middle of a page reads one half of it.
        assert!(count(Kind::Browser).abs_diff(aged + new) < 50, "{aged} + {new}");
        // 50 readers a minute with 12 pages each, for ten minutes.
        assert!((4_500..7_500).contains(&(aged + new)), "{aged} + {new}");
        assert!((0.8..1.25).contains(&(aged as f64 / new as f64)), "{aged}, {new}");
        for visit in &visits {
            assert_eq!(
                visit.kind == Kind::LiveAged,
                visit.credential.is_some() && visit.subresources.is_empty()
            );
        }
    }

    #[test]
    fn with_the_origin_dead_the_same_readers_also_want_what_nobody_has_read() {
        let (site, sources) = (Site::new(9), Sources::new(9));
        let usual = reader_schedule(9, &site, &sources, RUN / 4);
        let visits = origin_dead_schedule(9, &site, &sources, RUN / 4);
        let unread: HashSet<_> = site.unread_paths().into_iter().collect();
        let (mut wanted, mut count) = (HashSet::new(), 0);
        for (visit, usual) in visits.iter().zip(&usual) {
            assert_eq!((visit.at, visit.source), (usual.at, usual.source));
            assert_eq!(visit.kind == Kind::Unread, unread.contains(&visit.page));
            if visit.kind == Kind::Unread {
                count += 1;
                wanted.insert(visit.page.clone());
            } else {
                assert_eq!(visit, usual);
            }
        }
        assert_eq!(visits.len(), usual.len());
        assert_eq!(wanted.len(), count, "each is wanted once");
        assert!(count > 40, "{count}");
    }

    #[test]
    fn a_longer_run_begins_like_a_shorter_one() {
        let (site, sources) = (Site::new(9), Sources::new(9));
        let short = reader_schedule(9, &site, &sources, RUN / 2);
        let long = reader_schedule(9, &site, &sources, RUN);
        assert_eq!(short[..], long[..short.len()]);
    }

    #[test]
    fn every_kind_comes_at_its_rate_and_in_order() {
        let (site, sources) = (Site::new(1), Sources::new(1));
        let visits = reader_schedule(1, &site, &sources, RUN);
        assert!(visits.windows(2).all(|pair| pair[0].at <= pair[1].at));
        for (kind, per_second) in MIX {
            let count = visits.iter().filter(|visit| visit.kind == kind).count() as f64;
            let expected = per_second * RUN.as_secs_f64();
            // Five standard deviations of a Poisson count.
            assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{kind:?}: {count}");
        }
    }

    #[test]
    fn the_crawler_reads_every_page_once_and_meets_every_asset() {
        let (site, sources) = (Site::new(1), Sources::new(1));
        let short = warm_up_schedule(&site, &sources, Duration::from_secs(5));
        assert_eq!(short.len(), 160, "40 a second, four fifths of the time");
        let visits = warm_up_schedule(&site, &sources, Duration::from_secs(10));
        let pages: HashSet<_> = visits.iter().map(|visit| visit.page.clone()).collect();
        assert_eq!(pages.len(), site.page_paths().len());
        assert!(visits.iter().all(|visit| visit.kind == Kind::Crawler));
        let needed: HashSet<_> =
            site.page_paths().iter().flat_map(|page| site.subresources(page)).collect();
        let met: HashSet<_> = visits.into_iter().flat_map(|visit| visit.subresources).collect();
        assert_eq!(met, needed);
    }
}
