//! The access log: JSON lines, one per request, of readers who stay anonymous.
//!
//! A worker copies what is worth knowing of a request into its own ring of bytes and goes on; a
//! thread of its own turns the rings into lines and writes them. So the hot path never waits for
//! a disk, never allocates, and a full ring costs a record, which is counted. Addresses are
//! truncated before they enter the ring; of a query only the names of its parameters are kept.
//!
//! What an attacker can grow is bounded: refusals are written at a fixed rate and the rest is
//! counted in a line per second, fields are cut, files rotate within `max_bytes`.
//!
//! Does **not** log errors or events of the program itself (that is `tracing` on stderr) and is no
//! evidence: that record is separate and complete.
//!
//! If it fails: a full disk costs lines, which are counted, is tried again each second and said
//! once a minute; a bug in the writer costs the lines in its hands and restarts it.

mod files;
mod json;
mod record;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rtrb::{Producer, RingBuffer};
use seawall_model::{Decision, Instant, WallTime};

pub use self::record::LogRecord;
use self::record::{MAX_RECORD_BYTES, encode};
pub use self::writer::LogDrain;
use crate::config;
use crate::metrics::{LogDrop, Sample};

/// Reads both clocks; the writer thread has no other source of time.
pub type LogClock = fn() -> (Instant, WallTime);

/// The running writer thread. Dropping it (or [`Self::shutdown`]) writes what is in the rings and
/// ends the thread.
#[derive(Debug)]
pub struct AccessLogHandle {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl AccessLogHandle {
    /// Starts the log in `dir` (created if missing) for `workers` workers. If
    /// `settings.enabled` is false there is no thread and no file, and writers do nothing.
    ///
    /// # Errors
    /// If the thread cannot be started. Trouble with files is no error: it is said, counted and
    /// tried again, because a site is more important than its log.
    pub fn start(
        settings: &config::AccessLog,
        dir: &Path,
        workers: usize,
        clock: LogClock,
    ) -> io::Result<(Self, Vec<LogWriter>)> {
        let (drain, writers) = LogDrain::open(settings, dir, workers);
        let shared = drain.shared();
        let thread = if settings.enabled {
            let builder = thread::Builder::new().name("seawall-log".to_owned());
            Some(builder.spawn(move || writer::run(drain, clock))?)
        } else {
            None
        };
        Ok((Self { shared, thread }, writers))
    }

    /// Makes the writer open `access.log` anew, after another program moved it away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Counters for `/metrics`.
    pub fn samples(&self) -> Vec<Sample> {
        self.shared.samples()
    }

    /// Writes what is in the rings and ends the thread. Waits for the disk, so call it last.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the thread.
            let _ = thread.join();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for AccessLogHandle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A worker's end of the log.
#[derive(Debug)]
pub struct LogWriter {
    ring: Option<Producer<u8>>,
    scratch: Box<[u8; MAX_RECORD_BYTES]>,
    shared: Arc<Shared>,
    counts: Arc<WorkerCounts>,
    unannounced: usize,
    budget_second: u64,
    budget_spent: bool,
}

impl LogWriter {
    /// A writer that does nothing.
    pub fn disabled() -> Self {
        Self::new(None, Arc::new(Shared::new(0, 0)), Arc::default())
    }

    /// Takes one record. Never waits, never allocates; about 130 ns (2-core EPYC
    /// VM under load, November 2026). A refusal beyond the rate and
    /// a record that finds the ring full are counted instead.
    pub fn record(&mut self, record: &LogRecord<'_>) {
        if self.is_wanted(record.now, record.decision) {
            self.write(record);
        }
    }

    /// Whether an answer is to be written down; one that is not is counted here. Asked before a record
    /// is put together, because in a flood most are not.
    pub(crate) fn is_wanted(&mut self, now: Instant, decision: Decision) -> bool {
        if self.ring.is_none() {
            return false;
        }
        if matches!(decision, Decision::Refuse(..)) && !self.refusal_is_due(now) {
            bump(&self.counts.sampled);
            return false;
        }
        true
    }

    /// Writes a record that is wanted.
    pub(crate) fn write(&mut self, record: &LogRecord<'_>) {
        let Some(ring) = &mut self.ring else { return };
        let bytes = encode(record, &mut self.scratch);
        if ring.push_entire_slice(bytes).is_err() {
            bump(&self.counts.ring_full);
            self.announce();
            return;
        }
        self.unannounced += bytes.len();
        if self.unannounced >= RING_BYTES / 2 {
            self.announce();
        }
    }

