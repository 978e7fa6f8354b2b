//! Records an incident of hours in virtual time, for `cargo xtask bench record` to see how large that is and how long
//! reports of it take.
//!
//! `record_incident STATE SECONDS RATE`: a quarter of an hour of readers, SECONDS of a flood of RATE requests a second
//! among them, and quiet until the record is closed. Everything is what the shield has (window, detector, controller,
//! mitigations that what comes next meets, story, writer, files), but the requests and the machine, which are made up so that
//! the record is as large as it gets: sixteen tools, so that as many mitigations stand; more networks and addresses
//! than there is room for, each refused again and again; readers of each cohort in each second; of the machine long
//! numbers. Prints what it came to as one line of JSON. Times are of this thread's processor.

#![allow(clippy::print_stdout, reason = "it is what it is for")]

#[path = "../../seawall-detect/tests/common/mod.rs"]
mod common;

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use seawall_control::{Action, ControlLoop, ControllerConfig, Entry, Step};
use seawall_decide::{Exempt, Mitigations};
use seawall_detect::{DetectorConfig, OriginStress, ProbeCounts, Sampled, Tick, Window};
use seawall_edge::recorder::{About, Reconstruction, Seen, Story, Surroundings};
use seawall_model::{
    Attribute, Attributes, Cause, ClientAddr, ConnectionSignal, Instant, Observation, RequestKind,
    Rung, Standing, Test, WallTime, Work,
};
use seawall_report::{ClockOffset, Node, OriginHealth};

use self::common::{Random, SEED, hashed, page_of, v4};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [state, seconds, rate] = arguments.as_slice() else {
        return Err("record_incident STATE SECONDS RATE".into());
    };
    let mut shield = Shield::new(Path::new(state))?;
    shield.run(seconds.parse()?, rate.parse()?)?;
    println!("{}", shield.found());
    shield.writer.keep()?;
    Ok(())
}

/// A machine that has much to say.
struct Busy(Random);

impl Surroundings for Busy {
    fn is_shared(&self, _: ClientAddr) -> bool {
        false
    }

    fn configuration(&self) -> (Vec<String>, Option<String>) {
        (vec!["example.org".to_owned()], None)
    }

    fn clock(&self) -> Option<ClockOffset> {
        None
    }

    fn describe(&self, prefix: ClientAddr) -> (Option<String>, Vec<String>) {
        let owner = 64_512 + hashed(prefix.identity() as u64) % 1_000;
        (Some(format!("AS{owner} (DE)")), vec!["shared".to_owned()])
    }

    fn node(&mut self) -> Option<Node> {
        let mut about = |middle: u64| middle + self.0.below(middle);
        Some(Node {
            rx_bytes: about(12_000_000),
            tx_bytes: about(24_000_000),
            rx_packets: about(40_000),
            rx_drops: about(100),
            listen_drops: about(100),
            syn_cookies: about(1_000),
            socket_memory_bytes: about(30_000_000),
            busy: about(4_000) as f64 / 1e4,
            steal: about(100) as f64 / 1e4,
            resident_bytes: about(300_000_000),
            link_full: Some(false),
            origin: OriginHealth {
                limit: 14,
                in_flight: 12,
                queued: about(100) as u32,
                oldest_wait_ms: about(100),
                healthy: true,
            },
            lost: Vec::new(),
        })
    }
}

struct Shield {
    story: Story,
    writer: Reconstruction,
    around: Busy,
    control: ControlLoop,
    window: Window,
    mitigations: Mitigations,
    random: Random,
    ticks: u64,
    /// What was found and done.
    opened: u64,
    closed: u64,
    measures: usize,
    met: u64,
    requests: u64,
    story_time: Duration,
    writer_time: Duration,
    longest_tick: Duration,
}

