//! Credentials, passes and logins: what is checked counts, what is claimed does not, and none of it
//! goes where it does not belong.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use seawall_cache::CookiePatterns;
use seawall_decide::CredentialKeys;
use seawall_edge::config::{AccessLog, Config, Route};
use seawall_model::{PerSecond, WallTime};

use crate::client::{Response, get};
use crate::origin::{Origin, ok, respond, say};
use crate::shield::{Shield, until};

const FRESH: &str = "Content-Type: text/html\r\nCache-Control: max-age=600\r\n";
const DAY: u64 = 24 * 3600;
/// Held pages that one identity may take in these tests.
const BURST: u32 = 3;

/// Behind a proxy of our own that speaks TLS with readers.
fn behind_tls(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a prefix")];
    config.limits.held_rate = PerSecond(0.001);
    config.limits.held_burst = BURST;
    config.limits.min_session = Duration::ZERO;
}

fn from(client: &str, cookie: &str) -> String {
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    format!("X-Forwarded-For: {client}\r\nX-Forwarded-Proto: https\r\n{cookie}")
}

/// The keys of a running server, and the second in which they were made: now, or nearly.
pub(crate) fn keys(state_dir: &Path) -> (CredentialKeys, u64) {
    let text = fs::read_to_string(state_dir.join("keys")).expect("the key file");
    let line = text.lines().find_map(|line| line.strip_prefix("current ")).expect("a key");
    let (made, secret) = line.split_once(' ').expect("two fields");
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        let digits = &secret[2 * place..2 * place + 2];
        *byte = u8::from_str_radix(digits, 16).expect("hexadecimal");
    }
    (CredentialKeys::new(&bytes, None), made.parse().expect("seconds"))
}

/// A credential that this server gave out so many days ago.
pub(crate) fn credential(shield: &Shield, number: u64, days_ago: u64) -> String {
    let (keys, now) = keys(&shield.config().state_dir);
    let text = keys.for_reader(WallTime::from_unix_secs(now - days_ago * DAY), number);
    format!("__Host-seawall={}", text.as_str())
}

/// Asks for a held page until the budget of whoever asks is spent; how many it got.
#[track_caller]
fn spend(shield: &Shield, client: &str, cookie: &str) -> u32 {
    let mut conn = shield.client();
    (0..BURST + 2).take_while(|_| conn.get("/", &from(client, cookie)).status == 200).count() as u32
}

fn set_cookie(response: &Response) -> Option<String> {
    let line = response.field("set-cookie")?;
    let pair = line.split(';').next()?.to_owned();
    Some(pair)
}

fn files_with(dir: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn the_holder_of_a_credential_has_a_budget_of_its_own_also_after_a_restart() {
    let origin = Origin::page(FRESH, "page");
    let mut shield = Shield::with(&origin, behind_tls);
    let cookie = credential(&shield, 7, 2);
    for _ in 0..2 {
        shield.client().get("/", &from("203.0.113.9", ""));
        spend(&shield, "198.51.100.7", "");
        assert_eq!(spend(&shield, "198.51.100.7", ""), 0, "the address has spent its budget");
        assert_eq!(spend(&shield, "198.51.100.7", &cookie), BURST);
        // The same holder elsewhere has spent its own.
        assert_eq!(spend(&shield, "198.51.101.7", &cookie), 0);
        assert_eq!(shield.metric("seawall_credentials_rejected_total"), 0);
        shield.restart();
    }
    assert_eq!(origin.count(), 1, "no cookie of ours makes a page personal");
}

#[test]
fn known_readers_who_read_only_what_is_held_make_room_for_others_of_their_address() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    shield.client().get("/", &from("203.0.113.9", ""));
    for number in 1..=5 {
        assert_eq!(spend(&shield, "198.51.100.7", &credential(&shield, number, 2)), BURST);
        assert_eq!(spend(&shield, "198.51.101.7", &credential(&shield, 10 + number, 0)), BURST);
    }
    assert_eq!(spend(&shield, "198.51.100.7", ""), BURST + 2, "more than one would get");
    assert_eq!(
        spend(&shield, "198.51.101.7", ""),
        BURST,
        "a credential of today counts for nobody else"
    );
    assert_eq!(origin.count(), 1, "nobody asked for more than was held");
}

