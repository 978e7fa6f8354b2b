//! What goes on: normal, watched, alarmed, over.
//!
//! Trip: a volume that is too much **and** (a mix that is not the ordinary one, or an origin under stress);
//! or stress that lasts: for a second just after a start and on a site of which nothing is known, else for two, and twice as long as it
//! ever does in ordinary times; or a protocol abused. What requests cost the origin is no volume of its own beside stress: two searches of readers
//! that meet are both. Recovery: three seconds without that end the alarm, and a
//! minute more the incident. A sum of sixteen seconds that has not run down since is no volume beside stress, and no other mix, until
//! the next minute is over as well. Blind spots: more of the same that the origin bears is nobody's business, and only watched; in
//! those two minutes, what only such a sum sees and what presses the origin for less than it takes by itself.
//!
//! *Source:* detection.md §3, §9.

use crate::finding::{Alarm, Channel, Scale, TrafficState, Verdict};

/// The state and for how long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    state: TrafficState,
    /// Seconds in an alarm, and without a reason for one.
    alarmed_s: f64,
    calm_s: f64,
    /// Seconds for which the origin has been under stress.
    pressed_s: f64,
    /// The longest that it was so while nothing else was wrong, fading.
    usually_pressed_s: f64,
    /// Whether anything else was since it has been, or there was an incident.
    is_other_wrong: bool,
    /// By channel: whether its sum of sixteen seconds has been too much ever since the minute of recovery.
    runs_down: [bool; Channel::ALL.len()],
    /// Seconds since that minute.
    recovered_s: f64,
}

/// For so long the origin is under stress before that is an alarm by itself, of a site of which nothing is known.
const PRESSED_S: f64 = 1.0;
/// And of one that is: dear pages of readers that meet press it for a second or two every few minutes.
const PRESSED_KNOWN_S: f64 = 2.0;
/// And for twice as long as in ordinary times, up to so long: nobody can have it get used to more.
const MOST_PRESSED_S: f64 = 15.0;
/// Half of what is usual is forgotten in half a day.
const USUAL_HALF_LIFE_S: f64 = 43_200.0;
/// And for so long before it makes one of a volume.
const PRESSED_WITH_VOLUME_S: f64 = 0.5;
/// Seconds without a reason that end an alarm, and the time after it.
const CALM_S: f64 = 3.0;
const RECOVERY_S: f64 = 60.0;
/// Connections by so many times the ordinary without requests to match are a mix that is not ordinary.
const OUT_OF_PROPORTION: f64 = 10.0;
/// In a window alone, where it takes forty a second to be an alarm at all.
const OUT_OF_PROPORTION_AT_ONCE: f64 = 5.0;

/// From so many a second on, and so many times what is explained by how many come, abuse of a protocol is no crowd's.
const ABUSED_PER_S: f64 = 5.0;
const ABUSED_TIMES: f64 = 3.0;

impl Watch {
    pub(crate) const fn state(&self) -> TrafficState {
        self.state
    }

    /// How long the alarm has lasted, in seconds.
    pub(crate) const fn alarmed_s(&self) -> f64 {
        self.alarmed_s
    }

    /// For how long the origin is under stress in ordinary times, in seconds, so that a restart keeps it.
    pub(crate) const fn usually_pressed_s(&self) -> f64 {
        self.usually_pressed_s
    }

    /// Goes on from [`Self::usually_pressed_s`] of before.
    pub(crate) const fn set_usually_pressed_s(&mut self, seconds: f64) {
        self.usually_pressed_s = seconds.min(MOST_PRESSED_S / 2.0);
    }

