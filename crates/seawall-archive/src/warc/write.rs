//! Writing records.

use std::io::Write as _;

use flate2::{Compression, GzBuilder};
use seawall_model::WallTime;
use seawall_seal::{Digest, Hasher};

use crate::capture::Capture;
use crate::dates;
use crate::warc::{RevisitOf, Written, http};

/// The record at the beginning of a file: which program wrote it.
pub fn info_record(now: WallTime, software: &str) -> Vec<u8> {
    let conforms = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/";
    let software = clean(software);
    let block = format!(
        "software: {software}\r\nformat: WARC File Format 1.1\r\nconformsTo: {conforms}\r\n"
    );
    let fields = [("WARC-Type", "warcinfo".to_owned()), ("WARC-Date", dates::with_millis(now))];
    member(&fields, "application/warc-fields", &[block.as_bytes()], Compression::default())
}

/// The record of a response.
///
/// Reads back as the same capture if `captured` is in whole milliseconds, names of fields are tokens in
/// lower case, and values are what HTTP allows (RFC 9110 §5.5); of others, line breaks become spaces.
pub fn response_record(capture: &Capture) -> Written {
    let payload = Digest::of(&capture.body);
    // Without WARC-Identified-Payload-Type: that is for what was found out by looking (WARC 1.1 §5.19).
    let fields = fields_of(capture, "response", payload);
    let head = http::head_of(capture);
    let level = if is_compressed(&capture.media_type()) {
        // A little is still found around the content; looking harder costs time for nothing.
        Compression::fast()
    } else {
        // Beyond this nothing is found: of the 62 MB of HTML of Debian's handbook the highest level
        // makes 18,790,250 bytes and this one 18,798,283 (zlib-rs 0.6.8, 22 November 2026).
        Compression::default()
    };
    let member = member(&fields, RESPONSE, &[&head, &capture.body], level);
    Written { digest: Digest::of(&member), member, payload }
}

/// The record of a response whose content is that of `of`: its head only.
///
/// A viewer finds the content by the URL and time of `of`, within the package it has open.
pub fn revisit_record(capture: &Capture, of: &RevisitOf) -> Written {
    let mut fields = fields_of(capture, "revisit", of.payload);
    fields.push(("WARC-Profile", SAME_PAYLOAD.to_owned()));
    fields.push(("WARC-Refers-To-Target-URI", clean_url(&of.url)));
    fields.push(("WARC-Refers-To-Date", dates::with_millis(of.captured)));
    let head = http::head_of(capture);
    let member = member(&fields, RESPONSE, &[&head], Compression::default());
    Written { digest: Digest::of(&member), member, payload: of.payload }
}

/// WARC 1.1 §6.7.2.
pub(super) const SAME_PAYLOAD: &str =
    "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest";

/// RFC 9112 §10.2.
const RESPONSE: &str = "application/http;msgtype=response";

/// Where the two lengths are in a member with the field `sl` alone: behind ten bytes of header, two of
/// the length of all fields and four of the name and length of this one (RFC 1952 §2.3.1).
pub(super) const SKIP_LENGTHS: usize = 16;

/// The header of a gzip member up to [`SKIP_LENGTHS`], with nothing said of time and system.
pub(super) const SKIP_FIELD: [u8; 6] = [12, 0, b's', b'l', 8, 0];

type NamedField = (&'static str, String);

fn fields_of(capture: &Capture, kind: &str, payload: Digest) -> Vec<NamedField> {
    vec![
        ("WARC-Type", kind.to_owned()),
        ("WARC-Date", dates::with_millis(capture.captured)),
        ("WARC-Target-URI", clean_url(&capture.url)),
        ("WARC-Payload-Digest", format!("sha256:{payload}")),
    ]
}

fn member(
    fields: &[NamedField],
    content_type: &str,
    block: &[&[u8]],
    level: Compression,
) -> Vec<u8> {
    let mut hasher = Hasher::new();
    block.iter().for_each(|part| hasher.update(part));
    let block_digest = hasher.finish();
    let length: usize = block.iter().map(|part| part.len()).sum();
    let mut rest = String::new();
    for (name, value) in fields {
        rest.push_str(&format!("{name}: {value}\r\n"));
    }
    rest.push_str(&format!("WARC-Block-Digest: sha256:{block_digest}\r\n"));
    rest.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n"));
    let id = record_id(Digest::of(rest.as_bytes()));
    let head = format!("WARC/1.1\r\nWARC-Record-ID: <urn:uuid:{id}>\r\n{rest}\r\n");

    let extra = [&SKIP_FIELD[2..], &[0; 8]].concat();
    let mut gzip = GzBuilder::new().extra(extra).write(Vec::new(), level);
    let parts = [&[head.as_bytes()][..], block, &[b"\r\n\r\n".as_slice()]].concat();
    let written = parts.iter().try_for_each(|part| gzip.write_all(part));
    let mut member = written.and_then(|()| gzip.finish()).expect("writing to a vector cannot fail");
    // Bodies are bounded far below 4 GiB; one that is not has lengths that nobody believes.
    let lengths = [member.len(), head.len() + length + 4];
    for (at, length) in [SKIP_LENGTHS, SKIP_LENGTHS + 4].into_iter().zip(lengths) {
        let length = u32::try_from(length).unwrap_or(0);
        member[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    member
}

/// A name that is the same for the same record (RFC 9562 §5.8): a record written twice, as after a
/// crash, is one.
fn record_id(digest: Digest) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.0[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Without what would end the line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// A URL has no spaces or controls, and is ASCII; what is not is escaped, lest it ends the line.
pub(crate) fn clean_url(url: &str) -> String {
    let mut clean = String::with_capacity(url.len());
    for byte in url.bytes() {
        match byte {
            b'<' | b'>' => clean.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => clean.push(char::from(byte)),
            _ => clean.push_str(&format!("%{byte:02X}")),
        }
    }
    clean
}

/// Media types whose content is compressed in itself, and well. PNG often is not: of 31.5 MB of pictures
/// of screens 29.6 MB are left at the default level and 30.2 MB at the fastest, for 0.6 s of a processor and
/// not 0.1 s (the same files).
fn is_compressed(media_type: &str) -> bool {
    let (kind, name) = media_type.split_once('/').unwrap_or_default();
    match kind {
        "image" => !matches!(
            name,
            "png" | "svg+xml" | "bmp" | "x-ms-bmp" | "x-icon" | "vnd.microsoft.icon"
        ),
        "audio" | "video" => true,
        "font" => name.starts_with("woff"),
        "application" => {
            matches!(name, "zip" | "gzip" | "x-gzip" | "x-7z-compressed" | "x-xz" | "epub+zip")
        }
        _ => false,
    }
}
