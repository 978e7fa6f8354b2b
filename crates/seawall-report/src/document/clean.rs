//! Words of strangers, made harmless to look at.
//!
//! A user agent or a note can hold characters that turn the direction of what follows, hide a part of it or break
//! lines. They are shown by their numbers. Escaping is for each format.

use std::fmt::Write as _;

/// Characters of one text that are shown; the record has the rest.
const MAX_CHARS: usize = 2_000;

/// The text in one line.
pub(super) fn line(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut was_space = false;
    for c in text.chars().take(MAX_CHARS) {
        let is_space = c.is_ascii_whitespace();
        match c {
            _ if is_space && was_space => {}
            _ if is_space => cleaned.push(' '),
            _ if is_deceptive(c) => {
                let _ = write!(cleaned, "\u{2039}U+{:04X}\u{203a}", c as u32);
            }
            _ => cleaned.push(c),
        }
        was_space = is_space;
    }
    let left_out = text.chars().count().saturating_sub(MAX_CHARS);
    if left_out > 0 {
        cleaned.push_str(&format!(" (and {left_out} characters more in the record)"));
    }
    cleaned.trim().to_owned()
}

/// Whether it is seen as something else than it is: controls, directions (UTR 36 §3.4), invisible ones, tags, and what is
/// no character at all. Joiners are not among them, because names need them.
fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e000}'..='\u{f8ff}'
        | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{10ffff}')
        || (c as u32) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn what_turns_or_hides_words_is_shown_by_its_number() {
        assert_eq!(line("a\u{202e}b\u{0}c"), "a\u{2039}U+202E\u{203a}b\u{2039}U+0000\u{203a}c");
        assert_eq!(line(" a\r\n\t b "), "a b");
        assert_eq!(line("Марија 範例 می\u{200c}خواهم"), "Марија 範例 می\u{200c}خواهم");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let cut = line(&"x".repeat(2_010));
        assert!(cut.ends_with("(and 10 characters more in the record)"), "{cut}");
    }
}
