//! A latency histogram with fixed bounds.

use std::time::Duration;

use super::{Counter, Counters};

/// Upper bounds of the latency buckets in microseconds. From a cached answer (tens of
/// microseconds) to the longest origin time limit that a reader would wait for, about two per
/// decade.
pub const LATENCY_BOUNDS: [u64; 14] = [
    25, 50, 100, 250, 500, 1_000, 5_000, 25_000, 100_000, 250_000, 1_000_000, 2_500_000,
    10_000_000, 30_000_000,
];

/// Counts durations by bucket. One writer, as all counters.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: Counters<{ LATENCY_BOUNDS.len() + 1 }>,
    sum_us: Counter,
}

impl Histogram {
    /// Cost: at most 14 comparisons, the first few for what is cached.
    pub(super) fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS.iter().position(|&b| us <= b).unwrap_or(LATENCY_BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }
}

/// Sums of several histograms.
#[derive(Debug, Default)]
pub(super) struct HistogramTotals {
    pub(super) buckets: [u64; LATENCY_BOUNDS.len() + 1],
    pub(super) sum_us: u64,
}

impl HistogramTotals {
    pub(super) fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(histogram.buckets.iter()) {
            *total = total.wrapping_add(bucket.read());
        }
        self.sum_us = self.sum_us.wrapping_add(histogram.sum_us.read());
    }
}
