//! How soon there is a report of an attack: while it goes on, and when it is over.
//!
//! The real program on loopback, readers of the rehearsal and a minute of a flood of one page. Reports are asked for by
//! the command that anybody would use, ten times a second, from the moment on that `status` says that something is wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{output, random_hex};
use crate::table::{Bar, Line};

use super::super::server::generate_baseline;
use super::Scene;
use super::flood::{SITE, number};
use super::instance::{Instance, Setup};
use super::rehearsal::{Actor, Job, Play};

/// The bar, in seconds.
const DRAFT_S: f64 = 60.0;
/// Until the site has been read once.
const QUIET: Duration = Duration::from_secs(15);
/// Beyond what is planned.
const GRACE: Duration = Duration::from_secs(30);
/// The alarm has to end, and a minute to pass.
const CLOSED_LIMIT: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_millis(100);

/// One attack.
///
/// # Errors
/// When something does not start or ends otherwise than well, or nothing is recorded.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let key = random_hex(16)?;
    let lasts = Duration::from_secs(scene.seconds);
    let job = |target| Job {
        key: &key,
        target,
        quiet: QUIET,
        flood: lasts,
        play: Play::OneUrl,
        certificate: None,
        credentials: &[],
    };
    let site = Actor::start(&scene.program, "site", &job(None))?;
    let setup =
        Setup { name: "record", origin: site.address()?, secret: None, site: SITE, more: "" };
    let prepare = |state: &Path| generate_baseline(&scene.program, state);
    let shield = Instance::start_prepared(&scene.program, &scene.folder, &setup, prepare)?;
    let mut readers = Actor::start(&scene.program, "readers", &job(Some(shield.plain)))?;
    let mut flood = Actor::start(&scene.program, "flood", &job(Some(shield.plain)))?;
    readers.tell("go");
    flood.tell("go");
    let watch = Watch { scene, shield: &shield, begin: Instant::now() + QUIET };
    let seen = watch.attack(lasts)?;
    let flooded = flood.finish(GRACE)?;
    readers.finish(GRACE)?;
    let rate = number(&flooded["requests"]) / lasts.as_secs_f64();
    let after = |at: Option<f64>| at.unwrap_or(f64::NAN);
    let end = lasts.as_secs_f64();
    Ok(vec![
        Line::new("flood", rate, "requests/s", Bar::AtLeast(100.0)),
        Line::new("noticed after", after(seen.alarmed), "s", Bar::AtMost(3.0))
            .note("below 0: readers of a cold cache were an alarm already"),
        Line::new("first HTML after", after(seen.first), "s", Bar::AtMost(end))
            .note(format!("the flood lasts {end} s")),
        Line::new("the longest of its exports", seen.longest, "s", Bar::None)
            .note(format!("{} in the attack", seen.made)),
        Line::new(
            "draft of all of the attack, after its end",
            seen.draft - end,
            "s",
            Bar::AtMost(DRAFT_S),
        ),
        Line::new("no alarm any more, after its end", seen.calm - end, "s", Bar::None),
        Line::new("record closed and sealed, after its end", seen.closed - end, "s", Bar::None),
    ])
}

struct Watch<'a> {
    scene: &'a Scene<'a>,
    shield: &'a Instance,
    /// When the flood begins.
    begin: Instant,
}

/// Moments in seconds since the flood began.
struct Seen {
    alarmed: Option<f64>,
    first: Option<f64>,
    made: usize,
    longest: f64,
    draft: f64,
    calm: f64,
    closed: f64,
}

impl Watch<'_> {
    fn now(&self) -> f64 {
        let now = Instant::now();
        let until = self.begin.saturating_duration_since(now).as_secs_f64();
        now.saturating_duration_since(self.begin).as_secs_f64() - until
    }

    fn is_alarmed(&self) -> bool {
        let status = self.shield.status();
        ["crowd", "mixed", "attack"].contains(&status["state"].as_str().unwrap_or_default())
    }

    /// Looks on until the record is closed.
    fn attack(&self, lasts: Duration) -> Outcome<Seen> {
        let (mut alarmed, mut first, mut made, mut longest) = (None, None, 0, 0.0_f64);
        while self.now() < lasts.as_secs_f64() {
            if alarmed.is_none() && self.is_alarmed() {
                alarmed = Some(self.now());
            }
            if alarmed.is_some() {
                let before = self.now();
                if self.export().is_ok() {
                    first = first.or(Some(self.now()));
                    made += 1;
                    longest = longest.max(self.now() - before);
                }
            }
            thread::sleep(EVERY);
        }
        let record = self.record()?;
        // What the last second of it was is known when the next has passed.
        let whole = number_of_seconds(&record) + 2;
        let limit = Instant::now() + CLOSED_LIMIT;
        self.wait(limit, "its last second", || number_of_seconds(&record) >= whole)?;
        self.export()?;
        let draft = self.now();
        self.wait(limit, "the end of the alarm", || !self.is_alarmed())?;
        let calm = self.now();
        self.wait(limit, "the end of the record", || is_closed(&record))?;
        let closed = self.now();
        self.export()?;
        Ok(Seen { alarmed, first, made, longest, draft, calm, closed })
    }

    fn wait(&self, limit: Instant, what: &str, is_there: impl Fn() -> bool) -> Outcome {
        while Instant::now() < limit {
            if is_there() {
                return Ok(());
            }
            thread::sleep(EVERY);
        }
        Err(format!("{what} was not there {CLOSED_LIMIT:?} after the flood"))
    }

    fn state(&self) -> PathBuf {
        self.scene.folder.join("record/state")
    }

    /// Makes the report of the last incident, as anybody would.
    fn export(&self) -> Outcome {
        let mut command = Command::new(&self.scene.program);
        command.args(["report", "export", "last", "--format", "html", "--state"]);
        command.arg(self.state()).arg("--out").arg(self.scene.folder.join("record.html"));
        output(&mut command).map(drop)
    }

    fn record(&self) -> Outcome<PathBuf> {
        let all = fs::read_dir(self.state().join("incidents"));
        let all = all.map_err(|error| format!("nothing was recorded: {error}"))?;
        let newest = all.flatten().map(|entry| entry.path()).max();
        newest.map(|path| path.join("record.jsonl")).ok_or_else(|| "no record".to_owned())
    }
}

fn number_of_seconds(record: &Path) -> usize {
    let text = fs::read_to_string(record).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("{\"entry\":\"second\"")).count()
}

/// Whether its last seal says so.
fn is_closed(record: &Path) -> bool {
    let text = fs::read_to_string(record).unwrap_or_default();
    let last = text.lines().rfind(|line| line.starts_with("{\"seal\":"));
    last.is_some_and(|seal| seal.contains("\"is_closed\":true"))
}
