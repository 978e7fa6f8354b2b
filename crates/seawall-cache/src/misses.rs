//! Which unknown paths of a site are probably made up, learned from its answers 404 and 410.
//!
//! A flood of random paths misses the cache every time. Its requests look like each other: so deep,
//! such a last segment, such an ending. Where more than nine in ten of the answers to requests of
//! one shape were 404 lately, one more path of that shape that nobody has seen is doubtful, and the
//! caller should let it wait for capacity that nobody else wants. A path that answered with a page
//! before, or that a page of the site leads to, is not doubtful, and its answers do not count: however
//! many readers the site has, they do not hide what is made up among its own paths. Shapes are few and
//! fixed, so nobody can fill a table with them.
//!
//! URLs with a query are judged apart, by the same path: their answers may be about a parameter, so they
//! say nothing of URLs without one. Redirects and refusals say nothing at all: many sites send them for
//! whatever is asked for.
//!
//! How many answers that takes depends on how many such paths are asked for: a crawler with an old
//! map of the site is borne with for longer than thousands who want what nobody has seen. Either way
//! one good answer in ten ends the doubt, so paths that are there are never in it for long.
//!
//! While most of what an origin is asked for is doubtful, it gets a small part of these
//! ([`MadeUpLimits`]): spare capacity would otherwise be the flood's to the last permit.
//!
//! A caller asks [`Misses::judge`] when a request comes, [`Misses::may_wait`] before a doubtful one
//! takes a place in a queue, and [`Misses::is_doubtful`] and [`Misses::lets_ask`] when its turn has
//! come: what came before the doubt must not reach the origin after it.
//!
//! It does **not** fetch or read a clock.

use std::hash::Hasher;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{Instant, MadeUpLimits};
use siphasher::sip::SipHasher13;

use crate::entry::Entry;
use crate::head::StoredHead;
use crate::key::Key;
use crate::learn::is_text;
use crate::links;

/// What is known about one site's misses. About 15 KB, and 32 bytes for each known path.
pub struct Misses {
    state: Mutex<State>,
    limits: MadeUpLimits,
    seed: [u64; 2],
}

struct State {
    /// Those of URLs without a query, then those of the others.
    shapes: Box<[Shape]>,
    /// Paths that answered without a query.
    plain: Marks,
    /// Paths that answered with one: a stranger may choose them.
    queried: Marks,
    /// Paths that a page leads to. They must not displace those that answered.
    linked: Marks,
    /// Pages whose links were read since the start.
    read: Marks,
    asked: Asked,
}

/// Hashes of paths and their hosts, each in its one place: a newer one displaces it.
struct Marks(Box<[u64]>);

/// A URL as far as it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The host with its port, as in a [`Key`].
    pub host: &'a str,
    /// The path.
    pub path: &'a [u8],
    /// Whether there is a query.
    pub has_query: bool,
}

impl<'a> From<&'a Key> for Asking<'a> {
    fn from(key: &'a Key) -> Self {
        Self { host: key.host(), path: key.path(), has_query: key.query().is_some() }
    }
}

/// What the origin was to be asked for, halved every [`FLOOD_HALF_LIFE`].
struct Asked {
    /// Ordinary URLs that it was asked for.
    ordinary: f32,
    /// Doubtful ones that came.
    doubtful: f32,
    /// Doubtful ones that may still go, while they are most.
    allowance: f32,
    at: Instant,
}

/// Whether a URL is one that there probably is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credence {
    /// Nothing speaks against it.
    Ordinary,
    /// It is probably made up.
    Doubtful,
}

#[derive(Clone, Copy)]
struct Shape {
    /// Answers, halved every [`HALF_LIFE`].
    all: f32,
    missing: f32,
    at: Instant,
    /// Requests for paths that nobody has seen, halved every [`FLOOD_HALF_LIFE`].
    wanted: f32,
    /// Of its own: where requests are turned away the answers do not fade.
    wanted_at: Instant,
}

