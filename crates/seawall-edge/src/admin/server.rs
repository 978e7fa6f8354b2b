//! Listens, reads, answers, closes.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::orders::Change;
use super::request::{Denied, Door, Head, Query};
use super::{AdminView, ArchiveRefusal, Import, OrderRefusal};

/// Why the admin doors cannot be opened. All are the operator's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Another process answers on the socket.
    #[error("another program already answers on `{path}`; is seawall running twice?")]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// Something else lies where the socket should be.
    #[error("`{path}` exists and is no socket; remove it or choose another `admin.socket`")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on `{path}`: {source}")]
    Socket {
        /// The path.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The address cannot be used.
    #[error("cannot listen on `{address}` (`admin.address`): {source}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A public address without a token.
    #[error(
        "`admin.address` is `{address}`, which is not loopback, but there is no token; set `admin.token_file` or use 127.0.0.1"
    )]
    TokenWanted {
        /// The address.
        address: SocketAddr,
    },
}

/// The open doors. Dropping it closes them and removes the socket's file.
#[derive(Debug)]
pub struct AdminServer {
    unix: Option<(StdUnixListener, SocketFile)>,
    tcp: Option<StdTcpListener>,
    token: Option<Arc<str>>,
}

impl AdminServer {
    /// Opens the doors. A socket that a dead process left is replaced; a living one is not.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub fn bind(
        socket: Option<&Path>,
        address: Option<SocketAddr>,
        token: Option<&str>,
    ) -> Result<Self, AdminError> {
        let token: Option<Arc<str>> = token.filter(|t| !t.is_empty()).map(Arc::from);
        let unix = socket.map(bind_unix).transpose()?;
        let tcp = address.map(|a| bind_tcp(a, token.as_deref())).transpose()?;
        Ok(Self { unix, tcp, token })
    }

    /// The TCP address in use, with the port that the system chose.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.tcp.as_ref().and_then(|l| l.local_addr().ok())
    }

    /// Answers until it is dropped. Each door has its own 32 places, so that strangers at the TCP
    /// address cannot lock the operator out of the socket.
    pub async fn serve(self, view: Arc<dyn AdminView>) {
        let Self { unix, tcp, token } = self;
        // The doors may have been opened before there was a runtime.
        let unix = unix.map(|(listener, file)| (UnixListener::from_std(listener), file));
        let tcp = tcp.map(TcpListener::from_std);
        let tcp_door = token.map_or(Door::Loopback, Door::Token);
        let on_unix = async {
            if let Some((Ok(listener), _file)) = &unix {
                let accept = async || listener.accept().await.map(|(stream, _)| stream);
                accept_loop(accept, &Door::Unix, &view).await;
            }
        };
        let on_tcp = async {
            if let Some(Ok(listener)) = &tcp {
                let accept = async || listener.accept().await.map(|(stream, _)| stream);
                accept_loop(accept, &tcp_door, &view).await;
            }
        };
        tokio::join!(on_unix, on_tcp);
    }
}

