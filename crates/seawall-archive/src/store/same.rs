//! Whether a response says the same as a version that is held.
//!
//! Separate because what is fetched and what is imported are held against the same rule. What is not of
//! the content, such as dates and validators, does not count.

use seawall_seal::Digest;

use super::Archive;
use crate::capture::Capture;
use crate::error::ArchiveError;
use crate::index::Version;
use crate::warc::Record;

/// Whether a response is the same as a version, for its readers; of redirects nothing is said.
pub(super) fn says_the_same(version: &Version, capture: &Capture, payload: &Digest) -> bool {
    version.payload == *payload
        && version.status == capture.status
        && version.media_type == capture.media_type()
        && version.captured <= capture.captured
        // A redirect says where to in its head.
        && capture.field("location").is_none()
}

impl Archive {
    /// Whether both are redirects to the same place, which only the record says.
    pub(super) fn leads_to_the_same(
        &self,
        version: &Version,
        capture: &Capture,
        payload: &Digest,
    ) -> Result<bool, ArchiveError> {
        let place = capture.field("location");
        if place.is_none()
            || version.status != capture.status
            || version.payload != *payload
            || version.captured > capture.captured
        {
            return Ok(false);
        }
        let head = match self.record(&capture.url, version) {
            Ok(Record::Response(head)) => head,
            Ok(Record::Revisit(revisit)) => revisit.head,
            // What cannot be read is written again.
            Ok(_) | Err(ArchiveError::Record { .. } | ArchiveError::TooLarge { .. }) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        Ok(head.field("location") == place)
    }
}
