//! Query parameters that change nothing are learned; a reader never gets another page for it.
//!
//! The learner stands between a small cache and a synthetic site, both in this file, under a clock
//! that only the test moves.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use proptest::prelude::*;
use seawall_cache::{
    CookiePatterns, Key, LearnStats, Learned, Learner, LearnerConfig, MapFields, QueryRules,
    RequestMeta, SitePolicy, Verdict, storable,
};
use seawall_model::{CookieClass, Instant, Method, WallTime};

/// What the site answers: status and content for a path and a query.
type Site = Box<dyn Fn(&str, Option<&str>, u64) -> (u16, String)>;

/// A cache with a learner, before a site.
struct World {
    learner: Learner,
    rules: QueryRules,
    site: Site,
    held: HashMap<Key, (String, u64)>,
    now_s: u64,
    fetches: u64,
}

const LIFETIME_S: u64 = 10;

impl World {
    fn new(site: impl Fn(&str, Option<&str>, u64) -> (u16, String) + 'static) -> Self {
        let config =
            LearnerConfig { max_records: 256, max_pages: 64, max_names: 1_024, seed: [3, 5] };
        Self {
            learner: Learner::new(config),
            rules: QueryRules::default(),
            site: Box::new(site),
            held: HashMap::new(),
            now_s: 1_000,
            fetches: 0,
        }
    }

    fn stats(&self) -> LearnStats {
        self.learner.stats()
    }

    /// One reader's GET; the content that came.
    fn get(&mut self, target: &str) -> String {
        let url = format!("https://example.org{target}");
        let mut key = Key::from_url(&url).expect("a URL");
        let now = Instant::from_nanos(self.now_s * 1_000_000_000);
        let mut probe = None;
        match self.learner.judge(now, &self.rules, &key) {
            Verdict::Whole | Verdict::Unclear => {}
            Verdict::Watch(found) => probe = Some(found),
            Verdict::Ignore(found) if self.learner.may_ask_whole(now, &found) => {
                probe = Some(found);
            }
            Verdict::Ignore(found) => key = found.bare,
        }
        if let Some((body, until)) = self.held.get(&key)
            && *until > self.now_s
        {
            return body.clone();
        }
        self.fetches += 1;
        let path = String::from_utf8_lossy(key.path()).into_owned();
        let query = key.query().map(|query| String::from_utf8_lossy(query).into_owned());
        let (status, body) = (self.site)(&path, query.as_deref(), self.fetches);
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=10"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let wall = WallTime::from_unix_secs(self.now_s);
        let none = HeaderMap::new();
        let fields = MapFields(&none);
        let meta = RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
        let head = storable(&SitePolicy::default(), &meta, status, &headers, wall, wall);
        match (head, probe) {
            (Ok(head), probe) => {
                self.learner.stored((now, wall), &key, probe.as_ref(), &head, body.as_bytes());
                self.held.insert(key, (body.clone(), self.now_s + LIFETIME_S));
            }
            (Err(_), Some(probe)) => {
                self.learner.not_stored(now, &probe, status);
            }
            (Err(_), None) => {}
        }
        body
    }
}

/// A page that depends on the parameters in `significant` and links to them.
fn page(significant: &[&str], path: &str, query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&');
    let counts = |pair: &&str| significant.contains(&pair.split('=').next().unwrap_or_default());
    let chosen: Vec<&str> = pairs.filter(counts).collect();
    let links: String =
        significant.iter().map(|name| format!("<a href=\"{path}?{name}=2\">more</a>")).collect();
    format!("<h1>{path}</h1>{chosen:?}{links}")
}

fn plain() -> World {
    World::new(|path, query, _| (200, page(&["edition"], path, query)))
}

#[test]
fn a_flood_of_unknown_names_soon_asks_for_nothing_but_the_page() {
    let mut world = plain();
    world.get("/");
    for n in 0..20_000 {
        assert_eq!(world.get(&format!("/?x{n:x}q={n}")), world.get("/"));
    }
    // The page, eight lessons, four that are let through whole.
    assert_eq!(world.fetches, 1 + 8 + 4);
    assert_eq!(world.stats().learned, 1);
}

