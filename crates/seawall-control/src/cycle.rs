//! One turn of the loop: a window in, a finding and what is to be done out.
//!
//! Detector and controller in the order that production, replay and simulator all need, so that there
//! is one of it.

use alloc::string::String;
use alloc::vec::Vec;

use seawall_detect::{BaselineFault, Detector, DetectorConfig, Finding, Tick, describe};
use seawall_model::{Attribute, AttributeValue, Instant, Signature, WallTime};

use crate::controller::{Controller, ControllerConfig};
use crate::event::{Action, ControlEvent, OperatorCommand, Probe};

/// Detector and controller, tied together.
#[derive(Debug)]
pub struct ControlLoop {
    detector: Detector,
    controller: Controller,
}

impl ControlLoop {
    /// One that knows of nothing. `seed` must be random and secret, and that of the windows.
    pub fn new(detect: DetectorConfig, control: ControllerConfig, seed: [u64; 2]) -> Self {
        Self { detector: Detector::new(detect, seed), controller: Controller::new(control) }
    }

    /// One that knows what [`Self::baseline`] told.
    ///
    /// # Errors
    /// [`BaselineFault`] if the bytes are damaged, or of another seed: begin with [`Self::new`].
    pub fn restore(
        detect: DetectorConfig,
        control: ControllerConfig,
        seed: [u64; 2],
        baseline: &[u8],
        wall: WallTime,
    ) -> Result<Self, BaselineFault> {
        let detector = Detector::restore(detect, seed, baseline, wall)?;
        Ok(Self { detector, controller: Controller::new(control) })
    }

    /// Takes in what all workers saw in a quarter of a second. Then [`Self::poll_action`] until there is
    /// nothing more.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Finding {
        let finding = self.detector.tick(tick);
        let wanted: Vec<Signature> = self.controller.signatures_to_check().collect();
        for signature in wanted {
            if let Some(evidence) = self.detector.check(&signature) {
                self.controller.handle(tick.at, ControlEvent::Checked { signature, evidence });
            }
        }
        self.controller.handle(tick.at, ControlEvent::Finding(&finding));
        for measure in self.controller.measures() {
            self.detector.renew_words(&measure.signature);
        }
        finding
    }

    /// Takes in how a synthetic reader fared.
    pub fn probed(&mut self, now: Instant, probe: Probe) {
        self.controller.handle(now, ControlEvent::Probed(probe));
    }

    /// Takes in what the operator wants. What is known of its signature is looked up, so that nobody
    /// reads of a bound on harm that was never asked for.
    pub fn order(&mut self, now: Instant, command: OperatorCommand) {
        self.controller.handle(now, ControlEvent::Operator(command));
        if let OperatorCommand::Pin { signature, .. } | OperatorCommand::Veto { signature, .. } =
            command
        {
            let evidence = self.detector.weigh(&signature);
            self.controller.handle(now, ControlEvent::Checked { signature, evidence });
        }
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.controller.poll_action()
    }

    /// What stands and why.
    pub const fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Keeps what a value is in words, of one that the operator named.
    pub fn keep_words(&mut self, attribute: Attribute, value: AttributeValue, text: &str) {
        self.detector.keep_words(attribute, value, text);
    }

    /// What is known of traffic, for the operator who wants to see it.
    pub const fn detector(&self) -> &Detector {
        &self.detector
    }

    /// What is ordinary, to be kept over a restart.
    pub fn baseline(&self, wall: WallTime) -> Vec<u8> {
        self.detector.to_bytes(wall)
    }

    /// Memory of the detector, which never grows.
    pub fn memory_bytes(&self) -> usize {
        self.detector.memory_bytes()
    }

    /// A signature in words.
    pub fn describe(&self, signature: &Signature) -> String {
        let words = self.detector.words();
        describe(signature, |attribute, value| words.text(attribute, value))
    }
}
