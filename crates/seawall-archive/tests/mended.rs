//! What goes wrong beside the archive does not stop it: one damaged record, a withdrawal while a fetch is
//! on its way, an origin that calls unchanged what is not held.

#[allow(dead_code, reason = "some of it only the tests of the store use")]
#[path = "store/mod.rs"]
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use seawall_archive::{
    Archive, ArchiveError, Capture, Discovered, FailReason, Fetched, Kept, Members, Record,
    Validators, seed,
};
use support::{Place, at, kept, noise, page};

/// Flips a bit of the record of a URL, in the middle.
fn damage(place: &Place, capture: &Capture) {
    let path = place.open_file();
    let length = fs::metadata(&path).expect("there").len();
    let file = fs::OpenOptions::new().read(true).write(true).open(&path).expect("there");
    let reader = file.try_clone().expect("one more");
    for found in Members::new(reader, 0, length, 64 << 20) {
        let url = match &found.record {
            Ok(Record::Response(found)) => &found.url,
            Ok(Record::Revisit(revisit)) => &revisit.head.url,
            _ => continue,
        };
        if *url == capture.url {
            let middle = found.offset + found.length / 2;
            let mut byte = [0];
            file.read_exact_at(&mut byte, middle).expect("readable");
            file.write_all_at(&[byte[0] ^ 1], middle).expect("written");
            return;
        }
    }
    panic!("{} has no record", capture.url);
}

fn is_due_without_validators(archive: &Archive, url: &str, second: u64) -> bool {
    let due = archive.due(at(second), 99).expect("readable");
    due.iter().any(|(found, known)| found == url && known.validators == Validators::default())
}

fn with_validators(mut fetched: Fetched) -> Fetched {
    fetched.known.validators = Validators { etag: Some(b"\"1\"".to_vec()), last_modified: None };
    fetched
}

/// Three URLs with one content, which the first has, and another page; the record of `broken` is damaged.
fn with_damage(place: &Place, broken: usize) -> (Archive, Vec<Capture>) {
    let archive = place.open_with(1, |options| options.max_versions = 1);
    let shared = noise(1, 3_000);
    let mut pages: Vec<_> = ["/a", "/b", "/c"].map(|path| page(path, &shared, 10)).to_vec();
    pages.push(page("/other", "another", 10));
    let fetched = pages.iter().map(|page| with_validators(kept(page))).collect();
    archive.keep(fetched, Vec::new(), at(10)).expect("kept");
    damage(place, &pages[broken]);
    (archive, pages)
}

#[test]
fn a_damaged_record_does_not_keep_the_others_from_being_packed() {
    for (broken, left) in [(0, 1), (1, 3)] {
        let place = Place::new();
        let (archive, pages) = with_damage(&place, broken);
        let done = archive.seal(at(20)).expect("sealed");
        assert_eq!((done.sealed, done.damaged), (1, 1), "{done:?}");
        let held = |page: &&Capture| {
            archive.lookup(&page.url, None).expect("readable").map(|held| held.capture).as_ref()
                == Some(*page)
        };
        assert_eq!(pages.iter().filter(held).count(), left);
        assert!(is_due_without_validators(&archive, &pages[broken].url, 21));
    }
}

#[test]
fn what_is_damaged_can_be_withdrawn_and_superseded() {
    for broken in [0, 1] {
        let place = Place::new();
        let (archive, pages) = with_damage(&place, broken);
        assert!(archive.withdraw(&pages[0].url, at(20)).expect("withdrawn"));
        assert_eq!(archive.lookup(&pages[0].url, None).expect("readable"), None);
        assert!(is_due_without_validators(&archive, &pages[1].url, 21), "{broken}");
        // The content had no reader that was whole, or the last one got it.
        let last = archive.lookup(&pages[2].url, None).expect("readable");
        assert_eq!(last.map(|held| held.capture).as_ref(), pages.get(2).filter(|_| broken == 1));

        let place = Place::new();
        let (archive, pages) = with_damage(&place, broken);
        let new = page("/a", "it changed", 30);
        archive.keep(vec![kept(&new)], Vec::new(), at(30)).expect("kept");
        let held = archive.lookup(&new.url, None).expect("readable").expect("held");
        assert_eq!(held.capture, new);
        assert!(is_due_without_validators(&archive, &pages[1].url, 31), "{broken}");
    }
}

