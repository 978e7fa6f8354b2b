//! Pacing of bytes out, when `limits.egress_bytes_per_second` is set.
//!
//! Pages, styles and anything small go before objects over 256 KiB, and within each class
//! identities take turns (deficit round robin over hashed buckets, Shreedhar and Varghese 1995),
//! so that no identity fills the link while another wants to send (attack A22). One turn in
//! sixteen goes to bulk also while pages wait, so that no download starves for good.
//!
//! Sans-IO, in the shape of [`crate::OriginGate`]: before each write a connection asks for the
//! bytes it wants to send, and either may send some now or waits for `W` to be woken with a grant.
//! With no rate configured there is no `Egress` and nothing to pay. With one, all workers share it
//! under one short mutex (every operation is O(1) but for the skipping of buckets emptied by
//! [`Egress::cancel`], at most once per cancel), and one task polls it at
//! [`Egress::poll_timeout`]. A rate of 1 Gbit/s makes about 2,000 full grants a second.
//!
//! Why not "wait until then and ask again": the turn of a waiter depends on who else comes. A time
//! told in advance is either too late, and the link idles, or too early, and all waiters ask again
//! at each chance.
//!
//! It does **not** see the socket buffers: what was granted counts as sent.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use seawall_model::{Instant, Priority};
use siphasher::sip::SipHasher13;

/// How an [`Egress`] is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressConfig {
    /// Bytes per second to all clients together; at least 1.
    pub bytes_per_second: u64,
    /// Waiters at once. One per connection is enough: `limits.max_connections`.
    pub max_waiters: usize,
    /// Random and secret, so that nobody can aim at the bucket of another.
    pub seed: [u64; 2],
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EgressTicket {
    slot: u32,
    generation: u32,
}

/// The answer to a wish to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum EgressAsked {
    /// Send this many bytes now: at most what was asked, and at most a quantum. Ask again for the
    /// rest.
    Now(usize),
    /// Wait to be woken with a grant.
    Queued(EgressTicket),
    /// `max_waiters` are waiting: close the connection.
    Full,
}

/// The pacing of one link. `W` is what the caller wakes a waiter with.
#[derive(Debug)]
pub struct Egress<W> {
    link: Link,
    slots: Slots<W>,
    pages: Class,
    bulk: Class,
    page_bytes_since_bulk: usize,
    seed: [u64; 2],
}

impl<W> Egress<W> {
    /// An idle link.
    pub fn new(config: EgressConfig) -> Self {
        let link = Link::new(config.bytes_per_second);
        Self {
            slots: Slots::new(config.max_waiters),
            pages: Class::new(link.quantum),
            bulk: Class::new(link.quantum),
            link,
            page_bytes_since_bulk: 0,
            seed: config.seed,
        }
    }

    /// Asks to send `bytes`. `make_waiter` is called only if the asker has to wait.
    pub fn ask(
        &mut self,
        now: Instant,
        identity: u128,
        priority: Priority,
        bytes: usize,
        make_waiter: impl FnOnce() -> W,
    ) -> EgressAsked {
        let bytes = bytes.min(self.link.quantum);
        let nobody_before = match priority {
            Priority::Page => self.pages.waiting == 0 && !self.is_turn_of_bulk(),
            Priority::Bulk => self.waiting() == 0,
        };
        if nobody_before && self.link.is_free(now) {
            self.spend(now, priority, bytes);
            return EgressAsked::Now(bytes);
        }
        if self.slots.is_full() {
            return EgressAsked::Full;
        }
        let bucket = self.bucket(identity);
        let waiting =
            Waiting { waiter: make_waiter(), bytes, priority, bucket, next: None, previous: None };
        let ticket = self.slots.insert(waiting);
        let Self { slots, pages, bulk, .. } = self;
        let class = if priority == Priority::Page { pages } else { bulk };
        class.push(slots, ticket.slot, bucket);
        EgressAsked::Queued(ticket)
    }

    /// The next waiter that may send now, and how many bytes. Call until `None`.
    #[must_use = "the waiter must be woken, or its bytes are lost"]
    pub fn poll(&mut self, now: Instant) -> Option<(W, usize)> {
        if !self.link.is_free(now) {
            return None;
        }
        let bulk_first = self.pages.waiting == 0 || self.is_turn_of_bulk();
        let class = if bulk_first { &mut self.bulk } else { &mut self.pages };
        let slot = class.next(&mut self.slots)?;
        let waiting = self.slots.remove(slot)?;
        self.spend(now, waiting.priority, waiting.bytes);
        Some((waiting.waiter, waiting.bytes))
    }

