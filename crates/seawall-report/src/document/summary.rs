//! The first page: for somebody who reads nothing else.

use super::{Block, Column, Table, Text, figures, words};
use crate::entry::NoteKind;
use crate::report::CohortTotals;
use crate::{Cohort, Moment, RecordOrigin, Report, Verdict, say, wording};

/// What comes first.
pub(super) fn first_page(report: &Report) -> Vec<Block> {
    vec![
        Block::Heading(2, "In short".into()),
        Block::Paragraph(Text::plain(what(report)).and(" ").and(verdict(report))),
        Block::Paragraph(Text::plain(felt(report)).and(" ").and(done(report))),
        Block::Table(key_figures(report)),
        Block::Figure(figures::rate(report)),
        Block::Heading(2, "What to do next".into()),
        Block::List(next(report)),
        Block::Heading(2, "What is not known".into()),
        Block::List(not_known(report)),
    ]
}

/// Sentences that are shown on the first page; all of them come later.
const MAX_UNKNOWN: usize = 4;

fn not_known(report: &Report) -> Vec<Text> {
    let mut all: Vec<Text> =
        report.unknown.iter().take(MAX_UNKNOWN).map(|each| Text::foreign(each)).collect();
    if report.unknown.len() > MAX_UNKNOWN {
        let more = report.unknown.len() - MAX_UNKNOWN;
        all.push(format!("{} more, below.", say::count(more as u64)).into());
    }
    if all.is_empty() {
        all.push("Who ordered, paid for or steered this cannot be seen from here.".into());
    }
    all
}

/// Until when the figures are.
pub(super) fn end(report: &Report) -> Moment {
    report.until.unwrap_or_else(|| report.recorded_until.plus_ms(1_000))
}

fn what(report: &Report) -> String {
    // Whole seconds are enough for a first reader.
    let whole = |at: Moment| Moment::from_unix_ms(at.unix_s() * 1_000);
    let (since, totals) = (whole(report.begin.since), &report.totals);
    let length = end(report).seconds_since(since) as u64;
    let span = match report.until {
        Some(until) => format!(
            "From {} to {} UTC on {} ({})",
            say::clock(since),
            say::when(whole(until), since),
            say::day(since),
            say::span(length)
        ),
        None => format!(
            "Since {} UTC on {} ({} so far)",
            say::clock(since),
            say::day(since),
            say::span(length)
        ),
    };
    let compared = match say::times(totals.requests, totals.expected) {
        Some(times) if totals.requests as f64 >= totals.expected * 1.1 => {
            format!(", {times} as many as would have been ordinary")
        }
        _ => String::new(),
    };
    let more = report.begin.sites.len().saturating_sub(1);
    let others = match more {
        0 => String::new(),
        _ => format!(" and {}", say::counted(more as u64, "other name", "other names")),
    };
    let requests = say::large(totals.requests, "request", "requests");
    format!("{span}, {}{others} received {requests}{compared}.", words::site(report))
}

fn verdict(report: &Report) -> String {
    let found = report.mitigations.iter().filter(|each| each.met.matched > 0).count() as u64;
    let matched = say::percent(report.totals.matched, report.totals.requests);
    let taken_for = report.taken_for();
    let apart = match (taken_for, found) {
        (Verdict::Crowd, _) => return taken_for.sentence().to_owned(),
        (_, 0) => "Nothing was found that sets requests apart from those of readers.".to_owned(),
        _ => format!("{} made up {matched} of all requests.", signatures(found)),
    };
    let sentence = match report.begin.origin {
        RecordOrigin::Rehearsal if taken_for == Verdict::Attack => {
            "Seawall took the generated requests to be an attack on availability."
        }
        _ => taken_for.sentence(),
    };
    format!("{sentence} {apart}")
}

fn signatures(found: u64) -> String {
    match found {
        1 => "Requests that look alike".to_owned(),
        _ => format!("Requests of {} kinds, each alike in itself,", say::count(found)),
    }
}

