//! Every format is read back, and its figures have to be those of the record.
//!
//! Goal: a sum that is wrong, in one format or in all of them, is seen.
//! Method: the seconds of a record are summed up here, from its lines as plain JSON, and nothing of the crate is asked for
//! it; each export is parsed as who receives it would, and each figure that it shows is compared with those sums. The records
//! are the one under docs/examples, which the program wrote in a demo, and ones at random. Reports with sums at random, up to
//! the largest, are compared with [`Report::totals`] alone: no record has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use seawall_report::{
    Address, Collector, Connections, Edition, Entry, ExportOptions, Moment, RecordFacts, Report,
    Totals, csv, example, html, json, misp, stix, xarf,
};
use serde_json::{Value, json};

/// Sums by the names that the JSON export has.
type Figures = BTreeMap<&'static str, u64>;

/// What every format has to show.
#[derive(Debug)]
struct Sums {
    during: Figures,
    before: Figures,
    /// What would have been ordinary: in the incident, and before.
    expected: [f64; 2],
    /// Requests in the busiest second.
    peak: u64,
    /// Refusals by address.
    refusals: BTreeMap<String, u64>,
}

impl Sums {
    /// Of a report, where there is no record.
    fn told_by(report: &Report) -> Self {
        Self {
            during: figures(&report.totals),
            before: figures(&report.before),
            expected: [report.totals.expected, report.before.expected],
            peak: report.peak.requests,
            refusals: report
                .addresses
                .iter()
                .map(|one| (one.address.clone(), one.refused))
                .collect(),
        }
    }

    /// Of the lines of a record.
    fn of_record(record: &str) -> Self {
        let lines: Vec<(&str, Value)> = record.lines().map(|line| (line, parsed(line))).collect();
        let of = |kind: &'static str| lines.iter().filter(move |(_, line)| line["entry"] == kind);
        let since = of("begin").map(|(_, line)| time_ms(&line["since"])).next().expect("a begin");
        let until = of("end").map(|(_, line)| time_ms(&line["until"])).next();
        let mut sums = Self {
            during: figures(&Totals::default()),
            before: figures(&Totals::default()),
            expected: [0.0; 2],
            peak: 0,
            refusals: BTreeMap::new(),
        };
        let (mut excess, mut known) = ([0.0; 2], BTreeSet::new());
        for (_, line) in of("second").filter(|(text, _)| known.insert(*text)) {
            let at = time_ms(&line["at"]);
            // The second in which the first alarm was, and that in which the last was, belong to the incident.
            let is_before = at + 1_000 <= since;
            if !is_before && until.is_some_and(|until| at > until) {
                continue;
            }
            let requests = line["requests"].as_u64().expect("requests");
            let expected = line["expected"].as_f64().expect("what is ordinary");
            let into = if is_before { &mut sums.before } else { &mut sums.during };
            for (name, sum) in into {
                *sum += of_second(line, name);
            }
            sums.expected[usize::from(is_before)] += expected;
            excess[usize::from(is_before)] += (requests as f64 - expected).max(0.0);
            sums.peak = if is_before { sums.peak } else { sums.peak.max(requests) };
        }
        sums.during.insert("excess", excess[0] as u64);
        sums.before.insert("excess", excess[1] as u64);
        // A later line about an address says all that an earlier one did.
        for address in of("addresses").flat_map(|(_, line)| line["addresses"].as_array()).flatten()
        {
            let name = address["address"].as_str().expect("an address").to_owned();
            let sum = sums.refusals.entry(name).or_default();
            *sum = (*sum).max(address["refused"].as_u64().expect("refusals"));
        }
        sums
    }
}

fn time_ms(value: &Value) -> u64 {
    serde_json::from_value::<Moment>(value.clone()).expect("a moment").unix_ms()
}

