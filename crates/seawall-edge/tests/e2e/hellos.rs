//! What a TLS hello meets before any cryptography: fingerprints and the budget of handshakes.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use seawall_edge::config::Config;
use seawall_wire::client_hello;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::origin::Origin;
use crate::shield::{Shield, until};
use crate::tls::shield;

const FRESH: &str = "Cache-Control: max-age=600\r\n";
const NAME: &str = "one.example";

/// A client that remembers tickets of `shield`, and trusts `others` as well.
fn client(shield: &Shield, others: &[&Shield]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for shield in [shield].iter().chain(others) {
        let leaf = CertificateDer::from_pem_file(&shield.config().tls[0].cert).expect("reads");
        roots.add(leaf).expect("a trust anchor");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.expect("versions").with_root_certificates(roots);
    Arc::new(config.with_no_client_auth())
}

fn hello(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from(NAME).expect("a name");
    ClientConnection::new(Arc::clone(config), name).expect("a client")
}

fn open(shield: &Shield) -> TcpStream {
    open_from(Ipv4Addr::LOCALHOST, shield)
}

fn open_from(source: Ipv4Addr, shield: &Shield) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket is to be had");
    socket.bind(&SocketAddr::from((source, 0)).into()).expect("loopback is bound");
    socket.connect(&shield.addresses()[0].into()).expect("loopback connects");
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(Duration::from_secs(30))).expect("socket option");
    tcp
}

/// Asks for a page on a new connection; how the handshake went, or `None` if not one byte was
/// answered to the hello.
fn shake(shield: &Shield, config: &Arc<ClientConfig>) -> Option<HandshakeKind> {
    shake_from(Ipv4Addr::LOCALHOST, shield, config)
}

fn shake_from(
    source: Ipv4Addr,
    shield: &Shield,
    config: &Arc<ClientConfig>,
) -> Option<HandshakeKind> {
    let (mut conn, mut tcp) = (hello(config), open_from(source, shield));
    conn.write_tls(&mut tcp).expect("the socket takes a hello");
    match conn.read_tls(&mut tcp) {
        Ok(0) => return None,
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
        Err(error) => panic!("neither an answer nor an end: {error}"),
    }
    conn.process_new_packets().expect("a server hello");
    let mut client = Client::over(StreamOwned::new(conn, tcp));
    client.get("/", "").assert_status(200);
    client.stream().conn.handshake_kind()
}

fn refused(shield: &Shield, cause: &str) -> u64 {
    shield.metric(&format!("seawall_connections_refused_total{{cause=\"{cause}\"}}"))
}

#[test]
fn a_denied_fingerprint_gets_no_server_hello() {
    let origin = Origin::page(FRESH, "hello");
    let (open_to_all, _dir) = shield(&origin, |_| {});
    let config = client(&open_to_all, &[]);
    let mut bytes = Vec::new();
    hello(&config).write_tls(&mut bytes).expect("a hello");
    let ja4 = client_hello::parse(&bytes, 1 << 16).expect("a hello").ja4;
    let rules = [ja4.to_string(), format!("{}*", &ja4.as_str()[..11]), "t12d0510*".to_owned()];
    for (rule, is_denied) in rules.iter().zip([true, true, false]) {
        let (shield, _dir) = shield(&origin, |config: &mut Config| {
            config.deny_ja4 = vec![rule.parse().expect("a rule")];
        });
        let config = client(&shield, &[]);
        assert_eq!(shake(&shield, &config).is_none(), is_denied, "{rule}");
        assert_eq!(refused(&shield, "deny_fingerprint"), u64::from(is_denied), "{rule}");
        let full = "seawall_tls_handshakes_total{outcome=\"full\"}";
        assert_eq!(shield.metric(full), u64::from(!is_denied), "{rule}");
    }
}

/// One handshake of a stranger, and then none for a minute; as good as no bound for others.
fn hardly_any(config: &mut Config) {
    // Each worker has a budget of its own.
    config.workers = 1;
    config.limits.handshake_share_percent = 0;
    config.limits.known_handshake_share_percent = 100_000;
    config.limits.handshake_burst = Duration::ZERO;
}

