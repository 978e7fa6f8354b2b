//! How the lines of a record become a chain that a stranger can check: writing it.
//!
//! A record is text, UTF-8, with LF behind each line; a line is one JSON object of at most 1 MiB. Entries are collected
//! into segments. What ends a segment, in three lines:
//!
//! ```text
//! {"digests":["<SHA-256 of each entry's line, in order>",...]}
//! {"seal":{"segment":N,"first_line":N,"lines":N,"digests":"<SHA-256 of the line above>",
//!          "previous":"<SHA-256 of the seal before; 64 zeros first>","record":"<SHA-256 of line 1>",
//!          "at":"<moment>","key":"<name of the key>","is_closed":false}}        (one line)
//! {"signature":"<base64, Ed25519 over the seal's line>","of":"<SHA-256 of the seal's line>"}
//! ```
//!
//! The digests stand in the record, so that a line can be removed later without breaking what was signed. The head of
//! the chain is the digest of the last seal: who has it in print, in a mail or stamped by an authority has the record.
//! Behind the `end` of an incident only stamps, notes and what was removed are written, in segments of their own.
//!
//! Separate from the files, because it is the form that others check: it gives bytes, and takes them back after a crash.
//! When to seal and what to sync is for who writes. Read next: `verify`.

use seawall_seal::{Digest, SigningKey};

use crate::statement::{Seal, Signed, digests_line};
use crate::{Begin, Entry, Moment, RECORD_VERSION};

/// Bytes of a line at most, without its line break.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Entries of a segment at most: their digests are 549 kB in one line.
pub const MAX_SEGMENT_LINES: usize = 8_192;

/// A record that is being written: keeps digests of the segment that is open, and nothing else of what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Digest of line 1.
    pub(crate) record: Digest,
    /// Digest of the last seal; zeros before the first.
    pub(crate) previous: Digest,
    /// Segments that were sealed.
    pub(crate) segments: u64,
    /// Lines that were written, of every kind.
    pub(crate) lines: u64,
    /// Digests of the entries since the last seal.
    pub(crate) open: Vec<Digest>,
    /// Whether the `end` was written.
    pub(crate) is_closed: bool,
    /// Name of the key.
    pub(crate) key: String,
}

/// Why something cannot be written. Each time whoever writes is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// To be cut into several entries.
    #[error("an entry of {bytes} bytes is longer than a line may be, {MAX_LINE_BYTES}")]
    TooLong {
        /// Of its line.
        bytes: usize,
    },
    /// To be sealed first.
    #[error("the open segment has {MAX_SEGMENT_LINES} entries and has to be sealed first")]
    Full,
    /// Behind `end` only stamps, notes and removals may follow.
    #[error("the record is closed, and such an entry may not follow its end")]
    Closed,
    /// A record has one `begin`, its first line.
    #[error("a record begins only once")]
    SecondBegin,
    /// There is nothing to seal.
    #[error("there is no entry since the last seal")]
    Empty,
    /// A record is sealed with the key that its first line names.
    #[error("the record was begun with another key")]
    OtherKey,
}

impl Chain {
    /// Begins a record, and gives its first line with the line break. The version and the public key are filled in.
    ///
    /// # Errors
    /// [`ChainError::TooLong`].
    pub fn begin(begin: &Begin, key: &SigningKey) -> Result<(Self, Vec<u8>), ChainError> {
        let public_key = key.public().to_pem();
        let begin = Begin { record: RECORD_VERSION, public_key, ..begin.clone() };
        let line = line_of(&Entry::Begin(Box::new(begin)))?;
        let record = digest_of(&line);
        let chain = Self {
            record,
            previous: NONE,
            segments: 0,
            lines: 1,
            open: vec![record],
            is_closed: false,
            key: key.public().id(),
        };
        Ok((chain, line))
    }

    /// The line of `entry`, with the line break. It counts as written.
    ///
    /// # Errors
    /// [`ChainError`] if it may not stand here; then nothing has changed.
    pub fn append(&mut self, entry: &Entry) -> Result<Vec<u8>, ChainError> {
        match entry {
            Entry::Begin(_) => return Err(ChainError::SecondBegin),
            _ if self.is_closed && !may_follow_end(entry) => return Err(ChainError::Closed),
            _ if self.is_full() => return Err(ChainError::Full),
            _ => {}
        }
        let line = line_of(entry)?;
        self.open.push(digest_of(&line));
        self.lines += 1;
        self.is_closed |= matches!(entry, Entry::End(_));
        Ok(line)
    }

