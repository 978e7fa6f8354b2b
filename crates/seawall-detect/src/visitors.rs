//! What single clients did over the last minutes, as far as they are followed.
//!
//! A fixed table of 16,384, four places to a bucket; who was not here for longest gives way. Where somebody
//! who was here a minute ago has to, only half as many are followed from then on, and twice as many
//! again when there is room. It deliberately does **not** judge anybody.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::replace;

use seawall_model::{Attributes, MitigationId};

use crate::finding::Unsure;
use crate::followed::{Followed, Seen, draw, is_chosen, place_of};
use crate::usual::Usual;

/// One client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visitor {
    /// Keyed hash of who it is.
    pub(crate) identity: u64,
    /// What one request of its visit looks like: any of them, each with the same chance, so that these rows
    /// and a sample of all requests have the same shares.
    pub(crate) attributes: Attributes,
    /// What one of those looks like that it came for, each with about the same chance; of who came for nothing but
    /// what belongs to pages, the first.
    pub(crate) came_for: Attributes,
    /// How many it came for.
    came: u32,
    /// When it came, in milliseconds of the detector's life; 0 if the place is free.
    pub(crate) first_ms: u64,
    /// When it was seen last.
    pub(crate) last_ms: u64,
    /// When it came again for the first time after its first window; 0 if it did not.
    again_ms: u64,
    /// When it asked for its first page; 0 if it did not.
    page_ms: u64,
    /// What it loaded within five seconds of its first page.
    parts: u32,
    /// Requests and pages.
    requests: u32,
    pages: u32,
    /// When a poll of a feed was let off last, and when it counted last for the mix.
    poll_ms: u64,
    mixed_ms: u64,
    has_cookie: bool,
    /// Whether a mitigation did something to it.
    pub(crate) is_met: bool,
    /// Whether somebody vouches for it.
    is_vouched: bool,
    /// Since when it is told to wait and does not, and when that was last said; 0 if it is not.
    told_since_ms: u64,
    told_ms: u64,
    /// For which mitigation it was told so at first.
    told_for: MitigationId,
}

/// Clients of the last minutes. 3.6 MB, taken once.
#[derive(Clone, Debug)]
pub(crate) struct Visitors {
    places: Box<[Visitor]>,
    /// Who is followed has a place below this.
    bar: u64,
    /// Who is known to have been followed for [`NEW_MS`], so that it can be said whether they are new.
    settled_bar: u64,
    raised_ms: u64,
    looked_ms: u64,
    /// Whether anybody followed gave way since the last look at how full it is.
    gave_way: u32,
    /// How many choices were made.
    draws: u64,
    /// Who was told to wait, earliest first: they count once it can be said whether they did.
    waiting: VecDeque<Waiting>,
    /// When a window was taken in last.
    taken_ms: u64,
}

/// What a tick brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrivals {
    /// Clients that were not here in the last ten minutes, estimated.
    pub(crate) new_clients: f64,
    /// Polls of feeds, one a minute for each client at most.
    pub(crate) polls: f64,
    /// For how many clients each of those stands that the mix was told of.
    pub(crate) each_stands_for: f64,
}

/// What a window says about one client.
struct Visit {
    is_new: bool,
    /// Whether it polls a feed as seldom as feeds are polled.
    is_let_off: bool,
    /// Whether it counts for the mix.
    is_mixed: bool,
    /// What became of its being told to wait.
    waits: Waits,
}

/// Those who were told to wait in one window for one mitigation.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    since_ms: u64,
    id: MitigationId,
    told: u32,
    /// Of them: [`Waits::Restless`].
    restless: u32,
}

/// What a client does who is told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Nothing that is looked at, or nothing new.
    No,
    /// From now on it is watched whether it does.
    Begins,
    /// It went on for ten seconds and never waited for as long as it was told to, at `since_ms` for `told_for`. From now on
    /// it is watched again.
    Restless { since_ms: u64, told_for: MitigationId },
}

/// Shares of clients, and of how many.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Which part, 0 to 1.
    pub(crate) part: f64,
    /// Of how many.
    pub(crate) of: f64,
}