    /// When [`Self::poll`] has something to do next; in the past if it has now. `None` while
    /// nobody waits.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting() == 0 { None } else { Some(self.link.free_at) }
    }

    /// Takes a waiter out that no longer wants to send. `None` if it was granted already; what it
    /// then does not send goes to [`Self::give_back`].
    pub fn cancel(&mut self, ticket: EgressTicket) -> Option<W> {
        let waiting = self.slots.waiting(ticket)?;
        let class = match waiting.priority {
            Priority::Page => &mut self.pages,
            Priority::Bulk => &mut self.bulk,
        };
        class.unlink(&mut self.slots, ticket.slot);
        self.slots.remove(ticket.slot).map(|waiting| waiting.waiter)
    }

    /// Returns bytes that were granted and not sent, because the write was short or the client
    /// left.
    pub fn give_back(&mut self, bytes: usize) {
        self.link.give_back(bytes);
    }

    /// Waiters now.
    pub const fn waiting(&self) -> usize {
        self.pages.waiting + self.bulk.waiting
    }

    /// The most bytes granted at once.
    pub const fn quantum(&self) -> usize {
        self.link.quantum
    }

    const fn is_turn_of_bulk(&self) -> bool {
        self.bulk.waiting > 0 && self.page_bytes_since_bulk >= PAGE_TURNS * self.link.quantum
    }

    fn spend(&mut self, now: Instant, priority: Priority, bytes: usize) {
        self.link.send(now, bytes);
        self.page_bytes_since_bulk = match priority {
            Priority::Page => self.page_bytes_since_bulk.saturating_add(bytes),
            Priority::Bulk => 0,
        };
    }

    fn bucket(&self, identity: u128) -> u16 {
        let [key0, key1] = self.seed;
        let hash = SipHasher13::new_with_keys(key0, key1).hash(&identity.to_le_bytes());
        (hash % BUCKETS as u64) as u16
    }
}

/// When the link is free, as virtual scheduling: each grant moves the time on by what it takes.
#[derive(Debug)]
struct Link {
    bytes_per_second: u64,
    free_at: Instant,
    quantum: usize,
}

impl Link {
    fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = bytes_per_second.max(1);
        // One millisecond of the link, but no less than a segment and no more than what one write
        // carries well.
        let quantum = usize::try_from(bytes_per_second / 1_000).unwrap_or(usize::MAX);
        let quantum = quantum.clamp(1_460, 64 * 1024);
        Self { bytes_per_second, free_at: Instant::from_nanos(0), quantum }
    }

    fn is_free(&self, now: Instant) -> bool {
        self.free_at <= now
    }

    fn send(&mut self, now: Instant, bytes: usize) {
        let earliest = now.as_nanos().saturating_sub(BURST_NANOS);
        let from = self.free_at.as_nanos().max(earliest);
        self.free_at = Instant::from_nanos(from.saturating_add(self.nanos(bytes)));
    }

    fn give_back(&mut self, bytes: usize) {
        let free_at = self.free_at.as_nanos().saturating_sub(self.nanos(bytes));
        self.free_at = Instant::from_nanos(free_at);
    }

    fn nanos(&self, bytes: usize) -> u64 {
        let nanos = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second);
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

/// The queue of one class: buckets of waiters that take turns.
#[derive(Debug)]
struct Class {
    buckets: Box<[Bucket]>,
    /// Buckets with waiters, each once, next first. One emptied by a cancel stays until its turn.
    turns: VecDeque<u16>,
    waiting: usize,
    quantum: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    first: Option<u32>,
    last: Option<u32>,
    /// Bytes it may still send in this turn.
    deficit: usize,
    has_turn: bool,
}

impl Class {
    fn new(quantum: usize) -> Self {
        let buckets = core::iter::repeat_n(Bucket::default(), BUCKETS).collect();
        Self { buckets, turns: VecDeque::with_capacity(BUCKETS), waiting: 0, quantum }
    }

    fn push<W>(&mut self, slots: &mut Slots<W>, slot: u32, bucket: u16) {
        let entry = &mut self.buckets[usize::from(bucket)];
        let previous = entry.last.replace(slot);
        match previous {
            Some(previous) => slots.link(previous, slot),
            None => entry.first = Some(slot),
        }
        if !entry.has_turn {
            entry.has_turn = true;
            entry.deficit = self.quantum;
            self.turns.push_back(bucket);
        }
        self.waiting += 1;
    }

