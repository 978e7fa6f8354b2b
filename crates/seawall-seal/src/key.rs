//! Ed25519 (RFC 8032): the key of an installation, and checking what it signed.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use pem::{EncodeConfig, LineEnding, Pem};

use crate::digest::Digest;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// An Ed25519 signature (RFC 8032 §5.1.6).
pub type Signature = [u8; SIGNATURE_BYTES];

/// Why a key cannot be used, or a signature not be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No PEM, or not of an Ed25519 key. Whoever made the file is to blame.
    #[error("this is no PEM file of an Ed25519 key")]
    Malformed,
    /// The bytes or the signature are not those that were signed with this key.
    #[error("the signature is not one of this key for these bytes")]
    Forged,
    /// The system gave no random bytes. The system's blame.
    #[error("the system gives no random numbers to make a key of")]
    NoRandomness,
}

/// The secret half. Its `Debug` shows the public half only.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(Self).map_err(|_| KeyError::NoRandomness)
    }

    /// The key in a PEM file: PKCS #8 (RFC 8410 §7), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = contents(text, SECRET)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| KeyError::Malformed)
    }

    /// The PEM file of this key. To be kept readable by its owner alone.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`] if the library cannot write it.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        // Version 1 is what every openssl can read.
        let der = self.0.to_pkcs8v1().map_err(|_| KeyError::NoRandomness)?;
        Ok(encoded(SECRET, der.as_ref()))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs `bytes`. Deterministic.
    pub fn sign(&self, bytes: &[u8]) -> Signature {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.0.sign(bytes).as_ref());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey of {:?}", self.public())
    }
}

/// The half that everybody may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key in a PEM file: SubjectPublicKeyInfo (RFC 8410 §4), as `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = contents(text, PUBLIC)?;
        let bytes = der.strip_prefix(&INFO).ok_or(KeyError::Malformed)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Malformed)
    }

    /// The PEM file of this key.
    pub fn to_pem(&self) -> String {
        let mut der = INFO.to_vec();
        der.extend_from_slice(&self.0);
        encoded(PUBLIC, &der)
    }

    /// The name by which people tell keys apart: the first 16 hexadecimal digits of the digest of the
    /// SubjectPublicKeyInfo. Not for proofs.
    pub fn id(&self) -> String {
        let mut der = INFO.to_vec();
        der.extend_from_slice(&self.0);
        Digest::of(&der).to_string()[..16].to_owned()
    }

    /// Whether this key signed `bytes`.
    ///
    /// # Errors
    /// [`KeyError::Forged`] if it did not, or if `signature` is none.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(bytes, signature)
            .map_err(|_| KeyError::Forged)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

const SECRET: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";

/// DER of a SubjectPublicKeyInfo of Ed25519 up to the 32 bytes of the key (RFC 8410 §4): a sequence of
/// the identifier 1.3.101.112 and a string of 33 bytes without unused bits.
const INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

fn contents(text: &str, tag: &str) -> Result<Vec<u8>, KeyError> {
    let parsed = pem::parse(text).map_err(|_| KeyError::Malformed)?;
    if parsed.tag() != tag {
        return Err(KeyError::Malformed);
    }
    Ok(parsed.into_contents())
}

fn encoded(tag: &str, der: &[u8]) -> String {
    pem::encode_config(&Pem::new(tag, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}
