//! HTTP/2 frames: prefaces of real clients, counts, and what exceeds a limit or breaks the layout.

use std::fs;
use std::path::Path;

use proptest::prelude::{any, prop, proptest};
use seawall_model::Misbehaviour::{
    self, Http2Continuation, Http2EmptyData, Http2Frame, Http2OtherFrames, Http2Pings,
    Http2Priorities, Http2ProvokedResets, Http2Resets, Http2Settings, Http2WindowUpdates,
};
use seawall_model::{Http2Limits, Instant};
use seawall_wire::http2::FrameObserver;

const MAGIC: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LIMITS: Http2Limits = Http2Limits {
    max_resets: 5,
    max_resets_in_all: 100,
    max_provoked_resets: 5,
    max_provoked_resets_in_all: 50,
    max_continuations: 3,
    max_header_block_bytes: 1000,
    max_settings: 10,
    max_pings: 10,
    max_priorities: 10,
    max_empty_data: 10,
    max_window_updates: 10,
    max_other_frames: 10,
    max_frame_bytes: 16_384,
    max_held_bytes: 0,
    stream_bytes: 0,
};

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("short payload").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection start with an empty SETTINGS, then these frames.
fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [MAGIC, &frame(SETTINGS, 0, 0, &[]), &frames.concat()].concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, 5, stream, &[0x82, 0x87, 0x84, 0x41, 1, b'a'])
}

fn observe(bytes: &[u8]) -> FrameObserver {
    let mut observer = FrameObserver::new(LIMITS);
    observer.received(bytes);
    observer
}

fn preface_text(observer: &FrameObserver) -> Option<String> {
    observer.preface().map(ToString::to_string)
}

#[track_caller]
fn check(bytes: &[u8], want: Option<Misbehaviour>) {
    assert_eq!(observe(bytes).misbehaviour(), want, "{}", bytes.escape_ascii());
    let mut dripped = FrameObserver::new(LIMITS);
    bytes.iter().for_each(|&byte| dripped.received(&[byte]));
    assert_eq!(dripped.misbehaviour(), want, "byte by byte: {}", bytes.escape_ascii());
    assert_eq!(preface_text(&dripped), preface_text(&observe(bytes)));
}

#[test]
fn prefaces_of_real_clients_are_told_apart() {
    let cases = [
        ("chromium", "1:65536;2:0;4:6291456;6:262144|15663105|masp"),
        ("curl", "3:100;4:33554432;2:0|33488897|mpsa"),
        ("nghttp", "3:100;4:65535|0|mpsa"),
    ];
    let mut hashes = Vec::new();
    for (name, want) in cases {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/http2_preface");
        let bytes = fs::read(path.join(name).with_extension("bin")).expect("a capture");
        check(&bytes, None);
        let observer = observe(&bytes);
        assert_eq!(preface_text(&observer).as_deref(), Some(want), "{name}");
        assert_eq!(observer.streams_opened(), 1, "{name}");
        let hash = observer.preface().expect("a preface").hash();
        assert!(!hashes.contains(&hash), "{name}");
        hashes.push(hash);
    }
}

#[test]
fn a_preface_is_known_when_the_first_header_block_ends() {
    let block = [0x82, 0x41, 1, b'a', 0x87, 0x84, 0x40, 1, b'x', 1, b'y'];
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0x99, 0x99, 255, 255, 255, 255]);
    let update = frame(WINDOW_UPDATE, 0, 0, &[0x80, 0, 1, 0]);
    let other_updates =
        [frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]), frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 9])]
            .concat();
    let padded = [&[3, 0, 0, 0, 0, 16][..], &block, &[0, 0, 0]].concat();
    let ways = [
        frame(HEADERS, 4, 1, &block),
        frame(HEADERS, 0x2c, 1, &padded),
        [frame(HEADERS, 0, 1, &block[..2]), frame(CONTINUATION, 4, 1, &block[2..])].concat(),
        [
            frame(HEADERS, 0x28, 1, &[&padded[..9], &[0, 0, 0]].concat()),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, 4, 1, &block[3..]),
        ]
        .concat(),
    ];
    for way in ways {
        let start = [MAGIC, &settings, &update, &other_updates].concat();
        let bytes = [&start[..], &way].concat();
        check(&bytes, None);
        let want = Some("3:100;39321:4294967295|256|masp".to_string());
        assert_eq!(preface_text(&observe(&bytes)), want, "{}", way.escape_ascii());
        assert_eq!(preface_text(&observe(&bytes[..bytes.len() - 1])), None);
        let later = [&bytes[..], &frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]), &get(3)].concat();
        assert_eq!(preface_text(&observe(&later)), want, "only the first request counts");
    }
}

