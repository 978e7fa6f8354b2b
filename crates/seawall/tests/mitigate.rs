//! What the operator decides by hand, through the real binary: a signature from words, a veto, lists of addresses,
//! and what `explain` says of those who met them.
//!
//! Clients are told apart by the forwarding field of a trusted peer, because one in a hundred is kept out of
//! every mitigation.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::site::site;
use crate::common::{Ran, Shield, run_in};

const PROGRAM: &str = "python-requests/2.32.3";

/// A running shield before a site, and its folder.
struct Site {
    shield: Shield,
    folder: PathBuf,
}

impl Site {
    fn start(folder: &Path, more: &str) -> Self {
        let origin = site("no-store", |_| ());
        let config = format!(
            "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[site]]\nhosts = [\"*\"]\norigin = \"http://{origin}\"\n\
             [network]\ntrusted_proxies = [\"127.0.0.1\"]\n{more}"
        );
        fs::write(folder.join("seawall.toml"), config).expect("own folder");
        let shield = Shield::start(folder, &["--config", "seawall.toml"]);
        Self { shield, folder: folder.to_owned() }
    }

    /// What a client at `from` gets: status and the whole answer.
    fn get(&self, path: &str, from: &str) -> (u16, String) {
        let fields = format!("User-Agent: {PROGRAM}\r\nX-Forwarded-For: {from}\r\n");
        let answer = self.shield.visit(path, &fields);
        let status = answer.get(9..12).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), answer)
    }

    /// What twelve clients get.
    fn asked(&self, path: &str) -> Vec<(u16, String)> {
        (1..=12).map(|last| self.get(path, &format!("203.0.113.{last}"))).collect()
    }

    fn ask(&self, args: &[&str]) -> Ran {
        ask(&self.folder, args)
    }

    fn reload(&mut self) {
        self.shield.signal(Signal::HUP);
        self.shield.wait_for("configuration reloaded");
    }

    /// As by a power cut.
    fn kill(self) {
        drop(self.shield);
    }

    /// Reads the log until `words` are in it.
    fn hear(&mut self, words: &str) {
        self.shield.hear(words);
    }

    fn stop(self) {
        assert_eq!(self.shield.stop(), Some(0));
    }
}

fn ask(folder: &Path, args: &[&str]) -> Ran {
    run_in(folder, &[args, &["--config", "seawall.toml"]].concat())
}

const ADD: [&str; 8] = [
    "mitigate",
    "add",
    "--path",
    "/search",
    "--user-agent-family",
    "python-requests 2",
    "--cookie",
    "none",
];

#[test]
fn a_signature_from_words_blocks_is_explained_and_vetoed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    assert!(site.asked("/search?q=a").iter().all(|(status, _)| *status == 200));

    let dry = site.ask(&[&ADD[..], &["--rung", "block", "--dry-run"]].concat());
    let words = "would be in force: path template /search AND python-requests 2 AND no cookie\n";
    assert!(dry.stdout.starts_with(words), "{}{}", dry.stdout, dry.stderr);
    let standing = site.ask(&["mitigate", "list", "--json"]).json();
    assert_eq!(standing["measures"].as_array().map(Vec::len), Some(0), "nothing was done");

    let done = site.ask(&[&ADD[..], &["--rung", "block", "--for", "2h", "--json"]].concat());
    let done = done.json();
    assert_eq!((&done["done"], &done["measure"]["rung"]), (&true.into(), &"block".into()));
    assert_eq!(done["measure"]["order"], "pin");
    let id = done["measure"]["id"].to_string();

    let answers = site.asked("/search?q=b");
    let refused = answers.iter().find(|(status, _)| *status == 429).expect("one is refused");
    assert!(refused.1.contains("SW-401"), "{}", refused.1);
    assert!(!refused.1.contains("python-requests"), "a page says the code only: {}", refused.1);
    assert!(site.asked("/other").iter().all(|(status, _)| *status == 200));

    let line = logged(&site);
    assert_eq!(line["security_rule.uuid"], id, "{line}");
    let request = line["seawall.request.id"].as_str().expect("it has a name");
    let remedy = format!("`seawall mitigate remove {id}`");
    let explained = site.ask(&["explain", request]);
    assert!(explained.stdout.contains("path template /search"), "{}", explained.stdout);
    assert!(explained.stdout.contains(&remedy), "{}", explained.stdout);
    let json = site.ask(&["explain", request, "--json"]).json();
    assert_eq!(json["mitigation"]["id"].to_string(), id);
    assert!(site.ask(&["explain", "SW-401"]).stdout.contains(&remedy));
    assert!(site.ask(&["status"]).stdout.contains("block, pinned, for "));

    assert_eq!(site.ask(&["mitigate", "veto", &id, "--for", "1h"]).code, Some(0));
    assert!(site.asked("/search?q=c").iter().all(|(status, _)| *status == 200), "vetoed");
    let list = site.ask(&["mitigate", "list"]).stdout;
    assert!(list.contains(&format!("#{id} vetoed for ")), "{list}");
    assert_eq!(site.ask(&["mitigate", "remove", &id]).code, Some(0));
    assert!(site.ask(&["mitigate", "list"]).stdout.contains("no mitigation stands"));
    site.stop();
}

