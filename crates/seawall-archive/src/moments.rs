//! Dates as sitemaps, Atom and RSS write them.
//!
//! Separate from `dates`, which reads what this program writes: these come in every form that people and
//! programs think of, and no more is read than a moment: W3C date and time
//! (a profile of ISO 8601; sitemaps, Atom's RFC 3339) and RFC 822 with its later years (RSS).

use seawall_model::{Date, WallTime};

/// The moment that `text` names. A date without a time is its first second in UTC. `None` for what is no
/// date, or lies before 1970 or after 2500 (a [`WallTime`] ends in 2554).
pub(crate) fn moment(text: &str) -> Option<WallTime> {
    let text = text.trim_ascii();
    if text.len() > MAX_DATE_BYTES {
        return None;
    }
    let seconds = iso(text).or_else(|| mail(text))?;
    u64::try_from(seconds).ok().map(WallTime::from_unix_secs)
}

/// No form is longer.
const MAX_DATE_BYTES: usize = 64;

/// `2026`, `2026-11`, `2026-11-22`, `2026-11-22T10:00`, with `:00`, a fraction and a zone.
fn iso(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let day = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    if parts.next().is_some() {
        return None;
    }
    let days = days(year, month, day)?;
    let Some(time) = time else { return Some(days * 86_400) };
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    Some(days * 86_400 + clock_s(clock)? - zone_s(zone)?)
}

/// `Sun, 22 Nov 2026 10:00:00 GMT`, the day of the week and the seconds left out as they may be.
fn mail(text: &str) -> Option<i64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: i64 = words.next().filter(|word| word.len() <= 2)?.parse().ok()?;
    let name = words.next()?.get(..3)?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = words.next()?;
    // RFC 2822 §4.3: two digits below 50 are of this century.
    let year = match (year.len(), year.parse::<i64>().ok()?) {
        (2, year) if year < 50 => 2_000 + year,
        (2, year) => 1_900 + year,
        (4, year) => year,
        _ => return None,
    };
    let days = days(year, i64::try_from(month).ok()? + 1, day)?;
    let clock = words.next().map_or(Some(0), clock_s)?;
    Some(days * 86_400 + clock - words.next().map_or(Some(0), zone_s)?)
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

/// `10:00`, `10:00:00` or `10:00:00.5`; a leap second is the second before it.
fn clock_s(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let second = match parts.next() {
        Some(part) => digits(part.split('.').next()?, 2)?,
        None => 0,
    };
    let fits = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    fits.then(|| hour * 3_600 + minute * 60 + second.min(59))
}

/// Seconds east of UTC: `Z`, `+02:00`, `-0500`, `EST`. Names that nobody knows are UTC (RFC 2822 §4.3).
fn zone_s(text: &str) -> Option<i64> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => {
            return Some(match text {
                "EDT" => -4 * 3_600,
                "EST" | "CDT" => -5 * 3_600,
                "CST" | "MDT" => -6 * 3_600,
                "MST" | "PDT" => -7 * 3_600,
                "PST" => -8 * 3_600,
                _ => 0,
            });
        }
    };
    let digits_only = text[1..].replace(':', "");
    let value = digits(&digits_only, 4)?;
    let (hours, minutes) = (value / 100, value % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970-01-01.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let date = Date::new(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    (1_970..=2_500).contains(&date.year()).then(|| date.days())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seawall_model::WallTime;

    use super::moment;

    #[track_caller]
    fn check(text: &str, want: Option<u64>) {
        assert_eq!(moment(text).map(WallTime::unix_secs), want, "{text}");
    }

    #[test]
    fn every_form_of_one_moment_is_that_moment() {
        let noon = 1_795_348_800; // 2026-11-22T12:00:00Z
        for text in [
            "2026-11-22T12:00:00Z",
            "2026-11-22t12:00z",
            "2026-11-22 12:00:00",
            "2026-11-22T12:00:00.123456Z",
            "2026-11-22T14:30:00+02:30",
            "2026-11-22T07:00:00-0500",
            " Sun, 22 Nov 2026 12:00:00 GMT ",
            "Sun, 22 Nov 2026 12:00:00 +0000",
            "22 Nov 26 13:00 +0100",
            "22 november 2026 04:00:00 PST",
        ] {
            check(text, Some(noon));
        }
        check("2026-11-22", Some(noon - 12 * 3_600));
        check("2026-11", Some(1_793_491_200));
        check("2026", Some(1_767_225_600));
        check("1970-01-01", Some(0));
        check("2024-02-29", Some(1_709_164_800));
        check("2000-03-01", Some(951_868_800));
        check("2500-12-31T23:59:60Z", Some(16_756_761_599));
    }

    #[test]
    fn what_is_no_date_has_no_moment() {
        for text in [
            "",
            "2501-01-01",
            "-",
            "yesterday",
            "0000-00-00",
            "2023-02-29",
            "2026-13-01",
            "2026-11-22T25:00Z",
            "1969-12-31",
            "2026-11-22T12:00:00+99:99",
            "1970-01-01T00:00:00+01:00",
            "22 Foo 2026 12:00:00 GMT",
            "2026-11-2é",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn a_date_is_read_as_the_library_for_http_dates_writes_it(seconds in 0u64..16_756_761_600) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            prop_assert_eq!(moment(&httpdate::fmt_http_date(time)).map(WallTime::unix_secs), Some(seconds));
        }

        #[test]
        fn anything_is_a_date_or_none(text in ".{0,70}", near in "[0-9TZ:+. -]{0,40}") {
            let _ = moment(&text);
            let _ = moment(&near);
        }
    }
}
