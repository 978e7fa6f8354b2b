//! What is found in responses of every form, and that nothing in them makes it long, large or panic.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use seawall_archive::{
    Capture, Link, LinkSource, MAX_LINKS, MAX_TITLE_CHARS, links, normal_url, read,
};
use seawall_model::WallTime;

fn capture(url: &str, media_type: &str, body: impl Into<Bytes>) -> Capture {
    Capture {
        url: url.to_owned(),
        captured: WallTime::from_unix_secs(1_795_348_800),
        status: 200,
        fields: vec![("content-type".to_owned(), media_type.as_bytes().to_vec())],
        body: body.into(),
    }
}

fn page(body: &str) -> Capture {
    capture("https://example.org/a/b", "text/html; charset=utf-8", body.to_owned())
}

/// `P /path` for each link, in order, those of other hosts whole.
fn short(links: &[Link]) -> Vec<String> {
    let shorten = |link: &Link| {
        let kind = &link.kind.as_str()[..1];
        let newest = if link.is_newest { "*" } else { "" };
        format!(
            "{kind}{newest} {}",
            link.url.strip_prefix("https://example.org").unwrap_or(&link.url)
        )
    };
    links.iter().map(shorten).collect()
}

#[track_caller]
fn check(capture: &Capture, want: &[&str]) {
    assert_eq!(short(&links(capture)), want, "{}", String::from_utf8_lossy(&capture.body));
}

#[test]
fn every_place_of_a_page_that_loads_or_offers_something_is_read() {
    for (html, want) in [
        ("<a href=c>x</a><area href='/d?a=1&amp;b=2'>", &["p /a/c", "p /d?a=1&b=2"][..]),
        ("<a href='x.PDF'>x</a><a href=/feed/>f</a>", &["r /a/x.PDF", "f /feed/"]),
        ("<base href='/n/'><a href=c>", &["p /n/c"]),
        ("<a href=c><base href='//example.net/'><base href=/no/>", &["p https://example.net/c"]),
        (
            "<link rel='shortcut icon' href=i.ico><link rel=stylesheet href=s>",
            &["r /a/i.ico", "r /a/s"],
        ),
        ("<link rel=alternate type=application/rss+xml href=/f>", &["f /f"]),
        (
            "<link rel=alternate hreflang=de href=/de><link rel=canonical href=/c>",
            &["p /de", "p /c"],
        ),
        (
            "<link rel=alternate type='application/json+oembed' href=/no><link rel=pingback href=/no>",
            &[],
        ),
        ("<link rel='next nofollow' href=/2>", &["p /2"]),
        (
            "<link rel=shortlink href='/?p=1'><link rel=shortlink href=/no><a href=/x>",
            &["p /x", "p /?p=1"],
        ),
        (
            "<img src=a.png srcset='b.png 1x, c,d.png 2x,e.png'><picture><source srcset=f.png></picture>",
            &["r /a/a.png", "r /a/b.png", "r /a/c,d.png", "r /a/e.png", "r /a/f.png"],
        ),
        ("<img src='data:image/png;base64,xx' data-src=l.png>", &["r /a/l.png"]),
        (
            "<video src=v poster=p><track src=t></video><audio><source src=s></audio><embed src=e>",
            &["r /a/v", "r /a/p", "r /a/t", "r /a/s", "r /a/e"],
        ),
        (
            "<iframe src=/i></iframe><object data=/o></object><script src=/s></script>",
            &["p /i", "r /o", "r /s"],
        ),
        (
            "<svg><image xlink:href=i /><use href='u.svg#x'/><a xlink:href=p></svg>",
            &["r /a/i", "r /a/u.svg", "p /a/p"],
        ),
        ("<meta http-equiv=Refresh content=\"5; URL='/next'\">", &["p /next"]),
        ("<meta http-equiv=refresh content=5><meta property=og:image content=/o>", &["r /o"]),
        (
            "<style>a{x:url(c.png)}</style><p style='x:url(&quot;d.png&quot;)'>",
            &["r /a/c.png", "r /a/d.png"],
        ),
        ("<style>a{x:'unclosed</style><style>@import 'b'</style>", &["r /a/b"]),
        ("<noscript><img src=n.png><a href=/n>x</a></noscript>", &["r /a/n.png", "p /n"]),
        ("<body background=g.png><input type=image src=i>", &["r /a/g.png", "r /a/i"]),
        ("<form action=/no><button formaction=/no></form><!-- <a href=/no> -->", &[]),
        ("<script>'<a href=/no>'</script><textarea><a href=/no></textarea>", &[]),
        ("<a href=/x><a href='/x#y'><a href='https://EXAMPLE.org/x'>", &["p /x"]),
        ("<a rel=nofollow href=/x><A HREF = \"/y\" >", &["p /x", "p /y"]),
        ("<a href='javascript:x()'><a href=mailto:x><a href=''><a>", &[]),
    ] {
        check(&page(html), want);
    }
}

