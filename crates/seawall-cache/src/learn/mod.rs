//! Which query parameters a site does not look at, learned from its answers.
//!
//! A flood of `/?x8f3=1`, `/?k2q=7`, ... asks for one page under names that no cache has. Here it is
//! learned, per path template, that such parameters change nothing; while more of them come than
//! the origin needs to be asked about, they are answered with the page itself. Separate from the
//! store and from policy because being wrong here would show a reader another page than the one
//! asked for. So everything leans to the other side:
//!
//! * **Never a candidate** is a name that the site uses in its links, forms or scripts (`own.rs`),
//!   that is common on the web (`rules.rs`), that the operator keeps, or that mattered once.
//! * **Evidence** is an answer of the origin to the whole URL that equals, in status, content and
//!   the fields that say what it is, the page without the candidates while that page is fresh:
//!   eight times, with eight different values, or for unknown names eight different names.
//! * **A difference ends it at once**, for all names in question. If the page itself has not changed
//!   when it is next fetched, they matter, for a day and on the whole site.
//! * **It stays under observation**: of requests whose parameters are ignored the first four, and
//!   then one in two minutes per template, still go to the origin whole (in a flood of made-up URLs
//!   of all kinds as far as one of those may, see [`Misses`](crate::Misses)). So nothing is ever ignored
//!   on a site that is not being flooded, and a parameter that begins to matter is found out.
//! * **What is shared is asked for without the parameters**, so nothing a stranger adds to a URL gets
//!   into the page that others are served.
//!
//! What remains: on a template where eight unknown names changed nothing, and while it is flooded, a
//! parameter that does matter but appears nowhere in what the site has sent is answered with the
//! page without it. `query_keep` names such a one.
//!
//! It does **not** fetch, store, read a clock or look at requests with cookies.
//!
//! Read next: [`Learner::judge`].

mod learned;
mod own;
mod records;
mod rules;

use std::hash::Hasher;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_model::{Instant, WallTime};
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher128};

pub use self::learned::Learned;
use self::own::OwnNames;
use self::records::{Doubt, Records, State};
pub use self::rules::QueryRules;
use self::rules::{BARE, each_name, pieces, without};
use crate::flight::hash_seed;
use crate::head::StoredHead;
use crate::key::{HashSeed, Key};

/// How much a [`Learner`] may remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnerConfig {
    /// Parameters under watch, each 112 bytes. Beyond: the oldest is forgotten, which means learning
    /// it again; those that matter go last.
    pub max_records: usize,
    /// Pages that others are compared with, each 64 bytes. Beyond: the oldest is forgotten.
    pub max_pages: usize,
    /// Names that the site uses itself, each 9 bytes. Beyond: the older half is forgotten.
    pub max_names: usize,
    /// Keys the hashing of what clients send.
    pub seed: [u64; 2],
}

/// What a site does with query parameters, as far as it has shown. One per site; share it by `Arc`.
/// One short lock, taken only for requests with parameters that nobody vouches for.
pub struct Learner {
    state: Mutex<Memory>,
    seed: HashSeed,
    config: LearnerConfig,
}

/// How a request is to be treated.
#[derive(Debug)]
pub enum Verdict {
    /// By its whole URL; there is nothing to learn from it, and no parameter that could be made up.
    Whole,
    /// By its whole URL; it has too many parameters that nobody vouches for to learn from it.
    Unclear,
    /// By its whole URL; the answer is evidence.
    Watch(Probe),
    /// Its parameters change nothing: by [`Probe::bare`], unless [`Learner::may_ask_whole`].
    Ignore(Probe),
}

/// A request with parameters under watch.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The URL without them.
    pub bare: Key,
    /// The record of unknown names on this template.
    unknown: u64,
    names: Vec<Name>,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    /// The name alone.
    name: u64,
    /// The name on this template.
    record: u64,
    /// The name on this site.
    site: u64,
    /// Name and value.
    value: u32,
}

/// What an answer of the origin taught.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// Nothing: there was nothing to compare with, or it could mean anything.
    Nothing,
    /// The parameters changed nothing.
    Same,
    /// They changed something, or the page changed meanwhile.
    Different,
}

