//! The life of the process: opening everything, starting workers, reload, drain, end.
//!
//! [`Server`] can be run inside a test with port 0; [`serve`] adds signals and the service manager.
//! Opening is all or nothing: an error leaves no thread and no socket behind.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_cache::{Store, StoreConfig, StoreError};
use seawall_decide::GRANT_HOURS;
use seawall_model::{Instant, WallTime};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::access_log::{AccessLogHandle, LogWriter};
use crate::admin::{
    AdminError, AdminServer, AdminView, CountryWork, ListStatus, Pass, Purge, State, Status,
};
use crate::clock;
use crate::config::{Config, Listen};
use crate::gates;
use crate::learned::{Keep, LearnedFile};
use crate::listen;
use crate::metrics::{Metrics, RequestRate, Sample};
use crate::origin::{OriginTlsError, Pool};
use crate::policy::Policy;
use crate::query;
use crate::reload;
use crate::shared::{Parts, Shared};
use crate::slots::SWEEP;
use crate::spool::{Spool, SpoolBudget};
use crate::systemd::Notifier;
use crate::tls::{CertEvent, CertStore, CertWatch, TlsError, server_config};
use crate::visitor::{PASS_PATH, Reception};
use crate::worker::Worker;

/// Reads the configuration anew. The error is what to tell the operator; the old one stays.
pub type Reload = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Why serving cannot begin, or another configuration cannot be put into force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A listening socket cannot be opened.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The state folder cannot be used.
    #[error("cannot use the state folder `{path}`: {source}")]
    State {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The cache cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates cannot be used; all of them are listed.
    #[error("cannot use the certificates: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Certificates(Vec<TlsError>),
    /// The TLS settings of an origin cannot be used.
    #[error(transparent)]
    Origin(#[from] OriginTlsError),
    /// The admin socket or address cannot be used.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The system refuses a thread, a runtime or random numbers.
    #[error("the system refuses what a server needs: {0}")]
    System(#[from] io::Error),
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    workers: Vec<JoinHandle<()>>,
    control: Option<JoinHandle<()>>,
    watch: Arc<Mutex<CertWatch>>,
    stop: Option<oneshot::Sender<()>>,
    log: Option<AccessLogHandle>,
}

/// Parts of the memory budget: the rest is for connections, tables and the process itself.
const CACHE_SHARE: u64 = 60;
const SPOOL_MEMORY_SHARE: u64 = 10;
const IN_FLIGHT_SHARE: u64 = 10;
/// Parts of the disk budget.
const CACHE_DISK_SHARE: u64 = 70;
const SPOOL_DISK_SHARE: u64 = 20;

impl Server {
    /// Opens everything and starts serving.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running.
    pub fn start(config: Config) -> Result<Self, ServeError> {
        Self::start_on(config, HashMap::new())
    }

    /// The same, on sockets that the service manager opened.
    ///
    /// # Errors
    /// [`ServeError`]; nothing is left running.
    pub fn start_on(
        config: Config,
        mut inherited: HashMap<SocketAddr, TcpListener>,
    ) -> Result<Self, ServeError> {
        let state =
            |source| ServeError::State { path: config.state_dir.display().to_string(), source };
        std::fs::create_dir_all(&config.state_dir).map_err(state)?;
        for site in &config.sites {
            Pool::new(&site.origin)?;
        }
        let seed = random_seed()?;
        let (store, opened) = Store::open(StoreConfig {
            dir: Some(config.state_dir.join("cache")),
            memory_bytes: config.memory_bytes / 100 * CACHE_SHARE,
            disk_bytes: config.disk_bytes / 100 * CACHE_DISK_SHARE,
            seed,
        })?;
        tracing::info!(entries = opened.entries, damaged = opened.damaged, "cache opened");
        let reception = Reception::open(&config.state_dir, &config.limits, seed, clock::wall());
        let reception = reception.map_err(state)?;
        let (learned_file, learned) = LearnedFile::open(&config.state_dir).map_err(state)?;
        let spool = open_spool(&config).map_err(state)?;
        let certs = Arc::new(CertStore::load(&config.tls).map_err(ServeError::Certificates)?);
        let tls = open_tls(&config, &certs)?;
        let admin = open_admin(&config)?;
        let workers = config.workers.max(1);
        let (groups, listen) = open_groups(&config, &mut inherited, workers)?;
        let addresses = listen.iter().map(|listen| listen.address).collect();
        let (log, writers) =
            AccessLogHandle::start(&config.log, &config.state_dir.join("log"), workers, || {
                (clock::now(), clock::wall())
            })?;
        let metrics = Metrics::new(workers);
        let in_flight = config.memory_bytes / 100 * IN_FLIGHT_SHARE;
        let parts = Parts {
            policy: Policy::first(config, seed, &learned),
            learned_file,
            store,
            reception,
            spool,
            metrics,
            tls,
            seed,
            in_flight_bytes: usize::try_from(in_flight).unwrap_or(usize::MAX),
        };
        let shared = Arc::new(Shared::new(parts));
        let admin_address = admin.local_addr();
        let (stop, stopped) = oneshot::channel();
        let watch = Arc::new(Mutex::new(CertWatch::new(certs)));
        let mut server = Self {
            shared: Arc::clone(&shared),
            addresses,
            admin_address,
            workers: Vec::new(),
            control: None,
            watch: Arc::clone(&watch),
            stop: Some(stop),
            log: Some(log),
        };
        server.control = Some(spawn("control", Control { shared, admin, watch, stopped })?);
        for (index, (sockets, log)) in groups.into_iter().zip(writers).enumerate() {
            let shared = Arc::clone(&server.shared);
            let thread =
                WorkerThread { shared, index, sockets, log, prefix: seed[0] ^ index as u64 };
            server.workers.push(spawn(&format!("worker-{index}"), thread)?);
        }
        Ok(server)
    }

    /// The addresses listened on, in the order of the configuration, with the ports that the system
    /// chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The admin address in use.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Publishes another configuration for requests that begin from now on. What is read at the
    /// start only (listeners, budgets, workers, log, admin) stays, and the log says where it differs.
    ///
    /// # Errors
    /// [`ServeError`] for certificates or origins that cannot be used; then all stays as it was.
    pub fn reload(&self, config: Config) -> Result<(), ServeError> {
        reload::publish(&self.shared, &mut self.watch.lock(), config)
    }

    /// Stops accepting, lets answers in flight finish, and ends. Returns when everything has.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.shared.draining.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        drop(self.stop.take());
        if let Some(control) = self.control.take() {
            let _ = control.join();
        }
        self.shared.reception.keep(clock::wall());
        self.shared.keep_learned(Keep::Now);
        self.shared.store.shutdown();
        if let Some(log) = self.log.take() {
            log.shutdown();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Serves until SIGTERM or SIGINT; SIGHUP reloads. Tells the service manager.
///
/// # Errors
/// [`ServeError`] if serving cannot begin.
pub fn serve(config: Config, reload: Reload) -> Result<(), ServeError> {
    let inherited = inherited_listeners();
    let notifier = Notifier::from_environment();
    let server = Server::start_on(config, inherited)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let addresses: Vec<String> = server.addresses().iter().map(ToString::to_string).collect();
        let addresses = addresses.join(" ");
        tracing::info!(listen = %addresses, "ready");
        notifier.ready(&format!("serving on {addresses}"));
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => {
                    notifier.reloading(crate::systemd::monotonic_clock());
                    let read = reload();
                    match read.and_then(|new| server.reload(new).map_err(|e| e.to_string())) {
                        Ok(()) => tracing::info!("configuration reloaded"),
                        Err(why) => tracing::error!("the old configuration stays in force: {why}"),
                    }
                    notifier.ready(&format!("serving on {addresses}"));
                }
            }
        }
        Ok::<(), io::Error>(())
    })?;
    notifier.stopping("letting answers in flight finish");
    tracing::info!("stopping");
    server.stop();
    Ok(())
}

