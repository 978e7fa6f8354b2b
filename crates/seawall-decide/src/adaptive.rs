//! How many requests an origin can bear at once, found by measuring.
//!
//! Vegas (Brakmo and Peterson 1995) as Netflix's `concurrency-limits` applies it to servers: the
//! origin's own queue is estimated from how much slower it is than at low load, `L * (1 - 1/r)`, and
//! the limit `L` rises while that is below `3 log10 L` and falls above `6 log10 L`. Four things differ:
//!
//! * Latencies are multiples of what the same template takes at low load ([`TemplateCosts`]), and only
//!   successful ones count.
//! * For a small `L` the published bounds let latency more than double; they are capped at 30 % and 43 %
//!   of `L`, where it is 1.4 and 1.75 times that at low load.
//! * The estimate at low load forgets: while readers wait, the limit is halved for about a dozen
//!   requests, at first after 0.5 s and then every 1 to 5 s. Beyond the knee that costs nothing,
//!   below it 2 % of the work. Without it a latency that was measured under load becomes the norm (the
//!   drift that Uber's Cinnamon reports).
//! * The covariance guard of Cinnamon: where more requests at work did not bring more answers, the
//!   limit does not rise; where they bring more in proportion and latency is below double, it does not
//!   fall.
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
    moments: Moments,
    /// Windows in a row that raised or lowered the limit.
    rises: u32,
    falls: u32,
    no_rise_before: Instant,
    /// When the current second began, and the limit then.
    second: (Instant, f32),
    probe: Probe,
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
            moments: Moments::default(),
            rises: 0,
            falls: 0,
            no_rise_before: zero,
            second: (zero, start),
            probe: Probe::Idle { next: None, every: FIRST_PROBE_EVERY },
            limited_since: None,
            limited_at: zero,
        }
    }

    /// Requests that may be at work now: the limit found, or half of it while low load is measured.
    pub fn limit(&self) -> usize {
        let limit = self.steady_limit();
        match self.probe {
            Probe::Idle { .. } => limit,
            Probe::Running { .. } => (limit / 2).max(self.config.min),
        }
    }

    /// The limit found, whether or not low load is being measured now.
    pub fn steady_limit(&self) -> usize {
        (self.limit as usize).clamp(self.config.min, self.config.max)
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
            self.probe = Probe::Idle { next: None, every: FIRST_PROBE_EVERY };
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

    /// Takes one request that ended. O(1); every window a median of at most 50 values more.
    pub fn observe(&mut self, now: Instant, sample: WorkSample) {
        let answered = match sample.outcome {
            WorkOutcome::Unknown => return,
            WorkOutcome::Success => Answered::Well,
            WorkOutcome::ServerError | WorkOutcome::TimedOut => Answered::Failed,
        };
        let always_fails = self.costs.fails_always(sample.template);
        let low = (self.steady_limit() / 2).max(self.config.min);
        let load = if sample.in_flight_at_start <= low { Load::Low } else { Load::High };
        self.costs.note_answer(sample.template, answered, load);
        self.window.begin(now);
        self.window.total += 1;
        self.window.in_flight += sample.in_flight_at_start as f32;
        match sample.outcome {
            WorkOutcome::Success => self.observe_latency(now, sample, load),
            WorkOutcome::ServerError | WorkOutcome::TimedOut if !always_fails => {
                self.window.failures += 1;
            }
            WorkOutcome::ServerError | WorkOutcome::TimedOut | WorkOutcome::Unknown => {}
        }
        if !self.is_pinned() {
            self.run_probe(now);
            if self.window.is_over(now) {
                self.close_window(now);
            }
        }
    }

    const fn is_pinned(&self) -> bool {
        self.config.min == self.config.max
    }

    fn observe_latency(&mut self, now: Instant, sample: WorkSample, load: Load) {
        let latency_us = sample.latency.as_nanos() as f32 / 1_000.0;
        let ratio = self.costs.note_latency(sample.template, latency_us, load);
        match &mut self.probe {
            Probe::Running { since, seen, ratios, .. } => {
                // What began before the limit was halved met a fuller origin.
                if now.saturating_since(*since) >= sample.latency {
                    *seen += 1;
                    *ratios += ratio;
                }
            }
            Probe::Idle { .. } => self.window.push(ratio),
        }
    }

    fn run_probe(&mut self, now: Instant) {
        match self.probe {
            Probe::Running { until, seen, ratios, every, .. } => {
                if seen < PROBE_SAMPLES && now < until {
                    return;
                }
                // A probe that found another latency than expected wants a second look soon.
                let mean = if seen == 0 { 1.0 } else { ratios / seen as f32 };
                let found_news = !(0.8..=1.25).contains(&mean);
                let every =
                    if found_news { FIRST_PROBE_EVERY } else { (every * 2).min(PROBE_EVERY) };
                self.probe = Probe::Idle { next: Some(now + every), every };
                self.window = Window::new();
            }
            Probe::Idle { next, every } => {
                let Some(since) = self.limited_since else { return };
                if now.saturating_since(self.limited_at) > CALM {
                    self.limited_since = None;
                    return;
                }
                let due = next.map_or(since + FIRST_PROBE, |next| next.max(since + FIRST_PROBE));
                if now < due || self.steady_limit() <= self.config.min {
                    return;
                }
                let until = now + PROBE_AT_MOST;
                self.probe = Probe::Running { since: now, until, seen: 0, ratios: 0.0, every };
            }
        }
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
            (self.rises, self.falls) = (0, 0);
            return;
        }
        let limited = window.limited;
        let in_flight = window.in_flight / total;
        self.moments.add(in_flight, total / elapsed);
        let Some(ratio) = window.median() else { return };
        self.slowdown += SMOOTHING * (ratio - self.slowdown);
        let at_work = in_flight.min(self.limit);
        let queue = at_work * (1.0 - 1.0 / self.slowdown.max(1.0));
        // At a limit of 1 the logarithm is 0, and nothing would let it rise again.
        let log = log10(self.limit.max(2.0));
        let (alpha, beta) =
            ((3.0 * log).min(0.30 * self.limit), (6.0 * log).min(0.43 * self.limit));
        let gain = self.moments.elasticity();
        if queue > beta {
            (self.rises, self.falls) = (0, self.falls + 1);
            // Not while twice as slow: when an origin loses strength, work and answers fall together.
            let scales = self.slowdown < 2.0 && gain.is_some_and(|gain| gain >= 0.7);
            if !scales {
                self.lower_to(self.limit - (1 + self.falls / 4) as f32);
            }
        } else if queue < alpha && limited && now >= self.no_rise_before {
            self.falls = 0;
            if gain.is_none_or(|gain| gain > 0.1) {
                self.rises += 1;
                // Longer steps the longer it goes well: from 8 to 256 in 7 s, not in 25.
                self.limit = (self.limit + (1 + self.rises / 8) as f32).min(self.config.max as f32);
            }
        } else {
            (self.rises, self.falls) = (0, 0);
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
    Idle { next: Option<Instant>, every: Duration },
    Running { since: Instant, until: Instant, seen: u32, ratios: f32, every: Duration },
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
        }
    }

    fn begin(&mut self, now: Instant) {
        self.began.get_or_insert(now);
    }

    fn push(&mut self, ratio: f32) {
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
        let ratios = &mut self.ratios[..self.successes];
        if ratios.is_empty() {
            return None;
        }
        let middle = ratios.len() / 2;
        let (_, median, _) = ratios.select_nth_unstable_by(middle, f32::total_cmp);
        Some(*median)
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

/// log10, by linear interpolation between powers of two: 0.03 off at most. `core` has no logarithm of
/// fractions.
fn log10(value: f32) -> f32 {
    let value = (value.max(1.0)) as u32;
    let whole = value.ilog2();
    let part = value as f32 / (1u32 << whole) as f32 - 1.0;
    (whole as f32 + part) * core::f32::consts::LOG10_2
}

/// The limit before anything is known (`detection.md` §6).
const START: usize = 8;
const MAX_SAMPLES: usize = 50;
const MIN_SAMPLES: u32 = 5;
/// Of few answers one that failed is no more than chance.
const MIN_FAILURES: u32 = 2;
const WINDOW: Duration = Duration::from_millis(100);
const LONGEST_WINDOW: Duration = Duration::from_secs(1);
/// Weight of a window in the smoothed slowdown.
const SMOOTHING: f32 = 0.4;
/// Nobody waited for this long: pressure is over.
const CALM: Duration = Duration::from_secs(2);
const FIRST_PROBE: Duration = Duration::from_millis(500);
const FIRST_PROBE_EVERY: Duration = Duration::from_secs(1);
const PROBE_EVERY: Duration = Duration::from_secs(5);
const PROBE_AT_MOST: Duration = Duration::from_millis(1_500);
const PROBE_SAMPLES: u32 = 12;
