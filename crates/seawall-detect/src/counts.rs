//! What is counted completely in one window, whatever is sampled.

use seawall_model::{ConnectionSignal, Observation, RequestKind, Standing, Test, Work};

/// Who asks, as far as it can be told without guessing. A request belongs to the first that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cohort {
    /// The origin or the operator vouched for it.
    SignedIn,
    /// A reader known for at least a day.
    KnownReader,
    /// It passed the cheap test.
    Passed,
    /// A mitigation met it.
    Met,
    /// It asks for feeds.
    Feed,
    /// It comes from a Tor exit.
    Tor,
    /// Anybody else.
    Unmarked,
}

impl Cohort {
    /// All of them, by [`Self::index`].
    pub const ALL: [Self; 7] = [
        Self::SignedIn,
        Self::KnownReader,
        Self::Passed,
        Self::Met,
        Self::Feed,
        Self::Tor,
        Self::Unmarked,
    ];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// To which a request belongs.
    pub const fn of(observation: &Observation) -> Self {
        match (observation.standing, observation.test) {
            (Standing::SignedIn, _) => Self::SignedIn,
            (Standing::AgedReader, _) => Self::KnownReader,
            (_, Test::Passed | Test::Carried) => Self::Passed,
            _ if observation.met.is_some() => Self::Met,
            _ if matches!(observation.kind, RequestKind::Feed) => Self::Feed,
            _ if observation.is_tor => Self::Tor,
            _ => Self::Unmarked,
        }
    }
}

/// What became of the requests of one cohort. The sum of all but [`Self::late`] is their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CohortTally {
    /// Answered by the origin or from what is held, with anything but 5xx.
    pub served: u64,
    /// Refused by us, other than by a test.
    pub refused: u64,
    /// Given a cheap test.
    pub tested: u64,
    /// Answered 5xx by the origin, or for it.
    pub failed: u64,
    /// Gone before they were answered.
    pub gone: u64,
    /// Of all: answered after more than [`LATE`](seawall_model::LATE).
    pub late: u64,
}

impl CohortTally {
    /// How many there were.
    pub const fn requests(&self) -> u64 {
        self.served + self.refused + self.tested + self.failed + self.gone
    }

    fn add(&mut self, observation: &Observation, is_refused: bool) {
        let became = if observation.test == Test::Set {
            &mut self.tested
        } else if is_refused {
            &mut self.refused
        } else {
            match observation.status {
                0 => &mut self.gone,
                500.. => &mut self.failed,
                _ => &mut self.served,
            }
        };
        *became += 1;
        self.late += u64::from(observation.is_late);
    }

    fn merge(&mut self, other: &Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.tested += other.tested;
        self.failed += other.failed;
        self.gone += other.gone;
        self.late += other.late;
    }
}

/// Sums over one window of one worker, or of several after [`Counts::merge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Of them: for pages.
    pub pages: u64,
    /// Of them: for what pages load, and had.
    pub parts: u64,
    /// Of them: the origin worked.
    pub origin: u64,
    /// Of them: the origin would have worked, but was spared.
    pub spared: u64,
    /// Milliseconds of the origin's time.
    pub origin_cost_ms: u64,
    /// Of them: answered with 4xx by the origin or for what is held. Refusals of our own are not counted
    /// here: a measure must not feed the channel that called for it.
    pub client_errors: u64,
    /// Of them: answered with 5xx, likewise.
    pub server_errors: u64,
    /// Of them: refused by us.
    pub refused: u64,
    /// Cheap tests set.
    pub tests_set: u64,
    /// Requests that passed one.
    pub tests_passed: u64,
    /// Clients not seen in the last ten minutes, estimated.
    pub new_clients: u64,
    /// By [`ConnectionSignal::index`].
    pub signals: [u64; ConnectionSignal::ALL.len()],
    /// What became of whom, by [`Cohort::index`].
    pub cohorts: [CohortTally; Cohort::ALL.len()],
}

/// Whether it is something that pages load, and was had. A browser says which of its requests are those, and anybody can say
/// it of a search: so only what can be shared counts, and nothing that was refused.
pub(crate) fn is_part_had(observation: &Observation) -> bool {
    observation.kind == RequestKind::Subresource
        && observation.is_cacheable
        && observation.status < 400
}