    /// Seals what was appended since the last seal: three lines, with their line breaks. To be written at once and then
    /// synced; what was sealed and synced is never taken back.
    ///
    /// # Errors
    /// [`ChainError::Empty`] and [`ChainError::OtherKey`]; then nothing has changed.
    pub fn seal(&mut self, key: &SigningKey, at: Moment) -> Result<Vec<u8>, ChainError> {
        if self.open.is_empty() {
            return Err(ChainError::Empty);
        }
        if key.public().id() != self.key {
            return Err(ChainError::OtherKey);
        }
        let lines = self.open.len() as u64;
        let digests = digests_line(&self.open);
        let seal = Seal {
            segment: self.segments + 1,
            first_line: self.lines - lines + 1,
            lines,
            digests: Digest::of(digests.as_bytes()).to_string(),
            previous: self.previous.to_string(),
            record: self.record.to_string(),
            at,
            key: self.key.clone(),
            is_closed: self.is_closed,
        };
        let seal = seal.line();
        let of = Digest::of(seal.as_bytes());
        let signed = Signed { signature: key.sign(seal.as_bytes()), of };
        self.open.clear();
        self.segments += 1;
        self.lines += STATEMENT_LINES;
        self.previous = of;
        Ok(format!("{digests}\n{seal}\n{}\n", signed.line()).into_bytes())
    }

    /// Lines written, of every kind: the next has this number and one.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Entries since the last seal.
    pub fn open_lines(&self) -> usize {
        self.open.len()
    }

    /// Whether it has to be sealed before another entry.
    pub fn is_full(&self) -> bool {
        self.open.len() >= MAX_SEGMENT_LINES
    }

    /// Segments that were sealed.
    pub fn segments(&self) -> u64 {
        self.segments
    }

    /// SHA-256 of the last seal: what an authority is asked to stamp, and what is printed. `None` before the first.
    pub fn head(&self) -> Option<Digest> {
        (self.segments > 0).then_some(self.previous)
    }

    /// Whether the `end` was written.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }
}

/// Lines that end a segment.
pub(crate) const STATEMENT_LINES: u64 = 3;

/// What stands for the seal before the first.
pub(crate) const NONE: Digest = Digest([0; 32]);

/// What may be told of an incident that is over: who said when that it existed, what people say of it, what was removed.
pub(crate) fn may_follow_end(entry: &Entry) -> bool {
    matches!(entry, Entry::Timestamp(_) | Entry::Note(_) | Entry::Removed(_))
}

fn line_of(entry: &Entry) -> Result<Vec<u8>, ChainError> {
    let mut line =
        serde_json::to_vec(entry).expect("entries are structures of strings and numbers");
    if line.len() > MAX_LINE_BYTES {
        return Err(ChainError::TooLong { bytes: line.len() });
    }
    line.push(b'\n');
    Ok(line)
}

