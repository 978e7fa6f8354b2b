//! Words of strangers, in formats for machines: they come out as they went in, and as nothing but words.
//!
//! Method: a report whose signatures, terms, notes, networks and sites say whatever a property test makes up (control
//! characters, quotes, syntax of every format); each export is parsed, and the words are looked for where they belong. The
//! other way round, our own words are held against the list of what may not be said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use seawall_report::{
    Address, Edition, ExportOptions, MitigationHistory, Move, Note, Report, Source, TimedMove,
    Word, example, html, json, lint, misp, stix, xarf,
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
