//! Drafts of complaints to those who run the networks that requests came from: XARF v4, `connection`/`ddos`.
//!
//! Separate because it is the one export that accuses somebody, so it says the least: one address each, only such as the
//! record holds in full (refused often, no test passed, no credential, no shared exit: judged when it was recorded), when
//! to the millisecond, from which ports to which. An address names who rents a line, not who used it, and the words say
//! so. Drafts are never sent by themselves, nobody's contact is looked up, and the mail has no `To`.
//!
//! One report has one source: that is how XARF is made, and its reference receiver takes one JSON part of a mail. So
//! there are as many mails as addresses ([`mails`]), ordered by network, since the operator looks up one contact per network;
//! [`render`] has the same reports as a JSON array for who posts them to an interface.
//!
//! Of the recommended fields those that we do not count are left out: packets and bits per second of one source.
//!
//! *Sources:* XARF 4.2.0 (core and `connection-ddos` schema, e-mail transport); RFC 5965; RFC 6522.

mod mail;

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use seawall_seal::{Digest, name_uuid};
use serde_json::{Value, json};

use crate::entry::Address;
use crate::export::{Edition, ExportError, ExportOptions, public_prefix};
use crate::stix::{NAMESPACE, scope};
use crate::{Report, wording};

pub use self::mail::{Draft, mails, mbox};

/// The reports as a JSON array, ordered by network.
///
/// # Errors
/// [`ExportError`], where there is nothing to draft or the edition may not be shown.
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    pieces(report, options)?.collect()
}

/// The same in pieces, each made when it is asked for: thousands of reports are beyond what an export may take of memory.
///
/// # Errors
/// As [`render`], at once or with a piece.
pub fn pieces<'r>(
    report: &'r Report,
    options: &'r ExportOptions,
) -> Result<impl Iterator<Item = Result<String, ExportError>> + 'r, ExportError> {
    let list = complaints(report, options)?;
    let reports = list.into_iter().enumerate().map(move |(place, one)| {
        let text = serde_json::to_string_pretty(&to_json(report, options, &one))?;
        let before = if place == 0 { "[" } else { "," };
        Ok(format!("{before}\n  {}", text.replace('\n', "\n  ")))
    });
    Ok(reports.chain(std::iter::once(Ok("\n]\n".to_owned()))))
}

/// The version of the format.
const VERSION: &str = "4.2.0";

/// One report, and what a mail needs of it.
struct Complaint<'r> {
    /// Who registered the network, or its prefix where no list says.
    network: String,
    address: &'r Address,
    /// The first source port.
    port: u16,
    id: String,
}

fn complaints<'r>(
    report: &'r Report,
    options: &ExportOptions,
) -> Result<Vec<Complaint<'r>>, ExportError> {
    if options.edition == Edition::Public {
        return Err(ExportError::PublicHasNoAddresses);
    }
    options.shown(report)?;
    if !wording::is_attack(report) {
        return Err(ExportError::NoAttack);
    }
    if report.addresses.is_empty() {
        return Err(ExportError::NoAddresses);
    }
    let networks: HashMap<&str, &str> = report
        .sources
        .iter()
        .filter_map(|source| Some((source.prefix.as_str(), source.registered.as_deref()?)))
        .collect();
    let scope = scope(report, options);
    let mut list: Vec<Complaint<'_>> = report
        .addresses
        .iter()
        .filter_map(|address| {
            let ip: std::net::IpAddr = address.address.parse().ok()?;
            let port = *address.ports.iter().find(|port| **port > 0)?;
            let prefix = public_prefix(&address.address)?.to_string();
            let network = networks.get(prefix.as_str()).map_or(prefix, |name| (*name).to_owned());
            let name = format!("{scope}\0xarf\0{ip}");
            let id = name_uuid(NAMESPACE, name.as_bytes());
            Some(Complaint { network, address, port, id })
        })
        .collect();
    if list.is_empty() {
        return Err(ExportError::NoPorts);
    }
    list.sort_by(|a, b| {
        let refused = b.address.refused.cmp(&a.address.refused);
        a.network.cmp(&b.network).then(refused).then(a.address.address.cmp(&b.address.address))
    });
    Ok(list)
}

fn to_json(report: &Report, options: &ExportOptions, one: &Complaint<'_>) -> Value {
    let Complaint { address, id, port, .. } = one;
    let contact = contact(options);
    let who = json!({
        "org": options.reporter(),
        "contact": contact,
        "domain": contact.rsplit_once('@').map_or(NO_DOMAIN, |(_, domain)| domain),
    });
    let last = address.last_seen.max(address.first_seen);
    // Who had a port is asked for a time at which it was used.
    let (at, _) = address.seen_from(*port);
    let evidence = evidence(report, address);
    let mut json = json!({
        "xarf_version": VERSION,
        "report_id": id,
        "timestamp": at,
        "reporter": who,
        "sender": who,
        "source_identifier": address.address,
        "source_port": port,
        "category": "connection",
        "type": "ddos",
        "protocol": "tcp",
        "attack_vector": "http_flood",
        "first_seen": address.first_seen,
        "last_seen": last,
        "duration_seconds": (last.seconds_since(address.first_seen).ceil() as u64).max(1),
        "mitigation_applied": true,
        "evidence_source": "traffic_monitoring",
        "description": format!(
            "At least {} requests from this address were refused as part of a flood of HTTP requests. The address may belong to a device that was taken over or to a proxy: this says nothing about who used it.",
            address.refused
        ),
        "tags": ["attack:http_flood", format!("tlp:{}", options.tlp.as_str())],
        "evidence": [{
            "content_type": "text/plain",
            "description": "What was recorded of this address. All times are UTC.",
            "payload": STANDARD.encode(&evidence),
            "hash": format!("sha256:{}", Digest::of(evidence.as_bytes())),
            "size": evidence.len(),
        }],
    });
    if let Some(to) = destination(address) {
        json["destination_ip"] = json!(to.ip());
        json["destination_port"] = json!(to.port());
    }
    json
}

