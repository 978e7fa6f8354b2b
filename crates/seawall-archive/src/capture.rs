//! One response as it came from the origin.

use bytes::Bytes;
use seawall_model::WallTime;

/// A field of a response: name in lower case, value as it was sent.
pub type Field = (String, Vec<u8>);

/// What the origin said to a GET for one URL, without a cookie and without a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// Absolute, normalised, printable ASCII: `https://example.org/path?query`, without a fragment.
    pub url: String,
    /// When the response head came.
    pub captured: WallTime,
    /// The status code.
    pub status: u16,
    /// The fields, without those of the connection (RFC 9110 §7.6.1), without `content-encoding` and
    /// `transfer-encoding`, and with a `content-length` that is true.
    pub fields: Vec<Field>,
    /// The content, without any coding.
    pub body: Bytes,
}

impl Capture {
    /// The first field of this name; `name` is lower case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_slice())
    }

    /// The media type in lower case without parameters; empty if there is none that is text.
    pub fn media_type(&self) -> String {
        let value = self.field("content-type").unwrap_or_default();
        let value = value.split(|&byte| byte == b';').next().unwrap_or_default();
        String::from_utf8_lossy(value.trim_ascii()).to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use seawall_model::WallTime;

    use super::Capture;

    #[test]
    fn the_media_type_is_read_without_parameters() {
        for (value, want) in [
            (Some("Text/HTML; charset=utf-8"), "text/html"),
            (Some("  application/pdf "), "application/pdf"),
            (Some(""), ""),
            (None, ""),
        ] {
            let fields = value.map(|value| ("content-type".to_owned(), value.as_bytes().to_vec()));
            let capture = Capture {
                url: "https://example.org/".to_owned(),
                captured: WallTime::from_unix_secs(1),
                status: 200,
                fields: fields.into_iter().collect(),
                body: Bytes::new(),
            };
            assert_eq!(capture.media_type(), want);
        }
    }
}
