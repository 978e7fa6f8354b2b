//! Byte classes and scanning shared by the parsers.
//!
//! Separate so that each character class stands once, beside the grammar it comes from.

/// `tchar` of RFC 9110 §5.6.2: methods and field names.
pub(crate) const TOKEN: u8 = 1;
/// What we accept in a path. Wider than RFC 3986 `pchar`, because browsers send `|`, `^` or `{`
/// bare (WHATWG URL), but without `"`, `<`, `>`, `#` and `\`, which servers normalise differently,
/// and without `` ` ``, which browsers encode in a path and not every parser takes. `?` ends it.
pub(crate) const PATH: u8 = 2;
/// What we accept in a query: as the path, `?`, and `\` and `` ` ``, which browsers send bare there.
pub(crate) const QUERY: u8 = 4;
/// What we accept in a registered name: letters, digits, `-`, `.`, `_`. RFC 3986 would also allow
/// percent-encoding and sub-delims, which no DNS name holds and caches disagree about.
pub(crate) const HOST: u8 = 8;
/// `HOST` but upper-case letters.
pub(crate) const HOST_LOWER: u8 = 16;

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
            if !matches!(b, b'\\' | b'?' | b'`') {
                class |= PATH;
            }
        }
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_') {
            class |= HOST;
            if !b.is_ascii_uppercase() {
                class |= HOST_LOWER;
            }
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
    let mut rest = bytes;
    // Eight at a time only to spare the loop's own work: names and targets are most of what is
    // looked at byte by byte.
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        for (offset, &byte) in chunk.iter().enumerate() {
            if !is(byte, class) {
                return bytes.len() - rest.len() + offset;
            }
        }
        rest = tail;
    }
    let len = rest.iter().position(|&byte| !is(byte, class)).unwrap_or(rest.len());
    bytes.len() - rest.len() + len
}

/// Position of the first control byte other than HTAB, or the length.
///
/// Many bytes at a time: field values are the bulk of a head, and this is both the search for the
/// line end and the check of RFC 9110 §5.5 (VCHAR, obs-text, SP and HTAB are all that may appear).
#[inline]
pub(crate) fn control(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        // A loop over a fixed array without branches becomes a few vector instructions on every
        // processor that has them; keep it so.
        let is_text =
            |block: &[u8; 16]| block.iter().fold(true, |all, &b| all & (b >= 0x20) & (b != 0x7f));
        let hit = loop {
            match rest.split_first_chunk::<16>() {
                Some((block, tail)) if is_text(block) => rest = tail,
                Some((block, _)) => break first_control(block),
                None => {
                    let is_control = |&b: &u8| b < 0x20 || b == 0x7f;
                    break rest.iter().position(is_control).unwrap_or(rest.len());
                }
            }
        };
        match rest.get(hit..) {
            Some([b'\t', tail @ ..]) => rest = tail,
            _ => return bytes.len() - rest.len() + hit,
        }
    }
}

/// Position of the first control byte (HTAB included) in a block that has one.
#[inline]
fn first_control(block: &[u8; 16]) -> usize {
    const LOW: u64 = u64::MAX / 255;
    const HIGH: u64 = LOW * 0x80;
    let hits = |word: u64| {
        // A borrow can only disturb bytes after the first true hit.
        let below = word.wrapping_sub(LOW * 0x20) & !word;
        let del = word ^ (LOW * 0x7f);
        (below | (del.wrapping_sub(LOW) & !del)) & HIGH
    };
    let whole = u128::from_le_bytes(*block);
    let first = hits(whole as u64);
    if first != 0 {
        return (first.trailing_zeros() / 8) as usize;
    }
    8 + (hits((whole >> 64) as u64).trailing_zeros() / 8) as usize
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
    let hash = hash.rotate_left(5) ^ LEN.wrapping_mul(bytes.len() as u64 + 1);
    let Some(last) = bytes.last_chunk::<8>() else {
        return mix(hash, short_word(bytes));
    };
    let whole = bytes.as_chunks::<8>().0;
    let hash = whole.iter().fold(hash, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    // Overlaps the last whole word, or repeats it: the length is mixed in, so nothing is lost.
    mix(hash, u64::from_le_bytes(*last))
}

/// Up to seven bytes as a number; different for different bytes of one length.
#[inline]
fn short_word(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
    }
    match *bytes {
        [a] => u64::from(a),
        [a, b] => u64::from(a) | u64::from(b) << 8,
        [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
        _ => 0,
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
