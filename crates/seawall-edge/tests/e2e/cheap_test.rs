//! The cheap test as readers, programs and attackers meet it. Whether it is called for says the test.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use seawall_decide::{CREDENTIAL_CHARS, TestTicket, TicketKind};
use seawall_detect::Window;
use seawall_edge::config::Config;
use seawall_model::{
    Attribute, Instant, Mitigation, MitigationId, Rung, Signature, Term, Test, WallTime,
};

use crate::client::{Client, Response, get};
use crate::credentials::keys;
use crate::origin::{Origin, ok, say};
use crate::shield::{PATIENCE, Shield, until};

const PERSON: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";
const HTML: &str = "Content-Type: text/html\r\n";

/// A site whose requests without `User-Agent` look like an attack.
struct Attacked {
    shield: Shield,
    origin: Origin,
    windows: Receiver<Window>,
    /// Another one than the hundredth who is let off.
    last: u8,
}

impl Attacked {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut attacked = Self::looked_at(origin(), Rung::Challenge, change);
        let is_tested =
            |last: &u8| attacked.shield.client_from(*last).get("/probe", PERSON).status == 307;
        attacked.last = (20..40).find(is_tested).expect("one in a hundred is let off");
        attacked
    }

    fn looked_at(origin: Origin, rung: Rung, change: impl FnOnce(&mut Config)) -> Self {
        let shield = Shield::with(&origin, change);
        let detection = shield.server().detection();
        let windows = detection.watch(shield.config().workers);
        let attacked = Self { shield, origin, windows, last: 0 };
        attacked.client().get("/held", PERSON).assert_status(200);
        let agent = attacked.observed(1, |row| row.attributes.value(Attribute::UserAgent))[0];
        let term = Term { attribute: Attribute::UserAgent, value: agent };
        attacked.shield.server().detection().publish(&[Mitigation {
            id: MitigationId(1),
            signature: Signature::new(&[term]).expect("one term"),
            rung,
            expires_at: Instant::from_nanos(u64::MAX),
        }]);
        attacked
    }

    fn client(&self) -> Client {
        if self.last == 0 { self.shield.client() } else { self.shield.client_from(self.last) }
    }

    fn get(&self, path: &str, extra: &str) -> Response {
        self.client().get(path, &format!("{PERSON}{extra}"))
    }

    /// What is told of the next `count` requests at least.
    fn observed<T>(&self, count: usize, of: impl Fn(&seawall_model::Observation) -> T) -> Vec<T> {
        let mut seen = Vec::new();
        while seen.len() < count {
            let mut window = self.windows.recv_timeout(PATIENCE).expect("windows come");
            seen.extend(window.sample().iter().map(&of));
            window.clear();
            self.shield.server().detection().give_back(window);
        }
        seen
    }

    /// A ticket of this site that was made so long ago.
    fn ticket(&self, number: u64, host: &str, made_ago_s: u64) -> String {
        let (keys, now) = keys(&self.shield.config().state_dir);
        let made = WallTime::from_unix_secs(now - made_ago_s);
        let ticket = keys.wait_ticket(made, host, number, Duration::from_secs(8));
        format!("seawall-ticket={}", ticket.as_str())
    }

    fn pass(&self, number: u64) -> String {
        let (keys, now) = keys(&self.shield.config().state_dir);
        let unproved = TestTicket { kind: TicketKind::Return, number };
        let pass = keys.pass(WallTime::from_unix_secs(now), "example.org", &unproved);
        format!("Cookie: seawall-pass={}\r\n", pass.as_str())
    }

    /// What the origin was asked for but the first page and probes.
    fn work(&self) -> Vec<String> {
        let asked = self.origin.asked();
        let lines = asked.iter().map(|asked| asked.path().to_owned());
        lines.filter(|path| !matches!(path.as_str(), "/held" | "/probe")).collect()
    }
}

fn origin() -> Origin {
    Origin::answering(|asked| match asked.path() {
        "/held" => ok("Cache-Control: max-age=600\r\n", "held"),
        _ => ok(&format!("{HTML}Cache-Control: no-store\r\n"), "page"),
    })
}

#[track_caller]
fn location(answer: &Response) -> String {
    answer.assert_status(307);
    assert_eq!(answer.field("cache-control").as_deref(), Some("no-store"));
    assert!(answer.text().is_empty());
    answer.field("location").expect("a redirect says where")
}

/// The address a tested request is sent to, and the cookie as it is returned.
#[track_caller]
fn around(answer: &Response, plain: &str) -> (String, String) {
    let to = location(answer);
    let (before, ticket) = to.rsplit_once("seawall-ticket=").expect("a ticket");
    assert_eq!((before, ticket.len()), (plain, CREDENTIAL_CHARS));
    let set = answer.field("set-cookie").expect("a cookie");
    let pair = set.split(';').next().expect("a pair").to_owned();
    (to, format!("Cookie: {pair}\r\n"))
}

