//! An incident of nine hours at 5,000 requests a second: how large its record is, whether a second of it is missing,
//! and what each report of it takes.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::Outcome;
use crate::process::{bound, build_example, output};
use crate::table::{Bar, Line};

use super::Scene;

/// The bars of the record, in millions of bytes and seconds.
const RECORD_MB: f64 = 64.0;
const REPORT_S: f64 = 10.0;
const REPORT_MB: f64 = 100.0;
/// The time before an incident that its record has.
const BEFORE_S: u64 = 900;

/// Records the incident, then makes every report of it.
///
/// # Errors
/// When it is not recorded as one incident, or a command fails.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let state = scene.folder.join("state");
    fs::create_dir_all(&state).map_err(|error| format!("cannot make a state folder: {error}"))?;
    let written = record(scene, &state)?;
    let path = only_record(&state)?;
    let seconds = scene.hours * 3_600;
    let mut lines = about(scene, &written, &path)?;
    let found = Found::read(&path)?;
    lines.extend(found.lines(BEFORE_S + seconds));
    for (name, arguments) in COMMANDS {
        let used = Used::of(scene, name, &path, arguments)?;
        let note = format!("{:.1} s of a processor", used.cpu_s);
        lines.push(Line::new(*name, used.wall_s, "s", Bar::AtMost(REPORT_S)).note(note));
        let what = format!("{name}, memory");
        lines.push(Line::new(what, used.peak_mb, "MB", Bar::AtMost(REPORT_MB)));
    }
    let _ = fs::remove_dir_all(scene.folder.join("out"));
    Ok(lines)
}

/// What is run on the record; `RECORD` and `OUT` stand for its file and a place for what comes out.
const COMMANDS: &[(&str, &[&str])] = &[
    ("verify", &["verify", "RECORD"]),
    ("show", &["report", "show", "RECORD"]),
    ("html", &["report", "export", "RECORD", "--format", "html", "--out", "OUT"]),
    ("pdf", &["report", "export", "RECORD", "--format", "pdf", "--out", "OUT"]),
    ("json", &["report", "export", "RECORD", "--format", "json", "--out", "OUT"]),
    ("csv", &["report", "export", "RECORD", "--format", "csv", "--out", "OUT"]),
    ("stix", &["report", "export", "RECORD", "--format", "stix", "--out", "OUT"]),
    ("misp", &["report", "export", "RECORD", "--format", "misp", "--out", "OUT"]),
    ("nis2", &["report", "export", "RECORD", "--format", "nis2", "--out", "OUT"]),
    (
        "xarf, sealed",
        &["report", "export", "RECORD", "--format", "xarf", "--edition", "sealed", "--out", "OUT"],
    ),
    (
        "html, sealed",
        &["report", "export", "RECORD", "--format", "html", "--edition", "sealed", "--out", "OUT"],
    ),
];

/// Records an incident in virtual time; what the program says of it.
fn record(scene: &Scene<'_>, state: &Path) -> Outcome<Value> {
    let program = build_example(scene.root, "seawall-edge", "record_incident")?;
    eprintln!("{} hours are recorded, which takes some minutes", scene.hours);
    let mut command = bound(&program.to_string_lossy());
    command.arg(state).args([(scene.hours * 3_600).to_string(), scene.rate.to_string()]);
    let said = output(&mut command)?.stdout;
    let said: Value =
        serde_json::from_slice(&said).map_err(|error| format!("it says no JSON ({error})"))?;
    let is_one = said["opened"] == 1 && said["closed"] == 1 && said["is_open"] == false;
    if !is_one {
        return Err(format!("it was not one incident from begin to end: {said}"));
    }
    Ok(said)
}

fn only_record(state: &Path) -> Outcome<PathBuf> {
    let folders = fs::read_dir(state.join("incidents"))
        .map_err(|error| format!("nothing was recorded: {error}"))?;
    let mut all: Vec<PathBuf> =
        folders.flatten().map(|entry| entry.path().join("record.jsonl")).collect();
    match (all.pop(), all.len()) {
        (Some(path), 0) => Ok(path),
        (_, more) => Err(format!("{} records and not one", more + 1)),
    }
}

fn about(scene: &Scene<'_>, written: &Value, path: &Path) -> Outcome<Vec<Line>> {
    let bytes = fs::metadata(path).map_err(|error| format!("there is no record: {error}"))?.len();
    let number = |name: &str| written[name].as_f64().unwrap_or(f64::NAN);
    let note = format!(
        "{} h of {}/s: {} requests, {} met by {} mitigations at once",
        scene.hours, scene.rate, written["requests"], written["met"], written["measures"]
    );
    let ticks = format!(
        "a tick {:.0} us, the longest {:.1} ms",
        number("story_us_per_tick"),
        number("longest_tick_ms")
    );
    Ok(vec![
        Line::new("record", bytes as f64 / 1e6, "MB", Bar::AtMost(RECORD_MB)).note(note),
        Line::new(
            "recording, on the thread that watches",
            number("story_ns_per_request"),
            "ns/request",
            Bar::None,
        )
        .note(ticks),
        Line::new(
            "writing, on a thread of its own",
            number("writer_ns_per_request"),
            "ns/request",
            Bar::None,
        ),
    ])
}

