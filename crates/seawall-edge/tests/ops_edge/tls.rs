use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme,
};
use seawall_edge::config::Certificate;
use seawall_edge::tls::{
    CertEvent, CertStore, CertWatch, ExpiryState, expiry_warnings, load_certificate, rsa_only,
    server_config,
};
use seawall_model::WallTime;

const DAY: u64 = 86_400;
/// 2026-01-01; certificates of these tests are valid for the year 2026.
const NEW_YEAR: WallTime = WallTime::from_unix_secs(1_767_225_600);
const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];

fn day(n: u64) -> WallTime {
    NEW_YEAR + Duration::from_secs(n * DAY)
}

/// Writes `<label>.pem` and `<label>.key` for these names.
fn make(dir: &Path, label: &str, names: &[&str]) -> Certificate {
    make_with(dir, label, names, &PKCS_ECDSA_P256_SHA256)
}

fn make_with(
    dir: &Path,
    label: &str,
    names: &[&str],
    algorithm: &'static rcgen::SignatureAlgorithm,
) -> Certificate {
    let key = KeyPair::generate_for(algorithm).expect("key");
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    let cert = params.self_signed(&key).expect("certificate");
    let files = Certificate {
        cert: dir.join(format!("{label}.pem")),
        key: dir.join(format!("{label}.key")),
    };
    fs::write(&files.cert, cert.pem()).expect("writes");
    fs::write(&files.key, key.serialize_pem()).expect("writes");
    files
}

fn leaf(files: &Certificate) -> CertificateDer<'static> {
    load_certificate(files).expect("loads").certified.cert[0].clone()
}

#[test]
fn certificate_tells_its_names_and_validity() {
    let dir = crate::temp_dir();
    let files = make(dir.path(), "a", &["Example.ORG", "*.example.org"]);
    let loaded = load_certificate(&files).expect("loads");
    assert_eq!(loaded.names, ["example.org", "*.example.org"]);
    assert_eq!((loaded.not_before, loaded.not_after), (day(0), day(365)));
}

