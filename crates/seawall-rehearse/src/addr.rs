//! The only address this crate can connect to, and the handshake that grants it.
//!
//! A [`LoopbackAddr`] proves two things about a socket address: it is on loopback, and whatever
//! listens there knows the key of this run. The key is drawn by the parent, handed to its children
//! on their standard input and to nobody else, so that only the sample site of this run, or a proxy
//! that forwards to it, can answer. An ordinary server that merely repeats what it is asked fails.
//!
//! It deliberately does **not** resolve names, and there is no way around [`LoopbackAddr::verify`].

use std::fmt;
use std::hash::Hasher as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use siphasher::sip128::{Hasher128 as _, SipHasher24};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::caps;
use crate::http;
use crate::site;

/// A loopback socket that this very run opened. See the module for what it proves.
#[derive(Clone, Debug)]
pub struct LoopbackAddr {
    addr: SocketAddr,
    alive: Arc<AtomicBool>,
}

impl LoopbackAddr {
    /// Asks whoever listens at `addr` to answer `challenge` with the key of this run.
    ///
    /// The challenge must be fresh and random; it is an argument because randomness always is.
    ///
    /// # Errors
    /// [`VerifyError::NotLoopback`] before any packet is sent; the others when nobody answers or
    /// the answer is not ours. The caller may try again while its own server is still starting.
    pub async fn verify(
        addr: SocketAddr,
        key: &RunKey,
        challenge: [u8; 16],
    ) -> Result<Self, VerifyError> {
        if !is_loopback(addr.ip()) {
            return Err(VerifyError::NotLoopback { addr });
        }
        Self::verify_over(addr, key, challenge, None).await
    }

    /// The same for a socket that speaks TLS.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_tls(
        addr: SocketAddr,
        key: &RunKey,
        challenge: [u8; 16],
        tls: Arc<ClientConfig>,
    ) -> Result<Self, VerifyError> {
        if !is_loopback(addr.ip()) {
            return Err(VerifyError::NotLoopback { addr });
        }
        Self::verify_over(addr, key, challenge, Some(tls)).await
    }

    async fn verify_over(
        addr: SocketAddr,
        key: &RunKey,
        challenge: [u8; 16],
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, VerifyError> {
        let answer = timeout(VERIFY_TIMEOUT, ask(addr, challenge, tls))
            .await
            .map_err(|_| VerifyError::Silent { addr })?
            .map_err(|source| VerifyError::Unreachable { addr, source })?;
        if answer != key.answer(challenge).as_bytes() {
            return Err(VerifyError::NotOurs { addr });
        }
        Ok(Self { addr, alive: Arc::new(AtomicBool::new(true)) })
    }

    /// The verified address.
    pub fn socket_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the listener was there at the last attempt. Once it has refused a connection it is
    /// gone for good: its port could be someone else's next.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed)
    }

    /// Connects from `source`, or from any loopback address if `None` or if the target is IPv6.
    ///
    /// # Errors
    /// What the system says; `NotConnected` once the listener has been seen gone.
    pub(crate) async fn connect_from(&self, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
        if !self.is_alive() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let connected = connect(self.addr, source).await;
        // On loopback a full accept queue drops the SYN; a refusal means that nobody listens.
        if matches!(&connected, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            self.alive.store(false, Ordering::Relaxed);
        }
        connected
    }
}

/// The secret of one run. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct RunKey([u8; 16]);

impl RunKey {
    /// A fresh key from the system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn draw() -> io::Result<Self> {
        draw_random().map(Self)
    }

    /// What the sample site of this run answers to `challenge`: SipHash-2-4-128 under the key, a
    /// pseudo-random function (Aumasson and Bernstein 2012), in hexadecimal.
    pub fn answer(&self, challenge: [u8; 16]) -> String {
        let mut mac = SipHasher24::new_with_key(&self.0);
        mac.write(&challenge);
        hex(&mac.finish128().as_bytes())
    }

    /// The key in hexadecimal, for the standard input of a child and for nothing else.
    pub fn reveal(&self) -> String {
        hex(&self.0)
    }
}

