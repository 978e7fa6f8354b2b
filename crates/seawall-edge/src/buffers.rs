//! Spare read and write buffers of a worker thread.
//!
//! A connection needs buffers only while bytes move. Idle ones lend theirs to whoever is busy, so
//! that 10,000 idle connections hold no buffer at all (issue: at most 26 KiB each, TLS included).

use std::cell::RefCell;

use bytes::BytesMut;

/// Spare buffers kept per worker: as many as are busy at once under load, 512 KiB in all.
const MAX_SPARE: usize = 64;
/// Size of a fresh buffer: a page's head, or a request head with cookies.
pub(crate) const BUFFER_BYTES: usize = 8 * 1024;
/// Larger ones (a long head, a burst of frames) are freed instead of kept.
const MAX_KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Makes sure that `buffer` has an allocation, preferring a spare one.
pub(crate) fn ensure(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES));
    }
}

/// Takes an empty buffer's allocation away from an idle connection. A buffer with bytes stays.
pub(crate) fn give_back(buffer: &mut BytesMut) {
    if !buffer.is_empty() || buffer.capacity() == 0 {
        return;
    }
    let mut freed = std::mem::take(buffer);
    // `advance` ate the front; `reserve` reclaims it where nobody else holds a part.
    if !freed.try_reclaim(BUFFER_BYTES) || freed.capacity() > MAX_KEPT_BYTES {
        return;
    }
    freed.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < MAX_SPARE {
            spare.push(freed);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_with_bytes_is_never_taken_away() {
        let mut buffer = BytesMut::from(&b"held"[..]);
        give_back(&mut buffer);
        assert_eq!(&buffer[..], b"held");
    }

    #[test]
    fn an_idle_connection_holds_no_allocation() {
        let mut buffer = BytesMut::new();
        ensure(&mut buffer);
        assert!(buffer.capacity() >= BUFFER_BYTES);
        give_back(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
    }
}