/// How those who came since some time behave.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Behaviour {
    /// Clients in all, estimated.
    pub(crate) clients: f64,
    /// Which part of those who came five seconds ago or earlier asked for a page then.
    pub(crate) readers: f64,
    /// Of those whose first page is five seconds old: who loaded two parts of it.
    pub(crate) whole_pages: Share,
    /// Of those who came again: who brought a cookie.
    pub(crate) cookies: Share,
    /// Pages a minute: the median, and what one in twenty exceeds.
    pub(crate) pace: f64,
    pub(crate) pace_p95: f64,
    /// Of how many.
    pub(crate) paced: f64,
    /// Whether those with several pages ask alike: deviation over mean, where there are twenty.
    pub(crate) unevenness: Option<f64>,
}

const BUCKETS: usize = 4_096;
const WAYS: usize = 4;
/// Who was not here for so long is new.
pub(crate) const NEW_MS: u64 = 600_000;
/// What belongs to a page comes within so long.
const PARTS_MS: u64 = 5_000;
/// Within so long of a start readers are seen who came before it.
const SEEN_FIRST_MS: u64 = 15_000;
/// Over so long it is looked at how somebody behaves.
pub(crate) const RECENT_MS: u64 = 60_000;
/// Nobody is told to come back sooner than in eight seconds; in whole ones, and clocks differ.
const WAITS_MS: u64 = 7_000;
/// Who was told to wait and has not done so for so long means no good. Libraries that try again by themselves do so three
/// to five times, later each time.
const GOES_ON_MS: u64 = 10_000;
/// As many windows of a quarter of a second as are in those seventeen seconds, and more, with sixteen mitigations each.
const MAX_WAITING: usize = 2_048;
/// And so often it counts for the mix: as long as a page takes to load.
const MIX_MS: u64 = 2_000;

impl Visitors {
    pub(crate) fn new() -> Self {
        Self {
            places: vec![Visitor::default(); BUCKETS * WAYS].into_boxed_slice(),
            bar: u64::MAX,
            settled_bar: u64::MAX,
            raised_ms: 0,
            looked_ms: 0,
            gave_way: 0,
            draws: 0,
            waiting: VecDeque::with_capacity(MAX_WAITING),
            taken_ms: 0,
        }
    }

    /// Takes in what was seen in a window that ended at `now_ms`, above 0. Tells `mix` of each client how it
    /// looks, once in two seconds, and `told` of how many were told to wait, and how many of them have gone on for ten
    /// seconds all the same, once that is sure.
    pub(crate) fn take(
        &mut self,
        followed: &Followed,
        now_ms: u64,
        mut mix: impl FnMut(&Attributes),
        mut told: impl FnMut(MitigationId, u32, u32),
    ) -> Arrivals {
        if now_ms.saturating_sub(replace(&mut self.taken_ms, now_ms)) >= WAITS_MS {
            // The machine stood still: nobody waited, and nobody went on.
            self.waiting.clear();
        }
        let bar = self.settled_bar.min(followed.bar());
        let (mut new, mut polls) = (0u32, 0u32);
        for seen in followed.seen() {
            let place = place_of(seen.identity);
            if place > self.bar {
                continue;
            }
            let visit = self.visit(seen, now_ms);
            if visit.is_mixed {
                mix(&seen.attributes);
            }
            if let Some(id) = seen.untested {
                self.note_waiting(id, visit.waits, now_ms);
            }
            if place <= bar {
                new += u32::from(visit.is_new);
                polls += u32::from(visit.is_let_off);
            }
        }
        while let Some(of) = self.waiting.front()
            && now_ms.saturating_sub(of.since_ms) >= GOES_ON_MS + WAITS_MS
        {
            told(of.id, of.told, of.restless);
            self.waiting.pop_front();
        }
        self.adapt(now_ms);
        let each = 1.0 / part_of(bar);
        Arrivals {
            new_clients: f64::from(new) * each,
            polls: f64::from(polls) * each,
            each_stands_for: 1.0 / part_of(self.bar.min(followed.bar())),
        }
    }

    /// Those of whom it is not sure yet whether they wait as they were told to, though ten seconds have passed since.
    pub(crate) fn unsure(&self, now_ms: u64) -> Vec<Unsure> {
        let mut all: Vec<Unsure> = Vec::new();
        let is_ripe = |of: &&Waiting| now_ms.saturating_sub(of.since_ms) >= GOES_ON_MS;
        for &Waiting { id, told, restless, .. } in self.waiting.iter().take_while(is_ripe) {
            match all.iter_mut().find(|one| one.id == id) {
                Some(one) => (one.told, one.restless) = (one.told + told, one.restless + restless),
                None => all.push(Unsure { id, told, restless }),
            }
        }
        all
    }