/// What a line adds to a figure. A count that is left out is 0.
fn of_second(line: &Value, name: &str) -> u64 {
    let connections = &line["connections"];
    let count = |value: &Value| value.as_u64().unwrap_or(0);
    match name {
        "seconds" => 1,
        "excess" => 0,
        "matched" => {
            line["met"].as_array().into_iter().flatten().map(|one| count(&one["matched"])).sum()
        }
        "opened" | "handshakes" | "handshake_failures" | "resets" | "slow" => {
            count(&connections[name])
        }
        "connections_refused" => count(&connections["refused"]),
        "rx_bytes" | "tx_bytes" => count(&line["node"][name]),
        name => count(&line[name]),
    }
}

/// What the crate makes of a record, as the command line gives it to the exports.
fn collected(record: &str) -> Report {
    let mut collector = Collector::with_addresses();
    let entries = record.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
    entries.for_each(|entry| collector.take(&entry));
    collector.finish(RecordFacts::default())
}

fn figures(totals: &Totals) -> Figures {
    let connections = &totals.connections;
    BTreeMap::from([
        ("seconds", totals.seconds),
        ("requests", totals.requests),
        ("excess", totals.excess),
        ("refused", totals.refused),
        ("matched", totals.matched),
        ("origin", totals.origin),
        ("spared", totals.spared),
        ("origin_cost_ms", totals.origin_cost_ms),
        ("client_errors", totals.client_errors),
        ("server_errors", totals.server_errors),
        ("tests_set", totals.tests_set),
        ("tests_passed", totals.tests_passed),
        ("opened", connections.opened),
        ("handshakes", connections.handshakes),
        ("handshake_failures", connections.handshake_failures),
        ("resets", connections.resets),
        ("slow", connections.slow),
        ("connections_refused", connections.refused),
        ("rx_bytes", totals.rx_bytes),
        ("tx_bytes", totals.tx_bytes),
    ])
}

