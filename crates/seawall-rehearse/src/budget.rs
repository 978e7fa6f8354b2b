//! What one process may still do: connections, requests, time.
//!
//! A [`Connection`] to the target can only be opened through a [`Budget`], and every request sent on
//! it is paid for first, so that the bounds hold by construction and not by good behaviour of the
//! loops above. The caps are constants ([`caps`]); a plan can only ask for less.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::addr::LoopbackAddr;
use crate::caps;
use crate::http::{ExchangeError, Keep, Pace, Response, ResponseReader};
use crate::site::HOST;

/// The bounds of one process. Cheap to clone; clones share one account.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    start: Instant,
    end: Instant,
    max_connections: usize,
    open: AtomicUsize,
    peak_open: AtomicUsize,
    spent: AtomicU64,
    second: AtomicU64,
    spent_this_second: AtomicU64,
    spent_bytes: AtomicU64,
}

/// What ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetSpent {
    /// The run is over.
    #[error("the rehearsal's time is over")]
    Time,
    /// Too many connections are open.
    #[error("the rehearsal has as many connections open as it may")]
    Connections,
    /// All requests of this run were sent.
    #[error("the rehearsal has sent as many requests as it may")]
    Requests,
    /// All bytes of the attacks were sent.
    #[error("the rehearsal has sent as many bytes as it may")]
    Bytes,
    /// All requests of this second were sent.
    #[error("the rehearsal has sent as many requests this second as it may")]
    Rate,
}

impl Budget {
    /// A budget from now for `run` and `max_connections`, each at most its cap in [`caps`].
    pub fn new(now: Instant, run: Duration, max_connections: usize) -> Self {
        Self {
            shared: Arc::new(Account {
                start: now,
                end: now + run.min(caps::MAX_RUN),
                max_connections: max_connections.min(caps::MAX_CONNECTIONS),
                open: AtomicUsize::new(0),
                peak_open: AtomicUsize::new(0),
                spent: AtomicU64::new(0),
                second: AtomicU64::new(0),
                spent_this_second: AtomicU64::new(0),
                spent_bytes: AtomicU64::new(0),
            }),
        }
    }

    /// Takes one request from the budget at `now`.
    ///
    /// # Errors
    /// What ran out. Nothing may be sent then.
    pub fn spend(&self, now: Instant) -> Result<(), BudgetSpent> {
        let account = &*self.shared;
        if now >= account.end {
            return Err(BudgetSpent::Time);
        }
        let second = now.saturating_duration_since(account.start).as_secs();
        if account.second.swap(second, Ordering::Relaxed) != second {
            account.spent_this_second.store(0, Ordering::Relaxed);
        }
        if account.spent_this_second.fetch_add(1, Ordering::Relaxed)
            >= caps::MAX_REQUESTS_PER_SECOND
        {
            return Err(BudgetSpent::Rate);
        }
        if account.spent.fetch_add(1, Ordering::Relaxed) >= caps::MAX_REQUESTS {
            return Err(BudgetSpent::Requests);
        }
        Ok(())
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// The most connections that were open at once.
    pub fn peak_connections(&self) -> usize {
        self.shared.peak_open.load(Ordering::Relaxed)
    }

    /// Opens a connection, whose bytes are paid for by [`Slot::spend_bytes`] if it is an attack's.
    ///
    /// # Errors
    /// What ran out, or what the system says.
    pub(crate) async fn open(
        &self,
        target: &LoopbackAddr,
        source: Ipv4Addr,
    ) -> io::Result<(TcpStream, Slot)> {
        let slot = self.reserve(Instant::now()).map_err(io::Error::other)?;
        Ok((target.connect_from(Some(source)).await?, slot))
    }

    fn reserve(&self, now: Instant) -> Result<Slot, BudgetSpent> {
        if now >= self.shared.end {
            return Err(BudgetSpent::Time);
        }
        let before = self.shared.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot { budget: self.clone() };
        if before >= self.shared.max_connections {
            return Err(BudgetSpent::Connections);
        }
        self.shared.peak_open.fetch_max(before + 1, Ordering::Relaxed);
        Ok(slot)
    }
}

/// One open connection in the account; given back on drop.
#[derive(Debug)]
pub(crate) struct Slot {
    budget: Budget,
}

impl Slot {
    /// Pays for bytes of an attack.
    ///
    /// # Errors
    /// What ran out. Nothing may be sent then.
    pub(crate) fn spend_bytes(&self, bytes: usize) -> Result<(), BudgetSpent> {
        let account = &*self.budget.shared;
        if Instant::now() >= account.end {
            return Err(BudgetSpent::Time);
        }
        let before = account.spent_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if before >= caps::MAX_ATTACK_BYTES { Err(BudgetSpent::Bytes) } else { Ok(()) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.budget.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that was paid for.
pub(crate) struct Connection {
    stream: ResponseReader<Box<dyn Stream>>,
    slot: Slot,
}

/// With or without TLS.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Connection {
    fn new(stream: impl Stream + 'static, slot: Slot) -> Self {
        Self { stream: ResponseReader::new(Box::new(stream)), slot }
    }

    /// Sends one whole request and reads its response.
    ///
    /// # Errors
    /// Budget, connection or response; the connection is of no more use then.
    async fn exchange(
        &mut self,
        request: &[u8],
        keep: Keep,
        pace: Option<Pace>,
    ) -> Result<Response, ExchangeError> {
        self.send(request).await?;
        self.stream.read(keep, pace).await
    }

    /// Sends `bytes`, the beginning of a request or all of it.
    ///
    /// # Errors
    /// Budget or connection.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.slot.budget.spend(Instant::now()).map_err(ExchangeError::Budget)?;
        let stream = self.stream.stream();
        stream.write_all(bytes).await.map_err(|_| ExchangeError::Closed)?;
        stream.flush().await.map_err(|_| ExchangeError::Closed)
    }

    /// Reads the next response.
    ///
    /// # Errors
    /// What comes instead of one.
    pub(crate) async fn read(&mut self, keep: Keep) -> Result<Response, ExchangeError> {
        self.stream.read(keep, None).await
    }

    /// What lies beneath, for what is no exchange of messages any more.
    pub(crate) fn stream(&mut self) -> &mut (impl AsyncRead + AsyncWrite + Unpin + use<>) {
        self.stream.stream()
    }

    /// Waits until the other side says or closes anything.
    pub(crate) async fn until_answered(&mut self) {
        let _ = self.stream.read(Keep::Nothing, None).await;
    }
}

/// How a client gets to the target.
pub(crate) struct Way<'a> {
    /// What it is paid from.
    pub(crate) budget: &'a Budget,
    /// Where to.
    pub(crate) target: &'a LoopbackAddr,
    /// Where from.
    pub(crate) source: Ipv4Addr,
    /// How to speak TLS, for the sample site's name, if the target does.
    pub(crate) tls: Option<&'a Arc<ClientConfig>>,
}

impl Way<'_> {
    /// Opens a connection.
    ///
    /// # Errors
    /// What ran out, or what the system or the handshake says.
    pub(crate) async fn open(&self) -> io::Result<Connection> {
        let (stream, slot) = self.budget.open(self.target, self.source).await?;
        let Some(tls) = self.tls else { return Ok(Connection::new(stream, slot)) };
        let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
        Ok(Connection::new(stream, slot))
    }
}