#[test]
fn frames_are_counted_by_kind_and_direction() {
    let mut observer = observe(&connection(&[
        get(1),
        frame(HEADERS, 1, 3, &[0x82]),
        frame(CONTINUATION, 4, 3, &[0x84, 0x86]),
        frame(DATA, 0, 1, &[7; 300]),
        frame(DATA, 0, 1, &[]),
        frame(DATA, 1, 1, &[]),
        frame(PRIORITY, 0, 1, &[0; 5]),
        frame(RST_STREAM, 0, 1, &[0; 4]),
        frame(SETTINGS, 1, 0, &[]),
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, 1, 0, &[0; 8]),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        frame(GOAWAY, 0, 0, &[0; 9]),
        frame(0xfe, 0xff, 9, b"grease"),
    ]));
    let counts = observer.received_counts();
    assert_eq!((counts.headers, counts.continuations, counts.header_bytes), (2, 1, 9));
    assert_eq!((counts.data, counts.empty_data, counts.data_bytes), (3, 1, 300));
    assert_eq!((counts.priorities, counts.resets, counts.settings), (1, 1, 1));
    assert_eq!((counts.pings, counts.window_updates, counts.goaways), (1, 1, 1));
    assert_eq!((counts.other, counts.push_promises), (1, 0));
    assert_eq!((observer.streams_opened(), observer.misbehaviour()), (2, None));

    let answer = [frame(HEADERS, 4, 1, &[0x88]), frame(DATA, 1, 1, &[1; 50])].concat();
    answer.chunks(7).for_each(|piece| observer.sent(piece));
    observer.sent(&frame(RST_STREAM, 0, 3, &[0; 4]));
    let sent = observer.sent_counts();
    assert_eq!((sent.headers, sent.data, sent.data_bytes, sent.resets), (1, 1, 50, 1));
    assert_eq!(observer.received_counts().resets, 1);
}

#[test]
fn connection_errors_of_layout_are_noted() {
    let first = |bytes: &[u8]| [MAGIC, bytes].concat();
    let cases = [
        b"GET / HTTP/1.1\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r".to_vec(),
        first(&get(1)),
        first(&frame(SETTINGS, 1, 0, &[])),
        first(&frame(SETTINGS, 0, 1, &[])),
        first(&frame(SETTINGS, 0, 0, &[0; 5])),
        connection(&[frame(SETTINGS, 1, 0, &[0; 6])]),
        connection(&[frame(DATA, 0, 0, &[])]),
        connection(&[frame(HEADERS, 4, 0, &[0x82])]),
        connection(&[frame(HEADERS, 4, 2, &[0x82])]),
        connection(&[frame(PRIORITY, 0, 0, &[0; 5])]),
        connection(&[frame(RST_STREAM, 0, 0, &[0; 4])]),
        connection(&[frame(RST_STREAM, 0, 1, &[0; 5])]),
        connection(&[frame(PUSH_PROMISE, 4, 1, &[0; 4])]),
        connection(&[frame(PING, 0, 1, &[0; 8])]),
        connection(&[frame(PING, 0, 0, &[0; 7])]),
        connection(&[frame(GOAWAY, 0, 1, &[0; 8])]),
        connection(&[frame(GOAWAY, 0, 0, &[0; 7])]),
        connection(&[frame(WINDOW_UPDATE, 0, 0, &[0; 3])]),
        connection(&[frame(CONTINUATION, 4, 1, &[0x82])]),
        connection(&[get(1), frame(CONTINUATION, 4, 1, &[0x82])]),
        connection(&[frame(HEADERS, 0, 1, &[0x82]), get(3)]),
        connection(&[frame(HEADERS, 0, 1, &[0x82]), frame(CONTINUATION, 4, 3, &[0x84])]),
        connection(&[frame(HEADERS, 0, 1, &[0x82]), frame(PING, 0, 0, &[0; 8])]),
        connection(&[frame(HEADERS, 0, 1, &[0x82]), frame(0xfe, 0, 0, &[])]),
        connection(&[frame(DATA, 0, 1, &[0; 16_385])]),
    ];
    for bytes in cases {
        check(&bytes, Some(Http2Frame));
    }
    // The reserved bit is ignored; unknown frames and flags are too.
    let reserved = frame(DATA, 0xff, 0x8000_0001, &[]);
    check(&connection(&[get(1), reserved, frame(0xfe, 0xff, 0, &[])]), None);
}

