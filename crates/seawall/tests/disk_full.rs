//! The real program on a disk that is full in the middle of an incident, while it runs and when it is killed.
//!
//! Goal: who asks for a page and who floods notice nothing; that evidence is not written is said at once, and stands in the
//! record afterwards; what was sealed can be checked at any time.
//! Method: the whole state of the program is on a small file system in memory, which a file fills and frees again. That the
//! disk is full at any single write, and for so long that lines are lost, is for the tests of the recorder.

mod common;

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use seawall_edge::admin;
use seawall_report::Moment;
use serde_json::Value;

use crate::common::attack::{Attack, BOTS, Client};
use crate::common::small_disk::SmallDisk;
use crate::common::{Ran, Shield, run_by};

/// Room for all state of a program that has one page, a dozen times.
const DISK_BYTES: u64 = 64 << 20;

fn run(disk: &SmallDisk, args: &[&str]) -> Ran {
    run_by(&mut disk.command(), args)
}

fn start(disk: &SmallDisk) -> Shield {
    Shield::start_by(&mut disk.command(), &["--config", "seawall.toml"])
}

/// The one record.
fn record(disk: &SmallDisk) -> PathBuf {
    let mut all = fs::read_dir(disk.state().join("incidents")).expect("it is recorded");
    all.next().expect("there is one").expect("readable").path().join("record.jsonl")
}

fn read(disk: &SmallDisk) -> String {
    String::from_utf8_lossy(&fs::read(record(disk)).expect("it is there")).into_owned()
}

fn entries(disk: &SmallDisk, kind: &str) -> Vec<Value> {
    let text = read(disk);
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    let lines = text[..whole].lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.filter(|line: &Value| line["entry"] == kind).collect()
}

/// Seals what is recorded by now, if there is room.
fn note(disk: &SmallDisk) -> Ran {
    let note = ["report", "note", "last", "Seal it", "--kind", "observation", "--author", "A"];
    run(disk, &[&note[..], &["--state", "state"]].concat())
}

fn metric(disk: &SmallDisk, name: &str) -> f64 {
    let answer = admin::query(&disk.state().join("admin.sock"), "GET", "/metrics");
    let body = String::from_utf8(answer.expect("it runs").body).expect("text");
    let line = body.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("no {name} in {body}"))
}

/// What the operator is told.
fn status(disk: &SmallDisk) -> String {
    let told = run(disk, &["--config", "seawall.toml", "status"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    told.stdout
}

/// Whether somebody gets what is asked for.
fn is_served(shield: &Shield, from: IpAddr, start: &str, fields: &str) -> bool {
    !Client::new(shield.address(), from).ask(start, fields, "")
}

/// Twenty readers get a page, and who floods gets none.
#[track_caller]
fn check_defence(shield: &Shield) {
    for last in 1..=20 {
        let reader = IpAddr::from([198, 18, 7, last]);
        assert!(is_served(shield, reader, "GET /", ""), "{reader}");
    }
    let program = "User-Agent: python-requests/2.32.3\r\n";
    for bot in BOTS.map(|bot| bot.parse().expect("an address")) {
        assert!(!is_served(shield, bot, "GET /search?q=more", program), "{bot}");
    }
}

/// What is sealed can be checked, whatever stands behind it.
#[track_caller]
fn check_sealed(disk: &SmallDisk, more: &[&str]) {
    let path = record(disk).display().to_string();
    let checked = run(disk, &[&["verify", &path, "--json"], more].concat());
    assert_eq!(checked.json()["ok"], true, "{}{}", checked.stdout, checked.stderr);
    assert!(checked.json()["segments"].as_u64() >= Some(1), "{}", checked.stdout);
}

/// The one full disk of a test, with an incident that is recorded and sealed, until it was full. `None` where there can be
/// no such disk.
#[allow(clippy::print_stderr, reason = "a test that is left out says so")]
fn filled(folder: &Path) -> Option<(SmallDisk, Attack)> {
    let disk = match SmallDisk::mount(folder, DISK_BYTES) {
        Ok(disk) => disk,
        Err(why) => {
            eprintln!("left out: there is no disk here that could be filled: {why}");
            return None;
        }
    };
    let mut attack = Attack::begin_at(folder, &disk.state(), || start(&disk));
    attack.wait_until_recorded();
    let sealed = note(&disk);
    assert_eq!(sealed.code, Some(0), "{}", sealed.stderr);
    assert!(metric(&disk, "seawall_evidence_faults_total") < 1.0, "there was room");
    disk.fill();
    attack.shield.wait_for("the incident record cannot be written");
    Some((disk, attack))
}

#[test]
fn a_full_disk_costs_no_reader_a_page_and_the_record_says_it_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some((disk, mut attack)) = filled(folder.path()) else { return };
    assert!(metric(&disk, "seawall_evidence_faults_total") >= 1.0);
    check_defence(&attack.shield);
    check_sealed(&disk, &["--open"]);
    note(&disk).check_failed(1, &["No space left"]);
    assert!(status(&disk).contains("evidence    cannot be written"), "{}", status(&disk));
    let written = metric(&disk, "seawall_evidence_lines_total");

    disk.free();
    attack.shield.wait_for("the incident record is written again");
    check_defence(&attack.shield);
    assert!(!status(&disk).contains("evidence"), "{}", status(&disk));
    assert!(metric(&disk, "seawall_evidence_lines_total") > written);
    let lost = metric(&disk, "seawall_evidence_lines_lost_total");
    assert!(lost < 1.0, "what came meanwhile fits into memory: {lost}");
    attack.end();
    check_sealed(&disk, &[]);
    let seconds = entries(&disk, "second");
    let at = |line: &Value| serde_json::from_value::<Moment>(line["at"].clone()).expect("a time");
    for pair in seconds.windows(2) {
        assert_eq!(at(&pair[0]).plus_ms(1_000), at(&pair[1]), "no second is missing");
    }
    let faults = entries(&disk, "fault");
    let said = faults.iter().find(|fault| fault["part"] == "record").expect("it says so");
    let words = said["what"].as_str().expect("words");
    assert!(words.contains("No space left") && words.contains("kept in memory"), "{words}");
    assert!(at(&seconds[0]) < at(said) && at(said) < at(&seconds[seconds.len() - 1]), "{said}");
    assert_eq!(entries(&disk, "note").len(), 1, "the refused one is not in it");
}

#[test]
fn a_program_killed_on_a_full_disk_leaves_what_was_sealed_and_the_gap_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some((disk, attack)) = filled(folder.path()) else { return };
    let shield = attack.calm();
    shield.signal(Signal::KILL);
    drop(shield);
    check_sealed(&disk, &["--open"]);

    // It starts on the full disk as well, and touches nothing that it could not end.
    let left = read(&disk);
    let mut shield = start(&disk);
    shield.hear("a record that was cut off stays as it is");
    assert!(is_served(&shield, IpAddr::from([198, 18, 7, 1]), "GET /", ""));
    assert_eq!(shield.stop(), Some(0));
    check_sealed(&disk, &["--open"]);
    let whole = left.rfind('\n').map_or(0, |at| at + 1);
    assert!(read(&disk).starts_with(&left[..whole]));

    disk.free();
    let mut shield = start(&disk);
    shield.hear("a record that was cut off was ended");
    assert_eq!(shield.stop(), Some(0));
    check_sealed(&disk, &[]);
    assert!(read(&disk).starts_with(&left[..whole]), "whole lines are kept as they were");
    let gaps = entries(&disk, "gap");
    assert_eq!((gaps.len(), &gaps[0]["why"]), (1, &"killed".into()), "{gaps:?}");
}
