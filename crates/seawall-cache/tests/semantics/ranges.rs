//! Range requests answered from the store (RFC 9110 §14, RFC 9111 §3.3).

use seawall_cache::{ByteRange, ContentRange, NoStore, RangePlan, ranges};

use crate::support::{List, silent, store_for, with_request};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

fn plan(status: u16, method: &str, response: List<'_>, request: List<'_>, total: u64) -> RangePlan {
    let response = [&[FRESH], response].concat();
    let head = store_for(&silent(), &[], status, &response).expect("storable");
    with_request(method, request, |request| ranges(request, &head, total))
}

fn one(start: u64, end: u64) -> RangePlan {
    RangePlan::One(ByteRange { start, end })
}

fn many(list: &[(u64, u64)]) -> RangePlan {
    RangePlan::Many(list.iter().map(|&(start, end)| ByteRange { start, end }).collect())
}

#[test]
fn ranges_of_a_whole_are_planned() {
    let check = |range: &str, total: u64, expected: RangePlan| {
        assert_eq!(plan(200, "GET", &[], &[("Range", range)], total), expected, "{range}");
    };
    check("bytes=0-1", 11, one(0, 1));
    check("bytes=1-", 11, one(1, 10));
    check("bytes=-1", 11, one(10, 10));
    check("bytes=-99", 11, one(0, 10));
    check("bytes=5-99999999999999999999", 11, RangePlan::Full);
    check("bytes=5-999999999", 11, one(5, 10));
    check("BYTES=0-1", 11, one(0, 1));
    check("bytes= 0-1 , ", 11, one(0, 1));
    check("bytes=11-", 11, RangePlan::Unsatisfiable);
    check("bytes=-0", 11, RangePlan::Unsatisfiable);
    check("bytes=0-", 0, RangePlan::Unsatisfiable);
    check("bytes=-5", 0, RangePlan::Unsatisfiable);
    check("bytes=11-, 0-0", 11, one(0, 0));
    check("bytes=0-0, -1", 11, many(&[(0, 0), (10, 10)]));
    check("bytes=8-9, 0-1", 11, many(&[(8, 9), (0, 1)]));
    for ignored in [
        "bytes=",
        "bytes=-",
        "bytes=2-1",
        "bytes=a-b",
        "bytes=1",
        "items=0-1",
        "bytes 0-1",
        "",
        "x",
    ] {
        check(ignored, 11, RangePlan::Full);
    }
}

#[test]
fn abusive_lists_get_the_whole() {
    let list = |count: usize| {
        let specs: Vec<_> = (0..count).map(|at| format!("{0}-{0}", at * 2)).collect();
        format!("bytes={}", specs.join(","))
    };
    let check = |range: &str, full: bool| {
        let found = plan(200, "GET", &[], &[("Range", range)], 1000);
        assert_eq!(found == RangePlan::Full, full, "{range}: {found:?}");
    };
    check(&list(8), false);
    check(&list(9), true);
    check(&list(1300), true);
    check("bytes=0-10,5-15", true);
    check("bytes=0-,0-,0-", true);
    check("bytes=0-499,500-999", true);
    let twice: List<'_> = &[("Range", "bytes=0-1"), ("Range", "bytes=2-3")];
    assert_eq!(plan(200, "GET", &[], twice, 1000), RangePlan::Full);
}

#[test]
fn only_get_of_a_200_has_ranges() {
    let request: List<'_> = &[("Range", "bytes=0-1")];
    assert_eq!(plan(200, "HEAD", &[], request, 11), RangePlan::Full);
    assert_eq!(plan(404, "GET", &[], request, 11), RangePlan::Full);
    assert_eq!(plan(200, "GET", &[], &[], 11), RangePlan::Full);
}

#[test]
fn if_range_needs_a_strong_match() {
    let check = |stored: List<'_>, validator: &str, holds: bool| {
        let request: List<'_> = &[("Range", "bytes=0-1"), ("If-Range", validator)];
        let found = plan(200, "GET", stored, request, 11);
        assert_eq!(found, if holds { one(0, 1) } else { RangePlan::Full }, "{validator}");
    };
    check(&[("ETag", "\"a\"")], "\"a\"", true);
    check(&[("ETag", "\"a\"")], "\"b\"", false);
    check(&[("ETag", "W/\"a\"")], "W/\"a\"", false);
    check(&[("ETag", "\"a\"")], "W/\"a\"", false);
    check(&[], "\"a\"", false);
    let dated: List<'_> = &[("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Date", "@+0")];
    check(dated, "Sun, 06 Nov 1994 08:49:37 GMT", true);
    check(dated, "Sun, 06 Nov 1994 08:49:38 GMT", false);
    check(dated, "Sun, 06 Nov 1994 08:49:36 GMT", false);
    check(dated, "soon", false);
    // Modified within the minute of being dated: too weak (RFC 9110 §8.8.2.2).
    let just: List<'_> = &[
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Date", "Sun, 06 Nov 1994 08:49:38 GMT"),
        ("ETag", "\"a\""),
    ];
    check(just, "Sun, 06 Nov 1994 08:49:37 GMT", false);
}

#[test]
fn stored_part_answers_what_lies_within_it() {
    let part: List<'_> = &[("Content-Range", "bytes 4-9/10")];
    let check = |range: Option<&str>, expected: RangePlan| {
        let request: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
        assert_eq!(plan(206, "GET", part, &request, 6), expected, "{range:?}");
    };
    check(Some("bytes=-5"), one(5, 9));
    check(Some("bytes=6-8"), one(6, 8));
    check(Some("bytes=6-"), one(6, 9));
    check(Some("bytes=4-5, 7-7"), many(&[(4, 5), (7, 7)]));
    check(Some("bytes=3-5"), RangePlan::NotHeld);
    check(Some("bytes=-7"), RangePlan::NotHeld);
    check(Some("bytes=10-"), RangePlan::NotHeld);
    check(Some("bytes=x"), RangePlan::NotHeld);
    check(None, RangePlan::NotHeld);
    assert_eq!(plan(206, "HEAD", part, &[], 6), RangePlan::NotHeld);
}

#[test]
fn only_a_clear_content_range_is_stored() {
    let parsed = |value: &str| ContentRange::parse(value.as_bytes());
    let range = |start, end, complete| Some(ContentRange { start, end, complete });
    for (value, expected) in [
        ("bytes 4-9/10", range(4, 9, 10)),
        ("Bytes 0-0/1", range(0, 0, 1)),
        ("bytes 4-9/*", None),
        ("bytes */10", None),
        ("bytes 9-4/10", None),
        ("bytes 4-10/10", None),
        ("bytes 4-9/99999999999999999999999", None),
        ("bytes 4/9-10", None),
        ("bytes 4-9", None),
        ("items 4-9/10", None),
        ("bytes", None),
        ("", None),
    ] {
        assert_eq!(parsed(value), expected, "{value}");
        let stored = store_for(&silent(), &[], 206, &[FRESH, ("Content-Range", value)]);
        assert_eq!(stored.map(|head| head.partial).ok(), expected.map(Some), "{value}");
    }
    assert_eq!(parsed("bytes 4-9/10").map(|range| range.body_len()), Some(6));
    let multipart: List<'_> = &[FRESH, ("Content-Type", "multipart/byteranges; boundary=x")];
    assert_eq!(store_for(&silent(), &[], 206, multipart).expect_err("parts"), NoStore::Status);
}
