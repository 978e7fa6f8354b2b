//! Ticks to findings: everything together.
//!
//! Each tick of 250 ms a window goes in and a [`Finding`] comes out. What is ordinary is learned from what
//! is found ordinary, and survives a restart by [`Detector::to_bytes`].
//!
//! Signal, trip, recovery: `channels`, `watch`. Cold start: channels begin with what the origin can bear,
//! the mix with what the caller knows of browsers, and the baseline is empty; where it starts in the
//! middle of an attack, only those who load whole pages at a reader's pace are learned as clients. Tie-break:
//! see `crowd`. It deliberately does **not** read a clock or decide what is done, and does the same for the
//! same ticks.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use seawall_model::{
    Attribute, AttributeValue, Attributes, ConnectionSignal, Instant, Observation, Signature,
    WallTime,
};

use crate::baseline::{Baseline, Compared, ENOUGH};
use crate::channels::{self, Channels, Learning, Reading};
use crate::counts::Counts;
use crate::crowd::{Evidence, Sign};
use crate::finding::{
    Alarm, Candidate, Channel, Finding, SignatureEvidence, SiteRates, TrafficState, Verdict,
    is_excess,
};
use crate::kept::{BaselineFault, Kept};
use crate::mine::{Miner, Requests, Volume, evidence};
use crate::mix::Mix;
use crate::onset::Onset;
use crate::sample::Sample;
use crate::signs::{self, ProbeCounts, Tests, without_ordinary};
use crate::tally::Tallies;
use crate::usual::Usual;
use crate::visitors::{Arrivals, NEW_MS, Visitors};
use crate::watch::{Watch, is_no_crowds};
use crate::who::Who;
use crate::window::Window;
use crate::words::Words;

/// What a detector starts with. The default is right for every site.
#[derive(Clone, Debug, Default)]
pub struct DetectorConfig {
    /// What requests of the browsers of the world look like, in the proportion in which they come, some 500 of them:
    /// the ordinary mix until there is one of this site. Made by whoever makes attributes.
    pub prior: Vec<Attributes>,
}

/// What a tick tells.
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// When it is over, for durations.
    pub at: Instant,
    /// When it is over, for labels and the time of the week.
    pub wall: WallTime,
    /// What the workers saw in it.
    pub window: &'a Window,
    /// How hard the origin is pressed.
    pub stress: OriginStress,
    /// What became of active tests.
    pub probes: ProbeCounts,
}

/// How hard the origin is pressed, by its gate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OriginStress {
    /// How long readers wait for a permit, in milliseconds: not those who were put behind others on purpose.
    pub queue_delay_ms: f64,
    /// Whether its limit is as low as it goes, and readers wait.
    pub is_limit_at_floor: bool,
    /// Requests per second that it has been seen to bear.
    pub safe_capacity_per_s: Option<f64>,
    /// Whether any of this is known: it is not where logs are read.
    pub is_known: bool,
}

/// Finds attacks. About 11 MB, taken once: [`Detector::memory_bytes`], 9.3 MB, and the miner's 2.
#[derive(Debug)]
pub struct Detector {
    seed: [u64; 2],
    now_ms: u64,
    last: Option<Instant>,
    channels: Box<Channels>,
    mix: Mix,
    visitors: Visitors,
    baseline: Baseline,
    prior: Vec<Attributes>,
    watch: Watch,
    onset: Onset,
    tests: Tests,
    ordinary: Ordinary,
    words: Words,
    /// The last two seconds, and samples of all of them together.
    past: Vec<Past>,
    sampled: Sample,
    turn: usize,
    now: Vec<Attributes>,
    who: Who,
    compared: Compared,
    /// Clients of this tick.
    clients: Vec<Attributes>,
    /// What clients of this tick made of being told to wait.
    told: Tallies,
    miner: Miner,
    mined_ms: u64,
    judged_ms: u64,
    /// When readers were learned last by what they do, because few are known.
    readers_ms: u64,
    minute: Minute,
    /// When what goes on may have begun.
    began_ms: u64,
    /// Clients that would be here had it not; `None` while nothing does.
    usual: Option<Usual>,
    log_odds: f64,
    polls_of_connections: Polls,
    polls_of_handshakes: Polls,
    new_clients: u64,
    safe_per_s: f64,
}

