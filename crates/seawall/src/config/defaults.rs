//! Every default, in one function: what holds when the file says nothing is safe on the internet.

use std::path::PathBuf;
use std::time::Duration;

use seawall_cache::SitePolicy;
use seawall_edge::config::{AccessLog, Config, Origin, OriginTarget, Site};
use seawall_model::Limits;

use crate::config::machine::{Machine, half_of};

/// The defaults: a configuration that lacks listeners and sites, and a site that lacks hosts and
/// an origin.
pub(crate) struct Defaults {
    /// All but listeners, certificates and sites.
    pub(crate) config: Config,
    /// All but hosts and where the origin is.
    pub(crate) site: Site,
}

/// What holds when the file says nothing.
pub(crate) fn defaults(machine: &Machine) -> Defaults {
    let config = Config {
        state_dir: machine.temporary_state.clone(),
        state_is_temporary: true,
        workers: machine.cores,
        memory_bytes: half_of(machine.free_memory),
        disk_bytes: 10 << 30,
        listen: Vec::new(),
        tls: Vec::new(),
        sites: Vec::new(),
        trusted_proxies: Vec::new(),
        allow: Vec::new(),
        deny: Vec::new(),
        limits: Limits {
            // Each connection may need one more file towards the origin.
            max_connections: usize::try_from(machine.open_files / 2)
                .unwrap_or(usize::MAX)
                .clamp(16, 10_000_000),
            ..Limits::default()
        },
        admin_socket: Some(machine.temporary_state.join(ADMIN_SOCKET)),
        admin_address: None,
        admin_token: None,
        log: AccessLog { enabled: true, max_bytes: 256 << 20, refusals_per_second: 10 },
    };
    let site = Site {
        hosts: Vec::new(),
        origin: Origin {
            target: OriginTarget::Unix(PathBuf::new()),
            preserve_host: true,
            max_concurrency: 256,
            connect_timeout: Duration::from_secs(3),
            header_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            total_timeout: Duration::from_secs(15 * 60),
            max_idle: 32,
            keep_alive: Duration::from_secs(30),
            ca_file: None,
            danger_accept_any_certificate: false,
        },
        cache: SitePolicy::default(),
        routes: Vec::new(),
        methods: Vec::new(),
    };
    Defaults { config, site }
}

/// The admin socket's name within the state folder.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
