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

use seawall_model::{Instant, Standing};

/// Time between two sweeps: a tenth of the shortest deadline anybody configures.
pub(crate) const SWEEP: Duration = Duration::from_millis(200);

/// What ended a wait early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The deadline passed.
    Expired,
    /// The worker is draining, or the pool is nearly full, and this connection is between two
    /// requests.
    Drained,
    /// The pool is nearly full, and this connection is one of the slowest.
    Shed,
}

/// What [`Slots::shed`] interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shed {
    /// Connections between two requests.
    pub(crate) idle: u64,
    /// Connections in the middle of a message.
    pub(crate) partial: u64,
}

/// The deadline of one connection.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    deadline: Cell<Option<Instant>>,
    idle: Cell<bool>,
    /// Whether it stands for a whole connection, and not for one of its streams.
    whole: Cell<bool>,
    standing: Cell<Standing>,
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

    /// Who asked last on this connection: the last to be shed are those known for long.
    pub(crate) fn set_standing(&self, standing: Standing) {
        self.standing.set(standing);
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
        let slot = self.open_part();
        slot.whole.set(true);
        slot
    }

    /// The same for a part of a connection, which is not shed by itself.
    pub(crate) fn open_part(&self) -> Rc<Slot> {
        let slot = Rc::new(Slot::default());
        self.slots.borrow_mut().push(Rc::downgrade(&slot));
        slot
    }

    /// Interrupts up to `count` connections that wait for their peer: the unknown before those known
    /// for long, those between two requests before those in the middle of a message, and of each the
    /// one whose time is up soonest. O(n log n); runs only when the pool is nearly full.
    pub(crate) fn shed(&self, count: usize) -> Shed {
        self.shed_where(count, |_| true)
    }

    fn shed_where(&self, count: usize, may_go: impl Fn(&Slot) -> bool) -> Shed {
        let slots: Vec<Rc<Slot>> = self.slots.borrow().iter().filter_map(Weak::upgrade).collect();
        let waiting =
            slots.iter().filter(|slot| slot.whole.get() && slot.interrupt.get().is_none());
        let waiting = waiting.filter(|slot| may_go(slot));
        let mut waiting: Vec<_> = waiting
            .filter_map(|slot| {
                let is_known = slot.standing.get() != Standing::Anonymous;
                Some(((is_known, !slot.idle.get(), slot.deadline.get()?), slot))
            })
            .collect();
        waiting.sort_by_key(|(order, _)| *order);
        let mut shed = Shed::default();
        for (_, slot) in waiting.into_iter().take(count) {
            if slot.idle.get() {
                shed.idle += 1;
                slot.interrupt(Interrupt::Drained);
            } else {
                shed.partial += 1;
                slot.interrupt(Interrupt::Shed);
            }
        }
        shed
    }

    /// The same, but only those between two requests.
    pub(crate) fn shed_idle(&self, count: usize) -> Shed {
        self.shed_where(count, |slot| slot.idle.get())
    }

    /// Slots of connections and their parts.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len()
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
    fn the_slowest_of_the_unknown_go_first_and_those_known_for_long_last() {
        let slots = Slots::default();
        let open = |standing, is_idle: bool, secs| {
            let slot = slots.open();
            slot.set_standing(standing);
            if is_idle {
                slot.arm_idle(at(secs));
            } else {
                slot.arm(at(secs));
            }
            slot
        };
        let busy = slots.open();
        let part = slots.open_part();
        part.arm(at(1));
        let known = open(Standing::AgedReader, true, 5);
        let fresh = open(Standing::Anonymous, true, 60);
        let slow = open(Standing::Anonymous, false, 3);
        let stale = open(Standing::Anonymous, true, 10);
        let told = |slot: &Slot| slot.poll(&Context::from_waker(Waker::noop()));
        assert_eq!(slots.shed(1), Shed { idle: 1, partial: 0 });
        assert_eq!(told(&stale), Some(Interrupt::Drained));
        stale.disarm();
        assert_eq!(slots.shed(2), Shed { idle: 1, partial: 1 });
        assert_eq!(told(&fresh), Some(Interrupt::Drained));
        assert_eq!(told(&slow), Some(Interrupt::Shed));
        fresh.disarm();
        slow.disarm();
        assert_eq!(told(&known), None);
        assert_eq!(slots.shed(9), Shed { idle: 1, partial: 0 });
        assert_eq!(told(&known), Some(Interrupt::Drained));
        assert_eq!((told(&busy), told(&part)), (None, None), "nobody waits for these");
    }

    #[test]
    fn closed_connections_leave_the_list() {
        let slots = Slots::default();
        drop(slots.open());
        slots.sweep(at(1));
        assert_eq!(slots.drain(), 0);
    }
}
