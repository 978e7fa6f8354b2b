//! Keeps what is ordinary for this site over restarts: whoever starts in the middle of an attack must not
//! have to learn it from the attack.
//!
//! `baseline` in the state folder, readable by its owner alone, written beside itself and renamed: the seed
//! of all hashes, then what the detector tells. There is no address and no word in it. A file that is damaged is
//! put aside as `baseline.damaged` and learning begins anew, said in the log: until then nothing is
//! blocked for its signature. A file of generated clients begins with a mark that stays as long as it is
//! learned on from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use seawall_detect::BaselineFault;

use crate::state_file::{self, write_whole};
use crate::visitor::random;

/// The file.
pub(crate) struct BaselineFile {
    path: PathBuf,
    seed: [u64; 2],
    first: Option<Vec<u8>>,
    is_generated: bool,
    is_failing: Mutex<bool>,
}

impl BaselineFile {
    /// Reads the file in `dir`, or makes a seed.
    ///
    /// # Errors
    /// What the system says to reading it, if it is there, or to giving random numbers.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("baseline");
        let read = state_file::read(&path)?;
        let (is_generated, seed, first) = match read.as_deref().map(parse) {
            Some(Some((is_generated, seed, kept))) => (is_generated, seed, Some(kept.to_vec())),
            Some(None) => {
                put_aside(&path, "it is too short");
                (false, new_seed()?, None)
            }
            None => (false, new_seed()?, None),
        };
        if is_generated {
            let file = path.display();
            tracing::warn!(%file, "what is ordinary was generated for a rehearsal, not learned");
        }
        Ok(Self { path, seed, first, is_generated, is_failing: Mutex::new(false) })
    }

    /// Of generated clients, for `dir`, where there must be none.
    ///
    /// # Errors
    /// There is one, or the system gives no random numbers.
    pub(super) fn generate(dir: &Path) -> io::Result<Self> {
        let path = dir.join("baseline");
        if path.try_exists()? {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a baseline already",
            ));
        }
        let (seed, is_failing) = (new_seed()?, Mutex::new(false));
        Ok(Self { path, seed, first: None, is_generated: true, is_failing })
    }

    /// Whether its clients were generated for a rehearsal, some of them at least.
    pub(crate) const fn is_generated(&self) -> bool {
        self.is_generated
    }

    /// The seed of all hashes in it, and of all that are made from now on.
    pub(crate) const fn seed(&self) -> [u64; 2] {
        self.seed
    }

    /// What was kept when the process began.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.first.as_deref()
    }

    /// What is kept now, if it is of this seed.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let bytes = fs::read(&self.path).ok()?;
        let (_, seed, kept) = parse(&bytes)?;
        (seed == self.seed).then(|| kept.to_vec())
    }

    /// Whether it was written.
    pub(crate) fn is_there(&self) -> bool {
        self.path.exists()
    }

    /// Writes it on a thread of its own, unless that is done already: a slow disk must not hold up the watch.
    pub(crate) fn keep_aside(self: &Arc<Self>, kept: Vec<u8>) {
        if self.is_failing.try_lock().is_none() {
            return;
        }
        let file = Arc::clone(self);
        let writer = thread::Builder::new().name("baseline".to_owned());
        if let Err(error) = writer.spawn(move || file.keep(&kept)) {
            tracing::warn!("what is ordinary could not be written: {error}");
        }
    }

    /// Writes it, one at a time. Touches the disk. A failure is said once, until it works again.
    pub(crate) fn keep(&self, kept: &[u8]) {
        let mut is_failing = self.is_failing.lock();
        let written = self.write(kept);
        if let (Err(error), false) = (&written, *is_failing) {
            let file = self.path.display();
            tracing::warn!(%file, "what is ordinary could not be written: {error}");
        }
        *is_failing = written.is_err();
    }

    /// Writes it.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn write(&self, kept: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(GENERATED.len() + SEED_BYTES + kept.len());
        if self.is_generated {
            bytes.extend_from_slice(GENERATED);
        }
        self.seed.iter().for_each(|half| bytes.extend_from_slice(&half.to_le_bytes()));
        bytes.extend_from_slice(kept);
        write_whole(&self.path, &bytes)
    }

    /// Puts a damaged file aside.
    pub(crate) fn put_aside(&self, fault: &BaselineFault) {
        put_aside(&self.path, &fault.to_string());
    }
}

fn put_aside(path: &Path, why: &str) {
    let meaning = format!("the file of what is ordinary is damaged ({why}): it is learned anew");
    if let Err(error) = state_file::put_aside(path, &meaning) {
        // It will be written over.
        tracing::error!(file = %path.display(), "{meaning}; it could not be put aside: {error}");
    }
}

fn parse(bytes: &[u8]) -> Option<(bool, [u64; 2], &[u8])> {
    let marked = bytes.strip_prefix(GENERATED);
    let (seed, kept) = marked.unwrap_or(bytes).split_at_checked(SEED_BYTES)?;
    let half = |at: usize| Some(u64::from_le_bytes(seed[at..at + 8].try_into().ok()?));
    Some((marked.is_some(), [half(0)?, half(8)?], kept))
}

fn new_seed() -> io::Result<[u64; 2]> {
    Ok([u64::from_le_bytes(random()?), u64::from_le_bytes(random()?)])
}

const SEED_BYTES: usize = 16;
/// In place of nothing. One random seed in 2^72 begins so.
const GENERATED: &[u8] = b"GENERATED";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_and_content_survive_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = BaselineFile::open(dir.path()).expect("opened");
        assert_eq!((first.first(), first.read()), (None, None));
        first.keep(b"ordinary");
        let again = BaselineFile::open(dir.path()).expect("opened");
        assert_eq!(again.seed(), first.seed());
        assert_eq!(again.first(), Some(&b"ordinary"[..]));
        assert_eq!(again.read().as_deref(), Some(&b"ordinary"[..]));
    }

    #[test]
    fn a_file_cut_short_is_put_aside() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("baseline"), b"short").expect("written");
        let opened = BaselineFile::open(dir.path()).expect("opened");
        assert_eq!(opened.first(), None);
        assert!(dir.path().join("baseline.damaged").exists());
        assert_ne!(opened.seed(), [0; 2]);
    }

    #[test]
    fn a_full_disk_costs_what_was_learned_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a folder");
        let opened = BaselineFile::open(&dir.path().join("is not there")).expect("opened");
        opened.keep(b"ordinary");
        assert_eq!(opened.read(), None);
    }
}
