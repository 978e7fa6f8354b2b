//! Records: round trips, what damage does, what hostile bytes do, and files of other programs.

mod common;

use std::io::{Cursor, Write as _};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use seawall_archive::{
    ArchiveError, Capture, Damage, Found, Members, Record, RevisitOf, info_record,
    read_checked_member, read_member, response_record, revisit_record,
};
use seawall_model::WallTime;
use seawall_seal::Digest;

use self::common::{capture, html};

const MAX: usize = 1 << 20;

fn member_of(record: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(record).expect("a vector takes all");
    gzip.finish().expect("a vector takes all")
}

/// A response of another program, with `head` and `body` as they were on the wire.
fn foreign(fields: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let block = [head.as_bytes(), b"\r\n\r\n", body].concat();
    let head = format!(
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: <http://example.org/a>\r\n\
         WARC-Date: 2020-02-29T12:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n\
         {fields}Content-Length: {}\r\n\r\n",
        block.len()
    );
    [head.as_bytes(), &block, b"\r\n\r\n"].concat()
}

fn walk(file: &[u8]) -> Vec<Found> {
    Members::new(Cursor::new(file), 0, file.len() as u64, MAX).collect()
}

fn response(read: Result<Record, ArchiveError>) -> Capture {
    match read {
        Ok(Record::Response(capture)) => capture,
        other => panic!("no response: {other:?}"),
    }
}

#[test]
fn a_response_reads_back_as_it_was_captured() {
    let mut made = html("https://example.org/a?b=c", "<p>text");
    made.fields.push(("x-odd".to_owned(), b"a\xff\tb: c".to_vec()));
    let written = response_record(&made);
    assert_eq!(written.digest, Digest::of(&written.member));
    assert_eq!(written.payload, Digest::of(&made.body));
    assert_eq!(response(read_member(&written.member, MAX)), made);
    assert_eq!(response(read_checked_member(&written.member, MAX)), made);
    assert_eq!(written, response_record(&made), "the same record is written the same");
}

#[test]
fn a_revisit_keeps_its_own_head_and_names_the_content() {
    let first = html("https://example.org/a", "<p>text");
    let again = Capture { captured: WallTime::from_unix_secs(1_800_000_000), ..first.clone() };
    let of = RevisitOf {
        url: first.url.clone(),
        captured: first.captured,
        payload: Digest::of(&first.body),
    };
    let written = revisit_record(&again, &of);
    assert_eq!(written.payload, of.payload);
    let Ok(Record::Revisit(revisit)) = read_member(&written.member, MAX) else {
        panic!("no revisit");
    };
    assert_eq!(revisit.head, Capture { body: Bytes::new(), ..again });
    assert_eq!((revisit.of_url, revisit.of_captured), (of.url, of.captured));
    assert_eq!(revisit.payload, Some(of.payload));
}

#[test]
fn values_that_would_break_out_of_their_line_do_not() {
    let mut made = html("https://example.org/\r\nWARC-Type: revisit", "body");
    made.fields.push(("x-a".to_owned(), b"b\r\nset-cookie: c=d\0\n\r\n".to_vec()));
    made.fields.push(("x y:\r\n".to_owned(), b"left out".to_vec()));
    let read = response(read_member(&response_record(&made).member, MAX));
    assert_eq!(read.url, "https://example.org/%0D%0AWARC-Type:%20revisit");
    assert_eq!(read.field("x-a"), Some(b"b  set-cookie: c=d".as_slice()));
    assert_eq!(read.fields.len(), made.fields.len() - 1);
    assert_eq!(read.body, made.body);
    let info = info_record(made.captured, "a\r\nb: c");
    assert!(matches!(read_member(&info, MAX), Ok(Record::Info)));
}

