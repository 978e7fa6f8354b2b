//! The record of an incident in virtual time, on a disk in memory that breaks where it is told to.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall_control::{
    ControlLoop, ControllerConfig, Entry as Recorded, Incident, IncidentId, Step,
};
use seawall_detect::{Counts, DetectorConfig, Finding, SiteRates, TrafficState, Verdict, Window};
use seawall_model::{
    Attribute, Attributes, Cause, ClientAddr, Instant, Met, MitigationId, Observation, Referrer,
    RequestKind, Rung, Standing, Test, WallTime, Work,
};
use seawall_report::{ClockOffset, Entry, Moment, Node, RecordVerifier};
use seawall_seal::SigningKey;

use super::disk::{Disk, Kept, RecordFile};
use super::story::{About, Output, Seen, Story, Surroundings};
use super::vouched::Vouched;
use super::writer::Writer;
use super::{keep, rows};

mod addresses;
mod notes;
mod readers;
mod retention;
mod stamps;
mod vouched;

const SEED: [u64; 2] = [3, 4];
const BEGAN_S: u64 = 1_795_341_600;

struct Nobody;

impl Surroundings for Nobody {
    fn is_shared(&self, client: ClientAddr) -> bool {
        client.ip() == IpAddr::from([203, 0, 113, 200])
    }

    fn configuration(&self) -> (Vec<String>, Option<String>) {
        (vec!["example.org".to_owned()], Some("c0".repeat(32)))
    }

    fn clock(&self) -> Option<ClockOffset> {
        let (offset_ms, error_ms) = (-0.25, 1.5);
        Some(ClockOffset { offset_ms, error_ms, source: "kernel".to_owned() })
    }

    fn describe(&self, _: ClientAddr) -> (Option<String>, Vec<String>) {
        (Some("AS64500".to_owned()), Vec::new())
    }

    fn node(&mut self) -> Option<Node> {
        None
    }
}

fn page(client: [u8; 4]) -> Observation {
    let mut attributes = Attributes::default();
    for attribute in Attribute::ALL {
        attributes.set(attribute, 1_000 + attribute.index() as u32);
    }
    Observation {
        at: Instant::default(),
        client: ClientAddr::new(IpAddr::V4(Ipv4Addr::from(client))),
        port: 40_000,
        is_tor: false,
        is_late: false,
        identity: u64::from(u32::from_be_bytes(client)),
        standing: Standing::Anonymous,
        attributes,
        kind: RequestKind::Page,
        target: 7,
        referrer: Referrer::None,
        returned_cookie: false,
        is_recognised: false,
        is_cacheable: true,
        status: 200,
        cause: Cause::Default,
        work: Work::Held,
        met: None,
        test: Test::None,
    }
}

fn blocked(client: [u8; 4]) -> Observation {
    let met = Some(Met { id: MitigationId(1), rung: Rung::Block, is_control: false });
    Observation {
        status: 429,
        cause: Cause::SignatureBlock,
        work: Work::Spared,
        met,
        ..page(client)
    }
}

/// A shield in virtual time: what is observed, and what control would say.
struct Shield {
    story: Story,
    vouched: Arc<Vouched>,
    control: ControlLoop,
    window: Window,
    ticks: u64,
    opened: u64,
    incidents: u32,
}

