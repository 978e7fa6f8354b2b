//! Instructions per call of what every request passes through.
//!
//! Separate from the loads because it needs no server and no quiet machine: valgrind counts the
//! same whatever else runs, so a change of one per cent can be seen. Each case is an example of the
//! crate it measures and is run twice, the second time with twice as many calls: the difference is
//! the calls alone. It deliberately says nothing about time: caches and branch prediction are not
//! counted.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{build_example, output};
use crate::{Outcome, setup};

/// Calls in the first run; twice as many in the second.
const CALLS: u64 = 2000;

/// By how much a count may rise over the one on file, in per cent. glibc picks its `memcpy` by the
/// processor, so that another machine counts a little differently.
const TOLERANCE_PERCENT: u64 = 5;

/// What becomes of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is printed.
    Print,
    /// It is held against the one on file.
    Check,
}

/// One call that is counted.
struct Case {
    package: &'static str,
    example: &'static str,
    name: &'static str,
    about: &'static str,
    /// Instructions a call on file. Whoever makes it dearer for a good reason writes the new count
    /// here, and the reason into the commit; whoever makes it cheaper writes that down too.
    on_file: u64,
}

const CASES: &[Case] = &[
    case("seawall-wire", "count_wire", "head", "HTTP/1 head of a browser", 5_500),
    case("seawall-wire", "count_wire", "hello", "ClientHello of a browser, with JA4", 25_966),
    case("seawall-decide", "count_decide", "decide", "decide(), held page, two routes", 723),
    case("seawall-decide", "count_decide", "refused", "the same, beyond the budget", 754),
    case("seawall-decide", "count_attributes", "attributes", "fifteen values of a request", 8_068),
    case("seawall-decide", "count_attributes", "match", "sixteen signatures, none met", 369),
    case("seawall-detect", "count_observe", "warm", "a request of a known browser observed", 2_064),
    case("seawall-detect", "count_observe", "new", "one that is new in every attribute", 2_093),
    case("seawall-edge", "count_heard", "nobody", "what the record hears of a stranger", 16),
    case("seawall-edge", "count_heard", "known", "the same of who is signed in", 236),
    case("seawall-cache", "count_cache", "hit", "lookup, reuse and choice of a held page", 1_348),
    case("seawall-cache", "count_cache", "cache-control", "Cache-Control of a response", 1_971),
];

const fn case(
    package: &'static str,
    example: &'static str,
    name: &'static str,
    about: &'static str,
    on_file: u64,
) -> Case {
    Case { package, example, name, about, on_file }
}

/// Counts every case and prints it; the values are for `--json`.
///
/// # Errors
/// When an example does not build or valgrind fails, and with [`Mode::Check`] when a count has
/// risen by more than is tolerated.
pub(super) fn run(root: &Path, mode: Mode) -> Outcome<Vec<Value>> {
    setup::instructions()?;
    let (mut report, mut risen) = (Vec::new(), Vec::new());
    for case in CASES {
        let program = build_example(root, case.package, case.example)?;
        let (once, twice) = (count(&program, case, CALLS)?, count(&program, case, 2 * CALLS)?);
        let each = twice.saturating_sub(once) / CALLS;
        let change = Change::of(each, case.on_file);
        let note = if mode == Mode::Check { change.note(case.on_file) } else { String::new() };
        eprintln!("{:<14} {:<42} {each:>7} instructions{note}", case.name, case.about);
        if change == Change::Risen {
            risen.push(case.name);
        }
        report.push(json!({
            "name": case.name, "about": case.about, "unit": "instructions", "seawall": each,
            "on_file": case.on_file,
        }));
    }
    if mode == Mode::Check && !risen.is_empty() {
        return Err(format!(
            "{} cost more than {TOLERANCE_PERCENT} % above the count on file; make it cheaper, or \
             write the new count into xtask/src/bench/instructions.rs and say why",
            risen.join(", ")
        ));
    }
    Ok(report)
}

/// How a count lies to the one on file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Within,
    Risen,
    Fallen,
}

impl Change {
    fn of(counted: u64, on_file: u64) -> Self {
        let tolerated = on_file * TOLERANCE_PERCENT / 100;
        if counted > on_file + tolerated {
            Self::Risen
        } else if counted < on_file - tolerated {
            Self::Fallen
        } else {
            Self::Within
        }
    }

    fn note(self, on_file: u64) -> String {
        match self {
            Self::Within => format!("  (on file {on_file})"),
            Self::Risen => format!("  RISEN from {on_file}"),
            Self::Fallen => format!("  fallen from {on_file}: write it down"),
        }
    }
}

fn count(program: &Path, case: &Case, calls: u64) -> Outcome<u64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(program).args([case.name, &calls.to_string()]);
    let said = output(&mut command)?.stderr;
    let said = String::from_utf8_lossy(&said);
    collected(&said).ok_or_else(|| format!("valgrind does not say what it collected: {said}"))
}

/// Reads `==1== Collected : 12345`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{CASES, Change, collected};

    #[test]
    fn a_rise_beyond_the_tolerance_is_one_and_a_fall_is_seen() {
        for (counted, expected) in [
            (1000, Change::Within),
            (1050, Change::Within),
            (1051, Change::Risen),
            (950, Change::Within),
            (949, Change::Fallen),
            (0, Change::Fallen),
        ] {
            assert_eq!(Change::of(counted, 1000), expected, "{counted}");
        }
        assert!(CASES.iter().all(|case| case.on_file > 0), "a case without a count guards nothing");
    }

    #[test]
    fn valgrinds_summary_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 2040100\n==7== \n";
        assert_eq!(collected(said), Some(2_040_100));
        assert_eq!(collected("==7== error"), None);
    }
}
