//! Request heads: the catalogue of what is refused and why, and what is read out of the rest.

use seawall_model::Misbehaviour::{
    self, BothLengths, ContentLength, FieldLine, HeadTooLarge, Host, HostMismatch, LineEnd,
    ObsFold, RequestLine, TransferEncoding, Version,
};
use seawall_model::{Fields, HttpVersion, Method};
use seawall_wire::http1::{BodyFraming, HeadLimits, Parse, RequestHead, parse_request};

const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 4096, max_fields: 20, max_target_bytes: 256 };

type Outcome = Result<Parse, (Misbehaviour, u16)>;

fn parse(raw: &[u8], head: &mut RequestHead) -> Outcome {
    parse_request(raw, &LIMITS, head).map_err(|r| (r.misbehaviour, r.status))
}

/// Parses in one piece, in two pieces at every place, and byte by byte: the result must be one.
#[track_caller]
fn outcome(raw: &[u8]) -> Outcome {
    let want = parse(raw, &mut RequestHead::new());
    for cut in 0..raw.len() {
        let mut head = RequestHead::new();
        let first = parse(&raw[..cut], &mut head);
        let got = if first == Ok(Parse::Partial) { parse(raw, &mut head) } else { first };
        assert_eq!(got, want, "cut at {cut}: {}", raw.escape_ascii());
    }
    let mut head = RequestHead::new();
    let dripped = (0..=raw.len())
        .map(|len| parse(&raw[..len], &mut head))
        .find(|outcome| *outcome != Ok(Parse::Partial));
    assert_eq!(dripped.unwrap_or(Ok(Parse::Partial)), want, "{}", raw.escape_ascii());
    want
}

#[track_caller]
fn check_refused(cases: &[(&str, Misbehaviour, u16)]) {
    for (raw, misbehaviour, status) in cases {
        let want = Err((*misbehaviour, *status));
        assert_eq!(outcome(raw.as_bytes()), want, "{}", raw.escape_debug());
    }
}

#[track_caller]
fn check_accepted(cases: &[&str]) {
    for raw in cases {
        assert_eq!(outcome(raw.as_bytes()), Ok(Parse::Complete), "{}", raw.escape_debug());
    }
}

#[track_caller]
fn head_of(raw: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(parse(raw, &mut head), Ok(Parse::Complete), "{}", raw.escape_ascii());
    head
}

#[test]
fn request_lines_that_two_parsers_could_read_differently_are_refused() {
    check_refused(&[
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /  HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine, 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /\r\n", RequestLine, 400),
        ("GET / \r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET\r\n", RequestLine, 400),
        ("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET:/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("G\0ET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", LineEnd, 400),
        ("GET / HTTP/1.1\rHost: a\r\n\r\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", LineEnd, 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", LineEnd, 400),
        ("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", LineEnd, 400),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("\x16\x03\x01\x02\x00\x01\x00", RequestLine, 400),
        ("AVERYLONGMETHODTHATNOBODYHASREGISTERED / HTTP/1.1\r\n", RequestLine, 501),
    ]);
}

#[test]
fn versions_but_1_0_and_1_1_are_refused() {
    check_refused(&[
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version, 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version, 505),
        ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", Version, 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestLine, 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/11\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/01.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTP/1,1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET / XTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
    ]);
}

#[test]
fn targets_of_the_wrong_form_or_bytes_are_refused() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(256));
    let long_query = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(255));
    check_refused(&[
        ("GET index.html HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", RequestLine, 400),
        ("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("CONNECT http://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n", RequestLine, 400),
        ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET http:/a/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET http://a\\@b/ HTTP/1.1\r\nHost: b\r\n\r\n", RequestLine, 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a`b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /\"a\" HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /?\u{fc} HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        ("GET /a\r\n HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine, 400),
        (&long, RequestLine, 414),
        (&long_query, RequestLine, 414),
    ]);
}

