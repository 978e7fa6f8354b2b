//! Rows of a record: which of a sample are written, with what probability, and what they say.
//!
//! Of a tick's rows each is taken with the same odds, so that a row's own probability times those odds is right.
//! What no mitigation met and nobody refused, and what anybody vouched for, may be a reader's: there is no row of it. Of
//! those there are counts (`clean`).

use std::net::IpAddr;
use std::time::Duration;

use seawall_detect::{Sample, is_refused};
use seawall_model::{
    Attribute, ClientAddr, Instant, Observation, RequestKind, Standing, Test, WallTime, Work,
};
use seawall_report::{Moment, Row};

/// Takes a bounded number of rows of each tick.
#[derive(Clone, Debug)]
pub(super) struct Thinner {
    /// Where the next row that is taken lies, as a part of a row: begins at random, so that each row of a tick has the same odds.
    phase: f64,
}

impl Thinner {
    /// `random`: from 0 to below 1.
    pub(super) fn new(random: f64) -> Self {
        Self { phase: random.clamp(0.0, 1.0) }
    }

    /// Begins elsewhere, so that what comes in the same order tick by tick is not taken from the same places; all have the
    /// same odds as before.
    pub(super) fn stir(&mut self) {
        // The golden ratio: multiples of it are spread evenly.
        self.phase = (self.phase + 0.618_033_988_749_895).fract();
    }

    /// About `wanted` of those in the sample that are `of` what is meant (systematic sampling: never more than one
    /// beyond), with their probabilities.
    pub(super) fn take<'a>(
        &mut self,
        sample: &'a Sample,
        wanted: f64,
        of: impl Fn(&Observation) -> bool,
    ) -> Vec<(&'a Observation, f64)> {
        let count = sample.drawn().filter(|(row, _)| of(row)).count();
        if count == 0 {
            return Vec::new();
        }
        let odds = (wanted / count as f64).min(1.0);
        if odds <= 0.0 {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for (row, p) in sample.drawn().filter(|(row, _)| of(row)) {
            self.phase += odds;
            if self.phase >= 1.0 {
                self.phase -= 1.0;
                taken.push((row, p * odds));
            }
        }
        taken
    }
}

/// Whether nothing speaks against whoever asked: it may be a reader, and of readers there are counts only.
pub(super) fn is_clean(row: &Observation) -> bool {
    let is_vouched = row.standing != Standing::Anonymous
        || row.is_recognised
        || matches!(row.test, Test::Passed | Test::Carried);
    is_vouched || row.met.is_none() && !is_refused(row)
}

/// A row as the record has it; none of what may be a reader's. `now` and `wall` are the same moment on two clocks.
pub(super) fn row(seen: &Observation, p: f64, now: (Instant, WallTime)) -> Option<Row> {
    if is_clean(seen) {
        return None;
    }
    let attributes = Attribute::ALL.iter().map(|&it| hex(seen.attributes.value(it)));
    Some(Row {
        at: moment(seen, now),
        // Six digits: enough for sums, and a line is read by people.
        p: (p * 1e6).round().max(1.0) / 1e6,
        prefix: prefix(seen.client),
        kind: kind(seen.kind).to_owned(),
        standing: standing(seen.standing).to_owned(),
        status: seen.status,
        cause: seen.cause.as_str().to_owned(),
        work: work(seen.work).to_owned(),
        met: seen.met.map(|met| met.id.0),
        attributes: attributes.collect(),
    })
}

/// When it was answered. `now` and `wall` are the same moment on two clocks.
pub(super) fn moment(seen: &Observation, (now, wall): (Instant, WallTime)) -> Moment {
    Moment::from(wall - now.saturating_since(seen.at))
}

/// A keyed hash as the record writes it.
pub(super) fn hex(value: u32) -> String {
    format!("{value:x}")
}

/// The /24 or /48 of an address.
pub(super) fn prefix(client: ClientAddr) -> String {
    prefix_text(client.truncated())
}

pub(super) fn prefix_text(network: IpAddr) -> String {
    format!("{network}/{}", if network.is_ipv4() { 24 } else { 48 })
}

const fn kind(kind: RequestKind) -> &'static str {
    match kind {
        RequestKind::Page => "page",
        RequestKind::Subresource => "subresource",
        RequestKind::Feed => "feed",
        RequestKind::Other => "other",
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::SignedIn => "signed_in",
        Standing::AgedReader => "aged_reader",
        Standing::Anonymous => "anonymous",
    }
}

const fn work(work: Work) -> &'static str {
    match work {
        Work::Held => "held",
        Work::Origin { .. } => "origin",
        Work::Spared => "spared",
    }
}

/// How many rows a tick may have in the segment `number`, counted from 0, of an incident.
///
/// In the first minute 500, after nine hours 9 a minute, and in a month, the longest that anything is kept by default,
/// less than 45,000 in all: whoever attacks for days must not use up in the first hour what the last is to be seen by.
pub(super) fn of_incident(number: u64) -> f64 {
    FALLING / (10.0 + number as f64) / TICKS_PER_MINUTE
}

/// The same before anything happened: 100 a minute, of which fifteen are kept.
pub(super) const IN_PEACE: f64 = 100.0 / TICKS_PER_MINUTE;

/// Rows of one record, its fifteen minutes before included.
pub(super) const MAX_ROWS: u64 = 50_000;

const FALLING: f64 = 5_000.0;
const TICKS_PER_MINUTE: f64 = 240.0;

/// What is one minute of a record.
pub(super) const SEGMENT: Duration = Duration::from_secs(60);
