//! What an attack looks like: a conjunction of attribute values. A fingerprint says what a client looks
//! like; a signature says which of them are meant.
//!
//! It holds no evidence and no measure: those are the miner's and the ladder's.

use crate::{Attribute, AttributeValue, Attributes, UNKNOWN};

/// One condition of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term {
    /// Which attribute.
    pub attribute: Attribute,
    /// Its value, never [`UNKNOWN`].
    pub value: AttributeValue,
}

/// Requests that have all of up to five values, one for each attribute named. Never empty.
///
/// Terms are in the order of [`Attribute::ALL`], so that equal ones compare equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature {
    terms: [Option<Term>; Signature::MAX_TERMS],
}

impl Signature {
    /// Longer ones describe single clients and cannot be read.
    pub const MAX_TERMS: usize = 5;

    /// The conjunction of `terms`. `None` if there are none or more than [`Self::MAX_TERMS`], if one
    /// is [`UNKNOWN`], if an attribute is named twice, or if addresses come with anything else: they are
    /// used alone (detection.md §2.3).
    pub fn new(terms: &[Term]) -> Option<Self> {
        if terms.is_empty() || terms.len() > Self::MAX_TERMS {
            return None;
        }
        let mut sorted = [None; Self::MAX_TERMS];
        for (place, attribute) in Attribute::ALL
            .into_iter()
            .filter(|attribute| terms.iter().any(|term| term.attribute == *attribute))
            .enumerate()
        {
            sorted[place] = terms.iter().find(|term| term.attribute == attribute).copied();
        }
        let is_whole = sorted.iter().flatten().count() == terms.len();
        let is_known = terms.iter().all(|term| term.value != UNKNOWN);
        let is_alone =
            terms.len() == 1 || terms.iter().all(|term| term.attribute != Attribute::Prefix);
        (is_whole && is_known && is_alone).then_some(Self { terms: sorted })
    }

    /// Its terms, at least one.
    pub fn terms(&self) -> impl Iterator<Item = Term> + '_ {
        self.terms.iter().flatten().copied()
    }

    /// How many terms it has.
    pub fn len(&self) -> usize {
        self.terms().count()
    }

    /// Never: a signature without a term would mean everybody.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Whether a request with `attributes` is meant. O(terms), no allocation.
    pub fn matches(&self, attributes: &Attributes) -> bool {
        self.terms().all(|term| attributes.value(term.attribute) == term.value)
    }

    /// Whether everything that `other` means is meant by this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        self.terms().all(|term| other.terms().any(|theirs| theirs == term))
    }

    /// Whether it names behaviour and not only where somebody comes from, and so may ever refuse
    /// ([`Attribute::speaks_of_behaviour`]).
    pub fn may_block(&self) -> bool {
        self.terms().any(|term| term.attribute.speaks_of_behaviour())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(attribute: Attribute, value: u32) -> Term {
        Term { attribute, value }
    }

    #[test]
    fn a_signature_is_the_same_in_whatever_order_its_terms_come() {
        let (a, b) = (term(Attribute::Path, 1), term(Attribute::Ja4, 2));
        assert_eq!(Signature::new(&[a, b]), Signature::new(&[b, a]));
        assert!(Signature::new(&[a, b]).is_some());
    }

    #[test]
    fn what_would_mean_everybody_or_nobody_is_no_signature() {
        assert_eq!(Signature::new(&[]), None);
        assert_eq!(Signature::new(&[term(Attribute::Path, UNKNOWN)]), None);
        assert_eq!(Signature::new(&[term(Attribute::Path, 1), term(Attribute::Path, 2)]), None);
        let prefix = term(Attribute::Prefix, 1);
        assert_eq!(Signature::new(&[term(Attribute::Path, 1), prefix]), None);
        assert!(Signature::new(&[prefix]).is_some());
        let six = Attribute::ALL[..6].iter().map(|attribute| term(*attribute, 1));
        let mut terms = [term(Attribute::Path, 1); 6];
        terms.iter_mut().zip(six).for_each(|(place, term)| *place = term);
        assert_eq!(Signature::new(&terms), None);
    }

    #[test]
    fn it_matches_what_has_all_values() {
        let signature = Signature::new(&[term(Attribute::Path, 1), term(Attribute::Ja4, 2)])
            .expect("two terms");
        let mut attributes = Attributes::default();
        attributes.set(Attribute::Path, 1);
        assert!(!signature.matches(&attributes));
        attributes.set(Attribute::Ja4, 2);
        attributes.set(Attribute::Cookie, 9);
        assert!(signature.matches(&attributes));
    }

    #[test]
    fn a_shorter_signature_covers_a_longer_one() {
        let path = Signature::new(&[term(Attribute::Path, 1)]).expect("one term");
        let both = Signature::new(&[term(Attribute::Path, 1), term(Attribute::Ja4, 2)])
            .expect("two terms");
        assert!(path.covers(&both) && path.covers(&path));
        assert!(!both.covers(&path));
    }

    #[test]
    fn origin_language_and_missing_cookies_alone_never_block() {
        for attribute in Attribute::ALL {
            let alone = Signature::new(&[term(attribute, 1)]).expect("one term");
            assert_eq!(alone.may_block(), attribute.speaks_of_behaviour(), "{attribute:?}");
        }
        let terms =
            [Attribute::Network, Attribute::Cookie, Attribute::AcceptLanguage, Attribute::Method]
                .map(|attribute| term(attribute, 1));
        assert!(!Signature::new(&terms).expect("four terms").may_block());
    }
}
