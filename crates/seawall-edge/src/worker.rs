//! One worker: a thread with its runtime, its listening sockets and its connections.
//!
//! Nothing in here is shared with another thread but what [`Shared`] holds. It also holds the state
//! of a client connection that outlives single requests.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use seawall_decide::{
    CROWD, ConnectionDemand, HandshakeBudget, MemoryStep, Whence, note_misbehaviour,
};
use seawall_model::{
    Cause, ClientAddr, ConnectionSignal, Decision, EventKind, Fields, Identity, Instant, Ja4,
    Limits, Misbehaviour, MitigationId, Priority, Refusal, Standing,
};

use crate::access_log::{LogRecord, LogWriter};
use crate::answer::Answer;
use crate::answer::smallstr::Text;
use crate::cdn_hint::CdnSampler;
use crate::clock;
use crate::detection::Watch;
use crate::metrics::WorkerMetrics;
use crate::origin::{Gate, Pool};
use crate::policy::Policy;
use crate::serve::{Ask, Times};
use crate::shared::Shared;
use crate::slots::{SWEEP, Slots};

/// The policy as a worker holds it: replaced on its sweep after a reload, cheap to clone.
pub(crate) type PolicyRef = Rc<Arc<Policy>>;

/// A thread's own state.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) metrics: Arc<WorkerMetrics>,
    pub(crate) slots: Slots,
    policy: RefCell<PolicyRef>,
    pools: RefCell<Vec<Option<Rc<Pool>>>>,
    log: RefCell<LogWriter>,
    index: u16,
    requests: Cell<u64>,
    cdn_sampler: RefCell<CdnSampler>,
    pub(crate) handshakes: RefCell<HandshakeBudget>,
    pub(crate) watch: Watch,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, index: usize, log: LogWriter) -> Rc<Self> {
        let policy = shared.policy.load_full();
        let handshakes = HandshakeBudget::new(&policy.config.limits, shared.seed);
        Rc::new(Self {
            metrics: shared.metrics.worker(index),
            shared,
            slots: Slots::default(),
            policy: RefCell::new(Rc::new(policy)),
            pools: RefCell::default(),
            log: RefCell::new(log),
            // Names of requests would be those of another worker's: there are never so many.
            index: u16::try_from(index).unwrap_or(u16::MAX),
            requests: Cell::new(0),
            cdn_sampler: RefCell::default(),
            handshakes: RefCell::new(handshakes),
            watch: Watch::default(),
        })
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> PolicyRef {
        Rc::clone(&self.policy.borrow())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// The connections to a site's origin. `None` if the origin's TLS settings cannot be used,
    /// which is said when the configuration is read.
    pub(crate) fn pool(&self, policy: &PolicyRef, site: usize) -> Option<Rc<Pool>> {
        if policy.generation != self.policy.borrow().generation {
            // A request from before a reload ends where it began. Its pool must not become the one
            // of the requests after it.
            return Pool::new(&policy.config.sites[site].origin).ok().map(Rc::new);
        }
        let mut pools = self.pools.borrow_mut();
        if pools.len() <= site {
            pools.resize_with(policy.config.sites.len().max(site + 1), || None);
        }
        if pools[site].is_none() {
            pools[site] = Pool::new(&policy.config.sites[site].origin).ok().map(Rc::new);
        }
        pools[site].clone()
    }

    /// A number for the next request: unique in this process's life, and hard to guess for others.
    pub(crate) fn next_request(&self) -> u64 {
        let number = self.requests.get();
        self.requests.set(number + 1);
        number
    }

    /// The text of a request's number, as in X-Request-ID and the access log.
    pub(crate) fn request_id(&self, number: u64) -> Text<40> {
        self.shared.run.request(self.index, number)
    }

    /// Looks, on a sample of requests, whether a CDN that nobody configured is in front.
    pub(crate) fn look_for_cdn(&self, now: Instant, peer: IpAddr, fields: &dyn Fields) {
        if self.cdn_sampler.borrow_mut().samples(now) {
            self.shared.look_for_cdn(now, peer, fields);
        }
    }

    /// Counts and tells a broken rule. Nothing more comes of it.
    pub(crate) fn noticed(&self, kind: Misbehaviour, client: ClientAddr, ja4: Option<Ja4>) {
        self.metrics.misbehaved(kind);
        if is_slow(kind) {
            self.watch.signal(ConnectionSignal::Slow);
        }
        let now = (clock::now(), clock::wall());
        self.shared.events.note(now, client, ja4, EventKind::Misbehaved(kind));
    }

    /// The same for one that a connection is closed for: who does so too often gets no new ones.
    pub(crate) fn misbehaved(&self, kind: Misbehaviour, client: ClientAddr, ja4: Option<Ja4>) {
        self.noticed(kind, client, ja4);
        let (shared, now) = (&self.shared, clock::now());
        // Many readers seem to come through a suspected CDN; but what makes it one can be made up.
        let crowd = if shared.is_suspected_cdn(client.ip()) { CROWD } else { 1 };
        let people = shared.budgets.people(Whence { client, asn: None }).max(crowd);
        let table = &self.policy.borrow().table;
        if note_misbehaviour(table, &shared.limiters, now, client, kind, people) {
            shared.events.note((now, clock::wall()), client, ja4, EventKind::Barred(kind));
        }
    }

    /// Does what is due a few times a second, until the runtime ends.
    pub(crate) async fn sweep_forever(self: Rc<Self>) {
        // Held weakly, or the workers would keep them for each other.
        let mut retired: Vec<Weak<Gate>> = Vec::new();
        loop {
            tokio::time::sleep(SWEEP).await;
            self.slots.sweep(clock::now());
            // Also when nobody asks for anything.
            self.watch.hand_over(&self.shared.detection, clock::now());
            self.shed();
            self.shed_for_memory();
            let current = self.shared.policy.load();
            let generation = self.policy.borrow().generation;
            if generation == current.generation && !Arc::ptr_eq(&current, &**self.policy.borrow()) {
                // Only the operator's lists changed: connections to origins stay as they are.
                *self.policy.borrow_mut() = Rc::new(Arc::clone(&current));
            }
            if generation != current.generation {
                let new = Rc::new(Arc::clone(&current));
                let old = std::mem::replace(&mut *self.policy.borrow_mut(), new);
                retired.extend(old.gates.iter().map(Arc::downgrade));
                retired.retain(|gate| !current.gates.iter().any(|kept| is_same(gate, kept)));
                retired.dedup_by(|one, other| one.ptr_eq(other));
                self.pools.borrow_mut().clear();
                self.handshakes.borrow_mut().set_limits(&current.config.limits);
            }
            // Who waits before an origin that a reload took away waits no longer than allowed either;
            // and whoever still holds such a gate may yet come to wait there.
            retired.retain(|gate| gate.strong_count() > 0);
            for gate in &current.gates {
                gate.expire();
            }
            for gate in retired.iter().filter_map(Weak::upgrade) {
                gate.expire();
            }
        }
    }

    /// Lets the slowest connections go when the pool is nearly full, this worker's share of them, so
    /// that there is room for who comes next.
    fn shed(&self) {
        let (most, workers) = {
            let policy = self.policy.borrow();
            (shed_above(&policy.config.limits), policy.config.workers.max(1))
        };
        let open = self.shared.open_connections.load(Ordering::Relaxed);
        let excess = open.saturating_sub(most);
        if excess > 0 {
            // Workers get about the same number of connections from the kernel.
            let shed = self.slots.shed(excess.div_ceil(workers));
            self.metrics.connections_shed(shed.idle, shed.partial);
            self.watch.signals(ConnectionSignal::Slow, shed.partial);
        }
    }

    /// Lets a part of the connections go when memory is short: idle ones, and at the last step slow
    /// ones as well.
    fn shed_for_memory(&self) {
        let step = self.shared.memory.step();
        if !step.sheds_connections(self.shared.open_connections.load(Ordering::Relaxed)) {
            return;
        }
        // A twentieth each time: all that are idle are gone within seconds, and it can stop before.
        let part = self.slots.len() / 20 + 1;
        let shed = match step {
            MemoryStep::Critical => self.slots.shed(part),
            _ => self.slots.shed_idle(part),
        };
        self.metrics.connections_shed(shed.idle, shed.partial);
        self.shared.memory.shed(shed.idle + shed.partial);
    }

    /// Writes an answer into the access log's ring.
    pub(crate) fn log(
        &self,
        ja4: Option<Ja4>,
        client: ClientAddr,
        ask: &Ask<'_>,
        answer: &Answer,
        times: Times,
        (sent, duration, met): (u64, Duration, Option<MitigationId>),
    ) {
        let note = answer.note;
        let decision = if note.refused {
            let refusal = Refusal { status: answer.status, retry_after: None, close: note.close };
            Decision::Refuse(refusal, note.cause)
        } else {
            Decision::Admit(note.cause)
        };
        let mut log = self.log.borrow_mut();
        if !log.is_wanted(times.mono, decision) {
            return;
        }
        let id = self.request_id(times.number);
        log.write(&LogRecord {
            now: times.mono,
            at: times.wall,
            client,
            request_id: id.as_str(),
            version: ask.version,
            method: ask.method,
            host: ask.host,
            path: crate::visitor::loggable(ask.path),
            query: ask.query,
            user_agent: ask.fields.first("user-agent"),
            ja4,
            decision,
            cache: Some(note.cache),
            mitigation: met,
            status: answer.status,
            duration,
            bytes_sent: sent,
        });
    }
}

/// Whether a rule is about time.
const fn is_slow(kind: Misbehaviour) -> bool {
    matches!(
        kind,
        Misbehaviour::SlowHead
            | Misbehaviour::SlowContent
            | Misbehaviour::SlowReader
            | Misbehaviour::SlowHandshake
            | Misbehaviour::Http2Stalled
    )
}

/// Connections above which the slowest are let go.
pub(crate) fn shed_above(limits: &Limits) -> usize {
    let share = limits.max_connections as u128 * u128::from(limits.shed_above_percent);
    usize::try_from(share / 100).unwrap_or(usize::MAX)
}

fn is_same(held: &Weak<Gate>, gate: &Arc<Gate>) -> bool {
    std::ptr::eq(held.as_ptr(), Arc::as_ptr(gate))
}

/// A client connection, as long as it is open.
pub(crate) struct ClientConn {
    pub(crate) worker: Rc<Worker>,
    /// The socket's other end.
    pub(crate) peer: IpAddr,
    /// Who that is, after the PROXY header and before forwarding fields.
    pub(crate) client: ClientAddr,
    /// The port that it connects from.
    pub(crate) client_port: u16,
    /// Whether forwarding fields on this connection are believed.
    pub(crate) via_proxy: bool,
    pub(crate) tls: bool,
    pub(crate) ports: Ports,
    pub(crate) ja4: Option<Ja4>,
    /// What was asked of origins over it.
    asked: Rc<ConnectionDemand>,
    answers: Cell<u64>,
    /// Whether what it was told last was a refusal.
    refused: Cell<bool>,
    /// The standing of who asked last.
    pub(crate) standing: Cell<Standing>,
    /// Who asked last: behind a trusted proxy each request is somebody else's.
    pub(crate) asking: Cell<ClientAddr>,
    /// The known reader who was counted last where it reads, and on which day.
    pub(crate) counted: Cell<Option<(Identity, u32)>>,
}

/// What is known of a connection when it becomes one that requests come from.
pub(crate) struct Opened {
    pub(crate) peer: IpAddr,
    pub(crate) client: ClientAddr,
    pub(crate) client_port: u16,
    pub(crate) via_proxy: bool,
    pub(crate) tls: bool,
    pub(crate) ports: Ports,
    pub(crate) ja4: Option<Ja4>,
}

/// The ports by which the readers of a connection may have reached us.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    /// Of our own socket.
    pub(crate) listened: u16,
    /// What the operator says.
    pub(crate) public: Option<u16>,
    /// What a trusted peer's PROXY header says.
    pub(crate) told: Option<u16>,
}

