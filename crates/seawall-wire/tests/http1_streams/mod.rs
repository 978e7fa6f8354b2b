//! Streams of HTTP/1 requests that parsers are known to read differently, and how ours reads them.
//!
//! Separate because two programs use them: the test that holds the framer against hyper, and the
//! example whose output `cargo xtask differential` sends through nginx, HAProxy and Seawall. It
//! deliberately knows no expected verdicts: each of its users compares two readings.

use std::fs;
use std::ops::Range;
use std::path::Path;

use seawall_model::Method;
use seawall_wire::http1::{
    BodyDecoder, BodyStep, HeadLimits, Parse, RequestHead, RequestView, parse_request,
};

/// What a server understood of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// Lower case, without port.
    pub host: String,
    pub body: Vec<u8>,
}

/// Why a reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All bytes are read.
    Whole,
    /// A request asked for the connection to be closed.
    Closed,
    /// More bytes would be needed.
    Partial,
    /// The rest was refused.
    Refused,
}

/// How a stream is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub requests: Vec<Request>,
    /// How each of them is written.
    pub spellings: Vec<Spelling>,
    pub end: End,
}

/// The bytes of a request around its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spelling {
    /// What comes before the content: request line, fields, and the empty line after them.
    pub head: Vec<u8>,
    /// What comes after the content: the last chunk with its trailers, nothing without chunks.
    pub tail: Vec<u8>,
}

/// How our framer reads a stream, driven as `seawall-edge` drives it.
pub fn reading(stream: &[u8]) -> Reading {
    let limits =
        HeadLimits { max_head_bytes: 32 * 1024, max_fields: 100, max_target_bytes: 8 * 1024 };
    let mut head = RequestHead::new();
    let (mut requests, mut spellings) = (Vec::new(), Vec::new());
    let mut rest = stream;
    let end = loop {
        if rest.is_empty() {
            break End::Whole;
        }
        match parse_request(rest, &limits, &mut head) {
            Ok(Parse::Complete) => {}
            Ok(Parse::Partial) => break End::Partial,
            Err(_) => break End::Refused,
        }
        // The edge answers 405 and closes: there is no content to frame after CONNECT.
        if head.method() == Method::Connect {
            break End::Refused;
        }
        let (body, tail) = match content(&head, rest) {
            Ok(found) => found,
            Err(end) => break end,
        };
        let consumed = tail.end;
        requests.push(request(head.view(rest), body));
        spellings
            .push(Spelling { head: rest[..head.head_bytes()].to_vec(), tail: rest[tail].to_vec() });
        if !head.keep_alive() {
            break End::Closed;
        }
        rest = &rest[consumed..];
    };
    Reading { requests, spellings, end }
}

/// The content of the request that `rest` begins with, and what follows of that request.
fn content(head: &RequestHead, rest: &[u8]) -> Result<(Vec<u8>, Range<usize>), End> {
    let mut decoder = BodyDecoder::new(head.framing());
    let mut at = head.head_bytes();
    let mut body = Vec::new();
    loop {
        match decoder.decode(&rest[at..]) {
            Ok(BodyStep::NeedMore) => return Err(End::Partial),
            Ok(BodyStep::Data { skip, len }) => {
                body.extend_from_slice(&rest[at + skip..at + skip + len]);
                at += skip + len;
            }
            Ok(BodyStep::End { consumed }) => return Ok((body, at..at + consumed)),
            Err(_) => return Err(End::Refused),
        }
    }
}

fn request(view: RequestView<'_>, body: Vec<u8>) -> Request {
    let mut target = view.path().to_vec();
    if let Some(query) = view.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    Request { method: view.method_token().to_vec(), target, host: view.host().to_owned(), body }
}

/// `count` streams: the fuzz corpora, then requests made from a grammar with something odd in most
/// of them. The same for the same `seed`.
pub fn streams(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice(seed);
    let mut streams = corpora();
    while streams.len() < count {
        let stream = dice.stream();
        streams.push(stream);
    }
    streams.truncate(count);
    streams
}

/// The corpora of the fuzz targets, with and without a request behind them.
fn corpora() -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for (target, before, skip) in [
        ("http1_head", "", 0),
        ("http1_body", "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 2),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let entries = fs::read_dir(&folder).expect("the corpus is part of the repository");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let bytes = fs::read(path).expect("a corpus file");
            let bytes = bytes.get(skip..).unwrap_or(&[]);
            for after in ["", MARKER] {
                streams.push([before.as_bytes(), bytes, after.as_bytes()].concat());
            }
        }
    }
    streams
}