/// One tick of the last two seconds.
#[derive(Debug)]
struct Past {
    sample: Sample,
    seconds: f64,
    origin: u64,
    origin_cost_ms: u64,
    pages: f64,
    parts: f64,
}

/// How those behave who come in ordinary times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordinary {
    pub(crate) whole_pages: f64,
    pub(crate) cookies: f64,
    pub(crate) cacheable: f64,
    /// Of pages and what they load: what they load; and which part of all they are.
    pub(crate) parts: f64,
    pub(crate) pages: f64,
    pub(crate) pace_p95: f64,
    /// For how long the origin is under stress at most, in seconds; kept by the watch.
    pub(crate) pressed_s: f64,
}

impl Ordinary {
    /// As long as nothing is known.
    pub(crate) const UNKNOWN: Self = Self {
        whole_pages: 0.7,
        cookies: 0.5,
        cacheable: 0.8,
        parts: 0.8,
        pages: 0.9,
        pace_p95: 12.0,
        pressed_s: 0.0,
    };
}

/// What may have been brought by polls of feeds that are still to come: a poll comes some round trips after its connection
/// and its handshake, often in another tick.
///
/// What a poll explains came before it or with it: polls over connections that were there already are no credit for
/// what comes later.
#[derive(Clone, Copy, Debug, Default)]
struct Polls {
    early: f64,
}

impl Polls {
    /// What is left of `count` without what `polls` have brought. Where many poll, what seems to have come without one is told
    /// of in the next tick, if none has come by then.
    fn take_off(&mut self, polls: f64, count: f64) -> f64 {
        let all = self.early + count;
        let left = (all - polls * SHARED).max(0.0);
        let is_polled = polls >= count * POLLED;
        self.early = if is_polled { left.min(count) } else { 0.0 };
        left - self.early
    }
}

/// Readers by readers that are counted: of those behind one address one poll a minute is.
const SHARED: f64 = 1.03;
/// From this part of what comes on there are enough polls to wait for more.
const POLLED: f64 = 0.25;

/// The minute that goes on.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    ends_ms: u64,
    is_ordinary: bool,
    was_ordinary: bool,
}

/// Windows of which a sample is kept: two seconds.
const SAMPLES: usize = 8;
/// Milliseconds between two rounds of mining, and two judgements.
const MINE_MS: u64 = 500;
const JUDGE_MS: u64 = 1_000;
/// And between two times that readers are learned while there are few: as long as a page takes to load.
const READERS_MS: u64 = 5_000;
/// What goes on is taken to have begun so long before it was noticed.
const BEFORE_MS: u64 = 5_000;
/// A tick that is longer tells nothing: the machine slept.
const MAX_TICK_S: f64 = 5.0;
/// For so long after a start, in milliseconds, less stress is an alarm.
const STARTED_MS: u64 = 60_000;
/// A wait for the origin that is stress: twice what its queue is meant to have.
const PRESSED_MS: f64 = 40.0;
/// And one that is stress however usual it has become: else whoever presses a little more each minute could
/// have it learned as ordinary in two hours. From there on those who ask for most are refused at once.
const MAX_PRESSED_MS: f64 = 500.0;
/// What stands for a limit at its floor in the channel of stress, in milliseconds of waiting.
const FLOOR_MS: f64 = 100.0;
/// What an origin can bear of which nothing is known, in requests per second.
const UNKNOWN_CAPACITY_PER_S: f64 = 100.0;
/// After so many seconds what was a crowd is the new ordinary, and what might have been one.
const CROWD_LEARNED_S: f64 = 1_800.0;
const MIXED_LEARNED_S: f64 = 6.0 * 3_600.0;
/// Clients that are learned while things are not ordinary. Only those who load whole pages are, no feed readers and no
/// apps: were they all that is known, a signature of these would seem to harm nobody and bear a block.
const MOST_COLD: usize = ENOUGH / 2;
/// So many are learned like that while nothing is wrong: of fewer no signature has a bound on whom it would harm.
const FEW: usize = 300;
/// Words of the last minutes that are kept.
const MAX_WORDS: usize = 4_096;

