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

use crate::decay;

/// The decayed demand of one connection on origins, like that of a client (half-life 30 s).
#[derive(Debug, Default)]
pub struct ConnectionDemand(AtomicU64);

impl ConnectionDemand {
    /// Adds `cost`, in units of 1/[`crate::DEMAND_ONE`]; what it is then, and whether nothing was asked over it before.
    /// O(1), no allocation.
    pub(crate) fn add(&self, now: Instant, cost: u32) -> (u32, bool) {
        let is_new = self.0.load(Ordering::Relaxed) == 0;
        (decay::add(&self.0, now, cost), is_new)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn demand_adds_up_decays_and_saturates_and_is_new_once() {
        let connection = ConnectionDemand::default();
        let at = |seconds| Instant::from_nanos(0) + Duration::from_secs(seconds);
        assert_eq!(connection.add(at(30), 0), (0, true));
        assert_eq!(connection.add(at(30), 800), (800, false));
        assert_eq!(connection.add(at(60), 100), (500, false));
        assert_eq!(connection.add(at(0), 100), (600, false), "a clock that went back");
        assert_eq!(connection.add(at(60), u32::MAX), (u32::MAX, false));
        assert_eq!(connection.add(at(10_000), 1), (1, false), "old, and no new one");
    }
}
