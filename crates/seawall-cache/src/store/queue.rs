//! A queue to one worker thread, bounded in items and bytes.
//!
//! Separate because the standard channels bound items only, and cannot say when the worker has
//! finished. A full queue refuses; it never blocks whoever pushes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::{Condvar, Mutex};

/// How a queue ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The worker finishes what is queued.
    Drain,
    /// The worker finishes what it has in hand.
    Discard,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Signalled when there is something to do, or to end.
    work: Condvar,
    /// Signalled when there is nothing left.
    idle: Condvar,
    max_items: usize,
    max_bytes: u64,
}

struct State<T> {
    items: VecDeque<(T, u64)>,
    bytes: u64,
    is_busy: bool,
    is_closed: bool,
}

impl<T> Queue<T> {
    pub(crate) fn new(max_items: usize, max_bytes: u64) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, is_busy: false, is_closed: false };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            idle: Condvar::new(),
            max_items,
            max_bytes,
        }
    }

    /// Queues an item of this many bytes, or gives it back. An empty queue takes one of any size.
    pub(crate) fn push(&self, item: T, bytes: u64) -> Result<(), T> {
        let mut state = self.state.lock();
        let is_full = state.items.len() >= self.max_items
            || (!state.items.is_empty() && state.bytes + bytes > self.max_bytes);
        if state.is_closed || is_full {
            return Err(item);
        }
        state.bytes += bytes;
        state.items.push_back((item, bytes));
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// The worker's loop: handles items until the queue is closed. A panic in `handle` loses that
    /// item only; `on_panic` hears of it.
    pub(crate) fn run(&self, mut handle: impl FnMut(T), on_panic: impl Fn()) {
        loop {
            let mut state = self.state.lock();
            let (item, bytes) = loop {
                if let Some(next) = state.items.pop_front() {
                    break next;
                }
                self.idle.notify_all();
                if state.is_closed {
                    return;
                }
                self.work.wait(&mut state);
            };
            state.is_busy = true;
            state.bytes -= bytes;
            drop(state);
            if catch_unwind(AssertUnwindSafe(|| handle(item))).is_err() {
                on_panic();
            }
            self.state.lock().is_busy = false;
        }
    }

    pub(crate) fn close(&self, how: Close) {
        let mut state = self.state.lock();
        state.is_closed = true;
        let discarded = match how {
            Close::Drain => VecDeque::new(),
            Close::Discard => std::mem::take(&mut state.items),
        };
        if how == Close::Discard {
            state.bytes = 0;
        }
        drop(state);
        drop(discarded);
        self.work.notify_all();
        self.idle.notify_all();
    }

    /// Waits until nothing is queued or in hand.
    pub(crate) fn wait_idle(&self) {
        let mut state = self.state.lock();
        while !state.items.is_empty() || state.is_busy {
            self.idle.wait(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Close, Queue};

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let queue = Queue::new(2, 100);
        assert_eq!(queue.push('a', 500), Ok(()), "an empty queue takes any size");
        assert_eq!(queue.push('b', 1), Err('b'), "bytes are bounded");
        let queue = Queue::new(2, 100);
        assert_eq!(queue.push('a', 1), Ok(()));
        assert_eq!(queue.push('b', 1), Ok(()));
        assert_eq!(queue.push('c', 1), Err('c'), "items are bounded");
    }

    #[test]
    fn closing_drains_or_discards() {
        for (how, expected) in [(Close::Drain, vec![1, 2]), (Close::Discard, vec![])] {
            let queue = Queue::new(8, 100);
            assert_eq!((queue.push(1, 1), queue.push(2, 1)), (Ok(()), Ok(())));
            queue.close(how);
            let mut seen = Vec::new();
            queue.run(|item| seen.push(item), || ());
            assert_eq!(seen, expected, "{how:?}");
            assert_eq!(queue.push(3, 1), Err(3));
            queue.wait_idle();
        }
    }

    #[test]
    fn a_panicking_item_loses_only_itself() {
        let queue = Queue::new(8, 100);
        for item in 0..3 {
            assert_eq!(queue.push(item, 1), Ok(()));
        }
        queue.close(Close::Drain);
        let panics = std::cell::Cell::new(0);
        let mut seen = Vec::new();
        queue.run(
            |item| {
                assert!(item != 1, "the item that fails");
                seen.push(item);
            },
            || panics.set(panics.get() + 1),
        );
        assert_eq!((seen, panics.get()), (vec![0, 2], 1));
    }
}
