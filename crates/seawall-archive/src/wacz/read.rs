//! Reading what a package holds: ours, or one of another program.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive};
use flate2::read::DeflateDecoder;
use seawall_model::WallTime;
use seawall_seal::{Digest, PublicKey};
use serde::Deserialize;

use crate::dates;
use crate::error::{ArchiveError, Damage};
use crate::wacz::PackageEntry;
use crate::wacz::zip::Part;
use crate::warc::{Found, Members, Record};

/// What a package holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its WARC files: one in ours, which begins at `warcs[0].offset`.
    pub warcs: Vec<WarcFile>,
    /// The responses and revisits in them, in their order.
    pub entries: Vec<PackageEntry>,
    /// How many records are damaged, too large or in an unknown form, and so not among the entries. The
    /// rest of a WARC file after damage of unknown length counts as one.
    pub damaged: u64,
    /// What it holds, in a few words; empty if it does not say.
    pub title: String,
    /// When it was made, if it says so.
    pub created: Option<WallTime>,
    /// The key that signed its list of files. Says nothing of the files: see [`crate::verify_package`].
    pub signed_by: Option<PublicKey>,
}

/// A WARC file in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarcFile {
    /// Its name in the package.
    pub name: String,
    /// Where it begins in the package.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Reads what the package at `path` holds by reading all of its records, so that what is found is there;
/// contents up to `max` bytes. Titles, and which of them are pages, are as its list of pages says.
///
/// For the contents, give the entries to [`crate::member_at`] and [`crate::read_member`], or walk the WARC files
/// with [`Members`].
///
/// Memory: one record, the lists (at most 64 MiB of text each), and 1 KiB or so for each entry.
///
/// # Errors
/// [`ArchiveError::Io`]; [`ArchiveError::Damaged`] if it is no ZIP file;
/// [`ArchiveError::Unsupported`] if its WARC files are compressed once more, which WACZ forbids.
pub fn read_package(path: &Path, max: usize) -> Result<Package, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::io("open the package"))?;
    read_package_in(BufReader::new(file), max)
}

/// As [`read_package`], of a package that lies anywhere.
///
/// # Errors
/// As [`read_package`].
pub fn read_package_in<R: Read + Seek>(mut file: R, max: usize) -> Result<Package, ArchiveError> {
    let length = file.seek(SeekFrom::End(0)).map_err(ArchiveError::io("read the package"))?;
    let mut zip = ZipArchive::new(file).map_err(of_zip)?;
    let warcs = warc_files(&mut zip, length)?;
    let about = match contents(&mut zip, Part::MANIFEST.name)? {
        Some(text) => serde_json::from_slice(&text).unwrap_or_default(),
        None => About::default(),
    };
    let signed_by = signer(&mut zip)?;
    let pages = pages(&mut zip)?;
    let mut file = zip.into_inner();
    let mut listed = Listed { pages, ..Listed::default() };
    for warc in &warcs {
        let end = warc.offset.saturating_add(warc.length);
        for found in Members::new(&mut file, warc.offset, end, max) {
            listed.take(found)?;
        }
    }
    let (entries, damaged) = listed.finish();
    let created = about.created.as_deref().and_then(dates::parse);
    Ok(Package { warcs, entries, damaged, title: about.title, created, signed_by })
}

/// The most bytes of a list. A million pages with long titles are 200 MB; who has these has packages of
/// fewer.
const MAX_LIST: u64 = 64 << 20;

/// The most WARC files of one package.
const MAX_WARCS: usize = 10_000;

/// The WARC files of a package, to be walked with [`Members`]; and whether anything in it
/// says that it is signed as ours are, rightly or not.
///
/// # Errors
/// As [`read_package`].
pub fn package_files(mut file: &File) -> Result<(Vec<WarcFile>, bool), ArchiveError> {
    let length = file.seek(SeekFrom::End(0)).map_err(ArchiveError::io("read the package"))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(of_zip)?;
    let mut says_signed = false;
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(of_zip)?;
        says_signed |= entry.name_raw().starts_with(b"signature/");
    }
    Ok((warc_files(&mut zip, length)?, says_signed))
}

/// `length`: bytes of the package.
fn warc_files<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    length: u64,
) -> Result<Vec<WarcFile>, ArchiveError> {
    let mut warcs = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(of_zip)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let is_warc = name.ends_with(".warc.gz") || name.ends_with(".warc");
        if !name.starts_with("archive/") || !is_warc {
            continue;
        }
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(ArchiveError::Unsupported("a WARC file that the ZIP file compresses"));
        }
        let offset = entry.data_start().ok_or(Damage::Zip)?;
        warcs.push(WarcFile { name, offset, length: entry.compressed_size() });
        if warcs.len() > MAX_WARCS {
            return Err(ArchiveError::Unsupported("a package of more than 10,000 WARC files"));
        }
    }
    // Files that lie over each other would be read once for each of them.
    let total = warcs.iter().fold(0_u64, |sum, warc| sum.saturating_add(warc.length));
    if total > length {
        return Err(Damage::Zip.into());
    }
    Ok(warcs)
}

