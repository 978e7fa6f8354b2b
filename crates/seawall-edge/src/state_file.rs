//! Small files of the state folder: read if they are there, written whole, put aside if they are
//! damaged.
//!
//! Readable by their owner alone. It does **not** know what is in them, nor decide what a damaged or
//! unreadable one means: some may be lost, and some stop the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// For the owner alone.
pub(crate) const MODE: u32 = 0o600;

/// What is in the file, if there is one.
///
/// # Errors
/// What the system says to reading it.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file that only its owner can read: beside its place, to the disk, then renamed.
///
/// # Errors
/// What the system says; then the file is as it was.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// Puts a damaged file aside as `*.damaged`, in place of one that was put there before, and says in the
/// log what that means.
///
/// # Errors
/// What the system says; then nothing was said.
pub(crate) fn put_aside(path: &Path, meaning: &str) -> io::Result<()> {
    let aside = path.with_extension("damaged");
    fs::rename(path, &aside)?;
    tracing::error!(put_aside = %aside.display(), "{meaning}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_was_written_is_read_by_its_owner_alone_and_leaves_nothing_beside() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("kept");
        assert_eq!(read(&path).expect("looked"), None);
        // Left by a process that was killed in between, and readable by others.
        fs::write(dir.path().join("kept.new"), "half").expect("written");
        for bytes in [&b"first, and longer"[..], b"second"] {
            write_whole(&path, bytes).expect("written");
            assert_eq!(read(&path).expect("read").as_deref(), Some(bytes));
        }
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_not_absent() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(read(dir.path()).is_err());
    }

    #[test]
    fn the_last_damaged_file_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("kept");
        for bytes in [b"one", b"two"] {
            fs::write(&path, bytes).expect("written");
            put_aside(&path, "it is made anew").expect("put aside");
            assert_eq!(read(&path).expect("looked"), None);
            assert_eq!(fs::read(dir.path().join("kept.damaged")).expect("kept"), bytes);
        }
        assert!(put_aside(&path, "it is made anew").is_err(), "there is none");
    }
}