impl Shield {
    fn new(state: &Path) -> Result<Self, Box<dyn Error>> {
        let prior = (0..PRIOR).map(|number| looks(READER, number % BROWSERS)).collect();
        let detect = DetectorConfig { prior };
        let about = About {
            destination: Some(([192, 0, 2, 1], 443).into()),
            run: "0abc00000001".to_owned(),
            retention: Duration::from_secs(30 * 86_400),
            ..About::default()
        };
        Ok(Self {
            story: Story::new(about, SEED),
            writer: Reconstruction::begin(state)?,
            around: Busy(Random(11)),
            control: ControlLoop::new(detect, ControllerConfig::default(), SEED),
            window: Window::new(SEED),
            mitigations: Mitigations::none(),
            random: Random(7),
            ticks: 0,
            opened: 0,
            closed: 0,
            measures: 0,
            met: 0,
            requests: 0,
            story_time: Duration::ZERO,
            writer_time: Duration::ZERO,
            longest_tick: Duration::ZERO,
        })
    }

    fn run(&mut self, seconds: u64, rate: u64) -> io::Result<()> {
        (0..PEACE_SECONDS * TICKS).try_for_each(|_| self.quarter(0))?;
        (0..seconds * TICKS).try_for_each(|_| self.quarter(rate / TICKS))?;
        let mut patience = QUIET_SECONDS * TICKS;
        while self.story.is_open() && patience > 0 {
            patience -= 1;
            self.quarter(0)?;
        }
        Ok(())
    }

    /// A quarter of a second with so many requests of the flood.
    fn quarter(&mut self, flood: u64) -> io::Result<()> {
        for cohort in 0..READERS {
            self.read(cohort);
        }
        (0..flood).for_each(|_| self.attack());
        for signal in ConnectionSignal::ALL {
            (0..1 + flood / 10).for_each(|_| self.window.signal(signal));
        }
        self.tick()
    }

    /// A reader loads a page and what belongs to it.
    fn read(&mut self, cohort: u64) {
        let reader = self.random.below(AUDIENCE);
        let client = v4(0x0a00_0000 + reader as u32 * 37);
        let mut seen = self.observation(client, looks(READER, reader % BROWSERS));
        seen.attributes.set(Attribute::Path, reader as u32 % 40 + 1);
        seen.attributes.set(Attribute::Prefix, hashed(reader) as u32 | 1);
        match cohort {
            0 => seen.standing = Standing::SignedIn,
            1 => seen.standing = Standing::AgedReader,
            2 => seen.test = Test::Carried,
            3 => seen.kind = RequestKind::Feed,
            4 => seen.is_tor = true,
            _ => {}
        }
        self.observe(&seen);
        if cohort != 3 {
            let part = Observation { kind: RequestKind::Subresource, ..seen };
            self.observe(&part);
            self.observe(&part);
        }
    }

    fn attack(&mut self) {
        let number = self.random.next();
        let (tool, source) = (number % TOOLS, (number >> 8) % SOURCES);
        let network = source % NETWORKS;
        let address = 0x2d00_0000 + (network as u32) * 256 + (source / NETWORKS) as u32 * 80 + 9;
        let mut seen = self.observation(v4(address), looks(TOOL, tool));
        seen.attributes.set(Attribute::Network, hashed(network % 300) as u32 | 1);
        seen.attributes.set(Attribute::Prefix, hashed(network) as u32 | 1);
        seen.port = (number >> 40) as u16 | 1_024;
        seen.work = Work::Origin { cost_ms: 20 };
        seen.met = self.mitigations.meet(seen.at, &seen.attributes, seen.identity, Exempt::No);
        let (status, cause, test) = match seen.met.map(|met| met.rung) {
            Some(Rung::Block) => (429, Cause::SignatureBlock, Test::None),
            Some(Rung::Challenge) => (429, Cause::Challenged, Test::Set),
            _ => (200, seen.cause, Test::None),
        };
        if status == 429 {
            seen.work = Work::Spared;
        }
        self.met += u64::from(seen.met.is_some());
        self.observe(&Observation { status, cause, test, ..seen });
    }

