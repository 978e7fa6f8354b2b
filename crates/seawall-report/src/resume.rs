//! Goes on with a record that a crash or a kill interrupted.
//!
//! Separate from the writer, because it reads: a whole record goes through it once, in bounded memory. Nothing that is
//! sealed is ever cut. Of what was not sealed, whole entries stay and are sealed with what follows; whoever continues
//! writes a `gap` first, which says that and how many bytes were cut.

use seawall_seal::SigningKey;

use crate::Moment;
use crate::chain::Chain;
use crate::verify::{RecordFailure, RecordVerifier};

/// What stands of an interrupted record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// So many bytes stay; the file has to be cut there before anything is written.
    pub keep_bytes: u64,
    /// So many are cut: a torn line, or a seal that was not finished.
    pub cut_bytes: u64,
    /// Entries that stay and are not sealed yet.
    pub unsealed_entries: u64,
    /// When the last seal was made.
    pub sealed_at: Option<Moment>,
}

/// Why a record cannot be continued. The file is to be left as it is, and another record begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// It has not even a first line: there is nothing to lose.
    #[error("the record has no first line")]
    NotBegun,
    /// It was begun with another key, or what is sealed in it was altered.
    #[error("the record is not what was written: {0}")]
    Damaged(#[from] RecordFailure),
}

/// Takes an interrupted record in pieces.
#[derive(Debug)]
pub struct Resumer(RecordVerifier);

impl Resumer {
    /// For a record that `key` seals.
    pub fn new(key: &SigningKey) -> Self {
        Self(RecordVerifier::to_continue(key.public()))
    }

    /// Takes a piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.0.take(piece);
    }

    /// The chain, as if it had never been interrupted, and what stays of the file.
    ///
    /// # Errors
    /// [`ResumeError`] if it must not be continued.
    pub fn finish(self) -> Result<(Chain, Resumed), ResumeError> {
        self.0.into_chain()
    }
}

#[cfg(test)]
mod tests {
    use seawall_seal::SigningKey;

    use super::*;
    use crate::testing::{at, end, gap, key, lines, record, row, second, small};
    use crate::{RecordVerifier, VerifiedRecord};

    fn resume(bytes: &[u8], key: &SigningKey) -> Result<(Chain, Resumed), ResumeError> {
        let mut resumer = Resumer::new(key);
        resumer.take(bytes);
        resumer.finish()
    }

    /// As the writer does: cuts, says that there is a gap, ends and seals.
    fn continued(bytes: &[u8], key: &SigningKey) -> Vec<u8> {
        let (mut chain, resumed) = resume(bytes, key).expect("it was only interrupted");
        let keep = usize::try_from(resumed.keep_bytes).expect("it is short");
        assert_eq!(resumed.cut_bytes, (bytes.len() - keep) as u64);
        let mut bytes = bytes[..keep].to_vec();
        if !chain.is_closed() {
            bytes.extend(chain.append(&gap()).expect("short"));
            bytes.extend(chain.append(&end()).expect("short"));
        }
        if chain.open_lines() > 0 {
            bytes.extend(chain.seal(key, at(9)).expect("not empty"));
        }
        bytes
    }

    fn verified(bytes: &[u8], key: &SigningKey) -> VerifiedRecord {
        let mut verifier = RecordVerifier::new(Some(key.public()));
        verifier.take(bytes);
        verifier.finish().expect("as it was sealed")
    }

    #[test]
    fn a_record_that_was_cut_at_any_byte_is_continued_and_nothing_sealed_is_lost() {
        let key = key(1);
        let whole = small(&key, "one");
        let first = lines(&whole)[0].len();
        for length in 0..=whole.len() {
            let cut = &whole[..length];
            if length < first {
                assert_eq!(resume(cut, &key).map(drop), Err(ResumeError::NotBegun));
                continue;
            }
            let before = verified(cut, &key);
            let bytes = continued(cut, &key);
            let after = verified(&bytes, &key);
            assert_eq!(after.complaint(), None, "{length}");
            assert!(after.sealed_lines >= before.sealed_lines, "{length}");
            let cut = lines(cut);
            let entries =
                cut.iter().filter(|line| line.starts_with(b"{\"entry\"") && line.ends_with(b"\n"));
            for entry in entries {
                assert!(lines(&bytes).contains(entry), "{length}");
            }
        }
    }

    #[test]
    fn the_chain_goes_on_as_if_it_had_never_been_interrupted() {
        let key = key(1);
        let bytes = record(&key, "one", &[vec![second(1)], vec![row(2), row(3)]]);
        let (mut chain, resumed) = resume(&bytes, &key).expect("whole");
        assert_eq!((resumed.keep_bytes, resumed.cut_bytes), (bytes.len() as u64, 0));
        assert_eq!((resumed.unsealed_entries, chain.segments(), chain.lines()), (0, 2, 10));
        let mut more = bytes.clone();
        more.extend(chain.append(&end()).expect("short"));
        more.extend(chain.seal(&key, at(chain.lines())).expect("one entry"));
        let want = record(&key, "one", &[vec![second(1)], vec![row(2), row(3)], vec![end()]]);
        assert!(more == want, "the same bytes");
    }

    #[test]
    fn what_a_crash_left_behind_the_entries_is_cut() {
        let key = key(1);
        let mut bytes = record(&key, "one", &[vec![second(1)]]);
        let sealed = bytes.len();
        let more = b"{\"entry\":\"fault\",\"at\":\"1970-01-01T00:00:00.001Z\",\"part\":\"\",\"what\":\"\"}\n";
        for (rest, kept) in [
            (&b"\0\0\0\n"[..], 0),
            (b"{\"entry\":\"row\",\0\0}\n", 0),
            (b"{\"entry\":\"no", 0),
            (b"{\"removed\":{}}\n", 0),
            (more, more.len()),
        ] {
            bytes.truncate(sealed);
            bytes.extend(rest);
            bytes.extend(b"\0\0");
            let (chain, resumed) = resume(&bytes, &key).expect("it is sealed up to there");
            assert_eq!(resumed.keep_bytes, (sealed + kept) as u64);
            assert_eq!(chain.open_lines(), usize::from(kept > 0));
            verified(&continued(&bytes, &key), &key);
        }
    }

    #[test]
    fn what_was_altered_or_is_of_another_key_is_left_alone() {
        let (ours, theirs) = (key(1), key(2));
        let mut bytes = small(&ours, "one");
        let found = resume(&bytes, &theirs).expect_err("another key");
        assert!(matches!(found, ResumeError::Damaged(failure) if failure.first_bad == 1));
        let begun = &lines(&bytes)[0];
        let found = resume(begun, &theirs).expect_err("another key");
        assert!(matches!(found, ResumeError::Damaged(failure) if failure.first_bad == 1));
        let last = lines(&bytes)[0].len() + 20;
        bytes[last] ^= 1;
        let found = resume(&bytes, &ours).expect_err("altered");
        assert!(matches!(found, ResumeError::Damaged(failure) if failure.first_bad == 2));
    }
}
