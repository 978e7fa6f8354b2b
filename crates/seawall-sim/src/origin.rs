//! What an origin bears: a pool of workers with a queue, as PHP has it.
//!
//! `workers` requests are worked on at once, any more wait in order; nobody is refused, so that a
//! limit in front of it is what keeps it quick. Workers and speed can change while it runs. It does not
//! give up work whose client has left: neither does PHP.

use std::collections::VecDeque;
use std::time::Duration;

use seawall_model::Instant;

use crate::random::Random;

/// How an origin is built.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SimOriginModel {
    /// Requests worked on at once.
    pub workers: usize,
    /// An ordinary page.
    pub service: Duration,
    /// How the work for pages of one kind differs.
    pub spread: Spread,
    /// A page that is the only one at work takes this part longer, one of two half of that, and so on:
    /// pools that fork, processors that go to sleep.
    pub cold: f64,
}

/// How the work for pages of one kind differs; the mean is `service` for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    /// Evenly, by this part around the mean, 0 to 1.
    Even(f64),
    /// As the exponential distribution: half of the pages take 69 % of the mean.
    Exponential,
    /// As the lognormal distribution with this sigma: at 1 half of the pages take 61 % of the mean and one in
    /// 20 takes 3.1 times the mean.
    Lognormal(f64),
}

impl Spread {
    pub(crate) fn draw(self, random: &mut Random) -> f64 {
        match self {
            Self::Even(part) => 1.0 + random.between(-part, part),
            Self::Exponential => random.exponential(),
            Self::Lognormal(sigma) => libm::exp(sigma * random.normal() - sigma * sigma / 2.0),
        }
    }
}

impl SimOriginModel {
    /// Ordinary pages a second.
    pub fn capacity(&self) -> f64 {
        self.workers as f64 / self.service.as_secs_f64()
    }
}

/// The pool at work. `J` is what the caller knows a request by.
#[derive(Debug)]
pub struct SimOrigin<J> {
    model: SimOriginModel,
    random: Random,
    busy: usize,
    waiting: VecDeque<(J, f64, Option<f64>)>,
    peak: usize,
}

impl<J> SimOrigin<J> {
    /// An idle pool.
    pub const fn new(model: SimOriginModel, seed: u64) -> Self {
        let random = Random::new(seed);
        Self { model, random, busy: 0, waiting: VecDeque::new(), peak: 0 }
    }

    /// Changes workers and speed for what begins from now on.
    pub const fn remodel(&mut self, model: SimOriginModel) {
        self.model = model;
    }

    /// Requests worked on or waiting now.
    pub fn in_flight(&self) -> usize {
        self.busy + self.waiting.len()
    }

    /// The most there ever were at once.
    pub const fn peak(&self) -> usize {
        self.peak
    }

    /// Hands over a request that costs as much as `cost` ordinary pages. What begins by it, with the
    /// time it will end: call [`Self::ended`] then.
    pub fn offer(&mut self, now: Instant, job: J, cost: f64) -> Option<(Instant, J)> {
        self.enter(now, (job, cost, None))
    }

    /// The same for one whose share of chance was drawn elsewhere, so that all others draw what they would without it.
    pub(crate) fn offer_drawn(
        &mut self,
        now: Instant,
        job: J,
        (cost, drawn): (f64, f64),
    ) -> Option<(Instant, J)> {
        self.enter(now, (job, cost, Some(drawn)))
    }

    fn enter(&mut self, now: Instant, asked: (J, f64, Option<f64>)) -> Option<(Instant, J)> {
        self.waiting.push_back(asked);
        self.peak = self.peak.max(self.in_flight());
        self.begin(now)
    }

    /// A request ended; what begins in its place.
    pub fn ended(&mut self, now: Instant) -> Option<(Instant, J)> {
        self.busy -= 1;
        self.begin(now)
    }

    fn begin(&mut self, now: Instant) -> Option<(Instant, J)> {
        if self.busy >= self.model.workers {
            return None;
        }
        let (job, cost, drawn) = self.waiting.pop_front()?;
        self.busy += 1;
        let cold = 1.0 + self.model.cold / self.busy as f64;
        let drawn = drawn.unwrap_or_else(|| self.model.spread.draw(&mut self.random));
        let takes = cost * cold * drawn;
        let takes = self.model.service.mul_f64(takes);
        Some((now + takes, job))
    }
}
