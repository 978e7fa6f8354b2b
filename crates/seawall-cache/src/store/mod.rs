//! The store: responses in memory and on disk, bounded in bytes, surviving restart and `kill -9`.
//!
//! Separate from policy: it keeps and finds what policy told it to keep, and never looks at a
//! clock. It does **not** judge freshness, fetch, or await; its two threads (packer, disk writer)
//! are plain ones.
//!
//! **Memory tier.** S3-FIFO (Yang et al., *FIFO Queues are All You Need for Cache Eviction*, SOSP
//! 2023): see `memory.rs` for what it is good and bad at.
//!
//! **Disk tier.** One checksummed file per entry, see `format.rs` and `disk.rs`. It is a cache, so
//! entries are **not** fsynced: after a power cut an entry may be gone or damaged, which is a miss.
//! What is fsynced is removal on request: when [`Store::purge_url`], [`Store::purge_tag`] or
//! [`Store::purge_all`] returns `Ok`, neither `kill -9` nor a power cut brings the purged entries
//! back. [`Store::remove`] and replacement survive `kill -9` but
//! are not fsynced: POST requests must not buy disk flushes. A response that [`Store::invalidate`]
//! marked loses its file and is written anew, so that a crash does not make it valid again.
//!
//! **Fault rule.** Whatever the disk does, lookups and inserts succeed from memory; each failure is
//! counted in [`StoreStats`].
//!
//! **Locks**, in this order, none held across another's IO: disk gate (orders renames against
//! purges), queues, table shard. A lookup takes one table shard for reading and nothing else.
//!
//! Read next: `table.rs`, `disk.rs`.

mod disk;
mod files;
mod format;
mod invalidate;
mod memory;
mod queue;
mod table;
mod tags;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::encode;
use crate::entry::{Entry, Forms, Ledger};
use crate::flight::hash_seed;
use crate::head::StoredHead;
use crate::key::{HashSeed, Key};
use crate::policy::RequestMeta;
use crate::store::disk::Disk;
use crate::store::memory::Memory;
use crate::store::queue::{Close, Queue};
use crate::store::table::{Found, Table, Taken};
use crate::store::tags::TagReader;

pub use self::files::{DiskFiles, Files};
pub(crate) use self::memory::Residence;

/// Where and how much.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The folder of the disk tier, made if missing; used by one process at a time. `None`: memory
    /// only.
    pub dir: Option<PathBuf>,
    /// Bytes of memory for everything the store holds: content, heads, and the index of the disk
    /// tier. That gets an eighth at 256 bytes an entry, so 64 MiB of memory allow for 32,768 entries
    /// on disk, however small.
    pub memory_bytes: u64,
    /// Bytes of disk. 0: memory only.
    pub disk_bytes: u64,
    /// Keys the hashing of what clients send. Drawn anew by each process.
    pub seed: [u64; 2],
}

/// What was found in the folder at [`Store::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Entries that can be served again.
    pub entries: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Files that were damaged, of another version or not ours: deleted.
    pub damaged: u64,
    /// Temporary files of writes that a crash cut short: deleted.
    pub leftovers: u64,
    /// Sound entries beyond the bounds of a smaller configuration: deleted, oldest first.
    pub surplus: u64,
}

