//! What comes from elsewhere goes in between what is held, and takes nothing away that it must not.

#[path = "store/mod.rs"]
#[allow(dead_code, reason = "no test uses all of it")]
mod store;

use std::fs;

use seawall_archive::{
    Archive, Capture, Fetched, Import, Imported, Kept, Known, Provenance, Validators,
};

use self::store::{Place, at, capture, holds_text, html, kept, page};

fn brought(capture: &Capture) -> Import {
    Import { capture: capture.clone(), title: Some("A page".to_owned()), from: Provenance::Record }
}

fn import(archive: &Archive, captures: &[Capture], second: u64) -> Vec<Imported> {
    let imports = captures.iter().map(brought).collect();
    archive.import(imports, at(second)).expect("room")
}

/// Which versions are held of a path, by their seconds.
fn seconds(archive: &Archive, path: &str) -> Vec<u64> {
    let history = archive.history(&format!("https://example.org{path}")).expect("readable");
    history.iter().map(|version| version.captured.saturating_since(at(0)).as_secs()).collect()
}

const DAY: u64 = 86_400;

#[test]
fn an_older_version_goes_behind_newer_ones() {
    let place = Place::new();
    let archive = place.open(1);
    let fetched = page("/a", "new", 20 * DAY);
    archive.keep(vec![kept(&fetched)], Vec::new(), at(20 * DAY)).expect("room");
    let older = page("/a", "old", 2 * DAY);
    assert_eq!(import(&archive, &[older], 20 * DAY), [Imported::Stored]);
    assert_eq!(seconds(&archive, "/a"), [2 * DAY, 20 * DAY]);
    let shown = archive.lookup(&fetched.url, None).expect("readable").expect("held");
    assert_eq!(shown.capture.body, html("new"));
    let before = archive.lookup(&fetched.url, Some(at(3 * DAY))).expect("readable").expect("held");
    assert_eq!(before.capture.body, html("old"));
}

#[test]
fn an_import_that_is_repeated_adds_nothing() {
    let place = Place::new();
    let archive = place.open(1);
    let pages = [page("/a", "one", 10), page("/b", "two", 20), page("/a", "three", 9 * DAY)];
    assert_eq!(import(&archive, &pages, 10 * DAY), [Imported::Stored; 3]);
    let bytes = archive.stats().expect("readable").bytes;
    assert_eq!(import(&archive, &pages, 10 * DAY), [Imported::Held; 3]);
    assert_eq!(archive.stats().expect("readable").bytes, bytes);
    // The same content, later: the origin said it again.
    assert_eq!(import(&archive, &[page("/b", "two", 30)], 10 * DAY), [Imported::Held]);
    assert_eq!(archive.history("https://example.org/b").expect("readable")[0].validated, at(30));
}

#[test]
fn nothing_withdrawn_comes_back_by_its_own_time_and_never_from_a_file() {
    let place = Place::new();
    let archive = place.open(1);
    let secret = page("/a", "a name that must go", 100);
    archive.keep(vec![kept(&secret)], Vec::new(), at(100)).expect("room");
    archive.withdraw(&secret.url, at(200)).expect("room");
    assert_eq!(import(&archive, std::slice::from_ref(&secret), 300), [Imported::Withdrawn]);
    let at_once = page("/a", "of the same moment", 200);
    assert_eq!(import(&archive, &[at_once], 300), [Imported::Withdrawn]);
    // A copy of a folder is as old as the copying.
    let copied = Import {
        from: Provenance::File,
        ..brought(&Capture { captured: at(250), ..secret.clone() })
    };
    assert_eq!(archive.import(vec![copied], at(300)).expect("room"), [Imported::Withdrawn]);
    assert_eq!(seconds(&archive, "/a"), [0_u64; 0]);
    archive.upkeep(at(300)).expect("room");
    assert!(!holds_text(place.path(), "a name that must go"));
    // Captured since: the site shows it again.
    assert_eq!(import(&archive, &[page("/a", "clean", 260)], 300), [Imported::Stored]);
}

#[test]
fn an_import_is_never_newer_than_now_nor_more_than_there_is_room_for() {
    let place = Place::new();
    let archive = place.open_with(1, |options| options.max_known = 2);
    assert_eq!(import(&archive, &[page("/a", "x", 101)], 100), [Imported::Future]);
    let pages = [page("/a", "x", 1), page("/b", "x", 1), page("/c", "x", 1), page("/a", "y", 2)];
    let outcomes = import(&archive, &pages, 100);
    let (stored, full) = (Imported::Stored, Imported::NoRoom);
    assert_eq!(outcomes, [stored, stored, full, stored]);
    assert_eq!(archive.stats().expect("readable").refused, 1);
    drop(archive);
    let archive = place.open_with(200, |options| options.max_bytes = 1);
    let pages = [page("/d", "x", 1), page("/b", "older", 0), page("/b", "newer", 50)];
    assert_eq!(import(&archive, &pages, 100), [full, full, stored]);
}

