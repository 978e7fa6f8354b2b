//! A signature in words, for people: what it means, what it explains, and what it might harm.
//!
//! Figures are rounded to the cautious side, coverage down and harm up, and a bound on harm is never said to be
//! nought. Separate because status, demo and replay say it and must say the same. It
//! deliberately does **not** know where words come from, and trusts none: text of clients is marked as such
//! where it could be taken for ours.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use libm::{ceil, floor, log10, pow};
use seawall_model::{Attribute, AttributeValue, Signature, Term};

use crate::words::commands;

/// What `signature` means: `path template /search AND JA4 t13d1516h2_8daaf6152771_e5627efa2ab1 AND no
/// cookie`. `words` are the words of a value, each standing for itself; a value without any is shown as
/// `JA4 #0c0ffee0`.
pub fn describe<'a>(
    signature: &Signature,
    mut words: impl FnMut(Attribute, AttributeValue) -> Option<&'a str>,
) -> String {
    let mut text = String::new();
    let of = |attribute| signature.terms().find(|term| term.attribute == attribute);
    for term in READING_ORDER.into_iter().filter_map(of) {
        if !text.is_empty() {
            text.push_str(AND);
        }
        match words(term.attribute, term.value) {
            Some(known) if !known.is_empty() => push_foreign(&mut text, known),
            _ => push_unnamed(&mut text, term),
        }
    }
    text
}

/// On what a signature rests: `covers 94 % of the excess; at most 0.037 % of 8192 ordinary clients look like it`.
/// The part of the excess and the bound on harm are from 0 to 1, as in
/// [`SignatureEvidence`](crate::SignatureEvidence).
pub fn describe_evidence(coverage: f64, collateral_upper: f64, baseline_clients: u64) -> String {
    let covers = percent_down(coverage);
    let (bound, clients) = (percent_up(collateral_upper), baseline_clients);
    match clients {
        0 => {
            format!("covers {covers} of the excess; no ordinary clients are known to compare with")
        }
        _ => format!(
            "covers {covers} of the excess; at most {bound} of {clients} ordinary clients look like it"
        ),
    }
}

/// What is asked for, by what, from where: as people speak of it.
const READING_ORDER: [Attribute; Attribute::COUNT] = [
    Attribute::Path,
    Attribute::Query,
    Attribute::Method,
    Attribute::UserAgentFamily,
    Attribute::UserAgent,
    Attribute::Ja4,
    Attribute::Http2Preface,
    Attribute::FieldOrder,
    Attribute::FieldCount,
    Attribute::Accept,
    Attribute::AcceptLanguage,
    Attribute::Consistency,
    Attribute::Cookie,
    Attribute::Network,
    Attribute::Prefix,
];

const AND: &str = " AND ";

/// Longest text of one value, in characters.
const MAX_CHARS: usize = 96;

/// A share in per cent that is said as it is below this, with two digits.
const SMALLEST_PERCENT: f64 = 0.000_1;

fn push_unnamed(text: &mut String, term: Term) {
    let _ = write!(text, "{} #{:08x}", term.attribute.as_str(), term.value);
}

/// Adds text that a client chose: no control characters, no more than [`MAX_CHARS`], and in quotes where
/// it could be read as further terms or as the figures that follow.
fn push_foreign(text: &mut String, words: &str) {
    let is_doubtful = words.contains(AND) || words.contains(": ") || words.contains('"');
    if is_doubtful {
        text.push('"');
    }
    for character in words.chars().take(MAX_CHARS) {
        text.push(match character {
            '"' => '\'',
            _ if commands(character) => char::REPLACEMENT_CHARACTER,
            _ => character,
        });
    }
    if words.chars().nth(MAX_CHARS).is_some() {
        text.push('…');
    }
    if is_doubtful {
        text.push('"');
    }
}

/// A part of a whole, rounded down to whole per cents: what is not all is not said to be.
fn percent_down(part: f64) -> String {
    // A hair above, so that 0.29 in binary is 29 per cent.
    let percent = floor(part.clamp(0.0, 1.0) * 100.0 + 1e-9);
    if part > 0.0 && percent < 1.0 {
        "less than 1 %".into()
    } else if part.is_nan() {
        "an unknown part".into()
    } else {
        format!("{percent} %")
    }
}

