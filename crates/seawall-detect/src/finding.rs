//! What detection says each tick. Facts with figures; what is done about them is for others.

use alloc::vec::Vec;

use seawall_model::{Instant, Signature, WallTime};

use crate::{Counts, MitigationCounts};

/// What is watched (detection.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Requests in all.
    Requests,
    /// Requests that only the origin can answer.
    OriginBound,
    /// Time they cost the origin.
    OriginCost,
    /// New connections.
    Connections,
    /// TLS handshakes begun.
    Handshakes,
    /// TLS handshakes that failed.
    HandshakeFailures,
    /// Streams reset.
    Resets,
    /// Connections that are too slow.
    SlowConnections,
    /// Answers 4xx.
    ClientErrors,
    /// Answers 5xx.
    ServerErrors,
    /// Clients not seen before.
    NewClients,
    /// How far the mix of attributes is from the ordinary one, whatever the volume.
    Composition,
    /// How hard the origin is pressed.
    OriginStress,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Requests,
        Self::OriginBound,
        Self::OriginCost,
        Self::Connections,
        Self::Handshakes,
        Self::HandshakeFailures,
        Self::Resets,
        Self::SlowConnections,
        Self::ClientErrors,
        Self::ServerErrors,
        Self::NewClients,
        Self::Composition,
        Self::OriginStress,
    ];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in timelines, metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::OriginBound => "origin_bound",
            Self::OriginCost => "origin_cost",
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::HandshakeFailures => "handshake_failures",
            Self::Resets => "resets",
            Self::SlowConnections => "slow_connections",
            Self::ClientErrors => "client_errors",
            Self::ServerErrors => "server_errors",
            Self::NewClients => "new_clients",
            Self::Composition => "composition",
            Self::OriginStress => "origin_stress",
        }
    }

    /// Whether it says by itself that a protocol is abused, which no crowd does.
    pub const fn is_abuse(self) -> bool {
        matches!(self, Self::HandshakeFailures | Self::Resets | Self::SlowConnections)
    }
}

/// Over how long a change is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scale {
    /// Each window of 250 ms.
    Fast,
    /// Two seconds.
    Middle,
    /// Sixteen seconds.
    Slow,
}

impl Scale {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Middle, Self::Slow];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// One channel that is out of the ordinary on one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alarm {
    /// Which.
    pub channel: Channel,
    /// Over how long.
    pub scale: Scale,
    /// What is there, in the channel's unit per second (composition: bits).
    pub observed: f64,
    /// What would be ordinary.
    pub expected: f64,
}

/// Crowd or attack (detection.md §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Many readers at once.
    Crowd,
    /// Neither can be said.
    #[default]
    Mixed,
    /// An attack.
    Attack,
}

impl Verdict {
    /// The name, everywhere.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Crowd => "crowd",
            Self::Mixed => "mixed",
            Self::Attack => "attack",
        }
    }
}

/// What goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TrafficState {
    /// Nothing out of the ordinary.
    #[default]
    Normal,
    /// Something is; too little to say more.
    Watch,
    /// Somebody has to wait, and this is why.
    Alarmed(Verdict),
    /// Over, for less than a minute.
    Recovery,
}

impl TrafficState {
    /// The name in `status --json`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Watch => "watch",
            Self::Alarmed(verdict) => verdict.as_str(),
            Self::Recovery => "recovery",
        }
    }
}

/// Rates of this window and what would be ordinary, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SiteRates {
    /// Requests.
    pub requests: f64,
    /// Requests expected now.
    pub requests_expected: f64,
    /// Requests that only the origin can answer.
    pub origin_bound: f64,
    /// Those expected now.
    pub origin_bound_expected: f64,
}

/// On what a signature rests. A bound on harm measured on traffic seen before, and no more than that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignatureEvidence {
    /// Requests per second that match now.
    pub matched_per_s: f64,
    /// How many would match if everything were ordinary.
    pub expected_per_s: f64,
    /// Which part of all that is too much it explains, 0 to 1.
    pub coverage: f64,
    /// Upper bound (Clopper-Pearson, 95 %) of the part of ordinary clients that match, 0 to 1.
    pub collateral_upper: f64,
    /// Clients of the baseline that match, of [`Self::baseline_clients`].
    pub baseline_hits: u32,
    /// Clients in the baseline.
    pub baseline_clients: u32,
    /// Requests in the sample of now that match.
    pub sample_hits: u32,
    /// Requests in the sample of now.
    pub sample_rows: u32,
    /// Natural logarithm of the probability that chance alone did this, corrected for how many
    /// conjunctions were tried (G-test, Bonferroni).
    pub ln_p: f64,
}

/// A signature that explains a part of what is too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// What it means.
    pub signature: Signature,
    /// On what it rests.
    pub evidence: SignatureEvidence,
}

/// What one tick found.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// When, for durations.
    pub at: Instant,
    /// When, for labels.
    pub wall: WallTime,
    /// What goes on.
    pub state: TrafficState,
    /// What is out of the ordinary; empty in peace.
    pub alarms: Vec<Alarm>,
    /// Log-odds of crowd (above 0) against attack (below), in nats; 0 in peace.
    pub log_odds: f64,
    /// What was counted in this tick.
    pub counts: Counts,
    /// What was counted in this tick of each mitigation that met anybody
    /// ([`Tallies`](crate::Tallies)).
    pub met: Vec<MitigationCounts>,
    /// Rates.
    pub rates: SiteRates,
    /// Clients that the baseline knows.
    pub baseline_clients: u32,
    /// What the excess looks like, best first; only while alarmed, and only in ticks that mined.
    pub candidates: Vec<Candidate>,
}
