//! The fourth gate: who may make the origin work.
//!
//! One state machine per origin: a limit on requests at work, found by measuring
//! ([`AdaptiveLimiter`]), and a bounded queue before it. Signed-in readers go first, then those with a
//! credential from before, those who passed a test, anonymous ones, those who match an attack; within a
//! class whoever asked for least lately. Background work gets spare capacity only.
//!
//! Kept shares, once such a reader was seen in the last minute: a fifth of the limit for signed-in and
//! aged readers, a tenth for Tor exits. Templates that cost over five times the median one of those that others
//! than an attack ask for, and what the operator calls costly, may fill a quarter of the limit; where it fell under
//! them, what is above their quarter does not count, and nothing is learnt from it. What became a stream (WebSocket,
//! event stream) leaves the limit for a lane of its own, a quarter of the upper end; one identity takes at most a quarter of that lane, and a fifth of
//! it is kept for signed-in and aged readers.
//!
//! Sans-IO: the caller keeps it under one short mutex, wakes the waiters `W` that are handed out, and
//! asks again at [`OriginGate::poll_timeout`]. Every operation is O(log waiters). It does **not** know
//! what a request is, nor does it fetch.
//!
//! Overflow policy: the queue holds what can be served before the deadline, `max_queue` at most. A full
//! one drops background work first; then a newcomer of a better class or with less demand displaces the
//! last in line; else the newcomer is refused. Tor keeps a tenth of the places, and dear pages get a quarter at most. Waiters beyond
//! `queue_timeout` are handed back by [`OriginGate::expire`]. All of it is counted by class.

mod class;
mod pressure;
mod queue;
mod streams;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use seawall_model::Instant;

use self::class::{GROUPS, Group};
pub use self::class::{WorkClass, WorkSource};
use self::pressure::Pressure;
pub use self::queue::Ticket;
use self::queue::{Cost, Lane, Order, Queue, level};
use self::streams::Streams;
use crate::adaptive::{AdaptiveConfig, AdaptiveLimiter, WorkOutcome, WorkSample};
use crate::costs::Price;
use crate::places::place;

/// How an [`OriginGate`] is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OriginGateConfig {
    /// Lower end of the limit on requests at work; at least 1. Equal to the upper end it is fixed.
    pub min_concurrency: usize,
    /// Upper end; at least 1.
    pub max_concurrency: usize,
    /// Waiters, readers and background together.
    pub max_queue: usize,
    /// Longest wait.
    pub queue_timeout: Duration,
    /// Part of the limit that background work may fill, 0 to 1; at least one permit, so that an idle
    /// origin always takes some.
    pub background_share: f32,
    /// Templates whose cost is remembered.
    pub max_templates: usize,
}

impl OriginGateConfig {
    const fn adaptive(&self) -> AdaptiveConfig {
        AdaptiveConfig {
            min: self.min_concurrency,
            max: self.max_concurrency,
            max_templates: self.max_templates,
        }
    }

    fn max_streams(&self) -> usize {
        (self.max_concurrency / 4).max(1)
    }
}

/// Who asks for a permit, and for what.
#[derive(Clone, Copy, Debug)]
pub struct WorkRequest {
    /// How it is ranked.
    pub class: WorkClass,
    /// Whether a share is kept for where it comes from, and whether others come from there.
    pub source: WorkSource,
    /// Who it counts against.
    pub identity: u128,
    /// The demand of that identity as [`crate::Limiters::demand`] tells it, this attempt included.
    pub demand: u32,
    /// What it asks for, as [`crate::Templater`] names it.
    pub template: u64,
    /// Whether the operator calls it expensive.
    pub price: WorkPrice,
}

/// Whether work goes into the quarter of the limit that expensive work may fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WorkPrice {
    /// If its template was found to cost over five times the median one.
    #[default]
    Measured,
    /// It does.
    Costly,
}

/// The right to one request to the origin. Only [`OriginGate`] makes them (rule 12), and each must
/// come back through [`OriginGate::release`] or [`OriginGate::into_stream`]: one that is dropped is
/// capacity lost.
#[derive(Debug)]
#[must_use = "a permit that is not released is capacity lost"]
pub struct OriginPermit {
    class: WorkClass,
    source: WorkSource,
    group: Group,
    cost: Cost,
    identity: u128,
    template: u64,
    granted_at: Instant,
    in_flight: usize,
    is_beside_dear: bool,
    ended: Option<(Duration, WorkOutcome)>,
}

