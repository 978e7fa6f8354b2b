//! The product's rehearsal as child processes: the sample site, its readers, and floods.
//!
//! Each says what it sees in a line of JSON four times a second; the last of each kind is kept.
//! A child ends when its standard input ends, and so with this task, however that ends.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::process::bound;

use super::super::server::BASELINE_SEED;

/// How long a child may take to get ready.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What they play, as the product names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Play {
    /// Readers who browse, and a flood of pages that no cache may keep.
    Live,
    /// The same readers, and 500 slow uploads.
    Uploads,
    /// Readers of everything, and random queries and paths.
    Busting,
    /// Readers of everything, and one page over and over (A1).
    OneUrl,
    /// The same from twenty addresses.
    OneUrlFew,
    /// A page with random queries (A2).
    Query,
    /// Searches (A4).
    Search,
    /// Clients that look different each time (A9).
    Rotating,
    /// Pulses of several kinds (A12).
    Pulses,
}

/// What a child is told.
pub(super) struct Job<'a> {
    pub(super) key: &'a str,
    pub(super) target: Option<SocketAddr>,
    pub(super) quiet: Duration,
    pub(super) flood: Duration,
    pub(super) play: Play,
    pub(super) certificate: Option<&'a Path>,
    pub(super) credentials: &'a [String],
}

/// A child process of the rehearsal.
pub(super) struct Actor {
    role: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    is_ready: bool,
    address: Option<SocketAddr>,
    figures: Value,
    /// Whether it has said its last, and what went wrong.
    end: Option<Result<(), String>>,
}

impl Actor {
    /// Starts `program` as `role` and waits until it is ready.
    ///
    /// # Errors
    /// When it cannot be started or does not get ready.
    pub(super) fn start(program: &Path, role: &'static str, job: &Job<'_>) -> Outcome<Self> {
        let mut child = bound(&program.to_string_lossy())
            .args(["rehearse", role])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start the {role}: {error}"))?;
        let input = child.stdin.take();
        let heard = Arc::new(Mutex::new(Heard::default()));
        if let Some(output) = child.stdout.take() {
            let heard = Arc::clone(&heard);
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    lock(&heard).note(&line);
                }
                lock(&heard).end.get_or_insert_with(|| Err("it ended without a word".to_owned()));
            });
        }
        let mut actor = Self { role, child, input, heard };
        actor.tell(&job.text());
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            {
                let heard = lock(&actor.heard);
                if heard.is_ready {
                    drop(heard);
                    return Ok(actor);
                }
                if let Some(Err(why)) = &heard.end {
                    return Err(format!("the {role} cannot begin: {why}"));
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("the {role} did not get ready within {START_LIMIT:?}"))
    }

    /// Where it listens, for the site.
    ///
    /// # Errors
    /// When it did not say.
    pub(super) fn address(&self) -> Outcome<SocketAddr> {
        lock(&self.heard).address.ok_or_else(|| format!("the {} does not listen", self.role))
    }

    /// Says a word to it. One that is gone is noticed when its figures are wanted.
    pub(super) fn tell(&mut self, word: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(format!("{word}\n").as_bytes()).and_then(|()| input.flush());
        }
    }

    /// What it last said it saw.
    pub(super) fn figures(&self) -> Value {
        lock(&self.heard).figures.clone()
    }

    /// Waits for its last figures.
    ///
    /// # Errors
    /// When it ended otherwise than well, or not within `limit`.
    pub(super) fn finish(&self, limit: Duration) -> Outcome<Value> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let heard = lock(&self.heard);
            match &heard.end {
                Some(Ok(())) => return Ok(heard.figures.clone()),
                Some(Err(why)) => return Err(format!("the {}: {why}", self.role)),
                None => drop(heard),
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(format!("the {} did not end within {limit:?}", self.role))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn note(&mut self, line: &str) {
        let Ok(said) = serde_json::from_str::<Value>(line) else { return };
        match said["report"].as_str() {
            Some("ready") => {
                self.is_ready = true;
                self.address = said["address"].as_str().and_then(|address| address.parse().ok());
            }
            Some("done") => self.end = Some(Ok(())),
            Some("failed") => {
                self.end = Some(Err(said["why"].as_str().unwrap_or("unknown").to_owned()));
            }
            _ => self.figures = said,
        }
    }
}

impl Job<'_> {
    fn text(&self) -> String {
        json!({
            "key": self.key,
            "seed": SEED,
            "target": self.target.map(|target| target.to_string()),
            "quiet_ms": millis(self.quiet),
            "flood_ms": millis(self.flood),
            "play": match self.play {
                Play::Live => json!("live"),
                Play::Uploads => json!("uploads"),
                Play::Busting => json!("busting"),
                Play::OneUrl => json!({ "detection": "one_url" }),
                Play::OneUrlFew => json!({ "detection": "one_url_few" }),
                Play::Query => json!({ "detection": "query" }),
                Play::Search => json!({ "detection": "search" }),
                Play::Rotating => json!({ "detection": "rotating" }),
                Play::Pulses => json!({ "detection": "pulses" }),
            },
            "certificate": self.certificate,
            "credentials": self.credentials,
        })
        .to_string()
    }
}

/// Always the same readers and bots.
const SEED: u64 = BASELINE_SEED;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lock(heard: &Mutex<Heard>) -> std::sync::MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Heard;

    #[test]
    fn what_children_say_is_kept() {
        let mut heard = Heard::default();
        heard.note(r#"{"report":"ready","address":"127.0.0.1:4000"}"#);
        heard.note(r#"{"report":"site","requests":7}"#);
        heard.note("noise");
        assert!(heard.is_ready && heard.end.is_none());
        assert_eq!(heard.address.map(|address| address.port()), Some(4000));
        assert_eq!(heard.figures["requests"], 7);
        heard.note(r#"{"report":"done"}"#);
        assert_eq!(heard.end, Some(Ok(())));
    }
}
