//! `seawall verify FILE`: whether a package or a record is what its key signed, with nothing but the file.

mod record;

use std::path::{Path, PathBuf};

use seawall_archive::{Verified, rfc3339, verify_package};
use seawall_seal::PublicKey;
use serde_json::{Value, json};

use crate::Done;
use crate::output::{self, Failure, say};

/// What `verify` takes.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --key it only says that the file is whole and which key signed it: the key is in\n\
    the file, and anybody can make one. Ask whoever runs the site for theirs (`seawall archive key`), by\n\
    another way than the file came. It proves what the server recorded, not that the site was right, and\n\
    times only as far as that server's clock is trusted. docs/archive.md and docs/evidence.md say how to do\n\
    the same with unzip, sed, sha256sum and openssl."
)]
pub(crate) struct Args {
    /// The package of an archive, or the record of an incident.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The public key that must have signed it.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Take a record that has no end yet, and check it up to its last seal.
    #[arg(long)]
    open: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Checks a package or a record.
///
/// # Errors
/// A failure if it is not what was signed.
pub(crate) fn run(args: &Args) -> Done {
    let trusted = args.key.as_deref().map(read_key).transpose()?;
    if record::is_one(&args.file) {
        return record::run(args, trusted);
    }
    let checked = check(&args.file, trusted.as_ref());
    let is_ok = checked["ok"] == true;
    if args.json {
        output::json(&checked)?;
        return if is_ok { Ok(()) } else { Err(Failure::Said) };
    }
    output::data(&line(&checked))?;
    if !is_ok {
        return Err(Failure::failed(
            format!("`{}` is not what was signed", args.file.display()),
            "do not rely on any of it; ask for another copy",
        ));
    }
    say(match trusted {
        Some(_) => "Every byte is what the holder of the key given signed.",
        None => {
            "Every byte is what the holder of the key named signed. Whose key that is, the file cannot prove: compare it with `--key PEM`."
        }
    });
    say(
        "It proves what that server recorded, not that the site was right; and times as far as its clock is trusted.",
    );
    Ok(())
}

/// Reads a public key.
///
/// # Errors
/// A failure if the file holds none.
pub(crate) fn read_key(path: &Path) -> Result<PublicKey, Failure> {
    let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let key = read.and_then(|text| PublicKey::from_pem(&text).map_err(|error| error.to_string()));
    key.map_err(|why| {
        Failure::failed(
            format!("`{}` holds no public key: {why}", path.display()),
            "it begins with `-----BEGIN PUBLIC KEY-----`; `seawall archive key` prints it",
        )
    })
}

/// What is found of one package, in the form of the interface.
pub(crate) fn check(path: &Path, trusted: Option<&PublicKey>) -> Value {
    let file = path.display().to_string();
    match verify_package(path, trusted) {
        Ok(Verified { records, key, created }) => json!({
            "file": file, "ok": true, "records": records, "first_bad": null, "reason": null,
            "key": key.id(), "created": created.map(rfc3339),
        }),
        Err(failure) => json!({
            "file": file, "ok": false, "records": 0, "first_bad": failure.first_bad,
            "reason": failure.reason, "key": "",
        }),
    }
}

/// The same for people.
pub(crate) fn line(checked: &Value) -> String {
    let word = |name: &str| checked[name].as_str().filter(|word| !word.is_empty());
    let file = word("file").unwrap_or("?");
    if checked["ok"] == true {
        let key =
            word("key").map_or("not signed yet".to_owned(), |key| format!("signed with key {key}"));
        let created = word("created").map_or(String::new(), |at| format!(", made {at}"));
        return format!("{file}: good, {} records, {key}{created}", checked["records"]);
    }
    let at = checked["first_bad"].as_u64().map_or(String::new(), |at| format!(" record {at}:"));
    format!("{file}: BAD,{at} {}", word("reason").unwrap_or("?"))
}
