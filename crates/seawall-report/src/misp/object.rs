//! Objects of a MISP event, and the definition of the one that we propose.

use serde_json::{Map, Value, json};

use crate::Moment;

use super::{Event, seen};

/// Which definition an object follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// MISP's own `ddos`.
    Ddos,
    /// The proposed `ddos-application-layer`.
    Own,
}

impl Template {
    const fn name(self) -> &'static str {
        match self {
            Self::Ddos => "ddos",
            Self::Own => "ddos-application-layer",
        }
    }

    const fn uuid(self) -> &'static str {
        match self {
            Self::Ddos => "e2f124d6-f57c-4f93-99e6-8450545fa05d",
            Self::Own => "40a597cd-ff82-4120-bb59-6c76b84b5781",
        }
    }

    const fn version(self) -> u32 {
        match self {
            Self::Ddos => 10,
            Self::Own => 1,
        }
    }

    const fn fields(self) -> &'static [Field] {
        match self {
            Self::Ddos => DDOS,
            Self::Own => OWN,
        }
    }
}

/// An object that is being filled.
pub(super) struct Object<'e> {
    event: &'e Event<'e>,
    template: Template,
    key: String,
    attributes: Vec<Value>,
    seen: Option<(Moment, Moment)>,
}

impl<'e> Object<'e> {
    pub(super) fn new(event: &'e Event<'e>, template: Template, key: &str) -> Self {
        Self { event, template, key: key.to_owned(), attributes: Vec::new(), seen: None }
    }

    /// Adds a value, unless it is empty: MISP refuses those.
    pub(super) fn add(&mut self, relation: &str, value: impl ToString) {
        let value = value.to_string();
        let field = self.template.fields().iter().find(|field| field.name == relation);
        let Some(field) = field.filter(|_| !value.trim().is_empty()) else {
            debug_assert!(value.trim().is_empty(), "{relation} is no field");
            return;
        };
        let key = format!("{} {relation} {}", self.key, self.attributes.len());
        self.attributes.push(json!({
            "uuid": self.event.uuid("object attribute", &key),
            "object_relation": relation,
            "type": field.kind,
            "category": field.category(),
            "value": value,
            "to_ids": false,
            "disable_correlation": !field.correlates,
            "timestamp": self.event.timestamp(),
        }));
    }

    /// Adds a number, unless it is none.
    pub(super) fn add_float(&mut self, relation: &str, value: f64) {
        if value.is_finite() {
            self.add(relation, value);
        }
    }

    pub(super) fn seen(&mut self, first: Moment, last: Moment) {
        self.seen = Some((first, last));
    }

    pub(super) fn into_json(self) -> Value {
        let object = json!({
            "uuid": self.event.uuid("object", &self.key),
            "name": self.template.name(),
            "template_uuid": self.template.uuid(),
            "template_version": self.template.version().to_string(),
            "meta-category": "network",
            "description": if self.template == Template::Own { DESCRIPTION } else { "" },
            "timestamp": self.event.timestamp(),
            "Attribute": self.attributes,
        });
        match self.seen {
            Some((first, last)) => seen(object, first, last),
            None => object,
        }
    }
}

/// A field of a definition.
struct Field {
    name: &'static str,
    /// MISP's type.
    kind: &'static str,
    about: &'static str,
    /// Whether equal values of two events mean something.
    correlates: bool,
    is_multiple: bool,
}

impl Field {
    /// The category that MISP gives the type by default, but none that has addresses be blocked.
    fn category(&self) -> &'static str {
        match self.kind {
            "domain" | "ip-dst" | "port" | "user-agent" => "Network activity",
            "sha256" => "External analysis",
            _ => "Other",
        }
    }
}

const fn field(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, about, correlates: false, is_multiple: false }
}

/// A field whose values tell that two events are about the same.
const fn sign(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, about, correlates: true, is_multiple: false }
}

const fn many(name: &'static str, kind: &'static str, about: &'static str) -> Field {
    Field { name, kind, about, correlates: true, is_multiple: true }
}

/// What we fill of `ddos`.
const DDOS: &[Field] = &[
    sign("domain-dst", "domain", ""),
    field("dst-port", "port", ""),
    sign("ip-dst", "ip-dst", ""),
    field("protocol", "text", ""),
    field("type", "text", ""),
    field("capture-origin", "text", ""),
    field("first-seen", "datetime", ""),
    field("last-seen", "datetime", ""),
    field("total-bps", "integer", ""),
    field("text", "text", ""),
];

const DESCRIPTION: &str = "A flood of HTTP requests, or one signature of it: figures in requests, what requests had in common, what was done about them and to what effect.";

