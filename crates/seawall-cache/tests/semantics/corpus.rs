//! Replays the fuzz corpus with the stable compiler: every input ever committed stays harmless.

use std::fs;
use std::path::Path;

#[path = "../../../../fuzz/src/cache.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz target")]
mod cache;

#[test]
fn cache_control_corpus_holds_its_properties() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/cache_control");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("a corpus entry").path();
        cache::cache_control(&fs::read(&path).expect("a corpus file"));
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}
