//! A hit touches no heap: lookup, choice of form, prerendered heads.
//!
//! Method: an allocator that counts per thread; after one round that renders the heads, the
//! count must not move, whatever the reader accepts.

mod store_support;

use std::hint::black_box;

use allocation_counter::measure;
use seawall_cache::{Lookup, MapFields, RequestMeta, StoreConfig, Wants};
use seawall_model::{CookieClass, Method};

use crate::store_support::{MIB, fields, head_for, key, lookup_with, open, text};

#[test]
fn a_hit_allocates_nothing() {
    let store =
        open(StoreConfig { dir: None, memory_bytes: 16 * MIB, disk_bytes: 0, seed: [1, 2] });
    let language = [("accept-language", "en")];
    for (path, len) in [("/small", 900), ("/page", 30_000), ("/large", 90_000)] {
        let lines = [("content-type", "text/html"), ("etag", "\"x\""), ("vary", "accept-language")];
        store.insert(key(path), head_for(&language, 200, &lines), text(len, 1));
        lookup_with(&store, &key(path), &language);
    }
    store.settle();
    let keys = ["/small", "/page", "/large"].map(key);
    let accepts: [Option<&[u8]>; 6] = [
        None,
        Some(b""),
        Some(b"gzip"),
        Some(b"gzip, deflate, br, zstd"),
        Some(b"br;q=0.9, gzip;q=0.8, identity;q=0.1, *;q=0"),
        Some(b"zstd"),
    ];
    let map = fields(&language);
    let map = MapFields(&map);
    let request = RequestMeta { method: Method::Get, fields: &map, cookies: CookieClass::None };
    let round = || {
        for key in &keys {
            for accept in accepts {
                let Lookup::Hit(entry) = store.lookup(key, &request) else { panic!("held") };
                let form = entry.choose(accept, Wants::Whole);
                black_box((form.head_http1(), form.headers().len(), form.body.clone()));
            }
        }
    };
    round();
    assert_eq!(measure(round).count_total, 0);
}
