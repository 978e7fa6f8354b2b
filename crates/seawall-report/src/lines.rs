//! Cuts bytes into lines: bounded, whatever the bytes.
//!
//! Separate because everything that reads a record reads it like this: in pieces, with each line's number, its digest
//! and where it ends. Of a line that is too long the beginning is kept, and the digest is of all of it.

use seawall_seal::{Digest, Hasher};

use crate::chain::MAX_LINE_BYTES;

/// One line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// From 1.
    pub(crate) number: u64,
    /// Without its line break; if it is longer than a line may be, the beginning.
    pub(crate) bytes: &'a [u8],
    /// Whether it is longer than a line may be.
    pub(crate) is_too_long: bool,
    /// SHA-256 of all of it, without its line break.
    pub(crate) digest: Digest,
    /// Bytes of the record up to here, with its line break.
    pub(crate) end: u64,
}

/// Takes a record in pieces and gives its lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// Of the line that is not whole yet: its beginning.
    kept: Vec<u8>,
    hasher: Hasher,
    /// All bytes of that line.
    bytes: u64,
    /// Lines that were whole, and their bytes.
    lines: u64,
    end: u64,
}

impl Lines {
    /// Takes a piece and gives every line that it makes whole.
    pub(crate) fn take(&mut self, mut piece: &[u8], mut give: impl FnMut(Line<'_>)) {
        while let Some(at) = piece.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = piece.split_at(at);
            piece = &rest[1..];
            if self.bytes == 0 && head.len() <= MAX_LINE_BYTES {
                let number = self.count(head.len() as u64);
                let (digest, end) = (Digest::of(head), self.end);
                give(Line { number, bytes: head, is_too_long: false, digest, end });
                continue;
            }
            self.keep(head);
            let (is_too_long, number) =
                (self.bytes > MAX_LINE_BYTES as u64, self.count(self.bytes));
            let digest = std::mem::take(&mut self.hasher).finish();
            give(Line { number, bytes: &self.kept, is_too_long, digest, end: self.end });
            self.kept.clear();
            self.bytes = 0;
        }
        self.keep(piece);
    }

    /// Bytes behind the last line break.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.bytes
    }

    /// What stands behind the last line break; `None` if that is longer than a line may be.
    pub(crate) fn torn(&self) -> Option<&[u8]> {
        (self.bytes <= MAX_LINE_BYTES as u64).then_some(&self.kept)
    }

    /// All bytes that were taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.end + self.bytes
    }

    /// Lines that were whole.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_LINE_BYTES.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Counts a line of so many bytes, and gives its number.
    fn count(&mut self, bytes: u64) -> u64 {
        self.lines += 1;
        self.end += bytes + 1;
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Found = (u64, Vec<u8>, bool, Digest, u64);

    fn lines(pieces: &[&[u8]]) -> (Vec<Found>, u64) {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.take(piece, |line| {
                let Line { number, bytes, is_too_long, digest, end } = line;
                found.push((number, bytes.to_vec(), is_too_long, digest, end));
            });
        }
        assert_eq!(lines.lines(), found.len() as u64);
        (found, lines.torn_bytes())
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_kept() {
        let mut long = vec![b'x'; MAX_LINE_BYTES + 1];
        long.push(b'\n');
        for pieces in [vec![&long[..]], vec![&long[..9], &long[9..]]] {
            let (found, torn) = lines(&pieces);
            assert_eq!((found.len(), torn), (1, 0));
            let (number, bytes, is_too_long, digest, end) = &found[0];
            assert_eq!((*number, bytes.len(), *is_too_long), (1, MAX_LINE_BYTES, true));
            assert_eq!(*digest, Digest::of(&long[..long.len() - 1]));
            assert_eq!(*end, long.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_pieces(
            text in "[ab\n]{0,60}",
            cuts in proptest::collection::vec(0..60_usize, 0..6),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
            cuts.sort_unstable();
            cuts.push(bytes.len());
            let (mut pieces, mut from) = (Vec::new(), 0);
            for to in cuts {
                pieces.push(&bytes[from..to]);
                from = to;
            }
            let (found, torn) = lines(&pieces);
            prop_assert_eq!(&found, &lines(&[bytes]).0);
            let whole: Vec<&str> = text.split('\n').collect();
            prop_assert_eq!(torn, whole[whole.len() - 1].len() as u64);
            prop_assert_eq!(found.len(), whole.len() - 1);
            for (line, want) in found.iter().zip(whole) {
                prop_assert_eq!(&line.1, want.as_bytes());
                prop_assert_eq!(line.3, Digest::of(want.as_bytes()));
            }
        }
    }
}