#[test]
fn known_readers_who_are_refused_make_no_room_for_others_of_their_address() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    shield.client().get("/", &from("203.0.113.9", ""));
    for number in 1..=5 {
        let who = from("198.51.100.7", &credential(&shield, number, 2));
        let request = get("/", &who).replacen("GET", "TRACE", 1);
        let mut conn = shield.client();
        conn.send(request);
        assert_eq!(conn.read("TRACE").status, 405);
    }
    assert_eq!(spend(&shield, "198.51.100.7", ""), BURST, "as if nobody read there");
}

#[test]
fn what_is_no_credential_is_as_if_it_were_not_there() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    let good = credential(&shield, 7, 0);
    let (keys, now) = keys(&shield.config().state_dir);
    let link = keys.for_grant(WallTime::from_unix_secs(now), 7, 7);
    let foreign = CredentialKeys::new(&[9; 32], None).for_reader(WallTime::from_unix_secs(now), 7);
    let long = "a".repeat(24 * 1024);
    let shown = [
        ("forged", format!("{}AAAA", &good[..good.len() - 4])),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("extended", format!("{good}A")),
        ("expired", credential(&shield, 7, 31)),
        ("foreign", format!("__Host-seawall={}", foreign.as_str())),
        ("a grant", format!("__Host-seawall={}", link.as_str())),
        ("empty", "__Host-seawall=".to_owned()),
        ("long", format!("__Host-seawall={long}")),
        ("hidden behind another", format!("__Host-seawall=x; {good}")),
    ];
    shield.client().get("/", &from("203.0.113.9", ""));
    spend(&shield, "198.51.100.7", "");
    for (number, (what, cookie)) in (1..).zip(&shown) {
        let got = shield.client().get("/", &from("198.51.100.7", cookie));
        assert_eq!(got.status, 429, "{what}");
        // And whoever has budget left is served as ever.
        let other = format!("192.0.2.{number}");
        let got = shield.client().get("/", &from(&other, cookie));
        assert_eq!(got.status, 200, "{what}");
    }
    let rejected = 2 * shown.len() as u64;
    assert_eq!(shield.metric("seawall_credentials_rejected_total"), rejected);
    assert_eq!(shield.metric("seawall_credentials_accepted_total"), 0);
    assert_eq!(origin.count(), 1);
}

#[test]
fn cookies_of_32_kib_are_refused_or_served_and_never_believed() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    let good = credential(&shield, 7, 2);
    for (filler, status) in [(32 * 1024, 431), (24 * 1024, 200)] {
        for name in ["__Host-seawall", "wordpress_logged_in_x"] {
            let cookie = format!("{name}={}", "a".repeat(filler));
            let got = shield.client().get("/", &from("198.51.100.7", &cookie));
            assert_eq!(got.status, status, "{name}");
        }
        // Thousands of small ones, with the good one at their end.
        let cookie = format!("{}{good}", "a=b; ".repeat(filler / 5));
        let got = shield.client().get("/", &from("198.51.100.7", &cookie));
        assert_eq!(got.status, status);
    }
    assert_eq!(shield.metric("seawall_credentials_accepted_total"), 1);
    assert_eq!(shield.metric("seawall_credentials_rejected_total"), 1);
    assert_eq!(shield.metric("seawall_logins"), 0);
}

