//! Records sealed into one file and notes added to them, through the real binary.

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use seawall_report::{
    Address, Addresses, Begin, Chain, End, Entry, Moment, RecordVerifier, Removed, Second,
    VerifiedRecord,
};
use seawall_seal::SigningKey;

use crate::common::{Ran, run_in};

const ID: &str = "20261122T100800Z-0abc";

fn at(second: u64) -> Moment {
    Moment::from_unix_ms(1_795_342_080_000 + second * 1_000)
}

fn second(place: u64) -> Entry {
    let second = Second { at: at(place), state: "attack".to_owned(), ..Second::default() };
    Entry::Second(Box::new(Second { requests: 100, expected: 20.0, ..second }))
}

fn addresses() -> Entry {
    let address = Address { address: "192.0.2.77".to_owned(), refused: 40, ..Address::default() };
    Entry::Addresses(Box::new(Addresses {
        salt: "0".repeat(32),
        addresses: vec![address],
        count: 1,
        remove_at: at(1_000_000),
        ..Addresses::default()
    }))
}

fn end() -> Entry {
    let end = End { until: at(8), at: at(9), verdict: "attack".to_owned(), ..End::default() };
    Entry::End(Box::new(end))
}

/// A state folder with the key of an installation and one record.
struct Folder {
    dir: tempfile::TempDir,
    key: SigningKey,
}

impl Folder {
    /// Segments that are sealed, and lines that are not.
    fn with(segments: &[Vec<Entry>], open: &[Entry]) -> Self {
        let key = SigningKey::generate().expect("a key");
        let folder = Self { dir: tempfile::tempdir().expect("a folder"), key };
        fs::create_dir_all(folder.path(&format!("state/incidents/{ID}"))).expect("made");
        let pem = folder.key.to_pem().expect("text");
        fs::write(folder.path("state/sealing-key.pem"), pem).expect("written");
        let begin = Begin {
            incident: ID.to_owned(),
            since: at(0),
            recorded_from: at(0),
            sites: vec!["example.org".to_owned()],
            ..Begin::default()
        };
        let (mut chain, mut bytes) = Chain::begin(&begin, &folder.key).expect("it begins");
        for entries in segments {
            for entry in entries {
                bytes.extend(chain.append(entry).expect("it may stand there"));
            }
            bytes.extend(chain.seal(&folder.key, at(60)).expect("sealed"));
        }
        for entry in open {
            bytes.extend(chain.append(entry).expect("it may stand there"));
        }
        fs::write(folder.record(), bytes).expect("written");
        folder
    }

    fn closed() -> Self {
        Self::with(&[vec![second(1), addresses()], vec![second(2), end()]], &[])
    }

    fn going_on() -> Self {
        Self::with(&[vec![second(1)]], &[second(2), second(3)])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn record(&self) -> PathBuf {
        self.path(&format!("state/incidents/{ID}/record.jsonl"))
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.record()).expect("it is there")
    }

    fn append(&self, bytes: &[u8]) {
        let mut file = OpenOptions::new().append(true).open(self.record()).expect("it is there");
        file.write_all(bytes).expect("written");
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_in(self.dir.path(), &[&["report"], args, &["--state", "state"]].concat())
    }

    fn seal(&self) -> Ran {
        self.run(&["seal", "last", "--out", "sealed.jsonl"])
    }

    fn note(&self, text: &str) -> Ran {
        let author = ["--author", "A. Editor"];
        self.run(&[&["note", "last", "--kind", "claim", text][..], &author].concat())
    }

    /// What the library finds, with the installation's key.
    fn verified(&self) -> VerifiedRecord {
        let mut verifier = RecordVerifier::new(Some(self.key.public()));
        verifier.take(&self.bytes());
        verifier.finish().expect("as it was sealed")
    }
}

#[test]
fn a_sealed_copy_is_the_record_says_its_head_and_can_be_checked_alone() {
    let folder = Folder::closed();
    let done = folder.seal();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let head = folder.verified().head.expect("sealed").to_string();
    assert!(done.stdout.contains(&head), "{}", done.stdout);
    assert!(done.stdout.contains(&folder.key.public().id()), "{}", done.stdout);
    for words in ["Write the head down", "mail", "1 full addresses", "personal data"] {
        assert!(done.stderr.contains(words), "`{words}` is not in: {}", done.stderr);
    }
    let sealed = folder.path("sealed.jsonl");
    assert!(fs::read(&sealed).expect("written") == folder.bytes(), "the same bytes");
    let mode = fs::metadata(&sealed).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let checked = run_in(folder.dir.path(), &["verify", "sealed.jsonl", "--json"]);
    assert_eq!((checked.code, &checked.json()["head"]), (Some(0), &head.into()));
}

