//! The rules about single files, and the exceptions to them.
//!
//! Each rule is a function from a [`Source`] to findings; the exceptions are one table, each with
//! its reason, and one that is no longer needed is a finding itself.

use super::functions::functions;
use super::mask::line_of;
use super::{Finding, Source};

/// A file may grow to this many lines (architecture rule 17).
const MAX_FILE_LINES: usize = 800;

/// A function may hold this many lines of code, comments and blank lines not counted (rule 17).
const MAX_FUNCTION_LINES: usize = 70;

/// Crates that must not know clocks, sockets, files or threads (rule 2).
const PURE_CRATES: &[&str] = &["seawall-model", "seawall-wire", "seawall-decide"];

/// Crates that may be async (rule 3).
const ASYNC_CRATES: &[&str] = &["seawall-edge", "seawall-rehearse", "seawall"];

/// A listed way round a rule. `file` is a path, `item` a function's name or `*`.
struct Exception {
    rule: &'static str,
    file: &'static str,
    item: &'static str,
    #[expect(dead_code, reason = "the reason is for whoever reads this table")]
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "function length",
        file: "crates/seawall/src/explain.rs",
        item: "meaning",
        reason: "one arm per code; the compiler checks that none is missing",
    },
    Exception {
        rule: "function length",
        file: "crates/seawall/src/config/problem.rs",
        item: "about",
        reason: "one arm per code; the compiler checks that none is missing",
    },
    Exception {
        rule: "function length",
        file: "crates/seawall-cache/tests/flight.rs",
        item: "flights_behave_like_the_model",
        reason: "model and subject step by step, side by side",
    },
];

/// Places that may read a clock (rule 4). A prefix of the path.
const CLOCK_FILES: &[&str] = &[
    // It measures: nothing of it is in the product.
    "crates/seawall-archive/examples/many.rs",
    "crates/seawall-edge/src/clock.rs",
    "crates/seawall-edge/tests/",
    "crates/seawall-rehearse/src/",
    "crates/seawall/src/",
    "crates/seawall/tests/",
    "xtask/src/",
];

/// Everything that is wrong with one file.
pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in [file_length, whitespace, machine_paths] {
        rule(source, &mut findings);
    }
    if source.masked.is_some() {
        for rule in [
            function_length,
            crate_attributes,
            module_doc,
            open_ends,
            test_rules,
            clocks,
            asynchrony,
            names,
            globs,
        ] {
            rule(source, &mut findings);
        }
    }
    findings
}

/// Exceptions whose file or function is gone or has become short again.
pub(crate) fn stale_exceptions(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for exception in EXCEPTIONS {
        let source = sources.iter().find(|source| source.path == exception.file);
        let needed = source.is_some_and(|source| match exception.rule {
            "file length" => source.text.lines().count() > MAX_FILE_LINES,
            _ => source.masked.as_ref().is_some_and(|masked| {
                functions(masked).iter().any(|function| {
                    function.name == exception.item && function.code_lines > MAX_FUNCTION_LINES
                })
            }),
        });
        if !needed {
            findings.push(Finding {
                file: "xtask/src/tidy/rules.rs".to_owned(),
                line: 0,
                what: format!("the exception for `{}` is no longer needed", exception.file),
                mend: "remove it from EXCEPTIONS".to_owned(),
            });
        }
    }
    findings
}

fn is_excepted(rule: &str, file: &str, item: &str) -> bool {
    EXCEPTIONS.iter().any(|e| e.rule == rule && e.file == file && e.item == item)
}

fn report(source: &Source, line: usize, what: &str, mend: &str, findings: &mut Vec<Finding>) {
    findings.push(Finding {
        file: source.path.clone(),
        line: line + 1,
        what: what.to_owned(),
        mend: mend.to_owned(),
    });
}

fn file_length(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    let counts = source.masked.is_some() && lines > MAX_FILE_LINES;
    if counts && !is_excepted("file length", &source.path, "*") {
        let what = format!("{lines} lines; a file may have {MAX_FILE_LINES}");
        report(source, 0, &what, "split it where a reader would pause", findings);
    }
}

