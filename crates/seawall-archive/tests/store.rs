//! The archive on disk: what is put in comes out, what is damaged does not, what was withdrawn is gone,
//! and what a kill or a full disk leaves behind is mended.

#[path = "store/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use seawall_archive::{Archive, ArchiveError, Discovered, Held, Kept, seed};
use support::{Place, at, capture, kept, page};

#[test]
fn what_is_put_in_comes_out_again() {
    let place = Place::new();
    let archive = place.open(1);
    let first = page("/", "front page", 10);
    archive.keep(vec![kept(&first), kept(&page("/a", "a", 11))], Vec::new(), at(12)).expect("kept");
    let held = archive.lookup(&first.url, None).expect("readable").expect("held");
    assert_eq!(held, Held { capture: first.clone(), validated: at(10) });
    assert_eq!(archive.lookup("https://example.org/nothing", None).expect("readable"), None);
    drop(archive);
    let again = place.open(20);
    let held = again.lookup(&first.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, first, "over a restart");
}

#[test]
fn the_same_again_is_no_new_version_and_a_change_is() {
    let place = Place::new();
    let archive = place.open(1);
    let put = |body: &str, second| {
        archive.keep(vec![kept(&page("/", body, second))], Vec::new(), at(second)).expect("kept");
    };
    put("one", 10);
    put("one", 20);
    assert_eq!(archive.stats().expect("counted").versions, 1);
    let url = "https://example.org/";
    assert_eq!(archive.find(url, None).expect("found"), Some((at(10), at(20))));
    put("two", 30);
    assert_eq!(archive.find(url, None).expect("found"), Some((at(30), at(30))));
    assert_eq!(archive.find(url, Some(at(15))).expect("found"), Some((at(10), at(20))));
    assert_eq!(archive.find(url, Some(at(5))).expect("found"), Some((at(10), at(20))));
    assert_eq!(archive.find(url, Some(at(28))).expect("found"), Some((at(30), at(30))));
    assert_eq!(archive.find(url, Some(at(99))).expect("found"), Some((at(30), at(30))));
}

/// Both tables are walked side by side; what is held of each URL must be what a look for it alone finds.
#[test]
fn a_walk_through_all_says_of_each_what_a_look_for_it_says() {
    let place = Place::new();
    let archive = place.open(1);
    for turn in 0..3_u64 {
        // The last of these were never fetched, and one before others neither.
        let fetched = (0..40)
            .filter(|n| n % 7 != 3 && *n < 36 && n % 3 >= turn)
            .map(|n| kept(&page(&format!("/{n}"), &format!("version {turn}"), 10 + turn)));
        let found = (0..40).map(|n| {
            let url = format!("https://example.org/{n}");
            Discovered { known: seed(&url, at(2)), url }
        });
        archive.keep(fetched.collect(), found.collect(), at(10 + turn)).expect("kept");
    }
    archive.pin(Some(at(12)), at(30)).expect("pinned");
    for from in ["", "https://example.org/20", "https://example.org/3", "https://example.org/~"] {
        let mut walked = Vec::new();
        archive
            .each_known(from, |url, _, held| {
                let alone = archive.find(url, None).expect("readable");
                assert_eq!(held, alone, "{url} from {from}");
                walked.push((url.to_owned(), held.is_some()));
                true
            })
            .expect("walked");
        let mut all: Vec<_> = (0..40).map(|n| format!("https://example.org/{n}")).collect();
        all.retain(|url| url.as_str() >= from);
        all.sort();
        assert_eq!(walked.iter().map(|(url, _)| url.clone()).collect::<Vec<_>>(), all);
        let held = walked.iter().filter(|(_, is_held)| *is_held).count();
        assert!(all.is_empty() || (1..all.len()).contains(&held), "{held} from {from}");
    }
}

