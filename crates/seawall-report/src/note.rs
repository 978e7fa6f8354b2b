//! What may be a note: bounds and words for the command that takes one and for the program that writes it.

use crate::entry::Note;
use crate::say;

/// Why a text is no note.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// There is nothing in a part of it.
    #[error("{part} is empty")]
    Empty {
        /// Which part.
        part: &'static str,
    },
    /// A part is too long.
    #[error("{part} has {} bytes, and {} are the limit", say::count(*bytes as u64), say::count(*max as u64))]
    TooLong {
        /// Which part.
        part: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// A part would do something to a terminal, or is several lines where one is meant.
    #[error("{part} has control characters")]
    Control {
        /// Which part.
        part: &'static str,
    },
}

impl NoteError {
    /// What to do about it.
    pub const HINT: &str =
        "say it shortly, in several notes if need be; `--source` names where the rest is";
}

impl Note {
    /// The note as it is written: without space around its parts.
    ///
    /// # Errors
    /// [`NoteError`] if a part is empty or longer than it may be, or has control characters.
    pub fn checked(mut self) -> Result<Self, NoteError> {
        check("--author", &self.author, MAX_AUTHOR_BYTES, "")?;
        check("the text", &self.text, MAX_TEXT_BYTES, "\n\t")?;
        if let Some(source) = &self.source {
            check("--source", source, MAX_SOURCE_BYTES, "")?;
        }
        for part in [Some(&mut self.author), Some(&mut self.text), self.source.as_mut()] {
            let Some(part) = part else { continue };
            *part = part.trim().to_owned();
        }
        Ok(self)
    }
}

fn check(part: &'static str, text: &str, max: usize, also: &str) -> Result<(), NoteError> {
    if text.trim().is_empty() {
        Err(NoteError::Empty { part })
    } else if text.len() > max {
        Err(NoteError::TooLong { part, bytes: text.len(), max })
    } else if text.contains(|c: char| c.is_control() && !also.contains(c)) {
        Err(NoteError::Control { part })
    } else {
        Ok(())
    }
}

/// Of its words.
pub(crate) const MAX_TEXT_BYTES: usize = 8 << 10;
pub(crate) const MAX_AUTHOR_BYTES: usize = 200;
/// An address of a page, or of a mail's sender.
pub(crate) const MAX_SOURCE_BYTES: usize = 2 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn note(author: &str, text: &str, source: Option<&str>) -> Result<Note, String> {
        let source = source.map(str::to_owned);
        let note =
            Note { author: author.to_owned(), text: text.to_owned(), source, ..Note::default() };
        note.checked().map_err(|error| error.to_string())
    }

    #[test]
    fn a_note_has_bounds_and_stands_without_space_around_it() {
        let kept =
            note(" A. Editor ", " We did it,\n\tthey say \n", Some(" a page ")).expect("one");
        assert_eq!((&*kept.author, &*kept.text), ("A. Editor", "We did it,\n\tthey say"));
        assert_eq!(kept.source.as_deref(), Some("a page"));
        let check = |note: Result<Note, String>, want: &str| assert_eq!(note, Err(want.to_owned()));
        check(note("", "x", None), "--author is empty");
        check(note(&"é".repeat(101), "x", None), "--author has 202 bytes, and 200 are the limit");
        check(note("A\nB", "x", None), "--author has control characters");
        check(note("A", " ", None), "the text is empty");
        let long = "x".repeat(8_193);
        check(note("A", &long, None), "the text has 8,193 bytes, and 8,192 are the limit");
        assert!(note("A", &long[1..], None).is_ok());
        check(note("A", "a\u{1b}[2Jb", None), "the text has control characters");
        check(note("A", "x", Some(&long)), "--source has 8,193 bytes, and 2,048 are the limit");
    }
}
