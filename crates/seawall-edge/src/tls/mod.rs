//! The server's side of TLS: certificates, their choice by SNI, and their renewal.
//!
//! [`CertStore`] is read by every handshake and replaced as a whole when [`CertWatch`] sees new
//! files, so a renewal needs no restart and no lock. A renewal that does not load changes nothing
//! but the log.
//!
//! Does **not** obtain certificates (ACME passes through to the origin), does not terminate
//! anything itself (the listeners do), and keeps no session state in memory: resumption is by
//! tickets alone, so that ten million visitors cost no more than one.

mod config;
mod load;
mod store;
mod watch;

pub use self::config::server_config;
pub use self::load::{LoadedCertificate, TlsError, load_certificate};
pub use self::store::{CertStore, rsa_only};
pub use self::watch::{CertEvent, CertWatch, ExpiryState, ExpiryWarning, expiry_warnings};
