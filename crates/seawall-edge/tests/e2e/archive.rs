//! Whatever becomes of the origin, readers get the page that was copied before; and nothing of a
//! person, nothing that was withdrawn, and nothing that was never there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use seawall_edge::config::{ArchiveNote, Config, Route, SiteArchive};

use crate::client::{Response, get};
use crate::origin::{Asked, Origin, Then, ok, respond, say};
use crate::shield::{Shield, site as site_at, until};

const FRONT: &str = "<!doctype html><html lang=\"en\"><head><title>Front</title>\
     <link rel=\"stylesheet\" href=\"/style.css\"></head><body><h1>News</h1>\
     <a href=\"/one\">one</a> <a href=\"/two?page=2\">two</a> <a href=\"/paper.pdf\">paper</a>\
     <a href=\"/feed\">feed</a> <a href=\"/gone\">gone</a> <a href=\"/private\">mine</a>\
     <img src=\"/logo.png\" alt=\"\"></body></html>";

/// How the origin is.
#[derive(Clone, Default)]
struct Mood(Arc<AtomicU8>);

impl Mood {
    fn set(&self, mood: u8) {
        self.0.store(mood, Ordering::SeqCst);
    }
}

const WELL: u8 = 0;
const SHEDDING: u8 = 1;
const HANGING: u8 = 2;
const ERROR_PAGE: u8 = 3;
const BROKEN_ELSEWHERE: u8 = 4;

fn site(asked: &Asked) -> Vec<u8> {
    let html = "Content-Type: text/html; charset=utf-8\r\n";
    match asked.path() {
        "/" => ok(html, FRONT),
        "/one" => ok(
            &format!("{html}Link: </?p=1>; rel=shortlink\r\n"),
            "<!doctype html><title>One</title><p>The first article.",
        ),
        "/?p=1" => respond("301 Moved Permanently", "Location: http://example.org/one\r\n", ""),
        "/two?page=2" => ok(html, "<!doctype html><title>Two</title><p>The second."),
        "/style.css" => ok("Content-Type: text/css\r\nETag: \"v1\"\r\n", "h1{color:red}"),
        "/logo.png" => ok("Content-Type: image/png\r\n", [0x89, b'P', b'N', b'G', 0, 1, 2, 3]),
        "/paper.pdf" => ok("Content-Type: application/pdf\r\n", "%PDF-0123456789"),
        "/feed" => ok(
            "Content-Type: application/rss+xml\r\n",
            "<rss version=\"2.0\"><channel><item><link>https://example.org/one</link></item></channel></rss>",
        ),
        "/short" => ok(
            "Content-Type: text/plain\r\nCache-Control: max-age=0, stale-if-error=600\r\n",
            "newer",
        ),
        "/private" => ok(
            "Content-Type: text/html\r\nCache-Control: private\r\n",
            "<!doctype html><p>planted-secret of somebody",
        ),
        _ => respond("404 Not Found", html, "<p>nothing here"),
    }
}

/// An origin in a mood, and a shield before it that has copied all of it.
fn copied(change: impl FnOnce(&mut SiteArchive)) -> (Origin, Mood, Shield) {
    copied_by(change, |_| {})
}