#[test]
fn a_flood_of_one_name_with_many_values_does_not_either() {
    let mut world = plain();
    for n in 0..20_000 {
        assert_eq!(world.get(&format!("/?cachebust={n}")), page(&["edition"], "/", None));
        world.get("/");
    }
    assert!(world.fetches <= 1 + 1 + 8 + 4, "{}", world.fetches);
}

#[test]
fn a_flood_over_all_pages_is_learned_faster_after_the_first_few() {
    let mut world = plain();
    for n in 0..100 {
        world.get(&format!("/post-{}", word(n)));
        for m in 0..100 {
            world.get(&format!("/post-{}?z{m}y={n}", word(n)));
        }
    }
    assert!(world.fetches <= 4 * (1 + 8 + 4) + 96 * (1 + 2 + 4), "{}", world.fetches);
}

fn word(n: u32) -> String {
    let letter = |n: u32| char::from(b'a' + u8::try_from(n % 26).unwrap_or(0));
    format!("{}{}", letter(n / 26), letter(n))
}

#[test]
fn pages_that_differ_in_numbers_alone_are_learned_together() {
    let mut world = plain();
    for n in 0..500 {
        world.get(&format!("/2024/{n}"));
        world.get(&format!("/2024/{n}?q{n}z=1"));
    }
    assert_eq!(world.fetches, 500 + 8 + 4);
}

#[test]
fn in_calm_every_reader_is_answered_by_the_whole_url() {
    let mut world = plain();
    for n in 0..200 {
        world.get("/");
        world.get(&format!("/?u{n}v=1"));
        world.now_s += 120;
    }
    assert_eq!(world.fetches, 400);
}

#[test]
fn a_page_that_is_new_each_time_never_teaches_anything() {
    let mut world = World::new(|_, _, fetch| (200, format!("<p>visit {fetch}</p>")));
    for n in 0..500 {
        world.get("/");
        world.get(&format!("/?q{n}z=1"));
        world.now_s += n % 7;
    }
    assert_eq!(world.stats().learned, 0);
}

#[test]
fn answers_that_speak_of_trouble_teach_nothing() {
    for status in [500, 502, 503, 429] {
        let mut world = World::new(move |_, query, _| {
            if query.is_some() { (status, "trouble".to_owned()) } else { (200, "page".to_owned()) }
        });
        for n in 0..40 {
            world.get("/");
            world.get(&format!("/?q{n}z=1"));
        }
        let stats = world.stats();
        assert_eq!((stats.learned, stats.pinned, stats.records), (0, 0, 0), "{status}");
    }
}

#[test]
fn a_parameter_that_begins_to_matter_is_found_out_and_stays_in_the_key() {
    let mut world = World::new(|_, query, fetch| {
        let changed = fetch > 100 && query.is_some_and(|query| query.contains("zoom"));
        (200, if changed { "<p>near</p>" } else { "<p>far</p>" }.to_owned())
    });
    for n in 0..50 {
        world.get("/");
        world.get(&format!("/?zoom={n}"));
    }
    assert_eq!(world.stats().learned, 1);
    world.fetches = 100;
    // The next one that is let through whole shows it; the page, fetched again, proves it.
    world.now_s += 121;
    world.get("/");
    assert_eq!(world.get("/?zoom=60"), "<p>near</p>");
    assert_eq!(world.stats().unlearned, 1);
    world.now_s += 11;
    world.get("/");
    assert_eq!(world.stats().pinned, 1);
    for n in 100..1_000 {
        assert_eq!(world.get(&format!("/?zoom={n}")), "<p>near</p>");
        assert_eq!(world.get(&format!("/other?zoom={n}")), "<p>near</p>");
        world.get("/other");
        world.now_s += n % 3;
    }
}