#[test]
fn addresses_that_the_record_says_are_gone_are_not_copied_though_they_still_stand() {
    let removed = Removed { at: at(2), lines: vec![3], why: "vouched".to_owned() };
    let (first, said) = (vec![second(1), addresses()], Entry::Removed(removed));
    let closed = vec![vec![said, second(2), end()]];
    // Where it is not sealed that they are gone, the copy does not say so either.
    let open = Folder::with(std::slice::from_ref(&first), &closed[0]);
    for (folder, code, is_told) in
        [(Folder::with(&[&[first][..], &closed].concat(), &[]), 0, false), (open, 1, true)]
    {
        let done = folder.seal();
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert_eq!(done.stderr.contains("It holds no full address"), !is_told, "{}", done.stderr);
        let copy = fs::read_to_string(folder.path("sealed.jsonl")).expect("written");
        assert_eq!(copy.contains("192.0.2.77"), is_told, "{copy}");
        let checked = run_in(folder.dir.path(), &["verify", "sealed.jsonl", "--json"]);
        assert_eq!(checked.code, Some(code), "{}", checked.stderr);
        let head = folder.verified().head.expect("sealed").to_string();
        assert_eq!(checked.json()["head"], head);
    }
}

#[test]
fn nothing_is_overwritten_by_a_sealed_copy() {
    let folder = Folder::closed();
    fs::write(folder.path("sealed.jsonl"), "mine").expect("written");
    folder.seal().check_failed(1, &["nothing is overwritten", "hint:"]);
    assert_eq!(fs::read(folder.path("sealed.jsonl")).expect("it is there"), b"mine");
    // Nor its own record.
    let before = folder.bytes();
    let path = folder.record().display().to_string();
    folder.run(&["seal", "last", "--out", &path]).check_failed(1, &["nothing is overwritten"]);
    assert!(folder.bytes() == before);
}

#[test]
fn a_record_that_was_altered_is_not_sealed_and_leaves_nothing() {
    let folder = Folder::closed();
    let forged = String::from_utf8(folder.bytes())
        .expect("text")
        .replace("\"requests\":100", "\"requests\":900");
    fs::write(folder.record(), forged).expect("written");
    folder.seal().check_failed(1, &["not what was sealed, line 2", "another copy"]);
    assert!(!folder.path("sealed.jsonl").exists());
}

#[test]
fn of_an_incident_that_goes_on_the_sealed_part_is_copied_and_said_to_be_one() {
    let folder = Folder::going_on();
    folder.append(b"{\"entry\":\"sec");
    let done = folder.seal();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for words in ["no end yet", "without the 2 lines", "verify --open", "no full address"] {
        assert!(done.stderr.contains(words), "`{words}` is not in: {}", done.stderr);
    }
    assert!(folder.bytes().starts_with(&fs::read(folder.path("sealed.jsonl")).expect("written")));
    let checked = run_in(folder.dir.path(), &["verify", "--open", "sealed.jsonl", "--json"]).json();
    assert_eq!((&checked["ok"], &checked["unsealed_lines"]), (&true.into(), &0.into()));
    let told = folder.run(&["seal", "last", "--out", "again.jsonl", "--json"]).json();
    assert_eq!((&told["is_closed"], &told["left_out_lines"]), (&false.into(), &2.into()));
    assert_eq!(told["head"], checked["head"]);
}

#[test]
fn a_record_of_which_nothing_is_sealed_is_not_copied() {
    let folder = Folder::with(&[], &[second(1)]);
    folder.seal().check_failed(1, &["nothing of the record is sealed yet", "every minute"]);
    assert!(!folder.path("sealed.jsonl").exists());
}

