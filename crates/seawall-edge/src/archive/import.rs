//! Takes in what the operator brings: records of responses that were captured elsewhere.
//!
//! Separate from the crawler because nobody is asked: what comes is judged by the same rules as what is
//! fetched, and kept with its own time. Each record is the claim of whoever made it; the operator vouches
//! for it. It does **not** know packages or folders: the command that reads them sends records, so that
//! nobody makes this process open what lies at a path.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use seawall_archive::{
    ArchiveError, Capture, FoundBy, Import as Brought, Imported, Keep, KeepPolicy, Members,
    Provenance, Record, Scope, Verdict, judge_response, normal_url,
};
use seawall_model::WallTime;

use super::SiteCopy;
use super::crawl::is_open;
use super::view::chosen;
use crate::admin::{ArchiveFailure, ArchiveRefusal, Import, ImportReport};
use crate::policy::Policy;

/// What the head of a record and its coding add to a content.
const RECORD_ROOM: u64 = 1 << 20;
/// Bytes in memory after which they are written down.
const AT_ONCE: usize = 16 << 20;
/// That many left out are told by name of one request.
const MAX_TOLD: usize = 20;

/// Bytes of records that may be brought at once: one that is as large as may be.
pub(crate) fn max_import_bytes(policy: &Policy) -> u64 {
    let copies = policy.copies.iter().flatten();
    let largest = copies.map(|copy| copy.settings.max_object_bytes as u64).max();
    largest.unwrap_or(0).saturating_add(RECORD_ROOM)
}

/// Takes in records, each into the copy of the site that it is of.
pub(crate) fn import(
    policy: &Policy,
    what: &Import,
    records: Vec<u8>,
    now: WallTime,
) -> Result<ImportReport, ArchiveRefusal> {
    let sites = chosen(policy, what.site.as_deref())?;
    let largest = sites.iter().map(|(_, copy)| copy.settings.max_object_bytes).max().unwrap_or(0);
    let mut report = ImportReport {
        sites: sites.iter().map(|(_, copy)| copy.settings.base.clone()).collect(),
        max_object_bytes: largest as u64,
        ..ImportReport::default()
    };
    let mut intakes = Vec::with_capacity(sites.len());
    for (site, copy) in &sites {
        intakes.push(Intake::new(policy, *site, copy, what, now)?);
    }
    let end = records.len() as u64;
    for found in Members::new(Cursor::new(records), 0, end, largest) {
        match found.record {
            Ok(Record::Response(capture)) => {
                let of = normal_url(None, &capture.url).and_then(|url| {
                    intakes.iter_mut().find_map(|it| Some((it.copy.own_url(&url)?, it)))
                });
                match of {
                    Some((own, intake)) => intake.take(own, capture, &mut report)?,
                    None => tell(&mut report, &capture.url, "other_site"),
                }
            }
            Ok(_) => count(&mut report.counts, "no_response"),
            Err(ArchiveError::TooLarge { .. }) => count(&mut report.counts, "too_large"),
            Err(_) => count(&mut report.counts, "damaged"),
        }
    }
    for intake in &mut intakes {
        intake.write(&mut report)?;
    }
    Ok(report)
}

/// What comes into one copy.
struct Intake<'a> {
    policy: &'a Policy,
    site: usize,
    copy: &'a Arc<SiteCopy>,
    what: &'a Import,
    keep: KeepPolicy,
    now: WallTime,
    /// What was judged to be kept and is not written down.
    some: Vec<Brought>,
    bytes: usize,
}

impl<'a> Intake<'a> {
    fn new(
        policy: &'a Policy,
        site: usize,
        copy: &'a Arc<SiteCopy>,
        what: &'a Import,
        now: WallTime,
    ) -> Result<Self, ArchiveRefusal> {
        let mut scope = copy.import_scope.lock();
        if what.is_begin || scope.is_none() {
            let mut begun = copy.scope();
            copy.recall(&mut begun, now).map_err(|error| failed(copy, &error))?;
            *scope = Some(begun);
        }
        let keep = copy.keep_policy();
        Ok(Self { policy, site, copy, what, keep, now, some: Vec::new(), bytes: 0 })
    }

    /// Judges a response for `url`, as the copy spells it, and takes it in.
    fn take(
        &mut self,
        url: String,
        capture: Capture,
        report: &mut ImportReport,
    ) -> Result<(), ArchiveRefusal> {
        if let Some(reason) = self.refusal(&url, &capture)? {
            tell(report, &url, reason);
            return Ok(());
        }
        let from = if self.what.is_of_files { Provenance::File } else { Provenance::Record };
        let title = seawall_archive::read(&capture).title;
        self.bytes += taken_by(&capture);
        self.some.push(Brought { capture: Capture { url, ..capture }, title, from });
        if self.bytes >= AT_ONCE { self.write(report) } else { Ok(()) }
    }