/// A bound, 0 to 1, rounded up to two digits that say something: harm is never said to be less than it may
/// be. What is no number bounds nothing.
pub fn percent_up(bound: f64) -> String {
    let percent = if bound.is_nan() { 100.0 } else { bound.clamp(0.0, 1.0) * 100.0 };
    if percent < SMALLEST_PERCENT {
        return format!("below {SMALLEST_PERCENT} %");
    }
    // Places after the point so that two digits remain: 0.0366 has its first at 10⁻².
    let places = (1.0 - floor(log10(percent))).max(0.0);
    let scale = pow(10.0, places);
    // A hair below, so that what two digits say exactly is said so.
    let rounded = ceil(percent * scale - 1e-9) / scale;
    format!("{rounded:.*} %", if rounded >= 100.0 { 0 } else { places as usize })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use std::format;
    use std::string::String;

    use super::*;

    fn signature(attributes: &[Attribute]) -> Signature {
        let terms: std::vec::Vec<_> = attributes
            .iter()
            .map(|attribute| Term { attribute: *attribute, value: 0xC0FFEE })
            .collect();
        Signature::new(&terms).expect("one to five")
    }

    fn search(attribute: Attribute, _: AttributeValue) -> Option<&'static str> {
        match attribute {
            Attribute::Path => Some("path template /search"),
            Attribute::Cookie => Some("no cookie"),
            _ => None,
        }
    }

    #[test]
    fn terms_are_read_as_people_speak() {
        let meant = signature(&[Attribute::Ja4, Attribute::Cookie, Attribute::Path]);
        assert_eq!(
            describe(&meant, search),
            "path template /search AND JA4 #00c0ffee AND no cookie"
        );
        assert_eq!(describe(&meant, |_, _| Some("")).matches('#').count(), 3);
        for attribute in Attribute::ALL {
            assert_eq!(describe(&signature(&[attribute]), |_, _| Some("x")), "x", "{attribute:?}");
        }
    }

    #[test]
    fn evidence_is_said_in_a_sentence() {
        assert_eq!(
            describe_evidence(0.949_9, 0.000_365_6, 8_192),
            "covers 94 % of the excess; at most 0.037 % of 8192 ordinary clients look like it"
        );
        assert_eq!(
            describe_evidence(0.949_9, 1.0, 0),
            "covers 94 % of the excess; no ordinary clients are known to compare with"
        );
    }

    #[test]
    fn a_bound_is_rounded_up_and_never_nought() {
        for (bound, said) in [
            (0.000_365_6, "0.037 %"),
            (0.001, "0.10 %"),
            (0.001_001, "0.11 %"),
            (0.009_99, "1.00 %"),
            (0.123_4, "13 %"),
            (0.999_9, "100 %"),
            (1.0, "100 %"),
            (7.0, "100 %"),
            (f64::NAN, "100 %"),
            (0.000_002, "0.00020 %"),
            (1e-12, "below 0.0001 %"),
            (0.0, "below 0.0001 %"),
            (-1.0, "below 0.0001 %"),
        ] {
            assert_eq!(percent_up(bound), said, "{bound}");
        }
    }

    #[test]
    fn coverage_is_rounded_down() {
        for (coverage, said) in [
            (0.0, "0 %"),
            (0.004, "less than 1 %"),
            (0.29, "29 %"),
            (0.999, "99 %"),
            (1.0, "100 %"),
            (3.0, "100 %"),
            (f64::NAN, "an unknown part"),
        ] {
            assert_eq!(percent_down(coverage), said, "{coverage}");
        }
    }

    #[test]
    fn what_a_client_sent_cannot_pass_for_our_words() {
        let agent = signature(&[Attribute::UserAgent]);
        let said = |sent: &'static str| describe(&agent, move |_, _| Some(sent));
        assert_eq!(said("user agent x AND no cookie"), "\"user agent x AND no cookie\"");
        assert_eq!(said("x: covers 100 % of the excess"), "\"x: covers 100 % of the excess\"");
        assert_eq!(said("x\" AND \"y"), "\"x' AND 'y\"");
        assert_eq!(said("x\u{1b}[2J\u{202e}y"), "x\u{fffd}[2J\u{fffd}y");
    }

    proptest! {
        #[test]
        fn any_words_and_figures_make_one_bounded_line(
            sent in any::<String>(), coverage in any::<f64>(), bound in any::<f64>(), clients in any::<u64>(),
        ) {
            let meant = signature(&Attribute::ALL[..5]);
            let text = describe(&meant, |_, _| Some(sent.as_str()))
                + &describe_evidence(coverage, bound, clients);
            assert!(!text.contains(char::is_control) && text.chars().count() < 700, "{text}");
            assert!(!text.contains(" 0 %") || coverage <= 0.0, "{text}");
        }

        #[test]
        fn the_bound_that_is_said_is_no_lower_than_the_bound(bound in 1e-6f64..1.0) {
            let text = percent_up(bound);
            let said: f64 = text.trim_end_matches(" %").parse().expect("a number");
            let percent = bound * 100.0;
            assert!(said >= percent * (1.0 - 1e-8) - 1e-12 && said <= percent * 1.11, "{}", format!("{bound} {text}"));
        }
    }
}
