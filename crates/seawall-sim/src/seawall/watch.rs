//! What is seen of requests and what is done about it: window, detector and controller, each quarter of
//! a second, as the edge's control thread has them. And the cheap test.

use std::time::Duration;

use seawall_control::{Action, ControlLoop, ControllerConfig, Entry, Probe};
use seawall_decide::{
    Attributer, CredentialKeys, CredentialText, Exempt, Limiters, Mitigations, NetworkClass,
    NextStep, TestShown, Turn, TurnAsker, prior, synthetic_readers,
};
use seawall_detect::{
    DetectorConfig, OriginStress, ProbeCounts, Sampled, SignatureEvidence, Tick, TrafficState,
    Verdict, Window,
};
use seawall_model::{
    Attribute, Attributes, Cause, ConnectionSignal, Country, Decision, Facts, Identity, Instant,
    Met, Mitigation, Observation, Rung, WallTime,
};

use super::Layers;
use super::held::HOST;
use crate::looks::mix;
use crate::request::{SimNetwork, SimRequest, Status, TestStep};

/// Detection and control.
pub(super) struct Watch {
    layers: Layers,
    attributer: Attributer,
    window: Window,
    cycle: ControlLoop,
    published: Vec<Mitigation>,
    mitigations: Mitigations,
    keys: CredentialKeys,
    /// Rounds of synthetic readers.
    round: u64,
    state: TrafficState,
    alarms: String,
    known_clients: u32,
    now: Instant,
    wall: WallTime,
    requests: u64,
}

/// What was learned is good for one seed only, so it is the same in all runs; nobody here aims at it.
const SEED: [u64; 2] = [0x5eed, 0xa77];

impl Watch {
    /// One that knows nothing, or what was learned before `wall`.
    pub(super) fn new(layers: Layers, learned: Option<(&[u8], WallTime)>) -> Self {
        let attributer = Attributer::new(SEED);
        let detect = || DetectorConfig { prior: prior(&attributer) };
        let restored = learned.map(|(bytes, wall)| {
            ControlLoop::restore(detect(), ControllerConfig::default(), SEED, bytes, wall)
        });
        debug_assert!(restored.as_ref().is_none_or(Result::is_ok), "what was learned is readable");
        let new = || ControlLoop::new(detect(), ControllerConfig::default(), SEED);
        let cycle = restored.and_then(Result::ok).unwrap_or_else(new);
        Self {
            layers,
            attributer,
            window: Window::new(SEED),
            cycle,
            published: Vec::new(),
            mitigations: Mitigations::none(),
            keys: CredentialKeys::new(&[7; 32], None),
            round: 0,
            state: TrafficState::Normal,
            alarms: String::new(),
            known_clients: 0,
            now: Instant::default(),
            wall: WallTime::default(),
            requests: 0,
        }
    }

    pub(super) fn learned(&self) -> Vec<u8> {
        self.cycle.baseline(self.wall_at(self.now))
    }

    fn wall_at(&self, now: Instant) -> WallTime {
        self.wall + now.saturating_since(self.now)
    }

    /// What a request looks like, and the measure that it meets, once the gates before have `decided`.
    pub(super) fn look(
        &mut self,
        now: Instant,
        facts: &Facts<'_>,
        request: &SimRequest<'_>,
        decided: Decision,
    ) -> (Attributes, Option<Met>) {
        let class = class_of(request.visitor.network);
        let attributes = self.attributer.of(facts, &request.fields, class);
        self.requests += 1;
        if self.requests.is_multiple_of(WORDS_ONE_IN) {
            self.keep_words(&attributes, facts, request, class);
        }
        if !self.layers.signatures {
            return (attributes, None);
        }
        let exempt = match decided.cause() {
            Cause::AllowList => Exempt::Known,
            _ if request.visitor.is_verified => Exempt::Known,
            _ => Exempt::from(facts.standing),
        };
        let met = self.mitigations.meet(now, &attributes, identity_hash(facts.identity), exempt);
        (attributes, met)
    }

    /// The edge does this for requests that were sampled; here it is for the trace alone.
    fn keep_words(
        &mut self,
        attributes: &Attributes,
        facts: &Facts<'_>,
        request: &SimRequest<'_>,
        class: NetworkClass,
    ) {
        for (attribute, value) in attributes.known() {
            if self.window.wants_words(attribute, value) {
                let words = self.attributer.words(attribute, facts, &request.fields, class);
                self.window.keep_words(attribute, value, words.as_str());
            }
        }
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        // Words are kept above, where the request is at hand.
        let (Sampled::Yes | Sampled::No) = self.window.observe(observation);
    }

    pub(super) fn signal(&mut self, signal: ConnectionSignal, count: u32) {
        (0..count).for_each(|_| self.window.signal(signal));
    }

    /// What a request shows of a test. What is good for it is taken.
    pub(super) fn shown(
        &self,
        now: Instant,
        limiters: &Limiters,
        request: &SimRequest<'_>,
        facts: &Facts<'_>,
    ) -> TestShown {
        let carried = (request.pass.map(str::as_bytes), request.ticket.map(str::as_bytes));
        TestShown::of((&self.keys, limiters), (now, self.wall_at(now)), carried, facts)
    }