impl Shield {
    fn new() -> Self {
        let about = About {
            run: "0abc00000001".to_owned(),
            retention: Duration::from_secs(86_400),
            destination: Some(SocketAddr::from(([203, 0, 113, 10], 443))),
            ..About::default()
        };
        let (detect, control) = (DetectorConfig::default(), ControllerConfig::default());
        let vouched = Arc::new(Vouched::new(SEED));
        Self {
            story: Story::with_vouched(about, SEED, Arc::clone(&vouched)),
            vouched,
            control: ControlLoop::new(detect, control, SEED),
            window: Window::new(SEED),
            ticks: 0,
            opened: 0,
            incidents: 0,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(1) + Window::LENGTH * self.ticks as u32
    }

    fn wall(&self) -> WallTime {
        WallTime::from_unix_secs(BEGAN_S) + Window::LENGTH * self.ticks as u32
    }

    fn see(&mut self, seen: Observation) {
        let at = self.now();
        let _ = self.window.observe(&Observation { at, ..seen });
    }

    fn incident(&self) -> Incident {
        let since_wall = WallTime::from_unix_secs(BEGAN_S) + Window::LENGTH * self.opened as u32;
        Incident {
            id: IncidentId(self.incidents),
            since: Instant::from_nanos(1) + Window::LENGTH * self.opened as u32,
            since_wall,
            until: self.now(),
            verdict: Verdict::Attack,
            requests: 1,
            excess: 1,
            matched: 1,
        }
    }

    /// Ends a quarter of a second, with steps of an incident in it.
    fn tick(&mut self, steps: &[Step]) -> Vec<Output> {
        self.ticks += 1;
        let (at, wall) = (self.now(), self.wall());
        let incident = Some(IncidentId(self.incidents));
        let happened: Vec<_> =
            steps.iter().map(|&step| Recorded { at, wall, incident, step }).collect();
        let is_open = self.story.is_open() || steps.contains(&Step::Opened);
        let attack = TrafficState::Alarmed(Verdict::Attack);
        let finding = Finding {
            at,
            wall,
            state: if is_open { attack } else { TrafficState::Normal },
            alarms: Vec::new(),
            unsure: Vec::new(),
            log_odds: 0.0,
            counts: Counts { new_clients: 0, ..*self.window.counts() },
            met: self.window.tallies().counts().to_vec(),
            rates: SiteRates { requests_expected: 3.0, ..SiteRates::default() },
            baseline_clients: 0,
            candidates: Vec::new(),
        };
        let (window, control) = (&self.window, &self.control);
        let seen = Seen { finding: &finding, window, happened: &happened, control };
        let out = self.story.tick(&seen, &mut Nobody);
        self.window.clear();
        out
    }

    fn open(&mut self) -> Vec<Output> {
        self.opened = self.ticks + 1;
        self.incidents += 1;
        self.tick(&[Step::Opened, Step::Judged(Verdict::Attack)])
    }

    fn close(&mut self) -> Vec<Output> {
        let closed = Step::Closed(self.incident());
        self.tick(&[closed])
    }
}

fn entries(out: &[Output]) -> impl Iterator<Item = &Entry> {
    out.iter().filter_map(|it| match it {
        Output::Line(entry) | Output::Addresses(_, entry) => Some(&**entry),
        _ => None,
    })
}

/// Five minutes of peace, so many of attack, and a minute of quiet.
fn incident(minutes: u64, mut each: impl FnMut(&mut Shield, bool)) -> Vec<Output> {
    let (mut shield, mut out) = (Shield::new(), Vec::new());
    for _ in 0..5 * 240 {
        each(&mut shield, false);
        out.extend(shield.tick(&[]));
    }
    out.extend(shield.open());
    for _ in 0..minutes * 240 {
        each(&mut shield, true);
        out.extend(shield.tick(&[]));
    }
    out.extend(shield.close());
    (0..8).for_each(|_| out.extend(shield.tick(&[])));
    out
}

#[test]
fn an_incident_is_recorded_from_before_it_began_to_its_end_without_a_lost_second() {
    let out = incident(3, |shield, _| shield.see(page([192, 0, 2, 1])));
    let Some(Output::Begin(begin)) = out.first() else { panic!("it begins") };
    assert_eq!(begin.incident, "20261122T100500Z-0abc");
    assert_eq!(begin.recorded_from.unix_s(), BEGAN_S);
    // As it is when the incident begins: a reload may have changed it.
    assert_eq!(begin.sites, ["example.org"]);
    assert_eq!(begin.config_sha256, Some("c0".repeat(32)));
    assert_eq!(begin.clock.as_ref().map(|clock| clock.offset_ms), Some(-0.25));
    let seconds: Vec<u64> = entries(&out)
        .filter_map(|entry| match entry {
            Entry::Second(second) => Some(second.at.unix_s() - BEGAN_S),
            _ => None,
        })
        .collect();
    assert!(seconds.iter().copied().eq(0..480 + 1), "{seconds:?}");
    assert!(matches!(entries(&out).last(), Some(Entry::End(_))));
    assert_eq!(out.iter().filter(|it| **it == Output::Seal).count(), 1 + 3 + 1);
    let requests: u64 = entries(&out)
        .filter_map(|entry| match entry {
            Entry::Second(second) => Some(second.requests),
            _ => None,
        })
        .sum();
    assert_eq!(requests, 5 * 240 + 3 * 240);
}

#[test]
fn a_network_is_of_tor_if_most_of_what_came_from_it_came_through_exits() {
    let out = incident(1, |shield, is_attack| {
        if is_attack {
            let exit = |client| Observation { is_tor: true, ..blocked(client) };
            shield.see(exit([203, 0, 113, 7]));
            shield.see(exit([203, 0, 113, 8]));
            shield.see(blocked([203, 0, 113, 9]));
            shield.see(exit([198, 51, 100, 7]));
            shield.see(blocked([198, 51, 100, 8]));
            shield.see(blocked([198, 51, 100, 9]));
        }
    });
    let mut marks = BTreeMap::new();
    for entry in entries(&out) {
        if let Entry::Source(it) = entry {
            marks.insert(it.prefix.clone(), it.marks.clone());
        }
    }
    let tor = vec!["tor".to_owned()];
    let want = [("198.51.100.0/24".to_owned(), vec![]), ("203.0.113.0/24".to_owned(), tor)];
    assert_eq!(marks, BTreeMap::from(want));
}

#[test]
fn what_mitigations_met_is_told_each_second_and_after_ten_minutes_each_thirty_without_a_loss() {
    let out = incident(12, |shield, is_attack| {
        if is_attack {
            shield.see(blocked([203, 0, 113, 7]));
        }
    });
    let met: Vec<(u64, u64)> = entries(&out)
        .filter_map(|entry| match entry {
            Entry::Second(second) => Some((second.at.unix_s() - BEGAN_S, &second.met)),
            _ => None,
        })
        .filter_map(|(at, met)| Some((at, met.first()?.matched)))
        .collect();
    assert_eq!(met.iter().map(|(_, matched)| matched).sum::<u64>(), 12 * 240);
    let (each, later): (Vec<_>, Vec<_>) = met.iter().partition(|(at, _)| *at < 300 + 600);
    assert_eq!(each.len(), 600);
    assert!(each.iter().all(|(_, matched)| *matched <= 4), "{each:?}");
    assert!((4..=5).contains(&later.len()), "{later:?}");
    assert!(later.iter().all(|(_, matched)| *matched <= 120), "{later:?}");
}

/// Rows are of what speaks against somebody alone; of all others there are counts.
#[track_caller]
fn check_rows(out: &[Output]) {
    let mut kinds = [0; 2];
    for entry in entries(out) {
        match entry {
            Entry::Row(row) => {
                assert!(!row.is_clean(), "{row:?}");
                kinds[0] += 1;
            }
            Entry::Clean(clean) => kinds[1] += clean.rows,
            _ => {}
        }
    }
    assert!(kinds.iter().all(|count| *count > 100), "{kinds:?}");
}

#[test]
fn of_readers_there_are_counts_and_no_addresses() {
    let reader = |n: u64| [100 + (n % 100) as u8, (n / 100) as u8, 77, (n % 251) as u8];
    let mut number = 0;
    let out = incident(2, |shield, is_attack| {
        for _ in 0..8 {
            number += 1;
            let n = number % 1_000;
            // Some met the flood's signature and passed the test, or are known.
            let seen = page(reader(n));
            let met = blocked(reader(n)).met;
            shield.see(match n % 4 {
                0 => Observation { standing: Standing::AgedReader, met, ..seen },
                1 => Observation { test: Test::Passed, met, ..seen },
                2 => Observation {
                    is_recognised: true,
                    status: 429,
                    cause: Cause::HeldBudget,
                    ..seen
                },
                _ => seen,
            });
        }
        if is_attack {
            for bot in 0..4 {
                shield.see(blocked([203, 0, 113, bot]));
            }
            shield.see(blocked([203, 0, 113, 200]));
            shield.see(Observation { is_tor: true, ..blocked([203, 0, 113, 201]) });
            shield.see(blocked([203, 0, 113, 202]));
            shield.see(Observation { standing: Standing::SignedIn, ..page([203, 0, 113, 202]) });
        }
    });
    let text: String = out
        .iter()
        .map(|it| match it {
            Output::Begin(begin) => serde_json::to_string(begin).expect("JSON"),
            Output::Line(entry) | Output::Addresses(_, entry) => {
                serde_json::to_string(entry).expect("JSON")
            }
            _ => String::new(),
        })
        .collect();
    // Whatever looks like an address, in quotes or not.
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let found: HashSet<&str> = text.split(|c| !is_part(c)).collect();
    assert!(found.contains("203.0.113.0"));
    for n in 0..1_000 {
        let [a, b, c, d] = reader(n);
        assert!(!found.contains(&*format!("{a}.{b}.{c}.{d}")), "reader {n}");
        assert!(!found.contains(&*format!("{a}.{b}.{c}.0")), "network of reader {n}");
    }
    let told: HashSet<String> = entries(&out)
        .filter_map(|entry| match entry {
            Entry::Addresses(told) => Some(&told.addresses),
            _ => None,
        })
        .flatten()
        .map(|address| address.address.clone())
        .collect();
    let want = (0..4).map(|bot| format!("203.0.113.{bot}")).collect();
    assert_eq!(told, want, "neither a shared one, nor an exit of Tor, nor who signed in");
    assert!(text.contains("\"prefix\":\"203.0.113.0/24\""));
    check_rows(&out);
}

#[test]
fn where_an_address_connected_to_is_told_of_who_connected_itself() {
    let out = incident(1, |shield, is_attack| {
        for port in [0, 40_000].into_iter().filter(|_| is_attack) {
            let last = if port == 0 { 8 } else { 9 };
            shield.see(Observation { port, ..blocked([203, 0, 113, last]) });
        }
    });
    let told: HashSet<_> = entries(&out)
        .filter_map(|entry| if let Entry::Addresses(told) = entry { Some(told) } else { None })
        .flat_map(|told| &told.addresses)
        .map(|told| (told.address.as_str(), told.destination.as_deref()))
        .collect();
    let want = [("203.0.113.8", None), ("203.0.113.9", Some("203.0.113.10:443"))];
    assert_eq!(told, want.into());
}

#[test]
fn an_address_is_told_once_twenty_refusals_were_seen() {
    for (refusals, is_told) in [(19, false), (20, true)] {
        let mut left = refusals;
        let out = incident(1, |shield, is_attack| {
            if is_attack && left > 0 {
                left -= 1;
                shield.see(blocked([203, 0, 113, 9]));
                // To be tested is to be given a way in.
                let test = Observation { test: Test::Set, ..blocked([203, 0, 113, 9]) };
                shield.see(test);
            }
        });
        let told = entries(&out).any(|entry| matches!(entry, Entry::Addresses(_)));
        assert_eq!(told, is_told, "{refusals}");
    }
}

#[test]
fn rows_last_for_a_month_and_are_never_more_than_fifty_thousand() {
    let ring = rows::IN_PEACE * 240.0 * 15.0;
    let minute = |number: u64| rows::of_incident(number) * 240.0;
    let of = |minutes: u64| ring + (0..minutes).map(minute).sum::<f64>();
    assert!(of(30 * 1_440) < rows::MAX_ROWS as f64, "{}", of(30 * 1_440));
    assert!(minute(540) > 9.0 && minute(0) > 499.0);
    assert!((20_000.0..25_000.0).contains(&of(540)), "{}", of(540));
}

#[test]
fn rows_of_a_record_say_how_many_requests_there_were() {
    // 800 requests in a tick, of which 512 stay in the sample, and two in the record.
    let mut n = 0_u32;
    let out = incident(4, |shield, is_attack| {
        for _ in 0..if is_attack { 800 } else { 0 } {
            n += 1;
            let [_, b, c, d] = n.to_be_bytes();
            shield.see(blocked([10 + b, c, d, 1]));
        }
    });
    let sum: f64 = entries(&out)
        .filter_map(|entry| match entry {
            Entry::Row(row) => Some(1.0 / row.p),
            _ => None,
        })
        .sum();
    let rows = entries(&out).filter(|entry| matches!(entry, Entry::Row(_))).count();
    let truth = f64::from(n);
    assert!((1_200..2_000).contains(&rows), "{rows}");
    assert!((sum / truth - 1.0).abs() < 0.02, "{sum} of {truth}");
}

/// Files in memory. Each operation counts; those in `faults` fail, a write after half of it.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    files: BTreeMap<String, Vec<u8>>,
    done: u64,
    faults: std::ops::Range<u64>,
    /// From this operation on nothing happens any more: the program was killed.
    killed_at: Option<u64>,
}

