//! The incident record: what the watch sees, written down so that a stranger can check it.
//!
//! Three parts. `story` turns ticks into lines and knows no file; `writer` has a thread of its own, takes lines through a
//! bounded channel and copes with whatever the disk does; between them is this, on the watcher's thread, which never waits:
//! what does not fit into the channel is counted, and a `gap` says so. It deliberately does **not** decide anything: what
//! is recorded changes nothing for anybody who asks for a page.

mod addresses;
mod authority;
mod clean;
mod disk;
mod keep;
mod node;
mod notes;
mod reconstruction;
mod rows;
mod seconds;
mod sources;
mod stamps;
mod story;
mod thread;
mod vouched;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::thread::JoinHandle;

use seawall_control::Incident;
use seawall_decide::Whence;
use seawall_model::ClientAddr;
use seawall_report::{ClockOffset, Entry, Gap, Lost, Moment, Node, OriginHealth};

pub use self::authority::{AskError, ask_for_stamp};
use self::node::Machine;
use self::notes::Asked;
pub(crate) use self::notes::Notes;
pub use self::reconstruction::{Reconstruction, Recorded};
pub use self::story::{About, Output, Seen, Story, Surroundings};
pub(crate) use self::thread::start;
pub use self::vouched::Vouched;
pub(crate) use self::writer::Counters;
use crate::clock;
use crate::gates;
use crate::metrics::Sample;
use crate::shared::Shared;

/// The watcher's end of it.
pub(crate) struct Recorder {
    story: Story,
    around: Around,
    sender: SyncSender<Message>,
    counters: Arc<Counters>,
    thread: JoinHandle<()>,
    /// The beginning of a record that did not fit into the channel.
    kept: Vec<Output>,
    lost: Option<(Moment, u64)>,
}

/// What the thread that writes is told.
enum Message {
    Lines(Batch),
    Note(Asked),
}

/// Lines of one tick.
pub(super) struct Batch {
    at: Moment,
    outputs: Vec<Output>,
}

impl Recorder {
    /// Takes in a tick. Never waits.
    pub(crate) fn tick(&mut self, seen: &Seen<'_>) {
        let outputs = self.story.tick(seen, &mut self.around);
        self.send(outputs);
    }

    /// The watch broke down, and knows of no incident any more: the record of the one there was ends.
    pub(crate) fn broke_down(&mut self) {
        let outputs = self.story.broke_down(clock::wall().into());
        self.send(outputs);
    }

    /// The program ends, while `incident` goes on if there is one. Returns when all is on the disk, or cannot be.
    pub(crate) fn finish(mut self, incident: Option<&Incident>) {
        let mut outputs = std::mem::take(&mut self.kept);
        outputs.extend(self.story.finish(incident, &mut self.around));
        if !outputs.is_empty() {
            // There is nothing left that could be held up by waiting for room.
            let _ = self.sender.send(Message::Lines(Batch { at: clock::wall().into(), outputs }));
        }
        self.around.shared.notes.close();
        drop(self.sender);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes the incident record broke down");
        }
    }

    fn send(&mut self, outputs: Vec<Output>) {
        let mut outputs = [std::mem::take(&mut self.kept), outputs].concat();
        if outputs.is_empty() {
            return;
        }
        let now = Moment::from(clock::wall());
        if let Some((from, lost)) = self.lost {
            let detail = format!("{lost} lines were lost: the writer was not fast enough");
            let gap = Gap { from, until: Some(now), why: "overload".to_owned(), detail };
            let place = outputs.iter().position(|it| matches!(it, Output::Begin(_)));
            outputs.insert(place.unwrap_or(0), Output::Line(Box::new(Entry::Gap(gap))));
        }
        match self.sender.try_send(Message::Lines(Batch { at: now, outputs })) {
            Ok(()) => self.lost = None,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => {
                if let Message::Lines(batch) = message {
                    self.hold(now, batch.outputs);
                }
            }
        }
    }

    /// Keeps the beginning of a record, without which the rest is nothing; the rest is lost.
    fn hold(&mut self, now: Moment, mut outputs: Vec<Output>) {
        // That somebody was vouched for is not lost.
        let strikes = outputs.extract_if(.., |output| matches!(output, Output::Strike(_)));
        let strikes: Vec<Output> = strikes.collect();
        if matches!(outputs.first(), Some(Output::Begin(_))) {
            let rest = outputs.split_off(outputs.len().min(MAX_HELD));
            self.kept = outputs;
            outputs = rest;
        }
        self.kept.extend(strikes);
        let lost = outputs.len() as u64;
        if lost > 0 {
            self.counters.lost.fetch_add(lost, Ordering::Relaxed);
            let (from, before) = self.lost.unwrap_or((now, 0));
            self.lost = Some((from, before + lost));
        }
    }
}