    /// How those who came at `since_ms` or later, and were here in the last minute, behave. O(places); allocates.
    pub(crate) fn behaviour(&self, since_ms: u64, now_ms: u64) -> Behaviour {
        let recent = now_ms.saturating_sub(RECENT_MS);
        let who: Vec<&Visitor> = self
            .places
            .iter()
            .filter(|visitor| visitor.first_ms >= since_ms.max(1) && visitor.last_ms >= recent)
            .collect();
        let share = |of: &dyn Fn(&Visitor) -> bool, part: &dyn Fn(&Visitor) -> bool| {
            let all = who.iter().filter(|visitor| of(visitor)).count();
            let some = who.iter().filter(|visitor| of(visitor) && part(visitor)).count();
            Share { part: some as f64 / all.max(1) as f64, of: all as f64 }
        };
        let is_ripe =
            |visitor: &Visitor| visitor.page_ms > 0 && now_ms - visitor.page_ms >= PARTS_MS;
        let settled = who.iter().filter(|who| now_ms - who.first_ms >= PARTS_MS).count();
        let mut paces: Vec<f64> =
            who.iter().filter(|visitor| is_ripe(visitor)).map(|who| who.pace(now_ms)).collect();
        paces.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let last = paces.len().saturating_sub(1);
            paces.get((part * last as f64) as usize).copied().unwrap_or(0.0)
        };
        let many: Vec<f64> = who
            .iter()
            .filter(|visitor| visitor.pages >= 4)
            .map(|visitor| visitor.pace(now_ms))
            .collect();
        Behaviour {
            clients: who.len() as f64 / part_of(self.bar),
            readers: paces.len() as f64 / settled.max(1) as f64,
            whole_pages: share(&is_ripe, &|visitor| visitor.is_whole()),
            cookies: share(&|visitor| visitor.again_ms > 0, &|visitor| visitor.has_cookie),
            pace: at(0.5),
            pace_p95: at(0.95),
            paced: paces.len() as f64,
            unevenness: (many.len() >= 20).then(|| unevenness(&many)),
        }
    }

    /// How many would be here of those who came lately, by who was in the minute before `at_ms`. O(places).
    pub(crate) fn usual(&self, at_ms: u64) -> Usual {
        let from = at_ms.saturating_sub(RECENT_MS);
        // Who was seen just after a start was here before.
        let known = SEEN_FIRST_MS..at_ms;
        let here = self.places.iter().filter(|who| known.contains(&who.first_ms));
        let ages = here.filter(|who| who.last_ms >= from).map(|who| at_ms - who.first_ms);
        Usual::of(ages, 1.0 / part_of(self.bar), at_ms.saturating_sub(SEEN_FIRST_MS))
    }

    /// Those who were here between two times.
    pub(crate) fn were_here(&self, from_ms: u64, to_ms: u64) -> impl Iterator<Item = &Visitor> {
        self.places.iter().filter(move |visitor| {
            visitor.first_ms > 0 && visitor.last_ms >= from_ms && visitor.first_ms < to_ms
        })
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.places) + self.waiting.capacity() * size_of::<Waiting>()
    }

    fn note_waiting(&mut self, id: MitigationId, waits: Waits, now_ms: u64) {
        if waits == Waits::No {
            return;
        }
        // What it meets now may be another one: fields rotate, and signatures are replaced.
        if let Waits::Restless { since_ms, told_for } = waits
            && let Some(of) = self.waiting_since(since_ms, told_for)
        {
            of.restless += 1;
        }
        if let Some(of) = self.waiting_since(now_ms, id) {
            of.told += 1;
        } else if self.waiting.len() < MAX_WAITING {
            // Beyond it nobody is counted rather than somebody forgotten.
            self.waiting.push_back(Waiting { since_ms: now_ms, id, told: 1, restless: 0 });
        }
    }

    fn waiting_since(&mut self, since_ms: u64, id: MitigationId) -> Option<&mut Waiting> {
        let first = self.waiting.partition_point(|of| of.since_ms < since_ms);
        let mut of_then = self.waiting.range_mut(first..).take_while(|of| of.since_ms == since_ms);
        of_then.find(|of| of.id == id)
    }

    fn visit(&mut self, seen: &Seen, now_ms: u64) -> Visit {
        let first = (place_of(seen.identity) as usize % BUCKETS) * WAYS;
        let bucket = &mut self.places[first..first + WAYS];
        let found = bucket
            .iter()
            .position(|visitor| visitor.first_ms > 0 && visitor.identity == seen.identity);
        let is_new = found.is_none_or(|way| now_ms.saturating_sub(bucket[way].last_ms) > NEW_MS);
        let oldest = || (0..WAYS).min_by_key(|way| bucket[*way].last_ms).unwrap_or(0);
        let way = found.unwrap_or_else(oldest);
        if is_new {
            let old = &bucket[way];
            let is_recent = old.first_ms > 0 && now_ms.saturating_sub(old.last_ms) < RECENT_MS;
            self.gave_way += u32::from(found.is_none() && is_recent);
            bucket[way] = Visitor::new(seen, now_ms);
        }
        self.draws = self.draws.wrapping_add(1);
        bucket[way].take(seen, now_ms, is_new, draw(self.draws, seen.identity))
    }

    fn adapt(&mut self, now_ms: u64) {
        // One bucket that is full is chance; a sixteenth of a percent of all in one window is not.
        if self.gave_way > 16 {
            self.bar /= 2;
            self.settled_bar = self.settled_bar.min(self.bar);
            self.gave_way = 0;
            (self.raised_ms, self.looked_ms) = (now_ms, now_ms);
        }
        if now_ms.saturating_sub(self.raised_ms) >= NEW_MS {
            // Everybody below the bar was followed for ten minutes by now.
            self.settled_bar = self.bar;
        }
        if self.bar == u64::MAX || now_ms.saturating_sub(self.looked_ms) < RECENT_MS {
            return;
        }
        (self.gave_way, self.looked_ms) = (0, now_ms);
        let recent = now_ms.saturating_sub(RECENT_MS);
        let used = self.places.iter().filter(|v| v.first_ms > 0 && v.last_ms >= recent).count();
        if used < BUCKETS * WAYS / 8 {
            (self.bar, self.raised_ms) = (self.bar.saturating_mul(2).max(1), now_ms);
        }
    }
}

