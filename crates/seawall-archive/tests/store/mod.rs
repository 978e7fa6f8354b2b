//! A place for an archive, and pages to put into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seawall_archive::{
    Archive, ArchiveError, ArchiveOptions, Capture, Fetched, Kept, Known, Repaired, seed,
};
use seawall_model::WallTime;
use seawall_seal::SigningKey;

/// A folder with a key, removed at the end.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    key: Arc<SigningKey>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, key: Arc::new(SigningKey::generate().expect("random numbers")) }
    }

    /// A copy of all that is in another place.
    pub(crate) fn copied(other: &Self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(other.path()).expect("readable") {
            let entry = entry.expect("readable");
            fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("copied");
        }
        Self { folder, key: Arc::clone(&other.key) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The one file that is being written.
    pub(crate) fn open_file(&self) -> PathBuf {
        let mut open = fs::read_dir(self.path())
            .expect("readable")
            .map(|entry| entry.expect("readable").path())
            .filter(|path| path.to_string_lossy().ends_with(".open.warc.gz"));
        let found = open.next().expect("there is one");
        assert_eq!(open.next(), None, "and no other");
        found
    }

    /// Opens what must need no mending.
    pub(crate) fn open(&self, second: u64) -> Archive {
        let (archive, repaired) = self.try_open(second).expect("opens");
        assert!(repaired.is_clean(), "{repaired:?}");
        archive
    }

    pub(crate) fn open_quietly(&self, second: u64) -> Archive {
        self.try_open(second).expect("opens").0
    }

    pub(crate) fn open_with(
        &self,
        second: u64,
        change: impl FnOnce(&mut ArchiveOptions),
    ) -> Archive {
        let mut options = ArchiveOptions::new(1 << 30);
        change(&mut options);
        Archive::open(self.path(), options, Arc::clone(&self.key), at(second)).expect("opens").0
    }

    pub(crate) fn try_open(&self, second: u64) -> Result<(Archive, Repaired), ArchiveError> {
        let options = ArchiveOptions::new(1 << 30);
        Archive::open(self.path(), options, Arc::clone(&self.key), at(second))
    }
}

/// A time some seconds after one that a real clock shows.
pub(crate) fn at(second: u64) -> WallTime {
    WallTime::from_unix_secs(1_790_000_000) + Duration::from_secs(second)
}

pub(crate) fn html(text: &str) -> Bytes {
    Bytes::from(format!("<!doctype html><title>A page</title><p>{text}"))
}

pub(crate) fn page(path: &str, text: &str, second: u64) -> Capture {
    let fields = vec![("content-type", "text/html; charset=utf-8")];
    let mut page = capture(path, 200, fields, "", second);
    page.body = html(text);
    page
}

pub(crate) fn capture(
    path: &str,
    status: u16,
    fields: Vec<(&str, &str)>,
    body: &str,
    second: u64,
) -> Capture {
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    Capture {
        url: format!("https://example.org{path}"),
        captured: at(second),
        status,
        fields,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// The outcome of a fetch that brought this.
pub(crate) fn kept(capture: &Capture) -> Fetched {
    let known: Known = seed(&capture.url, capture.captured);
    Fetched {
        url: capture.url.clone(),
        known: Known { due: capture.captured + Duration::from_secs(3_600), ..known },
        known_if_same: None,
        kept: Kept::Response(capture.clone()),
        title: Some("A page".to_owned()),
    }
}

/// Letters that do not compress well, the same for the same number.
pub(crate) fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(33 + (state % 90) as u8)
    };
    (0..length).map(|_| next()).filter(|c| *c != '<' && *c != '&').collect()
}

/// Whether a text stands in any file of a folder, also within gzip.
pub(crate) fn holds_text(folder: &Path, text: &str) -> bool {
    use std::io::Read as _;
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    fs::read_dir(folder).expect("readable").any(|entry| {
        let bytes = fs::read(entry.expect("readable").path()).expect("readable");
        let members = bytes.windows(3).enumerate().filter(|(_, it)| *it == [0x1f, 0x8b, 8]);
        let mut inflated = members.map(|(at, _)| {
            let mut plain = Vec::new();
            let _ = flate2::read::GzDecoder::new(&bytes[at..]).read_to_end(&mut plain);
            plain
        });
        has(&bytes) || inflated.any(|plain| has(&plain))
    })
}
