//! Words into lines.

use crate::document::{SpanKind, Text};

use super::letters;
use super::widths;

/// A standard font.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Font {
    Regular,
    Bold,
    Code,
}

impl Font {
    pub(super) const ALL: [Self; 3] = [Self::Regular, Self::Bold, Self::Code];

    /// Its name in the file.
    pub(super) const fn key(self) -> &'static [u8] {
        match self {
            Self::Regular => b"R",
            Self::Bold => b"B",
            Self::Code => b"C",
        }
    }

    pub(super) const fn name(self) -> &'static [u8] {
        match self {
            Self::Regular => b"Helvetica",
            Self::Bold => b"Helvetica-Bold",
            Self::Code => b"Courier",
        }
    }

    /// How wide bytes of WinAnsi are at `size`.
    pub(super) fn width(self, bytes: &[u8], size: f64) -> f64 {
        bytes.iter().map(|byte| self.thousandths(*byte)).sum::<f64>() * size / 1_000.0
    }

    /// How many of `bytes` take at most `room`.
    fn fitting(self, bytes: &[u8], size: f64, room: f64) -> usize {
        let mut sum = 0.0;
        let fits = |byte: &&u8| {
            sum += self.thousandths(**byte);
            sum * size / 1_000.0 <= room
        };
        bytes.iter().take_while(fits).count()
    }

    /// How wide a byte is, in thousandths of the size.
    fn thousandths(self, byte: u8) -> f64 {
        let place = usize::from(byte.saturating_sub(32));
        f64::from(match self {
            Self::Regular => widths::REGULAR.get(place).copied().unwrap_or(600),
            Self::Bold => widths::BOLD.get(place).copied().unwrap_or(600),
            Self::Code => 600,
        })
    }
}

/// Words of one font beside each other.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// From the left of the line.
    pub(super) x: f64,
    pub(super) font: Font,
    pub(super) size: f64,
    pub(super) bytes: Vec<u8>,
    pub(super) actual: Option<String>,
}

/// Runs on one base line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pub(super) runs: Vec<Run>,
    pub(super) width: f64,
}

/// A word that is to be placed.
struct Piece {
    font: Font,
    size: f64,
    bytes: Vec<u8>,
    actual: Option<String>,
    /// Whether a space stands before it.
    is_apart: bool,
}

impl Piece {
    fn width(&self) -> f64 {
        self.font.width(&self.bytes, self.size)
    }
}

/// `text` in lines of at most `room` points.
pub(super) fn lines(text: &Text, font: Font, size: f64, room: f64) -> Vec<Line> {
    let mut lines = vec![Line::default()];
    for piece in pieces(text, font, size) {
        place(&mut lines, piece, room);
    }
    lines
}

/// How wide `text` is in one line, and its widest word.
pub(super) fn extent(text: &Text, font: Font, size: f64) -> [f64; 2] {
    let (mut whole, mut widest) = (0.0_f64, 0.0_f64);
    for piece in pieces(text, font, size) {
        let width = piece.width();
        whole += width + if piece.is_apart { font.width(b" ", size) } else { 0.0 };
        widest = widest.max(width);
    }
    [whole, widest]
}

fn pieces(text: &Text, font: Font, size: f64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut is_apart = false;
    for span in &text.0 {
        let (font, size) = match span.kind {
            SpanKind::Plain | SpanKind::Foreign => (font, size),
            SpanKind::Strong => (Font::Bold, size),
            // Courier looks larger beside Helvetica than it is.
            SpanKind::Code | SpanKind::ForeignCode => (Font::Code, size * 0.92),
        };
        for (place, word) in span.text.split(' ').enumerate() {
            is_apart |= place > 0;
            if word.is_empty() {
                continue;
            }
            let word = letters::word(word);
            pieces.push(Piece { font, size, bytes: word.shown, actual: word.actual, is_apart });
            is_apart = false;
        }
    }
    pieces
}

fn place(lines: &mut Vec<Line>, mut piece: Piece, room: f64) {
    loop {
        let Some(line) = lines.last_mut() else { return };
        let has_words = !line.runs.is_empty();
        let space =
            if piece.is_apart && has_words { piece.font.width(b" ", piece.size) } else { 0.0 };
        if line.width + space + piece.width() <= room {
            append(line, piece, space);
            return;
        }
        if has_words && (piece.is_apart || piece.width() <= room) {
            lines.push(Line::default());
            continue;
        }
        // Longer than a line: a digest, or an address of a page. What is shown is broken, what it is stays whole.
        let fits = piece.font.fitting(&piece.bytes, piece.size, room - line.width).max(1);
        if fits >= piece.bytes.len() {
            append(line, piece, 0.0);
            return;
        }
        let rest = piece.bytes.split_off(fits);
        let next =
            Piece { bytes: rest, actual: piece.actual.take().map(|_| String::new()), ..piece };
        append(line, Piece { bytes: piece.bytes, actual: None, ..next_of(&next) }, 0.0);
        lines.push(Line::default());
        piece = Piece { is_apart: false, ..next };
    }
}

/// A piece like `piece` without words.
fn next_of(piece: &Piece) -> Piece {
    Piece { font: piece.font, size: piece.size, bytes: Vec::new(), actual: None, is_apart: false }
}

fn append(line: &mut Line, piece: Piece, space: f64) {
    let width = piece.width();
    let x = line.width + space;
    line.width = x + width;
    if let Some(last) = line.runs.last_mut() {
        let is_like = last.font == piece.font && (last.size - piece.size).abs() < 0.001;
        if is_like && last.actual.is_none() && piece.actual.is_none() {
            if space > 0.0 {
                last.bytes.push(b' ');
            }
            last.bytes.extend(piece.bytes);
            return;
        }
        // Between runs the space belongs to the earlier one, for who copies.
        if space > 0.0 && last.actual.is_none() {
            last.bytes.push(b' ');
        }
    }
    line.runs.push(Run {
        x,
        font: piece.font,
        size: piece.size,
        bytes: piece.bytes,
        actual: piece.actual,
    });
}
