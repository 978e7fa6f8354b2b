//! Field blocks (RFC 7541): plain literals, entries for the table, references to them.

use crate::site::HOST;

/// Fields as literals without indexing and without Huffman coding.
pub(super) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, value.as_bytes());
    }
    out
}

/// The pseudo-headers of a request.
pub(super) fn request(method: &str, path: &str) -> Vec<u8> {
    literals(&[(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)])
}

/// A field that the receiver has to put into its table (§6.2.1).
pub(super) fn entry(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0x40];
    put_string(&mut out, name.as_bytes());
    put_string(&mut out, value.as_bytes());
    out
}

/// The `back`th newest entry of that table, counted from 0, in one byte (§6.1, §2.3.3).
pub(super) fn reference(back: u8) -> u8 {
    0x80 | (62 + back.min(60))
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if rest < 127 {
        out.push(rest.to_be_bytes()[7]);
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push((rest % 128).to_be_bytes()[7] | 128);
            rest /= 128;
        }
        out.push(rest.to_be_bytes()[7]);
    }
    out.extend_from_slice(bytes);
}
