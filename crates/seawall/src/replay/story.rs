//! What a replay found, ready to be told: plain values, whoever tells them.

use std::collections::{BTreeMap, VecDeque};

use seawall_control::{Entry, Incident, IncidentId, Step, Why};
use seawall_detect::{SignatureEvidence, Verdict};
use seawall_model::{MitigationId, Rung, Signature, WallTime};
use seawall_report::Moment;

/// Everything that is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Story {
    pub(super) files: Vec<String>,
    /// Lines in all, and of them: read as no request.
    pub(super) lines: u64,
    pub(super) skipped: u64,
    /// Requests that are noted a minute and more after later ones.
    pub(super) late: u64,
    pub(super) from: WallTime,
    pub(super) to: WallTime,
    /// Different clients, estimated beyond a hundred thousand.
    pub(super) clients: u64,
    /// Clients that were known as ordinary at the end.
    pub(super) baseline_clients: u32,
    pub(super) timeline: Timeline,
    /// The last minute, for the beginning of an incident.
    before: Before,
    pub(super) incidents: Vec<IncidentStory>,
    /// Incidents that were not kept because there were too many.
    pub(super) incidents_dropped: u64,
}

/// One incident.
#[derive(Clone, Debug)]
pub(super) struct IncidentStory {
    pub(super) id: IncidentId,
    pub(super) start: WallTime,
    pub(super) end: WallTime,
    pub(super) verdict: Verdict,
    pub(super) requests: u64,
    pub(super) excess: u64,
    pub(super) matched: u64,
    /// Whether it went on when the log ended.
    pub(super) is_open: bool,
    /// Which channels were out of the ordinary, by name, first ones first.
    pub(super) channels: Vec<&'static str>,
    /// Most requests in a second, and what was ordinary then.
    pub(super) peak: (u64, f64),
    /// Its record has this name, if one was made or was there.
    pub(super) record: Option<String>,
    /// Requests from a minute before it on.
    pub(super) timeline: Timeline,
    pub(super) measures: Vec<MeasureStory>,
}

/// Sums of an incident, as its record has them.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    /// The name of the record.
    pub(super) incident: String,
    pub(super) requests: u64,
    pub(super) excess: u64,
    pub(super) matched: u64,
    pub(super) peak: (u64, f64),
}

/// One measure in it.
#[derive(Clone, Debug)]
pub(super) struct MeasureStory {
    pub(super) id: MitigationId,
    pub(super) text: String,
    /// The evidence of its last move up.
    pub(super) evidence: SignatureEvidence,
    /// The highest rung it came to.
    pub(super) rung: Rung,
    pub(super) matched: u64,
    pub(super) moves: Vec<(WallTime, Option<Rung>, Why)>,
}

impl Story {
    /// Takes in what the controller recorded. `text` is the signature in words.
    pub(super) fn note(&mut self, entry: &Entry, text: impl FnOnce(&Signature) -> String) {
        match entry.step {
            Step::Opened => self.open(entry),
            Step::Judged(verdict) => {
                if let Some(incident) = self.incident(entry.incident) {
                    incident.verdict = verdict;
                }
            }
            Step::Closed(incident) => self.close(&incident, entry.wall, false),
            Step::Moved { id, signature, evidence, to, why, .. } => {
                let Some(incident) = self.incident(entry.incident) else { return };
                let known = incident.measures.iter().position(|measure| measure.id == id);
                let place = known.unwrap_or_else(|| {
                    incident.measures.push(MeasureStory {
                        id,
                        text: text(&signature),
                        evidence,
                        rung: Rung::Observe,
                        matched: 0,
                        moves: Vec::new(),
                    });
                    incident.measures.len() - 1
                });
                let measure = &mut incident.measures[place];
                if to.is_some_and(|to| to >= measure.rung) {
                    measure.rung = to.unwrap_or(measure.rung);
                    measure.evidence = evidence;
                }
                if measure.moves.len() < MAX_MOVES {
                    measure.moves.push((entry.wall, to, why));
                }
            }
            Step::Refused(_) => {}
        }
    }

