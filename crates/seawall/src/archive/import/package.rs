//! Records of a package, or of a WARC file, on their way into an archive.
//!
//! Walked in their order, one record in memory at a time. A record that refers to another's content is put
//! off until all are known: tools that crawl with several hands write the two to different files.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use seawall_archive::{
    ArchiveError, Capture, Members, Record, Revisit, WarcFile, package_files, read_member,
    verify_package_in,
};
use seawall_model::WallTime;
use seawall_seal::{Digest, PublicKey};

use super::Carrier;
use crate::Done;
use crate::output::{Failure, say, with_causes};

/// What was opened.
pub(super) struct Package {
    file: File,
    bytes: u64,
    warcs: Vec<WarcFile>,
    /// The key that signed it.
    pub(super) signed_by: Option<PublicKey>,
}

/// Where a record lies.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u64,
}

impl Package {
    /// Opens a package or a WARC file. One that says it is signed must be whole, and one for which
    /// `trusted` is given must be signed with that.
    ///
    /// # Errors
    /// A failure that names the first bad record, if it is one.
    pub(super) fn open(path: &Path, trusted: Option<&PublicKey>) -> Result<Self, Failure> {
        let unread = |why: String| {
            Failure::failed(
                format!("cannot read `{}`: {why}", path.display()),
                "name a folder, a package (.wacz) or a WARC file (.warc.gz) that this user may read",
            )
        };
        let file = File::open(path).map_err(|error| unread(error.to_string()))?;
        let bytes = file.metadata().map_err(|error| unread(error.to_string()))?.len();
        let mut begin = [0; 2];
        let is_zip = file.read_exact_at(&mut begin, 0).is_ok() && begin == *b"PK";
        let (warcs, says_signed) = match is_zip {
            true => package_files(&file).map_err(|error| unread(with_causes(&error)))?,
            false => {
                let name = path.display().to_string();
                (vec![WarcFile { name, offset: 0, length: bytes }], false)
            }
        };
        let mut signed_by = None;
        if says_signed || trusted.is_some() && is_zip {
            let verified = verify_package_in(&file, trusted).map_err(|failure| {
                let at = failure.first_bad.map_or(String::new(), |at| format!("record {at}: "));
                Failure::failed(
                    format!("`{}` is not what was signed: {at}{failure}", path.display()),
                    "nothing of it was imported; ask for another copy",
                )
            })?;
            signed_by = Some(verified.key);
        } else if trusted.is_some() {
            return Err(unread("it is not signed at all".to_owned()));
        }
        say(&match signed_by {
            Some(key) => format!("Every byte is what the holder of the key {} signed.", key.id()),
            None => "It is not signed; its records are kept as this Seawall's.".to_owned(),
        });
        Ok(Self { file, bytes, warcs, signed_by })
    }

    /// Brings what is in it.
    ///
    /// # Errors
    /// A failure if it cannot be read further, or nobody takes it.
    pub(super) fn carry(&self, carrier: &mut Carrier<'_>) -> Done {
        let max = carrier.max_body_bytes();
        let hash = RandomState::new();
        let key = |url: &str, captured: WallTime| hash.hash_one((url, captured.unix_nanos()));
        let mut responses: HashMap<u64, Place> = HashMap::new();
        let mut put_off: Vec<Place> = Vec::new();
        for warc in &self.warcs {
            let end = warc.offset.saturating_add(warc.length);
            for found in Members::new(&self.file, warc.offset, end, max) {
                let place = Place { offset: found.offset, length: found.length };
                carrier.progress(found.offset, self.bytes);
                match found.record {
                    Ok(Record::Response(capture)) => {
                        responses.insert(key(&capture.url, capture.captured), place);
                        carrier.put(&capture)?;
                    }
                    Ok(Record::Revisit(_)) => put_off.push(place),
                    Ok(_) => {}
                    Err(error @ ArchiveError::Io { .. }) => return Err(broken_off(&error)),
                    Err(ArchiveError::TooLarge { .. }) => carrier.leave_out(None, "too_large"),
                    Err(ArchiveError::Unsupported(_)) => carrier.leave_out(None, "unsupported"),
                    Err(_) => carrier.leave_out(None, "damaged"),
                }
            }
        }
        for place in put_off {
            let Ok(Record::Revisit(revisit)) = self.record(place, max)? else {
                carrier.leave_out(None, "damaged");
                continue;
            };
            let of = responses.get(&key(&revisit.of_url, revisit.of_captured)).copied();
            match self.content(&revisit, of, max)? {
                Some(capture) => carrier.put(&capture)?,
                None => carrier.leave_out(Some(&revisit.head.url), "without_content"),
            }
        }
        Ok(())
    }

    /// The response that a revisit stands for, if what it refers to is there and has that content.
    fn content(
        &self,
        revisit: &Revisit,
        of: Option<Place>,
        max: usize,
    ) -> Result<Option<Capture>, Failure> {
        let Some(of) = of else { return Ok(None) };
        let Ok(Record::Response(original)) = self.record(of, max)? else { return Ok(None) };
        if original.url != revisit.of_url
            || revisit.payload.is_some_and(|payload| payload != Digest::of(&original.body))
        {
            return Ok(None);
        }
        let mut capture = Capture { body: original.body, ..revisit.head.clone() };
        for (name, value) in &mut capture.fields {
            if name == "content-length" {
                *value = capture.body.len().to_string().into_bytes();
            }
        }
        Ok(Some(capture))
    }

    fn record(&self, place: Place, max: usize) -> Result<Result<Record, ArchiveError>, Failure> {
        let mut bytes = vec![0; usize::try_from(place.length).unwrap_or(usize::MAX)];
        let read = self.file.read_exact_at(&mut bytes, place.offset);
        read.map_err(|error| broken_off(&error))?;
        Ok(read_member(&bytes, max))
    }
}

fn broken_off(error: &dyn std::error::Error) -> Failure {
    Failure::failed(
        format!("the file cannot be read further: {}", with_causes(error)),
        "what was imported until then stays; run it again when the file can be read",
    )
}