    /// Why it is left out, if it is.
    fn refusal(
        &self,
        url: &str,
        capture: &Capture,
    ) -> Result<Option<&'static str>, ArchiveRefusal> {
        if !is_open(self.copy, self.policy, self.site, url) {
            return Ok(Some("not_for_everybody"));
        }
        if self.copy.is_hidden(url) {
            return Ok(Some(Imported::Withdrawn.as_str()));
        }
        match judge_response(capture.status, &capture.fields, &capture.body, &self.keep) {
            Keep::Store => {}
            Keep::Gone => return Ok(Some("gone")),
            Keep::Skip(reason) => return Ok(Some(reason.as_str())),
        }
        if self.is_to_itself(url, capture) {
            return Ok(Some("to_itself"));
        }
        // Last, as what is taken counts.
        let known = self.copy.archive.known(url).map_err(|error| failed(self.copy, &error))?;
        let mut scope = self.copy.import_scope.lock();
        let scope: &mut Scope = scope.get_or_insert_with(|| self.copy.scope());
        let refused = match known {
            Some(_) => scope.refuses(url, self.now),
            None => match scope.judge(url, FoundBy::Link { depth: 1 }, self.now) {
                Verdict::Take => None,
                Verdict::Refuse(refusal) => Some(refusal),
            },
        };
        Ok(refused.map(seawall_archive::Refusal::as_str))
    }

    /// Whether it sends to this very URL by another scheme or name. That is how a site spells itself, and
    /// no copy of the page: a reader would be sent in circles.
    fn is_to_itself(&self, url: &str, capture: &Capture) -> bool {
        let Some(location) = capture.field("location").filter(|_| capture.status >= 300) else {
            return false;
        };
        let location = String::from_utf8_lossy(location);
        let to = normal_url(Some(&capture.url), &location);
        to.and_then(|to| self.copy.own_url(&to)).is_some_and(|to| to == url)
    }

    /// Writes down what was taken in.
    fn write(&mut self, report: &mut ImportReport) -> Result<(), ArchiveRefusal> {
        let some = std::mem::take(&mut self.some);
        self.bytes = 0;
        let archive = &self.copy.archive;
        let urls: Vec<_> = some.iter().map(|it| it.capture.url.clone()).collect();
        let outcomes = match self.what.is_dry {
            true => some.iter().map(|it| archive.would_import(it, self.now)).collect(),
            false => archive.import(some, self.now),
        };
        let outcomes: Vec<_> = outcomes.map_err(|error| failed(self.copy, &error))?;
        for (url, outcome) in urls.iter().zip(outcomes) {
            match outcome {
                Imported::Stored => {
                    if !self.what.is_dry {
                        self.copy.ready.forget(Some(url));
                    }
                    count(&mut report.counts, outcome.as_str());
                }
                Imported::Held => count(&mut report.counts, outcome.as_str()),
                _ => tell(report, url, outcome.as_str()),
            }
        }
        Ok(())
    }
}

/// What it takes in memory: of a redirect that is its fields, which a record of some hundred bytes may
/// have many of.
fn taken_by(capture: &Capture) -> usize {
    let fields = capture.fields.iter();
    let fields =
        fields.map(|(name, value)| name.len() + value.len() + size_of::<(String, Vec<u8>)>());
    size_of::<Brought>() + capture.url.len() + capture.body.len() + fields.sum::<usize>()
}

fn failed(copy: &SiteCopy, error: &ArchiveError) -> ArchiveRefusal {
    ArchiveRefusal::Failed(format!("the archive of {}: {error}", copy.settings.base))
}

fn count(counts: &mut BTreeMap<&'static str, u64>, what: &'static str) {
    *counts.entry(what).or_default() += 1;
}

fn tell(report: &mut ImportReport, url: &str, reason: &'static str) {
    count(&mut report.counts, reason);
    if report.left_out.len() < MAX_TOLD {
        report.left_out.push(ArchiveFailure { url: url.to_owned(), reason });
    }
}

#[cfg(test)]
mod tests {
    use seawall_archive::Capture;
    use seawall_model::WallTime;

    use super::taken_by;

    #[test]
    fn a_redirect_takes_what_its_fields_take() {
        let fields = (0..100).map(|n| (format!("x-{n}"), vec![b'a'; 1_000])).collect();
        let capture = Capture {
            url: "https://example.org/".to_owned(),
            captured: WallTime::from_unix_secs(1),
            status: 301,
            fields,
            body: Default::default(),
        };
        assert!(taken_by(&capture) > 100_000);
    }
}
