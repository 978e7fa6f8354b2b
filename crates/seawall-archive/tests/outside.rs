//! What programs of others say of what is written here. Each test says when a program is missing;
//! `cargo xtask setup` installs them.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use seawall_archive::{Capture, RevisitOf, info_record, response_record, revisit_record};
use seawall_model::WallTime;
use seawall_seal::Digest;

use self::common::{capture, html};

/// Runs `program`; `None`, and a word about it, if it is not installed.
#[allow(clippy::print_stderr, reason = "says that it was left out, and why")]
fn run(folder: &Path, program: &str, arguments: &[&str]) -> Option<Output> {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    if output.is_err() {
        eprintln!("left out: {program} is not installed");
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
