//! What a copy of a page may be: the page, with a remark put in at one place.
//!
//! Whoever stands in for a site that is gone should say so on the page. A reader takes a page that is
//! marked as a copy (RFC 7089) and that is otherwise the site's, byte for byte; and knows what it said.

/// What was put into `page` at one place to make `copy` of it; `None` if `copy` is anything else, or if
/// it is more than a remark. Nothing may be put in, too.
pub(crate) fn put_in<'a>(page: &[u8], copy: &'a [u8]) -> Option<&'a [u8]> {
    let more = copy.len().checked_sub(page.len()).filter(|more| *more <= MAX_REMARK_BYTES)?;
    let mut at = page.iter().zip(copy).take_while(|(ours, theirs)| ours == theirs).count();
    if page[at..] != copy[at + more..] {
        return None;
    }
    // A remark that begins like what it stands before was found a little too late.
    while more > 0 && copy[at] != b'<' && at > 0 && copy[at - 1] == copy[at + more - 1] {
        at -= 1;
    }
    Some(&copy[at..at + more])
}

/// The words of a piece of markup, for people. `None` if there are none.
pub(crate) fn words(markup: &[u8]) -> Option<String> {
    let markup = std::str::from_utf8(markup).ok()?;
    let mut text = String::with_capacity(markup.len());
    let mut rest = markup;
    while let Some(open) = rest.find('<') {
        push_decoded(&mut text, &rest[..open]);
        let tag = &rest[open..];
        // A part of a sentence in an element of its own is no word apart.
        if !["<time", "</time"].iter().any(|inline| tag.starts_with(inline)) {
            text.push(' ');
        }
        rest = tag.find('>').map_or("", |close| &tag[close + 1..]);
    }
    push_decoded(&mut text, rest);
    let words: Vec<_> = text.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn push_decoded(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find("&#") {
        let reference = &rest[at + 2..];
        let Some(end) = reference.find(';') else { break };
        out.push_str(&rest[..at]);
        let digits = &reference[..end];
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        };
        out.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
        rest = &reference[end + 1..];
    }
    out.push_str(rest);
}

/// Beyond, it is not a remark any more.
const MAX_REMARK_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use super::{MAX_REMARK_BYTES, put_in, words};

    #[test]
    fn a_copy_is_the_page_with_a_remark_at_one_place() {
        let page = b"<body><a>x</a></body>";
        let large = [&page[..6], &vec![b'!'; MAX_REMARK_BYTES + 1], &page[6..]].concat();
        for (copy, expected) in [
            (&b"<body><a>x</a></body>"[..], Some(&b""[..])),
            (b"<body><i>gone</i><a>x</a></body>", Some(b"<i>gone</i>")),
            (b"<body>GONE <a>x</a></body>", Some(b"GONE ")),
            (b"<body><a>x</a></body>!", Some(b"!")),
            (b"<body>GONE <a>y</a></body>", None),
            (b"<body>GONE <a>x</a>!</body>", None),
            (b"<body><a>x</a></bod", None),
            (b"", None),
            (&large, None),
        ] {
            assert_eq!(put_in(page, copy), expected, "{}", String::from_utf8_lossy(copy));
        }
    }

    #[test]
    fn the_words_of_a_remark_are_those_a_reader_sees() {
        for (markup, expected) in [
            (
                "<aside class=\"n\"><p>Gone.</p><p>A copy from <time datetime=\"x\">14:05&#160;UTC</time>.</p></aside>",
                Some("Gone. A copy from 14:05 UTC."),
            ),
            ("Gone&#x2026;<", Some("Gone…")),
            ("<hr>", None),
            ("a &#12", Some("a &#12")),
            ("", None),
        ] {
            assert_eq!(words(markup.as_bytes()).as_deref(), expected, "{markup}");
        }
    }
}
