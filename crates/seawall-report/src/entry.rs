//! The lines of an incident record: what each says, with units.
//!
//! A record is a text file, one JSON object a line, that only grows. This is its schema: keys may be added and never
//! renamed, and who reads a key that it does not know leaves it aside. How lines become a chain that can be checked is
//! in `chain`. It holds facts: what they may mean is for `assess`, and nothing in it names a person.
//!
//! *Sources:* detection.md §9; RFC 3227; ISO/IEC 27037.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::Moment;

mod clean;
mod ports;

pub use self::clean::{Clean, CleanLook};
pub use self::ports::PortSeen;

/// Version of this schema.
pub const RECORD_VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// The first line of a record: of which incident, made by what.
    Begin(Box<Begin>),
    /// What was counted in one second: complete, one for each second of the record.
    Second(Box<Second>),
    /// One request of the sample that was met by a mitigation or refused.
    Row(Box<Row>),
    /// All others of it, which may be readers': counts of minutes.
    Clean(Box<Clean>),
    /// What a keyed hash in rows and signatures was in words.
    Word(Word),
    /// Where requests came from, cut to /24 or /48; a later line about the same prefix takes the place of an earlier one.
    Source(Box<Source>),
    /// Full addresses of sources. The only line that has any; removed when its time is over.
    Addresses(Box<Addresses>),
    /// Something was found or done.
    Step(Box<Step>),
    /// Nothing was recorded for a while, and why.
    Gap(Gap),
    /// A part of the shield failed.
    Fault(Fault),
    /// Something that a person said.
    Note(Note),
    /// An authority's stamp of the time (RFC 3161) on an earlier seal.
    Timestamp(Timestamp),
    /// Lines of addresses were removed; what remains can still be checked.
    Removed(Removed),
    /// The last line: the incident is over, and these are its sums.
    End(Box<End>),
}

/// The first line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// [`RECORD_VERSION`].
    pub record: u32,
    /// The incident: `20261122T100800Z-0abc`, its beginning and four digits of the run.
    pub incident: String,
    /// When the first alarm was.
    pub since: Moment,
    /// From when on there are seconds: up to 15 minutes earlier.
    pub recorded_from: Moment,
    /// Hosts of the sites before which the shield stands.
    pub sites: Vec<String>,
    /// Addresses and ports that it listens on, as configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens: Vec<String>,
    /// Where the facts come from.
    pub origin: RecordOrigin,
    /// From which logs it was made, and when; `None` if it was written while the incident went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconstructed: Option<Reconstructed>,
    /// Name and version of the program.
    pub software: String,
    /// SHA-256 of the program's file; `None` if it could not be read.
    pub software_sha256: Option<String>,
    /// SHA-256 of the configuration's file, which has no secrets in it; `None` if there was none.
    pub config_sha256: Option<String>,
    /// Which life of the program.
    pub run: String,
    /// The public key that seals are checked with, PEM.
    pub public_key: String,
    /// How far the clock was from true time, in milliseconds, and who says so; `None` if nobody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<ClockOffset>,
    /// What each field of [`Row::attributes`] is, in order.
    pub attributes: Vec<String>,
    /// When full addresses are removed at the latest.
    pub remove_addresses_at: Moment,
    /// When all of the record is removed, unless it is pinned; `None` if nobody removes it, and in records of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove_record_at: Option<Moment>,
}

impl Begin {
    /// When the record was made: of an incident of old logs that is later than the incident.
    pub fn made_at(&self) -> Moment {
        self.reconstructed.as_ref().map_or(self.since, |it| it.at)
    }
}

/// What a record rests on that was made afterwards. All other times of it are those of the logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconstructed {
    /// When it was made.
    pub at: Moment,
    /// The logs, in the order in which they were read.
    pub logs: Vec<LogFile>,
}

/// A log as it was read. Whoever has the file can tell whether it is this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    /// The name of the file, without its folder.
    pub name: String,
    /// Bytes that were read, packed as they were.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub sha256: String,
}