/// The first line of the access log that names a mitigation. It is written by another thread.
fn logged(site: &Site) -> Value {
    let file = site.folder.join("state/log/access.log");
    loop {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let found = lines.into_iter().find(|line| line.get("security_rule.uuid").is_some());
        if let Some(line) = found {
            return line;
        }
        std::thread::yield_now();
    }
}

#[test]
fn what_traffic_is_made_of_is_said_in_words_that_add_takes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    let values = loop {
        site.asked("/2026/11/a-story/");
        let values = site.ask(&["mitigate", "values"]).stdout;
        if values.contains("path template") {
            break values;
        }
    };
    let path = values.lines().find(|line| line.contains("path template")).expect("it is there");
    let path = path.split("%  ").nth(1).expect("after its share");
    let agent = "python-requests 2";
    assert!(values.contains(&format!("--user-agent-family\n  100.0 %  {agent}")), "{values}");
    let add = ["mitigate", "add", "--path", path, "--user-agent-family", agent, "--json"];
    let done = site.ask(&add).json();
    assert_eq!(done["signature"], format!("{path} AND {agent}"));
    assert_eq!(done["measure"]["rung"], "demote", "the mildest that does something");
    site.ask(&["mitigate", "add", "--consistency", "9"]).check_failed(
        1,
        &["nothing is known by `--consistency 9`", "recent traffic has `consistency "],
    );
    site.stop();
}

#[test]
fn what_cannot_be_followed_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    let pin = ["mitigate", "pin", "99", "--rung", "block"];
    site.ask(&pin).check_failed(1, &["no mitigation `99`", "hint: `seawall mitigate list`"]);
    site.ask(&["mitigate", "veto", "99"]).check_failed(1, &["no mitigation `99`"]);
    site.ask(&["mitigate", "remove", "192.0.2.0/24"]).check_failed(1, &["on neither list"]);
    site.ask(&["mitigate", "add"]).check_failed(2, &["nothing is said"]);
    site.ask(&["mitigate", "add", "--path", "/", "--for", "0s"]).check_failed(2, &["1s"]);
    let tor = ["mitigate", "add", "--network", "Tor", "--rung", "block"];
    site.ask(&tor).check_failed(1, &["may not block", "--rung challenge"]);
    site.ask(&[&tor[..], &["--dry-run"]].concat()).check_failed(1, &["may not block"]);
    let together = ["mitigate", "add", "--addresses", "192.0.2.0/24", "--path", "/"];
    site.ask(&together).check_failed(1, &["make no signature"]);
    let proxy = ["mitigate", "block", "127.0.0.0/8"];
    site.ask(&proxy).check_failed(1, &["network.trusted_proxies"]);
    site.ask(&["mitigate", "block", "0.0.0.0/0"]).check_failed(1, &["large part"]);
    let state = folder.path().to_owned();
    site.stop();
    ask(&state, &["mitigate", "list"]).check_failed(1, &["no running Seawall answers"]);
}

#[test]
fn listed_addresses_are_kept_out_and_let_in_over_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    let dry = site.ask(&["mitigate", "block", "203.0.113.0/24", "--dry-run"]);
    assert!(dry.stdout.starts_with("would be listed: block  203.0.113.0/24"), "{}", dry.stdout);
    assert!(dry.stdout.contains("no reader with a credential is known there"), "{}", dry.stdout);
    assert_eq!(site.get("/", "203.0.113.7").0, 200);
    assert_eq!(site.ask(&["mitigate", "block", "203.0.113.0/24"]).code, Some(0));
    assert_eq!(site.ask(&["mitigate", "allow", "203.0.113.9", "--for", "2h"]).code, Some(0));
    // Each worker takes it over by itself.
    while site.get("/", "203.0.113.7").0 != 403 || site.get("/", "203.0.113.9").0 != 200 {}
    assert_eq!(site.get("/", "198.51.100.7").0, 200);
    site.stop();

    let mut site = Site::start(folder.path(), "");
    assert_eq!(site.get("/", "203.0.113.7").0, 403, "a restart lets nobody back in");
    site.reload();
    assert_eq!(site.get("/", "203.0.113.7").0, 403, "nor does a reload");
    assert_eq!(site.get("/", "203.0.113.9").0, 200);
    let list = site.ask(&["mitigate", "list"]).stdout;
    assert!(list.contains("allow  203.0.113.9/32 for "), "{list}");
    assert!(list.contains("block  203.0.113.0/24 for "), "{list}");
    assert_eq!(site.ask(&["mitigate", "remove", "203.0.113.0/24"]).code, Some(0));
    while site.get("/", "203.0.113.7").0 != 200 {}
    site.stop();
}