    /// Takes a tick: what is out of the ordinary, whether the origin is under stress, and whether the site is known.
    /// Whether an alarm began.
    pub(crate) fn step(
        &mut self,
        alarms: &[Alarm],
        is_pressed: bool,
        is_known: bool,
        seconds: f64,
    ) -> bool {
        self.note_pressure(alarms, is_pressed, seconds);
        self.note_sums(alarms, seconds);
        let has_reason = self.has_reason(alarms, is_known);
        let before = self.state;
        match self.state {
            TrafficState::Alarmed(_) => {
                self.alarmed_s += seconds;
                self.calm_s = if has_reason { 0.0 } else { self.calm_s + seconds };
                if self.calm_s >= CALM_S {
                    (self.state, self.calm_s) = (TrafficState::Recovery, 0.0);
                }
            }
            _ if has_reason => {
                self.state = TrafficState::Alarmed(Verdict::Mixed);
                (self.alarmed_s, self.calm_s) = (0.0, 0.0);
                self.runs_down = Default::default();
            }
            TrafficState::Recovery => {
                self.calm_s += seconds;
                if self.calm_s >= RECOVERY_S {
                    self.state = watched(alarms, is_pressed);
                }
            }
            TrafficState::Normal | TrafficState::Watch => {
                self.state = watched(alarms, is_pressed);
            }
        }
        let is_alarmed = |state| matches!(state, TrafficState::Alarmed(_));
        is_alarmed(self.state) && !is_alarmed(before)
    }

    /// What an alarm is one of.
    pub(crate) const fn judge(&mut self, verdict: Verdict) {
        if matches!(self.state, TrafficState::Alarmed(_)) {
            self.state = TrafficState::Alarmed(verdict);
        }
    }

    /// Learns for how long the origin is under stress in ordinary times. What became an alarm is none of those: whoever
    /// presses it and nothing else would be given ever more time.
    fn note_pressure(&mut self, alarms: &[Alarm], is_pressed: bool, seconds: f64) {
        self.usually_pressed_s *= libm::exp2(-seconds / USUAL_HALF_LIFE_S);
        let is_incident = matches!(self.state, TrafficState::Alarmed(_) | TrafficState::Recovery);
        self.is_other_wrong |= is_incident && self.pressed_s > 0.0;
        if is_pressed {
            self.pressed_s += seconds;
            self.is_other_wrong |= is_incident;
            self.is_other_wrong |= alarms.iter().any(|alarm| !is_of_stress(alarm.channel));
            return;
        }
        if self.pressed_s > self.usually_pressed_s && !self.is_other_wrong {
            self.usually_pressed_s = self.pressed_s.min(MOST_PRESSED_S / 2.0);
        }
        (self.pressed_s, self.is_other_wrong) = (0.0, false);
    }

    /// Notes what still runs down of an incident. Not for ever: what begins in the minute of recovery may be the next one.
    fn note_sums(&mut self, alarms: &[Alarm], seconds: f64) {
        let is_recovery = self.state == TrafficState::Recovery;
        self.recovered_s = if is_recovery { 0.0 } else { self.recovered_s + seconds };
        if self.recovered_s > RECOVERY_S {
            self.runs_down = Default::default();
        }
        for (runs_down, channel) in self.runs_down.iter_mut().zip(Channel::ALL) {
            let is_slow = |alarm: &Alarm| alarm.channel == channel && alarm.scale == Scale::Slow;
            *runs_down = (is_recovery || *runs_down) && alarms.iter().any(is_slow);
        }
    }

    fn has_reason(&self, alarms: &[Alarm], is_known: bool) -> bool {
        let any = |is: &dyn Fn(&Alarm) -> bool| alarms.iter().any(is);
        let volume = any(&|alarm| is_volume(alarm.channel));
        let stress = self.pressed_s >= PRESSED_WITH_VOLUME_S
            || any(&|alarm| alarm.channel == Channel::OriginStress);
        // What still runs down after an incident is no new volume, and no other mix.
        let runs_down =
            |alarm: &Alarm| alarm.scale == Scale::Slow && self.runs_down[alarm.channel.index()];
        let is_other = any(&|alarm| alarm.channel == Channel::Composition && !runs_down(alarm))
            || is_out_of_proportion(alarms);
        let is_asked_more = any(&|alarm| {
            is_volume(alarm.channel) && !is_of_stress(alarm.channel) && !runs_down(alarm)
        });
        let least_s = if is_known { PRESSED_KNOWN_S } else { PRESSED_S };
        let lasts = self.pressed_s >= least_s.max(2.0 * self.usually_pressed_s);
        volume && is_other
            || is_asked_more && stress
            || lasts
            || any(&|alarm| alarm.channel.is_abuse())
    }
}

