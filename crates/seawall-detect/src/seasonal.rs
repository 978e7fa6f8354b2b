//! How the ordinary rate changes with the time of the week.
//!
//! 168 hours of six slots. For each the mean rates of its last three weeks are kept, and their median
//! counts: an attack, or a poisoner, in one week is outvoted by the two others, and what is three weeks old is
//! forgotten. A slot that has seen fewer weeks leans on the same time of other days.
//!
//! It tells only by which factor the ordinary rate changes **between two times**, not how high it is: a
//! site that grows need not learn its week anew, and a slot that is not known changes nothing.
//!
//! It deliberately does **not** know whether what it is given was ordinary.

use alloc::boxed::Box;
use alloc::vec;
use core::time::Duration;

use seawall_model::WallTime;

/// Length of a slot.
pub(crate) const SLOT: Duration = Duration::from_mins(10);
/// Slots in a week.
pub(crate) const SLOTS: usize = 168 * 6;
/// Weeks that are remembered.
pub(crate) const WEEKS: usize = 3;
/// Channels that have seasons: those that count.
pub(crate) const CHANNELS: usize = 11;

const SLOTS_OF_A_DAY: usize = 24 * 6;
/// Events per second by which both sides of a ratio are raised: 30 in a slot, so that the chance of rare events is
/// no season.
const FEW_PER_S: f64 = 0.05;
/// Part of a slot that must have been ordinary for its mean to be kept.
const MIN_PART: f64 = 0.5;

/// A mean rate that is not known.
const NONE: f32 = -1.0;

/// What is known of the week. 132 KB.
#[derive(Clone, Debug)]
pub(crate) struct Seasonal {
    /// Mean rates per second by slot, channel and week, the latest first.
    means: Box<[[[f32; WEEKS]; CHANNELS]]>,
    now: Option<Now>,
    around: Option<Around>,
}

/// Mean rates per second by channel, where they are known.
pub(crate) type Rates = [Option<f64>; CHANNELS];

/// By which factor the ordinary rate of a channel changes from one time to another; 1 if it is not known at
/// either.
pub(crate) fn change(from: Option<f64>, to: Option<f64>) -> f64 {
    match (from, to) {
        (Some(from), Some(to)) => (to + FEW_PER_S) / (from + FEW_PER_S),
        _ => 1.0,
    }
}

/// What is ordinary in two slots, looked up once.
#[derive(Clone, Debug)]
struct Around {
    slot: usize,
    means: [Option<(f64, f64)>; CHANNELS],
}

/// The slot that goes on.
#[derive(Clone, Debug)]
struct Now {
    slot: usize,
    sums: [f64; CHANNELS],
    seconds: [f64; CHANNELS],
    at: WallTime,
}

/// Where in the week a time is: the slot in whose middle it is or after whose middle it comes, and which part of
/// the way to the middle of the next.
fn place(wall: WallTime) -> (usize, f64) {
    // The week begins wherever it does, as long as it is always there.
    let slots = wall.unix_secs() as f64 / SLOT.as_secs_f64() - 0.5;
    let whole = libm::floor(slots);
    (whole.max(0.0) as usize % SLOTS, slots - whole)
}

fn slot_of(wall: WallTime) -> usize {
    (wall.unix_secs() / SLOT.as_secs()) as usize % SLOTS
}

impl Seasonal {
    pub(crate) fn new() -> Self {
        let means = vec![[[NONE; WEEKS]; CHANNELS]; SLOTS].into_boxed_slice();
        Self { means, now: None, around: None }
    }

    /// What was ordinary at this time of the week. Between the middles of two slots on the straight line.
    pub(crate) fn rates(&mut self, wall: WallTime) -> Rates {
        let (slot, part) = place(wall);
        if self.around.as_ref().is_none_or(|around| around.slot != slot) {
            let means = core::array::from_fn(|channel| {
                Some((self.mean(channel, slot)?, self.mean(channel, (slot + 1) % SLOTS)?))
            });
            self.around = Some(Around { slot, means });
        }
        let around = self.around.as_ref().expect("made above if it was missing");
        around.means.map(|means| means.map(|(before, after)| before + part * (after - before)))
    }

