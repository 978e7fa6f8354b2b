//! A running server in a folder of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use seawall_edge::Server;
use seawall_edge::config::{AccessLog, Config, Listen, Origin as OriginConfig, OriginTarget, Site};
use seawall_model::{Limits, PerSecond};
use tempfile::TempDir;

use crate::client::Client;
use crate::origin::Origin;

/// A server and its folder; stopped at the end of the test.
pub(crate) struct Shield {
    server: Option<Server>,
    config: Config,
    address: SocketAddr,
    _dir: TempDir,
}

impl Shield {
    /// Starts before `origin` with what every test uses.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::with(origin, |_| {})
    }

    /// The same, with changes to the configuration.
    pub(crate) fn with(origin: &Origin, change: impl FnOnce(&mut Config)) -> Self {
        Self::at(origin.address(), change)
    }

    /// The same, for an origin that is only an address.
    pub(crate) fn at(origin: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let mut config = config(dir.path().join("state"), origin);
        change(&mut config);
        let server = Server::start(config.clone()).expect("the server starts");
        let address = server.addresses()[0];
        Self { server: Some(server), config, address, _dir: dir }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client at 127.0.0.`last`.
    pub(crate) fn client_from(&self, last: u8) -> Client {
        Client::connect_from(last, self.address)
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.server().addresses().to_vec()
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().expect("running")
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Lets answers in flight finish, and ends.
    pub(crate) fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Stops and starts again on the same folder.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let server = Server::start(self.config.clone()).expect("the server starts again");
        self.address = server.addresses()[0];
        self.server = Some(server);
    }

    /// Asks over the admin socket; the answer must be a 200.
    #[track_caller]
    pub(crate) fn admin(&self, method: &str, target: &str) -> String {
        let socket = self.config.admin_socket.clone().expect("configured");
        let answer = seawall_edge::admin::query(&socket, method, target).expect("it answers");
        let body = String::from_utf8(answer.body).expect("text");
        assert_eq!(answer.status, 200, "{method} {target}: {body}");
        body
    }

    /// The value of a metric without labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.admin("GET", "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.and_then(|value| value.parse().ok()).expect("the metric is there");
        value as u64
    }
}

/// How long a test waits for what must come, before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks until the answer is yes: a thousand times in a row, then about every millisecond for a minute,
/// so that the server gets its turn on a machine with few cores.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let is_met = (0..60_000).any(|looks| {
        if looks > 1_000 {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        is_so()
    });
    assert!(is_met, "never: {what}");
}

/// A plain configuration: one listener, one site for every host.
pub(crate) fn config(state_dir: PathBuf, origin: SocketAddr) -> Config {
    Config {
        admin_socket: Some(state_dir.join("admin.sock")),
        workers: 2,
        listen: vec![listen()],
        sites: vec![site(origin)],
        limits: Limits {
            drain_timeout: Duration::from_secs(20),
            // Who waits in a test waits for it, however slow the machine is.
            origin_queue_timeout: Duration::from_secs(20),
            // Tests ask faster than any reader.
            held_rate: PerSecond(1e6),
            held_burst: 1_000_000,
            ..Limits::default()
        },
        log: AccessLog { enabled: false, ..AccessLog::default() },
        // Other tests of this process have memory as well.
        memory_reading: Some(Arc::default()),
        ..Config::in_folder(state_dir)
    }
}

pub(crate) fn listen() -> Listen {
    Listen {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: false,
        proxy_protocol: false,
        public_port: None,
    }
}

pub(crate) fn site(origin: SocketAddr) -> Site {
    let target = OriginTarget::Http { host: origin.ip().to_string(), port: origin.port() };
    Site::new(vec!["*".to_owned()], OriginConfig::at(target))
}

/// Content that differs at every place, so that a shifted byte shows.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}
