//! When each URL is to be fetched, and which first.
//!
//! Separate because a crawl that begins in the middle of an attack has to get the right pages with the few
//! requests it is given, and one that runs for years has to notice what changes without asking for
//! everything all day. All of it is arithmetic on what is known of one URL: `now` is an argument, and the
//! spread of due times comes from the URL. It does **not** hold the queue, which is the store's: take what
//! is due, lowest `priority` first.

use std::time::Duration;

use seawall_model::WallTime;

use crate::links::{Link, LinkKind, LinkSource};

/// What is known of one URL. Plain data; the store writes it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What is there.
    pub kind: LinkKind,
    /// When it was found.
    pub first_seen: WallTime,
    /// When it was last asked for, with whatever result.
    pub last_fetched: Option<WallTime>,
    /// When its content was last seen to be new.
    pub last_changed: Option<WallTime>,
    /// How often it was fetched with success (kept, or found unchanged).
    pub fetches: u32,
    /// How often it had changed then.
    pub changes: u32,
    /// How often it failed since it last did not.
    pub failures: u32,
    /// Why it failed last; `None` after a success.
    pub reason: Option<FailReason>,
    /// When to fetch it, not sooner.
    pub due: WallTime,
    /// How long it is left alone between successes, in seconds, before the spread.
    pub interval_s: u32,
    /// What goes first among the due: 0 before all others.
    pub priority: u8,
    /// Links from a seed to here.
    pub depth: u8,
    /// For the next conditional request.
    pub validators: Validators,
    /// When it last changed, as a sitemap or feed says.
    pub modified: Option<WallTime>,
}

/// What a conditional request carries (RFC 9110 §8.8). Longer ones than [`MAX_VALIDATOR_BYTES`] are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, for `If-None-Match`.
    pub etag: Option<Vec<u8>>,
    /// `Last-Modified`, for `If-Modified-Since`.
    pub last_modified: Option<Vec<u8>>,
}

/// A longer entity tag is a document.
pub const MAX_VALIDATOR_BYTES: usize = 128;

