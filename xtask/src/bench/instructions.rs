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

use crate::Outcome;
use crate::process::{output, target, visible};

/// Calls in the first run; twice as many in the second.
const CALLS: u64 = 2000;

/// One call that is counted.
struct Case {
    package: &'static str,
    example: &'static str,
    name: &'static str,
    about: &'static str,
}

const CASES: &[Case] = &[
    case("seawall-wire", "count_wire", "head", "HTTP/1 head of a browser"),
    case("seawall-wire", "count_wire", "hello", "ClientHello of a browser, with JA4"),
    case("seawall-decide", "count_decide", "decide", "decide(), held page, two routes"),
    case("seawall-cache", "count_cache", "hit", "lookup, reuse and choice of a held page"),
    case("seawall-cache", "count_cache", "cache-control", "Cache-Control of a response"),
];

const fn case(
    package: &'static str,
    example: &'static str,
    name: &'static str,
    about: &'static str,
) -> Case {
    Case { package, example, name, about }
}

/// Counts every case and prints it; the values are for `--json`.
///
/// # Errors
/// When an example does not build or valgrind fails.
pub(crate) fn run(root: &Path) -> Outcome<Vec<Value>> {
    let mut report = Vec::new();
    for case in CASES {
        visible(
            Command::new("cargo")
                .args(["build", "--release", "--locked", "--quiet"])
                .args(["--package", case.package, "--example", case.example])
                .current_dir(root),
        )?;
        let program = target(root).join("release/examples").join(case.example);
        let (once, twice) = (count(&program, case, CALLS)?, count(&program, case, 2 * CALLS)?);
        let each = twice.saturating_sub(once) / CALLS;
        eprintln!("{:<14} {:<42} {each:>7} instructions", case.name, case.about);
        report.push(json!({
            "name": case.name, "about": case.about, "unit": "instructions", "seawall": each,
        }));
    }
    Ok(report)
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
    use super::collected;

    #[test]
    fn valgrinds_summary_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 2040100\n==7== \n";
        assert_eq!(collected(said), Some(2_040_100));
        assert_eq!(collected("==7== error"), None);
    }
}
