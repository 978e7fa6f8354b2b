//! What is let go when memory is short, and what is not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use seawall_model::PerSecond;

use crate::client::{Client, get};
use crate::origin::Origin;
use crate::shield::{Shield, until};

const FRESH: &str = "Cache-Control: max-age=600\r\n";
const PRESSURE: &str = "seawall_memory_pressure";

/// A server of 100 MB whose reading is what the test says.
fn measured(origin: &Origin) -> (Shield, Arc<AtomicU64>) {
    let reading = Arc::new(AtomicU64::new(0));
    let shield = Shield::with(origin, |config| {
        config.memory_bytes = 100_000_000;
        config.memory_reading = Some(Arc::clone(&reading));
    });
    (shield, reading)
}

fn at(shield: &Shield, reading: &AtomicU64, percent: u64, step: u64) {
    reading.store(percent * 1_000_000, Ordering::Relaxed);
    until("the step is in force", || shield.metric(PRESSURE) == step);
}

fn action(shield: &Shield, action: &str) -> u64 {
    shield.metric(&format!("seawall_memory_actions_total{{action=\"{action}\"}}"))
}

fn is_served(shield: &Shield) -> bool {
    let mut client = shield.client();
    client.send_anyway(get("/", ""));
    client.try_read("GET").is_ok_and(|answer| answer.status == 200)
}

fn idle(shield: &Shield, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| shield.client()).collect();
    for client in &mut clients {
        client.get("/", "").assert_status(200);
    }
    clients
}

#[test]
fn idle_connections_go_first_and_the_cache_gives_back_a_part() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, reading) = measured(&origin);
    let _idle = idle(&shield, 80);
    at(&shield, &reading, 79, 0);
    assert_eq!(action(&shield, "connection_shed"), 0, "a full cache and spool are no pressure");
    assert_eq!(action(&shield, "heap_trimmed"), 0);
    at(&shield, &reading, 85, 1);
    assert!(action(&shield, "heap_trimmed") >= 1, "what was freed goes before connections do");
    until("there are few left", || shield.metric("seawall_connections_open") < 64);
    assert!(action(&shield, "connection_shed") >= 17);
    assert!(is_served(&shield), "who comes is served");
    until("the cache may hold less", || action(&shield, "cache_lowered") > 0);
    at(&shield, &reading, 10, 0);
    assert!(is_served(&shield));
}

#[test]
fn a_connection_that_begins_with_a_refusal_goes_on_only_while_there_is_memory() {
    let origin = Origin::page(FRESH, "hello");
    let reading = Arc::new(AtomicU64::new(0));
    let shield = Shield::with(&origin, |config| {
        config.memory_bytes = 100_000_000;
        config.memory_reading = Some(Arc::clone(&reading));
        config.limits.held_rate = PerSecond(0.01);
        config.limits.held_burst = 1;
    });
    let mut first = shield.client();
    for status in [200, 200, 429] {
        first.get("/", "").assert_status(status);
    }
    at(&shield, &reading, 85, 1);
    let mut client = shield.client();
    client.get("/", "").assert_status(429);
    client.assert_over();
    at(&shield, &reading, 10, 0);
    let mut client = shield.client();
    for _ in 0..2 {
        client.get("/", "").assert_status(429);
    }
}

#[test]
fn uploads_go_to_disk_when_memory_is_short() {
    let origin = Origin::page("", "thanks");
    let (shield, reading) = measured(&origin);
    let upload = || {
        let mut client = shield.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        client.read("POST").assert_status(200);
    };
    upload();
    assert_eq!(action(&shield, "upload_to_disk"), 0);
    at(&shield, &reading, 92, 2);
    upload();
    assert!(action(&shield, "upload_to_disk") > 0);
}

#[test]
fn strangers_are_turned_away_at_the_last_step_while_there_are_many_connections() {
    let origin = Origin::page(FRESH, "hello");
    let (shield, reading) = measured(&origin);
    at(&shield, &reading, 96, 3);
    assert!(is_served(&shield), "few connections are not what memory is short for");
    // Half a head each, so that nothing is idle. No more than are many: files of a process are few.
    let mut half = VecDeque::new();
    let mut knock = || {
        let mut client = shield.client();
        client.send_anyway("GET / HTTP/1.1\r\nHo");
        half.push_back(client);
        if half.len() > 128 {
            half.pop_front();
            std::thread::park_timeout(Duration::from_millis(1));
        }
    };
    until("one is turned away", || {
        knock();
        shield.metric("seawall_connections_refused_total{cause=\"memory_pressure\"}") > 0
    });
    until("a slow one is let go", || {
        knock();
        shield.metric("seawall_connections_shed_total{state=\"partial\"}") > 0
    });
    at(&shield, &reading, 10, 0);
    assert!(is_served(&shield));
}