impl Detector {
    /// Knows nothing yet. `seed` as for the windows, and as for the attributes of clients.
    pub fn new(config: DetectorConfig, seed: [u64; 2]) -> Self {
        let past = || Past {
            sample: Sample::new(Window::MAX_ROWS),
            seconds: 0.0,
            origin: 0,
            origin_cost_ms: 0,
            pages: 0.0,
            parts: 0.0,
        };
        let mut new = Self {
            seed,
            now_ms: 0,
            last: None,
            channels: Box::new(Channels::new()),
            mix: Mix::new(seed, &config.prior),
            prior: config.prior,
            visitors: Visitors::new(),
            baseline: Baseline::new(seed[0] ^ seed[1].rotate_left(32)),
            watch: Watch::default(),
            onset: Onset::new(),
            tests: Tests::default(),
            ordinary: Ordinary::UNKNOWN,
            words: Words::new(MAX_WORDS, seed),
            past: (0..SAMPLES).map(|_| past()).collect(),
            sampled: Sample::new(Miner::MAX_NOW),
            turn: 0,
            now: Vec::with_capacity(Miner::MAX_NOW),
            who: Who::new(Miner::MAX_NOW),
            compared: Compared::new(),
            clients: Vec::with_capacity(512),
            told: Tallies::default(),
            miner: Miner::new(),
            mined_ms: 0,
            judged_ms: 0,
            readers_ms: 0,
            minute: Minute { ends_ms: 60_000, is_ordinary: true, was_ordinary: false },
            began_ms: 0,
            usual: None,
            log_odds: 0.0,
            polls_of_connections: Polls::default(),
            polls_of_handshakes: Polls::default(),
            new_clients: 0,
            safe_per_s: UNKNOWN_CAPACITY_PER_S,
        };
        new.compared.extend_from(&new.prior);
        new
    }

    /// Takes a tick and says what it found. A millisecond; while alarmed, each half second up to five more
    /// for mining.
    pub fn tick(&mut self, tick: &Tick<'_>) -> Finding {
        let seconds = self.advance(tick.at);
        self.clients.clear();
        self.told.clear();
        let (clients, told) = (&mut self.clients, &mut self.told);
        let arrivals = self.visitors.take(
            tick.window.followed(),
            self.now_ms,
            |looks| clients.push(*looks),
            |id, some, restless| told.told(id, some, restless),
        );
        self.new_clients = arrivals.new_clients as u64;
        self.keep(tick, seconds);
        if (0.001..MAX_TICK_S).contains(&seconds) {
            self.compare(tick, &arrivals, seconds);
        }
        let alarms = self.channels.alarms();
        let is_pressed = self.is_pressed(&tick.stress);
        // Just after a start it may be the middle of an attack.
        let is_known = self.channels.is_known() && self.now_ms > STARTED_MS;
        let has_begun = self.watch.step(&alarms, is_pressed, is_known, seconds);
        self.follow(tick, has_begun, &alarms);
        let candidates = self.mine(has_begun, &alarms);
        self.finding(tick, alarms, candidates)
    }

    /// On what `signature` rests now; `None` while nothing is wrong, or where nothing was sampled.
    pub fn check(&self, signature: &Signature) -> Option<SignatureEvidence> {
        (!self.now.is_empty()).then(|| {
            evidence(signature, self.requests(), self.compared.clients(), self.volume(), 1)
        })
    }

    /// On what `signature` rests now, in peace as well: for the operator, who asks before an order. O(rows)
    /// of two seconds and of the baseline; allocates.
    pub fn weigh(&self, signature: &Signature) -> SignatureEvidence {
        let looks: Vec<Attributes> = self.recent().map(|row| row.attributes).collect();
        let mut who = Who::new(looks.len());
        who.load(self.recent());
        let now = Requests { looks: &looks, clients: who.numbers() };
        evidence(signature, now, self.compared.clients(), self.volume(), 1)
    }

    /// The requests of the last two seconds that were sampled, at most 4,096.
    pub fn recent(&self) -> impl Iterator<Item = &Observation> {
        self.past.iter().flat_map(|past| past.sample.rows())
    }