/// The figure of each name, as `get` finds it.
fn by_name(get: impl Fn(&'static str) -> Option<u64>) -> Figures {
    let names = figures(&Totals::default()).into_keys();
    names.map(|name| (name, get(name).unwrap_or_else(|| panic!("there is no {name}")))).collect()
}

/// Of an object with the keys of the JSON export.
fn of_totals(totals: &Value) -> Figures {
    by_name(|name| {
        let value = match name {
            "opened" | "handshakes" | "handshake_failures" | "resets" | "slow" => {
                &totals["connections"][name]
            }
            "connections_refused" => &totals["connections"]["refused"],
            name => &totals[name],
        };
        value.as_u64()
    })
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Whether it is the same but for what is cut off at the end.
fn is_near(shown: Option<f64>, want: f64) -> bool {
    shown.is_some_and(|shown| (shown - want).abs() <= 0.5 + want * 1e-12)
}

#[track_caller]
fn check_json(report: &Report, options: &ExportOptions, want: &Sums) {
    let shown = parsed(&json::render(report, options).expect("JSON"));
    assert_eq!(of_totals(&shown["totals"]), want.during, "JSON");
    assert_eq!(of_totals(&shown["before"]), want.before, "JSON, before");
    assert_eq!(shown["peak"]["requests"], want.peak, "JSON, the busiest second");
    for (key, want) in ["totals", "before"].into_iter().zip(want.expected) {
        assert!(is_near(shown[key]["expected"].as_f64(), want), "JSON, ordinary: {shown:#}");
    }
}

/// The incident has them; the observation of the sites has to say the same.
#[track_caller]
fn check_stix(report: &Report, options: &ExportOptions, want: &Sums) {
    let bundle = parsed(&stix::render(report, options).expect("STIX"));
    let objects = bundle["objects"].as_array().expect("objects");
    let totals = |object: &Value| -> Option<Value> {
        let extensions = object["extensions"].as_object()?;
        let found = extensions.values().find(|one| !one["totals"].is_null());
        found.map(|one| one["totals"].clone())
    };
    let all: Vec<Value> = objects.iter().filter_map(totals).collect();
    assert!(!all.is_empty());
    for one in &all {
        assert_eq!(of_totals(one), want.during, "STIX");
        assert!(is_near(one["expected"].as_f64(), want.expected[0]), "STIX, ordinary: {one:#}");
    }
    if want.during["requests"] > 0 {
        let observed = objects.iter().find(|one| one["type"] == "observed-data");
        let number = observed.expect("an observation")["number_observed"].as_u64();
        assert_eq!(number, Some(want.during["requests"].min(999_999_999)), "STIX, observed");
    }
}

#[track_caller]
fn check_misp(report: &Report, options: &ExportOptions, want: &Sums) {
    let event = parsed(&misp::render(report, options).expect("MISP"));
    let objects = event["Event"]["Object"].as_array().expect("objects");
    let value = |object: &Value, relation: &str| -> Option<String> {
        let mut list = object["Attribute"].as_array()?.iter();
        let one = list.find(|one| one["object_relation"] == relation)?;
        one["value"].as_str().map(str::to_owned)
    };
    let object = objects.iter().find(|one| value(one, "counted-seconds").is_some());
    let object = object.expect("the object of sums");
    let shown = by_name(|name| {
        let relation = match name {
            "seconds" => "counted-seconds".to_owned(),
            "excess" | "refused" | "matched" | "origin" | "spared" => format!("{name}-requests"),
            "opened" => "connections-opened".to_owned(),
            "resets" => "streams-reset".to_owned(),
            "slow" => "connections-slow".to_owned(),
            "rx_bytes" => "bytes-received".to_owned(),
            "tx_bytes" => "bytes-sent".to_owned(),
            name => name.replace('_', "-"),
        };
        value(object, &relation)?.parse().ok()
    });
    assert_eq!(shown, want.during, "MISP");
    let expected = value(object, "expected-requests").and_then(|text| text.parse().ok());
    assert!(is_near(expected, want.expected[0]), "MISP, ordinary: {expected:?}");
}

#[track_caller]
fn check_csv(report: &Report, want: &Sums) {
    let text = csv::totals(report);
    let lines: BTreeMap<&str, Vec<&str>> = text
        .split("\r\n")
        .filter_map(|line| line.split_once(','))
        .map(|(name, rest)| (name, rest.split(',').collect()))
        .collect();
    let column = |place: usize| {
        by_name(|name| {
            let line = match name {
                "opened" => "connections_opened",
                "slow" => "slow_connections",
                "connections_refused" => "refused_connections",
                name => name,
            };
            lines.get(line)?.get(place)?.parse().ok()
        })
    };
    assert_eq!(lines["what"], ["incident", "before"], "CSV");
    assert_eq!((column(0), column(1)), (want.during.clone(), want.before.clone()), "CSV");
    for (shown, want) in lines["expected"].iter().zip(want.expected) {
        assert!(is_near(shown.parse().ok(), want), "CSV, ordinary: {shown}");
    }
}

/// Refusals by address, of the evidence that each draft carries.
fn refusals_of_drafts(report: &Report, options: &ExportOptions) -> BTreeMap<String, u64> {
    let reports = parsed(&xarf::render(report, options).expect("drafts"));
    let mails = xarf::mbox(report, options).expect("a mailbox");
    let refusals = |one: &Value| {
        let evidence = one["evidence"][0]["payload"].as_str().expect("evidence");
        let evidence = STANDARD.decode(evidence).expect("base64");
        let evidence = String::from_utf8(evidence).expect("text");
        let line = evidence.lines().find_map(|line| line.strip_prefix("refusals seen"));
        let number = line.and_then(|line| line.rsplit_once(": ")).expect("refusals").1;
        let said = one["description"].as_str().expect("a description");
        assert!(said.starts_with(&format!("At least {number} requests ")), "{said}");
        assert!(mails.contains(&format!("Refused:      at least {number} requests\n")));
        let source = one["source_identifier"].as_str().expect("a source");
        (source.to_owned(), number.parse().expect("a number"))
    };
    reports.as_array().expect("an array").iter().map(refusals).collect()
}

/// `1,234,567`, as people read it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts = digits.as_bytes().rchunks(3).rev();
    let parts: Vec<&str> = parts.map(|part| std::str::from_utf8(part).expect("digits")).collect();
    parts.join(",")
}

#[track_caller]
fn check_machines(report: &Report, want: &Sums) {
    for edition in [Edition::Public, Edition::Sealed] {
        let options = ExportOptions { edition, ..ExportOptions::default() };
        check_json(report, &options, want);
        check_stix(report, &options, want);
        check_misp(report, &options, want);
    }
    check_csv(report, want);
}

#[track_caller]
fn check_drafts(report: &Report, want: &Sums) {
    let options = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    assert_eq!(refusals_of_drafts(report, &options), want.refusals, "XARF");
}

/// The cells of each row of all tables of a page that begins so.
fn rows<'p>(page: &'p str, begins: &str) -> Vec<Vec<&'p str>> {
    let cells = |row: &'p str| -> Vec<&'p str> {
        let cells = row.split("<td").skip(1);
        let text = |cell: &'p str| cell.split_once('>')?.1.split_once("</td>").map(|it| it.0);
        cells.map(|cell| text(cell).expect("a cell")).collect()
    };
    let rows = page.split("<tr><th scope=\"row\">").skip(1).filter(|row| row.starts_with(begins));
    rows.map(|row| cells(row.split("</tr>").next().unwrap_or_default())).collect()
}

