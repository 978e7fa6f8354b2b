//! The servers under test, each with the configuration that suits it best.
//!
//! Separate so that what is compared can be read in one place: one worker each on core 0, the same
//! certificate, the same pages from the same origin, no access log, keep-alive without a limit on
//! requests, deferred accept on the plain listener. nginx caches on disk (its only way) with its
//! open-file cache on; HAProxy and Seawall hold the pages in memory.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound_to_core, found, free_port, is_root, output, write};

/// The core every server runs on.
const SERVER_CORE: usize = 0;

/// How long a server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(15);

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Nginx,
    Haproxy,
    Seawall,
    /// Seawall with the budget of held pages as small as it can be.
    SeawallSpent,
    /// Seawall with detection switched off.
    SeawallBlind,
    /// Seawall that records no incidents.
    SeawallSilent,
    /// Seawall that knows what is ordinary (generated), so that a load is an incident to it.
    SeawallAlarmed,
    /// The same, and records no incidents.
    SeawallAlarmedSilent,
}

impl Product {
    /// Its name in tables and JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Seawall => "seawall",
            Self::SeawallSpent => "seawall-spent",
            Self::SeawallBlind => "seawall-blind",
            Self::SeawallSilent => "seawall-silent",
            Self::SeawallAlarmed => "seawall-alarmed",
            Self::SeawallAlarmedSilent => "seawall-alarmed-silent",
        }
    }

    /// What is added to the configuration.
    const fn more(self) -> &'static str {
        match self {
            Self::SeawallBlind => "\n[detect]\nenabled = false\n",
            Self::SeawallSilent | Self::SeawallAlarmedSilent => "\n[evidence]\nenabled = false\n",
            _ => "",
        }
    }

    /// Whether it begins with a baseline of generated clients.
    const fn has_baseline(self) -> bool {
        matches!(self, Self::SeawallAlarmed | Self::SeawallAlarmedSilent)
    }
}

/// A running server.
pub(crate) struct Server {
    pub(crate) product: Product,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    running: Running,
}

impl Server {
    /// Starts one in `folder` (which holds the certificate) before `origin`.
    ///
    /// # Errors
    /// When it does not start; its log is `folder/NAME.log`.
    pub(crate) fn start(
        product: Product,
        folder: &Path,
        origin: SocketAddr,
        seawall: Option<&Path>,
    ) -> Outcome<Self> {
        let plain = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let tls = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let name = product.name();
        let own = folder.join(name);
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own)
            .map_err(|error| format!("cannot make `{}`: {error}", own.display()))?;
        let folder_name = folder.to_string_lossy();
        let file = own.join("config");
        let mut command = match product {
            Product::Nginx => {
                write(&file, &nginx(&own, &folder_name, plain, tls, origin))?;
                let mut command = bound_to_core(SERVER_CORE, &found("nginx")?);
                command.arg("-c").arg(&file).arg("-p").arg(&own).arg("-e").arg("/dev/null");
                command
            }
            Product::Haproxy => {
                write(&file, &haproxy(&folder_name, plain, tls, origin))?;
                let mut command = bound_to_core(SERVER_CORE, &found("haproxy")?);
                command.arg("-db").arg("-f").arg(&file);
                command
            }
            _ => {
                let budget = if product == Product::SeawallSpent { SMALLEST } else { LIFTED };
                let text = seawall_toml(&own, &folder_name, [plain, tls, origin], budget);
                write(&file, &(text + product.more()))?;
                let program = seawall.ok_or("seawall was not built")?;
                if product.has_baseline() {
                    generate_baseline(program, &own.join("state"))?;
                }
                let mut command = bound_to_core(SERVER_CORE, &program.to_string_lossy());
                command.args(["serve", "--config"]).arg(&file);
                command
            }
        };
        let log = folder.join(format!("{name}.log"));
        let mut running = Running::start(name, &mut command, &log)?;
        let hint = |error: String| format!("{error} (log: {})", log.display());
        running.wait_for(plain, START_LIMIT).map_err(hint)?;
        running.wait_for(tls, START_LIMIT).map_err(hint)?;
        Ok(Self { product, plain, tls, running })
    }

    /// How many incidents it recorded or records, with `folder` as it was started in.
    pub(crate) fn records(&self, folder: &Path) -> usize {
        let incidents = folder.join(self.product.name()).join("state/incidents");
        fs::read_dir(incidents).map_or(0, |all| all.flatten().count())
    }

    /// The id of its first process.
    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }
}

