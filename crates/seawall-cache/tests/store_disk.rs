//! The disk tier through real folders: restarts, damage, crashes, full disks.

mod store_support;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use seawall_cache::{Lookup, OpenReport, Store, StoreConfig, StoreError, Wants};

use crate::store_support::{
    BrokenFiles, Folder, MIB, Op, body_of, head, head_for, html, image, key, lookup_with, open,
    take, text,
};

fn reopened(folder: &Folder) -> (Store, OpenReport) {
    // Another seed, as another process would have.
    Store::open(StoreConfig { seed: [77, 99], ..folder.config() }).expect("the folder is ours")
}

#[test]
fn entries_survive_a_restart() {
    let folder = Folder::new();
    let store = open(folder.config());
    for n in 0..20 {
        store.insert(key(&format!("/{n}")), html(), text(5_000 + n, n as u64));
    }
    store.shutdown();
    assert_eq!(store.stats().disk_entries, 20);
    drop(store);
    let (store, report) = reopened(&folder);
    assert_eq!((report.entries, report.damaged, report.leftovers), (20, 0, 0));
    for n in 0..20 {
        let path = format!("/{n}");
        assert!(matches!(lookup_with(&store, &key(&path), &[]), Lookup::OnDisk(_)));
        let entry = take(&store, &path).expect("survived");
        assert_eq!(body_of(&entry), text(5_000 + n, n as u64));
        assert_eq!(entry.head, html());
        assert!(matches!(lookup_with(&store, &key(&path), &[]), Lookup::Hit(_)), "promoted");
    }
    assert!(matches!(lookup_with(&store, &key("/20"), &[]), Lookup::Miss));
}

#[test]
fn compressed_forms_survive_a_restart() {
    let folder = Folder::new();
    let store = open(folder.config());
    for (path, len) in [("/small", 20_000), ("/large", 200_000)] {
        store.insert(key(path), html(), text(len, 1));
        take(&store, path).expect("just stored");
    }
    store.settle();
    assert_eq!(store.stats().packed, 2);
    drop(store);
    let (store, _) = reopened(&folder);
    assert!(store.stats().disk_bytes < 150_000, "the identity forms are not on disk");
    for (path, len) in [("/small", 20_000), ("/large", 200_000)] {
        let entry = take(&store, path).expect("survived");
        for accept in [None, Some(&b"gzip"[..]), Some(b"br")] {
            let form = entry.choose(accept, Wants::Whole);
            assert_eq!(form.encoding.token().map(str::as_bytes), accept);
            assert_eq!(body_of(&entry), text(len, 1));
        }
    }
}

#[test]
fn a_restart_after_a_crash_finds_what_was_written() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), image(), text(5_000, 1));
    store.settle();
    let crashed = folder.copy();
    let (store, report) = reopened(&crashed);
    assert_eq!(report.entries, 1);
    assert_eq!(body_of(&take(&store, "/a").expect("written")), text(5_000, 1));
}

#[test]
fn the_newest_version_wins_after_a_restart() {
    let folder = Folder::new();
    let store = open(folder.config());
    for version in 0..5 {
        store.insert(key("/a"), image(), text(3_000, version));
        store.settle();
    }
    assert_eq!((store.stats().disk_entries, folder.live_files().len()), (1, 1));
    drop(store);
    let (store, _) = reopened(&folder);
    store.insert(key("/b"), image(), text(10, 0));
    assert_eq!(body_of(&take(&store, "/a").expect("held")), text(3_000, 4));
}

#[test]
fn variants_survive_a_restart_and_answer_their_own_requests() {
    let folder = Folder::new();
    let store = open(folder.config());
    for (language, salt) in [("de", 1), ("fr", 2)] {
        let head = head_for(&[("accept-language", language)], 200, &[("vary", "Accept-Language")]);
        store.insert(key("/"), head, text(2_000, salt));
    }
    store.shutdown();
    drop(store);
    let (store, report) = reopened(&folder);
    assert_eq!(report.entries, 2);
    for (language, salt) in [("de", 1), ("fr", 2)] {
        let Lookup::OnDisk(found) =
            lookup_with(&store, &key("/"), &[("accept-language", language)])
        else {
            panic!("{language} is held")
        };
        let entry = store.load(found).expect("sound");
        assert_eq!(body_of(&entry), text(2_000, salt));
    }
    let other = lookup_with(&store, &key("/"), &[("accept-language", "nl")]);
    assert!(matches!(other, Lookup::VaryMiss));
}

