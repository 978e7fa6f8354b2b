//! What the shield's own recorder makes of a log: the figures of each incident, and its record if one is wanted.
//!
//! Figures are always those of the record, by the rules of reports, so that `replay` and `report` say the same of one log.
//! It deliberately does **not** tell full addresses: whether many share one, or somebody there had a credential, no log says.

use std::io;

use seawall_control::{ControlLoop, Entry as Happened, Incident};
use seawall_detect::{Finding, Window};
use seawall_edge::recorder::{About, Output, Reconstruction, Recorded, Seen, Story, Surroundings};
use seawall_model::{ClientAddr, WallTime};
use seawall_report::{ClockOffset, Collector, Entry, Fault, Moment, Node, RecordFacts};

use super::story::Figures;

/// Records a log.
pub(super) struct Recorder {
    story: Story,
    /// Of the incident that goes on: when it began, and what was recorded of it.
    open: Option<(Moment, Collector)>,
    /// Sums of incidents that are over, by when they began, until they are taken.
    pub(super) settled: Vec<(Moment, Figures)>,
    out: Option<Reconstruction>,
    late: Late,
    sites: Sites,
}

/// Requests that came too late to be counted, as far as it was said.
#[derive(Default)]
struct Late {
    told: u64,
    at: Option<WallTime>,
}

/// One tick of a log.
pub(super) struct Ticked<'a> {
    pub(super) finding: &'a Finding,
    pub(super) window: &'a Window,
    pub(super) happened: &'a [Happened],
    pub(super) control: &'a ControlLoop,
    /// Requests that were left out so far.
    pub(super) late: u64,
}

impl Recorder {
    /// Records into `out`, or for its figures alone.
    pub(super) fn new(
        (about, sites): (About, Vec<String>),
        seed: [u64; 2],
        out: Option<Reconstruction>,
    ) -> Self {
        let (story, sites) = (Story::new(about, seed), Sites(sites));
        Self { story, open: None, settled: Vec::new(), out, late: Late::default(), sites }
    }

    /// Takes in a tick.
    ///
    /// # Errors
    /// The record cannot be written.
    pub(super) fn tick(&mut self, ticked: &Ticked<'_>) -> io::Result<()> {
        let mut outputs = self.left_out(ticked.finding.wall, ticked.late);
        let Ticked { finding, window, happened, control, .. } = *ticked;
        let seen = Seen { finding, window, happened, control };
        outputs.extend(self.story.tick(&seen, &mut self.sites));
        self.take(outputs)
    }

    /// The log ends, while `incident` goes on if there is one.
    ///
    /// # Errors
    /// As [`Self::tick`].
    pub(super) fn finish(&mut self, incident: Option<&Incident>) -> io::Result<()> {
        let outputs = self.story.finish(incident, &mut self.sites);
        self.take(outputs)
    }

    /// Puts the records in their place. `None`: none were wanted.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn keep(self) -> io::Result<Option<Vec<Recorded>>> {
        self.out.map(Reconstruction::keep).transpose()
    }

    /// What was not counted is said in the record, once a minute at most.
    fn left_out(&mut self, now: WallTime, late: u64) -> Vec<Output> {
        if !self.story.is_open() {
            self.late = Late { told: late, at: None };
            return Vec::new();
        }
        let is_due = self.late.at.is_none_or(|at| now.saturating_since(at).as_secs() >= 60);
        if late == self.late.told || !is_due {
            return Vec::new();
        }
        let what = format!(
            "{} requests that are noted a minute or more after later ones were left out",
            late - self.late.told
        );
        self.late = Late { told: late, at: Some(now) };
        let fault = Fault { at: now.into(), part: "log".to_owned(), what };
        vec![Output::Line(Box::new(Entry::Fault(fault)))]
    }

    fn take(&mut self, outputs: Vec<Output>) -> io::Result<()> {
        for output in &outputs {
            match output {
                Output::Begin(begin) => {
                    let mut collector = Collector::new();
                    collector.take(&Entry::Begin(begin.clone()));
                    self.open = Some((begin.since, collector));
                }
                Output::Line(entry) | Output::Addresses(_, entry) => {
                    let Some((_, collector)) = &mut self.open else { continue };
                    collector.take(entry);
                    if matches!(**entry, Entry::End(_)) {
                        self.settle();
                    }
                }
                Output::Strike(_) | Output::Seal | Output::Conclude => {}
            }
        }
        match &mut self.out {
            Some(out) => out.take(outputs),
            None => Ok(()),
        }
    }

    fn settle(&mut self) {
        let Some((since, collector)) = self.open.take() else { return };
        let report = collector.finish(RecordFacts::default());
        let totals = &report.totals;
        let figures = Figures {
            incident: report.begin.incident,
            requests: totals.requests,
            excess: totals.excess,
            matched: totals.matched,
            peak: (report.peak.requests, report.peak.expected),
        };
        self.settled.push((since, figures));
    }
}

/// Whose log it is. Of clients and of the machine it tells nothing besides.
struct Sites(Vec<String>);

impl Surroundings for Sites {
    fn configuration(&self) -> (Vec<String>, Option<String>) {
        (self.0.clone(), None)
    }

    fn clock(&self) -> Option<ClockOffset> {
        None
    }

    fn is_shared(&self, _: ClientAddr) -> bool {
        // It may be.
        true
    }

    fn describe(&self, _: ClientAddr) -> (Option<String>, Vec<String>) {
        (None, Vec::new())
    }

    fn node(&mut self) -> Option<Node> {
        None
    }
}
