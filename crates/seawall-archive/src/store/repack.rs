//! Making packages: of the open file, of packages with much that is of no use any more, of small ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_model::WallTime;

use super::keep::{forget, put_known};
use super::open::open_file;
use super::thin::protected;
use super::{Archive, MADE_DUE_AT_ONCE, OPEN_ID, Writer, open_name, package_name};
use crate::error::ArchiveError;
use crate::frontier::{Known, LONGEST_S};
use crate::index::{Change, PackageId, PackageRow, Version};
use crate::wacz::{PackageEntry, PackageMeta, seal_package};

/// What upkeep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upkeep {
    /// Packages made.
    pub sealed: u32,
    /// Packages written anew, without what is of no use any more.
    pub compacted: u32,
    /// Versions dropped to keep within the bytes allowed.
    pub dropped: u64,
    /// Records that turned out damaged, and are due again.
    pub damaged: u64,
}

/// When the open file becomes a package although it is small.
const SEAL_AFTER: Duration = Duration::from_secs(3_600);
/// A package of which this share is of use, in percent, is left alone.
const WORTH_KEEPING: u64 = 70;
/// Less than this is not worth writing a package anew.
const WORTH_REWRITING: u64 = 64 << 10;
/// Versions dropped at once. Contents that others refer to are in memory meanwhile.
const DROPPED_AT_ONCE: usize = 250;
/// Versions to drop that are looked for at once.
const LOOKED_FOR: usize = 10_000;
/// What the names of damaged files end in.
pub(super) const PUT_ASIDE: &str = ".damaged";
/// How long they are kept.
const KEEP_PUT_ASIDE: Duration = Duration::from_secs(24 * 3_600);

/// Until when it was valid, URL and time of capture of each version.
type Superseded = BTreeMap<(WallTime, String, WallTime), Version>;

/// So many packages of less than a quarter of the usual size become one.
const SMALL_ONES: usize = 8;
/// The lists of a package are made in memory, a kilobyte for each record: a site of a million small
/// things must not take a gigabyte.
const MAX_RECORDS: usize = 20_000;

impl Archive {
    /// What is to be done now and then: packs the open file when it is large or an hour old, erases what
    /// was withdrawn, drops superseded versions beyond the bytes allowed, writes packages anew that have
    /// much of no use. To be called every few minutes; takes as long as copying the packages concerned.
    ///
    /// # Errors
    /// As the disk has it; what was there before is still there then.
    pub fn upkeep(&self, now: WallTime) -> Result<Upkeep, ArchiveError> {
        let mut done = Upkeep::default();
        let erase: BTreeSet<_> =
            self.index.look(crate::index::Look::to_erase)?.into_iter().collect();
        self.mend_due(now)?;
        self.remove_put_aside(now)?;
        self.drop_superseded(&mut done)?;
        let mut writer = self.writer()?;
        let is_due = writer.length >= self.options.package_bytes
            || writer.records >= MAX_RECORDS
            || (writer.length > 0
                && (now.saturating_since(writer.begun) >= SEAL_AFTER
                    || erase.contains(&writer.id)));
        if is_due {
            self.pack_open(&mut writer, &mut done, now)?;
        }
        for group in self.to_rewrite(&writer, &erase)? {
            self.rewrite_packages(&group, &mut done, now)?;
        }
        Ok(done)
    }