/// Whether a channel says no more than that the origin has much to do.
const fn is_of_stress(channel: Channel) -> bool {
    matches!(channel, Channel::OriginCost | Channel::OriginStress)
}

const fn is_volume(channel: Channel) -> bool {
    !channel.is_abuse() && !matches!(channel, Channel::Composition | Channel::OriginStress)
}

/// A flood of connections or handshakes shows in no request: that it has none is what is not ordinary about it.
fn is_out_of_proportion(alarms: &[Alarm]) -> bool {
    let has_requests = alarms.iter().any(|alarm| alarm.channel == Channel::Requests);
    let is_many = |alarm: &Alarm| {
        matches!(alarm.channel, Channel::Connections | Channel::Handshakes)
            && match alarm.scale {
                Scale::Fast => alarm.observed > OUT_OF_PROPORTION_AT_ONCE * alarm.expected,
                Scale::Middle => alarm.observed > OUT_OF_PROPORTION * alarm.expected,
                Scale::Slow => false,
            }
    };
    !has_requests && alarms.iter().any(is_many)
}

/// Whether something goes on that no crowd does, however much its requests look like one's: a protocol is abused beyond
/// what comes of `growth` times as many requests as are ordinary (people on trains break off connections as well), or
/// there are connections without requests.
pub(crate) fn is_no_crowds(alarms: &[Alarm], growth: f64) -> bool {
    let is_abused = |alarm: &Alarm| {
        alarm.channel.is_abuse()
            && alarm.observed >= ABUSED_PER_S
            && alarm.observed > ABUSED_TIMES * growth.max(1.0) * alarm.expected
    };
    alarms.iter().any(is_abused) || is_out_of_proportion(alarms)
}