impl FromStr for RunKey {
    type Err = InvalidRunKey;

    fn from_str(text: &str) -> Result<Self, InvalidRunKey> {
        unhex(text).map(Self).ok_or(InvalidRunKey)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunKey(…)")
    }
}

/// A run key is 32 hexadecimal digits, and this is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a run key has 32 hexadecimal digits")]
pub struct InvalidRunKey;

/// Why an address was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The address is not in 127.0.0.0/8 and not ::1. Nothing was sent.
    #[error("`{addr}` is not a loopback address, and a rehearsal loads nothing else")]
    NotLoopback {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Nobody there, or the answer was not HTTP.
    #[error("nobody answers at `{addr}`")]
    Unreachable {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system or the response reader said.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer from `{addr}` within 2 s")]
    Silent {
        /// The address asked for.
        addr: SocketAddr,
    },
    /// Somebody else's server.
    #[error("the server at `{addr}` does not belong to this run, so it is left alone")]
    NotOurs {
        /// The address asked for.
        addr: SocketAddr,
    },
}

/// Sixteen random bytes from the system, for challenges.
///
/// # Errors
/// When the system has no randomness to give.
pub fn draw_random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The challenge in a request target of the sample site, if it is one.
pub(crate) fn challenge_in(target: &str) -> Option<[u8; 16]> {
    target.strip_prefix(site::REHEARSAL_PATH)?.strip_prefix("?nonce=").and_then(unhex)
}

async fn ask(
    addr: SocketAddr,
    challenge: [u8; 16],
    tls: Option<Arc<ClientConfig>>,
) -> io::Result<Vec<u8>> {
    let stream = connect(addr, None).await?;
    let Some(tls) = tls else { return ask_on(stream, challenge).await };
    let name = ServerName::try_from(site::HOST).map_err(io::Error::other)?;
    ask_on(TlsConnector::from(tls).connect(name, stream).await?, challenge).await
}

async fn ask_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    challenge: [u8; 16],
) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {}?nonce={} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        site::REHEARSAL_PATH,
        hex(&challenge),
        site::HOST,
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut reader = http::ResponseReader::new(stream);
    let response = reader.read(http::Keep::Body, None).await.map_err(io::Error::other)?;
    Ok(response.body)
}

