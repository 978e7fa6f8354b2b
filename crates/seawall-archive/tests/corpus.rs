//! Replays the fuzz corpora with the stable compiler: every input ever committed stays harmless.

#[path = "../../../fuzz/src/archive.rs"]
pub mod archive;
#[path = "../../../fuzz/replay.rs"]
mod replay;

use crate::replay::replay;

#[test]
fn records_corpus_holds_its_properties() {
    replay("archive_records", archive::archive_records);
}

#[test]
fn package_corpus_holds_its_properties() {
    replay("archive_package", archive::archive_package);
}

#[test]
fn links_corpus_holds_its_properties() {
    replay("archive_links", archive::archive_links);
}
