//! The archive as something to carry away: one package with the newest copy of each page, or a plain folder
//! that any web server, or a browser alone, shows.
//!
//! Separate from the store because it reads sealed packages and no index: a running program has that open,
//! and packages do not change once they are there. What was withdrawn, and what the pin holds back, is read
//! from the text beside them. Contents pass one by one; what is held in memory is some hundred bytes for each
//! URL.

mod folder;
mod names;
mod pages;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use seawall_model::WallTime;
use seawall_seal::{Digest, PublicKey, SigningKey};

use crate::capture::Capture;
use crate::error::{ArchiveError, Damage};
use crate::store::Told;
use crate::verify::verify_package_in;
use crate::wacz::{PackageEntry, PackageMeta, read_package_in, seal_package};
use crate::warc::{Record, read_checked_member, response_record};

pub use self::folder::export_folder;
pub(crate) use self::names::TYPES;

/// The newest copies that may be shown, of all packages in a folder.
pub struct Shelf {
    dir: PathBuf,
    files: Vec<File>,
    pages: BTreeMap<String, Page>,
    /// Where each content lies.
    contents: HashMap<Digest, Place>,
    told: Told,
    max: usize,
    left_out: Vec<PathBuf>,
}

/// What came of an export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// URLs that are in it.
    pub urls: u64,
    /// Bytes written.
    pub bytes: u64,
    /// URLs that could not be read, and are not in it.
    pub left_out: u64,
}

/// A record in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    file: usize,
    offset: u64,
    length: u64,
    member: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    place: Place,
    captured: WallTime,
    status: u16,
    mime: String,
    title: Option<String>,
    is_page: bool,
    payload: Digest,
    is_revisit: bool,
}

/// Packages are written anew now and then; between the look and the opening that happens once at most.
const TRIES: usize = 5;

impl Shelf {
    /// Opens all packages in `dir` that are whole and signed by `key`; contents up to `max` bytes. Reads each
    /// of them twice.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn open(dir: &Path, key: &PublicKey, max: usize) -> Result<Self, ArchiveError> {
        let opened = (1..TRIES).find_map(|_| match open_packages(dir, key) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => Some(opened),
        });
        let (files, left_out) = match opened {
            Some(opened) => opened?,
            None => open_packages(dir, key)?,
        };
        let mut shelf = Self {
            dir: dir.to_owned(),
            files: Vec::with_capacity(files.len()),
            pages: BTreeMap::new(),
            contents: HashMap::new(),
            told: Told::read(dir)?,
            max,
            left_out,
        };
        for file in files {
            let package = read_package_in(BufReader::new(file.try_clone()?), max)?;
            let at = shelf.files.len();
            package.entries.into_iter().for_each(|entry| shelf.take(at, entry));
            shelf.files.push(file);
        }
        Ok(shelf)
    }

    /// Packages that are not what was signed, and were left out.
    pub fn left_out(&self) -> &[PathBuf] {
        &self.left_out
    }

    /// How many URLs there are.
    pub fn len(&self) -> usize {
        self.pages.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Scheme and host of the first URL.
    pub fn base(&self) -> Option<&str> {
        let url = self.pages.keys().next()?;
        let end = url.match_indices('/').nth(2).map_or(url.len(), |(at, _)| at);
        Some(&url[..end])
    }

    /// Whether nothing was withdrawn or pinned since it was opened.
    ///
    /// # Errors
    /// As the disk has it.
    pub fn is_current(&self) -> Result<bool, ArchiveError> {
        Ok(Told::read(&self.dir)? == self.told)
    }

    fn take(&mut self, file: usize, entry: PackageEntry) {
        let place =
            Place { file, offset: entry.offset, length: entry.length, member: entry.member };
        let is_revisit = entry.revisit_of.is_some();
        if !is_revisit {
            self.contents.insert(entry.payload, place);
        }
        let captured = entry.captured;
        let withdrawn = self.told.withdrawn.get(&entry.url).is_some_and(|at| *at >= captured);
        let held_back = self.told.pin.is_some_and(|pin| captured.unix_nanos() >= pin);
        let is_older = self.pages.get(&entry.url).is_some_and(|page| page.captured > captured);
        if withdrawn || held_back || is_older {
            return;
        }
        let page = Page {
            place,
            captured,
            status: entry.status,
            mime: entry.mime,
            title: entry.title,
            is_page: entry.is_page,
            payload: entry.payload,
            is_revisit,
        };
        self.pages.insert(entry.url, page);
    }

    fn member(&self, place: &Place) -> Result<Vec<u8>, ArchiveError> {
        let mut member = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX)];
        self.files[place.file].read_exact_at(&mut member, place.offset)?;
        if Digest::of(&member) == place.member { Ok(member) } else { Err(Damage::Digest.into()) }
    }

    fn record(&self, place: &Place) -> Result<Record, ArchiveError> {
        read_checked_member(&self.member(place)?, self.max)
    }

    /// The response, with its content wherever that lies.
    fn capture(&self, page: &Page) -> Result<Capture, ArchiveError> {
        match self.record(&page.place)? {
            Record::Response(capture) => Ok(capture),
            Record::Revisit(revisit) => {
                let original = self.contents.get(&page.payload).ok_or(Damage::List)?;
                match self.record(original)? {
                    Record::Response(original) => {
                        Ok(Capture { body: original.body, ..revisit.head })
                    }
                    _ => Err(Damage::List.into()),
                }
            }
            _ => Err(Damage::List.into()),
        }
    }
}

