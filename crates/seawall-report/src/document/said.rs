//! What people said, what is judged, and what is not known.

use super::measured::MAX_ROWS;
use super::{Block, Part, Text};
use crate::assess::{Assessment, Subject};
use crate::entry::{Note, NoteKind, RecordOrigin};
use crate::{Moment, Report, say, wording};

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
            format!("{} more are in the JSON export.", say::count(left_out as u64)).into(),
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
        .and(say::when(note.at, since))
        .and(" by ")
        .and_foreign(&note.author);
    if let Some(source) = &note.source {
        text = text.and("; source: ").and_text(Text::foreign_code(source));
    }
    if let Some(about) = note.about {
        text = text.and(format!("; it speaks of {}", say::when(about, since)));
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
        let why = match report.begin.origin {
            RecordOrigin::Rehearsal => "Of a rehearsal nothing is judged.",
            RecordOrigin::Live | RecordOrigin::Replay => {
                "Nothing was judged: the evidence is not enough."
            }
        };
        blocks.push(Block::Paragraph(why.into()));
    }
    for assessment in report.assessments.iter().take(MAX_ROWS) {
        blocks.extend(judgement(assessment));
    }
    Part { id: "assessments", heading: "Assessments".to_owned(), blocks }
}

fn judgement(assessment: &Assessment) -> Vec<Block> {
    let sentence = |[start, word, end]: [String; 3]| {
        Block::Paragraph(Text::plain(start).and_strong(word).and(end))
    };
    let mut blocks = vec![
        Block::Heading(3, heading(assessment.subject).into()),
        sentence(wording::likelihood_sentence(assessment)),
        sentence(wording::confidence_sentence(assessment)),
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

const fn heading(subject: Subject) -> &'static str {
    match subject {
        Subject::Tor => "Tor exits",
        Subject::Hosting => "Hosting networks",
        Subject::Proxies => "Proxies",
        Subject::Devices => "Devices in homes",
        Subject::SingleTool => "One tool",
        Subject::ToolFamily => "A family of tools",
        Subject::Crowd => "A crowd",
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
