//! The report as a STIX 2.1 bundle.
//!
//! Separate because STIX has a grammar of its own. Everything has an identifier made of the record and of what was chosen
//! at the export, so two exports of one record are equal to the byte, and a later one of a record that goes on carries
//! newer versions of the same objects. What STIX has no words for is in an extension of ours, whose schema is published
//! (`docs/schemas/stix-extension-ddos-application-layer.json`); figures there are those of [`Report::totals`].
//!
//! It deliberately says less than STIX could: there is no threat actor, campaign or location in it, because nothing
//! that was seen tells one. A judgement is a `note` with likelihood and confidence apart, and no `opinion`: that would be
//! agreement with what somebody else said.
//!
//! *Sources:* STIX 2.1 (OASIS, 2021); TLP 2.0 as extension of OASIS' common objects. Read next: `pattern`, `objects`.

mod objects;
mod pattern;

use std::collections::HashSet;

use seawall_seal::name_uuid;
use serde_json::{Value, json};

use crate::export::{ExportError, ExportOptions, Tlp};
use crate::{Moment, Report};

/// The report as a bundle.
///
/// # Errors
/// See [`ExportError`].
pub fn render(report: &Report, options: &ExportOptions) -> Result<String, ExportError> {
    let report = &*options.shown(report)?;
    let mut bundle = Bundle::new(report, options)?;
    objects::add_all(&mut bundle, report)?;
    bundle.finish()
}

/// Our extension definition; also in patterns.
pub(crate) const EXTENSION: &str = "extension-definition--d6727f74-be95-44d4-9b89-3ad2b227a25e";
/// Who made the extension: the program, not the reporter.
const EXTENSION_AUTHOR: &str = "identity--b2493d45-7815-4518-9091-8c2b088e2d96";
/// When both were last changed.
const EXTENSION_AT: &str = "2026-11-22T00:00:00.000Z";
/// OASIS' extension that TLP 2.0 is marked with.
const TLP_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";
/// Of our own identifiers.
pub(crate) const NAMESPACE: u128 = 0x9a12_b272_efb4_4e83_8d61_b5c3_8776_553f;
/// Of observables, STIX 2.1 §2.9.
const OBSERVABLES: u128 = 0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7;

/// A bundle that is being written: objects become text one by one, so that ten thousand sources take little memory.
struct Bundle {
    text: String,
    /// Names what is exported: the record, and what was chosen.
    scope: String,
    creator: String,
    marking: &'static str,
    /// From when on the objects are.
    created: Moment,
    /// Of which version they are.
    modified: Moment,
    /// All objects that the report is about, in order.
    refs: Vec<String>,
    observables: HashSet<String>,
}

impl Bundle {
    fn new(report: &Report, options: &ExportOptions) -> Result<Self, ExportError> {
        let scope = scope(report, options);
        let creator =
            format!("identity--{}", name_uuid(NAMESPACE, format!("{scope}\0reporter").as_bytes()));
        let created = report.begin.since;
        let mut bundle = Self {
            text: format!(
                r#"{{"type":"bundle","id":"bundle--{}","objects":["#,
                name_uuid(NAMESPACE, format!("{scope}\0{}", report.recorded_until).as_bytes())
            ),
            creator,
            marking: marking(options.tlp),
            created,
            modified: report.recorded_until.max(created),
            refs: Vec::new(),
            observables: HashSet::new(),
            scope,
        };
        bundle.push(&tlp_object(options.tlp))?;
        bundle.push(&extension_author())?;
        bundle.push(&extension_definition())?;
        bundle.push_reporter(&options.reporter(), options.contact.as_deref())?;
        Ok(bundle)
    }