impl Misses {
    /// Nothing known yet; of each kind `max_known` paths are remembered at most, and at least one.
    pub fn new(max_known: usize, limits: MadeUpLimits, seed: [u64; 2]) -> Self {
        let began = Instant::from_nanos(0);
        let fresh = Shape { all: 0.0, missing: 0.0, at: began, wanted: 0.0, wanted_at: began };
        let allowance = limits.burst as f32;
        let state = State {
            shapes: vec![fresh; 2 * SHAPES].into(),
            plain: Marks::new(max_known),
            queried: Marks::new(max_known),
            linked: Marks::new(max_known),
            read: Marks::new(max_known),
            asked: Asked { ordinary: 0.0, doubtful: 0.0, allowance, at: began },
        };
        Self { state: Mutex::new(state), limits, seed }
    }

    /// Takes note of a request for `url`, of which nothing is held, and says whether it is probably
    /// for nothing. O(path).
    pub fn judge(&self, now: Instant, url: Asking<'_>) -> Credence {
        let (shape, mark) = (shape_of(url), self.mark(url));
        let mut state = self.state.lock();
        if state.knows(mark, url.has_query) {
            return Credence::Ordinary;
        }
        let shape = &mut state.shapes[shape];
        shape.wanted = shape.wanted_by(now) + 1.0;
        shape.wanted_at = now.max(shape.wanted_at);
        shape.at(now).credence(&self.limits)
    }

    /// The same for one that was taken note of before: much may have been answered while it waited.
    pub fn is_doubtful(&self, now: Instant, url: Asking<'_>) -> bool {
        let (shape, mark) = (shape_of(url), self.mark(url));
        let state = self.state.lock();
        let shape = state.shapes[shape].at(now);
        shape.credence(&self.limits) == Credence::Doubtful && !state.knows(mark, url.has_query)
    }

    /// Takes note that a doubtful URL is asked for, and says whether it is worth a place in a queue:
    /// none is that would be turned away at its end.
    pub fn may_wait(&self, now: Instant, url: Asking<'_>) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.asked.pass(now, &self.limits);
        state.asked.doubtful += 1.0;
        let shape = &mut state.shapes[shape_of(url)];
        if !state.asked.is_flood(shape.wanted_by(now), &self.limits) || state.asked.allowance >= 1.0
        {
            return true;
        }
        *shape = shape.kept_in_doubt(now);
        false
    }

    /// Whether the origin may be asked now, when it has room: always for an ordinary URL, and for a
    /// doubtful one unless there is a flood of those. Takes note of it.
    pub fn lets_ask(&self, now: Instant, url: Asking<'_>, credence: Credence) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let asked = &mut state.asked;
        asked.pass(now, &self.limits);
        if credence == Credence::Ordinary {
            asked.ordinary += 1.0;
            asked.allow(self.limits.part_percent as f32 / 100.0, &self.limits);
            return true;
        }
        let shape = &mut state.shapes[shape_of(url)];
        if !asked.is_flood(shape.wanted_by(now), &self.limits) {
            return true;
        }
        if asked.allowance >= 1.0 {
            asked.allowance -= 1.0;
            return true;
        }
        *shape = shape.kept_in_doubt(now);
        false
    }

    /// Whether somebody who asks by a made-up URL for a page that is held, and may be served for a
    /// while yet, is reason enough to fetch it anew. Takes note of it.
    pub fn lets_refresh(&self, now: Instant) -> bool {
        let asked = &mut self.state.lock().asked;
        asked.pass(now, &self.limits);
        asked.doubtful += 1.0;
        !asked.is_flood(0.0, &self.limits)
    }

    /// Whether a doubtful URL would be let now.
    pub fn has_room(&self, now: Instant) -> bool {
        let asked = &mut self.state.lock().asked;
        asked.pass(now, &self.limits);
        asked.allowance >= 1.0 || !asked.is_flood(0.0, &self.limits)
    }

