//! Pages beside 200 clients who fetch a file of 20 MB over a link of 100 Mbit/s.
//!
//! The link is Seawall's own bound of what goes out (`limits.egress`); the file is held.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::process::{Running, bound, random_hex};
use crate::table::{Bar, Line};

use super::Scene;
use super::flood::{SITE, failures, number};
use super::instance::{Instance, Setup};
use super::rehearsal::{Actor, Job, Play};
use super::slow::DOWNLOAD;

const CLIENTS: u16 = 200;
const QUIET: Duration = Duration::from_secs(15);
const LASTS: Duration = Duration::from_secs(40);
/// The bar.
const BAR_MS: f64 = 1_000.0;
/// What each fetched.
const LOG: &str = "downloads.log";
const LINK_MBIT: f64 = 100.0;

/// Readers before and while the file is fetched.
///
/// # Errors
/// When something does not start or ends otherwise than well.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let key = random_hex(16)?;
    let certificate = scene.folder.join("cert.pem");
    let job = |target, certificate| Job {
        key: &key,
        target,
        quiet: QUIET,
        flood: LASTS,
        play: Play::Live,
        certificate,
        credentials: &[],
    };
    let site = Actor::start(&scene.program, "site", &job(None, None))?;
    let setup = Setup {
        name: "large",
        origin: site.address()?,
        secret: None,
        site: SITE,
        more: "[limits]\negress = \"100Mbit/s\"\n",
    };
    let shield = Instance::start(&scene.program, &scene.folder, &setup)?;
    let with_tls = job(Some(shield.tls), Some(certificate.as_path()));
    let mut readers = Actor::start(&scene.program, "readers", &with_tls)?;
    readers.tell("go");
    thread::sleep(QUIET);
    let mut fetching = Vec::new();
    for number in 0..CLIENTS {
        fetching.push(fetch(scene, &shield, number)?);
    }
    let figures = readers.finish(LASTS + Duration::from_secs(30))?;
    for fetching in &mut fetching {
        // None has the whole file by then: it says how much it has, and that it is not all.
        let _ = fetching.wait_end(Duration::from_secs(10));
    }
    let fetched = fs::read_to_string(scene.folder.join(LOG)).unwrap_or_default();
    let fetched: f64 = fetched.lines().filter_map(|line| line.parse::<f64>().ok()).sum();
    let rate = fetched * 8.0 / 1e6 / LASTS.as_secs_f64();
    let pages = &figures["kinds"]["browser"];
    let p95 = |kinds: &str| number(&figures[kinds]["browser"]["p95_ms"]);
    let (ok, all) = (number(&pages["ok"]), number(&pages["transactions"]));
    Ok(vec![
        Line::new("pages' p95 beside 200 downloads", p95("kinds"), "ms", Bar::AtMost(BAR_MS))
            .note(format!("{} ms before", p95("quiet_kinds"))),
        Line::new("pages served", 100.0 * ok / all, "%", Bar::AtLeast(100.0))
            .note(format!("of {all}{}", failures(&figures["failures"]))),
        Line::new("fetched, at most", rate, "Mbit/s", Bar::AtMost(LINK_MBIT * 1.1)),
        // Nothing can be said of a link that was not full.
        Line::new("fetched, at least", rate, "Mbit/s", Bar::AtLeast(LINK_MBIT * 0.5)),
    ])
}

/// One who fetches it, from an address of its own.
fn fetch(scene: &Scene<'_>, shield: &Instance, number: u16) -> Outcome<Running> {
    let [high, low] = number.to_be_bytes();
    let source = format!("127.254.{high}.{}", low.max(1));
    let url = format!("http://{}{DOWNLOAD}", shield.plain);
    let mut command = bound("curl");
    let seconds = LASTS.as_secs().to_string();
    command.args(["-s", "--interface", &source, "--max-time", &seconds, "-o", "/dev/null"]);
    command.args(["-w", "%{size_download}\\n", &url]);
    Running::start("curl", &mut command, &scene.folder.join(LOG))
}
