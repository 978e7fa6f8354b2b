//! Bytes on the stack: what is put together before it is hashed or said.

use core::fmt;

/// At most `N` bytes; what comes after is dropped.
#[derive(Clone, Copy)]
pub(super) struct Room<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Room<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    #[inline]
    pub(super) const fn push(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(N - self.len);
        self.bytes[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The bytes that were dropped are marked by `…`, which needs three.
    pub(super) fn close(&mut self, is_cut: bool) {
        if is_cut {
            self.len = self.len.min(N - ELLIPSIS.len());
            self.extend(ELLIPSIS.as_bytes());
        }
    }
}

const ELLIPSIS: &str = "…";

/// Everything but printable ASCII becomes `?`, so that a cut never splits a character.
impl<const N: usize> fmt::Write for Room<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.push(if matches!(byte, b' '..=b'~') { byte } else { b'?' });
        }
        Ok(())
    }
}
