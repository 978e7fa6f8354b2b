//! What the watch sees, tick by tick, as the lines of a record: no clock, no file, no thread.
//!
//! In peace the last fifteen minutes stay in a ring: 900 seconds of sums, 1,500 rows, and counts of readers, 2 MB. When an incident opens they
//! are the first segment of its record, and each minute from then on is another. The same runs in the shield and in a
//! replay of logs. Read next: `rows` for what is written of whom, `writer` for what becomes of it.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seawall_control::{ControlLoop, Entry as Recorded, Incident, Step as Happened};
use seawall_detect::{Finding, SignatureEvidence, Window};
use seawall_model::{Attribute, ClientAddr, Instant, Observation, Rung, Signature, WallTime};
use seawall_report::{
    Addresses, Begin, Clean, ClockOffset, End, Entry, Evidence, Fault, Gap, Lost, Moment, Move,
    Node, Reconstructed, RecordOrigin, Row, Second, Step, StepKind, Word,
};

use super::addresses::Refused;
use super::clean::Readers;
use super::rows::{self, Thinner};
use super::seconds::{Sums, Untold};
use super::sources::Sources;
use super::vouched::Vouched;

/// What is to be written.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A record begins.
    Begin(Box<Begin>),
    /// The next line of it.
    Line(Box<Entry>),
    /// The next line, of addresses, by a number that no other has.
    Addresses(u64, Box<Entry>),
    /// Lines of addresses of these numbers have to go: somebody there was vouched for.
    Strike(Vec<u64>),
    /// What was written since the last seal is a segment.
    Seal,
    /// The incident was lost sight of: the record ends with the sums of what is in it.
    Conclude,
}

/// What a record says of the program and its surroundings in its first line.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Addresses listened on.
    pub listens: Vec<String>,
    /// Which of them everybody connects to, if that is known.
    pub destination: Option<SocketAddr>,
    /// Where the facts come from.
    pub origin: RecordOrigin,
    /// Of which logs, and when; `None` for what goes on now.
    pub reconstructed: Option<Reconstructed>,
    /// Which life of the program.
    pub run: String,
    /// How long full addresses are kept.
    pub retention: Duration,
    /// How long the record is; zero: nobody removes it.
    pub record_retention: Duration,
}

/// What is known of clients and the machine outside of what was sampled.
pub trait Surroundings {
    /// Whether more than one person may be behind an address, or it is one that the operator vouches for.
    fn is_shared(&self, client: ClientAddr) -> bool;

    /// Hosts of the sites, and the SHA-256 of the configuration's file: a reload changes both.
    fn configuration(&self) -> (Vec<String>, Option<String>);

    /// How far the clock is off; `None` if nobody says so.
    fn clock(&self) -> Option<ClockOffset>;

    /// Who registered the network of an address, and what it is known as, but for Tor, which rows say.
    fn describe(&self, client: ClientAddr) -> (Option<String>, Vec<String>);

    /// What the machine went through since it was asked last.
    fn node(&mut self) -> Option<Node>;
}

/// What one tick saw.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was found.
    pub finding: &'a Finding,
    /// What all workers saw.
    pub window: &'a Window,
    /// What was recorded meanwhile.
    pub happened: &'a [Recorded],
    /// What knows signatures in words.
    pub control: &'a ControlLoop,
}

/// Turns ticks into lines.
#[derive(Debug)]
pub struct Story {
    about: About,
    ring: VecDeque<(Second, Vec<Row>)>,
    /// What was counted of readers meanwhile.
    minutes: VecDeque<Clean>,
    readers: Readers,
    sums: Sums,
    untold: Untold,
    /// The second that is being added up, since 1970.
    second: Option<u64>,
    rows: Vec<Row>,
    words: Vec<Word>,
    thinner: Thinner,
    sources: Sources,
    refused: Refused,
    last: Option<(Instant, WallTime)>,
    open: Option<Open>,
}

/// The record that is being written.
#[derive(Debug)]
struct Open {
    /// Counted from 0; the ring is the first.
    segment: u64,
    /// Seconds of the segment.
    seconds: u64,
    rows: u64,
    rows_lost: u64,
    told: HashSet<(Attribute, u32)>,
    remove_at: Moment,
    /// It is over; the end is written with the second.
    closing: Option<Incident>,
}

impl Story {
    /// `seed`: random, for keyed tables and for where sampling begins.
    pub fn new(about: About, seed: [u64; 2]) -> Self {
        Self::with_vouched(about, seed, Arc::new(Vouched::new(seed)))
    }

