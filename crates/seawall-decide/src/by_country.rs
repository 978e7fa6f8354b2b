//! For whom origins work, by where networks are registered: for people to look at.
//!
//! One decaying sum for each code, 5 KiB in all. Nothing is decided by it: a country is no reason.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use seawall_model::{Country, Instant};

use crate::decay::{self, Decayed};

/// The work of the last half minute or so by country.
#[derive(Debug)]
pub struct WorkByCountry {
    /// [`Decayed`] bits; the last is for what no list names.
    work: Box<[AtomicU64]>,
}

/// A country's part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountryShare {
    /// `None`: no list names it.
    pub country: Option<Country>,
    /// Of a hundred, rounded down.
    pub percent: u8,
}

impl Default for WorkByCountry {
    fn default() -> Self {
        Self {
            work: core::iter::repeat_with(AtomicU64::default).take(Country::COUNT + 1).collect(),
        }
    }
}

impl WorkByCountry {
    /// Adds work, in units of 1/[`crate::DEMAND_ONE`]. O(1), no allocation.
    pub fn note(&self, now: Instant, country: Option<Country>, cost: u32) {
        let place = &self.work[country.map_or(Country::COUNT, Country::index)];
        decay::add(place, now, cost);
    }

    /// Those with most of it, at most `most`, none below a hundredth.
    pub fn top(&self, now: Instant, most: usize) -> Vec<CountryShare> {
        let at = |place: &AtomicU64| {
            u64::from(Decayed::from_bits(place.load(Ordering::Relaxed)).at(now))
        };
        let work: Vec<u64> = self.work.iter().map(at).collect();
        let all: u64 = work.iter().sum();
        let mut shares: Vec<CountryShare> = work
            .into_iter()
            .enumerate()
            .filter_map(|(index, work)| {
                let percent = u8::try_from((work * 100).checked_div(all)?).ok()?;
                (percent > 0)
                    .then_some(CountryShare { country: Country::from_index(index), percent })
            })
            .collect();
        shares.sort_by_key(|share| core::cmp::Reverse(share.percent));
        shares.truncate(most);
        shares
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::decay::ONE;

    #[test]
    fn the_greatest_parts_come_first_and_old_work_is_forgotten() {
        let work = WorkByCountry::default();
        let at = |secs| Instant::from_nanos(0) + Duration::from_secs(secs);
        assert_eq!(work.top(at(0), 5), []);
        let country = |code| Country::new(code);
        for (code, requests) in [("DE", 50), ("US", 30), ("BR", 19)] {
            work.note(at(0), country(code), requests * ONE);
        }
        work.note(at(0), None, ONE);
        let shown = |now, most| -> Vec<(Option<Country>, u8)> {
            work.top(now, most).into_iter().map(|share| (share.country, share.percent)).collect()
        };
        assert_eq!(shown(at(0), 2), [(country("DE"), 50), (country("US"), 30)]);
        assert_eq!(shown(at(0), 9)[3], (None, 1));
        work.note(at(600), country("FR"), ONE);
        assert_eq!(shown(at(600), 9), [(country("FR"), 100)]);
    }
}
