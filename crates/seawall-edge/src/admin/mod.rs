//! The operator's door: a unix socket and, if wished, a TCP address.
//!
//! Five requests of HTTP/1.1, one per connection: `GET /status`, `GET /metrics`, `POST /purge`,
//! `POST /pass`, and nothing else. It is separate from the serving code on purpose: it must answer while the
//! workers are busy, and a flaw in one must not open the other. It runs on the control thread,
//! bounded in connections, bytes and time.
//!
//! The unix socket is guarded by its file mode (0600). The TCP address is guarded by a bearer
//! token, or, on loopback without one, by the `Host` field (a page of a stranger that rebinds its
//! DNS name to 127.0.0.1 names its own host) and by a field of our own on every change (which such
//! a page cannot add without a CORS permission that nobody gives).
//!
//! Does **not** decide anything: it asks an [`AdminView`].

mod client;
mod request;
mod server;

use serde::Serialize;

pub use self::client::{Answer, ClientError, query};
pub use self::server::{AdminError, AdminServer};

/// What the rest of the edge tells and does for the operator. Called on the control thread
/// (`status`, `metrics`, `pass`) or on a blocking thread (`purge`).
pub trait AdminView: Send + Sync {
    /// What it sees and does now.
    fn status(&self) -> Status;

    /// The `/metrics` page.
    fn metrics(&self) -> String;

    /// Drops from the cache; how many entries it dropped. May touch the disk.
    ///
    /// # Errors
    /// What the disk refused, for the operator to read.
    fn purge(&self, what: Purge) -> Result<usize, String>;

    /// Makes a link that gives a pass for `days` (1 to 30).
    ///
    /// # Errors
    /// What the system refused, for the operator to read.
    fn pass(&self, days: u8) -> Result<Pass, String>;
}

/// What a pass's link is made of.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Pass {
    /// The path, with the token that is the secret.
    pub path: String,
    /// The names of all sites, wildcards included.
    pub hosts: Vec<String>,
    /// For how many hours the link can be opened.
    pub open_hours: u32,
    /// How many days the pass lasts, counted from now.
    pub days: u8,
}

/// What to drop from the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything stored under this URL (all variants); absolute, as the operator wrote it.
    Url(String),
    /// Everything with this surrogate tag.
    Tag(String),
    /// Everything.
    All,
}

/// `seawall status --json`: names are a contract (`docs/interface`), keys may only be added.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// Whole seconds since the start.
    pub uptime_s: u64,
    /// The state of the defence.
    pub state: State,
    /// Requests per second over the last ten seconds.
    pub requests_per_s: f64,
    /// All origins together.
    pub origin: OriginStatus,
    /// Of the origins' work of the last half minute or so, who it was for by the country that their
    /// networks are registered in, the most first. Empty without a list.
    pub work_by_country: Vec<CountryWork>,
    /// The operator's lists.
    pub lists: Vec<ListStatus>,
    /// Standing measures.
    pub mitigations: Vec<serde_json::Value>,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How short memory is, from 0 to 3.
    pub memory_pressure: usize,
    /// Protocols broken by clients lately, newest first.
    pub events: Vec<EventStatus>,
}

/// A country's part of the origins' work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountryWork {
    /// The code of two letters; `None`: the list does not name the network.
    pub country: Option<String>,
    /// Of a hundred.
    pub percent: u8,
}

/// What is known of one of the operator's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ListStatus {
    /// Its key in the section `network`.
    pub name: &'static str,
    /// Networks or ranges in it; 0 if it could not be read.
    pub entries: u64,
    /// Whole seconds since the file was written, as it was when it was read.
    pub age_s: Option<u64>,
}

/// Something that a client did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventStatus {
    /// Whole seconds since then.
    pub age_s: u64,
    /// What it is called: a kind of misbehaviour, or `barred`.
    pub event: &'static str,
    /// The kind of misbehaviour, as in `/metrics`.
    pub kind: &'static str,
    /// The /24 or /48 that it came from.
    pub client: String,
    /// The client's fingerprint, over TLS.
    pub ja4: Option<String>,
    /// The code that `seawall explain` understands.
    pub code: &'static str,
    /// How many of the same were not told before this one.
    pub more: u64,
}

/// The origins, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OriginStatus {
    /// Requests that may be at work at once.
    pub limit: u64,
    /// Requests at work now.
    pub in_flight: u64,
    /// Requests waiting now.
    pub queued: u64,
    /// Of those waiting, how many of each class.
    pub waiting: Waiting,
    /// How long the one waits who waits longest, milliseconds.
    pub oldest_wait_ms: u64,
    /// WebSockets and event streams open now; they are not in `in_flight`.
    pub streams: u64,
    /// How many times slower the slowest origin is than when nobody presses it.
    pub slowdown: f64,
    /// Whether some are refused at once so that others are served in time.
    pub shedding: bool,
    /// Whether the last exchanges went well.
    pub healthy: bool,
}

/// Who waits before the origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the classes are explained where they are made")]
pub struct Waiting {
    pub signed_in: u64,
    pub aged_reader: u64,
    pub passed: u64,
    pub anonymous: u64,
    pub demoted: u64,
    pub background: u64,
}

/// The state of the defence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the words are defined in the interface document")]
pub enum State {
    Normal,
    Watch,
    Crowd,
    Mixed,
    Attack,
    Recovery,
}
