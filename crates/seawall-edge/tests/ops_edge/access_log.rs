use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::{ProptestConfig, any, proptest};
use seawall_edge::access_log::{AccessLogHandle, LogDrain, LogRecord, LogWriter};
use seawall_edge::config;
use seawall_edge::metrics::CacheOutcome;
use seawall_model::{
    Cause, ClientAddr, Decision, HttpVersion, Instant, Ja4, Method, MitigationId, Refusal, WallTime,
};

const SETTINGS: config::AccessLog =
    config::AccessLog { enabled: true, max_bytes: 1 << 20, refusals_per_second: 10 };
const REFUSE: Decision =
    Decision::Refuse(Refusal { status: 429, retry_after: None, close: false }, Cause::HeldBudget);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(10_000_000_000 + millis * 1_000_000)
}

/// 2024-02-29T12:34:56.789Z
const WALL: WallTime = WallTime::from_unix_nanos(1_709_210_096_789_000_000);

fn record() -> LogRecord<'static> {
    LogRecord {
        now: at(0),
        at: WALL,
        client: ClientAddr::new(IpAddr::from([192, 0, 2, 77])),
        request_id: "0123456789abcdef",
        version: HttpVersion::Http2,
        method: Method::Get,
        host: "example.org",
        path: b"/news/",
        query: None,
        user_agent: None,
        ja4: None,
        decision: Decision::Admit(Cause::Default),
        cache: None,
        mitigation: None,
        status: 200,
        duration: Duration::from_micros(123),
        bytes_sent: 4_567,
    }
}

fn text(dir: &Path) -> String {
    fs::read_to_string(dir.join("access.log")).unwrap_or_default()
}

