//! In which form a refusal is said: a page for people, problem details for programs, or plain text.
//!
//! It looks at what the client says of itself and decides nothing else.

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

/// What the client can use. A program never gets a page, whatever it says it accepts. No allocation.
pub(super) fn form(ask: &Ask<'_>) -> Form {
    let fields = ask.fields;
    let accepts = Kinds::of(fields.first("accept"));
    if accepts.feed || is_feed_path(ask) {
        return Form::Text;
    }
    // Fetch Metadata: browsers say `navigate` for what a person will look at, and scripts cannot.
    let mode = fields.first("sec-fetch-mode");
    let is_script = accepts.json
        || mode.is_some_and(|mode| !mode.eq_ignore_ascii_case(b"navigate"))
        || fields.has("x-requested-with")
        || Kinds::of(fields.first("content-type")).json;
    match accepts.page {
        true if !is_script => Form::Page,
        _ if is_script || !ask.method.is_safe() => Form::Problem,
        _ => Form::Text,
    }
}

/// What the media types of a field are of (RFC 9110 §8.3.1, §12.5.1), whatever their parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kinds {
    page: bool,
    feed: bool,
    json: bool,
}

impl Kinds {
    fn of(value: Option<&[u8]>) -> Self {
        let mut kinds = Self::default();
        for one in value.unwrap_or_default().split(|&byte| byte == b',') {
            let kind = one.split(|&byte| byte == b';').next().unwrap_or(one).trim_ascii();
            let is = |name: &[u8]| kind.eq_ignore_ascii_case(name);
            // Names are told apart by their length first, so most comparisons are of two numbers.
            kinds.page |= is(b"text/html");
            kinds.feed |= is(b"application/rss+xml") || is(b"application/atom+xml");
            kinds.json |= is(b"application/json") || is(b"application/problem+json");
        }
        kinds
    }
}

/// Whether a feed is asked for, or a feed reader asks.
pub(crate) fn is_feed(ask: &Ask<'_>) -> bool {
    is_feed_path(ask) || Kinds::of(ask.fields.first("accept")).feed
}

/// The addresses under which WordPress and others publish feeds.
fn is_feed_path(ask: &Ask<'_>) -> bool {
    let path = ask.path.strip_suffix(b"/").unwrap_or(ask.path);
    let ends: [&[u8]; 6] = [b"/feed", b"/rss", b"/atom", b"/rss2", b".rss", b".atom"];
    ends.iter().any(|end| path.ends_with(end))
        || ask.query.is_some_and(|query| {
            query.split(|&byte| byte == b'&').any(|pair| pair.starts_with(b"feed="))
        })
}

#[cfg(test)]
mod tests {
    use super::Kinds;

    #[test]
    fn media_types_are_read_whole_and_in_any_case() {
        let [page, feed, json] = [(true, false, false), (false, true, false), (false, false, true)];
        for (value, (page, feed, json)) in [
            ("text/html", page),
            ("TEXT/HTML;level=1", page),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", page),
            ("application/json; charset=utf-8", json),
            ("*/*, application/problem+json", json),
            ("application/atom+xml , */*;q=0.1", feed),
            ("application/rss+xml;q=1", feed),
            ("application/json, text/html", (true, false, true)),
            ("application/jsonp, text/htmlx", (false, false, false)),
            ("*/*", (false, false, false)),
            ("", (false, false, false)),
            (",;,;;=", (false, false, false)),
        ] {
            assert_eq!(Kinds::of(Some(value.as_bytes())), Kinds { page, feed, json }, "{value}");
        }
        assert_eq!(Kinds::of(None), Kinds::default());
    }
}