/// A request that must not come out of the middle of another.
const MARKER: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Seeded choices (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    /// Mostly `plain`, once in `n` times one of `odd`.
    fn mostly<'a>(&mut self, n: usize, plain: &'a str, odd: &[&'a str]) -> &'a str {
        if self.once_in(n) { self.of(odd) } else { plain }
    }

    fn stream(&mut self) -> Vec<u8> {
        // How often each part is odd: with everything odd at once no server would read any of it.
        let rarity = [4, 10, 20, 40][self.below(4)];
        let mut stream = Vec::new();
        if self.once_in(rarity) {
            stream.extend_from_slice(self.of(&["\r\n", "\n", "\r\n\r\n", " ", "\0"]).as_bytes());
        }
        for _ in 0..=usize::from(self.once_in(3)) {
            stream.extend(self.request(rarity));
        }
        let tail = self.of(&[
            "",
            MARKER,
            MARKER,
            "G",
            "\r\n",
            "\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        ]);
        stream.extend_from_slice(tail.as_bytes());
        if self.once_in(6) {
            self.disturb(&mut stream);
        }
        stream
    }

    fn request(&mut self, rarity: usize) -> Vec<u8> {
        let eol = self.mostly(rarity * 2, "\r\n", EOLS);
        let plain = self.of(&["GET", "POST", "PUT", "DELETE"]);
        let method = self.mostly(rarity, plain, METHODS);
        let target = self.mostly(rarity, "/p?q=1", TARGETS);
        let version = self.mostly(rarity, "HTTP/1.1", VERSIONS);
        let (before, after) =
            (self.mostly(rarity * 2, " ", GAPS), self.mostly(rarity * 2, " ", GAPS));
        let mut lines = vec![self.mostly(rarity, "Host: a", HOSTS).to_owned()];
        if self.once_in(3) {
            lines.push(self.of(OTHER_FIELDS).to_owned());
        }
        let content = self.of(&["", "x", "abcde", MARKER, "0\r\n\r\n", "5\r\nabcde\r\n0\r\n\r\n"]);
        let body = self.framed(rarity, content, &mut lines);
        if self.once_in(rarity) {
            let at = self.below(lines.len() + 1);
            lines.insert(at, self.of(ODD_LINES).to_owned());
        }
        let mut text = format!("{method}{before}{target}{after}{version}{eol}");
        for line in lines {
            text.push_str(&line);
            text.push_str(self.mostly(rarity * 3, eol, EOLS));
        }
        text.push_str(self.mostly(rarity * 2, eol, EOLS));
        [text.into_bytes(), body].concat()
    }

    /// Adds the fields that frame `content`, and writes it in that way or nearly so.
    fn framed(&mut self, rarity: usize, content: &str, lines: &mut Vec<String>) -> Vec<u8> {
        let kind = self.below(10);
        if kind < 2 {
            return Vec::new();
        }
        let by_length = |dice: &mut Self, bytes: usize| {
            let name = dice.mostly(rarity, "Content-Length: ", LENGTH_NAMES);
            format!("{name}{}", dice.length(rarity, bytes))
        };
        let chunked = (kind >= 6).then(|| self.chunks(rarity, content));
        if kind < 6 || self.once_in(rarity) {
            let bytes = match &chunked {
                Some(chunked) if self.once_in(2) => chunked.len(),
                _ => content.len(),
            };
            lines.push(by_length(self, bytes));
            if self.once_in(rarity) {
                let bytes = if self.once_in(2) { bytes } else { self.below(40) };
                lines.push(by_length(self, bytes));
            }
        }
        let Some(chunked) = chunked else { return content.as_bytes().to_vec() };
        let name = self.mostly(rarity, "Transfer-Encoding: ", CODING_NAMES);
        lines.push(format!("{name}{}", self.mostly(rarity, "chunked", CODINGS)));
        if self.once_in(rarity * 2) {
            lines.push(format!("Transfer-Encoding: {}", self.of(CODINGS)));
        }
        if self.once_in(rarity * 2) { content.as_bytes().to_vec() } else { chunked }
    }

    fn length(&mut self, rarity: usize, n: usize) -> String {
        if !self.once_in(rarity) {
            return n.to_string();
        }
        match self.below(18) {
            0 => format!("+{n}"),
            1 => format!("-{n}"),
            2 => format!("0{n}"),
            3 => format!("{n:030}"),
            4 => format!("{n}, {n}"),
            5 => format!("{n},{}", n + 1),
            6 => format!("0x{n:x}"),
            7 => format!(" \t{n} \t"),
            8 => format!("{n}.0"),
            9 => format!("{n} 0"),
            10 => format!("\x0b{n}"),
            11 => format!("{n}\0"),
            12 => format!("\"{n}\""),
            13 => format!("{n},"),
            14 => format!("{}", (1u128 << 64) + n as u128),
            15 => format!("\r\n {n}"),
            16 => format!("{n};"),
            _ => String::new(),
        }
    }

    fn chunks(&mut self, rarity: usize, content: &str) -> Vec<u8> {
        let mut text = String::new();
        let cut = self.below(content.len() + 1);
        for part in [&content[..cut], &content[cut..]] {
            if part.is_empty() {
                continue;
            }
            text.push_str(&self.chunk_size(rarity, part.len()));
            text.push_str(self.mostly(rarity * 2, "", EXTENSIONS));
            text.push_str(self.mostly(rarity * 2, "\r\n", EOLS));
            text.push_str(part);
            text.push_str(self.mostly(rarity * 2, "\r\n", EOLS));
        }
        text.push_str(self.mostly(rarity, "0", LAST_CHUNKS));
        text.push_str(self.mostly(rarity * 2, "\r\n", EOLS));
        if self.once_in(4) {
            text.push_str(self.of(TRAILERS));
        }
        text.push_str(self.mostly(rarity * 2, "\r\n", EOLS));
        text.into_bytes()
    }

    fn chunk_size(&mut self, rarity: usize, n: usize) -> String {
        if !self.once_in(rarity) {
            return format!("{n:x}");
        }
        match self.below(14) {
            0 => format!("0{n:X}"),
            1 => format!("{n:016x}"),
            2 => format!("{n:017x}"),
            3 => format!("+{n:x}"),
            4 => format!("-{n:x}"),
            5 => format!("0x{n:x}"),
            6 => format!(" {n:x}"),
            7 => format!("{n:x} "),
            8 => format!("{n:x}\t"),
            9 => format!("{:x}", (1u128 << 64) + n as u128),
            10 => format!("{:x}", (1u128 << 32) + n as u128),
            11 => format!("{n:x}g"),
            12 => format!("{n:x}\0"),
            _ => String::new(),
        }
    }

    /// A few bytes changed anywhere.
    fn disturb(&mut self, stream: &mut Vec<u8>) {
        for _ in 0..=self.below(2) {
            let at = self.below(stream.len() + 1);
            let byte = b"\r\n \t\0:,;0a/\x0b\x7f\x80\xff"[self.below(15)];
            match self.below(3) {
                0 => stream.insert(at, byte),
                1 if at < stream.len() => stream[at] = byte,
                _ if at < stream.len() => drop(stream.remove(at)),
                _ => stream.push(byte),
            }
        }
    }
}

const METHODS: &[&str] = &[
    "get",
    "G\tET",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PATCH",
    "PRI",
    "GET:",
    "",
    "X-Y",
    "x_y",
    "PROPFIND",
    "M!#$%&'*+.^`|~",
    "G(T",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ",
];
const TARGETS: &[&str] = &[
    "*",
    "/",
    "//",
    "/a/../b",
    "/%2e%2e/x",
    "/%00",
    "/a b",
    "/a#b",
    "/a?b?c",
    "/\\",
    "/a?\\",
    "?q",
    "a",
    "http://a/x",
    "http://a",
    "HTTP://A/x?y",
    "https://a/x",
    "http://b/x",
    "http://a:80/x",
    "http://a@b/x",
    "http:///x",
    "ftp://a/x",
    "a:80",
    "/\u{e9}",
    "/|{}^`[]",
    "/\"<>",
    "/a\tb",
    "",
    "/a;b=c",
    "/.well-known/x",
    "http://a?q",
    "/x HTTP/1.1\r\nX: y",
    "/a\rb",
    "/a\0b",
];
const VERSIONS: &[&str] = &[
    "HTTP/1.0",
    "HTTP/1.0",
    "HTTP/0.9",
    "HTTP/2.0",
    "HTTP/1.2",
    "HTTP/1.10",
    "HTTP/01.1",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/ 1.1",
    "HTTP/1,1",
    "HTTP/11",
    "",
    "HTTP/+1.1",
];
const GAPS: &[&str] = &["  ", "\t", " \t", "", "\x0b", "\x0c", "\r", "\u{a0}"];
const EOLS: &[&str] =
    &["\n", "\r", "\r\r\n", "\n\r", "\r\n ", "\0\r\n", "", " \r\n", "\r\n\r\n", "x"];
const HOSTS: &[&str] = &[
    "host: A",
    "Host:a",
    "Host: \ta \t",
    "Host: a:80",
    "Host: a:",
    "Host: a.",
    "Host: a:99999",
    "Host: ",
    "Host: a, b",
    "Host: a b",
    "Host: a\r\nHost: a",
    "Host: a\r\nHost: b",
    "Host : a",
    "Host\t: a",
    "X: y",
    " Host: a",
    "Host: u@a",
    "Host: a/x",
    "Host: [::1]",
    "Host: [::1",
    "Host: [::1]:80",
    "Host: a%00",
    "Host: a\\b",
    "Host: a_b",
    "Host: \u{e9}",
    "Host: a#b",
    "Host: a?b",
    "Host: a\r\n b",
    "Host",
];
const OTHER_FIELDS: &[&str] = &[
    "Connection: close",
    "Connection: keep-alive",
    "Connection: Content-Length",
    "Connection: Transfer-Encoding",
    "Connection: upgrade\r\nUpgrade: websocket",
    "Upgrade: h2c",
    "Connection: close, keep-alive",
    "Expect: 100-continue",
    "Expect: x",
    "TE: trailers",
    "Accept: */*",
    "Cookie: a=b",
    "X-Empty:",
    "Content-Type: text/plain",
    "Trailer: A",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close",
    "Content-Encoding: gzip",
    "Connection: x,,close",
];
const ODD_LINES: &[&str] = &[
    " folded: x",
    "\tfolded",
    "no-colon",
    ": no-name",
    "na me: x",
    "name : x",
    "name\t: x",
    "n\u{e9}: x",
    "X: a\0b",
    "X: a\rb",
    "X: a\nContent-Length: 3",
    "X: a\n\nGET /smuggled HTTP/1.1",
    "X: a\x7f",
    "X: \u{e9}",
    "X(: y",
    "X: y\r\n\tz",
    "Content-Length",
    "Content-Length: 0",
    "Content-Length: 4",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding:",
    "X-Y_Z: 1",
    "\0X: y",
    "Content-Length\0: 4",
    "X: y\r\n\r",
    "\u{b}Transfer-Encoding: chunked",
    "X:\r\n y",
    "X: y\r",
];
const LENGTH_NAMES: &[&str] = &[
    "content-length:",
    "CONTENT-LENGTH:\t",
    "Content-Length : ",
    "Content-Length\t: ",
    " Content-Length: ",
    "Content_Length: ",
    "Content-Length:\r\n ",
    "X: y\nContent-Length: ",
    "Content-Length\r\n: ",
    "Content-Length;: ",
    "X-Content-Length: ",
    "Content Length: ",
    "\"Content-Length\": ",
];
const CODING_NAMES: &[&str] = &[
    "transfer-encoding:",
    "TRANSFER-ENCODING:\t ",
    "Transfer-Encoding : ",
    "Transfer-Encoding\t:",
    " Transfer-Encoding: ",
    "Transfer_Encoding: ",
    "Transfer-Encoding:\r\n ",
    "X: y\nTransfer-Encoding: ",
    "X: y\rTransfer-Encoding: ",
    "Transfer-Encoding\x0b: ",
    "Transfer-Encoding\0: ",
    "TransferEncoding: ",
];
const CODINGS: &[&str] = &[
    "Chunked",
    "CHUNKED",
    "chunked ",
    "chunked\t",
    "\tchunked",
    "\x0bchunked",
    "chunked\0",
    "chunked,",
    ",chunked",
    "chunked, chunked",
    "chunked, identity",
    "identity, chunked",
    "identity",
    "gzip, chunked",
    "gzip",
    "chunked;q=1",
    "\"chunked\"",
    "'chunked'",
    "xchunked",
    "chunke",
    "chunked\r\n identity",
    "",
    "chunked\u{a0}",
    "chun\tked",
    "cow",
];
const EXTENSIONS: &[&str] = &[
    ";a",
    ";a=b",
    ";a=\"b\"",
    ";a=\"\r\n\"",
    "; a = b",
    " ;a",
    "\t;a",
    ";",
    ";\n",
    ";a\rb",
    ";a\0",
    ";;",
    ";a=\"0\r\n\r\n",
    ";\u{e9}",
];
const LAST_CHUNKS: &[&str] = &[
    "00",
    "0000000000000000",
    "00000000000000000",
    "-0",
    "+0",
    "0x0",
    "0 ",
    " 0",
    "0;a",
    "0;a=\"b\"",
    "0\t",
    "",
    "0;",
    "0,",
    "0\0",
];
const TRAILERS: &[&str] = &[
    "A: b\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: b\r\n",
    "A: b\n",
    "A : b\r\n",
    " A: b\r\n",
    "A\r\n",
    "A: b\r\n c\r\n",
    "A: b\0\r\n",
    "GET /smuggled HTTP/1.1\r\n",
    "X: y\r\nA: b\r\n",
];
