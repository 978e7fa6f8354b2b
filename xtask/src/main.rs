//! The project's own tasks:
//! `cargo xtask ci | tidy | sim | pages | setup | bench | differential | real-site`.
//!
//! A separate program and not a shell script, so that a bare machine with Rust can run it and so
//! that it is checked like the rest. It deliberately does **not** touch the network (but for
//! installing what it needs) and shares no code with the product: it judges it from outside.
//!
//! Read next: [`ci`] for what a push must pass, [`tidy`] for the rules no compiler enforces.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task runner speaks to the terminal; it has no log"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "tasks time real programs and wait for them; nothing here is replayed"
)]

mod bench;
mod ci;
mod differential;
mod evidence;
mod pages;
mod process;
mod setup;
mod sim;
mod site;
mod table;
mod tidy;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a task ends with: the message says what happened, why and what to do.
type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (task, rest) = match arguments.split_first() {
        Some((task, rest)) => (task.as_str(), rest),
        None => ("help", &[][..]),
    };
    let root = repository();
    let outcome = match task {
        "ci" => ci::run(&root, rest),
        "tidy" => tidy::run(&root),
        "pages" => pages::run(&root, rest),
        "sim" => sim::run(&root, rest),
        "setup" => setup::run(rest),
        "bench" => bench::run(&root, rest),
        "differential" => differential::run(&root, rest),
        "real-site" => site::run(&root, rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        other => {
            eprintln!("error: there is no task `{other}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// The folder that holds the workspace: the parent of this package.
fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

const USAGE: &str = "\
usage: cargo xtask TASK

  ci         [--only STEP]                 everything a push must pass
  tidy                                     the rules that no compiler enforces
  sim        [--scenario A4,B1] [--seed N | --seeds K | --seeds N..M] [--scale F] [--cold] [--trace] [--json]
             [--without cache|admission|signatures|challenge|all] [--check] [--list]
                                           attacks and surges on a virtual clock, against their bars;
                                           D5, D50 and D500 are months of ordinary days
  pages      [--program FILE]              curl and a browser in front of Seawall
  setup      [ci|pages|bench|real-site|all]
                                           install what is missing, or name it
  bench      [--pairs N] [--seconds N] [--only NAME] [--json]
             [--rivals-only | --program FILE | --instructions [--check]]
                                           CPU per request against nginx and HAProxy
  bench admission [--only ROW] [--seconds N] [--addresses N] [--check] [--json] [--program FILE]
                                           what a flood costs readers and the origin
  bench archive [--only many|handbook] [--urls N] [--check] [--json] [--program FILE]
                                           what the copy of a site takes, and whether it is right
  bench record [--only incident|cost|in-time] [--hours N] [--rate N] [--check] [--json] [--program FILE]
                                           what the record of an incident takes and costs
  differential [--seed N] [--count N]      HTTP/1 framing against nginx and HAProxy
  real-site  [--only NAME]... [--seconds N] [--json] [--keep] [--without-only | --program FILE]
                                           WordPress with and without Seawall in front, and
                                           its archive when it is in trouble";
