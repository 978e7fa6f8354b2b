//! Flights: one leader per key, nobody forgotten, everything bounded. The last test compares with
//! a model that is too slow to use and too simple to be wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use seawall_cache::{Failed, FlightLimits, Flights, Join, Key, Lead, Scheme};
use seawall_model::Instant;

fn key(n: u8) -> Key {
    Key::new(Scheme::Https, "site.example", format!("/{n}").as_bytes(), None)
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn limits() -> FlightLimits {
    FlightLimits {
        max_waiters: 4,
        max_attempts: 3,
        max_age: Duration::from_millis(100),
        max_marks: 8,
    }
}

fn flights() -> Flights<u32> {
    Flights::with_limits([1, 2], 4, limits())
}

fn lead(flights: &Flights<u32>, n: u8, ms: u64) -> Lead<u32> {
    match flights.join(&key(n), 0, at(ms), || panic!("a leader leaves no waiter")) {
        Join::Lead(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn wait(flights: &Flights<u32>, n: u8, ms: u64, waiter: u32) {
    let join = flights.join(&key(n), 0, at(ms), || waiter);
    assert!(matches!(join, Join::Wait), "{join:?}");
}

#[test]
fn one_leads_and_the_others_wait() {
    let flights = flights();
    let first = lead(&flights, 1, 0);
    wait(&flights, 1, 1, 10);
    wait(&flights, 1, 2, 11);
    let other = lead(&flights, 2, 2);
    assert_eq!((flights.len(), flights.waiting()), (2, 2));
    assert_eq!(flights.finish(first), [10, 11]);
    assert!(flights.finish(other).is_empty());
    assert!(flights.is_empty());
    drop(lead(&flights, 1, 3));
}

#[test]
fn other_variants_fly_apart() {
    let flights = flights();
    let _first = lead(&flights, 1, 0);
    assert!(matches!(flights.join(&key(1), 7, at(0), || 1), Join::Lead(_)));
}

#[test]
fn too_many_waiters_are_told_at_once() {
    let flights = flights();
    let first = lead(&flights, 1, 0);
    for waiter in 0..4 {
        wait(&flights, 1, 0, waiter);
    }
    assert!(matches!(flights.join(&key(1), 0, at(0), || panic!("full")), Join::Full));
    assert_eq!(flights.finish(first).len(), 4);
}

#[test]
fn the_gone_make_room_and_are_not_elected() {
    let flights = Flights::with_liveness([1, 2], 1, limits(), |waiter: &u32| waiter % 2 == 1);
    let first = lead(&flights, 1, 0);
    for waiter in [1, 2, 3, 4] {
        wait(&flights, 1, 0, waiter);
    }
    wait(&flights, 1, 0, 7);
    wait(&flights, 1, 0, 9);
    assert_eq!(flights.waiting(), 4, "1 and 3 made room");
    let Failed::Elected(2, second) = flights.fail(first, at(1)) else { panic!("2 is next") };
    let Failed::Elected(4, third) = flights.fail(second, at(1)) else { panic!("4 is next") };
    assert!(matches!(flights.fail(third, at(1)), Failed::Over(_)));
}

#[test]
fn a_failing_leader_elects_the_next_until_attempts_run_out() {
    let flights = flights();
    let mut leader = lead(&flights, 1, 0);
    for waiter in 0..4 {
        wait(&flights, 1, 0, waiter);
    }
    for expected in 0..2 {
        match flights.fail(leader, at(1)) {
            Failed::Elected(waiter, next) => {
                assert_eq!(waiter, expected);
                leader = next;
            }
            Failed::Over(_) => panic!("attempts are left"),
        }
    }
    match flights.fail(leader, at(1)) {
        Failed::Over(told) => assert_eq!(told, [2, 3]),
        Failed::Elected(..) => panic!("three have tried"),
    }
    assert!(flights.is_empty());
}

#[test]
fn handing_over_is_no_attempt() {
    let flights = flights();
    let mut leader = lead(&flights, 1, 0);
    for waiter in 0..4 {
        wait(&flights, 1, 0, waiter);
    }
    for expected in 0..4 {
        let Failed::Elected(waiter, next) = flights.hand_over(leader, at(1)) else {
            panic!("someone waits")
        };
        assert_eq!(waiter, expected);
        leader = next;
    }
    assert!(matches!(flights.hand_over(leader, at(1)), Failed::Over(told) if told.is_empty()));
}

#[test]
fn a_late_leader_is_replaced_and_its_waiters_stay() {
    let flights = flights();
    let late = lead(&flights, 1, 0);
    wait(&flights, 1, 100, 10);
    let newer = lead(&flights, 1, 101);
    wait(&flights, 1, 102, 11);
    assert!(flights.finish(late).is_empty());
    assert_eq!(flights.finish(newer), [10, 11]);
}

#[test]
fn a_late_leader_that_fails_disturbs_nobody() {
    let flights = flights();
    let late = lead(&flights, 1, 0);
    wait(&flights, 1, 1, 10);
    let newer = lead(&flights, 1, 101);
    assert!(matches!(flights.fail(late, at(102)), Failed::Over(told) if told.is_empty()));
    assert_eq!(flights.finish(newer), [10]);
}

#[test]
fn a_dropped_leader_drops_its_waiters() {
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    struct Waiter;
    impl Drop for Waiter {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    let flights = Flights::new([1, 2], 4);
    let Join::Lead(leader) = flights.join(&key(1), 0, at(0), || Waiter) else { panic!("first") };
    for _ in 0..3 {
        assert!(matches!(flights.join(&key(1), 0, at(0), || Waiter), Join::Wait));
    }
    drop(leader);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 3);
    assert!(flights.is_empty());
}

#[test]
fn readers_of_private_pages_are_not_put_in_a_row() {
    let flights = flights();
    flights.mark_uncacheable(&key(1), at(0), Duration::from_millis(50));
    for ms in [0, 49] {
        assert!(matches!(flights.join(&key(1), 0, at(ms), || 1), Join::Alone), "{ms}");
    }
    drop(lead(&flights, 2, 0));
    drop(lead(&flights, 1, 50));
    flights.mark_uncacheable(&key(1), at(50), Duration::from_millis(50));
    flights.clear_uncacheable(&key(1));
    drop(lead(&flights, 1, 51));
}

#[test]
fn marks_are_bounded() {
    let flights = flights();
    for n in 0..200 {
        flights.mark_uncacheable(&key(n), at(0), Duration::from_secs(1));
    }
    let is_marked = |n: &u8| matches!(flights.join(&key(*n), 0, at(1), || 1), Join::Alone);
    assert!((0..200).filter(is_marked).count() <= 8);
    assert!(is_marked(&199), "the newest stays");
}

/// The model: flights by key and hint, in a plain map.
#[derive(Default)]
struct Model {
    flights: BTreeMap<(u8, u64), ModelFlight>,
    marks: BTreeMap<u8, u64>,
}

struct ModelFlight {
    id: usize,
    started_ms: u64,
    attempts: u32,
    waiters: VecDeque<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Join(u8, u64),
    Finish(usize),
    Fail(usize),
    Drop(usize),
    Mark(u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, 0u64..2).prop_map(|(key, hint)| Step::Join(key, hint)),
        2 => any::<usize>().prop_map(Step::Finish),
        2 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Drop),
        1 => (0u8..3).prop_map(Step::Mark),
        2 => (0u64..80).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn flights_behave_like_the_model(steps in proptest::collection::vec(step(), 1..200)) {
        let flights = flights();
        let mut model = Model::default();
        // Leads in hand: the token, its place and its number in the model.
        let mut leads: Vec<(Lead<u32>, (u8, u64), usize)> = Vec::new();
        let (mut now_ms, mut next_waiter, mut next_id) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Pass(ms) => now_ms += ms,
                Step::Mark(n) => {
                    flights.mark_uncacheable(&key(n), at(now_ms), Duration::from_millis(30));
                    model.marks.insert(n, now_ms + 30);
                }
                Step::Join(n, hint) => {
                    next_waiter += 1;
                    let join = flights.join(&key(n), hint, at(now_ms), || next_waiter);
                    if model.marks.get(&n).is_some_and(|&until| now_ms < until) {
                        prop_assert!(matches!(join, Join::Alone));
                        continue;
                    }
                    let flight = model.flights.entry((n, hint)).or_insert(ModelFlight {
                        id: usize::MAX, started_ms: now_ms, attempts: 0, waiters: VecDeque::new(),
                    });
                    if flight.id == usize::MAX || now_ms - flight.started_ms > 100 {
                        next_id += 1;
                        flight.id = next_id;
                        flight.started_ms = now_ms;
                        let Join::Lead(lead) = join else { panic!("expected to lead: {join:?}") };
                        leads.push((lead, (n, hint), next_id));
                    } else if flight.waiters.len() == 4 {
                        prop_assert!(matches!(join, Join::Full));
                    } else {
                        prop_assert!(matches!(join, Join::Wait));
                        flight.waiters.push_back(next_waiter);
                    }
                }
                Step::Finish(which) | Step::Fail(which) | Step::Drop(which) if !leads.is_empty() => {
                    let (lead, place, id) = leads.swap_remove(which % leads.len());
                    let is_current = model.flights.get(&place).is_some_and(|f| f.id == id);
                    match step {
                        Step::Finish(_) => {
                            let expected: Vec<u32> = if is_current {
                                model.flights.remove(&place).expect("current").waiters.into()
                            } else {
                                Vec::new()
                            };
                            prop_assert_eq!(flights.finish(lead), expected);
                        }
                        Step::Drop(_) => {
                            drop(lead);
                            if is_current {
                                model.flights.remove(&place);
                            }
                        }
                        _ => {
                            let outcome = flights.fail(lead, at(now_ms));
                            if !is_current {
                                prop_assert!(matches!(outcome, Failed::Over(told) if told.is_empty()));
                                continue;
                            }
                            let flight = model.flights.get_mut(&place).expect("current");
                            flight.attempts += 1;
                            let next = (flight.attempts < 3).then(|| flight.waiters.pop_front()).flatten();
                            match (outcome, next) {
                                (Failed::Elected(waiter, lead), Some(expected)) => {
                                    prop_assert_eq!(waiter, expected);
                                    next_id += 1;
                                    flight.id = next_id;
                                    flight.started_ms = now_ms;
                                    leads.push((lead, place, next_id));
                                }
                                (Failed::Over(told), None) => {
                                    let expected: Vec<u32> = model.flights.remove(&place).expect("current").waiters.into();
                                    prop_assert_eq!(told, expected);
                                }
                                (outcome, next) => panic!("{outcome:?}, but the model says {next:?}"),
                            }
                        }
                    }
                }
                Step::Finish(_) | Step::Fail(_) | Step::Drop(_) => {}
            }
            prop_assert_eq!(flights.len(), model.flights.len());
            let waiting: usize = model.flights.values().map(|flight| flight.waiters.len()).sum();
            prop_assert_eq!(flights.waiting(), waiting);
        }
    }
}

proptest! {
    /// The clock steps back and forth by any amount: whoever waits is told once, and nothing stays.
    #[test]
    fn under_any_clock_each_waiter_is_told_once(
        steps in proptest::collection::vec((0u8..3, 0u8..4, prop_oneof![0u64..300, any::<u64>()]), 1..80),
    ) {
        let flights = flights();
        let mut leads: Vec<Lead<u32>> = Vec::new();
        let (mut waiting, mut told) = (Vec::new(), Vec::new());
        for (turn, (n, what, nanos)) in steps.into_iter().enumerate() {
            let (now, waiter) = (Instant::from_nanos(nanos), turn as u32);
            match what {
                0 if !leads.is_empty() => told.extend(flights.finish(leads.swap_remove(0))),
                1 if !leads.is_empty() => match flights.fail(leads.swap_remove(0), now) {
                    Failed::Elected(waiter, lead) => {
                        told.push(waiter);
                        leads.push(lead);
                    }
                    Failed::Over(waiters) => told.extend(waiters),
                },
                2 => flights.mark_uncacheable(&key(n), now, Duration::from_secs(10)),
                _ => match flights.join(&key(n), 0, now, || waiter) {
                    Join::Lead(lead) => leads.push(lead),
                    Join::Wait => waiting.push(waiter),
                    Join::Full | Join::Alone => {}
                },
            }
        }
        for lead in leads {
            told.extend(flights.finish(lead));
        }
        told.sort_unstable();
        prop_assert_eq!(told, waiting);
        prop_assert!(flights.is_empty() && flights.waiting() == 0);
    }
}
