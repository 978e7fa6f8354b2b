//! What a record says, summed up once: every export shows these figures and computes none of its own, so that they
//! are the same everywhere.
//!
//! It deliberately does **not** hold full addresses but in [`Report::addresses`], which only the sealed edition shows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entry::{
    Address, Begin, Cohort, Connections, Evidence, Fault, Gap, MetCounts, Move, Note, OriginHealth,
    RecordOrigin, Removed, Source,
};
use crate::{Assessment, Moment, Verdict, wording};

/// Version of the JSON export, which is this type.
pub const REPORT_VERSION: u32 = 1;

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub report: u32,
    /// The first line of the record.
    pub begin: Begin,
    /// When it was last alarmed; `None` while it goes on.
    pub until: Option<Moment>,
    /// The last second that is in the record, as far as it was read.
    pub recorded_until: Moment,
    /// What the shield took it for: `attack`, `crowd`, `mixed` (neither could be said), or empty if it did not judge. The
    /// furthest of all that the record says ([`Verdict`]).
    pub verdict: String,
    /// Sums from the first alarm to the last (or to the end of what there is).
    pub totals: Totals,
    /// The same of the time before, for comparison.
    pub before: Totals,
    /// The second with the most requests.
    pub peak: Peak,
    /// What happened when: at most 720 parts of equal length, from the first second of the record.
    pub timeline: Vec<Bucket>,
    /// What became of whom, from the first alarm to the last, by [`Cohort::ALL`].
    pub cohorts: Vec<CohortTotals>,
    /// The same of the time before.
    pub cohorts_before: Vec<CohortTotals>,
    /// Each mitigation with all that was decided about it.
    pub mitigations: Vec<MitigationHistory>,
    /// What was thought of it when: `watch`, `mixed`, `attack`, ...
    pub states: Vec<StateChange>,
    /// Where requests came from, most first; at most [`MAX_SOURCES`].
    pub sources: Vec<Source>,
    /// The same by who registered the network, most first.
    pub networks: Vec<Network>,
    /// What requests looked like, estimated from the sample: by attribute, most first.
    pub looks: Vec<Look>,
    /// How the sample was drawn.
    pub sample: SampleFacts,
    /// What the machine went through; `None` where nobody looked.
    pub node: Option<NodeFacts>,
    /// Times of which nothing is known.
    pub gaps: Vec<Gap>,
    /// Parts of the shield that failed.
    pub faults: Vec<Fault>,
    /// What people said.
    pub notes: Vec<Note>,
    /// What is judged, not measured.
    pub assessments: Vec<Assessment>,
    /// What is not known, and why, in sentences.
    pub unknown: Vec<String>,
    /// Of the record itself.
    pub record: RecordFacts,
    /// Full addresses. Left out of every edition but the sealed one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
}

impl Report {
    /// What it was taken for.
    pub fn taken_for(&self) -> Verdict {
        Verdict::of(&self.verdict)
    }

    /// Whether the time before was long enough to compare with: ten times the 16 s over which slow changes are looked for,
    /// so that what set off the first alarm is a tenth of it at most. It is shorter where a program had just begun.
    pub const fn has_comparison(&self) -> bool {
        self.before.seconds >= 160
    }

    /// Whether it is made of logs of another program: what is said of mitigations there is what would have been done.
    pub fn is_reconstructed(&self) -> bool {
        self.begin.origin == RecordOrigin::Replay
    }
}

/// Sources in a report; the rest is summed up.
pub const MAX_SOURCES: usize = 10_000;

/// Sums of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Seconds that were counted: gaps are not among them.
    pub seconds: u64,
    /// Requests answered.
    pub requests: u64,
    /// How many would have been ordinary.
    pub expected: f64,
    /// Requests beyond what is ordinary, whole.
    pub excess: u64,
    /// Refused by the shield.
    pub refused: u64,
    /// Requests that a mitigation met.
    pub matched: u64,
    /// Requests for which the origin worked.
    pub origin: u64,
    /// Requests for which it would have, but was spared.
    pub spared: u64,
    /// Milliseconds of the origin's time.
    pub origin_cost_ms: u64,
    /// Answered 4xx by the origin, or for what is held.
    pub client_errors: u64,
    /// Answered 5xx, likewise.
    pub server_errors: u64,
    /// Cheap tests set.
    pub tests_set: u64,
    /// And passed.
    pub tests_passed: u64,
    /// Of connections.
    pub connections: Connections,
    /// Bytes received by all interfaces but loopback; 0 where nobody looked.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// The second with the most requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// When.
    pub at: Moment,
    /// Requests in it.
    pub requests: u64,
    /// How many would have been ordinary.
    pub expected: f64,
}

/// A part of the timeline. Rates are averages over its seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// When it begins.
    pub at: Moment,
    /// Seconds that were counted in it; 0 in a gap.
    pub seconds: u32,
    /// Requests.
    pub requests: u64,
    /// How many would have been ordinary.
    pub expected: f64,
    /// Refused by the shield.
    pub refused: u64,
    /// The origin worked.
    pub origin: u64,
    /// Requests that no mitigation met.
    pub unmet: u64,
    /// Of them: answered with what was asked for.
    pub unmet_served: u64,
    /// The busiest second.
    pub peak_requests: u64,
    /// Whether the line was full in any of them; `None` where interfaces do not state their speed.
    pub link_full: Option<bool>,
}

impl Bucket {
    /// Adds a part that comes after it.
    pub(crate) fn merge(&mut self, part: &Self) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        self.seconds = self.seconds.saturating_add(part.seconds);
        add(&mut self.requests, part.requests);
        self.expected += part.expected;
        add(&mut self.refused, part.refused);
        add(&mut self.origin, part.origin);
        add(&mut self.unmet, part.unmet);
        add(&mut self.unmet_served, part.unmet_served);
        self.peak_requests = self.peak_requests.max(part.peak_requests);
        // Full in one is full, and what nobody knows of one is as before.
        self.link_full = self.link_full.max(part.link_full);
    }
}