impl Visitor {
    fn new(seen: &Seen, now_ms: u64) -> Self {
        let identity = seen.identity;
        Self { identity, first_ms: now_ms, last_ms: now_ms, ..Self::default() }
    }

    fn take(&mut self, seen: &Seen, now_ms: u64, is_new: bool, random: u64) -> Visit {
        if !is_new && self.again_ms == 0 && now_ms > self.first_ms {
            self.again_ms = now_ms;
        }
        if seen.pages > 0 && self.page_ms == 0 {
            self.page_ms = now_ms;
        }
        if self.page_ms > 0 && now_ms - self.page_ms <= PARTS_MS {
            self.parts = self.parts.saturating_add(seen.parts);
        }
        self.requests = self.requests.saturating_add(seen.requests);
        if is_chosen(random, seen.requests, self.requests) {
            self.attributes = seen.row;
        }
        let came = seen.requests.saturating_sub(seen.subresources);
        self.came = self.came.saturating_add(came);
        if is_chosen(random.rotate_left(32), came, self.came) || is_new && came == 0 {
            self.came_for = seen.attributes;
        }
        self.pages = self.pages.saturating_add(seen.pages);
        self.last_ms = now_ms;
        self.has_cookie |= seen.has_cookie;
        self.is_met |= seen.is_met;
        self.is_vouched |= seen.is_vouched;
        let is_let_off =
            seen.polls > 0 && (self.poll_ms == 0 || now_ms - self.poll_ms >= RECENT_MS);
        if is_let_off {
            self.poll_ms = now_ms;
        }
        let is_mixed = self.mixed_ms == 0 || now_ms - self.mixed_ms >= MIX_MS;
        if is_mixed {
            self.mixed_ms = now_ms;
        }
        Visit { is_new, is_let_off, is_mixed, waits: self.waits(seen, now_ms) }
    }