fn destination(address: &Address) -> Option<std::net::SocketAddr> {
    address.destination.as_deref()?.parse().ok().filter(|to: &std::net::SocketAddr| to.port() > 0)
}

/// At which address the reporter answers, or a gap that cannot be sent to (RFC 2606).
fn contact(options: &ExportOptions) -> &str {
    let is_address = |text: &&str| {
        let is_local = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        text.split_once('@').is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len())
                && local.bytes().all(is_local)
                && local.split('.').all(|part| !part.is_empty())
                && wording::is_name(domain)
        })
    };
    options.contact.as_deref().map(str::trim).filter(is_address).unwrap_or(NO_CONTACT)
}

const NO_DOMAIN: &str = "example.invalid";
const NO_CONTACT: &str = "fill-in-your-address@example.invalid";

/// What was recorded of an address, a line each.
fn evidence(report: &Report, address: &Address) -> String {
    let ports: Vec<String> = address.ports.iter().map(u16::to_string).collect();
    let mut lines = vec![
        format!("source address: {}", address.address),
        format!("source ports seen (first first, at most 8): {}", ports.join(", ")),
        format!("destination: {}", address.destination.as_deref().unwrap_or("not recorded")),
        format!("first seen in the sample: {}", address.first_seen),
        format!("last seen in the sample: {}", address.last_seen.max(address.first_seen)),
        format!("refusals seen (there were at least so many): {}", address.refused),
        "protocol: HTTP over TCP, connections established, so the address is not forged".to_owned(),
    ];
    for (port, first, last) in address.ports_seen() {
        lines.push(format!("source port {port}: seen from {first} to {last}"));
    }
    let met = |id: &u32| report.mitigations.iter().find(|one| one.id == *id);
    for one in address.mitigations.iter().filter_map(met) {
        lines.push(format!("requests had in common: {}", line(&one.signature)));
    }
    lines.push(match &report.begin.clock {
        Some(clock) => format!(
            "clock: {} ms ahead, known to {} ms ({})",
            clock.offset_ms,
            clock.error_ms,
            line(&clock.source)
        ),
        None => "clock: offset not known".to_owned(),
    });
    lines.push(format!("incident: {}", line(&report.begin.incident)));
    if let Some(head) = &report.record.head {
        lines.push(format!("SHA-256 of the last seal of the signed record: {}", line(head)));
    }
    lines.join("\n") + "\n"
}

/// Words of strangers on one line.
fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RecordOrigin, Tlp, example};

    fn sealed() -> ExportOptions {
        ExportOptions { edition: Edition::Sealed, ..ExportOptions::default() }
    }

    fn reports(report: &Report, options: &ExportOptions) -> Vec<Value> {
        let text = render(report, options).expect("drafts");
        serde_json::from_str(&text).expect("a JSON array")
    }

    #[test]
    fn every_address_has_a_report_of_its_own_and_two_exports_are_equal() {
        let report = example();
        let reports = reports(&report, &sealed());
        assert_eq!(reports, self::reports(&report, &sealed()));
        assert_eq!(reports.len(), report.addresses.len());
        for one in &reports {
            let address = report.addresses.iter().find(|a| one["source_identifier"] == a.address);
            let address = address.expect("an address of the record");
            assert_eq!(one["first_seen"], address.first_seen.to_string());
            assert_eq!(one["source_port"], address.ports[0]);
            assert_eq!(one["destination_port"], 443);
        }
    }

    #[track_caller]
    fn check_nothing(report: &Report, options: &ExportOptions, want: &str) {
        let error = render(report, options).expect_err("nothing to draft").to_string();
        assert!(error.contains(want), "{error}");
    }

    #[test]
    fn where_there_is_nothing_to_draft_it_says_why() {
        let with = |change: fn(&mut Report)| {
            let mut report = example();
            change(&mut report);
            report
        };
        check_nothing(&example(), &ExportOptions::default(), "public edition");
        let clear = ExportOptions { tlp: Tlp::Clear, ..sealed() };
        check_nothing(&example(), &clear, "cannot be TLP:CLEAR");
        check_nothing(&with(|report| report.addresses.clear()), &sealed(), "no full address");
        for verdict in ["crowd", "mixed", ""] {
            let report = Report { verdict: verdict.to_owned(), ..example() };
            check_nothing(&report, &sealed(), "no attack");
        }
        let rehearsal = with(|report| report.begin.origin = RecordOrigin::Rehearsal);
        check_nothing(&rehearsal, &sealed(), "rehearsal");
        let portless = with(|report| report.addresses.iter_mut().for_each(|a| a.ports.clear()));
        check_nothing(&portless, &sealed(), "no source port");
    }

    #[test]
    fn a_contact_that_is_none_leaves_a_gap() {
        for (text, want) in [
            ("desk@daily.example", "desk@daily.example"),
            ("desk@daily.example\r\nBcc: x@y.example", NO_CONTACT),
            ("a b@daily.example", NO_CONTACT),
            ("desk", NO_CONTACT),
            ("a@b@daily.example", NO_CONTACT),
            ("", NO_CONTACT),
        ] {
            let options = ExportOptions { contact: Some(text.to_owned()), ..sealed() };
            assert_eq!(contact(&options), want);
        }
    }
}
