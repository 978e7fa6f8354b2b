//! A small HTTP/1.1 response reader, bounded in every direction.
//!
//! It reads what a browser would read and nothing clever: heads, `Content-Length`, chunked, until
//! close (RFC 9112 §6.3), gzip. It is separate from `seawall-wire`, which reads requests, and it
//! does **not** follow redirects, keep cookies or retry.

use std::io::Read as _;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use flate2::read::GzDecoder;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::sleep;

use crate::budget::BudgetSpent;
use crate::caps::{MAX_RESPONSE_BODY, MAX_RESPONSE_HEAD};

/// One response, its body decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// Status code, 200 to 999; interim responses are skipped.
    pub(crate) status: u16,
    /// `ETag` as sent.
    pub(crate) etag: Option<String>,
    /// Whether it says that it is a copy of an earlier time (`Memento-Datetime`, RFC 7089 §2.1.1).
    pub(crate) is_memento: bool,
    /// The decoded body, or nothing under [`Keep::Nothing`].
    pub(crate) body: Vec<u8>,
    /// Whether another request may follow on the connection.
    pub(crate) reusable: bool,
}

/// What to do with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Decode and keep it.
    Body,
    /// Read past it.
    Nothing,
}

/// A reader on a slow line: at most `bytes` in each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes taken at once.
    pub(crate) bytes: usize,
    /// Pause after each.
    pub(crate) interval: Duration,
}

/// Why an exchange came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The rehearsal's own bounds.
    #[error("{0}")]
    Budget(BudgetSpent),
    /// Closed before the first byte of a response, or never opened.
    #[error("closed before an answer")]
    Closed,
    /// Closed inside a response.
    #[error("cut off inside an answer")]
    Truncated,
    /// Not HTTP/1.1, beyond the bounds, or an encoding nobody asked for.
    #[error("not an answer a browser would take")]
    Malformed,
}

/// Reads responses one after the other from `stream`.
#[derive(Debug)]
pub(crate) struct ResponseReader<S> {
    stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> ResponseReader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// What is read from, to write to it.
    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next final response.
    ///
    /// # Errors
    /// See [`ExchangeError`]; the stream is of no more use then.
    pub(crate) async fn read(
        &mut self,
        keep: Keep,
        pace: Option<Pace>,
    ) -> Result<Response, ExchangeError> {
        let head = loop {
            let head = self.read_head(pace).await?;
            if head.status >= 200 {
                break head;
            }
        };
        let mut body = Vec::new();
        match head.framing() {
            Framing::None => {}
            Framing::Length(length) => self.take(length, keep, pace, &mut body).await?,
            Framing::Chunked => self.read_chunks(keep, pace, &mut body).await?,
            Framing::UntilClose => self.read_to_end(keep, pace, &mut body).await?,
        }
        if keep == Keep::Body && head.encoding == Encoding::Gzip {
            body = gunzip(&body)?;
        }
        if keep == Keep::Body && head.encoding == Encoding::Other {
            return Err(ExchangeError::Malformed);
        }
        let reusable = !head.close && head.framing() != Framing::UntilClose;
        let Head { status, etag, is_memento, .. } = head;
        Ok(Response { status, etag, is_memento, body, reusable })
    }

    async fn read_head(&mut self, pace: Option<Pace>) -> Result<Head, ExchangeError> {
        let mut scanned = 0;
        loop {
            if let Some(at) = find(&self.buffer[scanned..], b"\r\n\r\n").map(|at| at + scanned) {
                let bytes = self.buffer.split_to(at + 4);
                return Head::parse(&bytes).ok_or(ExchangeError::Malformed);
            }
            if self.buffer.len() > MAX_RESPONSE_HEAD {
                return Err(ExchangeError::Malformed);
            }
            scanned = self.buffer.len().saturating_sub(3);
            let empty = self.buffer.is_empty();
            match self.fill(pace).await {
                Err(ExchangeError::Truncated) if empty => return Err(ExchangeError::Closed),
                other => other?,
            }
        }
    }

