//! What later messages do to what is stored: 304, HEAD, unsafe methods (RFC 9111 §3.2, §4.3.4,
//! §4.3.5, §4.4).

use http::HeaderValue;
use seawall_cache::{
    HeadUpdate, Key, Refreshed, Scheme, SitePolicy, StoredHead, head_response_updates,
    invalidated_by, refresh,
};
use seawall_model::Method;

use crate::support::{
    List, Then, at, headers, http_date, silent, store, store_for, then, with_request,
};

const CC: &str = "Cache-Control";
const TAG: (&str, &str) = ("ETag", "\"a\"");
const SHORT: (&str, &str) = (CC, "max-age=2");

/// A 304 with `new` comes 10 s after a response with `old`.
fn freshen(old: List<'_>, request: List<'_>, new: List<'_>) -> Refreshed {
    let head = store(old).expect("storable");
    with_request("GET", request, |request| {
        refresh(&silent(), &head, request, &headers(new), at(10), at(10))
    })
}

fn updated(old: List<'_>, new: List<'_>) -> StoredHead {
    match freshen(old, &[], new) {
        Refreshed::Updated(head) => head,
        other => panic!("{old:?} and {new:?} give {other:?}"),
    }
}

fn field<'a>(head: &'a StoredHead, name: &str) -> Option<&'a str> {
    head.headers.get(name).map(|value| value.to_str().expect("text"))
}

#[test]
fn fields_of_a_304_replace_stored_ones_and_the_rest_stays() {
    for name in [
        "Test-Header",
        "X-Test-Header",
        "Content-Foo",
        "Content-Type",
        "Content-Location",
        "Content-Security-Policy",
        "Expires",
        "X-Frame-Options",
    ] {
        let head = updated(&[SHORT, TAG, (name, "old"), ("Other", "kept")], &[TAG, (name, "new")]);
        assert_eq!(field(&head, name), Some("new"), "{name}");
        assert_eq!(field(&head, "Other"), Some("kept"));
        assert_eq!(field(&head, CC), Some("max-age=2"));
    }
    let twice: List<'_> = &[TAG, ("X", "3"), ("X", "4")];
    let head = updated(&[SHORT, TAG, ("X", "1"), ("X", "2")], twice);
    let values: Vec<_> = head.headers.get_all("x").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(values, [b"3", b"4"]);
}

#[test]
fn what_the_body_depends_on_is_not_updated() {
    for name in ["Content-Length", "Content-Encoding", "Content-Range"] {
        let head = updated(&[SHORT, TAG, (name, "36")], &[TAG, (name, "10")]);
        assert_eq!(field(&head, name), Some("36"), "{name}");
    }
    let new: List<'_> =
        &[TAG, ("Set-Cookie", "a=b"), ("Connection", "x"), ("x", "1"), ("Age", "1")];
    let head = updated(&[SHORT, TAG], new);
    for name in ["set-cookie", "connection", "x", "age"] {
        assert_eq!(field(&head, name), None, "{name}");
    }
}

#[test]
fn fields_named_by_a_qualified_directive_stay_out_of_updates() {
    let old: List<'_> = &[(CC, "max-age=2, no-cache=\"a\""), TAG, ("a", "1")];
    let head = updated(old, &[TAG, ("a", "2")]);
    assert_eq!(field(&head, "a"), None);
}

#[test]
fn freshness_starts_anew_from_the_304() {
    let head = updated(&[SHORT, TAG, ("Date", "@+0")], &[TAG, ("Date", "@+10")]);
    assert_eq!(then(&head, &[], 11), Then::Fresh);
    assert_eq!(then(&head, &[], 12), Then::Validate);
    let head = updated(&[SHORT, TAG], &[TAG, (CC, "max-age=3600")]);
    assert_eq!(then(&head, &[], 3000), Then::Fresh);
    assert_eq!(field(&head, CC), Some("max-age=3600"));
    let head = updated(&[(CC, "max-age=20"), TAG, ("Age", "5")], &[TAG, ("Age", "19")]);
    assert_eq!(then(&head, &[], 11), Then::Validate);
    // A 304 without Date is dated on receipt.
    let head = updated(&[(CC, "max-age=20"), TAG, ("Date", "@+0")], &[]);
    assert_eq!(field(&head, "date"), Some(&*http_date(10)));
    assert_eq!(then(&head, &[], 29), Then::Fresh);
}

