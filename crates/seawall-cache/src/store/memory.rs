//! The memory tier's eviction: S3-FIFO, over bytes.
//!
//! Separate from the table because it knows no keys, variants or contents: only [`Residence`]s, in
//! three queues. It does **not** touch anything on a hit but one byte of the residence.
//!
//! *Source:* Yang, Zhang, Qiu, Yue, Vigfusson: *FIFO Queues are All You Need for Cache Eviction*
//! (SOSP 2023). A newcomer enters a small queue (a tenth of the bytes). Asked for more than once by
//! the time it reaches the end, it moves to the main queue; else it goes, and a ghost remembers it,
//! so that it enters the main queue directly if it comes back soon. In the main queue each hit
//! (three at most count) buys another round.
//!
//! **Why.** A flood of distinct query strings is a scan of one-hit wonders: it churns the small
//! queue only, and what readers share stays in the main one.
//!
//! **Unsuitable workloads.** Things asked for exactly twice, the second time after they left the
//! small queue (the adversarial pattern that the paper itself names). An attacker who asks for each
//! made-up URL three times gets into the main queue; popular pages, hit again before their round
//! ends, are not displaced by that. Loops a little larger than the cache defeat it as they defeat
//! every FIFO and LRU.

use std::collections::VecDeque;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use hashbrown::HashSet;
use parking_lot::Mutex;

use crate::entry::{Entry, Ledger};
use crate::store::table::{IdHasher, Table, Taken};

/// An entry's seat in the queues. A refreshed or refetched entry takes its predecessor's seat.
#[derive(Debug)]
pub(crate) struct Residence {
    pub(crate) id: u128,
    /// Hits since the last round, 3 at most. A lost update between two readers is harmless.
    hits: AtomicU8,
    is_live: AtomicBool,
    /// Bytes when it was queued, to take the same number off again.
    queued_bytes: AtomicU64,
}

impl Residence {
    pub(crate) fn new(id: u128) -> Arc<Self> {
        Arc::new(Self {
            id,
            hits: AtomicU8::new(0),
            is_live: AtomicBool::new(true),
            queued_bytes: AtomicU64::new(0),
        })
    }

    /// Notes a hit. No read-modify-write: a byte that is already at its cap is not even written,
    /// so a hot entry's cache line stays shared.
    pub(crate) fn touch(&self) {
        let hits = self.hits.load(Ordering::Relaxed);
        if hits < MAX_HITS {
            self.hits.store(hits + 1, Ordering::Relaxed);
        }
    }

    /// Whether it was asked for again since it came or since its last round.
    pub(crate) fn is_warm(&self) -> bool {
        self.hits.load(Ordering::Relaxed) > 0
    }
}

/// The queues and the ledger of the memory tier.
pub(crate) struct Memory {
    ledger: Arc<Ledger>,
    queues: Mutex<Queues>,
}

impl Memory {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, queues: Mutex::new(Queues::default()) }
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Seats a newcomer that the table already holds.
    pub(crate) fn push(&self, entry: &Entry) {
        let residence = Arc::clone(&entry.residence);
        residence.queued_bytes.store(entry.footprint(), Ordering::Relaxed);
        let mut queues = self.queues.lock();
        queues.compact();
        if queues.ghosts.take(residence.id) {
            queues.push_main(residence);
        } else {
            queues.push_small(residence);
        }
    }

    /// Notes that an entry left the table by other ways than eviction.
    pub(crate) fn note_removed(&self, taken: &Taken) {
        if let Some(entry) = &taken.memory {
            entry.forms().leave_memory();
            if entry.residence.is_live.swap(false, Ordering::Relaxed) {
                self.queues.lock().dead += 1;
            }
        }
    }

    /// Evicts until the ledger is within its bound; how many went.
    pub(crate) fn evict(&self, table: &Table) -> u64 {
        let mut evicted = 0;
        if !self.ledger.is_over() {
            return 0;
        }
        let small_share = self.ledger.max_bytes() / SMALL_SHARE;
        let mut queues = self.queues.lock();
        while self.ledger.is_over() {
            let Some(victim) = queues.next_victim(small_share, table) else { break };
            if let Some(entry) = table.evict(&victim) {
                entry.forms().leave_memory();
                evicted += 1;
            }
        }
        evicted
    }
}

