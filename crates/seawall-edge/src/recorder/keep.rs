//! Records between incidents: ended after a kill, freed of addresses when their time is over, counted against their part of
//! the disk, removed.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use seawall_report::{Due, DueFinder, Entry, Gap, Moment, Removed, Remover, Resumer};
use tracing::error;

use super::disk::{Disk, Kept};
use super::writer::{Sums, Writer};
use crate::config::Evidence;

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
        let from = sums.sums.told_until();
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

/// Removes records whose time is over, but none that is pinned, and never the one that is written.
#[derive(Debug)]
pub(super) struct Room {
    /// After that records make room for others.
    retention: Duration,
    /// After that a record goes that does not say itself when.
    record_retention: Duration,
    max_bytes: u64,
    /// When it looked last.
    looked: Option<Moment>,
}

impl Room {
    pub(super) fn new(evidence: &Evidence, max_bytes: u64) -> Self {
        let Evidence { retention, record_retention, .. } = *evidence;
        Self { retention, record_retention, max_bytes, looked: None }
    }

    /// To be called once an hour. A record goes if its time was over at the last look, so that a clock that is wrong by years
    /// when the program starts costs none. While all take more than half of what they may, the oldest go whose retention was
    /// over then. Says to the writer what is left.
    pub(super) fn make<D: Disk>(&mut self, writer: &mut Writer<D>, now: Moment) {
        let open = writer.incident().map(str::to_owned);
        // If the clock was set back since, nothing was over for sure.
        let looked = self.looked.replace(now).filter(|looked| *looked <= now).unwrap_or_default();
        let mut kept = match writer.disk().list() {
            Ok(kept) => kept,
            Err(error) => return error!("the incident records cannot be looked at: {error}"),
        };
        kept.retain(|record| Some(&record.incident) != open.as_ref());
        let mut bytes: u64 = kept.iter().map(|record| record.bytes).sum();
        for record in kept {
            let makes_room = bytes > self.max_bytes / 2 && self.may_make_room(&record, looked);
            if !makes_room && !self.is_over(&record, looked) {
                continue;
            }
            match writer.disk().remove(&record.incident) {
                Ok(()) => {
                    bytes -= record.bytes;
                    tracing::info!(
                        seawall.incident.record = %record.incident,
                        "a record whose time is over was removed"
                    );
                }
                Err(error) => error!("an incident record cannot be removed: {error}"),
            }
        }
        writer.set_closed_bytes(bytes);
    }

    /// Whether a record goes. What has no date stays.
    fn is_over(&self, record: &Kept, looked: Moment) -> bool {
        let after_all = || Some(made(record)?.plus_ms(ms(self.record_retention)));
        let until = record.remove_at.or_else(after_all);
        !record.is_pinned && until.is_some_and(|until| until <= looked)
    }

    fn may_make_room(&self, record: &Kept, looked: Moment) -> bool {
        let over = made(record).map(|made| made.plus_ms(ms(self.retention)));
        !record.is_pinned && over.is_some_and(|over| over <= looked)
    }
}

/// When a record was made, by its first line, or else its name.
fn made(record: &Kept) -> Option<Moment> {
    record.made.or_else(|| began(&record.incident))
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Takes lines of addresses out of closed records when their time is over: `remove_addresses_at` of line 1 is a promise.
///
/// A record is read whole when it is first seen, an hour before something in it is due and when it is; between those nothing
/// is read. What is due goes if an hour ago it was due by now, so that a clock that is wrong by years for a moment costs nothing.
/// One record a turn, so that lines wait for one at most. Never the record that is written: what is due in it goes once it is
/// closed.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    looked: Option<Moment>,
    known: BTreeMap<String, Known>,
    todo: VecDeque<Kept>,
}

/// A closed record that was read.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// How long it was.
    bytes: u64,
    /// When it has to be read again.
    next: Option<Moment>,
    /// Whether what is due then goes.
    is_sure: bool,
}

impl Known {
    /// Of a record in which something is due at `due`.
    fn new(bytes: u64, due: Option<Moment>, now: Moment) -> Self {
        let is_sure = due.is_some_and(|due| due <= now.plus_ms(SURE_MS));
        let next = due.map(|due| match is_sure {
            true => due.max(now.plus_ms(SURE_MS)),
            false => Moment::from_unix_ms(due.unix_ms() - SURE_MS),
        });
        Self { bytes, next, is_sure }
    }