/// A client's connection from one request to the next, if it has one, and whether something was asked on it: only then
/// can it be closed between two requests.
#[derive(Default)]
pub(crate) struct Kept(Option<(Connection, bool)>);

impl Kept {
    /// Opens a connection unless one is kept.
    ///
    /// # Errors
    /// As [`Way::open`].
    pub(crate) async fn ready(&mut self, way: &Way<'_>) -> io::Result<()> {
        if self.0.is_none() {
            self.0 = Some((way.open().await?, false));
        }
        Ok(())
    }

    /// Sends one whole request and reads its response, on the connection that is kept or on a new one. If one that was used is closed
    /// before the first byte of an answer, the request is sent again on another, once: RFC 9112 §9.3.1 allows that
    /// for idempotent requests, and all of these are GET.
    ///
    /// # Errors
    /// Budget, connection or response; [`ExchangeError::Closed`] if none can be opened. Nothing is kept then.
    pub(crate) async fn exchange(
        &mut self,
        way: &Way<'_>,
        request: &[u8],
        keep: Keep,
        pace: Option<Pace>,
    ) -> Result<Response, ExchangeError> {
        loop {
            let (mut connection, was_used) = match self.0.take() {
                Some(kept) => kept,
                None => (way.open().await.map_err(|_| ExchangeError::Closed)?, false),
            };
            match connection.exchange(request, keep, pace).await {
                Err(ExchangeError::Closed) if was_used => {}
                Ok(response) => {
                    self.0 = response.reusable.then_some((connection, true));
                    return Ok(response);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Budget, BudgetSpent};
    use crate::caps;

    fn budget() -> (Instant, Budget) {
        let now = Instant::now();
        (now, Budget::new(now, Duration::from_secs(3_600), usize::MAX))
    }

    #[test]
    fn no_request_is_sent_after_the_longest_run() {
        let (start, budget) = budget();
        assert_eq!(budget.spend(start + caps::MAX_RUN - Duration::from_millis(1)), Ok(()));
        assert_eq!(budget.spend(start + caps::MAX_RUN), Err(BudgetSpent::Time));
        assert!(matches!(budget.reserve(start + caps::MAX_RUN), Err(BudgetSpent::Time)));
    }

    #[test]
    fn a_second_holds_no_more_than_its_requests() {
        let (start, budget) = budget();
        for _ in 0..caps::MAX_REQUESTS_PER_SECOND {
            assert_eq!(budget.spend(start), Ok(()));
        }
        assert_eq!(budget.spend(start), Err(BudgetSpent::Rate));
        assert_eq!(budget.spend(start + Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_run_holds_no_more_than_its_requests() {
        let (start, budget) = budget();
        let mut sent = 0;
        for second in 0..caps::MAX_RUN.as_secs() {
            for _ in 0..caps::MAX_REQUESTS_PER_SECOND {
                sent += u64::from(budget.spend(start + Duration::from_secs(second)).is_ok());
            }
        }
        assert_eq!(sent, caps::MAX_REQUESTS);
    }

    #[test]
    fn connections_stop_at_the_cap_and_come_back() {
        let (start, budget) = budget();
        let mut slots = Vec::new();
        while let Ok(slot) = budget.reserve(start) {
            slots.push(slot);
        }
        assert_eq!(slots.len(), caps::MAX_CONNECTIONS);
        assert_eq!(budget.open_connections(), caps::MAX_CONNECTIONS);
        slots.pop();
        assert!(budget.reserve(start).is_ok());
        assert_eq!(budget.peak_connections(), caps::MAX_CONNECTIONS);
    }
}
