//! HTTP/2 for clients: the `h2` library over gathered writes.
//!
//! The library owns framing, flow control and HPACK; this module drives it, answers held pages
//! without a task per stream, and writes what a whole turn produced with one system call. Frames
//! are observed in both directions by `seawall-wire`. How long a peer may do nothing is kept in
//! `patience`, the checks of a request head in `incoming`, and what a single stream waits for in
//! `working`.

mod incoming;
mod patience;
mod working;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use seawall_cache::MapFields;
use seawall_decide::MemoryStep;
use seawall_model::{ConnectionSignal, Limits, Method, Misbehaviour};
use seawall_wire::http2::{FrameObserver, Preface};

use self::incoming::Incoming;
use self::patience::{Patience, Waiting};
use self::working::Working;
use crate::answer::{Answer, AnswerBody, AnswerHead};
use crate::clock;
use crate::policy::Policy;
use crate::serve::{self, Ask, Look, Times};
use crate::slots::{Interrupt, Slot};
use crate::stream::{Coalesce, Coalescer, Stream, coalesce};
use crate::worker::{ClientConn, PolicyRef};

type Io = Coalesce<Stream>;

/// Bodies up to this size are handed over whole; the library keeps a reference, not a copy.
const INLINE_BYTES: usize = 256 * 1024;
/// A request whose answer is read from disk is not counted meanwhile if its head is no larger: a
/// browser's with a cookie of 3 KiB.
const READING_BYTES: usize = 8 * 1024;
/// Streams that were reset and whose last frames may still arrive.
const MAX_RESET_STREAMS: usize = 32;
/// Streams reset before we saw them, in one read: more than fit, since counting resets is the frame
/// observer's business.
const MAX_UNSEEN_RESETS: usize = 128;
/// Bytes of one stream that wait for the peer's window.
const MAX_SEND_BYTES: usize = 256 * 1024;
/// Window for request content per stream and connection: a spool reads it at once.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How long a peer has for the round trip that ends a connection without loss (RFC 9113 §6.8).
const GOODBYE: Duration = Duration::from_secs(1);
/// How long and how much we listen after our last word.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;

/// What the streams of a connection share.
struct Session {
    ctx: Rc<ClientConn>,
    slot: Rc<Slot>,
    preface: Cell<Option<u64>>,
    /// Resets that the watch was told of.
    resets: Cell<u64>,
    patience: RefCell<Patience>,
    /// Streams that wait for the origin or the link, not for the client.
    ours: Cell<usize>,
    /// Content bytes received and wanted.
    content: Cell<u64>,
    /// As the last turn found them: streams open, output that the socket did not take, content
    /// and head bytes handed to the socket.
    seen: Cell<Seen>,
    /// We have said goodbye: what is under way is finished.
    leaving: Cell<bool>,
    /// We have said the last word: nothing is.
    closing: Cell<bool>,
    /// Bytes held for streams under way, what they may be, and what each has beside its head.
    held_bytes: Cell<usize>,
    max_held_bytes: usize,
    stream_bytes: usize,
    /// Streams refused because of that, and how many a client may have sent before it knew.
    refused: Cell<usize>,
    max_refused: usize,
    /// Refusals for want of room whose resets the observer has yet to be told of.
    unexcused: Cell<usize>,
    /// The last stream was refused because the machine's memory is short.
    was_short: Cell<bool>,
}

/// The state of the connection after a turn.
#[derive(Clone, Copy, Default)]
struct Seen {
    has_streams: bool,
    is_stalled: bool,
    sent: u64,
}

impl Session {
    fn new(ctx: Rc<ClientConn>, slot: Rc<Slot>, patience: Patience, limits: &Limits) -> Rc<Self> {
        Rc::new(Self {
            ctx,
            slot,
            preface: Cell::new(None),
            resets: Cell::new(0),
            patience: RefCell::new(patience),
            ours: Cell::new(0),
            content: Cell::new(0),
            seen: Cell::default(),
            leaving: Cell::new(false),
            closing: Cell::new(false),
            held_bytes: Cell::new(0),
            max_held_bytes: limits.http2.max_held_bytes,
            stream_bytes: limits.http2.stream_bytes,
            refused: Cell::new(0),
            max_refused: limits.max_streams as usize,
            unexcused: Cell::new(0),
            was_short: Cell::new(false),
        })
    }

