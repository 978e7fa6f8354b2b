//! A real site with and without Seawall in front: WordPress, php-fpm and MariaDB from Debian.
//!
//! Separate from the tests because it installs packages and takes minutes. Everything it starts
//! lives in a scratch folder under the target folder with ports and sockets of its own, and ends
//! with it; the load is wrk on loopback, bounded in connections and time.
//!
//! It deliberately does **not** tune the site: three PHP workers and Debian's WordPress, as a small
//! machine would run them.

mod archive;
mod checks;
pub(crate) mod client;
mod load;
mod memory;
pub(crate) mod readers;
mod stack;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{build_seawall, certificate, random_hex, scratch};
use crate::table::Table;
use crate::{Outcome, setup};

use self::checks::Check;
use self::load::Phase;
use self::memory::Cage;
use self::stack::{Front, Stack};

/// Memory for WordPress, MariaDB, nginx and Seawall together.
const MEMORY_BYTES: u64 = 1 << 30;

/// The part that is tried with and without Seawall.
const READERS: &str = "readers";

struct Options {
    seconds: u64,
    json: bool,
    without_only: bool,
    keep: bool,
    /// Parts of it; none: all.
    only: Vec<String>,
    /// A program to try instead of building one.
    program: Option<PathBuf>,
}

/// What was seen with one thing in front.
struct Side {
    name: &'static str,
    checks: Vec<Check>,
    peace: Phase,
    flood: Phase,
}

/// Runs both sides and prints them.
///
/// # Errors
/// When something cannot be started, a check fails, readers with Seawall are not served, or the
/// memory limit was too tight.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    setup::real_site()?;
    let program = match &options.program {
        _ if options.without_only => None,
        Some(program) => Some(program.clone()),
        None => Some(build_seawall(root)?),
    };
    let folder = scratch(root, "real-site")?;
    certificate(&folder)?;
    let cage = Cage::new(MEMORY_BYTES);
    eprintln!("memory: {}", cage.about());

    eprintln!("WordPress is installed with {} posts", stack::POSTS);
    let token = random_hex(12)?;
    let mut stack = Stack::start(&folder, &token, &cage)?;
    let wants = |name: &str| match options.only.as_slice() {
        [] => name != archive::NOTED,
        only => only.iter().any(|only| only == name),
    };
    let mut table = Table::default();
    if let Some(program) = &program {
        let (cage, token, stack) = (&cage, token.as_str(), &mut stack);
        let mut place = archive::Place { root, program, cage, stack, token };
        archive::run(&mut place, &wants, &mut table)?;
    }
    stack.stop_seawall();
    let sides = if wants(READERS) {
        sides(root, &mut stack, program.as_deref(), &cage, &options)?
    } else {
        Vec::new()
    };
    let peak = cage.peak_bytes(&stack.process_ids());
    let kills = cage.oom_kills();
    drop(stack);
    drop(cage);

    let report = report(&sides, &table, peak, kills);
    if options.json {
        println!("{report}");
    } else {
        println!("{table}");
        print(&sides, peak, kills);
    }
    if !options.keep {
        let _ = std::fs::remove_dir_all(&folder);
    }
    verdict(&sides, &table, kills)
}

/// Both sides.
fn sides(
    root: &Path,
    stack: &mut Stack,
    program: Option<&Path>,
    cage: &Cage,
    options: &Options,
) -> Outcome<Vec<Side>> {
    let mut sides = vec![side("without", stack.origin_port(), stack, options)?];
    if let Some(program) = program {
        let front = Front { program, state: "state", origin: None, plain: None };
        let port = stack.start_seawall(root, &front, cage)?;
        sides.push(side("with", port, stack, options)?);
    }
    Ok(sides)
}

/// Everything that is asked of one side.
fn side(name: &'static str, port: u16, stack: &Stack, options: &Options) -> Outcome<Side> {
    let length = Duration::from_secs(options.seconds);
    eprintln!("{name} Seawall: checks");
    let checks = checks::run(name, port, stack)?;
    for check in &checks {
        eprintln!("  {check}");
    }
    eprintln!("{name} Seawall: readers in peace, {} s", options.seconds);
    let peace = load::peace(port, stack, length)?;
    eprintln!("{name} Seawall: readers beside 64 connections of load, {} s", options.seconds);
    let flood = load::flood(port, stack, length)?;
    Ok(Side { name, checks, peace, flood })
}

