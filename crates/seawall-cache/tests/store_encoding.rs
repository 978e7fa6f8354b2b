//! What a reader gets: forms, heads and validators.

mod store_support;

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use seawall_cache::{Encoding, Entry, Store, StoreConfig, StoredHead, Wants};

use crate::store_support::{MIB, head, head_for, key, open, take, text};

fn store() -> Store {
    open(StoreConfig { dir: None, memory_bytes: 64 * MIB, disk_bytes: 0, seed: [5, 6] })
}

/// Stores a response, lets it be packed, and gives it back.
fn packed(store: &Store, head: StoredHead, body: Bytes) -> Arc<Entry> {
    store.insert(key("/"), head, body);
    take(store, "/").expect("held");
    store.settle();
    take(store, "/").expect("held")
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("to memory");
    Bytes::from(encoder.finish().expect("to memory"))
}

fn decoded(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match encoding {
        Encoding::Identity => plain.extend_from_slice(body),
        Encoding::Gzip => {
            flate2::read::GzDecoder::new(body).read_to_end(&mut plain).map(drop).expect("sound");
        }
        Encoding::Brotli => {
            brotli::Decompressor::new(body, 4096).read_to_end(&mut plain).map(drop).expect("sound");
        }
    }
    plain
}

fn page() -> StoredHead {
    head(&[("content-type", "text/html; charset=utf-8"), ("etag", "\"x\"")])
}

#[test]
fn each_reader_gets_what_he_accepts_byte_for_byte() {
    use Encoding::{Brotli, Gzip, Identity};
    let store = store();
    for len in [1_024, 30_000, 40_000, 500_000] {
        let body = text(len, 1);
        let entry = packed(&store, page(), body.clone());
        let cases: [(Option<&str>, Wants, Encoding); 14] = [
            (None, Wants::Whole, Identity),
            (Some(""), Wants::Whole, Identity),
            (Some("gzip"), Wants::Whole, Gzip),
            (Some("br"), Wants::Whole, Brotli),
            (Some("gzip, deflate, br"), Wants::Whole, Brotli),
            (Some("gzip, deflate, br, zstd"), Wants::Whole, Brotli),
            (Some("gzip;q=1, br;q=0.5"), Wants::Whole, Gzip),
            (Some("identity, gzip;q=0.5"), Wants::Whole, Identity),
            (Some("*"), Wants::Whole, Brotli),
            (Some("*;q=0"), Wants::Whole, Identity),
            (Some("zstd"), Wants::Whole, Identity),
            (Some("identity;q=0, gzip"), Wants::Whole, Gzip),
            (Some("gzip, br"), Wants::Range, Identity),
            (Some("gzip, identity;q=0"), Wants::Range, Gzip),
        ];
        for (accept, wants, expected) in cases {
            let form = entry.choose(accept.map(str::as_bytes), wants);
            assert_eq!(form.encoding, expected, "{len} {accept:?} {wants:?}");
            assert_eq!(decoded(form.encoding, &form.body), body, "{len} {accept:?}");
            assert_eq!(form.allows_ranges(), expected == Identity);
        }
    }
}

