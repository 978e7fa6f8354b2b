//! What the archives have, as text and as JSON.

use std::fmt::Write as _;

use seawall_edge::{archive_status, archived_page};
use serde_json::{Value, json};

use super::place::{self, Place};
use crate::admin::{ask, percent_encode};
use crate::figures::readable_size;
use crate::output::Failure;
use crate::times;

/// How many failures are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failures {
    Some,
    All,
}

/// What each site's archive has, or that of one, as the admin socket says it.
pub(super) fn sites(place: &Place, site: Option<&str>) -> Result<Vec<Value>, Failure> {
    match place {
        Place::Running { socket } => match ask(socket, "GET", &target(site))? {
            Value::Array(sites) => Ok(sites),
            _ => Err(Failure::failed(
                "the running program said something else than a list of archives",
                "compare its version (`seawall status`) with `seawall --version`",
            )),
        },
        Place::Stopped { state } => {
            let sites = place::open_of(state, site)?;
            let status = sites.iter().map(|site| {
                let status = archive_status(&site.archive, &site.name, times::now());
                status.map(|status| json!(status)).map_err(|error| place::failed(&error))
            });
            status.collect()
        }
    }
}

fn target(site: Option<&str>) -> String {
    match place::parameter(site).strip_prefix('&') {
        Some(parameter) => format!("/archive?{parameter}"),
        None => "/archive".to_owned(),
    }
}

/// What is held of one URL, for each site that knows it.
///
/// # Errors
/// Also if none does.
pub(super) fn pages(place: &Place, url: &str) -> Result<Vec<Value>, Failure> {
    let pages = match place {
        Place::Running { socket } => {
            let target = format!("/archive?url={}", percent_encode(url));
            match ask(socket, "GET", &target)? {
                Value::Array(pages) => pages,
                _ => Vec::new(),
            }
        }
        Place::Stopped { state } => {
            let mut pages = Vec::new();
            for site in place::open(state)? {
                let page = archived_page(&site.archive, &site.name, url);
                pages.extend(page.map_err(|error| place::failed(&error))?.map(|page| json!(page)));
            }
            pages
        }
    };
    if pages.is_empty() {
        return Err(Failure::failed(
            format!("no archive knows `{url}`"),
            "write it as in a browser; `seawall archive list` says what could not be copied, and why",
        ));
    }
    Ok(pages)
}

/// All sites added up, with each of them.
pub(super) fn as_json(sites: &[Value]) -> Value {
    let sum = |name: &str| sites.iter().filter_map(|site| site[name].as_u64()).sum::<u64>();
    // RFC 3339 in one form and zone sorts as text.
    let oldest = sites.iter().filter_map(|site| site["oldest"].as_str()).min();
    let failures = sites.iter().filter_map(|site| site["failures"].as_array()).flatten();
    json!({
        "pages_known": sum("pages_known"),
        "pages_held": sum("pages_held"),
        "bytes": sum("bytes"),
        "oldest": oldest,
        "failures": failures.collect::<Vec<_>>(),
        "sites": sites,
    })
}

/// One block for each site.
pub(super) fn as_text(sites: &[Value], failures: Failures) -> String {
    if sites.is_empty() {
        return "no site has an archive".to_owned();
    }
    let blocks: Vec<String> = sites.iter().map(|site| block(site, failures)).collect();
    blocks.join("\n")
}

fn block(site: &Value, failures: Failures) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{name:<12}{value}");
    };
    let number = |name: &str| site[name].as_u64().unwrap_or(0);
    let word = |name: &str| site[name].as_str();
    let (known, held) = (number("pages_known"), number("pages_held"));
    line("site", word("site").unwrap_or("?").to_owned());
    line("held", format!("{held} of {known} known URLs, in {} versions", number("versions")));
    line("size", readable_size(number("bytes")));
    if let (Some(oldest), Some(newest)) = (word("oldest"), word("newest")) {
        line("confirmed", format!("between {oldest} and {newest}"));
        line("age", ages(&site["ages"]));
    }
    if let Some(pin) = word("pinned_before") {
        line("pinned", format!("nothing captured from {pin} on is shown"));
    }
    line("crawl", crawl(site));
    match word("breaker") {
        Some("open") => line("origin", "away: readers get the copies".to_owned()),
        Some("recovering") => {
            line("origin", "back: readers return to it little by little".to_owned());
        }
        _ => {}
    }
    for (name, what) in [
        ("served", "copies given to readers since the start"),
        ("withdrawn", "URLs that may not come back"),
        ("damaged", "records found damaged since the start, and fetched again"),
        ("refused", "URLs not taken since the start for want of room: see `disk`"),
    ] {
        if number(name) > 0 {
            line(name, format!("{} {what}", number(name)));
        }
    }
    line("failed", format!("{} URLs", number("failed")));
    let most = if failures == Failures::All { usize::MAX } else { FAILURES };
    let listed = site["failures"].as_array();
    for failure in listed.into_iter().flatten().take(most) {
        let of = |name: &str| failure[name].as_str().unwrap_or("?").to_owned();
        line("", format!("{} ({})", of("url"), of("reason")));
    }
    text
}