/// The TLS settings, if any listener needs them.
fn open_tls(
    config: &Config,
    certs: &Arc<CertStore>,
) -> Result<Option<Arc<rustls::ServerConfig>>, ServeError> {
    if !config.listen.iter().any(|listen| listen.tls) {
        return Ok(None);
    }
    let tls = server_config(Arc::clone(certs));
    tls.map(Some).map_err(|error| ServeError::Certificates(vec![error]))
}

fn open_spool(config: &Config) -> io::Result<Spool> {
    let budget = SpoolBudget {
        memory_bytes: config.memory_bytes / 100 * SPOOL_MEMORY_SHARE,
        disk_bytes: config.disk_bytes / 100 * SPOOL_DISK_SHARE,
    };
    Spool::open(&config.state_dir.join("spool"), budget)
}

fn inherited_listeners() -> HashMap<SocketAddr, TcpListener> {
    let pid = std::env::var("LISTEN_PID").ok();
    let fds = std::env::var("LISTEN_FDS").ok();
    let taken =
        seawall_kernel::take_activation_fds(pid.as_deref(), fds.as_deref(), std::process::id());
    let sockets = match taken {
        Ok(sockets) => sockets,
        Err(error) => {
            tracing::warn!("sockets of the service manager cannot be used: {error}");
            Vec::new()
        }
    };
    let listeners = sockets.into_iter().map(TcpListener::from);
    listeners.filter_map(|listener| Some((listener.local_addr().ok()?, listener))).collect()
}

