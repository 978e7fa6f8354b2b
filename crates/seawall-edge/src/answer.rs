//! What is sent back, before it is put into the words of a protocol.
//!
//! Both protocol modules take an [`Answer`] and write it; nobody else knows bytes on the wire. An
//! answer from the cache carries its prerendered head, everything else a header map.

use std::cell::{OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use hyper::upgrade::OnUpgrade;
use seawall_cache::Representation;
use seawall_model::{Cause, Priority};

use crate::metrics::CacheOutcome;
use crate::origin::{Chunk, Permit};

/// Objects over this size wait behind pages (egress, attack A22).
const BULK_BYTES: u64 = 256 * 1024;

/// A response, ready to be sent.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: AnswerHead,
    pub(crate) body: AnswerBody,
    pub(crate) note: Note,
}

/// The response head.
pub(crate) enum AnswerHead {
    /// A stored response as the store rendered it; these few fields come on top.
    Held { representation: Representation, age_s: u64, cache_status: CacheText },
    /// What is said again and again, made once.
    Prepared(Rc<Prepared>),
    /// A header map.
    Map(HeaderMap),
}

/// An answer of our own that depends on nothing but a few known things. Its fields are complete, the
/// length of its content included.
pub(crate) struct Prepared {
    pub(crate) fields: HeaderMap,
    pub(crate) body: Bytes,
    /// Its HTTP/1.1 head, without what concerns the connection and without the empty line.
    pub(crate) http1: OnceCell<Bytes>,
}

impl Prepared {
    /// For one that is made for a single request.
    pub(crate) fn into_answer(self, status: u16, note: Note) -> Answer {
        let body = AnswerBody::Whole(self.body.clone());
        Answer { status, head: AnswerHead::Prepared(Rc::new(self)), body, note }
    }
}

/// A short Cache-Status value, kept without heap.
pub(crate) type CacheText = smallstr::Text<96>;

/// The content.
pub(crate) enum AnswerBody {
    /// None, and none is announced (HEAD, 204, 304).
    None,
    /// In hand.
    Whole(Bytes),
    /// Coming from the origin, for this reader and perhaps into the cache.
    Shared(SharedReader),
    /// The connection becomes another protocol's.
    Upgrade(Box<Tunnel>),
}

/// A connection that becomes another protocol's.
pub(crate) struct Tunnel {
    pub(crate) origin: OnUpgrade,
    /// Its place in the lane of streams, for as long as it lasts.
    pub(crate) permit: Option<Permit>,
}

/// What is remembered of an answer for log and metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) cause: Cause,
    pub(crate) refused: bool,
    pub(crate) cache: CacheOutcome,
    /// Whether the connection must not be used for another request.
    pub(crate) close: bool,
}

impl AnswerHead {
    /// The field Content-Type, of a head that is not the store's.
    pub(crate) fn media_type(&self) -> Option<&[u8]> {
        match self {
            Self::Held { .. } | Self::Prepared(_) => None,
            Self::Map(map) => map.get(http::header::CONTENT_TYPE).map(http::HeaderValue::as_bytes),
        }
    }
}

impl AnswerBody {
    /// Waits for the first piece and looks at it; it is still to come. Empty where there is none.
    pub(crate) async fn first(&self) -> Bytes {
        match self {
            Self::None | Self::Upgrade(..) => Bytes::new(),
            Self::Whole(bytes) => bytes.clone(),
            Self::Shared(reader) => reader.first().await,
        }
    }

