//! Which unknown paths of a site are probably made up, learned from its answers 404 and 410.
//!
//! A flood of random paths misses the cache every time. Its requests look like each other: so deep,
//! such a last segment, such an ending. Where more than nine in ten of the answers to requests of
//! one shape were 404 lately, one more path of that shape that nobody has seen is doubtful, and the
//! caller should let it wait for capacity that nobody else wants. A path that answered otherwise
//! before, or that a page of the site leads to, is never doubtful, and its answers do not count: however
//! many readers the site has, they do not hide what is made up among its own paths. Shapes are few and fixed, so nobody can fill a table with them.
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

use crate::head::StoredHead;
use crate::key::Key;
use crate::learn::is_text;
use crate::links;

/// What is known about one site's misses. About 4 KB, and 8 bytes for each known path.
pub struct Misses {
    state: Mutex<State>,
    limits: MadeUpLimits,
    seed: [u64; 2],
}

struct State {
    shapes: Box<[Shape]>,
    /// Hashes of paths that answered something else than 404 or are linked, each in its one place: a
    /// newer one displaces it.
    known: Box<[u64]>,
    asked: Asked,
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
    /// Nothing known yet; `max_known` paths are remembered at most, and at least one.
    pub fn new(max_known: usize, limits: MadeUpLimits, seed: [u64; 2]) -> Self {
        let began = Instant::from_nanos(0);
        let fresh = Shape { all: 0.0, missing: 0.0, at: began, wanted: 0.0, wanted_at: began };
        let allowance = limits.burst as f32;
        let state = State {
            shapes: vec![fresh; DEPTHS * CLASSES * ENDINGS].into(),
            known: vec![0; max_known.max(1)].into(),
            asked: Asked { ordinary: 0.0, doubtful: 0.0, allowance, at: began },
        };
        Self { state: Mutex::new(state), limits, seed }
    }

    /// Takes note of a request for `path`, of which nothing is held, and says whether it is probably
    /// for nothing. O(path).
    pub fn judge(&self, now: Instant, path: &[u8]) -> Credence {
        let (shape, mark) = (shape_of(path), self.mark(path));
        let mut state = self.state.lock();
        if state.knows(mark) {
            return Credence::Ordinary;
        }
        let shape = &mut state.shapes[shape];
        shape.wanted = shape.wanted_by(now) + 1.0;
        shape.wanted_at = now.max(shape.wanted_at);
        shape.at(now).credence(&self.limits)
    }

    /// The same for one that was taken note of before: much may have been answered while it waited.
    pub fn is_doubtful(&self, now: Instant, path: &[u8]) -> bool {
        let (shape, mark) = (shape_of(path), self.mark(path));
        let state = self.state.lock();
        let shape = state.shapes[shape].at(now);
        shape.credence(&self.limits) == Credence::Doubtful && !state.knows(mark)
    }

