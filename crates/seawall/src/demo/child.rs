//! Child processes: started, heard, and ended with this one, however it goes.
//!
//! Each is killed when its [`Child`] is dropped, and ends by itself when its standard input ends,
//! which the system sees to even if this process is killed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use seawall_rehearse::Report;
use seawall_rehearse::child::Job;

use crate::demo::error::DemoError;
use crate::demo::folder::Folder;

/// Which child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// The sample site.
    Site,
    /// The readers.
    Readers,
    /// The flood.
    Flood,
    /// Seawall itself.
    Shield,
}

impl Who {
    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Site => "sample site",
            Self::Readers => "readers",
            Self::Flood => "flood",
            Self::Shield => "shield",
        }
    }

    /// The argument that makes this program that child.
    fn argument(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Readers => "readers",
            Self::Flood => "flood",
            Self::Shield => "shield",
        }
    }

    /// Its log in the demo's folder.
    pub(crate) fn log_name(self) -> String {
        format!("{}.log", self.argument())
    }
}

/// What was heard of a child.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Who spoke.
    pub(crate) who: Who,
    /// What it reported; `None` when it has ended.
    pub(crate) report: Option<Report>,
}

/// A running child process. Killed on drop.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    input: Option<ChildStdin>,
}

impl Child {
    /// Starts a rehearsing child with its job; what it says goes to `ears`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn rehearse(
        who: Who,
        job: &Job,
        folder: &Folder,
        ears: &Sender<Heard>,
    ) -> Result<Self, DemoError> {
        let mut child = start(who, None, folder.log(&who.log_name())?)?;
        let copy =
            folder.kept().map(|_| folder.log(&format!("{}.jsonl", who.argument()))).transpose()?;
        if let Some(output) = child.process.stdout.take() {
            hear(who, output, copy, ears.clone());
        }
        let job = serde_json::to_string(job)
            .map_err(|error| DemoError::Child { who: who.name(), why: error.to_string() })?;
        child.tell(&job);
        Ok(child)
    }

    /// Starts Seawall with `config`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn shield(
        config: &Path,
        folder: &Folder,
        ears: &Sender<Heard>,
    ) -> Result<Self, DemoError> {
        let mut child = start(Who::Shield, Some(config), folder.log(&Who::Shield.log_name())?)?;
        if let Some(output) = child.process.stdout.take() {
            hear(Who::Shield, output, None, ears.clone());
        }
        Ok(child)
    }

    /// Kills it, as a crash does: without a word, and in the middle of everything. It is gone when this
    /// returns.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn kill(&mut self) -> Result<(), DemoError> {
        // SIGKILL; that it has ended already is no error, but nobody expects it.
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.map(drop).map_err(DemoError::system("kill the sample site"))
    }

    /// Asks it to end in its own time (SIGTERM). That it has is heard of.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn ask_to_end(&self) -> Result<(), DemoError> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|errno| DemoError::system("stop the shield")(errno.into()))
    }

    /// Writes one line to its standard input. A child that is gone is heard of elsewhere.
    pub(crate) fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(format!("{line}\n").as_bytes()).and_then(|()| input.flush());
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether the user or the system asked to stop: set by SIGINT, SIGTERM and SIGHUP.
pub(crate) fn watch_signals() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else {
            return;
        };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            flag.store(true, Ordering::Relaxed);
        });
    });
    stop
}

fn start(who: Who, config: Option<&Path>, log: File) -> Result<Child, DemoError> {
    let failed = || DemoError::system(format!("start the {}", who.name()));
    let program = std::env::current_exe().map_err(failed())?;
    let mut command = Command::new(program);
    command.args(["rehearse", who.argument()]);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed())?;
    let input = process.stdin.take();
    Ok(Child { process, input })
}

/// Passes on what a child says, and that it has ended.
fn hear(who: Who, output: ChildStdout, mut copy: Option<File>, ears: Sender<Heard>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { break };
            if let Some(copy) = &mut copy {
                let _ = writeln!(copy, "{line}");
            }
            if let Ok(report) = serde_json::from_str(&line)
                && ears.send(Heard { who, report: Some(report) }).is_err()
            {
                return;
            }
        }
        let _ = ears.send(Heard { who, report: None });
    });
}
