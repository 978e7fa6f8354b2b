//! Where one protocol, place or connection meets another, and attackers like to stand.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use seawall_edge::config::OriginTarget;

use crate::client::{Client, get};
use crate::origin::{Origin, ok, respond, say};
use crate::shield::{PATIENCE, Shield, content, listen, until};

const FRESH: &str = "Cache-Control: max-age=600\r\n";

#[test]
fn an_upgrade_to_another_http_is_not_passed_on() {
    // Behind such a tunnel no rule of ours would hold (h2c smuggling).
    for protocol in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.0"] {
        let origin = Origin::page("", "hello");
        let shield = Shield::before(&origin);
        let got = shield.client().get(
            "/",
            &format!(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n\
                 HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
            ),
        );
        got.assert_status(200).assert_body("hello");
        let asked = origin.only();
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(asked.field(name), None, "{protocol}: {}", asked.head);
        }
    }
}

#[test]
fn a_101_that_nobody_asked_for_opens_no_tunnel() {
    let origin = Origin::always(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n",
    );
    let shield = Shield::before(&origin);
    shield.client().get("/", "").assert_status(502);
}

#[test]
fn the_path_is_passed_byte_by_byte() {
    let origin = Origin::answering(|asked| ok("Cache-Control: no-store\r\n", asked.path()));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for path in [
        "/a%2Fb",
        "/a/b/",
        "//evil.example/",
        "/a?b=c?d&e",
        "/%E4%BD%A0",
        "/a/../b",
        "/?",
        "/~a;b=c",
        "/a%00b",
        "/a?x=http://b/",
        "/%",
        "/a|b{c}\"d",
    ] {
        let got = client.get(path, "");
        // What some parser on the way may not take is refused, not changed.
        if got.status == 400 {
            client = shield.client();
        } else {
            got.assert_status(200).assert_body(path);
        }
    }
}

#[test]
fn the_absolute_form_becomes_the_origin_form() {
    let origin = Origin::answering(|asked| ok(FRESH, asked.path()));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("GET http://example.org/page?a HTTP/1.1\r\nHost: example.org\r\n\r\n");
    client.read("GET").assert_status(200).assert_body("/page?a");
    // And is the same page.
    client.get("/page?a", "").assert_status(200).assert_cache("hit");
    assert_eq!(origin.only().field("host").as_deref(), Some("example.org"));
}

#[test]
fn the_asterisk_is_passed() {
    let origin = Origin::answering(|asked| ok("", asked.path()));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n");
    client.read("OPTIONS").assert_status(200).assert_body("*");
}

