//! Replays the fuzz corpus with the stable compiler: every input ever committed stays harmless.

#[path = "../../../../fuzz/src/cache.rs"]
pub mod cache;
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[test]
fn cache_control_corpus_holds_its_properties() {
    replay::replay("cache_control", cache::cache_control);
}
