//! One line a second, for logs and pipes; and numbers as people write them.

use crate::demo::board::{Board, Stage};
use crate::figures::grouped;

/// What this second was like.
pub(crate) fn line(board: &Board) -> String {
    let side = board.side();
    let series = &side.series;
    let last = |values: &[u64]| values.last().copied().unwrap_or(0);
    let stage = if board.stage == Stage::Flood { "flood" } else { "quiet" };
    format!(
        "{:>3}/{} s  {:<15}  {stage}  readers served {:>3} %  median {:>9}  origin {:>5}/s, {:>3} in flight  attack {:>5}/s",
        board.elapsed.as_secs(),
        board.whole.as_secs(),
        board.which.name(),
        last(&series.served),
        milliseconds(last(&series.median_ms) as f64),
        grouped(last(&series.origin)),
        side.site.in_flight,
        grouped(last(&series.attack)),
    )
}

/// `12 ms`, `1.2 s`, and `over 4 s` for what was given up.
pub(crate) fn milliseconds(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => "over 10 s".to_owned(),
        value if (4_000.0..4_000.5).contains(&value) => "over 4 s".to_owned(),
        value if value >= 1_000.0 => format!("{:.1} s", value / 1_000.0),
        value if value >= 10.0 => format!("{value:.0} ms"),
        value => format!("{value:.1} ms"),
    }
}

/// `99.9 %`, never rounded up to a hundred; a dash for nothing.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(
        || "–".to_owned(),
        |share| format!("{:.1} %", (share * 1_000.0).floor() / 10.0),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{line, milliseconds, percent};
    use crate::demo::board::{Stage, Which};
    use crate::demo::result::tests::example;

    #[test]
    fn a_line_says_what_the_second_was_like() {
        let mut board = example().board;
        board.which = Which::Without;
        board.stage = Stage::Flood;
        board.elapsed = Duration::from_millis(12_400);
        board.without.site.in_flight = 132;
        assert_eq!(
            line(&board),
            " 12/90 s  without Seawall  flood  readers served   2 %  median  over 4 s  origin 1,680/s, 132 in flight  attack 1,700/s"
        );
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (value, text) in [
            (0.45, "0.5 ms"),
            (12.4, "12 ms"),
            (1_240.0, "1.2 s"),
            (4_000.0, "over 4 s"),
            (5_200.0, "5.2 s"),
            (10_000.0, "over 10 s"),
        ] {
            assert_eq!(milliseconds(value), text);
        }
        for (share, text) in
            [(None, "–"), (Some(1.0), "100.0 %"), (Some(0.9999), "99.9 %"), (Some(0.0394), "3.9 %")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
