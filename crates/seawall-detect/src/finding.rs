//! What detection says each tick. Facts with figures; what is done about them is for others.

use alloc::vec::Vec;

use seawall_model::{Instant, MitigationId, Signature, WallTime};

use crate::crowd::SURE;
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

    /// Whether it is one of requests, which is what signatures are of.
    pub const fn is_of_requests(self) -> bool {
        matches!(
            self,
            Self::Requests
                | Self::OriginBound
                | Self::OriginCost
                | Self::ClientErrors
                | Self::ServerErrors
        )
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

/// Crowd or attack (detection.md §4). The later, the more is known: what was first undecided and then a crowd
/// was a crowd, and what was ever an attack was one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Neither can be said.
    #[default]
    Mixed,
    /// Many readers at once.
    Crowd,
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

/// Rates of the last two seconds and what would be ordinary, per second.
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
    /// Milliseconds of the origin that they cost.
    pub origin_cost_ms: f64,
    /// Those expected now.
    pub origin_cost_ms_expected: f64,
}

impl SiteRates {
    /// Whether so much is too much that it is worth explaining: two requests a second, or a fifth of what is
    /// ordinary. Less is what readers do, and every signature of it would be one of readers.
    pub fn has_excess(&self) -> bool {
        let is_more = |now: f64, expected: f64, least: f64| {
            now - expected >= (EXCESS_PART * expected).max(least)
        };
        is_more(self.requests, self.requests_expected, EXCESS_PER_S)
            || is_more(self.origin_bound, self.origin_bound_expected, EXCESS_PER_S)
            || is_more(self.origin_cost_ms, self.origin_cost_ms_expected, EXCESS_PER_S * DEAR_MS)
    }
}

const EXCESS_PER_S: f64 = 2.0;
const EXCESS_PART: f64 = 0.2;
/// What a page costs that is not cheap.
const DEAR_MS: f64 = 100.0;

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
    /// The same of those who came for something that matches: of a signature that means pages and not what belongs to
    /// them it is several times as many, and a block refuses each of them.
    pub refused_upper: f64,
    /// Clients of the baseline that match, of [`Self::baseline_clients`].
    pub baseline_hits: u32,
    /// Clients in the baseline.
    pub baseline_clients: u32,
    /// Requests in the sample of now that match.
    pub sample_hits: u32,
    /// Requests in the sample of now.
    pub sample_rows: u32,
    /// Different clients (a /32 of IPv4, a /64 of IPv6) who made those that match.
    pub sample_clients: u32,
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

/// Those who were told to wait for a mitigation so lately that it is not sure yet whether they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsure {
    /// Which.
    pub id: MitigationId,
    /// Clients who were told so ten seconds ago or earlier.
    pub told: u32,
    /// Of them: have gone on for ten seconds by now. More may come to these, none is taken away.
    pub restless: u32,
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
    /// Of each mitigation those who will be counted there as told to wait within the next seven seconds.
    pub unsure: Vec<Unsure>,
    /// Rates.
    pub rates: SiteRates,
    /// Clients that the baseline knows.
    pub baseline_clients: u32,
    /// What the excess looks like, best first; only while alarmed, and only in ticks that mined.
    pub candidates: Vec<Candidate>,
}

impl Finding {
    /// Whether there is anything to explain by signatures: requests beyond the ordinary, and so many that it
    /// is no chance.
    pub fn has_excess(&self) -> bool {
        is_excess(&self.alarms, &self.rates)
    }

    /// Whether what is too much looks like a crowd, though it may not be called one yet: because nobody was watched
    /// for as long as a page takes to load, or because something else goes on that is no crowd's.
    pub fn looks_like_crowd(&self) -> bool {
        self.log_odds > SURE
    }
}

pub(crate) fn is_excess(alarms: &[Alarm], rates: &SiteRates) -> bool {
    rates.has_excess() && alarms.iter().any(|alarm| alarm.channel.is_of_requests())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_more_of_anything_is_worth_explaining_and_less_is_not() {
        let calm = SiteRates {
            requests: 590.0,
            requests_expected: 500.0,
            origin_bound: 85.0,
            origin_bound_expected: 75.0,
            origin_cost_ms: 2_600.0,
            origin_cost_ms_expected: 2_250.0,
        };
        assert!(!calm.has_excess());
        for rates in [
            SiteRates { requests: 601.0, ..calm },
            SiteRates { origin_bound: 91.0, ..calm },
            SiteRates { origin_cost_ms: 2_800.0, ..calm },
        ] {
            assert!(rates.has_excess(), "{rates:?}");
        }
        let small = SiteRates { requests: 1.9, requests_expected: 0.1, ..SiteRates::default() };
        assert!(!small.has_excess());
        assert!(SiteRates { requests: 2.2, ..small }.has_excess());
    }
}
