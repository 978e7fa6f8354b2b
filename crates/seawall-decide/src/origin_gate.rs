//! The fourth gate: who may make the origin work.
//!
//! One state machine per origin: a limit on requests at work, and a bounded queue before it.
//! Readers are served least recent demand first, first come first served among equals; background
//! work (revalidation, crawling) gets spare capacity only. Sans-IO: the caller keeps it under one
//! short mutex, wakes the waiters `W` that are handed out, and asks again at
//! [`OriginGate::poll_timeout`]. Every operation is O(log waiters).
//!
//! The limit is fixed here and changed from outside by [`OriginGate::set_limit`]; measuring what
//! the origin bears is not its task. It does **not** know what a request is, nor does it fetch.
//!
//! Overflow policy: a full queue drops background work first; then a newcomer with less demand
//! displaces the reader with the most; else the newcomer is refused. Waiters beyond
//! `queue_timeout` are handed back by [`OriginGate::expire`].

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use seawall_model::Instant;

/// How an [`OriginGate`] is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OriginGateConfig {
    /// Requests at work in the origin at once; at least 1.
    pub max_concurrency: usize,
    /// Waiters, readers and background together.
    pub max_queue: usize,
    /// Longest wait.
    pub queue_timeout: Duration,
    /// Part of the concurrency that background work may fill, 0 to 1; at least one permit, so that
    /// an idle origin always takes some.
    pub background_share: f32,
}

impl OriginGateConfig {
    fn normalised(self) -> Self {
        Self { max_concurrency: self.max_concurrency.max(1), ..self }
    }
}

/// For whom the origin works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkClass {
    /// Somebody waits for the answer.
    Reader,
    /// Revalidation, crawling: spare capacity only.
    Background,
}

/// The right to one request to the origin. Only [`OriginGate`] makes them (rule 12), and each must
/// come back through [`OriginGate::release`]: one that is dropped is capacity lost.
#[derive(Debug)]
#[must_use = "a permit that is not released is capacity lost"]
pub struct OriginPermit {
    class: WorkClass,
    identity: u128,
    granted_at: Instant,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    class: WorkClass,
    rank: Rank,
}

/// The answer to a request for a permit.
#[derive(Debug)]
#[must_use]
pub enum Asked<W> {
    /// Go.
    Granted(OriginPermit),
    /// Wait to be woken. `displaced` had to leave for it and is to be refused.
    Queued {
        /// The place, for [`OriginGate::cancel`].
        ticket: Ticket,
        /// Who had to leave.
        displaced: Option<W>,
    },
    /// No room: refuse.
    Full,
}

/// What happened so far, for metrics and status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginGateCounters {
    /// Permits out now.
    pub in_flight: usize,
    /// Waiters now.
    pub queued: usize,
    /// Permits granted so far.
    pub granted: u64,
    /// Refused so far: newcomers, displaced and expired.
    pub refused: u64,
    /// Most permits ever out at once.
    pub peak_in_flight: usize,
    /// Most waiters ever at once.
    pub peak_queued: usize,
}

/// The gate before one origin. `W` is what the caller wakes a waiter with.
#[derive(Debug)]
pub struct OriginGate<W> {
    config: OriginGateConfig,
    readers: BTreeMap<Rank, Waiter<W>>,
    background: BTreeMap<Rank, Waiter<W>>,
    /// Waiters by deadline. The sequence number makes keys unique.
    deadlines: BTreeMap<(Instant, u64), Ticket>,
    next_sequence: u64,
    counters: OriginGateCounters,
}

/// Order in the queue: less demand first, then earlier first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Rank {
    demand: u32,
    sequence: u64,
}

#[derive(Debug)]
struct Waiter<W> {
    waiter: W,
    identity: u128,
    deadline: Instant,
}

impl OriginPermit {
    /// For whom the origin works.
    pub const fn class(&self) -> WorkClass {
        self.class
    }

    /// Who asked, as given to [`OriginGate::request`].
    pub const fn identity(&self) -> u128 {
        self.identity
    }

    /// When the work began.
    pub const fn granted_at(&self) -> Instant {
        self.granted_at
    }
}

impl<W> OriginGate<W> {
    /// An idle gate. A `max_concurrency` of 0 counts as 1.
    pub fn new(config: OriginGateConfig) -> Self {
        Self {
            config: config.normalised(),
            readers: BTreeMap::new(),
            background: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            next_sequence: 0,
            counters: OriginGateCounters::default(),
        }
    }

    /// Asks for a permit. `demand` is that of the identity as [`crate::Limiters::demand`] tells it,
    /// this attempt included. `make_waiter` is called only if the asker has to wait.
    pub fn request(
        &mut self,
        now: Instant,
        class: WorkClass,
        identity: u128,
        demand: u32,
        make_waiter: impl FnOnce() -> W,
    ) -> Asked<W> {
        let nobody_before = match class {
            WorkClass::Reader => self.readers.is_empty(),
            WorkClass::Background => self.readers.is_empty() && self.background.is_empty(),
        };
        if nobody_before && self.has_room_for(class) {
            return Asked::Granted(self.grant(now, class, identity));
        }
        let mut displaced = None;
        if self.queued() >= self.config.max_queue {
            self.counters.refused += 1;
            let Some(ticket) = self.displaceable_by(class, demand) else { return Asked::Full };
            displaced = self.remove(ticket).map(|waiter| waiter.waiter);
        }
        let rank = Rank { demand, sequence: self.next_sequence };
        self.next_sequence += 1;
        let deadline = now + self.config.queue_timeout;
        let ticket = Ticket { class, rank };
        let waiter = Waiter { waiter: make_waiter(), identity, deadline };
        self.queue_mut(class).insert(rank, waiter);
        self.deadlines.insert((deadline, rank.sequence), ticket);
        self.counters.peak_queued = self.counters.peak_queued.max(self.queued());
        Asked::Queued { ticket, displaced }
    }

