//! The file operations of the disk tier, behind a trait so that tests can fill or break the disk.
//!
//! It does **not** know formats or names.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

/// What the disk tier asks of a file system. Every method may block.
///
/// Implemented by [`DiskFiles`]; tests implement it to fail where they like.
pub trait Files: Send + Sync + 'static {
    /// Writes a new file out of these parts, in order. What is left after an error is the caller's
    /// to remove.
    ///
    /// # Errors
    /// Those of the file system, a full disk among them.
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()>;

    /// Renames within one file system, replacing the target.
    ///
    /// # Errors
    /// Those of the file system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Unlinks a file.
    ///
    /// # Errors
    /// Those of the file system.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Reads a file, at most `max_bytes` of it.
    ///
    /// # Errors
    /// Those of the file system.
    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>>;

    /// Makes what was renamed and unlinked in a folder durable (fsync).
    ///
    /// # Errors
    /// Those of the file system.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        let mut file = File::create(path)?;
        for part in parts {
            file.write_all(part)?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let expected = file.metadata()?.len().min(max_bytes);
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
        file.take(max_bytes).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}