/// The one place in this crate where a connection is opened.
async fn connect(addr: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    // Checked again here, so that no later change of the callers can widen it.
    if !is_loopback(addr.ip()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let (Some(source), true) = (source, addr.is_ipv4()) {
        socket.bind(SocketAddr::from((source, 0)))?;
    }
    let stream = timeout(CONNECT_TIMEOUT, socket.connect(addr))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn is_loopback(ip: IpAddr) -> bool {
    // Not `to_canonical`: an IPv4-mapped address is not what anybody here opened.
    ip.is_loopback()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(text, 16).ok().map(u128::to_be_bytes)
}

/// For the whole handshake. The sample site answers it beside its work queue.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(2);

/// For a connection: what a reader's whole page may take. A SYN dropped by a full accept queue is
/// sent again after 1 s and 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

// The verify head is tiny; if this ever fails, the caps were set without thought.
const _: () = assert!(caps::MAX_RESPONSE_HEAD >= 1024);

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::{LoopbackAddr, RunKey, VerifyError, challenge_in, hex};

    fn check_key(digit: &str) -> RunKey {
        digit.repeat(32).parse().expect("32 hexadecimal digits")
    }

    /// A server that answers every request with `body`.
    async fn serve_once(body: String) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback binds");
        let addr = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client comes");
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        addr
    }

    #[tokio::test]
    async fn addresses_off_loopback_are_refused_before_a_packet_is_sent() {
        for addr in [
            "192.0.2.1:80",
            "10.0.0.1:80",
            "0.0.0.0:80",
            "128.0.0.1:80",
            "[::]:80",
            "[2001:db8::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[fe80::1]:80",
        ] {
            let refused =
                LoopbackAddr::verify(addr.parse().expect("an address"), &check_key("a"), [7; 16])
                    .await;
            assert!(matches!(refused, Err(VerifyError::NotLoopback { .. })), "{addr}");
        }
    }

    #[tokio::test]
    async fn a_server_without_the_key_is_refused() {
        let challenge = [9; 16];
        for body in [
            String::new(),
            hex(&challenge),
            check_key("b").answer(challenge),
            check_key("a").answer([8; 16]),
            format!("{} ", check_key("a").answer(challenge)),
        ] {
            let addr = serve_once(body.clone()).await;
            let refused = LoopbackAddr::verify(addr, &check_key("a"), challenge).await;
            assert!(matches!(refused, Err(VerifyError::NotOurs { .. })), "{body}");
        }
    }

    #[tokio::test]
    async fn a_server_with_the_key_is_granted() {
        let challenge = [9; 16];
        let addr = serve_once(check_key("a").answer(challenge)).await;
        let granted = LoopbackAddr::verify(addr, &check_key("a"), challenge).await;
        assert_eq!(granted.expect("it knows the key").socket_addr(), addr);
    }

    #[tokio::test]
    async fn a_listener_that_went_away_is_never_tried_again() {
        let challenge = [3; 16];
        let addr = serve_once(check_key("a").answer(challenge)).await;
        let granted =
            LoopbackAddr::verify(addr, &check_key("a"), challenge).await.expect("it knows the key");
        // The listener was dropped with its task after the one answer.
        while granted.is_alive() {
            let _ = granted.connect_from(None).await;
            tokio::task::yield_now().await;
        }
        let _elsewhere = TcpListener::bind(addr).await.expect("the port is free again");
        let refused = granted.connect_from(None).await.expect_err("gone for good");
        assert_eq!(refused.kind(), std::io::ErrorKind::NotConnected);
    }

    #[test]
    fn keys_are_never_shown() {
        assert_eq!(format!("{:?}", check_key("a")), "RunKey(…)");
        assert!("xyz".parse::<RunKey>().is_err());
        assert!("+".repeat(32).parse::<RunKey>().is_err());
    }

    #[test]
    fn challenges_are_read_from_their_path_alone() {
        let nonce = "0".repeat(31) + "1";
        let path = crate::site::REHEARSAL_PATH;
        let mut one = [0; 16];
        one[15] = 1;
        assert_eq!(challenge_in(&format!("{path}?nonce={nonce}")), Some(one));
        assert_eq!(challenge_in(&format!("{path}?nonce={nonce}0")), None);
        assert_eq!(challenge_in(&format!("/other?nonce={nonce}")), None);
    }

    #[test]
    fn only_this_file_opens_connections() {
        for (name, source) in [
            ("attack", include_str!("attack/mod.rs")),
            ("attack/http1", include_str!("attack/http1.rs")),
            ("attack/http2", include_str!("attack/http2.rs")),
            ("attack/tls", include_str!("attack/tls.rs")),
            ("attack/wire", include_str!("attack/wire.rs")),
            ("budget", include_str!("budget.rs")),
            ("child", include_str!("child.rs")),
            ("copies", include_str!("copies.rs")),
            ("flood", include_str!("flood.rs")),
            ("http", include_str!("http.rs")),
            ("readers", include_str!("readers.rs")),
            ("site/server", include_str!("site/server.rs")),
        ] {
            // Names are put together here so that this test does not find itself.
            for banned in [
                "Tcp".to_owned() + "Socket",
                "TcpStream::".to_owned() + "connect",
                "Udp".to_owned() + "Socket",
            ] {
                assert!(!source.contains(&banned), "{name} names {banned}");
            }
        }
    }
}
