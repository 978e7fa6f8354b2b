//! How many requests an origin can bear at once, found by measuring.
//!
//! After Vegas (Brakmo and Peterson 1995), which Netflix's `concurrency-limits` applies to servers: the
//! limit `L` rises while the origin is less than 1.3 times as slow as at low load and falls, to where it
//! should be 1.5 times, when it is more than 1.7 times. Why not by the published bounds, and what each of
//! the following is for, is in decision 0010.
//!
//! * Latencies are multiples of what the same template takes at low load ([`TemplateCosts`]), and only
//!   successful ones count.
//! * Low load is a third of `L`: at the limits that are settled on at most two thirds of what the origin
//!   works on at once. In calm it is seen for nothing. While readers wait, the limit is lowered to it for
//!   some eight requests, soon again when something has changed, else so seldom that it costs 2 % of the work,
//!   but once a minute at least.
//!   What is slower or faster than all that was measured before replaces it.
//! * Slowdown is looked at for the limit as it is now, not as it was when those requests began: so the limit
//!   does not run ahead of what is measured, however few answers a second there are.
//! * The noisier latencies are and the fewer of them are known, the more it takes to lower the limit, and it
//!   never falls below 1.2 times what the origin is seen to work on (Little's law).
//! * Nothing is learnt of what is answered beside more dear pages than may be at work: they were let in by a limit
//!   that has fallen since, and what they take from others is over when they are.
//! * The covariance guard of Cinnamon: where more requests at work did not bring more answers, the
//!   limit does not rise; where they bring more and latency is below double, it does not fall.
//!
//! Failures: above 10 % of time-outs and server errors in a window, and two at least, `L` is cut to
//! 70 %, and does not rise for a second. In one second it never falls below half. A template that
//! fails at low load as well, while most others do not, says nothing about load and is not counted,
//! or anybody who finds such a page could close the site.
//!
//! It does **not** know who asks; that is [`crate::OriginGate`]. No allocation after construction.

use core::time::Duration;

use seawall_model::Instant;

use crate::costs::{Answered, Load, TemplateCosts};
use crate::speed::median;

/// The range of an [`AdaptiveLimiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveConfig {
    /// Never fewer at once. With `min == max` the limit stands still.
    pub min: usize,
    /// Never more at once.
    pub max: usize,
    /// Templates whose cost is remembered.
    pub max_templates: usize,
}

/// How a request to an origin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkOutcome {
    /// An answer that is no server error.
    Success,
    /// An answer with a status of 500 or above, or a connection that was refused or broken.
    ServerError,
    /// No answer in time.
    TimedOut,
    /// It says nothing: the client left, or the time was not the origin's.
    Unknown,
}

/// One request that ended, as the limiter sees it.
#[derive(Clone, Copy, Debug)]
pub struct WorkSample {
    /// What was asked for, as [`crate::Templater`] names it.
    pub template: u64,
    /// From the permit to the end of the origin's work.
    pub latency: Duration,
    /// How it ended.
    pub outcome: WorkOutcome,
    /// Requests at work when it began, itself included.
    pub in_flight_at_start: usize,
    /// Whether more dear pages than may be were at work beside it: the limit fell under them.
    pub is_beside_dear: bool,
}

/// The limiter of one origin.
#[derive(Debug)]
pub struct AdaptiveLimiter {
    config: AdaptiveConfig,
    costs: TemplateCosts,
    limit: f32,
    window: Window,
    /// Latency as a multiple of that at low load, smoothed.
    slowdown: f32,
    /// Requests at work, smoothed alike, and the part of the limit that is made use of.
    work: f32,
    fill: f32,
    /// Requests that the origin works on at once, as far as that shows in how much it gets done (Little's law).
    busy: f32,
    moments: Moments,
    /// Windows in a row that raised the limit.
    rises: u32,
    no_rise_before: Instant,
    /// When the current second began, and the limit then.
    second: (Instant, f32),
    probe: Probe,
    /// What the last requests took.
    recent: Recent,
    /// Between two probes.
    every: Duration,
    /// Limit and slowdown when the last probe ended.
    settled: (f32, f32),
    /// The limit was to fall when it was last looked at.
    is_strained: bool,
    /// Since when answers come beside more dear pages than may be.
    beside_dear_since: Option<Instant>,
    /// Somebody had to wait since this time.
    limited_since: Option<Instant>,
    limited_at: Instant,
}

