//! What recording costs a request on the real program: with it and without it, in turn, in calm and in an incident.
//!
//! CPU of all its threads per request of a held page, so that the threads that watch and write are in it. The noise of two
//! such runs is larger than the bar; the row `incident` has what those two threads worked, to the nanosecond.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::process::certificate;
use crate::table::{Bar, Line};

use super::super::load::{Load, Protocol};
use super::super::server::{Fleet, Product};
use super::super::summary::Spread;
use super::Scene;

const PAIRS: usize = 15;
const RUN: Duration = Duration::from_secs(2);

/// Handshakes of rubbish that each server gets meanwhile, 50 a second: an alarm by itself. The load alone is none, because
/// the server bears it.
const RUBBISH_EVERY: Duration = Duration::from_millis(20);
const MAX_RUBBISH: u32 = 20_000;

const CASES: [(&str, [Product; 2], bool); 2] = [
    ("in calm", [Product::Seawall, Product::SeawallSilent], false),
    ("in an incident", [Product::SeawallAlarmed, Product::SeawallAlarmedSilent], true),
];

/// Pairs of runs, each the other way around.
///
/// # Errors
/// When a server does not start or answers wrongly, or it was no incident where it had to be one.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    certificate(&scene.folder)?;
    let mut lines = Vec::new();
    for (what, products, is_incident) in CASES {
        let fleet = Fleet::of(&products, &scene.folder, Some(&scene.program))?;
        let load = Load { protocol: Protocol::Plain, path: "/1k.html", duration: RUN };
        let addresses: Vec<SocketAddr> = fleet.servers.iter().map(|it| it.tls).collect();
        let has_ended = AtomicBool::new(!is_incident);
        let costs = thread::scope(|scope| {
            scope.spawn(|| send_rubbish(&addresses, &has_ended));
            let costs = pairs(&fleet, &load);
            has_ended.store(true, Ordering::Relaxed);
            costs
        })?;
        let records = fleet.servers[0].records(&scene.folder);
        if is_incident != (records > 0) {
            return Err(format!("{what}: {records} incidents were recorded"));
        }
        let [with, without] = costs;
        // Neighbours in time share their noise.
        let differences: Vec<f64> = with.iter().zip(&without).map(|(a, b)| (a - b) * 1e3).collect();
        let found = Spread::of(&differences);
        let least = |costs: &[f64]| costs.iter().copied().fold(f64::INFINITY, f64::min);
        let note = format!(
            "{} us with it, {} us without; least {:.3} and {:.3}; difference {found} ns",
            Spread::of(&with),
            Spread::of(&without),
            least(&with),
            least(&without),
        );
        lines.push(
            Line::new(format!("recording {what}"), found.median, "ns/request", Bar::None)
                .note(note),
        );
    }
    Ok(lines)
}

/// Microseconds a request with it and without it.
fn pairs(fleet: &Fleet, load: &Load) -> Outcome<[Vec<f64>; 2]> {
    let mut costs: [Vec<f64>; 2] = Default::default();
    for pair in 0..=PAIRS {
        for turn in 0..2 {
            let which = (pair + turn) % 2;
            let cost = load.run(&fleet.servers[which])?;
            // In the first it is noticed.
            if pair > 0 {
                costs[which].push(cost);
            }
        }
    }
    Ok(costs)
}

/// What is no handshake, to both alike, until `has_ended`.
fn send_rubbish(to: &[SocketAddr], has_ended: &AtomicBool) {
    for _ in 0..MAX_RUBBISH {
        if has_ended.load(Ordering::Relaxed) {
            return;
        }
        for &address in to {
            // A server that is full tells nothing else.
            let _ = TcpStream::connect(address)
                .and_then(|mut stream| stream.write_all(b"rubbish\r\n\r\n"));
        }
        thread::sleep(RUBBISH_EVERY);
    }
}
