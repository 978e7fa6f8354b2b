//! What all that detection remembers takes, when ten million sources came that differ in everything.
//!
//! The parts that the edge is made of, in one process and counted by the allocator (`count_state`), because the row
//! `addresses` can vary only what a request over plain HTTP/1.1 can, and its figure has the heap's slack
//! in it. For two workers, on which the bar is, and for more: each has windows of its own.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::process::{build_example, output};
use crate::table::{Bar, Line};

use super::Scene;

/// The bar: 40 MB.
const BAR_MB: f64 = 40.0;
const WORKERS: [usize; 3] = [2, 8, 16];

/// One run for each number of workers.
///
/// # Errors
/// When the example does not build, or says something else than it should.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let program = build_example(scene.root, "seawall-edge", "count_state")?;
    WORKERS.into_iter().map(|workers| measure(scene, &program, workers)).collect()
}

fn measure(scene: &Scene<'_>, program: &Path, workers: usize) -> Outcome<Line> {
    let counts = [workers.to_string(), scene.addresses.to_string()];
    let said = output(Command::new(program).args(counts))?.stdout;
    let said = String::from_utf8_lossy(&said);
    let figure = |name| value(&said, name).ok_or_else(|| format!("no `{name}` in: {said}"));
    // A run in which nothing was found, or the file not written, shows less than there is.
    for name in ["measures", "met", "file_bytes", "tests_forgotten"] {
        if figure(name)? <= 0.0 {
            return Err(format!("`{name}` is 0, so not everything was in use"));
        }
    }
    let mb = |name| figure(name).map(|bytes| bytes / 1e6);
    let bar = if workers == WORKERS[0] { Bar::AtMost(BAR_MB) } else { Bar::None };
    let note = format!(
        "detector {:.1}, windows {:.1}, requests that wait {:.1}, tests {:.1}, the baseline's file in hand {:.1}; \
         {} sources",
        mb("detector_bytes")?,
        mb("windows_bytes")?,
        mb("waiting_bytes")?,
        mb("tests_bytes")?,
        mb("file_bytes")?,
        scene.addresses
    );
    let what = format!("all of detection, {workers} workers");
    Ok(Line::new(what, mb("peak_bytes")?, "MB", bar).note(note))
}

/// Reads `name 12`.
fn value(said: &str, name: &str) -> Option<f64> {
    let mut lines = said.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(of, _)| *of == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn figures_are_read_by_their_whole_name() {
        let said = "peak_bytes 12\nmet 3\nbytes x\n";
        assert_eq!(value(said, "met"), Some(3.0));
        assert_eq!((value(said, "bytes"), value(said, "peak")), (None, None));
    }
}
