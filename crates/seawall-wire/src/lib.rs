//! Hostile bytes to values.
//!
//! Everything a stranger sends is first read here: the TLS ClientHello, HTTP/1 heads and content
//! framing, HTTP/2 frames, PROXY headers and forwarding fields. Every function is *total* (any
//! input gives a value or a [`Misbehaviour`](seawall_model::Misbehaviour), never a panic) and
//! *bounded* (limits are arguments, or constants with a reason). It is separate so that the
//! compiler enforces both: no clock, socket, file or unsafe code can be named here, and each module
//! has a fuzz target.
//!
//! It deliberately does **not** decide anything, keep per-client state, read responses (the origin
//! side is a library's work), or decrypt.
//!
//! Read next: [`http1`], [`client_hello`], [`http2`].
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod access_line;
mod bytes;
pub mod client_hello;
pub mod forwarded;
mod h1;
mod hpack;
pub mod http2;
mod ja4;
pub mod proxy_header;

/// HTTP/1 request heads and content framing (RFC 9112), strict: what two parsers could read
/// differently is refused.
pub mod http1 {
    pub use crate::h1::body::{BodyDecoder, BodyStep, Trailer};
    pub use crate::h1::head::{BodyFraming, HeadLimits, Parse, Refusal, RequestHead};
    pub use crate::h1::parse::parse_request;
    pub use crate::h1::view::{FieldLines, RequestView};
}
