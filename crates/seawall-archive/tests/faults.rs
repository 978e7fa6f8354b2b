//! The archive under a kill at any moment, a disk that is full at any write, and a clock that jumps: no
//! page is wrong, what was acknowledged stays, and the next start says what it mended.

#[allow(dead_code, reason = "some of it only the tests of the store use")]
#[path = "store/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seawall_archive::{Archive, ArchiveError, ArchiveOptions, Capture, Kept, Repaired, Validators};
use seawall_seal::SigningKey;
use support::{Place, at, kept, noise, page};

/// Set in the process that is to be killed: its folder.
const VICTIM: &str = "SEAWALL_TEST_VICTIM";
/// Set there too: the turn it begins with.
const FIRST: &str = "SEAWALL_TEST_FIRST";
/// Set in the process that runs under a limit.
const FULL: &str = "SEAWALL_TEST_FULL";

/// Pages of the victim's site. Few, so that packages get much of no use and are written anew.
const PAGES: u64 = 12;

fn path(turn: u64) -> String {
    format!("/{}", turn % PAGES)
}

fn text(turn: u64) -> String {
    format!("turn {turn}. {}", noise(turn, 30_000))
}

fn options(change: impl FnOnce(&mut ArchiveOptions)) -> ArchiveOptions {
    let mut options = ArchiveOptions::new(1 << 30);
    change(&mut options);
    options
}

fn small_packages(options: &mut ArchiveOptions) {
    options.package_bytes = 100 << 10;
    options.max_bytes = 700 << 10;
    options.max_versions = 2;
}

fn opened(dir: &Path, key: &Arc<SigningKey>, second: u64) -> (Archive, Repaired) {
    Archive::open(dir, options(small_packages), Arc::clone(key), at(second)).expect("opens")
}

#[allow(clippy::print_stdout, reason = "the process that started it reads this")]
/// Keeps, packs, erases and writes anew until it is killed, and says what is done.
fn be_a_victim(dir: &Path, first: u64) {
    let key = Arc::new(SigningKey::generate().expect("random numbers"));
    let (archive, _) = opened(dir, &key, first);
    for turn in first..first + 2_000 {
        let page = page(&path(turn), &text(turn), turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(turn)).expect("kept");
        println!("\nkept {turn}");
        if turn % 4 == 3 {
            archive.upkeep(at(turn)).expect("looked after");
            println!("\nupkeep {turn}");
        }
        if turn % 64 == 63 {
            let secret = support::page("/secret", &text(turn + 1_000_000), turn);
            archive.keep(vec![kept(&secret)], Vec::new(), at(turn)).expect("kept");
            archive.withdraw(&secret.url, at(turn)).expect("withdrawn");
            println!("\nwithdrawn {turn}");
        }
    }
}

fn again(test: &str, variable: &str, dir: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("a test runs"));
    command.args(["--exact", test, "--nocapture"]).env(variable, dir);
    command
}