#[test]
fn a_credential_in_four_places_at_once_is_nobodys() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, |config| {
        behind_tls(config);
        config.limits.held_burst = 1_000;
    });
    let cookie = credential(&shield, 7, 2);
    for place in 0..3 {
        shield.client().get("/", &from(&format!("198.51.{place}.7"), &cookie));
    }
    assert_eq!(shield.metric("seawall_credentials_lent_total"), 0);
    for place in 3..20 {
        let client = format!("198.51.{place}.7");
        shield.client().get("/", &from(&client, &cookie)).assert_status(200);
    }
    assert_eq!(shield.metric("seawall_credentials_lent_total"), 17);
    shield.client().get("/", &from("198.51.0.7", &cookie));
    assert_eq!(shield.metric("seawall_credentials_lent_total"), 18);
}

#[test]
fn a_credential_reaches_neither_origin_nor_log_nor_disk() {
    let fields = "Content-Type: text/html\r\nCache-Control: max-age=600\r\nVary: Cookie\r\n";
    let origin = Origin::page(fields, "page");
    let mut shield = Shield::with(&origin, |config| {
        behind_tls(config);
        config.limits.held_burst = 1_000;
        config.log = AccessLog { enabled: true, ..AccessLog::default() };
    });
    let own = credential(&shield, 7, 2);
    let secret = own.split_once('=').expect("name and value").1.to_owned();
    let mut client = shield.client();
    for (path, cookie, at_origin) in [
        ("/", own.clone(), None),
        ("/foreign", format!("a=b; {own}; c=d"), Some("a=b; c=d")),
        ("/crumbs", format!("{own}\r\nCookie: a=b"), Some("a=b")),
        ("/personal", format!("{own};PHPSESSID=1"), Some("PHPSESSID=1")),
    ] {
        let before = origin.count();
        client.get(path, &from("198.51.100.7", &cookie)).assert_status(200);
        let asked = origin.asked()[before].clone();
        assert_eq!(asked.field("cookie").as_deref(), at_origin, "{path}");
        assert!(!asked.head.contains(&secret), "{path}: {}", asked.head);
    }
    // It selects nothing: the same pages answer whoever has none, or another.
    client.get("/", &from("198.51.100.7", "")).assert_cache("hit");
    client.get("/foreign", &from("198.51.100.7", "a=b; c=d")).assert_cache("hit");
    let link: serde_json::Value =
        serde_json::from_str(&shield.admin("POST", "/pass?days=1")).expect("JSON");
    let link = link["path"].as_str().expect("a path").to_owned();
    let opened = client.get(&link, &from("198.51.100.7", ""));
    opened.assert_status(303);
    let pass = set_cookie(&opened).expect("a pass");
    shield.stop();
    let dir = &shield.config().state_dir;
    assert!(!files_with(dir, "/foreign").is_empty(), "there is a log");
    let token = link.rsplit('/').next().expect("a token");
    for needle in [secret.as_str(), token, pass.split_once('=').expect("a value").1] {
        assert_eq!(files_with(dir, needle), Vec::<String>::new());
    }
}

/// What a browser says when it goes to a page, and when a page asks for a part of it.
const PAGE: &str = "Sec-Fetch-Dest: document\r\nAccept: text/html\r\n";
const PART: &str = "Sec-Fetch-Dest: image\r\nSec-Fetch-Site: same-origin\r\n";

fn browse(shield: &Shield, client: &str, cookie: &str) -> Vec<Response> {
    let mut conn = shield.client();
    let one = from(client, cookie);
    let visits = ["/", "/a", "/b", "/c"].into_iter();
    visits
        .map(|path| {
            let page = conn.get(path, &format!("{one}{PAGE}"));
            for _ in 0..2 {
                conn.get("/image", &format!("{one}{PART}"));
            }
            page
        })
        .collect()
}

