//! Which requests a stored response answers: Vary, request directives, Pragma.
//!
//! RFC 9111 §4.1, §5.2.1, §5.4; RFC 8246; RFC 5861.

use seawall_cache::{
    Forward, NoStore, Reuse, SitePolicy, is_error_status, may_serve_stale_on_error,
    may_serve_stale_when_disconnected, only_if_cached, reuse,
};

use crate::support::{List, Then, at, silent, store, store_for, then, with_request};

const CC: &str = "Cache-Control";
const FRESH: (&str, &str) = (CC, "max-age=5000");

/// A response to `first` with this Vary answers `second` or not.
fn check_vary(vary: &str, first: List<'_>, second: List<'_>, expected: Then) {
    let head = store_for(&silent(), first, 200, &[FRESH, ("Vary", vary)]).expect("storable");
    assert_eq!(then(&head, second, 1), expected, "Vary: {vary}, {first:?} then {second:?}");
}

#[test]
fn selecting_fields_must_match() {
    let one: List<'_> = &[("Foo", "1")];
    let two: List<'_> = &[("Foo", "1"), ("Bar", "abc")];
    let three: List<'_> = &[("Foo", "1"), ("Bar", "abc"), ("Baz", "789")];
    check_vary("Foo", one, one, Then::Fresh);
    check_vary("fOO", one, one, Then::Fresh);
    check_vary("Foo", one, &[("Foo", "2")], Then::Miss);
    check_vary("Foo", one, &[("Foo", "12")], Then::Miss);
    check_vary("Foo", &[("Foo", "12")], one, Then::Miss);
    check_vary("Foo", &[], one, Then::Miss);
    check_vary("Foo", one, &[], Then::Miss);
    check_vary("Foo", &[("Foo", "")], &[], Then::Miss);
    check_vary("Foo", &[], &[], Then::Fresh);
    check_vary(
        "Foo",
        &[("Foo", "1"), ("Other", "2")],
        &[("Foo", "1"), ("Other", "3")],
        Then::Fresh,
    );
    check_vary("Foo, Bar", two, two, Then::Fresh);
    check_vary("Foo, Bar", two, &[("Foo", "2"), ("Bar", "abc")], Then::Miss);
    check_vary("Foo, Bar", two, &[], Then::Miss);
    check_vary("Foo, Bar, Baz", three, three, Then::Fresh);
    let other: List<'_> = &[("Foo", "1"), ("Baz", "789"), ("Bar", "abcde")];
    check_vary("Foo, Bar, Baz", three, other, Then::Miss);
    let without: List<'_> = &[("Foo", "1"), ("Baz", "789")];
    check_vary("Foo, Bar, Baz", without, without, Then::Fresh);
    check_vary("Foo,, ,foo", one, one, Then::Fresh);
}

#[test]
fn star_or_unreadable_variance_is_not_stored() {
    let check = |lines: &[&str]| {
        let vary: Vec<_> = lines.iter().map(|line| ("Vary", *line)).collect();
        let found = store(&[&[FRESH], &vary[..]].concat());
        assert_eq!(found.expect_err("unusable"), NoStore::Vary, "{lines:?}");
    };
    check(&["*"]);
    check(&["*, *"]);
    check(&["*", "*"]);
    check(&[", *"]);
    check(&["", "*"]);
    check(&["*, Foo"]);
    check(&["Foo, *"]);
    check(&["Foo", "*"]);
    check(&["Foo Bar"]);
    let many: Vec<_> = (0..17).map(|at| format!("f{at}")).collect();
    check(&[&many.join(",")]);
}

