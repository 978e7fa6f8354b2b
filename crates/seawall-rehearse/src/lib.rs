//! Loopback-only rehearsals: a sample site, readers of several kinds, and bounded floods.
//!
//! The demo, the self-test and the benchmarks need traffic. This crate makes it, and is separate so
//! that one boundary holds what makes it harmless:
//!
//! - [`LoopbackAddr`] is the only address it can connect to. Its constructor is private; one is had
//!   only by a handshake that proves that the socket is on loopback **and** belongs to this very run
//!   ([`RunKey`]). Nothing else in the crate opens a connection (a test reads the sources for that).
//! - [`Budget`] counts connections, requests and time against hard caps in constants ([`caps`]). A
//!   connection cannot be had without one.
//! - It runs as a child process ([`child::run`]) that ends by itself when its time is over or when
//!   its parent goes away (end of its standard input).
//!
//! It deliberately does **not** know Seawall: it speaks plain HTTP/1.1 to whatever stands at the
//! address, marks its requests in no way that a shield could key on, and judges answers byte by
//! byte against what the sample site is known to say.
//!
//! Read next: [`LoopbackAddr`], [`site`], [`child`].
#![forbid(unsafe_code)]

mod addr;
pub mod attack;
mod budget;
pub mod caps;
pub mod child;
mod copies;
mod files;
mod flood;
mod guests;
mod http;
mod measure;
mod ordinary;
mod readers;
mod rng;
mod scenario;
mod schedule;
pub mod site;
mod sources;

pub use crate::addr::{InvalidRunKey, LoopbackAddr, RunKey, VerifyError, draw_random};
pub use crate::budget::{Budget, BudgetSpent};
pub use crate::measure::{
    Failures, FloodFigures, GuestFigures, Kind, ReaderFigures, Report, SiteFigures, Stretch, Tally,
};
pub use crate::ordinary::{OrdinaryRequest, ordinary_requests};
pub use crate::rng::Rng;
pub use crate::scenario::Scenario;
pub use crate::schedule::{
    Visit, browsing_schedule, origin_dead_schedule, reader_schedule, warm_up_schedule,
};
pub use crate::sources::{Cohort, Sources};
