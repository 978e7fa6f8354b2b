//! The sections `[[site]]`: hosts, origin, cache, routes, origin limits.

use std::collections::HashMap;
use std::time::Duration;

use seawall_cache::{CookiePatterns, SitePolicy};
use seawall_edge::config::{Origin, OriginTarget, Route, Site};
use seawall_model::{Method, Prefix};

use crate::config::archive::{self, ReadArchive};
use crate::config::build::Builder;
use crate::config::files;
use crate::config::problem::Code;
use crate::config::section::{At, Report, Section};
use crate::config::value;

/// A site, and the line its origin stands on.
pub(crate) struct ReadSite {
    /// The site.
    pub(crate) site: Site,
    /// The line of `origin`; `None` if it is missing or cannot be read.
    pub(crate) origin_line: Option<usize>,
    /// What it says about its archive.
    pub(crate) archive: ReadArchive,
}

impl Builder<'_> {
    /// Reads one `[[site]]` over the defaults in `site`; `hosts` holds those that are taken.
    pub(crate) fn site(
        &self,
        report: &mut Report<'_>,
        mut section: Section<'_>,
        mut site: Site,
        hosts: &mut HashMap<String, usize>,
    ) -> ReadSite {
        section.need(
            report,
            "hosts",
            "add `hosts = [\"example.org\"]`, or `hosts = [\"*\"]` for any host",
        );
        section.need(
            report,
            "origin",
            "add `origin = \"http://127.0.0.1:8080\"`, the address where the site itself runs",
        );
        let line = section.line;
        if let Some(found) = section.list(report, "hosts", (Code::Host, value::host)) {
            site.hosts = claim(report, line, found, hosts);
        }
        let origin = section.read(report, "origin", (Code::OriginUrl, value::origin));
        let origin_line = origin.as_ref().map(|origin| origin.line);
        if let Some(At { value: target, .. }) = origin {
            site.origin.target = target;
        }
        site.methods = methods(report, &mut section);
        if let Some(found) = section.list(report, "login_cookies", (Code::Cookie, value::cookie)) {
            warn_of_sessions(report, &found);
            site.login_cookies = CookiePatterns::new(found.into_iter().map(|cookie| cookie.value));
        }
        if let Some(flag) = section.flag(report, "preserve_host") {
            site.origin.preserve_host = flag.value;
        }
        self.origin_tls(report, &mut section, &mut site.origin, origin_line.is_some());
        let cache = section.section(report, "cache");
        read_cache(report, cache, &mut site.cache);
        for route in section.sections(report, "route") {
            site.routes.extend(read_route(report, route));
        }
        let limits = section.section(report, "origin_limits");
        read_origin_limits(report, limits, &mut site.origin);
        let archive = section.section(report, "archive");
        let archive = archive::read(report, archive, line);
        section.finish(report);
        ReadSite { site, origin_line, archive }
    }

    fn origin_tls(
        &self,
        report: &mut Report<'_>,
        section: &mut Section<'_>,
        origin: &mut Origin,
        known: bool,
    ) {
        let ca_file = section.text(report, "ca_file");
        let any = section.flag(report, "danger_accept_any_certificate");
        let is_tls = matches!(origin.target, OriginTarget::Https { .. });
        let mut useless = |key: &str, line: usize| {
            if known && !is_tls {
                let message =
                    format!("`site.{key}` stands beside an origin that does not speak TLS");
                report.error(
                    Code::UselessKey,
                    line,
                    message,
                    "write the origin with `https://`, or remove the line",
                );
            }
        };
        if let Some(file) = &ca_file {
            useless("ca_file", file.line);
        }
        if let Some(At { value: true, line }) = any {
            useless("danger_accept_any_certificate", line);
        }
        if let Some(At { value: file, line }) = ca_file {
            let file = self.base.join(file);
            files::check_authorities(report, "site.ca_file", line, &file);
            origin.ca_file = Some(file);
        }
        if let Some(At { value: true, line }) = any {
            origin.danger_accept_any_certificate = true;
            if !is_tls {
                return;
            }
            let message = "`site.danger_accept_any_certificate` is `true`: whoever stands between Seawall and the origin can read and change everything";
            report.warning(
                Code::Danger,
                line,
                message.to_owned(),
                "name the origin's own authority with `ca_file` instead",
            );
        }
    }
}

/// Cookies that frameworks give to every visitor, lower case: PHP, Java, ASP.NET, ASP, Laravel,
/// Express, CodeIgniter, ColdFusion, Rails, Magento, and what people write themselves.
const SESSIONS: [&str; 13] = [
    "phpsessid",
    "jsessionid",
    "asp.net_sessionid",
    "aspsessionidabcdefgh",
    "laravel_session",
    "connect.sid",
    "ci_session",
    "cfid",
    "_session_id",
    "frontend",
    "session",
    "sessionid",
    "sid",
];

/// A session is no login. Its cookie is renewed in answer to a login that fails, too.
fn warn_of_sessions(report: &mut Report<'_>, found: &[At<String>]) {
    for cookie in found {
        let pattern = CookiePatterns::new([cookie.value.to_ascii_lowercase()]);
        if !SESSIONS.iter().any(|name| pattern.matches(name.as_bytes())) {
            continue;
        }
        let message = format!(
            "`{}` in `site.login_cookies` looks like the session that every visitor is given; visitors and failed logins would count as signed in",
            cookie.value
        );
        report.warning(
            Code::SessionCookie,
            cookie.line,
            message,
            "name the cookie that the site sets only after a login, for example `remember_*`; without one leave `login_cookies` empty and give editors a pass (`seawall pass`)",
        );
    }
}