#[test]
fn field_lines_that_two_parsers_could_read_differently_are_refused() {
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(20));
    check_refused(&[
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA(b): c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\"a\": c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\u{fc}: c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA\0: c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\0c\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\x0bc\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: \x7f\r\n\r\n", FieldLine, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", ObsFold, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\tc\r\n\r\n", ObsFold, 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", ObsFold, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", ObsFold, 400),
        ("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\rA: b\r\n\r\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\rX", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\n\n", LineEnd, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: b\rContent-Length: 5\r\n\r\n", LineEnd, 400),
        (&large, HeadTooLarge, 431),
        (&many, HeadTooLarge, 431),
    ]);
}

#[test]
fn content_lengths_that_are_not_one_plain_number_are_refused() {
    let values = [
        "",
        "+5",
        "-5",
        "5 5",
        "5,5",
        "5, 5",
        "5,",
        ",5",
        "0x5",
        "5a",
        "a5",
        "5.0",
        "5e1",
        "\"5\"",
        "5;q=1",
        "18446744073709551616",
        "99999999999999999999",
        "00000000000000000005",
        "\u{0665}",
    ];
    for value in values {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\n");
        check_refused(&[(&raw, ContentLength, 400)]);
    }
    check_refused(&[
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            ContentLength,
            400,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\n",
            ContentLength,
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", ContentLength, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n 6\r\n\r\n", ObsFold, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n", FieldLine, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\x0b\r\n\r\n", FieldLine, 400),
    ]);
}

#[test]
fn transfer_encodings_but_one_final_chunked_are_refused() {
    let malformed = [
        "",
        ",",
        "chunked, chunked",
        "chunked, gzip",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked x",
        "gzip,,x",
    ];
    for value in malformed {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n");
        check_refused(&[(&raw, TransferEncoding, 400)]);
    }
    for value in ["gzip", "gzip, chunked", "identity", "xchunked", "chunkedx", "cow, x, Chunked"] {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n");
        check_refused(&[(&raw, TransferEncoding, 501)]);
    }
    let twice = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 Transfer-Encoding: chunked\r\n\r\n";
    let split = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                 Transfer-Encoding: identity\r\n\r\n";
    let both = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let both_other_way = "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\
                          content-length: 0\r\n\r\n";
    check_refused(&[
        (twice, TransferEncoding, 400),
        (split, TransferEncoding, 400),
        (both, BothLengths, 400),
        (both_other_way, BothLengths, 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", TransferEncoding, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n", TransferEncoding, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", FieldLine, 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", FieldLine, 400),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
            TransferEncoding,
            400,
        ),
    ]);
}

#[test]
fn a_request_names_exactly_one_valid_host() {
    let values = [
        "",
        "a b",
        "a,b",
        "a/b",
        "a@b",
        "a?b",
        "a#b",
        "http://a",
        "a:b",
        "a:",
        ":80",
        "a:0",
        "a:65536",
        "a:080000",
        "a:+80",
        "a:80:80",
        "a..b",
        ".a",
        ".",
        "[::1",
        "::1",
        "[::g]",
        "[::1]x",
        "[fe80::1%25lo]",
        "[]",
        "a%2eb",
        "b\u{fc}cher",
        "*",
        "a\tb",
        "a;b",
        "(a)",
    ];
    for value in values {
        let raw = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        check_refused(&[(&raw, Host, 400)]);
    }
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a.".repeat(130));
    check_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", Host, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Host, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", Host, 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", Host, 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", Host, 400),
        (&long, Host, 400),
    ]);
}

#[test]
fn a_target_that_names_another_host_is_refused() {
    check_refused(&[
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch, 400),
        ("GET http://a.b/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch, 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch, 400),
        ("GET http://a/ HTTP/1.1\r\nHost: a:81\r\n\r\n", HostMismatch, 400),
        ("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", HostMismatch, 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", HostMismatch, 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:80\r\n\r\n", HostMismatch, 400),
        ("GET http://b/ HTTP/1.0\r\nHost: a\r\n\r\n", HostMismatch, 400),
    ]);
}

