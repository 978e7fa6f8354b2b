//! Who broke protocols, by name: a few lines in the log and the last of them in `seawall status`.
//!
//! A flood of offences must not become a flood of lines, nor of locks: of each kind one in a second
//! is told, with how many were not; the rest costs one atomic addition. Addresses are cut to /24
//! and /48 before they are kept. It judges nobody: what offences add up to is for
//! [`seawall_decide::note_misbehaviour`].

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use seawall_model::{
    Cause, ClientAddr, Event, EventKind, Fingerprint, Instant, Ja4, Misbehaviour, WallTime,
};

use crate::admin::EventStatus;
use crate::metrics::Sample;

/// Events kept for `seawall status`; the oldest leave.
const KEPT: usize = 64;
/// One for each kind of misbehaviour, and one for those who are barred.
const KINDS: usize = Misbehaviour::ALL.len() + 1;

/// The last events, and what was not told of each kind.
pub(crate) struct Events {
    kinds: [Kind; KINDS],
    last: Mutex<VecDeque<Told>>,
}

#[derive(Default)]
struct Kind {
    /// The second of the last one told, counted from 1; 0: none was.
    said_s: AtomicU64,
    unsaid: AtomicU64,
    unsaid_in_all: AtomicU64,
}

struct Told {
    event: Event,
    more: u64,
}

impl Events {
    pub(crate) fn new() -> Self {
        Self {
            kinds: std::array::from_fn(|_| Kind::default()),
            last: Mutex::new(VecDeque::with_capacity(KEPT)),
        }
    }

    /// Tells an event, or counts it if one of its kind was told in this second.
    pub(crate) fn note(
        &self,
        (now, at): (Instant, WallTime),
        client: ClientAddr,
        ja4: Option<Ja4>,
        kind: EventKind,
    ) {
        let of_kind = &self.kinds[position(kind)];
        let second = now.as_nanos() / 1_000_000_000 + 1;
        let said = of_kind.said_s.load(Ordering::Relaxed);
        let swap = |said| {
            let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
            of_kind.said_s.compare_exchange(said, second, order, failed).is_ok()
        };
        if second <= said || !swap(said) {
            of_kind.unsaid.fetch_add(1, Ordering::Relaxed);
            of_kind.unsaid_in_all.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let more = of_kind.unsaid.swap(0, Ordering::Relaxed);
        let (event, cause) = words(kind);
        let code = cause.code();
        // `Debug` of an address prints its prefix.
        match kind {
            EventKind::Barred(_) => {
                tracing::warn!(event, ?client, code, more, "no new connections for a while");
            }
            _ => tracing::info!(event, ?client, code, more, "a protocol was broken"),
        }
        let client = ClientAddr::new(client.truncated());
        let fingerprint = Fingerprint { ja4, ..Fingerprint::default() };
        let mut last = self.last.lock();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(Told { event: Event { at, client, fingerprint, method: None, kind }, more });
    }

    /// The last ones, newest first.
    pub(crate) fn last(&self, now: WallTime) -> Vec<EventStatus> {
        let line = |told: &Told| {
            let (event, cause) = words(told.event.kind);
            EventStatus {
                age_s: now.saturating_since(told.event.at).as_secs(),
                event,
                kind: kind_of(told.event.kind).map_or("", Misbehaviour::as_str),
                client: format!("{:?}", told.event.client),
                ja4: told.event.fingerprint.ja4.map(|ja4| ja4.as_str().to_owned()),
                code: cause.code(),
                more: told.more,
            }
        };
        self.last.lock().iter().rev().map(line).collect()
    }

    /// Events that were counted and not told.
    pub(crate) fn sample(&self) -> Sample {
        let unsaid = |kind: &Kind| kind.unsaid_in_all.load(Ordering::Relaxed);
        Sample::counter(
            "seawall_events_unsaid_total",
            "Events that were counted and not told, because one of their kind was in that second.",
            self.kinds.iter().map(unsaid).sum::<u64>() as f64,
        )
    }
}

fn position(kind: EventKind) -> usize {
    match kind {
        EventKind::Misbehaved(kind) => kind.index(),
        EventKind::Barred(_) | EventKind::Answered { .. } => KINDS - 1,
    }
}

fn kind_of(kind: EventKind) -> Option<Misbehaviour> {
    match kind {
        EventKind::Misbehaved(kind) | EventKind::Barred(kind) => Some(kind),
        EventKind::Answered { .. } => None,
    }
}

/// What an event is called, and its cause.
fn words(kind: EventKind) -> (&'static str, Cause) {
    match kind {
        EventKind::Misbehaved(kind) => (kind.as_str(), kind.cause()),
        EventKind::Barred(_) => ("barred", Cause::RepeatOffender),
        EventKind::Answered { cause, .. } => ("answered", cause),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn note(events: &Events, ms: u64, kind: EventKind) {
        let now = Instant::from_nanos(0) + Duration::from_millis(ms);
        let client = ClientAddr::new("192.0.2.77".parse().expect("test address"));
        events.note((now, WallTime::from_unix_secs(1_000 + ms / 1_000)), client, None, kind);
    }

    #[test]
    fn of_each_kind_one_in_a_second_is_told_with_the_number_of_the_others() {
        let events = Events::new();
        let resets = EventKind::Misbehaved(Misbehaviour::Http2Resets);
        for ms in [0, 1, 2, 999, 1_000, 1_001] {
            note(&events, ms, resets);
        }
        note(&events, 5, EventKind::Misbehaved(Misbehaviour::SlowHead));
        note(&events, 6, EventKind::Barred(Misbehaviour::Http2Resets));
        let told = events.last(WallTime::from_unix_secs(1_010));
        let told: Vec<_> =
            told.iter().map(|line| (line.event, line.kind, line.code, line.more)).collect();
        let want = [
            ("barred", "http2_resets", "SW-206", 0),
            ("slow_head", "slow_head", "SW-202", 0),
            ("http2_resets", "http2_resets", "SW-207", 3),
            ("http2_resets", "http2_resets", "SW-207", 0),
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn addresses_are_cut_and_the_oldest_leave() {
        let events = Events::new();
        for second in 0..1_000 {
            note(&events, second * 1_000, EventKind::Misbehaved(Misbehaviour::Chunk));
        }
        let told = events.last(WallTime::from_unix_secs(2_000));
        assert_eq!(told.len(), KEPT);
        assert_eq!((told[0].age_s, told[KEPT - 1].age_s), (1, 64));
        assert!(told.iter().all(|line| line.client == "192.0.2.0/24"));
    }
}
