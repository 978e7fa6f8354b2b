//! Retention: which lines of a record have to go, and taking them out without breaking what was sealed.
//!
//! Only `addresses` lines ever go: when their time is over, or when an entry says that they are gone, because somebody there
//! was vouched for. What stands in the place of one has its number and its digest, which is in the sealed
//! list of digests as well; its salt went with it, so that nobody can try addresses until the digest fits. Separate from
//! the writer, because it goes over a record whole, with no state of it but which lines.
//!
//! In this order, so that a crash leaves nothing unsaid: find what is due, append a `removed` entry for those of which
//! nothing is said yet, seal and sync it, write the record anew beside the old one, sync it, rename it. What the disk
//! keeps of a file that was replaced is beyond this program.

use std::collections::BTreeSet;

use serde_json::from_slice;

use crate::lines::Lines;
use crate::statement::{SIGNATURE, Tombstone};
use crate::{Entry, Moment};

/// What has to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Numbers of the sealed lines that still stand though their time is over or an entry says that they are gone, ascending.
    pub lines: Vec<u64>,
    /// Of them: those of which no `removed` entry speaks yet.
    pub unsaid: Vec<u64>,
}

/// Finds what is due in a record that is given in pieces. It should be verified: this only looks for lines.
#[derive(Debug)]
pub struct DueFinder {
    lines: Lines,
    now: Moment,
    /// Whether every line of addresses goes, whatever its time.
    is_all: bool,
    /// Lines of the segment that is not sealed: whose time is over, and others.
    open: [Vec<u64>; 2],
    sealed: BTreeSet<u64>,
    /// Those whose time is not over.
    standing: BTreeSet<u64>,
    said: BTreeSet<u64>,
    next: Option<Moment>,
}

impl DueFinder {
    /// What is due at `now`.
    pub fn new(now: Moment) -> Self {
        let (lines, open, sealed, standing, said) = Default::default();
        Self { lines, now, is_all: false, open, sealed, standing, said, next: None }
    }

    /// Every line of addresses, whatever its time: for an operator who wants them gone.
    pub fn all() -> Self {
        Self { is_all: true, ..Self::new(Moment::default()) }
    }

    /// Takes a piece.
    pub fn take(&mut self, piece: &[u8]) {
        let Self { lines, now, is_all, open: [due, others], sealed, standing, said, next } = self;
        lines.take(piece, |line| {
            if line.bytes.starts_with(SIGNATURE) {
                sealed.extend(due.drain(..));
                standing.extend(others.drain(..));
            } else if line.bytes.starts_with(ADDRESSES) {
                let Ok(Entry::Addresses(found)) = from_slice(line.bytes) else { return };
                let is_due = *is_all || found.remove_at <= *now;
                if !is_due {
                    *next = Some(next.map_or(found.remove_at, |next| next.min(found.remove_at)));
                }
                if sealed.len() + standing.len() + due.len() + others.len() < MAX_DUE {
                    let open = if is_due { &mut *due } else { &mut *others };
                    open.push(line.number);
                }
            } else if line.bytes.starts_with(REMOVED)
                && let Ok(Entry::Removed(found)) = from_slice(line.bytes)
            {
                // Whose time is not over goes once it is said, which has to be sealed as well.
                let stands = |line: &&u64| {
                    sealed.contains(line)
                        || standing.contains(line)
                        || due.contains(line)
                        || others.contains(line)
                };
                said.extend(found.lines.iter().filter(stands));
            }
        });
    }

    /// When the first of those that are not due yet is due; `None` if there is none.
    pub fn next(&self) -> Option<Moment> {
        self.next
    }

    /// What was found. Lines that are not sealed yet are not due before they are.
    pub fn finish(mut self) -> Due {
        self.sealed.extend(self.standing.intersection(&self.said));
        let unsaid = self.sealed.difference(&self.said).copied().collect();
        Due { lines: self.sealed.into_iter().collect(), unsaid }
    }
}

