//! HTTP/1.1 over TLS, and what is sent to a TLS port that is none.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use seawall_edge::config::{Certificate, Config};
use tempfile::TempDir;

use crate::client::Client;
use crate::credentials::credential;
use crate::origin::Origin;
use crate::shield::{Shield, content, listen, until};

/// Writes a certificate for `name`.
fn certificate(dir: &Path, name: &str) -> Certificate {
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("names");
    let cert = params.self_signed(&key).expect("certificate");
    let files =
        Certificate { cert: dir.join(format!("{name}.pem")), key: dir.join(format!("{name}.key")) };
    fs::write(&files.cert, cert.pem()).expect("writes");
    fs::write(&files.key, key.serialize_pem()).expect("writes");
    files
}

/// A server whose first listener speaks TLS for two names and whose second does not.
pub(crate) fn shield(origin: &Origin, change: impl FnOnce(&mut Config)) -> (Shield, TempDir) {
    let dir = tempfile::tempdir().expect("temporary folder");
    let shield = Shield::with(origin, |config| {
        config.tls =
            ["one.example", "two.example"].map(|name| certificate(dir.path(), name)).into();
        config.listen[0].tls = true;
        config.listen.push(listen());
        change(config);
    });
    (shield, dir)
}

fn leaf(shield: &Shield, index: usize) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&shield.config().tls[index].cert).expect("reads")
}

type TlsStream = StreamOwned<ClientConnection, TcpStream>;

