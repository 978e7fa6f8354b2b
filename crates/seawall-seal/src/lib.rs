//! What is signed and verified: SHA-256 digests, lists of them, Ed25519 signatures.
//!
//! Separate because the archive and the incident record must be checked by the same few lines, which
//! a stranger can read. Every form here is one that public tools know: a list of digests is what
//! `sha256sum --check` reads, keys are PEM files of `openssl`, a signature is its 64 bytes
//! (`openssl pkeyutl -verify -pubin -inkey KEY -rawin -in FILE -sigfile SIGNATURE`).
//!
//! It does **not** read files, keep keys or say what has to be signed.

#![forbid(unsafe_code)]

mod age;
mod digest;
mod key;
mod list;
mod name;

pub use self::age::{AgeError, Recipient, encrypt};
pub use self::digest::{Digest, Hasher};
pub use self::key::{KeyError, PublicKey, SIGNATURE_BYTES, Signature, SigningKey};
pub use self::list::{DigestList, ListError};
pub use self::name::name_uuid;
