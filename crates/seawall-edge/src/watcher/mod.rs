//! The thread that watches: four times a second what all workers saw becomes a finding, and what is
//! decided about it is put in force.
//!
//! It holds no rule of its own: [`ControlLoop`] does, which replay and simulator run as well. If it
//! breaks down it begins anew with the baseline that was kept last; what was in force until then
//! stays, and ends by itself.

mod baseline;
mod book;
mod generated;
mod orders;
mod synthetic;
mod terms;
mod told;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use seawall_control::{Action, ControlLoop, ControllerConfig, Entry, OperatorCommand};
use seawall_decide::prior;
use seawall_detect::{
    DetectorConfig, Finding, GateReading, OriginMeter, ProbeCounts, Tick, Window,
};
use seawall_model::Instant;

use crate::clock;
use crate::recorder::{self, Recorder, Seen};
use crate::shared::Shared;

pub(crate) use self::baseline::BaselineFile;
use self::book::Book;
pub use self::generated::{GeneratedRequest, write_generated_baseline};
use self::orders::Desk;
pub(crate) use self::orders::Orders;
use self::synthetic::Synthetic;
pub use self::told::MeasureStatus;
pub(crate) use self::told::Told;

/// What the thread needs.
pub(crate) struct Watcher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) file: Arc<BaselineFile>,
    pub(crate) windows: Receiver<Window>,
    /// Ends the thread.
    pub(crate) ended: Arc<AtomicBool>,
}

impl Watcher {
    /// Watches until it is ended; keeps the baseline at the end.
    pub(crate) fn run(self) {
        let mut turn = Turn::new(&self.shared, &self.file, self.file.first());
        let mut recorder =
            recorder::start(&self.shared, self.file.seed(), self.file.is_generated());
        while !self.ended.load(Ordering::Relaxed) {
            let taken = catch_unwind(AssertUnwindSafe(|| turn.watch(&self, recorder.as_mut())));
            if taken.is_err() {
                tracing::error!(
                    "the watch over attacks broke down and begins anew; mitigations stay until they end"
                );
                if let Some(recorder) = &mut recorder {
                    recorder.broke_down();
                }
                let kept = self.file.read();
                turn = Turn::new(&self.shared, &self.file, kept.as_deref());
            }
        }
        self.file.keep(&turn.control.baseline(clock::wall()));
        if let Some(recorder) = recorder {
            recorder.finish(turn.control.controller().incident());
        }
    }
}

/// The state of the thread.
struct Turn {
    control: ControlLoop,
    book: Book,
    /// What was recorded since the last tick.
    happened: Vec<Entry>,
    merged: Window,
    synthetic: Synthetic,
    origin: OriginMeter,
    /// Of the configuration that the mode was taken from.
    generation: u64,
    kept: Instant,
    last: Instant,
    ticks: u64,
    /// Whether what is ordinary was generated for a rehearsal.
    is_generated: bool,
}

impl Turn {
    fn new(shared: &Shared, file: &BaselineFile, kept: Option<&[u8]>) -> Self {
        let detect = || DetectorConfig { prior: prior(shared.detection.attributer()) };
        let policy = shared.policy.load();
        let control = ControllerConfig { mode: policy.config.mitigate.mode };
        let (seed, wall) = (file.seed(), clock::wall());
        let restored = kept.and_then(|bytes| {
            let restored = ControlLoop::restore(detect(), control, seed, bytes, wall);
            restored.inspect_err(|fault| file.put_aside(fault)).ok()
        });
        let now = clock::now();
        let mut control = restored.unwrap_or_else(|| ControlLoop::new(detect(), control, seed));
        let mut book = Book::new(&policy.config.state_dir, seed);
        book.restore((&mut control, shared.detection.attributer()), (now, wall));
        act(shared, &mut control, |_| {});
        shared.detection.tell(Told::ordered(&control));
        Self {
            control,
            book,
            happened: Vec::new(),
            merged: Window::new(seed),
            synthetic: Synthetic::new(),
            origin: OriginMeter::default(),
            generation: policy.generation,
            kept: now,
            last: now,
            ticks: 0,
            is_generated: file.is_generated(),
        }
    }

