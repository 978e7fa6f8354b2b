//! What is stored and what of it: status, method, Cache-Control, Authorization, cookies, fields.
//!
//! RFC 9111 §3, §3.1, §3.5, §5.2.2; the site's own rules for origins that say nothing.

use http::HeaderMap;
use seawall_cache::{FilledUnder, NoStore, SitePolicy, StoredHead, storable, strip_hop_by_hop};

use crate::support::{
    List, Then, at, headers, http_date, silent, store, store_for, then, with_request,
};

const CC: &str = "Cache-Control";
const FRESH: (&str, &str) = (CC, "max-age=3600");
const TAG: (&str, &str) = ("ETag", "\"a\"");

fn refused(request: List<'_>, status: u16, response: List<'_>) -> Option<NoStore> {
    store_for(&silent(), request, status, response).err()
}

#[test]
fn any_final_status_with_a_lifetime_is_stored_but_304() {
    for status in
        [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]
    {
        assert_eq!(refused(&[], status, &[FRESH]), None, "{status}");
    }
    for status in [100, 103, 199, 304, 600, 999] {
        assert_eq!(refused(&[], status, &[FRESH]), Some(NoStore::Status), "{status}");
    }
}

#[test]
fn answers_to_one_odd_request_are_not_stored() {
    for status in [407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431, 511] {
        let list: List<'_> = &[(CC, "max-age=60, public"), ("Last-Modified", "@-9999")];
        assert_eq!(refused(&[], status, list), Some(NoStore::Status), "{status}");
    }
}

#[test]
fn no_store_private_and_set_cookie_keep_a_response_out() {
    let check = |value: &str, expected| {
        assert_eq!(refused(&[], 200, &[FRESH, (CC, value), TAG]), expected, "{value}");
    };
    check("no-store", Some(NoStore::Forbidden));
    check("No-StOrE", Some(NoStore::Forbidden));
    check("no-store=x", Some(NoStore::Forbidden));
    check("no-store , foo", Some(NoStore::Forbidden));
    check("private", Some(NoStore::Private));
    check("private=\"\"", Some(NoStore::Private));
    check("private=\"a b\"", Some(NoStore::Private));
    check("no-cache", None);
    check("public, foo=\"no-store\"", None);
    for list in [&[FRESH, ("Set-Cookie", "a=b")][..], &[FRESH, (CC, "public"), ("Set-Cookie", "")]]
    {
        assert_eq!(refused(&[], 200, list), Some(NoStore::SetCookie));
    }
    let cdn = [("CDN-Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")];
    assert_eq!(refused(&[], 200, &cdn), Some(NoStore::SetCookie));
}

#[test]
fn must_understand_lifts_no_store_only_for_known_statuses() {
    let list: List<'_> = &[(CC, "max-age=3600, no-store, must-understand")];
    assert_eq!(refused(&[], 200, list), None);
    assert_eq!(refused(&[], 404, list), None);
    assert_eq!(refused(&[], 599, list), Some(NoStore::NotUnderstood));
    assert_eq!(refused(&[], 599, &[FRESH, (CC, "must-understand")]), Some(NoStore::NotUnderstood));
}

#[test]
fn authorization_needs_permission_to_share() {
    let request: List<'_> = &[("Authorization", "Basic Zm9v")];
    assert_eq!(refused(request, 200, &[FRESH]), Some(NoStore::Authorization));
    assert_eq!(refused(request, 200, &[(CC, "max-age=3600, public")]), None);
    assert_eq!(refused(request, 200, &[(CC, "max-age=3600, must-revalidate")]), None);
    assert_eq!(refused(request, 200, &[(CC, "s-maxage=3600")]), None);
    let head = store_for(&silent(), request, 200, &[(CC, "s-maxage=9")]).expect("shareable");
    assert_eq!(then(&head, &[], 3), Then::Fresh);
}

#[test]
fn only_get_is_stored_and_requests_may_decline() {
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "PROPFIND"] {
        let found = with_request(method, &[], |request| {
            storable(&silent(), request, 200, &headers(&[FRESH]), at(0), at(0))
        });
        assert_eq!(found.expect_err(method), NoStore::Method);
    }
    assert_eq!(refused(&[(CC, "no-store")], 200, &[FRESH]), Some(NoStore::RequestNoStore));
    assert_eq!(refused(&[(CC, "no-cache")], 200, &[FRESH]), None);
}

