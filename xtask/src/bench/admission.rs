//! What floods cost readers and the origin: the bars of admission, measured on real sockets.
//!
//! Separate from the other cases because what is measured is not the cost of one request but who is
//! served while thousands ask. Traffic comes from the product's own rehearsal (`seawall rehearse`),
//! which can aim at nothing but the servers of this run, and from programs that nobody here wrote.
//! All of it stays on 127.0.0.0/8 and ends by itself.
//!
//! It deliberately does **not** share code with the product, and a missed bar is an error only where
//! the caller asks for it (`--check`): a busy machine misses bars too.

mod addresses;
mod detection;
mod detection_cost;
mod detection_state;
mod flood;
mod instance;
mod large;
mod nginx;
mod record_in_time;
mod refusals;
mod rehearsal;
mod slow;

use std::path::{Path, PathBuf};

use crate::process::{certificate, scratch};
use crate::table::Line;
use crate::{Outcome, setup};

use super::rows::{Flags, Row};

/// What every row needs.
struct Scene<'a> {
    root: &'a Path,
    /// With the certificate in it, and room for a folder of each row.
    folder: PathBuf,
    /// The built product.
    program: PathBuf,
    seconds: u64,
    addresses: u64,
}

/// What can be measured.
const fn rows<'a>() -> [Row<Scene<'a>>; 15] {
    [
        ("flood", flood::live),
        ("busting", flood::busting),
        ("uploads", flood::uploads),
        ("slow", slow::run),
        ("refusals", refusals::run),
        ("addresses", addresses::run),
        ("large", large::run),
        ("detection-cost", detection_cost::run),
        ("detection-state", detection_state::run),
        ("a1", |scene| detection::run(scene, &detection::A1)),
        ("a1-few", |scene| detection::run(scene, &detection::A1_FEW)),
        ("a2", |scene| detection::run(scene, &detection::A2)),
        ("a4", |scene| detection::run(scene, &detection::A4)),
        ("a9", |scene| detection::run(scene, &detection::A9)),
        ("a12", |scene| detection::run(scene, &detection::A12)),
    ]
}

/// Measures what `arguments` ask for, prints it and writes `target/bench-admission/result.json`.
///
/// # Errors
/// When a row cannot be measured, and with `--check` when a bar is missed.
pub(super) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let (mut seconds, mut addresses) = (60, 10_000_000);
    let numbers = &mut [
        ("--seconds", 30..=300, &mut seconds),
        ("--addresses", 10_000..=16_000_000, &mut addresses),
    ];
    let flags = Flags::read("admission", &rows(), numbers, arguments)?;
    setup::admission()?;
    let program = flags.program(root)?;
    let folder = scratch(root, "bench-admission")?;
    certificate(&folder)?;
    let scene = Scene { root, folder, program, seconds, addresses };
    flags.measure(&rows(), &scene, &scene.folder)
}

/// How soon there is a report of an attack, for `bench record`.
///
/// # Errors
/// When it cannot be measured.
pub(super) fn record_in_time(root: &Path, program: &Path, folder: &Path) -> Outcome<Vec<Line>> {
    certificate(folder)?;
    let (folder, program) = (folder.to_owned(), program.to_owned());
    record_in_time::run(&Scene { root, folder, program, seconds: 60, addresses: 0 })
}

/// What the figures depend on.
pub(super) fn conditions() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    format!("{cores} cores of {model}, everything on them; load at the end {load}")
}
