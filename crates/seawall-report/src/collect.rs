//! Sums up a record while it is read: entries in, a [`Report`] out, whatever the record says and however long it is.
//!
//! Separate because every export and every judgement rests on these sums, and because a record may come from a stranger: each
//! table has a bound, and what did not fit is counted and said in [`Report::unknown`]. A record that was made to fill every table took
//! 120 MB, and 160 MB with addresses (2026-11-23).
//!
//! How seconds are counted: each line once. Seconds that end before the first alarm are the time before; those that begin no
//! later than the last alarm are the incident; those after it are only in the timeline. Two seconds of one name are there when the clock was set back: both are
//! counted, and both in the same part of the timeline. From the alarm on, a line that repeats one of the hour before in every
//! figure is left out. A second that is earlier than the record, or more than a year later, is counted in the first or the last part of
//! the timeline. It does **not** check signatures: that is for `verify`, whose findings come in as [`RecordFacts`].

mod bounds;
mod looks;
mod mitigations;
mod sources;
mod tally;
mod timeline;

use std::collections::BTreeMap;

use seawall_model::Attribute;

use self::bounds::{Bounded, add, figure, widen, words};
use self::looks::Looks;
use self::mitigations::Mitigations;
use self::sources::Sources;
use self::tally::{Spans, Tally};
use self::timeline::Timeline;
use crate::Moment;
use crate::assess::derive;
use crate::entry::{
    Address, Addresses, Begin, Clean, ClockOffset, End, Entry, Fault, Gap, LogFile, Note,
    Reconstructed, Removed, Row, Second, Step, StepKind,
};
use crate::note::{MAX_AUTHOR_BYTES, MAX_SOURCE_BYTES, MAX_TEXT_BYTES};
use crate::report::{REPORT_VERSION, RecordFacts, Report, SampleFacts, StateChange};
use crate::unknown::{Left, sentences};
use crate::verdict::Verdict;

/// Sums up a record.
#[derive(Debug)]
pub struct Collector {
    begin: Option<Begin>,
    end: Option<End>,
    spans: Spans,
    timeline: Timeline,
    recorded_until: Moment,
    doubled: u64,
    state: String,
    states: Bounded<StateChange>,
    /// The furthest of all that was said, whatever was said last: the ladder never takes one back, and a record that was cut
    /// off or put together anew is summed up by the same rule.
    verdict: Verdict,
    mitigations: Mitigations,
    sources: Sources,
    looks: Looks,
    rows: u64,
    clean_rows: u64,
    requests_of_rows: f64,
    gaps: Bounded<Gap>,
    faults: Bounded<Fault>,
    notes: Bounded<Note>,
    removed: Bounded<Removed>,
    timestamps: Bounded<(u64, String)>,
    /// Only for the sealed edition.
    addresses: Option<BTreeMap<String, Address>>,
    addresses_left_out: u64,
    encrypted: u64,
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

impl Collector {
    /// One that lets full addresses go by: for every edition but the sealed one.
    pub fn new() -> Self {
        Self {
            begin: None,
            end: None,
            spans: Spans::default(),
            timeline: Timeline::default(),
            recorded_until: Moment::default(),
            doubled: 0,
            state: String::new(),
            states: Bounded::new(MAX_LISTED),
            verdict: Verdict::NotJudged,
            mitigations: Mitigations::default(),
            sources: Sources::default(),
            looks: Looks::default(),
            rows: 0,
            clean_rows: 0,
            requests_of_rows: 0.0,
            gaps: Bounded::new(MAX_LISTED),
            faults: Bounded::new(MAX_LISTED),
            notes: Bounded::new(MAX_LISTED),
            removed: Bounded::new(MAX_LISTED),
            timestamps: Bounded::new(MAX_LISTED),
            addresses: None,
            addresses_left_out: 0,
            encrypted: 0,
        }
    }

    /// One that keeps full addresses: for the sealed edition.
    pub fn with_addresses() -> Self {
        Self { addresses: Some(BTreeMap::new()), ..Self::new() }
    }

