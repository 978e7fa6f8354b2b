//! What the incident record adds to the way of a request: a look whether something speaks for who asks, and for those a mark.
//!
//! By itself and not in the real program, whose noise is larger than the bar (`cost`). All else that a record needs is
//! either what detection takes note of anyway, or done by the threads that watch and write (`incident`).

use std::time::Instant;

use crate::Outcome;
use crate::process::{bound, build_example, output};
use crate::table::{Bar, Line};

use super::Scene;

/// Nanoseconds a request.
const BAR: f64 = 100.0;
const CALLS: u32 = 20_000_000;
/// The least counts, of as many calls and of twice as many: a neighbour can only make it dearer.
const RUNS: usize = 5;

const CASES: [(&str, &str); 3] = [
    ("nobody", "a stranger, of whom nothing is noted"),
    ("known", "one of 64 who are signed in"),
    ("new", "who is signed in, another one each time"),
];

/// Times each case.
///
/// # Errors
/// When the example is not built, or fails.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let program = build_example(scene.root, "seawall-edge", "count_heard")?;
    let timed = |case: &str, calls: u32| {
        let mut command = bound(&program.to_string_lossy());
        let began = Instant::now();
        output(command.args([case, &calls.to_string()]))?;
        Ok(began.elapsed().as_secs_f64() * 1e9)
    };
    let line = |(case, about): (&str, &str)| {
        let least = |calls| {
            let all = (0..RUNS).map(|_| timed(case, calls)).collect::<Outcome<Vec<f64>>>()?;
            Ok::<f64, String>(all.into_iter().fold(f64::INFINITY, f64::min))
        };
        let each = (least(2 * CALLS)? - least(CALLS)?) / f64::from(CALLS);
        let what = format!("on the way of a request, {case}");
        Ok(Line::new(what, each, "ns/request", Bar::AtMost(BAR)).note(about.to_owned()))
    };
    CASES.into_iter().map(line).collect()
}
