//! Keeps what was learned about query parameters over restarts: a flood that is still there after one
//! must not be learned from anew at the cost of the origin.
//!
//! `learned` in the state folder, readable by its owner alone, written beside itself and renamed. A
//! file that is damaged is put aside as `learned.damaged` and learning begins anew, said in the log:
//! nobody is shown a wrong page by that, it costs the origin a dozen requests a template. It does
//! **not** know what is in it; `seawall-cache` does.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use seawall_cache::{Learned, Learner, LearnerConfig};
use seawall_model::{Instant, WallTime};

use crate::config::Site;
use crate::policy::Policy;
use crate::state_file::{self, write_whole};
use crate::visitor::random;

/// The file and what was last written to it.
pub(crate) struct LearnedFile {
    path: PathBuf,
    seed: [u64; 2],
    written: Mutex<Written>,
}

/// What the file has.
struct Written {
    at: Instant,
    changes: u64,
}

/// When a file is written again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// If the last time is long enough ago: each costs a flush of the disk.
    InTurn,
    /// The process ends.
    Now,
}

/// Learning is slow; what a crash loses of it is learned again.
const EVERY: Duration = Duration::from_secs(60);

impl LearnedFile {
    /// Reads what was kept in `dir`, if it is whole.
    ///
    /// # Errors
    /// What the system says to reading the file, if it is there, or to putting it aside.
    pub(crate) fn open(dir: &Path) -> io::Result<(Self, Learned)> {
        let path = dir.join("learned");
        let read = state_file::read(&path)?;
        let learned = read.as_deref().and_then(Learned::from_bytes);
        if read.is_some() && learned.is_none() {
            state_file::put_aside(
                &path,
                "the file of what was learned about query parameters is damaged: it is learned anew",
            )?;
        }
        let learned = match learned {
            Some(learned) => learned,
            None => Learned::new([u64::from_le_bytes(random()?), u64::from_le_bytes(random()?)]),
        };
        let written = Mutex::new(Written { at: Instant::from_nanos(0), changes: 0 });
        Ok((Self { path, seed: learned.seed(), written }, learned))
    }

    /// Writes the file if there is news. Touches the disk.
    pub(crate) fn keep(&self, policy: &Policy, now: (Instant, WallTime), keep: Keep) {
        let mut written = self.written.lock();
        let changes: u64 = policy.learners.iter().map(|learner| learner.changes()).sum();
        // Not a matter of more or less: a reload may have begun a site anew.
        let is_due = changes != written.changes && now.0.saturating_since(written.at) >= EVERY;
        if changes == 0 || !(is_due || keep == Keep::Now) {
            return;
        }
        let mut learned = Learned::new(self.seed);
        for (site, learner) in policy.config.sites.iter().zip(&policy.learners) {
            learned.put(&identity(site), learner, now);
        }
        match write_whole(&self.path, &learned.to_bytes()) {
            Ok(()) => *written = Written { at: now.0, changes },
            Err(error) => {
                // Not again at once: the disk may be full.
                written.at = now.0;
                let file = self.path.display();
                tracing::warn!(%file, "what was learned could not be written: {error}");
            }
        }
    }
}

/// A learner for `site` that knows what was kept about it.
pub(crate) fn learner(
    kept: &Learned,
    site: &Site,
    config: LearnerConfig,
    now: (Instant, WallTime),
) -> Learner {
    kept.learner(&identity(site), config, now)
}

/// What is the same site after a restart: hosts and origin, as over a reload.
fn identity(site: &Site) -> String {
    format!("{:?} {:?}", site.hosts, site.origin.target)
}