    /// Takes room for a stream and its request head as long as the value returned lives; `None`:
    /// there is none.
    fn hold(self: &Rc<Self>, head_bytes: usize) -> Option<HeldBytes> {
        let bytes = head_bytes + self.stream_bytes;
        let held = self.held_bytes.get() + bytes;
        if held > self.max_held_bytes {
            return None;
        }
        self.held_bytes.set(held);
        Some(HeldBytes { session: Rc::clone(self), bytes })
    }

    /// The same for a stream that has to wait for others, with its refusal. Nobody is blamed for the
    /// first: it may be a page with many slow pictures.
    fn hold_or_refuse(
        self: &Rc<Self>,
        head_bytes: usize,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<HeldBytes> {
        if self.lacks_memory() {
            self.ctx.worker.shared.memory.streams_refused.fetch_add(1, Ordering::Relaxed);
            self.was_short.set(true);
        } else if let Some(held) = self.hold(head_bytes) {
            return Some(held);
        } else {
            if self.refused.replace(self.refused.get() + 1) == 0 {
                self.ctx.noticed(Misbehaviour::Http2HeldBytes);
            }
            self.unexcused.set(self.unexcused.get() + 1);
        }
        // RFC 9113 §8.7: nothing was done yet, so it may be repeated.
        respond.send_reset(Reason::REFUSED_STREAM);
        None
    }

    /// Tells the observer of resets that are none of the client's doing, before they are written.
    fn excuse(&self, out: &Coalescer<Stream>) {
        if self.was_short.take() {
            out.excuse_reset();
        }
        for _ in 0..self.unexcused.take() {
            out.excuse_refusal();
        }
    }

    /// Whether memory is short and this connection holds its share of it in streams that wait. They
    /// may be repeated, on this connection too, once others have ended (RFC 9113 §8.7).
    fn lacks_memory(&self) -> bool {
        let is_short = self.ctx.worker.shared.memory.step() >= MemoryStep::Short;
        is_short && self.held_bytes.get() > self.max_held_bytes / 16
    }

    fn count_content(&self, bytes: usize) {
        self.content.set(self.content.get() + bytes as u64);
    }

    /// Tells the watch of resets since the last time: the client's, and those that it provoked.
    fn tell_resets(&self, out: &Coalescer<Stream>) {
        let all = out.observe(|seen| seen.received_counts().resets + seen.sent_counts().resets);
        let new = all.saturating_sub(self.resets.replace(all));
        self.ctx.worker.watch.signals(ConnectionSignal::Reset, new);
    }

    /// A stream begins or ends to wait for something that is not the client.
    fn change_ours(&self, change: impl FnOnce(usize) -> usize) {
        self.ours.set(change(self.ours.get()));
        self.account();
    }

    /// Settles whose time has passed since the last change and whose passes from now on.
    fn account(&self) {
        let Seen { has_streams, is_stalled, sent } = self.seen.get();
        let waiting = match (is_stalled, has_streams, self.ours.get()) {
            (true, _, _) | (false, true, 0) => Waiting::Client,
            (false, _, 1..) => Waiting::Us,
            (false, false, 0) => Waiting::Request,
        };
        let moved = sent + self.content.get();
        self.patience.borrow_mut().update(clock::now(), waiting, moved);
    }

    /// Arms the slot by what is due from the client.
    fn arm(&self) {
        self.slot.set_standing(self.ctx.standing.get());
        let patience = self.patience.borrow();
        match (patience.deadline(), patience.waiting(), self.leaving.get()) {
            (Some(due), Waiting::Request, false) => self.slot.arm_idle(due),
            // We have said goodbye and nothing is under way.
            (Some(due), Waiting::Request, true) => self.slot.arm(due.min(clock::now() + GOODBYE)),
            (Some(due), _, _) => self.slot.arm(due),
            (None, _, _) => self.slot.disarm(),
        }
    }

    /// What a passed deadline means, if it still stands.
    fn expired(&self) -> Option<Turn> {
        self.account();
        let patience = self.patience.borrow();
        let is_due = patience.deadline().is_some_and(|due| due <= clock::now());
        match patience.waiting() {
            _ if self.leaving.get() && patience.waiting() == Waiting::Request => Some(Turn::End),
            Waiting::Request if is_due => Some(Turn::Leave),
            Waiting::Client if is_due => Some(Turn::Stalled),
            _ => None,
        }
    }
}

/// Room that a stream takes; given back when dropped.
struct HeldBytes {
    session: Rc<Session>,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.session.held_bytes.set(self.session.held_bytes.get() - self.bytes);
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: Stream, ctx: Rc<ClientConn>) {
    let slot = ctx.worker.slots.open();
    let policy = ctx.worker.policy();
    let limits = &policy.config.limits;
    let (io, out) = coalesce(stream, FrameObserver::new(limits.http2));
    slot.arm(clock::now() + limits.header_timeout);
    let mut by_library = None;
    if let Some(connection) = shake(&policy, io, &out, &slot).await {
        let patience = Patience::new(clock::now(), limits);
        let session = Session::new(Rc::clone(&ctx), Rc::clone(&slot), patience, limits);
        drop(policy);
        by_library = converse(connection, &out, &session).await;
    }
    if let Some(misbehaviour) = out.observe(FrameObserver::misbehaviour).or(by_library) {
        ctx.misbehaved(misbehaviour);
    }
    linger(&out, &slot).await;
}

/// Takes and answers requests until either side has said goodbye. Returns what the library ended it for,
/// if it was the first to see it.
async fn converse(
    mut connection: Connection<Io, Bytes>,
    out: &Coalescer<Stream>,
    session: &Rc<Session>,
) -> Option<Misbehaviour> {
    loop {
        match poll_fn(|cx| turn(&mut connection, out, session, cx)).await {
            Turn::Leave if !session.leaving.replace(true) => connection.graceful_shutdown(),
            Turn::Misbehaved(misbehaviour) if !session.closing.replace(true) => {
                session.leaving.set(true);
                if misbehaviour == Misbehaviour::Http2HeldBytes {
                    session.ctx.misbehaved(misbehaviour);
                }
                connection.abrupt_shutdown(match misbehaviour {
                    Misbehaviour::Http2Frame => Reason::PROTOCOL_ERROR,
                    _ => Reason::ENHANCE_YOUR_CALM,
                });
            }
            Turn::Stalled if !session.closing.replace(true) => {
                session.ctx.misbehaved(Misbehaviour::Http2Stalled);
                session.leaving.set(true);
                connection.abrupt_shutdown(Reason::NO_ERROR);
            }
            // Of its reasons to ask for calm only resets come before ours: by the dozen in one read.
            Turn::Calmed => {
                session.tell_resets(out);
                return Some(Misbehaviour::Http2Resets);
            }
            Turn::Leave | Turn::Misbehaved(_) | Turn::Stalled | Turn::End => return None,
        }
    }
}

/// Sends what is left, says that no more comes, and reads a little of what the client still sends:
/// closing a socket with unread bytes resets it and destroys a GOAWAY on its way.
async fn linger(out: &Coalescer<Stream>, slot: &Slot) {
    slot.arm(clock::now() + LINGER);
    let mut left = LINGER_BYTES;
    poll_fn(|cx| {
        if slot.poll(cx).is_some() {
            return Poll::Ready(());
        }
        out.poll_end(&mut left, cx)
    })
    .await;
}

async fn shake(
    policy: &Policy,
    io: Io,
    out: &Coalescer<Stream>,
    slot: &Slot,
) -> Option<Connection<Io, Bytes>> {
    let limits = &policy.config.limits;
    let handshake = Builder::new()
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(header_list_bytes(limits.max_head_bytes))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_send_buffer_size(MAX_SEND_BYTES)
        .handshake::<_, Bytes>(io);
    let mut handshake = std::pin::pin!(handshake);
    poll_fn(|cx| {
        if slot.poll(cx).is_some() {
            return Poll::Ready(None);
        }
        let polled = handshake.as_mut().poll(cx);
        match out.flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            _ => polled.map(Result::ok),
        }
    })
    .await
}

