//! HTTP/1 properties on generated input: nothing panics, splits change nothing, and what a careful
//! client writes is read back as written.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use seawall_wire::http1::{
    BodyDecoder, BodyFraming, BodyStep, HeadLimits, Parse, RequestHead, parse_request,
};

const LIMITS: HeadLimits =
    HeadLimits { max_head_bytes: 8192, max_fields: 40, max_target_bytes: 512 };

/// Bytes that parsers care about, so that generated input gets past the first line.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "GET ",
        "POST ",
        "/",
        "*",
        "?a",
        "#",
        "http://a",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        ":",
        ",",
        "Host: a\r\n",
        "Host: b\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding",
        "A: b\r\n",
        "Connection: close\r\n",
        "0",
        "5",
        "chunked",
        "\0",
        "\u{fc}",
        ";x",
        "\r\n\r\n",
    ];
    let word = prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..5),
    ];
    let start = prop_oneof![
        Just(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec()),
        Just(b"POST /x HTTP/1.1\r\n".to_vec()),
        Just(Vec::new()),
    ];
    (start, prop::collection::vec(word, 0..12))
        .prop_map(|(start, words)| [start, words.concat()].concat())
}

proptest! {
    #[test]
    fn heads_read_the_same_however_they_are_cut(raw in pieces(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4)) {
        let whole = parse_request(&raw, &LIMITS, &mut RequestHead::new());
        let mut lens: Vec<usize> = cuts.iter().map(|cut| cut.index(raw.len() + 1)).collect();
        lens.push(raw.len());
        lens.sort_unstable();
        let mut head = RequestHead::new();
        let got = lens.iter()
            .map(|&len| parse_request(&raw[..len], &LIMITS, &mut head))
            .find(|result| *result != Ok(Parse::Partial))
            .unwrap_or(Ok(Parse::Partial));
        assert_eq!(got, whole);
    }

    #[test]
    fn arbitrary_bytes_are_survived(raw in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut head = RequestHead::new();
        let _ = parse_request(&raw, &LIMITS, &mut head);
        let view = head.view(&raw);
        let _ = (view.host(), view.path(), view.query(), view.fields().count());
        for framing in [BodyFraming::Chunked, BodyFraming::Length(9), BodyFraming::None] {
            let _ = BodyDecoder::new(framing).decode(&raw);
        }
    }

    #[test]
    fn what_a_careful_client_writes_is_read_back(
        method in "[A-Z]{1,8}",
        path in "(/[a-zA-Z0-9._~%-]{0,12}){1,5}",
        query in prop::option::of("[a-z0-9=&?/]{0,30}"),
        host in "[a-z0-9]{1,10}(\\.[a-z0-9-]{1,8}){0,3}",
        fields in prop::collection::vec(("x-[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}", "[!-~\u{a1}-\u{ff}]([ -~]{0,60}[!-~])?"), 0..20),
        rest in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head_text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n");
        let raw = [head_text.as_bytes(), &rest].concat();
        let mut head = RequestHead::new();
        let is_connect = method == "CONNECT";
        let result = parse_request(&raw, &LIMITS, &mut head);
        assert_eq!(result.is_ok(), !is_connect);
        if !is_connect {
            let view = head.view(&raw);
            assert_eq!(head.head_bytes(), head_text.len());
            assert_eq!(view.method_token(), method.as_bytes());
            assert_eq!((view.host(), view.path()), (&host[..], path.as_bytes()));
            assert_eq!(view.query(), query.as_deref().map(str::as_bytes));
            let read: Vec<_> = view.fields().skip(1).collect();
            let written: Vec<_> = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
            assert_eq!(read, written);
        }
    }

    #[test]
    fn chunked_content_is_read_back_however_it_comes(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12),
        step in 1usize..40,
    ) {
        let mut raw = Vec::new();
        for chunk in &chunks {
            raw.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            raw.extend_from_slice(chunk);
            raw.extend_from_slice(b"\r\n");
        }
        raw.extend_from_slice(b"0\r\n\r\n");
        let mut decoder = BodyDecoder::new(BodyFraming::Chunked);
        let (mut at, mut there, mut content) = (0, 0, Vec::new());
        loop {
            match decoder.decode(&raw[at..there]).expect("valid chunks") {
                BodyStep::NeedMore => {
                    assert!(there < raw.len(), "the message is whole");
                    there = raw.len().min(there + step);
                }
                BodyStep::Data { skip, len } => {
                    content.extend_from_slice(&raw[at + skip..at + skip + len]);
                    at += skip + len;
                }
                BodyStep::End { consumed } => {
                    at += consumed;
                    break;
                }
            }
        }
        assert_eq!((content, at), (chunks.concat(), raw.len()));
    }
}
