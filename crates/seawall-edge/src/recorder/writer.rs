//! Writes records: lines into files, sealed minute by minute, whatever the disk does.
//!
//! Lines are given to the system four times a second, so that a killed program loses less than that, and are synced with
//! each seal, so that a power cut loses a minute at most. If the disk takes nothing, what comes is kept in memory, 16,384
//! lines of it; what is beyond is counted, and a `gap` says so when it works again. Nobody waits for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use seawall_report::{Chain, End, Entry, Fault, Gap, Moment, Note, Removed, Verdict};
use seawall_seal::{Digest, SigningKey};

use super::disk::{Disk, RecordFile};
use super::notes;
use super::story::Output;
use crate::admin::{Noted, OrderRefusal};

/// What metrics show.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) lines: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) stamps: AtomicU64,
    pub(crate) stamp_failures: AtomicU64,
    /// What the disk says, while it takes nothing.
    pub(crate) fault: Mutex<Option<String>>,
}

/// Writes to `D`.
pub(super) struct Writer<D> {
    disk: D,
    key: Arc<SigningKey>,
    counters: Arc<Counters>,
    open: Option<Open>,
    /// What is to be written; not empty between two turns only while the disk takes nothing.
    waiting: VecDeque<Output>,
    trouble: Option<Trouble>,
    /// Bytes that records may take in all.
    max_bytes: u64,
    /// Bytes that closed records take.
    closed_bytes: u64,
}

/// The record that is written.
struct Open {
    incident: String,
    chain: Chain,
    /// Bytes that are whole lines of the chain.
    len: u64,
    /// `None` after a failure.
    file: Option<Box<dyn RecordFile>>,
    sums: Sums,
    told: Told,
}

/// Which lines of a record told addresses.
#[derive(Clone, Debug, Default)]
struct Told {
    /// By the number of what was told.
    lines: BTreeMap<u64, u64>,
    /// Lines of which an entry says that they are removed.
    struck: BTreeSet<u64>,
    /// Those of them of which that is sealed: they have to go.
    due: BTreeSet<u64>,
    /// When it is tried again, if they could not be taken out.
    retry_at: Moment,
}

impl Told {
    /// The entry that says that the lines of these numbers are gone; none if there are none of them in the record.
    fn strike(&mut self, numbers: &[u64], now: Moment) -> Option<Entry> {
        let lines: Vec<u64> =
            numbers.iter().filter_map(|number| self.lines.remove(number)).collect();
        self.struck.extend(&lines);
        let removed = Removed { at: now, lines, why: "vouched".to_owned() };
        (!removed.lines.is_empty()).then_some(Entry::Removed(removed))
    }
}

/// Since when the disk takes nothing.
struct Trouble {
    since: Moment,
    why: &'static str,
    detail: String,
    retry_at: Moment,
    pause_ms: u64,
    /// Of what could not be kept in memory: the first moment, and how many.
    lost_from: Option<Moment>,
    lost: u64,
}

/// What a record says of itself, for an end that the incident does not write.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    end: End,
    since: Moment,
    last: Moment,
}

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Begin(begin) => self.since = begin.since,
            Entry::Second(second) => {
                self.last = self.last.max(second.at);
                if second.at.plus_ms(1_000) <= self.since {
                    return;
                }
                self.end.requests += second.requests;
                let excess = (second.requests as f64 - second.expected).max(0.0);
                self.end.excess += excess as u64;
                self.end.matched += second.met.iter().map(|met| met.matched).sum::<u64>();
                if matches!(second.state.as_str(), "crowd" | "mixed" | "attack") {
                    self.end.until = second.at.plus_ms(1_000);
                }
            }
            Entry::Step(step) => {
                let furthest = Verdict::of(&self.end.verdict);
                let verdict = Verdict::of(step.verdict.as_deref().unwrap_or_default());
                verdict.max(furthest).as_str().clone_into(&mut self.end.verdict);
            }
            _ => {}
        }
    }

    /// Up to when there are seconds; if there are none, when the incident began.
    pub(super) fn told_until(&self) -> Moment {
        if self.last == Moment::default() { self.since } else { self.last.plus_ms(1_000) }
    }

    /// The end of what was recorded, written at `at`.
    pub(super) fn end(&self, at: Moment) -> End {
        let until = if self.end.until == Moment::default() { self.since } else { self.end.until };
        End { at, until, ..self.end.clone() }
    }
}

