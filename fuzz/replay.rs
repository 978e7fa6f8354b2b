//! Replays a fuzz corpus with the stable compiler, in an ordinary test of a crate.

use std::fs;
use std::path::Path;

/// Gives every input of `target` that was ever committed to `check`.
#[track_caller]
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        check(&fs::read(entry.expect("a corpus entry").path()).expect("a corpus file"));
        count += 1;
    }
    assert!(count > 0, "the corpus of {target} is empty");
}
