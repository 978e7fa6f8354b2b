//! Whether a response may lie in the archive.
//!
//! Separate because this is the promise of the archive: nothing of a person, nothing behind a login, no
//! error page in the place of a page. It judges one response to a GET that carried no cookie and no
//! credential. It does **not** know what was there before: a page that is withheld now does not remove
//! its older captures, one that is gone does, and that is the store's.

use lol_html::{HtmlRewriter, MemorySettings, Settings, element, text};
use memchr::memmem;

use crate::capture::Field;
use crate::frontier::FailReason;

/// What an operator decides about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeepPolicy {
    /// Keep what the origin marks `no-store`. Some systems mark every page so, for no reason but a session
    /// that no reader has (PHP's `session.cache_limiter`).
    pub keep_no_store: bool,
    /// Bytes that show an error page behind a status of 200, such as `Error establishing a database
    /// connection`.
    pub error_markers: Vec<Vec<u8>>,
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It may be stored and shown to anybody.
    Store,
    /// The origin says that there is nothing here: withdraw what was.
    Gone,
    /// Neither: what was held stays.
    Skip(FailReason),
}

/// Judges a response by its status, its fields (names in lower case) and its content without codings.
/// Stored are 200, 203 and redirects; 404 and 410 are gone. Total; O(bytes) for each marker.
pub fn judge_response(status: u16, fields: &[Field], body: &[u8], policy: &KeepPolicy) -> Keep {
    let has = |name: &str| fields.iter().any(|(found, _)| found == name);
    match status {
        404 | 410 => return Keep::Gone,
        401 | 403 | 407 | 511 => return Keep::Skip(FailReason::NeedsLogin),
        408 | 425 | 429 => return Keep::Skip(FailReason::Busy),
        500..=599 => return Keep::Skip(FailReason::ServerError),
        200 | 203 | 301 | 302 | 303 | 307 | 308 => {}
        _ => return Keep::Skip(FailReason::OtherStatus),
    }
    if has("www-authenticate") {
        return Keep::Skip(FailReason::NeedsLogin);
    }
    if has("set-cookie") {
        return Keep::Skip(FailReason::SetsCookie);
    }
    if let Some(reason) = withheld(fields, policy) {
        return Keep::Skip(reason);
    }
    if status >= 300 {
        return redirect(fields);
    }
    content(fields, body, policy)
}

/// What the origin says of who may keep it.
fn withheld(fields: &[Field], policy: &KeepPolicy) -> Option<FailReason> {
    for (name, value) in fields {
        let value = value.to_ascii_lowercase();
        for item in value.split(|&byte| byte == b',') {
            let item = item.split(|&byte| byte == b'=').next().unwrap_or_default().trim_ascii();
            match (name.as_str(), item) {
                // RFC 9111 §5.2.2.7; with field names as well: those fields would have to go.
                ("cache-control", b"private") => return Some(FailReason::Private),
                ("cache-control", b"no-store") if !policy.keep_no_store => {
                    return Some(FailReason::NoStore);
                }
                // RFC 9110 §12.5.5: it depends on more than any request says.
                ("vary", b"*") => return Some(FailReason::Varies),
                _ => {}
            }
        }
    }
    None
}

fn redirect(fields: &[Field]) -> Keep {
    let mut locations = fields.iter().filter(|(name, _)| name == "location");
    match (locations.next(), locations.next()) {
        (Some((_, target)), None) if !target.is_empty() => {
            let target = String::from_utf8_lossy(target);
            if leads_to_login(&target) { Keep::Skip(FailReason::NeedsLogin) } else { Keep::Store }
        }
        _ => Keep::Skip(FailReason::Broken),
    }
}

/// Whether a URL or a reference is that of a place to sign in, by the names that systems give it.
pub(crate) fn leads_to_login(reference: &str) -> bool {
    let path = reference.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let path = path.split_once("://").map_or(path.as_str(), |(_, rest)| rest);
    path.split('/').any(|segment| {
        matches!(
            segment,
            "wp-login.php"
                | "login"
                | "login.php"
                | "login.html"
                | "signin"
                | "sign-in"
                | "sign_in"
                | "log-in"
                | "logout"
                | "log-out"
                | "signout"
                | "sign-out"
                | "sign_out"
                | "oauth2"
                | "oauth"
                | "saml"
                | "sso"
        )
    })
}

