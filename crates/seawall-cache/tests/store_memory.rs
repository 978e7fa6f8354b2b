//! The memory tier: what is found, what is bounded, what is purged.

mod store_support;

use std::sync::Arc;

use bytes::Bytes;
use seawall_cache::{ContentRange, Lookup, Store, StoreConfig, StoredHead, Wants};

use crate::store_support::{
    MIB, body_of, head, head_for, html, image, key, lookup_with, open, take, text,
};

fn in_memory(bytes: u64) -> Store {
    open(StoreConfig { dir: None, memory_bytes: bytes, disk_bytes: 0, seed: [3, 4] })
}

#[test]
fn what_was_stored_is_found_and_nothing_else() {
    let store = in_memory(MIB);
    store.insert(key("/a"), html(), text(100, 1));
    assert_eq!(body_of(&take(&store, "/a").expect("held")), text(100, 1));
    for path in ["/", "/A", "/a/", "/a?", "/a?x"] {
        assert!(matches!(lookup_with(&store, &key(path), &[]), Lookup::Miss), "{path}");
    }
    assert_eq!(store.stats().entries, 1);
}

#[test]
fn a_newer_response_replaces_the_older() {
    let store = in_memory(MIB);
    for version in 0..100 {
        store.insert(key("/a"), html(), text(5_000, version));
    }
    assert_eq!(body_of(&take(&store, "/a").expect("held")), text(5_000, 99));
    let stats = store.stats();
    assert_eq!((stats.entries, stats.memory_entries), (1, 1));
    assert!(stats.memory_bytes < 10_000, "{stats:?}");
}

#[test]
fn variants_answer_the_requests_that_select_them() {
    let store = in_memory(MIB);
    for (language, salt) in [("de", 1), ("fr", 2)] {
        let head = head_for(&[("accept-language", language)], 200, &[("vary", "Accept-Language")]);
        store.insert(key("/"), head, text(2_000, salt));
    }
    for (language, salt) in [("de", Some(1)), ("fr", Some(2)), ("nl", None)] {
        match (lookup_with(&store, &key("/"), &[("accept-language", language)]), salt) {
            (Lookup::Hit(entry), Some(salt)) => assert_eq!(body_of(&entry), text(2_000, salt)),
            (Lookup::VaryMiss, None) => {}
            (other, _) => panic!("{language}: {other:?}"),
        }
    }
    // A response for everybody is newer than both, so they would never be found again.
    store.insert(key("/"), html(), text(2_000, 3));
    assert_eq!(store.stats().memory_entries, 1);
    assert_eq!(store.remove(&key("/")), 1);
}

#[test]
fn a_part_never_takes_the_place_of_a_whole_response() {
    let store = in_memory(MIB);
    let whole = text(1_000, 1);
    store.insert(key("/"), html(), whole.clone());
    let put = |path: &str, salt: u64| store.insert(key(path), part(0, 99), text(100, salt));
    // It is good for the one who asked, and for nobody else.
    assert_eq!(body_of(&put("/", 2)), text(100, 2));
    assert_eq!(body_of(&take(&store, "/").expect("held")), whole);
    // Nor does one that does not vary drop the variants that do.
    let german = head_for(&[("accept-language", "de")], 200, &[("vary", "Accept-Language")]);
    store.insert(key("/v"), german, whole.clone());
    put("/v", 3);
    match lookup_with(&store, &key("/v"), &[("accept-language", "de")]) {
        Lookup::Hit(entry) => assert_eq!(body_of(&entry), whole),
        other => panic!("{other:?}"),
    }
    // Parts replace parts, and the whole replaces them.
    put("/p", 4);
    put("/p", 5);
    assert_eq!(body_of(&take(&store, "/p").expect("held")), text(100, 5));
    store.insert(key("/p"), html(), whole.clone());
    assert_eq!(body_of(&take(&store, "/p").expect("held")), whole);
    // One that is too large is not kept, and takes nothing along.
    let large = usize::try_from(store.max_entry_bytes()).expect("small") + 1;
    store.insert(key("/"), part(0, large as u64 - 1), text(large, 6));
    assert_eq!(body_of(&take(&store, "/").expect("held")), whole);
}

