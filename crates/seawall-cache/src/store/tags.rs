//! Surrogate keys: the names under which an origin lets its pages be purged together.
//!
//! Separate because three header conventions meet here. Tags are kept as keyed 64-bit hashes; a
//! collision purges a page too many, which is harmless. It does **not** index entries by tag: a
//! purge is rare and walks the table.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use http::HeaderMap;

use crate::flight::KeyedState;

/// Reads the tags of responses under the store's seed.
pub(crate) struct TagReader {
    keyed: KeyedState,
    none: Arc<[u64]>,
    too_many: Arc<[u64]>,
}

impl TagReader {
    pub(crate) fn new(seed: [u64; 2]) -> Self {
        Self { keyed: KeyedState(seed), none: Arc::new([]), too_many: Arc::new([EVERY_TAG]) }
    }

    /// The hashes of all tags of a response: `Surrogate-Key` (Fastly; spaces), `xkey` (Varnish;
    /// spaces, commas) and `Cache-Tag` (Cloudflare, Akamai; commas).
    pub(crate) fn read(&self, headers: &HeaderMap) -> Arc<[u64]> {
        let mut tags = Vec::new();
        for (name, separators) in CONVENTIONS {
            for line in headers.get_all(name) {
                for tag in line.as_bytes().split(|byte| separators.contains(byte)) {
                    let tag = tag.trim_ascii();
                    if tag.is_empty() {
                        continue;
                    }
                    if tags.len() == MAX_TAGS {
                        return Arc::clone(&self.too_many);
                    }
                    tags.push(self.hash(tag));
                }
            }
        }
        if tags.is_empty() { Arc::clone(&self.none) } else { tags.into() }
    }

    /// The hash of one tag. Tags are case-sensitive, as at the vendors.
    pub(crate) fn hash(&self, tag: &[u8]) -> u64 {
        let mut hasher = self.keyed.build_hasher();
        hasher.write(tag.trim_ascii());
        hasher.finish()
    }
}

/// Whether an entry with these tags is purged by `tag`.
pub(crate) fn has(tags: &[u64], tag: u64) -> bool {
    tags.contains(&tag) || tags == [EVERY_TAG]
}

const CONVENTIONS: [(&str, &[u8]); 3] =
    [("surrogate-key", b" \t"), ("xkey", b" \t,"), ("cache-tag", b",")];
/// Beyond it an entry counts as having every tag: purged too often rather than not at all.
const MAX_TAGS: usize = 256;
/// Stands for all tags.
const EVERY_TAG: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::{MAX_TAGS, TagReader, has};

    #[test]
    fn tags_are_read_from_all_three_conventions() {
        let reader = TagReader::new([1, 2]);
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", HeaderValue::from_static("post-7  home"));
        headers.append("xkey", HeaderValue::from_static("a,b c"));
        headers.append("cache-tag", HeaderValue::from_static("two words, last"));
        let tags = reader.read(&headers);
        for (tag, expected) in [
            ("post-7", true),
            ("home", true),
            ("a", true),
            ("b", true),
            ("c", true),
            ("two words", true),
            ("last", true),
            ("two", false),
            ("Home", false),
            ("", false),
        ] {
            assert_eq!(has(&tags, reader.hash(tag.as_bytes())), expected, "{tag}");
        }
    }

    #[test]
    fn too_many_tags_are_purged_by_every_tag() {
        let reader = TagReader::new([1, 2]);
        let many: Vec<String> = (0..=MAX_TAGS).map(|n| format!("t{n}")).collect();
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&many.join(" ")).expect("printable");
        headers.append("surrogate-key", value);
        assert!(has(&reader.read(&headers), reader.hash(b"anything")));
    }
}
