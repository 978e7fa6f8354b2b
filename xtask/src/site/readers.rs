//! Many readers of many pages, as far as curl can be them.
//!
//! Separate from [`super::client`], which is one person: here each address reads a few dozen pages on one
//! connection, and what comes is kept with the time it took.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Outcome;
use crate::process::{bound, write};

use super::client::Answer;

/// Readers who come to one place.
pub(crate) struct Readers<'a> {
    /// The site as in its addresses, such as `http://example.test`.
    pub(crate) site: &'a str,
    /// Where it is.
    pub(crate) at: SocketAddr,
    /// How many of them read at once.
    pub(crate) at_once: usize,
    /// Where files may lie for a moment.
    pub(crate) folder: &'a Path,
}

/// One answer.
pub(crate) struct Got {
    pub(crate) answer: Answer,
    /// Milliseconds until it was whole.
    pub(crate) ms: f64,
}

/// What one address read, and which of them it was.
type Part = (usize, Vec<Got>);

/// Pages that one address reads, fewer than the budget of one that reads fast.
const PAGES_OF_ONE: usize = 50;
/// An answer that takes longer is given up.
const MAX_SECONDS: u32 = 30;

impl Readers<'_> {
    /// The answers to all of these, in their order. What did not come has status 0.
    ///
    /// # Errors
    /// When curl cannot be run.
    pub(crate) fn read(&self, paths: &[String]) -> Outcome<Vec<Got>> {
        let chunks: Vec<&[String]> = paths.chunks(PAGES_OF_ONE).collect();
        let next = AtomicUsize::new(0);
        let take = || {
            let mut done = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(chunk) = chunks.get(number) else { break };
                done.push((number, self.read_as_one(chunk)?));
            }
            Ok(done)
        };
        let results: Vec<Outcome<Vec<Part>>> = thread::scope(|scope| {
            let started: Vec<_> = (0..self.at_once).map(|_| scope.spawn(take)).collect();
            let ended = started.into_iter().map(thread::ScopedJoinHandle::join);
            ended.map(|it| it.unwrap_or_else(|_| Err("a reader panicked".to_owned()))).collect()
        });
        let mut parts = Vec::new();
        for result in results {
            parts.extend(result?);
        }
        parts.sort_by_key(|(number, _)| *number);
        Ok(parts.into_iter().flat_map(|(_, got)| got).collect())
    }

    /// What one address reads on one connection.
    fn read_as_one(&self, paths: &[String]) -> Outcome<Vec<Got>> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Other addresses than those of floods and editors.
        let source =
            format!("127.{}.{}.{}", 30 + number / 62_500, number / 250 % 250, number % 250 + 1);
        let folder = self.folder.join(format!("read-{number}"));
        fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot make `{}`: {error}", folder.display()))?;
        let config = folder.join("config");
        write(&config, &self.config(paths, &source, &folder))?;
        let said = bound("curl").arg("-K").arg(&config).output();
        let said = said.map_err(|error| format!("cannot run curl: {error}"))?.stdout;
        let said = String::from_utf8_lossy(&said);
        let mut lines = said.lines();
        let got = (0..paths.len()).map(|index| {
            let (status, seconds) =
                lines.next().and_then(|it| it.split_once(' ')).unwrap_or_default();
            let ms = seconds.parse::<f64>().unwrap_or(f64::NAN) * 1e3;
            let (head, body) = files(&folder, index);
            let head = fs::read_to_string(head).unwrap_or_default();
            let body = fs::read(body).unwrap_or_default();
            Got { answer: Answer { status: status.parse().unwrap_or(0), head, body }, ms }
        });
        let got = got.collect();
        let _ = fs::remove_dir_all(&folder);
        Ok(got)
    }

    fn config(&self, paths: &[String], source: &str, folder: &Path) -> String {
        let (site, at) = (self.site, self.at);
        let mut text = String::new();
        for (index, path) in paths.iter().enumerate() {
            let (head, body) = files(folder, index);
            let next = if index == 0 { "" } else { "next\n" };
            let path = path.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!(
                "{next}silent\ngloboff\npath-as-is\nmax-time = {MAX_SECONDS}\n\
                 url = \"{site}{path}\"\ninterface = \"{source}\"\nconnect-to = \"::{at}\"\n\
                 dump-header = \"{}\"\noutput = \"{}\"\n\
                 write-out = \"%{{http_code}} %{{time_total}}\\n\"\n",
                head.display(),
                body.display()
            ));
        }
        text
    }
}

fn files(folder: &Path, index: usize) -> (PathBuf, PathBuf) {
    (folder.join(format!("{index}.head")), folder.join(format!("{index}.body")))
}
