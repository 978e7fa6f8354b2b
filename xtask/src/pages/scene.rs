//! What the clients meet: a small origin, and Seawall before it with a certificate of its own.
//!
//! Separate so that the configuration which makes each of Seawall's own pages appear is read in
//! one place: four names of which one works, one is dead, one is slow and one is busy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound, certificate, free_port, output, scratch, write};

/// What is put to the test by hand; the script knows the same. One client in a hundred is let off each, to see the
/// difference, and that one may be the browser.
const TESTED: [&str; 3] = ["/tested-one", "/tested-two", "/tested-three"];
/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The running servers; they end with it.
pub(super) struct Scene {
    /// Where files of this run may be put.
    pub(super) folder: PathBuf,
    /// The origin itself, to compare with.
    pub(super) origin: SocketAddr,
    /// Seawall over plain HTTP.
    pub(super) plain: SocketAddr,
    /// Seawall over TLS.
    pub(super) tls: SocketAddr,
    _servers: [Running; 2],
}

impl Scene {
    /// Starts the origin and `program` before it.
    ///
    /// # Errors
    /// When one does not listen in time; the logs lie in the folder that the message names.
    pub(super) fn start(root: &Path, program: &Path) -> Outcome<Self> {
        let folder = scratch(root, "pages/run")?;
        certificate(&folder)?;
        let loopback = || free_port().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        // What one name uses up of its origin must not be missing for another.
        let origins = [loopback()?, loopback()?, loopback()?];
        let dead = loopback()?;
        let mut command = bound("node");
        command.arg(root.join("xtask/pages/origin.mjs"));
        command.args(origins.map(|origin| origin.port().to_string()));
        let hint = |error: String| format!("{error} (logs: {})", folder.display());
        let mut origin = Running::start("origin", &mut command, &folder.join("origin.log"))?;
        for address in origins {
            origin.wait_for(address, START_LIMIT).map_err(hint)?;
        }
        let (plain, tls) = (loopback()?, loopback()?);
        let file = folder.join("seawall.toml");
        write(&file, &configuration(plain, tls, origins, dead))?;
        let mut command = bound(&program.to_string_lossy());
        command.args(["serve", "--config"]).arg(&file);
        let mut seawall = Running::start("seawall", &mut command, &folder.join("seawall.log"))?;
        for address in [plain, tls] {
            seawall.wait_for(address, START_LIMIT).map_err(hint)?;
        }
        for path in TESTED {
            let mut command = bound(&program.to_string_lossy());
            command.args(["mitigate", "add", "--rung", "challenge", "--path", path, "--config"]);
            output(command.arg(&file)).map_err(hint)?;
        }
        let _servers = [seawall, origin];
        Ok(Self { folder, origin: origins[0], plain, tls, _servers })
    }
}

fn configuration(
    plain: SocketAddr,
    tls: SocketAddr,
    origins: [SocketAddr; 3],
    dead: SocketAddr,
) -> String {
    let [works, slow, busy] = origins;
    // The budget for held pages hardly refills, so that a client that has used it up stays out.
    format!(
        "state_dir = \"state\"
workers = 1
memory = \"128MiB\"
disk = \"64MiB\"

[[listen]]
address = \"{plain}\"
[[listen]]
address = \"{tls}\"
tls = true

[[tls]]
cert = \"cert.pem\"
key = \"key.pem\"

[[site]]
hosts = [\"example.org\"]
origin = \"http://{works}\"
[[site.route]]
path = \"/refused\"
allow_sources = []
[[site.route]]
path = \"/read-only\"
methods = [\"GET\"]
[[site.route]]
path = \"/small\"
max_body_bytes = 1024
[[site.route]]
path = \"/often\"
budget = \"2/h\"

[[site]]
hosts = [\"dead.example.org\"]
origin = \"http://{dead}\"

[[site]]
hosts = [\"slow.example.org\"]
origin = \"http://{slow}\"
[site.origin_limits]
header_timeout = \"300ms\"

[[site]]
hosts = [\"busy.example.org\"]
origin = \"http://{busy}\"
# Nobody waits for a page of which there is a copy.
[site.archive]
enabled = false
[site.origin_limits]
max_concurrency = 1
header_timeout = \"10m\"

[limits]
held_rate = \"1/s\"
held_burst = 200
origin_queue_timeout = \"200ms\"
drain_timeout = \"0s\"
"
    )
}
