//! Checking a package: that it is, to the last byte, what its key signed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use seawall_model::WallTime;
use seawall_seal::{Digest, DigestList, Hasher, PublicKey};
use serde::Deserialize;

use crate::dates;
use crate::wacz::zip::{self, Layout, Part};

/// A package in which every byte is what was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has, with the one about the file.
    pub records: u64,
    /// Who signed it.
    pub key: PublicKey,
    /// When it was made, as it says.
    pub created: Option<WallTime>,
}

/// Why a package is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyFailure {
    /// The number of the first record (from 1, the line in `signature/records.sha256`) that is not what
    /// was signed. `None` if it is not a record that is wrong, or none can be named.
    pub first_bad: Option<u64>,
    /// What is wrong, for people.
    pub reason: String,
}

impl fmt::Display for VerifyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for VerifyFailure {}

/// Checks all of the package at `path`: who signed it, each file in it, each record, and that there is
/// nothing else. `trusted` is the key that must have signed it; `None` asks only that it is whole and
/// signed by the key inside, which anybody can make.
///
/// Reads the file once; memory for some 256 KiB.
///
/// # Errors
/// [`VerifyFailure`], also if the file cannot be read. Such a package is not to be used.
pub fn verify_package(path: &Path, trusted: Option<&PublicKey>) -> Result<Verified, VerifyFailure> {
    let file = File::open(path).map_err(unreadable)?;
    verify_package_in(&file, trusted)
}

/// As [`verify_package`], of a file that was opened before: whoever goes on to read it must read that
/// file, and not what has its name by then.
///
/// # Errors
/// As [`verify_package`].
pub fn verify_package_in(
    file: &File,
    trusted: Option<&PublicKey>,
) -> Result<Verified, VerifyFailure> {
    let layouts = zip::read_layout(file).map_err(unreadable)?.map_err(failure)?;
    let package = Parts { file, layouts };
    let key = package.small(Part::KEY)?;
    let key = PublicKey::from_pem(&String::from_utf8_lossy(&key))
        .map_err(|_| failure("the key in it is none"))?;
    if let Some(trusted) = trusted
        && *trusted != key
    {
        let (inside, wanted) = (key.id(), trusted.id());
        return Err(failure(&format!("it is signed with the key {inside}, not with {wanted}")));
    }
    let sums = package.small(Part::SUMS)?;
    key.verify(&sums, &package.small(Part::SIGNATURE)?)
        .map_err(|_| failure("the signature is not one of its key for its list of files"))?;
    for part in [Part::SUMS, Part::SIGNATURE] {
        package.digest(part)?;
    }
    let sums = listed(&sums)?;
    for (part, digest) in Part::ALL.into_iter().zip(&sums).skip(1) {
        if package.digest(part)? != *digest {
            return Err(failure(&format!("`{}` is not what was signed", part.name)));
        }
    }
    let records = package.check_records(sums[0])?;
    let about: About = serde_json::from_slice(&package.small(Part::MANIFEST)?).unwrap_or_default();
    Ok(Verified { records, key, created: about.created.as_deref().and_then(dates::parse) })
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct About {
    created: Option<String>,
}

/// The digests that the signed list has, of just the files that come before it, in their order.
fn listed(sums: &[u8]) -> Result<Vec<Digest>, VerifyFailure> {
    let malformed = || failure("the signed list of files is malformed");
    let text = std::str::from_utf8(sums).map_err(|_| malformed())?;
    let list = DigestList::parse(text).map_err(|_| malformed())?;
    let names: Vec<&str> = list.iter().map(|(name, _)| name).collect();
    if names != Part::ALL[..7].iter().map(|part| part.name).collect::<Vec<_>>() {
        return Err(malformed());
    }
    Ok(list.iter().map(|(_, digest)| digest).collect())
}

struct Parts<'a> {
    file: &'a File,
    layouts: [Layout; 9],
}

