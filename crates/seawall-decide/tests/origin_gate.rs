//! The origin gate against a naive model, and its rules one by one.

use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use seawall_decide::{Asked, OriginGate, OriginGateConfig, OriginPermit, Ticket, WorkClass};
use seawall_model::Instant;

fn at_ms(ms: u64) -> Instant {
    Instant::from_nanos(0) + Duration::from_millis(ms)
}

fn config(max_concurrency: usize, max_queue: usize) -> OriginGateConfig {
    OriginGateConfig {
        max_concurrency,
        max_queue,
        queue_timeout: Duration::from_millis(100),
        background_share: 0.5,
    }
}

fn granted(asked: Asked<u32>) -> OriginPermit {
    match asked {
        Asked::Granted(permit) => permit,
        other => panic!("expected a permit: {other:?}"),
    }
}

fn queued(asked: Asked<u32>) -> (Ticket, Option<u32>) {
    match asked {
        Asked::Queued { ticket, displaced } => (ticket, displaced),
        other => panic!("expected a place in the queue: {other:?}"),
    }
}

/// A reader named `name` with this demand asks at 0.
fn ask(gate: &mut OriginGate<u32>, demand: u32, name: u32) -> Asked<u32> {
    gate.request(at_ms(0), WorkClass::Reader, u128::from(name), demand, || name)
}

#[test]
fn least_demand_goes_first_and_equals_in_order_of_arrival() {
    let mut gate = OriginGate::new(config(1, 10));
    let mut permit = granted(ask(&mut gate, 0, 0));
    for (demand, name) in [(5, 1), (0, 2), (5, 3), (9, 4), (0, 5)] {
        queued(ask(&mut gate, demand, name));
    }
    for want in [2, 5, 1, 3, 4] {
        let (name, next) = gate.release(at_ms(7), permit).expect("somebody waits");
        assert_eq!(name, want);
        assert_eq!((next.identity(), next.granted_at()), (u128::from(want), at_ms(7)));
        permit = next;
    }
    assert!(gate.release(at_ms(7), permit).is_none());
    let counters = gate.counters();
    assert_eq!((counters.in_flight, counters.queued, counters.granted), (0, 0, 6));
    assert_eq!((counters.peak_in_flight, counters.peak_queued, counters.refused), (1, 5, 0));
}

#[test]
fn a_newcomer_with_less_demand_displaces_the_one_with_the_most() {
    let mut gate = OriginGate::new(config(1, 2));
    let _permit = granted(ask(&mut gate, 0, 0));
    let (ticket, _) = queued(ask(&mut gate, 7, 1));
    queued(ask(&mut gate, 3, 2));
    assert!(matches!(ask(&mut gate, 7, 3), Asked::Full), "no less demand than the last");
    assert_eq!(queued(ask(&mut gate, 6, 4)).1, Some(1));
    assert_eq!(gate.cancel(ticket), None, "it is gone already");
    assert_eq!(gate.counters().refused, 2);
}

#[test]
fn background_takes_spare_capacity_only() {
    let mut gate = OriginGate::new(config(4, 3));
    let background = |gate: &mut OriginGate<u32>, name| {
        gate.request(at_ms(0), WorkClass::Background, 0, 0, || name)
    };
    let first = granted(background(&mut gate, 1));
    let second = granted(background(&mut gate, 2));
    assert_eq!(second.class(), WorkClass::Background);
    queued(background(&mut gate, 3));
    let reader = granted(ask(&mut gate, 900, 4));
    let last_reader = granted(ask(&mut gate, 900, 5));
    queued(ask(&mut gate, 900, 6));
    queued(ask(&mut gate, 900, 7));
    assert_eq!(queued(ask(&mut gate, 901, 8)).1, Some(3), "background leaves a full queue first");
    assert!(matches!(background(&mut gate, 9), Asked::Full), "and never pushes a reader out");

    let (name, sixth) = gate.release(at_ms(1), first).expect("readers wait");
    assert_eq!(name, 6);
    queued(background(&mut gate, 10));
    assert_eq!(gate.release(at_ms(1), second).expect("readers wait").0, 7);
    assert_eq!(gate.release(at_ms(1), reader).expect("readers wait").0, 8);
    assert!(gate.release(at_ms(1), last_reader).is_none(), "three at work is over the share");
    assert!(gate.release(at_ms(1), sixth).is_none(), "two at work is at the share");
    assert_eq!(gate.counters().queued, 1);
}

#[test]
fn an_idle_origin_takes_background_work_whatever_the_share() {
    for background_share in [0.0, f32::NAN, -1.0] {
        let mut gate = OriginGate::new(OriginGateConfig { background_share, ..config(1, 1) });
        let permit = granted(gate.request(at_ms(0), WorkClass::Background, 0, 0, || 1));
        let asked = gate.request(at_ms(0), WorkClass::Background, 0, 0, || 2);
        queued(asked);
        assert_eq!(gate.release(at_ms(0), permit).expect("origin is idle").0, 2);
    }
}

