//! The command line through the real binary: what it prints where, and with which exit code.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::common::{Ran, run_in};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn seawall(args: &[&str]) -> Ran {
    run_in(&std::env::temp_dir(), args)
}

fn toml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension() == Some(OsStr::new("toml"))).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A fresh clone has files that everybody can read, and Seawall would rightly warn of secrets there.
fn hide_secrets() {
    for file in ["good/key.pem", "good/token", "bad/weak_token.toml.secret"] {
        let file = root().join("testdata/config").join(file);
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("our own file");
    }
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(OsStr::to_str).expect("test data have plain names")
}

#[test]
fn every_mistake_is_told_as_expected() {
    hide_secrets();
    let folder = root().join("testdata/config/bad");
    for file in toml_files(&folder) {
        let Ran { code, stdout, stderr } = run_in(&folder, &["check", name(&file)]);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{}", file.display());
        let golden = file.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&golden, &stderr).expect("the golden file is writable");
        }
        let want = fs::read_to_string(&golden).expect("every mistake has its text");
        assert_eq!(stderr, want, "{}", file.display());
    }
}

#[test]
fn every_message_keeps_to_the_form() {
    for file in toml_files(&root().join("testdata/config/bad")) {
        let text = fs::read_to_string(file.with_extension("txt")).expect("the golden file");
        assert!(!text.contains("swordfish"), "{} leaks a secret", file.display());
        for paragraph in text.split("\n\n").filter(|p| p.starts_with("error: ")) {
            let lines: Vec<&str> = paragraph.lines().collect();
            let is_message =
                |line: &str| !line.ends_with('.') && !line.chars().any(char::is_control);
            assert!(lines.len() == 3 && is_message(lines[0]), "{paragraph}");
            assert!(lines[1].starts_with("  --> ") && lines[1].ends_with(')'), "{paragraph}");
            assert!(lines[2].starts_with("hint: ") && is_message(lines[2]), "{paragraph}");
            let first = lines[0].trim_start_matches("error: ").chars().next();
            assert!(first.is_some_and(|c| c == '`' || c.is_lowercase()), "{paragraph}");
        }
    }
}

