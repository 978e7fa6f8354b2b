//! Query parameters: a flood of made-up ones costs the origin next to nothing, and a reader who uses
//! a real one always gets the page of his own URL.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use seawall_cache::CookiePatterns;
use seawall_model::MadeUpLimits;

use crate::client::{Client, get};
use crate::origin::{Asked, Origin, ok, respond, say};
use crate::shield::{Shield, until};

/// A site like WordPress: search, pagination and previews, in links and a form, and a parameter
/// that only a script knows.
fn wordpress(asked: &Asked) -> Vec<u8> {
    let (path, query) = asked.path().split_once('?').unwrap_or((asked.path(), ""));
    let told = ["s", "paged", "p", "preview", "replytocom", "view_as"];
    let pairs =
        query.split('&').filter(|pair| told.iter().any(|n| pair.split('=').next() == Some(n)));
    let said: Vec<&str> = pairs.collect();
    let body = format!(
        "<!doctype html><title>{path} {said:?}</title><form><input type=\"search\" name=\"s\"></form>\
         <a href=\"{path}?paged=2\">older</a><a href='/?p=7&#038;replytocom=3'>reply</a>\
         <script>new URLSearchParams(location.search).get('view_as')</script>"
    );
    ok("Content-Type: text/html\r\nCache-Control: max-age=600\r\n", body)
}

fn body_of(target: &str) -> Vec<u8> {
    let head = format!("GET {target} HTTP/1.1");
    let answer = wordpress(&Asked { head, body: Vec::new(), before: 0 });
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").expect("a head") + 4;
    answer[at..].to_vec()
}

fn flood(client: &mut Client, path: &str, from: usize, to: usize) {
    for n in from..to {
        let random = n.wrapping_mul(0x9E37_79B9);
        client
            .get(&format!("{path}?x{random:x}={n}"), "")
            .assert_status(200)
            .assert_body(body_of(path));
    }
}

#[test]
fn two_thousand_random_query_strings_cost_the_origin_a_dozen_requests() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 2_000);
    // Calm: one. Learning: eight. Four that are let through to see whether it still holds.
    assert_eq!(origin.count(), 1 + 8 + 4);
    assert_eq!(shield.metric("seawall_query_learned_total"), 1);
    assert_eq!(shield.metric("seawall_query_ignored_total"), 2_000 - 12);
    // Once learned, not one more: within 110 % of what calm readers cost.
    flood(&mut client, "/", 2_000, 4_000);
    assert_eq!(origin.count(), 13);
}

#[test]
fn search_pagination_and_previews_are_told_apart_in_the_middle_of_a_flood() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 100);
    for n in 0..40 {
        for target in [
            format!("/?s=word{n}"),
            format!("/?paged={n}"),
            format!("/?p={n}&preview=true"),
            format!("/?view_as=role{n}"),
            format!("/?P={n}"),
            format!("/?s%5B%5D={n}"),
            format!("/?x{n}q=1&s=word{n}"),
            format!("/?s=word{n}&k{n}j={n}"),
        ] {
            client.get(&target, "").assert_body(body_of(&target));
        }
        flood(&mut client, "/", 200 + 10 * n, 210 + 10 * n);
    }
}

#[test]
fn a_page_that_is_shared_is_asked_for_without_what_a_stranger_added() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/list", "").assert_status(200);
    flood(&mut client, "/list", 0, 100);
    shield.admin("POST", "/purge?all=1");
    let before = origin.count();
    client.get("/list?evil=1", "").assert_cache("fwd=uri-miss").assert_body(body_of("/list"));
    assert_eq!(origin.asked()[before].path(), "/list");
    client.get("/list", "").assert_cache("hit");
}

#[test]
fn a_reader_with_a_cookie_or_credentials_is_always_asked_for_by_his_whole_url() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 100);
    let before = origin.count();
    let wholes = ["/?x1=1", "/?x2=1"];
    for (target, fields) in
        wholes.into_iter().zip(["Cookie: cart=7\r\n", "Authorization: Basic eDp5\r\n"])
    {
        client.get(target, fields).assert_status(200);
    }
    let asked: Vec<String> =
        origin.asked()[before..].iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(asked, wholes);
}

#[test]
fn marks_of_advertisers_are_no_part_of_the_page() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/a?utm_source=news&fbclid=1&p=3", "").assert_cache("fwd=uri-miss");
    client.get("/a?p=3&utm_campaign=2", "").assert_cache("hit");
    client.get("/a?p=3", "").assert_cache("hit");
    assert_eq!(origin.only().path(), "/a?p=3");
}

#[test]
fn what_the_operator_keeps_goes_to_the_origin_each_time() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::with(&origin, |config| {
        config.sites[0].cache.query.keep = CookiePatterns::new(["*"]);
        config.sites[0].cache.query.ignore = CookiePatterns::default();
    });
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 50);
    client.get("/?utm_source=1", "").assert_status(200);
    assert_eq!(origin.count(), 52);
}

