//! The pages: semantic HTML around the words.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::site::text::{Article, OLD_ROOT, SECTIONS};
use crate::site::{HOST, assets, section_path};

/// The front page: two large stories and a long list.
pub(crate) fn front(articles: &[Article]) -> String {
    let mut main = String::with_capacity(24 * 1024);
    for article in articles.iter().take(2) {
        main.push_str("<article class=\"story\">\n");
        push_picture(&mut main, article);
        push_teaser(&mut main, article);
        main.push_str("</article>\n");
    }
    push_teasers(&mut main, articles.iter().skip(2).take(28));
    whole("The Tidewater Post", "Independent news from the coast", &main)
}

/// One section: its newest stories.
pub(crate) fn section(articles: &[Article], section: &str) -> String {
    let mut main = format!("<h1>{section}</h1>\n");
    push_teasers(&mut main, articles.iter().filter(|article| article.section == section).take(24));
    whole(section, "All stories of this section", &main)
}

/// One story, with what to read next.
pub(crate) fn article(articles: &[Article], at: usize) -> String {
    let article = &articles[at];
    let mut main = String::with_capacity(24 * 1024);
    let _ = write!(
        main,
        "<article class=\"story\">\n<h1>{}</h1>\n<p class=\"meta\">By {} · <time>{}</time> · <a href=\"{}\">{}</a></p>\n<p class=\"lead\">{}</p>\n",
        escape(&article.title),
        escape(&article.byline),
        article.day(),
        section_path(article.section),
        article.section,
        escape(&article.summary),
    );
    push_picture(&mut main, article);
    for paragraph in article.paragraphs() {
        let _ = writeln!(main, "<p>{}</p>", escape(&paragraph));
    }
    main.push_str("</article>\n<aside>\n<h2>Read next</h2>\n");
    let next = (1..=6).map(|step| &articles[(at + step * 7) % articles.len()]);
    push_teasers(&mut main, next);
    main.push_str("</aside>\n");
    whole(&article.title, &article.summary, &main)
}

/// What old stories there are.
pub(crate) fn files(old: &[Article]) -> String {
    let mut main = String::from("<h1>From the files</h1>\n");
    push_teasers(&mut main, old.iter());
    whole("From the files", "What was in this paper ten years ago", &main)
}

/// Letters about one story, of which more come in all the time.
pub(crate) fn letters(articles: &[Article], number: usize) -> String {
    let article = &articles[number % articles.len()];
    let mut main = format!("<h1>Letters about “{}”</h1>\n", escape(&article.title));
    for paragraph in article.paragraphs().iter().rev().take(4) {
        let _ = writeln!(main, "<blockquote>{}</blockquote>", escape(paragraph));
    }
    whole("Letters", "What readers write", &main)
}

/// Who we are.
pub(crate) fn about() -> String {
    whole(
        "About",
        "About this paper",
        "<h1>About The Tidewater Post</h1>\n<p>A newspaper that exists to be read by readers who do \
         not exist, so that a real one can be kept readable. Every word is put together from lists; \
         no person, place or sea wall is meant.</p>\n",
    )
}

/// Nothing here.
pub(crate) fn not_found() -> String {
    whole(
        "Not found",
        "No such page",
        "<h1>Not found</h1>\n<p>We have no page at this address.</p>\n",
    )
}

/// Stories that hold every word of `question` (form-encoded) in headline or summary.
pub(crate) fn search(articles: &[Article], question: &str) -> String {
    let question = decode_form(question);
    let words: Vec<String> = question.split_whitespace().map(str::to_lowercase).collect();
    let found: Vec<&Article> = articles
        .iter()
        .filter(|article| {
            let text = format!("{} {}", article.title, article.summary).to_lowercase();
            !words.is_empty() && words.iter().all(|word| text.contains(word))
        })
        .collect();
    let mut main = format!("<h1>{} stories about “{}”</h1>\n", found.len(), escape(&question));
    push_teasers(&mut main, found.into_iter().take(20));
    whole("Search", "Search results", &main)
}

