//! What a reader gets instead of a page: short, honest, without script, with a code that
//! `seawall explain` understands and a way back.
//!
//! Scripts and apps get problem details (RFC 9457), feed readers and tools plain text, never HTML. A
//! page is one file that asks for nothing else, says what happened and what to do, and nothing about
//! the machine behind it. `cargo xtask pages` loads each of them in a browser.

mod prepared;
mod waiting;

use std::cell::OnceCell;
use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER,
};
use http::{HeaderMap, StatusCode};
use seawall_cache::CacheStatus;
use seawall_decide::Form;
use seawall_model::{Cause, Instant, Method, Refusal};

use self::prepared::Wanted;
use crate::answer::{Answer, AnswerBody, AnswerHead, Note, Prepared};
use crate::buffers;
use crate::clock;
use crate::metrics::CacheOutcome;
use crate::serve::Ask;

/// The answer to a refused request; `allowed` are the methods that are taken there.
pub(crate) fn answer(
    refused: Refusal,
    cause: Cause,
    ask: &Ask<'_>,
    allowed: impl FnOnce() -> Vec<Method>,
) -> Answer {
    let status = if refused.status == 0 { 403 } else { refused.status };
    let after_s = refused.retry_after.map(|after| after.as_secs().max(1));
    let wanted = wanted(status, cause, ask, after_s);
    let note = Note { cause, refused: true, cache: CacheOutcome::Bypass, close: refused.close };
    if refused.status != 405 {
        return told(&wanted, note);
    }
    // RFC 9110 §15.5.6: a 405 says what is allowed.
    let names: Vec<&str> = allowed().into_iter().map(Method::as_str).collect();
    let mut page = prepare(&wanted);
    if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
        page.fields.insert(ALLOW, allow);
    }
    page.into_answer(status, note)
}

/// The answer when there is none from the origin.
pub(crate) fn failed(status: u16, cause: Cause, ask: &Ask<'_>) -> Answer {
    // RFC 9110 §15.5.14: what is too large stays too large, so a 413 names no time.
    let after_s = matches!(status, 429 | 502..=504).then(|| match cause {
        Cause::OriginBusy | Cause::OriginBudget | Cause::MadeUp => soon(clock::now()),
        _ => 5,
    });
    let note = Note { cause, refused: false, cache: CacheOutcome::Error, close: false };
    told(&wanted(status, cause, ask, after_s), note)
}

/// RFC 9111 §5.2.1.7: the client wants what is stored, and nothing is.
pub(crate) fn only_if_cached(ask: &Ask<'_>) -> Answer {
    let (cause, cache) = (Cause::Default, CacheOutcome::Miss);
    let note = Note { cause, refused: false, cache, close: false };
    told(&wanted(504, cause, ask, None), note)
}

/// Appends the answer to a message that cannot be read; the connection ends after it.
pub(crate) fn malformed_http1(out: &mut BytesMut, status: u16) {
    buffers::ensure(out);
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let cause = if status == 408 { Cause::ClientTimeout } else { Cause::Malformed };
    let text = format!("{} ({})\n", heading(status, cause), cause.code());
    let _ = write!(
        out,
        "HTTP/1.1 {} {}\r\ncontent-type: text/plain; charset=utf-8\r\ncache-control: no-store\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        code.as_u16(),
        code.canonical_reason().unwrap_or(""),
        text.len()
    );
    out.put_slice(text.as_bytes());
}

/// The page of who has to wait, or a line for who cannot use a page. It loads again after `seconds`, which lie
/// between `MIN_WAIT` and `MAX_WAIT` of `seawall-decide`.
pub(crate) fn wait(ask: &Ask<'_>, seconds: u64) -> Answer {
    let cause = Cause::Challenged;
    let note = Note { cause, refused: true, cache: CacheOutcome::Bypass, close: false };
    told(&wanted(429, cause, ask, Some(seconds)), note)
}