#[test]
fn a_page_says_its_title_and_its_language() {
    let html = "<html lang=uk_UA><title>\n Київ &ndash;  <b>news</b>\n</title><svg><title>no</title></svg>";
    let mut capture = page(html);
    capture.fields.push(("content-language".to_owned(), b"de, en".to_vec()));
    let reading = read(&capture);
    assert_eq!(reading.title.as_deref(), Some("Київ – <b>news</b>"));
    assert_eq!(reading.lang.as_deref(), Some("uk-UA"));
    capture.body = Bytes::from_static(b"<title> </title>");
    assert_eq!((read(&capture).title, read(&capture).lang.as_deref()), (None, Some("de")));
    let long =
        read(&page(&format!("<title>{}</title>", "ж ".repeat(9_000)))).title.expect("a title");
    assert!((MAX_TITLE_CHARS - 1..=MAX_TITLE_CHARS).contains(&long.chars().count()));
}

#[test]
fn text_is_read_in_the_charset_of_the_page() {
    let kyiv = b"\xca\xe8\xbf\xe2"; // Windows-1251
    let bodies: [(&str, Vec<u8>); 4] = [
        ("text/html; charset=windows-1251", [b"<title>", &kyiv[..], b"</title>"].concat()),
        ("text/html", [b"<meta charset='windows-1251'><title>", &kyiv[..], b"</title>"].concat()),
        ("text/html; charset=windows-1251", "\u{feff}<title>Київ</title>".as_bytes().to_vec()),
        (
            "text/html; charset=utf-16le",
            "<title>Київ</title>".encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
    ];
    for (media_type, body) in bodies {
        let reading = read(&capture("https://example.org/", media_type, body));
        assert_eq!(reading.title.as_deref(), Some("Київ"), "{media_type}");
    }
}

#[test]
fn fields_of_a_response_link_as_well() {
    let mut capture = capture("https://example.org/a/b", "image/png", "");
    let link = "</s>; rel=preload; as=style, <c?x=1,2>; rel=\"canonical\"; title=\"a, b\", </no>; rel=edit, </?p=1>; rel=shortlink, </no>";
    capture.fields.push(("link".to_owned(), link.as_bytes().to_vec()));
    capture.fields.push(("location".to_owned(), b"../z.png".to_vec()));
    check(&capture, &["r /s", "p /a/c?x=1,2", "p /?p=1", "r /z.png"]);
    assert_eq!(links(&capture)[2].source, LinkSource::Shortlink);
    assert_eq!(links(&capture)[3].source, LinkSource::Redirect);
}

#[test]
fn sitemaps_say_what_is_newest() {
    let xml = "<?xml version='1.0'?><urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>\
        <url><loc>https://example.org/old</loc><lastmod>2020-01-01</lastmod></url>\
        <url><loc> https://example.org/new?a=1&amp;b=2\n</loc><lastmod>2026-11-22T10:00:00+01:00</lastmod>\
        <image:image><image:loc>/i.jpg</image:loc></image:image>\
        <xhtml:link rel='alternate' hreflang='de' href='/de'/></url>\
        <url><loc><![CDATA[https://example.org/undated]]></loc></url></urlset>";
    let want = ["p* /new?a=1&b=2", "p* /old", "r /i.jpg", "p /de", "p /undated"];
    let plain = capture("https://example.org/sitemap.xml", "text/xml", xml);
    check(&plain, &want);
    assert_eq!(links(&plain)[0].modified, Some(WallTime::from_unix_secs(1_795_338_000)));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(xml.as_bytes()).expect("to memory");
    let packed = gzip.finish().expect("to memory");
    check(&capture("https://example.org/sitemap.xml.gz", "application/x-gzip", packed), &want);
    let styled = "<?xml version='1.0'?><?xml-stylesheet type=\"text/xsl\" href=\"/look.xsl\" ?>\
        <?other href='/no'?><urlset><url><loc>/a</loc></url></urlset>";
    let styled = capture("https://example.org/sitemap.xml", "text/xml", styled);
    check(&styled, &["r /look.xsl", "p /a"]);
    let index = "<sitemapindex><sitemap><loc>/a</loc></sitemap><sitemap><loc>/b</loc>";
    check(
        &capture("https://example.org/sitemap_index.xml", "application/xml", index),
        &["s /a", "s /b"],
    );
    let many: String = (0..2_000)
        .map(|n| format!("<url><loc>/{n}</loc><lastmod>{}</lastmod></url>", 2_000 + n % 30))
        .collect();
    let many = links(&capture(
        "https://example.org/s.xml",
        "text/xml",
        format!("<urlset>{many}</urlset>"),
    ));
    assert_eq!((many.len(), many.iter().filter(|link| link.is_newest).count()), (2_000, 50));
    assert!(many[..50].iter().all(|link| link.is_newest && link.modified >= many[50].modified));
}

#[test]
fn feeds_name_their_entries_newest_first() {
    let rss = "<rss><channel><link>https://example.org/</link><atom:link rel='self' href='/feed/'/>\
        <item><title>no &amp; <![CDATA[<a href=/no>]]></title><link>/2</link><comments>/no</comments>\
        <pubDate>Sat, 21 Nov 2026 10:00:00 +0000</pubDate><enclosure url='/2.mp3'/></item>\
        <item><guid isPermaLink='false'>/no</guid></item>\
        <item><guid>/1</guid></item></channel></rss>";
    check(
        &capture("https://example.org/feed/", "application/rss+xml", rss),
        &["p* /2", "p /", "f /feed/", "r /2.mp3", "p* /1"],
    );
    let atom = "<feed><link href='/'/><link rel='next' href='/f?2'/><entry><link rel='edit' href='/no'/>\
        <link rel='enclosure' href='/e'/><link href='/1'/><published>2020-01-01</published></entry>\
        <entry><link rel='alternate' href='/2'/><updated>2026-01-01</updated></entry></feed>";
    check(
        &capture("https://example.org/f", "application/atom+xml", atom),
        &["p* /2", "p* /1", "p /", "f /f?2", "r /e"],
    );
    let json = r#"{"items":[{"url":"/1"},{"url":"/2","date_published":"2026-01-01","attachments":[{"url":"/e"}]}],
        "home_page_url":"/","next_url":"/f?2"}"#;
    check(
        &capture("https://example.org/f", "application/feed+json", json),
        &["p* /2", "p* /1", "r /e", "p /", "f /f?2"],
    );
}

