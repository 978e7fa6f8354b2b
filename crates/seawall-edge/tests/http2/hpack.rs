//! Just enough HPACK (RFC 7541) for a test client: plain literals out, everything but the dynamic
//! table in. The client announces a table of size 0, so that no answer may refer to one.

/// A field list.
pub(crate) type FieldList = Vec<(String, String)>;

/// Each field as a literal without indexing and without Huffman coding.
pub(crate) fn encode(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        put_string(&mut out, name.as_bytes());
        put_string(&mut out, value.as_bytes());
    }
    out
}

fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if rest < 127 {
        out.push(rest as u8);
    } else {
        out.push(127);
        rest -= 127;
        while rest >= 128 {
            out.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        out.push(rest as u8);
    }
    out.extend_from_slice(bytes);
}

/// Decodes a whole field block.
pub(crate) fn decode(mut block: &[u8]) -> FieldList {
    let mut fields = FieldList::new();
    while let Some(&first) = block.first() {
        if first & 0x80 != 0 {
            let (name, value) = STATIC[integer(&mut block, 7) - 1];
            fields.push((name.to_owned(), value.to_owned()));
            continue;
        }
        if first & 0xe0 == 0x20 {
            assert_eq!(integer(&mut block, 5), 0, "a table that we did not allow");
            continue;
        }
        let bits = if first & 0x40 != 0 { 6 } else { 4 };
        let name = match integer(&mut block, bits) {
            0 => string(&mut block),
            index => STATIC[index - 1].0.to_owned(),
        };
        fields.push((name, string(&mut block)));
    }
    fields
}

fn integer(block: &mut &[u8], bits: u32) -> usize {
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(take(block)) & most;
    if value < most {
        return value;
    }
    let mut shift = 0;
    loop {
        let byte = usize::from(take(block));
        value += (byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            return value;
        }
    }
}

fn take(block: &mut &[u8]) -> u8 {
    let (first, rest) = block.split_first().expect("the block goes on");
    *block = rest;
    *first
}

fn string(block: &mut &[u8]) -> String {
    let is_coded = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer(block, 7);
    let (bytes, rest) = block.split_at(len);
    *block = rest;
    let bytes = if is_coded { uncode(bytes) } else { bytes.to_vec() };
    String::from_utf8(bytes).expect("text")
}

/// The Huffman code of RFC 7541 is canonical: the lengths alone define it.
fn uncode(bytes: &[u8]) -> Vec<u8> {
    let mut symbols: Vec<usize> = (0..CODE_BITS.len()).collect();
    symbols.sort_by_key(|&symbol| (CODE_BITS[symbol], symbol));
    let mut out = Vec::new();
    let (mut code, mut len) = (0_u64, 0);
    for at in 0..bytes.len() * 8 {
        code = code << 1 | u64::from(bytes[at / 8] >> (7 - at % 8) & 1);
        len += 1;
        let (mut next, mut before) = (0_u64, 0);
        for &symbol in &symbols {
            next <<= CODE_BITS[symbol] - before;
            before = CODE_BITS[symbol];
            if before > len {
                break;
            }
            if before == len && next == code {
                out.push(symbol as u8);
                (code, len) = (0, 0);
                break;
            }
            next += 1;
        }
    }
    assert!(len < 8 && code == (1 << len) - 1, "padding is a prefix of the end symbol");
    out
}

/// RFC 7541 appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// RFC 7541 appendix B: bits per octet.
#[rustfmt::skip]
const CODE_BITS: [u32; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[test]
fn coded_text_of_the_rfc_is_read() {
    // RFC 7541 appendix C.4.1.
    let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(uncode(&coded), b"www.example.com");
}
