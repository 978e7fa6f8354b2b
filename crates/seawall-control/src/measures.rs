//! What is remembered of one measure: its signature, its rung, and what speaks for and against it.

use core::time::Duration;

use seawall_detect::{MitigationCounts, SignatureEvidence, Unsure};
use seawall_model::{Instant, Mitigation, MitigationId, Rung, Signature};

use crate::event::{Probe, Why};

/// One measure of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measure {
    /// Its name.
    pub id: MitigationId,
    /// Whom it meets.
    pub signature: Signature,
    /// On what it rests, by the last check.
    pub evidence: SignatureEvidence,
    /// Its rung; of one that rests, the highest it stood on with proof.
    pub rung: Rung,
    /// Whether it stands.
    pub state: MeasureState,
    /// What the operator wants of it.
    pub order: Option<Order>,
    /// Since when it is on this rung, or rests.
    pub since: Instant,
    /// Until when it stands unless it is renewed.
    pub expires_at: Instant,
    /// Everything it met.
    pub met: MitigationCounts,
    pub(crate) recent: Recent,
    /// Those who were told to wait and are not among [`Self::recent`] yet.
    pub(crate) unsure: Option<Unsure>,
    /// Whether those it meets were proven not to pass, once: then it comes back where it was.
    pub(crate) is_proven: bool,
    /// Whether it tests more people than it could whatever goes on (rule 8 of the ladder).
    pub(crate) is_wide: bool,
    /// Higher than this it does not climb until then.
    pub(crate) ceiling: Option<(Rung, Instant)>,
    /// When it was last moved down because some pass.
    pub(crate) passed_at: Option<Instant>,
    /// Since when its evidence bears less than its rung.
    pub(crate) weak_since: Option<Instant>,
    /// Since when what it means has ceased.
    pub(crate) idle_since: Option<Instant>,
    /// Since when it explains next to nothing of what is too much.
    pub(crate) idle_share_since: Option<Instant>,
    /// Why it rests, if it does.
    pub(crate) let_go: Option<Why>,
}

/// Whether a measure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeasureState {
    /// It does.
    Active,
    /// It rests, and comes back in one tick if what it means does (pulse waves).
    Dormant {
        /// Then it is forgotten.
        until: Instant,
    },
}

/// What the operator ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// It stays on this rung.
    Pinned {
        /// Which.
        rung: Rung,
        /// How long.
        until: Instant,
    },
    /// It does not stand.
    Vetoed {
        /// How long.
        until: Instant,
    },
}

impl Measure {
    /// A new one that stands on `rung`.
    pub(crate) fn new(
        now: Instant,
        id: MitigationId,
        signature: Signature,
        evidence: SignatureEvidence,
        rung: Rung,
    ) -> Self {
        Self {
            id,
            signature,
            evidence,
            rung,
            state: MeasureState::Active,
            order: None,
            since: now,
            expires_at: now + LIFE,
            met: MitigationCounts { id, ..MitigationCounts::default() },
            recent: Recent::new(now),
            unsure: None,
            is_proven: false,
            is_wide: false,
            ceiling: None,
            passed_at: None,
            weak_since: None,
            idle_since: None,
            idle_share_since: None,
            let_go: None,
        }
    }

    /// Whether it stands.
    pub fn is_active(&self) -> bool {
        self.state == MeasureState::Active
    }

    /// What workers are to do about it.
    pub(crate) fn mitigation(&self, is_observing: bool) -> Mitigation {
        let rung = if is_observing { Rung::Observe } else { self.rung };
        Mitigation { id: self.id, signature: self.signature, rung, expires_at: self.expires_at }
    }

    /// Puts it on `rung`. What was counted on another one says nothing of this one.
    pub(crate) fn stand(&mut self, now: Instant, rung: Rung) {
        self.rung = rung;
        self.state = MeasureState::Active;
        self.since = now;
        self.expires_at = now + LIFE;
        self.recent = Recent::new(now);
        self.weak_since = None;
        self.is_wide = false;
        self.let_go = None;
    }

    /// Lets it rest; it keeps its rung only if that was proven.
    pub(crate) fn rest(&mut self, now: Instant, why: Why) {
        self.let_go = Some(why);
        self.is_wide = false;
        if !self.is_proven {
            self.rung = Rung::Demote;
        }
        self.state = MeasureState::Dormant { until: now + REST };
        self.since = now;
        self.idle_since = None;
        self.idle_share_since = None;
    }

    /// The highest rung it may stand on now, as far as it was not rolled back from there.
    pub(crate) fn ceiling(&self, now: Instant) -> Rung {
        match self.ceiling {
            Some((rung, until)) if now < until => rung,
            _ => Rung::Block,
        }
    }

    /// Whether it was let go so lately that it does not come back, so that nothing flaps: what was proven does,
    /// and what had ceased does if `has_own_excess`.
    pub(crate) fn is_settling(&self, now: Instant, has_own_excess: bool) -> bool {
        let is_back = self.is_proven || self.let_go == Some(Why::Ceased) && has_own_excess;
        !is_back && self.age(now) < SETTLING
    }

    /// How long it has been as it is.
    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.since)
    }
}

/// What it met lately: halved every ten seconds, begun anew on each rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) counts: MitigationCounts,
    pub(crate) probes_served: u32,
    pub(crate) probes_failed: u32,
    halved: Instant,
}

impl Recent {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            counts: MitigationCounts::default(),
            probes_served: 0,
            probes_failed: 0,
            halved: now,
        }
    }

    pub(crate) fn add(&mut self, now: Instant, counts: &MitigationCounts) {
        self.age(now);
        self.counts.merge(counts);
    }

    pub(crate) fn probed(&mut self, now: Instant, probe: Probe) {
        self.age(now);
        if probe.is_served {
            self.probes_served += 1;
        } else {
            self.probes_failed += 1;
        }
    }

    fn age(&mut self, now: Instant) {
        if now.saturating_since(self.halved) < HALF_LIFE {
            return;
        }
        self.halved = now;
        let counts = &mut self.counts;
        for count in [
            &mut counts.matched,
            &mut counts.control,
            &mut counts.tests_set,
            &mut counts.tests_passed,
            &mut counts.untested,
            &mut counts.recognised,
            &mut counts.told,
            &mut counts.restless,
            &mut counts.beyond_budget,
            &mut counts.blocked,
        ] {
            *count /= 2;
        }
        self.probes_served /= 2;
        self.probes_failed /= 2;
    }
}

/// How long a measure stands without being renewed (detection.md §2.4).
pub(crate) const LIFE: Duration = Duration::from_secs(300);
/// How long one is remembered that rests (detection.md §2.4).
pub(crate) const REST: Duration = Duration::from_secs(24 * 3600);
/// How long what was let go stays so.
const SETTLING: Duration = Duration::from_secs(10);
const HALF_LIFE: Duration = Duration::from_secs(10);
