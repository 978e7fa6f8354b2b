//! Reads a file piece by piece: records and logs may be longer than what may be held of them.

use std::io::{self, ErrorKind, Read};

/// What is left of a file.
pub(crate) struct Pieces<R> {
    from: R,
    piece: Vec<u8>,
}

impl<R: Read> Pieces<R> {
    /// From where `from` stands.
    pub(crate) fn of(from: R) -> Self {
        Self { from, piece: vec![0; PIECE_BYTES] }
    }

    /// The next one; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        loop {
            match self.from.read(&mut self.piece) {
                Ok(0) => return Ok(None),
                Ok(read) => return Ok(Some(&self.piece[..read])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

const PIECE_BYTES: usize = 256 << 10;
