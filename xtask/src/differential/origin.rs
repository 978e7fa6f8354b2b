//! An origin that records what it is asked.
//!
//! Separate because it is a third reader: written for what proxies send and nothing else, it shares
//! no code with any of those that are compared. It keeps its connections, so that bytes a proxy
//! forwards beyond a request's end would come out as a request of their own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Outcome;

use super::verdict::Request;

/// How long a request that a proxy has begun may take to come whole or break off.
const SETTLE: Duration = Duration::from_millis(500);

/// The method of what cannot be read.
const UNREADABLE: &[u8] = b"(unreadable)";

/// A running origin. It serves until the task ends.
pub(crate) struct Origin {
    address: SocketAddr,
    book: Arc<Book>,
}

/// What the connections share.
#[derive(Default)]
struct Book {
    /// The stream that is being sent.
    current: AtomicUsize,
    /// Requests that have come since then.
    count: AtomicUsize,
    /// Connections that hold a part of a request.
    busy: AtomicUsize,
    /// Requests, each with the stream during which it began.
    arrived: Mutex<Vec<(usize, Request)>>,
}

impl Origin {
    /// Listens on loopback.
    ///
    /// # Errors
    /// When loopback has no port left.
    pub(crate) fn start() -> Outcome<Self> {
        let cannot = |error| format!("the recording origin cannot listen: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let book = Arc::new(Book::default());
        let shared = Arc::clone(&book);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let book = Arc::clone(&shared);
                thread::spawn(move || serve(socket, &book));
            }
        });
        Ok(Self { address, book })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What begins from now on belongs to the stream of this index.
    pub(crate) fn begin(&self, index: usize) {
        self.book.count.store(0, Ordering::SeqCst);
        self.book.current.store(index, Ordering::SeqCst);
    }

    /// Waits until as many requests of the stream have arrived, or for `patience`.
    pub(crate) fn wait_for(&self, requests: usize, patience: Duration) {
        let end = Instant::now() + patience;
        while self.book.count.load(Ordering::SeqCst) < requests && Instant::now() < end {
            thread::sleep(Duration::from_micros(50));
        }
    }

    /// Waits until no connection holds a part of a request.
    pub(crate) fn settle(&self) {
        let end = Instant::now() + SETTLE;
        while self.book.busy.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// What arrived, stream by stream.
    pub(crate) fn arrived(&self, streams: usize) -> Vec<Vec<Request>> {
        let mut all = vec![Vec::new(); streams];
        let mut arrived = self.book.arrived.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, request) in arrived.drain(..) {
            all[index].push(request);
        }
        all
    }
}

fn serve(mut socket: TcpStream, book: &Book) {
    let _ = socket.set_nodelay(true);
    let Ok(reading) = socket.try_clone() else { return };
    let mut reader = BufReader::new(reading);
    loop {
        // Wait for the first byte outside of the count of those that are at work.
        if !reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
            return;
        }
        let index = book.current.load(Ordering::SeqCst);
        book.busy.fetch_add(1, Ordering::SeqCst);
        let request = read(&mut reader);
        let is_head = request.as_ref().is_some_and(|request| request.method == b"HEAD");
        let is_readable = request.as_ref().is_some_and(|request| request.method != UNREADABLE);
        if let Some(request) = request {
            let mut arrived = book.arrived.lock().unwrap_or_else(PoisonError::into_inner);
            arrived.push((index, request));
            book.count.fetch_add(1, Ordering::SeqCst);
        }
        book.busy.fetch_sub(1, Ordering::SeqCst);
        let body = if is_head { "" } else { "ok" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\
             Cache-Control: no-store\r\n\r\n{body}"
        );
        if !is_readable || socket.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// One request; `None` if the connection ends within it. What cannot be read becomes a request
/// that no stream holds.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let first = line(reader)?;
    let mut words = first.split(|&byte| byte == b' ');
    let (method, target) = (words.next()?.to_vec(), words.next().unwrap_or_default());
    let is_http = words.next().is_some_and(|version| version.starts_with(b"HTTP/1."));
    let unreadable =
        Request { method: UNREADABLE.to_vec(), body: first.clone(), ..Request::default() };
    if !is_http || words.next().is_some() {
        return Some(unreadable);
    }
    let (authority, target) = split(target);
    // RFC 9112 §3.2.2: HTTP/1.0 may name the host in an absolute target alone.
    let host_of_target = host(authority.unwrap_or_default());
    let mut request = Request { method, target, host: host_of_target, ..Request::default() };
    let (mut length, mut is_chunked) = (None, false);
    loop {
        let field = line(reader)?;
        if field.is_empty() {
            break;
        }
        let Some(colon) = field.iter().position(|&byte| byte == b':') else {
            return Some(unreadable);
        };
        let (name, value) = (field[..colon].to_ascii_lowercase(), field[colon + 1..].trim_ascii());
        match name.as_slice() {
            b"host" => request.host = host(value),
            b"content-length" if length.is_some() => return Some(unreadable),
            b"content-length" => {
                length = Some(std::str::from_utf8(value).ok()?.parse::<usize>().ok()?);
            }
            b"transfer-encoding" if !value.eq_ignore_ascii_case(b"chunked") => {
                return Some(unreadable);
            }
            b"transfer-encoding" => is_chunked = true,
            _ => {}
        }
    }
    if is_chunked && length.is_some() {
        return Some(unreadable);
    }
    request.body = if is_chunked { chunks(reader)? } else { exactly(reader, length.unwrap_or(0))? };
    Some(request)
}