#[test]
fn every_flipped_byte_of_a_record_is_noticed_by_its_digest() {
    let written = response_record(&html("https://example.org/", "<p>text"));
    for at in 0..written.member.len() {
        let mut flipped = written.member.clone();
        flipped[at] ^= 1;
        assert_ne!(Digest::of(&flipped), written.digest);
        // Bytes of the gzip header that mean nothing are left; of the rest nothing passes.
        if let Ok(read) = read_member(&flipped, MAX) {
            assert!((3..24).contains(&at), "byte {at} is not checked");
            assert_eq!(response(Ok(read)).body, "<p>text");
        }
    }
}

#[test]
fn a_digest_that_is_not_that_of_the_content_is_refused_unless_it_was_checked() {
    let wrong = Digest::of(b"something else");
    for field in ["WARC-Block-Digest", "WARC-Payload-Digest"] {
        let record = foreign(&format!("{field}: sha256:{wrong}\r\n"), "HTTP/1.1 200 OK", b"text");
        let member = member_of(&record);
        let read = read_member(&member, MAX);
        assert!(matches!(read, Err(ArchiveError::Damaged(Damage::Digest))), "{field}: {read:?}");
        assert_eq!(response(read_checked_member(&member, MAX)).body, "text");
    }
}

#[test]
fn content_is_bounded_to_the_byte() {
    let made = html("https://example.org/", &"x".repeat(1000));
    let member = response_record(&made).member;
    assert_eq!(response(read_member(&member, 1000)).body.len(), 1000);
    let read = read_member(&member, 999);
    assert!(matches!(read, Err(ArchiveError::TooLarge { max: 999 })), "{read:?}");
}

#[test]
fn a_bomb_is_refused_for_what_it_would_become() {
    // 64 MiB of zeros in 64 KiB, as a record, as its content, and as the content of its content.
    let zeros = vec![0; 64 << 20];
    let bombs = [
        member_of(&foreign("", "HTTP/1.1 200 OK", &zeros)),
        member_of(&foreign("", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip", &member_of(&zeros))),
        member_of(&foreign(
            "",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip",
            &member_of(&member_of(&zeros)),
        )),
    ];
    for bomb in bombs {
        assert!(bomb.len() < 128 * 1024);
        let read = read_member(&bomb, MAX);
        assert!(matches!(read, Err(ArchiveError::TooLarge { max: MAX })), "{read:?}");
        let found = walk(&bomb);
        assert_eq!(found.len(), 1);
        assert!(matches!(found[0].record, Err(ArchiveError::TooLarge { .. })));
        assert_eq!(found[0].length, bomb.len() as u64);
    }
}

#[test]
fn content_of_other_programs_is_read_without_its_codings() {
    let gz = member_of(b"text");
    let zlib = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"text").expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    };
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4096, 5, 22).write_all(b"text").expect("a vector");
    let chunked = [format!("{:x};a=b\r\n", gz.len()).as_bytes(), &gz, b"\r\n0\r\n\r\n"].concat();
    for (fields, body) in [
        ("Content-Length: 4", b"text".as_slice()),
        ("Content-Length: 9999", b"text"),
        ("Transfer-Encoding: chunked", b"2\r\nte\r\n2\r\nxt\r\n0\r\nTrailer: a\r\n\r\n"),
        // Undone, and the field left.
        ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip", b"text"),
        ("Content-Encoding: gzip", &gz),
        (
            "Content-Encoding: x-gzip\r\nTransfer-Encoding: chunked\r\nConnection: x-a\r\nX-A: b",
            &chunked,
        ),
        ("Content-Encoding: deflate", &zlib),
        ("Content-Encoding: br", &br),
    ] {
        let record = foreign("", &format!("HTTP/1.1 200 OK\r\n{fields}"), body);
        for file in [record.clone(), member_of(&record)] {
            let found = walk(&file);
            assert_eq!(found.len(), 1, "{fields}");
            let read = response(found.into_iter().next().expect("one").record);
            assert_eq!(read.body, "text", "{fields}");
            assert_eq!((read.url.as_str(), read.status), ("http://example.org/a", 200));
            let left: Vec<&str> = read.fields.iter().map(|(name, _)| name.as_str()).collect();
            assert!(left.is_empty() || left == ["content-length"], "{left:?}");
            assert!(read.field("content-length").is_none_or(|length| length == b"4"));
        }
    }
    let unknown = foreign("", "HTTP/1.1 200 OK\r\nContent-Encoding: zstd", b"?");
    assert!(matches!(read_member(&member_of(&unknown), MAX), Err(ArchiveError::Unsupported(_))));
}