/// Damages the one file of a fresh folder and asks for it after a restart. The file's folder must
/// be clean in the end and the entry a miss.
fn check_damage(name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), image(), text(20_000, 1));
    store.shutdown();
    drop(store);
    let files = folder.live_files();
    let mut bytes = fs::read(&files[0]).expect("one file");
    damage(&mut bytes);
    fs::write(&files[0], &bytes).expect("writable");
    let (store, report) = reopened(&folder);
    assert!(take(&store, "/a").is_none(), "{name}: served a damaged entry");
    assert_eq!(store.stats().damaged, 1, "{name}: {report:?}");
    assert_eq!(folder.live_files().len(), 0, "{name}: the file was left");
    let stats = store.stats();
    assert_eq!((stats.disk_entries, stats.disk_bytes, stats.entries), (0, 0, 0), "{name}");
}

#[test]
fn a_damaged_file_is_a_miss_counted_and_deleted() {
    check_damage("empty", Vec::clear);
    check_damage("cut in the prefix", |bytes| bytes.truncate(20));
    check_damage("cut in the header", |bytes| bytes.truncate(80));
    check_damage("cut in the body", |bytes| bytes.truncate(10_000));
    check_damage("one byte short", |bytes| bytes.truncate(bytes.len() - 1));
    check_damage("one byte more", |bytes| bytes.push(0));
    check_damage("another magic", |bytes| bytes[0] ^= 1);
    check_damage("another version", |bytes| bytes[8] += 1);
    check_damage("a huge header", |bytes| bytes[15] = 0xff);
    check_damage("foreign", |bytes| {
        *bytes = b"#!/bin/sh\necho hello, this is not an entry\n".into();
    });
}

#[test]
fn every_flipped_bit_is_found() {
    // Prefix and fixed part of the header byte by byte, then samples of key, head and body.
    for at in (0..101).chain((101..400).step_by(23)).chain([5_000, 19_999]) {
        check_damage(&format!("bit of byte {at}"), |bytes| bytes[at] ^= 1 << (at % 8));
    }
}

#[test]
fn damage_while_running_is_a_miss() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), image(), text(20_000, 1));
    store.shutdown();
    drop(store);
    let (store, _) = reopened(&folder);
    let Lookup::OnDisk(found) = lookup_with(&store, &key("/a"), &[]) else { panic!("held") };
    fs::write(&folder.live_files()[0], b"").expect("writable");
    assert!(store.load(found.clone()).is_none());
    assert_eq!(store.stats().damaged, 1);
    assert!(store.load(found).is_none());
    assert_eq!(store.stats().damaged, 1, "counted once");
    assert!(matches!(lookup_with(&store, &key("/a"), &[]), Lookup::Miss));
}

#[test]
fn a_vanished_file_is_a_miss_and_no_damage() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), image(), text(20_000, 1));
    store.shutdown();
    drop(store);
    let (store, _) = reopened(&folder);
    fs::remove_file(&folder.live_files()[0]).expect("one file");
    assert!(take(&store, "/a").is_none());
    let stats = store.stats();
    assert_eq!((stats.damaged, stats.disk_entries, stats.disk_bytes), (0, 0, 0));
}

#[test]
fn leftovers_of_a_crash_are_cleared() {
    let folder = Folder::new();
    drop(open(folder.config()));
    fs::write(folder.0.join("live/01/41.new"), b"half").expect("writable");
    fs::write(folder.0.join("live/02/notes.txt"), b"foreign").expect("writable");
    fs::create_dir_all(folder.0.join("dead-7/live")).expect("writable");
    let (store, report) = reopened(&folder);
    assert_eq!((report.leftovers, report.damaged), (1, 1));
    store.settle();
    assert_eq!(folder.live_files().len(), 0);
    assert!(!folder.0.join("dead-7").exists());
}

