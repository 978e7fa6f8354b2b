//! `seawall report privacy`: what is stored of whom, why, and until when.
//!
//! Of records it is counted from the files; of everything else it is what the program keeps by design (ARCHITECTURE.md,
//! "Who owns what"), with the files that are there.

use std::path::Path;

use seawall_report::{Addresses, Entry, Moment};
use serde_json::{Value, json};

use super::place::Place;
use super::record;
use crate::figures::{grouped, readable_size};
use crate::output::Failure;

/// All that is known of it.
pub(super) struct Ledger {
    incidents: Vec<Kept>,
    elsewhere: Vec<(&'static Store, u64)>,
}

/// What one record keeps.
#[derive(Default)]
struct Kept {
    id: String,
    bytes: u64,
    /// Lines with full addresses that are there, and how many addresses they have.
    lines: u64,
    in_the_open: u64,
    encrypted: u64,
    remove_at: Option<Moment>,
    /// When all of it goes, and whether a file keeps it.
    remove_record_at: Option<Moment>,
    is_pinned: bool,
    /// Lines that were removed because their time was over.
    removed: u64,
    /// Networks, cut to /24 and /48.
    prefixes: u64,
    rows: u64,
    /// Of them: those that may be readers', which earlier versions wrote one by one.
    clean_rows: u64,
    notes: u64,
    is_readable: bool,
}

/// Looks at everything in the state folder.
///
/// # Errors
/// A failure if it cannot be read.
pub(super) fn ledger(place: &Place) -> Result<Ledger, Failure> {
    let records = place.records()?;
    let incidents = records.iter().map(|(id, path)| kept(id, path)).collect();
    let elsewhere = STORES.iter().filter_map(|store| {
        let path = place.state.join(store.file);
        path.exists().then(|| (store, size(&path, 0)))
    });
    Ok(Ledger { incidents, elsewhere: elsewhere.collect() })
}

fn kept(id: &str, path: &Path) -> Kept {
    let bytes = path.metadata().map_or(0, |it| it.len());
    let is_pinned = path.with_file_name("pinned").exists();
    let mut kept = Kept { id: id.to_owned(), bytes, is_pinned, ..Kept::default() };
    let read = record::read(path, |entry| {
        match entry {
            Entry::Begin(begin) => kept.remove_record_at = begin.remove_record_at,
            Entry::Addresses(line) => kept.take(line),
            Entry::Removed(removed) => kept.removed += removed.lines.len() as u64,
            Entry::Source(_) => kept.prefixes += 1,
            Entry::Row(row) => {
                kept.rows += 1;
                kept.clean_rows += u64::from(row.is_clean());
            }
            Entry::Note(_) => kept.notes += 1,
            _ => {}
        }
        Ok(())
    });
    kept.is_readable = read.map_err(|failure| failure.print()).is_ok();
    kept
}

impl Kept {
    fn take(&mut self, line: &Addresses) {
        self.lines += 1;
        if line.age.is_some() {
            self.encrypted += line.count;
        }
        self.in_the_open += line.addresses.len() as u64;
        self.remove_at = self.remove_at.max(Some(line.remove_at));
    }

    /// Until when rows, networks and notes are there: they go with the record.
    fn until(&self) -> String {
        match self.remove_record_at {
            _ if self.is_pinned => {
                "all of it until the file `pinned` beside it is taken away".to_owned()
            }
            Some(at) => format!("all of it until {at}; a file `pinned` beside it would keep it"),
            None => "all of it until `evidence.record_retention` after it was made; a file `pinned` beside it would keep it".to_owned(),
        }
    }