/// What a page for people has to show, wherever it shows it.
#[track_caller]
fn check_page(report: &Report, want: &Sums) {
    let page = html::render(report, &ExportOptions::default()).expect("a page");
    for (begins, name, times) in [
        ("Requests<", "requests", 2),
        ("Beyond what is ordinary", "excess", 1),
        ("Met by a mitigation (", "matched", 1),
        ("Refused", "refused", 2),
        ("Given a cheap test", "tests_set", 1),
        ("The origin worked", "origin", 2),
    ] {
        let shown = rows(&page, begins);
        let wanted = [grouped(want.during[name]), grouped(want.before[name])];
        assert_eq!(shown, vec![wanted; times], "HTML, {name}");
    }
    let peak = grouped(want.peak);
    let busiest = rows(&page, "Requests in the busiest second");
    assert_eq!(busiest.len(), 2, "HTML, the busiest second");
    for row in busiest {
        assert!(row[0].starts_with(&format!("{peak}, at ")), "HTML, the busiest second: {row:?}");
    }
    let sum = |names: [&str; 2], between: &str| {
        names.map(|name| grouped(want.during[name])).join(between)
    };
    // Only where somebody looked at the machine.
    for (begins, wanted) in [
        ("Connections opened", grouped(want.during["opened"])),
        ("Connections refused before", grouped(want.during["connections_refused"])),
        ("TLS handshakes that failed", sum(["handshake_failures", "handshakes"], " of ")),
        ("Streams reset; connections too slow", sum(["resets", "slow"], "; ")),
        ("Requests the origin was spared", grouped(want.during["spared"])),
        ("Answers of 4xx; of 5xx", sum(["client_errors", "server_errors"], "; ")),
    ] {
        let shown = rows(&page, begins);
        let times = usize::from(report.node.is_some());
        assert_eq!(shown, vec![vec![wanted.as_str()]; times], "HTML, {begins}");
    }
}

/// All formats of a record, of which complaints can be made, have its figures.
#[track_caller]
fn check_record(record: &str) {
    let (report, want) = (collected(record), Sums::of_record(record));
    check_machines(&report, &want);
    check_page(&report, &want);
    if !want.refusals.is_empty() {
        check_drafts(&report, &want);
    }
}

#[test]
fn the_record_of_a_demo_has_the_figures_of_its_seconds_in_every_format() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/record.jsonl");
    let record = std::fs::read_to_string(path).expect("the record of the demo");
    let want = Sums::of_record(&record);
    assert!(want.during["requests"] > 10_000 && want.during["matched"] > 0, "{want:?}");
    assert!(want.before["requests"] > 0 && !want.refusals.is_empty(), "{want:?}");
    // Of a rehearsal there are no complaints.
    check_record(&record.replacen("\"origin\":\"rehearsal\"", "\"origin\":\"live\"", 1));
}