async fn accept_loop<S>(
    accept: impl AsyncFn() -> io::Result<S>,
    door: &Door,
    view: &Arc<dyn AdminView>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let importing = Arc::new(Semaphore::new(1));
    let mut connections = JoinSet::new(); // ends them all when it is dropped
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match accept().await {
            Ok(stream) => {
                let (door, view) = (door.clone(), Arc::clone(view));
                let importing = Arc::clone(&importing);
                connections.spawn(async move {
                    let _place = place;
                    // A caller who leaves or dawdles is no news.
                    let _ = converse(stream, &door, view, &importing).await;
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end first.
                warn!(error.type = %error.kind(), "cannot accept an admin connection: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse<S>(
    mut stream: S,
    door: &Door,
    view: Arc<dyn AdminView>,
    importing: &Semaphore,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let asked = timeout(MAX_TIME, read_query(&mut stream, door)).await??;
    let is_import = matches!(asked, Ok(Asked { query: Query::Import(_), .. }));
    let longest = if is_import { MAX_IMPORT_TIME } else { MAX_TIME };
    let answered = async {
        let answer = match asked {
            Ok(Asked { query: Query::Import(what), content, begun }) => {
                import(&mut stream, what, content, begun, view, importing).await?
            }
            Ok(Asked { query: Query::Note(incident), content, begun }) => {
                match read_content(&mut stream, content, begun, MAX_CONTENT_BYTES).await? {
                    Some(content) => note(incident, content, view).await,
                    None => refusal(&TOO_LONG_A_NOTE),
                }
            }
            Ok(Asked { query, content, begun }) => {
                match drain(&mut stream, content.saturating_sub(begun.len() as u64)).await? {
                    Ok(()) => answer(query, view).await,
                    Err(denied) => refusal(&denied),
                }
            }
            Err(denied) => refusal(&denied),
        };
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    timeout(longest, answered).await?
}

/// A request, of which the head was read.
struct Asked {
    query: Query,
    /// Bytes of content.
    content: u64,
    /// What of it came with the head.
    begun: Vec<u8>,
}

async fn read_query<S>(stream: &mut S, door: &Door) -> io::Result<Result<Asked, Denied>>
where
    S: AsyncRead + Unpin,
{
    let mut head = Vec::with_capacity(1024);
    let mut chunk = [0u8; 1024];
    let end = loop {
        let searched = head.len().saturating_sub(3);
        let read = stream.read(&mut chunk).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&chunk[..read]);
        if let Some(at) = head[searched..].windows(4).position(|w| w == b"\r\n\r\n") {
            break searched + at + 4;
        }
        if head.len() > MAX_HEAD_BYTES {
            return Ok(Err(Denied(431, "the head is larger than 8 KiB")));
        }
    };
    let begun = head.split_off(end);
    let asked = Head::parse(&head).and_then(|head| Ok((head.content_length()?, head.query(door))));
    let (content, query) = match asked {
        Ok(asked) => asked,
        Err(denied) => return Ok(Err(denied)),
    };
    match query {
        Ok(query) => Ok(Ok(Asked { query, content, begun })),
        Err(denied) => {
            let rest = content.saturating_sub(begun.len() as u64);
            Ok(Err(drain(stream, rest).await?.err().unwrap_or(denied)))
        }
    }
}

/// Reads content that has no meaning: closing on unread bytes would reset the connection and could take
/// the answer with it (RFC 9112 §9.6).
async fn drain<S>(stream: &mut S, content: u64) -> io::Result<Result<(), Denied>>
where
    S: AsyncRead + Unpin,
{
    if content > MAX_CONTENT_BYTES {
        return Ok(Err(Denied(413, "no content is expected")));
    }
    let mut rest = stream.take(content);
    let mut chunk = [0u8; 1024];
    while rest.read(&mut chunk).await? > 0 {}
    Ok(Ok(()))
}

/// Takes in records, of one caller at a time, so that only the records of one are in memory.
async fn import<S>(
    stream: &mut S,
    what: Import,
    content: u64,
    begun: Vec<u8>,
    view: Arc<dyn AdminView>,
    importing: &Semaphore,
) -> io::Result<Vec<u8>>
where
    S: AsyncRead + Unpin,
{
    let _place = importing.acquire().await.map_err(io::Error::other)?;
    let Some(records) = read_content(stream, content, begun, view.max_import_bytes()).await? else {
        return Ok(failure(413, "these are more records than may be brought at once"));
    };
    let import = move || match view.import(&what, records) {
        Ok(report) => json(&report),
        Err(why) => archive_refused(why, 507),
    };
    Ok(blocking("the import", import).await)
}

/// The content, of which `begun` came with the head; `None` if it is longer than `max`.
async fn read_content<S>(
    stream: &mut S,
    content: u64,
    mut begun: Vec<u8>,
    max: u64,
) -> io::Result<Option<Vec<u8>>>
where
    S: AsyncRead + Unpin,
{
    if content > max {
        return Ok(None);
    }
    let content = usize::try_from(content).map_err(io::Error::other)?;
    let read = begun.len().min(content);
    begun.resize(content, 0);
    stream.read_exact(&mut begun[read..]).await?;
    Ok(Some(begun))
}

async fn note(incident: String, content: Vec<u8>, view: Arc<dyn AdminView>) -> Vec<u8> {
    let Ok(note) = serde_json::from_slice(&content) else {
        return failure(400, "the content is no note");
    };
    let write = move || match view.note(&incident, note) {
        Ok(noted) => json(&noted),
        Err(why) => refused(&why),
    };
    blocking("the note", write).await
}

async fn answer(query: Query, view: Arc<dyn AdminView>) -> Vec<u8> {
    match query {
        Query::Status => json(&view.status()),
        Query::Metrics => response(200, PROMETHEUS, view.metrics().as_bytes()),
        Query::Purge(what) => {
            let purge = move || match view.purge(what) {
                Ok(removed) => json(&serde_json::json!({ "removed": removed })),
                Err(why) => failure(507, &why),
            };
            blocking("the purge", purge).await
        }
        Query::Pass(days) => match view.pass(days) {
            Ok(pass) => json(&pass),
            Err(why) => failure(500, &why),
        },
        Query::Archive(site) => {
            let look = move || match view.archive(site.as_deref()) {
                Ok(archives) => json(&archives),
                Err(why) => archive_refused(why, 500),
            };
            blocking("looking into the archive", look).await
        }
        Query::ArchivedPage(url) => {
            let look = move || match view.archived_page(&url) {
                Ok(pages) => json(&pages),
                Err(why) => failure(500, &why),
            };
            blocking("looking into the archive", look).await
        }
        Query::ChangeArchive(what, site) => {
            let change = move || match view.change_archive(what, site.as_deref()) {
                Ok(()) => response(200, JSON, b"{}"),
                Err(why) => archive_refused(why, 507),
            };
            blocking("changing the archive", change).await
        }
        // It has content, and goes another way.
        Query::Import(_) | Query::Note(_) => failure(500, "content was taken for something else"),
        Query::Mitigations => json(&view.mitigations()),
        Query::Values => {
            let look = move || view.values().map_or_else(|why| refused(&why), |all| json(&all));
            blocking("looking at traffic", look).await
        }
        Query::Order(Change { order, is_dry }) => {
            let follow = move || match view.order(&order, is_dry) {
                Ok(outcome) => json(&outcome),
                Err(why) => refused(&why),
            };
            blocking("the order", follow).await
        }
        Query::Emergency(what) => {
            let change = move || {
                view.emergency(what);
                response(200, JSON, b"{}")
            };
            blocking("the emergency", change).await
        }
    }
}

/// The answer of `job`, which waits for the disk or for the watcher and must not hold up others.
async fn blocking(name: &str, job: impl FnOnce() -> Vec<u8> + Send + 'static) -> Vec<u8> {
    let bug = |_| failure(500, &format!("{name} failed on a bug; see the log"));
    tokio::task::spawn_blocking(job).await.unwrap_or_else(bug)
}

fn json(value: &impl Serialize) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(body) => response(200, JSON, &body),
        Err(_) => failure(500, "the answer cannot be written as JSON"),
    }
}

fn refused(why: &OrderRefusal) -> Vec<u8> {
    let body = serde_json::json!({ "error": why.what, "hint": why.hint }).to_string();
    response(why.status, JSON, body.as_bytes())
}

/// `failed` is the status where the disk refused.
fn archive_refused(why: ArchiveRefusal, failed: u16) -> Vec<u8> {
    match why {
        ArchiveRefusal::NoSite(why) => failure(404, &why),
        ArchiveRefusal::Failed(why) => failure(failed, &why),
    }
}

fn refusal(Denied(status, text): &Denied) -> Vec<u8> {
    failure(*status, text)
}

fn failure(status: u16, text: &str) -> Vec<u8> {
    let body = serde_json::json!({ "error": text }).to_string();
    response(status, JSON, body.as_bytes())
}

fn response(status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    let reason = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let extra = match status {
        401 => "WWW-Authenticate: Bearer\r\n",
        405 => "Allow: GET, POST\r\n",
        _ => "",
    };
    let mut out = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\
         {extra}\r\n",
        reason.unwrap_or_default(),
        body.len()
    )
    .into_bytes();
    out.extend_from_slice(body);
    out
}

fn bind_tcp(address: SocketAddr, token: Option<&str>) -> Result<StdTcpListener, AdminError> {
    if token.is_none() && !address.ip().is_loopback() {
        return Err(AdminError::TokenWanted { address });
    }
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(StdTcpListener::from(socket))
    };
    listen().map_err(|source| AdminError::Address { address, source })
}

fn bind_unix(path: &Path) -> Result<(StdUnixListener, SocketFile), AdminError> {
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    remove_stale(path)?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Between bind and listen nobody can connect, so nobody slips in before the mode is set.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
        socket.listen(BACKLOG)?;
        Ok((StdUnixListener::from(OwnedFd::from(socket)), file))
    };
    listen().map_err(failed)
}

fn remove_stale(path: &Path) -> Result<(), AdminError> {
    let failed = |source| AdminError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(AdminError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match StdUnixStream::connect(path) {
        // Whoever listened is gone; the kernel remembers no listener for this inode.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(_) => Err(AdminError::AlreadyRunning { path: path.to_owned() }),
        Err(error) => Err(failed(error)),
    }
}

/// Removes the socket's file at the end, unless another process has put its own there.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|meta| meta.ino() == self.inode) {
            // Best effort: a stale file is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

const MAX_CONNECTIONS: usize = 32;
const MAX_HEAD_BYTES: usize = 8 * 1024;
const MAX_CONTENT_BYTES: u64 = 64 * 1024;
/// Several times what one may have.
const TOO_LONG_A_NOTE: Denied = Denied(413, "this is more than a note may have");
/// For reading a request, and for answering it, a purge of everything included.
const MAX_TIME: Duration = Duration::from_secs(30);
/// For the records of one response that is as large as may be, behind others on a slow disk.
const MAX_IMPORT_TIME: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 64;
const JSON: &str = "application/json";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
