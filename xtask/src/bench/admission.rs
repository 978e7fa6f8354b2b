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

use serde_json::json;

use crate::process::{build_seawall, certificate, scratch, write};
use crate::table::{Line, Table};
use crate::{Outcome, setup};

/// What the command line asks for.
struct Options {
    only: Option<String>,
    /// How long floods last.
    seconds: u64,
    /// How many addresses are tracked.
    addresses: u64,
    check: bool,
    json: bool,
    program: Option<PathBuf>,
}

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

type Row = fn(&Scene<'_>) -> Outcome<Vec<Line>>;

const ROWS: &[(&str, Row)] = &[
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
];

/// Measures what `arguments` ask for, prints it and writes `target/bench-admission/result.json`.
///
/// # Errors
/// When a row cannot be measured, and with `--check` when a bar is missed.
pub(super) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    setup::admission()?;
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build_seawall(root)?,
    };
    let folder = scratch(root, "bench-admission")?;
    certificate(&folder)?;
    let scene =
        Scene { root, folder, program, seconds: options.seconds, addresses: options.addresses };
    let mut table = Table::default();
    for (name, row) in ROWS {
        if options.only.as_deref().is_some_and(|only| only != *name) {
            continue;
        }
        eprintln!("measuring {name}");
        table.extend(name, row(&scene).map_err(|error| format!("{name}: {error}"))?);
    }
    let result = json!({ "conditions": conditions(), "rows": table.json() });
    write(&scene.folder.join("result.json"), &format!("{result:#}\n"))?;
    if options.json {
        eprintln!("{table}");
        println!("{result:#}");
    } else {
        println!("{table}");
    }
    match table.missed() {
        0 => Ok(()),
        missed if options.check => Err(format!("{missed} bars are missed")),
        missed => {
            eprintln!("{missed} bars are missed");
            Ok(())
        }
    }
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

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        only: None,
        seconds: 60,
        addresses: 10_000_000,
        check: false,
        json: false,
        program: None,
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "--only" => {
                let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
                let named = rest.next().filter(|name| names.contains(&name.as_str()));
                let wants = || format!("`--only` wants one of {}", names.join(", "));
                options.only = Some(named.cloned().ok_or_else(wants)?);
            }
            "--seconds" => {
                let seconds = rest.next().and_then(|seconds| seconds.parse().ok());
                let seconds = seconds.filter(|seconds| (30..=300).contains(seconds));
                options.seconds = seconds.ok_or("`--seconds` wants a number from 30 to 300")?;
            }
            "--addresses" => {
                let count = rest.next().and_then(|count| count.parse().ok());
                let count = count.filter(|count| (10_000..=16_000_000).contains(count));
                options.addresses = count.ok_or("`--addresses` wants 10000 to 16000000")?;
            }
            "--program" => {
                let program = rest.next().ok_or("`--program` wants the path of a built seawall")?;
                options.program = Some(PathBuf::from(program));
            }
            "--check" => options.check = true,
            "--json" => options.json = true,
            other => return Err(format!("bench admission does not know `{other}`")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read =
            |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let found = read("--only flood --seconds 30 --check").expect("these flags exist");
        assert_eq!((found.only.as_deref(), found.seconds), (Some("flood"), 30));
        assert!(found.check && !found.json);
        for wrong in ["--only", "--only deluge", "--seconds 5", "--seconds", "--speed"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