/// The same, with changes to the rest of the configuration.
fn copied_by(
    change: impl FnOnce(&mut SiteArchive),
    configure: impl FnOnce(&mut Config),
) -> (Origin, Mood, Shield) {
    let mood = Mood::default();
    let origin = Origin::run({
        let mood = mood.clone();
        move |asked, stream| match mood.0.load(Ordering::SeqCst) {
            SHEDDING => say(stream, respond("503 Service Unavailable", "", "too much to do")),
            BROKEN_ELSEWHERE if asked.line() != "GET /one HTTP/1.1" => {
                say(stream, respond("500 Internal Server Error", "", "a bug"))
            }
            ERROR_PAGE => say(stream, ok("Content-Type: text/html\r\n", "<p>no database today")),
            HANGING => {
                let mut byte = [0];
                // Until the other side leaves.
                let _ = std::io::Read::read(stream, &mut byte);
                Then::Close
            }
            _ => say(stream, site(asked)),
        }
    });
    let shield = Shield::with(&origin, |config| {
        let mut archive = SiteArchive::new("http://example.org".to_owned(), 64 << 20);
        archive.max_rate = 1_000;
        archive.patience = Duration::from_millis(300);
        change(&mut archive);
        config.sites[0].archive = Some(archive);
        configure(config);
    });
    until("all pages are copied", || {
        let archive = shield.admin("GET", "/archive");
        held(&archive) >= 7 && archive.contains("\"due\":0")
    });
    (origin, mood, shield)
}

fn held(archive: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(archive).expect("JSON");
    value[0]["pages_held"].as_u64().expect("a number")
}

/// A copy of `/one`, with its note.
#[track_caller]
fn assert_copy_of_one(got: &Response) {
    got.assert_status(200).assert_cache("hit; detail=archive");
    let text = got.text();
    assert!(text.contains("The first article."), "{text}");
    assert!(text.contains("The site is not answering"), "{text}");
    assert!(got.field("memento-datetime").is_some(), "{}", got.head);
    assert!(got.field("age").is_some(), "{}", got.head);
    assert_eq!(got.field("cache-control").as_deref(), Some("no-cache"));
    assert_eq!(got.field("warning"), None);
}

#[test]
fn a_dead_origin_is_read_on() {
    let (mut origin, _, shield) = copied(|_| {});
    origin.die();
    let mut client = shield.client();
    assert_copy_of_one(&client.get("/one", ""));
    client.get("/two?page=2", "").assert_status(200);
    client.get("/style.css", "").assert_status(200).assert_body("h1{color:red}");
    let logo = client.get("/logo.png", "");
    logo.assert_status(200).assert_body([0x89, b'P', b'N', b'G', 0, 1, 2, 3]);
    let feed = client.get("/feed", "");
    assert!(!feed.text().contains("not answering"), "no note in feeds: {}", feed.text());
    client.get("/never-there", "").assert_status(502);
    let short = client.get("/?p=1", "");
    short.assert_status(301);
    assert_eq!(short.field("location").as_deref(), Some("http://example.org/one"));
    let range = client.get("/paper.pdf", "Range: bytes=5-7\r\n");
    range.assert_status(206).assert_body("012");
    client.get("/style.css", "If-None-Match: \"v1\"\r\n").assert_status(304);
    let etag = client.get("/one", "").field("etag").expect("of the page with its note");
    client.get("/one", &format!("If-None-Match: {etag}\r\n")).assert_status(304);
    client.send("HEAD /one HTTP/1.1\r\nHost: example.org\r\n\r\n");
    client.read("HEAD").assert_status(200);
    assert!(shield.metric("seawall_archive_served_total") >= 8);
}

#[test]
fn an_origin_that_sheds_is_read_on_and_asked_again_when_it_is_well() {
    let (origin, mood, shield) = copied(|_| {});
    mood.set(SHEDDING);
    let mut client = shield.client();
    for _ in 0..3 {
        assert_copy_of_one(&client.get("/one", ""));
    }
    until("the breaker is open", || {
        shield.metric("seawall_archive_origins_away") == 1 || {
            client.get("/one", "").assert_status(200);
            false
        }
    });
    mood.set(WELL);
    until("readers get the origin's own page again", || {
        let got = client.get("/one", "");
        got.assert_status(200);
        got.field("memento-datetime").is_none()
    });
    assert!(origin.count() > 0);
}

#[test]
fn an_origin_that_hangs_costs_a_reader_one_patience_at_most() {
    let (_origin, mood, shield) = copied(|_| {});
    assert_hanging_is_noticed(&mood, &shield);
}

