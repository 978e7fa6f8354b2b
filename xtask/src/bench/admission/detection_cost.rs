//! What detection costs on the hot path: the program with it and without it, in turn.
//!
//! CPU of all its threads per request of a held page on connections that are kept, so that the thread
//! that watches is in it, too. It does not measure the cost under a mitigation that matches.

use std::time::Duration;

use crate::Outcome;
use crate::table::{Bar, Line};

use super::super::load::{Load, Protocol};
use super::super::server::{Fleet, Product};
use super::super::summary::{Spread, median_interval};
use super::Scene;

/// The bar, in microseconds.
const BAR_US: f64 = 1.4;
/// Many short ones: a pair differs by several microseconds on a machine with neighbours, whatever its length, and the median of
/// forty-one by half of what that of nine does.
const PAIRS: usize = 41;
/// As short as both clients can.
const RUN: Duration = Duration::from_secs(1);

const CASES: [(&str, Protocol); 3] = [
    ("detection of 1 KiB, HTTP/1.1", Protocol::Plain),
    ("detection of 1 KiB, HTTP/1.1 over TLS", Protocol::Tls),
    ("detection of 1 KiB, HTTP/2 over TLS", Protocol::Http2),
];

/// Pairs of runs, each the other way around.
///
/// # Errors
/// When a server does not start or answers wrongly.
pub(super) fn run(scene: &Scene<'_>) -> Outcome<Vec<Line>> {
    let products = [Product::Seawall, Product::SeawallBlind];
    let fleet = Fleet::of(&products, &scene.folder, Some(&scene.program))?;
    let mut lines = Vec::new();
    for (what, protocol) in CASES {
        let load = Load { protocol, path: "/1k.html", duration: RUN };
        let mut costs: [Vec<f64>; 2] = Default::default();
        for pair in 0..PAIRS {
            for turn in 0..2 {
                let which = (pair + turn) % 2;
                costs[which].push(load.run(&fleet.servers[which])?);
            }
        }
        let [with, without] = costs;
        // Neighbours in time share their noise.
        let differences: Vec<f64> = with.iter().zip(&without).map(|(a, b)| a - b).collect();
        let found = Spread::of(&differences);
        let (low, high) = median_interval(&differences);
        let note = format!(
            "{} us with it, {} us without; difference {found}, 95 % sure that its median is {low:.2} to {high:.2}",
            Spread::of(&with),
            Spread::of(&without)
        );
        lines.push(Line::new(what, found.median, "us", Bar::AtMost(BAR_US)).note(note));
    }
    Ok(lines)
}
