//! How long responses are fresh: Cache-Control, Expires, Age, heuristics, CDN-Cache-Control.
//!
//! RFC 9111 §4.2, §5.1 to §5.3; RFC 9213; RFC 5861.

use seawall_cache::{NoStore, Reuse, parse_http_date, reuse};

use crate::support::{
    List, NOW, Then, at, http_date, silent, store, store_for, then, with_request,
};

/// A 200 with these fields answers a plain request `after_s` seconds later as `expected` says;
/// `Miss` also stands for not having been stored.
fn check(response: List<'_>, after_s: i64, expected: Then) {
    let found = store(response).map_or(Then::Miss, |head| then(&head, &[], after_s));
    assert_eq!(found, expected, "{response:?} after {after_s} s");
}

const CC: &str = "Cache-Control";
const CDN: &str = "CDN-Cache-Control";
const TAG: (&str, &str) = ("ETag", "\"a\"");

#[test]
fn lifetime_comes_from_s_maxage_then_max_age_then_expires() {
    check(&[], 0, Then::Miss);
    check(&[(CC, "max-age=3600")], 3599, Then::Fresh);
    check(&[(CC, "max-age=3600")], 3600, Then::Validate);
    check(&[(CC, "max-age=0")], 0, Then::Miss);
    check(&[(CC, "s-maxage=3600")], 3, Then::Fresh);
    check(&[(CC, "max-age=3600, s-maxage=1")], 3, Then::Validate);
    check(&[(CC, "s-maxage=1, max-age=3600")], 3, Then::Validate);
    check(&[(CC, "max-age=3600"), (CC, "s-maxage=1")], 3, Then::Validate);
    check(&[(CC, "max-age=1, s-maxage=3600")], 3, Then::Fresh);
    check(&[("Expires", "@-10"), (CC, "max-age=0, s-maxage=3600")], 3, Then::Fresh);
    check(&[("Expires", "@-7200"), (CC, "max-age=3600"), ("Date", "@+0")], 3, Then::Fresh);
    check(&[("Expires", "0"), (CC, "max-age=3600"), ("Date", "@+0")], 3, Then::Fresh);
    check(&[("Expires", "@+3600"), (CC, "max-age=0"), ("Date", "@+0")], 3, Then::Miss);
    check(&[(CC, "foobar, max-age=3600")], 3, Then::Fresh);
}

#[test]
fn a_clock_that_steps_back_keeps_a_page_fresh_and_one_that_jumps_ahead_makes_it_stale() {
    for back in [-1, -3600, -1_000_000_000, 0] {
        check(&[(CC, "max-age=3600")], back, Then::Fresh);
    }
    check(&[(CC, "max-age=3600")], 1_000_000_000, Then::Validate);
    check(&[(CC, "max-age=3600")], 0, Then::Fresh);
}

#[test]
fn max_age_is_read_as_digits_and_nothing_else() {
    for huge in ["2147483647", "2147483648", "2147483649", "99999999999", "99999999999999999999999"]
    {
        check(&[(CC, &format!("max-age={huge}"))], 1_000_000_000, Then::Fresh);
    }
    check(&[(CC, "MaX-aGe=3600")], 3, Then::Fresh);
    check(&[(CC, "max-age=003600")], 3, Then::Fresh);
    // RFC 9111 §5.2: recipients read both the token and the quoted form.
    check(&[(CC, "max-age=\"3600\"")], 3, Then::Fresh);
    for unreadable in
        ["-3600", "'3600'", "3600.0", "3600.5", "a3600", "3600a", "", "\"36", "+1", "\"3600\"x"]
    {
        check(&[(CC, &format!("max-age={unreadable}"))], 0, Then::Miss);
        check(&[(CC, &format!("max-age={unreadable}")), TAG], 0, Then::Validate);
    }
    check(&[(CC, "max-age")], 0, Then::Miss);
    check(&[(CC, "max-age =3600")], 0, Then::Miss);
    check(&[(CC, "max-age= 3600")], 0, Then::Miss);
}

#[test]
fn first_of_several_values_counts() {
    check(&[(CC, "max-age=1800, max-age=1")], 3, Then::Fresh);
    check(&[(CC, "max-age=1800"), (CC, "max-age=1")], 3, Then::Fresh);
    check(&[(CC, "max-age=1, max-age=1800")], 3, Then::Validate);
    check(&[(CC, "max-age=1"), (CC, "max-age=1800")], 3, Then::Validate);
}

