//! Connections to origins: TCP, TLS over TCP, unix sockets.
//!
//! It opens one connection and hands it to the HTTP library; it keeps none (see `pool`).

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::config::{Origin, OriginTarget};
use crate::origin::{OriginBody, OriginError};

/// A sender for requests on one origin connection.
pub(crate) type Sender = http1::SendRequest<OriginBody>;

/// How to reach one origin; made once per configuration.
pub(crate) struct Connector {
    target: OriginTarget,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// The TLS settings of an https origin cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OriginTlsError {
    /// The CA file cannot be read or holds no certificate.
    #[error("cannot use the CA file `{path}`: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The host is neither a DNS name nor an address.
    #[error("`{0}` is not a host name that a certificate can be checked against")]
    Name(String),
    /// The TLS library refused the settings.
    #[error("cannot set up TLS to the origin")]
    Rustls(#[source] rustls::Error),
}

impl Connector {
    /// Prepares to connect to `origin`.
    ///
    /// # Errors
    /// [`OriginTlsError`] for an https origin whose CA file or name cannot be used.
    pub(crate) fn new(origin: &Origin) -> Result<Self, OriginTlsError> {
        let tls = match &origin.target {
            OriginTarget::Https { host, .. } => {
                let name = ServerName::try_from(host.clone())
                    .map_err(|_| OriginTlsError::Name(host.clone()))?;
                Some((TlsConnector::from(Arc::new(client_config(origin)?)), name))
            }
            OriginTarget::Http { .. } | OriginTarget::Unix(_) => None,
        };
        Ok(Self { target: origin.target.clone(), tls })
    }

    /// Opens a connection. The caller bounds the time.
    ///
    /// # Errors
    /// [`OriginError::Connect`] when the origin refuses or TLS fails.
    pub(crate) async fn connect<B>(&self) -> Result<http1::SendRequest<B>, OriginError>
    where
        B: Body + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let io: Box<dyn Io> = match &self.target {
            OriginTarget::Http { host, port } | OriginTarget::Https { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tcp.set_nodelay(true)?;
                match &self.tls {
                    Some((tls, name)) => Box::new(tls.connect(name.clone(), tcp).await?),
                    None => Box::new(tcp),
                }
            }
            OriginTarget::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_RESPONSE_FIELDS)
            .max_buf_size(MAX_RESPONSE_HEAD_BYTES)
            .handshake(TokioIo::new(Boxed(io)))
            .await
            .map_err(OriginError::Protocol)?;
        tokio::task::spawn_local(async move {
            // Its errors reach whoever waits for the response; here they have no addressee.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }
}

fn client_config(origin: &Origin) -> Result<ClientConfig, OriginTlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(OriginTlsError::Rustls)?;
    let mut config = if origin.danger_accept_any_certificate {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(danger::AcceptAny(provider)))
            .with_no_client_auth()
    } else {
        builder.with_root_certificates(roots(origin)?).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(origin: &Origin) -> Result<RootCertStore, OriginTlsError> {
    let mut roots = RootCertStore::empty();
    match &origin.ca_file {
        Some(path) => {
            let fail = |reason: String| OriginTlsError::CaFile {
                path: path.display().to_string(),
                reason,
            };
            let certs = rustls::pki_types::CertificateDer::pem_file_iter(path)
                .map_err(|e| fail(e.to_string()))?;
            for cert in certs {
                let cert = cert.map_err(|e| fail(e.to_string()))?;
                roots.add(cert).map_err(|e| fail(e.to_string()))?;
            }
            if roots.is_empty() {
                return Err(fail("it holds no certificate".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(roots)
}

/// Response heads beyond these are the origin's fault and answered with 502.
const MAX_RESPONSE_FIELDS: usize = 256;
const MAX_RESPONSE_HEAD_BYTES: usize = 256 * 1024;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Boxed(Box<dyn Io>);

impl AsyncRead for Boxed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Boxed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}

mod danger {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};

    /// Trusts whatever the origin shows: only for `danger_accept_any_certificate`.
    #[derive(Debug)]
    pub(super) struct AcceptAny(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for AcceptAny {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
