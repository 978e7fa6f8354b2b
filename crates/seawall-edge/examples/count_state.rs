//! Fills everything that detection remembers, as the edge has it, for `cargo xtask bench admission --only
//! detection-state` to see how much memory that is.
//!
//! `count_state WORKERS SOURCES`. A quarter of an hour of readers first, so that there is a baseline to compare
//! with. Then SOURCES different sources at 100,000 a second: one half alike in two things, so that signatures
//! are found, stand and are tested, everything else of everybody never seen before. While that goes on the
//! baseline is written. Prints what the allocator gave at most and what of it belongs to whom. Not in it: the
//! watcher's stack, and what status shows of at most eighty measures.

#[path = "../../seawall-detect/tests/common/mod.rs"]
mod common;

use std::env;
use std::io::Write as _;

use allocation_counter::measure;
use seawall_control::{Action, ControlLoop, ControllerConfig};
use seawall_decide::{Exempt, Limiters, Mitigations};
use seawall_detect::{DetectorConfig, OriginStress, ProbeCounts, Sampled, Tick, Window};
use seawall_edge::detection::{WAITING_BYTES, windows_of};
use seawall_model::{
    Attribute, Attributes, Cause, Instant, Limits, Observation, RequestKind, Rung, Test, WallTime,
    Work,
};

use self::common::{Random, SEED, page_of, v4, v6};

fn main() {
    let mut numbers = env::args().skip(1).map(|text| text.parse().expect("a number"));
    let workers = numbers.next().unwrap_or(2);
    let sources = numbers.next().unwrap_or(10_000_000);
    // Of it only the tables of tests belong to detection; the rest is of admission, with a bar of its own.
    let limiters = Limiters::new(&Limits::default(), SEED);
    let tests_bytes = limiters.bytes_of_tests();
    let mut found = None;
    let taken = measure(|| found = Some(Everything::new(workers, &limiters).run(sources)));
    let found = found.expect("it was run");
    let numbers = [
        ("peak_bytes", taken.bytes_max + tests_bytes as u64),
        ("detector_bytes", found.detector_bytes as u64),
        ("windows_bytes", found.windows_bytes as u64),
        ("waiting_bytes", (workers * WAITING_BYTES) as u64),
        ("tests_bytes", tests_bytes as u64),
        ("file_bytes", found.file_bytes as u64),
        ("baseline_clients", u64::from(found.baseline_clients)),
        ("measures", found.measures as u64),
        ("met", found.met),
        ("tests_forgotten", limiters.tests_forgotten()),
    ];
    let mut out = std::io::stdout().lock();
    for (name, number) in numbers {
        writeln!(out, "{name} {number}").expect("standard output takes it");
    }
}

/// What the run showed.
struct Found {
    detector_bytes: usize,
    windows_bytes: usize,
    /// What is in hand while the baseline is written.
    file_bytes: usize,
    baseline_clients: u32,
    /// The most that stood.
    measures: usize,
    /// Requests that met one.
    met: u64,
}

/// What the edge has: windows, and of each worker the requests that wait for their answer; one window for
/// all of them together; detector and controller; what is published; tests that were set.
struct Everything<'a> {
    limiters: &'a Limiters,
    filled: Vec<Window>,
    spare: Vec<Window>,
    /// Held as long as the rest, and never looked at.
    _waiting: Vec<Vec<u8>>,
    merged: Window,
    control: ControlLoop,
    mitigations: Box<Mitigations>,
    random: Random,
    ticks: u32,
    found: Found,
}

impl<'a> Everything<'a> {
    fn new(workers: usize, limiters: &'a Limiters) -> Self {
        let windows = |count: usize| (0..count).map(|_| Window::new(SEED)).collect();
        let prior = (0..PRIOR).map(|number| looks(&mut Random(number % BROWSERS))).collect();
        let detect = DetectorConfig { prior };
        Self {
            limiters,
            filled: windows(workers),
            spare: windows(windows_of(workers) - workers),
            _waiting: (0..workers).map(|_| vec![0; WAITING_BYTES]).collect(),
            merged: Window::new(SEED),
            control: ControlLoop::new(detect, ControllerConfig::default(), SEED),
            mitigations: Box::new(Mitigations::none()),
            random: Random(7),
            ticks: 0,
            found: Found {
                detector_bytes: 0,
                windows_bytes: 0,
                file_bytes: 0,
                baseline_clients: 0,
                measures: 0,
                met: 0,
            },
        }
    }

