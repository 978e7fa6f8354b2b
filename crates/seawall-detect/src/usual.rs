//! How many clients would be here that first came within the last so many seconds, were nothing wrong.
//!
//! Those who read when something begins go on, and others come after them. Who came since then is counted among those
//! who are here in the last minute, so that what is ordinary of it has to be counted the same way: by when those
//! came who were here when it began. A rate of new clients is no measure of it: a visit lasts, and after a start of
//! Seawall everybody seems to be new.

use crate::visitors::{NEW_MS, RECENT_MS};

/// Clients by how long ago they came at most, in steps of [`STEP_MS`].
#[derive(Clone, Debug)]
pub(crate) struct Usual {
    within: [f32; STEPS],
    /// How long was looked at who comes, up to all of the steps.
    known_ms: u64,
}

const STEP_MS: u64 = 10_000;
/// Who was not here for longer is new.
const STEPS: usize = (NEW_MS / STEP_MS) as usize;

impl Usual {
    /// Nothing is known.
    pub(crate) const fn new() -> Self {
        Self { within: [0.0; STEPS], known_ms: 0 }
    }

    /// From the ages of those who were here in the minute before, each of whom stands for `each`, of a life of `life_ms`.
    pub(crate) fn of(ages_ms: impl Iterator<Item = u64>, each: f64, life_ms: u64) -> Self {
        let mut usual = Self::new();
        usual.known_ms = life_ms.min(NEW_MS);
        for age in ages_ms {
            if let Some(count) = usual.within.get_mut((age / STEP_MS) as usize) {
                *count += each as f32;
            }
        }
        for step in 1..STEPS {
            usual.within[step] += usual.within[step - 1];
        }
        usual
    }

    /// How many are ordinary of those who came within `since_ms`. `None` where nobody looked for long enough.
    pub(crate) fn clients(&self, since_ms: u64) -> Option<f64> {
        if self.known_ms < STEP_MS {
            return None;
        }
        let known = since_ms.min(self.known_ms);
        // As many go on coming, until it is those of a whole minute.
        let longer = since_ms.min(RECENT_MS).max(known) as f64 / known.max(1) as f64;
        Some(self.within_ms(known) * longer)
    }

    fn within_ms(&self, since_ms: u64) -> f64 {
        let step = (since_ms / STEP_MS) as usize;
        let up_to = |steps: usize| match steps {
            0 => 0.0,
            _ => f64::from(self.within[steps.min(STEPS) - 1]),
        };
        let part = (since_ms % STEP_MS) as f64 / STEP_MS as f64;
        up_to(step) + part * (up_to(step + 1) - up_to(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One comes each second and stays for two minutes; of a life of `life_s`.
    #[track_caller]
    fn check(life_s: u64, since_s: u64, want: f64) {
        let ages = (0..life_s.min(180)).map(|age| age * 1_000);
        let usual = Usual::of(ages, 1.0, life_s * 1_000);
        let clients = usual.clients(since_s * 1_000).expect("it was looked at for long enough");
        assert!((clients - want).abs() < 1.5, "{clients} of {want}");
    }

    #[test]
    fn who_came_lately_is_counted_by_when() {
        check(3_600, 5, 5.0);
        check(3_600, 60, 60.0);
        check(3_600, 100, 100.0);
    }

    #[test]
    fn who_stays_is_counted_for_as_long_as_visits_last() {
        check(3_600, 300, 180.0);
        check(3_600, 36_000, 180.0);
    }

    #[test]
    fn after_a_start_as_many_are_taken_to_come_as_came_until_then() {
        check(30, 20, 20.0);
        check(30, 60, 60.0);
        check(30, 600, 60.0);
        check(100, 600, 100.0);
    }

    #[test]
    fn each_stands_for_those_who_are_not_followed() {
        let usual = Usual::of([1_000, 2_000].into_iter(), 8.0, 100_000);
        assert!(usual.clients(10_000).is_some_and(|clients| (clients - 16.0).abs() < 1e-6));
    }

    #[test]
    fn nothing_is_said_of_an_attack_that_was_there_at_the_start() {
        assert_eq!(Usual::new().clients(60_000), None);
        assert_eq!(Usual::of([100].into_iter(), 1.0, 5_000).clients(60_000), None);
    }
}
