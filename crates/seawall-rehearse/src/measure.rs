//! What was measured: the figures that children report, one JSON object a line.
//!
//! A *transaction* is a page with everything needed to show it, byte for byte as the site wrote it,
//! within its time (`Kind::budget`), counted from when the reader wanted it and not from when a
//! connection was free. A failed transaction counts in the percentiles with its whole time budget:
//! that is how long its reader waited for nothing, or would have.
//!
//! Rates and percentiles of all readers together come from exact values, not from histograms:
//! a run has a few thousand transactions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A browser that fetches a page and what it needs.
    Browser,
    /// A feed reader with conditional requests.
    Feed,
    /// A browser on a slow, shared line, as through Tor.
    Tor,
    /// A browser that wants a page nobody has wanted before.
    Unread,
    /// A question to the site's search: no copy can answer it.
    Search,
    /// A search engine's crawler, in the quiet before a flood only.
    Crawler,
    /// A page that no cache may keep, asked for by somebody with a credential of some age.
    LiveAged,
    /// The same, asked for by somebody unknown.
    LiveNew,
}

impl Kind {
    /// In what time a transaction must be done (`detection.md` §8 and Mirkovic et al.: 4 s for a
    /// page, 10 s through Tor). A live page may take as long as it is worth waiting for.
    pub fn budget(self) -> Duration {
        match self {
            Self::Browser | Self::Unread | Self::Feed | Self::Search => Duration::from_secs(4),
            Self::Tor | Self::Crawler | Self::LiveAged | Self::LiveNew => Duration::from_secs(10),
        }
    }

    /// Whether a held copy can serve it.
    pub fn is_cacheable(self) -> bool {
        !matches!(self, Self::Search | Self::LiveAged | Self::LiveNew)
    }
}

/// Transactions and how they went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Finished, one way or the other.
    pub transactions: u64,
    /// Whole, right and in time.
    pub ok: u64,
    /// Median time in milliseconds; failures count with their whole budget.
    pub p50_ms: f64,
    /// 95th percentile.
    pub p95_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
}

impl Tally {
    /// The share served, 0 to 1; `None` before the first transaction.
    pub fn served(&self) -> Option<f64> {
        (self.transactions > 0).then(|| self.ok as f64 / self.transactions as f64)
    }
}

/// Why transactions failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// No connection, or closed before an answer.
    pub refused: u64,
    /// Answered with an error such as 503 or 429.
    pub turned_away: u64,
    /// Not done in time.
    pub late: u64,
    /// Cut off or not an answer.
    pub broken: u64,
    /// A 200 with other bytes than the site's. Never acceptable.
    pub wrong_bytes: u64,
}

/// Part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stretch {
    /// Readers alone.
    Quiet,
    /// Readers and the flood.
    Flood,
    /// Of that, all but the first ten seconds.
    Settled,
}

/// Readers so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReaderFigures {
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    /// The last second, all kinds that a held copy can serve.
    pub last_second: Tally,
    /// In the quiet, all kinds that a held copy can serve.
    pub quiet: Tally,
    /// Under the flood, all kinds that a held copy can serve.
    pub flood: Tally,
    /// Under the flood, those that only the origin can serve (search and live pages).
    pub needs_origin: Tally,
    /// Under the flood, kind by kind.
    pub kinds: BTreeMap<Kind, Tally>,
    /// From ten seconds into the flood on, kind by kind.
    #[serde(default)]
    pub settled_kinds: BTreeMap<Kind, Tally>,
    /// In the quiet, kind by kind.
    #[serde(default)]
    pub quiet_kinds: BTreeMap<Kind, Tally>,
    /// Under the flood, why live pages of those with a credential failed.
    #[serde(default)]
    pub aged_failures: Failures,
    /// The same of those without.
    #[serde(default)]
    pub new_failures: Failures,
    /// Those who stay through the flood.
    #[serde(default)]
    pub guests: GuestFigures,
    /// Under the flood, why those that a held copy can serve failed.
    pub failures: Failures,
    /// Under the flood, page views served by a page that says it is a copy of an earlier time.
    #[serde(default)]
    pub copies: u64,
    /// What such a page says of itself to its reader, in its own words.
    #[serde(default)]
    pub copy_says: Option<String>,
}

/// A slow upload, an event stream and a WebSocket, so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestFigures {
    /// Bytes sent in.
    pub uploaded: u64,
    /// Whether the site said that it has all of them.
    pub upload_done: bool,
    /// Events that came, none missing between them.
    pub events: u64,
    /// What was said and came back.
    pub echoes: u64,
    /// How a stay ended before its time.
    pub troubles: Vec<String>,
}

