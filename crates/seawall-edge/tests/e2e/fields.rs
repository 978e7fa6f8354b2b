//! Which fields pass, which do not, and who is said to have asked.

use std::net::SocketAddr;

use seawall_edge::config::Config;
use seawall_model::Prefix;

use crate::client::Client;
use crate::origin::{Origin, ok};
use crate::shield::Shield;

fn trust_loopback(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.0/8".parse::<Prefix>().expect("a prefix")];
}

#[test]
fn fields_of_one_hop_do_not_reach_the_origin() {
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    let got = shield.client().get(
        "/",
        "Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\n\
         Proxy-Connection: keep-alive\r\nTE: trailers\r\nProxy-Authorization: Basic eA==\r\n\
         X-Theirs: 2\r\n",
    );
    got.assert_status(200);
    let asked = origin.only();
    for name in ["keep-alive", "x-mine", "proxy-connection", "te", "proxy-authorization"] {
        assert_eq!(asked.field(name), None, "{name}: {}", asked.head);
    }
    assert_eq!(asked.field("x-theirs").as_deref(), Some("2"));
    assert_eq!(asked.field("host").as_deref(), Some("example.org"));
}

#[test]
fn fields_of_one_hop_do_not_reach_the_reader() {
    let origin = Origin::page(
        "Connection: X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\
         X-Theirs: 2\r\nCache-Control: max-age=60\r\n",
        "hello",
    );
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    for _ in 0..2 {
        let got = client.get("/", "");
        got.assert_status(200).assert_body("hello");
        for name in ["x-mine", "keep-alive", "proxy-connection", "connection"] {
            assert_eq!(got.field(name), None, "{name}: {}", got.head);
        }
        assert_eq!(got.field("x-theirs").as_deref(), Some("2"));
    }
}

#[test]
fn a_field_cannot_be_removed_by_naming_it_a_hops_own() {
    // Else a reader could strip Host or our account of who asks.
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    let got = shield.client().get("/", "Connection: Host, X-Forwarded-For, Forwarded\r\n");
    got.assert_status(200);
    let asked = origin.only();
    assert_eq!(asked.field("host").as_deref(), Some("example.org"));
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert!(asked.field("forwarded").is_some(), "{}", asked.head);
}

const CLAIMS: &str = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9;proto=https\r\n\
                      X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
                      X-Real-IP: 203.0.113.9\r\nX-Request-ID: mine\r\nTrue-Client-IP: 203.0.113.9\r\n\
                      X-Forwarded-Port: 443\r\nX_Forwarded_For: 203.0.113.9\r\n";

#[test]
fn a_stranger_is_not_believed_about_itself() {
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    shield.client().get("/", CLAIMS).assert_status(200);
    let asked = origin.only();
    let head = asked.head.to_lowercase();
    for word in ["203.0.113.9", "evil.example", "mine", "x-forwarded-port"] {
        assert!(!head.contains(word), "{word}: {head}");
    }
    for (name, value) in [
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "example.org"),
        ("forwarded", "for=127.0.0.1;host=\"example.org\";proto=http"),
    ] {
        assert_eq!(asked.field(name).as_deref(), Some(value), "{name}");
    }
    assert!(asked.field("x-request-id").is_some_and(|id| !id.is_empty()));
}

#[test]
fn a_trusted_proxy_is_believed_and_joined() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, trust_loopback);
    shield.client().get("/", CLAIMS).assert_status(200);
    let asked = origin.only();
    assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(asked.field("x-forwarded-proto").as_deref(), Some("https"));
    let forwarded = asked.field("forwarded").expect("set");
    assert!(forwarded.starts_with("for=203.0.113.9;proto=https, for=127.0.0.1;"), "{forwarded}");
}

#[test]
fn each_request_has_its_own_number() {
    let origin = Origin::page("Cache-Control: no-store\r\n", "");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/a", "");
    client.get("/b", "");
    let ids: Vec<_> = origin.asked().iter().map(|asked| asked.field("x-request-id")).collect();
    assert!(ids[0].is_some() && ids[0] != ids[1], "{ids:?}");
}

fn proxy_v2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    header
}

