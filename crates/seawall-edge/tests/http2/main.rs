//! HTTP/2 as a client sees it: raw frames over TLS against a whole server.
//!
//! Separate from the unit tests because the library, the frame observer and the connection task
//! only together refuse what RFC 9113 wants refused.
#![forbid(unsafe_code)]

mod abuse;
mod answers;
mod cheap_test;
mod client;
mod flow;
mod hpack;
mod in_hand;
mod life;
mod rules;
mod site;
