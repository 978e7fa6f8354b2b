//! Opening an archive, and mending what a kill, a full disk or a damaged file left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use seawall_model::WallTime;
use seawall_seal::SigningKey;

use super::keep::{Later, WITHDRAWN, forget, put_known};
use super::repack::PUT_ASIDE;
use super::{
    Archive, ArchiveOptions, Fetched, INDEX_FILE, Kept, OPEN_ID, PIN, REBUILDING, Writer,
    open_name, package_name,
};
use crate::capture::Capture;
use crate::error::ArchiveError;
use crate::frontier::Known;
use crate::index::{Index, PackageId, PackageRow, Version};
use crate::wacz::{Package, read_package};
use crate::warc::{Members, Record};

/// What opening an archive had to mend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// The index was missing or damaged and was made again from the packages.
    pub index_rebuilt: bool,
    /// Records that were written and not yet in the index, and are now.
    pub recovered: u64,
    /// Bytes of a record that was not written to its end, cut off.
    pub cut_bytes: u64,
    /// Files that nothing refers to, removed.
    pub leftovers: u64,
    /// Packages that are gone or cannot be read, with what was in them.
    pub lost_packages: u64,
}

/// Bytes of content in memory while a file is taken in.
const TAKEN_AT_ONCE: usize = 4 << 20;

impl Repaired {
    /// Whether there was nothing to mend.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Archive {
    /// Opens the archive in `dir`, or makes an empty one, and mends what has to be.
    ///
    /// # Errors
    /// [`ArchiveError::InUse`] if another process has it open; others as the disk has it. A damaged index
    /// is no error: it is put aside and made again.
    pub fn open(
        dir: &Path,
        options: ArchiveOptions,
        key: Arc<SigningKey>,
        now: WallTime,
    ) -> Result<(Self, Repaired), ArchiveError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut repaired = Repaired::default();
        let files = Files::list(dir)?;
        let index = open_index(dir, &options, &files, &mut repaired)?;
        let open = index.look(|look| look.number(OPEN_ID))?;
        let open = open.and_then(|id| PackageId::try_from(id).ok());
        let id = match open.filter(|_| !repaired.index_rebuilt) {
            Some(id) => id,
            None => index.change(|change| {
                if repaired.index_rebuilt {
                    change.put_number(REBUILDING, 1)?;
                }
                change.take_id(files.highest() + 1)
            })?,
        };
        let writer = begin(dir, &index, id, now)?;
        let archive = Self {
            dir: dir.to_owned(),
            options,
            key,
            index,
            files: Mutex::new(BTreeMap::from([(id, Arc::clone(&writer.file))])),
            writer: Mutex::new(writer),
            damaged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        if repaired.index_rebuilt {
            archive.rebuild(&files, &mut repaired, now)?;
        } else {
            archive.recover_tail(&mut repaired, now)?;
            archive.drop_lost(&files, &mut repaired)?;
        }
        archive.drop_leftovers(&mut repaired)?;
        Ok((archive, repaired))
    }

    /// Takes in what was written behind what the index knows of, and cuts off a torn end.
    fn recover_tail(&self, repaired: &mut Repaired, now: WallTime) -> Result<(), ArchiveError> {
        let (file, known, id) = {
            let writer = self.writer.lock();
            (Arc::clone(&writer.file), writer.length, writer.id)
        };
        let length = file.metadata()?.len();
        if length <= known {
            return Ok(());
        }
        let path = self.dir.join(open_name(id));
        let (captures, whole) = self.captures(&path, known)?;
        repaired.cut_bytes += length.saturating_sub(known + whole);
        // They are written again where the index expects them: this is at most what one call of
        // `keep` wrote.
        file.set_len(known)?;
        file.sync_data()?;
        repaired.recovered += captures.len() as u64;
        self.take_in(captures, now)
    }

    /// The responses in a file from `from` on, and the bytes of whole records there.
    fn captures(&self, path: &Path, from: u64) -> Result<(Vec<Capture>, u64), ArchiveError> {
        let (mut captures, mut whole) = (Vec::new(), 0);
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        for found in Members::new(file, from, end, self.options.max_body_bytes) {
            if let Ok(record) = found.record {
                whole += found.length;
                if let Record::Response(capture) = record {
                    captures.push(capture);
                }
            }
        }
        Ok((captures, whole))
    }

    fn take_in(&self, captures: Vec<Capture>, now: WallTime) -> Result<(), ArchiveError> {
        let mut fetched = Vec::with_capacity(captures.len());
        for capture in captures {
            let end = WallTime::from_unix_nanos(u64::MAX);
            let withdrawn = self.index.look(|look| look.barred(&capture.url, end))?;
            if withdrawn.is_some_and(|at| at >= capture.captured) {
                continue;
            }
            let mut known =
                self.known(&capture.url)?.unwrap_or_else(|| Known::unseen(&capture.url, now));
            // They are of what was held before.
            known.forget_validators();
            let title = crate::links::read(&capture).title;
            let url = capture.url.clone();
            let kept = Kept::Response(capture);
            fetched.push(Fetched { url, known, known_if_same: None, kept, title });
        }
        // It may have been imported.
        self.add(fetched, Vec::new(), Later::IsNewer, now).map(drop)
    }

