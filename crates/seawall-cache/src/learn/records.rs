//! What was observed: parameters under watch, pages to compare with, open questions. All bounded.
//!
//! Separate so that the rules of learning can be read without their bookkeeping.

use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;
use seawall_model::Instant;

use crate::flight::KeyedState;

/// What is known about a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not enough.
    Learning,
    /// It changes nothing.
    Ignored,
    /// An answer differed; whether for its sake is not known yet.
    Doubted,
    /// It changes something.
    Matters,
}

#[derive(Clone, Debug)]
struct Record {
    state: State,
    /// Hashes of the values or names that changed nothing.
    seen: [u32; MAX_SEEN],
    count: u8,
    /// While it matters: until when.
    until: Instant,
    /// When the next request may go to the origin whole (GCRA, theoretical arrival time).
    whole_at: Option<Instant>,
    born: u64,
}

/// An answer that differed from the page.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) page: (u64, u64),
    /// The page as it was held.
    pub(super) held: u128,
    /// What came instead; `None`: something that cannot be stored.
    pub(super) other: Option<u128>,
    pub(super) records: Vec<u64>,
    /// The states before the doubt.
    pub(super) was: Vec<State>,
    /// The names, alone and on the site.
    pub(super) sites: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Page {
    variant: u64,
    digest: u128,
    fresh_until: Instant,
    born: u64,
}

#[derive(Debug)]
pub(super) struct Records {
    records: HashMap<u64, Record, KeyedState>,
    order: VecDeque<(u64, u64)>,
    pages: HashMap<u64, Page, KeyedState>,
    page_order: VecDeque<(u64, u64)>,
    doubts: VecDeque<Doubt>,
    max_records: usize,
    max_pages: usize,
    births: u64,
    evicted: u64,
}

/// How many different values are told apart.
pub(super) const MAX_SEEN: usize = 8;
/// Open questions at once. Beyond, the oldest is taken for settled: the parameter matters.
const MAX_DOUBTS: usize = 256;
/// How long a parameter that mattered is not watched again.
const MATTERS_FOR: Duration = Duration::from_secs(24 * 3600);
/// How often an ignored parameter is put to the origin again, and how many at once.
const WHOLE_EVERY: Duration = Duration::from_secs(120);
const WHOLE_BURST: u32 = 4;

