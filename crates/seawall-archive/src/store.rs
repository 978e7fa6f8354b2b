//! The archive of one site on disk: looked up, added to, withdrawn from.
//!
//! Records lie in numbered files: sealed packages (`000007.wacz`), and one that is being written
//! (`000008.open.warc.gz`). A number is never used twice, so that whoever has found out where a record
//! lies reads that record or nothing. The index says where each record lies; what it does not name does
//! not exist. What is written is on disk before the index names it.
//!
//! Everything here blocks on the disk. It does **not** fetch, and knows no clock.

mod import;
mod keep;
mod open;
mod repack;
mod same;
mod thin;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use seawall_model::WallTime;
use seawall_seal::{Digest, SigningKey};

pub use self::import::{Import, Imported, Provenance};
pub use self::keep::{Discovered, Fetched, Kept};
pub use self::open::Repaired;
pub(crate) use self::open::Told;
pub use self::repack::Upkeep;
use crate::capture::Capture;
use crate::error::ArchiveError;
use crate::frontier::Known;
use crate::index::{Change, Index, PackageId, Version};
use crate::warc::{Record, read_checked_member};

/// How an archive is kept.
#[derive(Clone, Debug)]
pub struct ArchiveOptions {
    /// Bytes on disk that it may take, index and what is rewritten excepted.
    pub max_bytes: u64,
    /// Bytes after which the open file becomes a package. Default 32 MiB.
    pub package_bytes: u64,
    /// Versions of one URL that are kept, of different ages, and one more that a pin shows. Default 5.
    pub max_versions: usize,
    /// URLs that are known, held or not. Default 1,000,000.
    pub max_known: u64,
    /// Bytes of content that are taken. Default 64 MiB.
    pub max_body_bytes: usize,
    /// Bytes of memory for the index. Default 16 MiB.
    pub index_memory_bytes: usize,
    /// What names itself in the packages.
    pub software: String,
}

impl ArchiveOptions {
    /// The defaults, for this many bytes on disk.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            package_bytes: 32 << 20,
            max_versions: 5,
            max_known: 1_000_000,
            max_body_bytes: 64 << 20,
            index_memory_bytes: 16 << 20,
            software: concat!("seawall ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// The archive of one site. One process at a time has it open.
pub struct Archive {
    dir: PathBuf,
    options: ArchiveOptions,
    key: Arc<SigningKey>,
    index: Index,
    /// What is written to; whoever changes the archive holds it.
    writer: Mutex<Writer>,
    files: Mutex<BTreeMap<PackageId, Arc<File>>>,
    damaged: AtomicU64,
    refused: AtomicU64,
}

/// The file that is being written.
struct Writer {
    id: PackageId,
    file: Arc<File>,
    /// Bytes that the index knows of.
    length: u64,
    begun: WallTime,
    /// Records put there since the start.
    records: usize,
    /// A change of the index failed on the way to the disk, and may be there or not.
    in_doubt: bool,
}

/// What is held of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The response.
    pub capture: Capture,
    /// Until when the origin is known to have said the same.
    pub validated: WallTime,
}

/// One version of a URL, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldVersion {
    /// When it was captured.
    pub captured: WallTime,
    /// Until when the origin is known to have said the same.
    pub validated: WallTime,
    /// The status code.
    pub status: u16,
    /// The media type.
    pub media_type: String,
    /// Bytes of its record on disk.
    pub record_bytes: u64,
    /// Whether the pin lets it be shown.
    pub is_shown: bool,
}

/// What the archive has, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArchiveStats {
    /// URLs known.
    pub known: u64,
    /// URLs of which there is something.
    pub held: u64,
    /// Versions of them.
    pub versions: u64,
    /// URLs that were withdrawn.
    pub withdrawn: u64,
    /// Bytes of packages and the open file.
    pub bytes: u64,
    /// Packages.
    pub packages: u64,
    /// The least recent of the newest versions, by when the origin was known to say so.
    pub oldest: Option<WallTime>,
    /// The most recent.
    pub newest: Option<WallTime>,
    /// Records that turned out damaged since the start.
    pub damaged: u64,
    /// URLs and responses of new ones that there was no room for since the start.
    pub refused: u64,
    /// Nothing newer is shown.
    pub pinned_before: Option<WallTime>,
}

