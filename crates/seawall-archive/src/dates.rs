//! Dates as archives write them, without a library of calendars.

use seawall_model::{Date, WallTime};

/// `2026-11-22T10:08:00.123Z`: what a WARC says. Finer than a millisecond is dropped.
pub(crate) fn with_millis(at: WallTime) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(at.unix_secs());
    let millis = at.unix_nanos() / 1_000_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// `2026-11-22T10:08:00Z`: RFC 3339 in whole seconds.
pub fn with_seconds(at: WallTime) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(at.unix_secs());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `20261122100800`: what an index of captures says.
pub(crate) fn digits(at: WallTime) -> String {
    let Civil { year, month, day, hour, minute, second } = civil(at.unix_secs());
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}")
}

/// Reads RFC 3339 in UTC with up to nine digits of a fraction, from 1970 to 2554. `None` for anything
/// else.
pub fn parse(text: &str) -> Option<WallTime> {
    let text = text.trim().as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.iter().try_fold(0, |sum: u64, &byte| {
            byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0'))
        })
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if text.len() < 20 || separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let date = Date::new(i64::try_from(year).ok()?, narrow(month)?, narrow(day)?)?;
    let is_held = (1970..=2553).contains(&date.year());
    // 60 is a leap second, which this clock does not have.
    if !is_held || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let nanos = match &text[19..] {
        b"Z" => 0,
        [b'.', fraction @ .., b'Z'] if (1..=9).contains(&fraction.len()) => {
            let scale = 10_u64.pow(9 - u32::try_from(fraction.len()).ok()?);
            number(20, 20 + fraction.len())? * scale
        }
        _ => return None,
    };
    let days = u64::try_from(date.days()).ok()?;
    let secs = ((days * 24 + hour) * 60 + minute) * 60 + second.min(59);
    Some(WallTime::from_unix_nanos(secs * 1_000_000_000 + nanos))
}

fn narrow(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

struct Civil {
    year: i64,
    month: u32,
    day: u32,
    hour: u64,
    minute: u64,
    second: u64,
}

fn civil(secs: u64) -> Civil {
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    // Days of a wall time fit: it ends in 2554.
    let date = Date::from_days(u32::try_from(secs / 86_400).unwrap_or(u32::MAX));
    Civil { year: date.year(), month: date.month(), day: date.day(), hour, minute, second }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_model::WallTime;

    use super::{digits, parse, with_millis, with_seconds};

    #[test]
    fn dates_are_written_as_date_1_writes_them() {
        // Each from `date -u -d @SECONDS`.
        for (secs, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_342_080, "2026-11-22T10:08:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            let at = WallTime::from_unix_secs(secs);
            assert_eq!(with_seconds(at), want);
            assert_eq!(parse(want), Some(at));
            let plain: String = want.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(digits(at), plain);
        }
    }

    #[test]
    fn what_is_no_date_in_utc_is_refused() {
        for wrong in [
            "",
            "2026",
            "2026-11-22",
            "2026-11-22T10:08:00",
            "2026-11-22T10:08:00+01:00",
            "2026-11-22T10:08:00.Z",
            "2026-11-22T10:08:00.1234567890Z",
            "2026-13-22T10:08:00Z",
            "2026-02-29T10:08:00Z",
            "2026-00-01T10:08:00Z",
            "2026-11-00T10:08:00Z",
            "2026-11-22T24:08:00Z",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
            "2026-11-22 10:08:00Z",
            "2026-11-22T1a:08:00Z",
            "２026-11-22T10:08:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        let leap_second = parse("2016-12-31T23:59:60Z");
        assert_eq!(leap_second, parse("2016-12-31T23:59:59Z"));
    }

    proptest! {
        #[test]
        fn every_time_reads_back_to_the_millisecond(millis in 0..u64::MAX / 1_000_000) {
            let at = WallTime::from_unix_nanos(millis * 1_000_000);
            prop_assume!(with_millis(at).as_str() < "2554");
            prop_assert_eq!(parse(&with_millis(at)), Some(at));
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
