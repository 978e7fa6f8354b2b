//! HTTP/2 for clients: the `h2` library over gathered writes.
//!
//! The library owns framing, flow control and HPACK; this module drives it, answers held pages
//! without a task per stream, and writes what a whole turn produced with one system call. Frames
//! are observed in both directions by `seawall-wire`.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use seawall_cache::MapFields;
use seawall_model::{BodyLength, Cause, HttpVersion, Method, Misbehaviour, Priority};
use seawall_wire::http2::{FrameObserver, ObserverLimits, Preface};
use tokio::sync::mpsc;

use crate::answer::{Answer, AnswerBody, AnswerHead};
use crate::clock;
use crate::fetch;
use crate::http1::body::status_of;
use crate::origin::Chunk;
use crate::policy::Policy;
use crate::refusal;
use crate::serve::{self, Ask, Look, Plan, Times};
use crate::slots::{Interrupt, Slot};
use crate::spool::SpooledBody;
use crate::stream::{Coalesce, Coalescer, Stream, coalesce};
use crate::worker::{ClientConn, PolicyRef};

type Io = Coalesce<Stream>;

/// Bodies up to this size are handed over whole; the library keeps a reference, not a copy.
const INLINE_BYTES: usize = 256 * 1024;
/// Streams that were reset and whose last frames may still arrive.
const MAX_RESET_STREAMS: usize = 32;
/// Bytes of one stream that wait for the peer's window.
const MAX_SEND_BYTES: usize = 256 * 1024;
/// Window for request content per stream and connection: a spool reads it at once.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Largest piece of a long body handed over at once.
const PIECE_BYTES: usize = 32 * 1024;

/// What the streams of a connection share.
struct Session {
    ctx: Rc<ClientConn>,
    slot: Rc<Slot>,
    active: Cell<usize>,
    preface: Cell<Option<u64>>,
}

/// Counts a stream as long as it is worked on.
struct Active(Rc<Session>);

