//! What a worker tells control and evidence of one request. Fixed size, no heap.

use crate::{Cause, ClientAddr, Fingerprint, Method, Misbehaviour, WallTime};

/// What happened. Fixed size, no heap: it travels through a bounded ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A request was answered.
    Answered {
        /// The status sent.
        status: u16,
        /// Why it was decided so.
        cause: Cause,
    },
    /// A peer broke a protocol.
    Misbehaved(Misbehaviour),
    /// A peer did so too often and gets no new connections for a while. This was the last straw.
    Barred(Misbehaviour),
}

/// One observation on its way from a worker to control and evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, for labels.
    pub at: WallTime,
    /// Who.
    pub client: ClientAddr,
    /// What it looked like.
    pub fingerprint: Fingerprint,
    /// The method, where there was a request.
    pub method: Option<Method>,
    /// What happened.
    pub kind: EventKind,
}