/// Where the facts of a record come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordOrigin {
    /// The shield saw the requests itself.
    #[default]
    Live,
    /// Made afterwards from access logs of another program: reconstructed.
    Replay,
    /// A rehearsal on loopback, generated by ourselves.
    Rehearsal,
}

/// What is known of the clock.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockOffset {
    /// Milliseconds that the clock is ahead (negative: behind).
    pub offset_ms: f64,
    /// By how much that may be wrong, in milliseconds.
    pub error_ms: f64,
    /// Who says so: `kernel` (adjtimex).
    pub source: String,
}

/// What was counted in one second. Counts are complete, whatever is sampled; one that is left out of a line is 0, for a
/// record has many seconds, and in most of them most counts are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it began.
    pub at: Moment,
    /// `normal`, `watch`, `crowd`, `mixed`, `attack` or `recovery`, at its end.
    pub state: String,
    /// Requests answered.
    pub requests: u64,
    /// How many would have been ordinary.
    pub expected: f64,
    /// Of the requests: for pages.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pages: u64,
    /// Of the requests: the origin worked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub origin: u64,
    /// Of the requests: the origin would have worked, but was spared.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spared: u64,
    /// Milliseconds of the origin's time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub origin_cost_ms: u64,
    /// Answered 4xx by the origin, or for what is held.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub client_errors: u64,
    /// Answered 5xx, likewise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub server_errors: u64,
    /// Refused by the shield.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Cheap tests set.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tests_set: u64,
    /// Cheap tests passed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tests_passed: u64,
    /// Clients not seen in the ten minutes before, estimated.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub new_clients: u64,
    /// Of connections.
    pub connections: Connections,
    /// What became of whom, by cohort: the same sum as `requests`.
    pub cohorts: Vec<CohortCounts>,
    /// What each mitigation met since the last second that says so of any: one second in the first ten minutes, and up to
    /// thirty after that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub met: Vec<MetCounts>,
    /// Channels that were out of the ordinary.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// What the machine went through; `None` where nobody looked (a replay).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Node>,
}

/// What connections told in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Accepted.
    pub opened: u64,
    /// TLS handshakes begun.
    pub handshakes: u64,
    /// TLS handshakes that failed.
    pub handshake_failures: u64,
    /// Streams reset.
    pub resets: u64,
    /// Closed or refused as too slow.
    pub slow: u64,
    /// Refused before anything was read.
    pub refused: u64,
}

/// Who asks, as far as it can be told without guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cohort {
    /// The origin or the operator vouched for it.
    SignedIn,
    /// A reader known for at least a day.
    KnownReader,
    /// It passed the cheap test.
    Passed,
    /// It asks for feeds.
    Feed,
    /// It comes from a Tor exit and met no mitigation.
    Tor,
    /// Anybody else who met no mitigation: readers, programs, and attackers nobody recognised.
    Unmarked,
    /// A mitigation met it.
    Met,
}

impl Cohort {
    /// All of them; a request belongs to the first that fits.
    pub const ALL: [Self; 7] = [
        Self::SignedIn,
        Self::KnownReader,
        Self::Passed,
        Self::Met,
        Self::Feed,
        Self::Tor,
        Self::Unmarked,
    ];

    /// Whether somebody vouched for them, they were seen reading before, or they passed a test.
    pub const fn is_surely_reader(self) -> bool {
        matches!(self, Self::SignedIn | Self::KnownReader | Self::Passed)
    }
}

/// What became of the requests of one cohort in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CohortCounts {
    /// Which.
    pub cohort: Cohort,
    /// Requests.
    pub requests: u64,
    /// Of them: answered with what was asked for (1xx to 3xx, and 4xx of the origin or for what is held).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub served: u64,
    /// Of them: refused by the shield, other than by a test.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
    /// Of them: given a cheap test.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tested: u64,
    /// Of them: failed by the origin (5xx).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// Of them: answered after more than two seconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub late: u64,
}

/// What one mitigation met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetCounts {
    /// Which.
    pub id: u32,
    /// Requests that matched.
    pub matched: u64,
    /// Of them: let off, to see what would happen without.
    pub control: u64,
    /// Of them: refused.
    pub blocked: u64,
    /// Of them: given a cheap test.
    pub tests_set: u64,
    /// Of them: passed one.
    pub tests_passed: u64,
}