#[test]
fn quoted_strings_hide_directives_but_open_quotes_hide_nothing() {
    check(&[(CC, "extension=\"max-age=3600\", max-age=1")], 3, Then::Validate);
    check(&[(CC, "max-age=1, extension=\"max-age=3600\"")], 3, Then::Validate);
    check(&[(CC, "extension=\"a\\\", no-store, \", max-age=3600")], 3, Then::Fresh);
    check(&[(CC, "extension=\"a, no-store, max-age=3600")], 0, Then::Miss);
    check(&[(CC, ",, ,max-age=3600,,")], 3, Then::Fresh);
    check(&[(CC, "\tmax-age=3600\t,\tpublic")], 3, Then::Fresh);
}

#[test]
fn expires_counts_from_date_and_unreadable_means_past() {
    check(&[("Expires", "@+2592000"), ("Date", "@+0")], 3, Then::Fresh);
    check(&[("Expires", "@-2592000"), ("Date", "@+0")], 0, Then::Miss);
    check(&[("Expires", "@+0"), ("Date", "@+0")], 0, Then::Miss);
    check(&[("Expires", "@+300"), ("Date", "@+400")], 0, Then::Miss);
    check(&[("Expires", "0"), ("Date", "@+0")], 0, Then::Miss);
    check(&[("Expires", "@+10"), ("Date", "foo")], 3, Then::Fresh);
    check(&[("Expires", "@+10")], 3, Then::Fresh);
    check(&[("Expires", "@+10"), ("Date", "@-10"), ("Age", "25"), TAG], 0, Then::Validate);
    check(&[("Expires", "@+20"), ("Date", "@+10"), ("Age", "15"), TAG], 0, Then::Validate);
    check(&[("Expires", "@+10"), ("Expires", "@+10")], 3, Then::Fresh);
    check(&[("Expires", "@+10"), ("Expires", "@+99")], 0, Then::Miss);
}

#[test]
fn http_dates_have_three_forms_in_any_case_and_no_others() {
    let good = [
        "Tue, 19 Jan 2038 14:14:08 GMT",
        "Sun, 21 Nov 2286 04:46:39 GMT",
        "Thursday, 18-Aug-50 02:01:18 GMT",
        "Thu Aug  8 02:01:18 2050",
        "Thu Aug 18 02:01:18 2050",
        "THU, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 AUG 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 gMT",
        "Thu, 18 Aug 2050 23:59:60 GMT",
    ];
    for date in good {
        check(&[("Expires", date), ("Date", "@+0")], 3, Then::Fresh);
    }
    let bad = [
        "Thu, 18 Aug 2050 02:01:18 UTC",
        "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 50 02:01:18 GMT",
        "Thu 18 Aug 2050 02:01:18 GMT",
        "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02.01.18 GMT",
        "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 18 Aug 2050 24:01:18 GMT",
        "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, 31 Jun 2050 02:01:18 GMT",
        "Thu, 29 Feb 2050 02:01:18 GMT",
        "Thu, 00 Aug 2050 02:01:18 GMT",
        "Foo, 18 Aug 2050 02:01:18 GMT",
        "Thu, 18 Foo 2050 02:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMTX",
        "Thu, 18 Aug 2050 02:01:18",
        "Thu, +8 Aug 2050 02:01:18 GMT",
        "",
    ];
    for date in bad {
        check(&[("Expires", date), ("Date", "@+0")], 0, Then::Miss);
    }
}

#[test]
fn written_dates_read_back_and_two_digit_years_stay_within_fifty() {
    for seconds in [0, 1, 86_400, 951_782_400, 4_107_542_400 - NOW.cast_signed(), 253_402_300_799] {
        let offset = seconds - NOW.cast_signed();
        let read = parse_http_date(http_date(offset).as_bytes(), at(0));
        assert_eq!(read, Some(at(offset)), "{}", http_date(offset));
    }
    let year = |two: &str| {
        let text = format!("Sunday, 06-Nov-{two} 08:49:37 GMT");
        let read = parse_http_date(text.as_bytes(), at(0)).expect("a readable date");
        1970 + read.unix_secs() / 31_556_952
    };
    assert_eq!(year("94"), 1994);
    assert_eq!(year("26"), 2026);
    assert_eq!(year("75"), 2075);
    assert_eq!(year("77"), 1977);
}

