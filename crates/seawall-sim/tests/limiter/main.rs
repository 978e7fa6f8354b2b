//! The adaptive limiter in front of origins it knows nothing of.
//!
//! Readers press without end: there are always as many requests at work as the limit lets through.
//! An origin of `workers` bears exactly so many; more only queue inside it. "Found" means: at least 85 %
//! of what the origin could do gets done, and the median request takes at most 2.6 times its own.

mod settling;
mod world;

use std::time::Duration;

use seawall_decide::{AdaptiveConfig, AdaptiveLimiter, WorkOutcome, WorkSample};
use seawall_model::Instant;
use seawall_sim::{SimOriginModel, Spread};

use self::world::World;

const SEEDS: std::ops::Range<u64> = 0..10;
const HALF_SECOND: Duration = Duration::from_millis(500);

fn model(workers: usize, service_ms: u64) -> SimOriginModel {
    let service = Duration::from_millis(service_ms);
    SimOriginModel { workers, service, spread: Spread::Even(0.3), cold: 0.0 }
}

/// Whether the limiter has found what `model` bears.
fn check_found(world: &mut World, model: SimOriginModel, what: &str) {
    let found = world.press(Duration::from_secs(20));
    let part = found.rate() / model.capacity();
    let slower = found.median().as_secs_f64() / (model.service.as_secs_f64() * 0.75);
    let limit = world.limiter.steady_limit();
    assert!(part >= 0.85, "{what}: only {part:.2} of the work gets done at limit {limit}");
    assert!(slower <= 2.6, "{what}: {slower:.2} times as slow at limit {limit}");
}

#[test]
fn what_an_unknown_origin_bears_is_found_within_ten_seconds() {
    for seed in SEEDS {
        for (workers, service_ms) in [(4, 40), (2, 100), (16, 100), (40, 100), (100, 50)] {
            let model = model(workers, service_ms);
            let mut world = World::new(model, seed);
            world.press(Duration::from_secs(10));
            check_found(&mut world, model, &format!("seed {seed}, {workers} x {service_ms} ms"));
        }
    }
}

#[test]
fn the_limit_follows_an_origin_that_changes() {
    let changes = [(16, 50), (4, 50), (4, 150), (24, 30), (3, 60)];
    for seed in SEEDS {
        let mut world = World::new(model(8, 50), seed);
        world.press(Duration::from_secs(20));
        for (workers, service_ms) in changes {
            let model = model(workers, service_ms);
            world.origin.remodel(model);
            world.press(Duration::from_secs(10));
            check_found(&mut world, model, &format!("seed {seed}, to {workers} x {service_ms} ms"));
        }
    }
}

#[test]
fn a_limit_that_stood_for_minutes_does_not_drift() {
    for seed in SEEDS {
        let model = model(4, 40);
        let mut world = World::new(model, seed);
        world.press(Duration::from_secs(10));
        let mut worst = (usize::MAX, 0);
        for _ in 0..40 {
            world.press(Duration::from_secs(5));
            let limit = world.limiter.steady_limit();
            worst = (worst.0.min(limit), worst.1.max(limit));
        }
        assert!(worst.0 >= 3 && worst.1 <= 13, "seed {seed}: between {worst:?} for 4 workers");
    }
}

#[test]
fn failures_cut_the_limit_and_never_below_half_in_a_second() {
    for outcome in [WorkOutcome::ServerError, WorkOutcome::TimedOut] {
        for seed in SEEDS {
            let mut world = World::new(model(40, 50), seed);
            world.press(Duration::from_secs(15));
            world.failing = Some(outcome);
            let mut before = world.limiter.steady_limit();
            assert!(before >= 32, "seed {seed}: {before}");
            // The seconds of the rule are fixed ones: any two halves of them lie within 3 half seconds.
            for _ in 0..4 {
                world.press(HALF_SECOND);
                let now = world.limiter.steady_limit();
                assert!(
                    now * 4 + 4 >= before,
                    "seed {seed}: from {before} to {now} in half a second"
                );
                before = now;
            }
            assert!(before <= 20, "seed {seed}: still {before} after 2 s of failures");
            world.failing = None;
            world.press(Duration::from_secs(10));
            let rate = world.press(Duration::from_secs(5)).rate();
            assert!(rate > 0.9 * model(40, 50).capacity(), "seed {seed}: {rate} after recovery");
        }
    }
}

#[test]
fn an_origin_that_times_out_is_left_with_little() {
    for seed in SEEDS {
        let mut world = World::new(model(32, 50), seed);
        world.give_up_after = Duration::from_secs(1);
        world.press(Duration::from_secs(10));
        world.origin.remodel(model(1, 400));
        // From up to 52 at 70 % for each second in which something ends.
        world.press(Duration::from_secs(12));
        let limit = world.limiter.steady_limit();
        assert!(limit <= 4, "seed {seed}: {limit} for an origin of one worker");
    }
}

