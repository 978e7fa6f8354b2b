//! What a collector makes of records: of ordinary ones, of broken ones, and of ones made to break it.

use proptest::prelude::*;

use super::*;
use crate::entry::{Cohort, CohortCounts, MetCounts, Move, Node, Word};

fn at(second: u64) -> Moment {
    Moment::from_unix_ms(1_795_341_600_000 + second * 1_000)
}

fn begin(since: u64) -> Entry {
    Entry::Begin(Box::new(Begin {
        since: at(since),
        recorded_from: at(0),
        attributes: vec!["JA4".to_owned()],
        ..Begin::default()
    }))
}

fn second(place: u64, requests: u64) -> Second {
    let counts = |cohort, requests| CohortCounts {
        cohort,
        requests,
        served: requests / 2,
        refused: 0,
        tested: 0,
        failed: 0,
        late: 0,
    };
    let met = requests / 3;
    Second {
        at: at(place),
        state: "attack".to_owned(),
        requests,
        expected: 10.0,
        refused: met,
        cohorts: vec![counts(Cohort::Met, met), counts(Cohort::Unmarked, requests - met)],
        met: vec![MetCounts { id: 1, matched: met, ..MetCounts::default() }],
        node: Some(Node { rx_bytes: requests.saturating_mul(100), ..Node::default() }),
        ..Second::default()
    }
}

fn end(until: u64) -> Entry {
    let until = at(until);
    Entry::End(Box::new(End { until, at: until, verdict: "attack".to_owned(), ..End::default() }))
}

fn collect(entries: &[Entry]) -> Report {
    let mut collector = Collector::new();
    entries.iter().for_each(|entry| collector.take(entry));
    collector.finish(RecordFacts::default())
}

/// Seconds with these requests, one after the other.
fn seconds(requests: &[u64]) -> Vec<Entry> {
    let each = (0..).zip(requests);
    each.map(|(place, requests)| Entry::Second(Box::new(second(place, *requests)))).collect()
}

#[test]
fn seconds_before_the_alarm_and_after_it_are_not_the_incident() {
    let mut entries = vec![begin(2)];
    entries.extend(seconds(&[1, 2, 4, 800, 16, 32]));
    entries.push(end(4));
    let report = collect(&entries);
    assert_eq!((report.before.requests, report.before.seconds), (3, 2));
    assert_eq!((report.totals.requests, report.totals.seconds), (820, 3));
    assert_eq!((report.peak.at, report.peak.requests), (at(3), 800));
    // Beyond ten a second: 790 and 6; what is less than ordinary takes nothing away.
    assert_eq!(report.totals.excess, 796);
    assert_eq!(report.totals.matched, 1 + 266 + 5);
    assert_eq!((report.until, report.recorded_until), (Some(at(4)), at(5)));
    let in_timeline: u64 = report.timeline.iter().map(|bucket| bucket.requests).sum();
    assert_eq!(in_timeline, 855, "the timeline shows all of it");
}

#[test]
fn an_alarm_in_the_middle_of_a_second_has_that_second() {
    let mut entries = vec![begin(2)];
    if let Entry::Begin(begin) = &mut entries[0] {
        begin.since = at(2).plus_ms(999);
    }
    entries.extend(seconds(&[1, 2, 4]));
    assert_eq!(collect(&entries).totals.requests, 4);
}

#[test]
fn what_goes_on_counts_to_the_end_of_what_there_is() {
    let mut entries = vec![begin(0)];
    entries.extend(seconds(&[5; 8_000]));
    let report = collect(&entries);
    assert_eq!(
        (report.totals.seconds, report.totals.requests, report.until),
        (8_000, 40_000, None)
    );
}

#[test]
fn a_record_that_ends_hours_after_the_last_alarm_says_that_part_of_it_is_counted() {
    let mut entries = vec![begin(0)];
    entries.extend(seconds(&[5; 8_000]));
    entries.push(end(10));
    let report = collect(&entries);
    assert_eq!(report.totals.seconds, 800);
    assert!(report.unknown.iter().any(|text| text.contains("more than two hours")));
}