    /// The length, where it is known before the end.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::None | Self::Upgrade(..) => Some(0),
            Self::Whole(bytes) => Some(bytes.len() as u64),
            Self::Shared(reader) => reader.body.length,
        }
    }

    /// Which send queue it belongs to. What does not say its length starts as a page.
    pub(crate) fn priority(&self) -> Priority {
        if self.length().is_some_and(|len| len > BULK_BYTES) {
            Priority::Bulk
        } else {
            Priority::Page
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Broken`] when the content ends early: the reader must not take it for complete.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, Broken> {
        match self {
            Self::None | Self::Upgrade(..) => Ok(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                Ok((!bytes.is_empty()).then_some(Chunk::Data(bytes)))
            }
            Self::Shared(reader) => reader.next().await,
        }
    }
}

/// The content broke off.
#[derive(Debug)]
pub(crate) struct Broken;

/// A body on its way from the origin into the cache, and to the reader who caused the fetch.
///
/// The fetch does not wait for a slow reader, because the body is bounded by the largest storable
/// object. When it turns out larger than that, the fetch gives up storing and from then on keeps no
/// more than [`WINDOW_BYTES`] ahead of its reader.
pub(crate) struct SharedBody {
    pub(crate) length: Option<u64>,
    budget: Arc<InFlight>,
    state: RefCell<SharedState>,
}

#[derive(Default)]
struct SharedState {
    chunks: VecDeque<Bytes>,
    taken: usize,
    held_bytes: usize,
    unread_bytes: usize,
    trailers: Option<HeaderMap>,
    end: Option<Result<(), ()>>,
    windowed: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How far a fetch that is not stored runs ahead of its reader.
const WINDOW_BYTES: usize = 64 * 1024;

/// Bytes of bodies on their way through all workers. Beyond its bound nothing more is gathered for
/// the store and no fetch runs ahead, so that readers who take nothing cannot fill memory.
pub(crate) struct InFlight {
    used: AtomicUsize,
    max_bytes: usize,
}

impl InFlight {
    pub(crate) fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), max_bytes })
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes on their way now.
    pub(crate) fn bytes(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.max_bytes
    }
}

/// The reader's end of a [`SharedBody`].
pub(crate) struct SharedReader {
    body: Rc<SharedBody>,
    done: bool,
}

impl SharedBody {
    pub(crate) fn new(length: Option<u64>, budget: &Arc<InFlight>) -> (Rc<Self>, SharedReader) {
        let budget = Arc::clone(budget);
        let body = Rc::new(Self { length, budget, state: RefCell::default() });
        let reader = SharedReader { body: Rc::clone(&body), done: false };
        (body, reader)
    }

    /// Adds a piece. Returns `false` if nobody wants it any more: not stored and no reader.
    pub(crate) async fn push(&self, data: Bytes) -> bool {
        {
            let mut state = self.state.borrow_mut();
            self.budget.add(data.len());
            state.held_bytes += data.len();
            state.unread_bytes += data.len();
            state.chunks.push_back(data);
            wake(&mut state.reader);
        }
        std::future::poll_fn(|cx| {
            let mut state = self.state.borrow_mut();
            if state.windowed && state.reader_gone {
                return Poll::Ready(false);
            }
            if state.windowed && self.must_wait(&state) {
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Whether no more should be gathered for the store, because too much is on its way already.
    pub(crate) fn is_over_budget(&self) -> bool {
        self.budget.is_full()
    }

    fn must_wait(&self, state: &SharedState) -> bool {
        let window = if self.budget.is_full() { 0 } else { WINDOW_BYTES };
        state.unread_bytes > window
    }

    /// Everything pushed so far, for the store.
    pub(crate) fn collect(&self) -> Bytes {
        let state = self.state.borrow();
        if let (1, Some(only)) = (state.chunks.len(), state.chunks.front()) {
            return only.clone();
        }
        let len = state.chunks.iter().map(Bytes::len).sum();
        let mut whole = bytes::BytesMut::with_capacity(len);
        state.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        whole.freeze()
    }

    /// From now on only the reader matters: what it has taken is freed.
    pub(crate) fn give_up_storing(&self) {
        let mut state = self.state.borrow_mut();
        state.windowed = true;
        for _ in 0..state.taken {
            if let Some(taken) = state.chunks.pop_front() {
                state.held_bytes -= taken.len();
                self.budget.take(taken.len());
            }
        }
        state.taken = 0;
    }

    pub(crate) fn set_trailers(&self, trailers: HeaderMap) {
        self.state.borrow_mut().trailers = Some(trailers);
    }

    /// Ends the body: complete, or broken off.
    pub(crate) fn end(&self, end: Result<(), ()>) {
        let mut state = self.state.borrow_mut();
        state.end = Some(end);
        wake(&mut state.reader);
    }
}

impl SharedReader {
    async fn first(&self) -> Bytes {
        std::future::poll_fn(|cx| {
            let mut state = self.body.state.borrow_mut();
            match (state.chunks.front(), state.end) {
                (Some(first), _) => Poll::Ready(first.clone()),
                (None, Some(_)) => Poll::Ready(Bytes::new()),
                (None, None) => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    async fn next(&mut self) -> Result<Option<Chunk>, Broken> {
        if self.done {
            return Ok(None);
        }
        let next = std::future::poll_fn(|cx| {
            let mut state = self.body.state.borrow_mut();
            let next = if state.windowed {
                state.chunks.pop_front()
            } else {
                let taken = state.taken;
                state.chunks.get(taken).cloned().inspect(|_| state.taken += 1)
            };
            if let Some(data) = next {
                state.unread_bytes -= data.len();
                if state.windowed {
                    state.held_bytes -= data.len();
                    self.body.budget.take(data.len());
                }
                wake(&mut state.writer);
                return Poll::Ready(Ok(Some(Chunk::Data(data))));
            }
            match state.end {
                Some(Ok(())) => Poll::Ready(Ok(state.trailers.take().map(Chunk::Trailers))),
                Some(Err(())) => Poll::Ready(Err(Broken)),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        self.done = !matches!(next, Some(Chunk::Data(_)));
        Ok(next)
    }
}

impl Drop for SharedBody {
    fn drop(&mut self) {
        self.budget.take(self.state.get_mut().held_bytes);
    }
}

impl Drop for SharedReader {
    fn drop(&mut self) {
        let mut state = self.body.state.borrow_mut();
        state.reader_gone = true;
        wake(&mut state.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Short texts without heap.
pub(crate) mod smallstr {
    use std::fmt;

    /// At most `N` bytes of ASCII; what does not fit is left out.
    #[derive(Clone, Copy)]
    pub(crate) struct Text<const N: usize> {
        bytes: [u8; N],
        len: usize,
    }

    impl<const N: usize> Text<N> {
        pub(crate) const fn new() -> Self {
            Self { bytes: [0; N], len: 0 }
        }

        pub(crate) fn as_bytes(&self) -> &[u8] {
            &self.bytes[..self.len]
        }

        pub(crate) fn as_str(&self) -> &str {
            std::str::from_utf8(self.as_bytes()).unwrap_or("")
        }
    }

    impl<const N: usize> fmt::Write for Text<N> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = N - self.len;
            let take = text.len().min(room);
            self.bytes[self.len..self.len + take].copy_from_slice(&text.as_bytes()[..take]);
            self.len += take;
            if take == text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn drain(reader: &mut SharedReader) -> Result<Vec<u8>, Broken> {
        let mut all = Vec::new();
        while let Some(chunk) = reader.next().await? {
            if let Chunk::Data(data) = chunk {
                all.extend_from_slice(&data);
            }
        }
        Ok(all)
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_reader_gets_everything_and_the_store_too() {
        let (body, mut reader) = SharedBody::new(None, &InFlight::new(1 << 20));
        assert!(body.push(Bytes::from_static(b"ab")).await);
        assert!(body.push(Bytes::from_static(b"c")).await);
        body.end(Ok(()));
        assert_eq!(drain(&mut reader).await.expect("complete"), b"abc");
        assert_eq!(&body.collect()[..], b"abc");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_broken_body_never_ends_as_complete() {
        let (body, mut reader) = SharedBody::new(Some(10), &InFlight::new(1 << 20));
        assert!(body.push(Bytes::from_static(b"ab")).await);
        body.end(Err(()));
        assert!(drain(&mut reader).await.is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_unstored_body_stays_within_the_window_of_its_reader() {
        let (body, mut reader) = SharedBody::new(None, &InFlight::new(1 << 20));
        body.give_up_storing();
        let piece = Bytes::from(vec![7; WINDOW_BYTES]);
        assert!(body.push(piece.clone()).await);
        let blocked = tokio::time::timeout(std::time::Duration::ZERO, body.push(piece)).await;
        assert!(blocked.is_err(), "the writer waits for its reader");
        assert!(matches!(reader.next().await, Ok(Some(Chunk::Data(_)))));
        drop(reader);
        assert!(!body.push(Bytes::from_static(b"x")).await, "nobody is left");
    }
}
