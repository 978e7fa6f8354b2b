//! How long functions are.
//!
//! Separate because finding a function's body needs brackets counted. Lines that hold only a
//! comment or nothing are free: explaining must never cost.

use super::mask::{Masked, closing_brace, line_of};

/// One function: its name, its 0-based first line and its lines of code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) code_lines: usize,
}

/// Every function with a body, nested ones too.
pub(crate) fn functions(masked: &Masked) -> Vec<Function> {
    let code = masked.code();
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let before = code[..start].bytes().next_back();
        if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let name: String = code[start + 3..]
            .trim_start()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect();
        if name.is_empty() {
            continue; // a function type such as `Box<dyn Fn ()>`
        }
        if let Some(open) = body(code, start) {
            let lines = code[start..closing_brace(code, open)].lines();
            let code_lines = lines.filter(|line| !line.trim().is_empty()).count();
            found.push(Function { name, line: line_of(code, start), code_lines });
        }
    }
    found
}

/// Where the body opens; `None` for a declaration in a trait.
fn body(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (offset, byte) in code.as_bytes()[start..].iter().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return None,
            b'{' if depth == 0 => return Some(start + offset),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Function, functions};
    use crate::tidy::mask::Masked;

    #[test]
    fn bodies_are_counted_without_comments_and_declarations_are_left_out() {
        let text = "trait T { fn a(&self, x: [u8; 4]); }\n\
                    pub fn b(x: [u8; 4])\nwhere X: Y,\n{\n  // why\n\n  c();\n}\n\
                    const D: fn (u8) = e;\n";
        let b = Function { name: "b".to_owned(), line: 1, code_lines: 5 };
        assert_eq!(functions(&Masked::new(text)), [b]);
    }
}
