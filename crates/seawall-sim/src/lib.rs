//! The world around the pure crates, on a virtual clock: an origin, readers, floods.
//!
//! Separate so that what decides can be tried for minutes of traffic in a moment, the same to the bit
//! for a seed on every machine. It drives the code that runs in production and copies none of it. It
//! deliberately does **not** simulate sockets or parsers, has a simple model of what is held, and reads
//! no clock.
//!
//! Read next: [`Scenario`] for what is run, [`World`] for how, [`Seawall`] for what is tried,
//! [`SimOrigin`] for what an origin bears, [`Timeline`] for how time passes.
#![forbid(unsafe_code)]

mod attacks;
mod bars;
mod benign;
mod bots;
mod cohorts;
mod listed;
mod looks;
mod misses;
mod origin;
mod random;
mod readers;
mod record;
mod request;
mod scenario;
mod seawall;
mod site;
mod slab;
mod surges;
mod timeline;
mod world;

pub use crate::attacks::{
    ATTACKS, Adapts, Aim, Attack, BotLook, Class, Rate, Skill, Sources, Special, Tier, Timing,
    Vector, Wave,
};
pub use crate::bars::{Baseline, Row, Run, Verdict, judge};
pub use crate::benign::{BENIGN, Benign, BenignBars, Surge};
pub use crate::cohorts::{COHORTS, Cohort, Manners};
pub use crate::looks::{Look, RequestFields};
pub use crate::misses::{KnownMiss, MISSES, hold};
pub use crate::origin::{SimOrigin, SimOriginModel, Spread};
pub use crate::random::Random;
pub use crate::record::{
    CrawlerRecord, ListedRecord, Phase, Record, Second, TorBlock, ViewRecord, Want,
};
pub use crate::request::{
    Answer, Answered, Effect, Shield, SimNetwork, SimRequest, Status, Target, TestStep, Visitor,
};
pub use crate::scenario::{DAYS, Days, Scenario, Schedule, VIEWS_PER_S};
pub use crate::seawall::{Layers, Seawall};
pub use crate::site::{Page, PageId, Site};
pub use crate::timeline::Timeline;
pub use crate::world::World;