#[test]
fn forms_carry_their_own_head() {
    let store = store();
    let head = head(&[
        ("content-type", "text/html"),
        ("etag", "\"x\""),
        ("accept-ranges", "bytes"),
        ("content-digest", "sha-256=:AAAA:"),
        ("content-length", "7"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("age", "5"),
        ("vary", "Accept-Language"),
        ("link", "<a>"),
        ("link", "<b>"),
    ]);
    let entry = packed(&store, head, text(2_000, 1));
    let plain = entry.choose(None, Wants::Whole);
    assert_eq!(
        std::str::from_utf8(plain.head_http1()).expect("ASCII"),
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\netag: \"x\"\r\naccept-ranges: bytes\r\n\
         content-digest: sha-256=:AAAA:\r\nvary: Accept-Language\r\nvary: Accept-Encoding\r\n\
         link: <a>\r\nlink: <b>\r\ncontent-length: 2000\r\n"
    );
    for accept in ["gzip", "br"] {
        let form = entry.choose(Some(accept.as_bytes()), Wants::Whole);
        let fields = form.headers();
        assert_eq!(fields["content-encoding"], accept);
        assert_eq!(fields["etag"], "W/\"x\"");
        assert_eq!(fields["content-length"], form.body.len().to_string());
        assert!(fields.get_all("vary").iter().any(|vary| vary == "Accept-Encoding"));
        for gone in ["accept-ranges", "content-digest", "connection", "x-private", "age"] {
            assert!(!fields.contains_key(gone), "{gone}");
        }
        let again = entry.choose(Some(accept.as_bytes()), Wants::Whole);
        assert_eq!(form.head_http1().as_ptr(), again.head_http1().as_ptr(), "rendered once");
        assert!(std::ptr::eq(form.headers(), again.headers()), "rendered once");
    }
}

/// Stores a response and compares the head and coding for a reader of gzip and for one of nothing.
fn check_fixed(name: &str, head: StoredHead, body: Bytes) {
    let store = store();
    let entry = packed(&store, head.clone(), body.clone());
    for accept in [None, Some(&b"gzip, br"[..])] {
        let form = entry.choose(accept, Wants::Whole);
        assert_eq!(form.body, body, "{name}");
        assert_eq!(
            form.headers().get("content-encoding"),
            head.headers.get("content-encoding"),
            "{name}"
        );
        assert_eq!(form.headers().get("etag"), head.headers.get("etag"), "{name}");
        assert_eq!(form.headers().get("vary"), head.headers.get("vary"), "{name}");
    }
    assert_eq!(store.stats().packed, 0, "{name}");
}

#[test]
fn what_must_not_or_need_not_change_is_served_as_it_came() {
    let html = ("content-type", "text/html");
    let body = text(5_000, 1);
    check_fixed("no-transform", head(&[html, ("cache-control", "no-transform")]), body.clone());
    check_fixed("short", head(&[html]), text(1_023, 1));
    check_fixed("image", head(&[("content-type", "image/png")]), body.clone());
    check_fixed("untyped", head(&[]), body.clone());
    check_fixed("404", head_for(&[], 404, &[html]), body.clone());
    check_fixed("unknown coding", head(&[html, ("content-encoding", "zstd")]), body.clone());
    check_fixed("two codings", head(&[html, ("content-encoding", "gzip, br")]), body.clone());
    let fixed_gzip = [html, ("content-encoding", "gzip"), ("cache-control", "no-transform")];
    check_fixed("fixed gzip", head(&fixed_gzip), gzip(&body));
}

#[test]
fn an_origins_gzip_is_kept_and_decoded_for_those_who_need_it() {
    let store = store();
    let body = text(90_000, 1);
    let sent = gzip(&body);
    let head = head(&[
        ("content-type", "text/html"),
        ("content-encoding", "gzip"),
        ("etag", "\"gz\""),
        ("vary", "accept-encoding"),
    ]);
    let entry = store.insert(key("/"), head, sent.clone());
    for accept in ["gzip", "gzip, br"] {
        let form = entry.choose(Some(accept.as_bytes()), Wants::Whole);
        assert_eq!((form.encoding, &form.body), (Encoding::Gzip, &sent));
        assert_eq!(form.headers()["etag"], "\"gz\"");
        assert_eq!(form.headers()["content-encoding"], "gzip");
        assert!(form.allows_ranges());
    }
    for wants in [Wants::Whole, Wants::Range] {
        let form = entry.choose(Some(b"br"), wants);
        assert_eq!((form.encoding, &form.body), (Encoding::Identity, &body));
        assert_eq!(form.headers()["etag"], "W/\"gz\"");
        assert_eq!(form.headers()["content-length"], "90000");
        assert!(!form.headers().contains_key("content-encoding"));
        assert_eq!(form.headers().get_all("vary").iter().count(), 1);
    }
}

#[test]
fn an_origins_damaged_gzip_is_passed_on_as_it_is() {
    let store = store();
    let head = head(&[("content-type", "text/html"), ("content-encoding", "gzip")]);
    let entry = store.insert(key("/"), head, Bytes::from_static(b"not gzip at all"));
    let form = entry.choose(None, Wants::Whole);
    assert_eq!(form.headers()["content-encoding"], "gzip");
    assert_eq!(form.body, "not gzip at all");
}

#[test]
fn vary_does_not_depend_on_how_far_the_packer_is() {
    let store = store();
    let entry = store.insert(key("/"), page(), text(5_000, 1));
    let early = entry.choose(Some(b"gzip"), Wants::Whole);
    assert_eq!(early.encoding, Encoding::Identity, "not packed yet: the first asks in vain");
    assert_eq!(early.headers()["vary"], "Accept-Encoding");
}

#[test]
fn what_is_asked_for_once_is_not_compressed() {
    let store = store();
    for n in 0..50 {
        store.insert(key(&format!("/?{n}")), page(), text(5_000, n));
    }
    store.settle();
    assert_eq!(store.stats().packed, 0);
    take(&store, "/?7").expect("held");
    store.settle();
    assert_eq!(store.stats().packed, 1);
}

#[test]
fn text_that_does_not_shrink_is_served_plain() {
    let store = store();
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(50_000)
    .collect();
    let entry = packed(&store, page(), Bytes::from(noise.clone()));
    let form = entry.choose(Some(b"gzip, br"), Wants::Whole);
    assert_eq!((form.encoding, &form.body[..]), (Encoding::Identity, &noise[..]));
}

#[test]
fn a_response_without_content_has_no_length() {
    let store = store();
    let entry = store.insert(key("/"), head_for(&[], 204, &[]), Bytes::new());
    let form = entry.choose(None, Wants::Whole);
    assert_eq!(&form.head_http1()[..], b"HTTP/1.1 204 No Content\r\n");
}