impl Inner {
    fn step(&mut self) -> io::Result<()> {
        self.done += 1;
        if self.killed_at.is_some_and(|at| self.done > at) {
            return Err(io::Error::other("killed"));
        }
        if self.faults.contains(&self.done) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

/// Ends the name of what is written beside a record.
const BESIDE: &str = ".new";

struct InMemory(Memory, String);

impl Disk for Memory {
    fn create(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>> {
        let mut inner = self.0.lock();
        inner.step()?;
        inner.files.insert(incident.to_owned(), Vec::new());
        Ok(Box::new(InMemory(self.clone(), incident.to_owned())))
    }

    fn reopen(&mut self, incident: &str, len: u64) -> io::Result<Box<dyn RecordFile>> {
        let mut inner = self.0.lock();
        inner.step()?;
        inner.files.get_mut(incident).expect("it is there").truncate(len as usize);
        Ok(Box::new(InMemory(self.clone(), incident.to_owned())))
    }

    fn list(&mut self) -> io::Result<Vec<Kept>> {
        let inner = self.0.lock();
        let records = inner.files.iter().filter(|(name, _)| !name.ends_with(BESIDE));
        let kept = records.map(|(incident, bytes)| {
            let is_pinned = incident.ends_with("-pinn");
            let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Kept::new(incident.clone(), bytes.len() as u64, is_pinned, first)
        });
        Ok(kept.collect())
    }

    fn read(&mut self, incident: &str, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let bytes = self.0.lock().files[incident].clone();
        bytes.chunks(777).for_each(each);
        Ok(())
    }

    fn remove(&mut self, incident: &str) -> io::Result<()> {
        self.0.lock().files.remove(incident);
        Ok(())
    }

    fn beside(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>> {
        let mut inner = self.0.lock();
        inner.step()?;
        let name = format!("{incident}{BESIDE}");
        inner.files.insert(name.clone(), Vec::new());
        Ok(Box::new(InMemory(self.clone(), name)))
    }

    fn replace(&mut self, incident: &str) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.step()?;
        let beside = inner.files.remove(&format!("{incident}{BESIDE}")).expect("it was written");
        inner.files.insert(incident.to_owned(), beside);
        Ok(())
    }

    fn discard(&mut self, incident: &str) -> io::Result<()> {
        self.0.lock().files.remove(&format!("{incident}{BESIDE}"));
        Ok(())
    }
}

impl RecordFile for InMemory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.0.0.lock();
        let stepped = inner.step();
        let is_after = inner.killed_at.is_some_and(|at| inner.done > at + 1);
        let count = match stepped {
            Ok(()) => bytes.len(),
            Err(_) if is_after => 0,
            Err(_) => bytes.len() / 2,
        };
        inner.files.get_mut(&self.1).expect("it is there").extend(&bytes[..count]);
        stepped
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.0.lock().step()
    }
}

fn writer(disk: &Memory, key: &Arc<SigningKey>) -> Writer<Memory> {
    Writer::new(disk.clone(), Arc::clone(key), Arc::default(), 1 << 30)
}

fn verified(bytes: &[u8], key: &SigningKey) -> Vec<Entry> {
    let mut verifier = RecordVerifier::new(Some(key.public()));
    verifier.take(bytes);
    let checked = verifier.finish().expect("it is as it was sealed");
    assert_eq!(checked.complaint(), None);
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Every second from the first to the last is there, or in a gap; the end is there, and what is missing is said.
#[track_caller]
fn check_honest(entries: &[Entry], run: u64) {
    let seconds: HashSet<u64> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Second(second) => Some(second.at.unix_s()),
            _ => None,
        })
        .collect();
    let gaps: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Gap(gap) => Some((gap.from.unix_s(), gap.until.expect("known").unix_s())),
            _ => None,
        })
        .collect();
    let (first, last) = (seconds.iter().min(), seconds.iter().max());
    // Of a record that ended before its first second was written the gap says all, from when the incident began.
    let whole = match (first, last) {
        (Some(first), Some(last)) => *first..=*last,
        _ => BEGAN_S + 10..=BEGAN_S + 10,
    };
    assert!(gaps.iter().all(|(from, _)| *from >= BEGAN_S), "run {run}: {gaps:?}");
    for second in whole {
        // A second is written when the next one has begun.
        let is_said = gaps.iter().any(|(from, until)| (*from..=until + 1).contains(&(second + 1)));
        assert!(seconds.contains(&second) || is_said, "run {run}: {second}, {gaps:?}");
    }
    assert!(matches!(entries.last(), Some(Entry::End(_))), "run {run}");
}

