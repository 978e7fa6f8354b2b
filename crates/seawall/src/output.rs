//! Where words go: data to standard output, everything else to standard error.
//!
//! One place, so that no command mixes the two and a reader that closes the pipe early
//! (`seawall status | head -1`) ends the command quietly. It does **not** colour anything: the
//! text is read in logs and over bad lines as often as in terminals.

use std::io::{self, ErrorKind, Write};

use serde_json::Value;

use crate::Done;

/// Why a command did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It was tried and failed: exit code 1. The texts are what happened and what to do.
    Failed(String, String),
    /// As `Failed`, and everything has been said already.
    Said,
    /// It was asked for wrongly: exit code 2.
    Usage(String, String),
    /// It was asked for wrongly, and everything has been said already.
    SaidUsage,
    /// Nobody reads the answer any more.
    ClosedPipe,
}

impl Failure {
    /// What happened, and what to do about it.
    pub(crate) fn failed(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed(what.into(), hint.into())
    }

    /// What was asked wrongly, and how to ask.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage(what.into(), hint.into())
    }

    /// The code the process ends with.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::ClosedPipe => 0,
            Self::Failed(..) | Self::Said => 1,
            Self::Usage(..) | Self::SaidUsage => 2,
        }
    }

    /// Says it, if it was not said already.
    pub(crate) fn print(&self) {
        if let Self::Failed(what, hint) | Self::Usage(what, hint) = self {
            say(&format!("error: {what}\nhint: {hint}"));
        }
    }
}

/// Writes data to standard output, with a line end.
///
/// # Errors
/// A failure if nobody takes it.
pub(crate) fn data(text: &str) -> Done {
    bytes(text.trim_end_matches('\n').as_bytes())?;
    bytes(b"\n")
}

/// Writes data to standard output as it is.
///
/// # Errors
/// As [`data`].
pub(crate) fn bytes(bytes: &[u8]) -> Done {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ClosedPipe),
        Err(error) => Err(Failure::failed(
            format!("cannot write to standard output: {error}"),
            "check where the output is sent",
        )),
    }
}

/// Writes JSON to standard output, on one line.
///
/// # Errors
/// As [`data`].
pub(crate) fn json(value: &Value) -> Done {
    data(&value.to_string())
}

/// Writes remarks to standard error. If nobody reads them, they are lost without harm.
pub(crate) fn say(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}", text.trim_end_matches('\n'));
}

/// An error with what lies behind it, each said once.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
