//! What the archive costs: a million URLs, and a real site of thousands of pages.
//!
//! Separate from the other cases because nothing is loaded here: the questions are how long it takes,
//! what it holds in memory and on disk, and whether what comes back is what the origin had.

mod handbook;

use std::path::Path;

use serde_json::Value;

use super::rows::{Flags, Row};
use crate::process::{bound, build_example, output, scratch};
use crate::table::{Bar, Line};
use crate::{Outcome, setup};

/// What every row needs.
struct Scene<'a> {
    root: &'a Path,
    flags: &'a Flags,
    urls: u64,
}

/// What can be measured.
const fn rows<'a>() -> [Row<Scene<'a>>; 2] {
    [
        ("many", |scene| many(scene.root, scene.urls)),
        ("handbook", |scene| handbook::run(scene.root, &scene.flags.program(scene.root)?)),
    ]
}

/// Measures what `arguments` ask for, prints it and writes `target/bench-archive/result.json`.
///
/// # Errors
/// When something cannot be started or is wrong; with `--check` when a bar is missed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let mut urls = 1_000_000;
    let numbers = &mut [("--urls", 1_000..=10_000_000, &mut urls)];
    let flags = Flags::read("archive", &rows(), numbers, arguments)?;
    if flags.wants("handbook") {
        setup::archive()?;
    }
    let folder = scratch(root, "bench-archive")?;
    flags.measure(&rows(), &Scene { root, flags: &flags, urls }, &folder)
}

/// An index of so many URLs: made by one process, asked by another.
fn many(root: &Path, urls: u64) -> Outcome<Vec<Line>> {
    let program = build_example(root, "seawall-archive", "many")?;
    let program = program.to_string_lossy();
    let folder = scratch(root, "bench-archive-many")?;
    let dir = folder.join("archive");
    let command = |what: &str| {
        let mut command = bound(&program);
        command.arg(what).arg(&dir).arg(urls.to_string());
        command
    };
    eprintln!("many: {urls} URLs are kept, which takes minutes");
    // It ends as a kill would end it, so its exit status says nothing.
    let filled = command("fill").output().map_err(|error| format!("cannot run it: {error}"))?;
    let filled = json(&filled.stdout, "filling")?;
    let asked = json(&output(&mut command("ask"))?.stdout, "asking")?;
    let cold = json(&output(&mut command("ask-cold"))?.stdout, "asking a cold one")?;
    let _ = std::fs::remove_dir_all(&folder);
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    let found = |name: &str| number(&asked, name);
    let most = |what: &str, name: &str, bar: f64, unit: &'static str| {
        Line::new(what, found(name), unit, Bar::AtMost(bar))
    };
    Ok(vec![
        most("which version, p99", "find_p99_us", 200.0, "us"),
        most("a page, read and checked, p99", "lookup_p99_us", 200.0, "us"),
        most("a URL that is not there, p99", "missing_p99_us", 200.0, "us"),
        most("what to fetch next, p99", "due_p99_us", 200.0, "us"),
        most("peak memory, opening and asking", "peak_mib", 100.0, "MiB"),
        Line::new(
            "peak memory, filling",
            number(&filled, "fill_peak_mib"),
            "MiB",
            Bar::AtMost(100.0),
        )
        .note(filled.to_string()),
        most("memory of the crawl's counts", "recall_grown_mib", 10.0, "MiB")
            .note(format!("files in memory: {asked}")),
        Line::new(
            "which version, files not in memory, p99",
            number(&cold, "find_p99_us"),
            "us",
            Bar::None,
        )
        .note(cold.to_string()),
    ])
}

fn json(said: &[u8], what: &str) -> Outcome<Value> {
    serde_json::from_slice(said).map_err(|error| format!("{what} {error}"))
}
