//! Conditional requests, those of clients and those of the cache (RFC 9110 §13, RFC 9111 §4.3).

use http::{HeaderName, HeaderValue};
use seawall_cache::{Precondition, is_sent_with_304, precondition, validators};

use crate::support::{List, http_date, silent, store, store_for, with_request};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=100000");

fn evaluate(status: u16, method: &str, response: List<'_>, request: List<'_>) -> bool {
    let response = [&[FRESH], response].concat();
    let head = store_for(&silent(), &[], status, &response).expect("storable");
    with_request(method, request, |request| precondition(&head, request))
        == Precondition::NotModified
}

/// Whether a stored 200 with these fields is answered 304 to a GET with those.
fn check(response: List<'_>, request: List<'_>, expected: bool) {
    assert_eq!(evaluate(200, "GET", response, request), expected, "{response:?}, {request:?}");
}

#[test]
fn if_none_match_compares_weakly() {
    let tag = |stored: &str, asked: &str, expected: bool| {
        check(&[("ETag", stored)], &[("If-None-Match", asked)], expected);
    };
    tag("\"abcdef\"", "\"abcdef\"", true);
    tag("\"abcdef\"", "\"abcdeg\"", false);
    tag("W/\"abcdef\"", "W/\"abcdef\"", true);
    tag("W/\"abcdef\"", "\"abcdef\"", true);
    tag("\"abcdef\"", "W/\"abcdef\"", true);
    tag("\"abcdef\"", "\"abcdef\", \"1234\", \"5678\"", true);
    tag("\"abcdef\"", "\"1234\", \"abcdef\", \"5678\"", true);
    tag("\"abcdef\"", "\"1234\",\"5678\",W/\"abcdef\"", true);
    tag("\"a, b\"", "\"x\", \"a, b\"", true);
    tag("\"b\"", "\"a, \"b\", c\"", false);
    tag("\"abcdef\u{fc}\"", "\"abcdef\u{fc}\"", true);
    tag("abcdef", "abcdef", true);
    tag("\"abcdef\"", "abcdef", false);
    tag("\"abcdef\"", "*", true);
    tag("\"abcdef\"", "\"*\"", false);
    tag("\"abcdef\"", "", false);
    check(&[], &[("If-None-Match", "*")], true);
    check(&[], &[("If-None-Match", "\"a\"")], false);
    check(&[("ETag", "\"b\"")], &[("If-None-Match", "\"a\""), ("If-None-Match", "\"b\"")], true);
}

#[test]
fn if_none_match_hides_if_modified_since() {
    let stored: List<'_> = &[("ETag", "\"a\""), ("Last-Modified", "@-5000")];
    check(stored, &[("If-None-Match", "\"a\""), ("If-Modified-Since", "@-10000")], true);
    check(stored, &[("If-None-Match", "\"b\""), ("If-Modified-Since", "@-5000")], false);
}

#[test]
fn if_modified_since_compares_with_last_modified_then_date() {
    let stored: List<'_> = &[("Last-Modified", "@-3000"), ("Date", "@+0")];
    check(stored, &[("If-Modified-Since", "@-3000")], true);
    check(stored, &[("If-Modified-Since", "@-2000")], true);
    check(stored, &[("If-Modified-Since", "@-3001")], false);
    check(stored, &[("If-Modified-Since", "yesterday")], false);
    let rfc850: List<'_> = &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
    check(rfc850, &[("If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT")], true);
    check(rfc850, &[("If-Modified-Since", "Sun Nov  6 08:49:37 1994")], true);
    // RFC 9111 §4.3.2: Date stands in for Last-Modified.
    check(&[("Date", "@-100")], &[("If-Modified-Since", "@-100")], true);
    check(&[("Date", "@-100")], &[("If-Modified-Since", "@-3000")], false);
    check(&[], &[("If-Modified-Since", "@+0")], true);
    check(&[("Date", "foo")], &[("If-Modified-Since", "@-1")], false);
}

#[test]
fn conditions_count_only_for_get_and_head_of_a_success() {
    let stored: List<'_> = &[("ETag", "\"a\"")];
    let request: List<'_> = &[("If-None-Match", "\"a\"")];
    for (status, method, expected) in [
        (200, "GET", true),
        (200, "HEAD", true),
        (200, "POST", false),
        (404, "GET", false),
        (301, "GET", false),
    ] {
        assert_eq!(evaluate(status, method, stored, request), expected, "{status} {method}");
    }
    // For the origin alone (RFC 9111 §4.3.2).
    check(stored, &[("If-Match", "\"b\""), ("If-Unmodified-Since", "@-99999999")], false);
}

#[test]
fn validators_are_sent_as_they_came() {
    let head = store(&[FRESH, ("ETag", "W/\"x\""), ("Last-Modified", "@-5")]).expect("storable");
    let found = validators(&head);
    assert_eq!(found.if_none_match.as_ref().map(HeaderValue::as_bytes), Some(&b"W/\"x\""[..]));
    let date = http_date(-5);
    assert_eq!(found.if_modified_since.as_ref().map(HeaderValue::as_bytes), Some(date.as_bytes()));
    assert!(!found.is_empty());
    assert!(validators(&store(&[FRESH]).expect("storable")).is_empty());
    let part: List<'_> = &[FRESH, ("ETag", "\"x\""), ("Content-Range", "bytes 0-4/10")];
    let part = store_for(&silent(), &[], 206, part).expect("storable");
    assert!(validators(&part).is_empty());
}

#[test]
fn answers_304_carry_no_fields_about_the_content() {
    for (name, expected) in [
        ("etag", true),
        ("cache-control", true),
        ("date", true),
        ("vary", true),
        ("expires", true),
        ("content-location", true),
        ("last-modified", true),
        ("content-length", false),
        ("content-type", false),
        ("content-encoding", false),
        ("content-range", false),
    ] {
        assert_eq!(is_sent_with_304(&HeaderName::from_static(name)), expected, "{name}");
    }
}
