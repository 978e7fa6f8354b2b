//! Takes in request content before the origin is troubled with it.
//!
//! A slow or huge upload must not hold a place in the origin, so it is received first: up to
//! 64 KiB in memory, beyond that in a file that has no name. Both are drawn from budgets that all
//! workers share, so that uploads can fill neither the memory nor the disk. When the memory budget
//! is spent, content goes to disk at once; when the disk budget is spent, the upload is refused
//! and nobody else suffers.
//!
//! Files are written and read on the runtime's blocking threads, never on the worker's own. Does
//! **not** parse content, and does not decide when a permit is asked for.
//!
//! If it fails: a full disk or an exhausted budget is [`SpoolError`], one upload is refused. A
//! file dies with its process, because it has no name; should the file system know no nameless
//! files, leftovers are removed at the next start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use rustix::fs::{CWD, Mode, OFlags};
use seawall_model::Cause;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

/// The shared budgets and the folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Spool {
    shared: Arc<Shared>,
}

/// How much content may wait at once, over all requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpoolBudget {
    /// Bytes in memory; at the bound content goes to disk at once.
    pub memory_bytes: u64,
    /// Bytes on disk; at the bound uploads are refused with [`SpoolError::NoRoom`].
    pub disk_bytes: u64,
}

/// Why content could not be taken in or read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// The content exceeds what this request may carry: the client's doing.
    #[error("content exceeds {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: u64,
    },
    /// All uploads together exceed the disk budget: come back later.
    #[error("no room to take in the content: the spool's share of `disk` is in use")]
    NoRoom,
    /// The disk is full, or a quota is reached.
    #[error("no room to take in the content: {0}")]
    DiskFull(#[source] io::Error),
    /// The file cannot be made, written or read.
    #[error("cannot spool content: {0}")]
    Io(#[source] io::Error),
}

impl SpoolError {
    /// What the refusal is accounted to.
    pub const fn cause(&self) -> Cause {
        match self {
            Self::TooLarge { .. } => Cause::BodyTooLarge,
            Self::NoRoom | Self::DiskFull(_) | Self::Io(_) => Cause::NoRoom,
        }
    }
}

impl From<io::Error> for SpoolError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}

impl Spool {
    /// Uses `dir` (made with mode 0700 if missing) and removes what a killed process left there.
    ///
    /// # Errors
    /// If the folder cannot be made or read.
    pub fn open(dir: &Path, budget: SpoolBudget) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        let memory = Budget::new(budget.memory_bytes);
        let disk = Budget::new(budget.disk_bytes);
        Ok(Self {
            shared: Arc::new(Shared {
                dir: dir.to_owned(),
                memory,
                disk,
                memory_closed: AtomicBool::new(false),
                diverted: AtomicU64::new(0),
            }),
        })
    }

    /// Begins to take in one request's content of at most `max_bytes`.
    pub fn writer(&self, max_bytes: u64) -> SpoolWriter {
        SpoolWriter {
            held: Reservation::new(&self.shared, Medium::Memory),
            stored: Reservation::new(&self.shared, Medium::Disk),
            shared: Arc::clone(&self.shared),
            max_bytes,
            received: 0,
            buffer: Vec::new(),
            file: None,
        }
    }

    /// While `closed`, content that is not in memory yet goes to disk.
    pub(crate) fn set_memory_closed(&self, closed: bool) {
        self.shared.memory_closed.store(closed, Ordering::Relaxed);
    }

    /// How often content went to disk for that.
    pub(crate) fn diverted(&self) -> u64 {
        self.shared.diverted.load(Ordering::Relaxed)
    }

    /// Bytes of content in memory now.
    pub fn memory_bytes(&self) -> u64 {
        self.shared.memory.used.load(Ordering::Relaxed)
    }

    /// Bytes of content on disk now.
    pub fn disk_bytes(&self) -> u64 {
        self.shared.disk.used.load(Ordering::Relaxed)
    }
}

