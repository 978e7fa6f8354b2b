//! Attacks on the handshake, before any cryptography.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Arena, Felt, PATIENCE};

const CONNECTIONS: usize = 50;
const DRIP: Duration = Duration::from_millis(200);
/// The begin of a ClientHello of 8 KiB in one record (RFC 8446 §4.1.2, §5.1).
const HELLO: &[u8] = &[22, 3, 1, 0x20, 0, 1, 0, 0x1f, 0xfc, 3, 3];

/// The beginning of a ClientHello, then a byte now and then.
pub(super) async fn slow_hello(arena: &Arena<'_>) -> Felt {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        wires.extend(arena.raw_tls().await);
    }
    for wire in &mut wires {
        wire.send(HELLO).await;
    }
    let end = Instant::now() + PATIENCE;
    while arena.probe.open_connections() > 0 && Instant::now() < end {
        for wire in &mut wires {
            wire.send(&[0]).await;
        }
        sleep(DRIP).await;
    }
    arena.conclude(wires, 0).await
}

/// A ClientHello in records of one byte each: six bytes for one.
pub(super) async fn fragmented_hello(arena: &Arena<'_>) -> Felt {
    let hello = [&[1, 0, 0xff, 0xfc, 3, 3], &[0; 8_000][..]].concat();
    let crumbs: Vec<u8> = hello.iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect();
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        let Some(mut wire) = arena.raw_tls().await else { continue };
        wire.send(&crumbs).await;
        wires.push(wire);
    }
    arena.conclude(wires, 0).await
}