    /// Makes the index again from the packages and from files that are none yet.
    fn rebuild(
        &self,
        files: &Files,
        repaired: &mut Repaired,
        now: WallTime,
    ) -> Result<(), ArchiveError> {
        let told = Told::read(&self.dir)?;
        self.index.change(|change| {
            for (url, at) in &told.withdrawn {
                change.withdraw(url, *at)?;
            }
            told.pin.map_or(Ok(()), |pin| change.put_number(PIN, pin))
        })?;
        for &id in &files.packages {
            match read_package(&self.dir.join(package_name(id)), self.options.max_body_bytes) {
                Ok(package) => self.take_package(id, &package, &told, now)?,
                Err(error @ ArchiveError::Io { .. }) => return Err(error),
                Err(_) => {
                    // Kept for whoever wants to look into it, out of the way.
                    let name = package_name(id);
                    fs::rename(self.dir.join(&name), self.dir.join(format!("{name}{PUT_ASIDE}")))?;
                    repaired.lost_packages += 1;
                }
            }
        }
        let current = self.writer.lock().id;
        for &id in files.open.iter().filter(|id| **id != current) {
            repaired.recovered += self.take_in_file(&self.dir.join(open_name(id)), now)?;
        }
        // Until here it is taken for none, and begun again after a kill: what it does not name yet
        // would be taken for left over.
        self.index.change(|change| change.remove_number(REBUILDING))
    }

    /// Takes in the responses of a file that is no package, a few at a time.
    fn take_in_file(&self, path: &Path, now: WallTime) -> Result<u64, ArchiveError> {
        let file = File::open(path)?;
        let end = file.metadata()?.len();
        let (mut some, mut bytes, mut taken) = (Vec::new(), 0, 0);
        for found in Members::new(file, 0, end, self.options.max_body_bytes) {
            let Ok(Record::Response(capture)) = found.record else { continue };
            taken += 1;
            bytes += capture.body.len();
            some.push(capture);
            if bytes >= TAKEN_AT_ONCE {
                self.take_in(std::mem::take(&mut some), now)?;
                bytes = 0;
            }
        }
        self.take_in(some, now)?;
        Ok(taken)
    }

    fn take_package(
        &self,
        id: PackageId,
        package: &Package,
        told: &Told,
        now: WallTime,
    ) -> Result<(), ArchiveError> {
        let bytes = fs::metadata(self.dir.join(package_name(id)))?.len();
        self.index.change(|change| {
            let record_bytes = package.entries.iter().map(|entry| entry.length).sum();
            let created = package.created.unwrap_or(now);
            let row = PackageRow { bytes, record_bytes, live_bytes: 0, created };
            change.put_package(id, row)?;
            for entry in &package.entries {
                if told.withdrawn.get(&entry.url).is_some_and(|at| *at >= entry.captured) {
                    change.put_erase(id, now)?;
                    continue;
                }
                let version = Version {
                    captured: entry.captured,
                    validated: entry.captured,
                    package: id,
                    offset: entry.offset,
                    length: u32::try_from(entry.length).unwrap_or(u32::MAX),
                    member: entry.member,
                    payload: entry.payload,
                    status: entry.status,
                    media_type: entry.mime.clone(),
                };
                let title = entry.title.as_deref().unwrap_or_default();
                change.put_version(&entry.url, &version, title)?;
                let has_it = entry.revisit_of.is_none();
                change.put_payload(&entry.payload, &entry.url, entry.captured, has_it)?;
                change.note_alive(id, entry.length)?;
                if change.known(&entry.url)?.is_none() {
                    put_known(change, &entry.url, &Known::unseen(&entry.url, now))?;
                }
            }
            Ok(())
        })
    }

    /// Forgets what lay in packages that are gone.
    fn drop_lost(&self, files: &Files, repaired: &mut Repaired) -> Result<(), ArchiveError> {
        let current = self.writer.lock().id;
        for (id, _) in self.index.look(crate::index::Look::packages)? {
            if id == current || files.packages.contains(&id) {
                continue;
            }
            repaired.lost_packages += 1;
            let places = self.index.look(|look| look.places(id))?;
            self.index.change(|change| {
                for (_, url, captured, _) in &places {
                    forget(change, url, *captured)?;
                }
                change.remove_package(id)
            })?;
        }
        Ok(())
    }

