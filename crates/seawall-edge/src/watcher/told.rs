//! What the watch tells: log lines, and what status and metrics show.

use seawall_control::{ControlLoop, Entry, Measure, MeasureState, Mode, Order, Step};
use seawall_detect::{Finding, TrafficState, Verdict};
use seawall_model::{Instant, Rung, Signature};
use serde::Serialize;

use crate::admin::State;
use crate::clock;

/// What is known after a tick.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// The state of the site.
    pub(crate) state: State,
    /// Requests per second that would be ordinary now.
    pub(crate) expected_per_s: f64,
    /// Clients that are known as ordinary.
    pub(crate) baseline_clients: u32,
    /// Whether some of them were generated for a rehearsal.
    pub(crate) baseline_is_generated: bool,
    /// What is out of the ordinary, by name.
    pub(crate) alarms: Vec<&'static str>,
    /// Measures that stand, and those that rest.
    pub(crate) measures: Vec<MeasureStatus>,
    /// Whether anything is done about it.
    pub(crate) mode: Mode,
}

/// One measure, as status shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureStatus {
    /// Its name.
    pub id: u32,
    /// What it means, in words.
    pub signature: String,
    /// Its rung; `dormant` if it rests.
    pub rung: &'static str,
    /// Seconds since it is on this rung.
    pub since_s: u64,
    /// Seconds until it ends unless it is renewed.
    pub expires_in_s: u64,
    /// Which part of the excess it explains, 0 to 1.
    pub coverage: f64,
    /// Upper bound of the part of ordinary clients that it means, 0 to 1.
    pub collateral_upper: f64,
    /// Requests that it met.
    pub matched: u64,
    /// Of them: refused.
    pub blocked: u64,
    /// Tests that were set to them.
    pub tests_set: u64,
    /// And passed.
    pub tests_passed: u64,
    /// Clients known as ordinary, of whom that bound is.
    pub baseline_clients: u32,
    /// Whether the operator ordered it.
    pub is_ordered: bool,
    /// What the operator ordered: `pin` or `veto`.
    pub order: Option<&'static str>,
    /// Seconds until the order ends.
    pub order_ends_in_s: Option<u64>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            state: State::Normal,
            expected_per_s: 0.0,
            baseline_clients: 0,
            baseline_is_generated: false,
            alarms: Vec::new(),
            measures: Vec::new(),
            mode: Mode::default(),
        }
    }
}

impl Told {
    /// Before anything was found: what the operator ordered.
    pub(super) fn ordered(control: &ControlLoop) -> Self {
        let (controller, now) = (control.controller(), clock::now());
        let of = |measure: &Measure| status(measure, control.describe(&measure.signature), now);
        let measures = controller.measures().iter().map(of).collect();
        Self { measures, mode: controller.mode(), ..Self::default() }
    }

    /// The same after an order between two ticks.
    pub(super) fn reordered(&self, control: &ControlLoop) -> Self {
        let Self { measures, mode, .. } = Self::ordered(control);
        Self { measures, mode, ..self.clone() }
    }

    pub(super) fn new(finding: &Finding, control: &ControlLoop) -> Self {
        let mut alarms: Vec<&'static str> = Vec::new();
        for alarm in &finding.alarms {
            let name = alarm.channel.as_str();
            if !alarms.contains(&name) {
                alarms.push(name);
            }
        }
        Self {
            state: state(finding.state),
            expected_per_s: finding.rates.requests_expected,
            baseline_clients: finding.baseline_clients,
            baseline_is_generated: false,
            alarms,
            ..Self::ordered(control)
        }
    }
}

pub(super) fn status(measure: &Measure, signature: String, now: Instant) -> MeasureStatus {
    let (rung, ends) = match measure.state {
        MeasureState::Active => (measure.rung.as_str(), measure.expires_at),
        MeasureState::Dormant { until } => ("dormant", until),
    };
    let order = match measure.order {
        Some(Order::Pinned { until, .. }) if now < until => Some(("pin", until)),
        Some(Order::Vetoed { until }) if now < until => Some(("veto", until)),
        _ => None,
    };
    MeasureStatus {
        id: measure.id.0,
        signature,
        rung,
        since_s: now.saturating_since(measure.since).as_secs(),
        expires_in_s: ends.saturating_since(now).as_secs(),
        coverage: rounded(measure.evidence.coverage),
        collateral_upper: measure.evidence.collateral_upper,
        matched: measure.met.matched,
        blocked: measure.met.blocked,
        tests_set: measure.met.tests_set,
        tests_passed: measure.met.tests_passed,
        baseline_clients: measure.evidence.baseline_clients,
        is_ordered: order.is_some(),
        order: order.map(|(what, _)| what),
        order_ends_in_s: order.map(|(_, until)| until.saturating_since(now).as_secs()),
    }
}

/// Three digits: it is an estimate.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e3).round() / 1e3
}

const fn state(state: TrafficState) -> State {
    match state {
        TrafficState::Normal => State::Normal,
        TrafficState::Watch => State::Watch,
        TrafficState::Recovery => State::Recovery,
        TrafficState::Alarmed(Verdict::Crowd) => State::Crowd,
        TrafficState::Alarmed(Verdict::Mixed) => State::Mixed,
        TrafficState::Alarmed(Verdict::Attack) => State::Attack,
    }
}

/// Says what happened. Moves of the ladder are few: sixteen measures, and each keeps still for seconds.
pub(super) fn log(entry: &Entry, describe: impl FnOnce(&Signature) -> String) {
    let incident = entry.incident.map(|incident| incident.0);
    match entry.step {
        Step::Opened => {
            tracing::warn!(seawall.incident.id = incident, "more is asked than is ordinary");
        }
        Step::Judged(verdict) => {
            let verdict = verdict.as_str();
            tracing::warn!(seawall.incident.id = incident, verdict, "what it seems to be");
        }
        Step::Closed(closed) => tracing::warn!(
            seawall.incident.id = incident,
            verdict = closed.verdict.as_str(),
            lasted_s = closed.until.saturating_since(closed.since).as_secs(),
            requests = closed.requests,
            excess = closed.excess,
            matched = closed.matched,
            "it is over"
        ),
        Step::Moved { id, signature, evidence, from, to, why } => tracing::warn!(
            seawall.incident.id = incident,
            security_rule.uuid = id.0,
            security_rule.name = %describe(&signature),
            seawall.rung = to.map_or("none", Rung::as_str),
            was = from.map_or("none", Rung::as_str),
            why = why.as_str(),
            coverage = rounded(evidence.coverage),
            collateral_upper = evidence.collateral_upper,
            baseline_clients = evidence.baseline_clients,
            "a mitigation changed"
        ),
        Step::Refused(why) => tracing::warn!(?why, "an order was not followed"),
    }
}
