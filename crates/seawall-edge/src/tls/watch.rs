//! Sees new certificate files and old certificates.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use seawall_model::WallTime;

use super::load::{LoadedCertificate, TlsError, load_certificate};
use super::store::CertStore;
use crate::config::Certificate;

/// Polls the files behind a [`CertStore`].
///
/// Polling every few seconds costs two `stat` calls per pair, works on every file system, and sees
/// through the symbolic links that certbot swaps. A change is acted on when the files stood still
/// between two polls, so that a chain is not paired with the key of a moment ago.
#[derive(Debug)]
pub struct CertWatch {
    store: Arc<CertStore>,
    pairs: Vec<Watched>,
    warned_on_day: Option<u64>,
}

#[derive(Debug)]
struct Watched {
    files: Certificate,
    /// What the files looked like when they were last acted on.
    acted_on: [Option<Stamp>; 2],
    /// What they looked like at the last poll.
    last: [Option<Stamp>; 2],
}

/// What a poll found worth a log line.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertEvent {
    /// A new pair is in use.
    Reloaded {
        /// The chain's file.
        cert: PathBuf,
        /// Its end of validity.
        not_after: WallTime,
    },
    /// A new pair cannot be used; the old one stays.
    Kept(TlsError),
    /// A certificate in use ends soon, or has ended. At most once per day and certificate.
    Expiry(ExpiryWarning),
}

impl Watched {
    fn new(files: &Certificate) -> Self {
        let stamp = stamps(files);
        Self { files: files.clone(), acted_on: stamp, last: stamp }
    }
}

impl CertWatch {
    /// Watches the files of what `store` holds now.
    pub fn new(store: Arc<CertStore>) -> Self {
        let certificates = store.certificates();
        let pairs = certificates.iter().map(|one| Watched::new(&one.files)).collect();
        Self { store, pairs, warned_on_day: None }
    }

    /// Looks at the files once; to be called every few seconds. Reads files (blocking, some tens
    /// of microseconds): for the control thread, not for a worker.
    ///
    /// Each pair stands for itself: a bad renewal of one does not hold back another.
    pub fn poll(&mut self, now: WallTime) -> Vec<CertEvent> {
        let mut events = Vec::new();
        let mut current = self.store.certificates();
        let mut changed = false;
        for (position, pair) in self.pairs.iter_mut().enumerate() {
            let seen = stamps(&pair.files);
            let still = seen == pair.last;
            pair.last = seen;
            if seen == pair.acted_on || !still {
                continue;
            }
            // Acted on also when it fails: one line per change, not one per poll.
            pair.acted_on = seen;
            match load_certificate(&pair.files) {
                Ok(certificate) => {
                    events.push(CertEvent::Reloaded {
                        cert: pair.files.cert.clone(),
                        not_after: certificate.not_after,
                    });
                    current[position] = certificate;
                    changed = true;
                }
                Err(error) => events.push(CertEvent::Kept(error)),
            }
        }
        if changed {
            self.store.replace(current);
        }
        self.warn_of_expiry(now, changed, &mut events);
        events
    }

    /// Loads these pairs now, whether they changed or not, in the place of all others (SIGHUP).
    ///
    /// # Errors
    /// Every pair that cannot be used; then nothing is replaced.
    pub fn reload(&mut self, files: &[Certificate]) -> Result<(), Vec<TlsError>> {
        // Taken before they are read: what changes meanwhile is seen by the next poll.
        let pairs = files.iter().map(Watched::new).collect();
        let fresh = CertStore::load(files)?;
        self.store.replace(fresh.certificates());
        self.pairs = pairs;
        self.warned_on_day = None;
        Ok(())
    }

    fn warn_of_expiry(&mut self, now: WallTime, changed: bool, events: &mut Vec<CertEvent>) {
        let day = now.unix_secs() / DAY_SECS;
        if self.warned_on_day == Some(day) && !changed {
            return;
        }
        self.warned_on_day = Some(day);
        let warnings = expiry_warnings(&self.store.certificates(), now);
        events.extend(warnings.into_iter().map(CertEvent::Expiry));
    }
}

/// A certificate that is not valid now or not for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiryWarning {
    /// Its file.
    pub cert: PathBuf,
    /// What is wrong.
    pub state: ExpiryState,
}

/// In what way a certificate is out of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiryState {
    /// Valid for this much longer, at most 14 days.
    Soon(Duration),
    /// Invalid for this long.
    Expired(Duration),
    /// Valid only after this much time; the system's clock may be wrong.
    NotYet(Duration),
}

impl fmt::Display for ExpiryWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cert = self.cert.display();
        let days = |d: Duration| d.as_secs() / DAY_SECS;
        match self.state {
            ExpiryState::Soon(left) => {
                write!(f, "the certificate `{cert}` ends in {} day(s); renew it", days(left))
            }
            ExpiryState::Expired(ago) => write!(
                f,
                "the certificate `{cert}` ended {} day(s) ago and browsers refuse it; renew it, \
                 it is loaded without a restart",
                days(ago)
            ),
            ExpiryState::NotYet(ahead) => write!(
                f,
                "the certificate `{cert}` is valid only in {} day(s); check the system's clock",
                days(ahead)
            ),
        }
    }
}

/// Which certificates are out of their time, or will be within 14 days: half of what a 90-day
/// certificate has left when certbot renews it, so that a warning means that renewal is broken.
pub fn expiry_warnings(certificates: &[LoadedCertificate], now: WallTime) -> Vec<ExpiryWarning> {
    let state = |certificate: &LoadedCertificate| {
        if now < certificate.not_before {
            return Some(ExpiryState::NotYet(certificate.not_before.saturating_since(now)));
        }
        if now > certificate.not_after {
            return Some(ExpiryState::Expired(now.saturating_since(certificate.not_after)));
        }
        let left = certificate.not_after.saturating_since(now);
        (left <= WARN_AHEAD).then_some(ExpiryState::Soon(left))
    };
    certificates
        .iter()
        .filter_map(|c| Some(ExpiryWarning { cert: c.files.cert.clone(), state: state(c)? }))
        .collect()
}

/// What changes when a file does: renewed in place, replaced by rename, or re-linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

fn stamps(files: &Certificate) -> [Option<Stamp>; 2] {
    [stamp(&files.cert), stamp(&files.key)]
}

fn stamp(path: &Path) -> Option<Stamp> {
    let meta = fs::metadata(path).ok()?;
    Some(Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        bytes: meta.len(),
        modified: (meta.mtime(), meta.mtime_nsec()),
    })
}

const DAY_SECS: u64 = 86_400;
const WARN_AHEAD: Duration = Duration::from_secs(14 * DAY_SECS);
