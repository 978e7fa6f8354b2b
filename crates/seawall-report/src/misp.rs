//! The report as a MISP event.
//!
//! Separate because MISP has a form of its own: an event with attributes and objects. The standard object `ddos` has no
//! field for what an HTTP flood is known by, so the figures and signatures are in a proposed one,
//! `ddos-application-layer` (`object`), whose definition is published beside the schema of the JSON export.
//!
//! Nothing is marked for intrusion detection (`to_ids`), and the event stays with who imports it: a /24 of a flood has
//! readers in it, and an address is somebody else's next week. Whoever knows better can set both.
//!
//! *Sources:* MISP core format; MISP/misp-objects `ddos` version 10; taxonomies `tlp`, `rsit`, `circl`,
//! `estimative-language`.

mod object;

use seawall_seal::name_uuid;
use serde_json::{Value, json};

use crate::entry::{Address, RecordOrigin, Source};
use crate::export::{ExportError, ExportOptions};
use crate::stix::{NAMESPACE, scope};
use crate::terms::Term;
use crate::{Moment, Report, wording};

pub use self::object::definition;

use self::object::{Object, Template};

/// The report as an event, one JSON object.
///
/// # Errors
/// See [`ExportError`].
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let report = &*options.shown(report)?;
    let event = Event { scope: scope(report, options), report };
    let mut text = serde_json::to_string(&event.to_json(options))?;
    text.push('\n');
    Ok(text)
}

/// What is exported, and what its parts are named after.
struct Event<'r> {
    scope: String,
    report: &'r Report,
}