impl Parts<'_> {
    fn section(&self, part: Part) -> Section<'_> {
        let index = Part::ALL.iter().position(|&other| other == part).unwrap_or(0);
        let layout = &self.layouts[index];
        let at = layout.content(part);
        Section { file: self.file, at, end: at + layout.size }
    }

    /// The content of a file that is small in every package that was not made to waste memory.
    fn small(&self, part: Part) -> Result<Vec<u8>, VerifyFailure> {
        let section = self.section(part);
        if section.end - section.at > MAX_SMALL {
            return Err(failure(&format!("`{}` is too large", part.name)));
        }
        let mut content = Vec::new();
        BufReader::new(section).read_to_end(&mut content).map_err(unreadable)?;
        Ok(content)
    }

    /// The digest of a file, whose checksum is looked at on the way.
    fn digest(&self, part: Part) -> Result<Digest, VerifyFailure> {
        let mut sum = Sum::default();
        let length = self.section(part).end - self.section(part).at;
        sum.take(&mut self.section(part), length)?;
        self.check_crc(part, &sum)?;
        Ok(sum.whole.finish())
    }

    fn check_crc(&self, part: Part, sum: &Sum) -> Result<(), VerifyFailure> {
        let index = Part::ALL.iter().position(|&other| other == part).unwrap_or(0);
        if sum.crc.sum() == self.layouts[index].crc {
            return Ok(());
        }
        Err(failure(&format!("the ZIP checksum of `{}` is wrong", part.name)))
    }

    /// Holds each record against the list of them, which was found to be the signed one; and all against
    /// `whole`. How many there are.
    fn check_records(&self, whole: Digest) -> Result<u64, VerifyFailure> {
        let mut data = self.section(Part::DATA);
        let begin = data.at;
        let mut list = BufReader::with_capacity(64 * 1024, self.section(Part::RECORDS));
        let (mut number, mut sum) = (0, Sum::default());
        let mut line = String::new();
        loop {
            line.clear();
            let malformed = || failure("the signed list of records is malformed");
            let got = (&mut list).take(MAX_LINE).read_line(&mut line).map_err(unreadable)?;
            if got == 0 {
                break;
            }
            number += 1;
            let (digest, offset, length, url) = record(&line).ok_or_else(malformed)?;
            if offset != data.at - begin || length > data.end - data.at {
                return Err(malformed());
            }
            if sum.take(&mut data, length)? != digest {
                return Err(VerifyFailure {
                    first_bad: Some(number),
                    reason: format!(
                        "record {number} (`{url}`, {length} bytes at {offset}) is not what was signed"
                    ),
                });
            }
        }
        let is_all = data.at == data.end;
        self.check_crc(Part::DATA, &sum)?;
        if !is_all || sum.whole.finish() != whole {
            let reason = format!("`{}` is not what was signed", Part::DATA.name);
            return Err(failure(&reason));
        }
        Ok(number)
    }
}

/// Digest, place, length and URL of a line of the list of records.
fn record(line: &str) -> Option<(Digest, u64, u64, &str)> {
    let (digest, name) = line.strip_suffix('\n')?.split_once("  ")?;
    let mut words = name.splitn(3, ' ');
    let (offset, length, url) = (words.next()?, words.next()?, words.next()?);
    Some((Digest::parse(digest)?, offset.parse().ok()?, length.parse().ok()?, url))
}

/// What is computed over a file as it goes by.
#[derive(Default)]
struct Sum {
    whole: Hasher,
    crc: flate2::Crc,
}

impl Sum {
    /// Takes `length` bytes; their own digest.
    fn take(&mut self, from: &mut Section<'_>, length: u64) -> Result<Digest, VerifyFailure> {
        let mut one = Hasher::new();
        let mut buffer = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(64 * 1024)];
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let got = from.read(&mut buffer[..most]).map_err(unreadable)?;
            if got == 0 {
                return Err(failure("it is cut off"));
            }
            self.whole.update(&buffer[..got]);
            self.crc.update(&buffer[..got]);
            one.update(&buffer[..got]);
            left -= u64::try_from(got).unwrap_or(left);
        }
        Ok(one.finish())
    }
}

/// A part of a file, read without moving the place of others.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let most = into.len().min(left);
        let got = self.file.read_at(&mut into[..most], self.at)?;
        self.at += u64::try_from(got).unwrap_or(0);
        Ok(got)
    }
}

