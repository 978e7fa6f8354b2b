//! What a request looks like to somebody who looks for an attack: one keyed hash for each of fifteen
//! attributes.
//!
//! A hash, because a flood chooses its values and only their equality matters; a keyed one, because
//! nobody outside may choose which of them are equal. It deliberately does **not** say how a value is
//! made from a request (`seawall-decide` does), nor what it was in words (`seawall-detect` keeps some).
//!
//! *Source:* detection.md §2.3.

/// One thing about a request that tells kinds of clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Attribute {
    /// JA4 of the TLS ClientHello.
    Ja4,
    /// Hash of the HTTP/2 preface.
    Http2Preface,
    /// Order and spelling of field names.
    FieldOrder,
    /// How many field lines there are, in buckets.
    FieldCount,
    /// Family and major version of what the user agent says it is.
    UserAgentFamily,
    /// The `User-Agent` field as it stands, or its absence.
    UserAgent,
    /// The `Accept-Language` field.
    AcceptLanguage,
    /// The `Accept` and `Accept-Encoding` fields.
    Accept,
    /// How far fetch metadata and client hints agree with the user agent: 0 (not at all) to 3.
    Consistency,
    /// Which kind of cookie it carries, and whose.
    Cookie,
    /// The method and the protocol version.
    Method,
    /// The path with what varies taken out.
    Path,
    /// The query: its keys, sorted, with classes of values.
    Query,
    /// The network its address is registered in: owner and country, or Tor.
    Network,
    /// The /24 or /48 that the address is in. Used alone.
    Prefix,
}

impl Attribute {
    /// How many there are.
    pub const COUNT: usize = 15;

    /// All of them, by [`Self::index`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Ja4,
        Self::Http2Preface,
        Self::FieldOrder,
        Self::FieldCount,
        Self::UserAgentFamily,
        Self::UserAgent,
        Self::AcceptLanguage,
        Self::Accept,
        Self::Consistency,
        Self::Cookie,
        Self::Method,
        Self::Path,
        Self::Query,
        Self::Network,
        Self::Prefix,
    ];

    /// Place in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in signatures, reports and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ja4 => "JA4",
            Self::Http2Preface => "HTTP/2 preface",
            Self::FieldOrder => "field order",
            Self::FieldCount => "number of fields",
            Self::UserAgentFamily => "browser",
            Self::UserAgent => "user agent",
            Self::AcceptLanguage => "languages",
            Self::Accept => "accepted types",
            Self::Consistency => "consistency",
            Self::Cookie => "cookie",
            Self::Method => "method",
            Self::Path => "path template",
            Self::Query => "query",
            Self::Network => "network",
            Self::Prefix => "addresses",
        }
    }

    /// Whether a signature of nothing but such attributes may refuse anybody: where somebody comes
    /// from, which language they read, that they keep no cookies and which version of HTTP they
    /// speak are no behaviour (detection.md §2.4, rule 7): that there is no HTTP/2 is a value of its preface. The same holds for what nearly all
    /// clients of a kind share.
    pub const fn speaks_of_behaviour(self) -> bool {
        !matches!(
            self,
            Self::AcceptLanguage
                | Self::Cookie
                | Self::Method
                | Self::Network
                | Self::FieldCount
                | Self::Http2Preface
        )
    }
}

/// The value of one attribute: a keyed hash, never 0 but where nothing is known.
pub type AttributeValue = u32;

/// What is not known, because a proxy or a log does not tell. Part of no signature. That a field is
/// absent is known, and a value like others.
pub const UNKNOWN: AttributeValue = 0;

/// The attributes of one request. 60 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes([AttributeValue; Attribute::COUNT]);

impl Attributes {
    /// From values by [`Attribute::index`].
    pub const fn from_values(values: [AttributeValue; Attribute::COUNT]) -> Self {
        Self(values)
    }

    /// The value of `attribute`; [`UNKNOWN`] if nothing is known of it.
    pub const fn value(&self, attribute: Attribute) -> AttributeValue {
        self.0[attribute.index()]
    }

    /// Sets the value of `attribute`.
    pub const fn set(&mut self, attribute: Attribute, value: AttributeValue) {
        self.0[attribute.index()] = value;
    }

    /// Those that are known, in the order of [`Attribute::ALL`].
    pub fn known(&self) -> impl Iterator<Item = (Attribute, AttributeValue)> + '_ {
        Attribute::ALL.into_iter().zip(self.0).filter(|(_, value)| *value != UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_listed_by_their_index() {
        for (index, attribute) in Attribute::ALL.into_iter().enumerate() {
            assert_eq!(attribute.index(), index);
        }
    }

    #[test]
    fn what_is_not_known_is_not_listed() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.known().count(), 0);
        attributes.set(Attribute::Path, 7);
        assert!(attributes.known().eq([(Attribute::Path, 7)]));
        assert_eq!(attributes.value(Attribute::Path), 7);
    }
}
