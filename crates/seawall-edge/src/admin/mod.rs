//! The operator's door: a unix socket and, if wished, a TCP address.
//!
//! A few requests of HTTP/1.1, one per connection: `GET /status`, `GET /metrics`, `GET /archive`,
//! `GET /mitigations`,
//! `POST /mitigations`, `POST /purge`, `POST /pass`, `POST /archive`, `POST /archive/import`, `POST /note`, `POST /emergency`, and nothing else. It is separate from the serving code on purpose: it must answer while the
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
mod orders;
mod request;
mod server;

use seawall_report::Note;
use serde::Serialize;

pub use crate::watcher::MeasureStatus;

pub use self::client::{Answer, ClientError, query, send};
pub use self::orders::{
    AddressList, AddressStatus, AttributeValues, EvidenceStatus, MAX_ORDER_LENGTH, Order,
    OrderRefusal, Outcome, Standing, There, ValueShare, flag_of,
};
pub use self::server::{AdminError, AdminServer};

/// What the rest of the edge tells and does for the operator. Called on the control thread
/// (`status`, `metrics`, `pass`, `mitigations`) or on a blocking thread (the others).
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

    /// The always-online copies of all sites that have one, or of the one with this name. Reads the disk.
    ///
    /// # Errors
    /// [`ArchiveRefusal`].
    fn archive(&self, site: Option<&str>) -> Result<Vec<ArchiveStatus>, ArchiveRefusal>;

    /// What is known and held of one URL, for each site that knows it. Reads the disk.
    ///
    /// # Errors
    /// What the disk refused, for the operator to read.
    fn archived_page(&self, url: &str) -> Result<Vec<ArchivedPage>, String>;

    /// Changes something about all copies, or that of the site with this name. Writes to the disk.
    ///
    /// # Errors
    /// [`ArchiveRefusal`].
    fn change_archive(&self, what: ArchiveChange, site: Option<&str>)
    -> Result<(), ArchiveRefusal>;

    /// Takes responses into the copies that they are of. Writes to the disk.
    ///
    /// # Errors
    /// [`ArchiveRefusal`]; what was taken in until then stays.
    fn import(&self, what: &Import, records: Vec<u8>) -> Result<ImportReport, ArchiveRefusal>;

    /// Bytes of records that may be brought at once.
    fn max_import_bytes(&self) -> u64;

    /// What stands and rests, and what the operator listed.
    fn mitigations(&self) -> Standing;

    /// What recent traffic is made of, by attribute.
    ///
    /// # Errors
    /// Nobody watches, or does not answer.
    fn values(&self) -> Result<Vec<AttributeValues>, OrderRefusal>;

    /// Follows an order about signatures or addresses, or says what it would do. Waits for the watcher, two
    /// seconds at most.
    ///
    /// # Errors
    /// Why it was not followed.
    fn order(&self, order: &Order, is_dry: bool) -> Result<Outcome, OrderRefusal>;

    /// Writes what a person says of an incident that goes on into its record, and seals it. Waits for the disk.
    ///
    /// # Errors
    /// Why it is not in the record.
    fn note(&self, incident: &str, note: Note) -> Result<Noted, OrderRefusal>;

    /// Puts reading only into force, for some seconds or until it is taken back; or takes it back.
    fn emergency(&self, what: EmergencyChange);
}

/// A note that was written: what stands in its record now. Names are a contract, keys may only be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Noted {
    /// When it was written down; RFC 3339.
    pub at: String,
    /// The segment that it is sealed in.
    pub segment: u64,
    /// The head of the record with it.
    pub head: String,
    /// The key that it was sealed with.
    pub key: String,
}

/// What to do with the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveChange {
    /// Make everything known due now, so that all of it is looked at again.
    Crawl,
    /// Show nothing that was captured from this second (since the Unix epoch) on.
    Pin(u64),
    /// Show everything again.
    Unpin,
    /// Pack and sign what is held.
    Seal,
}

/// How responses are to be taken in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Only what is of this site, by one of its names.
    pub site: Option<String>,
    /// Whether this is the first of several: what is known is looked at anew.
    pub is_begin: bool,
    /// They were made of files, whose times say little.
    pub is_of_files: bool,
    /// Say what would be done, and do nothing.
    pub is_dry: bool,
}

/// What was taken in. Names are a contract, keys may only be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// The sites that responses may be of: scheme and host.
    pub sites: Vec<String>,
    /// The most bytes that the content of one response may have.
    pub max_object_bytes: u64,
    /// How many responses came to what: `stored`, `held` (the same was there), or why they were left out.
    pub counts: std::collections::BTreeMap<&'static str, u64>,
    /// Some that were left out.
    pub left_out: Vec<ArchiveFailure>,
}

/// Why something about copies is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveRefusal {
    /// No archive is of that site; the text says which there are.
    NoSite(String),
    /// What the disk refused.
    Failed(String),
}