    /// Takes note of the origin's answer to a request for `url`. Only a page tells that something is
    /// there, and 304 of one, and only 404 and 410 that nothing is.
    pub fn answered(&self, now: Instant, url: Asking<'_>, status: u16) {
        let is_missing = match status {
            200..=299 | 304 => false,
            404 | 410 => true,
            _ => return,
        };
        let mark = self.mark(url);
        let mut state = self.state.lock();
        let is_known = state.knows(mark, url.has_query);
        state.learn(mark, url.has_query, is_missing);
        if is_known {
            return;
        }
        let shape = &mut state.shapes[shape_of(url)];
        *shape = shape.at(now);
        shape.all += 1.0;
        if is_missing {
            shape.missing += 1.0;
        }
    }

    /// Takes note of a page that the site sent for everybody: what it leads to is probably there. One
    /// pass over it, before the lock is taken; 0.1 ms for 100 KB. Nothing is read of a page that was
    /// asked for with a query: what a stranger made up may stand in it.
    pub fn sent(&self, key: &Key, head: &StoredHead, body: &[u8]) {
        if !may_lead(key, head) {
            return;
        }
        let mut marks = Vec::new();
        links::each(key, body, &mut |link| marks.push(self.mark(link.into())));
        let mut state = self.state.lock();
        state.read.add(self.mark(key.into()));
        marks.into_iter().for_each(|mark| state.linked.add(mark));
    }

    /// The same for a page that came from disk, if none was sent for its URL since the start. **Blocks**
    /// while it is unpacked: milliseconds for a large one, so once for each.
    pub fn loaded(&self, entry: &Entry) {
        let (key, head) = (&entry.key, &entry.head);
        if !may_lead(key, head) || self.state.lock().read.has(self.mark(key.into())) {
            return;
        }
        if let Some(body) = entry.content(MAX_UNPACKED_BYTES) {
            self.sent(key, head, &body);
        }
    }

    /// Of host and path: what is there on one host of the site need not be on another.
    fn mark(&self, url: Asking<'_>) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(url.host.as_bytes());
        // No host holds a slash, and each path of a key begins with one.
        hasher.write(url.path);
        // 0 is an empty place.
        hasher.finish().max(1)
    }
}

impl std::fmt::Debug for Misses {
    // Paths are what people read.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Misses").finish_non_exhaustive()
    }
}

impl State {
    fn knows(&self, mark: u64, has_query: bool) -> bool {
        self.plain.has(mark) || self.linked.has(mark) || has_query && self.queried.has(mark)
    }

    /// Where a parameter is not there the path may be.
    fn learn(&mut self, mark: u64, has_query: bool, is_missing: bool) {
        match (has_query, is_missing) {
            (false, false) => self.plain.add(mark),
            (true, false) => self.queried.add(mark),
            (true, true) => self.queried.remove(mark),
            (false, true) => {
                self.plain.remove(mark);
                self.linked.remove(mark);
            }
        }
    }
}

impl Marks {
    fn new(places: usize) -> Self {
        Self(vec![0; places.max(1)].into())
    }

    fn has(&self, mark: u64) -> bool {
        self.0[place(mark, self.0.len())] == mark
    }

    fn add(&mut self, mark: u64) {
        let place = place(mark, self.0.len());
        self.0[place] = mark;
    }

    fn remove(&mut self, mark: u64) {
        if self.has(mark) {
            let place = place(mark, self.0.len());
            self.0[place] = 0;
        }
    }
}

impl Asked {
    fn pass(&mut self, now: Instant, limits: &MadeUpLimits) {
        let passed = now.saturating_since(self.at).as_secs_f32();
        let left = (-passed / FLOOD_HALF_LIFE.as_secs_f32()).exp2();
        self.ordinary *= left;
        self.doubtful *= left;
        self.allow(passed * limits.rate.0 as f32, limits);
        self.at = now.max(self.at);
    }

    fn allow(&mut self, more: f32, limits: &MadeUpLimits) {
        self.allowance = (self.allowance + more).min(limits.burst as f32);
    }

