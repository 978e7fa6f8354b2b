//! Listening sockets and the way in: accept, the first look, the handshake.
//!
//! The first bytes of a connection are read before a task or a registration with the reactor
//! exists. What is refused there costs one `accept`, one `recv`, one `send` and one `close`
//! (`foundation.md`, decision 2: 20 us against 29-34 us on the library's path). Everything else is
//! handed to a task together with the bytes already read.

use std::cell::RefCell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream as StdTcpStream};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use seawall_decide::{
    Hello, MemoryStep, accept_gate, bar_gate, handshake_gate, hello_gate, lacks_memory,
};
use seawall_model::{
    Cause, ClientAddr, ConnectionSignal, Decision, Fingerprint, Instant, Limits, Misbehaviour,
};
use seawall_wire::client_hello::{self, HelloError};
use seawall_wire::http1::{Parse, RequestHead, parse_request};
use seawall_wire::proxy_header::{self, ProxyParse};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::answer::{Answer, AnswerBody};
use crate::clock;
use crate::config::Listen;
use crate::http1;
use crate::http2;
use crate::metrics::Handshake;
use crate::policy::Policy;
use crate::refusal;
use crate::serve::{self, Look, Times};
use crate::stream::{Replay, Stream};
use crate::worker::{ClientConn, OpenConnection, Opened, PolicyRef, Ports, Worker, shed_above};

/// Connections accepted per turn of the loop; then those in hand get theirs.
const MAX_ACCEPTS: usize = 64;
/// Connections the kernel queues for us; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Bytes read before a task exists: a head or a ClientHello, usually whole.
const FIRST_BYTES: usize = 8 * 1024;
/// How long the kernel holds back a connection that sends nothing.
const DEFER_ACCEPT: Duration = Duration::from_secs(5);
/// A pause when the process has no descriptor left; connections wait in the kernel meanwhile.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(20);

/// Opens one listening socket of a group that shares its address (`SO_REUSEPORT`).
///
/// # Errors
/// Those of bind(2) and listen(2).
pub(crate) fn open(listen: &Listen, limits: &Limits) -> io::Result<TcpListener> {
    let domain = Domain::for_address(listen.address);
    let socket = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if listen.address.is_ipv6() {
        // Dual stack is two lines in the configuration, so that an address means what it says.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&listen.address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    prepare(&listener, listen, limits)?;
    Ok(listener)
}

/// Sets what an inherited socket needs as well.
///
/// # Errors
/// Those of fcntl(2).
pub(crate) fn prepare(listener: &TcpListener, listen: &Listen, limits: &Limits) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    if !listen.proxy_protocol {
        // Refused only for sockets that are not TCP; going on without costs a wake-up.
        let _ = seawall_kernel::set_defer_accept(listener, DEFER_ACCEPT);
    }
    // All are inherited by accepted connections. Without the first the kernel keeps megabytes for
    // each client that does not read; it is refused only for sockets that are not TCP.
    let _ = SockRef::from(listener).set_tcp_notsent_lowat(limits.max_unsent_bytes);
    // Without this one a reader of nothing keeps what the kernel has taken of an answer: for as long as a
    // connection may be idle, and for minutes after it was closed. It comes after our own measure of slow
    // readers, which knows them by name.
    let patience = limits.response_grace + limits.response_grace / 2;
    let _ = SockRef::from(listener).set_tcp_user_timeout(Some(patience));
    SockRef::from(listener).set_tcp_nodelay(true)
}

