//! What a window counts of each mitigation: what the ladder climbs and falls by.

use seawall_model::{
    Cause, MAX_MITIGATIONS, MitigationId, Observation, RequestKind, Rung, Test, Work,
};

use crate::followed::is_untested;
use crate::window::is_refused;

/// What was counted of one mitigation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MitigationCounts {
    /// Which.
    pub id: MitigationId,
    /// Requests that matched.
    pub matched: u64,
    /// Of them: of those kept out to see what would happen without, who are tested; forms of theirs are refused.
    pub control: u64,
    /// Of them: given a cheap test.
    pub tests_set: u64,
    /// Of them: passed one.
    pub tests_passed: u64,
    /// Of them: work for the origin by those who were tested or blocked otherwise, but that no test can be put
    /// before: forms, scripts, streams; no feeds, and nothing that belongs to pages.
    pub untested: u64,
    /// Of them: pages and such work within what they may have, by somebody of whom it was checked that they were here
    /// to read before, or may be here. They are not touched, and the signature means readers as much as these are many.
    pub recognised: u64,
    /// Clients with work that no test can be put before who were told to wait, of those who are followed: each
    /// time that begins, and each ten seconds for which they go on, seventeen seconds later, when it is sure what they did.
    pub told: u64,
    /// Of those: they went on for ten seconds and never waited for as long as they were told to.
    pub restless: u64,
    /// Of them: beyond the budget of pages in hand.
    pub beyond_budget: u64,
    /// Of them: refused for the mitigation.
    pub blocked: u64,
}

impl MitigationCounts {
    /// Adds what was counted elsewhere of the same.
    pub const fn merge(&mut self, other: &Self) {
        self.matched += other.matched;
        self.control += other.control;
        self.tests_set += other.tests_set;
        self.tests_passed += other.tests_passed;
        self.untested += other.untested;
        self.recognised += other.recognised;
        self.told += other.told;
        self.restless += other.restless;
        self.beyond_budget += other.beyond_budget;
        self.blocked += other.blocked;
    }
}

/// Counts by mitigation. As many places as there may be mitigations, and as many again for those that
/// were replaced within the window; what finds no place is dropped.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    places: [MitigationCounts; 2 * MAX_MITIGATIONS],
    used: usize,
}

impl Tallies {
    /// Adds one request, if a mitigation matched. O(mitigations), no allocation.
    pub fn add(&mut self, observation: &Observation) {
        let Some(met) = observation.met else { return };
        let Some(counts) = self.of(met.id) else { return };
        counts.matched += 1;
        counts.control += u64::from(met.is_control);
        counts.tests_set += u64::from(observation.test == Test::Set);
        counts.tests_passed += u64::from(observation.test == Test::Passed);
        let is_work = observation.work != Work::Held && observation.cause != Cause::HeldBudget;
        // What a request says of itself is no reason: a cookie costs nothing to make up.
        let is_recognised =
            observation.is_recognised || matches!(observation.test, Test::Passed | Test::Carried);
        let is_form = is_work && observation.kind == RequestKind::Other;
        let is_untested = is_untested(observation) || is_form && is_recognised;
        // Or one who has a credential could keep a flood from being blocked.
        let is_own_fault = matches!(observation.cause, Cause::OriginBudget | Cause::RouteBudget);
        let is_wanted = matches!(observation.kind, RequestKind::Page | RequestKind::Other);
        counts.untested += u64::from(is_untested);
        counts.recognised += u64::from(is_recognised && is_work && is_wanted && !is_own_fault);
        counts.beyond_budget += u64::from(observation.cause == Cause::HeldBudget);
        // A page in hand is given to whom a block means, too, up to the budget of those.
        let is_blocked = met.rung == Rung::Block && !met.is_control && is_refused(observation)
            || observation.cause == Cause::SignatureBlock;
        counts.blocked += u64::from(is_blocked);
    }

    /// Adds some who were told to wait, and some who did not.
    pub(crate) fn told(&mut self, id: MitigationId, told: u32, restless: u32) {
        if let Some(counts) = self.of(id) {
            counts.told += u64::from(told);
            counts.restless += u64::from(restless);
        }
    }

    /// What was counted.
    pub fn counts(&self) -> &[MitigationCounts] {
        &self.places[..self.used]
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for counts in other.counts() {
            if let Some(mine) = self.of(counts.id) {
                mine.merge(counts);
            }
        }
    }

    /// Forgets everything.
    pub const fn clear(&mut self) {
        self.used = 0;
    }

