//! What is chosen at an export: how far it may be passed on, which edition it is, and in whose name.
//!
//! Separate because it is the same for every format, and because what an edition may show of addresses has to be
//! decided in one place: [`ExportOptions::shown`]. It deliberately does **not** look into what people or requests wrote:
//! `Chrome/120.0.0.0` is no address, and an operator who writes one into a note means it.
//!
//! *Sources:* TLP 2.0 (FIRST, 2022); RFC 6177 for the /48.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use seawall_model::Prefix;

use crate::Report;

/// What is chosen at an export.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// How far it may be passed on.
    pub tlp: Tlp,
    /// Which edition.
    pub edition: Edition,
    /// In whose name; `None`: the reporter is `unnamed`.
    pub reporter: Option<String>,
    /// A mail address at which the reporter answers. XARF demands one; drafts have a gap to fill in where there is none.
    pub contact: Option<String>,
}

impl ExportOptions {
    /// The report as this edition may show it: the public one has no full address, and nothing in it is narrower than
    /// /24 and /48, whatever a record says. A prefix that is none is left out there: it might be anything.
    ///
    /// # Errors
    /// [`ExportError::SealedIsClear`]: choose another marking.
    pub fn shown<'r>(&self, report: &'r Report) -> Result<Cow<'r, Report>, ExportError> {
        match (self.edition, self.tlp) {
            (Edition::Sealed, Tlp::Clear) => Err(ExportError::SealedIsClear),
            (Edition::Sealed, _) => Ok(Cow::Borrowed(report)),
            (Edition::Public, _) if is_public(report) => Ok(Cow::Borrowed(report)),
            (Edition::Public, _) => Ok(Cow::Owned(public(report))),
        }
    }

    /// The name of the reporter, of at most 200 characters without control characters.
    pub fn reporter(&self) -> String {
        let name = self.reporter.as_deref().unwrap_or_default();
        let name: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
        if name.trim().is_empty() { "unnamed".to_owned() } else { name.trim().to_owned() }
    }
}

/// How far an export may be passed on: the labels of TLP 2.0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// To the world.
    Clear,
    /// To the community of who receives it, and not to the public.
    Green,
    /// To who needs to know in the receiving organisation and among those it serves.
    #[default]
    Amber,
    /// To who needs to know in the receiving organisation.
    AmberStrict,
    /// To the very persons who receive it.
    Red,
}

impl Tlp {
    /// All of them, the widest first.
    pub const ALL: [Self; 5] =
        [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// The label as FIRST writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Clear => "TLP:CLEAR",
            Self::Green => "TLP:GREEN",
            Self::Amber => "TLP:AMBER",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        }
    }

    /// The label without `TLP:`, small, as the command line and MISP write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl FromStr for Tlp {
    type Err = UnknownOption;

    /// Reads the label with or without `TLP:`, whatever the case.
    fn from_str(text: &str) -> Result<Self, UnknownOption> {
        let is = |tlp: &Self| {
            text.eq_ignore_ascii_case(tlp.as_str()) || text.eq_ignore_ascii_case(tlp.label())
        };
        Self::ALL.into_iter().find(is).ok_or(UnknownOption {
            what: "a TLP marking",
            known: "`clear`, `green`, `amber`, `amber+strict` and `red`",
        })
    }
}

/// For whom an export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edition {
    /// For anybody: no address, nothing narrower than /24 and /48.
    #[default]
    Public,
    /// With the full addresses of sources that were refused often, for who has to act on them.
    Sealed,
}

impl Edition {
    /// The name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Sealed => "sealed",
        }
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Edition {
    type Err = UnknownOption;

    fn from_str(text: &str) -> Result<Self, UnknownOption> {
        [Self::Public, Self::Sealed]
            .into_iter()
            .find(|edition| edition.as_str() == text)
            .ok_or(UnknownOption { what: "an edition", known: "`public` and `sealed`" })
    }
}

/// An option that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such thing as {what}; there are {known}")]
pub struct UnknownOption {
    what: &'static str,
    known: &'static str,
}

/// Why something cannot be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Full addresses are personal data and nothing for the world.
    #[error(
        "the sealed edition holds full addresses and cannot be TLP:CLEAR; use another marking, or the public edition"
    )]
    SealedIsClear,
    /// Complaints need addresses.
    #[error(
        "there is nothing to draft: the public edition has no full addresses; use the sealed edition"
    )]
    PublicHasNoAddresses,
    /// Nobody was refused so often and so surely that one could complain.
    #[error(
        "there is nothing to draft: the record holds no full address of a source (none was refused often enough, their time is over, or they are encrypted)"
    )]
    NoAddresses,
    /// Without source ports nobody can find a subscriber behind a shared address, and XARF demands one.
    #[error(
        "there is nothing to draft: no source port was recorded (access logs have none), and XARF demands one"
    )]
    NoPorts,
    /// Complaints are about attacks that happened.
    #[error(
        "there is nothing to draft: the record tells of no attack (many readers at once, what could not be told, or a rehearsal)"
    )]
    NoAttack,
    /// A bug of ours: our own types could not be written.
    #[error("the report cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The widest that an edition without addresses may be precise: /24 and /48.
const MAX_PUBLIC_BITS: (u8, u8) = (24, 48);

