//! Connections that are slow on purpose, by slowhttptest: heads, contents, reading.
//!
//! All come from one address, so Seawall's bound of connections of one address is lifted: what is
//! measured is how long a slow connection may stay, not who may have many. Which of them are open is
//! read from the kernel's table, not from the tool.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Outcome;
use crate::process::{Running, bound, random_hex};
use crate::table::{Bar, Line};

use super::Scene;
use super::flood::{SITE, failures, number};
use super::instance::{Instance, Setup};
use super::nginx::Nginx;
use super::rehearsal::{Actor, Job, Play};

const CONNECTIONS: &str = "2000";
/// Before the attack.
const QUIET: Duration = Duration::from_secs(15);
/// Of the attack, and of measuring it.
const LASTS: Duration = Duration::from_secs(35);
/// The issue's bar.
const GONE_IN_S: f64 = 20.0;
/// How much slower readers may get before they are affected, beyond a busy machine's noise.
const SLOWER: f64 = 2.0;
const SLOWER_MS: f64 = 100.0;
const LIMITS: &str = "[limits]\nmax_connections_of_one = 19000\n";

/// How it is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Headers,
    Body,
    Read,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Headers => "-H",
            Self::Body => "-B",
            Self::Read => "-X",
        }
    }

    /// Options beside the number of connections.
    const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Headers => &["-H", "-i", "5", "-t", "GET", "-x", "24"],
            Self::Body => &["-B", "-i", "5", "-s", "8192", "-x", "10", "-t", "POST"],
            // Windows of 256 to 512 bytes, 16 bytes read every 5 s.
            Self::Read => &["-X", "-w", "256", "-y", "512", "-n", "5", "-z", "16"],
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Headers | Self::Body => "/",
            Self::Read => DOWNLOAD,
        }
    }
}

/// The sample site's file of 20 MB.
pub(super) const DOWNLOAD: &str = "/downloads/tide-tables.bin";

/// Each kind, on Seawall and on nginx.
///
/// # Errors
/// When something does not start or ends otherwise than well.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let mut lines = Vec::new();
    for mode in [Mode::Headers, Mode::Body, Mode::Read] {
        let site = start_site(scene)?;
        let setup = Setup {
            name: "slow",
            origin: site.actor.address()?,
            secret: None,
            site: SITE,
            more: LIMITS,
        };
        let shield = Instance::start(&scene.program, &scene.folder, &setup)?;
        let ours = measure(scene, &site, mode, [shield.plain, shield.tls])?;
        let closed_ms = ours.lines(mode, "seawall", true);
        drop(shield);
        let site = start_site(scene)?;
        let rival = Nginx::start(&scene.folder, "slow-nginx", site.actor.address()?)?;
        let theirs = measure(scene, &site, mode, [rival.plain, rival.tls])?;
        lines.extend(closed_ms);
        lines.extend(theirs.lines(mode, "nginx", false));
    }
    Ok(lines)
}

struct Site {
    actor: Actor,
    key: String,
}

fn start_site(scene: &Scene<'_>) -> Outcome<Site> {
    let key = random_hex(16)?;
    let actor = Actor::start(&scene.program, "site", &job(&key, None, None))?;
    Ok(Site { actor, key })
}

fn job<'a>(key: &'a str, target: Option<SocketAddr>, certificate: Option<&'a Path>) -> Job<'a> {
    Job { key, target, quiet: QUIET, flood: LASTS, play: Play::Live, certificate, credentials: &[] }
}

struct Found {
    readers: Value,
    most: usize,
    /// Seconds from the last one's coming until all were gone.
    gone_s: f64,
}