    /// What values are in words.
    pub const fn words(&self) -> &Words {
        &self.words
    }

    /// Keeps words for a value that somebody made, and that traffic may not have shown yet.
    pub fn keep_words(&mut self, attribute: Attribute, value: AttributeValue, text: &str) {
        self.words.keep(attribute, value, text);
    }

    /// Keeps the words of a signature as long as this is called: traffic pushes out others.
    pub fn renew_words(&mut self, signature: &Signature) {
        for term in signature.terms() {
            self.words.renew(term.attribute, term.value);
        }
    }

    /// What has to survive a restart, at most 2.5 MB: keyed hashes only, worth nothing without the seed, and
    /// to be kept as secret as that.
    pub fn to_bytes(&self, wall: WallTime) -> Vec<u8> {
        Kept {
            seed: self.seed,
            wall,
            channels: &self.channels,
            mix: &self.mix,
            baseline: &self.baseline,
            ordinary: Ordinary { pressed_s: self.watch.usually_pressed_s(), ..self.ordinary },
        }
        .to_bytes()
    }

    /// Goes on from what was kept. `seed` must be what it was then.
    ///
    /// # Errors
    /// What is wrong with `bytes`; the caller says so and starts anew with [`Self::new`].
    pub fn restore(
        config: DetectorConfig,
        seed: [u64; 2],
        bytes: &[u8],
        wall: WallTime,
    ) -> Result<Self, BaselineFault> {
        let mut detector = Self::new(config, seed);
        let restored = crate::kept::from_bytes(bytes, seed, wall)?;
        detector.channels = Box::new(restored.channels);
        detector.mix = restored.mix;
        detector.baseline = restored.baseline;
        detector.ordinary = restored.ordinary;
        detector.watch.set_usually_pressed_s(restored.ordinary.pressed_s);
        detector.compare_with(wall);
        Ok(detector)
    }

    /// All its memory but the miner's and words of a tick, which never grows.
    pub fn memory_bytes(&self) -> usize {
        let samples: usize = self.past.iter().map(|past| past.sample.heap_bytes()).sum();
        size_of::<Self>()
            + size_of::<Channels>()
            + self.channels.heap_bytes()
            + self.mix.heap_bytes()
            + self.visitors.heap_bytes()
            + self.baseline.heap_bytes()
            + self.words.heap_bytes()
            + samples
            + self.sampled.heap_bytes()
            + self.who.heap_bytes()
            + self.now.capacity() * size_of::<Attributes>()
            + self.compared.heap_bytes()
    }

