//! What a style sheet loads: `url(...)` and `@import`.
//!
//! Separate because style sheets also stand in elements and attributes of pages. It reads tokens
//! (CSS Syntax 3 §4) and no rules: a URL in a rule that never applies is loaded as well. It does **not**
//! follow `@namespace`, whose URL is a name; one that is fetched in vain costs one request.

/// Calls `found` with each reference, unresolved, until it says that it is enough.
pub(crate) fn references(css: &str, found: &mut dyn FnMut(&str) -> Flow) {
    tokens(css, &mut |token| found(&token.reference));
}

/// The style sheet with each reference replaced for which `other` has another; that must hold no quote, no
/// backslash and no line end.
pub(crate) fn rewritten(css: &str, other: &mut dyn FnMut(&str) -> Option<String>) -> String {
    let (mut out, mut done) = (String::with_capacity(css.len()), 0);
    tokens(css, &mut |token| {
        // What the style sheet does not close is left alone.
        let (Some(before), true) = (css.get(done..token.at), token.end <= css.len()) else {
            return Flow::Enough;
        };
        if let Some(other) = other(&token.reference) {
            out.push_str(before);
            out.push_str(&if token.is_url {
                format!("url(\"{other}\")")
            } else {
                format!("\"{other}\"")
            });
            done = token.end;
        }
        Flow::More
    });
    out.push_str(css.get(done..).unwrap_or_default());
    out
}

/// A reference and where it stands: from the `u` of `url(` to its bracket, or from quote to quote.
struct Token {
    at: usize,
    end: usize,
    is_url: bool,
    reference: String,
}

fn tokens(css: &str, found: &mut dyn FnMut(Token) -> Flow) {
    let bytes = css.as_bytes();
    let mut at = 0;
    let mut importing = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = memchr::memmem::find(&bytes[at + 2..], b"*/")
                    .map_or(bytes.len(), |n| at + n + 4);
                continue;
            }
            b'"' | b'\'' => {
                let end = string_end(bytes, at);
                let reference = || unescape(slice(css, at + 1, end));
                if importing
                    && found(Token { at, end: end + 1, is_url: false, reference: reference() })
                        == Flow::Enough
                {
                    return;
                }
                importing = false;
                at = end + 1;
                continue;
            }
            b'@' => importing = starts(bytes, at + 1, b"import"),
            b';' | b'{' | b'}' => importing = false,
            b'u' | b'U' if starts(bytes, at, b"url(") && !is_name_before(bytes, at) => {
                let (reference, end) = url_token(css, at + 4);
                // Behind a quoted one there may be blanks before the bracket.
                let blanks = bytes.get(end..).unwrap_or_default();
                let blanks = blanks.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let is_closed = bytes.get(end.saturating_sub(1)) == Some(&b')');
                let past = if is_closed { end } else { end + blanks + 1 };
                let end = if is_closed || bytes.get(past - 1) == Some(&b')') { past } else { end };
                if found(Token { at, end, is_url: true, reference }) == Flow::Enough {
                    return;
                }
                importing = false;
                at = end;
                continue;
            }
            b'\\' => at += 1,
            _ => {}
        }
        at += 1;
    }
}

/// Whether more is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    Enough,
}

fn starts(bytes: &[u8], at: usize, word: &[u8]) -> bool {
    bytes.get(at..at + word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word))
}

fn is_name_before(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Where the string that begins at the quote `at` ends: at its other quote, or at the end of a line that
/// has none (§4.3.5).
fn string_end(bytes: &[u8], at: usize) -> usize {
    let quote = bytes[at];
    let mut end = at + 1;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            b'\n' => return end,
            _ if byte == quote => return end,
            _ => {}
        }
        end += 1;
    }
    bytes.len()
}

/// What stands in `url(` and where it ends.
fn url_token(css: &str, start: usize) -> (String, usize) {
    let bytes = css.as_bytes();
    let mut at = start;
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    if let Some(b'"' | b'\'') = bytes.get(at) {
        let end = string_end(bytes, at);
        return (unescape(slice(css, at + 1, end)), end + 1);
    }
    let mut end = at;
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            b')' => break,
            _ => {}
        }
        end += 1;
    }
    (unescape(slice(css, at, end).trim_ascii()), end.saturating_add(1))
}

