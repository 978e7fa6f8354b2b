//! Times as the web writes them, in seconds since 1970.

/// `2026-11-22T14:05:00Z`.
pub(super) fn of_stamp(text: &str) -> Option<f64> {
    let (date, time) = text.trim_end_matches('Z').split_once('T')?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    seconds(year, month, day, time)
}

/// `Sun, 22 Nov 2026 14:05:00 GMT` (RFC 9110 §5.6.7).
pub(super) fn of_field(text: &str) -> Option<f64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_whitespace().skip(1);
    let day = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = parts.next()?.parse().ok()?;
    seconds(year, i64::try_from(month).ok()? + 1, day, parts.next()?)
}

fn seconds(year: i64, month: i64, day: i64, time: &str) -> Option<f64> {
    // Years that begin in March have their odd day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    // Of the first of January 1970, counted the same way.
    let days = days - 719_469;
    let mut parts = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some(days as f64 * 86_400.0 + hours * 3_600.0 + minutes * 60.0 + seconds)
}

#[cfg(test)]
mod tests {
    use super::{of_field, of_stamp};

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        for (stamp, field, expected) in [
            ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
            ("2024-02-29T12:00:01Z", "Thu, 29 Feb 2024 12:00:01 GMT", 1_709_208_001.0),
            ("2026-11-22T14:05:00Z", "Sun, 22 Nov 2026 14:05:00 GMT", 1_795_356_300.0),
        ] {
            assert_eq!(
                (of_stamp(stamp), of_field(field)),
                (Some(expected), Some(expected)),
                "{stamp}"
            );
        }
        assert_eq!(
            (of_stamp("yesterday"), of_field("Sun, 22 Nob 2026 14:05:00 GMT")),
            (None, None)
        );
    }
}
