//! The real program killed in the middle of an incident: what is left of its record, and what the next start makes of it.
//!
//! Where a disk fails or a kill falls at any single write is for the tests of the recorder, on a disk in memory; this has the
//! real one, a real signal, and the commands that people would use.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;

use crate::common::site::site;
use crate::common::{Ran, Shield, run_in};

/// Whom the flood asks for in all, at most: some minutes of a busy machine.
const MOST: u64 = 400_000;

/// A shield that knows what is ordinary, before a site.
fn start(folder: &Path) -> Shield {
    Shield::start(folder, &["--config", "seawall.toml"])
}

fn prepare(folder: &Path) {
    let config = format!(
        "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[site]]\nhosts = [\"*\"]\norigin = \"http://{}\"\n\
         [network]\ntrusted_proxies = [\"127.0.0.1\"]\n",
        site("max-age=600", |_| ())
    );
    fs::write(folder.join("seawall.toml"), config).expect("own folder");
    fs::create_dir(folder.join("state")).expect("own folder");
    let made = run_in(folder, &["rehearse", "baseline", "--state", "state", "--seed", "7"]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
}

/// Asks from four threads and from two thousand addresses until `is_enough`.
fn flood(address: &str, is_enough: impl Fn() -> bool) {
    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    ask_one(address, asked.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
        while !is_enough() && asked.load(Ordering::Relaxed) < MOST {
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(is_enough(), "it was not so after {MOST} requests");
}

/// One request of the flood. What is answered is not looked at.
fn ask_one(address: &str, number: u64) {
    let Ok(mut stream) = TcpStream::connect(address) else { return };
    let from = number % 2_000;
    let request = format!(
        "GET /search?q={number} HTTP/1.1\r\nHost: example.org\r\nUser-Agent: flood/1\r\n\
         X-Forwarded-For: 203.0.{}.{}\r\nConnection: close\r\n\r\n",
        from / 250,
        from % 250
    );
    let mut answer = Vec::new();
    let _ = stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
}

/// The record, once there is one.
fn record(folder: &Path) -> Option<PathBuf> {
    let mut all = fs::read_dir(folder.join("state/incidents")).ok()?;
    Some(all.next()?.ok()?.path().join("record.jsonl"))
}

fn read(record: &Path) -> String {
    String::from_utf8_lossy(&fs::read(record).unwrap_or_default()).into_owned()
}

/// Whether seconds that nobody sealed follow the first seal.
fn is_recorded_beyond_a_seal(folder: &Path) -> bool {
    let Some(record) = record(folder) else { return false };
    let text = read(&record);
    let Some((_, behind)) = text.split_once("{\"signature\":") else { return false };
    behind.lines().skip(1).any(|line| line.starts_with("{\"entry\":\"second\""))
}

fn verify(folder: &Path, record: &Path, more: &[&str]) -> Ran {
    let path = record.to_string_lossy().into_owned();
    run_in(folder, &[&["verify", &path, "--key", "key.pem", "--json"], more].concat())
}

#[test]
fn a_killed_program_leaves_a_record_that_verifies_and_the_next_start_says_the_gap() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    prepare(folder);
    let shield = start(folder);
    flood(shield.address(), || is_recorded_beyond_a_seal(folder));
    assert!(shield.get("/").starts_with("HTTP/1.1 200"), "readers are served meanwhile");
    shield.signal(Signal::KILL);
    drop(shield);

    let record = record(folder).expect("there is one");
    let key = run_in(folder, &["archive", "key", "--state", "state"]);
    fs::write(folder.join("key.pem"), key.stdout).expect("own folder");
    let left = read(&record);
    let checked = verify(folder, &record, &["--open"]);
    assert_eq!(checked.json()["ok"], true, "{}", checked.stdout);
    assert!(verify(folder, &record, &[]).json()["ok"] == false, "it has no end");

    // As if the power had gone within a line.
    let whole = left.rfind('\n').map_or(0, |at| at + 1);
    fs::write(&record, format!("{}{{\"entry\":\"sec", &left[..whole])).expect("own folder");
    let shield = start(folder);
    while !read(&record).contains("\"is_closed\":true") {
        assert!(shield.get("/").starts_with("HTTP/1.1 200"), "readers are served meanwhile");
    }
    assert!(read(&record).starts_with(&left[..whole]), "whole lines are kept as they were");
    let checked = verify(folder, &record, &[]);
    assert_eq!(checked.json()["ok"], true, "{}", checked.stdout);
    let path = record.to_string_lossy().into_owned();
    let report = run_in(folder, &["report", "show", &path, "--json"]).json();
    let gap = &report["gaps"][0];
    assert_eq!(gap["why"], "killed", "{report:#}");
    assert_eq!(report["record"]["is_closed"], true, "{report:#}");
    assert_eq!(shield.stop(), Some(0));
}
