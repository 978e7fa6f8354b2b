//! Route patterns, matched against a path as an origin would read it.
//!
//! A rule for `/wp-admin/*` must also hold for `/wp%2Dadmin/`, `//wp-admin/` and `/a/../wp-admin/`,
//! because most origins resolve these before they route. Nothing here touches the heap, and the
//! path that is forwarded stays as the client sent it.

use alloc::boxed::Box;
use alloc::string::String;

/// The longest path that is normalised: as long as the default of `limits.max_target_bytes`.
pub(crate) const MAX_NORMALISED_BYTES: usize = 8 * 1024;

/// A compiled route pattern: exact, or a prefix when written with a final `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
}

impl Pattern {
    pub(crate) fn new(mut text: String) -> Self {
        if text.ends_with('*') {
            text.pop();
            Self::Prefix(text.into_bytes().into())
        } else {
            Self::Exact(text.into_bytes().into())
        }
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(pattern) => path == &**pattern,
            Self::Prefix(pattern) => path.starts_with(pattern),
        }
    }
}

/// Whether an origin may read `path` as something else than it says. O(n), no allocation.
pub(crate) fn is_ambiguous(path: &[u8]) -> bool {
    let is_odd = |byte: u8| byte == b'%' || byte == b'\\';
    let (Some(&first), Some(&last)) = (path.first(), path.last()) else { return false };
    // Without a branch by byte, so that many are compared at once.
    let odd = path.iter().zip(&path[1..]).fold(false, |odd, (&byte, &next)| {
        odd | is_odd(byte) | (byte == b'/') & ((next == b'/') | (next == b'.'))
    });
    // A first segment may stand without a slash before it.
    odd || is_odd(last) || first == b'.'
}

/// Room for a normalised path, on the stack of the caller.
pub(crate) struct Normalised {
    bytes: [u8; MAX_NORMALISED_BYTES],
    len: usize,
}

impl Normalised {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; MAX_NORMALISED_BYTES], len: 0 }
    }

    /// Decodes percent-encoding once (RFC 3986 §2.1), reads `\` as `/` as some origins do, drops
    /// empty segments, and resolves dot segments (§5.2.4). `None` if the path is longer than
    /// [`MAX_NORMALISED_BYTES`].
    pub(crate) fn fill(&mut self, path: &[u8]) -> Option<&[u8]> {
        if path.len() > MAX_NORMALISED_BYTES {
            return None;
        }
        self.len = 0;
        let mut rest = path;
        while let Some((&first, tail)) = rest.split_first() {
            let (byte, tail) = match (first, tail) {
                (b'%', &[high, low, ref tail @ ..]) => match (hex(high), hex(low)) {
                    (Some(high), Some(low)) => (high << 4 | low, tail),
                    _ => (first, &rest[1..]),
                },
                _ => (first, tail),
            };
            rest = tail;
            if byte == b'/' || byte == b'\\' {
                self.end_segment();
                self.push_slash();
            } else {
                self.push(byte);
            }
        }
        self.end_segment();
        Some(&self.bytes[..self.len])
    }

    fn push(&mut self, byte: u8) {
        // Output never outgrows input, whose length was checked.
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn push_slash(&mut self) {
        if self.len == 0 || self.bytes[self.len - 1] != b'/' {
            self.push(b'/');
        }
    }

    /// Removes the segment just written if it is `.` or `..`, and for `..` the one before it.
    fn end_segment(&mut self) {
        let written = &self.bytes[..self.len];
        let start = written.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
        match &written[start..] {
            b"." => self.len = start,
            b".." => {
                let parent = written[..start.saturating_sub(1)]
                    .iter()
                    .rposition(|&byte| byte == b'/')
                    .map_or(start.min(1), |slash| slash + 1);
                self.len = parent;
            }
            _ => {}
        }
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use proptest::prelude::{any, proptest};

    use super::{MAX_NORMALISED_BYTES, Normalised, Pattern, is_ambiguous};

    #[track_caller]
    fn check(path: &str, want: &str) {
        let mut room = Normalised::new();
        let got = room.fill(path.as_bytes()).expect("path is short").to_vec();
        assert_eq!(core::str::from_utf8(&got).expect("test paths are text"), want, "{path}");
        if path != want {
            assert!(is_ambiguous(path.as_bytes()), "{path} is recognised as ambiguous");
        }
    }

    #[test]
    fn path_is_read_as_an_origin_reads_it() {
        for (path, want) in [
            ("/", "/"),
            ("*", "*"),
            ("/a/b.html", "/a/b.html"),
            ("/wp%2Dadmin/", "/wp-admin/"),
            ("/wp%2dadmin/", "/wp-admin/"),
            ("//wp-admin//x", "/wp-admin/x"),
            ("/a/../wp-admin/", "/wp-admin/"),
            ("/a/%2e%2e/wp-admin/", "/wp-admin/"),
            ("/a%2f..%2fwp-admin", "/wp-admin"),
            ("/./wp-admin/.", "/wp-admin/"),
            ("/a\\..\\wp-admin", "/wp-admin"),
            ("/../../x", "/x"),
            ("/..", "/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/100%", "/100%"),
            ("/100%zz", "/100%zz"),
            ("/%2577p", "/%77p"),
            // No request has such a path, but nothing here says so.
            ("./x", "/x"),
            ("../x", "/x"),
        ] {
            check(path, want);
        }
    }

    #[test]
    fn a_path_beyond_the_room_is_not_normalised() {
        let path: Vec<u8> = core::iter::repeat_n(b'/', MAX_NORMALISED_BYTES + 1).collect();
        assert_eq!(Normalised::new().fill(&path), None);
    }

    #[test]
    fn pattern_is_exact_unless_it_ends_in_a_star() {
        for (pattern, path, want) in [
            ("/x", "/x", true),
            ("/x", "/x/", false),
            ("/x", "/xy", false),
            ("/x*", "/xy", true),
            ("/x/*", "/x", false),
            ("*", "/anything", true),
        ] {
            let compiled = Pattern::new(pattern.to_string());
            assert_eq!(compiled.matches(path.as_bytes()), want, "{pattern} on {path}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_normalise_without_growing(path in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut room = Normalised::new();
            let once = room.fill(&path).expect("path is short").to_vec();
            assert!(once.len() <= path.len());
            assert!(!once.windows(2).any(|pair| pair == b"//"));
            if !is_ambiguous(&path) {
                assert_eq!(once, path);
            }
        }
    }
}