const OWN: &[Field] = &[
    many("domain-dst", "domain", "Site that was flooded"),
    field("incident", "text", "Name of the incident at the reporter"),
    field(
        "verdict",
        "text",
        "attack, crowd (many readers and no attack) or mixed (it could not be told which); absent if nobody judged",
    ),
    field(
        "facts-from",
        "text",
        "live: seen at the server; replay: reconstructed from logs; rehearsal: generated",
    ),
    field("software", "text", "What recorded it"),
    field("first-seen", "datetime", "First alarm"),
    field("last-seen", "datetime", "Last alarm"),
    field(
        "counted-seconds",
        "counter",
        "Seconds from the first alarm to the last that were counted",
    ),
    field("requests", "counter", "Requests answered in them"),
    field("expected-requests", "float", "How many would have been ordinary"),
    field("excess-requests", "counter", "Requests beyond what is ordinary"),
    field("refused-requests", "counter", "Requests refused"),
    field("matched-requests", "counter", "Requests that a countermeasure met"),
    field("origin-requests", "counter", "Requests for which the origin server worked"),
    field("spared-requests", "counter", "Requests for which it would have, but was spared"),
    field("origin-cost-ms", "counter", "Milliseconds of the origin server's time"),
    field("client-errors", "counter", "Requests answered 4xx by the origin, or for what is held"),
    field("server-errors", "counter", "Requests answered 5xx, likewise"),
    field("tests-set", "counter", "Challenges given"),
    field("tests-passed", "counter", "Challenges passed"),
    field("connections-opened", "counter", "Connections accepted"),
    field("handshakes", "counter", "TLS handshakes begun"),
    field("handshake-failures", "counter", "TLS handshakes that failed"),
    field("streams-reset", "counter", "HTTP/2 or HTTP/3 streams reset"),
    field("connections-slow", "counter", "Connections closed or refused as too slow"),
    field("connections-refused", "counter", "Connections refused before anything was read"),
    field(
        "bytes-received",
        "size-in-bytes",
        "Bytes received by all interfaces; 0 where nobody looked",
    ),
    field("bytes-sent", "size-in-bytes", "Bytes sent, likewise"),
    field("peak-rps", "counter", "Requests in the busiest second"),
    field("peak-at", "datetime", "The busiest second"),
    field("record-head", "sha256", "SHA-256 of the last seal of the signed record"),
    field("record-key", "text", "Name of the key that signed the record"),
    field("signature", "text", "What requests had in common, in words"),
    field("mitigation", "integer", "Number of the countermeasure"),
    field(
        "countermeasure",
        "text",
        "Hardest countermeasure taken: observe, demote, challenge or block; `would have been` before it where facts are from logs",
    ),
    field("control-requests", "counter", "Matching requests let off, to see what happens without"),
    field("blocked-requests", "counter", "Matching requests refused"),
    field("matched-rps", "float", "Matching requests per second when it was found"),
    field("coverage", "float", "Part of the excess that the signature explains, 0 to 1"),
    field(
        "collateral-upper",
        "float",
        "Upper bound (95 %) of the part of ordinary clients that match, 0 to 1",
    ),
    sign("ja4", "text", "JA4 fingerprint of the TLS ClientHello"),
    sign(
        "http2-preface",
        "text",
        "Hash of the HTTP/2 preface: settings, window update, priorities",
    ),
    sign("field-order", "text", "Hash of order and spelling of the request's field names"),
    field("field-count", "text", "How many fields there were"),
    field("browser", "text", "Family and major version of what the user agent says it is"),
    sign("user-agent", "user-agent", "User agent"),
    field("accept-language", "text", "Accept-Language"),
    field("accept", "text", "Accept and Accept-Encoding"),
    field("consistency", "text", "How far other fields agree with the user agent"),
    field("cookie", "text", "Which kind of cookie came with it; never its value"),
    field("method", "text", "Method and version of HTTP"),
    sign("path-template", "text", "Path, with what varies as {n}, {id}, {random} or {other}"),
    sign("query", "text", "Keys of the query with classes of their values; never a value"),
    field("network", "text", "Network that the addresses are registered in"),
    field("prefix", "text", "The /24 or /48 that requests came from"),
    Field {
        is_multiple: true,
        ..field("other", "text", "Anything else that requests had in common")
    },
];

/// The definition of the proposed object `ddos-application-layer`, in the form of MISP/misp-objects.
pub fn definition() -> Value {
    let mut attributes = Map::new();
    for one in OWN {
        let mut attribute = json!({
            "description": one.about,
            "misp-attribute": one.kind,
            "ui-priority": u8::from(one.correlates),
            "categories": [one.category()],
        });
        if !one.correlates {
            attribute["disable_correlation"] = json!(true);
        }
        if one.is_multiple {
            attribute["multiple"] = json!(true);
        }
        attributes.insert(one.name.to_owned(), attribute);
    }
    json!({
        "attributes": attributes,
        "description": DESCRIPTION,
        "meta-category": "network",
        "name": Template::Own.name(),
        "requiredOneOf": ["requests", "signature"],
        "uuid": Template::Own.uuid(),
        "version": Template::Own.version(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_definition_is_the_one_that_is_used() {
        let mut want = serde_json::to_string_pretty(&definition()).expect("JSON");
        want.push('\n');
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/schemas/misp-object-ddos-application-layer.json"
        );
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &want).expect("the file can be written");
        }
        let got = std::fs::read_to_string(path).expect("the file can be read");
        assert!(got == want, "write it anew with UPDATE_EXPECT=1");
    }
}