/// Copies what was written, and leaves unwritten what was not.
fn copy_with_holes(from: &Path, to: &Path) {
    let bytes = fs::read(from).expect("readable");
    let file = fs::File::create(to).expect("writable");
    file.set_len(bytes.len() as u64).expect("writable");
    for (block, at) in bytes.chunks(4_096).zip((0..).step_by(4_096)) {
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(block, at).expect("writable");
        }
    }
    file.sync_all().expect("writable");
}

#[test]
fn an_index_gives_back_what_it_needed_for_a_while_when_it_is_opened() {
    let place = Place::new();
    let archive = place.open(1);
    let letters = |n| support::noise(n, 2_400).replace(|it: char| !it.is_ascii_alphanumeric(), "");
    let url = |n: u64| format!("/{n}/{}", letters(n));
    let pages: Vec<_> = (0..500).map(|n| page(&url(n), &n.to_string(), 10)).collect();
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(10)).expect("kept");
    // Each URL is written anew.
    archive.seal(at(20)).expect("packed");
    let killed = Place::copied(&place);
    copy_with_holes(&place.path().join("index.redb"), &killed.path().join("index.redb"));
    drop(archive);
    let index = place.path().join("index.redb");
    let on_disk = |index: &Path| fs::metadata(index).expect("there").blocks() * 512;
    let bytes = || on_disk(&index);
    let before = bytes();
    let again = place.open(30);
    let after = bytes();
    assert!(after + (1 << 20) < before, "{after} of {before} bytes");
    for page in &pages {
        let held = again.lookup(&page.url, None).expect("readable").expect("held");
        assert_eq!(held.capture, *page);
    }
    drop(again);
    place.open(40);
    assert!(bytes() <= after + (1 << 20), "{} and not {after} bytes", bytes());
    killed.open_quietly(30);
    let after_kill = on_disk(&killed.path().join("index.redb"));
    assert!(after_kill <= after + (1 << 20), "{after_kill} and not {after} bytes");
}

#[test]
fn of_many_versions_few_are_kept() {
    let place = Place::new();
    let archive = place.open(1);
    for turn in 0..9 {
        let page = page("/", &format!("version {turn}"), 10 + turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(10 + turn)).expect("kept");
    }
    assert_eq!(archive.stats().expect("counted").versions, 5);
    let history = archive.history("https://example.org/").expect("readable");
    let kept: Vec<_> = history.iter().map(|version| version.captured).collect();
    assert_eq!(kept, [10, 15, 16, 17, 18].map(at), "the oldest of the last hour too");
}

#[test]
fn one_content_under_many_urls_is_stored_once_and_outlives_its_first() {
    let place = Place::new();
    let archive = place.open(1);
    let large = "x".repeat(100_000) + &(0..20_000).map(|n| n.to_string()).collect::<String>();
    let pages: Vec<_> = ["/one", "/two", "/three"].map(|path| page(path, &large, 10)).to_vec();
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(10)).expect("kept");
    let bytes = archive.stats().expect("counted").bytes;
    let alone = Place::new();
    let one = alone.open(1);
    one.keep(vec![kept(&pages[0])], Vec::new(), at(10)).expect("kept");
    let of_one = one.stats().expect("counted").bytes;
    assert!(bytes < of_one * 3 / 2, "{bytes} for three, {of_one} for one");
    for gone in 0..3 {
        for page in &pages[gone..] {
            let held = archive.lookup(&page.url, None).expect("readable").expect("held");
            assert_eq!(held.capture, *page);
        }
        assert!(archive.withdraw(&pages[gone].url, at(20)).expect("withdrawn"));
        assert_eq!(archive.lookup(&pages[gone].url, None).expect("readable"), None);
    }
}