fn open_packages(dir: &Path, key: &PublicKey) -> io::Result<(Vec<File>, Vec<PathBuf>)> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wacz") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut files, mut left_out) = (Vec::new(), Vec::new());
    for path in paths {
        let file = File::open(&path)?;
        match verify_package_in(&file, Some(key)) {
            Ok(_) => files.push(file),
            // Its bytes are not looked at; whether it was written anew meanwhile is.
            Err(_) if !path.try_exists()? => return Err(io::ErrorKind::NotFound.into()),
            Err(_) => left_out.push(path),
        }
    }
    Ok((files, left_out))
}

/// Writes one package with everything on the shelf, each record with its content, signed by `key`.
///
/// # Errors
/// As [`seal_package`]: [`ArchiveError::Unsupported`] beyond 4 GiB.
pub fn export_wacz(
    shelf: &Shelf,
    key: &SigningKey,
    meta: &PackageMeta,
    path: &Path,
) -> Result<Exported, ArchiveError> {
    let (mut entries, mut pages, mut left_out) = (Vec::new(), Vec::new(), 0);
    for (url, page) in &shelf.pages {
        let (length, member) = if page.is_revisit {
            // Its record is another one here: with the content in it.
            let Ok(capture) = shelf.capture(page) else {
                left_out += 1;
                continue;
            };
            let written = response_record(&capture);
            (written.member.len() as u64, written.digest)
        } else {
            (page.place.length, page.place.member)
        };
        entries.push(PackageEntry {
            offset: 0,
            length,
            url: url.clone(),
            captured: page.captured,
            status: page.status,
            mime: page.mime.clone(),
            member,
            payload: page.payload,
            title: page.title.clone(),
            is_page: page.is_page,
            revisit_of: None,
        });
        pages.push(page);
    }
    let member = |index: usize, _: &PackageEntry| {
        let page = pages[index];
        if !page.is_revisit {
            return shelf.member(&page.place);
        }
        shelf.capture(page).map(|capture| response_record(&capture).member)
    };
    let sealed = seal_package(&entries, member, key, meta, path)?;
    left_out += sealed.left_out.len() as u64;
    Ok(Exported { urls: sealed.entries.len() as u64, bytes: sealed.bytes, left_out })
}