fn watched(alarms: &[Alarm], is_pressed: bool) -> TrafficState {
    let is_calm = alarms.is_empty() && !is_pressed;
    if is_calm { TrafficState::Normal } else { TrafficState::Watch }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;

    fn alarm(channel: Channel) -> Alarm {
        Alarm { channel, scale: Scale::Middle, observed: 100.0, expected: 10.0 }
    }

    fn state_after(channels: &[Channel], is_pressed: bool, ticks: usize) -> TrafficState {
        let alarms: Vec<Alarm> = channels.iter().map(|channel| alarm(*channel)).collect();
        let mut watch = Watch::default();
        (0..ticks).for_each(|_| {
            watch.step(&alarms, is_pressed, false, 0.25);
        });
        watch.state()
    }

    const MIXED: TrafficState = TrafficState::Alarmed(Verdict::Mixed);

    #[test]
    fn more_of_the_same_is_only_watched() {
        assert_eq!(state_after(&[Channel::Requests], false, 100), TrafficState::Watch);
        assert_eq!(state_after(&[Channel::Composition], false, 100), TrafficState::Watch);
        assert_eq!(state_after(&[], false, 100), TrafficState::Normal);
    }

    #[test]
    fn volume_with_another_mix_or_with_stress_is_an_alarm() {
        assert_eq!(state_after(&[Channel::Requests, Channel::Composition], false, 1), MIXED);
        assert_eq!(state_after(&[Channel::OriginBound, Channel::OriginStress], false, 1), MIXED);
        assert_eq!(state_after(&[Channel::NewClients], true, 2), MIXED);
    }

    #[test]
    fn stress_is_an_alarm_after_a_second_and_not_before() {
        assert_eq!(state_after(&[], true, 3), TrafficState::Watch);
        assert_eq!(state_after(&[], true, 4), MIXED);
    }

    #[test]
    fn where_readers_press_the_origin_now_and_then_it_takes_longer_than_they_do() {
        let mut watch = Watch::default();
        let mut pressed_for = |seconds: f64, alarms: &[Alarm]| {
            let mut tick = |_: &u32| watch.step(alarms, true, true, 0.25);
            let began: Vec<u32> = (1..=(seconds * 4.0) as u32).filter(&mut tick).collect();
            (0..400).for_each(|_| {
                watch.step(&[], false, true, 0.25);
            });
            began.first().map(|ticks| f64::from(*ticks) * 0.25)
        };
        let searches = [alarm(Channel::OriginCost)];
        assert_eq!(pressed_for(1.0, &searches), None, "dear pages of readers that meet");
        assert_eq!(pressed_for(60.0, &[]), Some(2.0), "twice as long as that");
        assert_eq!(pressed_for(60.0, &[]), Some(2.0), "who pressed it for a minute is no reader");
        // Readers do so for longer and longer, and it takes twice as long as that.
        assert_eq!([1.75, 3.25, 6.25, 12.25].map(|seconds| pressed_for(seconds, &[])), [None; 4]);
        assert_eq!(pressed_for(60.0, &[]), Some(15.0), "and no longer than that");
        assert_eq!(
            pressed_for(2.0, &[alarm(Channel::OriginBound)]),
            Some(0.5),
            "more is asked for"
        );
    }

    #[test]
    fn an_abused_protocol_is_an_alarm() {
        for channel in Channel::ALL.into_iter().filter(|channel| channel.is_abuse()) {
            assert_eq!(state_after(&[channel], false, 1), MIXED, "{channel:?}");
        }
    }

    #[test]
    fn handshakes_without_requests_are_an_alarm_once_they_are_many() {
        let few = Alarm { observed: 90.0, ..alarm(Channel::Handshakes) };
        let many = Alarm { observed: 110.0, ..few };
        for (alarms, wanted) in [
            ([many, many], MIXED),
            ([few, few], TrafficState::Watch),
            ([Alarm { scale: Scale::Fast, observed: 60.0, ..few }, few], MIXED),
            ([Alarm { scale: Scale::Fast, observed: 40.0, ..few }, few], TrafficState::Watch),
            ([many, alarm(Channel::Requests)], TrafficState::Watch),
        ] {
            let mut watch = Watch::default();
            watch.step(&alarms, false, false, 0.25);
            assert_eq!(watch.state(), wanted);
        }
    }

    #[test]
    fn what_abuses_a_protocol_beyond_its_numbers_is_no_crowd() {
        let resets = |observed, expected| Alarm { observed, expected, ..alarm(Channel::Resets) };
        let many = Alarm { observed: 110.0, ..alarm(Channel::Connections) };
        for (alarms, growth, want) in [
            (vec![resets(50.0, 1.0)], 1.0, true),
            (vec![resets(50.0, 1.0)], 20.0, false),
            (vec![resets(70.0, 1.0)], 20.0, true),
            (vec![resets(2.0, 0.0)], 0.9, false),
            (vec![resets(5.0, 0.0)], 0.0, true),
            (vec![alarm(Channel::Requests)], 10.0, false),
            (vec![many], 1.0, true),
            (vec![many, alarm(Channel::Requests)], 10.0, false),
            (vec![], 1.0, false),
        ] {
            assert_eq!(is_no_crowds(&alarms, growth), want, "{alarms:?} at {growth}");
        }
    }

    #[test]
    fn an_alarm_ends_after_three_seconds_and_the_incident_after_a_minute() {
        let mut watch = Watch::default();
        let alarms = [alarm(Channel::Resets)];
        assert!(watch.step(&alarms, false, false, 0.25));
        assert!(!watch.step(&alarms, false, false, 0.25));
        watch.judge(Verdict::Attack);
        let mut after = Vec::new();
        for _ in 0..4 * 70 {
            watch.step(&[], false, false, 0.25);
            after.push(watch.state());
        }
        let count = |state| after.iter().filter(|found| **found == state).count();
        assert_eq!(count(TrafficState::Alarmed(Verdict::Attack)), 11);
        assert_eq!(count(TrafficState::Recovery), 240);
        assert_eq!(after.last(), Some(&TrafficState::Normal));
        watch.step(&alarms, false, false, 0.25);
        assert_eq!(watch.state(), MIXED);
    }

    #[test]
    fn a_sum_that_runs_down_after_an_incident_is_no_new_volume() {
        let slow = Alarm { scale: Scale::Slow, ..alarm(Channel::Requests) };
        let stress = alarm(Channel::OriginStress);
        let fresh = alarm(Channel::Requests);
        let slow_mix = Alarm { scale: Scale::Slow, ..alarm(Channel::Composition) };
        for (alarms, pressed_s, want) in [
            (vec![slow, stress], 0.25, false),
            (vec![slow, stress], 1.75, false),
            (vec![slow, stress], 2.0, true),
            (vec![fresh, stress], 0.25, true),
            (vec![slow, alarm(Channel::Composition)], 0.25, true),
            (vec![alarm(Channel::OriginCost), slow_mix], 0.25, false),
        ] {
            let mut watch = Watch::default();
            watch.step(&[slow, stress], false, true, 0.25);
            assert_eq!(watch.state(), MIXED, "before there was an incident it is a volume");
            (0..20).for_each(|_| {
                watch.step(&[slow], false, true, 0.25);
            });
            assert_eq!(watch.state(), TrafficState::Recovery);
            let ticks = (pressed_s * 4.0) as usize;
            let began = (0..ticks).any(|_| watch.step(&alarms, true, true, 0.25));
            assert_eq!(began, want, "{alarms:?} for {pressed_s} s");
        }
    }

    #[test]
    fn a_sum_runs_down_until_it_has_though_the_incident_is_over() {
        let slow = [Alarm { scale: Scale::Slow, ..alarm(Channel::Requests) }];
        let mut watch = Watch::default();
        watch.step(&[slow[0], alarm(Channel::OriginStress)], false, true, 0.25);
        (0..4 * 70).for_each(|_| {
            watch.step(&slow, false, true, 0.25);
        });
        assert_eq!(watch.state(), TrafficState::Watch, "the incident is over");
        let mut begins = |alarms: &[Alarm]| {
            let begun = (0..3).any(|_| watch.step(alarms, true, true, 0.25));
            watch.step(alarms, false, true, 0.25);
            begun
        };
        assert!(!begins(&slow), "the same sum");
        let other = Alarm { channel: Channel::OriginBound, ..slow[0] };
        assert!(begins(&[slow[0], other]), "another one");
    }

    #[test]
    fn a_sum_that_was_quiet_or_stays_for_two_minutes_runs_down_no_more() {
        let slow = [Alarm { scale: Scale::Slow, ..alarm(Channel::Requests) }];
        for (between, after_s, want) in
            [(&slow[..], 70.0, false), (&slow[..], 128.0, true), (&[][..], 70.0, true)]
        {
            let mut watch = Watch::default();
            watch.step(&[slow[0], alarm(Channel::OriginStress)], false, true, 0.25);
            (0..(after_s * 4.0) as u32).for_each(|_| {
                watch.step(&slow, false, true, 0.25);
            });
            watch.step(between, false, true, 0.25);
            let begins = (0..3).any(|_| watch.step(&slow, true, true, 0.25));
            assert_eq!(begins, want, "{} sums after {after_s} s", between.len());
        }
    }

    #[test]
    fn sums_hold_an_alarm_that_began_anew() {
        let sums = [Channel::Requests, Channel::Composition]
            .map(|channel| Alarm { scale: Scale::Slow, ..alarm(channel) });
        let mut watch = Watch::default();
        let mut steps = |alarms: &[Alarm], count: u32| {
            (0..count).for_each(|_| {
                watch.step(alarms, false, true, 0.25);
            });
            watch.state()
        };
        steps(&[alarm(Channel::Resets)], 1);
        assert_eq!(steps(&sums[..1], 40), TrafficState::Recovery);
        assert_eq!(steps(&sums, 4), TrafficState::Recovery, "they may run down");
        steps(&[alarm(Channel::Resets)], 1);
        assert_eq!(steps(&sums, 40), MIXED, "they are of this one");
    }

    #[test]
    fn what_comes_back_within_the_minute_is_the_alarm_again() {
        let mut watch = Watch::default();
        watch.step(&[alarm(Channel::Resets)], false, false, 0.25);
        (0..40).for_each(|_| {
            watch.step(&[], false, false, 0.25);
        });
        assert_eq!(watch.state(), TrafficState::Recovery);
        assert!(watch.step(&[alarm(Channel::Resets)], false, false, 0.25));
    }
}