#[test]
fn a_page_that_is_gone_takes_all_its_versions_along() {
    let place = Place::new();
    let archive = place.open(1);
    for turn in 0..3 {
        let page = page("/", &format!("version {turn}"), 10 + turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(10 + turn)).expect("kept");
    }
    let mut gone = kept(&page("/", "", 20));
    gone.kept = Kept::Gone;
    archive.keep(vec![gone], Vec::new(), at(20)).expect("kept");
    assert_eq!(archive.lookup("https://example.org/", None).expect("readable"), None);
    let stats = archive.stats().expect("counted");
    assert_eq!((stats.versions, stats.withdrawn), (0, 1));
    // It may come back with something new.
    archive.keep(vec![kept(&page("/", "new", 30))], Vec::new(), at(30)).expect("kept");
    assert!(archive.lookup("https://example.org/", None).expect("readable").is_some());
}

#[test]
fn nothing_newer_than_a_pin_is_shown_until_it_is_taken_away() {
    let place = Place::new();
    let archive = place.open(1);
    let url = "https://example.org/";
    archive.keep(vec![kept(&page("/", "ours", 10))], Vec::new(), at(10)).expect("kept");
    archive.keep(vec![kept(&page("/", "defaced", 20))], Vec::new(), at(20)).expect("kept");
    archive.keep(vec![kept(&page("/new", "defaced", 20))], Vec::new(), at(20)).expect("kept");
    archive.pin(Some(at(20)), at(21)).expect("pinned");
    drop(archive);
    let archive = place.open(30);
    let held = archive.lookup(url, None).expect("readable").expect("held");
    assert_eq!(held.capture.body, support::html("ours"));
    assert_eq!(archive.lookup("https://example.org/new", None).expect("readable"), None);
    archive.pin(None, at(40)).expect("free again");
    let held = archive.lookup(url, None).expect("readable").expect("held");
    assert_eq!(held.capture.body, support::html("defaced"));
}

#[test]
fn a_flipped_bit_is_never_served_and_the_page_is_fetched_again() {
    let place = Place::new();
    let archive = place.open(1);
    let page = page("/", "a page with some content", 10);
    archive.keep(vec![kept(&page)], Vec::new(), at(10)).expect("kept");
    let path = place.open_file();
    let whole = fs::read(&path).expect("there");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("there");
    for at_byte in [0, whole.len() / 2, whole.len() - 1] {
        file.write_all_at(&[whole[at_byte] ^ 1], at_byte as u64).expect("written");
        let copy = Place::copied(&place);
        let archive = copy.open_quietly(20);
        let refused = archive.lookup(&page.url, None);
        assert!(matches!(refused, Err(ArchiveError::Record { .. })), "{at_byte}: {refused:?}");
        assert_eq!(archive.lookup(&page.url, None).expect("forgotten"), None);
        let due = archive.due(at(21), 9).expect("readable");
        assert!(
            due.iter()
                .any(|(url, known)| *url == page.url && known.validators == Default::default()),
            "{due:?}"
        );
        file.write_all_at(&[whole[at_byte]], at_byte as u64).expect("written");
    }
}

#[test]
fn what_was_written_and_not_yet_in_the_index_is_taken_in_and_a_torn_end_is_cut_off() {
    let place = Place::new();
    drop(place.open(1));
    let spare = Place::new();
    let other = spare.open(1);
    let pages = [page("/", "one", 10), page("/two", "two", 11)];
    other.keep(pages.iter().map(kept).collect(), Vec::new(), at(12)).expect("kept");
    drop(other);
    let mut bytes = fs::read(spare.open_file()).expect("there");
    bytes.extend_from_slice(&bytes.clone()[..40]);
    fs::write(place.open_file(), &bytes).expect("written");
    let (archive, repaired) = place.try_open(20).expect("opens");
    assert_eq!((repaired.recovered, repaired.cut_bytes), (2, 40), "{repaired:?}");
    for page in &pages {
        let held = archive.lookup(&page.url, None).expect("readable").expect("held");
        assert_eq!(held.capture, *page);
    }
    drop(archive);
    let (_, repaired) = place.try_open(30).expect("opens");
    assert!(repaired.is_clean(), "{repaired:?}");
}

