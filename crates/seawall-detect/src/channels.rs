//! Thirteen channels, each watched on three scales.
//!
//! Signal: counts of a window, and two levels (composition, stress). What is ordinary is an average over five minutes, in
//! seconds and not in ticks (a gain per tick lags behind the daily cycle on the slow scale and alarms
//! each morning), moved along by the season. Trip: [`Cusum`]. Cold start: until ten minutes are learned, a
//! prior that fades stands in, and a level says nothing in its first two. An alarm ends with the span that is as
//! allowed: a sum that has not run down yet is none. Nothing is learned while a sum is past half of its bar or
//! the detector holds on; outliers are learned as four deviations. Recovery: what stays for ten minutes without
//! being an alarm is the new ordinary. Blind spots: what grows slower than the average follows; what
//! stays below the allowance.
//!
//! *Source:* detection.md §3.

use alloc::vec::Vec;

use seawall_model::WallTime;

use crate::cusum::{Bar, Cusum, Spread, anscombe};
use crate::finding::{Alarm, Channel, Scale};
use crate::seasonal::{self, Rates, Seasonal};

/// How many channels there are.
pub(crate) const COUNT: usize = Channel::ALL.len();

/// What one tick says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// How long it was, in seconds.
    pub(crate) seconds: f64,
    /// When it was, for the season.
    pub(crate) wall: WallTime,
    /// By [`Channel::index`]: how many there were, or how high the level is; `None` if that is not known.
    pub(crate) values: [Option<f64>; COUNT],
    /// What is taken for ordinary per second before anything is known.
    pub(crate) priors: [f64; COUNT],
}

/// Whether something may be learned from a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learning {
    /// As far as a channel itself finds it ordinary.
    Ordinary,
    /// Nothing: there is an attack.
    Held,
}

/// All channels.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    tracks: [Track; COUNT],
    seasonal: Seasonal,
    rates: Rates,
    season_at: Option<WallTime>,
}

/// A clock that goes astray by more than this between two ticks has jumped.
const JUMP_S: f64 = 60.0;

impl Channels {
    pub(crate) fn new() -> Self {
        Self {
            tracks: core::array::from_fn(|_| Track::new()),
            seasonal: Seasonal::new(),
            rates: [None; seasonal::CHANNELS],
            season_at: None,
        }
    }

    /// Takes a tick.
    pub(crate) fn step(&mut self, reading: &Reading, learning: Learning) {
        self.move_season(reading);
        let is_mute = self.is_mute(reading);
        let mut learned = [None; seasonal::CHANNELS];
        for channel in Channel::ALL {
            let index = channel.index();
            let track = &mut self.tracks[index];
            // A level that is not known any more is no alarm any more.
            let (value, learning) = match reading.values[index] {
                Some(value) => (value, learning),
                None if is_level(channel) => (track.level, Learning::Held),
                None => continue,
            };
            let taken = Taken {
                value,
                seconds: reading.seconds,
                prior: reading.priors[index],
                learning,
                is_mute: is_mute && is_of_arrivals(channel),
            };
            let is_learned = track.step(channel, &taken);
            if is_learned && index < seasonal::CHANNELS {
                learned[index] = Some(value);
            }
        }
        self.seasonal.learn(&learned, reading.seconds, reading.wall);
    }

    /// Whether many come who ask for nothing: connections by the hundred, and not nearly as many requests more than
    /// ordinary. Readers ask for a page at least with each connection.
    fn is_mute(&self, reading: &Reading) -> bool {
        let beyond = |channel: Channel| {
            let index = channel.index();
            let expected = self.tracks[index].expected(reading.priors[index]) * reading.seconds;
            reading.values[index].map(|value| (value, value - expected))
        };
        let Some((_, asked)) = beyond(Channel::Requests) else { return false };
        ARRIVALS.into_iter().filter_map(beyond).any(|(value, more)| {
            value >= MUTE_PER_S * reading.seconds && more > MUTE_TIMES * asked.max(0.0)
        })
    }

