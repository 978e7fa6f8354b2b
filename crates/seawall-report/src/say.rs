//! How figures stand in sentences: one form in every text.

use crate::Moment;

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
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

/// An estimate as a whole number.
pub(crate) fn about(number: f64) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` keeps what is out of range at the end of it"
    )]
    let whole = number.round() as u64;
    grouped(whole)
}

/// A part of a whole in percent: never all or nothing unless it is.
pub(crate) fn percent(part: f64) -> String {
    if part <= 0.0 {
        return "0 %".to_owned();
    }
    if part >= 1.0 {
        return "100 %".to_owned();
    }
    let tenths = (part * 1e3).round().clamp(1.0, 999.0) / 10.0;
    if (1.0..99.0).contains(&tenths) { format!("{tenths:.0} %") } else { format!("{tenths:.1} %") }
}

/// A part of a whole, both counted.
pub(crate) fn part(part: u64, whole: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "only a ratio is wanted")]
    let ratio = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    ratio.min(1.0)
}

/// How long: `45 s`, `2 min 5 s`, `3 h 4 min`.
pub(crate) fn length(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {minutes} min"),
    }
}

/// `2026-11-22 10:08:00 UTC`.
pub(crate) fn moment(at: Moment) -> String {
    let text = at.to_string();
    format!("{} {} UTC", &text[..10], &text[11..19])
}

/// `1 second`, `2 seconds`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
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
    fn figures_are_written_as_people_read_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(about(999.6), "1,000");
        for (value, text) in [
            (0.0, "0 %"),
            (0.000_01, "0.1 %"),
            (0.5, "50 %"),
            (0.994, "99.4 %"),
            (0.999_99, "99.9 %"),
            (1.0, "100 %"),
        ] {
            assert_eq!(percent(value), text);
        }
        for (seconds, text) in [(45, "45 s"), (125, "2 min 5 s"), (11_040, "3 h 4 min")] {
            assert_eq!(length(seconds), text);
        }
        assert_eq!(count(1, "second", "seconds"), "1 second");
        let texts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&texts), "a, b and c");
        assert_eq!(moment(Moment::from_unix_ms(0)), "1970-01-01 00:00:00 UTC");
    }
}