/// Why a record was not written anew. What was given so far is to be thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemovalError {
    /// Whoever asked is to blame.
    #[error("line {0} has no addresses, and nothing else may be removed")]
    NotAddresses(u64),
    /// It is no record.
    #[error("line {0} is longer than a line may be")]
    TooLong(u64),
}

/// Writes a record anew, without some of its lines.
#[derive(Debug)]
pub struct Remover {
    lines: Lines,
    due: BTreeSet<u64>,
    failure: Option<RemovalError>,
}

impl Remover {
    /// Without the lines of these numbers.
    pub fn new(due: impl IntoIterator<Item = u64>) -> Self {
        Self { lines: Lines::default(), due: due.into_iter().collect(), failure: None }
    }

    /// Takes a piece and adds what there is of the new record to `out`. All other lines are the same to the byte.
    ///
    /// # Errors
    /// [`RemovalError`].
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), RemovalError> {
        let Self { lines, due, failure } = self;
        lines.take(piece, |line| {
            let is_due = due.contains(&line.number);
            if line.is_too_long {
                failure.get_or_insert(RemovalError::TooLong(line.number));
            } else if is_due && line.bytes.starts_with(ADDRESSES) {
                let stands = Tombstone { line: line.number, sha256: line.digest };
                out.extend_from_slice(stands.line().as_bytes());
            } else if is_due && Tombstone::parse(line.bytes).is_none() {
                failure.get_or_insert(RemovalError::NotAddresses(line.number));
            } else {
                out.extend_from_slice(line.bytes);
            }
            out.push(b'\n');
        });
        failure.map_or(Ok(()), Err)
    }

    /// Adds what stands behind the last line break.
    ///
    /// # Errors
    /// [`RemovalError`].
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), RemovalError> {
        let torn = self.lines.torn().ok_or(RemovalError::TooLong(self.lines.lines() + 1))?;
        out.extend_from_slice(torn);
        self.failure.map_or(Ok(()), Err)
    }
}

const ADDRESSES: &[u8] = b"{\"entry\":\"addresses\"";
const REMOVED: &[u8] = b"{\"entry\":\"removed\"";