    /// Seconds since the last tick. Of the first: the length of a window.
    fn advance(&mut self, at: Instant) -> f64 {
        let passed = self.last.map_or(Window::LENGTH, |last| at.saturating_since(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        // Milliseconds of a life that begins at 1, so that 0 is never.
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now_ms = self.now_ms.max(1).saturating_add(milliseconds(passed));
        passed.as_secs_f64()
    }

    fn keep(&mut self, tick: &Tick<'_>, seconds: f64) {
        self.words.merge(tick.window.words());
        self.turn = (self.turn + 1) % SAMPLES;
        let counts = tick.window.counts();
        let past = &mut self.past[self.turn];
        past.sample.clear();
        past.sample.merge(tick.window.rows());
        past.seconds = seconds;
        past.origin = counts.origin + counts.spared;
        past.origin_cost_ms = counts.origin_cost_ms;
        (past.pages, past.parts) = (counts.pages as f64, counts.parts as f64);
        self.tests.take(tick.probes, seconds);
        self.onset.take(tick.window.counts().requests as f64, seconds);
        if let Some(safe) = tick.stress.safe_capacity_per_s.filter(|safe| safe.is_finite()) {
            self.safe_per_s = safe.clamp(5.0, 10_000.0);
        }
    }

    /// Compares the tick with the ordinary, and learns from it as far as it is.
    fn compare(&mut self, tick: &Tick<'_>, arrivals: &Arrivals, seconds: f64) {
        let learning = self.learning();
        let is_ordinary = learning == Learning::Ordinary && !self.channels.is_rising();
        self.mix.take(&self.clients, arrivals.each_stands_for, seconds, is_ordinary);
        let reading = self.reading(tick, arrivals, seconds);
        self.channels.step(&reading, learning);
    }

    fn reading(&mut self, tick: &Tick<'_>, arrivals: &Arrivals, seconds: f64) -> Reading {
        let counts = tick.window.counts();
        let signalled = |signal| counts.signalled(signal) as f64;
        // Polls of a feed that has not changed, each once a minute: what comes on the hour every hour.
        // Each may have brought a connection, a handshake and a client.
        let without_polls = |count: f64| Some((count - arrivals.polls).max(0.0));
        let opened = signalled(ConnectionSignal::Opened);
        let opened = self.polls_of_connections.take_off(arrivals.polls, opened);
        let shaken = signalled(ConnectionSignal::Handshake);
        let shaken = self.polls_of_handshakes.take_off(arrivals.polls, shaken);
        let mut values = [None; channels::COUNT];
        let mut set = |channel: Channel, value| values[channel.index()] = value;
        set(Channel::Requests, without_polls(counts.requests as f64));
        set(Channel::OriginBound, Some((counts.origin + counts.spared) as f64));
        set(Channel::OriginCost, Some(counts.origin_cost_ms as f64));
        set(Channel::Connections, Some(opened));
        set(Channel::Handshakes, Some(shaken));
        set(Channel::HandshakeFailures, Some(signalled(ConnectionSignal::HandshakeFailed)));
        set(Channel::Resets, Some(signalled(ConnectionSignal::Reset)));
        set(Channel::SlowConnections, Some(signalled(ConnectionSignal::Slow)));
        set(Channel::ClientErrors, Some(counts.client_errors as f64));
        set(Channel::ServerErrors, Some(counts.server_errors as f64));
        // After a start everybody seems to be new.
        if self.now_ms > NEW_MS {
            set(Channel::NewClients, without_polls(arrivals.new_clients));
        }
        set(Channel::Composition, self.mix.far_bits());
        if tick.stress.is_known {
            let floor = if tick.stress.is_limit_at_floor { FLOOR_MS } else { 0.0 };
            let delay = tick.stress.queue_delay_ms;
            let delay = if delay.is_finite() { delay.clamp(0.0, 10_000.0) } else { 0.0 };
            set(Channel::OriginStress, Some(delay + floor));
        }
        let priors = Channel::ALL.map(|channel| self.prior(channel));
        Reading { seconds, wall: tick.wall, values, priors }
    }

    /// What is taken for ordinary per second before anything is known: what the origin can bear, and of what does
    /// not reach it several times that.
    fn prior(&self, channel: Channel) -> f64 {
        let times = match channel {
            Channel::Requests | Channel::Connections | Channel::Handshakes => 10.0,
            Channel::NewClients => 5.0,
            // As many milliseconds as there are in as many requests of 100 ms.
            Channel::OriginCost => 100.0,
            Channel::OriginBound | Channel::ClientErrors => 1.0,
            Channel::HandshakeFailures
            | Channel::Resets
            | Channel::SlowConnections
            | Channel::ServerErrors => 0.5,
            Channel::Composition | Channel::OriginStress => 0.0,
        };
        times * self.safe_per_s
    }

    fn learning(&self) -> Learning {
        let learned_after_s = match self.watch.state() {
            TrafficState::Normal | TrafficState::Watch => 0.0,
            TrafficState::Alarmed(Verdict::Crowd) => CROWD_LEARNED_S,
            TrafficState::Alarmed(Verdict::Mixed) => MIXED_LEARNED_S,
            TrafficState::Alarmed(Verdict::Attack) | TrafficState::Recovery => f64::INFINITY,
        };
        if self.watch.alarmed_s() >= learned_after_s || learned_after_s <= 0.0 {
            Learning::Ordinary
        } else {
            Learning::Held
        }
    }

    fn is_pressed(&self, stress: &OriginStress) -> bool {
        let usual = self.channels.expected(Channel::OriginStress, 0.0);
        let wait_ms = (2.0 * usual + PRESSED_MS / 2.0).clamp(PRESSED_MS, MAX_PRESSED_MS);
        stress.is_known && (stress.is_limit_at_floor || stress.queue_delay_ms >= wait_ms)
    }

    /// Everything that is done less often than each tick.
    fn follow(&mut self, tick: &Tick<'_>, has_begun: bool, alarms: &[Alarm]) {
        let state = self.watch.state();
        if state == TrafficState::Normal {
            self.began_ms = self.now_ms.saturating_sub(BEFORE_MS);
            self.usual = None;
        } else {
            let (visitors, began_ms) = (&self.visitors, self.began_ms);
            self.usual.get_or_insert_with(|| visitors.usual(began_ms));
            self.minute.is_ordinary = false;
            self.gather();
        }
        if has_begun || self.now_ms >= self.judged_ms + JUDGE_MS {
            self.judged_ms = self.now_ms;
            if state == TrafficState::Normal {
                self.log_odds = 0.0;
                self.learn_behaviour(tick.window);
            } else {
                let evidence = self.evidence();
                self.log_odds = evidence.log_odds();
                self.watch.judge(match evidence.verdict() {
                    Verdict::Crowd if is_no_crowds(alarms, self.growth()) => Verdict::Mixed,
                    verdict => verdict,
                });
            }
        }
        let most = if self.minute.is_ordinary { FEW } else { MOST_COLD };
        let is_cold = self.baseline.len() < most;
        if is_cold && self.now_ms >= self.readers_ms + READERS_MS {
            self.learn_readers(tick.wall);
        }
        if self.now_ms >= self.minute.ends_ms {
            self.end_minute(tick.wall);
        }
    }

    /// How many times as many requests there are as would be ordinary.
    fn growth(&self) -> f64 {
        let rates = self.rates();
        rates.requests / rates.requests_expected.max(1e-9)
    }

    /// Puts the samples of the last two seconds together.
    fn gather(&mut self) {
        self.sampled.clear();
        for past in &self.past {
            self.sampled.merge(&past.sample);
        }
        self.now.clear();
        self.now.extend(self.sampled.rows().iter().map(|row| row.attributes));
        self.who.load(self.sampled.rows().iter());
    }

    fn requests(&self) -> Requests<'_> {
        Requests { looks: &self.now, clients: self.who.numbers() }
    }

    /// Learns how ordinary clients behave.
    fn learn_behaviour(&mut self, window: &Window) {
        let behaviour = self.visitors.behaviour(0, self.now_ms);
        let mut learn = |ordinary: fn(&mut Ordinary) -> &mut f64, now: f64, count: f64| {
            let gain = (count / 20.0).min(1.0) * JUDGE_MS as f64 / 300_000.0;
            let ordinary = ordinary(&mut self.ordinary);
            *ordinary += gain * (now - *ordinary);
        };
        let (whole, cookies) = (behaviour.whole_pages, behaviour.cookies);
        learn(|ordinary| &mut ordinary.whole_pages, whole.part, whole.of);
        learn(|ordinary| &mut ordinary.cookies, cookies.part, cookies.of);
        learn(|ordinary| &mut ordinary.pace_p95, behaviour.pace_p95.max(3.0), behaviour.paced);
        let (cacheable, count) = signs::cacheable(window.sample());
        learn(|ordinary| &mut ordinary.cacheable, cacheable, count);
        let counts = window.counts();
        let (requests, parts) = (counts.requests as f64, counts.parts as f64);
        let of_pages = counts.pages as f64 + parts;
        learn(|ordinary| &mut ordinary.parts, parts / of_pages.max(1.0), of_pages);
        learn(|ordinary| &mut ordinary.pages, of_pages / requests.max(1.0), requests);
    }

    /// What speaks for a crowd and for an attack.
    fn evidence(&self) -> Evidence {
        let rates = self.rates();
        let excess = 1.0 - (rates.requests_expected / rates.requests.max(1e-9)).min(1.0);
        let behaviour = self.visitors.behaviour(self.began_ms, self.now_ms);
        let usual_clients = self.usual_clients();
        let new = 1.0 - (usual_clients / behaviour.clients.max(1e-9)).min(1.0);
        let ordinary = &self.ordinary;
        let (whole, cookies) = (behaviour.whole_pages, behaviour.cookies);
        let rows = self.sampled.rows();
        let (cacheable, count) = signs::cacheable(rows);
        // Of pages and their parts alone, and as far as they are what is too much: forms are no pages that load nothing.
        let (pages_s, parts_s) = (self.per_s(|past| past.pages), self.per_s(|past| past.parts));
        let pages_per_s = (pages_s + parts_s).max(1e-9);
        let too_many = (pages_per_s - rates.requests_expected * ordinary.pages).max(0.0);
        let (more_pages, more) = (too_many / pages_per_s, rates.requests - rates.requests_expected);
        let of_excess = if more > 0.0 { (too_many / more).min(1.0) } else { 0.0 };
        let (divergence, drawn) = self.mix.excess_bits().unwrap_or((0.0, 0.0));
        let (mut targets, mut referrers) = (signs::targets(rows), signs::referrers(rows));
        targets.sure *= excess;
        referrers.sure *= excess;
        let onset_s = self.onset.seconds(rates.requests_expected);
        // Where those who are too many ask for no page, how pages are read tells of the others.
        let new_readers = new * behaviour.readers;
        Evidence {
            divergence: Sign::of(divergence, drawn).times(excess * (1.0 - self.cold())),
            whole_pages: Sign::of(
                without_ordinary(whole.part, ordinary.whole_pages, new),
                whole.of,
            )
            .times(2.0 * new_readers),
            parts: Sign::of(
                without_ordinary(parts_s / pages_per_s, ordinary.parts, more_pages)
                    / ordinary.parts.max(0.1),
                pages_per_s,
            )
            .times(8.0 * more_pages)
            .times(of_excess),
            cacheable: Sign::of(without_ordinary(cacheable, ordinary.cacheable, excess), count)
                .times(2.0 * excess),
            pace: Sign::of(behaviour.pace / ordinary.pace_p95.max(1.0), behaviour.paced)
                .times(new_readers),
            unevenness: behaviour
                .unevenness
                .map_or(Sign::default(), |value| Sign { value, sure: new_readers }),
            targets,
            onset_s: onset_s.map_or(Sign::default(), |value| Sign { value, sure: 1.0 }),
            referrers,
            // Where readers bring back no cookies, because there are none, it says nothing that others do not.
            cookies: Sign::of(without_ordinary(cookies.part, ordinary.cookies, new), cookies.of)
                .times(2.0 * new)
                .times((ordinary.cookies - 0.3) / 0.4),
            tests: self.tests.sign(),
        }
    }

    /// How many clients would be here of those who came since what goes on began.
    fn usual_clients(&self) -> f64 {
        let since_ms = self.now_ms.saturating_sub(self.began_ms);
        let by_rate = || {
            let prior = self.prior(Channel::NewClients) * self.cold();
            let seconds = since_ms as f64 / 1_000.0;
            seconds.min(60.0) * self.channels.expected(Channel::NewClients, prior)
        };
        self.usual.as_ref().and_then(|usual| usual.clients(since_ms)).unwrap_or_else(by_rate)
    }

    /// How little is known of what is ordinary: 1 (nothing) to 0. 500 clients are half of it.
    fn cold(&self) -> f64 {
        let clients = self.baseline.len() as f64;
        1.0 - clients / (clients + 500.0)
    }

    /// Learns clients: those of the minute before this one, if both were ordinary, so that nobody is learned
    /// who came in the seconds before an attack was noticed.
    fn end_minute(&mut self, wall: WallTime) {
        let minutes = (self.now_ms - self.minute.ends_ms) / 60_000 + 1;
        self.baseline.age(u32::try_from(minutes).unwrap_or(u32::MAX));
        let (from, to) = (
            self.minute.ends_ms.saturating_sub(120_000),
            self.minute.ends_ms.saturating_sub(60_000),
        );
        let hour = hour_of_week(wall);
        let is_ordinary = self.minute.is_ordinary && self.minute.was_ordinary;
        for visitor in self.visitors.were_here(from, to) {
            if is_ordinary && !visitor.is_met {
                let looks = (&visitor.attributes, &visitor.came_for);
                self.baseline.offer(visitor.identity, looks, hour);
            }
        }
        self.minute = Minute {
            ends_ms: self.minute.ends_ms + 60_000 * minutes,
            is_ordinary: true,
            was_ordinary: self.minute.is_ordinary,
        };
        self.compare_with(wall);
    }

    /// Where few are known readers are told by what they do, within seconds, also in an attack: what browsers of the world
    /// look like is not what readers here do. Also those whom a measure met, which may have been made without knowing
    /// them: what their pages load is in hand, and they had it.
    fn learn_readers(&mut self, wall: WallTime) {
        self.readers_ms = self.now_ms;
        let hour = hour_of_week(wall);
        let from = self.now_ms.saturating_sub(2 * READERS_MS);
        for visitor in self.visitors.were_here(from, self.now_ms) {
            if self.baseline.len() >= MOST_COLD {
                break;
            }
            if visitor.is_reader(self.now_ms) || visitor.is_vouched() {
                let looks = (&visitor.attributes, &visitor.came_for);
                self.baseline.offer(visitor.identity, looks, hour);
            }
        }
        self.compare_with(wall);
    }

    /// What a signature must not mean: those who are known, and as long as they are few, what browsers of the world
    /// look like.
    fn compare_with(&mut self, wall: WallTime) {
        self.baseline.compared(hour_of_week(wall), &mut self.compared);
        // Never so many together that they would count as clients who license a block.
        let room = (ENOUGH - 1).saturating_sub(self.compared.len()).min(self.prior.len());
        self.compared.extend_from(&self.prior[..room]);
    }

    fn mine(&mut self, has_begun: bool, alarms: &[Alarm]) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let is_alarmed = matches!(self.watch.state(), TrafficState::Alarmed(_));
        let is_worth_it = is_alarmed && is_excess(alarms, &self.rates());
        if is_worth_it && (has_begun || self.now_ms >= self.mined_ms + MINE_MS) {
            self.mined_ms = self.now_ms;
            let volume = self.volume();
            let now = Requests { looks: &self.now, clients: self.who.numbers() };
            self.miner.mine(now, self.compared.clients(), volume, &mut candidates);
        }
        candidates
    }

