//! Bounded load on loopback, by clients that nobody here wrote.
//!
//! wrk for HTTP/1.1, h2load for HTTP/2, both on core 1 with one thread. Each run checks that all
//! answers were what the case is about: a fast wrong answer is not a result.

use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::process::{bound_to_core, output};

use super::cost::cpu_ns;
use super::server::Server;

/// The core the client runs on.
const CLIENT_CORE: usize = 1;

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1, 64 kept-alive connections.
    Plain,
    /// HTTP/1.1 over TLS, 64 kept-alive connections.
    Tls,
    /// HTTP/2 over TLS, 32 connections of 8 streams.
    Http2,
    /// HTTP/1.1, a new connection for each request, every one refused.
    Refused,
}

/// One run.
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    pub(crate) path: &'static str,
    pub(crate) duration: Duration,
}

/// What the client counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) requests: u64,
    /// Answers other than 2xx and 3xx.
    pub(crate) refused: u64,
    /// Connections or requests that broke.
    pub(crate) errors: u64,
}

impl Load {
    /// Loads `server` and returns the microseconds of CPU it used per request.
    ///
    /// # Errors
    /// When the client fails or the answers are not what the case is about.
    pub(crate) fn run(&self, server: &Server) -> Outcome<f64> {
        let before = cpu_ns(server.id());
        let said = output(&mut self.client(server))?;
        let used = cpu_ns(server.id()) - before;
        let said = String::from_utf8_lossy(&said.stdout);
        let counted = match self.protocol {
            Protocol::Http2 => h2load(&said),
            _ => wrk(&said),
        };
        self.check(&counted)?;
        Ok(used as f64 / 1e3 / counted.requests as f64)
    }

    fn client(&self, server: &Server) -> Command {
        let seconds = self.duration.as_secs();
        let (scheme, port) = match self.protocol {
            Protocol::Plain | Protocol::Refused => ("http", server.plain.port()),
            Protocol::Tls | Protocol::Http2 => ("https", server.tls.port()),
        };
        let url = format!("{scheme}://127.0.0.1:{port}{}", self.path);
        if self.protocol == Protocol::Http2 {
            let mut command = bound_to_core(CLIENT_CORE, "h2load");
            command.args(["-c32", "-m8", "-t1", "-D", &seconds.to_string(), &url]);
            return command;
        }
        let mut command = bound_to_core(CLIENT_CORE, "wrk");
        command.args(["-t1", "-c64", &format!("-d{seconds}s"), &url]);
        if self.protocol == Protocol::Refused {
            command.args(["-H", "Connection: close"]);
        }
        command
    }

    fn check(&self, counted: &Counted) -> Outcome {
        if counted.requests < 1000 {
            return Err(format!("only {} requests were answered", counted.requests));
        }
        // A few connections end in the middle when the client's time is up.
        if counted.errors * 1000 > counted.requests {
            return Err(format!("{} of {} requests broke", counted.errors, counted.requests));
        }
        let expected = if self.protocol == Protocol::Refused { counted.requests } else { 0 };
        // The smallest budget lets one a second through.
        if counted.refused.abs_diff(expected) * 1000 > counted.requests {
            return Err(format!(
                "{} of {} answers were refusals, expected {expected}",
                counted.refused, counted.requests
            ));
        }
        Ok(())
    }
}

/// Reads wrk's summary.
fn wrk(said: &str) -> Counted {
    let mut counted = Counted::default();
    for line in said.lines().map(str::trim) {
        if let Some((requests, _)) = line.split_once(" requests in ") {
            counted.requests = requests.parse().unwrap_or(0);
        } else if let Some(refused) = line.strip_prefix("Non-2xx or 3xx responses:") {
            counted.refused = refused.trim().parse().unwrap_or(0);
        } else if let Some(errors) = line.strip_prefix("Socket errors:") {
            let numbers = errors.split(',').filter_map(|part| part.split_whitespace().nth(1));
            counted.errors = numbers.filter_map(|number| number.parse::<u64>().ok()).sum();
        }
    }
    counted
}

/// Reads h2load's summary.
pub(crate) fn h2load(said: &str) -> Counted {
    let mut counted = Counted::default();
    for line in said.lines() {
        let numbers = |prefix: &str| -> Option<Vec<(u64, String)>> {
            let parts = line.strip_prefix(prefix)?.split(", ");
            let pairs = parts.filter_map(|part| part.trim().split_once(' '));
            Some(pairs.filter_map(|(n, word)| Some((n.parse().ok()?, word.to_owned()))).collect())
        };
        for (number, word) in numbers("requests:").unwrap_or_default() {
            match word.as_str() {
                "done" => counted.requests = number,
                "failed" | "errored" | "timeout" => counted.errors += number,
                _ => {}
            }
        }
        for (number, word) in numbers("status codes:").unwrap_or_default() {
            if word == "4xx" || word == "5xx" {
                counted.refused += number;
            }
        }
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::{Counted, h2load, wrk};

    #[test]
    fn the_clients_summaries_are_read() {
        let said = "  Thread Stats\n  88543 requests in 2.10s, 34.45MB read\n  \
                    Socket errors: connect 1, read 2, write 0, timeout 3\n  \
                    Non-2xx or 3xx responses: 88543\nRequests/sec:  42\n";
        assert_eq!(wrk(said), Counted { requests: 88543, refused: 88543, errors: 6 });
        let said = "finished in 2.00s, 100.50 req/s, 1.0MB/s\n\
                    requests: 201 total, 209 started, 201 done, 200 succeeded, 1 failed, 2 errored, 0 timeout\n\
                    status codes: 190 2xx, 0 3xx, 4 4xx, 6 5xx\n";
        assert_eq!(h2load(said), Counted { requests: 201, refused: 10, errors: 3 });
    }
}