/// The right to one stream. It must come back through [`OriginGate::release_stream`].
#[derive(Debug)]
#[must_use = "a stream that is not released is capacity lost"]
pub struct StreamPermit {
    group: Group,
    identity: u128,
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

/// One class in [`OriginGateCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounters {
    /// Waiters now.
    pub queued: usize,
    /// Permits granted so far.
    pub granted: u64,
    /// Refused so far: newcomers, displaced and expired.
    pub refused: u64,
}

/// What happened so far, for metrics and status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginGateCounters {
    /// Permits out now.
    pub in_flight: usize,
    /// Of these, those for pages that are dear or may be. Above a quarter of the limit they do not count towards it.
    pub dear: usize,
    /// Streams now.
    pub streams: usize,
    /// Waiters now.
    pub queued: usize,
    /// By class, in the order of [`WorkClass::ALL`].
    pub classes: [ClassCounters; WorkClass::ALL.len()],
    /// Of the refused, those not let in because half a second of better work waited.
    pub refused_by_threshold: u64,
    /// Streams that found their lane full.
    pub refused_streams: u64,
    /// Templates forgotten for others.
    pub templates_evicted: u64,
    /// Most permits ever out at once.
    pub peak_in_flight: usize,
    /// Most waiters ever at once.
    pub peak_queued: usize,
}

impl OriginGateCounters {
    /// Permits granted so far.
    pub fn granted(&self) -> u64 {
        self.classes.iter().map(|class| class.granted).sum()
    }

    /// Refused so far.
    pub fn refused(&self) -> u64 {
        self.classes.iter().map(|class| class.refused).sum()
    }
}

/// The gate before one origin. `W` is what the caller wakes a waiter with.
#[derive(Debug)]
pub struct OriginGate<W> {
    config: OriginGateConfig,
    limiter: AdaptiveLimiter,
    queue: Queue<W>,
    pressure: Pressure,
    /// Permits out by group, and when a group last asked.
    held: [usize; GROUPS.len()],
    asked: [Option<Instant>; GROUPS.len()],
    expensive: usize,
    /// Of those of which nobody saw an answer yet: all but the first in a while.
    unseen: usize,
    /// Templates without an answer that somebody asked for lately, by hash; whoever collides is the first again.
    asked_unseen: Box<[(u64, Instant)]>,
    streams: Streams,
    counters: OriginGateCounters,
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

    /// Notes how the origin did: at the response head, because how fast a reader takes the rest is not
    /// the origin's doing. A permit that comes back without says nothing about it.
    pub fn note(&mut self, now: Instant, outcome: WorkOutcome) {
        self.ended = Some((now.saturating_since(self.granted_at), outcome));
    }
}

impl<W> OriginGate<W> {
    /// An idle gate. A concurrency of 0 counts as 1.
    pub fn new(config: OriginGateConfig) -> Self {
        Self {
            config,
            limiter: AdaptiveLimiter::new(config.adaptive()),
            queue: Queue::new(),
            pressure: Pressure::new(),
            held: [0; GROUPS.len()],
            asked: [None; GROUPS.len()],
            expensive: 0,
            unseen: 0,
            asked_unseen: vec![(0, Instant::from_nanos(0)); ASKED_UNSEEN].into_boxed_slice(),
            streams: Streams::new(),
            counters: OriginGateCounters::default(),
        }
    }

    /// What `template` costs, in ordinary requests: 1/4 to 16, and 1 for one not known.
    pub fn relative_cost(&self, template: u64) -> f32 {
        self.limiter.costs().relative(template)
    }

    /// What `template` takes of an idle origin, if it is known.
    pub fn latency(&self, template: u64) -> Option<Duration> {
        self.limiter.costs().latency(template)
    }

