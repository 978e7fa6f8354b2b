//! What may be readers': counts of minutes, and no request of them by itself.
//!
//! Of who was vouched for, and of who neither met a mitigation nor was refused, a record says how many there were and what
//! many of them looked like: what a mitigation meets can be judged only beside that. A look is told once five different
//! clients had it within a quarter of an hour; what fewer had is in the sum alone. It has a budget of its own, which is that
//! of a busy first minute: counts take the same room however many requests they are of.

use std::collections::HashMap;

use seawall_detect::Sample;
use seawall_model::{Attribute, Observation};
use seawall_report::{Clean, CleanLook, Moment};

use super::rows::{self, Thinner};

/// The counts since they were told last. Takes 3 MB when it is full.
#[derive(Debug)]
pub(super) struct Readers {
    thinner: Thinner,
    from: Option<Moment>,
    /// Those that met no mitigation, and those that did and were vouched for.
    parts: [Part; 2],
}

#[derive(Debug, Default)]
struct Part {
    rows: u64,
    requests: f64,
    /// By [`Attribute::ALL`].
    looks: [HashMap<u32, Cell>; Attribute::COUNT],
}

/// Those of one look.
#[derive(Debug, Default)]
struct Cell {
    /// Keyed hashes of the first of them.
    clients: [u64; LEAST_CLIENTS],
    different: usize,
    requests: f64,
    /// The minute in which it was seen first, since 1970.
    since: u64,
}

impl Readers {
    /// `random`: from 0 to below 1.
    pub(super) fn new(random: f64) -> Self {
        let (thinner, parts) = (Thinner::new(random), Default::default());
        Self { thinner, from: None, parts }
    }

    /// Takes in a tick that ends at `at`.
    pub(super) fn add(&mut self, sample: &Sample, at: Moment) {
        self.from.get_or_insert(at);
        self.thinner.stir();
        for (row, p) in self.thinner.take(sample, PER_TICK, rows::is_clean) {
            let part = &mut self.parts[usize::from(row.met.is_some())];
            part.rows += 1;
            part.requests += 1.0 / p;
            part.add_looks(row, 1.0 / p, at.unix_s() / 60);
        }
    }

    /// Whether a minute is over at `until`. The clock may have been set back.
    pub(super) fn is_due(&self, until: Moment) -> bool {
        self.from.is_some_and(|from| {
            until < from || until.seconds_since(from) >= rows::SEGMENT.as_secs_f64()
        })
    }

    /// What there is to tell of the time that ends at `until`.
    pub(super) fn tell(&mut self, until: Moment) -> Vec<Clean> {
        let from = self.from.replace(until).unwrap_or(until);
        let told = self.parts.iter_mut().zip([false, true]).map(|(part, met)| {
            let (rows, requests) = (std::mem::take(&mut part.rows), part.requests);
            part.requests = 0.0;
            let looks = if rows > 0 { part.tell_looks() } else { Vec::new() };
            part.forget(until.unix_s() / 60);
            Clean { from, until, met, rows, requests: tenths(requests), looks }
        });
        told.filter(|told| told.rows > 0).collect()
    }
}

impl Part {
    fn add_looks(&mut self, row: &Observation, requests: f64, minute: u64) {
        for attribute in Attribute::ALL {
            // Of readers not even the network is told.
            if attribute == Attribute::Prefix {
                continue;
            }
            let cells = &mut self.looks[attribute.index()];
            let value = row.attributes.value(attribute);
            if cells.len() >= MAX_CELLS && !cells.contains_key(&value) {
                continue;
            }
            let new = || Cell { since: minute, ..Cell::default() };
            let cell = cells.entry(value).or_insert_with(new);
            if cell.different < LEAST_CLIENTS && cell.is_old(minute) {
                *cell = new();
            }
            cell.add(row.identity, requests);
        }
    }

    fn tell_looks(&mut self) -> Vec<CleanLook> {
        let mut looks = Vec::new();
        for attribute in Attribute::ALL {
            let cells = &mut self.looks[attribute.index()];
            let enough = cells.iter().filter(|(_, cell)| cell.different == LEAST_CLIENTS);
            let mut enough: Vec<_> =
                enough.map(|(value, cell)| (*value, tenths(cell.requests))).collect();
            enough
                .sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
            enough.truncate(MAX_TOLD);
            for (value, _) in &enough {
                cells.remove(value);
            }
            let values = enough.into_iter().map(|(value, of)| (rows::hex(value), of));
            let look =
                CleanLook { attribute: attribute.as_str().to_owned(), values: values.collect() };
            looks.extend(Some(look).filter(|look| !look.values.is_empty()));
        }
        looks
    }

    /// What was not told within a quarter of an hour is not told any more.
    fn forget(&mut self, minute: u64) {
        for cells in &mut self.looks {
            cells.retain(|_, cell| !cell.is_old(minute));
        }
    }
}

impl Cell {
    /// Whether it was seen first a quarter of an hour ago, or so much later than now: the clock was set back.
    const fn is_old(&self, minute: u64) -> bool {
        minute.abs_diff(self.since) >= MINUTES
    }

    fn add(&mut self, client: u64, requests: f64) {
        self.requests += requests;
        if self.different < LEAST_CLIENTS && !self.clients[..self.different].contains(&client) {
            self.clients[self.different] = client;
            self.different += 1;
        }
    }
}

/// A tenth of a request: they are estimates, and a record has many minutes.
fn tenths(requests: f64) -> f64 {
    (requests * 10.0).round() / 10.0
}

/// Clients of whom something is told together.
const LEAST_CLIENTS: usize = 5;
/// 600 a minute.
const PER_TICK: f64 = 2.5;
const MINUTES: u64 = 15;
/// Of each attribute, and of either part.
const MAX_CELLS: usize = 1_024;
/// Of each attribute, in a minute: a line has 6 kB at most.
const MAX_TOLD: usize = 16;