    /// Takes in what came in a window that began at `at`.
    pub(super) fn add(&mut self, at: WallTime, bin: Bin) {
        self.timeline.add(at, bin);
        self.before.add(at, bin);
        if let Some(incident) = self.open_incident() {
            incident.timeline.add(at, bin);
        }
    }

    /// The incident that goes on, if it is kept.
    pub(super) fn open_incident(&mut self) -> Option<&mut IncidentStory> {
        self.incidents.last_mut().filter(|incident| incident.is_open)
    }

    /// Ends an incident.
    pub(super) fn close(&mut self, incident: &Incident, wall: WallTime, is_open: bool) {
        if let Some(story) = self.incident(Some(incident.id)) {
            let lasted = incident.until.saturating_since(incident.since);
            story.end = (story.start + lasted).min(wall);
            story.verdict = incident.verdict;
            story.is_open = is_open;
            // What explains most first.
            story.measures.sort_by(|one, other| {
                let rank = |it: &MeasureStory| (it.rung, it.matched);
                rank(other)
                    .cmp(&rank(one))
                    .then(other.evidence.coverage.total_cmp(&one.evidence.coverage))
            });
        }
    }

    /// Takes in the sums of the incident that began at `since`.
    pub(super) fn settle(&mut self, since: Moment, figures: Figures) {
        let is_it = |incident: &&mut IncidentStory| Moment::from(incident.start) == since;
        let Some(story) = self.incidents.iter_mut().rev().find(is_it) else { return };
        story.requests = figures.requests;
        story.excess = figures.excess;
        story.matched = figures.matched;
        story.peak = figures.peak;
        story.record = Some(figures.incident);
    }

    fn open(&mut self, entry: &Entry) {
        let Some(id) = entry.incident else { return };
        if self.incidents.len() >= MAX_INCIDENTS {
            self.incidents_dropped += 1;
            return;
        }
        self.incidents.push(IncidentStory {
            id,
            start: entry.wall,
            end: entry.wall,
            verdict: Verdict::Mixed,
            requests: 0,
            excess: 0,
            matched: 0,
            is_open: true,
            channels: Vec::new(),
            peak: (0, 0.0),
            record: None,
            timeline: self.before.as_timeline(),
            measures: Vec::new(),
        });
    }

    fn incident(&mut self, id: Option<IncidentId>) -> Option<&mut IncidentStory> {
        self.incidents.iter_mut().rev().find(|incident| Some(incident.id) == id)
    }
}

/// What came in the last minute.
#[derive(Clone, Debug, Default)]
struct Before(VecDeque<(WallTime, Bin)>);

impl Before {
    fn add(&mut self, at: WallTime, bin: Bin) {
        let is_old = |then: &WallTime| at.saturating_since(*then).as_secs() > BEFORE_S;
        while self.0.front().is_some_and(|(then, _)| is_old(then)) {
            self.0.pop_front();
        }
        self.0.push_back((at, bin));
    }

    fn as_timeline(&self) -> Timeline {
        let mut timeline = Timeline::default();
        self.0.iter().for_each(|(at, bin)| timeline.add(*at, *bin));
        timeline
    }
}

/// How many requests there were when. The bins get coarser as the log gets longer, so that there are
/// never more than [`Timeline::MAX_BINS`].
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    from: u64,
    width_s: u64,
    bins: BTreeMap<u64, Bin>,
}

/// One bin of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bin {
    pub(super) requests: u64,
    /// What would have been ordinary.
    pub(super) expected: f64,
    /// What only the origin could answer.
    pub(super) origin: u64,
    /// What a measure would have met.
    pub(super) met: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { from: 0, width_s: 1, bins: BTreeMap::new() }
    }
}

impl Timeline {
    pub(super) const MAX_BINS: u64 = 720;