    fn run(mut self, sources: usize) -> Found {
        for tick in 0..PEACE_TICKS {
            (0..READERS_A_TICK).for_each(|turn| self.read(tick + turn));
            self.tick();
        }
        for from in (0..sources).step_by(SOURCES_A_TICK) {
            (from..sources.min(from + SOURCES_A_TICK)).for_each(|number| self.attack(number));
            self.tick();
            if from / SOURCES_A_TICK % 100 == 10 {
                self.keep();
            }
        }
        let all = self.filled.iter().chain(&self.spare).chain([&self.merged]);
        let windows_bytes = all.map(Window::memory_bytes).sum();
        Found { detector_bytes: self.control.memory_bytes(), windows_bytes, ..self.found }
    }

    /// A reader with one of a few browsers loads a page and what belongs to it.
    fn read(&mut self, turn: usize) {
        let reader = self.random.next();
        let mut attributes = looks(&mut Random(reader % BROWSERS));
        attributes.set(Attribute::Path, reader as u32 % 40 + 1);
        attributes.set(Attribute::Prefix, (reader >> 32) as u32 | 1);
        for kind in [RequestKind::Page, RequestKind::Subresource, RequestKind::Subresource] {
            let seen = observation(reader, attributes, self.now());
            self.observe(&Observation { kind, work: Work::Held, ..seen }, turn);
        }
    }

    fn attack(&mut self, number: usize) {
        let source = self.random.next();
        let mut attributes = looks(&mut self.random);
        if number.is_multiple_of(2) {
            attributes.set(Attribute::Path, 0x5ea);
            attributes.set(Attribute::UserAgentFamily, 0xbad);
        }
        let now = self.now();
        let met = self.mitigations.meet(now, &attributes, source, Exempt::No);
        let mut seen = Observation { met, ..observation(source, attributes, now) };
        if met.is_some_and(|met| met.rung >= Rung::Challenge) {
            self.limiters.test_set(now, self.limiters.tested(seen.client, None, 1));
            seen = Observation { test: Test::Set, cause: Cause::Challenged, status: 429, ..seen };
        }
        self.found.met += u64::from(met.is_some());
        self.observe(&seen, number / 2);
    }

    fn observe(&mut self, seen: &Observation, turn: usize) {
        let turn = turn % self.filled.len();
        let window = &mut self.filled[turn];
        if window.observe(seen) == Sampled::No {
            return;
        }
        for (attribute, value) in seen.attributes.known() {
            if window.wants_words(attribute, value) {
                window.keep_words(attribute, value, LONG);
            }
        }
    }

    fn tick(&mut self) {
        self.ticks += 1;
        for window in &mut self.filled {
            let changed = self.ticks as usize % self.spare.len();
            std::mem::swap(window, &mut self.spare[changed]);
            self.merged.merge(&self.spare[changed]);
            self.spare[changed].clear();
        }
        let counts = self.merged.counts();
        let tick = Tick {
            at: self.now(),
            wall: self.wall(),
            window: &self.merged,
            stress: OriginStress { is_known: true, ..OriginStress::default() },
            probes: ProbeCounts { set: counts.tests_set, passed: counts.tests_passed },
        };
        let finding = self.control.tick(&tick);
        let found = &mut self.found;
        found.baseline_clients = found.baseline_clients.max(finding.baseline_clients);
        while let Some(action) = self.control.poll_action() {
            if let Action::Publish(stands) = action {
                found.measures = found.measures.max(stands.len());
                // The old ones are in force until the new ones are.
                let new = Box::new(Mitigations::new(&stands, SEED));
                drop(std::mem::replace(&mut self.mitigations, new));
            }
        }
        self.merged.clear();
    }

    /// As the file is written: what the detector tells, and once more with the seed before it.
    fn keep(&mut self) {
        let told = self.control.baseline(self.wall());
        let file = told.clone();
        self.found.file_bytes = told.capacity() + file.capacity();
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1) + Window::LENGTH * self.ticks
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_secs(1_795_341_600) + Window::LENGTH * self.ticks
    }
}

fn looks(random: &mut Random) -> Attributes {
    let mut attributes = Attributes::default();
    Attribute::ALL.into_iter().for_each(|of| attributes.set(of, random.next() as u32 | 1));
    attributes
}

fn observation(source: u64, attributes: Attributes, at: Instant) -> Observation {
    // Three of IPv4 to one of IPv6.
    let client = if source.is_multiple_of(4) { v6(source) } else { v4((source >> 8) as u32) };
    let (identity, target) = (source, attributes.value(Attribute::Path));
    let work = Work::Origin { cost_ms: 5 };
    Observation { at, identity, attributes, target, work, ..page_of(client) }
}

const BROWSERS: u64 = 24;
const PRIOR: u64 = 500;
/// A quarter of an hour of 20 readers a second: about as many as the baseline has room for.
const PEACE_TICKS: usize = 15 * 240;
const READERS_A_TICK: usize = 5;
const SOURCES_A_TICK: usize = 25_000;
/// Longer than words are kept.
const LONG: &str = "ninety-six bytes at most are kept of what a value is in words, and these here are more than that by some";
