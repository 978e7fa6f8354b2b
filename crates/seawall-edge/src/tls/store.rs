//! Chooses a certificate for a handshake.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::load::{LoadedCertificate, TlsError, load_certificate};
use crate::config::Certificate;

/// All certificates, by name. Shared by every worker; replaced as a whole.
#[derive(Debug)]
pub struct CertStore {
    table: ArcSwap<Table>,
}

impl CertStore {
    /// Loads every pair of files. The first is the default for unknown names and for clients
    /// without SNI.
    ///
    /// # Errors
    /// Every pair that cannot be used, so that the operator mends all in one go. An empty
    /// `files` is an empty store, which refuses every handshake.
    pub fn load(files: &[Certificate]) -> Result<Self, Vec<TlsError>> {
        let mut loaded = Vec::new();
        let mut errors = Vec::new();
        for pair in files {
            match load_certificate(pair) {
                Ok(certificate) => loaded.push(certificate),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self::from_loaded(loaded)) } else { Err(errors) }
    }

    /// A store of these certificates, the default first.
    pub fn from_loaded(certificates: Vec<LoadedCertificate>) -> Self {
        Self { table: ArcSwap::from_pointee(Table::new(certificates)) }
    }

    /// Replaces all certificates. Handshakes under way finish with what they chose.
    pub fn replace(&self, certificates: Vec<LoadedCertificate>) {
        self.table.store(Arc::new(Table::new(certificates)));
    }

    /// What is loaded now, the default first.
    pub fn certificates(&self) -> Vec<LoadedCertificate> {
        self.table.load().all.clone()
    }

    /// The certificate for a name and the signature schemes a client takes. An exact name goes
    /// before a wildcard, and either before the default. Among several for one name the first whose
    /// key suits the client, RSA last: its signatures cost about 14 times as much as ECDSA's, and
    /// every handshake asks for one.
    ///
    /// Cost: up to two look-ups; no allocation for names of up to 253 bytes.
    pub fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.table.load().choose(name, schemes)
    }
}

impl ResolvesServerCert for CertStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(hello.server_name(), hello.signature_schemes())
    }
}

/// The RSA certificates for whose names there is no other kind: their position, and those names. A
/// handshake for such a name costs what RSA costs, whoever asks for it.
pub fn rsa_only(certificates: &[LoadedCertificate]) -> Vec<(usize, Vec<&str>)> {
    let fast: HashSet<&str> =
        certificates.iter().filter(|one| !one.is_rsa()).flat_map(names).collect();
    let slow = certificates.iter().enumerate().filter(|(_, one)| one.is_rsa());
    slow.map(|(at, one)| (at, names(one).filter(|name| !fast.contains(name)).collect()))
        .filter(|(_, names): &(_, Vec<&str>)| !names.is_empty())
        .collect()
}

fn names(certificate: &LoadedCertificate) -> impl Iterator<Item = &str> {
    certificate.names.iter().map(String::as_str)
}

/// Names come from the operator's certificates, so the map cannot be made to collide from
/// outside; lookups by clients do not insert.
#[derive(Debug)]
struct Table {
    all: Vec<LoadedCertificate>,
    /// Name without `*.` to positions in `all`, in the order of preference.
    exact: HashMap<String, Vec<usize>>,
    wildcard: HashMap<String, Vec<usize>>,
}

impl Table {
    fn new(all: Vec<LoadedCertificate>) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        let mut wildcard: HashMap<String, Vec<usize>> = HashMap::new();
        for (position, certificate) in all.iter().enumerate() {
            for name in &certificate.names {
                match name.strip_prefix("*.") {
                    Some(suffix) => wildcard.entry(suffix.to_owned()).or_default().push(position),
                    None => exact.entry(name.clone()).or_default().push(position),
                }
            }
        }
        for list in exact.values_mut().chain(wildcard.values_mut()) {
            // Stable: the operator's order decides among the same kind.
            list.sort_by_key(|at| all[*at].is_rsa());
        }
        Self { all, exact, wildcard }
    }

    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let suits = |at: &usize| self.all[*at].certified.key.choose_scheme(schemes).is_some();
        let mut buffer = [0u8; MAX_NAME_BYTES];
        if let Some(name) = name.and_then(|name| lower(name, &mut buffer)) {
            // RFC 9525 §6.3: a wildcard stands for exactly one label, the leftmost.
            let suffix = name.split_once('.').map(|(_, suffix)| suffix);
            for found in [self.exact.get(name), suffix.and_then(|s| self.wildcard.get(s))] {
                if let Some(at) = found.and_then(|list| list.iter().find(|at| suits(at))) {
                    return Some(Arc::clone(&self.all[*at].certified));
                }
            }
        }
        // An unknown name gets the default rather than an alert: monitoring and bare-address
        // visits go on, and the client is told the truth by the certificate itself. Others of the
        // default's first name go before it if their keys are of a better kind, or alone suit.
        let first = self.all.first()?;
        let twins = first.names.first().and_then(|name| match name.strip_prefix("*.") {
            Some(suffix) => self.wildcard.get(suffix),
            None => self.exact.get(name),
        });
        let at = twins.into_iter().flatten().find(|at| suits(at)).copied().unwrap_or(0);
        Some(Arc::clone(&self.all[at].certified))
    }
}

/// DNS names are compared without regard to ASCII case; RFC 1035 §2.3.4 bounds their length.
fn lower<'b>(name: &str, buffer: &'b mut [u8; MAX_NAME_BYTES]) -> Option<&'b str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let target = buffer.get_mut(..name.len())?;
    target.copy_from_slice(name.as_bytes());
    target.make_ascii_lowercase();
    std::str::from_utf8(target).ok()
}

const MAX_NAME_BYTES: usize = 253;
