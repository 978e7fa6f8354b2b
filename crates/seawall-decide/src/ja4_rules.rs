//! Fingerprints of TLS clients that the operator keeps out: whole ones, or how they begin.
//!
//! Separate from the gates so that what a rule may look like is said, and tested, in one place.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use seawall_model::Ja4;

/// A JA4 fingerprint such as `t13d1516h2_8daaf6152771_e5627efa2ab1`, or the beginning of one with `*`
/// at its end: `t13d1516h2_*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ja4Rule(String);

/// The text is no JA4 fingerprint and no beginning of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidJa4Rule;

impl fmt::Display for InvalidJa4Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a JA4 fingerprint, nor the beginning of one with `*` at its end")
    }
}

impl core::error::Error for InvalidJa4Rule {}

impl FromStr for Ja4Rule {
    type Err = InvalidJa4Rule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (begin, is_right_length) = match text.strip_suffix('*') {
            // Three characters say no more than protocol and version: most readers share them.
            Some(begin) => (begin, (4..WHOLE).contains(&begin.len())),
            None => (text, text.len() == WHOLE),
        };
        let fits = |(at, byte): (usize, u8)| match at {
            0 => matches!(byte, b't' | b'q' | b'd'),
            10 | 23 => byte == b'_',
            _ => byte.is_ascii_lowercase() || byte.is_ascii_digit(),
        };
        let is_valid = is_right_length && begin.bytes().enumerate().all(fits);
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidJa4Rule) }
    }
}

const WHOLE: usize = 36;

/// Rules compiled: whole fingerprints in order, and beginnings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ja4Rules {
    whole: Vec<String>,
    begin: Vec<String>,
}

impl Ja4Rules {
    pub(crate) fn new(rules: &[Ja4Rule]) -> Self {
        let mut compiled = Self::default();
        for Ja4Rule(text) in rules {
            match text.strip_suffix('*') {
                Some(begin) => compiled.begin.push(begin.into()),
                None => compiled.whole.push(text.clone()),
            }
        }
        compiled.whole.sort_unstable();
        compiled
    }

    /// O(log whole + beginnings), no allocation.
    pub(crate) fn contains(&self, ja4: Ja4) -> bool {
        let text = ja4.as_str();
        self.begin.iter().any(|begin| text.starts_with(begin.as_str()))
            || self.whole.binary_search_by(|rule| rule.as_str().cmp(text)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "t13d1516h2_8daaf6152771_e5627efa2ab1";

    #[test]
    fn a_rule_is_a_whole_fingerprint_or_the_beginning_of_one() {
        for good in [ONE, "t13d1516h2_8daaf6152771_e5627efa2ab*", "t13d1516h2_*", "q13d*"] {
            assert!(good.parse::<Ja4Rule>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "t13*",
            "t13d1516h2",
            "x13d1516h2_*",
            "T13D1516H2_*",
            "t13d1516h2-8daaf6152771*",
            "t13d*516h2_*",
            "t13d1516h2_8daaf6152771_e5627efa2ab1*",
        ] {
            assert_eq!(bad.parse::<Ja4Rule>(), Err(InvalidJa4Rule), "{bad}");
        }
    }

    #[test]
    fn rules_match_what_they_say_and_nothing_else() {
        let rule = |text: &str| text.parse::<Ja4Rule>().expect("a rule");
        let ja4 = |text: &str| Ja4::new(*text.as_bytes().first_chunk().expect("36 bytes"));
        let rules = Ja4Rules::new(&[rule("t12d0510*"), rule(ONE)]);
        assert!(rules.contains(ja4(ONE)));
        assert!(rules.contains(ja4("t12d0510h1_8daaf6152771_e5627efa2ab1")));
        assert!(!rules.contains(ja4("t13d1516h2_8daaf6152771_e5627efa2ab2")));
        assert!(!Ja4Rules::default().contains(ja4(ONE)));
    }
}
