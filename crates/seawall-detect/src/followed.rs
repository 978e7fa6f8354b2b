//! What single clients did in one window: of all of them while they are few, and of those with the lowest hashes when they are
//! many.
//!
//! A sample of requests does not tell whether somebody loads what belongs to a page, or comes back with the
//! cookie that they were given. For that all requests of somebody have to be seen, and over many windows:
//! so it is chosen by the hash of who they are, which is keyed, and always the same choice is made.
//! What does not fit halves the choice (rarely, and for all), so that a flood of new clients
//! costs a comparison each. It deliberately does **not** remember anything beyond a window.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use seawall_model::{
    Attributes, Cause, MitigationId, Observation, RequestKind, Rung, Standing, Test, Work,
};

use crate::counts::is_part_had;
use crate::keys::{GOLDEN, fold};

/// One client in one window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Keyed hash of who it is.
    pub(crate) identity: u64,
    /// What it came for looks like: the first request, until there is one for no subresource.
    pub(crate) attributes: Attributes,
    /// What one of its requests looks like, each with the same chance.
    pub(crate) row: Attributes,
    /// Requests in all.
    pub(crate) requests: u32,
    /// Of them: for pages.
    pub(crate) pages: u32,
    /// Of them: for what pages load.
    pub(crate) subresources: u32,
    /// Of them: had.
    pub(crate) parts: u32,
    /// Of them: polls of a feed that has not changed since, answered from what is held.
    pub(crate) polls: u32,
    /// Whether it brought back a cookie.
    pub(crate) has_cookie: bool,
    /// Whether a mitigation did something to it.
    pub(crate) is_met: bool,
    /// Whether somebody vouches for it.
    pub(crate) is_vouched: bool,
    /// The mitigation that it met with work before which no test can be put.
    pub(crate) untested: Option<MitigationId>,
    /// Whether such work was put off, and it was told for how long.
    pub(crate) is_put_off: bool,
}

/// Clients of one window. 90 KB, taken once.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The highest place that is followed.
    bar: u64,
    seen: Vec<Seen>,
    /// Places in `seen` and one, by hash; 0 is free.
    index: Box<[u16]>,
    /// How many choices were made.
    draws: u64,
}

const MAX_SEEN: usize = 512;
const SLOTS: usize = 2 * MAX_SEEN;

/// Where a client is in the order of the choice. Other bits than those that other sketches choose by.
pub(crate) const fn place_of(identity: u64) -> u64 {
    let mixed = (identity ^ (identity >> 29)).wrapping_mul(GOLDEN);
    mixed ^ (mixed >> 32)
}

impl Followed {
    pub(crate) fn new() -> Self {
        let index = vec![0; SLOTS].into_boxed_slice();
        Self { bar: u64::MAX, seen: Vec::with_capacity(MAX_SEEN), index, draws: 0 }
    }

    /// Takes in one answered request. No allocation.
    #[inline]
    pub(crate) fn observe(&mut self, observation: &Observation) {
        if place_of(observation.identity) > self.bar {
            return;
        }
        self.add(&Seen::of(observation));
    }

    /// Takes in the window of another worker.
    pub(crate) fn merge(&mut self, other: &Self) {
        if other.bar < self.bar {
            self.lower(other.bar);
        }
        for seen in &other.seen {
            if place_of(seen.identity) <= self.bar {
                self.add(seen);
            }
        }
    }

    /// Forgets all, and follows twice as many again if there was room for them.
    pub(crate) fn clear(&mut self) {
        if self.seen.len() < MAX_SEEN / 4 {
            self.bar = self.bar.saturating_mul(2).max(1);
        }
        self.seen.clear();
        self.index.fill(0);
    }

    /// Who is followed.
    pub(crate) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// The highest [`place_of`] that is followed: all requests of those below were seen.
    pub(crate) const fn bar(&self) -> u64 {
        self.bar
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seen.capacity() * size_of::<Seen>() + size_of_val(&*self.index)
    }

    /// Adds somebody made for a test.
    #[cfg(test)]
    pub(crate) fn put(&mut self, seen: &Seen) {
        if place_of(seen.identity) <= self.bar {
            self.add(seen);
        }
    }