#[test]
fn requests_of_every_valid_shape_are_accepted() {
    let longest = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(255));
    let most = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(19));
    check_accepted(&[
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHOST: \t a \t \r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "CONNECT a:443 HTTP/1.0\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP://A HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET https://a:443?x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a./ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://[::1]:8080/ HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET /a|b^c{d}[e]~!$&'()*+,;=:@%41%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?a=b\\c&d[]=|^`{}?/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nEmpty:\r\nTab: a\tb\r\nUmlaut: \u{fc}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~9: x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t 7 \r\n\r\n1234567",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:CHUNKED\r\n\r\n0\r\n\r\n",
        &longest,
        &most,
    ]);
}

#[test]
fn an_unfinished_head_waits() {
    let whole = b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    for len in 0..whole.len() {
        assert_eq!(outcome(&whole[..len]), Ok(Parse::Partial), "{len}");
    }
}

#[test]
fn the_head_limit_counts_the_empty_line() {
    let raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST";
    let parse = |max_head_bytes| {
        let limits = HeadLimits { max_head_bytes, ..LIMITS };
        parse_request(raw, &limits, &mut RequestHead::new()).map_err(|r| r.status)
    };
    assert_eq!(parse(27), Ok(Parse::Complete));
    assert_eq!(parse(26), Err(431));
    assert_eq!(parse(0), Err(431));
}

#[test]
fn the_view_hands_out_every_part() {
    let raw = b"\r\nGET http://WWW.Example.Org.:8080/a/b?c=d?e HTTP/1.1\r\n\
                Host: WWW.Example.Org.:8080\r\nAccept: x\r\naccept:  y z \r\n\r\nrest";
    let head = head_of(raw);
    let view = head.view(raw);
    assert_eq!(head.head_bytes(), raw.len() - 4);
    assert_eq!((head.method(), head.version()), (Method::Get, HttpVersion::Http11));
    assert_eq!(view.method_token(), b"GET");
    assert_eq!(view.target(), b"http://WWW.Example.Org.:8080/a/b?c=d?e");
    assert_eq!(view.target().len(), head.target_bytes());
    assert_eq!((view.path(), view.query()), (&b"/a/b"[..], Some(&b"c=d?e"[..])));
    assert_eq!((view.host(), head.port()), ("www.example.org", Some(8080)));
    assert_eq!(view.authority(), b"WWW.Example.Org.:8080");
    let fields: Vec<_> = view.fields().collect();
    assert_eq!(fields.len(), head.field_count());
    assert_eq!(fields[1..], [(&b"Accept"[..], &b"x"[..]), (b"accept", b"y z")]);
    let mut seen = Vec::new();
    view.each("accept", &mut |value| seen.push(value.to_vec()));
    assert_eq!(seen, [b"x".to_vec(), b"y z".to_vec()]);
    assert_eq!(view.first("accept"), Some(&b"x"[..]));
    assert!(view.has("host") && !view.has("cookie"));
}

#[test]
fn paths_and_hosts_come_out_for_every_target_form() {
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a", "a", "/", None),
        ("GET /? HTTP/1.1\r\nHost: a", "a", "/", Some("")),
        ("GET //a//b HTTP/1.1\r\nHost: a:1", "a", "//a//b", None),
        ("GET http://a HTTP/1.1\r\nHost: a", "a", "/", None),
        ("GET http://a?q HTTP/1.1\r\nHost: a", "a", "/", Some("q")),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a", "a", "*", None),
        ("OPTIONS http://a?b HTTP/1.1\r\nHost: a", "a", "/", Some("b")),
        ("OPTIONS * HTTP/1.1\r\nHost: a", "a", "*", None),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1", "a", "", None),
        ("GET / HTTP/1.1\r\nHost: [2001:DB8::1]", "[2001:db8::1]", "/", None),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:80", "127.0.0.1", "/", None),
        ("GET / HTTP/1.0", "", "/", None),
        ("GET http://A.b/c HTTP/1.0", "a.b", "/c", None),
    ];
    for (lines, host, path, query) in cases {
        let raw = format!("{lines}\r\n\r\n");
        let head = head_of(raw.as_bytes());
        let view = head.view(raw.as_bytes());
        assert_eq!(view.host(), host, "{lines}");
        assert_eq!(view.path(), path.as_bytes(), "{lines}");
        assert_eq!(view.query(), query.map(str::as_bytes), "{lines}");
    }
}