#[test]
fn two_processes_do_not_get_the_same_archive() {
    let place = Place::new();
    let _first = place.open(1);
    assert!(matches!(place.try_open(2), Err(ArchiveError::InUse)));
}

#[test]
fn a_damaged_index_is_put_aside_and_made_again() {
    let place = Place::new();
    let archive = place.open(1);
    let pages = [page("/", "one", 10), page("/secret", "withdrawn", 11), page("/b", "b", 12)];
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(12)).expect("kept");
    archive.withdraw(&pages[1].url, at(13)).expect("withdrawn");
    archive.seal(at(14)).expect("sealed");
    archive.keep(vec![kept(&page("/later", "open", 15))], Vec::new(), at(15)).expect("kept");
    drop(archive);
    for damage in ["gone", "garbage"] {
        let index = place.path().join("index.redb");
        match damage {
            "gone" => fs::remove_file(&index).expect("removed"),
            _ => fs::write(&index, vec![7; 100_000]).expect("written"),
        }
        let (archive, repaired) = place.try_open(20).expect("opens");
        assert!(repaired.index_rebuilt, "{damage}: {repaired:?}");
        for url in ["https://example.org/", "https://example.org/b", "https://example.org/later"] {
            assert!(archive.lookup(url, None).expect("readable").is_some(), "{damage}: {url}");
        }
        assert_eq!(archive.lookup(&pages[1].url, None).expect("readable"), None, "{damage}");
    }
}

#[test]
fn packing_changes_nothing_for_readers() {
    let place = Place::new();
    let archive = place.open(1);
    let pages: Vec<_> =
        (0..50).map(|n| page(&format!("/{n}"), &format!("page {n}"), 10 + n)).collect();
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(100)).expect("kept");
    assert_eq!(archive.seal(at(101)).expect("sealed").sealed, 1);
    archive.keep(vec![kept(&page("/0", "changed", 110))], Vec::new(), at(110)).expect("kept");
    assert_eq!(archive.seal(at(111)).expect("sealed").sealed, 1);
    drop(archive);
    let (archive, repaired) = place.try_open(120).expect("opens");
    assert!(repaired.is_clean(), "{repaired:?}");
    for page in &pages[1..] {
        let held = archive.lookup(&page.url, None).expect("readable").expect("held");
        assert_eq!(held.capture, *page);
    }
    let old = archive.lookup(&pages[0].url, Some(at(10))).expect("readable").expect("held");
    assert_eq!(old.capture, pages[0]);
    assert_eq!(archive.packages().expect("listed").len(), 2);
}

/// The lists of a package of very small records are larger than its records.
#[test]
fn a_package_of_small_records_is_not_written_anew_for_its_lists() {
    let place = Place::new();
    let archive = place.open(1);
    let pages: Vec<_> = (0..600).map(|n| page(&format!("/{n}"), &format!("{n}"), 10)).collect();
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(11)).expect("kept");
    archive.seal(at(12)).expect("sealed");
    let packages = archive.packages().expect("listed");
    for _ in 0..3 {
        assert_eq!(archive.upkeep(at(13)).expect("looked after").compacted, 0);
    }
    assert_eq!(archive.packages().expect("listed"), packages);
}

#[test]
fn what_was_withdrawn_is_erased_from_packages() {
    let place = Place::new();
    let archive = place.open(1);
    let secret = "the name of somebody who must not be found";
    let pages = [page("/", "one", 10), page("/secret", secret, 11)];
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(12)).expect("kept");
    archive.seal(at(13)).expect("sealed");
    archive.withdraw(&pages[1].url, at(14)).expect("withdrawn");
    let done = archive.upkeep(at(15)).expect("looked after");
    assert_eq!(done.compacted, 1, "{done:?}");
    assert!(!support::holds_text(place.path(), secret), "nowhere in the folder");
    let held = archive.lookup(&pages[0].url, None).expect("readable").expect("held");
    assert_eq!(held.capture, pages[0]);
}