#[test]
fn a_page_that_was_edited_under_flood_is_not_held_against_its_parameters() {
    let mut world = World::new(|_, _, fetch| (200, format!("<p>{}</p>", fetch > 100)));
    for n in 0..50 {
        world.get("/");
        world.get(&format!("/?q{n}z=1"));
    }
    world.fetches = 100;
    // Held when it changes; the first that is let through whole already sees the new one.
    world.now_s += 115;
    world.held.clear();
    world.fetches = 99;
    world.get("/");
    world.now_s += 5;
    world.get("/?q100z=1");
    assert_eq!(world.stats().unlearned, 1);
    world.now_s += 11;
    world.get("/");
    let before = world.fetches;
    for n in 200..400 {
        world.get(&format!("/?q{n}z=1"));
    }
    assert_eq!(world.stats().pinned, 0);
    assert!(world.fetches <= before + 4, "{}", world.fetches - before);
}

#[test]
fn what_the_operator_keeps_is_always_asked_for() {
    let mut world = plain();
    world.rules.keep = CookiePatterns::new(["*"]);
    for n in 0..100 {
        world.get("/");
        world.get(&format!("/?q{n}z=1"));
    }
    assert_eq!(world.fetches, 101);
}

#[test]
fn a_name_that_a_page_only_repeats_does_not_count_as_the_sites_own() {
    let mut world = World::new(|_, query, _| {
        let echo = query.map(|query| format!("<a href=\"/?{query}\">here</a>"));
        // Repeated in one place out of two, so that the other can teach.
        (200, echo.unwrap_or_else(|| "<p>page</p>".to_owned()))
    });
    world.get("/");
    world.get("/?q1z=1");
    assert_eq!(world.stats().names, 0);
}

#[test]
fn memory_stays_bounded_whatever_is_asked() {
    let mut world = World::new(|path, query, _| (200, format!("{path}{}", query.is_some())));
    for n in 0..5_000 {
        world.get(&format!("/{}{}", word(n), word(n * 7)));
        world.get(&format!("/{}{}?q{n}z={n}", word(n), word(n * 7)));
        world.now_s += 1;
    }
    let stats = world.stats();
    assert!(stats.records <= 256 && stats.evicted > 0, "{stats:?}");
}

/// One step of a history: which page, what kind of request, a number, seconds that pass.
type Step = (usize, u8, u32, u64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0usize..4, 0u8..10, any::<u32>(), 0u64..4), 1..1_500)
}

const PATHS: [&str; 4] = ["/", "/search", "/2024/05/17", "/item.php"];
/// The last is linked nowhere, but common.
const SIGNIFICANT: [&str; 5] = ["edition", "sorting", "s", "zoomlevel", "paged"];

