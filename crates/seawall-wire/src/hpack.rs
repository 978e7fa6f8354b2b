//! The pseudo-header order of a connection's first header block (RFC 7541, RFC 9113 §8.3).
//!
//! Separate from a full HPACK decoder, and not one: the dynamic table is empty at first, pseudo
//! headers come before all others, and only names matter, so values are skipped and Huffman-coded
//! names are compared in their coded form. Stops at the first ordinary field.

use alloc::vec::Vec;

/// A pseudo-header as one letter of the canonical text: `m`ethod, `a`uthority, `s`cheme, `p`ath,
/// p`r`otocol (RFC 8441); `?` for any other name that begins with a colon.
pub(crate) type Letter = u8;

/// Pseudo-headers noted at most. Valid requests have five.
pub(crate) const MAX_PSEUDO_HEADERS: usize = 8;

/// The letters in order, as far as the block can be read. O(bytes).
pub(crate) fn pseudo_order(block: &[u8]) -> Vec<Letter> {
    let mut order = Vec::new();
    // Entries the block itself adds to the dynamic table, newest last. Eviction is ignored: a
    // client that shrinks the table in its first bytes gets an order of its own, which is fine.
    let mut added: Vec<Option<Letter>> = Vec::new();
    let mut rest = block;
    while order.len() < MAX_PSEUDO_HEADERS {
        match next(&mut rest, &mut added) {
            Some(Item::Pseudo(letter)) => order.push(letter),
            Some(Item::SizeUpdate) => {}
            Some(Item::Ordinary) | None => break,
        }
    }
    order
}

enum Item {
    Pseudo(Letter),
    Ordinary,
    SizeUpdate,
}

/// Reads one representation (RFC 7541 §6); `None` at the end or where the block is malformed.
fn next(rest: &mut &[u8], added: &mut Vec<Option<Letter>>) -> Option<Item> {
    let first = *rest.first()?;
    if first & 0xe0 == 0x20 {
        integer(rest, 5)?;
        return Some(Item::SizeUpdate);
    }
    if first & 0x80 != 0 {
        let index = integer(rest, 7)?;
        return Some(item(indexed_name(index, added)?));
    }
    let is_added = first & 0x40 != 0;
    let index = integer(rest, if is_added { 6 } else { 4 })?;
    let name = if index == 0 { literal_name(rest)? } else { indexed_name(index, added)? };
    string(rest)?;
    if is_added && added.len() < MAX_PSEUDO_HEADERS {
        added.push(name);
    }
    Some(item(name))
}

fn item(name: Option<Letter>) -> Item {
    name.map_or(Item::Ordinary, Item::Pseudo)
}

/// RFC 7541 §2.3 and Appendix A. The outer `None`: there is no such entry.
fn indexed_name(index: usize, added: &[Option<Letter>]) -> Option<Option<Letter>> {
    match index {
        0 => None,
        1 => Some(Some(b'a')),
        2 | 3 => Some(Some(b'm')),
        4 | 5 => Some(Some(b'p')),
        6 | 7 => Some(Some(b's')),
        8..=14 => Some(Some(b'?')),
        15..=61 => Some(None),
        _ => added.len().checked_sub(index - 61).and_then(|at| added.get(at)).copied(),
    }
}

fn literal_name(rest: &mut &[u8]) -> Option<Option<Letter>> {
    let is_huffman = rest.first()? & 0x80 != 0;
    let name = string(rest)?;
    let known =
        NAMES.iter().find(|(plain, coded, _)| name == if is_huffman { *coded } else { *plain });
    if let Some((_, _, letter)) = known {
        return Some(Some(*letter));
    }
    // The code of `:` is 1011100 (RFC 7541 Appendix B).
    let is_pseudo =
        name.first().is_some_and(|&b| if is_huffman { b >> 1 == 0x5c } else { b == b':' });
    Some(is_pseudo.then_some(b'?'))
}

/// Plain, in the Huffman code of RFC 7541 Appendix B, and the letter.
const NAMES: [(&[u8], &[u8], Letter); 5] = [
    (b":method", b"\xb9\x49\x53\x39\xe4", b'm'),
    (b":authority", b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f", b'a'),
    (b":scheme", b"\xb8\x82\x4e\x5a\x4b", b's'),
    (b":path", b"\xb9\x58\xd3\x3f", b'p'),
    (b":protocol", b"\xb9\x5d\x87\x49\xc8\x7a\x3f", b'r'),
];

/// A string literal, still coded (RFC 7541 §5.2).
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = integer(rest, 7)?;
    let (string, after) = rest.split_at_checked(len)?;
    *rest = after;
    Some(string)
}

/// An integer with an N-bit prefix (RFC 7541 §5.1); `None` beyond 2^28, which no block here holds.
fn integer(rest: &mut &[u8], prefix_bits: u32) -> Option<usize> {
    let (&first, mut after) = rest.split_first()?;
    let max = (1usize << prefix_bits) - 1;
    let mut value = usize::from(first) & max;
    if value == max {
        for shift in [0, 7, 14, 21] {
            let (&byte, tail) = after.split_first()?;
            after = tail;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                *rest = after;
                return Some(value);
            }
        }
        return None;
    }
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::pseudo_order;

    #[track_caller]
    fn check(block: &[u8], want: &str) {
        assert_eq!(pseudo_order(block), want.as_bytes(), "{}", block.escape_ascii());
    }

    #[test]
    fn names_come_from_the_static_table_plain_or_coded() {
        check(b"\x82\x41\x01a\x87\x84\x90", "masp");
        check(b"\x82\x84\x86\x01\x01a\x50\x00", "mpsa");
        check(b"\x00\x07:method\x03GET\x10\x05:path\x01/", "mp");
        check(b"\x40\x85\xb9\x49\x53\x39\xe4\x83\xc5\x83\x7f\x00\x84\xb9\x58\xd3\x3f\x01/", "mp");
        check(
            b"\x00\x88\xb8\x3b\x53\x39\xec\x32\x7d\x7f\x01a\x00\x85\xb8\x82\x4e\x5a\x4b\x00",
            "as",
        );
        check(b"\x00\x87\xb9\x5d\x87\x49\xc8\x7a\x3f\x00", "r");
        check(b"\x3f\xe1\x1f\x82", "m");
    }

    #[test]
    fn what_the_block_adds_can_be_referred_to() {
        check(b"\x40\x07:method\x03GET\x40\x05:path\x01/\xbf\xbe", "mpmp");
        check(b"\x82\xbe", "m");
    }

    #[test]
    fn the_order_ends_at_the_first_ordinary_field_or_unreadable_byte() {
        check(b"\x82\x00\x01a\x01b\x84", "m");
        check(b"\x82\x80\x84", "m");
        check(b"\x82\x41\x7fabc", "m");
        check(b"\x82\xff\xff\xff\xff\xff\xff", "m");
        check(b"", "");
    }

    #[test]
    fn unknown_pseudo_headers_show_and_endless_ones_are_cut() {
        check(b"\x88\x00\x02:x\x00\x00\x81\xb9\x00\x82", "???m");
        check(&[0x82; 100], "mmmmmmmm");
    }
}