fn wanted(status: u16, cause: Cause, ask: &Ask<'_>, after_s: Option<u64>) -> Wanted {
    let (form, is_safe) = (ask.wish().form(), ask.method.is_safe());
    let is_busy = matches!(cause, Cause::OriginBusy | Cause::MadeUp);
    let is_due = status == 503 && is_busy || status == 429 && cause == Cause::Challenged;
    let is_waiting = is_due && is_safe && after_s.is_some();
    let language = (is_waiting && form == Form::Page).then(|| waiting::choose(ask.fields));
    Wanted { status, cause, form, is_safe, after_s, language }
}

/// The hot path of a flood: what was said before is said again, without an allocation.
fn told(wanted: &Wanted, note: Note) -> Answer {
    let page = prepared::page(wanted, prepare);
    let body = AnswerBody::Whole(page.body.clone());
    Answer { status: wanted.status, head: AnswerHead::Prepared(page), body, note }
}

fn prepare(wanted: &Wanted) -> Prepared {
    let &Wanted { status, cause, form, is_safe, after_s, language } = wanted;
    let mut fields = HeaderMap::new();
    if let Some(after) = after_s {
        fields.insert(RETRY_AFTER, HeaderValue::from(after));
    }
    if cause == Cause::Challenged {
        // The address of this page holds a ticket.
        fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    let (kind, body) = match form {
        Form::Page => {
            let page = match language.zip(after_s) {
                Some((language, after)) => {
                    let tag = HeaderValue::from_static(language.tag());
                    fields.insert(CONTENT_LANGUAGE, tag);
                    fields.insert(HeaderName::from_static("refresh"), HeaderValue::from(after));
                    waiting::page(cause, language, after)
                }
                None => html(status, cause, is_safe, after_s),
            };
            ("text/html; charset=utf-8", page)
        }
        Form::Problem => ("application/problem+json", problem(status, cause, after_s)),
        Form::Text => {
            let text = format!("{} ({})\n", heading(status, cause), cause.code());
            ("text/plain; charset=utf-8", text)
        }
    };
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    fields.insert(HeaderName::from_static("cache-status"), own_status());
    fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    Prepared { fields, body: Bytes::from(body), http1: OnceCell::new() }
}

/// Cache-Status of what neither the cache nor the origin said.
fn own_status() -> HeaderValue {
    let mut text = Vec::new();
    seawall_cache::write_cache_status(&mut text, &CacheStatus::Own);
    HeaderValue::from_bytes(&text).expect("our own member is made of ASCII letters")
}

/// When to come back to a busy site: 8 to 20 s, spread so that those who were turned away together
/// do not return together.
fn soon(now: Instant) -> u64 {
    // The nanoseconds of an arrival are as good as random here.
    let (first, last) = (*waiting::AFTER_S.start(), *waiting::AFTER_S.end());
    first + (now.as_nanos() / 1_000) % (last - first + 1)
}

/// RFC 9457. `type` is left out, so that the status says what kind of problem it is (§4.2.1).
fn problem(status: u16, cause: Cause, after_s: Option<u64>) -> String {
    let known = StatusCode::from_u16(status).ok();
    let title = known.and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let after = after_s.map(|after| format!(",\"retry_after\":{after}")).unwrap_or_default();
    // None of these texts holds a quote or a backslash.
    format!(
        "{{\"title\":\"{title}\",\"status\":{status},\"detail\":\"{}\",\"code\":\"{}\"{after}}}\n",
        heading(status, cause),
        cause.code()
    )
}

fn html(status: u16, cause: Cause, is_safe: bool, after_s: Option<u64>) -> String {
    let heading = heading(status, cause);
    let reason = reason(status, cause);
    let step = next_step(status, cause, is_safe, after_s);
    let code = cause.code();
    // An icon is named because browsers ask for /favicon.ico otherwise: a second request from each
    // reader to a site that is busy already. The colours are the browser's own, light or dark.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{heading}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>{heading}</h1>\n<p>{reason}</p>\n{step}\
         <p class=\"code\">If you need help, tell the people who run this site the code \
         <code>{code}</code></p>\n</main>\n</body>\n</html>\n"
    )
}

