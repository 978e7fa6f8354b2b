//! The real binary: asked once, or serving until it is stopped.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod attack;
pub(crate) mod site;
pub(crate) mod small_disk;

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What a command said, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|_| panic!("{}{}", self.stdout, self.stderr))
    }

    /// It failed with this code and says all of this.
    #[track_caller]
    pub(crate) fn check_failed(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in: {}", self.stderr);
        }
    }
}

/// Runs a command in `folder` to its end.
pub(crate) fn run_in(folder: &Path, args: &[&str]) -> Ran {
    run_by(Command::new(env!("CARGO_BIN_EXE_seawall")).current_dir(folder), args)
}

/// Runs what `command` starts, with `args`, to its end.
pub(crate) fn run_by(command: &mut Command, args: &[&str]) -> Ran {
    let output = command.args(args).env("NO_COLOR", "1").output();
    let Output { status, stdout, stderr } = output.expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

/// A running shield; killed if a test ends before it stops it.
pub(crate) struct Shield {
    process: Child,
    log: BufReader<ChildStderr>,
    /// What it logged, as far as it was read.
    pub(crate) said: String,
}

impl Shield {
    /// `seawall serve` with `args` in `folder`, when it is ready.
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_seawall")).current_dir(folder), args)
    }

    /// The same of what `command` starts.
    pub(crate) fn start_by(command: &mut Command, args: &[&str]) -> Self {
        let mut process = command
            .arg("serve")
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = BufReader::new(process.stderr.take().expect("stderr is piped"));
        let mut shield = Self { process, log, said: String::new() };
        shield.wait_for("ready");
        shield
    }

    /// Reads the log up to a line that holds `word`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, word: &str) {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("the log is text");
            assert!(read > 0, "it ended before it said `{word}`:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(word) {
                return;
            }
        }
    }

    /// Reads the log up to a line that holds `word`, unless it was read already.
    #[track_caller]
    pub(crate) fn hear(&mut self, word: &str) {
        if !self.said.contains(word) {
            self.wait_for(word);
        }
    }

    /// Where it listens first.
    pub(crate) fn address(&self) -> &str {
        let address = self.said.split("listen=").nth(1).and_then(|it| it.split_whitespace().next());
        address.expect("it says where it listens")
    }

    /// The answer to a GET for `path`.
    pub(crate) fn get(&self, path: &str) -> String {
        self.visit(path, "")
    }

    /// The answer to a GET with further fields, each with its line end.
    pub(crate) fn visit(&self, path: &str, fields: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: example.org\r\n{fields}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("our own child");
    }

    /// Asks it to end, and waits; its exit code.
    pub(crate) fn stop(self) -> Option<i32> {
        self.stop_and_say().1
    }

    /// The same, with all that it logged.
    pub(crate) fn stop_and_say(mut self) -> (String, Option<i32>) {
        self.signal(Signal::TERM);
        // Reading to the end keeps it from waiting on a full pipe.
        while self.log.read_line(&mut self.said).is_ok_and(|read| read > 0) {}
        let code = self.process.wait().expect("our own child").code();
        (std::mem::take(&mut self.said), code)
    }
}

impl Drop for Shield {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