/// The head of a 206 with these bytes of a long representation.
fn part(start: u64, end: u64) -> StoredHead {
    let range = ContentRange { start, end, complete: 100 * MIB };
    StoredHead { partial: Some(range), ..head_for(&[], 206, &[("etag", "\"v1\"")]) }
}

#[test]
fn variants_of_a_key_are_bounded_and_the_oldest_goes() {
    let store = in_memory(4 * MIB);
    let agent = |n: usize| format!("agent-{n}");
    for n in 0..100 {
        let head = head_for(&[("user-agent", &agent(n))], 200, &[("vary", "User-Agent")]);
        store.insert(key("/"), head, text(100, n as u64));
    }
    assert_eq!(store.stats().memory_entries, 32);
    for (n, is_held) in [(0, false), (67, false), (68, true), (99, true)] {
        let found = lookup_with(&store, &key("/"), &[("user-agent", &agent(n))]);
        assert_eq!(matches!(found, Lookup::Hit(_)), is_held, "{n}");
    }
    assert_eq!(store.remove(&key("/")), 32);
    assert_eq!(store.stats().memory_bytes, 0);
}

#[test]
fn what_is_too_large_is_served_but_not_kept() {
    let store = in_memory(MIB);
    store.insert(key("/a"), html(), text(10, 1));
    let entry = store.insert(key("/a"), html(), text(MIB as usize / 8, 2));
    assert_eq!(body_of(&entry), text(MIB as usize / 8, 2));
    assert!(take(&store, "/a").is_none(), "and the older response is outdated");
    let stats = store.stats();
    assert_eq!((stats.too_large, stats.memory_bytes), (1, 0));
}

#[test]
fn a_flood_of_query_strings_neither_grows_memory_nor_flushes_popular_pages() {
    let store = in_memory(8 * MIB);
    let popular: Vec<String> = (0..50).map(|n| format!("/post/{n}")).collect();
    for path in &popular {
        store.insert(key(path), image(), text(20_000, 0));
        for _ in 0..3 {
            take(&store, path).expect("held");
        }
    }
    let page = text(3_000, 1);
    for n in 0..100_000 {
        store.insert(key(&format!("/?s={n}")), image(), page.clone());
        if n % 100 == 0 {
            take(&store, &popular[n / 100 % popular.len()]);
            assert!(store.stats().memory_bytes <= 8 * MIB);
        }
    }
    let held = popular.iter().filter(|path| take(&store, path).is_some()).count();
    assert_eq!(held, popular.len(), "popular pages were flushed");
    let stats = store.stats();
    assert!(stats.memory_bytes <= 8 * MIB, "{stats:?}");
    assert!(stats.evictions > 95_000 && stats.entries < 5_000, "{stats:?}");
}

#[test]
fn many_purges_leave_nothing_behind() {
    let store = in_memory(MIB);
    for n in 0..10_000 {
        store.insert(key(&format!("/{n}")), image(), text(50, n));
        assert_eq!(store.remove(&key(&format!("/{n}"))), 1);
    }
    let stats = store.stats();
    assert_eq!((stats.entries, stats.memory_bytes, stats.evictions), (0, 0, 0));
}

#[test]
fn a_refresh_keeps_content_and_compressed_forms() {
    let store = in_memory(4 * MIB);
    let old = store.insert(key("/a"), html(), text(50_000, 1));
    take(&store, "/a").expect("held");
    store.settle();
    let bytes = store.stats().memory_bytes;
    let newer = head(&[("content-type", "text/html"), ("etag", "\"v2\"")]);
    // The caller holds the entry of its own lookup, from before the packer was done.
    store.replace_head(&old, newer.clone());
    let entry = take(&store, "/a").expect("held");
    assert_eq!(entry.head, newer);
    let gzip = entry.choose(Some(b"gzip"), Wants::Whole);
    assert_eq!(gzip.etag().expect("kept"), "W/\"v2\"");
    assert_eq!(gzip.encoding.token(), Some("gzip"));
    assert_eq!(store.stats().memory_bytes, bytes, "the books are right");
}

#[test]
fn a_refresh_of_what_was_purged_or_replaced_is_not_stored() {
    let store = in_memory(MIB);
    let entry = store.insert(key("/a"), html(), text(100, 1));
    store.remove(&key("/a"));
    let refreshed = store.replace_head(&entry, html());
    assert_eq!(body_of(&refreshed), text(100, 1));
    assert!(take(&store, "/a").is_none());
    store.insert(key("/a"), html(), text(100, 2));
    store.replace_head(&entry, html());
    assert_eq!(body_of(&take(&store, "/a").expect("held")), text(100, 2));
}

