//! What is found, what is not, and that no text of ours has any of it.

use std::fs;
use std::path::Path;

use super::*;
use crate::example::example;
use crate::{Collector, ExportOptions, RecordFacts, RecordOrigin, Report, csv, derive, json};

#[test]
fn what_must_not_be_said_is_found() {
    for text in [
        "The record proves it.",
        "This was a state-sponsored attack",
        "A Russian attack began.",
        "the Chinese DDoS campaign",
        "Requests came from Germany.",
        "They came from the Netherlands, mostly",
        "machines located in Viet Nam",
        "It is very likely, with high confidence, that it is so.",
        "Der Angriff kam aus Russland und beweist nichts.",
        "Hackers did it.",
        "It was carried out by a group",
        "certainly",
    ] {
        assert!(!lint(text).is_empty(), "{text}");
    }
}

#[test]
fn what_may_be_said_is_not() {
    for text in [
        "Networks registered in Germany.",
        "AS64500 Example (DE)",
        "It is very likely that one tool made most of the requests. Our confidence in this judgement is low.",
        "From 2026-11-22 to 2026-11-23",
        "the origin of requests in the sample",
        "English first",
        "improve, approve",
        "The French edition",
    ] {
        assert_eq!(lint(text), [], "{text}");
    }
}

/// What people and clients wrote is not ours; all that is, stays.
fn ours(mut report: Report) -> Report {
    report.notes.clear();
    report.faults.clear();
    report.looks.clear();
    report.sources.iter_mut().for_each(|source| source.registered = None);
    report.networks.iter_mut().for_each(|network| network.registered = "AS64500".to_owned());
    for history in &mut report.mitigations {
        history.signature = "a signature".to_owned();
        history.moves.iter_mut().for_each(|it| {
            it.change.signature = "a signature".to_owned();
            it.change.terms.clear();
        });
    }
    report
}

/// Reports of every kind: of an attack, a crowd, a rehearsal, from logs, and of nothing at all.
fn reports() -> Vec<Report> {
    let with = |change: &dyn Fn(&mut Report)| {
        let mut report = example();
        change(&mut report);
        report.assessments = derive(&report);
        report
    };
    vec![
        example(),
        with(&|_| ()),
        with(&|report| report.verdict = "crowd".to_owned()),
        with(&|report| report.verdict = "mixed".to_owned()),
        with(&|report| report.verdict.clear()),
        with(&|report| report.begin.origin = RecordOrigin::Replay),
        with(&|report| report.begin.origin = RecordOrigin::Rehearsal),
        with(&|report| {
            for source in &mut report.sources {
                source.rows *= 100;
                source.met_rows = source.rows;
                source.marks = vec!["tor".to_owned(), "hosting".to_owned()];
            }
        }),
        Collector::new().finish(RecordFacts::default()),
    ]
    .into_iter()
    .map(ours)
    .collect()
}

#[test]
fn no_export_says_more_than_a_record_can_carry() {
    let options = ExportOptions::default();
    for report in reports() {
        let mut texts = vec![
            json::render(&report, &options).expect("public"),
            csv::render(&report, &options).expect("public"),
            csv::totals(&report),
            crate::stix::render(&report, &options).expect("public"),
            crate::misp::render(&report, &options).expect("public"),
            without_markup(&crate::html::render(&report, &options).expect("public")),
        ];
        texts.extend(report.assessments.iter().flat_map(crate::Assessment::sentences));
        for stage in crate::nis2::Stage::ALL {
            texts.push(crate::nis2::render(&report, &options, stage).expect("public"));
        }
        for text in texts.iter().flat_map(|text| said(text)) {
            assert_eq!(lint(&text), [], "{text}");
        }
    }
}

#[test]
fn what_was_worked_out_from_logs_is_not_said_to_have_been_done() {
    let mut report = ours(example());
    report.begin.origin = RecordOrigin::Replay;
    (report.totals.refused, report.before.refused, report.node) = (0, 0, None);
    report.timeline.iter_mut().for_each(|part| part.refused = 0);
    report.gaps.clear();
    report.unknown.clear();
    report.assessments = derive(&report);
    for history in &mut report.mitigations {
        (history.met.blocked, history.met.tests_set, history.met.tests_passed) = (0, 0, 0);
    }
    let options = ExportOptions::default();
    let mut texts = vec![
        crate::stix::render(&report, &options).expect("public"),
        crate::misp::render(&report, &options).expect("public"),
        without_markup(&crate::html::render(&report, &options).expect("public")),
    ];
    for stage in crate::nis2::Stage::ALL {
        texts.push(crate::nis2::render(&report, &options, stage).expect("public"));
    }
    let texts: Vec<String> = texts.iter().flat_map(|text| said(text)).collect();
    let (mut seen, is_open) = (0, ["would", "obody", "ould have"]);
    for sentence in texts.iter().flat_map(|text| text.split(['\n', '.'])) {
        let is_done = [" refused", " tested", "a mitigation met", "let off"];
        if is_done.iter().any(|done| sentence.contains(done)) {
            seen += 1;
            assert!(is_open.iter().any(|word| sentence.contains(word)), "{sentence}");
        }
    }
    assert!(seen > 10, "{seen}");
}

/// What a page says, a part a line.
fn without_markup(page: &str) -> String {
    let parts = page.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text));
    parts.collect::<Vec<_>>().join("\n")
}

/// What is said to people: of JSON its strings, and of all else the whole text.
fn said(text: &str) -> Vec<String> {
    fn strings(value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) => into.push(text.clone()),
            serde_json::Value::Array(all) => all.iter().for_each(|one| strings(one, into)),
            serde_json::Value::Object(all) => all.values().for_each(|one| strings(one, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    match serde_json::from_str(text) {
        Ok(value) => strings(&value, &mut found),
        Err(_) => found.push(text.to_owned()),
    }
    found
}

#[test]
fn no_constant_of_this_crate_says_it_either() {
    let mut checked = 0;
    each_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, source| {
        let is_exempt = ["/lint", "/example", "tests.rs"].iter().any(|part| path.contains(part));
        if is_exempt {
            return;
        }
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in literals(code) {
            checked += 1;
            assert_eq!(lint(&literal.replace("\\n", "\n")), [], "{path}: {literal}");
        }
    });
    assert!(checked > 300, "{checked}");
}

fn each_source(dir: &Path, look: &mut dyn FnMut(&str, &str)) {
    for entry in fs::read_dir(dir).expect("our own sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|it| it == "rs") {
            look(&path.to_string_lossy(), &fs::read_to_string(&path).expect("text"));
        }
    }
}

/// Strings between quotes, outside of comments.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut parts = line.replace("\\\"", "'");
        while let Some((_, rest)) = parts.split_once('"') {
            let (text, rest) = rest.split_once('"').unwrap_or((rest, ""));
            found.push(text.to_owned());
            parts = rest.to_owned();
        }
    }
    found
}
