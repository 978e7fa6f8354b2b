//! How short memory is, in steps, and what that means for who connects.
//!
//! Steps at 80, 90 and 95 % of the configured `memory`. They rise with the first reading and fall one at
//! a time, five points further down, so that what a step frees does not end it at once. A full cache,
//! which is 60 % of `memory` by intent, is no step; neither is one beside a full spool.
//!
//! It deliberately measures nothing and frees nothing.

use seawall_model::ClientAddr;

use crate::table::Table;

/// How short memory is, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryStep {
    /// Nothing is done.
    #[default]
    Calm,
    /// From 80 %: idle connections are let go, and the cache gives back a part of its memory.
    Tight,
    /// From 90 %: uploads go to disk, and connections of HTTP/2 hold few streams that wait.
    Short,
    /// From 95 %: slow connections are let go, and those of strangers are not accepted.
    Critical,
}

impl MemoryStep {
    /// Every step, by its number.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Tight, Self::Short, Self::Critical];

    /// Its number, for metrics.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether `open` connections are enough that closing some frees memory. Few hold so little that
    /// memory is short for another reason: an allocator that gives nothing back must not close the site.
    pub const fn sheds_connections(self, open: usize) -> bool {
        !matches!(self, Self::Calm) && open >= FEW_CONNECTIONS
    }

    /// The share of `memory` where it begins.
    const fn percent(self) -> u64 {
        match self {
            Self::Calm => 0,
            Self::Tight => 80,
            Self::Short => 90,
            Self::Critical => 95,
        }
    }
}

/// The step in force.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryPressure {
    step: MemoryStep,
}

impl MemoryPressure {
    /// Takes a reading of bytes `used` out of a `budget` and returns the step from now on.
    pub fn observe(&mut self, used: u64, budget: u64) -> MemoryStep {
        let percent = u128::from(used) * 100 / u128::from(budget.max(1));
        let reached = |step: &MemoryStep| percent >= u128::from(step.percent());
        let risen = MemoryStep::ALL.into_iter().rev().find(reached).unwrap_or_default();
        if risen >= self.step {
            self.step = risen;
        } else if percent + HYSTERESIS < u128::from(self.step.percent()) {
            self.step = MemoryStep::ALL[self.step.index() - 1];
        }
        self.step
    }
}

/// Whether a new connection of `client` is turned away for want of memory: a stranger's, where no
/// readers are known, while there are enough connections that closing some would help. O(log prefixes).
pub fn lacks_memory(
    table: &Table,
    step: MemoryStep,
    client: ClientAddr,
    open_connections: usize,
    knows_network: impl FnOnce() -> bool,
) -> bool {
    step == MemoryStep::Critical
        && step.sheds_connections(open_connections)
        && !table.is_exempt(client)
        && !knows_network()
}

/// Points below its beginning at which a step ends.
const HYSTERESIS: u128 = 5;
const FEW_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::proptest;
    use seawall_model::Limits;

    use super::*;
    use crate::table::TableSource;

    #[test]
    fn steps_rise_at_once_and_fall_one_at_a_time_and_further_down() {
        let mut pressure = MemoryPressure::default();
        for (percent, want) in [
            // A full cache, and a full spool beside it.
            (60, 0),
            (79, 0),
            (80, 1),
            (76, 1),
            (75, 1),
            (74, 0),
            (96, 3),
            (94, 3),
            (90, 3),
            (89, 2),
            (10, 1),
            (10, 0),
            (91, 2),
            (85, 2),
            (84, 1),
            (95, 3),
            (1_000, 3),
        ] {
            assert_eq!(pressure.observe(percent * 10, 1_000).index(), want, "at {percent} %");
        }
    }

    #[test]
    fn strangers_are_turned_away_only_when_it_can_help() {
        let prefix = |text: &str| text.parse().expect("a prefix");
        let table = Table::compile(TableSource {
            allow: Vec::from([prefix("192.0.2.1")]),
            trusted_proxies: Vec::from([prefix("192.0.2.2")]),
            limits: Limits::default(),
            ..TableSource::default()
        });
        let away = |step, ip: &str, open, known| {
            let client = ClientAddr::new(ip.parse().expect("an address"));
            lacks_memory(&table, step, client, open, || known)
        };
        assert!(away(MemoryStep::Critical, "203.0.113.7", 64, false));
        for (step, ip, open, known) in [
            (MemoryStep::Short, "203.0.113.7", 64, false),
            (MemoryStep::Critical, "203.0.113.7", 63, false),
            (MemoryStep::Critical, "203.0.113.7", 64, true),
            (MemoryStep::Critical, "192.0.2.1", 64, false),
            (MemoryStep::Critical, "192.0.2.2", 64, false),
        ] {
            assert!(!away(step, ip, open, known), "{step:?} {ip} {open} {known}");
        }
    }

    proptest! {
        #[test]
        fn a_constant_reading_comes_to_rest(start in 0u64..200, then in 0u64..200) {
            let mut pressure = MemoryPressure::default();
            pressure.observe(start, 100);
            let mut seen = (0..8).map(|_| pressure.observe(then, 100)).skip(4);
            let first = seen.next();
            assert!(seen.all(|step| Some(step) == first), "{start} then {then}");
        }
    }
}