/// Three thousand clients and more that never were, into a state folder.
///
/// # Errors
/// When the product refuses to make them.
pub(crate) fn generate_baseline(program: &Path, state: &Path) -> Outcome {
    fs::create_dir_all(state)
        .map_err(|error| format!("cannot make `{}`: {error}", state.display()))?;
    let mut command = Command::new(program);
    command.args(["rehearse", "baseline", "--state"]).arg(state);
    output(command.args(["--seed", &BASELINE_SEED.to_string()])).map(drop)
}

/// Always the same clients, who look as the readers of the rehearsal do.
pub(crate) const BASELINE_SEED: u64 = 7;

/// All servers, warm, with their origin gone.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
}

impl Fleet {
    /// Starts nginx, HAProxy and, if built, Seawall; fills their caches; stops the origin.
    ///
    /// # Errors
    /// When one does not start or does not hold the pages.
    pub(crate) fn start(folder: &Path, seawall: Option<&Path>) -> Outcome<Self> {
        let mut products = vec![Product::Nginx, Product::Haproxy];
        if seawall.is_some() {
            products.push(Product::Seawall);
        }
        Self::of(&products, folder, seawall)
    }

    /// The same with these products.
    ///
    /// # Errors
    /// As for [`Self::start`].
    pub(crate) fn of(products: &[Product], folder: &Path, seawall: Option<&Path>) -> Outcome<Self> {
        let (mut origin, address) = origin(folder)?;
        let mut servers = Vec::new();
        for &product in products {
            servers.push(Server::start(product, folder, address, seawall)?);
        }
        for server in &servers {
            warm(folder, server)?;
        }
        origin.stop();
        for server in &servers {
            warm(folder, server).map_err(|error| format!("without the origin: {error}"))?;
        }
        Ok(Self { servers })
    }
}

/// An nginx that serves the pages as files, with an hour of freshness.
///
/// # Errors
/// When it does not start.
pub(crate) fn origin(folder: &Path) -> Outcome<(Running, SocketAddr)> {
    let pages = folder.join("pages");
    let _ = fs::create_dir_all(&pages);
    write(&pages.join("1k.html"), &page(1024))?;
    write(&pages.join("16k.html"), &page(16 * 1024))?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let file = folder.join("origin.conf");
    let text = format!(
        "{}http {{ access_log off; types {{ text/html html; }} server {{ listen {address}; \
         root {}; add_header Cache-Control \"public, max-age=3600\"; }} }}\n",
        nginx_head(&folder.join("origin.pid")),
        pages.display()
    );
    write(&file, &text)?;
    let mut command = bound_to_core(SERVER_CORE, &found("nginx")?);
    command.arg("-c").arg(&file).arg("-p").arg(folder).arg("-e").arg("/dev/null");
    let mut running = Running::start("origin", &mut command, &folder.join("origin.log"))?;
    running.wait_for(address, START_LIMIT)?;
    Ok((running, address))
}

/// Prose of exactly `bytes` bytes: it compresses as pages do.
fn page(bytes: usize) -> String {
    let head = "<!doctype html><html lang=\"en\"><title>Page</title><p>";
    let tail = "</html>\n";
    let words = ["the ", "harbour ", "wall ", "held ", "through ", "every ", "storm, ", "and "];
    let mut text = head.to_owned();
    let mut state = 1u32;
    while text.len() < bytes - tail.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(words[(state >> 29) as usize]);
    }
    text.truncate(bytes - tail.len());
    text + tail
}

/// Fetches both pages over both listeners and compares every byte.
fn warm(folder: &Path, server: &Server) -> Outcome {
    for name in ["1k.html", "16k.html"] {
        let expected = fs::read(folder.join("pages").join(name))
            .map_err(|error| format!("cannot read the page: {error}"))?;
        for (scheme, address) in [("http", server.plain), ("https", server.tls)] {
            let url = format!("{scheme}://{address}/{name}");
            let mut curl = Command::new("curl");
            let body = output(curl.args(["-sSfk", "--max-time", "10", &url]))?.stdout;
            if body != expected {
                return Err(format!("{} answers {url} with other bytes", server.product.name()));
            }
        }
    }
    Ok(())
}

