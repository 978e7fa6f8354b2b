//! A private folder that goes with the self-test.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use seawall_rehearse::RunKey;

/// Removed on drop.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes a fresh one.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn make() -> io::Result<Self> {
        let name = RunKey::draw()?.reveal();
        let path = std::env::temp_dir().join(format!("seawall-selftest-{}", &name[..12]));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing better can be done at the end than to leave it behind.
        let _ = fs::remove_dir_all(&self.0);
    }
}
