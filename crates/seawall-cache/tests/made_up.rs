//! Made-up URLs before a small origin, and what readers notice of it. The goal: a flood of random paths
//! costs the origin a tenth more than its readers do, and nobody who asks for what is there is turned
//! away for it, be it a launch or a crawl of a site that nobody has seen.
//!
//! The method: an origin with four workers of 40 ms, two queues before it (whoever is ordinary goes first)
//! and a wait of 2 s at most, on a virtual clock in steps of a millisecond. Who waits is served in the order
//! of coming; the gate of the product is fairer.

use std::collections::{BTreeMap, VecDeque};

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use seawall_cache::{Asking, Credence, Key, MapFields, Misses, RequestMeta, SitePolicy, storable};
use seawall_model::{CookieClass, Instant, MadeUpLimits, Method, WallTime};

const WORKERS: usize = 4;
const WORK_MS: u64 = 40;
const PATIENCE_MS: u64 = 2_000;
const MOST_WAITING: usize = 1_024;

struct World {
    misses: Misses,
    now_ms: u64,
    ordinary: VecDeque<Visit>,
    doubtful: VecDeque<Visit>,
    at_work: Vec<(u64, Visit)>,
    tallies: BTreeMap<&'static str, Tally>,
}

struct Visit {
    who: &'static str,
    path: String,
    status: u16,
    since_ms: u64,
    url: Credence,
}

impl Visit {
    fn asking(&self) -> Asking<'_> {
        asking(&self.path)
    }
}

fn asking(path: &str) -> Asking<'_> {
    Asking { host: "example.org", path: path.as_bytes(), has_query: false }
}

/// What became of those who asked for one kind of thing.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    came: u32,
    /// Reached the origin.
    asked: u32,
    /// Refused because the URL was taken for made up.
    turned_away: u32,
    /// Found the queue full, or waited too long.
    crowded_out: u32,
    /// When somebody was last turned away.
    last_ms: u64,
}