    /// Moves what is ordinary along with the week. A clock that jumped moves only the place in the week.
    fn move_season(&mut self, reading: &Reading) {
        let went = self
            .season_at
            .map(|at| reading.wall.unix_nanos() as f64 / 1e9 - at.unix_nanos() as f64 / 1e9);
        self.season_at = Some(reading.wall);
        let rates = self.seasonal.rates(reading.wall);
        let before = core::mem::replace(&mut self.rates, rates);
        if went.is_none_or(|went| libm::fabs(went - reading.seconds) > JUMP_S) {
            self.seasonal.forget_slot();
            return;
        }
        for (track, (from, to)) in self.tracks.iter_mut().zip(before.into_iter().zip(rates)) {
            track.level *= seasonal::change(from, to);
        }
    }

    /// What is out of the ordinary.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (channel, track) in Channel::ALL.into_iter().zip(&self.tracks) {
            for (scale, span) in Scale::ALL.into_iter().zip(&track.spans) {
                if track.is_alarmed(channel, scale) {
                    let (observed, expected) = (span.observed, span.expected);
                    alarms.push(Alarm { channel, scale, observed, expected });
                }
            }
        }
        alarms
    }

    /// What is ordinary now, per second.
    pub(crate) fn expected(&self, channel: Channel, prior: f64) -> f64 {
        self.tracks[channel.index()].expected(prior)
    }

    /// Whether what is ordinary was learned, and is no prior any more.
    pub(crate) fn is_known(&self) -> bool {
        self.tracks[Channel::Requests.index()].learned_s >= PRIOR_S
    }

    /// Whether any channel is too far from the ordinary to learn from.
    pub(crate) fn is_rising(&self) -> bool {
        Channel::ALL.into_iter().zip(&self.tracks).any(|(channel, track)| track.is_rising(channel))
    }

    /// Bytes on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.seasonal.heap_bytes()
    }

    /// The seasons, to keep.
    pub(crate) const fn seasonal(&self) -> &Seasonal {
        &self.seasonal
    }

    /// What the channels learned, to keep: [`PARTS`] numbers each.
    pub(crate) fn parts(&self) -> impl Iterator<Item = f64> + '_ {
        self.tracks.iter().flat_map(|track| {
            let [fast, middle, slow] = track.spans.each_ref().map(|span| span.spread.parts());
            let spreads = [fast, middle, slow].into_iter().flatten();
            [track.level, track.learned_s].into_iter().chain(spreads)
        })
    }

    /// From what was kept. `None` if it is not that.
    pub(crate) fn from_parts(
        mut parts: impl Iterator<Item = f64>,
        seasonal: Seasonal,
    ) -> Option<Self> {
        let mut channels = Self { seasonal, ..Self::new() };
        for track in &mut channels.tracks {
            let mut numbers = [0.0; PARTS];
            for number in &mut numbers {
                *number = parts.next()?;
            }
            let [level, learned_s, ..] = numbers;
            if !(0.0..1e12).contains(&level) || !(0.0..1e12).contains(&learned_s) {
                return None;
            }
            (track.level, track.learned_s) = (level, learned_s);
            for (span, parts) in track.spans.iter_mut().zip(numbers[2..].chunks_exact(3)) {
                span.spread = Spread::from_parts([parts[0], parts[1], parts[2]])?;
            }
        }
        Some(channels)
    }
}

/// Numbers that are kept of a channel.
pub(crate) const PARTS: usize = 11;

/// One channel.
#[derive(Clone, Debug)]
struct Track {
    /// What is ordinary now: per second, or the level.
    level: f64,
    /// From how much time that was learned.
    learned_s: f64,
    /// For how long a sum has been too high to learn.
    risen_s: f64,
    /// What was observed in the last spans of the middle scale, and whether all of them together were above what
    /// is allowed for on the slow one.
    lately: [f64; LATELY],
    turn: usize,
    is_lately_beyond: bool,
    spans: [Span; Scale::ALL.len()],
}