#[test]
fn a_clock_that_was_set_back_loses_no_second_and_a_doubled_line_adds_none() {
    let mut entries = vec![begin(0)];
    for (place, requests) in [(0, 10), (1, 20), (2, 30), (1, 25), (2, 30), (3, 40)] {
        entries.push(Entry::Second(Box::new(second(place, requests))));
    }
    let report = collect(&entries);
    assert_eq!((report.totals.requests, report.totals.seconds), (125, 5));
    let rates: Vec<_> =
        report.timeline.iter().map(|bucket| (bucket.seconds, bucket.requests)).collect();
    assert_eq!(rates, [(1, 10), (2, 45), (1, 30), (1, 40)]);
    assert!(report.unknown.iter().any(|text| text.starts_with("1 line of the record")));
}

#[test]
fn a_clock_that_was_set_by_years_is_counted_and_said() {
    let mut entries = vec![begin(0)];
    entries.extend(seconds(&[1, 2, 3]));
    let mut far = second(0, 100);
    far.at = Moment::from_unix_ms(u64::MAX);
    entries.push(Entry::Second(Box::new(far)));
    let mut early = second(0, 1_000);
    early.at = Moment::default();
    entries.push(Entry::Second(Box::new(early)));
    let report = collect(&entries);
    let in_timeline: u64 = report.timeline.iter().map(|bucket| bucket.requests).sum();
    assert_eq!(in_timeline, 1_106);
    assert_eq!(report.totals.requests + report.before.requests, 1_106);
    assert!(report.unknown.iter().any(|text| text.starts_with("2 seconds lie outside")));
}

#[test]
fn gaps_leave_empty_parts_in_the_timeline() {
    let mut entries = vec![begin(0)];
    for place in (0..100).chain(400..500) {
        entries.push(Entry::Second(Box::new(second(place, 7))));
    }
    let (from, until, why) = (at(100), Some(at(400)), "killed".to_owned());
    entries.push(Entry::Gap(Gap { from, until, why, ..Gap::default() }));
    let report = collect(&entries);
    assert_eq!(report.timeline.len(), 500);
    assert_eq!(report.timeline[250].seconds, 0);
    assert_eq!(report.timeline[400].at, at(400));
    assert!(!report.unknown.iter().any(|text| text.contains("missing")), "{:?}", report.unknown);
}

#[test]
fn nine_hours_are_shown_by_the_minute() {
    let mut entries = vec![begin(900)];
    entries.extend(seconds(&[5_000; 33_300]));
    let report = collect(&entries);
    assert_eq!(report.timeline.len(), 555);
    assert_eq!(report.timeline[1].at, at(60));
    assert!(report.timeline.iter().all(|bucket| bucket.seconds == 60));
}

#[test]
fn states_are_told_when_they_change() {
    let mut entries = vec![begin(0)];
    for (place, state) in ["normal", "watch", "watch", "attack", "recovery"].into_iter().enumerate()
    {
        let state = state.to_owned();
        entries.push(Entry::Second(Box::new(Second { state, ..second(place as u64, 1) })));
    }
    let states: Vec<_> = collect(&entries).states.into_iter().map(|it| (it.at, it.state)).collect();
    let want = [(0, "normal"), (1, "watch"), (3, "attack"), (4, "recovery")];
    assert_eq!(states, want.map(|(place, state)| (at(place), state.to_owned())));
}