#[test]
fn an_origin_that_hangs_is_taken_to_be_away_by_those_who_wait_for_a_place_too() {
    // The first reader has the only place, and keeps it.
    let (_origin, mood, shield) =
        copied_by(|_| {}, |config| config.sites[0].origin.max_concurrency = 1);
    assert_hanging_is_noticed(&mood, &shield);
}

#[track_caller]
fn assert_hanging_is_noticed(mood: &Mood, shield: &Shield) {
    mood.set(HANGING);
    let mut client = shield.client();
    assert_copy_of_one(&client.get("/one", ""));
    until("the breaker is open", || {
        // Another page: who asks for the first one waits with its reader.
        client.get("/two?page=2", "").assert_status(200);
        shield.metric("seawall_archive_origins_away") == 1
    });
}

#[test]
fn nothing_of_a_person_comes_into_the_archive() {
    let (mut origin, _, shield) = copied(|_| {});
    let mut client = shield.client();
    let cookie = "Cookie: wordpress_logged_in_x=planted-secret-cookie\r\n";
    client.get("/one?planted-secret-query", cookie).assert_status(404);
    client.get("/private", "Authorization: Basic planted-secret-login\r\n").assert_status(200);
    shield.admin("POST", "/archive?seal=1");
    for asked in origin.asked().iter().filter(|asked| asked.head.contains("archive of this site")) {
        assert_eq!((asked.field("cookie"), asked.field("authorization")), (None, None));
    }
    origin.die();
    client.get("/private", "").assert_status(502);
    let folder = shield.config().state_dir.join("archive");
    assert!(!holds_text(&folder, b"planted-secret"), "in {}", folder.display());
}

#[test]
fn a_page_that_is_purged_does_not_come_back() {
    let (mut origin, _, shield) = copied(|_| {});
    shield.admin("POST", "/purge?url=http://example.org/one");
    origin.die();
    shield.client().get("/one", "").assert_status(502);
    shield.client().get("/two?page=2", "").assert_status(200);
}

#[test]
fn in_an_emergency_readers_read_and_nothing_reaches_the_origin() {
    let (origin, _, mut shield) = copied(|_| {});
    let before = origin.count();
    shield.admin("POST", "/emergency?on=1");
    shield.admin("POST", "/archive?crawl=1");
    let mut client = shield.client();
    assert_copy_of_one(&client.get("/one", ""));
    let refused = client.get("/never-there", "Accept: text/html\r\n");
    refused.assert_status(503);
    assert!(refused.text().contains("SW-307"), "{}", refused.text());
    client.send("POST /one HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\n\r\nhi");
    client.read("POST").assert_status(503);
    assert_eq!(origin.count(), before, "{:?}", origin.asked());
    shield.restart();
    let mut client = shield.client();
    client.get("/never-there", "").assert_status(503);
    assert_copy_of_one(&client.get("/one", ""));
    shield.admin("POST", "/emergency?on=0");
    client.get("/never-there", "").assert_status(404);
}

#[test]
fn failures_of_pages_without_a_copy_send_nobody_else_to_copies() {
    let (_origin, mood, shield) = copied(|_| {});
    mood.set(BROKEN_ELSEWHERE);
    let mut client = shield.client();
    for n in 0..20 {
        client.get(&format!("/broken/{n}"), "").assert_status(500);
        client.send("POST /one HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n");
        client.read("POST").assert_status(500);
    }
    let got = client.get("/one", "");
    got.assert_status(200);
    assert_eq!(got.field("memento-datetime"), None, "{}", got.head);
}

#[test]
fn a_page_in_the_cache_that_is_newer_than_its_copy_goes_before_it() {
    let (origin, mood, shield) = copied(|_| {});
    let mut client = shield.client();
    // Into the cache, where it is stale at once.
    client.get("/short", "").assert_status(200).assert_body("newer");
    assert!(origin.count() > 0);
    mood.set(SHEDDING);
    let got = client.get("/short", "");
    got.assert_status(200).assert_body("newer").assert_cache("hit; ttl=");
}