    /// Whether it has gone on for ten seconds though it was told to wait: people press a button again or give up, and
    /// programs try a few times and then later; a flood goes on.
    fn waits(&mut self, seen: &Seen, now_ms: u64) -> Waits {
        let Some(id) = seen.untested else { return Waits::No };
        if now_ms - self.told_ms >= WAITS_MS {
            (self.told_since_ms, self.told_ms) = (0, 0);
        }
        let is_first = self.told_since_ms == 0;
        let is_restless = !is_first && now_ms - self.told_since_ms >= GOES_ON_MS;
        if seen.is_put_off {
            self.told_ms = now_ms;
        }
        if !(is_restless || is_first && seen.is_put_off) {
            return Waits::No;
        }
        let since_ms = replace(&mut self.told_since_ms, now_ms);
        let told_for = replace(&mut self.told_for, id);
        if is_restless { Waits::Restless { since_ms, told_for } } else { Waits::Begins }
    }

    /// Whether it loaded what belongs to its first page, as browsers do.
    pub(crate) const fn is_whole(&self) -> bool {
        self.parts >= 2
    }

    /// Whether it has loaded whole pages, no faster than one reads.
    pub(crate) fn is_reader(&self, now_ms: u64) -> bool {
        self.is_whole() && self.pace(now_ms) <= 30.0
    }

    /// Whether somebody vouches for it.
    pub(crate) const fn is_vouched(&self) -> bool {
        self.is_vouched
    }

    /// Pages a minute. Of a visit that has just begun, as if it had lasted twenty seconds.
    fn pace(&self, now_ms: u64) -> f64 {
        let seconds = now_ms.saturating_sub(self.first_ms) as f64 / 1_000.0;
        f64::from(self.pages) * 60.0 / seconds.max(20.0)
    }
}

/// Which part of all has a place up to `bar`.
fn part_of(bar: u64) -> f64 {
    (bar as f64 + 1.0) / 18_446_744_073_709_551_616.0
}