/// What the shield knows besides.
pub(super) struct Around {
    shared: Arc<Shared>,
    machine: Machine,
    losses: Losses,
}

/// What was lost when it was asked last.
#[derive(Clone, Copy, Debug, Default)]
struct Losses {
    observations: u64,
    lines: u64,
}

impl Around {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, machine: Machine::new(), losses: Losses::default() }
    }

    /// What was lost since the last second.
    fn lost(&mut self) -> Vec<Lost> {
        let now = Losses {
            observations: self.shared.detection.lost(),
            lines: self.shared.evidence.lost.load(Ordering::Relaxed),
        };
        let before = std::mem::replace(&mut self.losses, now);
        let of = |what: &str, now: u64, before: u64| Lost {
            what: what.to_owned(),
            count: now.saturating_sub(before),
        };
        let all = [
            of("observations", now.observations, before.observations),
            of("record_lines", now.lines, before.lines),
        ];
        all.into_iter().filter(|lost| lost.count > 0).collect()
    }
}

impl Surroundings for Around {
    fn is_shared(&self, client: ClientAddr) -> bool {
        let (shared, policy) = (&self.shared, self.shared.policy.load());
        let ip = client.ip();
        let is_listed = policy.config.allow.iter().chain(&policy.config.trusted_proxies);
        shared.budgets.has_readers(Whence { client, asn: None })
            || policy.table.is_tor_exit(ip)
            || policy.table.is_crawler(ip)
            || shared.is_suspected_cdn(ip)
            || is_listed.into_iter().any(|prefix| prefix.contains(ip))
    }

    fn configuration(&self) -> (Vec<String>, Option<String>) {
        let policy = self.shared.policy.load();
        let sites = policy.config.sites.iter().flat_map(|site| site.hosts.clone()).collect();
        (sites, policy.config.file_sha256.clone())
    }

    fn clock(&self) -> Option<ClockOffset> {
        let kept = seawall_kernel::kept_clock().unwrap_or_else(|error| {
            tracing::warn!("what keeps the clock cannot be asked, and no record says how far it is off: {error}");
            None
        })?;
        Some(ClockOffset {
            offset_ms: kept.ahead_ns as f64 / 1e6,
            error_ms: kept.error.as_secs_f64() * 1e3,
            source: "kernel".to_owned(),
        })
    }

    fn describe(&self, client: ClientAddr) -> (Option<String>, Vec<String>) {
        let (shared, policy) = (&self.shared, self.shared.policy.load());
        let country = policy.config.countries.country(client.ip());
        let owner = policy.config.owners.owner(client.ip());
        let registered = owner.map(|owner| match country {
            Some(country) => format!("AS{owner} ({})", country.as_str()),
            None => format!("AS{owner}"),
        });
        let mut marks = Vec::new();
        if shared.budgets.knows_network(client) {
            marks.push("shared".to_owned());
        }
        if policy.config.hosting.holds(client.ip(), owner) {
            marks.push("hosting".to_owned());
        }
        (registered, marks)
    }

    fn node(&mut self) -> Option<Node> {
        let mut node = self.machine.read()?;
        let healthy = self.shared.origin_is_healthy();
        let status = gates::status(&self.shared.policy.load().gates, healthy);
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        node.origin = OriginHealth {
            limit: whole(status.limit),
            in_flight: whole(status.in_flight),
            queued: whole(status.queued),
            oldest_wait_ms: status.oldest_wait_ms,
            healthy,
        };
        node.lost = self.lost();
        Some(node)
    }
}

/// For Prometheus.
pub(crate) fn samples(counters: &Counters) -> Vec<Sample> {
    let counter = |name, help, of: &std::sync::atomic::AtomicU64| {
        Sample::counter(name, help, of.load(Ordering::Relaxed) as f64)
    };
    vec![
        counter(
            "seawall_evidence_lines_total",
            "Lines written into incident records.",
            &counters.lines,
        ),
        counter(
            "seawall_evidence_written_bytes_total",
            "Bytes written into incident records.",
            &counters.bytes,
        ),
        counter(
            "seawall_evidence_lines_lost_total",
            "Lines of incident records that were lost; each record says where.",
            &counters.lost,
        ),
        counter(
            "seawall_evidence_faults_total",
            "Times that the disk did not take an incident record.",
            &counters.faults,
        ),
        counter(
            "seawall_evidence_timestamps_total",
            "Stamps of the time authority that were put into incident records.",
            &counters.stamps,
        ),
        counter(
            "seawall_evidence_timestamp_failures_total",
            "Times that the time authority gave no stamp, or it could not be written.",
            &counters.stamp_failures,
        ),
    ]
}

/// Lines of a beginning: 900 seconds, 1,800 rows, and what happened first.
const MAX_HELD: usize = 4_096;