    /// Whether doubtful URLs are a flood, `wanted` of which came before there was a doubt.
    fn is_flood(&self, wanted: f32, limits: &MadeUpLimits) -> bool {
        let doubtful = self.doubtful.max(wanted);
        doubtful >= limits.flood as f32 && doubtful >= 2.0 * self.ordinary
    }
}

impl Shape {
    fn credence(&self, limits: &MadeUpLimits) -> Credence {
        let is_flooded = self.wanted >= limits.flood as f32;
        let needed =
            if is_flooded { limits.min_answers_in_flood } else { limits.min_answers } as f32;
        // They fade from the moment they come, so that the last of them would never be whole.
        let are_enough = self.all >= needed - 0.5;
        if are_enough && self.missing > self.all * SHARE {
            return Credence::Doubtful;
        }
        Credence::Ordinary
    }

    fn at(self, now: Instant) -> Self {
        let passed = now.saturating_since(self.at).as_secs_f32();
        let left = (-passed / HALF_LIFE.as_secs_f32()).exp2();
        Self {
            all: self.all * left,
            missing: self.missing * left,
            at: now.max(self.at),
            wanted: self.wanted_by(now),
            wanted_at: now.max(self.wanted_at),
        }
    }

    fn wanted_by(self, now: Instant) -> f32 {
        let passed = now.saturating_since(self.wanted_at).as_secs_f32();
        self.wanted * (-passed / FLOOD_HALF_LIFE.as_secs_f32()).exp2()
    }

    /// The same at a later time, when such a request was turned away. No answer comes of that one, and
    /// without answers the doubt would be forgotten while the flood goes on.
    fn kept_in_doubt(self, now: Instant) -> Self {
        let faded = self.at(now);
        if self.missing <= self.all * SHARE || faded.all >= KEPT_ANSWERS {
            return faded;
        }
        let share = self.missing / self.all;
        let all = KEPT_ANSWERS.min(self.all);
        Self { all, missing: all * share, ..faded }
    }
}

/// Fast enough to see a flood in seconds, slow enough to remember it through a pause.
const HALF_LIFE: Duration = Duration::from_secs(30);
/// Short, so that a flood is bounded at once and one that has ended is forgiven soon.
const FLOOD_HALF_LIFE: Duration = Duration::from_secs(3);
/// What a shape in doubt does not fade below while such requests are turned away: a third above what
/// doubt needs without a flood, for it to last through ten seconds between two of them.
const KEPT_ANSWERS: f32 = 26.0;
/// How many of them must have been 404.
const SHARE: f32 = 0.9;

/// Larger pages are not unpacked for their links.
const MAX_UNPACKED_BYTES: u64 = 2 * 1024 * 1024;

const DEPTHS: usize = 6;
const CLASSES: usize = 4;
const ENDINGS: usize = 10;
const SHAPES: usize = DEPTHS * CLASSES * ENDINGS;

/// Depth, the kind of the last segment, the ending, of which the usual ones are told apart, and whether
/// there is a query. Not the host, of which a site may have any number.
fn shape_of(url: Asking<'_>) -> usize {
    let path = url.path;
    let last = path.rsplit(|&byte| byte == b'/').find(|segment| !segment.is_empty());
    let last = last.unwrap_or_default();
    let slashes = path.iter().filter(|&&byte| byte == b'/').count();
    let depth = slashes.clamp(1, DEPTHS) - 1;
    let dot = last.iter().rposition(|&byte| byte == b'.').unwrap_or(last.len());
    let (stem, ending) = last.split_at(dot);
    let class = match stem {
        [] => 0,
        _ if stem.iter().all(u8::is_ascii_digit) => 1,
        _ if stem.iter().any(u8::is_ascii_digit) => 2,
        _ => 3,
    };
    let ending = match ending {
        b"" => 0,
        b".html" | b".htm" => 1,
        b".php" => 2,
        b".css" => 3,
        b".js" | b".mjs" => 4,
        b".jpg" | b".jpeg" | b".png" | b".gif" | b".webp" | b".avif" | b".svg" | b".ico" => 5,
        b".woff" | b".woff2" | b".ttf" => 6,
        b".xml" | b".json" | b".txt" => 7,
        b".pdf" | b".zip" | b".mp4" | b".mp3" => 8,
        _ => 9,
    };
    (depth * CLASSES + class) * ENDINGS + ending + usize::from(url.has_query) * SHAPES
}

