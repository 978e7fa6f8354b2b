//! Repeats what a hit costs the cache, for `cargo xtask bench --instructions` to count.
//!
//! `count_cache CASE TIMES`, where CASE is `hit` (lookup, reuse, choice of form) or
//! `cache-control`.

use std::env;
use std::hint::black_box;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use seawall_cache::cache_control::ResponseDirectives;
use seawall_cache::{
    FilledUnder, Freshness, Invalidation, Key, Lookup, MapFields, RequestMeta, Reuse, Scheme,
    StaleRule, Store, StoreConfig, StoredHead, VaryKey, Wants, reuse,
};
use seawall_model::{CookieClass, Method, WallTime};

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    match case.as_str() {
        "hit" => hit(times),
        "cache-control" => cache_control(times),
        other => panic!("there is no case `{other}`"),
    }
}

fn hit(times: u32) {
    let config = StoreConfig { dir: None, memory_bytes: 16 << 20, disk_bytes: 0, seed: [1, 2] };
    let (store, _) = Store::open(config).expect("memory only");
    let request = fields(&[("accept-encoding", "gzip, deflate, br, zstd")]);
    let request = MapFields(&request);
    let meta = RequestMeta { method: Method::Get, fields: &request, cookies: CookieClass::None };
    let path = b"/2024/05/a-day-at-the-harbour/";
    let key = Key::new(Scheme::Https, "www.example.org", path, None);
    store.insert(key.clone(), stored(&meta), Bytes::from(vec![b'a'; 900]));
    // What is done to a new entry in the background is not part of a hit.
    store.settle();
    let now = WallTime::from_unix_secs(1_700_000_010);
    for _ in 0..times {
        let Lookup::Hit(entry) = store.lookup(black_box(&key), &meta) else { panic!("held") };
        assert!(matches!(reuse(&entry.head, &meta, now), Reuse::Fresh { .. }));
        let form = entry.choose(Some(b"gzip, deflate, br, zstd"), Wants::Whole);
        black_box((form.head_http1(), form.body.clone()));
    }
}

fn cache_control(times: u32) {
    let headers = fields(&[
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "public, max-age=300, s-maxage=600, stale-while-revalidate=60"),
    ]);
    for _ in 0..times {
        black_box(ResponseDirectives::from_response(black_box(&headers)));
    }
}

fn stored(request: &RequestMeta<'_>) -> StoredHead {
    let headers = fields(&[
        ("content-type", "text/html; charset=utf-8"),
        ("etag", "\"v1\""),
        ("vary", "accept-encoding"),
    ]);
    let vary = VaryKey::new(request, &headers).expect("a response that can be stored");
    StoredHead {
        status: 200,
        headers,
        request_time: WallTime::from_unix_secs(1_700_000_000),
        response_time: WallTime::from_unix_secs(1_700_000_001),
        vary,
        freshness: Freshness {
            lifetime_s: 60,
            initial_age_s: 0,
            stale_while_revalidate_s: 0,
            stale_if_error_s: 0,
            stale: StaleRule::Allowed,
            no_cache: false,
            immutable: false,
        },
        filled_under: FilledUnder::Explicit,
        partial: None,
        invalidation: Invalidation::Never,
    }
}

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        map.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    map
}
