//! Reads a record: line by line, bounded, and whatever is in it; and says whether it is what was sealed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal as _, Read as _};
use std::path::Path;

use seawall_report::{
    Collector, DueFinder, Edition, Entry, Moment, RecordFacts, RecordFailure, RecordVerifier,
    Report, VerifiedRecord,
};

use crate::figures::{grouped, readable_size};
use crate::output::{Failure, say};
use crate::pieces::Pieces;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Lines, of every kind.
    pub(super) count: u64,
    /// Lines that are neither entries nor statements of the chain.
    pub(super) unread: u64,
}

/// Hands out every entry of a record, in order.
///
/// # Errors
/// A failure if the file cannot be read, or is no record.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(&Entry) -> Result<(), Failure>,
) -> Result<Lines, Failure> {
    read_through(path, None, |_, entry| each(entry))
}

fn read_through(
    path: &Path,
    mut verifier: Option<&mut RecordVerifier>,
    mut each: impl FnMut(u64, &Entry) -> Result<(), Failure>,
) -> Result<Lines, Failure> {
    let cannot = |error: std::io::Error| cannot_read(path, &error);
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_or(0, |it| it.len());
    let mut progress = Progress::new(size);
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut lines, mut line) = (Lines::default(), Vec::new());
    loop {
        line.clear();
        let limit = MAX_LINE_BYTES + 1;
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(cannot)?;
        // What has no line end is being written, or was torn off: it is no line yet.
        if read == 0 || (line.last() != Some(&b'\n') && (read as u64) < limit) {
            break;
        }
        progress.add(read);
        verifier.iter_mut().for_each(|verifier| verifier.take(&line));
        lines.count += 1;
        if line.last() != Some(&b'\n') {
            lines.unread += 1;
            reader.skip_until(b'\n').map_err(cannot)?;
            continue;
        }
        match serde_json::from_slice::<Entry>(&line) {
            Ok(entry) => each(lines.count, &entry)?,
            Err(_) => lines.unread += u64::from(!is_statement(&line)),
        }
        if lines.count == 1 && lines.unread == 1 {
            return Err(Failure::failed(
                format!("`{}` is no incident record", path.display()),
                "a record is a text file that begins with `{\"entry\":\"begin\"`; `seawall report list` shows those that there are",
            ));
        }
    }
    Ok(lines)
}

/// Sums up a record.
///
/// # Errors
/// As [`read`].
pub(super) fn report(path: &Path, edition: Edition) -> Result<Report, Failure> {
    let mut collector = match edition {
        Edition::Public => Collector::new(),
        Edition::Sealed => Collector::with_addresses(),
    };
    let gone = match edition {
        Edition::Public => BTreeSet::new(),
        Edition::Sealed => said_to_be_gone(path)?,
    };
    let mut verifier = RecordVerifier::new(None);
    let lines = read_through(path, Some(&mut verifier), |number, entry| {
        if !gone.contains(&number) {
            collector.take(entry);
        }
        Ok(())
    })?;
    let verified = verifier.finish();
    let mut report = collector.finish(facts(&lines, verified.as_ref().ok()));
    if let Some(doubt) = doubt(&verified) {
        say(&format!("warning: {doubt}"));
        report.unknown.insert(0, doubt);
    }
    if lines.unread > 0 {
        let sentence = format!(
            "{} lines of the record could not be read: they were damaged, or written by a later version.",
            grouped(lines.unread)
        );
        say(&format!("warning: {sentence}"));
        report.unknown.insert(0, sentence);
    }
    Ok(report)
}

/// Lines of addresses that stand though the record says that they are gone: for a moment while it is written, or as long as the
/// disk is full. Who was vouched for is shown by no export.
fn said_to_be_gone(path: &Path) -> Result<BTreeSet<u64>, Failure> {
    let cannot = |error: std::io::Error| cannot_read(path, &error);
    let mut pieces = Pieces::of(File::open(path).map_err(cannot)?);
    let mut finder = DueFinder::new(Moment::default());
    while let Some(piece) = pieces.next().map_err(cannot)? {
        finder.take(piece);
    }
    Ok(finder.finish().lines.into_iter().collect())
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(
        format!("cannot read `{}`: {error}", path.display()),
        "run the command as the user Seawall runs as",
    )
}

fn facts(lines: &Lines, verified: Option<&VerifiedRecord>) -> RecordFacts {
    let Some(verified) = verified else {
        return RecordFacts { lines: lines.count, ..RecordFacts::default() };
    };
    RecordFacts {
        lines: lines.count,
        segments: verified.segments,
        head: verified.head.map(|head| head.to_string()),
        key: if verified.segments > 0 { verified.key.id() } else { String::new() },
        is_closed: verified.is_closed,
        ..RecordFacts::default()
    }
}

/// Why the record is not to be relied on, or not all of it.
fn doubt(verified: &Result<VerifiedRecord, RecordFailure>) -> Option<String> {
    match verified {
        Err(failure) => Some(format!(
            "The record is not what was sealed: line {} is the first that is not ({}). From there on nothing of it is to be relied on.",
            failure.first_bad, failure.reason
        )),
        Ok(found) if !found.unacknowledged.is_empty() => Some(format!(
            "{} lines were taken out of the record, and no sealed line says why; the first is line {}.",
            found.unacknowledged.len(),
            found.unacknowledged[0]
        )),
        Ok(found) if found.is_closed && found.unsealed_lines > 0 => Some(format!(
            "Nobody sealed the last {} lines of the record, though it was closed before them.",
            grouped(found.unsealed_lines)
        )),
        Ok(found) if found.segments == 0 => Some(
            "Nothing of the record is sealed: whether anybody altered it is not known.".to_owned(),
        ),
        Ok(_) => None,
    }
}

/// Lines of the chain, and what stands for a line that was removed.
fn is_statement(line: &[u8]) -> bool {
    STATEMENTS.iter().any(|start| line.starts_with(start))
}

const STATEMENTS: [&[u8]; 4] =
    [b"{\"digests\":", b"{\"seal\":", b"{\"signature\":", b"{\"removed\":"];
/// As long as a line of a record may be.
const MAX_LINE_BYTES: u64 = 1 << 20;

/// Says how far it is, to people, where it takes long.
struct Progress {
    size: u64,
    done: u64,
    next: u64,
}

impl Progress {
    fn new(size: u64) -> Self {
        let is_shown = size >= LARGE && std::io::stderr().is_terminal();
        Self { size, done: 0, next: if is_shown { 0 } else { u64::MAX } }
    }

    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.done >= self.next {
            say(&format!("read {} of {}", readable_size(self.done), readable_size(self.size)));
            self.next = self.done + LARGE;
        }
    }
}

/// About a second's work.
const LARGE: u64 = 16 << 20;