/// The lines that these records leave.
fn written(records: &[LogRecord<'_>]) -> String {
    let dir = crate::temp_dir();
    let (mut drain, mut writers) = LogDrain::open(&SETTINGS, dir.path(), 1);
    records.iter().for_each(|record| writers[0].record(record));
    drain.pump(at(0), WALL);
    text(dir.path())
}

#[track_caller]
fn check_field(record: &LogRecord<'_>, name: &str, want: &serde_json::Value) {
    let line = written(std::slice::from_ref(record));
    let value: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
    assert_eq!(value.get(name).unwrap_or(&serde_json::Value::Null), want, "{line}");
}

fn counter(drain: &LogDrain, what: &str) -> f64 {
    let page = seawall_edge::metrics::Metrics::new(0).render(&drain.samples());
    let line = page.lines().find(|l| l.starts_with(what)).expect("series is there");
    line.rsplit_once(' ').and_then(|(_, v)| v.parse().ok()).expect("series has a value")
}

#[test]
fn lines_look_as_they_always_did() {
    let full = LogRecord {
        client: ClientAddr::new("2001:db8:1:2:3::4".parse().expect("address")),
        query: Some(b"page=2&utm_source=x&token"),
        user_agent: Some("Mozilla/5.0 \"quoted\" \\ ü".as_bytes()),
        ja4: Some(Ja4::new(*b"t13d1516h2_8daaf6152771_e5627efa2ab1")),
        cache: Some(CacheOutcome::Hit),
        ..record()
    };
    let refused = LogRecord {
        decision: REFUSE,
        mitigation: Some(MitigationId(7)),
        status: 0,
        method: Method::Extension,
        version: HttpVersion::Http10,
        at: WallTime::from_unix_secs(4_102_444_799),
        ..record()
    };
    crate::check_golden("access.jsonl", &written(&[record(), full, refused]));
}

#[test]
fn no_full_address_is_written() {
    for (address, want) in [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
    ] {
        let client = ClientAddr::new(address.parse().expect("address"));
        check_field(&LogRecord { client, ..record() }, "client.address", &want.into());
    }
}

#[test]
fn of_a_query_only_names_are_written() {
    for (query, want) in [
        ("", "*"),
        ("a=1", "a="),
        ("a=1&b=secret&c=", "a=&b=&c="),
        ("secret", "*"),
        ("a=b=secret", "a="),
        ("secret&a=1", "*&a="),
    ] {
        let record = LogRecord { query: Some(query.as_bytes()), ..record() };
        check_field(&record, "url.query", &want.into());
    }
}

#[test]
fn long_fields_are_cut_and_say_so() {
    let long = vec![b'x'; 5_000];
    let names = b"name=1&".repeat(500);
    let record = LogRecord {
        path: &long,
        query: Some(&names),
        user_agent: Some(&long),
        host: std::str::from_utf8(&long).expect("ASCII"),
        request_id: std::str::from_utf8(&long).expect("ASCII"),
        ja4: Some(Ja4::new([b'j'; 36])),
        client: ClientAddr::new("2001:db8::1".parse().expect("address")),
        ..record()
    };
    check_field(&record, "url.path", &"x".repeat(256).into());
    check_field(&record, "user_agent.original", &"x".repeat(160).into());
    check_field(&record, "server.address", &"x".repeat(64).into());
    check_field(&record, "seawall.request.id", &"x".repeat(40).into());
    check_field(&record, "seawall.truncated", &true.into());
    check_field(&self::record(), "seawall.truncated", &serde_json::Value::Null);
}

#[test]
fn hostile_text_cannot_break_a_line_or_drive_a_terminal() {
    let agent = "\x1b]0;owned\x07\r\n\u{9b}31m\u{202e}\"\\".as_bytes();
    let record = LogRecord { path: b"/\xff\x00", user_agent: Some(agent), ..record() };
    let line = written(&[record]);
    assert!(line.ends_with('\n') && line.lines().count() == 1);
    assert!(line.trim_end().chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
    check_field(&record, "url.path", &"/\u{fffd}\0".into());
    check_field(&record, "user_agent.original", &String::from_utf8_lossy(agent).into());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_make_one_line_of_json(path: Vec<u8>, query: Option<Vec<u8>>, agent: Option<Vec<u8>>, host: String, status: u16, bytes_sent in any::<u64>()) {
        let record = LogRecord {
            path: &path,
            query: query.as_deref(),
            user_agent: agent.as_deref(),
            host: &host,
            status,
            bytes_sent,
            ..record()
        };
        let line = written(&[record]);
        let value: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(value["http.response.status_code"], status);
        assert_eq!(value["http.response.body.size"], bytes_sent);
        assert_eq!(line.lines().count(), 1);
    }
}

fn offer(writers: &mut [LogWriter], now: Instant, refusals: usize) {
    for n in 0..refusals {
        let worker = n % writers.len();
        writers[worker].record(&LogRecord { decision: REFUSE, now, ..record() });
    }
}

#[test]
fn refusals_beyond_the_rate_become_one_line_a_second() {
    let dir = crate::temp_dir();
    let (mut drain, mut writers) = LogDrain::open(&SETTINGS, dir.path(), 2);
    offer(&mut writers, at(0), 1_000);
    drain.pump(at(0), WALL);
    let lines = text(dir.path());
    assert_eq!(lines.matches("\"seawall.decision\":\"refuse\"").count(), 10, "over both workers");
    assert!(lines.contains("\"seawall.log.refusals_unlogged\":990,"), "{lines}");
    offer(&mut writers, at(500), 1_000);
    drain.pump(at(500), WALL);
    assert_eq!(text(dir.path()), lines, "within the second nothing is added");
    offer(&mut writers, at(1_000), 5);
    drain.pump(at(1_000), WALL);
    let lines = text(dir.path());
    assert_eq!(lines.matches("\"seawall.decision\":\"refuse\"").count(), 15);
    assert!(lines.contains("\"seawall.log.refusals_unlogged\":1000,"), "{lines}");
    drain.pump(at(5_000), WALL);
    assert_eq!(text(dir.path()), lines, "nothing to sum up, no line");
    assert_eq!(counter(&drain, "seawall_log_records_dropped_total{reason=\"sampled\"}"), 1_990.0);
}

#[test]
fn admitted_requests_are_never_sampled() {
    let dir = crate::temp_dir();
    let settings = config::AccessLog { max_bytes: 1 << 26, ..SETTINGS };
    let (mut drain, mut writers) = LogDrain::open(&settings, dir.path(), 1);
    (0..500).for_each(|_| writers[0].record(&record()));
    assert_eq!(drain.pump(at(0), WALL), 500);
    assert_eq!(text(dir.path()).lines().count(), 500);
}

#[test]
fn full_ring_costs_records_and_counts_them() {
    let dir = crate::temp_dir();
    let settings = config::AccessLog { max_bytes: 1 << 26, ..SETTINGS };
    let (mut drain, mut writers) = LogDrain::open(&settings, dir.path(), 1);
    (0..20_000).for_each(|_| writers[0].record(&record()));
    let taken = drain.pump(at(0), WALL);
    let lost = counter(&drain, "seawall_log_records_dropped_total{reason=\"ring_full\"}");
    assert!(lost > 0.0);
    assert_eq!(taken as f64 + lost, 20_000.0);
    assert!(text(dir.path()).contains(&format!("\"seawall.log.records_dropped\":{lost}")));
    writers[0].record(&record());
    assert_eq!(drain.pump(at(10), WALL), 1, "afterwards all is well");
}

fn stored(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("folder is there");
    files.filter_map(|f| f.ok()?.metadata().ok()).map(|m| m.len()).sum()
}

#[test]
fn all_files_together_stay_within_the_bound() {
    let dir = crate::temp_dir();
    fs::write(dir.path().join("access.log.9"), "of a larger time").expect("file");
    fs::write(dir.path().join("access.log.3"), vec![b'\n'; 2 << 20]).expect("file");
    let (mut drain, mut writers) = LogDrain::open(&SETTINGS, dir.path(), 1);
    for _ in 0..40 {
        (0..500).for_each(|_| writers[0].record(&record()));
        drain.pump(at(0), WALL);
        assert!(stored(dir.path()) <= SETTINGS.max_bytes);
    }
    assert!(stored(dir.path()) > SETTINGS.max_bytes * 3 / 4, "and the bound is used");
    assert_eq!(counter(&drain, "seawall_log_stored_bytes") as u64, stored(dir.path()));
    assert!(!dir.path().join("access.log.9").exists());
    for entry in fs::read_dir(dir.path()).expect("folder is there") {
        let text = fs::read_to_string(entry.expect("entry").path()).expect("text");
        assert!(text.lines().all(|l| l.starts_with('{') && l.ends_with('}')), "lines stay whole");
    }
}

#[test]
fn tiny_bound_is_kept_too() {
    let dir = crate::temp_dir();
    let settings = config::AccessLog { max_bytes: 2_000, ..SETTINGS };
    let (mut drain, mut writers) = LogDrain::open(&settings, dir.path(), 1);
    (0..100).for_each(|_| writers[0].record(&record()));
    drain.pump(at(0), WALL);
    assert!((1..=2_000).contains(&stored(dir.path())));
}

#[test]
fn a_line_torn_by_a_crash_is_ended_first() {
    let dir = crate::temp_dir();
    fs::write(dir.path().join("access.log"), "{\"timestamp\":\"20").expect("file");
    let (mut drain, mut writers) = LogDrain::open(&SETTINGS, dir.path(), 1);
    writers[0].record(&record());
    drain.pump(at(0), WALL);
    let lines = text(dir.path());
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().last().is_some_and(|l| l.starts_with('{') && l.ends_with('}')));
}

#[test]
fn full_disk_costs_lines_counts_them_and_is_tried_again() {
    const LOST: &str = "seawall_log_records_dropped_total{reason=\"disk\"}";
    let dir = crate::temp_dir();
    symlink("/dev/full", dir.path().join("access.log")).expect("link");
    let (mut drain, mut writers) = LogDrain::open(&SETTINGS, dir.path(), 1);
    let mut offer = |drain: &mut LogDrain, millis| {
        writers[0].record(&record());
        drain.pump(at(millis), WALL);
    };
    offer(&mut drain, 0);
    offer(&mut drain, 10);
    assert_eq!(counter(&drain, LOST), 2.0);
    fs::remove_file(dir.path().join("access.log")).expect("room again");
    offer(&mut drain, 999);
    assert_eq!(counter(&drain, LOST), 3.0, "not yet");
    offer(&mut drain, 1_000);
    assert_eq!(counter(&drain, LOST), 3.0);
    assert_eq!(counter(&drain, "seawall_log_records_written_total"), 1.0);
    assert!(text(dir.path()).contains("\"seawall.log.records_dropped\":"));
}

#[test]
fn disabled_log_leaves_nothing() {
    let dir = crate::temp_dir();
    let settings = config::AccessLog { enabled: false, ..SETTINGS };
    let (handle, mut writers) =
        AccessLogHandle::start(&settings, &dir.path().join("logs"), 2, || (at(0), WALL))
            .expect("starts");
    writers[1].record(&record());
    LogWriter::disabled().record(&record());
    assert_eq!(writers.len(), 2);
    handle.shutdown();
    assert!(!dir.path().join("logs").exists());
}

#[test]
fn thread_writes_what_is_left_when_it_ends() {
    let dir = crate::temp_dir();
    let logs = dir.path().join("state/logs");
    let (handle, mut writers) =
        AccessLogHandle::start(&SETTINGS, &logs, 2, || (at(0), WALL)).expect("starts");
    for writer in &mut writers {
        (0..100).for_each(|_| writer.record(&record()));
    }
    handle.reopen();
    handle.shutdown();
    assert_eq!(text(&logs).lines().count(), 200);
}