/// What the machine went through in one second, as far as it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Bytes received by all interfaces but loopback.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Packets that interfaces or the kernel dropped before anybody saw them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rx_drops: u64,
    /// Connections that the kernel dropped because a listener's queue was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub listen_drops: u64,
    /// SYN cookies sent.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub syn_cookies: u64,
    /// Bytes that sockets hold.
    pub socket_memory_bytes: u64,
    /// Parts of the processors' time that this machine used, 0 to 1.
    pub busy: f64,
    /// Parts of it that the host of a virtual machine took, 0 to 1.
    pub steal: f64,
    /// Bytes of memory that the program holds.
    pub resident_bytes: u64,
    /// Whether the line and not the machine is the limit; `None` where interfaces do not state their speed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_full: Option<bool>,
    /// Places for work at the origins, requests there, and requests that wait.
    pub origin: OriginHealth,
    /// What we ourselves lost, by what it was: observations, log lines, events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<Lost>,
}

/// How the origins fared at the end of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OriginHealth {
    /// Places for work at once.
    pub limit: u32,
    /// Requests there.
    pub in_flight: u32,
    /// Requests that wait.
    pub queued: u32,
    /// How long the first of them waits, in milliseconds.
    pub oldest_wait_ms: u64,
    /// Whether it answered.
    pub healthy: bool,
}

/// Something of ours that was lost for want of room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// What: `observations`, `log_lines`, `events`, `rows`, `sources`.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// One request of the sample that a mitigation met or that was refused, of a client that nobody vouched for: of all others
/// there is [`Clean`]. The address is cut, and of queries there are keys only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// When it was answered.
    pub at: Moment,
    /// The probability with which such a request came into the sample, above 0 to 1: sums of `1/p` over rows estimate totals.
    pub p: f64,
    /// The /24 or /48 of its client; empty in a row that may be a reader's, which earlier versions wrote.
    pub prefix: String,
    /// `page`, `subresource`, `feed` or `other`.
    pub kind: String,
    /// `signed_in`, `aged_reader` or `anonymous`.
    pub standing: String,
    /// The status sent; 0 if the connection ended first.
    pub status: u16,
    /// Why it was decided so.
    pub cause: String,
    /// `held`, `origin` or `spared`.
    pub work: String,
    /// The mitigation that matched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub met: Option<u32>,
    /// The keyed hashes of what it looks like, hexadecimal, in the order of [`Begin::attributes`]; `0` is unknown.
    pub attributes: Vec<String>,
}

/// What a keyed hash was in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Word {
    /// Of which attribute.
    pub attribute: String,
    /// The hash, hexadecimal.
    pub value: String,
    /// The words, at most 96 bytes: no cookie, no credential, no value of a query.
    pub text: String,
}

/// Where requests came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// A /24 or /48.
    pub prefix: String,
    /// When it was first seen in the sample.
    pub first_seen: Moment,
    /// When last.
    pub last_seen: Moment,
    /// Rows of the sample.
    pub rows: u64,
    /// Of them: met by a mitigation.
    pub met_rows: u64,
    /// Of them: refused.
    pub refused_rows: u64,
    /// Requests, estimated from the probabilities of rows.
    pub requests: f64,
    /// Different addresses among the rows, at most 65,535.
    pub addresses: u32,
    /// Who registered the network, as the operator's lists say: `AS64500 Example (DE)`. Registered in, never from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<String>,
    /// What it is known as: `tor`, `hosting`, `shared` (many readers behind one address).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<String>,
    /// Mitigations that met it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mitigations: Vec<u32>,
}

/// Full addresses, in the open or encrypted to a key that is not on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Addresses {
    /// 32 random hexadecimal digits: without them the digest of a removed line could be guessed back to its addresses.
    pub salt: String,
    /// The addresses; empty if they are encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// The same as a JSON array, encrypted (age, ASCII armour).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<String>,
    /// How many there are.
    pub count: u64,
    /// When this line is removed at the latest.
    pub remove_at: Moment,
}