#[track_caller]
fn check_error(files: &Certificate, code: &str, named: &Path) {
    let error = load_certificate(files).expect_err("must not load");
    assert_eq!(error.code(), code, "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("`{}`", named.display())), "{text} names the file");
    assert!(!text.contains("PRIVATE KEY-----"), "no key material in messages");
}

#[test]
fn bad_files_are_told_apart() {
    let dir = crate::temp_dir();
    let good = make(dir.path(), "good", &["example.org"]);
    let other = make(dir.path(), "other", &["example.org"]);
    let file = |name: &str, text: &[u8]| {
        fs::write(dir.path().join(name), text).expect("writes");
        dir.path().join(name)
    };
    let with_cert = |cert: std::path::PathBuf| Certificate { cert, ..good.clone() };
    let with_key = |key: std::path::PathBuf| Certificate { key, ..good.clone() };

    let gone = dir.path().join("gone");
    check_error(&with_cert(gone.clone()), "seawall::tls::unreadable", &gone);
    check_error(&with_key(gone.clone()), "seawall::tls::unreadable", &gone);
    check_error(&with_cert(dir.path().into()), "seawall::tls::unreadable", dir.path());
    let empty = file("empty", b"");
    check_error(&with_cert(empty.clone()), "seawall::tls::no_certificate", &empty);
    check_error(&with_key(empty.clone()), "seawall::tls::no_key", &empty);
    check_error(&with_cert(good.key.clone()), "seawall::tls::no_certificate", &good.key);
    check_error(&with_key(good.cert.clone()), "seawall::tls::no_key", &good.cert);
    let cut = fs::read(&good.cert).expect("reads");
    let cut = file("cut", &cut[..cut.len() / 2]);
    check_error(&with_cert(cut.clone()), "seawall::tls::bad_pem", &cut);
    let junk = file("junk", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    check_error(&with_cert(junk.clone()), "seawall::tls::bad_certificate", &junk);
    let junk = file("junk.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    check_error(&with_key(junk.clone()), "seawall::tls::unsupported_key", &junk);
    check_error(&with_key(other.key.clone()), "seawall::tls::key_mismatch", &other.key);
    let huge = file("huge", &vec![b'x'; (1 << 20) + 1]);
    check_error(&with_cert(huge.clone()), "seawall::tls::too_large", &huge);
}

#[test]
fn all_bad_pairs_are_reported_at_once() {
    let dir = crate::temp_dir();
    let good = make(dir.path(), "good", &["example.org"]);
    let gone = |n| Certificate { cert: dir.path().join(n), key: dir.path().join(n) };
    let errors = CertStore::load(&[gone("a"), good, gone("b")]).expect_err("two are bad");
    assert_eq!(errors.len(), 2);
}

#[test]
fn name_chooses_the_certificate() {
    let dir = crate::temp_dir();
    let default = make(dir.path(), "default", &["default.example"]);
    let wild = make(dir.path(), "wild", &["*.example.org"]);
    let exact = make(dir.path(), "exact", &["www.example.org", "example.org"]);
    let store = CertStore::load(&[default.clone(), wild.clone(), exact.clone()]).expect("loads");
    let long = format!("{}.example.org", "x".repeat(300));
    for (name, want) in [
        (Some("www.example.org"), &exact),
        (Some("WWW.Example.org"), &exact),
        (Some("example.org."), &exact),
        (Some("blog.example.org"), &wild),
        (Some("a.blog.example.org"), &default),
        (Some("unknown.example"), &default),
        (Some(""), &default),
        (Some("."), &default),
        (Some(long.as_str()), &default),
        (None, &default),
    ] {
        let chosen = store.choose(name, ECDSA).expect("there is always one");
        assert_eq!(chosen.cert[0], leaf(want), "{name:?}");
    }
}

#[test]
fn key_suits_the_client() {
    let dir = crate::temp_dir();
    let ed = make_with(dir.path(), "ed", &["example.org"], &PKCS_ED25519);
    let ec = make(dir.path(), "ec", &["example.org"]);
    let store = CertStore::load(&[ed.clone(), ec.clone()]).expect("loads");
    let chosen = |name, schemes| store.choose(name, schemes).expect("one").cert[0].clone();
    assert_eq!(chosen(Some("example.org"), ECDSA), leaf(&ec));
    assert_eq!(chosen(None, ECDSA), leaf(&ec), "also without a name");
    assert_eq!(chosen(Some("example.org"), &[SignatureScheme::ED25519]), leaf(&ed));
}

const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

#[test]
fn a_signature_costs_least_where_the_client_lets_us_choose() {
    let dir = crate::temp_dir();
    let names = &["example.org", "*.example.org"];
    let rsa = make_with(dir.path(), "rsa", names, &PKCS_RSA_SHA256);
    let ec = make(dir.path(), "ec", names);
    let wild = make_with(dir.path(), "wild", &["*.example.net"], &PKCS_RSA_SHA256);
    let wild_ec = make(dir.path(), "wild_ec", &["*.example.net"]);
    let (one, other) = (RSA, SignatureScheme::ECDSA_NISTP256_SHA256);
    let rows = [
        (vec![rsa.clone(), ec.clone()], &ec, &rsa),
        (vec![ec.clone(), rsa.clone()], &ec, &rsa),
        (vec![wild.clone(), wild_ec.clone()], &wild_ec, &wild),
        (vec![rsa.clone()], &rsa, &rsa),
    ];
    for (files, fast, slow) in rows {
        let store = CertStore::load(&files).expect("loads");
        let chosen =
            |name, schemes: &[_]| store.choose(name, schemes).expect("one").cert[0].clone();
        for name in [Some("example.org"), Some("www.example.org"), Some("other.example"), None] {
            let what = format!("{name:?} of {files:?}");
            assert_eq!(chosen(name, &[one, other]), leaf(fast), "{what}");
            assert_eq!(chosen(name, &[other, one]), leaf(fast), "{what}");
            assert_eq!(chosen(name, ECDSA), leaf(fast), "{what}");
            assert_eq!(chosen(name, &[RSA]), leaf(slow), "{what}");
        }
    }
}

#[test]
fn names_that_cost_an_rsa_signature_are_told() {
    let dir = crate::temp_dir();
    let rsa = |label, names: &[&str]| make_with(dir.path(), label, names, &PKCS_RSA_SHA256);
    let files = [
        rsa("a", &["example.org", "www.example.org", "*.example.org"]),
        make(dir.path(), "b", &["example.org", "*.example.net"]),
        rsa("c", &["*.example.net"]),
        rsa("d", &["example.com"]),
    ];
    let store = CertStore::load(&files).expect("loads");
    let loaded = store.certificates();
    let told = rsa_only(&loaded);
    assert_eq!(
        told,
        [(0, vec!["www.example.org", "*.example.org"]), (3, vec!["example.com"])],
        "a name of its own is chosen before the wildcard, so that does not help `www`"
    );
}

#[test]
fn empty_store_offers_nothing() {
    assert!(CertStore::load(&[]).expect("loads").choose(None, ECDSA).is_none());
}

/// One handshake in memory; the client's end at its close.
fn handshake(server: &Arc<ServerConfig>, client: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("example.org").expect("name");
    let mut client = ClientConnection::new(Arc::clone(client), name).expect("client");
    let mut server = ServerConnection::new(Arc::clone(server)).expect("server");
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            server.read_tls(&mut wire).expect("memory");
            server.process_new_packets().expect("server accepts");
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut wire = wire.as_slice();
        while !wire.is_empty() {
            client.read_tls(&mut wire).expect("memory");
            client.process_new_packets().expect("client accepts");
        }
    }
    client
}

fn client_config(
    trusted: &Certificate,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(leaf(trusted)).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let time = Arc::new(FixedTime);
    let mut config = ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// The middle of 2026, whatever the day.
#[derive(Debug)]
struct FixedTime;

impl rustls::time_provider::TimeProvider for FixedTime {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        Some(rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
            day(180).unix_secs(),
        )))
    }
}