#[test]
fn too_many_versions_are_thinned_as_if_they_had_been_fetched() {
    let place = Place::new();
    let archive = place.open(1);
    let fetched = page("/a", "now", 400 * DAY);
    archive.keep(vec![kept(&fetched)], Vec::new(), at(400 * DAY)).expect("room");
    let days = [0, 99, 98, 97, 50, 100, 60];
    let pages = days.map(|day| page("/a", &day.to_string(), day * DAY));
    let outcomes = import(&archive, &pages, 400 * DAY);
    let (stored, superseded) = (Imported::Stored, Imported::Superseded);
    assert_eq!(outcomes, [stored, stored, stored, stored, superseded, stored, superseded]);
    assert_eq!(seconds(&archive, "/a"), [0, 98, 99, 100, 400].map(|day| day * DAY));
}

#[test]
fn the_origin_is_not_asked_whether_it_still_says_what_was_imported() {
    let place = Place::new();
    let archive = place.open(1);
    let fetched = page("/a", "fetched", 100);
    let mut outcome = kept(&fetched);
    outcome.known.validators.etag = Some(b"\"of what was fetched\"".to_vec());
    archive.keep(vec![outcome], Vec::new(), at(100)).expect("room");
    assert_eq!(import(&archive, &[page("/a", "imported", 200)], 300), [Imported::Stored]);
    let known = archive.known(&fetched.url).expect("readable").expect("known");
    assert_eq!(known.validators, Default::default());
    assert_eq!(known.due, at(300), "and it is asked for what it says now");
    // An older one changes nothing about what is shown.
    let mut outcome = kept(&page("/c", "fetched", 200));
    outcome.known.validators.etag = Some(b"\"1\"".to_vec());
    archive.keep(vec![outcome.clone()], Vec::new(), at(200)).expect("room");
    assert_eq!(import(&archive, &[page("/c", "older", 100)], 300), [Imported::Stored]);
    let known = archive.known("https://example.org/c").expect("readable").expect("known");
    assert_eq!(known, outcome.known);
    // What was never heard of is to be fetched when there is an origin.
    import(&archive, &[page("/b", "imported", 200)], 300);
    let due = archive.due(at(300), 10).expect("readable");
    assert!(due.iter().any(|(url, _)| url == "https://example.org/b"), "{due:?}");
}

#[test]
fn killed_before_the_index_knew_of_it_an_import_takes_nothing_newer_away() {
    let place = Place::new();
    let archive = place.open(1);
    archive.keep(vec![kept(&page("/a", "new", 20 * DAY))], Vec::new(), at(20 * DAY)).expect("room");
    drop(archive);
    let killed = Place::copied(&place);
    let archive = place.open(20 * DAY);
    assert_eq!(import(&archive, &[page("/a", "old", DAY)], 20 * DAY), [Imported::Stored]);
    drop(archive);
    // The record is on disk, and the index is that of before.
    fs::copy(place.open_file(), killed.open_file()).expect("copied");
    let (archive, repaired) = killed.try_open(20 * DAY).expect("opens");
    assert_eq!(repaired.recovered, 1);
    assert_eq!(seconds(&archive, "/a"), [DAY, 20 * DAY]);
}

#[test]
fn trying_says_what_would_be_and_does_nothing() {
    let place = Place::new();
    let archive = place.open(1);
    let import = brought(&page("/a", "x", 10));
    assert_eq!(archive.would_import(&import, at(20)).expect("readable"), Imported::Stored);
    assert_eq!(archive.stats().expect("readable").known, 0);
    archive.import(vec![import.clone()], at(20)).expect("room");
    assert_eq!(archive.would_import(&import, at(20)).expect("readable"), Imported::Held);
}

