//! What the operator is told of the copies, and what an operator changes about them.

use std::sync::Arc;
use std::time::Duration;

use seawall_archive::{Archive, ArchiveError, rfc3339};
use seawall_model::WallTime;

use super::SiteCopy;
use crate::admin::{
    Ages, ArchiveChange, ArchiveFailure, ArchiveRefusal, ArchiveStatus, ArchivedPage,
    ArchivedVersion, CrawlStatus,
};
use crate::metrics::Sample;
use crate::policy::Policy;

/// More failures than anybody reads are counted only.
const MAX_FAILURES: usize = 100;
/// Counting more that is due would take longer than it is worth.
const MAX_COUNTED: usize = 100_000;

/// All copies, or that of one site. O(URLs).
pub(crate) fn status(
    policy: &Policy,
    site: Option<&str>,
    now: WallTime,
) -> Result<Vec<ArchiveStatus>, ArchiveRefusal> {
    // Of all sites there may be none.
    let copies = match site {
        Some(_) => chosen(policy, site)?,
        None => chosen(policy, None).unwrap_or_default(),
    };
    let told = copies.into_iter().map(|(_, copy)| of_one(copy, now));
    let told: Result<_, _> = told.collect();
    told.map_err(|error: ArchiveError| ArchiveRefusal::Failed(error.to_string()))
}

/// One URL in all copies that know it.
pub(crate) fn pages(policy: &Policy, url: &str) -> Result<Vec<ArchivedPage>, String> {
    let copies = policy.copies.iter().flatten();
    let pages = copies.map(|copy| archived_page(&copy.archive, &copy.settings.base, url));
    let pages: Result<Vec<_>, _> = pages.collect();
    Ok(pages.map_err(|error| error.to_string())?.into_iter().flatten().collect())
}

/// The copies that are meant, with the places of their sites.
pub(super) fn chosen<'a>(
    policy: &'a Policy,
    site: Option<&str>,
) -> Result<Vec<(usize, &'a Arc<SiteCopy>)>, ArchiveRefusal> {
    let copies = policy.copies.iter().enumerate();
    let mut copies: Vec<_> = copies.filter_map(|(at, copy)| Some((at, copy.as_ref()?))).collect();
    let bases: Vec<_> = copies.iter().map(|(_, copy)| copy.settings.base.clone()).collect();
    if let Some(site) = site {
        let host = site.split("://").last().unwrap_or(site).trim_end_matches('/');
        copies.retain(|(_, copy)| copy.is_called(host));
    }
    if copies.is_empty() {
        let there = bases.join("`, `");
        return Err(ArchiveRefusal::NoSite(match bases.is_empty() {
            true => "no site has an archive".to_owned(),
            false => format!("there are archives of `{there}`, and none of that site"),
        }));
    }
    Ok(copies)
}

fn of_one(copy: &SiteCopy, now: WallTime) -> Result<ArchiveStatus, ArchiveError> {
    let mut status = archive_status(&copy.archive, &copy.settings.base, now)?;
    let crawl = copy.crawl_view();
    status.crawl = CrawlStatus {
        fetched: crawl.fetched,
        stored: crawl.stored,
        unchanged: crawl.unchanged,
        failed: crawl.failed,
        cold: crawl.is_cold,
        ..status.crawl
    };
    status.breaker = copy.breaker_state().as_str();
    status.served = copy.served();
    Ok(status)
}

/// What is known and held of `url` in an archive; `None` if it never heard of it.
///
/// # Errors
/// As the disk has it.
pub fn archived_page(
    archive: &Archive,
    site: &str,
    url: &str,
) -> Result<Option<ArchivedPage>, ArchiveError> {
    let Some(url) = seawall_archive::normal_url(Some(&format!("{site}/")), url) else {
        return Ok(None);
    };
    let (known, withdrawn) = (archive.known(&url)?, archive.withdrawn_at(&url)?);
    if known.is_none() && withdrawn.is_none() {
        return Ok(None);
    }
    let versions = archive.history(&url)?.into_iter().map(|version| ArchivedVersion {
        captured: rfc3339(version.captured),
        confirmed: rfc3339(version.validated),
        status: version.status,
        media_type: version.media_type,
        record_bytes: version.record_bytes,
        shown: version.is_shown,
    });
    let mut page = ArchivedPage {
        site: site.to_owned(),
        versions: versions.collect(),
        withdrawn: withdrawn.map(rfc3339),
        url,
        ..ArchivedPage::default()
    };
    if let Some(known) = known {
        page.last_fetched = known.last_fetched.map(rfc3339);
        page.due = Some(rfc3339(known.due));
        page.fetches = known.fetches;
        page.changes = known.changes;
        page.failures = known.failures;
        page.reason = known.reason.map(seawall_archive::FailReason::as_str);
    }
    Ok(Some(page))
}

