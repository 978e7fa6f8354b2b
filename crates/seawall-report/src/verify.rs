//! Whether a record is what its key sealed, and where it is not.
//!
//! Takes a record in pieces, in bounded memory: one line, and the digests of one segment. It proves that nothing was
//! altered after sealing by anyone without the key. It does **not** prove that the holder of the key wrote the truth, nor
//! whose key it is unless that is given, nor a time unless an authority stamped it, and whole segments that are missing
//! behind the `end` leave no trace: the head of the chain, kept elsewhere, shows them.
//!
//! A record comes from strangers, and whoever altered it knows this code: statements have one spelling, everything is
//! bounded, and what cannot be located is said to lie in a segment. Read next: `verify/segment`.

mod segment;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use seawall_seal::{Digest, PublicKey};

use self::segment::{DigestsLine, Open, Place, SealLine};
use crate::chain::{Chain, NONE};
use crate::lines::{Line, Lines};
use crate::resume::{ResumeError, Resumed};
use crate::statement::{self, Seal, Signed};
use crate::{Begin, Entry, Gap, Moment, RECORD_VERSION};

/// Why a record is not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {first_bad}: {reason}")]
pub struct RecordFailure {
    /// The first line that is not as it was sealed, from 1: where a line is missing, the one that stands there now.
    pub first_bad: u64,
    /// What is wrong with it, in words.
    pub reason: String,
}

/// What is known of a record of which every sealed segment is as it was sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedRecord {
    /// Which incident it says it is of.
    pub incident: String,
    /// The key that sealed it.
    pub key: PublicKey,
    /// Lines up to the last seal, with those that seal.
    pub sealed_lines: u64,
    /// Entries among them.
    pub entries: u64,
    /// Segments.
    pub segments: u64,
    /// SHA-256 of the last seal; `None` if nothing is sealed.
    pub head: Option<Digest>,
    /// When the last seal says that it was made.
    pub sealed_at: Option<Moment>,
    /// Whether the record's end is sealed.
    pub is_closed: bool,
    /// Lines that were removed.
    pub removed: u64,
    /// Of them: those that no later sealed entry owns up to.
    pub unacknowledged: Vec<u64>,
    /// The first 64 times of which it says that nothing was recorded.
    pub gaps: Vec<Gap>,
    /// How many there are.
    pub gap_count: u64,
    /// Stamps of authorities on its seals; to be checked with `openssl ts`.
    pub timestamps: u64,
    /// Whether one of them is of the seal that closed the record, or a later one.
    pub is_end_stamped: bool,
    /// Whole lines behind the last seal. Nothing vouches for them.
    pub unsealed_lines: u64,
    /// Bytes behind the last line break.
    pub torn_bytes: u64,
    /// Whether it breaks off within the signature of its last seal.
    pub is_seal_torn: bool,
}

impl VerifiedRecord {
    /// What is wrong with it although every seal is right: a line that was taken out, lines that nobody sealed, no end.
    pub fn complaint(&self) -> Option<RecordFailure> {
        if let Some(first_bad) = self.unacknowledged.first().copied() {
            let reason = "it was taken out, and no sealed line says that it was and why".to_owned();
            return Some(RecordFailure { first_bad, reason });
        }
        let sealed = self.sealed_lines;
        if !self.is_closed || self.is_seal_torn {
            let first_bad = sealed + self.unsealed_lines + 1;
            let rest = match (sealed, self.segments) {
                (_, 0) => "nothing of it is sealed".to_owned(),
                _ => format!("lines 1 to {sealed} are as they were sealed"),
            };
            let reason = format!(
                "the record breaks off before its end: it is still being written, or it was cut; {rest}"
            );
            return Some(RecordFailure { first_bad, reason });
        }
        if self.unsealed_lines > 0 || self.torn_bytes > 0 {
            let reason = "nobody sealed what follows the last seal".to_owned();
            return Some(RecordFailure { first_bad: sealed + 1, reason });
        }
        None
    }
}

/// Checks a record that is given in pieces.
#[derive(Debug)]
pub struct RecordVerifier {
    lines: Lines,
    state: State,
}

impl RecordVerifier {
    /// With the key that must have sealed it, if it is known; else the record's own word is taken for whose it is.
    pub fn new(trusted: Option<PublicKey>) -> Self {
        Self { lines: Lines::default(), state: State::new(trusted) }
    }

    /// Takes a piece. After a failure pieces are counted and left aside.
    pub fn take(&mut self, piece: &[u8]) {
        let state = &mut self.state;
        self.lines.take(piece, |line| state.on_line(&line));
    }

    /// Whether it is decided already that the record is not what was sealed.
    pub fn has_failed(&self) -> bool {
        self.state.failure.is_some()
    }

