//! Replays the fuzz corpora with the stable compiler: every input ever committed stays harmless.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/src/report.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz targets")]
mod report;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the repository") {
        let path = entry.expect("a corpus entry").path();
        check(&fs::read(&path).expect("a corpus file"));
        count += 1;
    }
    assert!(count > 0, "the corpus is empty");
}

#[test]
fn records_corpus_holds_its_properties() {
    replay("incident_record", report::incident_record);
}

#[test]
fn reports_corpus_holds_its_properties() {
    replay("incident_report", report::incident_report);
}