    /// Takes windows for a quarter of a second, then does what there is to do.
    fn watch(&mut self, watcher: &Watcher, recorder: Option<&mut Recorder>) {
        let shared = &watcher.shared;
        let due = self.last + Window::LENGTH;
        loop {
            let left = due.saturating_since(clock::now());
            match watcher.windows.recv_timeout(left) {
                Ok(mut window) => {
                    self.merged.merge(&window);
                    window.clear();
                    shared.detection.give_back(window);
                }
                Err(RecvTimeoutError::Timeout) => break,
                // The workers have ended.
                Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(left),
            }
            if clock::now() >= due {
                break;
            }
        }
        self.tick(watcher, recorder);
        if self.last.saturating_since(self.kept) >= KEEP_EVERY {
            self.kept = self.last;
            watcher.file.keep_aside(self.control.baseline(clock::wall()));
        }
    }

    fn tick(&mut self, watcher: &Watcher, recorder: Option<&mut Recorder>) {
        let shared: &Shared = &watcher.shared;
        let now = clock::now();
        self.order(watcher, now);
        let tick = Tick {
            at: now,
            wall: clock::wall(),
            window: &self.merged,
            stress: self.origin.read(gates(shared), now.saturating_since(self.last)),
            probes: self.probes(),
        };
        let finding = self.control.tick(&tick);
        self.last = now;
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_SECOND) {
            for probe in self.synthetic.probe(&shared.detection, now) {
                self.control.probed(now, probe);
            }
        }
        let happened = self.act(shared, &finding);
        if let Some(recorder) = recorder {
            recorder.tick(&Seen {
                finding: &finding,
                window: &self.merged,
                happened: &happened,
                control: &self.control,
            });
        }
        self.merged.clear();
    }

    /// Tests set and passed in this tick, of those who were asked.
    fn probes(&self) -> ProbeCounts {
        let counts = self.merged.counts();
        ProbeCounts { set: counts.tests_set, passed: counts.tests_passed }
    }

    fn order(&mut self, watcher: &Watcher, now: Instant) {
        let shared: &Shared = &watcher.shared;
        let policy = shared.policy.load();
        // What the operator said by hand holds until there is another configuration.
        if policy.generation != self.generation {
            self.generation = policy.generation;
            let mode = policy.config.mitigate.mode;
            self.control.order(now, OperatorCommand::SetMode(mode));
            if self.book.forget_mode() {
                let page = self.book.page(&self.control, (now, clock::wall()));
                // Said in the log if it fails; the configuration counts all the same if it says something new.
                let writer = std::thread::Builder::new().name("orders".to_owned());
                let _ = writer.spawn(move || page.write());
            }
        }
        drop(policy);
        let (control, book) = (&mut self.control, &mut self.book);
        let (baseline, happened) = (&watcher.file, &mut self.happened);
        let mut desk = Desk { control, shared, now, book, baseline, happened };
        shared.detection.orders().follow(&mut desk);
    }

    /// What was recorded since the last tick.
    fn act(&mut self, shared: &Shared, finding: &Finding) -> Vec<Entry> {
        let mut happened = std::mem::take(&mut self.happened);
        act(shared, &mut self.control, |entry| happened.push(*entry));
        let told = Told::new(finding, &self.control);
        shared.detection.tell(Told { baseline_is_generated: self.is_generated, ..told });
        happened
    }
}

/// Does what was decided, and shows what is recorded.
fn act(shared: &Shared, control: &mut ControlLoop, mut show: impl FnMut(&Entry)) {
    while let Some(action) = control.poll_action() {
        match action {
            Action::Publish(stands) => shared.detection.publish(&stands),
            Action::Record(entry) => {
                told::log(&entry, |signature| control.describe(signature));
                shared.detection.count(&entry);
                show(&entry);
            }
        }
    }
}

/// What the gates of the origins count.
fn gates(shared: &Shared) -> GateReading {
    let policy = shared.policy.load();
    let views = crate::gates::views(&policy.gates);
    GateReading {
        granted: views.iter().map(|view| view.counters.granted()).sum(),
        is_waiting: views.iter().any(|view| view.counters.queued > 0),
        readers_wait: views.iter().filter_map(|view| view.readers_wait).max(),
        is_pressed_at_floor: views
            .iter()
            .any(|view| view.is_at_floor && view.readers_wait.is_some()),
    }
}

/// A crash loses what was learned since.
const KEEP_EVERY: Duration = Duration::from_secs(600);
const TICKS_PER_SECOND: u64 = 4;
