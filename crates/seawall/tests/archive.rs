//! The archive through the real binary: filled from a small site, looked at, pinned, checked.

mod common;
#[path = "archive/import.rs"]
mod import;

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Ran, Shield, run_in};

/// A site of a few pages, on a port that the system chose, for as long as the test runs.
struct Origin(SocketAddr, Arc<AtomicBool>);

impl Origin {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("it is bound");
        let taken_off = Arc::<AtomicBool>::default();
        let is_off = Arc::clone(&taken_off);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let is_off = Arc::clone(&is_off);
                std::thread::spawn(move || serve(stream, &is_off));
            }
        });
        Self(address, taken_off)
    }
}

fn serve(stream: TcpStream, is_off: &AtomicBool) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut start, mut line) = (String::new(), String::new());
        if reader.read_line(&mut start).is_ok_and(|read| read == 0) {
            return;
        }
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        let path = start.split(' ').nth(1).unwrap_or("/");
        let is_off = path.contains("page=2") && is_off.load(Ordering::SeqCst);
        let (status, kind, body) = page(if is_off { "/taken-off" } else { path });
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}\r\n{body}",
            body.len(),
            if status.starts_with('3') { "Location: /news/\r\n" } else { "" },
        );
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn page(path: &str) -> (&'static str, &'static str, String) {
    let html = |title: &str, body: &str| {
        let text = format!(
            "<!doctype html><html lang=\"en\"><head><title>{title}</title>\
             <link rel=\"stylesheet\" href=\"/css/site.css\"></head><body>{body}</body></html>"
        );
        ("200 OK", "text/html; charset=utf-8", text)
    };
    match path {
        "/" => html(
            "Front page",
            "<a href=\"/news/\">News</a> <a href=\"/old\">Old</a> <a href=\"/missing\">Gone</a> <a href=\"/news/?page=2\">2</a>",
        ),
        "/news/" => html("News", "<a href=\"../\">Back</a><img src=\"/img/a.png\" alt=\"\">"),
        "/news/?page=2" => html("News, second page", "<a href=\"/news/#top\">First</a>"),
        "/css/site.css" => ("200 OK", "text/css", "body{background:url(../img/b.png)}".to_owned()),
        // Large enough, and the same: the second of them is kept as a reference to the first.
        "/img/a.png" | "/img/b.png" => ("200 OK", "image/png", PICTURE.repeat(40)),
        "/old" => ("301 Moved Permanently", "text/html", String::new()),
        _ => ("404 Not Found", "text/plain", "nothing here".to_owned()),
    }
}

const PICTURE: &str = "no picture, but bytes\n";

/// A folder with a configuration for the site `https://example.org`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(origin: SocketAddr) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = format!(
            "state_dir = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
             [[site]]\nhosts = [\"example.org\"]\norigin = \"http://{origin}\"\n\
             [site.archive]\nurl = \"https://example.org\"\nmax_rate = 1000\n"
        );
        fs::write(folder.path().join("seawall.toml"), text).expect("own folder");
        fs::create_dir(folder.path().join("state")).expect("own folder");
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Ran {
        run_in(self.folder.path(), args)
    }

    fn serve(&self) -> Shield {
        Shield::start(self.folder.path(), &[])
    }

    #[track_caller]
    fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The packages that there are.
    fn packages(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("state/archive/example.org")).expect("the archive");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|it| it == "wacz")).collect()
    }
}

#[test]
fn a_stopped_program_is_crawled_listed_pinned_and_verified() {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    let crawled = place.ok(&["archive", "crawl", "--json"]).json();
    assert_eq!((&crawled["due"], &crawled["origin_away"]), (&0.into(), &false.into()), "{crawled}");

    let listed = place.ok(&["archive", "list", "--json"]).json();
    // `/`, `/news/`, its second page, the style sheet, two pictures and the redirect.
    assert_eq!(listed["pages_held"], 7, "{listed}");
    assert!(listed["bytes"].as_u64() > Some(100) && listed["oldest"].is_string(), "{listed}");
    let failures = listed["failures"].as_array().expect("a list");
    let missing = failures.iter().find(|it| it["url"] == "https://example.org/missing");
    assert_eq!(missing.expect("what is missing is said")["reason"], "gone");
    assert_eq!(listed["sites"][0]["site"], "https://example.org");
    let text = place.ok(&["archive", "list"]).stdout;
    assert!(text.contains("held        7 of ") && text.contains("missing (gone)"), "{text}");

    let shown = |url: &str| {
        let pages = place.ok(&["archive", "show", url, "--json"]).json();
        pages["pages"][0]["versions"][0]["shown"].clone()
    };
    assert_eq!(shown("https://example.org/news/"), true);
    place.ok(&["archive", "pin", "--before", "2020-01-01"]);
    assert_eq!(shown("/news/"), false);
    assert_eq!(place.ok(&["archive", "list", "--json"]).json()["pages_held"], 0);
    place.ok(&["archive", "pin", "--off"]);
    assert_eq!(shown("/news/"), true);
    assert_eq!(place.run(&["archive", "show", "https://example.net/"]).code, Some(1));

    let verified = place.ok(&["archive", "verify", "--json"]).json();
    assert_eq!(verified["packages"].as_array().map(Vec::len), Some(1), "{verified}");
    assert_eq!(verified["ok"], true);
}