impl<D: Disk> Writer<D> {
    pub(super) fn new(
        disk: D,
        key: Arc<SigningKey>,
        counters: Arc<Counters>,
        max_bytes: u64,
    ) -> Self {
        Self {
            disk,
            key,
            counters,
            open: None,
            waiting: VecDeque::new(),
            trouble: None,
            max_bytes,
            closed_bytes: 0,
        }
    }

    pub(super) const fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    pub(super) const fn key(&self) -> &Arc<SigningKey> {
        &self.key
    }

    pub(super) fn set_closed_bytes(&mut self, bytes: u64) {
        self.closed_bytes = bytes;
    }

    /// The record that is written now.
    pub(super) fn incident(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.incident.as_str())
    }

    /// Why the disk takes nothing, if that is so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.detail.as_str())
    }

    /// The record that is written now, and its last seal: which segment, and the head of the chain.
    pub(super) fn head(&self) -> Option<(&str, u64, Digest)> {
        let open = self.open.as_ref()?;
        Some((&open.incident, open.chain.segments(), open.chain.head()?))
    }

    /// Lines that have to go from the record that is written, if now is the time: nothing waits, and the disk takes it.
    pub(super) fn struck(&self, now: Moment) -> Option<(String, Vec<u64>)> {
        let open = self.open.as_ref()?;
        let is_time = self.trouble.is_none() && self.waiting.is_empty();
        let is_due = !open.told.due.is_empty() && !waits(now, open.told.retry_at, STRIKE_AGAIN_MS);
        let lines = || open.told.due.iter().copied().collect();
        (is_time && is_due).then(|| (open.incident.clone(), lines()))
    }

    /// Lets the file of the record go that is written: it is about to be replaced.
    pub(super) fn release(&mut self) {
        if let Some(open) = &mut self.open {
            open.file = None;
        }
    }

    /// The file was replaced by one of `len` bytes without the lines that had to go; or at `now` it could not be, and is to be
    /// tried again.
    pub(super) fn replaced(&mut self, done: Option<u64>, now: Moment) {
        let Some(open) = &mut self.open else { return };
        match done {
            Some(len) => {
                open.len = len;
                open.told.due.clear();
            }
            None => open.told.retry_at = now.plus_ms(STRIKE_AGAIN_MS),
        }
    }

    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Whether the disk takes nothing.
    #[cfg(test)]
    pub(super) const fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// Writes what there is to write, or keeps it until the disk takes it.
    pub(super) fn take(&mut self, now: Moment, outputs: Vec<Output>) {
        for output in outputs {
            // That somebody was vouched for is not lost: it comes once a minute at most.
            if self.waiting.len() >= MAX_WAITING && !matches!(output, Output::Strike(_)) {
                self.lose(now);
            } else {
                self.waiting.push_back(output);
            }
        }
        self.turn(now);
    }

    /// Tries again, if it is time.
    pub(super) fn turn(&mut self, now: Moment) {
        let waits = |trouble: &Trouble| waits(now, trouble.retry_at, trouble.pause_ms);
        if self.trouble.as_ref().is_some_and(waits) {
            return;
        }
        while !self.waiting.is_empty() {
            if let Err(error) = self.write_next(now) {
                return self.fail(now, &error);
            }
        }
        let Some(trouble) = self.trouble.take() else { return };
        *self.counters.fault.lock() = None;
        let told = trouble.told(now);
        tracing::warn!(lost = trouble.lost, "the incident record is written again");
        self.waiting.push_back(Output::Line(Box::new(told)));
        if self.open.is_none() {
            self.waiting.clear();
        } else if let Err(error) = self.write_next(now) {
            let kept = std::mem::take(&mut self.waiting);
            self.fail(now, &error);
            // It says the same again when it is over, of all of it.
            if let Some(again) = &mut self.trouble {
                (again.since, again.lost) = (trouble.since, again.lost + trouble.lost);
                again.lost_from = trouble.lost_from.or(again.lost_from);
            }
            drop(kept);
        }
    }

    /// Writes a note into the record of `incident` and seals it: in a segment with what came before it.
    ///
    /// # Errors
    /// Another record is open, or none; or the disk takes nothing. Then the chain does not have it, and nobody tries again.
    pub(super) fn note(
        &mut self,
        incident: &str,
        note: Note,
        now: Moment,
    ) -> Result<Noted, OrderRefusal> {
        self.turn(now);
        if let Some(trouble) = &self.trouble {
            return Err(notes::refused(&trouble.detail));
        }
        if self.incident() != Some(incident) {
            return Err(notes::not_open(incident));
        }
        let at = note.at;
        self.waiting.extend([Output::Line(Box::new(Entry::Note(note))), Output::Seal]);
        self.turn(now);
        if let Some(trouble) = &self.trouble {
            // Nothing else waited.
            self.waiting.clear();
            let refusal = notes::refused(&trouble.detail);
            self.cut();
            return Err(refusal);
        }
        let Some(open) = &self.open else { return Err(notes::not_open(incident)) };
        Ok(Noted {
            at: at.to_string(),
            segment: open.chain.segments(),
            head: open.chain.head().map(|head| head.to_string()).unwrap_or_default(),
            key: self.key.public().id(),
        })
    }

    /// Cuts what the file has beyond the chain, which may be all of a refused note and its seal: if the program is killed before
    /// the next write, that would come to stand. If this fails as well, the next write does it.
    fn cut(&mut self) {
        let Some(open) = &self.open else { return };
        let file = self.disk.reopen(&open.incident, open.len);
        if let Err(error) = file.and_then(|mut file| file.sync()) {
            tracing::warn!("what is left of a refused note is not cut yet: {error}");
        }
    }

    /// Writes the next lines, to a seal at most: all of them, or none as far as the chain is concerned.
    fn write_next(&mut self, now: Moment) -> io::Result<()> {
        match self.waiting.front() {
            Some(Output::Begin(_)) => return self.begin(now),
            Some(Output::Conclude) => {
                self.waiting.pop_front();
                self.conclude(now);
                return Ok(());
            }
            _ => {}
        }
        let Some(open) = &mut self.open else {
            // Its beginning was lost.
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
            self.waiting.pop_front();
            return Ok(());
        };
        if open.file.is_none() {
            open.file = Some(self.disk.reopen(&open.incident, open.len)?);
        }
        let mut next = Next::after(open);
        for output in &self.waiting {
            let is_room = !next.chain.is_full();
            match output {
                Output::Begin(_) | Output::Conclude => break,
                Output::Line(entry) if is_room => {
                    next.append(entry, &self.counters);
                }
                Output::Addresses(number, entry) if is_room => {
                    if next.append(entry, &self.counters) {
                        next.told.lines.insert(*number, next.chain.lines());
                    }
                }
                Output::Strike(numbers) if is_room => {
                    if let Some(removed) = next.told.strike(numbers, now) {
                        next.append(&removed, &self.counters);
                    }
                }
                Output::Line(_) | Output::Addresses(..) | Output::Strike(_) | Output::Seal => {
                    next.seal(&self.key, now);
                    next.count += usize::from(*output == Output::Seal);
                    break;
                }
            }
            next.count += 1;
        }
        let Next { chain, sums, told, bytes, count, lines, is_sealed } = next;
        if self.closed_bytes + open.len + bytes.len() as u64 > self.max_bytes {
            let why = "incident records take as much of `disk` as they may";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
        }
        let file = open.file.as_mut().expect("it was opened above");
        file.append(&bytes)?;
        if is_sealed {
            file.sync()?;
        }
        open.len += bytes.len() as u64;
        (open.chain, open.sums, open.told) = (chain, sums, told);
        self.counters.lines.fetch_add(lines, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.waiting.drain(..count);
        if is_sealed && open.chain.is_closed() {
            self.closed_bytes += open.len;
            self.open = None;
        }
        Ok(())
    }

    /// Begins a record. One that was left open, because its end was lost, is ended first.
    fn begin(&mut self, now: Moment) -> io::Result<()> {
        if self.open.is_some() {
            self.conclude(now);
            return Ok(());
        }
        let Some(Output::Begin(begin)) = self.waiting.front() else { return Ok(()) };
        let Ok((chain, line)) = Chain::begin(begin, &self.key) else {
            tracing::error!("an incident cannot be recorded: its first line would be too long");
            self.waiting.pop_front();
            return Ok(());
        };
        let mut file = self.disk.create(&begin.incident)?;
        file.append(&line)?;
        let mut sums = Sums::default();
        sums.add(&Entry::Begin(begin.clone()));
        let (incident, len) = (begin.incident.clone(), line.len() as u64);
        tracing::info!(seawall.incident.record = %incident, "the incident is recorded");
        let told = Told::default();
        self.open = Some(Open { incident, chain, len, file: Some(file), sums, told });
        self.waiting.pop_front();
        self.counters.lines.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    /// Has the record end next, with the sums of what is in it.
    fn conclude(&mut self, now: Moment) {
        if let Some(open) = &self.open {
            let end = Entry::End(Box::new(open.sums.end(now)));
            self.waiting.push_front(Output::Seal);
            self.waiting.push_front(Output::Line(Box::new(end)));
        }
    }

    fn fail(&mut self, now: Moment, error: &io::Error) {
        self.counters.faults.fetch_add(1, Ordering::Relaxed);
        if let Some(open) = &mut self.open {
            open.file = None;
        }
        let why = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
            _ => "disk_error",
        };
        match &mut self.trouble {
            Some(trouble) => {
                trouble.pause_ms = (trouble.pause_ms * 2).min(MAX_PAUSE_MS);
                trouble.retry_at = now.plus_ms(trouble.pause_ms);
            }
            None => {
                tracing::error!(
                    "the incident record cannot be written, which changes nothing for readers: {error}"
                );
                *self.counters.fault.lock() = Some(error.to_string());
                self.trouble = Some(Trouble {
                    since: now,
                    why,
                    detail: error.to_string(),
                    retry_at: now.plus_ms(FIRST_PAUSE_MS),
                    pause_ms: FIRST_PAUSE_MS,
                    lost_from: None,
                    lost: 0,
                });
            }
        }
    }

    fn lose(&mut self, now: Moment) {
        self.counters.lost.fetch_add(1, Ordering::Relaxed);
        if let Some(trouble) = &mut self.trouble {
            trouble.lost += 1;
            trouble.lost_from.get_or_insert(now);
        }
    }
}