/// What one channel is told of a tick.
struct Taken {
    value: f64,
    seconds: f64,
    prior: f64,
    learning: Learning,
    /// Whether those who come ask for nothing.
    is_mute: bool,
}

/// One channel on one scale.
#[derive(Clone, Debug, Default)]
struct Span {
    seconds: f64,
    sum: f64,
    cusum: Cusum,
    spread: Spread,
    observed: f64,
    expected: f64,
    /// By how much the last span was above what is allowed for; below 0 it was not.
    beyond: f64,
}

/// What residuals may be without any cause.
#[derive(Clone, Copy)]
struct Chance {
    deviation: f64,
    drift: f64,
}

/// How many deviations of what drags on are allowed for.
const DRIFTS: f64 = 1.5;
/// Spans of the middle scale: what was as allowed for eight seconds is no alarm any more, though the last sixteen as a
/// whole were not.
const LATELY: usize = 4;
/// Seconds over which the ordinary is averaged (detection.md §3).
const AVERAGE_S: f64 = 300.0;
/// Seconds until the prior is gone.
const PRIOR_S: f64 = 600.0;
/// Seconds after which outliers are known as such.
const WARM_S: f64 = 60.0;
/// Seconds that a level needs before it can be out of the ordinary: it has no prior.
const LEVEL_ARMED_S: f64 = 120.0;
/// What stays for so many seconds without being an alarm is ordinary.
const ACCEPTED_S: f64 = 600.0;

impl Track {
    fn new() -> Self {
        Self {
            level: 0.0,
            learned_s: 0.0,
            risen_s: 0.0,
            lately: [0.0; LATELY],
            turn: 0,
            is_lately_beyond: false,
            spans: Default::default(),
        }
    }

    fn expected(&self, prior: f64) -> f64 {
        self.level.max(prior * (1.0 - self.learned_s / PRIOR_S).max(0.0))
    }

    /// Takes a tick; whether it was ordinary enough to learn from.
    fn step(&mut self, channel: Channel, taken: &Taken) -> bool {
        let Taken { value, seconds, prior, learning, is_mute } = *taken;
        let is_rising = self.is_rising(channel);
        self.risen_s = if is_rising { self.risen_s + seconds } else { 0.0 };
        let is_ordinary =
            learning == Learning::Ordinary && (!is_rising || self.risen_s > ACCEPTED_S);
        let expected = if is_level(channel) { self.level } else { self.expected(prior) };
        let is_armed = !is_level(channel) || self.learned_s >= LEVEL_ARMED_S;
        let chances = self.chances();
        for scale in Scale::ALL {
            let span = &mut self.spans[scale.index()];
            span.seconds += seconds;
            span.sum += if is_level(channel) { value * seconds } else { value };
            // A tick early is better than one late: 1.9 s are two seconds.
            if span.seconds + seconds / 2.0 < length_s(scale) {
                continue;
            }
            let over_s = span.seconds.max(1e-6);
            let ordinary = self.level;
            let observed = span.close();
            if is_armed {
                let mut bar = bar(scale, expected, channel);
                if is_mute && scale == Scale::Fast {
                    bar.max_step = bar.max_step.max(MUTE_STEP);
                }
                span.judge((channel, &bar), expected, over_s, chances[scale.index()]);
            }
            if scale == Scale::Middle {
                self.turn = (self.turn + 1) % LATELY;
                self.lately[self.turn] = observed;
                let mean = self.lately.iter().sum::<f64>() / LATELY as f64;
                let seconds = over_s * LATELY as f64;
                let slow = chances[Scale::Slow.index()];
                let beyond = residual(channel, mean, expected, seconds)
                    - slow.drift / core::f64::consts::SQRT_2;
                let allowance = bar(Scale::Slow, expected, channel).allowance;
                self.is_lately_beyond = beyond > allowance * slow.deviation;
            }
            // The spread is learned also of what is too high for the average: else only what is
            // narrow would ever be learned, and more and more would seem too high.
            if learning == Learning::Ordinary {
                span.spread.learn(residual(channel, observed, ordinary, over_s), over_s);
                if scale == Scale::Middle && is_ordinary {
                    self.learn(channel, observed, over_s);
                }
            }
        }
        is_ordinary
    }

