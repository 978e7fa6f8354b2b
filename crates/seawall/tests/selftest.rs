//! The self-test through the real binary: all is bounded, and it would notice if it were not.

use std::process::{Command, Output};

use serde_json::Value;

fn selftest(args: &[&str]) -> (Output, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["selftest", "--json"])
        .args(args)
        .output()
        .expect("the binary starts");
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, report)
}

/// Names of the attacks that were not bounded, with what was wrong.
fn failed(report: &Value) -> Vec<(&str, &str)> {
    let attacks = report["attacks"].as_array().expect("a list of attacks");
    let failed = attacks.iter().filter(|attack| attack["passed"] != true);
    failed.filter_map(|row| Some((row["name"].as_str()?, row["outcome"].as_str()?))).collect()
}

#[test]
fn every_attack_is_bounded() {
    let (output, report) = selftest(&[]);
    assert_eq!(failed(&report), []);
    assert!(output.status.success());
    assert_eq!(report["attacks"].as_array().map(Vec::len), Some(21));
    assert_eq!(report["passed"], true);
}

#[test]
fn a_limit_taken_away_turns_its_row_red_and_no_other() {
    let rows = [
        "rapid-reset",
        "empty-data",
        "http2-bomb",
        "http2-bomb-streams",
        "many-fields",
        "large-head",
    ];
    let only: Vec<&str> = rows.iter().flat_map(|name| ["--only", name]).collect();
    // What all streams may hold bounds both kinds of bomb; what each is counted with, only one.
    let bombs = ["http2-bomb", "http2-bomb-streams"];
    let weakened: [(&str, &[&str]); 4] = [
        ("rapid-reset", &["rapid-reset"]),
        ("http2-bomb", &bombs),
        ("http2-bomb-streams", &bombs[1..]),
        ("many-fields", &["many-fields"]),
    ];
    for (weak, red) in weakened {
        let (output, report) = selftest(&[&only[..], &["--weaken", weak]].concat());
        let names: Vec<&str> = failed(&report).iter().map(|(name, _)| *name).collect();
        assert_eq!(names, red, "{:?}", failed(&report));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn an_attack_that_nobody_knows_is_a_wrong_question() {
    let (output, _) = selftest(&["--only", "teardrop"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("slow-head"), "it says what is known");
}
