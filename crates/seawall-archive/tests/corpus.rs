//! Replays the fuzz corpus with the stable compiler: every input ever committed stays harmless.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/archive.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz targets")]
mod archive;

#[test]
fn archive_links_corpus_holds_its_properties() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/archive_links");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        archive::archive_links(
            &fs::read(entry.expect("a corpus entry").path()).expect("a corpus file"),
        );
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}