#[test]
fn a_full_disk_or_a_kill_at_any_moment_leaves_a_record_that_is_honest() {
    let key = Arc::new(SigningKey::generate().expect("a key"));
    let mut random = 0x9e37_79b9_u64;
    let mut draw = |below: u64| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut seen = [0; 3];
    for run in 0..200_u64 {
        let disk = Memory::default();
        let from = draw(140);
        let lasts = [1, 2, 5, 40][draw(4) as usize];
        let is_killed = run % 2 == 0;
        {
            let mut inner = disk.0.lock();
            inner.faults = from..from + if run % 3 == 0 { lasts } else { 0 };
            inner.killed_at = is_killed.then(|| draw(160));
        }
        let mut writing = writer(&disk, &key);
        let (mut shield, mut outs) = (Shield::new(), Vec::new());
        for _ in 0..40 {
            shield.see(page([192, 0, 2, 1]));
            outs.push((shield.wall(), shield.tick(&[])));
        }
        outs.push((shield.wall(), shield.open()));
        for _ in 0..2 * 240 {
            shield.see(blocked([203, 0, 113, 5]));
            outs.push((shield.wall(), shield.tick(&[])));
        }
        outs.push((shield.wall(), shield.close()));
        (0..300).for_each(|_| outs.push((shield.wall(), shield.tick(&[]))));
        for (at, out) in outs {
            writing.take(at.into(), out);
        }
        drop(writing);
        {
            let mut inner = disk.0.lock();
            (inner.killed_at, inner.faults) = (None, 0..0);
        }
        // The next start.
        let mut again = writer(&disk, &key);
        keep::end_interrupted(&mut again, shield.wall().into());
        let files = disk.0.lock().files.clone();
        for bytes in files.values() {
            if bytes.contains(&b'\n') {
                let entries = verified(bytes, &key);
                check_honest(&entries, run);
                seen[0] += 1;
                let has = |why: &str| {
                    entries.iter().any(|it| matches!(it, Entry::Gap(gap) if gap.why == why))
                };
                seen[1] += u32::from(has("killed"));
                let is_fault = |it: &Entry| matches!(it, Entry::Fault(it) if it.part == "record");
                seen[2] += u32::from(entries.iter().any(is_fault) || has("disk_full"));
            }
        }
    }
    assert!(seen[0] > 180 && seen[1] > 50 && seen[2] > 15, "all of it happened: {seen:?}");
}

