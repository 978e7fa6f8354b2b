//! The rules that no compiler enforces, checked over the whole tree at once.
//!
//! Separate from clippy because these rules are about this project: which crate may use which,
//! which words have one meaning here, how long a file may grow. Every finding is printed, each
//! with its place and what to do, so that one run is enough to mend them all.
//!
//! It reads text, not syntax trees: [`mask`] blanks comments and literals so that a rule about
//! code does not trip over prose. It deliberately does **not** judge style that rustfmt or clippy
//! already judge.

mod arrows;
mod functions;
mod mask;
mod rules;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::Outcome;

use self::mask::Masked;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path from the repository's root.
    file: String,
    /// 1-based; 0 when the whole file is meant.
    line: usize,
    /// What is wrong.
    what: String,
    /// How to mend it.
    mend: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    mend: {}", self.file, self.line.max(1), self.what, self.mend)
    }
}

/// One text file as the rules see it.
pub(crate) struct Source {
    /// Path from the repository's root, with `/`.
    path: String,
    /// The text as it is.
    text: String,
    /// The text with comments and literals blanked; only for Rust.
    masked: Option<Masked>,
}

impl Source {
    /// A file by its path and text; Rust is recognised by the path.
    fn new(path: &str, text: &str) -> Self {
        let masked = path.ends_with(".rs").then(|| Masked::new(text));
        Self { path: path.to_owned(), text: text.to_owned(), masked }
    }

    /// The folder name of the crate this file belongs to.
    fn crate_name(&self) -> Option<&str> {
        match self.path.strip_prefix("crates/") {
            Some(rest) => rest.split('/').next(),
            None => self.path.starts_with("xtask/").then_some("xtask"),
        }
    }
}

/// Checks the tree at `root` and prints every finding.
///
/// # Errors
/// When a rule is broken, or the tree cannot be read.
pub(crate) fn run(root: &Path) -> Outcome {
    let mut sources = Vec::new();
    collect(root, root, &mut sources)?;
    sources.sort_by(|a, b| a.path.cmp(&b.path));

    let mut findings = arrows::check(root)?;
    for source in &sources {
        findings.extend(rules::check(source));
    }
    findings.extend(rules::stale_exceptions(&sources));
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} findings", sources.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { Err(format!("tidy has {} findings", findings.len())) }
}

/// Reads every text file under `folder` but what is built, fetched or hidden.
fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Outcome {
    let unreadable = |error| format!("cannot read `{}`: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        let hidden = name.starts_with('.') && !matches!(name.as_str(), ".ci" | ".cargo");
        if hidden || matches!(name.as_str(), "target" | "node_modules" | "artifacts" | "corpus") {
            continue;
        }
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, sources)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            sources.push(Source::new(&relative.to_string_lossy().replace('\\', "/"), &text));
        }
    }
    Ok(())
}
