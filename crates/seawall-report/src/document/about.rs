//! The record that this rests on, how to check it, and what words mean.

use super::measured::MAX_ROWS;
use super::{Block, Column, Part, Table, Text, clean};
use crate::{LogFile, Reconstructed, RecordOrigin, Report, say};

/// Of the record.
pub(super) fn record(report: &Report) -> Part {
    let facts = &report.record;
    let begin = &report.begin;
    let mut blocks = vec![
        Block::Paragraph(
            "This report was made from a record: a text file, one line for each second, decision and note, that only \
             grows. Each minute is sealed with a digest of what is in it and of the seal before, and signed."
                .into(),
        ),
        Block::Table(facts_table(report)),
    ];
    blocks.extend(begin.reconstructed.as_ref().map(logs_table).map(Block::Table));
    for (segment, authority) in facts.timestamps.iter().take(MAX_ROWS) {
        blocks.push(Block::Paragraph(
            Text::plain(format!("Segment {segment} has a stamp of the time (RFC 3161) by "))
                .and_foreign(authority)
                .and("."),
        ));
    }
    for removed in facts.removed.iter().take(MAX_ROWS) {
        let why = match removed.why.as_str() {
            "retention" => "its time was over".to_owned(),
            "vouched" => "somebody at an address of them passed a test, had a credential or shared it with others".to_owned(),
            "operator" => "the operator wanted it so".to_owned(),
            other => clean::line(other),
        };
        blocks.push(Block::Paragraph(Text::plain(format!(
            "{} removed at {} because {why}; what remains can be checked all the same.",
            say::counted(removed.lines.len() as u64, "line was", "lines were"),
            say::full(removed.at),
        ))));
    }
    blocks.extend(how_to_check(report));
    blocks.push(Block::Paragraph(
        Text::strong("Public key in the record, to compare with yours: ")
            .and_text(Text::foreign_code(&begin.public_key)),
    ));
    Part { id: "record", heading: "The record, and how to check it".to_owned(), blocks }
}

fn facts_table(report: &Report) -> Table {
    let (facts, begin) = (&report.record, &report.begin);
    let row = |what: &str, value: Text| vec![Text::plain(what), value];
    let digest = |digest: &Option<String>| match digest {
        Some(digest) => Text::foreign_code(digest),
        None => Text::plain("not known"),
    };
    let closed = if facts.is_closed { "closed and sealed" } else { "open: more may follow" };
    let clock = match &begin.clock {
        Some(clock) => Text::plain(format!(
            "{:+.1} ms, give or take {:.1} ms, says the ",
            clock.offset_ms, clock.error_ms
        ))
        .and_foreign(&clock.source),
        None => Text::plain("nobody says how far the clock was off"),
    };
    let config = match &begin.config_sha256 {
        Some(digest) => Text::foreign_code(digest),
        None => Text::plain("not in this edition, or there is none"),
    };
    let hosts = |texts: &[String]| {
        let shown: Vec<String> = texts.iter().take(16).map(|text| clean::line(text)).collect();
        let more = texts.len().saturating_sub(16);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        Text::foreign(&format!("{}{more}", shown.join(", ")))
    };
    Table {
        caption: "The record".to_owned(),
        columns: vec![Column::text("What"), Column::text("Value")],
        rows: vec![
            row("State", Text::plain(closed)),
            row(
                "Lines; sealed segments",
                Text::plain(format!("{}; {}", say::count(facts.lines), say::count(facts.segments))),
            ),
            row("Head (SHA-256 of the last seal)", digest(&facts.head)),
            row("Key", Text::foreign_code(&facts.key)),
            row("Sites", hosts(&begin.sites)),
            row("Listened on", hosts(&begin.listens)),
            row("Program", Text::foreign(&begin.software)),
            row("SHA-256 of the program", digest(&begin.software_sha256)),
            row("SHA-256 of its configuration", config),
            row("Clock, against true time", clock),
            match begin.origin {
                RecordOrigin::Replay => row("Full addresses", Text::plain("there are none")),
                _ => row(
                    "Full addresses are removed on",
                    Text::plain(say::day(begin.remove_addresses_at)),
                ),
            },
        ],
    }
}