#[test]
fn an_error_page_behind_a_200_is_neither_copied_nor_shown_where_there_is_a_copy() {
    let (_origin, mood, shield) = copied(|archive| {
        archive.error_markers = vec!["no database today".to_owned()];
    });
    mood.set(ERROR_PAGE);
    shield.admin("POST", "/archive?crawl=1");
    let mut client = shield.client();
    until("the crawler has seen the error page", || {
        shield.admin("GET", "/archive").contains("error_page")
    });
    assert_copy_of_one(&client.get("/one", ""));
}

#[test]
fn the_note_is_the_operators_to_choose() {
    let (mut origin, _, shield) = copied(|archive| archive.note = ArchiveNote::Off);
    origin.die();
    let mut client = shield.client();
    let got = client.get("/one", "");
    got.assert_status(200).assert_body("<!doctype html><title>One</title><p>The first article.");
    assert!(got.field("memento-datetime").is_some());
    let style = client.get("/.well-known/seawall/note.css", "");
    style.assert_status(200);
    assert_eq!(style.field("content-type").as_deref(), Some("text/css; charset=utf-8"));
}

#[test]
fn a_page_that_cannot_be_shown_names_the_mirrors_of_its_site() {
    let mirrors = ["https://mirror.example/a?b&c", "http://abc.example.net/"].map(str::to_owned);
    let (mut origin, _, shield) = copied(|archive| archive.mirrors = mirrors.to_vec());
    origin.die();
    let mut client = shield.client();
    // Twice, because the second is looked up.
    for _ in 0..2 {
        let got = client.get("/never-seen", "Accept: text/html\r\n");
        got.assert_status(502);
        let text = got.text();
        assert!(text.contains("<a href=\"https://mirror.example/a?b&#38;c\""), "{text}");
        assert!(
            text.contains("http://abc.example.net/</a>") && text.ends_with("</html>\n"),
            "{text}"
        );
    }
    shield.admin("POST", "/emergency?on=1");
    let got = client.get("/never-seen", "Accept: text/html\r\n");
    assert!(
        got.text().contains("SW-307") && got.text().contains("mirror.example"),
        "{}",
        got.text()
    );
    // A copy is no refusal, and what asks for no page gets no page.
    assert!(!client.get("/one", "").text().contains("mirror.example"));
    let got = client.get("/never-seen", "Accept: application/json\r\n");
    assert!(!got.text().contains("mirror.example"), "{}", got.text());
}

#[test]
fn a_page_that_is_gone_at_the_origin_is_gone_from_the_archive() {
    let is_there = Mood::default();
    let origin = Origin::answering({
        let is_there = is_there.clone();
        move |asked| match (asked.path(), is_there.0.load(Ordering::SeqCst)) {
            ("/one", 1) => respond("410 Gone", "", "gone"),
            _ => site(asked),
        }
    });
    let shield = Shield::with(&origin, |config| {
        let mut archive = SiteArchive::new("http://example.org".to_owned(), 64 << 20);
        archive.max_rate = 1_000;
        config.sites[0].archive = Some(archive);
    });
    until("all pages are copied", || held(&shield.admin("GET", "/archive")) >= 7);
    is_there.set(1);
    shield.admin("POST", "/archive?crawl=1");
    until("it is withdrawn", || shield.admin("GET", "/archive").contains("\"withdrawn\":1"));
    let mut origin = origin;
    origin.die();
    shield.client().get("/one", "").assert_status(502);
}

#[test]
fn the_archive_is_there_after_a_restart_and_goes_on() {
    let (mut origin, _, mut shield) = copied(|_| {});
    origin.die();
    shield.restart();
    assert_copy_of_one(&shield.client().get("/one", ""));
    let mut client = shield.client();
    client.send(get("/two?page=2", ""));
    client.read("GET").assert_status(200);
}

