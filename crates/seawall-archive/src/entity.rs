//! Character references of HTML (WHATWG §13.5), both ways.
//!
//! Separate because the rewriter hands out attributes as they stand in the page, and because text that is
//! put into a page must survive any charset that holds ASCII. It does **not** know all 2,231 names: those
//! that URLs and titles hold, and any number.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with its references replaced. One that is not known stays as it is.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        // The longest that is known, `&#x10FFFF;`, and some zeros before it.
        let end = rest.bytes().take(MAX_REFERENCE_BYTES).position(|byte| byte == b';');
        match end.and_then(|end| character(&rest[1..end]).map(|found| (end, found))) {
            Some((end, found)) => {
                out.push(found);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

const MAX_REFERENCE_BYTES: usize = 16;

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return code.ok().filter(|&code| code != 0).and_then(char::from_u32);
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|&(_, found)| found)
}

const NAMES: [(&str, char); 25] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", '\u{a0}'),
    ("ndash", '–'),
    ("mdash", '—'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("sbquo", '‚'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("bdquo", '„'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("hellip", '…'),
    ("middot", '·'),
    ("bull", '•'),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("shy", '\u{ad}'),
    ("zwnj", '\u{200c}'),
    ("rarr", '→'),
];

/// Writes `text` so that it is text, in content and in quoted attributes, in any charset that holds ASCII.
pub(crate) fn encode(text: &str, out: &mut String) {
    for found in text.chars() {
        match found {
            '&' | '<' | '>' | '"' | '\'' => {
                let _ = write!(out, "&#{};", u32::from(found));
            }
            ' '..='~' => out.push(found),
            // Control characters have no place in text (WHATWG §13.1.4).
            _ if found.is_control() => out.push(' '),
            _ => {
                let _ = write!(out, "&#{};", u32::from(found));
            }
        }
    }
}

/// `text` so that it is text in a page, in content and in quoted attributes, in any charset that holds ASCII.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    encode(text, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode};

    #[test]
    fn references_are_replaced_and_what_only_looks_like_one_stays() {
        for (text, want) in [
            ("a&amp;b&#038;c&#x26;d", "a&b&c&d"),
            ("?a=1&copy=2&amp", "?a=1&copy=2&amp"),
            ("&unknown;&#0;&#xD800;&#99999999;&;&#;", "&unknown;&#0;&#xD800;&#99999999;&;&#;"),
            ("Wien&ndash;Київ&#8230;", "Wien–Київ…"),
            ("&amp;amp;", "&amp;"),
            ("&ééééééééé;", "&ééééééééé;"),
            ("", ""),
        ] {
            assert_eq!(decode(text), want);
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_ascii_without_markup_and_decodes_to_itself(text in "\\PC{0,60}") {
            let mut out = String::new();
            encode(&text, &mut out);
            prop_assert!(out.is_ascii() && !out.contains(['<', '>', '"', '\'']));
            prop_assert_eq!(decode(&out), text);
        }

        #[test]
        fn anything_decodes(text in ".{0,100}", near in "[&#x0-9a-z;]{0,60}") {
            prop_assert!(decode(&text).len() <= text.len());
            prop_assert!(decode(&near).len() <= near.len());
        }
    }
}