#[test]
fn a_proxy_header_from_a_trusted_peer_names_the_client() {
    let v1 = b"PROXY TCP4 203.0.113.9 127.0.0.1 12345 80\r\n".to_vec();
    for header in [v1, proxy_v2([203, 0, 113, 9])] {
        let origin = Origin::page("", "");
        let shield = Shield::with(&origin, |config| {
            trust_loopback(config);
            config.listen[0].proxy_protocol = true;
        });
        let mut client = shield.client();
        client.send(header);
        client.get("/", CLAIMS).assert_status(200);
        // The client it names is a stranger, whose own claims do not count.
        let asked = origin.only();
        assert_eq!(asked.field("x-forwarded-for").as_deref(), Some("203.0.113.9"));
        assert_eq!(asked.field("x-forwarded-proto").as_deref(), Some("http"));
    }
}

#[test]
fn a_proxy_header_from_a_stranger_is_no_request() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| config.listen[0].proxy_protocol = true);
    for header in
        [b"PROXY TCP4 203.0.113.9 127.0.0.1 1 80\r\n".to_vec(), proxy_v2([203, 0, 113, 9])]
    {
        let mut client = shield.client();
        client.send(header).send_anyway("GET /smuggled HTTP/1.1\r\nHost: example.org\r\n\r\n");
        client.read("GET").assert_status(400);
        client.assert_over();
    }
    shield.client().get("/marker", "").assert_status(200);
    assert_eq!(origin.only().path(), "/marker");
}

#[test]
fn a_trusted_peer_without_its_proxy_header_is_closed() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| {
        trust_loopback(config);
        config.listen[0].proxy_protocol = true;
    });
    let mut client = shield.client();
    client.send_anyway("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n");
    assert_eq!(client.rest().0, b"", "closed without an answer");
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_origins_own_name_is_sent_if_wished() {
    let origin = Origin::answering(|asked| ok("", asked.field("host").unwrap_or_default()));
    let shield = Shield::with(&origin, |config| config.sites[0].origin.preserve_host = false);
    let got = shield.client().get("/", "");
    let address: SocketAddr = got.text().parse().expect("an address");
    assert_eq!(address, origin.address());
    assert_eq!(origin.only().field("x-forwarded-host").as_deref(), Some("example.org"));
}

#[test]
fn the_site_is_chosen_by_host() {
    let (one, two) = (Origin::page("", "one"), Origin::page("", "two"));
    let shield = Shield::with(&one, |config| {
        config.sites[0].hosts = vec!["one.example".to_owned()];
        let mut second = crate::shield::site(two.address());
        second.hosts = vec!["*.two.example".to_owned()];
        config.sites.push(second);
    });
    let get = |host: &str| {
        let mut client: Client = shield.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        client.read("GET")
    };
    get("ONE.example").assert_status(200).assert_body("one");
    get("one.example:8080").assert_status(200).assert_body("one");
    get("www.two.example").assert_status(200).assert_body("two");
    get("stranger.example").assert_status(421);
    get("a.b.two.example").assert_status(421);
    assert_eq!(
        (one.count(), two.count()),
        (1, 1),
        "a made-up port is the same page, strangers are nobody's"
    );
}

#[test]
fn pages_of_both_schemes_behind_a_proxy_are_kept_apart() {
    // Else the redirect from http to https would be held for the readers of https, in a loop.
    let origin = Origin::answering(|asked| {
        ok("Cache-Control: max-age=600\r\n", asked.field("x-forwarded-proto").unwrap_or_default())
    });
    let shield = Shield::with(&origin, trust_loopback);
    let mut client = shield.client();
    for _ in 0..2 {
        for scheme in ["http", "https"] {
            let got = client.get("/", &format!("X-Forwarded-Proto: {scheme}\r\n"));
            got.assert_status(200).assert_body(scheme);
        }
    }
    // What is neither says nothing, and cannot be smuggled into a held page.
    for odd in ["evil", "https, http", ""] {
        client.get("/", &format!("X-Forwarded-Proto: {odd}\r\n")).assert_body("http");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn fields_that_would_change_what_is_asked_do_not_reach_the_origin() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::before(&origin);
    let names = [
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Forwarded-Scheme",
        "X-Forwarded-Protocol",
        "X-Url-Scheme",
        "X-HTTP-Host-Override",
        "X-Host",
        "X-Cluster-Client-IP",
        "Fastly-Client-IP",
    ];
    let lines: String = names.iter().map(|name| format!("{name}: evil\r\n")).collect();
    shield.client().get("/", &lines).assert_status(200);
    let asked = origin.only();
    for name in names {
        assert_eq!(asked.field(name), None, "{name}");
    }
}

#[test]
fn a_form_may_say_which_method_it_means() {
    let origin = Origin::page("", "");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: PATCH\r\n\r\n");
    client.read("POST").assert_status(200);
    assert_eq!(origin.only().field("x-http-method-override").as_deref(), Some("PATCH"));
}
