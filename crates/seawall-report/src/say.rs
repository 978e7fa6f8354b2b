//! How figures, times and lists stand in sentences: one form in every text.

use crate::Moment;

/// `7,327,899`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `2 requests`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// The same for a first reader: rounded from a hundred thousand on, and said to be.
pub(crate) fn large(number: u64, one: &str, many: &str) -> String {
    match number {
        0..100_000 => counted(number, one, many),
        100_000..1_000_000 => format!("about {} {many}", count((number + 500) / 1_000 * 1_000)),
        1_000_000..1_000_000_000 => format!("about {:.1} million {many}", number as f64 / 1e6),
        _ => format!("about {:.1} thousand million {many}", number as f64 / 1e9),
    }
}

/// A rate or an estimate: whole from ten on. `0` is none at all.
pub(crate) fn about(number: f64) -> String {
    match number {
        n if !n.is_finite() => "unknown".to_owned(),
        n if n <= 0.0 => "0".to_owned(),
        n if n < 0.05 => "below 0.1".to_owned(),
        n if n < 10.0 => format!("{n:.1}"),
        n => count(n.round() as u64),
    }
}

/// A part of a whole, both counted: 0 to 1.
pub(crate) fn part(part: u64, whole: u64) -> f64 {
    let ratio = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    ratio.min(1.0)
}

/// The same in percent: `99.6 %`. Never `100 %` or `0 %` of what is not all or nothing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "\u{2013}".to_owned();
    }
    if part == whole {
        return "100 %".to_owned();
    }
    if part == 0 {
        return "0 %".to_owned();
    }
    ratio(self::part(part, whole))
}

/// The same of 0 to 1.
pub(crate) fn ratio(part: f64) -> String {
    let percent = part * 100.0;
    if !percent.is_finite() {
        return "unknown".to_owned();
    }
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p >= 100.0 => "100 %".to_owned(),
        p if p < 0.05 => "below 0.1 %".to_owned(),
        p if p > 99.95 => "above 99.9 %".to_owned(),
        p => format!("{p:.1} %"),
    }
}

/// `12.5 MiB`.
pub(crate) fn bytes(number: u64) -> String {
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
pub(crate) fn span(seconds: u64) -> String {
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
pub(crate) fn day(at: Moment) -> String {
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
pub(crate) fn clock(at: Moment) -> String {
    let text = at.to_string();
    let end = if at.unix_ms().is_multiple_of(1_000) { 19 } else { 23 };
    text[11..end].to_owned()
}

/// `2026-11-22 10:08:00`.
pub(crate) fn full(at: Moment) -> String {
    format!("{} {}", &at.to_string()[..10], clock(at))
}

/// `2026-11-22 10:08:00 UTC`.
pub(crate) fn moment(at: Moment) -> String {
    format!("{} UTC", full(at))
}

/// The clock on the day of `near`, else the date as well.
pub(crate) fn when(at: Moment, near: Moment) -> String {
    if at.unix_s() / 86_400 == near.unix_s() / 86_400 { clock(at) } else { full(at) }
}

/// How many times as many, said so that nobody takes it for more precise than it is.
pub(crate) fn times(requests: u64, expected: f64) -> Option<String> {
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

/// `a, b and c`.
pub(crate) fn listed(texts: &[String]) -> String {
    match texts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
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
        assert_eq!([0.0, 0.02, 0.2].map(about), ["0", "below 0.1", "0.2"]);
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(432_013_312), "412.0 MiB");
        assert_eq!(times(7_327_899, 28_699.0).as_deref(), Some("260 times"));
        assert_eq!(times(1, 0.0), None);
        assert_eq!(counted(1, "second", "seconds"), "1 second");
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&texts), "a, b and c");
    }

    #[test]
    fn what_is_not_all_is_never_rounded_to_all() {
        assert_eq!(percent(9_999_999, 10_000_000), "above 99.9 %");
        assert_eq!(percent(1, 10_000_000), "below 0.1 %");
        assert_eq!(percent(10, 10), "100 %");
        assert_eq!(percent(0, 10), "0 %");
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
        assert_eq!(moment(Moment::from_unix_ms(0)), "1970-01-01 00:00:00 UTC");
    }
}
