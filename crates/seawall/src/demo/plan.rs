//! How long each part of the demo takes.

use std::time::Duration;

use crate::demo::error::DemoError;

/// The course of one demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What site, readers and flood are made of.
    pub(crate) seed: u64,
    /// Readers alone, then with the flood, straight at the origin.
    pub(crate) without: Span,
    /// The same through Seawall.
    pub(crate) with: Span,
    /// Readers alone through Seawall, with nothing behind it any more.
    pub(crate) origin_dead: Duration,
}

/// One side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Readers alone.
    pub(crate) quiet: Duration,
    /// Readers and flood.
    pub(crate) flood: Duration,
}

impl Span {
    /// Both together.
    pub(crate) fn whole(self) -> Duration {
        self.quiet + self.flood
    }
}

impl Plan {
    /// A plan of about `seconds` (90 if not given) from `seed` (1 if not given).
    ///
    /// # Errors
    /// [`DemoError::Seconds`] outside of 30 to 600.
    pub(crate) fn new(seconds: Option<u64>, seed: Option<u64>) -> Result<Self, DemoError> {
        let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
        if !(30..=600).contains(&seconds) {
            return Err(DemoError::Seconds { seconds });
        }
        let origin_dead = (seconds / 5).max(LEAST_DEAD);
        let quiet_with = (seconds.saturating_sub(60) * 2 / 3).clamp(SHORTEST_QUIET, LONGEST_QUIET);
        let quiet = QUIET_WITHOUT.as_secs() + quiet_with;
        let flood = seconds.saturating_sub(quiet + origin_dead);
        // 47 s of flood are 12 without Seawall and 35 with it. Page views that cannot be judged
        // before the end are not begun, so each side needs more than one page's time.
        let without = flood * 4 / 15;
        let flood = |seconds: u64| Duration::from_secs(seconds).max(LEAST_FLOOD);
        Ok(Self {
            seed: seed.unwrap_or(1),
            without: Span { quiet: QUIET_WITHOUT, flood: flood(without) },
            with: Span {
                quiet: Duration::from_secs(quiet_with),
                flood: flood(seconds - quiet - origin_dead - without),
            },
            origin_dead: Duration::from_secs(origin_dead),
        })
    }

    /// For tests: a second of the flood without Seawall and eight with it, which is too short to count page views in
    /// and long enough to be noticed on a busy machine (it took 0.8 s, a measure 1.1 s, in a debug build at a load of 7), and
    /// all of the death of the origin that takes no longer.
    pub(crate) fn brief(seed: Option<u64>) -> Self {
        let second = Duration::from_secs(1);
        Self {
            seed: seed.unwrap_or(1),
            without: Span { quiet: Duration::ZERO, flood: second },
            with: Span { quiet: Duration::ZERO, flood: 8 * second },
            origin_dead: 5 * second,
        }
    }

    /// How long it takes, pauses left out.
    pub(crate) fn whole(self) -> Duration {
        self.without.whole() + self.with.whole() + self.origin_dead
    }
}

const DEFAULT_SECONDS: u64 = 90;
const QUIET_WITHOUT: Duration = Duration::from_secs(5);
/// What the crawler needs to read three hundred pages, 40 a second. Beside an empty cache that is more than this origin
/// does with ease: in the first second everybody waits, and Seawall says so.
const SHORTEST_QUIET: u64 = 10;
/// Here it reads 20.
const LONGEST_QUIET: u64 = 20;
const LEAST_FLOOD: Duration = Duration::from_secs(11);
/// Seconds in which enough readers come.
const LEAST_DEAD: u64 = 8;

#[cfg(test)]
mod tests {
    use super::{LEAST_FLOOD, Plan};

    #[test]
    fn ninety_seconds_are_seventeen_without_and_the_rest_with_a_fifth_of_them_without_an_origin() {
        let plan = Plan::new(None, None).expect("defaults are in range");
        assert_eq!(plan.without.whole().as_secs(), 17);
        assert_eq!(plan.with.whole().as_secs(), 55);
        assert_eq!(plan.origin_dead.as_secs(), 18);
        assert_eq!(plan.seed, 1);
    }

    #[test]
    fn seconds_scale_the_floods_within_bounds() {
        for seconds in 30..=600 {
            let plan = Plan::new(Some(seconds), Some(7)).expect("in range");
            let whole = plan.whole().as_secs();
            assert!(
                whole >= seconds && whole <= seconds.max(72).min(seconds + 15),
                "{seconds}: {whole}"
            );
            assert!(plan.without.flood >= LEAST_FLOOD && plan.with.flood >= LEAST_FLOOD);
        }
        for seconds in [0, 29, 601, u64::MAX] {
            assert!(Plan::new(Some(seconds), None).is_err(), "{seconds}");
        }
    }
}
