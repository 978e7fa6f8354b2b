//! Replays the fuzz corpora with the stable compiler: every input ever committed stays harmless.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/wire.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz targets")]
mod wire;

#[track_caller]
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        check(&fs::read(entry.expect("a corpus entry").path()).expect("a corpus file"));
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}

#[test]
fn access_line_corpus_holds_its_properties() {
    replay("access_line", wire::access_line);
}

#[test]
fn client_hello_corpus_holds_its_properties() {
    replay("client_hello", wire::client_hello);
}

#[test]
fn forwarded_corpus_holds_its_properties() {
    replay("forwarded", wire::forwarded);
}

#[test]
fn http1_body_corpus_holds_its_properties() {
    replay("http1_body", wire::http1_body);
}

#[test]
fn http1_head_corpus_holds_its_properties() {
    replay("http1_head", wire::http1_head);
}

#[test]
fn http2_frames_corpus_holds_its_properties() {
    replay("http2_frames", wire::http2_frames);
}

#[test]
fn proxy_header_corpus_holds_its_properties() {
    replay("proxy_header", wire::proxy_header);
}