fn open_admin(config: &Config) -> Result<AdminServer, AdminError> {
    let (socket, token) = (config.admin_socket.as_deref(), config.admin_token.as_deref());
    AdminServer::bind(socket, config.admin_address, token)
}

fn random_seed() -> io::Result<[u64; 2]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    let (low, high) = bytes.split_at(8);
    let word = |half: &[u8]| half.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok([word(low), word(high)])
}

type Sockets = Vec<(TcpListener, Listen)>;

/// One socket per worker and listener; the port the first one got is everybody's.
fn open_groups(
    config: &Config,
    inherited: &mut HashMap<SocketAddr, TcpListener>,
    workers: usize,
) -> Result<(Vec<Sockets>, Vec<Listen>), ServeError> {
    let mut groups: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    let mut actual = Vec::new();
    for listen in &config.listen {
        let fail = |source| ServeError::Listen { address: listen.address, source };
        let mut listen = listen.clone();
        let from_manager = inherited.remove(&listen.address);
        for group in &mut groups {
            let socket = match &from_manager {
                // An inherited socket is one queue; every worker takes from it.
                Some(socket) => {
                    let socket = socket.try_clone().map_err(fail)?;
                    listen::prepare(&socket, &listen, &config.limits).map_err(fail)?;
                    socket
                }
                None => listen::open(&listen, &config.limits).map_err(fail)?,
            };
            listen.address = socket.local_addr().map_err(fail)?;
            group.push((socket, listen.clone()));
        }
        actual.push(listen);
    }
    Ok((groups, actual))
}

trait Thread: Send + 'static {
    fn run(self, runtime: &LocalRuntime);
}

fn spawn(name: &str, thread: impl Thread) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("seawall-{name}")).spawn(move || {
        let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match built {
            Ok(runtime) => thread.run(&runtime),
            Err(error) => tracing::error!("cannot start a runtime: {error}"),
        }
    })
}

struct WorkerThread {
    shared: Arc<Shared>,
    index: usize,
    sockets: Sockets,
    log: LogWriter,
    prefix: u64,
}

impl Thread for WorkerThread {
    fn run(self, runtime: &LocalRuntime) {
        let Self { shared, index, sockets, log, prefix } = self;
        runtime.block_on(async move {
            let worker = Worker::new(shared, index, log, prefix);
            tokio::task::spawn_local(Rc::clone(&worker).sweep_forever());
            let mut accepting = Vec::new();
            for (socket, listen) in sockets {
                let run = listen::run(Rc::clone(&worker), socket, listen);
                accepting.push(tokio::task::spawn_local(run));
            }
            for task in accepting {
                let _ = task.await;
            }
            drain(&worker).await;
        });
    }
}