    /// What a request has to do with turns of its own.
    pub(super) fn turn(&self, now: Instant, request: &SimRequest<'_>, asker: TurnAsker) -> Turn {
        let (keys, wall) = (&self.keys, self.wall_at(now));
        let ticket = request.ticket.map(str::as_bytes);
        let cookie =
            || request.pass.and_then(|pass| keys.check_ticket(wall, HOST, pass.as_bytes()).ok());
        Turn::of(keys, (wall, HOST), asker, ticket, cookie)
    }

    /// Sends somebody around for one, one of `people`.
    pub(super) fn give_turn(
        &self,
        now: Instant,
        limiters: &Limiters,
        (identity, people): (Identity, u32),
    ) -> TestStep {
        let who = (identity, people, mix(now.as_nanos(), self.requests));
        let turn = self.keys.turn(limiters, (now, self.wall_at(now)), HOST, who);
        let turn = turn.as_str().to_owned();
        TestStep::Around { pass: turn.clone(), ticket: turn, is_turn: true }
    }

    /// The next step of a test, for one of `people`.
    pub(super) fn step(
        &self,
        now: Instant,
        next: NextStep,
        (identity, people): (Identity, u32),
    ) -> TestStep {
        match next {
            NextStep::Around => {
                let who = (identity, people, mix(now.as_nanos(), self.requests));
                let (ticket, pass) = self.keys.sent_around(self.wall_at(now), HOST, who);
                let text = |text: &CredentialText| text.as_str().to_owned();
                TestStep::Around { pass: text(&pass), ticket: text(&ticket), is_turn: false }
            }
            NextStep::Clean => TestStep::Clean,
            NextStep::Wait(seconds) => TestStep::Wait(Duration::from_secs(seconds)),
        }
    }

    /// One tick; what is recorded of it.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        wall: WallTime,
        stress: OriginStress,
    ) -> Vec<Entry> {
        (self.now, self.wall) = (now, wall);
        let counts = self.window.counts();
        let probes = ProbeCounts { set: counts.tests_set, passed: counts.tests_passed };
        let tick = Tick { at: now, wall, window: &self.window, stress, probes };
        let finding = self.cycle.tick(&tick);
        self.window.clear();
        self.probe(now);
        let mut recorded = Vec::new();
        while let Some(action) = self.cycle.poll_action() {
            match action {
                Action::Publish(measures) => self.publish(measures),
                Action::Record(entry) => recorded.push(entry),
            }
        }
        self.state = finding.state;
        self.known_clients = finding.baseline_clients;
        let names: Vec<&str> = finding.alarms.iter().map(|alarm| alarm.channel.as_str()).collect();
        self.alarms = names.join(",");
        recorded
    }

    /// Each second every synthetic reader asks for something that the origin has to do. One that is
    /// blocked is not served; one that is tested or put behind others counts as served, as in the edge.
    fn probe(&mut self, now: Instant) {
        if now.as_nanos() % 1_000_000_000 >= 250_000_000 {
            return;
        }
        self.round += 1;
        for attributes in synthetic_readers(&self.attributer, &self.mitigations, self.round) {
            let met = self.mitigations.meet(now, &attributes, self.round, Exempt::No);
            let is_served = met.is_none_or(|met| met.rung < Rung::Block);
            let probe = Probe { is_served, met: met.map(|met| met.id) };
            self.cycle.probed(now, probe);
        }
    }

    fn publish(&mut self, mut measures: Vec<Mitigation>) {
        if !self.layers.challenge {
            for measure in &mut measures {
                measure.rung = measure.rung.min(Rung::Demote);
            }
        }
        self.mitigations = Mitigations::new(&measures, SEED);
        self.published = measures;
    }

    pub(super) fn status(&self) -> Status {
        let words = self.published.iter().map(|measure| {
            let mut all = self.cycle.controller().measures().iter();
            let found = all.find(|one| one.signature == measure.signature);
            let evidence = found.map_or_else(String::new, |one| {
                let SignatureEvidence { coverage, collateral_upper, baseline_hits, .. } = one.evidence;
                format!(
                    ": covers {:.0} % of the excess, harms {:.3} % at most ({baseline_hits} clients)",
                    coverage * 100.0,
                    collateral_upper * 100.0
                )
            });
            self.cycle.describe(&measure.signature) + &evidence
        });
        Status {
            is_alarmed: matches!(
                self.state,
                TrafficState::Alarmed(Verdict::Attack | Verdict::Mixed)
            ),
            is_normal: self.cycle.controller().incident().is_none(),
            state: format!("{} {}", self.state.as_str(), self.alarms),
            words: words.collect(),
            mitigations: self.published.clone(),
            known_clients: self.known_clients,
            bytes: self.window.memory_bytes() + self.cycle.memory_bytes(),
            ..Status::default()
        }
    }
}

fn class_of(network: SimNetwork) -> NetworkClass {
    NetworkClass {
        asn: Some(network.asn),
        country: core::str::from_utf8(&network.country).ok().and_then(Country::new),
        is_tor: network.is_tor,
    }
}

/// As observations and the control group name an identity.
pub(super) const fn identity_hash(identity: Identity) -> u64 {
    let number = identity.as_u128();
    mix(number as u64, (number >> 64) as u64)
}

/// One in so many requests is looked at for words.
const WORDS_ONE_IN: u64 = 16;

const _: () = assert!(Attribute::COUNT == 15, "a new attribute: look at what bots do about it");

#[cfg(test)]
mod tests;