#[test]
fn a_damaged_original_is_forgotten_with_whatever_refers_to_it() {
    let place = Place::new();
    let (archive, pages) = with_damage(&place, 0);
    let refused = archive.lookup(&pages[2].url, None);
    assert!(
        matches!(&refused, Err(ArchiveError::Record { url, .. }) if *url == pages[0].url),
        "{refused:?}"
    );
    for page in &pages[..3] {
        assert_eq!(archive.lookup(&page.url, None).expect("forgotten"), None);
        assert!(is_due_without_validators(&archive, &page.url, 21));
    }
    // The same content fetched again is kept as a whole, and not as a reference to what is lost.
    let again = Capture { captured: at(30), ..pages[2].clone() };
    archive.keep(vec![kept(&again)], Vec::new(), at(30)).expect("kept");
    let held = archive.lookup(&again.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, again);
}

#[test]
fn where_nothing_is_held_nothing_is_unchanged() {
    let place = Place::new();
    let archive = place.open(1);
    let page = page("/", "a page", 10);
    let fetched = with_validators(kept(&page));
    archive.keep(vec![fetched.clone()], Vec::new(), at(10)).expect("kept");
    assert!(!is_due_without_validators(&archive, &page.url, 11));
    archive.withdraw(&page.url, at(20)).expect("withdrawn");
    assert!(is_due_without_validators(&archive, &page.url, 20), "it is fetched anew");
    // This fetch was on its way, and asked with what was known before.
    let asked = fetched.known.validators.clone();
    let unchanged = Fetched { kept: Kept::Unchanged(asked), ..fetched.clone() };
    archive.keep(vec![unchanged], Vec::new(), at(21)).expect("kept");
    assert!(is_due_without_validators(&archive, &page.url, 21), "and again");
    let gone = Fetched { kept: Kept::Gone, ..fetched };
    archive.keep(vec![gone], Vec::new(), at(22)).expect("kept");
    let known = archive.known(&page.url).expect("readable").expect("known");
    assert_eq!(known.validators, Validators::default());
}

#[test]
fn a_response_on_its_way_does_not_undo_a_withdrawal() {
    let place = Place::new();
    let archive = place.open(1);
    let old = page("/", "with the name", 10);
    archive.withdraw(&old.url, at(11)).expect("withdrawn");
    archive.keep(vec![with_validators(kept(&old))], Vec::new(), at(12)).expect("kept");
    assert_eq!(archive.lookup(&old.url, None).expect("readable"), None);
    assert_eq!(archive.withdrawn_at(&old.url).expect("readable"), Some(at(11)));
    assert!(is_due_without_validators(&archive, &old.url, 12));
    let new = page("/", "without", 13);
    archive.keep(vec![kept(&new)], Vec::new(), at(13)).expect("kept");
    let held = archive.lookup(&new.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, new);
    assert_eq!(archive.withdrawn_at(&new.url).expect("readable"), None);
}

#[test]
fn a_torn_line_does_not_swallow_a_withdrawal() {
    let place = Place::new();
    let archive = place.open(1);
    let pages = [page("/", "one", 10), page("/secret", "withdrawn", 10)];
    archive.keep(pages.iter().map(kept).collect(), Vec::new(), at(10)).expect("kept");
    archive.seal(at(11)).expect("sealed");
    let path = place.path().join("withdrawn");
    let mut file = fs::File::create(path).expect("made");
    file.write_all(b"1790000000000000000 withd").expect("written");
    archive.withdraw(&pages[1].url, at(12)).expect("withdrawn");
    drop(archive);
    fs::remove_file(place.path().join("index.redb")).expect("removed");
    let archive = place.open_quietly(20);
    assert!(archive.lookup(&pages[0].url, None).expect("readable").is_some());
    assert_eq!(archive.lookup(&pages[1].url, None).expect("readable"), None);
}

