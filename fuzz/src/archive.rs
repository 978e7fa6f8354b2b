//! What must hold for anything that the crawl brings home.

use bytes::Bytes;
use seawall_archive::{
    Capture, FoundBy, KeepPolicy, Note, Scope, ScopeRules, Why, Zone, judge_response, normal_url,
    read, with_note,
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
    let starts = page.windows(8).enumerate().filter(|(_, part)| *part == b"<aside c");
    let mut without = starts.filter_map(|(from, _)| {
        let to = from + page[from..].windows(8).position(|part| part == b"</aside>")? + 8;
        Some([&page[..from], &page[to..]].concat())
    });
    assert!(without.any(|page| page == body), "the page is not what it was");
}
