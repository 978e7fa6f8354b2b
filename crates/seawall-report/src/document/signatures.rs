//! Signatures in words, what they rest on, and all that was decided about each.

use super::measured::MAX_ROWS;
use super::{Block, Column, Part, Table, Text, figures, words};
use crate::entry::{Evidence, MetCounts};
use crate::report::MitigationHistory;
use crate::{Report, say};

/// Signatures that are shown; the JSON export has all.
const MAX_SHOWN: usize = 32;

/// What was found and done.
pub(super) fn part(report: &Report) -> Part {
    let is_reconstructed = report.is_reconstructed();
    let mut blocks = Vec::new();
    if report.mitigations.is_empty() {
        blocks.push(Block::Paragraph(
            "No signature was found: nothing set any requests apart from those of readers surely enough.".into(),
        ));
    } else {
        blocks.push(Block::Paragraph(
            "A signature is what requests have in common and readers have not. What meets one is answered by steps: \
             behind others, a cheap test, refusal. Seawall took each step down the table without being asked, \
             unless its reason says so."
                .into(),
        ));
        if is_reconstructed {
            blocks.push(Block::Paragraph(
                "Here nobody was put behind others, tested or refused: the facts come from logs, and the steps are \
                 those that would have been taken."
                    .into(),
            ));
        }
        blocks.push(Block::Figure(figures::mitigations(report)));
    }
    let mut by_size: Vec<&MitigationHistory> = report.mitigations.iter().collect();
    by_size.sort_by_key(|history| std::cmp::Reverse(history.met.matched));
    for history in by_size.into_iter().take(MAX_SHOWN) {
        blocks.extend(one(report, history));
    }
    if report.mitigations.len() > MAX_SHOWN {
        let more = (report.mitigations.len() - MAX_SHOWN) as u64;
        blocks.push(Block::Paragraph(
            format!("{} more are in the JSON export.", say::count(more)).into(),
        ));
    }
    let done = if is_reconstructed { "would have been" } else { "was" };
    Part { id: "signatures", heading: format!("Signatures and what {done} done"), blocks }
}

fn one(report: &Report, history: &MitigationHistory) -> Vec<Block> {
    let met = &history.met;
    let heading = Block::Heading(3, Text::plain(format!("Signature {}", history.id)));
    let terms = history.moves.last().map(|last| last.change.terms.as_slice()).unwrap_or_default();
    let words_of = if terms.is_empty() {
        Block::Paragraph(
            Text::plain("Requests with: ")
                .and_text(Text::foreign_code(&history.signature))
                .and("."),
        )
    } else {
        Block::List(
            terms
                .iter()
                .take(16)
                .map(|term| {
                    let (name, words) =
                        (words::attribute(&term.attribute), Text::foreign_code(&term.text));
                    if term.text.starts_with(&name) {
                        words
                    } else {
                        Text::plain(name).and(": ").and_text(words)
                    }
                })
                .collect(),
        )
    };
    let became = match met.matched {
        0 => Text::plain("It met no request: none that looks so came while it was in force."),
        matched if report.is_reconstructed() => Text::plain("It would have met ")
            .and_strong(say::counted(matched, "request", "requests"))
            .and("."),
        matched => Text::plain("It met ")
            .and_strong(say::counted(matched, "request", "requests"))
            .and(format!(
                ". Of them {} were refused on the step of refusal, {} were given a cheap test ({} passed), and {} were let off to see what would happen without.{}",
                say::count(met.blocked),
                say::count(met.tests_set),
                say::count(met.tests_passed),
                say::count(met.control),
                others(met),
            )),
    };
    let mut blocks = vec![heading, words_of, Block::Paragraph(became)];
    blocks.extend(history.strongest().map(|evidence| Block::Paragraph(rests_on(evidence))));
    blocks.push(Block::Table(moves(report, history)));
    blocks
}

/// What became of the rest: who adds up the figures would miss it.
fn others(met: &MetCounts) -> String {
    let told = [met.blocked, met.tests_set, met.control];
    match told.into_iter().fold(met.matched, u64::saturating_sub) {
        0 => String::new(),
        rest => format!(
            " The other {} were answered, with copies in hand or by the origin, or refused on an earlier step for another reason.",
            say::count(rest)
        ),
    }
}

/// Natural logarithm of 10^-9.
const LN_BILLIONTH: f64 = -20.723_3;

fn rests_on(evidence: &Evidence) -> Text {
    let chance = match evidence.ln_p {
        p if p.is_finite() && p < LN_BILLIONTH => {
            format!(
                " That chance alone did this is less likely than one in a thousand million (ln p = {p:.0})."
            )
        }
        p if p.is_finite() && p < 0.0 => format!(" That chance alone did this has ln p = {p:.1}."),
        _ => String::new(),
    };
    Text::plain(format!(
        "It rests on what was seen when it was surest: {} requests a second that look so, where {} would be ordinary; that is {} of what was too much. \
         Of {} ordinary clients {} look so as well, hence at most {} of ordinary clients would be met (upper bound, 95 %).{chance}",
        say::about(evidence.matched_per_s),
        say::about(evidence.expected_per_s),
        say::ratio(evidence.coverage),
        say::count(u64::from(evidence.baseline_clients)),
        say::count(u64::from(evidence.baseline_hits)),
        say::ratio(evidence.collateral_upper),
    ))
}

fn rung(report: &Report, name: Option<&str>) -> String {
    match (words::rung(name), name) {
        (rung, Some(_)) if report.is_reconstructed() => format!("would have been {rung}"),
        (rung, _) => rung,
    }
}

fn moves(report: &Report, history: &MitigationHistory) -> Table {
    let since = report.begin.since;
    let row = |step: &crate::TimedMove| {
        let (change, evidence) = (&step.change, &step.change.evidence);
        vec![
            say::when(step.at, since).into(),
            rung(report, change.to.as_deref()).into(),
            words::why(&change.why).into(),
            say::about(evidence.matched_per_s).into(),
            say::ratio(evidence.coverage).into(),
            say::ratio(evidence.collateral_upper).into(),
            format!(
                "{} of {}",
                say::count(u64::from(evidence.sample_hits)),
                say::count(u64::from(evidence.sample_rows))
            )
            .into(),
            say::count(u64::from(evidence.sample_clients)).into(),
        ]
    };
    Table {
        caption: if report.is_reconstructed() {
            format!("All that would have been decided about signature {}", history.id)
        } else {
            format!("All that was decided about signature {}", history.id)
        },
        columns: vec![
            Column::text("At (UTC)"),
            Column::text("From then on"),
            Column::text("Because"),
            Column::number("Matched/s"),
            Column::number("Explains"),
            Column::number("Readers, at most"),
            Column::number("Of sample"),
            Column::number("Clients"),
        ],
        rows: history.moves.iter().take(MAX_ROWS).map(row).collect(),
    }
}
