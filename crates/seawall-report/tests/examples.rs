//! A report with every field filled is what is rendered now.
//!
//! Goal: whoever changes a word sees what becomes of it, also in parts that few incidents have.
//! Method: render the made-up report, compare bytes with `testdata`; `UPDATE_EXPECT=1` writes them anew, and they are
//! reviewed like code. `cargo xtask pages` has the same files judged by programs of others.

use std::fs;
use std::path::Path;

use seawall_report::{ExportOptions, Tlp, example, html, pdf};

#[track_caller]
fn check(name: &str, want: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, want).expect("the source tree is writable");
    }
    let found = fs::read(&path).unwrap_or_default();
    // Not `assert_eq`: it would print both.
    assert!(found == want, "testdata/{name} is out of date: UPDATE_EXPECT=1");
}

fn options() -> ExportOptions {
    let reporter = Some("The Daily Example".to_owned());
    ExportOptions { tlp: Tlp::Clear, reporter, ..ExportOptions::default() }
}

#[test]
fn every_field_in_html_is_what_is_rendered() {
    let page = html::render(&example(), &options()).expect("the public edition");
    check("every-field.html", page.as_bytes());
}

#[test]
fn every_field_in_pdf_is_what_is_rendered() {
    let file = pdf::render(&example(), &options()).expect("the public edition");
    check("every-field.pdf", &file);
}
