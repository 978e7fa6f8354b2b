//! Packages: what is written, what a flipped byte does, what is left after a failure, and packages of
//! other programs.

mod common;

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use seawall_archive::{
    ArchiveError, Damage, Members, PackageEntry, Record, VerifyFailure, info_record, member_at,
    package_files, read_member, read_package, seal_package, verify_package, verify_package_in,
};
use seawall_seal::{Digest, SigningKey};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use self::common::{Open, html, key, meta};

const MAX: usize = 1 << 20;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

fn fails(path: &Path) -> VerifyFailure {
    verify_package(path, Some(&key().public())).expect_err("it is not what was signed")
}

/// Another package takes the name of one that is being imported: what was judged is what is read.
#[test]
fn an_opened_package_is_judged_and_not_what_takes_its_name() {
    let (folder, open) = (Folder::new(), Open::new());
    let (path, other) = (folder.path("1.wacz"), folder.path("2.wacz"));
    open.seal(&path).expect("sealed");
    fs::write(&other, "no package").expect("written");
    let opened = fs::File::open(&path).expect("opened");
    let before = package_files(&opened).expect("a package");
    fs::rename(&other, &path).expect("renamed");
    assert_eq!(verify_package_in(&opened, Some(&key().public())).expect("whole").records, 5);
    assert_eq!(package_files(&opened).expect("a package"), before);
    assert!(before.1, "it says that it is signed");
    fails(&path);
}

#[test]
fn a_package_verifies_and_holds_what_was_put_in() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let sealed = open.seal(&path).expect("sealed");
    assert_eq!(folder.names(), ["1.wacz"], "nothing is left beside it");
    assert_eq!(sealed.bytes, fs::metadata(&path).expect("there").len());
    assert_eq!(sealed.left_out, [] as [usize; 0]);

    let verified = verify_package(&path, Some(&key().public())).expect("whole");
    assert_eq!((verified.records, verified.key), (5, key().public()));
    assert_eq!(verified.created, Some(meta().created));
    assert_eq!(verify_package(&path, None), Ok(verified));

    let package = read_package(&path, MAX).expect("a package");
    assert_eq!(package.warcs.len(), 1);
    assert_eq!(package.warcs[0].offset, sealed.data_offset);
    assert_eq!((package.title, package.damaged), ("example.org".to_owned(), 0));
    assert_eq!((package.created, package.signed_by), (Some(meta().created), Some(key().public())));
    // What is a page is said by URL, and so for all captures of it.
    assert_eq!(package.entries, sealed.entries);
    let mut file = fs::File::open(&path).expect("there");
    let mut before = Cursor::new(&open.file);
    for (put, held) in open.entries.iter().zip(&sealed.entries) {
        let member = member_at(&mut file, held).expect("there");
        assert_eq!(member, member_at(&mut before, put).expect("there"));
        read_member(&member, MAX).expect("whole");
        let place = PackageEntry { offset: put.offset, ..held.clone() };
        assert_eq!(&place, put);
    }
}

#[test]
fn the_same_is_written_the_same() {
    let (folder, open) = (Folder::new(), Open::new());
    open.seal(&folder.path("1.wacz")).expect("sealed");
    open.seal(&folder.path("2.wacz")).expect("sealed");
    let read = |name| fs::read(folder.path(name)).expect("there");
    assert_eq!(read("1.wacz"), read("2.wacz"));
}

#[test]
fn an_empty_package_is_one() {
    let folder = Folder::new();
    let path = folder.path("1.wacz");
    let none = |_: usize, _: &PackageEntry| Err(Damage::Truncated.into());
    seal_package(&[], none, &key(), &meta(), &path).expect("sealed");
    assert_eq!(verify_package(&path, None).expect("whole").records, 1);
    assert_eq!(read_package(&path, MAX).expect("a package").entries, []);
}

/// The bar of the archive: one flipped byte, wherever it is, and the first bad record is named.
#[test]
fn every_flipped_byte_is_found_and_its_record_named() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let sealed = open.seal(&path).expect("sealed");
    let whole = fs::read(&path).expect("there");
    let info = sealed.data_offset..sealed.entries[0].offset;
    let records: Vec<_> = [info]
        .into_iter()
        .chain(sealed.entries.iter().map(|entry| entry.offset..entry.offset + entry.length))
        .collect();
    let file = fs::File::options().write(true).open(&path).expect("there");
    for (at, byte) in whole.iter().enumerate() {
        let put = |byte: u8| file.write_all_at(&[byte], at as u64).expect("written");
        for flip in [0x01, 0x80] {
            put(byte ^ flip);
            let want = records.iter().position(|record| record.contains(&(at as u64)));
            let want = want.map(|index| index as u64 + 1);
            let failure = fails(&path);
            assert_eq!(failure.first_bad, want, "byte {at}: {failure}");
        }
        put(*byte);
    }
    verify_package(&path, Some(&key().public())).expect("whole again");
}

