//! Those who stay: a slow upload, an event stream and a WebSocket, open through the whole flood.
//!
//! Separate from the readers because what counts is not how fast they are served but that nothing of
//! theirs is cut: each byte and each event is checked. They do **not** come back when they are cut off.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use crate::budget::Connection;
use crate::http::Keep;
use crate::measure::GuestFigures;
use crate::site::{CHAT, HOST, TICKER, UPLOADS};

/// What they have done so far.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    uploaded: AtomicU64,
    upload_done: AtomicBool,
    events: AtomicU64,
    echoes: AtomicU64,
    troubles: Mutex<Vec<String>>,
}

impl Guests {
    pub(crate) fn figures(&self) -> GuestFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GuestFigures {
            uploaded: read(&self.uploaded),
            upload_done: self.upload_done.load(Ordering::Relaxed),
            events: read(&self.events),
            echoes: read(&self.echoes),
            troubles: self.troubles().clone(),
        }
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how a stay ended before its time.
    pub(crate) fn trouble(&self, who: &str, why: &str) {
        self.troubles().push(format!("{who}: {why}"));
    }

    /// Sends 200 kB a second until `until`, and expects the site to have got all of it.
    pub(crate) async fn upload(
        self: Arc<Self>,
        mut connection: Connection,
        until: Instant,
        cookie: Option<String>,
    ) {
        let steps = until.saturating_duration_since(Instant::now()).as_millis() as u64 / STEP_MS;
        let total = steps * STEP_BYTES as u64;
        let cookie = cookie.map_or_else(String::new, |shown| format!("Cookie: {shown}\r\n"));
        let head = format!(
            "POST {UPLOADS} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {AGENT}\r\n{cookie}\
             Content-Type: application/octet-stream\r\nContent-Length: {total}\r\n\r\n"
        );
        let mut next = Instant::now();
        if connection.send(head.as_bytes()).await.is_err() {
            return self.trouble("upload", "closed at its head");
        }
        for _ in 0..steps {
            sleep_until(next).await;
            next += Duration::from_millis(STEP_MS);
            if connection.send(&[b'u'; STEP_BYTES]).await.is_err() {
                return self.trouble("upload", "closed on the way");
            }
            self.uploaded.fetch_add(STEP_BYTES as u64, Ordering::Relaxed);
        }
        match timeout(PATIENCE, connection.read(Keep::Body)).await {
            Ok(Ok(answer))
                if answer.status == 200 && answer.body == total.to_string().as_bytes() =>
            {
                self.upload_done.store(true, Ordering::Relaxed);
            }
            Ok(Ok(answer)) => self.trouble("upload", &format!("answered with {}", answer.status)),
            Ok(Err(error)) => self.trouble("upload", &error.to_string()),
            Err(_) => self.trouble("upload", "no answer"),
        }
    }

    /// Follows the ticker, whose events are numbered, until `until`.
    pub(crate) async fn listen(self: Arc<Self>, mut connection: Connection, until: Instant) {
        let request = format!(
            "GET {TICKER} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {AGENT}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        if connection.send(request.as_bytes()).await.is_err() {
            return self.trouble("events", "closed at once");
        }
        let (mut said, mut expected) = (String::new(), 0_u64);
        let mut buffer = [0; 4096];
        while Instant::now() < until {
            let stream = connection.stream();
            match timeout(PATIENCE, stream.read(&mut buffer)).await {
                Ok(Ok(read)) if read > 0 => {
                    said.push_str(&String::from_utf8_lossy(&buffer[..read]));
                }
                Ok(_) => return self.trouble("events", "closed"),
                Err(_) => return self.trouble("events", "silent"),
            }
            while let Some((line, rest)) = said.split_once('\n') {
                if let Some(number) = line.strip_prefix("id: ") {
                    if number.trim().parse() != Ok(expected) {
                        return self.trouble("events", &format!("{number} instead of {expected}"));
                    }
                    expected += 1;
                    self.events.store(expected, Ordering::Relaxed);
                }
                said = rest.to_owned();
            }
        }
    }

    /// Says a number twice a second and expects it back, until `until`.
    pub(crate) async fn talk(self: Arc<Self>, mut connection: Connection, until: Instant) {
        let request = format!(
            "GET {CHAT} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {AGENT}\r\n\
             Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        if connection.send(request.as_bytes()).await.is_err() {
            return self.trouble("socket", "closed at once");
        }
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match timeout(PATIENCE, connection.stream().read_u8()).await {
                Ok(Ok(byte)) => head.push(byte),
                _ => return self.trouble("socket", "no answer"),
            }
        }
        if !head.starts_with(b"HTTP/1.1 101 ") {
            return self.trouble("socket", "not taken on");
        }
        let mut number = 0_u64;
        let mut next = Instant::now();
        while Instant::now() < until {
            sleep_until(next).await;
            next += Duration::from_millis(500);
            number += 1;
            let mut back = [0; 8];
            let stream = connection.stream();
            let exchange = async {
                stream.write_all(&number.to_be_bytes()).await?;
                stream.flush().await?;
                stream.read_exact(&mut back).await
            };
            match timeout(PATIENCE, exchange).await {
                Ok(Ok(_)) if back == number.to_be_bytes() => {
                    self.echoes.store(number, Ordering::Relaxed);
                }
                Ok(Ok(_)) => return self.trouble("socket", "other bytes came back"),
                Ok(Err(_)) => return self.trouble("socket", "closed"),
                Err(_) => return self.trouble("socket", "silent"),
            }
        }
    }
}

/// From where they come: readers' addresses, the last ones, so that few others share them.
pub(crate) fn places(browsers: &[Ipv4Addr]) -> [Ipv4Addr; 3] {
    let from_end = |back: usize| browsers[browsers.len() - back];
    [from_end(1), from_end(2), from_end(3)]
}

/// 200 kB a second.
const STEP_MS: u64 = 100;
const STEP_BYTES: usize = 20_000;
/// For one event, one echo, or the answer to the upload.
const PATIENCE: Duration = Duration::from_secs(15);
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
