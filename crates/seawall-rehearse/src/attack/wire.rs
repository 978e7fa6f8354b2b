//! A connection of an attacker: bytes in, bytes out, nothing in between but TLS.

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::addr::LoopbackAddr;
use crate::budget::{Budget, Slot};

/// A write that takes longer has met a peer that does not read.
const WRITE_PATIENCE: Duration = Duration::from_millis(500);
/// What the system may keep for an attacker who does not read.
const RECEIVE_BYTES: usize = 8 * 1024;
/// For a handshake.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// An open connection.
pub(super) struct Wire {
    io: Box<dyn Duplex>,
    slot: Slot,
    sent_bytes: u64,
}

impl Wire {
    /// Without TLS; `None` if it is refused.
    pub(super) async fn plain(budget: &Budget, to: &LoopbackAddr, from: Ipv4Addr) -> Option<Self> {
        let (tcp, slot) = budget.open(to, from).await.ok()?;
        // Best effort: little room here, so that it is the peer who keeps what nobody takes.
        let _ = set_socket_recv_buffer_size(&tcp, RECEIVE_BYTES);
        Some(Self { io: Box::new(tcp), slot, sent_bytes: 0 })
    }

    /// With TLS; `None` if it is refused.
    pub(super) async fn tls(
        budget: &Budget,
        to: &LoopbackAddr,
        from: Ipv4Addr,
        config: &Arc<ClientConfig>,
    ) -> Option<Self> {
        let (tcp, slot) = budget.open(to, from).await.ok()?;
        let name = ServerName::try_from(crate::site::HOST).ok()?;
        let shake = TlsConnector::from(Arc::clone(config)).connect(name, tcp);
        let io = timeout(HANDSHAKE_PATIENCE, shake).await.ok()?.ok()?;
        Some(Self { io: Box::new(io), slot, sent_bytes: 0 })
    }

    /// Sends as much of `bytes` as the peer takes. `false`: not all, it closed or does not read.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.chunks(PIECE) {
            if self.slot.spend_bytes(piece.len()).is_err() {
                return false;
            }
            let io = &mut self.io;
            let write = async {
                io.write_all(piece).await?;
                io.flush().await
            };
            if !matches!(timeout(WRITE_PATIENCE, write).await, Ok(Ok(()))) {
                return false;
            }
            self.sent_bytes += piece.len() as u64;
        }
        true
    }

    /// Reads and throws away until the peer has closed, or for as long as `patience`.
    pub(super) async fn drain(&mut self, patience: Duration) -> bool {
        let mut scrap = [0; 4096];
        let drained =
            async { while matches!(self.io.read(&mut scrap).await, Ok(read) if read > 0) {} };
        timeout(patience, drained).await.is_ok()
    }

    /// Bytes sent so far.
    pub(super) fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

/// Largest piece that is paid for at once.
const PIECE: usize = 16 * 1024;
