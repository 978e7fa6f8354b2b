//! The async shell around the origin gate of `seawall-decide`.
//!
//! The state machine decides who may reach the origin; this file only lets tasks wait for it, on
//! any worker. Reaching an origin needs a [`Permit`], and only the gate makes one (rule 12).

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_decide::{
    Asked, DEMAND_ONE, OriginGate, OriginGateConfig, OriginGateCounters, OriginPermit,
    StreamPermit, Templater, Ticket, WorkClass, WorkOutcome, WorkRequest,
};
use seawall_model::Instant;
use tokio::sync::oneshot;

use crate::clock;

/// One origin's gate, shared by all workers.
pub(crate) struct Gate {
    gate: Mutex<OriginGate<oneshot::Sender<Permit>>>,
    templater: Templater,
    silence: Mutex<Silence>,
}

/// What the origin was asked and has not answered.
#[derive(Default)]
struct Silence {
    unanswered: usize,
    /// Since when there has been something, or the last answer.
    since: Instant,
}

impl Silence {
    fn begin(&mut self, now: Instant) {
        if self.unanswered == 0 {
            self.since = now;
        }
        self.unanswered += 1;
    }

    fn end(&mut self, now: Instant, outcome: WorkOutcome) {
        self.unanswered = self.unanswered.saturating_sub(1);
        if matches!(outcome, WorkOutcome::Success | WorkOutcome::ServerError) {
            self.since = now;
        }
    }
}

/// The right to have one request at work in the origin, or one stream open; given back when dropped.
pub(crate) struct Permit {
    right: Option<Right>,
    /// Whether the origin has still to answer.
    is_unanswered: bool,
    gate: Arc<Gate>,
}

enum Right {
    Work(OriginPermit),
    Stream(StreamPermit),
}

/// The gate did not let the request through in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// What the gate looks like, for status and metrics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GateView {
    pub(crate) limit: usize,
    pub(crate) counters: OriginGateCounters,
    pub(crate) oldest_wait: Duration,
    /// The same of those who were not put behind others; `None` if nobody of them waits.
    pub(crate) readers_wait: Option<Duration>,
    pub(crate) slowdown: f32,
    pub(crate) is_shedding: bool,
    /// Whether the limit is as low as it goes.
    pub(crate) is_at_floor: bool,
}

impl Gate {
    /// A gate that names templates by `seed`, which must be random and secret.
    pub(crate) fn new(config: OriginGateConfig, seed: [u64; 2]) -> Arc<Self> {
        let gate = Mutex::new(OriginGate::new(config));
        Arc::new(Self { gate, templater: Templater::new(seed), silence: Mutex::default() })
    }

    /// Takes other bounds into force; those who may go now are woken.
    pub(crate) fn reconfigure(self: &Arc<Self>, config: OriginGateConfig) {
        self.gate.lock().reconfigure(config);
        self.wake(None);
    }

    /// What kind of page a request is for.
    pub(crate) fn template(&self, path: &str, query: Option<&str>) -> u64 {
        self.templater.of(path.as_bytes(), query.map(str::as_bytes))
    }

    /// What `template` costs the origin, as demand.
    pub(crate) fn cost(&self, template: u64) -> u32 {
        let relative = self.gate.lock().relative_cost(template);
        (relative * DEMAND_ONE as f32) as u32
    }

    /// How long the origin works on `template` when it is idle, if that is known.
    pub(crate) fn latency(&self, template: u64) -> Option<Duration> {
        self.gate.lock().latency(template)
    }

    /// Whether some are refused at once so that others are served in time.
    pub(crate) fn is_shedding(&self) -> bool {
        self.gate.lock().is_shedding()
    }

    /// Whether somebody of this class or a better one has waited this long already.
    pub(crate) fn has_waiting(&self, class: WorkClass, wait: Duration) -> bool {
        let oldest = self.gate.lock().oldest_wait_of(clock::now(), class);
        oldest.is_some_and(|oldest| oldest >= wait)
    }

