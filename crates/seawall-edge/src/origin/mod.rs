//! Talking to origins: permits, pooled connections, one exchange at a time, every wait bounded.
//!
//! It speaks HTTP/1.1 through hyper's client, which refuses what is malformed and fails a body that
//! is shorter than its declared length; that failure reaches the reader as a broken connection and
//! never as a complete page. It does not know caching: `fetch` does.

mod connect;
mod gate;
mod interim;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use seawall_decide::WorkOutcome;
use seawall_model::Instant;
use tokio::time::timeout;

pub(crate) use self::connect::Connector;
pub use self::connect::OriginTlsError;
use self::connect::Sender;
pub(crate) use self::gate::{Gate, GateView, Permit, Refused};
pub(crate) use self::interim::{Interim, interim};
use crate::clock;
use crate::config::Origin;
use crate::spool::{SpoolError, SpooledBody};

/// Why an origin did not answer. The origin's blame, except `Body`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OriginError {
    /// It cannot be reached.
    #[error("cannot connect to the origin")]
    Connect(#[from] io::Error),
    /// It took longer than the configuration allows.
    #[error("the origin took longer than {limit:?} to {phase}")]
    Timeout {
        /// What it was doing.
        phase: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// It broke the protocol, or closed in the middle.
    #[error("the origin broke off or spoke something else than HTTP/1.1")]
    Protocol(#[source] hyper::Error),
}

impl OriginError {
    /// What it says about how loaded the origin is.
    const fn outcome(&self) -> WorkOutcome {
        match self {
            Self::Timeout { .. } => WorkOutcome::TimedOut,
            Self::Connect(_) | Self::Protocol(_) => WorkOutcome::ServerError,
        }
    }
}

/// A request body on its way to an origin: nothing, or what was spooled.
pub(crate) enum OriginBody {
    Empty,
    Spooled(SpooledBody),
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = SpoolError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SpoolError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Spooled(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Spooled(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Spooled(body) => body.size_hint(),
        }
    }
}

/// The idle connections of one worker to one origin.
pub(crate) struct Pool {
    connector: Connector,
    settings: Origin,
    idle: RefCell<Vec<(Sender, Instant)>>,
}

/// What an origin answered; the permit is held until the body ends or is dropped.
pub(crate) struct Exchange {
    pub(crate) head: http::response::Parts,
    pub(crate) body: ResponseBody,
}

impl Pool {
    /// A pool for `origin` without connections.
    ///
    /// # Errors
    /// [`OriginTlsError`] if its TLS settings cannot be used.
    pub(crate) fn new(origin: &Origin) -> Result<Self, OriginTlsError> {
        let connector = Connector::new(origin)?;
        Ok(Self { connector, settings: origin.clone(), idle: RefCell::new(Vec::new()) })
    }

    /// Sends one request and waits for the response head.
    ///
    /// A kept connection that turns out to be closed is replaced once without telling anybody: the
    /// request had not been read (RFC 9110 §9.2.2), or it is idempotent and has no body.
    ///
    /// # Errors
    /// [`OriginError`]; nothing is retried beyond that.
    pub(crate) async fn exchange(
        self: &Rc<Self>,
        mut permit: Permit,
        mut request: Request<OriginBody>,
        interim: Option<Interim>,
    ) -> Result<Exchange, OriginError> {
        let started = clock::now();
        let repeatable = is_repeatable(&request).then(|| clone_head(&request));
        for attempt in 0.. {
            let idle = if attempt == 0 { self.take_idle(started) } else { None };
            let (mut sender, reused) = match idle {
                Some(sender) => (sender, true),
                None => match self.connect().await {
                    Ok(sender) => (sender, false),
                    Err(error) => {
                        permit.note(error.outcome());
                        return Err(error);
                    }
                },
            };
            if let Some(tell) = &interim {
                let tell = tell.clone();
                hyper::ext::on_informational(&mut request, move |response| {
                    let mut copy = Response::new(());
                    *copy.status_mut() = response.status();
                    *copy.headers_mut() = response.headers().clone();
                    tell.tell(copy);
                });
            }
            // The time for the content comes on top: it is sent in the same breath.
            let content = request.body().size_hint().lower() / MIN_ORIGIN_BYTES_PER_SECOND;
            let limit = self.settings.header_timeout + Duration::from_secs(content);
            let answered = timeout(limit, sender.try_send_request(request)).await;
            let failed = match answered {
                Ok(Ok(response)) => {
                    let (head, incoming) = response.into_parts();
                    permit.note(if head.status.is_server_error() {
                        WorkOutcome::ServerError
                    } else {
                        WorkOutcome::Success
                    });
                    let body = ResponseBody {
                        incoming: Some(incoming),
                        sender: Some(sender),
                        pool: Rc::clone(self),
                        permit: Some(permit),
                        deadline: started + self.settings.total_timeout,
                    };
                    return Ok(Exchange { head, body });
                }
                Ok(Err(failed)) => failed,
                Err(_) => {
                    permit.note(WorkOutcome::TimedOut);
                    return Err(OriginError::Timeout { phase: "answer", limit });
                }
            };
            let mut failed = failed;
            request = match (failed.take_message(), &repeatable) {
                (Some(unsent), _) if reused => unsent,
                (None, Some(head)) if reused => clone_head(head),
                _ => {
                    permit.note(WorkOutcome::ServerError);
                    return Err(OriginError::Protocol(failed.into_error()));
                }
            };
        }
        unreachable!("the second attempt always uses a fresh connection and returns")
    }

    async fn connect(&self) -> Result<Sender, OriginError> {
        let limit = self.settings.connect_timeout;
        timeout(limit, self.connector.connect())
            .await
            .map_err(|_| OriginError::Timeout { phase: "accept a connection", limit })?
    }

    fn take_idle(&self, now: Instant) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        // Last in, first out: the rest grows old and is closed.
        while let Some((sender, since)) = idle.pop() {
            if now.saturating_since(since) <= self.settings.keep_alive && sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    fn keep(&self, sender: Sender) {
        let now = clock::now();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|(sender, since)| {
            now.saturating_since(*since) <= self.settings.keep_alive && !sender.is_closed()
        });
        if idle.len() < self.settings.max_idle {
            idle.push((sender, now));
        }
    }
}

fn is_repeatable(request: &Request<OriginBody>) -> bool {
    request.method().is_idempotent() && matches!(request.body(), OriginBody::Empty)
}

fn clone_head(request: &Request<OriginBody>) -> Request<OriginBody> {
    let mut copy = Request::new(OriginBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// A response body from an origin, read frame by frame. Dropping it early closes the connection;
/// reading it to its end gives the connection back to the pool.
pub(crate) struct ResponseBody {
    incoming: Option<Incoming>,
    sender: Option<Sender>,
    pool: Rc<Pool>,
    permit: Option<Permit>,
    deadline: Instant,
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl ResponseBody {
    /// The declared length, if there is one.
    pub(crate) fn length(&self) -> Option<u64> {
        self.incoming.as_ref().map_or(Some(0), |body| body.size_hint().exact())
    }

    /// The next piece; `None` at a complete end.
    ///
    /// # Errors
    /// [`OriginError`] when the origin breaks off, lies about its length, or stalls.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, OriginError> {
        let Some(incoming) = &mut self.incoming else { return Ok(None) };
        let idle = self.pool.settings.idle_timeout;
        let left = self.deadline.saturating_since(clock::now());
        let (limit, phase) = if left < idle {
            (left, "send the whole body")
        } else {
            (idle, "send more of the body")
        };
        let next = std::future::poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx));
        let frame =
            timeout(limit, next).await.map_err(|_| OriginError::Timeout { phase, limit })?;
        match frame {
            None => {
                self.finish();
                Ok(None)
            }
            Some(Err(broken)) => Err(OriginError::Protocol(broken)),
            Some(Ok(frame)) => Ok(Some(match frame.into_data() {
                Ok(data) => Chunk::Data(data),
                Err(frame) => Chunk::Trailers(frame.into_trailers().unwrap_or_default()),
            })),
        }
    }

    /// Gives the permit back before the end. A stream keeps its own: it takes nobody's turn.
    pub(crate) fn release_permit(&mut self) {
        if !self.permit.as_ref().is_some_and(Permit::is_stream) {
            self.permit = None;
        }
    }

    /// Moves the response from the limit to the lane of streams.
    ///
    /// # Errors
    /// [`Refused`] when that lane is full.
    pub(crate) fn become_stream(&mut self) -> Result<(), Refused> {
        self.permit.as_mut().map_or(Ok(()), Permit::become_stream)
    }

    /// The permit, to be kept for as long as what the connection has become lasts.
    pub(crate) fn into_permit(mut self) -> Option<Permit> {
        self.permit.take()
    }

    fn finish(&mut self) {
        self.incoming = None;
        self.permit = None;
        if let Some(mut sender) = self.sender.take() {
            let pool = Rc::clone(&self.pool);
            tokio::task::spawn_local(async move {
                // Ready again as soon as the connection has seen the end of the body.
                if timeout(READY_GRACE, sender.ready()).await.is_ok_and(|ready| ready.is_ok()) {
                    pool.keep(sender);
                }
            });
        }
    }
}

/// An origin that takes an upload more slowly than this is given up.
const MIN_ORIGIN_BYTES_PER_SECOND: u64 = 256 * 1024;
/// How long a connection may take to become reusable after a complete body.
const READY_GRACE: Duration = Duration::from_secs(1);