#[test]
fn resets_are_bounded_beyond_half_of_the_streams() {
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &[0; 4]);
    let pairs = |count: u32| -> Vec<u8> {
        connection(&(0..count).flat_map(|n| [get(2 * n + 1), reset(2 * n + 1)]).collect::<Vec<_>>())
    };
    check(&pairs(10), None);
    check(&pairs(12), Some(Http2Resets));
    // One that stays within half of its streams has as many again, and no more.
    let half = |count: u32| -> Vec<u8> {
        let frames = (0..count).flat_map(|n| {
            let (first, second) = (4 * n + 1, 4 * n + 3);
            [get(first), get(second), reset(first)]
        });
        connection(&frames.collect::<Vec<_>>())
    };
    check(&half(10), None);
    check(&half(11), Some(Http2Resets));

    let mut observer = observe(&connection(&[get(1), get(3)]));
    (0..6).for_each(|_| observer.sent(&reset(1)));
    assert_eq!(observer.misbehaviour(), None);
    observer.sent(&reset(1));
    assert_eq!(observer.misbehaviour(), Some(Http2ProvokedResets));
}

#[test]
fn resets_that_are_our_own_doing_are_not_the_clients_but_have_an_end() {
    let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
    let mut observer = observe(&connection(&[get(1), get(3)]));
    // Five are excused, and six are what two streams may provoke.
    for sent in 1..=11 {
        observer.excuse_reset();
        observer.sent(&reset);
        assert_eq!(observer.misbehaviour(), None, "{sent}");
        assert_eq!(observer.is_worn_out(), sent >= 5, "{sent}");
    }
    observer.excuse_reset();
    observer.sent(&reset);
    assert_eq!(observer.misbehaviour(), Some(Http2ProvokedResets));
}

#[test]
fn refusals_for_want_of_room_are_never_the_clients() {
    let reset = frame(RST_STREAM, 0, 1, &[0; 4]);
    let mut observer = observe(&connection(&[get(1), get(3)]));
    for _ in 0..200 {
        observer.excuse_refusal();
        observer.sent(&reset);
    }
    assert_eq!((observer.misbehaviour(), observer.is_worn_out()), (None, false));
    // The others are counted as ever: seven are more than two streams may provoke.
    (0..7).for_each(|_| observer.sent(&reset));
    assert_eq!(observer.misbehaviour(), Some(Http2ProvokedResets));
}

#[test]
fn counts_begin_anew_with_each_window_and_the_lifetime_bounds_stay() {
    // Five resets a window; 100 in a life, and two windows' worth (10) from goodbye to offence.
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &[0; 4]);
    let mut observer = observe(&connection(&[get(1)]));
    observer.tick(at(100));
    for window in 0..20 {
        observer.tick(at(100 + 10 * window));
        observer.received(&[reset(1).repeat(5), frame(PING, 0, 0, &[0; 8]).repeat(10)].concat());
        assert_eq!(observer.misbehaviour(), None, "window {window}");
    }
    assert!(!observer.is_worn_out());
    for (window, left) in [(20, 5), (21, 5), (22, 0)] {
        observer.tick(at(100 + 10 * window));
        observer.received(&reset(1).repeat(left));
        assert_eq!(observer.misbehaviour(), None, "window {window}");
        assert!(observer.is_worn_out(), "100 in all");
    }
    observer.received(&reset(1));
    assert_eq!(observer.misbehaviour(), Some(Http2Resets), "110 in all");

    let mut observer = observe(&connection(&[get(1)]));
    for window in 0..10 {
        observer.tick(at(10 * window));
        observer.sent(&reset(1).repeat(5));
        assert_eq!(observer.misbehaviour(), None, "window {window}");
    }
    assert!(!observer.is_worn_out());
    for (window, left) in [(10, 5), (11, 5), (12, 0)] {
        observer.tick(at(10 * window));
        observer.sent(&reset(1).repeat(left));
        assert_eq!(observer.misbehaviour(), None, "window {window}");
        assert!(observer.is_worn_out(), "50 in all");
    }
    observer.sent(&reset(1));
    assert_eq!(observer.misbehaviour(), Some(Http2ProvokedResets), "60 in all");

    let mut observer = observe(&connection(&[get(1)]));
    observer.tick(at(0));
    observer.received(&frame(PING, 0, 0, &[0; 8]).repeat(8));
    observer.tick(at(9));
    observer.received(&frame(PING, 0, 0, &[0; 8]).repeat(3));
    assert_eq!(observer.misbehaviour(), Some(Http2Pings), "the window is not over");
}