    /// What is ordinary in a slot: by its own weeks, and the fewer they are the more by the same time of
    /// other days.
    fn mean(&self, channel: usize, slot: usize) -> Option<f64> {
        let own = &self.means[slot][channel];
        let weeks = own.iter().filter(|mean| **mean >= 0.0).count();
        let own = median(own).map(f64::from);
        if weeks == WEEKS {
            return own;
        }
        let mut sum = 0.0;
        let mut days = 0.0;
        for day in 0..7 {
            let same_time = (slot + day * SLOTS_OF_A_DAY) % SLOTS;
            if let Some(mean) = median(&self.means[same_time][channel]) {
                sum += f64::from(mean);
                days += 1.0;
            }
        }
        if days == 0.0 {
            return None;
        }
        let day = sum / days;
        Some(own.map_or(day, |own| (own * weeks as f64 + day) / (weeks as f64 + 1.0)))
    }

    /// Adds what was counted in the last `seconds`; `None` for a channel from which nothing is to be
    /// learned now. A slot is kept when it is over.
    pub(crate) fn learn(&mut self, counts: &[Option<f64>; CHANNELS], seconds: f64, wall: WallTime) {
        let slot = slot_of(wall);
        let is_over = self.now.as_ref().is_none_or(|now| now.slot != slot);
        if is_over {
            if let Some(now) = self.now.take() {
                self.keep(&now, wall);
                self.around = None;
            }
            self.now =
                Some(Now { slot, sums: [0.0; CHANNELS], seconds: [0.0; CHANNELS], at: wall });
        }
        let Some(now) = &mut self.now else { return };
        now.at = wall;
        for (channel, count) in counts.iter().enumerate() {
            if let Some(count) = count {
                now.sums[channel] += count;
                now.seconds[channel] += seconds;
            }
        }
    }

    /// The clock jumped: what was counted belongs to no slot.
    pub(crate) fn forget_slot(&mut self) {
        self.now = None;
    }

    fn keep(&mut self, now: &Now, wall: WallTime) {
        // A slot after which nothing was heard for long was not seen to its end, or the clock jumped.
        if wall.saturating_since(now.at) > SLOT || now.at > wall {
            return;
        }
        for channel in 0..CHANNELS {
            if now.seconds[channel] < MIN_PART * SLOT.as_secs_f64() {
                continue;
            }
            let means = &mut self.means[now.slot][channel];
            means.rotate_right(1);
            means[0] = (now.sums[channel] / now.seconds[channel]).clamp(0.0, 1e9) as f32;
        }
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.means)
    }

    /// All that is kept, in order.
    pub(crate) fn means(&self) -> impl Iterator<Item = f32> + '_ {
        self.means.iter().flatten().flatten().copied()
    }

    /// From what [`Self::means`] gave. `None` if it is not that.
    pub(crate) fn from_means(mut means: impl Iterator<Item = f32>) -> Option<Self> {
        let mut seasonal = Self::new();
        for place in seasonal.means.iter_mut().flatten().flatten() {
            let mean = means.next()?;
            if mean != NONE && !(0.0..=1e9).contains(&mean) {
                return None;
            }
            *place = mean;
        }
        means.next().is_none().then_some(seasonal)
    }
}

