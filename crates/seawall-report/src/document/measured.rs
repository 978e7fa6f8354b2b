//! What was measured: the timeline, and what became of whom.

use super::{Block, Column, Part, Table, Text, figures, summary, words};
use crate::report::{Bucket, CohortTotals};
use crate::{Cohort, Report, say};

/// When what happened.
pub(super) fn timeline(report: &Report) -> Part {
    let since = report.begin.since;
    let states = Table {
        caption: "What Seawall thought of it: the strip above figures over time, in words"
            .to_owned(),
        columns: vec![Column::text("From (UTC)"), Column::text("State")],
        rows: report
            .states
            .iter()
            .take(MAX_ROWS)
            .map(|change| {
                vec![say::when(change.at, since).into(), words::state(&change.state).into()]
            })
            .collect(),
    };
    Part {
        id: "timeline",
        heading: "Timeline".to_owned(),
        blocks: vec![
            Block::Paragraph(Text::plain(format!(
                "Recorded from {} to {}. The first alarm was at {}. Counts are complete but for the gaps; only what would have been ordinary is estimated.",
                say::full(report.begin.recorded_from),
                say::full(report.recorded_until.plus_ms(1_000)),
                say::clock(since),
            ))),
            Block::Figure(figures::load(report)),
            Block::Table(summary::sums(report)),
            Block::Table(states),
            Block::Data(numbers(report)),
        ],
    }
}

/// Rows of a table at most; the JSON export has all.
pub(super) const MAX_ROWS: usize = 60;

fn numbers(report: &Report) -> Table {
    let parts = report.timeline.len().div_ceil(MAX_ROWS).max(1);
    let since = report.begin.since;
    let rows = report.timeline.chunks(parts).map(|chunk| {
        let mut sum = Bucket::default();
        chunk.iter().for_each(|part| sum.merge(part));
        let at = chunk.first().map_or(since, |part| part.at);
        [
            say::when(at, since),
            sum.seconds.to_string(),
            say::count(sum.requests),
            say::about(sum.expected),
            say::count(sum.refused),
            say::count(sum.origin),
            say::count(sum.unmet),
            say::percent(sum.unmet_served, sum.unmet),
            say::count(sum.peak_requests),
        ]
        .map(Text::from)
        .to_vec()
    });
    Table {
        caption: "The numbers behind the figures over time".to_owned(),
        columns: vec![
            Column::text("From (UTC)"),
            Column::number("Seconds"),
            Column::number("Requests"),
            Column::number("Ordinary"),
            Column::number("Refused"),
            Column::number("Origin"),
            Column::number("Unmet"),
            Column::number("Answered"),
            Column::number("Peak/s"),
        ],
        rows: rows.collect(),
    }
}

/// What became of whom.
pub(super) fn readers(report: &Report) -> Part {
    let (readers, served) = CohortTotals::sum(&report.cohorts, Cohort::is_surely_reader);
    let sure = match readers {
        0 => Text::plain(words::NO_SURE_READER),
        _ => Text::plain("Of ")
            .and(say::counted(readers, "request", "requests"))
            .and(" by people who were surely readers (signed in, known, or past the test) ")
            .and_strong(say::percent(served, readers))
            .and(" were answered with what was asked for."),
    };
    let meaning = Cohort::ALL.map(|cohort| {
        let (name, what) = words::cohort(cohort);
        Text::strong(name).and(format!(": {what}."))
    });
    let before = if report.has_comparison() {
        "The same before it, for comparison".to_owned()
    } else {
        format!(
            "The same in the {} before it: too short to compare",
            say::span(report.before.seconds)
        )
    };
    Part {
        id: "readers",
        heading: "What readers got".to_owned(),
        blocks: vec![
            Block::Paragraph(sure),
            Block::Figure(figures::success(report)),
            Block::Table(cohorts("Who asked, and what became of it, during the incident", &report.cohorts)),
            Block::Table(cohorts(&before, &report.cohorts_before)),
            Block::Paragraph("Each request is counted once, in the first group of this list that fits. Late is more than two seconds, and a part of what was answered.".into()),
            Block::List(meaning.to_vec()),
        ],
    }
}

fn cohorts(caption: &str, cohorts: &[CohortTotals]) -> Table {
    let row = |each: &CohortTotals| {
        vec![
            words::cohort(each.cohort).0.into(),
            say::count(each.requests).into(),
            say::count(each.served).into(),
            say::percent(each.served, each.requests).into(),
            say::count(each.refused).into(),
            say::count(each.tested).into(),
            say::count(each.failed).into(),
            say::count(each.late).into(),
        ]
    };
    Table {
        caption: caption.to_owned(),
        columns: vec![
            Column::text("Who"),
            Column::number("Requests"),
            Column::number("Answered"),
            Column::number("of them"),
            Column::number("Refused"),
            Column::number("Tested"),
            Column::number("Failed"),
            Column::number("Late"),
        ],
        rows: cohorts.iter().map(row).collect(),
    }
}
