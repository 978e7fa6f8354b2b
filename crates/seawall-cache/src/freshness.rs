//! How old a response is and how long it may be used (RFC 9111 §4.2).
//!
//! Everything is computed once, when a response is stored or validated; a lookup compares two
//! numbers. It does **not** know which requests may be answered; `policy` does.

use http::{HeaderMap, header};
use seawall_model::{Date, WallTime};

use crate::cache_control::delta_seconds;

/// Whether a stale response may be served without having been validated (RFC 9111 §4.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleRule {
    /// Nothing forbids it.
    Allowed,
    /// Only within the windows that the response itself grants (it carries `s-maxage`, which alone
    /// would forbid it: RFC 9111 §5.2.2.10; RFC 5861 grants more specifically).
    OnlyGranted,
    /// Never (`must-revalidate`, `proxy-revalidate`).
    Forbidden,
}

/// The freshness of a stored response, ready to compare. Durations in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// `freshness_lifetime` (RFC 9111 §4.2.1).
    pub lifetime_s: u64,
    /// `corrected_initial_age`: the age on arrival (§4.2.3).
    pub initial_age_s: u64,
    /// How long past its lifetime it may be served while it is validated (RFC 5861 §3).
    pub stale_while_revalidate_s: u64,
    /// How long past its lifetime it may stand in for an error (RFC 5861 §4).
    pub stale_if_error_s: u64,
    /// Whether it may be served stale at all.
    pub stale: StaleRule,
    /// `no-cache`: never used without validation (§5.2.2.4).
    pub no_cache: bool,
    /// `immutable`: a plain reload needs no validation (RFC 8246).
    pub immutable: bool,
}

impl Freshness {
    /// `current_age` in whole seconds, as the Age field says it (RFC 9111 §4.2.3).
    pub fn age_s(&self, response_time: WallTime, now: WallTime) -> u64 {
        self.initial_age_s.saturating_add(now.saturating_since(response_time).as_secs())
    }

    /// Lifetime minus age in nanoseconds: positive while fresh. Exact, so that a response is not
    /// used for up to a second too long.
    pub fn remaining_ns(&self, response_time: WallTime, now: WallTime) -> i128 {
        let age =
            u128::from(self.initial_age_s) * NANOS + now.saturating_since(response_time).as_nanos();
        signed(u128::from(self.lifetime_s) * NANOS) - signed(age)
    }
}

const NANOS: u128 = 1_000_000_000;

fn signed(nanos: u128) -> i128 {
    i128::try_from(nanos).unwrap_or(i128::MAX)
}

/// `corrected_initial_age` (RFC 9111 §4.2.3), in seconds.
pub(crate) fn initial_age_s(
    headers: &HeaderMap,
    request_time: WallTime,
    response_time: WallTime,
) -> u64 {
    let date = date_of(headers, response_time).unwrap_or(response_time);
    let apparent = response_time.unix_secs().saturating_sub(date.unix_secs());
    let delay = response_time.saturating_since(request_time).as_secs();
    apparent.max(age_value_s(headers).saturating_add(delay))
}

/// The first member of the first Age line; anything but digits is ignored (RFC 9111 §5.1).
fn age_value_s(headers: &HeaderMap) -> u64 {
    let Some(line) = headers.get(header::AGE) else { return 0 };
    let first = line.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default();
    delta_seconds(first.trim_ascii()).unwrap_or(0)
}

/// The Date of a response, if it is there and readable.
pub(crate) fn date_of(headers: &HeaderMap, now: WallTime) -> Option<WallTime> {
    parse_http_date(headers.get(header::DATE)?.as_bytes(), now)
}

/// `Expires - Date` in seconds; 0 if Expires is unreadable, past, or there twice with different
/// values (RFC 9111 §4.2.1, §5.3). `None` without Expires.
pub(crate) fn expires_lifetime_s(headers: &HeaderMap, response_time: WallTime) -> Option<u64> {
    let mut lines = headers.get_all(header::EXPIRES).iter();
    let first = lines.next()?;
    if lines.any(|line| line != first) {
        return Some(0);
    }
    let Some(expires) = parse_http_date(first.as_bytes(), response_time) else { return Some(0) };
    let date = date_of(headers, response_time).unwrap_or(response_time);
    Some(expires.unix_secs().saturating_sub(date.unix_secs()))
}

/// A tenth of the time since Last-Modified, at most a day (RFC 9111 §4.2.2); `None` without a
/// readable Last-Modified.
pub(crate) fn heuristic_lifetime_s(headers: &HeaderMap, response_time: WallTime) -> Option<u64> {
    let modified = parse_http_date(headers.get(header::LAST_MODIFIED)?.as_bytes(), response_time)?;
    let date = date_of(headers, response_time).unwrap_or(response_time);
    Some((date.unix_secs().saturating_sub(modified.unix_secs()) / 10).min(MAX_HEURISTIC_S))
}

