//! Whether a program is running that has the archives open, and the archives of one that is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_archive::{Archive, ArchiveError, ArchiveOptions};

use crate::admin::{is_running, percent_encode};
use crate::cli::TargetArgs;
use crate::output::{Failure, say, with_causes};
use crate::{target, times};

/// Where the archives are found.
pub(super) enum Place {
    /// A program runs and is asked.
    Running { socket: PathBuf },
    /// None does.
    Stopped { state: PathBuf },
}

impl Place {
    /// # Errors
    /// A failure if there is neither a program nor a folder.
    pub(super) fn find(config: Option<&Path>, args: &TargetArgs) -> Result<Self, Failure> {
        let target = target::find(config, args)?;
        if is_running(&target.socket) {
            return Ok(Self::Running { socket: target.socket });
        }
        match target.state.filter(|state| state.is_dir()) {
            Some(state) => Ok(Self::Stopped { state }),
            None => Err(no_folder(&target.socket)),
        }
    }
}

/// The state folder, whether a program is running or not.
///
/// # Errors
/// A failure if it is not known or not there.
pub(super) fn state(config: Option<&Path>, args: &TargetArgs) -> Result<PathBuf, Failure> {
    let target = target::find(config, args)?;
    target.state.filter(|state| state.is_dir()).ok_or_else(|| no_folder(&target.socket))
}

fn no_folder(socket: &Path) -> Failure {
    Failure::failed(
        format!(
            "no running Seawall answers at `{}`, and there is no state folder to look into",
            socket.display()
        ),
        "say which one is meant with `--config FILE` or `--state DIR`",
    )
}

/// An archive of a stopped program.
pub(super) struct Site {
    /// Scheme and host; the folder's name while nothing is known of it.
    pub(super) name: String,
    pub(super) archive: Archive,
}

/// The folders of the archives below a state folder.
///
/// # Errors
/// A failure if there is none.
pub(super) fn folders(state: &Path) -> Result<Vec<PathBuf>, Failure> {
    let none = || {
        Failure::failed(
            format!("there is no archive in `{}`", state.display()),
            "archives are made by `seawall serve` for sites with a name in `hosts`; see `seawall explain site.archive`",
        )
    };
    let entries = fs::read_dir(state.join("archive")).map_err(|_| none())?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    if folders.is_empty() { Err(none()) } else { Ok(folders) }
}

/// The host, with a port if it has one, of what somebody wrote for a site.
pub(super) fn name_of_site(written: &str) -> &str {
    written.split("://").last().unwrap_or(written).trim_end_matches('/')
}

/// As a parameter of the admin socket, behind others.
pub(super) fn parameter(site: Option<&str>) -> String {
    site.map_or(String::new(), |site| format!("&site={}", percent_encode(name_of_site(site))))
}

/// Opens the archives of a stopped program, or that of one site.
///
/// # Errors
/// As [`open`]; a usage failure if there is none of that site.
pub(super) fn open_of(state: &Path, site: Option<&str>) -> Result<Vec<Site>, Failure> {
    let mut sites = open(state)?;
    let Some(wanted) = site.map(name_of_site) else { return Ok(sites) };
    let names: Vec<_> = sites.iter().map(|site| site.name.clone()).collect();
    sites.retain(|site| name_of_site(&site.name) == wanted);
    if sites.is_empty() {
        return Err(Failure::usage(
            format!("there are archives of `{}`, and none of `{wanted}`", names.join("`, `")),
            "say one of these with `--site HOST`",
        ));
    }
    Ok(sites)
}

/// Opens all archives of a stopped program.
///
/// # Errors
/// A failure if there is none or one cannot be used.
pub(super) fn open(state: &Path) -> Result<Vec<Site>, Failure> {
    let folders = folders(state)?;
    target::check_owner(state, "archive")?;
    let key = seawall_edge::sealing_key(state).map_err(|error| {
        Failure::failed(with_causes(&error), "run the command as the user Seawall runs as")
    })?;
    let key = Arc::new(key);
    let open = |dir: &PathBuf| {
        let opened = Archive::open(dir, options(), Arc::clone(&key), times::now());
        let (archive, repaired) = opened.map_err(|error| failed(&error))?;
        if !repaired.is_clean() {
            say(&format!("`{}` was mended: {repaired:?}", dir.display()));
        }
        Ok(Site { name: name(dir, &archive), archive })
    };
    folders.iter().map(open).collect()
}

/// Nothing is thrown away from here, and all that was taken can be read.
pub(super) fn options() -> ArchiveOptions {
    let mut options = ArchiveOptions::new(u64::MAX);
    options.max_body_bytes = MAX_BODY_BYTES;
    options
}

/// The most that `site.archive.max_object_bytes` may be.
pub(super) const MAX_BODY_BYTES: usize = 1 << 30;

fn name(dir: &Path, archive: &Archive) -> String {
    let mut base = None;
    let looked = archive.each_known("", |url, _, _| {
        base = url.match_indices('/').nth(2).map(|(at, _)| url[..at].to_owned());
        base.is_none()
    });
    let folder = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    looked.ok().and(base).unwrap_or(folder)
}

/// Why an archive cannot be used, and what to do.
pub(super) fn failed(error: &ArchiveError) -> Failure {
    let hint = match error {
        ArchiveError::InUse => {
            "ask the running program: leave out `--state`, or name its socket with `--config FILE`"
        }
        ArchiveError::Io { .. } => {
            "check the space on the disk, and run the command as the user Seawall runs as"
        }
        _ => "`seawall archive verify` says which part is damaged",
    };
    Failure::failed(with_causes(error), hint)
}