    fn of(&mut self, id: MitigationId) -> Option<&mut MitigationCounts> {
        let found = self.counts().iter().position(|counts| counts.id == id);
        if found.is_none() {
            *self.places.get_mut(self.used)? = MitigationCounts { id, ..Default::default() };
            self.used += 1;
        }
        self.places.get_mut(found.unwrap_or(self.used - 1))
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::Met;

    use super::*;
    use crate::testing::page;

    fn met(id: u32, is_control: bool) -> Observation {
        Observation {
            status: 403,
            work: Work::Spared,
            met: Some(Met { id: MitigationId(id), rung: Rung::Block, is_control }),
            ..page()
        }
    }

    #[test]
    fn a_page_in_hand_that_was_given_to_whom_a_block_means_is_not_counted_as_refused() {
        let mut tallies = Tallies::default();
        tallies.add(&Observation { status: 200, work: Work::Held, ..met(1, false) });
        tallies.add(&met(1, false));
        let counts = tallies.counts()[0];
        assert_eq!((counts.matched, counts.blocked), (2, 1));
    }

    #[test]
    fn who_is_kept_out_of_a_block_and_refused_all_the_same_is_counted_as_refused() {
        let mut tallies = Tallies::default();
        let kept_out = met(1, true);
        let cause = Cause::SignatureBlock;
        tallies.add(&Observation { kind: RequestKind::Other, cause, ..kept_out });
        tallies.add(&Observation { cause: Cause::Challenged, ..kept_out });
        let counts = tallies.counts()[0];
        assert_eq!((counts.matched, counts.control, counts.blocked), (2, 2, 1));
    }

    #[test]
    fn what_no_mitigation_met_counts_for_none() {
        let mut tallies = Tallies::default();
        tallies.add(&Observation { met: None, ..met(1, false) });
        assert!(tallies.counts().is_empty());
    }

    #[test]
    fn counts_of_two_workers_add_up() {
        let (mut one, mut other) = (Tallies::default(), Tallies::default());
        one.add(&met(1, false));
        other.add(&met(2, false));
        other.add(&met(1, true));
        one.merge(&other);
        let of = |id| one.counts().iter().find(|counts| counts.id == MitigationId(id)).copied();
        let first = of(1).expect("was met");
        assert_eq!((first.matched, first.control, first.blocked), (2, 1, 1));
        assert_eq!(of(2).expect("was met").matched, 1);
    }

    #[test]
    fn work_that_no_test_can_be_put_before_is_counted_and_who_was_seen_to_read() {
        let of = |observation: Observation| {
            let mut tallies = Tallies::default();
            tallies.add(&observation);
            let counts = tallies.counts()[0];
            (counts.untested, counts.recognised)
        };
        let form = Observation { kind: RequestKind::Other, ..met(1, false) };
        assert_eq!(of(form), (1, 0));
        for test in [Test::Passed, Test::Carried] {
            assert_eq!(of(Observation { test, ..form }), (1, 1));
        }
        // Who is exempt meets nothing, on whichever rung it stands.
        let exempt = Met { id: MitigationId(1), rung: Rung::Observe, is_control: false };
        let known = Observation { is_recognised: true, met: Some(exempt), ..form };
        assert_eq!(of(known), (1, 1));
        assert_eq!(of(Observation { kind: RequestKind::Page, ..known }), (0, 1));
        assert_eq!(of(Observation { returned_cookie: true, ..form }), (1, 0), "a claim");
        for cause in [Cause::OriginBudget, Cause::RouteBudget] {
            assert_eq!(of(Observation { cause, ..known }), (1, 0), "beyond what it may have");
        }
        for observation in [
            Observation { work: Work::Held, ..known },
            Observation { kind: RequestKind::Feed, ..known },
            Observation { kind: RequestKind::Subresource, ..known },
        ] {
            assert_eq!(of(observation), (0, 0), "{observation:?}");
        }
        let demoted = Met { id: MitigationId(1), rung: Rung::Demote, is_control: false };
        for observation in [
            met(1, false),
            Observation { kind: RequestKind::Feed, ..form },
            Observation { kind: RequestKind::Subresource, ..form },
            Observation { work: Work::Held, ..form },
            Observation { test: Test::Set, ..form },
            Observation { cause: Cause::HeldBudget, ..form },
            Observation { met: Some(demoted), ..form },
        ] {
            assert_eq!(of(observation), (0, 0), "{observation:?}");
        }
    }

    #[test]
    fn more_mitigations_than_places_are_dropped_and_a_cleared_one_takes_again() {
        let mut tallies = Tallies::default();
        for id in 0..100 {
            tallies.add(&met(id, false));
        }
        assert_eq!(tallies.counts().len(), 2 * MAX_MITIGATIONS);
        assert!(tallies.counts().iter().all(|counts| counts.matched == 1));
        tallies.clear();
        tallies.add(&met(7, false));
        assert_eq!(tallies.counts().len(), 1);
    }
}