/// The network in `text`, no narrower than /24 and /48. `None` if it is neither an address nor a prefix.
pub(crate) fn public_prefix(text: &str) -> Option<Prefix> {
    let prefix: Prefix = text.trim().parse().ok()?;
    let (network, bits) = match (prefix.network(), prefix.network().to_canonical()) {
        // An IPv4 address in IPv6 clothes is cut as what it is.
        (IpAddr::V6(_), IpAddr::V4(ip)) if prefix.bits() >= 96 => {
            (IpAddr::V4(ip), prefix.bits() - 96)
        }
        (network, _) => (network, prefix.bits()),
    };
    let max = if network.is_ipv4() { MAX_PUBLIC_BITS.0 } else { MAX_PUBLIC_BITS.1 };
    Prefix::new(network, bits.min(max)).ok()
}

fn is_public(report: &Report) -> bool {
    let is_cut = |text: &str| public_prefix(text).is_some_and(|cut| cut.to_string() == text);
    report.addresses.is_empty()
        && report.begin.config_sha256.is_none()
        && report.begin.listens.iter().all(|listen| public_listen(listen).as_ref() == Some(listen))
        && report.sources.iter().all(|source| is_cut(&source.prefix))
}

fn public(report: &Report) -> Report {
    let mut report = Report { addresses: Vec::new(), ..report.clone() };
    let ports = report.begin.listens.iter().filter_map(|listen| public_listen(listen));
    report.begin.listens = ports.collect();
    report.begin.listens.dedup();
    // Of a short configuration everything can be guessed but the origin's address, and then that can be tried.
    report.begin.config_sha256 = None;
    for source in &mut report.sources {
        source.prefix =
            public_prefix(&source.prefix).map_or_else(String::new, |cut| cut.to_string());
    }
    report
}

/// The port alone: `:443`. The address of a machine behind a proxy is what an attacker wants who would go around the proxy.
fn public_listen(listen: &str) -> Option<String> {
    let (_, port) = listen.rsplit_once(':')?;
    port.parse::<u16>().ok().map(|port| format!(":{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Begin, Source};

    #[test]
    fn every_marking_is_read_as_it_is_written() {
        for tlp in Tlp::ALL {
            assert_eq!(tlp.label().parse(), Ok(tlp));
            assert_eq!(tlp.as_str().parse(), Ok(tlp));
            assert_eq!(format!("tlp:{}", tlp.as_str()).parse(), Ok(tlp));
        }
        assert!("white".parse::<Tlp>().is_err());
        assert_eq!("sealed".parse(), Ok(Edition::Sealed));
        assert!("open".parse::<Edition>().is_err());
    }

    #[track_caller]
    fn check_cut(text: &str, want: &str) {
        let cut = public_prefix(text).map(|cut| cut.to_string());
        assert_eq!(cut.as_deref().unwrap_or_default(), want);
    }

    #[test]
    fn nothing_public_is_narrower_than_a_24_and_a_48() {
        check_cut("198.51.100.77", "198.51.100.0/24");
        check_cut("198.51.100.77/32", "198.51.100.0/24");
        check_cut("198.51.0.0/16", "198.51.0.0/16");
        check_cut("2001:db8:1:2::3", "2001:db8:1::/48");
        check_cut("2001:db8::/32", "2001:db8::/32");
        check_cut("::ffff:198.51.100.77", "198.51.100.0/24");
        check_cut("::ffff:198.51.100.77/128", "198.51.100.0/24");
        check_cut("somebody", "");
        check_cut("198.51.100.0/33", "");
    }

    #[test]
    fn the_public_edition_has_no_address_whatever_the_record_says() {
        let source = |prefix: &str| Source { prefix: prefix.to_owned(), ..Source::default() };
        let listens = ["10.0.0.7:443", "[2001:db8::7]:443", "[::]:8443"];
        let report = Report {
            sources: vec![source("198.51.100.77"), source("2001:db8::1/128"), source("reader-77")],
            addresses: vec![Address { address: "198.51.100.77".to_owned(), ..Address::default() }],
            begin: Begin {
                listens: listens.map(str::to_owned).to_vec(),
                config_sha256: Some("c0".repeat(32)),
                ..Begin::default()
            },
            ..Report::default()
        };
        let shown = ExportOptions::default().shown(&report).expect("public").into_owned();
        assert_eq!(shown.addresses, []);
        let prefixes: Vec<&str> = shown.sources.iter().map(|one| one.prefix.as_str()).collect();
        assert_eq!(prefixes, ["198.51.100.0/24", "2001:db8::/48", ""]);
        assert_eq!(shown.begin.listens, [":443", ":8443"]);
        assert_eq!(shown.begin.config_sha256, None);
    }

    #[test]
    fn the_sealed_edition_is_not_for_the_world() {
        let sealed = ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() };
        let options = |tlp| ExportOptions { tlp, ..sealed.clone() };
        let report = Report::default();
        let refused = options(Tlp::Clear).shown(&report);
        assert!(matches!(refused, Err(ExportError::SealedIsClear)), "{refused:?}");
        assert!(options(Tlp::Green).shown(&report).is_ok());
    }

    #[test]
    fn a_reporter_without_a_name_is_unnamed() {
        let named = |name: &str| {
            ExportOptions { reporter: Some(name.to_owned()), ..ExportOptions::default() }.reporter()
        };
        assert_eq!(named(" Example\r\nBcc: all "), "ExampleBcc: all");
        assert_eq!(named("\n"), "unnamed");
        assert_eq!(ExportOptions::default().reporter(), "unnamed");
    }
}