#[test]
fn who_takes_cookies_is_sent_around_once_and_then_reads() {
    let site = Attacked::new();
    let (to, cookie) = around(&site.get("/search?q=a", ""), "/search?q=a&");
    assert_eq!(location(&site.get(&to, &cookie)), "/search?q=a");
    let page = site.get("/search?q=a", &cookie);
    page.assert_status(200).assert_body("page");
    assert_eq!(page.field("set-cookie"), None);
    site.get("/other", &cookie).assert_status(200);
    assert_eq!(site.work(), ["/search?q=a", "/other"], "and not once more");
    assert!(site.origin.asked().iter().all(|asked| asked.field("cookie").is_none()));
}

#[test]
fn who_shares_an_exit_is_sent_around_for_a_turn_instead_of_being_refused() {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::run(move |asked, stream| match asked.path() {
        "/held" => say(stream, ok("Cache-Control: max-age=600\r\n", "held")),
        path => {
            if path == "/long" {
                let _ = wait.lock().expect("no panic").recv();
            }
            say(stream, ok(&format!("{HTML}Cache-Control: no-store\r\n"), "page"))
        }
    });
    let site = Attacked::looked_at(origin, Rung::Demote, |config| {
        config.tor_exits = vec!["127.0.0.0/8".parse().expect("a prefix")];
        config.sites[0].origin.max_concurrency = 1;
        config.limits.origin_queue_timeout = Duration::from_millis(1);
    });
    let mut long = site.shield.client();
    long.send(get("/long", PERSON));
    until("the origin is asked", || site.work() == ["/long"]);
    let (to, cookie) = around(&site.get("/search?q=a", ""), "/search?q=a&");
    // There is no room yet: refused as ever, and not sent around again.
    for (path, extra) in [(to.as_str(), ""), (&to, &cookie), ("/search?q=a", &cookie)] {
        site.get(path, extra).assert_status(503);
    }
    site.client().get("/api", "Accept: application/json\r\n").assert_status(429);
    assert_eq!(site.shield.metric("seawall_turns_given_total"), 1);
    drop(release);
    long.read("GET").assert_status(200);
    let is_idle = || site.shield.admin("GET", "/status").contains("\"in_flight\":0");
    until("nothing is at work", is_idle);
    site.get(&to, &cookie).assert_status(200).assert_body("page");
    site.get("/other", &cookie).assert_status(200);
    assert_eq!(site.work(), ["/long", "/search?q=a", "/other"]);
    assert!(site.origin.asked().iter().all(|asked| asked.field("cookie").is_none()));
}

#[test]
fn the_cookie_is_for_this_site_and_for_no_script() {
    let site = Attacked::with(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a prefix")];
    });
    let set = site.get("/a", "").field("set-cookie").expect("a cookie");
    let (name, rest) = set.split_once('=').expect("a pair");
    assert_eq!(name, "seawall-pass");
    assert_eq!(&rest[CREDENTIAL_CHARS..], "; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    // Over TLS, as the proxy says. One in a hundred is let off.
    let over_tls = |last: u32, extra: &str| {
        let fields = format!("X-Forwarded-For: 192.0.2.{last}\r\nX-Forwarded-Proto: https\r\n");
        site.shield.client().get("/a", &format!("{PERSON}{fields}{extra}"))
    };
    let tested = (1..20).find(|last| over_tls(*last, "").status == 307).expect("one is tested");
    let set = over_tls(tested, "").field("set-cookie").expect("a cookie");
    let (pass, rest) = set.split_once(';').expect("attributes");
    assert!(pass.starts_with("__Host-seawall-pass="), "{pass}");
    assert_eq!(rest, " Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax");
    assert_eq!(over_tls(tested, &site.pass(1)).status, 307, "that may be anybody's");
    assert_eq!(over_tls(tested, &format!("Cookie: {pass}\r\n")).status, 200);
}

#[test]
fn who_takes_no_cookies_waits_on_a_page_in_his_language() {
    let site = Attacked::new();
    let (to, _) = around(&site.get("/search?q=a", ""), "/search?q=a&");
    let page = site.get(&to, "Accept-Language: de\r\n");
    page.assert_status(429);
    let seconds: u64 = page.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((5..=8).contains(&seconds), "{seconds}");
    assert_eq!(page.field("refresh"), Some(seconds.to_string()), "it loads again by itself");
    assert_eq!(page.field("content-language").as_deref(), Some("de"));
    assert_eq!(page.field("referrer-policy").as_deref(), Some("no-referrer"));
    assert_eq!(page.field("cache-control").as_deref(), Some("no-store"));
    let text = page.text();
    assert!(text.contains("SW-402") && text.contains(&format!("{seconds}\u{a0}Sek")), "{text}");
    assert!(text.contains("<a href=\"\">") && !text.contains("seawall-ticket"), "{text}");
    assert!(site.work().is_empty());
}

