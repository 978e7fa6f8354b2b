//! The timeline: parts of equal length that grow as the record does, so that nobody needs to know its length before.

use super::bounds::{add, figure};
use super::tally::Tally;
use crate::Moment;
use crate::report::Bucket;

/// Parts from the first second on.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Milliseconds since 1970 of the first part.
    from_ms: Option<u64>,
    /// Place in [`WIDTHS_S`].
    width: usize,
    buckets: Vec<Bucket>,
    /// Seconds that were counted in the first or the last part, because they lie outside of what can be shown.
    pub(super) misplaced: u64,
}

impl Timeline {
    /// Begins with the second in which `from` is.
    pub(super) fn begin(&mut self, from: Moment) {
        self.from_ms.get_or_insert(from.unix_s() * 1_000);
    }

    /// Counts a second where it belongs.
    pub(super) fn take(&mut self, at: Moment, tally: &Tally) {
        self.begin(at);
        let from_ms = self.from_ms.unwrap_or_default();
        let place = match at.unix_ms().checked_sub(from_ms) {
            Some(offset_ms) if offset_ms / 1_000 < MAX_SPAN_S => self.place(offset_ms / 1_000),
            Some(_) => {
                add(&mut self.misplaced, 1);
                self.buckets.len().saturating_sub(1)
            }
            None => {
                add(&mut self.misplaced, 1);
                0
            }
        };
        if self.buckets.len() <= place {
            self.buckets.resize_with(place + 1, Bucket::default);
        }
        let totals = &tally.totals;
        let (unmet, unmet_served) = tally.unmet();
        let one = Bucket {
            at,
            seconds: 1,
            requests: totals.requests,
            expected: totals.expected,
            refused: totals.refused,
            origin: totals.origin,
            unmet,
            unmet_served,
            peak_requests: totals.requests,
            link_full: tally
                .node
                .as_ref()
                .and_then(|node| node.link_full_s)
                .map(|full_s| full_s > 0),
        };
        self.buckets[place].merge(&one);
    }

    /// The part in which a second is, after making parts longer until there is one.
    fn place(&mut self, offset_s: u64) -> usize {
        let place_at =
            |width: usize| usize::try_from(offset_s / WIDTHS_S[width]).unwrap_or(usize::MAX);
        while place_at(self.width) >= MAX_BUCKETS && self.width + 1 < WIDTHS_S.len() {
            let together = WIDTHS_S[self.width + 1] / WIDTHS_S[self.width];
            let together = usize::try_from(together).unwrap_or(1);
            let longer = self.buckets.chunks(together).map(|parts| {
                let mut sum = Bucket::default();
                parts.iter().for_each(|part| sum.merge(part));
                sum
            });
            self.buckets = longer.collect();
            self.width += 1;
        }
        place_at(self.width)
    }

    /// All parts, each with its beginning.
    pub(super) fn finish(mut self) -> Vec<Bucket> {
        let from = Moment::from_unix_ms(self.from_ms.unwrap_or_default());
        for (place, bucket) in (0_u64..).zip(&mut self.buckets) {
            bucket.at = from.plus_ms(place * WIDTHS_S[self.width] * 1_000);
            bucket.expected = figure(bucket.expected);
        }
        self.buckets
    }
}

/// As many as the contract of [`crate::Report::timeline`] allows.
const MAX_BUCKETS: usize = 720;
/// Lengths that people read easily. Each is a multiple of the one before, so that parts can be put together.
const WIDTHS_S: [u64; 13] =
    [1, 2, 10, 30, 60, 120, 600, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400];
/// A year: what lies further apart is a clock that was set.
const MAX_SPAN_S: u64 = 366 * 86_400;
const _: () = assert!(MAX_SPAN_S / WIDTHS_S[WIDTHS_S.len() - 1] < MAX_BUCKETS as u64);