    fn learn(&mut self, channel: Channel, observed: f64, seconds: f64) {
        self.learned_s += seconds;
        let observed = if self.learned_s < WARM_S {
            observed
        } else {
            let deviation = self.spans[Scale::Middle.index()].spread.of_one();
            observed.min(outlier(channel, self.level, seconds, 4.0 * deviation))
        };
        let gain = (seconds / AVERAGE_S).max(seconds / self.learned_s).min(1.0);
        self.level += gain * (observed - self.level);
    }

    /// What is chance on each scale, and what drags on for minutes: what lasts longer than 16 seconds shows
    /// between neighbours on the slow scale, and is the same part of the rate, and so a smaller one
    /// of the chance, on the others.
    fn chances(&self) -> [Chance; Scale::ALL.len()] {
        let [fast, middle, slow] = self.spans.each_ref().map(|span| span.spread);
        let drift = DRIFTS * slow.of_drift();
        [
            Chance { deviation: fast.of_many().max(middle.of_one()), drift: drift / 8.0 },
            Chance {
                deviation: middle.of_many().max(slow.of_one()),
                drift: drift / core::f64::consts::SQRT_2 / 2.0,
            },
            Chance { deviation: slow.of_one(), drift },
        ]
    }

    fn is_rising(&self, channel: Channel) -> bool {
        Scale::ALL
            .into_iter()
            .zip(&self.spans)
            .any(|(scale, span)| span.cusum.is_rising(&bar(scale, span.expected, channel)))
    }

    fn is_alarmed(&self, channel: Channel, scale: Scale) -> bool {
        let span = &self.spans[scale.index()];
        span.cusum.is_alarmed(&bar(scale, span.expected, channel))
            && span.cusum.excess() >= min_excess(channel)
            && span.beyond > 0.0
            && (scale != Scale::Slow || self.is_lately_beyond)
            && span.observed > span.expected
            && span.observed >= matters_from(channel, scale)
    }
}

impl Span {
    /// Ends the span: its mean per second, or its mean level.
    fn close(&mut self) -> f64 {
        self.observed = self.sum / self.seconds.max(1e-6);
        (self.seconds, self.sum) = (0.0, 0.0);
        self.observed
    }

    /// Takes what was observed into the sum of what is too much.
    fn judge(
        &mut self,
        (channel, bar): (Channel, &Bar),
        expected: f64,
        seconds: f64,
        chance: Chance,
    ) {
        self.expected = expected;
        let residual = residual(channel, self.observed, expected, seconds);
        let residual = (residual - chance.drift) / chance.deviation;
        let excess = (self.observed - expected) * seconds;
        self.beyond = residual - bar.allowance;
        self.cusum.step(residual, excess, bar);
    }
}

/// Channels of a level and not of counts.
const fn is_level(channel: Channel) -> bool {
    matches!(channel, Channel::Composition | Channel::OriginStress)
}

/// What counts who comes and not what they ask for.
const ARRIVALS: [Channel; 2] = [Channel::Connections, Channel::Handshakes];

fn is_of_arrivals(channel: Channel) -> bool {
    ARRIVALS.contains(&channel)
}

/// The least deviation of a level: three hundredths of a bit (two days of a lively small site had a tenth at
/// most, and floods have half a bit), and the wait that a queue is meant to have.
const fn unit(channel: Channel) -> f64 {
    if matches!(channel, Channel::OriginStress) { 20.0 } else { 0.03 }
}