fn function_length(source: &Source, findings: &mut Vec<Finding>) {
    let Some(masked) = &source.masked else { return };
    for function in functions(masked) {
        let long = function.code_lines > MAX_FUNCTION_LINES;
        if long && !is_excepted("function length", &source.path, &function.name) {
            let what = format!(
                "`{}` has {} lines of code; a function may have {MAX_FUNCTION_LINES}",
                function.name, function.code_lines
            );
            let mend = "name its parts, or list it in xtask/src/tidy/rules.rs with a reason";
            report(source, function.line, &what, mend, findings);
        }
    }
}

fn whitespace(source: &Source, findings: &mut Vec<Finding>) {
    // Test data is what others send; it is kept byte for byte.
    if source.path.starts_with("testdata/") || source.path.contains("/testdata/") {
        return;
    }
    for (line, text) in source.text.lines().enumerate() {
        if text.ends_with([' ', '\t']) {
            report(source, line, "white space at the end of the line", "remove it", findings);
        }
    }
    if !source.text.is_empty() && !source.text.ends_with('\n') {
        let last = source.text.lines().count() - 1;
        report(source, last, "no newline at the end of the file", "add one", findings);
    }
}

fn machine_paths(source: &Source, findings: &mut Vec<Finding>) {
    // Written in two halves so that this file passes its own rule.
    let folders = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    for (line, text) in source.text.lines().enumerate() {
        if folders.iter().any(|folder| text.contains(folder)) {
            let mend = "use a path relative to the repository or an environment variable";
            report(source, line, "a path that exists on one machine only", mend, findings);
        }
    }
}

/// Rules 2 and 5: what the crate root must say.
fn crate_attributes(source: &Source, findings: &mut Vec<Finding>) {
    let Some(name) = source.crate_name() else { return };
    let is_root = source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs");
    if !is_root {
        return;
    }
    let code = source.masked.as_ref().map_or("", |masked| masked.code());
    if PURE_CRATES.contains(&name) && !code.contains("#![no_std]") {
        let mend = "add `#![no_std]` and pass in what needs an operating system";
        report(source, 0, "a pure crate without `#![no_std]`", mend, findings);
    }
    if name != "seawall-kernel" && !code.contains("#![forbid(unsafe_code)]") {
        let mend = "add `#![forbid(unsafe_code)]`; unsafe code belongs to seawall-kernel";
        report(source, 0, "a crate without `#![forbid(unsafe_code)]`", mend, findings);
    }
}

fn module_doc(source: &Source, findings: &mut Vec<Finding>) {
    let first = source.text.lines().find(|line| !line.trim().is_empty());
    let in_src = source.path.contains("/src/");
    if in_src && !first.is_some_and(|line| line.starts_with("//!")) {
        let mend = "say in `//!` what it is, why it is separate and what it does not do";
        report(source, 0, "a module without a module comment at its top", mend, findings);
    }
}

fn open_ends(source: &Source, findings: &mut Vec<Finding>) {
    let comments = source.masked.as_ref().map_or("", |masked| masked.comments());
    for (line, text) in comments.lines().enumerate() {
        if has_word(text, "FIXME") {
            report(source, line, "a FIXME does not merge", "mend it now", findings);
        }
        if has_word(text, "TODO") && !text.contains("TODO(#") {
            let mend = "name the issue, as in `TODO(#12)`";
            report(source, line, "a TODO without an issue", mend, findings);
        }
    }
}

/// Rule 19: what no test may do.
fn test_rules(source: &Source, findings: &mut Vec<Finding>) {
    let Some(masked) = &source.masked else { return };
    let whole_file = source.path.contains("/tests/")
        || source.path.ends_with("/tests.rs")
        || source.path.ends_with("_tests.rs");
    let raw: Vec<&str> = source.text.lines().collect();
    for (line, code) in masked.code().lines().enumerate() {
        if code.contains("#[ignore") {
            let mend = "make it run, or make it a task of xtask";
            report(source, line, "an ignored test", mend, findings);
        }
        if !whole_file && !masked.is_test_line(line) {
            continue;
        }
        if code.contains("thread::sleep") || code.contains("time::sleep(") {
            let mend = "wait for the event itself, or pause the runtime's clock and advance it";
            report(source, line, "a test that sleeps", mend, findings);
        }
        if code.contains("bind(") && raw.get(line).is_some_and(|text| has_fixed_port(text)) {
            let mend = "bind port 0 and ask which it became";
            report(source, line, "a test with a fixed port", mend, findings);
        }
    }
}

