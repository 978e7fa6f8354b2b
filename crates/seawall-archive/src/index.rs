//! Where everything is: one database beside the packages.
//!
//! Separate because it is the only part that speaks the database's language. Each change is one
//! transaction that is on disk when the call returns, and each look sees one state as a whole. It can be
//! made again from the packages; see [`crate::Archive::open`].
//!
//! Library: `redb` (copy-on-write B-trees, checksums); its page cache is the memory it takes.

mod trim;

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::RwLock;
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};
use seawall_model::WallTime;
use seawall_seal::Digest;

use crate::error::ArchiveError;

/// Which file a record lies in, a package or the open one. Never used twice.
pub(crate) type PackageId = u32;

/// One version of a URL, and where its record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// When the response came.
    pub(crate) captured: WallTime,
    /// Until when the origin is known to have said the same.
    pub(crate) validated: WallTime,
    pub(crate) package: PackageId,
    /// From the beginning of the file.
    pub(crate) offset: u64,
    pub(crate) length: u32,
    /// Of the record's bytes as they lie there.
    pub(crate) member: Digest,
    /// Of the content.
    pub(crate) payload: Digest,
    pub(crate) status: u16,
    pub(crate) media_type: String,
}

/// One package, or the open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PackageRow {
    pub(crate) bytes: u64,
    /// Its records, of use or not: without the lists, which of small records are the larger part.
    pub(crate) record_bytes: u64,
    /// Of its records, those that are still of use.
    pub(crate) live_bytes: u64,
    pub(crate) created: WallTime,
}

impl PackageRow {
    /// Of a file in which there is nothing yet.
    pub(crate) fn empty(created: WallTime) -> Self {
        Self { bytes: 0, record_bytes: 0, live_bytes: 0, created }
    }
}