/// What an archive has, whether a program is running that keeps it or not. O(URLs).
///
/// # Errors
/// As the disk has it.
pub fn archive_status(
    archive: &Archive,
    site: &str,
    now: WallTime,
) -> Result<ArchiveStatus, ArchiveError> {
    let stats = archive.stats()?;
    let (mut failures, mut failed, mut ages) = (Vec::new(), 0, Ages::default());
    archive.each_known("", |url, known, newest| {
        if let Some(reason) = known.reason {
            failed += 1;
            if failures.len() < MAX_FAILURES {
                failures.push(ArchiveFailure { url: url.to_owned(), reason: reason.as_str() });
            }
        }
        if let Some((_, validated)) = newest {
            let hours = now.saturating_since(validated).as_secs() / 3_600;
            *match hours {
                0 => &mut ages.hour,
                1..24 => &mut ages.day,
                24..168 => &mut ages.week,
                168..720 => &mut ages.month,
                _ => &mut ages.older,
            } += 1;
        }
        true
    })?;
    let due = archive.due_count(now, MAX_COUNTED)? as u64;
    Ok(ArchiveStatus {
        site: site.to_owned(),
        pages_known: stats.known,
        pages_held: stats.held,
        versions: stats.versions,
        bytes: stats.bytes,
        oldest: stats.oldest.map(rfc3339),
        newest: stats.newest.map(rfc3339),
        ages,
        failures,
        failed,
        withdrawn: stats.withdrawn,
        damaged: stats.damaged,
        refused: stats.refused,
        pinned_before: stats.pinned_before.map(rfc3339),
        crawl: CrawlStatus { due, ..CrawlStatus::default() },
        breaker: "stopped",
        served: 0,
    })
}

/// Changes something about all copies, or that of one site.
pub(crate) fn change(
    policy: &Policy,
    what: ArchiveChange,
    site: Option<&str>,
    now: WallTime,
) -> Result<(), ArchiveRefusal> {
    let copies = match site {
        Some(_) => chosen(policy, site)?,
        None => chosen(policy, None).unwrap_or_default(),
    };
    for (_, copy) in copies {
        let archive = &copy.archive;
        let done = match what {
            ArchiveChange::Crawl => archive.make_due(now),
            ArchiveChange::Pin(second) => archive.pin(Some(WallTime::from_unix_secs(second)), now),
            ArchiveChange::Unpin => archive.pin(None, now),
            ArchiveChange::Seal => archive.seal(now).map(drop),
        };
        copy.forget_ready();
        done.map_err(|error| {
            ArchiveRefusal::Failed(format!("the archive of {}: {error}", copy.settings.base))
        })?;
    }
    Ok(())
}

/// For `/metrics`: all copies together.
pub(crate) fn samples(policy: &Policy) -> Vec<Sample> {
    let copies: Vec<_> = policy.copies.iter().flatten().collect();
    if copies.is_empty() {
        return Vec::new();
    }
    let sum = |pick: fn(&SiteCopy) -> u64| copies.iter().map(|copy| pick(copy)).sum::<u64>() as f64;
    vec![
        Sample::gauge(
            "seawall_archive_versions",
            "Versions of pages and what they load in the archives.",
            sum(|copy| copy.archive.versions().unwrap_or(0)),
        ),
        Sample::gauge(
            "seawall_archive_due",
            "URLs that the crawler has to fetch now.",
            sum(|copy| copy.crawl_view().due),
        ),
        Sample::counter(
            "seawall_archive_fetched_total",
            "URLs that the crawler asked for.",
            sum(|copy| copy.crawl_view().fetched),
        ),
        Sample::counter(
            "seawall_archive_served_total",
            "Archived copies given to readers because the origin could not answer.",
            sum(SiteCopy::served),
        ),
        Sample::counter(
            "seawall_archive_refused_total",
            "URLs, and copies of new ones, that the archives had no room for.",
            sum(|copy| copy.archive.refused()),
        ),
        Sample::gauge(
            "seawall_archive_origins_away",
            "Origins that readers with a copy are not sent to now.",
            sum(|copy| u64::from(copy.breaker_state() == seawall_decide::BreakerState::Open)),
        ),
    ]
}

/// How long an emergency lasts at most that has an end.
pub(crate) const LONGEST_EMERGENCY: Duration = Duration::from_secs(30 * 86_400);
