//! Replays the fuzz corpora with the stable compiler: every input ever committed stays harmless.

#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/src/report.rs"]
pub mod report;

use crate::replay::replay;

#[test]
fn records_corpus_holds_its_properties() {
    replay("incident_record", report::incident_record);
}

#[test]
fn reports_corpus_holds_its_properties() {
    replay("incident_report", report::incident_report);
}