    /// One that is told of everybody for whom something speaks, in the sample or not.
    pub(super) fn with_vouched(about: About, seed: [u64; 2], vouched: Arc<Vouched>) -> Self {
        let random = |word: u64| (word >> 11) as f64 / (1_u64 << 53) as f64;
        Self {
            about,
            ring: VecDeque::with_capacity(RING_SECONDS),
            minutes: VecDeque::new(),
            readers: Readers::new(random(seed[1])),
            sums: Sums::default(),
            untold: Untold::default(),
            second: None,
            rows: Vec::new(),
            words: Vec::new(),
            thinner: Thinner::new(random(seed[0])),
            sources: Sources::default(),
            refused: Refused::new(vouched),
            last: None,
            open: None,
        }
    }

    /// Whether a record is being written.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes in a tick. What is to be written of it.
    pub fn tick(&mut self, seen: &Seen<'_>, around: &mut impl Surroundings) -> Vec<Output> {
        let mut out = Vec::new();
        let (now, wall) = (seen.finding.at, seen.finding.wall);
        let second = (wall - Window::LENGTH / 2).unix_secs();
        if let Some(before) = self.second
            && before != second
        {
            self.end_second(before, around, &mut out);
            self.pass(before, second, (now, wall), &mut out);
        }
        self.second = Some(second);
        self.last = Some((now, wall));
        self.sums.add(seen.finding);
        self.take_rows(seen);
        for entry in seen.happened {
            self.happen(entry, seen, around, &mut out);
        }
        out
    }

    /// The program ends: so does the record. `incident` is the one that goes on.
    pub fn finish(
        &mut self,
        incident: Option<&Incident>,
        around: &mut impl Surroundings,
    ) -> Vec<Output> {
        let mut out = Vec::new();
        let Some((_, wall)) = self.last else { return out };
        let Some(open) = &mut self.open else { return out };
        if open.closing.is_none() {
            let (part, what) = match self.about.origin {
                RecordOrigin::Replay => ("log", "it ends while the incident goes on"),
                _ => ("program", "it was ended while the incident went on"),
            };
            let fault = Fault { at: wall.into(), part: part.to_owned(), what: what.to_owned() };
            line(&mut out, Entry::Fault(fault));
            open.closing = incident.copied();
        }
        self.end_second(self.second.unwrap_or_default(), around, &mut out);
        if self.open.is_some() {
            self.tell_readers(wall.into(), &mut out);
            self.open = None;
            out.push(Output::Conclude);
        }
        out
    }

    /// The watch broke down and begins anew: it knows of no incident any more.
    pub fn broke_down(&mut self, at: Moment) -> Vec<Output> {
        let mut out = Vec::new();
        self.untold = Untold::default();
        if self.open.take().is_some() {
            let what = "it broke down and began anew".to_owned();
            line(&mut out, Entry::Fault(Fault { at, part: "watch".to_owned(), what }));
            out.push(Output::Conclude);
        }
        out
    }

    /// Ends the second `at`, counted since 1970.
    fn end_second(&mut self, at: u64, around: &mut impl Surroundings, out: &mut Vec<Output>) {
        let mut node = around.node();
        let lost = self.lost();
        if let Some(node) = &mut node {
            node.lost.extend(lost);
        }
        let mut second = self.sums.second(Moment::from_unix_ms(at * 1_000), node);
        self.sums = Sums::default();
        let (every, is_last) = match &self.open {
            Some(open) if open.segment >= DETAILED_SEGMENTS => {
                // The minute is over, or the record.
                let is_last = open.closing.is_some() || open.seconds + 1 >= rows::SEGMENT.as_secs();
                (MET_EVERY_S, is_last)
            }
            _ => (1, true),
        };
        self.untold.pass(&mut second, every, is_last);
        let rows = std::mem::take(&mut self.rows);
        self.remember(&second, &rows);
        let Some(open) = &mut self.open else {
            self.words.clear();
            let until = Moment::from_unix_ms((at + 1) * 1_000);
            if self.readers.is_due(until) {
                self.tell_readers(until, out);
            }
            return;
        };
        line(out, Entry::Second(Box::new(second)));
        for word in self.words.drain(..) {
            line(out, Entry::Word(word));
        }
        for row in rows {
            open.rows += 1;
            line(out, Entry::Row(Box::new(row)));
        }
        open.seconds += 1;
        if let Some(incident) = open.closing {
            self.close(&incident, around, out);
        } else if open.seconds >= rows::SEGMENT.as_secs() {
            self.end_segment(around, out);
        }
    }

