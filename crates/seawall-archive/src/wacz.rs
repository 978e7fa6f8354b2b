//! WACZ 1.1.1 packages: what is in one, writing one, reading the list of what one holds.
//!
//! *Source:* <https://specs.webrecorder.net/wacz/1.1.1/>.
//!
//! A package is a ZIP file of nine files, all stored as they are, in this order:
//!
//! | file | what it is |
//! |---|---|
//! | `archive/data.warc.gz` | the records |
//! | `indexes/index.cdx` | where each is, by URL and time, sorted |
//! | `pages/pages.jsonl` | the pages among them, for people |
//! | `signature/records.sha256` | the digest of each record: `OFFSET LENGTH URL` are the names |
//! | `signature/key.pem` | the public key |
//! | `datapackage.json` | what this is, and a list of the files above |
//! | `datapackage-digest.json` | the digest of that list |
//! | `signature/SHA256SUMS` | the digests of all files above, as `sha256sum --check` reads them |
//! | `signature/ed25519` | the signature of that, 64 bytes |
//!
//! The last two cannot stand in `datapackage.json`, which is among what they sign. Their names have no
//! dot because `wacz validate` asks of files with one that they do. `records.sha256` lies in the folder
//! `signature` because WACZ keeps `archive`, `indexes` and `pages` for files of its own.
//!
//! Every byte of the ZIP structure follows from the contents, so that [`crate::verify_package`] can
//! refuse any other.

mod lists;
mod read;
mod surt;
pub(crate) mod zip;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use seawall_model::WallTime;
use seawall_seal::{Digest, DigestList, Hasher, SigningKey};

use crate::error::{ArchiveError, Damage};
use crate::warc::info_record;

use self::zip::{Layout, Part};

pub use self::read::{Package, WarcFile, package_files, read_package, read_package_in};

/// One record of a package, or one that shall go into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageEntry {
    /// Where the record begins in the file that holds it, from the beginning of that file: of the open
    /// WARC file, or of the whole package.
    pub offset: u64,
    /// Bytes of the record as it lies there.
    pub length: u64,
    /// The URL.
    pub url: String,
    /// When it was captured.
    pub captured: WallTime,
    /// The status code of the response.
    pub status: u16,
    /// The media type of the response, in lower case without parameters; empty if it had none.
    pub mime: String,
    /// The digest of the record as it lies there.
    pub member: Digest,
    /// The digest of the content.
    pub payload: Digest,
    /// The title of a page.
    pub title: Option<String>,
    /// Whether people would look for it in a list of pages.
    pub is_page: bool,
    /// For a revisit: URL and time of the record that has the content.
    pub revisit_of: Option<(String, WallTime)>,
}

/// What a package says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageMeta {
    /// What it holds, in a few words.
    pub title: String,
    /// When it is made.
    pub created: WallTime,
    /// By which program.
    pub software: String,
    /// The URL that a viewer opens first.
    pub main_page: Option<String>,
}

/// A package that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Where the WARC begins in it.
    pub data_offset: u64,
    /// Bytes of the package.
    pub bytes: u64,
    /// The digest of what was signed, which names the contents.
    pub digest: Digest,
    /// The records as they are now, with their places in the package.
    pub entries: Vec<PackageEntry>,
    /// Which of the entries that were asked for (from 0) were not as they had been written, and are not
    /// in the package. Revisits of them are, and cannot be shown.
    pub left_out: Vec<usize>,
}

/// Writes a package at `path`: beside it, made durable, and then put in its place, so that there is a
/// whole package or what was there before. What was written of one that fails is removed.
///
/// `member` gives the bytes of the entry at an index (from 0), as with [`member_at`]; of one that is
/// damaged it may say so. Each is held against its digest, and left out if it is another.
///
/// # Errors
/// [`ArchiveError::Io`], after which the new package is in place only if its name could not be made
/// durable; [`ArchiveError::Unsupported`] for more than 4 GiB; and what `member` says, but for damage.
pub fn seal_package(
    entries: &[PackageEntry],
    member: impl FnMut(usize, &PackageEntry) -> Result<Vec<u8>, ArchiveError>,
    key: &SigningKey,
    meta: &PackageMeta,
    path: &Path,
) -> Result<Sealed, ArchiveError> {
    let unwritten = || ArchiveError::io("write the package");
    let temporary = Temporary::beside(path).map_err(unwritten())?;
    let out = BufWriter::with_capacity(256 * 1024, &temporary.file);
    let sealed = write_package(out, entries, member, key, meta)?;
    temporary.file.sync_all().map_err(unwritten())?;
    temporary.put(path).map_err(unwritten())?;
    Ok(sealed)
}

/// Reads the bytes of a record from the file that holds it.
///
/// # Errors
/// [`Damage::Truncated`] if the file ends before; [`ArchiveError::Io`].
pub fn member_at(
    file: &mut (impl Read + Seek),
    entry: &PackageEntry,
) -> Result<Vec<u8>, ArchiveError> {
    let unread = || ArchiveError::io("read the archive");
    file.seek(SeekFrom::Start(entry.offset)).map_err(unread())?;
    let mut bytes = Vec::new();
    file.take(entry.length).read_to_end(&mut bytes).map_err(unread())?;
    if u64::try_from(bytes.len()).ok() != Some(entry.length) {
        return Err(Damage::Truncated.into());
    }
    Ok(bytes)
}

