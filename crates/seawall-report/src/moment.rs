//! Moments as the record and all exports write them: RFC 3339, UTC, milliseconds.
//!
//! Separate because a CERT compares them with clocks of others: one form, one precision, everywhere.

use std::fmt;

use seawall_model::{Date, WallTime};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC: milliseconds since 1970, written `2026-11-22T10:08:00.250Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many milliseconds after 1970-01-01T00:00:00Z. What lies beyond the year 9999 is its last.
    pub const fn from_unix_ms(ms: u64) -> Self {
        Self(if ms < END_MS { ms } else { END_MS - 1 })
    }

    /// Milliseconds since 1970.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub const fn unix_s(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds from `earlier` to this one; 0 if it is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e3
    }

    /// So many milliseconds later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self::from_unix_ms(self.0.saturating_add(ms))
    }

    /// Reads what [`fmt::Display`] wrote, to the letter. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != FORM.len() {
            return None;
        }
        let is_of_form = bytes
            .iter()
            .zip(FORM.as_bytes())
            .all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form });
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        if !is_of_form || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let day = |from, to| number(from, to).and_then(|number| u32::try_from(number).ok());
        let date = Date::new(i64::try_from(number(0, 4)?).ok()?, day(5, 7)?, day(8, 10)?)?;
        let days = u64::try_from(date.days()).ok()?;
        let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Self::from_unix_ms(seconds * 1_000 + number(20, 23)?))
    }
}

/// Digits stand for any digit.
const FORM: &str = "0000-00-00T00:00:00.000Z";
/// 10000-01-01.
const END_MS: u64 = 253_402_300_800_000;

impl From<WallTime> for Moment {
    fn from(wall: WallTime) -> Self {
        Self::from_unix_ms(wall.unix_nanos() / 1_000_000)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let date = Date::from_days(u32::try_from(days).unwrap_or(u32::MAX));
        let (year, month, day) = (date.year(), date.month(), date.day());
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        let ms = ms % 1_000;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("no moment such as 2026-11-22T10:08:00.250Z"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Moment;

    #[test]
    fn a_moment_is_written_as_rfc_3339_says() {
        let at = Moment::from_unix_ms(1_616_407_200_250);
        assert_eq!(at.to_string(), "2021-03-22T10:00:00.250Z");
        assert_eq!(Moment::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2021-03-22T10:00:00Z",
            "2021-02-30T10:00:00.000Z",
            "2021-03-22T24:00:00.000Z",
            "2021-03-22t10:00:00.000Z",
            "2021-03-22T10:00:00.000+",
            "2021-03-22T10:00:60.000Z",
            "1969-03-22T10:00:00.000Z",
            "２021-03-22T10:00:00.0Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_moment_is_read_as_it_was_written(ms in 0..super::END_MS) {
            let at = Moment::from_unix_ms(ms);
            prop_assert_eq!(Moment::parse(&at.to_string()), Some(at));
        }
    }
}
