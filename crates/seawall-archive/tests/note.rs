//! The note in pages of every shape. What it looks like is checked with a browser by `cargo xtask pages`,
//! on the pages that the first test here keeps.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use seawall_archive::{Capture, NOTE_STYLE, NOTE_STYLE_PATH, Note, Why, Zone, read, with_note};
use seawall_model::{Language, WallTime};

/// 2026-11-22T14:05:00Z.
const CAPTURED: WallTime = WallTime::from_unix_secs(1_795_356_300);
const DAY: Duration = Duration::from_secs(86_400);

fn capture(media_type: &str, body: impl Into<Bytes>) -> Capture {
    Capture {
        url: "https://example.org/a".to_owned(),
        captured: CAPTURED,
        status: 200,
        fields: vec![("content-type".to_owned(), media_type.as_bytes().to_vec())],
        body: body.into(),
    }
}

fn note() -> Note {
    Note { why: Why::NotAnswering, now: CAPTURED, zone: Zone::UTC }
}

/// The page with the note, as text.
fn noted(capture: &Capture, note: &Note) -> Option<String> {
    with_note(capture, note).map(|body| String::from_utf8_lossy(&body).into_owned())
}

/// What the note says in a page of this language, references replaced and tags left out.
fn said(lang: &str, note: &Note) -> String {
    let page =
        noted(&capture("text/html", format!("<html lang='{lang}'><body>")), note).expect("a page");
    let (_, text) = page.split_once("<summary>").expect("a note");
    let (text, _) = text.split_once("</details>").expect("a note");
    // A title is text whose references are replaced by the reader of links.
    let text = text.replace("</summary><p>", " ").replace("</p>", "").replace("</time>", "");
    let text: Vec<&str> =
        text.split('<').map(|part| part.rsplit('>').next().unwrap_or_default()).collect();
    read(&capture("text/html", format!("<title>{}</title>", text.concat()))).title.expect("a text")
}

#[test]
fn the_pages_that_browsers_check_are_kept() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/note");
    let page = std::fs::read_to_string(folder.join("page.html")).expect("the page without a note");
    for (at, language) in Language::ALL.into_iter().enumerate() {
        let page = page.replace("LANG", language.tag()).replace("DIR", language.direction());
        // Every other one is of an earlier day and from another zone.
        let zone = Zone::east_by(if at % 2 == 0 { 0 } else { 120 }).expect("a zone");
        let now = CAPTURED + if at % 2 == 0 { Duration::ZERO } else { 5 * DAY };
        let got = noted(&capture("text/html", page), &Note { why: Why::NotAnswering, now, zone })
            .expect("a page");
        let file = folder.join(format!("{}.html", language.tag()));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, &got).expect("a golden file");
        }
        let want = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            got == want,
            "{} changed; if that is meant, run with UPDATE_EXPECT=1",
            file.display()
        );
    }
}

#[test]
fn the_note_says_why_and_of_when_in_the_language_of_the_page() {
    let today = note();
    let later = Note { now: CAPTURED + DAY, ..today };
    for (lang, want_today, want_later) in [
        (
            "en-GB",
            "The site is not answering. This is its copy from 14:05 UTC.",
            "from 22 November 2026, 14:05 UTC.",
        ),
        ("de", "Dies ist ihre Kopie von 14:05 Uhr UTC.", "vom 22. November 2026, 14:05 Uhr UTC."),
        ("fr", "Voici sa copie de 14:05 UTC.", "du 22 novembre 2026 à 14:05 UTC."),
        ("es", "copia de las 14:05 UTC.", "del 22 de noviembre de 2026, 14:05 UTC."),
        ("zh-TW", "這是網站於 14:05 UTC 的副本。", "於 2026 年 11 月 22 日 14:05 UTC 的"),
        ("zh", "这是网站在 14:05 UTC 的副本。", "在 2026 年 11 月 22 日 14:05 UTC 的"),
        ("uk", "станом на 14:05 UTC.", "станом на 22 листопада 2026 року, 14:05 UTC."),
        ("be", "станам на 14:05 UTC.", "станам на 22 лістапада 2026 года, 14:05 UTC."),
        ("fa", "از ساعت ۱۴:۰۵ UTC است.", "از ۲۲ نوامبر ۲۰۲۶، ساعت ۱۴:۰۵ UTC است."),
        ("ar", "من الساعة ١٤:٠٥ UTC.", "من ٢٢ نوفمبر ٢٠٢٦، الساعة ١٤:٠٥ UTC."),
        ("tlh", "The site is not answering.", "from 22 November 2026"),
    ] {
        assert!(
            said(lang, &today).ends_with(want_today) || said(lang, &today).starts_with(want_today),
            "{}",
            said(lang, &today)
        );
        assert!(said(lang, &later).contains(want_later), "{}", said(lang, &later));
    }
    let attack = Note { why: Why::UnderAttack, ..today };
    assert!(said("en", &attack).starts_with("The site is under attack."));
    for language in Language::ALL {
        let reasons = [Why::NotAnswering, Why::UnderAttack, Why::ReadOnly]
            .map(|why| said(language.tag(), &Note { why, ..today }));
        assert!(reasons[0] != reasons[1] && reasons[1] != reasons[2] && reasons[0] != reasons[2]);
        assert!(!reasons.concat().contains(['{', '}', '[', ']']), "{reasons:?}");
    }
}

