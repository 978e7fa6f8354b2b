//! Which records there are, and which one is meant.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::TargetArgs;
use crate::output::Failure;
use crate::target;

/// The folder of all incidents of a program, running or not.
pub(super) struct Place {
    /// Of the state.
    pub(super) state: PathBuf,
}

impl Place {
    /// # Errors
    /// A failure if the state folder is not known or not there.
    pub(super) fn find(config: Option<&Path>, args: &TargetArgs) -> Result<Self, Failure> {
        let target = target::find(config, args)?;
        match target.state {
            Some(state) if state.is_dir() => Ok(Self { state }),
            Some(state) => Err(Failure::failed(
                format!("there is no state folder `{}`", state.display()),
                "say which one is meant with `--config FILE` or `--state DIR`",
            )),
            None => Err(Failure::failed(
                "it is not known where the records are: there is no configuration here that says it",
                "say which one is meant with `--config FILE` or `--state DIR`, or name a record file",
            )),
        }
    }

    /// All records, the oldest first: identifier and file.
    ///
    /// # Errors
    /// A failure if the folder is there and cannot be read.
    pub(super) fn records(&self) -> Result<Vec<(String, PathBuf)>, Failure> {
        let folder = self.state.join(INCIDENTS);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(Failure::failed(
                    format!("cannot read `{}`: {error}", folder.display()),
                    "run the command as the user Seawall runs as",
                ));
            }
        };
        let named = entries.filter_map(|entry| {
            let path = entry.ok()?.path();
            let id = path.file_name()?.to_str()?.to_owned();
            let record = path.join(RECORD);
            record.is_file().then_some((id, record))
        });
        let mut records: Vec<_> = named.collect();
        // Identifiers begin with the time.
        records.sort_unstable();
        Ok(records)
    }
}

/// The record that is meant by an identifier, its beginning, `last`, or the path of a file.
///
/// # Errors
/// A usage failure if there is none, or several could be meant.
pub(super) fn record(
    config: Option<&Path>,
    args: &TargetArgs,
    incident: &str,
) -> Result<PathBuf, Failure> {
    let path = Path::new(incident);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if path.join(RECORD).is_file() {
        return Ok(path.join(RECORD));
    }
    let place = Place::find(config, args)?;
    let mut records = place.records()?;
    let ids: Vec<_> = records.iter().map(|(id, _)| id.clone()).collect();
    match incident {
        "last" => records = records.pop().into_iter().collect(),
        incident if ids.iter().any(|id| id == incident) => records.retain(|(id, _)| id == incident),
        incident => records.retain(|(id, _)| id.starts_with(incident)),
    }
    match (records.pop(), records.len()) {
        (Some((_, path)), 0) => Ok(path),
        (Some(_), more) => Err(Failure::usage(
            format!("{} incidents begin with `{incident}`", more + 1),
            "write more of the identifier; `seawall report list` shows them",
        )),
        (None, _) if ids.is_empty() => Err(Failure::usage(
            format!("no incident is recorded in `{}`", place.state.display()),
            "a record is begun when more is asked than is ordinary; `seawall status` says what is going on now",
        )),
        (None, _) => Err(Failure::usage(
            format!("there is no incident `{incident}`"),
            "`seawall report list` shows those that there are; a record file can be named as well",
        )),
    }
}

/// Below the state folder.
pub(crate) const INCIDENTS: &str = "incidents";
/// In the folder of an incident.
pub(crate) const RECORD: &str = "record.jsonl";