/// The library answers a larger list by itself, with a bare 431. Twice our own limit, so that most
/// readers with too many cookies get a page that says so.
fn header_list_bytes(max_head_bytes: usize) -> u32 {
    u32::try_from(max_head_bytes.saturating_mul(2)).unwrap_or(u32::MAX)
}

enum Turn {
    /// Say goodbye: draining, idle for too long, out of room or worn out.
    Leave,
    /// The client neither takes what it asked for nor sends what it announced.
    Stalled,
    Misbehaved(Misbehaviour),
    /// The library ended the connection for a flood of its own counting.
    Calmed,
    End,
}

/// One turn of the connection: take requests as long as there are any, then write once.
fn turn(
    connection: &mut Connection<Io, Bytes>,
    out: &Coalescer<Stream>,
    session: &Rc<Session>,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    // Until there is no interrupt: only then the slot knows whom to wake.
    while let Some(interrupt) = session.slot.poll(cx) {
        match interrupt {
            Interrupt::Drained => return Poll::Ready(Turn::Leave),
            Interrupt::Shed => return Poll::Ready(Turn::Stalled),
            Interrupt::Expired => {
                if let Some(end) = session.expired() {
                    return Poll::Ready(end);
                }
            }
        }
    }
    if session.ctx.worker.is_draining() && !session.leaving.get() {
        return Poll::Ready(Turn::Leave);
    }
    out.tick(clock::now());
    out.admit_block();
    loop {
        session.excuse(out);
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                if session.preface.get().is_none() {
                    session.preface.set(out.observe(|seen| seen.preface().map(Preface::hash)));
                }
                session.patience.borrow_mut().request(clock::now());
                begin(session, request, respond);
            }
            Poll::Ready(end) => return Poll::Ready(ended(end.and_then(Result::err), session)),
            // All that was read has been looked at. A known flood is not read to its end.
            Poll::Pending if out.was_held_back() => {
                let is_flood = out.observe(FrameObserver::misbehaviour).is_some();
                if is_flood && !session.closing.get() {
                    break;
                }
                out.admit_block();
            }
            Poll::Pending => break,
        }
    }
    session.tell_resets(out);
    if let Some(misbehaviour) = out.observe(FrameObserver::misbehaviour) {
        return Poll::Ready(Turn::Misbehaved(misbehaviour));
    }
    if session.refused.get() > session.max_refused {
        return Poll::Ready(Turn::Misbehaved(Misbehaviour::Http2HeldBytes));
    }
    let is_over = session.refused.get() > 0 || out.observe(FrameObserver::is_worn_out);
    if is_over && !session.leaving.get() {
        return Poll::Ready(Turn::Leave);
    }
    let is_stalled = match out.flush(cx) {
        Poll::Ready(Ok(())) => false,
        Poll::Ready(Err(_)) => return Poll::Ready(Turn::End),
        Poll::Pending => true,
    };
    let sent = out.observe(|seen| seen.sent_counts().data_bytes + seen.sent_counts().header_bytes);
    session.seen.set(Seen { has_streams: connection.has_streams(), is_stalled, sent });
    session.account();
    session.arm();
    Poll::Pending
}

