//! What the archive costs: a million URLs, and a real site of thousands of pages.
//!
//! Separate from the other cases because nothing is loaded here: the questions are how long it takes,
//! what it holds in memory and on disk, and whether what comes back is what the origin had. A missed
//! bar is printed and, as everywhere here, an error only with `--check`.

mod handbook;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{bound, build_seawall, output, scratch, target, visible};
use crate::{Outcome, setup};

/// What the command line asks for.
struct Options {
    only: Option<String>,
    urls: u64,
    check: bool,
    program: Option<PathBuf>,
}

/// One figure, and what it may be at most.
struct Line {
    text: String,
    is_met: Option<bool>,
}

impl Line {
    fn at_most(what: &str, found: f64, bar: f64, unit: &str) -> Self {
        let text = format!("{what}: {found:.1} {unit} (bar {bar} {unit})");
        Self { text, is_met: Some(found <= bar) }
    }

    fn told(text: String) -> Self {
        Self { text, is_met: None }
    }
}

/// Measures what `arguments` ask for and prints it.
///
/// # Errors
/// When something cannot be started or is wrong; with `--check` when a bar is missed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Outcome {
    let options = options(arguments)?;
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    let mut lines = Vec::new();
    if wanted("many") {
        lines.extend(many(root, options.urls)?);
    }
    if wanted("handbook") {
        setup::archive()?;
        let program = match &options.program {
            Some(program) => program.clone(),
            None => build_seawall(root)?,
        };
        lines.extend(handbook::run(root, &program)?);
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load at the end {}", load.trim());
    for line in &lines {
        let verdict = match line.is_met {
            Some(true) => "met   ",
            Some(false) => "MISSED",
            None => "      ",
        };
        println!("{verdict} {}", line.text);
    }
    let missed = lines.iter().filter(|line| line.is_met == Some(false)).count();
    if options.check && missed > 0 { Err(format!("{missed} bars are missed")) } else { Ok(()) }
}

/// An index of so many URLs: made by one process, asked by another.
fn many(root: &Path, urls: u64) -> Outcome<Vec<Line>> {
    let build = ["build", "--release", "--locked", "-p", "seawall-archive", "--example", "many"];
    visible(Command::new("cargo").args(build).current_dir(root))?;
    let program = target(root).join("release/examples/many").to_string_lossy().into_owned();
    let folder = scratch(root, "bench-archive-many")?;
    let dir = folder.join("archive");
    let command = |what: &str| {
        let mut command = bound(&program);
        command.arg(what).arg(&dir).arg(urls.to_string());
        command
    };
    eprintln!("many: {urls} URLs are kept, which takes minutes");
    // It ends as a kill would end it, so its exit status says nothing.
    let filled = command("fill").output().map_err(|error| format!("cannot run it: {error}"))?;
    let filled = json(&filled.stdout, "filling")?;
    let asked = json(&output(&mut command("ask"))?.stdout, "asking")?;
    let cold = json(&output(&mut command("ask-cold"))?.stdout, "asking a cold one")?;
    let _ = std::fs::remove_dir_all(&folder);
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or(f64::NAN);
    let found = |name: &str| number(&asked, name);
    let most = |what: &str, name: &str, bar: f64, unit: &str| {
        Line::at_most(&format!("many: {what}"), found(name), bar, unit)
    };
    Ok(vec![
        most("which version, p99", "find_p99_us", 200.0, "us"),
        most("a page, read and checked, p99", "lookup_p99_us", 200.0, "us"),
        most("a URL that is not there, p99", "missing_p99_us", 200.0, "us"),
        most("what to fetch next, p99", "due_p99_us", 200.0, "us"),
        most("peak memory, opening and asking", "peak_mib", 100.0, "MiB"),
        Line::at_most("many: peak memory, filling", number(&filled, "fill_peak_mib"), 100.0, "MiB"),
        most("memory of the crawl's counts", "recall_grown_mib", 10.0, "MiB"),
        Line::told(format!("many: {filled}")),
        Line::told(format!("many: files in memory: {asked}")),
        Line::told(format!("many: files not in memory: {cold}")),
    ])
}

fn json(said: &[u8], what: &str) -> Outcome<Value> {
    serde_json::from_slice(said).map_err(|error| format!("{what} {error}"))
}

fn options(arguments: &[String]) -> Outcome<Options> {
    let mut options = Options { only: None, urls: 1_000_000, check: false, program: None };
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        match flag.as_str() {
            "--only" => {
                let named =
                    rest.next().filter(|name| ["many", "handbook"].contains(&name.as_str()));
                options.only = Some(named.cloned().ok_or("`--only` wants many or handbook")?);
            }
            "--urls" => {
                let urls = rest.next().and_then(|urls| urls.parse().ok());
                let urls = urls.filter(|urls| (1_000..=10_000_000).contains(urls));
                options.urls = urls.ok_or("`--urls` wants a number from 1000 to 10000000")?;
            }
            "--program" => {
                let program = rest.next().ok_or("`--program` wants the path of a built seawall")?;
                options.program = Some(PathBuf::from(program));
            }
            "--check" => options.check = true,
            other => return Err(format!("bench archive does not know `{other}`")),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::{Line, options};

    #[test]
    fn flags_are_read_and_nonsense_is_refused() {
        let read =
            |text: &str| options(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let found = read("--only many --urls 5000 --check").expect("these flags exist");
        assert_eq!((found.only.as_deref(), found.urls, found.check), (Some("many"), 5_000, true));
        for wrong in ["--only", "--only few", "--urls 5", "--program", "--speed"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_figure_that_is_none_does_not_meet_its_bar() {
        assert_eq!(Line::at_most("it", 1.0, 1.0, "us").is_met, Some(true));
        assert_eq!(Line::at_most("it", 1.1, 1.0, "us").is_met, Some(false));
        assert_eq!(Line::at_most("it", f64::NAN, 1.0, "us").is_met, Some(false));
    }
}
