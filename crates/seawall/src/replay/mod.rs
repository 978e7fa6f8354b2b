//! `seawall replay LOG…`: what the detector would have seen and done on access logs.
//!
//! How somebody tries Seawall before installing it: nothing is changed, nothing is sent anywhere, and no
//! address leaves the machine. Read next: `drive`; for records, `record`.

mod clients;
mod drive;
mod line;
mod page;
mod record;
mod source;
mod story;
mod tell;

use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use seawall_edge::config::Evidence;
use seawall_edge::recorder::{About, Reconstruction, Recorded};
use seawall_model::WallTime;
use seawall_report::{LogFile, Reconstructed, RecordOrigin};
use seawall_seal::Hasher;

use self::drive::{Drive, host_of};
use self::line::LogRequest;
use self::record::Recorder;
use self::source::{Next, Source};
use self::story::Story;
use crate::Done;
use crate::figures::grouped;
use crate::output::{self, Failure, say};
use crate::{target, times};

/// What `replay` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the Common and Combined Log Format (Apache, nginx) and JSON (Seawall, Caddy, nginx), plain or\n\
    packed with gzip, xz or zstd; `-` is standard input. Several files are put in order of time.\n\
    Nothing is changed, nothing is sent anywhere, and no address is printed.\n\n\
    With --record each incident becomes a record as the shield writes them, marked as\n\
    reconstructed, in a folder that `seawall report --state DIR` reads: networks cut to /24 and /48,\n\
    no full address, names and SHA-256 of the logs. It is sealed with the key of that folder, which\n\
    is made if there is none. What is there already stays as it is.\n\n\
    Examples:\n  \
        seawall replay /var/log/nginx/access.log\n  \
        seawall replay /var/log/nginx/access.log* --html replay.html\n  \
        seawall replay /var/log/nginx/access.log* --record evidence\n  \
        seawall report export last --state evidence --format html --out report.html\n  \
        journalctl -u caddy -o cat | seawall replay -"
)]
pub(crate) struct Args {
    /// Access logs.
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// The site's own host; without it the one that most references name.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Write the same as a page that can be sent and printed.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write a record of each incident below this folder.
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Replays logs.
///
/// # Errors
/// A failure if a log cannot be read, or no line of it is a request.
pub(crate) fn run(args: &Args) -> Done {
    if let Some(dir) = &args.record {
        target::check_owner(dir, "replay")?;
        check_recordable(&args.logs)?;
    }
    let mut logs = Vec::new();
    for path in &args.logs {
        let log = Log::open(path, args.record.is_some());
        logs.push(log.map_err(|error| unreadable(path, &error))?);
    }
    // By time, whatever the order they were named in: `access.log` comes before `access.log.1`.
    logs.sort_by_key(|log| log.first);
    let own_host = args.host.clone().or_else(|| guess_host(&logs));
    let wanted = args.record.as_deref().map(|dir| Wanted::new(dir, &logs)).transpose()?;
    let (seed, recorder) = recorder(wanted, own_host.as_deref());
    let drive = Drive::new(own_host, seed, recorder);
    let (story, recorded) = replay(logs, drive, &mut Progress::new(args.json))?;
    if let Some(path) = &args.html {
        write_page(path, &story)?;
    }
    if args.json {
        output::json(&tell::json(&story, recorded.is_some()))?;
    } else {
        output::data(tell::text(&story, width()).trim_end())?;
    }
    if let (Some(dir), Some(recorded)) = (&args.record, recorded) {
        tell_recorded(dir, &recorded);
    }
    Ok(())
}

/// What a record has to name has to be there when somebody asks for it.
fn check_recordable(logs: &[PathBuf]) -> Done {
    if logs.iter().any(|path| path == Path::new("-")) {
        return Err(Failure::usage(
            "of standard input nothing is recorded: nobody could tell later what the record rests on",
            "write the log to a file, keep it, and name that",
        ));
    }
    if logs.len() > MAX_RECORDED_LOGS {
        return Err(Failure::usage(
            format!(
                "a record names {MAX_RECORDED_LOGS} logs at most, and these are {}",
                logs.len()
            ),
            "name those of the days in question, or put several into one file",
        ));
    }
    Ok(())
}

/// A record that is wanted.
struct Wanted {
    out: Reconstruction,
    from: Reconstructed,
    seed: [u64; 2],
}

impl Wanted {
    fn new(dir: &Path, logs: &[Log]) -> Result<Self, Failure> {
        let out = Reconstruction::begin(dir).map_err(|error| unrecordable(&error))?;
        let logs = logs.iter().filter_map(|log| log.file.clone()).collect();
        let from = Reconstructed { at: times::now().into(), logs };
        Ok(Self { seed: out.seed(&name_of(&from)), out, from })
    }
}

/// Hashes in a record are keyed by what only who has its key knows. Without one the seed is known, which does no harm: nobody
/// who wrote the log knew what it would be read with. Either way the same log tells the same story again.
fn recorder(wanted: Option<Wanted>, own_host: Option<&str>) -> ([u64; 2], Recorder) {
    let (seed, out, reconstructed) = match wanted {
        Some(wanted) => (wanted.seed, Some(wanted.out), Some(wanted.from)),
        None => (SEED, None, None),
    };
    let about = About {
        origin: RecordOrigin::Replay,
        // Of as many digits as a life of the program.
        run: reconstructed.as_ref().map_or(String::new(), |it| name_of(it)[..12].to_owned()),
        reconstructed,
        retention: Evidence::default().retention,
        record_retention: Evidence::default().record_retention,
        ..About::default()
    };
    let sites = own_host.map(str::to_owned).into_iter().collect();
    (seed, Recorder::new((about, sites), seed, out))
}

/// The same for the same logs, so that what was recorded before is found.
fn name_of(from: &Reconstructed) -> String {
    let mut hasher = Hasher::new();
    from.logs.iter().for_each(|log| hasher.update(log.sha256.as_bytes()));
    hasher.finish().to_string()
}

fn tell_recorded(dir: &Path, recorded: &[Recorded]) {
    let new: Vec<_> = recorded.iter().filter(|record| record.is_new).collect();
    for record in recorded.iter().filter(|record| !record.is_new) {
        say(&format!("{} was recorded before, and stays as it is.", record.incident));
    }
    match new.last() {
        None if recorded.is_empty() => say("Nothing is recorded: there is no incident in it."),
        None => {}
        Some(last) => say(&format!(
            "Recorded, and sealed: {} in `{}`. Next:\n  seawall report show {} --state {}",
            counted(new.len()),
            dir.display(),
            last.incident,
            dir.display()
        )),
    }
}

fn counted(records: usize) -> String {
    if records == 1 { "1 incident".to_owned() } else { format!("{records} incidents") }
}

fn unrecordable(error: &io::Error) -> Failure {
    Failure::failed(
        format!("the record cannot be written, and nothing is kept of it: {error}"),
        "name a folder that you may write to, on a disk with room",
    )
}

/// Drives all logs through the detector.
fn replay(
    logs: Vec<Log>,
    mut drive: Drive,
    progress: &mut Progress,
) -> Result<(Story, Option<Vec<Recorded>>), Failure> {
    let (mut lines, mut skipped) = (0, 0);
    let files: Vec<String> = logs.iter().map(|log| log.path.display().to_string()).collect();
    let whole = logs.iter().map(|log| log.source.size).sum::<Option<u64>>();
    let mut before = 0;
    for mut log in logs {
        lines += log.peeked_lines;
        skipped += log.peeked_lines - log.peeked.len() as u64;
        for request in std::mem::take(&mut log.peeked) {
            drive.request(request).map_err(|error| unrecordable(&error))?;
        }
        loop {
            let request = match log.source.next().map_err(|error| unreadable(&log.path, &error))? {
                Next::End => break,
                Next::TooLong => None,
                Next::Line(line) => line::read(line),
            };
            lines += 1;
            match request {
                Some(request) => {
                    drive.request(request).map_err(|error| unrecordable(&error))?;
                }
                None => skipped += 1,
            }
            if lines.is_multiple_of(PROGRESS_LINES) {
                let read = before + log.source.read.load(Ordering::Relaxed);
                progress.show(lines, read, whole, drive.story.to);
            }
        }
        before += log.source.read.load(Ordering::Relaxed);
    }
    progress.end();
    if lines == skipped {
        return Err(Failure::failed(
            format!("none of {lines} lines is a request in a form that is known"),
            "`seawall replay --help` names the forms; is this an access log?",
        ));
    }
    let (mut story, recorded) = drive.finish().map_err(|error| unrecordable(&error))?;
    story.files = files;
    story.lines = lines;
    story.skipped = skipped;
    Ok((story, recorded))
}

/// A log of which the beginning was read, to know when it begins.
struct Log {
    path: PathBuf,
    source: Source,
    /// What was read, if that has to be known.
    file: Option<LogFile>,
    first: WallTime,
    peeked: Vec<LogRequest>,
    peeked_lines: u64,
}

impl Log {
    fn open(path: &Path, is_recorded: bool) -> io::Result<Self> {
        let (mut source, file) = if is_recorded {
            let (source, file) = Source::fixed(path)?;
            (source, Some(file))
        } else {
            (Source::open(path)?, None)
        };
        let mut peeked = Vec::new();
        let mut peeked_lines = 0;
        while peeked_lines < PEEK_LINES {
            match source.next()? {
                Next::End => break,
                Next::TooLong => {}
                Next::Line(line) => peeked.extend(line::read(line)),
            }
            peeked_lines += 1;
        }
        let first = peeked.iter().map(|request| request.at).min().unwrap_or_default();
        Ok(Self { path: path.to_owned(), source, file, first, peeked, peeked_lines })
    }
}

/// The host that most references name among the first lines: readers come from the site itself.
fn guess_host(logs: &[Log]) -> Option<String> {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for request in logs.iter().flat_map(|log| &log.peeked) {
        if let Some(host) = request.referrer.as_deref().and_then(host_of) {
            *counts.entry(host).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by(|one, other| (one.1, other.0).cmp(&(other.1, one.0)))?;
    Some(most.0.to_owned())
}

fn write_page(path: &Path, story: &Story) -> Done {
    fs::write(path, page::page(story)).map_err(|error| {
        Failure::failed(
            format!("`{}` cannot be written: {error}", path.display()),
            "name a file in a folder that you may write to",
        )
    })?;
    say(&format!("The page is in {}.", path.display()));
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "is the path right? Logs are mostly under /var/log",
        io::ErrorKind::PermissionDenied => {
            "run it as a user who may read logs (group `adm`), or with sudo"
        }
        io::ErrorKind::IsADirectory => "name the files in it",
        io::ErrorKind::NotSeekable => "write the log to a file, keep it, and name that",
        _ => "is the file whole? `gzip -t`, `xz -t` and `zstd -t` tell",
    };
    Failure::failed(format!("`{}` cannot be read: {error}", path.display()), hint)
}

/// A line on the terminal that is written over.
struct Progress {
    is_shown: bool,
    was_shown: bool,
}

impl Progress {
    fn new(is_quiet: bool) -> Self {
        Self { is_shown: !is_quiet && io::stderr().is_terminal(), was_shown: false }
    }

    fn show(&mut self, lines: u64, read: u64, whole: Option<u64>, at: WallTime) {
        if !self.is_shown {
            return;
        }
        self.was_shown = true;
        let share = whole
            .filter(|whole| *whole > 0)
            .map_or(String::new(), |whole| format!(", {} %", (read * 100 / whole).min(100)));
        // Nobody to tell: the work goes on.
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{} lines{share}, at {}",
            grouped(lines),
            tell::moment(at)
        );
    }

    fn end(&self) {
        if self.was_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Columns of the terminal, if `COLUMNS` says so; else what fits everywhere.
fn width() -> usize {
    std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(80)
}

const SEED: [u64; 2] = [0x5ea_0a11, 0x10_95];
const MAX_RECORDED_LOGS: usize = 256;
const PEEK_LINES: u64 = 5_000;
const PROGRESS_LINES: u64 = 20_000;