    /// What was lost of our own since the last second.
    fn lost(&mut self) -> Vec<Lost> {
        let mut lost = Vec::new();
        let mut say = |what: &str, count: u64| {
            if count > 0 {
                lost.push(Lost { what: what.to_owned(), count });
            }
        };
        say("sources", std::mem::take(&mut self.sources.lost));
        if let Some(open) = &mut self.open {
            say("rows", std::mem::take(&mut open.rows_lost));
        }
        lost
    }

    fn remember(&mut self, second: &Second, rows: &[Row]) {
        while self.ring.len() >= RING_SECONDS {
            self.ring.pop_front();
        }
        let kept = rows.iter().take(RING_ROWS).cloned().collect();
        self.ring.push_back((second.clone(), kept));
    }

    /// What was counted of readers since it was told last: into the record, if there is one, and for one that may follow.
    fn tell_readers(&mut self, until: Moment, out: &mut Vec<Output>) {
        for told in self.readers.tell(until) {
            if self.open.is_some() {
                line(out, Entry::Clean(Box::new(told.clone())));
            }
            self.minutes.push_back(told);
        }
        let first = self.ring.front().map_or(until, |(second, _)| second.at);
        while self.minutes.front().is_some_and(|told| told.until <= first)
            || self.minutes.len() > RING_MINUTES
        {
            self.minutes.pop_front();
        }
    }

    /// From the second `before` to `second`: nothing between, or a gap.
    fn pass(
        &mut self,
        before: u64,
        second: u64,
        (now, wall): (Instant, WallTime),
        out: &mut Vec<Output>,
    ) {
        let Some((last_now, last_wall)) = self.last else { return };
        let passed = now.saturating_since(last_now);
        let jumped = wall < last_wall || {
            let told = wall.saturating_since(last_wall);
            told.abs_diff(passed) > CLOCK_JUMP
        };
        let is_quiet = self.about.origin == RecordOrigin::Replay;
        if !jumped && (second == before + 1 || is_quiet) {
            // A log knows of every request that there was: where there is none, none was.
            for empty in (before + 1..second).take(RING_SECONDS) {
                let at = Moment::from_unix_ms(empty * 1_000);
                let second = Second { at, state: "normal".to_owned(), ..Second::default() };
                self.remember(&second, &[]);
                if self.open.is_some() {
                    line(out, Entry::Second(Box::new(second)));
                }
            }
            return;
        }
        if self.open.is_some() {
            let why = if jumped { "clock_jump" } else { "overload" };
            let detail = if jumped {
                format!("the clock was set while {:.1} s passed", passed.as_secs_f64())
            } else {
                "what was counted meanwhile is in the second that follows".to_owned()
            };
            line(
                out,
                Entry::Gap(Gap {
                    from: Moment::from_unix_ms((before + 1) * 1_000),
                    until: Some(Moment::from_unix_ms(second * 1_000)),
                    why: why.to_owned(),
                    detail,
                }),
            );
        }
    }

    /// Rows and sources of a tick.
    fn take_rows(&mut self, seen: &Seen<'_>) {
        let (now, wall) = (seen.finding.at, seen.finding.wall);
        let sample = seen.window.rows();
        self.refused.hear(sample, now);
        let wanted = match &self.open {
            Some(open) if open.rows + self.rows.len() as u64 >= rows::MAX_ROWS => 0.0,
            Some(open) => rows::of_incident(open.segment),
            None => rows::IN_PEACE,
        };
        let taken = self.thinner.take(sample, wanted, |row| !rows::is_clean(row));
        self.readers.add(sample, wall.into());
        if let Some(open) = &mut self.open {
            if wanted == 0.0 {
                let due = sample.rows().iter().filter(|row| !rows::is_clean(row)).count();
                open.rows_lost += due as u64;
            }
            self.sources.add(sample, (now, wall));
            self.refused.add(sample, (now, wall));
            for (row, _) in &taken {
                take_words(open, row, seen, &mut self.words);
            }
        }
        self.rows.extend(taken.into_iter().filter_map(|(seen, p)| rows::row(seen, p, (now, wall))));
    }

