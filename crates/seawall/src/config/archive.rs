//! The section `[site.archive]`: the always-online copy.
//!
//! Read with its site and finished when all is read, because what a site is called by its readers
//! depends on the listeners, and how much disk it may take on how many sites there are.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use seawall_edge::config::{ArchiveNote, Config, SiteArchive};

use crate::config::problem::Code;
use crate::config::section::{At, Report, Section};
use crate::config::value;

/// What the file says about one site's archive.
#[derive(Clone, Debug)]
pub(crate) struct ReadArchive {
    enabled: Option<At<bool>>,
    /// As the operator says it; else it is found out.
    url: Option<At<String>>,
    /// Where its section is, or its site's if it has none.
    line: Option<usize>,
    /// Everything else.
    settings: SiteArchive,
}

/// Reads `[site.archive]`.
pub(crate) fn read(
    report: &mut Report<'_>,
    mut section: Section<'_>,
    site_line: Option<usize>,
) -> ReadArchive {
    let mut settings = SiteArchive::new(String::new(), 0);
    let enabled = section.flag(report, "enabled");
    let url = section.read(report, "url", (Code::OriginUrl, base));
    let mut list = |name, reader, into: &mut Vec<String>| {
        if let Some(found) = section.list(report, name, reader) {
            *into = found.into_iter().map(|item| item.value).collect();
        }
    };
    list("seeds", (Code::Path, value::path), &mut settings.seeds);
    list("exclude", (Code::Path, value::path), &mut settings.exclude);
    list("error_markers", (Code::WrongType, marker), &mut settings.error_markers);
    list("mirrors", (Code::OriginUrl, link), &mut settings.mirrors);
    if let Some(found) = section.read(report, "onion", (Code::OriginUrl, onion)) {
        settings.onion = Some(found.value);
    }
    if let Some(rate) = section.whole(report, "max_rate", 1..=1_000) {
        settings.max_rate = u32::try_from(rate).unwrap_or(u32::MAX);
    }
    if let Some(bytes) = section.size(report, "max_object_bytes", 64 << 10..=1 << 30) {
        settings.max_object_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    let range = Duration::from_millis(300)..=Duration::from_secs(60);
    if let Some(patience) = section.duration(report, "patience", range) {
        settings.patience = patience;
    }
    if let Some(found) = section.read(report, "note", (Code::Choice, note)) {
        settings.note = found.value;
    }
    let line = section.line.or(site_line);
    section.finish(report);
    ReadArchive { enabled, url, line, settings }
}

/// Says which sites are copied, once everything else is known. A site whose name is known is, unless the
/// file says otherwise.
pub(crate) fn finish(report: &mut Report<'_>, config: &mut Config, read: Vec<ReadArchive>) {
    let scheme = if config.listen.iter().any(|listen| listen.tls) { "https" } else { "http" };
    let is_kept = |archive: &ReadArchive| archive.enabled.as_ref().is_none_or(|it| it.value);
    let sites = read.iter().filter(|archive| is_kept(archive)).count().max(1) as u64;
    let max_bytes = config.disk_bytes / 100 * seawall_edge::ARCHIVE_DISK_SHARE / sites;
    let mut taken: HashMap<PathBuf, Option<usize>> = HashMap::new();
    for (site, archive) in config.sites.iter_mut().zip(read) {
        if !is_kept(&archive) {
            continue;
        }
        let named = site.hosts.iter().find(|host| !host.contains('*'));
        let found = || named.map(|host| format!("{scheme}://{host}"));
        let line = archive.url.as_ref().map(|url| url.line).or(archive.line);
        let url = archive.url.map(|url| url.value);
        match (url.or_else(found), archive.enabled) {
            (Some(base), _) => {
                let dir = seawall_edge::archive_dir(&config.state_dir, &base);
                if let Some(first) = taken.insert(dir, line) {
                    let first = first.map_or_else(String::new, |line| format!(" on line {line}"));
                    let message = format!("the archive of `{base}` would share its folder with that of the site{first}");
                    report.error(Code::DuplicateHost, line, message, SHARED);
                }
                site.archive = Some(SiteArchive { base, max_bytes, ..archive.settings });
            }
            (None, Some(At { line, .. })) => report.error(
                Code::MissingKey,
                line,
                "`site.archive` is enabled, but `site.hosts` names no host, so nobody knows what the site is called",
                "add the address readers use, as in `url = \"https://example.org\"`, or name a host in `hosts`",
            ),
            // A wildcard alone: nothing to copy by, and nobody asked for it.
            (None, None) => {}
        }
    }
}

const SHARED: &str = "give each site a `site.archive.url` with a host of its own, whatever its scheme, or set `enabled = false` in one";

/// A scheme and a host: `https://example.org`.
fn base(text: &str) -> Result<String, value::Complaint> {
    let url = link(text)?;
    match url.strip_suffix('/').filter(|url| url.matches('/').count() == 2) {
        Some(base) => Ok(base.to_owned()),
        None => Err("more than a scheme and a host".to_owned()),
    }
}

fn link(text: &str) -> Result<String, value::Complaint> {
    let url = seawall_archive::normal_url(None, text);
    url.ok_or_else(|| "no address that begins with `http://` or `https://`".to_owned())
}

fn onion(text: &str) -> Result<String, value::Complaint> {
    let base = base(text)?;
    // Tor's rendezvous specification, version 3: 56 characters of base32.
    let host = base.split("://").nth(1).and_then(|host| host.strip_suffix(".onion"));
    let is_onion = host.is_some_and(|host| {
        let label = host.rsplit('.').next().unwrap_or_default();
        label.len() == 56 && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
    });
    if is_onion { Ok(base) } else { Err("no onion address of version 3".to_owned()) }
}

fn marker(text: &str) -> Result<String, value::Complaint> {
    if text.trim().len() < 4 {
        return Err("a text so short that good pages have it too".to_owned());
    }
    Ok(text.to_owned())
}

fn note(text: &str) -> Result<ArchiveNote, value::Complaint> {
    match text {
        "off" => Ok(ArchiveNote::Off),
        "not_answering" => Ok(ArchiveNote::NotAnswering),
        "under_attack" => Ok(ArchiveNote::UnderAttack),
        _ => Err("not `not_answering`, `under_attack` or `off`".to_owned()),
    }
}