const STYLE: &str = "html{color-scheme:light dark;color:CanvasText;background:Canvas}\
     body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:8vh auto;\
     padding:0 1rem}h1{font-size:1.7rem;line-height:1.25}\
     .go a{display:inline-block;padding:.5rem 0}\
     .code{border-top:1px solid;padding-top:1rem;font-size:1rem}\
     code{white-space:nowrap;font-size:1em}";

/// What the reader can do now.
fn next_step(status: u16, cause: Cause, is_safe: bool, after_s: Option<u64>) -> String {
    const FRONT: &str = "<p class=\"go\"><a href=\"/\">Go to the front page</a></p>\n";
    const AGAIN: &str = "<p class=\"go\"><a href=\"\">Try again</a></p>\n";
    let wait = match after_s {
        Some(1) => "a second".to_owned(),
        // A budget of a route may be one of hours.
        Some(seconds @ 180..) => format!("{} minutes", seconds.div_ceil(60)),
        Some(seconds) => format!("{seconds} seconds"),
        None => "a few seconds".to_owned(),
    };
    match status {
        // A link would turn what was sent into a mere reading, and the reader's text would be gone.
        502 | 504 if !is_safe => {
            "<p>What you sent may or may not have arrived: look first, before you send it again.\
             </p>\n"
                .to_owned()
        }
        429 | 503 if !is_safe => format!(
            "<p>What you sent was not taken. Wait {wait}, go back in your browser, and send it \
             again.</p>\n"
        ),
        // Waiting does not make a copy.
        504 if cause == Cause::Default => FRONT.to_owned(),
        429 | 502..=504 => format!("<p>Please wait {wait}.</p>\n{AGAIN}"),
        // The front page says the same there.
        421 | 431 => String::new(),
        403 if cause == Cause::DenyList => String::new(),
        _ => FRONT.to_owned(),
    }
}

/// What happened, in the words of a person.
fn heading(status: u16, cause: Cause) -> &'static str {
    match (status, cause) {
        (503, Cause::NoRoom) => "There is no room for what was sent",
        (503, Cause::Draining) => "The site is being restarted",
        (503, Cause::Emergency) => "The site is for reading only at the moment",
        (504, Cause::Default) => "There is no stored copy of this page",
        (400, _) => "The request could not be understood",
        (403, Cause::DenyList) => "This site is closed to your network",
        (403, Cause::PassLink) => "This pass cannot be used",
        (403, _) => "This page is not open to your network",
        (405 | 501, _) => "This page does not take that kind of request",
        (408, _) => "The request took too long to arrive",
        (413, _) => "What was sent is too large",
        (414, _) => "The address of the page is too long",
        (421, _) => "No site of that name is here",
        (429, Cause::OriginBusy | Cause::MadeUp) => "The site is busy",
        (429, Cause::RouteBudget) => "That was tried too often",
        (429, Cause::SignatureBlock | Cause::Unsolved) => "This looks like part of an attack",
        (429, Cause::Challenged) => {
            "The site is under attack: come back to this address in a moment"
        }
        (429, _) => "Too many pages were asked for at once",
        (431, _) => "Your browser sent too much at once",
        (502, _) => "The site is not working right now",
        (503, _) => "The site is busy",
        (504, _) => "The site did not answer in time",
        (505, _) => "That version of HTTP is not spoken here",
        _ => "The page cannot be shown",
    }
}

