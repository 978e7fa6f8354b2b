//! Reads an admin request and decides whether it may go on. Pure.

use std::net::IpAddr;
use std::sync::Arc;

use seawall_decide::MAX_CREDENTIAL_DAYS;

use super::orders::{self, Change};
use super::{ArchiveChange, EmergencyChange, Import, Purge};

/// Through which door a request came.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// The unix socket: whoever can open it may do everything.
    Unix,
    /// TCP on loopback without a token.
    Loopback,
    /// TCP with this token.
    Token(Arc<str>),
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Query {
    Status,
    Metrics,
    Purge(Purge),
    /// A pass for so many days.
    Pass(u8),
    /// The copies of all sites, or of one.
    Archive(Option<String>),
    /// What is known and held of one URL.
    ArchivedPage(String),
    /// Of all sites, or of one.
    ChangeArchive(ArchiveChange, Option<String>),
    /// The content is records.
    Import(Import),
    /// The content is a note on the incident of this name.
    Note(String),
    Emergency(EmergencyChange),
    /// What stands.
    Mitigations,
    /// What recent traffic is made of.
    Values,
    /// What the operator decides by hand.
    Order(Change),
}

/// An answer that needs no view: status and text of the error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denied(pub(super) u16, pub(super) &'static str);

/// A head as received, up to and including the empty line.
pub(super) struct Head<'a> {
    method: &'a str,
    target: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Head<'a> {
    /// Strict where it matters for who is asking; everything unusual is refused.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Denied> {
        const BAD: Denied = Denied(400, "not an HTTP/1.1 request");
        let text = std::str::from_utf8(bytes).map_err(|_| BAD)?;
        let text = text.strip_suffix("\r\n\r\n").ok_or(BAD)?;
        let mut lines = text.split("\r\n");
        let mut start = lines.next().unwrap_or_default().split(' ');
        let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
            (start.next(), start.next(), start.next(), start.next())
        else {
            return Err(BAD);
        };
        let mut fields = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(BAD)?;
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0'])
            {
                return Err(BAD);
            }
            fields.push((name, value.trim_matches([' ', '\t'])));
        }
        Ok(Self { method, target, fields })
    }

    /// Bytes of content that follow. Chunked content is refused: nothing here needs any.
    pub(super) fn content_length(&self) -> Result<u64, Denied> {
        if self.field("transfer-encoding")?.is_some() {
            return Err(Denied(411, "send no content, or say its length"));
        }
        match self.field("content-length")? {
            None => Ok(0),
            Some(text) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().map_err(|_| Denied(413, "no content is expected"))
            }
            Some(_) => Err(Denied(400, "content-length is no number")),
        }
    }

    /// Authorises and routes.
    pub(super) fn query(&self, door: &Door) -> Result<Query, Denied> {
        self.authorise(door)?;
        let (path, parameters) = self.target.split_once('?').unwrap_or((self.target, ""));
        let is_get = self.method == "GET";
        match (self.method, path) {
            ("GET", "/status") => Ok(Query::Status),
            ("GET", "/metrics") => Ok(Query::Metrics),
            ("GET", "/archive") if parameters.starts_with("url=") => {
                page(parameters).map(Query::ArchivedPage)
            }
            ("GET", "/archive") => match of_site(parameters)? {
                ("", site) => Ok(Query::Archive(site)),
                _ => Err(Denied(400, "say url=…, site=HOST, or nothing")),
            },
            ("POST", "/archive") => {
                let (what, site) = of_site(parameters)?;
                archive(what).map(|what| Query::ChangeArchive(what, site))
            }
            ("POST", "/archive/import") => match door {
                Door::Unix => import(parameters).map(Query::Import),
                Door::Loopback | Door::Token(_) => {
                    Err(Denied(403, "an import comes over the unix socket only"))
                }
            },
            ("POST", "/note") => match door {
                Door::Unix => incident(parameters).map(Query::Note),
                Door::Loopback | Door::Token(_) => {
                    Err(Denied(403, "a note comes over the unix socket only"))
                }
            },
            ("GET", "/mitigations") => Ok(Query::Mitigations),
            ("GET", "/mitigations/values") => Ok(Query::Values),
            ("POST", "/mitigations") => orders::parse(parameters).map(Query::Order),
            ("POST", "/emergency") => emergency(parameters).map(Query::Emergency),
            ("POST", "/pass") => days(parameters).map(Query::Pass),
            ("POST", "/purge") => purge(parameters).map(Query::Purge),
            (_, "/status" | "/metrics" | "/mitigations/values") => Err(Denied(405, "use GET here")),
            (_, "/purge" | "/pass" | "/emergency" | "/archive/import" | "/note") if is_get => {
                Err(Denied(405, "use POST here"))
            }
            (
                _,
                "/archive" | "/archive/import" | "/purge" | "/pass" | "/emergency" | "/mitigations"
                | "/note",
            ) => Err(Denied(405, "use GET to look and POST to change")),
            _ => Err(Denied(
                404,
                "there are /status, /metrics, /mitigations, /archive, /purge, /pass, /note and /emergency",
            )),
        }
    }

    fn authorise(&self, door: &Door) -> Result<(), Denied> {
        match door {
            Door::Unix => Ok(()),
            Door::Token(token) => {
                let given = self.field("authorization")?.and_then(|value| {
                    let (scheme, given) = value.split_once(' ')?;
                    scheme.eq_ignore_ascii_case("bearer").then_some(given.trim_start_matches(' '))
                });
                if given.is_some_and(|given| same(given.as_bytes(), token.as_bytes())) {
                    Ok(())
                } else {
                    Err(Denied(401, "this address wants `Authorization: Bearer` with its token"))
                }
            }
            Door::Loopback => {
                if !self.field("host")?.is_some_and(is_loopback_host) {
                    return Err(Denied(421, "use `localhost` or a loopback address as host"));
                }
                if self.method != "GET" && self.field(OWN_FIELD)?.is_none() {
                    return Err(Denied(403, "a change wants the field `X-Seawall-Admin: 1`"));
                }
                Ok(())
            }
        }
    }

    /// The value of a field; several of one name are refused, because two readers might take
    /// different ones.
    fn field(&self, name: &str) -> Result<Option<&'a str>, Denied> {
        let mut found = self.fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|(_, value)| *value)),
            _ => Err(Denied(400, "a field is repeated")),
        }
    }
}