#[test]
fn default_ttl_is_for_origins_that_say_nothing() {
    let site = SitePolicy::default();
    let check = |status: u16, response: List<'_>, expected: Option<FilledUnder>| {
        let found = store_for(&site, &[], status, response).map(|head| head.filled_under).ok();
        assert_eq!(found, expected, "{status} {response:?}");
    };
    for status in [200, 301, 404, 410] {
        check(status, &[], Some(FilledUnder::DefaultTtl));
    }
    for status in [201, 204, 302, 303, 307, 403, 500, 502, 503] {
        check(status, &[], None);
    }
    check(200, &[("Last-Modified", "@-864000")], Some(FilledUnder::DefaultTtl));
    check(203, &[("Last-Modified", "@-864000")], Some(FilledUnder::Heuristic));
    check(200, &[("Set-Cookie", "a=b")], None);
    check(200, &[("Pragma", "no-cache")], None);
    check(200, &[("Expires", "0")], None);
    check(200, &[(CC, "no-cache, must-revalidate, max-age=0")], None);
    check(200, &[(CC, "public")], None);
    check(200, &[(CC, "")], None);
    check(200, &[FRESH], Some(FilledUnder::Explicit));
    check(200, &[("CDN-Cache-Control", "max-age=9")], Some(FilledUnder::Explicit));
    for off in [None, Some(std::time::Duration::ZERO)] {
        let site = SitePolicy { default_ttl: off, ..SitePolicy::default() };
        assert_eq!(store_for(&site, &[], 200, &[]).err(), Some(NoStore::NoFreshness));
    }
}

#[test]
fn default_ttl_grants_a_minute_stale_and_a_day_on_error() {
    let head = store_for(&SitePolicy::default(), &[], 200, &[]).expect("storable");
    for (after_s, expected) in [
        (9, Then::Fresh),
        (10, Then::WhileRevalidate),
        (69, Then::WhileRevalidate),
        (70, Then::ValidateOrStale),
        (10 + 86_399, Then::ValidateOrStale),
        (10 + 86_400, Then::Validate),
    ] {
        assert_eq!(then(&head, &[], after_s), expected, "after {after_s} s");
    }
}

#[test]
fn slow_origin_does_not_eat_up_default_ttl() {
    let head = with_request("GET", &[], |request| {
        storable(&SitePolicy::default(), request, 200, &HeaderMap::new(), at(-30), at(0))
    })
    .expect("storable");
    assert_eq!(then(&head, &[], 9), Then::Fresh);
    assert_eq!(then(&head, &[], 10), Then::WhileRevalidate);
    assert_eq!(head.freshness.age_s(at(0), at(1)), 31);
}

#[test]
fn cookies_decide_what_is_stored_and_answered() {
    let site = SitePolicy::default();
    let stored = |cookie: &str, response: List<'_>| -> Option<NoStore> {
        store_for(&site, &[("Cookie", cookie)], 200, response).err()
    };
    let harmless = "_ga=GA1.2; cookie_consent=yes; _ga_X=1";
    assert_eq!(stored(harmless, &[]), None);
    assert_eq!(stored("a=b", &[]), Some(NoStore::ForeignCookie));
    assert_eq!(stored("_ga=1; novalue", &[]), Some(NoStore::ForeignCookie));
    assert_eq!(stored("a=b", &[("Last-Modified", "@-99"), TAG]), Some(NoStore::ForeignCookie));
    assert_eq!(stored("a=b", &[(CC, "no-cache"), TAG]), Some(NoStore::ForeignCookie));
    assert_eq!(stored("a=b", &[FRESH]), None);
    for personal in [
        "wordpress_logged_in_1a2b=x",
        "wordpress_sec_1a2b=x",
        "wp-postpass_1a2b=x",
        "comment_author_1a2b=x",
        "comment_author_email_1a2b=x",
        "woocommerce_items_in_cart=1",
        "wp_woocommerce_session_1a2b=x",
        "_ga=1; PHPSESSID=x",
        "PHPSESSID=x; a=b",
    ] {
        assert_eq!(stored(personal, &[FRESH]), Some(NoStore::PersonalCookie), "{personal}");
        let public = store(&[FRESH]).expect("storable");
        assert_eq!(then(&public, &[("Cookie", personal)], 1), Then::Miss, "{personal}");
    }
    let silent_page = store_for(&site, &[], 200, &[]).expect("storable");
    assert_eq!(then(&silent_page, &[("Cookie", harmless)], 1), Then::Fresh);
    assert_eq!(then(&silent_page, &[("Cookie", "a=b")], 1), Then::Miss);
    assert_eq!(then(&silent_page, &[("Cookie", "_ga=1"), ("Cookie", "a=b")], 1), Then::Miss);
    assert_eq!(then(&silent_page, &[("Authorization", "x")], 1), Then::Miss);
    let public = store(&[FRESH]).expect("storable");
    assert_eq!(then(&public, &[("Cookie", "a=b")], 1), Then::Fresh);
}

