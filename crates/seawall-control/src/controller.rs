//! The controller: what is found and ordered goes in, what is to be published and recorded comes out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use seawall_detect::{
    Candidate, Finding, SignatureEvidence, SiteRates, TrafficState, Verdict, licence,
};
use seawall_model::{
    Instant, MAX_MITIGATIONS, Mitigation, MitigationId, Rung, Signature, WallTime,
};

use crate::event::{
    Action, ControlEvent, Entry, Incident, IncidentId, MAX_ORDER, OperatorCommand, Probe, Refused,
    Step, Why,
};
use crate::ladder::{self, COOL, MOST, Move, Situation};
use crate::measures::{LIFE, Measure, MeasureState, Order};

/// Whether anything is done about what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    #[default]
    Act,
    /// Nothing is; what would be done is said.
    Observe,
}

impl Mode {
    /// The name in configuration, status and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Act => "act",
            Self::Observe => "observe",
        }
    }
}

/// How a controller is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControllerConfig {
    /// Whether it acts.
    pub mode: Mode,
}

/// Turns findings into mitigations. Bounded: sixteen measures stand, sixty-four rest.
///
/// Each tick: [`ControlEvent::Checked`] for each of [`Self::signatures_to_check`], then
/// [`ControlEvent::Finding`], then [`Self::poll_action`] until there is nothing more to do.
/// Between ticks [`Self::handle_timeout`] at [`Self::poll_timeout`]: if findings stop coming,
/// everything ends in time.
#[derive(Debug)]
pub struct Controller {
    mode: Mode,
    measures: Vec<Measure>,
    next_id: u32,
    next_incident: u32,
    wall: WallTime,
    incident: Option<Incident>,
    /// Since when there is no excess worth explaining.
    calm_since: Option<Instant>,
    /// Since when there is an alarm.
    alarmed_since: Option<Instant>,
    others: Others,
    published: Vec<Mitigation>,
    actions: VecDeque<Action>,
}

/// Synthetic readers that met no measure.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    served: f64,
    failed: f64,
}

impl Controller {
    /// One that knows of nothing.
    pub fn new(config: ControllerConfig) -> Self {
        Self {
            mode: config.mode,
            measures: Vec::with_capacity(MAX_MITIGATIONS + MAX_DORMANT),
            next_id: 1,
            next_incident: 1,
            wall: WallTime::default(),
            incident: None,
            calm_since: None,
            alarmed_since: None,
            others: Others::default(),
            published: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Instant, event: ControlEvent<'_>) {
        match event {
            ControlEvent::Finding(finding) => self.on_finding(now, finding),
            ControlEvent::Checked { signature, evidence } => {
                self.on_checked(now, &signature, evidence);
            }
            ControlEvent::Probed(probe) => self.on_probe(now, probe),
            ControlEvent::Operator(command) => self.on_order(now, command),
        }
        self.publish();
    }

    /// Lets go what has expired. Call at [`Self::poll_timeout`], or later.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire(now);
        self.publish();
    }