impl AdaptiveLimiter {
    /// Starts at 8, or the nearest in the range. A `max` of 0 counts as 1, a `min` above `max` as `max`.
    pub fn new(config: AdaptiveConfig) -> Self {
        let config = normalised(config);
        let start = START.clamp(config.min, config.max) as f32;
        let zero = Instant::from_nanos(0);
        Self {
            config,
            costs: TemplateCosts::new(config.max_templates),
            limit: start,
            window: Window::new(),
            slowdown: 1.0,
            work: 1.0,
            fill: 0.0,
            busy: 0.0,
            moments: Moments::default(),
            rises: 0,
            no_rise_before: zero,
            second: (zero, start),
            probe: Probe::Idle { next: None },
            recent: Recent::default(),
            every: FIRST_PROBE_EVERY,
            settled: (start, 1.0),
            is_strained: false,
            beside_dear_since: None,
            limited_since: None,
            limited_at: zero,
        }
    }

    /// Whether the limit found is as low as it may be, and could be higher.
    pub fn is_at_floor(&self) -> bool {
        self.config.min < self.config.max && self.steady_limit() <= self.config.min
    }

    /// Whether low load is being measured now.
    pub const fn is_probing(&self) -> bool {
        matches!(self.probe, Probe::Running { .. })
    }

    /// Requests that may be at work now: the limit found, or a third of it while low load is measured.
    pub fn limit(&self) -> usize {
        match self.probe {
            Probe::Idle { .. } => self.steady_limit(),
            Probe::Running { .. } => self.low(),
        }
    }

    /// So few that none waits for another.
    fn low(&self) -> usize {
        let limit = self.steady_limit();
        (if self.is_unsure() { limit / 4 } else { (limit + 1) / 3 }).max(1)
    }

    /// The limit found, whether or not low load is being measured now.
    pub fn steady_limit(&self) -> usize {
        (self.limit as usize).clamp(self.config.min, self.config.max)
    }

    /// Whether low load was hardly measured yet: then a limit may be far from what is right for it.
    const fn is_unsure(&self) -> bool {
        self.costs.lows() < UNSURE
    }

    /// The range.
    pub const fn config(&self) -> AdaptiveConfig {
        self.config
    }

    /// What templates cost.
    pub const fn costs(&self) -> &TemplateCosts {
        &self.costs
    }

    /// How much slower the origin is than at low load; about 1 when it is not loaded.
    pub const fn slowdown(&self) -> f32 {
        self.slowdown
    }

    /// Takes another range into force; the costs stay.
    pub fn reconfigure(&mut self, config: AdaptiveConfig) {
        self.config = normalised(config);
        self.limit = self.limit.clamp(self.config.min as f32, self.config.max as f32);
        if self.is_pinned() {
            self.limit = self.config.max as f32;
            self.probe = Probe::Idle { next: None };
        }
    }

    /// Somebody had to wait, or was refused, because of the limit. Only then may it rise: an origin
    /// that nobody presses shows nothing.
    pub fn note_limited(&mut self, now: Instant) {
        self.window.limited = true;
        if self.limited_since.is_none() || now.saturating_since(self.limited_at) > CALM {
            self.limited_since = Some(now);
        }
        self.limited_at = now;
    }

    /// Somebody who does not look like an attack had `template`.
    pub(crate) fn note_wanted(&mut self, template: u64) {
        self.costs.note_wanted(template);
    }