    /// Takes the next entry of a record. O(log n) of what is held; a bounded amount of memory.
    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Begin(begin) => self.take_begin(begin),
            Entry::Second(second) => self.take_second(second),
            Entry::Row(row) => self.take_row(row),
            Entry::Clean(clean) => self.take_clean(clean),
            Entry::Word(word) => self.looks.take_word(word),
            Entry::Source(source) => self.sources.take(source),
            Entry::Addresses(addresses) => self.take_addresses(addresses),
            Entry::Step(step) => self.take_step(step),
            Entry::Gap(gap) => self.gaps.push(Gap {
                why: words(&gap.why, 32),
                detail: words(&gap.detail, MAX_TEXT),
                ..*gap
            }),
            Entry::Fault(fault) => self.faults.push(Fault {
                at: fault.at,
                part: words(&fault.part, 64),
                what: words(&fault.what, MAX_TEXT),
            }),
            Entry::Note(note) => self.notes.push(Note {
                author: words(&note.author, MAX_AUTHOR_BYTES),
                source: note.source.as_ref().map(|source| words(source, MAX_SOURCE_BYTES)),
                text: words(&note.text, MAX_TEXT_BYTES),
                ..*note
            }),
            Entry::Timestamp(stamp) => {
                self.timestamps.push((stamp.segment, words(&stamp.authority, 256)));
            }
            Entry::Removed(removed) => self.removed.push(Removed {
                at: removed.at,
                lines: removed.lines.iter().copied().take(MAX_LISTED).collect(),
                why: words(&removed.why, 32),
            }),
            Entry::End(end) => {
                let verdict = Verdict::of(&end.verdict);
                self.verdict = self.verdict.max(verdict);
                self.end = Some(End { verdict: verdict.as_str().to_owned(), ..**end });
            }
        }
    }

    fn take_begin(&mut self, begin: &Begin) {
        // A program that goes on with a record may say again what it is; the incident is the first one's.
        if self.begin.is_some() {
            return;
        }
        let begin = bounded_begin(begin);
        self.looks.begin(&begin.attributes);
        self.timeline.begin(begin.recorded_from);
        self.recorded_until = self.recorded_until.max(begin.recorded_from);
        self.begin = Some(begin);
    }

    fn take_second(&mut self, second: &Second) {
        let tally = Tally::of(second);
        let since = self.begin.as_ref().map_or(Moment::default(), |begin| begin.since);
        if !self.spans.take(second.at, tally.clone(), since) {
            add(&mut self.doubled, 1);
            return;
        }
        self.timeline.take(second.at, &tally);
        self.mitigations.take_met(&second.met);
        self.recorded_until = self.recorded_until.max(second.at);
        if second.state != self.state {
            self.state = words(&second.state, 32);
            self.states.push(StateChange { at: second.at, state: self.state.clone() });
        }
    }

    fn take_row(&mut self, row: &Row) {
        // A probability of nothing cannot have been drawn: such a row stands for itself.
        let is_probability = row.p > 0.0 && row.p <= 1.0;
        let weight = if is_probability { figure(1.0 / row.p) } else { 1.0 };
        add(&mut self.rows, 1);
        add(&mut self.clean_rows, u64::from(row.is_clean()));
        self.requests_of_rows = figure(self.requests_of_rows + weight);
        self.sources.take_row(row, weight);
        self.looks.take(row, weight);
    }

    fn take_clean(&mut self, clean: &Clean) {
        add(&mut self.rows, clean.rows);
        let requests = figure(clean.requests);
        self.requests_of_rows = figure(self.requests_of_rows + requests);
        self.looks.take_clean(clean, requests);
    }

    fn take_step(&mut self, step: &Step) {
        if let Some(verdict) = &step.verdict {
            self.verdict = self.verdict.max(Verdict::of(verdict));
        }
        if let (StepKind::Moved, Some(change)) = (step.step, &step.mitigation) {
            self.mitigations.take(step.at, change);
        }
    }

    fn take_addresses(&mut self, line: &Addresses) {
        if line.age.is_some() {
            self.encrypted = self.encrypted.max(line.count);
        }
        let Some(held) = &mut self.addresses else { return };
        for address in &line.addresses {
            let key = words(&address.address, 64);
            if held.len() >= MAX_ADDRESSES && !held.contains_key(&key) {
                add(&mut self.addresses_left_out, 1);
                continue;
            }
            let mut ports = address.ports.clone();
            ports.truncate(MAX_PORTS);
            let seen = address.seen.iter().copied().take(MAX_PORTS).collect();
            let mitigations = address.mitigations.iter().copied().take(32).collect();
            let destination = address.destination.as_ref().map(|it| words(it, 64));
            let new =
                Address { address: key.clone(), ports, seen, mitigations, destination, ..*address };
            held.entry(key).and_modify(|old| merge_address(old, &new)).or_insert(new);
        }
    }

    fn lists_left_out(&self) -> u64 {
        self.states.left_out
            + self.gaps.left_out
            + self.faults.left_out
            + self.notes.left_out
            + self.removed.left_out
            + self.timestamps.left_out
    }

    /// What the record says, with what is known of the record itself.
    pub fn finish(self, mut record: RecordFacts) -> Report {
        let until = self.end.as_ref().map(|end| end.until);
        let lists = self.lists_left_out();
        let settled = self.spans.settle(until);
        let left = Left {
            misplaced: self.timeline.misplaced,
            doubled: self.doubled,
            uneven: settled.before.uneven + settled.during.uneven + settled.after.uneven,
            is_overdue: settled.is_overdue,
            end: self.end.clone(),
            malformed_sources: self.sources.malformed,
            words: self.looks.words_left_out,
            moves: self.mitigations.moves_left_out,
            met: self.mitigations.met_left_out,
            lists,
            addresses: self.addresses_left_out,
            encrypted: self.encrypted,
            without_tls: self.looks.unknown_share(Attribute::Ja4),
            has_begin: self.begin.is_some(),
            requests_after: settled.after.totals.requests,
        };
        let found = self.sources.finish();
        if record.removed.is_empty() {
            record.removed = self.removed.items;
        }
        if record.timestamps.is_empty() {
            record.timestamps = self.timestamps.items;
        }
        let mut report = Report {
            report: REPORT_VERSION,
            begin: self.begin.unwrap_or_default(),
            until,
            recorded_until: self.recorded_until,
            verdict: self.verdict.as_str().to_owned(),
            totals: settled.during.totals(),
            before: settled.before.totals(),
            peak: settled.during.peak.unwrap_or_default(),
            timeline: self.timeline.finish(),
            cohorts: settled.during.cohorts(),
            cohorts_before: settled.before.cohorts(),
            mitigations: self.mitigations.finish(),
            states: self.states.items,
            sources: found.sources,
            networks: found.networks,
            looks: self.looks.finish(),
            sample: SampleFacts {
                rows: self.rows,
                clean_rows: self.clean_rows,
                requests: self.requests_of_rows,
                prefixes: found.prefixes,
                prefixes_left_out: found.left_out,
            },
            node: settled.during.node,
            gaps: self.gaps.items,
            faults: self.faults.items,
            notes: self.notes.items,
            record,
            addresses: self.addresses.unwrap_or_default().into_values().collect(),
            ..Report::default()
        };
        report.assessments = derive(&report);
        report.unknown = sentences(&report, &left);
        report
    }
}

