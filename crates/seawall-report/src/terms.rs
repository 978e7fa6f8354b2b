//! What the terms of a signature are called in formats of others.
//!
//! Separate because STIX and MISP need the same names, and because words carry a lead (`user agent curl/8`) that is for
//! people: machines want the value.

use crate::Word;

/// A term: what it is about, and its value without the lead that its words have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Term<'w> {
    /// Snake case; `other` for what is not known by name.
    pub(crate) name: &'static str,
    /// The words without their lead; all of them if there is none.
    pub(crate) value: &'w str,
    /// Whether a lead was taken away: `no user agent` has none, and is no value of the field.
    pub(crate) is_plain: bool,
}

impl<'w> Term<'w> {
    /// The term that `word` says.
    pub(crate) fn of(word: &'w Word) -> Self {
        let is_meant = |known: &&Known| {
            [known.name, known.said].contains(&word.attribute.as_str())
                || known.also.contains(&word.attribute.as_str())
        };
        let known = KNOWN.iter().find(is_meant);
        let name = known.map_or(OTHER, |known| known.name);
        let value = known
            .filter(|known| !known.lead.is_empty())
            .and_then(|known| word.text.strip_prefix(known.lead))
            .filter(|value| !NO_VALUES.contains(value));
        Term { name, value: value.unwrap_or(&word.text), is_plain: value.is_some() }
    }
}

const OTHER: &str = "other";

struct Known {
    name: &'static str,
    /// As the detector calls it.
    said: &'static str,
    also: &'static [&'static str],
    lead: &'static str,
}

const fn known(
    name: &'static str,
    said: &'static str,
    also: &'static [&'static str],
    lead: &'static str,
) -> Known {
    Known { name, said, also, lead }
}

/// In the order of `seawall_model::Attribute`.
const KNOWN: &[Known] = &[
    known("ja4", "JA4", &[], "JA4 "),
    known("http2_preface", "HTTP/2 preface", &[], "HTTP/2 preface "),
    known("field_order", "field order", &[], "field order "),
    known("field_count", "number of fields", &[], ""),
    known("browser", "browser", &["user_agent_family"], ""),
    known("user_agent", "user agent", &[], "user agent "),
    known("accept_language", "languages", &[], "languages "),
    known("accept", "accepted types", &[], "accepts "),
    known("consistency", "consistency", &[], ""),
    known("cookie", "cookie", &[], ""),
    known("method", "method", &[], ""),
    known("path_template", "path template", &["path"], "path template "),
    known("query", "query", &[], ""),
    known("network", "network", &[], ""),
    known("prefix", "addresses", &[], "addresses "),
];

/// What stands behind a lead where there is no value.
const NO_VALUES: &[&str] = &["not sent", "empty"];

#[cfg(test)]
mod tests {
    use seawall_model::Attribute;

    use super::*;

    fn word(attribute: &str, text: &str) -> Word {
        Word { attribute: attribute.to_owned(), value: String::new(), text: text.to_owned() }
    }

    #[test]
    fn every_attribute_of_the_detector_has_a_name() {
        for (attribute, known) in Attribute::ALL.into_iter().zip(KNOWN) {
            assert_eq!(Term::of(&word(attribute.as_str(), "x")).name, known.name);
        }
        assert_eq!(Attribute::COUNT, KNOWN.len());
    }

    #[test]
    fn a_value_is_what_stands_behind_the_lead() {
        let check = |attribute, text, want, is_plain| {
            let said = word(attribute, text);
            let term = Term::of(&said);
            assert_eq!((term.value, term.is_plain), (want, is_plain));
        };
        check("user agent", "user agent curl/8.5", "curl/8.5", true);
        check("user agent", "user agent not sent", "user agent not sent", false);
        check("path", "path template /search", "/search", true);
        check("JA4", "no TLS", "no TLS", false);
        check("something new", "user agent curl/8.5", "user agent curl/8.5", false);
    }
}