    /// Takes one request that ended. O(1); every window a median of at most 50 values more, in a
    /// probe one of 15.
    pub fn observe(&mut self, now: Instant, sample: WorkSample) {
        let answered = match sample.outcome {
            WorkOutcome::Unknown => return,
            WorkOutcome::Success => Answered::Well,
            WorkOutcome::ServerError | WorkOutcome::TimedOut => Answered::Failed,
        };
        let always_fails = self.costs.fails_always(sample.template);
        let is_for_dear = self.is_slow_for_dear(now, sample);
        let half = (self.steady_limit() / 2).max(self.config.min);
        let load = if sample.in_flight_at_start <= half { Load::Low } else { Load::High };
        self.costs.note_answer(sample.template, answered, load);
        self.window.begin(now);
        self.window.total += 1;
        self.window.in_flight += sample.in_flight_at_start as f32;
        match sample.outcome {
            // A limit that followed it would fall to its floor, and dear pages at work do not end sooner for that.
            WorkOutcome::Success if is_for_dear => self.slowdown = self.slowdown.min(AIM),
            WorkOutcome::Success => self.observe_latency(now, sample),
            WorkOutcome::ServerError | WorkOutcome::TimedOut if !always_fails => {
                self.window.failures += 1;
            }
            WorkOutcome::ServerError | WorkOutcome::TimedOut | WorkOutcome::Unknown => {}
        }
        if !self.is_pinned() {
            if !is_for_dear {
                self.run_probe(now);
            }
            if self.window.is_over(now) {
                self.close_window(now);
            }
        }
    }

    /// Whether how long it took says more of dear pages that were let in before than of how much is at work now. Not
    /// for ever: one that hangs must not leave the limit without a measure.
    fn is_slow_for_dear(&mut self, now: Instant, sample: WorkSample) -> bool {
        if !sample.is_beside_dear {
            self.beside_dear_since = None;
            return false;
        }
        now.saturating_since(*self.beside_dear_since.get_or_insert(now)) < BESIDE_DEAR
    }

    const fn is_pinned(&self) -> bool {
        self.config.min == self.config.max
    }

    fn observe_latency(&mut self, now: Instant, sample: WorkSample) {
        let latency_us = sample.latency.as_nanos() as f32 / 1_000.0;
        self.recent.note(latency_us);
        let load = self.load_of(now, sample);
        let ratio = self.learn(|costs| costs.note_latency(sample.template, latency_us, load));
        match &mut self.probe {
            Probe::Running { until, steady_from: Some(_), .. } => {
                *until = now + self.recent.patience();
            }
            Probe::Running { .. } => {}
            Probe::Idle { .. } => self.window.push(ratio, latency_us),
        }
    }

    /// After `step` there may be another norm: what was measured by the old one is restated.
    fn learn<R>(&mut self, step: impl FnOnce(&mut TemplateCosts) -> R) -> R {
        let before = self.costs.speed();
        let result = step(&mut self.costs);
        self.slowdown *= before / self.costs.speed();
        // Of another unit slowdown knows nothing.
        self.costs.rescale();
        result
    }

    /// How loaded the origin was with `sample`, for what is learnt of low load.
    fn load_of(&mut self, now: Instant, sample: WorkSample) -> Load {
        if sample.in_flight_at_start > self.low() {
            return Load::High;
        }
        let Probe::Running { steady_from, .. } = &mut self.probe else { return Load::Low };
        // Of those that begin when a probe does, the quick ones end first: they say too little.
        let known = Duration::from_micros(self.costs.overall_us() as u64);
        let from = *steady_from.get_or_insert_with(|| now + known * 2);
        if now >= from { Load::Low } else { Load::High }
    }

    /// Ends a probe whose time is over, when nothing came back that could end it.
    pub fn tick(&mut self, now: Instant) {
        if let Probe::Running { since, until, .. } = self.probe
            && (now >= until || now >= since + PROBE_AT_MOST)
        {
            self.end_probe(now, since);
        }
    }

