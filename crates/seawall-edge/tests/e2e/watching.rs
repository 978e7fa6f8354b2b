//! The watch over attacks in the running program: what it keeps, and what it makes of damaged files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use seawall_control::Mode;

use crate::origin::Origin;
use crate::shield::{Shield, until};

fn page() -> Origin {
    Origin::page("Cache-Control: max-age=60\r\n", "words")
}

#[test]
fn what_is_ordinary_is_kept_for_its_owner_alone_and_read_again() {
    let origin = page();
    let mut shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(200);
    let file = shield.config().state_dir.join("baseline");
    shield.stop();
    let kept = fs::read(&file).expect("written at the end");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    shield.restart();
    shield.client().get("/", "").assert_status(200);
    shield.stop();
    let again = fs::read(&file).expect("written again");
    assert_eq!(kept[..16], again[..16], "the seed stays: what was learned is of it");
    assert!(!file.with_extension("damaged").exists());
}

#[test]
fn a_damaged_file_is_put_aside_and_readers_notice_nothing() {
    let origin = page();
    let mut shield = Shield::before(&origin);
    let file = shield.config().state_dir.join("baseline");
    for damaged in [&b"no"[..], &[0x5a; 4_000][..]] {
        shield.stop();
        fs::write(&file, damaged).expect("written");
        let _ = fs::remove_file(file.with_extension("damaged"));
        shield.restart();
        shield.client().get("/", "").assert_status(200);
        until("it is put aside", || file.with_extension("damaged").exists());
    }
    // One flipped bit is enough.
    shield.stop();
    let mut bytes = fs::read(&file).expect("written at the end");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("written");
    let _ = fs::remove_file(file.with_extension("damaged"));
    shield.restart();
    until("it is put aside", || file.with_extension("damaged").exists());
    shield.client().get("/", "").assert_status(200);
}

#[test]
fn nobody_watches_where_it_is_turned_off() {
    let origin = page();
    let mut shield = Shield::with(&origin, |config| config.detect.enabled = false);
    shield.client().get("/", "").assert_status(200);
    let file = shield.config().state_dir.join("baseline");
    shield.stop();
    assert!(!file.exists());
}

#[test]
fn what_the_operator_orders_stands_within_a_moment_and_a_reload_can_turn_it_into_words() {
    let origin = page();
    let shield = Shield::before(&origin);
    let order = "/mitigations?do=add&term.path=%2Fnobody&rung=challenge&for_s=600";
    let done = shield.admin("POST", order);
    assert!(
        done.contains("\"rung\":\"challenge\"") && done.contains("\"is_ordered\":true"),
        "{done}"
    );
    until("it stands", || shield.admin("GET", "/status").contains("\"rung\":\"challenge\""));
    let mut config = shield.config().clone();
    config.mitigate.mode = Mode::Observe;
    shield.server().reload(config).expect("reloads");
    let stands = || shield.admin("GET", "/mitigations");
    until("it is only said", || stands().contains("\"mode\":\"observe\""));
}

#[test]
fn each_metric_is_told_once() {
    let origin = page();
    let shield = Shield::before(&origin);
    let told = shield.admin("GET", "/metrics");
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with('#')).collect();
    for (place, line) in lines.iter().enumerate() {
        let series = line.rsplit_once(' ').map_or(*line, |(series, _)| series);
        let is_same = |other: &&&str| other.rsplit_once(' ').is_some_and(|(it, _)| it == series);
        assert_eq!(lines[place + 1..].iter().find(is_same), None, "{series} twice");
    }
}
