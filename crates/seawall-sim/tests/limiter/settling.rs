//! Where the limit settles in a flood: the origin does what it can, and is at most twice as slow as in calm.
//!
//! Each case is an origin and what may be expected of it, over three seeds together: the work it gets done
//! as a part of what it could, and the 95th percentile of its latencies as a multiple of that in calm at
//! a third of its capacity. Measured for 30 s after 10 s of flood. Where hardly a dozen requests end in
//! a second and each takes another time, less can be known in ten seconds, and the bar is lower.

use std::time::Duration;

use seawall_sim::{SimOriginModel, Spread};

use crate::world::{Stretch, Traffic, World};

const SEEDS: u64 = 3;
const FINDS: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(30);

/// What was seen before the flood.
#[derive(Clone, Copy, Debug)]
enum Before {
    Calm,
    /// The flood begins with the process.
    Nothing,
}

fn origin(workers: usize, service_ms: u64, spread: Spread) -> SimOriginModel {
    SimOriginModel { workers, service: Duration::from_millis(service_ms), spread, cold: 0.0 }
}

/// Part of the work that gets done, and latency as a multiple of that in calm.
fn flood(model: SimOriginModel, before: Before, way: Duration) -> (f64, f64) {
    let capacity = model.capacity() / (1.0 + model.cold / model.workers as f64);
    let (mut calm, mut flood) = (Vec::new(), Vec::new());
    for seed in 0..SEEDS {
        let mut quiet = World::new(model, seed + 1_000);
        // At least 300 requests.
        let time = Duration::from_secs_f64(1_000.0 / capacity).max(Duration::from_secs(5));
        calm.push(quiet.run(time, Traffic::PerSecond(0.3 * capacity)));
        let mut world = match before {
            Before::Calm => quiet,
            Before::Nothing => World::new(model, seed),
        };
        world.on_the_way = way;
        world.press(FINDS);
        flood.push(world.press(MEASURED));
    }
    let done: f64 = flood.iter().map(Stretch::rate).sum();
    (done / SEEDS as f64 / capacity, p95(&flood) / p95(&calm))
}

fn p95(stretches: &[Stretch]) -> f64 {
    let mut times: Vec<_> = stretches.iter().flat_map(|stretch| &stretch.origin).collect();
    times.sort();
    times[times.len() * 95 / 100].as_secs_f64()
}

#[allow(clippy::print_stderr, reason = "the figures, for whoever runs this with `--nocapture`")]
fn check(model: SimOriginModel, before: Before, way_ms: u64, least: f64) {
    let (done, slower) = flood(model, before, Duration::from_millis(way_ms));
    let found = format!(
        "{model:?}, {way_ms} ms on the way, before: {before:?}: {done:.3} of the work, \
         {slower:.2} times as slow"
    );
    eprintln!("{found}");
    assert!(done >= least, "{found}");
    assert!(slower <= 2.0, "{found}");
}

#[test]
fn an_origin_known_from_calm_does_all_it_can_and_stays_quick() {
    for workers in [1, 4, 16, 64] {
        for service_ms in [5, 40] {
            if (workers, service_ms) == (64, 5) {
                continue;
            }
            for spread in [Spread::Even(0.0), Spread::Even(0.3), Spread::Exponential] {
                check(origin(workers, service_ms, spread), Before::Calm, 0, 0.95);
            }
        }
    }
}

#[test]
fn a_flood_that_begins_with_the_process_does_not_hide_what_the_origin_bears() {
    for workers in [1, 4, 16, 64] {
        for spread in [Spread::Even(0.0), Spread::Even(0.3), Spread::Exponential] {
            check(origin(workers, 40, spread), Before::Nothing, 0, 0.93);
        }
    }
}

#[test]
fn an_origin_of_few_requests_a_second_is_found_as_well() {
    for workers in [4, 16, 40, 64] {
        for spread in [Spread::Even(0.0), Spread::Even(0.3)] {
            check(origin(workers, 400, spread), Before::Calm, 0, 0.93);
            check(origin(workers, 400, spread), Before::Nothing, 0, 0.85);
        }
    }
}

#[test]
fn latencies_with_heavy_tails_do_not_starve_the_origin() {
    for workers in [4, 16, 64] {
        check(origin(workers, 40, Spread::Lognormal(1.0)), Before::Calm, 0, 0.85);
        check(origin(workers, 40, Spread::Lognormal(1.5)), Before::Calm, 0, 0.85);
    }
}

#[test]
fn an_origin_that_is_slower_when_it_has_little_to_do_is_not_held_back() {
    for workers in [4, 16, 64] {
        let model = origin(workers, 40, Spread::Even(0.3));
        check(SimOriginModel { cold: 1.0, ..model }, Before::Calm, 0, 0.93);
        check(SimOriginModel { cold: 1.0, ..model }, Before::Nothing, 0, 0.93);
    }
}

#[test]
fn what_requests_take_on_the_way_is_not_taken_for_work_or_for_a_queue() {
    for workers in [4, 16, 64] {
        check(origin(workers, 40, Spread::Even(0.3)), Before::Calm, 20, 0.93);
    }
}