    fn addresses(&self) -> String {
        if !self.is_readable {
            return "cannot be read: what it keeps is not known".to_owned();
        }
        let until = self.remove_at.map_or(String::new(), |at| format!(", until {at}"));
        let how = match (self.in_the_open, self.encrypted) {
            (0, 0) if self.removed > 0 => {
                return format!(
                    "no full address any more: {} lines were removed in time",
                    self.removed
                );
            }
            (0, 0) => return "no full address".to_owned(),
            (open, 0) => format!("{} full addresses, not encrypted", grouped(open)),
            (0, encrypted) => format!(
                "{} full addresses, encrypted to a key that is not here",
                grouped(encrypted)
            ),
            (open, encrypted) => {
                format!(
                    "{} full addresses, and {} encrypted ones",
                    grouped(open),
                    grouped(encrypted)
                )
            }
        };
        format!("{how}, in {} lines{until}", self.lines)
    }
}

/// Bytes of a file, or of all files below a folder.
fn size(path: &Path, depth: u8) -> u64 {
    let Ok(meta) = path.symlink_metadata() else { return 0 };
    if !meta.is_dir() || depth > 8 {
        return meta.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| size(&entry.path(), depth + 1)).sum()
}

/// In the same words for programs.
pub(super) fn as_json(ledger: &Ledger) -> Value {
    let incidents = ledger.incidents.iter().map(|kept| {
        json!({
            "id": kept.id,
            "readable": kept.is_readable,
            "bytes": kept.bytes,
            "address_lines": kept.lines,
            "addresses": kept.in_the_open,
            "addresses_encrypted": kept.encrypted,
            "remove_at": kept.remove_at,
            "removed_lines": kept.removed,
            "remove_record_at": kept.remove_record_at,
            "pinned": kept.is_pinned,
            "prefix_lines": kept.prefixes,
            "rows": kept.rows,
            "clean_rows": kept.clean_rows,
            "notes": kept.notes,
        })
    });
    let elsewhere = ledger.elsewhere.iter().map(|(store, bytes)| {
        json!({ "file": store.file, "bytes": bytes, "what": store.what, "why": store.why, "until": store.until })
    });
    json!({
        "incidents": incidents.collect::<Vec<_>>(),
        "elsewhere": elsewhere.collect::<Vec<_>>(),
        "memory": MEMORY,
    })
}

/// For people.
pub(super) fn as_text(ledger: &Ledger) -> String {
    let mut lines = vec![
        "Records of incidents (to show what happened, and to complain where it came from)"
            .to_owned(),
    ];
    for kept in &ledger.incidents {
        lines.push(format!("  {} ({})", kept.id, readable_size(kept.bytes)));
        lines.push(format!("    {}", kept.addresses()));
        lines.push(format!(
            "    {} sampled requests and {} lines about networks, cut to /24 and /48; {} notes of people",
            grouped(kept.rows), grouped(kept.prefixes), grouped(kept.notes)
        ));
        lines.push(format!("    {}", kept.until()));
        if kept.clean_rows > 0 {
            lines.push(format!(
                "    {} of them may be readers', without network: an earlier version wrote such requests one by one",
                grouped(kept.clean_rows)
            ));
        }
    }
    if ledger.incidents.is_empty() {
        lines.push("  none".to_owned());
    } else {
        lines.push("    A date is kept by Seawall while it runs on this folder and records; what it finds over at a start goes within two hours.".to_owned());
    }
    lines.push("    Who was neither met nor refused, or was vouched for, is in a record as counts alone. Full addresses are only those of sources that were refused".to_owned());
    lines.push(
        "    often, passed no test, carried no credential and are no exit that many share."
            .to_owned(),
    );
    lines.push(String::new());
    lines.push("Elsewhere in the state folder".to_owned());
    for (store, bytes) in &ledger.elsewhere {
        lines.push(format!("  {} ({}): {}", store.file, readable_size(*bytes), store.what));
        lines.push(format!("    why: {}; until: {}", store.why, store.until));
    }
    if ledger.elsewhere.is_empty() {
        lines.push("  nothing".to_owned());
    }
    lines.push(String::new());
    lines.push("In memory alone, gone when the program ends".to_owned());
    lines.extend(MEMORY.iter().map(|what| format!("  {what}")));
    lines.join("\n")
}

/// Something that is kept on disk.
struct Store {
    file: &'static str,
    what: &'static str,
    why: &'static str,
    until: &'static str,
}

const fn store(
    file: &'static str,
    what: &'static str,
    why: &'static str,
    until: &'static str,
) -> Store {
    Store { file, what, why, until }
}

/// Names and forms are those of ARCHITECTURE.md, "Who owns what".
const STORES: &[Store] = &[
    store(
        "log",
        "the access log: a line for each request, addresses cut to /24 and /48",
        "finding out what went wrong",
        "newer lines push it out (`log.max_bytes`)",
    ),
    store(
        "logins",
        "keyed hashes of login cookies",
        "editors and members go first",
        "they expire or are pushed out",
    ),
    store(
        "keys",
        "the installation's secrets; nothing of any person",
        "signing passes and tickets",
        "it is deleted",
    ),
    store(
        "baseline",
        "what is ordinary, as counts and keyed hashes of what clients look like",
        "telling an attack from a crowd",
        "it is replaced, every ten minutes",
    ),
    store(
        "learned",
        "keyed hashes of query parameters",
        "leaving made-up ones aside",
        "they are pushed out",
    ),
    store(
        "orders",
        "what the operator ordered about signatures",
        "following it over a restart",
        "each order ends",
    ),
    store(
        "addresses",
        "full addresses that the operator listed by hand",
        "following it over a restart",
        "each ends, or the operator takes it out",
    ),
    store(
        "cache",
        "pages that anybody may have; nothing of who asked",
        "answering without the site",
        "they are pushed out or purged",
    ),
    store(
        "archive",
        "pages that anybody may have; nothing of who asked",
        "answering while the site is down",
        "they are withdrawn",
    ),
    store(
        "sealing-key.pem",
        "the key that records and archives are signed with; nothing of any person",
        "showing that nothing was changed",
        "it is deleted",
    ),
];

const MEMORY: &[&str] = &[
    "budgets, offenders and open tests of clients: fixed tables of keyed hashes, forgotten within minutes to hours",
    "the last 64 events, with addresses cut",
    "requests of the last seconds for the detector: keyed hashes, addresses cut to /24 and /48",
];
