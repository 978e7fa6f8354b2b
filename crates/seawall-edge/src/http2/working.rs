//! One HTTP/2 stream whose answer has to be waited for.
//!
//! Takes in the request's content, asks the origin, and sends the answer as fast as the peer's
//! windows, the egress pace and the origin allow. Each wait for the client has a deadline of its
//! own, so that one stream that moves does not hold others that stand still.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, StatusCode};
use seawall_cache::{MapFields, strip_hop_by_hop};
use seawall_model::{BodyLength, Cause, Instant, Method, Misbehaviour, Priority};

use super::incoming::Incoming;
use super::{HeldBytes, Session, response, send_paced};
use crate::answer::{Answer, AnswerBody, Broken};
use crate::clock;
use crate::fetch;
use crate::http1::body::status_of;
use crate::origin::{self, Chunk};
use crate::refusal;
use crate::serve::{self, Ask, Plan, Times};
use crate::slots::Slot;
use crate::spool::SpooledBody;
use crate::worker::PolicyRef;

/// Largest piece of a long body handed over at once.
const PIECE_BYTES: usize = 32 * 1024;

/// Counts a stream as waiting for something that is not the client, as long as it lives.
struct OursToDo<'a>(&'a Session);

impl<'a> OursToDo<'a> {
    fn new(session: &'a Session) -> Self {
        session.change_ours(|ours| ours + 1);
        Self(session)
    }
}

impl Drop for OursToDo<'_> {
    fn drop(&mut self) {
        self.0.change_ours(|ours| ours - 1);
    }
}

/// A stream whose answer has to be waited for.
pub(super) struct Working {
    pub(super) session: Rc<Session>,
    pub(super) policy: PolicyRef,
    pub(super) incoming: Incoming,
    pub(super) content: RecvStream,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) times: Times,
    /// Given back when all is done. `None` while the answer is read from disk.
    pub(super) held: Option<HeldBytes>,
}

impl Working {
    /// Sends an answer that is in hand.
    pub(super) async fn give(mut self, answer: Answer) {
        let slot = self.session.ctx.worker.slots.open_part();
        self.answer(&slot, answer).await;
    }

    /// Reads the answer from disk and sends it. The stream is counted once it waits for more than the
    /// disk: for the origin, which may be refused, or for the client, which is not.
    pub(super) async fn read(mut self, mut plan: Box<Plan>) {
        let read = {
            let Self { session, policy, incoming, respond, .. } = &mut self;
            let fields = MapFields(&incoming.headers);
            let ask = incoming.ask(&fields);
            let _ours = OursToDo::new(session);
            tokio::select! {
                biased;
                read = fetch::read(&session.ctx, policy, &mut plan, &ask) => read,
                _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
            }
        };
        let head_bytes = self.incoming.held_bytes();
        let Some(answer) = read else {
            self.held = self.session.hold_or_refuse(head_bytes, &mut self.respond);
            if self.held.is_some() {
                tokio::task::spawn_local(self.obtain(plan));
            }
            return;
        };
        self.held = self.session.hold(head_bytes);
        if self.held.is_some() {
            tokio::task::spawn_local(self.give(answer));
            return;
        }
        let Self { session, policy, incoming, respond, times, .. } = self;
        let fields = MapFields(&incoming.headers);
        send_paced(&session, &policy, &incoming.ask(&fields), answer, respond, times);
    }

    /// Gets the answer and sends it. A request may wait here for long and by the dozen: its parts are
    /// used where they are, because a future has room for each place that something is moved to, and
    /// the phases after the waiting are boxed.
    pub(super) async fn obtain(mut self, plan: Box<Plan>) {
        let slot = self.session.ctx.worker.slots.open_part();
        let answer = {
            let Self { session, policy, incoming, content, respond, .. } = &mut self;
            let fields = MapFields(&incoming.headers);
            let ask = incoming.ask(&fields);
            let mut stream = Exchange { session, slot: &slot };
            let spooled = if ask.body == BodyLength::None {
                Ok(None)
            } else {
                if incoming.expects_continue() {
                    let _ = respond.send_informational(interim(StatusCode::CONTINUE));
                }
                stream.take_in((policy, &plan), &ask, content).await
            };
            match spooled {
                Err(Some(answer)) => answer,
                Err(None) => return,
                Ok(spooled) => {
                    let headers = Rc::clone(&incoming.headers);
                    match stream.ask_origin((policy, plan), &ask, (headers, spooled), respond).await
                    {
                        Some(answer) => Box::new(answer),
                        None => return,
                    }
                }
            }
        };
        Box::pin(self.answer(&slot, *answer)).await;
    }

