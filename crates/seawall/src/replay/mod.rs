//! `seawall replay LOG…`: what the detector would have seen and done on access logs.
//!
//! How somebody tries Seawall before installing it: nothing is changed, nothing is sent anywhere, and no
//! address leaves the machine. Read next: `drive`.

mod clients;
mod drive;
mod line;
mod page;
mod source;
mod story;
mod tell;

use std::collections::HashMap;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use seawall_model::WallTime;

use self::drive::{Drive, host_of};
use self::line::LogRequest;
use self::source::{Next, Source};
use self::story::Story;
use crate::Done;
use crate::figures::grouped;
use crate::output::{self, Failure, say};

/// What `replay` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the Common and Combined Log Format (Apache, nginx) and JSON (Seawall, Caddy, nginx), plain or\n\
    packed with gzip, xz or zstd; `-` is standard input. Several files are put in order of time.\n\
    Nothing is changed, nothing is sent anywhere, and no address is printed.\n\n\
    Examples:\n  \
        seawall replay /var/log/nginx/access.log\n  \
        seawall replay /var/log/nginx/access.log* --html replay.html\n  \
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Replays logs.
///
/// # Errors
/// A failure if a log cannot be read, or no line of it is a request.
pub(crate) fn run(args: &Args) -> Done {
    let mut logs = Vec::new();
    for path in &args.logs {
        logs.push(Log::open(path).map_err(|error| unreadable(path, &error))?);
    }
    // By time, whatever the order they were named in: `access.log` comes before `access.log.1`.
    logs.sort_by_key(|log| log.first);
    let own_host = args.host.clone().or_else(|| guess_host(&logs));
    let story = replay(logs, own_host, &mut Progress::new(args.json))?;
    if let Some(path) = &args.html {
        write_page(path, &story)?;
    }
    if args.json {
        return output::json(&tell::json(&story));
    }
    output::data(tell::text(&story, width()).trim_end())
}

/// Drives all logs through the detector.
fn replay(
    logs: Vec<Log>,
    own_host: Option<String>,
    progress: &mut Progress,
) -> Result<Story, Failure> {
    let mut drive = Drive::new(own_host);
    let (mut lines, mut skipped) = (0, 0);
    let files: Vec<String> = logs.iter().map(|log| log.path.display().to_string()).collect();
    let whole = logs.iter().map(|log| log.source.size).sum::<Option<u64>>();
    let mut before = 0;
    for mut log in logs {
        lines += log.peeked_lines;
        skipped += log.peeked_lines - log.peeked.len() as u64;
        for request in std::mem::take(&mut log.peeked) {
            drive.request(request);
        }
        loop {
            let request = match log.source.next().map_err(|error| unreadable(&log.path, &error))? {
                Next::End => break,
                Next::TooLong => None,
                Next::Line(line) => line::read(line),
            };
            lines += 1;
            match request {
                Some(request) => drive.request(request),
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
    let mut story = drive.finish();
    story.files = files;
    story.lines = lines;
    story.skipped = skipped;
    Ok(story)
}

/// A log of which the beginning was read, to know when it begins.
struct Log {
    path: PathBuf,
    source: Source,
    first: WallTime,
    peeked: Vec<LogRequest>,
    peeked_lines: u64,
}

impl Log {
    fn open(path: &Path) -> io::Result<Self> {
        let mut source = Source::open(path)?;
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
        Ok(Self { path: path.to_owned(), source, first, peeked, peeked_lines })
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

const PEEK_LINES: u64 = 5_000;
const PROGRESS_LINES: u64 = 20_000;