    fn push_reporter(&mut self, name: &str, contact: Option<&str>) -> Result<(), ExportError> {
        let mut identity = json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": self.creator,
            "created": self.created,
            "modified": self.modified,
            "created_by_ref": self.creator,
            "object_marking_refs": [self.marking],
            "name": name,
            "identity_class": "organization",
        });
        if let Some(contact) = contact {
            identity["contact_information"] = json!(contact);
        }
        self.push(&identity)
    }

    /// An object that is not part of what the report is about.
    fn push(&mut self, object: &Value) -> Result<(), ExportError> {
        if self.text.ends_with('}') {
            self.text.push_str(",\n");
        }
        self.text.push_str(&serde_json::to_string(object)?);
        Ok(())
    }

    /// A domain object or a relationship: `key` tells it from others of its kind.
    fn domain(&mut self, kind: &str, key: &str, mut object: Value) -> Result<String, ExportError> {
        let name = format!("{}\0{kind}\0{key}", self.scope);
        let id = format!("{kind}--{}", name_uuid(NAMESPACE, name.as_bytes()));
        object["type"] = json!(kind);
        object["spec_version"] = json!("2.1");
        object["id"] = json!(id);
        object["created_by_ref"] = json!(self.creator);
        object["created"] = json!(self.created);
        object["modified"] = json!(self.modified);
        object["object_marking_refs"] = json!([self.marking]);
        prune(&mut object);
        self.push(&object)?;
        self.refs.push(id.clone());
        Ok(id)
    }

    fn relation(&mut self, from: &str, how: &str, to: &str) -> Result<(), ExportError> {
        let relation = json!({ "relationship_type": how, "source_ref": from, "target_ref": to });
        self.domain("relationship", &format!("{from} {how} {to}"), relation).map(drop)
    }

    /// An observable. It is named by what contributes to its identifier, everywhere in the world alike (§2.9), and
    /// written once; `more` is what does not contribute.
    fn observable(
        &mut self,
        kind: &str,
        contributing: Value,
        more: Value,
    ) -> Result<String, ExportError> {
        // Keys are sorted and numbers whole, so this is the canonical form of RFC 8785.
        let name = serde_json::to_string(&contributing)?;
        let id = format!("{kind}--{}", name_uuid(OBSERVABLES, name.as_bytes()));
        if !self.observables.insert(id.clone()) {
            return Ok(id);
        }
        let mut object = json!({
            "type": kind,
            "spec_version": "2.1",
            "id": id,
            "object_marking_refs": [self.marking],
        });
        for part in [contributing, more] {
            if let (Value::Object(object), Value::Object(part)) = (&mut object, part) {
                object.extend(part);
            }
        }
        self.push(&object)?;
        self.refs.push(id.clone());
        Ok(id)
    }

    fn finish(mut self) -> Result<String, ExportError> {
        self.text.push_str("]}\n");
        Ok(self.text)
    }
}

/// Takes out what STIX 2.1 §2.6 and §2.9 do not allow: nothing, and lists and dictionaries of nothing.
fn prune(value: &mut Value) {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    match value {
        Value::Array(list) => list.iter_mut().for_each(prune),
        Value::Object(object) => {
            object.values_mut().for_each(prune);
            object.retain(|_, value| !is_nothing(value));
        }
        _ => {}
    }
}

/// Names what is exported. Two editions of one record are different objects, or a reader of both would take one for
/// the other's new version.
pub(crate) fn scope(report: &Report, options: &ExportOptions) -> String {
    let begin = &report.begin;
    [
        "seawall",
        &begin.incident,
        &begin.run,
        &begin.public_key,
        options.edition.as_str(),
        options.tlp.as_str(),
        &options.reporter(),
    ]
    .join("\0")
}

/// The official identifiers: these objects may not be made anew.
const fn marking(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        Tlp::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Tlp::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Tlp::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        Tlp::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
}

fn tlp_object(tlp: Tlp) -> Value {
    json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": marking(tlp),
        "created": "2022-10-01T00:00:00.000Z",
        "name": tlp.label(),
        "extensions": {
            TLP_EXTENSION: { "extension_type": "property-extension", "tlp_2_0": tlp.as_str() },
        },
    })
}

fn extension_author() -> Value {
    json!({
        "type": "identity",
        "spec_version": "2.1",
        "id": EXTENSION_AUTHOR,
        "created": EXTENSION_AT,
        "modified": EXTENSION_AT,
        "name": "Seawall",
        "description": "The program that keeps the record and defines the extension. It is not the reporter.",
        "identity_class": "system",
    })
}

