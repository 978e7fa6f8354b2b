//! Full addresses of who was refused again and again: the only part of a record that has any.
//!
//! An address is told once 20 refusals of it were *seen in the sample*, if nothing speaks for anybody behind it: no
//! credential, no passed test, no exit of Tor, no address that many share. Whoever was once spoken for is remembered in a
//! filter that forgets nobody for six hours at least and may only err on the side of telling less.

use std::collections::HashMap;
use std::net::IpAddr;

use seawall_detect::{Sample, is_refused};
use seawall_model::{ClientAddr, Instant, Observation, Standing, Test};
use seawall_report::{Address, Moment};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::time::Duration;

/// Refusals that have to be seen before an address is told.
pub(super) const LEAST: u64 = 20;

/// The table and the filter: 32,768 addresses, 5 MB when it is full, and 256 KiB.
#[derive(Debug)]
pub(super) struct Refused {
    all: HashMap<IpAddr, Known>,
    spoken_for: SpokenFor,
    /// Refusals of addresses for which there was no room.
    pub(super) lost: u64,
}

#[derive(Debug)]
struct Known {
    ports: Vec<u16>,
    first: Moment,
    last: Moment,
    refused: u64,
    mitigations: Vec<u32>,
    /// Refusals when it was written last; 0: never.
    told: u64,
}

impl Refused {
    pub(super) fn new(seed: [u64; 2]) -> Self {
        Self { all: HashMap::new(), spoken_for: SpokenFor::new(seed), lost: 0 }
    }

    /// Takes note of everybody for whom something speaks. In peace, too: who read yesterday is not told today.
    pub(super) fn hear(&mut self, sample: &Sample, now: Instant) {
        self.spoken_for.turn(now);
        for row in sample.rows().iter().filter(|row| is_spoken_for(row)) {
            self.spoken_for.insert(row.client);
            self.all.remove(&row.client.ip());
        }
    }

    /// Takes in what a tick saw while an incident goes on.
    pub(super) fn add(&mut self, sample: &Sample, at: Moment) {
        for row in sample.rows().iter().filter(|row| row.test != Test::Set && is_refused(row)) {
            if !self.spoken_for.contains(row.client) {
                self.add_row(row, at);
            }
        }
    }

    fn add_row(&mut self, row: &Observation, at: Moment) {
        let ip = row.client.ip();
        let is_full = self.all.len() >= MAX_ADDRESSES;
        let known = match self.all.get_mut(&ip) {
            Some(known) => known,
            None if is_full => {
                // What was refused once only goes: a flood of sources must not hide those who stay.
                self.lost += 1;
                if self.lost.is_multiple_of(MAX_ADDRESSES as u64) {
                    self.all.retain(|_, known| known.refused > 1);
                }
                return;
            }
            None => self.all.entry(ip).or_insert_with(|| Known {
                ports: Vec::new(),
                first: at,
                last: at,
                refused: 0,
                mitigations: Vec::new(),
                told: 0,
            }),
        };
        known.last = at;
        known.refused += 1;
        if row.port != 0 && known.ports.len() < MAX_PORTS && !known.ports.contains(&row.port) {
            known.ports.push(row.port);
        }
        if let Some(met) = row.met
            && known.mitigations.len() < MAX_PORTS
            && !known.mitigations.contains(&met.id.0)
        {
            known.mitigations.push(met.id.0);
        }
    }

    /// Those to be told now: new ones, and those with twice as many refusals as when they were told; at the end all
    /// that changed. At most `most`, the most refused first. `is_shared` asks what is known of an address by now.
    pub(super) fn due(
        &mut self,
        most: usize,
        is_last: bool,
        is_shared: impl Fn(ClientAddr) -> bool,
    ) -> Vec<Address> {
        let factor = if is_last { 1 } else { 2 };
        let mut due: Vec<(u64, IpAddr)> = self
            .all
            .iter()
            .filter(|(_, known)| {
                known.refused >= LEAST && known.refused > factor * known.told.max(1) - 1
            })
            .filter(|(_, known)| known.refused > known.told)
            .map(|(ip, known)| (known.refused, *ip))
            .collect();
        due.sort_unstable_by(|one, other| other.cmp(one));
        let mut told = Vec::new();
        for (_, ip) in due {
            if told.len() >= most {
                break;
            }
            let client = ClientAddr::new(ip);
            if is_shared(client) {
                self.spoken_for.insert(client);
                self.all.remove(&ip);
                continue;
            }
            let Some(known) = self.all.get_mut(&ip) else { continue };
            known.told = known.refused;
            told.push(known.line(ip));
        }
        told
    }

    /// The incident is over: who was refused is forgotten, who was spoken for is not.
    pub(super) fn forget(&mut self) {
        self.all = HashMap::new();
        self.lost = 0;
    }
}

impl Known {
    fn line(&self, ip: IpAddr) -> Address {
        Address {
            address: ip.to_string(),
            ports: self.ports.clone(),
            first_seen: self.first,
            last_seen: self.last,
            refused: self.refused,
            destination: None,
            mitigations: self.mitigations.clone(),
        }
    }
}

fn is_spoken_for(row: &Observation) -> bool {
    row.standing != Standing::Anonymous
        || row.is_recognised
        || row.is_tor
        || matches!(row.test, Test::Passed | Test::Carried)
}

/// A Bloom filter of two halves, of which the older is forgotten every six hours.
#[derive(Debug)]
struct SpokenFor {
    seed: [u64; 2],
    halves: [Box<[u64]>; 2],
    turned: Option<Instant>,
}

impl SpokenFor {
    fn new(seed: [u64; 2]) -> Self {
        let empty = || vec![0; BITS / 64].into_boxed_slice();
        Self { seed, halves: [empty(), empty()], turned: None }
    }

    fn turn(&mut self, now: Instant) {
        let turned = *self.turned.get_or_insert(now);
        if now.saturating_since(turned) >= LASTS {
            self.turned = Some(now);
            self.halves.swap(0, 1);
            self.halves[0].fill(0);
        }
    }

    fn insert(&mut self, client: ClientAddr) {
        for bit in self.bits(client) {
            self.halves[0][bit / 64] |= 1 << (bit % 64);
        }
    }

    fn contains(&self, client: ClientAddr) -> bool {
        let has = |half: &[u64]| {
            self.bits(client).into_iter().all(|bit| half[bit / 64] & 1 << (bit % 64) != 0)
        };
        self.halves.iter().any(|half| has(half))
    }

    fn bits(&self, client: ClientAddr) -> [usize; 4] {
        let [key0, key1] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(key0, key1 ^ OTHER);
        // What counts as one client: a /64 is one subscriber.
        hasher.write_u128(client.identity());
        let hash = hasher.finish128();
        [hash.h1, hash.h1 >> 32, hash.h2, hash.h2 >> 32].map(|bits| bits as usize & (BITS - 1))
    }
}

/// Another key than that of other tables with the same seed.
const OTHER: u64 = 0x7ec0_4de4;
/// With 100,000 clients in it one in 150 of all others is taken for one of them, and not told.
const BITS: usize = 1 << 20;
const LASTS: Duration = Duration::from_secs(6 * 3_600);
const MAX_ADDRESSES: usize = 32_768;
const MAX_PORTS: usize = 8;
