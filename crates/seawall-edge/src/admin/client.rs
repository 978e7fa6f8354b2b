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
    exchange(&mut stream, method, target)
        .map_err(|source| ClientError::Broken { path: socket.to_owned(), source })
}

fn exchange(stream: &mut UnixStream, method: &str, target: &str) -> io::Result<Answer> {
    const MAX_ANSWER_BYTES: u64 = 64 * 1024 * 1024;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let request = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
    parse(answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "cut off, or no HTTP"))
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