fn felt(report: &Report) -> String {
    let (unmet, served) = CohortTotals::unmet(&report.cohorts);
    let (before, served_before) = CohortTotals::unmet(&report.cohorts_before);
    let (readers, readers_served) = CohortTotals::sum(&report.cohorts, Cohort::is_surely_reader);
    let compared = match before {
        0 => String::new(),
        _ if !report.has_comparison() => String::new(),
        _ => format!(
            " ({} in the {} before)",
            say::percent(served_before, before),
            say::span(report.before.seconds)
        ),
    };
    // How many that rests on stands beside it: of a handful, or of none, it says little.
    let sure = match readers {
        0 => format!("{} ", words::NO_SURE_READER),
        _ => format!(
            "People known to be readers made {}, and got what they asked for in {} of them. ",
            say::counted(readers, "request", "requests"),
            say::percent(readers_served, readers)
        ),
    };
    format!(
        "{sure}Of all requests that no measure of defence {}, {} were answered with what was asked for{compared}; \
         attackers whom nobody had recognised yet are among them.",
        wording::met(report),
        say::percent(served, unmet)
    )
}

fn done(report: &Report) -> String {
    let totals = &report.totals;
    if report.is_reconstructed() {
        return "Nothing was done by Seawall: it was not there.".to_owned();
    }
    if totals.refused == 0 && totals.tests_set == 0 {
        return format!(
            "Nobody was refused; the origin worked for {}.",
            say::counted(totals.origin, "request", "requests")
        );
    }
    format!(
        "Seawall refused {} ({}), gave a cheap test to {}, and let the origin (the server that makes the pages) work for {}.{}",
        say::large(totals.refused, "request", "requests"),
        say::percent(totals.refused, totals.requests),
        say::large(totals.tests_set, "other", "others"),
        say::large(totals.origin, "request", "requests"),
        held(report),
    )
}

/// Why much of what a mitigation met was answered: who sees only how much was refused takes the rest for a failure.
fn held(report: &Report) -> String {
    let (met, served) = CohortTotals::sum(&report.cohorts, |cohort| cohort == Cohort::Met);
    // The origin may have worked for some of them: so many at least it did not.
    let from_copies = served.saturating_sub(report.totals.origin);
    if from_copies == 0 {
        return String::new();
    }
    format!(
        " Of the {} that a measure of defence met, {} were answered all the same, at least {} of them with copies in hand, at \
         no cost to the origin.",
        say::count(met),
        say::count(served),
        say::count(from_copies),
    )
}

fn key_figures(report: &Report) -> Table {
    let mut table = sums(report);
    table.caption = "Key figures".to_owned();
    // All of them stand in the timeline.
    let mut place = 0;
    table.rows.retain(|_| {
        place += 1;
        matches!(place, 2 | 3 | 6 | 8 | 10 | 11)
    });
    table
}