#[test]
fn age_counts_its_first_readable_value() {
    let with = |age: &str, expected: Then| {
        check(&[("Date", "@+0"), (CC, "max-age=3600"), ("Age", age), TAG], 3, expected);
    };
    with("7200", Then::Validate);
    with("abc", Then::Fresh);
    with("-7200", Then::Fresh);
    with("7200.0", Then::Fresh);
    with("2147483647", Then::Validate);
    with("2147483648", Then::Validate);
    with("2147483649", Then::Validate);
    with("99999999999999999999", Then::Validate);
    with("7200, 0", Then::Validate);
    with("0, 7200", Then::Fresh);
    with("0, 0", Then::Fresh);
    with("7200;foo=bar", Then::Fresh);
    let twice = |one: &str, two: &str, expected: Then| {
        let list = [("Date", "@+0"), (CC, "max-age=3600"), ("Age", one), ("Age", two), TAG];
        check(&list, 3, expected);
    };
    twice("7200", "0", Then::Validate);
    twice("0", "7200", Then::Fresh);
    twice("0", "0", Then::Fresh);
    check(&[(CC, "max-age=10000"), ("Age", "3600"), ("Age", "3600")], 3, Then::Fresh);
}

#[test]
fn age_is_the_larger_of_apparent_and_corrected_and_grows() {
    check(&[("Date", "@-7200"), (CC, "max-age=3600"), TAG], 0, Then::Validate);
    let served = |response: List<'_>, after_s: i64| {
        let head = store(response).expect("storable");
        with_request("GET", &[], |request| match reuse(&head, request, at(after_s)) {
            Reuse::Fresh { age_s, ttl_s } => (age_s, ttl_s),
            other => panic!("{response:?} is {other:?}"),
        })
    };
    assert_eq!(served(&[(CC, "max-age=100"), ("Date", "@+0")], 3), (3, 97));
    assert_eq!(served(&[(CC, "max-age=100"), ("Date", "@+0"), ("Age", "30")], 3), (33, 67));
    assert_eq!(served(&[("Expires", "@+100"), ("Date", "@+0"), ("Age", "30")], 3), (33, 67));
    assert_eq!(served(&[(CC, "max-age=100"), ("Date", "@-40"), ("Age", "30")], 3), (43, 57));
    assert_eq!(served(&[(CC, "max-age=100"), ("Date", "@+500")], 3), (3, 97));
    // A clock that jumps back never makes a response younger than it came.
    assert_eq!(served(&[(CC, "max-age=100"), ("Age", "30")], -500), (30, 70));
}

#[test]
fn stale_responses_are_served_only_within_what_they_grant() {
    let grants = "max-age=1, stale-while-revalidate=4, stale-if-error=60";
    check(&[(CC, grants)], 4, Then::WhileRevalidate);
    check(&[(CC, grants)], 5, Then::ValidateOrStale);
    check(&[(CC, grants)], 60, Then::ValidateOrStale);
    check(&[(CC, grants)], 61, Then::Validate);
    check(&[(CC, "max-age=0, stale-while-revalidate=4")], 1, Then::WhileRevalidate);
    check(&[(CC, "max-age=1, stale-while-revalidate=x")], 2, Then::Validate);
    for forbids in ["must-revalidate", "proxy-revalidate"] {
        check(&[(CC, grants), (CC, forbids)], 0, Then::Fresh);
        check(&[(CC, grants), (CC, forbids)], 3, Then::Validate);
    }
    check(&[(CC, grants), (CC, "no-cache")], 0, Then::Miss);
    check(&[(CC, grants), (CC, "no-cache"), TAG], 3, Then::Validate);
    // s-maxage forbids what nobody granted (RFC 9111 §5.2.2.10), not what is granted beside it.
    check(&[(CC, "max-age=2, s-maxage=2")], 3, Then::Validate);
    check(&[(CC, "s-maxage=2, stale-if-error=60")], 3, Then::ValidateOrStale);
}

#[test]
fn heuristics_need_last_modified_and_a_status_that_allows_them() {
    let modified: List<'_> = &[("Last-Modified", "@-86400"), ("Date", "@+0")];
    let status = |status: u16, response: List<'_>| {
        store_for(&silent(), &[], status, response)
            .map_or(Then::Miss, |head| then(&head, &[], 8000))
    };
    for cacheable in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
        assert_eq!(status(cacheable, modified), Then::Fresh, "{cacheable}");
    }
    for other in [201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599] {
        assert_eq!(status(other, modified), Then::Miss, "{other}");
    }
    let public: Vec<_> = [modified, &[(CC, "public")]].concat();
    assert_eq!(status(599, &public), Then::Fresh);
    check(modified, 8639, Then::Fresh);
    check(modified, 8640, Then::Validate);
    check(&[("Last-Modified", "@-5"), ("Date", "@+0")], 0, Then::Validate);
    check(&[("Last-Modified", "@+500"), ("Date", "@+0")], 0, Then::Validate);
    check(&[("Last-Modified", "@-900000000"), ("Date", "@+0")], 86_399, Then::Fresh);
    check(&[("Last-Modified", "@-900000000"), ("Date", "@+0")], 86_400, Then::Validate);
    check(&[("Last-Modified", "@-86400"), ("Expires", "@-5"), ("Date", "@+0")], 0, Then::Validate);
    check(&[("Last-Modified", "@-86400"), ("Pragma", "no-cache")], 0, Then::Validate);
    check(&[(CC, "max-age=3600"), ("Pragma", "no-cache")], 3, Then::Fresh);
}