#[test]
fn a_session_as_people_have_them_earns_a_credential_on_a_page_that_no_cache_keeps() {
    let fields = "Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=600\r\n\
                  CDN-Cache-Control: max-age=600\r\nETag: \"1\"\r\n\
                  Cloudflare-CDN-Cache-Control: max-age=600\r\nSurrogate-Control: max-age=600\r\n\
                  Edge-Control: max-age=600\r\nX-Accel-Expires: 600\r\n\
                  X-LiteSpeed-Cache-Control: public,max-age=600\r\n";
    let for_others = [
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
        "surrogate-control",
        "edge-control",
        "x-accel-expires",
        "x-litespeed-cache-control",
    ];
    let origin = Origin::page(fields, "page");
    let shield = Shield::with(&origin, |config| {
        behind_tls(config);
        config.limits.held_burst = 1_000;
    });
    // First from the origin, then from the store.
    for client in ["198.51.100.7", "198.51.101.7"] {
        let pages = browse(&shield, client, "");
        let given: Vec<bool> = pages.iter().map(|page| set_cookie(page).is_some()).collect();
        assert_eq!(given, [false, false, true, false], "on the third page and once");
        let page = &pages[2];
        page.assert_status(200).assert_body("page");
        assert_eq!(page.field("cache-control").as_deref(), Some("private, no-cache"));
        for name in for_others {
            assert_eq!(page.field(name), None, "{name}: {}", page.head);
            assert!(pages[1].field(name).is_some(), "{name} is passed on without a credential");
        }
        let line = page.field("set-cookie").expect("just seen");
        for part in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=2592000"] {
            assert!(line.contains(part), "{line}");
        }
        let cookie = set_cookie(page).expect("just seen");
        assert!(browse(&shield, client, &cookie).iter().all(|page| set_cookie(page).is_none()));
    }
    assert_eq!(shield.metric("seawall_credentials_issued_total"), 2);
    // What is stored is as the origin sent it.
    let stored = shield.client().get("/b", &from("203.0.113.9", ""));
    stored.assert_cache("hit");
    assert_eq!(stored.field("cache-control").as_deref(), Some("max-age=600"));
    assert_eq!(stored.field("cdn-cache-control").as_deref(), Some("max-age=600"));
    assert_eq!(set_cookie(&stored), None);
}

#[test]
fn yesterdays_credential_is_replaced_by_todays_of_the_same_holder() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    let old = credential(&shield, 7, 2);
    let got = shield.client().get("/", &from("198.51.100.7", &old));
    let new = set_cookie(&got).expect("a new one");
    assert_ne!(new, old);
    assert_eq!(spend(&shield, "198.51.100.7", &new) + spend(&shield, "198.51.100.7", &old), BURST);
    let got = shield.client().get("/", &from("198.51.101.7", &new));
    assert_eq!(set_cookie(&got), None);
}

#[test]
fn nothing_is_given_or_taken_over_plain_http() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, |config| {
        behind_tls(config);
        config.trusted_proxies = Vec::new();
        config.limits.held_burst = 1_000;
    });
    let cookie = credential(&shield, 7, 2);
    for cookie in ["", &cookie] {
        assert!(
            browse(&shield, "198.51.100.7", cookie).iter().all(|page| set_cookie(page).is_none())
        );
    }
    assert!(origin.asked().iter().all(|asked| asked.field("cookie").is_none()));
    for counter in ["accepted", "rejected", "issued"] {
        assert_eq!(shield.metric(&format!("seawall_credentials_{counter}_total")), 0, "{counter}");
    }
}

#[test]
fn a_refusal_ends_what_a_session_has_earned() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, |config| {
        behind_tls(config);
        config.limits.held_burst = 1_000;
        config.sites[0].routes = vec![Route {
            path: "/closed".to_owned(),
            allow_sources: Some(Vec::new()),
            ..Route::default()
        }];
    });
    let closed = format!("{}{PAGE}", from("198.51.100.7", ""));
    shield.client().get("/closed", &closed).assert_status(403);
    assert!(browse(&shield, "198.51.100.7", "").iter().all(|page| set_cookie(page).is_none()));
}

