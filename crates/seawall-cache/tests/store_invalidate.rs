//! What a success of an unsafe method does to what is stored (RFC 9111 §4.4), and how little a flood
//! of them can do.

mod store_support;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use seawall_cache::{
    Entry, Freshness, Lookup, MapFields, RequestMeta, Reuse, StaleRule, Store, StoreConfig,
    StoredHead, may_serve_stale_on_error, reuse,
};
use seawall_model::{CookieClass, Method, WallTime};

use self::store_support::{
    BrokenFiles, Folder, MIB, Op, body_of, html, key, lookup_with, open, take, text,
};

const START: WallTime = WallTime::from_unix_secs(1_700_000_000);

fn at_ms(ms: u64) -> WallTime {
    START + Duration::from_millis(ms)
}

/// A page that was asked for at `ms`, came at once, and lives for a minute.
fn page(ms: u64) -> StoredHead {
    let freshness = Freshness { stale_if_error_s: 3_600, ..html().freshness };
    StoredHead { request_time: at_ms(ms), response_time: at_ms(ms), freshness, ..html() }
}

fn in_memory() -> Store {
    open(StoreConfig { dir: None, memory_bytes: MIB, disk_bytes: 0, seed: [1, 2] })
}

fn judged(head: &StoredHead, ms: u64, client: &[(&str, &str)]) -> Reuse {
    let fields: HeaderMap = client
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")))
        .collect::<Vec<(http::HeaderName, http::HeaderValue)>>()
        .into_iter()
        .collect();
    let fields = MapFields(&fields);
    let meta = RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
    reuse(head, &meta, at_ms(ms))
}

fn is_fresh(entry: &Arc<Entry>, ms: u64) -> bool {
    matches!(judged(&entry.head, ms, &[]), Reuse::Fresh { .. })
}

#[test]
fn what_is_invalid_is_validated_before_it_is_used_and_stands_in_for_an_error() {
    let store = in_memory();
    store.insert(key("/"), page(0), text(100, 1));
    assert_eq!(store.invalidate(&key("/"), at_ms(10)), 1);
    assert_eq!(store.stats().invalidated, 1);
    let entry = take(&store, "/").expect("it is kept");
    assert!(!is_fresh(&entry, 11));
    let patient = [("cache-control", "max-stale")];
    for client in [&[][..], &patient] {
        let Reuse::Validate { stale_if_error: true, .. } = judged(&entry.head, 11, client) else {
            panic!("{client:?}: {:?}", judged(&entry.head, 11, client));
        };
    }
    let strict = Freshness { stale: StaleRule::Forbidden, ..entry.head.freshness };
    let strict = StoredHead { freshness: strict, ..entry.head.clone() };
    let fields = HeaderMap::new();
    let fields = MapFields(&fields);
    let meta = RequestMeta { method: Method::Get, fields: &fields, cookies: CookieClass::None };
    assert!(may_serve_stale_on_error(&entry.head, &meta, at_ms(11)));
    assert!(!may_serve_stale_on_error(&strict, &meta, at_ms(11)), "must-revalidate");
}

#[test]
fn even_stale_while_revalidate_does_not_apply_to_what_is_invalid() {
    let store = in_memory();
    let freshness = Freshness { stale_while_revalidate_s: 600, ..html().freshness };
    store.insert(key("/"), StoredHead { freshness, ..page(0) }, text(100, 1));
    store.invalidate(&key("/"), at_ms(10));
    let entry = take(&store, "/").expect("it is kept");
    for ms in [11, 100_000] {
        assert!(matches!(judged(&entry.head, ms, &[]), Reuse::Validate { .. }), "{ms}");
    }
}

#[test]
fn all_variants_are_marked_and_other_keys_are_not() {
    let store = in_memory();
    for language in ["de", "en"] {
        let head = store_support::head_for(
            &[("accept-language", language)],
            200,
            &[("vary", "accept-language")],
        );
        store.insert(key("/"), head, text(100, 1));
    }
    store.insert(key("/other"), page(0), text(100, 1));
    assert_eq!(store.invalidate(&key("/"), at_ms(5_000)), 2);
    for language in ["de", "en"] {
        let found = lookup_with(&store, &key("/"), &[("accept-language", language)]);
        let Lookup::Hit(entry) = found else { panic!("{language}: {found:?}") };
        assert!(entry.head.is_invalid(at_ms(5_000)));
    }
    assert!(is_fresh(&take(&store, "/other").expect("held"), 5_000));
}