#[test]
fn both_versions_speak_h2_and_resume_by_ticket_alone() {
    let dir = crate::temp_dir();
    let files = make(dir.path(), "a", &["example.org"]);
    let store = Arc::new(CertStore::load(std::slice::from_ref(&files)).expect("loads"));
    let server = server_config(store).expect("configuration");
    for (version, want) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        let client = client_config(&files, &[version]);
        let first = handshake(&server, &client);
        assert_eq!(first.protocol_version(), Some(want));
        assert_eq!(first.alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        let second = handshake(&server, &client);
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{want:?}");
    }
}

#[test]
fn renewal_is_used_by_the_next_handshake_once_files_stand_still() {
    let dir = crate::temp_dir();
    let files = make(dir.path(), "a", &["example.org"]);
    let store = Arc::new(CertStore::load(std::slice::from_ref(&files)).expect("loads"));
    let mut watch = CertWatch::new(Arc::clone(&store));
    let before = leaf(&files);
    let served = || store.choose(None, ECDSA).expect("one").cert[0].clone();
    assert!(watch.poll(day(1)).is_empty(), "nothing changed");

    make(dir.path(), "a", &["example.org", "new.example.org"]);
    assert!(watch.poll(day(1)).is_empty(), "seen, but perhaps half written");
    assert_eq!(served(), before);
    let events = watch.poll(day(1));
    assert!(matches!(&events[..], [CertEvent::Reloaded { .. }]), "{events:?}");
    assert_eq!(served(), leaf(&files));
    assert!(watch.poll(day(1)).is_empty(), "once");
}

