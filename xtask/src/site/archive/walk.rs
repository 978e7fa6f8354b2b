//! What a reader can reach: a walk of the site itself, from link to link.
//!
//! Separate, and with a reader of links of its own, because it is what the crawl is judged by: what both
//! overlooked for the same reason would not be missed. It is as simple as it can be and knows one site,
//! whose pages it can read: WordPress' own, its sitemap and its feeds.

use std::collections::{BTreeMap, BTreeSet};

use crate::Outcome;

use super::super::readers::Readers;

/// What the site answered.
pub(super) struct Found {
    pub(super) status: u16,
    pub(super) media_type: String,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Found {
    /// Whether it is a page for people.
    pub(super) fn is_page(&self) -> bool {
        self.status == 200 && self.media_type.starts_with("text/html")
    }
}

/// Everything that is reached.
#[derive(Default)]
pub(super) struct Walk {
    /// By path, with what was answered: 200 or a redirect.
    pub(super) found: BTreeMap<String, Found>,
    /// Links that led to something else, such as 404.
    pub(super) dead: Vec<(String, u16)>,
}

/// How the site calls itself.
const SITE: &str = "http://example.test";
/// Where a walk begins: nobody links to the last two, and every crawler knows them.
const SEEDS: [&str; 3] = ["/", "/robots.txt", "/wp-sitemap.xml"];
/// A site of so many URLs was never installed.
const MOST: usize = 20_000;

/// Walks until there is nothing new.
///
/// # Errors
/// When curl cannot be run, or the walk has no end.
pub(super) fn walk(readers: &Readers<'_>) -> Outcome<Walk> {
    let mut walk = Walk::default();
    let mut seen: BTreeSet<String> = SEEDS.iter().map(|seed| (*seed).to_owned()).collect();
    let mut next: Vec<String> = seen.iter().cloned().collect();
    while !next.is_empty() {
        let answers = readers.read(&next)?;
        let mut links = BTreeSet::new();
        for (path, got) in next.iter().zip(answers) {
            let answer = got.answer;
            let field = |name: &str| answer.field(name).map(str::to_owned);
            let found = Found {
                status: answer.status,
                media_type: field("content-type").unwrap_or_default(),
                location: field("location"),
                body: Vec::new(),
            };
            if !matches!(found.status, 200 | 301 | 302 | 303 | 307 | 308) {
                walk.dead.push((path.clone(), found.status));
                continue;
            }
            links.extend(links_of(path, &found, &String::from_utf8_lossy(&answer.body)));
            walk.found.insert(path.clone(), Found { body: answer.body, ..found });
        }
        next = links.into_iter().filter(|link| seen.insert(link.clone())).collect();
        if seen.len() > MOST {
            return Err(format!("the site has more than {MOST} URLs"));
        }
    }
    Ok(walk)
}

/// Whether a reader has any business there: not where one signs in or behind that, not at what programs
/// call, and not the form to reply to one comment, which is the page itself again.
fn is_for_readers(path: &str) -> bool {
    let (place, query) = path.split_once('?').unwrap_or((path, ""));
    let closed = ["/wp-admin", "/wp-login.php", "/wp-json", "/xmlrpc.php", "/wp-comments-post.php"];
    !closed.iter().any(|begin| place.starts_with(begin)) && !query.contains("replytocom=")
}

/// The paths on the site that an answer leads to.
fn links_of(path: &str, found: &Found, text: &str) -> Vec<String> {
    let mut references: Vec<String> = found.location.iter().cloned().collect();
    let media_type = found.media_type.split(';').next().unwrap_or_default();
    match media_type {
        "text/html" => references.extend(in_html(text)),
        "text/css" => references.extend(in_css(text)),
        "text/plain" => {
            let maps = text.lines().filter_map(|line| line.strip_prefix("Sitemap:"));
            references.extend(maps.map(|map| map.trim().to_owned()));
        }
        _ if media_type.contains("xml") => references.extend(in_xml(text)),
        _ => {}
    }
    let resolved = references.iter().filter_map(|reference| resolve(path, reference));
    resolved.filter(|link| is_for_readers(link)).collect()
}

/// What stands in the attributes of elements that lead somewhere or load something.
fn in_html(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end..]);
            continue;
        }
        let Some(end) = rest.find('>') else { break };
        let tag = &rest[..end];
        rest = &rest[end..];
        let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
        if ["a", "link", "img", "script", "source", "area", "iframe"].contains(&name.as_str()) {
            found.extend(in_tag(&name, tag));
        }
        // What looks like a tag in a script is none.
        if name == "script" || name == "style" {
            let close = format!("</{name}");
            rest = rest.find(&close).map_or("", |end| &rest[end..]);
        }
    }
    found
}

fn in_tag(name: &str, tag: &str) -> Vec<String> {
    let mut found: Vec<String> =
        ["href", "src"].iter().filter_map(|it| attribute(tag, it)).collect();
    if let Some(set) = attribute(tag, "srcset") {
        let each = set.split(',').filter_map(|one| one.split_whitespace().next());
        found.extend(each.map(str::to_owned));
    }
    let relation = attribute(tag, "rel").unwrap_or_default();
    // Hosts to get ready for are no resources, a short link is another name of the page itself, which no reader
    // sees there, and the last two are for programs that write posts.
    let not_followed = ["dns-prefetch", "preconnect", "shortlink", "EditURI", "wlwmanifest"];
    if name == "link" && not_followed.contains(&relation.as_str()) {
        found.clear();
    }
    found
}

