//! What some values were in words: a table of fixed size, so that a signature can be read.
//!
//! Only values that a sample met get words. Eight places for a keyed hash of the value; when they are
//! taken, the words kept longest ago go. Text comes from clients: it is cut, and what could command a
//! terminal or turn the direction of writing is replaced. It deliberately does **not** describe
//! signatures.

use alloc::boxed::Box;
use alloc::vec;

use seawall_model::{Attribute, AttributeValue, UNKNOWN};

use crate::keys::Keys;

/// Words for values of attributes. Memory is taken once.
#[derive(Clone, Debug)]
pub struct Words {
    keys: Keys,
    heads: Box<[Head]>,
    texts: Box<[[u8; Words::MAX_BYTES]]>,
    /// Counts what is kept, to know which is oldest.
    clock: u32,
    forgotten: u64,
}

/// What a place holds. The value [`UNKNOWN`] marks a free one.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    value: AttributeValue,
    kept_at: u32,
    attribute: u8,
    len: u8,
}

impl Words {
    /// Longest text kept, in bytes. Longer ones end in `…`.
    pub const MAX_BYTES: usize = 96;

    /// Room for `max_words`, rounded up to a power of two and at least 8. `seed` as for the window's.
    pub fn new(max_words: usize, seed: [u64; 2]) -> Self {
        Self::with_keys(max_words, Keys::new(seed))
    }

    pub(crate) fn with_keys(max_words: usize, keys: Keys) -> Self {
        let places = max_words.next_power_of_two().max(WAYS);
        Self {
            keys,
            heads: vec![Head::default(); places].into_boxed_slice(),
            texts: vec![[0; Self::MAX_BYTES]; places].into_boxed_slice(),
            clock: 0,
            forgotten: 0,
        }
    }

    /// The words for `value` of `attribute`, if they were kept.
    pub fn text(&self, attribute: Attribute, value: AttributeValue) -> Option<&str> {
        let place = self.find(attribute, value)?;
        let text = &self.texts[place][..usize::from(self.heads[place].len)];
        Some(core::str::from_utf8(text).expect("only whole characters are kept"))
    }

    /// Whether there are none yet for `value`, and there could be. O(1).
    pub fn wants(&self, attribute: Attribute, value: AttributeValue) -> bool {
        value != UNKNOWN && self.find(attribute, value).is_none()
    }

    /// Keeps words for `value`. O(length), no allocation.
    pub fn keep(&mut self, attribute: Attribute, value: AttributeValue, text: &str) {
        if value == UNKNOWN {
            return;
        }
        let place = self.place_for(attribute, value);
        self.clock = self.clock.saturating_add(1);
        let len = copy_clean(text, &mut self.texts[place]);
        self.heads[place] =
            Head { value, kept_at: self.clock, attribute: attribute.index() as u8, len: len as u8 };
    }

    /// Makes the words of `value` the newest, if there are any: what is still spoken of must not be forgotten
    /// for what nobody asks about. O(1).
    pub fn renew(&mut self, attribute: Attribute, value: AttributeValue) {
        if let Some(place) = self.find(attribute, value) {
            self.clock = self.clock.saturating_add(1);
            self.heads[place].kept_at = self.clock;
        }
    }

