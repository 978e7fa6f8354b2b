//! Where what was refused or met came from, cut to /24 and /48: a table of fixed size.
//!
//! Networks of whom nothing was met or refused are not in it: they are readers'.

use std::collections::HashMap;
use std::net::IpAddr;

use seawall_detect::{Sample, is_refused};
use seawall_model::{ClientAddr, Instant, Observation, WallTime};
use seawall_report::{Moment, Source};

use super::rows::{is_clean, moment, prefix_text};

/// The table. Takes 3 MB when it is full.
#[derive(Debug, Default)]
pub(super) struct Sources {
    all: HashMap<IpAddr, Known>,
    /// Rows of prefixes for which there was no room.
    pub(super) lost: u64,
}

#[derive(Debug)]
struct Known {
    first: Moment,
    last: Moment,
    /// The first address that was seen. It stays in memory: lists are asked for it, because they know networks smaller than
    /// these.
    example: ClientAddr,
    rows: u64,
    tor: u64,
    met: u64,
    refused: u64,
    requests: f64,
    /// A bit for each of 256 places: of a /24 exact, of a /48 counted linearly.
    hosts: [u64; 4],
    mitigations: Vec<u32>,
    /// Rows when it was written last.
    told: u64,
}

impl Sources {
    /// Takes in what a tick has drawn. `now` and `wall` are the same moment on two clocks.
    pub(super) fn add(&mut self, sample: &Sample, now: (Instant, WallTime)) {
        for (row, p) in sample.drawn().filter(|(row, _)| !is_clean(row)) {
            self.add_row(row, p, moment(row, now));
        }
    }

    fn add_row(&mut self, row: &Observation, p: f64, at: Moment) {
        let prefix = row.client.truncated();
        let has_room = self.all.len() < MAX_PREFIXES;
        let known = match self.all.get_mut(&prefix) {
            Some(known) => known,
            None if has_room => {
                self.all.entry(prefix).or_insert_with(|| Known::new(row.client, at))
            }
            None => {
                self.lost += 1;
                return;
            }
        };
        // A sample is in no order.
        (known.first, known.last) = (known.first.min(at), known.last.max(at));
        known.rows += 1;
        known.tor += u64::from(row.is_tor);
        known.refused += u64::from(is_refused(row));
        known.requests += 1.0 / p;
        let host = host(row.client);
        known.hosts[usize::from(host >> 6)] |= 1 << (host & 63);
        if let Some(met) = row.met {
            known.met += 1;
            if known.mitigations.len() < MAX_MITIGATIONS && !known.mitigations.contains(&met.id.0) {
                known.mitigations.push(met.id.0);
            }
        }
    }

    /// The `most` that have the most new rows, as lines; they count as written. `describe` says who registered an
    /// address and what it is known as. A network is marked as Tor's if most of its rows came through exits.
    pub(super) fn changed(
        &mut self,
        most: usize,
        describe: impl Fn(ClientAddr) -> (Option<String>, Vec<String>),
    ) -> Vec<Source> {
        let mut changed: Vec<(u64, IpAddr)> = self
            .all
            .iter()
            .filter(|(_, known)| known.rows > known.told)
            .map(|(prefix, known)| (known.rows - known.told, *prefix))
            .collect();
        changed.sort_unstable_by(|one, other| other.cmp(one));
        changed.truncate(most);
        let line = |(_, prefix): (u64, IpAddr)| {
            let known = self.all.get_mut(&prefix)?;
            known.told = known.rows;
            let (registered, mut marks) = describe(known.example);
            if 2 * known.tor > known.rows {
                marks.push("tor".to_owned());
            }
            Some(known.line(prefix, registered, marks))
        };
        changed.into_iter().filter_map(line).collect()
    }
}

impl Known {
    const fn new(example: ClientAddr, at: Moment) -> Self {
        Self {
            example,
            first: at,
            last: at,
            rows: 0,
            tor: 0,
            met: 0,
            refused: 0,
            requests: 0.0,
            hosts: [0; 4],
            mitigations: Vec::new(),
            told: 0,
        }
    }

    fn line(&self, prefix: IpAddr, registered: Option<String>, marks: Vec<String>) -> Source {
        Source {
            prefix: prefix_text(prefix),
            first_seen: self.first,
            last_seen: self.last,
            rows: self.rows,
            met_rows: self.met,
            refused_rows: self.refused,
            requests: self.requests.round(),
            addresses: self.addresses(prefix.is_ipv4()),
            registered,
            marks,
            mitigations: self.mitigations.clone(),
        }
    }

    fn addresses(&self, is_exact: bool) -> u32 {
        let places: u32 = self.hosts.iter().map(|word| word.count_ones()).sum();
        if is_exact {
            return places;
        }
        // Linear counting (Whang et al. 1990): full is as far as 256 places can tell, about 1,400.
        let empty = f64::from(256 - places).max(1.0);
        (-256.0 * (empty / 256.0).ln()).round() as u32
    }
}

/// The place of an address in its network.
fn host(client: ClientAddr) -> u8 {
    match client.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        // By /64, which is one subscriber; spread, because they count up.
        IpAddr::V6(ip) => {
            let subnet = (ip.to_bits() >> 64) as u64;
            (subnet.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
        }
    }
}

/// Prefixes that are known at once.
const MAX_PREFIXES: usize = 16_384;
const MAX_MITIGATIONS: usize = 8;
