//! What goes into the controller and what comes out.

use alloc::vec::Vec;
use core::time::Duration;

use seawall_detect::{Finding, SignatureEvidence, Verdict};
use seawall_model::{Instant, Mitigation, MitigationId, Rung, Signature, WallTime};

/// What the controller is told.
#[derive(Clone, Copy, Debug)]
pub enum ControlEvent<'a> {
    /// What detection found in this tick.
    Finding(&'a Finding),
    /// On what a signature rests now: for each of [`Controller::signatures_to_check`](crate::Controller::signatures_to_check),
    /// before the finding of the same tick.
    Checked {
        /// Which.
        signature: Signature,
        /// Its evidence.
        evidence: SignatureEvidence,
    },

    /// How a synthetic reader fared.
    Probed(Probe),
    /// What the operator wants.
    Operator(OperatorCommand),
}

/// How one synthetic reader fared with one request through the filters that everybody goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether it was not refused for what it looks like. Being put behind others or tested is no refusal.
    pub is_served: bool,
    /// The mitigation it met, if one.
    pub met: Option<MitigationId>,
}

/// What the operator decides by hand. It outranks what is found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OperatorCommand {
    /// Keep a signature on a rung for so long, whatever is found.
    Pin {
        /// Which.
        signature: Signature,
        /// Where.
        rung: Rung,
        /// How long, 30 days at most.
        lasts: Duration,
    },
    /// Leave whoever a signature means alone for so long.
    Veto {
        /// Which.
        signature: Signature,
        /// How long, 30 days at most.
        lasts: Duration,
    },
    /// Forget pin or veto, and the measure with it.
    Remove(MitigationId),
    /// Act, or only say what would be done.
    SetMode(crate::Mode),
}

/// Orders end, too: nobody remembers in spring what was ordered in autumn.
pub(crate) const MAX_ORDER: Duration = Duration::from_secs(30 * 86_400);

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// From now on these mitigations stand, and no others. At most
    /// [`MAX_MITIGATIONS`](seawall_model::MAX_MITIGATIONS).
    Publish(Vec<Mitigation>),
    /// For log, status and evidence.
    Record(Entry),
}

/// One thing that happened, for log, status and evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// When, for durations.
    pub at: Instant,
    /// When, for people: the wall time of the last finding.
    pub wall: WallTime,
    /// The incident it belongs to, if one is open.
    pub incident: Option<IncidentId>,
    /// What.
    pub step: Step,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// An incident began.
    Opened,
    /// What is thought of it changed.
    Judged(Verdict),
    /// It is over.
    Closed(Incident),
    /// A measure changed its rung; `None` is none at all.
    Moved {
        /// Which.
        id: MitigationId,
        /// Whom it meets.
        signature: Signature,
        /// On what it rests.
        evidence: SignatureEvidence,
        /// From where.
        from: Option<Rung>,
        /// To where.
        to: Option<Rung>,
        /// Why.
        why: Why,
    },
    /// The operator's order could not be followed.
    Refused(Refused),
}

/// Why a measure moved. A closed vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It explains what is too much.
    Found,
    /// It was known, and came back.
    Returned,
    /// It rests on enough to go further.
    Stands,
    /// Those it meets go on and do not pass the test.
    NobodyPasses,
    /// Those it meets go on beyond the budget of pages in hand.
    BeyondBudget,
    /// Those it meets want what no test can be put before, none of them was recognised, and many go on though
    /// they are told to wait.
    NoReaders,
    /// Too many of those it meets pass the test, were recognised, or wait when they are told to.
    SomePass,
    /// A synthetic reader was refused by it.
    ReaderHurt,
    /// It explains next to nothing of what is too much.
    NoEffect,
    /// It does not rest on enough any more.
    Weaker,
    /// This is a crowd.
    Crowd,
    /// What it means has ceased.
    Ceased,
    /// There are more important ones.
    NoRoom,
    /// The operator wants it so.
    Operator,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Found,
        Self::Returned,
        Self::Stands,
        Self::NobodyPasses,
        Self::BeyondBudget,
        Self::NoReaders,
        Self::SomePass,
        Self::ReaderHurt,
        Self::NoEffect,
        Self::Weaker,
        Self::Crowd,
        Self::Ceased,
        Self::NoRoom,
        Self::Operator,
    ];

    /// The name in logs, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Returned => "returned",
            Self::Stands => "stands",
            Self::NobodyPasses => "nobody_passes",
            Self::BeyondBudget => "beyond_budget",
            Self::NoReaders => "no_readers",
            Self::SomePass => "some_pass",
            Self::ReaderHurt => "reader_hurt",
            Self::NoEffect => "no_effect",
            Self::Weaker => "weaker",
            Self::Crowd => "crowd",
            Self::Ceased => "ceased",
            Self::NoRoom => "no_room",
            Self::Operator => "operator",
        }
    }
}

/// Why an order was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no measure of that name.
    Unknown(MitigationId),
    /// All places are taken by the operator's own orders.
    NoRoom,
    /// A signature that says nothing of behaviour may not block.
    MayNotBlock,
}

/// Names an incident for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u32);

/// An incident, from its first alarm to a quiet minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// Its name.
    pub id: IncidentId,
    /// When it began.
    pub since: Instant,
    /// When it began, for people.
    pub since_wall: WallTime,
    /// When it was last alarmed.
    pub until: Instant,
    /// What was thought of it: attack before crowd before undecided.
    pub verdict: Verdict,
    /// Requests while it lasted.
    pub requests: u64,
    /// Of them: beyond what is ordinary.
    pub excess: u64,
    /// Of them: met by a measure.
    pub matched: u64,
}