impl Validators {
    /// Those of a response.
    pub fn of(fields: &[crate::Field]) -> Self {
        let field = |name: &str| {
            let value =
                fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
            value.filter(|value| !value.is_empty() && value.len() <= MAX_VALIDATOR_BYTES)
        };
        Self { etag: field("etag"), last_modified: field("last-modified") }
    }
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome {
    /// It was kept, and is not what was held before (or nothing was).
    Changed(Validators),
    /// 304, or the same content again.
    Unchanged(Validators),
    /// Nothing that may be kept came.
    Failed(FailReason),
}

/// Why a URL is not in the archive, or not as new as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailReason {
    /// No connection to the origin.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// An answer that broke off or is none.
    Broken,
    /// More than one capture may have.
    TooLarge,
    /// The origin, or admission before it, had no room.
    Busy,
    /// A status of 500 to 599.
    ServerError,
    /// An error behind a status of 200.
    ErrorPage,
    /// It asks who one is.
    NeedsLogin,
    /// It sets a cookie.
    SetsCookie,
    /// `Cache-Control: private`.
    Private,
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Vary: *`.
    Varies,
    /// 404 or 410.
    Gone,
    /// A status that means none of these.
    OtherStatus,
    /// It is not of the site, or a trap ([`crate::Refusal`]).
    OutOfScope,
    /// The bytes allowed are full.
    NoRoom,
}

impl FailReason {
    /// All of them, each at its code.
    pub const ALL: [Self; 16] = [
        Self::Unreachable,
        Self::TimedOut,
        Self::Broken,
        Self::TooLarge,
        Self::Busy,
        Self::ServerError,
        Self::ErrorPage,
        Self::NeedsLogin,
        Self::SetsCookie,
        Self::Private,
        Self::NoStore,
        Self::Varies,
        Self::Gone,
        Self::OtherStatus,
        Self::OutOfScope,
        Self::NoRoom,
    ];

    /// A number that stays the same in files.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// A word for lists and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Busy => "busy",
            Self::ServerError => "server_error",
            Self::ErrorPage => "error_page",
            Self::NeedsLogin => "needs_login",
            Self::SetsCookie => "sets_cookie",
            Self::Private => "private",
            Self::NoStore => "no_store",
            Self::Varies => "varies",
            Self::Gone => "gone",
            Self::OtherStatus => "other_status",
            Self::OutOfScope => "out_of_scope",
            Self::NoRoom => "no_room",
        }
    }

    /// Whether the origin is in trouble, which passes, and not the page what it is.
    pub const fn is_of_origin(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::TimedOut
                | Self::Broken
                | Self::Busy
                | Self::ServerError
                | Self::ErrorPage
        )
    }
}

/// A URL that the operator named: the front page, a sitemap, a feed, `robots.txt`. Due at once.
pub fn seed(url: &str, now: WallTime) -> Known {
    let kind = LinkKind::of_url(url);
    let priority = if kind == LinkKind::Page { FRONT } else { LISTS };
    unfetched(kind, priority, 0, now)
}

/// A URL that a reader fetched and that nothing links to, as far as is known. Due at once.
pub fn asked_for(url: &str, now: WallTime) -> Known {
    let kind = LinkKind::of_url(url);
    unfetched(kind, DEEP, 1, now)
}

/// A URL that was found in a response for `from`. Due at once, in this order: seeds, lists of what is new,
/// the newest pages, then pages by their distance from a seed; what a page loads comes right behind it. Short links
/// to pages come last of all.
pub fn discovered(link: &Link, from: &Known, now: WallTime) -> Known {
    let depth = from.depth.saturating_add(1);
    let behind = from.priority.saturating_add(1);
    let by_depth = DEEP.saturating_add(depth.saturating_sub(1).saturating_mul(2));
    let (kind, priority, depth) = match (link.source, link.kind) {
        // The same thing under another name.
        (LinkSource::Redirect, _) => (from.kind, from.priority, from.depth),
        (LinkSource::Shortlink, kind) => (kind, LAST, depth),
        (_, LinkKind::Page) if link.is_newest => (LinkKind::Page, NEWEST, depth),
        // Every page of some systems has a feed of its comments; only the site's own feeds come early.
        (_, kind @ (LinkKind::Sitemap | LinkKind::Feed)) if from.priority <= LISTS => {
            (kind, LISTS, depth)
        }
        (_, LinkKind::Feed) => (LinkKind::Feed, by_depth.max(behind), depth),
        (_, LinkKind::Resource) if from.kind == LinkKind::Resource => {
            (LinkKind::Resource, from.priority, depth)
        }
        (_, LinkKind::Resource) => (LinkKind::Resource, behind, depth),
        (_, kind) => (kind, by_depth, depth),
    };
    Known { modified: link.modified, ..unfetched(kind, priority, depth, now) }
}

/// What is known after a link to a known URL was seen again: it may be nearer than was thought, or newer
/// than what is held. `None` if that is no news.
///
/// Some sitemaps say of every page that it changed just now. So a page that keeps being unchanged is asked for
/// only after a sixteenth of its interval.
pub fn noticed(known: &Known, link: &Link, from: &Known, now: WallTime) -> Option<Known> {
    let found = discovered(link, from, now);
    let mut next = known.clone();
    next.priority = known.priority.min(found.priority);
    next.depth = known.depth.min(found.depth);
    next.modified = known.modified.max(link.modified);
    if let (Some(fetched), Some(modified)) = (known.last_fetched, link.modified)
        && modified > fetched
        && known.reason.is_none()
    {
        let (floor, _) = bounds(&next);
        let wait = u64::from(floor.max(known.interval_s / 16));
        next.due = known.due.min(fetched + Duration::from_secs(wait)).max(now.min(known.due));
    }
    (next != *known).then_some(next)
}

/// What is known after a fetch that ended at `now`.
///
/// What changed is asked for in half the time, what did not in half as much again, between bounds by kind: five
/// minutes to an hour for the front page, to six hours for feeds and sitemaps of the site, half an hour (a quarter for
/// the newest) to 30 days for pages, a day to 30 days for what they load, a week to 30 days for short links. That settles where about two of
/// five fetches find something new. A failure of the origin is tried again after 30 seconds, doubled each
/// time, up to five minutes for the front page and six hours for others; what the page itself causes after
/// a day, up to 30. On top comes up to an eighth of it, by a hash of `url`, lest all come due at once.
pub fn after_fetch(url: &str, known: &Known, outcome: &FetchOutcome, now: WallTime) -> Known {
    let mut next = known.clone();
    next.last_fetched = Some(now);
    let (floor, ceiling) = bounds(known);
    let wait_s = match outcome {
        FetchOutcome::Failed(reason) => {
            next.failures = known.failures.saturating_add(1);
            next.reason = Some(*reason);
            back_off_s(known.priority, *reason, next.failures)
        }
        FetchOutcome::Changed(validators) | FetchOutcome::Unchanged(validators) => {
            let changed = matches!(outcome, FetchOutcome::Changed(_));
            next.interval_s = match known.fetches {
                0 => first_interval_s(known, validators, now),
                _ if changed => known.interval_s / 2,
                _ => known.interval_s.saturating_add(known.interval_s / 2),
            }
            .clamp(floor, ceiling);
            next.fetches = known.fetches.saturating_add(1);
            if changed {
                next.last_changed = Some(now);
                next.changes = known.changes.saturating_add(u32::from(known.fetches > 0));
            }
            next.failures = 0;
            next.reason = None;
            next.validators = validators.clone();
            next.interval_s
        }
    };
    let spread_s = u64::from(wait_s / 8) * u64::from(hash(url, known.fetches) % 1_024) / 1_024;
    next.due = now + Duration::from_secs(u64::from(wait_s) + spread_s);
    next
}

/// Priorities. Resources lie one behind their page, so pages have the even numbers.
const FRONT: u8 = 0;
const LISTS: u8 = 1;
const NEWEST: u8 = 2;
const DEEP: u8 = 4;
/// Nobody reads what is there, but where it leads to.
const LAST: u8 = u8::MAX;

const MINUTE_S: u32 = 60;
const HOUR_S: u32 = 60 * MINUTE_S;
const DAY_S: u32 = 24 * HOUR_S;
/// No URL is left alone for longer.
pub(crate) const LONGEST_S: u32 = 30 * DAY_S;

fn unfetched(kind: LinkKind, priority: u8, depth: u8, now: WallTime) -> Known {
    Known {
        kind,
        first_seen: now,
        last_fetched: None,
        last_changed: None,
        fetches: 0,
        changes: 0,
        failures: 0,
        reason: None,
        due: now,
        interval_s: 0,
        priority,
        depth,
        validators: Validators::default(),
        modified: None,
    }
}

/// The shortest and the longest interval.
fn bounds(known: &Known) -> (u32, u32) {
    match (known.kind, known.priority) {
        (LinkKind::Page, FRONT) => (5 * MINUTE_S, HOUR_S),
        (LinkKind::Feed | LinkKind::Sitemap, ..=LISTS) => (5 * MINUTE_S, 6 * HOUR_S),
        (LinkKind::Page, LAST) => (7 * DAY_S, LONGEST_S),
        (LinkKind::Page, ..=NEWEST) => (15 * MINUTE_S, LONGEST_S),
        (LinkKind::Page, _) => (30 * MINUTE_S, LONGEST_S),
        (LinkKind::Feed | LinkKind::Sitemap, _) => (HOUR_S, LONGEST_S),
        (LinkKind::Resource, _) => (DAY_S, LONGEST_S),
    }
}

/// A tenth of its age, as caches guess (RFC 9111 §4.2.2), if anything tells its age.
fn first_interval_s(known: &Known, validators: &Validators, now: WallTime) -> u32 {
    let (floor, _) = bounds(known);
    if known.priority <= LISTS && known.kind != LinkKind::Resource {
        return floor;
    }
    let last_modified = validators
        .last_modified
        .as_deref()
        .and_then(|value| crate::moments::moment(std::str::from_utf8(value).ok()?));
    match known.modified.or(last_modified) {
        Some(modified) => {
            let age_s = now.saturating_since(modified).as_secs();
            u32::try_from(age_s / 10).unwrap_or(LONGEST_S)
        }
        None if known.kind == LinkKind::Resource => 7 * DAY_S,
        None => 6 * HOUR_S,
    }
}

fn back_off_s(priority: u8, reason: FailReason, failures: u32) -> u32 {
    let (first, longest) = match (reason.is_of_origin(), priority) {
        (true, FRONT) => (30, 5 * MINUTE_S),
        (true, ..=3) => (30, HOUR_S),
        (true, _) => (30, 6 * HOUR_S),
        (false, _) => (DAY_S, LONGEST_S),
    };
    // Twenty doublings of the least are beyond the longest.
    let doublings = failures.saturating_sub(1).min(20);
    (u64::from(first) << doublings).min(u64::from(longest)) as u32
}

/// FNV-1a, mixed: it spreads and keeps no secret.
fn hash(url: &str, turn: u32) -> u32 {
    let bytes = url.bytes().chain(turn.to_le_bytes());
    let folded = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (folded ^ (folded >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use seawall_model::WallTime;

    use super::{
        DAY_S, FailReason, FetchOutcome, HOUR_S, Known, LONGEST_S, MAX_VALIDATOR_BYTES, MINUTE_S,
        Validators, after_fetch, asked_for, discovered, noticed, seed,
    };
    use crate::links::{Link, LinkKind, LinkSource};

    const NOW: WallTime = WallTime::from_unix_secs(1_795_348_800);
    const FRONT: &str = "https://example.org/";

    fn link(kind: LinkKind, source: LinkSource) -> Link {
        Link {
            url: "https://example.org/x".to_owned(),
            kind,
            source,
            modified: None,
            is_newest: false,
        }
    }

    fn newest() -> Link {
        Link { is_newest: true, ..link(LinkKind::Page, LinkSource::Feed) }
    }

    fn page(from: &Known) -> Known {
        discovered(&link(LinkKind::Page, LinkSource::Page), from, NOW)
    }

    fn wait_s(known: &Known) -> u64 {
        known.due.saturating_since(known.last_fetched.expect("fetched")).as_secs()
    }

    /// Fetches whenever it is due.
    fn run(mut known: Known, outcomes: impl IntoIterator<Item = FetchOutcome>) -> Known {
        for outcome in outcomes {
            known = after_fetch(FRONT, &known, &outcome, known.due);
        }
        known
    }

    fn changed() -> FetchOutcome {
        FetchOutcome::Changed(Validators::default())
    }

    fn unchanged() -> FetchOutcome {
        FetchOutcome::Unchanged(Validators::default())
    }

    #[test]
    fn an_empty_archive_gets_what_readers_come_for_first() {
        let front = seed(FRONT, NOW);
        let feed = discovered(&link(LinkKind::Feed, LinkSource::Page), &front, NOW);
        let post = discovered(&newest(), &feed, NOW);
        let picture = discovered(&link(LinkKind::Resource, LinkSource::Page), &post, NOW);
        let style = discovered(&link(LinkKind::Resource, LinkSource::Page), &front, NOW);
        let font = discovered(&link(LinkKind::Resource, LinkSource::Page), &style, NOW);
        let section = page(&front);
        let comments = discovered(&link(LinkKind::Feed, LinkSource::Page), &post, NOW);
        let deeper = page(&section);
        let in_order = [&front, &style, &post, &picture, &section, &deeper];
        assert!(
            in_order.is_sorted_by_key(|known| known.priority)
                && in_order.iter().all(|known| known.due == NOW)
        );
        assert!(deeper.priority > section.priority && section.priority > picture.priority);
        assert_eq!((style.priority, font.priority, feed.priority), (1, 1, 1));
        assert_eq!(seed("https://example.org/sitemap.xml", NOW).priority, 1);
        assert!(comments.priority > picture.priority);
        assert_eq!(asked_for("https://example.org/x", NOW).priority, section.priority);
        let moved = discovered(&link(LinkKind::Page, LinkSource::Redirect), &style, NOW);
        assert_eq!(
            (moved.kind, moved.priority, moved.depth),
            (style.kind, style.priority, style.depth)
        );
    }

    #[test]
    fn what_changes_is_asked_for_often_and_what_does_not_rarely() {
        let front = seed(FRONT, NOW);
        let wait = |known: Known, outcome: fn() -> FetchOutcome, count: usize| {
            wait_s(&run(known, std::iter::repeat_with(outcome).take(count)))
        };
        let about = |seconds: u32| u64::from(seconds)..=u64::from(seconds + seconds / 8);
        assert!(about(5 * MINUTE_S).contains(&wait(front.clone(), changed, 50)));
        assert!(about(HOUR_S).contains(&wait(front.clone(), unchanged, 50)));
        assert!(about(6 * HOUR_S).contains(&wait(page(&front), changed, 1)));
        assert!(about(30 * MINUTE_S).contains(&wait(page(&front), changed, 50)));
        assert!(about(LONGEST_S).contains(&wait(page(&front), unchanged, 50)));
        let style = discovered(&link(LinkKind::Resource, LinkSource::Page), &front, NOW);
        assert!(about(7 * DAY_S).contains(&wait(style, changed, 1)));
        let old = Link { modified: Some(NOW - Duration::from_secs(100 * 86_400)), ..newest() };
        assert!(about(10 * DAY_S).contains(&wait(discovered(&old, &front, NOW), changed, 1)));
        // Every other time: it settles between the two.
        let alternate = (0..100).map(|n| if n % 2 == 0 { changed() } else { unchanged() });
        let settled = run(page(&front), alternate);
        assert_eq!((settled.fetches, settled.changes), (100, 49));
        assert!(settled.interval_s < 2 * HOUR_S, "{}", settled.interval_s);
    }

    #[test]
    fn failures_back_off_and_a_success_ends_them() {
        let mut known = page(&seed(FRONT, NOW));
        known = run(known, [changed()]);
        let before = known.interval_s;
        let down = FetchOutcome::Failed(FailReason::ServerError);
        let mut waits = Vec::new();
        for _ in 0..12 {
            known = after_fetch(FRONT, &known, &down, known.due);
            waits.push(wait_s(&known));
        }
        assert!(waits[0] >= 30 && waits[0] < 35 && waits.is_sorted());
        assert!(waits[11] >= 6 * 3_600 && waits[11] <= 7 * 3_600);
        assert_eq!(
            (known.failures, known.reason, known.fetches),
            (12, Some(FailReason::ServerError), 1)
        );
        let known = after_fetch(FRONT, &known, &unchanged(), known.due);
        assert_eq!((known.failures, known.reason), (0, None));
        assert!(known.interval_s == before + before / 2);
        let front = run(seed(FRONT, NOW), std::iter::repeat_n(down, 100));
        assert!(wait_s(&front) <= 340);
        let login = FetchOutcome::Failed(FailReason::NeedsLogin);
        assert!(wait_s(&run(page(&front), [login.clone()])) >= 86_400);
        assert!(wait_s(&run(page(&front), std::iter::repeat_n(login, 100))) >= 30 * 86_400);
    }

    #[test]
    fn a_sitemap_that_says_newer_brings_a_page_forward_unless_it_always_says_so() {
        let front = seed(FRONT, NOW);
        let known = run(page(&front), [changed()]);
        let fetched = known.last_fetched.expect("fetched");
        let later = fetched + Duration::from_secs(2 * 3_600);
        let newer = Link { modified: Some(later), ..link(LinkKind::Page, LinkSource::Sitemap) };
        assert_eq!(noticed(&known, &newer, &front, later).map(|known| known.due), Some(later));
        let older = Link { modified: Some(fetched - Duration::from_secs(9)), ..newer.clone() };
        assert_eq!(noticed(&known, &older, &front, later).map(|known| known.due), Some(known.due));
        assert_eq!(noticed(&known, &link(LinkKind::Page, LinkSource::Page), &front, later), None);
        let still = run(known, std::iter::repeat_with(unchanged).take(30));
        let fetched = still.last_fetched.expect("fetched");
        let soon = fetched + Duration::from_secs(60);
        let always = Link { modified: Some(soon), ..newer };
        let due = noticed(&still, &always, &front, soon).expect("news").due;
        assert!(due >= fetched + Duration::from_secs(86_400) && due < still.due);
        let near = noticed(&page(&page(&front)), &newest(), &front, NOW).expect("news");
        assert_eq!((near.priority, near.depth), (2, 1));
    }

    #[test]
    fn short_links_come_last_and_are_seldom_asked_for_again() {
        let front = seed(FRONT, NOW);
        let short = discovered(&link(LinkKind::Page, LinkSource::Shortlink), &front, NOW);
        let deep = (0..60).fold(page(&front), |from, _| page(&from));
        assert!(short.priority > deep.priority, "{} {}", short.priority, deep.priority);
        assert!(wait_s(&run(short.clone(), [changed()])) >= 7 * 86_400);
        // Where a page links to it as well, it is a page like others.
        let linked = noticed(&short, &link(LinkKind::Page, LinkSource::Page), &front, NOW);
        assert_eq!(linked.map(|known| known.priority), Some(page(&front).priority));
    }

    #[test]
    fn pages_that_were_fetched_together_do_not_come_due_together() {
        let known = page(&seed(FRONT, NOW));
        let due = |n: u32| after_fetch(&format!("{FRONT}{n}"), &known, &changed(), NOW).due;
        let mut dues: Vec<_> = (0..1_000).map(due).collect();
        dues.sort();
        dues.dedup();
        assert!(dues.len() > 500, "{} of 1000", dues.len());
    }

    #[test]
    fn reasons_keep_their_codes_and_have_names_of_their_own() {
        for (code, reason) in FailReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.code()), code);
            assert_eq!(FailReason::from_code(reason.code()), Some(reason));
            assert!(
                FailReason::ALL.iter().filter(|other| other.as_str() == reason.as_str()).count()
                    == 1
            );
        }
        assert_eq!(FailReason::from_code(200), None);
    }

    #[test]
    fn validators_that_are_documents_are_not_kept() {
        let fields = vec![
            ("etag".to_owned(), vec![b'a'; MAX_VALIDATOR_BYTES + 1]),
            ("last-modified".to_owned(), b"x".to_vec()),
        ];
        assert_eq!(
            Validators::of(&fields),
            Validators { etag: None, last_modified: Some(b"x".to_vec()) }
        );
    }

    proptest! {
        #[test]
        fn whatever_is_known_the_next_time_is_within_bounds(
            kind in 0usize..4, priority: u8, depth: u8, fetches: u32, failures: u32, interval_s: u32,
            fetched in prop::option::of(any::<u64>()), modified in prop::option::of(any::<u64>()),
            due: u64, now: u64, outcome in 0usize..17,
        ) {
            let kinds = [LinkKind::Page, LinkKind::Feed, LinkKind::Resource, LinkKind::Sitemap];
            let known = Known {
                kind: kinds[kind],
                last_fetched: fetched.map(WallTime::from_unix_nanos),
                fetches, changes: fetches, failures, interval_s, priority, depth,
                due: WallTime::from_unix_nanos(due),
                modified: modified.map(WallTime::from_unix_nanos),
                ..seed(FRONT, WallTime::from_unix_nanos(now))
            };
            let now = WallTime::from_unix_nanos(now);
            let outcome = match outcome {
                15 => changed(),
                16 => unchanged(),
                reason => FetchOutcome::Failed(FailReason::ALL[reason]),
            };
            let next = after_fetch(FRONT, &known, &outcome, now);
            let wait = next.due.saturating_since(now).as_secs();
            prop_assert!(wait <= u64::from(LONGEST_S + LONGEST_S / 8));
            // The end of time is near where a wait is cut.
            prop_assert!(wait >= 29 || now > WallTime::from_unix_nanos(u64::MAX - (31 << 30)));
            let found = discovered(&newest(), &known, now);
            prop_assert!(found.due == now);
            if let Some(next) = noticed(&known, &Link { modified: known.modified, ..newest() }, &known, now) {
                prop_assert!(next.due <= known.due);
            }
        }
    }
}
