//! Adding to a record that nobody else writes, and sealing it.
//!
//! One writer at a time: the running program locks the record that it writes, and so does this. A record that goes on
//! belongs to the running program alone, which can be asked; one that is over is added to behind its end, beside a running program as well.
//! Nothing is added to a copy elsewhere: there would be two records of one incident, both sealed.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use seawall_edge::sealing_key;
use seawall_report::{Chain, ChainError, Entry, Fault, Moment, Resumed, Resumer};
use seawall_seal::SigningKey;
use serde_json::{Value, json};

use super::place::{self, Place};
use crate::cli::TargetArgs;
use crate::figures::grouped;
use crate::output::{Failure, say, with_causes};
use crate::pieces::Pieces;
use crate::{Done, admin, target};

/// What came of it.
pub(super) struct Added {
    path: PathBuf,
    chain: Chain,
    resumed: Resumed,
    key: String,
}

/// A record that somebody else is writing.
pub(super) struct Held {
    /// Of the running program, if one runs: it has the record open.
    pub(super) socket: Option<PathBuf>,
    pub(super) path: PathBuf,
}

impl From<Held> for Failure {
    fn from(held: Held) -> Self {
        match held.socket {
            Some(_) => Self::failed(
                "the running program is writing on this record",
                "do it when the incident is over, a minute after the last alarm",
            ),
            None => Self::failed(
                "another program is writing on this record",
                "say which one runs with `--config FILE`, or try again when it is done",
            ),
        }
    }
}

/// Appends `entry` to the record of `incident` and seals it, unless somebody else is writing it.
///
/// # Errors
/// A failure if the record is not what was sealed, or the disk takes nothing.
pub(super) fn add(
    config: Option<&Path>,
    args: &TargetArgs,
    incident: &str,
    entry: Entry,
    now: Moment,
) -> Result<Result<Added, Held>, Failure> {
    let socket = running(config, args)?;
    let place = Place::find(config, args)?;
    let path = place::record(config, args, incident)?;
    check_is_ours(&place, &path)?;
    let key = key(&place)?;
    let Some(mut file) = open(&path)? else { return Ok(Err(Held { socket, path })) };
    let (mut chain, resumed) = resume(&mut file, &path, &key)?;
    let is_whole = chain.is_closed() && resumed.unsealed_entries == 0 && resumed.cut_bytes == 0;
    if socket.is_some() && !is_whole {
        return Ok(Err(Held { socket, path }));
    }
    let bytes = lines(&mut chain, &resumed, entry, &key, now).map_err(|error| {
        Failure::failed(with_causes(&error), "this is a mistake of Seawall: please report it")
    })?;
    append(&mut file, &resumed, &bytes).map_err(|error| {
        Failure::failed(
            format!("cannot write `{}`: {error}", path.display()),
            "check the space on the disk; what is sealed stays as it is",
        )
    })?;
    Ok(Ok(Added { path, chain, resumed, key: key.public().id() }))
}

/// Whether something may be added to the record at `path`, as far as that shows without touching it.
///
/// # Errors
/// A failure if it is a copy, or goes on (`is_closed` is false) and the program runs.
pub(super) fn check(
    config: Option<&Path>,
    args: &TargetArgs,
    path: &Path,
    is_closed: bool,
) -> Done {
    check_is_ours(&Place::find(config, args)?, path)?;
    match running(config, args)? {
        Some(socket) if !is_closed => {
            Err(Held { socket: Some(socket), path: path.to_owned() }.into())
        }
        _ => Ok(()),
    }
}

/// The socket of the program, if it runs.
fn running(config: Option<&Path>, args: &TargetArgs) -> Result<Option<PathBuf>, Failure> {
    let socket = target::find(config, args)?.socket;
    Ok(admin::is_running(&socket).then_some(socket))
}

impl Added {
    /// For programs.
    pub(super) fn as_json(&self, at: Moment) -> Value {
        json!({
            "record": self.path.display().to_string(), "at": at, "segment": self.chain.segments(),
            "head": self.head(), "key": self.key, "is_closed": self.chain.is_closed(),
        })
    }

    /// Says so if the record was cut off.
    pub(super) fn say_what_was_cut(&self) {
        let Resumed { unsealed_entries, cut_bytes, .. } = self.resumed;
        if unsealed_entries > 0 || cut_bytes > 0 {
            say(&format!(
                "The record was cut off: {} lines that were not sealed yet are sealed now, and {} bytes of a line that was not whole were cut.",
                grouped(unsealed_entries),
                grouped(cut_bytes)
            ));
        }
    }

    fn head(&self) -> String {
        self.chain.head().map(|head| head.to_string()).unwrap_or_default()
    }
}

/// The record, its head and its key, line by line.
impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`\nhead {}\nkey  {}", self.path.display(), self.head(), self.key)
    }
}

/// Only the record itself is added to, no copy.
fn check_is_ours(place: &Place, path: &Path) -> Done {
    let whole = |path: &Path| path.canonicalize().ok();
    let folder = whole(&place.state.join(place::INCIDENTS));
    if folder.zip(whole(path)).is_some_and(|(folder, path)| path.starts_with(folder)) {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "`{}` is not in the state folder `{}`: nothing is added to a copy",
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

/// The record, locked: nobody else writes on it until this ends. `None` if somebody else does.
fn open(path: &Path) -> Result<Option<File>, Failure> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let file = opened.map_err(|error| {
        Failure::failed(
            format!("cannot open `{}` for writing: {error}", path.display()),
            "run the command as the user Seawall runs as",
        )
    })?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(None),
        // Not every file system has locks.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    // It may have been replaced before it was locked, by one without addresses.
    let is_same = |there: fs::Metadata| {
        file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
    };
    Ok(fs::metadata(path).is_ok_and(is_same).then_some(file))
}

fn resume(file: &mut File, path: &Path, key: &SigningKey) -> Result<(Chain, Resumed), Failure> {
    let cannot = |error| {
        Failure::failed(format!("cannot read `{}`: {error}", path.display()), "check the disk")
    };
    let (mut resumer, mut pieces) = (Resumer::new(key), Pieces::of(file));
    while let Some(piece) = pieces.next().map_err(cannot)? {
        resumer.take(piece);
    }
    resumer.finish().map_err(|error| {
        Failure::failed(
            format!("`{}` cannot be continued: {}", path.display(), with_causes(&error)),
            "nothing was written; `seawall verify` says what stands of it",
        )
    })
}

/// What is written behind what stays: what was cut, the entry, and the seal.
fn lines(
    chain: &mut Chain,
    resumed: &Resumed,
    entry: Entry,
    key: &SigningKey,
    now: Moment,
) -> Result<Vec<u8>, ChainError> {
    let mut entries = vec![entry];
    if resumed.cut_bytes > 0 && !chain.is_closed() {
        let what = format!(
            "{} bytes of a line that was not whole were cut when something was added",
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
