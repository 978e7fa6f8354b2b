//! `seawall report note`: what a person has to say of an incident, sealed into its record.
//!
//! One writer at a time: the running program locks the record that it writes, and so does this. A record that goes on
//! belongs to the running program alone; one that is over takes notes behind its end, beside a running program as well.
//! A copy elsewhere takes none: there would be two records of one incident, both sealed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use seawall_edge::sealing_key;
use seawall_report::{Chain, ChainError, Entry, Fault, Moment, Note, NoteKind, Resumed, Resumer};
use seawall_seal::SigningKey;
use serde_json::json;

use super::NoteArgs;
use super::place::{self, Place};
use crate::figures::grouped;
use crate::output::{self, Failure, say, with_causes};
use crate::{Done, admin, target, times};

/// Whose words it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// What you saw or did yourself.
    Observation,
    /// Something public that came before, such as an article.
    Event,
    /// Somebody claims to have done it.
    Claim,
    /// Somebody demands something.
    Demand,
    /// Anything else that others said.
    Statement,
}

/// Appends the note and seals it.
///
/// # Errors
/// A failure if it is too long, the record is somebody else's to write or not what was sealed, or the disk takes nothing.
pub(super) fn run(config: Option<&Path>, args: &NoteArgs) -> Done {
    let now = Moment::from_unix_ms(times::now().unix_nanos() / 1_000_000);
    let note = note(args, now)?;
    let is_running = admin::is_running(&target::find(config, &args.target)?.socket);
    let place = Place::find(config, &args.target)?;
    let path = place::record(config, &args.target, &args.incident)?;
    check_is_ours(&place, &path)?;
    let key = key(&place)?;
    let mut file = open(&path)?;
    let (mut chain, resumed) = resume(&mut file, &path, &key)?;
    let is_whole = chain.is_closed() && resumed.unsealed_entries == 0 && resumed.cut_bytes == 0;
    if is_running && !is_whole {
        return Err(goes_on());
    }
    let bytes = lines(&mut chain, &resumed, note, &key, now).map_err(|error| {
        Failure::failed(with_causes(&error), "this is a mistake of Seawall: please report it")
    })?;
    append(&mut file, &resumed, &bytes).map_err(|error| {
        Failure::failed(
            format!("cannot write `{}`: {error}", path.display()),
            "check the space on the disk; what is sealed stays as it is",
        )
    })?;
    let head = chain.head().map(|head| head.to_string()).unwrap_or_default();
    let id = key.public().id();
    if args.json {
        return output::json(&json!({
            "record": path.display().to_string(), "at": now, "segment": chain.segments(),
            "head": head, "key": id, "is_closed": chain.is_closed(),
        }));
    }
    output::data(&format!("noted and sealed in `{}`\nhead {head}\nkey  {id}", path.display()))?;
    if resumed.unsealed_entries > 0 || resumed.cut_bytes > 0 {
        say(&format!(
            "The record was cut off: {} lines that were not sealed yet are sealed with the note, and {} bytes of a line that was not whole were cut.",
            grouped(resumed.unsealed_entries),
            grouped(resumed.cut_bytes)
        ));
    }
    say("The head has changed: write the new one down, or mail it, in place of the one before.");
    Ok(())
}

fn note(args: &NoteArgs, now: Moment) -> Result<Note, Failure> {
    let is_odd = |c: char| c.is_control();
    let source = args.source.as_deref();
    for (name, text, max) in [
        ("--author", Some(args.author.as_str()), MAX_AUTHOR_BYTES),
        ("--source", source, MAX_SOURCE_BYTES),
        ("the text", Some(args.text.as_str()), MAX_TEXT_BYTES),
    ] {
        let Some(text) = text else { continue };
        let is_line = name != "the text";
        let what = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if text.len() > max {
            format!(
                "has {} bytes, and {} are the limit",
                grouped(text.len() as u64),
                grouped(max as u64)
            )
        } else if text.contains(|c| is_odd(c) && (is_line || !"\n\t".contains(c))) {
            "has control characters".to_owned()
        } else {
            continue;
        };
        return Err(Failure::usage(
            format!("{name} {what}"),
            "say it shortly, in several notes if need be; `--source` names where the rest is",
        ));
    }
    let about = args.about.as_deref().map(|text| times::read(text, times::now()));
    let about = about.transpose().map_err(|error| {
        Failure::usage(
            format!("`--about` is {error}"),
            "say when that was of which the note speaks",
        )
    })?;
    let kind = match args.kind {
        Kind::Observation => NoteKind::Observation,
        Kind::Event => NoteKind::Event,
        Kind::Claim => NoteKind::Claim,
        Kind::Demand => NoteKind::Demand,
        Kind::Statement => NoteKind::Statement,
    };
    Ok(Note {
        at: now,
        author: args.author.trim().to_owned(),
        kind,
        source: source.map(|source| source.trim().to_owned()),
        about: about.map(|at| Moment::from_unix_ms(at.unix_nanos() / 1_000_000)),
        text: args.text.trim().to_owned(),
    })
}

