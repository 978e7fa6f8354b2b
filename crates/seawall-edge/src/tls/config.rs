//! The one TLS configuration that all listeners share.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::NoServerSessionStorage;

use super::load::TlsError;
use super::store::CertStore;

/// TLS 1.2 and 1.3 over aws-lc-rs with the library's default suites (AEAD with forward secrecy
/// only, which is what Mozilla calls *intermediate*), ALPN `h2` and `http/1.1`, no client
/// certificates and no early data (RFC 8470: early data can be replayed).
///
/// # Errors
/// [`TlsError::Setup`] if the system has no randomness for the ticket key.
pub fn server_config(store: Arc<CertStore>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Setup)?
        .with_no_client_auth()
        .with_cert_resolver(store);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Stateless resumption only: what a visitor may resume with, the visitor keeps. The key
    // lives in memory and rotates every six hours (RFC 5077 §5.5).
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Setup)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Clients use one ticket per new connection and get a new one on each; a second ticket would
    // add some 5 us and 250 bytes to every handshake under a handshake flood.
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