/// Lets the connections of a worker finish what they do, within the drain time-out.
async fn drain(worker: &Rc<Worker>) {
    let limit = worker.policy().config.limits.drain_timeout;
    let deadline: Instant = clock::now() + limit;
    while worker.slots.drain() > 0 && clock::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Control {
    shared: Arc<Shared>,
    admin: AdminServer,
    watch: Arc<Mutex<CertWatch>>,
    /// Resolves when the server ends.
    stopped: oneshot::Receiver<()>,
}

/// How often certificate files are looked at.
const CERT_POLL: Duration = Duration::from_secs(5);

impl Thread for Control {
    fn run(self, runtime: &LocalRuntime) {
        let Self { shared, admin, watch, mut stopped } = self;
        runtime.block_on(async move {
            let view = Arc::new(View {
                shared: Arc::clone(&shared),
                started: clock::now(),
                rate: Mutex::new(RequestRate::default()),
            });
            let shown: Arc<dyn AdminView> = Arc::<View>::clone(&view);
            tokio::task::spawn_local(admin.serve(shown));
            if shared.pacer.is_some() {
                let shared = Arc::clone(&shared);
                tokio::task::spawn_local(async move {
                    if let Some(pacer) = &shared.pacer {
                        pacer.run().await;
                    }
                });
            }
            let mut poll = tokio::time::interval(CERT_POLL);
            let mut second = tokio::time::interval(Duration::from_secs(1));
            let mut memory = tokio::time::interval(SWEEP);
            memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    _ = second.tick() => drop(view.requests_per_s(clock::now())),
                    _ = memory.tick() => shared.memory.observe(&shared),
                    _ = poll.tick() => {
                        let events = watch.lock().poll(clock::wall());
                        events.into_iter().for_each(tell_certificate);
                        let shared = Arc::clone(&shared);
                        tokio::task::spawn_blocking(move || {
                            shared.reception.keep(clock::wall());
                            shared.keep_learned(Keep::InTurn);
                        });
                    }
                }
            }
        });
    }
}

fn tell_certificate(event: CertEvent) {
    match event {
        CertEvent::Reloaded { cert, not_after } => {
            let until = clock::days_between(clock::wall(), not_after);
            tracing::info!(cert = %cert.display(), days_left = until, "certificate reloaded");
        }
        CertEvent::Kept(error) => {
            tracing::error!("the old certificate stays in use: {error}");
        }
        CertEvent::Expiry(warning) => tracing::warn!("{warning}"),
    }
}

/// What the admin doors show and do.
struct View {
    shared: Arc<Shared>,
    started: Instant,
    rate: Mutex<RequestRate>,
}