/// One address that was refused often, passed no test, carried no credential, and is no known shared exit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: String,
    /// Source ports that were seen, eight at most.
    pub ports: Vec<u16>,
    /// The first two of them with their times; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<PortSeen>,
    /// When the first of its refused requests in the sample was answered, whatever came later.
    pub first_seen: Moment,
    /// When the last.
    pub last_seen: Moment,
    /// Refusals that were seen: at least so many there were.
    pub refused: u64,
    /// Our address and port that it connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Mitigations that met it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mitigations: Vec<u32>,
}

/// Something was found or done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When.
    pub at: Moment,
    /// What.
    pub step: StepKind,
    /// The verdict, where it is about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The mitigation, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mitigation: Option<Move>,
}

/// What kind of step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// More was asked than is ordinary.
    #[default]
    Opened,
    /// What is thought of it changed.
    Judged,
    /// A mitigation changed its rung.
    Moved,
    /// It was over.
    Closed,
}

/// A mitigation changed its rung.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Which.
    pub id: u32,
    /// Its signature in words.
    pub signature: String,
    /// Its terms: attribute and words.
    pub terms: Vec<Word>,
    /// From which rung; `None`: from none.
    pub from: Option<String>,
    /// To which.
    pub to: Option<String>,
    /// Why, of the closed vocabulary of the ladder.
    pub why: String,
    /// On what it rests.
    pub evidence: Evidence,
}

/// On what a signature rests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Requests per second that matched.
    pub matched_per_s: f64,
    /// How many would match if everything were ordinary.
    pub expected_per_s: f64,
    /// Part of what was too much that it explains, 0 to 1.
    pub coverage: f64,
    /// Upper bound (Clopper-Pearson, 95 %) of the part of ordinary clients that match, 0 to 1.
    pub collateral_upper: f64,
    /// Ordinary clients that match.
    pub baseline_hits: u32,
    /// Ordinary clients known.
    pub baseline_clients: u32,
    /// Rows of the sample that match.
    pub sample_hits: u32,
    /// Rows of the sample.
    pub sample_rows: u32,
    /// Different clients among those that match.
    pub sample_clients: u32,
    /// Natural logarithm of the probability that chance alone did this, corrected for all that was tried.
    pub ln_p: f64,
}

/// A time of which nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// From when.
    pub from: Moment,
    /// Until when; `None` if that is not known.
    pub until: Option<Moment>,
    /// `killed`, `disk_full`, `disk_error`, `overload` or `clock_jump`.
    pub why: String,
    /// More, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// A part of the shield failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Moment,
    /// Which part.
    pub part: String,
    /// What happened.
    pub what: String,
}

/// Something that a person said. The shield asserts that it was said, not that it is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When it was written down.
    pub at: Moment,
    /// By whom.
    pub author: String,
    /// What kind.
    pub kind: NoteKind,
    /// Where it comes from, for a statement of others: an address of a page, a mail's sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When what it speaks of was, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<Moment>,
    /// The words.
    pub text: String,
}

/// Whose words a note is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// The operator's own.
    #[default]
    Observation,
    /// A public event that came before.
    Event,
    /// Somebody claims to have done it. A statement by others.
    Claim,
    /// Somebody demands something. A statement by others.
    Demand,
    /// Any other statement by others.
    Statement,
}

/// An authority's stamp of the time on a seal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// The segment whose seal it stamps.
    pub segment: u64,
    /// Whom we asked.
    pub authority: String,
    /// The TimeStampResp as it came (RFC 3161 §2.4.2), base64.
    pub response: String,
}

impl Timestamp {
    /// What `authority` answered when it was asked for a stamp of the seal of `segment`.
    pub fn of(segment: u64, authority: &str, answer: &[u8]) -> Self {
        Self { segment, authority: authority.to_owned(), response: STANDARD.encode(answer) }
    }
}

/// Lines were removed because their time was over, or because somebody at an address of them was vouched for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// When.
    pub at: Moment,
    /// Which lines, counted from 1.
    pub lines: Vec<u64>,
    /// Why: `retention`, `vouched` or `operator`.
    pub why: String,
}

