//! A raw HTTP/1 client: sends what it is told and reads answers byte by byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// No answer takes this long, even on a machine that does ten other things.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection.
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    input: Vec<u8>,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Start line and fields, without the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// In order.
    Closed,
    /// By a reset.
    Broken,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::on(TcpStream::connect(to).expect("loopback connects"))
    }

    /// From 127.0.0.`last`: all of 127.0.0.0/8 is here.
    pub(crate) fn connect_from(last: u8, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket is to be had");
        let source = SocketAddr::from(([127, 0, 0, last], 0));
        socket.bind(&source.into()).expect("loopback is bound");
        socket.connect(&to.into()).expect("loopback connects");
        Self::on(socket.into())
    }

    fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("socket option");
        stream.set_nodelay(true).expect("socket option");
        Self::over(stream)
    }

    /// Says that nothing more is sent.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("socket shuts down");
    }

    /// The same, if there is still somebody to say it to.
    pub(crate) fn finish_anyway(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, input: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server takes bytes");
        self.stream.flush().expect("the server takes bytes");
        self
    }

    /// Sends as far as the other side lets us: a refusal may come before the end.
    pub(crate) fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        let _ = self.stream.flush();
        self
    }

    /// `GET path` with these extra field lines, each ending in CRLF, and its answer.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str, extra: &str) -> Response {
        self.send(get(path, extra));
        self.read("GET")
    }

    /// Reads one whole answer to a request with `method`.
    #[track_caller]
    pub(crate) fn read(&mut self, method: &str) -> Response {
        match self.try_read(method) {
            Ok(response) => response,
            Err(error) => panic!("no whole answer: {error}; got {:?}", self.text()),
        }
    }

    /// The same; an error if the connection ends before the answer is whole.
    pub(crate) fn try_read(&mut self, method: &str) -> io::Result<Response> {
        let head = self.take_to(b"\r\n\r\n")?;
        let head = String::from_utf8(head).expect("heads are text");
        let head = head.trim_end_matches("\r\n").to_owned();
        let status: u16 = head.get(9..12).and_then(|s| s.parse().ok()).expect("a status");
        let mut response = Response { status, head, body: Vec::new(), trailers: String::new() };
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return Ok(response);
        }
        if response.field("transfer-encoding").is_some_and(|v| v == "chunked") {
            self.read_chunks(&mut response)?;
        } else if let Some(length) = response.field("content-length") {
            let length = length.parse().expect("a length");
            response.body = self.take(length)?;
        } else {
            while self.fill()? > 0 {}
            response.body = std::mem::take(&mut self.input);
        }
        Ok(response)
    }

    fn read_chunks(&mut self, response: &mut Response) -> io::Result<()> {
        loop {
            let line = String::from_utf8(self.take_to(b"\r\n")?).expect("a chunk size");
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            if size == 0 {
                break;
            }
            response.body.extend(self.take(size)?);
            assert_eq!(self.take(2)?, b"\r\n", "a chunk ends with a line end");
        }
        loop {
            let line = String::from_utf8(self.take_to(b"\r\n")?).expect("trailers are text");
            if line == "\r\n" {
                return Ok(());
            }
            response.trailers.push_str(&line);
        }
    }

    /// Everything until the connection ends, and how it ended.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.fill() {
                Ok(0) => return (std::mem::take(&mut self.input), End::Closed),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => panic!("still open; got {:?}", self.text()),
                Err(_) => return (std::mem::take(&mut self.input), End::Broken),
            }
        }
    }

    /// Asserts that nothing more comes and the connection is over, by whatever end.
    #[track_caller]
    pub(crate) fn assert_over(&mut self) {
        let (rest, _) = self.rest();
        assert_eq!(String::from_utf8_lossy(&rest), "", "nothing after the answer");
    }

    /// Exactly `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < len {
            self.fill_more()?;
        }
        Ok(self.input.drain(..len).collect())
    }

    fn take_to(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|w| w == end) {
                return Ok(self.input.drain(..at + end.len()).collect());
            }
            self.fill_more()?;
        }
    }

    fn fill_more(&mut self) -> io::Result<()> {
        if self.fill()? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        self.input.extend_from_slice(&buffer[..read]);
        Ok(read)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.input).into_owned()
    }
}

impl Response {
    /// The value of a field; several lines are joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.text());
        self
    }

    #[track_caller]
    pub(crate) fn assert_body(&self, body: impl AsRef<[u8]>) -> &Self {
        let want = String::from_utf8_lossy(body.as_ref());
        assert_eq!(self.text(), want, "{}", self.head);
        self
    }

    /// Asserts that `Cache-Status` begins as given, such as `hit` or `fwd=uri-miss`.
    #[track_caller]
    pub(crate) fn assert_cache(&self, outcome: &str) -> &Self {
        let status = self.field("cache-status").unwrap_or_default();
        let said = status.strip_prefix("seawall; ").unwrap_or(&status);
        assert!(said.starts_with(outcome), "`{outcome}` expected in `{status}`: {}", self.head);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The value of a field in a head; several lines are joined by `, `.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let values: Vec<&str> =
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The bytes of a GET.
pub(crate) fn get(path: &str, extra: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n{extra}\r\n")
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