/// The flood so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FloodFigures {
    /// Milliseconds since the start.
    pub elapsed_ms: u64,
    /// Whole requests sent.
    pub requests: u64,
    /// Of these, with a random query to get past caches.
    pub busting: u64,
    /// Answered with what was asked for.
    pub answered: u64,
    /// Answered with an error such as 503 or 429.
    pub turned_away: u64,
    /// Connections that could not be made or broke.
    pub broken: u64,
    /// Connections open now.
    pub connections: u64,
    /// Of these, sending their head a line at a time.
    pub slow_connections: u64,
    /// Addresses that sent anything.
    pub sources: u64,
}

/// The sample site since its last mark.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SiteFigures {
    /// Which stretch these are of; each mark begins the next.
    pub epoch: u64,
    /// Requests that arrived whole.
    pub requests: u64,
    /// Of these, refused because the queue was full.
    pub refused: u64,
    /// Connections refused because there were too many.
    pub refused_connections: u64,
    /// Requests of attackers, by their address.
    pub from_attack: u64,
    /// Worked on or waiting now.
    pub in_flight: u64,
    /// The most there were at once.
    pub peak_in_flight: u64,
    /// 95th percentile of how long a page took from its arrival until it was made, in milliseconds.
    pub page_p95_ms: f64,
    /// Connections open now.
    pub connections: u64,
}

/// One line of a child's standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// Ready; the site says where it listens.
    Ready {
        /// The site's address; nothing from the others.
        address: Option<SocketAddr>,
    },
    /// From the readers, each 250 ms.
    Readers(Box<ReaderFigures>),
    /// From the flood, each 250 ms.
    Flood(FloodFigures),
    /// From the site, each 250 ms.
    Site(SiteFigures),
    /// All done; the last figures were the final ones.
    Done,
    /// It could not be done.
    Failed {
        /// What went wrong, for people.
        why: String,
    },
}

/// Times of transactions, for exact percentiles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    ok: u64,
    all_ms: Vec<f64>,
}

impl Times {
    /// Adds one transaction that took `taken`, or failed within `budget`.
    pub(crate) fn push(&mut self, taken: Option<Duration>, budget: Duration) {
        self.ok += u64::from(taken.is_some());
        self.all_ms.push(taken.unwrap_or(budget).as_secs_f64() * 1e3);
    }

    /// Adds one time, unless there are as many as a run has room for.
    pub(crate) fn push_bounded(&mut self, taken: Duration) {
        if self.all_ms.len() < MAX_TIMES {
            self.push(Some(taken), taken);
        }
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        self.ok += other.ok;
        self.all_ms.extend_from_slice(&other.all_ms);
    }

    /// The figures. O(n log n).
    pub(crate) fn tally(&self) -> Tally {
        let mut sorted = self.all_ms.clone();
        sorted.sort_by(f64::total_cmp);
        Tally {
            transactions: sorted.len() as u64,
            ok: self.ok,
            p50_ms: percentile(&sorted, 0.50),
            p95_ms: percentile(&sorted, 0.95),
            p99_ms: percentile(&sorted, 0.99),
        }
    }
}

/// Ten minutes of a hundred pages a second.
const MAX_TIMES: usize = 60_000;

/// The smallest value that at least the share `at` of `sorted` does not exceed (nearest rank),
/// rounded to a hundredth; 0 of nothing.
fn percentile(sorted: &[f64], at: f64) -> f64 {
    let rank = (at * sorted.len() as f64).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Kind, ReaderFigures, Report, Tally, Times, percentile};

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        for (values, at, expected) in [
            (&hundred[..], 0.50, 50.0),
            (&hundred[..], 0.95, 95.0),
            (&hundred[..], 0.99, 99.0),
            (&hundred[..1], 0.99, 1.0),
            (&hundred[..2], 0.50, 1.0),
            (&hundred[..0], 0.50, 0.0),
        ] {
            assert!((percentile(values, at) - expected).abs() < 1e-9, "{at} of {}", values.len());
        }
    }

    #[test]
    fn a_failure_counts_with_its_whole_budget() {
        let budget = Kind::Browser.budget();
        let mut times = Times::default();
        times.push(Some(Duration::from_millis(20)), budget);
        times.push(None, budget);
        times.push(None, budget);
        let tally = times.tally();
        assert_eq!((tally.transactions, tally.ok), (3, 1));
        assert!((tally.p50_ms - 4_000.0).abs() < 1e-9, "{tally:?}");
        assert!(Tally::default().served().is_none());
    }

    #[test]
    fn reports_survive_the_line_they_travel_on() {
        let mut figures = ReaderFigures { elapsed_ms: 250, ..ReaderFigures::default() };
        figures.kinds.insert(Kind::Tor, Tally { transactions: 3, ok: 2, ..Tally::default() });
        let report = Report::Readers(Box::new(figures));
        let line = serde_json::to_string(&report).expect("plain data");
        assert!(line.starts_with("{\"report\":\"readers\",\"elapsed_ms\":250,"), "{line}");
        assert_eq!(serde_json::from_str::<Report>(&line).expect("our own line"), report);
    }
}
