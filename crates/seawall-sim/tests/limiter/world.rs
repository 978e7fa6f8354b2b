//! An origin behind its limiter, in calm and under pressure.

use std::collections::BTreeMap;
use std::time::Duration;

use seawall_decide::{AdaptiveConfig, AdaptiveLimiter, WorkOutcome, WorkSample};
use seawall_model::Instant;
use seawall_sim::{Random, SimOrigin, SimOriginModel, Timeline};

enum Event {
    /// A reader asks, in calm.
    Ask,
    /// A request reaches the origin.
    There(Job),
    /// The origin is done with it.
    Done(Job),
    /// Nobody waits for this one any longer.
    GivenUp(u64),
}

#[derive(Clone, Copy)]
struct Job {
    id: u64,
    template: u64,
    cost: f64,
    began: Instant,
    there: Instant,
    in_flight: usize,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) enum Traffic {
    /// So many a second, at random.
    PerSecond(f64),
    /// There are always as many at work as the limit lets through.
    Pressing,
}

/// What came to pass in a stretch of time.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    /// From the permit to the end, of those that ended well or not.
    pub(crate) latencies: Vec<Duration>,
    /// From when they reached the origin until it was done.
    pub(crate) origin: Vec<Duration>,
    /// The limit after each answer.
    pub(crate) limits: Vec<usize>,
    pub(crate) seconds: f64,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) limiter: AdaptiveLimiter,
    pub(crate) origin: SimOrigin<u64>,
    pub(crate) failing: Option<WorkOutcome>,
    pub(crate) give_up_after: Duration,
    /// What a request takes outside of the origin, in the mean.
    pub(crate) on_the_way: Duration,
    events: Timeline<Event>,
    at_origin: BTreeMap<u64, Job>,
    open: BTreeMap<u64, Job>,
    waiting: usize,
    random: Random,
    next_id: u64,
}

impl World {
    pub(crate) fn new(model: SimOriginModel, seed: u64) -> Self {
        Self::with_min(model, seed, 2)
    }

    pub(crate) fn with_min(model: SimOriginModel, seed: u64, min: usize) -> Self {
        let config = AdaptiveConfig { min, max: 256, max_templates: 256 };
        Self {
            now: Instant::from_nanos(1_000_000_000),
            limiter: AdaptiveLimiter::new(config),
            origin: SimOrigin::new(model, seed),
            failing: None,
            give_up_after: Duration::from_secs(3_600),
            on_the_way: Duration::ZERO,
            events: Timeline::default(),
            at_origin: BTreeMap::new(),
            open: BTreeMap::new(),
            waiting: 0,
            random: Random::new(seed ^ 0xface),
            next_id: 0,
        }
    }

    /// Runs for `time` with as many at work as may be.
    pub(crate) fn press(&mut self, time: Duration) -> Stretch {
        self.run(time, Traffic::Pressing)
    }

    pub(crate) fn run(&mut self, time: Duration, traffic: Traffic) -> Stretch {
        let end = self.now + time;
        let mut stretch = Stretch { seconds: time.as_secs_f64(), ..Stretch::default() };
        self.waiting = 0;
        if let Traffic::PerSecond(_) = traffic {
            self.events.push(self.now, Event::Ask);
        }
        while self.now < end {
            self.fill(traffic);
            let Some((at, event)) = self.events.pop() else { break };
            self.now = at;
            match (event, traffic) {
                (Event::Ask, Traffic::Pressing) => {}
                (Event::Ask, Traffic::PerSecond(rate)) => {
                    self.waiting += 1;
                    let wait = Duration::from_secs_f64(self.random.exponential() / rate);
                    self.events.push(self.now + wait, Event::Ask);
                }
                (Event::There(job), _) => {
                    self.at_origin.insert(job.id, Job { there: self.now, ..job });
                    let began = self.origin.offer(self.now, job.id, job.cost);
                    self.begun(began);
                }
                (Event::Done(job), _) => {
                    let began = self.origin.ended(self.now);
                    self.begun(began);
                    stretch.origin.push(self.now.saturating_since(job.there));
                    if let Some(job) = self.open.remove(&job.id) {
                        let outcome = self.failing.unwrap_or(WorkOutcome::Success);
                        self.end(job, outcome, &mut stretch);
                    }
                }
                (Event::GivenUp(id), _) => {
                    if let Some(job) = self.open.remove(&id) {
                        self.end(job, WorkOutcome::TimedOut, &mut stretch);
                    }
                }
            }
        }
        stretch
    }

    fn end(&mut self, job: Job, outcome: WorkOutcome, stretch: &mut Stretch) {
        let latency = self.now.saturating_since(job.began);
        stretch.latencies.push(latency);
        let (template, in_flight_at_start) = (job.template, job.in_flight);
        let is_beside_dear = false;
        let sample = WorkSample { template, latency, outcome, in_flight_at_start, is_beside_dear };
        self.limiter.observe(self.now, sample);
        stretch.limits.push(self.limiter.steady_limit());
    }

    fn fill(&mut self, traffic: Traffic) {
        let is_pressing = matches!(traffic, Traffic::Pressing);
        while self.open.len() < self.limiter.limit() && (is_pressing || self.waiting > 0) {
            self.waiting = self.waiting.saturating_sub(1);
            self.next_id += 1;
            // Two kinds of pages, one nearly three times as dear as the other.
            let (template, cost) =
                if self.random.unit() < 0.8 { (1 << 40, 0.75) } else { (3 << 60, 2.0) };
            let (id, began, in_flight) = (self.next_id, self.now, self.open.len() + 1);
            let job = Job { id, template, cost, began, there: began, in_flight };
            self.open.insert(id, job);
            self.events.push(self.now + self.give_up_after, Event::GivenUp(id));
            let way = self.on_the_way.mul_f64(self.random.between(0.5, 1.5));
            self.events.push(self.now + way, Event::There(job));
        }
        if is_pressing || self.waiting > 0 {
            self.limiter.note_limited(self.now);
        }
    }

    fn begun(&mut self, began: Option<(Instant, u64)>) {
        if let Some((at, id)) = began
            && let Some(job) = self.at_origin.remove(&id)
        {
            self.events.push(at, Event::Done(job));
        }
    }
}

impl Stretch {
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    pub(crate) fn median(&self) -> Duration {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        sorted[sorted.len() / 2]
    }
}
