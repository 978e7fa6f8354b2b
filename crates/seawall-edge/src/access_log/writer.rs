//! The thread that turns rings into lines.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rtrb::Consumer;
use seawall_model::{Instant, WallTime};
use tracing::{error, warn};

use super::files::LogFiles;
use super::json;
use super::record::{MAX_RECORD_BYTES, decode};
use super::{BUSY_PAUSE, IDLE_PAUSE, LogClock, LogWriter, Shared, rings};
use crate::config;
use crate::metrics::Sample;

/// The writer's work without its thread: [`super::AccessLogHandle`] calls it in a loop, tests call
/// it with a time of their own.
#[derive(Debug)]
pub struct LogDrain {
    rings: Vec<Consumer<u8>>,
    shared: Arc<Shared>,
    files: LogFiles,
    batch: Vec<u8>,
    batch_records: u64,
    line: Vec<u8>,
    lines: json::Lines,
    /// After a failed write: nothing is tried before this.
    retry_at: Option<Instant>,
    summary_due: Option<Instant>,
    summed: (u64, u64),
    warned_at: Option<Instant>,
    lost_at_warning: u64,
}

impl LogDrain {
    /// Rings for `workers` workers and the files in `dir`, which are not touched before the first
    /// line. If `settings.enabled` is false the writers do nothing.
    pub fn open(
        settings: &config::AccessLog,
        dir: &Path,
        workers: usize,
    ) -> (Self, Vec<LogWriter>) {
        let shared = Arc::new(Shared::new(workers, settings.refusals_per_second));
        let (producers, consumers) = rings(if settings.enabled { workers } else { 0 });
        let mut producers = producers.into_iter();
        let writers = (shared.workers.iter())
            .map(|counts| LogWriter::new(producers.next(), shared.clone(), counts.clone()))
            .collect();
        let drain = Self {
            rings: consumers,
            shared,
            files: LogFiles::new(dir, settings.max_bytes),
            batch: Vec::with_capacity(MAX_BATCH_BYTES),
            batch_records: 0,
            line: Vec::with_capacity(json::MAX_LINE_BYTES),
            lines: json::Lines::default(),
            retry_at: None,
            summary_due: None,
            summed: (0, 0),
            warned_at: None,
            lost_at_warning: 0,
        };
        (drain, writers)
    }

    /// Writes everything that is in the rings, and each second the summary line if there is
    /// something to sum up. Returns how many records were taken.
    pub fn pump(&mut self, now: Instant, wall: WallTime) -> u64 {
        if self.shared.reopen.swap(false, Ordering::Relaxed) {
            self.files.close();
        }
        let mut taken = 0;
        let mut bytes = [0u8; MAX_RECORD_BYTES];
        for index in 0..self.rings.len() {
            // Bounded by what is in it now, so that one busy ring does not starve the others.
            let mut left = self.rings[index].slots();
            while let Some(length) = next_record(&mut self.rings[index], &mut bytes, &mut left) {
                taken += 1;
                self.take(now, &bytes[..length]);
            }
        }
        self.summarise(now, wall);
        self.flush(now);
        self.shared.bytes.store(self.files.stored_bytes(), Ordering::Relaxed);
        taken
    }

