//! A server in this process and a scripted site behind it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustls::RootCertStore;
use seawall_edge::Server;
use seawall_edge::config::{AccessLog, Certificate, Config, Listen, Origin, OriginTarget, Site};
use seawall_model::Limits;

use crate::client::{ACK, Client, PREFACE, SETTINGS, settings};

/// Length of `/big`.
pub(crate) const BIG: usize = 5 << 20;
/// SETTINGS_HEADER_TABLE_SIZE: none, see `hpack`.
pub(crate) const NO_TABLE: (u16, u32) = (1, 0);
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub(crate) const WINDOW: u16 = 4;

/// What the origin saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request: its line, its lower-cased field lines, its content.
    Request(String, Vec<String>, Vec<u8>),
    /// The connection was closed while `/wait` was being worked on.
    Cancelled,
}

pub(crate) struct Shield {
    pub(crate) server: Option<Server>,
    pub(crate) address: SocketAddr,
    pub(crate) origin: Receiver<Event>,
    /// Bytes of memory that the server believes are in use, of 64 MiB.
    pub(crate) memory: Arc<AtomicU64>,
    roots: RootCertStore,
    config: Config,
    dir: tempfile::TempDir,
}

impl Shield {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        Self::configured(|config| change(&mut config.limits))
    }

    pub(crate) fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().expect("temporary folder");
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        fs::write(&cert, made.cert.pem()).expect("writes");
        fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root");
        let (address, origin) = origin();
        let memory = Arc::<AtomicU64>::default();
        let limits = Limits { drain_timeout: Duration::from_secs(5), ..Limits::default() };
        let listen = Listen {
            address: ([127, 0, 0, 1], 0).into(),
            tls: true,
            proxy_protocol: false,
            public_port: None,
        };
        let mut config = Config {
            listen: vec![listen],
            tls: vec![Certificate { cert, key }],
            sites: vec![site(address)],
            // These tests are about the protocol; what a flood of requests meets is another's.
            allow: vec!["127.0.0.0/8".parse().expect("a prefix")],
            limits,
            admin_socket: Some(dir.path().join("admin.sock")),
            log: AccessLog { enabled: false, ..AccessLog::default() },
            memory_reading: Some(Arc::clone(&memory)),
            ..Config::in_folder(dir.path().join("state"))
        };
        change(&mut config);
        let server = Server::start(config.clone()).expect("starts");
        let address = server.addresses()[0];
        Self { server: Some(server), address, origin, memory, roots, config, dir }
    }

    /// Ends the server as a deployment does, and starts it again.
    pub(crate) fn restart(&mut self) {
        self.server.take().expect("it runs").stop();
        let server = Server::start(self.config.clone()).expect("starts again");
        self.address = server.addresses()[0];
        self.server = Some(server);
    }

    /// A connection before the preface.
    pub(crate) fn silent(&self) -> Client {
        Client::silent(self.address, &self.roots)
    }

    /// A connection after the exchange of settings.
    pub(crate) fn client(&self) -> Client {
        self.client_with(&[NO_TABLE])
    }

    pub(crate) fn client_with(&self, entries: &[(u16, u32)]) -> Client {
        let mut client = self.silent();
        client.send(&[PREFACE, &settings(entries)].concat());
        let acked = client.until(|frame| frame.kind == SETTINGS && frame.flags & ACK != 0);
        assert!(acked.is_some(), "our settings are acknowledged");
        client.send(&crate::client::frame(SETTINGS, ACK, 0, &[]));
        client
    }

    /// How often this misbehaviour was counted.
    pub(crate) fn misbehaviours(&self, kind: &str) -> u64 {
        self.metric(&format!("seawall_wire_misbehaviour_total{{kind=\"{kind}\"}}"))
    }

    pub(crate) fn metric(&self, series: &str) -> u64 {
        let socket = self.dir.path().join("admin.sock");
        let answer = seawall_edge::admin::query(&socket, "GET", "/metrics").expect("it answers");
        let text = String::from_utf8(answer.body).expect("text");
        let name = format!("{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).expect("a series of this name")
    }

    /// What the origin sees next.
    pub(crate) fn event(&self) -> Event {
        self.origin.recv_timeout(Duration::from_secs(20)).expect("the origin sees something")
    }

    pub(crate) fn request(&self) -> (String, Vec<String>, Vec<u8>) {
        match self.event() {
            Event::Request(line, fields, content) => (line, fields, content),
            other @ Event::Cancelled => panic!("{other:?}"),
        }
    }
}

fn site(origin: SocketAddr) -> Site {
    let target = OriginTarget::Http { host: origin.ip().to_string(), port: origin.port() };
    // All streams of a connection may be at work at once: it is HTTP/2 that is tested here.
    let origin = Origin { min_concurrency: 256, ..Origin::at(target) };
    Site::new(vec!["*".to_owned()], origin)
}

/// Content that differs at every place, so that a shifted byte shows.
pub(crate) fn content(len: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| next()).collect()
}

fn origin() -> (SocketAddr, Receiver<Event>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listens");
    let address = listener.local_addr().expect("address");
    let (tell, events) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(connection) = connection else { return };
            let tell = tell.clone();
            thread::spawn(move || while answer(&connection, &tell).is_some() {});
        }
    });
    (address, events)
}

/// Answers one request; `None` ends the connection.
fn answer(mut connection: &TcpStream, tell: &Sender<Event>) -> Option<()> {
    let head = read_head(connection)?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let fields: Vec<String> = lines.map(str::to_lowercase).collect();
    let length = fields.iter().find_map(|field| field.strip_prefix("content-length: "));
    let mut sent = vec![0; length.map_or(0, |length| length.parse().expect("a length"))];
    connection.read_exact(&mut sent).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    tell.send(Event::Request(line, fields, sent)).ok()?;
    let plain = |more: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{more}\r\n");
        [head.as_bytes(), body].concat()
    };
    let reply = match path.split('?').next()? {
        held if held.starts_with("/held/") => plain("cache-control: max-age=600\r\n", b"hello"),
        "/page" => plain("cache-control: max-age=60\r\ncontent-type: text/plain\r\n", b"hello"),
        "/large" => plain("cache-control: max-age=60\r\n", &content(200_000)),
        "/big" => plain("cache-control: no-store\r\n", &content(BIG)),
        "/hop" => plain("keep-alive: timeout=5\r\nconnection: x-hop\r\nx-hop: 1\r\n", b"hop"),
        "/early" => {
            let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\nconnection: x-hop\r\n\
                         x-hop: 1\r\n\r\n";
            [early.as_bytes(), &plain("cache-control: no-store\r\n", b"late")].concat()
        }
        "/trailers" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\
              cache-control: no-store\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n"
            .to_vec(),
        "/empty" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/broken" => {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
            return None;
        }
        "/wait" => {
            // Never answered: the end of the connection is what is waited for.
            let end = connection.read(&mut [0; 1]);
            if matches!(end, Ok(0) | Err(_)) {
                let _ = tell.send(Event::Cancelled);
            }
            return None;
        }
        _ => plain("cache-control: no-store\r\n", b"ok"),
    };
    connection.write_all(&reply).ok()
}

fn read_head(mut connection: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        connection.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok().map(|head| head.trim_end().to_owned())
}
