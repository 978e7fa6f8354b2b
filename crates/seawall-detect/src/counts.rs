//! What is counted completely in one window, whatever is sampled.

use seawall_model::{ConnectionSignal, Observation, RequestKind, Test, Work};

/// Sums over one window of one worker, or of several after [`Counts::merge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests answered.
    pub requests: u64,
    /// Of them: for pages.
    pub pages: u64,
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
}

impl Counts {
    /// Adds one request. `is_refused` says whether we refused it ourselves.
    pub fn add(&mut self, observation: &Observation, is_refused: bool) {
        self.requests += 1;
        self.pages += u64::from(observation.kind == RequestKind::Page);
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
    }
}