/// Figures since the start, and levels (`records`, `names`) of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnStats {
    /// Times that a parameter, or all unknown ones of a template, began to be ignored.
    pub learned: u64,
    /// Times that this ended because an answer differed.
    pub unlearned: u64,
    /// Times that a parameter turned out to matter.
    pub pinned: u64,
    /// Records forgotten for want of room.
    pub evicted: u64,
    /// Records held.
    pub records: u64,
    /// Names held that the site uses itself.
    pub names: u64,
}

struct Memory {
    records: Records,
    own: OwnNames,
    stats: LearnStats,
}

impl Learner {
    /// Nothing known yet.
    pub fn new(config: LearnerConfig) -> Self {
        let records =
            Records::new(config.max_records.max(16), config.max_pages.max(16), config.seed);
        let own = OwnNames::new(config.max_names.max(16), config.seed);
        let state = Memory { records, own, stats: LearnStats::default() };
        Self { state: Mutex::new(state), seed: hash_seed(config.seed), config }
    }

    /// The bounds it was made with.
    pub fn config(&self) -> &LearnerConfig {
        &self.config
    }

    /// How a GET or HEAD for `key` is to be treated. Its answer is evidence only where it came
    /// without cookies and credentials. Without a query, or with settled parameters only, no lock is
    /// taken.
    pub fn judge(&self, now: Instant, rules: &QueryRules, key: &Key) -> Verdict {
        let Some(query) = key.query() else { return Verdict::Whole };
        // Looked at without a lock: a query of thousands of parts must not keep others waiting.
        if query.is_empty() || pieces(query).all(|piece| rules.knows_all_of(piece)) {
            return Verdict::Whole;
        }
        let parts = query.iter().filter(|byte| matches!(byte, b'&' | b';')).count();
        if parts > MAX_PARTS {
            return Verdict::Unclear;
        }
        let template = self.template(key);
        let host = self.hash(key.host().as_bytes(), 0);
        let mut state = self.state.lock();
        let state = &mut *state;
        let unknown = mix(template, UNKNOWN);
        let mut names: Vec<Name> = Vec::new();
        let (mut is_known, mut is_unclear) = (true, false);
        let mut candidates: Vec<&[u8]> = Vec::new();
        for piece in pieces(query) {
            let first = names.len();
            let (mut is_settled, mut matters, mut is_odd) = (false, false, false);
            let value = self.hash(piece, 2) as u32;
            each_name(piece, &mut |text| {
                if rules.knows(text) {
                    is_settled = true;
                    return;
                }
                let name = self.hash(text, 1);
                let (record, site) = (mix(template, name), mix(host, name));
                let counts = state.own.contains(name)
                    || state.records.state(now, record) == State::Matters
                    || state.records.state(now, site) == State::Matters;
                matters |= counts;
                // Most origins take a `;` for a part of the value.
                is_odd |= !counts && (text != BARE || !piece.contains(&b'='));
                names.push(Name { name, record, site, value });
            });
            if is_settled || matters || names.len() > MAX_CANDIDATES {
                names.truncate(first);
                if names.len() >= MAX_CANDIDATES && !is_settled {
                    return Verdict::Unclear;
                }
                is_unclear |= is_odd;
                continue;
            }
            candidates.push(piece);
            let all_of_them = state.records.state(now, unknown) == State::Ignored;
            is_known &=
                names[first..].iter().all(|name| match state.records.state(now, name.record) {
                    State::Ignored => true,
                    State::Learning => all_of_them,
                    State::Doubted | State::Matters => false,
                });
        }
        if candidates.is_empty() {
            return if is_unclear { Verdict::Unclear } else { Verdict::Whole };
        }
        let bare = without(query, |piece| candidates.contains(&piece));
        let probe = Probe { bare: key.with_query(bare.as_deref()), unknown, names };
        if is_known { Verdict::Ignore(probe) } else { Verdict::Watch(probe) }
    }

    /// Whether a request that [`Verdict::Ignore`] spoke of may go to the origin whole, to see whether
    /// its parameters still change nothing: four at once and one in two minutes, per template.
    pub fn may_ask_whole(&self, now: Instant, probe: &Probe) -> bool {
        self.state.lock().records.take_whole(now, probe.unknown)
    }

