//! The files of the log: `access.log`, then `access.log.1` (newest) and up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Appends lines and rotates so that all files together stay within a bound.
#[derive(Debug)]
pub(super) struct LogFiles {
    dir: PathBuf,
    segment_bytes: u64,
    segments: u64,
    open: Option<(File, u64)>,
    old_bytes: u64,
}

impl LogFiles {
    pub(super) fn new(dir: &Path, max_bytes: u64) -> Self {
        // Eight segments lose at most an eighth of the log at once; a very small log has fewer.
        let segments = (max_bytes / (64 * 1024)).clamp(2, 8);
        let segment_bytes = (max_bytes / segments).max(1);
        Self { dir: dir.to_owned(), segment_bytes, segments, open: None, old_bytes: 0 }
    }

    /// Most bytes that one [`Self::write`] may carry.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Bytes in all files, as far as known.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.old_bytes + self.open.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join("access.log")
    }

    /// Writes whole lines. After an error the file is opened anew at the next call, and a torn
    /// line is ended first.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let length = lines.len() as u64;
        if length > self.segment_bytes {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the bound on the log is too small",
            ));
        }
        let (_, stored) = self.current()?;
        if *stored + length > self.segment_bytes {
            self.rotate()?;
        }
        let (file, stored) = self.current()?;
        match file.write_all(lines) {
            Ok(()) => {
                *stored += length;
                Ok(())
            }
            Err(error) => {
                self.close();
                Err(error)
            }
        }
    }

    /// Forgets the open file.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn current(&mut self) -> io::Result<&mut (File, u64)> {
        if self.open.is_none() {
            fs::create_dir_all(&self.dir)?;
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o640) // visits are personal data even when addresses are truncated
                .open(self.path())?;
            let mut stored = file.metadata()?.len();
            if stored > 0 {
                let mut last = [0u8];
                file.seek(SeekFrom::Start(stored - 1))?;
                file.read_exact(&mut last)?;
                if last != [b'\n'] {
                    file.write_all(b"\n")?;
                    stored += 1;
                }
            }
            self.trim()?;
            self.open = Some((file, stored));
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        for number in (1..self.segments - 1).rev() {
            rename_if_present(&self.numbered(number), &self.numbered(number + 1))?;
        }
        rename_if_present(&self.path(), &self.numbered(1))
    }

    /// Removes what exceeds the bound: the oldest files, also those of a time with a larger one.
    fn trim(&mut self) -> io::Result<()> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|n| n.strip_prefix("access.log."));
            numbers.extend(number.and_then(|n| n.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let room = self.segment_bytes * (self.segments - 1);
        self.old_bytes = 0;
        for number in numbers {
            let path = self.numbered(number);
            let bytes = fs::metadata(&path)?.len();
            if number >= self.segments || self.old_bytes + bytes > room {
                fs::remove_file(&path)?;
            } else {
                self.old_bytes += bytes;
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u64) -> PathBuf {
        self.dir.join(format!("access.log.{number}"))
    }
}

fn rename_if_present(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