/// Whether a text names an address with a port other than 0.
fn has_fixed_port(text: &str) -> bool {
    ["127.0.0.1:", "0.0.0.0:", "[::1]:", "[::]:", "localhost:"].iter().any(|host| {
        text.match_indices(host).any(|(at, _)| {
            let port: String =
                text[at + host.len()..].chars().take_while(char::is_ascii_digit).collect();
            !port.is_empty() && port != "0"
        })
    })
}

/// Rule 4: time is an argument.
fn clocks(source: &Source, findings: &mut Vec<Finding>) {
    if CLOCK_FILES.iter().any(|prefix| source.path.starts_with(prefix)) {
        return;
    }
    let code = source.masked.as_ref().map_or("", |masked| masked.code());
    for (line, text) in code.lines().enumerate() {
        if text.contains("Instant::now(") || text.contains("SystemTime::now(") {
            let mend = "take the time as an argument; seawall-edge's `clock` module reads it";
            report(source, line, "reading a clock", mend, findings);
        }
    }
}

/// Rule 3: async stays in the shell.
fn asynchrony(source: &Source, findings: &mut Vec<Finding>) {
    if source.crate_name().is_none_or(|name| ASYNC_CRATES.contains(&name)) {
        return;
    }
    let code = source.masked.as_ref().map_or("", |masked| masked.code());
    for (line, text) in code.lines().enumerate() {
        if has_word(text, "async") || has_word(text, "await") {
            let mend = "keep the state machine here and drive it from seawall-edge";
            report(source, line, "async outside the crates that may", mend, findings);
        }
    }
}

/// One word for one thing (conventions, Names).
fn names(source: &Source, findings: &mut Vec<Finding>) {
    let code = source.masked.as_ref().map_or("", |masked| masked.code());
    for (line, text) in code.lines().enumerate() {
        for word in text.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            let lower = word.to_ascii_lowercase();
            if lower.contains("upstream") {
                report(source, line, "`upstream` in a name", "say `origin`", findings);
            }
            // ratatui calls a kind of terminal a backend; the word is free there.
            if lower.contains("backend") && !source.path.starts_with("crates/seawall/") {
                report(source, line, "`backend` in a name", "say `origin`", findings);
            }
        }
        for keyword in ["struct ", "enum ", "trait ", "mod "] {
            let Some(name) = definition(text, keyword) else { continue };
            let name = name.to_ascii_lowercase();
            if ["manager", "helper", "helpers", "util", "utils"].iter().any(|e| name.ends_with(e)) {
                let mend = "name it for what it does";
                report(source, line, "a name that says nothing", mend, findings);
            }
        }
        if definition(text, "fn ").is_some_and(|name| name.starts_with("get_")) {
            report(source, line, "`get_` before a name", "drop it", findings);
        }
    }
}

/// The name defined on this line after `keyword`.
fn definition<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let at = text.find(keyword)?;
    let alone = text[..at].chars().next_back().is_none_or(|before| !is_word(before));
    let name = text[at + keyword.len()..].split(|letter| !is_word(letter)).next()?;
    (alone && !name.is_empty()).then_some(name)
}