#[test]
fn default_ttl_starts_anew_too() {
    let site = SitePolicy::default();
    let head = store_for(&site, &[], 200, &[TAG]).expect("storable");
    let found = with_request("GET", &[], |request| {
        refresh(&site, &head, request, &headers(&[TAG]), at(100), at(100))
    });
    let Refreshed::Updated(head) = found else { panic!("{found:?}") };
    assert_eq!(then(&head, &[], 109), Then::Fresh);
    assert_eq!(then(&head, &[], 110), Then::WhileRevalidate);
}

#[test]
fn validators_tell_which_representation_a_304_is_about() {
    let modified = |offset: &'static str| ("Last-Modified", offset);
    let check = |old: List<'_>, new: List<'_>, same: bool| {
        let old = [&[SHORT], old].concat();
        let found = freshen(&old, &[], new);
        assert_eq!(found != Refreshed::Mismatch, same, "{old:?} and {new:?}");
    };
    check(&[TAG], &[TAG], true);
    check(&[TAG], &[("ETag", "\"b\"")], false);
    check(&[TAG], &[("ETag", "W/\"a\"")], true);
    check(&[("ETag", "W/\"a\"")], &[TAG], true);
    check(&[("ETag", "W/\"a\"")], &[("ETag", "W/\"b\"")], false);
    check(&[TAG], &[], true);
    check(&[modified("@-50")], &[modified("@-50")], true);
    check(&[modified("@-50")], &[modified("@-20")], false);
    check(&[modified("@-50"), TAG], &[modified("@-20"), TAG], true);
    check(&[modified("@-50")], &[TAG], true);
}

#[test]
fn response_may_withdraw_and_request_may_not() {
    for withdrawn in ["no-store", "private"] {
        let found = freshen(&[SHORT, TAG], &[], &[TAG, (CC, withdrawn)]);
        assert!(matches!(found, Refreshed::Drop(_)), "{withdrawn}: {found:?}");
    }
    let found = freshen(&[SHORT, TAG], &[], &[TAG, ("Vary", "*")]);
    assert!(matches!(found, Refreshed::Drop(_)), "{found:?}");
    let declining: [List<'_>; 4] = [
        &[(CC, "no-store")],
        &[("Cookie", "PHPSESSID=1")],
        // What the origin says to one person is not told to others.
        &[("Cookie", "unknown=1")],
        &[("Authorization", "x")],
    ];
    for request in declining {
        let found = freshen(&[SHORT, TAG], request, &[TAG]);
        assert!(matches!(found, Refreshed::AnswerOnly(_)), "{request:?}: {found:?}");
    }
}

#[test]
fn changed_vary_selects_anew() {
    let old: List<'_> = &[SHORT, TAG, ("Vary", "Foo")];
    let head = store_for(&silent(), &[("Foo", "1")], 200, old).expect("storable");
    let new = headers(&[TAG, ("Vary", "Bar"), (CC, "max-age=60")]);
    let found = with_request("GET", &[("Foo", "1"), ("Bar", "2")], |request| {
        refresh(&silent(), &head, request, &new, at(10), at(10))
    });
    let Refreshed::Updated(head) = found else { panic!("{found:?}") };
    assert_eq!(then(&head, &[("Bar", "2")], 11), Then::Fresh);
    assert_eq!(then(&head, &[("Foo", "1")], 11), Then::Miss);
}