/// What a record is after the next lines.
struct Next {
    chain: Chain,
    sums: Sums,
    told: Told,
    bytes: Vec<u8>,
    /// Of what waits.
    count: usize,
    lines: u64,
    is_sealed: bool,
}

impl Next {
    fn after(open: &Open) -> Self {
        let (chain, sums, told) = (open.chain.clone(), open.sums.clone(), open.told.clone());
        Self { chain, sums, told, bytes: Vec::new(), count: 0, lines: 0, is_sealed: false }
    }

    /// Whether it is a line now. What is too long for one, or comes after the end, is lost alone.
    fn append(&mut self, entry: &Entry, counters: &Counters) -> bool {
        match self.chain.append(entry) {
            Ok(line) => {
                self.sums.add(entry);
                self.lines += 1;
                self.bytes.extend(line);
                true
            }
            Err(error) => {
                counters.lost.fetch_add(1, Ordering::Relaxed);
                tracing::error!("a line of the incident record is lost: {error}");
                false
            }
        }
    }

    fn seal(&mut self, key: &SigningKey, now: Moment) {
        if let Ok(seal) = self.chain.seal(key, now) {
            self.bytes.extend(seal);
            self.is_sealed = true;
            let struck = std::mem::take(&mut self.told.struck);
            self.told.due.extend(struck);
        }
    }
}