#[test]
fn normalisation_undoes_only_what_means_nothing() {
    let same = |field: &str, one: &str, two: &str| {
        check_vary(field, &[(field, one)], &[(field, two)], Then::Fresh);
    };
    let differ = |field: &str, one: &str, two: &str| {
        check_vary(field, &[(field, one)], &[(field, two)], Then::Miss);
    };
    same("Foo", "1,2", " 1, 2 ");
    same("Foo", "1, 2", "1\t,2");
    same("Foo", "a;q=1", "a ; q=1");
    differ("Foo", "1 2", "12");
    differ("Foo", "1, 2", "2, 1");
    differ("Foo", "a", "A");
    differ("Foo", "\"1, 2\"", "\"1,2\"");
    differ("Foo", "\"1\\\", 2\"", "\"1\\\",2\"");
    check_vary("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "2")], Then::Fresh);
    check_vary("Foo", &[("Foo", "1"), ("Foo", "2")], &[("Foo", "1,2")], Then::Fresh);
    check_vary("Foo", &[("Foo", "1, 2")], &[("Foo", "1"), ("Foo", "3")], Then::Miss);
    same("Accept-Language", "en, de", "eN, De");
    same("Accept-Language", "en, de", " en ,   de");
    same("Accept-Language", "en-GB;q=0.5", "EN-gb; q=0.5");
    // Origins do read an order into equal weights, so it is left alone.
    differ("Accept-Language", "en, de", "de, en");
}

#[test]
fn our_own_cookie_selects_nothing_and_is_not_kept() {
    let same = |one: &str, two: &str| {
        let head = store_for(&silent(), &[("Cookie", one)], 200, &[FRESH, ("Vary", "Cookie")]);
        let head = head.expect("storable");
        for (_, value) in head.vary.entries() {
            let value = String::from_utf8_lossy(value.unwrap_or_default());
            assert!(!value.contains("seawall"), "{value}");
        }
        assert_eq!(then(&head, &[("Cookie", two)], 1), Then::Fresh, "{one} then {two}");
        assert_eq!(then(&head, &[("Cookie", "foo=2")], 1), Then::Miss, "{one}");
    };
    same("foo=1; __Host-seawall=abc", "foo=1");
    same("foo=1", "foo=1; __Host-seawall=abc");
    same("__Host-seawall=abc; foo=1; bar=\"a;b\"", "foo=1;  __Host-seawall=xyz; bar=\"a;b\"");
    same("foo=1; __Host-seawall=abc ; bar=2", " foo=1 ; bar=2");
    // Alone it makes nobody anybody.
    let head = store_for(&silent(), &[], 200, &[FRESH, ("Vary", "Cookie")]).expect("storable");
    assert_eq!(then(&head, &[("Cookie", "__Host-seawall=abc")], 1), Then::Fresh);
}

#[test]
fn accept_encoding_is_met_by_the_store_unless_it_cannot() {
    let coded = |extra: List<'_>, expected: Then| {
        let list = [&[FRESH, ("Vary", "Accept-Encoding")], extra].concat();
        let head = store_for(&silent(), &[("Accept-Encoding", "gzip")], 200, &list);
        let found = then(&head.expect("storable"), &[("Accept-Encoding", "br")], 1);
        assert_eq!(found, expected, "{extra:?}");
    };
    coded(&[], Then::Fresh);
    coded(&[("Content-Encoding", "gzip")], Then::Fresh);
    coded(&[("Content-Encoding", "BR")], Then::Fresh);
    coded(&[("Content-Encoding", "foo")], Then::Miss);
    coded(&[("Content-Encoding", "gzip, br")], Then::Miss);
    coded(&[(CC, "no-transform")], Then::Miss);
}

#[test]
fn harmless_cookies_select_nothing() {
    let site = SitePolicy::default();
    let list: List<'_> = &[FRESH, ("Vary", "Cookie")];
    let plain = store_for(&site, &[("Cookie", "_ga=1")], 200, list).expect("storable");
    assert_eq!(then(&plain, &[], 1), Then::Fresh);
    assert_eq!(then(&plain, &[("Cookie", "_ga=2; _gid=3")], 1), Then::Fresh);
    assert_eq!(then(&plain, &[("Cookie", "a=b")], 1), Then::Miss);
    let foreign = store_for(&site, &[("Cookie", "a=b")], 200, list).expect("storable");
    assert_eq!(then(&foreign, &[("Cookie", "a=b")], 1), Then::Fresh);
    assert_eq!(then(&foreign, &[], 1), Then::Miss);
}