#[test]
fn the_first_of_several_bad_records_is_named_with_its_url() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let sealed = open.seal(&path).expect("sealed");
    let mut bytes = fs::read(&path).expect("there");
    for entry in &sealed.entries[1..] {
        bytes[usize::try_from(entry.offset + 30).expect("small")] ^= 1;
    }
    fs::write(&path, bytes).expect("written");
    let failure = fails(&path);
    assert_eq!(failure.first_bad, Some(3));
    assert!(failure.reason.contains("record 3 (`https://example.org/a.png`"), "{failure}");
}

#[test]
fn a_cut_or_longer_package_is_refused() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    open.seal(&path).expect("sealed");
    let whole = fs::read(&path).expect("there");
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..length]).expect("written");
        fails(&path);
    }
    for more in [b"\0".as_slice(), &[0; 100], &whole] {
        fs::write(&path, [&whole, more].concat()).expect("written");
        fails(&path);
        fs::write(&path, [more, &whole].concat()).expect("written");
        fails(&path);
    }
}

#[test]
fn a_package_of_another_key_is_refused() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let other = SigningKey::generate().expect("a key");
    let mut file = Cursor::new(&open.file);
    let member = |_: usize, entry: &PackageEntry| member_at(&mut file, entry);
    seal_package(&open.entries, member, &other, &meta(), &path).expect("sealed");
    let failure = fails(&path);
    assert_eq!(failure.first_bad, None);
    assert!(failure.reason.contains(&other.public().id()), "{failure}");
    assert_eq!(verify_package(&path, None).expect("whole").key, other.public());
}

#[test]
fn records_that_changed_before_they_were_packed_are_left_out() {
    let (folder, mut open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let at = usize::try_from(open.entries[1].offset).expect("small");
    open.file[at + 40] ^= 1;
    let cut = open.file.len() - 1;
    open.file.truncate(cut);
    let sealed = open.seal(&path).expect("sealed");
    assert_eq!(sealed.left_out, [1, 3]);
    let urls: Vec<&str> = sealed.entries.iter().map(|entry| entry.url.as_str()).collect();
    assert_eq!(urls, ["https://example.org/", "https://www.example.org/Old?b=1&a=2"]);
    assert_eq!(verify_package(&path, Some(&key().public())).expect("whole").records, 3);
}

#[test]
fn what_is_in_the_way_is_replaced_and_what_a_killed_process_left_removed() {
    let (folder, open) = (Folder::new(), Open::new());
    fs::write(folder.path("1.wacz"), "an old one").expect("written");
    fs::write(folder.path("elsewhere"), "untouched").expect("written");
    std::os::unix::fs::symlink(folder.path("elsewhere"), folder.path("1.wacz.tmp"))
        .expect("linked");
    open.seal(&folder.path("1.wacz")).expect("sealed");
    assert_eq!(folder.names(), ["1.wacz", "elsewhere"]);
    assert_eq!(fs::read(folder.path("elsewhere")).expect("there"), b"untouched");
    verify_package(&folder.path("1.wacz"), None).expect("whole");
}

#[test]
fn a_package_that_cannot_be_finished_leaves_what_was_there() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    fs::write(&path, "an old one").expect("written");
    let broken = |index: usize, entry: &PackageEntry| {
        if index == 2 {
            let source = std::io::Error::other("a broken disk");
            return Err(ArchiveError::Io { what: "read the archive", source });
        }
        member_at(&mut Cursor::new(&open.file), entry)
    };
    let failed = seal_package(&open.entries, broken, &key(), &meta(), &path);
    assert!(matches!(failed, Err(ArchiveError::Io { .. })), "{failed:?}");
    assert_eq!(folder.names(), ["1.wacz"]);
    assert_eq!(fs::read(&path).expect("there"), b"an old one");
    let nowhere = folder.path("nowhere").join("1.wacz");
    assert!(matches!(open.seal(&nowhere), Err(ArchiveError::Io { .. })));
}

const FULL_DISK: &str = "SEAWALL_TEST_FULL_DISK";

