//! The always-online copy of a site: what is in it, in which form, and what should be fetched next.
//!
//! Separate because all of it can be decided and tested without a network: the edge fetches, asks here
//! what to fetch, and puts here what came. The form is WARC 1.1 in WACZ packages, which outlive this
//! program and open in others.
//!
//! It does **not** fetch, serve or read a clock.

#![forbid(unsafe_code)]

mod capture;
mod dates;
mod error;
mod warc;

pub use self::capture::{Capture, Field};
pub use self::error::{ArchiveError, Damage};
pub use self::warc::{
    Found, Members, Record, Revisit, RevisitOf, Written, info_record, read_checked_member,
    read_member, response_record, revisit_record,
};
