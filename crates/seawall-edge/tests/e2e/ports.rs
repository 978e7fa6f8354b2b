//! The port that a request names in Host: what is known of ours makes a key of its own, what a stranger
//! makes up does not, and the origin is told what the key says.

use seawall_edge::config::Config;
use seawall_model::Prefix;

use crate::client::Client;
use crate::origin::{Asked, Origin, ok};
use crate::shield::Shield;

/// An origin that makes links from Host.
fn linking(asked: &Asked) -> Vec<u8> {
    let told = ["host", "x-forwarded-host"].map(|name| asked.field(name).unwrap_or_default());
    assert_eq!(told[0], told[1], "{}", asked.head);
    ok("Cache-Control: max-age=600\r\n", &told[0])
}

#[track_caller]
fn check(client: &mut Client, host: &str, extra: &str, want: &str) {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n"));
    client.read("GET").assert_status(200).assert_body(want);
}

fn trust_loopback(config: &mut Config) {
    config.trusted_proxies = vec!["127.0.0.0/8".parse::<Prefix>().expect("a prefix")];
}

#[test]
fn made_up_ports_are_all_one_page() {
    let origin = Origin::answering(linking);
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    let ours = shield.addresses()[0].port();
    for port in (1..=200u16).filter(|port| *port != ours) {
        let claim = format!("X-Forwarded-Port: {port}\r\n");
        check(&mut client, &format!("example.org:{port}"), &claim, "example.org");
    }
    assert_eq!(origin.count(), 1);
}

#[test]
fn the_port_that_is_listened_on_is_kept() {
    let origin = Origin::answering(linking);
    let shield = Shield::before(&origin);
    let host = format!("example.org:{}", shield.addresses()[0].port());
    let mut client = shield.client();
    check(&mut client, &host, "", &host);
    check(&mut client, "example.org", "", "example.org");
    check(&mut client, &host, "", &host);
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_port_that_the_operator_names_is_kept() {
    let origin = Origin::answering(linking);
    let shield = Shield::with(&origin, |config| config.listen[0].public_port = Some(8443));
    let mut client = shield.client();
    check(&mut client, "example.org:8443", "", "example.org:8443");
    check(&mut client, "example.org:8444", "", "example.org");
    assert_eq!(origin.count(), 2);
}

#[test]
fn the_port_that_a_trusted_proxy_tells_is_kept() {
    let origin = Origin::answering(linking);
    let shield = Shield::with(&origin, trust_loopback);
    let mut client = shield.client();
    let told = "X-Forwarded-Port: 8443\r\n";
    check(&mut client, "example.org:8443", told, "example.org:8443");
    check(&mut client, "example.org:8444", told, "example.org");
    check(&mut client, "example.org:8443", "", "example.org");
    // The default port of the scheme is no part of a name, whoever tells it.
    let told = "X-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n";
    check(&mut client, "example.org:443", told, "example.org");
    assert_eq!(origin.count(), 3, "one of them for https");
}

#[test]
fn the_port_that_a_proxy_header_tells_is_kept() {
    let origin = Origin::answering(linking);
    let shield = Shield::with(&origin, |config| {
        trust_loopback(config);
        config.listen[0].proxy_protocol = true;
    });
    let mut client = shield.client();
    client.send("PROXY TCP4 203.0.113.9 127.0.0.1 12345 8443\r\n");
    check(&mut client, "example.org:8443", "", "example.org:8443");
    check(&mut client, "example.org:8444", "", "example.org");
    assert_eq!(origin.count(), 2);
}