    fn run_probe(&mut self, now: Instant) {
        match self.probe {
            Probe::Running { since, lows, .. } => {
                if self.costs.lows() - lows < PROBE_SAMPLES {
                    self.tick(now);
                } else {
                    self.end_probe(now, since);
                }
            }
            Probe::Idle { next } => {
                let Some(since) = self.limited_since else { return };
                if now.saturating_since(self.limited_at) > CALM {
                    self.limited_since = None;
                    return;
                }
                let due = match next {
                    None if self.costs.overall_us() == 0.0 => since,
                    None => since + FIRST_PROBE,
                    Some((at, _)) if !self.has_moved() => at,
                    Some((_, soonest)) => soonest,
                };
                if now < due {
                    return;
                }
                let until = now + self.recent.patience();
                self.costs.begin_batch();
                let lows = self.costs.lows();
                self.probe = Probe::Running { since: now, until, steady_from: None, lows };
            }
        }
    }

    fn end_probe(&mut self, now: Instant, since: Instant) {
        self.learn(TemplateCosts::end_batch);
        let lasted = now.saturating_since(since);
        let factor = if self.costs.doubt().1 < KNOWN { 12 } else { 25 };
        let least = lasted * if self.is_unsure() { 4 } else { 8 };
        let least = least.clamp(FIRST_PROBE_EVERY, PROBE_EVERY_AT_MOST);
        self.every = if self.has_moved() {
            least
        } else {
            let seldom = (lasted * factor).clamp(PROBE_EVERY, PROBE_EVERY_AT_MOST);
            (self.every * 2).clamp(least, seldom)
        };
        let soonest = now + least;
        self.probe = Probe::Idle { next: Some((now + self.every, soonest)) };
        self.settled = (self.limit, self.slowdown);
        self.window = Window::new();
    }

    /// Whether limit or slowdown are so different from what they were that it may be for a wrong norm.
    fn has_moved(&self) -> bool {
        let (limit, slowdown) = self.settled;
        let by = (self.limit - limit).abs();
        self.is_strained
            || by > (0.4 * limit).max(2.0)
            || !(0.66..=1.5).contains(&(self.slowdown / slowdown))
    }

    fn close_window(&mut self, now: Instant) {
        let elapsed =
            now.saturating_since(self.window.began.unwrap_or(now)).as_secs_f32().max(1e-3);
        let window = core::mem::replace(&mut self.window, Window::new());
        if now.saturating_since(self.second.0) >= Duration::from_secs(1) {
            self.second = (now, self.limit);
        }
        let total = window.total as f32;
        if window.failures >= MIN_FAILURES && window.failures * 10 > window.total {
            self.lower_to(self.limit * 0.7);
            self.no_rise_before = now + Duration::from_secs(1);
            self.rises = 0;
            return;
        }
        let limited = window.limited;
        let in_flight = window.in_flight / total;
        // A probe is not how the origin answers to more or less work: its queue runs dry first.
        if window.successes > 0 && matches!(self.probe, Probe::Idle { .. }) {
            self.moments.add(in_flight, total / elapsed);
        }
        let weight = (window.successes as f32 * SAMPLE_WEIGHT).min(WINDOW_WEIGHT);
        let busy = window.work_us / 1e6 / elapsed * (total - 1.0) / total;
        let Some(ratio) = window.median().filter(|_| self.costs.overall_us() > 0.0) else { return };
        self.slowdown += weight * (ratio - self.slowdown);
        self.work += weight * (in_flight - self.work);
        self.busy += (busy - self.busy) / 16.0;
        let limit = self.steady_limit() as f32;
        let fill = (in_flight / limit).min(1.0);
        self.fill = fill.max(self.fill + 0.1 * (fill - self.fill));
        // What was measured is of the limit as it was; this is what it will be as it is now.
        let ahead = self.slowdown * (limit * self.fill / self.work).clamp(0.5, 1.3);
        let ahead = ahead / (1.0 + self.costs.doubt().0);
        let queue = in_flight.min(limit) * (1.0 - 1.0 / ahead.max(1.0));
        let (alpha, beta) = (QUEUE_LOW * limit, QUEUE_HIGH * limit);
        let gain = self.moments.elasticity();
        self.is_strained = queue > beta;
        if self.is_strained {
            self.rises = 0;
            // Not while twice as slow: when an origin loses strength, work and answers fall together.
            let scales = self.slowdown < 2.0 && gain.is_some_and(|gain| gain >= 0.45);
            if !scales {
                self.lower_to((self.limit * AIM / ahead).max(self.busy * LEAST));
            }
        } else if queue < alpha && limited && now >= self.no_rise_before {
            // Dear pages among others make it seem that less gets done the more is at work. An origin that is as
            // quick as at low load bears one more, and is looked at again.
            if self.slowdown < AT_EASE || gain.is_none_or(|gain| gain > 0.1) {
                self.rises += 1;
                // Longer steps the longer it goes well: from 8 to 256 in 7 s, not in 25.
                self.limit = (self.limit + (1 + self.rises / 8) as f32).min(self.config.max as f32);
            }
        } else {
            self.rises = 0;
        }
    }