    /// Asks for a permit. `make_waiter` is called only if the asker has to wait.
    pub fn request(
        &mut self,
        now: Instant,
        ask: WorkRequest,
        make_waiter: impl FnOnce() -> W,
    ) -> Asked<W> {
        self.limiter.tick(now);
        let cost = match self.limiter.costs().price(ask.template) {
            _ if ask.price == WorkPrice::Costly => Cost::Expensive,
            Price::Expensive => Cost::Expensive,
            Price::Unseen if self.is_asked_again(now, ask.template) => Cost::Unseen,
            Price::Unseen | Price::Ordinary => Cost::Ordinary,
        };
        let lane = Lane { class: ask.class, source: ask.source, cost };
        let level = level(ask.demand);
        let group = Group::of(ask.class, ask.source);
        self.asked[group.index()] = Some(now);
        // Dear pages wait for room of their own: how many ask for them says nothing of who else may come.
        if cost != Cost::Expensive {
            self.pressure.note_asked(now, ask.class, level);
        }
        if self.queue.before(PRESSING) == 0 {
            self.pressure.note_empty();
        }
        // Nobody overtakes who may go as well; who waits for another kind of room does not count.
        if self.has_room_for(now, lane)
            && self.queue.next(Order::OldestFirst, |other| self.has_room_for(now, other)).is_none()
        {
            self.pressure.note_served(now, Some(Duration::ZERO));
            return Asked::Granted(self.grant(now, lane, ask.identity, ask.template));
        }
        if ask.class != WorkClass::Background && !self.is_capped_by_cost(lane) {
            self.limiter.note_limited(now);
            self.pressure.note_limited();
        }
        let Some(displaced) = self.make_place(now, lane, level) else {
            self.counters.classes[ask.class.index()].refused += 1;
            return Asked::Full;
        };
        let deadline = now + self.config.queue_timeout;
        let of = (now, ask.identity, ask.template);
        let ticket = self.queue.push(lane, level, deadline, of, make_waiter());
        self.counters.peak_queued = self.counters.peak_queued.max(self.queue.len());
        Asked::Queued { ticket, displaced }
    }

    /// Takes a permit back, and learns from it. Call [`Self::poll_grant`] until `None` afterwards.
    pub fn release(&mut self, now: Instant, permit: OriginPermit) {
        let is_beside_dear = permit.is_beside_dear || self.is_dear_in_excess();
        self.take_back(&permit);
        if let Some((latency, outcome)) = permit.ended {
            let sample = WorkSample {
                template: permit.template,
                latency,
                outcome,
                in_flight_at_start: permit.in_flight,
                is_beside_dear,
            };
            self.limiter.observe(now, sample);
            if permit.class != WorkClass::Demoted {
                self.limiter.note_wanted(permit.template);
            }
        }
    }

    /// The next waiter that may go now. Call until `None` after [`Self::release`],
    /// [`Self::into_stream`], [`Self::reconfigure`], [`Self::cancel`] and [`Self::expire`]. If that
    /// waiter turns out to be gone, release its permit in turn.
    #[must_use = "the waiter must be woken, or its permit is lost"]
    pub fn poll_grant(&mut self, now: Instant) -> Option<(W, OriginPermit)> {
        self.limiter.tick(now);
        if self.queue.len() == 0 || !self.has_any_room() {
            return None;
        }
        let order = self.pressure.order();
        let ticket = self.queue.next(order, |lane| self.has_room_for(now, lane))?;
        let waiter = self.queue.remove(ticket)?;
        // Who is meant to wait says nothing of how much there is to do.
        let waited = now.saturating_since(waiter.since);
        self.pressure.note_served(now, ticket.lane.is_pressing().then_some(waited));
        let permit = self.grant(now, ticket.lane, waiter.identity, waiter.template);
        Some((waiter.waiter, permit))
    }

