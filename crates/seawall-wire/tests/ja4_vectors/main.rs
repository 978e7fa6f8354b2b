//! Compares our JA4 with the values that the reference implementation gives for public captures.
//! The captures are not part of this repository; without them the test says so and passes.

mod pcap;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use seawall_wire::client_hello;

#[test]
#[allow(clippy::print_stderr, reason = "says that it was left out, and why")]
fn every_tcp_capture_gives_the_published_fingerprints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/ja4-vectors");
    let Ok(expected) = fs::read(root.join("expected.json")) else {
        eprintln!("left out: no JA4 captures beside this repository");
        return;
    };
    let expected: serde_json::Value = serde_json::from_slice(&expected).expect("expected.json");
    let expected = expected.as_object().expect("an object of captures");
    for (file, fingerprints) in expected {
        let want: BTreeSet<String> = fingerprints
            .as_array()
            .expect("a list of fingerprints")
            .iter()
            .filter_map(|value| value.as_str())
            .filter(|ja4| ja4.starts_with('t'))
            .map(String::from)
            .collect();
        let capture = fs::read(root.join(file)).expect("the capture is readable");
        let got: BTreeSet<String> =
            pcap::tcp_streams(&capture).iter().filter_map(first_hello).collect();
        assert_eq!(got, want, "{file}");
    }
}

/// The fingerprint of the first hello. It may follow other bytes (CONNECT, SOCKS), but begins a
/// segment.
fn first_hello(stream: &pcap::Stream) -> Option<String> {
    stream.segment_starts.iter().find_map(|&start| {
        let hello = client_hello::parse(&stream.bytes[start..], 1 << 14).ok()?;
        Some(hello.ja4.to_string())
    })
}
