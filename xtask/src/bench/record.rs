//! What the incident record takes and costs, and how soon there is a report of it.
//!
//! Separate from the other cases because the question is what is left of an attack of hours, and who could bear to read
//! it. The record is written by the product's own parts in virtual time and read by its own commands; that no second is
//! missing is looked up here, in the file, by who shares no code with it. A missed bar is an error only with `--check`.

mod cost;
mod incident;
mod path;

use std::path::{Path, PathBuf};

use crate::process::scratch;
use crate::{Outcome, setup};

use super::admission;
use super::rows::{Flags, Row};

/// What every row needs.
struct Scene<'a> {
    root: &'a Path,
    folder: PathBuf,
    /// The built product.
    program: PathBuf,
    hours: u64,
    rate: u64,
}

/// What can be measured.
const fn rows<'a>() -> [Row<Scene<'a>>; 4] {
    [
        ("incident", incident::run),
        ("path", path::run),
        ("cost", cost::run),
        ("in-time", |scene| admission::record_in_time(scene.root, &scene.program, &scene.folder)),
    ]
}

/// Measures what `arguments` ask for, prints it and writes `target/bench-record/result.json`.
///
/// # Errors
/// When a row cannot be measured, and with `--check` when a bar is missed.
pub(super) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let (mut hours, mut rate) = (9, 5_000);
    let numbers = &mut [("--hours", 1..=24, &mut hours), ("--rate", 1..=20_000, &mut rate)];
    let flags = Flags::read("record", &rows(), numbers, arguments)?;
    if flags.wants("cost") {
        setup::bench()?;
    }
    let program = flags.program(root)?;
    let folder = scratch(root, "bench-record")?;
    let scene = Scene { root, folder, program, hours, rate };
    flags.measure(&rows(), &scene, &scene.folder)
}
