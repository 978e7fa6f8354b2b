//! The life of the process: opening everything, starting workers, reload, drain, end.
//!
//! [`Server`] can be run inside a test with port 0; [`serve`] adds signals and the service manager.
//! Opening is all or nothing: an error leaves no thread and no socket behind.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_cache::{Store, StoreConfig, StoreError};
use seawall_model::Instant;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::access_log::{AccessLogHandle, LogWriter};
use crate::addresses::{self, Addresses};
use crate::admin::{AdminError, AdminServer, AdminView};
use crate::archive::{self, Crawler};
use crate::clock;
use crate::config::{Config, Listen};
use crate::detection::Detection;
use crate::learned::{Keep, LearnedFile};
use crate::listen;
use crate::metrics::Metrics;
use crate::origin::{OriginTlsError, Pool};
use crate::policy::Policy;
use crate::reload;
use crate::run::RunId;
use crate::shared::{Parts, Shared};
use crate::slots::SWEEP;
use crate::spool::{Spool, SpoolBudget};
use crate::systemd::Notifier;
use crate::tls::{CertEvent, CertStore, CertWatch, TlsError, server_config};
use crate::view::View;
use crate::visitor::Reception;
use crate::watcher::{BaselineFile, Watcher};
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
    crawler: Option<JoinHandle<()>>,
    watcher: Option<JoinHandle<()>>,
    watching_ended: Arc<AtomicBool>,
    watch: Arc<Mutex<CertWatch>>,
    stop: Option<oneshot::Sender<()>>,
    log: Option<AccessLogHandle>,
}

