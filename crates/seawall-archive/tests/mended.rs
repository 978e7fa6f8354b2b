//! What goes wrong beside the archive does not stop it: one damaged record, a withdrawal while a fetch is
//! on its way, an origin that calls unchanged what is not held.

#[allow(dead_code, reason = "some of it only the tests of the store use")]
#[path = "store/mod.rs"]
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use seawall_archive::{Archive, ArchiveError, Capture, Fetched, Kept, Members, Record, Validators};
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
    let unchanged = Fetched { kept: Kept::Unchanged, ..fetched.clone() };
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
