//! Signatures as STIX patterns.
//!
//! All terms of a signature are joined by AND, and none is left out: a pattern that is wider than the signature would
//! meet readers wherever somebody imports it. What STIX has no word for (JA4, order of fields, ...) is asked of our
//! extension of `network-traffic`; who does not know that matches nothing, which is the safe side.
//!
//! *Sources:* STIX 2.1 §9 (patterning), §6.12.2 (`http-request-ext`).

use crate::Word;
use crate::export::public_prefix;
use crate::terms::Term;

use super::EXTENSION;

/// The pattern of a signature; `None` if it has no terms.
pub(super) fn pattern(terms: &[Word]) -> Option<String> {
    let comparisons: Vec<String> =
        terms.iter().flat_map(|word| comparisons(Term::of(word))).collect();
    (!comparisons.is_empty()).then(|| format!("[{}]", comparisons.join(" AND ")))
}

fn comparisons(term: Term<'_>) -> Vec<String> {
    let standard = match (term.name, term.is_plain) {
        ("user_agent", true) => Some(vec![field("User-Agent", term.value)]),
        ("accept_language", true) => Some(vec![field("Accept-Language", term.value)]),
        ("path_template", true) => Some(vec![path(term.value)]),
        ("method", _) => method(term.value),
        ("prefix", true) => prefix(term.value),
        _ => None,
    };
    standard.unwrap_or_else(|| vec![own(term)])
}

/// A term that STIX has no word for.
fn own(term: Term<'_>) -> String {
    format!("network-traffic:extensions.'{EXTENSION}'.{} = {}", term.name, quoted(term.value))
}

const HTTP: &str = "network-traffic:extensions.'http-request-ext'";

/// Text of a field as it was sent. Our words are printable ASCII with `?` for all else, and end in `…` where they were cut.
fn field(name: &str, value: &str) -> String {
    let path = format!("{HTTP}.request_header.'{name}'[*]");
    if !value.contains(['?', CUT]) {
        return format!("{path} = {}", quoted(value));
    }
    let (value, is_cut) = match value.strip_suffix(CUT) {
        Some(value) => (value, true),
        None => (value, false),
    };
    let mut expression = String::from("^");
    let mut letters = value.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '?' {
            while letters.next_if_eq(&'?').is_some() {}
            expression.push_str(".+");
        } else {
            push_literal(&mut expression, letter);
        }
    }
    expression.push_str(if is_cut { "" } else { "$" });
    format!("{path} MATCHES {}", quoted(&expression))
}

const CUT: char = '…';

/// `GET over HTTP/2`, or `GET` where a proxy tells no version. STIX wants both small (§6.12.2).
fn method(value: &str) -> Option<Vec<String>> {
    let (method, version) = match value.split_once(" over ") {
        Some((method, version)) => (method, Some(version)),
        None => (value, None),
    };
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-')
    };
    if !is_token(method) || version.is_some_and(|version| !version.starts_with("HTTP/")) {
        return None;
    }
    let is =
        |key: &str, value: &str| format!("{HTTP}.{key} = {}", quoted(&value.to_ascii_lowercase()));
    let mut comparisons = vec![is("request_method", method)];
    comparisons.extend(version.map(|version| is("request_version", version)));
    Some(comparisons)
}

