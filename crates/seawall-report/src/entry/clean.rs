//! Requests of the sample that may be readers': as counts alone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Row;
use crate::Moment;

/// What was drawn of requests against whom nothing speaks: who was vouched for, and who neither met a mitigation nor was
/// refused. Counts of a minute, or of ten after the first hour, and no request by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clean {
    /// From when on.
    pub from: Moment,
    /// Until when.
    pub until: Moment,
    /// Whether a mitigation met them: of clients that were vouched for all the same.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub met: bool,
    /// Requests that were drawn.
    pub rows: u64,
    /// Requests that they stand for, estimated from the probabilities with which they were drawn.
    pub requests: f64,
    /// What they looked like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub looks: Vec<CleanLook>,
}

/// What requests of [`Clean`] looked like in one way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CleanLook {
    /// In which.
    pub attribute: String,
    /// Requests by keyed hash, estimated. Only of what five different clients at least had within a quarter of an hour, of
    /// which what was not told yet counts in the line that tells it; `0` is unknown.
    pub values: BTreeMap<String, f64>,
}

impl Row {
    /// Whether it may be a reader's. No such row is written any more; one that an earlier version wrote is shown in the
    /// sealed edition alone.
    pub fn is_clean(&self) -> bool {
        let is_met_or_refused = self.met.is_some()
            || !(200..400).contains(&self.status) && !NOT_OURS.contains(&self.cause.as_str());
        self.prefix.is_empty() || self.standing != "anonymous" || !is_met_or_refused
    }
}

/// Causes of answers that nobody was refused by.
const NOT_OURS: [&str; 4] = ["default", "allow_list", "origin_failed", "demoted"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_readers_unless_something_speaks_against_it() {
        let bad = Row {
            prefix: "192.0.2.0/24".to_owned(),
            standing: "anonymous".to_owned(),
            status: 429,
            cause: "signature_block".to_owned(),
            met: Some(1),
            ..Row::default()
        };
        for (row, is_clean) in [
            (bad.clone(), false),
            (Row { met: None, ..bad.clone() }, false),
            (Row { status: 200, cause: "default".to_owned(), ..bad.clone() }, false),
            (Row { status: 200, met: None, ..bad.clone() }, true),
            (Row { status: 404, cause: "default".to_owned(), met: None, ..bad.clone() }, true),
            (Row { prefix: String::new(), ..bad.clone() }, true),
            (Row { standing: "signed_in".to_owned(), ..bad.clone() }, true),
            (Row { standing: String::new(), ..bad }, true),
        ] {
            assert_eq!(row.is_clean(), is_clean, "{row:?}");
        }
    }
}
