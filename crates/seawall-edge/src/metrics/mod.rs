//! Counters of the data plane and their Prometheus form.
//!
//! Every worker has a block of counters of its own on cache lines of its own, so that counting
//! costs a plain load and store and no line ever travels between cores; they are added up when
//! somebody asks. Labels come from closed enums only: nothing a client sends can create a series.
//!
//! Does **not** know addresses, paths or hosts, keeps no history and opens no socket
//! (`/metrics` is served by [`crate::admin`]).
//!
//! Read next: [`WorkerMetrics`], then `render.rs`.

mod histogram;
mod labels;
mod render;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_model::{Cause, Decision, HttpVersion, Instant, Misbehaviour};

pub use self::histogram::LATENCY_BOUNDS;
use self::histogram::{Histogram, HistogramTotals};
pub use self::labels::{CacheOutcome, Handshake, LogDrop, OriginFailure};
pub use self::render::Sample;

/// All counters of the process: one block per worker and one for the control thread.
#[derive(Debug)]
pub struct Metrics {
    blocks: Box<[Arc<WorkerMetrics>]>,
}

impl Metrics {
    /// Counters for `workers` workers and the control thread, all zero.
    pub fn new(workers: usize) -> Self {
        Self { blocks: (0..=workers).map(|_| Arc::new(WorkerMetrics::default())).collect() }
    }

    /// The block of worker `index`. Only that worker's thread may count on it (see
    /// [`WorkerMetrics`]).
    ///
    /// # Panics
    /// If there is no such worker: a bug of the caller.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        assert!(index + 1 < self.blocks.len(), "worker {index} does not exist");
        Arc::clone(&self.blocks[index])
    }

    /// The block of the control thread.
    pub fn control(&self) -> Arc<WorkerMetrics> {
        Arc::clone(&self.blocks[self.blocks.len() - 1])
    }

    /// The few sums that the status page and the rate need.
    pub fn totals(&self) -> Totals {
        let sum = |pick: fn(&WorkerMetrics) -> u64| {
            self.blocks.iter().map(|b| pick(b)).fold(0u64, u64::wrapping_add)
        };
        let requests = sum(|b| b.requests.iter().map(Counter::read).sum());
        let open = sum(|b| b.connections_accepted.read())
            .saturating_sub(sum(|b| b.connections_closed.read()));
        Totals {
            requests,
            refused: sum(|b| b.requests[Cause::ALL.len()..].iter().map(Counter::read).sum()),
            connections_open: open,
            origin_in_flight: sum(|b| b.origin_started.read())
                .saturating_sub(sum(|b| b.origin_ended.read())),
            origin_queued: sum(|b| b.origin_queued.read())
                .saturating_sub(sum(|b| b.origin_dequeued.read())),
        }
    }

    /// Prometheus text (format 0.0.4) of everything counted here, then of `extra`, which must
    /// come grouped by name.
    pub fn render(&self, extra: &[Sample]) -> String {
        render::render(&self.blocks, extra)
    }
}

/// Sums over all workers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests decided on since the start.
    pub requests: u64,
    /// Those of them that were refused.
    pub refused: u64,
    /// Client connections open now.
    pub connections_open: u64,
    /// Requests at work in origins now.
    pub origin_in_flight: u64,
    /// Requests waiting before origins now.
    pub origin_queued: u64,
}

/// The counters of one thread.
///
/// Only the owning thread may count: increments are a load and a store, not a locked
/// read-modify-write, so a second writer would lose counts (nothing worse). Any thread may read.
/// Cost of one increment: about 1 ns; no allocation.
#[derive(Debug, Default)]
#[repr(align(128))] // two lines: adjacent-line prefetch makes pairs of 64-byte lines travel together
pub struct WorkerMetrics {
    /// Admitted by cause, then refused by cause.
    requests: Counters<{ 2 * Cause::ALL.len() }>,
    /// 1xx to 5xx, and closed without an answer.
    responses: Counters<6>,
    cache: Counters<{ CacheOutcome::ALL.len() }>,
    query_ignored: Counter,
    made_up_refused: Counter,
    turns_given: Counter,
    versions: Counters<3>,
    latency: Histogram,
    bytes_received: Counter,
    bytes_sent: Counter,
    connections_accepted: Counter,
    connections_closed: Counter,
    /// Idle, partial.
    connections_shed: Counters<2>,
    connections_refused: Counters<{ Cause::ALL.len() }>,
    handshakes: Counters<{ Handshake::ALL.len() }>,
    handshake_us: Counter,
    misbehaviour: Counters<{ Misbehaviour::ALL.len() }>,
    origin_started: Counter,
    origin_ended: Counter,
    origin_queued: Counter,
    origin_dequeued: Counter,
    origin_doubtful: Counter,
    origin_failures: Counters<{ OriginFailure::ALL.len() }>,
}

impl WorkerMetrics {
    /// Counts one request by what was decided and why.
    pub fn request(&self, decision: Decision) {
        let refused = matches!(decision, Decision::Refuse(..));
        let base = if refused { Cause::ALL.len() } else { 0 };
        self.requests[base + decision.cause().index()].add(1);
    }

