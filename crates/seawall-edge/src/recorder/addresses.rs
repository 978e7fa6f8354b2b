//! Full addresses of who was refused again and again: the only part of a record that has any.
//!
//! An address is told once 20 refusals of it were *seen in the sample*, if nothing speaks for anybody behind it: no
//! credential, no passed test, no exit of Tor, no address that many share. What speaks for somebody later strikes it: the lines
//! that told it are taken out of the record, and what else they told is told again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use seawall_detect::{Sample, is_refused};
use seawall_model::{ClientAddr, Instant, Observation, Test, WallTime};
use seawall_report::{Address, Moment};

use super::rows::moment;
use super::vouched::Vouched;

/// Refusals that have to be seen before an address is told.
pub(super) const LEAST: u64 = 20;

/// The table: 32,768 addresses, 11 MB when it is full.
#[derive(Debug)]
pub(super) struct Refused {
    all: HashMap<IpAddr, Known>,
    vouched: Arc<Vouched>,
    /// Which line told whom, by a number that is given once; of those that stand.
    groups: BTreeMap<u64, Vec<IpAddr>>,
    next_group: u64,
    /// Who is to be told again, because the line goes that told it.
    again: Vec<IpAddr>,
    /// Refusals of addresses for which there was no room.
    pub(super) lost: u64,
}

#[derive(Debug)]
struct Known {
    ports: Vec<u16>,
    /// The first of them, with their times.
    seen: Vec<(u16, Moment, Moment)>,
    first: Moment,
    last: Moment,
    refused: u64,
    mitigations: Vec<u32>,
    /// Refusals when it was written last; 0: never.
    told: u64,
}

impl Refused {
    pub(super) fn new(vouched: Arc<Vouched>) -> Self {
        Self {
            all: HashMap::new(),
            vouched,
            groups: BTreeMap::new(),
            next_group: 0,
            again: Vec::new(),
            lost: 0,
        }
    }

    /// Takes note of everybody for whom something speaks. In peace, too: who read yesterday is not told today.
    pub(super) fn hear(&mut self, sample: &Sample, now: Instant) {
        self.vouched.turn(now);
        sample.rows().iter().for_each(|row| self.vouched.hear_row(row));
    }

    /// Takes in what a tick saw while an incident goes on. `now` and `wall` are the same moment on two clocks.
    pub(super) fn add(&mut self, sample: &Sample, now: (Instant, WallTime)) {
        for row in sample.rows().iter().filter(|row| row.test != Test::Set && is_refused(row)) {
            if !self.vouched.contains(row.client) {
                self.add_row(row, moment(row, now));
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
                seen: Vec::new(),
                first: at,
                last: at,
                refused: 0,
                mitigations: Vec::new(),
                told: 0,
            }),
        };
        // A sample is in no order.
        (known.first, known.last) = (known.first.min(at), known.last.max(at));
        known.refused += 1;
        if row.port != 0 {
            known.see(row.port, at);
        }
        if let Some(met) = row.met
            && known.mitigations.len() < MAX_PORTS
            && !known.mitigations.contains(&met.id.0)
        {
            known.mitigations.push(met.id.0);
        }
    }

    /// Whom something speaks for by now is forgotten; the groups that told any of them are struck, and their other members
    /// are due again. `is_shared` asks what is known of an address by now.
    pub(super) fn strike(&mut self, is_shared: impl Fn(ClientAddr) -> bool) -> Vec<u64> {
        let vouched = &self.vouched;
        self.all.retain(|ip, known| {
            let client = ClientAddr::new(*ip);
            !vouched.contains(client) && (known.told == 0 || !is_shared(client))
        });
        let all = &self.all;
        let struck =
            self.groups.extract_if(.., |_, told| told.iter().any(|ip| !all.contains_key(ip)));
        let (groups, told): (Vec<_>, Vec<_>) = struck.unzip();
        for ip in told.into_iter().flatten() {
            if let Some(known) = self.all.get_mut(&ip)
                && known.told > 0
            {
                known.told = 0;
                self.again.push(ip);
            }
        }
        groups
    }

    /// Those to be told now, as groups with their numbers: who has to be told again, new ones, and those with twice as many
    /// refusals as when they were told; at the end all that changed. Of the latter at most `most`, the most refused first.
    pub(super) fn due(
        &mut self,
        most: usize,
        is_last: bool,
        is_shared: impl Fn(ClientAddr) -> bool,
    ) -> Vec<(u64, Vec<Address>)> {
        let again: HashSet<IpAddr> = self.again.drain(..).collect();
        let factor = if is_last { 1 } else { 2 };
        let mut due: Vec<(bool, u64, IpAddr)> = self
            .all
            .iter()
            .filter(|(_, known)| {
                known.refused >= LEAST && known.refused > factor * known.told.max(1) - 1
            })
            .filter(|(_, known)| known.refused > known.told)
            .map(|(ip, known)| (again.contains(ip), known.refused, *ip))
            .collect();
        due.sort_unstable_by(|one, other| other.cmp(one));
        let mut told = Vec::new();
        for (_, _, ip) in due {
            if told.len() >= most + again.len() {
                break;
            }
            let client = ClientAddr::new(ip);
            if self.vouched.contains(client) {
                self.all.remove(&ip);
            } else if is_shared(client) {
                self.vouched.insert(client);
                self.all.remove(&ip);
            } else if let Some(known) = self.all.get_mut(&ip) {
                known.told = known.refused;
                told.push((ip, known.line(ip)));
            }
        }
        let groups = told.chunks(OF_GROUP).map(|told| {
            self.next_group += 1;
            self.groups.insert(self.next_group, told.iter().map(|(ip, _)| *ip).collect());
            (self.next_group, told.iter().map(|(_, address)| address.clone()).collect())
        });
        groups.collect()
    }

    /// The incident is over: who was refused is forgotten, who was vouched for is not.
    pub(super) fn forget(&mut self) {
        self.all = HashMap::new();
        (self.groups, self.again) = (BTreeMap::new(), Vec::new());
        self.lost = 0;
    }
}

impl Known {
    /// A port with its times: a provider looks up who had it when.
    fn see(&mut self, port: u16, at: Moment) {
        if self.ports.len() < MAX_PORTS && !self.ports.contains(&port) {
            self.ports.push(port);
        }
        let has_room = self.seen.len() < MAX_TIMED_PORTS;
        match self.seen.iter_mut().find(|seen| seen.0 == port) {
            Some(seen) => (seen.1, seen.2) = (seen.1.min(at), seen.2.max(at)),
            None if has_room => self.seen.push((port, at, at)),
            None => {}
        }
    }

    fn line(&self, ip: IpAddr) -> Address {
        let mut address = Address {
            address: ip.to_string(),
            ports: self.ports.clone(),
            first_seen: self.first,
            last_seen: self.last,
            refused: self.refused,
            mitigations: self.mitigations.clone(),
            ..Address::default()
        };
        address.set_seen(&self.seen);
        address
    }
}

/// Addresses in a line: at most 100 kB.
const OF_GROUP: usize = 256;
const MAX_ADDRESSES: usize = 32_768;
const MAX_PORTS: usize = 8;
/// A complaint needs one. In a record of nine hours, which tells 20,000 addresses, each is half a megabyte.
const MAX_TIMED_PORTS: usize = 2;
