//! WARC 1.1 (ISO 28500:2017): what a record is, writing one, reading one, walking a file of them.
//!
//! Each record is a gzip member of its own, so that one can be read at its place without the others.
//! Its gzip header carries its length (the field `sl` of the early WARC drafts, which other programs
//! skip): a walker gets past a damaged record without searching. It must not search, because a record
//! can hold a file somebody uploaded, and such a file can hold whole forged records.
//!
//! What was read of an archive can come from anywhere. Reading is total, never panics, and needs
//! memory for one record of a bounded size.
//!
//! It does **not** know packages ([`crate::seal_package`]) or which record is wanted.

mod http;
mod members;
mod read;
mod write;

use bytes::Bytes;
use seawall_model::WallTime;
use seawall_seal::Digest;

use crate::capture::Capture;

pub use self::members::{Found, Members};
pub use self::read::{read_checked_member, read_member};
pub(crate) use self::write::clean_url;
pub use self::write::{info_record, response_record, revisit_record};

/// One written record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The gzip member, to be appended to a file.
    pub member: Vec<u8>,
    /// The digest of `member`.
    pub digest: Digest,
    /// The digest of the content.
    pub payload: Digest,
}

/// The response that a revisit says was the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisitOf {
    /// Its URL.
    pub url: String,
    /// When it was captured. To the millisecond, as a WARC is.
    pub captured: WallTime,
    /// The digest of its content, and of that of the revisit.
    pub payload: Digest,
}

/// What a record turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record {
    /// About the file it is in.
    Info,
    /// A response of an origin.
    Response(Capture),
    /// A response whose content is in another record.
    Revisit(Revisit),
    /// Whole, and of no use here: a request, a screenshot, a lookup of a name.
    Other,
}

/// A response whose content was that of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisit {
    /// Status and fields as they came; the body is empty.
    pub head: Capture,
    /// The URL of the record that has the content.
    pub of_url: String,
    /// When that one was captured.
    pub of_captured: WallTime,
    /// The digest of the content, if the record says it in SHA-256.
    pub payload: Option<Digest>,
}

/// `bytes` from `at` on; nothing if they end before.
fn tail(bytes: &Bytes, at: usize) -> Bytes {
    if at < bytes.len() { bytes.slice(at..) } else { Bytes::new() }
}

/// Bytes that a WARC head may have.
const MAX_WARC_HEAD: usize = 64 * 1024;

/// Bytes that an HTTP head may have. Browsers stop at 256 KiB.
const MAX_HTTP_HEAD: usize = 256 * 1024;