/// When the victim is killed.
enum Moment {
    /// As soon as it has said so many lines.
    Said(usize),
    /// As soon as a file with this end is in the folder for the so-many-th time.
    Seen(&'static str, usize),
}

/// The last turns whose page, and in which the secret page's withdrawal, was acknowledged.
#[derive(Default)]
struct Said {
    kept: Option<u64>,
    withdrawn: Option<u64>,
}

impl Said {
    fn note(&mut self, line: &str) {
        let Some((what, turn)) = line.split_once(' ') else { return };
        match (what, turn.parse()) {
            ("kept", Ok(turn)) => self.kept = Some(turn),
            ("withdrawn", Ok(turn)) => self.withdrawn = Some(turn),
            _ => {}
        }
    }
}

/// Lets a victim run until `moment` and kills it. Returns what it acknowledged.
fn killed(test: &str, dir: &Path, first: u64, moment: &Moment) -> Said {
    let mut command = again(test, VICTIM, dir);
    command.env(FIRST, first.to_string()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut said = Said::default();
    match moment {
        Moment::Said(wanted) => {
            let words = lines.by_ref().map_while(Result::ok).filter(|line| line.contains(' '));
            words.take(*wanted).for_each(|line| said.note(&line));
        }
        Moment::Seen(end, times) => {
            let mut seen = std::collections::BTreeSet::new();
            while seen.len() < *times && child.try_wait().expect("a child").is_none() {
                let names = fs::read_dir(dir).into_iter().flatten().flatten();
                let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
                seen.extend(names.filter(|name| name.ends_with(end)));
            }
        }
    }
    child.kill().expect("SIGKILL");
    lines.map_while(Result::ok).for_each(|line| said.note(&line));
    let status = child.wait().expect("ends");
    assert!(!status.success() && status.code().is_none(), "it was killed: {status}");
    said
}

/// The newest version of each page is one that was kept, and none older than what was acknowledged.
fn assert_nothing_is_lost(archive: &Archive, acknowledged: &BTreeMap<String, u64>) {
    for (path, turn) in acknowledged {
        let url = format!("https://example.org{path}");
        let held = archive.lookup(&url, None).expect("whole").unwrap_or_else(|| {
            panic!("{path} was acknowledged in turn {turn} and is gone");
        });
        let second = held.capture.captured.saturating_since(at(0)).as_secs();
        assert!(second >= *turn, "{path}: turn {second} instead of {turn}");
        assert_eq!(held.capture, page(path, &text(second), second), "{path}");
        assert_eq!(held.validated, held.capture.captured, "nobody asked the origin since");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_that_was_acknowledged() {
    if let Some(dir) = env::var_os(VICTIM) {
        let first = env::var(FIRST).expect("set").parse().expect("a number");
        return be_a_victim(Path::new(&dir), first);
    }
    let place = Place::new();
    let key = Arc::new(SigningKey::generate().expect("random numbers"));
    let moments = [3, 7, 8, 9, 13, 40, 41, 66, 83, 84, 120].map(Moment::Said);
    // What is packed or written anew is first written beside its place, then put there.
    let seen = [1, 2, 3, 5, 8]
        .into_iter()
        .flat_map(|times| [Moment::Seen(".tmp", times), Moment::Seen(".wacz", times + 8)]);
    let (mut first, mut acknowledged, mut withdrawn, mut mended) = (0, BTreeMap::new(), None, 0);
    for moment in moments.into_iter().chain(seen) {
        let test = "a_kill_at_any_moment_loses_nothing_that_was_acknowledged";
        let said = killed(test, place.path(), first, &moment);
        if let Some(last) = said.kept {
            acknowledged.extend((first..=last).map(|turn| (path(turn), turn)));
        }
        withdrawn = said.withdrawn.or(withdrawn);
        first = said.kept.unwrap_or(first) + 10;
        let files = |end: &str| {
            let names = fs::read_dir(place.path()).expect("readable").flatten();
            names.filter(|entry| entry.file_name().to_string_lossy().ends_with(end)).count()
        };
        let unfinished = files(".tmp") + files(".open.warc.gz").saturating_sub(1);
        let (archive, repaired) = opened(place.path(), &key, first);
        assert_eq!((repaired.lost_packages, repaired.index_rebuilt), (0, false), "{repaired:?}");
        assert!(repaired.leftovers >= unfinished as u64, "it says so: {repaired:?}");
        mended += u32::from(!repaired.is_clean());
        assert_nothing_is_lost(&archive, &acknowledged);
        let secret = archive.lookup("https://example.org/secret", None).expect("readable");
        let secret = secret.map(|held| held.capture.captured);
        assert!(secret.is_none() || secret > withdrawn.map(at), "withdrawn, and shown again");
        for package in archive.packages().expect("listed") {
            // Signed by the victim of one turn or another: only that it is whole is asked.
            seawall_archive::verify_package(&package, None).expect("whole");
        }
        drop(archive);
        let (_, repaired) = opened(place.path(), &key, first);
        assert!(repaired.is_clean(), "mended once: {repaired:?}");
    }
    assert!(mended > 0, "at least one kill came in the middle of something");
}

fn packages_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("readable").flatten().map(|entry| entry.path());
    let mut packages: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "wacz")).collect();
    packages.sort();
    packages
}

/// The index is lost, and while it is made again the start is cut off: the packages that it does not name
/// yet must not be taken for left over by the start after that.
#[test]
fn a_start_cut_off_while_the_index_is_made_again_loses_nothing() {
    let place = Place::new();
    let archive = place.open(1);
    for turn in 0..PAGES {
        let page = page(&path(turn), &text(turn), turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(turn)).expect("kept");
        if turn % 4 == 3 {
            archive.seal(at(turn)).expect("sealed");
        }
    }
    drop(archive);
    let index = place.path().join("index.redb");
    fs::remove_file(&index).expect("removed");
    let packages = packages_in(place.path());
    // The last one cannot be read, and so the start ends after it took in the others.
    let (last, aside) = (&packages[2], place.path().join("aside"));
    fs::rename(last, &aside).expect("moved");
    fs::create_dir(last).expect("made");
    let cut_off = place.try_open(20).map(drop);
    assert!(matches!(cut_off, Err(ArchiveError::Io { .. })), "{cut_off:?}");
    fs::remove_dir(last).expect("removed");
    fs::rename(&aside, last).expect("moved back");
    let whole = |second| {
        let (archive, repaired) = place.try_open(second).expect("opens");
        assert!(repaired.index_rebuilt, "{repaired:?}");
        assert_eq!(archive.stats().expect("counted").held, PAGES);
        assert_eq!(packages_in(place.path()), packages);
    };
    whole(30);
    // Cut off still earlier: an index in which nothing stands at all.
    fs::write(&index, b"").expect("written");
    whole(40);
}

fn limit_file_size(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(Resource::Fsize, Rlimit { current: bytes.or(maximum), maximum }).expect("lowered");
}

/// What is known to be there while the disk is full and after.
struct Acknowledged(Vec<Capture>);

impl Acknowledged {
    fn assert_held(&self, archive: &Archive, when: &str) {
        for page in &self.0 {
            let held = archive.lookup(&page.url, None);
            let held = held.unwrap_or_else(|error| panic!("{when}: {}: {error:?}", page.url));
            assert_eq!(held.map(|held| held.capture).as_ref(), Some(page), "{when}: {}", page.url);
        }
    }
}

/// Everything that writes, with files that cannot grow beyond `limit`: each either does it or says that
/// it did not, and when there is room again the very same archive goes on.
fn work_on_a_full_disk(dir: &Path, limit: u64) -> u32 {
    let key = Arc::new(SigningKey::generate().expect("random numbers"));
    let open = |second| Archive::open(dir, options(small_packages), Arc::clone(&key), at(second));
    let (archive, _) = open(1).expect("opens");
    let mut there = Acknowledged(Vec::new());
    for turn in 0..4 {
        let page = page(&path(turn), &text(turn), turn);
        archive.keep(vec![kept(&page)], Vec::new(), at(turn)).expect("kept");
        there.0.push(page);
    }
    let secret = page("/secret", "to be withdrawn", 5);
    archive.keep(vec![kept(&secret)], Vec::new(), at(5)).expect("kept");

    limit_file_size(Some(limit));
    let mut refused = 0;
    for turn in 4..8 {
        let page = page(&path(turn), &text(turn), turn);
        match archive.keep(vec![kept(&page)], Vec::new(), at(turn)) {
            Ok(_) => there.0.push(page),
            Err(_) => refused += 1,
        }
    }
    refused += u32::from(archive.seal(at(9)).is_err());
    let is_withdrawn = archive.withdraw(&secret.url, at(10)).is_ok();
    refused += u32::from(!is_withdrawn);
    refused += u32::from(archive.upkeep(at(11)).is_err());
    limit_file_size(None);

    there.assert_held(&archive, "with room again");
    let again = page("/again", &text(100), 100);
    archive.keep(vec![kept(&again)], Vec::new(), at(100)).expect("there is room again");
    there.0.push(again);
    archive.upkeep(at(101)).expect("there is room again");
    let files = |archive: &Archive| {
        let known = archive.packages().expect("listed");
        assert_eq!(packages_in(dir), known, "what could not be made does not fill the disk");
    };
    files(&archive);
    let check = |archive: &Archive, when: &str| {
        there.assert_held(archive, when);
        let held = archive.lookup(&secret.url, None).expect("readable").map(|held| held.capture);
        assert!(held.is_none() || (!is_withdrawn && held.as_ref() == Some(&secret)), "{when}");
        for package in archive.packages().expect("listed") {
            seawall_archive::verify_package(&package, Some(&key.public())).expect("whole");
        }
    };
    check(&archive, "after going on");
    drop(archive);
    let (archive, repaired) = open(200).expect("opens");
    assert_eq!((repaired.lost_packages, repaired.index_rebuilt), (0, false), "{repaired:?}");
    check(&archive, "after a restart");
    refused
}

/// The process runs under a limit of file size, which fails writes as a full disk does.
#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_and_is_got_over() {
    if let Some(folder) = env::var_os(FULL) {
        let mut refused = Vec::new();
        // From nothing at all up to where even the index, the largest file, has room.
        for step in 0..48 {
            let dir = Path::new(&folder).join(step.to_string());
            refused.push(work_on_a_full_disk(&dir, step * step * 1_500));
        }
        assert!(refused[0] >= 5, "nothing can be written: {refused:?}");
        assert_eq!(refused.last(), Some(&0), "everything can: {refused:?}");
        return;
    }
    let place = Place::new();
    // Without the trap the signal would end the process before the error.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(env::current_exe().expect("a test runs"))
        .args(["--exact", "a_disk_that_is_full_at_any_write_loses_nothing_and_is_got_over"])
        .arg("--nocapture")
        .env(FULL, place.path())
        .output()
        .expect("sh starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "it ran");
}

/// What was fetched while the clock was years ahead is neither shown for years nor fetched again only then.
#[test]
fn a_clock_that_was_years_ahead_does_not_hold_back_what_comes_after() {
    let place = Place::new();
    let archive = place.open(1);
    let years = 10 * 365 * 86_400;
    let wrong = page("/", "fetched in ten years", years);
    let other = page("/other", "the same", years);
    archive.keep(vec![kept(&wrong), kept(&other)], Vec::new(), at(years)).expect("kept");
    assert!(archive.due(at(10), 9).expect("readable").is_empty());
    archive.upkeep(at(10)).expect("looked after");
    let due = archive.due(at(10), 9).expect("readable");
    assert_eq!(due.len(), 2, "{due:?}");
    let right = page("/", "fetched now", 20);
    archive.keep(vec![kept(&right)], Vec::new(), at(20)).expect("kept");
    let held = archive.lookup(&right.url, None).expect("readable").expect("held");
    assert_eq!(held.capture, right);
    let mut same = kept(&page("/other", "the same", 20));
    same.kept = Kept::Unchanged(Validators::default());
    archive.keep(vec![same], Vec::new(), at(20)).expect("kept");
    let held = archive.lookup(&other.url, None).expect("readable").expect("held");
    assert_eq!(held.validated, at(20), "its note tells the right age");
}

#[test]
fn of_two_that_open_at_once_one_gets_it() {
    let place = Place::new();
    drop(place.open(1));
    for _ in 0..20 {
        let opened = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| place.try_open(2)));
            both.map(|one| one.join().expect("no panic"))
        });
        let got = opened.iter().filter(|one| one.is_ok()).count();
        // The second may come when the first has it or, where that is done, one after another.
        assert_eq!(got, 1, "{opened:?}");
        assert!(opened.iter().any(|one| matches!(one, Err(ArchiveError::InUse))), "{opened:?}");
    }
}
