//! From quarters of a second to the seconds of a record.

use seawall_detect::{Cohort as Counted, Counts, Finding, MitigationCounts, TrafficState};
use seawall_model::ConnectionSignal;
use seawall_report::{Cohort, CohortCounts, Connections, MetCounts, Moment, Node, Second};

/// Adds up what was counted in one second.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    counts: Counts,
    met: Vec<MitigationCounts>,
    expected: f64,
    ticks: u32,
    state: TrafficState,
    alarms: Vec<&'static str>,
}

impl Sums {
    pub(super) fn add(&mut self, finding: &Finding) {
        self.counts.merge(&finding.counts);
        for counts in &finding.met {
            match self.met.iter_mut().find(|it| it.id == counts.id) {
                Some(same) => same.merge(counts),
                None => self.met.push(*counts),
            }
        }
        self.expected += finding.rates.requests_expected;
        self.ticks += 1;
        self.state = finding.state;
        for alarm in &finding.alarms {
            let name = alarm.channel.as_str();
            if !self.alarms.contains(&name) {
                self.alarms.push(name);
            }
        }
    }

    /// What it comes to, of the second that began at `at`.
    pub(super) fn second(&self, at: Moment, node: Option<Node>) -> Second {
        let counts = &self.counts;
        let expected = self.expected / f64::from(self.ticks.max(1));
        Second {
            at,
            state: self.state.as_str().to_owned(),
            requests: counts.requests,
            // A tenth of a request: it is an estimate, and a record has many seconds.
            expected: (expected * 10.0).round() / 10.0,
            pages: counts.pages,
            origin: counts.origin,
            spared: counts.spared,
            origin_cost_ms: counts.origin_cost_ms,
            client_errors: counts.client_errors,
            server_errors: counts.server_errors,
            refused: counts.refused,
            tests_set: counts.tests_set,
            tests_passed: counts.tests_passed,
            new_clients: counts.new_clients,
            connections: connections(counts),
            cohorts: cohorts(counts),
            met: self.met.iter().map(met).collect(),
            alarms: self.alarms.iter().map(|&name| name.to_owned()).collect(),
            node,
        }
    }
}

/// What mitigations met that no second has told yet. Of sixteen of them it is half of what a second says, so that later on it
/// is told every thirty seconds only; what all of them met together, each second tells by cohort.
#[derive(Clone, Debug, Default)]
pub(super) struct Untold {
    counts: Vec<MetCounts>,
    seconds: u64,
}

impl Untold {
    /// Adds what a second met, and has the second tell all of it if that is due after `every` seconds, or if `is_last`.
    pub(super) fn pass(&mut self, second: &mut Second, every: u64, is_last: bool) {
        for met in second.met.drain(..) {
            match self.counts.iter_mut().find(|it| it.id == met.id) {
                Some(same) => {
                    same.matched += met.matched;
                    same.control += met.control;
                    same.blocked += met.blocked;
                    same.tests_set += met.tests_set;
                    same.tests_passed += met.tests_passed;
                }
                None => self.counts.push(met),
            }
        }
        self.seconds += 1;
        if self.seconds >= every || is_last {
            second.met = std::mem::take(&mut self.counts);
            self.seconds = 0;
        }
    }
}

fn connections(counts: &Counts) -> Connections {
    Connections {
        opened: counts.signalled(ConnectionSignal::Opened),
        handshakes: counts.signalled(ConnectionSignal::Handshake),
        handshake_failures: counts.signalled(ConnectionSignal::HandshakeFailed),
        resets: counts.signalled(ConnectionSignal::Reset),
        slow: counts.signalled(ConnectionSignal::Slow),
        refused: counts.signalled(ConnectionSignal::Refused),
    }
}

/// Those who asked for anything.
fn cohorts(counts: &Counts) -> Vec<CohortCounts> {
    let all = Counted::ALL.iter().map(|&cohort| {
        let tally = &counts.cohorts[cohort.index()];
        CohortCounts {
            cohort: named(cohort),
            requests: tally.requests(),
            served: tally.served,
            refused: tally.refused,
            tested: tally.tested,
            failed: tally.failed,
            late: tally.late,
        }
    });
    all.filter(|counts| counts.requests > 0).collect()
}

const fn named(cohort: Counted) -> Cohort {
    match cohort {
        Counted::SignedIn => Cohort::SignedIn,
        Counted::KnownReader => Cohort::KnownReader,
        Counted::Passed => Cohort::Passed,
        Counted::Met => Cohort::Met,
        Counted::Feed => Cohort::Feed,
        Counted::Tor => Cohort::Tor,
        Counted::Unmarked => Cohort::Unmarked,
    }
}

fn met(counts: &MitigationCounts) -> MetCounts {
    MetCounts {
        id: counts.id.0,
        matched: counts.matched,
        control: counts.control,
        blocked: counts.blocked,
        tests_set: counts.tests_set,
        tests_passed: counts.tests_passed,
    }
}