fn unevenness(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    libm::sqrt(square / values.len() as f64) / mean.max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(identity: u64, pages: u32, subresources: u32) -> Seen {
        Seen {
            identity,
            attributes: Attributes::default(),
            row: Attributes::default(),
            requests: pages + subresources,
            pages,
            subresources,
            parts: subresources,
            polls: 0,
            has_cookie: false,
            is_met: false,
            is_vouched: false,
            untested: None,
            is_put_off: false,
        }
    }

    fn take(visitors: &mut Visitors, all: &[Seen], now_ms: u64) -> Arrivals {
        let mut followed = Followed::new();
        all.iter().for_each(|seen| followed.put(seen));
        visitors.take(&followed, now_ms, |_| (), |_, _, _| ())
    }

    #[test]
    fn somebody_is_new_once_in_ten_minutes() {
        let mut visitors = Visitors::new();
        let mut new_at = |now_ms| take(&mut visitors, &[seen(7, 1, 0)], now_ms).new_clients;
        assert!((new_at(250) - 1.0).abs() < 1e-9);
        assert!(new_at(500) < 1e-9 && new_at(590_000) < 1e-9);
        assert!((new_at(590_000 + NEW_MS + 1) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_stands_for_a_visit_is_any_of_its_requests() {
        let mut visitors = Visitors::new();
        let mut part = Attributes::default();
        part.set(seawall_model::Attribute::Path, 2);
        // A page, and in the next windows nine things that it loads.
        for (window, count) in [(1, 0), (2, 4), (3, 5)] {
            let all: Vec<Seen> = (1..=1_000)
                .map(|who| match count {
                    0 => seen(draw(who, 9), 1, 0),
                    _ => Seen { row: part, ..seen(draw(who, 9), 0, count) },
                })
                .collect();
            take_in_parts(&mut visitors, &all, window * 250);
        }
        let rows: Vec<_> =
            visitors.were_here(0, 10_000).map(|visitor| visitor.attributes).collect();
        let parts = rows.iter().filter(|row| **row == part).count() as f64 / rows.len() as f64;
        assert!(rows.len() > 900 && (parts - 0.9).abs() < 0.03, "{parts} of {}", rows.len());
    }

    /// As [`take`], of more than one window can follow.
    fn take_in_parts(visitors: &mut Visitors, all: &[Seen], now_ms: u64) {
        for some in all.chunks(250) {
            take(visitors, some, now_ms);
        }
    }

    #[test]
    fn who_loads_what_belongs_to_a_page_is_told_from_who_does_not() {
        let mut visitors = Visitors::new();
        let all: Vec<Seen> = (1..=100).map(|who| seen(who, 1, 0)).collect();
        take(&mut visitors, &all, 1_000);
        let browsers: Vec<Seen> = (1..=70).map(|who| seen(who, 0, 3)).collect();
        take(&mut visitors, &browsers, 3_000);
        assert!(visitors.behaviour(0, 4_000).whole_pages.of < 1.0, "too early to say");
        let late: Vec<Seen> = (71..=100).map(|who| seen(who, 0, 9)).collect();
        take(&mut visitors, &late, 8_000);
        let whole = visitors.behaviour(0, 8_000).whole_pages;
        assert!((whole.part - 0.7).abs() < 1e-9 && (whole.of - 100.0).abs() < 1e-9, "{whole:?}");
    }

    #[test]
    fn what_somebody_came_for_is_never_what_belongs_to_a_page() {
        let looks = |path| {
            let mut looks = Attributes::default();
            looks.set(seawall_model::Attribute::Path, path);
            looks
        };
        let part = |who| Seen { row: looks(9), attributes: looks(9), ..seen(who, 0, 5) };
        let page =
            |who, path| Seen { row: looks(path), attributes: looks(path), ..seen(who, 1, 0) };
        let mut visitors = Visitors::new();
        for who in (1..=500).map(|who| draw(who, 9)) {
            // Parts first, as of a page that was open; then two pages and what belongs to them.
            let visit = [part(who), page(who, 1), part(who), page(who, 2), part(who)];
            for (window, seen) in visit.into_iter().enumerate() {
                take(&mut visitors, &[seen], 250 * (window as u64 + 1));
            }
        }
        take(&mut visitors, &[part(draw(777, 9))], 5_000);
        let count = |path| {
            let rows = visitors.were_here(0, 10_000);
            rows.filter(|visitor| visitor.came_for == looks(path)).count()
        };
        assert_eq!(count(1) + count(2), 500);
        assert!((200..300).contains(&count(1)), "each has the same chance: {}", count(1));
        assert_eq!(count(9), 1, "who came for nothing else");
    }

    #[test]
    fn those_who_all_ask_alike_are_even() {
        let mut visitors = Visitors::new();
        for second in 1..40u64 {
            let robots = (1..=50).map(|who| seen(who, 1, 0));
            let readers = (100..150).filter(|who| who % 17 == second % 17);
            let readers = readers.map(|who| seen(who, 1, 0));
            let all: Vec<Seen> = robots.chain(readers).collect();
            take(&mut visitors, &all, second * 1_000);
        }
        let behaviour = visitors.behaviour(0, 40_000);
        assert!(behaviour.unevenness.is_some_and(|cv| cv < 0.3), "{behaviour:?}");
        assert!(behaviour.pace_p95 > 50.0);
    }

    #[test]
    fn a_flood_of_new_clients_is_counted_by_its_sample() {
        let mut visitors = Visitors::new();
        let mut number = 0u64;
        let mut counted = 0.0;
        for tick in 1..=40u64 {
            let all: Vec<Seen> = (0..5_000)
                .map(|_| {
                    number += 1;
                    seen(number.wrapping_mul(0x9e37_79b9_7f4a_7c15), 1, 0)
                })
                .collect();
            counted += take(&mut visitors, &all, tick * 250).new_clients;
        }
        assert!((counted / 200_000.0 - 1.0).abs() < 0.15, "{counted}");
        assert!(visitors.heap_bytes() < 4 << 20);
    }

    /// How often a client that asks at `seconds` is told to wait, as far as it can be said by then whether it does, and how
    /// often it does not; it is `put_off` at some of them.
    fn told(seconds: &[u64], put_off: impl Fn(u64) -> bool) -> [u32; 2] {
        told_by(|_| 3, seconds, put_off)
    }

    /// The same where it meets another mitigation at some of them.
    fn told_by(
        met: impl Fn(u64) -> u32,
        seconds: &[u64],
        put_off: impl Fn(u64) -> bool,
    ) -> [u32; 2] {
        let mut visitors = Visitors::new();
        let mut counts = [0, 0];
        for second in 0..=90 {
            let mut followed = Followed::new();
            if seconds.contains(&second) {
                let (untested, is_put_off) = (Some(MitigationId(met(second))), put_off(second));
                followed.put(&Seen { untested, is_put_off, ..seen(7, 0, 0) });
            }
            let on_told = |_, told, restless| {
                counts = [counts[0] + told, counts[1] + restless];
                assert!(restless <= told, "somebody is restless who was not told to wait");
            };
            visitors.take(&followed, 1_000 * second + 1, |_| (), on_told);
        }
        counts
    }

    #[test]
    fn who_goes_on_for_ten_seconds_though_told_to_wait_is_restless() {
        let flood: Vec<u64> = (10..=40).step_by(2).collect();
        assert_eq!(told(&flood, |_| true), [4, 3]);
        // Somebody who presses a button again, a library that tries later each time, and a program that does as told.
        assert_eq!(told(&[10, 12, 13], |_| true), [1, 0]);
        assert_eq!(told(&[10, 11, 13, 17, 25, 41], |_| true), [3, 0]);
        assert_eq!(told(&[10, 18, 26, 34, 42], |_| true), [5, 0]);
    }

    #[test]
    fn who_has_gone_on_is_known_before_it_is_sure_of_the_others() {
        let mut visitors = Visitors::new();
        let mut unsure = Vec::new();
        for second in 0..=18u64 {
            let mut followed = Followed::new();
            // Three who ask every three seconds, and two who wait.
            let all = 1..=if second == 0 { 5 } else { 3 };
            for who in all.filter(|_| second.is_multiple_of(3)) {
                let untested = Some(MitigationId(3));
                followed.put(&Seen { untested, is_put_off: true, ..seen(who, 0, 0) });
            }
            let now_ms = 1_000 * second + 1;
            visitors.take(&followed, now_ms, |_| (), |_, _, _| ());
            let of = visitors.unsure(now_ms);
            unsure.push(of.first().map(|it| (it.told, it.restless)));
        }
        assert_eq!(unsure[9..13], [None, Some((5, 0)), Some((5, 0)), Some((5, 3))]);
        assert_eq!(unsure[16..18], [Some((5, 3)), None], "by then they are counted");
    }

    #[test]
    fn who_goes_on_is_restless_whatever_it_looks_like_by_then() {
        let flood: Vec<u64> = (10..=40).step_by(2).collect();
        for met in [|second| (second % 4) as u32, |second| (second / 11) as u32] {
            assert_eq!(told_by(met, &flood, |_| true), [4, 3]);
        }
    }

    #[test]
    fn while_the_machine_stands_still_nobody_waits() {
        let mut visitors = Visitors::new();
        let mut followed = Followed::new();
        followed.put(&Seen { untested: Some(MitigationId(3)), is_put_off: true, ..seen(7, 0, 0) });
        for now_ms in [1_000, 1_000 + WAITS_MS, 2_000 + WAITS_MS] {
            visitors.take(&followed, now_ms, |_| (), |_, told, _| assert_eq!(told, 0));
        }
        let mut counted = 0;
        for second in 10..40 {
            visitors.take(&Followed::new(), 1_000 * second, |_| (), |_, told, _| counted += told);
        }
        assert_eq!(counted, 1, "what was before it counts for nothing");
    }

    #[test]
    fn who_was_told_to_wait_counts_once_it_can_be_said_whether_it_does() {
        assert_eq!(told(&[74], |_| true), [0, 0]);
        assert_eq!(told(&[73], |_| true), [1, 0]);
    }

    #[test]
    fn who_is_served_meanwhile_was_not_told_to_wait() {
        let all: Vec<u64> = (10..60).collect();
        assert_eq!(told(&all, |second| second.is_multiple_of(9))[1], 0);
    }

    #[test]
    fn one_poll_a_minute_is_let_off() {
        let mut visitors = Visitors::new();
        let poll = Seen { polls: 1, ..seen(7, 0, 0) };
        let mut polls_at = |now_ms| take(&mut visitors, &[poll], now_ms).polls;
        assert!((polls_at(1_000) - 1.0).abs() < 1e-9);
        assert!((2..60).all(|second| polls_at(second * 1_000) < 1e-9));
        assert!((polls_at(61_000) - 1.0).abs() < 1e-9);
    }
}
