//! What is done when memory is short; how short it is, [`seawall_decide::MemoryPressure`] says.
//!
//! Two readings, and the larger counts. What is accounted (stored pages, content of requests, bodies
//! on their way) is known to the byte but leaves out connections, tasks and what the allocator keeps;
//! the process's own memory, as the kernel counts it, has those but lags behind, and is not to be had
//! everywhere. What the program takes before its first client (code, fixed tables) is taken off: no
//! shedding lowers it, and `memory` is for what grows.
//!
//! Pages in hand go on being served on the connections there are, whatever the step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::Mutex;
use seawall_decide::{MemoryPressure, MemoryStep};

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
    state: Mutex<MemoryPressure>,
    cache_lowered: AtomicU64,
    connections_shed: AtomicU64,
    pub(crate) streams_refused: AtomicU64,
}

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
        let used = match &self.injected {
            Some(reading) => reading.load(Ordering::Relaxed),
            None => {
                let accounted = shared.store.stats().memory_bytes
                    + shared.spool.memory_bytes()
                    + shared.in_flight.bytes() as u64;
                let grown = anonymous_bytes().saturating_sub(self.base.load(Ordering::Relaxed));
                accounted.max(grown)
            }
        };
        let step = self.state.lock().observe(used, self.budget);
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
            action("connection_shed", load(&self.connections_shed)),
            action("stream_refused", load(&self.streams_refused)),
            action("upload_to_disk", spooled),
        ]
    }
}

const HELP: &str = "What was done because memory was short.";

/// Memory of the process that no file stands behind; 0 where the kernel does not say.
fn anonymous_bytes() -> u64 {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let mut pages = statm.split(' ').skip(1).map(|pages| pages.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * rustix::param::page_size() as u64
}