#[test]
fn records_of_no_use_are_passed_over() {
    let record = |kind: &str, more: &str| {
        let head = format!(
            "WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Target-URI: https://example.org/\r\n\
             WARC-Date: 2020-02-29T12:00:00.5Z\r\n{more}Content-Length: 4\r\n\r\n"
        );
        [head.as_bytes(), b"text\r\n\r\n"].concat()
    };
    let http = "Content-Type: application/http\r\n";
    for (kind, more) in [
        ("request", http),
        ("metadata", ""),
        ("resource", "Content-Type: image/png\r\n"),
        ("response", "Content-Type: text/dns\r\n"),
        ("response", "Content-Type: application/http\r\nWARC-Segment-Number: 2\r\n"),
        ("revisit", http),
        ("something-new", ""),
    ] {
        let read = read_member(&member_of(&record(kind, more)), MAX);
        assert!(matches!(read, Ok(Record::Other)), "{kind}: {read:?}");
    }
    let read = read_member(&member_of(&record("response", http)), MAX);
    assert!(matches!(read, Err(ArchiveError::Damaged(Damage::HttpHead))), "{read:?}");
}

/// Three records, and where each begins.
fn file() -> (Vec<u8>, Vec<usize>) {
    let mut file = info_record(WallTime::from_unix_secs(1_795_342_080), "test");
    let mut begins = vec![0];
    for path in ["a", "b", "c"] {
        begins.push(file.len());
        let capture = html(&format!("https://example.org/{path}"), &format!("<p>{path}"));
        file.extend_from_slice(&response_record(&capture).member);
    }
    (file, begins)
}

#[test]
fn a_walk_tells_where_each_record_is() {
    let (file, begins) = file();
    let found = walk(&file);
    let offsets: Vec<u64> = found.iter().map(|found| found.offset).collect();
    assert_eq!(offsets, begins.iter().map(|&at| at as u64).collect::<Vec<_>>());
    for found in found {
        let (from, length) = (found.offset as usize, found.length as usize);
        let member = &file[from..from + length];
        assert_eq!(found.digest, Digest::of(member));
        assert_eq!(found.record.expect("whole"), read_member(member, MAX).expect("whole"));
    }
    let part = Members::new(Cursor::new(&file), begins[2] as u64, begins[3] as u64, MAX);
    assert_eq!(part.map(|found| found.offset).collect::<Vec<_>>(), [begins[2] as u64]);
    let beyond = Members::new(Cursor::new(&file), 0, u64::MAX, MAX);
    assert_eq!(beyond.filter(|found| found.record.is_ok()).count(), 4);
    assert_eq!(Members::new(Cursor::new(&file), u64::MAX, u64::MAX, MAX).count(), 0);
}

#[test]
fn damage_of_one_byte_costs_at_most_the_records_from_there() {
    let (file, begins) = file();
    let (from, to) = (begins[2], begins[3]);
    for at in from..to {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        let found = walk(&damaged);
        assert!(found[..2].iter().all(|found| found.record.is_ok()), "byte {at}");
        assert_eq!(found[2].offset, from as u64);
        assert_ne!(found[2].digest, Digest::of(&file[from..to]));
        // Where the header still says how long the record is, the next one is found.
        if !(from..from + 24).contains(&at) {
            assert!(found[2].record.is_err(), "byte {at}");
            assert_eq!(found.len(), 4, "byte {at}");
            assert!(found[3].record.is_ok());
        }
        let searched =
            Members::new(Cursor::new(&damaged), 0, damaged.len() as u64, MAX).searching();
        let last = searched.last().expect("some");
        assert_eq!(last.offset, to as u64, "byte {at}");
        assert!(last.record.is_ok());
    }
}

