//! What goes between clients and whatever stands before the origin.
//!
//! Separate because the world speaks to every [`Shield`] in these words, the real one and the ones
//! that lack a part.

use std::time::Duration;

use seawall_decide::ConnectionDemand;
use seawall_model::{
    Cause, ClientAddr, ConnectionSignal, Identity, Instant, Met, Method, Misbehaviour, Mitigation,
    Standing, WallTime,
};

use crate::looks::RequestFields;
use crate::site::PageId;

/// The network that an address is registered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SimNetwork {
    /// Number of its owner.
    pub asn: u32,
    /// Country, two letters.
    pub country: [u8; 2],
    /// Whether it is a Tor exit.
    pub is_tor: bool,
}

/// Somebody at an address.
#[derive(Clone, Copy, Debug)]
pub struct Visitor {
    /// The address.
    pub client: ClientAddr,
    /// Where it is registered.
    pub network: SimNetwork,
    /// Whom it counts against.
    pub identity: Identity,
    /// What speaks for it.
    pub standing: Standing,
    /// Whether it is a crawler whose name was verified.
    pub is_verified: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A page that there is.
    Page(PageId),
    /// A URL that no page of the site leads to.
    MadeUp {
        /// The path.
        path: &'a str,
        /// The query.
        query: Option<&'a str>,
        /// What the origin answers with; `None`: 404. Nobody but the origin may look at it.
        like: Option<PageId>,
    },
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct SimRequest<'a> {
    /// Who asks.
    pub visitor: &'a Visitor,
    /// With which fields.
    pub fields: RequestFields<'a>,
    /// With which method.
    pub method: Method,
    /// For what.
    pub target: Target<'a>,
    /// Bytes of content that it brings.
    pub content_bytes: u64,
    /// Whether it carries a cookie with the name of a login.
    pub claims_login: bool,
    /// The pass of a cheap test that its cookies hold.
    pub pass: Option<&'a str>,
    /// The ticket of a cheap test that its address ends with.
    pub ticket: Option<&'a str>,
    /// What its connection asked for.
    pub connection: &'a ConnectionDemand,
    /// Whether it asks only for what has changed since it was last here (RFC 9110, section 13).
    pub has_copy: bool,
}

/// What a client is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A page, or the origin's word that there is none.
    Page {
        /// The status.
        status: u16,
    },
    /// A step of the cheap test.
    Test(TestStep),
    /// Refused.
    Refused(Cause),
}

/// What is asked of a client that is tested.
#[derive(Clone, Debug, PartialEq)]
pub enum TestStep {
    /// To come back at once.
    Around {
        /// With this in a cookie,
        pass: String,
        /// and with this in the address.
        ticket: String,
        /// Whether it is for a turn, in place of a refusal, and no test.
        is_turn: bool,
    },
    /// To come back at once without the ticket.
    Clean,
    /// To come back after so long, with the same ticket.
    Wait(Duration),
}

/// An answer and what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// The mitigation that matched.
    pub met: Option<Met>,
}

/// What a shield wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The origin is to work for `job`, which costs as much as so many ordinary pages.
    Fetch {
        /// The shield's name for it.
        job: u64,
        /// In ordinary pages.
        cost: f64,
        /// The request that it is for; `None`: for nobody who waits.
        of: Option<u64>,
    },
    /// The request `id`, which had to wait, is answered.
    Answer {
        /// The world's name for it.
        id: u64,
        /// With what.
        answered: Answered,
    },
}

/// What a shield says of itself.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Whether it takes what goes on for an attack, or cannot tell it from one.
    pub is_alarmed: bool,
    /// Whether there is no incident, or none any more.
    pub is_normal: bool,
    /// The state in a word, for the trace.
    pub state: String,
    /// Standing measures.
    pub mitigations: Vec<Mitigation>,
    /// The same in words, by the order of [`Self::mitigations`].
    pub words: Vec<String>,
    /// Clients known as ordinary.
    pub known_clients: u32,
    /// Memory that may grow with traffic, in bytes.
    pub bytes: usize,
    /// Requests that wait for the origin.
    pub queued: usize,
    /// How many of them there may be.
    pub max_queued: usize,
}

/// What stands between clients and the origin.
pub trait Shield {
    /// A connection is opened, with a session ticket or without.
    ///
    /// # Errors
    /// Why it is closed at once.
    fn connect(&mut self, now: Instant, visitor: &Visitor, has_ticket: bool) -> Result<(), Cause>;
    /// Somebody with a credential has read before it all began.
    fn remember(&mut self, now: Instant, visitor: &Visitor);
    /// Whether there are so many connections that the slowest are let go.
    fn is_crowded(&self) -> bool;
    /// A connection that was let in is closed.
    fn disconnect(&mut self, now: Instant, visitor: &Visitor);
    /// A peer broke a protocol.
    fn misbehaved(&mut self, now: Instant, visitor: &Visitor, kind: Misbehaviour);
    /// What connections tell, so many times.
    fn signal(&mut self, signal: ConnectionSignal, count: u32);
    /// A request has come. `None`: its answer comes from [`Self::poll`].
    fn request(&mut self, now: Instant, id: u64, request: &SimRequest<'_>) -> Option<Answered>;
    /// The origin is done with `job`.
    fn origin_done(&mut self, now: Instant, job: u64);
    /// A quarter of a second is over.
    fn tick(&mut self, now: Instant, wall: WallTime);
    /// What is to be done next. Call until `None` after each of the others.
    fn poll(&mut self) -> Option<Effect>;
    /// How it stands.
    fn status(&self) -> Status;
    /// What was learned of ordinary traffic, as it survives a restart.
    fn learned(&self) -> Vec<u8>;
}