type VersionRow = (u32, u64, u32, &'static [u8; 32], &'static [u8; 32], u16, u64, &'static str);

/// By URL and the time of capture in nanoseconds.
const VERSIONS: TableDefinition<'_, (&str, u64), VersionRow> = TableDefinition::new("versions");
/// By package and offset: URL, time of capture, title.
const PLACES: TableDefinition<'_, (u32, u64), (&str, u64, &str)> = TableDefinition::new("places");
/// By the digest of the content, whether that record refers to the one that has the content instead of
/// having it, URL and time of capture. Those that have it come first.
const PAYLOADS: TableDefinition<'_, (&[u8; 32], bool, &str, u64), ()> =
    TableDefinition::new("payloads");
/// Bytes, those of use, time of making, those of records.
const PACKAGES: TableDefinition<'_, u32, (u64, u64, u64, u64)> = TableDefinition::new("packages");
/// What is known of each URL, encoded by [`crate::known`].
const KNOWN: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("known");
/// By priority (0 first), second and URL.
const DUE: TableDefinition<'_, (u8, u64, &str), ()> = TableDefinition::new("due");
/// By URL: when it was withdrawn.
const WITHDRAWN: TableDefinition<'_, &str, u64> = TableDefinition::new("withdrawn");
/// By URL: when it was last withdrawn before it was kept again. What is older stays away nevertheless.
const RETURNED: TableDefinition<'_, &str, u64> = TableDefinition::new("returned");
/// Packages with content that has to be erased, and since when.
const ERASE: TableDefinition<'_, u32, u64> = TableDefinition::new("erase");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// The database.
///
/// After a write that failed (a full disk) the library neither reads nor writes until it is opened
/// again, so that is done here: readers need what is there most when something else is broken.
pub(crate) struct Index {
    path: PathBuf,
    cache_bytes: usize,
    state: RwLock<State>,
}

/// `database` is `None` while it could not be opened again.
struct State {
    database: Option<Database>,
    has_failed: bool,
}

/// How long to wait for others to finish with a database that failed, before leaving it to the next.
const TURN: Duration = Duration::from_millis(200);

impl Index {
    /// Opens or makes it. `cache_bytes` bounds its memory.
    ///
    /// # Errors
    /// [`ArchiveError::InUse`] if another process has it; [`ArchiveError::Index`] if it is damaged or
    /// cannot be read.
    pub(crate) fn open(path: &Path, cache_bytes: usize) -> Result<Self, ArchiveError> {
        let database = open(path, cache_bytes)?;
        let database = Some(match trim::trimmed(database, path) {
            Some(trimmed) => trimmed,
            // What failed on the way does not hold for what is there, or the next look says so.
            None => open(path, cache_bytes)?,
        });
        let state = RwLock::new(State { database, has_failed: false });
        let index = Self { path: path.to_owned(), cache_bytes, state };
        // Readers expect the tables.
        index.change(|_| Ok(()))?;
        Ok(index)
    }

    /// Looks at one state of it.
    pub(crate) fn look<T>(
        &self,
        read: impl FnOnce(&Look) -> Result<T, redb::Error>,
    ) -> Result<T, ArchiveError> {
        self.with(|database| read(&Look(database.begin_read()?)))
    }

    /// Changes it in one transaction, which is on disk at the end or did not happen. Only after a
    /// failing disk it may be either, see [`crate::Archive`].
    pub(crate) fn change<T>(
        &self,
        write: impl FnOnce(&mut Change<'_>) -> Result<T, redb::Error>,
    ) -> Result<T, ArchiveError> {
        self.with(|database| {
            let transaction = database.begin_write()?;
            let value = write(&mut Change::new(&transaction)?)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    fn with<T>(
        &self,
        run: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, ArchiveError> {
        // Looks may lie within looks; one that waits for a writer in between would wait for itself.
        let mut state = self.state.read_recursive();
        if state.has_failed {
            drop(state);
            self.open_again()?;
            state = self.state.read_recursive();
        }
        let Some(database) = &state.database else { return Err(failed(redb::Error::PreviousIo)) };
        let ran = run(database);
        drop(state);
        if let Err(redb::Error::Io(_) | redb::Error::PreviousIo) = &ran {
            if let Some(mut state) = self.state.try_write_for(TURN) {
                state.has_failed = true;
            }
            // What failed is told to the caller anyway.
            let _ = self.open_again();
        }
        ran.map_err(failed)
    }

    fn open_again(&self) -> Result<(), ArchiveError> {
        let Some(mut state) = self.state.try_write_for(TURN) else { return Ok(()) };
        if state.has_failed {
            // It holds the lock of the file.
            state.database = None;
            state.database = Some(open(&self.path, self.cache_bytes)?);
            state.has_failed = false;
        }
        Ok(())
    }
}

fn open(path: &Path, cache_bytes: usize) -> Result<Database, ArchiveError> {
    Builder::new().set_cache_size(cache_bytes).create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => ArchiveError::InUse,
        other => failed(other),
    })
}

fn failed(error: impl Into<redb::Error>) -> ArchiveError {
    ArchiveError::Index(Box::new(error.into()))
}

/// One state of the database.
pub(crate) struct Look(ReadTransaction);

impl Look {
    /// The versions of a URL, oldest first. O(log URLs + versions).
    pub(crate) fn versions(&self, url: &str) -> Result<Vec<Version>, redb::Error> {
        let table = self.0.open_table(VERSIONS)?;
        let mut versions = Vec::new();
        for row in table.range((url, 0)..=(url, u64::MAX))? {
            let (key, value) = row?;
            versions.push(version(key.value().1, &value.value()));
        }
        Ok(versions)
    }

    /// The version of a URL captured at this very time.
    pub(crate) fn version(
        &self,
        url: &str,
        captured: WallTime,
    ) -> Result<Option<Version>, redb::Error> {
        let table = self.0.open_table(VERSIONS)?;
        let row = table.get((url, captured.unix_nanos()))?;
        Ok(row.map(|row| version(captured.unix_nanos(), &row.value())))
    }

    /// The records that have this content, or those that refer to one which has, until `each` says no:
    /// URL and time of capture.
    pub(crate) fn each_same(
        &self,
        digest: &Digest,
        refers: bool,
        each: impl FnMut(&str, WallTime) -> bool,
    ) -> Result<(), redb::Error> {
        each_same(&self.0.open_table(PAYLOADS)?, digest, refers, each)
    }

    /// The record that those with this content refer to: URL and time of capture.
    pub(crate) fn original(&self, digest: &Digest) -> Result<Option<Same>, redb::Error> {
        let mut found = None;
        self.each_same(digest, false, |url, captured| {
            found = Some((url.to_owned(), captured));
            false
        })?;
        Ok(found)
    }

    /// Whether a record refers to another's content.
    pub(crate) fn refers(
        &self,
        digest: &Digest,
        url: &str,
        captured: WallTime,
    ) -> Result<bool, redb::Error> {
        let table = self.0.open_table(PAYLOADS)?;
        Ok(table.get((&digest.0, true, url, captured.unix_nanos()))?.is_some())
    }

    /// The records of a package by their offsets: URL, time of capture, title.
    pub(crate) fn places(
        &self,
        package: PackageId,
    ) -> Result<Vec<(u64, String, WallTime, String)>, redb::Error> {
        let table = self.0.open_table(PLACES)?;
        let mut places = Vec::new();
        for row in table.range((package, 0)..=(package, u64::MAX))? {
            let (key, value) = row?;
            let (url, captured, title) = value.value();
            let captured = WallTime::from_unix_nanos(captured);
            places.push((key.value().1, url.to_owned(), captured, title.to_owned()));
        }
        Ok(places)
    }

    /// The title noted with a record.
    pub(crate) fn title(&self, package: PackageId, at: u64) -> Result<Option<String>, redb::Error> {
        let table = self.0.open_table(PLACES)?;
        Ok(table.get((package, at))?.map(|row| row.value().2.to_owned()))
    }

    /// All packages.
    pub(crate) fn packages(&self) -> Result<Vec<(PackageId, PackageRow)>, redb::Error> {
        let table = self.0.open_table(PACKAGES)?;
        table
            .iter()?
            .map(|row| {
                let (id, value) = row?;
                Ok((id.value(), package(value.value())))
            })
            .collect()
    }

    /// What is known of a URL, encoded.
    pub(crate) fn known(&self, url: &str) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.0.open_table(KNOWN)?;
        Ok(table.get(url)?.map(|row| row.value().to_vec()))
    }

    /// Whether there is any version of a URL.
    pub(crate) fn is_held(&self, url: &str) -> Result<bool, redb::Error> {
        let table = self.0.open_table(VERSIONS)?;
        Ok(table.range((url, 0)..=(url, u64::MAX))?.next().is_some())
    }

    /// Calls `each` for every known URL in order, until it says no.
    pub(crate) fn each_known(
        &self,
        from: &str,
        mut each: impl FnMut(&str, &[u8]) -> bool,
    ) -> Result<(), redb::Error> {
        let table = self.0.open_table(KNOWN)?;
        for row in table.range(from..)? {
            let (url, known) = row?;
            if !each(url.value(), known.value()) {
                break;
            }
        }
        Ok(())
    }

    /// As [`Self::each_known`], with the versions of each, oldest first. One walk through both tables side by
    /// side: a look for each URL takes three times as long.
    pub(crate) fn each_known_version(
        &self,
        from: &str,
        mut each: impl FnMut(&str, &[u8], &[Version]) -> bool,
    ) -> Result<(), redb::Error> {
        let table = self.0.open_table(VERSIONS)?;
        let mut rows = table.range((from, 0)..)?;
        let mut next = rows.next().transpose()?;
        let mut versions = Vec::new();
        let mut failed = None;
        self.each_known(from, |url, known| {
            versions.clear();
            // Versions of a URL that is not known are passed over.
            while let Some((key, value)) = next.take_if(|(key, _)| key.value().0 <= url) {
                let (of, captured) = key.value();
                if of == url {
                    versions.push(version(captured, &value.value()));
                }
                match rows.next().transpose() {
                    Ok(row) => next = row,
                    Err(error) => {
                        failed = Some(error.into());
                        return false;
                    }
                }
            }
            each(url, known, &versions)
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// URLs that are due, best priority first and then longest due, `most` at most.
    pub(crate) fn due(&self, now: WallTime, most: usize) -> Result<Vec<String>, redb::Error> {
        let table = self.0.open_table(DUE)?;
        let mut urls = Vec::new();
        for priority in 0..=MAX_PRIORITY {
            let end = (priority, now.unix_secs() + 1, "");
            for row in table.range((priority, 0, "")..end)? {
                if urls.len() >= most {
                    return Ok(urls);
                }
                urls.push(row?.0.value().2.to_owned());
            }
        }
        Ok(urls)
    }

    /// How many URLs are due, `most` at most.
    pub(crate) fn due_count(&self, now: WallTime, most: usize) -> Result<usize, redb::Error> {
        let table = self.0.open_table(DUE)?;
        let mut count = 0;
        for priority in 0..=MAX_PRIORITY {
            let end = (priority, now.unix_secs() + 1, "");
            count += table.range((priority, 0, "")..end)?.take(most - count).count();
        }
        Ok(count)
    }

    /// URLs that are due after this time, `most` at most.
    pub(crate) fn due_after(
        &self,
        time: WallTime,
        most: usize,
    ) -> Result<Vec<String>, redb::Error> {
        let table = self.0.open_table(DUE)?;
        let mut urls = Vec::new();
        for priority in 0..=MAX_PRIORITY {
            let from = (priority, time.unix_secs() + 1, "");
            for row in table.range(from..(priority + 1, 0, ""))?.take(most - urls.len()) {
                urls.push(row?.0.value().2.to_owned());
            }
        }
        Ok(urls)
    }

    /// When a URL was withdrawn, if it was.
    pub(crate) fn withdrawn(&self, url: &str) -> Result<Option<WallTime>, redb::Error> {
        let table = self.0.open_table(WITHDRAWN)?;
        Ok(table.get(url)?.map(|row| WallTime::from_unix_nanos(row.value())))
    }

    /// What was captured until then does not come back: when a URL was last withdrawn, also if it was
    /// kept again since. Of a time after `latest` nothing is believed.
    pub(crate) fn barred(
        &self,
        url: &str,
        latest: WallTime,
    ) -> Result<Option<WallTime>, redb::Error> {
        let returned = self.0.open_table(RETURNED)?;
        let returned = returned.get(url)?.map(|row| WallTime::from_unix_nanos(row.value()));
        let times = self.withdrawn(url)?.into_iter().chain(returned);
        Ok(times.filter(|at| *at <= latest).max())
    }

    /// Packages with content that has to be erased.
    pub(crate) fn to_erase(&self) -> Result<Vec<PackageId>, redb::Error> {
        let table = self.0.open_table(ERASE)?;
        table.iter()?.map(|row| Ok(row?.0.value())).collect()
    }

    /// One of the numbers kept here.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, redb::Error> {
        let table = self.0.open_table(NUMBERS)?;
        Ok(table.get(name)?.map(|row| row.value()))
    }

    /// How many URLs are known, how many versions there are, how many URLs were withdrawn.
    pub(crate) fn counts(&self) -> Result<(u64, u64, u64), redb::Error> {
        let known = self.0.open_table(KNOWN)?.len()?;
        let versions = self.0.open_table(VERSIONS)?.len()?;
        let withdrawn = self.0.open_table(WITHDRAWN)?.len()?;
        Ok((known, versions, withdrawn))
    }

    /// Calls `each` for every version in order of URL and time, from `from` on, until it says no.
    pub(crate) fn each_version(
        &self,
        from: &str,
        mut each: impl FnMut(&str, Version) -> bool,
    ) -> Result<(), redb::Error> {
        let table = self.0.open_table(VERSIONS)?;
        for row in table.range((from, 0)..)? {
            let (key, value) = row?;
            let (url, captured) = key.value();
            if !each(url, version(captured, &value.value())) {
                break;
            }
        }
        Ok(())
    }
}

/// Index number: the file number that was not given yet.
const NEXT_ID: &str = "next file";

/// The lowest priority there is.
pub(crate) const MAX_PRIORITY: u8 = 9;

type Table<'t, K, V> = redb::Table<'t, K, V>;

/// One transaction.
pub(crate) struct Change<'t> {
    versions: Table<'t, (&'static str, u64), VersionRow>,
    places: Table<'t, (u32, u64), (&'static str, u64, &'static str)>,
    payloads: Table<'t, (&'static [u8; 32], bool, &'static str, u64), ()>,
    packages: Table<'t, u32, (u64, u64, u64, u64)>,
    known: Table<'t, &'static str, &'static [u8]>,
    due: Table<'t, (u8, u64, &'static str), ()>,
    withdrawn: Table<'t, &'static str, u64>,
    returned: Table<'t, &'static str, u64>,
    erase: Table<'t, u32, u64>,
    numbers: Table<'t, &'static str, u64>,
}

impl<'t> Change<'t> {
    fn new(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            versions: transaction.open_table(VERSIONS)?,
            places: transaction.open_table(PLACES)?,
            payloads: transaction.open_table(PAYLOADS)?,
            packages: transaction.open_table(PACKAGES)?,
            known: transaction.open_table(KNOWN)?,
            due: transaction.open_table(DUE)?,
            withdrawn: transaction.open_table(WITHDRAWN)?,
            returned: transaction.open_table(RETURNED)?,
            erase: transaction.open_table(ERASE)?,
            numbers: transaction.open_table(NUMBERS)?,
        })
    }

    /// Says that the record of a version lies elsewhere now. Returns its bytes, 0 if there is none.
    pub(crate) fn move_version(
        &mut self,
        url: &str,
        captured: WallTime,
        package: PackageId,
        offset: u64,
    ) -> Result<u64, redb::Error> {
        let key = (url, captured.unix_nanos());
        let row = self.versions.get(key)?.map(|row| version(key.1, &row.value()));
        let Some(row) = row else { return Ok(0) };
        let title = self.places.get((row.package, row.offset))?;
        let title = title.map(|row| row.value().2.to_owned()).unwrap_or_default();
        let length = u64::from(row.length);
        self.put_version(url, &Version { package, offset, ..row }, &title)?;
        Ok(length)
    }

    /// Adds or moves a version, with its place.
    pub(crate) fn put_version(
        &mut self,
        url: &str,
        version: &Version,
        title: &str,
    ) -> Result<(), redb::Error> {
        let captured = version.captured.unix_nanos();
        let old = self.versions.get((url, captured))?.map(|row| (row.value().0, row.value().1));
        if let Some(place) = old {
            self.places.remove(place)?;
        }
        self.versions.insert(
            (url, captured),
            (
                version.package,
                version.offset,
                version.length,
                &version.member.0,
                &version.payload.0,
                version.status,
                version.validated.unix_nanos(),
                version.media_type.as_str(),
            ),
        )?;
        self.places.insert((version.package, version.offset), (url, captured, title))?;
        Ok(())
    }

    /// Notes that the origin still says the same.
    pub(crate) fn put_validated(
        &mut self,
        url: &str,
        captured: WallTime,
        validated: WallTime,
    ) -> Result<(), redb::Error> {
        let key = (url, captured.unix_nanos());
        let Some(row) = self.versions.get(key)?.map(|row| version(key.1, &row.value())) else {
            return Ok(());
        };
        self.versions.insert(
            key,
            (
                row.package,
                row.offset,
                row.length,
                &row.member.0,
                &row.payload.0,
                row.status,
                validated.unix_nanos(),
                row.media_type.as_str(),
            ),
        )?;
        Ok(())
    }

    /// Takes a version away, with its place. Whoever refers to its content must have been given that
    /// before. Returns it.
    pub(crate) fn remove_version(
        &mut self,
        url: &str,
        captured: WallTime,
    ) -> Result<Option<Version>, redb::Error> {
        let key = (url, captured.unix_nanos());
        let row = self.versions.remove(key)?.map(|row| version(key.1, &row.value()));
        if let Some(row) = &row {
            self.places.remove((row.package, row.offset))?;
            for refers in [false, true] {
                self.payloads.remove((&row.payload.0, refers, url, key.1))?;
            }
            self.note_dead(row.package, u64::from(row.length))?;
        }
        Ok(row)
    }

    fn note_dead(&mut self, id: PackageId, bytes: u64) -> Result<(), redb::Error> {
        let row = self.packages.get(id)?.map(|row| row.value());
        if let Some(mut row) = row {
            row.1 = row.1.saturating_sub(bytes);
            self.packages.insert(id, row)?;
        }
        Ok(())
    }

    /// Notes more records in a file that is not a package yet.
    pub(crate) fn note_live(&mut self, id: PackageId, bytes: u64) -> Result<(), redb::Error> {
        let row = self.packages.get(id)?.map(|row| row.value());
        if let Some(mut row) = row {
            row.0 += bytes;
            row.1 += bytes;
            row.3 += bytes;
            self.packages.insert(id, row)?;
        }
        Ok(())
    }

    /// Notes that some of the bytes of a package are of use.
    pub(crate) fn note_alive(&mut self, id: PackageId, bytes: u64) -> Result<(), redb::Error> {
        let row = self.packages.get(id)?.map(|row| row.value());
        if let Some(mut row) = row {
            row.1 += bytes;
            self.packages.insert(id, row)?;
        }
        Ok(())
    }

    /// Whether there is any version of a URL.
    pub(crate) fn is_held(&self, url: &str) -> Result<bool, redb::Error> {
        Ok(self.versions.range((url, 0)..=(url, u64::MAX))?.next().is_some())
    }

    /// One package.
    pub(crate) fn package(&self, id: PackageId) -> Result<Option<PackageRow>, redb::Error> {
        Ok(self.packages.get(id)?.map(|row| package(row.value())))
    }

    /// Notes that a package has content which has to be erased.
    pub(crate) fn put_erase(&mut self, id: PackageId, since: WallTime) -> Result<(), redb::Error> {
        let earlier = self.erase.get(id)?.map(|row| row.value());
        let since = since.unix_nanos();
        self.erase.insert(id, earlier.map_or(since, |earlier| earlier.min(since)))?;
        Ok(())
    }

    /// Says that a record has this content, or refers to the one that has.
    pub(crate) fn put_payload(
        &mut self,
        digest: &Digest,
        url: &str,
        captured: WallTime,
        has_it: bool,
    ) -> Result<(), redb::Error> {
        let captured = captured.unix_nanos();
        self.payloads.remove((&digest.0, has_it, url, captured))?;
        self.payloads.insert((&digest.0, !has_it, url, captured), ())?;
        Ok(())
    }

    /// Takes away a version that cannot be read, and those that refer to its content if no other record
    /// has that. Returns their URLs.
    pub(crate) fn remove_unreadable(
        &mut self,
        url: &str,
        captured: WallTime,
    ) -> Result<Vec<String>, redb::Error> {
        let mut urls = vec![url.to_owned()];
        let Some(row) = self.remove_version(url, captured)? else { return Ok(urls) };
        let mut has_other = false;
        each_same(&self.payloads, &row.payload, false, |_, _| {
            has_other = true;
            false
        })?;
        let mut lost = Vec::new();
        if !has_other {
            each_same(&self.payloads, &row.payload, true, |of, at| {
                lost.push((of.to_owned(), at));
                true
            })?;
        }
        for (of, at) in lost {
            self.remove_version(&of, at)?;
            urls.push(of);
        }
        Ok(urls)
    }

    /// Adds or changes a package.
    pub(crate) fn put_package(
        &mut self,
        id: PackageId,
        row: PackageRow,
    ) -> Result<(), redb::Error> {
        let created = row.created.unix_nanos();
        self.packages.insert(id, (row.bytes, row.live_bytes, created, row.record_bytes))?;
        Ok(())
    }

    /// Takes a package away.
    pub(crate) fn remove_package(&mut self, id: PackageId) -> Result<(), redb::Error> {
        self.packages.remove(id)?;
        self.erase.remove(id)?;
        Ok(())
    }

    /// Sets what is known of a URL, and when it is due.
    pub(crate) fn put_known(
        &mut self,
        url: &str,
        known: &[u8],
        before: Option<(u8, WallTime)>,
        due: (u8, WallTime),
    ) -> Result<(), redb::Error> {
        if let Some((priority, at)) = before {
            self.due.remove((priority.min(MAX_PRIORITY), at.unix_secs(), url))?;
        }
        self.known.insert(url, known)?;
        self.due.insert((due.0.min(MAX_PRIORITY), due.1.unix_secs(), url), ())?;
        Ok(())
    }

    /// What is known of a URL, encoded.
    pub(crate) fn known(&self, url: &str) -> Result<Option<Vec<u8>>, redb::Error> {
        Ok(self.known.get(url)?.map(|row| row.value().to_vec()))
    }

    /// How many URLs are known.
    pub(crate) fn known_count(&self) -> Result<u64, redb::Error> {
        Ok(self.known.len()?)
    }

    /// Marks a URL as withdrawn.
    pub(crate) fn withdraw(&mut self, url: &str, at: WallTime) -> Result<(), redb::Error> {
        self.withdrawn.insert(url, at.unix_nanos())?;
        Ok(())
    }

    /// Takes the mark away, and remembers until when nothing comes back.
    pub(crate) fn restore(&mut self, url: &str) -> Result<(), redb::Error> {
        let at = self.withdrawn.remove(url)?.map(|row| row.value());
        if let Some(at) = at {
            self.returned.insert(url, at)?;
        }
        Ok(())
    }

    /// A number for a new file, never given before.
    pub(crate) fn take_id(&mut self, at_least: PackageId) -> Result<PackageId, redb::Error> {
        let next = self.numbers.get(NEXT_ID)?.map_or(1, |row| row.value());
        let id = PackageId::try_from(next).unwrap_or(PackageId::MAX).max(at_least);
        self.numbers.insert(NEXT_ID, u64::from(id) + 1)?;
        Ok(id)
    }

    /// Sets one of the numbers kept here.
    pub(crate) fn put_number(&mut self, name: &str, value: u64) -> Result<(), redb::Error> {
        self.numbers.insert(name, value)?;
        Ok(())
    }

    /// Takes one of the numbers away.
    pub(crate) fn remove_number(&mut self, name: &str) -> Result<(), redb::Error> {
        self.numbers.remove(name)?;
        Ok(())
    }
}

