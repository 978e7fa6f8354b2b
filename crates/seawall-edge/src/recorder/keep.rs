//! Records between incidents: ended after a kill, counted against their part of the disk, removed when their time is over.

use std::time::Duration;

use seawall_report::{Entry, Gap, Moment, Resumer};
use tracing::error;

use super::disk::{Disk, Kept};
use super::writer::{Sums, Writer};

/// Ends every record that a kill or a crash left open: what is sealed stays as it is, whole lines behind it are sealed
/// with a `gap` that says what happened, and the end is written with the sums of what was recorded. What goes on when the
/// program is back is an incident of its own.
pub(super) fn end_interrupted<D: Disk>(writer: &mut Writer<D>, now: Moment) {
    let kept = match writer.disk().list() {
        Ok(kept) => kept,
        Err(error) => return error!("the incident records cannot be looked at: {error}"),
    };
    for record in kept {
        let incident = &record.incident;
        match end(writer, incident, now) {
            Ok(false) => {}
            Ok(true) => tracing::warn!(
                seawall.incident.record = %incident,
                "a record that was cut off was ended, and says so"
            ),
            Err(error) => error!(
                seawall.incident.record = %incident,
                "a record that was cut off stays as it is: {error}"
            ),
        }
    }
}

/// Whether `incident` had to be ended.
fn end<D: Disk>(writer: &mut Writer<D>, incident: &str, now: Moment) -> Result<bool, String> {
    let key = writer.key().clone();
    let (mut resumer, mut sums) = (Resumer::new(&key), Reader::default());
    writer
        .disk()
        .read(incident, &mut |piece| {
            resumer.take(piece);
            sums.take(piece);
        })
        .map_err(|error| error.to_string())?;
    let (mut chain, resumed) = resumer.finish().map_err(|error| error.to_string())?;
    if chain.is_closed() && chain.open_lines() == 0 && resumed.cut_bytes == 0 {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    if !chain.is_closed() {
        let detail = format!(
            "the program was ended from outside; {} lines that were not sealed yet were kept, {} bytes of a line that was not whole were cut",
            resumed.unsealed_entries, resumed.cut_bytes
        );
        let from = sums.sums.last.plus_ms(1_000);
        let gap = Gap { from, until: Some(now), why: "killed".to_owned(), detail };
        for entry in [Entry::Gap(gap), Entry::End(Box::new(sums.sums.end(now)))] {
            if chain.is_full() {
                bytes.extend(chain.seal(&key, now).map_err(|error| error.to_string())?);
            }
            bytes.extend(chain.append(&entry).map_err(|error| error.to_string())?);
        }
    }
    if chain.open_lines() > 0 {
        bytes.extend(chain.seal(&key, now).map_err(|error| error.to_string())?);
    }
    let written = writer.disk().reopen(incident, resumed.keep_bytes).and_then(|mut file| {
        file.append(&bytes)?;
        file.sync()
    });
    written.map_err(|error| error.to_string())?;
    Ok(true)
}

/// Adds up the entries of a record that comes in pieces.
#[derive(Default)]
struct Reader {
    line: Vec<u8>,
    sums: Sums,
}

impl Reader {
    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.last() == Some(&b'\n') {
                if let Ok(entry) = serde_json::from_slice::<Entry>(&self.line) {
                    self.sums.add(&entry);
                }
                self.line.clear();
            } else if self.line.len() > seawall_report::MAX_LINE_BYTES {
                self.line.clear();
            }
        }
    }
}

/// Removes records while all of them take more than they may: the oldest first, but none before its retention is over, none
/// that is pinned, and never the one that is written. Says to the writer what the others take.
pub(super) fn make_room<D: Disk>(
    writer: &mut Writer<D>,
    (retention, max_bytes): (Duration, u64),
    now: Moment,
) {
    let open = writer.incident().map(str::to_owned);
    let mut kept = match writer.disk().list() {
        Ok(kept) => kept,
        Err(error) => return error!("the incident records cannot be looked at: {error}"),
    };
    kept.retain(|record| Some(&record.incident) != open.as_ref());
    let mut bytes: u64 = kept.iter().map(|record| record.bytes).sum();
    for record in kept {
        if bytes <= max_bytes / 2 || !is_due(&record, retention, now) {
            continue;
        }
        match writer.disk().remove(&record.incident) {
            Ok(()) => {
                bytes -= record.bytes;
                tracing::info!(
                    seawall.incident.record = %record.incident,
                    "a record whose time is over made room"
                );
            }
            Err(error) => error!("an incident record cannot be removed: {error}"),
        }
    }
    writer.set_closed_bytes(bytes);
}

fn is_due(record: &Kept, retention: Duration, now: Moment) -> bool {
    let retention = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let over = began(&record.incident).map(|began| began.plus_ms(retention));
    !record.is_pinned && over.is_some_and(|over| over <= now)
}

/// When an incident of this name began.
fn began(incident: &str) -> Option<Moment> {
    let part = |from: usize, to: usize| incident.get(from..to);
    let text = format!(
        "{}-{}-{}T{}:{}:{}.000Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(9, 11)?,
        part(11, 13)?,
        part(13, 15)?
    );
    Moment::parse(&text)
}
