//! Per tick: observations to findings.
//!
//! What every worker counts in a quarter of a second, what is ordinary for this site, whether now is
//! not, whether that is a crowd or an attack, and what the attack looks like. Separate so that
//! detection cannot see or influence single decisions: what it finds becomes a measure only in
//! `seawall-control`, and the same code runs in production, in `seawall replay` and in the simulator.
//!
//! It deliberately does **not** read clocks, keep addresses beyond a window, or decide what is done.
//! Everything is bounded: what overflows is forgotten by rule and counted.
//!
//! Read next: [`Finding`] for what comes out, [`Counts`] for what is counted.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod baseline;
mod bitset;
mod channels;
mod composition;
mod counts;
mod crowd;
mod cusum;
mod describe;
mod detector;
mod distinct;
mod finding;
mod followed;
mod kept;
mod keys;
mod licence;
mod mine;
mod mix;
mod onset;
mod origin_meter;
mod prefixes;
#[cfg(test)]
mod random;
mod sample;
mod seasonal;
mod signs;
mod statistics;
mod tally;
#[cfg(test)]
mod testing;
mod top;
mod usual;
mod visitors;
mod watch;
mod who;
mod window;
mod words;

pub use crate::composition::Composition;
pub use crate::counts::{Cohort, CohortTally, Counts};
pub use crate::describe::{describe, describe_evidence, percent_up};
pub use crate::detector::{Detector, DetectorConfig, OriginStress, Tick};
pub use crate::distinct::{Distinct, FewDistinct};
pub use crate::finding::{
    Alarm, Candidate, Channel, Finding, Scale, SignatureEvidence, SiteRates, TrafficState, Unsure,
    Verdict,
};
pub use crate::kept::BaselineFault;
pub use crate::licence::{bears_wide_test, licence};
pub use crate::mine::{Clients, Mined, Miner, Requests, Volume, evidence};
pub use crate::origin_meter::{GateReading, OriginMeter};
pub use crate::prefixes::{Level, PrefixCounts};
pub use crate::sample::Sample;
pub use crate::signs::ProbeCounts;
pub use crate::tally::{MitigationCounts, Tallies};
pub use crate::window::{Dimension, Sampled, Spread, Window, is_refused};
pub use crate::words::Words;
