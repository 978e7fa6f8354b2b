//! What the incident record takes and costs, and how soon there is a report of it.
//!
//! Separate from the other cases because the question is what is left of an attack of hours, and who could bear to read
//! it. The record is written by the product's own parts in virtual time and read by its own commands; that no second is
//! missing is looked up here, in the file, by who shares no code with it. A missed bar is an error only with `--check`.

mod cost;
mod incident;

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::process::{build_seawall, scratch, write};
use crate::table::{Line, Table};
use crate::{Outcome, setup};

use super::admission;

/// What the command line asks for.
struct Options {
    only: Option<String>,
    /// How long the incident lasts.
    hours: u64,
    /// Requests per second of it.
    rate: u64,
    check: bool,
    json: bool,
    program: Option<PathBuf>,
}

/// What every row needs.
struct Scene<'a> {
    root: &'a Path,
    folder: PathBuf,
    /// The built product.
    program: PathBuf,
    hours: u64,
    rate: u64,
}

type Row = fn(&Scene<'_>) -> Outcome<Vec<Line>>;

const ROWS: &[(&str, Row)] = &[
    ("incident", incident::run),
    ("cost", cost::run),
    ("in-time", |scene| admission::record_in_time(scene.root, &scene.program, &scene.folder)),
];

/// Measures what `arguments` ask for, prints it and writes `target/bench-record/result.json`.
///
/// # Errors
/// When a row cannot be measured, and with `--check` when a bar is missed.
pub(super) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    if wanted("cost") {
        setup::bench()?;
    }
    let program = match &options.program {
        Some(program) => program.clone(),
        None => build_seawall(root)?,
    };
    let folder = scratch(root, "bench-record")?;
    let Options { hours, rate, .. } = options;
    let scene = Scene { root, folder, program, hours, rate };
    let mut table = Table::default();
    for (name, row) in ROWS.iter().filter(|(name, _)| wanted(name)) {
        eprintln!("measuring {name}");
        table.extend(name, row(&scene).map_err(|error| format!("{name}: {error}"))?);
    }
    let result = json!({ "conditions": admission::conditions(), "rows": table.json() });
    write(&scene.folder.join("result.json"), &format!("{result:#}\n"))?;
    if options.json {
        eprintln!("{table}");
        println!("{result:#}");
    } else {
        println!("{}\n{table}", admission::conditions());
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

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options =
        Options { only: None, hours: 9, rate: 5_000, check: false, json: false, program: None };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        let mut number = |most: u64| {
            let value = rest.next().and_then(|value| value.parse::<u64>().ok());
            let value = value.filter(|value| (1..=most).contains(value));
            value.ok_or_else(|| format!("`{flag}` wants a number from 1 to {most}"))
        };
        match flag.as_str() {
            "--hours" => options.hours = number(24)?,
            "--rate" => options.rate = number(20_000)?,
            "--only" => {
                let names: Vec<&str> = ROWS.iter().map(|(name, _)| *name).collect();
                let named = rest.next().filter(|name| names.contains(&name.as_str()));
                let wants = || format!("`--only` wants one of {}", names.join(", "));
                options.only = Some(named.cloned().ok_or_else(wants)?);
            }
            "--program" => {
                let program = rest.next().ok_or("`--program` wants the path of a built seawall")?;
                options.program = Some(PathBuf::from(program));
            }
            "--check" => options.check = true,
            "--json" => options.json = true,
            other => return Err(format!("bench record does not know `{other}`")),
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
        let found = read("--only incident --hours 2 --rate 100 --check").expect("these exist");
        assert_eq!((found.only.as_deref(), found.hours, found.rate), (Some("incident"), 2, 100));
        assert!(found.check && !found.json);
        for wrong in ["--only", "--only all", "--hours 0", "--rate", "--speed"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
