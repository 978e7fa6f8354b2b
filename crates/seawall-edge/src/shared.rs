//! What all workers share: fixed tables, the store, flights, gates, counters.
//!
//! Everything here is either immutable, atomic, or behind one short lock; nothing waits.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use seawall_cache::{Flights, Store};
use seawall_decide::{
    ConnectionDemand, Egress, EgressAsked, EgressConfig, EgressTicket, Limiters, Look,
    OriginBudget, Whence, WorkByCountry,
};
use seawall_model::{Fields, Identity, Instant, Priority};
use tokio::sync::{Notify, oneshot};

use crate::addresses::Addresses;
use crate::answer::InFlight;
use crate::archive::Emergency;
use crate::cdn_hint::{CdnHint, Forwarded};
use crate::clock;
use crate::detection::Detection;
use crate::events::Events;
use crate::fetch::Waiter;
use crate::learned::{Keep, LearnedFile};
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::origin::OriginError;
use crate::policy::Policy;
use crate::recorder::{Counters, Notes, Vouched};
use crate::run::RunId;
use crate::spool::Spool;
use crate::visitor::Reception;

/// The process-wide state of the data plane.
pub(crate) struct Shared {
    pub(crate) policy: ArcSwap<Policy>,
    pub(crate) limiters: Limiters,
    pub(crate) budgets: OriginBudget,
    pub(crate) work_by_country: WorkByCountry,
    pub(crate) store: Store,
    pub(crate) reception: Reception,
    learned_file: LearnedFile,
    pub(crate) flights: Flights<Waiter>,
    pub(crate) spool: Spool,
    pub(crate) metrics: Metrics,
    /// What was written of incidents.
    pub(crate) evidence: Arc<Counters>,
    /// Whose address stands in no record; `None` if nothing is recorded.
    pub(crate) vouched: Option<Arc<Vouched>>,
    /// For what people have to say of the one that goes on.
    pub(crate) notes: Notes,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) pacer: Option<Pacer>,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) events: Events,
    pub(crate) memory: Memory,
    pub(crate) emergency: Emergency,
    pub(crate) detection: Detection,
    pub(crate) addresses: Addresses,
    /// Held while another policy is made of the one in force.
    pub(crate) changing: Mutex<()>,
    /// Keys tables that strangers fill.
    pub(crate) seed: [u64; 2],
    /// Which life of the program this is.
    pub(crate) run: RunId,
    cdn: Mutex<CdnHint>,
    cdn_suspected: AtomicBool,
    pub(crate) open_connections: AtomicUsize,
    pub(crate) draining: AtomicBool,
    origin_failed: AtomicBool,
    trouble_said_s: AtomicU64,
    trouble_unsaid: AtomicU64,
}

/// The parts of [`Shared`] that are made elsewhere.
pub(crate) struct Parts {
    pub(crate) policy: Policy,
    pub(crate) store: Store,
    pub(crate) reception: Reception,
    pub(crate) learned_file: LearnedFile,
    pub(crate) spool: Spool,
    pub(crate) metrics: Metrics,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) seed: [u64; 2],
    /// Which life of the program this is.
    pub(crate) run: RunId,
    pub(crate) addresses: Addresses,
    /// Keys what is kept as ordinary; survives restarts.
    pub(crate) detection_seed: [u64; 2],
    pub(crate) in_flight_bytes: usize,
}

