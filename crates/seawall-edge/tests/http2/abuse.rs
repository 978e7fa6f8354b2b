//! Ways to make a server work for nothing, and where they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use seawall_model::Limits;

use crate::client::{
    ACK, CONTINUATION, Client, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PRIORITY,
    RST_STREAM, frame, head, reset, settings, window_update,
};
use crate::site::{NO_TABLE, Shield, WINDOW};

const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

#[track_caller]
fn check_calmed(what: &str, flood: &[u8]) {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(flood);
    assert_eq!(client.goodbye(), Some(ENHANCE_YOUR_CALM), "{what}");
    assert_eq!(shield.client().get(1, "/page").status(), "200", "{what}: others are served");
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|at| at * 2 + 1)
}

/// All streams may wait for the origin at once.
fn roomy(limits: &mut Limits) {
    limits.http2.max_held_bytes = 1 << 20;
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head("GET", path, &[]))
}

#[test]
fn a_thousand_requests_each_reset_at_once() {
    let flood: Vec<u8> =
        streams(1_000).flat_map(|id| [get(id, "/page"), reset(id)].concat()).collect();
    check_calmed("CVE-2023-44487", &flood);
}

#[test]
fn resets_that_we_are_made_to_send() {
    let flood: Vec<u8> = streams(1_000)
        .flat_map(|id| frame(HEADERS, 5, id, &head("GET", "/page", &[("x-a", " malformed")])))
        .collect();
    check_calmed("CVE-2025-8671", &flood);
}

/// A request and its reset, this often.
fn pairs(count: u32, first: u32) -> Vec<u8> {
    (0..count)
        .map(|at| first + 2 * at)
        .flat_map(|id| [get(id, "/page"), reset(id)].concat())
        .collect()
}

/// What the server said goodbye with, once it has; the answer to its PING is left to the caller.
fn first_goodbye(client: &mut Client) -> (u32, Vec<u8>) {
    let goodbye = client.until(|frame| frame.kind == GOAWAY).expect("a goodbye");
    let ping = client.until(|frame| frame.kind == PING && frame.flags == 0).expect("a PING");
    (goodbye.code(), ping.payload)
}

#[test]
fn resets_of_a_long_life_end_it_after_what_is_under_way() {
    let shield = Shield::with(|limits| limits.http2.max_resets_in_all = 20);
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.send(&pairs(21, 3));
    let (code, ping) = first_goodbye(&mut client);
    assert_eq!(code, 0, "no error");
    client.send(&frame(PING, ACK, 0, &ping));
    let last = client.until(|frame| frame.kind == GOAWAY).expect("the second GOAWAY");
    assert_eq!((&last.payload[..4], last.code()), (&[0, 0, 0, 43][..], 0), "the last that counts");
    // RFC 9113 §6.8: what comes later is ignored; what came before is finished.
    client.ask(45, "GET", "/page", &[]);
    client.send(&frame(DATA, END_STREAM, 1, b"hello"));
    let mut answered = Vec::new();
    let end = client.until(|frame| {
        answered.extend((frame.kind == HEADERS).then_some(frame.stream));
        false
    });
    assert!(end.is_none() && answered == [1], "answered {answered:?}, then closed");
    assert_eq!(shield.misbehaviours("http2_resets"), 0, "a long life is no offence");
}

#[test]
fn a_flood_of_resets_after_the_goodbye_is_an_offence() {
    let shield = Shield::with(|limits| limits.http2.max_resets_in_all = 20);
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.send(&pairs(21, 3));
    // The PING is never answered, so the library goes on taking requests.
    assert_eq!(first_goodbye(&mut client).0, 0);
    client.send(&pairs(150, 45));
    assert_eq!(client.goodbye(), Some(ENHANCE_YOUR_CALM));
    // The library may close the socket before the worker has counted.
    let is_counted = (0..10_000).any(|_| {
        std::thread::park_timeout(Duration::from_millis(1));
        shield.misbehaviours("http2_resets") == 1
    });
    assert!(is_counted);
}

#[test]
fn a_long_life_in_which_many_streams_were_refused_ends_without_an_error() {
    let shield = Shield::with(|limits| limits.http2.max_provoked_resets_in_all = 10);
    let mut client = shield.client();
    let malformed = |id| frame(HEADERS, 5, id, &head("GET", "/page", &[("x-a", " malformed")]));
    client.send(&streams(11).flat_map(malformed).collect::<Vec<_>>());
    assert_eq!(first_goodbye(&mut client).0, 0);
    assert!(client.until(|_| false).is_none(), "nothing is under way, so it ends by itself");
    assert_eq!(shield.misbehaviours("http2_provoked_resets"), 0);
}

