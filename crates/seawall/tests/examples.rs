//! The reports under docs/examples are what this program makes of the record there, which a demo wrote.
//!
//! Goal: whoever looks at them sees what a real run gives, and can make and check all of it.
//! Method: verify the record, export it by the commands that stand in docs/examples/README.md, compare bytes;
//! `UPDATE_EXPECT=1` writes them anew, and they are reviewed like code.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Ran, run_in};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples")
}

#[test]
fn the_record_of_the_demo_is_what_was_sealed() {
    let ran = run_in(&examples(), &["verify", "record.jsonl", "--key", "key.pem"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let record = fs::read_to_string(examples().join("record.jsonl")).expect("the record");
    let begin = record.lines().next().expect("a first line");
    assert!(begin.contains(r#""origin":"rehearsal""#), "nobody was attacked: {begin}");
}

#[track_caller]
fn check(format: &str) {
    let name = format!("incident.{format}");
    let made = tempfile::tempdir().expect("the temporary folder is writable");
    let made = made.path().join(&name);
    let out = made.to_str().expect("a path in UTF-8");
    let Ran { code, stdout, stderr } = run_in(
        &examples(),
        &[
            "report",
            "export",
            "record.jsonl",
            "--format",
            format,
            "--tlp",
            "clear",
            "--reporter",
            "The Tidewater Post",
            "--out",
            out,
        ],
    );
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let want = fs::read(&made).expect("it was written");
    let path = examples().join(&name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &want).expect("docs/examples can be written");
    }
    let found = fs::read(&path).unwrap_or_default();
    // Not `assert_eq`: it would print both.
    assert!(found == want, "docs/examples/{name} is out of date: UPDATE_EXPECT=1");
}

#[test]
fn the_page_is_what_is_made_of_it() {
    check("html");
}

#[test]
fn the_pdf_is_what_is_made_of_it() {
    check("pdf");
}
