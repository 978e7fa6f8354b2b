//! What the store's tests share: folders that vanish, heads, requests, and a disk that breaks.
#![allow(dead_code, reason = "each test program uses another part of it")]

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use seawall_cache::{
    DiskFiles, Entry, Files, FilledUnder, Freshness, Invalidation, Key, Lookup, MapFields,
    RequestMeta, Scheme, StaleRule, Store, StoreConfig, StoredHead, VaryKey,
};
use seawall_model::{CookieClass, Method, WallTime};

pub(crate) const MIB: u64 = 1024 * 1024;

/// A folder of its own under the system's temporary one, removed in the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("seawall-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("the temporary folder is writable");
        Self(path)
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig {
            dir: Some(self.0.clone()),
            memory_bytes: 16 * MIB,
            disk_bytes: 64 * MIB,
            seed: [1, 2],
        }
    }

    /// A copy as a crash at this moment would leave it.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        copy_tree(&self.0, &copy.0);
        copy
    }

    /// Every file under `live`.
    pub(crate) fn live_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for folder in fs::read_dir(self.0.join("live")).into_iter().flatten().flatten() {
            let files = fs::read_dir(folder.path()).expect("a folder of entries");
            found.extend(files.flatten().map(|file| file.path()));
        }
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a new folder");
    // What vanishes while it is copied would not be there after a crash either.
    for item in fs::read_dir(from).into_iter().flatten().flatten() {
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy_tree(&item.path(), &target);
        } else {
            drop(fs::copy(item.path(), target));
        }
    }
}

pub(crate) fn key(path: &str) -> Key {
    let (path, query) =
        path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    Key::new(Scheme::Https, "site.example", path.as_bytes(), query.map(str::as_bytes))
}

pub(crate) fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        map.append(name, HeaderValue::from_str(value).expect("a field value"));
    }
    map
}

/// A head that answers a request with these fields.
pub(crate) fn head_for(
    request: &[(&str, &str)],
    status: u16,
    lines: &[(&str, &str)],
) -> StoredHead {
    let headers = fields(lines);
    let request = fields(request);
    let request = MapFields(&request);
    let meta = RequestMeta { method: Method::Get, fields: &request, cookies: CookieClass::None };
    let vary = VaryKey::new(&meta, &headers).expect("a response that can be stored");
    StoredHead {
        status,
        headers,
        request_time: WallTime::from_unix_secs(1_700_000_000),
        response_time: WallTime::from_unix_secs(1_700_000_001),
        vary,
        freshness: Freshness {
            lifetime_s: 60,
            initial_age_s: 0,
            stale_while_revalidate_s: 0,
            stale_if_error_s: 0,
            stale: StaleRule::Allowed,
            no_cache: false,
            immutable: false,
        },
        filled_under: FilledUnder::Explicit,
        partial: None,
        invalidation: Invalidation::Never,
    }
}

pub(crate) fn head(lines: &[(&str, &str)]) -> StoredHead {
    head_for(&[], 200, lines)
}

pub(crate) fn html() -> StoredHead {
    head(&[("content-type", "text/html"), ("etag", "\"v1\"")])
}

pub(crate) fn image() -> StoredHead {
    head(&[("content-type", "image/jpeg"), ("etag", "\"v1\"")])
}

/// Text of this length that compresses like text: different for each `salt`.
pub(crate) fn text(len: usize, salt: u64) -> Bytes {
    let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(WORDS[(state >> 59) as usize % WORDS.len()]);
    }
    out.truncate(len);
    Bytes::from(out)
}

const WORDS: [&[u8]; 8] =
    [b"<p>", b"the ", b"reader ", b"waits ", b"while ", b"a flood ", b"passes ", b"</p>\n"];

pub(crate) fn lookup_with(store: &Store, key: &Key, request: &[(&str, &str)]) -> Lookup {
    let request = fields(request);
    let request = MapFields(&request);
    let meta = RequestMeta { method: Method::Get, fields: &request, cookies: CookieClass::None };
    store.lookup(key, &meta)
}

/// The entry under a path, from whichever tier.
pub(crate) fn take(store: &Store, path: &str) -> Option<Arc<Entry>> {
    match lookup_with(store, &key(path), &[]) {
        Lookup::Hit(entry) => Some(entry),
        Lookup::OnDisk(found) => store.load(found),
        Lookup::Miss | Lookup::VaryMiss => None,
    }
}

pub(crate) fn body_of(entry: &Arc<Entry>) -> Bytes {
    entry.choose(None, seawall_cache::Wants::Whole).body
}

pub(crate) fn open(config: StoreConfig) -> Store {
    Store::open(config).expect("the folder is ours").0
}

/// Which operation a [`BrokenFiles`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Write,
    Rename,
    Remove,
    Read,
    Sync,
}

/// Real files, but some operations fail on demand, or wait to be told to go on.
#[derive(Clone, Default)]
pub(crate) struct BrokenFiles {
    inner: Arc<Switches>,
}

/// The operation to halt, whom to tell that it has begun, and who tells it to go on.
type Halt = (Op, Sender<()>, Receiver<()>);

#[derive(Default)]
struct Switches {
    failing: [AtomicBool; 5],
    halt: Mutex<Option<Halt>>,
}

impl BrokenFiles {
    pub(crate) fn fail(&self, op: Op) {
        self.inner.failing[op as usize].store(true, Ordering::SeqCst);
    }

    pub(crate) fn heal(&self) {
        for failing in &self.inner.failing {
            failing.store(false, Ordering::SeqCst);
        }
    }

    /// Makes the next `op` wait. The receiver hears when it has begun; the sender lets it go on.
    pub(crate) fn halt_next(&self, op: Op) -> (Receiver<()>, Sender<()>) {
        let (begun_sender, begun) = channel();
        let (go, go_receiver) = channel();
        *self.inner.halt.lock() = Some((op, begun_sender, go_receiver));
        (begun, go)
    }

    fn enter(&self, op: Op) -> io::Result<()> {
        let halt = self.inner.halt.lock().take_if(|(halted, ..)| *halted == op);
        if let Some((_, begun, go)) = halt {
            begun.send(()).expect("the test listens");
            go.recv().expect("the test lets it go on");
        }
        if self.inner.failing[op as usize].load(Ordering::SeqCst) {
            return Err(io::Error::from(ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl Files for BrokenFiles {
    fn write(&self, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
        if let Err(error) = self.enter(Op::Write) {
            // A full disk takes the beginning.
            DiskFiles.write(path, &parts[..1])?;
            return Err(error);
        }
        DiskFiles.write(path, parts)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.enter(Op::Rename)?;
        DiskFiles.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::Remove)?;
        DiskFiles.remove(path)
    }

    fn read(&self, path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
        self.enter(Op::Read)?;
        DiskFiles.read(path, max_bytes)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.enter(Op::Sync)?;
        DiskFiles.sync_folder(path)
    }
}
