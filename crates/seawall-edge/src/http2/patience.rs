//! How long a connection may stay open when its peer does not do its part.
//!
//! Pure bookkeeping with the time as an argument: `http2` tells it what happens and arms the
//! connection's slot by it. Only what costs the peer something counts as its part: a new request,
//! or bytes of content it sent or took. PING, SETTINGS and window updates do not.

use std::time::Duration;

use seawall_model::{Instant, Limits};

/// Whom the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For the client's next request.
    Request,
    /// For the client to take what it asked for, or to send what it announced.
    Client,
    /// For the origin, or for the pace of the link: not the client's fault.
    Us,
}

/// The time a client has left.
#[derive(Debug)]
pub(super) struct Patience {
    waiting: Waiting,
    /// When `waiting` last ran.
    since: Instant,
    /// What is left of `stall` for taking or sending content.
    left: Duration,
    /// Bytes moved so far that are already credited.
    credited: u64,
    /// When the next request is due.
    request_due: Instant,
    stall: Duration,
    idle: Duration,
    bytes_per_second: u64,
}

impl Patience {
    /// For a connection that has just been opened: the first request is due like a request head.
    pub(super) fn new(now: Instant, limits: &Limits) -> Self {
        Self {
            waiting: Waiting::Request,
            since: now,
            left: limits.idle_timeout,
            credited: 0,
            request_due: now + limits.header_timeout,
            stall: limits.idle_timeout,
            idle: limits.idle_timeout,
            bytes_per_second: limits.min_body_bytes_per_second.max(1),
        }
    }

    /// A request arrived.
    pub(super) fn request(&mut self, now: Instant) {
        self.request_due = now + self.idle;
    }

    /// Takes note of whom the connection waits for from now on. `moved` is the total of content
    /// bytes both ways. Each byte earns the time it may take at the minimum rate, up to the full
    /// time-out, so that a peer cannot hold answers by taking a byte a minute.
    pub(super) fn update(&mut self, now: Instant, waiting: Waiting, moved: u64) {
        let passed = now.saturating_since(self.since);
        self.since = now;
        if self.waiting == Waiting::Client {
            self.left = self.left.saturating_sub(passed);
        }
        let bytes = moved.saturating_sub(self.credited);
        self.credited = moved;
        // The division comes last, for few bytes at a time to count.
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_second;
        self.left = self.left.saturating_add(Duration::from_micros(micros)).min(self.stall);
        if waiting == Waiting::Request {
            self.left = self.stall;
            if self.waiting != Waiting::Request {
                // The last answer has gone: the time for the next request starts.
                self.request_due = now + self.idle;
            }
        }
        self.waiting = waiting;
    }

    /// When the connection ends if nothing changes; `None`: nothing is due from the client.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.waiting {
            Waiting::Request => Some(self.request_due),
            Waiting::Client => Some(self.since + self.left),
            Waiting::Us => None,
        }
    }

    /// Whom the connection waits for.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Idle and stall time-out 60 s, first request within 10 s, 500 bytes per second.
    fn patience() -> Patience {
        Patience::new(at(0), &Limits::default())
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn the_first_request_is_due_like_a_request_head() {
        assert_eq!(patience().deadline(), Some(at(10)));
    }

    #[test]
    fn turns_without_a_request_do_not_postpone_the_end() {
        let mut patience = patience();
        patience.request(at(5));
        for second in 5..65 {
            patience.update(at(second), Waiting::Request, 0);
            assert_eq!(patience.deadline(), Some(at(65)), "in second {second}");
        }
    }

    #[test]
    fn each_request_and_each_finished_answer_start_the_time_anew() {
        let mut patience = patience();
        patience.request(at(5));
        patience.update(at(5), Waiting::Us, 0);
        assert_eq!(patience.deadline(), None, "the origin takes as long as it may");
        patience.update(at(300), Waiting::Request, 0);
        assert_eq!(patience.deadline(), Some(at(360)));
    }

    #[test]
    fn a_reader_who_takes_nothing_has_the_time_out_and_no_more() {
        let mut patience = patience();
        patience.request(at(1));
        patience.update(at(1), Waiting::Client, 0);
        for second in 2..61 {
            patience.request(at(second));
            patience.update(at(second), Waiting::Client, 0);
            assert_eq!(patience.deadline(), Some(at(61)), "in second {second}");
        }
    }

    #[test]
    fn bytes_earn_time_at_the_minimum_rate() {
        let mut patience = patience();
        patience.update(at(0), Waiting::Client, 0);
        patience.update(at(50), Waiting::Client, 10_000);
        assert_eq!(patience.deadline(), Some(at(80)), "10 s were left and 20 s are earned");
        patience.update(at(51), Waiting::Client, 10_000_000);
        assert_eq!(patience.deadline(), Some(at(111)), "never more than the time-out");
    }

    #[test]
    fn a_byte_now_and_then_does_not_keep_a_connection() {
        let mut patience = patience();
        patience.update(at(0), Waiting::Client, 0);
        for byte in 1..=59 {
            patience.update(at(byte), Waiting::Client, byte);
        }
        let end = patience.deadline().expect("one is due");
        assert!(end < at(61), "59 bytes earn a tenth of a second, not a minute: {end:?}");
    }

    #[test]
    fn waiting_for_the_origin_neither_spends_nor_restores_the_readers_time() {
        let mut patience = patience();
        patience.update(at(0), Waiting::Client, 0);
        patience.update(at(40), Waiting::Us, 0);
        patience.update(at(100), Waiting::Client, 0);
        assert_eq!(patience.deadline(), Some(at(120)));
    }
}