/// Before it is divided by its spread. Of rates per second.
fn residual(channel: Channel, observed: f64, expected: f64, seconds: f64) -> f64 {
    if is_level(channel) {
        (observed - expected) / unit(channel)
    } else {
        anscombe(observed * seconds, expected * seconds)
    }
}

/// The rate or level of which the residual is `bound`.
fn outlier(channel: Channel, expected: f64, seconds: f64, bound: f64) -> f64 {
    if is_level(channel) {
        return expected + bound * unit(channel);
    }
    let root = libm::sqrt(expected * seconds + 0.375) + bound / 2.0;
    (root * root - 0.375) / seconds
}

const fn length_s(scale: Scale) -> f64 {
    match scale {
        Scale::Fast => 0.25,
        Scale::Middle => 2.0,
        Scale::Slow => 16.0,
    }
}

/// Allowances and bars of detection.md §3, by its simulation; busy sites need the higher bar on the middle
/// scale, where chance has more to add up.
fn bar(scale: Scale, expected_per_s: f64, channel: Channel) -> Bar {
    let is_busy = expected_per_s > 150.0 && !is_level(channel);
    match scale {
        Scale::Fast => fast_bar(expected_per_s, channel),
        Scale::Middle => {
            Bar { allowance: 0.5, decision: if is_busy { 16.0 } else { 12.0 }, max_step: 0.55 }
        }
        Scale::Slow => Bar { allowance: 0.5, decision: 10.0, max_step: 0.55 },
    }
}

/// Where a window ordinarily holds a dozen requests, two full ones are an alarm. Where it holds one, it takes ten,
/// each of which need not be that full: a single page with a hundred images fills eight. What abuses a protocol is
/// no page, and is told as fast everywhere, if it is as much as [`ABUSE_PER_S`].
fn fast_bar(expected_per_s: f64, channel: Channel) -> Bar {
    let is_coarse = is_level(channel) || channel.is_abuse();
    let part = if is_coarse { 1.0 } else { ((expected_per_s - 5.0) / 45.0).clamp(0.0, 1.0) };
    Bar { allowance: 0.5 + 0.5 * part, decision: 10.0, max_step: 0.1 + 0.45 * part }
}

/// From so many connections a second on they are too many to be a few readers' who came at once.
const MUTE_PER_S: f64 = 400.0;
/// More of them than ordinary, by the requests more than ordinary.
const MUTE_TIMES: f64 = 2.0;
/// With [`Bar::max_step`]: three windows, and not two, of connections without requests are an alarm. After a
/// disturbance of the line those of all readers come at once, and half a second goes by before they ask.
const MUTE_STEP: f64 = 0.35;

/// How many more than ordinary there have to be before it matters at all, however sure it is: a
/// few failed handshakes where there are never any are no attack.
const fn min_excess(channel: Channel) -> f64 {
    match channel {
        Channel::Composition | Channel::OriginStress => 0.0,
        Channel::OriginCost => 1_000.0,
        Channel::HandshakeFailures | Channel::Resets | Channel::SlowConnections => 100.0,
        _ => 30.0,
    }
}

/// What takes no more than two windows to be called abuse.
const ABUSE_PER_S: f64 = 1_000.0;

/// A rate that is nobody's business, however far from the ordinary: a small site has a dozen readers in a minute and
/// then none for an hour, and a server that cannot bear five requests a second says so by its stress. In a window
/// alone, ten requests.
const fn matters_from(channel: Channel, scale: Scale) -> f64 {
    let per_s = match scale {
        Scale::Fast => 40.0,
        Scale::Middle => 5.0,
        Scale::Slow => 2.5,
    };
    match channel {
        Channel::Composition | Channel::OriginStress => 0.0,
        // Whoever leaves two pages of a hundred pictures resets as many streams at once.
        _ if channel.is_abuse() && matches!(scale, Scale::Fast) => ABUSE_PER_S,
        // As many as take a twentieth of one processor.
        Channel::OriginCost => 10.0 * per_s,
        _ => per_s,
    }
}

#[cfg(test)]
mod tests;