impl Trouble {
    /// What is said of it when it is over.
    fn told(&self, now: Moment) -> Entry {
        match self.lost_from {
            Some(from) => Entry::Gap(Gap {
                from,
                until: Some(now),
                why: self.why.to_owned(),
                detail: format!("{} lines were lost: {}", self.lost, self.detail),
            }),
            None => Entry::Fault(Fault {
                at: self.since,
                part: "record".to_owned(),
                what: format!(
                    "the disk took nothing until {now} ({}); what came meanwhile was kept in memory",
                    self.detail
                ),
            }),
        }
    }
}

/// Whether what waits for `until`, a pause from when it was said, waits still. Not for longer if the clock was set back.
pub(super) fn waits(now: Moment, until: Moment, pause_ms: u64) -> bool {
    now < until && until <= now.plus_ms(pause_ms)
}

const MAX_WAITING: usize = 16_384;
const FIRST_PAUSE_MS: u64 = 1_000;
const MAX_PAUSE_MS: u64 = 60_000;
const STRIKE_AGAIN_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use seawall_report::Step;

    use super::*;

    #[test]
    fn an_end_that_the_incident_did_not_write_has_the_furthest_verdict_and_makes_none_up() {
        for (judged, want) in [
            (&[][..], ""),
            (&["mixed"], "mixed"),
            (&["mixed", "crowd"], "crowd"),
            (&["mixed", "attack", "mixed"], "attack"),
        ] {
            let mut sums = Sums::default();
            for verdict in judged {
                let verdict = Some((*verdict).to_owned());
                sums.add(&Entry::Step(Box::new(Step { verdict, ..Step::default() })));
            }
            assert_eq!(sums.end(Moment::default()).verdict, want, "{judged:?}");
        }
    }
}
