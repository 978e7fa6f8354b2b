//! The async shell around the origin gate of `seawall-decide`.
//!
//! The state machine decides who may reach the origin; this file only lets tasks wait for it, on
//! any worker. Reaching an origin needs a [`Permit`], and only the gate makes one (rule 12).

use std::sync::Arc;

use parking_lot::Mutex;
use seawall_decide::{Asked, OriginGate, OriginGateConfig, OriginPermit, Ticket, WorkClass};
use tokio::sync::oneshot;

use crate::clock;

/// One origin's gate, shared by all workers.
pub(crate) struct Gate(Mutex<OriginGate<oneshot::Sender<Permit>>>);

/// The right to have one request at work in the origin; given back when dropped.
pub(crate) struct Permit {
    permit: Option<OriginPermit>,
    gate: Arc<Gate>,
}

/// The gate did not let the request through in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// What the gate looks like, for status and metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GateView {
    pub(crate) limit: usize,
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
}

impl Gate {
    pub(crate) fn new(config: OriginGateConfig) -> Arc<Self> {
        Arc::new(Self(Mutex::new(OriginGate::new(config))))
    }

    /// Takes other bounds into force; those who may go now are woken.
    pub(crate) fn reconfigure(self: &Arc<Self>, config: OriginGateConfig) {
        self.0.lock().reconfigure(config);
        loop {
            let granted = self.0.lock().poll_grant(clock::now());
            let Some((waiter, permit)) = granted else { break };
            // To one who has left: the permit comes back by being dropped.
            drop(waiter.send(Permit { permit: Some(permit), gate: Arc::clone(self) }));
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Refused`] when the queue is full or the wait in it ran out.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        class: WorkClass,
        identity: u128,
        demand: u32,
    ) -> Result<Permit, Refused> {
        let (send, receive) = oneshot::channel();
        let asked = self.0.lock().request(clock::now(), class, identity, demand, || send);
        match asked {
            Asked::Granted(permit) => Ok(Permit { permit: Some(permit), gate: Arc::clone(self) }),
            Asked::Full => Err(Refused),
            Asked::Queued { ticket, displaced } => {
                // Dropping its sender tells the one who had to leave.
                drop(displaced);
                // A reader who leaves gives up the place.
                let _place = Place { gate: self, ticket: Some(ticket) };
                receive.await.map_err(|_| Refused)
            }
        }
    }

    /// Turns away those who waited too long. Called on every sweep of a worker.
    pub(crate) fn expire(&self) {
        // Dropping a waiter's sender tells it; outside the lock, because that wakes tasks.
        let expired = self.0.lock().expire(clock::now());
        drop(expired);
    }

    pub(crate) fn view(&self) -> GateView {
        let gate = self.0.lock();
        let counters = gate.counters();
        GateView { limit: gate.limit(), in_flight: counters.in_flight, queued: counters.queued }
    }
}

struct Place<'a> {
    gate: &'a Gate,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let waiter = self.gate.0.lock().cancel(ticket);
            drop(waiter);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut next = self.permit.take();
        // A loop, not recursion: many waiters may have left at once.
        while let Some(permit) = next.take() {
            let handed = self.gate.0.lock().release(clock::now(), permit);
            let Some((waiter, permit)) = handed else { break };
            let permit = Permit { permit: Some(permit), gate: Arc::clone(&self.gate) };
            if let Err(mut unwanted) = waiter.send(permit) {
                next = unwanted.permit.take();
            }
        }
    }
}