fn target((path, kind, number, _): Step) -> String {
    let path = PATHS[path];
    let value = number % 50;
    let name = SIGNIFICANT[number as usize % SIGNIFICANT.len()];
    match kind {
        0..=1 => path.to_owned(),
        2 => format!("{path}?{name}={value}"),
        3 => format!("{path}?x{number:x}q=1&{name}={value}"),
        4 => format!("{path}?{name}={value}&s=term{value}&k{number:x}j"),
        5 => format!("{path}?{name}={value}&fbclid={number}"),
        6 => format!("{path}?{number}"),
        7 => format!("{path}?rand={number}"),
        _ => format!("{path}?x{number:x}q={number}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Floods of unknown names and values between readers who use what the site looks at: each gets
    /// the page of his own URL.
    #[test]
    fn nobody_gets_the_page_of_another_value(steps in steps()) {
        let mut world = World::new(|path, query, _| (200, page(&SIGNIFICANT[..4], path, query)));
        let truth = |path: &str, query: Option<&str>| page(&SIGNIFICANT[..4], path, query);
        // Pagination is not linked; it is common, and it matters.
        let all = |path: &str, query: Option<&str>| {
            let paged = query.unwrap_or_default().split('&').find(|pair| pair.starts_with("paged="));
            format!("{}{}", truth(path, query), paged.unwrap_or_default())
        };
        world.site = Box::new(move |path, query, _| {
            let paged = query.unwrap_or_default().split('&').find(|pair| pair.starts_with("paged="));
            let page = page(&SIGNIFICANT[..4], path, query);
            (200, format!("{page}{}", paged.unwrap_or_default()))
        });
        // Every page was read once: the site's own names are known from it.
        for path in PATHS {
            world.get(path);
        }
        for step in steps {
            world.now_s += step.3;
            let target = target(step);
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&*target, None),
            };
            prop_assert_eq!(world.get(&target), all(path, query), "{}", target);
        }
    }

    /// The same under a clock that jumps back and forth by any amount.
    #[test]
    fn a_clock_that_jumps_gets_nobody_the_page_of_another_value(
        steps in steps(),
        jumps in prop::collection::vec(prop_oneof![0u64..100, any::<u32>().prop_map(u64::from)], 1..20),
    ) {
        let mut world = World::new(|path, query, _| (200, page(&SIGNIFICANT[..4], path, query)));
        for path in PATHS {
            world.get(path);
        }
        for (turn, step) in steps.into_iter().enumerate() {
            // Some time under each clock, so that something is learned as well.
            if turn % 75 == 0 {
                world.now_s = jumps[turn / 75 % jumps.len()];
            }
            world.now_s += step.3;
            let target = target(step);
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&*target, None),
            };
            prop_assert_eq!(world.get(&target), page(&SIGNIFICANT[..4], path, query), "{}", target);
        }
    }

    /// A site that looks at everything: nothing is ever learned, and nobody gets another page.
    #[test]
    fn a_site_that_looks_at_everything_is_left_alone(steps in steps()) {
        let answer = |path: &str, query: Option<&str>| format!("{path} {}", query.unwrap_or("-"));
        let mut world = World::new(move |path, query, _| (200, answer(path, query)));
        world.rules.ignore = CookiePatterns::default();
        for step in steps {
            world.now_s += step.3;
            let target = target(step);
            let (path, query) = match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (&*target, None),
            };
            prop_assert_eq!(world.get(&target), answer(path, query));
        }
        prop_assert_eq!(world.stats().learned, 0);
    }
}

#[test]
fn a_url_counts_as_unclear_for_names_that_nobody_vouches_for_and_for_no_others() {
    let mut world = plain();
    // The page links to `edition`.
    world.get("/");
    let many = |name: &str| (0..80).map(|n| format!("{name}{n}=1")).collect::<Vec<_>>().join("&");
    let is_unclear = |query: &str| {
        let key = Key::from_url(&format!("https://example.org/?{query}")).expect("a URL");
        let now = Instant::from_nanos(1_000_000_000_000);
        match world.learner.judge(now, &world.rules, &key) {
            Verdict::Whole => false,
            Verdict::Unclear | Verdict::Watch(_) => true,
            Verdict::Ignore(_) => panic!("nothing was learned"),
        }
    };
    for query in [
        "",
        "page=2",
        "edition=3&page=2",
        "q=a;b",
        "page=2;edition=3",
        &"page=2&".repeat(80)[..559],
    ] {
        assert!(!is_unclear(query), "{query}");
    }
    for query in ["x1z=1", "x1z=1;page=2", "page=2;x1z=1", "edition=3;x1z=1", "x1z", &many("x")] {
        assert!(is_unclear(query), "{query}");
    }
    let nine = (0..9).map(|n| format!("x{n}z=1")).collect::<Vec<_>>();
    assert!(is_unclear(&nine.join("&")) && is_unclear(&nine.join(";")));
}