#[test]
fn the_example_has_the_same_figures_in_every_format() {
    let report = example();
    let want = Sums::told_by(&report);
    check_machines(&report, &want);
    check_drafts(&report, &want);
    check_page(&report, &want);
}

/// Milliseconds since 1970 of the first second of records at random.
const FIRST_MS: u64 = 1_795_341_180_000;
/// Figures of a second that lie beside `requests` and `expected`.
const OF_SECOND: [&str; 9] = [
    "origin",
    "spared",
    "origin_cost_ms",
    "client_errors",
    "server_errors",
    "refused",
    "tests_set",
    "tests_passed",
    "pages",
];

fn moment(ms: u64) -> Value {
    json!(Moment::from_unix_ms(FIRST_MS + ms))
}

prop_compose! {
    /// A second without its time.
    fn any_second()(
        requests in 0..1_000_000_000_u64, halves in 0..2_000_000_000_u64,
        figures in prop::array::uniform9(prop_oneof![Just(0), 0..1_000_000_000_u64]),
        connections in prop::array::uniform6(0..1_000_000_u64),
        matched in prop::collection::vec(0..1_000_000_u64, 0..3),
        node in prop::option::of((0..1_u64 << 40, 0..1_u64 << 40)),
    ) -> Value {
        let names = ["opened", "handshakes", "handshake_failures", "resets", "slow", "refused"];
        let connections: BTreeMap<_, _> = names.into_iter().zip(connections).collect();
        let mut second = json!({
            "entry": "second", "state": "attack", "requests": requests,
            "expected": halves as f64 / 2.0, "connections": connections,
            "cohorts": [{ "cohort": "unmarked", "requests": requests, "served": requests }],
        });
        // As in a real record: a count of 0 is not written.
        for (name, figure) in OF_SECOND.into_iter().zip(figures).filter(|(_, figure)| *figure > 0) {
            second[name] = json!(figure);
        }
        let met = (1..).zip(&matched).map(|(id, matched)| {
            json!({ "id": id, "matched": matched, "control": 0, "blocked": 0, "tests_set": 0,
                "tests_passed": 0 })
        });
        if !matched.is_empty() {
            second["met"] = met.collect();
        }
        if let Some((received, sent)) = node {
            second["node"] = json!({
                "rx_bytes": received, "tx_bytes": sent, "rx_packets": 0, "socket_memory_bytes": 0,
                "busy": 0.0, "steal": 0.0, "resident_bytes": 0,
                "origin": { "limit": 1, "in_flight": 0, "queued": 0, "oldest_wait_ms": 0,
                    "healthy": true },
            });
        }
        second
    }
}

/// What becomes of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Told,
    Missing,
    /// Its line is there twice.
    Doubled,
    /// The clock was set back: there is another one of its name.
    Again,
}