/// Why the store cannot be opened, or a purge not be made durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process uses the folder: system. Stop it, or choose another `state_dir`.
    #[error(
        "the cache folder `{}` is in use by another process; stop that one or choose another `state_dir`",
        dir.display()
    )]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be used: system. Check rights and space.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// No thread could be started: system.
    #[error("cannot start the cache's `{name}` thread")]
    Thread {
        /// Which.
        name: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What [`Store::lookup`] found.
#[derive(Debug)]
pub enum Lookup {
    /// In memory. Fresh or not is for policy to say.
    Hit(Arc<Entry>),
    /// On disk only: call [`Store::load`] where blocking is allowed.
    OnDisk(DiskRef),
    /// Nothing under this key.
    Miss,
    /// Responses under this key, but none that this request selects (RFC 9111 §4.1).
    VaryMiss,
}

/// An entry that lies on disk; take it to [`Store::load`].
#[derive(Clone, Debug)]
pub struct DiskRef {
    key: Key,
    id: u128,
    serial: u64,
    file: u64,
    bytes: u64,
}

impl DiskRef {
    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The time of a key's last purge, as far as anybody needs to know: equal epochs mean that nothing
/// under the key was purged in between, or invalidated but for what a flood of unsafe methods does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    all: u64,
    stripe: u64,
    /// When the key was last invalidated, but once a second at most.
    invalidated_ns: u64,
}

impl Epoch {
    /// As one number, to mix into the `variant_hint` of [`crate::Flights::join`].
    pub fn as_u64(self) -> u64 {
        let purges = self.all.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ self.stripe;
        purges ^ self.invalidated_ns.wrapping_mul(0xD6E8_FEB8_6659_FD93)
    }

    /// Whether nothing under the key was purged in between.
    fn is_unpurged_since(self, other: Self) -> bool {
        (self.all, self.stripe) == (other.all, other.stripe)
    }
}

/// Figures since the start, and levels (`entries`, `*_entries`, `*_bytes`) of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Keys held in either tier.
    pub entries: u64,
    /// Entries in memory.
    pub memory_entries: u64,
    /// Entries on disk.
    pub disk_entries: u64,
    /// Bytes in memory, overhead included.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Entries evicted from memory.
    pub evictions: u64,
    /// Entries evicted from disk.
    pub disk_evictions: u64,
    /// Files found damaged, foreign or of another version.
    pub damaged: u64,
    /// Reads that failed for another reason.
    pub read_failures: u64,
    /// Writes, renames or unlinks that failed; a full disk shows here.
    pub write_failures: u64,
    /// Entries not written because the writer was behind.
    pub queue_full: u64,
    /// Entries refused for their size ([`Store::max_entry_bytes`]).
    pub too_large: u64,
    /// Responses not stored because of a purge while they were fetched, and parts not stored because
    /// the whole is held.
    pub outdated: u64,
    /// Entries whose compressed forms were made.
    pub packed: u64,
    /// Entries removed by purge.
    pub purged: u64,
    /// Entries marked as invalid by an unsafe method.
    pub invalidated: u64,
    /// Panics caught in the store's threads: bugs.
    pub worker_panics: u64,
}

/// The store. Share it by `Arc`; dropping it stops its threads without writing what is queued, as
/// a crash would; [`Store::shutdown`] writes it first.
pub struct Store {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store, reading the headers of what is on disk.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has the folder, [`StoreError::Io`] if it cannot be
    /// made or read, [`StoreError::Thread`]. Damaged contents are no error.
    pub fn open(config: StoreConfig) -> Result<(Self, OpenReport), StoreError> {
        Self::open_with(config, Box::new(DiskFiles))
    }

