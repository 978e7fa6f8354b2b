//! When things came to pass in a run, in seconds; infinite if they did not.

use std::time::Duration;

use seawall_model::Instant;

use super::{StateChange, Tally};
use crate::record::{Record, Want};

/// Parts of views that are to be good where an attack cannot be told from readers (detection.md §8): pages
/// that may be held, known readers' dynamic ones, those of newcomers.
const MIMICRY_HELD: f64 = 0.999;
pub(super) const MIMICRY_KNOWN: f64 = 0.98;
pub(super) const MIMICRY_NEW: f64 = 0.80;
/// By when a wave is met that is new, or that was there before (A12).
pub(super) const NEW_WAVE_S: f64 = 3.0;
pub(super) const REPEATED_WAVE_S: f64 = 2.0;

/// By nearest rank: the least that so many per cent of all do not exceed. Of twenty, the 95th is the 19th.
pub(super) fn percentile<T>(sorted: &[T], percent: usize) -> Option<&T> {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1))
}

/// When it was said for the first time during the event that it may be an attack.
pub(super) fn alarm_at(record: &Record) -> Option<Instant> {
    first_state(record, |(_, is_alarmed, ..)| *is_alarmed)
}

fn first_state(record: &Record, is: impl Fn(&StateChange) -> bool) -> Option<Instant> {
    let during = |at: Instant| at >= record.from && at < record.until;
    record.states.iter().find(|state| is(state) && during(state.0)).map(|state| state.0)
}

/// From the beginning to the first alarm; one from before counts as none, because it is not of this.
pub(super) fn to_detect(record: &Record) -> f64 {
    since_beginning(record, alarm_at(record))
}

/// From the beginning until it was said that it is a crowd or may be an attack.
pub(super) fn to_notice(record: &Record) -> f64 {
    let is_said = |(_, is_alarmed, _, name): &StateChange| *is_alarmed || name.starts_with("crowd");
    since_beginning(record, first_state(record, is_said))
}

fn since_beginning(record: &Record, at: Option<Instant>) -> f64 {
    at.map_or(f64::INFINITY, |at| at.saturating_since(record.from).as_secs_f64())
}

/// Views that began in a quarter of a second, by what was wanted.
type Bin = [Tally; 3];

const BINS_PER_S: f64 = 4.0;

/// The start of the first 5 s in which 99 % of all transactions are good.
pub(super) fn to_mitigate(record: &Record) -> f64 {
    first_five_seconds(record, |seen| {
        let (of, good) = seen.iter().fold((0, 0), |(of, good), it| (of + it.of, good + it.good));
        good as f64 >= 0.99 * of as f64
    })
}

/// The same where the attack cannot be told from readers: in which as much is good of each kind as is promised
/// then, in whole views.
pub(super) fn to_mitigate_mimicry(record: &Record) -> f64 {
    first_five_seconds(record, |seen| {
        let bars = [MIMICRY_HELD, MIMICRY_KNOWN, MIMICRY_NEW];
        let mut kinds = seen.iter().zip(bars);
        kinds
            .all(|(it, bar)| (it.of - it.good) as f64 <= ((1.0 - bar) * it.of as f64 - 1e-9).ceil())
    })
}

fn first_five_seconds(record: &Record, is_good: impl Fn(&Bin) -> bool) -> f64 {
    let length = record.until.saturating_since(record.from).as_secs_f64();
    let mut all = vec![Bin::default(); (length * BINS_PER_S) as usize];
    for view in record.views.iter().filter(|view| view.began >= record.from) {
        let at = view.began.saturating_since(record.from).as_secs_f64() * BINS_PER_S;
        let kind = match view.want {
            Want::Cacheable => 0,
            Want::DynamicKnown => 1,
            Want::DynamicNew => 2,
        };
        if let Some(bin) = all.get_mut(at as usize) {
            bin[kind].note(view.is_good);
        }
    }
    let window = (5.0 * BINS_PER_S) as usize;
    let sum = |bins: &[Bin]| {
        let mut sum = Bin::default();
        for bin in bins {
            for (sum, it) in sum.iter_mut().zip(bin) {
                (sum.of, sum.good) = (sum.of + it.of, sum.good + it.good);
            }
        }
        sum
    };
    let first = all.windows(window).position(|bins| is_good(&sum(bins)));
    first.map_or(f64::INFINITY, |bin| bin as f64 / BINS_PER_S)
}

/// Whether it is so early in a pulse that there need not be a signature for it yet.
pub(super) fn is_before_signature(record: &Record, at: Instant) -> bool {
    let waves = &record.waves;
    let Some(last) = waves.iter().rposition(|(began, _)| *began <= at) else { return false };
    let (began, kind) = waves[last];
    let is_repeated = waves[..last].iter().any(|(_, earlier)| *earlier == kind);
    let within_s = if is_repeated { REPEATED_WAVE_S } else { NEW_WAVE_S };
    at.saturating_since(began) < Duration::from_secs_f64(within_s)
}

/// From the end of an attack until the incident is over.
pub(super) fn normal_after_attack(record: &Record) -> f64 {
    normal_again(record, record.until)
}

/// From the end of a surge until the incident is over.
pub(super) fn normal_after_surge(record: &Record) -> f64 {
    normal_again(record, surge_over(record))
}

fn normal_again(record: &Record, over: Instant) -> f64 {
    normal_at(record, over).map_or(f64::INFINITY, |at| at.saturating_since(over).as_secs_f64())
}