#[test]
fn after_a_reload_each_site_is_still_fetched_from_its_own_origin() {
    let origins = ["one.example", "two.example"].map(|name| {
        let page = format!("<!doctype html><title>{name}</title><p>This is {name}.");
        (name, Origin::answering(move |_| ok("Content-Type: text/html\r\n", &page)))
    });
    let shield = Shield::with(&origins[0].1, |config| {
        config.sites = origins
            .each_ref()
            .map(|(name, origin)| {
                let mut site = site_at(origin.address());
                site.hosts = vec![(*name).to_owned()];
                let archive = SiteArchive::new(format!("http://{name}"), 64 << 20);
                site.archive = Some(SiteArchive { max_rate: 1_000, ..archive });
                site
            })
            .to_vec();
    });
    let asked_for_fronts = || {
        let of = |origin: &Origin| origin.asked().iter().filter(|it| it.path() == "/").count();
        origins.each_ref().map(|(_, origin)| of(origin))
    };
    until("both are copied", || {
        let archive = shield.admin("GET", "/archive");
        let value: serde_json::Value = serde_json::from_str(&archive).expect("JSON");
        let is_idle = |at: usize| value[at]["pages_held"] == 3 && value[at]["crawl"]["due"] == 0;
        is_idle(0) && is_idle(1)
    });
    let before = asked_for_fronts();
    let mut config = shield.config().clone();
    config.sites.reverse();
    shield.server().reload(config).expect("reloads");
    shield.admin("POST", "/archive?crawl=1");
    until("both are asked for their front pages again", || {
        let now = asked_for_fronts();
        now[0] > before[0] && now[1] > before[1]
    });
    for (name, origin) in &origins {
        for asked in origin.asked() {
            assert_eq!(asked.field("host").as_deref(), Some(*name), "{}", asked.head);
        }
    }
}

#[test]
fn a_site_that_insists_on_https_and_another_of_its_names_is_copied_all_the_same() {
    let mut origin = Origin::answering(|asked| {
        let spelling = (asked.field("host"), asked.field("x-forwarded-proto"));
        let (Some(host), Some(proto)) = spelling else { return respond("400 No", "", "") };
        let to = |base: &str| {
            let location = format!("Location: {base}{}\r\n", asked.path());
            respond("301 Moved Permanently", &location, "")
        };
        match (proto.as_str(), host.as_str(), asked.path()) {
            ("http", host, _) => to(&format!("https://{host}")),
            (_, "example.org", _) => to("https://www.example.org"),
            (_, _, "/") => ok(
                "Content-Type: text/html\r\n",
                "<!doctype html><title>F</title><a href=\"https://www.example.org/one\">one</a>\
                 <a href=\"http://example.org/two?page=2\">two</a>",
            ),
            _ => site(asked),
        }
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].hosts = vec!["example.org".to_owned(), "www.example.org".to_owned()];
        let archive = SiteArchive::new("http://example.org".to_owned(), 64 << 20);
        config.sites[0].archive = Some(SiteArchive { max_rate: 1_000, ..archive });
    });
    until("all pages are copied", || held(&shield.admin("GET", "/archive")) >= 3);
    origin.die();
    let mut client = shield.client();
    assert_copy_of_one(&client.get("/one", ""));
    client.get("/two?page=2", "").assert_status(200);
}