#[test]
fn a_site_that_shows_a_new_page_each_time_is_asked_each_time() {
    let origin = Origin::answering(|asked| {
        let body = format!("visit {}", asked.before);
        ok("Content-Type: text/html\r\nCache-Control: max-age=600\r\n", body)
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    for n in 0..100 {
        client.get(&format!("/?q{n}z=1"), "").assert_body(format!("visit {}", n + 1));
    }
}

#[test]
fn a_parameter_that_changes_the_status_or_sets_a_cookie_is_not_left_out() {
    for odd in [
        "HTTP/1.1 404 Not Found\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\npage",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nCache-Control: max-age=600\r\nContent-Length: 4\r\n\r\npage",
        "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
    ] {
        let origin = Origin::answering(move |asked| {
            let is_odd = asked.path().contains("zoom=9");
            if is_odd { odd.into() } else { ok("Cache-Control: max-age=600\r\n", "page") }
        });
        let shield = Shield::before(&origin);
        let mut client = shield.client();
        client.get("/", "").assert_status(200);
        client.get("/?zoom=9", "");
        for n in 10..40 {
            client.get(&format!("/?zoom={n}"), "").assert_status(200);
        }
        assert_eq!(origin.count(), 32, "{odd}");
    }
}

#[test]
fn what_was_learned_stays_over_a_reload() {
    let origin = Origin::answering(wordpress);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 100);
    shield.server().reload(shield.config().clone()).expect("it is the same");
    let mut client = shield.client();
    flood(&mut client, "/", 100, 200);
    assert_eq!(origin.count(), 13);
}

#[test]
fn what_was_learned_stays_over_a_restart() {
    let origin = Origin::answering(wordpress);
    let mut shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood(&mut client, "/", 0, 100);
    assert_eq!(origin.count(), 13);
    shield.restart();
    let mut client = shield.client();
    flood(&mut client, "/", 100, 200);
    // Four that are let through to see whether it still holds.
    assert_eq!(origin.count(), 13 + 4);
    let file = shield.config().state_dir.join("learned");
    let mode = || fs::metadata(&file).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    // A damaged file is put aside, and learning begins anew.
    shield.stop();
    fs::write(&file, "seawall learned 1\nnonsense").expect("ours");
    shield.restart();
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_body(body_of("/"));
    flood(&mut client, "/", 200, 210);
    assert_eq!(origin.count(), 17 + 10);
    let aside = fs::read(file.with_extension("damaged")).expect("it was put aside");
    assert!(aside.ends_with(b"nonsense"));
}

#[test]
fn a_random_path_is_asked_for_once_in_the_time_for_which_its_absence_is_held() {
    let origin =
        Origin::always(respond("404 Not Found", "Content-Type: text/html\r\n", "no such page"));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/nothing", "").assert_status(404).assert_cache("fwd=uri-miss");
    client.get("/nothing", "").assert_status(404).assert_cache("hit");
    assert_eq!(origin.count(), 1);
    let shield = Shield::with(&origin, |config| config.sites[0].cache.negative_ttl = None);
    let mut client = shield.client();
    for _ in 0..2 {
        client.get("/nothing", "").assert_status(404).assert_cache("fwd=uri-miss");
    }
    assert_eq!(origin.count(), 3);
}

#[test]
fn made_up_paths_wait_behind_readers_and_make_room_for_them() {
    let (tell, arrived) = channel();
    let (release, held) = channel::<()>();
    let (tell, held): (Mutex<Sender<()>>, _) = (Mutex::new(tell), Mutex::new(held));
    let origin = Origin::run(move |asked, stream| {
        if asked.path() == "/held/" {
            tell.lock().expect("no panic").send(()).expect("the test waits");
            let _ = held.lock().expect("no panic").recv();
        }
        if asked.path().starts_with("/x") {
            return say(stream, respond("404 Not Found", "Cache-Control: no-store\r\n", "no"));
        }
        say(stream, ok("Cache-Control: no-store\r\n", "page"))
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.max_origin_queue = 1;
    });
    let mut client = shield.client();
    client.get("/about", "").assert_status(200);
    for n in 0..60 {
        client.get(&format!("/x{}", "a".repeat(n)), "").assert_status(404);
    }
    let doubtful = || shield.metric("seawall_origin_doubtful_total");
    let before = doubtful();
    assert!((30..60).contains(&before), "{before}");
    // Known, though of the same shape: an ordinary reader.
    client.get("/about", "").assert_status(200);
    assert_eq!(doubtful(), before);
    let (mut first, mut flood, mut reader) = (shield.client(), shield.client(), shield.client());
    first.send(get("/held/", ""));
    arrived.recv().expect("the origin is asked");
    flood.send(get("/xzzz", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"queued\":1"));
    reader.send(get("/about", ""));
    flood.read("GET").assert_status(503);
    drop(release);
    first.read("GET").assert_status(200);
    reader.read("GET").assert_status(200).assert_body("page");
}

#[test]
fn what_waited_when_the_flood_was_seen_does_not_reach_the_origin() {
    let (tell, arrived) = channel();
    let (release, held) = channel::<()>();
    let (tell, held): (Mutex<Sender<()>>, _) = (Mutex::new(tell), Mutex::new(held));
    let origin = Origin::run(move |asked, stream| {
        if asked.path() == "/held/" {
            tell.lock().expect("no panic").send(()).expect("the test waits");
            let _ = held.lock().expect("no panic").recv();
        }
        let is_there = !asked.path().starts_with("/x");
        let status = if is_there { "200 OK" } else { "404 Not Found" };
        say(stream, respond(status, "Cache-Control: no-store\r\n", "page"))
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.origin_queue_timeout = Duration::from_secs(20);
        config.limits.made_up = MadeUpLimits {
            min_answers_in_flood: 8,
            flood: 20,
            burst: 0,
            ..MadeUpLimits::default()
        };
    });
    let mut client = shield.client();
    client.get("/known", "").assert_status(200);
    for n in 0..6 {
        client.get(&format!("/x{}", "a".repeat(n)), "").assert_status(404);
    }
    let mut first = shield.client();
    first.send(get("/held/", ""));
    arrived.recv().expect("the origin is asked");
    let mut flood: Vec<Client> = (0..60).map(|_| shield.client()).collect();
    for (n, bot) in flood.iter_mut().enumerate() {
        let disguise = if n % 2 == 0 { "" } else { "Sec-Fetch-Mode: cors\r\n" };
        bot.send(get(&format!("/x{}", "b".repeat(n)), disguise));
    }
    let (mut old, mut new) = (shield.client(), shield.client());
    old.send(get("/known", ""));
    new.send(get("/new/", ""));
    until("all wait", || shield.admin("GET", "/status").contains("\"queued\":62"));
    drop(release);
    for reader in [&mut first, &mut old, &mut new] {
        reader.read("GET").assert_status(200).assert_body("page");
    }
    // The first of them show what they are, more of them if the machine is so slow that answers are
    // forgotten meanwhile.
    let mut refused = 0;
    for (n, bot) in flood.iter_mut().enumerate() {
        let answer = bot.read("GET");
        if answer.status != 404 {
            refused += 1;
            answer.assert_status(if n % 2 == 0 { 503 } else { 429 });
            assert!(answer.text().contains("SW-306"), "{}", answer.text());
        }
    }
    assert!((40..60).contains(&refused), "{refused}");
    assert_eq!(origin.count(), 1 + 6 + 3 + 60 - refused);
    assert!(shield.metric("seawall_made_up_refused_total") >= refused as u64);
}

/// A site whose front page leads to one story of two, and to one that is gone.
fn stories() -> Origin {
    Origin::answering(|asked| match asked.path() {
        "/" => ok(
            "Content-Type: text/html\r\nCache-Control: max-age=600\r\n",
            "<a href=\"/story-linked/\">new</a><a href='/story-gone/'>old</a>".to_owned()
                + &"<p>Too long to be held in memory unpacked.</p>".repeat(1_000),
        ),
        "/story-linked/" | "/story-unlinked/" => ok("Cache-Control: no-store\r\n", "page"),
        _ => respond("404 Not Found", "Cache-Control: no-store\r\n", "no such page"),
    })
}

fn flooded_soon(origin: &Origin) -> Shield {
    Shield::with(origin, |config| {
        config.limits.made_up =
            MadeUpLimits { flood: 20, burst: 0, part_percent: 0, ..MadeUpLimits::default() };
    })
}

fn flood_with_stories(client: &mut Client) {
    // Until so many were refused that the few below do not outweigh them.
    let (mut sent, mut refused) = (0, 0);
    while refused < 100 {
        sent += 1;
        assert!(sent < 2_000, "the flood is seen");
        let answer = client.get(&format!("/story-{}/", "a".repeat(sent)), "");
        refused += u32::from(answer.status == 503);
    }
}

#[test]
fn links_of_a_page_that_was_held_before_the_start_count_when_it_is_read() {
    let origin = stories();
    let mut shield = flooded_soon(&origin);
    shield.client().get("/", "").assert_status(200);
    shield.restart();
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_cache("hit");
    flood_with_stories(&mut client);
    client.get("/story-unlinked/", "").assert_status(503);
    client.get("/story-linked/", "").assert_status(200).assert_body("page");
}

#[test]
fn who_follows_a_link_of_the_site_gets_the_page_in_a_flood_of_paths_like_it() {
    let origin = stories();
    let shield = flooded_soon(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    flood_with_stories(&mut client);
    client.get("/story-unlinked/", "").assert_status(503);
    client.get("/story-linked/", "").assert_status(200).assert_body("page");
    let before = origin.count();
    client.get("/story-gone/", "").assert_status(404);
    client.get("/story-gone/", "").assert_status(503);
    assert_eq!(origin.count(), before + 1, "one answer tells that it is not there");
}

#[test]
fn parameters_neither_hide_a_flood_nor_take_pages_away() {
    let origin = Origin::answering(|asked| {
        let (path, query) = asked.path().split_once('?').unwrap_or((asked.path(), ""));
        let is_there = match query {
            "" => ["/", "/story-7/"].contains(&path),
            query => query.starts_with("s="),
        };
        let status = if is_there { "200 OK" } else { "404 Not Found" };
        respond(status, "Cache-Control: no-store\r\n", "page")
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/story-7/", "").assert_status(200);
    client.get("/story-7/?p=999999999", "").assert_status(404);
    for n in 0..60 {
        client.get(&format!("/?p={n}"), "").assert_status(404);
        let name = "a".repeat(n + 1);
        client.get(&format!("/story-{name}/"), "").assert_status(404);
        if n % 5 == 0 {
            client.get(&format!("/story-{name}/?s={n}"), "").assert_status(200);
        }
    }
    let doubtful = || shield.metric("seawall_origin_doubtful_total");
    let before = doubtful();
    assert!(before >= 30, "{before}: the flood is seen");
    for there in ["/", "/story-7/"] {
        client.get(there, "").assert_status(200);
        assert_eq!(doubtful(), before, "{there}");
    }
    client.get("/story-other/", "").assert_status(404);
    assert_eq!(doubtful(), before + 1);
}

#[test]
fn nothing_that_is_added_to_a_made_up_url_hides_that_it_is_one() {
    let origin = Origin::answering(|asked| {
        let is_there = !asked.path().starts_with("/x");
        let status = if is_there { "200 OK" } else { "404 Not Found" };
        respond(status, "Cache-Control: no-store\r\n", "page")
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    let doubtful = || shield.metric("seawall_origin_doubtful_total");
    let mut many = String::from("/?q0z=1");
    (1..70).for_each(|n| many += &format!("&q{n}z=1"));
    let disguises = [
        "",
        "Cookie: other=1\r\n",
        "Cookie: wordpress_logged_in_1=forged\r\n",
        "Authorization: Basic eA==\r\n",
        "Range: bytes=0-1\r\n",
        "Connection: Upgrade\r\nUpgrade: h2x\r\n",
        "Content-Length: 0\r\n",
    ];
    let urls =
        ["/?x1z=1", &many[..many.len() / 5], &many, "/?a1z=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;i=9;j=0"];
    for url in urls {
        for disguise in disguises {
            let before = doubtful();
            client.get(url, disguise).assert_status(200);
            assert_eq!(doubtful(), before + 1, "{url} {disguise}");
        }
    }
    // What the site may well know is as good with a cookie as without.
    let before = doubtful();
    for disguise in disguises {
        client.get("/?page=2&utm_source=mail", disguise).assert_status(200);
    }
    assert_eq!(doubtful(), before);
    // Paths of a kind that is never there.
    for n in 0..60 {
        client.get(&format!("/x{}", "a".repeat(n)), disguises[n % 3]).assert_status(404);
    }
    for disguise in disguises {
        let before = doubtful();
        client.get("/xnothing", disguise).assert_status(404);
        assert_eq!(doubtful(), before + 1, "{disguise}");
    }
}

#[test]
fn made_up_parameters_wait_behind_readers_where_nothing_can_be_learned() {
    let (tell, arrived) = channel();
    let (release, held) = channel::<()>();
    let (tell, held): (Mutex<Sender<()>>, _) = (Mutex::new(tell), Mutex::new(held));
    let origin = Origin::run(move |asked, stream| {
        if asked.path() == "/held" {
            tell.lock().expect("no panic").send(()).expect("the test waits");
            let _ = held.lock().expect("no panic").recv();
        }
        // It looks at everything.
        say(stream, ok("Cache-Control: max-age=600\r\n", asked.path()))
    });
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.max_origin_queue = 1;
    });
    let (mut first, mut flood, mut reader) = (shield.client(), shield.client(), shield.client());
    first.send(get("/held", ""));
    arrived.recv().expect("the origin is asked");
    flood.send(get("/?x1z=1", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"queued\":1"));
    reader.send(get("/?page=2", ""));
    flood.read("GET").assert_status(503);
    drop(release);
    first.read("GET").assert_status(200);
    reader.read("GET").assert_status(200).assert_body("/?page=2");
    assert_eq!(shield.metric("seawall_origin_doubtful_total"), 1);
}