impl Active {
    fn new(session: &Rc<Session>) -> Self {
        session.active.set(session.active.get() + 1);
        Self(Rc::clone(session))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get() - 1);
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(stream: Stream, ctx: Rc<ClientConn>) {
    let slot = ctx.worker.slots.open();
    let policy = ctx.worker.policy();
    let limits = &policy.config.limits;
    let (io, out) = coalesce(stream, FrameObserver::new(ObserverLimits::default()));
    slot.arm(clock::now() + limits.header_timeout);
    let Some(mut connection) = shake(&policy, io, &out, &slot).await else { return };
    drop(policy);
    let session = Rc::new(Session { ctx, slot, active: Cell::new(0), preface: Cell::new(None) });
    let mut leaving = false;
    loop {
        let next = poll_fn(|cx| turn(&mut connection, &out, &session, cx)).await;
        match next {
            Turn::Request(request, respond) => {
                if session.preface.get().is_none() {
                    session.preface.set(out.observe(|seen| seen.preface().map(Preface::hash)));
                }
                begin(&session, *request, respond);
            }
            Turn::Leave if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
            }
            Turn::Misbehaved(misbehaviour) if !leaving => {
                leaving = true;
                session.ctx.worker.metrics.misbehaved(misbehaviour);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            Turn::Leave | Turn::Misbehaved(_) | Turn::End => return,
        }
    }
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
        .max_header_list_size(u32::try_from(limits.max_head_bytes).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_reset_streams(MAX_RESET_STREAMS)
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

enum Turn {
    Request(Box<Request<RecvStream>>, SendResponse<Bytes>),
    /// Say goodbye: draining, or idle for too long.
    Leave,
    Misbehaved(Misbehaviour),
    End,
}

/// One turn of the connection: take requests as long as there are any, then write once.
fn turn(
    connection: &mut Connection<Io, Bytes>,
    out: &Coalescer<Stream>,
    session: &Session,
    cx: &mut Context<'_>,
) -> Poll<Turn> {
    match session.slot.poll(cx) {
        // Nothing moved for the idle time-out, with or without open streams.
        Some(Interrupt::Expired | Interrupt::Drained) => return Poll::Ready(Turn::Leave),
        None => {}
    }
    match connection.poll_accept(cx) {
        Poll::Ready(Some(Ok((request, respond)))) => {
            return Poll::Ready(Turn::Request(Box::new(request), respond));
        }
        Poll::Ready(Some(Err(_)) | None) => {
            // A last GOAWAY may be gathered and unsent.
            let _ = out.flush(cx);
            return Poll::Ready(Turn::End);
        }
        Poll::Pending => {}
    }
    if let Some(misbehaviour) = out.observe(FrameObserver::misbehaviour) {
        return Poll::Ready(Turn::Misbehaved(misbehaviour));
    }
    if let Poll::Ready(Err(_)) = out.flush(cx) {
        return Poll::Ready(Turn::End);
    }
    let at = clock::now() + session.ctx.idle_timeout();
    if session.active.get() == 0 {
        session.slot.arm_idle(at);
    } else {
        session.slot.arm(at);
    }
    Poll::Pending
}

/// Answers a request at once if the answer is in hand, else starts a task for it.
fn begin(session: &Rc<Session>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let ctx = &session.ctx;
    let policy = ctx.worker.policy();
    let times = Times::read(&ctx.worker);
    let (head, content) = request.into_parts();
    let incoming = match Incoming::new(head, &content, session.preface.get()) {
        Ok(incoming) => incoming,
        Err(misbehaviour) => {
            // RFC 9113 §8.1.1: a malformed request is a stream error.
            ctx.worker.metrics.misbehaved(misbehaviour);
            return respond.send_reset(Reason::PROTOCOL_ERROR);
        }
    };
    let fields = MapFields(&incoming.headers);
    let ask = incoming.ask(&fields);
    match serve::look(ctx, &policy, &ask, times) {
        Look::Answer(answer) if is_simple(ctx, &answer) => {
            send_whole(ctx, &policy, &ask, &answer, respond, times);
        }
        look => {
            let stream =
                Working { active: Active::new(session), policy, incoming, content, respond, times };
            tokio::task::spawn_local(stream.run(look));
        }
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

/// A request head, checked and owned.
struct Incoming {
    method: http::Method,
    authority: String,
    host: String,
    path: Bytes,
    query: Option<Bytes>,
    headers: HeaderMap,
    head_bytes: usize,
    body: BodyLength,
    preface: Option<u64>,
}

impl Incoming {
    fn new(
        head: http::request::Parts,
        content: &RecvStream,
        preface: Option<u64>,
    ) -> Result<Self, Misbehaviour> {
        let authority = match head.uri.authority() {
            Some(authority) => authority.as_str().to_owned(),
            None => {
                let host = head.headers.get(HOST).ok_or(Misbehaviour::Host)?;
                host.to_str().map_err(|_| Misbehaviour::Host)?.to_owned()
            }
        };
        // RFC 9113 §8.3.1: Host and :authority must not disagree, and there is one Host.
        let mut hosts = head.headers.get_all(HOST).iter();
        if let Some(host) = hosts.next()
            && (hosts.next().is_some()
                || !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes()))
        {
            return Err(Misbehaviour::HostMismatch);
        }
        if authority.contains('@') {
            return Err(Misbehaviour::Host);
        }
        let parsed: http::uri::Authority = authority.parse().map_err(|_| Misbehaviour::Host)?;
        let host = parsed.host().trim_end_matches('.').to_ascii_lowercase();
        let (path, query) = match head.uri.path_and_query() {
            Some(target) => (
                Bytes::copy_from_slice(target.path().as_bytes()),
                target.query().map(|query| Bytes::copy_from_slice(query.as_bytes())),
            ),
            None => (Bytes::new(), None),
        };
        let fields: usize =
            head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let head_bytes = fields + path.len() + query.as_ref().map_or(0, Bytes::len) + host.len();
        let body = if content.is_end_stream() {
            BodyLength::None
        } else {
            let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            length
                .and_then(|length| length.parse().ok())
                .map_or(BodyLength::Unknown, BodyLength::Known)
        };
        let (method, headers) = (head.method, head.headers);
        Ok(Self { method, authority, host, path, query, headers, head_bytes, body, preface })
    }

    fn ask<'a>(&'a self, fields: &'a MapFields<'a>) -> Ask<'a> {
        let query = self.query.as_deref();
        Ask {
            method: Method::from_bytes(self.method.as_str().as_bytes()),
            method_token: self.method.as_str().as_bytes(),
            host: &self.host,
            authority: self.authority.as_bytes(),
            path: &self.path,
            query,
            version: HttpVersion::Http2,
            fields,
            field_order: None,
            http2_preface: self.preface,
            head_bytes: self.head_bytes,
            field_count: self.headers.len(),
            target_bytes: self.path.len() + query.map_or(0, |query| query.len() + 1),
            body: self.body,
            upgrade: false,
        }
    }
}

/// A stream whose answer has to be waited for.
struct Working {
    active: Active,
    policy: PolicyRef,
    incoming: Incoming,
    content: RecvStream,
    respond: SendResponse<Bytes>,
    times: Times,
}

impl Working {
    async fn run(self, look: Look) {
        let Self { active, policy, incoming, mut content, mut respond, times } = self;
        let ctx = Rc::clone(&active.0.ctx);
        let fields = MapFields(&incoming.headers);
        let ask = incoming.ask(&fields);
        let mut answer = match look {
            Look::Answer(answer) => answer,
            Look::Origin(plan) => {
                let spooled = if ask.body == BodyLength::None {
                    Ok(None)
                } else {
                    take_in(&ctx, &policy, &plan, &ask, &mut content).await
                };
                match spooled {
                    Err(answer) => *answer,
                    Ok(spooled) => {
                        let headers = incoming.headers.clone();
                        let asked =
                            from_origin(&ctx, &policy, plan, &ask, headers, spooled, &mut respond);
                        match asked.await {
                            Some(answer) => answer,
                            None => return,
                        }
                    }
                }
            }
        };
        let is_last = ask.method == Method::Head || matches!(answer.body, AnswerBody::None);
        let Ok(mut stream) = respond.send_response(response(&answer, ask.method), is_last) else {
            return;
        };
        let sent = if is_last { 0 } else { send(&active.0, &mut answer, &mut stream).await };
        serve::record(&ctx, &policy, &ask, &answer, sent, times);
    }
}

/// Waits for the origin, passing on interim responses; `None` if the client reset the stream.
async fn from_origin(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: Box<Plan>,
    ask: &Ask<'_>,
    headers: HeaderMap,
    spooled: Option<SpooledBody>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Answer> {
    let (tell, mut interim) = mpsc::channel::<Response<()>>(8);
    let mut answer =
        std::pin::pin!(fetch::answer(ctx, policy, plan, ask, headers, spooled, Some(tell)));
    loop {
        tokio::select! {
            biased;
            Some(response) = interim.recv() => { let _ = respond.send_informational(response); }
            answer = &mut answer => return Some(answer),
            _ = poll_fn(|cx| respond.poll_reset(cx)) => return None,
        }
    }
}

/// Takes in the whole content of a request. The error is the answer to give instead.
async fn take_in(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    plan: &Plan,
    ask: &Ask<'_>,
    content: &mut RecvStream,
) -> Result<Option<SpooledBody>, Box<Answer>> {
    let most = policy.table.max_body_bytes(Some(plan.site), ask.path);
    let mut writer = ctx.worker.shared.spool.writer(most);
    let refuse = |status, cause| Box::new(refusal::failed(status, cause, ask));
    while let Some(piece) = content.data().await {
        // A reset or a broken connection: nobody reads the answer.
        let Ok(piece) = piece else { return Err(refuse(400, Cause::Malformed)) };
        let len = piece.len();
        ctx.worker.metrics.bytes_received(len as u64);
        if let Err(error) = writer.push(piece).await {
            return Err(refuse(status_of(&error), error.cause()));
        }
        let _ = content.flow_control().release_capacity(len);
    }
    let Ok(trailers) = content.trailers().await else {
        return Err(refuse(400, Cause::Malformed));
    };
    match writer.finish(trailers).await {
        Ok(spooled) => Ok(Some(spooled)),
        Err(error) => Err(refuse(status_of(&error), error.cause())),
    }
}

/// Sends a body as fast as the peer's windows and the egress pace allow; returns the bytes sent.
async fn send(session: &Session, answer: &mut Answer, stream: &mut SendStream<Bytes>) -> u64 {
    let priority = answer.body.priority();
    let mut sent = 0;
    loop {
        match answer.body.next().await {
            Ok(Some(Chunk::Data(data))) => {
                let len = data.len() as u64;
                if send_data(session, data, priority, stream).await.is_err() {
                    return sent;
                }
                sent += len;
            }
            Ok(Some(Chunk::Trailers(trailers))) => {
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

async fn send_data(
    session: &Session,
    mut data: Bytes,
    priority: Priority,
    stream: &mut SendStream<Bytes>,
) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::ConnectionReset);
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(PIECE_BYTES));
        let granted = poll_fn(|cx| {
            if let Poll::Ready(Ok(_) | Err(_)) = stream.poll_reset(cx) {
                return Poll::Ready(None);
            }
            Poll::Ready(ready!(stream.poll_capacity(cx)).and_then(Result::ok))
        })
        .await
        .ok_or_else(gone)?;
        let piece = data.split_to(granted.min(data.len()));
        if piece.is_empty() {
            continue;
        }
        if !session.ctx.pace(piece.len(), priority).await {
            return Err(gone());
        }
        session.ctx.worker.metrics.bytes_sent(piece.len() as u64);
        stream.send_data(piece, false).map_err(|_| gone())?;
    }
    Ok(())
}
