//! What is done when memory is short; how short it is, [`seawall_decide::MemoryPressure`] says.
//!
//! Two readings, and the larger counts. What is accounted (stored pages, content of requests, bodies
//! on their way) is known to the byte but leaves out connections, tasks and what the allocator keeps;
//! the process's own memory, as the kernel counts it, has those but lags behind, and is not to be had
//! everywhere. What the program takes before its first client (code, fixed tables) is taken off: no
//! shedding lowers it, and `memory` is for what grows. What was freed counts as long as the allocator
//! keeps it, and glibc keeps nearly all: after 18,000 TLS connections were closed, 72 of 72 MiB (November
//! 2026). Shedding would not end a step then; so it is given back before one is believed.
//!
//! Pages in hand go on being served on the connections there are, whatever the step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_decide::{MemoryPressure, MemoryStep};
use seawall_model::Instant;

use crate::clock;
use crate::metrics::Sample;
use crate::shared::Shared;

/// The step in force and what was done about it.
pub(crate) struct Memory {
    /// A reading in place of the system's, in tests.
    injected: Option<Arc<AtomicU64>>,
    budget: u64,
    /// What the process took before its first client.
    base: AtomicU64,
    step: AtomicU8,
    state: Mutex<State>,
    heap_trimmed: AtomicU64,
    cache_lowered: AtomicU64,
    connections_shed: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
}

#[derive(Default)]
struct State {
    pressure: MemoryPressure,
    /// When what was freed was last given back.
    trimmed: Option<Instant>,
}

/// Between two times that what was freed is given back: it takes milliseconds, in which workers may wait
/// for the allocator.
const TRIM_EVERY: Duration = Duration::from_secs(2);
/// Parts of its memory that the cache gives back at once, and keeps in any case.
const CACHE_PART: u64 = 64;
const CACHE_KEEPS: u64 = 2;

impl Memory {
    pub(crate) fn new(budget: u64, injected: Option<Arc<AtomicU64>>) -> Self {
        Self {
            injected,
            budget,
            base: AtomicU64::new(0),
            step: AtomicU8::new(0),
            state: Mutex::default(),
            heap_trimmed: AtomicU64::new(0),
            cache_lowered: AtomicU64::new(0),
            connections_shed: AtomicU64::new(0),
            streams_refused: AtomicU64::new(0),
        }
    }

    /// Notes what is taken before there are clients; `tables` are those that the kernel counts only
    /// once they are written to.
    pub(crate) fn begin(&self, tables: usize) {
        self.base.store(anonymous_bytes() + tables as u64, Ordering::Relaxed);
    }

    pub(crate) fn step(&self) -> MemoryStep {
        MemoryStep::ALL[usize::from(self.step.load(Ordering::Relaxed)) % MemoryStep::ALL.len()]
    }

    /// Counts connections let go for it.
    pub(crate) fn shed(&self, connections: u64) {
        self.connections_shed.fetch_add(connections, Ordering::Relaxed);
    }

    /// Takes a reading and does what concerns all workers. Runs a few times a second.
    pub(crate) fn observe(&self, shared: &Shared) {
        let mut used = self.used(shared);
        let step = {
            let (mut state, now) = (self.state.lock(), clock::now());
            let is_due = state.trimmed.is_none_or(|at| now.saturating_since(at) >= TRIM_EVERY);
            // What the reading would come to, on a copy.
            let mut pressure = state.pressure;
            if pressure.observe(used, self.budget) != MemoryStep::Calm && is_due {
                state.trimmed = Some(now);
                seawall_kernel::give_back_free_heap();
                self.heap_trimmed.fetch_add(1, Ordering::Relaxed);
                used = self.used(shared);
            }
            state.pressure.observe(used, self.budget)
        };
        let before = self.step();
        self.step.store(u8::try_from(step.index()).unwrap_or(0), Ordering::Relaxed);
        if step != before {
            let (step, percent) = (step.index(), used / (self.budget / 100).max(1));
            tracing::warn!(step, percent, "memory pressure, of 3 steps");
        }
        shared.spool.set_memory_closed(step >= MemoryStep::Short);
        let store = &shared.store;
        let (most, whole) = (store.memory_limit(), store.memory_bound());
        if step >= MemoryStep::Tight {
            let from = most.min(store.stats().memory_bytes.max(whole / CACHE_KEEPS));
            let lower = from.saturating_sub(whole / CACHE_PART).max(whole / CACHE_KEEPS);
            if lower < most {
                store.set_memory_limit(lower);
                self.cache_lowered.fetch_add(1, Ordering::Relaxed);
            }
        } else if most < whole {
            store.set_memory_limit((most + whole / CACHE_PART).min(whole));
        }
    }

    fn used(&self, shared: &Shared) -> u64 {
        if let Some(reading) = &self.injected {
            return reading.load(Ordering::Relaxed);
        }
        let accounted = shared.store.stats().memory_bytes
            + shared.spool.memory_bytes()
            + shared.in_flight.bytes() as u64;
        accounted.max(anonymous_bytes().saturating_sub(self.base.load(Ordering::Relaxed)))
    }

    /// The step and what was done, for metrics.
    pub(crate) fn samples(&self, spooled: u64) -> Vec<Sample> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let action = |label, count: u64| {
            Sample::counter("seawall_memory_actions_total", HELP, count as f64)
                .with_label("action", label)
        };
        vec![
            Sample::gauge(
                "seawall_memory_pressure",
                "How short memory is, from 0 to 3 (80, 90 and 95 % of `memory`).",
                self.step().index() as f64,
            ),
            action("cache_lowered", load(&self.cache_lowered)),
            action("heap_trimmed", load(&self.heap_trimmed)),
            action("connection_shed", load(&self.connections_shed)),
            action("stream_refused", load(&self.streams_refused)),
            action("upload_to_disk", spooled),
        ]
    }
}

const HELP: &str = "What was done because memory was short.";

/// Memory of the process that no file stands behind; 0 where the kernel does not say.
fn anonymous_bytes() -> u64 {
    anonymous(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
}

/// Reads `RssAnon:     5348 kB` (proc_pid_status(5)). In kB, unlike `statm`, which counts pages of a
/// size that would have to be asked for.
fn anonymous(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::{anonymous, anonymous_bytes};

    #[test]
    fn the_kernels_count_of_anonymous_memory_is_read() {
        let status = "VmRSS:\t   2140 kB\nRssAnon:\t     148 kB\nRssFile:\t    1992 kB\n";
        assert_eq!(anonymous(status), 148 * 1024);
        for none in ["", "RssAnon:", "RssAnon:\tmany kB\n", "Rss: 7 kB\n"] {
            assert_eq!(anonymous(none), 0, "{none}");
        }
        assert!(anonymous_bytes() > 0, "this very process has some");
    }
}
