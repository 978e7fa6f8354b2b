//! The Cache-Status field (RFC 9211) and the key of a URL (RFC 3986 §6.2).

use seawall_cache::{
    CacheStatus, Collapsed, Forward, HashSeed, Key, Scheme, Stored, write_cache_status,
};

#[test]
fn cache_status_says_what_happened() {
    let check = |status: CacheStatus, expected: &str| {
        let mut out = Vec::new();
        write_cache_status(&mut out, &status);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    };
    check(CacheStatus::Hit { ttl_s: 12 }, "seawall; hit; ttl=12");
    check(CacheStatus::Hit { ttl_s: -412 }, "seawall; hit; ttl=-412");
    check(CacheStatus::Hit { ttl_s: 0 }, "seawall; hit; ttl=0");
    let forwarded = |forward, status, stored, collapsed| CacheStatus::Forwarded {
        forward,
        status,
        stored,
        collapsed,
    };
    check(
        forwarded(Forward::UriMiss, None, Stored::Yes, Collapsed::Yes),
        "seawall; fwd=uri-miss; stored; collapsed",
    );
    check(
        forwarded(Forward::Stale, Some(304), Stored::Yes, Collapsed::No),
        "seawall; fwd=stale; fwd-status=304; stored",
    );
    for (forward, token) in [
        (Forward::Bypass, "bypass"),
        (Forward::Method, "method"),
        (Forward::VaryMiss, "vary-miss"),
        (Forward::Miss, "miss"),
        (Forward::Request, "request"),
        (Forward::Partial, "partial"),
    ] {
        let status = forwarded(forward, None, Stored::No, Collapsed::No);
        check(status, &format!("seawall; fwd={token}"));
    }
    check(CacheStatus::Own, "seawall");
}

fn key(path: &str, query: Option<&str>) -> Key {
    Key::new(Scheme::Http, "example.org", path.as_bytes(), query.map(str::as_bytes))
}

#[test]
fn equivalent_urls_share_a_key_and_others_do_not() {
    let same = |one: Key, two: Key| assert_eq!(one, two);
    let differ = |one: Key, two: Key| assert_ne!(one, two);
    same(key("/%7Euser", None), key("/~user", None));
    same(key("/%e4", None), key("/%E4", None));
    same(key("/a", Some("x=%41")), key("/a", Some("x=A")));
    same(key("", None), key("/", None));
    same(Key::new(Scheme::Http, "Example.ORG", b"/", None), key("/", None));
    differ(key("/a%2Fb", None), key("/a/b", None));
    differ(key("/a?b", None), key("/a%3Fb", None));
    differ(key("/a", None), key("/a", Some("")));
    differ(key("/a/../b", None), key("/b", None));
    differ(key("/A", None), key("/a", None));
    differ(key("/a", Some("x=1&y=2")), key("/a", Some("y=2&x=1")));
    differ(Key::new(Scheme::Https, "example.org", b"/", None), key("/", None));
    differ(key("/%%41", None), key("/%A", None));
    for odd in ["/%", "/%4", "/%zz", "/%%41"] {
        differ(key(odd, None), key("/", None));
    }
}

#[test]
fn keys_have_a_url_and_come_back_from_it() {
    let check = |url: &str, expected: Option<&str>| {
        assert_eq!(Key::from_url(url).map(|key| key.url()).as_deref(), expected, "{url}");
    };
    check("http://example.org", Some("http://example.org/"));
    check("https://Example.org:443/a?b#c", Some("https://example.org/a?b"));
    check("http://example.org:8080/a", Some("http://example.org:8080/a"));
    check("http://example.org?q", Some("http://example.org/?q"));
    check("http://example.org/\u{fc} x", Some("http://example.org/%C3%BC%20x"));
    check("ftp://example.org/", None);
    check("/a", None);
    check("http://", None);
    check("http:///a", None);
    let key = Key::new(Scheme::Https, "example.org", b"/a\xffb", Some(b"q=1"));
    assert_eq!(key.url(), "https://example.org/a%FFb?q=1");
    assert_eq!((key.host(), key.path()), ("example.org", &b"/a\xffb"[..]));
    assert_eq!(Key::from_bytes(key.as_bytes()), Some(key));
    for broken in [&b"https://example.org"[..], b"gopher://x/", b"http://X/", b"http://x/%7e", b""]
    {
        assert_eq!(Key::from_bytes(broken), None);
    }
}

#[test]
fn hash_depends_on_key_and_seed() {
    let (one, two) = (HashSeed([1; 16]), HashSeed([2; 16]));
    assert_eq!(key("/a", None).hash128(&one), key("/%61", None).hash128(&one));
    assert_ne!(key("/a", None).hash128(&one), key("/b", None).hash128(&one));
    assert_ne!(key("/a", None).hash128(&one), key("/a", None).hash128(&two));
}