fn verdict(sides: &[Side], table: &Table, kills: Option<u64>) -> Outcome {
    let mut wrong = Vec::new();
    if table.missed() > 0 {
        wrong.push(format!("{} bars of the archive are missed", table.missed()));
    }
    for side in sides {
        let failed = side.checks.iter().filter(|check| check.problem.is_some()).count();
        if failed > 0 {
            wrong.push(format!("{failed} checks failed {} Seawall", side.name));
        }
        if side.name == "with" && side.flood.share_served() < 0.99 {
            let share = side.flood.share_served() * 100.0;
            wrong.push(format!("under load only {share:.1} % of page views were served"));
        }
    }
    if kills.is_some_and(|kills| kills > 0) {
        wrong.push("the kernel killed a process for want of memory".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

fn print(sides: &[Side], peak: u64, kills: Option<u64>) {
    let told = kills.map_or("not counted".to_owned(), |kills| kills.to_string());
    println!("peak memory of all servers {} MiB, out-of-memory kills: {told}", peak >> 20);
    if sides.is_empty() {
        return;
    }
    let row = |name: &str, cell: &dyn Fn(&Side) -> String| {
        let cells: Vec<String> = sides.iter().map(|side| format!("{:>22}", cell(side))).collect();
        println!("{name:<34}{}", cells.join(""));
    };
    let latency = |phase: &Phase| {
        format!(
            "{:.0} / {:.0} / {:.0}",
            phase.percentile(50),
            phase.percentile(95),
            phase.percentile(99)
        )
    };
    let views =
        |phase: &Phase| format!("{} ({:.1} %)", phase.served(), phase.share_served() * 100.0);
    row("", &|side| format!("{} Seawall", side.name));
    row("checks passed", &|side| {
        let passed = side.checks.iter().filter(|check| check.problem.is_none()).count();
        format!("{passed} of {}", side.checks.len())
    });
    row("peace: page views served", &|side| views(&side.peace));
    row("peace: p50 / p95 / p99 ms", &|side| latency(&side.peace));
    row("load: page views served", &|side| views(&side.flood));
    row("load: p50 / p95 / p99 ms", &|side| latency(&side.flood));
    row("load: answers to it per second", &|side| format!("{:.0}", side.flood.load_per_second));
    row("load: of them not 2xx per second", &|side| {
        format!("{:.0}", side.flood.load_refused_per_second)
    });
    row("load: requests at WordPress per s", &|side| {
        format!("{:.1}", side.flood.origin_per_second)
    });
    for side in sides {
        for check in side.checks.iter().filter(|check| check.problem.is_some()) {
            println!("{} Seawall: {check}", side.name);
        }
    }
}

fn report(sides: &[Side], table: &Table, peak: u64, kills: Option<u64>) -> Value {
    let mut report =
        json!({ "peak_memory_bytes": peak, "oom_kills": kills, "archive": table.json() });
    for side in sides {
        let checks: Vec<Value> = side.checks.iter().map(Check::json).collect();
        report[side.name] =
            json!({ "checks": checks, "peace": side.peace.json(), "load": side.flood.json() });
    }
    report
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options {
        seconds: 20,
        json: false,
        without_only: false,
        keep: false,
        only: Vec::new(),
        program: None,
    };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "--seconds" => {
                let value = rest.next().and_then(|value| value.parse().ok());
                let value = value.filter(|value| (5..=300).contains(value));
                options.seconds = value.ok_or("`--seconds` wants a number from 5 to 300")?;
            }
            "--json" => options.json = true,
            "--without-only" => options.without_only = true,
            "--program" => {
                let program = rest.next().ok_or("`--program` wants the path of a built seawall")?;
                options.program = Some(PathBuf::from(program));
            }
            "--only" => {
                let known =
                    |name: &&String| *name == READERS || archive::NAMES.contains(&name.as_str());
                let named = rest.next().filter(known).cloned();
                options.only.push(named.ok_or_else(|| {
                    format!("`--only` wants {READERS} or one of {}", archive::NAMES.join(", "))
                })?);
            }
            "--keep" => options.keep = true,
            other => return Err(format!("real-site does not know `{other}`")),
        }
    }
    Ok(options)
}
