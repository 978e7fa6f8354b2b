//! What an attacker who has a day, sees the state of the site and never hurries makes of what is ordinary, and
//! when that is forgotten; restarts, and clocks that go wrong.
//!
//! The whole detector in virtual time, with ticks of two seconds where nothing is to be noticed at once. The
//! site has ten requests a second of readers who load whole pages; a tool looks the same in all its
//! requests, comes from another address each time and works the origin.

mod common;

use core::time::Duration;

use common::{Random, SEED, page_of, v4};
use seawall_detect::{
    Detector, DetectorConfig, Finding, OriginStress, ProbeCounts, Tick, TrafficState, Window,
    licence,
};
use seawall_model::{
    Attribute, ClientAddr, Instant, Observation, RequestKind, Rung, Signature, Term, WallTime, Work,
};

struct World {
    random: Random,
    detector: Detector,
    window: Window,
    now: Instant,
    wall: WallTime,
    /// What belongs to pages that were asked for in the last tick.
    parts: Vec<Observation>,
    /// Parts of visits and of the tool's requests that are still to come.
    visits: f64,
    shots: f64,
    /// How long those wait for the origin who get a turn while it can do all that it is asked for.
    queue_ms: f64,
}

const VISITS_PER_S: f64 = 2.0;
const PARTS: u32 = 4;
const ORDINARY_PER_S: f64 = VISITS_PER_S * (1.0 + PARTS as f64);
/// What the origin can do in a second. Readers ask it for nothing: their pages are in hand.
const CAPACITY_PER_S: f64 = 60.0;

/// What tells a tool from readers.
fn of_tool(tool: u32) -> Signature {
    let term = |attribute| Term { attribute, value: tool };
    Signature::new(&[term(Attribute::UserAgent), term(Attribute::Path)]).expect("two terms")
}

impl World {
    /// A site that has been watched for an hour, and knows enough clients to block.
    fn watched() -> Self {
        let mut world = Self {
            random: Random(5),
            detector: Detector::new(DetectorConfig::default(), SEED),
            window: Window::new(SEED),
            now: Instant::from_nanos(1),
            wall: WallTime::from_unix_secs(1_795_341_600),
            parts: Vec::new(),
            visits: 0.0,
            shots: 0.0,
            queue_ms: 0.0,
        };
        let last = world.live(3_600);
        assert_eq!(last.state, TrafficState::Normal);
        assert!(last.baseline_clients >= 3_000, "{}", last.baseline_clients);
        world
    }

    /// The same site after a restart that took so long, with what was kept as `bytes`.
    fn restart(self, bytes: &[u8], took: Duration) -> Self {
        let wall = self.wall + took;
        let detector = Detector::restore(DetectorConfig::default(), SEED, bytes, wall);
        let (detector, now) = (detector.expect("what was written"), Instant::from_nanos(1));
        Self { detector, now, wall, ..self }
    }

    fn client(&mut self) -> ClientAddr {
        v4(self.random.next() as u32)
    }

    fn visit(&mut self) -> Observation {
        let client = self.client();
        let browser = self.random.below(8) as u32;
        let mut page = page_of(client);
        for attribute in [Attribute::Ja4, Attribute::UserAgent, Attribute::FieldOrder] {
            page.attributes.set(attribute, 100 + browser);
        }
        page.attributes.set(Attribute::Path, 200 + self.random.below(12) as u32);
        page.target = self.random.below(40) as u32;
        for part in 0..PARTS {
            let mut seen =
                Observation { kind: RequestKind::Subresource, target: 90 + part, ..page };
            seen.attributes.set(Attribute::Path, 300 + part);
            seen.returned_cookie = true;
            self.parts.push(seen);
        }
        page
    }

    fn shot(&mut self, tool: u32) -> Observation {
        let mut seen = page_of(self.client());
        for attribute in
            [Attribute::Ja4, Attribute::UserAgent, Attribute::FieldOrder, Attribute::Path]
        {
            seen.attributes.set(attribute, tool);
        }
        let work = Work::Origin { cost_ms: 20 };
        Observation { target: tool, is_cacheable: false, work, ..seen }
    }