/// The bounds may lie behind the end after a lone backslash; those of ASCII never split a character.
fn slice(css: &str, from: usize, to: usize) -> &str {
    css.get(from..to.min(css.len())).unwrap_or_default()
}

/// Escapes replaced (§4.3.7): up to six hexadecimal digits and a blank, or any character.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits > 0 {
            let code = u32::from_str_radix(&rest[..digits], 16).ok().and_then(char::from_u32);
            out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &rest[digits..];
            rest = rest.strip_prefix([' ', '\t', '\n']).unwrap_or(rest);
        } else if let Some(next) = rest.chars().next() {
            if next != '\n' {
                out.push(next);
            }
            rest = &rest[next.len_utf8()..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Flow, references, rewritten};

    fn all(css: &str) -> Vec<String> {
        let mut out = Vec::new();
        references(css, &mut |reference| {
            out.push(reference.to_owned());
            if out.len() < 8 { Flow::More } else { Flow::Enough }
        });
        out
    }

    #[test]
    fn what_a_style_sheet_loads_is_found_and_nothing_else() {
        for (css, want) in [
            ("a{background:url(a.png)}", &["a.png"][..]),
            ("a{background:URL( 'a b.png' ) , url(\"c.png\")}", &["a b.png", "c.png"]),
            (
                "@import 'a.css'; @import url(b.css) screen;\n@IMPORT\"c.css\";",
                &["a.css", "b.css", "c.css"],
            ),
            ("@font-face{src:url(a.woff2)format('woff2'),url('b.woff')}", &["a.woff2", "b.woff"]),
            ("/* url(no) @import 'no' */ a{content:'url(no)'}", &[]),
            ("a{content:'\\'url(no)'} b{x:url(yes)}", &["yes"]),
            ("a{x:url(a\\)b\\28 c)}", &["a)b(c"]),
            ("@charset 'utf-8'; a{x:image-set('no' 1x)}", &[]),
            ("a{x:my-url(no)}", &[]),
            ("a{x:'broken\n;y:url(yes)}", &["yes"]),
            ("url(", &[""]),
            ("url(a\\", &["a"]),
            ("url('a\\", &["a"]),
            ("@import '", &[""]),
            ("/*", &[]),
            ("/*/ url(no)", &[]),
            ("", &[]),
        ] {
            assert_eq!(all(css), want, "{css}");
        }
        assert_eq!(all(&"url(a)".repeat(100)).len(), 8);
    }

    #[test]
    fn references_are_replaced_where_they_stand() {
        let mut other =
            |reference: &str| reference.starts_with('a').then(|| format!("x/{reference}"));
        for (css, want) in [
            ("a{background:url(a.png)}", "a{background:url(\"x/a.png\")}"),
            ("a{b:URL( 'a.png'  ) , url(b.png)}", "a{b:url(\"x/a.png\") , url(b.png)}"),
            (
                "@import 'a.css' screen;@import url(a)",
                "@import \"x/a.css\" screen;@import url(\"x/a\")",
            ),
            ("/* url(a) */ c{content:'url(a)'}", "/* url(a) */ c{content:'url(a)'}"),
            ("é{b:url(\"a\")}é", "é{b:url(\"x/a\")}é"),
            ("b{c:url(a", "b{c:url(a"),
            ("b{c:url('a", "b{c:url('a"),
            ("@import 'a", "@import 'a"),
        ] {
            assert_eq!(rewritten(css, &mut other), want, "{css}");
        }
    }

    proptest! {
        #[test]
        fn nothing_changes_where_nothing_is_replaced(css in "[url()'\"\\\\@import;/* é\n]{0,100}") {
            prop_assert_eq!(rewritten(&css, &mut |_| None), css.clone());
            // And whatever is replaced, it ends.
            let _ = rewritten(&css, &mut |_| Some("x".to_owned()));
        }

        #[test]
        fn any_style_sheet_is_read(css in ".{0,200}", near in "[url()'\"\\\\@import;/* é\n]{0,100}") {
            for css in [css, near] {
                prop_assert!(all(&css).iter().all(|reference| reference.len() <= 2 * css.len()));
            }
        }
    }
}
