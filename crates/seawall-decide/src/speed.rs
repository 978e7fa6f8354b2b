//! How fast an origin is at low load, common to all that is asked of it.
//!
//! Separate from [`crate::TemplateCosts`], which knows what one template costs beside another: an
//! origin that becomes slower does so for all of them at once, and eight requests show it, while each
//! template alone is seen too seldom under a flood of many.
//!
//! The median of the last 96 values, which come in batches of eight at most. Batches in a row of which
//! every value lies on one side of it, with eight values together, are news (by chance: one full batch in
//! 128), and all before is forgotten: so steps are followed at once, and noise is not. It does **not** know
//! what load is low; that is [`crate::AdaptiveLimiter`].

/// The tracker.
#[derive(Debug)]
pub(crate) struct Speed {
    ratios: [f32; REMEMBERED],
    len: usize,
    next: usize,
    median: f32,
    doubt: f32,
    /// How many values of the last batches all lay on one side of the median, and on which.
    aside: Option<(Side, usize)>,
}

/// A side of the median.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Above,
    Below,
}

impl Speed {
    /// Nothing measured: 1.
    pub(crate) const fn new() -> Self {
        Self {
            ratios: [1.0; REMEMBERED],
            len: 0,
            next: 0,
            median: 1.0,
            doubt: UNKNOWN,
            aside: None,
        }
    }

    /// Latencies now as a multiple of what templates are noted with.
    pub(crate) const fn ratio(&self) -> f32 {
        self.median
    }

    /// What templates are noted with is `by` times as much from now on.
    pub(crate) fn rescale(&mut self, by: f32) {
        self.ratios.iter_mut().for_each(|ratio| *ratio /= by);
        self.median /= by;
    }

    /// By what part latencies may be above the median for no more reason than chance: the standard error of
    /// it, and that of a few dozen values to be compared with it.
    pub(crate) const fn doubt(&self) -> f32 {
        self.doubt
    }

    /// How many values the median is of.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Takes a batch of such multiples.
    pub(crate) fn note(&mut self, batch: &[f32]) {
        if batch.is_empty() {
            return;
        }
        self.forget_if_news(batch);
        for &ratio in batch {
            self.ratios[self.next] = ratio;
            self.next = (self.next + 1) % REMEMBERED;
            self.len = (self.len + 1).min(REMEMBERED);
        }
        let mut known = self.ratios;
        let known = &mut known[..self.len];
        known.sort_unstable_by(f32::total_cmp);
        self.median = known[self.len / 2];
        // A normal distribution has a standard error of 0.93 times the distance of its quartiles by the root of
        // the number. Of logarithms, because latencies are skewed: 2 (a - b) / (a + b) is about ln(a / b).
        let (low, high) = (known[self.len / 4], known[self.len * 3 / 4]);
        let spread = 2.0 * (high - low) / (high + low);
        self.doubt = 0.93 * spread * (ROOTS[self.len / BATCH] + COMPARED);
    }

    /// Forgets all before the batches that show that something has changed, if `batch` is the last of such.
    fn forget_if_news(&mut self, batch: &[f32]) {
        let side = if batch.iter().all(|&ratio| ratio > self.median) {
            Some(Side::Above)
        } else if batch.iter().all(|&ratio| ratio < self.median) {
            Some(Side::Below)
        } else {
            None
        };
        let Some(side) = side.filter(|_| self.len > 0) else {
            self.aside = None;
            return;
        };
        let before = self.aside.filter(|&(other, _)| other == side).map_or(0, |(_, count)| count);
        self.aside = Some((side, before + batch.len()));
        if before + batch.len() >= NEWS {
            // The last `before` values become the first: they are of the same time as this batch.
            self.ratios.rotate_left((self.next + REMEMBERED - before) % REMEMBERED);
            (self.len, self.next, self.aside) = (before, before, None);
        }
    }
}

/// The middle value; the upper one of two. `None` of nothing. O(n).
pub(crate) fn median(values: &mut [f32]) -> Option<f32> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    Some(*median)
}

/// Before anything is known.
const UNKNOWN: f32 = 0.5;
/// One by the root of the number of values, by the number of batches.
const ROOTS: [f32; REMEMBERED / BATCH + 1] =
    [0.5, 0.354, 0.25, 0.204, 0.177, 0.158, 0.144, 0.134, 0.125, 0.118, 0.112, 0.107, 0.102];
/// The same of what is compared: about 60 values.
const COMPARED: f32 = 0.13;
/// Values taken at once.
pub(crate) const BATCH: usize = 8;
const REMEMBERED: usize = 12 * BATCH;
/// Values on one side that are more than chance.
const NEWS: usize = BATCH;

#[cfg(test)]
mod tests {
    use super::Speed;

    const MIXED: [f32; 8] = [0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2];

    fn after_mixed(batches: usize) -> Speed {
        let mut speed = Speed::new();
        for _ in 0..batches {
            speed.note(&MIXED);
        }
        speed
    }

    #[test]
    fn twelve_batches_that_lie_on_both_sides_are_all_remembered() {
        let speed = after_mixed(12);
        assert_eq!(speed.len(), 96);
        assert_eq!(after_mixed(13).len(), 96, "and no more");
        assert!(speed.doubt() < 0.6 * after_mixed(1).doubt(), "{}", speed.doubt());
    }

    #[test]
    fn a_batch_of_which_all_is_slower_or_faster_makes_the_rest_forgotten() {
        for by in [0.5, 2.0] {
            for batches in 1..30 {
                let mut speed = after_mixed(batches);
                speed.note(&[by; 8]);
                assert_eq!((speed.len(), speed.ratio()), (8, by), "after {batches}");
            }
        }
    }

    #[test]
    fn seven_of_eight_on_one_side_are_chance() {
        let mut speed = after_mixed(12);
        speed.note(&[2.0, 2.0, 2.0, 0.9, 2.0, 2.0, 2.0, 2.0]);
        assert_eq!(speed.len(), 96);
        assert!(speed.ratio() < 1.2, "{}", speed.ratio());
    }

    #[test]
    fn two_short_batches_in_a_row_on_one_side_are_news_together() {
        for batches in 1..30 {
            let mut speed = after_mixed(batches);
            speed.note(&[2.0; 5]);
            assert!(speed.ratio() < 1.3 || batches == 1, "five alone are not");
            assert_eq!(speed.len(), (batches * 8 + 5).min(96));
            speed.note(&[3.0; 4]);
            assert_eq!((speed.len(), speed.ratio()), (9, 2.0), "after {batches}");
        }
    }

    #[test]
    fn short_batches_on_one_side_with_another_between_them_are_chance() {
        let mut speed = after_mixed(12);
        for between in [&MIXED[..], &[0.5; 4]] {
            speed.note(&[2.0; 4]);
            speed.note(between);
            speed.note(&[2.0; 4]);
            speed.note(between);
            assert_eq!(speed.len(), 96);
        }
    }
}