/// What to do about reading only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmergencyChange {
    /// Into force, until it is taken back.
    On,
    /// Into force for so many seconds.
    OnFor(u64),
    /// Out of force.
    Off,
}

/// The copy of one site: `seawall archive list --json`. Names are a contract, keys may only be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveStatus {
    /// The site: scheme and host.
    pub site: String,
    /// URLs that are known.
    pub pages_known: u64,
    /// Of those, the ones that are held.
    pub pages_held: u64,
    /// Versions of them, older ones included.
    pub versions: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Until when the origin confirmed the page that it confirmed longest ago; RFC 3339.
    pub oldest: Option<String>,
    /// The same of the latest.
    pub newest: Option<String>,
    /// Pages by how long ago the origin confirmed them.
    pub ages: Ages,
    /// What could not be fetched last time, 100 of them at most.
    pub failures: Vec<ArchiveFailure>,
    /// How many could not.
    pub failed: u64,
    /// URLs that were withdrawn and may not come back.
    pub withdrawn: u64,
    /// Records that turned out damaged since the start.
    pub damaged: u64,
    /// URLs and copies of new ones that there was no room for since the start.
    pub refused: u64,
    /// Nothing captured from this time on is shown; RFC 3339.
    pub pinned_before: Option<String>,
    /// How the crawl goes.
    pub crawl: CrawlStatus,
    /// Whether readers are sent to the origin: `closed`, `open` (nobody with a copy is) or `recovering`;
    /// `stopped` if no program runs.
    pub breaker: &'static str,
    /// Copies given to readers since the start.
    pub served: u64,
}

/// What is known and held of one URL: `seawall archive show URL --json`. Times are RFC 3339. Names are a
/// contract, keys may only be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchivedPage {
    /// The site: scheme and host.
    pub site: String,
    /// The URL as the archive spells it.
    pub url: String,
    /// What is held of it, oldest first.
    pub versions: Vec<ArchivedVersion>,
    /// When it was withdrawn: nothing captured until then comes back.
    pub withdrawn: Option<String>,
    /// When it was fetched last.
    pub last_fetched: Option<String>,
    /// When it will be fetched next.
    pub due: Option<String>,
    /// Fetches that were answered.
    pub fetches: u32,
    /// Of those, with something new.
    pub changes: u32,
    /// Fetches in a row that failed.
    pub failures: u32,
    /// Why the last one did, in a word.
    pub reason: Option<&'static str>,
}

/// One version of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchivedVersion {
    /// When it was captured.
    pub captured: String,
    /// Until when the origin is known to have said the same.
    pub confirmed: String,
    /// The status code.
    pub status: u16,
    /// The media type.
    pub media_type: String,
    /// Bytes of its record on disk.
    pub record_bytes: u64,
    /// Whether readers may be given it: the pin does not hold it back.
    pub shown: bool,
}

/// Pages by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Ages {
    pub hour: u64,
    pub day: u64,
    pub week: u64,
    pub month: u64,
    pub older: u64,
}

/// Something that could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArchiveFailure {
    /// The URL.
    pub url: String,
    /// Why, in a word.
    pub reason: &'static str,
}

/// How a crawl goes. Counts are since the start of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CrawlStatus {
    /// URLs asked for.
    pub fetched: u64,
    /// Of those, new or changed.
    pub stored: u64,
    /// Of those, unchanged.
    pub unchanged: u64,
    /// Of those, not kept.
    pub failed: u64,
    /// URLs to be fetched now.
    pub due: u64,
    /// Whether the first pages are still missing.
    pub cold: bool,
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
    /// Whether the operator has made the sites reading only.
    pub emergency: bool,
    /// What is out of the ordinary, by name.
    pub alarms: Vec<&'static str>,
    /// Requests per second that would be ordinary now.
    pub expected_per_s: f64,
    /// Clients that are known as ordinary.
    pub baseline_clients: u32,
    /// Whether some of them were generated for a rehearsal, not learned.
    pub baseline_is_generated: bool,
    /// Whether anything is done about attacks: `act`, `observe`, or `off` where nobody watches.
    pub mode: &'static str,
    /// Standing measures.
    pub mitigations: Vec<MeasureStatus>,
    /// Resident memory.
    pub memory_bytes: u64,
    /// How short memory is, from 0 to 3.
    pub memory_pressure: usize,
    /// Why the record of an incident cannot be written at the moment, as the system says it.
    pub evidence_fault: Option<String>,
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

impl State {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Normal, Self::Watch, Self::Crowd, Self::Mixed, Self::Attack, Self::Recovery];

    /// The name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Watch => "watch",
            Self::Crowd => "crowd",
            Self::Mixed => "mixed",
            Self::Attack => "attack",
            Self::Recovery => "recovery",
        }
    }
}
