//! Where requests came from, what they looked like, and, in the sealed edition, full addresses.

use super::{Block, Column, Part, Table, Text, clean, figures, words};
use crate::report::UNREGISTERED;
use crate::{Report, say};

/// Prefixes and networks that are shown; CSV and JSON have all.
const MAX_SHOWN: usize = 20;
/// Addresses that are shown.
const MAX_ADDRESSES: usize = 1_000;

/// Where requests came from.
pub(super) fn networks(report: &Report) -> Part {
    let rows = report.networks.iter().fold(0_u64, |sum, each| sum.saturating_add(each.rows));
    let mut blocks = vec![
        Block::Paragraph(
            Text::plain(format!(
                "Estimated from {} from {} that were looked at one by one, and which a mitigation {}. Of all others no network is recorded: they \
                 may be readers. ",
                say::counted(rows, "request", "requests"),
                say::counted(report.sample.prefixes, "prefix", "prefixes"),
                if report.is_reconstructed() { "would have met" } else { "met or which were refused" },
            ))
            .and_strong("An address is registered in a country and by somebody; it does not say who acted, nor where they are. ")
            .and("Addresses are cut to /24 and /48 here."),
        ),
    ];
    if report.networks.iter().any(|network| network.registered != UNREGISTERED) {
        blocks.push(Block::Figure(figures::networks(report)));
        blocks.push(Block::Table(network_table(report)));
    }
    blocks.push(Block::Table(prefix_table(report)));
    Part { id: "networks", heading: "Networks that requests came through".to_owned(), blocks }
}

fn network_table(report: &Report) -> Table {
    let rows = report.networks.iter().take(MAX_SHOWN).map(|network| {
        vec![
            Text::foreign(&network.registered),
            say::about(network.requests).into(),
            say::count(network.prefixes).into(),
            say::count(network.rows).into(),
            say::percent(network.met_rows, network.rows).into(),
        ]
    });
    Table {
        caption: more("Networks, by who registered them", report.networks.len()),
        columns: vec![
            Column::text("Registered to (registered in)"),
            Column::number("Requests, estimated"),
            Column::number("Prefixes"),
            Column::number("In the sample"),
            Column::number("Met"),
        ],
        rows: rows.collect(),
    }
}

fn prefix_table(report: &Report) -> Table {
    let since = report.begin.since;
    let rows = report.sources.iter().take(MAX_SHOWN).map(|source| {
        let mut known =
            source.marks.iter().take(4).map(|mark| clean::line(mark)).collect::<Vec<_>>();
        if known.is_empty() {
            known.push("\u{2013}".to_owned());
        }
        vec![
            Text::foreign_code(if source.prefix.is_empty() {
                "(not a prefix)"
            } else {
                &source.prefix
            }),
            Text::foreign(source.registered.as_deref().unwrap_or(UNREGISTERED)),
            Text::plain(known.join(", ")),
            say::about(source.requests).into(),
            say::percent(source.met_rows, source.rows).into(),
            say::when(source.first_seen, since).into(),
            say::when(source.last_seen, since).into(),
        ]
    });
    let left_out = match report.sample.prefixes_left_out {
        0 => String::new(),
        left_out => format!(" ({} more are only summed up)", say::count(left_out)),
    };
    Table {
        caption: format!(
            "{}{left_out}",
            more("Prefixes with the most requests", report.sources.len())
        ),
        columns: vec![
            Column::text("Prefix"),
            Column::text("Registered to (registered in)"),
            Column::text("Known as"),
            Column::number("Requests, estimated"),
            Column::number("Met"),
            Column::number("First seen"),
            Column::number("Last seen"),
        ],
        rows: rows.collect(),
    }
}

fn more(caption: &str, all: usize) -> String {
    match all {
        0..=MAX_SHOWN => caption.to_owned(),
        all => format!(
            "{caption}: {MAX_SHOWN} of {}; JSON and CSV have the rest",
            say::count(all as u64)
        ),
    }
}

/// What requests looked like.
pub(super) fn looks(report: &Report) -> Part {
    // A hash says nothing to anybody.
    let is_hash =
        |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let worded = report.looks.iter().filter(|look| !is_hash(&look.text));
    let rows = worded.take(3 * MAX_SHOWN).map(|look| {
        vec![
            Text::foreign_code(&look.text),
            Text::plain(words::attribute(&look.attribute)),
            say::ratio(look.share_of_met).into(),
            say::ratio(look.share_of_others).into(),
        ]
    });
    let table = Table {
        caption:
            "What requests looked like, in percent of those a mitigation met and of all others"
                .to_owned(),
        columns: vec![
            Column::text("Look"),
            Column::text("Of what"),
            Column::number("Met"),
            Column::number("All others"),
        ],
        rows: rows.collect(),
    };
    let blocks = if report.looks.is_empty() {
        vec![Block::Paragraph("Nobody looked at how requests were made.".into())]
    } else {
        vec![
            Block::Paragraph("Estimated from the sample. Anybody can send any of this: it tells requests apart, and says nothing about who made them. What is rare, or only readers', has no words in the record and is left out here. In paths and queries {n} stands for any number, {id} and {random} for what looks like an identifier or made up, and {other} for what is not shown; in brackets stands what a value is (mixed: letters and digits).".into()),
            Block::Table(table),
        ]
    };
    Part { id: "looks", heading: "What requests looked like".to_owned(), blocks }
}

/// Full addresses, where the edition has them.
pub(super) fn addresses(report: &Report) -> Option<Part> {
    if report.addresses.is_empty() {
        return None;
    }
    let since = report.begin.since;
    let rows = report.addresses.iter().take(MAX_ADDRESSES).map(|each| {
        let ports: Vec<String> = each.ports.iter().take(8).map(u16::to_string).collect();
        vec![
            Text::foreign_code(&each.address),
            Text::plain(ports.join(", ")),
            say::count(each.refused).into(),
            say::when(each.first_seen, since).into(),
            say::when(each.last_seen, since).into(),
            Text::foreign_code(each.destination.as_deref().unwrap_or("\u{2013}")),
        ]
    });
    let table = Table {
        caption: match report.addresses.len() {
            0..=MAX_ADDRESSES => "Full addresses".to_owned(),
            all => format!(
                "Full addresses: {MAX_ADDRESSES} of {}; JSON and CSV have the rest",
                say::count(all as u64)
            ),
        },
        columns: vec![
            Column::text("Address"),
            Column::text("Source ports seen"),
            Column::number("Refusals seen"),
            Column::number("First seen"),
            Column::number("Last seen"),
            Column::text("Connected to"),
        ],
        rows: rows.collect(),
    };
    Some(Part {
        id: "addresses",
        heading: "Full addresses".to_owned(),
        blocks: vec![
            Block::Paragraph(Text::plain(format!(
                "Of sources that were refused often, passed no test, carried no credential, and are no exit that many share. An address names a connection, not a person. They are removed from the record on {}.",
                say::day(report.begin.remove_addresses_at)
            ))),
            Block::Table(table),
        ],
    })
}
