//! What a reader gets instead of a page: short, honest, without script, with a code that
//! `seawall explain` understands and a way back.
//!
//! Feeds and programs get plain text, never HTML. The waiting page in the reader's language comes
//! with admission control.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use seawall_cache::CacheStatus;
use seawall_model::{Cause, Method, Refusal};

use crate::answer::{Answer, AnswerBody, Note};
use crate::buffers;
use crate::metrics::CacheOutcome;
use crate::serve::{self, Ask};

/// The answer to a refused request.
pub(crate) fn answer(
    refused: Refusal,
    cause: Cause,
    ask: &Ask<'_>,
    allowed: impl Iterator<Item = Method>,
) -> Answer {
    let mut headers = HeaderMap::new();
    if let Some(after) = refused.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    if refused.status == 405 {
        // RFC 9110 §15.5.6: a 405 says what is allowed.
        let names: Vec<&str> = allowed.map(Method::as_str).collect();
        if let Ok(allow) = HeaderValue::from_str(&names.join(", ")) {
            headers.insert(ALLOW, allow);
        }
    }
    let close = refused.close;
    let status = if refused.status == 0 { 403 } else { refused.status };
    page(
        status,
        cause,
        ask,
        headers,
        Note { cause, refused: true, cache: CacheOutcome::Bypass, close },
    )
}

/// The answer when there is none from the origin.
pub(crate) fn failed(status: u16, cause: Cause, ask: &Ask<'_>) -> Answer {
    let mut headers = HeaderMap::new();
    if status != 400 {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    let cache = CacheOutcome::Error;
    page(status, cause, ask, headers, Note { cause, refused: false, cache, close: false })
}

/// RFC 9111 §5.2.1.7: the client wants what is stored, and nothing is.
pub(crate) fn only_if_cached(ask: &Ask<'_>) -> Answer {
    let (cause, cache) = (Cause::Default, CacheOutcome::Miss);
    let note = Note { cause, refused: false, cache, close: false };
    page(504, cause, ask, HeaderMap::new(), note)
}

/// Appends the answer to a message that cannot be read; the connection ends after it.
pub(crate) fn malformed_http1(out: &mut BytesMut, status: u16) {
    buffers::ensure(out);
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let cause = if status == 408 { Cause::ClientTimeout } else { Cause::Malformed };
    let text = format!("{} ({})\n", words(status), cause.code());
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

fn page(status: u16, cause: Cause, ask: &Ask<'_>, mut headers: HeaderMap, note: Note) -> Answer {
    let wants_html =
        ask.fields.first("accept").is_some_and(|accept| contains(accept, b"text/html"));
    let (kind, body) = if wants_html {
        ("text/html; charset=utf-8", html(status, cause))
    } else {
        ("text/plain; charset=utf-8", format!("{} ({})\n", words(status), cause.code()))
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = AnswerBody::Whole(Bytes::from(body));
    serve::built(status, headers, body, &CacheStatus::Own, note)
}

fn html(status: u16, cause: Cause) -> String {
    let words = words(status);
    let code = cause.code();
    let again = match status {
        429 | 502 | 503 | 504 => {
            "<p>Please try again in a few seconds. Nothing you did is lost by waiting.</p>"
        }
        _ => "<p><a href=\"/\">Go to the front page</a></p>",
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{words}</title>\n<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;\
         margin:12vh auto;padding:0 1rem;color:#1a1a1a;background:#fff}}code{{color:#444}}\
         @media(prefers-color-scheme:dark){{body{{color:#eee;background:#161616}}a{{color:#9cf}}\
         code{{color:#bbb}}}}</style>\n</head>\n<body>\n<main>\n<h1>{words}</h1>\n{again}\n\
         <p>Code for the site's operator: <code>{code}</code></p>\n</main>\n</body>\n</html>\n"
    )
}

/// What happened, in the words of a person.
fn words(status: u16) -> &'static str {
    match status {
        400 => "The request could not be understood",
        403 => "This address may not read this page",
        405 | 501 => "This page does not take that kind of request",
        408 => "The request took too long to arrive",
        413 => "What was sent is larger than this site takes",
        414 => "The address of the page is too long",
        421 => "No site of that name is here",
        429 => "Too many pages were asked for at once",
        431 => "The request's header is larger than this site takes",
        502 => "The site did not answer properly",
        503 => "The site is busy",
        504 => "The site did not answer in time",
        505 => "That version of HTTP is not spoken here",
        _ => "The page cannot be shown",
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
}
