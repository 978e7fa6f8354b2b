//! Byte classes and scanning shared by the parsers.
//!
//! Separate so that each character class stands once, beside the grammar it comes from.

/// `tchar` of RFC 9110 §5.6.2: methods and field names.
pub(crate) const TOKEN: u8 = 1;
/// What we accept in a path. Wider than RFC 3986 `pchar`, because browsers send `|`, `^` or `{`
/// bare (WHATWG URL), but without `"`, `<`, `>`, `#` and `\`, which servers normalise differently.
pub(crate) const PATH: u8 = 2;
/// What we accept in a query: as the path, and `\`, which browsers send bare there.
pub(crate) const QUERY: u8 = 4;
/// What we accept in a registered name: letters, digits, `-`, `.`, `_`. RFC 3986 would also allow
/// percent-encoding and sub-delims, which no DNS name holds and caches disagree about.
pub(crate) const HOST: u8 = 8;

/// The classes of every byte.
pub(crate) static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let b = byte as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        if b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'#') {
            class |= QUERY;
            if b != b'\\' {
                class |= PATH;
            }
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            class |= HOST;
        }
        table[byte] = class;
        byte += 1;
    }
    table
}

/// Whether `byte` belongs to `class`.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// How many leading bytes belong to `class`.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&b| !is(b, class)).unwrap_or(bytes.len())
}

/// Position of the first control byte other than HTAB, or the length.
///
/// Eight bytes at a time: field values are the bulk of a head, and this is both the search for the
/// line end and the check of RFC 9110 §5.5 (VCHAR, obs-text, SP and HTAB are all that may appear).
#[inline]
pub(crate) fn control(bytes: &[u8]) -> usize {
    const LOW: u64 = u64::MAX / 255;
    const HIGH: u64 = LOW * 0x80;
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // Below 0x20; a borrow can only disturb bytes after the first true hit.
        let below = word.wrapping_sub(LOW * 0x20) & !word;
        let del = word ^ (LOW * 0x7f);
        let del = del.wrapping_sub(LOW) & !del;
        let hit = (below | del) & HIGH;
        if hit == 0 {
            at += 8;
            continue;
        }
        at += (hit.trailing_zeros() / 8) as usize;
        if bytes.get(at) != Some(&b'\t') {
            return at;
        }
        at += 1;
    }
    let rest = bytes.get(at..).unwrap_or(&[]);
    at + rest.iter().position(|&b| (b < 0x20 && b != b'\t') || b == 0x7f).unwrap_or(rest.len())
}

/// `bytes` without surrounding SP and HTAB (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Adds `bytes` to a running 64-bit hash. Stable across processes, machines and versions, because
/// fingerprints are compared between them; not for hash tables, which mix in their own seed.
#[inline]
pub(crate) fn fold(hash: u64, bytes: &[u8]) -> u64 {
    // Odd constants with balanced bits, from the digits of the golden ratio and of sqrt(2).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    const LEN: u64 = 0x6a09_e667_f3bc_c909;
    #[inline]
    fn mix(hash: u64, word: u64) -> u64 {
        let wide = u128::from(hash ^ word) * u128::from(STEP);
        (wide as u64) ^ ((wide >> 64) as u64)
    }
    let mut hash = mix(hash, (bytes.len() as u64).wrapping_add(LEN));
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash = mix(hash, u64::from_le_bytes(*word));
    }
    if let (Some(first), Some(last)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        let word =
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
        return mix(hash, word);
    }
    match rest {
        [a] => mix(hash, u64::from(*a)),
        [a, b] => mix(hash, u64::from(*a) | u64::from(*b) << 8),
        [a, b, c] => mix(hash, u64::from(*a) | u64::from(*b) << 8 | u64::from(*c) << 16),
        _ => hash,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{control, fold, trim};

    #[test]
    fn control_finds_every_control_byte_at_every_offset() {
        for len in 0..24 {
            for at in 0..=len {
                for bad in 0..=255u8 {
                    let mut bytes = vec![b'a'; len];
                    if let Some(slot) = bytes.get_mut(at) {
                        *slot = bad;
                    }
                    let is_control = (bad < 0x20 && bad != b'\t') || bad == 0x7f;
                    let want = if at < len && is_control { at } else { len };
                    assert_eq!(control(&bytes), want, "{bad:#x} at {at} of {len}");
                }
            }
        }
    }

    #[test]
    fn fold_tells_order_length_and_spelling_apart() {
        let one = |names: &[&str]| names.iter().fold(0, |h, n| fold(h, n.as_bytes()));
        let seen = [
            one(&["Host", "Accept"]),
            one(&["Accept", "Host"]),
            one(&["host", "Accept"]),
            one(&["HostAccept"]),
            one(&["Host", "Accept", ""]),
            one(&["Hos", "tAccept"]),
        ];
        for (at, hash) in seen.iter().enumerate() {
            assert!(!seen[at + 1..].contains(hash), "{at}");
        }
    }

    #[test]
    fn trim_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
        assert_eq!(trim(b" \t "), b"");
    }
}
