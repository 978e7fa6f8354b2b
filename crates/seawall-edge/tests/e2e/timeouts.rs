//! Nobody holds a connection by being slow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use seawall_model::PerSecond;

use crate::client::{Client, get, is_timeout};
use crate::origin::Origin;
use crate::shield::{Shield, content, until};

const SOON: Duration = Duration::from_millis(300);

#[test]
fn a_head_that_does_not_end_is_refused() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| config.limits.header_timeout = SOON);
    let mut client = shield.client();
    client.send("GET / HTTP/1.1\r\nHost: exa");
    client.read("GET").assert_status(408);
    client.assert_over();
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_trickle_does_not_earn_more_time() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| config.limits.header_timeout = SOON);
    let mut stream = TcpStream::connect(shield.addresses()[0]).expect("connects");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("socket option");
    stream.write_all(b"GET / HTTP/1.1\r\nX: ").expect("sends");
    until("the connection is closed", || {
        // A byte, and then a look that waits a little: a reader who drips.
        let _ = stream.write_all(b"x");
        match stream.read(&mut [0; 1024]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => !is_timeout(&error),
        }
    });
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let origin = Origin::page("", "");
    // The kernel holds back what sends nothing, except before listeners for proxies.
    let shield = Shield::with(&origin, |config| {
        config.limits.header_timeout = SOON;
        config.listen[0].proxy_protocol = true;
    });
    assert_eq!(shield.client().rest().0, b"");
}

#[test]
fn a_kept_connection_is_closed_when_idle() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", "hello");
    let shield = Shield::with(&origin, |config| config.limits.idle_timeout = SOON);
    let mut client = shield.client();
    client.get("/", "").assert_status(200);
    client.get("/", "").assert_status(200);
    assert_eq!(client.rest().0, b"");
}

#[test]
fn content_that_does_not_come_is_refused() {
    let origin = Origin::page("", "");
    let shield = Shield::with(&origin, |config| {
        config.limits.body_grace = SOON;
        config.limits.min_body_bytes_per_second = 1_000;
    });
    let mut client = shield.client();
    client.send("POST / HTTP/1.1\r\nHost: example.org\r\nContent-Length: 1000\r\n\r\nabc");
    client.read("POST").assert_status(408);
    client.assert_over();
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_reader_who_does_not_read_is_closed() {
    // More than the buffers of two sockets take.
    let origin = Origin::page("Cache-Control: max-age=60\r\n", content(16 << 20));
    let shield = Shield::with(&origin, |config| {
        config.limits.response_grace = SOON;
        config.limits.min_body_bytes_per_second = 1 << 30;
        config.memory_bytes = 256 << 20;
    });
    let mut client = shield.client();
    client.send(get("/", ""));
    // Once it has begun, nothing more is read.
    client.take(64).expect("the answer begins");
    until("the connection is given up", || shield.metric("seawall_connections_open") == 0);
    assert!(client.rest().0.len() < 16 << 20, "it was not sent whole");
}

#[test]
fn a_large_answer_earns_a_reader_who_takes_nothing_no_more_time() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", content(16 << 20));
    let shield = Shield::with(&origin, |config| {
        config.limits.response_grace = SOON;
        config.memory_bytes = 256 << 20;
    });
    let mut client = shield.client();
    // From the store: the whole of it is to be written at once.
    for _ in 0..2 {
        client.send(get("/", ""));
        client.take(64).expect("the answer begins");
        until("the connection is given up", || shield.metric("seawall_connections_open") == 0);
        client = shield.client();
    }
}

#[test]
fn a_reader_who_takes_nothing_of_what_the_kernel_has_taken_is_closed() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", content(64 << 10));
    let shield = Shield::with(&origin, |config| {
        config.limits.response_grace = SOON;
        config.limits.idle_timeout = Duration::from_secs(600);
    });
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    // So that most of the answer stays on our side, where it looks as if it had been sent.
    socket.set_recv_buffer_size(2 << 10).expect("as the system allows");
    socket.connect(&shield.addresses()[0].into()).expect("connects");
    let mut client = Client::over(TcpStream::from(socket));
    client.send(get("/", ""));
    until("the answer is on its way", || origin.count() == 1);
    until("the connection is given up", || shield.metric("seawall_connections_open") == 0);
}

#[test]
fn a_connection_that_was_refused_last_is_not_kept_as_long_as_another() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", "hello");
    let shield = Shield::with(&origin, |config| {
        config.limits.header_timeout = SOON;
        config.limits.idle_timeout = Duration::from_secs(600);
        config.limits.held_rate = PerSecond(0.001);
        config.limits.held_burst = 2;
    });
    let mut served = shield.client_from(2);
    served.get("/", "").assert_status(200);
    let mut refused = shield.client_from(3);
    refused.get("/", "").assert_status(200);
    refused.get("/", "").assert_status(200);
    refused.get("/", "").assert_status(429);
    assert_eq!(refused.rest().0, b"", "it is closed");
    served.get("/", "").assert_status(200);
}

#[test]
fn a_slow_client_does_not_hold_up_others() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", "hello");
    let shield = Shield::with(&origin, |config| {
        config.workers = 1;
        config.limits.held_rate = PerSecond(1e6);
    });
    let mut slow: Vec<_> = (0..50).map(|_| shield.client()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: exa");
    }
    shield.client().get("/", "").assert_status(200).assert_body("hello");
    for client in &mut slow {
        client.send("mple.org\r\n\r\n");
        client.read("GET").assert_status(200).assert_body("hello");
    }
}

#[test]
fn a_nearly_full_pool_lets_the_slowest_go_and_serves_who_comes() {
    let origin = Origin::page("Cache-Control: max-age=60\r\n", "hello");
    let shield = Shield::with(&origin, |config| config.limits.max_connections = 20);
    let _slow: Vec<_> = (0..18)
        .map(|_| {
            let mut client = shield.client();
            client.send("GET / HTTP/1.1\r\nHost: exa");
            client
        })
        .collect();
    // First that any were let go: before the last has been accepted, few are open as well.
    let shed = || shield.metric("seawall_connections_shed_total{state=\"partial\"}");
    until("the slowest are let go", || shed() >= 4);
    until("seven tenths are left", || shield.metric("seawall_connections_open") <= 14);
    shield.client().get("/", "").assert_status(200).assert_body("hello");
}
