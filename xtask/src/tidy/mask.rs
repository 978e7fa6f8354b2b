//! Rust text with comments and literals blanked.
//!
//! A small lexer, enough to tell code from prose: line and nested block comments, strings, raw
//! strings, bytes, characters against lifetimes. Separate so that every rule shares one idea of
//! what is code. It does **not** parse.

use std::ops::Range;

/// Two copies of a text, line for line: one with only code, one with only comments.
pub(crate) struct Masked {
    code: String,
    comments: String,
    test_lines: Vec<Range<usize>>,
}

impl Masked {
    /// Splits `text`. Never fails: what does not lex is taken as code.
    pub(crate) fn new(text: &str) -> Self {
        let mut lexer =
            Lexer { bytes: text.as_bytes(), at: 0, code: Vec::new(), comments: Vec::new() };
        lexer.run();
        let code = String::from_utf8_lossy(&lexer.code).into_owned();
        let comments = String::from_utf8_lossy(&lexer.comments).into_owned();
        let test_lines = test_regions(&code);
        Self { code, comments, test_lines }
    }

    /// The code, comments and the content of literals blanked.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The comments, code blanked.
    pub(crate) fn comments(&self) -> &str {
        &self.comments
    }

    /// Whether 0-based `line` lies in an inline `#[cfg(test)]` module.
    pub(crate) fn is_test_line(&self, line: usize) -> bool {
        self.test_lines.iter().any(|region| region.contains(&line))
    }
}

/// The byte just past the brace that closes the one at `open`, or the end of `code`.
pub(crate) fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return open + offset + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// The 0-based line of byte `at`.
pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// The lines of every `#[cfg(test)] mod … { … }`.
fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    for (start, mark) in code.match_indices("#[cfg(test)]") {
        let rest = &code[start + mark.len()..];
        let Some(open) = rest.find(['{', ';']) else { continue };
        if rest.as_bytes()[open] == b'{' {
            let end = closing_brace(code, start + mark.len() + open);
            regions.push(line_of(code, start)..line_of(code, end) + 1);
        }
    }
    regions
}

struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    code: Vec<u8>,
    comments: Vec<u8>,
}

impl Lexer<'_> {
    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let rest = &self.bytes[self.at..];
            if rest.starts_with(b"//") {
                let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                self.comment(end);
            } else if rest.starts_with(b"/*") {
                let end = block_comment(rest);
                self.comment(end);
            } else if let Some(hashes) = self.raw_string() {
                self.literal(raw_string_length(rest, hashes));
            } else if rest[0] == b'"' {
                self.literal(string_length(rest));
            } else if let Some(length) = character_length(rest) {
                self.literal(length);
            } else {
                self.keep();
            }
        }
    }

    /// One byte of code.
    fn keep(&mut self) {
        let byte = self.bytes[self.at];
        self.code.push(byte);
        self.comments.push(if byte == b'\n' { b'\n' } else { b' ' });
        self.at += 1;
    }

    fn comment(&mut self, length: usize) {
        for byte in &self.bytes[self.at..self.at + length] {
            self.code.push(if *byte == b'\n' { b'\n' } else { b' ' });
            self.comments.push(*byte);
        }
        self.at += length;
    }

    /// Keeps the first and last byte, so that a rule still sees that a literal stands there.
    fn literal(&mut self, length: usize) {
        for index in 0..length {
            let byte = self.bytes[self.at + index];
            let delimiter = index == 0 || index + 1 == length;
            self.code.push(match byte {
                b'\n' => b'\n',
                byte if delimiter => byte,
                _ => b' ',
            });
            self.comments.push(if byte == b'\n' { b'\n' } else { b' ' });
        }
        self.at += length;
    }

    /// The number of `#` if a raw string starts here; its `r` (and `b` before it) counts.
    fn raw_string(&self) -> Option<usize> {
        let rest = &self.bytes[self.at..];
        let after_word = self.at > 0 && is_word(self.bytes[self.at - 1]);
        if rest[0] != b'r' || (after_word && self.bytes[self.at - 1] != b'b') {
            return None;
        }
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        (rest.get(1 + hashes) == Some(&b'"')).then_some(hashes)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn raw_string_length(rest: &[u8], hashes: usize) -> usize {
    let body = 2 + hashes;
    let mut closing = vec![b'"'];
    closing.resize(1 + hashes, b'#');
    let found = rest[body..].windows(closing.len()).position(|window| window == closing);
    found.map_or(rest.len(), |found| body + found + closing.len())
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal; `None` for a lifetime or anything else.
fn character_length(rest: &[u8]) -> Option<usize> {
    if rest[0] != b'\'' {
        return None;
    }
    if rest.get(1) == Some(&b'\\') {
        let end = rest[3..].iter().position(|byte| *byte == b'\'')?;
        return Some(3 + end + 1);
    }
    // A character is at most four bytes; a lifetime has no closing quote that near.
    let text = &rest[1..rest.len().min(6)];
    let end = text.iter().position(|byte| *byte == b'\'')?;
    let one_character = std::str::from_utf8(&text[..end]).is_ok_and(|t| t.chars().count() == 1);
    one_character.then_some(end + 2)
}

#[cfg(test)]
mod tests {
    use super::Masked;

    fn check(text: &str, code: &str, comments: &str) {
        let masked = Masked::new(text);
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(masked.code()), code, "code of {text:?}");
        assert_eq!(squeeze(masked.comments()), comments, "comments of {text:?}");
        assert_eq!(masked.code().lines().count(), text.lines().count(), "lines of {text:?}");
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        check("a(); // sleep", "a();", "// sleep");
        check("a /* x /* y */ z */ b", "a b", "/* x /* y */ z */");
        check(r#"f("a // b", c)"#, r#"f(" ", c)"#, "");
        check(r##"f(r#"a " b"#, c)"##, "f(r #, c)", "");
        check(r#"f("a\"b", c)"#, r#"f(" ", c)"#, "");
        check("f('\"', '\\'', 'x', b'\\n')", "f(' ', ' ', ' ', b' ')", "");
        check("fn f<'a>(x: &'a str) -> &'a str", "fn f<'a>(x: &'a str) -> &'a str", "");
        check("\"two\nlines\" x", "\" \" x", "");
    }

    #[test]
    fn an_inline_test_module_is_a_test_region_and_a_declared_one_is_not() {
        let masked =
            Masked::new("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n");
        let tests: Vec<bool> = (0..6).map(|line| masked.is_test_line(line)).collect();
        assert_eq!(tests, [false, true, true, true, true, false]);
        assert!(!Masked::new("#[cfg(test)]\nmod tests;\nfn a() {}\n").is_test_line(2));
    }
}