    fn is_due(&self, now: Moment) -> bool {
        self.next.is_some_and(|next| next <= now)
    }
}

impl Expiry {
    /// Looks into one record, if it is time. What fails is said, and tried again.
    pub(super) fn turn<D: Disk>(&mut self, writer: &mut Writer<D>, now: Moment) {
        let since = |looked| now.seconds_since(looked) >= EXPIRE_EVERY_S;
        // By less it waits for the clock to catch up.
        let is_set_back =
            self.looked.is_some_and(|looked| looked.seconds_since(now) >= EXPIRE_EVERY_S);
        if is_set_back {
            // What was to be read again by the other clock is read now.
            self.known.clear();
        }
        if is_set_back || self.looked.is_none_or(since) {
            self.looked = Some(now);
            self.list(writer, now);
        }
        let Some(record) = self.todo.pop_front() else { return };
        let incident = record.incident;
        if writer.incident() == Some(&*incident) {
            return;
        }
        let known = self.known.get(&incident);
        let is_sure = known.is_some_and(|known| known.is_sure && known.is_due(now));
        let until = if is_sure { now } else { Moment::default() };
        let known = match expire(writer, &incident, until, now) {
            Ok(next) => Known::new(record.bytes, next, now),
            Err(error) => {
                error!(
                    seawall.incident.record = %incident,
                    "addresses whose time is over stay in a record, tried again in ten minutes: {error}"
                );
                Known { bytes: record.bytes, next: Some(now.plus_ms(AGAIN_MS)), is_sure }
            }
        };
        self.known.insert(incident, known);
    }

    /// Which records have to be read.
    fn list<D: Disk>(&mut self, writer: &mut Writer<D>, now: Moment) {
        let kept = match writer.disk().list() {
            Ok(kept) => kept,
            Err(error) => return error!("the incident records cannot be looked at: {error}"),
        };
        self.known.retain(|incident, _| kept.iter().any(|record| record.incident == *incident));
        let known = &self.known;
        let is_wanted = |record: &Kept| match known.get(&record.incident) {
            Some(known) => known.bytes != record.bytes || known.is_due(now),
            None => true,
        };
        self.todo = kept.into_iter().filter(is_wanted).collect();
    }
}