#[test]
fn the_verdict_is_the_furthest_and_none_is_made_up() {
    let judged = |verdict: &str| {
        let verdict = Some(verdict.to_owned());
        Entry::Step(Box::new(Step { step: StepKind::Judged, verdict, ..Step::default() }))
    };
    let ended =
        |verdict: &str| Entry::End(Box::new(End { verdict: verdict.to_owned(), ..End::default() }));
    for (said, want) in [
        (vec![], ""),
        (vec![ended("")], ""),
        (vec![judged("no word of ours")], ""),
        (vec![judged("mixed")], "mixed"),
        (vec![judged("mixed"), judged("crowd")], "crowd"),
        (vec![judged("crowd"), end(0)], "attack"),
        // First or last seconds that fit nothing do not undo what was seen between them, nor does an end that was
        // written after the program broke down.
        (vec![judged("mixed"), judged("attack"), judged("mixed")], "attack"),
        (vec![judged("attack"), ended("mixed")], "attack"),
        (vec![judged("attack"), ended("")], "attack"),
    ] {
        let report = collect(&[vec![begin(0)], said.clone()].concat());
        assert_eq!(report.verdict, want, "{said:?}");
    }
}

#[test]
fn sources_are_those_of_rows_until_there_are_lines_about_them() {
    let row = |prefix: &str, p| {
        Entry::Row(Box::new(Row { prefix: prefix.to_owned(), p, ..Row::default() }))
    };
    let rows = [row("192.0.2.0/24", 0.1), row("192.0.2.9", 0.5), row("198.51.100.0/24", 1.0)];
    let report = collect(&[&[begin(0)][..], &rows].concat());
    assert_eq!(report.sample.prefixes, 2);
    assert_eq!((report.sources[0].prefix.as_str(), report.sources[0].rows), ("192.0.2.0/24", 2));
    assert!((report.sample.requests - 13.0).abs() < 1e-9);
    let prefix = "203.0.113.0/24".to_owned();
    let told = Entry::Source(Box::new(crate::Source { prefix, ..crate::Source::default() }));
    let report = collect(&[&[begin(0)][..], &rows, &[told]].concat());
    assert_eq!(report.sources.len(), 1);
    assert_eq!(report.sample.rows, 3);
}

#[test]
fn full_addresses_go_by_unless_they_are_asked_for() {
    let one = |refused, port| Address {
        address: "192.0.2.7".to_owned(),
        refused,
        ports: vec![port],
        ..Address::default()
    };
    let line = |address| {
        Entry::Addresses(Box::new(Addresses { addresses: vec![address], ..Addresses::default() }))
    };
    let lines = [line(one(20, 1)), line(one(30, 2)), line(one(25, 1))];
    let report = collect(&lines);
    assert_eq!(report.addresses, []);
    assert!(!format!("{report:?}").contains("192.0.2.7"));
    let mut collector = Collector::with_addresses();
    lines.iter().for_each(|entry| collector.take(entry));
    let report = collector.finish(RecordFacts::default());
    assert_eq!(report.addresses.len(), 1);
    assert_eq!(
        (report.addresses[0].refused, report.addresses[0].ports.as_slice()),
        (30, &[1, 2][..])
    );
}

/// A record that says as much as it can of everything: what is kept has a bound.
#[test]
fn an_endless_record_makes_a_bounded_report() {
    let mut collector = Collector::with_addresses();
    collector.take(&begin(0));
    let text = "x".repeat(20_000);
    for number in 0..60_000_u32 {
        let ip = std::net::Ipv4Addr::from(number << 8).to_string();
        let address =
            Address { address: ip.clone(), destination: Some(text.clone()), ..Address::default() };
        let word =
            Word { attribute: "JA4".to_owned(), value: format!("{number:x}"), text: text.clone() };
        let change = Move { id: number, signature: text.clone(), ..Move::default() };
        let source = crate::Source {
            prefix: ip.clone(),
            registered: Some(format!("{number}{text}")),
            marks: vec![text.clone(); 10],
            ..crate::Source::default()
        };
        let row = Row {
            prefix: ip,
            p: f64::MIN_POSITIVE,
            attributes: vec![format!("{number:x}")],
            ..Row::default()
        };
        let state = format!("{number}{text}");
        let step = Step { step: StepKind::Moved, mitigation: Some(change), ..Step::default() };
        for entry in [
            Entry::Second(Box::new(Second {
                state,
                expected: f64::MAX,
                ..second(u64::from(number), u64::MAX)
            })),
            Entry::Row(Box::new(row)),
            Entry::Word(word),
            Entry::Source(Box::new(source)),
            Entry::Addresses(Box::new(Addresses {
                addresses: vec![address],
                ..Addresses::default()
            })),
            Entry::Step(Box::new(step)),
            Entry::Gap(Gap { detail: text.clone(), ..Gap::default() }),
            Entry::Fault(Fault { what: text.clone(), ..Fault::default() }),
            Entry::Note(Note { text: text.clone(), ..Note::default() }),
        ] {
            collector.take(&entry);
        }
    }
    let report = collector.finish(RecordFacts::default());
    assert!(report.timeline.len() <= 720);
    assert!(report.unknown.iter().any(|text| text.starts_with("Left out")));
    let json = serde_json::to_vec(&report).expect("every figure can be written");
    assert!(json.len() < 40_000_000, "{}", json.len());
    assert!(serde_json::from_slice::<Report>(&json).is_ok());
}