/// How the library ended the connection.
fn ended(error: Option<h2::Error>, session: &Session) -> Turn {
    let is_calmed = error.is_some_and(|error| {
        error.is_library() && error.reason() == Some(Reason::ENHANCE_YOUR_CALM)
    });
    if is_calmed && !session.closing.get() { Turn::Calmed } else { Turn::End }
}

/// Answers a request at once if the answer is in hand, else starts a task for it.
fn begin(session: &Rc<Session>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let ctx = &session.ctx;
    let policy = ctx.worker.policy();
    let times = Times::read(&ctx.worker);
    let (head, content) = request.into_parts();
    let mut incoming = match Incoming::new(head, &content, session.preface.get()) {
        Ok(incoming) => incoming,
        Err(misbehaviour) => {
            // RFC 9113 §8.1.1: a malformed request is a stream error.
            ctx.noticed(misbehaviour);
            return respond.send_reset(Reason::PROTOCOL_ERROR);
        }
    };
    let fields = MapFields(&incoming.headers);
    let ask = incoming.ask(&fields);
    match serve::look(ctx, &policy, &ask, times) {
        Look::Answer(answer) if is_simple(ctx, &answer) => {
            send_whole(ctx, &policy, &ask, &answer, respond, times);
        }
        Look::Answer(answer) => {
            // What is in hand is never refused: without room for the request, it is let go instead.
            let room =
                if session.lacks_memory() { None } else { session.hold(incoming.held_bytes()) };
            let Some(held) = room else {
                return send_paced(session, &policy, &ask, answer, respond, times);
            };
            incoming.settle();
            let (session, held) = (Rc::clone(session), Some(held));
            let stream = Working { session, policy, incoming, content, respond, times, held };
            drop(tokio::task::spawn_local(stream.give(answer)));
        }
        Look::Origin(plan) => {
            let is_reading = plan.disk.is_some() && incoming.held_bytes() <= READING_BYTES;
            let held = if is_reading {
                None
            } else {
                let held = session.hold_or_refuse(incoming.held_bytes(), &mut respond);
                if held.is_none() {
                    return;
                }
                held
            };
            incoming.settle();
            let session = Rc::clone(session);
            let stream = Working { session, policy, incoming, content, respond, times, held };
            drop(if is_reading {
                tokio::task::spawn_local(stream.read(plan))
            } else {
                tokio::task::spawn_local(stream.obtain(plan))
            });
        }
    }
}