    /// When something expires next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |measure: &Measure| match measure.state {
            MeasureState::Active => measure.expires_at,
            MeasureState::Dormant { until } => until,
        };
        self.measures.iter().map(due).min()
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Signatures whose evidence is wanted before the next finding: what stands and what rests. At most
    /// eighty; in peace, when nothing stands, none.
    pub fn signatures_to_check(&self) -> impl Iterator<Item = Signature> + '_ {
        let is_wanted = self.incident.is_some() || self.active().next().is_some();
        let all = self.measures.iter().map(|measure| measure.signature);
        all.take(if is_wanted { usize::MAX } else { 0 })
    }

    /// All measures, those that stand first.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// The incident that goes on.
    pub const fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    /// Whether it acts.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    fn active(&self) -> impl Iterator<Item = &Measure> {
        self.measures.iter().filter(|measure| measure.is_active())
    }

    fn on_finding(&mut self, now: Instant, finding: &Finding) {
        self.wall = finding.wall;
        self.judge(now, finding);
        for counts in &finding.met {
            if let Some(measure) = self.measures.iter_mut().find(|it| it.id == counts.id) {
                measure.met.merge(counts);
                measure.recent.add(now, counts);
            }
        }
        for measure in &mut self.measures {
            measure.unsure = finding.unsure.iter().find(|it| it.id == measure.id).copied();
        }
        let verdict = verdict(finding.state);
        let has_excess = finding.has_excess();
        self.calm_since = if has_excess { None } else { self.calm_since.or(Some(now)) };
        self.alarmed_since = verdict.and(self.alarmed_since.or(Some(now)));
        let is_early = self.alarmed_since.is_some_and(|it| now.saturating_since(it) < UNWATCHED);
        self.step(now, verdict, is_early && finding.looks_like_crowd());
        if has_excess && verdict.is_some_and(|verdict| verdict != Verdict::Crowd) {
            self.wake(now, &finding.rates);
            for candidate in &finding.candidates {
                self.admit(now, candidate);
            }
        }
        if finding.state == TrafficState::Normal {
            self.rest_all(now);
        }
        self.expire(now);
        self.make_room(now);
        let fade = |count: &mut f64| *count *= PROBE_FADE;
        fade(&mut self.others.served);
        fade(&mut self.others.failed);
    }

    /// Opens, judges and closes the incident. More of the same that the origin bears does not keep it open, unless
    /// something is done about it still.
    fn judge(&mut self, now: Instant, finding: &Finding) {
        let verdict = verdict(finding.state);
        let is_over = match finding.state {
            TrafficState::Normal => true,
            TrafficState::Watch => self.active().all(|measure| is_ordered(measure, now)),
            TrafficState::Alarmed(_) | TrafficState::Recovery => false,
        };
        if let (Some(verdict), None) = (verdict, self.incident) {
            let id = IncidentId(self.next_incident);
            self.next_incident += 1;
            self.incident = Some(Incident {
                id,
                since: now,
                since_wall: finding.wall,
                until: now,
                verdict,
                requests: 0,
                excess: 0,
                matched: 0,
            });
            self.record(now, Step::Opened);
            self.record(now, Step::Judged(verdict));
        }
        let Some(incident) = &mut self.incident else { return };
        incident.requests += finding.counts.requests;
        incident.excess += excess(finding);
        incident.matched += finding.met.iter().map(|counts| counts.matched).sum::<u64>();
        if let Some(verdict) = verdict {
            incident.until = now;
            if verdict > incident.verdict {
                incident.verdict = verdict;
                self.record(now, Step::Judged(verdict));
            }
        } else if is_over {
            let incident = *incident;
            self.record(now, Step::Closed(incident));
            self.incident = None;
            self.forget_rates();
        }
    }

    /// What rests is not asked about in peace, so that how much of it there was last says nothing of what comes next.
    fn forget_rates(&mut self) {
        for measure in self.measures.iter_mut().filter(|measure| !measure.is_active()) {
            (measure.evidence.matched_per_s, measure.evidence.coverage) = (0.0, 0.0);
        }
    }

    fn on_checked(&mut self, now: Instant, signature: &Signature, evidence: SignatureEvidence) {
        let found = self.measures.iter_mut().find(|measure| measure.signature == *signature);
        if let Some(measure) = found {
            measure.evidence = evidence;
            if measure.is_active() {
                ladder::weigh(measure, now);
            }
        }
    }

    fn on_probe(&mut self, now: Instant, probe: Probe) {
        let met = self.measures.iter_mut().find(|measure| Some(measure.id) == probe.met);
        if let Some(measure) = met {
            measure.recent.probed(now, probe);
        } else if probe.is_served {
            self.others.served += 1.0;
        } else {
            self.others.failed += 1.0;
        }
    }

    /// Moves each measure that stands by the rules of the ladder.
    fn step(&mut self, now: Instant, verdict: Option<Verdict>, looks_like_crowd: bool) {
        let Others { served, failed } = self.others;
        let others_failed = if failed > 0.0 { failed / (served + failed) } else { 0.0 };
        let calm_since = self.calm_since;
        for place in 0..self.measures.len() {
            let measure = &self.measures[place];
            if !measure.is_active() {
                continue;
            }
            let is_counted = |it: &&Measure| it.rung >= Rung::Challenge && !is_ordered(it, now);
            let tested = self.active().filter(is_counted);
            let tested_upper = tested.map(|it| it.evidence.collateral_upper).sum();
            let is_testable = |it: &&Measure| ladder::is_testable(it, now) && !is_ordered(it, now);
            let testable = self.active().filter(is_testable).map(|it| it.evidence.coverage).sum();
            let passed_upper = self.passed_upper(now);
            let situation = Situation {
                now,
                verdict,
                looks_like_crowd,
                others_failed,
                calm_since,
                tested_upper,
                testable,
                passed_upper,
            };
            match ladder::next(measure, &situation) {
                Move::Stay => self.renew(now, place),
                Move::To(rung, why) => self.move_to(now, place, rung, why),
                Move::TestWidely => {
                    self.move_to(now, place, Rung::Challenge, Why::Stands);
                    self.measures[place].is_wide = true;
                }
                Move::Rest(why) => self.rest(now, place, why),
            }
        }
    }

    /// Upper bound of the collateral of what is most of what is too much now, and was taken back within the last five minutes
    /// because some pass; the least, of several.
    fn passed_upper(&self, now: Instant) -> Option<f64> {
        let is_meant = |it: &&Measure| {
            it.passed_at.is_some_and(|at| now.saturating_since(at) < COOL)
                && it.evidence.coverage >= MOST
        };
        let bounds = self.measures.iter().filter(is_meant).map(|it| it.evidence.collateral_upper);
        bounds.reduce(f64::min)
    }

    /// What goes on stands on. Renewed when half of its life is over, not with each tick: whatever is
    /// renewed is published.
    fn renew(&mut self, now: Instant, place: usize) {
        let measure = &mut self.measures[place];
        let is_wanted = measure.idle_since.is_none() || is_ordered(measure, now);
        if is_wanted && measure.expires_at.saturating_since(now) < LIFE / 2 {
            measure.expires_at = now + LIFE;
        }
    }

    fn move_to(&mut self, now: Instant, place: usize, rung: Rung, why: Why) {
        let measure = &mut self.measures[place];
        let from = measure.rung;
        if rung < from && why != Why::Operator {
            measure.ceiling = Some((rung, now + COOL));
        }
        if why == Why::SomePass {
            measure.passed_at = Some(now);
        }
        measure.is_proven = match why {
            Why::NobodyPasses | Why::BeyondBudget | Why::NoReaders => true,
            Why::SomePass | Why::ReaderHurt | Why::Weaker => false,
            _ => measure.is_proven,
        };
        measure.stand(now, rung);
        let (moved, from, to) = (*measure, Some(from), Some(rung));
        self.record_move(now, &moved, from, to, why);
    }

    fn rest(&mut self, now: Instant, place: usize, why: Why) {
        let measure = &mut self.measures[place];
        let from = measure.rung;
        if matches!(why, Why::ReaderHurt | Why::Weaker | Why::NoEffect) {
            measure.is_proven = false;
            measure.ceiling = Some((Rung::Observe, now + COOL));
        }
        measure.rest(now, why);
        let moved = *measure;
        self.record_move(now, &moved, Some(from), None, why);
    }

    /// Lets those that rest come back if what they mean has, in one tick and to where they had been
    /// proven: the answer to pulses.
    fn wake(&mut self, now: Instant, rates: &SiteRates) {
        for place in 0..self.measures.len() {
            let measure = &self.measures[place];
            let evidence = measure.evidence;
            let bears = ladder::bears_now(measure, now);
            let is_back = evidence.matched_per_s > 2.0 * evidence.expected_per_s + BACK_PER_S
                && evidence.coverage >= BACK_COVERAGE;
            let own = SiteRates {
                requests: evidence.matched_per_s - evidence.expected_per_s
                    + rates.requests_expected,
                requests_expected: rates.requests_expected,
                ..SiteRates::default()
            };
            let is_barred = is_vetoed(measure, now) || measure.is_settling(now, own.has_excess());
            if measure.is_active() || is_barred || !is_back || bears < Rung::Demote {
                continue;
            }
            let rung = measure.rung.min(bears);
            let measure = &mut self.measures[place];
            measure.stand(now, rung);
            let moved = *measure;
            self.record_move(now, &moved, None, Some(rung), Why::Returned);
        }
    }

    /// A new measure for what explains a part of what is too much.
    fn admit(&mut self, now: Instant, candidate: &Candidate) {
        let Candidate { signature, evidence } = *candidate;
        if let Some(known) = self.measures.iter_mut().find(|it| it.signature == signature) {
            known.evidence = evidence;
            return;
        }
        let bears = licence(&signature, &evidence);
        // What a broader one that bears as much does already needs no second one.
        let is_covered = |it: &Measure| {
            it.signature.covers(&signature) && licence(&it.signature, &it.evidence) >= bears
        };
        let is_vetoed = |it: &Measure| is_vetoed(it, now) && it.signature.covers(&signature);
        if bears < Rung::Demote
            || self.active().any(is_covered)
            || self.measures.iter().any(is_vetoed)
        {
            return;
        }
        let id = self.next_id();
        let measure = Measure::new(now, id, signature, evidence, Rung::Demote);
        self.measures.push(measure);
        self.record_move(now, &measure, None, Some(Rung::Demote), Why::Found);
    }

    fn on_order(&mut self, now: Instant, command: OperatorCommand) {
        match command {
            OperatorCommand::Pin { signature, rung, lasts } => {
                if rung == Rung::Block && !signature.may_block() {
                    return self.record(now, Step::Refused(Refused::MayNotBlock));
                }
                let until = now + lasts.min(MAX_ORDER);
                self.order(now, signature, Order::Pinned { rung, until });
            }
            OperatorCommand::Veto { signature, lasts } => {
                let until = now + lasts.min(MAX_ORDER);
                self.order(now, signature, Order::Vetoed { until });
            }
            OperatorCommand::Remove(id) => {
                match self.measures.iter().position(|measure| measure.id == id) {
                    Some(place) => {
                        let gone = self.measures.remove(place);
                        let from = gone.is_active().then_some(gone.rung);
                        self.record_move(now, &gone, from, None, Why::Operator);
                    }
                    None => self.record(now, Step::Refused(Refused::Unknown(id))),
                }
            }
            OperatorCommand::SetMode(mode) => self.mode = mode,
        }
    }

    fn order(&mut self, now: Instant, signature: Signature, order: Order) {
        let found = self.measures.iter().position(|measure| measure.signature == signature);
        let place = match found {
            Some(place) => place,
            None if self.measures.iter().filter(|it| is_ordered(it, now)).count() >= MAX_ORDERS => {
                return self.record(now, Step::Refused(Refused::NoRoom));
            }
            None => {
                let id = self.next_id();
                let mut measure = Measure::new(now, id, signature, NO_EVIDENCE, Rung::Observe);
                measure.rest(now, Why::Operator);
                self.measures.push(measure);
                self.measures.len() - 1
            }
        };
        let measure = &mut self.measures[place];
        let from = measure.is_active().then_some(measure.rung);
        measure.order = Some(order);
        let to = match order {
            Order::Pinned { rung, .. } => {
                measure.stand(now, rung);
                Some(rung)
            }
            Order::Vetoed { .. } => {
                measure.rest(now, Why::Operator);
                None
            }
        };
        let moved = *measure;
        self.record_move(now, &moved, from, to, Why::Operator);
        self.make_room(now);
    }

    fn rest_all(&mut self, now: Instant) {
        for place in 0..self.measures.len() {
            let measure = &self.measures[place];
            if measure.is_active() && !is_ordered(measure, now) {
                self.rest(now, place, Why::Ceased);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        for place in 0..self.measures.len() {
            let measure = &self.measures[place];
            if measure.is_active() && measure.expires_at <= now {
                self.rest(now, place, Why::Ceased);
            }
        }
        self.measures.retain(|measure| {
            !matches!(measure.state, MeasureState::Dormant { until } if until <= now)
                || is_ordered(measure, now)
        });
    }

    /// Those that matter most stand: the operator's, then by rung, then by how much they explain. Of
    /// those that rest, the ones that began to do so last are remembered.
    fn make_room(&mut self, now: Instant) {
        self.measures.sort_by(|one, other| {
            let rank = |it: &Measure| (it.is_active(), is_ordered(it, now), it.rung);
            rank(other)
                .cmp(&rank(one))
                .then(other.evidence.coverage.total_cmp(&one.evidence.coverage))
                .then(other.since.cmp(&one.since))
        });
        while self.active().count() > MAX_MITIGATIONS {
            let Some(last) = self.measures.iter().rposition(Measure::is_active) else { break };
            self.rest(now, last, Why::NoRoom);
        }
        let dormant = |it: &Measure| !it.is_active() && !is_ordered(it, now);
        while self.measures.iter().filter(|it| dormant(it)).count() > MAX_DORMANT {
            let oldest = (0..self.measures.len())
                .filter(|place| dormant(&self.measures[*place]))
                .min_by_key(|place| (self.measures[*place].is_proven, self.measures[*place].since));
            let Some(oldest) = oldest else { break };
            self.measures.remove(oldest);
        }
    }

    fn publish(&mut self) {
        let is_observing = self.mode == Mode::Observe;
        let stands: Vec<Mitigation> =
            self.active().map(|measure| measure.mitigation(is_observing)).collect();
        if stands != self.published {
            self.published.clone_from(&stands);
            self.actions.push_back(Action::Publish(stands));
        }
    }

    fn next_id(&mut self) -> MitigationId {
        let id = MitigationId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1).max(1);
        id
    }

    fn record_move(
        &mut self,
        now: Instant,
        measure: &Measure,
        from: Option<Rung>,
        to: Option<Rung>,
        why: Why,
    ) {
        let Measure { id, signature, evidence, .. } = *measure;
        self.record(now, Step::Moved { id, signature, evidence, from, to, why });
    }

    fn record(&mut self, now: Instant, step: Step) {
        // Whoever does not drain loses the oldest records, never a publication.
        if self.actions.len() >= MAX_ACTIONS {
            let oldest = self.actions.iter().position(|it| matches!(it, Action::Record(_)));
            if let Some(oldest) = oldest {
                self.actions.remove(oldest);
            }
        }
        let incident = self.incident.map(|incident| incident.id);
        let entry = Entry { at: now, wall: self.wall, incident, step };
        self.actions.push_back(Action::Record(entry));
    }
}