    /// Takes note of a response that was stored, before it is served from the cache. `probe` is that
    /// of its request, if there was one; `now` and `wall` are the same moment.
    pub fn stored(
        &self,
        (now, wall): (Instant, WallTime),
        key: &Key,
        probe: Option<&Probe>,
        head: &StoredHead,
        body: &[u8],
    ) -> Observed {
        let is_comparable = head.partial.is_none()
            && !says_nothing(head.status)
            && body.len() <= MAX_COMPARED_BYTES
            // Fetches that are shared ask for none; what came for one client alone may have one.
            && !head.headers.contains_key("content-encoding");
        if !is_comparable {
            return Observed::Nothing;
        }
        // Outside the lock: about 0.1 ms for a page of 100 KB.
        let digest = self.digest(head, body);
        let names = self.names_in(head, body, probe);
        let fresh = head.freshness.remaining_ns(head.response_time, wall);
        let fresh_until = now + Duration::from_nanos(u64::try_from(fresh).unwrap_or(0));
        let mut state = self.state.lock();
        for name in names {
            state.own.add(name);
        }
        match probe {
            Some(probe) => state.compare(now, probe, self.page(&probe.bare, head), Some(digest)),
            None => {
                if head.status == 200 {
                    state.resolve(now, self.page(key, head), digest);
                    state.records.put_page(self.page(key, head), digest, fresh_until);
                }
                Observed::Nothing
            }
        }
    }

    /// Takes note that the origin confirmed what is stored under `key` (RFC 9111 §4.3.3).
    pub fn validated(&self, (now, wall): (Instant, WallTime), key: &Key, head: &StoredHead) {
        let page = self.page(key, head);
        let fresh = head.freshness.remaining_ns(head.response_time, wall);
        let mut state = self.state.lock();
        if let Some(digest) = state.records.page_digest(page) {
            state.resolve(now, page, digest);
            let fresh_until = now + Duration::from_nanos(u64::try_from(fresh).unwrap_or(0));
            state.records.put_page(page, digest, fresh_until);
        }
    }

    /// Takes note of a response to a probe that cannot be stored, though the page could.
    pub fn not_stored(&self, now: Instant, probe: &Probe, status: u16) -> Observed {
        if says_nothing(status) {
            return Observed::Nothing;
        }
        let mut state = self.state.lock();
        let any = state.records.any_page(self.page_of(&probe.bare));
        any.map_or(Observed::Nothing, |page| state.compare(now, probe, page, None))
    }

    /// What happened so far.
    pub fn stats(&self) -> LearnStats {
        let state = self.state.lock();
        LearnStats {
            records: state.records.len() as u64,
            names: state.own.len() as u64,
            evicted: state.records.evicted(),
            ..state.stats
        }
    }

