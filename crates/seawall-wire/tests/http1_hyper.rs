//! The framer held against hyper: what both accept, both read in the same way.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::Service;

#[allow(unreachable_pub, dead_code, reason = "shared with an example")]
mod http1_streams;

use http1_streams::{End, Request, reading, streams};

/// What hyper's server makes of a stream that ends where its bytes end.
fn reading_of_hyper(stream: &[u8]) -> Vec<Request> {
    let seen = Seen::default();
    let socket = Socket { left: stream.to_vec() };
    let service = Recorder { seen: Rc::clone(&seen) };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .serve_connection(socket, service);
    // Nothing here waits for anything, so a few turns are enough.
    for _ in 0..1000 {
        let mut context = Context::from_waker(Waker::noop());
        if Pin::new(&mut connection).poll(&mut context).is_ready() {
            break;
        }
    }
    seen.take()
}

type Seen = Rc<RefCell<Vec<Request>>>;

/// A socket with everything already received; what is written to it is dropped.
struct Socket {
    left: Vec<u8>,
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.left.len().min(buf.remaining());
        let rest = self.left.split_off(len);
        buf.put_slice(&self.left);
        self.left = rest;
        Poll::Ready(Ok(()))
    }
}

impl Write for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Notes every request whose content came whole.
struct Recorder {
    seen: Seen,
}

impl Service<hyper::Request<Incoming>> for Recorder {
    type Response = hyper::Response<String>;
    type Error = hyper::Error;
    type Future = Recording;

    fn call(&self, request: hyper::Request<Incoming>) -> Recording {
        let (head, content) = request.into_parts();
        let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let noted = Request {
            method: head.method.as_str().into(),
            target: format!("{}{query}", head.uri.path()).into_bytes(),
            host: String::new(),
            body: Vec::new(),
        };
        Recording { seen: Rc::clone(&self.seen), noted, content }
    }
}

/// One request being read.
struct Recording {
    seen: Seen,
    noted: Request,
    content: Incoming,
}

impl Future for Recording {
    type Output = Result<hyper::Response<String>, hyper::Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match Pin::new(&mut self.content).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.noted.body.extend_from_slice(bytes);
                    }
                }
                Poll::Ready(None) => {
                    let noted = self.noted.clone();
                    self.seen.borrow_mut().push(noted);
                    return Poll::Ready(Ok(hyper::Response::new(String::new())));
                }
            }
        }
    }
}

/// The only way in which hyper may go on after we have closed.
fn hyper_may_go_on(stream: &[u8]) -> bool {
    // It passes over a Connection field that holds 8-bit bytes; we find the `close` in it. What
    // follows is never read.
    !stream.is_ascii()
}

#[track_caller]
fn check(stream: &[u8]) -> &'static str {
    let mut ours = reading(stream);
    let mut theirs = reading_of_hyper(stream);
    for request in ours.requests.iter_mut().chain(&mut theirs) {
        request.host.clear();
        // `http::Uri` has one form for `OPTIONS http://a` (RFC 9112 §3.2.4: `*`) and `http://a/`.
        if request.target == b"*" {
            request.target = b"/".to_vec();
        }
    }
    let both = ours.requests.len().min(theirs.len());
    let shown = stream.escape_ascii();
    assert_eq!(ours.requests[..both], theirs[..both], "{shown}");
    if let Some(more) = theirs.get(both) {
        let is_fine = match ours.end {
            End::Refused => true,
            End::Closed => hyper_may_go_on(stream),
            End::Whole | End::Partial => false,
        };
        assert!(is_fine, "hyper finds {more:?} in {shown}, we end with {:?}", ours.end);
        return "ours stricter";
    }
    // We may refuse more than hyper, never less.
    let missing = ours.requests.get(both);
    assert_eq!(missing, None, "hyper refuses it in {shown}");
    if both == 0 { "nothing read" } else { "agreed" }
}

#[test]
fn what_both_accept_both_read_alike() {
    let mut counts = BTreeMap::new();
    for stream in streams(1, 40_000) {
        *counts.entry(check(&stream)).or_insert(0) += 1;
    }
    assert!(counts.get("agreed").is_some_and(|&count| count > 10_000), "{counts:?}");
    assert!(counts.get("ours stricter").is_some_and(|&count| count > 1_000), "{counts:?}");
}