fn nginx_head(pid: &Path) -> String {
    let user = if is_root() { "user root; " } else { "" };
    format!(
        "{user}daemon off; worker_processes 1; worker_rlimit_nofile 20000; pid {}; \
         error_log /dev/null crit; events {{ worker_connections 19000; }}\n",
        pid.display()
    )
}

fn nginx(
    own: &Path,
    folder: &str,
    plain: SocketAddr,
    tls: SocketAddr,
    origin: SocketAddr,
) -> String {
    let head = nginx_head(&own.join("pid"));
    let own = own.display();
    format!(
        "{head}http {{
  access_log off; sendfile on; tcp_nopush on; server_tokens off;
  keepalive_requests 1000000000; keepalive_timeout 600s; client_header_timeout 600s;
  open_file_cache max=1000; open_file_cache_valid 600s;
  proxy_cache_path {own}/cache keys_zone=pages:10m inactive=1d max_size=1g;
  proxy_temp_path {own}/proxy; client_body_temp_path {own}/body;
  fastcgi_temp_path {own}/fastcgi; uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;
  ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
  limit_req_zone $binary_remote_addr zone=one:10m rate=1r/m; limit_req_status 429;
  server {{
    listen {plain} deferred; listen {tls} ssl http2;
    location = /refused {{ return 403; }}
    location = /limited.html {{
      limit_req zone=one; proxy_pass http://{origin}; proxy_cache pages; proxy_cache_valid 200 1h;
    }}
    location / {{ proxy_pass http://{origin}; proxy_cache pages; proxy_cache_valid 200 1h; }}
  }}
}}
"
    )
}

fn haproxy(folder: &str, plain: SocketAddr, tls: SocketAddr, origin: SocketAddr) -> String {
    format!(
        "global
  nbthread 1
  maxconn 9800
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 30s
  timeout http-request 600s
  timeout http-keep-alive 600s
cache pages
  total-max-size 64
  max-object-size 100000
  max-age 3600
frontend front
  bind {plain} defer-accept
  bind {tls} ssl crt {folder}/both.pem alpn h2,http/1.1
  http-request deny deny_status 403 if {{ path /refused }}
  http-request cache-use pages
  http-response cache-store pages
  default_backend site
backend site
  server one {origin}
"
    )
}

/// More than anybody can ask for.
const LIFTED: &str = "held_rate = \"1000000/s\"\nheld_burst = 1000000";
/// Enough to fetch both pages over both listeners, before and after the origin stops.
const SMALLEST: &str = "held_rate = \"1/s\"\nheld_burst = 8";

fn seawall_toml(
    own: &Path,
    folder: &str,
    [plain, tls, origin]: [SocketAddr; 3],
    held: &str,
) -> String {
    // The load comes from one address, so the budgets of one reader are lifted; they are still
    // counted for every request.
    format!(
        "state_dir = \"{}/state\"
workers = 1
memory = \"512MiB\"
disk = \"1GiB\"

[[listen]]
address = \"{plain}\"
[[listen]]
address = \"{tls}\"
tls = true

[[tls]]
cert = \"{folder}/cert.pem\"
key = \"{folder}/key.pem\"

[[site]]
hosts = [\"*\"]
origin = \"http://{origin}\"
[[site.route]]
path = \"/refused\"
allow_sources = []

[limits]
{held}
max_connections = 19000
max_connections_of_one = 19000
max_connections_of_prefix = 19000
max_offences = 1000000
handshake_share = 100
known_handshake_share = 100
header_timeout = \"5m\"
idle_timeout = \"1h\"
handshake_timeout = \"1m\"

[log]
enabled = false
",
        own.display()
    )
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn pages_have_exactly_the_size_they_stand_for() {
        for bytes in [1024, 16 * 1024] {
            assert_eq!(page(bytes).len(), bytes);
        }
    }
}
