//! Stopping and reloading under readers.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::client::get;
use crate::origin::{Origin, ok, say};
use crate::shield::{PATIENCE, Shield, site, until};

/// An origin that says when it was asked for `/held` and answers that when allowed.
fn held() -> (Origin, Receiver<()>, Sender<()>) {
    let (release, wait) = channel::<()>();
    let (tell, arrived) = channel();
    let (wait, tell) = (Mutex::new(wait), Mutex::new(tell));
    let origin = Origin::run(move |asked, stream| {
        if asked.path().starts_with("/held") {
            let _ = tell.lock().expect("no panic").send(());
            let _ = wait.lock().expect("no panic").recv();
        }
        say(stream, ok("Cache-Control: no-store\r\n", "from the first"))
    });
    (origin, arrived, release)
}

#[test]
fn a_stop_lets_an_answer_in_flight_finish() {
    let (origin, arrived, release) = held();
    let mut shield = Shield::before(&origin);
    let (mut busy, mut idle) = (shield.client(), shield.client());
    idle.get("/", "").assert_status(200);
    busy.send(get("/held", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    let stopping = thread::spawn(move || shield.stop());
    // The idle connection ends: the drain is under way.
    assert_eq!(idle.rest().0, b"");
    drop(release);
    let got = busy.read("GET");
    got.assert_status(200).assert_body("from the first");
    assert_eq!(got.field("connection").as_deref(), Some("close"));
    busy.assert_over();
    stopping.join().expect("it stops");
}

#[test]
fn a_stop_does_not_wait_beyond_its_time() {
    let (origin, arrived, release) = held();
    let mut shield = Shield::with(&origin, |config| {
        config.limits.drain_timeout = std::time::Duration::from_millis(300);
    });
    let mut busy = shield.client();
    busy.send(get("/held", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    shield.stop();
    assert!(busy.try_read("GET").is_err(), "the answer never came");
    drop(release);
}

#[test]
fn a_stopped_server_listens_no_more() {
    let origin = Origin::page("", "");
    let mut shield = Shield::before(&origin);
    let address = shield.addresses()[0];
    shield.client().get("/", "").assert_status(200);
    shield.stop();
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn a_reload_takes_effect_on_open_connections() {
    let first = Origin::page("Cache-Control: no-store\r\n", "from the first");
    let second = Origin::page("Cache-Control: no-store\r\n", "from the second");
    let shield = Shield::before(&first);
    let mut client = shield.client();
    client.get("/", "").assert_status(200).assert_body("from the first");
    let mut config = shield.config().clone();
    config.sites = vec![site(second.address())];
    shield.server().reload(config).expect("reloads");
    until("the second origin answers", || {
        let got = client.get("/", "");
        got.assert_status(200);
        got.text() == "from the second"
    });
    let before = first.count();
    for _ in 0..20 {
        client.get("/", "").assert_status(200).assert_body("from the second");
    }
    assert_eq!(first.count(), before);
}

#[test]
fn a_request_from_before_a_reload_does_not_bring_the_old_origin_back() {
    let (first, arrived, release) = held();
    let second = Origin::page("Cache-Control: no-store\r\n", "from the second");
    let shield = Shield::with(&first, |config| {
        config.workers = 1;
        config.sites[0].origin.max_concurrency = 1;
    });
    let (mut one, mut two, mut other) = (shield.client(), shield.client(), shield.client());
    one.send(get("/held", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    // Waits for its turn with the configuration of now.
    two.send(get("/queued", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"queued\":1"));
    let mut config = shield.config().clone();
    config.sites = vec![site(second.address())];
    shield.server().reload(config).expect("reloads");
    until("the second origin answers", || {
        // The permit of the first origin is taken, so a question to it would hang: look first.
        shield.admin("GET", "/status").contains("\"limit\":8")
    });
    drop(release);
    one.read("GET").assert_status(200).assert_body("from the first");
    two.read("GET").assert_status(200).assert_body("from the first");
    until("the worker has noticed", || other.get("/", "").text() == "from the second");
    for _ in 0..20 {
        other.get("/", "").assert_status(200).assert_body("from the second");
    }
}

#[test]
fn who_comes_late_to_an_origin_that_a_reload_took_away_waits_no_longer_than_allowed() {
    let (first, arrived, release) = held();
    let second = Origin::page("Cache-Control: no-store\r\n", "from the second");
    let shield = Shield::with(&first, |config| {
        config.workers = 1;
        config.sites[0].origin.max_concurrency = 1;
        config.limits.origin_queue_timeout = Duration::from_millis(50);
    });
    let (mut one, mut late, mut other) = (shield.client(), shield.client(), shield.client());
    one.send(get("/held", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    // Its content is still on its way when the origin is taken away.
    late.send(
        "POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    late.take("HTTP/1.1 100 Continue\r\n\r\n".len()).expect("content is asked for");
    let mut config = shield.config().clone();
    config.sites = vec![site(second.address())];
    shield.server().reload(config).expect("reloads");
    until("the second origin answers", || {
        // The permit of the first origin is taken, so a question to it would hang: look first.
        shield.admin("GET", "/status").contains("\"limit\":8")
    });
    until("the worker has noticed", || other.get("/", "").text() == "from the second");
    late.send("ok");
    late.read("POST").assert_status(429);
    drop(release);
    one.read("GET").assert_status(200).assert_body("from the first");
}

#[test]
fn a_reload_changes_the_rules() {
    let origin = Origin::page("Cache-Control: max-age=600\r\n", "hello");
    let shield = Shield::before(&origin);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    let mut config = shield.config().clone();
    config.sites[0].hosts = vec!["other.example".to_owned()];
    shield.server().reload(config).expect("reloads");
    until("the host is unknown", || client.get("/", "").status == 421);
}

#[test]
fn a_reload_changes_the_bounds_of_a_queue_that_has_waiters() {
    let (origin, arrived, release) = held();
    let shield = Shield::with(&origin, |config| {
        config.sites[0].origin.max_concurrency = 1;
        config.limits.max_origin_queue = 1;
    });
    let (mut one, mut two, mut three) = (shield.client(), shield.client(), shield.client());
    one.send(get("/held-1", ""));
    arrived.recv_timeout(PATIENCE).expect("the origin is asked");
    two.send(get("/held-2", ""));
    until("it waits", || shield.admin("GET", "/status").contains("\"queued\":1"));
    let mut config = shield.config().clone();
    config.sites[0].origin.max_concurrency = 1;
    config.limits.max_origin_queue = 0;
    shield.server().reload(config.clone()).expect("reloads");
    three.get("/three", "").assert_status(503);
    config.sites[0].origin.max_concurrency = 2;
    shield.server().reload(config).expect("reloads");
    arrived.recv_timeout(PATIENCE).expect("who waited may go at once");
    drop(release);
    one.read("GET").assert_status(200);
    two.read("GET").assert_status(200);
}