#[test]
fn a_ticket_that_was_waited_for_opens_one_page_and_brings_a_pass() {
    let site = Attacked::new();
    let ticket = site.ticket(7, "example.org", 60);
    let path = format!("/search?q=a&{ticket}");
    let referer = format!("Referer: http://example.org/from?{ticket}\r\n");
    let page = site.get(&path, &referer);
    page.assert_status(200).assert_body("page");
    assert!(page.field("set-cookie").is_some_and(|set| set.starts_with("seawall-pass=")));
    assert_eq!(page.field("cache-control").as_deref(), Some("no-store"));
    assert_eq!(site.work(), ["/search?q=a"], "the origin hears nothing of it");
    let heard = site.origin.asked().pop().and_then(|asked| asked.field("referer"));
    assert_eq!(heard.as_deref(), Some("http://example.org/from"));
    // Loaded again: the test begins anew, and ends.
    let (again, _) = around(&site.get(&path, ""), "/search?q=a&");
    assert_ne!(again, path);
    site.get(&again, "").assert_status(429);
    assert_eq!(site.work().len(), 1);
}

#[test]
fn what_is_forged_foreign_expired_or_out_of_place_is_as_if_it_were_not_there() {
    let site = Attacked::new();
    let good = site.ticket(7, "example.org", 60);
    let forged =
        format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    let pass = site.pass(7).replace("Cookie: seawall-pass", "seawall-ticket");
    let tickets = [
        forged,
        site.ticket(7, "example.net", 60),
        site.ticket(7, "example.org", 3_600),
        pass.trim().to_owned(),
    ];
    for ticket in &tickets {
        around(&site.get(&format!("/a?{ticket}"), ""), "/a?");
    }
    for ticket in tickets.iter().take(3).chain([&good]) {
        let cookie = format!("Cookie: {}\r\n", ticket.replace("ticket", "pass"));
        around(&site.get("/a", &cookie), "/a?");
    }
    // A ticket that is cut is the site's parameter, and one with nothing else beside it leaves none.
    around(&site.get("/a?seawall-ticket=x", ""), "/a?seawall-ticket=x&");
    assert!(site.work().is_empty());
    site.get(&format!("/a?{good}"), "").assert_status(200);
    assert_eq!(site.work(), ["/a"]);
}

#[test]
fn a_page_in_hand_comes_at_once_with_ticket_or_without() {
    let site = Attacked::new();
    for path in ["/held".to_owned(), format!("/held?{}", site.ticket(7, "example.org", 0))] {
        site.get(&path, "").assert_status(200).assert_cache("hit");
    }
}

#[test]
fn programs_feeds_and_forms_are_never_tested() {
    let site = Attacked::new();
    let mut client = site.client();
    let mut ask = |request: String| {
        client.send(request);
        client.read("GET").assert_status(200);
    };
    ask(get("/feed/", PERSON));
    ask(get("/news", "Accept: application/rss+xml\r\n"));
    ask(get("/api", "Accept: application/json\r\n"));
    ask(get("/part", "Accept: text/html\r\nSec-Fetch-Mode: cors\r\n"));
    ask(get("/style.css", "Accept: text/css,*/*;q=0.1\r\n"));
    ask(get("/.well-known/acme-challenge/x", PERSON));
    ask(get("/robots.txt", ""));
    let mut socket = site.client();
    socket.send(get("/socket", &format!("{PERSON}Connection: upgrade\r\nUpgrade: websocket\r\n")));
    socket.read("GET").assert_status(200);
    ask(get("/search", &format!("{PERSON}Content-Length: 5\r\n")) + "words");
    ask(format!(
        "POST /form HTTP/1.1\r\nHost: example.org\r\n{PERSON}Content-Length: 5\r\n\r\nwords"
    ));
    let form = site.origin.asked().pop().expect("it came");
    assert_eq!((form.path(), form.body.as_slice()), ("/form", &b"words"[..]), "nothing is lost");
}

