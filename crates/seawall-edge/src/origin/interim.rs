//! Interim responses (1xx) on their way from an origin to the reader who waits.
//!
//! Not a channel of the runtime: that takes 4 KiB for its first message whether one comes or not, and
//! every request that waits for an origin would hold it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use http::Response;
use parking_lot::Mutex;

/// Where they go. An origin that sends more than the reader takes loses them, which RFC 9110 §15.2
/// allows a proxy only for lack of a choice.
#[derive(Clone)]
pub(crate) struct Interim(Arc<Mutex<State>>);

/// Where they come out.
pub(crate) struct Interims(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    waiting: VecDeque<Response<()>>,
    reader: Option<Waker>,
}

/// Interim responses on their way at once.
const MAX_INTERIM: usize = 8;

/// Both ends.
pub(crate) fn interim() -> (Interim, Interims) {
    let state = Arc::default();
    (Interim(Arc::clone(&state)), Interims(state))
}

impl Interim {
    /// Passes one on, if there is room.
    pub(crate) fn tell(&self, response: Response<()>) {
        let mut state = self.0.lock();
        if state.waiting.len() < MAX_INTERIM {
            state.waiting.push_back(response);
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl Interims {
    /// Waits for the next one, for ever if there is none.
    pub(crate) async fn next(&mut self) -> Response<()> {
        poll_fn(|cx| {
            let mut state = self.0.lock();
            match state.waiting.pop_front() {
                Some(response) => Poll::Ready(response),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
