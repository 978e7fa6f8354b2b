//! What is decided and why: a closed vocabulary.
//!
//! It holds no rule; those are in `seawall-decide`.

use core::time::Duration;

/// Why something was decided. A closed vocabulary: the metric label, the access log field and what
/// `seawall explain` prints all come from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No rule objected.
    Default,
    /// The operator's allow list.
    AllowList,
    /// The operator's deny list.
    DenyList,
    /// The method is not among those the site takes.
    MethodNotAllowed,
    /// The request target exceeds `limits.max_target_bytes`.
    TargetTooLong,
    /// The head exceeds `limits.max_head_bytes` or `limits.max_fields`.
    HeadTooLarge,
    /// The content exceeds `limits.max_body_bytes`.
    BodyTooLarge,
    /// This identity exceeded the held-page budget (`limits.held_rate`).
    HeldBudget,
    /// No configured site answers to this host.
    UnknownHost,
    /// A route rule limits sources.
    RouteSource,
    /// This client or its network exceeded the budget of a route.
    RouteBudget,
    /// The link of a pass is no good, or not any more.
    PassLink,
    /// The message could be read in two ways, or broke the protocol.
    Malformed,
    /// A time limit on the client ran out.
    ClientTimeout,
    /// The bound on connections is reached.
    TooManyConnections,
    /// The bound on connections of one identity is reached.
    TooManyConnectionsOfOne,
    /// The bound on connections of one prefix is reached.
    TooManyConnectionsOfPrefix,
    /// This identity broke protocols beyond `limits.max_offences` and is kept out for a while.
    RepeatOffender,
    /// The operator's list of client fingerprints.
    DenyFingerprint,
    /// TLS handshakes take as much processor time as they may (`limits.handshake_share`).
    HandshakeBudget,
    /// Memory is short.
    MemoryPressure,
    /// The frames of a connection asked for more work than it may.
    ProtocolFlood,
    /// The queue before the origin is full, or the wait in it ran out.
    OriginBusy,
    /// This client or its network exceeded its budget of origin work (`limits.origin_budget`) while
    /// others had to be refused.
    OriginBudget,
    /// The URL is probably made up, and there is a flood of those (`limits.made_up`).
    MadeUp,
    /// The origin refused, timed out, or broke the protocol.
    OriginFailed,
    /// Seawall is stopping.
    Draining,
    /// The operator's emergency: reading only, from what is held, and this is not held or no reading.
    Emergency,
    /// The configuration forbids serving this (for example an upload without room to spool it).
    NoRoom,
    /// It looks like an attack that is being slowed: behind others who wait for the origin.
    Demoted,
    /// It looks like an attack, and has to pass a cheap test before the origin works for it.
    Challenged,
    /// It looks like an attack whose clients never pass a test.
    SignatureBlock,
    /// This client was given test after test and passed none.
    Unsolved,
}

impl Cause {
    /// Every cause, for metrics and documentation.
    pub const ALL: [Self; 33] = [
        Self::Default,
        Self::AllowList,
        Self::DenyList,
        Self::MethodNotAllowed,
        Self::TargetTooLong,
        Self::HeadTooLarge,
        Self::BodyTooLarge,
        Self::HeldBudget,
        Self::UnknownHost,
        Self::RouteSource,
        Self::RouteBudget,
        Self::PassLink,
        Self::Malformed,
        Self::ClientTimeout,
        Self::TooManyConnections,
        Self::TooManyConnectionsOfOne,
        Self::TooManyConnectionsOfPrefix,
        Self::RepeatOffender,
        Self::DenyFingerprint,
        Self::HandshakeBudget,
        Self::MemoryPressure,
        Self::ProtocolFlood,
        Self::OriginBusy,
        Self::OriginBudget,
        Self::MadeUp,
        Self::OriginFailed,
        Self::Draining,
        Self::Emergency,
        Self::NoRoom,
        Self::Demoted,
        Self::Challenged,
        Self::SignatureBlock,
        Self::Unsolved,
    ];