    fn observation(&self, client: ClientAddr, attributes: Attributes) -> Observation {
        let target = attributes.value(Attribute::Path);
        Observation { at: self.now(), attributes, target, ..page_of(client) }
    }

    fn observe(&mut self, seen: &Observation) {
        self.requests += 1;
        if self.window.observe(seen) == Sampled::No {
            return;
        }
        for (attribute, value) in seen.attributes.known() {
            if self.window.wants_words(attribute, value) {
                self.window.keep_words(attribute, value, WORDS);
            }
        }
    }

    fn tick(&mut self) -> io::Result<()> {
        self.ticks += 1;
        let counts = self.window.counts();
        let tick = Tick {
            at: self.now(),
            wall: self.wall(),
            window: &self.window,
            stress: OriginStress { is_known: true, ..OriginStress::default() },
            probes: ProbeCounts { set: counts.tests_set, passed: counts.tests_passed },
        };
        let finding = self.control.tick(&tick);
        let mut happened = Vec::new();
        while let Some(action) = self.control.poll_action() {
            match action {
                Action::Publish(stands) => {
                    self.measures = self.measures.max(stands.len());
                    self.mitigations = Mitigations::new(&stands, SEED);
                }
                Action::Record(entry) => happened.push(entry),
            }
        }
        self.count(&happened);
        let (window, control) = (&self.window, &self.control);
        let seen = Seen { finding: &finding, window, happened: &happened, control };
        let began = thread_time();
        let outputs = self.story.tick(&seen, &mut self.around);
        let told = thread_time();
        self.writer.take(outputs)?;
        self.story_time += told - began;
        self.longest_tick = self.longest_tick.max(told - began);
        self.writer_time += thread_time() - told;
        self.window.clear();
        Ok(())
    }

    fn count(&mut self, happened: &[Entry]) {
        for entry in happened {
            self.opened += u64::from(entry.step == Step::Opened);
            self.closed += u64::from(matches!(entry.step, Step::Closed(_)));
        }
    }

    fn found(&self) -> serde_json::Value {
        serde_json::json!({
            "opened": self.opened, "closed": self.closed, "is_open": self.story.is_open(),
            "requests": self.requests, "met": self.met, "measures": self.measures,
            "ticks": self.ticks,
            "story_ns_per_request": self.story_time.as_nanos() as f64 / self.requests as f64,
            "story_us_per_tick": self.story_time.as_micros() as f64 / self.ticks as f64,
            "longest_tick_ms": self.longest_tick.as_secs_f64() * 1e3,
            "writer_ns_per_request": self.writer_time.as_nanos() as f64 / self.requests as f64,
        })
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1 + self.ticks * (Window::LENGTH.as_nanos() as u64))
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_secs(BEGAN_S) + Duration::from_millis(250 * self.ticks)
    }
}

/// What one of a kind looks like.
fn looks(kind: u64, number: u64) -> Attributes {
    let (mut attributes, mut random) = (Attributes::default(), Random(kind + number));
    Attribute::ALL.into_iter().for_each(|of| attributes.set(of, random.value()));
    attributes
}

/// What the processor worked for this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

const BEGAN_S: u64 = 1_795_341_600;
const TICKS: u64 = 4;
const PEACE_SECONDS: u64 = 900;
/// The record is closed a minute after the last alarm, which the end of such a flood may be.
const QUIET_SECONDS: u64 = 900;
const READER: u64 = 0x1000;
const TOOL: u64 = 0x2000;
const BROWSERS: u64 = 24;
const PRIOR: u64 = 500;
/// Readers in a quarter of a second, of each cohort.
const READERS: u64 = 6;
const AUDIENCE: u64 = 20_000;
const TOOLS: u64 = 16;
/// More than a record has room for: 16,384 and 32,768.
const NETWORKS: u64 = 17_000;
const SOURCES: u64 = 34_000;
/// As long as words of browsers are.
const WORDS: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0";
