//! Days of the calendar.
//!
//! Separate because logs, caches and archives all write and read them, each in its own form, and only what
//! a form looks like is theirs. It knows no time of day, no zone and no names.

/// A day of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: i64,
    month: u32,
    day: u32,
}

impl Date {
    /// The day with these numbers, months and days from 1; `None` if there is none. Years beyond 100 million
    /// either way are none.
    pub const fn new(year: i64, month: u32, day: u32) -> Option<Self> {
        let is_one = year.unsigned_abs() <= 100_000_000
            && 1 <= month
            && month <= 12
            && 1 <= day
            && day <= days_in(year, month);
        if is_one { Some(Self { year, month, day }) } else { None }
    }

    /// The day that begins so many days after 1970-01-01. *Source:* Howard Hinnant, "chrono-Compatible
    /// Low-Level Date Algorithms", `civil_from_days`, for days that are not negative.
    pub const fn from_days(days: u32) -> Self {
        let z = days as u64 + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = (if mp < 10 { mp + 3 } else { mp - 9 }) as u32;
        let year = (yoe + era * 400) as i64 + (month <= 2) as i64;
        Self { year, month, day }
    }

    /// Days from 1970-01-01 to this one, negative before. *Source:* as above, `days_from_civil`.
    pub const fn days(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = (self.month as i64 + 9) % 12;
        let day_of_year = (153 * shifted + 2) / 5 + self.day as i64 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468
    }

    /// The year.
    pub const fn year(self) -> i64 {
        self.year
    }

    /// The month, from 1.
    pub const fn month(self) -> u32 {
        self.month
    }

    /// The day of the month, from 1.
    pub const fn day(self) -> u32 {
        self.day
    }
}

const fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[test]
    fn days_that_are_known_have_their_numbers() {
        for (year, month, day, days) in [
            (1970, 1, 1, 0),
            (1970, 12, 31, 364),
            (2000, 2, 29, 11_016),
            (2026, 11, 22, 20_779),
            (1969, 12, 31, -1),
            (1, 1, 1, -719_162),
        ] {
            let date = Date::new(year, month, day).expect("a day");
            assert_eq!(date.days(), days, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn each_day_of_a_thousand_years_follows_the_one_before_it() {
        let mut last = Date::from_days(0);
        assert_eq!((last.year(), last.month(), last.day()), (1970, 1, 1));
        for days in 1..=365_243 {
            let date = Date::from_days(days);
            assert_eq!(date.days(), i64::from(days), "{date:?}");
            assert_eq!(Date::new(date.year(), date.month(), date.day()), Some(date));
            assert!(date > last, "{date:?} after {last:?}");
            last = date;
        }
        assert_eq!((last.year(), last.month(), last.day()), (2970, 1, 1));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for (year, month, day) in [
            (2025, 2, 29),
            (1900, 2, 29),
            (2026, 4, 31),
            (2026, 1, 0),
            (2026, 0, 1),
            (2026, 13, 1),
            (2026, 12, 32),
            (i64::MAX, 1, 1),
            (i64::MIN, 1, 1),
            (2026, u32::MAX, u32::MAX),
        ] {
            assert_eq!(Date::new(year, month, day), None, "{year}-{month}-{day}");
        }
    }
}
