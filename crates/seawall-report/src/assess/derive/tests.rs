//! What is judged of reports made for it, and what is not.

use proptest::prelude::*;

use super::*;
use crate::entry::{Cohort, Source};
use crate::report::Network;

/// So many networks with ten rows each, all met, of which the first `marked` have a mark.
fn report(networks: u32, marked: u32, mark: &str) -> Report {
    let source = |place: u32| Source {
        prefix: format!("{}/24", std::net::Ipv4Addr::from(place << 8)),
        rows: 10,
        met_rows: 10,
        requests: 100.0,
        marks: if place < marked { vec![mark.to_owned()] } else { Vec::new() },
        ..Source::default()
    };
    let sources = (0..networks).map(source).collect();
    Report { verdict: "attack".to_owned(), sources, ..Report::default() }
}

fn look(attribute: &str, text: &str, share_of_met: f64, share_of_others: f64) -> Look {
    let (attribute, text) = (attribute.to_owned(), text.to_owned());
    Look { attribute, text, share_of_met, share_of_others }
}

fn tool(networks: u32) -> Report {
    let mut report = report(networks, 1, "hosting");
    report.looks = vec![
        look("JA4", "t13d", 0.97, 0.01),
        look("field order", "host,accept", 0.96, 0.02),
        look("browser", "Chrome 119", 0.98, 0.2),
    ];
    let network = |place: u32| Network {
        registered: format!("AS{} Example", 64_500 + place),
        met_rows: 10,
        ..Network::default()
    };
    report.networks = (0..networks).map(network).collect();
    report
}

fn judged(report: &Report) -> Vec<(Subject, Likelihood, Confidence)> {
    derive(report).iter().map(|it| (it.subject, it.likelihood, it.confidence)).collect()
}

#[test]
fn a_class_of_sources_is_judged_by_how_much_of_it_is_sure() {
    use Confidence::{Low, Moderate};
    use Likelihood::{AlmostCertain, Likely, RoughlyEven, VeryLikely};
    for (networks, marked, mark, want) in [
        (1_000, 990, "tor", Some((Subject::Tor, AlmostCertain, Moderate))),
        (1_000, 990, "hosting", Some((Subject::Hosting, VeryLikely, Moderate))),
        (1_000, 600, "hosting", Some((Subject::Hosting, Likely, Moderate))),
        (1_000, 450, "hosting", Some((Subject::Hosting, RoughlyEven, Moderate))),
        (1_000, 300, "hosting", None),
        (20, 20, "hosting", Some((Subject::Hosting, VeryLikely, Low))),
        (20, 12, "hosting", Some((Subject::Hosting, RoughlyEven, Low))),
        // Too few rows, and too few networks.
        (19, 19, "hosting", None),
        (1_000, 0, "hosting", None),
    ] {
        assert_eq!(
            judged(&report(networks, marked, mark)).first().copied(),
            want,
            "{networks} {marked} {mark}"
        );
    }
}

#[test]
fn one_large_network_is_one_witness() {
    let mut report = report(50, 1, "hosting");
    report.sources[0].requests = 1e6;
    let judged = judged(&report);
    assert_eq!(judged.first().map(|it| it.1), Some(Likelihood::RoughlyEven), "{judged:?}");
}

#[test]
fn one_tool_needs_a_greeting_and_an_order_of_its_own() {
    let found = judged(&tool(100));
    assert_eq!(found, [(Subject::SingleTool, Likelihood::VeryLikely, Confidence::Moderate)]);
    let rests_on = |report: &Report| derive(report)[0].evidence.join("\n");
    assert!(rests_on(&tool(100)).contains("the same order of fields"), "{}", rests_on(&tool(100)));
    let mut from_logs = tool(100);
    from_logs.looks[1] = look("user agent", "x/1", 0.96, 0.02);
    assert!(rests_on(&from_logs).contains("the same user agent"), "{}", rests_on(&from_logs));
    let mut common = tool(100);
    common.looks[0].share_of_others = 0.5;
    assert_eq!(judged(&common), [], "a browser that readers have as well");
    let mut weak = tool(100);
    weak.looks[1].share_of_met = 0.7;
    assert_eq!(judged(&weak), []);
    assert_eq!(judged(&tool(19)), [], "too few networks");
}

