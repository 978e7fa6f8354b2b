//! Pages in hand are answered, however many at once, from wherever they are held.

use std::sync::atomic::Ordering;

use crate::client::{
    Client, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, frame, head, settings,
};
use crate::site::{Event, NO_TABLE, Shield, WINDOW};

/// So fast that nothing waits for the link, and everything goes through the pacer.
const EGRESS: u64 = 1_000_000_000;
/// As many as there may be streams.
const IMAGES: u32 = 64;

/// A request for a held image with the usual fields of a browser.
fn image(stream: u32, path: &str) -> Vec<u8> {
    let mut fields = vec![("accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*")];
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(|name| format!("x-{name}"));
    fields.extend(names.iter().map(|name| (name.as_str(), "what browsers say beside")));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &fields))
}

/// Answers with 200 among the first that come; a refusal or a goodbye fails.
fn answered(client: &mut Client, wanted: u32) -> u32 {
    let mut answered = 0;
    while answered < wanted {
        let frame = client.frame().expect("the connection goes on");
        assert_ne!(frame.kind, RST_STREAM, "after {answered}: {frame:?}");
        assert_ne!(frame.kind, GOAWAY, "after {answered}: {frame:?}");
        answered += u32::from(frame.kind == HEADERS);
    }
    answered
}

fn burst(first: u32, count: u32, path: impl Fn(u32) -> String) -> Vec<u8> {
    (0..count).flat_map(|at| image(first + 2 * at, &path(at))).collect()
}

#[test]
fn a_page_of_held_images_is_one_burst_on_a_paced_link() {
    let shield = Shield::with(|limits| limits.egress_bytes_per_second = Some(EGRESS));
    let mut client = shield.client();
    assert_eq!(client.get(1, "/page").status(), "200");
    client.send(&burst(3, IMAGES, |_| "/page".to_owned()));
    assert_eq!(answered(&mut client, IMAGES), IMAGES);
    client.round_trip();
}

#[test]
fn held_images_are_taken_piece_by_piece_however_many_are_asked_for() {
    let shield = Shield::with(|limits| limits.egress_bytes_per_second = Some(EGRESS));
    assert_eq!(shield.client().get(1, "/page").status(), "200");
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 0)]);
    client.send(&burst(1, IMAGES, |_| "/page".to_owned()));
    assert_eq!(answered(&mut client, IMAGES), IMAGES);
    client.send(&settings(&[(WINDOW, 65_535)]));
    let (mut ended, mut bytes) = (0, 0);
    while ended < IMAGES {
        let frame = client.frame().expect("the connection goes on");
        assert!(!matches!(frame.kind, RST_STREAM | GOAWAY), "after {ended}: {frame:?}");
        bytes += if frame.kind == 0 { frame.payload.len() } else { 0 };
        ended += u32::from(frame.ends_stream());
    }
    assert_eq!(bytes, IMAGES as usize * b"hello".len());
}

#[test]
fn held_images_are_given_while_memory_is_short() {
    let shield = Shield::with(|limits| limits.egress_bytes_per_second = Some(EGRESS));
    let mut client = shield.client();
    assert_eq!(client.get(1, "/page").status(), "200");
    // One that waits takes the connection's share of what is left.
    client.send(&image(3, "/wait?1"));
    client.send(&image(5, "/wait?2"));
    for _ in 0..3 {
        shield.event();
    }
    shield.memory.store(62_000_000, Ordering::Relaxed);
    let is_short = (0..10_000).any(|_| shield.metric("seawall_memory_pressure") >= 2);
    assert!(is_short, "the step is in force");
    client.send(&burst(7, IMAGES - 2, |_| "/page".to_owned()));
    assert_eq!(answered(&mut client, IMAGES - 2), IMAGES - 2);
}

#[test]
fn a_page_of_images_on_disk_is_one_burst_after_a_restart() {
    let mut shield = Shield::start();
    let mut client = shield.client();
    let path = |at: u32| format!("/held/{at}");
    for at in 0..IMAGES {
        assert_eq!(client.get(1 + 2 * at, &path(at)).status(), "200");
    }
    drop(client);
    shield.restart();
    let before = std::iter::from_fn(|| shield.origin.try_recv().ok()).count();
    assert_eq!(before, IMAGES as usize, "each was fetched once");
    let mut client = shield.client();
    client.send(&burst(1, IMAGES, path));
    assert_eq!(answered(&mut client, IMAGES), IMAGES);
    client.round_trip();
    let asked: Vec<Event> = std::iter::from_fn(|| shield.origin.try_recv().ok()).collect();
    assert_eq!(asked, [], "none had to be fetched");
}