/// Whether there may be links of the site in a page, that it wrote itself.
fn may_lead(key: &Key, head: &StoredHead) -> bool {
    let is_encoded = head.headers.contains_key("content-encoding");
    head.status == 200 && key.query().is_none() && !is_encoded && is_text(head)
}

fn place(mark: u64, places: usize) -> usize {
    (mark % places as u64) as usize
}

#[cfg(test)]
mod tests {
    use seawall_model::{Instant, MadeUpLimits};

    use super::{Asking, Credence, Misses};

    fn fresh(max_known: usize, seed: u64) -> Misses {
        Misses::new(max_known, MadeUpLimits::default(), [seed, 2])
    }

    fn url(text: &str) -> Asking<'_> {
        let path = text.split('?').next().unwrap_or_default();
        Asking { host: "example.org", path: path.as_bytes(), has_query: path != text }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn flooded() -> Misses {
        let misses = fresh(64, 1);
        misses.answered(at(100), url("/about"), 200);
        for n in 0..100 {
            misses.answered(at(100), url(&format!("/{}", "ab".repeat(n + 1))), 404);
        }
        misses
    }

    #[test]
    fn paths_like_those_that_were_all_missing_are_doubtful_and_no_others() {
        let misses = flooded();
        for (path, want) in [
            ("/unknown", true),
            ("/unknown/", false),
            ("/about", false),
            ("/", false),
            ("/2024", false),
            ("/x.php", false),
            ("/a/unknown", false),
            ("", false),
        ] {
            assert_eq!(misses.is_doubtful(at(101), url(path)), want, "{path}");
        }
    }

    #[test]
    fn doubt_ends_when_the_flood_ends_or_answers_are_good_again() {
        let misses = flooded();
        assert!(misses.is_doubtful(at(120), url("/unknown")));
        assert!(!misses.is_doubtful(at(300), url("/unknown")));
        for n in 0..20 {
            misses.answered(at(101), url(&format!("/new{}", "x".repeat(n + 1))), 200);
            misses.answered(at(101), url(&format!("/{}", "x".repeat(n + 1))), 200);
        }
        assert!(!misses.is_doubtful(at(101), url("/unknown")));
    }

    #[test]
    fn a_page_that_is_gone_is_no_longer_known_and_errors_say_nothing() {
        let misses = flooded();
        misses.answered(at(101), url("/about"), 503);
        assert!(!misses.is_doubtful(at(101), url("/about")));
        misses.answered(at(101), url("/about"), 410);
        assert!(misses.is_doubtful(at(101), url("/about")));
        let troubled = fresh(64, 1);
        for _ in 0..1_000 {
            troubled.answered(at(1), url("/x"), 502);
            troubled.answered(at(1), url("/x"), 429);
        }
        assert!(!troubled.is_doubtful(at(1), url("/y")));
    }

    #[test]
    fn parameters_that_answer_hide_no_flood_of_made_up_paths() {
        let misses = fresh(64, 1);
        for n in 0..100 {
            let path = format!("/{}", "ab".repeat(n + 1));
            let has_parameter = n % 5 == 0;
            let (asked, status) =
                if has_parameter { (format!("{path}?rest_route=/"), 200) } else { (path, 404) };
            misses.answered(at(100), url(&asked), status);
        }
        assert!(misses.is_doubtful(at(100), url("/unknown")));
        assert!(misses.is_doubtful(at(100), url(&format!("/{}", "ab".repeat(6)))), "as itself");
    }

