//! Every format is read back, and its figures have to be those of the report.
//!
//! Method: reports with sums at random, and the example, whose sums agree with each other; each export is parsed as who
//! receives it would, and each figure that it shows is compared with [`Report::totals`].

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use seawall_report::{
    Address, Connections, Edition, ExportOptions, Moment, Report, Totals, csv, example, html, json,
    misp, stix, xarf,
};
use serde_json::Value;

/// Sums by the names that the JSON export has.
type Figures = BTreeMap<&'static str, u64>;

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

fn of_json(report: &Report, options: &ExportOptions) -> Figures {
    of_totals(&parsed(&json::render(report, options).expect("JSON"))["totals"])
}

/// Of the incident; the observation of the sites has to say the same.
fn of_stix(report: &Report, options: &ExportOptions) -> Figures {
    let bundle = parsed(&stix::render(report, options).expect("STIX"));
    let objects = bundle["objects"].as_array().expect("objects");
    let totals = |object: &Value| -> Option<Value> {
        let extensions = object["extensions"].as_object()?;
        let found = extensions.values().find(|one| !one["totals"].is_null());
        found.map(|one| one["totals"].clone())
    };
    let all: Vec<Figures> = objects.iter().filter_map(totals).map(|one| of_totals(&one)).collect();
    assert!(!all.is_empty() && all.iter().all(|one| *one == all[0]), "{all:?}");
    if report.totals.requests > 0 {
        let observed = objects.iter().find(|one| one["type"] == "observed-data");
        let number = observed.expect("an observation")["number_observed"].as_u64();
        assert_eq!(number, Some(report.totals.requests.min(999_999_999)));
    }
    all[0].clone()
}

fn of_misp(report: &Report, options: &ExportOptions) -> Figures {
    let event = parsed(&misp::render(report, options).expect("MISP"));
    let objects = event["Event"]["Object"].as_array().expect("objects");
    let value = |object: &Value, relation: &str| -> Option<String> {
        let mut list = object["Attribute"].as_array()?.iter();
        let one = list.find(|one| one["object_relation"] == relation)?;
        one["value"].as_str().map(str::to_owned)
    };
    let object = objects.iter().find(|one| value(one, "counted-seconds").is_some());
    let object = object.expect("the object of sums");
    by_name(|name| {
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
    })
}

fn of_csv(report: &Report) -> Figures {
    let text = csv::totals(report);
    let lines: BTreeMap<&str, &str> = text
        .split("\r\n")
        .filter_map(|line| line.split_once(','))
        .map(|(name, rest)| (name, rest.split(',').next().unwrap_or_default()))
        .collect();
    by_name(|name| {
        let line = match name {
            "opened" => "connections_opened",
            "slow" => "slow_connections",
            "connections_refused" => "refused_connections",
            name => name,
        };
        lines.get(line)?.parse().ok()
    })
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
fn check_machines(report: &Report) {
    let want = figures(&report.totals);
    for edition in [Edition::Public, Edition::Sealed] {
        let options = ExportOptions { edition, ..ExportOptions::default() };
        assert_eq!(of_json(report, &options), want, "JSON");
        assert_eq!(of_stix(report, &options), want, "STIX");
        assert_eq!(of_misp(report, &options), want, "MISP");
    }
    assert_eq!(of_csv(report), want, "CSV");
}

#[track_caller]
fn check_drafts(report: &Report) {
    let options = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    let want = report.addresses.iter().map(|one| (one.address.clone(), one.refused)).collect();
    assert_eq!(refusals_of_drafts(report, &options), want);
}

/// What a page for people has to show.
#[track_caller]
fn check_page(report: &Report) {
    let page = html::render(report, &ExportOptions::default()).expect("a page");
    let totals = &report.totals;
    for figure in [totals.requests, totals.refused, totals.tests_set, report.peak.requests] {
        assert!(page.contains(&grouped(figure)), "{figure} is not on the page");
    }
}

#[test]
fn the_example_has_the_same_figures_in_every_format() {
    let report = example();
    check_machines(&report);
    check_drafts(&report);
    check_page(&report);
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
        check_machines(&report);
        if matches!(verdict, "attack" | "mixed") {
            check_drafts(&report);
        }
    }
}