/// The disk is full somewhere in the middle: the process runs under a limit of file size, which fails
/// the write as a full disk does. The test starts itself again for that, as a limit cannot be lifted.
#[test]
fn a_full_disk_leaves_what_was_there() {
    if let Some(folder) = std::env::var_os(FULL_DISK) {
        let path = PathBuf::from(folder).join("1.wacz");
        let mut open = Open::new();
        let noise: Vec<u8> = (0..20_000_u32).flat_map(|n| Digest::of(&n.to_le_bytes()).0).collect();
        open.response(&common::capture("https://example.org/b", "image/png", &noise), None);
        let failed = open.seal(&path);
        assert!(matches!(failed, Err(ArchiveError::Io { .. })), "{failed:?}");
        return;
    }
    let folder = Folder::new();
    fs::write(folder.path("1.wacz"), "an old one").expect("written");
    let this = std::env::current_exe().expect("a test runs");
    // In blocks of 512 bytes; without the trap the signal would end the process before the error.
    let script = "trap '' XFSZ; ulimit -f 600 || exit 9; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(this)
        .args(["--exact", "a_full_disk_leaves_what_was_there", "--nocapture"])
        .env(FULL_DISK, folder.0.path())
        .output()
        .expect("sh starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran");
    assert_eq!(folder.names(), ["1.wacz"]);
    assert_eq!(fs::read(folder.path("1.wacz")).expect("there"), b"an old one");
}

type Files = Vec<(String, Vec<u8>)>;

/// Puts the files of a package into a new ZIP file, changed by `change`.
fn repacked(path: &Path, change: impl Fn(&mut Files)) {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).expect("there")).expect("a ZIP file");
    let mut files = Files::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).expect("an entry");
        let mut content = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut content).expect("readable");
        files.push((entry.name().expect("a name").into_owned(), content));
    }
    change(&mut files);
    zipped(path, &files);
}

