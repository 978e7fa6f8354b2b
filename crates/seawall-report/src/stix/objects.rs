//! What of a report becomes which object.

use serde_json::{Value, json};

use crate::entry::{Address, Source};
use crate::export::ExportError;
use crate::report::MitigationHistory;
use crate::terms::Term;
use crate::{Report, wording};

use super::pattern::pattern;
use super::{Bundle, extended};

/// All that the report says. The incident comes first, because notes are about it; the `report` last, because it names
/// all others.
pub(super) fn add_all(bundle: &mut Bundle, report: &Report) -> Result<(), ExportError> {
    let incident = add_incident(bundle, report)?;
    add_sites(bundle, report, &incident)?;
    let flood = add_attack_pattern(bundle, report, &incident)?;
    for one in &report.mitigations {
        add_mitigation(bundle, report, one, &incident, flood.as_deref())?;
    }
    for source in &report.sources {
        add_source(bundle, source)?;
    }
    for address in &report.addresses {
        add_address(bundle, address)?;
    }
    add_notes(bundle, report, &incident)?;
    add_report(bundle, report)
}

fn add_incident(bundle: &mut Bundle, report: &Report) -> Result<String, ExportError> {
    let figures = extended(json!({
        "incident": report.begin.incident,
        "sites": report.begin.sites,
        "verdict": report.verdict,
        "facts_from": report.begin.origin,
        "since": report.begin.since,
        "until": report.until,
        "totals": report.totals,
        "before": report.before,
        "peak": report.peak,
        "cohorts": report.cohorts,
        "sample": report.sample,
        "node": report.node,
        "record": report.record,
        "unknown": report.unknown,
    }));
    let incident = json!({
        "name": wording::title(report),
        "description": wording::summary(report),
        "extensions": figures,
    });
    bundle.domain("incident", "", incident)
}

/// The sites that were asked: how often, in all.
fn add_sites(bundle: &mut Bundle, report: &Report, incident: &str) -> Result<(), ExportError> {
    let mut sites = Vec::new();
    for site in &report.begin.sites {
        let host = wording::host(site);
        let kind = match host.parse::<std::net::IpAddr>() {
            Ok(ip) if ip.is_ipv4() => "ipv4-addr",
            Ok(_) => "ipv6-addr",
            Err(_) if wording::is_name(host) => "domain-name",
            // In the incident it stands as it was configured.
            Err(_) => continue,
        };
        sites.push(bundle.observable(kind, json!({ "value": host }), json!({}))?);
    }
    if sites.is_empty() || report.totals.requests == 0 {
        return Ok(());
    }
    let observed = json!({
        "first_observed": report.begin.since,
        "last_observed": report.until.unwrap_or(report.recorded_until).max(report.begin.since),
        "number_observed": observations(report.totals.requests),
        "object_refs": sites,
        "extensions": extended(json!({ "totals": report.totals })),
    });
    let observed = bundle.domain("observed-data", "sites", observed)?;
    bundle.relation(&observed, "related-to", incident)
}

/// STIX 2.1 §4.14 allows 1 to 999,999,999; the figure itself is in the extension.
fn observations(number: u64) -> u64 {
    number.clamp(1, 999_999_999)
}

/// The kind of attack. There is none in the bundle of a crowd.
fn add_attack_pattern(
    bundle: &mut Bundle,
    report: &Report,
    incident: &str,
) -> Result<Option<String>, ExportError> {
    if !wording::is_attack(report) {
        return Ok(None);
    }
    let kind = json!({
        "name": "HTTP flood",
        "description": "More requests than a website can answer, made to look like those of readers.",
        "external_references": [
            { "source_name": "capec", "external_id": "CAPEC-488" },
            { "source_name": "mitre-attack", "external_id": "T1499.002" },
        ],
    });
    let id = bundle.domain("attack-pattern", "flood", kind)?;
    bundle.relation(incident, "related-to", &id)?;
    Ok(Some(id))
}

