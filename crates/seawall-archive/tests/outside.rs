//! What programs of others say of what is written here. Each test says when a program is missing;
//! `cargo xtask setup` installs them.

mod common;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use seawall_archive::{
    Capture, RevisitOf, info_record, read_package, response_record, revisit_record,
};
use seawall_model::WallTime;
use seawall_seal::Digest;

use self::common::{Open, capture, html, key};

/// Runs `program`; `None`, and a word about it, if it is not installed.
#[allow(clippy::print_stderr, reason = "says that it was left out, and why")]
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/archive-tools/bin");
    let installed = installed.join(program);
    let program = if installed.exists() { installed.as_os_str() } else { OsStr::new(program) };
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    if output.is_err() {
        eprintln!("left out: {} is not installed", program.display());
    }
    output.ok()
}

fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn warcio_finds_every_digest_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = html("https://example.org/", "<p>a page");
    let of = RevisitOf {
        url: page.url.clone(),
        captured: page.captured,
        payload: Digest::of(&page.body),
    };
    let again = Capture { captured: WallTime::from_unix_secs(1_800_000_000), ..page.clone() };
    let mut file = info_record(page.captured, "seawall test");
    file.extend_from_slice(&response_record(&page).member);
    let picture = capture("https://example.org/a.png", "image/png", &[0xff; 5000]);
    file.extend_from_slice(&response_record(&picture).member);
    let empty = capture("https://example.org/empty", "text/plain", b"");
    file.extend_from_slice(&response_record(&empty).member);
    file.extend_from_slice(&revisit_record(&again, &of).member);
    fs::write(folder.path().join("whole.warc.gz"), &file).expect("written");
    let Some(checked) = run(folder.path(), "warcio", &["check", "-v", "whole.warc.gz"]) else {
        return;
    };
    let text = said(&checked);
    assert!(checked.status.success(), "{text}");
    // warcio does not look into revisits, but for their form.
    assert_eq!(text.matches("digest pass").count(), 4, "{text}");
    assert_eq!(text.matches("not checked (revisit)").count(), 1, "{text}");
    assert_eq!(text.matches("no digest").count(), 0, "{text}");
}

#[test]
fn wacz_finds_a_package_valid() {
    let folder = tempfile::tempdir().expect("a folder");
    Open::new().seal(&folder.path().join("1.wacz")).expect("sealed");
    let Some(checked) = run(folder.path(), "wacz", &["validate", "-f", "1.wacz"]) else { return };
    let text = said(&checked);
    assert!(checked.status.success() && text.contains("is valid"), "{text}");
}

/// A package that another program made, with its lists compressed, of records that are ours.
#[test]
fn a_package_made_by_wacz_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = Open::new();
    let file = [info_record(open.entries[0].captured, "seawall test"), open.file].concat();
    fs::write(folder.path().join("data.warc.gz"), file).expect("written");
    let arguments = ["create", "-o", "1.wacz", "--title", "Other", "--url", "https://example.org/"];
    let arguments = [&arguments[..], &["data.warc.gz"]].concat();
    let Some(made) = run(folder.path(), "wacz", &arguments) else { return };
    assert!(made.status.success(), "{}", said(&made));
    let package = read_package(&folder.path().join("1.wacz"), 1 << 20).expect("a package");
    assert_eq!((package.title.as_str(), package.damaged), ("Other", 0));
    assert!(package.created.is_some() && package.signed_by.is_none());
    assert_eq!(package.entries.len(), open.entries.len());
    for (read, put) in package.entries.iter().zip(&open.entries) {
        assert_eq!((&read.url, read.captured, read.status), (&put.url, put.captured, put.status));
        assert_eq!((read.member, read.payload), (put.member, put.payload));
        assert_eq!(read.revisit_of, put.revisit_of);
        assert_eq!(read.is_page, read.url == "https://example.org/", "as it was told");
    }
}

