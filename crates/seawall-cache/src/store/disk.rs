//! The disk tier: a folder of entry files, what renames and unlinks them, and in which order.
//!
//! Separate so that every promise about crashes is kept in one file. It does **not** know what is
//! in memory, nor the layout of a file (`format.rs`).
//!
//! ```text
//! DIR/lock               held by the process that uses DIR
//! DIR/live/00..3f/N      entries; N is a number, hexadecimal, never reused
//! DIR/live/00..3f/N.new  being written; deleted at open
//! DIR/dead-N/            what `live` was before a purge of everything; deleted in the background
//! ```
//!
//! **Purges and crashes.** All renames that make an entry visible and all unlinks by purges happen
//! under one lock, the gate. The writer asks the table, under the gate, whether the version it has
//! just written is still wanted, and only then renames; a purge, under the gate, takes variants
//! from the table and unlinks their files. So a purge finds either the file, or no file and a
//! writer that will find its version gone. A crash at any point leaves the entry as it was before
//! or not at all, and after the purge has returned, not at all. Purging everything is one rename of
//! `live`, which needs no space and takes no time however many files there are.
//!
//! **Eviction.** First in, first out, with another round for files whose entry was read since or is
//! warm in memory: a flood's pages go first, what readers share stays.

use std::collections::VecDeque;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::encode;
use crate::entry::Entry;
use crate::key::HashSeed;
use crate::store::files::Files;
use crate::store::format::{self, Damaged, FileParts, Header};
use crate::store::memory::Residence;
use crate::store::table::{FileRef, Only, Scanned, Spare, Table, Taken, Verdict};
use crate::store::tags::TagReader;
use crate::store::{DiskRef, OpenReport, Shared, StoreError};
use crate::vary::VaryKey;

pub(crate) struct Disk {
    root: PathBuf,
    files: Box<dyn Files>,
    gate: Mutex<Gate>,
    /// One load at a time per stripe, so that a crowd reads a file once.
    loads: Box<[Mutex<()>]>,
    max_bytes: u64,
    max_entries: u64,
    bytes: AtomicU64,
    entries: AtomicU64,
    next_number: AtomicU64,
    first_serial: u64,
    /// Unlocked when dropped, also by a crash.
    _lock: File,
}

/// What the gate guards beside the order of renames and unlinks: who is evicted next.
pub(crate) struct Gate {
    order: VecDeque<(u128, u64)>,
}

impl Disk {
    /// Takes the folder's lock, clears what a crash left, and fills the table.
    pub(crate) fn open(
        root: PathBuf,
        files: Box<dyn Files>,
        max_bytes: u64,
        max_entries: u64,
        table: &Table,
        seed: HashSeed,
        tags: &TagReader,
    ) -> Result<(Self, OpenReport), StoreError> {
        make_folders(&root)?;
        let lock = lock_folder(&root)?;
        let mut report = OpenReport::default();
        let mut found = Vec::new();
        let mut next_number = 1;
        for folder in 0..FOLDERS {
            let path = folder_path(&root, folder);
            let listing = fs::read_dir(&path).map_err(|e| io_error("read", &path, e))?;
            for file in listing.flatten() {
                let path = file.path();
                let Some(number) = number_of(&path, folder) else {
                    let is_leftover = path.extension().is_some_and(|ext| ext == "new");
                    *(if is_leftover { &mut report.leftovers } else { &mut report.damaged }) += 1;
                    drop(files.remove(&path));
                    continue;
                };
                next_number = next_number.max(number + 1);
                match scan(&path, seed, tags) {
                    Ok(sound) => found.push((sound, number)),
                    Err(Damaged) => {
                        report.damaged += 1;
                        drop(files.remove(&path));
                    }
                }
                if found.len() as u64 > max_entries.saturating_mul(2) + 1_024 {
                    cut(&mut found, max_entries, max_bytes, &root, &*files, &mut report);
                }
            }
        }
        cut(&mut found, max_entries, max_bytes, &root, &*files, &mut report);
        let disk = Self {
            gate: Mutex::new(Gate { order: VecDeque::with_capacity(found.len()) }),
            loads: (0..FOLDERS).map(|_| Mutex::new(())).collect(),
            max_bytes,
            max_entries,
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            next_number: AtomicU64::new(next_number),
            first_serial: found.first().map_or(1, |(newest, _)| newest.serial + 1),
            root,
            files,
            _lock: lock,
        };
        disk.adopt(found, table, &mut report);
        Ok((disk, report))
    }