#[test]
fn bad_renewal_keeps_the_old_one_and_is_said_once() {
    let dir = crate::temp_dir();
    let (a, b) = (make(dir.path(), "a", &["a.example"]), make(dir.path(), "b", &["b.example"]));
    let store = Arc::new(CertStore::load(&[a.clone(), b.clone()]).expect("loads"));
    let mut watch = CertWatch::new(Arc::clone(&store));
    let old = leaf(&a);

    fs::write(&a.cert, "not a certificate").expect("writes");
    make(dir.path(), "b", &["b.example", "c.example"]);
    watch.poll(day(1));
    let events = watch.poll(day(1));
    assert!(
        matches!(&events[..], [CertEvent::Kept(_), CertEvent::Reloaded { .. }]),
        "each pair stands for itself: {events:?}"
    );
    let served = |name| store.choose(Some(name), ECDSA).expect("one").cert[0].clone();
    assert_eq!((served("a.example"), served("c.example")), (old, leaf(&b)));
    assert!(watch.poll(day(1)).is_empty());

    fs::remove_file(&a.cert).expect("removes");
    watch.poll(day(1));
    assert!(matches!(&watch.poll(day(1))[..], [CertEvent::Kept(_)]), "gone is bad as well");
    make(dir.path(), "a", &["a.example"]);
    watch.poll(day(1));
    assert!(matches!(&watch.poll(day(1))[..], [CertEvent::Reloaded { .. }]), "and heals");
}

#[test]
fn reload_on_demand_is_all_or_nothing() {
    let dir = crate::temp_dir();
    let (a, b) = (make(dir.path(), "a", &["a.example"]), make(dir.path(), "b", &["b.example"]));
    let store = Arc::new(CertStore::load(&[a.clone(), b.clone()]).expect("loads"));
    let mut watch = CertWatch::new(Arc::clone(&store));
    let old = leaf(&a);
    let served = || store.choose(None, ECDSA).expect("one").cert[0].clone();
    make(dir.path(), "a", &["a.example"]);
    fs::write(&b.key, "").expect("writes");
    let pairs = [a.clone(), b.clone()];
    assert_eq!(watch.reload(&pairs).expect_err("one is bad").len(), 1);
    assert_eq!(served(), old);
    make(dir.path(), "b", &["b.example"]);
    watch.reload(&pairs).expect("both are good");
    assert_eq!(served(), leaf(&a));
    watch.reload(&pairs[1..]).expect("a shorter list");
    assert_eq!(served(), leaf(&b), "the first of the new list is the default");
    assert!(watch.poll(day(1)).is_empty(), "the watch knows");
}

#[test]
fn expiry_is_told_fourteen_days_ahead() {
    let dir = crate::temp_dir();
    let loaded = [load_certificate(&make(dir.path(), "a", &["a.example"])).expect("loads")];
    let days = |n| Duration::from_secs(n * DAY);
    for (now, want) in [
        (day(0), None),
        (day(350), None),
        (day(351), Some((ExpiryState::Soon(days(14)), "ends in 14 day(s)"))),
        (day(365), Some((ExpiryState::Soon(days(0)), "ends in 0 day(s)"))),
        (day(368), Some((ExpiryState::Expired(days(3)), "ended 3 day(s) ago"))),
        (
            WallTime::from_unix_secs(NEW_YEAR.unix_secs() - 2 * DAY),
            Some((ExpiryState::NotYet(days(2)), "check the system's clock")),
        ),
    ] {
        let warnings = expiry_warnings(&loaded, now);
        assert_eq!(warnings.first().map(|w| w.state), want.map(|(state, _)| state), "{now:?}");
        if let (Some(warning), Some((_, text))) = (warnings.first(), want) {
            assert!(warning.to_string().contains(text), "{warning}");
        }
    }
}

#[test]
fn expiry_is_told_once_a_day() {
    let dir = crate::temp_dir();
    let store = Arc::new(CertStore::load(&[make(dir.path(), "a", &["a.example"])]).expect("loads"));
    let mut watch = CertWatch::new(store);
    let mut told = |now| watch.poll(now).len();
    let hour = Duration::from_secs(3_600);
    assert_eq!(told(day(355)), 1);
    assert_eq!(told(day(355) + hour), 0);
    assert_eq!(told(day(356)), 1);
    assert_eq!(told(day(400)), 1);
    assert_eq!(told(day(400) + hour), 0);
}