/// Lines of addresses that are taken out at once; a record has a few.
const MAX_DUE: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{addresses, at, end, key, lines, record, removed, second};
    use crate::{RecordVerifier, Resumer, VerifiedRecord};

    fn due(record: &[u8], now: Moment) -> Due {
        let mut finder = DueFinder::new(now);
        for piece in record.chunks(50) {
            finder.take(piece);
        }
        finder.finish()
    }

    fn without(record: &[u8], due: &[u64]) -> Result<Vec<u8>, RemovalError> {
        let (mut remover, mut out) = (Remover::new(due.iter().copied()), Vec::new());
        for piece in record.chunks(50) {
            remover.take(piece, &mut out)?;
        }
        remover.finish(&mut out)?;
        Ok(out)
    }

    fn verified(record: &[u8]) -> VerifiedRecord {
        let mut verifier = RecordVerifier::new(Some(key(1).public()));
        verifier.take(record);
        verifier.finish().expect("the seals hold")
    }

    fn with_addresses() -> Vec<u8> {
        let early = vec![second(1), addresses(at(100))];
        record(&key(1), "one", &[early, vec![addresses(at(200)), end()]])
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    #[test]
    fn addresses_are_due_when_their_time_is_over_and_they_are_sealed() {
        let record = with_addresses();
        assert_eq!(due(&record, at(99)), Due::default());
        assert_eq!(due(&record, at(100)), Due { lines: vec![3], unsaid: vec![3] });
        assert_eq!(due(&record, at(200)), Due { lines: vec![3, 7], unsaid: vec![3, 7] });
        let unsealed = lines(&record)[..8].concat();
        assert_eq!(due(&unsealed, at(200)), Due { lines: vec![3], unsaid: vec![3] });
        let mut all = DueFinder::all();
        all.take(&record);
        assert_eq!(all.finish().lines, [3, 7]);
    }

    #[test]
    fn it_says_when_to_look_again() {
        let record = with_addresses();
        let next = |now: Moment| {
            let mut finder = DueFinder::new(now);
            finder.take(&record);
            finder.next()
        };
        assert_eq!((next(at(99)), next(at(100))), (Some(at(100)), Some(at(200))));
        assert_eq!(next(at(200)), None);
    }

    #[test]
    fn a_line_that_is_said_to_be_gone_goes_before_its_time() {
        let early = vec![second(1), addresses(at(100)), addresses(at(200))];
        let sealed = record(&key(1), "one", &[early, vec![removed(&[3, 2, 99]), end()]]);
        assert_eq!(due(&sealed, at(50)), Due { lines: vec![3], unsaid: vec![] });
        assert_eq!(due(&sealed, at(200)), Due { lines: vec![3, 4], unsaid: vec![4] });
        let after = without(&sealed, &[3]).expect("addresses only");
        assert_eq!((verified(&after).removed, verified(&after).complaint()), (1, None));
        assert_eq!(due(&after, at(50)), Due::default());
    }

    #[test]
    fn what_was_removed_is_nowhere_and_the_record_still_verifies() {
        let key = key(1);
        let before = with_addresses();
        let found = due(&before, at(150));
        let mut resumer = Resumer::new(&key);
        resumer.take(&before);
        let (mut chain, _) = resumer.finish().expect("whole");
        let mut said = before.clone();
        said.extend(chain.append(&removed(&found.unsaid)).expect("it may follow the end"));
        said.extend(chain.seal(&key, at(160)).expect("one entry"));
        // A crash here leaves work, and nothing to say twice.
        assert_eq!(due(&said, at(170)), Due { lines: vec![3], unsaid: vec![] });
        assert_eq!(verified(&said).complaint(), None);

        let after = without(&said, &found.lines).expect("addresses only");
        let mut rest = lines(&said);
        let gone = rest.remove(2);
        let rest = rest.concat();
        for part in gone.windows(12) {
            let is_elsewhere = contains(&rest, part);
            assert!(is_elsewhere || !contains(&after, part), "{}", part.escape_ascii());
        }
        let text = String::from_utf8(gone).expect("text");
        let secret = |name: &str| text.split(name).nth(1).expect("a field")[..20].to_owned();
        for secret in [secret("\"salt\":\""), secret("\"address\":\"")] {
            assert!(!contains(&after, secret.as_bytes()), "{secret}");
        }
        let found = verified(&after);
        assert_eq!((found.removed, found.complaint()), (1, None));
        assert_eq!(due(&after, at(170)), Due::default(), "there is nothing left to do");
        let (old, new) = (lines(&said), lines(&after));
        assert_eq!(old.len(), new.len());
        let same = old.iter().zip(&new).filter(|(old, new)| old == new).count();
        assert_eq!(same, old.len() - 1, "all other lines are the same");
        assert!(without(&after, &[3]).is_ok_and(|again| again == after), "twice is as once");
    }

    #[test]
    fn nothing_but_addresses_is_ever_removed() {
        let record = with_addresses();
        for line in [1, 2, 4, 5, 6, 8] {
            assert_eq!(without(&record, &[line]), Err(RemovalError::NotAddresses(line)));
        }
        assert!(without(&record, &[]).is_ok_and(|same| same == record));
        assert!(without(&record, &[99]).is_ok_and(|same| same == record));
    }

    #[test]
    fn what_is_torn_stays_and_what_is_too_long_is_refused() {
        let mut record = with_addresses();
        record.extend(b"{\"entry\":\"sec");
        assert!(without(&record, &[]).is_ok_and(|same| same == record));
        let long = vec![b'x'; crate::MAX_LINE_BYTES + 1];
        assert_eq!(without(&long, &[]), Err(RemovalError::TooLong(1)));
    }
}
