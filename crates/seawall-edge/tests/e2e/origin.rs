//! An origin that does exactly what a test says and remembers what it was asked.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::field;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Start line and fields, without the empty line.
    pub(crate) head: String,
    /// The content, chunks put together.
    pub(crate) body: Vec<u8>,
    /// How many requests came before this one, on any connection.
    pub(crate) before: usize,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Keep,
    Close,
}

type Script = dyn Fn(&Asked, &mut TcpStream) -> Then + Send + Sync;

/// A running origin.
pub(crate) struct Origin {
    address: SocketAddr,
    state: Arc<State>,
    accepting: Option<JoinHandle<()>>,
    // Holds the port without listening, once dead, so that nobody else can get it.
    grave: Option<socket2::Socket>,
}

struct State {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    open: Mutex<Vec<TcpStream>>,
    dead: AtomicBool,
}

impl Origin {
    /// An origin that runs `script` for every request.
    pub(crate) fn run(
        script: impl Fn(&Asked, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(State {
            script: Box::new(script),
            asked: Mutex::default(),
            open: Mutex::default(),
            dead: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.dead.load(Ordering::SeqCst) {
                    return;
                }
                stream.set_nodelay(true).expect("socket option");
                stream.set_read_timeout(Some(Duration::from_secs(60))).expect("socket option");
                let copy = stream.try_clone().expect("descriptors are left");
                shared.open.lock().expect("no panic").push(copy);
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.converse(stream));
            }
        });
        Self { address, state, accepting: Some(accepting), grave: None }
    }

    /// An origin that answers everything with the same bytes.
    pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::run(move |_, stream| say(stream, &answer))
    }

    /// An origin that answers with `200`, these field lines and this content.
    pub(crate) fn page(fields: &str, body: impl AsRef<[u8]>) -> Self {
        Self::always(ok(fields, body))
    }

    /// An origin whose answer is made from the request.
    pub(crate) fn answering(make: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::run(move |asked, stream| say(stream, make(asked)))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().expect("no panic").clone()
    }

    /// The only request that came.
    #[track_caller]
    pub(crate) fn only(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "exactly one request: {asked:?}");
        asked.remove(0)
    }

    /// How often it was asked.
    pub(crate) fn count(&self) -> usize {
        self.state.asked.lock().expect("no panic").len()
    }

    /// Closes all connections and refuses new ones.
    pub(crate) fn die(&mut self) {
        self.state.dead.store(true, Ordering::SeqCst);
        let Some(accepting) = self.accepting.take() else { return };
        let _ = TcpStream::connect(self.address);
        accepting.join().expect("no panic");
        for stream in self.state.open.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.grave = reserve(self.address);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.die();
    }
}

/// An address where connections are refused for as long as the socket lives.
pub(crate) fn nobody() -> (socket2::Socket, SocketAddr) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = reserve(any).expect("a port is free");
    let address = socket.local_addr().expect("bound").as_socket().expect("an address");
    (socket, address)
}

fn reserve(address: SocketAddr) -> Option<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
    socket.set_reuse_address(true).ok()?;
    socket.bind(&address.into()).ok()?;
    Some(socket)
}

impl State {
    fn converse(&self, mut stream: TcpStream) {
        let mut input = Vec::new();
        while let Some((head, body)) = read_request(&mut stream, &mut input) {
            let asked = {
                let mut list = self.asked.lock().expect("no panic");
                let asked = Asked { head, body, before: list.len() };
                list.push(asked.clone());
                asked
            };
            if (self.script)(&asked, &mut stream) == Then::Close {
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

fn read_request(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let head = String::from_utf8(take_to(stream, input, b"\r\n\r\n")?).ok()?;
    let head = head.trim_end_matches("\r\n").to_owned();
    let mut body = Vec::new();
    if field(&head, "transfer-encoding").is_some() {
        loop {
            let line = String::from_utf8(take_to(stream, input, b"\r\n")?).ok()?;
            let size = usize::from_str_radix(line.trim_end(), 16).ok()?;
            if size == 0 {
                while take_to(stream, input, b"\r\n")? != b"\r\n" {}
                break;
            }
            body.extend(take(stream, input, size)?);
            take(stream, input, 2)?;
        }
    } else if let Some(length) = field(&head, "content-length") {
        body = take(stream, input, length.parse().ok()?)?;
    }
    Some((head, body))
}

fn take_to(stream: &mut TcpStream, input: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = input.windows(end.len()).position(|w| w == end) {
            return Some(input.drain(..at + end.len()).collect());
        }
        fill(stream, input)?;
    }
}

fn take(stream: &mut TcpStream, input: &mut Vec<u8>, len: usize) -> Option<Vec<u8>> {
    while input.len() < len {
        fill(stream, input)?;
    }
    Some(input.drain(..len).collect())
}

fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 64 * 1024];
    let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
    input.extend_from_slice(&buffer[..read]);
    Some(())
}

/// Sends bytes and keeps the connection.
pub(crate) fn say(stream: &mut TcpStream, bytes: impl AsRef<[u8]>) -> Then {
    if stream.write_all(bytes.as_ref()).is_ok() { Then::Keep } else { Then::Close }
}

/// A 200 with these field lines, each ending in CRLF, and this content.
pub(crate) fn ok(fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    respond("200 OK", fields, body)
}

pub(crate) fn respond(status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let head = format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