/// The content of a file in the package, if it is there.
fn contents<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
    name: &str,
) -> Result<Option<Vec<u8>>, ArchiveError> {
    let Some(index) = zip.index_for_name(name) else { return Ok(None) };
    let entry = zip.by_index_raw(index).map_err(of_zip)?;
    let method = entry.compression();
    let mut content = Vec::new();
    let read = if method == CompressionMethod::Stored {
        entry.take(MAX_LIST).read_to_end(&mut content)
    } else if method == CompressionMethod::DEFLATE {
        // The library would need a second deflate for it.
        DeflateDecoder::new(entry).take(MAX_LIST).read_to_end(&mut content)
    } else {
        return Ok(None);
    };
    read.map_err(|_| Damage::Zip)?;
    Ok(Some(content))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    title: String,
    created: Option<String>,
}

fn signer<R: Read + Seek>(zip: &mut ZipArchive<R>) -> Result<Option<PublicKey>, ArchiveError> {
    let mut read = |part: Part| contents(zip, part.name);
    let (Some(key), Some(sums), Some(signature)) =
        (read(Part::KEY)?, read(Part::SUMS)?, read(Part::SIGNATURE)?)
    else {
        return Ok(None);
    };
    let key = PublicKey::from_pem(&String::from_utf8_lossy(&key)).ok();
    Ok(key.filter(|key| key.verify(&sums, &signature).is_ok()))
}

/// Titles by URL. Other programs list further pages beside the main ones.
fn pages<R: Read + Seek>(
    zip: &mut ZipArchive<R>,
) -> Result<HashMap<String, Option<String>>, ArchiveError> {
    let mut pages = HashMap::new();
    for name in [Part::PAGES.name, "pages/extraPages.jsonl"] {
        let Some(text) = contents(zip, name)? else { continue };
        for line in text.split(|&byte| byte == b'\n') {
            if let Ok(Page { url, title }) = serde_json::from_slice(line) {
                pages.entry(url).or_insert(title.filter(|title| !title.is_empty()));
            }
        }
    }
    Ok(pages)
}

#[derive(Deserialize)]
struct Page {
    url: String,
    #[serde(default)]
    title: Option<String>,
}

#[derive(Default)]
struct Listed {
    pages: HashMap<String, Option<String>>,
    entries: Vec<PackageEntry>,
    /// Entries of revisits that do not say in SHA-256 what their content is.
    unresolved: Vec<usize>,
    damaged: u64,
}

impl Listed {
    fn take(&mut self, found: Found) -> Result<(), ArchiveError> {
        let (capture, payload, revisit_of) = match found.record {
            Ok(Record::Response(capture)) => {
                let payload = Digest::of(&capture.body);
                (capture, payload, None)
            }
            Ok(Record::Revisit(revisit)) => {
                if revisit.payload.is_none() {
                    self.unresolved.push(self.entries.len());
                }
                let payload = revisit.payload.unwrap_or(Digest([0; 32]));
                (revisit.head, payload, Some((revisit.of_url, revisit.of_captured)))
            }
            Ok(Record::Info | Record::Other) => return Ok(()),
            Err(error @ ArchiveError::Io { .. }) => return Err(error),
            Err(_) => {
                self.damaged += 1;
                return Ok(());
            }
        };
        let mime = capture.media_type();
        let listed = self.pages.get(&capture.url);
        let is_page = match self.pages.is_empty() {
            true => {
                capture.status == 200
                    && matches!(mime.as_str(), "text/html" | "application/xhtml+xml")
            }
            false => listed.is_some(),
        };
        self.entries.push(PackageEntry {
            offset: found.offset,
            length: found.length,
            captured: capture.captured,
            status: capture.status,
            mime,
            member: found.digest,
            payload,
            title: listed.cloned().flatten(),
            is_page,
            revisit_of,
            url: capture.url,
        });
        Ok(())
    }

    /// The entries; and how many records are none.
    fn finish(mut self) -> (Vec<PackageEntry>, u64) {
        if self.unresolved.is_empty() {
            return (self.entries, self.damaged);
        }
        let responses = self.entries.iter().filter(|entry| entry.revisit_of.is_none());
        let payloads: HashMap<(String, WallTime), Digest> =
            responses.map(|entry| ((entry.url.clone(), entry.captured), entry.payload)).collect();
        let mut missing = Vec::new();
        for &at in &self.unresolved {
            let of = self.entries[at].revisit_of.as_ref();
            match of.and_then(|of| payloads.get(of)) {
                Some(payload) => self.entries[at].payload = *payload,
                None => missing.push(at),
            }
        }
        for at in missing.into_iter().rev() {
            self.entries.remove(at);
            self.damaged += 1;
        }
        (self.entries, self.damaged)
    }
}

fn of_zip(error: ZipError) -> ArchiveError {
    match error {
        ZipError::Io(source) if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            ArchiveError::Io { what: "read the package", source }
        }
        _ => Damage::Zip.into(),
    }
}
