//! Numbers, times and names of closed lists, in words.

use crate::say::grouped;
use crate::{Cohort, Moment, Report};

/// `7,327,899`.
pub(super) fn count(number: u64) -> String {
    grouped(number)
}

/// `1 request`, `2 requests`.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// The same for a first reader: rounded from a hundred thousand on, and said to be.
pub(super) fn large(number: u64, one: &str, many: &str) -> String {
    match number {
        0..100_000 => counted(number, one, many),
        100_000..1_000_000 => format!("about {} {many}", count((number + 500) / 1_000 * 1_000)),
        1_000_000..1_000_000_000 => format!("about {:.1} million {many}", number as f64 / 1e6),
        _ => format!("about {:.1} thousand million {many}", number as f64 / 1e9),
    }
}

/// A rate or an estimate: whole from ten on.
pub(super) fn about(number: f64) -> String {
    if !number.is_finite() {
        return "unknown".to_owned();
    }
    let number = number.max(0.0);
    if number >= 10.0 { count(number.round() as u64) } else { format!("{number:.1}") }
}

/// A part of a whole: `99.6 %`, in one line. Never `100 %` or `0 %` of what is not all or nothing.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "\u{2013}".to_owned();
    }
    if part == whole {
        return "100\u{a0}%".to_owned();
    }
    if part == 0 {
        return "0\u{a0}%".to_owned();
    }
    ratio(part as f64 / whole as f64)
}

/// The same of 0 to 1.
pub(super) fn ratio(part: f64) -> String {
    let percent = part * 100.0;
    if !percent.is_finite() {
        return "unknown".to_owned();
    }
    match percent {
        p if p <= 0.0 => "0\u{a0}%".to_owned(),
        p if p >= 100.0 => "100\u{a0}%".to_owned(),
        p if p < 0.05 => "below 0.1\u{a0}%".to_owned(),
        p if p > 99.95 => "above 99.9\u{a0}%".to_owned(),
        p => format!("{p:.1}\u{a0}%"),
    }
}

/// `12.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { counted(number, "byte", "bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `2 hours 3 minutes`; the two largest units.
pub(super) fn span(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "day", "days"),
        (seconds / 3_600 % 24, "hour", "hours"),
        (seconds / 60 % 60, "minute", "minutes"),
        (seconds % 60, "second", "seconds"),
    ];
    let first = parts.iter().position(|part| part.0 > 0).unwrap_or(3);
    let shown: Vec<String> = parts[first..]
        .iter()
        .take(2)
        .enumerate()
        .filter(|(place, part)| *place == 0 || part.0 > 0)
        .map(|(_, (number, one, many))| counted(*number, one, many))
        .collect();
    shown.join(" ")
}

/// `22 November 2026`.
pub(super) fn day(at: Moment) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let text = at.to_string();
    let number = |from: usize, to: usize| text[from..to].parse::<usize>().unwrap_or(0);
    let month = MONTHS.get(number(5, 7).wrapping_sub(1)).unwrap_or(&"");
    format!("{} {month} {}", number(8, 10), &text[..4])
}

/// `10:08:00`, and milliseconds where there are any.
pub(super) fn clock(at: Moment) -> String {
    let text = at.to_string();
    let end = if at.unix_ms().is_multiple_of(1_000) { 19 } else { 23 };
    text[11..end].to_owned()
}

/// `2026-11-22 10:08:00`.
pub(super) fn full(at: Moment) -> String {
    format!("{} {}", &at.to_string()[..10], clock(at))
}

/// The clock on the day of `near`, else the date as well.
pub(super) fn when(at: Moment, near: Moment) -> String {
    if at.unix_s() / 86_400 == near.unix_s() / 86_400 { clock(at) } else { full(at) }
}

/// The name of what was attacked.
pub(super) fn site(report: &Report) -> String {
    match report.begin.sites.as_slice() {
        [] => "a site without a name".to_owned(),
        // The configuration takes every name.
        [site, ..] if site == "*" => "a site under any name".to_owned(),
        [site, ..] => super::clean::line(site),
    }
}

/// How many times as many, said so that nobody takes it for more precise than it is.
pub(super) fn times(requests: u64, expected: f64) -> Option<String> {
    let times = requests as f64 / expected;
    if !times.is_finite() || times < 0.0 {
        return None;
    }
    let text = match times {
        t if t >= 1_000.0 => count((t / 100.0).round() as u64 * 100),
        t if t >= 100.0 => count((t / 10.0).round() as u64 * 10),
        t if t >= 10.0 => count(t.round() as u64),
        t => format!("{t:.1}"),
    };
    Some(format!("{text} times"))
}