#[test]
fn a_limit_of_one_rises_again_once_the_overload_is_over() {
    for seed in SEEDS {
        let strong = model(40, 50);
        let mut world = World::with_min(strong, seed, 1);
        world.press(Duration::from_secs(10));
        world.failing = Some(WorkOutcome::ServerError);
        world.press(Duration::from_secs(20));
        assert_eq!(world.limiter.steady_limit(), 1, "seed {seed}");
        world.failing = None;
        world.press(Duration::from_secs(15));
        check_found(&mut world, strong, &format!("seed {seed}, up from 1"));
    }
}

/// Requests that end ten milliseconds apart, at low load; each says how.
struct Quiet {
    limiter: AdaptiveLimiter,
    now: Instant,
}

/// A page that came, with so many at work.
fn answered(template: u64, latency: Duration, in_flight_at_start: usize) -> WorkSample {
    let outcome = WorkOutcome::Success;
    WorkSample { template, latency, outcome, in_flight_at_start, is_beside_dear: false }
}

impl Quiet {
    fn new() -> Self {
        let config = AdaptiveConfig { min: 1, max: 64, max_templates: 64 };
        Self { limiter: AdaptiveLimiter::new(config), now: Instant::from_nanos(1_000_000_000) }
    }

    /// The least limit seen while `count` requests end so, for which `how` gives template and
    /// outcome.
    fn end(&mut self, count: u64, how: impl Fn(u64) -> (u64, WorkOutcome)) -> usize {
        let mut least = usize::MAX;
        for n in 0..count {
            let (template, outcome) = how(n);
            self.end_one(template, outcome, Duration::from_millis(50));
            least = least.min(self.limiter.steady_limit());
        }
        least
    }

    fn end_one(&mut self, template: u64, outcome: WorkOutcome, latency: Duration) {
        self.now = self.now + Duration::from_millis(10);
        self.observe(WorkSample { outcome, ..answered(template, latency, 1) });
    }

    fn observe(&mut self, sample: WorkSample) {
        self.limiter.observe(self.now, sample);
    }
}

#[test]
fn a_page_that_always_fails_does_not_lower_the_limit_of_the_whole_site() {
    const PAGE: u64 = 1 << 40;
    const DEAD: u64 = 5 << 60;
    for outcome in [WorkOutcome::TimedOut, WorkOutcome::ServerError] {
        let mut site = Quiet::new();
        let one_in = |parts: u64| {
            move |n: u64| {
                if n.is_multiple_of(parts) { (DEAD, outcome) } else { (PAGE, WorkOutcome::Success) }
            }
        };
        site.end(400, one_in(20));
        let least = site.end(3_000, one_in(2));
        assert!(least >= 8, "{outcome:?}: down to {least}");
        // Pages that used to answer are another matter.
        let least = site.end(300, |_| (PAGE, outcome));
        assert!(least <= 4, "{outcome:?}: still {least}");
    }
}

#[test]
fn one_failure_alone_cuts_nothing() {
    // Slow enough that a window has five or six answers.
    for outcome in [WorkOutcome::TimedOut, WorkOutcome::ServerError] {
        for (each, lowers) in [(24, false), (2, true)] {
            let mut site = Quiet::new();
            let least = site.end(600, |n| {
                if n.is_multiple_of(each) { (n % 7, outcome) } else { (9, WorkOutcome::Success) }
            });
            assert_eq!(least < 8, lowers, "one in {each} {outcome:?}: down to {least}");
        }
    }
}

#[test]
fn a_range_of_one_value_pins_the_limit() {
    let mut limiter = AdaptiveLimiter::new(AdaptiveConfig { min: 5, max: 5, max_templates: 4 });
    for n in 1..1_000u64 {
        let now = Instant::from_nanos(n * 50_000_000);
        limiter.note_limited(now);
        let outcome = if n % 2 == 0 { WorkOutcome::TimedOut } else { WorkOutcome::Success };
        let latency = Duration::from_millis(n);
        limiter.observe(now, WorkSample { outcome, ..answered(n, latency, 5) });
        assert_eq!((limiter.limit(), limiter.steady_limit()), (5, 5));
    }
}

#[test]
fn a_slow_page_that_holds_the_last_permit_does_not_hold_the_others_up_for_long() {
    let mut site = Quiet::new();
    site.end(100, |_| (1 << 40, WorkOutcome::Success));
    let step = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while site.limiter.limit() == site.limiter.steady_limit() {
        site.limiter.note_limited(site.now);
        site.end(1, |_| (1 << 40, WorkOutcome::Success));
        waited += step;
        assert!(waited < Duration::from_secs(2), "low load is looked at");
    }
    // From now on no answer comes: 50 ms are what is known of this origin.
    site.limiter.tick(site.now + step);
    assert!(site.limiter.limit() < site.limiter.steady_limit());
    site.limiter.tick(site.now + Duration::from_millis(150));
    assert_eq!(site.limiter.limit(), site.limiter.steady_limit());
}

