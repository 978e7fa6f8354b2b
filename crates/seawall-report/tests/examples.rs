//! The reports under docs/examples are what is rendered now.
//!
//! Goal: whoever looks at them sees what the program makes, and whoever changes a word sees what becomes of it.
//! Method: render the example report, compare bytes; `UPDATE_EXPECT=1` writes them anew, and they are reviewed like code.

use std::fs;
use std::path::Path;

use seawall_report::{ExportOptions, Tlp, example, html, pdf};

#[track_caller]
fn check(name: &str, want: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, want).expect("docs/examples can be written");
    }
    let found = fs::read(&path).unwrap_or_default();
    // Not `assert_eq`: it would print both.
    assert!(found == want, "docs/examples/{name} is out of date: UPDATE_EXPECT=1");
}

fn options() -> ExportOptions {
    let reporter = Some("The Daily Example".to_owned());
    ExportOptions { tlp: Tlp::Clear, reporter, ..ExportOptions::default() }
}

#[test]
fn the_example_in_html_is_what_is_rendered() {
    let page = html::render(&example(), &options()).expect("the public edition");
    check("incident.html", page.as_bytes());
}

#[test]
fn the_example_in_pdf_is_what_is_rendered() {
    let file = pdf::render(&example(), &options()).expect("the public edition");
    check("incident.pdf", &file);
}