#[derive(Default)]
struct Queues {
    small: VecDeque<Arc<Residence>>,
    main: VecDeque<Arc<Residence>>,
    small_bytes: u64,
    ghosts: Ghosts,
    /// Seats in the queues whose entries are gone.
    dead: usize,
}

impl Queues {
    fn push_small(&mut self, residence: Arc<Residence>) {
        self.small_bytes += residence.queued_bytes.load(Ordering::Relaxed);
        self.small.push_back(residence);
    }

    fn push_main(&mut self, residence: Arc<Residence>) {
        residence.hits.store(0, Ordering::Relaxed);
        self.main.push_back(residence);
    }

    fn pop_small(&mut self) -> Option<Arc<Residence>> {
        let residence = self.small.pop_front()?;
        self.small_bytes -= residence.queued_bytes.load(Ordering::Relaxed);
        Some(residence)
    }

    /// Who goes next. Ends: each step either takes a seat from the small queue for good or a hit
    /// from a seat of the main one.
    fn next_victim(&mut self, small_share: u64, table: &Table) -> Option<Arc<Residence>> {
        loop {
            if self.small_bytes > small_share || self.main.is_empty() {
                let residence = self.pop_small()?;
                if !residence.is_live.load(Ordering::Relaxed) {
                    self.dead = self.dead.saturating_sub(1);
                } else if residence.hits.load(Ordering::Relaxed) > 1 {
                    self.push_main(residence);
                } else {
                    self.ghosts.add(residence.id, self.main.len().max(MIN_GHOSTS));
                    return Some(residence);
                }
                continue;
            }
            let residence = self.main.pop_front()?;
            let hits = residence.hits.load(Ordering::Relaxed);
            if !residence.is_live.load(Ordering::Relaxed) {
                self.dead = self.dead.saturating_sub(1);
            } else if hits > 0 {
                residence.hits.store(hits - 1, Ordering::Relaxed);
                // A decoded identity form is the first thing a round costs.
                table.shed(&residence);
                self.main.push_back(residence);
            } else {
                return Some(residence);
            }
        }
    }

    /// Drops dead seats once they are a third of all: constant work per removal, amortised.
    fn compact(&mut self) {
        if self.dead < 64 || self.dead * 3 < self.small.len() + self.main.len() {
            return;
        }
        let is_live = |residence: &Arc<Residence>| residence.is_live.load(Ordering::Relaxed);
        self.main.retain(is_live);
        self.small.retain(is_live);
        self.small_bytes =
            self.small.iter().map(|seat| seat.queued_bytes.load(Ordering::Relaxed)).sum();
        self.dead = 0;
    }
}

/// Who went from the small queue lately. The ids are keyed hashes already.
#[derive(Default)]
struct Ghosts {
    order: VecDeque<u64>,
    set: HashSet<u64, BuildHasherDefault<IdHasher>>,
}

impl Ghosts {
    fn add(&mut self, id: u128, max: usize) {
        let id = id as u64;
        if self.set.insert(id) {
            self.order.push_back(id);
        }
        while self.order.len() > max.min(MAX_GHOSTS) {
            if let Some(oldest) = self.order.pop_front() {
                self.set.remove(&oldest);
            }
        }
    }

    fn take(&mut self, id: u128) -> bool {
        // Its place in the order stays and is harmless: at worst a later ghost leaves early.
        self.set.remove(&(id as u64))
    }
}

const MAX_HITS: u8 = 3;
/// The paper's tenth.
const SMALL_SHARE: u64 = 10;
const MIN_GHOSTS: usize = 1_024;
/// 2 MiB at 16 bytes each.
const MAX_GHOSTS: usize = 131_072;