    #[test]
    fn a_parameter_that_is_not_there_takes_no_page_away() {
        let misses = flooded();
        misses.answered(at(100), url("/about?p=999999999"), 404);
        assert!(!misses.is_doubtful(at(100), url("/about")));
        assert!(!misses.is_doubtful(at(100), url("/about?p=1")), "a parameter of a known page");
        for n in 0..1_000 {
            misses.answered(at(100), url(&format!("/?p={n}")), 404);
        }
        assert!(!misses.is_doubtful(at(100), url("/")));
    }

    #[test]
    fn made_up_paths_with_a_parameter_are_judged_by_each_other() {
        let misses = fresh(64, 1);
        misses.answered(at(100), url("/search?q=word"), 200);
        for n in 0..100 {
            misses.answered(at(100), url(&format!("/{}?p=1", "ab".repeat(n + 1))), 404);
        }
        for (path, want) in [("/x?p=1", true), ("/x", false), ("/search?q=other", false)] {
            assert_eq!(misses.is_doubtful(at(100), url(path)), want, "{path}");
        }
    }

    #[test]
    fn redirects_and_refusals_hide_nothing_and_displace_nothing() {
        let misses = fresh(1, 1);
        misses.answered(at(100), url("/about"), 200);
        for n in 0..200 {
            let path = format!("/{}", "ab".repeat(n + 1));
            let status = [404, 301, 302, 307, 308, 401, 403, 400][n % 8];
            misses.answered(at(100), url(&path), status);
            assert!(!misses.is_doubtful(at(100), url("/about")), "{n}");
        }
        assert!(misses.is_doubtful(at(100), url("/unknown")));
    }

    #[test]
    fn a_page_of_one_host_is_not_known_on_another() {
        let misses = flooded();
        let elsewhere = Asking { host: "other.example.org", ..url("/about") };
        assert!(misses.is_doubtful(at(100), elsewhere));
        misses.answered(at(100), elsewhere, 404);
        assert!(!misses.is_doubtful(at(100), url("/about")));
    }

    #[test]
    fn a_flood_of_doubtful_urls_gets_three_in_a_hundred_and_little_more() {
        let misses = fresh(64, 1);
        let (mut ordinary, mut doubtful) = (0, 0);
        for second in 0..60u64 {
            for turn in 0..1_000 {
                let now = at(100 + second) + std::time::Duration::from_millis(turn);
                let is_let = misses.may_wait(now, url("/x"))
                    && misses.lets_ask(now, url("/x"), Credence::Doubtful);
                doubtful += u32::from(is_let);
                if turn % 50 == 0 {
                    ordinary += u32::from(misses.lets_ask(now, url("/x"), Credence::Ordinary));
                }
            }
        }
        assert_eq!(ordinary, 1_200, "others are never refused");
        // The 150 that show the flood, 4 at once, 6 for the minute, 36 for the others.
        assert!((180..=200).contains(&doubtful), "{doubtful}");
    }

    #[test]
    fn doubtful_urls_go_while_they_are_few_or_less_than_the_others() {
        let go = |misses: &Misses, second: u64| {
            misses.may_wait(at(second), url("/x"))
                && misses.lets_ask(at(second), url("/x"), Credence::Doubtful)
        };
        for (doubtful, ordinary) in [(30, 0), (200, 110)] {
            let misses = fresh(64, 1);
            for second in 0..120 {
                for _ in 0..ordinary {
                    assert!(misses.lets_ask(at(second), url("/x"), Credence::Ordinary));
                }
                for _ in 0..doubtful {
                    assert!(go(&misses, second), "{second}");
                }
            }
        }
        let misses = fresh(64, 1);
        while go(&misses, 1) {}
        assert!(go(&misses, 121), "the flood is over");
    }

    #[test]
    fn what_waited_when_the_flood_was_seen_is_not_asked_for() {
        let misses = fresh(64, 1);
        for _ in 0..149 {
            assert!(misses.may_wait(at(1), url("/x")));
        }
        assert!(misses.lets_ask(at(1), url("/x"), Credence::Doubtful));
        assert!(misses.may_wait(at(1), url("/x")), "some of them may go yet");
        let went =
            (0..150).filter(|_| misses.lets_ask(at(1), url("/x"), Credence::Doubtful)).count();
        assert_eq!(went, 4);
        assert!(!misses.may_wait(at(1), url("/x")));
    }