#[test]
fn what_is_larger_than_allowed_now_is_not_forgotten() {
    let place = Place::new();
    let archive = place.open(1);
    let large = page("/", &noise(1, 500_000), 10);
    archive.keep(vec![kept(&large)], Vec::new(), at(10)).expect("kept");
    drop(archive);
    let archive = place.open_with(20, |options| options.max_body_bytes = 1_000);
    for _ in 0..2 {
        let refused = archive.lookup(&large.url, None);
        assert!(matches!(refused, Err(ArchiveError::TooLarge { .. })), "{refused:?}");
    }
    drop(archive);
    let archive = place.open(30);
    let held = archive.lookup(&large.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, large);
}

#[test]
fn what_a_pin_shows_is_neither_superseded_nor_dropped_for_room() {
    let place = Place::new();
    let archive = place.open_with(1, |options| {
        options.max_bytes = 300 << 10;
        options.package_bytes = 100 << 10;
    });
    let ours = page("/", &noise(1, 40_000), 10);
    archive.keep(vec![kept(&ours)], Vec::new(), at(10)).expect("kept");
    archive.pin(Some(at(11)), at(11)).expect("pinned");
    for hour in 1..60 {
        let second = 11 + hour * 3_600;
        let defaced = page("/", &noise(hour + 1, 40_000), second);
        archive.keep(vec![kept(&defaced)], Vec::new(), at(second)).expect("kept");
        archive.upkeep(at(second)).expect("looked after");
        let held = archive.lookup(&ours.url, None).expect("readable").expect("held");
        assert_eq!(held.capture, ours, "hour {hour}");
    }
    let stats = archive.stats().expect("counted");
    assert!(stats.versions < 6, "others were dropped: {stats:?}");
}

#[test]
fn a_page_that_always_differs_can_be_pinned_to_yesterday() {
    let place = Place::new();
    let archive = place.open(1);
    let quarter = 15 * 60;
    for turn in 0..300 {
        let page = page("/", &format!("turn {turn}"), quarter * turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(quarter * turn)).expect("kept");
    }
    let now = quarter * 300;
    archive.pin(Some(at(now - 24 * 3_600)), at(now)).expect("pinned");
    assert!(archive.lookup("https://example.org/", None).expect("readable").is_some());
}

#[test]
fn beyond_its_bounds_nothing_further_is_held_and_what_is_held_is_renewed() {
    let place = Place::new();
    let archive = place.open_with(1, |options| {
        options.max_bytes = 80 << 10;
        options.package_bytes = 10 << 10;
        options.max_known = 3;
    });
    let large = |path: &str, second| page(path, &noise(second, 40_000), second);
    for (path, second) in [("/a", 10), ("/b", 11), ("/c", 12)] {
        archive.keep(vec![kept(&large(path, second))], Vec::new(), at(second)).expect("kept");
    }
    archive.keep(vec![kept(&large("/d", 13))], Vec::new(), at(13)).expect("refused");
    let url = "https://example.org/d";
    assert!(archive.lookup(url, None).expect("readable").is_none());
    let known = archive.known(url).expect("readable").expect("known");
    assert_eq!(known.reason, Some(FailReason::NoRoom));
    let renewed = large("/a", 14);
    archive.keep(vec![kept(&renewed)], Vec::new(), at(14)).expect("kept");
    let held = archive.lookup(&renewed.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, renewed);
    let found = ["/a", "/x", "/y"].map(|path| {
        let url = format!("https://example.org{path}");
        Discovered { known: seed(&url, at(15)), url }
    });
    archive.keep(Vec::new(), found.to_vec(), at(15)).expect("refused");
    let stats = archive.stats().expect("counted");
    assert_eq!((stats.known, stats.refused), (4, 3), "{stats:?}");
}

