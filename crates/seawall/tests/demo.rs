//! `seawall demo` through the real binary: what it says of the flood, and of a site that has died.

use std::process::{Command, Output};

use serde_json::Value;

/// Goal: it is shown that the flood was noticed, and with the origin dead every page that anybody wants is there, also
/// those that nobody had wanted before. Method: the whole demo, with floods too short to count page views in, and its figures. The archive
/// is waited for before the origin is killed, so that what is claimed does not hang on how fast anything is.
/// The shield ends as a service does, and not by a kill: else no record of an incident would ever be closed.
#[test]
fn the_flood_is_noticed_and_readers_do_not_notice_that_the_origin_dies() {
    let kept = tempfile::tempdir().expect("the temporary folder is writable");
    let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["demo", "--brief", "--json", "--no-browser", "--keep"])
        .arg(kept.path())
        .output()
        .expect("the binary starts");
    let Output { stdout, stderr, .. } = output;
    let said = String::from_utf8_lossy(&stderr);
    let figures: Value = serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("{said}"));
    let dead = &figures["with_origin_dead"];
    let number = |at: &str| dead.pointer(at).and_then(Value::as_u64).expect("every key is there");
    // 300 stories and 60 old ones, with lists, pictures and the rest.
    assert!(number("/pages_held") > 360, "{dead:#}");
    assert_eq!(number("/pages_held"), number("/pages_known"), "{dead:#}");
    assert!(number("/readers/transactions") >= 100, "{dead:#}");
    for failure in ["refused", "turned_away", "broken", "wrong_bytes"] {
        assert_eq!(number(&format!("/readers/failures/{failure}")), 0, "{failure}: {dead:#}");
    }
    // Nobody but the archive can have served these; and nobody but a live origin a search.
    assert!(number("/kinds/unread/ok") > 0, "{dead:#}");
    assert!(number("/copies") >= number("/kinds/unread/ok"), "{dead:#}");
    assert!(number("/needs_origin/transactions") > 0, "{dead:#}");
    assert_eq!(number("/needs_origin/ok"), 0, "the origin is dead: {dead:#}");
    let says = dead["copy_says"].as_str().expect("a copy says that it is one");
    assert!(says.starts_with("The site is not answering. This is its copy from "), "{says}");
    for (act, text) in
        [("first", "without Seawall"), ("second", "with Seawall"), ("third", "The server is dead")]
    {
        assert!(said.contains(text), "the {act} act is announced: {said}");
    }
    the_detection_is_shown(&figures["with"], &said);
    let log = std::fs::read_to_string(kept.path().join("shield.log")).expect("the log is kept");
    assert!(log.contains("stopping"), "{log}");
}

/// When the flood was noticed, its signature in words, what was done about it and what readers lost, in figures and
/// in text. How soon hangs on the machine and is not asked.
fn the_detection_is_shown(with: &Value, said: &str) {
    let noticed = with["detected_after_s"].as_f64();
    assert!(noticed.is_some_and(|seconds| seconds >= 0.0), "{with:#}\n{said}");
    assert!(said.contains(" s into the flood Seawall notices that this is not ordinary"), "{said}");
    assert!(with["verdict"].is_string(), "it was taken for something: {with:#}");
    let signatures = with["signatures"].as_array().expect("a list");
    let in_words = |it: &Value| it.as_str().is_some_and(|words| !words.is_empty());
    assert!(!signatures.is_empty() && signatures.iter().all(in_words), "{with:#}\n{said}");
    let measures = with["measures"].as_array().expect("a list");
    let steps = [
        ("demoted_after_s", "has to wait behind readers"),
        ("challenged_after_s", "has to pass a test"),
        ("blocked_after_s", "is refused"),
    ];
    let is_done = |key: &str| measures.iter().any(|measure| measure[key].is_number());
    assert!(steps.iter().any(|(key, _)| is_done(key)), "{with:#}");
    for (_, what) in steps.iter().filter(|(key, _)| is_done(key)) {
        let is_told = |line: &str| line.contains(": what matches “") && line.ends_with(what);
        assert!(said.lines().any(is_told), "{what}: {said}");
    }
    assert!(with["readers"]["failures"]["turned_away"].is_u64(), "{with:#}");
}
