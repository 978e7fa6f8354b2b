//! What came out: the figures for machines, and whether it counts as a success.

use serde_json::{Value, json};

use seawall_rehearse::Tally;

use crate::demo::board::{Board, Side};

/// The finished demo.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What was on the board at the end.
    pub(crate) board: Board,
}

/// Whether readers were served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// At least 99 % of the page views that a copy can serve.
    Served,
    /// Fewer.
    NotServed,
    /// A 200 carried other bytes than the site's.
    WrongBytes,
    /// Too few page views to say.
    TooFew,
}

impl Outcome {
    /// From the last state of the board.
    pub(crate) fn new(board: Board) -> Self {
        Self { board }
    }

    /// Judges the side with Seawall under flood.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict::on(&self.board.with)
    }

    /// Judges the side with Seawall and a dead origin.
    pub(crate) fn verdict_with_origin_dead(&self) -> Verdict {
        Verdict::on(&self.board.origin_dead)
    }

    /// Whether the exit code is 0.
    pub(crate) fn is_success(&self) -> bool {
        [self.verdict(), self.verdict_with_origin_dead()] == [Verdict::Served; 2]
    }

    /// The shape in `interface.md`, with keys added. All counts are of the flood alone; the quiet
    /// before it is under `quiet`.
    pub(crate) fn to_json(&self) -> Value {
        let mut with = side(&self.board.with);
        self.board.detected.add_to(&mut with);
        json!({
            "seed": self.board.seed,
            "without": side(&self.board.without),
            "with": with,
            "with_origin_dead": self.origin_dead(),
        })
    }

    fn origin_dead(&self) -> Value {
        let Board { origin_dead, archived, .. } = &self.board;
        json!({
            "seconds": origin_dead.flooded.as_secs_f64(),
            "readers": readers(origin_dead),
            "needs_origin": tally(&origin_dead.readers.needs_origin),
            "kinds": origin_dead.readers.kinds,
            "pages_known": archived.known,
            "pages_held": archived.held,
            "copies": origin_dead.readers.copies,
            "copy_says": origin_dead.readers.copy_says,
        })
    }
}

impl Verdict {
    fn on(side: &Side) -> Self {
        let readers = &side.readers;
        match readers.flood.served() {
            _ if readers.failures.wrong_bytes > 0 => Self::WrongBytes,
            _ if readers.flood.transactions < ENOUGH => Self::TooFew,
            Some(share) if share >= BAR => Self::Served,
            _ => Self::NotServed,
        }
    }
}

fn readers(side: &Side) -> Value {
    let mut all = tally(&side.readers.flood);
    all["failures"] = json!(side.readers.failures);
    all
}

fn side(side: &Side) -> Value {
    let readers = &side.readers;
    json!({
        "seconds": side.flooded.as_secs_f64(),
        "readers": self::readers(side),
        "needs_origin": tally(&readers.needs_origin),
        "kinds": readers.kinds,
        "quiet": tally(&readers.quiet),
        "copies": readers.copies,
        "origin": {
            "requests": side.site.requests,
            "refused": side.site.refused,
            "refused_connections": side.site.refused_connections,
            "peak_in_flight": side.site.peak_in_flight,
        },
        "attack": {
            "requests": side.flood.requests,
            "reached_origin": side.site.from_attack,
            "cache_busting": side.flood.busting,
            "answered": side.flood.answered,
            "turned_away": side.flood.turned_away,
            "peak_slow_connections": side.peak_slow,
            "sources": side.flood.sources,
        },
    })
}

fn tally(tally: &Tally) -> Value {
    json!(tally)
}

/// 99.9 % is for the benchmark, where the count allows it.
const BAR: f64 = 0.99;

