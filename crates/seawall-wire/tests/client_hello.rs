//! ClientHellos: captured ones read right, damaged ones are refused, pieces wait.

use std::fs;
use std::path::Path;

use proptest::prelude::{any, prop, proptest};
use seawall_model::Misbehaviour;
use seawall_wire::client_hello::{ClientHello, HelloError, parse};

const MAX: usize = 16 * 1024;
const GARBAGE: HelloError = HelloError::Refused(Misbehaviour::TlsGarbage);
const TOO_LARGE: HelloError = HelloError::Refused(Misbehaviour::TlsHelloTooLarge);

const NAMES: [&str; 5] =
    ["chromium", "curl-h2", "curl-http11", "openssl-tls12-no-sni", "openssl-tls13"];

fn capture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/client_hello");
    fs::read(path.join(name).with_extension("bin")).expect("the capture is readable")
}

/// The same message with at most `size` bytes in each record.
fn spread(records: &[u8], size: usize) -> Vec<u8> {
    records[5..]
        .chunks(size)
        .flat_map(|fragment| {
            let len = u16::try_from(fragment.len()).expect("small fragment").to_be_bytes();
            [&[22, 3, 1], &len[..], fragment].concat()
        })
        .collect()
}

#[track_caller]
fn check(name: &str, ja4: &str, sni: Option<&str>, alpn: Option<&str>, modern: [bool; 3]) {
    let hello = parse(&capture(name), MAX).expect("a captured hello is accepted");
    assert_eq!(hello.ja4.as_str(), ja4, "{name}");
    assert_eq!(hello.sni.as_deref(), sni, "{name}");
    assert_eq!(hello.alpn_first.as_deref(), alpn.map(str::as_bytes), "{name}");
    let got = [hello.offers_tls13, hello.offers_http2, hello.offers_http11];
    assert_eq!(got, modern, "{name}");
    assert!(!hello.offers_resumption, "{name}");
    assert_eq!(hello.message_bytes, capture(name).len() - 5, "{name}");
}

#[test]
fn captured_hellos_read_as_another_implementation_reads_them() {
    let sni = Some("shop.example.org");
    let all = [true; 3];
    check("chromium", "t13d1517h2_8daaf6152771_cb7bf5808d99", sni, Some("h2"), all);
    check("curl-h2", "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6", sni, Some("h2"), all);
    let only_1 = [true, false, true];
    check("curl-http11", "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6", sni, Some("http/1.1"), only_1);
    let old = [false; 3];
    check("openssl-tls12-no-sni", "t12i280600_d943125447b4_e7e480e5a997", None, None, old);
    check("openssl-tls13", "t13d3111h2_e8f1e7e78f70_1f22a2ca17c4", sni, Some("h2"), all);
}

#[test]
fn a_hello_spread_over_records_is_the_same_hello() {
    for name in NAMES {
        let whole = capture(name);
        let want = parse(&whole, MAX).expect("a captured hello is accepted");
        for size in [whole.len() / 60 + 1, 100, 511, 16_000] {
            let got = parse(&spread(&whole, size), MAX);
            assert_eq!(got.as_ref(), Ok(&want), "{name} in records of {size}");
        }
        assert_eq!(parse(&spread(&whole, 1), MAX), Err(GARBAGE), "{name} byte by byte");
    }
}

#[test]
fn every_prefix_of_a_hello_waits_for_more() {
    for name in NAMES {
        let whole = capture(name);
        for records in [whole.clone(), spread(&whole, 97)] {
            for len in 0..records.len() {
                let got = parse(&records[..len], MAX);
                assert_eq!(got, Err(HelloError::Incomplete), "{name} at {len}");
            }
        }
    }
}

