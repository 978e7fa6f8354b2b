//! How hard an origin is pressed and what it bears, from what its gate counts.
//!
//! Separate because whoever watches a gate, in production or in the simulator, has to read it alike: until there is
//! a baseline, what the origin bears stands for what is ordinary (detection.md §3, cold start).

use core::time::Duration;

use crate::detector::OriginStress;

/// What the gates of all origins say at the end of a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateReading {
    /// Requests let through so far.
    pub granted: u64,
    /// Whether any wait.
    pub is_waiting: bool,
    /// How long the one waits that waits longest of those who are not meant to wait; `None`: nobody.
    pub readers_wait: Option<Duration>,
    /// Whether a limit is as low as it goes while one of those waits.
    pub is_pressed_at_floor: bool,
}

/// Reads the gates, tick by tick.
#[derive(Clone, Copy, Debug, Default)]
pub struct OriginMeter {
    granted: u64,
    /// Requests per second that were let through while others waited, the most of a minute.
    capacity_per_s: Option<f64>,
}

impl OriginMeter {
    /// Takes the reading of a tick that lasted as long as `passed`.
    pub fn read(&mut self, gates: GateReading, passed: Duration) -> OriginStress {
        let let_through = gates.granted.saturating_sub(self.granted);
        self.granted = gates.granted;
        let seconds = passed.as_secs_f64();
        if gates.is_waiting && seconds > SHORTEST_S {
            let rate = let_through as f64 / seconds;
            let before = self.capacity_per_s.unwrap_or(rate);
            // Half of a change in eight seconds: one tick counts a handful of requests.
            self.capacity_per_s = Some(before + (rate - before) * SMOOTHING);
        }
        OriginStress {
            queue_delay_ms: gates.readers_wait.unwrap_or_default().as_secs_f64() * 1e3,
            is_limit_at_floor: gates.is_pressed_at_floor,
            safe_capacity_per_s: self.capacity_per_s.filter(|rate| *rate >= 1.0),
            is_known: true,
        }
    }
}

/// A shorter tick says nothing of a rate.
const SHORTEST_S: f64 = 0.05;
const SMOOTHING: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(250);

    #[test]
    fn what_an_origin_bears_is_known_once_somebody_had_to_wait() {
        let mut meter = OriginMeter::default();
        let idle = GateReading { granted: 30, ..GateReading::default() };
        let stress = meter.read(idle, TICK);
        assert_eq!((stress.safe_capacity_per_s, stress.is_limit_at_floor), (None, false));
        let readers_wait = Some(TICK);
        let mut busy =
            GateReading { is_waiting: true, readers_wait, is_pressed_at_floor: true, ..idle };
        let mut last = stress;
        for _ in 0..40 {
            busy.granted += 25;
            last = meter.read(busy, TICK);
        }
        assert_eq!((last.queue_delay_ms, last.is_limit_at_floor), (250.0, true));
        assert!((last.safe_capacity_per_s.expect("it is known") - 100.0).abs() < 1e-6);
        // It follows, and not in one tick.
        busy.granted += 50;
        let more = meter.read(busy, TICK).safe_capacity_per_s.expect("it is known");
        assert!(more > 100.0 && more < 105.0, "{more}");
    }
}
