//! One segment of a record: what its lines are, whether they are what was sealed, and which is the first that is not.
//!
//! *Signal:* the seal is signed and holds the digest of the line of digests, which holds those of the entries. Where
//! something does not fit, what does fit tells which of two lines is to blame: the signature's line says of which seal it
//! is, and digests that agree with the seal are believed against an entry. Blind where several lines of a segment were
//! altered together and its line of digests with them: then that line is named, and that others may be altered too.

use std::collections::BTreeSet;

use seawall_seal::{Digest, PublicKey};
use serde::de::IgnoredAny;

use super::{MAX_GAPS, RecordFailure};
use crate::chain::{MAX_SEGMENT_LINES, may_follow_end};
use crate::lines::Line;
use crate::statement::{self, Seal, Signed, Tombstone, digests_line};
use crate::{Entry, Gap};

/// The line of digests.
#[derive(Debug)]
pub(super) struct DigestsLine {
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) digests: Vec<Digest>,
}

/// The seal's line.
#[derive(Debug)]
pub(super) struct SealLine {
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) seal: Seal,
}

/// Entries that could be continued after a crash: whole, and with nothing odd before them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    pub(super) lines: usize,
    /// Bytes of the record up to the last of them.
    pub(super) end: u64,
    pub(super) has_end: bool,
}

/// The entries since the last seal.
#[derive(Debug)]
pub(super) struct Open {
    first_line: u64,
    pub(super) entries: Vec<Digest>,
    /// The first line that is none that we write. It may still be sealed.
    suspect: Option<RecordFailure>,
    /// The first line that may not stand behind the `end`.
    misplaced: Option<u64>,
    was_closed: bool,
    has_end: bool,
    pub(super) tombstones: Vec<u64>,
    /// Removed lines that entries own up to; each once, however often it is named.
    pub(super) acknowledged: BTreeSet<u64>,
    pub(super) gaps: Vec<Gap>,
    pub(super) gap_count: u64,
    pub(super) timestamps: u64,
    /// The last segment of which a stamp is.
    pub(super) stamped: u64,
    pub(super) kept: Kept,
}

impl Open {
    pub(super) fn new(first_line: u64, was_closed: bool) -> Self {
        Self {
            first_line,
            entries: Vec::new(),
            suspect: None,
            misplaced: None,
            was_closed,
            has_end: false,
            tombstones: Vec::new(),
            acknowledged: BTreeSet::new(),
            gaps: Vec::new(),
            gap_count: 0,
            timestamps: 0,
            stamped: 0,
            kept: Kept::default(),
        }
    }

    /// A failure at `line`, or at a line before it that is odd.
    pub(super) fn fail(&self, line: u64, reason: &str) -> RecordFailure {
        let here = || RecordFailure { first_bad: line, reason: reason.to_owned() };
        self.suspect.clone().filter(|suspect| suspect.first_bad <= line).unwrap_or_else(here)
    }

    /// Takes a line that is no statement. Lines that are none of ours are taken as well: which of several is the first
    /// that was altered shows when the digests come.
    pub(super) fn take(
        &mut self,
        line: &Line<'_>,
        is_continued: bool,
        removed: &BTreeSet<u64>,
    ) -> Result<(), RecordFailure> {
        // A line break that was put in makes one line too many: to be told where, not that there are too many.
        if self.entries.len() > MAX_SEGMENT_LINES || removed.len() > MAX_REMOVED {
            return Err(self.fail(line.number, "the segment has more lines than one may have"));
        }
        let mut digest = line.digest;
        if line.is_too_long {
            self.suspect(line, "it is longer than a line may be");
        } else if line.bytes.starts_with(statement::REMOVED) {
            match Tombstone::parse(line.bytes).filter(|found| found.line == line.number) {
                Some(tombstone) if line.number > 1 => {
                    digest = tombstone.sha256;
                    self.tombstones.push(line.number);
                }
                _ => self.suspect(line, "it is not what stands for a line that was removed here"),
            }
        } else if !line.bytes.starts_with(statement::ENTRY) {
            self.suspect(line, "it is no line of a record");
        } else if line.bytes.ends_with(b"\r") {
            self.suspect(line, "it ends in a carriage return: the file was converted on the way");
        } else if !line.bytes.ends_with(b"}") {
            self.suspect(line, "it is not whole");
        } else {
            self.read(line, removed);
        }
        self.entries.push(digest);
        if is_continued {
            self.count_kept(line);
        }
        Ok(())
    }