#[test]
fn a_certificate_challenge_always_reaches_the_origin() {
    let origin = Origin::page(FRESH, "token");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for _ in 0..2 {
        let answer = client.get("/.well-known/acme-challenge/token", "");
        answer.assert_status(200).assert_body("token");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_made_up_port_stays_out_of_the_pages_of_others() {
    // An origin that makes links from Host would otherwise hand a stranger's port to everybody.
    let origin = Origin::answering(|asked| ok(FRESH, asked.field("host").unwrap_or_default()));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for (host, want) in [
        ("example.org:1337", "example.org"),
        ("example.org", "example.org"),
        // Other spellings of the same name and the default port are the same page.
        ("Example.ORG:80", "example.org"),
        ("example.org.", "example.org"),
    ] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.read("GET").assert_status(200).assert_body(want);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_reader_who_leaves_does_not_waste_the_fetch() {
    let (release, wait) = channel::<()>();
    let (tell, arrived) = channel();
    let (wait, tell) = (Mutex::new(wait), Mutex::new(tell));
    let origin = Origin::run(move |_, stream| {
        let _ = tell.lock().expect("no panic").send(());
        let _ = wait.lock().expect("no panic").recv();
        say(stream, ok(FRESH, "hello"))
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send(get("/", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    drop(client);
    drop(release);
    until("the page is stored", || shield.metric("seawall_cache_entries") == 1);
    shield.client().get("/", "").assert_status(200).assert_cache("hit");
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_part_from_the_origin_is_not_taken_for_the_whole() {
    let origin = Origin::answering(|asked| match asked.field("range") {
        Some(_) => {
            respond("206 Partial Content", &format!("{FRESH}Content-Range: bytes 0-1/5\r\n"), "he")
        }
        None => ok(FRESH, "hello"),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "Range: bytes=0-1\r\n").assert_status(206).assert_body("he");
    client.get("/", "").assert_status(200).assert_body("hello");
    client.get("/", "Range: bytes=3-4\r\n").assert_status(206).assert_body("lo");
}

#[test]
fn an_error_page_passes_as_it_is() {
    let origin = Origin::always(respond("500 Internal Server Error", "X-Why: db\r\n", "sorry"));
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for round in 1..=2 {
        let got = client.get("/", "");
        got.assert_status(500).assert_body("sorry");
        assert_eq!(got.field("x-why").as_deref(), Some("db"));
        assert_eq!(origin.count(), round, "errors that say nothing are not stored");
    }
}

#[test]
fn answers_without_content_keep_the_framing() {
    let origin = Origin::answering(|asked| match asked.path() {
        "/204" => b"HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n".to_vec(),
        "/304" => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n".to_vec(),
        _ => ok("Cache-Control: no-store\r\n", ""),
    });
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for (path, extra, status) in [
        ("/204", "", 204),
        ("/304", "Cookie: PHPSESSID=1\r\nIf-None-Match: \"x\"\r\n", 304),
        ("/200", "", 200),
    ] {
        client.get(path, extra).assert_status(status).assert_body("");
    }
}

#[test]
fn a_paced_link_sends_the_same_bytes() {
    let page = content(200_000);
    let origin = Origin::page(FRESH, &page);
    let shield = Shield::with(&origin, |config| {
        config.limits.egress_bytes_per_second = Some(1_000_000);
    });
    let mut client = shield.client();
    for _ in 0..2 {
        let got = client.get("/", "");
        got.assert_status(200);
        assert!(got.body == page);
    }
}

#[test]
fn both_families_are_listened_on() {
    let origin = Origin::page(FRESH, "hello");
    let shield = Shield::with(&origin, |config| {
        let mut six = listen();
        six.address = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
        config.listen.push(six);
    });
    for address in shield.addresses() {
        Client::connect(address).get("/", "").assert_status(200).assert_body("hello");
    }
    let mut six = Client::connect(shield.addresses()[1]);
    six.get("/own", "").assert_status(200);
    let asked = origin.asked();
    let of_six = asked.iter().find(|asked| asked.path() == "/own").expect("asked");
    let forwarded = of_six.field("forwarded").expect("set");
    assert!(forwarded.starts_with("for=\"[::1]\";"), "{forwarded}");
    assert_eq!(of_six.field("x-forwarded-for").as_deref(), Some("::1"));
}

#[test]
fn an_origin_behind_tls_is_verified() {
    let origin = Origin::page("Cache-Control: no-store\r\n", "hello");
    let (inner, _dir) = crate::tls::shield(&origin, |_| {});
    let address = inner.addresses()[0];
    let ca = inner.config().tls[0].cert.clone();
    for (ca_file, any, status) in
        [(Some(ca.clone()), false, 502), (None, false, 502), (Some(ca), true, 200)]
    {
        let outer = Shield::at(address, |config| {
            let settings = &mut config.sites[0].origin;
            // The certificate is for a name, not for this address.
            settings.target =
                OriginTarget::Https { host: address.ip().to_string(), port: address.port() };
            settings.ca_file = ca_file;
            settings.danger_accept_any_certificate = any;
        });
        outer.client().get("/", "").assert_status(status);
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn an_origin_on_a_unix_socket_is_reached() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().expect("temporary folder");
    let path = dir.path().join("origin.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("binds");
    let origin = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).expect("a request");
        stream.write_all(&ok("", "hello")).expect("an answer");
        buffer[..read].starts_with(b"GET /page HTTP/1.1\r\n")
    });
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let shield = Shield::at(nowhere, |config| {
        config.sites[0].origin.target = OriginTarget::Unix(path);
    });
    shield.client().get("/page", "").assert_status(200).assert_body("hello");
    assert!(origin.join().expect("no panic"));
}

#[test]
fn a_large_answer_begins_before_all_of_it_has_its_turn_on_the_link() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", content(8 << 20));
    let shield = Shield::with(&origin, |config| {
        config.memory_bytes = 256 << 20;
        // All of it would take two minutes, longer than the client's patience.
        config.limits.egress_bytes_per_second = Some(64 << 10);
        config.limits.drain_timeout = Duration::from_millis(100);
    });
    // From the origin, and then from the store, where all of it is at hand.
    for _ in 0..2 {
        let mut client = shield.client();
        client.send(get("/", ""));
        client.take(64).expect("the answer begins");
    }
}