impl Counts {
    /// Adds one request. `is_refused` says whether we refused it ourselves.
    pub fn add(&mut self, observation: &Observation, is_refused: bool) {
        self.requests += 1;
        self.pages += u64::from(observation.kind == RequestKind::Page);
        self.parts += u64::from(is_part_had(observation));
        match observation.work {
            Work::Held => {}
            Work::Origin { cost_ms } => {
                self.origin += 1;
                self.origin_cost_ms += u64::from(cost_ms);
            }
            Work::Spared => self.spared += 1,
        }
        if is_refused {
            self.refused += 1;
        } else {
            self.client_errors += u64::from((400..500).contains(&observation.status));
            self.server_errors += u64::from(observation.status >= 500);
        }
        self.tests_set += u64::from(observation.test == Test::Set);
        self.tests_passed += u64::from(observation.test == Test::Passed);
        self.cohorts[Cohort::of(observation).index()].add(observation, is_refused);
    }

    /// Adds what a connection told.
    pub const fn signal(&mut self, signal: ConnectionSignal) {
        self.signals[signal.index()] += 1;
    }

    /// How often `signal` was given.
    pub const fn signalled(&self, signal: ConnectionSignal) -> u64 {
        self.signals[signal.index()]
    }

    /// Adds the sums of another window.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.pages += other.pages;
        self.parts += other.parts;
        self.origin += other.origin;
        self.spared += other.spared;
        self.origin_cost_ms += other.origin_cost_ms;
        self.client_errors += other.client_errors;
        self.server_errors += other.server_errors;
        self.refused += other.refused;
        self.tests_set += other.tests_set;
        self.tests_passed += other.tests_passed;
        self.new_clients += other.new_clients;
        for (mine, theirs) in self.signals.iter_mut().zip(other.signals) {
            *mine += theirs;
        }
        for (mine, theirs) in self.cohorts.iter_mut().zip(&other.cohorts) {
            mine.merge(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::{Met, MitigationId, Rung};

    use super::*;
    use crate::testing::page;

    #[test]
    fn what_is_refused_or_cannot_be_shared_is_no_part_of_a_page() {
        let style = Observation { kind: RequestKind::Subresource, ..page() };
        assert!(is_part_had(&style) && is_part_had(&Observation { status: 304, ..style }));
        // A search that says that it is an image.
        assert!(!is_part_had(&Observation { is_cacheable: false, ..style }));
        assert!(!is_part_had(&Observation { status: 429, ..style }));
        assert!(!is_part_had(&page()));
    }

    #[test]
    fn a_request_belongs_to_the_first_cohort_that_fits() {
        let met = Some(Met { id: MitigationId(1), rung: Rung::Challenge, is_control: false });
        let all = Observation {
            standing: Standing::SignedIn,
            test: Test::Carried,
            met,
            kind: RequestKind::Feed,
            is_tor: true,
            ..page()
        };
        let known = Observation { standing: Standing::AgedReader, ..all };
        let passed = Observation { standing: Standing::Anonymous, ..all };
        let met = Observation { test: Test::Set, ..passed };
        let feed = Observation { met: None, ..met };
        let tor = Observation { kind: RequestKind::Page, ..feed };
        let all = [all, known, passed, met, feed, tor, page()];
        assert_eq!(all.map(|it| Cohort::of(&it)), Cohort::ALL);
        for (index, cohort) in Cohort::ALL.into_iter().enumerate() {
            assert_eq!(cohort.index(), index);
        }
    }

    #[test]
    fn every_request_is_counted_once_among_what_became_of_its_cohort() {
        let mut counts = Counts::default();
        let with = |status, test| Observation { status, test, ..page() };
        counts.add(&with(200, Test::None), false);
        counts.add(&with(404, Test::None), false);
        counts.add(&with(429, Test::None), true);
        counts.add(&with(429, Test::Set), true);
        counts.add(&with(502, Test::None), false);
        counts.add(&Observation { is_late: true, ..with(0, Test::None) }, false);
        let want = CohortTally { served: 2, refused: 1, tested: 1, failed: 1, gone: 1, late: 1 };
        assert_eq!(counts.cohorts[Cohort::Unmarked.index()], want);
        assert_eq!(want.requests(), counts.requests);
        let once = counts;
        counts.merge(&once);
        assert_eq!(counts.cohorts[Cohort::Unmarked.index()].requests(), 12);
    }
}
