//! The lists in a package, as text.

use std::collections::BTreeMap;

use seawall_seal::Digest;
use serde::Serialize;

use crate::dates;
use crate::wacz::surt::surt;
use crate::wacz::zip::Part;
use crate::wacz::{Done, PackageEntry, PackageMeta};
use crate::warc::clean_url;

/// The name of a record in the list of digests.
pub(super) fn record_name(offset: u64, length: usize, url: &str) -> String {
    format!("{offset} {length} {}", clean_url(url))
}

/// The index of captures: for each a line of the key, 14 digits of time, and what is known of it.
///
/// *Source:* <https://specs.webrecorder.net/cdxj/0.1.0/>; the names and their order are those of
/// `cdxj-indexer`, which writes numbers as text.
pub(super) fn cdxj(entries: &[PackageEntry], data_offset: u64) -> String {
    let mut lines: Vec<String> =
        entries.iter().map(|entry| cdxj_line(entry, data_offset)).collect();
    lines.sort_unstable();
    lines.concat()
}

fn cdxj_line(entry: &PackageEntry, data_offset: u64) -> String {
    let mime = if entry.revisit_of.is_some() { "warc/revisit" } else { entry.mime.as_str() };
    let url = clean_url(&entry.url);
    let value = Capture {
        mime,
        status: entry.status.to_string(),
        digest: format!("sha256:{}", entry.payload),
        length: entry.length.to_string(),
        offset: (entry.offset - data_offset).to_string(),
        filename: Part::DATA.short_name(),
        url: &url,
    };
    format!("{} {} {}\n", surt(&url), dates::digits(entry.captured), json(&value))
}

#[derive(Serialize)]
struct Capture<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    mime: &'a str,
    status: String,
    digest: String,
    length: String,
    offset: String,
    filename: &'a str,
}

/// The pages, the newest capture of each, by URL.
pub(super) fn pages(entries: &[PackageEntry]) -> String {
    let mut newest: BTreeMap<&str, &PackageEntry> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.is_page) {
        let there = newest.entry(&entry.url).or_insert(entry);
        if there.captured <= entry.captured {
            *there = entry;
        }
    }
    let mut text =
        "{\"format\":\"json-pages-1.0\",\"id\":\"pages\",\"title\":\"All Pages\"}\n".to_owned();
    for entry in newest.values() {
        let page = Page {
            id: &entry.member.to_string()[..16],
            url: &clean_url(&entry.url),
            ts: dates::with_seconds(entry.captured),
            title: entry.title.as_deref(),
        };
        text.push_str(&json(&page));
        text.push('\n');
    }
    text
}

#[derive(Serialize)]
struct Page<'a> {
    id: &'a str,
    url: &'a str,
    ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
}

/// What the package is, and the list of its files.
pub(super) fn datapackage(meta: &PackageMeta, done: &[Done]) -> String {
    let resource = |done: &Done| Resource {
        name: done.part.short_name(),
        path: done.part.name,
        hash: format!("sha256:{}", done.digest),
        bytes: done.layout.size,
    };
    let manifest = Manifest {
        profile: "data-package",
        wacz_version: "1.1.1",
        title: &meta.title,
        created: dates::with_seconds(meta.created),
        software: &meta.software,
        main_page: meta.main_page.as_deref().map(clean_url),
        resources: done.iter().map(resource).collect(),
    };
    let mut text = serde_json::to_string_pretty(&manifest).expect("text and numbers are JSON");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Manifest<'a> {
    profile: &'a str,
    wacz_version: &'a str,
    title: &'a str,
    created: String,
    software: &'a str,
    #[serde(rename = "mainPageUrl", skip_serializing_if = "Option::is_none")]
    main_page: Option<String>,
    resources: Vec<Resource>,
}

#[derive(Serialize)]
struct Resource {
    name: &'static str,
    path: &'static str,
    hash: String,
    bytes: u64,
}

/// The digest of the manifest.
pub(super) fn datapackage_digest(manifest: &str) -> String {
    let digest = Digest::of(manifest.as_bytes());
    format!("{{\"path\":\"{}\",\"hash\":\"sha256:{digest}\"}}\n", Part::MANIFEST.name)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers are JSON")
}