#[test]
fn header_blocks_are_bounded_in_frames_and_bytes() {
    let start = frame(HEADERS, 0, 1, &[0x82]);
    let more = frame(CONTINUATION, 0, 1, &[]);
    let block = |count: usize| connection(&[start.clone(), more.repeat(count)]);
    check(&block(3), None);
    check(&block(4), Some(Http2Continuation));
    check(&connection(&[frame(HEADERS, 4, 1, &[0x82; 1001])]), Some(Http2Continuation));
    let halves = [frame(HEADERS, 0, 1, &[0x82; 600]), frame(CONTINUATION, 4, 1, &[0x82; 600])];
    check(&connection(&halves), Some(Http2Continuation));
}

#[test]
fn control_frames_are_bounded_beyond_honest_use() {
    let flood = |kind, flags, payload: &[u8], stream, count| {
        connection(&[get(1), frame(kind, flags, stream, payload).repeat(count)])
    };
    // One SETTINGS frame began the connection; one stream allows four of some kinds more. Answers to
    // what we never asked count like questions.
    let rows = [
        (SETTINGS, 0, &[][..], 0, 9, Http2Settings),
        (SETTINGS, 1, &[], 0, 9, Http2Settings),
        (PING, 0, &[0; 8], 0, 10, Http2Pings),
        (PING, 1, &[0; 8], 0, 10, Http2Pings),
        (PRIORITY, 0, &[0; 5], 1, 14, Http2Priorities),
        (DATA, 0, &[], 1, 10, Http2EmptyData),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1], 0, 14, Http2WindowUpdates),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1], 1, 14, Http2WindowUpdates),
        (GOAWAY, 0, &[0; 8], 0, 14, Http2OtherFrames),
        (0xfe, 0, &[], 0, 14, Http2OtherFrames),
    ];
    for (kind, flags, payload, stream, most, want) in rows {
        check(&flood(kind, flags, payload, stream, most), None);
        check(&flood(kind, flags, payload, stream, most + 1), Some(want));
    }
    let mut observer = observe(&connection(&[get(1)]));
    for _ in 0..900 {
        observer.sent(&frame(DATA, 0, 1, &[0; 100]));
        observer.received(&frame(PING, 0, 0, &[0; 8]));
        observer.received(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).repeat(2));
    }
    assert_eq!(observer.misbehaviour(), None, "probing a long download is honest");
    for _ in 0..100 {
        observer.sent(&frame(DATA, 0, 1, &[0; 100]));
        observer.received(&frame(PING, 0, 0, &[0; 8]));
    }
    assert_eq!(observer.misbehaviour(), Some(Http2Pings), "ninety a second are enough");
}

#[test]
fn what_is_kept_is_bounded_and_the_order_survives() {
    let limits = Http2Limits { max_header_block_bytes: u32::MAX, max_continuations: 100, ..LIMITS };
    let mut observer = FrameObserver::new(limits);
    let block = [&[0x82, 0x84, 0x87, 0x41, 1, b'a'][..], &[0x90; 16_000]].concat();
    observer.received(&connection(&[frame(HEADERS, 0, 1, &block)]));
    for _ in 0..50 {
        observer.received(&frame(CONTINUATION, 0, 1, &[0x90; 16_000]));
    }
    observer.received(&frame(CONTINUATION, 4, 1, &[]));
    assert_eq!(preface_text(&observer).as_deref(), Some("|0|mpsa"));
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_give_the_same_picture(
        frames in prop::collection::vec(
            (0u8..11, any::<u8>(), 0u32..6, prop::collection::vec(any::<u8>(), 0..40)), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..30),
        size in 1usize..50,
    ) {
        let frames = frames.iter().map(|(k, f, s, p)| frame(*k, *f, *s, p)).collect::<Vec<_>>();
        let bytes = [connection(&frames), noise].concat();
        let whole = observe(&bytes);
        let mut pieces = FrameObserver::new(LIMITS);
        bytes.chunks(size).for_each(|piece| pieces.received(piece));
        assert_eq!(pieces.misbehaviour(), whole.misbehaviour());
        assert_eq!(pieces.received_counts(), whole.received_counts());
        assert_eq!(preface_text(&pieces), preface_text(&whole));
    }

    #[test]
    fn noise_is_survived_in_both_directions(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut observer = observe(&bytes);
        observer.sent(&bytes);
        let mut observer = observe(&connection(&[]));
        observer.received(&bytes);
    }
}
