//! Times as people write them on the command line.

use std::time::Duration;

use seawall_archive::parse_rfc3339;
use seawall_model::WallTime;

use crate::config::value;

/// A time: RFC 3339 (`2026-11-22T10:08:00Z`, or with an offset such as `+01:00`), the same with a blank
/// and without seconds or a zone, which then is UTC, a day alone, or how long ago it was (`2h`).
///
/// # Errors
/// What is wrong, for clap.
pub(crate) fn read(text: &str, now: WallTime) -> Result<WallTime, String> {
    let text = text.trim();
    if let Ok(ago) = value::duration(text) {
        return Ok(now - ago);
    }
    let at = if text.len() == "2026-11-22".len() {
        moment(&format!("{text}T00:00"))
    } else {
        moment(text)
    };
    at.ok_or_else(|| {
        "no time such as `2026-11-22T10:08:00Z`, `2026-11-22 10:08` (UTC) or `2h` (ago)".to_owned()
    })
}

/// RFC 3339, also as people and logs write it: with a blank for the `T`, without seconds, without a zone,
/// which then is UTC, or with an offset such as `+0100` or `+01` (ISO 8601). `None` for anything else.
pub(crate) fn moment(text: &str) -> Option<WallTime> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.trim_start_matches(['T', 't', ' ']);
    let (clock, zone) = match rest.find(['Z', 'z', '+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, "Z"),
    };
    let clock = clock.trim_end();
    let seconds = if clock.len() == "10:08".len() { ":00" } else { "" };
    let at = parse_rfc3339(&format!("{date}T{clock}{seconds}Z"))?;
    match zone.split_at_checked(1)? {
        ("Z" | "z", "") => Some(at),
        ("+", offset) => Some(at - length(offset)?),
        ("-", offset) => Some(at + length(offset)?),
        _ => None,
    }
}

/// How long the offset `01:00`, `0100` or `01` is.
fn length(offset: &str) -> Option<Duration> {
    let (hours, minutes) = offset.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { "00" } else { minutes };
    let two = |text: &str, below: u64| {
        let is_two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_two && *number < below)
    };
    let (hours, minutes) =
        (two(hours, 24)?, two(minutes.strip_prefix(':').unwrap_or(minutes), 60)?);
    Some(Duration::from_secs(hours * 3_600 + minutes * 60))
}

/// The wall clock.
#[allow(clippy::disallowed_methods, reason = "a command runs once and has no clock of the edge")]
pub(crate) fn now() -> WallTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_nanos();
    WallTime::from_unix_nanos(u64::try_from(since).unwrap_or(u64::MAX))
}

/// Waits between two looks at another process, which cannot wake this one.
#[allow(clippy::disallowed_methods, reason = "a command has nothing else to do meanwhile")]
pub(crate) fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use seawall_archive::rfc3339;
    use seawall_model::WallTime;

    use super::read;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let now = WallTime::from_unix_secs(1_795_341_600);
        for (text, want) in [
            ("2026-11-22T10:08:00Z", Some("2026-11-22T10:08:00Z")),
            ("2026-11-22T10:08:00.5Z", Some("2026-11-22T10:08:00Z")),
            ("2026-11-22T10:08:00+01:00", Some("2026-11-22T09:08:00Z")),
            ("2026-11-22T22:08:00-05:30", Some("2026-11-23T03:38:00Z")),
            ("2026-11-22 22:08:00 -0530", Some("2026-11-23T03:38:00Z")),
            ("2026-11-22T10:08+01", Some("2026-11-22T09:08:00Z")),
            ("2026-11-22t10:08:00z", Some("2026-11-22T10:08:00Z")),
            ("2026-11-22 10:08", Some("2026-11-22T10:08:00Z")),
            ("2026-11-22 10:08:09", Some("2026-11-22T10:08:09Z")),
            ("2026-11-22", Some("2026-11-22T00:00:00Z")),
            ("2h", Some("2026-11-22T08:00:00Z")),
            ("1d", Some("2026-11-21T10:00:00Z")),
            ("2026-13-22", None),
            ("2026-11-22 10", None),
            ("2026-11-22T10:08:00+1", None),
            ("2026-11-22T10:08:00++100", None),
            ("2026-11-22T10:08:00+24:00", None),
            ("2026-11-22T10:08:00+01:0", None),
            ("2026-11-22T10:08:00Z01:00", None),
            ("2026-11-22T10:61:00Z", None),
            ("2026/11/22 10:08", None),
            ("yesterday", None),
            ("2026-11-2é 10:08", None),
            ("", None),
        ] {
            assert_eq!(read(text, now).ok().map(rfc3339).as_deref(), want, "{text}");
        }
    }
}
