//! Prints streams of HTTP/1 requests and how our framer reads them, one JSON object a line.
//!
//! `cargo run -p seawall-wire --example http1_streams -- SEED COUNT`. A program of its own so that
//! `cargo xtask differential`, which judges from outside, need not link what it judges. Bytes are
//! written as the characters U+0000 to U+00FF.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::env;

use serde_json::{Value, json};

#[path = "../tests/http1_streams/mod.rs"]
#[allow(unreachable_pub, reason = "public to this example and to the tests")]
mod http1_streams;

use http1_streams::{End, Reading, reading, streams};

fn main() {
    let mut arguments = env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let seed = arguments.next().unwrap_or(1);
    let count = arguments.next().unwrap_or(3000);
    for stream in streams(seed, usize::try_from(count).unwrap_or(3000)) {
        println!("{}", line(&stream, &reading(&stream)));
    }
}

fn line(stream: &[u8], reading: &Reading) -> Value {
    let requests: Vec<Value> = reading
        .requests
        .iter()
        .zip(&reading.spellings)
        .map(|(request, spelling)| {
            json!({
                "method": text(&request.method), "target": text(&request.target),
                "host": request.host, "body": text(&request.body),
                "head": text(&spelling.head), "tail": text(&spelling.tail),
            })
        })
        .collect();
    let end = match reading.end {
        End::Whole => "whole",
        End::Closed => "closed",
        End::Partial => "partial",
        End::Refused => "refused",
    };
    json!({ "stream": text(stream), "requests": requests, "end": end })
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}