impl AdminView for View {
    fn status(&self) -> Status {
        let policy = self.shared.policy.load();
        let healthy = self.shared.origin_is_healthy();
        let origin = gates::status(&policy.gates, healthy);
        let now = clock::now();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.saturating_since(self.started).as_secs(),
            state: State::Normal,
            requests_per_s: self.requests_per_s(now),
            origin,
            work_by_country: self.work_by_country(&policy, now),
            lists: lists(&policy, clock::wall()),
            mitigations: Vec::new(),
            memory_bytes: resident_bytes(),
            memory_pressure: self.shared.memory.step().index(),
            events: self.shared.events.last(clock::wall()),
        }
    }

    fn metrics(&self) -> String {
        let store = self.shared.store.stats();
        let gauge = |name, help, value: u64| Sample::gauge(name, help, value as f64);
        let counter = |name, help, value: u64| Sample::counter(name, help, value as f64);
        let mut samples = vec![
            gauge("seawall_cache_entries", "Stored responses.", store.entries),
            gauge(
                "seawall_cache_memory_bytes",
                "Bytes of stored responses in memory.",
                store.memory_bytes,
            ),
            gauge(
                "seawall_cache_stored_bytes",
                "Bytes of stored responses on disk.",
                store.disk_bytes,
            ),
            counter(
                "seawall_cache_evictions_total",
                "Responses that left memory for others.",
                store.evictions,
            ),
            counter(
                "seawall_cache_damaged_total",
                "Stored responses that failed their checksum.",
                store.damaged,
            ),
            counter(
                "seawall_cache_write_failures_total",
                "Responses the disk did not take.",
                store.write_failures,
            ),
            counter(
                "seawall_cache_queue_full_total",
                "Responses not written because the disk was behind.",
                store.queue_full,
            ),
            gauge(
                "seawall_spool_memory_bytes",
                "Bytes of request content in memory.",
                self.shared.spool.memory_bytes(),
            ),
            gauge(
                "seawall_spool_disk_bytes",
                "Bytes of request content on disk.",
                self.shared.spool.disk_bytes(),
            ),
            gauge(
                "seawall_process_resident_bytes",
                "Resident memory of the process.",
                resident_bytes(),
            ),
        ];
        samples.extend(self.shared.memory.samples(self.shared.spool.diverted()));
        samples.extend(self.of_sites());
        samples.extend(self.client_samples());
        samples.extend(self.visitor_samples());
        self.shared.metrics.render(&samples)
    }

    fn purge(&self, what: Purge) -> Result<usize, String> {
        let store = &self.shared.store;
        let purged = match what {
            Purge::Url(url) => self.purge_url(&url),
            Purge::Tag(tag) => store.purge_tag(tag.as_bytes()),
            Purge::All => store.purge_all(),
        };
        purged.map_err(|error| {
            tracing::error!("a purge was not written to disk: {error}");
            format!("dropped from memory, but not from disk: {error}")
        })
    }

    fn pass(&self, days: u8) -> Result<Pass, String> {
        let token = self.shared.reception.grant(clock::wall(), days);
        let token = token.map_err(|error| format!("there are no random numbers: {error}"))?;
        let policy = self.shared.policy.load();
        let sites = policy.config.sites.iter();
        Ok(Pass {
            path: format!("{PASS_PATH}{}", token.as_str()),
            hosts: sites.flat_map(|site| site.hosts.iter().cloned()).collect(),
            open_hours: GRANT_HOURS,
            days,
        })
    }
}

impl View {
    /// The tables of clients and their budgets.
    fn client_samples(&self) -> Vec<Sample> {
        let (limiters, budgets) = (&self.shared.limiters, &self.shared.budgets);
        vec![
            Sample::gauge(
                "seawall_budgets_bytes",
                "Memory of the budgets of origin work and of routes, fixed at start.",
                budgets.bytes() as f64,
            ),
            Sample::counter(
                "seawall_budgets_forgotten_total",
                "Budgets that owed something and were forgotten to make room for others.",
                budgets.forgotten() as f64,
            ),
            Sample::counter(
                "seawall_route_budgets_forgotten_total",
                "Budgets of routes that owed something and were forgotten to make room for others.",
                budgets.forgotten_of_routes() as f64,
            ),
            Sample::gauge(
                "seawall_limiters_bytes",
                "Memory of the client tables, fixed at start.",
                limiters.bytes() as f64,
            ),
            Sample::counter(
                "seawall_clients_forgotten_total",
                "Clients forgotten to make room for others.",
                limiters.evictions() as f64,
            ),
            Sample::counter(
                "seawall_clients_hashed_total",
                "Clients forgotten whose demand goes on to count by hash.",
                limiters.hashed() as f64,
            ),
            Sample::counter(
                "seawall_clients_untracked_total",
                "Look-ups of clients that found no room at that moment.",
                limiters.untracked() as f64,
            ),
            Sample::counter(
                "seawall_offenders_barred_total",
                "Clients kept from connecting for a while, for what they did.",
                limiters.barred() as f64,
            ),
            Sample::counter(
                "seawall_offenders_forgotten_total",
                "Offenders forgotten to make room for others.",
                limiters.offenders_forgotten() as f64,
            ),
            self.shared.events.sample(),
        ]
    }