impl Event<'_> {
    fn uuid(&self, kind: &str, key: &str) -> String {
        name_uuid(NAMESPACE, format!("{}\0misp {kind}\0{key}", self.scope).as_bytes())
    }

    fn to_json(&self, options: &ExportOptions) -> Value {
        let report = self.report;
        let reporter = options.reporter();
        let day = report.begin.since.to_string();
        json!({ "Event": {
            "uuid": self.uuid("event", ""),
            "info": wording::title(report),
            "date": &day[..10],
            "timestamp": self.timestamp(),
            "published": false,
            // Undefined: how much it threatens somebody else is not for us to say.
            "threat_level_id": "4",
            "analysis": if report.until.is_some() { "2" } else { "1" },
            // Your organisation only: the marking says how far it may go from there.
            "distribution": "0",
            "Orgc": { "name": reporter, "uuid": self.uuid("organisation", "") },
            "Tag": self.tags(options),
            "Attribute": self.attributes(),
            "Object": self.objects(),
        }})
    }

    fn timestamp(&self) -> String {
        self.report.recorded_until.max(self.report.begin.since).unix_s().to_string()
    }

    fn tags(&self, options: &ExportOptions) -> Vec<Value> {
        let mut names = vec![format!("tlp:{}", options.tlp.as_str())];
        if wording::is_attack(self.report) {
            names.push(r#"rsit:availability="ddos""#.to_owned());
            names.push(r#"circl:incident-classification="denial-of-service""#.to_owned());
        }
        names.into_iter().map(|name| json!({ "name": name })).collect()
    }

    fn attributes(&self) -> Vec<Value> {
        let report = self.report;
        let mut list = vec![self.text("summary", &wording::summary(report), "What happened")];
        list.extend(report.sources.iter().filter_map(|source| self.source(source)));
        list.extend(report.addresses.iter().filter_map(|address| self.address(address)));
        for network in &report.networks {
            let Some((number, _)) = wording::autonomous_system(&network.registered) else {
                continue;
            };
            let comment = format!(
                "Registered as {}. {} prefixes and {} rows of the sample, about {:.0} requests.",
                network.registered, network.prefixes, network.rows, network.requests
            );
            list.push(self.attribute("network", "AS", &format!("AS{number}"), &comment));
        }
        for (number, one) in report.assessments.iter().enumerate() {
            let key = format!("assessment {number}");
            let mut attribute = self.text(&key, &wording::judgement(one), "Assessment");
            // The taxonomy `estimative-language` has the words of ICD 203.
            let likelihood = wording::likelihood(one.likelihood).replace(' ', "-");
            attribute["Tag"] = json!([
                { "name": format!(r#"estimative-language:likelihood-probability="{likelihood}""#) },
                { "name": format!(r#"estimative-language:confidence-in-analytic-judgment="{}""#, wording::confidence(one.confidence)) },
            ]);
            list.push(attribute);
        }
        for (number, note) in report.notes.iter().enumerate() {
            let from = note.source.as_deref().unwrap_or("no source named");
            let about = note.about.map_or_else(String::new, |at| format!(", about {at}"));
            let comment = format!(
                "{}; written down by {} at {}{about}; {from}",
                wording::note(note.kind),
                note.author,
                note.at
            );
            list.push(self.text(&format!("note {number}"), &note.text, &comment));
        }
        for (number, sentence) in report.unknown.iter().enumerate() {
            list.push(self.text(&format!("unknown {number}"), sentence, "What is not known"));
        }
        list
    }

    /// An attribute without a place in an object.
    fn attribute(&self, key: &str, kind: &str, value: &str, comment: &str) -> Value {
        let category = if kind == "text" { "Other" } else { "Network activity" };
        json!({
            "uuid": self.uuid("attribute", &format!("{key} {value}")),
            "type": kind,
            "category": category,
            "value": value,
            "comment": comment,
            "to_ids": false,
            "timestamp": self.timestamp(),
        })
    }

    /// Words for people; nothing to correlate with.
    fn text(&self, key: &str, value: &str, comment: &str) -> Value {
        let mut attribute = self.attribute(key, "text", value, comment);
        attribute["disable_correlation"] = json!(true);
        attribute
    }

    fn source(&self, source: &Source) -> Option<Value> {
        source.prefix.parse::<seawall_model::Prefix>().ok()?;
        let met = if self.report.is_reconstructed() {
            format!("{} of them a mitigation would have met", source.met_rows)
        } else {
            format!("{} met by a mitigation, {} refused", source.met_rows, source.refused_rows)
        };
        let registered = match &source.registered {
            Some(registered) => format!(" Registered as {registered}."),
            None => String::new(),
        };
        let marks = match source.marks.as_slice() {
            [] => String::new(),
            marks => format!(" Marks: {}.", marks.join(", ")),
        };
        let comment = format!(
            "{} rows of the sample, {}; about {:.0} requests.{registered}{marks}",
            source.rows, met, source.requests
        );
        let attribute = self.attribute("source", "ip-src", &source.prefix, &comment);
        Some(seen(attribute, source.first_seen, source.last_seen))
    }

    fn address(&self, address: &Address) -> Option<Value> {
        address.address.parse::<std::net::IpAddr>().ok()?;
        let ports: Vec<String> = address.ports.iter().map(u16::to_string).collect();
        let comment = format!(
            "{} refusals seen; source ports {}; to {}",
            address.refused,
            if ports.is_empty() { "unknown".to_owned() } else { ports.join(", ") },
            address.destination.as_deref().unwrap_or("an unknown address"),
        );
        let attribute = self.attribute("address", "ip-src", &address.address, &comment);
        Some(seen(attribute, address.first_seen, address.last_seen))
    }

    fn objects(&self) -> Vec<Value> {
        let report = self.report;
        let mut list = Vec::new();
        if wording::is_attack(report) {
            list.push(self.ddos().into_json());
        }
        list.push(self.totals().into_json());
        for (number, one) in report.mitigations.iter().enumerate() {
            let mut object = Object::new(self, Template::Own, &format!("signature {number}"));
            object.add("signature", &one.signature);
            object.add("mitigation", one.id);
            if report.is_reconstructed() {
                object.add("countermeasure", format!("would have been {}", one.hardest));
            } else {
                object.add("countermeasure", &one.hardest);
            }
            object.add("matched-requests", one.met.matched);
            object.add("control-requests", one.met.control);
            object.add("blocked-requests", one.met.blocked);
            object.add("tests-set", one.met.tests_set);
            object.add("tests-passed", one.met.tests_passed);
            if let Some(last) = one.moves.last() {
                for term in last.change.terms.iter().map(Term::of) {
                    object.add(&term.name.replace('_', "-"), term.value);
                }
            }
            if let Some(evidence) = one.strongest() {
                object.add_float("matched-rps", evidence.matched_per_s);
                object.add_float("coverage", evidence.coverage);
                object.add_float("collateral-upper", evidence.collateral_upper);
            }
            if let (Some(first), Some(last)) = (one.moves.first(), one.moves.last()) {
                object.seen(first.at, last.at);
            }
            list.push(object.into_json());
        }
        list
    }

    /// What of it fits the standard object.
    fn ddos(&self) -> Object<'_> {
        let report = self.report;
        let mut object = Object::new(self, Template::Ddos, "ddos");
        // The definition has room for one; our own object has all.
        if let Some(host) = self.hosts().next() {
            object.add("domain-dst", host);
        }
        let ports: std::collections::BTreeSet<&str> = report
            .begin
            .listens
            .iter()
            .filter_map(|listen| listen.rsplit_once(':'))
            .map(|(_, port)| port)
            .filter(|port| port.parse::<u16>().is_ok())
            .collect();
        for port in ports {
            object.add("dst-port", port);
        }
        let mut targets = report.addresses.iter().filter_map(|one| one.destination.as_deref());
        if let Some(to) = targets.find_map(|to| to.parse::<std::net::SocketAddr>().ok()) {
            object.add("ip-dst", to.ip());
        }
        object.add("protocol", "TCP");
        object.add("type", "flooding-attack");
        let logs = matches!(report.begin.origin, RecordOrigin::Replay);
        object.add("capture-origin", if logs { "Logs" } else { "Direct network capture" });
        object.add("first-seen", report.begin.since);
        if let Some(until) = report.until {
            object.add("last-seen", until);
        }
        if let Some(node) = report.node.as_ref().filter(|node| node.peak_rx_bytes_per_s > 0) {
            // All that came in in the busiest second, readers included: who looks only at HTTP cannot tell them apart.
            object.add("total-bps", node.peak_rx_bytes_per_s.saturating_mul(8));
        }
        object.add("text", wording::summary(report));
        object
    }

    fn totals(&self) -> Object<'_> {
        let report = self.report;
        let totals = &report.totals;
        let mut object = Object::new(self, Template::Own, "totals");
        for host in self.hosts() {
            object.add("domain-dst", host);
        }
        object.add("incident", &report.begin.incident);
        object.add("verdict", &report.verdict);
        object.add("facts-from", facts_from(report.begin.origin));
        object.add("software", &report.begin.software);
        object.add("first-seen", report.begin.since);
        if let Some(until) = report.until {
            object.add("last-seen", until);
            object.seen(report.begin.since, until);
        }
        for (relation, figure) in [
            ("counted-seconds", totals.seconds),
            ("requests", totals.requests),
            ("excess-requests", totals.excess),
            ("refused-requests", totals.refused),
            ("matched-requests", totals.matched),
            ("origin-requests", totals.origin),
            ("spared-requests", totals.spared),
            ("origin-cost-ms", totals.origin_cost_ms),
            ("client-errors", totals.client_errors),
            ("server-errors", totals.server_errors),
            ("tests-set", totals.tests_set),
            ("tests-passed", totals.tests_passed),
            ("connections-opened", totals.connections.opened),
            ("handshakes", totals.connections.handshakes),
            ("handshake-failures", totals.connections.handshake_failures),
            ("streams-reset", totals.connections.resets),
            ("connections-slow", totals.connections.slow),
            ("connections-refused", totals.connections.refused),
            ("bytes-received", totals.rx_bytes),
            ("bytes-sent", totals.tx_bytes),
            ("peak-rps", report.peak.requests),
        ] {
            object.add(relation, figure);
        }
        object.add_float("expected-requests", totals.expected);
        object.add("peak-at", report.peak.at);
        object.add("record-key", &report.record.key);
        if let Some(head) = &report.record.head {
            object.add("record-head", head);
        }
        object
    }

    fn hosts(&self) -> impl Iterator<Item = &str> {
        let hosts = self.report.begin.sites.iter().map(|site| wording::host(site));
        hosts.filter(|host| wording::is_name(host))
    }
}

fn seen(mut what: Value, first: Moment, last: Moment) -> Value {
    what["first_seen"] = json!(first);
    what["last_seen"] = json!(last.max(first));
    what
}

const fn facts_from(origin: RecordOrigin) -> &'static str {
    match origin {
        RecordOrigin::Live => "live",
        RecordOrigin::Replay => "replay",
        RecordOrigin::Rehearsal => "rehearsal",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Edition, example};

    fn event(report: &Report, edition: Edition) -> Value {
        let options = ExportOptions { edition, ..ExportOptions::default() };
        let text = render(report, &options).expect("an event");
        serde_json::from_str::<Value>(&text).expect("JSON")["Event"].clone()
    }

    #[test]
    fn two_exports_are_equal_and_every_part_has_an_identifier_of_its_own() {
        let report = example();
        let event = event(&report, Edition::Sealed);
        assert_eq!(event, self::event(&report, Edition::Sealed));
        let mut ids = HashSet::new();
        let mut check = |part: &Value| assert!(ids.insert(part["uuid"].to_string()), "{part}");
        let list = |of: &Value, key: &str| of[key].as_array().cloned().unwrap_or_default();
        list(&event, "Attribute").iter().for_each(&mut check);
        for object in list(&event, "Object") {
            check(&object);
            list(&object, "Attribute").iter().for_each(&mut check);
        }
    }

    #[test]
    fn addresses_are_in_the_sealed_edition_alone() {
        let report = example();
        for (edition, is_there) in [(Edition::Public, false), (Edition::Sealed, true)] {
            let text = event(&report, edition).to_string();
            for address in &report.addresses {
                assert_eq!(text.contains(&format!("\"{}\"", address.address)), is_there);
            }
        }
    }

    #[test]
    fn what_was_not_taken_for_an_attack_is_not_tagged_as_one() {
        for verdict in ["crowd", "mixed", ""] {
            let report = Report { verdict: verdict.to_owned(), ..example() };
            let event = event(&report, Edition::Public);
            assert_eq!(event["Tag"], json!([{ "name": "tlp:amber" }]), "{verdict}");
            assert!(!event["Object"].to_string().contains("flooding"), "{verdict}");
        }
    }
}
