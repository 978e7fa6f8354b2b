//! A shared HTTP cache: what may be stored and reused, and the store that keeps it.
//!
//! Two halves. The semantics are pure functions of a message and the time (RFC 9111, 5861, 8246,
//! 9110 §13 and §14, 9211, 9213); the store holds bytes in memory and on disk. Separate from the
//! edge so that both can be tested without a socket.
//!
//! It deliberately does **not** do IO on sockets, await, read clocks, or decide who may ask.
//!
//! Read next: [`storable`], [`reuse`], [`Key`].
#![forbid(unsafe_code)]

#[cfg(test)]
mod adversary;
pub mod cache_control;
mod cache_status;
mod conditional;
mod cookies;
mod encode;
mod entry;
mod flight;
mod freshness;
mod head;
mod key;
mod learn;
mod links;
mod misses;
mod policy;
mod range;
mod store;
mod vary;

pub use crate::cache_status::{CacheStatus, Collapsed, Forward, Stored, write_cache_status};
pub use crate::conditional::{
    Precondition, Validators, is_sent_with_304, precondition, validators,
};
pub use crate::cookies::{
    CookiePatterns, OWN_COOKIE, PASS_COOKIE, PLAIN_PASS_COOKIE, classify_cookies,
    without_own_cookie,
};
pub use crate::encode::{Encoding, Wants};
pub use crate::entry::{Entry, Representation};
pub use crate::flight::{Failed, FlightLimits, Flights, Join, Lead};
pub use crate::freshness::{Freshness, StaleRule, parse_http_date};
pub use crate::head::{FilledUnder, Invalidation, MapFields, StoredHead, strip_hop_by_hop};
pub use crate::key::{HashSeed, Key, Scheme};
pub use crate::learn::{
    LearnStats, Learned, Learner, LearnerConfig, Observed, Probe, QueryRules, Verdict,
};
pub use crate::misses::{Asking, Credence, Misses};
pub use crate::policy::{
    HeadUpdate, NoStore, Refreshed, RequestMeta, Reuse, SitePolicy, head_response_updates,
    invalidated_by, is_error_status, may_serve_stale_on_error, may_serve_stale_when_disconnected,
    only_if_cached, refresh, reuse, storable,
};
pub use crate::range::{ByteRange, ContentRange, RangePlan, ranges};
pub use crate::store::{
    DiskFiles, DiskRef, Epoch, Files, Lookup, OpenReport, Store, StoreConfig, StoreError,
    StoreStats,
};
pub use crate::vary::{MAX_SELECTING_FIELDS, VaryKey, vary_matches};
