//! Paths and queries with what varies taken out, as an attack shows itself in them.
//!
//! Made of the shapes of [`crate::template`], and coarser: what was probably rolled by dice is one mark,
//! because a flood of random paths is one kind of request and not a million. Of queries it tells names
//! and classes of values. It does **not** know the site: whether a path is there is for others.

use super::room::Room;
use crate::template::{DIGITS_MARK, ID_MARK, MAX_PARTS, write_shape};

/// Marks a segment or key that was probably rolled by dice.
pub(super) const RANDOM_MARK: u8 = 2;
/// Marks that there was more.
pub(super) const MORE_MARK: u8 = 3;
const _: () = assert!(DIGITS_MARK != RANDOM_MARK && ID_MARK != RANDOM_MARK);

/// Enough for what tells kinds of pages apart; longer ones share a shape.
pub(super) type Shape = Room<160>;

/// The shape of a path: `/tag/flood`, `/{n}/{n}/a-title`, `/{random}.php`. At most 16 segments.
pub(super) fn path(path: &[u8]) -> Shape {
    let mut shape = Shape::new();
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|&byte| byte == b'/');
    for segment in segments.by_ref().take(MAX_PARTS) {
        shape.push(b'/');
        let (stem, extension) = extension(segment);
        write(stem, &mut shape);
        extension.iter().for_each(|byte| shape.push(byte.to_ascii_lowercase()));
    }
    if segments.next().is_some() {
        shape.push(MORE_MARK);
    }
    shape
}