    /// Opens the store over other file operations, so that tests can break the disk.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(
        config: StoreConfig,
        files: Box<dyn Files>,
    ) -> Result<(Self, OpenReport), StoreError> {
        let seed = hash_seed(config.seed);
        let tags = TagReader::new(config.seed);
        let table = Table::new();
        let counters = Counters::default();
        let has_disk = config.disk_bytes > 0;
        let max_index = config.memory_bytes / 8 / table::INDEX_BYTES;
        let (disk, report) = match config.dir.filter(|_| has_disk) {
            Some(dir) => {
                let (disk, report) =
                    Disk::open(dir, files, config.disk_bytes, max_index, &table, seed, &tags)?;
                (Some(disk), report)
            }
            None => (None, OpenReport::default()),
        };
        counters.damaged.store(report.damaged, Ordering::Relaxed);
        let for_index = if disk.is_some() { config.memory_bytes / 8 } else { 0 };
        let max_memory = config.memory_bytes - for_index;
        let max_disk = if disk.is_some() { config.disk_bytes } else { u64::MAX };
        let shared = Arc::new(Shared {
            seed,
            tags,
            // After the serials found on disk, so that newer stays newer.
            next_serial: AtomicU64::new(disk.as_ref().map_or(1, Disk::first_serial)),
            memory: Memory::new(Arc::new(Ledger::new(max_memory))),
            table,
            disk,
            max_entry_bytes: (config.memory_bytes / ENTRY_SHARE).min(max_disk / ENTRY_SHARE),
            counters,
            epochs: (0..EPOCH_STRIPES).map(|_| AtomicU64::new(0)).collect(),
            invalidations: (0..EPOCH_STRIPES).map(|_| Default::default()).collect(),
            epoch_all: AtomicU64::new(0),
            pack_queue: Queue::new(PACK_QUEUE, max_memory / 16),
            write_queue: Queue::new(WRITE_QUEUE, max_memory / 16),
        });
        shared.make_room();
        let store = Self { threads: Mutex::new(Vec::new()), shared };
        store.spawn("seawall-pack", work::pack)?;
        if store.shared.disk.is_some() {
            store.spawn("seawall-write", work::write)?;
            store.shared.enqueue_write(work::Write::Rubble);
        }
        Ok((store, report))
    }

    fn spawn(&self, name: &'static str, run: fn(&Shared)) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&shared))
            .map_err(|source| StoreError::Thread { name, source })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Looks up the response that `request` selects. Never blocks on IO; one short lock; allocates
    /// only for [`Lookup::OnDisk`]. The second touch of an entry asks the packer for its compressed
    /// forms: what is asked for once (a cache-busting flood) is not worth compressing.
    pub fn lookup(&self, key: &Key, request: &RequestMeta<'_>) -> Lookup {
        let shared = &*self.shared;
        let id = key.hash128(&shared.seed);
        match shared.table.find(id, key, request) {
            Found::Memory(entry) => {
                entry.residence.touch();
                if entry.awaits_packing() {
                    shared.ask_packing(&entry);
                }
                Lookup::Hit(entry)
            }
            Found::Disk { serial, file, bytes } => {
                Lookup::OnDisk(DiskRef { key: key.clone(), id, serial, file, bytes })
            }
            Found::Nothing => Lookup::Miss,
            Found::OtherVariants => Lookup::VaryMiss,
        }
    }

    /// Reads an entry from disk and puts it into memory. **Blocks**: one file read. `None` if it
    /// is damaged, or was purged or replaced since the lookup: then it is a miss.
    ///
    /// It goes to memory at once, not at the second touch: a new arrival starts in S3-FIFO's small
    /// queue, so a walk over everything on disk displaces other newcomers only (SOSP 2023, §4.1).
    pub fn load(&self, found: DiskRef) -> Option<Arc<Entry>> {
        let shared = &*self.shared;
        let entry = shared.disk.as_ref()?.load(shared, &found)?;
        shared.make_room();
        Some(entry)
    }

    /// Stores a response, replacing the one with the same key and selecting fields. In memory at
    /// once, on disk soon after. The entry comes back also if it was too large to keep.
    ///
    /// For a response that took time to fetch use [`Store::insert_since`].
    pub fn insert(&self, key: Key, head: StoredHead, body: Bytes) -> Arc<Entry> {
        let epoch = self.epoch(&key);
        self.insert_since(epoch, key, head, body)
    }

    /// Stores a response whose fetch began at `epoch`, unless something under its key was purged
    /// since: what the origin said before may be what the purge was for. The entry comes back in any
    /// case and may be sent to those who waited for it. If the key was invalidated after the request
    /// was sent, the response is stored as an invalid one.
    pub fn insert_since(
        &self,
        epoch: Epoch,
        key: Key,
        head: StoredHead,
        body: Bytes,
    ) -> Arc<Entry> {
        let shared = &*self.shared;
        let id = key.hash128(&shared.seed);
        let serial = shared.serial();
        let tags = shared.tags.read(&head.headers);
        let mut head = owned(head);
        let last = shared.last_invalidation(id);
        head.invalidation = shared.table.invalidation(id, &key, &head.vary).of_successor();
        head.invalidation = invalidate::told_of(&head, last);
        // Copied for the same reason as the head's values; 5 us for a page of 50 KB.
        let body = encode::shared(body.to_vec());
        let ledger = Arc::clone(shared.memory.ledger());
        let forms = Arc::new(Forms::from_origin(&head.headers, body, ledger));
        let build = |residence| {
            Arc::new(Entry::new(
                key.clone(),
                head.clone(),
                Arc::clone(&forms),
                Arc::clone(&tags),
                residence,
                serial,
            ))
        };
        let probe = build(Residence::new(id));
        if probe.footprint() > shared.max_entry_bytes {
            shared.counters.too_large.fetch_add(1, Ordering::Relaxed);
            // What it would have replaced is outdated nevertheless.
            if head.partial.is_none() {
                shared.drop_outdated(shared.table.take_variant(id, &key, &head.vary));
            }
            return probe;
        }
        let is_current = || shared.epoch_of(id).is_unpurged_since(epoch);
        let Some(put) = shared.table.put(id, probe, build, is_current) else {
            shared.counters.outdated.fetch_add(1, Ordering::Relaxed);
            return build(Residence::new(id));
        };
        if put.is_new_residence {
            shared.memory.push(&put.entry);
        }
        shared.drop_outdated(put.displaced);
        shared.make_room();
        shared.schedule_write(&put.entry, id);
        self.look_again(id, last, &put.entry.key);
        put.entry
    }

    /// Puts a refreshed head (RFC 9111 §3.2, §4.3.4, §4.3.5) on a stored response; content and
    /// compressed forms are kept. If the entry was purged or replaced meanwhile, the result is not
    /// stored but can still be sent.
    pub fn replace_head(&self, entry: &Arc<Entry>, head: StoredHead) -> Arc<Entry> {
        let shared = &*self.shared;
        let id = entry.key.hash128(&shared.seed);
        let mut head = owned(head);
        let last = shared.last_invalidation(id);
        head.invalidation = entry.head.invalidation.of_successor();
        head.invalidation = invalidate::told_of(&head, last);
        let refreshed = self.put_head(id, entry, head);
        self.look_again(id, last, &entry.key);
        refreshed
    }

    fn put_head(&self, id: u128, entry: &Arc<Entry>, head: StoredHead) -> Arc<Entry> {
        let shared = &*self.shared;
        let tags = shared.tags.read(&head.headers);
        let serial = shared.serial();
        let build = |residence| {
            let (key, forms) = (entry.key.clone(), Arc::clone(entry.forms()));
            Arc::new(Entry::new(key, head.clone(), forms, Arc::clone(&tags), residence, serial))
        };
        let Some(put) = shared.table.refresh(id, entry, build) else {
            return build(Residence::new(id));
        };
        if put.is_new_residence {
            shared.memory.push(&put.entry);
        }
        shared.make_room();
        shared.schedule_write(&put.entry, id);
        put.entry
    }

    /// Removes all variants of a key; how many there were. Unlinks their files before it returns
    /// (tens of microseconds each) but does not fsync.
    pub fn remove(&self, key: &Key) -> usize {
        let id = key.hash128(&self.shared.seed);
        self.shared.bump_stripe(id);
        self.shared.purge(|table| table.take_key(id, key)).0
    }

    /// Purges all variants of a key, durably; how many there were. **Blocks** on fsync.
    ///
    /// # Errors
    /// [`StoreError::Io`]: gone from memory and from this process, but the disk did not confirm;
    /// after a power cut it may come back. Try again once the disk works.
    pub fn purge_url(&self, key: &Key) -> Result<usize, StoreError> {
        let id = key.hash128(&self.shared.seed);
        self.shared.bump_stripe(id);
        self.shared.purge_durably(|table| table.take_key(id, key))
    }

    /// Purges every entry whose `Surrogate-Key`, `Cache-Tag` or `xkey` names `tag`, durably; how
    /// many there were. **Blocks**: O(entries), and fsync. An entry with more than 256 tags
    /// is purged by every tag.
    ///
    /// # Errors
    /// As [`Store::purge_url`].
    pub fn purge_tag(&self, tag: &[u8]) -> Result<usize, StoreError> {
        let tag = self.shared.tags.hash(tag);
        self.shared.epoch_all.fetch_add(1, Ordering::AcqRel);
        self.shared.purge_durably(|table| table.take_tagged(tag))
    }

    /// Purges everything, durably; how many entries there were. **Blocks** on fsync, not on the
    /// number of files: the folder is renamed away and emptied in the background.
    ///
    /// # Errors
    /// As [`Store::purge_url`].
    pub fn purge_all(&self) -> Result<usize, StoreError> {
        let shared = &*self.shared;
        shared.epoch_all.fetch_add(1, Ordering::AcqRel);
        let Some(disk) = &shared.disk else {
            return shared.purge_durably(Table::take_all);
        };
        let (taken, outcome) = disk.purge_all(&shared.table);
        shared.account_purged(&taken);
        shared.enqueue_write(work::Write::Rubble);
        outcome.map(|()| taken.len())
    }

    /// The epoch of a key now. Take it before a fetch begins.
    pub fn epoch(&self, key: &Key) -> Epoch {
        self.shared.epoch_of(key.hash128(&self.shared.seed))
    }

    /// The largest entry that is kept, head and overhead included: an eighth of the memory budget
    /// and of the disk budget, whichever is less. No need to collect a body beyond it.
    pub fn max_entry_bytes(&self) -> u64 {
        self.shared.max_entry_bytes
    }

    /// Bytes that the memory tier may hold at most.
    pub fn memory_bound(&self) -> u64 {
        self.shared.memory.ledger().max_bytes()
    }

    /// Bytes that it may hold now.
    pub fn memory_limit(&self) -> u64 {
        self.shared.memory.ledger().limit()
    }

    /// Has it hold no more than `bytes` from now on, up to [`Self::memory_bound`]; what does not fit
    /// leaves at once, those asked for least first. What is on disk stays there.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.shared.memory.ledger().set_limit(bytes);
        self.shared.make_room();
    }

    /// Figures for metrics. Takes each table shard's lock once.
    pub fn stats(&self) -> StoreStats {
        self.shared.stats()
    }

    /// Waits until everything queued so far is compressed and written. **Blocks.** For tests and
    /// for a clean copy of the folder.
    pub fn settle(&self) {
        self.shared.pack_queue.wait_idle();
        self.shared.write_queue.wait_idle();
    }

    /// Writes what is queued, stops the threads and gives up the folder's lock on drop. **Blocks.**
    /// Safe to call twice; afterwards the store still answers from memory.
    pub fn shutdown(&self) {
        self.stop(Close::Drain);
    }

    fn stop(&self, how: Close) {
        // The packer feeds the writer, so it ends first. Its work is only thrift: not drained.
        self.shared.pack_queue.close(Close::Discard);
        let mut threads = self.threads.lock();
        if !threads.is_empty() {
            drop(threads.remove(0).join());
        }
        self.shared.write_queue.close(how);
        for thread in threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop(Close::Discard);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// What the store and its threads share.
pub(crate) struct Shared {
    seed: HashSeed,
    tags: TagReader,
    next_serial: AtomicU64,
    table: Table,
    memory: Memory,
    disk: Option<Disk>,
    max_entry_bytes: u64,
    counters: Counters,
    /// Counts purges per stripe of keys. A stripe shared with another key costs that key one
    /// response that is not stored, nothing else.
    epochs: Box<[AtomicU64]>,
    /// When keys were invalidated, per stripe: each time, and once a second. Another key of the
    /// stripe has responses that were fetched meanwhile validated once more, nothing else.
    invalidations: Box<[[AtomicU64; 2]]>,
    epoch_all: AtomicU64,
    pack_queue: Queue<Arc<Entry>>,
    write_queue: Queue<work::Write>,
}

impl Shared {
    fn serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    fn epoch_of(&self, id: u128) -> Epoch {
        let stripe = &self.epochs[(id >> 64) as usize % EPOCH_STRIPES];
        Epoch {
            all: self.epoch_all.load(Ordering::Acquire),
            stripe: stripe.load(Ordering::Acquire),
            invalidated_ns: self.invalidations_of(id)[1].load(Ordering::Acquire),
        }
    }

    fn bump_stripe(&self, id: u128) {
        self.epochs[(id >> 64) as usize % EPOCH_STRIPES].fetch_add(1, Ordering::AcqRel);
    }

    /// Evicts from memory until the budget holds.
    fn make_room(&self) {
        let evicted = self.memory.evict(&self.table);
        self.counters.evictions.fetch_add(evicted, Ordering::Relaxed);
    }

    fn ask_packing(&self, entry: &Arc<Entry>) {
        if entry.forms().ask_packing() {
            let bytes = entry.footprint();
            if self.pack_queue.push(Arc::clone(entry), bytes).is_err() {
                entry.forms().unask_packing();
            }
        }
    }

    /// Hands an entry to the writer. If it has no room, an outdated file must go nevertheless.
    fn schedule_write(&self, entry: &Arc<Entry>, id: u128) {
        if self.disk.is_none() {
            return;
        }
        let job = work::Write::Entry { entry: Arc::clone(entry), id };
        if self.write_queue.push(job, entry.footprint()).is_err() {
            self.counters.queue_full.fetch_add(1, Ordering::Relaxed);
            self.forget_file(id, entry.serial, table::Only::IfOutdated);
        }
    }

    /// Hands an entry whose file is sound already to the writer once more: no loss if it is full.
    fn schedule_rewrite(&self, entry: &Arc<Entry>, id: u128) {
        if self.disk.is_some() {
            let job = work::Write::Entry { entry: Arc::clone(entry), id };
            drop(self.write_queue.push(job, entry.footprint()));
        }
    }

    fn enqueue_write(&self, job: work::Write) {
        if let Err(job) = self.write_queue.push(job, 0) {
            work::write_one(self, job);
        }
    }

    /// Takes a variant off the disk, in the table and in the folder.
    fn forget_file(&self, id: u128, serial: u64, only: table::Only) {
        if let Some(disk) = &self.disk {
            let _gate = disk.gate();
            if let Some(file) = self.table.take_file(id, serial, only) {
                self.note_unlink(disk.unlink(&file));
            }
        }
    }

    /// Clears away what a newer response displaced. Its files go in the background: should a crash
    /// come first, they are found again but lie behind the newer one.
    fn drop_outdated(&self, taken: Vec<Taken>) {
        for taken in taken {
            self.memory.note_removed(&taken);
            if let Some(file) = taken.file {
                self.enqueue_write(work::Write::Unlink(file));
            }
        }
    }

    fn purge(&self, take: impl FnOnce(&Table) -> Vec<Taken>) -> (usize, Vec<u64>, bool) {
        // Under the gate no rename can slip in between taking a variant and unlinking its file,
        // and a rename that comes later finds its variant gone.
        let gate = self.disk.as_ref().map(|disk| (disk, disk.gate()));
        let taken = take(&self.table);
        let mut unlinked = Vec::new();
        let mut is_clean = true;
        if let Some((disk, _)) = &gate {
            for file in taken.iter().filter_map(|taken| taken.file.as_ref()) {
                is_clean &= self.note_unlink(disk.unlink(file));
                unlinked.push(file.number);
            }
        }
        drop(gate);
        self.account_purged(&taken);
        (taken.len(), unlinked, is_clean)
    }

    fn purge_durably(&self, take: impl FnOnce(&Table) -> Vec<Taken>) -> Result<usize, StoreError> {
        let (count, unlinked, is_clean) = self.purge(take);
        if let Some(disk) = &self.disk {
            disk.sync_folders(&unlinked)?;
            if !is_clean {
                return Err(disk.unlink_error());
            }
        }
        Ok(count)
    }

    fn account_purged(&self, taken: &[Taken]) {
        for taken in taken {
            self.memory.note_removed(taken);
        }
        self.counters.purged.fetch_add(taken.len() as u64, Ordering::Relaxed);
    }

    fn note_unlink(&self, outcome: std::io::Result<()>) -> bool {
        if outcome.is_err() {
            self.counters.write_failures.fetch_add(1, Ordering::Relaxed);
        }
        outcome.is_ok()
    }

    fn stats(&self) -> StoreStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        let (entries, memory_entries) = self.table.count();
        StoreStats {
            entries,
            memory_entries,
            disk_entries: self.disk.as_ref().map_or(0, Disk::entries),
            memory_bytes: self.memory.ledger().bytes(),
            disk_bytes: self.disk.as_ref().map_or(0, Disk::bytes),
            evictions: read(&counters.evictions),
            disk_evictions: read(&counters.disk_evictions),
            damaged: read(&counters.damaged),
            read_failures: read(&counters.read_failures),
            write_failures: read(&counters.write_failures),
            queue_full: read(&counters.queue_full),
            too_large: read(&counters.too_large),
            outdated: read(&counters.outdated),
            packed: read(&counters.packed),
            purged: read(&counters.purged),
            invalidated: read(&counters.invalidated),
            worker_panics: read(&counters.worker_panics),
        }
    }
}

/// A head whose values stand on their own. Parsers hand out slices of their read buffer; kept, one
/// `Date` would hold tens of kilobytes alive that no ledger counts.
fn owned(mut head: StoredHead) -> StoredHead {
    for value in head.headers.values_mut() {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            *value = copy;
        }
    }
    head
}

#[derive(Debug, Default)]
struct Counters {
    evictions: AtomicU64,
    disk_evictions: AtomicU64,
    damaged: AtomicU64,
    read_failures: AtomicU64,
    write_failures: AtomicU64,
    queue_full: AtomicU64,
    too_large: AtomicU64,
    outdated: AtomicU64,
    packed: AtomicU64,
    purged: AtomicU64,
    invalidated: AtomicU64,
    worker_panics: AtomicU64,
}

/// No entry takes more than this share of either tier, so that none displaces everything else.
const ENTRY_SHARE: u64 = 8;
/// Entries waiting for the packer; at 3 ms each, a fifth of a second of work.
const PACK_QUEUE: usize = 64;
/// Entries waiting for the writer.
const WRITE_QUEUE: usize = 1_024;
/// 32 KiB of counters; with 100 invalidations a second and fetches of a second, 2 % of the
/// responses go unstored once.
const EPOCH_STRIPES: usize = 4_096;
