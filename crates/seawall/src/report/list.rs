//! Every incident that is recorded, a line each.
//!
//! The figures are those of every export: sums of the seconds, which stand in no other line; and what does not verify is said.
//! So each record is read whole, one after the other. That takes 0.7 s for one of nine hours at its largest (bench/README.md),
//! and all of them share 5 % of `disk`; of memory it takes what one record's sums do. To leave what the sample says unread saves
//! no time: it is the seconds that take it.

use std::fmt::Write as _;

use seawall_report::{Edition, RecordOrigin, Report};
use serde_json::{Value, json};

use super::place::Place;
use super::record;
use crate::figures::{grouped, time_span};
use crate::output::{Failure, say};

/// An incident and what its record says; `None` if it cannot be read.
pub(super) type Listed = (String, Option<Report>);

/// All of them, the oldest first. One that cannot be read is named and does not hide the others.
///
/// # Errors
/// A failure if the folder cannot be read.
pub(super) fn all(place: &Place) -> Result<Vec<Listed>, Failure> {
    let records = place.records()?;
    let read = records.into_iter().map(|(id, path)| {
        let mut report =
            record::report(&path, Edition::Public).map_err(|failure| failure.print()).ok();
        if let Some(report) = &mut report {
            // Sums are all that is listed: many records must not be held whole.
            (report.sources, report.timeline, report.looks) = (Vec::new(), Vec::new(), Vec::new());
        }
        (id, report)
    });
    let listed: Vec<_> = read.collect();
    if listed.is_empty() {
        say("No incident is recorded. A record is begun when more is asked than is ordinary.");
    }
    Ok(listed)
}

/// In the form of the interface.
pub(super) fn as_json(listed: &[Listed]) -> Value {
    let each = listed.iter().map(|(id, report)| match report {
        None => json!({ "id": id, "start": null, "end": null, "verdict": null, "requests": 0,
            "refused": 0, "sealed": false, "readable": false }),
        Some(report) => json!({
            "id": id,
            "start": report.begin.since,
            "end": report.until,
            "verdict": report.verdict,
            "requests": report.totals.requests,
            "refused": report.totals.refused,
            "sealed": report.record.is_closed,
            "origin": report.begin.origin,
            "readable": true,
        }),
    });
    json!({ "incidents": each.collect::<Vec<_>>() })
}

/// For people.
pub(super) fn as_text(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "no incidents".to_owned();
    }
    let mut text = format!(
        "{:<22} {:<20} {:>8} {:<10} {:>15} {:>15}  {}\n",
        "incident", "since (UTC)", "for", "verdict", "requests", "refused", "record"
    );
    for (id, report) in listed {
        let Some(report) = report else {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{id:<22} cannot be read");
            continue;
        };
        let until = report.until.unwrap_or(report.recorded_until);
        let long = until.unix_s().saturating_sub(report.begin.since.unix_s());
        let since = report.begin.since.to_string();
        let state = match (report.until, report.record.is_closed) {
            (_, true) => "closed",
            (Some(_), false) => "over, not sealed",
            (None, false) => "goes on, or was cut off",
        };
        let origin = match report.begin.origin {
            RecordOrigin::Live => "",
            RecordOrigin::Replay => ", reconstructed from logs",
            RecordOrigin::Rehearsal => ", a rehearsal",
        };
        let _ = writeln!(
            text,
            "{id:<22} {:<20} {:>8} {:<10} {:>15} {:>15}  {state}{origin}",
            since[..19].replace('T', " "),
            time_span(long),
            report.taken_for().name(),
            grouped(report.totals.requests),
            grouped(report.totals.refused),
        );
    }
    text
}