/// The sums during the incident and before.
pub(super) fn sums(report: &Report) -> Table {
    let (totals, before) = (&report.totals, &report.before);
    let has_comparison = report.has_comparison();
    let per_second = |number: u64, seconds: u64| match seconds {
        0 => "\u{2013}".to_owned(),
        seconds => say::about(number as f64 / seconds as f64),
    };
    let (unmet, served) = CohortTotals::unmet(&report.cohorts);
    let (unmet_before, served_before) = CohortTotals::unmet(&report.cohorts_before);
    let row = |name: &str, during: String, earlier: String| {
        vec![Text::plain(name), during.into(), earlier.into()]
    };
    Table {
        caption: "Sums".to_owned(),
        columns: vec![
            Column::text("What"),
            Column::number("During"),
            Column::number(if report.has_comparison() {
                "Before, for comparison"
            } else {
                "Before, too short to compare"
            }),
        ],
        rows: vec![
            row("Time that was counted", say::span(totals.seconds), say::span(before.seconds)),
            row("Requests", say::count(totals.requests), say::count(before.requests)),
            row(
                "Ordinary would have been",
                say::about(totals.expected),
                say::about(before.expected),
            ),
            row("Beyond what is ordinary", say::count(totals.excess), say::count(before.excess)),
            row(
                "Requests a second, on average",
                per_second(totals.requests, totals.seconds),
                per_second(before.requests, if has_comparison { before.seconds } else { 0 }),
            ),
            row(
                "Requests in the busiest second",
                format!(
                    "{}, at {}",
                    say::count(report.peak.requests),
                    say::when(report.peak.at, report.begin.since)
                ),
                String::new(),
            ),
            row(
                if report.is_reconstructed() {
                    "A mitigation (a measure of defence) would have met"
                } else {
                    "Met by a mitigation (a measure of defence)"
                },
                say::count(totals.matched),
                say::count(before.matched),
            ),
            row("Refused", say::count(totals.refused), say::count(before.refused)),
            row("Given a cheap test", say::count(totals.tests_set), say::count(before.tests_set)),
            row("The origin worked", say::count(totals.origin), say::count(before.origin)),
            row(
                "Met no mitigation, and were answered",
                say::percent(served, unmet),
                say::percent(served_before, if has_comparison { unmet_before } else { 0 }),
            ),
        ],
    }
}

fn next(report: &Report) -> Vec<Text> {
    let mut steps = Vec::new();
    let is_live = report.begin.origin == RecordOrigin::Live;
    if report.until.is_none() {
        steps.push("Leave the protection on. Make this report again when it is over.".into());
    }
    if let Some(node) = &report.node {
        if let Some(full_s) = node.link_full_s.filter(|full_s| *full_s > 0) {
            steps.push(Text::plain(format!(
                "Ask the provider of the line for help: for {} the line itself was full, which nothing on this machine can mend.",
                say::span(full_s)
            )));
        }
        if node.origin_unhealthy_s > 0 {
            steps.push(Text::plain(format!(
                "Look at the origin: for {} it did not answer as it should.",
                say::span(node.origin_unhealthy_s)
            )));
        }
    }
    if report.gaps.iter().any(|gap| gap.why.starts_with("disk")) {
        steps.push("Make room on the disk of the state folder: a part of the record is missing because of it.".into());
    }
    if report.notes.iter().any(|note| matches!(note.kind, NoteKind::Claim | NoteKind::Demand)) {
        steps.push("Keep the originals of the claims and demands quoted below, with all headers. Seawall has only what was typed.".into());
    }
    if report.taken_for() == Verdict::Undecided && report.begin.origin != RecordOrigin::Rehearsal {
        steps.push("Look for what settles it: an event, a link or a broadcast that sent readers at that time, and whether the site's own statistics have them. Write it down with `seawall report note`.".into());
    }
    if report.taken_for() == Verdict::Crowd {
        steps.push("Nothing has to be reported. If readers waited, let more pages be cached, or give the origin more room.".into());
    } else if is_live {
        steps.push(Text::plain("Decide whether to report this to a response team (CERT) or the police. Full addresses of sources are removed on ")
            .and_strong(say::day(report.begin.remove_addresses_at))
            .and("; who shall have them needs the sealed edition before."));
    }
    if report.begin.origin == RecordOrigin::Replay {
        steps.push("Keep the logs that this was made from, unaltered and in one place: this report says no more than they do, and only they have full addresses.".into());
    }
    if is_live && report.record.is_closed {
        steps.push("Write the head of the record (last part of this report) where nobody can change it, on paper or in a mail: it tells this record from any other.".into());
    } else if is_live {
        steps.push(
            "This record is not closed yet: keep no copy of this report as the last word.".into(),
        );
    }
    if steps.is_empty() {
        steps.push("Nothing has to be done.".into());
    }
    steps
}