    fn add(&mut self, seen: &Seen) {
        let slot = self.slot(seen.identity);
        if let Some(place) = usize::from(self.index[slot]).checked_sub(1) {
            self.draws = self.draws.wrapping_add(1);
            self.seen[place].add(seen, draw(self.draws, seen.identity));
            return;
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.push(*seen);
            self.index[slot] = self.seen.len() as u16;
            return;
        }
        // Full: half of the choice goes, and whoever came may be in that half. At most 64 times.
        self.lower(self.bar / 2);
        if place_of(seen.identity) <= self.bar {
            self.add(seen);
        }
    }

    fn lower(&mut self, bar: u64) {
        self.bar = bar;
        self.seen.retain(|seen| place_of(seen.identity) <= bar);
        self.index.fill(0);
        for place in 0..self.seen.len() {
            let slot = self.slot(self.seen[place].identity);
            self.index[slot] = place as u16 + 1;
        }
    }

    /// Where `identity` is in the index, or the free slot where it belongs. At most half of them are
    /// taken.
    fn slot(&self, identity: u64) -> usize {
        let mut slot = place_of(identity) as usize % SLOTS;
        loop {
            match usize::from(self.index[slot]).checked_sub(1) {
                Some(place) if self.seen[place].identity != identity => slot = (slot + 1) % SLOTS,
                _ => return slot,
            }
        }
    }
}

impl Seen {
    fn of(observation: &Observation) -> Self {
        let is = |kind| u32::from(observation.kind == kind);
        let is_poll = observation.kind == RequestKind::Feed
            && observation.status == 304
            && observation.work == Work::Held;
        let untested = observation.met.filter(|_| is_untested(observation)).map(|met| met.id);
        Self {
            identity: observation.identity,
            attributes: observation.attributes,
            row: observation.attributes,
            requests: 1,
            pages: is(RequestKind::Page),
            subresources: is(RequestKind::Subresource),
            parts: u32::from(is_part_had(observation)),
            polls: u32::from(is_poll),
            has_cookie: observation.returned_cookie,
            is_met: observation.met.is_some_and(|met| met.rung > Rung::Observe),
            is_vouched: observation.standing != Standing::Anonymous,
            untested,
            is_put_off: untested.is_some() && is_put_off(observation),
        }
    }

    fn add(&mut self, other: &Self, random: u64) {
        // What belongs to a page looks alike for everybody; what somebody came for says more.
        if self.requests == self.subresources && other.requests > other.subresources {
            self.attributes = other.attributes;
        }
        self.requests = self.requests.saturating_add(other.requests);
        if is_chosen(random, other.requests, self.requests) {
            self.row = other.row;
        }
        self.pages = self.pages.saturating_add(other.pages);
        self.subresources = self.subresources.saturating_add(other.subresources);
        self.parts = self.parts.saturating_add(other.parts);
        self.polls = self.polls.saturating_add(other.polls);
        self.has_cookie |= other.has_cookie;
        self.is_met |= other.is_met;
        self.is_vouched |= other.is_vouched;
        self.untested = other.untested.or(self.untested);
        self.is_put_off |= other.is_put_off;
    }
}

/// Whether it is work by somebody who is tested or blocked otherwise, but before which no test can be put.
pub(crate) fn is_untested(observation: &Observation) -> bool {
    observation.kind == RequestKind::Other
        && observation.met.is_some_and(|met| met.rung >= Rung::Challenge)
        && observation.test != Test::Set
        && observation.work != Work::Held
        && observation.cause != Cause::HeldBudget
}

/// Whether it was told to come back later, all of which say when (RFC 9110 §10.2.3).
fn is_put_off(observation: &Observation) -> bool {
    observation.work == Work::Spared
        && matches!(observation.status, 429 | 503)
        && matches!(
            observation.cause,
            Cause::OriginBusy | Cause::OriginBudget | Cause::SignatureBlock | Cause::Unsolved
        )
}

/// A random number for one of many choices about somebody: the identity is a keyed hash.
pub(crate) const fn draw(number: u64, identity: u64) -> u64 {
    fold(number.wrapping_mul(GOLDEN) ^ identity, 0xd134_2543_de82_ef95)
}