/// When a surge is over. Bots stop at once; readers who came for a story read on when no more come.
fn surge_over(record: &Record) -> Instant {
    const MEAN_S: usize = 10;
    /// So many times as many requests as before are what they were.
    const AS_BEFORE: f64 = 1.25;
    let index = |at: Instant| at.saturating_since(record.start).as_secs() as usize;
    let mean = |from: usize| {
        let seconds = record.seconds.get(from..from + MEAN_S)?;
        Some(seconds.iter().map(|second| second.legit).sum::<u64>() as f64 / MEAN_S as f64)
    };
    let (from, until) = (index(record.from), index(record.until));
    let Some(before) = from.checked_sub(MEAN_S).and_then(mean) else { return record.until };
    let later = (until..record.seconds.len())
        .find(|at| mean(*at).is_some_and(|mean| mean <= AS_BEFORE * before));
    later.map_or(record.until, |at| record.until + Duration::from_secs((at - until) as u64))
}

/// When there is no incident for the first time once it is over, of which there may have been none.
fn normal_at(record: &Record, over: Instant) -> Option<Instant> {
    let before = record.states.iter().rfind(|(at, ..)| *at <= over);
    if before.is_none_or(|(_, _, is_normal, _)| *is_normal) {
        return Some(over);
    }
    let mut after = record.states.iter().filter(|(at, ..)| *at > over);
    after.find(|(_, _, is_normal, _)| *is_normal).map(|(at, ..)| *at)
}

/// Alarms that began once it was normal again: of ordinary traffic.
pub(super) fn alarms_after(record: &Record) -> usize {
    let Some(normal) = normal_at(record, record.until) else { return 0 };
    let after = record.states.iter().filter(|(at, ..)| *at > normal);
    let mut was_alarmed = false;
    after
        .filter(|(_, is_alarmed, ..)| {
            let begins = *is_alarmed && !was_alarmed;
            was_alarmed = *is_alarmed;
            begins
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cohorts::Cohort;
    use crate::record::{Second, ViewRecord};

    fn at(seconds: f64) -> Instant {
        Instant::default() + Duration::from_secs_f64(seconds)
    }

    /// A minute of calm and a minute of something.
    fn record() -> Record {
        Record { from: at(60.0), until: at(120.0), ..Record::default() }
    }

    fn state(seconds: f64, is_alarmed: bool, name: &str) -> StateChange {
        (at(seconds), is_alarmed, name == "normal", name.to_owned())
    }

    fn view(began_s: f64, want: Want, is_good: bool) -> ViewRecord {
        ViewRecord {
            cohort: Cohort::Home,
            want,
            began: at(began_s),
            ended: None,
            is_good,
            refused: None,
            met: None,
            is_challenged: false,
            is_sent_around: false,
            is_verified: false,
            is_shared: false,
            waited_ms: 0,
        }
    }

    #[track_caller]
    fn check_percentile(of: usize, percent: usize, want: usize) {
        let ranks: Vec<usize> = (1..=of).collect();
        assert_eq!(percentile(&ranks, percent), Some(&want));
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        check_percentile(20, 50, 10);
        check_percentile(20, 95, 19);
        check_percentile(20, 100, 20);
        check_percentile(1, 50, 1);
        check_percentile(1, 95, 1);
        check_percentile(3, 95, 3);
        assert_eq!(percentile::<u8>(&[], 95), None);
    }

    #[test]
    fn a_crowd_is_noticed_and_not_detected() {
        let states = vec![
            state(30.0, true, "mixed"),
            state(40.0, false, "normal"),
            state(60.5, false, "crowd requests"),
            state(90.0, true, "mixed requests"),
        ];
        let record = Record { states, ..record() };
        assert!((to_notice(&record) - 0.5).abs() < 1e-9);
        assert!((to_detect(&record) - 30.0).abs() < 1e-9);
    }

    #[test]
    fn mimicry_is_mitigated_when_each_kind_is_served_as_promised() {
        // Of ten newcomers a second three lose until the tenth second, and one after it; of known readers none.
        let views = (0..600).flat_map(|tenth| {
            let began = 60.0 + f64::from(tenth) / 10.0;
            let lost = if tenth < 100 { tenth % 10 < 3 } else { tenth % 10 < 1 };
            [view(began, Want::DynamicNew, !lost), view(began, Want::DynamicKnown, true)]
        });
        let record = Record { views: views.collect(), ..record() };
        let mitigated = to_mitigate_mimicry(&record);
        assert!((7.0..=10.0).contains(&mitigated), "{mitigated}");
        assert!(to_mitigate(&record).is_infinite());
    }

    #[test]
    fn a_new_pulse_has_three_seconds_and_one_that_comes_again_two() {
        let waves = vec![(at(60.0), 0), (at(90.0), 1), (at(120.0), 0)];
        let record = Record { waves, ..record() };
        let is_before = |seconds| is_before_signature(&record, at(seconds));
        assert!(is_before(60.0) && is_before(62.9) && !is_before(63.1));
        assert!(is_before(92.5) && !is_before(93.5) && !is_before(75.0));
        assert!(is_before(121.9) && !is_before(122.1) && !is_before(10.0));
    }

    #[test]
    fn a_surge_is_over_when_as_much_is_asked_for_as_before() {
        let per_s = |second| match second {
            60..120 => 10_000,
            120..150 => 3_000,
            _ => 500,
        };
        let seconds = (0..300).map(|second| Second { legit: per_s(second), ..Second::default() });
        let states = vec![
            state(0.0, false, "normal"),
            state(61.0, false, "crowd"),
            state(200.0, false, "normal"),
        ];
        let record = Record { seconds: seconds.collect(), states, ..record() };
        assert!((normal_after_surge(&record) - 50.0).abs() < 1e-9);
        assert!((normal_after_attack(&record) - 80.0).abs() < 1e-9);
    }
}