/// As [`seal_package`], into anything.
pub(crate) fn write_package<W: Write + Seek>(
    out: W,
    entries: &[PackageEntry],
    mut member: impl FnMut(usize, &PackageEntry) -> Result<Vec<u8>, ArchiveError>,
    key: &SigningKey,
    meta: &PackageMeta,
) -> Result<Sealed, ArchiveError> {
    let mut packer = Packer::new(out);
    let mut records = DigestList::new();
    let (mut written, mut left_out) = (Vec::with_capacity(entries.len()), Vec::new());

    packer.begin(Part::DATA)?;
    let data_offset = packer.at;
    let info = info_record(meta.created, &meta.software);
    records.push(&format!("0 {} warcinfo", info.len()), Digest::of(&info));
    packer.write(&info)?;
    for (index, entry) in entries.iter().enumerate() {
        let bytes = match member(index, entry) {
            Ok(bytes) if Digest::of(&bytes) == entry.member => bytes,
            Ok(_) | Err(ArchiveError::Damaged(_) | ArchiveError::Record { .. }) => {
                left_out.push(index);
                continue;
            }
            Err(error) => return Err(error),
        };
        let name = lists::record_name(packer.at - data_offset, bytes.len(), &entry.url);
        records.push(&name, entry.member);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        written.push(PackageEntry { offset: packer.at, length, ..entry.clone() });
        packer.write(&bytes)?;
    }
    packer.end()?;

    packer.add(Part::INDEX, lists::cdxj(&written, data_offset).as_bytes())?;
    packer.add(Part::PAGES, lists::pages(&written).as_bytes())?;
    packer.add(Part::RECORDS, records.to_text().as_bytes())?;
    packer.add(Part::KEY, key.public().to_pem().as_bytes())?;
    let manifest = lists::datapackage(meta, &packer.done);
    packer.add(Part::MANIFEST, manifest.as_bytes())?;
    packer.add(Part::DIGEST, lists::datapackage_digest(&manifest).as_bytes())?;
    let mut sums = DigestList::new();
    packer.done.iter().for_each(|done| sums.push(done.part.name, done.digest));
    let sums = sums.to_text();
    packer.add(Part::SUMS, sums.as_bytes())?;
    packer.add(Part::SIGNATURE, &key.sign(sums.as_bytes()))?;
    let bytes = packer.finish()?;
    let digest = Digest::of(sums.as_bytes());
    Ok(Sealed { data_offset, bytes, digest, entries: written, left_out })
}

/// A file of a package that was written.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) part: Part,
    pub(crate) layout: Layout,
    pub(crate) digest: Digest,
}

struct Packer<W> {
    out: W,
    at: u64,
    done: Vec<Done>,
    open: Option<Open>,
}

struct Open {
    part: Part,
    header: u64,
    digest: Hasher,
    crc: flate2::Crc,
    size: u64,
}

impl<W: Write + Seek> Packer<W> {
    fn new(out: W) -> Self {
        Self { out, at: 0, done: Vec::new(), open: None }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.at > zip::MAX_BYTES {
            return Err(ArchiveError::Unsupported("a package of more than 4 GiB"));
        }
        self.out.write_all(bytes).map_err(ArchiveError::io("write the package"))
    }

    fn begin(&mut self, part: Part) -> Result<(), ArchiveError> {
        let header = self.at;
        // Size and checksum are put in at the end.
        self.put(&Layout { header, size: 0, crc: 0 }.local_header(part))?;
        let (digest, crc) = (Hasher::new(), flate2::Crc::new());
        self.open = Some(Open { part, header, digest, crc, size: 0 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        let open = self.open.as_mut().expect("a part is begun before it is written");
        open.digest.update(bytes);
        open.crc.update(bytes);
        open.size += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.put(bytes)
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let Open { part, header, digest, crc, size } =
            self.open.take().expect("a part is begun before it is ended");
        let layout = Layout { header, size, crc: crc.sum() };
        let unwritten = || ArchiveError::io("write the package");
        self.out.seek(SeekFrom::Start(header)).map_err(unwritten())?;
        self.out.write_all(&layout.local_header(part)).map_err(unwritten())?;
        self.out.seek(SeekFrom::Start(self.at)).map_err(unwritten())?;
        self.done.push(Done { part, layout, digest: digest.finish() });
        Ok(())
    }

    fn add(&mut self, part: Part, bytes: &[u8]) -> Result<(), ArchiveError> {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let layout = Layout { header: self.at, size, crc: crc.sum() };
        self.put(&layout.local_header(part))?;
        self.put(bytes)?;
        self.done.push(Done { part, layout, digest: Digest::of(bytes) });
        Ok(())
    }

    fn finish(mut self) -> Result<u64, ArchiveError> {
        let parts: Vec<(Part, Layout)> =
            self.done.iter().map(|done| (done.part, done.layout)).collect();
        self.put(&zip::directory(&parts, self.at))?;
        self.out.flush().map_err(ArchiveError::io("write the package"))?;
        Ok(self.at)
    }
}

/// A file that is removed unless it was put in its place.
struct Temporary {
    file: File,
    path: PathBuf,
    is_put: bool,
}

impl Temporary {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let path = path.with_file_name(name);
        let create = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = match create() {
            // Left by a process that was killed. Not written into, as it could be a link.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&path)?;
                create()?
            }
            other => other?,
        };
        Ok(Self { file, path, is_put: false })
    }

    fn put(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_put = true;
        // The name is durable when its folder is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_put {
            // There is nothing more to be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}