impl Ports {
    /// Whether `port` is one of them.
    pub(crate) fn has(&self, port: u16) -> bool {
        port == self.listened || [self.public, self.told].contains(&Some(port))
    }
}

/// A place among the open connections; given back when dropped.
pub(crate) struct OpenConnection {
    worker: Rc<Worker>,
    peer: ClientAddr,
    counted: bool,
}

impl OpenConnection {
    /// Counts an accepted connection. Those of trusted proxies are nobody's: they carry many clients,
    /// and would fill the count of whoever has an address beside theirs.
    pub(crate) fn new(worker: &Rc<Worker>, peer: ClientAddr, cause: Cause) -> Self {
        let is_proxy = worker.policy.borrow().trusts(peer.ip());
        let counted = cause != Cause::AllowList && !is_proxy;
        worker.shared.open_connections.fetch_add(1, Ordering::Relaxed);
        worker.metrics.connection_accepted();
        if counted {
            worker.shared.limiters.connection_opened(clock::now(), peer);
        }
        Self { worker: Rc::clone(worker), peer, counted }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.worker.shared.open_connections.fetch_sub(1, Ordering::Relaxed);
        self.worker.metrics.connection_closed();
        if self.counted {
            self.worker.shared.limiters.connection_closed(clock::now(), self.peer);
        }
    }
}