/// Content on its way in. Dropping it gives everything back.
#[derive(Debug)]
pub struct SpoolWriter {
    shared: Arc<Shared>,
    max_bytes: u64,
    received: u64,
    /// Everything so far, or, once there is a file, what it does not hold yet.
    buffer: Vec<u8>,
    held: Reservation,
    file: Option<Arc<Nameless>>,
    stored: Reservation,
}

impl SpoolWriter {
    /// Bytes taken in so far.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Takes in the next piece. Copies it, so that a small piece does not keep a large read buffer
    /// alive. Waits for the disk when 64 KiB are full: that is the back-pressure.
    ///
    /// # Errors
    /// See [`SpoolError`]; the writer is then of no further use. The same holds if the returned
    /// future is dropped before it ends.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), SpoolError> {
        let length = piece.len() as u64;
        if length > self.max_bytes - self.received {
            return Err(SpoolError::TooLarge { max_bytes: self.max_bytes });
        }
        if self.buffer.len() + piece.len() <= MEMORY_BYTES && self.held.grow(length) {
            self.keep(&piece);
        } else {
            self.flush().await?;
            if piece.len() <= MEMORY_BYTES / 2 && self.held.grow(length) {
                self.keep(&piece);
            } else {
                self.write(piece).await?;
            }
        }
        self.received += length;
        Ok(())
    }

    /// Ends the content; `trailers` follow it.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<SpooledBody, SpoolError> {
        if self.file.is_some() {
            self.flush().await?;
        }
        let Self { buffer, held, file, stored, received, .. } = self;
        let content = match file {
            Some(file) => Content::File(file),
            None => Content::Memory(Bytes::from(buffer)),
        };
        let kept = Kept { content, length: received, trailers, _held: held, _stored: stored };
        Ok(SpooledBody { kept: Arc::new(kept), at: 0, trailers_sent: false, reading: None })
    }

    fn keep(&mut self, piece: &[u8]) {
        let length = self.buffer.len() + piece.len();
        if length > self.buffer.capacity() {
            let capacity = length.next_power_of_two().min(MEMORY_BYTES);
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(piece);
    }

    async fn flush(&mut self) -> Result<(), SpoolError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let buffer = std::mem::take(&mut self.buffer);
        self.write(Bytes::from(buffer)).await?;
        self.held.release();
        Ok(())
    }

    async fn write(&mut self, piece: Bytes) -> Result<(), SpoolError> {
        if !self.stored.grow(piece.len() as u64) {
            return Err(SpoolError::NoRoom);
        }
        let file = self.file.clone();
        let shared = Arc::clone(&self.shared);
        let write = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(Nameless(Some(nameless_file(&shared.dir)?))),
            };
            file.get()?.write_all(&piece)?;
            Ok(file)
        };
        self.file = Some(spawn_blocking(write).await.unwrap_or_else(interrupted)?);
        Ok(())
    }
}