#[test]
fn a_clock_that_is_set_back_while_the_disk_is_full_delays_nothing() {
    let key = Arc::new(SigningKey::generate().expect("a key"));
    let disk = Memory::default();
    let mut writing = writer(&disk, &key);
    let mut shield = Shield::new();
    disk.0.lock().faults = 0..2;
    let opened = shield.open();
    let now = Moment::from(shield.wall());
    writing.take(now, opened);
    assert!(writing.is_in_trouble());
    writing.turn(now.plus_ms(500));
    assert!(writing.is_in_trouble(), "it waits for a second");
    writing.turn(Moment::from_unix_ms(now.unix_ms() - 86_400_000));
    assert!(!writing.is_in_trouble());
}

#[test]
fn what_does_not_fit_into_memory_while_the_disk_is_full_is_a_gap() {
    let key = Arc::new(SigningKey::generate().expect("a key"));
    let disk = Memory::default();
    let mut writing = writer(&disk, &key);
    let mut shield = Shield::new();
    let opened = shield.open();
    writing.take(shield.wall().into(), opened);
    disk.0.lock().faults = 0..u64::MAX;
    // Four sources in a tick fill a minute's rows; five hours of seconds fill the memory.
    for _ in 0..5 * 3_600 * 4 {
        let out = shield.tick(&[]);
        writing.take(shield.wall().into(), out);
    }
    assert!(writing.is_in_trouble());
    disk.0.lock().faults = 0..0;
    for _ in 0..70 * 4 {
        let out = shield.tick(&[]);
        writing.take(shield.wall().into(), out);
    }
    assert!(!writing.is_in_trouble());
    for out in [shield.close(), (0..8).flat_map(|_| shield.tick(&[])).collect()] {
        writing.take(shield.wall().into(), out);
    }
    let files = disk.0.lock().files.clone();
    let entries = verified(files.values().next().expect("one"), &key);
    check_honest(&entries, 0);
    let gap = entries.iter().find_map(|entry| match entry {
        Entry::Gap(gap) => Some(gap),
        _ => None,
    });
    assert_eq!(gap.expect("said").why, "disk_full");
}