    /// Counts one finished response; `status` 0 means closed without an answer. `duration` runs
    /// from the complete request head to the last byte handed to the socket.
    pub fn response(&self, status: u16, version: HttpVersion, duration: Duration) {
        let class = match status {
            100..=599 => usize::from(status / 100) - 1,
            _ => 5,
        };
        self.responses[class].add(1);
        self.versions[version as usize].add(1);
        self.latency.observe(duration);
    }

    /// Counts how the cache took part in one answer.
    pub fn cache(&self, outcome: CacheOutcome) {
        self.cache[outcome as usize].add(1);
    }

    /// Counts a request that is answered as if it had no parameters that change nothing.
    pub fn query_ignored(&self) {
        self.query_ignored.add(1);
    }

    /// Counts a request for a URL that is probably made up, turned away while there is a flood of such.
    pub fn made_up_refused(&self) {
        self.made_up_refused.add(1);
    }

    /// Counts a request that is sent around for a turn of its own instead of being refused.
    pub fn turn_given(&self) {
        self.turns_given.add(1);
    }

    /// Counts bytes read from clients, as they pass the socket.
    pub fn bytes_received(&self, bytes: u64) {
        self.bytes_received.add(bytes);
    }

    /// Counts bytes written to clients, as they pass the socket.
    pub fn bytes_sent(&self, bytes: u64) {
        self.bytes_sent.add(bytes);
    }

    /// Counts an accepted connection; open until [`Self::connection_closed`].
    pub fn connection_accepted(&self) {
        self.connections_accepted.add(1);
    }

    /// Counts the end of an accepted connection.
    pub fn connection_closed(&self) {
        self.connections_closed.add(1);
    }

    /// Counts connections closed because the pool was nearly full.
    pub fn connections_shed(&self, idle: u64, partial: u64) {
        self.connections_shed[0].add(idle);
        self.connections_shed[1].add(partial);
    }

    /// Counts a connection closed by the accept or hello gate.
    pub fn connection_refused(&self, cause: Cause) {
        self.connections_refused[cause.index()].add(1);
    }

    /// Counts the end of a TLS handshake.
    pub fn handshake(&self, outcome: Handshake) {
        self.handshakes[outcome as usize].add(1);
    }

    /// Adds processor time spent on TLS handshakes.
    pub fn handshake_cpu(&self, cpu: Duration) {
        self.handshake_us.add(u64::try_from(cpu.as_micros()).unwrap_or(0));
    }

    /// Counts a broken protocol rule.
    pub fn misbehaved(&self, kind: Misbehaviour) {
        self.misbehaviour[kind.index()].add(1);
    }

    /// Counts a request that begins to wait before an origin.
    pub fn origin_queued(&self) {
        self.origin_queued.add(1);
    }

    /// Counts the end of such a wait, however it ended.
    pub fn origin_dequeued(&self) {
        self.origin_dequeued.add(1);
    }

    /// Counts a request sent to an origin; at work until [`Self::origin_ended`].
    pub fn origin_started(&self) {
        self.origin_started.add(1);
    }

    /// Counts the end of an exchange with an origin, however it ended.
    pub fn origin_ended(&self) {
        self.origin_ended.add(1);
    }

    /// Counts a request for a URL that is probably made up: it gets spare capacity only.
    pub fn origin_doubtful(&self) {
        self.origin_doubtful.add(1);
    }

    /// Counts a failed exchange with an origin.
    pub fn origin_failed(&self, kind: OriginFailure) {
        self.origin_failures[kind as usize].add(1);
    }
}

/// Turns a growing total into a rate over the last ten seconds.
///
/// Fed once a second or so by the control thread; pure, holds ten points.
#[derive(Clone, Debug, Default)]
pub struct RequestRate {
    points: std::collections::VecDeque<(Instant, u64)>,
}

impl RequestRate {
    /// Takes the total at `now` and returns requests per second over the last ten seconds (or
    /// since the first call); 0 at the first.
    pub fn observe(&mut self, now: Instant, total: u64) -> f64 {
        const WINDOW: Duration = Duration::from_secs(10);
        const MAX_POINTS: usize = 64;
        while self.points.len() > 1
            && self.points.get(1).is_some_and(|&(at, _)| now.saturating_since(at) >= WINDOW)
        {
            self.points.pop_front();
        }
        if self.points.len() == MAX_POINTS {
            self.points.pop_front();
        }
        self.points.push_back((now, total));
        let Some(&(at, first)) = self.points.front() else { return 0.0 };
        let seconds = now.saturating_since(at).as_secs_f64();
        if seconds > 0.0 { total.saturating_sub(first) as f64 / seconds } else { 0.0 }
    }
}

/// A counter with one writer.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, by: u64) {
        // One writer: no lock prefix is needed, and relaxed order suffices because readers only
        // want a recent value of each counter, not a consistent set.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters by the position of a closed enum.
#[derive(Debug)]
struct Counters<const N: usize>([Counter; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> std::ops::Deref for Counters<N> {
    type Target = [Counter; N];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