/// The same world after a restart, of which `bytes` are kept.
fn restarted(world: &mut World, bytes: &[u8], pause_s: u64) {
    let config = LearnerConfig { seed: [7, 8], ..*world.learner.config() };
    let kept = Learned::from_bytes(bytes).expect("it is whole");
    // The monotonic clock may begin anew.
    world.now_s += pause_s;
    let now = Instant::from_nanos(world.now_s * 1_000_000_000);
    let wall = WallTime::from_unix_secs(world.now_s);
    world.learner = kept.learner("example.org", config, (now, wall));
}

fn taken_down(world: &World) -> Vec<u8> {
    let now = Instant::from_nanos(world.now_s * 1_000_000_000);
    let mut learned = Learned::new([7, 8]);
    learned.put("example.org", &world.learner, (now, WallTime::from_unix_secs(world.now_s)));
    learned.to_bytes()
}

/// A world whose learner has the seed of [`taken_down`], and has learned that unknown names change
/// nothing, that `zoom` does, and that the site uses `edition`.
fn taught() -> World {
    let mut world = World::new(|path, query, _| {
        let zoomed = query.unwrap_or_default().contains("zoom=9");
        (200, page(&["edition"], path, query) + if zoomed { "zoomed" } else { "" })
    });
    let config = LearnerConfig { seed: [7, 8], ..*world.learner.config() };
    world.learner = Learner::new(config);
    world.get("/other");
    for n in 0..8 {
        world.get(&format!("/other?zoom={n}"));
    }
    world.get("/other?zoom=9");
    world.now_s += LIFETIME_S + 1;
    world.get("/other");
    world.get("/");
    for n in 0..20 {
        world.get(&format!("/?x{n}z=1"));
    }
    assert_eq!((world.stats().learned, world.stats().pinned), (2, 1), "{:?}", world.stats());
    world
}

#[test]
fn what_was_learned_holds_after_a_restart() {
    let mut world = taught();
    let bytes = taken_down(&world);
    restarted(&mut world, &bytes, 5);
    assert_eq!(taken_down(&world).len(), bytes.len(), "nothing is lost over a second restart");
    let before = world.fetches;
    for n in 100..200 {
        world.get(&format!("/?x{n}z=1"));
    }
    assert_eq!(world.fetches - before, 4, "as many as look whether it still holds");
    // What matters, and what the site uses, is asked for as it is.
    assert!(world.get("/other?zoom=9").ends_with("zoomed"));
    assert!(world.get("/?edition=3").contains("edition=3"));
}

#[test]
fn what_changed_while_the_process_was_away_is_found_out() {
    let mut world = taught();
    let bytes = taken_down(&world);
    restarted(&mut world, &bytes, 5);
    world.site = Box::new(|path, query, _| {
        (200, page(&["edition"], path, query) + query.unwrap_or_default())
    });
    for n in 100..200 {
        let target = format!("/?x{n}z=1");
        assert!(world.get(&target).ends_with(&target[2..]), "{target}");
    }
}

#[test]
fn what_is_kept_is_bounded_and_anything_damaged_is_refused() {
    let world = taught();
    let bytes = taken_down(&world);
    for len in 0..bytes.len() {
        assert!(Learned::from_bytes(&bytes[..len]).is_none(), "{len}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Learned::from_bytes(&damaged).is_none(), "{at}");
    }
    // Another site, another seed: nothing is known.
    let kept = Learned::from_bytes(&bytes).expect("it is whole");
    let now = (Instant::from_nanos(1), WallTime::from_unix_secs(1));
    let config = *world.learner.config();
    for (site, seed) in [("other.example", [7, 8]), ("example.org", [7, 9])] {
        let learner = kept.learner(site, LearnerConfig { seed, ..config }, now);
        assert_eq!(learner.stats().records, 0, "{site}");
    }
    // Smaller bounds hold.
    let small = LearnerConfig { seed: [7, 8], max_records: 16, max_names: 16, ..config };
    let stats = kept.learner("example.org", small, now).stats();
    assert!(stats.records <= 16 && stats.names <= 16, "{stats:?}");
}