fn globs(source: &Source, findings: &mut Vec<Finding>) {
    let Some(masked) = &source.masked else { return };
    let code = masked.code();
    for (at, _) in code.match_indices("::*") {
        let line = line_of(code, at);
        let start = code[..at].rfind([';', '}']).map_or(0, |found| found + 1);
        let is_use = definition(&code[start..at], "use ").is_some();
        let is_test = masked.is_test_line(line)
            || source.path.contains("/tests/")
            || source.path.ends_with("tests.rs");
        if is_use && !is_test {
            let mend = "name what you use, so that a reader can find it";
            report(source, line, "a glob import", mend, findings);
        }
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::check as check_file;
    use crate::tidy::Source;

    /// The findings of one file as `line: what`.
    fn check(path: &str, text: &str, expected: &[&str]) {
        let findings = check_file(&Source::new(path, text));
        let found: Vec<String> =
            findings.iter().map(|finding| format!("{}: {}", finding.line, finding.what)).collect();
        assert_eq!(found, expected, "{path}\n{text}");
    }

    const LIB: &str = "//! A.\n#![no_std]\n#![forbid(unsafe_code)]\n";

    #[test]
    fn a_clean_file_has_no_findings() {
        check("crates/seawall-wire/src/lib.rs", LIB, &[]);
        check("README.md", "# A\n", &[]);
    }

    #[test]
    fn crate_roots_must_forbid_what_their_crate_must_not_do() {
        check(
            "crates/seawall-wire/src/lib.rs",
            "//! A.\n",
            &[
                "1: a pure crate without `#![no_std]`",
                "1: a crate without `#![forbid(unsafe_code)]`",
            ],
        );
        check("crates/seawall-kernel/src/lib.rs", "//! A.\n", &[]);
        check(
            "crates/seawall-edge/src/lib.rs",
            "//! A.\n",
            &["1: a crate without `#![forbid(unsafe_code)]`"],
        );
    }

    #[test]
    fn long_files_and_functions_are_found_and_comments_are_free() {
        let long = format!("//! A.\n{}", "// b\n".repeat(800));
        check("crates/seawall-edge/src/a.rs", &long, &["1: 801 lines; a file may have 800"]);
        let body = |line: &str| format!("//! A.\nfn f() {{\n{}}}\n", line.repeat(70));
        check("crates/seawall-edge/src/a.rs", &body("  // why\n"), &[]);
        check(
            "crates/seawall-edge/src/a.rs",
            &body("  g();\n"),
            &["2: `f` has 72 lines of code; a function may have 70"],
        );
    }

    #[test]
    fn prose_about_a_banned_word_is_not_the_word() {
        let text = "//! No async here, no Instant::now().\nconst A: &str = \"async upstream\";\n";
        check("crates/seawall-cache/src/a.rs", text, &[]);
    }

    #[test]
    fn async_and_clocks_stay_in_the_shell() {
        let text = "//! A.\nasync fn f() {}\nfn g() { Instant::now(); }\n";
        check(
            "crates/seawall-cache/src/a.rs",
            text,
            &["3: reading a clock", "2: async outside the crates that may"],
        );
        check("crates/seawall-edge/src/clock.rs", text, &[]);
    }

    #[test]
    fn tests_may_not_sleep_bind_fixed_ports_or_be_ignored() {
        let body = "#[ignore]\nfn f() { thread::sleep(d); bind(\"127.0.0.1:80\"); }\n";
        let wrong = ["an ignored test", "a test that sleeps", "a test with a fixed port"];
        let at = |line: usize| {
            let lines = [line, line + 1, line + 1];
            let found = lines.iter().zip(wrong);
            found.map(|(line, what)| format!("{line}: {what}")).collect::<Vec<_>>()
        };
        let expected = at(1);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("crates/seawall-edge/tests/a.rs", body, &expected);

        let inline = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{body}}}\n");
        let expected = at(4);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check("crates/seawall-edge/src/a.rs", &inline, &expected);
        check("crates/seawall-edge/tests/b.rs", "fn f() { bind(\"127.0.0.1:0\"); }\n", &[]);
    }

    #[test]
    fn one_word_stands_for_one_thing() {
        check(
            "crates/seawall-edge/src/a.rs",
            "//! A.\nstruct PoolManager;\nfn get_a() {}\nlet upstream_b = 1;\nuse a::*;\n",
            &[
                "2: a name that says nothing",
                "3: `get_` before a name",
                "4: `upstream` in a name",
                "5: a glob import",
            ],
        );
    }

    #[test]
    fn open_ends_and_stray_text_are_found() {
        check(
            "crates/seawall-edge/src/a.rs",
            "//! A.\n// FIXME b\n// TODO c\n// TODO(#3) d\n",
            &["2: a FIXME does not merge", "3: a TODO without an issue"],
        );
        check(
            "docs/a.md",
            "a \nb",
            &["1: white space at the end of the line", "2: no newline at the end of the file"],
        );
        check("testdata/a.txt", "a \nb", &[]);
        let path = concat!("see /ho", "me/anna/x\n");
        check("docs/a.md", path, &["1: a path that exists on one machine only"]);
    }
}