/// What was recognised, and what was done about it.
fn add_mitigation(
    bundle: &mut Bundle,
    report: &Report,
    one: &MitigationHistory,
    incident: &str,
    flood: Option<&str>,
) -> Result<(), ExportError> {
    let key = one.id.to_string();
    let mut what = incident.to_owned();
    if let Some((indicator, is_malicious)) = indicator(report, one) {
        what = bundle.domain("indicator", &key, indicator)?;
        if let Some(flood) = flood.filter(|_| is_malicious) {
            bundle.relation(&what, "indicates", flood)?;
        }
    }
    let moves: Vec<Value> = one
        .moves
        .iter()
        .map(|step| {
            let change = &step.change;
            json!({ "at": step.at, "from": change.from, "to": change.to, "why": change.why })
        })
        .collect();
    let (name, description) = if report.is_reconstructed() {
        (
            format!("would have been {}: {}", one.hardest, one.signature),
            format!(
                "Worked out from logs: {} requests would have matched. Nobody was refused, tested or let off.",
                one.met.matched
            ),
        )
    } else {
        (
            format!("{}: {}", one.hardest, one.signature),
            format!(
                "Of {} requests that matched, {} were refused, {} given a cheap test ({} passed) and {} let off to see what happens without.",
                one.met.matched,
                one.met.blocked,
                one.met.tests_set,
                one.met.tests_passed,
                one.met.control,
            ),
        )
    };
    let action = json!({
        "name": name,
        "description": description,
        "extensions": extended(json!({
            "mitigation": one.id,
            "signature": one.signature,
            "countermeasure": one.hardest,
            "effect": one.met,
            "moves": moves,
        })),
    });
    let action = bundle.domain("course-of-action", &key, action)?;
    let how = if what == incident { "related-to" } else { "mitigates" };
    bundle.relation(&action, how, &what)
}

/// The indicator of a signature, and whether it is said to be malicious: only what was refused in an attack is.
fn indicator(report: &Report, one: &MitigationHistory) -> Option<(Value, bool)> {
    let last = &one.moves.last()?.change;
    let evidence = *one.strongest()?;
    let is_malicious = wording::is_attack(report) && one.hardest == "block";
    let terms: serde_json::Map<String, Value> = last
        .terms
        .iter()
        .map(Term::of)
        .map(|term| (term.name.to_owned(), json!(term.value)))
        .collect();
    let from = one.moves.first()?.at;
    let until = report.until.unwrap_or(report.recorded_until).max(from).plus_ms(VALID_MS);
    let indicator = json!({
        "name": one.signature,
        "description": "What requests had in common, in words of the program that recognised them. It describes requests, not who made them, and ordinary clients may look the same: see `collateral_upper`.",
        "indicator_types": [if is_malicious { "malicious-activity" } else { "anomalous-activity" }],
        "pattern": pattern(&last.terms)?,
        "pattern_type": "stix",
        "pattern_version": "2.1",
        "valid_from": from,
        "valid_until": until,
        "extensions": extended(json!({
            "mitigation": one.id,
            "signature": one.signature,
            "terms": terms,
            "evidence": evidence,
        })),
    });
    Some((indicator, is_malicious))
}

/// How long what was recognised is worth looking for: as long as the shield itself remembers it, a day.
const VALID_MS: u64 = 86_400_000;

fn add_source(bundle: &mut Bundle, source: &Source) -> Result<(), ExportError> {
    let Some(kind) = kind_of_address(&source.prefix) else { return Ok(()) };
    let mut more = json!({});
    if let Some((number, name)) = source.registered.as_deref().and_then(wording::autonomous_system)
    {
        let more_of_system = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
        let system =
            bundle.observable("autonomous-system", json!({ "number": number }), more_of_system)?;
        more["belongs_to_refs"] = json!([system]);
    }
    let id = bundle.observable(kind, json!({ "value": source.prefix }), more)?;
    let observed = json!({
        "first_observed": source.first_seen,
        "last_observed": source.last_seen.max(source.first_seen),
        "number_observed": observations(source.rows),
        "object_refs": [id],
        "extensions": extended(json!({
            "sampled_rows": source.rows,
            "sampled_rows_met": source.met_rows,
            "sampled_rows_refused": source.refused_rows,
            "requests_estimated": source.requests,
            "addresses_sampled": source.addresses,
            "registered": source.registered,
            "marks": source.marks,
            "mitigations": source.mitigations,
        })),
    });
    bundle.domain("observed-data", &format!("source {}", source.prefix), observed).map(drop)
}

