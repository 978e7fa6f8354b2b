//! `seawall archive verify`: every package, and what is not packed yet.
//!
//! It reads files and asks nobody, so that it says the same whether a program is running or not.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use seawall_archive::Members;
use seawall_seal::{PublicKey, SigningKey};
use serde_json::{Value, json};

use super::place::{self, MAX_BODY_BYTES};
use crate::output::{Failure, say};
use crate::{Done, output, verify};

/// The public half of the key in a state folder.
///
/// # Errors
/// A failure if it cannot be read.
pub(super) fn own_key(state: &Path) -> Result<PublicKey, Failure> {
    let path = state.join("sealing-key.pem");
    let fail = |why: String| {
        Failure::failed(
            format!("cannot read the sealing key `{}`: {why}", path.display()),
            "run the command as the user Seawall runs as, or name the public key with `--key PEM`",
        )
    };
    let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
    SigningKey::from_pem(&text).map(|key| key.public()).map_err(|error| fail(error.to_string()))
}

/// Checks all archives of a state folder.
///
/// # Errors
/// A failure if anything is not as it was written.
pub(super) fn run(state: &Path, key: Option<&Path>, json: bool) -> Done {
    let key = match key {
        Some(path) => verify::read_key(path)?,
        None => own_key(state)?,
    };
    let (mut packages, mut open) = (Vec::new(), Vec::new());
    for dir in place::folders(state)? {
        for path in files(&dir, ".wacz")? {
            // One that is gone was written anew under another name meanwhile.
            let checked = verify::check(&path, Some(&key));
            packages.extend(path.exists().then_some(checked));
        }
        for path in files(&dir, ".open.warc.gz")? {
            open.extend(check_open(&path));
        }
    }
    let is_ok = |checked: &Value| checked["ok"] == true;
    let all_ok = packages.iter().chain(&open).all(is_ok);
    if json {
        output::json(
            &json!({ "ok": all_ok, "key": key.id(), "packages": packages, "open": open }),
        )?;
        return if all_ok { Ok(()) } else { Err(Failure::Said) };
    }
    let lines: Vec<String> = packages.iter().chain(&open).map(verify::line).collect();
    output::data(&lines.join("\n"))?;
    if all_ok {
        say(&format!(
            "All of it is as it was written, and every package is signed with the key {}.",
            key.id()
        ));
        return Ok(());
    }
    Err(Failure::failed(
        "part of the archive is not as it was written",
        "readers are not given what is damaged: it is fetched again when somebody asks for it or the crawl comes by; keep the file if you want to know who changed it",
    ))
}

fn files(dir: &Path, suffix: &str) -> Result<Vec<PathBuf>, Failure> {
    let entries = fs::read_dir(dir).map_err(|error| {
        Failure::failed(
            format!("cannot read `{}`: {error}", dir.display()),
            "run the command as the user Seawall runs as",
        )
    })?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_wanted = |path: &PathBuf| path.to_str().is_some_and(|name| name.ends_with(suffix));
    let mut files: Vec<PathBuf> = paths.filter(is_wanted).collect();
    files.sort();
    Ok(files)
}

/// The file that is written to: each record by its own digests, as nothing is signed yet. A record that is
/// not there to its end is one that is being written. `None` if the file has become a package meanwhile.
fn check_open(path: &Path) -> Option<Value> {
    let file = File::open(path).ok()?;
    let end = file.metadata().ok()?.len();
    let (mut records, mut first_bad, mut reason) = (0_u64, None, None);
    for found in Members::new(file, 0, end, MAX_BODY_BYTES) {
        let is_torn_end = found.offset + found.length >= end && found.record.is_err();
        if is_torn_end {
            break;
        }
        records += 1;
        if let Err(error) = found.record
            && first_bad.is_none()
        {
            first_bad = Some(records);
            reason = Some(error.to_string());
        }
    }
    Some(json!({
        "file": path.display().to_string(), "ok": first_bad.is_none(), "records": records,
        "first_bad": first_bad, "reason": reason, "key": null,
    }))
}