    /// Of the time that the samples are of.
    fn volume(&self) -> Volume {
        let prior = self.prior(Channel::Requests);
        Volume {
            now_per_s: self.per_s(|past| past.sample.sampled_of() as f64),
            expected_per_s: self.channels.expected(Channel::Requests, prior),
        }
    }

    /// How much there was of something in each of the last two seconds.
    fn per_s(&self, of: impl Fn(&Past) -> f64) -> f64 {
        let seconds: f64 = self.past.iter().map(|past| past.seconds).sum();
        self.past.iter().map(of).sum::<f64>() / seconds.max(0.25)
    }

    fn rates(&self) -> SiteRates {
        let expected = |channel| self.channels.expected(channel, self.prior(channel));
        SiteRates {
            requests: self.volume().now_per_s,
            requests_expected: expected(Channel::Requests),
            origin_bound: self.per_s(|past| past.origin as f64),
            origin_bound_expected: expected(Channel::OriginBound),
            origin_cost_ms: self.per_s(|past| past.origin_cost_ms as f64),
            origin_cost_ms_expected: expected(Channel::OriginCost),
        }
    }

    fn finding(&self, tick: &Tick<'_>, alarms: Vec<Alarm>, candidates: Vec<Candidate>) -> Finding {
        let mut tallies = tick.window.tallies().clone();
        tallies.merge(&self.told);
        Finding {
            at: tick.at,
            wall: tick.wall,
            state: self.watch.state(),
            alarms,
            log_odds: self.log_odds,
            rates: self.rates(),
            baseline_clients: self.baseline.len() as u32,
            candidates,
            counts: Counts { new_clients: self.new_clients, ..*tick.window.counts() },
            met: tallies.counts().to_vec(),
            unsure: self.visitors.unsure(self.now_ms),
        }
    }
}

/// Wherever the week begins.
fn hour_of_week(wall: WallTime) -> u8 {
    (wall.unix_secs() / 3_600 % 168) as u8
}

#[cfg(test)]
mod tests;