/// `None` for what is neither an address nor a network.
fn kind_of_address(text: &str) -> Option<&'static str> {
    let prefix: seawall_model::Prefix = text.parse().ok()?;
    Some(if prefix.network().is_ipv4() { "ipv4-addr" } else { "ipv6-addr" })
}

/// A full address of the sealed edition, with the connections that it made.
fn add_address(bundle: &mut Bundle, address: &Address) -> Result<(), ExportError> {
    let Some(kind) = kind_of_address(&address.address) else { return Ok(()) };
    let from = bundle.observable(kind, json!({ "value": address.address }), json!({}))?;
    let mut refs = vec![from.clone()];
    let destination =
        address.destination.as_deref().and_then(|to| to.parse::<std::net::SocketAddr>().ok());
    if let Some(to) = destination {
        let kind = if to.is_ipv4() { "ipv4-addr" } else { "ipv6-addr" };
        let target = bundle.observable(kind, json!({ "value": to.ip() }), json!({}))?;
        for port in &address.ports {
            let (first, last) = address.seen_from(*port);
            let traffic = json!({
                "src_ref": from,
                "dst_ref": target,
                "src_port": port,
                "dst_port": to.port(),
                "protocols": [if to.is_ipv4() { "ipv4" } else { "ipv6" }, "tcp", "http"],
                "start": first,
                "end": last,
            });
            refs.push(bundle.observable("network-traffic", traffic, json!({}))?);
        }
    }
    let observed = json!({
        "first_observed": address.first_seen,
        "last_observed": address.last_seen.max(address.first_seen),
        "number_observed": observations(address.refused),
        "object_refs": refs,
        "extensions": extended(json!({
            "refused_seen": address.refused,
            "mitigations": address.mitigations,
        })),
    });
    bundle.domain("observed-data", &format!("address {}", address.address), observed).map(drop)
}

/// What is judged, what people said, and what is not known.
fn add_notes(bundle: &mut Bundle, report: &Report, incident: &str) -> Result<(), ExportError> {
    for (number, one) in report.assessments.iter().enumerate() {
        let note = json!({
            "abstract": format!("Assessment: {}", wording::subject(one.subject)),
            "content": wording::judgement(one),
            "confidence": confidence(one.confidence),
            "object_refs": [incident],
            "extensions": extended(json!({
                "subject": one.subject,
                "likelihood": one.likelihood,
                "likelihood_percent": wording::percents(one.likelihood),
                "confidence": one.confidence,
            })),
        });
        bundle.domain("note", &format!("assessment {number}"), note)?;
    }
    for (number, one) in report.notes.iter().enumerate() {
        let mut note = json!({
            "abstract": wording::note(one.kind),
            "content": one.text,
            "object_refs": [incident],
            "extensions": extended(json!({ "note": one })),
        });
        if !one.author.is_empty() {
            note["authors"] = json!([one.author]);
        }
        bundle.domain("note", &format!("note {number}"), note)?;
    }
    let mut unknown = report.unknown.clone();
    unknown.extend(report.gaps.iter().map(|gap| {
        let until = gap.until.map_or_else(|| "an unknown moment".to_owned(), |at| at.to_string());
        format!("Nothing is known from {} to {until}: {}. {}", gap.from, gap.why, gap.detail)
    }));
    unknown.extend(
        report.faults.iter().map(|one| format!("{}: {} failed: {}", one.at, one.part, one.what)),
    );
    if unknown.is_empty() {
        return Ok(());
    }
    let note = json!({
        "abstract": "What is not known",
        "content": unknown.join("\n"),
        "object_refs": [incident],
    });
    bundle.domain("note", "unknown", note).map(drop)
}

/// The middle of the bands that STIX 2.1 gives in its appendix A for low, medium and high.
const fn confidence(confidence: crate::Confidence) -> u8 {
    match confidence {
        crate::Confidence::Low => 15,
        crate::Confidence::Moderate => 50,
        crate::Confidence::High => 85,
    }
}

fn add_report(bundle: &mut Bundle, report: &Report) -> Result<(), ExportError> {
    let refs = std::mem::take(&mut bundle.refs);
    let whole = json!({
        "name": wording::title(report),
        "description": wording::summary(report),
        "report_types": ["observed-data"],
        "published": bundle.modified,
        "object_refs": refs,
    });
    bundle.domain("report", "", whole).map(drop)
}
