//! Properties over arbitrary bytes: nothing panics, nothing grows, damage never widens reuse.
//!
//! A failure prints the seed of its case.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use seawall_cache::cache_control::{RequestDirectives, ResponseDirectives, each_directive};
use seawall_cache::{
    ContentRange, Key, MapFields, RangePlan, RequestMeta, Reuse, Scheme, SitePolicy, StoredHead,
    classify_cookies, parse_http_date, precondition, ranges, reuse, storable, vary_matches,
};
use seawall_model::Method;

use crate::support::at;

/// Lines made of what matters to the parsers, so that cases are often almost right.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "no-store",
        "private",
        "max-age",
        "s-maxage",
        "no-cache",
        "public",
        "=",
        ",",
        ";",
        "\"",
        "\\",
        " ",
        "\t",
        "0",
        "3600",
        "99999999999999999999",
        "-1",
        "a",
        "A",
        "*",
        "?1",
        "?0",
        "(",
        ")",
        "W/",
        "bytes",
        "-",
        "/",
        "GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "\u{fc}",
        "%41",
    ]);
    prop::collection::vec(word, 0..12).prop_map(|words| words.concat().into_bytes())
}

fn fields() -> impl Strategy<Value = HeaderMap> {
    let name = prop::sample::select(vec![
        "cache-control",
        "cdn-cache-control",
        "pragma",
        "expires",
        "date",
        "age",
        "vary",
        "etag",
        "last-modified",
        "connection",
        "range",
        "if-range",
        "if-none-match",
        "if-modified-since",
        "content-range",
        "content-length",
        "content-encoding",
        "cookie",
        "authorization",
        "foo",
    ]);
    prop::collection::vec((name, line()), 0..8).prop_map(|lines| {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                map.append(HeaderName::from_static(name), value);
            }
        }
        map
    })
}

proptest! {
    #[test]
    fn parsers_are_total_and_linear(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let mut members = 0;
        each_directive(&bytes, &mut |_| members += 1);
        prop_assert!(members <= bytes.len());
        let _ = parse_http_date(&bytes, at(0));
        let _ = ContentRange::parse(&bytes);
        let _ = StoredHead::decode(&bytes);
        let _ = Key::from_bytes(&bytes);
        let path: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'?').collect();
        let path = [b"/", &path[..]].concat();
        let key = Key::new(Scheme::Http, "example.org", &path, Some(&bytes));
        prop_assert_eq!(Key::from_bytes(key.as_bytes()), Some(key.clone()));
        let _ = key.same_origin(&bytes);
    }

    #[test]
    fn normalising_a_key_twice_changes_nothing(text in "[a-zA-Z0-9%./~-]{0,40}") {
        let once = Key::new(Scheme::Http, "example.org", format!("/{text}").as_bytes(), None);
        let twice = Key::new(Scheme::Http, "example.org", once.path(), None);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn whole_exchanges_never_panic_and_agree_with_themselves(
        request in fields(),
        response in fields(),
        status in 200u16..600,
        after_s in -10i64..100_000,
    ) {
        let policy = SitePolicy::default();
        let view = MapFields(&request);
        let cookies = classify_cookies(&policy, &view);
        let meta = RequestMeta { method: Method::Get, fields: &view, cookies };
        let _ = RequestDirectives::from_request(&view);
        let (directives, _) = ResponseDirectives::from_response(&response);
        let Ok(head) = storable(&policy, &meta, status, &response, at(0), at(0)) else {
            return Ok(());
        };
        prop_assert!(!directives.no_store || directives.must_understand);
        prop_assert!(!directives.private.is_whole());
        // The request that filled it selects it.
        prop_assert!(vary_matches(&head, &meta));
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        prop_assert!(StoredHead::decode(&bytes).is_some_and(|decoded| decoded == head));
        match reuse(&head, &meta, at(after_s)) {
            Reuse::Fresh { .. } | Reuse::StaleWhileRevalidate { .. } => {
                prop_assert!(!directives.no_cache.is_whole());
            }
            _ => {}
        }
        let _ = precondition(&head, &meta);
        let bounded = match ranges(&meta, &head, 100) {
            RangePlan::One(range) => range.start <= range.end,
            RangePlan::Many(parts) => parts.len() <= 8,
            _ => true,
        };
        prop_assert!(bounded);
    }

    #[test]
    fn more_directives_never_make_a_response_fresher(text in line()) {
        let read = |value: &[u8]| {
            let mut map = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(value) {
                map.append("cache-control", value);
            }
            ResponseDirectives::from_response(&map).0
        };
        // What is written before a well-formed list cannot switch its prohibitions off.
        let list = [&b"no-store, private, "[..], &text].concat();
        let directives = read(&list);
        prop_assert!(HeaderValue::from_bytes(&text).is_err()
            || (directives.no_store && directives.private.is_whole()));
    }
}