/// What a reconstructed record rests on.
fn logs_table(from: &Reconstructed) -> Table {
    let row = |log: &LogFile| {
        vec![
            Text::foreign_code(&log.name),
            say::count(log.bytes).into(),
            Text::foreign_code(&log.sha256),
        ]
    };
    Table {
        caption: format!("The logs that it was reconstructed from, on {}", say::full(from.at)),
        columns: vec![
            Column::text("File"),
            Column::number("Bytes that were read"),
            Column::text("SHA-256 of them"),
        ],
        rows: from.logs.iter().take(MAX_ROWS).map(row).collect(),
    }
}

fn how_to_check(report: &Report) -> Vec<Block> {
    let head = report.record.head.as_deref().map(clean::line);
    let mut steps = vec![
        Text::plain(
            "Ask for the record (record.jsonl), and get the public key (key.pem) another way than this report or the record came: \
             both hold a copy of the key, which whoever altered them would have replaced.",
        ),
        Text::plain("Run ").and_code("seawall verify record.jsonl --key key.pem").and(
            ". It needs nothing but the two files, and names the first line that was altered.",
        ),
        Text::plain(
            "Compare the head that it prints with one that came another way, too: on paper, in a mail of that time, or stamped by an authority. \
             That tells whether a record was left out or replaced by another with the same key.",
        ),
    ];
    if let Some(head) = head {
        steps.push(
            Text::plain("That this report was made from that record is seen by its head: ")
                .and_code(head)
                .and("."),
        );
    }
    steps.push(
        Text::plain("Without Seawall the same can be done with ")
            .and_code("sha256sum")
            .and(" and ")
            .and_code("openssl")
            .and("; docs/evidence.md says how."),
    );
    vec![
        Block::Heading(3, "How to check it".into()),
        Block::List(steps),
        Block::Paragraph(
            "If it holds, nobody without the key altered the record after it was sealed. It does not show that what \
             was written was true when it was written, and not that nobody had the key."
                .into(),
        ),
    ]
}

/// What words mean.
pub(super) fn glossary() -> Part {
    let terms = [
        (
            "Cheap test",
            "a page that sends a browser on by itself; people see nothing of it, and programs that only shout do not follow",
        ),
        (
            "Head",
            "the digest of the last seal; whoever has written it down can tell this record from any other",
        ),
        (
            "JA4",
            "a short name for how a program greets in TLS; many different programs can share one",
        ),
        ("Logarithmic", "a scale on which each line is ten times the one below"),
        ("Mitigation", "a measure against what meets a signature; it ends by itself"),
        ("Ordinary", "what Seawall has learned to expect at this hour of this day"),
        ("Origin", "the server that makes the pages; Seawall stands before it"),
        (
            "Prefix, /24, /48",
            "a block of neighbouring addresses; shown instead of full ones, so that no reader can be found",
        ),
        (
            "Refused",
            "answered with an error of Seawall's own instead of what was asked for: because of a signature, a list or a limit of \
             the operator, a budget that one client had used up, or for want of room; a cheap test is none",
        ),
        ("Request", "one thing that a browser or a program asks for; a page is often made of many"),
        ("Signature", "what requests of an attack have in common, and readers have not"),
        ("Spared", "what the origin would have had to work for without Seawall"),
        ("TLP", "Traffic Light Protocol 2.0: how far something may be passed on"),
        ("Unmet", "met by no mitigation: mostly readers, and attackers whom nobody recognised"),
    ];
    let each = terms.map(|(term, what)| Text::strong(term).and(format!(": {what}.")));
    Part {
        id: "glossary",
        heading: "What words mean here".to_owned(),
        blocks: vec![Block::List(each.to_vec())],
    }
}