#[test]
fn a_smaller_budget_keeps_the_newest() {
    let folder = Folder::new();
    let store = open(folder.config());
    for n in 0..20 {
        store.insert(key(&format!("/{n}")), image(), text(100_000, n));
        store.settle();
    }
    drop(store);
    let config = StoreConfig { disk_bytes: MIB, ..folder.config() };
    let (store, report) = Store::open(config).expect("the folder is ours");
    assert_eq!((report.entries, report.surplus), (10, 10));
    assert!(take(&store, "/19").is_some());
    assert!(take(&store, "/9").is_none());
}

#[test]
fn a_second_process_is_told_that_the_folder_is_taken() {
    let folder = Folder::new();
    let first = open(folder.config());
    let second = Store::open(folder.config());
    let Err(error @ StoreError::Locked { .. }) = second else { panic!("two on one folder") };
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(first);
    drop(open(folder.config()));
}

#[test]
fn an_unusable_folder_is_an_error_and_no_panic() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, b"").expect("writable");
    let config = StoreConfig { dir: Some(file), ..folder.config() };
    assert!(matches!(Store::open(config), Err(StoreError::Io { .. })));
}

/// A way to purge `/a`, with its name.
type Purge = (&'static str, fn(&Store) -> usize);

/// How long a test waits for what must come, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

const PURGES: [Purge; 4] = [
    ("url", |store| store.purge_url(&key("/a")).expect("the disk works")),
    ("tag", |store| store.purge_tag(b"tagged").expect("the disk works")),
    ("all", |store| store.purge_all().expect("the disk works")),
    ("remove", |store| store.remove(&key("/a"))),
];

fn tagged() -> seawall_cache::StoredHead {
    head(&[("content-type", "image/jpeg"), ("surrogate-key", "front tagged")])
}

/// A store on a disk that fails on demand.
fn breakable(folder: &Folder) -> (Store, BrokenFiles) {
    let files = BrokenFiles::default();
    let (store, _) = Store::open_with(folder.config(), Box::new(files.clone())).expect("ours");
    (store, files)
}

fn assert_gone(folder: &Folder, why: &str) {
    let crashed = folder.copy();
    let (store, report) = reopened(&crashed);
    assert_eq!(report.entries, 0, "{why}: found after a crash");
    assert!(take(&store, "/a").is_none(), "{why}: resurrected");
}

#[test]
fn a_purge_then_a_crash_never_resurrects() {
    for (name, purge) in PURGES {
        let folder = Folder::new();
        let store = open(folder.config());
        store.insert(key("/a"), tagged(), text(5_000, 1));
        store.settle();
        assert_eq!(purge(&store), 1, "{name}");
        assert_gone(&folder, name);
        assert!(take(&store, "/a").is_none(), "{name}");
        store.settle();
        let stats = store.stats();
        assert_eq!((stats.disk_entries, stats.disk_bytes, stats.purged), (0, 0, 1), "{name}");
        assert_eq!(stats.memory_bytes, 0, "{name}");
    }
}

#[test]
fn a_purge_cancels_a_write_that_has_begun() {
    for (name, purge) in PURGES {
        for op in [Op::Write, Op::Rename] {
            let folder = Folder::new();
            let (store, files) = breakable(&folder);
            store.settle();
            let (begun, go) = files.halt_next(op);
            store.insert(key("/a"), tagged(), text(5_000, 1));
            begun.recv_timeout(PATIENCE).expect("the writer gets there");
            std::thread::scope(|scope| {
                let purging = scope.spawn(|| purge(&store));
                if op == Op::Write {
                    // The purge needs nothing from the writer: it returns while the write hangs.
                    assert_eq!(purging.join().expect("no panic"), 1, "{name}");
                    assert_gone(&folder, name);
                    go.send(()).expect("the writer waits");
                } else {
                    // The rename holds the gate, so the purge comes after it.
                    go.send(()).expect("the writer waits");
                    assert_eq!(purging.join().expect("no panic"), 1, "{name}");
                    assert_gone(&folder, name);
                }
            });
            store.settle();
            assert_gone(&folder, name);
            assert_eq!(folder.live_files().len(), 0, "{name} {op:?}: a file was left");
            let stats = store.stats();
            assert_eq!((stats.disk_entries, stats.disk_bytes), (0, 0), "{name} {op:?}");
        }
    }
}

#[test]
fn a_purge_of_everything_survives_a_disk_that_cannot_rename() {
    let folder = Folder::new();
    let (store, files) = breakable(&folder);
    for n in 0..5 {
        store.insert(key(&format!("/{n}")), image(), text(5_000, n));
    }
    store.settle();
    files.fail(Op::Rename);
    assert_eq!(store.purge_all().expect("unlinked one by one"), 5);
    assert_gone(&folder, "all");
}

#[test]
fn a_purge_that_the_disk_does_not_confirm_is_an_error() {
    for op in [Op::Remove, Op::Sync] {
        let folder = Folder::new();
        let (store, files) = breakable(&folder);
        store.insert(key("/a"), tagged(), text(5_000, 1));
        store.settle();
        files.fail(op);
        assert!(store.purge_url(&key("/a")).is_err(), "{op:?}");
        assert!(take(&store, "/a").is_none(), "{op:?}: gone from this process nevertheless");
    }
}

#[test]
fn what_was_purged_can_be_stored_again() {
    for (name, purge) in PURGES {
        let folder = Folder::new();
        let store = open(folder.config());
        store.insert(key("/a"), tagged(), text(5_000, 1));
        purge(&store);
        store.insert(key("/a"), tagged(), text(5_000, 2));
        store.shutdown();
        drop(store);
        let (store, _) = reopened(&folder);
        assert_eq!(body_of(&take(&store, "/a").expect(name)), text(5_000, 2), "{name}");
    }
}

#[test]
fn a_tag_purges_what_lies_on_disk_from_before() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), tagged(), text(5_000, 1));
    store.insert(key("/b"), image(), text(5_000, 2));
    store.shutdown();
    drop(store);
    let (store, _) = reopened(&folder);
    assert_eq!(store.purge_tag(b"tagged").expect("the disk works"), 1);
    assert!(take(&store, "/a").is_none());
    assert!(take(&store, "/b").is_some());
}