#[test]
fn slow_pages_now_and_then_do_not_make_a_probe_patient_where_most_are_quick() {
    const PAGE: u64 = 1 << 40;
    for (latency_ms, patience_ms) in [(50, 500), (300, 900)] {
        let mut site = Quiet::new();
        let mut answers = 0;
        while answers < 100 || site.limiter.limit() == site.limiter.steady_limit() {
            site.limiter.note_limited(site.now);
            answers += 1;
            // One page in ten is a slow one.
            let latency =
                Duration::from_millis(if answers % 10 == 0 { 20_000 } else { latency_ms });
            site.end_one(PAGE, WorkOutcome::Success, latency);
            assert!(answers < 1_000, "low load is looked at");
        }
        // From now on no answer comes: a slow page holds the only permit.
        site.limiter.tick(site.now + Duration::from_millis(patience_ms + 10));
        assert_eq!(site.limiter.limit(), site.limiter.steady_limit(), "{latency_ms} ms");
    }
}

#[test]
fn an_origin_at_ease_gets_more_to_do_though_more_at_work_went_with_fewer_answers() {
    let mut site = Quiet::new();
    site.end(400, |_| (1 << 40, WorkOutcome::Success));
    // Cut to the floor.
    site.end(100, |_| (1 << 40, WorkOutcome::TimedOut));
    assert!(site.limiter.steady_limit() <= 2);
    site.now = site.now + Duration::from_secs(5);
    // Dear pages hold places: while two are at work there are few answers, while one is there are many.
    let before = site.limiter.steady_limit();
    for window in 0..200u64 {
        let (answers, at_work) = if window % 2 == 0 { (2, 2) } else { (10, 1) };
        for _ in 0..answers {
            site.limiter.note_limited(site.now);
            site.now = site.now + Duration::from_millis(120 / answers);
            let latency = Duration::from_millis(50);
            site.observe(answered(1 << 40, latency, at_work));
        }
    }
    let after = site.limiter.steady_limit();
    assert!(after > before + 4, "{before}, then {after}");
}

#[test]
fn what_dear_pages_take_from_others_lowers_no_limit_that_let_them_in() {
    const PAGE: u64 = 1 << 40;
    for is_beside_dear in [false, true] {
        let mut site = Quiet::new();
        site.end(400, |_| (PAGE, WorkOutcome::Success));
        let before = site.limiter.steady_limit();
        // Three workers of four have a search each, for three seconds.
        for _ in 0..60 {
            site.now = site.now + Duration::from_millis(50);
            site.limiter.note_limited(site.now);
            let slow = answered(PAGE, Duration::from_millis(400), before);
            site.observe(WorkSample { is_beside_dear, ..slow });
        }
        let after = site.limiter.steady_limit();
        assert_eq!(after < before, !is_beside_dear, "{before}, then {after}");
        // Then all is as before, and so is what is made of it.
        site.now = site.now + Duration::from_secs(3);
        let least = site.end(100, |_| (PAGE, WorkOutcome::Success));
        assert!(least >= after, "{after}, then {least}");
    }
}

#[test]
fn a_dear_page_that_hangs_does_not_keep_the_limit_from_falling_for_long() {
    const PAGE: u64 = 1 << 40;
    let mut site = Quiet::new();
    site.end(400, |_| (PAGE, WorkOutcome::Success));
    let (before, since) = (site.limiter.steady_limit(), site.now);
    while site.limiter.steady_limit() >= before {
        site.now = site.now + Duration::from_millis(50);
        site.limiter.note_limited(site.now);
        let slow = answered(PAGE, Duration::from_millis(400), before);
        site.observe(WorkSample { is_beside_dear: true, ..slow });
        assert!(site.now < since + Duration::from_secs(13), "it is measured again");
    }
    assert!(site.now > since + Duration::from_secs(9));
}

#[test]
fn failures_beside_dear_pages_lower_the_limit_as_ever() {
    const PAGE: u64 = 1 << 40;
    let mut site = Quiet::new();
    site.end(400, |_| (PAGE, WorkOutcome::Success));
    let before = site.limiter.steady_limit();
    for _ in 0..100 {
        site.now = site.now + Duration::from_millis(10);
        let failed = WorkSample {
            outcome: WorkOutcome::TimedOut,
            is_beside_dear: true,
            ..answered(PAGE, Duration::from_millis(400), before)
        };
        site.observe(failed);
    }
    assert!(site.limiter.steady_limit() < before);
}

#[test]
fn an_origin_that_is_too_slow_for_a_whole_probe_is_looked_at_once_a_minute() {
    let mut site = Quiet::new();
    let began = site.now;
    let (mut last, mut longest) = (began, Duration::ZERO);
    let mut probes = 0;
    let mut was_probing = false;
    while site.now < began + Duration::from_secs(1_800) {
        site.limiter.note_limited(site.now);
        site.now = site.now + Duration::from_millis(1_190);
        site.end_one(1 << 40, WorkOutcome::Success, Duration::from_millis(1_200));
        let is_probing = site.limiter.limit() < site.limiter.steady_limit();
        if is_probing {
            probes += u32::from(!was_probing);
            longest = longest.max(site.now.saturating_since(last));
            last = site.now;
        }
        was_probing = is_probing;
    }
    assert!(probes > 20, "{probes}");
    assert!(longest <= Duration::from_secs(64), "{longest:?} without one");
}