    /// What the checks need to know of an entry; all others are only compared with their digests.
    fn read(&mut self, line: &Line<'_>, removed: &BTreeSet<u64>) {
        let tag = line.bytes[statement::ENTRY.len()..].split(|byte| *byte == b'"').next();
        let tag = tag.unwrap_or_default();
        let is_closed = self.was_closed || self.has_end;
        if !matches!(tag, b"begin" | b"end" | b"gap" | b"removed" | b"timestamp") && !is_closed {
            return;
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line.bytes) else {
            return self.suspect(line, "it cannot be read");
        };
        if is_closed && !may_follow_end(&entry) {
            self.misplaced.get_or_insert(line.number);
        }
        match entry {
            Entry::Begin(_) if line.number > 1 => {
                self.misplaced.get_or_insert(line.number);
            }
            Entry::End(_) => self.has_end = true,
            Entry::Gap(gap) => {
                self.gap_count += 1;
                if self.gaps.len() < MAX_GAPS {
                    self.gaps.push(gap);
                }
            }
            Entry::Removed(said) => {
                let stands = said.lines.into_iter().filter(|said| {
                    removed.contains(said) || self.tombstones.binary_search(said).is_ok()
                });
                self.acknowledged.extend(stands);
            }
            Entry::Timestamp(stamp) => {
                self.timestamps += 1;
                self.stamped = self.stamped.max(stamp.segment);
            }
            _ => {}
        }
    }

    fn suspect(&mut self, line: &Line<'_>, reason: &str) {
        let first_bad = line.number;
        self.suspect.get_or_insert_with(|| RecordFailure { first_bad, reason: reason.to_owned() });
    }

    fn count_kept(&mut self, line: &Line<'_>) {
        let is_entry = line.bytes.starts_with(statement::ENTRY)
            && serde_json::from_slice::<IgnoredAny>(line.bytes).is_ok();
        let is_next = self.kept.lines + 1 == self.entries.len();
        let is_sound = self.suspect.is_none() && self.misplaced.is_none();
        if is_entry && is_next && is_sound && self.entries.len() <= MAX_SEGMENT_LINES {
            self.kept = Kept { lines: self.entries.len(), end: line.end, has_end: self.has_end };
        }
    }

    /// A seal stands where entries or digests should.
    pub(super) fn without_digests(&self, line: &Line<'_>) -> RecordFailure {
        let fits = |entries: &[Digest], seal: &Seal| {
            Digest::of(digests_line(entries).as_bytes()).to_string() == seal.digests
        };
        let Some((_, before)) = self.entries.split_last() else {
            return self.fail(line.number, "a seal stands where an entry has to stand");
        };
        match Seal::parse(line.bytes) {
            None => self.fail(line.number, "it is not the seal that has to stand here"),
            Some(seal) if fits(&self.entries, &seal) => {
                self.fail(line.number, "the line of digests before it is missing")
            }
            Some(seal) if fits(before, &seal) => {
                self.fail(line.number - 1, "it is not the line of digests that was written")
            }
            Some(seal) if seal.first_line.checked_add(seal.lines) == Some(line.number - 1) => {
                self.fail(line.number - 1, "the line of digests has to stand here")
            }
            // The digests hang on the last entry, of which no more is known than its digest.
            Some(seal)
                if seal.lines == self.entries.len() as u64
                    && seal.first_line.checked_add(seal.lines) == Some(line.number) =>
            {
                self.fail(line.number - 1, "it does not end where an entry has to end")
            }
            Some(_) => self.fail(line.number, "a seal stands where it does not belong"),
        }
    }

    /// No seal stands below the digests. If they are of none of the entries, they stand in the place of an entry.
    pub(super) fn before_no_seal(&self, digests: &DigestsLine) -> Option<RecordFailure> {
        let is_foreign =
            self.entries.iter().zip(&digests.digests).all(|(found, sealed)| found != sealed);
        if is_foreign {
            return Some(self.fail(digests.number, "digests of other lines stand here"));
        }
        self.first_difference(digests)
    }

    /// The first entry that is not what the digests say.
    pub(super) fn first_difference(&self, digests: &DigestsLine) -> Option<RecordFailure> {
        let pairs = self.entries.iter().zip(&digests.digests);
        if let Some(index) = pairs.clone().position(|(found, sealed)| found != sealed) {
            return Some(self.fail(self.first_line + index as u64, "it is not what was sealed"));
        }
        let (found, sealed) = (self.entries.len(), digests.digests.len());
        let behind = self.first_line + found.min(sealed) as u64;
        match found.cmp(&sealed) {
            std::cmp::Ordering::Less => Some(self.fail(behind, "a line is missing before it")),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(self.fail(behind, "it was put in")),
        }
    }
}

