//! What several tests make.

#![allow(dead_code, reason = "no test uses all of it")]

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use seawall_archive::{
    ArchiveError, Capture, PackageEntry, PackageMeta, RevisitOf, Sealed, Written, member_at,
    response_record, revisit_record, seal_package,
};
use seawall_model::WallTime;
use seawall_seal::{Digest, SigningKey};

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

/// A key that is always the same, so that a package is.
pub(crate) fn key() -> SigningKey {
    // openssl genpkey -algorithm ed25519
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEIN8buKoQtC2QvFNEcBf53OqIRohrFLSioNfOquNk4Yy9\n\
               -----END PRIVATE KEY-----\n";
    SigningKey::from_pem(pem).expect("a key")
}

/// An open WARC file and its entries: a page, a picture, a redirect, and the page again.
pub(crate) struct Open {
    pub(crate) file: Vec<u8>,
    pub(crate) entries: Vec<PackageEntry>,
}

impl Open {
    pub(crate) fn new() -> Self {
        let mut open = Self { file: Vec::new(), entries: Vec::new() };
        let page = html("https://example.org/", "<title>A page</title><p>text");
        open.response(&page, Some("A page \u{e9}"));
        open.response(&capture("https://example.org/a.png", "image/png", &[0xff; 300]), None);
        let mut moved = capture("https://www.example.org/Old?b=1&a=2", "text/html", b"");
        moved.status = 301;
        moved.fields.push(("location".to_owned(), b"https://example.org/".to_vec()));
        open.response(&moved, None);
        let again = Capture { captured: page.captured + Duration::from_secs(60), ..page.clone() };
        open.revisit(&again, &page);
        open
    }

    pub(crate) fn response(&mut self, capture: &Capture, title: Option<&str>) {
        let written = response_record(capture);
        self.push(capture, written, title, None);
    }

    pub(crate) fn revisit(&mut self, capture: &Capture, of: &Capture) {
        let payload = Digest::of(&of.body);
        let at = RevisitOf { url: of.url.clone(), captured: of.captured, payload };
        let written = revisit_record(capture, &at);
        self.push(capture, written, Some("A page \u{e9}"), Some((at.url, at.captured)));
    }

    fn push(
        &mut self,
        capture: &Capture,
        written: Written,
        title: Option<&str>,
        revisit_of: Option<(String, WallTime)>,
    ) {
        self.entries.push(PackageEntry {
            offset: self.file.len() as u64,
            length: written.member.len() as u64,
            url: capture.url.clone(),
            captured: capture.captured,
            status: capture.status,
            mime: capture.media_type(),
            member: written.digest,
            payload: written.payload,
            title: title.map(str::to_owned),
            is_page: title.is_some(),
            revisit_of,
        });
        self.file.extend_from_slice(&written.member);
    }

    pub(crate) fn seal(&self, path: &Path) -> Result<Sealed, ArchiveError> {
        let mut file = Cursor::new(&self.file);
        seal_package(&self.entries, |_, entry| member_at(&mut file, entry), &key(), &meta(), path)
    }
}

pub(crate) fn meta() -> PackageMeta {
    PackageMeta {
        title: "example.org".to_owned(),
        created: WallTime::from_unix_secs(1_795_342_200),
        software: "seawall test".to_owned(),
        main_page: Some("https://example.org/".to_owned()),
    }
}
