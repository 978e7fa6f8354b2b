//! Events in the order of their time; equals in the order they were put in.

use std::collections::BTreeMap;

use seawall_model::Instant;

/// What is still to happen.
#[derive(Debug)]
pub struct Timeline<E> {
    events: BTreeMap<(Instant, u64), E>,
    next: u64,
}

impl<E> Default for Timeline<E> {
    fn default() -> Self {
        Self { events: BTreeMap::new(), next: 0 }
    }
}

impl<E> Timeline<E> {
    /// Has `event` happen at `at`.
    pub fn push(&mut self, at: Instant, event: E) {
        self.events.insert((at, self.next), event);
        self.next += 1;
    }

    /// What happens next, and when.
    pub fn pop(&mut self) -> Option<(Instant, E)> {
        let ((at, _), event) = self.events.pop_first()?;
        Some((at, event))
    }
}