/// A template, with whatever query. Letters of a template are small, whatever was asked for.
fn path(template: &str) -> String {
    let (template, is_cut) = match template.strip_suffix(CUT) {
        Some(template) => (template, true),
        None => (template, false),
    };
    let mut expression = String::from("(?i)^");
    let mut rest = template;
    while let Some(letter) = rest.chars().next() {
        if let Some((mark, meant)) = MARKS.iter().find(|(mark, _)| rest.starts_with(mark)) {
            expression.push_str(meant);
            rest = &rest[mark.len()..];
        } else {
            push_literal(&mut expression, letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    expression.push_str(if is_cut { "" } else { r"(\?.*)?$" });
    format!("{HTTP}.request_value MATCHES {}", quoted(&expression))
}

/// What varies in a path, as the detector writes it.
const MARKS: &[(&str, &str)] = &[
    ("{n}", "[0-9]+"),
    ("{id}", "[0-9a-f-]+"),
    ("{random}", "[^/?]+"),
    ("{other}", "[^/?]+"),
    ("...", ".*"),
];

fn prefix(value: &str) -> Option<Vec<String>> {
    let prefix = public_prefix(value)?;
    let version = if prefix.network().is_ipv4() { "ipv4-addr" } else { "ipv6-addr" };
    Some(vec![
        format!("network-traffic:src_ref.type = '{version}'"),
        format!("network-traffic:src_ref.value ISSUBSET '{prefix}'"),
    ])
}

/// A letter of a regular expression that means itself.
fn push_literal(expression: &mut String, letter: char) {
    if r"\.+*?()|[]{}^$#&~-/".contains(letter) {
        expression.push('\\');
    }
    expression.push(letter);
}

/// A string of a pattern. STIX 2.1 §9.3: quote and backslash are escaped by a backslash, and nothing else is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(attribute: &str, text: &str, want: &str) {
        let word =
            Word { attribute: attribute.to_owned(), value: String::new(), text: text.to_owned() };
        assert_eq!(pattern(&[word]).as_deref(), Some(format!("[{want}]").as_str()));
    }

    #[test]
    fn terms_become_what_stix_has_words_for() {
        check(
            "user agent",
            "user agent curl/8.5",
            "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'[*] = 'curl/8.5'",
        );
        check(
            "user agent",
            "user agent a (b?) '…",
            r"network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'[*] MATCHES '^a \\(b.+\\) \''",
        );
        check(
            "method",
            "GET over HTTP/2",
            "network-traffic:extensions.'http-request-ext'.request_method = 'get' AND network-traffic:extensions.'http-request-ext'.request_version = 'http/2'",
        );
        check(
            "path template",
            "path template /a.b/{n}",
            r"network-traffic:extensions.'http-request-ext'.request_value MATCHES '(?i)^\\/a\\.b\\/[0-9]+(\\?.*)?$'",
        );
        check(
            "addresses",
            "addresses 198.51.100.7/32",
            "network-traffic:src_ref.type = 'ipv4-addr' AND network-traffic:src_ref.value ISSUBSET '198.51.100.0/24'",
        );
    }

    #[test]
    fn what_stix_has_no_word_for_is_asked_of_the_extension() {
        let own = |key: &str, value: &str| {
            format!("network-traffic:extensions.'{EXTENSION}'.{key} = '{value}'")
        };
        check("JA4", "JA4 t13d", &own("ja4", "t13d"));
        check("user agent", "user agent not sent", &own("user_agent", "user agent not sent"));
        check("method", "other method", &own("method", "other method"));
        check("new", "it's", &own("other", r"it\'s"));
        assert_eq!(pattern(&[]), None);
    }

    /// The string literals of a pattern, read as §9.3 says; `None` if one does not end.
    fn strings(pattern: &str) -> Option<Vec<String>> {
        let mut found = Vec::new();
        let mut letters = pattern.chars();
        while let Some(letter) = letters.next() {
            if letter != '\'' {
                continue;
            }
            let mut text = String::new();
            loop {
                match letters.next()? {
                    '\'' => break,
                    '\\' => text.push(letters.next()?),
                    letter => text.push(letter),
                }
            }
            found.push(text);
        }
        Some(found)
    }

    proptest! {
        #[test]
        fn no_value_escapes_from_its_string(value in r"[\PC\x00-\x1f'\\\]]{0,60}") {
            let text = format!("JA4 {value}");
            let word = Word { attribute: "JA4".to_owned(), value: String::new(), text };
            let pattern = pattern(&[word]).unwrap_or_default();
            prop_assert_eq!(strings(&pattern), Some(vec![EXTENSION.to_owned(), value]));
        }

        #[test]
        fn no_user_agent_escapes_from_its_string(value in r"[\PC\x00-\x1f'\\\]?…]{0,60}") {
            let text = format!("user agent {value}");
            let word = Word { attribute: "user agent".to_owned(), value: String::new(), text };
            let pattern = pattern(&[word]).unwrap_or_default();
            let strings = strings(&pattern).unwrap_or_default();
            prop_assert!(matches!(strings.len(), 2 | 3), "{}", pattern);
            prop_assert!(pattern.ends_with("']"));
        }
    }
}
