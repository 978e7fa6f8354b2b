//! `seawall verify` of the record of an incident.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use seawall_report::{RecordFailure, RecordVerifier, VerifiedRecord};
use seawall_seal::PublicKey;
use serde_json::{Value, json};

use super::Args;
use crate::Done;
use crate::output::{self, Failure, say};
use crate::pieces::Pieces;

/// Whether the file looks like a record, whole or altered. A package is a ZIP file.
pub(super) fn is_one(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
    let holds = |what: &[u8]| head.windows(what.len()).any(|window| window == what);
    let is_text = holds(b"\"entry\":\"") || holds(b"{\"digests\":[") || holds(b"\"public_key\":");
    read.is_ok() && !head.starts_with(b"PK\x03\x04") && is_text
}

/// Checks a record and says what was found.
pub(super) fn run(args: &Args, trusted: Option<PublicKey>) -> Done {
    let is_trusted = trusted.is_some();
    let found = check(&args.file, trusted).map_err(|error| {
        Failure::failed(
            format!("cannot read `{}`: {error}", args.file.display()),
            "check the name and who may read it",
        )
    })?;
    let failure = match &found {
        Ok(record) if args.open => record.unacknowledged.first().and(record.complaint()),
        Ok(record) => record.complaint(),
        Err(failure) => Some(failure.clone()),
    };
    let file = args.file.display().to_string();
    if args.json {
        output::json(&json_of(&file, found.as_ref().ok(), failure.as_ref()))?;
        return if failure.is_none() { Ok(()) } else { Err(Failure::Said) };
    }
    if let Some(RecordFailure { first_bad, reason }) = failure {
        output::data(&format!("{file}: BAD, line {first_bad}: {reason}"))?;
        return Err(match found {
            Ok(record) if !record.is_closed && record.unacknowledged.is_empty() => Failure::failed(
                format!("`{file}` has no end"),
                "if the incident still goes on, `--open` checks it up to its last seal; else ask for another copy",
            ),
            _ => Failure::failed(
                format!("`{file}` is not what was sealed"),
                "do not rely on any of it; ask for another copy",
            ),
        });
    }
    if let Ok(record) = &found {
        output::data(&format!("{file}: good, {}", line(record)))?;
        say(&remarks(record, is_trusted));
    }
    Ok(())
}

fn check(
    path: &Path,
    trusted: Option<PublicKey>,
) -> io::Result<Result<VerifiedRecord, RecordFailure>> {
    let mut pieces = Pieces::of(File::open(path)?);
    let mut verifier = RecordVerifier::new(trusted);
    while !verifier.has_failed()
        && let Some(piece) = pieces.next()?
    {
        verifier.take(piece);
    }
    Ok(verifier.finish())
}

/// What is found, in the form of the interface: `records` are entries, `first_bad` is a line.
fn json_of(file: &str, record: Option<&VerifiedRecord>, failure: Option<&RecordFailure>) -> Value {
    let mut value = json!({
        "file": file,
        "ok": failure.is_none(),
        "records": record.map_or(0, |record| record.entries),
        "first_bad": failure.map(|failure| failure.first_bad),
        "reason": failure.map(|failure| failure.reason.as_str()),
        "key": record.map_or_else(String::new, |record| record.key.id()),
    });
    if let Some(record) = record {
        value["incident"] = json!(record.incident);
        value["lines"] = json!(record.sealed_lines);
        value["segments"] = json!(record.segments);
        value["head"] = json!(record.head.map(|head| head.to_string()));
        value["sealed_at"] = json!(record.sealed_at);
        value["is_closed"] = json!(record.is_closed);
        value["removed"] = json!(record.removed);
        value["gaps"] = json!(record.gaps);
        value["gap_count"] = json!(record.gap_count);
        value["timestamps"] = json!(record.timestamps);
        value["unsealed_lines"] = json!(record.unsealed_lines);
    }
    value
}

fn line(record: &VerifiedRecord) -> String {
    let VerifiedRecord { entries, segments, incident, .. } = record;
    let key = record.key.id();
    let incident = incident.chars().map(|c| if c.is_control() { '?' } else { c }).take(80);
    let incident: String = incident.collect();
    let sealed = match (record.head, record.sealed_at) {
        (Some(head), Some(at)) => format!("sealed last at {at}, head {head}"),
        _ => "nothing sealed yet".to_owned(),
    };
    format!("{entries} records in {segments} segments of incident {incident}, key {key}, {sealed}")
}

/// What it proves and what it does not, and what is odd.
fn remarks(record: &VerifiedRecord, is_trusted: bool) -> String {
    let mut words = vec![if is_trusted {
        "Nothing was altered after sealing by anyone without the secret half of the key given."
            .to_owned()
    } else {
        "Nothing was altered after sealing by anyone without the secret half of the key named. Whose key that is, the file cannot prove: compare it with `--key PEM`.".to_owned()
    }];
    if record.removed > 0 {
        words.push(format!(
            "{} lines of addresses were removed; a sealed line says so for each.",
            record.removed
        ));
    }
    if record.gap_count > 0 {
        words.push(format!(
            "{} times nothing was recorded; the record says when and why.",
            record.gap_count
        ));
    }
    if !record.is_closed {
        words.push("The record has no end yet.".to_owned());
    }
    let behind = record.unsealed_lines + u64::from(record.torn_bytes > 0);
    if behind > 0 {
        words.push(format!("Nothing vouches for the {behind} lines behind the last seal."));
    }
    if record.timestamps > 0 {
        words.push(format!(
            "It holds {} stamps of time authorities, not checked here: docs/evidence.md says how.",
            record.timestamps
        ));
    }
    words.push("It does not prove that whoever holds the key wrote the truth, nor times beyond that server's clock.".to_owned());
    words.push("Compare the head with one that was kept elsewhere: whole segments behind the end can be cut off without a trace.".to_owned());
    words.join("\n")
}

/// So much is looked at to see what a file is: line 1 of a record is shorter.
const HEAD_BYTES: u64 = 64 << 10;