fn extension_definition() -> Value {
    json!({
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": EXTENSION,
        "created_by_ref": EXTENSION_AUTHOR,
        "created": EXTENSION_AT,
        "modified": EXTENSION_AT,
        "name": "Application-layer DDoS",
        "description": "Figures of a flood of HTTP requests, what its requests had in common, what was done and to what effect, and how sure judgements are.",
        "schema": "docs/schemas/stix-extension-ddos-application-layer.json in the source of Seawall",
        "version": "1.0.0",
        "extension_types": ["property-extension"],
    })
}

/// A property extension of ours with what `fields` has.
fn extended(mut fields: Value) -> Value {
    fields["extension_type"] = json!("property-extension");
    json!({ EXTENSION: fields })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::{Edition, example};

    fn options(edition: Edition) -> ExportOptions {
        ExportOptions { edition, ..ExportOptions::default() }
    }

    fn objects(report: &Report, options: &ExportOptions) -> Vec<Value> {
        let text = render(report, options).expect("a bundle");
        let bundle: Value = serde_json::from_str(&text).expect("JSON");
        bundle["objects"].as_array().expect("objects").clone()
    }

    fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
        objects.iter().filter(|object| object["type"] == kind).collect()
    }

    #[test]
    fn two_exports_of_a_record_are_equal_and_editions_share_no_object_of_ours() {
        let (report, public) = (example(), options(Edition::Public));
        assert_eq!(render(&report, &public).expect("one"), render(&report, &public).expect("two"));
        let ids = |edition| -> HashSet<String> {
            objects(&report, &options(edition))
                .iter()
                .filter(|object| !object["created_by_ref"].is_null() && object["id"] != EXTENSION)
                .map(|object| object["id"].to_string())
                .collect()
        };
        assert!(ids(Edition::Public).is_disjoint(&ids(Edition::Sealed)));
    }

    #[test]
    fn every_object_is_there_once_and_every_reference_leads_to_one() {
        let objects = objects(&example(), &options(Edition::Sealed));
        let ids: HashSet<&str> = objects.iter().filter_map(|one| one["id"].as_str()).collect();
        assert_eq!(ids.len(), objects.len());
        for object in &objects {
            for (key, value) in object.as_object().expect("an object") {
                let refs: Vec<&Value> = match value {
                    Value::Array(list) if key.ends_with("_refs") => list.iter().collect(),
                    value if key.ends_with("_ref") => vec![value],
                    _ => continue,
                };
                for one in refs {
                    assert!(one.as_str().is_some_and(|one| ids.contains(one)), "{key} {one}");
                }
            }
        }
    }

    #[test]
    fn figures_of_the_incident_are_those_of_the_report() {
        let report = example();
        let objects = objects(&report, &options(Edition::Public));
        let totals = &of_kind(&objects, "incident")[0]["extensions"][EXTENSION]["totals"];
        assert_eq!(*totals, serde_json::to_value(report.totals).expect("totals"));
    }

    #[test]
    fn addresses_are_in_the_sealed_edition_alone() {
        let report = example();
        for (edition, is_there) in [(Edition::Public, false), (Edition::Sealed, true)] {
            let text = render(&report, &options(edition)).expect("a bundle");
            for address in &report.addresses {
                assert_eq!(text.contains(&format!("\"{}\"", address.address)), is_there);
            }
        }
    }

    #[test]
    fn what_was_not_taken_for_an_attack_has_no_pattern_of_one_and_nothing_malicious() {
        for verdict in ["crowd", "mixed", ""] {
            let report = Report { verdict: verdict.to_owned(), ..example() };
            let text = render(&report, &options(Edition::Public)).expect("a bundle");
            for word in ["attack-pattern", "malicious", "HTTP flood"] {
                assert!(!text.contains(word), "{verdict}: {word}");
            }
        }
    }

    #[test]
    fn a_report_of_nothing_is_a_bundle_all_the_same() {
        let objects = objects(&Report::default(), &options(Edition::Public));
        assert_eq!(of_kind(&objects, "report").len(), 1);
        assert!(of_kind(&objects, "observed-data").is_empty());
    }
}
