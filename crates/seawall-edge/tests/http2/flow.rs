//! Flow control in both directions (RFC 9113 §5.2).

use crate::client::{
    ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    frame, head, settings, window_update,
};
use crate::site::{BIG, NO_TABLE, Shield, WINDOW, content};

const UPLOAD: usize = 3 << 20;

/// Uploads in frames of `piece` bytes with `padding`, sending only what the windows allow.
fn check_upload(piece: usize, padding: u8) {
    let shield = Shield::start();
    let mut client = shield.silent();
    client.send(&[crate::client::PREFACE, &settings(&[NO_TABLE])].concat());
    let theirs = client.until(|frame| frame.kind == SETTINGS).expect("settings");
    client.send(&frame(SETTINGS, ACK, 0, &[]));
    let initial = theirs.payload.chunks(6).find(|entry| entry[1] == 4).expect("a window");
    let initial = u32::from_be_bytes(initial[2..].try_into().expect("four bytes"));
    let (mut connection, mut stream) = (65_535_i64, i64::from(initial));
    let length = UPLOAD.to_string();
    let block = head("POST", "/upload", &[("content-length", &length)]);
    client.send(&frame(HEADERS, END_HEADERS, 1, &block));
    let whole = content(UPLOAD);
    let mut rest = &whole[..];
    while !rest.is_empty() {
        let len = piece.min(rest.len());
        let (now, later) = rest.split_at(len);
        let payload = match padding {
            0 => now.to_vec(),
            n => [&[n], now, &vec![0; n.into()]].concat(),
        };
        while connection < payload.len() as i64 || stream < payload.len() as i64 {
            let update = client.until(|frame| frame.kind == WINDOW_UPDATE).expect("more window");
            let bytes = u32::from_be_bytes(update.payload[..].try_into().expect("four bytes"));
            *(if update.stream == 0 { &mut connection } else { &mut stream }) += i64::from(bytes);
        }
        connection -= payload.len() as i64;
        stream -= payload.len() as i64;
        rest = later;
        let flags = if padding > 0 { PADDED } else { 0 };
        let end = if rest.is_empty() { END_STREAM } else { 0 };
        client.send(&frame(DATA, flags | end, 1, &payload));
    }
    assert_eq!(client.reply(1).status(), "200");
    let (line, _, received) = shield.request();
    assert_eq!(line, "POST /upload HTTP/1.1");
    assert!(received == whole, "the upload arrives byte by byte");
}

#[test]
fn an_upload_of_3_mib_arrives_unchanged() {
    check_upload(16_384, 0);
}

#[test]
fn padding_is_given_back_to_the_windows() {
    check_upload(4_000, 255);
}

#[test]
fn a_download_of_5_mib_keeps_to_small_windows() {
    let shield = Shield::start();
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 1_000)]);
    client.ask(1, "GET", "/big", &[]);
    let mut body = Vec::with_capacity(BIG);
    let (mut connection, mut stream) = (65_535_usize, 1_000_usize);
    loop {
        let frame = client.frame().expect("goes on");
        if frame.kind != DATA {
            assert_ne!(frame.kind, RST_STREAM);
            continue;
        }
        let len = frame.payload.len();
        assert!(len <= stream && len <= connection, "{len} bytes in windows {stream}/{connection}");
        (connection, stream) = (connection - len, stream - len);
        body.extend_from_slice(&frame.payload);
        if frame.ends_stream() {
            break;
        }
        if stream == 0 {
            client.send(&window_update(1, 30_000));
            stream = 30_000;
        }
        if connection < 30_000 {
            client.send(&window_update(0, 60_000));
            connection += 60_000;
        }
    }
    assert!(body == content(BIG), "the download arrives byte by byte");
}

#[test]
fn a_held_page_waits_for_the_window_and_others_pass_it() {
    let shield = Shield::start();
    shield.client().get(1, "/large");
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 0)]);
    client.ask(1, "GET", "/large", &[]);
    client.until(|frame| frame.kind == HEADERS).expect("a head needs no window");
    client.round_trip();
    client.ask(3, "GET", "/page", &[]);
    client.send(&window_update(3, 100));
    assert_eq!(client.reply(3).body, b"hello");
    client.open_windows(1, 300_000);
    let mut body = Vec::new();
    while let Some(frame) = client.frame() {
        if frame.kind == DATA && frame.stream == 1 {
            body.extend_from_slice(&frame.payload);
            if frame.ends_stream() {
                break;
            }
        }
    }
    assert!(body == content(200_000));
}

#[test]
fn a_smaller_window_for_open_streams_is_obeyed() {
    let shield = Shield::start();
    let mut client = shield.client_with(&[NO_TABLE, (WINDOW, 5_000)]);
    client.ask(1, "GET", "/big", &[]);
    let mut received = 0;
    while received < 5_000 {
        let data = client.until(|frame| frame.kind == DATA).expect("data");
        received += data.payload.len();
    }
    // RFC 9113 §6.9.2: the window becomes negative, by 4,000.
    client.send(&settings(&[(WINDOW, 1_000)]));
    client.round_trip();
    client.send(&window_update(1, 4_001));
    let data = client.until(|frame| frame.kind == DATA).expect("data");
    assert_eq!(data.payload.len(), 1);
}