    /// Puts what the scan found, newest first, into the table.
    fn adopt(&self, found: Vec<(Found, u64)>, table: &Table, report: &mut OpenReport) {
        let mut gate = self.gate.lock();
        for (found, number) in found {
            let file = FileRef { number, bytes: found.file_len };
            self.count_in(file.bytes);
            gate.order.push_front((found.id, number));
            let Found { id, serial, vary, tags, is_part, .. } = found;
            for hidden in table.add_scanned(id, Scanned { serial, vary, tags, is_part, file }) {
                report.leftovers += 1;
                drop(self.unlink(&hidden));
            }
        }
        report.entries = self.entries();
        report.bytes = self.bytes();
    }

    pub(crate) fn first_serial(&self) -> u64 {
        self.first_serial
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock()
    }

    /// Reads an entry and puts it into memory.
    pub(crate) fn load(&self, shared: &Shared, found: &DiskRef) -> Option<Arc<Entry>> {
        let _turn = self.loads[found.file as usize % self.loads.len()].lock();
        if let Some(entry) = shared.table.current(found.id, found.serial) {
            return (entry.key == found.key).then_some(entry);
        }
        match self.read(shared, found) {
            Ok(entry) => {
                let promoted = shared.table.promote(found.id, &entry, found.file);
                let (entry, is_new) = promoted?;
                if is_new {
                    shared.memory.push(&entry);
                }
                Some(entry)
            }
            Err(fault) => {
                let counter = match fault {
                    // Unlinked since the lookup: by a purge, or by eviction.
                    ReadFault::Gone => None,
                    ReadFault::OtherKey => return None,
                    ReadFault::Damaged => Some(&shared.counters.damaged),
                    ReadFault::Io => Some(&shared.counters.read_failures),
                };
                if let Some(counter) = counter {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                shared.forget_file(found.id, found.serial, Only::Always);
                None
            }
        }
    }

    fn read(&self, shared: &Shared, found: &DiskRef) -> Result<Arc<Entry>, ReadFault> {
        let path = self.path(found.file);
        // One byte more than a sound file can have shows a file that grew.
        let bytes = self.files.read(&path, found.bytes + 1)?;
        let file = encode::shared(bytes);
        let header = format::read_header(&file)?;
        let ledger = Arc::clone(shared.memory.ledger());
        let forms = format::read_forms(&header, &file, ledger)?;
        if header.key != found.key {
            return Err(ReadFault::OtherKey);
        }
        let tags = shared.tags.read(&header.head.headers);
        // The serial is the table's: a file may hold the head before a refresh.
        let (residence, serial) = (Residence::new(found.id), found.serial);
        let Header { key, head, .. } = header;
        Ok(Arc::new(Entry::new(key, head, Arc::new(forms), tags, residence, serial)))
    }

    /// Writes an entry; whatever goes wrong is counted and leaves it in memory only. For the writer
    /// thread alone.
    pub(crate) fn write(&self, shared: &Shared, entry: &Entry, id: u128) {
        let table = &shared.table;
        let serial = entry.serial;
        let Some(old) = table.file_of(id, serial) else { return };
        let parts = FileParts::of(entry);
        let bytes = parts.len();
        if !parts.is_readable() || bytes > shared.max_entry_bytes {
            shared.counters.too_large.fetch_add(1, Ordering::Relaxed);
            shared.forget_file(id, serial, Only::IfOutdated);
            return;
        }
        let evicted = self.make_room(shared, bytes);
        shared.counters.disk_evictions.fetch_add(evicted, Ordering::Relaxed);
        let number = old.map_or_else(|| self.next_number(), |file| file.number);
        let file = FileRef { number, bytes };
        let temporary = self.path(number).with_extension("new");
        let outcome = self
            .write_temporary(&temporary, &parts)
            .and_then(|()| self.commit(table, id, serial, file, &temporary));
        if outcome.is_err() {
            shared.counters.write_failures.fetch_add(1, Ordering::Relaxed);
            drop(self.files.remove(&temporary));
            shared.forget_file(id, serial, Only::IfOutdated);
        }
    }

    fn write_temporary(&self, path: &Path, parts: &FileParts) -> io::Result<()> {
        let slices = parts.slices();
        match self.files.write(path, &slices) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Its folder is gone: a purge renamed it away, or somebody cleaned up.
                fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
                self.files.write(path, &slices)
            }
            outcome => outcome,
        }
    }

    /// Makes a written file visible, if its version is still wanted.
    fn commit(
        &self,
        table: &Table,
        id: u128,
        serial: u64,
        file: FileRef,
        temporary: &Path,
    ) -> io::Result<()> {
        let mut gate = self.gate.lock();
        if table.file_of(id, serial).is_none() {
            drop(self.files.remove(temporary));
            return Ok(());
        }
        let path = self.path(file.number);
        self.files.rename(temporary, &path)?;
        match table.note_written(id, serial, file) {
            Ok(old) => {
                self.count_in(file.bytes);
                match old {
                    Some(old) => self.count_out(old.bytes),
                    None => gate.order.push_back((id, file.number)),
                }
            }
            // Displaced between the two questions. Whoever displaced it accounts for an older file
            // of this number; this one was never counted.
            Err(_) => drop(self.files.remove(&path)),
        }
        Ok(())
    }

    /// Evicts until `bytes` more fit; how many entries went.
    fn make_room(&self, shared: &Shared, bytes: u64) -> u64 {
        let is_full = || {
            self.bytes().saturating_add(bytes) > self.max_bytes
                || self.entries() >= self.max_entries
        };
        let (mut evicted, mut spared) = (0, 0);
        while is_full() {
            let mut gate = self.gate.lock();
            let Some((id, number)) = gate.order.pop_front() else { break };
            let spare = if spared < MAX_SPARED { Spare::Popular } else { Spare::Nobody };
            match shared.table.judge_file(id, number, spare) {
                Verdict::Evicted(file) => {
                    evicted += 1;
                    shared.note_unlink(self.unlink(&file));
                }
                Verdict::Spared => {
                    spared += 1;
                    gate.order.push_back((id, number));
                }
                Verdict::Gone => {}
            }
        }
        let mut gate = self.gate.lock();
        if gate.order.len() as u64 > self.entries() * 2 + 1_024 {
            gate.order.retain(|&(id, number)| shared.table.has_file(id, number));
        }
        evicted
    }

    /// Unlinks a file that was taken out of the table. A file that is gone already is no error.
    pub(crate) fn unlink(&self, file: &FileRef) -> io::Result<()> {
        let outcome = match self.files.remove(&self.path(file.number)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        };
        self.count_out(file.bytes);
        outcome
    }

    /// Purges everything; see the module's description.
    pub(crate) fn purge_all(&self, table: &Table) -> (Vec<Taken>, Result<(), StoreError>) {
        let mut gate = self.gate.lock();
        let taken = table.take_all();
        gate.order.clear();
        let files: Vec<FileRef> = taken.iter().filter_map(|taken| taken.file).collect();
        let live = self.root.join(LIVE);
        let dead = self.root.join(format!("{DEAD}{:x}", self.next_number()));
        let renamed = self.files.rename(&live, &dead);
        let outcome = match renamed {
            Ok(()) => {
                for file in &files {
                    self.count_out(file.bytes);
                }
                // Should the new folders fail to be made, the writer makes each as it needs it.
                drop(make_folders(&self.root));
                self.sync(&self.root)
            }
            Err(_) => {
                let failed = files.iter().filter(|file| self.unlink(file).is_err()).count();
                let numbers: Vec<u64> = files.iter().map(|file| file.number).collect();
                let synced = self.sync_folders(&numbers);
                if failed == 0 { synced } else { Err(self.unlink_error()) }
            }
        };
        (taken, outcome)
    }

    /// Deletes what purges of everything left behind. May take long; for the writer thread.
    pub(crate) fn remove_rubble(&self) {
        for folder in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if folder.file_name().to_string_lossy().starts_with(DEAD) {
                drop(fs::remove_dir_all(folder.path()));
            }
        }
    }

    /// Makes the unlinking of these files durable.
    pub(crate) fn sync_folders(&self, numbers: &[u64]) -> Result<(), StoreError> {
        let mut folders: Vec<u64> = numbers.iter().map(|number| number % FOLDERS).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let path = folder_path(&self.root, folder);
            match self.sync(&path) {
                // Renamed away by a purge of everything, which syncs by itself.
                Err(StoreError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    fn sync(&self, path: &Path) -> Result<(), StoreError> {
        self.files.sync_folder(path).map_err(|e| io_error("sync", path, e))
    }

    /// The error of a purge whose files could not all be unlinked.
    pub(crate) fn unlink_error(&self) -> StoreError {
        io_error("unlink a purged entry in", &self.root, io::Error::other("unlink failed"))
    }

    fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn path(&self, number: u64) -> PathBuf {
        folder_path(&self.root, number % FOLDERS).join(format!("{number:x}"))
    }

    fn count_in(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.entries.fetch_add(1, Ordering::Relaxed);
    }

    /// Each [`FileRef`] is counted in once and, by its one owner, counted out once.
    fn count_out(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.entries.fetch_sub(1, Ordering::Relaxed);
    }
}

enum ReadFault {
    Gone,
    Damaged,
    OtherKey,
    Io,
}

impl From<Damaged> for ReadFault {
    fn from(_: Damaged) -> Self {
        Self::Damaged
    }
}

impl From<io::Error> for ReadFault {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::NotFound { Self::Gone } else { Self::Io }
    }
}

/// What a scan keeps of a file.
struct Found {
    id: u128,
    serial: u64,
    vary: VaryKey,
    tags: Arc<[u64]>,
    is_part: bool,
    file_len: u64,
}

/// Reads a file's header and compares its length. One open and mostly one read.
fn scan(path: &Path, seed: HashSeed, tags: &TagReader) -> Result<Found, Damaged> {
    let mut file = File::open(path).map_err(|_| Damaged)?;
    let file_len = file.metadata().map_err(|_| Damaged)?.len();
    let mut bytes = Vec::with_capacity(SCAN_BYTES);
    let mut read = |bytes: &mut Vec<u8>, wanted: usize| {
        let missing = wanted.saturating_sub(bytes.len()) as u64;
        (&mut file).take(missing).read_to_end(bytes).map_err(|_| Damaged)
    };
    read(&mut bytes, SCAN_BYTES)?;
    let end = format::header_end(&bytes)?;
    read(&mut bytes, end)?;
    let header = format::read_header(&bytes)?;
    if header.file_len() != file_len {
        return Err(Damaged);
    }
    let tags = tags.read(&header.head.headers);
    Ok(Found {
        serial: header.serial,
        id: header.key.hash128(&seed),
        is_part: header.head.partial.is_some(),
        vary: header.head.vary,
        tags,
        file_len,
    })
}

/// Keeps the newest that fit, newest first, and deletes the others.
fn cut(
    found: &mut Vec<(Found, u64)>,
    max_entries: u64,
    max_bytes: u64,
    root: &Path,
    files: &dyn Files,
    report: &mut OpenReport,
) {
    found.sort_unstable_by_key(|(found, _)| std::cmp::Reverse(found.serial));
    let mut bytes = 0;
    let mut kept = 0;
    found.retain(|(found, number)| {
        let fits = kept < max_entries && bytes + found.file_len <= max_bytes;
        if fits {
            kept += 1;
            bytes += found.file_len;
        } else {
            report.surplus += 1;
            drop(files.remove(&folder_path(root, number % FOLDERS).join(format!("{number:x}"))));
        }
        fits
    });
}

fn make_folders(root: &Path) -> Result<(), StoreError> {
    for folder in 0..FOLDERS {
        let path = folder_path(root, folder);
        fs::create_dir_all(&path).map_err(|e| io_error("make", &path, e))?;
    }
    Ok(())
}

fn lock_folder(root: &Path) -> Result<File, StoreError> {
    let path = root.join("lock");
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| io_error("open", &path, e))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { dir: root.to_owned() }),
        Err(TryLockError::Error(e)) => Err(io_error("lock", &path, e)),
    }
}

fn folder_path(root: &Path, folder: u64) -> PathBuf {
    root.join(LIVE).join(format!("{folder:02x}"))
}

/// The number of an entry file, if this is the name and the folder of one.
fn number_of(path: &Path, folder: u64) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let number = u64::from_str_radix(name, 16).ok()?;
    let is_canonical = format!("{number:x}") == name && number < u64::MAX / 2;
    (is_canonical && number % FOLDERS == folder).then_some(number)
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::Io { what, path: path.to_owned(), source }
}

const LIVE: &str = "live";
const DEAD: &str = "dead-";
/// Folders the files are spread over: some thousand files each at the most.
const FOLDERS: u64 = 64;
/// Read of each file at start: nearly every head fits.
const SCAN_BYTES: usize = 4 * 1024;
/// Popular files passed over in one search for room; beyond it the next in line goes.
const MAX_SPARED: u32 = 64;