#[test]
fn the_link_of_a_pass_lets_its_holder_in_and_nobody_else() {
    let origin = Origin::page(FRESH, "page");
    let shield = Shield::with(&origin, behind_tls);
    let answer = shield.admin("POST", "/pass?days=7");
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!((answer["days"].as_u64(), answer["open_hours"].as_u64()), (Some(7), Some(24)));
    let link = answer["path"].as_str().expect("a path").to_owned();
    let opened = shield.client().get(&link, &from("198.51.100.7", ""));
    opened.assert_status(303);
    assert_eq!(opened.field("location").as_deref(), Some("/"));
    assert_eq!(opened.field("cache-control").as_deref(), Some("no-store"));
    assert_eq!(opened.field("referrer-policy").as_deref(), Some("no-referrer"));
    let pass = set_cookie(&opened).expect("a pass");
    shield.client().get("/", &from("203.0.113.9", ""));
    spend(&shield, "198.51.100.7", "");
    assert_eq!(spend(&shield, "198.51.100.7", &pass), BURST);
    // Whoever opens the link as well is the same holder.
    let again = shield.client().get(&link, &from("198.51.102.7", ""));
    assert_eq!(spend(&shield, "198.51.102.7", &set_cookie(&again).expect("a pass")), 0);
    assert_eq!(shield.metric("seawall_passes_opened_total"), 2);
    // Cut, changed, sent, or opened where others listen.
    for bad in ["/.seawall/pass/", &link[..link.len() - 1], &format!("{link}A")] {
        shield.client().get(bad, &from("198.51.103.7", "")).assert_status(403);
    }
    shield.client().get(&link, "X-Forwarded-For: 198.51.103.7\r\n").assert_status(403);
    let mut client = shield.client();
    client.send(format!(
        "POST {link} HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n{}\r\n",
        from("198.51.103.7", "")
    ));
    client.read("POST").assert_status(403);
    assert_eq!(origin.count(), 1, "the origin saw no link");
}

const LOGIN: &str = "session=0123456789abcdef";

/// A site whose login cookie keeps nobody from held pages, so that budgets show who is who.
fn with_logins(config: &mut Config) {
    behind_tls(config);
    let site = &mut config.sites[0];
    site.login_cookies = CookiePatterns::new(["session"]);
    site.cache.harmless_cookies = CookiePatterns::new(["session"]);
}

/// `/login` sets the cookie, by GET too; everything else is a page.
fn site_with_login() -> Origin {
    Origin::answering(|asked| match asked.path() {
        "/login" => {
            let set = format!("Set-Cookie: {LOGIN}; Path=/; HttpOnly\r\nLocation: /welcome\r\n");
            respond("302 Found", &set, "")
        }
        "/logout" => respond(
            "302 Found",
            "Set-Cookie: session=gone; Max-Age=0\r\nLocation: /welcome\r\n",
            "",
        ),
        _ => ok(FRESH, "page"),
    })
}

fn post(shield: &Shield, path: &str, client: &str, cookie: &str) {
    let mut conn = shield.client();
    conn.send(format!(
        "POST {path} HTTP/1.1\r\nHost: example.org\r\nContent-Length: 4\r\n{}\r\na=bc",
        from(client, cookie)
    ));
    conn.read("POST").assert_status(302);
}

#[test]
fn a_login_cookie_counts_once_the_origin_set_it_and_over_restarts() {
    let origin = site_with_login();
    let mut shield = Shield::with(&origin, with_logins);
    let editor = "198.51.100.7";
    // A17: the name alone, or a value that was only made up or only asked for, is nobody's.
    shield.client().get("/login", &from("203.0.113.9", "")).assert_status(302);
    shield.client().get("/", &from("203.0.113.9", ""));
    spend(&shield, editor, "");
    assert_eq!(spend(&shield, editor, LOGIN), 0, "forged");
    post(&shield, "/login", editor, "");
    assert_eq!(shield.metric("seawall_logins"), 1);
    assert_eq!(spend(&shield, editor, LOGIN), BURST);
    assert_eq!(spend(&shield, editor, "session=0123456789abcdeX"), 0, "forged");
    shield.restart();
    assert_eq!(shield.metric("seawall_logins"), 1);
    shield.client().get("/", &from("203.0.113.9", ""));
    spend(&shield, editor, "");
    assert_eq!(spend(&shield, editor, LOGIN), BURST);
    assert_eq!(files_with(&shield.config().state_dir, "0123456789abcdef"), Vec::<String>::new());
    post(&shield, "/logout", editor, LOGIN);
    assert_eq!(shield.metric("seawall_logins"), 0);
}