    #[test]
    fn the_more_ask_for_what_nobody_has_seen_the_fewer_answers_tell() {
        for (wanted, needed) in [(0, 20), (100, 20), (150, 6), (10_000, 6)] {
            let misses = fresh(64, 1);
            for n in 0..wanted {
                let path = format!("/{}", "w".repeat(n % 500 + 1));
                assert_eq!(misses.judge(at(1), url(&path)), Credence::Ordinary);
            }
            let mut answers = 0;
            while !misses.is_doubtful(at(1), url("/unknown")) {
                misses.answered(at(1), url("/missing"), 404);
                answers += 1;
            }
            assert_eq!(answers, needed, "{wanted}");
            misses.answered(at(1), url("/a"), 200);
            misses.answered(at(1), url("/b"), 200);
            misses.answered(at(1), url("/c"), 200);
            assert!(!misses.is_doubtful(at(1), url("/unknown")), "{wanted}: good ones end it");
        }
    }

    #[test]
    fn who_asks_by_a_made_up_url_has_pages_made_anew_but_not_in_a_flood() {
        let misses = fresh(64, 1);
        let refreshed = (0..10_000).filter(|_| misses.lets_refresh(at(1))).count();
        assert_eq!(refreshed, 149);
        assert!(misses.has_room(at(1)), "what is let in a flood is none of its business");
        while misses.lets_ask(at(1), url("/x"), Credence::Doubtful) {}
        assert!(!misses.has_room(at(1)));
        assert!(misses.lets_refresh(at(60)) && misses.has_room(at(60)), "the flood is over");
    }

    #[test]
    fn a_long_flood_of_random_paths_stays_in_doubt() {
        let misses = fresh(64, 1);
        let (mut taken_for_real, mut asked) = (0, 0);
        for turn in 0..60_000u32 {
            let now = at(100) + std::time::Duration::from_millis(u64::from(turn) * 10);
            let word: String = turn.to_string().bytes().map(|b| char::from(b + 49)).collect();
            let path = format!("/{word}");
            let path = url(&path);
            let credence = misses.judge(now, path);
            let is_doubtful = credence == Credence::Doubtful;
            taken_for_real += u32::from(!is_doubtful);
            if (!is_doubtful || misses.may_wait(now, path)) && misses.lets_ask(now, path, credence)
            {
                asked += 1;
                misses.answered(now, path, 404);
            }
        }
        assert!(taken_for_real <= 22, "{taken_for_real}: those from which the shape was learned");
        // Besides: those of 1.8 s that show the flood, four at once, and one in ten seconds.
        assert!(asked < 22 + 180 + 4 + 65, "{asked} in ten minutes");
        assert!(
            !misses.is_doubtful(at(100 + 600 + 60), url("/unknown")),
            "and it is over in a minute"
        );
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let misses = flooded();
        assert!(misses.is_doubtful(at(50), url("/unknown")));
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let (known, ours) = (fresh(1_024, 1), fresh(1_024, 3));
        let of = |misses: &Misses, key: u64| {
            super::place(misses.mark(url(&format!("/page-{key}"))), 1_024) as u64
        };
        crate::adversary::check_spread(|key| of(&known, key), |key| of(&ours, key));
    }

    #[test]
    fn memory_is_fixed_and_any_path_has_a_shape() {
        let misses = fresh(0, 1);
        for n in 0..20_000usize {
            let path = format!("{}{n:x}.{}", "/".repeat(n % 40), "e".repeat(n % 12));
            misses.answered(at(1), url(&path), if n % 2 == 0 { 404 } else { 200 });
            misses.is_doubtful(at(1), url(&path));
        }
        assert_eq!(misses.state.lock().plain.0.len(), 1);
    }
}