pub(super) fn cohort(cohort: Cohort) -> (&'static str, &'static str) {
    match cohort {
        Cohort::SignedIn => ("Signed in", "the site or the operator vouched for them"),
        Cohort::KnownReader => ("Known readers", "seen reading for at least a day"),
        Cohort::Passed => ("Passed the test", "followed the cheap test to its end"),
        Cohort::Met => ("Met by a mitigation", "looked like a signature that was in force"),
        Cohort::Feed => ("Feeds", "ask for feeds"),
        Cohort::Tor => ("Tor", "come through Tor exits, and met no mitigation"),
        Cohort::Unmarked => {
            ("Anybody else", "readers, programs, and attackers whom nobody recognised")
        }
    }
}

/// A state of the watch.
pub(super) fn state(name: &str) -> String {
    match name {
        "normal" => "ordinary",
        "watch" => "watching",
        "crowd" => "crowd",
        "mixed" => "crowd and attack",
        "attack" => "attack",
        "recovery" => "recovery",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// What a rung does.
pub(super) fn rung(name: Option<&str>) -> String {
    match name {
        None => "nothing",
        Some("observe") => "only counted",
        Some("demote") => "put behind others",
        Some("challenge") => "given a cheap test",
        Some("block") => "refused",
        Some(other) => return super::clean::line(other),
    }
    .to_owned()
}

/// Why a mitigation was moved.
pub(super) fn why(name: &str) -> String {
    match name {
        "found" => "it explains what is too much",
        "returned" => "it was known, and came back",
        "stands" => "the evidence was enough to go further",
        "nobody_passes" => "those it meets went on and did not pass the test",
        "beyond_budget" => "those it meets went on beyond the budget of pages in hand",
        "no_readers" => {
            "no test can be put before what they ask for, and none was ever seen to read"
        }
        "some_pass" => "too many of those it meets passed the test",
        "reader_hurt" => "a synthetic reader was kept from reading; taken back",
        "no_effect" => "what is too much did not become less",
        "weaker" => "the evidence was not enough any more",
        "crowd" => "this is a crowd",
        "ceased" => "what it means had ceased",
        "no_room" => "there were more important ones",
        "operator" => "the operator wanted it so",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// Why there is a gap.
pub(super) fn gap(why: &str) -> String {
    match why {
        "killed" => "the program was ended from outside",
        "disk_full" => "the disk was full",
        "disk_error" => "the disk failed",
        "overload" => "the recorder could not keep up",
        "clock_jump" => "the clock was set",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// What was lost.
pub(super) fn lost(what: &str) -> String {
    match what {
        "observations" => "observations of requests",
        "log_lines" => "lines of the access log",
        "events" => "events",
        "rows" => "rows of the sample",
        "sources" => "sources",
        other => return super::clean::line(other),
    }
    .to_owned()
}

/// An attribute of requests.
pub(super) fn attribute(name: &str) -> String {
    match name {
        "ja4" => "TLS greeting",
        "http2_preface" => "HTTP/2 greeting",
        "field_order" => "order of fields",
        "field_count" => "number of fields",
        "user_agent_family" => "program, as it says",
        "user_agent" => "user agent",
        "accept_language" => "languages",
        "accept" => "accepted types",
        "consistency" => "how well fields fit together",
        "cookie" => "cookies",
        "method" => "method",
        "path" => "path",
        "query" => "query",
        "network" => "network",
        "prefix" => "addresses",
        other => return super::clean::line(other),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(count(0), "0");
        assert_eq!(count(7_327_899), "7,327,899");
        assert_eq!(about(12.04), "12");
        assert_eq!(about(f64::NAN), "unknown");
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(432_013_312), "412.0 MiB");
        assert_eq!(times(7_327_899, 28_699.0).as_deref(), Some("260 times"));
        assert_eq!(times(1, 0.0), None);
    }

    #[test]
    fn what_is_not_all_is_never_rounded_to_all() {
        assert_eq!(percent(9_999_999, 10_000_000), "above 99.9\u{a0}%");
        assert_eq!(percent(1, 10_000_000), "below 0.1\u{a0}%");
        assert_eq!(percent(10, 10), "100\u{a0}%");
        assert_eq!(percent(0, 10), "0\u{a0}%");
        assert_eq!(percent(0, 0), "\u{2013}");
    }

    #[test]
    fn times_are_said_as_long_as_they_matter() {
        assert_eq!(span(0), "0 seconds");
        assert_eq!(span(2_400), "40 minutes");
        assert_eq!(span(93_784), "1 day 2 hours");
        let at = Moment::from_unix_ms(1_795_342_080_250);
        assert_eq!(day(at), "22 November 2026");
        assert_eq!(clock(at), "10:08:00.250");
        assert_eq!(when(at, at.plus_ms(86_400_000)), "2026-11-22 10:08:00.250");
    }
}