/// The value of an attribute in quotes, which is how WordPress writes them.
fn attribute(tag: &str, name: &str) -> Option<String> {
    for quote in ['"', '\''] {
        let begin = format!("{name}={quote}");
        let mut places = tag.match_indices(&begin);
        let place = places.find(|(at, _)| tag[..*at].ends_with(char::is_whitespace));
        if let Some((at, _)) = place {
            let value = &tag[at + begin.len()..];
            let end = value.find(quote)?;
            return Some(plain(&value[..end]));
        }
    }
    None
}

fn in_css(text: &str) -> Vec<String> {
    let urls = text.split("url(").skip(1).filter_map(|rest| rest.split(')').next());
    urls.map(|url| url.trim().trim_matches(['"', '\'']).to_owned())
        .filter(|url| !url.starts_with("data:"))
        .collect()
}

/// Entries of sitemaps and feeds.
fn in_xml(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for name in ["loc", "link", "comments"] {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let values = text.split(&open).skip(1).filter_map(|rest| rest.split(&close).next());
        found.extend(values.map(plain));
    }
    for begin in ["<atom:link ", "<?xml-stylesheet ", "<enclosure ", "<link "] {
        let tags = text.split(begin).skip(1).filter_map(|rest| rest.split('>').next());
        for tag in tags {
            let tag = format!(" {tag}");
            found.extend(["href", "url"].iter().filter_map(|name| attribute(&tag, name)));
        }
    }
    found
}

fn plain(text: &str) -> String {
    text.trim().replace("&#038;", "&").replace("&amp;", "&")
}

/// The path of a reference on the site, without what stands behind `#`.
fn resolve(from: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    if reference.is_empty() {
        return None;
    }
    let reference = reference.strip_prefix("//example.test").unwrap_or(reference);
    if let Some(path) = reference.strip_prefix(SITE) {
        return Some(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") });
    }
    let is_elsewhere = reference.starts_with("//") || reference.split('/').next()?.contains(':');
    if is_elsewhere {
        return None;
    }
    if reference.starts_with('/') {
        return Some(reference.to_owned());
    }
    let place = from.split('?').next().unwrap_or_default();
    if reference.starts_with('?') {
        return Some(format!("{place}{reference}"));
    }
    let folder = &place[..place.rfind('/')? + 1];
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let mut steps = reference.split('/').peekable();
    let mut ends_open = false;
    while let Some(step) = steps.next() {
        ends_open = steps.peek().is_none() && matches!(step, "" | "." | "..");
        match step {
            "" | "." => {}
            ".." => drop(parts.pop()),
            step => parts.push(step),
        }
    }
    Some(format!("/{}{}", parts.join("/"), if ends_open && !parts.is_empty() { "/" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::{Found, links_of};

    fn check(media_type: &str, text: &str, expected: &[&str]) {
        let found = Found {
            status: 200,
            media_type: media_type.to_owned(),
            location: None,
            body: Vec::new(),
        };
        assert_eq!(links_of("/2025/page/", &found, text), expected, "{text}");
    }

    #[test]
    fn links_of_all_kinds_are_found_and_those_that_lead_away_are_not() {
        check(
            "text/html; charset=UTF-8",
            "<a class=\"b\" href=\"http://example.test/one/#c\">1</a><!-- <a href='/no/'> -->\
             <img data-src='/no' src='/a.png' srcset=\"/a.png 300w, /b.png 100w\"/>\
             <link rel='preconnect' href='/no'><link rel='shortlink' href='/?p=1'>\
             <link rel='wlwmanifest' href='/no.xml'><link rel='stylesheet' href='/s.css?v=1&#038;w=2'>\
             <script>if (a<b) '<a href=\"/no/\">'</script><a href='mailto:a@b'>m</a>\
             <a href='https://elsewhere.test/'>e</a><a href='../up/'>u</a><a href='?p=3'>q</a>\
             <a href='/story/?replytocom=4#respond'>r</a><a href='/wp-login.php'>l</a>",
            &[
                "/one/",
                "/a.png",
                "/a.png",
                "/b.png",
                "/s.css?v=1&w=2",
                "/2025/up/",
                "/2025/page/?p=3",
            ],
        );
        check(
            "text/css",
            "a{background:url( 'x/y.woff' )}b{c:url(data:z)}",
            &["/2025/page/x/y.woff"],
        );
        check("text/plain", "User-agent: *\nSitemap: http://example.test/m.xml\n", &["/m.xml"]);
        check(
            "application/xml; charset=UTF-8",
            "<?xml-stylesheet type='text/xsl' href='http://example.test/x.xsl' ?><loc>http://example.test/</loc>\
             <link>http://example.test/a/</link><atom:link href=\"http://example.test/feed/\" rel=\"self\" />",
            &["/", "/a/", "/feed/", "/x.xsl"],
        );
    }
}
