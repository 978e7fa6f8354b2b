//! What detection is told of a request once it was answered. Fixed size, no heap, nothing borrowed.
//!
//! An [`Event`](crate::Event) is what evidence and status keep of some requests; an observation is made
//! of every one.

use core::time::Duration;

use crate::{Attributes, Cause, ClientAddr, Instant, MitigationId, Rung, Standing};

/// What somebody wants with a request, as far as it can be told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A page to read: GET or HEAD of something that is no file and no feed.
    Page,
    /// What a page loads: styles, scripts, images, fonts.
    Subresource,
    /// A feed.
    Feed,
    /// Forms, uploads, programs.
    Other,
}

/// Who was put to work by a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nobody: it was in hand.
    Held,
    /// The origin, for so long.
    Origin {
        /// Milliseconds of the origin's time, rounded up.
        cost_ms: u32,
    },
    /// The origin would have been, but the request was refused, put off or given a copy first.
    Spared,
}

/// Where a request says it was linked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Referrer {
    /// Nowhere.
    None,
    /// The site itself.
    Own,
    /// Another site, by the keyed hash of its host.
    Other(u32),
}

/// What a mitigation did to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Which one.
    pub id: MitigationId,
    /// On which rung it stood for this request. For the control group of a block one lower: it is put to
    /// the test, because a block rests on nobody passing it.
    pub rung: Rung,
    /// Whether the request was kept out of it to see what would happen without.
    pub is_control: bool,
}

/// What became of a cheap test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Test {
    /// None was set.
    None,
    /// It was set, and is open.
    Set,
    /// It was passed with this request.
    Passed,
    /// It was passed before, and the pass is carried.
    Carried,
}

/// Who waits longer for an answer has noticed: the bound of patience that recovery after an attack is measured by.
pub const LATE: Duration = Duration::from_secs(2);

/// One answered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// When it was answered.
    pub at: Instant,
    /// Who asked.
    pub client: ClientAddr,
    /// The port it asked from; 0 if that is not known (a proxy in between, a log).
    pub port: u16,
    /// Whether its address is an exit of Tor.
    pub is_tor: bool,
    /// Whether it was answered after more than [`LATE`].
    pub is_late: bool,
    /// A keyed hash of whom it counts against.
    pub identity: u64,
    /// What speaks for it.
    pub standing: Standing,
    /// What it looks like.
    pub attributes: Attributes,
    /// What it wants.
    pub kind: RequestKind,
    /// A keyed hash of what exactly was asked for.
    pub target: u32,
    /// Where it says it was linked from.
    pub referrer: Referrer,
    /// Whether it brought a cookie. A claim: anybody can make one up.
    pub returned_cookie: bool,
    /// Whether something that was checked says that it was here to read before, or may be here: a credential of
    /// ours of whatever age, a login that the origin gave, a pass or a list of the operator.
    pub is_recognised: bool,
    /// Whether many may be given the same answer: it was held, or may be from now on and its URL is none that a
    /// flood makes up (it has no query).
    pub is_cacheable: bool,
    /// The status sent; 0 if the connection ended first.
    pub status: u16,
    /// Why it was decided so.
    pub cause: Cause,
    /// Who worked.
    pub work: Work,
    /// The mitigation that matched, if one did.
    pub met: Option<Met>,
    /// The cheap test.
    pub test: Test,
}

/// What connections tell, which no request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionSignal {
    /// One was accepted.
    Opened,
    /// A TLS handshake was begun.
    Handshake,
    /// A TLS handshake failed.
    HandshakeFailed,
    /// A stream was reset by the client, or we were provoked to do so.
    Reset,
    /// One was closed or refused because it was too slow, or is open in the middle of a head for long.
    Slow,
    /// One was refused before anything was read of it.
    Refused,
}

impl ConnectionSignal {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Opened,
        Self::Handshake,
        Self::HandshakeFailed,
        Self::Reset,
        Self::Slow,
        Self::Refused,
    ];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_stays_small() {
        assert!(size_of::<Observation>() <= 176, "{}", size_of::<Observation>());
    }

    #[test]
    fn signals_are_listed_by_their_index() {
        for (index, signal) in ConnectionSignal::ALL.into_iter().enumerate() {
            assert_eq!(signal.index(), index);
        }
    }
}