#[test]
fn a_part_of_a_page_is_tested_as_the_page_is() {
    let site = Attacked::new();
    let part = "Range: bytes=0-\r\n";
    let (to, cookie) = around(&site.get("/a", part), "/a?");
    assert!(site.work().is_empty(), "or a range would get by");
    let cookie = format!("{part}{cookie}");
    assert_eq!(location(&site.get(&to, &cookie)), "/a");
    site.get("/a", &cookie).assert_status(200);
    assert_eq!(site.work(), ["/a"]);
}

#[test]
fn a_head_is_tested_as_a_page_is() {
    let site = Attacked::new();
    let head = |path: &str, extra: &str| {
        let mut client = site.client();
        client.send(get(path, &format!("{PERSON}{extra}")).replace("GET", "HEAD"));
        client.read("HEAD")
    };
    let (to, cookie) = around(&head("/a", ""), "/a?");
    head(&to, "").assert_status(429);
    assert_eq!(location(&head(&to, &cookie)), "/a");
    head("/a", &cookie).assert_status(200);
}

#[test]
fn a_redirect_leads_to_no_other_site() {
    let site = Attacked::new();
    let path = "//elsewhere.example/a";
    let (to, cookie) = around(&site.get(path, ""), "?");
    // Without a reference that is safe there is no second redirect.
    site.get(&format!("{path}{to}"), &cookie).assert_status(200);
}

#[test]
fn who_leaves_twenty_tests_open_is_refused_until_it_passes_one() {
    let site = Attacked::new();
    // The probe was one.
    for _ in 1..20 {
        location(&site.get("/a", ""));
    }
    let refused = site.get("/a", "");
    refused.assert_status(429);
    assert_eq!(refused.field("retry-after").as_deref(), Some("60"));
    assert!(refused.text().contains("SW-403"), "{}", refused.text());
    site.get("/held", "").assert_status(200);
    let ticket = site.ticket(7, "example.org", 60);
    site.get(&format!("/a?{ticket}"), "").assert_status(200);
    location(&site.get("/a", ""));
    assert_eq!(site.work(), ["/a"]);
}

#[test]
fn who_forgets_his_cookie_each_time_does_not_go_around_for_ever() {
    let site = Attacked::new();
    let rounds = (0..).take_while(|_| {
        let answer = site.get("/a", "");
        if answer.status != 307 {
            assert!(answer.text().contains("SW-403"));
            return false;
        }
        let (to, cookie) = around(&answer, "/a?");
        assert_eq!(location(&site.get(&to, &cookie)), "/a");
        true
    });
    assert!(rounds.count() < 20);
}

#[test]
fn a_pass_is_for_one_reader_and_not_for_a_thousand() {
    let site = Attacked::new();
    let pass = site.pass(7);
    let mut client = site.client();
    let served = (0..).take_while(|number| {
        client.get(&format!("/{number}"), &format!("{PERSON}{pass}")).status == 200
    });
    assert!(served.count() >= 60);
    assert_eq!(site.get("/mine", &site.pass(8)).status, 200, "that of another");
}

#[test]
fn a_test_is_told_as_set_then_passed_then_carried() {
    let site = Attacked::new();
    // Those who were asked whether they are tested.
    site.observed(usize::from(site.last - 19), |_| ());
    let (to, cookie) = around(&site.get("/a", ""), "/a?");
    site.get(&to, &cookie);
    site.get("/a", &cookie).assert_status(200);
    site.get("/b", &cookie).assert_status(200);
    let (to, _) = around(&site.get("/c", ""), "/c?");
    site.get(&to, "").assert_status(429);
    let mut told = site.observed(6, |row| (row.status, row.test));
    told.sort_by_key(|(status, test)| (*status, *test as u8));
    let want = [
        (200, Test::Passed),
        (200, Test::Carried),
        (307, Test::None),
        (307, Test::Set),
        (307, Test::Set),
        (429, Test::Set),
    ];
    assert_eq!(told, want);
}

#[test]
fn crawlers_of_the_list_are_never_tested() {
    let site = Attacked::with(|config| {
        config.crawlers = vec!["127.0.0.41/32".parse().expect("a prefix")];
    });
    site.shield.client_from(41).get("/a", PERSON).assert_status(200);
    assert_eq!(site.get("/a", "").status, 307);
}

#[test]
fn connections_are_told_to_the_watch() {
    use seawall_model::ConnectionSignal::{Opened, Refused};
    let site = Attacked::new();
    // The first one, and the one that is tested; there may be more who were let off.
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\n").finish();
    client.assert_over();
    let (mut opened, mut refused) = (0, 0);
    while opened < 2 {
        let mut window = site.windows.recv_timeout(PATIENCE).expect("windows come");
        opened += window.counts().signalled(Opened);
        refused += window.counts().signalled(Refused);
        window.clear();
        site.shield.server().detection().give_back(window);
    }
    assert_eq!(refused, 0);
}