    async fn answer(&mut self, slot: &Slot, mut answer: Answer) {
        let Self { session, policy, incoming, respond, times, .. } = self;
        let ctx = Rc::clone(&session.ctx);
        let fields = MapFields(&incoming.headers);
        let ask = incoming.ask(&fields);
        let mut stream = Exchange { session, slot };
        let mut is_last = ask.method == Method::Head || matches!(answer.body, AnswerBody::None);
        if !is_last && answer.body.length() == Some(0) {
            // Read to its end, so that the origin's connection is kept.
            is_last = matches!(stream.read_end(&mut answer.body, respond).await, Some(Ok(None)));
        }
        let Ok(mut out) = respond.send_response(response(&answer, ask.method), is_last) else {
            return;
        };
        let sent = if is_last { 0 } else { stream.send(&mut answer.body, &mut out).await };
        serve::record(&ctx, policy, &ask, &answer, sent, *times);
    }
}

/// Sends a body of which nothing but the body is left.
pub(super) async fn pour(session: Rc<Session>, mut body: AnswerBody, mut out: SendStream<Bytes>) {
    let slot = session.ctx.worker.slots.open_part();
    Exchange { session: &session, slot: &slot }.send(&mut body, &mut out).await;
}

fn interim(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

/// What a stream needs in all of its phases.
struct Exchange<'a> {
    session: &'a Session,
    slot: &'a Slot,
}