/// A record with some content: URL and time of capture.
pub(crate) type Same = (String, WallTime);

fn each_same(
    table: &impl redb::ReadableTable<(&'static [u8; 32], bool, &'static str, u64), ()>,
    digest: &Digest,
    refers: bool,
    mut each: impl FnMut(&str, WallTime) -> bool,
) -> Result<(), redb::Error> {
    for row in table.range((&digest.0, refers, "", 0)..)? {
        let key = row?.0;
        let (of, kind, url, captured) = key.value();
        if *of != digest.0 || kind != refers || !each(url, WallTime::from_unix_nanos(captured)) {
            break;
        }
    }
    Ok(())
}

type RowValue<'a> = (u32, u64, u32, &'a [u8; 32], &'a [u8; 32], u16, u64, &'a str);

fn version(captured: u64, row: &RowValue<'_>) -> Version {
    let (package, offset, length, member, payload, status, validated, media_type) = *row;
    Version {
        captured: WallTime::from_unix_nanos(captured),
        validated: WallTime::from_unix_nanos(validated),
        package,
        offset,
        length,
        member: Digest(*member),
        payload: Digest(*payload),
        status,
        media_type: media_type.to_owned(),
    }
}

fn package((bytes, live_bytes, created, record_bytes): (u64, u64, u64, u64)) -> PackageRow {
    PackageRow { bytes, record_bytes, live_bytes, created: WallTime::from_unix_nanos(created) }
}
