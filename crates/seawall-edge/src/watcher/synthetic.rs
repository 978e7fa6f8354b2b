//! Synthetic readers: a few made-up requests each second through the same filters as everybody's.
//!
//! They never reach the origin and are never counted as traffic. Each asks for a page that is not in
//! hand, as an anonymous stranger, which is the worst case; a mitigation that keeps one of them from
//! reading is taken back by the ladder within seconds.
//!
//! Being tested counts as being served. That is so of browsers, which pass by themselves, and of a feed reader, which is
//! not tested and waits behind others. It is too kind to a crawler that asks for a page: it is tested as a
//! browser is, and one that keeps no cookies and follows no link gets nothing that is not in hand while the test
//! stands (`network.crawlers` exempts those that the operator knows). Only a block is taken back for its sake.
//!
//! It does **not** have the fingerprints of real browsers: a signature of one of those is bounded
//! by the ordinary clients of the baseline alone.

use seawall_control::Probe;
use seawall_decide::{Exempt, synthetic_readers};
use seawall_model::{Instant, Rung};

use crate::detection::Detection;

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
    pub(super) fn probe(&mut self, detection: &Detection, now: Instant) -> Vec<Probe> {
        self.round += 1;
        let stands = detection.mitigations();
        let readers = synthetic_readers(detection.attributer(), &stands, self.round);
        let asks = readers.map(|attributes| {
            let met = stands.meet(now, &attributes, self.round, Exempt::No);
            let is_served = met.is_none_or(|met| met.rung < Rung::Block);
            Probe { is_served, met: met.map(|met| met.id) }
        });
        asks.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seawall_model::{Attribute, Mitigation, MitigationId, Signature, Term};

    use super::*;

    /// How many readers are kept out by a block of one value, in ten rounds.
    fn kept_out(attribute: Attribute, value: u32) -> usize {
        let detection = Detection::new([1, 2]);
        let now = Instant::from_nanos(1);
        let signature = Signature::new(&[Term { attribute, value }]).expect("one term");
        let (id, expires_at) = (MitigationId(3), now + Duration::from_secs(300));
        detection.publish(&[Mitigation { id, signature, rung: Rung::Block, expires_at }]);
        let mut synthetic = Synthetic::new();
        let probes = (0..10).flat_map(|_| synthetic.probe(&detection, now));
        probes.filter(|probe| !probe.is_served && probe.met == Some(id)).count()
    }

    #[test]
    fn a_block_on_an_ordinary_reader_or_on_the_prefix_of_one_is_noticed() {
        let detection = Detection::new([1, 2]);
        let stands = detection.mitigations();
        let readers = synthetic_readers(detection.attributer(), &stands, 1);
        for reader in readers {
            let met = kept_out(Attribute::UserAgent, reader.value(Attribute::UserAgent));
            assert!(met >= 9, "{met}: one identity in a hundred is kept out of a block");
        }
        assert!(kept_out(Attribute::Prefix, 77) >= 9);
        assert_eq!(kept_out(Attribute::Network, 77), 0, "a network alone never blocks");
        assert_eq!(kept_out(Attribute::UserAgent, 77), 0);
    }
}