/// Failures that `list` shows; `show` and `--json` have more.
const FAILURES: usize = 10;

fn ages(ages: &Value) -> String {
    let parts = [
        ("hour", "under an hour"),
        ("day", "under a day"),
        ("week", "under a week"),
        ("month", "under a month"),
        ("older", "older"),
    ];
    let counted = parts.into_iter().filter_map(|(name, words)| {
        let count = ages[name].as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {words}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}

fn crawl(site: &Value) -> String {
    let of = |name: &str| site["crawl"][name].as_u64().unwrap_or(0);
    let due = of("due");
    if site["breaker"] == "stopped" {
        return format!("not running; {due} URLs are due");
    }
    let cold = if site["crawl"]["cold"] == true { ", first pages still missing" } else { "" };
    format!(
        "{} fetched since the start ({} new, {} unchanged, {} failed), {due} due{cold}",
        of("fetched"),
        of("stored"),
        of("unchanged"),
        of("failed")
    )
}

/// What is known of a page, and its versions.
pub(super) fn pages_as_text(pages: &[Value]) -> String {
    let mut text = String::new();
    for page in pages {
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<12}{value}");
        };
        let word = |name: &str| page[name].as_str();
        let number = |name: &str| page[name].as_u64().unwrap_or(0);
        line("page", word("url").unwrap_or("?"));
        for (name, key) in
            [("withdrawn", "withdrawn"), ("fetched", "last_fetched"), ("next", "due")]
        {
            if let Some(at) = word(key) {
                line(name, at);
            }
        }
        let counts = format!(
            "{} answered, {} of them with something new",
            number("fetches"),
            number("changes")
        );
        line("fetches", &counts);
        if let Some(reason) = word("reason") {
            line("failed", &format!("{} times in a row, last: {reason}", number("failures")));
        }
        let versions = page["versions"].as_array();
        for version in versions.into_iter().flatten() {
            line("version", &version_line(version));
        }
        if versions.is_none_or(Vec::is_empty) {
            line("version", "none is held");
        }
    }
    text
}

fn version_line(version: &Value) -> String {
    let word = |name: &str| version[name].as_str().unwrap_or("?");
    let bytes = version["record_bytes"].as_u64().unwrap_or(0);
    let held_back = if version["shown"] == false { ", held back by the pin" } else { "" };
    format!(
        "{}, the same until {}: {} {} in {}{held_back}",
        word("captured"),
        word("confirmed"),
        version["status"],
        word("media_type"),
        readable_size(bytes)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sites_are_added_up() {
        let sites = [
            json!({"site": "https://a", "pages_known": 3, "pages_held": 2, "bytes": 10, "oldest": "2026-01-02T00:00:00Z",
                "failures": [{"url": "https://a/x", "reason": "timed_out"}]}),
            json!({"site": "https://b", "pages_known": 5, "pages_held": 5, "bytes": 7, "oldest": "2026-01-01T00:00:00Z",
                "failures": []}),
            json!({"site": "https://c", "pages_known": 0, "pages_held": 0, "bytes": 0, "oldest": null, "failures": []}),
        ];
        let all = as_json(&sites);
        assert_eq!(
            (&all["pages_known"], &all["pages_held"], &all["bytes"], &all["oldest"]),
            (&json!(8), &json!(7), &json!(17), &json!("2026-01-01T00:00:00Z"))
        );
        assert_eq!(all["failures"], json!([{"url": "https://a/x", "reason": "timed_out"}]));
        assert_eq!(as_json(&[])["oldest"], Value::Null);
    }

    #[test]
    fn a_site_is_told_in_lines() {
        let site = json!({"site": "https://a", "pages_known": 30, "pages_held": 20, "versions": 25, "bytes": 1 << 20,
            "oldest": "2026-01-02T00:00:00Z", "newest": "2026-01-03T00:00:00Z", "ages": {"hour": 0, "day": 18, "older": 2},
            "failures": (0..12).map(|n| json!({"url": format!("https://a/{n}"), "reason": "gone"})).collect::<Vec<_>>(),
            "failed": 12, "withdrawn": 1, "refused": 3, "pinned_before": "2026-01-04T00:00:00Z", "breaker": "open",
            "crawl": {"fetched": 9, "stored": 4, "unchanged": 3, "failed": 2, "due": 1, "cold": false}});
        let text = as_text(std::slice::from_ref(&site), Failures::Some);
        for words in [
            "held        20 of 30 known URLs, in 25 versions",
            "age         18 under a day, 2 older",
            "pinned      nothing captured from 2026-01-04T00:00:00Z on",
            "origin      away",
            "1 URLs that may not come back",
            "refused     3 URLs not taken",
            "9 fetched since the start (4 new, 3 unchanged, 2 failed), 1 due",
            "https://a/9 (gone)",
        ] {
            assert!(text.contains(words), "{words} is not in:\n{text}");
        }
        assert!(!text.contains("https://a/10"));
        assert!(as_text(&[site], Failures::All).contains("https://a/11"));
    }
}