    /// Takes over the words of `other`, as the newest. Needs not be of the same size or seed.
    pub fn merge(&mut self, other: &Self) {
        self.forgotten += other.forgotten;
        for (attribute, value, text) in other.iter() {
            self.keep(attribute, value, text);
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Attribute, AttributeValue, &str)> + '_ {
        self.heads.iter().filter(|head| head.value != UNKNOWN).filter_map(|head| {
            let attribute = Attribute::ALL[usize::from(head.attribute)];
            Some((attribute, head.value, self.text(attribute, head.value)?))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.heads.iter().filter(|head| head.value != UNKNOWN).count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many had to go for others.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.heads.fill(Head::default());
        self.clock = 0;
        self.forgotten = 0;
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.heads) + size_of_val(&*self.texts)
    }

    fn set_of(&self, attribute: Attribute, value: AttributeValue) -> usize {
        let hash = self.keys.mix((attribute.index() as u64) << 32 | u64::from(value));
        hash as usize & (self.heads.len() / WAYS - 1)
    }

    fn find(&self, attribute: Attribute, value: AttributeValue) -> Option<usize> {
        let first = self.set_of(attribute, value) * WAYS;
        let is_meant =
            |head: &Head| head.value == value && usize::from(head.attribute) == attribute.index();
        (value != UNKNOWN).then_some(())?;
        self.heads[first..first + WAYS].iter().position(is_meant).map(|way| first + way)
    }

    /// Its own place, or a free one, or the one kept longest ago.
    fn place_for(&mut self, attribute: Attribute, value: AttributeValue) -> usize {
        if let Some(place) = self.find(attribute, value) {
            return place;
        }
        let first = self.set_of(attribute, value) * WAYS;
        let set = &self.heads[first..first + WAYS];
        // A free place was kept at 0.
        let (way, oldest) =
            set.iter().enumerate().min_by_key(|(_, head)| head.kept_at).expect("a set has places");
        self.forgotten += u64::from(oldest.value != UNKNOWN);
        first + way
    }
}

/// Copies as much of `text` as there is room for, whole characters only. Returns the length.
fn copy_clean(text: &str, room: &mut [u8; Words::MAX_BYTES]) -> usize {
    let clean = || text.chars().map(|c| if commands(c) { char::REPLACEMENT_CHARACTER } else { c });
    let fits = |limit: usize| {
        let ends = clean().scan(0, |len, c| {
            *len += c.len_utf8();
            Some(*len)
        });
        ends.take_while(|end| *end <= limit).count()
    };
    let whole = fits(Words::MAX_BYTES);
    let is_whole = clean().nth(whole).is_none();
    let kept = if is_whole { whole } else { fits(Words::MAX_BYTES - CUT.len_utf8()) };
    let mark = (!is_whole).then_some(CUT);
    clean().take(kept).chain(mark).fold(0, |len, c| len + c.encode_utf8(&mut room[len..]).len())
}

/// Whether a terminal or a browser would do something other than print it.
pub(crate) fn commands(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

const CUT: char = '…';

const WAYS: usize = 8;

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::*;

    const PATH: Attribute = Attribute::Path;

    #[track_caller]
    fn check(text: &str, want: &str) {
        let mut words = Words::new(8, [1, 2]);
        words.keep(PATH, 7, text);
        assert_eq!(words.text(PATH, 7), Some(want));
    }

    #[test]
    fn text_is_kept_as_it_is_or_cut_at_a_character() {
        check("", "");
        check("/search", "/search");
        let full = "a".repeat(96);
        check(&full, &full);
        check(&"a".repeat(97), &("a".repeat(93) + "…"));
        // Two bytes each: 46 of them and the mark make 95.
        check(&"é".repeat(50), &("é".repeat(46) + "…"));
        check(&"é".repeat(48), &"é".repeat(48));
        check(&"𝄞".repeat(30), &("𝄞".repeat(23) + "…"));
    }

    #[test]
    fn text_cannot_command_whoever_prints_it() {
        check("a\u{1b}[2Jb", "a\u{fffd}[2Jb");
        check("a\r\nb", "a\u{fffd}\u{fffd}b");
        check("a\u{202e}b\u{200b}", "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_flood_of_words_stays_within_the_room_and_the_newest_are_there() {
        let mut words = Words::new(64, [1, 2]);
        let before = words.heap_bytes();
        for value in 1..=5_000u32 {
            words.keep(PATH, value, &value.to_string());
            assert_eq!(words.text(PATH, value), Some(&*value.to_string()));
        }
        assert!(words.len() <= 64);
        assert_eq!(words.forgotten(), 5_000 - words.len() as u64);
        assert_eq!(words.heap_bytes(), before);
        for (attribute, value, text) in words.iter() {
            assert_eq!((attribute, text), (PATH, &*value.to_string()));
        }
    }

    #[test]
    fn words_that_come_again_are_not_the_oldest() {
        let mut words = Words::new(8, [1, 2]);
        (1..=8).for_each(|value| words.keep(PATH, value, "old"));
        words.keep(PATH, 1, "again");
        words.keep(PATH, 9, "new");
        assert_eq!(words.text(PATH, 1), Some("again"));
        assert_eq!(words.text(PATH, 2), None);
    }

    #[test]
    fn words_that_are_still_spoken_of_are_not_the_oldest() {
        let mut words = Words::new(8, [1, 2]);
        (1..=8).for_each(|value| words.keep(PATH, value, "old"));
        words.renew(PATH, 1);
        words.renew(PATH, 99);
        words.keep(PATH, 9, "new");
        assert_eq!((words.text(PATH, 1), words.text(PATH, 2)), (Some("old"), None));
        assert_eq!(words.text(PATH, 99), None);
    }

    #[test]
    fn a_value_that_is_unknown_has_no_words() {
        let mut words = Words::new(8, [1, 2]);
        words.keep(PATH, UNKNOWN, "nothing");
        assert!(words.is_empty() && !words.wants(PATH, UNKNOWN));
        assert_eq!(words.text(PATH, UNKNOWN).map(String::from), None);
    }
}
