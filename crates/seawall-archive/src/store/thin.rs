//! Which versions of a page are kept: few, and of different ages.
//!
//! Separate because it is pure. The last few versions of a page that is never the same twice would reach
//! back half an hour, and a pin before yesterday would find nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use seawall_model::WallTime;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Behind the newest one of each of these ages is kept: of the last hour, day, week, month, and older.
const AGES: [Duration; 5] = [
    HOUR,
    DAY,
    Duration::from_secs(7 * 24 * 3_600),
    Duration::from_secs(30 * 24 * 3_600),
    Duration::MAX,
];

/// Of times of capture, oldest first, those to keep: `most`, or one more if the newest that a pin shows is
/// not among them. The oldest of an age is kept, because it is the one that comes to the next.
pub(super) fn worth_keeping(
    times: &[WallTime],
    pin: Option<WallTime>,
    most: usize,
) -> BTreeSet<WallTime> {
    let mut kept: BTreeSet<_> = protected(times, pin).collect();
    let Some(&newest) = times.last() else { return kept };
    let mut from = Duration::ZERO;
    for to in AGES {
        let is_of_age = |at: &&WallTime| {
            let age = newest.saturating_since(**at);
            age > from && age <= to
        };
        if kept.len() < most {
            kept.extend(times.iter().find(is_of_age));
        }
        from = to;
    }
    let free = most.saturating_sub(kept.len());
    let others: Vec<_> = times.iter().rev().filter(|at| !kept.contains(at)).take(free).collect();
    kept.extend(others);
    kept
}

/// Those of the times, oldest first, that must never be taken away: the newest, and the newest that a pin
/// shows.
pub(super) fn protected(
    times: &[WallTime],
    pin: Option<WallTime>,
) -> impl Iterator<Item = WallTime> {
    let shown = pin.and_then(|pin| times.iter().rev().find(|at| **at < pin));
    times.last().into_iter().chain(shown).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use seawall_model::WallTime;

    use super::{DAY, worth_keeping};

    fn at(minute: u64) -> WallTime {
        WallTime::from_unix_secs(1_790_000_000) + Duration::from_secs(60 * minute)
    }

    #[test]
    fn a_page_that_always_differs_has_versions_from_long_ago() {
        let mut kept: Vec<WallTime> = Vec::new();
        for turn in 0..40 * 24 * 4 {
            kept.push(at(15 * turn));
            kept = worth_keeping(&kept, None, 5).into_iter().collect();
            assert!(kept.len() <= 5);
            assert_eq!(kept.last(), Some(&at(15 * turn)));
            let age = at(15 * turn).saturating_since(kept[0]);
            assert!(turn < 100 || age > DAY, "turn {turn}: {age:?} back");
            let of_a_day = kept.iter().any(|it| {
                let age = at(15 * turn).saturating_since(*it);
                age > Duration::ZERO && age <= DAY
            });
            assert!(turn == 0 || of_a_day, "turn {turn}");
        }
    }

    proptest! {
        #[test]
        fn the_newest_and_what_a_pin_shows_stay(
            times in prop::collection::btree_set(0_u64..100_000, 0..20),
            pin in prop::option::of(0_u64..100_000),
            most in 1_usize..8,
        ) {
            let times: Vec<_> = times.into_iter().map(at).collect();
            let kept = worth_keeping(&times, pin.map(at), most);
            prop_assert!(kept.len() <= most.max(2) && kept.len() >= most.min(times.len()));
            prop_assert!(kept.iter().all(|it| times.contains(it)));
            prop_assert!(times.last().is_none_or(|it| kept.contains(it)));
            let shown = pin.and_then(|pin| times.iter().rev().find(|it| **it < at(pin)));
            prop_assert!(shown.is_none_or(|it| kept.contains(it)));
        }
    }
}
