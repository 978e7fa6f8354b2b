//! What one connection asked of origins.
//!
//! Behind an address that many share, a look tells few of them apart: most people there wear one of
//! two or three, and bots wear them too. Whose connection it is cannot be forged: what others ask over
//! theirs is not asked over this one. It is free to open another, though, so that it speaks for its
//! holder only as far as [`crate::Limiters::ask`] lets it.
//!
//! It does **not** know whose connection it is, and goes with it.

use core::sync::atomic::{AtomicU64, Ordering};

use seawall_model::Instant;

use crate::decay::Decayed;

/// The decayed demand of one connection on origins, like that of a client (half-life 30 s). Eight bytes.
#[derive(Debug, Default)]
pub struct ConnectionDemand(AtomicU64);

impl ConnectionDemand {
    /// Adds `cost`, in units of 1/[`crate::DEMAND_ONE`]; what it is then. O(1), no allocation.
    pub(crate) fn add(&self, now: Instant, cost: u32) -> u32 {
        let mut after = 0;
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            let demand = Decayed::from_bits(bits).plus(now, cost);
            after = demand.at(now);
            Some(demand.to_bits())
        });
        after
    }
}