/// A request with content to come and as many small fields as a head may have.
fn bomb(stream: u32) -> Vec<u8> {
    let names: Vec<String> = (0..90).map(|at| format!("x-{at}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    frame(HEADERS, END_HEADERS, stream, &head("POST", "/form", &fields))
}

#[test]
fn heads_that_take_more_memory_than_a_connection_may() {
    // More than there may be streams: whoever goes on after so many refusals must have seen some.
    let flood: Vec<u8> = streams(160).flat_map(bomb).collect();
    check_calmed("CVE-2026-49975", &flood);
}

#[test]
fn a_reader_with_too_many_heads_at_once_is_asked_to_repeat_some_elsewhere() {
    let shield = Shield::start();
    let mut client = shield.client();
    client.send(&streams(22).flat_map(bomb).collect::<Vec<_>>());
    let refused = client.until(|frame| frame.kind == RST_STREAM).expect("a reset");
    assert_eq!(refused.code(), REFUSED_STREAM);
    client.send(&frame(DATA, END_STREAM, 1, b"hello"));
    let mut goodbye = None;
    let answered = client.until(|frame| {
        goodbye = goodbye.or((frame.kind == GOAWAY).then(|| frame.code()));
        frame.kind == HEADERS && frame.stream == 1
    });
    assert!(answered.is_some(), "what was under way is finished");
    assert_eq!(goodbye, Some(0), "no error, but no more on this connection");
}

/// The fields of a page's pictures as browsers ask for them, with a cookie of the usual size.
fn picture(stream: u32) -> Vec<u8> {
    let cookie = "session=0123456789abcdef; consent=yes; theme=dark; ".repeat(6);
    let path = format!("/pictures/{stream}.jpg");
    let agent =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0";
    let mut fields = vec![
        ("sec-ch-ua", "\"Chromium\";v=\"143\", \"Not A(Brand\";v=\"24\""),
        ("sec-ch-ua-mobile", "?0"),
        ("sec-ch-ua-platform", "\"Linux\""),
        ("user-agent", agent),
        ("accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "no-cors"),
        ("sec-fetch-dest", "image"),
        ("referer", "https://localhost/gallery/of/many/pictures.html"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "de-DE,de;q=0.9,en;q=0.8"),
        ("cookie", cookie.trim_end()),
        ("priority", "i"),
    ];
    fields.extend(["a", "b", "c", "d", "e", "f", "g"].map(|name| (name, "more of them")));
    // Content that is still to come stands for an origin that takes its time.
    frame(HEADERS, END_HEADERS, stream, &head("PUT", &path, &fields))
}

/// Asks for those of `wanted` that a connection takes, and lets them be answered once they all wait.
/// What was refused is to be repeated on another.
fn ask_for_pictures(shield: &Shield, wanted: u32) -> u32 {
    let mut client = shield.client();
    client.send(&streams(wanted).flat_map(picture).collect::<Vec<_>>());
    let mut refused = Vec::new();
    // The answer to a PING overtakes resets that were decided on in the same turn: hence two.
    for _ in 0..2 {
        client.send(&frame(PING, 0, 0, b"all-sent"));
        let all_seen = client.until(|frame| {
            if frame.kind == RST_STREAM {
                assert_eq!(frame.code(), REFUSED_STREAM, "it may be repeated");
                refused.push(frame.stream);
            }
            assert!(frame.kind != GOAWAY || frame.code() == 0, "at most a goodbye: {frame:?}");
            frame.kind == PING && frame.flags & ACK != 0
        });
        assert!(all_seen.is_some(), "the connection goes on");
    }
    let taken: Vec<u32> = streams(wanted).filter(|id| !refused.contains(id)).collect();
    client
        .send(&taken.iter().flat_map(|id| frame(DATA, END_STREAM, *id, b"x")).collect::<Vec<_>>());
    let mut answered = 0;
    while answered < taken.len() {
        let frame = client.frame().expect("what was taken is answered");
        assert_ne!(frame.kind, RST_STREAM, "what was taken is answered");
        answered += usize::from(frame.kind == HEADERS);
    }
    u32::try_from(taken.len()).expect("a few")
}

#[test]
fn a_page_with_as_many_slow_pictures_as_there_may_be_streams_is_loaded_without_a_loss() {
    let shield = Shield::start();
    let (mut left, mut connections) = (64, 0);
    while left > 0 {
        left -= ask_for_pictures(&shield, left);
        connections += 1;
        assert!(connections <= 4, "browsers repeat a request two or three times: {left} left");
    }
    assert_eq!(ask_for_pictures(&shield, 12), 12, "an ordinary page needs one connection");
}

#[test]
fn nobody_is_blamed_for_a_burst_of_as_many_slow_pictures_as_streams_were_configured() {
    let shield = Shield::with(|limits| limits.max_streams = 256);
    let mut client = shield.client();
    client.send(&streams(200).flat_map(picture).collect::<Vec<_>>());
    let mut refused = 0;
    while refused < 150 {
        let frame = client.frame().expect("the connection goes on");
        assert!(frame.kind != GOAWAY || frame.code() == 0, "after {refused}: {frame:?}");
        refused += usize::from(frame.kind == RST_STREAM && frame.code() == REFUSED_STREAM);
    }
    assert_eq!(shield.misbehaviours("http2_provoked_resets"), 0);
}

/// A request that waits, and whose values are small parts of what it came in.
#[test]
fn what_a_waiting_request_says_arrives_as_it_was_said() {
    let shield = Shield::start();
    let mut client = shield.client();
    let long = "v".repeat(3_000);
    let block = head("POST", "/form?a=1&b=%20", &[("x-a", "1"), ("x-b", &long), ("x-a", "2")]);
    client.send(&frame(HEADERS, END_HEADERS, 1, &block));
    client.send(&frame(DATA, END_STREAM, 1, b"hello"));
    assert_eq!(client.reply(1).status(), "200");
    let (line, fields, content) = shield.request();
    assert_eq!((line.as_str(), &content[..]), ("POST /form?a=1&b=%20 HTTP/1.1", &b"hello"[..]));
    let said = |name: &str| -> Vec<&str> {
        fields.iter().filter_map(|field| field.strip_prefix(name)).collect()
    };
    assert_eq!((said("x-a: "), said("x-b: ")), (vec!["1", "2"], vec![long.as_str()]));
    assert_eq!(said("host: "), ["localhost"]);
}

/// Whether one of four large heads that wait for their content is refused.
fn is_one_of_four_refused(shield: &Shield) -> bool {
    let mut client = shield.client();
    client.send(&[streams(4).flat_map(bomb).collect(), get(9, "/page")].concat());
    let mut refused = false;
    let answered = client.until(|frame| {
        refused |= frame.kind == RST_STREAM && frame.code() == REFUSED_STREAM;
        assert_ne!(frame.kind, GOAWAY, "the connection goes on");
        frame.kind == HEADERS && frame.stream == 9
    });
    assert!(answered.is_some(), "a page in hand is served");
    refused
}

#[test]
fn few_streams_wait_on_a_connection_while_memory_is_short() {
    let shield = Shield::start();
    assert_eq!(shield.client().get(1, "/page").status(), "200");
    assert!(!is_one_of_four_refused(&shield));
    shield.memory.store(62_000_000, Ordering::Relaxed);
    assert!((0..10_000).any(|_| is_one_of_four_refused(&shield)), "never refused");
}

#[test]
fn nobody_is_blamed_for_what_is_refused_because_memory_is_short() {
    let shield = Shield::with(|limits| limits.http2.max_provoked_resets = 10);
    assert_eq!(shield.client().get(1, "/page").status(), "200");
    shield.memory.store(62_000_000, Ordering::Relaxed);
    assert!((0..10_000).any(|_| is_one_of_four_refused(&shield)), "never refused");
    let mut client = shield.client();
    client.send(&streams(4).flat_map(bomb).collect::<Vec<_>>());
    let mut refused = 0;
    for id in streams(64).skip(4) {
        client.send(&get(id, "/wait"));
        let end = client.until(|f| matches!(f.kind, RST_STREAM | GOAWAY)).expect("says why");
        if end.kind == GOAWAY {
            assert_eq!(end.code(), 0, "after {refused}");
            break;
        }
        refused += 1;
    }
    assert!((8..=16).contains(&refused), "a goodbye, not for ever: {refused}");
    assert_eq!(shield.misbehaviours("http2_provoked_resets"), 0);
}

#[test]
fn a_block_that_never_ends() {
    let mut flood = frame(HEADERS, END_STREAM, 1, &head("GET", "/", &[]));
    for _ in 0..1_000 {
        flood.extend(frame(CONTINUATION, 0, 1, &[0, 1, b'a', 1, b'b']));
    }
    check_calmed("CVE-2024-27316", &flood);
}

#[test]
fn frames_that_only_make_work() {
    let begin = frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[]));
    let rows = [
        ("PING, CVE-2019-9512", Vec::new(), frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS, CVE-2019-9515", Vec::new(), settings(&[(3, 100)])),
        ("PRIORITY", Vec::new(), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("empty DATA, CVE-2019-9518", begin, frame(DATA, 0, 1, &[])),
        ("WINDOW_UPDATE", Vec::new(), window_update(0, 1)),
        ("answers to no PING", Vec::new(), frame(PING, ACK, 0, &[7; 8])),
        ("frames of an unknown type", Vec::new(), frame(0xfe, 0, 0, &[])),
    ];
    for (what, begin, one) in rows {
        check_calmed(what, &[begin, one.repeat(1_000)].concat());
    }
}

#[test]
fn a_head_over_32_kib_is_refused_and_the_connection_lives() {
    let shield = Shield::start();
    let mut client = shield.client();
    let long = "x".repeat(12_000);
    let block = head("GET", "/page", &[("x-a", &long), ("x-b", &long), ("x-c", &long)]);
    let (first, rest) = block.split_at(16_000);
    let (second, third) = rest.split_at(16_000);
    client.send(&frame(HEADERS, END_STREAM, 1, first));
    client.send(&frame(CONTINUATION, 0, 1, second));
    client.send(&frame(CONTINUATION, END_HEADERS, 1, third));
    let reply = client.reply(1);
    assert_eq!(reply.status(), "431");
    assert!(String::from_utf8_lossy(&reply.body).contains("SW-"), "a page says so: {reply:?}");
    client.round_trip();
    assert_eq!(client.get(3, "/page").status(), "200");
}

#[test]
fn the_stream_over_the_limit_is_refused_and_may_be_repeated() {
    let shield = Shield::with(roomy);
    let mut client = shield.client();
    for id in streams(65) {
        client.send(&get(id, &format!("/wait?{id}")));
    }
    let refused = client.until(|frame| frame.kind == RST_STREAM).expect("a reset");
    assert_eq!((refused.stream, refused.code()), (129, REFUSED_STREAM));
    client.send(&reset(1));
    assert_eq!(client.get(131, "/page").status(), "200");
}

/// Time-outs short enough to wait for; nothing in these tests is faster than they allow.
const SHORT: Duration = Duration::from_millis(1_500);

#[test]
fn pings_do_not_keep_an_idle_connection() {
    let shield = Shield::with(|limits| limits.idle_timeout = SHORT);
    let mut client = shield.client();
    client.get(1, "/page");
    // As many as the limit on such frames lets pass, one for each answer: the end must come from
    // the time-out.
    let mut answered = 0;
    let code = loop {
        client.send(&frame(PING, 0, 0, &[7; 8]));
        let end = client.until(|f| matches!(f.kind, PING | GOAWAY));
        match end {
            Some(end) if end.kind == PING => answered += 1,
            Some(end) => break end.code(),
            None => panic!("closed without a word after {answered} pings"),
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    assert_eq!(code, 0, "after {answered} pings");
}

#[test]
fn a_reader_who_takes_nothing_is_let_go() {
    let shield = Shield::with(|limits| limits.idle_timeout = SHORT);
    shield.client().get(1, "/large");
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 0)]);
    client.ask(1, "GET", "/large", &[]);
    assert_eq!(client.goodbye(), Some(0), "the page waits for a window that never opens");
}

#[test]
fn a_reader_who_does_not_even_read_the_socket_is_let_go() {
    let shield = Shield::with(|limits| {
        roomy(limits);
        limits.idle_timeout = SHORT;
    });
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, i32::MAX as u32)]);
    client.send(&window_update(0, 1 << 30));
    for id in streams(60) {
        client.ask(id, "GET", "/big", &[]);
    }
    for _ in 0..60 {
        shield.request();
    }
    // The server has 300 MiB to send and drops the connection; only then is it read here.
    let closed = (0..100).any(|_| {
        std::thread::park_timeout(Duration::from_millis(50));
        shield.server.as_ref().is_some_and(|_| shield.client().get(1, "/page").status() == "200")
            && !client.is_open()
    });
    assert!(closed, "the connection ends although nobody reads it");
}

#[test]
fn a_stream_that_takes_a_byte_at_a_time_ends_and_others_do_not() {
    let shield = Shield::with(|limits| {
        limits.response_grace = Duration::from_secs(1);
        limits.min_body_bytes_per_second = 1 << 20;
    });
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 1)]);
    client.ask(1, "GET", "/big", &[]);
    let end = loop {
        let frame = client.frame().expect("the connection lives");
        match frame.kind {
            DATA => client.open_windows(1, 1),
            RST_STREAM => break frame,
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(5));
    };
    assert_eq!((end.stream, end.code()), (1, 8), "CANCEL");
    client.round_trip();
}

#[test]
fn content_that_does_not_come_is_not_waited_for() {
    let shield = Shield::with(|limits| limits.body_grace = Duration::from_millis(300));
    let mut client = shield.client();
    client.send(&frame(HEADERS, END_HEADERS, 1, &head("POST", "/form", &[])));
    client.send(&frame(DATA, 0, 1, b"a"));
    assert_eq!(client.reply(1).status(), "408");
    client.round_trip();
}