    async fn read_chunks(
        &mut self,
        keep: Keep,
        pace: Option<Pace>,
        body: &mut Vec<u8>,
    ) -> Result<(), ExchangeError> {
        let mut total = 0_usize;
        loop {
            let line = self.read_line(pace).await?;
            let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size)
                .ok()
                .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
                .ok_or(ExchangeError::Malformed)?;
            total = total.saturating_add(size);
            if total > MAX_RESPONSE_BODY {
                return Err(ExchangeError::Malformed);
            }
            if size == 0 {
                break;
            }
            self.take(size, keep, pace, body).await?;
            if !self.read_line(pace).await?.is_empty() {
                return Err(ExchangeError::Malformed);
            }
        }
        // The trailer section ends with an empty line (RFC 9112 §7.1.2).
        let mut trailers = 0;
        loop {
            let line = self.read_line(pace).await?;
            trailers += line.len();
            if line.is_empty() {
                return Ok(());
            }
            if trailers > MAX_RESPONSE_HEAD {
                return Err(ExchangeError::Malformed);
            }
        }
    }

    async fn read_line(&mut self, pace: Option<Pace>) -> Result<Vec<u8>, ExchangeError> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(at + 2);
                return Ok(line[..at].to_vec());
            }
            if self.buffer.len() > MAX_LINE {
                return Err(ExchangeError::Malformed);
            }
            self.fill(pace).await?;
        }
    }

    async fn take(
        &mut self,
        length: usize,
        keep: Keep,
        pace: Option<Pace>,
        body: &mut Vec<u8>,
    ) -> Result<(), ExchangeError> {
        if length > MAX_RESPONSE_BODY {
            return Err(ExchangeError::Malformed);
        }
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill(pace).await?;
            }
            let now = left.min(self.buffer.len());
            if keep == Keep::Body {
                body.extend_from_slice(&self.buffer[..now]);
            }
            self.buffer.advance(now);
            left -= now;
        }
        Ok(())
    }

    async fn read_to_end(
        &mut self,
        keep: Keep,
        pace: Option<Pace>,
        body: &mut Vec<u8>,
    ) -> Result<(), ExchangeError> {
        let mut total = 0;
        loop {
            total += self.buffer.len();
            if total > MAX_RESPONSE_BODY {
                return Err(ExchangeError::Malformed);
            }
            if keep == Keep::Body {
                body.extend_from_slice(&self.buffer);
            }
            self.buffer.clear();
            match self.fill(pace).await {
                Err(ExchangeError::Truncated) => return Ok(()),
                other => other?,
            }
        }
    }

    /// Adds at least one byte to the buffer. `Truncated` at the end of the stream.
    async fn fill(&mut self, pace: Option<Pace>) -> Result<(), ExchangeError> {
        let most = pace.map_or(READ_SIZE, |pace| pace.bytes.max(1));
        self.buffer.reserve(most);
        let read = (&mut self.stream)
            .take(most as u64)
            .read_buf(&mut self.buffer)
            .await
            .map_err(|_| ExchangeError::Truncated)?;
        if read == 0 {
            return Err(ExchangeError::Truncated);
        }
        if let Some(pace) = pace {
            sleep(pace.interval).await;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    etag: Option<String>,
    is_memento: bool,
    encoding: Encoding,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let status_line = lines.next()?;
        let rest = status_line.strip_prefix("HTTP/1.")?;
        let minor = rest.bytes().next()?;
        let status: u16 = rest.get(2..5)?.parse().ok()?;
        if status < 100 {
            return None;
        }
        let mut head = Self {
            status,
            etag: None,
            is_memento: false,
            encoding: Encoding::Identity,
            length: None,
            chunked: false,
            close: minor == b'0',
        };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            head.take_field(name, value.trim())?;
        }
        Some(head)
    }

    fn take_field(&mut self, name: &str, value: &str) -> Option<()> {
        if name.eq_ignore_ascii_case("content-length") {
            self.length = Some(value.parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("content-encoding") {
            self.encoding =
                if value.eq_ignore_ascii_case("gzip") { Encoding::Gzip } else { Encoding::Other };
        } else if name.eq_ignore_ascii_case("connection") {
            self.close |=
                value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"));
        } else if name.eq_ignore_ascii_case("etag") {
            self.etag = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("memento-datetime") {
            self.is_memento = true;
        }
        Some(())
    }

    /// RFC 9112 §6.3, for answers to GET.
    fn framing(&self) -> Framing {
        match (self.status, self.chunked, self.length) {
            (100..=199 | 204 | 304, _, _) => Framing::None,
            (_, true, _) => Framing::Chunked,
            (_, false, Some(length)) => Framing::Length(length),
            (_, false, None) => Framing::UntilClose,
        }
    }
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    let mut decoded = Vec::new();
    // One byte beyond the bound tells "too long" from "just fits".
    GzDecoder::new(bytes)
        .take(MAX_RESPONSE_BODY as u64 + 1)
        .read_to_end(&mut decoded)
        .map_err(|_| ExchangeError::Malformed)?;
    if decoded.len() > MAX_RESPONSE_BODY { Err(ExchangeError::Malformed) } else { Ok(decoded) }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Bytes asked of the socket at once; a compressed page of the sample site fits.
const READ_SIZE: usize = 16 * 1024;

/// Bytes of a chunk-size or trailer line.
const MAX_LINE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::{any, proptest};

    use super::{ExchangeError, Keep, Response, ResponseReader};
    use crate::caps::{MAX_RESPONSE_BODY, MAX_RESPONSE_HEAD};

    fn check(bytes: &[u8], keep: Keep) -> Result<Response, ExchangeError> {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers")
            .block_on(ResponseReader::new(bytes).read(keep, None))
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn every_framing_yields_its_body() {
        for (head_and_body, reusable) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", false),
            ("HTTP/1.1 200 OK\r\n\r\nhello", false),
            (
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
                true,
            ),
        ] {
            let response = check(head_and_body.as_bytes(), Keep::Body).expect("well-formed");
            assert_eq!(response.body, b"hello", "{head_and_body}");
            assert_eq!(response.reusable, reusable, "{head_and_body}");
            let skipped = check(head_and_body.as_bytes(), Keep::Nothing).expect("well-formed");
            assert!(skipped.body.is_empty(), "{head_and_body}");
        }
    }

    #[test]
    fn gzip_is_decoded_and_bounded() {
        let encoded = gzip(b"hello");
        let head = |length| {
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n")
        };
        let mut whole = head(encoded.len()).into_bytes();
        whole.extend_from_slice(&encoded);
        assert_eq!(check(&whole, Keep::Body).expect("well-formed").body, b"hello");

        let bomb = gzip(&vec![0; MAX_RESPONSE_BODY + 1]);
        let mut whole = head(bomb.len()).into_bytes();
        whole.extend_from_slice(&bomb);
        assert_eq!(check(&whole, Keep::Body), Err(ExchangeError::Malformed));
    }

    #[test]
    fn answers_without_content_end_with_their_head() {
        let response = check(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", Keep::Body)
            .expect("well-formed");
        assert_eq!((response.status, response.etag.as_deref()), (304, Some("\"a\"")));
        assert!(response.reusable);
    }

    #[test]
    fn broken_answers_are_told_apart() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_RESPONSE_HEAD));
        for (bytes, expected) in [
            ("", ExchangeError::Closed),
            ("HTTP/1.1 2", ExchangeError::Truncated),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", ExchangeError::Truncated),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                ExchangeError::Truncated,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
                ExchangeError::Malformed,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", ExchangeError::Malformed),
            (
                "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx",
                ExchangeError::Malformed,
            ),
            ("SSH-2.0-x\r\n\r\n", ExchangeError::Malformed),
            (long.as_str(), ExchangeError::Malformed),
        ] {
            assert_eq!(check(bytes.as_bytes(), Keep::Body), Err(expected), "{bytes:.60}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
            answer.extend_from_slice(&bytes);
            let _ = check(&bytes, Keep::Body);
            let _ = check(&answer, Keep::Body);
        }
    }
}
