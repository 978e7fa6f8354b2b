//! In which form a refusal is said: a page for people, problem details for programs, or plain text.
//!
//! It looks at what the client says of itself and decides nothing else.

use seawall_model::Fields;

use crate::serve::Ask;

/// How a refusal is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A page: somebody looks at it.
    Page,
    /// RFC 9457 problem details: a script or an app asked.
    Problem,
    /// A line of text: feed readers, whose users see it, and tools.
    Text,
}

/// What the client can use. A program never gets a page, whatever it says it accepts.
pub(super) fn form(ask: &Ask<'_>) -> Form {
    let fields = ask.fields;
    let accepts = |kind: &[u8]| says(fields, "accept", kind);
    if is_feed(ask) || accepts(b"application/rss+xml") || accepts(b"application/atom+xml") {
        return Form::Text;
    }
    // Fetch Metadata: browsers say `navigate` for what a person will look at, and scripts cannot.
    let mode = fields.first("sec-fetch-mode");
    let is_script = fields.has("x-requested-with")
        || mode.is_some_and(|mode| !mode.eq_ignore_ascii_case(b"navigate"))
        || accepts(b"application/json")
        || accepts(b"application/problem+json")
        || says(fields, "content-type", b"application/json");
    match accepts(b"text/html") {
        true if !is_script => Form::Page,
        _ if is_script || !ask.method.is_safe() => Form::Problem,
        _ => Form::Text,
    }
}

/// The addresses under which WordPress and others publish feeds.
fn is_feed(ask: &Ask<'_>) -> bool {
    let path = ask.path.strip_suffix(b"/").unwrap_or(ask.path);
    let ends: [&[u8]; 6] = [b"/feed", b"/rss", b"/atom", b"/rss2", b".rss", b".atom"];
    ends.iter().any(|end| path.ends_with(end))
        || ask.query.is_some_and(|query| {
            query.split(|&byte| byte == b'&').any(|pair| pair.starts_with(b"feed="))
        })
}

fn says(fields: &dyn Fields, name: &str, what: &[u8]) -> bool {
    fields.first(name).is_some_and(|value| {
        value.windows(what.len()).any(|window| window.eq_ignore_ascii_case(what))
    })
}
