//! What a client looks like. It does not say what an attack looks like: that is a signature.

use core::fmt;

/// A JA4 TLS client fingerprint: 36 ASCII characters such as
/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
///
/// *Source:* FoxIO JA4 (BSD-3-Clause). The other members of the JA4+ family are under another
/// licence and are deliberately absent.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ja4([u8; 36]);

impl Ja4 {
    /// Wraps 36 bytes; anything outside printable ASCII becomes `?`.
    pub fn new(mut text: [u8; 36]) -> Self {
        for byte in &mut text {
            if !byte.is_ascii_graphic() {
                *byte = b'?';
            }
        }
        Self(text)
    }

    /// The fingerprint as bytes.
    pub const fn as_bytes(&self) -> &[u8; 36] {
        &self.0
    }

    /// The fingerprint as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("constructor admits printable ASCII only")
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a client looks like. Every part is absent behind a trusted proxy, where TLS and framing
/// belong to the proxy (`detection.md`, amendment 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// JA4 of the TLS ClientHello.
    pub ja4: Option<Ja4>,
    /// Hash of the HTTP/2 preface: SETTINGS order and values, first WINDOW_UPDATE, pseudo-header
    /// order of the first request.
    pub http2_preface: Option<u64>,
    /// Hash of the order (HTTP/1: and spelling) of this request's field names.
    pub field_order: Option<u64>,
}