    fn happen(
        &mut self,
        entry: &Recorded,
        seen: &Seen<'_>,
        around: &mut impl Surroundings,
        out: &mut Vec<Output>,
    ) {
        if entry.step == Happened::Opened {
            self.begin(entry.wall.into(), around, out);
        }
        let Some(open) = &mut self.open else { return };
        let at = Moment::from(entry.wall);
        let step = match entry.step {
            Happened::Opened => Step { at, step: StepKind::Opened, ..Step::default() },
            Happened::Judged(verdict) => {
                let verdict = Some(verdict.as_str().to_owned());
                Step { at, step: StepKind::Judged, verdict, mitigation: None }
            }
            Happened::Closed(incident) => {
                open.closing = Some(incident);
                let verdict = Some(incident.verdict.as_str().to_owned());
                Step { at, step: StepKind::Closed, verdict, mitigation: None }
            }
            Happened::Moved { id, signature, evidence, from, to, why } => {
                let name = |rung: Option<Rung>| rung.map(|rung| rung.as_str().to_owned());
                let mitigation = Some(Move {
                    id: id.0,
                    signature: seen.control.describe(&signature),
                    terms: terms(seen.control, &signature),
                    from: name(from),
                    to: name(to),
                    why: why.as_str().to_owned(),
                    evidence: evidence_of(&evidence),
                });
                Step { at, step: StepKind::Moved, verdict: None, mitigation }
            }
            Happened::Refused(_) => return,
        };
        line(out, Entry::Step(Box::new(step)));
    }

    /// Begins a record with what the ring has.
    fn begin(&mut self, since: Moment, around: &mut impl Surroundings, out: &mut Vec<Output>) {
        if let Some(incident) = self.open.as_mut().and_then(|open| open.closing.take()) {
            self.close(&incident, around, out);
        }
        // What is made of old logs is kept for as long as what is new.
        let made_at = self.about.reconstructed.as_ref().map_or(since, |it| it.at);
        let remove_at = made_at.plus_ms(ms(self.about.retention));
        let remove_record_at = made_at.plus_ms(ms(self.about.record_retention));
        let recorded_from = self.ring.front().map_or(since, |(second, _)| second.at);
        let about = &self.about;
        let (sites, config_sha256) = around.configuration();
        out.push(Output::Begin(Box::new(Begin {
            incident: name(since, &about.run),
            since,
            recorded_from: recorded_from.min(since),
            sites,
            listens: about.listens.clone(),
            origin: about.origin,
            reconstructed: about.reconstructed.clone(),
            software: concat!("seawall ", env!("CARGO_PKG_VERSION")).to_owned(),
            config_sha256,
            run: about.run.clone(),
            clock: around.clock(),
            attributes: Attribute::ALL.map(|attribute| attribute.as_str().to_owned()).to_vec(),
            remove_addresses_at: remove_at,
            remove_record_at: Some(remove_record_at).filter(|at| *at > made_at),
            // The chain knows the version of the form and the key, the writer the digest of the program.
            ..Begin::default()
        })));
        if let Some((_, wall)) = self.last {
            self.tell_readers(wall.into(), out);
        }
        let mut rows = 0;
        for (second, kept) in &self.ring {
            line(out, Entry::Second(Box::new(second.clone())));
            for row in kept {
                rows += 1;
                line(out, Entry::Row(Box::new(row.clone())));
            }
        }
        for told in &self.minutes {
            line(out, Entry::Clean(Box::new(told.clone())));
        }
        out.push(Output::Seal);
        self.sources = Sources::default();
        self.refused.forget();
        self.open = Some(Open {
            segment: 0,
            seconds: 0,
            rows,
            rows_lost: 0,
            told: HashSet::new(),
            remove_at,
            closing: None,
        });
    }

    fn end_segment(&mut self, around: &mut impl Surroundings, out: &mut Vec<Output>) {
        let Some(open) = &mut self.open else { return };
        let most = if open.segment < BUSY_SEGMENTS { FIRST } else { LATER };
        open.segment += 1;
        open.seconds = 0;
        let is_told = open.segment <= BUSY_SEGMENTS || open.segment.is_multiple_of(LATER_MINUTES);
        if let Some((_, wall)) = self.last.filter(|_| is_told) {
            self.tell_readers(wall.into(), out);
        }
        self.tell_sources(most, false, around, out);
        out.push(Output::Seal);
    }

    fn close(
        &mut self,
        incident: &Incident,
        around: &mut impl Surroundings,
        out: &mut Vec<Output>,
    ) {
        let Some((now, wall)) = self.last else { return };
        self.tell_readers(wall.into(), out);
        self.tell_sources(LAST, true, around, out);
        line(
            out,
            Entry::End(Box::new(End {
                until: Moment::from(wall - now.saturating_since(incident.until)),
                at: wall.into(),
                verdict: incident.verdict.as_str().to_owned(),
                requests: incident.requests,
                excess: incident.excess,
                matched: incident.matched,
            })),
        );
        out.push(Output::Seal);
        self.open = None;
        self.sources = Sources::default();
        self.refused.forget();
    }

