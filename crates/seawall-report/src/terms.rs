//! What the terms of a signature are called in formats of others.
//!
//! Separate because STIX and MISP need the same names, and because words carry a lead (`user agent curl/8`) that is for
//! people: machines want the value.

use seawall_model::Attribute;

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
        let place = Attribute::ALL.iter().position(|each| each.as_str() == word.attribute);
        let (name, lead) = place.map_or((OTHER, ""), |place| KNOWN[place]);
        let value = Some(lead)
            .filter(|lead| !lead.is_empty())
            .and_then(|lead| word.text.strip_prefix(lead))
            .filter(|value| !NO_VALUES.contains(value));
        Term { name, value: value.unwrap_or(&word.text), is_plain: value.is_some() }
    }
}

const OTHER: &str = "other";

/// The name and the lead of each, in the order of [`Attribute::ALL`].
const KNOWN: [(&str, &str); Attribute::COUNT] = [
    ("ja4", "JA4 "),
    ("http2_preface", "HTTP/2 preface "),
    ("field_order", "field order "),
    ("field_count", ""),
    ("browser", ""),
    ("user_agent", "user agent "),
    ("accept_language", "languages "),
    ("accept", "accepts "),
    ("consistency", ""),
    ("cookie", ""),
    ("method", ""),
    ("path_template", "path template "),
    ("query", ""),
    ("network", ""),
    ("prefix", "addresses "),
];

/// What stands behind a lead where there is no value.
const NO_VALUES: &[&str] = &["not sent", "empty"];

#[cfg(test)]
mod tests {
    use super::*;

    fn word(attribute: &str, text: &str) -> Word {
        Word { attribute: attribute.to_owned(), value: String::new(), text: text.to_owned() }
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
        check("path template", "path template /search", "/search", true);
        check("JA4", "no TLS", "no TLS", false);
        check("something new", "user agent curl/8.5", "user agent curl/8.5", false);
    }
}