    /// What was found.
    ///
    /// # Errors
    /// [`RecordFailure`] with the first line that is not as it was sealed.
    pub fn finish(self) -> Result<VerifiedRecord, RecordFailure> {
        let Self { lines, state } = self;
        if let Some(failure) = state.failure {
            return Err(failure);
        }
        let Some(begin) = state.begin else {
            let reason = "this is no record of an incident: its first line is not there".to_owned();
            return Err(RecordFailure { first_bad: 1, reason });
        };
        let key = state.trusted.or(begin.key).ok_or_else(no_key)?;
        // Of a record that nothing seals yet, line 1 is all that can be held against the key.
        if begin.key != Some(key) {
            return Err(other_key());
        }
        let Found { entries, segments, sealed_lines, .. } = state.found;
        Ok(VerifiedRecord {
            incident: begin.incident,
            key,
            sealed_lines,
            entries,
            segments,
            head: (segments > 0).then_some(state.previous),
            sealed_at: state.found.sealed_at,
            is_closed: state.found.is_closed,
            removed: state.found.removed,
            unacknowledged: state.tombstones.into_iter().collect(),
            gaps: state.found.gaps,
            gap_count: state.found.gap_count,
            timestamps: state.found.timestamps,
            is_end_stamped: state.found.closed_in.is_some_and(|end| end <= state.found.stamped),
            unsealed_lines: lines.lines() - sealed_lines,
            torn_bytes: lines.torn_bytes(),
            is_seal_torn: matches!(state.next, Next::Signature(..)) && lines.torn_bytes() > 0,
        })
    }

    /// As [`Self::new`], for a record that will be continued: whole entries behind the last seal are looked at as well.
    pub(crate) fn to_continue(key: PublicKey) -> Self {
        let mut verifier = Self::new(Some(key));
        verifier.state.is_continued = true;
        verifier
    }

    /// The chain up to the last entry that can be kept, and what stays of the file.
    pub(crate) fn into_chain(self) -> Result<(Chain, Resumed), ResumeError> {
        let Self { lines, state } = self;
        if lines.lines() == 0 {
            return Err(ResumeError::NotBegun);
        }
        if let Some(failure) = state.failure {
            return Err(failure.into());
        }
        let key = state.trusted.ok_or_else(no_key)?;
        let begin = state.begin.filter(|begin| begin.key == Some(key)).ok_or_else(other_key)?;
        let kept = state.open.kept;
        let mut open = state.open.entries;
        open.truncate(kept.lines);
        let keep_bytes = if kept.lines > 0 { kept.end } else { state.sealed_end };
        let resumed = Resumed {
            keep_bytes,
            cut_bytes: lines.bytes() - keep_bytes,
            unsealed_entries: kept.lines as u64,
            sealed_at: state.found.sealed_at,
        };
        let chain = Chain {
            record: begin.digest,
            previous: state.previous,
            segments: state.found.segments,
            lines: state.found.sealed_lines + kept.lines as u64,
            open,
            is_closed: state.found.is_closed || kept.has_end,
            key: key.id(),
        };
        Ok((chain, resumed))
    }
}

/// Line 1, as far as it is needed.
#[derive(Debug)]
struct BeginLine {
    digest: Digest,
    incident: String,
    key: Option<PublicKey>,
}

/// What was found in segments that are as they were sealed.
#[derive(Debug, Default)]
struct Found {
    sealed_lines: u64,
    entries: u64,
    segments: u64,
    sealed_at: Option<Moment>,
    is_closed: bool,
    removed: u64,
    gaps: Vec<Gap>,
    gap_count: u64,
    timestamps: u64,
    /// The last segment of which a stamp is.
    stamped: u64,
    /// The segment that has the end.
    closed_in: Option<u64>,
}

/// Which line comes next.
#[derive(Debug)]
enum Next {
    Entry,
    Seal(DigestsLine),
    Signature(DigestsLine, SealLine),
}

#[derive(Debug)]
struct State {
    trusted: Option<PublicKey>,
    is_continued: bool,
    begin: Option<BeginLine>,
    /// Digest of the last seal.
    previous: Digest,
    /// Where the last sealed segment ends.
    sealed_end: u64,
    open: Open,
    next: Next,
    /// Removed lines that nothing owned up to yet.
    tombstones: BTreeSet<u64>,
    found: Found,
    failure: Option<RecordFailure>,
}

impl State {
    fn new(trusted: Option<PublicKey>) -> Self {
        Self {
            trusted,
            is_continued: false,
            begin: None,
            previous: NONE,
            sealed_end: 0,
            open: Open::new(1, false),
            next: Next::Entry,
            tombstones: BTreeSet::new(),
            found: Found::default(),
            failure: None,
        }
    }

    fn on_line(&mut self, line: &Line<'_>) {
        if self.failure.is_some() {
            return;
        }
        let done = if line.number == 1 { self.on_first(line) } else { self.on_other(line) };
        self.failure = done.err();
    }