#[test]
fn what_was_withdrawn_stays_away_also_when_there_is_something_new() {
    let place = Place::new();
    let archive = place.open(1);
    let secret = page("/a", "a name that must go", 100);
    archive.keep(vec![kept(&secret)], Vec::new(), at(100)).expect("room");
    archive.withdraw(&secret.url, at(200)).expect("room");
    archive.keep(vec![kept(&page("/a", "clean", 300))], Vec::new(), at(300)).expect("room");
    assert_eq!(archive.withdrawn_at(&secret.url).expect("readable"), None);
    let older = [secret.clone(), page("/a", "the same name", 150)];
    assert_eq!(import(&archive, &older, 400), [Imported::Withdrawn; 2]);
    // A copy of a folder is as old as the copying: it would be the newest.
    let copied = Import {
        from: Provenance::File,
        ..brought(&Capture { captured: at(350), ..secret.clone() })
    };
    let outcomes = archive.import(vec![copied.clone()], at(400)).expect("room");
    assert_eq!(outcomes, [Imported::Withdrawn]);
    drop(archive);
    let archive = place.open(500);
    assert_eq!(archive.import(vec![copied], at(500)).expect("room"), [Imported::Withdrawn]);
    assert_eq!(seconds(&archive, "/a"), [300]);
    assert_eq!(archive.stats().expect("readable").withdrawn, 0);
}

#[test]
fn what_the_origin_said_before_and_after_is_not_superseded_by_what_comes_from_between() {
    let place = Place::new();
    let archive = place.open(1);
    let fetched = kept(&page("/a", "fetched", DAY));
    archive.keep(vec![fetched.clone()], Vec::new(), at(DAY)).expect("room");
    let again = Fetched { kept: Kept::Unchanged(Validators::default()), ..fetched };
    archive.keep(vec![again], Vec::new(), at(20 * DAY)).expect("room");
    let between = [page("/a", "of somebody signed in", 9 * DAY)];
    assert_eq!(import(&archive, &between, 21 * DAY), [Imported::Superseded]);
    assert_eq!(seconds(&archive, "/a"), [DAY]);
}

#[test]
fn whether_a_response_is_news_is_found_out_where_it_is_kept() {
    let place = Place::new();
    let archive = place.open(1);
    let keep = |capture: &Capture, second| {
        let fetched = kept(capture);
        let if_same = Known { fetches: 77, ..fetched.known.clone() };
        let fetched = Fetched { known_if_same: Some(if_same), ..fetched };
        let same = archive.keep(vec![fetched], Vec::new(), at(second)).expect("room");
        let known = archive.known(&capture.url).expect("readable").expect("known");
        (same, known.fetches)
    };
    assert_eq!(keep(&page("/a", "x", 10), 10), (0, 0));
    assert_eq!(keep(&page("/a", "x", 20), 20), (1, 77));
    assert_eq!(keep(&page("/a", "y", 30), 30), (0, 0));
    // A redirect says where to in its head.
    let to = |to, second| capture("/r", 301, vec![("location", to)], "", second);
    assert_eq!(keep(&to("/a", 40), 40), (0, 0));
    assert_eq!(keep(&to("/a", 50), 50), (1, 77));
    assert_eq!(keep(&to("/b", 60), 60), (0, 0));
    assert_eq!(seconds(&archive, "/r"), [40, 60]);
}

#[test]
fn an_answer_that_was_on_its_way_does_not_confirm_what_was_imported_meanwhile() {
    let place = Place::new();
    let archive = place.open(1);
    let mut fetched = kept(&page("/a", "fetched", 100));
    fetched.known.validators.etag = Some(b"\"1\"".to_vec());
    archive.keep(vec![fetched.clone()], Vec::new(), at(100)).expect("room");
    // The origin is asked whether this still holds, and before it says so:
    assert_eq!(import(&archive, &[page("/a", "imported", 150)], 200), [Imported::Stored]);
    let unchanged = Kept::Unchanged(fetched.known.validators.clone());
    archive
        .keep(vec![Fetched { kept: unchanged, ..fetched.clone() }], Vec::new(), at(201))
        .expect("room");
    let held = archive.lookup(&fetched.url, None).expect("readable").expect("held");
    assert_eq!((held.capture.body, held.validated), (html("imported"), at(150)));
    let known = archive.known(&fetched.url).expect("readable").expect("known");
    assert_eq!((known.validators, known.due), (Validators::default(), at(201)), "it is asked anew");
    // The same of an answer with content that is older than what was imported.
    let mut older = kept(&page("/a", "of a moment ago", 140));
    older.known.validators.etag = Some(b"\"2\"".to_vec());
    archive.keep(vec![older], Vec::new(), at(202)).expect("room");
    let known = archive.known(&fetched.url).expect("readable").expect("known");
    assert_eq!(known.validators, Validators::default());
}