/// Why, as far as a reader can use it.
fn reason(status: u16, cause: Cause) -> &'static str {
    match (status, cause) {
        (503, Cause::NoRoom) => "Reading goes on as usual, but nothing can be sent at the moment.",
        (503, Cause::Draining) => "That takes a moment.",
        (503, Cause::Emergency) => {
            "Most of its pages can be read as ever. This one cannot be shown, and nothing can be sent, \
             until the people who run it say so."
        }
        (504, Cause::Default) => "Your browser asked for a stored copy and nothing else.",
        (400, _) => "Your browser, or something between it and this site, garbled it.",
        (403, Cause::DenyList) => "The people who run it have shut out the network you come from.",
        (403, Cause::PassLink) => {
            "Its link is good for one day and only over https. Ask whoever gave it to you for a new \
             one."
        }
        (403, _) => {
            "Only some networks may read it. If you should be able to, use the network or VPN that \
             you were given for it."
        }
        (405 | 501, _) => "Your browser asked for something that is not done here.",
        (408, _) => "The connection is slow or broke off. Go back and try again.",
        (413, _) => "Nothing of it was kept. Go back and send something smaller.",
        (414, _) => "Shorten it in your browser's address bar, or start from the front page.",
        (421, _) => "Look for a mistake in your browser's address bar.",
        (429 | 503, Cause::OriginBusy | Cause::MadeUp) => {
            "More people are asking for it right now than it can answer. Pages that others have \
             read lately may still open."
        }
        (429, Cause::RouteBudget) => {
            "Somebody on your network, perhaps not you, sends this more often than people do."
        }
        (429, Cause::SignatureBlock | Cause::Unsolved) => {
            "The site is under attack, and what your browser asked for looks like it. Pages that others \
             have read lately still open."
        }
        (429, _) => "Somebody on your network, perhaps not you, is asking faster than people read.",
        (431, _) => {
            "Usually that means too many cookies. Delete the cookies of this site in your browser's \
             settings, then load the page again."
        }
        (502 | 504, _) => {
            "The fault is not yours. Pages that others have read lately may still open."
        }
        (503, _) => {
            "More people are asking for it right now than it can answer. Pages that others have \
             read lately may still open."
        }
        _ => "The fault may lie with your browser or with this site.",
    }
}

#[cfg(test)]
mod tests {
    use seawall_model::{Cause, Instant, Method};

    use super::{html, problem, soon};

    const STATUSES: [u16; 15] =
        [400, 403, 405, 408, 413, 414, 421, 429, 431, 501, 502, 503, 504, 505, 507];

    fn page(status: u16, cause: Cause, method: Method) -> String {
        html(status, cause, method.is_safe(), Some(5))
    }

    #[test]
    fn every_page_is_small_and_names_its_code_and_nothing_elsewhere() {
        for status in STATUSES {
            for cause in Cause::ALL {
                let page = page(status, cause, Method::Get);
                // One packet of TCP, head included, so that it arrives in one piece or not at all.
                assert!(page.len() < 1400, "{status} {cause:?}: {} bytes", page.len());
                assert!(page.contains(cause.code()), "{status} {cause:?}");
                for forbidden in ["//", "<script", "http-equiv"] {
                    assert!(!page.contains(forbidden), "{status} {cause:?}: {forbidden}");
                }
            }
        }
    }

    #[test]
    fn problem_details_are_json_of_which_nothing_needs_escaping() {
        for status in STATUSES {
            for cause in Cause::ALL {
                let problem = problem(status, cause, None);
                assert_eq!(problem.matches('"').count() % 2, 0, "{problem}");
                assert!(!problem.contains('\\') && problem.contains(cause.code()), "{problem}");
                assert_eq!(problem.matches('"').count(), 14, "{problem}");
            }
        }
    }

    #[test]
    fn those_turned_away_from_a_busy_site_come_back_spread_over_thirteen_seconds() {
        let mut seen = [0; 32];
        for micros in 0..1_300 {
            let after = soon(Instant::from_nanos(micros * 1_000));
            seen[usize::try_from(after).expect("small")] += 1;
        }
        assert_eq!(seen[8..=20], [100; 13]);
    }

    #[test]
    fn nobody_who_sent_something_is_offered_to_merely_read_the_page_again() {
        for status in [429, 502, 503, 504] {
            for method in [Method::Post, Method::Put, Method::Delete, Method::Patch] {
                let page = page(status, Cause::OriginBusy, method);
                assert!(!page.contains("<a "), "{status} {method:?}: {page}");
                assert!(page.contains("What you sent"), "{status} {method:?}: {page}");
            }
            let page = page(status, Cause::OriginBusy, Method::Get);
            assert!(page.contains("Please wait 5 seconds"), "{status}: {page}");
            assert!(page.contains("<a href=\"\">"), "{status}: {page}");
        }
    }
}
