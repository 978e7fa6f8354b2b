//! What is seen of requests, and what is done about it: so far it is counted.

use seawall_decide::{Attributer, Mitigations, NetworkClass};
use seawall_detect::Window;
use seawall_model::{Attributes, ConnectionSignal, Country, Facts, Instant, Met, Observation};

use crate::looks::mix;
use crate::request::{SimRequest, Status};

pub(super) struct Watch {
    attributer: Attributer,
    window: Window,
    mitigations: Mitigations,
}

impl Watch {
    pub(super) fn new() -> Self {
        // What was learned is good for one seed only, so it is the same in all runs.
        let seed = [0x5eed, 0xa77];
        Self {
            attributer: Attributer::new(seed),
            window: Window::new(seed),
            mitigations: Mitigations::none(),
        }
    }

    /// What a request looks like, and the measure that it meets.
    pub(super) fn look(
        &self,
        now: Instant,
        facts: &Facts<'_>,
        request: &SimRequest<'_>,
    ) -> (Attributes, Option<Met>) {
        let network = request.visitor.network;
        let class = NetworkClass {
            asn: Some(network.asn),
            country: core::str::from_utf8(&network.country).ok().and_then(Country::new),
            is_tor: network.is_tor,
        };
        let attributes = self.attributer.of(facts, &request.fields, class);
        let identity = facts.identity.as_u128();
        let hash = mix(identity as u64, (identity >> 64) as u64);
        let met = self.mitigations.meet(now, &attributes, hash, facts.standing.into());
        (attributes, met)
    }

    pub(super) fn observe(&mut self, observation: &Observation) {
        let _ = self.window.observe(observation);
    }

    pub(super) fn signal(&mut self, signal: ConnectionSignal, count: u32) {
        (0..count).for_each(|_| self.window.signal(signal));
    }

    pub(super) fn tick(&mut self) {
        self.window.clear();
    }

    pub(super) fn status(&self) -> Status {
        Status {
            is_normal: true,
            state: "normal".to_owned(),
            bytes: self.window.memory_bytes(),
            ..Status::default()
        }
    }
}