#[test]
fn objects_beyond_the_limit_are_not_stored() {
    let site = SitePolicy { max_object_bytes: 100, ..silent() };
    let check = |length: &str, expected| {
        let found = store_for(&site, &[], 200, &[FRESH, ("Content-Length", length)]);
        assert_eq!(found.err(), expected, "{length}");
    };
    check("100", None);
    check("101", Some(NoStore::TooLarge));
    check("99999999999999999999999999", Some(NoStore::TooLarge));
}

fn field<'a>(head: &'a StoredHead, name: &str) -> Option<&'a str> {
    head.headers.get(name).map(|value| value.to_str().expect("text"))
}

#[test]
fn fields_of_the_connection_are_not_stored_and_all_others_are() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authentication-Info",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Transfer-Encoding",
        "Upgrade",
        "Age",
    ] {
        let head = store(&[FRESH, (name, "1")]).expect("storable");
        assert_eq!(field(&head, name), None, "{name}");
    }
    for name in [
        "Test-Header",
        "X-Test-Header",
        "Content-Foo",
        "Content-Encoding",
        "Content-Length",
        "Content-Location",
        "Content-MD5",
        "Content-Range",
        "Content-Security-Policy",
        "Content-Type",
        "Clear-Site-Data",
        "ETag",
        "Expires",
        "Public-Key-Pins",
        "Set-Cookie2",
        "X-Frame-Options",
        "CDN-Cache-Control",
        "Cache-Status",
    ] {
        let head = store(&[(CC, "s-maxage=60"), (name, "1")]);
        // An unreadable CDN-Cache-Control is ignored, not removed.
        assert_eq!(field(&head.expect("storable"), name), Some("1"), "{name}");
    }
}

#[test]
fn fields_named_by_connection_or_qualified_directives_are_left_out() {
    let list: List<'_> = &[FRESH, ("a", "1"), ("b", "2"), ("c", "3"), ("Connection", "a, B")];
    let head = store(list).expect("storable");
    assert_eq!((field(&head, "a"), field(&head, "b")), (None, None));
    assert_eq!(field(&head, "c"), Some("3"));
    for directive in ["no-cache=\"a, b\"", "private=\"a, b\"", "no-cache=\"a\", private=b"] {
        let list: List<'_> = &[(CC, directive), ("a", "1"), ("b", "2"), ("c", "3"), FRESH];
        let head = store(list).expect("storable");
        assert_eq!((field(&head, "a"), field(&head, "b")), (None, None), "{directive}");
        assert_eq!(field(&head, "c"), Some("3"));
        assert_eq!(then(&head, &[], 3), Then::Fresh);
    }
    // A peer that names what everybody needs does not get it removed.
    let list: List<'_> = &[FRESH, ("Vary", "x"), ("Connection", "cache-control, vary, \u{1}, ,")];
    let mut map = headers(&list[..2]);
    map.insert("connection", "cache-control, vary, close".parse().expect("a value"));
    strip_hop_by_hop(&mut map);
    assert_eq!(map.len(), 2);
}

#[test]
fn date_is_kept_and_added_when_missing() {
    let head = store(&[FRESH, ("Date", "@-5")]).expect("storable");
    assert_eq!(field(&head, "date"), Some(&*http_date(-5)));
    let head = store(&[FRESH]).expect("storable");
    assert_eq!(field(&head, "date"), Some(&*http_date(0)));
}

#[test]
fn stored_heads_survive_encoding_and_damage_does_not() {
    let request: List<'_> = &[("Foo", "1"), ("Accept-Language", "en")];
    let list: List<'_> = &[
        (CC, "max-age=9, stale-if-error=5, s-maxage=3, no-cache, immutable"),
        ("Vary", "Foo, Bar, Accept-Language"),
        ("Content-Range", "bytes 4-9/10"),
        ("X", "1"),
        ("X", "\u{fc}"),
        TAG,
    ];
    let mut bytes = Vec::new();
    for (status, site) in [(200, silent()), (206, silent()), (200, SitePolicy::default())] {
        let head = store_for(&site, request, status, list).expect("storable");
        bytes.clear();
        head.encode(&mut bytes);
        assert_eq!(StoredHead::decode(&bytes), Some(head));
    }
    let silent_head = store_for(&SitePolicy::default(), &[], 200, &[]).expect("storable");
    let mut other = Vec::new();
    silent_head.encode(&mut other);
    assert_eq!(StoredHead::decode(&other), Some(silent_head));
    for cut in 0..bytes.len() {
        assert_eq!(StoredHead::decode(&bytes[..cut]), None, "cut at {cut}");
    }
    bytes.push(0);
    assert_eq!(StoredHead::decode(&bytes), None);
}