    /// Takes a waiter out that no longer wants to wait. `None` if it is not waiting any more: it
    /// was granted a permit (which must be released), displaced, or has expired.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        self.queue.remove(ticket).map(|waiter| waiter.waiter)
    }

    /// Takes out all whose deadline has come; they are to be refused.
    #[must_use = "these waiters are no longer in the queue and must be refused"]
    pub fn expire(&mut self, now: Instant) -> Vec<W> {
        let mut expired = Vec::new();
        while let Some((lane, waiter)) = self.queue.pop_expired(now) {
            self.counters.classes[lane.class.index()].refused += 1;
            expired.push(waiter.waiter);
        }
        expired
    }

    /// When [`Self::expire`] has something to do next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.queue.first_deadline()
    }

    /// The request became a stream: it leaves the limit, and its latency says nothing.
    ///
    /// # Errors
    /// The permit, when there is no place in the lane of streams: refuse the stream and release it.
    pub fn into_stream(&mut self, permit: OriginPermit) -> Result<StreamPermit, OriginPermit> {
        let who = (permit.group, permit.source, permit.identity);
        match self.streams.enter(self.config.max_streams(), who) {
            Ok(()) => {
                self.take_back(&permit);
                Ok(StreamPermit { group: permit.group, identity: permit.identity })
            }
            Err(()) => Err(OriginPermit { ended: None, ..permit }),
        }
    }

    /// A stream from the start, without a permit before: what is known to wait in the origin, as long
    /// polling does. `None`: there is no place in the lane.
    pub fn open_stream(&mut self, ask: WorkRequest) -> Option<StreamPermit> {
        let group = Group::of(ask.class, ask.source);
        self.streams.enter(self.config.max_streams(), (group, ask.source, ask.identity)).ok()?;
        Some(StreamPermit { group, identity: ask.identity })
    }

    /// A stream ended.
    pub fn release_stream(&mut self, permit: StreamPermit) {
        let StreamPermit { group, identity } = permit;
        self.streams.leave(group, identity);
    }

    /// Takes other bounds into force. Who waits already keeps place and deadline.
    pub fn reconfigure(&mut self, config: OriginGateConfig) {
        self.config = config;
        self.limiter.reconfigure(config.adaptive());
    }

    /// Requests that may be at work in the origin at once, as found by now.
    pub fn limit(&self) -> usize {
        self.limiter.steady_limit()
    }

    /// Whether that is as few as it may be.
    pub fn is_at_floor(&self) -> bool {
        self.limiter.is_at_floor()
    }

    /// What happened so far.
    pub fn counters(&self) -> OriginGateCounters {
        let mut counters = self.counters;
        counters.dear = self.dear();
        counters.queued = self.queue.len();
        counters.streams = self.streams.len();
        counters.refused_streams = self.streams.refused();
        counters.templates_evicted = self.limiter.costs().evictions();
        for class in WorkClass::ALL {
            counters.classes[class.index()].queued = self.queue.of_class(class);
        }
        counters
    }

    /// How long the one waits who waits longest.
    pub fn oldest_wait(&self, now: Instant) -> Option<Duration> {
        self.queue.oldest().map(|since| now.saturating_since(since))
    }

    /// How long the one waits who waits longest of those in `class` or a better one.
    pub fn oldest_wait_of(&self, now: Instant, class: WorkClass) -> Option<Duration> {
        self.queue.oldest_of(class).map(|since| now.saturating_since(since))
    }

    /// How long the reader waits who waits longest of those who were not put behind others. Demoted and dear requests and
    /// work in the background are meant to wait: that is no stress. O(waiting).
    pub fn readers_wait(&self, now: Instant) -> Option<Duration> {
        self.queue.oldest_pressing().map(|since| now.saturating_since(since))
    }

    /// How many times slower the origin is than at low load.
    pub const fn slowdown(&self) -> f32 {
        self.limiter.slowdown()
    }

    /// Whether some are refused at once so that others are served in time.
    pub const fn is_shedding(&self) -> bool {
        !self.pressure.is_open()
    }

    /// Whether somebody asked for this template not long ago: the first goes as any page does, so that a site with
    /// thousands of kinds of pages is served as ever, and shows what the others will cost.
    fn is_asked_again(&mut self, now: Instant, template: u64) -> bool {
        let place = &mut self.asked_unseen[place(template, ASKED_UNSEEN)];
        if place.0 == template && now.saturating_since(place.1) < AGAIN {
            return true;
        }
        *place = (template, now);
        false
    }

    fn take_back(&mut self, permit: &OriginPermit) {
        self.counters.in_flight = self.counters.in_flight.saturating_sub(1);
        let held = &mut self.held[permit.group.index()];
        *held = held.saturating_sub(1);
        match permit.cost {
            Cost::Ordinary => {}
            Cost::Expensive => self.expensive = self.expensive.saturating_sub(1),
            Cost::Unseen => self.unseen = self.unseen.saturating_sub(1),
        }
    }

    fn has_room_for(&self, now: Instant, lane: Lane) -> bool {
        let limit = self.limiter.limit();
        if !self.has_any_room() || self.is_capped_by_cost(lane) {
            return false;
        }
        let in_flight = self.in_flight_now();
        if lane.class == WorkClass::Background {
            // Truncation is meant: the share is an upper bound. A NaN counts as 0.
            let share = limit as f32 * self.config.background_share.clamp(0.0, 1.0);
            if self.queue.has_foreground() || in_flight >= (share as usize).clamp(1, limit) {
                return false;
            }
        }
        let own = Group::of(lane.class, lane.source);
        // Its share is a group's whatever is kept for others: else, when the limit fell, none of them got in.
        if self.held[own.index()] < own.share(limit) {
            return true;
        }
        let kept: usize = GROUPS
            .into_iter()
            .filter(|&group| group != own && self.is_about(now, group))
            .map(|group| group.share(limit).saturating_sub(self.held[group.index()]))
            .sum();
        limit - in_flight > kept
    }

    /// Whether the origin may be given any more. The upper end stands, whatever counts.
    fn has_any_room(&self) -> bool {
        self.in_flight_now() < self.limiter.limit()
            && self.counters.in_flight < self.limiter.config().max
    }

    /// Requests at work, as the limit counts them: dear ones for their quarter of it at most, rounded down, and not at
    /// all while low load is measured. They began before and last longer than that: with a few of them a limit
    /// that fell would let nobody through until they are done.
    fn in_flight_now(&self) -> usize {
        let counted = if self.limiter.is_probing() { 0 } else { self.limiter.limit() / 4 };
        self.counters.in_flight.saturating_sub(self.dear().saturating_sub(counted))
    }

    /// Dear pages at work, and what may be dear.
    const fn dear(&self) -> usize {
        self.expensive + self.unseen
    }

    /// Whether more of either are at work than may be: the limit fell under them.
    fn is_dear_in_excess(&self) -> bool {
        self.expensive.max(self.unseen) > (self.limiter.steady_limit() / 4).max(1)
    }

    fn is_capped_by_cost(&self, lane: Lane) -> bool {
        let quarter = (self.limiter.limit() / 4).max(1);
        match (lane.cost, lane.class) {
            (Cost::Ordinary, _) => false,
            (Cost::Unseen, _) => self.unseen >= quarter,
            // Of what an attack asks for one is more than enough to be sure of.
            (Cost::Expensive, WorkClass::Demoted) => self.dear() >= 1,
            (Cost::Expensive, _) => self.dear() >= quarter,
        }
    }

    /// Whether somebody of the group asked lately: a share that nobody comes for is not kept.
    fn is_about(&self, now: Instant, group: Group) -> bool {
        self.asked[group.index()].is_some_and(|at| now.saturating_since(at) < ABOUT)
    }

    /// What can be served before the deadline, as far as that is known.
    fn max_queue(&self) -> usize {
        let servable = self
            .pressure
            .rate()
            .map_or(usize::MAX, |rate| (rate * self.config.queue_timeout.as_secs_f32()) as usize);
        servable.max(2 * self.limiter.limit()).max(LEAST_QUEUE).min(self.config.max_queue)
    }

    /// Tor has places of its own, because a whole exit counts as one with much demand.
    fn is_spared(&self, now: Instant, lane: Lane) -> bool {
        lane.source == WorkSource::Tor
            && self.is_about(now, Group::Tor)
            && lane.class != WorkClass::Background
            && self.queue.of_tor() < (self.max_queue() / 10).max(1)
    }

    fn grant(&mut self, now: Instant, lane: Lane, identity: u128, template: u64) -> OriginPermit {
        let group = Group::of(lane.class, lane.source);
        self.held[group.index()] += 1;
        self.expensive += usize::from(lane.cost == Cost::Expensive);
        self.unseen += usize::from(lane.cost == Cost::Unseen);
        self.counters.in_flight += 1;
        let (in_flight, is_beside_dear) = (self.in_flight_now(), self.is_dear_in_excess());
        let counters = &mut self.counters;
        counters.classes[lane.class.index()].granted += 1;
        counters.peak_in_flight = counters.peak_in_flight.max(counters.in_flight);
        OriginPermit {
            class: lane.class,
            source: lane.source,
            group,
            cost: lane.cost,
            identity,
            template,
            granted_at: now,
            in_flight,
            is_beside_dear,
            ended: None,
        }
    }

    /// A place for a newcomer, and who had to leave for it; `None`: there is none.
    fn make_place(&mut self, now: Instant, lane: Lane, level: u8) -> Option<Option<W>> {
        let is_let = self.is_spared(now, lane)
            || self.pressure.lets_in(lane.class, level, self.queue.before(lane));
        let leaves = match is_let {
            true if lane.is_dear() && self.is_full_of_dear() => self.dear_displaced_by(lane, level),
            true if self.queue.len() < self.max_queue() => return Some(None),
            true => self.displaceable_by(now, lane, level),
            false => None,
        };
        let Some(ticket) = leaves.or_else(|| self.last_of_tor(now, lane, level)) else {
            self.counters.refused_by_threshold += u64::from(!is_let);
            return None;
        };
        self.counters.classes[ticket.lane.class.index()].refused += 1;
        Some(self.queue.remove(ticket).map(|waiter| waiter.waiter))
    }

    /// Who leaves the places that Tor has of its own for a newcomer from there who ranks before it: these are shared
    /// out as all others are.
    fn last_of_tor(&self, now: Instant, lane: Lane, level: u8) -> Option<Ticket> {
        if lane.source != WorkSource::Tor || lane.class == WorkClass::Background {
            return None;
        }
        let is_tor =
            |other: Lane| other.source == WorkSource::Tor && (other.is_dear() || !lane.is_dear());
        let (ticket, class, its_level) = self.queue.last(self.pressure.order(), is_tor)?;
        (self.is_about(now, Group::Tor) && (lane.class, level) < (class, its_level))
            .then_some(ticket)
    }

    /// Whether dear pages have all the places that they may: a quarter, as of the limit. More could not be served in
    /// time, and would keep out who asks for what is quickly done.
    fn is_full_of_dear(&self) -> bool {
        self.queue.dear() >= (self.max_queue() / 4).max(1)
    }

    /// Who leaves these places for a newcomer that is dear as well, if it ranks before one there.
    fn dear_displaced_by(&self, lane: Lane, level: u8) -> Option<Ticket> {
        let (ticket, class, its_level) = self.queue.last(self.pressure.order(), Lane::is_dear)?;
        ((lane.class, level) < (class, its_level)).then_some(ticket)
    }

    /// Who leaves a full queue for a newcomer, if anybody: the last in line, if the newcomer ranks
    /// before it.
    fn displaceable_by(&self, now: Instant, lane: Lane, level: u8) -> Option<Ticket> {
        let order = self.pressure.order();
        let few_of_tor = self.queue.of_tor() <= (self.max_queue() / 10).max(1);
        let may_leave = |other: Lane| other.source != WorkSource::Tor || !few_of_tor;
        let (ticket, class, its_level) = self.queue.last(order, may_leave)?;
        if self.is_spared(now, lane) && class >= lane.class {
            return Some(ticket);
        }
        let before = (lane.class, level) < (class, its_level);
        // Of equals the newest goes first while overloaded, so the oldest makes room.
        let newer = order == Order::NewestFirst && (lane.class, level) == (class, its_level);
        (before || newer).then_some(ticket)
    }
}

/// Templates without an answer that are remembered. 16 bytes each.
const ASKED_UNSEEN: usize = 1_024;
/// For so long the next one that asks for such a template is not the first.
const AGAIN: Duration = Duration::from_secs(2);
/// Whoever wants to know how much there is to do asks from here.
const PRESSING: Lane =
    Lane { class: WorkClass::Anonymous, source: WorkSource::Elsewhere, cost: Cost::Ordinary };
/// A share is kept for this long after somebody last came for it.
const ABOUT: Duration = Duration::from_secs(60);
/// Places there are whatever the origin serves: a page with its parts, opened by a few at once.
const LEAST_QUEUE: usize = 64;