/// With fewer, one failure would be more than a percent.
const ENOUGH: u64 = 100;

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use seawall_rehearse::{Kind, Tally};

    use super::{Outcome, Verdict};
    use crate::demo::archive::Archived;
    use crate::demo::board::Board;

    pub(crate) fn tally(transactions: u64, ok: u64, times: [f64; 3]) -> Tally {
        let [p50_ms, p95_ms, p99_ms] = times;
        Tally { transactions, ok, p50_ms, p95_ms, p99_ms }
    }

    /// A finished demo with plausible figures.
    pub(crate) fn example() -> Outcome {
        let mut board = Board::new(1, Duration::from_secs(90));
        let side = &mut board.without;
        (side.begun, side.flooded) = (true, Duration::from_secs(20));
        side.readers.flood = tally(330, 13, [4_000.0, 10_000.0, 10_000.0]);
        side.readers.needs_origin = tally(24, 1, [4_000.0; 3]);
        side.readers.kinds.insert(Kind::Browser, tally(270, 8, [4_000.0; 3]));
        side.readers.kinds.insert(Kind::Tor, tally(25, 0, [10_000.0; 3]));
        side.readers.kinds.insert(Kind::Feed, tally(35, 5, [4_000.0; 3]));
        side.readers.failures.turned_away = 290;
        side.readers.failures.late = 27;
        side.site.requests = 33_000;
        side.site.refused = 31_100;
        side.site.peak_in_flight = 132;
        side.site.from_attack = 32_400;
        side.flood.requests = 33_100;
        side.flood.busting = 7_900;
        side.flood.sources = 3_000;
        side.peak_slow = 870;
        side.series.served = vec![100, 100, 80, 4, 0, 5, 2];
        side.series.median_ms = vec![90, 95, 1_200, 4_000, 4_000, 4_000, 4_000];
        side.series.origin = vec![110, 120, 900, 1_700, 1_690, 1_720, 1_680];
        side.series.attack = vec![0, 0, 800, 1_700, 1_700, 1_700, 1_700];
        let side = &mut board.with;
        (side.begun, side.flooded) = (true, Duration::from_secs(55));
        side.readers.flood = tally(1_200, 1_199, [6.5, 610.0, 900.0]);
        side.readers.needs_origin = tally(76, 20, [4_000.0; 3]);
        side.readers.kinds.insert(Kind::Browser, tally(920, 919, [5.8, 11.0, 19.2]));
        side.readers.kinds.insert(Kind::Tor, tally(130, 130, [560.0, 900.0, 990.0]));
        side.readers.kinds.insert(Kind::Feed, tally(150, 150, [1.2, 3.0, 8.1]));
        side.readers.failures.late = 1;
        side.site.requests = 22_400;
        side.site.refused = 16_900;
        side.site.peak_in_flight = 132;
        side.site.from_attack = 21_800;
        side.flood.requests = 91_000;
        side.flood.busting = 21_800;
        side.flood.sources = 3_000;
        side.peak_slow = 1_100;
        side.series.served = vec![100; 12];
        side.series.median_ms = vec![7; 12];
        side.series.origin = vec![90, 95, 60, 400, 410, 395, 400, 402, 399, 401, 400, 398];
        side.series.attack =
            vec![0, 0, 900, 1_700, 1_700, 1_700, 1_700, 1_700, 1_690, 1_700, 1_700, 1_700];
        let side = &mut board.origin_dead;
        (side.begun, side.flooded) = (true, Duration::from_secs(18));
        side.readers.flood = tally(430, 430, [4.4, 560.0, 640.0]);
        side.readers.needs_origin = tally(27, 0, [4_000.0; 3]);
        side.readers.kinds.insert(Kind::Browser, tally(264, 264, [4.1, 9.0, 12.0]));
        side.readers.kinds.insert(Kind::Unread, tally(60, 60, [4.9, 9.8, 14.0]));
        side.readers.kinds.insert(Kind::Tor, tally(50, 50, [560.0, 600.0, 650.0]));
        side.readers.kinds.insert(Kind::Feed, tally(56, 56, [1.0, 2.0, 4.0]));
        side.readers.copies = 190;
        side.readers.copy_says =
            Some("The site is not answering. This is its copy from 14:05 UTC.".to_owned());
        side.series.served = vec![100; 9];
        side.series.median_ms = vec![4; 9];
        side.series.origin = vec![0; 9];
        side.series.attack = vec![0; 9];
        board.archived = Archived { known: 399, held: 399, due: 0 };
        board.detected.take(
            0.8,
            &serde_json::json!({"state": "attack", "baseline_clients": 3_010,
                "baseline_is_generated": true, "mitigations": [
                {"id": 1, "signature": "query of 1 AND no cookie", "rung": "demote",
                "matched": 18_400, "blocked": 0, "collateral_upper": 0.0004}]}),
        );
        Outcome::new(board)
    }

    #[test]
    fn success_needs_enough_page_views_served_with_the_right_bytes() {
        for (transactions, ok, wrong_bytes, expected) in [
            (1_000, 990, 0, Verdict::Served),
            (1_000, 989, 0, Verdict::NotServed),
            (1_000, 999, 1, Verdict::WrongBytes),
            (99, 99, 0, Verdict::TooFew),
            (0, 0, 0, Verdict::TooFew),
            (100, 100, 0, Verdict::Served),
        ] {
            let mut outcome = example();
            outcome.board.with.readers.flood = tally(transactions, ok, [1.0; 3]);
            outcome.board.with.readers.failures.wrong_bytes = wrong_bytes;
            assert_eq!(outcome.verdict(), expected, "{ok} of {transactions}, {wrong_bytes} wrong");
            assert_eq!(outcome.is_success(), expected == Verdict::Served);
            let mut outcome = example();
            assert!(outcome.is_success());
            outcome.board.origin_dead.readers.flood = tally(transactions, ok, [1.0; 3]);
            outcome.board.origin_dead.readers.failures.wrong_bytes = wrong_bytes;
            assert_eq!(outcome.verdict_with_origin_dead(), expected);
            assert_eq!(outcome.is_success(), expected == Verdict::Served, "the third act counts");
        }
    }

    #[test]
    fn the_json_has_every_key_that_others_parse() {
        let json = example().to_json();
        assert_eq!(json["seed"], 1);
        for side in ["without", "with"] {
            for (group, keys) in [
                ("readers", &["transactions", "ok", "p50_ms", "p95_ms", "p99_ms"][..]),
                ("origin", &["requests", "refused", "peak_in_flight"]),
                ("attack", &["requests", "reached_origin"]),
            ] {
                for key in keys {
                    assert!(json[side][group][key].is_number(), "{side}.{group}.{key}");
                }
            }
        }
        let dead = &json["with_origin_dead"];
        for key in ["transactions", "ok", "p50_ms", "p95_ms", "p99_ms"] {
            assert!(dead["readers"][key].is_number(), "with_origin_dead.readers.{key}");
        }
        assert_eq!((&dead["pages_held"], &dead["copies"]), (&399.into(), &190.into()));
        assert_eq!(json["with"]["detected_after_s"], 0.8);
        assert_eq!(json["with"]["signatures"], serde_json::json!(["query of 1 AND no cookie"]));
        assert!(json["without"].get("signatures").is_none());
    }
}
