//! Repeats one parser, for `cargo xtask bench --instructions` to count its instructions.
//!
//! `count_wire CASE TIMES`, where CASE is `head` or `hello`.

use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use seawall_wire::client_hello;
use seawall_wire::http1::{HeadLimits, Parse, RequestHead, parse_request};

/// As a browser sends it: 665 bytes, 15 fields.
const HEAD: &[u8] = b"GET /2024/05/a-day-at-the-harbour/?utm_source=feed HTTP/1.1\r\n\
Host: www.example.org\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.org/\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9\r\n\
\r\n";

fn main() {
    let case = env::args().nth(1).unwrap_or_default();
    let times = env::args().nth(2).and_then(|times| times.parse::<u32>().ok()).unwrap_or(1);
    match case.as_str() {
        "head" => {
            let limits =
                HeadLimits { max_head_bytes: 32768, max_fields: 100, max_target_bytes: 8192 };
            let mut head = RequestHead::new();
            for _ in 0..times {
                let parsed = parse_request(black_box(HEAD), &limits, &mut head);
                assert_eq!(black_box(parsed), Ok(Parse::Complete));
            }
        }
        "hello" => {
            let path =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/client_hello/chromium.bin");
            let hello = fs::read(path).expect("the capture is readable");
            for _ in 0..times {
                black_box(client_hello::parse(black_box(&hello), 16 * 1024)).expect("accepted");
            }
        }
        other => panic!("there is no case `{other}`"),
    }
}