    /// The label in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AllowList => "allow_list",
            Self::DenyList => "deny_list",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::HeldBudget => "held_budget",
            Self::UnknownHost => "unknown_host",
            Self::RouteSource => "route_source",
            Self::RouteBudget => "route_budget",
            Self::PassLink => "pass_link",
            Self::Malformed => "malformed",
            Self::ClientTimeout => "client_timeout",
            Self::TooManyConnections => "too_many_connections",
            Self::TooManyConnectionsOfOne => "too_many_connections_of_one",
            Self::TooManyConnectionsOfPrefix => "too_many_connections_of_prefix",
            Self::RepeatOffender => "repeat_offender",
            Self::DenyFingerprint => "deny_fingerprint",
            Self::HandshakeBudget => "handshake_budget",
            Self::MemoryPressure => "memory_pressure",
            Self::ProtocolFlood => "protocol_flood",
            Self::OriginBusy => "origin_busy",
            Self::OriginBudget => "origin_budget",
            Self::MadeUp => "made_up",
            Self::OriginFailed => "origin_failed",
            Self::Draining => "draining",
            Self::Emergency => "emergency",
            Self::NoRoom => "no_room",
            Self::Demoted => "demoted",
            Self::Challenged => "challenged",
            Self::SignatureBlock => "signature_block",
            Self::Unsolved => "unsolved",
        }
    }

    /// The short code on refusal pages, understood by `seawall explain`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Default => "SW-000",
            Self::AllowList => "SW-001",
            Self::DenyList => "SW-101",
            Self::MethodNotAllowed => "SW-102",
            Self::TargetTooLong => "SW-103",
            Self::HeadTooLarge => "SW-104",
            Self::BodyTooLarge => "SW-105",
            Self::HeldBudget => "SW-106",
            Self::UnknownHost => "SW-107",
            Self::RouteSource => "SW-108",
            Self::PassLink => "SW-109",
            Self::RouteBudget => "SW-110",
            Self::Malformed => "SW-201",
            Self::ClientTimeout => "SW-202",
            Self::TooManyConnections => "SW-203",
            Self::TooManyConnectionsOfOne => "SW-204",
            Self::TooManyConnectionsOfPrefix => "SW-205",
            Self::RepeatOffender => "SW-206",
            Self::ProtocolFlood => "SW-207",
            Self::MemoryPressure => "SW-210",
            Self::HandshakeBudget => "SW-208",
            Self::DenyFingerprint => "SW-209",
            Self::OriginBusy => "SW-301",
            Self::OriginFailed => "SW-302",
            Self::Draining => "SW-303",
            Self::NoRoom => "SW-304",
            Self::Emergency => "SW-307",
            Self::OriginBudget => "SW-305",
            Self::MadeUp => "SW-306",
            Self::Demoted => "SW-002",
            Self::SignatureBlock => "SW-401",
            Self::Challenged => "SW-402",
            Self::Unsolved => "SW-403",
        }
    }

    /// Position in [`Cause::ALL`], for counter arrays.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// How a refusal is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status; 0 closes the connection without an answer.
    pub status: u16,
    /// When it makes sense to come back; becomes `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whether the connection is closed afterwards.
    pub close: bool,
}

/// What happens to one request, connection or handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on. The cause says whether a rule spoke for it.
    Admit(Cause),
    /// Answer with this and do no work.
    Refuse(Refusal, Cause),
}

impl Decision {
    /// Why.
    pub const fn cause(self) -> Cause {
        match self {
            Self::Admit(cause) | Self::Refuse(_, cause) => cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cause;

    #[test]
    fn causes_have_unique_labels_codes_and_positions() {
        for (position, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), position);
            for other in &Cause::ALL[position + 1..] {
                assert_ne!(cause.as_str(), other.as_str());
                assert_ne!(cause.code(), other.code());
            }
        }
    }
}