impl World {
    fn new() -> Self {
        Self {
            misses: Misses::new(16_384, MadeUpLimits::default(), [1, 2]),
            now_ms: 1_000,
            ordinary: VecDeque::new(),
            doubtful: VecDeque::new(),
            at_work: Vec::new(),
            tallies: BTreeMap::new(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.now_ms * 1_000_000)
    }

    fn tally(&mut self, who: &'static str) -> &mut Tally {
        self.tallies.entry(who).or_default()
    }

    fn turn_away(&mut self, who: &'static str) {
        let now_ms = self.now_ms;
        let tally = self.tally(who);
        tally.turned_away += 1;
        tally.last_ms = now_ms;
    }

    /// Somebody asks for `path`, which is not held, and which the origin would answer with `status`.
    fn come(&mut self, who: &'static str, path: String, status: u16) {
        self.tally(who).came += 1;
        let url = self.misses.judge(self.now(), asking(&path));
        if url == Credence::Doubtful && !self.misses.may_wait(self.now(), asking(&path)) {
            return self.turn_away(who);
        }
        let queue = if url == Credence::Doubtful { &mut self.doubtful } else { &mut self.ordinary };
        if queue.len() == MOST_WAITING {
            self.tally(who).crowded_out += 1;
            return;
        }
        queue.push_back(Visit { who, path, status, since_ms: self.now_ms, url });
    }

    /// The front page is fetched anew.
    fn send(&mut self, body: &str) {
        self.send_as("https://example.org/", body);
    }

    fn send_as(&mut self, url: &str, body: &str) {
        let key = Key::from_url(url).expect("a URL");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=10"));
        let (wall, none) = (WallTime::from_unix_secs(self.now_ms / 1_000), HeaderMap::new());
        let fields = MapFields(&none);
        let meta = RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
        let head = storable(&SitePolicy::default(), &meta, 200, &headers, wall, wall);
        self.misses.sent(&key, &head.expect("it may be stored"), body.as_bytes());
    }

    /// A millisecond passes.
    fn pass(&mut self) {
        self.now_ms += 1;
        let (now, now_ms) = (self.now(), self.now_ms);
        let (ended, at_work): (Vec<_>, Vec<_>) =
            self.at_work.drain(..).partition(|(end, _)| *end <= now_ms);
        self.at_work = at_work;
        for (_, visit) in ended {
            self.misses.answered(now, visit.asking(), visit.status);
        }
        while self.at_work.len() < WORKERS {
            let next = self.ordinary.pop_front().or_else(|| self.doubtful.pop_front());
            let Some(visit) = next else { return };
            if now_ms - visit.since_ms > PATIENCE_MS {
                self.tally(visit.who).crowded_out += 1;
                continue;
            }
            let asked = visit.asking();
            let is_doubtful =
                visit.url == Credence::Doubtful || self.misses.is_doubtful(now, asked);
            let url = if is_doubtful { Credence::Doubtful } else { Credence::Ordinary };
            if self.misses.lets_ask(now, asked, url) {
                self.tally(visit.who).asked += 1;
                self.at_work.push((now_ms + WORK_MS, visit));
            } else {
                self.turn_away(visit.who);
            }
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Whether something happens in this millisecond that does so `per_second` times a second; more than
    /// once if that is above a thousand.
    fn times(&mut self, per_second: u64) -> u64 {
        per_second / 1_000 + u64::from(self.draw() % 1_000 < per_second % 1_000)
    }
}

/// Readers as in the benchmark, eleven misses a second: half for pages that were read before, half for new
/// ones, and stories have the depth of half of what the flood makes up, but other names.
fn readers_come(world: &mut World, random: &mut Random) {
    for _ in 0..random.times(11) {
        let page = random.draw();
        let path = match page % 2 {
            0 => format!("/{}", char::from(b'a' + (page / 2 % 26) as u8)),
            _ => format!("/news/story-{page}.html"),
        };
        world.come("reader", path, 200);
    }
}

#[test]
fn a_flood_of_random_paths_costs_the_origin_a_tenth_more_than_its_readers_do() {
    // What is no flood yet is let: at 300 a second that is half a second long.
    for (per_second, before_it_is_one) in [(300, 100), (1_000, 30), (2_500, 0), (10_000, 0)] {
        let (mut world, mut random) = (World::new(), Random(per_second));
        for _ in 0..20_000 {
            readers_come(&mut world, &mut random);
            world.pass();
        }
        world.tallies.clear();
        for _ in 0..40_000 {
            readers_come(&mut world, &mut random);
            for _ in 0..random.times(per_second) {
                let word = random.draw();
                let page = if word % 2 == 0 { "/" } else { "/2026/11/a-story-7/" };
                world.come("bot", format!("{page}/{:x}={word:x}", word % 65_521), 404);
            }
            world.pass();
        }
        let (readers, bots) = (world.tallies["reader"], world.tallies["bot"]);
        let most = before_it_is_one + readers.came / 10;
        assert!(bots.asked <= most, "{per_second}: {bots:?} beside {readers:?}");
        assert_eq!(readers.turned_away, 0, "{per_second}: {readers:?}");
        // Who comes in the first moment finds the queue full of what is not known to be made up yet.
        assert!(readers.crowded_out <= 8, "{per_second}: {readers:?}");
    }
}

#[test]
fn what_is_like_the_flood_is_asked_for_again_within_a_minute_of_its_end() {
    let (mut world, mut random) = (World::new(), Random(1));
    for second in 0..60 {
        for _ in 0..1_000 {
            for _ in 0..if second < 30 { random.times(5_000) } else { 0 } {
                let word = random.draw();
                world.come("bot", format!("/{word:x}"), 404);
            }
            world.pass();
        }
    }
    let before = world.tally("bot").asked;
    for n in 0..100 {
        world.come("reader", format!("/{n:x}-new"), 200);
        world.pass();
    }
    (0..2_000).for_each(|_| world.pass());
    assert_eq!(world.tallies["reader"].asked, 100, "{:?}", world.tallies);
    assert_eq!(world.tallies["bot"].asked, before);
}

#[test]
fn a_flood_that_looks_like_the_sites_own_stories_does_not_keep_readers_from_them() {
    let (mut world, mut random) = (World::new(), Random(3));
    let (mut newest, mut asked_when_new) = (300, 0);
    for second in 0..60 {
        for millisecond in 0..1_000 {
            // A story every ten seconds; the front page with links to the last hundred is fetched as often.
            if second % 10 == 0 && millisecond == 0 {
                newest += 1;
                let links = newest - 100..=newest;
                world.send(&links.map(|n| format!("<a href='/story-{n}/'>")).collect::<String>());
                world.come("first reader", format!("/story-{newest}/"), 200);
                asked_when_new += 1;
            }
            for _ in 0..random.times(11) {
                let story = newest - random.draw() % 100;
                world.come("reader", format!("/story-{story}/"), 200);
            }
            for _ in 0..if second < 20 { 0 } else { random.times(2_500) } {
                world.come("bot", format!("/story-{}/", random.draw()), 404);
            }
            world.pass();
        }
    }
    (0..1_000).for_each(|_| world.pass());
    for who in ["reader", "first reader"] {
        let readers = world.tallies[who];
        assert_eq!(readers.asked, readers.came, "{who}: {readers:?}");
    }
    assert_eq!(world.tallies["first reader"].came, asked_when_new);
    let (readers, bots) = (world.tallies["reader"], world.tallies["bot"]);
    // Of the readers, two thirds came during the flood.
    assert!(10 * bots.asked <= readers.came * 2 / 3, "{bots:?} beside {readers:?}");
}

#[test]
fn what_a_stranger_searches_for_becomes_no_link_of_the_site() {
    let mut world = World::new();
    for _ in 0..100 {
        world.misses.answered(world.now(), asking("/missing"), 404);
    }
    world.misses.answered(world.now(), asking("/about"), 200);
    let name = |n: u32| format!("{n}").bytes().map(|b| char::from(b + 49)).collect::<String>();
    let links = |from: u32| (from..from + 2_000).map(|n| format!("<a href=/{}>", name(n)));
    world.send_as("https://example.org/?s=x", &links(0).collect::<String>());
    world.send(&format!("Nothing found: {}", links(0).collect::<String>().replace('<', "&lt;")));
    for n in 0..2_000 {
        assert!(world.misses.is_doubtful(world.now(), asking(&format!("/{}", name(n)))), "{n}");
    }
    // However many links there are, what answered stays known.
    for page in 0..100 {
        world.send(&links(2_000 * page).collect::<String>());
    }
    for path in ["/about".to_owned(), format!("/{}", name(199_999))] {
        assert!(!world.misses.is_doubtful(world.now(), asking(&path)), "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A site opens: thousands come to pages that are there and that nobody has seen, all of one shape, and
    /// some have a wrong link. The first of them must get their page as well as the last.
    #[test]
    fn nobody_at_a_launch_is_turned_away(
        seed in any::<u64>(), per_second in 1_u64..3_000, in_hundred_there in 80_u64..=100,
    ) {
        let (mut world, mut random) = (World::new(), Random(seed));
        for _ in 0..5_000 {
            for _ in 0..random.times(per_second) {
                let word = random.draw();
                let status = if word / 7 % 100 < in_hundred_there { 200 } else { 404 };
                world.come("reader", format!("/story-{word:x}/"), status);
            }
            world.pass();
        }
        let readers = world.tallies.get("reader").copied().unwrap_or_default();
        prop_assert!(readers.turned_away == 0, "{:?}", readers);
    }

    /// A search engine takes in a large site with a cold cache, from a map of which half is out of date.
    /// Six pages that are all gone may come first; then a few that are there must end the doubt.
    #[test]
    fn a_crawl_of_a_large_site_goes_on(
        seed in any::<u64>(), per_second in 20_u64..90, in_hundred_there in 50_u64..=100,
    ) {
        let (mut world, mut random) = (World::new(), Random(seed));
        for _ in 0..60_000 {
            for _ in 0..random.times(per_second) {
                let word = random.draw();
                let status = if word / 7 % 100 < in_hundred_there { 200 } else { 404 };
                world.come("crawler", format!("/{word}.html"), status);
            }
            world.pass();
        }
        let crawler = world.tallies["crawler"];
        prop_assert!(crawler.last_ms < 30_000, "{:?}", crawler);
        prop_assert!(10 * crawler.asked >= 9 * crawler.came, "{:?}", crawler);
    }
}