/// What is in the file, by kind of line.
#[derive(Default)]
struct Found {
    /// When each second began, in order.
    seconds: Vec<u64>,
    gaps: u64,
    kinds: Vec<(String, u64, u64)>,
}

impl Found {
    fn read(path: &Path) -> Outcome<Self> {
        let file = File::open(path).map_err(|error| format!("there is no record: {error}"))?;
        let mut found = Self::default();
        for line in BufReader::with_capacity(1 << 20, file).lines() {
            found.take(&line.map_err(|error| format!("the record cannot be read: {error}"))?)?;
        }
        Ok(found)
    }

    fn take(&mut self, line: &str) -> Outcome {
        let entry = line.strip_prefix("{\"entry\":\"").and_then(|rest| rest.split('"').next());
        let kind = entry.unwrap_or("chain");
        match kind {
            "second" => {
                let at = line.split("\"at\":\"").nth(1).and_then(|at| at.split('"').next());
                let at = at.and_then(second_of).ok_or_else(|| format!("no moment in: {line}"))?;
                self.seconds.push(at);
            }
            "gap" => self.gaps += 1,
            _ => {}
        }
        let bytes = line.len() as u64 + 1;
        match self.kinds.iter_mut().find(|(name, _, _)| name == kind) {
            Some((_, lines, sum)) => (*lines, *sum) = (*lines + 1, *sum + bytes),
            None => self.kinds.push((kind.to_owned(), 1, bytes)),
        }
        Ok(())
    }

    fn lines(mut self, least: u64) -> Vec<Line> {
        let missing: u64 =
            self.seconds.windows(2).map(|pair| pair[1].saturating_sub(pair[0] + 1)).sum();
        self.kinds.sort_by_key(|(_, _, bytes)| std::cmp::Reverse(*bytes));
        let mut lines = vec![
            Line::new("seconds", self.seconds.len() as f64, "", Bar::AtLeast(least as f64)),
            Line::new("seconds that are missing", missing as f64, "", Bar::AtMost(0.0)),
            Line::new("gaps", self.gaps as f64, "", Bar::AtMost(0.0)),
        ];
        lines.extend(self.kinds.iter().map(|(kind, count, bytes)| {
            let note = format!("{count} lines of {} bytes", bytes / count);
            Line::new(format!("  of it {kind}"), *bytes as f64 / 1e6, "MB", Bar::None).note(note)
        }));
        lines
    }
}

/// `2026-11-22T10:00:00.000Z` as seconds of its month.
fn second_of(text: &str) -> Option<u64> {
    let part = |from: usize| text.get(from..from + 2)?.parse::<u64>().ok();
    Some(((part(8)? * 24 + part(11)?) * 60 + part(14)?) * 60 + part(17)?)
}

/// What a command took.
struct Used {
    wall_s: f64,
    cpu_s: f64,
    peak_mb: f64,
}

impl Used {
    fn of(scene: &Scene<'_>, name: &str, record: &Path, arguments: &[&str]) -> Outcome<Self> {
        let out = scene.folder.join("out").join(name.replace(", ", "-"));
        fs::create_dir_all(scene.folder.join("out"))
            .map_err(|error| format!("cannot make a folder: {error}"))?;
        let arguments = arguments.iter().map(|&argument| match argument {
            "RECORD" => record.as_os_str(),
            "OUT" => out.as_os_str(),
            other => other.as_ref(),
        });
        let figures = scene.folder.join("used");
        let mut command = bound("python3");
        command.args(["-c", MEASURE]).arg(&figures).arg(&scene.program).args(arguments);
        output(command.stdout(Stdio::null())).map_err(|error| format!("{name}: {error}"))?;
        let said = fs::read_to_string(&figures).unwrap_or_default();
        let numbers: Vec<f64> =
            said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
        match numbers.as_slice() {
            // The system counts kibibytes.
            [wall_s, cpu_s, peak] => {
                Ok(Self { wall_s: *wall_s, cpu_s: *cpu_s, peak_mb: peak * 1_024.0 / 1e6 })
            }
            _ => Err(format!("{name}: what it used is not known")),
        }
    }
}

/// Runs a program and says what it used. What the measuring program itself holds, ten megabytes, is the least it can see.
const MEASURE: &str = "import os, sys, time
began = time.monotonic()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(child, 0)
with open(sys.argv[1], 'w') as file:
    print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss, file=file)
sys.exit(os.waitstatus_to_exitcode(status))
";

#[cfg(test)]
mod tests {
    use super::{Found, second_of};

    #[test]
    fn a_second_that_is_not_there_is_missed() {
        let mut found = Found::default();
        for at in ["09:59:59", "10:00:00", "10:00:02"] {
            let line = format!("{{\"entry\":\"second\",\"at\":\"2026-11-22T{at}.000Z\"}}");
            found.take(&line).expect("it is one");
        }
        found.take("{\"seal\":{}}").expect("any line");
        assert_eq!((found.seconds.len(), found.kinds.len(), found.gaps), (3, 2, 0));
        assert!(found.take("{\"entry\":\"second\"}").is_err());
        let missing = &found.lines(3)[1];
        assert!(format!("{missing:?}").contains("found: 1.0"), "{missing:?}");
        let of = |at: &str| second_of(at).expect("a moment");
        assert_eq!(of("2026-11-23T00:00:00.000Z"), of("2026-11-22T23:59:59.000Z") + 1);
    }
}
