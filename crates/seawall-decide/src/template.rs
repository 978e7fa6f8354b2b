//! What kind of page a request asks for: its path and query with what varies taken out.
//!
//! `/2024/05/17/a-title-4711` and `/2023/01/02/another-4` cost an origin about the same, and
//! `/?s=flood` the same as `/?s=drought`. Runs of digits, of hexadecimal and UUIDs become one mark, and
//! of a query only the names of its keys count. The result is a keyed hash, so that nobody outside can
//! make two kinds collide.
//!
//! It looks at 16 segments and 16 keys at most; what is longer shares a template. Words that vary stay
//! apart: the table of costs is bounded and forgets what is asked for once. It does **not** decode or
//! normalise a path, nor know what a template costs.

use core::hash::Hasher;

use siphasher::sip::SipHasher13;

/// Names templates. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Templater {
    seed: [u64; 2],
}

impl Templater {
    /// `seed` must be random and secret.
    pub const fn new(seed: [u64; 2]) -> Self {
        Self { seed }
    }

    /// The template of a request. O(length), no allocation.
    pub fn of(&self, path: &[u8], query: Option<&[u8]>) -> u64 {
        let [key0, key1] = self.seed;
        let mut hasher = SipHasher13::new_with_keys(key0, key1);
        for segment in path.split(|&byte| byte == b'/').take(MAX_PARTS) {
            hasher.write_u8(b'/');
            write_shape(segment, &mut |byte| hasher.write_u8(byte));
        }
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            hasher.write_u8(b'?');
            for pair in query.split(|&byte| byte == b'&').take(MAX_PARTS) {
                let key = pair.split(|&byte| byte == b'=').next().unwrap_or(pair);
                hasher.write_u8(b'&');
                write_shape(key, &mut |byte| hasher.write_u8(byte));
            }
        }
        hasher.finish().max(1)
    }
}

/// Writes `text` with one mark for each run of what varies.
#[inline]
pub(crate) fn write_shape(text: &[u8], write: &mut impl FnMut(u8)) {
    let text = &text[..text.len().min(MAX_PART_BYTES)];
    if is_id(text) {
        write(ID_MARK);
        return;
    }
    let mut in_digits = false;
    for &byte in text {
        let digit = byte.is_ascii_digit();
        if !digit {
            write(byte.to_ascii_lowercase());
        } else if !in_digits {
            write(DIGITS_MARK);
        }
        in_digits = digit;
    }
}

/// Hexadecimal of 8 digits or more with a decimal one among them, or a UUID (RFC 9562 §4). "facade" and
/// "deadbeef" are words.
fn is_id(text: &[u8]) -> bool {
    text.len() >= 8
        && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic)
}

pub(crate) const MAX_PARTS: usize = 16;
const MAX_PART_BYTES: usize = 64;
/// Bytes that no path holds unencoded (RFC 3986 §3.3).
pub(crate) const DIGITS_MARK: u8 = 0;
pub(crate) const ID_MARK: u8 = 1;

#[cfg(test)]
mod tests {
    use super::Templater;

    fn of(target: &str) -> u64 {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.as_bytes())),
            None => (target, None),
        };
        Templater::new([1, 2]).of(path.as_bytes(), query)
    }

    #[test]
    fn keys_chosen_to_collide_under_one_seed_spread_under_another() {
        // As the table of costs chooses its set: by the upper half.
        let place = |seed, key: u64| {
            // Letters, because digits are the same in every template.
            let letter = |shift: u64| char::from(b'a' + (key >> shift & 15) as u8);
            let path: alloc::string::String =
                ['/'].into_iter().chain([0, 4, 8, 12, 16, 20].map(letter)).collect();
            ((Templater::new([seed, 2]).of(path.as_bytes(), None) >> 32) * 1_024) >> 32
        };
        crate::adversary::check_spread(|key| place(1, key), |key| place(3, key));
    }

    #[test]
    fn what_varies_is_taken_out() {
        for (a, b) in [
            ("/2024/05/17/story-12", "/2023/1/2/story-9999"),
            ("/?s=flood", "/?s=drought"),
            ("/?s=a&page=2", "/?s=b&page=17"),
            ("/p/0b5a9c3d", "/p/ffe01234567890ab"),
            ("/o/123e4567-e89b-12d3-a456-426614174000", "/o/00000000-aaaa-12d3-a456-426614174000"),
            ("/Story", "/story"),
            ("/feed/?", "/feed/"),
        ] {
            assert_eq!(of(a), of(b), "{a} and {b}");
        }
    }

    #[test]
    fn what_differs_in_kind_stays_apart() {
        for (a, b) in [
            ("/", "/?s=x"),
            ("/tag/flood", "/category/flood"),
            ("/feed/", "/feed/?cat=1"),
            ("/a/b", "/ab"),
            ("/facade", "/0b5a9c3d"),
            ("/?a=1&b=1", "/?ab=1"),
        ] {
            assert_ne!(of(a), of(b), "{a} and {b}");
        }
        assert_ne!(Templater::new([1, 2]).of(b"/", None), Templater::new([1, 3]).of(b"/", None));
    }

    #[test]
    fn whatever_comes_has_a_template() {
        for target in ["", "?", "//", "/?&&==", "/%00%ff", &"/9".repeat(5_000), &"x".repeat(9_000)]
        {
            assert_ne!(of(target), 0);
        }
    }
}