    fn tell_sources(
        &mut self,
        most: Most,
        is_last: bool,
        around: &impl Surroundings,
        out: &mut Vec<Output>,
    ) {
        let Some(open) = &self.open else { return };
        for source in self.sources.changed(most.sources, |prefix| around.describe(prefix)) {
            line(out, Entry::Source(Box::new(source)));
        }
        let struck = self.refused.strike(|client| around.is_shared(client));
        if !struck.is_empty() {
            out.push(Output::Strike(struck));
        }
        let due = self.refused.due(most.addresses, is_last, |client| around.is_shared(client));
        for (group, mut addresses) in due {
            if let Some(to) = self.about.destination {
                // Who has no port came by way of a proxy.
                let own = addresses.iter_mut().filter(|address| !address.ports.is_empty());
                own.for_each(|address| address.destination = Some(to.to_string()));
            }
            let count = addresses.len() as u64;
            // Salt and encryption are for who writes: both take random numbers.
            let remove_at = open.remove_at;
            let told = Addresses { addresses, count, remove_at, ..Addresses::default() };
            out.push(Output::Addresses(group, Box::new(Entry::Addresses(Box::new(told)))));
        }
    }
}

fn line(out: &mut Vec<Output>, entry: Entry) {
    out.push(Output::Line(Box::new(entry)));
}

/// Words of a row's values, each once in a record. There is no row of what may be a reader's.
fn take_words(open: &mut Open, row: &Observation, seen: &Seen<'_>, words: &mut Vec<Word>) {
    for (attribute, value) in row.attributes.known() {
        let is_known = open.told.contains(&(attribute, value));
        if is_known || attribute == Attribute::Prefix || open.told.len() >= MAX_WORDS {
            continue;
        }
        let found = seen.window.words().text(attribute, value);
        if let Some(text) = found.or_else(|| seen.control.detector().words().text(attribute, value))
        {
            open.told.insert((attribute, value));
            words.push(word(attribute, value, text));
        }
    }
}

fn word(attribute: Attribute, value: u32, text: &str) -> Word {
    Word {
        attribute: attribute.as_str().to_owned(),
        value: rows::hex(value),
        text: text.to_owned(),
    }
}

fn terms(control: &ControlLoop, signature: &Signature) -> Vec<Word> {
    let words = control.detector().words();
    let of = |term: seawall_model::Term| {
        let text = words.text(term.attribute, term.value).unwrap_or_default();
        word(term.attribute, term.value, text)
    };
    signature.terms().map(of).collect()
}

const fn evidence_of(evidence: &SignatureEvidence) -> Evidence {
    Evidence {
        matched_per_s: evidence.matched_per_s,
        expected_per_s: evidence.expected_per_s,
        coverage: evidence.coverage,
        collateral_upper: evidence.collateral_upper,
        baseline_hits: evidence.baseline_hits,
        baseline_clients: evidence.baseline_clients,
        sample_hits: evidence.sample_hits,
        sample_rows: evidence.sample_rows,
        sample_clients: evidence.sample_clients,
        ln_p: evidence.ln_p,
    }
}

/// `20261122T100800Z-0abc`.
fn name(since: Moment, run: &str) -> String {
    let text = since.to_string();
    let digits: String =
        text.chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("{digits}Z-{}", run.get(..4).unwrap_or("0000"))
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Fifteen minutes.
const RING_SECONDS: usize = 900;
/// Of one second: systematic sampling gives two at most, and an incident before left more.
const RING_ROWS: usize = 2;
/// Of each minute two lines at most, and of one that an incident began or ended in more.
const RING_MINUTES: usize = 64;
/// Values whose words are written.
const MAX_WORDS: usize = 8_192;
/// What a minute tells of where it comes from, at most.
#[derive(Clone, Copy, Debug)]
struct Most {
    sources: usize,
    addresses: usize,
}

/// Together 11 MB of an incident of nine hours that has more of both than there is room for. Who is not told in his minute
/// is in a later one, or at the end.
const FIRST: Most = Most { sources: 96, addresses: 128 };
const LATER: Most = Most { sources: 16, addresses: 16 };
const LAST: Most = Most { sources: 4_096, addresses: 4_096 };
const BUSY_SEGMENTS: u64 = 60;
/// So many minutes are counts of readers of, later on.
const LATER_MINUTES: u64 = 10;
/// So long each second tells what each mitigation met, the ring included.
const DETAILED_SEGMENTS: u64 = 10;
const MET_EVERY_S: u64 = 30;
/// A step of the clock that is none of its usual corrections.
const CLOCK_JUMP: Duration = Duration::from_secs(2);
