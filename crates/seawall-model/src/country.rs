//! Where an address is registered: a fact about a registry, never about a person.

use core::fmt;

/// A country code of two letters (ISO 3166-1 alpha-2, as registries and their lists use it).
///
/// It says where a network is registered, by a list. It is shown and counted, and nothing is decided by
/// it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// How many codes there can be.
    pub const COUNT: usize = 26 * 26;

    /// Reads two letters of either case.
    pub fn new(code: &str) -> Option<Self> {
        let &[first, second] = code.as_bytes() else { return None };
        let is_code = first.is_ascii_alphabetic() && second.is_ascii_alphabetic();
        is_code.then(|| Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
    }

    /// The letters, as capitals.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("constructor admits letters only")
    }

    /// The number of the code, less than [`Self::COUNT`].
    pub const fn index(self) -> usize {
        (self.0[0] - b'A') as usize * 26 + (self.0[1] - b'A') as usize
    }

    /// The code of a number; `None` from [`Self::COUNT`] on.
    pub fn from_index(index: usize) -> Option<Self> {
        let (first, second) = (u8::try_from(index / 26).ok()?, u8::try_from(index % 26).ok()?);
        (first < 26).then_some(Self([b'A' + first, b'A' + second]))
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Country;

    #[test]
    fn codes_are_two_letters_and_have_a_number_each() {
        for (text, want) in [("de", Some("DE")), ("ZZ", Some("ZZ")), ("D", None), ("DEU", None)] {
            assert_eq!(Country::new(text).as_ref().map(Country::as_str), want, "{text}");
        }
        for text in ["", "1A", "-?", "é"] {
            assert_eq!(Country::new(text), None, "{text}");
        }
        for index in 0..Country::COUNT {
            let country = Country::from_index(index).expect("there is one");
            assert_eq!((country.index(), Country::new(country.as_str())), (index, Some(country)));
        }
        assert_eq!(Country::from_index(Country::COUNT), None);
    }
}