    /// Unlinks and returns the slot whose turn it is.
    fn next<W>(&mut self, slots: &mut Slots<W>) -> Option<u32> {
        loop {
            let bucket = *self.turns.front()?;
            let entry = &mut self.buckets[usize::from(bucket)];
            let Some(first) = entry.first else {
                *entry = Bucket::default();
                self.turns.pop_front();
                continue;
            };
            let bytes = slots.bytes(first);
            if let Some(left) = entry.deficit.checked_sub(bytes) {
                entry.deficit = left;
                self.unlink(slots, first);
                return Some(first);
            }
            // No ask exceeds a quantum, so that every bucket sends something at each turn.
            entry.deficit += self.quantum;
            self.turns.rotate_left(1);
        }
    }

    fn unlink<W>(&mut self, slots: &mut Slots<W>, slot: u32) {
        let Some((bucket, previous, next)) = slots.unlink(slot) else { return };
        let entry = &mut self.buckets[usize::from(bucket)];
        if entry.first == Some(slot) {
            entry.first = next;
        }
        if entry.last == Some(slot) {
            entry.last = previous;
        }
        self.waiting -= 1;
    }
}

/// Waiters at places that do not move, linked to the queues of their buckets.
#[derive(Debug)]
struct Slots<W> {
    slots: Vec<Slot<W>>,
    free: Vec<u32>,
    max: usize,
}

#[derive(Debug)]
struct Slot<W> {
    /// Tells a ticket from those of earlier waiters in the same place.
    generation: u32,
    waiting: Option<Waiting<W>>,
}

#[derive(Debug)]
struct Waiting<W> {
    waiter: W,
    bytes: usize,
    priority: Priority,
    bucket: u16,
    next: Option<u32>,
    previous: Option<u32>,
}

impl<W> Slots<W> {
    fn new(max: usize) -> Self {
        // Slots are numbered with 32 bits.
        Self { slots: Vec::new(), free: Vec::new(), max: max.min(u32::MAX as usize) }
    }

    fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= self.max
    }

    fn insert(&mut self, waiting: Waiting<W>) -> EgressTicket {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.waiting = Some(waiting);
            return EgressTicket { slot, generation: entry.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, waiting: Some(waiting) });
        EgressTicket { slot, generation: 0 }
    }

    fn remove(&mut self, slot: u32) -> Option<Waiting<W>> {
        let entry = self.slots.get_mut(slot as usize)?;
        let waiting = entry.waiting.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot);
        Some(waiting)
    }

    fn waiting(&self, ticket: EgressTicket) -> Option<&Waiting<W>> {
        let entry = self.slots.get(ticket.slot as usize)?;
        entry.waiting.as_ref().filter(|_| entry.generation == ticket.generation)
    }

    fn at(&mut self, slot: u32) -> Option<&mut Waiting<W>> {
        self.slots.get_mut(slot as usize)?.waiting.as_mut()
    }

    fn bytes(&self, slot: u32) -> usize {
        let waiting = self.slots.get(slot as usize).and_then(|entry| entry.waiting.as_ref());
        waiting.map_or(0, |waiting| waiting.bytes)
    }

    fn link(&mut self, previous: u32, next: u32) {
        if let Some(waiting) = self.at(previous) {
            waiting.next = Some(next);
        }
        if let Some(waiting) = self.at(next) {
            waiting.previous = Some(previous);
        }
    }

    /// Joins the neighbours of a slot; returns its bucket and them.
    fn unlink(&mut self, slot: u32) -> Option<(u16, Option<u32>, Option<u32>)> {
        let waiting = self.at(slot)?;
        let (bucket, previous, next) = (waiting.bucket, waiting.previous, waiting.next);
        if let Some(previous) = previous.and_then(|slot| self.at(slot)) {
            previous.next = next;
        }
        if let Some(next) = next.and_then(|slot| self.at(slot)) {
            next.previous = previous;
        }
        Some((bucket, previous, next))
    }
}

/// Per class. Identities that share a bucket share its turns; at 1,000 identities at once that is
/// more than half of them, and still no one gets more than a bucket's worth.
const BUCKETS: usize = 1_024;
/// Full turns of pages to one of bulk, while both wait.
const PAGE_TURNS: usize = 15;
/// What an idle link may catch up: the timers that drive [`Egress::poll`] are coarse (1 ms).
const BURST_NANOS: u64 = 5_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adversary::check_spread;

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        let link = |seed| {
            Egress::<()>::new(EgressConfig {
                bytes_per_second: 1_000_000,
                max_waiters: 8,
                seed: [seed, 2],
            })
        };
        let (known, ours) = (link(1), link(3));
        let of = |egress: &Egress<()>, key: u64| u64::from(egress.bucket(u128::from(key)));
        check_spread(|key| of(&known, key), |key| of(&ours, key));
    }
}