fn content(fields: &[Field], body: &[u8], policy: &KeepPolicy) -> Keep {
    let media_type = fields.iter().find(|(name, _)| name == "content-type");
    let media_type = media_type
        .map_or(String::new(), |(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase());
    let is_page =
        media_type.starts_with("text/html") || media_type.starts_with("application/xhtml+xml");
    // A program that died at its first line says 200 and nothing.
    if is_page && body.trim_ascii().is_empty() {
        return Keep::Skip(FailReason::ErrorPage);
    }
    let is_text = is_page
        || media_type.starts_with("text/")
        || media_type.contains("xml")
        || media_type.contains("json");
    let mut markers = policy.error_markers.iter().filter(|marker| !marker.is_empty());
    if is_text && markers.any(|marker| memmem::find(body, marker).is_some()) {
        return Keep::Skip(FailReason::ErrorPage);
    }
    if is_page && asks_for_password(body) {
        return Keep::Skip(FailReason::NeedsLogin);
    }
    Keep::Store
}

/// Whether a page has a field for a password and hardly anything to read: a page that stands in for what is
/// behind a login, and not one with a login in its margin.
fn asks_for_password(body: &[u8]) -> bool {
    let body = &body[..body.len().min(MAX_LOGIN_BYTES)];
    // Nearly every page ends here, without being parsed.
    if !body.windows(8).any(|window| window.eq_ignore_ascii_case(b"password")) {
        return false;
    }
    let (mut fields, mut letters) = (0_usize, 0_usize);
    let settings = Settings::new()
        .append_element_content_handler(element!("input[type='password' i]", |_| {
            fields += 1;
            Ok(())
        }))
        .append_element_content_handler(text!(
            "p, li, td, dd, blockquote, pre, h1, h2, h3, article",
            |chunk| {
                letters += chunk.as_str().chars().filter(|letter| letter.is_alphanumeric()).count();
                Ok(())
            }
        ))
        .with_strict(false)
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(MAX_LOGIN_BYTES));
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    match rewriter.write(body) {
        Ok(()) => drop(rewriter.end()),
        Err(_) => drop(rewriter),
    }
    fields > 0 && letters < MIN_LETTERS
}

/// A page that only asks for a password is not longer.
const MAX_LOGIN_BYTES: usize = 256 << 10;