/// Accepts on one socket until the worker drains.
pub(crate) async fn run(worker: Rc<Worker>, listener: TcpListener, mut listen: Listen) {
    // Port 0 stands for the one that the system chose.
    if let Ok(address) = listener.local_addr() {
        listen.address = address;
    }
    let listen = Rc::new(listen);
    #[allow(
        deprecated,
        reason = "meant for types whose descriptor may change under the reactor; an `OwnedFd` keeps its own"
    )]
    let Ok(listener) = AsyncFd::new(OwnedFd::from(listener)) else {
        tracing::error!(address = %listen.address, "cannot watch the listening socket");
        return;
    };
    while !worker.is_draining() {
        let ready = timeout(Duration::from_millis(200), listener.readable()).await;
        let Ok(Ok(mut ready)) = ready else { continue };
        let policy = worker.policy();
        for _ in 0..MAX_ACCEPTS {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match rustix::net::acceptfrom_with(listener.get_ref(), flags) {
                Ok((socket, peer)) => {
                    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                    if let Some(peer) = peer {
                        enter(&worker, &policy, &listen, socket, peer);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => {
                    ready.clear_ready();
                    break;
                }
                Err(
                    rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM,
                ) => {
                    worker.metrics.connection_refused(Cause::TooManyConnections);
                    tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
                    break;
                }
                // The client left between handshake and accept.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

thread_local! {
    static FIRST: RefCell<Vec<u8>> = RefCell::new(vec![0; FIRST_BYTES]);
}

/// The accept gate and the first look; whoever passes gets a task.
fn enter(
    worker: &Rc<Worker>,
    policy: &PolicyRef,
    listen: &Rc<Listen>,
    socket: OwnedFd,
    peer: SocketAddr,
) {
    let shared = &worker.shared;
    let client = ClientAddr::new(peer.ip());
    // Also of those that are refused: else an attack would seem to end by that.
    worker.watch.signal(ConnectionSignal::Opened);
    let open = shared.open_connections.load(Ordering::Relaxed);
    let seems_cdn = || shared.is_suspected_cdn(client.ip());
    let cause = match accept_gate(&policy.table, &shared.limiters, clock::now(), client, open) {
        Decision::Admit(cause) => cause,
        // The last rule of the gate: such a network is one load balancer.
        Decision::Refuse(_, Cause::TooManyConnectionsOfPrefix) if seems_cdn() => Cause::Default,
        Decision::Refuse(_, cause) => {
            refused(worker, cause);
            return;
        }
    };
    let knows = || shared.budgets.knows_network(client) || seems_cdn();
    if lacks_memory(&policy.table, shared.memory.step(), client, open, knows) {
        refused(worker, Cause::MemoryPressure);
        return;
    }
    let counted = OpenConnection::new(worker, client, cause);
    let via_proxy = policy.trusts(peer.ip());
    let early = FIRST.with_borrow_mut(|buffer| {
        match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((read, _)) => Bytes::copy_from_slice(&buffer[..read]),
            Err(_) => Bytes::new(),
        }
    });
    worker.metrics.bytes_received(early.len() as u64);
    let ports = Ports { listened: listen.address.port(), public: listen.public_port, told: None };
    let (peer, client_port) = (peer.ip(), peer.port());
    let opened = Opened { peer, client, client_port, via_proxy, tls: listen.tls, ports, ja4: None };
    let proxied = listen.proxy_protocol && via_proxy;
    if !listen.tls && !proxied && !early.is_empty() {
        return enter_http(worker, policy, socket, opened, early, counted);
    }
    let Some(tcp) = register(socket) else { return };
    let (worker, listen) = (Rc::clone(worker), Rc::clone(listen));
    tokio::task::spawn_local(async move {
        let _counted = counted;
        greet(worker, listen, tcp, opened, early).await;
    });
}

/// Counts a connection that was refused before anything was asked on it.
fn refused(worker: &Worker, cause: Cause) {
    worker.metrics.connection_refused(cause);
    worker.watch.signal(ConnectionSignal::Refused);
}

fn register(socket: OwnedFd) -> Option<TcpStream> {
    TcpStream::from_std(StdTcpStream::from(socket)).ok()
}

/// Plain HTTP with its first bytes in hand.
fn enter_http(
    worker: &Rc<Worker>,
    policy: &PolicyRef,
    socket: OwnedFd,
    opened: Opened,
    early: Bytes,
    counted: OpenConnection,
) {
    let ctx = ClientConn::new(worker, opened);
    let mut head = RequestHead::new();
    let first = match parse_request(&early, &http1::head_limits(policy.table.limits()), &mut head) {
        Err(refused) => {
            ctx.misbehaved(refused.misbehaviour);
            let mut out = BytesMut::new();
            refusal::malformed_http1(&mut out, refused.status);
            return send_and_close(&socket, &out);
        }
        Ok(Parse::Partial) => None,
        Ok(Parse::Complete) => {
            let times = Times::read(worker);
            let view = head.view(&early);
            match serve::look(&ctx, policy, &http1::ask(&view, &head), times) {
                Look::Answer(answer)
                    if answer.note.refused && !may_stay(&ctx, policy, &head, &answer) =>
                {
                    return refuse(&ctx, policy, &head, &early, &answer, times, &socket);
                }
                look => Some((Rc::clone(policy), look, times)),
            }
        }
    };
    let Some(tcp) = register(socket) else { return };
    tokio::task::spawn_local(async move {
        let _counted = counted;
        http1::serve(Stream::Plain(Replay::new(early, tcp)), ctx, first).await;
    });
}

/// Whether a connection that begins with a refusal goes on. Who is beyond a budget is told when to come
/// back, who is tested comes at once, and what comes next costs less on this connection than on a new one; a proxy has others on it.
/// Who is shut out has nothing to come back for. While there are many connections, or memory is short,
/// all are closed: then one that is open costs more than one that comes anew.
fn may_stay(ctx: &ClientConn, policy: &Policy, head: &RequestHead, answer: &Answer) -> bool {
    let shared = &ctx.worker.shared;
    (matches!(answer.status, 307 | 429) || ctx.via_proxy)
        && head.keep_alive()
        && !answer.note.close
        && shared.memory.step() == MemoryStep::Calm
        && shared.open_connections.load(Ordering::Relaxed) < shed_above(policy.table.limits())
}

/// One `send` and a close: no task, no registration.
fn refuse(
    ctx: &Rc<ClientConn>,
    policy: &PolicyRef,
    head: &RequestHead,
    early: &Bytes,
    answer: &Answer,
    times: Times,
    socket: &OwnedFd,
) {
    let mut out = BytesMut::with_capacity(1024);
    http1::put_refusal(&mut out, head, answer);
    send_and_close(socket, &out);
    let sent = if let AnswerBody::Whole(body) = &answer.body { body.len() as u64 } else { 0 };
    let view = head.view(early);
    serve::record(ctx, policy, &http1::ask(&view, head), answer, sent, times);
}

fn send_and_close(socket: &OwnedFd, bytes: &[u8]) {
    // A fresh socket's send buffer takes a kilobyte; if it does not, the client is not reading.
    let _ = rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// PROXY header, TLS handshake, then HTTP.
async fn greet(
    worker: Rc<Worker>,
    listen: Rc<Listen>,
    mut tcp: TcpStream,
    mut opened: Opened,
    early: Bytes,
) {
    let policy = worker.policy();
    let limits = &policy.config.limits;
    let mut early = BytesMut::from(early);
    if listen.proxy_protocol && opened.via_proxy {
        let header = read_proxy_header(&mut tcp, &mut early);
        match timeout(limits.header_timeout, header).await {
            Ok(Ok(Some((source, destination)))) => {
                opened.ports.told = Some(destination.port());
                opened.client = ClientAddr::new(source.ip());
                opened.client_port = source.port();
                // The header names the client; forwarding fields of that client are not believed.
                opened.via_proxy = policy.trusts(source.ip());
            }
            Ok(Ok(None)) => {}
            Ok(Err(kind)) => return worker.misbehaved(kind, opened.client, None),
            Err(_) => return worker.misbehaved(Misbehaviour::SlowHead, opened.client, None),
        }
        // Accept knew the proxy alone.
        let (limiters, now) = (&worker.shared.limiters, clock::now());
        if let Decision::Refuse(_, cause) = bar_gate(&policy.table, limiters, now, opened.client) {
            return refused(&worker, cause);
        }
    }
    if !listen.tls {
        let stream = Stream::Plain(Replay::new(early.freeze(), tcp));
        return http1::serve(stream, ClientConn::new(&worker, opened), None).await;
    }
    let deadline = limits.handshake_timeout;
    // Boxed: the state of a handshake is large and gone afterwards.
    let shaken = Box::pin(handshake(&worker, &policy, tcp, &mut opened, early));
    let shaken = timeout(deadline, shaken).await;
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        ended => {
            if ended.is_err() {
                worker.misbehaved(Misbehaviour::SlowHandshake, opened.client, opened.ja4);
            }
            if !matches!(ended, Ok(Err(Unshaken::Refused))) {
                worker.watch.signal(ConnectionSignal::HandshakeFailed);
            }
            return worker.metrics.handshake(Handshake::Failed);
        }
    };
    drop(policy);
    let is_http2 = stream.is_http2();
    let ctx = ClientConn::new(&worker, opened);
    drop(worker);
    if is_http2 {
        Box::pin(http2::serve(stream, ctx)).await;
    } else {
        http1::serve(stream, ctx, None).await;
    }
}

/// Reads a PROXY header; source and destination, or `None` for a connection of the proxy itself.
async fn read_proxy_header(
    tcp: &mut TcpStream,
    early: &mut BytesMut,
) -> Result<Option<(SocketAddr, SocketAddr)>, Misbehaviour> {
    loop {
        match proxy_header::parse(early)? {
            ProxyParse::Complete { consumed, source, destination } => {
                early.advance(consumed);
                return Ok(source.zip(destination));
            }
            ProxyParse::Partial => {}
        }
        if !matches!(tcp.read_buf(early).await, Ok(read) if read > 0) {
            return Err(Misbehaviour::Truncated);
        }
    }
}

/// Why there is no TLS.
enum Unshaken {
    /// We did not want to.
    Refused,
    /// The client left, or did something wrong.
    Failed,
}

/// Reads the ClientHello, asks the hello gate, and shakes hands.
async fn handshake(
    worker: &Rc<Worker>,
    policy: &PolicyRef,
    mut tcp: TcpStream,
    opened: &mut Opened,
    mut early: BytesMut,
) -> Result<Stream, Unshaken> {
    let limits = &policy.config.limits;
    worker.watch.signal(ConnectionSignal::Handshake);
    let hello = loop {
        match client_hello::parse(&early, limits.max_hello_bytes) {
            Ok(hello) => break hello,
            Err(HelloError::Refused(misbehaviour)) => {
                worker.misbehaved(misbehaviour, opened.client, None);
                return Err(Unshaken::Failed);
            }
            Err(HelloError::Incomplete) => {}
        }
        if !matches!(tcp.read_buf(&mut early).await, Ok(read) if read > 0) {
            return Err(Unshaken::Failed);
        }
    };
    opened.ja4 = Some(hello.ja4);
    let fingerprint = Fingerprint { ja4: Some(hello.ja4), ..Fingerprint::default() };
    let now: Instant = clock::now();
    let decision =
        hello_gate(&policy.table, &worker.shared.limiters, now, opened.client, &fingerprint);
    if let Decision::Refuse(_, cause) = decision {
        refused(worker, cause);
        return Err(Unshaken::Refused);
    }
    let config = worker.shared.tls.clone().ok_or(Unshaken::Failed)?;
    let budget = &worker.handshakes;
    let exempt = decision.cause() == Cause::AllowList || opened.via_proxy;
    let mut turn = None;
    if !exempt {
        let (shared, client) = (&worker.shared, opened.client);
        let hello = Hello { client, offers_ticket: hello.offers_resumption };
        let by = (&policy.table, &shared.limiters, &shared.budgets);
        let seems_cdn = || shared.is_suspected_cdn(client.ip());
        turn = handshake_gate(by, &mut budget.borrow_mut(), now, hello, seems_cdn);
        if turn.is_none() {
            refused(worker, Cause::HandshakeBudget);
            return Err(Unshaken::Refused);
        }
    }
    let mut accept = pin!(TlsAcceptor::from(config).accept(Replay::new(early.freeze(), tcp)));
    // The whole answer to a hello is computed in one poll; what is charged there is what it cost.
    let accepted = poll_fn(|cx| {
        let before = clock::thread_cpu();
        let polled = accept.as_mut().poll(cx);
        let cpu = clock::thread_cpu().saturating_sub(before);
        worker.metrics.handshake_cpu(cpu);
        if let Some(turn) = &mut turn {
            budget.borrow_mut().charge(clock::now(), turn, cpu);
        }
        polled
    });
    let stream = accepted.await.map_err(|_| Unshaken::Failed)?;
    let kind = match stream.get_ref().1.handshake_kind() {
        Some(rustls::HandshakeKind::Resumed) => Handshake::Resumed,
        _ => Handshake::Full,
    };
    if let (Handshake::Resumed, Some(turn)) = (kind, &turn) {
        budget.borrow_mut().proved(turn);
    }
    worker.metrics.handshake(kind);
    Ok(Stream::Tls(Box::new(stream)))
}