/// RSS 2.0 with the newest stories.
pub(crate) fn feed(articles: &[Article]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<rss version=\"2.0\"><channel>\n\
         <title>The Tidewater Post</title>\n<link>http://{HOST}/</link>\n\
         <description>Independent news from the coast</description>\n"
    );
    for article in articles.iter().take(30) {
        let _ = writeln!(
            xml,
            "<item><title>{}</title><link>http://{HOST}{path}</link><guid>http://{HOST}{path}</guid><pubDate>{}</pubDate><description>{}</description></item>",
            escape(&article.title),
            article.http_date(),
            escape(&article.summary),
            path = article.path,
        );
    }
    xml.push_str("</channel></rss>\n");
    xml
}

/// All stories for search engines.
pub(crate) fn sitemap<'a>(articles: impl Iterator<Item = &'a Article>) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n",
    );
    for article in articles {
        let _ = writeln!(xml, "<url><loc>http://{HOST}{}</loc></url>", article.path);
    }
    xml.push_str("</urlset>\n");
    xml
}

fn whole(title: &str, description: &str, main: &str) -> String {
    let mut html = String::with_capacity(main.len() + 3 * 1024);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<meta name=\"description\" content=\"{}\">\n\
         <link rel=\"stylesheet\" href=\"{}\">\n<script src=\"{}\" defer></script>\n\
         <link rel=\"alternate\" type=\"application/rss+xml\" href=\"/feed.xml\">\n</head>\n<body>\n\
         <header class=\"site\">\n<img src=\"{}\" alt=\"\">\n<a class=\"name\" href=\"/\">The Tidewater Post</a>\n\
         <nav aria-label=\"Sections\">\n<button data-menu aria-expanded=\"false\" hidden>Menu</button>\n<ul>\n",
        escape(title),
        escape(description),
        assets::STYLE,
        assets::SCRIPT,
        assets::LOGO,
    );
    for section in SECTIONS {
        let _ = writeln!(html, "<li><a href=\"{}\">{section}</a></li>", section_path(section));
    }
    let _ = write!(
        html,
        "</ul>\n</nav>\n<form class=\"search\" action=\"/search\" role=\"search\"><input name=\"q\" aria-label=\"Search\"><button>Search</button></form>\n\
         </header>\n<main>\n{main}</main>\n<footer class=\"site\">\n\
         <p class=\"meta\">The Tidewater Post · <a href=\"/about/\">About</a> · <a href=\"{OLD_ROOT}\">Files</a> · <a href=\"/feed.xml\">Feed</a> · all names invented</p>\n</footer>\n</body>\n</html>\n",
    );
    html
}

fn push_teasers<'a>(out: &mut String, articles: impl Iterator<Item = &'a Article>) {
    out.push_str("<ol class=\"teasers\">\n");
    for article in articles {
        out.push_str("<li>\n");
        push_teaser(out, article);
        out.push_str("</li>\n");
    }
    out.push_str("</ol>\n");
}

fn push_teaser(out: &mut String, article: &Article) {
    let _ = write!(
        out,
        "<h2><a href=\"{}\">{}</a></h2>\n<p>{}</p>\n<p class=\"meta\">{} · By {} · <time>{}</time></p>\n",
        article.path,
        escape(&article.title),
        escape(&article.summary),
        article.section,
        escape(&article.byline),
        article.day(),
    );
}

fn push_picture(out: &mut String, article: &Article) {
    let _ = writeln!(
        out,
        "<figure><img src=\"{}\" alt=\"The coast\" width=\"800\" height=\"450\"><figcaption>The coast, drawn for this paper</figcaption></figure>",
        article.picture,
    );
}

fn escape(text: &str) -> Cow<'_, str> {
    // Almost nothing the paper writes needs it.
    if !text.contains(['&', '<', '>', '"']) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    Cow::Owned(escaped.replace('"', "&quot;"))
}

/// `application/x-www-form-urlencoded` of one value, cut at the next field.
fn decode_form(value: &str) -> String {
    let value = value.split('&').next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let code = std::str::from_utf8(&digits)
                    .ok()
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                bytes.push(code.unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
