//! A hit touches no heap: lookup, choice of form, prerendered heads.
//!
//! Method: a global allocator that counts per thread; after one round that renders the heads, the
//! count must not move, whatever the reader accepts.
#![allow(unsafe_code)] // `GlobalAlloc` is an unsafe trait; this is a test, nothing of it ships.

mod store_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use seawall_cache::{Lookup, MapFields, RequestMeta, StoreConfig, Wants};
use seawall_model::{CookieClass, Method};

use crate::store_support::{MIB, fields, head_for, key, lookup_with, open, text};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator unchanged; counting touches a thread-local
// `Cell` that needs neither allocation nor destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System.alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, by `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

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
    let before = ALLOCATIONS.get();
    round();
    assert_eq!(ALLOCATIONS.get() - before, 0);
}