#[test]
fn a_load_overtaken_by_a_purge_or_a_newer_response_is_a_miss() {
    let newer: Purge = ("newer", |store| {
        store.insert(key("/a"), image(), text(5_000, 2));
        1
    });
    for (name, overtake) in PURGES.into_iter().chain([newer]) {
        let folder = Folder::new();
        let store = open(folder.config());
        store.insert(key("/a"), tagged(), text(5_000, 1));
        store.shutdown();
        drop(store);
        let (store, files) = breakable(&folder);
        let Lookup::OnDisk(found) = lookup_with(&store, &key("/a"), &[]) else { panic!("held") };
        let (begun, go) = files.halt_next(Op::Read);
        std::thread::scope(|scope| {
            let loading = scope.spawn(|| store.load(found));
            begun.recv_timeout(PATIENCE).expect("the load reads");
            assert_eq!(overtake(&store), 1, "{name}");
            go.send(()).expect("the load waits");
            assert!(loading.join().expect("no panic").is_none(), "{name}");
        });
        let left = take(&store, "/a").map(|entry| body_of(&entry));
        assert_eq!(left, (name == "newer").then(|| text(5_000, 2)), "{name}");
    }
}

#[test]
fn a_full_disk_never_fails_a_reader() {
    for op in [Op::Write, Op::Rename] {
        let folder = Folder::new();
        let (store, files) = breakable(&folder);
        files.fail(op);
        for n in 0..10 {
            store.insert(key(&format!("/{n}")), image(), text(5_000, n));
        }
        store.settle();
        let stats = store.stats();
        assert_eq!((stats.write_failures, stats.disk_entries, stats.disk_bytes), (10, 0, 0));
        assert_eq!(folder.live_files().len(), 0, "{op:?}: half a file was left");
        for n in 0..10 {
            assert_eq!(
                body_of(&take(&store, &format!("/{n}")).expect("in memory")),
                text(5_000, n)
            );
        }
        files.heal();
        store.insert(key("/a"), image(), text(5_000, 1));
        store.settle();
        assert_eq!(store.stats().disk_entries, 1, "{op:?}: it recovers by itself");
    }
}

