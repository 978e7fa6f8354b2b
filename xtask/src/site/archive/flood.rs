//! A flood beside the readers, from many addresses; `flood.py` makes it.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::process::{bound, write};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One page, again and again.
    Page,
    /// The front page with a made-up query each time.
    Busting,
    /// Another search each time.
    Search,
}

/// How large a flood is.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) connections: u32,
    pub(super) sources: u32,
    /// Requests a second at most.
    pub(super) rate: u32,
    /// It ends by itself after so many seconds.
    pub(super) seconds: u64,
}

/// A flood that goes on until it is ended.
pub(super) struct Flood {
    child: Child,
}

impl Flood {
    /// Begins, whether anybody listens at `port` already or not.
    ///
    /// # Errors
    /// When python3 cannot be started.
    pub(super) fn start(folder: &Path, port: u16, kind: Kind, size: Size) -> Outcome<Self> {
        let script = folder.join("flood.py");
        write(&script, include_str!("../flood.py"))?;
        let kind = match kind {
            Kind::Page => "page",
            Kind::Busting => "busting",
            Kind::Search => "search",
        };
        let Size { connections, sources, rate, seconds } = size;
        let mut command = bound("python3");
        command.arg(&script).arg(port.to_string());
        command.args([connections, sources, rate].map(|it| it.to_string()));
        command.arg(seconds.to_string()).arg(kind);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().map_err(|error| format!("cannot start python3: {error}"))?;
        Ok(Self { child })
    }

    /// Ends it, and says in a few words what it was.
    ///
    /// # Errors
    /// When it broke down.
    pub(super) fn end(mut self) -> Outcome<String> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        if let Some(mut output) = self.child.stdout.take() {
            let _ = output.read_to_string(&mut said);
        }
        let _ = self.child.wait();
        let found: Value =
            serde_json::from_str(&said).map_err(|error| format!("the flood said: {error}"))?;
        let number = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
        let rate = number("asked") / number("seconds");
        Ok(format!(
            "flood of {rate:.0} requests/s, {} broken off, answers {}",
            found["broken"], found["statuses"]
        ))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