impl Found {
    fn lines(&self, mode: Mode, who: &str, ours: bool) -> Vec<Line> {
        let name = mode.name();
        let bar = |bar| if ours { bar } else { Bar::None };
        let kinds = &self.readers["kinds"];
        let tally = |of: &str| {
            let tally = &kinds[of];
            (number(&tally["ok"]), number(&tally["transactions"]))
        };
        let ((pages, of_pages), (live, of_live)) = (tally("browser"), tally("live_new"));
        let calm = number(&self.readers["quiet_kinds"]["browser"]["p95_ms"]);
        let p95 = number(&kinds["browser"]["p95_ms"]);
        let served = 100.0 * (pages + live) / (of_pages + of_live);
        let failed = [failures(&self.readers["failures"]), failures(&self.readers["new_failures"])];
        vec![
            Line::new(
                format!("{name} {who}: all gone after"),
                self.gone_s,
                "s",
                bar(Bar::AtMost(GONE_IN_S)),
            )
            .note(format!("{} open at most", self.most)),
            Line::new(
                format!("{name} {who}: readers served"),
                served,
                "%",
                bar(Bar::AtLeast(100.0)),
            )
            .note(format!("of {} pages{}", of_pages + of_live, failed.concat())),
            Line::new(
                format!("{name} {who}: readers' p95"),
                p95,
                "ms",
                bar(Bar::AtMost(SLOWER * calm + SLOWER_MS)),
            )
            .note(format!("{calm} ms before")),
        ]
    }
}

fn measure(
    scene: &Scene<'_>,
    site: &Site,
    mode: Mode,
    [plain, tls]: [SocketAddr; 2],
) -> Outcome<Found> {
    let certificate = scene.folder.join("cert.pem");
    let job = job(&site.key, Some(tls), Some(certificate.as_path()));
    let mut readers = Actor::start(&scene.program, "readers", &job)?;
    readers.tell("go");
    thread::sleep(QUIET);
    let url = format!("http://{plain}{}", mode.path());
    let seconds = LASTS.as_secs().to_string();
    let mut command = bound("slowhttptest");
    command.args(mode.options()).args(["-c", CONNECTIONS, "-r", "1000", "-p", "3"]);
    command.args(["-l", &seconds, "-u", &url]);
    let log = scene.folder.join("slowhttptest.log");
    let _attack = Running::start("slowhttptest", &mut command, &log)?;
    let (begin, mut most, mut last_rise, mut gone_s) = (Instant::now(), 0, 0.0, f64::INFINITY);
    while begin.elapsed() < LASTS {
        let open = open_connections(plain);
        let at = begin.elapsed().as_secs_f64();
        if open > most {
            (most, last_rise) = (open, at);
        }
        // A probe of the tool's own may stand open.
        if most > 100 && open <= 1 {
            gone_s = at - last_rise;
            break;
        }
        thread::sleep(Duration::from_millis(250));
    }
    let readers = readers.finish(LASTS + Duration::from_secs(30))?;
    Ok(Found { readers, most, gone_s })
}

/// Established connections from 127.0.0.1 to `server`, as the server's side has them.
fn open_connections(server: SocketAddr) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    count_established(&table, server.port())
}

fn count_established(table: &str, port: u16) -> usize {
    const LOCALHOST: &str = "0100007F:";
    const ESTABLISHED: &str = "01";
    let port = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next(), fields.next(), fields.next());
        local.is_some_and(|local| local.ends_with(&port))
            && remote.is_some_and(|remote| remote.starts_with(LOCALHOST))
            && state == Some(ESTABLISHED)
    };
    table.lines().filter(is_one).count()
}

#[cfg(test)]
mod tests {
    use super::count_established;

    #[test]
    fn only_established_connections_of_the_tool_are_counted() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:1F90 0100007F:8001 01 0\n\
                     1: 0100007F:1F90 0100007F:8002 08 0\n\
                     2: 0100007F:8001 0100007F:1F90 01 0\n\
                     3: 0100007F:1F90 0A10107F:8003 01 0\n\
                     4: 0100007F:1F90 00000000:0000 0A 0\n";
        assert_eq!(count_established(table, 8080), 1);
    }
}