/// The shape of a query: its keys in order of the alphabet, each with the class of its value, and in how
/// many characters the values differ. At most 16 keys.
pub(super) fn query(query: &[u8]) -> Shape {
    let mut pairs: [(&[u8], Value); MAX_PARTS] = [(&[], Value::Empty); MAX_PARTS];
    let (mut count, mut seen) = (0, 0u128);
    let mut all = query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    for pair in all.by_ref().take(MAX_PARTS) {
        let end = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (key, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
        let value = Value::of(&value[..value.len().min(MAX_VALUE)], &mut seen);
        let place = pairs[..count].partition_point(|(other, _)| *other <= key);
        pairs.copy_within(place..count.min(MAX_PARTS - 1), place + 1);
        pairs[place] = (key, value);
        count += 1;
    }
    let mut shape = Shape::new();
    shape.push(variety(seen));
    if all.next().is_some() {
        shape.push(MORE_MARK);
    }
    for (key, value) in &pairs[..count] {
        shape.push(b'&');
        write(&key[..key.len().min(MAX_KEY)], &mut shape);
        shape.push(b'=');
        shape.push(*value as u8);
    }
    shape
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Value {
    Empty = b'0',
    Number = b'n',
    Word = b'w',
    /// Letters and digits in one, as made by machines.
    Mixed = b'm',
    /// With spaces, punctuation or characters beyond ASCII.
    Text = b't',
    /// With `/` or `:`, as in addresses of pages.
    Address = b'a',
}

impl Value {
    /// Every character is noted in `seen`.
    fn of(value: &[u8], seen: &mut u128) -> Self {
        let (mut letters, mut digits, mut others, mut marks) = (false, false, false, false);
        for &byte in value {
            *seen |= 1 << (byte & 127);
            match byte {
                b'0'..=b'9' => digits = true,
                b'a'..=b'z' | b'A'..=b'Z' => letters = true,
                b'/' | b':' => marks = true,
                _ => others = true,
            }
        }
        match (letters, digits, others) {
            _ if marks => Self::Address,
            (_, _, true) => Self::Text,
            (true, true, _) => Self::Mixed,
            (true, false, _) => Self::Word,
            (false, true, _) => Self::Number,
            (false, false, _) => Self::Empty,
        }
    }

    /// In words; `None` for no class.
    pub(super) const fn words(code: u8) -> Option<&'static str> {
        Some(match code {
            b'0' => "empty",
            b'n' => "number",
            b'w' => "word",
            b'm' => "mixed",
            b't' => "text",
            b'a' => "address",
            _ => return None,
        })
    }
}

/// How many characters the values are made of, in three steps: a number, a word, a jumble.
const fn variety(seen: u128) -> u8 {
    match seen.count_ones() {
        0..=4 => b'0',
        5..=11 => b'1',
        _ => b'2',
    }
}

fn write(text: &[u8], shape: &mut Shape) {
    if is_random(text) {
        shape.push(RANDOM_MARK);
    } else {
        write_shape(text, &mut |byte| shape.push(byte));
    }
}

/// `.html` of `story.html`, if what stands before it is something.
fn extension(segment: &[u8]) -> (&[u8], &[u8]) {
    let from = segment.len().saturating_sub(MAX_EXTENSION + 1);
    let dot = segment[from..].iter().rposition(|&byte| byte == b'.').map(|at| from + at);
    match dot {
        Some(dot) if dot > 0 && segment[dot + 1..].iter().all(u8::is_ascii_alphanumeric) => {
            segment.split_at(dot)
        }
        _ => (segment, &[]),
    }
}

/// Whether a name was probably rolled by dice: letters and digits take turns, capitals stand anywhere, or
/// letters follow each other that do not in words. Wrong now and then both ways, which does no
/// harm: what readers ask for is in the baseline under the same mark.
fn is_random(text: &[u8]) -> bool {
    if text.len() < MIN_RANDOM {
        return false;
    }
    let (mut turns, mut capitals, mut strange, mut breaks) = (0u32, 0u32, 0u32, 0usize);
    let mut before = Kind::Break;
    let mut letter_before = 0u8;
    for &byte in &text[..text.len().min(MAX_VALUE)] {
        let kind = KINDS[byte as usize];
        match (before, kind) {
            // Encoded letters of other scripts are words that cannot be read here.
            (_, Kind::Encoded) => return false,
            // Titles have a hyphen for every few letters; what dice roll seldom has one.
            (_, Kind::Break) => {
                breaks += 1;
                if breaks * 12 > text.len() {
                    return false;
                }
            }
            (Kind::Lower | Kind::Upper, Kind::Digit) | (Kind::Digit, Kind::Lower | Kind::Upper) => {
                turns += 1;
            }
            (Kind::Lower, Kind::Upper) => capitals += 1,
            _ => {}
        }
        let letter = byte.to_ascii_lowercase().wrapping_sub(b'a');
        if letter < 26 {
            if matches!(before, Kind::Lower | Kind::Upper) {
                strange += STRANGE[letter_before as usize] >> letter & 1;
            }
            letter_before = letter;
        }
        before = kind;
    }
    turns >= 2 || capitals >= 3 || turns + capitals >= 3 || strange >= 2
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Break,
    Encoded,
}

static KINDS: [Kind; 256] = kinds();

const fn kinds() -> [Kind; 256] {
    let mut kinds = [Kind::Break; 256];
    let mut at = 0;
    while at < 256 {
        kinds[at] = match at as u8 {
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' => Kind::Digit,
            b'%' | 128..=255 => Kind::Encoded,
            _ => Kind::Break,
        };
        at += 1;
    }
    kinds
}

/// Which letters hardly ever follow each letter in words of languages in Latin script, transliterated
/// ones too: a quarter of all pairs, by hand. Of eight letters rolled by dice more than half have two of them.
const STRANGE_PAIRS: [(u8, &[u8]); 19] = [
    (b'b', b"qx"),
    (b'c', b"bdfgjmpvwx"),
    (b'd', b"qx"),
    (b'f', b"cdjpqvx"),
    (b'g', b"cfgjkpqvwx"),
    (b'h', b"bcdfgjkpqvxz"),
    (b'j', b"bcfghlpqrvwxyz"),
    (b'k', b"bcdfgpqxz"),
    (b'l', b"qx"),
    (b'm', b"ghjqvwxz"),
    (b'p', b"bgjqvwz"),
    (b'q', b"bcdefghjklmnopqrstvwxyz"),
    (b's', b"x"),
    (b't', b"qx"),
    (b'v', b"bcfghjmpqwx"),
    (b'w', b"cfgjqvx"),
    (b'x', b"bdfghjklnqrsvwyz"),
    (b'y', b"jqwx"),
    (b'z', b"cfgjpqrsvx"),
];

static STRANGE: [u32; 26] = strange();

const fn strange() -> [u32; 26] {
    let mut sets = [0; 26];
    let mut place = 0;
    while place < STRANGE_PAIRS.len() {
        let (first, seconds) = STRANGE_PAIRS[place];
        let mut at = 0;
        while at < seconds.len() {
            sets[(first - b'a') as usize] |= 1 << (seconds[at] - b'a');
            at += 1;
        }
        place += 1;
    }
    sets
}

/// Below, words and abbreviations look like dice.
const MIN_RANDOM: usize = 6;
const MAX_VALUE: usize = 64;
const MAX_KEY: usize = 32;
const MAX_EXTENSION: usize = 5;

#[cfg(test)]
mod tests {
    use super::{is_random, path, query};

    #[test]
    fn what_dice_rolled_has_one_shape() {
        for (a, b) in [
            ("/a8Xk2mQz", "/Zq7Lw3rT"),
            ("/p/x7k2v9q1", "/p/m3n8b4c6"),
            ("/xkqjzpwv.php", "/zvqkxjwq.php"),
            (
                "/.seawall/pass/EQAdYb7k2mQzA8Xk2mQzEQAdYb7k",
                "/.seawall/pass/QzA8Xk2mQzEQAdYb7kYb7k2m",
            ),
            ("/2024/05/story-12.html", "/2023/1/story-9.html"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/00000000-aaaa-12d3-a456-426614174000"),
        ] {
            assert_eq!(path(a.as_bytes()).bytes(), path(b.as_bytes()).bytes(), "{a} and {b}");
        }
    }

    #[test]
    fn words_of_readers_are_no_dice() {
        for word in [
            "rechtschreibung",
            "przemyslenia",
            "krzyk-i-szept",
            "vozdukhoplavanie",
            "angstschweiss",
            "how-the-flood-came-to-town",
            "category",
            "wp-content",
            "nguyen-thi-minh",
            "smartphone",
            "sejm-przyjal-ustawe",
            "covid19",
            "%D0%BF%D1%80%D0%B8%D0%B2%D0%B5%D1%82",
            "jquery",
            "strzelanina",
            "vlkodlak",
            "skjaergard",
            "xmlrpc",
            "admin-ajax",
            "facade",
            "utm_source",
        ] {
            assert!(!is_random(word.as_bytes()), "{word}");
        }
    }

    #[test]
    fn more_than_half_of_rolled_letters_are_found() {
        let mut state = 7u64;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            b'a' + ((state >> 33) % 26) as u8
        };
        let found = (0..1_000).filter(|_| is_random(&[(); 8].map(|()| letter()))).count();
        assert!(found > 450, "{found} of 1,000");
    }

    #[test]
    fn a_query_is_its_keys_and_the_kinds_of_their_values() {
        let of = |text: &str| query(text.as_bytes());
        for (a, b) in
            [("s=flood&page=2", "page=7&s=river"), ("k=a8f7", "k=b9d2"), ("a=1&&b=2", "b=3&a=4")]
        {
            assert_eq!(of(a).bytes(), of(b).bytes(), "{a} and {b}");
        }
        for (a, b) in [("s=flood", "s=17"), ("s=flood", "q=flood"), ("s=a", "s=a&t=b"), ("s", "t")]
        {
            assert_ne!(of(a).bytes(), of(b).bytes(), "{a} and {b}");
        }
        let many: std::string::String = (0..40).map(|at| std::format!("key{at}=1&")).collect();
        assert!(of(&many).bytes().contains(&super::MORE_MARK));
    }

    #[test]
    fn whatever_comes_has_a_shape() {
        for text in ["", "/", "//", "&&==", "=", "/%00%ff", ".", "/.", "/.htaccess", "*"] {
            let _ = (path(text.as_bytes()), query(text.as_bytes()));
        }
        let deep = "/9".repeat(5_000);
        assert!(path(deep.as_bytes()).bytes().ends_with(&[super::MORE_MARK]));
        assert!(query("x".repeat(9_000).as_bytes()).bytes().len() < 160);
    }
}
