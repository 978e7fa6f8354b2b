//! `seawall report seal`: a copy of a record to keep or hand on, up to its last seal.
//!
//! What is written is checked twice: the record before anything is written, and the copy while it is, because the record
//! may grow or lose addresses meanwhile. Addresses that it says are gone are not copied, though they may still stand in it.
//! Nothing is overwritten, and only its owner can read it.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use seawall_report::{
    DueFinder, Entry, MAX_LINE_BYTES, Moment, RecordVerifier, Remover, VerifiedRecord,
};
use serde_json::json;

use crate::Done;
use crate::figures::{grouped, readable_size};
use crate::output::{self, Failure, say};
use crate::pieces::Pieces;

/// Full addresses in a copy.
#[derive(Default)]
struct Held {
    in_the_open: u64,
    encrypted: u64,
    remove_at: Option<Moment>,
    /// Bytes of all lines.
    bytes: u64,
}

/// Writes the sealed part of the record at `path` to `out`.
///
/// # Errors
/// A failure if the record does not verify, nothing of it is sealed, or `out` is there or cannot be written.
pub(super) fn run(path: &Path, out: &Path, is_json: bool) -> Done {
    let cannot_read = |error: std::io::Error| {
        Failure::failed(
            format!("cannot read `{}`: {error}", path.display()),
            "run the command as the user Seawall runs as",
        )
    };
    let mut record = File::open(path).map_err(cannot_read)?;
    let found = verify(&mut record, path)?;
    let mut finder = DueFinder::new(Moment::default());
    each_sealed(&mut record, &found, |line| {
        finder.take(line);
        Ok(())
    })
    .map_err(cannot_read)?;
    let struck = Remover::new(finder.finish().lines);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let file = opened.map_err(|error| cannot_write(out, &error))?;
    let written = copy(&mut record, struck, file, out, &found);
    if written.is_err() {
        // It was not there before; what is half of a copy is of no use.
        let _ = fs::remove_file(out);
    }
    told(out, &found, &written?, is_json)
}

/// What stands of the record, if all that is sealed is right.
fn verify(record: &mut File, path: &Path) -> Result<VerifiedRecord, Failure> {
    let cannot = |error| {
        Failure::failed(
            format!("cannot read `{}`: {error}", path.display()),
            "check the disk, and look for another copy of the record",
        )
    };
    let (mut verifier, mut pieces) = (RecordVerifier::new(None), Pieces::of(record));
    while let Some(piece) = pieces.next().map_err(cannot)? {
        verifier.take(piece);
    }
    let found = verifier.finish().and_then(|found| match found.complaint() {
        // Lines that nobody sealed, or no end yet, are only left out of the copy.
        Some(complaint) if !found.unacknowledged.is_empty() => Err(complaint),
        _ => Ok(found),
    });
    let found = found.map_err(|failure| {
        Failure::failed(
            format!(
                "the record is not what was sealed, line {}: {}",
                failure.first_bad, failure.reason
            ),
            format!(
                "nothing was written: look for another copy of it; `seawall verify {}` says the same to others",
                path.display()
            ),
        )
    })?;
    if found.head.is_none() {
        return Err(Failure::failed(
            "nothing of the record is sealed yet",
            "it is sealed every minute while the program runs: run it again then",
        ));
    }
    Ok(found)
}

/// Gives `each` the sealed lines one by one, from the first on.
fn each_sealed(
    record: &mut File,
    found: &VerifiedRecord,
    mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    record.rewind()?;
    let (mut reader, mut line) = (BufReader::with_capacity(1 << 16, record), Vec::new());
    for _ in 0..found.sealed_lines {
        line.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
        each(&line)?;
    }
    Ok(())
}

/// Copies the sealed lines without those that are `struck`, and checks what was copied.
fn copy(
    record: &mut File,
    mut struck: Remover,
    file: File,
    out: &Path,
    found: &VerifiedRecord,
) -> Result<Held, Failure> {
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    let mut verifier = RecordVerifier::new(Some(found.key));
    let (mut held, mut kept) = (Held::default(), Vec::new());
    let failed = |error: std::io::Error| cannot_write(out, &error);
    each_sealed(record, found, |line| {
        kept.clear();
        struck.take(line, &mut kept).map_err(std::io::Error::other)?;
        verifier.take(&kept);
        held.take(&kept);
        writer.write_all(&kept)
    })
    .map_err(failed)?;
    writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(failed)?;
    match verifier.finish() {
        Ok(copied) if copied.head == found.head && copied.torn_bytes == 0 => Ok(held),
        _ => Err(Failure::failed(
            "the record was changed while it was copied, so what was written is removed",
            "run it again",
        )),
    }
}