/// The median of those that are known; of two, the smaller: what only one week saw is not yet ordinary.
fn median(means: &[f32; WEEKS]) -> Option<f32> {
    let mut known = *means;
    known.sort_unstable_by(f32::total_cmp);
    let unknown = known.iter().filter(|mean| **mean < 0.0).count();
    let known = &known[unknown..];
    (!known.is_empty()).then(|| known[(known.len() - 1) / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rate per second that depends on the hour.
    fn daily(wall: WallTime) -> f64 {
        let day = wall.unix_secs() as f64 / 86_400.0;
        100.0 * (1.0 + 0.6 * libm::sin(core::f64::consts::TAU * day))
    }

    fn lived(days: u64, rate: impl Fn(WallTime) -> f64) -> Seasonal {
        let mut seasonal = Seasonal::new();
        for step in 0..days * 8_640 {
            let wall = WallTime::from_unix_secs(step * 10);
            let mut counts = [None; CHANNELS];
            counts[0] = Some(10.0 * rate(wall));
            seasonal.learn(&counts, 10.0, wall);
        }
        seasonal
    }

    fn change_of(seasonal: &mut Seasonal, channel: usize, from: WallTime, to: WallTime) -> f64 {
        change(seasonal.rates(from)[channel], seasonal.rates(to)[channel])
    }

    #[test]
    fn a_day_seen_once_is_known_on_the_next() {
        let mut seasonal = lived(2, daily);
        for hour in 0..24 {
            let from = WallTime::from_unix_secs((2 * 24 + hour) * 3_600 + 300);
            let to = from + Duration::from_mins(30);
            let want = daily(to) / daily(from);
            let change = change_of(&mut seasonal, 0, from, to);
            assert!((change / want - 1.0).abs() < 0.01, "{hour}: {change} {want}");
        }
    }

    #[test]
    fn what_was_never_seen_changes_nothing() {
        let mut seasonal = lived(1, daily);
        let (from, to) = (WallTime::from_unix_secs(300), WallTime::from_unix_secs(8_000));
        assert!((change_of(&mut Seasonal::new(), 0, from, to) - 1.0).abs() < 1e-9);
        assert!(
            (change_of(&mut seasonal, 1, from, to) - 1.0).abs() < 1e-9,
            "a channel never counted"
        );
    }

    #[test]
    fn a_week_of_attack_is_outvoted_by_two_without() {
        let is_poisoned = |wall: WallTime| {
            let day = wall.unix_secs() / 86_400;
            (14..21).contains(&day) && wall.unix_secs() % 86_400 < 7_200
        };
        let rate = |wall: WallTime| daily(wall) * if is_poisoned(wall) { 20.0 } else { 1.0 };
        let mut seasonal = lived(21, rate);
        let from = WallTime::from_unix_secs(22 * 86_400 + 1_800);
        let to = from + Duration::from_hours(4);
        let (change, want) = (change_of(&mut seasonal, 0, from, to), daily(to) / daily(from));
        assert!((change / want - 1.0).abs() < 0.02, "{change} {want}");
    }

    #[test]
    fn a_clock_that_jumps_keeps_no_slot_half_seen() {
        let mut seasonal = Seasonal::new();
        let mut counts = [None; CHANNELS];
        counts[0] = Some(1.0);
        for secs in 0..500 {
            seasonal.learn(&counts, 1.0, WallTime::from_unix_secs(secs));
        }
        seasonal.learn(&counts, 1.0, WallTime::from_unix_secs(1_000_000));
        seasonal.learn(&counts, 1.0, WallTime::from_unix_secs(5));
        assert!(seasonal.means().all(|mean| mean == NONE));
    }

    #[test]
    fn what_is_kept_comes_back_and_nothing_else() {
        let seasonal = lived(2, daily);
        let again = Seasonal::from_means(seasonal.means()).expect("whole");
        assert!(again.means().eq(seasonal.means()));
        assert!(Seasonal::from_means(seasonal.means().skip(1)).is_none());
        assert!(Seasonal::from_means(seasonal.means().chain([1.0])).is_none());
        for wrong in [f32::NAN, f32::INFINITY, -2.0, 1e30] {
            assert!(Seasonal::from_means(seasonal.means().skip(1).chain([wrong])).is_none());
        }
    }
}