#[test]
fn targeted_field_replaces_cache_control_and_expires() {
    check(&[(CDN, "max-age=3600")], 3, Then::Fresh);
    check(&[(CDN, "max-age=2147483648")], 3, Then::Fresh);
    check(&[(CDN, "max-age=99999999999")], 3, Then::Fresh);
    check(&[(CDN, "max-age=3600"), ("Age", "7200"), TAG], 0, Then::Validate);
    check(&[(CDN, "max-age=0")], 0, Then::Miss);
    check(&[(CDN, "max-age=-5")], 0, Then::Miss);
    check(&[(CDN, "foobar, max-age=3600")], 3, Then::Fresh);
    check(&[(CDN, "max-age=3600;x=1;y, foo=(\"a\" b;c);d")], 3, Then::Fresh);
    check(&[(CDN, "max-age=3600"), ("Expires", "@-10000")], 3, Then::Fresh);
    check(&[(CDN, "max-age=3600"), ("Expires", "0")], 3, Then::Fresh);
    check(&[(CDN, "max-age=0"), ("Expires", "@+10000")], 0, Then::Miss);
    check(&[(CDN, "foo"), ("Expires", "@+10000")], 0, Then::Miss);
    check(&[(CC, "max-age=1"), (CDN, "max-age=3600")], 3, Then::Fresh);
    check(&[(CC, "max-age=3600"), (CDN, "max-age=1")], 3, Then::Validate);
    check(&[(CC, "no-store"), (CDN, "max-age=3600")], 3, Then::Fresh);
    check(&[(CC, "private, must-revalidate"), (CDN, "max-age=3600")], 3, Then::Fresh);
    check(&[(CC, "max-age=1"), (CDN, "max-age=3600, private=?0")], 3, Then::Fresh);
    check(&[(CDN, "max-age=1"), (CDN, "max-age=3600")], 3, Then::Fresh);
    for directive in ["private", "no-store", "no-cache"] {
        let list = [(CDN, directive), (CC, "max-age=10000"), ("Expires", "@+10000")];
        check(&list, 0, Then::Miss);
    }
}

#[test]
fn malformed_targeted_field_counts_as_absent() {
    let broken = [
        "max-age=10000, &&&&&",
        "max-age=\"10000\"",
        "max-age",
        "MaX-aGe=3600",
        "max-age =3600",
        "max-age= 3600",
        "max-age=3600,",
        "max-age=3600 foo",
        "max-age=10000000000000000",
        "max-age=1.5",
        "max-age=3600, x=\"open",
        "",
        " ",
    ];
    for broken in broken {
        check(&[(CDN, broken), (CC, "no-store")], 0, Then::Miss);
        check(&[(CDN, broken), (CC, "max-age=2")], 1, Then::Fresh);
        check(&[(CDN, broken), (CC, "max-age=2")], 3, Then::Validate);
    }
}

#[test]
fn never_fresh_without_validator_is_not_kept() {
    assert_eq!(store(&[(CC, "max-age=0")]).expect_err("useless"), NoStore::NeverFresh);
    assert_eq!(store(&[(CC, "no-cache, max-age=9")]).expect_err("useless"), NoStore::NeverFresh);
    assert_eq!(store(&[(CC, "max-age=9"), ("Age", "9")]).expect_err("old"), NoStore::NeverFresh);
    assert_eq!(store(&[(CC, "public")]).expect_err("silent"), NoStore::NoFreshness);
    assert_eq!(store(&[]).expect_err("silent"), NoStore::NoFreshness);
    for validator in [TAG, ("Last-Modified", "@-1000")] {
        check(&[(CC, "no-cache"), validator], 0, Then::Validate);
        check(&[(CC, "max-age=0"), validator], 0, Then::Validate);
    }
    check(&[TAG], 0, Then::Validate);
}