fn connect(shield: &Shield, name: &'static str) -> TlsStream {
    let mut roots = RootCertStore::empty();
    for index in 0..2 {
        roots.add(leaf(shield, index)).expect("a trust anchor");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(name).expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let tcp = TcpStream::connect(shield.addresses()[0]).expect("loopback connects");
    tcp.set_read_timeout(Some(Duration::from_secs(30))).expect("socket option");
    let mut stream = StreamOwned::new(connection, tcp);
    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    stream
}

#[test]
fn pages_come_whole_over_tls() {
    let page = content(300_000);
    let origin = Origin::page("Cache-Control: max-age=600\r\n", &page);
    let (shield, _dir) = shield(&origin, |_| {});
    let stream = connect(&shield, "one.example");
    assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let mut client = Client::over(stream);
    for outcome in ["fwd=uri-miss", "hit"] {
        let got = client.get("/page", "");
        got.assert_status(200).assert_cache(outcome);
        assert!(got.body == page);
    }
    assert_eq!(origin.only().field("x-forwarded-proto").as_deref(), Some("https"));
    client.get("/page", "Connection: close\r\n").assert_status(200);
    assert_eq!(client.rest(), (Vec::new(), crate::client::End::Closed), "ends with close_notify");
}

#[test]
fn a_credential_is_taken_over_tls_and_not_beside_it() {
    let origin = Origin::page("Content-Type: text/html\r\nCache-Control: max-age=600\r\n", "page");
    let (shield, _dir) = shield(&origin, |_| {});
    let cookie = format!("Cookie: {}\r\n", credential(&shield, 7, 2));
    let mut plain = Client::connect(shield.addresses()[1]);
    let got = plain.get("/", &cookie);
    assert_eq!(got.field("set-cookie"), None);
    assert_eq!(shield.metric("seawall_credentials_accepted_total"), 0);
    let got = Client::over(connect(&shield, "one.example")).get("/", &cookie);
    let renewed = got.field("set-cookie").expect("that of today");
    assert!(renewed.starts_with("__Host-seawall="), "{renewed}");
    assert_eq!(got.field("cache-control").as_deref(), Some("private, no-cache"));
    assert_eq!(shield.metric("seawall_credentials_accepted_total"), 1);
    assert!(origin.asked().iter().all(|asked| asked.field("cookie").is_none()));
}

#[test]
fn an_upload_comes_whole_over_tls() {
    let origin = Origin::page("", "thanks");
    let (shield, _dir) = shield(&origin, |_| {});
    let sent = content(200_000);
    let mut client = Client::over(connect(&shield, "one.example"));
    client.send("POST / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 200000\r\n\r\n");
    client.send(&sent);
    client.read("POST").assert_status(200).assert_body("thanks");
    assert!(origin.only().body == sent);
}

#[test]
fn pages_of_both_schemes_are_kept_apart() {
    let origin = Origin::answering(|asked| {
        let scheme = asked.field("x-forwarded-proto").unwrap_or_default();
        crate::origin::ok("Cache-Control: max-age=600\r\n", scheme)
    });
    let (shield, _dir) = shield(&origin, |_| {});
    let mut plain = Client::connect(shield.addresses()[1]);
    let mut tls = Client::over(connect(&shield, "one.example"));
    for _ in 0..2 {
        plain.get("/", "").assert_status(200).assert_body("http");
        tls.get("/", "").assert_status(200).assert_body("https");
    }
    assert_eq!(origin.count(), 2);
}

#[test]
fn a_reload_takes_a_new_list_of_certificates_or_changes_nothing() {
    let origin = Origin::page("Cache-Control: no-store\r\n", "one");
    let other = Origin::page("Cache-Control: no-store\r\n", "other");
    let (shield, dir) = shield(&origin, |_| {});
    let mut config = shield.config().clone();
    config.sites = vec![crate::shield::site(other.address())];
    config.tls.remove(0);
    config.tls.push(Certificate { cert: dir.path().join("none"), key: dir.path().join("none") });
    let error = shield.server().reload(config.clone()).expect_err("one cannot be read");
    assert!(error.to_string().contains("none"), "{error}");
    let mut client = Client::over(connect(&shield, "one.example"));
    client.get("/", "").assert_status(200).assert_body("one");
    config.tls.pop();
    shield.server().reload(config).expect("reloads");
    let served = |name| {
        let stream = connect(&shield, name);
        stream.conn.peer_certificates().expect("certificates")[0].clone().into_owned()
    };
    assert_eq!(served("two.example"), leaf(&shield, 1));
    until("the worker has noticed", || client.get("/", "").text() == "other");
    for _ in 0..2 {
        let mut without = shield.config().clone();
        without.tls.clear();
        shield.server().reload(without).expect("reloads");
        assert_eq!(served("two.example"), leaf(&shield, 1), "the open listener keeps its list");
    }
}

#[test]
fn the_name_asked_for_chooses_the_certificate() {
    let origin = Origin::page("", "");
    let (shield, _dir) = shield(&origin, |_| {});
    for (index, name) in ["one.example", "two.example"].into_iter().enumerate() {
        let stream = connect(&shield, name);
        let shown = stream.conn.peer_certificates().expect("shown");
        assert_eq!(shown[0], leaf(&shield, index), "{name}");
    }
}

#[test]
fn garbage_on_the_tls_port_hurts_nobody() {
    let origin = Origin::page("", "hello");
    let (shield, _dir) = shield(&origin, |_| {});
    let mut too_long = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff];
    too_long.resize(100_000, 7);
    let cases: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: one.example\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0],
        &[0x15, 3, 3, 0, 2, 1, 0],
        &too_long,
        &[0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3],
    ];
    for garbage in cases {
        let mut client = Client::connect(shield.addresses()[0]);
        client.send_anyway(garbage);
        client.finish_anyway();
        let (rest, _) = client.rest();
        assert!(!rest.starts_with(b"HTTP"), "no answer in the clear");
    }
    Client::over(connect(&shield, "one.example")).get("/", "").assert_status(200);
    assert_eq!(origin.count(), 1);
}

#[test]
fn a_handshake_that_does_not_end_is_closed() {
    let origin = Origin::page("", "");
    let (shield, _dir) = shield(&origin, |config| {
        config.limits.handshake_timeout = Duration::from_millis(300);
    });
    let mut client = Client::connect(shield.addresses()[0]);
    client.send([0x16, 3, 1, 0, 200, 1, 0, 0, 196]);
    assert_eq!(client.rest().0, b"");
}
