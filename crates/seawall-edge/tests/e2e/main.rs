//! The edge as a whole, over loopback: raw bytes in, raw bytes out, a scripted origin behind it.
//!
//! Every test starts its own server on ports the system chooses and in a folder of its own. Nothing
//! sleeps: tests wait for bytes, bounded by read time-outs. What must *not* have reached the origin
//! is shown by a marker request sent afterwards, which must be the only one that arrived.
#![forbid(unsafe_code)]

mod admin;
mod admission;
mod ambiguous;
mod archive;
mod cache;
mod cheap_test;
mod client;
mod credentials;
mod crossings;
mod detection;
mod fields;
mod guards;
mod hellos;
mod life;
mod memory;
mod messages;
mod origin;
mod ports;
mod queries;
mod refusals;
mod routes;
mod sharing;
mod shield;
mod timeouts;
mod tls;
mod trouble;
mod upload;
mod validation;
mod waiting;
mod watching;