/// Lets strangers spend what is theirs.
fn spend(shield: &Shield) {
    let config = client(shield, &[]);
    assert_eq!(shake(shield, &config), Some(HandshakeKind::Full));
    let other = client(shield, &[]);
    assert_eq!(shake(shield, &other), None, "a stranger after the budget is spent");
}

#[test]
fn handshakes_beyond_their_budget_are_refused_except_for_who_comes_back() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, _dir) = shield(&origin, hardly_any);
    let regular = client(&shield, &[]);
    assert_eq!(shake(&shield, &regular), Some(HandshakeKind::Full));
    let stranger = client(&shield, &[]);
    assert_eq!(shake(&shield, &stranger), None);
    assert_eq!(refused(&shield, "handshake_budget"), 1);
    assert_eq!(shake(&shield, &regular), Some(HandshakeKind::Resumed));
}

#[test]
fn a_ticket_that_is_no_good_is_no_free_pass() {
    let origin = Origin::page(FRESH, "hello");
    let (elsewhere, _dir) = shield(&origin, |_| {});
    let (shield, _dir2) = shield(&origin, hardly_any);
    let mut passed = 0;
    spend(&shield);
    while passed < 100 {
        // A ticket of another server, under the same name.
        let forger = client(&shield, &[&elsewhere]);
        assert_eq!(shake(&elsewhere, &forger), Some(HandshakeKind::Full));
        match shake(&shield, &forger) {
            Some(HandshakeKind::Full) => passed += 1,
            None => break,
            Some(other) => panic!("{other:?}"),
        }
    }
    // Eight at once, and one more for each five seconds that this takes.
    assert!((8..100).contains(&passed), "some are believed until they fail: {passed}");
}

#[test]
fn who_shakes_hands_again_and_again_waits_behind_who_does_not() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, _dir) = shield(&origin, |config| {
        config.workers = 1;
        // Many handshakes at once, and then hardly any.
        config.limits.handshake_share_percent = 1;
        config.limits.handshake_burst = Duration::from_millis(200);
    });
    let new = || client(&shield, &[]);
    let bot = Ipv4Addr::new(127, 0, 1, 1);
    for at in 0..12 {
        assert!(shake_from(bot, &shield, &new()).is_some(), "there is room for number {at}");
    }
    // Until half of what strangers have is spent; none of them comes from the bot's /24, nor twice.
    let mut others = (1..=255).flat_map(|c| [2, 3].map(|b| Ipv4Addr::new(127, b, c, 1)));
    let mut other = || others.next().expect("half a thousand of them spend it");
    while shake_from(bot, &shield, &new()).is_some() {
        assert!(shake_from(other(), &shield, &new()).is_some(), "a stranger before the bot");
    }
    assert!(shake_from(other(), &shield, &new()).is_some(), "another one");
    let neighbour = Ipv4Addr::new(127, 0, 1, 2);
    assert!(shake_from(neighbour, &shield, &new()).is_some(), "its network is not to blame");
}

#[test]
fn sources_on_the_allow_list_have_no_budget_of_handshakes() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, _dir) = shield(&origin, |config| {
        hardly_any(config);
        config.allow = vec!["127.0.0.1/32".parse().expect("a prefix")];
    });
    for _ in 0..3 {
        assert_eq!(shake(&shield, &client(&shield, &[])), Some(HandshakeKind::Full));
    }
}

#[test]
fn nobody_renegotiates() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, _dir) = shield(&origin, |_| {});
    let mut conn = hello(&client(&shield, &[]));
    let mut tcp = open(&shield);
    conn.complete_io(&mut tcp).expect("a handshake");
    let full = "seawall_tls_handshakes_total{outcome=\"full\"}";
    // Else the second hello could be read together with the end of the handshake.
    until("the handshake is over", || shield.metric(full) == 1);
    // A second hello where data is due (RFC 8446 §4.1.2 forbids it, as does rustls under TLS 1.2).
    hello(&client(&shield, &[])).write_tls(&mut tcp).expect("the socket takes it");
    let mut rest = Vec::new();
    let ended = tcp.read_to_end(&mut rest);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert_eq!(shield.metric(full), 1);
}
