//! What is imported is given to readers while the origin is dead.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use crate::common::{Shield, run_in};
use crate::{Origin, Place, find, page};

/// Nobody listens on a port that was free a moment ago.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("loopback")
}

/// A place whose origin is dead, with copies as they came.
fn dead() -> Place {
    let place = Place::new(nobody());
    let file = place.path("seawall.toml");
    let text = fs::read_to_string(&file).expect("own folder");
    fs::write(&file, format!("{text}note = \"off\"\n")).expect("own folder");
    place
}

/// The content of an answer of status 200.
#[track_caller]
fn body(shield: &Shield, path: &str) -> String {
    let answer = shield.get(path);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    body.to_owned()
}

const PATHS: [&str; 6] =
    ["/", "/news/", "/news/?page=2", "/css/site.css", "/img/a.png", "/img/b.png"];

/// What another Seawall exported of the site.
fn exported() -> (Origin, Place) {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    place.ok(&["archive", "crawl"]);
    place.ok(&["archive", "export", "--wacz", "site.wacz"]);
    (origin, place)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn an_exported_package_is_read_byte_for_byte_while_the_origin_is_dead() {
    let (_origin, other) = exported();
    let package = other.path("site.wacz");
    let place = dead();
    let shield = place.serve();
    let done = place.ok(&["archive", "import", text(&package), "--json"]).json();
    assert_eq!((&done["stored"], &done["held"]), (&7.into(), &0.into()), "{done}");
    assert_eq!(done["left_out"], serde_json::json!({}), "{done}");
    assert!(done["signed_by"].is_string(), "{done}");
    for path in PATHS {
        assert_eq!(body(&shield, path), page(path).2, "{path}");
    }
    let moved = shield.get("/old");
    assert!(moved.starts_with("HTTP/1.1 301") && moved.contains("/news/\r\n"), "{moved}");

    let again = place.ok(&["archive", "import", text(&package), "--json"]).json();
    assert_eq!((&again["stored"], &again["held"]), (&0.into(), &7.into()), "{again}");
    assert_eq!(place.ok(&["archive", "verify", "--json"]).json()["ok"], true);
}

#[test]
fn a_stopped_program_takes_a_package_in_and_a_trial_changes_nothing() {
    let (origin, other) = exported();
    let package = other.path("site.wacz");
    let place = dead();
    let tried = place.ok(&["archive", "import", text(&package), "--dry-run"]);
    assert_eq!(tried.stdout, "7 would be kept, 0 held already\n", "{}", tried.stderr);
    assert_eq!(place.ok(&["archive", "list", "--json"]).json()["pages_held"], 0);
    let done = place.ok(&["archive", "import", text(&package)]);
    assert_eq!(done.stdout, "7 kept, 0 held already\n", "{}", done.stderr);
    let shield = place.serve();
    assert_eq!(body(&shield, "/news/"), page("/news/").2);

    // A site that the package has nothing of.
    let strange = Place::new(origin.0);
    let file = strange.path("seawall.toml");
    let config = fs::read_to_string(&file).expect("own folder");
    fs::write(&file, config.replace("example.org", "example.net")).expect("own folder");
    let done = strange.ok(&["archive", "import", text(&package), "--json"]).json();
    assert_eq!(done["left_out"], serde_json::json!({ "other_site": 7 }), "{done}");
    let named = strange.run(&["archive", "import", text(&package), "--site", "example.org"]);
    assert!(named.code == Some(1) && named.stderr.contains("example.net"), "{}", named.stderr);
}

#[test]
fn a_package_that_is_not_as_it_was_signed_is_refused() {
    let (_origin, other) = exported();
    let package = other.path("site.wacz");
    let mut bytes = fs::read(&package).expect("there");
    let second = find(&bytes[100..], &[0x1f, 0x8b, 8]).expect("a member") + 100;
    bytes[second + 40] ^= 1;
    fs::write(&package, &bytes).expect("own folder");
    let place = dead();
    let ran = place.run(&["archive", "import", text(&package)]);
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(ran.stderr.contains("not what was signed: record 2:"), "{}", ran.stderr);
    assert!(!place.path("state/archive").exists(), "nothing was even opened");

    // Signed, but not by whom it must be.
    let (_origin, third) = exported();
    let key = place.path("key.pem");
    fs::write(&key, other.ok(&["archive", "key"]).stdout).expect("own folder");
    let package = third.path("site.wacz");
    let ran = place.run(&["archive", "import", text(&package), "--key", text(&key)]);
    assert!(ran.code == Some(1) && ran.stderr.contains("signed with the key"), "{}", ran.stderr);
}

#[test]
fn what_was_purged_since_does_not_come_back() {
    let (origin, place) = exported();
    let _shield = place.serve();
    // Else the crawl, rightly, brings it back.
    origin.1.store(true, Ordering::SeqCst);
    place.ok(&["purge", "https://example.org/news/?page=2"]);
    let done = place.ok(&["archive", "import", "site.wacz", "--json"]).json();
    assert_eq!((&done["stored"], &done["held"]), (&0.into(), &6.into()), "{done}");
    assert_eq!(done["examples"][0]["url"], "https://example.org/news/?page=2");
    assert_eq!(done["examples"][0]["reason"], "withdrawn");
    let shown = place.ok(&["archive", "show", "/news/?page=2", "--json"]).json();
    assert_eq!(shown["pages"][0]["versions"], serde_json::json!([]), "{shown}");
}

/// Made with warcio 1.8.1 and wacz 0.6.0 by `foreign.py` beside it.
#[test]
fn a_package_of_other_tools_is_taken_in_by_the_rules_of_the_crawl() {
    let place = dead();
    let shield = place.serve();
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive/foreign.wacz");
    let ran = place.ok(&["archive", "import", package]);
    assert!(ran.stderr.contains("not signed"), "{}", ran.stderr);
    let done = place.ok(&["archive", "import", package, "--json"]).json();
    // The page and its picture, a page with http in place of https, and the page's revisit.
    assert_eq!((&done["stored"], &done["held"]), (&0.into(), &4.into()), "{done}");
    let left_out = serde_json::json!({
        "gone": 1, "login": 1, "other_site": 1, "private": 1, "server_error": 1, "sets_cookie": 1,
        "to_itself": 1, "without_content": 1,
    });
    assert_eq!(done["left_out"], left_out, "{done}");
    assert_eq!(body(&shield, "/"), "<!doctype html><title>Front</title><p>coded and chunked");
    assert_eq!(body(&shield, "/plain"), "<!doctype html><title>Plain</title><p>over http");
    assert_eq!(body(&shield, "/a.png").len(), 600);
    let shown = place.ok(&["archive", "show", "/", "--json"]).json();
    let versions = &shown["pages"][0]["versions"];
    assert_eq!(versions[0]["captured"], "2026-03-01T10:00:00Z", "{versions}");
    // Said again by the revisit.
    assert_eq!(versions[0]["confirmed"], "2026-03-02T10:00:00Z", "{versions}");
}

#[test]
fn a_folder_is_read_while_the_origin_is_dead() {
    let place = dead();
    let shield = place.serve();
    let site = place.path("site");
    for folder in ["news", "css", ".git"] {
        fs::create_dir_all(site.join(folder)).expect("own folder");
    }
    let write = |name: &str, content: &str| {
        fs::write(site.join(name), content).expect("own folder");
    };
    write(
        "index.html",
        "<!doctype html><title>Front</title><p>f\u{e4}st<a href=news/index.html>n</a>",
    );
    write("news/index.html", "<!doctype html><title>News</title><p>n");
    write("css/site.css", "body{}");
    write("wp-config.php", "<?php define('DB_PASSWORD', 'planted-secret');");
    write("dump.sql", "planted-secret");
    write(".git/config", "planted-secret");
    fs::write(place.path("outside.html"), "<p>planted-secret").expect("own folder");
    symlink("../outside.html", site.join("out.html")).expect("own folder");
    symlink("/etc", site.join("etc")).expect("own folder");
    symlink("news/index.html", site.join("in.html")).expect("own folder");
    let pipe = site.join("pipe.html");
    assert!(Command::new("mkfifo").arg(&pipe).status().is_ok_and(|made| made.success()));

    let done = place.ok(&["archive", "import", "site", "--json"]).json();
    let left_out = serde_json::json!({ "hidden": 1, "link_out": 2, "no_file": 1, "no_page": 2 });
    assert_eq!(done["left_out"], left_out, "{done}");
    // Two pages, one under the name that the other links to, the way to its folder, the style sheet, and
    // what the link leads to.
    assert_eq!(done["stored"], 6, "{done}");
    assert!(body(&shield, "/").contains("f\u{e4}st"));
    assert!(shield.get("/").contains("charset=utf-8"));
    for path in ["/news/", "/news/index.html", "/in.html"] {
        assert_eq!(body(&shield, path), "<!doctype html><title>News</title><p>n", "{path}");
    }
    assert!(shield.get("/news").contains("301 Moved"), "{}", shield.get("/news"));
    for path in ["/wp-config.php", "/dump.sql", "/.git/config", "/out.html", "/etc/hostname"] {
        assert!(!shield.get(path).contains("planted-secret"), "{path}");
        assert!(!shield.get(path).starts_with("HTTP/1.1 200"), "{path}");
    }
}

#[test]
fn an_exported_folder_leads_from_its_addresses_to_its_names() {
    let (_origin, other) = exported();
    other.ok(&["archive", "export", "--static", "out"]);
    let place = dead();
    let out = other.path("out");
    place.ok(&["archive", "import", text(&out)]);
    let shield = place.serve();
    assert!(body(&shield, "/").contains("News"));
    assert!(body(&shield, "/news/index.html").contains("img/a.png"));
    assert_eq!(body(&shield, "/img/a.png"), page("/img/a.png").2);
    let moved = shield.get("/news/?page=2");
    assert!(moved.starts_with("HTTP/1.1 301"), "{moved}");
    assert!(moved.to_lowercase().contains("location: /news/~3fpage=2/"), "{moved}");
    assert!(body(&shield, "/news/~3Fpage=2/").contains("second page"));
}

#[test]
fn a_folder_needs_its_site_named_where_there_are_several() {
    let place = dead();
    let file = place.path("seawall.toml");
    let config = fs::read_to_string(&file).expect("own folder");
    let second = "[[site]]\nhosts = [\"example.net\"]\norigin = \"http://127.0.0.1:9\"\n\
                  [site.archive]\nurl = \"https://example.net\"\n";
    fs::write(&file, format!("{config}{second}")).expect("own folder");
    fs::create_dir(place.path("site")).expect("own folder");
    fs::write(place.path("site/index.html"), "<!doctype html><p>x").expect("own folder");
    let ran = place.run(&["archive", "import", "site"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("--site HOST"), "{}", ran.stderr);
    let done = place.ok(&["archive", "import", "site", "--site", "example.net", "--json"]).json();
    assert_eq!(done["sites"], serde_json::json!(["https://example.net"]), "{done}");
    let shown = place.ok(&["archive", "show", "https://example.net/", "--json"]).json();
    assert_eq!(shown["pages"][0]["versions"][0]["status"], 200, "{shown}");

    // One of them is pinned and told by itself, whether a program runs or not.
    let pinned = |place: &Place| {
        let listed = place.ok(&["archive", "list", "--json"]).json();
        let sites = listed["sites"].as_array().expect("sites").clone();
        let pinned = sites.iter().filter(|site| site["pinned_before"].is_string());
        pinned.map(|site| site["site"].clone()).collect::<Vec<_>>()
    };
    place.ok(&["archive", "pin", "--before", "1h", "--site", "example.net"]);
    // With a copy it is known by its address, and by its folder else.
    assert_eq!(pinned(&place), ["https://example.net"]);
    let _shield = place.serve();
    place.ok(&["archive", "pin", "--off", "--site", "https://example.net/"]);
    place.ok(&["archive", "pin", "--before", "1h", "--site", "example.org"]);
    assert_eq!(pinned(&place), ["https://example.org"]);
    let listed = place.ok(&["archive", "list", "--site", "example.net", "--json"]).json();
    assert_eq!(listed["sites"].as_array().map(Vec::len), Some(1), "{listed}");
    let none = place.run(&["archive", "pin", "--off", "--site", "example.com"]);
    assert!(
        none.code == Some(1) && none.stderr.contains("`https://example.net`"),
        "{}",
        none.stderr
    );
}

/// Killed with SIGKILL when some of it is held, and run again.
#[test]
fn an_import_goes_on_after_the_program_was_killed() {
    let place = dead();
    fs::create_dir(place.path("site")).expect("own folder");
    let content = |number: u32| {
        let mut state = number.wrapping_mul(2_654_435_761) | 1;
        let noise: String = (0..30_000)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                char::from(b'a' + (state % 26) as u8)
            })
            .collect();
        format!("<!doctype html><title>{number}</title><p>{noise}")
    };
    for number in 0..300 {
        let name = format!("site/{number}.html");
        fs::write(place.path(&name), content(number)).expect("own folder");
    }
    let shield = place.serve();
    let mut import = Command::new(env!("CARGO_BIN_EXE_seawall"))
        .args(["archive", "import", "site"])
        .current_dir(place.folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let held = || place.ok(&["archive", "list", "--json"]).json()["pages_held"].as_u64();
    // One that fails at once ends this too.
    while held() == Some(0) && import.try_wait().is_ok_and(|ended| ended.is_none()) {}
    drop(shield);
    let _ = import.wait();

    let shield = place.serve();
    let before = held().expect("a number");
    assert!(before > 0, "what was held stays");
    let done = place.ok(&["archive", "import", "site", "--json"]).json();
    assert_eq!(done["stored"].as_u64().map(|stored| stored + before), Some(300), "{done}");
    for number in [0, 149, 299] {
        assert_eq!(body(&shield, &format!("/{number}.html")), content(number));
    }
    assert_eq!(place.ok(&["archive", "verify", "--json"]).json()["ok"], true);
    let elsewhere = run_in(place.folder.path(), &["archive", "import", "nothing-there"]);
    assert_eq!(elsewhere.code, Some(1), "{}", elsewhere.stderr);
}