    /// Adds to the bin of `at`.
    pub(super) fn add(&mut self, at: WallTime, bin: Bin) {
        let second = at.unix_secs();
        if self.bins.is_empty() {
            self.from = second;
        }
        let offset = second.saturating_sub(self.from);
        while offset / self.width_s >= Self::MAX_BINS {
            self.coarsen();
        }
        let sum = self.bins.entry(offset / self.width_s).or_default();
        sum.requests += bin.requests;
        sum.expected += bin.expected;
        sum.origin += bin.origin;
        sum.met += bin.met;
    }

    /// Seconds of one bin.
    pub(super) fn width_s(&self) -> u64 {
        self.width_s
    }

    /// All bins from first to last, empty ones too.
    pub(super) fn bins(&self) -> Vec<(WallTime, Bin)> {
        let last = self.bins.keys().next_back().copied().unwrap_or(0);
        (0..=last)
            .map(|place| {
                let at = WallTime::from_unix_secs(self.from + place * self.width_s);
                (at, self.bins.get(&place).copied().unwrap_or_default())
            })
            .collect()
    }

    /// The same in at most `count` bins.
    pub(super) fn folded(&self, count: usize) -> Vec<(WallTime, Bin)> {
        let bins = self.bins();
        let each = bins.len().div_ceil(count.max(1)).max(1);
        let sum = |bins: &[(WallTime, Bin)]| {
            bins.iter().fold(Bin::default(), |sum, (_, bin)| Bin {
                requests: sum.requests + bin.requests,
                expected: sum.expected + bin.expected,
                origin: sum.origin + bin.origin,
                met: sum.met + bin.met,
            })
        };
        bins.chunks(each).map(|chunk| (chunk[0].0, sum(chunk))).collect()
    }

    fn coarsen(&mut self) {
        self.width_s *= 2;
        for (place, bin) in std::mem::take(&mut self.bins) {
            let sum = self.bins.entry(place / 2).or_default();
            sum.requests += bin.requests;
            sum.expected += bin.expected;
            sum.origin += bin.origin;
            sum.met += bin.met;
        }
    }
}

/// How much of what came before an incident is shown with it.
const BEFORE_S: u64 = 60;
/// More would be read by nobody.
const MAX_INCIDENTS: usize = 200;
const MAX_MOVES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn bin(requests: u64) -> Bin {
        Bin { requests, ..Bin::default() }
    }

    #[test]
    fn a_timeline_gets_coarser_and_loses_nothing() {
        let mut timeline = Timeline::default();
        for second in 0..100_000 {
            timeline.add(WallTime::from_unix_secs(1_000_000 + second), bin(1));
        }
        let bins = timeline.bins();
        assert!(bins.len() as u64 <= Timeline::MAX_BINS && bins.len() > 300, "{}", bins.len());
        assert_eq!(bins.iter().map(|(_, bin)| bin.requests).sum::<u64>(), 100_000);
        assert_eq!(bins[0].1.requests, timeline.width_s());
        assert_eq!(bins[1].0.unix_secs(), 1_000_000 + timeline.width_s());
        let folded = timeline.folded(60);
        assert!(folded.len() <= 60);
        assert_eq!(folded.iter().map(|(_, bin)| bin.requests).sum::<u64>(), 100_000);
    }

    #[test]
    fn quiet_stretches_are_shown_as_such() {
        let mut timeline = Timeline::default();
        timeline.add(WallTime::from_unix_secs(10), bin(1));
        timeline.add(WallTime::from_unix_secs(15), bin(2));
        let requests: Vec<u64> = timeline.bins().iter().map(|(_, bin)| bin.requests).collect();
        assert_eq!(requests, [1, 0, 0, 0, 0, 2]);
        // A step back is no reason to lose it.
        timeline.add(WallTime::from_unix_secs(3), bin(5));
        assert_eq!(timeline.bins()[0].1.requests, 6);
    }
}