#[test]
fn lists_of_lines_are_read_and_other_text_is_not() {
    let robots = "User-agent: *\r\nDisallow: /no\r\nsitemap: https://example.org/s.xml\r\n";
    check(&capture("https://example.org/robots.txt", "text/plain", robots), &["s /s.xml"]);
    check(
        &capture("https://example.org/sitemap.txt", "text/plain", "https://example.org/x\n\nno\n"),
        &["p /x"],
    );
    check(&capture("https://example.org/notes.txt", "text/plain", "https://example.org/no"), &[]);
    check(&capture("https://example.org/x", "application/pdf", "<a href=/no>"), &[]);
    check(
        &capture("https://example.org/x.css", "text/css", "@import 'y.css';a{b:url(z)}"),
        &["r /y.css", "r /z"],
    );
}

#[test]
fn however_large_or_broken_a_response_is_what_is_read_of_it_is_bounded() {
    let repeat = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    let numbered: String = (0..3 * MAX_LINKS).map(|n| format!("<a href=/{n}>")).collect();
    let size = 1 << 20;
    for (media_type, body) in [
        ("text/html", numbered.clone()),
        ("text/html", format!("<a {}>", repeat("a ", size))),
        ("text/html", format!("<a href='{}", repeat("a", size))),
        ("text/html", repeat("<a><b>", size)),
        ("text/html", format!("{}{}", repeat("<a>", size / 2), repeat("</b>", size / 2))),
        ("text/html", repeat("<i style='a:url(b)'>", size)),
        ("text/html", format!("<img srcset='{}'>", repeat("a 1x,", size))),
        ("text/html", repeat("<noscript><noscript>", size)),
        ("text/html", repeat("<!--", size)),
        ("text/html", repeat("<title>&#0;", size)),
        ("text/css", repeat("url(", size)),
        ("text/css", repeat("@import '", size)),
        ("text/css", repeat("\\0", size)),
        ("text/xml", repeat("<urlset><url>", size)),
        ("text/xml", format!("<urlset {}>", repeat("a='' ", size))),
        ("text/xml", format!("<urlset>{}", repeat("<url><loc>/</loc></url>", size))),
        ("text/xml", format!("<urlset><url><loc>{}", repeat("&a;", size))),
        (
            "text/xml",
            format!("<!DOCTYPE a [<!ENTITY b '{}'>]><rss><item><link>&b;", repeat("b", size)),
        ),
        ("application/feed+json", repeat("[{\"items\":", size)),
    ] {
        let found = links(&capture("https://example.org/", media_type, body.clone()));
        assert!(found.len() <= MAX_LINKS, "{media_type} {}", &body[..40]);
    }
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..60 {
        bomb.write_all(&vec![b' '; 1 << 20]).expect("to memory");
    }
    let bomb = capture(
        "https://example.org/sitemap.gz",
        "application/gzip",
        bomb.finish().expect("to memory"),
    );
    assert_eq!(links(&bomb), []);
    let mut field = capture("https://example.org/", "image/png", "");
    field.fields.push(("link".to_owned(), repeat("<a>,", size).into_bytes()));
    assert_eq!(links(&field), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn anything_is_read_in_every_form(
        body in prop::collection::vec(any::<u8>(), 0..400),
        near in "(<(a|base|link|img|style|noscript|url|item|meta)( (href|src|srcset|rel|style)=['\"]?[a-z/:&;,%(){}#é]{0,9}['\"]?){0,2}/?>|</(style|url|a)>|[a-z&;<!-]{0,4}){0,12}",
        form in 0usize..6,
    ) {
        let forms = ["text/html", "text/css", "text/xml", "application/feed+json", "text/plain", "application/gzip"];
        for body in [body, near.into_bytes()] {
            let reading = read(&capture("https://example.org/sitemap.xml", forms[form], body));
            for link in &reading.links {
                prop_assert_eq!(normal_url(None, &link.url), Some(link.url.clone()));
            }
        }
    }
}