/// Takes out what was due at `until` in a record that is not written any more, and what an entry says is gone; says when there
/// is more to do.
///
/// In this order, so that a crash leaves nothing unsaid: the entry that says it, sealed and synced; the record without those
/// lines beside the old one, synced; the new one in the place of the old.
fn expire<D: Disk>(
    writer: &mut Writer<D>,
    incident: &str,
    until: Moment,
    now: Moment,
) -> Result<Option<Moment>, String> {
    let (mut due, mut next) = find(writer, incident, until).map_err(|error| error.to_string())?;
    if due.lines.is_empty() {
        return Ok(next);
    }
    // What a full disk left of an earlier try is cut or sealed first.
    match end(writer, incident, now) {
        Ok(true) => {
            (due, next) = find(writer, incident, until).map_err(|error| error.to_string())?;
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(seawall.incident.record = %incident, "{error}"),
    }
    if !due.unsaid.is_empty()
        && let Err(error) = add(writer, incident, &said(&due.unsaid, now), now)?
    {
        // Nothing can be added to it, with another key for instance; people's addresses go all the same.
        tracing::warn!(
            seawall.incident.record = %incident,
            "addresses are taken out of a record that cannot say so: {error}"
        );
    }
    let written = write_without(writer, incident, &due.lines);
    if let Err(error) = written {
        // Half a copy would keep a full disk full.
        let discarded = writer.disk().discard(incident);
        return Err(discarded.err().map_or(error.clone(), |other| format!("{error}; {other}")));
    }
    tracing::info!(
        seawall.incident.record = %incident,
        lines = due.lines.len(),
        "addresses whose time is over were taken out of a record"
    );
    Ok(next)
}

/// Takes lines of addresses out of the record that is written, of whom somebody was vouched for since they were told. That
/// they are gone is sealed in it already.
pub(super) fn strike<D: Disk>(writer: &mut Writer<D>, now: Moment) {
    let Some((incident, lines)) = writer.struck(now) else { return };
    // Who replaces it takes the lock that who writes on it holds.
    writer.release();
    let done = write_without(writer, &incident, &lines);
    match &done {
        Ok(_) => tracing::info!(
            seawall.incident.record = %incident,
            lines = lines.len(),
            "addresses of who was vouched for were taken out of a record"
        ),
        Err(error) => {
            let discarded = writer.disk().discard(&incident);
            let error = discarded.err().map_or(error.clone(), |other| format!("{error}; {other}"));
            error!(
                seawall.incident.record = %incident,
                "addresses of who was vouched for stay in a record, tried again in a minute: {error}"
            );
        }
    }
    writer.replaced(done.ok(), now);
}

fn find<D: Disk>(
    writer: &mut Writer<D>,
    incident: &str,
    until: Moment,
) -> io::Result<(Due, Option<Moment>)> {
    let mut finder = DueFinder::new(until);
    writer.disk().read(incident, &mut |piece| finder.take(piece))?;
    let next = finder.next();
    Ok((finder.finish(), next))
}

/// The entry that says which lines go.
fn said(lines: &[u64], now: Moment) -> Entry {
    Entry::Removed(Removed { at: now, lines: lines.to_vec(), why: "retention".to_owned() })
}

/// Adds an entry to a record that is not written any more, and seals it. The inner error: the record is not what was
/// written with this key.
pub(super) fn add<D: Disk>(
    writer: &mut Writer<D>,
    incident: &str,
    entry: &Entry,
    now: Moment,
) -> Result<Result<(), String>, String> {
    let key = writer.key().clone();
    let mut resumer = Resumer::new(&key);
    let read = writer.disk().read(incident, &mut |piece| resumer.take(piece));
    read.map_err(|error| error.to_string())?;
    let (mut chain, resumed) = match resumer.finish() {
        Ok(resumed) => resumed,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let mut bytes = chain.append(entry).map_err(|error| error.to_string())?;
    bytes.extend(chain.seal(&key, now).map_err(|error| error.to_string())?);
    let keep = resumed.keep_bytes;
    let written = writer.disk().reopen(incident, keep).and_then(|mut file| {
        file.append(&bytes)?;
        file.sync()
    });
    let Err(error) = written else { return Ok(Ok(())) };
    // What is half written is cut; if that fails as well, the next try does it.
    let cut = writer.disk().reopen(incident, keep).and_then(|mut file| file.sync());
    Err(cut.err().map_or(error.to_string(), |other| format!("{error}; {other}")))
}

/// Writes the record without `lines`, and puts that in its place. How long it is.
fn write_without<D: Disk>(
    writer: &mut Writer<D>,
    incident: &str,
    lines: &[u64],
) -> Result<u64, String> {
    let disk = writer.disk();
    let text = |error: io::Error| error.to_string();
    let mut file = disk.beside(incident).map_err(text)?;
    let (mut remover, mut out) = (Remover::new(lines.iter().copied()), Vec::new());
    let (mut failed, mut len) = (None, 0);
    let read = disk.read(incident, &mut |piece| {
        if failed.is_some() {
            return;
        }
        out.clear();
        let taken = remover.take(piece, &mut out).map_err(|error| error.to_string());
        failed = taken.and_then(|()| file.append(&out).map_err(text)).err();
        len += out.len() as u64;
    });
    read.map_err(text)?;
    if let Some(failed) = failed {
        return Err(failed);
    }
    out.clear();
    remover.finish(&mut out).map_err(|error| error.to_string())?;
    file.append(&out).and_then(|()| file.sync()).map_err(text)?;
    disk.replace(incident).map_err(text)?;
    Ok(len + out.len() as u64)
}

/// When an incident of this name began.
pub(super) fn began(incident: &str) -> Option<Moment> {
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

/// So late at most a line goes, but for those of a record that is written.
const EXPIRE_EVERY_S: f64 = 60.0;
const SURE_MS: u64 = 3_600_000;
const AGAIN_MS: u64 = 600_000;
