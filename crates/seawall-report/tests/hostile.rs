//! Words of strangers, in formats for machines: they come out as they went in, and as nothing but words.
//!
//! Method: a report whose signatures, terms, notes, networks and sites say whatever a property test makes up (control
//! characters, quotes, syntax of every format); each export is parsed, and the words are looked for where they belong. The
//! other way round, our own words are held against the list of what may not be said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use seawall_report::{
    Address, Addresses, Begin, Cohort, CohortCounts, Collector, Connections, Edition, End, Entry,
    ExportOptions, Lost, MetCounts, MitigationHistory, Moment, Move, Node, Note, OriginHealth,
    RecordFacts, Report, Second, Source, Step, StepKind, TimedMove, Word, csv, example, html, json,
    lint, misp, nis2, pdf, stix, xarf,
};
use serde_json::Value;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A report in which strangers have a say.
fn said(words: &str) -> Report {
    let word = |attribute: &str, lead: &str| Word {
        attribute: attribute.to_owned(),
        value: String::new(),
        text: format!("{lead}{words}"),
    };
    let terms = vec![
        word("JA4", "JA4 "),
        word("user agent", "user agent "),
        word("path template", "path template /"),
        word("query", ""),
    ];
    let change = Move { signature: words.to_owned(), terms, ..Move::default() };
    let mitigation = MitigationHistory {
        id: 1,
        signature: words.to_owned(),
        moves: vec![TimedMove { change, ..TimedMove::default() }],
        hardest: "block".to_owned(),
        ..MitigationHistory::default()
    };
    let text = words.to_owned();
    let note =
        Note { author: words.to_owned(), source: Some(words.to_owned()), text, ..Note::default() };
    let address = Address {
        address: "203.0.113.17".to_owned(),
        ports: vec![40_112],
        mitigations: vec![1],
        ..Address::default()
    };
    let mut report = Report {
        verdict: "attack".to_owned(),
        mitigations: vec![mitigation],
        notes: vec![note],
        addresses: vec![address],
        ..Report::default()
    };
    report.sources = vec![Source {
        prefix: "203.0.113.0/24".to_owned(),
        registered: Some(words.to_owned()),
        ..Source::default()
    }];
    report.begin.sites = vec![words.to_owned()];
    report
}

fn sealed() -> ExportOptions {
    ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() }
}

fn of_type<'o>(objects: &'o Value, key: &str, kind: &str) -> &'o Value {
    let mut list = objects.as_array().expect("a list").iter();
    list.find(|one| one[key] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
}

/// Every text in a JSON value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| texts(one, found)),
        Value::Object(object) => object.values().for_each(|one| texts(one, found)),
        _ => {}
    }
}

const PIECES: &str = r#"(\PC|[\x00-\x1f\x7f]|['"\\\]\[<>&=,;:%{}()?*^$|-]|</script>|-->|\r\n|\u{2028}|\u{202e}|…| AND | OR |From ){0,40}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn words_come_out_of_json_stix_and_misp_as_they_went_in(words in PIECES) {
        let report = said(&words);
        let json = parsed(&json::render(&report, &sealed()).expect("JSON"));
        prop_assert_eq!(&json["mitigations"][0]["signature"], &words);
        prop_assert_eq!(&json["notes"][0]["text"], &words);

        let objects = &parsed(&stix::render(&report, &sealed()).expect("STIX"))["objects"];
        prop_assert_eq!(&of_type(objects, "type", "indicator")["name"], &words);
        let note = of_type(objects, "type", "note");
        prop_assert_eq!(&note["content"], &words);
        let pattern = of_type(objects, "type", "indicator")["pattern"].as_str().unwrap_or_default();
        let escaped = words.replace('\\', r"\\").replace('\'', r"\'");
        let ja4 = format!(".ja4 = '{escaped}' AND ");
        prop_assert!(pattern.contains(&ja4), "{} in {}", ja4, pattern);

        let event = parsed(&misp::render(&report, &sealed()).expect("MISP"));
        let found = event["Event"]["Object"].as_array().into_iter().flatten()
            .flat_map(|object| object["Attribute"].as_array().into_iter().flatten())
            .find(|one| one["object_relation"] == "signature");
        // MISP refuses values of nothing but blanks.
        if words.trim().is_empty() {
            prop_assert!(found.is_none());
        } else {
            prop_assert_eq!(&found.expect("the signature")["value"], &words);
        }
    }

    #[test]
    fn words_stay_words_on_the_page_and_in_complaints(words in PIECES) {
        // A mark that the page itself does not have.
        let words = format!("{words}<x-stranger a='\"'>");
        let report = said(&words);
        let page = html::render(&report, &ExportOptions::default()).expect("a page");
        prop_assert!(!page.contains("<x-stranger"));
        let reports = parsed(&xarf::render(&report, &sealed()).expect("drafts"));
        let evidence = reports[0]["evidence"][0]["payload"].as_str().unwrap_or_default();
        let evidence = String::from_utf8(STANDARD.decode(evidence).expect("base64")).expect("text");
        let line = evidence.lines().find_map(|line| line.strip_prefix("requests had in common: "));
        let want: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        prop_assert_eq!(line, Some(want.as_str()));
    }
}