/// Content that was taken in whole, as a body to send. Yields at most 64 KiB at a time.
#[derive(Debug)]
pub struct SpooledBody {
    kept: Arc<Kept>,
    at: u64,
    trailers_sent: bool,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl SpooledBody {
    /// Bytes of content in all, whatever was read already.
    pub fn content_bytes(&self) -> u64 {
        self.kept.length
    }

    /// The same content from its start, for another attempt. Shares the storage, which lives
    /// until the last of them is dropped.
    pub fn replay(&self) -> Self {
        Self { kept: Arc::clone(&self.kept), at: 0, trailers_sent: false, reading: None }
    }

    fn poll_file(
        &mut self,
        cx: &mut Context<'_>,
        file: &Arc<Nameless>,
    ) -> Poll<Result<Bytes, SpoolError>> {
        let reading = self.reading.get_or_insert_with(|| {
            let left = usize::try_from(self.kept.length - self.at).unwrap_or(usize::MAX);
            let (file, at, length) = (Arc::clone(file), self.at, left.min(READ_BYTES));
            spawn_blocking(move || {
                let mut buffer = vec![0; length];
                file.get()?.read_exact_at(&mut buffer, at)?;
                Ok(Bytes::from(buffer))
            })
        });
        let read = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(interrupted);
        self.reading = None;
        Poll::Ready(read.map_err(SpoolError::from))
    }
}

impl Body for SpooledBody {
    type Data = Bytes;
    type Error = SpoolError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SpoolError>>> {
        let this = self.get_mut();
        let kept = Arc::clone(&this.kept);
        if this.at < kept.length {
            let piece = match &kept.content {
                Content::Memory(bytes) => bytes.clone(),
                Content::File(file) => match ready!(this.poll_file(cx, file)) {
                    Ok(piece) => piece,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            };
            this.at += piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if this.trailers_sent {
            return Poll::Ready(None);
        }
        this.trailers_sent = true;
        Poll::Ready(kept.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.at == self.kept.length && (self.trailers_sent || self.kept.trailers.is_none())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.kept.length - self.at)
    }
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    memory: Budget,
    disk: Budget,
    /// Whether memory is short, so that all goes to disk; and how much went there for it.
    memory_closed: AtomicBool,
    diverted: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    content: Content,
    length: u64,
    trailers: Option<HeaderMap>,
    _held: Reservation,
    _stored: Reservation,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(Arc<Nameless>),
}

#[derive(Debug)]
struct Budget {
    used: AtomicU64,
    limit: u64,
}

impl Budget {
    const fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }
}

#[derive(Clone, Copy, Debug)]
enum Medium {
    Memory,
    Disk,
}

/// A share of a budget, given back when dropped.
#[derive(Debug)]
struct Reservation {
    shared: Arc<Shared>,
    medium: Medium,
    bytes: u64,
}

impl Reservation {
    fn new(shared: &Arc<Shared>, medium: Medium) -> Self {
        Self { shared: Arc::clone(shared), medium, bytes: 0 }
    }

    fn grow(&mut self, by: u64) -> bool {
        let is_closed = || self.shared.memory_closed.load(Ordering::Relaxed);
        if matches!(self.medium, Medium::Memory) && is_closed() {
            self.shared.diverted.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let budget = self.budget();
        let next = |used: u64| used.checked_add(by).filter(|&sum| sum <= budget.limit);
        // Relaxed: the number guards no other memory.
        let granted = budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if granted {
            self.bytes += by;
        }
        granted
    }

    fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.budget().used.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn budget(&self) -> &Budget {
        match self.medium {
            Medium::Memory => &self.shared.memory,
            Medium::Disk => &self.shared.disk,
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// A spool file. Closing it frees its blocks, which takes milliseconds for a large one, so that is
/// left to a blocking thread as well.
#[derive(Debug)]
struct Nameless(Option<File>);

impl Nameless {
    fn get(&self) -> io::Result<&File> {
        self.0.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Nameless {
    fn drop(&mut self) {
        if let (Some(file), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// A file that no name leads to, so that nothing is left of it after `kill -9`.
fn nameless_file(dir: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Overlay and some network file systems know no O_TMPFILE (open(2)).
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOENT) => {
            let mut random = [0u8; 8];
            getrandom::fill(&mut random).map_err(|e| io::Error::other(e.to_string()))?;
            let path = dir.join(format!("{PREFIX}{:016x}", u64::from_le_bytes(random)));
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        }
        Err(error) => Err(error.into()),
    }
}

/// The blocking task was cancelled (the runtime ends) or fell on a bug.
fn interrupted<T>(error: tokio::task::JoinError) -> io::Result<T> {
    Err(io::Error::other(error))
}

const PREFIX: &str = "spool-";
/// `detection.md`, amendment 5: enough for nearly every form, little enough for every connection.
const MEMORY_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;