/// Parts of the memory budget: the rest is for connections, tables and the process itself.
const CACHE_SHARE: u64 = 60;
const SPOOL_MEMORY_SHARE: u64 = 10;
const IN_FLIGHT_SHARE: u64 = 10;
/// Parts of the disk budget.
const CACHE_DISK_SHARE: u64 = 45;
const SPOOL_DISK_SHARE: u64 = 20;
/// Of all archives together; what makes a configuration divides it among the sites.
pub const ARCHIVE_DISK_SHARE: u64 = 25;

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
        check_origins(&config)?;
        let seed = random_seed()?;
        let store = open_store(&config, seed)?;
        let reception = Reception::open(&config.state_dir, &config.limits, seed, clock::wall());
        let reception = reception.map_err(state)?;
        let (learned_file, learned) = LearnedFile::open(&config.state_dir).map_err(state)?;
        let baseline = BaselineFile::open(&config.state_dir).map_err(state)?;
        let listed = Addresses::open(&config.state_dir, clock::wall()).map_err(state)?;
        let spool = open_spool(&config).map_err(state)?;
        let copies = archive::open_all(&config);
        let is_crawling = config.is_crawling && copies.iter().any(Option::is_some);
        let certs = Arc::new(CertStore::load(&config.tls).map_err(ServeError::Certificates)?);
        let tls = open_tls(&config, &certs)?;
        let admin = open_admin(&config)?;
        let (workers, is_watching) = (config.workers.max(1), config.detect.enabled);
        let (groups, listen) = open_groups(&config, &mut inherited, workers)?;
        let (log, writers) =
            AccessLogHandle::start(&config.log, &config.state_dir.join("log"), workers, || {
                (clock::now(), clock::wall())
            })?;
        let metrics = Metrics::new(workers);
        let in_flight = config.memory_bytes / 100 * IN_FLIGHT_SHARE;
        let parts = Parts {
            policy: Policy::first(config, seed, &learned, copies, listed.listed()),
            addresses: listed,
            learned_file,
            store,
            reception,
            spool,
            metrics,
            tls,
            seed,
            run: RunId::new()?,
            detection_seed: baseline.seed(),
            in_flight_bytes: usize::try_from(in_flight).unwrap_or(usize::MAX),
        };
        let shared = Arc::new(Shared::new(parts));
        let (stop, stopped) = oneshot::channel();
        let watch = Arc::new(Mutex::new(CertWatch::new(certs)));
        let mut server = Self {
            shared: Arc::clone(&shared),
            addresses: listen.iter().map(|listen| listen.address).collect(),
            admin_address: admin.local_addr(),
            workers: Vec::new(),
            control: None,
            crawler: None,
            watcher: None,
            watching_ended: Arc::new(AtomicBool::new(false)),
            watch: Arc::clone(&watch),
            stop: Some(stop),
            log: Some(log),
        };
        // Before orders are taken: who gives one at once was told that nobody watches.
        if is_watching {
            server.watch_out(baseline, workers)?;
        }
        server.control = Some(spawn("control", Control { shared, admin, watch, stopped })?);
        if is_crawling {
            let shared = Arc::clone(&server.shared);
            server.crawler = Some(spawn("crawler", CrawlerThread(shared))?);
        }
        server.employ(groups, writers)?;
        Ok(server)
    }

    /// Begins to watch for attacks.
    fn watch_out(&mut self, file: BaselineFile, workers: usize) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let windows = shared.detection.watch(workers);
        let ended = Arc::clone(&self.watching_ended);
        let file = Arc::new(file);
        let watcher = Watcher { shared, file, windows, ended };
        let thread = thread::Builder::new().name("seawall-watcher".to_owned());
        self.watcher = Some(thread.spawn(move || watcher.run())?);
        Ok(())
    }

    fn employ(&mut self, groups: Vec<Sockets>, writers: Vec<LogWriter>) -> io::Result<()> {
        for (index, (sockets, log)) in groups.into_iter().zip(writers).enumerate() {
            let shared = Arc::clone(&self.shared);
            let thread = WorkerThread { shared, index, sockets, log };
            self.workers.push(spawn(&format!("worker-{index}"), thread)?);
        }
        Ok(())
    }

    /// What is seen of requests, and the way to put mitigations in force.
    pub fn detection(&self) -> &Detection {
        &self.shared.detection
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
        if let Some(crawler) = self.crawler.take() {
            let _ = crawler.join();
        }
        self.watching_ended.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
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

/// Whether every origin's settings can be used, before anything is opened.
fn check_origins(config: &Config) -> Result<(), OriginTlsError> {
    config.sites.iter().try_for_each(|site| Pool::new(&site.origin).map(drop))
}

fn open_store(config: &Config, seed: [u64; 2]) -> Result<Store, StoreError> {
    let (store, opened) = Store::open(StoreConfig {
        dir: Some(config.state_dir.join("cache")),
        memory_bytes: config.memory_bytes / 100 * CACHE_SHARE,
        disk_bytes: config.disk_bytes / 100 * CACHE_DISK_SHARE,
        seed,
    })?;
    tracing::info!(entries = opened.entries, damaged = opened.damaged, "cache opened");
    Ok(store)
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
    fn run(self, runtime: LocalRuntime);
}

fn spawn(name: &str, thread: impl Thread) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("seawall-{name}")).spawn(move || {
        let built = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match built {
            Ok(runtime) => thread.run(runtime),
            Err(error) => tracing::error!("cannot start a runtime: {error}"),
        }
    })
}

struct WorkerThread {
    shared: Arc<Shared>,
    index: usize,
    sockets: Sockets,
    log: LogWriter,
}

impl Thread for WorkerThread {
    fn run(self, runtime: LocalRuntime) {
        let Self { shared, index, sockets, log } = self;
        runtime.block_on(async move {
            let worker = Worker::new(shared, index, log);
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

struct CrawlerThread(Arc<Shared>);

/// How long the end waits for what the crawler has on other threads.
const CRAWLER_PATIENCE: Duration = Duration::from_millis(500);

impl Thread for CrawlerThread {
    fn run(self, runtime: LocalRuntime) {
        runtime.block_on(Crawler::new(self.0).run());
        // Packages may be at work, which takes its time and is taken up again at the next start.
        runtime.shutdown_timeout(CRAWLER_PATIENCE);
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
    fn run(self, runtime: LocalRuntime) {
        let Self { shared, admin, watch, mut stopped } = self;
        runtime.block_on(async move {
            let view = Arc::new(View::new(Arc::clone(&shared)));
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
                    _ = second.tick() => {
                        view.requests_per_s(clock::now());
                        if shared.addresses.is_due(clock::wall()) {
                            let shared = Arc::clone(&shared);
                            tokio::task::spawn_blocking(move || addresses::expire(&shared));
                        }
                    }
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
