//! Lists of digests in the form that `sha256sum --check` reads: one line for each name.
//!
//! A list that is signed, or whose own digest stands in a signed list, vouches for everything in it:
//! that is the whole tree, and each level of it can be followed by hand.

use std::fmt::Write as _;

use crate::digest::Digest;

/// Digests by name, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DigestList {
    lines: Vec<(String, Digest)>,
}

/// A text that is no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a digest, two spaces and a name")]
pub struct ListError {
    /// From 1.
    pub line: usize,
}

impl DigestList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line. Control characters in `name`, a line break above all, are written as `?`.
    pub fn push(&mut self, name: &str, digest: Digest) {
        let name = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        self.lines.push((name, digest));
    }

    /// The lines in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Digest)> {
        self.lines.iter().map(|(name, digest)| (name.as_str(), *digest))
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The digest of the first line with this name. O(lines).
    pub fn find(&self, name: &str) -> Option<Digest> {
        self.iter().find(|(found, _)| *found == name).map(|(_, digest)| digest)
    }

    /// The list as text: `digest  name` and a line break, each.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.lines.len() * 96);
        for (name, digest) in self.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{digest}  {name}");
        }
        text
    }

    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    /// [`ListError`] with the first line that is none.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut list = Self::new();
        for (index, line) in text.lines().enumerate() {
            let parts = line.split_once("  ").and_then(|(digest, name)| {
                let digest = Digest::parse(digest)?;
                (!name.is_empty()).then_some((digest, name))
            });
            let Some((digest, name)) = parts else {
                return Err(ListError { line: index + 1 });
            };
            list.push(name, digest);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::{DigestList, ListError};
    use crate::digest::Digest;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let mut list = DigestList::new();
        list.push("archive/data.warc.gz", Digest::of(b"a"));
        list.push("a name  with spaces\nand a break", Digest::of(b"b"));
        let text = list.to_text();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(DigestList::parse(&text), Ok(list.clone()));
        assert_eq!(list.find("archive/data.warc.gz"), Some(Digest::of(b"a")));
        assert_eq!(list.find("nothing"), None);
    }

    #[test]
    fn the_first_line_that_is_none_is_named() {
        let good = Digest::of(b"a").to_string();
        for (bad, line) in [
            (format!("{good} one space"), 1),
            (format!("{good}  name\n\n{good}  name"), 2),
            (format!("{good}  "), 1),
            (format!("{}  name", &good[..63]), 1),
        ] {
            assert_eq!(DigestList::parse(&bad), Err(ListError { line }), "{bad}");
        }
        assert_eq!(DigestList::parse(""), Ok(DigestList::new()));
    }
}