/// Fewer letters than two paragraphs have.
const MIN_LETTERS: usize = 400;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Keep, KeepPolicy, judge_response};
    use crate::capture::Field;
    use crate::frontier::FailReason::{
        Broken, Busy, ErrorPage, NeedsLogin, NoStore, OtherStatus, Private, ServerError,
        SetsCookie, Varies,
    };

    fn fields(lines: &[&str]) -> Vec<Field> {
        let split = |line: &&str| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_owned(), value.as_bytes().to_vec())
        };
        lines.iter().map(split).collect()
    }

    #[track_caller]
    fn check(status: u16, lines: &[&str], body: &str, want: Keep) {
        let policy = KeepPolicy {
            error_markers: vec![b"database connection".to_vec(), Vec::new()],
            ..KeepPolicy::default()
        };
        assert_eq!(
            judge_response(status, &fields(lines), body.as_bytes(), &policy),
            want,
            "{status} {lines:?} {body}"
        );
    }

    #[test]
    fn pages_for_everybody_are_stored() {
        let html = "content-type: text/html";
        check(200, &[html], "<p>x", Keep::Store);
        check(
            203,
            &[html, "vary: Cookie, Accept-Encoding", "cache-control: no-cache, max-age=0"],
            "<p>x",
            Keep::Store,
        );
        check(200, &["content-type: image/png"], "", Keep::Store);
        check(200, &[], "", Keep::Store);
        check(200, &["content-type: image/png"], "database connection", Keep::Store);
        check(301, &["location: /x"], "", Keep::Store);
        check(302, &["location: https://example.net/logins/"], "", Keep::Store);
        let article = "Anybody may read this. ".repeat(40);
        let margin = format!("<form><input type=password></form><article>{article}</article>");
        check(200, &[html], &margin, Keep::Store);
        check(200, &[html], "<p>how to choose a password", Keep::Store);
    }

    #[test]
    fn what_is_somebodys_or_behind_a_login_is_never_stored() {
        check(200, &["set-cookie: a=b"], "x", Keep::Skip(SetsCookie));
        check(301, &["set-cookie: a=b", "location: /"], "", Keep::Skip(SetsCookie));
        check(200, &["cache-control: max-age=9, PRIVATE"], "x", Keep::Skip(Private));
        check(200, &["cache-control: private=\"x\""], "x", Keep::Skip(Private));
        check(
            200,
            &["cache-control: no-cache", "cache-control: no-store"],
            "x",
            Keep::Skip(NoStore),
        );
        check(200, &["vary: Accept, *"], "x", Keep::Skip(Varies));
        check(200, &["www-authenticate: Basic"], "x", Keep::Skip(NeedsLogin));
        for status in [401, 403, 407, 511] {
            check(status, &[], "x", Keep::Skip(NeedsLogin));
        }
        for target in [
            "/wp-login.php?redirect_to=x",
            "https://sso.example.org/Login",
            "/user/login",
            "../sign-in#x",
        ] {
            check(302, &[&format!("location: {target}")], "", Keep::Skip(NeedsLogin));
        }
        let html = "content-type: text/html; charset=utf-8";
        for form in ["<input type=password>", "<h1>Sign in</h1><INPUT name=p TYPE='Password'>"] {
            check(200, &[html], form, Keep::Skip(NeedsLogin));
        }
    }

    #[test]
    fn what_may_be_kept_though_it_says_no_store_is_the_operators_to_say() {
        let policy = KeepPolicy { keep_no_store: true, ..KeepPolicy::default() };
        let judge = |lines: &[&str]| judge_response(200, &fields(lines), b"x", &policy);
        assert_eq!(judge(&["cache-control: no-store, no-cache, must-revalidate"]), Keep::Store);
        assert_eq!(judge(&["cache-control: no-store, private"]), Keep::Skip(Private));
        assert_eq!(judge(&["cache-control: no-store", "set-cookie: a=b"]), Keep::Skip(SetsCookie));
    }

    #[test]
    fn an_error_never_takes_the_place_of_a_page() {
        check(404, &["set-cookie: a=b"], "x", Keep::Gone);
        check(410, &[], "", Keep::Gone);
        for status in [500, 502, 503, 504, 599] {
            check(status, &[], "x", Keep::Skip(ServerError));
        }
        check(429, &[], "x", Keep::Skip(Busy));
        for status in [0, 100, 204, 206, 300, 304, 400, 418, 600, u16::MAX] {
            check(status, &[], "x", Keep::Skip(OtherStatus));
        }
        check(
            200,
            &["content-type: text/html"],
            "<h1>Error in a database connection",
            Keep::Skip(ErrorPage),
        );
        check(
            200,
            &["content-type: application/rss+xml"],
            "database connection",
            Keep::Skip(ErrorPage),
        );
        check(200, &["content-type: text/html"], " \n", Keep::Skip(ErrorPage));
        check(301, &[], "", Keep::Skip(Broken));
        check(301, &["location: /a", "location: /b"], "", Keep::Skip(Broken));
    }

    proptest! {
        #[test]
        fn nothing_with_a_cookie_is_ever_stored(
            status in any::<u16>(),
            lines in prop::collection::vec(("[a-z-]{1,12}", prop::collection::vec(any::<u8>(), 0..20)), 0..6),
            body in prop::collection::vec(any::<u8>(), 0..100),
            keep_no_store in any::<bool>(),
        ) {
            let policy = KeepPolicy { keep_no_store, error_markers: vec![b"x".to_vec()] };
            let _ = judge_response(status, &lines, &body, &policy);
            let mut lines = lines;
            lines.push(("set-cookie".to_owned(), b"session=1".to_vec()));
            prop_assert_ne!(judge_response(status, &lines, &body, &policy), Keep::Store);
        }
    }
}