#[test]
fn times_are_said_in_the_zone_that_is_known() {
    let at = |minutes: i16, now: WallTime| {
        said("en", &Note { zone: Zone::east_by(minutes).expect("a zone"), now, ..note() })
    };
    assert!(at(120, CAPTURED).ends_with("from 16:05 UTC+2."));
    assert!(at(-210, CAPTURED).ends_with("from 10:35 UTC-3:30."));
    assert!(at(-30, CAPTURED).ends_with("from 13:35 UTC-0:30."));
    // Ten hours later it is tomorrow in London and still today in New York.
    let later = CAPTURED + Duration::from_secs(36_000);
    assert!(at(0, later).contains("22 November"));
    assert!(at(-300, later).ends_with("from 09:05 UTC-5."));
    assert!(at(840, CAPTURED).ends_with("from 04:05 UTC+14."), "both are tomorrow there");
    assert_eq!(
        (Zone::east_by(841), Zone::east_by(-721), Zone::east_by(i16::MIN)),
        (None, None, None)
    );
}

#[test]
fn the_note_stands_at_the_beginning_of_the_content() {
    for (html, want) in [
        ("<!doctype html><html><head></head><body class=x>Text", "<body class=x>^Text"),
        ("<html><BODY onload='a>b'\n>Text", "<BODY onload='a>b'\n>^Text"),
        ("<title>x</title><p>Text", "</title>^<p>Text"),
        (
            "<!doctype html><meta charset=utf-8><script>'<body>'</script><!-- <body> --><div>x",
            "-->^<div>x",
        ),
        (
            "<head><style>a{}</style><noscript><p></noscript><template></template></head><main>",
            "</head>^<main>",
        ),
        ("<html><head><title><body></title></head><body><body>", "</head><body>^<body>"),
    ] {
        let page = noted(&capture("text/html", html), &note()).expect("a page");
        let from = page.find("<section class=\"seawall-note\"").expect("a note");
        let to = page.find("</section>").expect("a note") + 10;
        let marked = format!("{}^{}", &page[..from], &page[to..]);
        assert!(marked.contains(want), "{marked}");
        assert_eq!(marked.replacen('^', "", 1), html);
    }
}

#[test]
fn what_is_not_a_page_gets_no_note() {
    let utf16: Vec<u8> =
        "\u{feff}<html><body>x".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (media_type, body) in [
        ("application/rss+xml", Bytes::from_static(b"<html><body>")),
        ("application/json", Bytes::from_static(b"<html><body>")),
        ("text/plain", Bytes::from_static(b"<html><body>")),
        ("", Bytes::from_static(b"<html><body>")),
        ("text/html", Bytes::from_static(b"<li>a part of a page</li>")),
        ("text/html", Bytes::from_static(b"{\"json\": \"sent as HTML\"}")),
        ("text/html", Bytes::from_static(b"<html><frameset><frame src=a></frameset>")),
        ("text/html", Bytes::from_static(b"<!doctype html><title>x</title>")),
        ("text/html", Bytes::from_static(b"<html><!-- <body>")),
        ("text/html", Bytes::new()),
        ("text/html", Bytes::from(utf16)),
        ("text/html; charset=utf-16be", Bytes::from_static(b"<html><body>")),
        ("text/html; charset=iso-2022-jp", Bytes::from_static(b"<html><body>")),
    ] {
        assert_eq!(
            with_note(&capture(media_type, body.clone()), &note()),
            None,
            "{media_type} {body:?}"
        );
    }
}

#[test]
fn the_note_is_right_in_any_charset_and_under_any_base() {
    let kyiv = b"<html lang=uk><body>\xca\xe8\xbf\xe2"; // Windows-1251
    let page =
        with_note(&capture("text/html; charset=windows-1251", &kyiv[..]), &note()).expect("a page");
    assert!(page.ends_with(b"\xca\xe8\xbf\xe2") && page[20..page.len() - 4].is_ascii());
    let mut other = capture("text/html", "<html><body>");
    other.fields.push(("content-language".to_owned(), b"ar, en".to_vec()));
    assert!(noted(&other, &note()).expect("a page").contains("lang=\"ar\" dir=\"rtl\""));
    let based = capture("text/html", "<html><base href='https://example.net/'><body>");
    let want = format!("href=\"https://example.org{NOTE_STYLE_PATH}\"");
    assert!(noted(&based, &note()).expect("a page").contains(&want));
    let xml = capture(
        "application/xhtml+xml",
        "<html xmlns='http://www.w3.org/1999/xhtml'><body></body></html>",
    );
    let xml = noted(&xml, &note()).expect("a page");
    assert!(xml.contains("note.css\" />") && xml.contains("<details open=\"open\">"));
    let mut reader = quick_xml::Reader::from_str(&xml);
    while !matches!(reader.read_event().expect("well-formed"), quick_xml::events::Event::Eof) {}
    assert!(NOTE_STYLE.is_ascii());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_page_is_it_stays_as_it_was(
        body in prop::collection::vec(any::<u8>(), 0..200),
        near in "(<(!doctype html|html|head|title|body|p|base|script|frameset|!--)( lang='?[a-z-]{0,9}'?)?>|</(head|title|script)>|-->|[a-zé\u{80}-\u{ff}]{0,5}){0,12}",
        lang in "[a-zA-Z-]{0,12}",
        now: u64, captured: u64, east in -720i16..=840,
    ) {
        for body in [body, near.into_bytes(), format!("<html lang={lang}><body>").into_bytes()] {
            let mut capture = capture("text/html", body.clone());
            capture.captured = WallTime::from_unix_nanos(captured);
            let note = Note { zone: Zone::east_by(east).expect("a zone"), now: WallTime::from_unix_nanos(now), ..note() };
            let Some(page) = with_note(&capture, &note) else { continue };
            let find = |needle: &[u8]| page.windows(needle.len()).position(|part| part == needle).expect("a note");
            let (from, to) = (find(b"<section class="), find(b"</section>") + 10);
            prop_assert_eq!([&page[..from], &page[to..]].concat(), body);
            prop_assert!(page[from..to].is_ascii());
        }
    }
}