#[test]
fn what_is_no_hello_is_refused_at_the_first_wrong_byte() {
    let cases: [(&str, &[u8], HelloError); 13] = [
        ("plain HTTP", b"G", GARBAGE),
        ("SSLv2", &[0x80, 0x2e], GARBAGE),
        ("an alert", &[21, 3, 1], GARBAGE),
        ("version 2.x", &[22, 2], GARBAGE),
        ("version 3.5", &[22, 3, 5], GARBAGE),
        ("an empty record", &[22, 3, 1, 0, 0], GARBAGE),
        ("an oversized record", &[22, 3, 1, 0x40, 1], GARBAGE),
        ("a ServerHello", &[22, 3, 1, 0, 4, 2], GARBAGE),
        ("an empty hello", &[22, 3, 1, 0, 4, 1, 0, 0, 0], GARBAGE),
        ("a hello of 16 MiB", &[22, 3, 1, 0, 4, 1, 255, 255, 255], TOO_LARGE),
        ("another record inside", &[22, 3, 1, 0, 2, 1, 0, 23], GARBAGE),
        ("nothing", &[], HelloError::Incomplete),
        ("half a header", &[22, 3, 1, 0], HelloError::Incomplete),
    ];
    for (name, bytes, want) in cases {
        assert_eq!(parse(bytes, MAX), Err(want), "{name}");
    }
}

#[test]
fn the_limit_counts_message_bytes() {
    let whole = capture("curl-h2");
    let len = whole.len() - 5;
    assert!(parse(&whole, len).is_ok());
    assert_eq!(parse(&whole, len - 1), Err(TOO_LARGE));
}

/// A minimal hello with these extensions.
fn hello_with(extensions: &[(u16, &[u8])]) -> Result<ClientHello, HelloError> {
    let mut list = Vec::new();
    for (kind, content) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend(u16::try_from(content.len()).expect("short extension").to_be_bytes());
        list.extend(*content);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(u16::try_from(list.len()).expect("short list").to_be_bytes());
    body.extend(list);
    let len = u16::try_from(body.len()).expect("short body");
    let mut records = vec![22, 3, 1];
    records.extend((len + 4).to_be_bytes());
    records.extend([1, 0]);
    records.extend(len.to_be_bytes());
    records.extend(body);
    parse(&records, MAX)
}

fn sni_list(name: &[u8]) -> Vec<u8> {
    let len = u8::try_from(name.len()).expect("short name");
    [&[0, len + 3, 0, 0, len], name].concat()
}

#[test]
fn only_valid_server_names_are_handed_on() {
    let cases: [(&[u8], Option<&str>); 9] = [
        (b"Example.ORG", Some("example.org")),
        (b"example.org.", Some("example.org")),
        (b"xn--bcher-kva.example", Some("xn--bcher-kva.example")),
        (b"", None),
        (b".", None),
        (b"a..b", None),
        (b"a b", None),
        (b"b\xc3\xbccher.example", None),
        (b"a\0.example", None),
    ];
    for (name, want) in cases {
        let hello = hello_with(&[(0, &sni_list(name))]).expect("the layout is right");
        assert_eq!(hello.sni.as_deref(), want, "{name:?}");
        assert!(hello.ja4.as_str().starts_with("t12d0101"), "{name:?}");
    }
}

#[test]
fn unreadable_extension_contents_count_as_absent() {
    for kind in [0, 13, 16, 43] {
        for content in [&[][..], &[0], &[255, 255], &[0, 9, 1], &[9, 9, 9, 9]] {
            let hello = hello_with(&[(kind, content)]).expect("the layout is right");
            assert_eq!(hello.sni, None, "{kind} {content:?}");
            assert!(!hello.offers_http2 && !hello.offers_tls13, "{kind} {content:?}");
        }
    }
}

#[test]
fn tickets_and_keys_are_offers_to_resume() {
    let resumes = |extensions: &[(u16, &[u8])]| {
        hello_with(extensions).expect("the layout is right").offers_resumption
    };
    assert!(!resumes(&[]));
    assert!(!resumes(&[(35, &[])]), "an empty ticket only asks for one");
    assert!(resumes(&[(35, &[1])]));
    assert!(resumes(&[(41, &[0, 0])]));
}

proptest! {
    #[test]
    fn any_bytes_give_a_value_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes, MAX);
    }

    #[test]
    fn a_damaged_hello_gives_a_value_or_a_refusal(
        name in prop::sample::select(NAMES.to_vec()),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        size in 1usize..600,
    ) {
        let mut records = spread(&capture(name), size);
        *at.get_mut(&mut records) = byte;
        let whole = parse(&records, MAX);
        // A refusal never depends on what has not come yet.
        for len in (0..records.len()).step_by(41) {
            let early = parse(&records[..len], MAX);
            assert!(early == Err(HelloError::Incomplete) || early == whole, "{name} at {len}");
        }
    }
}
