//! What came to pass, second by second and page by page. It judges nothing; that is `bars`.

use std::collections::BTreeMap;

use seawall_model::{Cause, Instant, Met, Rung};

use crate::cohorts::Cohort;

/// A part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Before anything happens.
    Calm,
    /// While it happens.
    Event,
    /// After it.
    Rest,
}

/// What a reader wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// A page that may be held.
    Cacheable,
    /// One that is made anew, for a reader with a credential.
    DynamicKnown,
    /// The same, for somebody of whom nothing is known.
    DynamicNew,
}

/// A page view with what belongs to it: a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ViewRecord {
    /// By whom.
    pub cohort: Cohort,
    /// Of what.
    pub want: Want,
    /// When it began.
    pub began: Instant,
    /// When it ended, as far as it did.
    pub ended: Option<Instant>,
    /// Whether all of it was there in time.
    pub is_good: bool,
    /// Why something was refused, if so.
    pub refused: Option<Cause>,
    /// The hardest thing that a measure did to it.
    pub met: Option<Rung>,
    /// Whether a test was set.
    pub is_challenged: bool,
    /// Whether it was sent around for a turn instead of being refused.
    pub is_sent_around: bool,
    /// Whether the reader is a crawler whose name was verified.
    pub is_verified: bool,
    /// Whether its address is one that is shared.
    pub is_shared: bool,
    /// How long it waited for the origin and for tests, in milliseconds.
    pub waited_ms: u32,
}

/// Sums of one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Second {
    /// Requests of readers and crawlers.
    pub legit: u64,
    /// Of them: met by a measure that does more than observe.
    pub legit_met: u64,
    /// Requests of bots.
    pub hostile: u64,
    /// Of them: met by such a measure.
    pub hostile_met: u64,
    /// Of them: refused.
    pub hostile_refused: u64,
    /// Of them: let through to the origin.
    pub hostile_fetched: u64,
    /// Requests that the origin was given, whoever asked.
    pub fetched: u64,
    /// What the origin was given to do, in pages.
    pub origin_work: f64,
    /// New connections of aged readers.
    pub aged_connections: u64,
    /// Of them: refused.
    pub aged_refused: u64,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// When it began to happen, and when it was over.
    pub from: Instant,
    /// When it was over.
    pub until: Instant,
    /// Every page view.
    pub views: Vec<ViewRecord>,
    /// By second since the start.
    pub seconds: Vec<Second>,
    /// How long the origin took, in milliseconds, and when it was done.
    pub origin: Vec<(Instant, f32)>,
    /// When the state changed, whether it is an alarm, whether there is no incident, and its name.
    pub states: Vec<(Instant, bool, bool, String)>,
    /// When measures came or changed their rung, in words.
    pub measures: Vec<(Instant, String)>,
    /// Measures that blocked, by their number, and whom of the readers through Tor they met.
    pub blocks: BTreeMap<u32, TorBlock>,
    /// Those of them that stand.
    pub blocking: Vec<u32>,
    /// Refusals that had no cause.
    pub without_cause: u64,
    /// Most bytes of what may grow with traffic.
    pub most_bytes: usize,
    /// More waited than may.
    pub over_queue: bool,
    /// More measures than there may be.
    pub over_measures: bool,
    /// Times each wave of an attack began.
    pub waves: Vec<(Instant, usize)>,
    /// When the first measure of each wave met most of it: by the order of [`Self::waves`].
    pub wave_met: Vec<Option<Instant>>,
    /// When the run began.
    pub start: Instant,
    /// Whether seconds are not told apart.
    pub is_lean: bool,
    /// Crawlers of a surge, by their number.
    pub crawlers: Vec<CrawlerRecord>,
    /// Who is on the operator's allow list.
    pub listed: ListedRecord,
    /// Requests, whoever asked, that met a measure on the rung that blocks.
    pub met_block: u64,
}

/// What became of requests from the operator's allow list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListedRecord {
    /// Requests.
    pub asked: u64,
    /// Of them: refused by a rule or a measure, or tested.
    pub refused: u64,
    /// Of them: not answered because the origin had no room.
    pub put_off: u64,
}

/// What became of one crawler's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrawlerRecord {
    /// Whether its name was verified.
    pub is_verified: bool,
    /// Requests.
    pub asked: u64,
    /// Of them: answered with a page.
    pub got: u64,
    /// Of them: with a test.
    pub challenged: u64,
    /// Of them: blocked by a measure.
    pub blocked: u64,
}

/// What a measure did to readers through Tor while it blocked. They are ordinary readers, whatever attackers
/// at the same exits do; and what is counted is what they ask the origin for, because pages in hand are refused to nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TorBlock {
    /// Requests of theirs for dynamic pages.
    pub asked: u64,
    /// Of them: met by the measure, also those that it let through because something spoke for the reader.
    pub met: u64,
}

impl TorBlock {
    /// Whether it is a block of Tor, whatever it names: it meets most of what ordinary readers through Tor ask for.
    /// Of fewer than four requests nothing is said: that is as many as come in a block that is taken back after two seconds.
    pub const fn is_of_tor(self) -> bool {
        self.asked >= 4 && self.met * 2 > self.asked
    }
}

impl Record {
    /// Notes a request of a reader through Tor for a dynamic page.
    pub(crate) fn note_tor(&mut self, met: Option<Met>) {
        for measure in &self.blocking {
            let block = self.blocks.entry(*measure).or_default();
            block.asked += 1;
            block.met += u64::from(met.is_some_and(|met| met.id.0 == *measure));
        }
    }

    /// The sums of the second that `now` is in.
    pub fn second(&mut self, now: Instant) -> &mut Second {
        let since = now.saturating_since(self.start).as_secs() as usize;
        let at = if self.is_lean { 0 } else { since };
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }

    /// The part of the run that `now` is in.
    pub fn phase(&self, now: Instant) -> Phase {
        if now < self.from {
            Phase::Calm
        } else if now < self.until {
            Phase::Event
        } else {
            Phase::Rest
        }
    }

    /// The seconds of `phase`, without the first `skip` of it.
    pub fn seconds_of(&self, phase: Phase, skip: u64) -> impl Iterator<Item = &Second> + '_ {
        let from = self.from.saturating_since(self.start).as_secs();
        let until = self.until.saturating_since(self.start).as_secs();
        let range = match phase {
            Phase::Calm => skip..from,
            Phase::Event => from + skip..until,
            Phase::Rest => until + skip..u64::MAX,
        };
        let seconds = self.seconds.iter().enumerate();
        seconds.filter(move |(at, _)| range.contains(&(*at as u64))).map(|(_, second)| second)
    }

    pub(crate) fn note_request(
        &mut self,
        now: Instant,
        is_hostile: bool,
        met: Option<Met>,
        refused: Option<Cause>,
    ) {
        let is_met = met.is_some_and(|met| met.rung > Rung::Observe || met.is_control);
        let second = self.second(now);
        if is_hostile {
            second.hostile += 1;
            second.hostile_met += u64::from(is_met);
            second.hostile_refused += u64::from(refused.is_some());
        } else {
            second.legit += 1;
            second.legit_met += u64::from(is_met);
        }
        self.met_block += u64::from(met.is_some_and(|met| met.rung == Rung::Block));
        if refused == Some(Cause::Default) {
            self.without_cause += 1;
        }
    }
}