    /// Names of the site's own parameters in what it sent, but not those that the request put there:
    /// a page that repeats its address must not vouch for it.
    fn names_in(&self, head: &StoredHead, body: &[u8], probe: Option<&Probe>) -> Vec<u64> {
        let mut found = Vec::new();
        if head.status != 200 || !is_text(head) {
            return found;
        }
        let asked = probe.map_or(&[][..], |probe| &probe.names);
        own::each_name(body, &mut |name| {
            let name = self.hash(name, 1);
            if !asked.iter().any(|asked| asked.name == name) && found.last() != Some(&name) {
                found.push(name);
            }
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    fn digest(&self, head: &StoredHead, body: &[u8]) -> u128 {
        let mut hasher = SipHasher128::new_with_key(&self.seed.0);
        hasher.write_u16(head.status);
        for name in COMPARED {
            for value in head.headers.get_all(name) {
                hasher.write(name.as_bytes());
                hasher.write(value.as_bytes());
                hasher.write_u8(0xff);
            }
        }
        hasher.write(body);
        hasher.finish128().as_u128()
    }

    /// A page in one variant: pages in two languages differ and say nothing about parameters.
    fn page(&self, key: &Key, head: &StoredHead) -> (u64, u64) {
        let mut hasher = self.hasher(3);
        for (name, value) in head.vary.entries() {
            hasher.write(name.as_str().as_bytes());
            hasher.write(value.unwrap_or(b"\xff"));
            hasher.write_u8(0xff);
        }
        (self.page_of(key), hasher.finish())
    }

    fn page_of(&self, key: &Key) -> u64 {
        self.hash(key.as_bytes(), 4)
    }

    /// The path with digits, hex strings and UUIDs taken for the same, on its host and scheme.
    fn template(&self, key: &Key) -> u64 {
        let mut hasher = self.hasher(5);
        hasher.write(key.scheme().as_str().as_bytes());
        hasher.write(key.host().as_bytes());
        for segment in key.path().split(|&byte| byte == b'/') {
            hasher.write_u8(b'/');
            // The extension is what an origin chooses its handler by.
            let dot = segment.iter().rposition(|&byte| byte == b'.').unwrap_or(segment.len());
            let (stem, extension) = segment.split_at(dot);
            match class_of(stem) {
                Some(class) => hasher.write_u8(class),
                None => hasher.write(stem),
            }
            hasher.write(extension);
        }
        hasher.finish()
    }

    fn hash(&self, bytes: &[u8], domain: u8) -> u64 {
        let mut hasher = self.hasher(domain);
        hasher.write(bytes);
        hasher.finish()
    }

    fn hasher(&self, domain: u8) -> SipHasher13 {
        let mut hasher = SipHasher13::new_with_key(&self.seed.0);
        hasher.write_u8(domain);
        hasher
    }
}

impl std::fmt::Debug for Learner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Learner").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Memory {
    /// Holds an answer to a probe against the page without its parameters. `digest` is `None` for
    /// one that cannot be stored, which differs from any page that can.
    fn compare(
        &mut self,
        now: Instant,
        probe: &Probe,
        page: (u64, u64),
        digest: Option<u128>,
    ) -> Observed {
        let Some(held) = self.records.fresh_page(now, page) else { return Observed::Nothing };
        if digest == Some(held) {
            let needed = self.needed();
            let mut learned = 0;
            for name in &probe.names {
                learned += u64::from(self.records.same(now, name.record, name.value, NEEDED));
                learned +=
                    u64::from(self.records.same(now, probe.unknown, name.name as u32, needed));
            }
            self.stats.learned += learned;
            return Observed::Same;
        }
        let records: Vec<u64> =
            probe.names.iter().map(|name| name.record).chain([probe.unknown]).collect();
        let was: Vec<State> =
            records.iter().map(|&record| self.records.doubt(now, record)).collect();
        if was.contains(&State::Ignored) {
            self.stats.unlearned += 1;
        }
        let sites = probe.names.iter().map(|name| (name.name, name.site)).collect();
        let doubt = Doubt { page, held, other: digest, records, was, sites };
        if let Some(oldest) = self.records.add_doubt(doubt) {
            self.settle(now, oldest);
        }
        Observed::Different
    }

    /// The page was fetched again: was it the parameters, or had the page changed?
    fn resolve(&mut self, now: Instant, page: (u64, u64), digest: u128) {
        for doubt in self.records.take_doubts(page) {
            if digest == doubt.held {
                self.settle(now, doubt);
            } else {
                // The same change that the probe saw: what was known still holds. Any other: the
                // page changes by itself, and nothing can be told.
                let restore = doubt.other == Some(digest);
                self.records.undoubt(&doubt, restore);
            }
        }
    }

    /// They matter.
    fn settle(&mut self, now: Instant, doubt: Doubt) {
        self.stats.pinned += 1;
        for &record in &doubt.records {
            self.records.pin(now, record);
        }
        for &(name, site) in &doubt.sites {
            self.records.pin(now, site);
            self.own.pin(name);
        }
    }

    /// How many unknown names have to change nothing on one more template: fewer where several
    /// templates were learned and nothing ever mattered, so that a flood over all pages of a site
    /// need not be learned page by page.
    fn needed(&self) -> u8 {
        if self.stats.pinned == 0 && self.stats.learned >= ASSURED { FEWER_NEEDED } else { NEEDED }
    }
}

/// Different values, or names, that changed nothing.
const NEEDED: u8 = records::MAX_SEEN as u8;
/// The same on a site that never looked at an unknown name.
const FEWER_NEEDED: u8 = 2;
/// Lessons after which a site counts as such.
const ASSURED: u64 = 4;
/// Parts of a query that are looked at. Sites use a handful.
const MAX_PARTS: usize = 64;
/// More parameters under watch in one request: nothing is learned from it.
const MAX_CANDIDATES: usize = 8;
/// Longer bodies are not compared: hashing them would hold up others.
const MAX_COMPARED_BYTES: usize = 1024 * 1024;
/// Stands for every name that has no record of its own.
const UNKNOWN: u64 = 0x756e_6b6e_6f77_6e00;

/// The fields that say what a response is. Dates, identifiers and the like differ from one answer
/// to the next and are left aside.
const COMPARED: [&str; 13] = [
    "content-type",
    "content-language",
    "content-disposition",
    "content-location",
    "content-security-policy",
    "access-control-allow-origin",
    "cache-control",
    "clear-site-data",
    "link",
    "location",
    "refresh",
    "vary",
    "x-frame-options",
];

/// Answers that speak of the origin's troubles or of limits, not of the page.
fn says_nothing(status: u16) -> bool {
    status >= 500 || matches!(status, 206 | 304 | 401 | 407 | 408 | 421 | 425 | 429)
}

/// Whether a response may have links, forms or scripts in it.
pub(crate) fn is_text(head: &StoredHead) -> bool {
    let kind = head.headers.get("content-type").map(|value| value.as_bytes().to_ascii_lowercase());
    kind.is_none_or(|kind| {
        [&b"html"[..], b"javascript", b"json", b"xml"]
            .iter()
            .any(|wanted| kind.windows(wanted.len()).any(|part| part == *wanted))
    })
}

/// Digits, hex strings of eight and more with a digit, and UUIDs.
fn class_of(stem: &[u8]) -> Option<u8> {
    let digits = stem.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    if digits == stem.len() {
        return Some(1);
    }
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    if stem.len() >= 8 && stem.iter().all(is_hex) {
        return Some(2);
    }
    let dashes = [8, 13, 18, 23].iter().all(|&at| stem.get(at) == Some(&b'-'));
    let is_uuid = stem.len() == 36 && dashes && stem.iter().all(|b| is_hex(b) || *b == b'-');
    is_uuid.then_some(3)
}

fn mix(a: u64, b: u64) -> u64 {
    // Both are keyed hashes; this only must not be symmetric.
    (a.rotate_left(23) ^ b).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ a
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::{Learner, LearnerConfig};
    use crate::adversary::check_spread;
    use crate::flight::KeyedState;
    use crate::key::{Key, Scheme};

    fn learner(seed: u64) -> Learner {
        Learner::new(LearnerConfig {
            max_records: 16,
            max_pages: 16,
            max_names: 16,
            seed: [seed, 2],
        })
    }

    /// Where the maps put what is counted under this number.
    fn place(seed: u64, number: u64) -> u64 {
        let state = KeyedState([seed, 2]);
        state.hash_one(number) & 1_023
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let key = |number: u64| {
            Key::new(Scheme::Https, "example.org", format!("/p-{number}x").as_bytes(), None)
        };
        let (known, ours) = (learner(1), learner(3));
        // Names, pages and templates, each as hashed by us and as placed by the map.
        check_spread(
            |name| known.hash(&name.to_be_bytes(), 1) & 1_023,
            |name| ours.hash(&name.to_be_bytes(), 1) & 1_023,
        );
        check_spread(
            |page| place(1, known.page_of(&key(page))),
            |page| place(3, ours.page_of(&key(page))),
        );
        let letters = |number: u64| {
            let letter = |shift: u64| char::from(b'g' + (number >> shift & 15) as u8);
            let path: String = ['/'].into_iter().chain([0, 4, 8, 12, 16, 20].map(letter)).collect();
            Key::new(Scheme::Https, "example.org", path.as_bytes(), None)
        };
        check_spread(
            |page| place(1, known.template(&letters(page))),
            |page| place(3, ours.template(&letters(page))),
        );
    }
}