/// A line that ends in CRLF, without it.
fn line(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok()?;
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}

fn exactly(reader: &mut BufReader<TcpStream>, bytes: usize) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    reader.take(bytes as u64).read_to_end(&mut content).ok()?;
    (content.len() == bytes).then_some(content)
}

fn chunks(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let size = line(reader)?;
        let size = size.split(|&byte| byte == b';').next().unwrap_or_default();
        let size = usize::from_str_radix(std::str::from_utf8(size).ok()?.trim(), 16).ok()?;
        if size == 0 {
            while !line(reader)?.is_empty() {}
            return Some(content);
        }
        content.extend(exactly(reader, size)?);
        if !line(reader)?.is_empty() {
            return None;
        }
    }
}

/// The authority of an absolute target, and its path and query: proxies may pass on the whole or
/// these.
fn split(target: &[u8]) -> (Option<&[u8]>, Vec<u8>) {
    let lower = target.to_ascii_lowercase();
    let scheme =
        [&b"http://"[..], b"https://"].into_iter().find(|scheme| lower.starts_with(scheme));
    let Some(scheme) = scheme else { return (None, target.to_vec()) };
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    let path = match &rest[end..] {
        path @ [b'/', ..] => path.to_vec(),
        query => [b"/", query].concat(),
    };
    (Some(&rest[..end]), path)
}

/// Lower case, without port and final dot.
fn host(value: &[u8]) -> Vec<u8> {
    let lower = value.to_ascii_lowercase();
    let name = match lower.iter().rposition(|&byte| byte == b':') {
        Some(colon) if lower[colon + 1..].iter().all(u8::is_ascii_digit) => &lower[..colon],
        _ => &lower[..],
    };
    name.strip_suffix(b".").unwrap_or(name).to_vec()
}

#[cfg(test)]
mod tests {
    use super::{host, split};

    #[test]
    fn targets_and_hosts_are_compared_without_what_proxies_may_change() {
        for (target, authority, path) in [
            ("/a?b", None, "/a?b"),
            ("*", None, "*"),
            ("http://a/x?y", Some("a"), "/x?y"),
            ("HTTP://A:8?y", Some("A:8"), "/?y"),
            ("https://a", Some("a"), "/"),
        ] {
            let expected = (authority.map(str::as_bytes), path.as_bytes().to_vec());
            assert_eq!(split(target.as_bytes()), expected, "{target}");
        }
        for (value, expected) in
            [("A:80", "a"), ("a.", "a"), ("[::1]", "[::1]"), ("[::1]:8", "[::1]")]
        {
            assert_eq!(host(value.as_bytes()), expected.as_bytes(), "{value}");
        }
    }
}
