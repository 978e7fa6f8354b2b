//! Marking responses as invalid after a success of an unsafe method (RFC 9111 §4.4).
//!
//! Separate from purging, which removes: what is invalid is kept to stand in when the origin fails.
//! Anybody may send a POST, so whatever this costs is bounded: a key is marked once a second at most
//! (see [`Invalidation`]), and readers go on sharing one fetch. It does **not** decide which keys;
//! `policy` does.

use std::sync::atomic::{AtomicU64, Ordering};

use seawall_model::WallTime;

use crate::head::{Invalidation, StoredHead};
use crate::key::Key;
use crate::store::table::{Found, Only};
use crate::store::{DiskRef, EPOCH_STRIPES, Shared, Store};

impl Store {
    /// Marks all variants of a key as invalid (RFC 9111 §4.4) because an unsafe method succeeded at
    /// `at`; how many were not yet. They are kept, see [`Invalidation`]; so is what was fetched
    /// meanwhile. **Blocks**: what is on disk only is read, and what is marked loses its file until it
    /// is written anew.
    pub fn invalidate(&self, key: &Key, at: WallTime) -> usize {
        let shared = &*self.shared;
        let id = key.hash128(&shared.seed);
        shared.note_invalidation(id, at);
        self.mark(id, key, at)
    }

    /// A response was stored while somebody invalidated its key: whoever came first, it is marked.
    pub(super) fn look_again(&self, id: u128, last: WallTime, key: &Key) {
        let now = self.shared.last_invalidation(id);
        if now != last {
            self.mark(id, key, now);
        }
    }

    fn mark(&self, id: u128, key: &Key, at: WallTime) -> usize {
        let shared = &*self.shared;
        let mut marked = 0;
        for found in shared.table.held(id, key) {
            let entry = match found {
                Found::Memory(entry) => Some(entry),
                Found::Disk { serial, file, bytes } => {
                    self.load(DiskRef { key: key.clone(), id, serial, file, bytes })
                }
                Found::Nothing | Found::OtherVariants => None,
            };
            let Some(entry) = entry else { continue };
            let told = told_of(&entry.head, at);
            if told == entry.head.invalidation {
                continue;
            }
            let head = StoredHead { invalidation: told, ..entry.head.clone() };
            // Before the new one is scheduled: a crash in between must not bring back the valid one.
            shared.forget_file(id, entry.serial, Only::Always);
            self.put_head(id, &entry, head);
            marked += 1;
        }
        shared.counters.invalidated.fetch_add(marked as u64, Ordering::Relaxed);
        marked
    }
}

impl Shared {
    pub(super) fn invalidations_of(&self, id: u128) -> &[AtomicU64; 2] {
        &self.invalidations[(id >> 64) as usize % EPOCH_STRIPES]
    }

    pub(super) fn last_invalidation(&self, id: u128) -> WallTime {
        WallTime::from_unix_nanos(self.invalidations_of(id)[0].load(Ordering::Acquire))
    }

    fn note_invalidation(&self, id: u128, at: WallTime) {
        let [last, paced] = self.invalidations_of(id);
        let at_ns = at.unix_nanos();
        last.store(at_ns, Ordering::Release);
        let before = paced.load(Ordering::Acquire);
        if at_ns.abs_diff(before) >= PACE_NS {
            paced.store(at_ns, Ordering::Release);
        }
    }
}

/// What was done to a response, once an unsafe method succeeded at `at`. It does not concern what was
/// asked for later.
pub(super) fn told_of(head: &StoredHead, at: WallTime) -> Invalidation {
    if head.request_time > at || at == WallTime::default() {
        return head.invalidation;
    }
    head.invalidation.after(at)
}

/// Readers who come after an invalidation do not share in a fetch that began before it, but for this
/// time.
const PACE_NS: u64 = 1_000_000_000;