/// The last line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When it was last alarmed.
    pub until: Moment,
    /// When the record was closed.
    pub at: Moment,
    /// `attack`, `crowd`, `mixed` (neither could be said), or empty if nobody judged.
    pub verdict: String,
    /// Requests from the first alarm to the last.
    pub requests: u64,
    /// Of them: beyond what is ordinary.
    pub excess: u64,
    /// Of them: met by a mitigation.
    pub matched: u64,
}

// serde passes a reference.
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

// Likewise.
const fn is_false(it: &bool) -> bool {
    !*it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &Entry, want: &str) {
        let text = serde_json::to_string(entry).expect("JSON");
        assert_eq!(text, want);
        let read: Entry = serde_json::from_str(&text).expect("the same");
        assert_eq!(read, *entry);
    }

    #[test]
    fn a_line_says_what_it_is_and_is_read_as_it_was_written() {
        let (from, until) = (Moment::from_unix_ms(1), None);
        let gap = Gap { from, until, why: "killed".to_owned(), detail: String::new() };
        let want =
            r#"{"entry":"gap","from":"1970-01-01T00:00:00.001Z","until":null,"why":"killed"}"#;
        check(&Entry::Gap(gap), want);
        let note = Note { text: "\"x\"\n".to_owned(), ..Note::default() };
        let want = r#"{"entry":"note","at":"1970-01-01T00:00:00.000Z","author":"","kind":"observation","text":"\"x\"\n"}"#;
        check(&Entry::Note(note), want);
    }

    #[test]
    fn counts_that_are_nothing_are_left_out_and_read_as_nothing() {
        let cohort = CohortCounts {
            cohort: Cohort::Met,
            requests: 7,
            served: 0,
            refused: 7,
            tested: 0,
            failed: 0,
            late: 0,
        };
        let node = Node { busy: 0.5, link_full: Some(false), ..Node::default() };
        let cohorts = vec![cohort];
        let second =
            Second { requests: 7, refused: 7, cohorts, node: Some(node), ..Second::default() };
        let connections =
            r#"{"opened":0,"handshakes":0,"handshake_failures":0,"resets":0,"slow":0,"refused":0}"#;
        let node = concat!(
            r#"{"rx_bytes":0,"tx_bytes":0,"rx_packets":0,"socket_memory_bytes":0,"busy":0.5,"steal":0.0,"#,
            r#""resident_bytes":0,"link_full":false,"origin":{"limit":0,"in_flight":0,"queued":0,"oldest_wait_ms":0,"healthy":false}}"#
        );
        let want = format!(
            r#"{{"entry":"second","at":"1970-01-01T00:00:00.000Z","state":"","requests":7,"expected":0.0,"refused":7,"connections":{connections},"cohorts":[{{"cohort":"met","requests":7,"refused":7}}],"node":{node}}}"#
        );
        check(&Entry::Second(Box::new(second)), &want);
    }

    #[test]
    fn a_line_that_nobody_knows_the_speed_of_is_not_said_to_have_room() {
        // Records of before the key could be left out for it say nothing either.
        let node: Node = serde_json::from_str(
            r#"{"rx_bytes":0,"tx_bytes":0,"rx_packets":0,"socket_memory_bytes":0,"busy":0.5,"steal":0.0,"resident_bytes":0,"origin":{"limit":0,"in_flight":0,"queued":0,"oldest_wait_ms":0,"healthy":false}}"#,
        )
        .expect("a node");
        assert_eq!(node.link_full, None);
        let text = serde_json::to_string(&node).expect("JSON");
        assert!(!text.contains("link_full"), "{text}");
    }

    #[test]
    fn a_key_of_a_later_version_is_left_aside() {
        let text =
            r#"{"entry":"fault","at":"1970-01-01T00:00:00.000Z","part":"a","what":"b","new":1}"#;
        assert!(serde_json::from_str::<Entry>(text).is_ok());
        assert!(serde_json::from_str::<Entry>(r#"{"entry":"later"}"#).is_err());
    }
}