#[test]
fn one_tool_over_very_many_registrants_is_proxies_or_devices_with_low_confidence() {
    let found = judged(&tool(600));
    assert_eq!(found[0], (Subject::Proxies, Likelihood::Likely, Confidence::Low));
    assert_eq!(found[1], (Subject::SingleTool, Likelihood::VeryLikely, Confidence::High));
    let mut nameless = tool(600);
    nameless.looks[2].text = "none".to_owned();
    assert_eq!(judged(&nameless)[0].0, Subject::Devices);
    let mut unknown = tool(600);
    unknown.sources[0].marks.clear();
    assert_eq!(judged(&unknown).len(), 1, "without a list of hosting networks it cannot be told");
}

#[test]
fn a_tool_that_gives_its_name_is_consistent_with_its_family() {
    let mut report = report(100, 0, "");
    report.looks = vec![look("browser", "python-requests 2", 0.95, 0.01)];
    assert_eq!(judged(&report), [(Subject::ToolFamily, Likelihood::Likely, Confidence::Low)]);
    assert!(derive(&report)[0].sentences()[0].contains("consistent with"));
}

#[test]
fn a_crowd_is_said_to_be_no_attack() {
    let mut report = report(1_000, 990, "hosting");
    report.verdict = "crowd".to_owned();
    report.totals.excess = 1_000;
    let found = derive(&report);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].likelihood, Likelihood::VeryLikely);
    assert!(
        found[0].sentences()[0].ends_with("there was no attack."),
        "{:?}",
        found[0].sentences()
    );
    report.totals.matched = 500;
    assert_eq!(derive(&report)[0].likelihood, Likelihood::Likely);
    let said = |report: &Report| derive(report)[0].evidence.join("\n");
    assert_eq!(said(&report).lines().count(), 1, "nothing is said that has no figure");
    report.states = vec![crate::report::StateChange {
        at: crate::Moment::default(),
        state: "crowd".to_owned(),
    }];
    (report.totals.tests_set, report.totals.tests_passed) = (40, 38);
    let cohort = |cohort, requests| crate::report::CohortTotals {
        cohort,
        requests,
        served: requests,
        refused: 0,
        tested: 0,
        failed: 0,
        late: 0,
    };
    report.cohorts = vec![cohort(Cohort::KnownReader, 30), cohort(Cohort::Unmarked, 70)];
    for words in
        ["from 1970-01-01 00:00:00 UTC on", "40 cheap tests that were set 38", "30.0 % came"]
    {
        assert!(said(&report).contains(words), "`{words}` is not in: {}", said(&report));
    }
}

#[test]
fn a_rehearsal_is_not_judged_and_logs_give_low_confidence() {
    let mut report = report(1_000, 990, "tor");
    report.begin.origin = RecordOrigin::Replay;
    assert_eq!(judged(&report), [(Subject::Tor, Likelihood::AlmostCertain, Confidence::Low)]);
    report.begin.origin = RecordOrigin::Rehearsal;
    assert_eq!(judged(&report), []);
    assert_eq!(judged(&Report::default()), []);
}

#[test]
fn likelihood_and_confidence_are_in_different_sentences_and_every_judgement_is_complete() {
    for one in [tool(600), report(1_000, 990, "tor")].iter().flat_map(derive) {
        let [likelihood, confidence] = one.sentences();
        assert!(
            !likelihood.contains("onfidence") && !confidence.contains("likely"),
            "{likelihood} {confidence}"
        );
        assert!(
            one.evidence.iter().all(|text| text.contains(|c: char| c.is_ascii_digit())),
            "{one:?}"
        );
        assert!(!one.alternatives.is_empty() && !one.would_change.is_empty(), "{one:?}");
    }
}

proptest! {
    #[test]
    fn an_interval_has_its_part_in_it(weights in prop::collection::vec((0.0_f64..1e9, any::<bool>()), 0..60)) {
        let marked = |is: bool| if is { vec!["x".to_owned()] } else { Vec::new() };
        let weights: Vec<_> = weights.into_iter().map(|(weight, is)| (weight, marked(is))).collect();
        let interval = Interval::of(&weights, |marks| !marks.is_empty());
        prop_assert!(interval.low >= 0.0 && interval.low <= interval.middle + 1e-9 && interval.middle <= 1.0 + 1e-9);
    }
}