impl Exchange<'_> {
    /// Waits for the origin, passing on interim responses; `None` if the client reset the stream.
    async fn ask_origin(
        &mut self,
        (policy, plan): (&PolicyRef, Box<Plan>),
        ask: &Ask<'_>,
        (headers, spooled): (Rc<HeaderMap>, Option<SpooledBody>),
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Answer> {
        let _ours = OursToDo::new(self.session);
        let (tell, mut told) = origin::interim();
        let ctx = &self.session.ctx;
        let answer = fetch::answer(ctx, policy, plan, ask, headers, spooled, Some(tell));
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                biased;
                mut response = told.next() => {
                    // RFC 9113 §8.2.2: these are malformed in HTTP/2.
                    strip_hop_by_hop(response.headers_mut());
                    let _ = respond.send_informational(response);
                }
                answer = &mut answer => return Some(answer),
                _ = poll_fn(|cx| respond.poll_reset(cx)) => return None,
            }
        }
    }

    /// Takes in the whole content of a request, at the minimum rate on average after the grace.
    /// The error is the answer to give instead, or nothing if the stream is gone.
    async fn take_in(
        &mut self,
        (policy, plan): (&PolicyRef, &Plan),
        ask: &Ask<'_>,
        content: &mut RecvStream,
    ) -> Result<Option<SpooledBody>, Option<Box<Answer>>> {
        let ctx = &self.session.ctx;
        let limits = &policy.config.limits;
        let rate = limits.min_body_bytes_per_second.max(1);
        let refuse = |status, cause| Some(Box::new(refusal::failed(status, cause, ask)));
        let most = policy.table.max_body_bytes(Some(plan.site), ask.path);
        let mut writer = ctx.worker.shared.spool.writer(most);
        let started = clock::now();
        let slow = |_| {
            ctx.noticed(Misbehaviour::SlowContent);
            refuse(408, Cause::ClientTimeout)
        };
        loop {
            let earned = std::time::Duration::from_secs(writer.received_bytes() / rate);
            let due = started + limits.body_grace + earned;
            let next = self.until(due, |cx| content.poll_data(cx)).await.map_err(slow)?;
            let Some(piece) = next else { break };
            // A reset, a broken connection, or a length that was not true: nobody reads an answer.
            let piece = piece.map_err(|_| None)?;
            let len = piece.len();
            ctx.worker.metrics.bytes_received(len as u64);
            self.session.count_content(len);
            if let Err(error) = writer.push(piece).await {
                return Err(refuse(status_of(&error), error.cause()));
            }
            let _ = content.flow_control().release_capacity(len);
        }
        let due = clock::now() + limits.body_grace;
        let trailers = self.until(due, |cx| content.poll_trailers(cx)).await.map_err(slow)?;
        let trailers = trailers.map_err(|_| None)?;
        match writer.finish(trailers).await {
            Ok(spooled) => Ok(Some(spooled)),
            Err(error) => Err(refuse(status_of(&error), error.cause())),
        }
    }

    /// Sends a body; returns the bytes sent.
    async fn send(&mut self, body: &mut AnswerBody, stream: &mut SendStream<Bytes>) -> u64 {
        let priority = body.priority();
        let mut sent = 0;
        loop {
            // Reset by the client: whoever produces the body learns it by being dropped.
            let Some(next) = self.next(body, stream).await else { return sent };
            match next {
                Ok(Some(Chunk::Data(data))) => {
                    let len = data.len() as u64;
                    if self.send_data(data, priority, stream).await.is_err() {
                        return sent;
                    }
                    sent += len;
                }
                Ok(Some(Chunk::Trailers(mut trailers))) => {
                    strip_hop_by_hop(&mut trailers);
                    let _ = stream.send_trailers(trailers);
                    return sent;
                }
                Ok(None) => {
                    let _ = stream.send_data(Bytes::new(), true);
                    return sent;
                }
                Err(_) => {
                    // Not END_STREAM: the reader must not take it for complete.
                    stream.send_reset(Reason::INTERNAL_ERROR);
                    return sent;
                }
            }
        }
    }

    /// Reads the end of a body known to be empty; `None` if the client reset the stream meanwhile.
    async fn read_end(
        &self,
        body: &mut AnswerBody,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Result<Option<Chunk>, Broken>> {
        let _ours = OursToDo::new(self.session);
        tokio::select! {
            biased;
            next = body.next() => Some(next),
            _ = poll_fn(|cx| respond.poll_reset(cx)) => None,
        }
    }

    /// The next piece of the body; `None` if the client reset the stream meanwhile.
    async fn next(
        &mut self,
        body: &mut AnswerBody,
        stream: &mut SendStream<Bytes>,
    ) -> Option<Result<Option<Chunk>, Broken>> {
        let _ours = OursToDo::new(self.session);
        tokio::select! {
            biased;
            next = body.next() => Some(next),
            _ = poll_fn(|cx| stream.poll_reset(cx)) => None,
        }
    }

    async fn send_data(
        &mut self,
        mut data: Bytes,
        priority: Priority,
        stream: &mut SendStream<Bytes>,
    ) -> io::Result<()> {
        let ctx = &self.session.ctx;
        let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
        while !data.is_empty() {
            let mut piece = data.split_to(data.len().min(PIECE_BYTES));
            // Windows opened byte by byte do not postpone the end: the piece has to be taken.
            let due = clock::now() + ctx.stall_limit(piece.len());
            while !piece.is_empty() {
                stream.reserve_capacity(piece.len());
                let granted = self.until(due, |cx| {
                    if stream.poll_reset(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    Poll::Ready(ready!(stream.poll_capacity(cx)).and_then(Result::ok))
                });
                let granted = match granted.await {
                    Ok(granted) => granted.ok_or_else(gone)?,
                    Err(Expired) => {
                        ctx.noticed(Misbehaviour::SlowReader);
                        stream.send_reset(Reason::CANCEL);
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                };
                let part = piece.split_to(granted.min(piece.len()));
                {
                    let _ours = OursToDo::new(self.session);
                    let is_our_turn = tokio::select! {
                        biased;
                        is_our_turn = ctx.pace(part.len(), priority) => is_our_turn,
                        _ = poll_fn(|cx| stream.poll_reset(cx)) => false,
                    };
                    if !is_our_turn {
                        return Err(gone());
                    }
                }
                ctx.worker.metrics.bytes_sent(part.len() as u64);
                stream.send_data(part, false).map_err(|_| gone())?;
            }
        }
        Ok(())
    }

    /// Waits for the client until `due`.
    async fn until<T>(
        &self,
        due: Instant,
        mut poll: impl FnMut(&mut std::task::Context<'_>) -> Poll<T>,
    ) -> Result<T, Expired> {
        let done = poll_fn(|cx| {
            // An interrupt may be left from an earlier wait that ended just in time.
            while self.slot.poll(cx).is_some() {
                if clock::now() >= due {
                    return Poll::Ready(Err(Expired));
                }
            }
            let polled = poll(cx);
            if polled.is_pending() {
                self.slot.arm(due);
            }
            polled.map(Ok)
        })
        .await;
        self.slot.disarm();
        done
    }
}

/// The client let a deadline pass.
struct Expired;
