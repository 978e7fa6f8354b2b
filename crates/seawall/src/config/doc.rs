//! Keeps the tables of `docs/config.md` equal to the tables in the code.
//!
//! The prose of that page is written by hand; what stands between its markers is generated here.
//! `UPDATE_EXPECT=1 cargo test --package seawall` writes it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::config::keys::{self, Built, SECTIONS, header};
use crate::config::problem::Code;

fn keys_of(section: &str) -> String {
    let mut rows = String::new();
    for key in keys::all() {
        let (parent, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if parent != section {
            continue;
        }
        let default = match key.default.strip_prefix('(') {
            Some(remark) => remark.trim_end_matches(')').to_owned(),
            None => format!("`{}`", key.default),
        };
        let later = if key.built == Built::Later { " *Not acted on in this version.*" } else { "" };
        writeln!(rows, "| `{name}` | {} | {default} | {}{later} |", key.kind, key.about)
            .expect("writing to a text cannot fail");
    }
    if rows.is_empty() {
        return rows;
    }
    format!("\n| Key | Value | Default | What it does |\n|---|---|---|---|\n{rows}")
}

fn all_keys() -> String {
    let mut text = format!("\n### At the top, before any section\n{}", keys_of(""));
    for section in SECTIONS {
        let title = header(section.path);
        write!(text, "\n### `{title}`\n\n{}\n{}", section.about, keys_of(section.path))
            .expect("writing to a text cannot fail");
    }
    text + "\n"
}

fn all_codes() -> String {
    let row = |code: Code| format!("| `{}` | {} |\n", code.as_str(), code.about());
    let rows: String = Code::ALL.into_iter().map(row).collect();
    format!("\n| Code | Meaning |\n|---|---|\n{rows}\n")
}

fn replace(page: &str, marker: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {marker} -->\n"), format!("<!-- end of {marker} -->"));
    let (before, rest) = page.split_once(&begin).expect("the page has the opening marker");
    let (_, after) = rest.split_once(&end).expect("the page has the closing marker");
    format!("{before}{begin}{text}{end}{after}")
}

#[test]
fn the_page_lists_every_key_and_every_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    let page = fs::read_to_string(&file).expect("docs/config.md exists");
    let want = replace(&replace(&page, "keys", &all_keys()), "codes", &all_codes());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&file, &want).expect("docs/config.md is writable");
    } else {
        assert!(page == want, "docs/config.md is not what the code says; run with UPDATE_EXPECT=1");
    }
}
