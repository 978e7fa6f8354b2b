//! Every default that depends on the machine, over those of [`Config::in_folder`] and
//! [`Origin::at`]: what holds when the file says nothing is safe on the internet.

use std::path::PathBuf;

use seawall_edge::config::{Config, Origin, OriginTarget, Site};
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
    let state_dir = machine.temporary_state.clone();
    let config = Config {
        state_is_temporary: true,
        workers: machine.cores,
        memory_bytes: half_of(machine.free_memory),
        disk_bytes: 10 << 30,
        limits: Limits {
            // Each connection may need one more file towards the origin.
            max_connections: usize::try_from(machine.open_files / 2)
                .unwrap_or(usize::MAX)
                .clamp(16, 10_000_000),
            ..Limits::default()
        },
        admin_socket: Some(state_dir.join(ADMIN_SOCKET)),
        ..Config::in_folder(state_dir)
    };
    let site = Site::new(Vec::new(), Origin::at(OriginTarget::Unix(PathBuf::new())));
    Defaults { config, site }
}

/// The admin socket's name within the state folder.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";
