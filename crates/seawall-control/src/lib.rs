//! Findings to mitigations: the ladder.
//!
//! A sans-IO [`Controller`]: the shell feeds what detection found, what workers counted and what the
//! operator wants, and drains what is to be published and recorded. Separate so that the simulator and
//! `seawall replay` run the very code that runs in production.
//!
//! It deliberately does **not** look at requests, mine signatures or read clocks; and it cannot make a
//! mitigation that does not end.
//!
//! Read next: [`Controller`], and `ladder.rs` for the rules of climbing and letting go.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod controller;
mod cycle;
mod event;
mod ladder;
mod measures;
#[cfg(test)]
mod tests;

pub use crate::controller::{Controller, ControllerConfig, Mode};
pub use crate::cycle::ControlLoop;
pub use crate::event::{
    Action, ControlEvent, Entry, Incident, IncidentId, OperatorCommand, Probe, Refused, Step, Why,
};
pub use crate::measures::{Measure, MeasureState, Order};
