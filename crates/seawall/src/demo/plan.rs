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
        let flood = Duration::from_secs(seconds).saturating_sub(QUIET_WITHOUT + QUIET_WITH);
        // 75 s of flood are 20 without Seawall and 55 with it. Page views that cannot be judged
        // before the end are not begun, so each side needs more than one page's time.
        let without = (flood * 4 / 15).max(LEAST_FLOOD);
        let with = (flood * 11 / 15).max(LEAST_FLOOD);
        Ok(Self {
            seed: seed.unwrap_or(1),
            without: Span { quiet: QUIET_WITHOUT, flood: without },
            with: Span { quiet: QUIET_WITH, flood: with },
        })
    }

    /// How long it takes, pauses left out.
    pub(crate) fn whole(self) -> Duration {
        self.without.whole() + self.with.whole()
    }
}

const DEFAULT_SECONDS: u64 = 90;
const QUIET_WITHOUT: Duration = Duration::from_secs(5);
/// What the crawler needs to read three hundred pages politely.
const QUIET_WITH: Duration = Duration::from_secs(10);
const LEAST_FLOOD: Duration = Duration::from_secs(11);

#[cfg(test)]
mod tests {
    use super::{LEAST_FLOOD, Plan};

    #[test]
    fn ninety_seconds_are_twenty_five_without_and_the_rest_with() {
        let plan = Plan::new(None, None).expect("defaults are in range");
        assert_eq!(plan.without.whole().as_secs(), 25);
        assert_eq!(plan.with.whole().as_secs(), 65);
        assert_eq!(plan.seed, 1);
    }

    #[test]
    fn seconds_scale_the_floods_within_bounds() {
        for seconds in 30..=600 {
            let plan = Plan::new(Some(seconds), Some(7)).expect("in range");
            let whole = plan.whole().as_secs();
            assert!(whole.abs_diff(seconds) <= 7, "{seconds}: {whole}");
            assert!(plan.without.flood >= LEAST_FLOOD && plan.with.flood >= LEAST_FLOOD);
        }
        for seconds in [0, 29, 601, u64::MAX] {
            assert!(Plan::new(Some(seconds), None).is_err(), "{seconds}");
        }
    }
}