    /// The first line says what sealed the others: without it nothing can be said of them.
    fn on_first(&mut self, line: &Line<'_>) -> Result<(), RecordFailure> {
        let fail = |reason: &str| RecordFailure { first_bad: 1, reason: reason.to_owned() };
        let read = if line.is_too_long { None } else { serde_json::from_slice(line.bytes).ok() };
        let Some(Entry::Begin(begin)) = read else {
            return Err(fail("it is not the first line of a record"));
        };
        let Begin { record, incident, public_key, .. } = *begin;
        if record != RECORD_VERSION {
            return Err(fail(&format!(
                "the record is of version {record}; this program knows version {RECORD_VERSION}"
            )));
        }
        let key = PublicKey::from_pem(&public_key).ok();
        self.begin = Some(BeginLine { digest: line.digest, incident, key });
        self.open.take(line, self.is_continued, &self.tombstones)
    }

    fn on_other(&mut self, line: &Line<'_>) -> Result<(), RecordFailure> {
        let is = |begin: &[u8]| line.bytes.starts_with(begin);
        match std::mem::replace(&mut self.next, Next::Entry) {
            Next::Entry if is(statement::DIGESTS) => {
                let digests = statement::parse_digests(line.bytes)
                    .filter(|_| !line.is_too_long && !self.open.entries.is_empty());
                let Some(digests) = digests else {
                    return Err(self
                        .open
                        .fail(line.number, "it is not the line of digests that was written"));
                };
                let (number, digest) = (line.number, line.digest);
                self.next = Next::Seal(DigestsLine { number, digest, digests });
            }
            Next::Entry if is(statement::SEAL) => return Err(self.open.without_digests(line)),
            Next::Entry if is(statement::SIGNATURE) => {
                return Err(self
                    .open
                    .fail(line.number, "a signature stands where no seal is above it"));
            }
            Next::Entry => {
                return self.open.take(line, self.is_continued, &self.tombstones);
            }
            Next::Seal(digests) => {
                let seal = Seal::parse(line.bytes).filter(|_| is(statement::SEAL));
                let Some(seal) = seal else {
                    let found = self.open.before_no_seal(&digests);
                    return Err(found.unwrap_or_else(|| {
                        self.open.fail(line.number, "it is not the seal that has to stand here")
                    }));
                };
                let (number, digest) = (line.number, line.digest);
                let seal = SealLine { number, digest, bytes: line.bytes.to_vec(), seal };
                self.next = Next::Signature(digests, seal);
            }
            Next::Signature(digests, seal) => {
                let Some(signed) = Signed::parse(line.bytes) else {
                    let what = "it is not the signature that has to stand here";
                    return Err(self.open.fail(line.number, what));
                };
                self.judge(&digests, &seal, &signed)?;
                self.keep(&seal, line);
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        digests: &DigestsLine,
        seal: &SealLine,
        signed: &Signed,
    ) -> Result<(), RecordFailure> {
        let begin = self.begin.as_ref().expect("the first line was read before any other");
        let place = Place {
            segment: self.found.segments + 1,
            previous: self.previous,
            record: begin.digest,
            key: self.trusted.or(begin.key).ok_or_else(no_key)?,
            is_trusted: self.trusted.is_some(),
        };
        place.judge(&self.open, digests, seal, signed)?;
        if begin.key == Some(place.key) { Ok(()) } else { Err(other_key()) }
    }

    /// A segment is as it was sealed: what it says counts.
    fn keep(&mut self, seal: &SealLine, last: &Line<'_>) {
        let is_closed = seal.seal.is_closed;
        let open = std::mem::replace(&mut self.open, Open::new(last.number + 1, is_closed));
        let found = &mut self.found;
        found.sealed_lines = last.number;
        found.entries += open.entries.len() as u64;
        found.segments += 1;
        found.sealed_at = Some(seal.seal.at);
        found.is_closed = is_closed;
        if is_closed {
            found.closed_in.get_or_insert(found.segments);
        }
        found.removed += open.tombstones.len() as u64;
        found.gap_count += open.gap_count;
        found.timestamps += open.timestamps;
        found.stamped = found.stamped.max(open.stamped);
        let room = MAX_GAPS.saturating_sub(found.gaps.len());
        found.gaps.extend(open.gaps.into_iter().take(room));
        self.tombstones.extend(open.tombstones);
        for line in open.acknowledged {
            self.tombstones.remove(&line);
        }
        self.previous = seal.digest;
        self.sealed_end = last.end;
    }
}

/// Gaps that are told one by one.
const MAX_GAPS: usize = 64;

fn no_key() -> RecordFailure {
    RecordFailure { first_bad: 1, reason: "it names no public key".to_owned() }
}

fn other_key() -> RecordFailure {
    let reason = "it names another key than the one that has to seal the record".to_owned();
    RecordFailure { first_bad: 1, reason }
}