    /// Packs the open file whatever its size, so that all that is held is signed.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn seal(&self, now: WallTime) -> Result<Upkeep, ArchiveError> {
        let mut done = Upkeep::default();
        let mut writer = self.writer()?;
        if writer.length > 0 {
            self.pack_open(&mut writer, &mut done, now)?;
        }
        Ok(done)
    }

    fn pack_open(
        &self,
        writer: &mut Writer,
        done: &mut Upkeep,
        now: WallTime,
    ) -> Result<(), ArchiveError> {
        let old = writer.id;
        let id = self.index.change(|change| change.take_id(0))?;
        let file = Arc::new(open_file(&self.dir, id)?);
        let next = Writer { id, file, length: 0, begun: now, records: 0, in_doubt: false };
        // One change for both: what is packed is not in the open file any more.
        match self.repack(&[old], Some(&next), done, now) {
            Ok(is_made) => done.sealed += u32::from(is_made),
            Err(error) => {
                writer.in_doubt = true;
                self.remove_unless_known(id)?;
                return Err(error);
            }
        }
        self.files.lock().insert(id, Arc::clone(&next.file));
        *writer = next;
        self.remove(&[old])
    }

    /// Removes the files of a number that a failed change may have made known, if it did not: on a full
    /// disk each further try would leave another.
    fn remove_unless_known(&self, id: PackageId) -> Result<(), ArchiveError> {
        let rows = self.index.look(crate::index::Look::packages)?;
        if rows.iter().any(|(known, _)| *known == id) { Ok(()) } else { self.remove(&[id]) }
    }

    fn rewrite_packages(
        &self,
        ids: &[PackageId],
        done: &mut Upkeep,
        now: WallTime,
    ) -> Result<(), ArchiveError> {
        self.repack(ids, None, done, now)?;
        done.compacted += u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.remove(ids)
    }

    /// Packages to write anew: with something to erase, with much of no use, many small ones together.
    fn to_rewrite(
        &self,
        writer: &Writer,
        erase: &BTreeSet<PackageId>,
    ) -> Result<Vec<Vec<PackageId>>, ArchiveError> {
        let mut rows = self.index.look(crate::index::Look::packages)?;
        rows.retain(|(id, _)| *id != writer.id);
        let mut groups = Vec::new();
        let mut small = Vec::new();
        for (id, row) in rows {
            let is_wasteful = row.live_bytes * 100 < row.record_bytes * WORTH_KEEPING
                && row.record_bytes - row.live_bytes > WORTH_REWRITING;
            if is_wasteful || erase.contains(&id) {
                groups.push(vec![id]);
            } else if row.bytes < self.options.package_bytes / 4 {
                small.push(id);
            }
        }
        groups.extend(small.chunks_exact(SMALL_ONES).map(<[_]>::to_vec));
        Ok(groups)
    }

    /// Writes what is of use in `sources` into a new package, and has the index say so, and that `next` is
    /// written from now on. `false` if nothing was. The sources' files are still there afterwards.
    fn repack(
        &self,
        sources: &[PackageId],
        next: Option<&Writer>,
        done: &mut Upkeep,
        now: WallTime,
    ) -> Result<bool, ArchiveError> {
        let go_on = |change: &mut Change<'_>| {
            let Some(Writer { id, begun: created, .. }) = next else { return Ok(()) };
            change.put_number(OPEN_ID, u64::from(*id))?;
            change.put_package(*id, PackageRow::empty(*created))
        };
        let (entries, versions) = self.of_use(sources)?;
        if entries.is_empty() {
            self.index.change(|change| {
                go_on(change)?;
                sources.iter().try_for_each(|source| change.remove_package(*source))
            })?;
            return Ok(false);
        }
        let id = self.index.change(|change| change.take_id(0))?;
        let title = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let scheme = if entries[0].url.starts_with("http:") { "http" } else { "https" };
        let meta = PackageMeta {
            main_page: Some(format!("{scheme}://{title}/")),
            title,
            created: now,
            software: self.options.software.clone(),
        };
        let member = |index: usize, entry: &PackageEntry| self.member(&entry.url, &versions[index]);
        let path = self.dir.join(package_name(id));
        let sealed = seal_package(&entries, member, &self.key, &meta, &path)?;
        let (bytes, lengths) = (sealed.bytes, sealed.entries.iter().map(|entry| entry.length));
        let record_bytes = lengths.sum();
        done.damaged += sealed.left_out.len() as u64;
        self.damaged.fetch_add(sealed.left_out.len() as u64, Ordering::Relaxed);
        let moved = self.index.change(|change| {
            for entry in sealed.left_out.iter().map(|&index| &entries[index]) {
                forget(change, &entry.url, entry.captured)?;
            }
            go_on(change)?;
            let mut live_bytes = 0;
            for entry in &sealed.entries {
                live_bytes += change.move_version(&entry.url, entry.captured, id, entry.offset)?;
            }
            change.put_package(id, PackageRow { bytes, record_bytes, live_bytes, created: now })?;
            sources.iter().try_for_each(|source| change.remove_package(*source))
        });
        match moved {
            Ok(()) => Ok(true),
            Err(error) => self.remove_unless_known(id).and(Err(error)),
        }
    }

    /// The records of these files that are of use, in their order.
    fn of_use(
        &self,
        sources: &[PackageId],
    ) -> Result<(Vec<PackageEntry>, Vec<Version>), ArchiveError> {
        self.index.look(|look| {
            let (mut entries, mut versions) = (Vec::new(), Vec::new());
            for &source in sources {
                for (offset, url, captured, title) in look.places(source)? {
                    let Some(version) = look.version(&url, captured)? else { continue };
                    let revisit_of = match look.refers(&version.payload, &url, captured)? {
                        true => look.original(&version.payload)?,
                        false => None,
                    };
                    entries.push(PackageEntry {
                        offset,
                        length: u64::from(version.length),
                        url,
                        captured,
                        status: version.status,
                        mime: version.media_type.clone(),
                        member: version.member,
                        payload: version.payload,
                        is_page: version.status == 200 && version.media_type == "text/html",
                        title: Some(title).filter(|title| !title.is_empty()),
                        revisit_of,
                    });
                    versions.push(version);
                }
            }
            Ok((entries, versions))
        })
    }

    /// Makes due what is to be fetched later than anything can be: it was fetched while the clock was
    /// ahead.
    fn mend_due(&self, now: WallTime) -> Result<(), ArchiveError> {
        // What is left alone longest is spread by an eighth.
        let latest = now + Duration::from_secs(u64::from(LONGEST_S + LONGEST_S / 8));
        loop {
            let mut writer = self.writer()?;
            let urls = self.index.look(|look| look.due_after(latest, MADE_DUE_AT_ONCE))?;
            if urls.is_empty() {
                return Ok(());
            }
            self.change(&mut writer, |change| {
                for url in urls {
                    if let Some(bytes) = change.known(&url)?
                        && let Some(mut known) = Known::decode(&bytes)
                        && known.due > latest
                    {
                        known.due = now;
                        put_known(change, &url, &known)?;
                    }
                }
                Ok(())
            })?;
        }
    }

    /// Drops the longest superseded versions until what is left fits.
    fn drop_superseded(&self, done: &mut Upkeep) -> Result<(), ArchiveError> {
        // Room for writing one package anew while the old one is still there.
        let most = self.options.max_bytes.saturating_sub(self.options.package_bytes);
        loop {
            let rows = self.index.look(crate::index::Look::packages)?;
            let live: u64 = rows.iter().map(|(_, row)| row.live_bytes).sum();
            let mut too_much = live.saturating_sub(most);
            let mut removed = Vec::new();
            if too_much > 0 {
                for ((_, url, _), version) in self.longest_superseded()? {
                    too_much = too_much.saturating_sub(u64::from(version.length));
                    removed.push((url, version));
                    if too_much == 0 {
                        break;
                    }
                }
            }
            if removed.is_empty() {
                return Ok(());
            }
            done.dropped += removed.len() as u64;
            let mut removed = removed.into_iter();
            loop {
                let some: Vec<_> = removed.by_ref().take(DROPPED_AT_ONCE).collect();
                if some.is_empty() {
                    break;
                }
                self.remove_versions(some)?;
            }
        }
    }

    /// Some of the versions that may go, by until when they were valid. Of each URL the newest stays, and
    /// the newest that the pin shows.
    fn longest_superseded(&self) -> Result<Superseded, ArchiveError> {
        let pin = self.pinned_before()?;
        let mut longest = Superseded::new();
        let mut take = |url: &str, versions: Vec<Version>| {
            let times: Vec<_> = versions.iter().map(|it| it.captured).collect();
            let stays: Vec<_> = protected(&times, pin).collect();
            for version in versions.into_iter().filter(|it| !stays.contains(&it.captured)) {
                longest.insert((version.validated, url.to_owned(), version.captured), version);
                if longest.len() > LOOKED_FOR {
                    longest.pop_last();
                }
            }
        };
        self.index.look(|look| {
            let (mut of, mut versions) = (String::new(), Vec::new());
            look.each_version("", |url, version| {
                if of != url {
                    take(&of, std::mem::take(&mut versions));
                    url.clone_into(&mut of);
                }
                versions.push(version);
                true
            })?;
            take(&of, versions);
            Ok(())
        })?;
        Ok(longest)
    }

    /// Removes what a damaged index or package left for whoever wants to look into it: after a day, or now
    /// if it may hold what was withdrawn.
    fn remove_put_aside(&self, now: WallTime) -> Result<(), ArchiveError> {
        let (_, _, withdrawn) = self.index.look(crate::index::Look::counts)?;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().ends_with(PUT_ASIDE) {
                continue;
            }
            // Renaming it was the last change.
            let since = u64::try_from(entry.metadata()?.ctime()).unwrap_or(0);
            let age = now.saturating_since(WallTime::from_unix_secs(since));
            if withdrawn > 0 || age >= KEEP_PUT_ASIDE {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn remove(&self, ids: &[PackageId]) -> Result<(), ArchiveError> {
        for id in ids {
            self.files.lock().remove(id);
            for name in [package_name(*id), open_name(*id)] {
                match fs::remove_file(self.dir.join(name)) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