fn is_ordered(measure: &Measure, now: Instant) -> bool {
    match measure.order {
        Some(Order::Pinned { until, .. } | Order::Vetoed { until }) => now < until,
        None => false,
    }
}

fn is_vetoed(measure: &Measure, now: Instant) -> bool {
    matches!(measure.order, Some(Order::Vetoed { until }) if now < until)
}

const fn verdict(state: TrafficState) -> Option<Verdict> {
    match state {
        TrafficState::Alarmed(verdict) => Some(verdict),
        TrafficState::Normal | TrafficState::Watch | TrafficState::Recovery => None,
    }
}

/// Requests of this tick beyond what is ordinary.
fn excess(finding: &Finding) -> u64 {
    let rates = finding.rates;
    if rates.requests <= 0.0 {
        return 0;
    }
    let share = (1.0 - rates.requests_expected / rates.requests).clamp(0.0, 1.0);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts of one tick are far below 2^53, and a part of one is not negative"
    )]
    let excess = (finding.counts.requests as f64 * share) as u64;
    excess
}

/// Of a signature that the operator named and nobody has looked for yet.
const NO_EVIDENCE: SignatureEvidence = SignatureEvidence {
    matched_per_s: 0.0,
    expected_per_s: 0.0,
    coverage: 0.0,
    collateral_upper: 1.0,
    refused_upper: 1.0,
    baseline_hits: 0,
    baseline_clients: 0,
    sample_hits: 0,
    sample_rows: 0,
    sample_clients: 0,
    ln_p: 0.0,
};

/// Enough for a day of pulses by a score of tools.
const MAX_DORMANT: usize = 64;
/// The operator cannot take all places: what is found needs some.
const MAX_ORDERS: usize = 12;
const MAX_ACTIONS: usize = 1_024;
/// How much of what was counted is left after one tick of 250 ms: half after five seconds.
const PROBE_FADE: f64 = 0.965_9;
/// So long after an alarm began it was watched how pages are read, if any are: it takes four to six seconds of a rush.
const UNWATCHED: Duration = Duration::from_secs(8);
const BACK_PER_S: f64 = 1.0;
const BACK_COVERAGE: f64 = 0.03;
