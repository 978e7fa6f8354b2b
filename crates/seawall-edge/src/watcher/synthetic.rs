//! Synthetic readers: a few made-up requests each second through the same filters as everybody's.
//!
//! They never reach the origin and are never counted as traffic. Each asks for a page that is not in
//! hand, as an anonymous stranger, which is the worst case; a mitigation that keeps one of them from
//! reading is taken back by the ladder within seconds.
//!
//! Being tested is being served: who cannot follow a test, a feed reader or a crawler, waits in turn
//! instead. It does **not** have the fingerprints of real browsers: a signature of one of those is bounded
//! by the ordinary clients of the baseline alone.

use seawall_control::Probe;
use seawall_decide::{Exempt, synthetic_readers};
use seawall_model::{Instant, Rung};

use crate::shared::Shared;

/// Who asks, in turn.
#[derive(Debug, Default)]
pub(super) struct Synthetic {
    round: u64,
}

impl Synthetic {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// One request of each.
    pub(super) fn probe(&mut self, shared: &Shared, now: Instant) -> Vec<Probe> {
        self.round += 1;
        let detection = &shared.detection;
        let readers = synthetic_readers(detection.attributer(), self.round);
        let asks = readers.map(|attributes| {
            let met = detection.meet(now, &attributes, self.round, Exempt::No);
            let is_served = met.is_none_or(|met| met.rung < Rung::Block);
            Probe { is_served, met: met.map(|met| met.id) }
        });
        asks.collect()
    }
}
