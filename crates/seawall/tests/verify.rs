//! `seawall verify` of records through the real binary, and by hand with the commands of docs/evidence.md.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use seawall_report::{Begin, Chain, End, Entry, Fault, Moment};
use seawall_seal::SigningKey;

use crate::common::{Ran, run_in};

fn fault(number: u64) -> Entry {
    let at = Moment::from_unix_ms(1_794_000_000_000 + number);
    Entry::Fault(Fault { at, part: "disk".to_owned(), what: "a \\ \"quote\" \u{e9}".to_owned() })
}

/// A record of two segments, as the program writes it.
fn record(key: &SigningKey, is_closed: bool) -> Vec<u8> {
    let at = |ms: u64| Moment::from_unix_ms(1_794_000_000_000 + ms);
    let begin = Begin { incident: "20261122T100800Z-0abc".to_owned(), ..Begin::default() };
    let (mut chain, mut bytes) = Chain::begin(&begin, key).expect("short");
    bytes.extend(chain.append(&fault(1)).expect("short"));
    bytes.extend(chain.append(&fault(2)).expect("short"));
    bytes.extend(chain.seal(key, at(3)).expect("it has entries"));
    bytes.extend(chain.append(&fault(4)).expect("short"));
    if is_closed {
        bytes.extend(chain.append(&Entry::End(Box::<End>::default())).expect("short"));
    }
    bytes.extend(chain.seal(key, at(5)).expect("it has entries"));
    bytes
}

struct Place {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Place {
    fn new(is_closed: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let key = SigningKey::generate().expect("there is randomness");
        let place = Self { folder, key };
        place.write(&record(&place.key, is_closed));
        fs::write(place.path().join("key.pem"), place.key.public().to_pem()).expect("own folder");
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self) -> Vec<u8> {
        fs::read(self.path().join("record.jsonl")).expect("it was written")
    }

    fn write(&self, bytes: &[u8]) {
        fs::write(self.path().join("record.jsonl"), bytes).expect("own folder");
    }

    fn verify(&self, more: &[&str]) -> Ran {
        run_in(self.path(), &[&["verify", "record.jsonl"], more].concat())
    }
}

#[test]
fn a_whole_record_is_good_and_it_is_said_what_that_proves() {
    let place = Place::new(true);
    let found = place.verify(&["--json", "--key", "key.pem"]);
    let json = found.json();
    assert_eq!((found.code, &json["ok"], &json["first_bad"]), (Some(0), &true.into(), &().into()));
    assert_eq!((&json["records"], &json["segments"]), (&5.into(), &2.into()));
    assert_eq!(json["key"], place.key.public().id());
    assert_eq!(json["head"].as_str().map(str::len), Some(64));
    let told = place.verify(&[]);
    assert!(told.stdout.contains("good, 5 records in 2 segments"), "{}", told.stdout);
    for word in ["after sealing by anyone without", "the file cannot prove", "does not prove"] {
        assert!(told.stderr.contains(word), "{}", told.stderr);
    }
}

#[test]
fn the_first_altered_line_is_named() {
    let place = Place::new(true);
    let text = String::from_utf8(place.read()).expect("text");
    place.write(text.replacen("disk", "dusk", 1).as_bytes());
    let found = place.verify(&["--json"]);
    assert_eq!((found.code, &found.json()["first_bad"]), (Some(1), &2.into()));
    let told = place.verify(&[]);
    assert!(told.stdout.contains("BAD, line 2: it is not what was sealed"), "{}", told.stdout);
    told.check_failed(1, &["is not what was sealed", "do not rely"]);

    let other = SigningKey::generate().expect("there is randomness");
    place.write(text.as_bytes());
    fs::write(place.path().join("other.pem"), other.public().to_pem()).expect("own folder");
    let told = place.verify(&["--key", "other.pem"]);
    assert!(told.stdout.contains("not with the key given"), "{}", told.stdout);
    assert_eq!(told.code, Some(1));
    // A record whose beginning was altered is still taken for one.
    place.write(&text.as_bytes()[1..]);
    assert!(place.verify(&[]).stdout.contains("BAD, line 1:"));
}

#[test]
fn a_record_without_an_end_is_good_only_up_to_its_last_seal() {
    let place = Place::new(false);
    let told = place.verify(&[]);
    told.check_failed(1, &["has no end", "--open"]);
    assert!(told.stdout.contains("BAD, line 11: the record breaks off"), "{}", told.stdout);
    let open = place.verify(&["--open"]);
    assert_eq!(open.code, Some(0), "{}", open.stderr);
    assert!(open.stderr.contains("has no end yet"), "{}", open.stderr);
    assert_eq!(place.verify(&["--open", "--json"]).json()["is_closed"], false);
    for (is_closed, more) in [(false, "{}\n{"), (true, "{}\n{}\n")] {
        let place = Place::new(is_closed);
        place.write(&[&place.read(), more.as_bytes()].concat());
        assert_eq!(place.verify(&[]).code, Some(1));
        let open = place.verify(&["--open"]);
        assert!(open.stderr.contains("vouches for the 2 lines behind"), "{}", open.stderr);
    }
}

/// The commands of the section, as they stand there.
fn commands() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/evidence.md");
    let text = fs::read_to_string(path).expect("it is in the repository");
    let section = text.split("## Checking a record by hand").nth(1).expect("the section");
    let block = section.split("```sh\n").nth(1).expect("its commands");
    block.split("```").next().expect("its end").to_owned()
}

fn by_hand(place: &Place) -> (bool, String) {
    let ran = Command::new("sh").args(["-c", &commands()]).current_dir(place.path()).output();
    let ran = ran.expect("a shell");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.success(), text(&ran.stdout) + &text(&ran.stderr))
}

fn has_tools() -> bool {
    let has = |tool: &str| {
        let ran = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    ["sed", "sha256sum", "openssl", "grep"].iter().all(|tool| has(tool))
}

#[test]
fn a_record_is_checked_by_hand_as_the_documentation_says() {
    if !has_tools() {
        return;
    }
    let place = Place::new(true);
    let (is_good, said) = by_hand(&place);
    assert!(is_good, "{said}");
    assert_eq!(said.matches("Signature Verified Successfully").count(), 2, "{said}");

    let whole = String::from_utf8(place.read()).expect("text");
    let seal = whole.find("\"is_closed\":true").expect("the last seal");
    let late = format!("{}{}", &whole[..seal], whole[seal..].replacen("true", "false", 1));
    let swapped: Vec<&str> = whole.lines().collect();
    let swapped = [&swapped[6..], &swapped[..6]].concat().join("\n") + "\n";
    for altered in [whole.replacen("disk", "dusk", 1), late, swapped] {
        place.write(altered.as_bytes());
        let (is_good, said) = by_hand(&place);
        assert!(!is_good, "{said}");
    }
}