#[test]
fn what_was_put_aside_does_not_keep_what_was_withdrawn() {
    let place = Place::new();
    let archive = place.open(1);
    let secret = page("/secret", "to be withdrawn", 10);
    archive.keep(vec![kept(&secret)], Vec::new(), at(10)).expect("kept");
    let aside = ["000001.wacz.damaged", "index.damaged"].map(|name| place.path().join(name));
    aside.iter().for_each(|path| fs::write(path, "to be withdrawn").expect("written"));
    archive.upkeep(at(11)).expect("looked after");
    assert!(aside.iter().all(|path| path.exists()), "somebody may want to look into it");
    archive.withdraw(&secret.url, at(12)).expect("withdrawn");
    archive.upkeep(at(13)).expect("looked after");
    assert!(!aside.iter().any(|path| path.exists()));
    let archive = {
        drop(archive);
        Place::new()
    };
    let later = archive.open(1);
    let path = archive.path().join("index.damaged");
    fs::write(&path, "old").expect("written");
    later.upkeep(at(20 * 365 * 86_400)).expect("looked after");
    assert!(!path.exists(), "a day is over");
}

/// A folder in its place stands for whatever the system refuses that is no damage.
#[test]
fn an_index_that_the_system_does_not_open_is_not_made_again() {
    let place = Place::new();
    drop(place.open(1));
    let index = place.path().join("index.redb");
    let aside = place.path().join("aside");
    fs::rename(&index, &aside).expect("moved");
    fs::create_dir(&index).expect("made");
    assert!(matches!(place.try_open(2), Err(ArchiveError::Index(_))));
    fs::remove_dir(&index).expect("untouched");
    fs::rename(&aside, &index).expect("moved");
    drop(place.open(3));
}

#[test]
fn a_package_that_is_taken_away_is_fetched_again_and_stops_nothing() {
    let place = Place::new();
    let archive = place.open(1);
    let keep = |path: &str, second: u64| {
        let page = page(path, &noise(second, 9_000), second);
        archive.keep(vec![kept(&page)], Vec::new(), at(second)).expect("room");
        archive.seal(at(second)).expect("room");
        page
    };
    let (lost, also_lost) = (keep("/lost", 10), keep("/also-lost", 11));
    let (stays, goes) = (keep("/stays", 12), keep("/goes", 13));
    drop(archive);

    let archive = place.open(20);
    let packages = archive.packages().expect("readable");
    for path in &packages[..2] {
        std::fs::remove_file(path).expect("removed");
    }
    let gone = archive.lookup(&lost.url, None);
    assert!(matches!(gone, Err(ArchiveError::Record { .. })), "{gone:?}");
    assert!(archive.lookup(&lost.url, None).expect("readable").is_none());
    let due = archive.due(at(21), 10).expect("readable");
    assert!(due.iter().any(|(url, _)| *url == lost.url), "{due:?}");

    // What must be erased is erased, though packages beside it are not there.
    archive.withdraw(&goes.url, at(30)).expect("room");
    archive.withdraw(&also_lost.url, at(30)).expect("room");
    archive.upkeep(at(30)).expect("goes on");
    assert!(!packages[3].exists() && packages[2].exists());
    assert!(archive.lookup(&stays.url, None).expect("readable").is_some());
}

#[test]
fn a_folder_that_is_away_as_a_whole_loses_nothing() {
    let place = Place::new();
    let page = page("/a", "text", 10);
    let archive = place.open(1);
    archive.keep(vec![kept(&page)], Vec::new(), at(10)).expect("room");
    archive.seal(at(10)).expect("room");
    drop(archive);
    let archive = place.open(20);
    let elsewhere = place.path().with_extension("away");
    std::fs::rename(place.path(), &elsewhere).expect("moved");
    assert!(matches!(archive.lookup(&page.url, None), Err(ArchiveError::Io { .. })));
    std::fs::rename(&elsewhere, place.path()).expect("moved");
    assert!(archive.lookup(&page.url, None).expect("readable").is_some());
}
