//! Readers, and a bounded load beside them.
//!
//! Readers come from addresses of their own and pause between pages; the load is wrk with 64
//! connections on loopback, half on the front page and half on addresses no cache can hold.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Outcome;
use crate::process::{Running, bound, write};

use super::stack::Stack;

/// How many readers are there at once.
const READERS: usize = 4;

/// A page that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two pages of a reader.
const PAUSE: Duration = Duration::from_millis(100);

/// One page as a reader saw it.
#[derive(Clone, Copy)]
struct View {
    ok: bool,
    ms: f64,
}

/// What happened in one stretch of time.
pub(crate) struct Phase {
    views: Vec<View>,
    /// Answers the load got.
    pub(crate) load_per_second: f64,
    /// Those of them that were neither 2xx nor 3xx.
    pub(crate) load_refused_per_second: f64,
    /// Requests that reached WordPress' web server.
    pub(crate) origin_per_second: f64,
}

impl Phase {
    /// Pages that came whole within the readers' patience.
    pub(crate) fn served(&self) -> usize {
        self.views.iter().filter(|view| view.ok).count()
    }

    /// The share of them, 0 to 1.
    pub(crate) fn share_served(&self) -> f64 {
        self.served() as f64 / self.views.len().max(1) as f64
    }

    /// Milliseconds until the page was whole; what was given up counts with the time it took.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut times: Vec<f64> = self.views.iter().map(|view| view.ms).collect();
        times.sort_by(f64::total_cmp);
        let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or(0.0)
    }

    /// As an object.
    pub(crate) fn json(&self) -> Value {
        json!({
            "page_views": self.views.len(), "served": self.served(),
            "p50_ms": self.percentile(50), "p95_ms": self.percentile(95),
            "p99_ms": self.percentile(99), "load_per_second": self.load_per_second,
            "load_refused_per_second": self.load_refused_per_second,
            "origin_per_second": self.origin_per_second,
        })
    }
}

/// Readers alone.
///
/// # Errors
/// When curl cannot be run.
pub(crate) fn peace(port: u16, stack: &Stack, length: Duration) -> Outcome<Phase> {
    let before = stack.origin_requests();
    let views = readers(port, length)?;
    let origin = (stack.origin_requests() - before) as f64 / length.as_secs_f64();
    Ok(Phase {
        views,
        load_per_second: 0.0,
        load_refused_per_second: 0.0,
        origin_per_second: origin,
    })
}

/// Readers beside the load.
///
/// # Errors
/// When curl or wrk cannot be run.
pub(crate) fn flood(port: u16, stack: &Stack, length: Duration) -> Outcome<Phase> {
    let script = stack.folder().join("flood.lua");
    write(&script, include_str!("flood.lua"))?;
    let log = stack.folder().join(format!("wrk-{port}.log"));
    // It starts before the readers and ends after them.
    let seconds = length.as_secs() + 4;
    let mut command = bound("wrk");
    command.args(["-t1", "-c64", &format!("-d{seconds}s"), "--timeout", "30s", "-s"]);
    command.arg(&script).args(["-H", "Host: example.test", &format!("http://127.0.0.1:{port}/")]);
    let mut load = Running::start("wrk", &mut command, &log)?;
    thread::sleep(Duration::from_secs(2));
    let before = stack.origin_requests();
    let began = Instant::now();
    let views = readers(port, length)?;
    let origin = (stack.origin_requests() - before) as f64 / began.elapsed().as_secs_f64();
    let _ = load.wait_end(Duration::from_secs(60));
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let number = |line: Option<&str>| -> f64 {
        line.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
            .unwrap_or(0.0)
    };
    let answers = number(said.lines().find(|line| line.contains(" requests in ")));
    let refused = number(
        said.lines()
            .find(|line| line.contains("Non-2xx"))
            .map(|line| line.rsplit(':').next().unwrap_or_default()),
    );
    Ok(Phase {
        views,
        load_per_second: answers / seconds as f64,
        load_refused_per_second: refused / seconds as f64,
        origin_per_second: origin,
    })
}

/// All readers for `length`.
fn readers(port: u16, length: Duration) -> Outcome<Vec<View>> {
    let end = Instant::now() + length;
    let mut views = Vec::new();
    let results: Vec<Outcome<Vec<View>>> = thread::scope(|scope| {
        let started: Vec<_> =
            (0..READERS).map(|reader| scope.spawn(move || one_reader(port, reader, end))).collect();
        started
            .into_iter()
            .map(|reader| reader.join().unwrap_or_else(|_| Err("a reader panicked".to_owned())))
            .collect()
    });
    for result in results {
        views.extend(result?);
    }
    Ok(views)
}

fn one_reader(port: u16, reader: usize, end: Instant) -> Outcome<Vec<View>> {
    let mut views = Vec::new();
    let mut page = reader * 9;
    while Instant::now() < end {
        page += 1;
        let path = match page % 4 {
            0 => "/".to_owned(),
            _ => format!("/story-{}/", page % 36 + 1),
        };
        let source = format!("127.20.{reader}.{}", page % 250 + 1);
        views.push(view(port, &source, &path)?);
        thread::sleep(PAUSE);
    }
    Ok(views)
}

fn view(port: u16, source: &str, path: &str) -> Outcome<View> {
    let began = Instant::now();
    let answer = Command::new("curl")
        .args(["-s", "--compressed", "--interface", source])
        .args(["--max-time", &PATIENCE.as_secs().to_string()])
        .args(["--connect-to", &format!("::127.0.0.1:{port}")])
        .args(["-w", "\n%{http_code} %{time_total}"])
        .arg(format!("http://example.test{path}"))
        .stderr(Stdio::null())
        .output()
        .map_err(|error| format!("cannot run curl: {error}"))?;
    let said = String::from_utf8_lossy(&answer.stdout);
    let (body, facts) = said.rsplit_once('\n').unwrap_or(("", &said));
    let mut facts = facts.split_whitespace();
    let is_ok = facts.next() == Some("200");
    let seconds = facts.next().and_then(|seconds| seconds.parse::<f64>().ok());
    Ok(View {
        ok: answer.status.success() && is_ok && body.trim_end().ends_with("</html>"),
        ms: seconds.unwrap_or(began.elapsed().as_secs_f64()) * 1e3,
    })
}
