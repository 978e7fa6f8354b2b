//! The published schemas say of every key what we write, and know no key that we do not write.
//!
//! This walks the parts of JSON Schema (2020-12) that they use, and is stricter: a key that a schema does not know is a
//! mistake here, so that a new one cannot be forgotten. `cargo xtask ci --only evidence` has the same judged by a
//! validator that nobody here wrote.

use std::fs;
use std::path::Path;

use seawall_report::{
    Begin, Chain, Clean, CleanLook, Collector, Edition, Entry, ExportOptions, Fault, Gap, LogFile,
    Move, Node, Note, Reconstructed, RecordFacts, Removed, Second, Step, Timestamp, Tlp, Word,
    example, json,
};
use serde_json::Value;

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas").join(name);
    serde_json::from_str(&fs::read_to_string(path).expect("it is published")).expect("JSON")
}

/// What is wrong with a value by a schema; nothing if it is as it says.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let target =
            root.pointer(name.trim_start_matches('#')).ok_or(format!("{at}: no {name}"))?;
        check(root, target, value, at)?;
    }
    for (word, want) in [("anyOf", None), ("oneOf", Some(1))] {
        let Some(all) = schema[word].as_array() else { continue };
        let fits = all.iter().filter(|one| check(root, one, value, at).is_ok()).count();
        if fits == 0 || want.is_some_and(|want| fits != want) {
            return Err(format!("{at}: {fits} of {word} fit"));
        }
    }
    let is_const = schema.get("const").is_none_or(|want| want == value);
    let is_listed = schema["enum"].as_array().is_none_or(|all| all.contains(value));
    if !is_const || !is_listed {
        return Err(format!("{at}: {value} is not what it may be"));
    }
    let is_of = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    match &schema["type"] {
        Value::String(name) if !is_of(name) => return Err(format!("{at}: no {name}")),
        Value::Array(names) if !names.iter().filter_map(Value::as_str).any(is_of) => {
            return Err(format!("{at}: none of {names:?}"));
        }
        _ => {}
    }
    for one in value.as_array().into_iter().flatten() {
        check(root, &schema["items"], one, &format!("{at}[]"))?;
    }
    let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
    for (key, inner) in value.as_object().into_iter().flatten() {
        let known = properties.get(key).ok_or(format!("{at}: the key {key} is not published"))?;
        check(root, known, inner, &format!("{at}.{key}"))?;
    }
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match required.into_iter().find(|key| value.get(*key).is_none()) {
        Some(key) => Err(format!("{at}: {key} is missing")),
        None => Ok(()),
    }
}

#[test]
fn reports_are_what_their_schema_says() {
    let schema = schema("report-1.json");
    let mut empty = Collector::new().finish(RecordFacts::default());
    empty.record.timestamps.push((1, "authority".to_owned()));
    let mut reconstructed = example();
    reconstructed.begin.reconstructed =
        Some(Reconstructed { logs: vec![LogFile::default()], ..Reconstructed::default() });
    for report in [example(), reconstructed, empty] {
        for (edition, tlp) in [(Edition::Public, Tlp::Clear), (Edition::Sealed, Tlp::Red)] {
            let options = ExportOptions { edition, tlp, ..ExportOptions::default() };
            let text = json::render(&report, &options).expect("it may be shown");
            let value: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(check(&schema, &schema, &value, "report"), Ok(()));
        }
    }
}

#[test]
fn a_report_of_another_form_is_not() {
    let schema = schema("report-1.json");
    let text = json::render(&example(), &ExportOptions::default()).expect("public");
    let good: Value = serde_json::from_str(&text).expect("JSON");
    for (pointer, bad) in [
        ("/totals/requests", Value::from("many")),
        ("/report", Value::from(2)),
        ("/timeline/0/at", Value::from(5)),
        ("/assessments/0/likelihood", Value::from("certain")),
        ("/tlp", Value::from("TLP:WHITE")),
    ] {
        let mut value = good.clone();
        *value.pointer_mut(pointer).expect("it is there") = bad;
        assert!(check(&schema, &schema, &value, "report").is_err(), "{pointer}");
    }
}

#[test]
fn lines_of_records_are_what_their_schema_says() {
    let schema = schema("record-1.json");
    let second = Second { node: Some(Node::default()), ..Second::default() };
    let step = Step { mitigation: Some(Move::default()), ..Step::default() };
    let look = CleanLook { attribute: String::new(), values: [("0".to_owned(), 0.5)].into() };
    let clean = Clean { met: true, looks: vec![look], ..Clean::default() };
    let entries = [
        Entry::Second(Box::new(second)),
        Entry::Row(Box::default()),
        Entry::Clean(Box::new(clean)),
        Entry::Word(Word::default()),
        Entry::Source(Box::default()),
        Entry::Addresses(Box::default()),
        Entry::Step(Box::new(step)),
        Entry::Gap(Gap::default()),
        Entry::Fault(Fault::default()),
        Entry::Note(Note::default()),
        Entry::End(Box::default()),
        Entry::Timestamp(Timestamp::default()),
        Entry::Removed(Removed::default()),
    ];
    let key = seawall_seal::SigningKey::generate().expect("a key");
    let reconstructed =
        Reconstructed { logs: vec![LogFile::default()], ..Reconstructed::default() };
    let remove_record_at = Some(seawall_report::Moment::default());
    let reconstructed = Some(reconstructed);
    let begin = Begin { reconstructed, remove_record_at, ..Begin::default() };
    let (mut chain, mut bytes) = Chain::begin(&begin, &key).expect("it begins");
    for entry in &entries {
        bytes.extend(chain.append(entry).expect("it may stand there"));
    }
    bytes.extend(chain.seal(&key, seawall_report::Moment::default()).expect("sealed"));
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(text.lines().count(), 1 + entries.len() + 3);
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(check(&schema, &schema, &value, "line"), Ok(()), "{line}");
    }
    let removed = format!("{{\"removed\":{{\"line\":3,\"sha256\":\"{}\"}}}}", "0".repeat(64));
    let removed: Value = serde_json::from_str(&removed).expect("JSON");
    assert_eq!(check(&schema, &schema, &removed, "line"), Ok(()));
}