#[test]
fn a_file_with_ten_mistakes_reports_all_ten() {
    let folder = root().join("testdata/config/bad");
    let ran = run_in(&folder, &["check", "--json", "ten_mistakes.toml"]);
    assert_eq!(ran.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let errors = json["errors"].as_array().expect("a list");
    let codes: BTreeSet<&str> = errors.iter().filter_map(|error| error["code"].as_str()).collect();
    assert_eq!(errors.len(), 10, "{}", ran.stdout);
    assert_eq!(codes.len(), 10, "each is of another kind: {codes:?}");
    assert!(errors.iter().all(|error| error["line"].is_u64() && error["hint"].is_string()));
}

#[test]
fn every_good_file_and_every_example_is_valid() {
    for folder in ["testdata/config/good", "packaging/examples"] {
        let folder = root().join(folder);
        for file in toml_files(&folder) {
            let ran = run_in(&folder, &["check", name(&file)]);
            assert_eq!(ran.code, Some(0), "{}: {}", file.display(), ran.stderr);
            assert_eq!(ran.stdout, format!("`{}` is valid\n", name(&file)));
            let is_example = folder.ends_with("examples");
            assert!(!is_example || ran.stderr.is_empty(), "{}: {}", file.display(), ran.stderr);
        }
    }
}

#[test]
fn the_full_example_names_every_documented_key() {
    let page = fs::read_to_string(root().join("docs/config.md")).expect("docs/config.md");
    let full =
        fs::read_to_string(root().join("testdata/config/good/full.toml")).expect("full.toml");
    let table = page.split("<!-- keys -->").nth(1).and_then(|rest| rest.split("<!-- end").next());
    let keys = table
        .expect("the table of keys")
        .lines()
        .filter_map(|line| line.strip_prefix("| `").and_then(|rest| rest.split('`').next()));
    for key in keys {
        assert!(full.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
}

#[test]
fn what_is_not_built_yet_is_said_plainly() {
    let ran = run_in(&root().join("testdata/config/good"), &["check", "full.toml"]);
    let said = "warning: `fleet` is understood, but this version does not act on it yet";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(!ran.stderr.contains("`evidence`"), "that is built: {}", ran.stderr);
}

#[track_caller]
fn check_usage(args: &[&str], code: i32, in_stderr: &str) {
    let ran = seawall(args);
    assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
    assert!(ran.stderr.contains(in_stderr), "{args:?}: {}", ran.stderr);
    assert_eq!(ran.stdout, "", "{args:?} wrote errors to standard output");
}

#[test]
fn wrong_usage_ends_with_two_and_a_failure_with_one() {
    check_usage(&["frobnicate"], 2, "frobnicate");
    check_usage(&["serve", "--origin", "http://127.0.0.1:1"], 2, "--listen");
    check_usage(&["serve", "--listen", "127.0.0.1:0"], 2, "--origin");
    check_usage(&["serve", "--origin", "x", "--listen", "y"], 2, "`--origin` is `x`");
    check_usage(&["serve", "--tls-cert", "x"], 2, "--tls-key");
    check_usage(
        &["serve", "--config", "x", "--origin", "http://a", "--listen", "127.0.0.1:0"],
        2,
        "twice",
    );
    check_usage(&["serve", "--config", "/nonexistent.toml"], 1, "there is no such file");
    check_usage(&["check"], 2, "no file");
    check_usage(&["check", "/nonexistent.toml"], 1, "there is no such file");
    check_usage(&["purge"], 2, "--all");
    check_usage(&["purge", "--all", "--tag", "x"], 2, "cannot be used with");
    check_usage(&["purge", "/news/", "--state", "/nonexistent"], 2, "is not the address of a page");
    check_usage(&["purge", "--all", "--state", "/nonexistent"], 1, "no running Seawall");
    check_usage(&["status", "--state", "/nonexistent"], 1, "no running Seawall");
    check_usage(&["explain"], 2, "CODE|REQUEST_ID");
    check_usage(&["explain", "SW-999"], 1, "there is no code `SW-999`");
    check_usage(&["explain", "0123abcd", "--state", "/nonexistent"], 1, "no access log");
}

#[test]
fn the_loop_to_oneself_is_noticed_on_the_command_line() {
    check_usage(
        &["serve", "--origin", "http://127.0.0.1:8080", "--listen", "0.0.0.0:8080"],
        2,
        "on which Seawall itself listens",
    );
}

#[test]
fn every_code_is_explained() {
    let listed = seawall(&["explain", "--list"]);
    assert_eq!(listed.code, Some(0));
    let codes: Vec<&str> =
        listed.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.len() > 40, "{codes:?}");
    for code in ["SW-000", "SW-304", "seawall::config::host"] {
        assert!(codes.contains(&code), "{code}");
        let ran = seawall(&["explain", code]);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{code}");
        assert!(ran.stdout.starts_with(code) && ran.stdout.len() > 60, "{}", ran.stdout);
    }
    for (key, word) in [("limits.held_rate", "\"50/s\""), ("site.route", "allow_sources")] {
        let ran = seawall(&["explain", key]);
        assert!(ran.code == Some(0) && ran.stdout.contains(word), "{}", ran.stdout);
    }
    let json: serde_json::Value =
        serde_json::from_str(&seawall(&["explain", "--json", "held_budget"]).stdout).expect("JSON");
    assert_eq!(json["code"], "SW-106");
}

#[test]
fn a_request_is_explained_from_the_log_of_a_stopped_program() {
    let state = std::env::temp_dir().join(format!("seawall-cli-{}", std::process::id()));
    fs::create_dir_all(state.join("log")).expect("the temporary folder is writable");
    let line = r#"{"timestamp":"2026-01-01T00:00:00Z","url.path":"/news/","seawall.cause":"origin_busy","seawall.request.id":"4f2a"}"#;
    fs::write(state.join("log/access.log"), format!("{line}\n")).expect("own folder");
    let shown = state.to_str().expect("a plain path");
    let ran = seawall(&["explain", "4f2a", "--state", shown]);
    fs::remove_dir_all(&state).expect("own folder");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("/news/") && ran.stdout.contains("SW-301"), "{}", ran.stdout);
}

#[test]
fn help_and_version_are_data() {
    for args in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let ran = seawall(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(ran.stdout.contains("seawall"), "{args:?}");
    }
}