impl Records {
    pub(super) fn new(max_records: usize, max_pages: usize, seed: [u64; 2]) -> Self {
        Self {
            records: HashMap::with_hasher(KeyedState(seed)),
            order: VecDeque::new(),
            pages: HashMap::with_hasher(KeyedState(seed)),
            page_order: VecDeque::new(),
            doubts: VecDeque::new(),
            max_records,
            max_pages,
            births: 0,
            evicted: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn state(&self, now: Instant, id: u64) -> State {
        match self.records.get(&id) {
            None => State::Learning,
            Some(record) if record.state == State::Matters && record.until <= now => {
                State::Learning
            }
            Some(record) => record.state,
        }
    }

    /// One more that changed nothing. Whether that was the one that was missing.
    pub(super) fn same(&mut self, now: Instant, id: u64, value: u32, needed: u8) -> bool {
        if self.state(now, id) != State::Learning {
            return false;
        }
        let record = self.record(now, id);
        record.state = State::Learning;
        let known = usize::from(record.count);
        if known < MAX_SEEN && !record.seen[..known].contains(&value) {
            record.seen[known] = value;
            record.count += 1;
        }
        if record.count >= needed {
            record.state = State::Ignored;
        }
        record.state == State::Ignored
    }

    /// Ends what was learned; the state before.
    pub(super) fn doubt(&mut self, now: Instant, id: u64) -> State {
        let was = self.state(now, id);
        if was != State::Matters {
            let record = self.record(now, id);
            record.state = State::Doubted;
            record.count = 0;
        }
        was
    }

    /// The doubt meant nothing: back to the beginning, or to what it was before.
    pub(super) fn undoubt(&mut self, doubt: &Doubt, restore: bool) {
        for (id, &was) in doubt.records.iter().zip(&doubt.was) {
            if let Some(record) = self.records.get_mut(id)
                && record.state == State::Doubted
            {
                let again = restore && was == State::Ignored;
                record.state = if again { State::Ignored } else { State::Learning };
            }
        }
    }

    pub(super) fn pin(&mut self, now: Instant, id: u64) {
        self.pin_for(now, id, MATTERS_FOR);
    }

    /// The same for another time, but not for longer.
    pub(super) fn pin_for(&mut self, now: Instant, id: u64, time: Duration) {
        let record = self.record(now, id);
        record.state = State::Matters;
        record.count = 0;
        record.until = now + time.min(MATTERS_FOR);
    }

    /// Takes over that a parameter changes nothing.
    pub(super) fn ignore(&mut self, now: Instant, id: u64) {
        self.record(now, id).state = State::Ignored;
    }

    /// The pages that others can be compared with now, and until when; the oldest first.
    pub(super) fn fresh_pages(&self, now: Instant) -> Vec<((u64, u64), u128, Instant)> {
        let mut pages: Vec<_> =
            self.pages.iter().filter(|(_, page)| page.fresh_until > now).collect();
        pages.sort_by_key(|(_, page)| page.born);
        let told = pages.into_iter();
        told.map(|(&id, page)| ((id, page.variant), page.digest, page.fresh_until)).collect()
    }

    /// What is settled, with the time until which it matters, if it does; the oldest first.
    pub(super) fn decided(&self) -> impl Iterator<Item = (u64, State, Instant)> {
        self.order.iter().filter_map(|&(id, born)| {
            let record = self.records.get(&id).filter(|record| record.born == born)?;
            let is_decided = matches!(record.state, State::Ignored | State::Matters);
            is_decided.then_some((id, record.state, record.until))
        })
    }

    /// GCRA: one in [`WHOLE_EVERY`], and [`WHOLE_BURST`] at once.
    pub(super) fn take_whole(&mut self, now: Instant, id: u64) -> bool {
        let record = self.record(now, id);
        let at = record.whole_at.map_or(now, |at| at.max(now));
        if at.saturating_since(now) > WHOLE_EVERY * (WHOLE_BURST - 1) {
            return false;
        }
        record.whole_at = Some(at + WHOLE_EVERY);
        true
    }

    /// Takes in a doubt; the oldest if that is one too many.
    pub(super) fn add_doubt(&mut self, doubt: Doubt) -> Option<Doubt> {
        self.doubts.push_back(doubt);
        if self.doubts.len() > MAX_DOUBTS { self.doubts.pop_front() } else { None }
    }

    pub(super) fn take_doubts(&mut self, page: (u64, u64)) -> Vec<Doubt> {
        if self.doubts.is_empty() {
            return Vec::new();
        }
        let all = std::mem::take(&mut self.doubts);
        let (mine, others) = all.into_iter().partition(|doubt| doubt.page == page);
        self.doubts = others;
        Vec::from(mine)
    }

    pub(super) fn put_page(
        &mut self,
        (id, variant): (u64, u64),
        digest: u128,
        fresh_until: Instant,
    ) {
        self.births += 1;
        let born = self.births;
        let page = Page { variant, digest, fresh_until, born };
        // One variant of a page is remembered: what most readers get is stored most often.
        if self.pages.insert(id, page).is_none_or(|old| old.born + (self.max_pages as u64) < born) {
            self.page_order.push_back((id, born));
        }
        while self.pages.len() > self.max_pages || self.page_order.len() > 2 * self.max_pages {
            let Some((oldest, _)) = self.page_order.pop_front() else { break };
            self.pages.remove(&oldest);
        }
    }

    pub(super) fn page_digest(&self, (id, variant): (u64, u64)) -> Option<u128> {
        self.pages.get(&id).filter(|page| page.variant == variant).map(|page| page.digest)
    }

    pub(super) fn fresh_page(&self, now: Instant, (id, variant): (u64, u64)) -> Option<u128> {
        let page = self.pages.get(&id).filter(|page| page.variant == variant)?;
        (page.fresh_until > now).then_some(page.digest)
    }

    /// The page in whatever variant is remembered.
    pub(super) fn any_page(&self, id: u64) -> Option<(u64, u64)> {
        self.pages.get(&id).map(|page| (id, page.variant))
    }

    fn record(&mut self, now: Instant, id: u64) -> &mut Record {
        if !self.records.contains_key(&id) {
            self.make_room(now);
            self.births += 1;
            self.order.push_back((id, self.births));
        }
        let born = self.births;
        self.records.entry(id).or_insert_with(|| Record {
            state: State::Learning,
            seen: [0; MAX_SEEN],
            count: 0,
            until: now,
            whole_at: None,
            born,
        })
    }

    /// Forgets the oldest, those that matter last.
    fn make_room(&mut self, now: Instant) {
        let mut spared = 0;
        while self.records.len() >= self.max_records {
            let Some((id, born)) = self.order.pop_front() else { return };
            let Some(record) = self.records.get(&id) else { continue };
            if record.born != born {
                continue;
            }
            if record.state == State::Matters && record.until > now && spared < MAX_SPARED {
                spared += 1;
                self.order.push_back((id, born));
                continue;
            }
            self.records.remove(&id);
            self.evicted += 1;
        }
    }
}

/// How many that matter are passed over in search of one that does not.
const MAX_SPARED: usize = 64;
