//! Keeps what is ordinary for this site over restarts: whoever starts in the middle of an attack must not
//! have to learn it from the attack.
//!
//! `baseline` in the state folder, readable by its owner alone, written beside itself and renamed: the seed
//! of all hashes, then what the detector tells. There is no address and no word in it. A file that is damaged is
//! put aside as `baseline.damaged` and learning begins anew, said in the log: until then nothing is
//! blocked for its signature.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use seawall_detect::BaselineFault;

use crate::visitor::{random, write_whole};

/// The file.
pub(crate) struct BaselineFile {
    path: PathBuf,
    seed: [u64; 2],
    first: Option<Vec<u8>>,
    is_failing: Mutex<bool>,
}

impl BaselineFile {
    /// Reads the file in `dir`, or makes a seed.
    ///
    /// # Errors
    /// What the system says to reading it, if it is there, or to giving random numbers.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join("baseline");
        let read = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let (seed, first) = match read.as_deref().map(parse) {
            Some(Some((seed, kept))) => (seed, Some(kept.to_vec())),
            Some(None) => {
                put_aside(&path, "it is too short");
                (new_seed()?, None)
            }
            None => (new_seed()?, None),
        };
        Ok(Self { path, seed, first, is_failing: Mutex::new(false) })
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
        let (seed, kept) = parse(&bytes)?;
        (seed == self.seed).then(|| kept.to_vec())
    }

    /// Writes it. Touches the disk. A failure is said once, until it works again.
    pub(crate) fn keep(&self, kept: &[u8]) {
        let mut bytes = Vec::with_capacity(SEED_BYTES + kept.len());
        self.seed.iter().for_each(|half| bytes.extend_from_slice(&half.to_le_bytes()));
        bytes.extend_from_slice(kept);
        let written = write_whole(&self.path, &bytes);
        let mut is_failing = self.is_failing.lock();
        if let (Err(error), false) = (&written, *is_failing) {
            let file = self.path.display();
            tracing::warn!(%file, "what is ordinary could not be written: {error}");
        }
        *is_failing = written.is_err();
    }

    /// Puts a damaged file aside.
    pub(crate) fn put_aside(&self, fault: &BaselineFault) {
        put_aside(&self.path, &fault.to_string());
    }
}

fn put_aside(path: &Path, why: &str) {
    let aside = path.with_extension("damaged");
    let moved = fs::rename(path, &aside);
    tracing::error!(
        put_aside = %aside.display(),
        moved = moved.is_ok(),
        "the file of what is ordinary is damaged ({why}): it is learned anew"
    );
}

fn parse(bytes: &[u8]) -> Option<([u64; 2], &[u8])> {
    let (seed, kept) = bytes.split_at_checked(SEED_BYTES)?;
    let half = |at: usize| Some(u64::from_le_bytes(seed[at..at + 8].try_into().ok()?));
    Some(([half(0)?, half(8)?], kept))
}

fn new_seed() -> io::Result<[u64; 2]> {
    Ok([u64::from_le_bytes(random()?), u64::from_le_bytes(random()?)])
}

const SEED_BYTES: usize = 16;

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
