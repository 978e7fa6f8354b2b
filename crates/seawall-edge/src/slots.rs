//! Deadlines of a worker's connections.
//!
//! A timer per read would cost a wheel insertion per request. Instead each connection has a slot
//! with a deadline in a cell, and one sweep per worker walks the slots a few times a second: arming
//! is a store, and 10,000 connections cost some tens of microseconds per sweep. Deadlines are
//! therefore late by up to [`SWEEP`].
//!
//! It does not know what a deadline means; the connection does.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use seawall_model::Instant;

/// Time between two sweeps: a tenth of the shortest deadline anybody configures.
pub(crate) const SWEEP: Duration = Duration::from_millis(200);

/// What ended a wait early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The deadline passed.
    Expired,
    /// The worker is draining and this connection is between two requests.
    Drained,
}

/// The deadline of one connection.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    deadline: Cell<Option<Instant>>,
    idle: Cell<bool>,
    interrupt: Cell<Option<Interrupt>>,
    waker: RefCell<Option<Waker>>,
}

impl Slot {
    /// The connection must make progress before `at`.
    pub(crate) fn arm(&self, at: Instant) {
        self.deadline.set(Some(at));
        self.idle.set(false);
    }

    /// The connection waits for a next request until `at`; a drain may end it at once.
    pub(crate) fn arm_idle(&self, at: Instant) {
        self.deadline.set(Some(at));
        self.idle.set(true);
    }

    /// Nothing is expected of the peer.
    pub(crate) fn disarm(&self) {
        self.deadline.set(None);
        // A deadline that passed while nobody looked was met after all.
        if self.interrupt.get() == Some(Interrupt::Expired) {
            self.interrupt.set(None);
        }
        self.idle.set(false);
    }

    /// Registers the waiting task and reports an interrupt, if there is one.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Option<Interrupt> {
        if let Some(interrupt) = self.interrupt.take() {
            return Some(interrupt);
        }
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => *waker = Some(cx.waker().clone()),
        }
        None
    }

    fn interrupt(&self, interrupt: Interrupt) {
        self.interrupt.set(Some(interrupt));
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// All slots of a worker.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: RefCell<Vec<Weak<Slot>>>,
}

impl Slots {
    /// A new slot; it leaves the list when the connection drops it.
    pub(crate) fn open(&self) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        self.slots.borrow_mut().push(Rc::downgrade(&slot));
        slot
    }

    /// Interrupts every slot whose deadline has passed and forgets closed ones.
    pub(crate) fn sweep(&self, now: Instant) {
        self.slots.borrow_mut().retain(|weak| {
            let Some(slot) = weak.upgrade() else { return false };
            if slot.deadline.get().is_some_and(|at| at <= now) {
                slot.deadline.set(None);
                slot.interrupt(Interrupt::Expired);
            }
            true
        });
    }

    /// Interrupts every connection that is between two requests. Returns how many are still open.
    pub(crate) fn drain(&self) -> usize {
        let slots: Vec<Rc<Slot>> = self.slots.borrow().iter().filter_map(Weak::upgrade).collect();
        for slot in &slots {
            if slot.idle.get() {
                slot.interrupt(Interrupt::Drained);
            }
        }
        slots.len()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn only_an_armed_slot_past_its_deadline_expires() {
        let slots = Slots::default();
        let (late, early, calm) = (slots.open(), slots.open(), slots.open());
        late.arm(at(5));
        early.arm(at(50));
        slots.sweep(at(10));
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(late.poll(&cx), Some(Interrupt::Expired));
        assert_eq!(late.poll(&cx), None, "an interrupt is told once");
        assert_eq!(early.poll(&cx), None);
        assert_eq!(calm.poll(&cx), None);
    }

    #[test]
    fn a_drain_interrupts_idle_connections_only() {
        let slots = Slots::default();
        let (idle, busy) = (slots.open(), slots.open());
        idle.arm_idle(at(60));
        busy.arm(at(60));
        assert_eq!(slots.drain(), 2);
        let cx = Context::from_waker(Waker::noop());
        assert_eq!(idle.poll(&cx), Some(Interrupt::Drained));
        assert_eq!(busy.poll(&cx), None);
    }

    #[test]
    fn closed_connections_leave_the_list() {
        let slots = Slots::default();
        drop(slots.open());
        slots.sweep(at(1));
        assert_eq!(slots.drain(), 0);
    }
}