prop_compose! {
    /// A record: seconds before the alarm, in the incident and after it, some of which are missing, told twice or there again.
    fn any_record()(
        seconds in prop::collection::vec(
            (any_second(), any_second(), prop_oneof![
                6 => Just(Fate::Told), 1 => Just(Fate::Missing), 1 => Just(Fate::Doubled),
                1 => Just(Fate::Again),
            ]),
            1..24,
        ),
        since_ms in prop_oneof![0..12_000_u64, (0..12_u64).prop_map(|second| second * 1_000)],
        length_ms in prop::option::of(prop_oneof![0..12_000_u64, Just(3_000)]),
        refused in prop::collection::vec((any::<u32>(), 1..1_000_000_u64), 0..4),
    ) -> String {
        let mut lines = vec![json!({
            "entry": "begin", "record": 1, "incident": "20261122T095300Z-3f1a",
            "since": moment(since_ms), "recorded_from": moment(0), "sites": ["daily.example"],
            "origin": "live", "software": "seawall", "run": "3f1a", "public_key": "",
            "attributes": [], "remove_addresses_at": moment(0),
        })];
        for (place, (second, other, fate)) in (0_u64..).zip(seconds) {
            let at = moment(place * 1_000);
            let [mut second, mut other] = [second, other];
            (second["at"], other["at"]) = (at.clone(), at);
            // What is told twice is only looked for from the alarm on.
            let is_before = (place + 1) * 1_000 <= since_ms;
            match fate {
                Fate::Missing => continue,
                Fate::Doubled if !is_before => lines.extend([second.clone(), second]),
                Fate::Told | Fate::Doubled => lines.push(second),
                Fate::Again => lines.extend([second, other]),
            }
        }
        let address = |(ip, refused): &(u32, u64)| json!({
            "address": std::net::Ipv4Addr::from(*ip).to_string(), "ports": [40_000],
            "first_seen": moment(0), "last_seen": moment(1_000), "refused": refused,
        });
        // Told once a minute, and each time of all that was seen until then.
        for part in [0, refused.len() / 2] {
            let addresses: Vec<Value> = refused[part..].iter().map(address).collect();
            lines.push(json!({ "entry": "addresses", "salt": "00", "addresses": addresses,
                "count": addresses.len(), "remove_at": moment(0) }));
        }
        if let Some(length_ms) = length_ms {
            lines.push(json!({ "entry": "end", "until": moment(since_ms + length_ms),
                "at": moment(60_000), "verdict": "attack", "requests": 7, "excess": 7,
                "matched": 7 }));
        } else {
            lines.push(json!({ "entry": "step", "at": moment(since_ms), "step": "judged",
                "verdict": "attack" }));
        }
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

prop_compose! {
    fn any_totals()(
        figures in prop::array::uniform20(0..u64::MAX / 4), expected in 0.0..1e12,
    ) -> Totals {
        let [
            seconds, requests, excess, refused, matched, origin, spared, origin_cost_ms,
            client_errors, server_errors, tests_set, tests_passed, opened, handshakes,
            handshake_failures, resets, slow, connections_refused, rx_bytes, tx_bytes,
        ] = figures;
        let connections = Connections {
            opened, handshakes, handshake_failures, resets, slow, refused: connections_refused,
        };
        Totals {
            seconds, requests, expected, excess, refused, matched, origin, spared, origin_cost_ms,
            client_errors, server_errors, tests_set, tests_passed, connections, rx_bytes, tx_bytes,
        }
    }
}

prop_compose! {
    fn any_addresses()(
        list in prop::collection::btree_map(
            any::<u32>(), (1..u64::MAX / 4, 1..u16::MAX, any::<u32>()), 1..8,
        ),
    ) -> Vec<Address> {
        let made = |(ip, (refused, port, seen)): (u32, (u64, u16, u32))| Address {
            address: std::net::Ipv4Addr::from(ip).to_string(),
            ports: vec![port],
            first_seen: Moment::from_unix_ms(u64::from(seen)),
            last_seen: Moment::from_unix_ms(u64::from(seen) + refused % 10_000),
            refused,
            ..Address::default()
        };
        list.into_iter().map(made).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_sums_are_the_same_in_every_format(
        totals in any_totals(), before in any_totals(), addresses in any_addresses(),
        verdict in prop::sample::select(vec!["attack", "mixed", "crowd", ""]),
    ) {
        let mut report = Report { totals, before, addresses, ..Report::default() };
        verdict.clone_into(&mut report.verdict);
        report.begin.sites = vec!["daily.example".to_owned()];
        let want = Sums::told_by(&report);
        check_machines(&report, &want);
        check_page(&report, &want);
        if verdict == "attack" {
            check_drafts(&report, &want);
        }
    }

    #[test]
    fn any_record_has_the_figures_of_its_seconds_in_every_format(record in any_record()) {
        check_record(&record);
    }
}
