//! Deciding a hit touches no heap: cookies, selecting fields, freshness, conditions, ranges.
//!
//! Method: an allocator that counts per thread; the requests are those of browsers, feed
//! readers and a client that sends everything at once.

use std::hint::black_box;

use allocation_counter::measure;
use http::HeaderMap;
use seawall_cache::{
    RequestMeta, SitePolicy, StoredHead, classify_cookies, may_serve_stale_on_error, precondition,
    ranges, reuse, storable, vary_matches,
};
use seawall_model::{CookieClass, Fields, Method, WallTime};

/// Field lines as a connection's buffer holds them.
struct Lines(&'static [(&'static str, &'static str)]);

impl Fields for Lines {
    fn each(&self, name: &str, visit: &mut dyn FnMut(&[u8])) {
        for (_, value) in self.0.iter().filter(|(line, _)| line.eq_ignore_ascii_case(name)) {
            visit(value.as_bytes());
        }
    }

    fn first(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|(line, _)| line.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_bytes())
    }
}

const BROWSER: Lines = Lines(&[
    ("Host", "example.org"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Connection", "keep-alive"),
    ("Cookie", "_ga=GA1.2.123.456; cookie_consent=yes"),
    ("Upgrade-Insecure-Requests", "1"),
]);

const RELOAD: Lines = Lines(&[
    ("Host", "example.org"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Cache-Control", "max-age=0"),
    ("If-None-Match", "\"x\", W/\"a\""),
    ("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
]);

const PART: Lines = Lines(&[
    ("Host", "example.org"),
    ("Accept-Language", "de"),
    ("Cookie", "a=b; PHPSESSID=1; novalue"),
    ("Authorization", "Basic Zm9v"),
    ("If-Range", "\"a\""),
    ("Pragma", "no-cache"),
]);

fn page() -> StoredHead {
    let mut headers = HeaderMap::new();
    headers.insert("vary", "Accept-Encoding, Accept-Language".parse().expect("a value"));
    headers.insert("etag", "\"a\"".parse().expect("a value"));
    let fields = &BROWSER;
    let request = RequestMeta { method: Method::Get, fields, cookies: CookieClass::None };
    let now = WallTime::from_unix_secs(1_767_225_600);
    storable(&SitePolicy::default(), &request, 200, &headers, now, now).expect("storable")
}

#[test]
fn deciding_a_hit_allocates_nothing() {
    let (policy, head) = (SitePolicy::default(), page());
    let now = WallTime::from_unix_secs(1_767_225_605);
    let allocated = measure(|| {
        for fields in [&BROWSER, &RELOAD, &PART] {
            let cookies = classify_cookies(&policy, fields);
            let request = RequestMeta { method: Method::Get, fields, cookies };
            black_box(vary_matches(&head, &request));
            black_box(reuse(&head, &request, now));
            black_box(may_serve_stale_on_error(&head, &request, now));
            black_box(precondition(&head, &request));
            black_box(ranges(&request, &head, 1000));
        }
    });
    assert_eq!(allocated.count_total, 0);
}
