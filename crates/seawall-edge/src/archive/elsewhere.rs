//! Where else a site can be read: its onion address, told to Tor Browser, and its mirrors, on pages that say
//! it cannot be read here.
//!
//! A flood is told the same page again and again, so a page with mirrors is made once for each that it is
//! made of, and looked up after that.

use std::cell::{OnceCell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use seawall_archive::escape_html;
use seawall_cache::{Key, Scheme};

use crate::answer::{Answer, AnswerBody, AnswerHead, Prepared};
use crate::config::SiteArchive;
use crate::policy::Policy;

/// Adds `Onion-Location` to a page that is served over https, unless the origin says it: over http the field
/// has no meaning (<https://community.torproject.org/onion-services/advanced/onion-location/>).
pub(crate) fn put_onion(headers: &mut HeaderMap, settings: Option<&SiteArchive>, key: &Key) {
    let Some(onion) = settings.and_then(|settings| settings.onion.as_deref()) else { return };
    let name = HeaderName::from_static("onion-location");
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is_html = kind.get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/html"));
    if !is_html || key.scheme() != Scheme::Https || headers.contains_key(&name) {
        return;
    }
    let mut value = onion.as_bytes().to_vec();
    value.extend_from_slice(key.path());
    if let Some(query) = key.query() {
        value.push(b'?');
        value.extend_from_slice(query);
    }
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        headers.insert(name, value);
    }
}

/// Names the mirrors of a site on a page of ours that says it cannot be read.
pub(crate) fn name_mirrors(policy: &Policy, site: usize, answer: &mut Answer) {
    if !matches!(answer.status, 502..=504) {
        return;
    }
    let settings = policy.config.sites.get(site).and_then(|site| site.archive.as_ref());
    let mirrors = settings.map_or(&[][..], |settings| &settings.mirrors);
    let AnswerHead::Prepared(page) = &mut answer.head else { return };
    let AnswerBody::Whole(body) = &mut answer.body else { return };
    if mirrors.is_empty() || page.fields.get(CONTENT_TYPE).is_none_or(|kind| kind != PAGE) {
        return;
    }
    let made = made((policy.generation, site), page, mirrors);
    *body = made.body.clone();
    *page = made;
}

/// What our own pages say that they are.
const PAGE: &str = "text/html; charset=utf-8";

/// A page that was made: of which policy and site, of which page, and what came of it.
struct Made {
    of: (u64, usize),
    plain: Rc<Prepared>,
    page: Rc<Prepared>,
}

/// A site under a flood tells some thirteen: as many as there are times to come back after.
const KEPT: usize = 32;

thread_local! {
    static MADE: RefCell<Vec<Made>> = const { RefCell::new(Vec::new()) };
}

fn made(of: (u64, usize), plain: &Rc<Prepared>, mirrors: &[String]) -> Rc<Prepared> {
    MADE.with_borrow_mut(|kept| {
        let found = kept.iter().find(|made| made.of == of && Rc::ptr_eq(&made.plain, plain));
        if let Some(found) = found {
            return Rc::clone(&found.page);
        }
        let page = Rc::new(with_mirrors(plain, mirrors));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Made { of, plain: Rc::clone(plain), page: Rc::clone(&page) });
        page
    })
}

fn with_mirrors(plain: &Prepared, mirrors: &[String]) -> Prepared {
    let text = String::from_utf8_lossy(&plain.body);
    let at = text.rfind("</main>").unwrap_or(text.len());
    let mut page = text[..at].to_owned();
    // The sentence is left out where the page speaks another language; addresses need none.
    if text.contains("<html lang=\"en\"") {
        page.push_str("<p>The site may be read here too:</p>\n");
    }
    page.push_str("<ul dir=\"ltr\">\n");
    for mirror in mirrors.iter().take(MAX_MIRRORS) {
        let mirror = escape_html(mirror);
        // Writing to a text cannot fail.
        let _ = writeln!(page, "<li><a href=\"{mirror}\" rel=\"noreferrer\">{mirror}</a></li>");
    }
    page.push_str("</ul>\n");
    page.push_str(&text[at..]);
    let mut fields = plain.fields.clone();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(page.len()));
    Prepared { fields, body: Bytes::from(page), http1: OnceCell::new() }
}

/// More than a reader tries.
const MAX_MIRRORS: usize = 8;

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{CONTENT_TYPE, HeaderValue};
    use seawall_cache::Key;

    use super::put_onion;
    use crate::config::SiteArchive;

    #[track_caller]
    fn check(url: &str, kind: &'static str, said: Option<&'static str>, want: Option<&str>) {
        let mut settings = SiteArchive::new("https://example.org".to_owned(), 0);
        settings.onion = Some("http://abc.onion".to_owned());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.extend(said.map(|said| {
            (http::HeaderName::from_static("onion-location"), HeaderValue::from_static(said))
        }));
        put_onion(&mut headers, Some(&settings), &Key::from_url(url).expect("a URL"));
        let got = headers.get("onion-location").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(got, want, "{url} {kind}");
    }

    #[test]
    fn pages_over_https_name_their_place_on_the_onion_site() {
        let html = "text/html; charset=utf-8";
        check("https://example.org/a?b=1", html, None, Some("http://abc.onion/a?b=1"));
        check("https://example.org/", "Text/HTML", None, Some("http://abc.onion/"));
        check("http://example.org/a", html, None, None);
        check("https://example.org/a", "image/png", None, None);
        // The origin knows better.
        check("https://example.org/a", html, Some("http://x.onion/"), Some("http://x.onion/"));
    }

    #[test]
    fn without_an_onion_address_none_is_named() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let key = Key::from_url("https://example.org/").expect("a URL");
        let settings = SiteArchive::new("https://example.org".to_owned(), 0);
        put_onion(&mut headers, Some(&settings), &key);
        put_onion(&mut headers, None, &key);
        assert!(!headers.contains_key("onion-location"));
    }
}