#[test]
fn our_own_words_claim_no_more_than_a_record_carries() {
    // What people and lists of networks say are quotations.
    let mut report = example();
    report.notes.clear();
    report.networks.clear();
    report.sources.iter_mut().for_each(|source| source.registered = None);
    for verdict in ["attack", "mixed", "crowd", ""] {
        verdict.clone_into(&mut report.verdict);
        let mut found = Vec::new();
        texts(&parsed(&stix::render(&report, &sealed()).expect("STIX")), &mut found);
        texts(&parsed(&misp::render(&report, &sealed()).expect("MISP")), &mut found);
        let drafts = nis2::Stage::ALL.map(|stage| nis2::render(&report, &sealed(), stage));
        found.extend(drafts.map(|one| one.expect("a text")));
        if verdict == "attack" {
            texts(&parsed(&xarf::render(&report, &sealed()).expect("drafts")), &mut found);
            let options = sealed();
            let mails = xarf::mails(&report, &options).expect("mails");
            found.extend(mails.map(|one| one.expect("a mail").text));
        }
        for text in &found {
            assert_eq!(lint::lint(text), [], "{text}");
        }
    }
}

/// What cannot be more: the largest figure of a line.
const MOST: u64 = u64::MAX;

/// A second with the largest figure in each field.
fn largest_second(place: u64) -> Second {
    let counts = |cohort| CohortCounts {
        cohort,
        requests: MOST,
        served: MOST,
        refused: MOST,
        tested: MOST,
        failed: MOST,
        late: MOST,
    };
    let met = MetCounts {
        id: 1,
        matched: MOST,
        control: MOST,
        blocked: MOST,
        tests_set: MOST,
        tests_passed: MOST,
    };
    let connections = Connections {
        opened: MOST,
        handshakes: MOST,
        handshake_failures: MOST,
        resets: MOST,
        slow: MOST,
        refused: MOST,
    };
    Second {
        at: Moment::from_unix_ms(place * 1_000),
        state: "attack".to_owned(),
        requests: MOST,
        expected: f64::MAX,
        pages: MOST,
        origin: MOST,
        spared: MOST,
        origin_cost_ms: MOST,
        client_errors: MOST,
        server_errors: MOST,
        refused: MOST,
        tests_set: MOST,
        tests_passed: MOST,
        new_clients: MOST,
        connections,
        cohorts: Cohort::ALL.map(counts).to_vec(),
        met: vec![met],
        node: Some(largest_node()),
        ..Second::default()
    }
}

fn largest_node() -> Node {
    let lost = |what: &str| Lost { what: what.to_owned(), count: MOST };
    Node {
        rx_bytes: MOST,
        tx_bytes: MOST,
        rx_drops: MOST,
        listen_drops: MOST,
        syn_cookies: MOST,
        resident_bytes: MOST,
        busy: f64::MAX,
        steal: f64::MAX,
        origin: OriginHealth { oldest_wait_ms: MOST, ..OriginHealth::default() },
        lost: vec![lost("observations"), lost("record_lines")],
        ..Node::default()
    }
}

/// What is made of such seconds and of networks and an address with such figures.
fn largest() -> Report {
    let source = |place: u64| Source {
        prefix: format!("203.0.{place}.0/24"),
        rows: MOST,
        met_rows: MOST,
        refused_rows: MOST,
        requests: f64::MAX,
        addresses: u32::MAX,
        marks: vec!["tor".to_owned(), "hosting".to_owned()],
        mitigations: vec![1],
        ..Source::default()
    };
    let address = Address {
        address: "203.0.113.17".to_owned(),
        ports: vec![40_112],
        refused: MOST,
        ..Address::default()
    };
    let begin = Begin {
        since: Moment::from_unix_ms(100_000),
        sites: vec!["daily.example".to_owned()],
        ..Begin::default()
    };
    let mut collector = Collector::with_addresses();
    collector.take(&Entry::Begin(Box::new(begin)));
    (0..200).for_each(|place| collector.take(&Entry::Second(Box::new(largest_second(place)))));
    (0..9).for_each(|place| collector.take(&Entry::Source(Box::new(source(place)))));
    let addresses = Addresses { addresses: vec![address], count: MOST, ..Addresses::default() };
    collector.take(&Entry::Addresses(Box::new(addresses)));
    let moved = Move { id: 1, to: Some("block".to_owned()), ..Move::default() };
    let at = Moment::from_unix_ms(101_000);
    let step = Step { at, step: StepKind::Moved, mitigation: Some(moved), ..Step::default() };
    collector.take(&Entry::Step(Box::new(step)));
    let until = Moment::from_unix_ms(180_000);
    let end =
        End { until, at: until, verdict: "attack".to_owned(), requests: MOST, ..End::default() };
    collector.take(&Entry::End(Box::new(end)));
    collector.finish(RecordFacts::default())
}

#[test]
fn the_largest_figures_are_shown_in_every_format() {
    let report = largest();
    assert_eq!((report.totals.requests, report.before.requests), (u64::MAX, u64::MAX));
    for edition in [Edition::Public, Edition::Sealed] {
        let options = ExportOptions { edition, ..ExportOptions::default() };
        let page = html::render(&report, &options).expect("a page");
        assert!(page.contains("18,446,744,073,709,551,615"), "what is too large stays the largest");
        pdf::render(&report, &options).expect("a PDF");
        for text in [
            json::render(&report, &options).expect("JSON"),
            stix::render(&report, &options).expect("STIX"),
            misp::render(&report, &options).expect("MISP"),
        ] {
            parsed(&text);
        }
        csv::render(&report, &options).expect("a table");
        for stage in nis2::Stage::ALL {
            nis2::render(&report, &options, stage).expect("a text");
        }
    }
    let sealed = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    parsed(&xarf::render(&report, &sealed).expect("drafts"));
    xarf::mbox(&report, &sealed).expect("mails");
    assert!(!csv::totals(&report).is_empty() && !csv::timeline(&report).is_empty());
}
