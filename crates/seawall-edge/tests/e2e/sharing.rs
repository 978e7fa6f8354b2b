//! One fetch serves many readers, and nobody gets what was meant for another.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::client::{Client, Response, get};
use crate::origin::{Origin, Then, ok, respond, say};
use crate::shield::{PATIENCE, Shield};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

/// Sends the same GET from `readers` connections while the origin holds back its first answer,
/// which is `first`; later ones are `later`. Returns what each reader got, if it was whole.
fn crowd(
    readers: usize,
    first: impl Into<Vec<u8>>,
    later: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static,
) -> (Vec<Option<Response>>, usize) {
    let (release, wait) = channel::<()>();
    let (tell, arrived) = channel();
    let (wait, tell, first) = (Mutex::new(wait), Mutex::new(tell), first.into());
    let origin = Origin::run(move |asked, stream| {
        if asked.before > 0 {
            return say(stream, later(asked.before));
        }
        let _ = tell.lock().expect("no panic").send(());
        let _ = wait.lock().expect("no panic").recv();
        say(stream, &first);
        Then::Close
    });
    let shield = Shield::before(&origin);
    let mut clients: Vec<Client> = (0..readers).map(|_| shield.client()).collect();
    clients[0].send(get("/page", ""));
    arrived.recv_timeout(PATIENCE).expect("the leader's fetch arrives");
    for client in &mut clients[1..] {
        client.send(get("/page", ""));
    }
    drop(release);
    let got = clients.iter_mut().map(|client| client.try_read("GET").ok()).collect();
    (got, origin.count())
}

#[test]
fn many_readers_of_one_page_cause_one_fetch() {
    let (got, asked) = crowd(50, ok(FRESH, "hello"), |_| ok(FRESH, "second"));
    for response in got {
        response.expect("a whole page").assert_status(200).assert_body("hello");
    }
    assert_eq!(asked, 1);
}

#[test]
fn when_the_leader_fails_another_asks() {
    let (got, asked) = crowd(20, "", |_| ok(FRESH, "hello"));
    let pages = got.iter().flatten().filter(|response| response.status == 200);
    assert_eq!(pages.filter(|response| response.text() == "hello").count(), 19, "{got:?}");
    assert_eq!(got[0].as_ref().map(|response| response.status), Some(502));
    assert_eq!(asked, 2);
}

#[test]
fn a_page_that_breaks_off_is_fetched_again_for_those_who_wait() {
    let broken = format!("HTTP/1.1 200 OK\r\n{FRESH}Content-Length: 50\r\n\r\nhello");
    let (got, asked) = crowd(20, broken, |_| ok(FRESH, "whole"));
    assert!(got[0].is_none(), "the leader has seen the break");
    for response in &got[1..] {
        response.as_ref().expect("a whole page").assert_status(200).assert_body("whole");
    }
    assert_eq!(asked, 2);
}

#[test]
fn what_is_for_one_reader_is_fetched_for_each() {
    let marks = [
        "Set-Cookie: id=N\r\nCache-Control: max-age=600\r\n",
        "Set-Cookie: id=N\r\n",
        "Cache-Control: private, max-age=600\r\nX-For: N\r\n",
        "Cache-Control: no-store\r\nX-For: N\r\n",
        "Cache-Control: max-age=600\r\nVary: *\r\nX-For: N\r\n",
    ];
    for mark in marks {
        let page = move |n: usize| ok(&mark.replace('N', &n.to_string()), format!("reader {n}"));
        let (got, asked) = crowd(10, page(0), page);
        let bodies: HashSet<String> =
            got.iter().map(|got| got.as_ref().expect("a whole page").text()).collect();
        assert_eq!((bodies.len(), asked), (10, 10), "{mark}");
    }
}

/// `first` and then `second` ask for the same page; whether the second was answered by the cache.
fn is_shared(page: &str, first: &str, second: &str) -> bool {
    let page = page.to_owned();
    let origin = Origin::answering(move |asked| ok(&page, format!("number {}", asked.before)));
    let shield = Shield::before(&origin);
    let one = shield.client().get("/page", first);
    let two = shield.client().get("/page", second);
    one.assert_status(200).assert_body("number 0");
    two.assert_status(200);
    two.text() == "number 0"
}

#[test]
fn cookies_decide_who_shares() {
    let (silent, public) = ("", "Cache-Control: max-age=600\r\n");
    let none = "";
    let foreign = "Cookie: cart=7\r\n";
    let harmless = "Cookie: _ga=GA1.2; cookie_consent=yes\r\n";
    let personal = "Cookie: _ga=1; wordpress_logged_in_x=anna\r\n";
    let cases = [
        (silent, none, none, true),
        (silent, none, harmless, true),
        (silent, harmless, none, true),
        (silent, none, foreign, false),
        (silent, foreign, none, false),
        (silent, foreign, foreign, false),
        (silent, none, personal, false),
        (silent, personal, none, false),
        (public, none, foreign, true),
        (public, none, personal, false),
        (public, personal, none, false),
        (public, personal, personal, false),
    ];
    for (page, first, second, shared) in cases {
        assert_eq!(is_shared(page, first, second), shared, "{page:?} {first:?} {second:?}");
    }
}

#[test]
fn authorised_answers_are_not_shared() {
    let secret = "Authorization: Basic eA==\r\n";
    assert!(!is_shared(FRESH, secret, ""));
    assert!(!is_shared(FRESH, secret, secret));
    assert!(is_shared("Cache-Control: public, max-age=600\r\n", secret, ""));
}

