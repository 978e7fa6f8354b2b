//! What several tests make.

use bytes::Bytes;
use seawall_archive::Capture;
use seawall_model::WallTime;

/// A response of status 200, captured on 2026-11-22.
pub(crate) fn capture(url: &str, media_type: &str, body: &[u8]) -> Capture {
    let fields =
        [("content-type", media_type.to_owned()), ("content-length", body.len().to_string())];
    Capture {
        url: url.to_owned(),
        captured: WallTime::from_unix_nanos(1_795_342_080_123_000_000),
        status: 200,
        fields: fields.map(|(name, value)| (name.to_owned(), value.into_bytes())).to_vec(),
        body: Bytes::copy_from_slice(body),
    }
}

/// A page.
pub(crate) fn html(url: &str, body: &str) -> Capture {
    capture(url, "text/html; charset=utf-8", body.as_bytes())
}