    /// What happened to credentials, passes and logins.
    fn visitor_samples(&self) -> Vec<Sample> {
        let reception = &self.shared.reception;
        let counts = &reception.counts;
        let counter = |name, help, counter: &AtomicU64| {
            Sample::counter(name, help, counter.load(Ordering::Relaxed) as f64)
        };
        let logins = reception.logins.len() as f64;
        vec![
            counter(
                "seawall_credentials_accepted_total",
                "Requests with a good credential.",
                &counts.accepted,
            ),
            counter(
                "seawall_credentials_rejected_total",
                "Requests with a forged, foreign, cut or expired credential.",
                &counts.rejected,
            ),
            counter(
                "seawall_credentials_lent_total",
                "Requests with a credential or login in too many places at once.",
                &counts.lent,
            ),
            counter(
                "seawall_credentials_issued_total",
                "Credentials given to readers who had none.",
                &counts.issued,
            ),
            counter(
                "seawall_credentials_renewed_total",
                "Credentials replaced by those of the day.",
                &counts.renewed,
            ),
            counter(
                "seawall_passes_opened_total",
                "Links of passes that were opened.",
                &counts.passes,
            ),
            Sample::gauge("seawall_logins", "Logins remembered.", logins),
            Sample::counter(
                "seawall_logins_forgotten_total",
                "Logins forgotten to make room for others.",
                reception.logins.forgotten() as f64,
            ),
            Sample::counter(
                "seawall_visitors_forgotten_total",
                "Sessions and holders of credentials forgotten to make room for others.",
                reception.forgotten() as f64,
            ),
        ]
    }

    /// Called every second as well, so that whoever asks for the first time is told something.
    fn requests_per_s(&self, now: Instant) -> f64 {
        self.rate.lock().observe(now, self.shared.metrics.totals().requests)
    }

    fn work_by_country(&self, policy: &Policy, now: Instant) -> Vec<CountryWork> {
        if policy.config.countries.is_empty() {
            return Vec::new();
        }
        let shares = self.shared.work_by_country.top(now, SHOWN_COUNTRIES).into_iter();
        let work = shares.map(|share| CountryWork {
            country: share.country.map(|country| country.as_str().to_owned()),
            percent: share.percent,
        });
        work.collect()
    }

    /// What sites and their origins have to show.
    fn of_sites(&self) -> Vec<Sample> {
        let policy = self.shared.policy.load();
        query::samples(&policy).into_iter().chain(gates::samples(&policy.gates)).collect()
    }

    /// A URL with a port also names what is stored without one, and is stored so behind a port
    /// that another machine forwards.
    fn purge_url(&self, url: &str) -> Result<usize, StoreError> {
        let Some(key) = seawall_cache::Key::from_url(url) else { return Ok(0) };
        let (store, bare) = (&self.shared.store, key.without_port());
        let asked = store.purge_url(&key);
        // Both are tried, whatever becomes of the first.
        let elsewhere = if bare == key { Ok(0) } else { store.purge_url(&bare) };
        Ok(asked? + elsewhere?)
    }
}

/// More would not be read at a glance.
const SHOWN_COUNTRIES: usize = 5;

fn lists(policy: &Policy, now: WallTime) -> Vec<ListStatus> {
    let lists = policy.config.lists.iter().map(|list| ListStatus {
        name: list.name,
        entries: list.entries as u64,
        age_s: list.written.map(|at| now.unix_secs().saturating_sub(at.unix_secs())),
    });
    lists.collect()
}

/// Resident memory, from the kernel; 0 where it does not say.
fn resident_bytes() -> u64 {
    let Ok(statm) = std::fs::read_to_string("/proc/self/statm") else { return 0 };
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

#[cfg(test)]
mod tests {
    use super::random_seed;

    /// What the tests of each table say of two seeds holds for two processes.
    #[test]
    fn every_process_hashes_by_a_seed_of_its_own() {
        let seeds = [(); 64].map(|()| random_seed().expect("the system has random numbers"));
        for (at, seed) in seeds.iter().enumerate() {
            assert!(!seeds[..at].contains(seed) && seed[0] != seed[1]);
        }
    }
}