/// The index is, but for the order of spaces, what another program makes of the same records; also for
/// URLs that keys are hard for.
#[test]
fn the_index_is_what_cdxj_indexer_makes_of_the_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut open = Open::new();
    for url in [
        "http://www12.example.org:8080/A//b/./c/../D/?z=1&y&y=&a=%26#",
        "https://user:secret@example.org/%2525%41/%e4%ff?%C3%A9=+",
        "https://example.org/?a=1&sid=0123456789ABCDEF0123456789abcdef&sid=x",
        "https://example.org/(4hqa0555fwsecu455xqckv45)/a/b.aspx?a",
        "https://www.example.org/a;jsessionid=0123456789ABCDEF0123456789abcdef?jsessionid=0123456789ABCDEF0123456789abcdef&b",
        "https://www.org/www.example.org/",
        "https://192.0.2.1/..%2f../a?",
        "https://[2001:db8::1]:8443/",
        "https://xn--bcher-kva.example/a~b'(c)*!",
        "https://example.org/?CFID=1&cftoken=2&cfid=3&CFTOKEN=4&x",
        "https://example.org/?&&b&&a&",
    ] {
        open.response(&html(url, url), None);
    }
    let sealed = open.seal(&folder.path().join("1.wacz")).expect("sealed");
    let package = fs::read(folder.path().join("1.wacz")).expect("there");
    let last = sealed.entries.last().expect("some");
    let data = sealed.data_offset as usize..(last.offset + last.length) as usize;
    fs::write(folder.path().join("data.warc.gz"), &package[data]).expect("written");
    let Some(made) = run(folder.path(), "cdxj-indexer", &["--sort", "data.warc.gz"]) else {
        return;
    };
    assert!(made.status.success(), "{}", said(&made));
    let ours = entry_of(&folder.path().join("1.wacz"), "indexes/index.cdx");
    let (theirs, ours) = (lines(&String::from_utf8_lossy(&made.stdout)), lines(&ours));
    assert_eq!(theirs.len(), 15, "all are in it");
    for (theirs, ours) in theirs.iter().zip(&ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}

fn entry_of(path: &Path, name: &str) -> String {
    let file = fs::File::open(path).expect("there");
    let mut zip = zip::ZipArchive::new(file).expect("a ZIP file");
    let mut text = String::new();
    let mut entry = zip.by_name(name).expect("it is in it");
    std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
    text
}

/// Key, time and values of each line.
fn lines(index: &str) -> Vec<(String, String, BTreeMap<String, String>)> {
    let line = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("three words").to_owned();
        (word(), word(), serde_json::from_str(&word()).expect("JSON"))
    };
    index.lines().map(line).collect()
}

/// `docs/archive.md` tells a stranger what to type. This types it.
#[test]
fn a_stranger_checks_a_package_as_the_handbook_says() {
    let handbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/archive.md");
    let handbook = fs::read_to_string(handbook).expect("the handbook");
    let (_, section) = handbook.split_once("## Checking a package without Seawall").expect("there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<&str> = section.split("```sh\n").skip(1).collect();
    let blocks: Vec<&str> = blocks.iter().filter_map(|block| block.split("```").next()).collect();
    let [whole, record] = blocks[..] else { panic!("two blocks of commands: {blocks:?}") };

    for program in ["unzip", "sha256sum", "openssl"] {
        let arguments = if program == "unzip" { "-v" } else { "version" };
        if run(Path::new("."), program, &[arguments]).is_none() {
            return;
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("PACKAGE.wacz");
    let sealed = Open::new().seal(&path).expect("sealed");
    fs::write(folder.path().join("KEY.pem"), key().public().to_pem()).expect("written");
    let sh = |script: &str| {
        let _ = fs::remove_dir_all(folder.path().join("package"));
        run(folder.path(), "sh", &["-e", "-c", script]).expect("there is a shell")
    };
    let checked = sh(whole);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("Signature Verified Successfully"), "{}", said(&checked));
    assert_eq!(said(&checked).matches(": OK").count(), 7, "{}", said(&checked));
    let both = format!("{whole}\n{record}");
    let checked = sh(&both);
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("record.gz: OK"), "{}", said(&checked));

    let bytes = fs::read(&path).expect("there");
    let entry = &sealed.entries[1];
    let mut flipped = bytes.clone();
    flipped[(entry.offset + 30) as usize] ^= 1;
    // The checksums of ZIP are no secret: somebody who forges makes them right.
    let (from, to) = (sealed.data_offset as usize, bytes.len());
    let end = sealed.entries.last().map_or(to, |last| (last.offset + last.length) as usize);
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[from..end]);
        crc.sum().to_le_bytes()
    };
    let (old, new) = (crc(&bytes), crc(&flipped));
    let places: Vec<usize> = (0..to - 4).filter(|&at| flipped[at..at + 4] == old).collect();
    places.iter().for_each(|&at| flipped[at..at + 4].copy_from_slice(&new));
    fs::write(&path, &flipped).expect("written");
    let checked = sh(whole);
    assert!(!checked.status.success(), "{}", said(&checked));
    assert!(said(&checked).contains("archive/data.warc.gz: FAILED"), "{}", said(&checked));
    let checked = sh(&both.replacen("sha256sum --check --strict", "true", 1));
    assert!(
        !checked.status.success() && said(&checked).contains("record.gz: FAILED"),
        "{}",
        said(&checked)
    );

    let other = seawall_seal::SigningKey::generate().expect("a key").public().to_pem();
    fs::write(&path, &bytes).expect("written");
    fs::write(folder.path().join("KEY.pem"), other).expect("written");
    assert!(!sh(whole).status.success(), "another key");
}