#[test]
fn a_replaced_page_is_not_served_from_an_older_file_when_the_disk_is_full() {
    let folder = Folder::new();
    let (store, files) = breakable(&folder);
    store.insert(key("/a"), image(), text(5_000, 1));
    store.settle();
    files.fail(Op::Write);
    store.insert(key("/a"), image(), text(5_000, 2));
    store.settle();
    assert_eq!(body_of(&take(&store, "/a").expect("in memory")), text(5_000, 2));
    assert_gone(&folder, "the outdated file");
}

#[test]
fn an_unreadable_file_is_a_miss() {
    let folder = Folder::new();
    let store = open(folder.config());
    store.insert(key("/a"), image(), text(5_000, 1));
    store.shutdown();
    drop(store);
    let (store, files) = breakable(&folder);
    files.fail(Op::Read);
    assert!(take(&store, "/a").is_none());
    assert_eq!(store.stats().read_failures, 1);
}

#[test]
fn the_disk_stays_within_its_bytes_and_spares_what_is_popular() {
    let folder = Folder::new();
    let config = StoreConfig { disk_bytes: 2 * MIB, ..folder.config() };
    let store = open(config.clone());
    store.insert(key("/popular"), image(), text(20_000, 0));
    for n in 0..300 {
        store.insert(key(&format!("/?{n}")), image(), text(20_000, n));
        take(&store, "/popular").expect("held");
        store.settle();
        assert!(store.stats().disk_bytes <= 2 * MIB);
    }
    assert!(store.stats().disk_evictions > 150);
    let on_disk: u64 =
        folder.live_files().iter().map(|path| fs::metadata(path).expect("there").len()).sum();
    assert_eq!(on_disk, store.stats().disk_bytes, "the books are right");
    drop(store);
    let (store, _) = Store::open(config).expect("ours");
    assert!(take(&store, "/popular").is_some());
}

#[test]
fn a_refresh_reaches_the_disk() {
    let folder = Folder::new();
    let store = open(folder.config());
    let entry = store.insert(key("/a"), html(), text(5_000, 1));
    store.settle();
    let newer = head(&[("content-type", "text/html"), ("etag", "\"v2\"")]);
    store.replace_head(&entry, newer.clone());
    store.shutdown();
    drop(store);
    let (store, report) = reopened(&folder);
    assert_eq!(report.entries, 1);
    let entry = take(&store, "/a").expect("held");
    assert_eq!((entry.head.clone(), body_of(&entry)), (newer, text(5_000, 1)));
}

#[test]
fn a_drop_without_shutdown_loses_only_what_was_queued() {
    let folder = Folder::new();
    let (store, files) = breakable(&folder);
    store.settle();
    let (begun, go) = files.halt_next(Op::Write);
    store.insert(key("/a"), image(), text(5_000, 1));
    begun.recv_timeout(PATIENCE).expect("the writer gets there");
    store.insert(key("/b"), image(), text(5_000, 2));
    let store = Arc::new(store);
    std::thread::scope(|scope| {
        let dropping = scope.spawn(move || drop(store));
        go.send(()).expect("the writer waits");
        dropping.join().expect("no panic");
    });
    let (store, report) = reopened(&folder);
    assert_eq!((report.damaged, report.leftovers), (0, 0));
    assert_eq!(body_of(&take(&store, "/a").expect("was in hand")), text(5_000, 1));
}