/// Few enough for others to get their turn in between.
const MADE_DUE_AT_ONCE: usize = 1_000;

/// Index number: nothing captured from this on is shown.
const PIN: &str = "pinned before, ns";
/// Index number: the file that is being written.
const OPEN_ID: &str = "open file";
/// Index number: it is being made again from the packages, which is not done.
const REBUILDING: &str = "being made again";

impl Archive {
    /// What is held of `url`, in normal form ([`crate::normal_url`]): the newest version, or with `near`
    /// the one that stood at that time, or else is nearest to it. O(log URLs) and one read.
    ///
    /// # Errors
    /// [`ArchiveError::Record`] if the record's bytes are not those that were written: they are not
    /// given out, the version is forgotten with those that refer to its content, and their URLs are due.
    /// [`ArchiveError::TooLarge`] if it was kept when more was allowed. Others as the disk has it.
    pub fn lookup(&self, url: &str, near: Option<WallTime>) -> Result<Option<Held>, ArchiveError> {
        // A second try if the record was moved between the look and the read.
        for last in [false, true] {
            let Some(version) = self.choose(url, near)? else { return Ok(None) };
            match self.read(url, &version) {
                Ok(capture) => return Ok(Some(Held { capture, validated: version.validated })),
                Err(ArchiveError::Record { .. } | ArchiveError::Io { .. }) if !last => {}
                Err(ArchiveError::Record { url, captured }) => {
                    self.forget_damaged(&url, captured)?;
                    return Err(ArchiveError::Record { url, captured });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Which version [`Archive::lookup`] would give: when it was captured, and until when the origin is
    /// known to have said the same. Reads the index only.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn find(
        &self,
        url: &str,
        near: Option<WallTime>,
    ) -> Result<Option<(WallTime, WallTime)>, ArchiveError> {
        Ok(self.choose(url, near)?.map(|version| (version.captured, version.validated)))
    }

    /// Whether there are as many versions as this, or more.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn held_at_least(&self, versions: u64) -> Result<bool, ArchiveError> {
        Ok(self.index.look(crate::index::Look::counts)?.1 >= versions)
    }

    /// What is known of `url`.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn known(&self, url: &str) -> Result<Option<Known>, ArchiveError> {
        let known = self.index.look(|look| look.known(url))?;
        Ok(known.and_then(|bytes| Known::decode(&bytes)))
    }

    /// URLs to fetch now, most urgent first.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn due(&self, now: WallTime, most: usize) -> Result<Vec<(String, Known)>, ArchiveError> {
        self.index.look(|look| {
            let mut due = Vec::new();
            for url in look.due(now, most)? {
                let known = look.known(&url)?.and_then(|bytes| Known::decode(&bytes));
                due.extend(known.map(|known| (url, known)));
            }
            Ok(due)
        })
    }