/// A request with this Cache-Control, `after_s` seconds after a response with these fields.
fn check(response: List<'_>, directive: &str, after_s: i64, expected: Then) {
    let head = store(response).expect("storable");
    let found = then(&head, &[(CC, directive)], after_s);
    assert_eq!(found, expected, "{directive} on {response:?} after {after_s} s");
}

#[test]
fn wishes_for_something_newer_lead_to_validation_that_may_fall_back() {
    check(&[FRESH], "nothing-to-see-here", 3, Then::Fresh);
    check(&[FRESH], "max-age=0", 3, Then::ValidateOrStale);
    check(&[FRESH], "max-age=1", 3, Then::ValidateOrStale);
    check(&[FRESH], "max-age=3", 3, Then::Fresh);
    check(&[FRESH], "max-age=x", 3, Then::Fresh);
    check(&[FRESH, ("Age", "1800")], "max-age=600", 3, Then::ValidateOrStale);
    check(&[FRESH], "min-fresh=6000", 3, Then::ValidateOrStale);
    check(&[FRESH], "min-fresh=4000", 3, Then::Fresh);
    check(&[FRESH, ("Age", "4000")], "min-fresh=1000", 3, Then::ValidateOrStale);
    check(&[FRESH], "no-cache", 3, Then::ValidateOrStale);
    check(&[FRESH], "NO-cache", 3, Then::ValidateOrStale);
    check(&[FRESH], "no-store", 3, Then::Fresh);
    let head = store(&[FRESH]).expect("storable");
    with_request("GET", &[(CC, "no-cache")], |request| {
        let found = reuse(&head, request, at(3));
        let expected = Reuse::Validate {
            stale_if_error: true,
            age_s: 3,
            ttl_s: 4997,
            forward: Forward::Request,
        };
        assert_eq!(found, expected);
    });
}

#[test]
fn what_came_within_the_second_is_new_enough() {
    check(&[FRESH], "no-cache", 0, Then::Fresh);
    check(&[FRESH], "no-cache", 1, Then::ValidateOrStale);
    check(&[FRESH], "max-age=0", 0, Then::Fresh);
}

#[test]
fn immutable_ignores_a_reload_but_not_a_forced_one() {
    let list: List<'_> = &[(CC, "max-age=50, immutable"), ("ETag", "\"a\"")];
    check(list, "max-age=0", 3, Then::Fresh);
    check(list, "no-cache", 3, Then::ValidateOrStale);
    check(list, "max-age=0", 50, Then::Validate);
}

#[test]
fn accepted_staleness_counts_where_the_origin_left_it_open() {
    let list: List<'_> = &[(CC, "max-age=2")];
    check(list, "max-stale=1000", 900, Then::Fresh);
    check(list, "max-stale=1000", 1003, Then::Validate);
    check(list, "max-stale", 100_000, Then::Fresh);
    check(list, "max-stale=x", 3, Then::Validate);
    check(&[(CC, "max-age=2, must-revalidate")], "max-stale", 3, Then::Validate);
    check(&[(CC, "max-age=2, proxy-revalidate")], "max-stale", 3, Then::Validate);
    check(&[(CC, "s-maxage=2")], "max-stale", 3, Then::Validate);
    check(&[(CC, "no-cache"), ("ETag", "\"a\"")], "max-stale", 3, Then::Validate);
    check(list, "stale-if-error=60", 30, Then::ValidateOrStale);
    check(&[(CC, "max-age=2, must-revalidate")], "stale-if-error=60", 30, Then::Validate);
    check(list, "no-cache, max-stale", 30, Then::Validate);
}

