//! What must hold for anything that the crawl brings home, and for any bytes said to be of an archive.

use std::io::Cursor;

use bytes::Bytes;
use seawall_archive::{
    Capture, FoundBy, KeepPolicy, Members, Note, Record, Scope, ScopeRules, Why, Zone,
    judge_response, normal_url, read, read_checked_member, read_member, read_package_in,
    response_record, with_note,
};
use seawall_model::WallTime;

/// A response through every reader of the archive: a line with the media type, then the content, which is
/// a `Link` field as well. Nothing panics; every link is in its normal form and there are not more than may be; the
/// page without the note is the page; what sets a cookie is not kept.
pub fn archive_links(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (media_type, body) = data.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let now = WallTime::from_unix_secs(1_795_348_800);
    let capture = Capture {
        url: "https://example.org/a/sitemap.xml".to_owned(),
        captured: now,
        status: 200,
        fields: vec![
            ("content-type".to_owned(), media_type.to_vec()),
            ("link".to_owned(), body.to_vec()),
            ("set-cookie".to_owned(), b"a=b".to_vec()),
        ],
        body: Bytes::copy_from_slice(body),
    };
    let rules = ScopeRules { hosts: vec!["example.org".to_owned()], ..ScopeRules::default() };
    let mut scope = Scope::new(rules);
    let links = read(&capture).links;
    assert!(links.len() <= 50_000, "more links than a sitemap may hold");
    for link in links {
        assert_eq!(normal_url(None, &link.url).as_ref(), Some(&link.url), "not in its normal form");
        let _ = scope.judge(&link.url, FoundBy::Link { depth: 1 }, now);
    }
    let kept = judge_response(200, &capture.fields, &capture.body, &KeepPolicy::default());
    assert!(kept != seawall_archive::Keep::Store, "a page with a cookie is kept");
    let note = Note { why: Why::NotAnswering, now, zone: Zone::UTC };
    let Some(page) = with_note(&capture, &note) else { return };
    // A page may hold such an element itself.
    let starts = page.windows(8).enumerate().filter(|(_, part)| *part == b"<section");
    let mut without = starts.filter_map(|(from, _)| {
        let to = from + page[from..].windows(10).position(|part| part == b"</section>")? + 10;
        Some([&page[..from], &page[to..]].concat())
    });
    assert!(without.any(|page| page == body), "the page is not what it was");
}

/// The most content of a record.
const MAX: usize = 64 * 1024;

/// A record, or a file of records, in gzip members or bare. Nothing panics; a walk leaves no byte out;
/// a response that was read is written and read again as the same.
pub fn archive_records(data: &[u8]) {
    let read = read_member(data, MAX);
    if let Ok(record) = &read {
        let unchecked = read_checked_member(data, MAX);
        assert!(unchecked.is_ok_and(|unchecked| unchecked == *record), "checks change a record");
    }
    let length = data.len() as u64;
    let mut end = 0;
    for found in Members::new(Cursor::new(data), 0, length, MAX) {
        assert_eq!(found.offset, end, "something was left out");
        end += found.length;
        if let Ok(Record::Response(capture)) = found.record {
            reads_back(capture);
        }
    }
    assert!(end == length, "the end was left out");
    let searched = Members::new(Cursor::new(data), 0, length, MAX).searching();
    assert!(searched.map(|found| found.length).sum::<u64>() == length);
}

/// A package. Nothing panics; what is told of it lies in it.
pub fn archive_package(data: &[u8]) {
    let Ok(package) = read_package_in(Cursor::new(data), MAX) else { return };
    let length = data.len() as u64;
    for entry in package.entries {
        assert!(entry.offset + entry.length <= length, "a record outside of the package");
    }
}

fn reads_back(capture: Capture) {
    assert!(capture.body.len() <= MAX, "more content than allowed");
    let written = response_record(&capture);
    let Ok(Record::Response(mut again)) = read_member(&written.member, MAX) else {
        panic!("what was read cannot be written and read");
    };
    // A time is written in milliseconds, and what would end a line as a space.
    again.captured = capture.captured;
    let is_plain = |value: &[u8]| !value.iter().any(|byte| matches!(byte, b'\r' | 0));
    if capture.fields.iter().all(|(_, value)| is_plain(value)) && !capture.url.contains(['<', '>'])
    {
        assert_eq!(again, capture);
    }
}