    fn lower_to(&mut self, limit: f32) {
        let floor = (self.second.1 / 2.0).max(self.config.min as f32);
        self.limit = limit.max(floor).min(self.limit);
    }
}

fn normalised(config: AdaptiveConfig) -> AdaptiveConfig {
    let max = config.max.max(1);
    AdaptiveConfig { max, min: config.min.clamp(1, max), ..config }
}

/// Measuring low load under pressure.
#[derive(Clone, Copy, Debug)]
enum Probe {
    /// When the next one is due, and when at the soonest if something has moved.
    Idle {
        next: Option<(Instant, Instant)>,
    },
    Running {
        since: Instant,
        until: Instant,
        steady_from: Option<Instant>,
        lows: u64,
    },
}

/// What the last latencies were, microseconds.
#[derive(Debug, Default)]
struct Recent {
    mean: f32,
    latencies: [f32; 15],
    len: usize,
    next: usize,
}

impl Recent {
    fn note(&mut self, latency_us: f32) {
        let weight = if self.len == 0 { 1.0 } else { 1.0 / 16.0 };
        self.mean += weight * (latency_us - self.mean);
        self.latencies[self.next] = latency_us;
        self.next = (self.next + 1) % self.latencies.len();
        self.len = (self.len + 1).min(self.latencies.len());
    }

    /// How long a probe waits for an answer at low load: for twice the mean, because where pages are uneven
    /// the last of them take long. But a few slow ones must not hold up all who wait until their time is
    /// over: more than half a second is waited only where most take a third of that.
    fn patience(&self) -> Duration {
        let mut latencies = self.latencies;
        let median = median(&mut latencies[..self.len]).unwrap_or(0.0);
        let micros = |us: f32| Duration::from_micros(us as u64);
        let most = PATIENCE.max(micros(3.0 * median)).min(PROBE_AT_MOST / 2);
        micros(2.0 * self.mean).clamp(Duration::from_millis(20), most)
    }
}

/// The samples since the last update.
#[derive(Debug)]
struct Window {
    began: Option<Instant>,
    ratios: [f32; MAX_SAMPLES],
    successes: usize,
    total: u32,
    failures: u32,
    in_flight: f32,
    limited: bool,
    /// What its requests take of an idle origin, together.
    work_us: f32,
}

impl Window {
    const fn new() -> Self {
        Self {
            began: None,
            ratios: [0.0; MAX_SAMPLES],
            successes: 0,
            total: 0,
            failures: 0,
            in_flight: 0.0,
            limited: false,
            work_us: 0.0,
        }
    }

    fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    fn push(&mut self, ratio: f32, latency_us: f32) {
        self.work_us += latency_us / ratio.max(1e-3);
        if self.successes < MAX_SAMPLES {
            self.ratios[self.successes] = ratio;
            self.successes += 1;
        }
    }

    /// 50 samples, or 100 ms with enough of them for a median that means something, or a second.
    fn is_over(&self, now: Instant) -> bool {
        let Some(began) = self.began else { return false };
        let age = now.saturating_since(began);
        self.total >= MAX_SAMPLES as u32
            || (age >= WINDOW && self.total >= MIN_SAMPLES)
            || age >= LONGEST_WINDOW
    }

    fn median(mut self) -> Option<f32> {
        median(&mut self.ratios[..self.successes])
    }
}

/// Exponentially weighted moments of requests at work and answers per second.
#[derive(Debug, Default)]
struct Moments {
    work: f32,
    rate: f32,
    variance: f32,
    covariance: f32,
    seen: u32,
}

impl Moments {
    fn add(&mut self, work: f32, rate: f32) {
        self.seen = self.seen.saturating_add(1);
        let weight = (1.0 / self.seen as f32).max(1.0 / 16.0);
        let (from_work, from_rate) = (work - self.work, rate - self.rate);
        self.work += weight * from_work;
        self.rate += weight * from_rate;
        self.variance = (1.0 - weight) * (self.variance + weight * from_work * from_work);
        self.covariance = (1.0 - weight) * (self.covariance + weight * from_work * from_rate);
    }

    /// By what part answers rise when work rises by one part: 1 below the knee, 0 beyond it. `None`
    /// while work hardly varied.
    fn elasticity(&self) -> Option<f32> {
        let varied = self.variance > 0.01 * self.work * self.work;
        (self.seen >= 8 && varied && self.rate > 0.0)
            .then(|| self.covariance / self.variance * self.work / self.rate)
    }
}

/// The limit before anything is known (`detection.md` §6).
const START: usize = 8;
const MAX_SAMPLES: usize = 50;
const MIN_SAMPLES: u32 = 5;
/// Of few answers one that failed is no more than chance.
const MIN_FAILURES: u32 = 2;
const WINDOW: Duration = Duration::from_millis(100);
const LONGEST_WINDOW: Duration = Duration::from_secs(1);
/// Weight of a sample, and of a window at most, in the smoothed slowdown.
const SAMPLE_WEIGHT: f32 = 1.0 / 40.0;
const WINDOW_WEIGHT: f32 = 0.4;
/// Part of the limit that may queue in the origin: below the first the limit rises, which is at 1.3 times the
/// latency at low load, above the second, at 1.7 times, it falls.
const QUEUE_LOW: f32 = 0.23;
const QUEUE_HIGH: f32 = 0.41;
/// So little slower than at low load is no slower.
const AT_EASE: f32 = 1.1;
/// Slowdown that it falls to.
const AIM: f32 = 1.5;
/// The limit does not fall below this multiple of what is worked on.
const LEAST: f32 = 1.2;
/// For so long nothing is learnt beside dear pages that the limit fell under.
const BESIDE_DEAR: Duration = Duration::from_secs(10);
/// Nobody waited for this long: pressure is over.
const CALM: Duration = Duration::from_secs(2);
const FIRST_PROBE: Duration = Duration::from_millis(500);
const FIRST_PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Latencies at low load that the first of them are not trusted without.
const UNSURE: u64 = 16;
/// Of how many the norm has to be, for seldom probes.
const KNOWN: usize = 32;
/// Answers at low load that are enough.
const PROBE_SAMPLES: u64 = 8;
const PROBE_AT_MOST: Duration = Duration::from_secs(8);
/// However long probes take, or one that had to be given up would be the last for minutes.
const PROBE_EVERY_AT_MOST: Duration = Duration::from_secs(60);
/// A quarter of what those who wait for a permit are given in the standard configuration.
const PATIENCE: Duration = Duration::from_millis(500);