#[test]
fn a_cut_file_loses_only_the_record_that_was_cut() {
    let (file, begins) = file();
    for cut in 0..file.len() {
        let whole = begins.iter().skip(1).chain([&file.len()]).filter(|&&end| end <= cut).count();
        let found = walk(&file[..cut]);
        assert_eq!(
            found.iter().filter(|found| found.record.is_ok()).count(),
            whole,
            "cut at {cut}"
        );
        if begins.contains(&cut) {
            assert_eq!(found.len(), whole);
        } else {
            let last = found.last().expect("the rest is told");
            assert!(
                matches!(last.record, Err(ArchiveError::Damaged(Damage::Truncated))),
                "{last:?}"
            );
            assert_eq!(
                (last.offset, last.offset + last.length),
                (begins[whole] as u64, cut as u64)
            );
        }
    }
}

/// Somebody uploads a picture that is a whole record of another page. The record with the picture is
/// cut off by a crash, or damaged: what is in it is never taken for a record.
#[test]
fn a_record_inside_of_content_is_not_taken_for_one() {
    let forged = response_record(&html("https://example.org/", "forged")).member;
    let picture: Vec<u8> = (0..40).flat_map(|_| forged.clone()).collect();
    let mut holder = capture("https://example.org/picture.png", "image/png", &picture);
    holder.fields.push(("x".to_owned(), b"y".to_vec()));
    let mut member = response_record(&holder).member;
    let mut stored = GzEncoder::new(Vec::new(), Compression::none());
    stored.write_all(&flated(&member)).expect("a vector takes all");
    member = stored.finish().expect("a vector takes all");
    assert!(memchr_find(&member, &forged), "the picture lies there as it is");
    for at in 10..member.len() {
        let mut damaged = member.clone();
        damaged[at] ^= 0x55;
        for file in [&damaged, &member[..at].to_vec()] {
            for found in walk(file) {
                let is_forged = found.record.is_ok_and(|record| {
                    matches!(record, Record::Response(capture) if capture.body == "forged")
                });
                assert!(!is_forged, "byte {at}");
            }
        }
    }
}

fn flated(member: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(member), &mut plain)
        .expect("gzip");
    plain
}

fn memchr_find(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

proptest! {
    #[test]
    fn any_capture_reads_back(
        path in "[!-;=?-~]{0,40}",
        status in 100_u16..1000,
        millis in 0..4_000_000_000_000_u64,
        fields in proptest::collection::vec(("[a-z0-9!#$%&'*+.^_`|~-]{1,12}", "[!-~\u{80}-\u{ff}]{0,20}"), 0..6),
        body in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let reserved = ["connection", "te", "trailer", "upgrade", "keep-alive"];
        prop_assume!(fields.iter().all(|(name, _)| !reserved.contains(&name.as_str())));
        let mut made = capture(&format!("https://example.org/{path}"), "text/plain", &body);
        made.captured = WallTime::from_unix_nanos(millis * 1_000_000);
        made.status = status;
        made.fields.extend(fields.into_iter().map(|(name, value)| (name, value.into_bytes())));
        let written = response_record(&made);
        prop_assert_eq!(response(read_member(&written.member, body.len())), made);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_member(&bytes, 100);
        let _ = read_member(&member_of(&bytes), 100);
        let warc = [b"WARC/1.1\r\n".as_slice(), &bytes].concat();
        let http = foreign("", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", &bytes);
        for file in [&bytes, &warc, &member_of(&warc), &http, &member_of(&http)] {
            let total: u64 = walk(file).iter().map(|found| found.length).sum();
            prop_assert!(total <= file.len() as u64);
            let found = Members::new(Cursor::new(file), 0, u64::MAX, 100).searching().count();
            prop_assert!(found <= file.len());
        }
    }

    #[test]
    fn damage_anywhere_is_walked_without_harm(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (mut file, _) = file();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let mut end = 0;
        for found in walk(&file) {
            prop_assert_eq!(found.offset, end, "nothing is left out");
            end = found.offset + found.length;
        }
        prop_assert_eq!(end, file.len() as u64);
    }
}
