//! Asks a running program over its admin socket: what `seawall status` and `seawall purge` do.
//! Blocking, for use outside any runtime.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the running program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status; 200 if it did as asked.
    pub status: u16,
    /// JSON, or the text of `/metrics`.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no running seawall answers on `{path}` ({source}); start it, or name its socket with `admin.socket`"
    )]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The exchange broke off.
    #[error("the program on `{path}` did not answer properly: {source}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// One request, for example `query(path, "GET", "/status")`. The target must be percent-encoded.
///
/// # Errors
/// [`ClientError`]; an answer with an error status is an [`Answer`].
pub fn query(socket: &Path, method: &str, target: &str) -> Result<Answer, ClientError> {
    let mut stream = UnixStream::connect(socket)
        .map_err(|source| ClientError::NotRunning { path: socket.to_owned(), source })?;
    exchange(&mut stream, method, target, &[], Duration::from_secs(60))
        .map_err(|source| ClientError::Broken { path: socket.to_owned(), source })
}

/// Brings content, which may take minutes to be taken in.
///
/// # Errors
/// As [`query`].
pub fn send(socket: &Path, target: &str, content: &[u8]) -> Result<Answer, ClientError> {
    let mut stream = UnixStream::connect(socket)
        .map_err(|source| ClientError::NotRunning { path: socket.to_owned(), source })?;
    exchange(&mut stream, "POST", target, content, Duration::from_secs(600))
        .map_err(|source| ClientError::Broken { path: socket.to_owned(), source })
}

fn exchange(
    stream: &mut UnixStream,
    method: &str,
    target: &str,
    content: &[u8],
    patience: Duration,
) -> io::Result<Answer> {
    const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let length = content.len();
    let length = if length == 0 { String::new() } else { format!("Content-Length: {length}\r\n") };
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n");
    stream.write_all(request.as_bytes())?;
    // Whoever refuses it may close before it is read, with an answer.
    let sent = stream.write_all(content);
    let mut answer = Vec::new();
    let read = stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer);
    if let Some(answer) = parse(answer) {
        return Ok(answer);
    }
    sent.and(read.map(drop))?;
    Err(io::Error::new(io::ErrorKind::InvalidData, "cut off, or no HTTP"))
}

fn parse(mut answer: Vec<u8>) -> Option<Answer> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    let length: usize = length.parse().ok()?;
    let body = answer.split_off(end + 4);
    (body.len() == length).then_some(Answer { status, body })
}