    /// Counters for `/metrics`.
    pub fn samples(&self) -> Vec<Sample> {
        self.shared.samples()
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn take(&mut self, now: Instant, record: &[u8]) {
        self.line.clear();
        match decode(record) {
            Some(record) => self.lines.record(&mut self.line, &record),
            None => {
                debug_assert!(false, "ring holds what encode() did not write");
                self.shared.lost_to_restart.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        self.batch_records += 1;
        self.append(now);
    }

    fn append(&mut self, now: Instant) {
        let limit = MAX_BATCH_BYTES.min(usize::try_from(self.files.segment_bytes()).unwrap_or(0));
        if self.batch.len() + self.line.len() > limit {
            // The line in hand is counted with the next batch.
            self.batch_records -= 1;
            self.flush(now);
            self.batch_records += 1;
        }
        self.batch.extend_from_slice(&self.line);
    }

    fn summarise(&mut self, now: Instant, wall: WallTime) {
        if self.summary_due.is_some_and(|due| now < due) {
            return;
        }
        self.summary_due = Some(now + Duration::from_secs(1));
        let refusals = self.shared.sum(|w| &w.sampled);
        let dropped = self.shared.sum(|w| &w.ring_full)
            + self.shared.lost_to_disk.load(Ordering::Relaxed)
            + self.shared.lost_to_restart.load(Ordering::Relaxed);
        let (refusals_before, dropped_before) =
            std::mem::replace(&mut self.summed, (refusals, dropped));
        if (refusals, dropped) == (refusals_before, dropped_before) {
            return;
        }
        self.flush(now);
        self.lines.summary(
            &mut self.batch,
            wall,
            refusals - refusals_before,
            dropped - dropped_before,
        );
    }

    fn flush(&mut self, now: Instant) {
        if self.batch.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.batch_records);
        let resting = self.retry_at.is_some_and(|at| now < at);
        let result = if resting { None } else { Some(self.files.write(&self.batch)) };
        self.batch.clear();
        match result {
            Some(Ok(())) => {
                self.retry_at = None;
                self.shared.written.fetch_add(records, Ordering::Relaxed);
            }
            failed => {
                self.shared.lost_to_disk.fetch_add(records, Ordering::Relaxed);
                if let Some(Err(error)) = failed {
                    self.retry_at = Some(now + RETRY_AFTER);
                    self.warn(now, &error);
                }
            }
        }
    }

    fn warn(&mut self, now: Instant, error: &std::io::Error) {
        if self.warned_at.is_some_and(|at| now.saturating_since(at) < WARN_EVERY) {
            return;
        }
        self.warned_at = Some(now);
        let lost = self.shared.lost_to_disk.load(Ordering::Relaxed);
        let since = lost - std::mem::replace(&mut self.lost_at_warning, lost);
        warn!(
            error.type = %error.kind(),
            lost = since,
            "cannot write `{}`: {error}; {since} line(s) lost since the last such message; \
             serving goes on and writing is tried again each second",
            self.files.path().display()
        );
    }

    /// What a panic leaves behind: the batch in hand is given up, the rings stay.
    fn recover(&mut self) {
        let lost = self.batch_records.max(1);
        self.batch.clear();
        self.batch_records = 0;
        self.files.close();
        self.shared.lost_to_restart.fetch_add(lost, Ordering::Relaxed);
    }
}

/// The thread's loop; ends after a stop was asked for and everything was written.
pub(super) fn run(mut drain: LogDrain, clock: LogClock) {
    // The first and only call for these rings.
    let _ = drain.shared.thread.set(thread::current());
    let mut falls = 0;
    loop {
        let stopping = drain.shared.stop.load(Ordering::Acquire);
        let (now, wall) = clock();
        // Restarted in place: rings outlive the fall, so only the batch in hand is lost.
        let Ok(taken) = catch_unwind(AssertUnwindSafe(|| drain.pump(now, wall))) else {
            error!("the access log writer failed on a bug and was restarted; some lines are lost");
            drain.recover();
            falls += 1;
            // What it fell over is out of the ring, so a few more turns save the rest; a bug that
            // stays must neither burn a core nor hold up the end.
            if stopping && falls > MAX_FALLS {
                return;
            }
            thread::park_timeout(if stopping { Duration::ZERO } else { IDLE_PAUSE });
            continue;
        };
        if stopping {
            return;
        }
        thread::park_timeout(if taken > 0 { BUSY_PAUSE } else { IDLE_PAUSE });
    }
}

/// Reads the next record within `left` bytes; its length without the prefix.
fn next_record(
    ring: &mut Consumer<u8>,
    bytes: &mut [u8; MAX_RECORD_BYTES],
    left: &mut usize,
) -> Option<usize> {
    if *left < 2 {
        return None;
    }
    // Length and content were pushed as one, so both are there.
    let mut prefix = [0u8; 2];
    ring.pop_entire_slice(&mut prefix).ok()?;
    let length = usize::from(u16::from_le_bytes(prefix));
    ring.pop_entire_slice(bytes.get_mut(..length)?).ok()?;
    *left = left.saturating_sub(2 + length);
    Some(length)
}

const MAX_BATCH_BYTES: usize = 32 * 1024;
const MAX_FALLS: u32 = 16;
const RETRY_AFTER: Duration = Duration::from_secs(1);
const WARN_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use rtrb::RingBuffer;
    use seawall_model::{Cause, ClientAddr, Decision, HttpVersion, Method};

    use super::{Duration, Instant, LogDrain, LogWriter, Ordering, WallTime, config, run};
    use crate::access_log::LogRecord;
    use crate::access_log::record::{MAX_RECORD_BYTES, encode};

    fn record() -> LogRecord<'static> {
        LogRecord {
            now: Instant::from_nanos(0),
            at: WallTime::from_unix_secs(0),
            client: ClientAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            request_id: "1",
            version: HttpVersion::Http11,
            method: Method::Get,
            host: "example.org",
            path: b"/",
            query: None,
            user_agent: None,
            ja4: None,
            decision: Decision::Admit(Cause::Default),
            cache: None,
            mitigation: None,
            status: 200,
            duration: Duration::ZERO,
            bytes_sent: 0,
        }
    }

    /// A record that cannot be decoded is a bug, and trips an assertion in debug builds. The writer
    /// loses what it had in hand and goes on with the rest of the ring.
    #[test]
    fn writer_survives_its_own_bugs() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let settings =
            config::AccessLog { enabled: true, max_bytes: 1 << 20, refusals_per_second: 1 };
        let (mut drain, writers) = LogDrain::open(&settings, dir.path(), 1);
        drop::<Vec<LogWriter>>(writers);
        let (mut ring, consumer) = RingBuffer::new(4_096);
        drain.rings = vec![consumer];
        let mut scratch = [0; MAX_RECORD_BYTES];
        ring.push_entire_slice(encode(&record(), &mut scratch)).expect("room");
        ring.push_entire_slice(&[1, 0, 99]).expect("room");
        ring.push_entire_slice(encode(&record(), &mut scratch)).expect("room");
        let shared = drain.shared();
        shared.stop.store(true, Ordering::Release);
        run(drain, || (Instant::from_nanos(0), WallTime::from_unix_secs(0)));
        let log = std::fs::read_to_string(dir.path().join("access.log")).expect("log is there");
        assert!(log.contains("\"url.path\":\"/\""), "the last record is written: {log}");
        assert!(shared.lost_to_restart.load(Ordering::Relaxed) >= 1, "the loss is counted");
    }
}
