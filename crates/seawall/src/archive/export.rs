//! `seawall archive export`: the copies as something to carry away.
//!
//! What is not packed yet is packed first, by the running program if there is one; then the packages are read
//! beside it, as they do not change. The running program writes nothing for us: it would write as another
//! user, to a place that a request names.

use std::fs;
use std::path::{Path, PathBuf};

use seawall_archive::{Exported, PackageMeta, Shelf, export_folder, export_wacz};
use seawall_edge::sealing_key;
use serde_json::json;

use super::place::{self, MAX_BODY_BYTES, Place};
use crate::admin::ask;
use crate::figures::readable_size;
use crate::output::{self, Failure, say, with_causes};
use crate::{Done, times};

/// What is written.
pub(super) enum To<'a> {
    /// One package.
    Package(&'a PathBuf),
    /// A folder of plain files.
    Folder(&'a PathBuf),
}

/// The folder of the archive that is meant.
///
/// # Errors
/// A usage failure if several could be, or none.
pub(super) fn choose(state: &Path, site: Option<&str>) -> Result<PathBuf, Failure> {
    let mut folders = place::folders(state)?;
    let name = |dir: &PathBuf| dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = folders.iter().map(name).collect::<Vec<_>>().join("`, `");
    if let Some(site) = site {
        let host = place::name_of_site(site).replace(':', "_");
        folders.retain(|dir| name(dir) == host);
    }
    match (folders.pop(), folders.is_empty()) {
        (Some(dir), true) => Ok(dir),
        _ => Err(Failure::usage(
            format!("there are archives of `{names}`, and it is not clear which one is meant"),
            "say it with `--site HOST`",
        )),
    }
}

/// Packs what is not packed yet.
///
/// # Errors
/// A failure if the disk is full, or the program cannot be asked.
pub(super) fn seal(place: &Place) -> Done {
    match place {
        Place::Running { socket } => ask(socket, "POST", "/archive?seal=1").map(drop),
        Place::Stopped { state } => {
            for site in place::open(state)? {
                site.archive.seal(times::now()).map_err(|error| place::failed(&error))?;
            }
            Ok(())
        }
    }
}

/// Writes the export.
///
/// # Errors
/// A failure if there is nothing to write, or it cannot be written.
pub(super) fn run(state: &Path, dir: &Path, to: &To<'_>, json: bool) -> Done {
    let target = match to {
        To::Package(path) | To::Folder(path) => path.as_path(),
    };
    check_target(to)?;
    let key = sealing_key(state).map_err(|error| {
        Failure::failed(with_causes(&error), "run the command as the user Seawall runs as")
    })?;
    let failed = |error| place::failed(&error);
    let shelf = Shelf::open(dir, &key.public(), MAX_BODY_BYTES).map_err(failed)?;
    for path in shelf.left_out() {
        say(&format!(
            "`{}` is damaged and was left out: see `seawall archive verify`",
            path.display()
        ));
    }
    let Some(base) = shelf.base().map(str::to_owned) else {
        return Err(Failure::failed(
            "there is no copy that may be shown",
            "`seawall archive list` says what is held and whether it is pinned; `seawall archive crawl` fetches",
        ));
    };
    let now = times::now();
    let exported = match to {
        To::Package(path) => {
            let meta = PackageMeta {
                title: base.clone(),
                created: now,
                software: concat!("seawall ", env!("CARGO_PKG_VERSION")).to_owned(),
                main_page: Some(format!("{base}/")),
            };
            export_wacz(&shelf, &key, &meta, path)
        }
        To::Folder(folder) => export_folder(&shelf, now, folder),
    };
    let exported = exported.map_err(|error| cannot_write(target, &with_causes(&error)))?;
    if !shelf.is_current().map_err(failed)? {
        // What was withdrawn just now may be in it.
        take_back(to);
        return Err(Failure::failed(
            "something was withdrawn or pinned meanwhile, so what was written is removed",
            "run it again",
        ));
    }
    told(&base, target, exported, json)
}

fn told(base: &str, target: &Path, exported: Exported, json: bool) -> Done {
    let Exported { urls, bytes, left_out } = exported;
    if json {
        return output::json(&json!({
            "site": base, "to": target.display().to_string(), "urls": urls, "bytes": bytes, "left_out": left_out,
        }));
    }
    if left_out > 0 {
        say(&format!(
            "{left_out} URLs could not be read and are not in it: see `seawall archive verify`"
        ));
    }
    let size = readable_size(bytes);
    output::data(&format!("{urls} URLs of {base} in {size} written to `{}`", target.display()))
}

fn check_target(to: &To<'_>) -> Done {
    let (taken, path, hint) = match to {
        To::Package(path) => (path.exists(), path, "name a file that is not there yet"),
        To::Folder(path) => {
            let is_empty = fs::read_dir(path).map(|mut entries| entries.next().is_none());
            let taken = path.symlink_metadata().is_ok() && !is_empty.unwrap_or(false);
            (taken, path, "name a folder that is not there yet, or is empty")
        }
    };
    if !taken {
        return Ok(());
    }
    Err(Failure::failed(
        format!("`{}` is there already, and nothing is overwritten", path.display()),
        hint,
    ))
}

fn cannot_write(target: &Path, why: &str) -> Failure {
    Failure::failed(
        format!("cannot write `{}`: {why}", target.display()),
        "check the space there, and that this user may write there; what was begun may be removed",
    )
}

/// Nothing else was in it: it was not there before.
fn take_back(to: &To<'_>) {
    let removed = match to {
        To::Package(path) => fs::remove_file(path),
        To::Folder(path) => fs::remove_dir_all(path),
    };
    if let Err(error) = removed {
        say(&format!("it could not be removed ({error}): remove it, and do not pass it on"));
    }
}