    /// Ordinary traffic, and so many requests a second of a tool.
    fn tick(&mut self, length: Duration, tool: u32, per_s: f64) -> Finding {
        let seconds = length.as_secs_f64();
        for seen in core::mem::take(&mut self.parts) {
            let _ = self.window.observe(&seen);
        }
        // Not like clockwork: between none and twice as many.
        self.visits += VISITS_PER_S * seconds * self.random.below(2_001) as f64 / 1_000.0;
        while self.visits >= 1.0 {
            self.visits -= 1.0;
            let page = self.visit();
            let _ = self.window.observe(&page);
        }
        self.shots += per_s * seconds;
        while self.shots >= 1.0 {
            self.shots -= 1.0;
            let shot = self.shot(tool);
            let _ = self.window.observe(&shot);
        }
        self.now = self.now + length;
        self.wall = self.wall + length;
        let is_pressed = per_s > CAPACITY_PER_S;
        let stress = OriginStress {
            queue_delay_ms: if is_pressed { MAX_QUEUE_MS } else { self.queue_ms },
            safe_capacity_per_s: Some(CAPACITY_PER_S),
            is_limit_at_floor: false,
            is_known: true,
        };
        let (at, wall, window) = (self.now, self.wall, &self.window);
        let tick = Tick { at, wall, window, stress, probes: ProbeCounts::default() };
        let finding = self.detector.tick(&tick);
        self.window.clear();
        finding
    }

    /// So many seconds of peace.
    fn live(&mut self, seconds: u32) -> Finding {
        let last = (0..seconds.div_ceil(2)).map(|_| self.tick(2 * SECOND, 0, 0.0)).last();
        last.expect("a tick at least")
    }

    /// So many seconds of a flood, tick by tick as they are.
    fn suffer(&mut self, tool: u32, per_s: f64, seconds: u32) -> Vec<Finding> {
        (0..4 * seconds).map(|_| self.tick(Window::LENGTH, tool, per_s)).collect()
    }

    /// How far the evidence against a tool bears now.
    fn bears(&self, tool: u32) -> Rung {
        let signature = of_tool(tool);
        licence(&signature, &self.detector.weigh(&signature))
    }

    /// Which part of the clients known as ordinary a tool has.
    fn share(&self, tool: u32) -> f64 {
        let evidence = self.detector.weigh(&of_tool(tool));
        f64::from(evidence.baseline_hits) / f64::from(evidence.baseline_clients)
    }

    /// So many hours of whoever sees the state and has time: a twentieth more after each minute that was normal, half
    /// after one that was not. The most that it was, in requests a second.
    fn be_poisoned(&mut self, tool: u32, hours: u32) -> f64 {
        let (mut per_s, mut most) = (0.1, 0.0_f64);
        for _ in 0..hours * 60 {
            let state = |world: &mut Self| world.tick(2 * SECOND, tool, per_s).state;
            let odd = (0..30).filter(|_| state(self) != TrafficState::Normal).count();
            let is_normal = odd == 0;
            most = if is_normal { most.max(per_s) } else { most };
            per_s = if is_normal { per_s * 1.05 } else { (per_s / 2.0).max(0.1) };
        }
        most
    }
}

/// Seconds until the alarm.
fn delay(findings: &[Finding]) -> f64 {
    let is_alarmed = |finding: &Finding| matches!(finding.state, TrafficState::Alarmed(_));
    let ticks = findings.iter().position(is_alarmed);
    ticks.map_or(f64::INFINITY, |ticks| (ticks + 1) as f64 * Window::LENGTH.as_secs_f64())
}

const SECOND: Duration = Duration::from_secs(1);
/// As long as anybody waits for the origin.
const MAX_QUEUE_MS: f64 = 2_000.0;
const PATIENT: u32 = 0xbad;
const OTHER: u32 = 0xbeef;

#[test]
fn a_patient_day_raises_what_is_ordinary_up_to_what_the_origin_bears_and_no_further() {
    let mut world = World::watched();
    let most = world.be_poisoned(PATIENT, 24);
    // It cannot be told from a site that grows; what the origin cannot bear is noticed at once.
    assert!((3.0 * ORDINARY_PER_S..=1.05 * CAPACITY_PER_S).contains(&most), "{most}");
    let share = world.share(PATIENT);
    assert!((0.02..=0.25).contains(&share), "a quarter of the clients in a day: {share}");

    let bytes = world.detector.to_bytes(world.wall);
    let mut world = world.restart(&bytes, 60 * SECOND);
    let flood = world.suffer(PATIENT, 10.0 * CAPACITY_PER_S, 20);
    assert!(delay(&flood) <= 2.0, "{}", delay(&flood));
    assert_eq!(
        world.bears(PATIENT),
        Rung::Observe,
        "it passes for ordinary: rationed, not refused"
    );

    let after = world.live(1_800);
    let expected = after.rates.requests_expected;
    assert!((expected / ORDINARY_PER_S - 1.0).abs() < 0.2, "half an hour later: {expected}");
    let flood = world.suffer(OTHER, 10.0 * ORDINARY_PER_S, 20);
    assert!(delay(&flood) <= 2.0, "{}", delay(&flood));
    assert!(world.bears(OTHER) >= Rung::Challenge, "another tool is none of his clients");
}