    /// Takes note that a doubtful URL is asked for, and says whether it is worth a place in a queue:
    /// none is that would be turned away at its end.
    pub fn may_wait(&self, now: Instant, path: &[u8]) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        state.asked.pass(now, &self.limits);
        state.asked.doubtful += 1.0;
        let shape = &mut state.shapes[shape_of(path)];
        if !state.asked.is_flood(shape.wanted_by(now), &self.limits) || state.asked.allowance >= 1.0
        {
            return true;
        }
        *shape = shape.kept_in_doubt(now);
        false
    }

    /// Whether the origin may be asked now, when it has room: always for an ordinary URL, and for a
    /// doubtful one unless there is a flood of those. Takes note of it.
    pub fn lets_ask(&self, now: Instant, path: &[u8], url: Credence) -> bool {
        let mut state = self.state.lock();
        let state = &mut *state;
        let asked = &mut state.asked;
        asked.pass(now, &self.limits);
        if url == Credence::Ordinary {
            asked.ordinary += 1.0;
            asked.allow(self.limits.part_percent as f32 / 100.0, &self.limits);
            return true;
        }
        let shape = &mut state.shapes[shape_of(path)];
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

    /// Takes note of the origin's answer to a request for `path`. Errors of the origin and limits of
    /// its own say nothing.
    pub fn answered(&self, now: Instant, path: &[u8], status: u16) {
        if status >= 500 || matches!(status, 408 | 425 | 429) {
            return;
        }
        let is_missing = matches!(status, 404 | 410);
        let mark = self.mark(path);
        let mut state = self.state.lock();
        let place = place(mark, state.known.len());
        if state.known[place] == mark {
            if is_missing {
                state.known[place] = 0;
            }
            return;
        }
        if !is_missing {
            state.known[place] = mark;
        }
        let shape = &mut state.shapes[shape_of(path)];
        *shape = shape.at(now);
        shape.all += 1.0;
        if is_missing {
            shape.missing += 1.0;
        }
    }

    /// Takes note of a page that the site sent for everybody: what it leads to is probably there. One
    /// pass over it, before the lock is taken; 0.1 ms for 100 KB.
    pub fn sent(&self, key: &Key, head: &StoredHead, body: &[u8]) {
        if head.status != 200 || head.headers.contains_key("content-encoding") || !is_text(head) {
            return;
        }
        let mut marks = Vec::new();
        links::each_path(key, body, &mut |path| marks.push(self.mark(path)));
        let mut state = self.state.lock();
        for mark in marks {
            let place = place(mark, state.known.len());
            state.known[place] = mark;
        }
    }

    fn mark(&self, path: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.seed[0], self.seed[1]);
        hasher.write(path);
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
    fn knows(&self, mark: u64) -> bool {
        self.known[place(mark, self.known.len())] == mark
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

const DEPTHS: usize = 6;
const CLASSES: usize = 4;
const ENDINGS: usize = 10;

/// Depth, the kind of the last segment, and the ending, of which the usual ones are told apart.
fn shape_of(path: &[u8]) -> usize {
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
    (depth * CLASSES + class) * ENDINGS + ending
}

fn place(mark: u64, places: usize) -> usize {
    (mark % places as u64) as usize
}

#[cfg(test)]
mod tests {
    use seawall_model::{Instant, MadeUpLimits};

    use super::{Credence, Misses};

    fn fresh(max_known: usize, seed: u64) -> Misses {
        Misses::new(max_known, MadeUpLimits::default(), [seed, 2])
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn flooded() -> Misses {
        let misses = fresh(64, 1);
        misses.answered(at(100), b"/about", 200);
        for n in 0..100 {
            misses.answered(at(100), format!("/{}", "ab".repeat(n + 1)).as_bytes(), 404);
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
            assert_eq!(misses.is_doubtful(at(101), path.as_bytes()), want, "{path}");
        }
    }

    #[test]
    fn doubt_ends_when_the_flood_ends_or_answers_are_good_again() {
        let misses = flooded();
        assert!(misses.is_doubtful(at(120), b"/unknown"));
        assert!(!misses.is_doubtful(at(300), b"/unknown"));
        for n in 0..20 {
            misses.answered(at(101), format!("/new{}", "x".repeat(n + 1)).as_bytes(), 200);
            misses.answered(at(101), format!("/{}", "x".repeat(n + 1)).as_bytes(), 200);
        }
        assert!(!misses.is_doubtful(at(101), b"/unknown"));
    }

    #[test]
    fn a_page_that_is_gone_is_no_longer_known_and_errors_say_nothing() {
        let misses = flooded();
        misses.answered(at(101), b"/about", 503);
        assert!(!misses.is_doubtful(at(101), b"/about"));
        misses.answered(at(101), b"/about", 410);
        assert!(misses.is_doubtful(at(101), b"/about"));
        let troubled = fresh(64, 1);
        for _ in 0..1_000 {
            troubled.answered(at(1), b"/x", 502);
            troubled.answered(at(1), b"/x", 429);
        }
        assert!(!troubled.is_doubtful(at(1), b"/y"));
    }

    #[test]
    fn a_flood_of_doubtful_urls_gets_three_in_a_hundred_and_little_more() {
        let misses = fresh(64, 1);
        let (mut ordinary, mut doubtful) = (0, 0);
        for second in 0..60u64 {
            for turn in 0..1_000 {
                let now = at(100 + second) + std::time::Duration::from_millis(turn);
                let is_let =
                    misses.may_wait(now, b"/x") && misses.lets_ask(now, b"/x", Credence::Doubtful);
                doubtful += u32::from(is_let);
                if turn % 50 == 0 {
                    ordinary += u32::from(misses.lets_ask(now, b"/x", Credence::Ordinary));
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
            misses.may_wait(at(second), b"/x")
                && misses.lets_ask(at(second), b"/x", Credence::Doubtful)
        };
        for (doubtful, ordinary) in [(30, 0), (200, 110)] {
            let misses = fresh(64, 1);
            for second in 0..120 {
                for _ in 0..ordinary {
                    assert!(misses.lets_ask(at(second), b"/x", Credence::Ordinary));
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
            assert!(misses.may_wait(at(1), b"/x"));
        }
        assert!(misses.lets_ask(at(1), b"/x", Credence::Doubtful));
        assert!(misses.may_wait(at(1), b"/x"), "some of them may go yet");
        let went = (0..150).filter(|_| misses.lets_ask(at(1), b"/x", Credence::Doubtful)).count();
        assert_eq!(went, 4);
        assert!(!misses.may_wait(at(1), b"/x"));
    }

    #[test]
    fn the_more_ask_for_what_nobody_has_seen_the_fewer_answers_tell() {
        for (wanted, needed) in [(0, 20), (100, 20), (150, 6), (10_000, 6)] {
            let misses = fresh(64, 1);
            for n in 0..wanted {
                let path = format!("/{}", "w".repeat(n % 500 + 1));
                assert_eq!(misses.judge(at(1), path.as_bytes()), Credence::Ordinary);
            }
            let mut answers = 0;
            while !misses.is_doubtful(at(1), b"/unknown") {
                misses.answered(at(1), b"/missing", 404);
                answers += 1;
            }
            assert_eq!(answers, needed, "{wanted}");
            misses.answered(at(1), b"/a", 200);
            misses.answered(at(1), b"/b", 200);
            misses.answered(at(1), b"/c", 200);
            assert!(!misses.is_doubtful(at(1), b"/unknown"), "{wanted}: good ones end it");
        }
    }

    #[test]
    fn who_asks_by_a_made_up_url_has_pages_made_anew_but_not_in_a_flood() {
        let misses = fresh(64, 1);
        let refreshed = (0..10_000).filter(|_| misses.lets_refresh(at(1))).count();
        assert_eq!(refreshed, 149);
        assert!(misses.has_room(at(1)), "what is let in a flood is none of its business");
        while misses.lets_ask(at(1), b"/x", Credence::Doubtful) {}
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
            let path = path.as_bytes();
            let url = misses.judge(now, path);
            let is_doubtful = url == Credence::Doubtful;
            taken_for_real += u32::from(!is_doubtful);
            if (!is_doubtful || misses.may_wait(now, path)) && misses.lets_ask(now, path, url) {
                asked += 1;
                misses.answered(now, path, 404);
            }
        }
        assert!(taken_for_real <= 22, "{taken_for_real}: those from which the shape was learned");
        // Besides: those of 1.8 s that show the flood, four at once, and one in ten seconds.
        assert!(asked < 22 + 180 + 4 + 65, "{asked} in ten minutes");
        assert!(!misses.is_doubtful(at(100 + 600 + 60), b"/unknown"), "and it is over in a minute");
    }

    #[test]
    fn a_clock_that_steps_back_changes_nothing() {
        let misses = flooded();
        assert!(misses.is_doubtful(at(50), b"/unknown"));
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let (known, ours) = (fresh(1_024, 1), fresh(1_024, 3));
        let of = |misses: &Misses, key: u64| {
            super::place(misses.mark(format!("/page-{key}").as_bytes()), 1_024) as u64
        };
        crate::adversary::check_spread(|key| of(&known, key), |key| of(&ours, key));
    }

    #[test]
    fn memory_is_fixed_and_any_path_has_a_shape() {
        let misses = fresh(0, 1);
        for n in 0..20_000usize {
            let path = format!("{}{n:x}.{}", "/".repeat(n % 40), "e".repeat(n % 12));
            misses.answered(at(1), path.as_bytes(), if n % 2 == 0 { 404 } else { 200 });
            misses.is_doubtful(at(1), path.as_bytes());
        }
        assert_eq!(misses.state.lock().known.len(), 1);
    }
}