#[test]
fn what_an_origin_forgets_all_at_once_stays_and_one_page_that_it_misses_goes() {
    let mood = Mood::default();
    let mut origin = Origin::answering({
        let mood = mood.clone();
        move |asked| match (mood.0.load(Ordering::SeqCst), asked.path()) {
            (1, _) | (2, "/paper.pdf") => respond("404 Not Found", "", "no such site"),
            _ => site(asked),
        }
    });
    let shield = Shield::with(&origin, |config| {
        let archive = SiteArchive::new("http://example.org".to_owned(), 64 << 20);
        config.sites[0].archive = Some(SiteArchive { max_rate: 1_000, ..archive });
    });
    let is_idle = || {
        let archive = shield.admin("GET", "/archive");
        held(&archive) >= 6 && archive.contains("\"due\":0")
    };
    until("all pages are copied", is_idle);
    mood.set(2);
    shield.admin("POST", "/archive?crawl=1");
    until("one is gone", || shield.admin("GET", "/archive").contains("\"withdrawn\":1"));
    until("the rest was looked at", is_idle);
    mood.set(1);
    shield.admin("POST", "/archive?crawl=1");
    until("the rest was looked at", || {
        let archive = shield.admin("GET", "/archive");
        archive.contains("error_page") && archive.contains("\"due\":0")
    });
    let archive = shield.admin("GET", "/archive");
    assert!(archive.contains("\"withdrawn\":1"), "{archive}");
    origin.die();
    assert_copy_of_one(&shield.client().get("/one", ""));
}

#[test]
fn what_a_route_keeps_for_some_networks_leaves_the_archive_and_stays_out() {
    let (origin, _, shield) = copied(|_| {});
    let route = Route {
        path: "/one".to_owned(),
        allow_sources: Some(vec!["127.0.0.9/32".parse().expect("a network")]),
        ..Route::default()
    };
    let mut config = shield.config().clone();
    config.sites[0].routes = vec![route];
    let asked_for_one = || origin.asked().iter().filter(|asked| asked.path() == "/one").count();
    let before = asked_for_one();
    shield.server().reload(config).expect("reloads");
    until("it is withdrawn", || shield.admin("GET", "/archive").contains("\"withdrawn\":1"));
    shield.admin("POST", "/archive?crawl=1");
    until("the crawler saw that it is not for it", || {
        shield.admin("GET", "/archive").contains("out_of_scope")
    });
    assert_eq!(asked_for_one(), before);
}

#[test]
fn an_answer_without_an_end_holds_up_neither_the_crawl_nor_the_end() {
    let origin = Origin::run(|asked, stream| {
        let wait = |stream: &mut std::net::TcpStream| {
            // Until the other side leaves.
            let _ = std::io::Read::read(stream, &mut [0]);
            Then::Close
        };
        match asked.path() {
            "/robots.txt" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n";
                let _ = std::io::Write::write_all(stream, head.as_bytes());
                wait(stream)
            }
            "/hangs" => wait(stream),
            "/" => say(
                stream,
                ok(
                    "Content-Type: text/html\r\n",
                    "<!doctype html><title>F</title><a href=\"/hangs\">x</a>",
                ),
            ),
            _ => say(stream, site(asked)),
        }
    });
    let mut shield = Shield::with(&origin, |config| {
        // Longer than the test may take.
        config.sites[0].origin.header_timeout = Duration::from_secs(600);
        let archive = SiteArchive::new("http://example.org".to_owned(), 64 << 20);
        config.sites[0].archive = Some(SiteArchive { max_rate: 1_000, ..archive });
    });
    until("it went on to what hangs", || {
        origin.asked().iter().any(|asked| asked.path() == "/hangs")
    });
    assert!(shield.admin("GET", "/archive").contains("too_large"));
    shield.stop();
}

/// Whether a text stands in any file below a folder, also within gzip.
fn holds_text(folder: &Path, text: &[u8]) -> bool {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    std::fs::read_dir(folder).expect("readable").any(|entry| {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            return holds_text(&path, text);
        }
        let bytes = std::fs::read(path).expect("readable");
        let mut members = bytes.windows(3).enumerate().filter(|(_, it)| *it == [0x1f, 0x8b, 8]);
        has(&bytes)
            || members.any(|(at, _)| {
                let mut plain = Vec::new();
                let mut gzip = flate2::read::GzDecoder::new(&bytes[at..]);
                let _ = std::io::Read::read_to_end(&mut gzip, &mut plain);
                has(&plain)
            })
    })
}