impl Held {
    fn take(&mut self, line: &[u8]) {
        self.bytes += line.len() as u64;
        if !line.starts_with(b"{\"entry\":\"addresses\"") {
            return;
        }
        let Ok(Entry::Addresses(found)) = serde_json::from_slice(line) else { return };
        if found.age.is_some() {
            self.encrypted += found.count;
        }
        self.in_the_open += found.addresses.len() as u64;
        self.remove_at = self.remove_at.max(Some(found.remove_at));
    }

    /// Whom it holds, for who passes it on.
    fn said(&self) -> String {
        let until = self.remove_at.map_or(String::new(), |at| {
            format!(" They are to be removed by {at}: from this copy as well, by whoever has it.")
        });
        match (self.in_the_open, self.encrypted) {
            (0, 0) => "It holds no full address.".to_owned(),
            (0, encrypted) => format!(
                "It holds {} full addresses, encrypted to a key that is not here.{until}",
                grouped(encrypted)
            ),
            (open, encrypted) => {
                let more = match encrypted {
                    0 => String::new(),
                    more => format!(", and {} encrypted ones", grouped(more)),
                };
                format!(
                    "It holds {} full addresses that anybody who has it can read{more}: personal data, for who has to act on them.{until}",
                    grouped(open)
                )
            }
        }
    }
}

fn told(out: &Path, found: &VerifiedRecord, held: &Held, is_json: bool) -> Done {
    let (file, head) = (out.display(), found.head.map(|head| head.to_string()));
    if is_json {
        return output::json(&json!({
            "incident": found.incident,
            "to": file.to_string(),
            "bytes": held.bytes,
            "lines": found.sealed_lines,
            "segments": found.segments,
            "head": head,
            "key": found.key.id(),
            "sealed_at": found.sealed_at,
            "is_closed": found.is_closed,
            "left_out_lines": found.unsealed_lines,
            "addresses": held.in_the_open,
            "addresses_encrypted": held.encrypted,
            "remove_at": held.remove_at,
        }));
    }
    let incident: String =
        found.incident.chars().map(|c| if c.is_control() { '?' } else { c }).take(80).collect();
    let at = found.sealed_at.map_or(String::new(), |at| format!(", sealed last at {at}"));
    output::data(&format!(
        "wrote `{file}` ({}): lines 1 to {} of incident {incident}{at}\nhead {}\nkey  {}",
        readable_size(held.bytes),
        grouped(found.sealed_lines),
        head.unwrap_or_default(),
        found.key.id(),
    ))?;
    let mut words = Vec::new();
    match (found.is_closed, found.unsealed_lines) {
        (false, more) => words.push(format!(
            "The record has no end yet: this is what is sealed of it, without the {} lines behind. `seawall verify --open` checks it; seal again when it is over.",
            grouped(more)
        )),
        (true, 0) => words.push("`seawall verify` checks it, with nothing but the file.".to_owned()),
        (true, more) => words.push(format!(
            "`seawall verify` checks it. {} lines that nobody sealed follow the end of the record and are left out.",
            grouped(more)
        )),
    }
    words.push("Write the head down, or mail it to somebody who will be believed: who has it can tell a record that was written anew, even by whoever holds the key.".to_owned());
    words.push("Give the public key (`seawall archive key`) to who will check it, by another way than the file.".to_owned());
    words.push(held.said());
    say(&words.join("\n"));
    Ok(())
}

fn cannot_write(out: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Failure::failed(
            format!("`{}` is there already, and nothing is overwritten", out.display()),
            "name a file that is not there yet",
        );
    }
    Failure::failed(
        format!("cannot write `{}`: {error}", out.display()),
        "choose a place that can be written to with `--out`, and check the space on the disk",
    )
}