/// Where a segment stands, and who has to have sealed it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) previous: Digest,
    pub(super) record: Digest,
    pub(super) key: PublicKey,
    pub(super) is_trusted: bool,
}

impl Place {
    /// Whether a segment is what was sealed for this place.
    pub(super) fn judge(
        &self,
        open: &Open,
        digests: &DigestsLine,
        seal: &SealLine,
        signed: &Signed,
    ) -> Result<(), RecordFailure> {
        let is_signed = self.key.verify(&seal.bytes, &signed.signature).is_ok();
        let is_seal_named = signed.of == seal.digest;
        if is_signed || is_seal_named {
            self.stands_here(open, seal)?;
        }
        let is_digests_sealed = digests.digest.to_string() == seal.seal.digests;
        if (is_digests_sealed || !is_seal_named)
            && let Some(failure) = open.first_difference(digests)
        {
            return Err(failure);
        }
        if !is_signed || !is_seal_named {
            return Err(self.unsigned(open, digests, seal, is_signed, is_seal_named));
        }
        if !is_digests_sealed {
            return Err(other_digests(open, digests, seal));
        }
        self.is_in_order(open, seal)
    }

    /// Whether it is this segment of this record.
    fn stands_here(&self, open: &Open, seal: &SealLine) -> Result<(), RecordFailure> {
        let Seal { segment, first_line, previous, record, .. } = &seal.seal;
        // In the first segment an altered first line is found by its digest.
        if self.segment > 1 && *record != self.record.to_string() {
            return Err(open.fail(open.first_line, "this segment belongs to another record"));
        }
        if *segment != self.segment {
            let words = format!("segment {segment} stands where {} has to stand", self.segment);
            return Err(open.fail(open.first_line, &words));
        }
        if *previous != self.previous.to_string() || *first_line != open.first_line {
            let words = "this segment does not continue the one before it";
            return Err(open.fail(open.first_line, words));
        }
        Ok(())
    }

    /// Seal, signature and key do not belong together.
    fn unsigned(
        &self,
        open: &Open,
        digests: &DigestsLine,
        seal: &SealLine,
        is_signed: bool,
        is_seal_named: bool,
    ) -> RecordFailure {
        let signature = seal.number + 1;
        if is_signed {
            return open.fail(signature, "it is not what was written under the seal");
        }
        if !is_seal_named {
            return open
                .fail(seal.number, "the seal, and the signature below it, do not belong together");
        }
        if digests.digest.to_string() != seal.seal.digests {
            return other_digests(open, digests, seal);
        }
        let (ours, theirs) = (self.key.id(), &seal.seal.key);
        if *theirs == ours {
            return open.fail(signature, "it is not the signature of the key that it should be of");
        }
        let words = match self.is_trusted {
            true => format!("it was sealed with key {theirs}, not with the key given, {ours}"),
            false => format!("it was sealed with key {theirs}, not with that of line 1, {ours}"),
        };
        open.fail(open.first_line, &words)
    }

    /// Whether what was sealed is what a record may say. Only the holder of the key can have done it wrong.
    fn is_in_order(&self, open: &Open, seal: &SealLine) -> Result<(), RecordFailure> {
        let Seal { lines, record, key, is_closed, .. } = &seal.seal;
        if let Some(suspect) = &open.suspect {
            return Err(suspect.clone());
        }
        if let Some(line) = open.misplaced {
            return Err(open.fail(line, "such a line may not stand here"));
        }
        let is_right = *lines == open.entries.len() as u64
            && *record == self.record.to_string()
            && *key == self.key.id()
            && *is_closed == (open.was_closed || open.has_end);
        if is_right {
            Ok(())
        } else {
            Err(open.fail(seal.number, "the seal contradicts its lines"))
        }
    }
}

/// The line of digests is not the one that was sealed.
fn other_digests(open: &Open, digests: &DigestsLine, seal: &SealLine) -> RecordFailure {
    let rebuilt = Digest::of(digests_line(&open.entries).as_bytes()).to_string();
    if rebuilt == seal.seal.digests {
        return open.fail(digests.number, "it is not the line of digests that was sealed");
    }
    let words = format!(
        "it is not the line of digests that was sealed; of lines {} to {} others may be altered too",
        open.first_line,
        digests.number - 1
    );
    open.fail(digests.number, &words)
}

/// Removed lines that are kept in mind until an entry owns up to them.
const MAX_REMOVED: usize = 65_536;