#[test]
fn head_freshens_or_invalidates() {
    let old: List<'_> = &[SHORT, TAG, ("Content-Length", "5"), ("X", "1")];
    let head = store(old).expect("storable");
    let run = |status: u16, request: List<'_>, new: List<'_>| {
        with_request("HEAD", request, |request| {
            head_response_updates(&silent(), &head, request, status, &headers(new), at(10), at(10))
        })
    };
    let HeadUpdate::Refresh(fresh) = run(200, &[], &[(CC, "max-age=1000"), ("X", "2")]) else {
        panic!("a plain HEAD freshens");
    };
    assert_eq!((field(&fresh, "X"), field(&fresh, "ETag")), (Some("2"), Some("\"a\"")));
    assert_eq!(then(&fresh, &[], 900), Then::Fresh);
    let same: List<'_> = &[TAG, ("Content-Length", "5")];
    assert!(matches!(run(200, &[], same), HeadUpdate::Refresh(_)));
    for changed in
        [("ETag", "\"b\""), ("Content-Length", "6"), ("Last-Modified", "@-5"), (CC, "no-store")]
    {
        assert_eq!(run(200, &[], &[changed]), HeadUpdate::Invalidate, "{changed:?}");
    }
    for status in [206, 304, 404, 410, 500] {
        assert_eq!(run(status, &[], &[("ETag", "\"b\"")]), HeadUpdate::Ignore, "{status}");
    }
    let tells_nothing: [(List<'_>, List<'_>); 4] = [
        (&[], &[("Content-Encoding", "gzip"), ("Content-Length", "3")]),
        (&[], &[("Set-Cookie", "a=b"), ("ETag", "\"b\"")]),
        (&[("Cookie", "a=b")], &[("ETag", "\"b\"")]),
        (&[(CC, "no-store")], &[("ETag", "\"b\"")]),
    ];
    for (request, new) in tells_nothing {
        assert_eq!(run(200, request, new), HeadUpdate::Ignore, "{request:?} {new:?}");
    }
}

#[test]
fn success_of_an_unsafe_method_invalidates_and_failure_does_not() {
    let key = Key::new(Scheme::Https, "example.org", b"/a/b", Some(b"q"));
    for (method, status, expected) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 202, true),
        ("PATCH", 303, true),
        ("M-SEARCH", 200, true),
        ("POST", 500, false),
        ("PUT", 404, false),
        ("DELETE", 500, false),
        ("M-SEARCH", 500, false),
        ("POST", 101, false),
        ("GET", 200, false),
        ("HEAD", 200, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
        ("CONNECT", 200, false),
    ] {
        let found = invalidated_by(
            Method::from_bytes(method.as_bytes()),
            status,
            &key,
            &headers(&[("Location", "/x")]),
        );
        assert_eq!(found.contains(&key), expected, "{method} {status}");
        assert_eq!(found.len(), if expected { 2 } else { 0 }, "{method} {status}");
    }
}

#[test]
fn locations_count_within_the_same_origin() {
    let key = Key::new(Scheme::Https, "example.org", b"/a/b", Some(b"q"));
    let check = |reference: &str, expected: Option<&str>| {
        for field in ["Location", "Content-Location"] {
            let list = headers(&[(field, reference)]);
            let found = invalidated_by(Method::Post, 201, &key, &list);
            assert_eq!(found.get(1).map(Key::url).as_deref(), expected, "{field}: {reference}");
        }
    };
    check("/x", Some("https://example.org/x"));
    check("x?y", Some("https://example.org/a/x?y"));
    check("../x", Some("https://example.org/x"));
    check("../../../x/./y/..", Some("https://example.org/x/"));
    check("./", Some("https://example.org/a/"));
    check("?z", Some("https://example.org/a/b?z"));
    check("#frag", None); // the URL itself, already there
    check("", None);
    check("https://example.org/x#f", Some("https://example.org/x"));
    check("HTTPS://Example.ORG:443/%7ex", Some("https://example.org/~x"));
    check("https://example.org", Some("https://example.org/"));
    check("//example.org/x", Some("https://example.org/x"));
    check("http://example.org/x", None);
    check("https://other.example/x", None);
    check("https://example.org:8443/x", None);
    check("https://user@example.org/x", Some("https://example.org/x"));
    check("mailto:a@b", None);
    check("a:b/c", None);
    let both = headers(&[("Location", "/x"), ("Content-Location", "/y")]);
    assert_eq!(invalidated_by(Method::Post, 201, &key, &both).len(), 3);
}
