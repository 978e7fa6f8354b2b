//! How overloaded the queue before an origin is, and who is not let into it.
//!
//! Two signals. CoDel's (RFC 8289): the least wait of an interval of 200 ms was above 20 ms, so there is
//! a standing queue and not a burst. DAGOR's (Zhou et al. 2018): the mean wait of a window was above
//! 20 ms; then only as many are let in as the origin served, best first. DAGOR orders by business and by
//! a hash of the user that changes every hour; here it is class and recent demand.
//!
//! The threshold bites only while half a second of work waits: a burst is delayed and not refused.

use core::time::Duration;

use seawall_model::Instant;

use super::class::WorkClass;
use super::queue::{LEVELS, Order};

/// The state of overload of one queue.
#[derive(Debug)]
pub(super) struct Pressure {
    window: Option<Instant>,
    /// Who asked in this window, by class and level.
    asked: [u32; STEPS],
    served: u32,
    /// Of them: who was not meant to wait.
    timed: u32,
    waited: Duration,
    was_limited: bool,
    /// Steps from here on are not let in.
    closed_from: usize,
    /// Served a second while readers waited.
    rate: Option<f32>,
    interval: Option<Instant>,
    least_wait: Duration,
    was_empty: bool,
    order: Order,
}

impl Pressure {
    pub(super) const fn new() -> Self {
        Self {
            window: None,
            asked: [0; STEPS],
            served: 0,
            timed: 0,
            waited: Duration::ZERO,
            was_limited: false,
            closed_from: STEPS,
            rate: None,
            interval: None,
            least_wait: Duration::MAX,
            was_empty: false,
            order: Order::OldestFirst,
        }
    }

    pub(super) const fn order(&self) -> Order {
        self.order
    }

    /// The best class and level that is not let in; `None`: everybody is.
    pub(super) const fn is_open(&self) -> bool {
        self.closed_from == STEPS
    }

    /// Served a second, when it was last under pressure.
    pub(super) const fn rate(&self) -> Option<f32> {
        self.rate
    }

    pub(super) fn note_asked(&mut self, now: Instant, class: WorkClass, level: u8) {
        self.roll(now);
        self.asked[step(class, level)] += 1;
    }

    pub(super) const fn note_limited(&mut self) {
        self.was_limited = true;
    }

    /// Nobody waits.
    pub(super) const fn note_empty(&mut self) {
        self.was_empty = true;
    }

    /// One got its permit after so long; `None` if it was meant to wait, which says nothing of how much there is to do.
    pub(super) fn note_served(&mut self, now: Instant, wait: Option<Duration>) {
        self.roll(now);
        self.served += 1;
        if let Some(wait) = wait {
            self.timed += 1;
            self.waited += wait;
            self.least_wait = self.least_wait.min(wait);
        }
    }

    /// Whether this class with this demand is let in while `waiting` wait. Known readers always are.
    pub(super) fn lets_in(&self, class: WorkClass, level: u8, waiting: usize) -> bool {
        if class <= WorkClass::AgedReader || step(class, level) < self.closed_from {
            return true;
        }
        let bites = self.rate.is_some_and(|rate| waiting as f32 > rate * PATIENCE_S);
        !bites
    }

    fn roll(&mut self, now: Instant) {
        let interval = *self.interval.get_or_insert(now);
        if now.saturating_since(interval) >= INTERVAL {
            let standing = self.least_wait != Duration::MAX && self.least_wait > TARGET;
            // With the newest first the least wait is always short, so only an empty queue ends it.
            self.order = match self.order {
                _ if self.was_empty => Order::OldestFirst,
                Order::OldestFirst if standing => Order::NewestFirst,
                order => order,
            };
            (self.least_wait, self.was_empty) = (Duration::MAX, false);
            self.interval = Some(now);
        }
        let window = *self.window.get_or_insert(now);
        let elapsed = now.saturating_since(window);
        if elapsed < WINDOW {
            return;
        }
        self.window = Some(now);
        self.close_window(elapsed);
        self.asked = [0; STEPS];
        (self.served, self.timed) = (0, 0);
        (self.waited, self.was_limited) = (Duration::ZERO, false);
    }

    fn close_window(&mut self, elapsed: Duration) {
        let served = self.served as f32;
        if self.was_limited && self.served > 0 {
            let rate = served / elapsed.as_secs_f32();
            let before = self.rate.unwrap_or(rate);
            self.rate = Some(before + 0.25 * (rate - before));
        }
        let mean = self.waited.checked_div(self.timed).unwrap_or_default();
        // A long silence is no window: nobody waited through it.
        // With the newest first the mean is short as well, and the queue stands nevertheless.
        let waits = mean > TARGET || self.order == Order::NewestFirst;
        let overloaded = waits && elapsed < WINDOW * 8;
        let target = if overloaded {
            served * 1.2 + 1.0
        } else {
            let let_in: u32 = self.asked[..self.closed_from].iter().sum();
            served.max(let_in as f32) * 1.25 + 2.0
        };
        let mut sum = 0.0;
        let last = self.asked.iter().position(|&asked| {
            sum += asked as f32;
            sum > target
        });
        // The step in which the sum is reached is let in as well, so that one always is.
        self.closed_from = last.map_or(STEPS, |last| last + 1);
    }
}

fn step(class: WorkClass, level: u8) -> usize {
    (class.index() * LEVELS + usize::from(level)).min(STEPS - 1)
}

const STEPS: usize = WorkClass::ALL.len() * LEVELS;
/// `detection.md` §6: DAGOR's mean wait and CoDel's target.
const TARGET: Duration = Duration::from_millis(20);
const INTERVAL: Duration = Duration::from_millis(200);
const WINDOW: Duration = Duration::from_millis(250);
const PATIENCE_S: f32 = 0.5;