/// One line about a failing origin per this many seconds.
const TROUBLE_EVERY_S: u64 = 10;

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        let limits = parts.policy.config.limits.clone();
        let config = &parts.policy.config;
        let emergency = Emergency::open(&config.state_dir);
        let memory = Memory::new(config.memory_bytes, config.memory_reading.clone());
        let pacer = limits.egress_bytes_per_second.map(|rate| {
            Pacer::new(EgressConfig {
                bytes_per_second: rate,
                max_waiters: limits.max_connections,
                seed: parts.seed,
            })
        });
        let limiters = Limiters::new(&limits, parts.seed);
        let budgets = OriginBudget::new(&limits, parts.seed);
        memory.begin(limiters.bytes() + budgets.bytes());
        let vouched = config.evidence.enabled.then(|| Arc::new(Vouched::new(parts.seed)));
        Self {
            limiters,
            budgets,
            work_by_country: WorkByCountry::default(),
            flights: Flights::with_liveness(
                parts.seed,
                FLIGHT_SHARDS,
                seawall_cache::FlightLimits::default(),
                oneshot::Sender::is_closed,
            ),
            policy: ArcSwap::from_pointee(parts.policy),
            store: parts.store,
            reception: parts.reception,
            learned_file: parts.learned_file,
            spool: parts.spool,
            metrics: parts.metrics,
            evidence: Arc::default(),
            vouched,
            notes: Notes::default(),
            tls: parts.tls,
            pacer,
            in_flight: InFlight::new(parts.in_flight_bytes),
            events: Events::new(),
            memory,
            emergency,
            detection: Detection::new(parts.detection_seed),
            addresses: parts.addresses,
            changing: Mutex::new(()),
            seed: parts.seed,
            run: parts.run,
            cdn: Mutex::new(CdnHint::new()),
            cdn_suspected: AtomicBool::new(false),
            open_connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            origin_failed: AtomicBool::new(false),
            trouble_said_s: AtomicU64::new(0),
            trouble_unsaid: AtomicU64::new(0),
        }
    }

    /// Writes what was learned about query parameters, if it is time. Touches the disk.
    pub(crate) fn keep_learned(&self, keep: Keep) {
        let now = (clock::now(), clock::wall());
        self.learned_file.keep(&self.policy.load(), now, keep);
    }

    /// Notes one more request that makes an origin work this much, and returns the demand by which its
    /// client is ranked.
    pub(crate) fn demand(
        &self,
        who: Identity,
        seen: (Option<Look>, Option<&ConnectionDemand>),
        from: Whence,
        cost: u32,
    ) -> u32 {
        self.limiters.ask(clock::now(), who, seen, self.budgets.people(from), cost)
    }

    /// Shows one request from a peer that is no trusted proxy to the CDN detector.
    pub(crate) fn look_for_cdn(&self, now: Instant, peer: IpAddr, fields: &dyn Fields) {
        let mut cdn = self.cdn.lock();
        if let Some(warning) = cdn.observe(now, peer, Forwarded::from_fields(fields)) {
            tracing::warn!("{warning}");
        }
        self.cdn_suspected.store(cdn.suspects(), Ordering::Relaxed);
    }

    /// Whether many readers seem to come through this peer (`detection.md`, amendment 8). Then the
    /// held-page budget and the bound on its prefix's connections are suspended for it, and it has the
    /// budgets of routes and the bar of a crowd.
    pub(crate) fn is_suspected_cdn(&self, peer: IpAddr) -> bool {
        self.cdn_suspected.load(Ordering::Relaxed) && self.cdn.lock().is_suspect(peer)
    }

    /// An exchange with an origin went well.
    pub(crate) fn origin_well(&self) {
        if self.origin_failed.load(Ordering::Relaxed) {
            self.origin_failed.store(false, Ordering::Relaxed);
        }
    }

    /// An exchange with an origin failed: said once in a while, with a count.
    pub(crate) fn origin_trouble(&self, origin: &str, error: &OriginError) {
        self.origin_failed.store(true, Ordering::Relaxed);
        let now_s = clock::now().as_nanos() / 1_000_000_000;
        let said = self.trouble_said_s.load(Ordering::Relaxed);
        let due = now_s >= said + TROUBLE_EVERY_S;
        let first = due
            && self
                .trouble_said_s
                .compare_exchange(said, now_s, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if first {
            let more = self.trouble_unsaid.swap(0, Ordering::Relaxed);
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let cause = cause.as_deref().unwrap_or("no further cause");
            tracing::warn!(origin, more, "{error}: {cause}");
        } else {
            self.trouble_unsaid.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the last exchange went well.
    pub(crate) fn origin_is_healthy(&self) -> bool {
        !self.origin_failed.load(Ordering::Relaxed)
    }
}

/// Shards of the flight table: more than workers by far, so that two rarely meet.
const FLIGHT_SHARDS: usize = 64;

/// The async shell around the egress scheduler, when a rate is configured.
pub(crate) struct Pacer {
    egress: Mutex<Egress<oneshot::Sender<usize>>>,
    queued: Notify,
}

impl Pacer {
    fn new(config: EgressConfig) -> Self {
        Self { egress: Mutex::new(Egress::new(config)), queued: Notify::new() }
    }

    /// Waits until `bytes` may be sent. `false`: too many wait already, close the connection.
    pub(crate) async fn take(&self, identity: u128, priority: Priority, bytes: usize) -> bool {
        let mut left = bytes;
        while left > 0 {
            let (send, receive) = oneshot::channel();
            let asked = self.egress.lock().ask(clock::now(), identity, priority, left, || send);
            match asked {
                EgressAsked::Now(granted) => left -= granted.min(left),
                EgressAsked::Full => return false,
                EgressAsked::Queued(ticket) => {
                    self.queued.notify_one();
                    let mut place = Place { pacer: self, ticket: Some(ticket) };
                    let Ok(granted) = receive.await else { return false };
                    place.ticket = None;
                    left -= granted.min(left);
                }
            }
        }
        true
    }

    /// Wakes those whose turn it is, for ever. Runs on the control thread.
    pub(crate) async fn run(&self) {
        loop {
            let due = self.egress.lock().poll_timeout();
            match due {
                None => self.queued.notified().await,
                Some(at) => {
                    let wait = at.saturating_since(clock::now()).max(Duration::from_millis(1));
                    tokio::time::sleep(wait).await;
                    loop {
                        let next = self.egress.lock().poll(clock::now());
                        let Some((waiter, granted)) = next else { break };
                        if waiter.send(granted).is_err() {
                            self.egress.lock().give_back(granted);
                        }
                    }
                }
            }
        }
    }
}

struct Place<'a> {
    pacer: &'a Pacer,
    ticket: Option<EgressTicket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            let waiter = self.pacer.egress.lock().cancel(ticket);
            drop(waiter);
        }
    }
}