/// Whether one of the last `some` of `all` requests is the one that stands for them all, so that each has
/// the same chance (a reservoir of one).
pub(crate) const fn is_chosen(random: u64, some: u32, all: u32) -> bool {
    (((random >> 32) * all as u64) >> 32) < some as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(identity: u64) -> Seen {
        Seen {
            identity,
            attributes: Attributes::default(),
            row: Attributes::default(),
            requests: 1,
            pages: 1,
            subresources: 0,
            parts: 0,
            polls: 0,
            has_cookie: false,
            is_met: false,
            is_vouched: false,
            untested: None,
            is_put_off: false,
        }
    }

    #[test]
    fn all_requests_of_whoever_is_followed_are_seen() {
        let mut followed = Followed::new();
        for round in 0..3 {
            for client in 0..20_000u64 {
                let identity = client.wrapping_mul(0x1234_5678_9abc_def1);
                if place_of(identity) <= followed.bar() {
                    followed.add(&one(identity));
                }
            }
            assert!(followed.seen().len() <= MAX_SEEN && followed.seen().len() > MAX_SEEN / 8);
            assert!(followed.seen().iter().all(|seen| seen.requests == round + 1), "{round}");
        }
    }

    #[test]
    fn each_request_of_a_visit_has_the_same_chance_to_stand_for_it() {
        let kind = |kind| {
            let mut row = Attributes::default();
            row.set(seawall_model::Attribute::Path, kind);
            row
        };
        let page = |identity| Seen { row: kind(1), attributes: kind(1), ..one(identity) };
        let part = |identity| Seen { pages: 0, subresources: 1, row: kind(2), ..page(identity) };
        let (mut parts, mut merged) = (0, 0);
        for visit in 0..2_000u64 {
            let identity = draw(visit, 7);
            let mut windows = [Followed::new(), Followed::new()];
            windows[0].put(&page(identity));
            (0..4).for_each(|_| windows[0].put(&part(identity)));
            (0..5).for_each(|_| windows[1].put(&page(identity)));
            windows[1].draws = visit;
            parts += usize::from(windows[0].seen()[0].row == kind(2));
            let [first, second] = &mut windows;
            first.draws = visit;
            first.merge(second);
            merged += usize::from(first.seen()[0].row == kind(2));
            assert_eq!(first.seen()[0].attributes, kind(1), "what it came for");
        }
        assert!((1_500..1_700).contains(&parts), "{parts}");
        assert!((700..900).contains(&merged), "{merged}");
    }

    #[test]
    fn one_client_with_a_million_requests_keeps_nobody_out() {
        let mut followed = Followed::new();
        (0..1_000_000).for_each(|_| followed.add(&one(1)));
        (2..400).for_each(|identity| followed.add(&one(identity)));
        assert_eq!((followed.bar(), followed.seen().len()), (u64::MAX, 399));
    }

    #[test]
    fn two_workers_follow_the_same_clients_as_one() {
        let (mut one_worker, mut a, mut b) = (Followed::new(), Followed::new(), Followed::new());
        for client in 0..3_000u64 {
            let seen = one(client.wrapping_mul(0x9876_5432_1234_5677));
            for followed in [&mut one_worker, if client % 3 == 0 { &mut a } else { &mut b }] {
                if place_of(seen.identity) <= followed.bar {
                    followed.add(&seen);
                }
            }
        }
        a.merge(&b);
        let sorted = |followed: &Followed| {
            let mut identities: Vec<u64> =
                followed.seen().iter().map(|seen| seen.identity).collect();
            identities.sort_unstable();
            identities
        };
        assert_eq!(a.bar(), one_worker.bar());
        assert_eq!(sorted(&a), sorted(&one_worker));
    }

    #[test]
    fn after_a_flood_everybody_is_followed_again() {
        let mut followed = Followed::new();
        (0..100_000u64).for_each(|client| {
            if place_of(client) <= followed.bar {
                followed.add(&one(client));
            }
        });
        assert!(followed.bar() < u64::MAX / 64);
        (0..80).for_each(|_| followed.clear());
        assert_eq!(followed.bar(), u64::MAX);
    }
}
