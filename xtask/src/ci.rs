//! Everything a push must pass, in one command.
//!
//! Separate from the tasks it calls so that the order and the times are read in one place. Cheap
//! steps come first. It does **not** run benchmarks, long fuzzing or what needs a real site.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::visible;
use crate::{Outcome, differential, evidence, pages, setup, sim, tidy};

/// One step: its name, what it stands for and how it runs.
struct Step {
    name: &'static str,
    run: fn(&Path) -> Outcome,
}

const STEPS: &[Step] = &[
    Step { name: "setup", run: |_| setup::ci() },
    Step { name: "fmt", run: |root| cargo(root, &["fmt", "--all", "--check"], &[]) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "clippy", run: clippy },
    Step { name: "test", run: test },
    Step { name: "evidence", run: evidence::run },
    Step { name: "pages", run: |root| pages::run(root, &[]) },
    Step { name: "differential", run: |root| differential::run(root, &[]) },
    Step { name: "sim", run: |root| sim::run(root, &["--check".to_owned()]) },
    Step { name: "doctest", run: |root| cargo(root, &["test", "--workspace", "--doc"], &[]) },
    Step { name: "doc", run: doc },
    Step { name: "deny", run: deny },
];

/// Runs every step, or the one named after `--only`, and prints how long each took.
///
/// # Errors
/// When a step fails; the remaining ones still run, so that one run shows everything.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let names = STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    let only = match arguments {
        [] => None,
        [flag, name] if flag == "--only" => Some(name.as_str()),
        _ => return Err(format!("ci takes nothing or `--only STEP`; the steps are {names}")),
    };
    if only.is_some_and(|only| STEPS.iter().all(|step| step.name != only)) {
        return Err(format!("ci has no such step; the steps are {names}"));
    }
    let start = Instant::now();
    let mut results: Vec<(&str, Duration, Outcome)> = Vec::new();
    for step in STEPS.iter().filter(|step| only.is_none_or(|only| step.name == only)) {
        println!("\n== {} ==", step.name);
        let began = Instant::now();
        let outcome = (step.run)(root);
        if let Err(message) = &outcome {
            println!("{}: {message}", step.name);
        }
        println!("== {}: {:.1} s ==", step.name, began.elapsed().as_secs_f64());
        results.push((step.name, began.elapsed(), outcome));
        // Without the tools the other steps would only repeat that they are missing.
        if step.name == "setup" && results.iter().any(|(_, _, outcome)| outcome.is_err()) {
            break;
        }
    }
    println!();
    for (name, took, outcome) in &results {
        let word = if outcome.is_ok() { "ok" } else { "FAILED" };
        println!("ci: {name:<12} {word:<6} {:>7.1} s", took.as_secs_f64());
    }
    println!("ci: {:<12} {:<6} {:>7.1} s", "all", "", start.elapsed().as_secs_f64());
    let failed: Vec<&str> =
        results.iter().filter(|(_, _, outcome)| outcome.is_err()).map(|(name, ..)| *name).collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("ci failed in {}", failed.join(", "))) }
}

fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    println!("cargo {}", arguments.join(" "));
    visible(
        Command::new("cargo").args(arguments).current_dir(root).envs(environment.iter().copied()),
    )
}

fn clippy(root: &Path) -> Outcome {
    cargo(
        root,
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        &[],
    )
}

/// nextest where it is installed (it runs every test in a process of its own), else cargo's own.
fn test(root: &Path) -> Outcome {
    let nextest = Command::new("cargo").args(["nextest", "--version"]).current_dir(root).output();
    if nextest.is_ok_and(|nextest| nextest.status.success()) {
        let arguments = ["nextest", "run", "--workspace", "--locked", "--no-fail-fast"];
        return cargo(root, &arguments, &[]);
    }
    let arguments = ["test", "--workspace", "--all-targets", "--locked", "--no-fail-fast"];
    cargo(root, &arguments, &[])
}

fn doc(root: &Path) -> Outcome {
    cargo(
        root,
        &["doc", "--workspace", "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}

fn deny(root: &Path) -> Outcome {
    // Advisories change without this repository changing, so they are not a gate on a push.
    cargo(root, &["deny", "--workspace", "check", "bans", "licenses", "sources"], &[])
}
