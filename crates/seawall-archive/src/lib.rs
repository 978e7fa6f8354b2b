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
mod entity;
mod error;
mod export;
mod frontier;
mod html;
mod index;
mod keep;
mod known;
mod links;
mod moments;
mod normal;
mod note;
mod plain;
mod scope;
mod sitemap;
mod store;
mod style;
mod verify;
mod wacz;
mod warc;

pub use self::capture::{Capture, Field};
pub use self::dates::{parse as parse_rfc3339, with_seconds as rfc3339};
pub use self::entity::escape_html;
pub use self::error::{ArchiveError, Damage};
pub use self::export::{Exported, Shelf, export_folder, export_wacz};
pub use self::frontier::{
    FailReason, FetchOutcome, Known, MAX_VALIDATOR_BYTES, Validators, after_fetch, asked_for,
    discovered, noticed, seed,
};
pub use self::keep::{Keep, KeepPolicy, judge_response};
pub use self::links::{
    Link, LinkKind, LinkSource, MAX_LINKS, MAX_TITLE_CHARS, Reading, links, read,
};
pub use self::normal::{MAX_URL_BYTES, normal_url};
pub use self::note::{NOTE_STYLE, NOTE_STYLE_PATH, Note, Why, Zone, with_note};
pub use self::plain::{FileAddress, exported_address, file_address, file_type};
pub use self::scope::{FoundBy, Refusal, Scope, ScopeRules, Verdict};
pub use self::store::{
    Archive, ArchiveOptions, ArchiveStats, Discovered, Fetched, Held, HeldVersion, Import,
    Imported, Kept, Provenance, Repaired, Upkeep,
};
pub use self::verify::{Verified, VerifyFailure, verify_package, verify_package_in};
pub use self::wacz::{
    Package, PackageEntry, PackageMeta, Sealed, WarcFile, member_at, package_files, read_package,
    read_package_in, seal_package,
};
pub use self::warc::{
    Found, Members, Record, Revisit, RevisitOf, Written, info_record, read_checked_member,
    read_member, response_record, revisit_record,
};
