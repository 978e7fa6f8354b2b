//! A client that can say anything, right or wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::hpack::{FieldList, decode, encode};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longer than any test needs; only a broken server gets here.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The error code of RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// A whole response.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub(crate) interim: Vec<FieldList>,
    pub(crate) head: FieldList,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<FieldList>,
    /// The code of a reset that ended the stream instead.
    pub(crate) reset: Option<u32>,
}

impl Reply {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn status(&self) -> &str {
        self.field(":status").unwrap_or("none")
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (id, value) in entries {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

/// A complete header block for `method` and `path` with further fields.
pub(crate) fn head(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
    ];
    fields.extend_from_slice(more);
    encode(&fields)
}

pub(crate) struct Client {
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    /// TLS with ALPN, and nothing of HTTP/2 yet.
    pub(crate) fn silent(address: std::net::SocketAddr, roots: &RootCertStore) -> Self {
        let mut config =
            ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("TLS");
        let tcp = TcpStream::connect(address).expect("connects");
        tcp.set_read_timeout(Some(PATIENCE)).expect("time-out");
        tcp.set_write_timeout(Some(PATIENCE)).expect("time-out");
        tcp.set_nodelay(true).expect("no delay");
        Self { tls: StreamOwned::new(tls, tcp) }
    }

    /// Bytes as they are. A server that has closed is not an error here.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.tls.write_all(bytes);
        let _ = self.tls.flush();
    }

    pub(crate) fn ask(&mut self, stream: u32, method: &str, path: &str, more: &[(&str, &str)]) {
        let block = head(method, path, more);
        self.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block));
    }

    /// Whether the server still holds the connection, without reading what it sent.
    pub(crate) fn is_open(&mut self) -> bool {
        // A closed peer answers bytes with a reset.
        let tcp = &mut self.tls.sock;
        tcp.write_all(&[0]).is_ok()
    }

    /// The next frame; `None` when the server has closed.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.fill(&mut header)?;
        let len = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let stream = u32::from_be_bytes(header[5..].try_into().expect("four bytes"));
        let mut payload = vec![0; len as usize];
        self.fill(&mut payload)?;
        Some(Frame { kind: header[3], flags: header[4], stream, payload })
    }

    fn fill(&mut self, buf: &mut [u8]) -> Option<()> {
        match self.tls.read_exact(buf) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server says nothing and does not close")
            }
            Err(_) => None,
        }
    }

    /// Frames up to the first of this kind, with it; or all until the server closed.
    pub(crate) fn until(&mut self, mut found: impl FnMut(&Frame) -> bool) -> Option<Frame> {
        while let Some(frame) = self.frame() {
            if found(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// The error code of the server's GOAWAY, which must be followed by its close.
    pub(crate) fn goodbye(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    /// Reads the response on `stream`, opening windows as it goes.
    pub(crate) fn reply(&mut self, stream: u32) -> Reply {
        let mut reply = Reply::default();
        while let Some(frame) = self.frame() {
            if frame.stream != stream {
                assert_ne!(frame.kind, GOAWAY, "code {}", frame.code());
                continue;
            }
            let ends = frame.ends_stream();
            match frame.kind {
                HEADERS => {
                    assert_ne!(frame.flags & END_HEADERS, 0, "heads of tests are short");
                    let fields = decode(&frame.payload);
                    let status = fields.first().filter(|(name, _)| name == ":status");
                    match status.map(|(_, status)| status.as_bytes()[0]) {
                        Some(b'1') => reply.interim.push(fields),
                        Some(_) => reply.head = fields,
                        None => reply.trailers = Some(fields),
                    }
                }
                DATA => {
                    reply.body.extend_from_slice(&frame.payload);
                    if !frame.payload.is_empty() && !ends {
                        self.open_windows(stream, frame.payload.len() as u32);
                    }
                }
                RST_STREAM => {
                    reply.reset = Some(frame.code());
                    return reply;
                }
                _ => {}
            }
            if ends {
                return reply;
            }
        }
        panic!("the connection ended before the response did: {reply:?}");
    }

    pub(crate) fn open_windows(&mut self, stream: u32, bytes: u32) {
        let mut updates = window_update(0, bytes);
        updates.extend(window_update(stream, bytes));
        self.send(&updates);
    }

    /// A round trip: everything sent before has been dealt with.
    pub(crate) fn round_trip(&mut self) {
        self.send(&frame(PING, 0, 0, b"roundtrp"));
        let pong = self.until(|f| f.kind == PING && f.flags & ACK != 0 && f.payload == b"roundtrp");
        assert!(pong.is_some(), "the connection is alive");
    }

    pub(crate) fn get(&mut self, stream: u32, path: &str) -> Reply {
        self.ask(stream, "GET", path, &[]);
        self.reply(stream)
    }
}

pub(crate) fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}
