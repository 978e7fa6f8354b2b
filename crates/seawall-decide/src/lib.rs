//! Per request: facts to a decision.
//!
//! Four gates of one shape (accept, hello, request, origin) and the pacing of bytes out. Separate
//! from the rest so that the data plane cannot see detection, and so that the same code decides in
//! production, in replay and in the simulator: everything is a function of explicit arguments.
//!
//! It deliberately does **not** read clocks or sockets, does not log, does not parse (that is
//! `seawall-wire`), and does not decide which page is held (that is `seawall-cache`).
//!
//! Read next: [`decide`] for the order of the rules, [`Limiters`] for what is remembered of a
//! client, [`OriginGate`] for who may reach the origin, [`Egress`] for who may send.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod adaptive;
#[cfg(test)]
mod adversary;
mod attributes;
mod breaker;
mod budget;
mod by_country;
mod cheap_test;
mod connection;
mod costs;
mod credential;
mod decay;
mod egress;
mod gates;
mod handshakes;
mod hashed;
mod held_gate;
mod ja4_rules;
mod limiters;
mod logins;
mod memory;
mod mitigation_gate;
mod mitigations;
mod offenders;
mod origin_gate;
mod owners;
mod path;
mod places;
mod prefix_counts;
mod prefix_set;
mod prior;
mod speed;
mod table;
mod template;
mod ticket;
mod turn;
mod unsolved;
mod used;
mod visitors;
mod wish;

pub use crate::adaptive::{AdaptiveConfig, AdaptiveLimiter, WorkOutcome, WorkSample};
pub use crate::attributes::{AttributeWords, Attributer, Known, MAX_WORDS_BYTES, NetworkClass};
pub use crate::breaker::{Breaker, BreakerConfig, BreakerState, OriginOutcome};
pub use crate::budget::{OriginBudget, RouteBudget, Whence, class_beyond_budget};
pub use crate::by_country::{CountryShare, WorkByCountry};
pub use crate::cheap_test::{
    NextStep, TestAsker, TestOutcome, TestShown, is_local_reference, test_gate,
};
pub use crate::connection::ConnectionDemand;
pub use crate::costs::TemplateCosts;
pub use crate::credential::{
    AGED, CREDENTIAL_CHARS, Credential, CredentialClass, CredentialFault, CredentialKeys,
    CredentialText, GRANT_HOURS, MAX_CREDENTIAL_DAYS,
};
pub use crate::egress::{Egress, EgressAsked, EgressConfig, EgressTicket};
pub use crate::gates::{
    CROWD, accept_gate, bar_gate, decide, hello_gate, note_misbehaviour, route_gate,
};
pub use crate::handshakes::{HandshakeBudget, HandshakeTurn, Hello, handshake_gate};
pub use crate::held_gate::held_gate;
pub use crate::ja4_rules::{InvalidJa4Rule, Ja4Rule};
pub use crate::limiters::{DEMAND_ONE, Limiters, Look, Tested};
pub use crate::logins::{LoginHash, LoginKey, Logins, MAX_LOGIN};
pub use crate::memory::{MemoryPressure, MemoryStep, lacks_memory};
pub use crate::mitigation_gate::{MAX_OPEN_TESTS, Testable, Trial, mitigation_gate};
pub use crate::mitigations::{Exempt, Mitigations};
pub use crate::origin_gate::{
    Asked, ClassCounters, OriginGate, OriginGateConfig, OriginGateCounters, OriginPermit,
    StreamPermit, Ticket, WorkClass, WorkPrice, WorkRequest, WorkSource,
};
pub use crate::owners::{Countries, Hosting, OwnedRange, Owners, RegisteredRange};
pub use crate::prefix_set::PrefixSet;
pub use crate::prior::{prior, reading, synthetic_readers};
pub use crate::table::{RouteLane, RouteRule, RouteTerms, SiteRules, Table, TableSource};
pub use crate::template::Templater;
pub use crate::ticket::{
    MAX_WAIT, MIN_WAIT, PASS_LIFE, TICKET_LIFE, TestTicket, TicketFault, TicketKind,
};
pub use crate::turn::{Turn, TurnAsker};
pub use crate::visitors::{Sight, Visitors};
pub use crate::wish::{Form, Wish};
