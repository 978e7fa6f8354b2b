//! Replays the fuzz corpora with the stable compiler: every input ever committed stays harmless.

#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/wire.rs"]
pub mod wire;

use crate::replay::replay;

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
