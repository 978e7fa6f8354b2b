//! What the page shows and does not: nothing loaded, nothing of strangers as markup, the figures of the report.

use super::*;
use crate::entry::{Note, NoteKind};
use crate::{Edition, RecordOrigin, example};

fn public(report: &Report) -> String {
    render(report, &ExportOptions::default()).expect("the public edition")
}

#[test]
fn nothing_is_loaded_run_or_linked_outside() {
    let page = public(&example());
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "http-equiv=\"refresh",
        "url(",
        "@import",
        "javascript:",
    ] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(page.contains(POLICY));
    let hrefs: Vec<&str> =
        page.match_indices("href=\"").map(|(at, _)| &page[at + 6..at + 7]).collect();
    assert!(!hrefs.is_empty() && hrefs.iter().all(|first| *first == "#"), "{hrefs:?}");
}

#[test]
fn totals_are_those_of_the_report() {
    let report = example();
    let page = public(&report);
    for number in
        [report.totals.requests, report.totals.refused, report.totals.matched, report.peak.requests]
    {
        let digits = number.to_string();
        let bare: String = page.replace(',', "");
        assert!(bare.contains(&digits), "{digits}");
    }
}

#[test]
fn words_of_strangers_stay_words() {
    const HOSTILE: &str =
        "</title></style><script>alert(1)</script>\"'><img src=x onerror=y>\u{202e}gpj\u{0}";
    let mut report = example();
    let hostile = || HOSTILE.to_owned();
    report.begin.sites = vec![hostile()];
    report.begin.software = hostile();
    report.begin.incident = hostile();
    report.begin.public_key = hostile();
    report.verdict = hostile();
    report.states[1].state = hostile();
    report.networks[0].registered = hostile();
    report.sources[0].registered = Some(hostile());
    report.sources[0].marks = vec![hostile()];
    report.looks[0].text = hostile();
    report.looks[0].attribute = hostile();
    report.gaps[0].why = hostile();
    report.gaps[0].detail = hostile();
    report.faults[0].part = hostile();
    report.unknown.push(hostile());
    report.assessments[0].evidence.push(hostile());
    report.mitigations[0].signature = hostile();
    report.mitigations[0].moves[0].change.why = hostile();
    report.mitigations[0].moves[3].change.terms[0].text = hostile();
    report.record.head = Some(hostile());
    report.record.timestamps = vec![(1, hostile())];
    report.notes = vec![Note {
        kind: NoteKind::Claim,
        author: hostile(),
        source: Some(hostile()),
        text: hostile(),
        ..Note::default()
    }];
    let page = public(&report);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}'));
    assert!(!page.contains('\u{0}'));
    assert_eq!(page.matches("</title>").count(), 1 + page.matches("<title id=").count());
    assert!(page.contains("\u{2039}U+202E\u{203a}"));
}

#[test]
fn the_public_edition_shows_no_full_address_and_the_sealed_one_does() {
    let report = example();
    let sealed = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
    let sealed = render(&report, &sealed).expect("the sealed edition");
    for each in &report.addresses {
        assert!(!public(&report).contains(&each.address), "{}", each.address);
        assert!(sealed.contains(&each.address), "{}", each.address);
    }
    assert!(sealed.contains("Sealed edition."));
}

#[test]
fn what_is_no_attack_live_or_over_says_so_at_the_top() {
    let first = |report: &Report| {
        let page = public(report);
        page[page.find("<main>").expect("a main part")..page.find("<nav").expect("contents")]
            .to_owned()
    };
    let mut report = example();
    report.verdict = "crowd".to_owned();
    assert!(first(&report).contains("This was not an attack"));
    let mut report = example();
    report.until = None;
    assert!(first(&report).contains("This is still going on."));
    for (origin, words) in [
        (RecordOrigin::Replay, "Reconstructed from access logs."),
        (RecordOrigin::Rehearsal, "This was a rehearsal."),
    ] {
        let mut report = example();
        report.begin.origin = origin;
        assert!(first(&report).contains(words), "{words}");
    }
}

#[test]
fn a_time_before_that_is_too_short_is_compared_with_nothing() {
    for (seconds, is_compared) in [(900, true), (160, true), (159, false), (2, false)] {
        let mut report = example();
        report.before.seconds = seconds;
        let page = public(&report);
        let first = page.split("<nav").next().unwrap_or_default();
        assert_eq!(first.contains(" before)"), is_compared, "{seconds}: {first}");
        assert_eq!(first.contains("for comparison"), is_compared, "{seconds}: {first}");
        assert_eq!(page.contains("too short to compare"), !is_compared, "{seconds}");
    }
}

#[test]
fn the_first_page_says_of_how_many_readers_and_what_was_answered_from_copies() {
    let first =
        |report: &Report| public(report).split("<nav").next().unwrap_or_default().to_owned();
    let mut report = example();
    assert!(first(&report).contains("People known to be readers made "), "{}", first(&report));
    for cohort in &mut report.cohorts {
        let is_met = cohort.cohort == crate::Cohort::Met;
        (cohort.requests, cohort.served) = if is_met { (900, 700) } else { (0, 0) };
    }
    report.totals.origin = 40;
    let page = first(&report);
    assert!(page.contains("Of no request it is certain that a reader made it"), "{page}");
    assert!(
        page.contains("700 were answered all the same, at least 660 of them with copies"),
        "{page}"
    );
    report.totals.origin = 700;
    assert!(!first(&report).contains("with copies"), "{}", first(&report));
}

#[test]
fn a_report_of_nothing_is_a_page_all_the_same() {
    let page = public(&Report::default());
    assert!(page.contains("</html>") && !page.contains("NaN") && !page.contains("inf"));
}

#[test]
fn a_marking_stands_at_both_ends() {
    let options = ExportOptions { tlp: Tlp::Green, ..ExportOptions::default() };
    let page = render(&example(), &options).expect("the public edition");
    assert_eq!(page.matches("<strong>TLP:GREEN</strong>").count(), 2);
}