#[test]
fn framing_follows_the_fields() {
    let cases = [
        ("", BodyFraming::None),
        ("Content-Length: 0\r\n", BodyFraming::Length(0)),
        ("content-length: 9999999999999999999\r\n", BodyFraming::Length(9_999_999_999_999_999_999)),
        ("Transfer-Encoding: Chunked\r\n", BodyFraming::Chunked),
    ];
    for (fields, want) in cases {
        let raw = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(head_of(raw.as_bytes()).framing(), want, "{fields}");
    }
}

#[test]
fn connections_are_kept_as_rfc_9112_says() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, fields, want) in cases {
        let raw = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(head_of(raw.as_bytes()).keep_alive(), want, "{version} {fields}");
    }
}

#[test]
fn expectations_and_upgrades_need_http_1_1() {
    let cases = [
        ("1.1", "Expect: 100-Continue\r\n", true, false),
        ("1.0", "Expect: 100-continue\r\n", false, false),
        ("1.1", "Expect: something\r\n", false, false),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", false, true),
        ("1.1", "Upgrade: websocket\r\nConnection: keep-alive, upgrade\r\n", false, true),
        ("1.1", "Upgrade: websocket\r\n", false, false),
        ("1.1", "Connection: upgrade\r\n", false, false),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", false, false),
    ];
    for (version, fields, expects, upgrade) in cases {
        let raw = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        let head = head_of(raw.as_bytes());
        assert_eq!((head.expects_continue(), head.upgrade()), (expects, upgrade), "{fields}");
    }
}

#[test]
fn field_order_tells_clients_apart_but_not_their_values() {
    let order = |fields: &str| {
        let raw = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        head_of(raw.as_bytes()).field_order()
    };
    let one = order("Host: a\r\nAccept: x\r\nUser-Agent: y");
    assert_eq!(one, order("Host: b.example\r\nAccept: other\r\nUser-Agent: another"));
    assert_ne!(one, order("Host: a\r\nUser-Agent: y\r\nAccept: x"));
    assert_ne!(one, order("host: a\r\naccept: x\r\nuser-agent: y"));
    assert_ne!(one, order("Host: a\r\nAccept: x"));
}

#[test]
fn one_head_serves_many_requests_and_forgets_each() {
    let pipelined =
        b"POST /1 HTTP/1.1\r\nHost: A\r\nContent-Length: 0\r\nConnection: close\r\n\r\n\
                      GET /2?q HTTP/1.1\r\nHost: b\r\n\r\n";
    let mut head = RequestHead::new();
    assert_eq!(parse(pipelined, &mut head), Ok(Parse::Complete));
    assert_eq!(head.view(pipelined).host(), "a");
    let rest = &pipelined[head.head_bytes()..];
    assert_eq!(parse(rest, &mut head), Ok(Parse::Complete));
    let view = head.view(rest);
    assert_eq!((view.host(), view.path(), view.query()), ("b", &b"/2"[..], Some(&b"q"[..])));
    assert_eq!((head.framing(), head.keep_alive()), (BodyFraming::None, true));
    assert_eq!(head.field_count(), 1);

    // A connection that ended halfway leaves nothing behind.
    assert_eq!(parse(b"GET /3 HTTP/1.1\r\nHost: c\r\n", &mut head), Ok(Parse::Partial));
    head.reset();
    assert_eq!(parse(rest, &mut head), Ok(Parse::Complete));
    assert_eq!(head.view(rest).host(), "b");
}

#[test]
fn a_view_of_the_wrong_bytes_is_wrong_but_safe() {
    let raw = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = head_of(raw);
    for buf in [&b""[..], b"GET", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let view = head.view(buf);
        let _ = (view.host(), view.path(), view.query(), view.target(), view.authority());
        assert_eq!(view.fields().count(), 1);
    }
}
