//! How fast an origin is at low load, common to all that is asked of it.
//!
//! Separate from [`crate::TemplateCosts`], which knows what one template costs beside another: an
//! origin that becomes slower does so for all of them at once, and a dozen requests show it, while each
//! template alone is seen too seldom under a flood of many.
//!
//! The median of the last 48 values. A dozen of which ten lie on one side of it are news (by chance:
//! one in 25), and all before is forgotten: so steps are followed at once, and noise is not. It does
//! **not** know what load is low; that is [`crate::AdaptiveLimiter`].

/// The tracker.
#[derive(Debug)]
pub(crate) struct Speed {
    ratios: [f32; REMEMBERED],
    len: usize,
    next: usize,
    median: f32,
    doubt: f32,
}

impl Speed {
    /// Nothing measured: 1.
    pub(crate) const fn new() -> Self {
        Self { ratios: [1.0; REMEMBERED], len: 0, next: 0, median: 1.0, doubt: UNKNOWN }
    }

    /// Latencies now as a multiple of what templates are noted with.
    pub(crate) const fn ratio(&self) -> f32 {
        self.median
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
        let above = batch.iter().filter(|&&ratio| ratio > self.median).count();
        let below = batch.iter().filter(|&&ratio| ratio < self.median).count();
        if above.max(below).max(NEWS) == batch.len() {
            (self.len, self.next) = (0, 0);
        }
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
/// Of a batch on one side: 10 of 12 or more come by chance with a probability of 0.039.
const NEWS: usize = BATCH;