/// The field that a change over TCP without token must carry.
pub(super) const OWN_FIELD: &str = "x-seawall-admin";

fn is_loopback_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').unwrap_or(("", "")),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_is_sound =
        port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.parse::<u16>().is_ok());
    let is_local = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    port_is_sound && is_local
}

/// Equality in a time that depends on lengths only, so that a token cannot be guessed byte by byte.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

fn purge(parameters: &str) -> Result<Purge, Denied> {
    const USAGE: Denied = Denied(400, "say exactly one of url=…, tag=…, all=1");
    let mut found = None;
    for pair in parameters.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(USAGE)?;
        let value = percent_decode(value).ok_or(Denied(400, "bad percent encoding"))?;
        let purge = match name {
            "url" if !value.is_empty() => Purge::Url(value),
            "tag" if !value.is_empty() => Purge::Tag(value),
            "all" if value == "1" => Purge::All,
            _ => return Err(USAGE),
        };
        if found.replace(purge).is_some() {
            return Err(USAGE);
        }
    }
    found.ok_or(USAGE)
}

fn page(parameters: &str) -> Result<String, Denied> {
    let url = parameters.strip_prefix("url=").filter(|url| !url.contains('&'));
    let url = url.ok_or(Denied(400, "say url=…, or nothing"))?;
    percent_decode(url).ok_or(Denied(400, "bad percent encoding"))
}

