//! The files of records, behind a seam at which tests break them.
//!
//! One folder for each incident below `incidents` in the state folder, for the owner alone; in it `record.jsonl`, which
//! only grows, but for lines of addresses that are taken out of a closed one: it is written anew beside and renamed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use seawall_report::{Entry, Moment};

use crate::state_file::MODE;

/// Where records are kept.
pub(super) trait Disk: Send {
    /// A new, empty record. One of the same name that was left half made is emptied.
    ///
    /// # Errors
    /// What the system says.
    fn create(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>>;

    /// A record that is there, cut to `len` bytes, to be written on.
    ///
    /// # Errors
    /// What the system says.
    fn reopen(&mut self, incident: &str, len: u64) -> io::Result<Box<dyn RecordFile>>;

    /// All records, by name, the oldest first.
    ///
    /// # Errors
    /// What the system says.
    fn list(&mut self) -> io::Result<Vec<Kept>>;

    /// Gives `each` the bytes of a record in pieces.
    ///
    /// # Errors
    /// What the system says.
    fn read(&mut self, incident: &str, each: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// Removes a record.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&mut self, incident: &str) -> io::Result<()>;

    /// A new, empty file beside a record, to take its place. One that was left there is emptied.
    ///
    /// # Errors
    /// What the system says.
    fn beside(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>>;

    /// Puts the file beside a record, which has to be synced, in its place: all of it or nothing.
    ///
    /// # Errors
    /// What the system says.
    fn replace(&mut self, incident: &str) -> io::Result<()>;

    /// Removes the file beside a record, if there is one.
    ///
    /// # Errors
    /// What the system says.
    fn discard(&mut self, incident: &str) -> io::Result<()>;
}

/// A record that is being written.
pub(super) trait RecordFile: Send {
    /// Appends all of `bytes`, or fails anywhere in them.
    ///
    /// # Errors
    /// What the system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when what was appended is on the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// A record as the folder shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) incident: String,
    pub(super) bytes: u64,
    /// The operator put a file `pinned` beside it: it is not removed.
    pub(super) is_pinned: bool,
    /// When it was made, and when it goes, by its first line.
    pub(super) made: Option<Moment>,
    pub(super) remove_at: Option<Moment>,
}

impl Kept {
    /// A record with this first line.
    pub(super) fn new(incident: String, bytes: u64, is_pinned: bool, first: &[u8]) -> Self {
        let begin = match serde_json::from_slice(first) {
            Ok(Entry::Begin(begin)) => Some(begin),
            _ => None,
        };
        let made = begin.as_ref().map(|begin| begin.made_at());
        let remove_at = begin.and_then(|begin| begin.remove_record_at);
        Self { incident, bytes, is_pinned, made, remove_at }
    }
}

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
    /// The record that was read last, and how much of it there was: what is done next rests on that.
    read: Option<(String, u64)>,
}

impl Folder {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { path: state_dir.join(INCIDENTS), read: None }
    }

    fn path(&self, incident: &str) -> PathBuf {
        self.path.join(incident).join(RECORD)
    }

    /// Takes the lock of a record, and fails if it is not as long as when it was read: `seawall report note` may have
    /// added to it in between, and what it added must not be cut or left behind.
    fn lock(&mut self, incident: &str, file: &File) -> io::Result<()> {
        lock(file)?;
        let Some((read, len)) = self.read.take() else { return Ok(()) };
        if read == incident && file.metadata()?.len() != len {
            let why = "it was added to after it was read";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        Ok(())
    }
}

impl Disk for Folder {
    fn create(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>> {
        let path = self.path(incident);
        let dir = self.path.join(incident);
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        lock(&file)?;
        file.sync_all()?;
        // That the record is there has to outlive a power cut, too.
        for dir in [&dir, &self.path] {
            File::open(dir)?.sync_all()?;
        }
        Ok(Box::new(file))
    }

    fn reopen(&mut self, incident: &str, len: u64) -> io::Result<Box<dyn RecordFile>> {
        let mut file = OpenOptions::new().write(true).open(self.path(incident))?;
        self.lock(incident, &file)?;
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Box::new(file))
    }

    fn list(&mut self) -> io::Result<Vec<Kept>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let dir = entry?.path();
            let Some(incident) = dir.file_name().and_then(|name| name.to_str()) else { continue };
            let Ok(record) = fs::metadata(dir.join(RECORD)) else { continue };
            let is_pinned = dir.join(PINNED).exists();
            let mut first = Vec::new();
            let file = File::open(dir.join(RECORD)).map(|file| file.take(MAX_FIRST_BYTES));
            // Of what cannot be read the name says when it began.
            let _ = file.and_then(|file| BufReader::new(file).read_until(b'\n', &mut first));
            all.push(Kept::new(incident.to_owned(), record.len(), is_pinned, &first));
        }
        // Names begin with the time.
        all.sort_unstable_by(|one, other| one.incident.cmp(&other.incident));
        Ok(all)
    }

