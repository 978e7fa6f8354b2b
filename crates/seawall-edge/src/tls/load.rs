//! Reads one certificate chain and its key from PEM files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use seawall_model::WallTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::config::Certificate;

/// A certificate ready for handshakes, with what must be known of it.
#[derive(Clone, Debug)]
pub struct LoadedCertificate {
    /// Where it came from.
    pub files: Certificate,
    /// DNS names it is good for, lower case, without a trailing dot; wildcards as `*.example.org`.
    pub names: Vec<String>,
    /// Start of its validity.
    pub not_before: WallTime,
    /// End of its validity.
    pub not_after: WallTime,
    /// Chain and key.
    pub certified: Arc<CertifiedKey>,
}

impl LoadedCertificate {
    /// Whether its key is an RSA key, the kind whose signatures cost the most.
    pub fn is_rsa(&self) -> bool {
        self.certified.key.algorithm() == SignatureAlgorithm::RSA
    }
}

/// Why a certificate cannot be used. All are the operator's to mend; the message says how.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The file is missing, or this user may not read it.
    #[error(
        "cannot read `{path}`: {source}; check that it exists and that the user running seawall may read it"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file is larger than any certificate chain.
    #[error("`{path}` is larger than 1 MiB, so it is no PEM file of a certificate or key")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A PEM section does not decode.
    #[error("`{path}` is not valid PEM ({reason}); it may be cut off or in DER form")]
    BadPem {
        /// The file.
        path: PathBuf,
        /// What the parser says; never content of the file.
        reason: String,
    },
    /// There is no certificate in the file.
    #[error("`{path}` holds no certificate; expected a section `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no usable key in the file.
    #[error("`{path}` holds no private key; expected an unencrypted section `BEGIN PRIVATE KEY`")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The first certificate is not X.509.
    #[error("the first certificate in `{path}` cannot be read ({reason})")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// The key is of a kind or size that TLS does not use here.
    #[error(
        "the private key in `{path}` cannot be used ({reason}); use RSA (2048 to 8192 bits), ECDSA P-256/P-384/P-521 or Ed25519"
    )]
    UnsupportedKey {
        /// The file.
        path: PathBuf,
        /// What the library says; never key material.
        reason: String,
    },
    /// Key and certificate belong to different pairs.
    #[error(
        "the key `{key}` does not belong to the first certificate in `{cert}`; the chain must begin with the server's own certificate"
    )]
    KeyMismatch {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The library refused its own set-up: no randomness, or a bug.
    #[error("cannot set up TLS: {0}")]
    Setup(#[source] rustls::Error),
}

impl TlsError {
    /// The stable code documented in `docs/config.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "seawall::tls::unreadable",
            Self::TooLarge { .. } => "seawall::tls::too_large",
            Self::BadPem { .. } => "seawall::tls::bad_pem",
            Self::NoCertificate { .. } => "seawall::tls::no_certificate",
            Self::NoKey { .. } => "seawall::tls::no_key",
            Self::BadCertificate { .. } => "seawall::tls::bad_certificate",
            Self::UnsupportedKey { .. } => "seawall::tls::unsupported_key",
            Self::KeyMismatch { .. } => "seawall::tls::key_mismatch",
            Self::Setup(_) => "seawall::tls::setup",
        }
    }
}

/// Loads a pair of files. Validity in time is not judged: an expired certificate is better than a
/// closed port, and [`super::expiry_warnings`] is loud about it.
///
/// # Errors
/// See [`TlsError`]. Nothing is kept of a pair that fails.
pub fn load_certificate(files: &Certificate) -> Result<LoadedCertificate, TlsError> {
    let chain = read_chain(&files.cert)?;
    let (names, not_before, not_after) = inspect(&files.cert, &chain[0])?;
    let key = read_key(&files.key)?;
    let signing = aws_lc_rs::default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|e| TlsError::UnsupportedKey { path: files.key.clone(), reason: e.to_string() })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // `Unknown` means that the key cannot tell its public half; aws-lc's keys all can.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => {
            return Err(TlsError::KeyMismatch { cert: files.cert.clone(), key: files.key.clone() });
        }
    }
    let certified = Arc::new(certified);
    Ok(LoadedCertificate { files: files.clone(), names, not_before, not_after, certified })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read_bounded(path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::BadPem { path: path.to_owned(), reason: e.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    use rustls::pki_types::pem::Error;
    let pem = read_bounded(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        other => TlsError::BadPem { path: path.to_owned(), reason: other.to_string() },
    })
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    const MAX_PEM_BYTES: u64 = 1024 * 1024;
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut pem = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut pem).map_err(unreadable)?;
    if pem.len() as u64 > MAX_PEM_BYTES {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    Ok(pem)
}

type Inspected = (Vec<String>, WallTime, WallTime);

fn inspect(path: &Path, der: &CertificateDer<'_>) -> Result<Inspected, TlsError> {
    let bad = |reason: String| TlsError::BadCertificate { path: path.to_owned(), reason };
    let (_, cert) = X509Certificate::from_der(der).map_err(|e| bad(e.to_string()))?;
    let mut names = Vec::new();
    // RFC 9525 §2: only the subject alternative name identifies a server, never the common name.
    if let Some(san) = cert.subject_alternative_name().map_err(|e| bad(e.to_string()))? {
        for name in &san.value.general_names {
            if let GeneralName::DNSName(dns) = name {
                names.push(dns.trim_end_matches('.').to_ascii_lowercase());
            }
        }
    }
    let at = |time: x509_parser::time::ASN1Time| {
        WallTime::from_unix_secs(u64::try_from(time.timestamp()).unwrap_or(0))
    };
    Ok((names, at(cert.validity().not_before), at(cert.validity().not_after)))
}
