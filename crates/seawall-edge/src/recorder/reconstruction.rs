//! Records of incidents that were found afterwards, in logs: written as those of the shield are, but by who asks for them
//! and without a thread.
//!
//! What broke off leaves nothing: records are written beside, and moved to their place when all of the logs was read. One
//! that is there already stays as it is.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use seawall_report::Moment;
use seawall_seal::Digest;

use super::disk::{Disk, Folder, INCIDENTS};
use super::story::Output;
use super::thread::complete;
use super::writer::{Counters, Writer};
use crate::archive::sealing_key;
use crate::clock;

/// Writes records below a folder.
pub struct Reconstruction {
    /// Of the state: records are in `incidents` below it.
    state_dir: PathBuf,
    /// Where they are until they are whole.
    beside: PathBuf,
    writer: Writer<Folder>,
    /// Locked: one at a time writes there.
    _lock: File,
}

/// A record that is in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its name.
    pub incident: String,
    /// Whether it was made now, and not found there.
    pub is_new: bool,
}

impl Reconstruction {
    /// Begins to write below `state_dir`, with the key of the installation there; both are made if there are none.
    ///
    /// # Errors
    /// What the system says, that the key there is none, or that somebody else is at it.
    pub fn begin(state_dir: &Path) -> io::Result<Self> {
        let beside = state_dir.join(BESIDE);
        DirBuilder::new().recursive(true).mode(0o700).create(&beside)?;
        let lock = File::open(&beside)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let why = "another reconstruction is writing there";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
            // Not every file system has locks.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // What one that was killed left.
        for entry in fs::read_dir(&beside)? {
            fs::remove_dir_all(entry?.path())?;
        }
        let key = Arc::new(sealing_key(state_dir).map_err(io::Error::other)?);
        let writer =
            Writer::new(Folder::new(&beside), key, Arc::new(Counters::default()), u64::MAX);
        Ok(Self { state_dir: state_dir.to_owned(), beside, writer, _lock: lock })
    }

    /// Writes what a story has to say. Sealed is it now, whenever it was.
    ///
    /// # Errors
    /// The disk does not take it: unlike an incident that goes on, it can be read again.
    pub fn take(&mut self, mut outputs: Vec<Output>) -> io::Result<()> {
        if outputs.is_empty() {
            return Ok(());
        }
        outputs.iter_mut().for_each(|output| complete(output, &[]));
        self.writer.take(Moment::from(clock::wall()), outputs);
        match self.writer.trouble() {
            Some(why) => Err(io::Error::other(why.to_owned())),
            None => Ok(()),
        }
    }

    /// Puts all records in their place, the oldest first.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep(mut self) -> io::Result<Vec<Recorded>> {
        let all = self.writer.disk().list()?;
        let place = self.state_dir.join(INCIDENTS);
        let mut recorded = Vec::new();
        if !all.is_empty() {
            DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
        }
        for record in all {
            let from = self.beside.join(INCIDENTS).join(&record.incident);
            let is_new = match fs::rename(from, place.join(&record.incident)) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => false,
                Err(error) => return Err(error),
            };
            recorded.push(Recorded { incident: record.incident, is_new });
        }
        if !recorded.is_empty() {
            File::open(place)?.sync_all()?;
        }
        Ok(recorded)
    }

    /// A seed for what is recorded of `what`: hashes in a record are keyed, and who reads it must not know with what. For the
    /// same it is the same again, so that what is told of it is, too.
    pub fn seed(&self, what: &str) -> [u64; 2] {
        // Who has not the key cannot tell the signature, which nobody is shown.
        let signature = self.writer.key().sign(format!("a seed for {what}").as_bytes());
        let Digest(bytes) = Digest::of(&signature);
        let word = |half: &[u8]| half.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        [word(&bytes[..8]), word(&bytes[8..16])]
    }
}

impl Drop for Reconstruction {
    fn drop(&mut self) {
        // If it cannot be removed, the next one does it.
        let _ = fs::remove_dir_all(&self.beside);
    }
}

const BESIDE: &str = "incidents.new";

#[cfg(test)]
mod tests {
    use seawall_report::Begin;

    use super::*;

    fn begin(incident: &str) -> Vec<Output> {
        vec![Output::Begin(Box::new(Begin { incident: incident.to_owned(), ..Begin::default() }))]
    }

    #[test]
    fn one_at_a_time_writes_and_what_one_that_was_killed_left_is_gone() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut killed = Reconstruction::begin(dir.path()).expect("own folder");
        killed.take(begin("half")).expect("room");
        let refused = Reconstruction::begin(dir.path()).err().expect("it is taken");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        // As a kill does it: the lock is gone and the files are not.
        let Reconstruction { _lock, .. } = &killed;
        _lock.unlock().expect("locked");
        std::mem::forget(killed);

        let mut next = Reconstruction::begin(dir.path()).expect("nobody holds it");
        next.take(begin("whole")).expect("room");
        let whole = Recorded { incident: "whole".to_owned(), is_new: true };
        assert_eq!(next.keep().expect("own folder"), std::slice::from_ref(&whole));
        assert!(!dir.path().join(BESIDE).exists());

        let mut again = Reconstruction::begin(dir.path()).expect("nobody holds it");
        again.take(begin("whole")).expect("room");
        assert_eq!(again.keep().expect("own folder"), [Recorded { is_new: false, ..whole }]);
    }

    #[test]
    fn a_seed_is_of_the_key_and_of_what_is_recorded() {
        let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a temporary folder"));
        let seed = |dir: &tempfile::TempDir, what: &str| {
            Reconstruction::begin(dir.path()).expect("own folder").seed(what)
        };
        let first = seed(&dirs[0], "a");
        assert_eq!(first, seed(&dirs[0], "a"));
        assert_ne!(first, seed(&dirs[0], "b"));
        assert_ne!(first, seed(&dirs[1], "a"));
    }
}