/// The largest of the files that are read whole is some kilobytes.
const MAX_SMALL: u64 = 1 << 20;

/// A digest, two numbers and a URL.
const MAX_LINE: u64 = 128 * 1024;

fn failure(reason: &str) -> VerifyFailure {
    VerifyFailure { first_bad: None, reason: reason.to_owned() }
}

fn unreadable(error: io::Error) -> VerifyFailure {
    failure(&format!("it cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Cursor, Read as _};
    use std::path::{Path, PathBuf};

    use seawall_model::WallTime;
    use seawall_seal::{Digest, DigestList, SigningKey};

    use super::{Parts, verify_package};
    use crate::error::ArchiveError;
    use crate::wacz::zip::{self, Layout, Part};
    use crate::wacz::{PackageEntry, PackageMeta, seal_package};

    /// The contents of a package of `records` records, in their order.
    fn contents(folder: &Path, key: &SigningKey, records: u8) -> Vec<Vec<u8>> {
        let entry = |number: u8| PackageEntry {
            offset: 0,
            length: 1,
            url: format!("https://example.org/{number}"),
            captured: WallTime::from_unix_secs(1_795_342_080),
            status: 200,
            mime: "text/html".to_owned(),
            member: Digest::of(&[number]),
            payload: Digest::of(&[number]),
            title: None,
            is_page: true,
            revisit_of: None,
        };
        let entries: Vec<PackageEntry> = (0..records).map(entry).collect();
        let member = |index: usize, _: &PackageEntry| -> Result<Vec<u8>, ArchiveError> {
            Ok(vec![u8::try_from(index).expect("few")])
        };
        let meta = PackageMeta {
            title: format!("{records} records"),
            created: WallTime::from_unix_secs(1_795_342_200 + u64::from(records)),
            software: "test".to_owned(),
            main_page: None,
        };
        let path = folder.join("made.wacz");
        seal_package(&entries, member, key, &meta, &path).expect("sealed");
        let file = File::open(path).expect("there");
        let layouts = zip::read_layout(&file).expect("readable").expect("ours");
        let package = Parts { file: &file, layouts };
        let content = |part: Part| {
            let mut content = Vec::new();
            package.section(part).read_to_end(&mut content).expect("readable");
            content
        };
        Part::ALL.map(content).to_vec()
    }

    /// A package with these contents, in the form that is asked for.
    fn pack(folder: &Path, contents: &[Vec<u8>]) -> PathBuf {
        let (mut bytes, mut parts) = (Vec::new(), Vec::new());
        for (part, content) in Part::ALL.into_iter().zip(contents) {
            let mut crc = flate2::Crc::new();
            crc.update(content);
            let layout =
                Layout { header: bytes.len() as u64, size: content.len() as u64, crc: crc.sum() };
            bytes.extend_from_slice(&layout.local_header(part));
            bytes.extend_from_slice(content);
            parts.push((part, layout));
        }
        bytes.extend_from_slice(&zip::directory(&parts, bytes.len() as u64));
        let path = folder.join("packed.wacz");
        fs::write(&path, bytes).expect("written");
        path
    }

    /// Lists and signs what is there.
    fn sign(key: &SigningKey, contents: &mut [Vec<u8>]) {
        let mut sums = DigestList::new();
        for (part, content) in Part::ALL.into_iter().zip(contents.iter()).take(7) {
            sums.push(part.name, Digest::of(content));
        }
        contents[7] = sums.to_text().into_bytes();
        contents[8] = key.sign(&contents[7]).to_vec();
    }

    #[test]
    fn every_file_that_was_replaced_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("a key");
        let (ours, other) = (contents(folder.path(), &key, 3), contents(folder.path(), &key, 4));
        let whole = pack(folder.path(), &ours);
        assert_eq!(verify_package(&whole, Some(&key.public())).expect("whole").records, 4);
        let key_of_another = SigningKey::generate().expect("a key").public().to_pem().into_bytes();
        for (index, part) in Part::ALL.into_iter().enumerate() {
            let other = if part == Part::KEY { &key_of_another } else { &other[index] };
            for content in [other, &Vec::new(), &[&ours[index][..], b"\n"].concat()] {
                let mut changed = ours.clone();
                changed[index].clone_from(content);
                let path = pack(folder.path(), &changed);
                let failure = verify_package(&path, None).expect_err("it was replaced");
                let is_named = failure.reason.contains(part.name);
                // The records have their own names; key, list and signature vouch for each other.
                let want = !matches!(part, Part::DATA | Part::KEY | Part::SUMS | Part::SIGNATURE);
                assert!(is_named || !want, "{}: {failure}", part.name);
                assert!(failure.first_bad.is_none() || part == Part::DATA, "{failure}");
            }
        }
    }

    #[test]
    fn records_that_were_reordered_are_refused_at_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("a key");
        let mut ours = contents(folder.path(), &key, 3);
        let length = ours[0].len();
        ours[0].swap(length - 1, length - 2);
        let path = pack(folder.path(), &ours);
        let failure = verify_package(&path, Some(&key.public())).expect_err("reordered");
        assert_eq!(failure.first_bad, Some(3), "{failure}");
    }

    /// Whoever has the key can sign nonsense. It is refused, and does no harm.
    #[test]
    fn signed_lists_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = SigningKey::generate().expect("a key");
        let ours = contents(folder.path(), &key, 3);
        let records = String::from_utf8(ours[3].clone()).expect("text");
        let lines: Vec<&str> = records.lines().collect();
        let digest = Digest::of(b"");
        for wrong in [
            String::new(),
            lines[1..].join("\n") + "\n",
            lines[..3].join("\n") + "\n",
            records.trim_end().to_owned(),
            [lines[0], lines[2], lines[1], lines[3]].join("\n") + "\n",
            format!("{records}{digest}  0 1 a\n"),
            format!("{records}{digest}  99999999999999999999 1 a\n"),
            format!("{digest}  0 18446744073709551615 a\n"),
            format!("{digest}  -1 1 a\n"),
            "x".repeat(300_000),
        ] {
            let mut changed = ours.clone();
            changed[3] = wrong.clone().into_bytes();
            sign(&key, &mut changed);
            let path = pack(folder.path(), &changed);
            verify_package(&path, Some(&key.public())).expect_err(&wrong);
        }
        let sums = String::from_utf8(ours[7].clone()).expect("text");
        let lines: Vec<&str> = sums.lines().collect();
        for wrong in [
            String::new(),
            lines[..6].join("\n"),
            format!("{sums}{digest}  more"),
            lines.iter().rev().copied().collect::<Vec<_>>().join("\n"),
            "\u{ff}".to_owned(),
        ] {
            let mut changed = ours.clone();
            changed[7] = wrong.clone().into_bytes();
            changed[8] = key.sign(&changed[7]).to_vec();
            let path = pack(folder.path(), &changed);
            verify_package(&path, Some(&key.public())).expect_err(&wrong);
        }
        let mut again = ours.clone();
        sign(&key, &mut again);
        assert_eq!(again, ours, "this is how it is signed");
    }

    /// A write that fails at any place is told, and nothing panics.
    #[test]
    fn a_write_that_fails_anywhere_is_told() {
        struct Full(Cursor<Vec<u8>>, usize);
        impl std::io::Write for Full {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.1 = self.1.checked_sub(1).ok_or(std::io::ErrorKind::StorageFull)?;
                self.0.write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        impl std::io::Seek for Full {
            fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
                self.0.seek(to)
            }
        }
        let key = SigningKey::generate().expect("a key");
        let meta = PackageMeta {
            title: String::new(),
            created: WallTime::default(),
            software: String::new(),
            main_page: None,
        };
        let none = |_: usize, _: &PackageEntry| Ok(Vec::new());
        let mut failed = 0;
        while let Err(error) = crate::wacz::write_package(
            Full(Cursor::new(Vec::new()), failed),
            &[],
            none,
            &key,
            &meta,
        ) {
            assert!(matches!(error, ArchiveError::Io { .. }), "{error}");
            failed += 1;
        }
        assert!(failed > 18, "a header and a content for each file, and the directory: {failed}");
    }
}
