//! The vocabulary that every other crate of Seawall speaks.
//!
//! Plain values only: facts about a request, the decision taken on it, the cause of that decision,
//! the event it leaves behind, and the limits that bound everything. It is separate so that the
//! data plane (`seawall-wire`, `seawall-decide`) and the control plane can share words without
//! seeing each other.
//!
//! It deliberately does **not** read clocks, sockets or files, does not serialise (formats live at
//! the edges), and knows no policy.
//!
//! Read next: [`Facts`], [`Decision`], [`Cause`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate alloc;

mod addr;
mod attribute;
mod country;
mod date;
mod decision;
mod event;
mod facts;
mod fields;
mod fingerprint;
mod identity;
mod language;
mod limits;
mod misbehaviour;
mod mitigation;
mod observation;
mod signature;
mod time;

pub use crate::addr::{ClientAddr, InvalidPrefix, Prefix};
pub use crate::attribute::{Attribute, AttributeValue, Attributes, UNKNOWN};
pub use crate::country::Country;
pub use crate::date::Date;
pub use crate::decision::{Cause, Decision, Refusal};
pub use crate::event::{Event, EventKind};
pub use crate::facts::{BodyLength, CookieClass, Facts, Held, HttpVersion, Method, Priority};
pub use crate::fields::Fields;
pub use crate::fingerprint::{Fingerprint, Ja4};
pub use crate::identity::{Identity, Standing};
pub use crate::language::Language;
pub use crate::limits::{Http2Limits, Limits, MadeUpLimits, PerSecond};
pub use crate::misbehaviour::Misbehaviour;
pub use crate::mitigation::{MAX_MITIGATIONS, Mitigation, MitigationId, Rung};
pub use crate::observation::{
    ConnectionSignal, LATE, Met, Observation, Referrer, RequestKind, Test, Work,
};
pub use crate::signature::{Signature, Term};
pub use crate::time::{Instant, WallTime};