#[test]
fn what_was_fetched_meanwhile_is_stored_as_invalid_and_what_was_fetched_later_is_valid() {
    let store = in_memory();
    let epoch = store.epoch(&key("/"));
    assert_eq!(store.invalidate(&key("/"), at_ms(10)), 0, "nothing is held yet");
    assert_ne!(store.epoch(&key("/")).as_u64(), epoch.as_u64(), "nobody shares that fetch");
    store.insert_since(epoch, key("/"), page(5), text(100, 1));
    assert!(!is_fresh(&take(&store, "/").expect("it is kept"), 20));
    store.insert_since(epoch, key("/"), page(11), text(100, 2));
    assert!(is_fresh(&take(&store, "/").expect("held"), 20));
    // The same for a validation.
    let entry = take(&store, "/").expect("held");
    store.invalidate(&key("/"), at_ms(5_000));
    store.replace_head(&entry, page(4_999));
    assert!(!is_fresh(&take(&store, "/").expect("held"), 7_000));
    store.replace_head(&entry, page(7_001));
    assert!(is_fresh(&take(&store, "/").expect("held"), 7_001));
}

#[test]
fn a_flood_of_unsafe_requests_has_a_page_fetched_once_a_second_at_most() {
    let store = in_memory();
    store.insert(key("/"), page(0), text(100, 0));
    let mut fetches = 0;
    let mut hints = std::collections::HashSet::new();
    let mut under_way: Option<(u64, seawall_cache::Epoch)> = None;
    for ms in 1..10_000u64 {
        store.invalidate(&key("/"), at_ms(ms));
        hints.insert(store.epoch(&key("/")).as_u64());
        // A reader each millisecond; a fetch takes 20 ms.
        if let Some((since, epoch)) = under_way.take_if(|(since, _)| *since + 20 == ms) {
            store.insert_since(epoch, key("/"), page(since), text(100, since));
        }
        let entry = take(&store, "/").expect("it is always held");
        if !is_fresh(&entry, ms) && under_way.is_none() {
            fetches += 1;
            under_way = Some((ms, store.epoch(&key("/"))));
        }
    }
    assert!((8..=11).contains(&fetches), "{fetches}");
    assert!(hints.len() <= 11, "readers share fetches: {}", hints.len());
}

#[test]
fn a_clock_that_was_ahead_does_not_keep_a_page_valid() {
    let store = in_memory();
    store.invalidate(&key("/"), at_ms(3_600_000));
    store.insert(key("/"), page(0), text(100, 1));
    store.invalidate(&key("/"), at_ms(10));
    assert!(!is_fresh(&take(&store, "/").expect("held"), 11));
}

#[test]
fn a_page_on_disk_is_marked_too_and_stays_so_after_a_crash() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), page(0), text(5_000, 1));
    store.settle();
    store.shutdown();
    drop(store);
    let store = open(folder.config());
    assert_eq!(store.stats().memory_entries, 0, "on disk only");
    assert_eq!(store.invalidate(&key("/a"), at_ms(10)), 1);
    assert!(!is_fresh(&take(&store, "/a").expect("it is kept"), 11));
    store.settle();
    let crashed = folder.copy();
    let entry = take(&open(crashed.config()), "/a").expect("it was written anew");
    assert_eq!(body_of(&entry), text(5_000, 1));
    assert!(!is_fresh(&entry, 11));
}

#[test]
fn a_crash_before_the_mark_is_written_does_not_make_the_page_valid_again() {
    let folder = Folder::new();
    let files = BrokenFiles::default();
    let (store, _) = Store::open_with(folder.config(), Box::new(files.clone())).expect("ours");
    store.insert(key("/a"), page(0), text(5_000, 1));
    store.settle();
    files.fail(Op::Write);
    assert_eq!(store.invalidate(&key("/a"), at_ms(10)), 1);
    let crashed = folder.copy();
    assert!(take(&open(crashed.config()), "/a").is_none());
    assert!(take(&store, "/a").is_some(), "memory has it still");
}