/// RFC 9111 §4.2.2 finds lifetimes beyond a day worth a warning; so we do not go there.
const MAX_HEURISTIC_S: u64 = 86_400;

/// Reads the three forms of HTTP-date (RFC 9110 §5.6.7), ignoring case as RFC 9111 §4.2 asks of
/// caches, and nothing else: a date that needs guessing is invalid.
///
/// `now` resolves two-digit years: never more than 50 years ahead. Dates before 1970 are 1970.
pub fn parse_http_date(text: &[u8], now: WallTime) -> Option<WallTime> {
    let text = text.trim_ascii();
    let comma = text.iter().position(|&byte| byte == b',');
    let (day, month, year, time) = match comma {
        Some(3) => imf_fixdate(text)?,
        Some(at) => rfc850_date(text, at, now)?,
        None => asctime_date(text)?,
    };
    let (hour, minute, second) = time_of_day(time)?;
    let days = Date::new(year, month, day)?.days();
    let secs = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(WallTime::from_unix_secs(u64::try_from(secs).unwrap_or(0)))
}

type DateParts<'a> = (u32, u32, i64, &'a [u8]);

/// `Sun, 06 Nov 1994 08:49:37 GMT`: 29 bytes, every one in its place.
fn imf_fixdate(text: &[u8]) -> Option<DateParts<'_>> {
    let shape = text.len() == 29
        && text[4] == b' '
        && text[7] == b' '
        && text[11] == b' '
        && text[16] == b' '
        && text[25..].eq_ignore_ascii_case(b" GMT");
    let named = is_weekday(&text[..3], SHORT);
    (shape && named).then_some(())?;
    Some((
        digits(&text[5..7])?,
        month_of(&text[8..11])?,
        digits(&text[12..16])?.into(),
        &text[17..25],
    ))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850_date(text: &[u8], comma: usize, now: WallTime) -> Option<DateParts<'_>> {
    let rest = &text[comma + 1..];
    let shape = rest.len() == 23
        && rest[0] == b' '
        && rest[3] == b'-'
        && rest[7] == b'-'
        && rest[10] == b' '
        && rest[19..].eq_ignore_ascii_case(b" GMT");
    (shape && is_weekday(&text[..comma], LONG)).then_some(())?;
    let this_year = 1970 + i64::try_from(now.unix_secs() / 31_556_952).ok()?;
    let mut year = this_year - this_year % 100 + i64::from(digits(&rest[8..10])?);
    // RFC 9110 §5.6.7: more than 50 years ahead means the past century.
    if year > this_year + 50 {
        year -= 100;
    } else if year <= this_year - 50 {
        year += 100;
    }
    Some((digits(&rest[1..3])?, month_of(&rest[4..7])?, year, &rest[11..19]))
}

/// `Sun Nov  6 08:49:37 1994`: 24 bytes.
fn asctime_date(text: &[u8]) -> Option<DateParts<'_>> {
    let shape = text.len() == 24
        && text[3] == b' '
        && text[7] == b' '
        && text[10] == b' '
        && text[19] == b' ';
    (shape && is_weekday(&text[..3], SHORT)).then_some(())?;
    let day = if text[8] == b' ' { &text[9..10] } else { &text[8..10] };
    Some((digits(day)?, month_of(&text[4..7])?, digits(&text[20..])?.into(), &text[11..19]))
}

const SHORT: usize = 3;
const LONG: usize = usize::MAX;

fn is_weekday(text: &[u8], length: usize) -> bool {
    const DAYS: [&[u8]; 7] =
        [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
    DAYS.iter().any(|day| day[..day.len().min(length)].eq_ignore_ascii_case(text))
}

fn month_of(text: &[u8]) -> Option<u32> {
    const MONTHS: [&[u8]; 12] = [
        b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov",
        b"Dec",
    ];
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(text))?;
    u32::try_from(at + 1).ok()
}

fn time_of_day(text: &[u8]) -> Option<(u32, u32, u32)> {
    (text.len() == 8 && text[2] == b':' && text[5] == b':').then_some(())?;
    let (hour, minute, second) = (digits(&text[..2])?, digits(&text[3..5])?, digits(&text[6..])?);
    // RFC 9110 §5.6.7 allows the leap second.
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

fn digits(text: &[u8]) -> Option<u32> {
    delta_seconds(text).and_then(|value| u32::try_from(value).ok())
}
