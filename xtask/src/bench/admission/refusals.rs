//! What refusing costs beside serving, in CPU time of the server per request.
//!
//! Servers and loads are those of the other cases: one worker on core 0, wrk on core 1, medians of
//! interleaved runs. Refusals at the ClientHello are asked for by `bench/hellos.py`, through a listener
//! that takes the PROXY protocol, so that one and the same socket refuses one client and serves the
//! other.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound_to_core, free_port, output, write};
use crate::table::{Bar, Line};

use super::super::cost::cpu_ns;
use super::super::load::{Load, Protocol, h2load};
use super::super::server::{Fleet, Product, Server};
use super::super::summary::{Spread, ratios};
use super::Scene;

const RUNS: usize = 7;
const RUN: Duration = Duration::from_secs(1);
const HELLOS: &str = "600";
const START_LIMIT: Duration = Duration::from_secs(30);
/// Denied, by the configuration below.
const DENIED: &str = "203.0.113.9";
const WELCOME: &str = "198.51.100.9";

/// Refusals and what they are compared with.
///
/// # Errors
/// When a server does not start or answers otherwise than it should.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let products = [Product::Nginx, Product::Seawall, Product::SeawallSpent];
    let fleet = Fleet::of(&products, &scene.folder, Some(&scene.program))?;
    let [nginx, seawall, spent] = [0, 1, 2].map(|at| &fleet.servers[at]);
    for (server, path) in [(nginx, "/limited.html"), (spent, "/1k.html")] {
        spend(server, path)?;
    }
    let fresh = |path| Load { protocol: Protocol::Refused, path, duration: RUN };
    let kept = |server, path| Kept { server, path };
    let folder = &scene.folder;
    let mut costs: [Vec<f64>; 5] = Default::default();
    for _ in 0..RUNS {
        // Neighbours in time share their noise.
        costs[0].push(kept(spent, "/1k.html").run(folder, Refused::All)?);
        costs[1].push(kept(seawall, "/1k.html").run(folder, Refused::None)?);
        costs[2].push(kept(nginx, "/limited.html").run(folder, Refused::All)?);
        costs[3].push(fresh("/1k.html").run(spent)?);
        costs[4].push(fresh("/limited.html").run(nginx)?);
    }
    let [kept, hit, kept_nginx, fresh, fresh_nginx] = costs;
    let mut lines = vec![
        line("429 on keep-alive to a page from memory", &kept, &hit, 1.0),
        line("429 on keep-alive to nginx's limit_req", &kept, &kept_nginx, 1.0),
        line("429 on a new connection to nginx's, deferred", &fresh, &fresh_nginx, 1.0),
    ];
    drop(fleet);
    lines.push(hellos(scene)?);
    Ok(lines)
}

fn line(what: &str, ours: &[f64], other: &[f64], bar: f64) -> Line {
    let ratio = Spread::of(&ratios(ours, other));
    let note = format!("{} us to {} us; ratio {ratio}", Spread::of(ours), Spread::of(other));
    Line::new(what, ratio.median, "times", Bar::AtMost(bar)).note(note)
}

/// Requests on 64 connections that are kept.
struct Kept<'a> {
    server: &'a Server,
    path: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    All,
    None,
}

impl Kept<'_> {
    /// Microseconds of CPU per request.
    fn run(&self, folder: &Path, refused: Refused) -> Outcome<f64> {
        let list = folder.join("urls");
        let url = format!("http://{}{}\n", self.server.plain, self.path);
        write(&list, &url.repeat(20_000))?;
        let before = cpu_ns(self.server.id());
        let mut client = bound_to_core(1, "h2load");
        client.args(["--h1", "-c64", "-t1", "-D", &RUN.as_secs().to_string(), "-i"]).arg(&list);
        let said = output(&mut client)?.stdout;
        let used = cpu_ns(self.server.id()) - before;
        let counted = h2load(&String::from_utf8_lossy(&said));
        let wrong = match refused {
            Refused::All => counted.requests.saturating_sub(counted.refused),
            Refused::None => counted.refused,
        };
        // What the smallest budget lets through.
        if counted.requests < 1000 || wrong > 8 + counted.requests / 1000 {
            return Err(format!("{} on {}: {counted:?}", self.path, self.server.product.name()));
        }
        Ok(used as f64 / 1e3 / counted.requests as f64)
    }
}

/// Asks until the answer is 429.
fn spend(server: &Server, path: &str) -> Outcome {
    let url = format!("http://{}{path}", server.plain);
    for _ in 0..20 {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", &url]);
        if output(&mut curl)?.stdout == b"429" {
            return Ok(());
        }
    }
    Err(format!("{} does not refuse {url}", server.product.name()))
}

/// Closing at the ClientHello beside a full handshake.
fn hellos(scene: &Scene<'_>) -> Outcome<Line> {
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let own = scene.folder.join("hellos");
    fs::create_dir_all(&own)
        .map_err(|error| format!("cannot make `{}`: {error}", own.display()))?;
    let file = own.join("seawall.toml");
    write(&file, &text(&own, &scene.folder, address))?;
    let mut command = bound_to_core(0, &scene.program.to_string_lossy());
    command.args(["serve", "--config"]).arg(&file);
    let mut running = Running::start("seawall", &mut command, &scene.folder.join("hellos.log"))?;
    running.wait_for(address, START_LIMIT)?;
    let mut costs: [Vec<f64>; 2] = Default::default();
    for _ in 0..RUNS {
        for (outcome, costs) in ["closed", "shaken"].into_iter().zip(&mut costs) {
            costs.push(one(scene.root, &running, address, outcome)?);
        }
    }
    let [closed, shaken] = costs;
    Ok(line("closed at the ClientHello to a handshake", &closed, &shaken, 0.3))
}

fn one(root: &Path, server: &Running, address: SocketAddr, outcome: &str) -> Outcome<f64> {
    let client = if outcome == "closed" { DENIED } else { WELCOME };
    let before = cpu_ns(server.id());
    let mut command = bound_to_core(1, "python3");
    command.arg(root.join("bench/hellos.py")).arg(address.port().to_string());
    let said = output(command.args([HELLOS, client, outcome]))?.stdout;
    let used = cpu_ns(server.id()) - before;
    let said = String::from_utf8_lossy(&said);
    if said.trim() != format!("{outcome} {HELLOS}") {
        return Err(format!("of {HELLOS} hellos: {}", said.trim()));
    }
    Ok(used as f64 / 1e3 / HELLOS.parse::<f64>().unwrap_or(1.0))
}

fn text(own: &Path, folder: &Path, address: SocketAddr) -> String {
    let (own, folder) = (own.display(), folder.display());
    format!(
        "state_dir = \"{own}/state\"
workers = 1
disk = \"64MiB\"

[[listen]]
address = \"{address}\"
tls = true
proxy_protocol = true

[[tls]]
cert = \"{folder}/cert.pem\"
key = \"{folder}/key.pem\"

[[site]]
hosts = [\"*\"]
origin = \"http://127.0.0.1:1\"

[network]
trusted_proxies = [\"127.0.0.1/32\"]
deny = [\"203.0.113.0/24\"]

[log]
enabled = false
"
    )
}