#[test]
fn variants_are_kept_apart() {
    let page = "Cache-Control: max-age=600\r\nVary: Accept-Language\r\n";
    let (de, en) = ("Accept-Language: de\r\n", "Accept-Language: en\r\n");
    assert!(is_shared(page, de, de));
    assert!(!is_shared(page, de, en));
}

#[test]
fn a_fetch_for_all_tells_nothing_of_the_reader() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::before(&origin);
    let got = shield.client().get(
        "/page",
        "Cookie: _ga=1\r\nIf-None-Match: \"x\"\r\nAccept-Encoding: br\r\n\
         If-Modified-Since: Mon, 01 Jan 2024 00:00:00 GMT\r\n",
    );
    got.assert_status(200).assert_body("hello");
    let asked = origin.only();
    for name in ["cookie", "if-none-match", "if-modified-since", "range"] {
        assert_eq!(asked.field(name), None, "{}", asked.head);
    }
    assert_eq!(asked.field("accept-encoding").as_deref(), Some("identity"));
}

#[test]
fn a_signed_in_reader_is_passed_as_sent() {
    let origin = Origin::page(FRESH, "hello anna");
    let shield = Shield::before(&origin);
    let fields =
        "Cookie: wordpress_logged_in_x=anna\r\nIf-None-Match: \"x\"\r\nAccept-Encoding: br\r\n";
    shield.client().get("/page", fields).assert_status(200).assert_cache("fwd=bypass");
    let asked = origin.only();
    assert_eq!(asked.field("cookie").as_deref(), Some("wordpress_logged_in_x=anna"));
    assert_eq!(asked.field("if-none-match").as_deref(), Some("\"x\""));
    assert_eq!(asked.field("accept-encoding").as_deref(), Some("br"));
    assert_eq!(shield.metric("seawall_cache_entries"), 0);
}

#[test]
fn a_change_that_succeeds_outdates_the_page() {
    for (method, status, outdated) in [
        ("POST", "200 OK", true),
        ("POST", "303 See Other", true),
        ("PUT", "204 No Content", true),
        ("DELETE", "200 OK", true),
        ("POST", "500 Internal Server Error", false),
        ("POST", "403 Forbidden", false),
        ("OPTIONS", "200 OK", false),
    ] {
        let origin = Origin::answering(move |asked| {
            if asked.line().starts_with("GET") {
                return ok(FRESH, "hello");
            }
            if status.starts_with("204") {
                return b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
            }
            respond(status, "", "")
        });
        let shield = Shield::before(&origin);
        let mut client = shield.client();
        client.get("/page", "").assert_status(200);
        client.get("/page", "").assert_cache("hit");
        client.send(format!(
            "{method} /page HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1\r\n\r\nx"
        ));
        client.read(method);
        let got = client.get("/page", "");
        got.assert_cache(if outdated { "fwd=" } else { "hit" });
    }
}

#[test]
fn a_confirmed_page_is_served_from_the_store() {
    let origin = Origin::answering(|asked| match asked.field("if-none-match").as_deref() {
        None => ok("Cache-Control: max-age=1\r\nAge: 100\r\nETag: \"one\"\r\n", "hello"),
        Some("\"one\"") => {
            b"HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nCache-Control: max-age=600\r\n\r\n"
                .to_vec()
        }
        Some(_) => respond("400 Bad Request", "", ""),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/page", "").assert_status(200).assert_body("hello");
    client.get("/page", "").assert_status(200).assert_body("hello").assert_cache("fwd=stale");
    client.get("/page", "").assert_status(200).assert_body("hello").assert_cache("hit");
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_personal_cookie_is_seen_in_every_spelling_of_the_field() {
    for cookies in [
        "Cookie: _ga=1\r\nCookie: wordpress_logged_in_x=anna\r\n",
        "cookie: _ga=1;wordpress_logged_in_x=anna\r\n",
        "COOKIE: ;; wordpress_logged_in_x=anna;\r\n",
        "Cookie: a;wordpress_logged_in_x\r\n",
        "Cookie: a=\"b; wordpress_logged_in_x=anna\r\n",
    ] {
        assert!(!is_shared(FRESH, cookies, ""), "{cookies}");
        assert!(!is_shared(FRESH, "", cookies), "{cookies}");
    }
}

#[test]
fn who_waits_for_what_outgrows_the_cache_does_not_wait_for_the_slow_reader_of_it() {
    let (tell, arrived) = channel();
    let (go, wait) = channel::<()>();
    let (tell, wait) = (Mutex::new(tell), Mutex::new(wait));
    let origin = Origin::run(move |asked, stream| {
        tell.lock().expect("no panic").send(()).expect("the test listens");
        if asked.before > 0 {
            return say(stream, ok("Cache-Control: no-store\r\n", "alone"));
        }
        let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nConnection: close\r\n\r\n";
        say(stream, head);
        let _ = wait.lock().expect("no panic").recv();
        // More than the buffers of sockets hold.
        say(stream, vec![b'x'; 16 << 20]);
        Then::Close
    });
    let shield = Shield::with(&origin, |config| {
        // Little, so that it is outgrown within moments on the slowest machine.
        config.sites[0].cache.max_object_bytes = 512 << 10;
        config.limits.response_grace = Duration::from_secs(120);
    });
    let (mut slow, mut other) = (shield.client(), shield.client());
    slow.send(get("/big", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    other.send(get("/big", ""));
    go.send(()).expect("the origin waits");
    // The slow reader reads nothing. Nobody waits for another's fetch longer than 10 s.
    arrived.recv_timeout(Duration::from_secs(8)).expect("the other is let go before");
    other.read("GET").assert_status(200).assert_body("alone");
}