fn claim(
    report: &mut Report<'_>,
    line: Option<usize>,
    found: Vec<At<String>>,
    taken: &mut HashMap<String, usize>,
) -> Vec<String> {
    if found.is_empty() && report.findings.errors.iter().all(|problem| problem.code != Code::Host) {
        let hint = "name at least one host, or `\"*\"` for any";
        report.error(
            Code::MissingKey,
            line,
            "`site.hosts` is empty, so nobody could reach the site",
            hint,
        );
    }
    let mut hosts = Vec::with_capacity(found.len());
    for At { value: host, line } in found {
        if let Some(first) = taken.get(&host) {
            let message =
                format!("`site.hosts` names `{host}`, which line {first} has claimed already");
            report.error(Code::DuplicateHost, line, message, "keep it in one place");
        } else {
            taken.insert(host.clone(), line);
            hosts.push(host);
        }
    }
    hosts
}

fn methods(report: &mut Report<'_>, section: &mut Section<'_>) -> Vec<Method> {
    let found = section.list(report, "methods", (Code::Method, value::method));
    found.unwrap_or_default().into_iter().map(|method| method.value).collect()
}

fn read_cache(report: &mut Report<'_>, mut section: Section<'_>, policy: &mut SitePolicy) {
    let mut time = |name, days: u32, into: &mut Duration| {
        if let Some(found) = section.duration(report, name, Duration::ZERO..=DAY * days) {
            *into = found;
        }
    };
    let mut ttl = policy.default_ttl.unwrap_or_default();
    time("default_ttl", 1, &mut ttl);
    // What is stale at once need not be stored at all.
    policy.default_ttl = (!ttl.is_zero()).then_some(ttl);
    let mut negative = policy.negative_ttl.unwrap_or_default();
    time("negative_ttl", 1, &mut negative);
    policy.negative_ttl = (!negative.is_zero()).then_some(negative);
    time("default_stale_while_revalidate", 1, &mut policy.default_stale_while_revalidate);
    time("default_stale_if_error", 30, &mut policy.default_stale_if_error);
    if let Some(bytes) = section.size(report, "max_object_bytes", 1 << 10..=1 << 40) {
        policy.max_object_bytes = bytes;
    }
    let mut names = |name, into: &mut CookiePatterns| {
        if let Some(found) = section.list(report, name, (Code::Cookie, value::cookie)) {
            *into = CookiePatterns::new(found.into_iter().map(|cookie| cookie.value));
        }
    };
    names("bypass_cookies", &mut policy.bypass_cookies);
    names("harmless_cookies", &mut policy.harmless_cookies);
    let mut queries = |name, into: &mut CookiePatterns| {
        if let Some(found) = section.list(report, name, (Code::Query, value::query_name)) {
            *into = CookiePatterns::new(found.into_iter().map(|query| query.value));
        }
    };
    queries("query_keep", &mut policy.query.keep);
    queries("query_ignore", &mut policy.query.ignore);
    section.finish(report);
}

fn read_route(report: &mut Report<'_>, mut section: Section<'_>) -> Option<Route> {
    section.need(
        report,
        "path",
        "add `path = \"/xmlrpc.php\"`, or `path = \"/wp-admin/*\"` for all below it",
    );
    let path = section.read(report, "path", (Code::Path, value::path));
    let sources = section.list(report, "allow_sources", (Code::Prefix, value::prefix));
    let methods = methods(report, &mut section);
    let max_body_bytes = section.size(report, "max_body_bytes", 0..=1 << 40);
    let lane = section.read(report, "lane", (Code::Choice, value::lane));
    let budget = section.read(report, "budget", (Code::Rate, value::route_budget));
    section.finish(report);
    let allow_sources: Option<Vec<Prefix>> =
        sources.map(|sources| sources.into_iter().map(|source| source.value).collect());
    Some(Route {
        path: path?.value,
        allow_sources,
        methods,
        max_body_bytes,
        lane: lane.map(|lane| lane.value).unwrap_or_default(),
        budget: budget.map(|budget| budget.value),
    })
}

fn read_origin_limits(report: &mut Report<'_>, mut section: Section<'_>, origin: &mut Origin) {
    let mut count = |name, range, into: &mut usize| {
        if let Some(found) = section.whole(report, name, range) {
            *into = usize::try_from(found).unwrap_or(usize::MAX);
        }
    };
    count("min_concurrency", 1..=65_536, &mut origin.min_concurrency);
    count("max_concurrency", 1..=65_536, &mut origin.max_concurrency);
    count("max_idle", 0..=4_096, &mut origin.max_idle);
    let mut time = |name, range, into: &mut Duration| {
        if let Some(found) = section.duration(report, name, range) {
            *into = found;
        }
    };
    let tenth = Duration::from_millis(100);
    let hour = Duration::from_secs(3_600);
    time("connect_timeout", tenth..=Duration::from_secs(60), &mut origin.connect_timeout);
    time("header_timeout", tenth..=hour, &mut origin.header_timeout);
    time("idle_timeout", tenth..=hour, &mut origin.idle_timeout);
    time("total_timeout", Duration::from_secs(1)..=DAY, &mut origin.total_timeout);
    time("keep_alive", Duration::from_secs(1)..=hour, &mut origin.keep_alive);
    section.finish(report);
}

const DAY: Duration = Duration::from_secs(86_400);