    fn new(ring: Option<Producer<u8>>, shared: Arc<Shared>, counts: Arc<WorkerCounts>) -> Self {
        let scratch = Box::new([0; MAX_RECORD_BYTES]);
        Self {
            ring,
            scratch,
            shared,
            counts,
            unannounced: 0,
            budget_second: 0,
            budget_spent: false,
        }
    }

    /// The writer looks by itself often enough for normal traffic; a burst wakes it early.
    fn announce(&mut self) {
        self.unannounced = 0;
        if let Some(thread) = self.shared.thread.get() {
            thread.unpark();
        }
    }

    /// All workers draw on one allowance per second. Under flood a worker touches the shared word
    /// once per second only, to learn that the allowance is spent.
    fn refusal_is_due(&mut self, now: Instant) -> bool {
        let second = now.as_nanos() / 1_000_000_000;
        if self.budget_second != second {
            self.budget_second = second;
            self.budget_spent = false;
        }
        if self.budget_spent {
            return false;
        }
        let granted = self.shared.grant(second);
        self.budget_spent = !granted;
        granted
    }
}

/// What workers, writer thread and handle share.
#[derive(Debug)]
struct Shared {
    /// Second (upper 40 bits) and refusals granted in it (lower 24 bits).
    allowance: AtomicU64,
    refusals_per_second: u64,
    workers: Vec<Arc<WorkerCounts>>,
    written: AtomicU64,
    lost_to_disk: AtomicU64,
    lost_to_restart: AtomicU64,
    bytes: AtomicU64,
    reopen: AtomicBool,
    stop: AtomicBool,
    thread: std::sync::OnceLock<thread::Thread>,
}

impl Shared {
    fn new(workers: usize, refusals_per_second: u32) -> Self {
        Self {
            allowance: AtomicU64::new(0),
            refusals_per_second: u64::from(refusals_per_second).min(MAX_GRANTS),
            workers: (0..workers).map(|_| Arc::default()).collect(),
            written: AtomicU64::new(0),
            lost_to_disk: AtomicU64::new(0),
            lost_to_restart: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: std::sync::OnceLock::new(),
        }
    }

    fn grant(&self, second: u64) -> bool {
        let next = |word: u64| {
            let (at, granted) = (word >> 24, word & MAX_GRANTS);
            let granted = if at < second { 0 } else { granted };
            (at <= second && granted < self.refusals_per_second)
                .then_some(second << 24 | (granted + 1))
        };
        self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    fn sum(&self, pick: fn(&WorkerCounts) -> &AtomicU64) -> u64 {
        self.workers.iter().map(|w| pick(w).load(Ordering::Relaxed)).sum()
    }

    fn samples(&self) -> Vec<Sample> {
        const DROPPED: &str = "seawall_log_records_dropped_total";
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let dropped = |reason: LogDrop, value: f64| {
            Sample::counter(DROPPED, "Access log records not written, by reason.", value)
                .with_label("reason", reason.as_str())
        };
        vec![
            Sample::counter(
                "seawall_log_records_written_total",
                "Access log records written.",
                read(&self.written),
            ),
            dropped(LogDrop::RingFull, self.sum(|w| &w.ring_full) as f64),
            dropped(LogDrop::Sampled, self.sum(|w| &w.sampled) as f64),
            dropped(LogDrop::Disk, read(&self.lost_to_disk)),
            dropped(LogDrop::Restart, read(&self.lost_to_restart)),
            Sample::gauge(
                "seawall_log_stored_bytes",
                "Bytes of access log kept on disk.",
                read(&self.bytes),
            ),
        ]
    }
}

/// A worker's own counters, on lines of their own. One writer each.
#[derive(Debug, Default)]
#[repr(align(128))]
struct WorkerCounts {
    sampled: AtomicU64,
    ring_full: AtomicU64,
}

fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

fn rings(workers: usize) -> (Vec<Producer<u8>>, Vec<rtrb::Consumer<u8>>) {
    (0..workers).map(|_| RingBuffer::new(RING_BYTES)).unzip()
}

/// Bytes of each worker's ring: some 3,500 records of 300 bytes, which is 90 ms of a worker at
/// 40,000 requests a second; the writer is woken at half of it.
const RING_BYTES: usize = 1024 * 1024;
const MAX_GRANTS: u64 = (1 << 24) - 1;
/// How long the writer rests when there was nothing to do, and when there was.
const IDLE_PAUSE: Duration = Duration::from_millis(100);
const BUSY_PAUSE: Duration = Duration::from_millis(5);