/// What became of the requests of one cohort.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CohortTotals {
    /// Which.
    pub cohort: Cohort,
    /// Requests.
    pub requests: u64,
    /// Answered with what was asked for.
    pub served: u64,
    /// Refused by the shield, other than by a test.
    pub refused: u64,
    /// Given a cheap test.
    pub tested: u64,
    /// Failed by the origin.
    pub failed: u64,
    /// Answered after more than two seconds.
    pub late: u64,
}

impl CohortTotals {
    /// Requests of those that `which` chooses, and how many were answered with what was asked for.
    pub(crate) fn sum(all: &[Self], which: impl Fn(Cohort) -> bool) -> (u64, u64) {
        let chosen = all.iter().filter(|each| which(each.cohort));
        chosen.fold((0, 0), |(requests, served): (u64, u64), each| {
            (requests.saturating_add(each.requests), served.saturating_add(each.served))
        })
    }

    /// The same of all that no mitigation met.
    pub(crate) fn unmet(all: &[Self]) -> (u64, u64) {
        Self::sum(all, |cohort| cohort != Cohort::Met)
    }
}

/// One mitigation, from when it was found to when it ceased.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MitigationHistory {
    /// Its number in this run.
    pub id: u32,
    /// Its signature in words.
    pub signature: String,
    /// All that was decided about it, in order; the last one carries the newest evidence.
    pub moves: Vec<TimedMove>,
    /// The hardest rung that it reached.
    pub hardest: String,
    /// What it met, in all.
    pub met: MetCounts,
}

impl MitigationHistory {
    /// The evidence of the move at which most requests a second matched: once it has ceased nothing matches, and that
    /// says nothing of what it was. All exports show this one.
    pub fn strongest(&self) -> Option<&Evidence> {
        let all = self.moves.iter().map(|step| &step.change.evidence);
        all.max_by(|a, b| a.matched_per_s.total_cmp(&b.matched_per_s))
    }

    /// What became, at the hardest, of what it met: one form in every text.
    pub fn hardest_in_words(&self) -> &'static str {
        wording::rung(&self.hardest).unwrap_or("let through")
    }
}

/// A move and when it was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimedMove {
    /// When.
    pub at: Moment,
    /// What.
    #[serde(flatten)]
    pub change: Move,
}

/// When the state changed, and to what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// When.
    pub at: Moment,
    /// To what.
    pub state: String,
}

/// The name of networks of which no list says who registered them.
pub(crate) const UNREGISTERED: &str = "unknown";

/// Where requests came from, by who registered the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// `AS64500 Example (DE)`, or `unknown`.
    pub registered: String,
    /// Prefixes of it in the sample.
    pub prefixes: u64,
    /// Rows of the sample.
    pub rows: u64,
    /// Requests, estimated.
    pub requests: f64,
    /// Rows that a mitigation met.
    pub met_rows: u64,
}

/// One thing that requests looked like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Which attribute.
    pub attribute: String,
    /// In words; the hash if nobody kept words.
    pub text: String,
    /// Part of the requests that a mitigation met, estimated, 0 to 1.
    pub share_of_met: f64,
    /// Part of all others, 0 to 1.
    pub share_of_others: f64,
}

/// How the sample was drawn.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SampleFacts {
    /// Requests that were drawn.
    pub rows: u64,
    /// Of them: stored one by one though they may be readers', as earlier versions did. The table of the sample has them in
    /// the sealed edition alone.
    #[serde(default)]
    pub clean_rows: u64,
    /// Requests that they stand for, estimated.
    pub requests: f64,
    /// Different prefixes among them.
    pub prefixes: u64,
    /// Prefixes beyond [`MAX_SOURCES`], which are only summed up.
    pub prefixes_left_out: u64,
}

/// What the machine went through from the first alarm to the last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Seconds in which the line was full; `None` where interfaces do not state their speed.
    pub link_full_s: Option<u64>,
    /// Most bytes received in one second.
    pub peak_rx_bytes_per_s: u64,
    /// Packets dropped before anybody saw them.
    pub rx_drops: u64,
    /// Connections dropped because a listener's queue was full.
    pub listen_drops: u64,
    /// SYN cookies sent.
    pub syn_cookies: u64,
    /// Highest part of the processors' time in a second, 0 to 1.
    pub peak_busy: f64,
    /// Highest part taken by the host, 0 to 1.
    pub peak_steal: f64,
    /// Most memory held by the program, in bytes.
    pub peak_resident_bytes: u64,
    /// Seconds in which the origin was not healthy.
    pub origin_unhealthy_s: u64,
    /// Longest wait before the origin, in milliseconds.
    pub peak_wait_ms: u64,
    /// At the end.
    pub origin: OriginHealth,
    /// What we ourselves lost, by what it was.
    pub lost: BTreeMap<String, u64>,
}

/// Of the record itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordFacts {
    /// Lines that were read.
    pub lines: u64,
    /// Segments whose seal was checked.
    pub segments: u64,
    /// SHA-256 of the last seal: whoever knows it can tell this record from any other.
    pub head: Option<String>,
    /// The key's name: 16 hexadecimal digits.
    pub key: String,
    /// Whether the record ends with its last line and a seal.
    pub is_closed: bool,
    /// What was removed.
    pub removed: Vec<Removed>,
    /// Stamps of the time by an authority: segment and whom.
    pub timestamps: Vec<(u64, String)>,
}
