//! What is known at a moment: all sides of the comparison, and what is happening now.
//!
//! Filled by `play`, read by everything that shows it. It deliberately knows no terminal.

use std::time::Duration;

use seawall_rehearse::{FloodFigures, ReaderFigures, SiteFigures};

use crate::demo::archive::Archived;
use crate::demo::detection::Detected;

/// Which side of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Straight at the origin.
    Without,
    /// Through Seawall.
    With,
    /// Through Seawall, with the origin dead.
    OriginDead,
}

impl Which {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Without => "without Seawall",
            Self::With => "with Seawall",
            Self::OriginDead => "server dead",
        }
    }
}

/// What is happening now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Processes are starting.
    Starting,
    /// Readers alone.
    Quiet,
    /// Readers and flood.
    Flood,
    /// The flood is over and the origin catches its breath.
    Between,
    /// The flood is over and the archive takes what it has not taken yet.
    Copying,
    /// Readers, and no origin.
    Dead,
    /// Over.
    Done,
}

/// Everything there is to show.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    /// The seed of the run.
    pub(crate) seed: u64,
    /// Which side is on.
    pub(crate) which: Which,
    /// What happens on it.
    pub(crate) stage: Stage,
    /// How much of the plan is done.
    pub(crate) elapsed: Duration,
    /// The whole plan.
    pub(crate) whole: Duration,
    /// Where the sample site can be read behind Seawall, while it can.
    pub(crate) url: Option<String>,
    /// Straight at the origin.
    pub(crate) without: Side,
    /// Through Seawall.
    pub(crate) with: Side,
    /// Through Seawall, with the origin dead.
    pub(crate) origin_dead: Side,
    /// What the archive held when the origin died.
    pub(crate) archived: Archived,
    /// What Seawall noticed of the flood.
    pub(crate) detected: Detected,
}

/// One side of the comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// Whether it has begun.
    pub(crate) begun: bool,
    /// How long its flood, or what it has in its place, lasted so far.
    pub(crate) flooded: Duration,
    /// The readers, last heard.
    pub(crate) readers: ReaderFigures,
    /// The flood, last heard.
    pub(crate) flood: FloodFigures,
    /// The most slow connections there were at once.
    pub(crate) peak_slow: u64,
    /// The site in this stretch, last heard.
    pub(crate) site: SiteFigures,
    /// Second by second.
    pub(crate) series: Series,
    last_requests: u64,
    last_attack: u64,
    last_epoch: u64,
}

/// One value a second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// Percent of page views served, of those that ended in this second.
    pub(crate) served: Vec<u64>,
    /// Their median, in milliseconds.
    pub(crate) median_ms: Vec<u64>,
    /// Requests at the origin.
    pub(crate) origin: Vec<u64>,
    /// Requests of the flood.
    pub(crate) attack: Vec<u64>,
}

impl Board {
    /// Nothing has happened yet.
    pub(crate) fn new(seed: u64, whole: Duration) -> Self {
        Self {
            seed,
            which: Which::Without,
            stage: Stage::Starting,
            elapsed: Duration::ZERO,
            whole,
            url: None,
            without: Side::default(),
            with: Side::default(),
            origin_dead: Side::default(),
            archived: Archived::default(),
            detected: Detected::default(),
        }
    }

    /// The side that is on.
    pub(crate) fn side(&self) -> &Side {
        match self.which {
            Which::Without => &self.without,
            Which::With => &self.with,
            Which::OriginDead => &self.origin_dead,
        }
    }

    /// The side that is on, to be filled.
    pub(crate) fn side_mut(&mut self) -> &mut Side {
        match self.which {
            Which::Without => &mut self.without,
            Which::With => &mut self.with,
            Which::OriginDead => &mut self.origin_dead,
        }
    }

    /// What is happening now, in one sentence.
    pub(crate) fn sentence(&self) -> &'static str {
        match (self.stage, self.which) {
            (Stage::Starting, Which::Without) => {
                "Starting a sample newspaper whose server bears about 100 pages a second."
            }
            (Stage::Starting, Which::With | Which::OriginDead) => {
                "Putting Seawall in front of the same server."
            }
            (Stage::Quiet, Which::Without) => {
                "Quiet: readers and a search engine's crawler read the paper; this is not counted."
            }
            (Stage::Quiet, Which::With | Which::OriginDead) => {
                "Quiet again, now through Seawall, which keeps what the crawler and readers fetch; not counted."
            }
            (Stage::Flood, Which::Without) => {
                "3,000 addresses flood the server directly: pages, random queries, connections that never finish."
            }
            (Stage::Flood, Which::With | Which::OriginDead) => {
                "The same flood meets Seawall, which serves what it holds; random queries still reach the server."
            }
            (Stage::Between, _) => "The flood has stopped; the server works off its queue.",
            (Stage::Copying, _) => {
                "The flood has stopped. Seawall makes sure that it has a copy of the whole paper."
            }
            (Stage::Dead, _) => {
                "The server is dead: its process was killed. Readers go on reading what Seawall has."
            }
            (Stage::Done, _) => "Done.",
        }
    }
}

impl Side {
    /// Closes one second: takes what came since the last one into the series.
    pub(crate) fn close_second(&mut self) {
        if self.site.epoch != self.last_epoch {
            self.last_epoch = self.site.epoch;
            self.last_requests = 0;
        }
        let recent = &self.readers.last_second;
        let before = self.series.served.last().copied().unwrap_or(100);
        let served = recent.served().map_or(before, |share| (share * 100.0).round() as u64);
        self.series.served.push(served);
        let median = self.series.median_ms.last().copied().unwrap_or(0);
        let median = if recent.transactions > 0 { recent.p50_ms.round() as u64 } else { median };
        self.series.median_ms.push(median);
        self.series.origin.push(self.site.requests.saturating_sub(self.last_requests));
        self.series.attack.push(self.flood.requests.saturating_sub(self.last_attack));
        self.last_requests = self.site.requests;
        self.last_attack = self.flood.requests;
    }
}

#[cfg(test)]
mod tests {
    use seawall_rehearse::Tally;

    use super::Side;

    #[test]
    fn a_second_holds_what_came_in_it() {
        let mut side = Side::default();
        side.readers.last_second =
            Tally { transactions: 4, ok: 3, p50_ms: 80.4, ..Tally::default() };
        side.site.requests = 90;
        side.flood.requests = 0;
        side.close_second();
        side.readers.last_second = Tally::default();
        side.site.requests = 200;
        side.flood.requests = 1_500;
        side.close_second();
        assert_eq!(side.series.served, [75, 75], "a second without page views says nothing new");
        assert_eq!(side.series.median_ms, [80, 80]);
        assert_eq!(side.series.origin, [90, 110]);
        assert_eq!(side.series.attack, [0, 1_500]);
    }

    #[test]
    fn a_new_stretch_of_the_site_begins_at_nought() {
        let mut side = Side::default();
        side.site.requests = 500;
        side.close_second();
        side.site.epoch = 1;
        side.site.requests = 70;
        side.close_second();
        assert_eq!(side.series.origin, [500, 70]);
    }
}
