//! What people said, what is judged, and what is not known.

use super::measured::MAX_ROWS;
use super::{Block, Part, Text, words};
use crate::assess::{Assessment, Confidence, Likelihood, Subject};
use crate::entry::{Note, NoteKind};
use crate::{Moment, Report};

/// What people said.
pub(super) fn statements(report: &Report) -> Part {
    let since = report.begin.since;
    let (own, others): (Vec<&Note>, Vec<&Note>) = report
        .notes
        .iter()
        .take(4 * MAX_ROWS)
        .partition(|note| matches!(note.kind, NoteKind::Observation | NoteKind::Event));
    let mut blocks = vec![Block::Paragraph(
        "Seawall asserts that these words were written down, when and by whom. It does not assert that they are true."
            .into(),
    )];
    blocks.push(Block::Heading(3, "Notes of the operator".into()));
    push(&mut blocks, &own, since);
    blocks.push(Block::Heading(3, "Statements by others, not verified".into()));
    push(&mut blocks, &others, since);
    let left_out = report.notes.len().saturating_sub(4 * MAX_ROWS);
    if left_out > 0 {
        blocks.push(Block::Paragraph(
            format!("{} more are in the JSON export.", words::count(left_out as u64)).into(),
        ));
    }
    Part { id: "statements", heading: "What people said".to_owned(), blocks }
}

fn push(blocks: &mut Vec<Block>, notes: &[&Note], since: Moment) {
    if notes.is_empty() {
        blocks.push(Block::Paragraph("None.".into()));
    }
    blocks.extend(
        notes.iter().map(|note| Block::Statement(who(note, since), Text::foreign(&note.text))),
    );
}

fn who(note: &Note, since: Moment) -> Text {
    let kind = match note.kind {
        NoteKind::Observation => "Observation",
        NoteKind::Event => "A public event that came before",
        NoteKind::Claim => "Somebody claims to have done it (statement by others, not verified)",
        NoteKind::Demand => "Somebody demands something (statement by others, not verified)",
        NoteKind::Statement => "Statement by others, not verified",
    };
    let mut text = Text::strong(kind)
        .and(". Written down at ")
        .and(words::when(note.at, since))
        .and(" by ")
        .and_foreign(&note.author);
    if let Some(source) = &note.source {
        text = text.and("; source: ").and_text(Text::foreign_code(source));
    }
    if let Some(about) = note.about {
        text = text.and(format!("; it speaks of {}", words::when(about, since)));
    }
    text.and(":")
}

/// What is judged.
pub(super) fn assessments(report: &Report) -> Part {
    let mut blocks = vec![Block::Paragraph(
        "These are judgements, not measurements. How likely something is, and how sure we are of that, are two things \
         and stand in two sentences. Seawall judges classes of sources and what tools are consistent with; who ordered, \
         paid for or steered an attack it cannot know and does not say."
            .into(),
    )];
    if report.assessments.is_empty() {
        blocks.push(Block::Paragraph("Nothing was judged: the evidence is not enough.".into()));
    }
    for assessment in report.assessments.iter().take(MAX_ROWS) {
        blocks.extend(judgement(assessment));
    }
    Part { id: "assessments", heading: "Assessments".to_owned(), blocks }
}

fn judgement(assessment: &Assessment) -> Vec<Block> {
    let (heading, what) = subject(assessment.subject);
    let (start, band, range) = likelihood(assessment.likelihood);
    let (sure, why) = confidence(assessment.confidence);
    let mut blocks = vec![
        Block::Heading(3, heading.into()),
        Block::Paragraph(
            Text::plain(start).and_strong(band).and(format!(" ({range}) that {what}.")),
        ),
        Block::Paragraph(
            Text::plain("Our confidence in this is ").and_strong(sure).and(format!(": {why}.")),
        ),
    ];
    let lists = [
        ("What this rests on", &assessment.evidence),
        ("What else it could be", &assessment.alternatives),
        ("What would change this judgement", &assessment.would_change),
    ];
    for (name, texts) in lists {
        if !texts.is_empty() {
            blocks.push(Block::Paragraph(Text::strong(format!("{name}:"))));
            blocks.push(Block::List(
                texts.iter().take(MAX_ROWS).map(|text| Text::foreign(text)).collect(),
            ));
        }
    }
    blocks
}

const fn subject(subject: Subject) -> (&'static str, &'static str) {
    match subject {
        Subject::Tor => ("Tor exits", "the requests came through Tor exits"),
        Subject::Hosting => ("Hosting networks", "the requests came through hosting networks"),
        Subject::Proxies => ("Proxies", "the requests came through residential or open proxies"),
        Subject::Devices => ("Devices in homes", "the requests came from devices in homes"),
        Subject::SingleTool => ("One tool", "one tool made most of the requests"),
        Subject::ToolFamily => {
            ("A family of tools", "the requests are consistent with a known family of tools")
        }
        Subject::Crowd => ("A crowd", "many readers came at once, and nobody attacked"),
    }
}

const fn likelihood(likelihood: Likelihood) -> (&'static str, &'static str, &'static str) {
    match likelihood {
        Likelihood::AlmostNoChance => ("There is ", "almost no chance", "1 to 5 %"),
        Likelihood::VeryUnlikely => ("It is ", "very unlikely", "5 to 20 %"),
        Likelihood::Unlikely => ("It is ", "unlikely", "20 to 45 %"),
        Likelihood::RoughlyEven => ("The chance is ", "roughly even", "45 to 55 %"),
        Likelihood::Likely => ("It is ", "likely", "55 to 80 %"),
        Likelihood::VeryLikely => ("It is ", "very likely", "80 to 95 %"),
        Likelihood::AlmostCertain => ("It is ", "almost certain", "95 to 99 %"),
    }
}

const fn confidence(confidence: Confidence) -> (&'static str, &'static str) {
    match confidence {
        Confidence::Low => ("low", "the evidence is little or indirect"),
        Confidence::Moderate => {
            ("moderate", "the evidence is plausible, but of one kind or from one place")
        }
        Confidence::High => ("high", "several kinds of evidence agree"),
    }
}

/// What is not known.
pub(super) fn unknown(report: &Report) -> Part {
    let mut all: Vec<Text> =
        report.unknown.iter().take(2 * MAX_ROWS).map(|each| Text::foreign(each)).collect();
    if all.is_empty() {
        all.push("Who ordered, paid for or steered this cannot be seen from here.".into());
    }
    Part {
        id: "unknown",
        heading: "What we do not know".to_owned(),
        blocks: vec![Block::List(all)],
    }
}
