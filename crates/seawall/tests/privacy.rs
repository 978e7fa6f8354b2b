//! What readers send is nowhere but with the site: planted into real traffic of an attack, and looked for in every file
//! that is left, in what the program said, and in every export.
//!
//! Of a thousand readers no address, cookie, credential, query value or content may be found. What the flooders are is
//! the test of the looking: their addresses have to be found in the record and in the sealed edition, and nowhere else. Nor
//! is a request of a reader anywhere by itself: they are counts.

mod common;

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use flate2::read::ZlibDecoder;

use crate::common::attack::{Attack, BOTS, Client};
use crate::common::{Ran, run_in};

const READERS: u32 = 1_000;
/// What readers and flooders send: a part of it in any file is a part too much.
const PLANTED: [&str; 5] =
    ["planted-bearer", "cGxhbnRlZDpiYXNpYw", "planted-cookie", "planted-query", "planted-body"];
/// Readers of either family, each in a network of their own.
fn reader(number: u32) -> IpAddr {
    let (high, low) = (number / 250, number % 250);
    let text = if number.is_multiple_of(2) {
        format!("198.{}.{low}.{}", 18 + high, 101 + number % 97)
    } else {
        format!("2001:db8:{:x}{low:02x}:9::{:x}", 1 + high, 0xa00 + number)
    };
    text.parse().expect("an address")
}

/// All readers once, with all that readers bring.
fn read(shield: &str) {
    for number in 0..READERS {
        let authorisation = match number % 3 {
            0 => format!("Authorization: Bearer planted-bearer-{number}\r\n"),
            1 => "Authorization: Basic cGxhbnRlZDpiYXNpYw==\r\n".to_owned(),
            _ => String::new(),
        };
        let fields = format!(
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
             Accept: text/html\r\n{authorisation}Cookie: session=planted-cookie-{number}\r\n"
        );
        let (start, content) = match number % 5 {
            0 => ("POST /comment?token=planted-query", "text=planted-body"),
            1 => ("GET /a-story/?planted-query", ""),
            _ => ("GET /search?q=planted-query", ""),
        };
        Client::new(shield, reader(number)).ask(&format!("{start}-{number}"), &fields, content);
    }
}

/// Makes a record as a flood leaves it behind that readers came in the middle of; what the program said meanwhile.
fn attacked(folder: &Path) -> String {
    let attack = Attack::begin(folder);
    read(attack.shield.address());
    attack.wait_until_recorded();
    read(attack.shield.address());
    let (said, readers) = attack.end();
    assert!(readers > 0, "no reader was let through:\n{said}");
    said
}

fn report(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[&["report"], args, &["--state", "state"]].concat())
}

/// Every export of either edition into `public` and `sealed`, and what else is said of a record.
fn export(folder: &Path) {
    for (edition, formats) in [
        ("public", &["html", "pdf", "json", "csv", "stix", "misp", "nis2"][..]),
        ("sealed", &["html", "pdf", "json", "csv", "stix", "misp", "nis2", "xarf"]),
    ] {
        fs::create_dir(folder.join(edition)).expect("own folder");
        for format in formats {
            let out = format!("{edition}/{format}");
            let done = report(
                folder,
                &["export", "last", "--format", format, "--edition", edition, "--out", &out],
            );
            assert_eq!(done.code, Some(0), "{out}: {}", done.stderr);
        }
    }
    report(folder, &["export", "last", "--format", "xarf"]).check_failed(2, &["edition sealed"]);
    for what in [&["list"][..], &["show", "last"], &["show", "last", "--json"], &["privacy"]] {
        let shown = report(folder, what);
        assert_eq!(shown.code, Some(0), "{}", shown.stderr);
        let name = format!("public/{}", what.join("-"));
        fs::write(folder.join(name), shown.stdout + &shown.stderr).expect("own folder");
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let of = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(|entry| of(entry.path())).filter(|path| path.is_file()).collect()
}

/// What a file says, with the streams of a PDF as they are shown.
fn content(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("readable");
    if bytes.starts_with(b"%PDF") {
        let mut shown = Vec::new();
        let starts = bytes.windows(7).enumerate().filter(|(_, piece)| piece == b"stream\n");
        for (start, _) in starts {
            // What is not packed ends with an error, and is there as it is.
            let _ = ZlibDecoder::new(&bytes[start + 7..]).read_to_end(&mut shown);
        }
        bytes.extend(shown);
    }
    bytes
}

/// Every address in it: as text in any spelling, and those of IPv6 as numbers.
fn addresses(bytes: &[u8]) -> HashSet<IpAddr> {
    let text = String::from_utf8_lossy(bytes);
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || ".:".contains(c)));
    let spelled = words.filter(|word| word.len() >= 7).flat_map(|word| {
        let word = word.trim_end_matches(['.', ':']);
        let bare = word.rsplit_once(':').map_or(word, |(address, _)| address);
        [word, bare].map(str::parse::<IpAddr>)
    });
    let number = |piece: &[u8]| <[u8; 16]>::try_from(piece).map(u128::from_be_bytes).ok();
    let documentation = |number: &u128| number >> 96 == 0x2001_0db8;
    let numbers = bytes.windows(16).filter_map(number);
    let numbers = numbers.flat_map(|number| [number, number.swap_bytes()]).filter(documentation);
    spelled.flatten().chain(numbers.map(|number| IpAddr::from(number.to_be_bytes()))).collect()
}