#[test]
fn waiters_expire_in_time_and_can_leave_before() {
    let mut gate = OriginGate::new(config(1, 10));
    let permit = granted(ask(&mut gate, 0, 0));
    assert_eq!(gate.poll_timeout(), None);
    queued(ask(&mut gate, 1, 1));
    let (ticket, _) = queued(ask(&mut gate, 0, 2));
    queued(gate.request(at_ms(50), WorkClass::Reader, 0, 0, || 3));
    assert_eq!(gate.poll_timeout(), Some(at_ms(100)));
    assert_eq!(gate.expire(at_ms(99)), []);
    assert_eq!(gate.cancel(ticket), Some(2));
    assert_eq!(gate.cancel(ticket), None);
    assert_eq!(gate.expire(at_ms(100)), [1]);
    assert_eq!(gate.poll_timeout(), Some(at_ms(150)));
    assert_eq!(gate.release(at_ms(120), permit).expect("one waits").0, 3);
    assert_eq!(gate.poll_timeout(), None);
}

#[test]
fn a_raised_limit_lets_waiters_in_and_a_lowered_one_is_reached_by_release() {
    let mut gate = OriginGate::new(config(1, 10));
    let mut permits = vec![granted(ask(&mut gate, 0, 0))];
    for name in 1..=4 {
        queued(ask(&mut gate, 0, name));
    }
    gate.set_limit(3);
    queued(ask(&mut gate, 0, 5));
    while let Some((_, permit)) = gate.poll_grant(at_ms(0)) {
        permits.push(permit);
    }
    assert_eq!(permits.len(), 3, "a newcomer did not overtake the waiters");
    gate.set_limit(0);
    assert_eq!(gate.limit(), 1);
    let handed_on: Vec<bool> =
        permits.into_iter().map(|permit| gate.release(at_ms(0), permit).is_some()).collect();
    assert_eq!(handed_on, [false, false, true]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(WorkClass, u32),
    Release(usize),
    Cancel(usize),
    Wait(u64),
    SetLimit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop_oneof![3 => Just(WorkClass::Reader), 1 => Just(WorkClass::Background)];
    prop_oneof![
        8 => (class, 0u32..5).prop_map(|(class, demand)| Step::Ask(class, demand)),
        5 => any::<usize>().prop_map(Step::Release),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (0u64..40).prop_map(Step::Wait),
        1 => (1usize..6).prop_map(Step::SetLimit),
    ]
}

/// The same rules in the plainest form: one list, searched from end to end.
struct Model {
    limit: usize,
    in_flight: usize,
    /// Class, demand, name (names rise with arrival), deadline.
    waiting: Vec<(WorkClass, u32, u32, Instant)>,
}

const MAX_QUEUE: usize = 4;

impl Model {
    fn readers_wait(&self) -> bool {
        self.waiting.iter().any(|waiter| waiter.0 == WorkClass::Reader)
    }

    fn room(&self, class: WorkClass) -> bool {
        let limit = if class == WorkClass::Reader { self.limit } else { (self.limit / 2).max(1) };
        self.in_flight < limit
    }

    fn last(&self, class: WorkClass) -> Option<(WorkClass, u32, u32, Instant)> {
        let of_class = self.waiting.iter().filter(|waiter| waiter.0 == class);
        of_class.max_by_key(|waiter| (waiter.1, waiter.2)).copied()
    }

    /// `Ok(None)`: granted. `Ok(Some(displaced))`: queued. `Err`: full.
    fn ask(
        &mut self,
        now: Instant,
        class: WorkClass,
        demand: u32,
        name: u32,
    ) -> Result<Option<Option<u32>>, ()> {
        let before = match class {
            WorkClass::Reader => self.readers_wait(),
            WorkClass::Background => !self.waiting.is_empty(),
        };
        if !before && self.room(class) {
            self.in_flight += 1;
            return Ok(None);
        }
        let mut displaced = None;
        if self.waiting.len() == MAX_QUEUE {
            let reader = class == WorkClass::Reader;
            let last = self
                .last(WorkClass::Background)
                .filter(|last| reader || demand < last.1)
                .or_else(|| self.last(WorkClass::Reader).filter(|last| reader && demand < last.1));
            let (_, _, out, _) = last.ok_or(())?;
            self.waiting.retain(|waiter| waiter.2 != out);
            displaced = Some(out);
        }
        self.waiting.push((class, demand, name, now + Duration::from_millis(100)));
        Ok(Some(displaced))
    }

    fn grant(&mut self) -> Option<u32> {
        let class = if self.readers_wait() { WorkClass::Reader } else { WorkClass::Background };
        let of_class = self.waiting.iter().filter(|waiter| waiter.0 == class);
        let next = of_class.min_by_key(|waiter| (waiter.1, waiter.2))?.2;
        if !self.room(class) {
            return None;
        }
        self.in_flight += 1;
        self.waiting.retain(|waiter| waiter.2 != next);
        Some(next)
    }

    fn expire(&mut self, now: Instant) -> Vec<u32> {
        let due = |waiter: &(WorkClass, u32, u32, Instant)| waiter.3 <= now;
        let mut out: Vec<_> = self.waiting.iter().filter(|waiter| due(waiter)).copied().collect();
        self.waiting.retain(|waiter| !due(waiter));
        out.sort_by_key(|waiter| (waiter.3, waiter.2));
        out.into_iter().map(|waiter| waiter.2).collect()
    }
}

/// The gate beside the model, with every waiter and permit accounted for.
struct Pair {
    gate: OriginGate<u32>,
    model: Model,
    now: u64,
    tickets: Vec<(u32, Ticket)>,
    permits: Vec<OriginPermit>,
}

impl Pair {
    fn run(&mut self, step: Step, name: u32) {
        let now = at_ms(self.now);
        match step {
            Step::Ask(class, demand) => self.ask(now, class, demand, name),
            Step::Release(pick) if !self.permits.is_empty() => {
                let permit = self.permits.swap_remove(pick % self.permits.len());
                self.model.in_flight -= 1;
                let handed_on = self.gate.release(now, permit);
                self.same_grant(handed_on);
            }
            Step::Cancel(pick) if !self.tickets.is_empty() => {
                let (name, ticket) = self.tickets[pick % self.tickets.len()];
                let waits = self.model.waiting.iter().any(|waiter| waiter.2 == name);
                assert_eq!(self.gate.cancel(ticket), waits.then_some(name));
                self.model.waiting.retain(|waiter| waiter.2 != name);
                self.drain(now);
            }
            Step::Wait(ms) => {
                self.now += ms;
                let now = at_ms(self.now);
                assert_eq!(self.gate.expire(now), self.model.expire(now));
                self.drain(now);
            }
            Step::SetLimit(limit) => {
                self.gate.set_limit(limit);
                self.model.limit = limit;
                self.drain(now);
            }
            Step::Release(_) | Step::Cancel(_) => {}
        }
        let counters = self.gate.counters();
        assert_eq!(counters.in_flight, self.permits.len());
        assert_eq!(counters.in_flight, self.model.in_flight);
        assert_eq!(counters.queued, self.model.waiting.len(), "no waiter is lost");
        assert!(counters.queued <= MAX_QUEUE);
        let deadline = self.model.waiting.iter().map(|waiter| waiter.3).min();
        assert_eq!(self.gate.poll_timeout(), deadline);
    }

    fn ask(&mut self, now: Instant, class: WorkClass, demand: u32, name: u32) {
        let before = self.permits.len();
        let want = self.model.ask(now, class, demand, name);
        match (self.gate.request(now, class, 0, demand, || name), want) {
            (Asked::Granted(permit), Ok(None)) => {
                assert!(before < self.model.limit, "never more permits than the limit");
                self.permits.push(permit);
            }
            (Asked::Queued { ticket, displaced }, Ok(Some(want))) => {
                assert_eq!(displaced, want);
                self.tickets.push((name, ticket));
            }
            (Asked::Full, Err(())) => {}
            (got, want) => panic!("{got:?}, but the model says {want:?}"),
        }
    }

    fn drain(&mut self, now: Instant) {
        loop {
            let granted = self.gate.poll_grant(now);
            if !self.same_grant(granted) {
                return;
            }
        }
    }

    fn same_grant(&mut self, got: Option<(u32, OriginPermit)>) -> bool {
        let want = self.model.grant();
        assert_eq!(got.as_ref().map(|(name, _)| *name), want);
        let Some((_, permit)) = got else { return false };
        self.permits.push(permit);
        assert!(self.permits.len() <= self.model.limit, "never more permits than the limit");
        true
    }
}

proptest! {
    #[test]
    fn gate_agrees_with_a_naive_model(
        limit in 1usize..6,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut pair = Pair {
            gate: OriginGate::new(config(limit, MAX_QUEUE)),
            model: Model { limit, in_flight: 0, waiting: Vec::new() },
            now: 0,
            tickets: Vec::new(),
            permits: Vec::new(),
        };
        for (name, step) in steps.into_iter().enumerate() {
            pair.run(step, u32::try_from(name).expect("few steps"));
        }
    }
}