#[test]
fn a_crawl_says_that_the_origin_is_away() {
    // Nobody listens on a port that was free a moment ago.
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("loopback");
    let place = Place::new(address);
    let ran = place.run(&["archive", "crawl", "--json"]);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json()["origin_away"], true);
    assert!(ran.stderr.contains("the origin does not answer"), "{}", ran.stderr);
    assert!(ran.stderr.contains("(unreachable)"), "{}", ran.stderr);
}

#[test]
fn a_running_program_is_asked_and_reads_only_in_an_emergency() {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    let shield = place.serve();
    place.ok(&["archive", "crawl"]);
    let listed = place.ok(&["archive", "list", "--json"]).json();
    assert_eq!(listed["pages_held"], 7, "{listed}");
    let page = place.ok(&["archive", "show", "https://example.org/news/?page=2", "--json"]).json();
    assert_eq!(page["pages"][0]["versions"][0]["status"], 200, "{page}");
    let text = place.ok(&["archive", "show", "/news/"]).stdout;
    assert!(text.contains("200 text/html"), "{text}");

    let tried = place.ok(&["mitigate", "emergency", "on", "--for", "2h", "--dry-run"]);
    assert_eq!(tried.stdout, "reading only would be on for 2h\n");
    assert!(shield.get("/nothing").starts_with("HTTP/1.1 404"));
    let done = place.ok(&["mitigate", "emergency", "on", "--for", "2h", "--json"]).json();
    assert_eq!((&done["emergency"], &done["was"]), (&true.into(), &false.into()), "{done}");
    assert!(shield.get("/news/").starts_with("HTTP/1.1 200"));
    assert!(shield.get("/something-else").starts_with("HTTP/1.1 503"));
    assert_eq!(place.ok(&["mitigate", "emergency", "off"]).stdout, "reading only off\n");
    assert!(shield.get("/something-else").starts_with("HTTP/1.1 404"));

    place.ok(&["archive", "pin", "--before", "1h"]);
    let listed = place.ok(&["archive", "list", "--json"]).json();
    assert!(
        listed["pages_held"] == 0 && listed["sites"][0]["pinned_before"].is_string(),
        "{listed}"
    );
    assert_eq!(place.ok(&["archive", "verify", "--json"]).json()["ok"], true);
}