#[test]
fn a_response_fetched_before_a_purge_is_not_stored_after_it() {
    type Purge = (&'static str, fn(&Store));
    let purges: [Purge; 4] = [
        ("remove", |store| assert_eq!(store.remove(&key("/a")), 0)),
        ("url", |store| drop(store.purge_url(&key("/a")))),
        ("tag", |store| drop(store.purge_tag(b"x"))),
        ("all", |store| drop(store.purge_all())),
    ];
    for (name, purge) in purges {
        let store = in_memory(MIB);
        let epoch = store.epoch(&key("/a"));
        purge(&store);
        assert_ne!(epoch.as_u64(), store.epoch(&key("/a")).as_u64(), "{name}");
        let entry = store.insert_since(epoch, key("/a"), html(), text(100, 1));
        assert_eq!(body_of(&entry), text(100, 1), "{name}: those who waited still get it");
        assert!(take(&store, "/a").is_none(), "{name}");
        assert_eq!(store.stats().outdated, 1, "{name}");
        store.insert_since(store.epoch(&key("/a")), key("/a"), html(), text(100, 2));
        assert!(take(&store, "/a").is_some(), "{name}");
    }
}

#[test]
fn tags_purge_their_pages_only() {
    let store = in_memory(MIB);
    for (path, name, tags) in [
        ("/1", "surrogate-key", "post-1 front"),
        ("/2", "xkey", "post-2 front"),
        ("/3", "cache-tag", "post-3, front"),
        ("/4", "x-other", "front"),
    ] {
        store.insert(key(path), head(&[(name, tags)]), text(100, 1));
    }
    assert_eq!(store.purge_tag(b"post-2").expect("no disk"), 1);
    assert_eq!(store.purge_tag(b"front").expect("no disk"), 2);
    assert!(take(&store, "/4").is_some());
    assert_eq!(store.purge_all().expect("no disk"), 1);
}

#[test]
fn identity_for_everybody_stays_within_the_budget() {
    let store = in_memory(8 * MIB);
    for n in 0..40 {
        store.insert(key(&format!("/{n}")), html(), text(100_000, n));
        take(&store, &format!("/{n}"));
        store.settle();
    }
    for n in 0..40 {
        if let Some(entry) = take(&store, &format!("/{n}")) {
            for _ in 0..2 {
                assert_eq!(body_of(&entry), text(100_000, n));
            }
        }
        assert!(store.stats().memory_bytes <= 8 * MIB);
    }
    assert_eq!(store.stats().memory_entries, 40, "decoding did not evict");
}

#[test]
fn a_large_read_buffer_is_not_kept_alive_by_a_slice_of_it() {
    let store = in_memory(MIB);
    let buffer = Bytes::from(vec![b'x'; 100_000]);
    let mut head = html();
    let value = http::HeaderValue::from_maybe_shared(buffer.slice(..10)).expect("letters");
    head.headers.insert("x-slice", value);
    store.insert(key("/a"), head, buffer.slice(..100));
    assert!(buffer.is_unique());
}

#[test]
fn readers_writers_and_purges_at_once_see_whole_pages_only() {
    let store = Arc::new(in_memory(2 * MIB));
    std::thread::scope(|scope| {
        for worker in 0..4u64 {
            let store = Arc::clone(&store);
            scope.spawn(move || {
                for round in 0..2_000u64 {
                    let n = (round * 7 + worker * 13) % 60;
                    let path = format!("/{n}");
                    match (round + worker) % 5 {
                        0 => drop(store.insert(key(&path), html(), text(2_000 + n as usize, n))),
                        1 if round % 50 == 1 => drop(store.remove(&key(&path))),
                        _ => {
                            if let Some(entry) = take(&store, &path) {
                                assert_eq!(body_of(&entry), text(2_000 + n as usize, n));
                            }
                        }
                    }
                }
            });
        }
    });
    store.settle();
    store.purge_all().expect("no disk");
    let stats = store.stats();
    assert_eq!((stats.entries, stats.memory_bytes, stats.worker_panics), (0, 0, 0));
}