fn zipped(path: &Path, files: &[(String, Vec<u8>)]) {
    let mut zip = ZipWriter::new(fs::File::create(path).expect("created"));
    for (name, content) in files {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(name, options).expect("begun");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("written");
}

#[test]
fn files_in_another_order_more_and_fewer_are_refused() {
    let (folder, open) = (Folder::new(), Open::new());
    let path = folder.path("1.wacz");
    let check = |change: &dyn Fn(&mut Files)| {
        open.seal(&path).expect("sealed");
        repacked(&path, change);
        fails(&path);
    };
    // Another program's ZIP file of the same files is refused too: its structure is not signed.
    check(&|_| {});
    for index in 0..9 {
        check(&|files| drop(files.remove(index)));
        check(&|files| files.rotate_left(1 + index % 8));
    }
    check(&|files| files.push(("archive/more.warc.gz".to_owned(), b"more".to_vec())));
}

/// A package that another program would write: two WARC files, one of them not compressed, a compressed
/// index that is not looked at, names of sites with and without TLS.
fn foreign(path: &Path) {
    let mut first = info_record(meta().created, "other");
    let page = html("http://example.org/", "<p>over HTTP");
    first.extend_from_slice(&seawall_archive::response_record(&page).member);
    let block = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n\
                 4\r\ntext\r\n0\r\n\r\n";
    let head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://example.org/a\r\n\
                WARC-Date: 2020-02-29T12:00:00Z\r\nContent-Type: application/http;msgtype=response\r\n\
                WARC-Payload-Digest: sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n";
    let revisit = "WARC/1.1\r\nWARC-Type: revisit\r\nWARC-Target-URI: https://example.org/a\r\n\
                   WARC-Date: 2021-02-28T12:00:00Z\r\nContent-Type: application/http;msgtype=response\r\n\
                   WARC-Refers-To-Target-URI: https://example.org/a\r\n\
                   WARC-Refers-To-Date: 2020-02-29T12:00:00Z\r\n\
                   WARC-Profile: http://netpreserve.org/warc/1.0/revisit/identical-payload-digest\r\n\
                   Content-Length: 19\r\n\r\nHTTP/1.1 200 OK\r\n\r\n\r\n\r\n";
    let length = block.len();
    let second = format!("{head}Content-Length: {length}\r\n\r\n{block}\r\n\r\n{revisit}");
    let pages = "{\"format\":\"json-pages-1.0\"}\n{\"url\":\"https://example.org/a\",\"title\":\"A\",\
                 \"text\":\"...\"}\nnot JSON\n";
    zipped(
        path,
        &[
            ("archive/one.warc.gz".to_owned(), first),
            ("archive/two.warc".to_owned(), second.into_bytes()),
            ("indexes/index.cdx.gz".to_owned(), vec![0x1f, 0x8b, 0]),
            ("indexes/index.idx".to_owned(), Vec::new()),
            ("pages/pages.jsonl".to_owned(), pages.as_bytes().to_vec()),
            ("datapackage.json".to_owned(), b"{\"title\":\"Other\",\"x\":[1]}".to_vec()),
        ],
    );
}

#[test]
fn a_package_of_another_program_is_read() {
    let folder = Folder::new();
    let path = folder.path("other.wacz");
    foreign(&path);
    let package = read_package(&path, MAX).expect("a package");
    let names: Vec<&str> = package.warcs.iter().map(|warc| warc.name.as_str()).collect();
    assert_eq!(names, ["archive/one.warc.gz", "archive/two.warc"]);
    assert_eq!((package.title.as_str(), package.damaged, package.signed_by), ("Other", 0, None));
    let seen: Vec<_> = package
        .entries
        .iter()
        .map(|entry| (entry.url.as_str(), entry.is_page, entry.title.as_deref(), entry.payload))
        .collect();
    let text = Digest::of(b"text");
    assert_eq!(
        seen,
        [
            ("http://example.org/", false, None, Digest::of(b"<p>over HTTP")),
            ("https://example.org/a", true, Some("A"), text),
            ("https://example.org/a", true, Some("A"), text),
        ]
    );
    let mut file = fs::File::open(&path).expect("there");
    let member = member_at(&mut file, &package.entries[1]).expect("there");
    let Ok(Record::Response(capture)) = read_member(&member, MAX) else { panic!("no response") };
    assert_eq!(capture.body, "text");
    assert!(fails(&path).first_bad.is_none(), "it is not signed");
    let two = &package.warcs[1];
    let walked = Members::new(&mut file, two.offset, two.offset + two.length, MAX);
    assert_eq!(walked.filter(|found| found.record.is_ok()).count(), 2);
}

/// A thousand names in the directory for the same bytes: each would be read.
#[test]
fn files_that_lie_over_each_other_are_refused() {
    let folder = Folder::new();
    let path = folder.path("other.wacz");
    let noise: Vec<u8> = (0..100_u32).flat_map(|n| Digest::of(&n.to_le_bytes()).0).collect();
    let name = |n: usize| format!("archive/{n}.warc.gz");
    let mut files: Files = (1..10).map(|n| (name(n), Vec::new())).collect();
    files.insert(0, (name(0), noise));
    zipped(&path, &files);
    let mut bytes = fs::read(&path).expect("there");
    let find = |bytes: &[u8], from: usize, what: &[u8]| {
        let at = bytes[from..].windows(what.len()).position(|window| window == what);
        at.map(|at| from + at)
    };
    let mut at = find(&bytes, 0, b"PK\x01\x02").expect("a directory");
    let first = bytes[at..at + 46].to_vec();
    while let Some(next) = find(&bytes, at + 1, b"PK\x01\x02") {
        // Checksum and sizes, and the place of the header.
        bytes[next + 16..next + 28].copy_from_slice(&first[16..28]);
        bytes[next + 42..next + 46].copy_from_slice(&first[42..46]);
        at = next;
    }
    fs::write(&path, bytes).expect("written");
    let read = read_package(&path, MAX);
    assert!(matches!(read, Err(ArchiveError::Damaged(Damage::Zip))), "{read:?}");
}

#[test]
fn what_is_no_package_is_refused() {
    let folder = Folder::new();
    let path = folder.path("1.wacz");
    for bytes in [b"".as_slice(), b"PK", b"no ZIP file at all, but long enough for an end of one"] {
        fs::write(&path, bytes).expect("written");
        let read = read_package(&path, MAX);
        assert!(matches!(read, Err(ArchiveError::Damaged(Damage::Zip))), "{read:?}");
        fails(&path);
    }
    let missing = read_package(&folder.path("missing"), MAX);
    assert!(matches!(missing, Err(ArchiveError::Io { .. })));
    assert!(fails(&folder.path("missing")).reason.contains("cannot be read"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_damaged_package_is_read_without_harm(
        is_foreign in any::<bool>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let folder = Folder::new();
        let path = folder.path("1.wacz");
        if is_foreign {
            foreign(&path);
        } else {
            Open::new().seal(&path).expect("sealed");
        }
        let mut bytes = fs::read(&path).expect("there");
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).expect("written");
        if let Ok(package) = read_package(&path, 1000) {
            prop_assert!(package.entries.len() <= bytes.len());
        }
        let _ = verify_package(&path, None);
    }
}