    fn read(&mut self, incident: &str, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut file = File::open(self.path(incident))?;
        let (mut piece, mut len) = (vec![0; 1 << 16], 0);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => {
                    len += count as u64;
                    each(&piece[..count]);
                }
            }
        }
        self.read = Some((incident.to_owned(), len));
        Ok(())
    }

    fn remove(&mut self, incident: &str) -> io::Result<()> {
        fs::remove_dir_all(self.path.join(incident))
    }

    fn beside(&mut self, incident: &str) -> io::Result<Box<dyn RecordFile>> {
        let path = self.path.join(incident).join(BESIDE);
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(path)?;
        Ok(Box::new(file))
    }

    fn replace(&mut self, incident: &str) -> io::Result<()> {
        let dir = self.path.join(incident);
        // Held until the new one is in its place.
        let old = OpenOptions::new().write(true).open(self.path(incident))?;
        self.lock(incident, &old)?;
        fs::rename(dir.join(BESIDE), dir.join(RECORD))?;
        // After a power cut the old one may be back, which says itself what has to go; but from now on it is the new one.
        if let Err(error) = File::open(dir).and_then(|dir| dir.sync_all()) {
            tracing::warn!("the folder of an incident record cannot be synced: {error}");
        }
        Ok(())
    }

    fn discard(&mut self, incident: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(incident).join(BESIDE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// While a record is open here, nobody else writes on it: `seawall report note` takes the same lock.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let why = "another process is writing on the record";
            Err(io::Error::new(io::ErrorKind::WouldBlock, why))
        }
        // Not every file system has locks.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

impl RecordFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

pub(super) const INCIDENTS: &str = "incidents";
const RECORD: &str = "record.jsonl";
const BESIDE: &str = "record.jsonl.new";
const PINNED: &str = "pinned";
/// A first line has 2 kB, and 100 kB with as many logs as it may name.
const MAX_FIRST_BYTES: u64 = 1 << 17;

#[cfg(test)]
mod tests {
    use seawall_report::Begin;

    use super::*;

    #[test]
    fn when_a_record_goes_stands_in_its_first_line_however_long_that_is() {
        let state = tempfile::tempdir().expect("a temporary folder");
        let mut folder = Folder::new(state.path());
        let remove_record_at = Some(Moment::from_unix_ms(1));
        for (name, sites) in [("long", 5_000), ("none", 0), ("short", 1)] {
            let sites = vec!["www.example.org".to_owned(); sites];
            let begin = Begin { sites, remove_record_at, ..Begin::default() };
            let mut line = serde_json::to_vec(&Entry::Begin(Box::new(begin))).expect("JSON");
            line.extend(if name == "none" { &b""[..] } else { b"\n{\"entry\":\"end\"}\n" });
            let mut file = folder.create(name).expect("own folder");
            file.append(&line[usize::from(name == "none")..]).expect("room");
        }
        let goes = folder.list().expect("own folder").into_iter().map(|it| it.remove_at);
        assert_eq!(goes.collect::<Vec<_>>(), [remove_record_at, None, remove_record_at]);
    }

    #[test]
    fn what_another_program_added_after_reading_is_neither_cut_nor_left_behind() {
        let state = tempfile::tempdir().expect("a temporary folder");
        let mut folder = Folder::new(state.path());
        let mut file = folder.create("one").expect("own folder");
        file.append(b"line\n").expect("room");
        drop(file);
        let path = folder.path("one");
        let add = || {
            let mut file = OpenOptions::new().append(true).open(&path).expect("it is there");
            file.write_all(b"note\n").expect("room");
        };
        folder.read("one", &mut |_| {}).expect("it is there");
        add();
        assert!(folder.reopen("one", 5).is_err());
        assert_eq!(fs::read(&path).expect("it is there"), b"line\nnote\n");

        folder.read("one", &mut |_| {}).expect("it is there");
        drop(folder.beside("one").expect("room"));
        add();
        assert!(folder.replace("one").is_err());
        assert_eq!(fs::read(&path).expect("it is there").len(), 15);

        folder.read("one", &mut |_| {}).expect("it is there");
        folder.replace("one").expect("nobody added to it");
        assert_eq!(fs::read(&path).expect("it is there"), b"");
    }
}
