//! Whether a 404 says that a page is gone, or that the origin is not itself.
//!
//! A virtual host that was lost, a database that is empty or a deployment gone wrong answers 404 to
//! everything. Whoever takes that at its word erases the archive on the day it is needed. So a 404 counts
//! while the front page is there and most other pages are; 410 says it on purpose, and counts always.

use std::collections::VecDeque;
use std::time::Duration;

use seawall_model::Instant;

/// What the origin said lately of pages that are held.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Whether each of the last answers was a 404.
    last: VecDeque<bool>,
    /// When the front page was last asked for, and whether that was a 404.
    front: Option<(Instant, bool)>,
    is_told: bool,
}

/// Answers that are looked at.
const LAST: usize = 20;
/// Fewer say nothing.
const LEAST: usize = 4;
/// How long an answer for the front page counts.
const FRONT_COUNTS: Duration = Duration::from_secs(60);

impl Missing {
    /// Notes an answer for a page that is held.
    pub(super) fn note(&mut self, is_missing: bool) {
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(is_missing);
    }

    /// Notes an answer for the front page.
    pub(super) fn note_front(&mut self, now: Instant, is_missing: bool) {
        self.front = Some((now, is_missing));
    }

    /// Whether the front page was asked for lately.
    pub(super) fn knows_front(&self, now: Instant) -> bool {
        self.front.is_some_and(|(at, _)| now.saturating_since(at) < FRONT_COUNTS)
    }

    /// Whether a 404 is taken at its word.
    pub(super) fn is_believed(&self, now: Instant) -> bool {
        let missing = self.last.iter().filter(|&&is_missing| is_missing).count();
        let is_most = self.last.len() >= LEAST && missing * 2 > self.last.len();
        let front_is_there = self.front.is_some_and(|(_, is_missing)| !is_missing);
        self.knows_front(now) && front_is_there && !is_most
    }

    /// Whether it has to be said that 404s are not believed any more: once until they are.
    pub(super) fn is_to_be_told(&mut self, is_believed: bool) -> bool {
        let is_news = !is_believed && !self.is_told;
        self.is_told = !is_believed;
        is_news
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seawall_model::Instant;

    use super::{LAST, Missing};

    const NOW: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn one_missing_page_among_others_is_gone() {
        let mut missing = Missing::default();
        missing.note_front(NOW, false);
        [false, true, false, true].into_iter().for_each(|it| missing.note(it));
        assert!(missing.is_believed(NOW));
    }

    #[test]
    fn nothing_is_gone_while_the_front_page_is_missing_or_unknown() {
        let mut missing = Missing::default();
        assert!(!missing.is_believed(NOW));
        missing.note_front(NOW, true);
        assert!(!missing.is_believed(NOW));
        missing.note_front(NOW, false);
        assert!(missing.is_believed(NOW));
        assert!(!missing.is_believed(NOW + Duration::from_secs(61)));
    }

    #[test]
    fn nothing_is_gone_while_most_pages_are_missing() {
        let mut missing = Missing::default();
        missing.note_front(NOW, false);
        (0..LAST).for_each(|_| missing.note(true));
        assert!(!missing.is_believed(NOW));
        (0..LAST / 2).for_each(|_| missing.note(false));
        assert!(missing.is_believed(NOW));
    }

    #[test]
    fn it_is_told_once_until_it_is_well_again() {
        let mut missing = Missing::default();
        let told = [false, false, true, false].map(|believed| missing.is_to_be_told(believed));
        assert_eq!(told, [true, false, false, true]);
    }
}