/// Sends an answer that is in hand as fast as the client and the pace of the link allow, and keeps
/// nothing of the request meanwhile: what the log says of it is said now.
fn send_paced(
    session: &Rc<Session>,
    policy: &PolicyRef,
    ask: &Ask<'_>,
    answer: Answer,
    mut respond: SendResponse<Bytes>,
    times: Times,
) {
    let len = if ask.method == Method::Head { 0 } else { answer.body.length().unwrap_or(0) };
    serve::record(&session.ctx, policy, ask, &answer, len, times);
    let response = response(&answer, ask.method);
    if let Ok(stream) = respond.send_response(response, len == 0)
        && len > 0
    {
        let body = answer.body;
        drop(tokio::task::spawn_local(working::pour(Rc::clone(session), body, stream)));
    }
}

fn is_simple(ctx: &ClientConn, answer: &Answer) -> bool {
    let is_small = match &answer.body {
        AnswerBody::None => true,
        AnswerBody::Whole(bytes) => bytes.len() <= INLINE_BYTES,
        _ => false,
    };
    is_small && ctx.worker.shared.pacer.is_none()
}

fn send_whole(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    ask: &Ask<'_>,
    answer: &Answer,
    mut respond: SendResponse<Bytes>,
    times: Times,
) {
    let body = match &answer.body {
        AnswerBody::Whole(bytes) if ask.method != Method::Head => bytes.clone(),
        _ => Bytes::new(),
    };
    let sent = body.len() as u64;
    let response = response(answer, ask.method);
    if let Ok(mut stream) = respond.send_response(response, body.is_empty())
        && !body.is_empty()
    {
        let _ = stream.send_data(body, true);
    }
    ctx.worker.metrics.bytes_sent(sent);
    serve::record(ctx, policy, ask, answer, sent, times);
}

fn response(answer: &Answer, method: Method) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    match &answer.head {
        AnswerHead::Held { representation, age_s, cache_status } => {
            *headers = representation.headers().clone();
            headers.insert(HeaderName::from_static("age"), HeaderValue::from(*age_s));
            if let Ok(value) = HeaderValue::from_bytes(cache_status.as_bytes()) {
                headers.append(HeaderName::from_static("cache-status"), value);
            }
        }
        AnswerHead::Prepared(prepared) => *headers = prepared.fields.clone(),
        AnswerHead::Map(map) => {
            *headers = map.clone();
            let has_content = method != Method::Head && !matches!(answer.status, 204 | 304);
            if has_content && let Some(length) = answer.body.length() {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
    }
    response
}
