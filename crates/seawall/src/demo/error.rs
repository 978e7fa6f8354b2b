//! What can keep the demo from being run to its end.

use std::io;

use seawall_rehearse::child::ChildError;

/// Why the demo did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DemoError {
    /// A number on the command line is out of range.
    #[error("`--seconds {seconds}` is out of range: the demo takes between 30 and 600 seconds")]
    Seconds {
        /// What was asked for.
        seconds: u64,
    },
    /// A file or folder, a process, the terminal.
    #[error("cannot {what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A child process said that it could not go on, or ended without a word.
    #[error("the {who} stopped: {why}")]
    Child {
        /// Which one.
        who: &'static str,
        /// What it said.
        why: String,
    },
    /// A child process did not start in time.
    #[error("the {who} did not start within {seconds} s")]
    Slow {
        /// Which one.
        who: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Ctrl-C, `q`, or a signal.
    #[error("stopped before the end; nothing is left running")]
    Stopped,
    /// As a child: no job, or one that cannot be done.
    #[error(transparent)]
    Rehearse(#[from] ChildError),
}

impl DemoError {
    /// Turns what the system said while `what` was tried into an error.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Seconds { .. } => "use a number in between, or leave it out for 90",
            Self::System { .. } => "check free space and permissions of the temporary folder",
            Self::Child { .. } | Self::Slow { .. } => {
                "run it again with `--keep DIR` and look at the logs there"
            }
            Self::Stopped => "run it again to see all of it",
            Self::Rehearse(_) => "this command is started by `seawall demo`",
        }
    }

    /// Whether it was asked for wrongly.
    pub(crate) fn is_usage(&self) -> bool {
        matches!(self, Self::Seconds { .. })
    }
}