prop_compose! {
    fn any_seconds()(
        seconds in prop::collection::vec((0_u64..5_000, 0_u64..10_000), 0..300),
    ) -> Vec<(u64, u64)> {
        seconds
    }
}

proptest! {
    /// Whatever order seconds come in and wherever the alarm begins and ends: each is counted once in the timeline and once in one of the
    /// three spans.
    #[test]
    fn every_second_is_counted_once(
        seconds in any_seconds(), since in 0_u64..5_000, length in prop::option::of(0_u64..5_000),
    ) {
        let mut collector = Collector::new();
        collector.take(&begin(since));
        for (place, requests) in &seconds {
            collector.take(&Entry::Second(Box::new(second(*place, *requests))));
        }
        let until = length.map(|length| since + length);
        until.iter().for_each(|until| collector.take(&end(*until)));
        let report = collector.finish(RecordFacts::default());

        // The same again, by the definition: a second is left out if it repeats one from before in every figure.
        let mut kept: Vec<(u64, u64)> = Vec::new();
        for (index, (place, requests)) in seconds.iter().enumerate() {
            let is_open = |place: u64| place >= since;
            let is_double = is_open(*place) && seconds[..index].contains(&(*place, *requests));
            if !is_double {
                kept.push((*place, *requests));
            }
        }
        let sum = |keep: &dyn Fn(u64) -> bool| -> (u64, u64) {
            let kept = kept.iter().filter(|(place, _)| keep(*place));
            kept.fold((0, 0), |(count, sum), (_, requests)| (count + 1, sum + requests))
        };
        let is_over = |place: u64| until.is_some_and(|until| place > until);
        prop_assert_eq!((report.before.seconds, report.before.requests), sum(&|place| place < since));
        prop_assert_eq!(
            (report.totals.seconds, report.totals.requests),
            sum(&|place| place >= since && !is_over(place))
        );
        let buckets = &report.timeline;
        prop_assert_eq!(buckets.iter().map(|it| u64::from(it.seconds)).sum::<u64>(), sum(&|_| true).0);
        prop_assert_eq!(buckets.iter().map(|it| it.requests).sum::<u64>(), sum(&|_| true).1);
        prop_assert!(buckets.len() <= 720);
        prop_assert!(buckets.windows(2).all(|it| it[0].at < it[1].at));
        for (totals, cohorts) in
            [(report.totals, &report.cohorts), (report.before, &report.cohorts_before)]
        {
            prop_assert_eq!(cohorts.iter().map(|it| it.requests).sum::<u64>(), totals.requests);
            let met = cohorts.iter().filter(|it| it.cohort == Cohort::Met).map(|it| it.requests);
            prop_assert_eq!(met.sum::<u64>(), totals.matched);
        }
        let highest = kept.iter().filter(|it| it.0 >= since && !is_over(it.0)).map(|it| it.1).max();
        prop_assert_eq!(report.peak.requests, highest.unwrap_or(0));
    }
}