    /// Removes files that nothing refers to: of a package that was not finished, or one that was
    /// written anew.
    fn drop_leftovers(&self, repaired: &mut Repaired) -> Result<(), ArchiveError> {
        let current = self.writer.lock().id;
        let rows = self.index.look(crate::index::Look::packages)?;
        let ids: BTreeSet<_> = rows.into_iter().map(|(id, _)| id).collect();
        let files = Files::list(&self.dir)?;
        let packages = files.packages.iter().filter(|id| !ids.contains(id));
        let open = files.open.iter().filter(|id| **id != current);
        let names = packages.map(|id| package_name(*id)).chain(open.map(|id| open_name(*id)));
        for name in names.chain(files.temporary.iter().cloned()) {
            fs::remove_file(self.dir.join(name))?;
            repaired.leftovers += 1;
        }
        Ok(())
    }
}

/// Opens the file that is written, and makes it if it is not there.
pub(super) fn begin(
    dir: &Path,
    index: &Index,
    id: PackageId,
    now: WallTime,
) -> Result<Writer, ArchiveError> {
    let file = open_file(dir, id)?;
    let row = index.change(|change| {
        change.put_number(OPEN_ID, u64::from(id))?;
        match change.package(id)? {
            Some(row) => Ok(row),
            None => {
                let row = PackageRow::empty(now);
                change.put_package(id, row)?;
                Ok(row)
            }
        }
    })?;
    let (length, begun) = (row.bytes, row.created);
    Ok(Writer { id, file: Arc::new(file), length, begun, records: 0, in_doubt: false })
}

/// The file of this number, whose name is on disk when this returns.
pub(super) fn open_file(dir: &Path, id: PackageId) -> io::Result<File> {
    let path = dir.join(open_name(id));
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

fn open_index(
    dir: &Path,
    options: &ArchiveOptions,
    files: &Files,
    repaired: &mut Repaired,
) -> Result<Index, ArchiveError> {
    let path = dir.join(INDEX_FILE);
    let was_there = path.exists();
    repaired.index_rebuilt = !was_there && !files.is_empty();
    let opened = Index::open(&path, options.index_memory_bytes);
    if let Ok(index) = &opened
        && was_there
        && !files.is_empty()
        && index.look(|look| {
            Ok(look.number(REBUILDING)?.is_some() || look.number(OPEN_ID)?.is_none())
        })?
    {
        // A kill came before it was made.
        drop(opened);
        fs::remove_file(&path)?;
        repaired.index_rebuilt = true;
        return Index::open(&path, options.index_memory_bytes);
    }
    match opened {
        Err(ArchiveError::Index(error)) if was_there && is_damage(&error) => {
            fs::rename(&path, dir.join(format!("index{PUT_ASIDE}")))?;
            repaired.index_rebuilt = true;
            Index::open(&path, options.index_memory_bytes)
        }
        opened => opened,
    }
}

/// Whether an index will not be read with another try, either: it is damaged or of another version. What
/// the system refuses for want of room or rights is nothing to make it again for.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        redb::Error::PreviousIo => false,
        _ => true,
    }
}

/// The files of the folder by what their names say.
#[derive(Default)]
struct Files {
    packages: BTreeSet<PackageId>,
    open: BTreeSet<PackageId>,
    temporary: Vec<String>,
}

impl Files {
    fn list(dir: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for entry in fs::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let id = |rest: Option<&str>| rest.and_then(|digits| digits.parse().ok());
            if let Some(id) = id(name.strip_suffix(".wacz")) {
                files.packages.insert(id);
            } else if let Some(id) = id(name.strip_suffix(".open.warc.gz")) {
                files.open.insert(id);
            } else if name.ends_with(".tmp") {
                files.temporary.push(name.to_owned());
            }
        }
        Ok(files)
    }

    fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.open.is_empty()
    }

    fn highest(&self) -> PackageId {
        self.packages.iter().chain(&self.open).copied().max().unwrap_or(0)
    }
}

/// What the text beside the packages tells: what may not come back, and the pin.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) withdrawn: BTreeMap<String, WallTime>,
    /// Nanoseconds since 1970.
    pub(crate) pin: Option<u64>,
}

impl Told {
    /// Of the archive in the folder `dir`.
    pub(crate) fn read(dir: &Path) -> Result<Self, ArchiveError> {
        let bytes = match fs::read(dir.join(WITHDRAWN)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let mut told = Self::default();
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut words = line.splitn(3, ' ');
            let at = words.next().and_then(|word| word.parse().ok());
            let (Some(at), Some(what), Some(text)) = (at, words.next(), words.next()) else {
                continue;
            };
            match what {
                "pin" => told.pin = text.parse().ok(),
                "gone" | "withdrawn" => {
                    told.withdrawn.insert(text.to_owned(), WallTime::from_unix_nanos(at));
                }
                _ => {}
            }
        }
        Ok(told)
    }
}