fn bounded_begin(begin: &Begin) -> Begin {
    let list = |texts: &[String]| texts.iter().take(256).map(|text| words(text, 256)).collect();
    Begin {
        incident: words(&begin.incident, 64),
        sites: list(&begin.sites),
        reconstructed: begin.reconstructed.as_ref().map(|it| Reconstructed {
            at: it.at,
            logs: it.logs.iter().take(256).map(bounded_log).collect(),
        }),
        listens: list(&begin.listens),
        software: words(&begin.software, 128),
        software_sha256: begin.software_sha256.as_ref().map(|text| words(text, 64)),
        config_sha256: begin.config_sha256.as_ref().map(|text| words(text, 64)),
        run: words(&begin.run, 64),
        public_key: words(&begin.public_key, 1_024),
        clock: begin.clock.as_ref().map(|clock| ClockOffset {
            offset_ms: figure(clock.offset_ms.abs()).copysign(clock.offset_ms),
            error_ms: figure(clock.error_ms),
            source: words(&clock.source, 64),
        }),
        attributes: begin.attributes.iter().take(24).map(|name| words(name, 48)).collect(),
        ..*begin
    }
}

fn bounded_log(log: &LogFile) -> LogFile {
    LogFile { name: words(&log.name, 256), bytes: log.bytes, sha256: words(&log.sha256, 64) }
}

/// Refusals are "at least so many", so that the larger of two figures is right for both.
fn merge_address(old: &mut Address, new: &Address) {
    let mut seen = old.ports_seen();
    for (port, first, last) in new.ports_seen() {
        match seen.iter_mut().find(|seen| seen.0 == port) {
            Some(known) => (known.1, known.2) = (known.1.min(first), known.2.max(last)),
            None => seen.push((port, first, last)),
        }
    }
    seen.truncate(MAX_PORTS);
    widen(&mut old.first_seen, &mut old.last_seen, new.first_seen, new.last_seen);
    old.set_seen(&seen);
    old.refused = old.refused.max(new.refused);
    for port in &new.ports {
        if old.ports.len() < MAX_PORTS && !old.ports.contains(port) {
            old.ports.push(*port);
        }
    }
    for id in &new.mitigations {
        if old.mitigations.len() < 32 && !old.mitigations.contains(id) {
            old.mitigations.push(*id);
        }
    }
    if old.destination.is_none() {
        old.destination.clone_from(&new.destination);
    }
}

/// Of gaps, faults, notes, states and so on.
const MAX_LISTED: usize = 1_000;
const MAX_TEXT: usize = 1_024;
const MAX_ADDRESSES: usize = 50_000;
const MAX_PORTS: usize = 8;

#[cfg(test)]
mod tests;
