//! The world around the pure crates, on a virtual clock: an origin, readers, floods.
//!
//! Separate so that what decides can be tried for minutes of traffic in a moment, the same to the bit
//! for a seed on every machine. It drives the code that runs in production and copies none of it. It
//! deliberately does **not** simulate sockets, parsers or the cache, and reads no clock.
//!
//! Read next: [`SimOrigin`] for what an origin bears, [`Timeline`] for how time passes.
#![forbid(unsafe_code)]

mod origin;
mod random;
mod timeline;

pub use crate::origin::{SimOrigin, SimOriginModel, Spread};
pub use crate::random::Random;
pub use crate::timeline::Timeline;