#[test]
fn a_flipped_byte_is_found_and_its_record_named() {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    place.ok(&["archive", "crawl"]);
    let package = place.packages().pop().expect("the crawl ended with a package");
    let copy = place.path("copy.wacz");
    fs::copy(&package, &copy).expect("own folder");
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let file = copy.to_str().expect("a plain path");
    let good = run_in(elsewhere.path(), &["verify", file, "--json"]);
    assert_eq!((good.code, &good.json()["ok"]), (Some(0), &true.into()), "{}", good.stderr);

    let key = place.path("key.pem");
    fs::write(&key, place.ok(&["archive", "key"]).stdout).expect("own folder");
    let key = key.to_str().expect("a plain path");
    let trusted = run_in(elsewhere.path(), &["verify", file, "--key", key]);
    assert!(
        trusted.code == Some(0) && trusted.stderr.contains("the key given"),
        "{}",
        trusted.stderr
    );

    let mut bytes = fs::read(&copy).expect("own folder");
    // Within the second record: the first, about the file, begins behind the head of the ZIP entry.
    let second = find(&bytes[100..], &[0x1f, 0x8b, 8]).expect("a member") + 100;
    bytes[second + 40] ^= 1;
    fs::write(&copy, &bytes).expect("own folder");
    let bad = run_in(elsewhere.path(), &["verify", file, "--json"]);
    assert_eq!(
        (bad.code, &bad.json()["ok"], &bad.json()["first_bad"]),
        (Some(1), &false.into(), &2.into())
    );
    let told = run_in(elsewhere.path(), &["verify", file]);
    assert!(told.stdout.contains("BAD, record 2:"), "{}", told.stdout);

    fs::copy(&copy, &package).expect("own folder");
    let all = place.run(&["archive", "verify", "--json"]);
    assert_eq!((all.code, &all.json()["ok"]), (Some(1), &false.into()));
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[test]
fn wrong_usage_of_the_archive_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (args, code, words) in [
        (&["archive"][..], 2, "Usage"),
        (&["archive", "pin"], 2, "--before"),
        (&["archive", "pin", "--before", "yesterday"], 2, "no time such as"),
        (&["archive", "list", "--state", "."], 1, "there is no archive in"),
        (&["archive", "list", "--state", "/nonexistent"], 1, "no running Seawall"),
        (&["archive", "crawl", "--state", "."], 1, "--config FILE"),
        (&["mitigate", "emergency", "on", "--for", "0s"], 2, "between"),
        (&["mitigate", "emergency", "on", "--state", "."], 1, "no running Seawall"),
        (&["verify", "/nonexistent.wacz"], 1, "is not what was signed"),
        (&["verify", "x", "--key", "/nonexistent.pem"], 1, "holds no public key"),
    ] {
        let ran = run_in(folder.path(), args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_running_archive_is_exported_as_a_folder_and_as_a_package() {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    let _shield = place.serve();
    place.ok(&["archive", "crawl"]);
    // Else the crawl, rightly, brings it back.
    origin.1.store(true, Ordering::SeqCst);
    place.ok(&["purge", "https://example.org/news/?page=2"]);

    let done = place.ok(&["archive", "export", "--static", "out", "--json"]).json();
    assert_eq!(done["urls"], 6, "{done}");
    let read = |name: &str| fs::read_to_string(place.path("out").join(name)).expect(name);
    let front = read("index.html");
    assert!(
        front.contains("href=\"news/index.html\"") && front.contains("href=\"css/site.css\""),
        "{front}"
    );
    assert!(front.contains("href=\"old/index.html\""), "{front}");
    // What was withdrawn, and what never was, lead to the site itself.
    assert!(front.contains("href=\"https://example.org/news/?page=2\""), "{front}");
    assert!(front.contains("href=\"https://example.org/missing\""), "{front}");
    assert!(read("news/index.html").contains("src=\"../img/a.png\""));
    assert_eq!(read("css/site.css"), "body{background:url(\"../img/b.png\")}");
    assert_eq!((read("img/a.png"), read("img/b.png")), (PICTURE.repeat(40), PICTURE.repeat(40)));
    assert!(read("old/index.html").contains("url=../news/index.html"));
    let list = read("_/pages.html");
    assert!(list.contains(">Front page<") && list.contains("../news/index.html"), "{list}");
    assert!(!list.contains("second page"), "{list}");

    let again = place.run(&["archive", "export", "--static", "out"]);
    assert!(
        again.code == Some(1) && again.stderr.contains("nothing is overwritten"),
        "{}",
        again.stderr
    );

    place.ok(&["archive", "export", "--wacz", "site.wacz"]);
    let verified = place.ok(&["verify", "site.wacz", "--json"]).json();
    // With the record about the file.
    assert_eq!((&verified["ok"], &verified["records"]), (&true.into(), &7.into()), "{verified}");
    let package =
        seawall_archive::read_package(&place.path("site.wacz"), 1 << 20).expect("a package");
    assert!(package.entries.iter().all(|entry| entry.revisit_of.is_none()), "it stands by itself");
    let of_ours =
        |path: &PathBuf| seawall_archive::read_package(path, 1 << 20).expect("a package").entries;
    let kept = place.packages().iter().flat_map(of_ours).any(|entry| entry.revisit_of.is_some());
    assert!(kept, "there was a reference that had to be resolved");
    let bytes = fs::read(place.path("site.wacz")).expect("the package");
    assert!(find(&bytes, b"page=2").is_none(), "what was withdrawn is named in the package");
}

#[test]
fn what_the_pin_holds_back_is_not_exported() {
    let origin = Origin::start();
    let place = Place::new(origin.0);
    place.ok(&["archive", "crawl"]);
    place.ok(&["archive", "pin", "--before", "2020-01-01"]);
    let ran = place.run(&["archive", "export", "--wacz", "site.wacz"]);
    assert!(
        ran.code == Some(1) && ran.stderr.contains("no copy that may be shown"),
        "{}",
        ran.stderr
    );
    assert!(!place.path("site.wacz").exists());
    place.ok(&["archive", "pin", "--off"]);
    place.ok(&["archive", "export", "--wacz", "site.wacz", "--site", "https://example.org"]);
    assert!(place.path("site.wacz").exists());
    assert_eq!(
        place.run(&["archive", "export", "--wacz", "x", "--site", "example.net"]).code,
        Some(2)
    );
}
