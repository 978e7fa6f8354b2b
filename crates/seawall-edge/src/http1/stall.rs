//! How long an answer may wait for its reader.
//!
//! Pure bookkeeping. Of each span of the length of the grace the reader must have taken bytes at the
//! minimum rate. Counted is what TCP says was acknowledged: by what the kernel takes, a reader of nothing
//! at all would look like a fast one until a socket's buffer is full, and one who takes a little like one
//! who stands still until a third of it is empty.

use std::time::Duration;

use seawall_model::{Instant, Limits};

/// A write that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    since: Instant,
    /// Bytes that the reader had taken then.
    taken: u64,
}

impl Stall {
    /// From `now` on, when the reader has taken `taken` bytes.
    pub(super) fn new(now: Instant, taken: u64) -> Self {
        Self { since: now, taken }
    }

    /// When [`Self::goes_on`] is to be asked.
    pub(super) fn due(self, limits: &Limits) -> Instant {
        self.since + limits.response_grace
    }

    /// What to wait for next if the reader was fast enough.
    pub(super) fn goes_on(self, now: Instant, taken: u64, limits: &Limits) -> Option<Self> {
        let millis = now.saturating_since(self.since).min(MOST).as_millis();
        let rate = u128::from(limits.min_body_bytes_per_second.max(1));
        let moved = u128::from(taken.saturating_sub(self.taken));
        (moved > 0 && moved * 1_000 >= rate * millis).then_some(Self::new(now, taken))
    }
}

/// A machine that slept is not the reader's doing.
const MOST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn each_span_is_judged_by_what_was_taken_in_it() {
        let limits = Limits::default();
        let first = Stall::new(at(100), 70_000);
        assert_eq!(first.due(&limits), at(110));
        assert!(first.goes_on(at(110), 70_000, &limits).is_none(), "nothing");
        assert!(first.goes_on(at(110), 74_999, &limits).is_none(), "less than 500 a second");
        let second = first.goes_on(at(110), 75_000, &limits).expect("500 a second");
        assert_eq!(second.due(&limits), at(120));
        assert!(second.goes_on(at(120), 79_999, &limits).is_none(), "what came before is spent");
        assert!(second.goes_on(at(120), 80_000, &limits).is_some());
    }

    #[test]
    fn late_looks_ask_for_the_same_rate_and_clocks_that_step_back_for_something() {
        let limits = Limits::default();
        let stall = Stall::new(at(100), 0);
        assert!(stall.goes_on(at(120), 9_999, &limits).is_none());
        assert!(stall.goes_on(at(120), 10_000, &limits).is_some());
        assert!(stall.goes_on(at(50), 0, &limits).is_none());
        assert!(stall.goes_on(at(50), 1, &limits).is_some());
    }
}