#[test]
fn a_login_of_one_site_is_nothing_at_another() {
    let (origin, other) = (site_with_login(), site_with_login());
    let shield = Shield::with(&origin, |config| {
        with_logins(config);
        let mut second = config.sites[0].clone();
        second.hosts = vec!["other.example".to_owned()];
        let port = other.address().port();
        second.origin.target =
            seawall_edge::config::OriginTarget::Http { host: "127.0.0.1".to_owned(), port };
        config.sites.push(second);
    });
    post(&shield, "/login", "203.0.113.9", "");
    let ask = |cookie| {
        let fields = from("198.51.100.7", cookie);
        let mut client = shield.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: other.example\r\n{fields}\r\n"));
        client.read("GET").status
    };
    while ask("") == 200 {}
    assert_eq!(ask(LOGIN), 429);
    shield.client().get("/", &from("203.0.113.9", ""));
    assert_eq!(spend(&shield, "198.51.100.7", LOGIN), BURST);
}

#[test]
fn a_forged_login_waits_behind_a_real_one_that_came_later() {
    // A17: the origin does one thing at a time, and is at it.
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| {
        if asked.path() == "/held" {
            let _ = wait.lock().expect("no panic").recv();
        }
        let login = format!("Set-Cookie: {LOGIN}\r\nCache-Control: no-store\r\n");
        let fields = if asked.path() == "/login" { &login } else { "Cache-Control: no-store\r\n" };
        say(stream, ok(fields, "done"))
    });
    let shield = Shield::with(&origin, |config| {
        with_logins(config);
        config.sites[0].origin.max_concurrency = 1;
    });
    let mut login = shield.client();
    login.send("POST /login HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n");
    login.read("POST").assert_status(200);
    let aged = credential(&shield, 7, 2);
    let fresh = credential(&shield, 8, 0);
    // In the order of their coming, the least first.
    let waiting = [
        ("/forged-login", "session=0123456789abcdeX".to_owned()),
        ("/forged-credential", format!("{}AAAA", &aged[..aged.len() - 4])),
        ("/new-reader", fresh),
        ("/aged-reader", aged),
        ("/editor", LOGIN.to_owned()),
    ];
    let mut first = shield.client();
    first.send(get("/held", ""));
    // A round trip each time, or a slow machine is not waited for.
    until("the origin is asked", || {
        shield.metric("seawall_cache_entries") == 0 && origin.count() == 2
    });
    let mut clients = Vec::new();
    for (number, (path, cookie)) in (1..).zip(&waiting) {
        let mut client = shield.client();
        client.send(get(path, &from(&format!("198.51.{number}.7"), cookie)));
        let queued = format!("\"queued\":{number}");
        until("it waits", || shield.admin("GET", "/status").contains(&queued));
        clients.push(client);
    }
    drop(release);
    first.read("GET").assert_status(200);
    for client in &mut clients {
        client.read("GET").assert_status(200);
    }
    let order: Vec<String> =
        origin.asked()[2..].iter().map(|asked| asked.path().to_owned()).collect();
    assert_eq!(order[..2], ["/editor", "/aged-reader"], "{order:?}");
    let mut rest = order[2..].to_vec();
    rest.sort();
    assert_eq!(rest, ["/forged-credential", "/forged-login", "/new-reader"]);
}