fn digest_of(line: &[u8]) -> Digest {
    Digest::of(line.strip_suffix(b"\n").unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Addresses, End, Fault, Note, Second, Timestamp};

    fn key() -> SigningKey {
        SigningKey::generate().expect("there is randomness")
    }

    fn second(ms: u64) -> Entry {
        Entry::Second(Box::new(Second { at: Moment::from_unix_ms(ms), ..Second::default() }))
    }

    fn begun(key: &SigningKey) -> (Chain, Vec<u8>) {
        let begin = Begin { incident: "20261122T100800Z-0abc".to_owned(), ..Begin::default() };
        Chain::begin(&begin, key).expect("it is short")
    }

    fn lines(bytes: &[u8]) -> Vec<&str> {
        std::str::from_utf8(bytes).expect("text").lines().collect()
    }

    #[test]
    fn a_segment_ends_with_digests_a_seal_and_its_signature() {
        let key = key();
        let (mut chain, mut bytes) = begun(&key);
        bytes.extend(chain.append(&second(1_000)).expect("it is short"));
        bytes.extend(chain.seal(&key, Moment::from_unix_ms(2_000)).expect("it has two entries"));
        let lines = lines(&bytes);
        let [begin, second, digests, seal, signature] = lines[..] else { panic!("{lines:#?}") };
        let digest = |line: &str| Digest::of(line.as_bytes());
        assert_eq!(digests, digests_line(&[digest(begin), digest(second)]));
        let want = Seal {
            segment: 1,
            first_line: 1,
            lines: 2,
            digests: digest(digests).to_string(),
            previous: "0".repeat(64),
            record: digest(begin).to_string(),
            at: Moment::from_unix_ms(2_000),
            key: key.public().id(),
            is_closed: false,
        };
        assert_eq!(Seal::parse(seal.as_bytes()), Some(want));
        let signed = Signed::parse(signature.as_bytes()).expect("a signature");
        assert_eq!(signed.of, digest(seal));
        assert_eq!(key.public().verify(seal.as_bytes(), &signed.signature), Ok(()));
        assert_eq!(chain.head(), Some(digest(seal)));
        assert_eq!((chain.lines(), chain.segments(), chain.open_lines()), (5, 1, 0));
    }

    #[test]
    fn the_next_seal_names_the_one_before_and_the_first_line() {
        let key = key();
        let (mut chain, begin) = begun(&key);
        chain.seal(&key, Moment::default()).expect("it has begun");
        let head = chain.head().expect("one seal");
        chain.append(&second(1)).expect("it is short");
        let bytes = chain.seal(&key, Moment::default()).expect("a second");
        let seal = Seal::parse(lines(&bytes)[1].as_bytes()).expect("a seal");
        assert_eq!((seal.segment, seal.first_line, seal.lines), (2, 5, 1));
        assert_eq!(seal.previous, head.to_string());
        assert_eq!(seal.record, digest_of(&begin).to_string());
    }

    #[test]
    fn behind_the_end_only_stamps_notes_and_removals_are_written() {
        let key = key();
        let (mut chain, _) = begun(&key);
        chain.append(&Entry::End(Box::<End>::default())).expect("it is short");
        let bytes = chain.seal(&key, Moment::default()).expect("two entries");
        assert!(Seal::parse(lines(&bytes)[1].as_bytes()).expect("a seal").is_closed);
        let before = chain.clone();
        for entry in [second(1), Entry::Fault(Fault::default()), Entry::End(Box::default())] {
            assert_eq!(chain.append(&entry), Err(ChainError::Closed));
        }
        assert_eq!(chain.append(&Entry::Begin(Box::default())), Err(ChainError::SecondBegin));
        assert_eq!(chain, before, "nothing that was refused counts");
        for entry in [Entry::Note(Note::default()), Entry::Timestamp(Timestamp::default())] {
            chain.append(&entry).expect("it may follow");
        }
        let bytes = chain.seal(&key, Moment::default()).expect("two entries");
        assert!(Seal::parse(lines(&bytes)[1].as_bytes()).expect("a seal").is_closed);
    }

    #[test]
    fn nothing_is_sealed_twice_or_with_another_key() {
        let (ours, other) = (key(), key());
        let (mut chain, _) = begun(&ours);
        assert_eq!(chain.seal(&other, Moment::default()), Err(ChainError::OtherKey));
        chain.seal(&ours, Moment::default()).expect("it has begun");
        assert_eq!(chain.seal(&ours, Moment::default()), Err(ChainError::Empty));
    }

    #[test]
    fn lines_and_segments_are_bounded() {
        let key = key();
        let (mut chain, _) = begun(&key);
        let age = Some("x".repeat(MAX_LINE_BYTES));
        let long = Entry::Addresses(Box::new(Addresses { age, ..Addresses::default() }));
        assert!(matches!(chain.append(&long), Err(ChainError::TooLong { .. })));
        while !chain.is_full() {
            chain.append(&second(1)).expect("there is room");
        }
        assert_eq!(chain.append(&second(1)), Err(ChainError::Full));
        let bytes = chain.seal(&key, Moment::default()).expect("it is full");
        let longest = lines(&bytes).iter().map(|line| line.len()).max();
        assert!(longest.is_some_and(|longest| longest <= MAX_LINE_BYTES), "{longest:?}");
        chain.append(&second(1)).expect("there is room again");
    }
}