impl ClientConn {
    pub(crate) fn new(worker: &Rc<Worker>, opened: Opened) -> Rc<Self> {
        let Opened { peer, client, client_port, via_proxy, tls, ports, ja4 } = opened;
        let worker = Rc::clone(worker);
        Rc::new(Self {
            worker,
            peer,
            client,
            client_port,
            via_proxy,
            tls,
            ports,
            ja4,
            asked: Rc::default(),
            answers: Cell::new(0),
            refused: Cell::new(false),
            standing: Cell::new(Standing::Anonymous),
            asking: Cell::new(client),
            counted: Cell::new(None),
        })
    }

    /// Whether no request has been answered on it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.answers.get() == 0
    }

    /// What was asked of origins over it; `None` where it carries the requests of others.
    pub(crate) fn asked(&self) -> Option<Rc<ConnectionDemand>> {
        (!self.via_proxy).then(|| Rc::clone(&self.asked))
    }

    /// Counts and tells a rule that the client broke on a stream of its own.
    pub(crate) fn noticed(&self, kind: Misbehaviour) {
        self.worker.noticed(kind, self.client, self.ja4);
    }

    /// The same for one that the connection is closed for.
    pub(crate) fn misbehaved(&self, kind: Misbehaviour) {
        self.worker.misbehaved(kind, self.client, self.ja4);
    }

    pub(crate) fn answered(&self, refused: bool) {
        self.answers.set(self.answers.get() + 1);
        self.refused.set(refused);
    }

    /// How long it may do nothing. Whoever was refused has a connection for the next try, and not for a
    /// minute: thousands can be had for nothing.
    pub(crate) fn idle_timeout(&self, limits: &Limits) -> Duration {
        if self.refused.get() {
            limits.idle_timeout.min(limits.header_timeout * 3 / 2)
        } else {
            limits.idle_timeout
        }
    }

    /// How long a write of `bytes` may stall: the grace, and the minimum rate after it.
    pub(crate) fn stall_limit(&self, bytes: usize) -> Duration {
        let limits = &self.worker.policy.borrow().config.limits;
        let rate = limits.min_body_bytes_per_second.max(1);
        limits.response_grace + Duration::from_secs(bytes as u64 / rate)
    }

    /// Whether bytes have to wait for their turn on the link.
    pub(crate) fn is_paced(&self) -> bool {
        self.worker.shared.pacer.is_some()
    }

    /// Waits for this client's turn on the link. `false`: close the connection.
    pub(crate) async fn pace(&self, bytes: usize, priority: Priority) -> bool {
        match &self.worker.shared.pacer {
            None => true,
            Some(pacer) => pacer.take(self.asking.get().identity(), priority, bytes).await,
        }
    }
}