    /// Takes a permit back, and hands it on to whom it is due, who is to be woken with it.
    ///
    /// If that waiter turns out to be gone, release its permit in turn.
    #[must_use = "the waiter must be woken, or its permit is lost"]
    pub fn release(&mut self, now: Instant, permit: OriginPermit) -> Option<(W, OriginPermit)> {
        let OriginPermit { .. } = permit;
        self.counters.in_flight = self.counters.in_flight.saturating_sub(1);
        self.poll_grant(now)
    }

    /// The next waiter that may go now. Call until `None` after [`Self::set_limit`], and once
    /// after [`Self::cancel`] or [`Self::expire`]: background work may have waited for the last
    /// reader to leave.
    #[must_use = "the waiter must be woken, or its permit is lost"]
    pub fn poll_grant(&mut self, now: Instant) -> Option<(W, OriginPermit)> {
        let class = if self.readers.is_empty() { WorkClass::Background } else { WorkClass::Reader };
        if !self.has_room_for(class) {
            return None;
        }
        let (rank, waiter) = self.queue_mut(class).pop_first()?;
        self.deadlines.remove(&(waiter.deadline, rank.sequence));
        let permit = self.grant(now, class, waiter.identity);
        Some((waiter.waiter, permit))
    }

    /// Takes a waiter out that no longer wants to wait. `None` if it is not waiting any more: it
    /// was granted a permit (which must be released), displaced, or has expired.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        self.remove(ticket).map(|waiter| waiter.waiter)
    }

    /// Takes out all whose deadline has come; they are to be refused.
    #[must_use = "these waiters are no longer in the queue and must be refused"]
    pub fn expire(&mut self, now: Instant) -> Vec<W> {
        let mut expired = Vec::new();
        while let Some((&(deadline, _), &ticket)) = self.deadlines.first_key_value()
            && deadline <= now
        {
            let Some(waiter) = self.remove(ticket) else { break };
            self.counters.refused += 1;
            expired.push(waiter.waiter);
        }
        expired
    }

    /// When [`Self::expire`] has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|(&(deadline, _), _)| deadline)
    }

    /// Takes other bounds into force. Who waits already keeps place and deadline. Call
    /// [`Self::poll_grant`] until `None` afterwards.
    pub fn reconfigure(&mut self, config: OriginGateConfig) {
        self.config = config.normalised();
    }

    /// Changes the limit on concurrency; at least 1. Permits that are out stay out: a lower limit
    /// is reached as they come back. Call [`Self::poll_grant`] until `None` after a raise.
    pub const fn set_limit(&mut self, max_concurrency: usize) {
        self.config.max_concurrency = if max_concurrency == 0 { 1 } else { max_concurrency };
    }

    /// Requests at work in the origin at once.
    pub const fn limit(&self) -> usize {
        self.config.max_concurrency
    }

    /// What happened so far.
    pub fn counters(&self) -> OriginGateCounters {
        OriginGateCounters { queued: self.queued(), ..self.counters }
    }

    fn queued(&self) -> usize {
        self.deadlines.len()
    }

    fn has_room_for(&self, class: WorkClass) -> bool {
        let limit = self.config.max_concurrency;
        let limit = match class {
            WorkClass::Reader => limit,
            WorkClass::Background => {
                // Truncation is meant: the share is an upper bound. A NaN counts as 0.
                let share = limit as f32 * self.config.background_share.clamp(0.0, 1.0);
                (share as usize).clamp(1, limit)
            }
        };
        self.counters.in_flight < limit
    }

    fn grant(&mut self, now: Instant, class: WorkClass, identity: u128) -> OriginPermit {
        let counters = &mut self.counters;
        counters.in_flight += 1;
        counters.granted += 1;
        counters.peak_in_flight = counters.peak_in_flight.max(counters.in_flight);
        OriginPermit { class, identity, granted_at: now }
    }

    /// Who leaves a full queue for a newcomer: the last in line, if the newcomer ranks before it.
    fn displaceable_by(&self, class: WorkClass, demand: u32) -> Option<Ticket> {
        if let Some((&rank, _)) = self.background.last_key_value()
            && (class == WorkClass::Reader || demand < rank.demand)
        {
            return Some(Ticket { class: WorkClass::Background, rank });
        }
        let (&rank, _) = self.readers.last_key_value()?;
        (class == WorkClass::Reader && demand < rank.demand)
            .then_some(Ticket { class: WorkClass::Reader, rank })
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Waiter<W>> {
        let waiter = self.queue_mut(ticket.class).remove(&ticket.rank)?;
        self.deadlines.remove(&(waiter.deadline, ticket.rank.sequence));
        Some(waiter)
    }

    const fn queue_mut(&mut self, class: WorkClass) -> &mut BTreeMap<Rank, Waiter<W>> {
        match class {
            WorkClass::Reader => &mut self.readers,
            WorkClass::Background => &mut self.background,
        }
    }
}