/// Rows are of what was met or refused alone, in the record and in the public table; readers are in them as counts.
fn check_rows(folder: &Path) {
    let record = files(&folder.join("state/incidents"));
    let record = record.iter().find(|path| path.ends_with("record.jsonl")).expect("one");
    let (mut rows, mut counted) = (0, 0);
    for line in fs::read_to_string(record).expect("text").lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let status = line["status"].as_u64().unwrap_or_default();
        match line["entry"].as_str() {
            Some("row") => {
                let is_met_or_refused = line["met"].is_u64() || !(200..400).contains(&status);
                assert!(is_met_or_refused && line["standing"] == "anonymous", "{line}");
                assert_ne!(line["prefix"], "", "{line}");
                rows += 1;
            }
            Some("clean") => counted += line["rows"].as_u64().expect("a number"),
            _ => {}
        }
    }
    assert!(rows > 0 && counted > 0, "{rows} rows, {counted} counted");
    let table = fs::read_to_string(folder.join("public/csv/sample.csv")).expect("text");
    assert_eq!(table.lines().count(), 1 + rows);
    let places: Vec<&str> = table.lines().next().expect("a head").split(',').collect();
    let place = |name: &str| places.iter().position(|it| *it == name).expect("a column");
    let (standing, prefix) = (place("standing"), place("prefix"));
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(cells[standing] == "anonymous" && !cells[prefix].is_empty(), "{line}");
    }
}

#[test]
fn nothing_that_a_reader_sent_is_in_any_file_that_is_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let said = attacked(folder);
    export(folder);
    fs::write(folder.join("said"), said).expect("own folder");
    check_rows(folder);
    let readers: HashSet<IpAddr> = (0..READERS).map(reader).collect();
    assert_eq!(readers.len() as u32, READERS);
    let mut named = 0;
    let bots = BOTS.map(|bot| bot.parse::<IpAddr>().expect("an address"));
    for path in files(folder) {
        let (bytes, path) = (content(&path), path.strip_prefix(folder).expect("in it"));
        let shown = path.display();
        for planted in PLANTED {
            let is_there = bytes.windows(planted.len()).any(|part| part == planted.as_bytes());
            assert!(!is_there, "`{planted}` is in {shown}");
        }
        let found = addresses(&bytes);
        let of_readers: Vec<_> = found.intersection(&readers).collect();
        assert!(of_readers.is_empty(), "{shown} has {of_readers:?}");
        let of_bots = bots.iter().filter(|bot| found.contains(bot)).count();
        let may_name = path.starts_with("sealed") || path.ends_with("record.jsonl");
        assert!(of_bots == 0 || may_name, "{shown} has addresses of flooders");
        named += usize::from(of_bots == BOTS.len());
    }
    // The record, and six forms of the sealed edition: tables and the texts of NIS2 have no addresses.
    assert_eq!(named, 7, "what is looked for is found where it has to be");
}