    /// For how long the origin has answered nobody although it was asked.
    pub(crate) fn silence(&self) -> Duration {
        let silence = self.silence.lock();
        match silence.unanswered {
            0 => Duration::ZERO,
            _ => clock::now().saturating_since(silence.since),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Refused`] when there is no place in the queue or the wait in it ran out.
    pub(crate) async fn enter(self: &Arc<Self>, request: WorkRequest) -> Result<Permit, Refused> {
        let (send, receive) = oneshot::channel();
        let asked = self.gate.lock().request(clock::now(), request, || send);
        match asked {
            Asked::Granted(permit) => Ok(self.permit(permit)),
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

    /// Takes a place in the lane of streams, without a permit before.
    ///
    /// # Errors
    /// [`Refused`] when there is none.
    pub(crate) fn open_stream(self: &Arc<Self>, request: WorkRequest) -> Result<Permit, Refused> {
        let stream = self.gate.lock().open_stream(request).ok_or(Refused)?;
        let right = Some(Right::Stream(stream));
        Ok(Permit { right, is_unanswered: false, gate: Arc::clone(self) })
    }

    /// Turns away those who waited too long. Called on every sweep of a worker.
    pub(crate) fn expire(self: &Arc<Self>) {
        // Dropping a waiter's sender tells it; outside the lock, because that wakes tasks.
        let expired = self.gate.lock().expire(clock::now());
        drop(expired);
        // Background work may have waited for the last reader to leave, and everybody for a measurement of low
        // load that got no answer.
        self.wake(None);
    }

    pub(crate) fn view(&self) -> GateView {
        let gate = self.gate.lock();
        GateView {
            limit: gate.limit(),
            counters: gate.counters(),
            oldest_wait: gate.oldest_wait(clock::now()).unwrap_or_default(),
            readers_wait: gate.readers_wait(clock::now()),
            slowdown: gate.slowdown(),
            is_shedding: gate.is_shedding(),
            is_at_floor: gate.is_at_floor(),
        }
    }

    /// Gives `back` back, if there is one, and wakes those who may go now.
    fn wake(self: &Arc<Self>, back: Option<OriginPermit>) {
        let mut back = back;
        // A loop, not recursion: many waiters may have left at once.
        loop {
            let granted = {
                let (mut gate, now) = (self.gate.lock(), clock::now());
                if let Some(permit) = back.take() {
                    gate.release(now, permit);
                }
                gate.poll_grant(now)
            };
            let Some((waiter, permit)) = granted else { return };
            if let Err(mut unwanted) = waiter.send(self.permit(permit))
                && let Some(Right::Work(permit)) = unwanted.right.take()
            {
                back = Some(permit);
            }
        }
    }

    fn permit(self: &Arc<Self>, permit: OriginPermit) -> Permit {
        self.silence.lock().begin(clock::now());
        Permit { right: Some(Right::Work(permit)), is_unanswered: true, gate: Arc::clone(self) }
    }
}

impl Permit {
    /// Notes how the origin did, at the response head or instead of one.
    pub(crate) fn note(&mut self, outcome: WorkOutcome) {
        self.end_silence(outcome);
        if let Some(Right::Work(permit)) = &mut self.right {
            permit.note(clock::now(), outcome);
        }
    }

    /// The response has no end that could be waited for: it leaves the limit for the lane of streams.
    ///
    /// # Errors
    /// [`Refused`] when that lane is full.
    pub(crate) fn become_stream(&mut self) -> Result<(), Refused> {
        let permit = match self.right.take() {
            Some(Right::Work(permit)) => permit,
            already => {
                self.right = already;
                return Ok(());
            }
        };
        let became = self.gate.gate.lock().into_stream(permit);
        let (right, became) = match became {
            Ok(stream) => (Right::Stream(stream), Ok(())),
            Err(permit) => (Right::Work(permit), Err(Refused)),
        };
        self.right = Some(right);
        if became.is_ok() {
            self.gate.wake(None);
        }
        became
    }

    fn end_silence(&mut self, outcome: WorkOutcome) {
        if std::mem::take(&mut self.is_unanswered) {
            self.gate.silence.lock().end(clock::now(), outcome);
        }
    }

    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.right, Some(Right::Stream(_)))
    }
}

struct Place<'a> {
    gate: &'a Arc<Gate>,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let waiter = self.gate.gate.lock().cancel(ticket);
            // Whoever waited behind it only for its being there may go.
            if waiter.is_some() {
                self.gate.wake(None);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end_silence(WorkOutcome::Unknown);
        match self.right.take() {
            Some(Right::Work(permit)) => self.gate.wake(Some(permit)),
            Some(Right::Stream(stream)) => self.gate.gate.lock().release_stream(stream),
            None => {}
        }
    }
}