/// What is said before the site, and the site if one is said.
fn of_site(parameters: &str) -> Result<(&str, Option<String>), Denied> {
    let (what, site) = match parameters.split_once('&') {
        Some((what, rest)) => (what, Some(rest)),
        None if parameters.starts_with("site=") => ("", Some(parameters)),
        None => (parameters, None),
    };
    let Some(site) = site else { return Ok((what, None)) };
    let site = site.strip_prefix("site=").filter(|site| !site.is_empty() && !site.contains('&'));
    let site = site.ok_or(Denied(400, "say site=HOST last, once, or nothing"))?;
    let site = percent_decode(site).ok_or(Denied(400, "bad percent encoding"))?;
    Ok((what, Some(site)))
}

fn archive(parameters: &str) -> Result<ArchiveChange, Denied> {
    match parameters.split_once('=') {
        Some(("crawl", "1")) => Ok(ArchiveChange::Crawl),
        Some(("seal", "1")) => Ok(ArchiveChange::Seal),
        Some(("pin", "none")) => Ok(ArchiveChange::Unpin),
        Some(("pin", second)) => second
            .parse()
            .map(ArchiveChange::Pin)
            .map_err(|_| Denied(400, "say pin=SECONDS since 1970, or pin=none")),
        _ => Err(Denied(400, "say exactly one of crawl=1, seal=1, pin=SECONDS, pin=none")),
    }
}

fn import(parameters: &str) -> Result<Import, Denied> {
    const USAGE: Denied = Denied(400, "say some of site=HOST, begin=1, files=1, dry=1");
    let mut what = Import::default();
    for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').ok_or(USAGE)? {
            ("begin", "1") => what.is_begin = true,
            ("files", "1") => what.is_of_files = true,
            ("dry", "1") => what.is_dry = true,
            ("site", site) if !site.is_empty() && what.site.is_none() => {
                what.site = Some(percent_decode(site).ok_or(Denied(400, "bad percent encoding"))?);
            }
            _ => return Err(USAGE),
        }
    }
    Ok(what)
}

fn incident(parameters: &str) -> Result<String, Denied> {
    let incident = parameters.strip_prefix("incident=").filter(|it| !it.contains('&'));
    let incident = incident.filter(|it| !it.is_empty()).ok_or(Denied(400, "say incident=…"))?;
    percent_decode(incident).ok_or(Denied(400, "bad percent encoding"))
}

fn emergency(parameters: &str) -> Result<EmergencyChange, Denied> {
    const USAGE: Denied = Denied(400, "say on=1, on=1&for_s=SECONDS, or on=0");
    match parameters {
        "on=1" => Ok(EmergencyChange::On),
        "on=0" => Ok(EmergencyChange::Off),
        _ => {
            let seconds = parameters.strip_prefix("on=1&for_s=").ok_or(USAGE)?;
            let seconds = seconds.parse().map_err(|_| USAGE)?;
            if seconds == 0 { Err(USAGE) } else { Ok(EmergencyChange::OnFor(seconds)) }
        }
    }
}

fn days(parameters: &str) -> Result<u8, Denied> {
    let days = parameters.strip_prefix("days=").and_then(|days| days.parse().ok());
    days.filter(|days| (1..=MAX_CREDENTIAL_DAYS).contains(days))
        .ok_or(Denied(400, "say days=1 to days=30"))
}

