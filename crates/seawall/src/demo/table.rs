//! The end: all sides in one table, what it means, and where to look next.

use std::fmt::Write as _;
use std::path::Path;

use seawall_rehearse::{Kind, Tally};

use crate::demo::board::{Board, Side};
use crate::demo::folder::Folder;
use crate::demo::plain::{milliseconds, percent};
use crate::demo::result::{Outcome, Verdict};
use crate::figures::grouped;

/// The whole text.
pub(crate) fn render(outcome: &Outcome, folder: &Folder) -> String {
    let mut text = summary(outcome);
    text.push_str(&where_to_read(folder.kept(), !folder.records().is_empty()));
    text
}

/// Where the report of the incident is, and what else stays.
fn where_to_read(kept: Option<&Path>, is_recorded: bool) -> String {
    let mut text = String::new();
    match kept {
        Some(kept) => {
            let kept = kept.display();
            if is_recorded {
                let _ = writeln!(
                    text,
                    "  seawall report show last --state {kept}\n                                the report of this incident; `report export` makes a page of it"
                );
            }
            let _ = writeln!(text, "  Configuration and logs of this run: {kept}");
        }
        None if is_recorded => text.push_str(
            "  seawall demo --keep DIR       keeps what Seawall recorded of the incident, for `seawall report`\n",
        ),
        None => {}
    }
    text
}

fn summary(outcome: &Outcome) -> String {
    let Board { without, with, origin_dead, .. } = &outcome.board;
    let mut text = String::new();
    let mut row = |name: &str, [without, with, dead]: [String; 3]| {
        let _ = writeln!(text, "{name:<34}{without:>16}{with:>13}{dead:>16}");
    };
    row("", ["without", "with", "with Seawall,"].map(str::to_owned));
    row("", ["Seawall", "Seawall", "server dead"].map(str::to_owned));
    for (name, figure) in ROWS {
        row(name, [figure(without), figure(with), figure(origin_dead)]);
    }
    for (name, figure) in ROWS_WITH_A_SERVER {
        row(name, [figure(without), figure(with), "–".to_owned()]);
    }
    let _ = write!(
        text,
        "\n{}\n{}\n\nCounted is the flood alone: {} s without Seawall, {} s with it (seed {}). Both sides had the same\n\
         readers and the same flood. In the quiet before it, which is not counted, a crawler read all but\n\
         the old stories, as search engines do; what nobody has read yet is not in Seawall's cache.\n\
         {}\n\n{}\n{}\n\n{}\n\nWhere to look next\n",
        sentence(outcome.verdict(), with, "with Seawall on"),
        sentence(outcome.verdict_with_origin_dead(), origin_dead, "with the server dead"),
        without.flooded.as_secs(),
        with.flooded.as_secs(),
        outcome.board.seed,
        search_sentence(with),
        outcome.board.detected.story(),
        cost(with),
        death(&outcome.board),
    );
    text.push_str(NEXT);
    text
}

/// What readers paid for what was done about the flood.
fn cost(with: &Side) -> String {
    let readers = &with.readers;
    format!(
        "That cost readers: {} of {} page views were turned away.",
        grouped(readers.failures.turned_away + readers.failures.refused),
        grouped(readers.flood.transactions),
    )
}

/// What happened when the server died, and where the pages came from then.
fn death(board: &Board) -> String {
    let Board { origin_dead: Side { readers, flooded, .. }, archived, .. } = board;
    let unread = kind(&board.origin_dead, Kind::Unread);
    let mut text = format!(
        "Then the flood stopped, the server's process was killed (SIGKILL), and readers came for {} s more.\n\
         Seawall had copied the paper meanwhile, from its front page and sitemap on: when the server died,\n\
         its archive held {} of {} addresses (pages, pictures, style sheet, feed). {} page views came from\n\
         the archive, the others from the cache. Of {} old stories that nobody had opened before, which\n\
         only the archive has, {} were served. Searches need the server: {} of {} were answered.",
        flooded.as_secs(),
        grouped(archived.held),
        grouped(archived.known),
        grouped(readers.copies),
        grouped(unread.transactions),
        grouped(unread.ok),
        grouped(readers.needs_origin.ok),
        grouped(readers.needs_origin.transactions),
    );
    if let Some(says) = &readers.copy_says {
        let _ = write!(text, "\nA page from the archive says at its top: “{says}”");
    }
    text
}

fn sentence(verdict: Verdict, side: &Side, when: &str) -> String {
    let readers = &side.readers;
    let served = format!(
        "{} of {} page views were served {when} ({})",
        grouped(readers.flood.ok),
        grouped(readers.flood.transactions),
        percent(readers.flood.served()),
    );
    match verdict {
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

const ROWS: [(&str, Figure); 13] = [
    ("Page views served", |side| percent(side.readers.flood.served())),
    ("  by browsers", |side| percent(kind(side, Kind::Browser).served())),
    ("  by feed readers", |side| percent(kind(side, Kind::Feed).served())),
    ("  over slow lines, as through Tor", |side| percent(kind(side, Kind::Tor).served())),
    ("  of pages nobody had opened before", |side| percent(kind(side, Kind::Unread).served())),
    ("  page views in all", |side| grouped(side.readers.flood.transactions)),
    ("  of these, from the archive", |side| grouped(side.readers.copies)),
    ("  with wrong bytes", |side| grouped(side.readers.failures.wrong_bytes)),
    ("Time for a page, median", |side| milliseconds(side.readers.flood.p50_ms)),
    ("  browsers, 95 of 100 under", |side| milliseconds(kind(side, Kind::Browser).p95_ms)),
    ("  browsers, 99 of 100 under", |side| milliseconds(kind(side, Kind::Browser).p99_ms)),
    ("  all readers, 99 of 100 under", |side| milliseconds(side.readers.flood.p99_ms)),
    ("Searches served (need the origin)", |side| percent(side.readers.needs_origin.served())),
];

/// What there is no more when the server is dead.
const ROWS_WITH_A_SERVER: [(&str, Figure); 7] = [
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
        let mut outcome = example();
        outcome.board.origin_dead.readers.flood = tally(400, 300, [4_000.0; 3]);
        let text = summary(&outcome);
        assert!(text.contains("Readers were served: 1,199 of 1,200"), "{text}");
        assert!(
            text.contains(
                "NOT served well enough: 300 of 400 page views were served with the server dead"
            ),
            "{text}"
        );
    }
}