#[test]
fn what_was_poisoned_is_forgotten_after_a_week() {
    let mut world = World::watched();
    world.be_poisoned(PATIENT, 4);
    let poisoned = world.share(PATIENT);
    assert!(poisoned > 0.005, "{poisoned}");
    // Five days and nine, of which only an hour each is lived through.
    for (days, is_forgotten) in [(5, false), (4, true)] {
        for _ in 0..days {
            world.tick(Duration::from_secs(23 * 3_600), 0, 0.0);
            world.live(3_600);
        }
        assert_eq!(world.share(PATIENT) == 0.0, is_forgotten, "{}", world.share(PATIENT));
    }
    world.suffer(PATIENT, 10.0 * ORDINARY_PER_S, 20);
    assert!(world.bears(PATIENT) >= Rung::Demote, "{:?}", world.bears(PATIENT));
}

#[test]
fn an_origin_that_is_pressed_is_an_alarm_however_slowly_readers_got_used_to_it() {
    let mut world = World::watched();
    world.queue_ms = 10.0;
    let mut most: f64 = 0.0;
    for _ in 0..12 * 60 {
        let minute: Vec<Finding> = (0..30).map(|_| world.tick(2 * SECOND, 0, 0.0)).collect();
        let is_alarmed = delay(&minute).is_finite();
        most = if is_alarmed { most } else { most.max(world.queue_ms) };
        world.queue_ms *= if is_alarmed { 0.5 } else { 1.05 };
    }
    assert!(
        most < 0.3 * MAX_QUEUE_MS,
        "milliseconds of waiting that are nobody's business: {most}"
    );
}

#[test]
fn a_restart_in_the_middle_of_an_attack_goes_on_where_it_was() {
    let mut world = World::watched();
    let before = world.detector.to_bytes(world.wall);
    world.suffer(OTHER, 600.0, 120);
    let amid = world.detector.to_bytes(world.wall);
    // Ended in order, and by a power cut: what was written in the attack, and ten minutes before.
    for (bytes, took) in [(amid, 3), (before, 40)] {
        world = world.restart(&bytes, took * SECOND);
        let again = world.suffer(OTHER, 600.0, 60);
        assert!(delay(&again) <= 1.0, "{}", delay(&again));
        let first = again.iter().position(|finding| !finding.candidates.is_empty());
        assert!(first.is_some_and(|ticks| ticks <= 8), "named again: {first:?}");
        assert_eq!(world.bears(OTHER), Rung::Block, "the clients of before are known");
        assert!(world.share(OTHER) == 0.0, "none of it was learned");
        let expected = again.last().expect("ticks").rates.requests_expected;
        assert!((expected / ORDINARY_PER_S - 1.0).abs() < 0.2, "{expected}");
    }
    assert_eq!(world.live(300).state, TrafficState::Normal);
}

#[test]
fn clocks_that_stand_still_leap_or_run_backwards_do_no_harm() {
    let mut world = World::watched();
    let bytes = world.detector.to_bytes(world.wall);
    // The machine slept for three days: no clock of ours counts them as traffic.
    world.tick(Duration::from_secs(3 * 86_400), 0, 0.0);
    assert_eq!(world.live(60).state, TrafficState::Normal);
    // Ticks that take no time, and one that is over before the last one was.
    for earlier_s in [0, 0, 90] {
        world.now = Instant::from_nanos(world.now.as_nanos() - earlier_s * 1_000_000_000);
        let finding = world.tick(Duration::ZERO, 0, 0.0);
        assert!(finding.rates.requests_expected.is_finite());
    }
    // Until the clock is again where it was nothing is compared.
    assert_eq!(world.live(150).state, TrafficState::Normal);
    // It starts again with a clock that is a year behind the file.
    world.wall = WallTime::from_unix_secs(world.wall.unix_secs() - 365 * 86_400);
    let mut world = world.restart(&bytes, Duration::ZERO);
    let quiet = world.live(60);
    assert_eq!(quiet.state, TrafficState::Normal);
    assert!(quiet.baseline_clients >= 3_000, "{}", quiet.baseline_clients);
    let flood = world.suffer(OTHER, 10.0 * CAPACITY_PER_S, 20);
    assert!(delay(&flood) <= 2.0, "{}", delay(&flood));
    assert_eq!(world.bears(OTHER), Rung::Block);
}