/// Only the record itself takes notes, no copy.
fn check_is_ours(place: &Place, path: &Path) -> Done {
    let whole = |path: &Path| path.canonicalize().ok();
    let folder = whole(&place.state.join(place::INCIDENTS));
    if folder.zip(whole(path)).is_some_and(|(folder, path)| path.starts_with(folder)) {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "`{}` is not in the state folder `{}`: a copy takes no notes",
            path.display(),
            place.state.display()
        ),
        "name the incident as `seawall report list` does, and the folder with `--state DIR` or `--config FILE`",
    ))
}

/// The installation's, which is not made here: it would not be the one that the record was begun with.
fn key(place: &Place) -> Result<SigningKey, Failure> {
    if !place.state.join("sealing-key.pem").is_file() {
        return Err(Failure::failed(
            format!("there is no `sealing-key.pem` in `{}`", place.state.display()),
            "a record is continued with the key that it was begun with; put it back from a backup",
        ));
    }
    sealing_key(&place.state).map_err(|error| {
        Failure::failed(with_causes(&error), "run the command as the user Seawall runs as")
    })
}

/// The record, locked: nobody else writes on it until this ends.
fn open(path: &Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened.map_err(|error| {
        Failure::failed(
            format!("cannot open `{}` for writing: {error}", path.display()),
            "run the command as the user Seawall runs as",
        )
    })?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(goes_on()),
        // Not every file system has locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    // It may have been replaced before it was locked, by one without addresses.
    let is_same = |there: fs::Metadata| {
        file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    };
    if fs::metadata(path).is_ok_and(is_same) { Ok(file) } else { Err(goes_on()) }
}

fn goes_on() -> Failure {
    Failure::failed(
        "the running program is writing on this record",
        "note it when the incident is over, a minute after the last alarm; `--about TIME` says when that was of which it speaks",
    )
}

fn resume(file: &mut File, path: &Path, key: &SigningKey) -> Result<(Chain, Resumed), Failure> {
    let mut resumer = Resumer::new(key);
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => resumer.take(&piece[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Failure::failed(
                    format!("cannot read `{}`: {error}", path.display()),
                    "check the disk",
                ));
            }
        }
    }
    resumer.finish().map_err(|error| {
        Failure::failed(
            format!("`{}` cannot be continued: {}", path.display(), with_causes(&error)),
            "nothing was written; `seawall verify` says what stands of it",
        )
    })
}

/// What is written behind what stays: what was cut, the note, and the seal.
fn lines(
    chain: &mut Chain,
    resumed: &Resumed,
    note: Note,
    key: &SigningKey,
    now: Moment,
) -> Result<Vec<u8>, ChainError> {
    let mut entries = vec![Entry::Note(note)];
    if resumed.cut_bytes > 0 && !chain.is_closed() {
        let what = format!(
            "{} bytes of a line that was not whole were cut when a note was written",
            resumed.cut_bytes
        );
        entries.insert(0, Entry::Fault(Fault { at: now, part: "record".to_owned(), what }));
    }
    let mut bytes = Vec::new();
    for entry in entries {
        if chain.is_full() {
            bytes.extend(chain.seal(key, now)?);
        }
        bytes.extend(chain.append(&entry)?);
    }
    bytes.extend(chain.seal(key, now)?);
    Ok(bytes)
}

/// All of it or, as far as the disk lets it, nothing.
fn append(file: &mut File, resumed: &Resumed, bytes: &[u8]) -> std::io::Result<()> {
    file.set_len(resumed.keep_bytes)?;
    file.seek(SeekFrom::End(0))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_data());
    if written.is_err() {
        let _ = file.set_len(resumed.keep_bytes);
    }
    written
}

/// Of its words.
const MAX_TEXT_BYTES: usize = 8 << 10;
const MAX_AUTHOR_BYTES: usize = 200;
/// An address of a page, or of a mail's sender.
const MAX_SOURCE_BYTES: usize = 2 << 10;