    /// How many URLs are due, `most` at most.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn due_count(&self, now: WallTime, most: usize) -> Result<usize, ArchiveError> {
        self.index.look(|look| look.due_count(now, most))
    }

    /// How many versions there are.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn versions(&self) -> Result<u64, ArchiveError> {
        Ok(self.index.look(crate::index::Look::counts)?.1)
    }

    /// URLs and responses of new ones that there was no room for since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Makes every known URL due now, in their order of priority.
    ///
    /// # Errors
    /// As the disk has it; what was made due until then stays so.
    pub fn make_due(&self, now: WallTime) -> Result<(), ArchiveError> {
        let mut from = String::new();
        loop {
            // Taken first: what is written back is what was read, without a fetch in between.
            let mut writer = self.writer()?;
            let mut some = Vec::new();
            self.index.look(|look| {
                look.each_known(&from, |url, bytes| {
                    some.extend(Known::decode(bytes).map(|known| (url.to_owned(), known)));
                    some.len() < MADE_DUE_AT_ONCE
                })
            })?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            // The least string that comes after it.
            from = format!("{last}\0");
            self.change(&mut writer, |change| {
                for (url, mut known) in some {
                    if known.due > now {
                        known.due = now;
                        self::keep::put_known(change, &url, &known)?;
                    }
                }
                Ok(())
            })?;
        }
    }

    /// The versions of `url`, oldest first. Reads the index only.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn history(&self, url: &str) -> Result<Vec<HeldVersion>, ArchiveError> {
        let pin = self.pinned_before()?;
        let versions = self.index.look(|look| look.versions(url))?;
        let view = |version: Version| HeldVersion {
            captured: version.captured,
            validated: version.validated,
            status: version.status,
            record_bytes: u64::from(version.length),
            is_shown: shown(&version, pin),
            media_type: version.media_type,
        };
        Ok(versions.into_iter().map(view).collect())
    }

    /// When `url` was withdrawn, if it was and has not been kept again since.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn withdrawn_at(&self, url: &str) -> Result<Option<WallTime>, ArchiveError> {
        self.index.look(|look| look.withdrawn(url))
    }

    /// Calls `each` for each known URL in order, with what is known of it and its newest version's times
    /// of capture and validation, until it says no.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn each_known(
        &self,
        from: &str,
        mut each: impl FnMut(&str, &Known, Option<(WallTime, WallTime)>) -> bool,
    ) -> Result<(), ArchiveError> {
        let pin = self.pinned_before()?;
        self.index.look(|look| {
            look.each_known_version(from, |url, bytes, versions| {
                let Some(known) = Known::decode(bytes) else { return true };
                let newest = versions.iter().rev().find(|it| shown(it, pin));
                each(url, &known, newest.map(|it| (it.captured, it.validated)))
            })
        })
    }

    /// What it has, in figures. O(URLs): for people, not for each request.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn stats(&self) -> Result<ArchiveStats, ArchiveError> {
        let mut stats = self.index.look(|look| {
            let (known, versions, withdrawn) = look.counts()?;
            let packages = look.packages()?;
            let mut stats = ArchiveStats { known, versions, withdrawn, ..Default::default() };
            stats.bytes = packages.iter().map(|(_, row)| row.bytes).sum();
            stats.packages = packages.len().saturating_sub(1) as u64;
            Ok(stats)
        })?;
        self.each_known("", |_, _, newest| {
            if let Some((_, validated)) = newest {
                stats.held += 1;
                stats.oldest = Some(stats.oldest.map_or(validated, |it| it.min(validated)));
                stats.newest = Some(stats.newest.map_or(validated, |it| it.max(validated)));
            }
            true
        })?;
        stats.damaged = self.damaged.load(Ordering::Relaxed);
        stats.refused = self.refused();
        stats.pinned_before = self.pinned_before()?;
        Ok(stats)
    }

    /// Nothing captured from this time on is shown.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn pinned_before(&self) -> Result<Option<WallTime>, ArchiveError> {
        let pin = self.index.look(|look| look.number(PIN))?;
        Ok(pin.map(WallTime::from_unix_nanos))
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The key that signs its packages.
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The files that are packages now.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn packages(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        let open = self.writer()?.id;
        let rows = self.index.look(crate::index::Look::packages)?;
        let ids = rows.into_iter().map(|(id, _)| id).filter(|id| *id != open);
        Ok(ids.map(|id| self.dir.join(package_name(id))).collect())
    }

    /// The right to change the archive. What is written is what the index says, also after a change
    /// of which nobody knew whether it was on disk.
    fn writer(&self) -> Result<MutexGuard<'_, Writer>, ArchiveError> {
        let mut writer = self.writer.lock();
        if writer.in_doubt {
            let open = self.index.look(|look| look.number(OPEN_ID))?;
            let id = open.and_then(|id| PackageId::try_from(id).ok()).unwrap_or(writer.id);
            let begun = self::open::begin(&self.dir, &self.index, id, writer.begun)?;
            begun.file.set_len(begun.length)?;
            self.files.lock().insert(id, Arc::clone(&begun.file));
            *writer = begun;
        }
        Ok(writer)
    }

    /// Changes the index for whoever holds the right to.
    fn change<T>(
        &self,
        writer: &mut Writer,
        write: impl FnOnce(&mut Change<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, ArchiveError> {
        let changed = self.index.change(write);
        writer.in_doubt |= changed.is_err();
        changed
    }

    fn choose(&self, url: &str, near: Option<WallTime>) -> Result<Option<Version>, ArchiveError> {
        self.index.look(|look| {
            let pin = look.number(PIN)?.map(WallTime::from_unix_nanos);
            let versions = look.versions(url)?;
            Ok(chosen(versions, pin, near))
        })
    }

    /// Reads and checks a record. One that refers to another's content is given that. The error names the
    /// one of the two that is damaged.
    fn read(&self, url: &str, version: &Version) -> Result<Capture, ArchiveError> {
        match self.record(url, version)? {
            Record::Response(capture) => Ok(capture),
            Record::Revisit(revisit) => {
                let of = self.index.look(|look| {
                    let Some((url, captured)) = look.original(&version.payload)? else {
                        return Ok(None);
                    };
                    Ok(look.version(&url, captured)?.map(|version| (url, version)))
                })?;
                let Some((of, original)) = of else { return Err(damaged(url, version)) };
                let Record::Response(content) = self.record(&of, &original)? else {
                    return Err(damaged(&of, &original));
                };
                Ok(Capture { body: content.body, ..revisit.head })
            }
            _ => Err(damaged(url, version)),
        }
    }

    /// The record of a response for `url`, with or without content.
    fn record(&self, url: &str, version: &Version) -> Result<Record, ArchiveError> {
        let member = self.member(url, version)?;
        // Its digest was compared with the index's just now.
        match read_checked_member(&member, self.options.max_body_bytes) {
            Ok(Record::Response(capture)) if capture.url == url => Ok(Record::Response(capture)),
            Ok(Record::Revisit(revisit)) if revisit.head.url == url => Ok(Record::Revisit(revisit)),
            // Whole, but the operator allows less than when it was kept.
            Err(error @ ArchiveError::TooLarge { .. }) => Err(error),
            _ => Err(damaged(url, version)),
        }
    }

    /// The bytes of a record as they lie in their file, if they are those that were written.
    fn member(&self, url: &str, version: &Version) -> Result<Vec<u8>, ArchiveError> {
        let file = match self.file(version.package) {
            // Somebody took the package away. That is no reason to stop everything else; but a folder that
            // is away as a whole, as one that is not mounted, says nothing of what is in it.
            Err(ArchiveError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound
                    && self.dir.join(INDEX_FILE).exists() =>
            {
                return Err(damaged(url, version));
            }
            file => file?,
        };
        let mut member = vec![0; version.length as usize];
        match file.read_exact_at(&mut member, version.offset) {
            Ok(()) if Digest::of(&member) == version.member => Ok(member),
            Ok(()) => Err(damaged(url, version)),
            Err(error)
                if error.kind() == std::io::ErrorKind::UnexpectedEof
                    || error.raw_os_error() == Some(BAD_SECTOR) =>
            {
                Err(damaged(url, version))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn file(&self, id: PackageId) -> Result<Arc<File>, ArchiveError> {
        if let Some(file) = self.files.lock().get(&id) {
            return Ok(Arc::clone(file));
        }
        let path = self.dir.join(package_name(id));
        let file = Arc::new(File::open(&path)?);
        self.files.lock().insert(id, Arc::clone(&file));
        // Removed since: nobody else would take the handle away, and what was erased would stay on disk.
        if !path.exists() {
            self.files.lock().remove(&id);
        }
        Ok(file)
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The index, beside the packages.
const INDEX_FILE: &str = "index.redb";

/// EIO: the disk cannot read it, and will not with a second try.
const BAD_SECTOR: i32 = 5;

fn damaged(url: &str, version: &Version) -> ArchiveError {
    ArchiveError::Record { url: url.to_owned(), captured: version.captured }
}

fn shown(version: &Version, pin: Option<WallTime>) -> bool {
    pin.is_none_or(|pin| version.captured < pin)
}

/// Of versions, oldest first: the newest, or the one that stood at `near`, or the nearest to that.
fn chosen(
    mut versions: Vec<Version>,
    pin: Option<WallTime>,
    near: Option<WallTime>,
) -> Option<Version> {
    versions.retain(|version| shown(version, pin));
    let Some(near) = near else { return versions.pop() };
    let distance = |version: &Version| {
        let before = version.captured.saturating_since(near);
        let after = near.saturating_since(version.validated);
        before.max(after)
    };
    versions.into_iter().rev().min_by_key(distance)
}

fn package_name(id: PackageId) -> String {
    format!("{id:06}.wacz")
}

fn open_name(id: PackageId) -> String {
    format!("{id:06}.open.warc.gz")
}