#[test]
fn only_if_cached_never_reaches_the_origin() {
    check(&[FRESH], "only-if-cached", 3, Then::Fresh);
    check(&[FRESH], "only-if-cached", 6000, Then::Refused);
    check(&[FRESH], "only-if-cached, no-cache", 3, Then::Refused);
    check(&[FRESH], "only-if-cached, max-stale", 6000, Then::Fresh);
    let wants =
        |value: &str| with_request("GET", &[(CC, value)], |request| only_if_cached(request.fields));
    assert!(wants("only-if-cached"));
    assert!(!wants("max-age=0"));
}

#[test]
fn pragma_counts_only_without_cache_control() {
    let head = store(&[FRESH]).expect("storable");
    assert_eq!(then(&head, &[("Pragma", "no-cache")], 3), Then::ValidateOrStale);
    assert_eq!(then(&head, &[("Pragma", "foo")], 3), Then::Fresh);
    assert_eq!(then(&head, &[("Pragma", "no-cache"), (CC, "x")], 3), Then::Fresh);
}

#[test]
fn other_methods_are_never_answered_from_the_store() {
    let head = store(&[FRESH]).expect("storable");
    for (method, expected) in
        [("GET", true), ("HEAD", true), ("POST", false), ("OPTIONS", false), ("PURGE", false)]
    {
        let found = with_request(method, &[], |request| reuse(&head, request, at(3)));
        assert_eq!(matches!(found, Reuse::Fresh { .. }), expected, "{method}");
        assert_eq!(found == Reuse::Unusable, !expected, "{method}");
    }
}

#[test]
fn failing_origin_is_covered_up_as_far_as_the_response_allows() {
    let check = |response: List<'_>, after_s: i64, on_error: bool, disconnected: bool| {
        let head = store(response).expect("storable");
        with_request("GET", &[], |request| {
            let now = at(after_s);
            let found = may_serve_stale_on_error(&head, request, now);
            assert_eq!(found, on_error, "{response:?} on error");
            let found = may_serve_stale_when_disconnected(&head, request, now);
            assert_eq!(found, disconnected, "{response:?} disconnected");
        });
    };
    check(&[(CC, "max-age=9")], 3, true, true);
    check(&[(CC, "max-age=2")], 3, false, true);
    check(&[(CC, "max-age=2")], 86_401, false, true);
    check(&[(CC, "max-age=2")], 86_402, false, false);
    check(&[(CC, "max-age=2, stale-if-error=60")], 3, true, true);
    check(&[(CC, "max-age=2, stale-if-error=60")], 62, false, true);
    check(&[(CC, "max-age=2, must-revalidate")], 3, false, false);
    check(&[(CC, "max-age=2, proxy-revalidate, stale-if-error=60")], 3, false, false);
    check(&[(CC, "max-age=2, s-maxage=2")], 3, false, false);
    check(&[(CC, "max-age=9, no-cache"), ("ETag", "\"a\"")], 3, false, false);
    for status in 100..600 {
        let expected = [500, 502, 503, 504].contains(&status);
        assert_eq!(is_error_status(status), expected, "{status}");
    }
}

#[test]
fn personal_requests_get_no_stale_answer_either() {
    let silent_page = store_for(&SitePolicy::default(), &[], 200, &[]).expect("storable");
    let public = store(&[(CC, "max-age=2, stale-if-error=60")]).expect("storable");
    for (head, cookie, expected) in [
        (&silent_page, "a=b", false),
        (&silent_page, "PHPSESSID=1", false),
        (&silent_page, "_ga=1", true),
        (&public, "a=b", true),
        (&public, "PHPSESSID=1", false),
    ] {
        with_request("GET", &[("Cookie", cookie)], |request| {
            assert_eq!(may_serve_stale_on_error(head, request, at(20)), expected, "{cookie}");
            let disconnected = may_serve_stale_when_disconnected(head, request, at(20));
            assert_eq!(disconnected, expected, "{cookie}");
        });
    }
}
