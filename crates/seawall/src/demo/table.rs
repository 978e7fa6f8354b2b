//! The end: both sides in one table, what it means, and where to look next.

use std::fmt::Write as _;

use seawall_rehearse::{Kind, Tally};

use crate::demo::board::Side;
use crate::demo::folder::Folder;
use crate::demo::plain::{grouped, milliseconds, percent};
use crate::demo::result::{Outcome, Verdict};

/// The whole text.
pub(crate) fn render(outcome: &Outcome, folder: &Folder) -> String {
    let mut text = summary(outcome);
    if let Some(kept) = folder.kept() {
        let _ = writeln!(text, "  Configuration and logs of this run: {}", kept.display());
    }
    text
}

fn summary(outcome: &Outcome) -> String {
    let (without, with) = (&outcome.board.without, &outcome.board.with);
    let mut text = String::new();
    let _ = writeln!(text, "{:<34}{:>18}{:>18}", "", "without Seawall", "with Seawall");
    for (name, figure) in ROWS {
        let _ = writeln!(text, "{name:<34}{:>18}{:>18}", figure(without), figure(with));
    }
    let _ = write!(
        text,
        "\n{}\n\nCounted is the flood alone: {} s without Seawall, {} s with it (seed {}). Both sides had the same\n\
         readers and the same flood. In the quiet before it, which is not counted, a crawler read every\n\
         page, as search engines do; a page that nobody has read yet is not held and waits for the origin.\n\
         {}\n\nWhere to look next\n",
        sentence(outcome),
        without.flooded.as_secs(),
        with.flooded.as_secs(),
        outcome.board.seed,
        search_sentence(with),
    );
    text.push_str(NEXT);
    text
}

fn sentence(outcome: &Outcome) -> String {
    let readers = &outcome.board.with.readers;
    let served = format!(
        "{} of {} page views were served with Seawall on ({})",
        grouped(readers.flood.ok),
        grouped(readers.flood.transactions),
        percent(readers.flood.served()),
    );
    match outcome.verdict() {
        Verdict::Served => format!("Readers were served: {served}."),
        Verdict::NotServed => {
            format!("Readers were NOT served well enough: {served}; the bar is 99 %.")
        }
        Verdict::WrongBytes => format!(
            "WRONG BYTES under a 200, {} times. That is a bug in Seawall: please report it with the seed.",
            readers.failures.wrong_bytes
        ),
        Verdict::TooFew => {
            format!("Too few page views to say anything: {served}. Give it more `--seconds`.")
        }
    }
}

fn search_sentence(with: &Side) -> String {
    let searches = &with.readers.needs_origin;
    format!(
        "Searches cannot be answered from a copy: {} of {} were served. At the origin they go\n\
         before the flood's random queries, which get a small part of its time.",
        grouped(searches.ok),
        grouped(searches.transactions),
    )
}

type Figure = fn(&Side) -> String;

const ROWS: [(&str, Figure); 18] = [
    ("Page views served", |side| percent(side.readers.flood.served())),
    ("  by browsers", |side| percent(kind(side, Kind::Browser).served())),
    ("  by feed readers", |side| percent(kind(side, Kind::Feed).served())),
    ("  over slow lines, as through Tor", |side| percent(kind(side, Kind::Tor).served())),
    ("  page views in all", |side| grouped(side.readers.flood.transactions)),
    ("  with wrong bytes", |side| grouped(side.readers.failures.wrong_bytes)),
    ("Time for a page, median", |side| milliseconds(side.readers.flood.p50_ms)),
    ("  browsers, 95 of 100 under", |side| milliseconds(kind(side, Kind::Browser).p95_ms)),
    ("  browsers, 99 of 100 under", |side| milliseconds(kind(side, Kind::Browser).p99_ms)),
    ("  all readers, 99 of 100 under", |side| milliseconds(side.readers.flood.p99_ms)),
    ("Searches served (need the origin)", |side| percent(side.readers.needs_origin.served())),
    ("Requests at the origin", |side| per_second(side.site.requests, side)),
    ("  of these refused by it", |side| per_second(side.site.refused, side)),
    ("  connections refused by it", |side| per_second(side.site.refused_connections, side)),
    ("  at work or waiting, at most", |side| grouped(side.site.peak_in_flight)),
    ("Attack: requests sent", |side| per_second(side.flood.requests, side)),
    ("  of these at the origin", |side| per_second(side.site.from_attack, side)),
    ("  slow connections, at most", |side| grouped(side.peak_slow)),
];

fn kind(side: &Side, kind: Kind) -> Tally {
    side.readers.kinds.get(&kind).cloned().unwrap_or_default()
}

fn per_second(count: u64, side: &Side) -> String {
    let seconds = side.flooded.as_secs_f64().max(1.0);
    format!("{}/s", grouped((count as f64 / seconds).round() as u64))
}

const NEXT: &str = "  \
  seawall serve --origin http://127.0.0.1:8080 --listen 0.0.0.0:80    before your own site
  README.md                     ten minutes to an installation in front of nginx or WordPress
  seawall demo --seed 2         another newspaper, other readers, another flood
  seawall demo --json           the figures for machines, with why page views failed
";

#[cfg(test)]
mod tests {
    use super::summary;
    use crate::demo::result::tests::{example, tally};

    #[test]
    fn the_end_shows_both_sides_and_where_to_look_next() {
        let text = summary(&example());
        let expected = include_str!("golden/table.txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/golden/table.txt");
            std::fs::write(path, &text).expect("the source tree is writable");
        } else {
            assert_eq!(text, expected, "UPDATE_EXPECT=1 writes it anew:\n{text}");
        }
    }

    #[test]
    fn a_failure_is_said_as_one() {
        let mut outcome = example();
        outcome.board.with.readers.flood = tally(1_000, 600, [900.0; 3]);
        assert!(summary(&outcome).contains("NOT served well enough: 600 of 1,000"));
        outcome.board.with.readers.failures.wrong_bytes = 2;
        assert!(summary(&outcome).contains("WRONG BYTES under a 200, 2 times"));
    }
}