#[test]
fn a_note_is_sealed_behind_the_end_and_shown() {
    let folder = Folder::closed();
    let before = folder.bytes();
    let args = ["--source", "https://social.example/1", "--about", "2026-11-22 09:00", "--json"];
    let words = ["note", "last", "--kind", "claim", "--author", "A. Editor", "We did it"];
    let done = folder.run(&[&words[..], &args].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(folder.bytes().starts_with(&before), "nothing before it was touched");
    let found = folder.verified();
    assert_eq!((found.complaint(), found.segments, found.is_closed), (None, 3, true));
    assert_eq!(done.json()["head"], found.head.expect("sealed").to_string());
    let record = folder.record().display().to_string();
    assert_eq!(run_in(folder.dir.path(), &["verify", &record]).code, Some(0));
    let shown = folder.run(&["show", "last"]).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in ["A. Editor", "a claim, by others, source: https://social.example/1", "We did it"]
    {
        assert!(shown.contains(words), "`{words}` is not in: {shown}");
    }
    let text = String::from_utf8(folder.bytes()).expect("text");
    assert!(text.contains("\"about\":\"2026-11-22T09:00:00.000Z\""), "{text}");
}

#[test]
fn notes_follow_each_other() {
    let folder = Folder::closed();
    for count in 1..4 {
        assert_eq!(folder.note("again").code, Some(0));
        let found = folder.verified();
        assert_eq!((found.complaint(), found.segments), (None, 2 + count));
    }
}

#[test]
fn a_stopped_program_s_record_that_was_cut_off_takes_a_note_and_keeps_its_whole_lines() {
    let folder = Folder::going_on();
    let whole = folder.bytes();
    folder.append(b"{\"entry\":\"sec");
    let done = folder.note("It began before");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("13 bytes of a line"), "{}", done.stderr);
    assert!(folder.bytes().starts_with(&whole));
    let found = folder.verified();
    assert_eq!((found.unsealed_lines, found.torn_bytes, found.is_closed), (0, 0, false));
    let text = String::from_utf8(folder.bytes()).expect("text");
    assert!(text.contains("13 bytes of a line that was not whole were cut"), "{text}");
}

#[test]
fn a_record_that_a_running_program_writes_takes_no_note_and_one_that_is_over_does() {
    let (open, closed) = (Folder::going_on(), Folder::closed());
    let admin =
        |folder: &Folder| UnixListener::bind(folder.path("state/admin.sock")).expect("bound");
    let (asked, _running) = (admin(&open), admin(&closed));
    let before = open.bytes();
    // It is asked, and leaves without an answer; the first connection only finds out whether it runs.
    let leaves = std::thread::spawn(move || drop((asked.accept(), asked.accept())));
    open.note("x").check_failed(1, &["admin.sock", "hint:"]);
    leaves.join().expect("it was asked");
    assert!(open.bytes() == before);
    assert_eq!(closed.note("x").code, Some(0));
    // Also one whose socket lies elsewhere: it locks what it writes.
    let stopped = Folder::going_on();
    let file = File::open(stopped.record()).expect("it is there");
    file.lock().expect("nobody else has it");
    stopped.note("x").check_failed(1, &["another program is writing", "--config FILE"]);
    drop(file);
    assert_eq!(stopped.note("x").code, Some(0));
}

#[test]
fn what_is_too_long_or_empty_is_no_note_and_changes_nothing() {
    let folder = Folder::closed();
    let before = folder.bytes();
    let long = "x".repeat(8_193);
    folder.note(&long).check_failed(2, &["8,193 bytes", "8,192 are the limit"]);
    folder.note(" ").check_failed(2, &["the text is empty"]);
    folder.note("a\u{1b}[2Jb").check_failed(2, &["control characters"]);
    let by =
        |author: &str| folder.run(&["note", "last", "--kind", "event", "--author", author, "x"]);
    by(&"é".repeat(101)).check_failed(2, &["--author has 202 bytes"]);
    by("A\nB").check_failed(2, &["control characters"]);
    let about =
        folder.run(&["note", "last", "--kind", "event", "--author", "A", "--about", "once", "x"]);
    about.check_failed(2, &["`--about` is no time"]);
    assert_eq!(folder.run(&["note", "last", "--kind", "poem", "--author", "A", "x"]).code, Some(2));
    assert!(folder.bytes() == before);
    assert_eq!(folder.note(&long[1..]).code, Some(0), "as long as it may be");
}

#[test]
fn a_record_that_was_altered_or_has_another_key_or_is_a_copy_takes_no_note() {
    let folder = Folder::closed();
    fs::copy(folder.record(), folder.path("copy.jsonl")).expect("copied");
    let copy = ["note", "copy.jsonl", "--kind", "event", "--author", "A", "x"];
    folder.run(&copy).check_failed(2, &["nothing is added to a copy"]);
    let other = SigningKey::generate().expect("a key").to_pem().expect("text");
    fs::write(folder.path("state/sealing-key.pem"), other).expect("written");
    let before = folder.bytes();
    folder.note("x").check_failed(1, &["cannot be continued", "not with the key given"]);
    fs::remove_file(folder.path("state/sealing-key.pem")).expect("it is there");
    folder.note("x").check_failed(1, &["there is no `sealing-key.pem`"]);
    assert!(!folder.path("state/sealing-key.pem").exists(), "none is made");
    assert!(folder.bytes() == before);
    let folder = Folder::closed();
    let forged = String::from_utf8(folder.bytes())
        .expect("text")
        .replace("\"requests\":100", "\"requests\":900");
    fs::write(folder.record(), &forged).expect("written");
    folder.note("x").check_failed(1, &["cannot be continued", "line 2"]);
    assert!(folder.bytes() == forged.as_bytes());
}
