//! HTTP/1.1 for clients, served straight from the framer of `seawall-wire`.
//!
//! Every head and body has to be framed strictly anyway, so that nothing ambiguous reaches the
//! origin and the order of fields is known; a second parser behind that one would only be a second
//! opinion (decision 0001). This module owns the connection: reading, pipelining, keep-alive,
//! request bodies, writing with back-pressure, upgrades, and the deadlines of all that. What to
//! answer is decided in `serve`.

pub(crate) mod body;
mod stall;
mod write;

use std::future::{Future, poll_fn};
use std::io;
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use seawall_model::{Fields, HttpVersion, Limits, Misbehaviour};
use seawall_wire::http1::{
    BodyFraming, HeadLimits, Parse, Refusal, RequestHead, RequestView, parse_request,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::stall::Stall;
pub(crate) use self::write::put_refusal;
use crate::answer::{Answer, AnswerBody};
use crate::buffers;
use crate::cheap_test;
use crate::clock;
use crate::fetch;
use crate::origin;
use crate::policy::Policy;
use crate::refusal;
use crate::serve::{self, Ask, Look, Plan, Times};
use crate::slots::{Interrupt, Slot};
use crate::spool::SpooledBody;
use crate::stream::Stream;
use crate::worker::{ClientConn, PolicyRef};

/// Why a connection ends early. Never an error of ours: the client left, was slow, or the socket
/// broke.
#[derive(Debug)]
pub(super) enum Stop {
    /// The client closed, or the socket broke.
    Gone,
    /// A deadline passed.
    Expired,
    /// We are stopping, and nothing is under way here.
    Drained,
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// One connection.
pub(super) struct Conn {
    stream: Stream,
    ctx: Rc<ClientConn>,
    slot: Rc<Slot>,
    input: BytesMut,
    output: BytesMut,
    is_eof: bool,
}

/// What to do after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

/// What the accept path found for the request that a connection begins with, and by which policy.
pub(crate) type Looked = (PolicyRef, Look, Times);

/// Serves a connection until it ends. `first` is the answer to the request that `stream` begins
/// with, if the accept path has looked at it already.
pub(crate) async fn serve(stream: Stream, ctx: Rc<ClientConn>, first: Option<Looked>) {
    let slot = ctx.worker.slots.open();
    let (input, output) = (BytesMut::new(), BytesMut::new());
    Conn { stream, ctx, slot, input, output, is_eof: false }.run(first).await;
}

impl Conn {
    async fn run(mut self, mut first: Option<Looked>) {
        let mut head = RequestHead::new();
        loop {
            let policy = self.ctx.worker.policy();
            match self.read_head(&policy, &mut head).await {
                Ok(Ok(())) => {}
                Ok(Err(refused)) => {
                    self.ctx.misbehaved(refused.misbehaviour);
                    return self.refuse(refused.status).await;
                }
                Err(Stop::Expired) if !self.input.is_empty() => {
                    self.ctx.misbehaved(Misbehaviour::SlowHead);
                    return self.refuse(408).await;
                }
                Err(_) => return,
            }
            // The policy of now, not of when the connection began to wait; but a plan is carried out
            // under the policy that it was made by.
            let (policy, first) = match first.take() {
                Some((policy, look, times)) => (policy, Some((look, times))),
                None => (self.ctx.worker.policy(), None),
            };
            match self.answer(&policy, &head, first).await {
                Ok(After::Keep) => {}
                Ok(After::Close) => return self.close().await,
                Err(_) => return,
            }
        }
    }

    /// Reads until a whole head is there. The inner error is the client's.
    async fn read_head(
        &mut self,
        policy: &Policy,
        head: &mut RequestHead,
    ) -> Result<Result<(), Refusal>, Stop> {
        let limits = &policy.config.limits;
        let bounds = head_limits(limits);
        let mut begun = false;
        loop {
            if self.input.is_empty() {
                // Answers to pipelined requests leave together, and before we wait for more. A
                // deadline is armed after that: writing has one of its own.
                self.flush().await?;
            } else {
                match parse_request(&self.input, &bounds, head) {
                    Ok(Parse::Complete) => {
                        self.slot.disarm();
                        return Ok(Ok(()));
                    }
                    Ok(Parse::Partial) => {}
                    Err(refusal) => return Ok(Err(refusal)),
                }
                if !begun {
                    self.flush().await?;
                    // The clock of a head starts with its first byte and is not reset by more.
                    self.slot.arm(clock::now() + limits.header_timeout);
                    begun = true;
                }
            }
            if !begun && self.ctx.is_fresh() {
                // Its first request may have been read already: a drain waits for that.
                self.slot.arm(clock::now() + limits.header_timeout);
            } else if !begun {
                if self.ctx.worker.is_draining() {
                    return Err(Stop::Drained);
                }
                self.slot.set_standing(self.ctx.standing.get());
                self.slot.arm_idle(clock::now() + self.ctx.idle_timeout(limits));
            }
            if self.fill().await? == 0 {
                if begun {
                    self.ctx.misbehaved(Misbehaviour::Truncated);
                }
                return Err(Stop::Gone);
            }
        }
    }

    async fn answer(
        &mut self,
        policy: &PolicyRef,
        head: &RequestHead,
        first: Option<(Look, Times)>,
    ) -> Result<After, Stop> {
        let (look, times) = match first {
            Some(looked) => looked,
            None => {
                let times = Times::read(&self.ctx.worker);
                let view = head.view(&self.input);
                (serve::look(&self.ctx, policy, &ask(&view, head), times), times)
            }
        };
        match look {
            Look::Answer(answer) if self.is_simple(&answer, head) => {
                let after = write::whole(self, policy, head, &answer, times);
                self.input.advance(head.head_bytes());
                if self.output.len() > policy.config.limits.max_pipelined_bytes {
                    self.flush().await?;
                }
                Ok(after)
            }
            look => {
                // Everything that waits lives in its own allocation, so that an idle connection's
                // task stays small.
                let bytes = self.input.split_to(head.head_bytes()).freeze();
                Box::pin(self.answer_slowly(policy, head, bytes, look, times)).await
            }
        }
    }

    async fn answer_slowly(
        &mut self,
        policy: &PolicyRef,
        head: &RequestHead,
        bytes: Bytes,
        look: Look,
        times: Times,
    ) -> Result<After, Stop> {
        let view = head.view(&bytes);
        let has_content = !matches!(head.framing(), BodyFraming::None | BodyFraming::Length(0));
        let plan = match look {
            Look::Origin(plan) => plan,
            Look::Answer(mut answer) => {
                // The content of a request that is answered already is not read.
                answer.note.close |= has_content;
                return self.write_slowly(policy, &view, answer, times).await;
            }
        };
        let spooled = if has_content {
            match self.take_in(policy, &plan, &view).await? {
                Ok(spooled) => Some(spooled),
                Err(mut answer) => {
                    answer.note.close = true;
                    return self.write_slowly(policy, &view, *answer, times).await;
                }
            }
        } else {
            None
        };
        self.flush().await?;
        let answer = self.ask_origin(policy, plan, &view, spooled).await?;
        self.write_slowly(policy, &view, answer, times).await
    }

    /// Waits for the origin, passing on interim responses, and gives up if the client breaks off.
    async fn ask_origin(
        &mut self,
        policy: &PolicyRef,
        plan: Box<Plan>,
        view: &RequestView<'_>,
        spooled: Option<SpooledBody>,
    ) -> Result<Answer, Stop> {
        let ctx = Rc::clone(&self.ctx);
        let most = policy.config.limits.max_pipelined_bytes;
        let ask = ask(view, view.head());
        let (tell, mut interim) = origin::interim();
        // RFC 9110 §15.2: an HTTP/1.0 client understands no interim response.
        let tell = (ask.version == HttpVersion::Http11).then_some(tell);
        let headers = Rc::new(serve::header_map(view));
        let mut answer = pin!(fetch::answer(&ctx, policy, plan, &ask, headers, spooled, tell));
        loop {
            tokio::select! {
                biased;
                response = interim.next() => {
                    write::interim(&mut self.output, &response);
                    self.flush().await?;
                }
                answer = &mut answer => return Ok(answer),
                stop = self.watch(most) => return Err(stop),
            }
        }
    }

    /// Ends when the client breaks the connection. What it sends meanwhile (a pipelined request)
    /// is kept, up to a bound; an orderly end of its sending is not a wish to break off.
    async fn watch(&mut self, most: usize) -> Stop {
        loop {
            if self.is_eof || self.input.len() >= most {
                return std::future::pending().await;
            }
            if let Err(stop) = self.fill().await {
                return stop;
            }
        }
    }

    /// Whether an answer can be written without waiting: it is in hand and small, and the request
    /// has no content that would have to be read or thrown away.
    fn is_simple(&self, answer: &Answer, head: &RequestHead) -> bool {
        let is_small = match &answer.body {
            AnswerBody::None => true,
            AnswerBody::Whole(bytes) => bytes.len() <= INLINE_BYTES,
            _ => false,
        };
        is_small
            && matches!(head.framing(), BodyFraming::None | BodyFraming::Length(0))
            && self.ctx.worker.shared.pacer.is_none()
    }

    /// Reads once into the input buffer; 0 at the end of the stream.
    async fn fill(&mut self) -> Result<usize, Stop> {
        if self.is_eof {
            return Ok(0);
        }
        let Self { stream, slot, input, is_eof, .. } = self;
        let read = poll_fn(|cx| {
            match slot.poll(cx) {
                Some(Interrupt::Expired) => return Poll::Ready(Err(Stop::Expired)),
                Some(Interrupt::Drained) => return Poll::Ready(Err(Stop::Drained)),
                Some(Interrupt::Shed) => return Poll::Ready(Err(Stop::Gone)),
                None => {}
            }
            buffers::ensure(input);
            if input.len() == input.capacity() {
                input.reserve(buffers::BUFFER_BYTES);
            }
            let polled = pin!(stream.read_buf(input)).poll(cx);
            if polled.is_pending() {
                buffers::give_back(input);
            }
            polled.map_err(Stop::from)
        })
        .await?;
        *is_eof = read == 0;
        Ok(read)
    }

    /// Writes all output. The peer must take bytes at the minimum rate.
    async fn flush(&mut self) -> Result<(), Stop> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.flush_with(&mut Bytes::new()).await
    }

    /// Writes all output, then `body`, in as few system calls as the socket takes.
    async fn flush_with(&mut self, body: &mut Bytes) -> Result<(), Stop> {
        let Self { stream, slot, output, ctx, .. } = self;
        let mut stall: Option<Stall> = None;
        // What the socket took, where nobody tells what the reader took.
        let mut written = 0;
        let result = poll_fn(|cx| {
            match slot.poll(cx) {
                Some(Interrupt::Expired) => {
                    stall = stall.and_then(|stall| {
                        let limits = &ctx.worker.policy().config.limits;
                        stall.goes_on(clock::now(), stream.bytes_taken().unwrap_or(written), limits)
                    });
                    let Some(stall) = stall else {
                        ctx.misbehaved(Misbehaviour::SlowReader);
                        // What the kernel still holds for it is given up as well.
                        let _ = SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
                        return Poll::Ready(Err(Stop::Expired));
                    };
                    slot.arm(stall.due(&ctx.worker.policy().config.limits));
                    // Registers this task again, which the interrupt took out.
                    slot.poll(cx);
                }
                Some(Interrupt::Shed) => return Poll::Ready(Err(Stop::Gone)),
                Some(Interrupt::Drained) | None => {}
            }
            while !(output.is_empty() && body.is_empty()) {
                let sent = match poll_write(stream, output, body, cx) {
                    Poll::Ready(sent) => sent?,
                    Poll::Pending => {
                        if stall.is_none() {
                            let began =
                                Stall::new(clock::now(), stream.bytes_taken().unwrap_or(written));
                            slot.arm(began.due(&ctx.worker.policy().config.limits));
                            stall = Some(began);
                        }
                        return Poll::Pending;
                    }
                };
                if sent == 0 {
                    return Poll::Ready(Err(Stop::Gone));
                }
                ctx.worker.metrics.bytes_sent(sent as u64);
                written += sent as u64;
                let first = sent.min(output.len());
                output.advance(first);
                body.advance(sent - first);
            }
            Pin::new(&mut *stream).poll_flush(cx).map_err(Stop::from)
        })
        .await;
        if stall.is_some() {
            slot.disarm();
        }
        buffers::give_back(output);
        result
    }

    async fn refuse(&mut self, status: u16) {
        refusal::malformed_http1(&mut self.output, status);
        self.close().await;
    }

    /// Sends what is left, says that no more comes, and reads a little of what the client still
    /// sends: closing a socket with unread bytes would reset it and destroy the answer on its way
    /// (RFC 9112 §9.6).
    async fn close(&mut self) {
        if self.flush().await.is_err() {
            return;
        }
        self.slot.arm(clock::now() + LINGER);
        let Self { stream, slot, .. } = self;
        if let Stream::Tls(tls) = stream {
            let mut goodbye = pin!(tls.shutdown());
            let said = poll_fn(|cx| match slot.poll(cx) {
                Some(_) => Poll::Ready(false),
                None => goodbye.as_mut().poll(cx).map(|said| said.is_ok()),
            });
            if !said.await {
                return;
            }
        }
        if SockRef::from(self.stream.tcp()).shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        while left > 0 {
            self.input.clear();
            match self.fill().await {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    }
}

/// Writes from two buffers, of which one has bytes.
fn poll_write(
    stream: &mut Stream,
    first: &[u8],
    then: &[u8],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    // send(2) where there is one piece: the kernel reads no list of them.
    match (first, then) {
        (one, []) | ([], one) => stream.poll_write(cx, one),
        _ => stream.poll_write_vectored(cx, &[io::IoSlice::new(first), io::IoSlice::new(then)]),
    }
}

/// How long and how much we listen after our last word.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;

/// The bounds of the framer.
pub(crate) fn head_limits(limits: &Limits) -> HeadLimits {
    HeadLimits {
        max_head_bytes: limits.max_head_bytes,
        max_fields: limits.max_fields,
        max_target_bytes: limits.max_target_bytes,
    }
}

/// The request as `serve` wants it.
pub(crate) fn ask<'a>(view: &'a RequestView<'a>, head: &'a RequestHead) -> Ask<'a> {
    let (query, ticket) = cheap_test::split(view.query());
    Ask {
        method: head.method(),
        method_token: view.method_token(),
        host: view.host(),
        authority: view.authority(),
        path: view.path(),
        query,
        ticket,
        version: head.version(),
        fields: view,
        field_order: Some(head.field_order()),
        http2_preface: None,
        head_bytes: head.head_bytes(),
        field_count: head.field_count(),
        target_bytes: head.target_bytes().saturating_sub(cheap_test::ticket_bytes(ticket)),
        body: head.framing().body_length(),
        upgrade: head.upgrade() && leaves_http(view),
    }
}

/// Whether the protocol asked for is another than HTTP. Behind a tunnel of HTTP/2 (RFC 7540 §3.2) no
/// rule of ours would hold; RFC 9110 §7.8 lets a server ignore the wish, and §7.6.1 has the field end
/// here.
fn leaves_http(view: &RequestView<'_>) -> bool {
    let mut leaves = true;
    view.each("upgrade", &mut |value| {
        for protocol in value.split(|&byte| byte == b',') {
            let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
            let name = name.trim_ascii();
            leaves &= !HTTP_NAMES.iter().any(|http| name.eq_ignore_ascii_case(http));
        }
    });
    leaves
}

/// Names under which HTTP is asked for in an upgrade, and TLS, which would carry it (RFC 2817).
const HTTP_NAMES: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];

/// Bodies up to this size are copied behind their head: one write, one TLS record sequence. Larger
/// ones are written from where they lie.
const INLINE_BYTES: usize = 20 * 1024;
