//! What can go wrong with the archive, and whose fault it is.

use std::io;

use seawall_model::WallTime;
use seawall_seal::KeyError;

/// Why something of the archive could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The system did not read or write: a full disk, a missing file, a broken disk. The system's blame.
    #[error("the system could not {what}")]
    Io {
        /// What was attempted, as in `write the package`.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Bytes are not what was written. Disk, transport or forger.
    #[error("damaged: {0}")]
    Damaged(Damage),
    /// Whole as far as it was read, but more than may be held in memory.
    #[error("the content is larger than the {max} bytes that may be read")]
    TooLarge {
        /// The bound that was given.
        max: usize,
    },
    /// In a form that this program does not read, though others may.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The record of a page is not what was written. It was not given out.
    #[error("the copy of `{url}` is damaged")]
    Record {
        /// The page whose record it is: another than was asked for if that refers to its content.
        url: String,
        /// When it was captured.
        captured: WallTime,
    },
    /// Another process has the archive open. The operator's to mend.
    #[error("another process has this archive open; is seawall running?")]
    InUse,
    /// The index cannot be read or written.
    #[error("the index of the archive cannot be used")]
    Index(#[source] Box<redb::Error>),
    /// A key or a signature is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl ArchiveError {
    /// For `map_err` of the calls that do `what`.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// In what way bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// They end too early.
    #[error("it ends in the middle")]
    Truncated,
    /// No gzip member, or its checksum is another.
    #[error("it is no whole gzip member")]
    Gzip,
    /// There is something behind the end.
    #[error("there is more behind its end")]
    Trailing,
    /// No WARC record, or a required field is missing or malformed.
    #[error("its WARC head is malformed")]
    WarcHead,
    /// No HTTP response in a record that says it is one.
    #[error("its HTTP head is malformed")]
    HttpHead,
    /// The content is not framed or coded as its HTTP head says.
    #[error("its content is not coded as it says")]
    Coding,
    /// The bytes have another digest.
    #[error("its digest is another")]
    Digest,
    /// No ZIP file, or not laid out as its directory says.
    #[error("its ZIP structure is malformed")]
    Zip,
    /// A list or a manifest in it is malformed.
    #[error("a list in it is malformed")]
    List,
}

impl From<Damage> for ArchiveError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<io::Error> for ArchiveError {
    fn from(source: io::Error) -> Self {
        Self::Io { what: "use the archive's folder", source }
    }
}