/// Undoes percent encoding (RFC 3986 §2.1); `+` stands for itself, as in URLs.
pub(super) fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16).map(|d| d as u8);
        let (high, low) = (digit()?, digit()?);
        out.push(high << 4 | low);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::{Denied, Door, Head, Query, is_loopback_host};
    use crate::admin::{ArchiveChange, EmergencyChange, Import, Purge};

    #[track_caller]
    fn check(door: Door, request: &str, want: Result<Query, u16>) {
        let request = request.replace('\n', "\r\n");
        let got = Head::parse(request.as_bytes()).and_then(|head| head.query(&door));
        assert_eq!(got.map_err(|Denied(status, _)| status), want, "{request}");
    }

    #[test]
    fn unix_socket_needs_no_credentials() {
        check(Door::Unix, "GET /status HTTP/1.1\nHost: x\n\n", Ok(Query::Status));
        check(Door::Unix, "GET /metrics HTTP/1.1\n\n", Ok(Query::Metrics));
        check(Door::Unix, "POST /purge?all=1 HTTP/1.1\n\n", Ok(Query::Purge(Purge::All)));
    }

    #[test]
    fn loopback_refuses_rebound_names_and_plain_posts() {
        let door = Door::Loopback;
        for host in ["localhost", "127.0.0.1:9180", "[::1]:9180", "LOCALHOST:1", "127.9.9.9"] {
            let request = format!("GET /status HTTP/1.1\nHost: {host}\n\n");
            check(door.clone(), &request, Ok(Query::Status));
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil", "", "[::1", "[::1]x"]
        {
            let request = format!("GET /status HTTP/1.1\nHost: {host}\n\n");
            check(door.clone(), &request, Err(421));
        }
        check(door.clone(), "GET /status HTTP/1.1\n\n", Err(421));
        check(
            door.clone(),
            "GET /status HTTP/1.1\nHost: localhost\nHost: evil.example\n\n",
            Err(400),
        );
        check(door.clone(), "POST /purge?all=1 HTTP/1.1\nHost: localhost\n\n", Err(403));
        check(
            door.clone(),
            "POST /purge?all=1 HTTP/1.1\nHost: localhost\nX-Seawall-Admin: 1\n\n",
            Ok(Query::Purge(Purge::All)),
        );
    }

    #[test]
    fn a_token_is_wanted_whole() {
        let door = Door::Token("s3cret".into());
        check(
            door.clone(),
            "GET /status HTTP/1.1\nAuthorization: Bearer s3cret\n\n",
            Ok(Query::Status),
        );
        check(
            door.clone(),
            "GET /status HTTP/1.1\nAuthorization: bearer s3cret\n\n",
            Ok(Query::Status),
        );
        for field in ["", "Authorization: Bearer s3cre\n", "Authorization: Basic s3cret\n"] {
            check(door.clone(), &format!("GET /status HTTP/1.1\n{field}\n"), Err(401));
        }
    }

    #[test]
    fn purge_wants_exactly_one_target() {
        let url = Purge::Url("https://example.org/a?b=c&d".to_owned());
        for (parameters, want) in [
            ("url=https%3A%2F%2Fexample.org%2Fa%3Fb=c%26d", Ok(Query::Purge(url))),
            ("tag=news", Ok(Query::Purge(Purge::Tag("news".to_owned())))),
            ("all=1", Ok(Query::Purge(Purge::All))),
            ("", Err(400)),
            ("all=0", Err(400)),
            ("url=", Err(400)),
            ("url=%zz", Err(400)),
            ("url=%4", Err(400)),
            ("all=1&tag=x", Err(400)),
            ("other=1", Err(400)),
        ] {
            check(Door::Unix, &format!("POST /purge?{parameters} HTTP/1.1\n\n"), want);
        }
    }

    #[test]
    fn a_pass_lasts_a_month_at_most() {
        for (parameters, want) in [
            ("days=1", Ok(Query::Pass(1))),
            ("days=30", Ok(Query::Pass(30))),
            ("days=31", Err(400)),
            ("days=0", Err(400)),
            ("days=256", Err(400)),
            ("days=-1", Err(400)),
            ("days=", Err(400)),
            ("", Err(400)),
        ] {
            check(Door::Unix, &format!("POST /pass?{parameters} HTTP/1.1\n\n"), want);
        }
        check(Door::Unix, "GET /pass?days=1 HTTP/1.1\n\n", Err(405));
        check(Door::Loopback, "POST /pass?days=1 HTTP/1.1\nHost: localhost\n\n", Err(403));
    }

    #[test]
    fn changes_of_the_archive_and_emergencies_are_said_in_one_way() {
        for (target, want) in [
            ("/archive?crawl=1", Ok(Query::ChangeArchive(ArchiveChange::Crawl, None))),
            ("/archive?seal=1", Ok(Query::ChangeArchive(ArchiveChange::Seal, None))),
            ("/archive?pin=17", Ok(Query::ChangeArchive(ArchiveChange::Pin(17), None))),
            ("/archive?pin=none", Ok(Query::ChangeArchive(ArchiveChange::Unpin, None))),
            (
                "/archive?pin=none&site=a.b%3A8",
                Ok(Query::ChangeArchive(ArchiveChange::Unpin, Some("a.b:8".to_owned()))),
            ),
            ("/archive?crawl=1&site=", Err(400)),
            ("/archive?crawl=1&site=a&site=b", Err(400)),
            ("/archive?site=a", Err(400)),
            ("/archive?pin=-1", Err(400)),
            ("/archive", Err(400)),
            ("/archive/import", Ok(Query::Import(Import::default()))),
            (
                "/archive/import?site=a.b%3A8&begin=1&files=1&dry=1",
                Ok(Query::Import(Import {
                    site: Some("a.b:8".to_owned()),
                    is_begin: true,
                    is_of_files: true,
                    is_dry: true,
                })),
            ),
            ("/archive/import?site=a&site=b", Err(400)),
            ("/archive/import?dry=0", Err(400)),
            ("/note?incident=a%2Db", Ok(Query::Note("a-b".to_owned()))),
            ("/note?incident=", Err(400)),
            ("/note", Err(400)),
            ("/emergency?on=1", Ok(Query::Emergency(EmergencyChange::On))),
            ("/emergency?on=1&for_s=60", Ok(Query::Emergency(EmergencyChange::OnFor(60)))),
            ("/emergency?on=0", Ok(Query::Emergency(EmergencyChange::Off))),
            ("/emergency?on=1&for_s=0", Err(400)),
            ("/emergency", Err(400)),
        ] {
            check(Door::Unix, &format!("POST {target} HTTP/1.1\n\n"), want);
        }
        check(Door::Unix, "GET /archive HTTP/1.1\n\n", Ok(Query::Archive(None)));
        let of_one = Query::Archive(Some("a.b".to_owned()));
        check(Door::Unix, "GET /archive?site=a.b HTTP/1.1\n\n", Ok(of_one));
        let page = Query::ArchivedPage("https://a.b/?c".to_owned());
        check(Door::Unix, "GET /archive?url=https%3A%2F%2Fa.b%2F%3Fc HTTP/1.1\n\n", Ok(page));
        let door = Door::Token("s3cret".into());
        let request = "POST /archive/import HTTP/1.1\nAuthorization: Bearer s3cret\n\n";
        check(door, request, Err(403));
        check(Door::Unix, "GET /archive?crawl=1 HTTP/1.1\n\n", Err(400));
        check(Door::Unix, "GET /archive?url=%zz HTTP/1.1\n\n", Err(400));
        check(Door::Unix, "GET /emergency?on=1 HTTP/1.1\n\n", Err(405));
        check(Door::Unix, "DELETE /archive HTTP/1.1\n\n", Err(405));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for bad in [
            "\n\n",
            "GET /status\n\n",
            "GET /status HTTP/2\n\n",
            "GET  /status HTTP/1.1\n\n",
            "GET /status HTTP/1.1\nno colon\n\n",
            "GET /status HTTP/1.1\nHost : x\n\n",
            "GET /status HTTP/1.1\nA: b\n c\n\n",
        ] {
            check(Door::Unix, bad, Err(400));
        }
        check(Door::Unix, "POST /status HTTP/1.1\n\n", Err(405));
        check(Door::Unix, "GET /purge?all=1 HTTP/1.1\n\n", Err(405));
        check(Door::Unix, "GET /etc/passwd HTTP/1.1\n\n", Err(404));
        assert!(!is_loopback_host("localhost:99999"));
    }
}