#[test]
fn a_mode_set_by_hand_holds_until_a_reload() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut site = Site::start(folder.path(), "");
    let mode = |site: &Site| site.ask(&["status", "--json"]).json()["mode"].clone();
    let observe = ["mitigate", "mode", "observe"];
    let dry = site.ask(&[&observe[..], &["--dry-run"]].concat());
    assert!(dry.stdout.contains("would change"), "{}", dry.stdout);
    assert_eq!(mode(&site), "act");
    assert_eq!(site.ask(&observe).code, Some(0));
    while mode(&site) != "observe" {}
    let done = site.ask(&[&ADD[..], &["--rung", "block"]].concat());
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(site.asked("/search").iter().all(|(status, _)| *status == 200), "only observed");
    site.reload();
    while mode(&site) != "act" {}
    site.stop();
}

#[test]
fn what_was_ordered_about_signatures_outlives_a_kill_and_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    let add = [&ADD[..], &["--rung", "block", "--for", "1h"]].concat();
    assert_eq!(site.ask(&add).code, Some(0));
    let other = ["mitigate", "add", "--path", "/shop", "--rung", "demote", "--json"];
    let id = site.ask(&other).json()["measure"]["id"].to_string();
    assert_eq!(site.ask(&["mitigate", "veto", &id, "--for", "3h"]).code, Some(0));
    site.kill();

    let mut site = Site::start(folder.path(), "");
    site.hear("what the operator ordered is in force again");
    let orders = |site: &Site| {
        let listed = site.ask(&["mitigate", "list", "--json"]).json();
        let of = |measure: &Value| {
            let left_s = measure["order_ends_in_s"].as_u64().expect("an order");
            let is_whole = (3_400..=3_600).contains(&(left_s % 7_200));
            (measure["order"].clone(), measure["signature"].clone(), is_whole)
        };
        listed["measures"].as_array().expect("measures").iter().map(of).collect::<Vec<_>>()
    };
    while orders(&site).len() < 2 {}
    let words = "path template /search AND python-requests 2 AND no cookie";
    let found = orders(&site);
    assert!(found.iter().any(|it| it.0 == "pin" && it.2), "{found:?}");
    assert!(found.iter().any(|it| it.0 == "veto" && it.2), "{found:?}");
    let text = format!("{found:?}");
    assert!(found.iter().any(|it| it.1 == "path template /shop"), "{text}");
    for word in words.split(" AND ") {
        assert!(text.contains(word), "`{word}` is not in {text}");
    }
    while !site.asked("/search").iter().any(|(status, _)| *status == 429) {}
    assert!(site.asked("/shop").iter().all(|(status, _)| *status == 200));

    // In order, and with the seed of before lost: words say what was meant.
    site.stop();
    fs::remove_file(folder.path().join("state/baseline")).expect("it was kept");
    let site = Site::start(folder.path(), "");
    while !site.asked("/search").iter().any(|(status, _)| *status == 429) {}
    while orders(&site).len() < 2 {}
    let pinned = site.ask(&["mitigate", "list", "--json"]).json()["measures"][0]["id"].to_string();
    assert_eq!(site.ask(&["mitigate", "remove", &pinned]).code, Some(0));
    site.kill();

    // What was taken away does not come back; what is damaged is put aside, and readers notice nothing.
    let site = Site::start(folder.path(), "");
    while orders(&site).is_empty() {}
    assert_eq!(orders(&site).len(), 1);
    assert!(site.asked("/search").iter().all(|(status, _)| *status == 200));
    site.stop();
    let file = folder.path().join("state/orders");
    fs::write(&file, "nonsense").expect("own folder");
    let mut site = Site::start(folder.path(), "");
    site.hear("what the operator ordered is damaged");
    assert_eq!(site.get("/search", "203.0.113.9").0, 200);
    assert!(file.with_extension("damaged").exists() && !file.exists());
    site.stop();
}

#[test]
fn a_mode_set_by_hand_outlives_a_restart_but_not_another_configuration() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "");
    let mode = |site: &Site| site.ask(&["status", "--json"]).json()["mode"].clone();
    assert_eq!(site.ask(&["mitigate", "mode", "observe"]).code, Some(0));
    site.kill();
    let mut site = Site::start(folder.path(), "");
    while mode(&site) != "observe" {}
    site.reload();
    while mode(&site) != "act" {}
    site.stop();
    let site = Site::start(folder.path(), "");
    assert_eq!(mode(&site), "act", "the reload ended it for good");
    site.stop();
    // It ends as well where the program was stopped when the configuration changed.
    let site = Site::start(folder.path(), "");
    assert_eq!(site.ask(&["mitigate", "mode", "observe"]).code, Some(0));
    site.stop();
    Site::start(folder.path(), "[mitigate]\nmode = \"observe\"\n").stop();
    let site = Site::start(folder.path(), "");
    assert_eq!(mode(&site), "act");
    site.stop();
}

#[test]
fn where_nobody_watches_lists_of_addresses_work_all_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let site = Site::start(folder.path(), "[detect]\nenabled = false\n");
    site.ask(&ADD).check_failed(1, &["`detect.enabled` is `false`", "hint:"]);
    assert!(site.ask(&["mitigate", "list"]).stdout.contains("mode        off"));
    assert_eq!(site.ask(&["mitigate", "block", "203.0.113.7", "--for", "1h"]).code, Some(0));
    while site.get("/", "203.0.113.7").0 != 403 {}
    site.stop();
}
