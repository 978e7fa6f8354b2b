//! A note on an incident that goes on, through the real binary: the running program writes it.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use seawall_edge::admin::send;
use seawall_report::{Note, RecordVerifier};
use serde_json::Value;

use crate::common::attack::Attack;
use crate::common::{Ran, run_in};

fn report(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[&["report"], args, &["--state", "state"]].concat())
}

/// The folder of the one incident.
fn incident(folder: &Path) -> PathBuf {
    let mut all = fs::read_dir(folder.join("state/incidents")).expect("it is recorded");
    all.next().expect("there is one").expect("readable").path()
}

fn note(folder: &Path, text: &str) -> Ran {
    report(folder, &["note", "last", "--kind", "claim", "--author", "A. Editor", "--json", text])
}

#[test]
fn a_note_on_an_incident_that_goes_on_is_sealed_when_the_command_returns() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let attack = Attack::begin(folder);
    attack.wait_until_recorded();
    let done = note(folder, "We did it");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let noted = done.json();
    let record = incident(folder).join("record.jsonl");
    let bytes = fs::read(&record).expect("it is there");
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.starts_with("{\"entry\":\"note\"")).expect("a note");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["author"], &line["text"]), (&"A. Editor".into(), &"We did it".into()));
    assert_eq!((&line["at"], &noted["is_closed"]), (&noted["at"], &false.into()));
    // Its seal is there, and the incident goes on.
    let mut verifier = RecordVerifier::new(None);
    verifier.take(&bytes);
    let found = verifier.finish().expect("as it was sealed");
    assert!(!found.is_closed && found.segments >= noted["segment"].as_u64().expect("a number"));
    let again = note(folder, "And again");
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_ne!(again.json()["head"], noted["head"]);

    // What the command refuses the program refuses as well, in the same words.
    let long = "x".repeat(8_193);
    let words = "the text has 8,193 bytes, and 8,192 are the limit";
    note(folder, &long).check_failed(2, &[words]);
    let (author, socket) = ("A. Editor".to_owned(), folder.join("state/admin.sock"));
    let long = Note { author, text: long, ..Note::default() };
    let id = incident(folder).file_name().expect("a name").to_string_lossy().into_owned();
    let bring = |incident: &str, note: &Note| {
        let content = serde_json::to_vec(note).expect("JSON");
        let answer = send(&socket, &format!("/note?incident={incident}"), &content);
        let answer = answer.expect("it runs");
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    let (status, said) = bring(&id, &long);
    assert!(status == 400 && said.contains(words), "{status} {said}");
    let other = bring("20200101T000000Z-0000", &Note { text: "x".to_owned(), ..long });
    assert!(other.0 == 409 && other.1.contains("is not writing"), "{other:?}");

    attack.end();
    let record = record.display().to_string();
    let checked = run_in(folder, &["verify", &record]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let shown = report(folder, &["show", "last"]).stdout;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let minute = noted["at"].as_str().expect("a time")[11..16].to_owned();
    for words in ["A. Editor", "We did it", "And again", "a claim, by others", &minute] {
        assert!(shown.contains(words), "`{words}` is not in: {shown}");
    }
    assert!(!shown.contains("xxxx"));
    // It is over: the command writes itself.
    assert_eq!(note(folder, "Later").json()["is_closed"], true);
}