#[test]
fn beyond_its_bytes_superseded_versions_go_first_and_newest_stay() {
    let place = Place::new();
    let archive = place.open_with(1, |options| {
        options.max_bytes = 600 << 10;
        options.package_bytes = 100 << 10;
    });
    let mut second = 10;
    for turn in 0..5u64 {
        for n in 0..8 {
            second += 1;
            let page = page(&format!("/{n}"), &support::noise(turn * 100 + n, 40_000), second);
            archive.keep(vec![kept(&page)], Vec::new(), at(second)).expect("kept");
        }
        archive.upkeep(at(second)).expect("looked after");
    }
    for _ in 0..3 {
        archive.upkeep(at(second)).expect("looked after");
    }
    let stats = archive.stats().expect("counted");
    assert!(stats.bytes <= 600 << 10, "{stats:?}");
    assert_eq!(stats.held, 8, "{stats:?}");
    for n in 0..8 {
        let held = archive.lookup(&format!("https://example.org/{n}"), None).expect("readable");
        let want = support::html(&support::noise(400 + n, 40_000));
        assert_eq!(held.expect("held").capture.body, want);
    }
}

#[test]
fn an_hour_later_the_open_file_is_packed() {
    let place = Place::new();
    let archive = place.open(1);
    archive.keep(vec![kept(&page("/", "one", 10))], Vec::new(), at(10)).expect("kept");
    assert_eq!(archive.upkeep(at(20)).expect("looked after").sealed, 0);
    let later = at(1) + Duration::from_secs(3_600);
    assert_eq!(archive.upkeep(later).expect("looked after").sealed, 1);
    assert_eq!(archive.upkeep(later).expect("looked after").sealed, 0);
}

#[test]
fn a_clock_that_steps_back_loses_nothing() {
    let place = Place::new();
    let archive = place.open(1_000);
    archive.keep(vec![kept(&page("/", "late", 1_000))], Vec::new(), at(1_000)).expect("kept");
    archive.keep(vec![kept(&page("/", "early", 10))], Vec::new(), at(10)).expect("kept");
    archive.upkeep(at(11)).expect("looked after");
    let held = archive.lookup("https://example.org/", None).expect("readable").expect("held");
    assert_eq!(held.capture.body, support::html("late"), "the newest by what the clock said");
    assert_eq!(archive.stats().expect("counted").versions, 2);
    let redirect = capture("/", 302, vec![("location", "/x")], "", 2_000);
    archive.keep(vec![kept(&redirect)], Vec::new(), at(2_000)).expect("kept");
    let held = archive.lookup("https://example.org/", None).expect("readable").expect("held");
    assert_eq!(held.capture, redirect);
}

/// One opened archive and many readers, while it is packed and packed again.
#[test]
fn readers_find_every_page_while_packages_are_written_anew() {
    let place = Place::new();
    let archive: &Archive = &place.open(1);
    let pages: Vec<_> = (0..20).map(|n| page(&format!("/{n}"), &format!("page {n}"), 10)).collect();
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(11)).expect("kept");
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for turn in 0..400 {
                        let page = &pages[turn % pages.len()];
                        let held = archive.lookup(&page.url, None).expect("readable");
                        assert_eq!(held.expect("held").capture, *page);
                    }
                })
            })
            .collect();
        for turn in 0..10 {
            let extra = page(&format!("/extra-{turn}"), "more", 20 + turn);
            archive.keep(vec![kept(&extra)], Vec::new(), at(20 + turn)).expect("kept");
            archive.seal(at(20 + turn)).expect("sealed");
            archive.withdraw(&extra.url, at(20 + turn)).expect("withdrawn");
            archive.upkeep(at(20 + turn)).expect("looked after");
        }
        for reader in readers {
            reader.join().expect("no reader missed a page");
        }
    });
}
