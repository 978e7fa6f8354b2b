//! What the machine and the origin went through, what of ours failed, and what is missing.

use super::measured::MAX_ROWS;
use super::{Block, Column, Part, Table, Text, words};
use crate::report::NodeFacts;
use crate::{Report, say};

pub(super) fn part(report: &Report) -> Part {
    let mut blocks = Vec::new();
    match &report.node {
        None => blocks
            .push(Block::Paragraph("Nobody watched the machine: the facts come from logs.".into())),
        Some(node) => blocks.extend(machine(report, node)),
    }
    blocks.push(Block::Heading(3, "Times of which nothing is known".into()));
    blocks.push(gaps(report));
    blocks.push(Block::Heading(3, "Parts of Seawall that failed".into()));
    blocks.push(faults(report));
    Part {
        id: "machine",
        heading: "The machine, the origin, and our own losses".to_owned(),
        blocks,
    }
}

fn machine(report: &Report, node: &NodeFacts) -> Vec<Block> {
    let full = match node.link_full_s {
        None => {
            Text::plain("Whether the line was full is not known: no interface states its speed.")
        }
        Some(0) => Text::plain("The line was never full."),
        Some(seconds) => Text::plain("The line was full for ")
            .and_strong(say::span(seconds))
            .and(": what was lost before it reached the machine is in no figure of this report."),
    };
    let lost = match node.lost.values().max() {
        None | Some(0) => {
            Block::Paragraph("Seawall lost nothing of what it saw for want of room.".into())
        }
        _ => Block::List(
            node.lost
                .iter()
                .take(MAX_ROWS)
                .map(|(what, number)| {
                    Text::plain(format!(
                        "{} {} were lost for want of room; counts are complete all the same.",
                        say::count(*number),
                        words::lost(what)
                    ))
                })
                .collect(),
        ),
    };
    vec![Block::Paragraph(full), Block::Table(node_table(report, node)), lost]
}

fn node_table(report: &Report, node: &NodeFacts) -> Table {
    let totals = &report.totals;
    let connections = &totals.connections;
    let origin = &node.origin;
    let row = |what: &str, value: String| vec![Text::plain(what), Text::plain(value)];
    let healthy = if origin.healthy { "it answered" } else { "it did not answer" };
    Table {
        caption: "From the first alarm to the last".to_owned(),
        columns: vec![Column::text("What"), Column::number("How much")],
        rows: vec![
            row("Received, without what stayed on the machine", say::bytes(totals.rx_bytes)),
            row("Sent, likewise", say::bytes(totals.tx_bytes)),
            row("Most received in one second", say::bytes(node.peak_rx_bytes_per_s)),
            row("Packets dropped before anybody saw them", say::count(node.rx_drops)),
            row("Connections opened", say::count(connections.opened)),
            row("Connections refused before anything was read", say::count(connections.refused)),
            row("Connections dropped because a queue was full", say::count(node.listen_drops)),
            row(
                "TLS handshakes that failed",
                format!(
                    "{} of {}",
                    say::count(connections.handshake_failures),
                    say::count(connections.handshakes)
                ),
            ),
            row(
                "Streams reset; connections too slow",
                format!("{}; {}", say::count(connections.resets), say::count(connections.slow)),
            ),
            row("SYN cookies sent", say::count(node.syn_cookies)),
            row("Busiest second of the processors", say::ratio(node.peak_busy)),
            row("Most taken by the host of a virtual machine", say::ratio(node.peak_steal)),
            row("Most memory held by Seawall", say::bytes(node.peak_resident_bytes)),
            row("Requests the origin was spared", say::count(totals.spared)),
            row("Time the origin worked", say::span(totals.origin_cost_ms / 1_000)),
            row(
                "Answers of 4xx; of 5xx",
                format!(
                    "{}; {}",
                    say::count(totals.client_errors),
                    say::count(totals.server_errors)
                ),
            ),
            row("Time in which the origin was not healthy", say::span(node.origin_unhealthy_s)),
            row("Longest wait before the origin", format!("{} ms", say::count(node.peak_wait_ms))),
            row(
                "The origin at the end",
                format!(
                    "{healthy}; {} of {} places taken, {} waited",
                    origin.in_flight, origin.limit, origin.queued
                ),
            ),
        ],
    }
}

fn gaps(report: &Report) -> Block {
    if report.gaps.is_empty() {
        return Block::Paragraph("None.".into());
    }
    let since = report.begin.since;
    let each = report.gaps.iter().take(MAX_ROWS).map(|gap| {
        let until = match gap.until {
            Some(until) => format!("to {}", say::when(until, since)),
            None => "until nobody knows when".to_owned(),
        };
        let text = Text::strong(format!("From {} {until}", say::when(gap.from, since)))
            .and(format!(": {}", words::gap(&gap.why)));
        if gap.detail.is_empty() {
            text.and(".")
        } else {
            text.and(" (").and_foreign(&gap.detail).and(").")
        }
    });
    Block::List(each.collect())
}

fn faults(report: &Report) -> Block {
    if report.faults.is_empty() {
        return Block::Paragraph("None that it noticed.".into());
    }
    let since = report.begin.since;
    let each = report.faults.iter().take(MAX_ROWS).map(|fault| {
        Text::strong(say::when(fault.at, since))
            .and(": ")
            .and_foreign(&fault.part)
            .and(": ")
            .and_foreign(&fault.what)
    });
    Block::List(each.collect())
}
